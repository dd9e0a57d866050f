"""A packet for a service that cannot be forwarded is dropped with its reason; and interfaces other than the ingress."""

import os
import subprocess

import pytest
from packet_driver import Refused
from packet_frames import BACKEND, VIP, Flows, assert_forwarded, config, packet, random_flows, service

UNSET, UP, UNRESOLVED, UPDATING = range(4)  # enum sl_backend_state

NONE_LIVE = {
    "none": [],
    "drained": [{"address": "10.0.0.11", "state": "drain"}],
    "all-drained": [{"address": f"10.0.0.1{i}", "state": "drain"} for i in range(5)],
    "weight-0": [{"address": "10.0.0.11", "weight": 0}],
    "drained-and-weight-0": [{"address": "10.0.0.11", "weight": 0}, {"address": "10.0.0.12", "state": "drain"}],
}


@pytest.mark.parametrize("name", NONE_LIVE)
@pytest.mark.parametrize("family,protocol", [(4, "tcp"), (4, "udp"), (6, "tcp"), (6, "udp")])
def test_a_service_without_a_live_backend_drops(driver, name, family, protocol):
    driver.configure(config(service(vip=VIP[family], protocol=protocol, backends=NONE_LIVE[name])))
    assert driver.run(packet(family, protocol)).reason == "no_backend"
    assert driver.run(packet(family, protocol, tcp_flags="S")).reason == "no_backend"
    assert driver.flow_entries() == 0


def test_the_first_backend_of_an_empty_service_gets_its_flows(driver):
    driver.configure(config(service(backends=[])))
    assert driver.run(packet()).reason == "no_backend"
    driver.apply(config(service()))
    frame = packet()
    assert_forwarded(driver.run(frame), frame, BACKEND[4])


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_backend_without_a_path_drops_and_others_go_on(driver, protocol):
    backends = ["10.0.0.11", "10.0.0.12"]
    driver.configure(config(service(protocol=protocol, backends=backends)), {"10.0.0.12": None})
    frames = Flows(protocol=protocol).frames(random_flows(60))
    seen = {(outcome.reason, outcome.backend) for outcome in driver.run_all(frames)}
    assert seen == {("unresolved", None), (None, "10.0.0.11")}


@pytest.mark.parametrize("backend", [BACKEND[4], BACKEND[6]])
def test_without_a_source_for_outer_packets_a_backend_is_unresolved(driver, backend):
    other_family = "2001:db8::1" if backend == BACKEND[4] else "192.0.2.9"
    driver.configure(config(service(backends=[backend]), source4=None, source6=None), {"source": other_family})
    assert driver.run(packet()).reason == "unresolved"


@pytest.mark.parametrize("state,reason", [(UNRESOLVED, "unresolved"), (UPDATING, "updating"), (UNSET, "no_backend")])
@pytest.mark.parametrize("flows", ["auto", "tracked", "stateless"])
def test_a_backends_state_decides_for_its_packets(driver, state, reason, flows):
    driver.configure(config(service(flows=flows)))
    change = {"service": "web", "address": BACKEND[4]}
    driver.ask({"state": {**change, "state": state}})
    assert driver.run(packet()).reason == reason
    driver.ask({"state": {**change, "state": UP}})
    frame = packet()
    assert_forwarded(driver.run(frame), frame, BACKEND[4])


@pytest.mark.parametrize("backend,reason", [(1 << 30, "broken_table"), (64, "no_backend"), (65, "broken_table")])
def test_a_slot_that_names_a_backend_that_cannot_be(driver, backend, reason):
    driver.configure(config(service()))
    driver.ask({"slots": {"service": "web", "id": backend}})
    assert driver.run(packet()).reason == reason


