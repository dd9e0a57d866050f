"""The connections that the churn benchmark watches, and the floods that come on top."""
import json
import select
import subprocess
import time

from bench_lab import LIMIT, BenchError

VIP = "192.0.2.1"
OPENED_PER_SECOND = 1000  # a service


def make_room(lab, backends):
    """For many connections and many half-open ones; answers to floods go nowhere, at little cost."""
    lab.run("client", "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
    hosts = [f"b{n}" for n in range(1, backends + 1)]
    for host in hosts:
        lab.run(host, "sysctl", "-qw", "net.core.somaxconn=65535", "net.ipv4.tcp_max_syn_backlog=65535")
    for host in [*hosts, "lb"]:
        lab.run(host, "ip", "route", "add", "blackhole", "198.18.0.0/15")


def start_servers(lab, backends, ports):
    for n in range(1, backends + 1):
        with open(lab.directory / f"peer-b{n}.log", "w", encoding="utf-8") as log:
            lab.spawn(f"b{n}", lab.tools / "bench-peer", "serve", f"b{n}", *ports, stdout=log, stderr=log)


class Connections:
    """Those of one service, kept open by a process of their own."""

    def __init__(self, lab, port, options):
        self.count = options.connections
        self._log = lab.directory / f"peer-{port}.log"
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = lab.spawn(
                "client", lab.tools / "bench-peer", "connect", f"{VIP}:{port}", "--connections", self.count,
                "--rate", OPENED_PER_SECOND, "--interval", options.interval, "--lifetime", options.lifetime,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def take(self):
        """What happened since it was last asked."""
        try:
            self._process.stdin.write("report\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        # One line an answer, so nothing is left in the reader's buffer that select() does not see.
        if not select.select([self._process.stdout], [], [], LIMIT)[0]:
            raise BenchError(f"bench-peer did not answer within {LIMIT} s")
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"bench-peer ended: {self._log.read_text(encoding='utf-8').strip()}")
        return json.loads(line)

    def wait_until_open(self):
        until = time.monotonic() + self.count / OPENED_PER_SECOND + LIMIT
        while True:
            report = self.take()
            if sum(report["open"].values()) == self.count:
                return
            if time.monotonic() > until:
                raise BenchError(f"of {self.count} connections {report['opening']} do not open: {report}")
            time.sleep(0.5)

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=LIMIT)


class Flood:
    """Packets of random flows to all ports at the same total rate, for some seconds from now on."""

    def __init__(self, lab, kind, ports, rate, seconds):
        self._process = lab.spawn(
            "client", lab.tools / "bench-flood", "eth0", lab.mac("lb", "eth0"), *(f"{VIP}:{port}" for port in ports),
            "--kind", kind, "--rate", rate, "--seconds", seconds, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._seconds = seconds

    def wait(self):
        """What was sent."""
        output, error = self._process.communicate(timeout=self._seconds + LIMIT)
        if self._process.returncode != 0:
            raise BenchError(f"bench-flood failed: {error.strip()}")
        return json.loads(output)
