"""A lab (scripts/lab.sh) as the benchmarks use it: its hosts, the agent, the command.

Whatever is started here has a time limit or is known to `lab.sh down`, which ends it.
"""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]
LIMIT = 60  # seconds, for what should take a few at most


class BenchError(Exception):
    """The benchmark cannot go on; the text is for its user."""


def build_directory():
    return Path(os.environ.get("SLUICE_BUILD", SCRIPTS.parent / "build")).resolve()


def run(*command, check=True, limit=LIMIT, **options):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, **options)
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(command)} exited with {done.returncode}: {(done.stderr + done.stdout).strip()}")
    return done


class Lab:
    def __init__(self, name):
        self.name = name
        self.build = build_directory()
        self.tools = self.build / "scripts" / "bench" / "tools"
        self.directory = Path(f"/run/sl-lab-{name}")
        self.is_mine = False

    def _script(self, command, *arguments):
        return run(SCRIPTS / "lab.sh", command, self.name, *arguments, limit=120,
                   env={**os.environ, "SLUICE_BUILD": str(self.build)})

    def up(self, backends):
        if self.directory.exists():
            raise BenchError(f"a lab '{self.name}' is up; take it down first: {SCRIPTS}/lab.sh down {self.name}")
        self.is_mine = True
        self._script("up", str(backends))

    def down(self):
        """Also a half-made lab, but none that somebody else has made."""
        if self.is_mine:
            self._script("down")

    # --- hosts ---

    def on(self, host, *command):
        """The command line that runs `command` on a host."""
        return ["nsenter", f"--net=/run/netns/sl-{self.name}-{host}", *map(str, command)]

    def run(self, host, *command, **options):
        return run(*self.on(host, *command), **options)

    def spawn(self, host, *command, **options):
        """In the background, until `lab.sh down` at the latest."""
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        process = subprocess.Popen(self.on(host, *command), **options)
        with open(self.directory / "pids", "a", encoding="utf-8") as pids:
            pids.write(f"{process.pid}\n")
        return process

    def mac(self, host, interface):
        return json.loads(self.run(host, "ip", "-j", "link", "show", "dev", interface).stdout)[0]["address"]

    # --- the agent ---

    def start_agent(self, config):
        """`config` is the content of its configuration file."""
        path = self.directory / "bench.json"
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        self.restart_agent()

    def restart_agent(self):
        self._script("agent", "--config", self.directory / "bench.json")

    def kill_agent(self):
        """As a crash would: it gets no word in."""
        pid = int((self.directory / "agent.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + LIMIT
        while self._is_running(pid):
            if time.monotonic() > until:
                raise BenchError(f"the agent, process {pid}, does not die")
            time.sleep(0.005)

    @staticmethod
    def _is_running(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1][0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    # --- the command ---

    def _command(self, *arguments):
        return [str(self.build / "cli" / "sluice"), "--socket", str(self.directory / "sluice.sock"), "--json",
                *map(str, arguments)]

    def sluice(self, *arguments):
        """What `sluice --json` says."""
        return json.loads(run(*self._command(*arguments)).stdout)

    def begin_sluice(self, *arguments):
        """In the background: end_sluice() waits for it."""
        return subprocess.Popen(self._command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, text=True)

    @staticmethod
    def end_sluice(process, may_fail=False):
        """What it said; None where it failed and may."""
        output, error = process.communicate(timeout=LIMIT)
        if process.returncode == 0:
            return json.loads(output)
        if may_fail:
            return None
        raise BenchError(f"{' '.join(process.args)} exited with {process.returncode}: {error.strip()}")
