"""The flow table under pressure, and how slots settle: what the table may cost, and what it must never cost."""

import pytest
from packet_driver import LIMITS
from packet_frames import Flows, config, random_flows, service

A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
FEW = {**LIMITS, "flows": 1024}
FLOOD = random_flows(6000, seed=99)


def drained(address):
    return {"address": address, "state": "drain"}


def web(*backends, **more):
    return config(service(backends=list(backends), **{"ring": 1024, **more})) | {"limits": FEW}


def sent(driver, flows, tcp_flags="PA", protocol="tcp"):
    return driver.choices(Flows(protocol=protocol).frames(flows, tcp_flags))


def risen(driver, before):
    return {name: count - before[name] for name, count in driver.flow_events().items() if count != before[name]}


# ---- the steady state ----


@pytest.mark.parametrize("hashed", ["5-tuple", "source-ip", "source-ip,port"])
def test_in_a_steady_state_no_packet_asks_the_table(driver, hashed):
    driver.configure(web(A, B, C, hash=hashed))
    for tcp_flags in ("S", "PA", "FA"):
        sent(driver, random_flows(1000), tcp_flags)
    assert driver.flow_entries() == 0
    assert set(driver.flow_events().values()) == {0}


def test_stateless_services_never_ask_the_table(driver):
    driver.configure(web(A, B, flows="stateless"))
    driver.apply(web(drained(A), B, flows="stateless"))
    sent(driver, random_flows(500))
    assert set(driver.flow_events().values()) == {0}


def test_packets_of_slots_that_did_not_move_ask_nothing(driver):
    flows = random_flows(1000)
    driver.configure(web(A, B))
    told = sent(driver, flows)
    driver.apply(web(drained(A), B))
    before = driver.flow_events()
    sent(driver, [flow for flow, backend in zip(flows, told, strict=True) if backend == B])
    assert risen(driver, before) == {}


# ---- what is written down, and when ----


def test_a_flow_is_learned_with_its_first_packet_and_kept_with_its_second(driver):
    driver.configure(web(A, B))
    flows = [f for f, b in zip(random_flows(300), sent(driver, random_flows(300)), strict=True) if b == A]
    driver.apply(web(drained(A), B))
    before = driver.flow_events()
    count = len(flows)
    sent(driver, flows)
    assert risen(driver, before) == {"asked": count, "learned": count}
    sent(driver, flows)
    assert risen(driver, before) == {"asked": 2 * count, "learned": count, "kept": count}
    sent(driver, flows)
    assert risen(driver, before) == {"asked": 3 * count, "learned": count, "kept": count}
    assert driver.flow_entries() == count


def test_a_syn_that_is_sent_again_is_not_kept(driver):
    driver.configure(web(A, B))
    driver.apply(web(drained(A), B))
    for _ in range(3):
        sent(driver, FLOOD[:500], "S")
    assert driver.flow_events()["kept"] == 0


# ---- floods ----


@pytest.mark.parametrize("tcp_flags", ["S", "PA", "FA"])
def test_a_flood_pushes_out_no_flow_that_has_spoken_twice(driver, tcp_flags):
    """Each kind of flow: older than the change, and begun since."""
    flows, fresh = random_flows(400, seed=1), random_flows(400, seed=2)
    driver.configure(web(A, B, C))
    told = sent(driver, flows)
    driver.apply(web(drained(A), B, C))
    assert sent(driver, flows) == told
    assert sent(driver, flows) == told
    told_fresh = sent(driver, fresh, "S")
    assert sent(driver, fresh) == told_fresh
    sent(driver, FLOOD, tcp_flags)
    driver.apply(web(A, drained(B), C))  # nothing but the table knows where the fresh ones are
    assert sent(driver, fresh) == told_fresh
    assert sent(driver, flows) == told


@pytest.mark.parametrize("tcp_flags", ["S", "PA"])
def test_a_flood_pushes_out_no_silent_flow_that_is_older_than_the_change(driver, tcp_flags):
    flows = random_flows(400, seed=1)
    driver.configure(web(A, B, C))
    told = sent(driver, flows)
    driver.apply(web(drained(A), B, C))
    sent(driver, FLOOD, tcp_flags)
    assert sent(driver, flows) == told


def test_a_flood_of_udp_pushes_out_no_flow_that_has_spoken_twice(driver):
    flows = random_flows(400, seed=1)
    driver.configure(web(A, B, C, protocol="udp"))
    told = sent(driver, flows, protocol="udp")
    assert sent(driver, flows, protocol="udp") == told
    sent(driver, FLOOD, protocol="udp")
    driver.apply(web(drained(A), B, C, protocol="udp"))
    assert sent(driver, flows, protocol="udp") == told


# ---- a table that is full ----