@pytest.mark.parametrize("inner,outer", [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_a_frame_without_headroom_is_dropped(driver, inner, outer):
    """The kernel takes new headers only while they leave struct xdp_frame (40 bytes) and the metadata their room."""
    header = 20 if outer == 4 else 40
    driver.configure(config(service(vip=VIP[inner], backends=[BACKEND[outer]])))
    frame = packet(inner)
    try:
        by_room = {room: driver.run(frame, metadata=256 - room) for room in range(40, 120, 4)}
    except Refused:
        pytest.skip("this kernel takes too little metadata to fill the headroom with")
    enough = [room for room, outcome in by_room.items() if outcome.reason is None]
    assert {outcome.reason for outcome in by_room.values()} == {None, "no_headroom"}
    assert enough == [room for room in by_room if room >= min(enough)]
    assert header <= min(enough) <= header + 48
    for room in enough:
        assert_forwarded(by_room[room], frame, BACKEND[outer])


@pytest.mark.parametrize("mtu", [0, 19, 20, 87])  # an answer would say less than IPv4's least MTU, 68
def test_a_path_that_takes_next_to_nothing_drops(driver, mtu):
    driver.configure(config(service()), {"mtu": mtu})
    assert driver.run(packet(payload=b"m" * 1300)).reason == "too_big"


def test_the_mtu_is_each_backends_own(driver):
    driver.configure(config(service(backends=["10.0.0.11", "10.0.0.12"])), {"mtu": 9000, "10.0.0.12": {"mtu": 60}})
    seen = {(o.reason, o.backend) for o in driver.run_all(Flows().frames(random_flows(60)))}
    assert seen == {(None, "10.0.0.11"), ("too_big", None)}


# ---- other interfaces ----


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespace():
    """The name of a network namespace of the test's own."""
    name = f"sl-packet-{os.getpid()}"
    ip("netns", "add", name)
    yield name
    ip("netns", "delete", name)


def make_link(namespace, name):
    """A link of the namespace; returns its index."""
    ip("-n", namespace, "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
    ip("-n", namespace, "link", "set", name, "up")
    return int(ip("-n", namespace, "-o", "link", "show", name).split(":")[0])


@pytest.fixture
def elsewhere(new_driver, namespace):
    """A driver in a namespace with a second interface, and that one's index."""
    index = make_link(namespace, "out")
    return new_driver(namespace), index, namespace


@pytest.mark.parametrize("inner,outer", [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_a_backend_behind_another_interface_is_redirected_to(elsewhere, inner, outer):
    driver, index, _ = elsewhere
    driver.configure(config(service(vip=VIP[inner], backends=[BACKEND[outer]])), {"ifindex": index})
    frame = packet(inner)
    assert_forwarded(driver.run(frame), frame, BACKEND[outer], action="redirect")


def test_each_backend_leaves_by_its_own_interface(elsewhere):
    driver, index, _ = elsewhere
    driver.configure(config(service(backends=["10.0.0.11", "10.0.0.12"])), {"10.0.0.12": {"ifindex": index}})
    seen = {(o.action, o.backend) for o in driver.run_all(Flows().frames(random_flows(60)))}
    assert seen == {("tx", "10.0.0.11"), ("redirect", "10.0.0.12")}


def test_an_interface_that_is_gone_drops_its_packets_only(elsewhere):
    driver, index, namespace = elsewhere
    driver.configure(config(service(backends=["10.0.0.11", "10.0.0.12"])), {"10.0.0.12": {"ifindex": index}})
    ip("-n", namespace, "link", "delete", "out")
    seen = {(o.action, o.reason, o.backend) for o in driver.run_all(Flows().frames(random_flows(60)))}
    assert seen == {("tx", None, "10.0.0.11"), ("drop", "no_egress", None)}


def test_an_interface_that_does_not_exist_leaves_the_backend_unresolved(driver):
    driver.configure(config(service()), {"ifindex": 0x7FFFFFF0})
    assert {(o.action, o.reason) for o in driver.run_all(Flows().frames(random_flows(5)))} == {("drop", "unresolved")}


def test_a_refused_change_leaves_the_traffic_as_it_was(driver):
    flows = Flows().frames(random_flows(60))
    driver.configure(config(service(backends=["10.0.0.11", "10.0.0.12"])))
    before = [outcome.backend for outcome in driver.run_all(flows)]
    with pytest.raises(Refused, match="10.0.0.13"):
        driver.apply(config(service(backends=["10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.13"])))
    assert [outcome.backend for outcome in driver.run_all(flows)] == before
    driver.apply(config(service(backends=["10.0.0.11", "10.0.0.12", "10.0.0.14"])))
    assert [outcome.backend for outcome in driver.run_all(flows)] == before
    assert {o.backend for o in driver.run_all(Flows().frames(random_flows(60, seed=2), "S"))} == {
        "10.0.0.11",
        "10.0.0.12",
        "10.0.0.14",
    }
