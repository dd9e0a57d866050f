"""Random histories of changes and packets against a model of the rules, which knows nothing of hashes and rings.

The model: a flow that was told a backend keeps it while the service lists it and it is not down, whatever its weight;
a new flow goes to a backend that is up and has weight, and where none is, nowhere; where a new flow goes depends on
nothing but the flow (with source-ip: its client), those backends and the ring's size, so every history must agree on
it. When a grace period has passed, flows that had said nothing since the last change may go elsewhere.

Ten histories, the seeds from a multiple of ten on, follow each other in the same tables, emptied in between.
SLUICE_HISTORY_SEED=<n> plays those up to n alone.
"""

import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from packet_driver import LIMITS, Driver
from packet_frames import Flows, config, random_flows, service

HISTORIES = 800  # of each kind of service
AT_ONCE = 16  # in each process: applying a change is mostly waiting for the kernel
ON_THE_SAME_TABLES = 10
CHANGES = 7
POOL = [f"10.0.0.{i}" for i in range(11, 17)]
FLOWS = random_flows(36, seed=5)
FIVE, SOURCE, SOURCE_PORT = "5-tuple", "source-ip", "source-ip,port"
KINDS = {  # protocol, and what changes switch between: ways of flow tracking, hashes
    "tcp": ("tcp", ["auto"], [FIVE]),
    "udp": ("udp", ["auto"], [FIVE]),
    "tcp-tracked": ("tcp", ["tracked"], [FIVE]),
    "tcp-affinity": ("tcp", ["auto"], [SOURCE]),
    "tcp-switching": ("tcp", ["auto", "tracked"], [FIVE, SOURCE, SOURCE_PORT]),
    "tcp-in-place": ("tcp", ["auto", "tracked"], [FIVE, SOURCE, SOURCE_PORT]),
    "udp-switching": ("udp", ["auto", "tracked"], [FIVE, SOURCE, SOURCE_PORT]),
}


class Model:
    def __init__(self, kind, rings_seen):
        self.protocol, self.ways, self.hashes = KINDS[kind]
        self.tracking, self.hash = self.ways[0], self.hashes[0]
        self.backends = {}  # address -> (state, weight)
        # Behind a small block that is gone, with no room for a second one, a large one can only be changed in its place.
        self.rings, self.slots = ((4096,), 8192) if kind == "tcp-in-place" else ((256, 512, 1024), LIMITS["ring_slots"])
        self.ring = 256
        self.told = {}  # flow -> backend, or None after a drop, its backend's end, or too long a silence
        self.former = {}  # what was forgotten of them: in truth no time passes, and a SYN looks like one sent again
        self.heard = set()  # flows that have spoken since the last change
        self.rings_seen = rings_seen

    def document(self):
        listed = [{"address": a, "weight": w, "state": state} for a, (state, w) in self.backends.items()]
        kind = {"protocol": self.protocol, "flows": self.tracking, "hash": self.hash}
        return config(service(backends=listed, ring=self.ring, **kind)) | {"limits": self.limits()}

    def limits(self):
        return {**LIMITS, "flows": 1024, "ring_slots": self.slots}

    def takes_new(self):
        return {address for address, (state, weight) in self.backends.items() if state == "up" and weight}

    def keeps_old(self):
        return {address for address, (state, _) in self.backends.items() if state != "down"}

    def has_changed(self):
        kept = self.keeps_old()
        self.told = {flow: b if b in kept else None for flow, b in self.told.items()}
        self.heard = set()

    def grace_has_passed(self, were_silent):
        self.former.update((flow, backend) for flow, backend in self.told.items() if backend)
        kept = set() if were_silent else set(self.told) if self.protocol == "udp" else self.heard
        self.told = {flow: b if flow in kept else None for flow, b in self.told.items()}

    def judge(self, flow, opens, backend):
        """Whether `backend` (None: dropped for want of one) is right for the flow's packet. Remembers it."""
        known, fresh, takes_new = self.told.get(flow), flow not in self.told, self.takes_new()
        if known and not opens:
            allowed = {known}
        elif known:  # a SYN again, or a port used again: either is permitted
            allowed = (takes_new or {None}) | {known}
        elif opens or self.protocol == "udp":
            allowed = (takes_new or {None}) | ({self.former.get(flow)} & self.keeps_old())
        else:  # it began before this load balancer saw it, or lost its backend
            allowed = self.keeps_old() or {None}
            if not takes_new:
                allowed.add(None)
        assert backend in allowed, f"flow {flow} (told {known}, opens {opens}): {backend} is not of {allowed}"
        if fresh and (opens or self.protocol == "udp"):
            self.agree_with_other_histories(flow, backend)
        self.told[flow] = backend or known
        if backend:
            self.heard.add(flow)

    def agree_with_other_histories(self, flow, backend):
        weights = frozenset((address, self.backends[address][1]) for address in self.takes_new())
        chooser = {FIVE: (self.protocol, flow), SOURCE: flow[0], SOURCE_PORT: flow}[self.hash]
        other = self.rings_seen.setdefault((self.hash, weights, self.ring, chooser), backend)
        assert other == backend, f"new flow {flow}: {backend}, in another history with these backends {other}"