def test_a_full_table_is_counted_and_stops_no_traffic(driver):
    flows = random_flows(3000, seed=1)
    driver.configure(web(A, B, flows="tracked"))
    for start in range(0, len(flows), 100):
        for tcp_flags in ("S", "PA", "PA"):
            assert set(sent(driver, flows[start : start + 100], tcp_flags)) == {A, B}
    events = driver.flow_events()
    assert FEW["flows"] * 0.9 < events["kept"] < FEW["flows"] * 1.1  # the kernel counts elements a CPU at a time
    assert events["full"] > 2 * (len(flows) - FEW["flows"] * 1.1)
    assert set(sent(driver, flows)) == {A, B}


def test_what_a_full_table_could_not_keep_follows_the_ring_and_the_rest_stays(driver):
    flows = random_flows(3000, seed=1)
    driver.configure(web(A, B, flows="tracked"))
    told = sent(driver, flows)
    sent(driver, flows[:1024])
    sent(driver, flows)
    driver.apply(web(drained(A), B, C, flows="tracked"))
    now = sent(driver, flows)
    assert now[:1024] == told[:1024]
    assert None not in now
    assert now == told, "origins keep what the table could not"


def test_flows_that_are_over_make_room(driver):
    driver.configure(web(A, B, flows="tracked"))
    for flows in (random_flows(1024, seed=1), random_flows(1024, seed=2)):
        sent(driver, flows, "S")
        sent(driver, flows)
        driver.settle("silent")
        assert driver.flow_entries() == 0
    assert driver.flow_events()["full"] == 0


# ---- settling ----


def test_slots_settle_when_everybody_is_silent(driver):
    driver.configure(web(A, B))
    flows = random_flows(300)
    told = sent(driver, flows)
    driver.apply(web(drained(A), B))
    assert sent(driver, flows) == told
    settled = driver.settle("silent")
    assert (settled["settled_slots"], settled["tracked_slots"]) == (512, 0)
    assert driver.flow_entries() == 0
    before = driver.flow_events()
    assert set(sent(driver, flows)) == {B}
    assert risen(driver, before) == {}, "the steady state costs nothing again"


def test_flows_that_speak_hold_their_slots_and_no_others(driver):
    driver.configure(web(A, B), exact_times=True)
    flows = random_flows(40)
    told = sent(driver, flows)
    driver.apply(web(drained(A), B))
    assert sent(driver, flows) == told
    on_a = told.count(A)
    for _ in range(3):
        settled = driver.settle("spoken")
        assert on_a - 5 <= settled["tracked_slots"] <= on_a  # a few share a slot
        assert driver.flow_entries() == on_a
        assert sent(driver, flows) == told


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_flow_that_speaks_in_the_midst_of_a_reading_is_not_missed(driver, steps):
    """Its second packet moves it from one half of the table to the other."""
    driver.configure(web(A, B), exact_times=True)
    flows = random_flows(100)
    told = sent(driver, flows)
    driver.apply(web(drained(A), B))
    assert sent(driver, flows) == told
    driver.ask({"settle": {"grace_over": "awake", "steps": steps}})
    assert sent(driver, flows) == told
    for _ in range(2):
        driver.settle("awake")
        assert sent(driver, flows) == told


def test_closed_flows_hold_no_slot(driver):
    driver.configure(web(A, B), exact_times=True)
    flows = random_flows(40)
    sent(driver, flows)
    driver.apply(web(drained(A), B))
    sent(driver, flows, "FA")
    assert driver.settle("spoken")["tracked_slots"] == 0


def test_a_ring_that_shrank_gives_its_room_back(driver):
    driver.configure(web(A, B, C, ring=4096))
    flows = random_flows(300)
    told = sent(driver, flows)
    driver.apply(web(A, B, C, ring=256))
    assert sent(driver, flows) == told
    settled = driver.settle("silent")
    assert (settled["slots"], settled["tracked_slots"]) == (256, 0)


# ---- the hash changes ----

HASHES = ["5-tuple", "source-ip", "source-ip,port"]


@pytest.mark.parametrize("before", HASHES)
@pytest.mark.parametrize("after", HASHES)
def test_flows_stay_when_the_hash_changes(driver, before, after):
    flows = random_flows(400)
    driver.configure(web(A, B, C, hash=before))
    told = sent(driver, flows)
    driver.apply(web(A, B, C, hash=after))
    driver.apply(web(drained(A), B, C, hash=after))  # silent in between
    assert sent(driver, flows) == told
    driver.apply(web(A, B, C, hash=before))
    assert sent(driver, flows) == told


@pytest.mark.parametrize("before", HASHES)
@pytest.mark.parametrize("after", HASHES)
def test_new_flows_go_where_the_new_hash_says(new_driver, before, after):
    flows = random_flows(400, seed=2)
    changed, fresh = new_driver(), new_driver()
    changed.configure(web(A, B, C, hash=before))
    changed.apply(web(A, B, C, hash=after))
    fresh.configure(web(A, B, C, hash=after))
    assert sent(changed, flows, "S") == sent(fresh, flows, "S")
    changed.settle("silent")
    assert sent(changed, flows) == sent(fresh, flows)
