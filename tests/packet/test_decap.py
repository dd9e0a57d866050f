"""The backend-side program: what is surely a tunnel packet to this host is unpacked, nothing else is touched."""

from itertools import product

import pytest
from packet_frames import (
    BACKEND,
    CLIENT,
    FAMILIES,
    SOURCE,
    VIP,
    Flows,
    config,
    eth,
    network,
    one_bit_off,
    packet,
    random_flows,
    service,
    transport,
)
from scapy.layers.inet import ICMP, IP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

NUMBER = {4: 4, 6: 41}  # IANA's protocol number of each family inside another packet


def outer(family, inner_family, **fields):
    number = {"proto": NUMBER[inner_family]} if family == 4 else {"nh": NUMBER[inner_family]}
    return network(family, SOURCE[family], fields.pop("destination", BACKEND[family]), **{**number, **fields})


def inner(family, protocol="tcp", payload=b"the payload", **fields):
    return network(family, **fields) / transport(protocol) / Raw(payload)


def tunnel(outer_family, inner_packet, **fields):
    family = 4 if isinstance(inner_packet, IP) else 6
    return bytes(eth() / outer(outer_family, family, **fields) / Raw(bytes(inner_packet)))


@pytest.fixture
def backend(driver):
    driver.decapsulator(list(BACKEND.values()))
    return driver


@pytest.mark.parametrize("payload", [0, 1, 1400])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("outside,inside", FAMILIES)
def test_every_family_is_unpacked_from_every_family(backend, outside, inside, protocol, payload):
    packed = inner(inside, protocol, b"p" * payload)
    outcome = backend.unwrap(tunnel(outside, packed))
    assert outcome.reason == "decapsulated"
    assert outcome.frame.hex() == bytes(eth() / packed).hex()


INNERS = {
    "icmp": network(4) / ICMP(),
    "options": network(4, options=[IPOption_Router_Alert()]) / transport(),
    "fragment": network(4, flags="MF", frag=5, proto=6) / Raw(b"f" * 16),
    "tunnel": network(4) / network(4) / transport(),
    "header-only": network(4, proto=59),
    "ipv6-extension": network(6) / IPv6ExtHdrDestOpt() / transport(),
    "ipv6-header-only": network(6, nh=59),
}


@pytest.mark.parametrize("name", INNERS)
@pytest.mark.parametrize("outside", [4, 6])
def test_whatever_the_inner_packet_carries_is_the_hosts_to_judge(backend, outside, name):
    outcome = backend.unwrap(tunnel(outside, INNERS[name]))
    assert outcome.reason == "decapsulated"
    assert outcome.frame.hex() == bytes(eth() / INNERS[name]).hex()


@pytest.mark.parametrize("outside,inside", FAMILIES)
def test_padding_stays_behind(backend, outside, inside):
    packed = inner(inside, payload=b"")
    outcome = backend.unwrap(tunnel(outside, packed) + b"\xa5" * 9)
    assert outcome.frame.hex() == (bytes(eth() / packed) + b"\xa5" * 9).hex()


@pytest.mark.parametrize("outside,inside", FAMILIES)
def test_an_inner_packet_may_be_shorter_than_the_tunnels_payload(backend, outside, inside):
    packed = bytes(inner(inside)) + b"rest"
    frame = bytes(eth() / outer(outside, inside) / Raw(packed))
    assert backend.unwrap(frame).frame.hex() == (bytes(Ether(bytes(eth() / inner(inside)))) + b"rest").hex()


# ---- not a tunnel, not ours ----

