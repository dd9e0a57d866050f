"""What a change of a service's backends does to flows that were there before, and to new ones.

`OLD` flows were seen before the change and send data after it; `NEW` ones open with a SYN after it.
"""

import pytest
from packet_frames import VIP, Flows, config, random_flows, service

A, B, C, D, E = (f"10.0.0.{i}" for i in range(11, 16))
OLD, NEW = random_flows(400, seed=11), random_flows(400, seed=12)
OLD6, NEW6 = random_flows(400, 6, seed=11), random_flows(400, 6, seed=12)


def drained(address):
    return {"address": address, "state": "drain"}


def web(*backends, **more):
    return config(service(backends=list(backends), **{"ring": 1024, **more}))


def sent(driver, flows, tcp_flags="PA", family=4, protocol="tcp"):
    """The backend of each flow's packet; None where it was dropped."""
    return [outcome.backend for outcome in driver.run_all(Flows(family, protocol).frames(flows, tcp_flags))]


CHANGES = {
    "add": ((A, B, C), (A, B, C, D)),
    "add-two": ((A, B), (A, B, C, D)),
    "add-to-one": ((A,), (A, B)),
    "drain": ((A, B, C), (drained(A), B, C)),
    "drain-two": ((A, B, C), (drained(A), drained(B), C)),
    "drain-all": ((A, B, C), (drained(A), drained(B), drained(C))),
    "drain-and-add": ((A, B, C), (drained(A), B, C, D)),
    "return-from-drain": ((drained(A), B, C), (A, B, C)),
    "weight-up": ((A, B, C), ({"address": A, "weight": 5}, B, C)),
    "weight-to-0": ((A, B, C), ({"address": A, "weight": 0}, B, C)),
    "order": ((A, B, C), (C, A, B)),
}


@pytest.mark.parametrize("family,protocol", [(4, "tcp"), (6, "tcp"), (4, "udp"), (6, "udp")])
@pytest.mark.parametrize("name", CHANGES)
def test_flows_stay_where_they_are(driver, name, family, protocol):
    before, after = CHANGES[name]
    flows = OLD if family == 4 else OLD6
    kind = {"vip": VIP[family], "protocol": protocol}
    driver.configure(web(*before, **kind))
    told = sent(driver, flows, "S", family, protocol)
    assert sent(driver, flows, "PA", family, protocol) == told
    driver.apply(web(*after, **kind))
    for tcp_flags in ("PA", "PA", "FA"):
        assert sent(driver, flows, tcp_flags, family, protocol) == told


@pytest.mark.parametrize("resize", [(1024, 4096), (4096, 1024), (256, 512), (512, 256)], ids=str)
def test_flows_stay_when_the_ring_is_resized(driver, resize):
    driver.configure(web(A, B, C, ring=resize[0]))
    told = sent(driver, OLD)
    driver.apply(web(A, B, C, ring=resize[1]))
    assert sent(driver, OLD) == told
    driver.apply(web(drained(A), B, C, D, ring=resize[0]))
    assert sent(driver, OLD) == told


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_new_flows_never_go_to_a_drained_backend(driver, protocol):
    driver.configure(web(A, B, C, protocol=protocol))
    sent(driver, OLD, protocol=protocol)
    driver.apply(web(drained(A), B, C, protocol=protocol))
    assert set(sent(driver, NEW, "S", protocol=protocol)) == {B, C}
    sent(driver, OLD, protocol=protocol)
    assert set(sent(driver, random_flows(400, seed=13), "S", protocol=protocol)) == {B, C}


def test_new_flows_stay_where_their_syn_went_while_slots_are_tracked(driver):
    driver.configure(web(A, B, C))
    sent(driver, OLD)
    driver.apply(web(drained(A), B, C, D))
    told = sent(driver, NEW, "S")
    assert sent(driver, NEW) == told
    driver.apply(web(A, drained(B), C, E, D))
    assert sent(driver, NEW) == told


