"""ICMP errors go to the backend of the flow that they quote, and packets that are too long get one from us.

An error quotes a packet that a backend sent: from the VIP to the client. Whoever sends the error may be any router.
"""

import pytest
from packet_frames import CLIENT, VIP, assert_forwarded, config, eth, network, packet
from packet_frames import service, transport
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
ROUTER = {4: "203.0.113.77", 6: "2001:db8:77::1"}

ERRORS = {
    (4, "unreachable-port"): ICMP(type=3, code=3),
    (4, "fragmentation-needed"): ICMP(type=3, code=4, nexthopmtu=1400),
    (4, "time-exceeded"): ICMP(type=11, code=0),
    (4, "parameter-problem"): ICMP(type=12, code=0),
    (6, "unreachable"): ICMPv6DestUnreach(code=4),
    (6, "too-big"): ICMPv6PacketTooBig(mtu=1280),
    (6, "time-exceeded"): ICMPv6TimeExceeded(),
    (6, "parameter-problem"): ICMPv6ParamProblem(),
}


def reply(family, protocol, flow, payload=b"r" * 40, **fields):
    """What a backend sends to the client: bytes of an IP packet."""
    source, port = flow
    client = str(IP(src=source).src) if family == 4 else source
    ip = IP(src=VIP[4], dst=client, **fields) if family == 4 else IPv6(src=VIP[6], dst=client, **fields)
    layer = TCP(sport=80, dport=port, flags="A") if protocol == "tcp" else UDP(sport=80, dport=port)
    return bytes(ip / layer / Raw(payload))


def error(family, kind, quote):
    return bytes(eth() / network(family, source=ROUTER[family]) / ERRORS[family, kind] / Raw(quote))


def clients(family, count=60):
    """Flows whose addresses scapy takes."""
    base = {4: "198.51.100.{}", 6: "2001:db8:c::{:x}"}[family]
    return [(base.format(1 + i % 200), 30000 + 7 * i) for i in range(count)]


def forwarded(driver, family, protocol, flows, tcp_flags="PA"):
    frames = [packet(family, protocol, sport=port, source=source, tcp_flags=tcp_flags) for source, port in flows]
    return [outcome.backend for outcome in driver.run_all(frames)]


def web(*backends, family=4, protocol="tcp", **more):
    return config(service(vip=VIP[family], protocol=protocol, backends=list(backends), ring=1024, **more))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("family,kind", ERRORS)
def test_an_error_goes_to_the_backend_of_the_flow_that_it_quotes(driver, family, kind, protocol):
    flows = clients(family)
    driver.configure(web(A, B, C, family=family, protocol=protocol))
    told = forwarded(driver, family, protocol, flows)
    frames = [error(family, kind, reply(family, protocol, flow)) for flow in flows]
    outcomes = driver.run_all(frames)
    assert [outcome.backend for outcome in outcomes] == told
    assert set(told) == {A, B, C}
    for frame, outcome in zip(frames, outcomes, strict=True):
        assert_forwarded(outcome, frame, outcome.backend)


@pytest.mark.parametrize("size", [20 + 8, 20 + 20, 20 + 60])
def test_a_quote_may_be_cut_behind_the_ports(driver, size):
    driver.configure(web(A, B, C))
    flows = clients(4)
    told = forwarded(driver, 4, "tcp", flows)
    frames = [error(4, "unreachable-port", reply(4, "tcp", flow)[:size]) for flow in flows]
    assert [outcome.backend for outcome in driver.run_all(frames)] == told


def test_a_quote_with_ip_options_or_extension_headers(driver):
    driver.configure(
        config(service("a", backends=[A, B, C], ring=1024), service("b", VIP[6], backends=[A, B, C], ring=1024))
    )
    flows = clients(4)
    told = forwarded(driver, 4, "tcp", flows)
    frames = [error(4, "time-exceeded", reply(4, "tcp", flow, options=[b"\x01" * 8])) for flow in flows]
    assert [outcome.backend for outcome in driver.run_all(frames)] == told
    flows = clients(6)
    told = forwarded(driver, 6, "tcp", flows)
    quotes = [
        bytes(IPv6(src=VIP[6], dst=source) / IPv6ExtHdrDestOpt() / TCP(sport=80, dport=port)) for source, port in flows
    ]
    frames = [error(6, "too-big", quote) for quote in quotes]
    assert [outcome.backend for outcome in driver.run_all(frames)] == told


@pytest.mark.parametrize("hashed", ["source-ip", "source-ip,port"])
def test_an_error_finds_its_flow_by_every_hash(driver, hashed):
    driver.configure(web(A, B, C, hash=hashed))
    flows = clients(4)
    told = forwarded(driver, 4, "tcp", flows)
    frames = [error(4, "unreachable-port", reply(4, "tcp", flow)) for flow in flows]
    assert [outcome.backend for outcome in driver.run_all(frames)] == told


