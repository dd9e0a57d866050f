"""IP-in-IP: the outer header, byte for byte, for every kind of packet that is forwarded."""

import random
import struct
from itertools import product

import pytest
from packet_frames import (
    BACKEND,
    FAMILIES,
    NEXT_HOP_MAC,
    SOURCE,
    VIP,
    Flows,
    assert_forwarded,
    config,
    eth,
    network,
    packet,
    random_flows,
    service,
    transport,
)
from scapy.layers.inet import IP, IPOption, IPOption_Router_Alert, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw
from scapy.utils import checksum

PROTOCOLS = ["tcp", "udp"]
PREFIX = {4: "172.16.0.0/16", 6: "2001:db8:e:e::/64"}


def balance(driver, inner, outer, protocol="tcp", path=None, **sources):
    web = service(vip=VIP[inner], protocol=protocol, backends=[BACKEND[outer]])
    driver.configure(config(web, **sources), path)


@pytest.mark.parametrize("payload", [0, 1, 2, 555, 1400])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_forwards_every_family_into_every_family(driver, inner, outer, protocol, payload):
    balance(driver, inner, outer, protocol)
    frame = packet(inner, protocol, payload=bytes(i & 0xFF for i in range(payload)))
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


@pytest.mark.parametrize("flags", ["S", "SA", "A", "PA", "FA", "R", "SEC", "", "FSRPAUEC"])
def test_forwards_whatever_tcp_flags(driver, flags):
    balance(driver, 4, 4)
    frame = packet(tcp_flags=flags)
    assert_forwarded(driver.run(frame), frame, BACKEND[4])


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_copies_dscp_and_ecn(driver, inner, outer):
    balance(driver, inner, outer)
    field = "tos" if inner == 4 else "tc"
    frames = [packet(inner, **{field: value}) for value in range(256)]
    for frame, outcome in zip(frames, driver.run_all(frames), strict=True):
        assert_forwarded(outcome, frame, BACKEND[outer])


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("flags", ["", "DF", "evil", "evil+DF"])
@pytest.mark.parametrize("identification", [0, 1, 0x1234, 0xFFFF])
def test_dont_fragment_is_copied_and_the_evil_bit_is_not(driver, outer, flags, identification):
    balance(driver, 4, outer)
    frame = packet(flags=flags, id=identification, payload=b"x" * 33)
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


def test_fragmentable_packets_of_one_flow_differ_in_the_outer_identification(driver):
    balance(driver, 4, 4)
    frames = [packet(flags=0, id=i) for i in range(1, 300)]
    seen = {IP(outcome.frame[14:]).id for outcome in driver.run_all(frames)}
    assert len(seen) == len(frames)


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(
    "options",
    [
        [IPOption(b"\x01\x01\x01\x00")],
        [IPOption_Router_Alert()],
        [IPOption(b"\x07\x27\x04" + b"\0" * 36 + b"\0")],
    ],
    ids=["no-operation", "router-alert", "record-route-40-bytes"],
)
def test_options_of_the_inner_header_stay_inside(driver, outer, options):
    balance(driver, 4, outer)
    frame = bytes(eth() / network(4, options=options) / transport() / Raw(b"behind options"))
    assert Ether(frame)[IP].ihl > 5
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_ethernet_padding_is_no_part_of_the_outer_length(driver, inner, outer, protocol):
    balance(driver, inner, outer, protocol)
    frame = packet(inner, protocol, payload=b"") + bytes(Padding(b"\xa5" * 18))
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


def test_headers_are_taken_at_their_word_only_where_they_matter(driver):
    """A wrong inner checksum, an expired TTL, a UDP length that lies: the backend's to judge, carried unchanged."""
    balance(driver, 4, 4, "udp")
    for fields in ({"chksum": 0xDEAD}, {"ttl": 0}, {"ttl": 1}):
        frame = packet(4, "udp", **fields)
        assert_forwarded(driver.run(frame), frame, BACKEND[4])
    frame = bytes(eth() / network(4) / UDP(sport=40000, dport=80, len=9999) / Raw(b"short"))
    assert_forwarded(driver.run(frame), frame, BACKEND[4])


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("label", [0, 1, 0x12345, 0xFFFFF])
def test_an_ipv6_flow_label_is_copied_and_a_missing_one_made(driver, outer, label):
    balance(driver, 6, outer)
    frame = packet(6, fl=label, tc=0xFF)
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


def test_made_flow_labels_spread_over_flows_and_stay_with_a_flow(driver):
    balance(driver, 4, 6)
    frames = Flows().frames(random_flows(500))
    labels = [IPv6(outcome.frame[14:]).fl for outcome in driver.run_all(frames)]
    assert labels == [IPv6(outcome.frame[14:]).fl for outcome in driver.run_all(frames)]
    assert len(set(labels)) > 480


def edge_address(frame, wanted_sum):
    """A backend in 10.0/16 with which the outer header's sum is `wanted_sum` modulo 0xffff."""
    inner = len(frame) - 14
    bare = bytes(IP(src=SOURCE[4], dst="10.0.0.0", flags="DF", id=0, ttl=64, proto=4, len=inner + 20, chksum=0))
    rest = (wanted_sum - sum(struct.unpack("!10H", bare))) % 0xFFFF
    return f"10.0.{rest >> 8}.{rest & 0xFF}"


@pytest.mark.parametrize("check", [0x0000, 0x0001, 0x00FF, 0x0100, 0x8000, 0xFF00, 0xFFFE])
def test_the_outer_checksum_is_right_at_its_edges(driver, check):
    frame = packet(payload=b"edge")
    backend = edge_address(frame, 0xFFFF - check)
    driver.configure(config(service(backends=[backend])))
    outcome = driver.run(frame)
    assert_forwarded(outcome, frame, backend)
    assert IP(outcome.frame[14:]).chksum == check