NOT_TUNNEL = {
    "arp": eth() / ARP(),
    "vlan": eth() / Dot1Q(vlan=7) / outer(4, 4) / inner(4),
    "tcp": eth() / network(4, destination=BACKEND[4]) / transport(),
    "udp6": eth() / network(6, destination=BACKEND[6]) / transport("udp"),
    "gre": eth() / network(4, destination=BACKEND[4], proto=47) / Raw(bytes(inner(4))),
    "outer-options": eth() / outer(4, 4, options=[IPOption_Router_Alert()]) / inner(4),
    "outer-first-fragment": eth() / outer(4, 4, flags="MF") / inner(4),
    "outer-middle-fragment": eth() / outer(4, 4, flags="MF", frag=9) / Raw(bytes(inner(4))),
    "outer-last-fragment": eth() / outer(4, 4, flags=0, frag=9) / Raw(bytes(inner(4))),
    "outer-offset-1": eth() / outer(4, 4, flags=0, frag=1) / Raw(bytes(inner(4))),
    "outer-offset-256": eth() / outer(4, 4, flags=0, frag=256) / Raw(bytes(inner(4))),
    "outer-header-of-4-words": eth() / outer(4, 4, ihl=4) / inner(4),
    "outer-length-below-its-header": eth() / outer(4, 4, len=19) / inner(4),
    "outer-length-one-beyond-the-frame": eth() / outer(4, 4, len=20 + len(inner(4)) + 1) / inner(4),
    "outer6-length-one-beyond-the-frame": eth() / outer(6, 4, plen=len(inner(4)) + 1) / inner(4),
    "outer6-extension": eth() / outer(6, 4, nh=60) / IPv6ExtHdrDestOpt(nh=4) / Raw(bytes(inner(4))),
    "outer6-fragment": eth() / outer(6, 4, nh=44) / IPv6ExtHdrFragment(nh=4, m=1) / Raw(bytes(inner(4))),
}


@pytest.mark.parametrize("name", NOT_TUNNEL)
def test_what_is_not_certainly_a_tunnel_packet_is_passed(backend, name):
    assert backend.unwrap(bytes(NOT_TUNNEL[name])).reason == "not_tunnel"


@pytest.mark.parametrize("family,version", [(4, 6), (4, 5), (6, 4), (6, 0)])
def test_an_outer_header_of_another_version_is_passed(backend, family, version):
    assert backend.unwrap(tunnel(family, inner(4), version=version)).reason == "not_tunnel"


@pytest.mark.parametrize("inside", [4, 6])
@pytest.mark.parametrize("outside,header", [(4, 20), (6, 40)])
def test_a_tunnel_packet_cut_short_anywhere_is_passed(backend, outside, header, inside):
    whole = tunnel(outside, inner(inside))
    cuts = [whole[:size] for size in range(14, len(whole))]
    assert {outcome.reason for outcome in backend.unwrap_all(cuts)} == {"not_tunnel"}


@pytest.mark.parametrize("outside", [4, 6])
def test_a_tunnel_to_another_address_is_passed(backend, outside):
    others = [*one_bit_off(BACKEND[outside]), VIP[outside], CLIENT[outside]]
    frames = [tunnel(outside, inner(4), destination=address) for address in others]
    assert {outcome.reason for outcome in backend.unwrap_all(frames)} == {"not_ours"}


def test_an_ipv4_tunnel_end_is_not_the_ipv6_address_that_begins_alike(driver):
    driver.decapsulator(["10.0.0.11"])
    assert driver.unwrap(tunnel(6, inner(4), destination="a00:b::")).reason == "not_ours"
    driver.decapsulator(["a00:b::"])
    assert driver.unwrap(tunnel(4, inner(4), destination="10.0.0.11")).reason == "not_ours"


def test_without_tunnel_ends_nothing_is_ours(driver):
    driver.decapsulator([])
    assert driver.unwrap(tunnel(4, inner(4))).reason == "not_ours"


# ---- inner headers that lie ----


def lying(family, **lies):
    """An inner packet of which scapy makes no sense good."""
    return network(family, **({"proto": 6} if family == 4 else {"nh": 6}), **lies) / Raw(bytes(transport()))