@pytest.mark.parametrize("spoke", [0, 1, 2])
def test_an_error_follows_its_flow_through_a_change_and_leaves_no_trace(driver, spoke):
    flows = clients(4)
    driver.configure(web(A, B, C))
    told = forwarded(driver, 4, "tcp", flows)
    driver.apply(web({"address": A, "state": "drain"}, B, C))
    for _ in range(spoke):
        forwarded(driver, 4, "tcp", flows)
    entries = driver.flow_entries()
    frames = [error(4, "unreachable-port", reply(4, "tcp", flow)) for flow in flows]
    for _ in range(3):
        assert [outcome.backend for outcome in driver.run_all(frames)] == told
    assert driver.flow_entries() == entries


NOT_OURS = {
    "quotes-another-host": error(4, "unreachable-port", bytes(IP(src="192.0.2.99", dst=CLIENT[4]) / TCP(sport=80))),
    "quotes-another-protocol": error(4, "unreachable-port", bytes(IP(src=VIP[4], dst=CLIENT[4]) / ICMP())),
    "quotes-a-later-fragment": error(4, "time-exceeded", bytes(IP(src=VIP[4], dst=CLIENT[4], frag=9) / TCP(sport=80))),
    "source-quench": bytes(eth() / network(4) / ICMP(type=4) / Raw(reply(4, "tcp", (CLIENT[4], 999)))),
    "redirect": bytes(eth() / network(4) / ICMP(type=5, code=1) / Raw(reply(4, "tcp", (CLIENT[4], 999)))),
    "echo": bytes(eth() / network(4) / ICMP() / Raw(reply(4, "tcp", (CLIENT[4], 999)))),
    "echo-reply-6": bytes(eth() / network(6) / ICMPv6EchoReply() / Raw(reply(6, "tcp", (CLIENT[6], 999)))),
    "quotes-another-host-6": error(6, "unreachable", bytes(IPv6(src="2001:db8::9", dst=CLIENT[6]) / TCP(sport=80))),
    "quotes-esp": error(6, "unreachable", bytes(IPv6(src=VIP[6], dst=CLIENT[6], nh=50) / Raw(b"e" * 40))),
}
CUT = {
    "no-quote": error(4, "unreachable-port", b""),
    "quote-of-an-ip-header": error(4, "unreachable-port", reply(4, "tcp", (CLIENT[4], 999))[:20]),
    "quote-of-a-port": error(4, "unreachable-port", reply(4, "tcp", (CLIENT[4], 999))[:22]),
    "quote-that-lies": error(4, "unreachable-port", b"\x4f" + reply(4, "tcp", (CLIENT[4], 999))[1:28]),
    "quote-of-version-6": error(4, "unreachable-port", reply(6, "tcp", (CLIENT[6], 999))),
    "no-quote-6": error(6, "too-big", b""),
    "quote-of-an-ipv6-header": error(6, "too-big", reply(6, "tcp", (CLIENT[6], 999))[:40]),
    "quote-of-version-4": error(6, "too-big", reply(4, "tcp", (CLIENT[4], 999)) + b"\0" * 40),
}


@pytest.fixture
def both(driver):
    driver.configure(config(service("a", backends=[A]), service("b", VIP[6], backends=[A])))
    return driver


@pytest.mark.parametrize("name", NOT_OURS)
def test_icmp_about_no_flow_of_ours_is_passed(both, name):
    assert both.run(NOT_OURS[name]).reason == "not_tcp_udp"


@pytest.mark.parametrize("name", CUT)
def test_errors_that_quote_too_little_are_passed(both, name):
    assert both.run(CUT[name]).reason == "malformed"


def test_an_error_about_a_flow_of_no_service_is_passed(both):
    quote = bytes(IP(src=VIP[4], dst=CLIENT[4]) / TCP(sport=81, dport=999))
    assert both.run(error(4, "unreachable-port", quote)).reason == "no_service"


# ---- IPv6 extension headers ----

HEADERS = {
    "hop-by-hop": IPv6ExtHdrHopByHop(),
    "destination-options": IPv6ExtHdrDestOpt(),
    "routing-at-its-end": IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0),
    "atomic-fragment": IPv6ExtHdrFragment(m=0, offset=0, id=7),
    "all": IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0) / IPv6ExtHdrFragment(id=9),
    "six": IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt()
    / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("name", HEADERS)
def test_extension_headers_are_stepped_over(driver, name, protocol):
    driver.configure(web(A, B, C, family=6, protocol=protocol))
    flows = clients(6)
    told = forwarded(driver, 6, protocol, flows)
    frames = [
        bytes(eth() / network(6, source=source) / HEADERS[name] / transport(protocol, port) / Raw(b"payload"))
        for source, port in flows
    ]
    outcomes = driver.run_all(frames)
    assert [outcome.backend for outcome in outcomes] == told
    for frame, outcome in zip(frames, outcomes, strict=True):
        assert_forwarded(outcome, frame, outcome.backend)


