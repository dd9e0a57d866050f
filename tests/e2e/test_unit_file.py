"""The systemd unit."""

import shutil
import tempfile
from pathlib import Path

import pytest

from lab import ROOT, SLUICED, run

UNIT = ROOT / "packaging" / "sluiced.service"


@pytest.mark.skipif(not UNIT.exists(), reason="there is no packaging/sluiced.service")
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_against_the_unit():
    """`systemd-analyze verify` exits with 0 even for unknown keys; what it says counts."""
    with tempfile.TemporaryDirectory() as directory:
        unit = Path(directory) / UNIT.name
        lines = UNIT.read_text().splitlines()
        # It looks for the program where a package would put it.
        starts = [line for line in lines if line.startswith("ExecStart=")]
        assert len(starts) == 1
        program = starts[0].removeprefix("ExecStart=").split()[0]
        unit.write_text(UNIT.read_text().replace(program, str(SLUICED)))
        said = run("systemd-analyze", "verify", "--man=no", unit, check=False)
    assert (said.returncode, said.stderr) == (0, "")
