"""Fragments of TCP and UDP packets follow their first one, which alone has ports. scapy cuts the packets."""

import pytest
from packet_frames import VIP, assert_forwarded, config, eth, network, service, transport
from scapy.layers.inet import IP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
CLIENTS = {4: "198.51.100.{}", 6: "2001:db8:c::{:x}"}


def cut(family, protocol, i, port=80, before=None):
    """The frames of one long packet of client `i`, in order."""
    source = CLIENTS[family].format(i + 1)
    behind = transport(protocol, 30000 + i, port) / Raw(bytes(3000))
    if family == 4:
        return [bytes(eth() / each) for each in fragment(network(4, source=source, id=500 + i, flags=0) / behind, 800)]
    ip = network(6, source=source)
    whole = (ip / before if before else ip) / IPv6ExtHdrFragment(id=500 + i) / behind
    return [bytes(eth() / each) for each in fragment6(whole, 900)]


def whole(family, protocol, i, port=80):
    ip = network(family, source=CLIENTS[family].format(i + 1))
    return bytes(eth() / ip / transport(protocol, 30000 + i, port))


def web(*backends, family=4, protocol="tcp", **more):
    return config(service(vip=VIP[family], protocol=protocol, backends=list(backends), ring=1024, **more))


def backends_of(driver, frames):
    outcomes = driver.run_all(frames)
    for frame, outcome in zip(frames, outcomes, strict=True):
        assert_forwarded(outcome, frame, outcome.backend)
    return [outcome.backend for outcome in outcomes]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_all_fragments_go_where_the_flow_is(driver, family, protocol):
    driver.configure(web(A, B, C, family=family, protocol=protocol))
    told = backends_of(driver, [whole(family, protocol, i) for i in range(24)])
    assert set(told) == {A, B, C}
    for i, backend in enumerate(told):
        frames = cut(family, protocol, i)
        assert len(frames) >= 4
        assert set(backends_of(driver, frames)) == {backend}


def test_fragments_behind_an_extension_header(driver):
    driver.configure(web(A, B, C, family=6, protocol="udp"))
    for i in range(12):
        (backend,) = backends_of(driver, [whole(6, "udp", i)])
        assert set(backends_of(driver, cut(6, "udp", i, before=IPv6ExtHdrDestOpt()))) == {backend}


def test_later_fragments_may_come_in_any_order_behind_the_first(driver):
    driver.configure(web(A, B, C, protocol="udp"))
    for i in range(12):
        first, *later = cut(4, "udp", i)
        assert len(set(backends_of(driver, [first, *reversed(later), later[0]]))) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_a_fragment_before_its_first_is_an_orphan_and_passed(driver, family):
    driver.configure(web(A, B, C, family=family, protocol="udp"))
    first, second, *_ = cut(family, "udp", 1)
    assert driver.run(second).reason == "orphan"
    assert driver.run(first).reason is None
    assert driver.run(second).reason is None


def test_fragments_of_different_packets_are_not_mixed_up(driver):
    """Two packets of one client to two services: another identification, another packet."""
    driver.configure(config(service("a", port=80, protocol="udp", backends=[A]),
                            service("b", port=81, protocol="udp", backends=[B])))
    to_a, to_b = cut(4, "udp", 1, 80), cut(4, "udp", 1, 81)
    for frame in to_b:
        frame_id = bytearray(frame)
        frame_id[18:20] = b"\x77\x77"
        to_b[to_b.index(frame)] = bytes(eth() / correct(IP(bytes(frame_id)[14:])))
    for one, other in zip(to_a, to_b, strict=True):
        assert backends_of(driver, [one, other]) == [A, B]


def correct(ip):
    del ip.chksum
    return ip


def test_the_protocol_is_part_of_an_ipv4_packets_identity(driver):
    """RFC 791 section 3.2: source, destination, protocol and identification."""
    driver.configure(config(service("a", protocol="tcp", backends=[A]), service("b", protocol="udp", backends=[B])))
    for one, other in zip(cut(4, "tcp", 1), cut(4, "udp", 1), strict=True):
        assert backends_of(driver, [one, other]) == [A, B]


def test_fragments_of_no_service_teach_nothing(driver):
    driver.configure(web(A, protocol="udp"))
    first, second, *_ = cut(4, "udp", 1, port=99)
    assert driver.run(first).reason == "no_service"
    assert driver.run(second).reason == "orphan"


@pytest.mark.parametrize("family", [4, 6])
def test_orphans_of_a_service_that_needs_no_port_are_forwarded(driver, family):
    kind = {"vip": VIP[family], "port": "*", "protocol": "udp", "hash": "source-ip", "ring": 1024}
    driver.configure(config(service(backends=[A, B, C], **kind)))
    for i in range(12):
        (backend,) = backends_of(driver, [whole(family, "udp", i)])
        assert set(backends_of(driver, cut(family, "udp", i)[1:])) == {backend}


def test_fragments_follow_their_flow_through_a_change(driver):
    driver.configure(web(A, B, C))
    told = backends_of(driver, [whole(4, "tcp", i) for i in range(24)])
    driver.apply(web({"address": A, "state": "drain"}, B, C))
    for i, backend in enumerate(told):
        assert set(backends_of(driver, cut(4, "tcp", i))) == {backend}


def test_whole_packets_leave_nothing_in_the_table(driver):
    driver.configure(web(A))
    backends_of(driver, [whole(4, "tcp", 3)])
    assert driver.run(cut(4, "tcp", 3)[1]).reason == "orphan"


def test_a_fragment_that_overlaps_the_first_is_still_the_packets(driver):
    """What receivers make of it is theirs to judge (RFC 8200 section 4.5 has them drop it); it goes to the same one."""
    driver.configure(web(A, B, C, family=6, protocol="udp"))
    frames = cut(6, "udp", 2)
    overlap = IPv6(frames[1][14:])
    overlap[IPv6ExtHdrFragment].offset = 1
    assert len(set(backends_of(driver, [frames[0], bytes(eth() / overlap)]))) == 1