@pytest.mark.parametrize("source4", [SOURCE[4], PREFIX[4], "192.0.2.8/29", "10.128.0.0/9"])
def test_the_outer_checksum_is_right_for_random_packets(driver, source4):
    chance = random.Random(7)
    balance(driver, 4, 4, source4=source4)
    frames = []
    for _ in range(250):
        fields = {"tos": chance.randrange(256), "id": chance.randrange(65536), "flags": chance.choice(["", "DF"])}
        payload = chance.randbytes(chance.randrange(1200))
        frames.append(packet(4, sport=chance.randrange(1, 65536), payload=payload, **fields))
    for frame, outcome in zip(frames, driver.run_all(frames), strict=True):
        assert_forwarded(outcome, frame, BACKEND[4], source=source4)


def outer_source(frame):
    return IP(frame[14:]).src if frame[12:14] == b"\x08\x00" else IPv6(frame[14:]).src


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_a_source_prefix_carries_entropy(driver, inner, outer):
    balance(driver, inner, outer, source4=PREFIX[4], source6=PREFIX[6])
    frames = Flows(inner).frames(random_flows(1000, inner))
    outcomes = driver.run_all(frames)
    for frame, outcome in zip(frames[:100], outcomes, strict=False):
        assert_forwarded(outcome, frame, BACKEND[outer], source=PREFIX[outer])
    sources = [outer_source(outcome.frame) for outcome in outcomes]
    assert sources == [outer_source(outcome.frame) for outcome in driver.run_all(frames)]
    assert len(set(sources)) > 980
    if outer == 4:
        assert all(checksum(outcome.frame[14:34]) == 0 for outcome in outcomes)


@pytest.mark.parametrize("prefix,values", [("192.0.2.8/31", 2), ("192.0.2.8/29", 8), ("10.128.0.0/9", 1990)])
def test_entropy_fills_a_source_prefix_of_any_length(driver, prefix, values):
    balance(driver, 4, 4, source4=prefix)
    outcomes = driver.run_all(Flows().frames(random_flows(2000)))
    assert len({outer_source(outcome.frame) for outcome in outcomes}) >= values


def test_entropy_does_not_follow_the_choice_of_the_backend(driver):
    """Each backend must see the whole spread of sources, or its NIC's queues stay empty."""
    backends = ["10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"]
    driver.configure(config(service(backends=backends), source4="172.16.0.0/28"))
    outcomes = driver.run_all(Flows().frames(random_flows(2000)))
    seen = {(outcome.backend, outer_source(outcome.frame)) for outcome in outcomes}
    assert len(seen) == 4 * 16


def test_the_routes_source_is_used_where_none_is_configured(driver):
    balance(driver, 4, 4, path={"source": "203.0.113.9"}, source4=None, source6=None)
    frame = packet()
    assert_forwarded(driver.run(frame), frame, BACKEND[4], source="203.0.113.9")


def test_each_backend_has_its_own_path(driver):
    backends = ["10.0.0.11", "2001:db8:b::12"]
    macs = {b: (f"02:00:00:00:01:0{i}", f"02:00:00:00:02:0{i}") for i, b in enumerate(backends)}
    path = {b: {"source_mac": own, "destination_mac": next_hop} for b, (own, next_hop) in macs.items()}
    driver.configure(config(service(backends=backends)), path)
    frames = Flows().frames(random_flows(40))
    outcomes = driver.run_all(frames)
    assert {outcome.backend for outcome in outcomes} == set(backends)
    for frame, outcome in zip(frames, outcomes, strict=True):
        assert_forwarded(outcome, frame, outcome.backend, macs=macs[outcome.backend])


def test_a_configured_next_hop_overrides_the_path(driver):
    own = {"address": "10.0.0.12", "next_hop": "02:00:00:00:07:12"}
    document = config(service(backends=["10.0.0.11", own]))
    document["defaults"] = {"next_hop": "02:00:00:00:07:00"}
    driver.configure(document)
    seen = {(o.backend, Ether(o.frame).dst) for o in driver.run_all(Flows().frames(random_flows(40)))}
    assert seen == {("10.0.0.11", "02:00:00:00:07:00"), ("10.0.0.12", "02:00:00:00:07:12")}
    assert NEXT_HOP_MAC not in {mac for _, mac in seen}


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_the_longest_packet_of_the_path_fits(driver, inner, outer):
    room = 1500 - (20 if outer == 4 else 40)
    headers = len(packet(inner, payload=b"")) - 14
    balance(driver, inner, outer, path={"mtu": 1500})
    fits = packet(inner, payload=b"f" * (room - headers))
    assert_forwarded(driver.run(fits), fits, BACKEND[outer])
    assert driver.run(packet(inner, payload=b"f" * (room - headers + 1))).reason == "told_too_big"
    padded = fits + b"\0" * 7
    assert_forwarded(driver.run(padded), padded, BACKEND[outer])


@pytest.mark.parametrize("protocol,outer", product(PROTOCOLS, [4, 6]))
def test_the_smallest_packet_of_all(driver, protocol, outer):
    balance(driver, 4, outer, protocol)
    frame = packet(4, protocol, payload=b"")
    assert len(frame) == 14 + 20 + (20 if protocol == "tcp" else 8)
    assert_forwarded(driver.run(frame), frame, BACKEND[outer])


def test_a_large_packet(driver):
    balance(driver, 4, 4, path={"mtu": 9000})
    frame = packet(payload=b"j" * 3300)
    assert_forwarded(driver.run(frame), frame, BACKEND[4])