def test_a_drained_backend_that_returns_gets_new_flows(driver):
    driver.configure(web(drained(A), B))
    assert set(sent(driver, OLD, "S")) == {B}
    driver.apply(web(A, B))
    assert set(sent(driver, NEW, "S")) == {A, B}


def test_a_silent_flow_is_kept_through_several_changes(driver):
    """It said nothing in between, so that only the slot's origin can tell where it was."""
    driver.configure(web(A, B, C))
    told = sent(driver, OLD)
    for backends in ((drained(A), B, C), (drained(A), B, C, D), (A, drained(B), C, D, E), (A, drained(B), C, D)):
        driver.apply(web(*backends))
    assert sent(driver, OLD) == told
    driver.apply(web(A, B, C))
    assert sent(driver, OLD) == told


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_removal_moves_only_the_removed_ones_flows(driver, protocol):
    driver.configure(web(A, B, C, protocol=protocol))
    told = sent(driver, OLD, protocol=protocol)
    driver.apply(web(B, C, protocol=protocol))
    moved = sent(driver, OLD, protocol=protocol)
    assert all(now == was for was, now in zip(told, moved, strict=True) if was != A)
    assert {now for was, now in zip(told, moved, strict=True) if was == A} == {B, C}
    assert sent(driver, OLD, protocol=protocol) == moved


def test_removal_after_a_drain_moves_only_the_rest(driver):
    driver.configure(web(A, B, C))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), B, C))
    fresh = sent(driver, NEW, "S")
    assert sent(driver, OLD) == told
    driver.apply(web(B, C))
    after = sent(driver, OLD)
    assert all(now == was for was, now in zip(told, after, strict=True) if was != A)
    assert None not in after and A not in after
    assert sent(driver, NEW) == fresh


def test_removing_all_drops_and_a_later_backend_takes_over(driver):
    driver.configure(web(A, B))
    sent(driver, OLD)
    driver.apply(web())
    assert set(sent(driver, OLD)) == {None}
    driver.apply(web(C))
    assert set(sent(driver, OLD)) == {C}


def test_drained_to_nothing_keeps_old_flows_and_takes_no_new_ones(driver):
    driver.configure(web(A, B))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), drained(B)))
    assert sent(driver, OLD) == told
    assert set(sent(driver, NEW, "S")) == {None}
    driver.apply(web(drained(A), drained(B), C))
    assert set(sent(driver, NEW, "S")) == {C}
    assert sent(driver, OLD) == told


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_id_that_is_used_again_takes_no_flow_with_it(new_driver, protocol):
    """A's flows are in the flow table when A goes; E gets A's id. They may go where E's service says, not all to E."""
    driver, fresh = new_driver(), new_driver()
    driver.configure(web(A, B, C, protocol=protocol))
    told = sent(driver, OLD, protocol=protocol)
    driver.apply(web(drained(A), B, C, protocol=protocol))
    assert sent(driver, OLD, protocol=protocol) == told
    driver.apply(web(B, C, protocol=protocol))
    fresh.configure(web(B, C, protocol=protocol))
    without_a = sent(fresh, OLD, "S", protocol=protocol)
    driver.apply(web(B, C, D, E, protocol=protocol))
    fresh.configure(web(B, C, D, E, protocol=protocol))
    with_e = sent(fresh, OLD, "S", protocol=protocol)
    now = sent(driver, OLD, protocol=protocol)
    for was, rings, backend in zip(told, zip(without_a, with_e, strict=True), now, strict=True):
        assert backend in (rings if was == A else (was,))
    of_a = [backend for was, backend in zip(told, now, strict=True) if was == A]
    assert len(set(of_a)) > 1


