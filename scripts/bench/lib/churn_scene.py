"""The stage of the churn benchmark: three services that differ in how they track flows, on the same backends."""
import time
from dataclasses import dataclass, field

from bench_lab import LIMIT, BenchError
from peers import VIP, Connections, Flood, make_room, start_servers

FIRST_BACKENDS = 4
ALL_BACKENDS = 5  # one of them joins later
RING = 65536


@dataclass(frozen=True)
class Service:
    name: str
    title: str
    port: int
    flows: str


SERVICES = (Service("sluice", "sluice", 8001, "auto"),
            Service("bare-hash", "bare hash", 8002, "stateless"),
            Service("every-flow", "every flow", 8003, "tracked"))
NAMES = tuple(service.name for service in SERVICES)
PORTS = tuple(service.port for service in SERVICES)


def address(n):
    return f"10.0.{n}.11"


def config(flows_limit):
    """The services are there from the first moment: none of their slots was ever moved."""
    return {"version": 1, "interfaces": ["eth0"], "limits": {"flows": flows_limit},
            "services": [{"name": service.name, "vip": f"{VIP}:{service.port}", "protocol": "tcp", "ring": RING,
                          "flows": service.flows,
                          "backends": [{"address": address(n)} for n in range(1, FIRST_BACKENDS + 1)]}
                         for service in SERVICES]}


@dataclass
class Happened:
    """What an event did, beside breaking connections."""
    moved: dict = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))  # share of slots, added up over changes
    is_moved_exact: bool = True  # false: a reply was lost, and slots were counted before and after
    change_seconds: list = field(default_factory=list)
    kills: list = field(default_factory=list)
    flood: dict | None = None
    ended: float = 0.0  # when its last change was made or its flood was over


class Scene:
    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.happened = Happened()

    def set_up(self):
        self.lab.up(ALL_BACKENDS)
        make_room(self.lab, ALL_BACKENDS)
        start_servers(self.lab, ALL_BACKENDS, PORTS)
        self.lab.start_agent(config(self.options.flows_limit))

    def connect(self):
        self.connections = {service.name: Connections(self.lab, service.port, self.options) for service in SERVICES}
        for each in self.connections.values():
            each.wait_until_open()
        for each in self.connections.values():
            each.take()

    def disconnect(self):
        for each in self.connections.values():
            each.close()

    def take_reports(self):
        return {name: each.take() for name, each in self.connections.items()}

    # --- what events are made of ---

    def begin_change(self, *command):
        """`sluice` with the name of each service for SERVICE, for all of them at the same moment."""
        return {name: self.lab.begin_sluice(*(name if word == "SERVICE" else word for word in command))
                for name in NAMES}

    def change(self, *command):
        began = time.monotonic()
        for name, process in self.begin_change(*command).items():
            reply = self.lab.end_sluice(process)
            if reply["slots"]:
                self.happened.moved[name] += reply["moved"] / reply["slots"]
        self.happened.change_seconds.append(time.monotonic() - began)
        self.happened.ended = time.monotonic()

    def change_and_kill(self, delay, *command):
        """The agent dies `delay` seconds into the change; the next one finds the change done, or is asked again."""
        before = self.slots()
        began = self.begin_change(*command)
        time.sleep(delay)
        self.lab.kill_agent()
        replies = {name: self.lab.end_sluice(process, may_fail=True) for name, process in began.items()}
        self.lab.restart_agent()
        for name, reply in replies.items():
            if reply is None:
                self.lab.sluice(*(name if word == "SERVICE" else word for word in command))
        after = self.slots()
        for name in NAMES:
            lost = (max(0, count - after[name].get(backend, 0)) for backend, count in before[name].items())
            self.happened.moved[name] += sum(lost) / sum(before[name].values())
        self.happened.is_moved_exact = False
        self.happened.kills.append({"after_seconds": delay, "unanswered": list(replies.values()).count(None)})
        self.happened.ended = time.monotonic()

    def flooded(self, kind, act):
        """Does `act` soon after a flood began, and waits for the flood's end."""
        seconds = self.options.watch
        flood = Flood(self.lab, kind, PORTS, self.options.flood_rate, seconds)
        time.sleep(min(3.0, seconds / 4))
        act()
        self.happened.flood = {**flood.wait(), "asked_rate": self.options.flood_rate}
        self.happened.ended = time.monotonic()

    # --- what the load balancer says ---

    def slots(self):
        """{service: {backend: slots of the ring}}"""
        return {service["wanted"]["name"]: {each["wanted"]["address"]: each["slots"] for each in service["backends"]}
                for service in self.lab.sluice("show")["services"]}

    def status(self):
        """With a reading of the flow table that began after all connections had spoken since the event's end."""
        everybody_spoke = self.happened.ended + 1.5 * self.options.interval
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            status = self.lab.sluice("show")
            if time.monotonic() - status.get("flow_table", {}).get("age_seconds", 0) >= everybody_spoke:
                return status
            time.sleep(0.2)
        raise BenchError(f"the agent did not read its flow table within {LIMIT} s")
