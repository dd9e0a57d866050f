"""A lab (scripts/lab.sh) as the tests use it: its hosts, the agent, the command, traffic, and what is in the kernel.

Everything that runs has a time limit, and everything that stays is known to `lab.sh down`, which takes it away.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build")).resolve()
SCRIPT = ROOT / "scripts" / "lab.sh"
SLUICE = BUILD / "cli" / "sluice"
SLUICED = BUILD / "userspace" / "sluiced"
DECAP = BUILD / "userspace" / "sluice-decap"
PASS_PROGRAM = BUILD / "bpf" / "pass.bpf.o"
HERE = Path(__file__).resolve().parent
TRAFFIC = ROOT / "scripts" / "lab" / "traffic.py"
SERVER = ROOT / "scripts" / "lab" / "backend_server.py"
PYTHON = "/usr/bin/python3"

VIP4, VIP6 = "192.0.2.1", "2001:db8:2::1"
CLIENT4, CLIENT6 = "198.51.100.2", "2001:db8:1::2"
LB4, LB6 = "198.51.100.1", "2001:db8:1::1"  # the load balancer's own, on the client's side

# What traffic.py asks for: kind -> (service, protocol, VIP and port)
SERVICES = {"http4": ("web", "tcp", f"{VIP4}:80"), "http6": ("web6", "tcp", f"[{VIP6}]:80"),
            "udp4": ("dns", "udp", f"{VIP4}:53"), "udp6": ("dns6", "udp", f"[{VIP6}]:53")}
ALL_KINDS = tuple(SERVICES)

LIMIT = 30  # seconds, for what should take none


def backend(n, family=4):
    """The address of backend N's host."""
    return f"10.0.{n}.11" if family == 4 else f"2001:db8:b:{n}::11"


def wait_for(condition, what, seconds=15.0):
    """The first true value of `condition`, asked again and again; fails the test when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def is_running(pid):
    """False also for a process that has ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(*command, check=True, limit=LIMIT, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=limit, **options)
    assert not check or done.returncode == 0, f"{command} exited with {done.returncode}: {done.stderr}{done.stdout}"
    return done


def bpftool(*arguments, check=True):
    done = run("bpftool", "-j", *arguments, check=check)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None


def left_in(bpffs):
    """All but the kernel's own files, and the directory in which libxdp keeps its lock."""
    return [path for path in bpffs.rglob("*") if not path.name.endswith(".debug") and path != bpffs / "xdp"]


