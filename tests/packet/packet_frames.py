"""What goes in and what must come out. Every expected frame is built by scapy, never by the code under test."""

import ipaddress
import random
import struct

from packet_driver import Outcome
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

CLIENT_MAC, BALANCER_MAC = "02:00:00:00:0c:01", "02:00:00:00:0c:02"
PATH_SOURCE_MAC, NEXT_HOP_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"  # driver.cc's defaults

CLIENT = {4: "198.51.100.7", 6: "2001:db8:c::7"}
VIP = {4: "192.0.2.1", 6: "2001:db8:1::1"}
BACKEND = {4: "10.0.0.11", 6: "2001:db8:b::11"}
SOURCE = {4: "192.0.2.10", 6: "2001:db8::10"}
FAMILIES = [(4, 4), (4, 6), (6, 4), (6, 6)]  # of the client's packet, of the backend


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def service(name="web", vip=VIP[4], port=80, protocol="tcp", backends=(BACKEND[4],), ring=256, **more):
    """A backend is an address or a dict."""
    listed = [{"address": b} if isinstance(b, str) else b for b in backends]
    vip = endpoint(vip, port)
    return {"name": name, "vip": vip, "protocol": protocol, "ring": ring, "backends": listed, **more}


def config(*services, source4=SOURCE[4], source6=SOURCE[6], seed=None):
    encapsulation = {key: value for key, value in (("source4", source4), ("source6", source6)) if value}
    document = {"version": 1, "encapsulation": encapsulation, "services": list(services)}
    if seed is not None:
        document["defaults"] = {"hash_seed": seed}
    return document


def eth():
    return Ether(src=CLIENT_MAC, dst=BALANCER_MAC)


def network(family, source=None, destination=None, **fields):
    source, destination = source or CLIENT[family], destination or VIP[family]
    if family == 4:
        return IP(src=source, dst=destination, **{"id": 0x1234, "flags": "DF", **fields})
    return IPv6(src=source, dst=destination, **fields)


def transport(protocol="tcp", sport=40000, dport=80, flags="PA"):
    if protocol == "tcp":
        return TCP(sport=sport, dport=dport, flags=flags, seq=0x01020304, ack=0x05060708)
    return UDP(sport=sport, dport=dport)


def packet(family=4, protocol="tcp", sport=40000, dport=80, tcp_flags="PA", payload=b"the payload", **fields):
    """A client's frame as bytes; `fields` are the IP header's."""
    return bytes(eth() / network(family, **fields) / transport(protocol, sport, dport, tcp_flags) / Raw(payload))


def one_bit_off(address):
    """Every address that differs in one bit."""
    ip = ipaddress.ip_address(address)
    return [str(type(ip)(int(ip) ^ 1 << bit)) for bit in range(ip.max_prefixlen)]


# ---- what must come out ----


def inner_of(frame):
    """The IP packet in the frame by its own length, and the padding behind it."""
    ip = Ether(frame).payload
    size = ip.len if isinstance(ip, IP) else 40 + ip.plen
    return frame[14 : 14 + size], frame[14 + size :]


def outer_ipv4(inner, seen, source, destination):
    """Identification and the source's host bits depend on the flow's hash: taken from `seen`, judged here."""
    ip = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
    is_v6 = isinstance(ip, IPv6)
    dont_fragment = is_v6 or "DF" in ip.flags
    got = IP(seen)
    assert not dont_fragment or got.id == 0, "an identification on a packet that is never fragmented"
    assert ipaddress.ip_address(got.src) in ipaddress.ip_network(source)
    return IP(
        src=got.src,
        dst=destination,
        tos=ip.tc if is_v6 else ip.tos,
        id=got.id,
        flags="DF" if dont_fragment else 0,
        ttl=64,
        proto=41 if is_v6 else 4,
    )


def outer_ipv6(inner, seen, source, destination):
    """The same for the flow label."""
    ip = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
    is_v6 = isinstance(ip, IPv6)
    got = IPv6(seen)
    assert got.fl != 0
    assert ipaddress.ip_address(got.src) in ipaddress.ip_network(source)
    return IPv6(
        src=got.src,
        dst=destination,
        tc=ip.tc if is_v6 else ip.tos,
        fl=ip.fl if is_v6 and ip.fl else got.fl,
        hlim=64,
        nh=41 if is_v6 else 4,
    )


def encapsulated(frame, seen, destination, source=None, macs=(PATH_SOURCE_MAC, NEXT_HOP_MAC)):
    """The one right frame for `frame` on its way to the backend `destination`; `seen` is what came out."""
    inner, padding = inner_of(frame)
    family = ipaddress.ip_address(destination).version
    outer = outer_ipv4 if family == 4 else outer_ipv6
    header = outer(inner, seen[14:], source or SOURCE[family], destination)
    return bytes(Ether(src=macs[0], dst=macs[1]) / header / Raw(inner)) + padding


def assert_forwarded(outcome: Outcome, frame, backend, action="tx", **more):
    assert (outcome.action, outcome.reason) == (action, None)
    assert outcome.frame.hex() == encapsulated(frame, outcome.frame, backend, **more).hex()


# ---- many flows ----

FAMILY_OFFSETS = {4: (26, 34), 6: (22, 54)}  # of the source address and of the ports in a frame


class Flows:
    """Frames of many flows, patched from one that scapy built: scapy is too slow for tens of thousands.

    Their transport checksums are wrong, which no load balancer looks at.
    """

    def __init__(self, family=4, protocol="tcp", destination=None, dport=80):
        self.family = family
        self._source_at, self._ports_at = FAMILY_OFFSETS[family]
        self._templates = {
            flags: packet(family, protocol, dport=dport, tcp_flags=flags, destination=destination)
            for flags in ("S", "PA", "FA")
        }

    def frame(self, flow, flags="PA"):
        """`flow`: (source address as a number, source port)."""
        source, port = flow
        frame = bytearray(self._templates[flags])
        size = 4 if self.family == 4 else 16
        frame[self._source_at : self._source_at + size] = source.to_bytes(size, "big")
        struct.pack_into("!H", frame, self._ports_at, port)
        if self.family == 4:
            self._correct_header(frame)
        return bytes(frame)

    @staticmethod
    def _correct_header(frame):
        frame[24:26] = b"\0\0"
        total = sum(struct.unpack_from("!10H", frame, 14))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", frame, 24, ~total & 0xFFFF)

    def frames(self, flows, flags="PA"):
        return [self.frame(flow, flags) for flow in flows]


def random_flows(count, family=4, seed=1):
    """Different flows, the same each time; about four of each client."""
    chance = random.Random(seed)
    base = int(ipaddress.ip_address({4: "100.64.0.0", 6: "2001:db8:c::"}[family]))
    width = {4: 22, 6: 64}[family]
    clients = [base + chance.getrandbits(width) for _ in range(count // 4 + 1)]
    made = {}
    while len(made) < count:
        made[chance.choice(clients), chance.randrange(1024, 65536)] = None
    return list(made)
