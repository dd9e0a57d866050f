"""Random histories of changes and packets against a model of the rules, which knows nothing of hashes and rings.

The model: a flow that was told a backend keeps it while the service lists it, whatever its state and weight; a new
flow goes to a backend that is up and has weight, and where none is, nowhere; where a new flow goes depends on nothing
but the flow, those backends and the ring's size (so every history of the session must agree on it).

SLUICE_HISTORY_SEED=<n> plays history n alone.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from packet_driver import Driver
from packet_frames import Flows, config, random_flows, service

HISTORIES = 140  # of each kind of service
AT_ONCE = 16  # applying a change is mostly waiting for the kernel
CHANGES = 7
POOL = [f"10.0.0.{i}" for i in range(11, 17)]
FLOWS = random_flows(36, seed=5)
KINDS = {  # protocol, ways of flow tracking that changes switch between
    "tcp": ("tcp", ["auto"]),
    "udp": ("udp", ["auto"]),
    "tcp-tracked": ("tcp", ["tracked"]),
    "tcp-switching": ("tcp", ["auto", "tracked"]),
}


class Model:
    def __init__(self, kind, rings_seen):
        self.protocol, self.ways = KINDS[kind]
        self.tracking = self.ways[0]
        self.backends = {}  # address -> (is up, weight)
        self.ring = 256
        self.told = {}  # flow -> backend, or None after a drop or its backend's removal
        self.rings_seen = rings_seen

    def document(self):
        listed = [{"address": a, "weight": w, "state": "up" if up else "drain"} for a, (up, w) in self.backends.items()]
        return config(service(backends=listed, ring=self.ring, protocol=self.protocol, flows=self.tracking))

    def takes_new(self):
        return {address for address, (up, weight) in self.backends.items() if up and weight}

    def forget_removed(self):
        self.told = {flow: b if b in self.backends else None for flow, b in self.told.items()}

    def judge(self, flow, opens, backend):
        """Whether `backend` (None: dropped for want of one) is right for the flow's packet. Remembers it."""
        known, fresh, takes_new = self.told.get(flow), flow not in self.told, self.takes_new()
        if known and not opens:
            allowed = {known}
        elif known:  # a SYN again, or a port used again: either is permitted
            allowed = (takes_new or {None}) | {known}
        elif opens or self.protocol == "udp":
            allowed = takes_new or {None}
        else:  # it began before this load balancer saw it, or lost its backend
            allowed = set(self.backends) or {None}
            if not takes_new:
                allowed.add(None)
        assert backend in allowed, f"flow {flow} (told {known}, opens {opens}): {backend} is not of {allowed}"
        if fresh and (opens or self.protocol == "udp"):
            self.agree_with_other_histories(flow, backend)
        self.told[flow] = backend or known

    def agree_with_other_histories(self, flow, backend):
        weights = frozenset((address, self.backends[address][1]) for address in self.takes_new())
        other = self.rings_seen.setdefault((self.protocol, weights, self.ring, flow), backend)
        assert other == backend, f"new flow {flow}: {backend}, in another history with these backends {other}"


def change(model, chance):
    """One to three random changes at once."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        address, what = chance.choice(POOL), chance.random()
        if address not in model.backends:
            model.backends[address] = (True, chance.choice((1, 1, 1, 2)))
        elif what < 0.35:
            del model.backends[address]
        elif what < 0.75:
            up, weight = model.backends[address]
            model.backends[address] = (not up, weight)
        else:
            model.backends[address] = (model.backends[address][0], chance.choice((0, 1, 2)))
    if chance.random() < 0.1:
        model.ring = chance.choice((256, 512, 1024))
    if chance.random() < 0.4:
        model.tracking = chance.choice(model.ways)
    if chance.random() < 0.3:  # what the order is must not matter
        model.backends = dict(chance.sample(list(model.backends.items()), len(model.backends)))
    model.forget_removed()


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


def play(driver, kind, seed, rings_seen):
    chance = random.Random(seed)
    model = Model(kind, rings_seen)
    for address in chance.sample(POOL, chance.randrange(1, 4)):
        model.backends[address] = (True, 1)
    frames = Flows(protocol=model.protocol)
    past = []
    try:
        driver.configure(model.document())
        for _ in range(CHANGES):
            past.append(dict(model.backends))
            speak(driver, model, frames, chance)
            change(model, chance)
            driver.apply(model.document())
        speak(driver, model, frames, chance)
    except AssertionError as broken:
        raise AssertionError(f"SLUICE_HISTORY_SEED={seed}: {broken}\n{kind}, after {past}") from broken


def play_some(kind, seeds, rings_seen):
    driver = Driver()
    try:
        for seed in seeds:
            play(driver, kind, seed, rings_seen)
    finally:
        driver.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_keeps_its_backend_through_any_history(kind):
    alone = os.environ.get("SLUICE_HISTORY_SEED")
    seeds = [int(alone)] if alone else range(HISTORIES)
    rings_seen = {}
    with ThreadPoolExecutor(AT_ONCE) as lanes:
        played = [lanes.submit(play_some, kind, seeds[lane::AT_ONCE], rings_seen) for lane in range(AT_ONCE)]
    for lane in played:
        lane.result()
