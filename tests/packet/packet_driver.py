"""The packet-driver process, and what must hold for every frame that runs through it.

For each frame exactly one counter rises, by one packet and the frame's length; the counter agrees with the action;
a forwarded frame's outer destination is the backend that it is counted at; a frame that is passed or dropped is
untouched. A change of the configuration changes no counter. One thread may use a Driver at a time.
"""

import ipaddress
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("SLUICE_BUILD", "build") / "tests" / "packet-driver"

# Small, because tables of the default size take half a second to make.
LIMITS = {"services": 64, "backends": 64, "ring_slots": 1 << 16, "flows": 1 << 14}

PASS_REASONS = {"not_ip", "group", "malformed", "fragment", "orphan", "extensions", "not_tcp_udp", "no_service"}
DROP_REASONS = {"no_backend", "unresolved", "updating", "too_big", "no_headroom", "no_egress", "broken_table"}
ANSWER_REASONS = {"told_too_big"}
DECAP_ACTIONS = {
    "decapsulated": "pass",
    "not_tunnel": "pass",
    "not_ours": "pass",
    "malformed": "drop",
    "congested": "drop",
}

# Requests are sent ahead of their replies, but never more than surely fits into the pipe, so that neither side
# waits for the other for ever.
PIPE_BYTES = 32768


class Refused(Exception):
    """The driver's answer was an error."""


@dataclass(frozen=True)
class Outcome:
    action: str
    frame: bytes
    reason: str | None = None  # None: forwarded
    service: str | None = None
    backend: str | None = None


def outer_destination(frame):
    """The destination address of the frame's first IP header, as text."""
    if frame[12:14] == b"\x08\x00":
        return str(ipaddress.ip_address(frame[30:34]))
    assert frame[12:14] == b"\x86\xdd", frame.hex()
    return str(ipaddress.ip_address(frame[38:54]))


def counter_table(reply):
    """Every counter of a reply by (kind, name)."""
    table = {}
    for kind in ("reasons", "backends"):
        for name, (packets, octets) in reply.get(kind, {}).items():
            table[kind, name] = (packets, octets)
    return table


def the_one_counter(before, after, frame):
    """The name of the counter that the frame rose, having checked that it is the only one."""
    changed = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key, (0, 0)), after.get(key, (0, 0))
        if old != new:
            changed[key] = (new[0] - old[0], new[1] - old[1])
    assert list(changed.values()) == [(1, len(frame))], f"{frame.hex()} changed the counters by {changed}"
    return next(iter(changed))


class Driver:
    def __init__(self, namespace=None):
        enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([*enter, str(BINARY)], **pipes)
        self._counters = {}
        self._decap_counters = {}

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    # ---- requests ----

    def _exchange(self, requests):
        """Replies in the order of the requests; all of them are read before anyone judges one."""
        replies, lines, size = [], [], 0
        for request in requests:
            line = json.dumps(request) + "\n"
            if lines and size + len(line) > PIPE_BYTES:
                replies += self._flush(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        return replies + self._flush(lines)

    def _flush(self, lines):
        self._process.stdin.write("".join(lines))
        self._process.stdin.flush()
        replies = [self._process.stdout.readline() for _ in lines]
        assert all(replies), "the driver died"
        return [json.loads(reply) for reply in replies]

    def ask(self, request):
        (reply,) = self._exchange([request])
        if "error" in reply:
            raise Refused(reply["error"])
        return reply

    # ---- the load balancer ----

    def configure(self, config, path=None, **more):
        """New tables and a new program. `path`, and `more`: see driver.cc."""
        self.ask({"config": {"limits": LIMITS, **config}, "path": path or {}, **more})
        self._counters = self._read_counters()
        assert set(self._counters.values()) <= {(0, 0)}

    def apply(self, config):
        self.ask({"apply": {"limits": LIMITS, **config}})
        before, self._counters = self._counters, self._read_counters()
        for key, value in self._counters.items():
            assert value == before.get(key, (0, 0)), f"the change altered counter {key}"

    def _read_counters(self):
        return counter_table(self.ask({"counters": True}))

    def flow_entries(self):
        return self.ask({"flows": True})["flows"]

    def flow_events(self):
        """How often packets have done what in the flow table, by name."""
        return self.ask({"flows": True})["events"]

    def settle(self, how, **more):
        """The agent reads the flow table when the grace period is over, twice: settles, and cleans up. See driver.cc."""
        first, second = (self.ask({"settle": {"grace_over": how, **more}}) for _ in range(2))
        return {**second, "settled_slots": first["settled_slots"] + second["settled_slots"]}

    def choices(self, frames):
        """Where each frame goes, and nothing else of it: for many."""
        chosen = []
        for start in range(0, len(frames), 100):
            reply = self.ask({"choose": [frame.hex() for frame in frames[start : start + 100]]})
            chosen += [outer_destination(bytes.fromhex(out)) if out else None for out in reply["frames"]]
        self._counters = self._read_counters()
        return chosen

    def run(self, frame, **more):
        """Runs one frame; `more`: other keys of the request."""
        (outcome,) = self.run_all([frame], **more)
        return outcome

    def run_all(self, frames, **more):
        requests = []
        for frame in frames:
            requests += [{"run": frame.hex(), **more}, {"counters": True}]
        replies = self._exchange(requests)
        outcomes = []
        for frame, ran, counted in zip(frames, replies[::2], replies[1::2], strict=True):
            if "error" in ran:
                raise Refused(ran["error"])
            outcomes.append(self._judge(frame, ran, counted))
        return outcomes

    def _judge(self, frame, ran, counted):
        after = counter_table(counted)
        before, self._counters = self._counters, after
        kind, name = the_one_counter(before, after, frame)
        action, out = ran["action"], bytes.fromhex(ran["frame"])
        if kind == "backends":
            service, backend = name.split(" ")
            assert action in ("tx", "redirect")
            assert outer_destination(out) == backend
            return Outcome(action, out, None, service, backend)
        if name in ANSWER_REASONS:
            assert action == "tx", name
            return Outcome(action, out, name)
        assert action == ("pass" if name in PASS_REASONS else "drop"), name
        assert name in PASS_REASONS | DROP_REASONS
        # That there is no way out shows only after the packet is made.
        assert out == frame or name == "no_egress", f"{name}: changed to {out.hex()}"
        return Outcome(action, out, name)

    # ---- decap ----

    def decapsulator(self, addresses):
        """A new decap program with these tunnel ends."""
        self.ask({"decap": addresses})
        self._decap_counters = counter_table(self.ask({"decap_counters": True}))
        assert not self._decap_counters

    def unwrap(self, frame):
        (outcome,) = self.unwrap_all([frame])
        return outcome

    def unwrap_all(self, frames):
        requests = []
        for frame in frames:
            requests += [{"unwrap": frame.hex()}, {"decap_counters": True}]
        replies = self._exchange(requests)
        outcomes = []
        for frame, ran, counted in zip(frames, replies[::2], replies[1::2], strict=True):
            if "error" in ran:
                raise Refused(ran["error"])
            outcomes.append(self._judge_unwrapped(frame, ran, counted))
        return outcomes

    def _judge_unwrapped(self, frame, ran, counted):
        after = counter_table(counted)
        before, self._decap_counters = self._decap_counters, after
        _, name = the_one_counter(before, after, frame)
        action, out = ran["action"], bytes.fromhex(ran["frame"])
        assert action == DECAP_ACTIONS[name], name
        assert out == frame or name == "decapsulated", f"{name}: changed to {out.hex()}"
        return Outcome(action, out, name)
