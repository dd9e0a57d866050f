"""What is not certainly for a service goes to the kernel, untouched (Driver.run checks that), with its reason."""

import pytest
from packet_frames import BACKEND, BALANCER_MAC, VIP, assert_forwarded, config, eth, network, packet, service, transport
from scapy.contrib.lldp import LLDPDU, LLDPDUChassisID, LLDPDUEndOfLLDPDU, LLDPDUPortID, LLDPDUTimeToLive
from scapy.layers.inet import GRE, ICMP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPPoE
from scapy.layers.sctp import SCTP
from scapy.packet import Raw


@pytest.fixture
def balancer(driver):
    """Everything that the VIPs could be asked for, so that nothing passes only because no service matches."""
    driver.configure(
        config(
            service("tcp4", VIP[4], "*", "tcp"),
            service("udp4", VIP[4], "*", "udp"),
            service("tcp6", VIP[6], "*", "tcp"),
            service("udp6", VIP[6], "*", "udp"),
        )
    )
    return driver


TAGGED = network(4) / transport() / Raw(b"tagged")
NOT_IP = {
    "arp": eth() / ARP(pdst=VIP[4]),
    "vlan": eth() / Dot1Q(vlan=7) / TAGGED,
    "vlan-priority-tag": eth() / Dot1Q(vlan=0, prio=5) / TAGGED,
    "qinq": eth() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / TAGGED,
    "pppoe": eth() / PPPoE(sessionid=1) / Raw(b"\x00\x21" + bytes(TAGGED)),
    "mpls": eth() / Raw(b"\x00\x01\x01\x40" + bytes(TAGGED)),
    "lldp": Ether(dst="01:80:c2:00:00:0e")
    / LLDPDUChassisID(subtype=4, id=b"\x02\0\0\0\0\1")
    / LLDPDUPortID(subtype=7, id=b"1")
    / LLDPDUTimeToLive(ttl=20)
    / LLDPDUEndOfLLDPDU(),
    "spanning-tree-802.3": Dot3(dst="01:80:c2:00:00:00") / LLC() / STP(),
    "ethertype-0": Ether(type=0) / TAGGED,
    "ethertype-byte-swapped": Ether(type=0x0008) / TAGGED,
}
NOT_IP["mpls"][Ether].type = 0x8847
assert LLDPDU  # its import binds the EtherType


@pytest.mark.parametrize("name", NOT_IP)
def test_other_than_ip_is_passed(balancer, name):
    assert balancer.run(bytes(NOT_IP[name])).reason == "not_ip"


OTHER_PROTOCOLS = {
    "icmp-echo": network(4) / ICMP(),
    "igmp": network(4, proto=2) / Raw(b"\x16\0\0\0" + b"\0" * 20),
    "gre": network(4) / GRE() / network(4) / transport(),
    "ipip": network(4) / network(4) / transport(),
    "6in4": network(4) / network(6) / transport(),
    "esp": network(4) / ESP(spi=1, seq=1, data=b"\0" * 32),
    "sctp": network(4) / SCTP(sport=40000, dport=80),
    "udplite": network(4, proto=136) / Raw(bytes(UDP(sport=40000, dport=80)) + b"1234"),
    "protocol-0": network(4, proto=0) / Raw(bytes(transport())),
    "protocol-255": network(4, proto=255) / Raw(bytes(transport())),
    "icmp6-echo": network(6) / ICMPv6EchoRequest(),
    "neighbour-solicitation": network(6) / ICMPv6ND_NS(tgt=VIP[6]),
    "4in6": network(6) / network(4) / transport(),
    "6in6": network(6) / network(6) / transport(),
    "no-next-header": network(6, nh=59) / Raw(bytes(transport())),
    "authentication": network(6) / AH(spi=1, seq=1, nh=6) / Raw(bytes(transport())),
    "ipv6-sctp": network(6, nh=132) / Raw(bytes(SCTP(sport=40000, dport=80))),
}


