"""The churn benchmark, small: it runs, tells the services apart, and leaves nothing behind."""

import json
import os

from lab import ROOT, run

CHURN = ROOT / "scripts" / "bench" / "churn"


def test_changes_break_no_connection_but_of_what_is_removed(tmp_path):
    found_in, lab = tmp_path / "churn.json", f"c{os.getpid()}"
    done = run(CHURN, "--no-build", "--lab", lab, "--json", found_in, "--connections", 200, "--interval", 0.4,
               "--lifetime", 5, "--watch", 1.5, "--flood-rate", 2000, check=False, limit=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [name for name in os.listdir("/run/netns") if name.startswith(f"sl-{lab}-")]

    found = json.loads(found_in.read_text())
    *changes, removal = found["events"]
    sluice = [event["services"]["sluice"] for event in found["events"]]
    assert all(each["broken_of_others"] == 0 for each in sluice) and found["failures"] == []
    assert all(each["echoes"] > 200 and sum(each["open"].values()) > 190 for each in sluice)
    assert sum(event["services"]["bare-hash"]["broken"] for event in changes) > 50
    assert all(set(event["services"]["sluice"]["causes"]) <= {removal["removed"]} for event in found["events"])
    assert removal["services"]["sluice"]["broken"] > 0
    assert all(event["entries"]["held"] for event in found["events"])