TOO_MUCH = {
    "seven": HEADERS["six"] / IPv6ExtHdrDestOpt(),
    "routing-not-at-its-end": IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_headers_that_are_too_many_or_a_route_are_passed(driver, name):
    driver.configure(web(A, family=6))
    assert driver.run(bytes(eth() / network(6) / TOO_MUCH[name] / transport())).reason == "extensions"


def test_extension_headers_that_lie_are_passed(driver):
    driver.configure(web(A, family=6))
    whole = bytes(eth() / network(6) / IPv6ExtHdrDestOpt() / transport())
    assert driver.run(whole).backend == A
    for length in range(3, 256, 7):  # of 8-byte units, more than there are
        frame = bytearray(whole)
        frame[55] = length
        assert driver.run(bytes(frame)).reason == "malformed"
    for size in range(54, len(whole)):
        cut = bytearray(whole[:size])
        cut[18:20] = (size - 54).to_bytes(2, "big")
        assert driver.run(bytes(cut)).reason == "malformed", size


# ---- packets that do not fit ----


def told(driver, family, payload, **fields):
    frame = packet(family, payload=payload, **fields)
    return frame, driver.run(frame)


@pytest.mark.parametrize("outer", [A, "2001:db8:b::11"])
@pytest.mark.parametrize("mtu", [1400, 1500, 3000])
def test_the_sender_of_an_ipv4_packet_that_is_too_long_is_told(driver, mtu, outer):
    driver.configure(web(outer), {"mtu": mtu})
    frame, outcome = told(driver, 4, b"f" * mtu)
    assert (outcome.action, outcome.reason) == ("tx", "told_too_big")
    got = Ether(outcome.frame)
    assert (got.src, got.dst) == (Ether(frame).dst, Ether(frame).src)
    assert (got[IP].src, got[IP].dst) == (VIP[4], CLIENT[4])
    assert (got[ICMP].type, got[ICMP].code, got[ICMP].nexthopmtu) == (3, 4, mtu - (20 if ":" not in outer else 40))
    quote = outcome.frame[14 + 20 + 8 :]
    assert quote == frame[14 : 14 + 512]
    assert got[IP].len == 20 + 8 + 512
    for layer in (IP, ICMP):
        again = Ether(outcome.frame)
        del again[layer].chksum
        assert bytes(again) == outcome.frame, f"{layer.__name__}'s checksum"


@pytest.mark.parametrize("outer,mtu,says", [(A, 1500, 1480), (A, 1400, 1380), (A, 1290, 1280),
                                            ("2001:db8:b::11", 1500, 1460), ("2001:db8:b::11", 1300, 1280)])
def test_the_sender_of_an_ipv6_packet_that_is_too_long_is_told(driver, outer, mtu, says):
    driver.configure(web(outer, family=6), {"mtu": mtu})
    frame, outcome = told(driver, 6, b"f" * mtu)
    assert (outcome.action, outcome.reason) == ("tx", "told_too_big")
    got = Ether(outcome.frame)
    assert (got.src, got.dst) == (Ether(frame).dst, Ether(frame).src)
    assert (got[IPv6].src, got[IPv6].dst, got[IPv6].plen) == (VIP[6], CLIENT[6], 8 + 512)
    assert got[ICMPv6PacketTooBig].mtu == says
    assert outcome.frame[14 + 40 + 8 :] == frame[14 : 14 + 512]
    again = Ether(outcome.frame)
    del again[ICMPv6PacketTooBig].cksum
    assert bytes(again) == outcome.frame


def test_checksums_of_answers_hold_for_any_content(driver):
    driver.configure(config(service("a", backends=[A]), service("b", VIP[6], backends=[A])), {"mtu": 1300})
    for i in range(60):
        payload = bytes((i * 37 + j * (i + 1)) & 0xFF for j in range(1400))
        for family, layer, field in ((4, ICMP, "chksum"), (6, ICMPv6PacketTooBig, "cksum")):
            _, outcome = told(driver, family, payload)
            again = Ether(outcome.frame)
            again[layer].delfieldval(field)
            assert bytes(again) == outcome.frame


UNTOLD = {
    "ipv4-without-df": lambda: packet(4, payload=b"f" * 1500, flags=0),
    "icmp-error": lambda: error(4, "unreachable-port", reply(4, "tcp", (CLIENT[4], 40000), payload=b"f" * 1500)),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_who_must_not_be_told_is_not(driver, name):
    driver.configure(web(A), {"mtu": 1500})
    assert driver.run(UNTOLD[name]()).reason == "too_big"


def test_packets_that_fit_afterwards_go_through(driver):
    driver.configure(web(A), {"mtu": 1500})
    _, outcome = told(driver, 4, b"f" * 1500)
    says = Ether(outcome.frame)[ICMP].nexthopmtu
    fits = packet(4, payload=b"f" * (says - 40))
    assert_forwarded(driver.run(fits), fits, A)
    assert driver.run(packet(4, payload=b"f" * (says - 39))).reason == "told_too_big"