@pytest.mark.parametrize("name", OTHER_PROTOCOLS)
def test_other_protocols_than_tcp_and_udp_are_passed(balancer, name):
    assert balancer.run(bytes(eth() / OTHER_PROTOCOLS[name])).reason == "not_tcp_udp"



FRAGMENTS = {  # whose first one nobody has seen, and those of other protocols
    "ipv4-middle": (network(4, flags="MF", frag=3, proto=6) / Raw(b"m" * 32), "orphan"),
    "ipv4-last": (network(4, flags=0, frag=7, proto=6) / Raw(b"l" * 32), "orphan"),
    "ipv4-offset-1": (network(4, flags=0, frag=1, proto=17) / Raw(b"l" * 32), "orphan"),
    "ipv4-offset-256": (network(4, flags=0, frag=256, proto=17) / Raw(b"l" * 32), "orphan"),
    "ipv4-offset-greatest": (network(4, flags=0, frag=0x1FFF, proto=6) / Raw(b"l" * 8), "orphan"),
    "ipv4-tiny": (network(4, flags="MF", proto=6) / Raw(b"12345678"), "malformed"),
    "ipv4-icmp-first": (network(4, flags="MF") / ICMP(), "fragment"),
    "ipv4-icmp-last": (network(4, flags=0, frag=9, proto=1) / Raw(b"l" * 8), "fragment"),
    "ipv4-esp-last": (network(4, flags=0, frag=9, proto=50) / Raw(b"l" * 8), "fragment"),
    "ipv6-middle": (network(6) / IPv6ExtHdrFragment(nh=6, m=1, offset=5, id=9) / Raw(b"m" * 32), "orphan"),
    "ipv6-last": (network(6) / IPv6ExtHdrFragment(nh=17, m=0, offset=9, id=9) / Raw(b"l" * 32), "orphan"),
    "ipv6-icmp-first": (network(6) / IPv6ExtHdrFragment(nh=58, m=1, id=9) / ICMPv6EchoRequest(), "fragment"),
}


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragments_that_cannot_be_followed_are_passed(balancer, name):
    frame, reason = FRAGMENTS[name]
    assert balancer.run(bytes(eth() / frame)).reason == reason


def raw(family, header, behind, **lies):
    """`behind` without a layer, so that scapy fills in nothing that `lies` says otherwise."""
    fields = {"proto": header} if family == 4 else {"nh": header}
    return bytes(eth() / network(family, **{**fields, **lies}) / Raw(behind))