LIES = {
    "version": lying(4, version=6),
    "version-0": lying(4, version=0),
    "length-one-beyond": lying(4, len=41),
    "length-greatest": lying(4, len=65535),
    "ipv6-version": lying(6, version=4),
    "ipv6-length-one-beyond": lying(6, plen=21),
    "ipv6-length-greatest": lying(6, plen=65535),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("outside", [4, 6])
def test_an_inner_header_that_lies_is_dropped(backend, outside, name):
    assert backend.unwrap(tunnel(outside, LIES[name])).reason == "malformed"
    assert backend.unwrap(tunnel(outside, LIES[name]) + b"padding, which is no excuse").reason == "malformed"


@pytest.mark.parametrize("outside", [4, 6])
def test_an_inner_packet_of_the_family_that_the_outer_header_denies_is_dropped(backend, outside):
    for inside in (4, 6):
        frame = bytes(eth() / outer(outside, 10 - inside) / Raw(bytes(inner(inside)) + b"x" * 40))
        assert backend.unwrap(frame).reason == "malformed"


@pytest.mark.parametrize("outside,inside", FAMILIES)
def test_an_inner_header_that_is_not_all_there_is_dropped(backend, outside, inside):
    header = 20 if inside == 4 else 40
    for size in range(header):
        frame = bytes(eth() / outer(outside, inside) / Raw(bytes(inner(inside))[:size]))
        assert backend.unwrap(frame).reason == "malformed", size
        assert backend.unwrap(frame + b"\0" * 60).reason == "malformed", size


@pytest.mark.parametrize("lies", [{"ihl": 4}, {"ihl": 0}, {"ihl": 15}, {"len": 19}, {"len": 0}], ids=str)
def test_an_inner_ipv4_header_that_contradicts_itself_is_dropped(backend, lies):
    assert backend.unwrap(tunnel(4, lying(4, **lies))).reason == "malformed"


# ---- congestion, RFC 6040 section 4.2, figure 4 ----

NOT_ECT, ECT1, ECT0, CE = range(4)
DROPPED = None
FIGURE_4 = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT0: NOT_ECT, ECT1: NOT_ECT, CE: DROPPED},
    ECT0: {NOT_ECT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
    ECT1: {NOT_ECT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
    CE: {NOT_ECT: CE, ECT0: CE, ECT1: CE, CE: CE},
}
ECN_CASES = [
    (*pair, arrives, departs)
    for pair, departs, arrives in product(FAMILIES, FIGURE_4, FIGURE_4)
]


def ecn(family, dscp, value):
    return {"tos" if family == 4 else "tc": dscp << 2 | value}


@pytest.mark.parametrize("outside,inside,arrives,departs", ECN_CASES)
def test_congestion_on_the_way_reaches_the_receiver(backend, outside, inside, arrives, departs):
    frame = tunnel(outside, inner(inside, **ecn(inside, 0x2E, departs)), **ecn(outside, 0x11, arrives))
    outcome = backend.unwrap(frame)
    expected = FIGURE_4[departs][arrives]
    if expected is DROPPED:
        assert outcome.reason == "congested"
    else:
        assert outcome.reason == "decapsulated"
        assert outcome.frame.hex() == bytes(eth() / inner(inside, **ecn(inside, 0x2E, expected))).hex()


@pytest.mark.parametrize("inside", [4, 6])
def test_marking_leaves_every_other_inner_bit_and_the_checksum_is_right(backend, inside):
    for dscp in range(64):
        for departs in (ECT0, ECT1):
            more = {"id": dscp * 1021 & 0xFFFF} if inside == 4 else {"fl": 0xFFFFF - dscp}
            frame = tunnel(4, inner(inside, **ecn(inside, dscp, departs), **more), **ecn(4, 0, CE))
            expected = bytes(eth() / inner(inside, **ecn(inside, dscp, CE), **more))
            assert backend.unwrap(frame).frame.hex() == expected.hex()


def test_a_wrong_inner_checksum_stays_wrong_when_marked(backend):
    frame = tunnel(4, inner(4, **ecn(4, 0, ECT0), chksum=0x1234), **ecn(4, 0, CE))
    out = IP(backend.unwrap(frame).frame[14:])
    given = out.chksum
    assert out.tos == CE
    del out.chksum
    assert IP(bytes(out)).chksum != given


# ---- there and back ----


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("inside,outside", FAMILIES)
def test_what_the_load_balancer_packs_the_backend_unpacks(backend, inside, outside, protocol):
    backend.configure(config(service(vip=VIP[inside], protocol=protocol, backends=[BACKEND[outside]])))
    field = "tos" if inside == 4 else "tc"
    frames = [packet(inside, protocol, payload=b"p" * size, **{field: size & 0xFF}) for size in range(0, 300, 7)]
    frames += [frame + b"padding" for frame in frames[:5]]
    frames += Flows(inside, protocol).frames(random_flows(50, inside))
    packed = [outcome.frame for outcome in backend.run_all(frames)]
    for frame, outcome in zip(frames, backend.unwrap_all(packed), strict=True):
        assert outcome.reason == "decapsulated"
        assert outcome.frame[12:].hex() == frame[12:].hex()
        assert outcome.frame[:12] != frame[:12]
