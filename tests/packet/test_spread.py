"""How flows spread over backends, and what the choice depends on: the flow, the seed, the set of backends."""

import ipaddress
import random
from collections import Counter

import pytest
from packet_driver import LIMITS
from packet_frames import VIP, Flows, config, packet, random_flows, service

BACKENDS = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
SEEDS = {"": 20000, "3f9c": 6000, "another seed": 4000, "a third": 4000}  # and how many flows

# Chi-square with 2 degrees of freedom is above this once in 100,000 times.
CHI_SQUARE_2 = 23.0


def weighted(weights):
    return [{"address": a, "weight": w} for a, w in zip(BACKENDS, weights, strict=True)]


def choices(driver, family, flows, flags="PA", destination=None):
    frames = Flows(family, destination=destination).frames(flows, flags)
    return [outcome.backend for outcome in driver.run_all(frames)]


def chi_square(chosen, weights):
    counts, total = Counter(chosen), sum(weights)
    expected = {a: len(chosen) * w / total for a, w in zip(BACKENDS, weights, strict=True)}
    assert counts.keys() <= expected.keys()
    return sum((counts[a] - expected[a]) ** 2 / expected[a] for a in expected)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("seed,count", SEEDS.items())
def test_flows_spread_by_weight(driver, seed, count, weights):
    driver.configure(config(service(backends=weighted(weights), ring=4096), seed=seed))
    chosen = choices(driver, 4, random_flows(count, seed=len(seed)), "S")
    assert chi_square(chosen, weights) < CHI_SQUARE_2
    assert driver.flow_entries() == 0