def test_an_id_that_moves_to_another_service_takes_no_flow_with_it(driver):
    def both(first, second):
        return config(service("a", port=80, backends=first), service("b", port=81, backends=second))

    driver.configure(both([A, B], [C]))
    sent(driver, OLD)
    driver.apply(both([drained(A), B], [C]))
    sent(driver, OLD)
    driver.apply(both([B], [C]))
    driver.apply(both([B], [C, D, E]))
    assert {(o.service, o.backend) for o in driver.run_all(Flows().frames(OLD))} == {("a", B)}
    assert {o.service for o in driver.run_all(Flows(dport=81).frames(NEW))} == {"b"}


def test_new_flows_go_where_the_set_of_backends_says_whatever_the_history(new_driver):
    changed, fresh = new_driver(), new_driver()
    changed.configure(web(A))
    for backends in ((A, B), (A, drained(B), C), (C, D, A), (D, E, drained(A)), (A, C, E)):
        changed.apply(web(*backends))
    fresh.configure(web(A, C, E))
    assert sent(changed, NEW, "S") == sent(fresh, NEW, "S")


@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_change_moves_few_new_flows_that_it_need_not(new_driver, change):
    """New flows that a change moves between backends that it did not touch: the ring is consistent."""
    chosen = []
    for backends in ((A, B, C, D), (A, B, C, D, E)):
        driver = new_driver()
        driver.configure(web(*backends, ring=4096))
        chosen.append(sent(driver, random_flows(2000), "S"))
    if change == "remove":
        chosen.reverse()
    needless = sum(was != now and E not in (was, now) for was, now in zip(*chosen, strict=True))
    assert needless < 2000 * 0.05


def test_flows_of_a_backend_that_is_being_retired_move_at_once(driver):
    """Between its retirement and the clearing of the table its flows' entries still name it."""
    driver.configure(web(A, B))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), B))
    assert sent(driver, OLD) == told
    driver.ask({"state": {"service": "web", "address": A, "state": 0}})
    assert set(sent(driver, OLD)) == {B}


# ---- what is in the flow table ----


def test_flows_that_differ_only_in_their_endpoint_are_told_apart(driver):
    """The last service's addresses are, as bytes, the first one's with zeros behind."""
    families = {"a": 4, "port": 4, "protocol": 4, "vip": 4, "family": 6}
    services = [
        service("a", "192.0.2.1", 80, "udp", ["10.0.1.1"]),
        service("port", "192.0.2.1", 81, "udp", ["10.0.1.2"]),
        service("protocol", "192.0.2.1", 80, "tcp", ["10.0.1.3"], flows="tracked"),
        service("vip", "192.0.2.2", 80, "udp", ["10.0.1.4"]),
        service("family", "c000:201::", 80, "udp", ["10.0.1.5"]),
    ]
    driver.configure(config(*services))
    for each in services * 2:
        family = families[each["name"]]
        host, _, port = each["vip"].rpartition(":")
        frames = Flows(family, each["protocol"], host.strip("[]"), int(port))
        flows = [(source if family == 4 else source << 96, sport) for source, sport in NEW[:50]]
        assert {outcome.service for outcome in driver.run_all(frames.frames(flows))} == {each["name"]}
    assert driver.flow_entries() == 5 * 50


def test_in_a_steady_state_tcp_leaves_no_flow_in_the_table(driver):
    driver.configure(web(A, B, C))
    for tcp_flags in ("S", "PA", "FA", "S"):
        sent(driver, OLD, tcp_flags)
    sent(driver, random_flows(3000), "S")
    assert driver.flow_entries() == 0


def test_only_flows_of_moved_slots_enter_the_table(driver):
    """With two backends a drain moves the slots of the drained one and no other."""
    driver.configure(web(A, B))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), B))
    sent(driver, OLD)
    assert driver.flow_entries() == told.count(A)


def test_the_slots_of_a_removed_backend_need_no_table(driver):
    driver.configure(web(A, B))
    sent(driver, OLD)
    driver.apply(web(B))
    sent(driver, OLD)
    sent(driver, NEW, "S")
    assert driver.flow_entries() == 0