TCP_BYTES, UDP_BYTES = bytes(transport()) + b"x" * 20, bytes(transport("udp")) + b"x" * 20
MALFORMED = {
    "ipv4-version-0": raw(4, 6, TCP_BYTES, version=0),
    "ipv4-version-5": raw(4, 6, TCP_BYTES, version=5),
    "ipv4-version-6": raw(4, 6, TCP_BYTES, version=6),
    "ipv4-version-15": raw(4, 6, TCP_BYTES, version=15),
    "ipv4-header-of-0-words": raw(4, 6, TCP_BYTES, ihl=0),
    "ipv4-header-of-4-words": raw(4, 6, TCP_BYTES, ihl=4),
    "ipv4-header-beyond-its-length": raw(4, 6, b"", ihl=6),
    "ipv4-options-beyond-the-packet": raw(4, 6, TCP_BYTES, ihl=15),
    "ipv4-length-0": raw(4, 6, TCP_BYTES, len=0),
    "ipv4-length-below-its-header": raw(4, 6, TCP_BYTES, len=19),
    "ipv4-length-without-transport": raw(4, 6, TCP_BYTES, len=20),
    "ipv4-length-cuts-tcp": raw(4, 6, TCP_BYTES, len=39),
    "ipv4-length-cuts-udp": raw(4, 17, UDP_BYTES, len=27),
    "ipv4-length-one-beyond-the-frame": raw(4, 6, TCP_BYTES, len=61),
    "ipv4-length-greatest": raw(4, 6, TCP_BYTES, len=65535),
    "ipv4-fragment-that-lies": raw(4, 6, TCP_BYTES, len=61, flags="MF"),
    "ipv4-other-protocol-that-lies": raw(4, 1, TCP_BYTES, len=61),
    "ipv6-version-4": raw(6, 6, TCP_BYTES, version=4),
    "ipv6-version-0": raw(6, 6, TCP_BYTES, version=0),
    "ipv6-length-0": raw(6, 6, TCP_BYTES, plen=0),
    "ipv6-length-cuts-tcp": raw(6, 6, TCP_BYTES, plen=19),
    "ipv6-length-cuts-udp": raw(6, 17, UDP_BYTES, plen=7),
    "ipv6-length-one-beyond-the-frame": raw(6, 6, TCP_BYTES, plen=41),
    "ipv6-length-greatest": raw(6, 6, TCP_BYTES, plen=65535),
    "ipv6-fragment-that-lies": raw(6, 44, TCP_BYTES, plen=41),
    "ipv6-in-an-ipv4-frame": bytes(Ether(dst=BALANCER_MAC, type=0x0800) / Raw(bytes(network(6) / transport()))),
    "ipv4-in-an-ipv6-frame": bytes(Ether(dst=BALANCER_MAC, type=0x86DD) / Raw(bytes(network(4) / transport()) + b"x" * 20)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_headers_that_lie_are_passed(balancer, name):
    assert balancer.run(MALFORMED[name]).reason == "malformed"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_frame_cut_short_anywhere_is_passed(balancer, family, protocol):
    whole = packet(family, protocol)
    cuts = [whole[:size] for size in range(14, len(whole))]
    for cut, outcome in zip(cuts, balancer.run_all(cuts), strict=True):
        assert outcome.reason == "malformed", f"{len(cut)} of {len(whole)} bytes"


def cut_honestly(whole, family, size):
    """The first `size` bytes of the frame, with an IP length that says so."""
    ip = Ether(whole[:size]).payload
    if family == 4:
        ip.len = size - 14
        del ip.chksum
    else:
        ip.plen = size - 54
    return bytes(eth() / ip)[:size]


@pytest.mark.parametrize("protocol,transport_size", [("tcp", 20), ("udp", 8)])
@pytest.mark.parametrize("family,network_size", [(4, 20), (6, 40)])
def test_a_short_packet_that_does_not_lie_is_forwarded_from_a_whole_header_on(
    balancer, family, network_size, protocol, transport_size
):
    whole = packet(family, protocol)
    least = 14 + network_size + transport_size
    cuts = [cut_honestly(whole, family, size) for size in range(14 + network_size, len(whole))]
    for cut, outcome in zip(cuts, balancer.run_all(cuts), strict=True):
        if len(cut) < least:
            assert outcome.reason == "malformed", len(cut)
        else:
            assert_forwarded(outcome, cut, BACKEND[4])


@pytest.mark.parametrize("options", [1, 5, 10])
def test_a_cut_behind_ipv4_options_is_passed(balancer, options):
    header = 20 + 4 * options
    ip = network(4, ihl=5 + options, proto=6, len=header + 20)
    whole = bytes(eth() / ip / Raw(b"\x01" * 4 * options + TCP_BYTES[:20]))
    cuts = [whole[:size] for size in range(34, len(whole))]
    assert {outcome.reason for outcome in balancer.run_all(cuts)} == {"malformed"}
    assert_forwarded(balancer.run(whole), whole, BACKEND[4])


def test_nothing_without_services_is_touched(driver):
    driver.configure(config())
    for family in (4, 6):
        for protocol in ("tcp", "udp"):
            assert driver.run(packet(family, protocol)).reason == "no_service"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("group", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"])
def test_a_frame_to_a_group_is_passed_even_if_it_names_a_vip(driver, family, group):
    driver.configure(config(service("any", VIP[family], "*")))
    frame = Ether(packet(family))
    frame.dst = group
    outcome = driver.run(bytes(frame))
    assert (outcome.action, outcome.reason) == ("pass", "group")