V4, V6 = int(ipaddress.ip_address("100.64.0.0")), int(ipaddress.ip_address("2001:db8:c::"))
POPULATIONS = {
    "one-client-ports-in-order": (4, [(V4 + 1, 1024 + i) for i in range(3000)]),
    "one-client-even-ports": (4, [(V4 + 1, 1024 + 2 * i) for i in range(3000)]),
    "one-client-ports-256-apart": (4, [(V4 + 1 + i // 250, 256 * (4 + i % 250)) for i in range(3000)]),
    "clients-in-order-one-port": (4, [(V4 + i, 40000) for i in range(3000)]),
    "clients-256-apart-one-port": (4, [(V4 + 256 * i, 40000) for i in range(3000)]),
    "clients-65536-apart-one-port": (4, [(65536 * (256 + i), 40000) for i in range(3000)]),
    "port-follows-address": (4, [(V4 + i, 1024 + i) for i in range(3000)]),
    "ipv6-last-word": (6, [(V6 + i, 40000) for i in range(3000)]),
    "ipv6-third-word": (6, [(V6 + (i << 32), 40000) for i in range(3000)]),
    "ipv6-second-word": (6, [(V6 + (i << 64), 40000) for i in range(3000)]),
    "ipv6-first-word": (6, [((0x20010000 + i) << 96 | 1, 40000) for i in range(3000)]),
    "ipv6-ports": (6, [(V6 + 1, 1024 + i) for i in range(3000)]),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_flows_that_are_much_alike_spread_as_well(driver, name):
    family, flows = POPULATIONS[name]
    driver.configure(config(service(vip=VIP[family], backends=weighted((1, 1, 1)), ring=4096)))
    assert chi_square(choices(driver, family, flows), (1, 1, 1)) < CHI_SQUARE_2


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_packet_of_a_flow_goes_to_the_same_backend(driver, family, protocol):
    driver.configure(config(service(vip=VIP[family], protocol=protocol, backends=BACKENDS)))
    flows = random_flows(200, family)
    runs = [
        [outcome.backend for outcome in driver.run_all(Flows(family, protocol).frames(flows, flags))]
        for flags in ("S", "PA", "PA", "FA", "S")
    ]
    assert all(run == runs[0] for run in runs)
    assert set(runs[0]) == set(BACKENDS)


@pytest.mark.parametrize("family", [4, 6])
def test_the_choice_is_the_flows_not_the_packets(driver, family):
    """Traffic class, identification, label, length, flags, padding are no part of the flow."""
    driver.configure(config(service(vip=VIP[family], backends=BACKENDS)))
    varied = [{"tos": 8}, {"id": 7, "flags": 0}, {"ttl": 3}] if family == 4 else [{"tc": 8}, {"fl": 77}, {"hlim": 3}]
    for port in range(2000, 2030):
        plain, longer = packet(family, sport=port), packet(family, sport=port, payload=b"longer" * 9)
        same = [plain, longer, plain + b"padding"]
        same += [packet(family, sport=port, **fields) for fields in varied]
        assert len({outcome.backend for outcome in driver.run_all(same)}) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_two_load_balancers_of_one_seed_agree(new_driver, family):
    """One was told of the backends in another order, one by one, with changes that were taken back."""
    flows = random_flows(1000, family)

    def web(backends):
        return config(service(vip=VIP[family], backends=backends, ring=1024), seed="fleet")

    at_once, piecemeal = new_driver(), new_driver()
    at_once.configure(web(weighted((1, 2, 3))))
    piecemeal.configure(web([{"address": BACKENDS[2], "weight": 9}]))
    piecemeal.apply(web(["10.0.0.77", {"address": BACKENDS[2], "weight": 3}]))
    piecemeal.apply(web([{"address": BACKENDS[2], "weight": 3}, {"address": BACKENDS[1], "weight": 2}, "10.0.0.77"]))
    piecemeal.apply(web(list(reversed(weighted((1, 2, 3))))))
    assert choices(at_once, family, flows, "S") == choices(piecemeal, family, flows, "S")


def test_another_seed_chooses_anew(new_driver):
    flows, chosen = random_flows(3000), []
    for seed in ("fleet", "Fleet"):
        driver = new_driver()
        driver.configure(config(service(backends=BACKENDS), seed=seed))
        chosen.append(choices(driver, 4, flows))
    same = sum(a == b for a, b in zip(*chosen, strict=True))
    assert 900 < same < 1100  # a third, by chance


def test_services_choose_independently(driver):
    """The VIP and its port are in the hash: the flows of a backend of one service spread over those of another."""
    driver.configure(config(service("a", "192.0.2.1", backends=BACKENDS), service("b", "192.0.2.2", backends=BACKENDS)))
    flows = random_flows(3000)
    first, second = (choices(driver, 4, flows, destination=vip) for vip in ("192.0.2.1", "192.0.2.2"))
    assert 900 < sum(a == b for a, b in zip(first, second, strict=True)) < 1100


@pytest.mark.parametrize("flows", ["auto", "tracked", "stateless"])
def test_flow_tracking_has_no_influence_on_where_new_flows_go(new_driver, flows):
    chosen = []
    for mode in ("auto", flows):
        driver = new_driver()
        driver.configure(config(service(backends=BACKENDS, flows=mode)))
        chosen.append(choices(driver, 4, random_flows(500), "S"))
    assert chosen[0] == chosen[1]


# ---- a fleet ----


def history_of(chance, wanted):
    """Any configurations, the last of them `wanted`."""
    pool = [f"10.0.0.{i}" for i in range(11, 22)]
    for _ in range(chance.randrange(1, 7)):
        backends = [
            {"address": a, "weight": chance.randrange(4), "state": chance.choice(("up", "up", "drain", "down"))}
            for a in chance.sample(pool, chance.randrange(len(pool)))
        ]
        yield {**wanted, "backends": backends, "ring": chance.choice((256, 1024, 4096, 65536))}
    yield {**wanted, "backends": chance.sample(wanted["backends"], len(wanted["backends"]))}


@pytest.mark.parametrize("hashed", ["5-tuple", "source-ip"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_fleet_agrees_on_100_000_flows_whatever_its_members_histories(new_driver, family, hashed):
    """Stable flows: the histories are long over in both."""
    chance = random.Random(f"{family} {hashed}")
    backends = [{"address": f"10.0.0.{i}", "weight": 1 + i % 3} for i in range(11, 21)]
    backends[3]["state"], backends[5]["state"] = "drain", "down"
    wanted = service(vip=VIP[family], backends=backends, hash=hashed, ring=65536)
    flows = Flows(family).frames(random_flows(100_000, family, seed=77))
    chosen = []
    for _ in range(2):
        member = new_driver()
        for step, each in enumerate(history_of(chance, wanted)):
            document = config(each, seed="fleet") | {"limits": {**LIMITS, "ring_slots": 1 << 18}}
            if step == 0:
                member.configure(document)
            else:
                member.apply(document)
                if chance.random() < 0.3:
                    member.settle("silent")
        assert member.settle("silent")["tracked_slots"] == 0
        chosen.append(member.choices(flows))
    assert set(chosen[0]) == {b["address"] for b in backends if "state" not in b}
    assert sum(a != b for a, b in zip(*chosen, strict=True)) == 0