TRACKED = [{"protocol": "udp"}, {"flows": "tracked"}, {"protocol": "udp", "flows": "tracked"}]


@pytest.mark.parametrize("kind", TRACKED, ids=str)
def test_a_tracked_service_has_every_flow_in_the_table(driver, kind):
    driver.configure(web(A, B, C, **kind))
    for _ in range(2):
        sent(driver, OLD, protocol=kind.get("protocol", "tcp"))
        assert driver.flow_entries() == len(OLD)


def test_flows_of_a_removed_backend_leave_the_table(driver):
    driver.configure(web(A, B, C, protocol="udp"))
    told = sent(driver, OLD, protocol="udp")
    driver.apply(web(B, C, protocol="udp"))
    assert driver.flow_entries() == len(OLD) - told.count(A)


def test_flows_of_a_removed_service_leave_the_table(driver):
    driver.configure(web(A, B, C, protocol="udp"))
    sent(driver, OLD, protocol="udp")
    driver.apply(config())
    assert driver.flow_entries() == 0


def test_dropped_packets_of_an_empty_service_leave_nothing_in_the_table(driver):
    driver.configure(web(protocol="udp"))
    sent(driver, OLD, protocol="udp")
    assert driver.flow_entries() == 0


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_stateless_flows_follow_the_ring(new_driver, protocol):
    driver, fresh = new_driver(), new_driver()
    driver.configure(web(A, B, C, protocol=protocol, flows="stateless"))
    told = sent(driver, OLD, protocol=protocol)
    for backends in ((drained(A), B, C), (A, B, C, D), (B, D)):
        driver.apply(web(*backends, protocol=protocol, flows="stateless"))
        fresh.configure(web(*backends, protocol=protocol, flows="stateless"))
        assert sent(driver, OLD, protocol=protocol) == sent(fresh, OLD, protocol=protocol)
    driver.apply(web(A, B, C, protocol=protocol, flows="stateless"))
    assert sent(driver, OLD, protocol=protocol) == told
    assert driver.flow_entries() == 0


# ---- the way of tracking changes ----


def test_flows_stay_when_a_tcp_service_begins_to_track(driver):
    driver.configure(web(A, B, C))
    told = sent(driver, OLD)
    driver.apply(web(A, B, C, flows="tracked"))
    assert sent(driver, OLD) == told
    driver.apply(web(drained(A), B, C, flows="tracked"))
    assert sent(driver, OLD) == told


def test_silent_flows_stay_when_a_tcp_service_begins_to_track(driver):
    driver.configure(web(A, B, C))
    told = sent(driver, OLD)
    driver.apply(web(A, B, C, flows="tracked"))
    driver.apply(web(drained(A), B, C, flows="tracked"))
    assert sent(driver, OLD) == told


def test_flows_stay_when_a_stateless_service_begins_to_track_changes(driver):
    driver.configure(web(A, B, C, flows="stateless"))
    sent(driver, OLD)
    driver.apply(web(drained(A), B, C, flows="stateless"))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), B, C))
    assert sent(driver, OLD) == told


def test_flows_stay_when_a_tcp_service_ends_to_track(driver):
    """Only the table knows the flows that changes left behind."""
    driver.configure(web(A, B, C, flows="tracked"))
    told = sent(driver, OLD)
    driver.apply(web(drained(A), B, C, D, flows="tracked"))
    assert sent(driver, OLD) == told
    driver.apply(web(drained(A), B, C, D))
    assert sent(driver, OLD) == told


def test_a_client_that_uses_a_port_again_is_a_new_flow(driver):
    """The old connection is over (FIN seen); its entry must not bring new connections to a drained backend."""
    driver.configure(web(A, B))
    sent(driver, OLD)
    driver.apply(web(drained(A), B))
    sent(driver, OLD, "FA")
    assert set(sent(driver, OLD, "S")) == {B}
