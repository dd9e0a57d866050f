"""The machine that a benchmark runs on: what it is, and how busy it was."""
import os
import platform
from pathlib import Path


def description():
    """For the record of a run."""
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return {"kernel": platform.release(), "architecture": platform.machine(), "cores": os.cpu_count(),
            "processor": models[0] if models else "unknown"}


class Load:
    """Shares of all cores' time since it was made or last asked."""

    def __init__(self):
        self._before = self._read()

    @staticmethod
    def _read():
        user, nice, system, idle, iowait, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
        return {"busy": user + nice + system + irq + softirq, "stolen": steal, "idle": idle + iowait}

    def since(self):
        """{"busy": share, "stolen": share taken by other machines on the same host}"""
        now = self._read()
        spent = {kind: now[kind] - self._before[kind] for kind in now}
        self._before = now
        total = max(1, sum(spent.values()))
        return {kind: spent[kind] / total for kind in ("busy", "stolen")}