def change(model, chance):
    """One to three random changes at once."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        address, what = chance.choice(POOL), chance.random()
        if address not in model.backends:
            model.backends[address] = ("up", chance.choice((1, 1, 1, 2)))
        elif what < 0.3:
            del model.backends[address]
        elif what < 0.75:
            states = {"up": ("drain", "drain", "drain", "down"), "drain": ("up", "up", "down"), "down": ("up", "drain")}
            state, weight = model.backends[address]
            model.backends[address] = (chance.choice(states[state]), weight)
        else:
            model.backends[address] = (model.backends[address][0], chance.choice((0, 1, 2)))
    if chance.random() < 0.1 or model.ring not in model.rings:
        model.ring = chance.choice(model.rings)
    if chance.random() < 0.4:
        model.tracking = chance.choice(model.ways)
    if chance.random() < 0.3:
        model.hash = chance.choice(model.hashes)
    if chance.random() < 0.3:  # what the order is must not matter
        model.backends = dict(chance.sample(list(model.backends.items()), len(model.backends)))
    model.has_changed()


def let_time_pass(driver, model, chance):
    """A grace period: all are silent in it, or all speak all the time. The agent may get to read only a part of the
    flow table before the next change."""
    were_silent = chance.random() < 0.3
    wanted = {"grace_over": "silent" if were_silent else "awake" if model.protocol == "udp" else "spoken"}
    if chance.random() < 0.4:
        wanted["steps"] = chance.randrange(1, 9)
    for _ in range(2):
        driver.ask({"settle": wanted})
    model.grace_has_passed(were_silent)


def speak(driver, model, frames, chance):
    """Some flows send a packet each: new ones mostly open with a SYN, known ones mostly do not."""
    speaking = []
    for flow in chance.sample(FLOWS, chance.randrange(4, len(FLOWS))):
        opens = chance.random() < (0.05 if flow in model.told else 0.8)
        speaking.append((flow, opens and model.protocol == "tcp"))
    sent = [frames.frame(flow, "S" if opens else "PA") for flow, opens in speaking]
    for (flow, opens), outcome in zip(speaking, driver.run_all(sent), strict=True):
        assert outcome.reason in (None, "no_backend")
        model.judge(flow, opens, outcome.backend)


def play(driver, kind, seed, is_first, rings_seen):
    chance = random.Random(seed)
    model = Model(kind, rings_seen)
    for address in chance.sample(POOL, chance.randrange(1, 4)):
        model.backends[address] = ("up", 1)
    frames = Flows(protocol=model.protocol)
    past = []
    try:
        if is_first:
            driver.configure(model.document(), exact_times=True)
        else:
            driver.apply(config() | {"limits": model.limits()})
            assert driver.flow_entries() == 0
            driver.apply(model.document())
        for _ in range(CHANGES):
            past.append((dict(model.backends), model.ring, model.hash, model.tracking))
            speak(driver, model, frames, chance)
            if chance.random() < 0.3:
                past.append("grace")
                let_time_pass(driver, model, chance)
                speak(driver, model, frames, chance)
            change(model, chance)
            driver.apply(model.document())
        speak(driver, model, frames, chance)
    except AssertionError as broken:
        raise AssertionError(f"SLUICE_HISTORY_SEED={seed}: {broken}\n{kind}, after {past}") from broken


def play_tens(kind, tens, rings_seen):
    driver = Driver()
    try:
        for seeds in tens:
            for seed in seeds:
                play(driver, kind, seed, seed == seeds[0], rings_seen)
    finally:
        driver.close()


def play_lanes(kind, tens):
    """Several tens at a time; returns where new flows went."""
    rings_seen = {}
    with ThreadPoolExecutor(AT_ONCE) as lanes:
        played = [lanes.submit(play_tens, kind, tens[lane::AT_ONCE], rings_seen) for lane in range(AT_ONCE)]
    for lane in played:
        lane.result()
    return rings_seen


def tens_of_seeds():
    alone = os.environ.get("SLUICE_HISTORY_SEED")
    first = int(alone) // ON_THE_SAME_TABLES * ON_THE_SAME_TABLES if alone else 0
    end = int(alone) + 1 if alone else HISTORIES
    return [range(start, min(start + ON_THE_SAME_TABLES, end)) for start in range(first, end, ON_THE_SAME_TABLES)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_keeps_its_backend_through_any_history(kind):
    tens, processes = tens_of_seeds(), os.cpu_count()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        seen = list(pool.map(play_lanes, [kind] * processes, [tens[n::processes] for n in range(processes)]))
    together = {}
    for rings_seen in seen:
        for key, backend in rings_seen.items():
            assert together.setdefault(key, backend) == backend, f"histories disagree on {key}"