class Lab:
    def __init__(self, name, backends=3, shape=None):
        self.name = name
        self.directory = Path(f"/run/sl-lab-{name}")
        self.socket = self.directory / "sluice.sock"
        self.bpffs = self.directory / "bpf"
        self.pins = self.bpffs / "sluice"
        self.state = self.directory / "state"
        self.log = self.directory / "sluiced.log"
        self._script("up", str(backends), *([shape] if shape else []))

    def _script(self, command, *arguments, check=True):
        return run(SCRIPT, command, self.name, *arguments, check=check, limit=90,
                   env={**os.environ, "SLUICE_BUILD": str(BUILD)})

    def down(self):
        self._script("down")

    # --- hosts ---

    def on(self, host, *command):
        """The command line that runs `command` on a host."""
        return ["nsenter", f"--net=/run/netns/sl-{self.name}-{host}", *map(str, command)]

    def run(self, host, *command, **options):
        return run(*self.on(host, *command), **options)

    def spawn(self, host, *command, **options):
        """In the background, until `lab.sh down` at the latest."""
        process = subprocess.Popen(self.on(host, *command), stdin=subprocess.DEVNULL, text=True, **options)
        with open(self.directory / "pids", "a") as pids:
            pids.write(f"{process.pid}\n")
        return process

    @contextlib.contextmanager
    def running(self, host, *command, **options):
        process = self.spawn(host, *command, **options)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=LIMIT)

    def ip(self, host, *arguments, check=True):
        return self.run(host, "ip", *arguments, check=check)

    def sysctl(self, host, *settings):
        self.run(host, "sysctl", "-qw", *settings)

    @contextlib.contextmanager
    def hearing_answers(self):
        """A veth loses what the XDP program at its other end sends back, unless it has a program of its own."""
        self.ip("client", "link", "set", "dev", "eth0", "xdpdrv", "obj", PASS_PROGRAM, "sec", "xdp")
        try:
            yield
        finally:
            self.ip("client", "link", "set", "dev", "eth0", "xdpdrv", "off")

    def ping(self, host, address, count=1, *options):
        return self.run(host, "ping", "-n", "-q", "-c", count, "-W", "2", "-i", "0.2", *options, address, check=False)

    def received(self, host, interface):
        """Packets that an interface has received."""
        link = json.loads(self.ip(host, "-j", "-s", "link", "show", "dev", interface).stdout)[0]
        return link["stats64"]["rx"]["packets"]

    # --- the agent ---

    def agent(self, *options):
        self._script("agent", *options)

    def agent_pid(self):
        return int((self.directory / "agent.pid").read_text())

    def stop_agent(self):
        self._script("stop-agent")

    def kill_agent(self):
        """As a crash would: it gets no word in."""
        pid = self.agent_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_running(pid), "the agent is dead")

    def detach(self):
        return self.run("lb", SLUICED, "--detach", "--bpffs", self.bpffs)

    def fresh_agent(self, *options):
        """An agent that knows nothing of what was before."""
        self.stop_agent()
        self.detach()
        shutil.rmtree(self.state, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.agent(*options)

    def sluiced(self, *options, prefix=(), limit=LIMIT):
        """Another agent on the load balancer, expected to end by itself."""
        return self.run("lb", *prefix, SLUICED, *options, check=False, limit=limit)

    # --- the command ---

    def try_sluice(self, *arguments, **options):
        return run(SLUICE, "--socket", self.socket, *arguments, check=False, **options)

    def sluice(self, *arguments):
        return run(SLUICE, "--socket", self.socket, *arguments).stdout

    def json(self, *arguments):
        return json.loads(self.sluice("--json", *arguments))

    def config(self):
        return json.loads(self.sluice("show", "config"))

    def service(self, name):
        return self.json("show", name)

    def backend(self, service, address):
        """What `sluice show` says of one backend."""
        return next(each for each in self.service(service)["backends"] if each["wanted"]["address"] == address)

    def reason(self, name):
        """How many packets were not forwarded, for this reason."""
        reasons = self.json("show", "drops")["reasons"]
        return next(each["traffic"]["packets"] for each in reasons if each["name"] == name)

    def add_services(self, addresses, kinds=ALL_KINDS, options=()):
        """The services that traffic.py asks for, each with these backends."""
        for kind in kinds:
            name, protocol, vip = SERVICES[kind]
            self.sluice("service", "add", name, protocol, vip, *options)
            for address in addresses:
                self.sluice("backend", "add", name, address)

    def each_service(self, verb, address, *options, kinds=ALL_KINDS):
        """`sluice backend VERB` for every service that traffic.py asks for."""
        for kind in kinds:
            self.sluice("backend", verb, SERVICES[kind][0], address, *options)

    # --- traffic ---

    def traffic(self, kinds=ALL_KINDS, count=100, pause=0.0):
        """So many requests of each kind; what answered, by kind and backend. A request without answer is a failure."""
        done = self.run("client", PYTHON, TRAFFIC, "--kinds", ",".join(kinds), "--count", count, "--pause", pause,
                        limit=90)
        return no_failures(json.loads(done.stdout))

    def try_traffic(self, kinds, count):
        """Answers and failures, whatever they are."""
        done = self.run("client", PYTHON, TRAFFIC, "--kinds", ",".join(kinds), "--count", count, "--pause", "0.01",
                        limit=150)
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def steady_traffic(self, kinds=ALL_KINDS, hold=10, hold_seconds=3600):
        """Requests and held connections while the body runs; a lost request or a held connection that broke or moved
        is a failure. Yields a dict that has the answers afterwards."""
        answers = {}
        with self.running("client", PYTHON, TRAFFIC, "--kinds", ",".join(kinds), "--hold", hold, "--hold-seconds",
                          hold_seconds, "--pause", "0.01", stdout=subprocess.PIPE) as process:
            held = hold * sum(kind.startswith("http") for kind in kinds)
            wait_for(lambda: self.open_connections() >= held, "the held connections are open")
            time.sleep(0.3)
            yield answers
            process.terminate()
            answers.update(no_failures(json.loads(process.communicate(timeout=LIMIT)[0])))

    def open_connections(self):
        return len(self.run("client", "ss", "-Htn", "state", "established", "dport = :80").stdout.splitlines())

    def ask_from(self, protocol, vip, port, ports, check=True):
        """Asks from fixed source ports: {source port: the backend that answered}; with check=False None where no
        answer came at once."""
        done = self.run("client", PYTHON, HERE / "ask_from.py", protocol, vip, port, ports.start, len(ports),
                        6 if check else 1, limit=60)
        answers = {int(key): value for key, value in json.loads(done.stdout).items()}
        assert not check or None not in answers.values(), f"unanswered: {answers}"
        return answers

    # --- what is in the kernel ---

    def decapsulated(self, n):
        shown = self.run(f"b{n}", DECAP, "--bpffs", self.directory / f"bpf-b{n}", "show", "--json")
        return json.loads(shown.stdout)["counters"]["decapsulated"]["packets"]

    def renew_decap(self, n, interface="eth0"):
        self.run(f"b{n}", DECAP, "--bpffs", self.directory / f"bpf-b{n}", "attach", interface)

    def xdp_on(self, host, interface):
        """The XDP program on an interface as `ip` shows it; None: there is none."""
        return json.loads(self.ip(host, "-j", "link", "show", "dev", interface).stdout)[0].get("xdp")

    def pinned_maps(self):
        """{name: kernel id} of the load balancer's tables."""
        directory = next(self.pins.glob("v*"), None)
        return {path.name: bpftool("map", "show", "pinned", path)["id"]
                for path in directory.iterdir()} if directory else {}

    def tables(self, *names):
        """The contents of the tables."""
        directory = next(self.pins.glob("v*"))
        return {name: run("bpftool", "map", "dump", "pinned", directory / name).stdout for name in names}


def no_failures(result):
    assert not result["failures"], f"{len(result['failures'])} failures, the first: {result['failures'][:5]}"
    return result["answers"]
