"""Services that send a client, not a connection, to a backend."""

from collections import Counter, defaultdict

import pytest
from packet_frames import VIP, Flows, config, random_flows, service

A, B, C, D = (f"10.0.0.{i}" for i in range(11, 15))


def drained(address):
    return {"address": address, "state": "drain"}


def web(*backends, hashed="source-ip", **more):
    return config(service(backends=list(backends), hash=hashed, **{"ring": 1024, **more}))


def sent(driver, flows, tcp_flags="S", family=4, **more):
    return driver.choices(Flows(family, **more).frames(flows, tcp_flags))


def by_client(flows, chosen):
    """Which backends each client met."""
    met = defaultdict(set)
    for (client, _), backend in zip(flows, chosen, strict=True):
        met[client].add(backend)
    return met


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_all_connections_of_a_client_meet_one_backend(driver, family, protocol):
    flows = random_flows(2000, family)
    driver.configure(web(A, B, C, vip=VIP[family], protocol=protocol))
    met = by_client(flows, sent(driver, flows, family=family, protocol=protocol))
    assert all(len(backends) == 1 for backends in met.values())
    shares = Counter(next(iter(backends)) for backends in met.values())
    assert shares.keys() == {A, B, C}
    assert min(shares.values()) > len(met) / 3 * 0.8


@pytest.mark.parametrize("family", [4, 6])
def test_every_bit_of_a_clients_address_counts(driver, family):
    """Clients that differ in a single bit spread: with none of the bits are all at the same backend."""
    driver.configure(web(A, B, C, D, vip=VIP[family]))
    width = {4: 32, 6: 128}[family]
    base = {4: 0x64400001, 6: 0x20010DB8000C << 80 | 1}[family]
    low = width - {4: 9, 6: 16}[family]  # the highest bits would make it no client's address
    bits = [[base ^ 1 << bit ^ other << 3 for other in range(12)] for bit in range(low) if bit < 3 or bit > 8]
    for clients in bits:
        assert len(set(sent(driver, [(client, 4000) for client in clients], family=family))) > 1
    assert len(set(sent(driver, [(row[0], 4000) for row in bits], family=family))) > 1


def test_source_ip_and_port_keeps_a_port_and_spreads_a_client(driver):
    flows = random_flows(400)
    driver.configure(
        config(
            service("a", port=80, backends=[A, B, C], hash="source-ip,port"),
            service("b", port=81, protocol="udp", backends=[A, B, C], hash="source-ip,port"),
        )
    )
    first, second = sent(driver, flows), sent(driver, flows, protocol="udp", dport=81)
    assert first == second
    assert any(len(backends) > 1 for backends in by_client(flows, first).values())


def test_a_client_meets_the_same_backend_at_services_with_the_same_backends(driver):
    flows = random_flows(400)
    driver.configure(
        config(
            service("http", port=80, backends=[A, B, C], hash="source-ip"),
            service("https", port=443, backends=[C, A, B], hash="source-ip"),
            service("quic", "192.0.2.2", port=443, protocol="udp", backends=[B, C, A], hash="source-ip"),
        )
    )
    http, https = sent(driver, flows), sent(driver, flows, dport=443)
    quic = sent(driver, flows, protocol="udp", dport=443, destination="192.0.2.2")
    assert http == https == quic


CHANGES = {
    "add": (A, B, C, D),
    "drain": (drained(A), B, C),
    "weight": (A, B, {"address": C, "weight": 5}),
    "remove": (B, C),
    "down": ({"address": A, "state": "down"}, B, C),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_breaks_no_connection_and_moves_a_client_at_most_once(driver, name):
    """Open connections stay; a client's new ones go, all of them, where its slot says now."""
    flows, later = random_flows(400, seed=1), random_flows(400, seed=1)
    later = [(client, port ^ 1) for client, port in later]
    driver.configure(web(A, B, C))
    told = sent(driver, flows)
    driver.apply(web(*CHANGES[name]))
    gone = A if name in ("remove", "down") else None
    now = sent(driver, flows, "PA")
    assert all(after == was for was, after in zip(told, now, strict=True) if was != gone)
    met = by_client(later, sent(driver, later))
    assert all(len(backends) == 1 for backends in met.values())
    before = by_client(flows, told)
    moved = [client for client, backends in met.items() if backends != before[client]]
    assert moved, "the change is to move some clients, or this shows nothing"
    if name in ("remove", "drain", "down"):
        assert all(before[client] == {A} for client in moved), "only the clients of the backend that takes no new flows"
    if name == "add":
        assert sum(met[client] == {D} for client in moved) > 0.85 * len(moved)


def test_outer_headers_still_carry_each_flows_entropy(driver):
    """One client's tunnels must spread over a backend's receive queues, although they all go to one backend."""
    document = config(service(backends=["2001:db8:b::11"], hash="source-ip"))
    driver.configure(document)
    outer = driver.run_all(Flows().frames([(0x64400001, port) for port in range(2000, 2040)]))
    assert len({outcome.frame[14:18] for outcome in outer}) > 30  # IPv6's flow label
