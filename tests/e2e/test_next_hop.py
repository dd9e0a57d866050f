"""The way to a backend changes or is lost: the load balancer follows the kernel's neighbours, routes and links."""

import contextlib
import json
import time

import pytest

from lab import CLIENT4, VIP4, VIP6, backend, wait_for

PORTS = range(22000, 22004)
NEW_MAC = "02:00:00:00:b1:{:02x}"


@pytest.fixture
def one_backend(lab):
    """Services that only b1 serves, so that every request tells how it is."""
    lab.add_services([backend(1)], ["http4", "udp4"])
    lab.add_services([backend(1, 6)], ["udp6"])
    return lab


def answers(lab, vip=VIP4):
    return set(lab.ask_from("udp", vip, 53, PORTS, check=False).values())


def wait_until_answered(lab, vip=VIP4, seconds=15):
    wait_for(lambda: answers(lab, vip) == {"b1"}, "b1 answers again", seconds)


def path(lab, service, address):
    shown = lab.backend(service, address)
    return shown["path"], shown["path_detail"]


@contextlib.contextmanager
def steadily_unresolved(lab, service, address, *words):
    """`sluice show` says why, in both its forms, and packets for it are counted as dropped."""
    wait_for(lambda: path(lab, service, address)[0] == "unresolved", f"{address} is unresolved")
    detail = wait_for(lambda: all(word in path(lab, service, address)[1] for word in words) and
                      path(lab, service, address)[1], f"the reason names {words}")
    text = lab.sluice("show")
    assert "unresolved" in text and detail.split()[0] in text
    dropped, address_packets = lab.reason("unresolved"), lab.backend(service, address)["traffic"]["packets"]
    yield
    assert lab.reason("unresolved") > dropped
    assert lab.backend(service, address)["traffic"]["packets"] == address_packets


@pytest.mark.parametrize("family", [4, 6])
def test_a_backend_that_announces_another_mac_is_followed(one_backend, family):
    lab, vip = one_backend, VIP4 if family == 4 else VIP6
    wait_until_answered(lab, vip)
    lab.sysctl("b1", "net.ipv4.conf.eth0.arp_notify=1", "net.ipv6.conf.eth0.ndisc_notify=1")
    lab.ip("b1", "link", "set", "eth0", "address", NEW_MAC.format(family))
    wait_until_answered(lab, vip, seconds=5)


def test_a_backend_that_changes_its_mac_silently_is_followed_by_its_traffic(one_backend):
    lab = one_backend
    wait_until_answered(lab)
    lab.sysctl("b1", "net.ipv4.conf.eth0.arp_notify=0", "net.ipv6.conf.eth0.ndisc_notify=0")
    lab.ip("b1", "link", "set", "eth0", "address", NEW_MAC.format(0x11))
    lab.ping("b1", "10.0.1.1")
    wait_until_answered(lab, seconds=5)


def test_macs_that_the_kernel_forgets_are_asked_for_again_without_loss(lab):
    lab.add_services([backend(1), backend(2, 6), backend(3)])
    with lab.steady_traffic():
        for _ in range(5):
            lab.ip("lb", "neigh", "flush", "all")
            time.sleep(0.2)


def test_an_agent_that_starts_where_the_kernel_has_forgotten_the_macs_loses_nothing(lab):
    """While no agent is there, nobody keeps the neighbours' entries fresh; the tables still have the MACs."""
    lab.add_services([backend(1), backend(2, 6), backend(3)])
    with lab.steady_traffic():
        lab.stop_agent()
        lab.ip("lb", "neigh", "flush", "all")
        lab.agent()
        time.sleep(0.5)


def test_a_backend_that_is_added_gets_no_packet_before_its_mac_is_known(lab):
    lab.add_services([backend(1)])
    with lab.steady_traffic():
        lab.ip("lb", "neigh", "flush", "all")
        lab.each_service("add", backend(2))
        lab.each_service("add", backend(3, 6))
        time.sleep(0.3)
    assert lab.reason("unresolved") == 0


def test_a_fixed_next_hop_is_used_as_it_is_given(one_backend):
    lab = one_backend
    mac = json.loads(lab.ip("b1", "-j", "link", "show", "eth0").stdout)[0]["address"]
    lab.sluice("backend", "set", "dns", backend(1), "--next-hop", "02:00:00:00:00:99")
    assert answers(lab) == {None}
    assert "02:00:00:00:00:99" in path(lab, "dns", backend(1))[1]
    lab.sluice("backend", "set", "dns", backend(1), "--next-hop", mac)
    assert answers(lab) == {"b1"}
    lab.sluice("backend", "set", "dns", backend(1), "--next-hop", "auto")
    assert answers(lab) == {"b1"}


@pytest.fixture
def second_link(one_backend):
    """Another link between the load balancer and b1: lb x1 - b1 eth1."""
    lab = one_backend
    names = [f"sl-{lab.name}-{host}" for host in ("lb", "b1")]
    lab.ip("lb", "link", "add", "x1", "mtu", "1600", "type", "veth", "peer", "name", "eth1", "netns", names[1], "mtu",
           "1600")
    for host, interface, address in (("lb", "x1", "10.0.101.1/24"), ("b1", "eth1", "10.0.101.11/24")):
        lab.ip(host, "link", "set", interface, "up")
        lab.ip(host, "address", "add", address, "dev", interface)
    lab.renew_decap(1, "eth1")
    yield lab
    lab.ip("lb", "link", "del", "x1")
    lab.renew_decap(1)


def test_a_route_by_another_gateway_and_interface_is_followed(second_link):
    lab = second_link
    wait_until_answered(lab)
    assert path(lab, "dns", backend(1)) == ("resolved", "directly on b1")
    lab.ip("lb", "route", "add", f"{backend(1)}/32", "via", "10.0.101.11")
    wait_for(lambda: path(lab, "dns", backend(1)) == ("resolved", "via 10.0.101.11 on x1"), "the new route is used")
    before = lab.received("b1", "eth0"), lab.received("b1", "eth1")
    assert answers(lab) == {"b1"}
    assert lab.received("b1", "eth1") - before[1] >= len(PORTS)
    assert lab.received("b1", "eth0") - before[0] < len(PORTS)
    lab.ip("lb", "route", "del", f"{backend(1)}/32")
    wait_for(lambda: path(lab, "dns", backend(1)) == ("resolved", "directly on b1"), "the old route is used")
    assert answers(lab) == {"b1"}


def test_connections_live_on_while_the_route_moves_to_and_fro(second_link):
    """TCP only: the packets of the moment in which an entry is rewritten are dropped and counted ("updating")."""
    lab = second_link
    with lab.steady_traffic(["http4"], hold=5):
        for _ in range(3):
            lab.ip("lb", "route", "add", f"{backend(1)}/32", "via", "10.0.101.11")
            time.sleep(0.4)
            lab.ip("lb", "route", "del", f"{backend(1)}/32")
            time.sleep(0.4)


def test_a_route_that_refuses_is_reported(one_backend):
    lab = one_backend
    lab.ip("lb", "route", "add", "unreachable", f"{backend(1)}/32")
    with steadily_unresolved(lab, "dns", backend(1), "unreachable"):
        assert answers(lab) == {None}
    lab.ip("lb", "route", "del", "unreachable", f"{backend(1)}/32")
    wait_until_answered(lab)


@pytest.mark.parametrize("host, interface", [("lb", "b1"), ("b1", "eth0")], ids=["own side down", "carrier lost"])
def test_a_link_goes_down_and_comes_back(lab, host, interface):
    lab.add_services([backend(1), backend(2)], ["udp4"])
    asked = range(22000, 22012)
    assert set(lab.ask_from("udp", VIP4, 53, asked).values()) == {"b1", "b2"}
    lab.ip(host, "link", "set", interface, "down")
    try:
        with steadily_unresolved(lab, "dns", backend(1)):
            during = lab.ask_from("udp", VIP4, 53, range(22020, 22026), check=False)
        # The others are served meanwhile.
        assert lab.backend("dns", backend(2))["path"] == "resolved"
        assert set(during.values()) == {"b2", None}
    finally:
        lab.ip(host, "link", "set", interface, "up")
        if host == "b1":
            lab.ip("b1", "route", "replace", "default", "via", "10.0.1.1")
        restore_ipv6(lab)
    wait_for(lambda: path(lab, "dns", backend(1))[0] == "resolved", "the way is found again")
    assert set(lab.ask_from("udp", VIP4, 53, asked).values()) == {"b1", "b2"}


def restore_ipv6(lab):
    """What the kernel forgets when a link goes down: its IPv6 addresses, and the routes through it."""
    lab.ip("lb", "address", "replace", "2001:db8:b:1::1/64", "dev", "b1", "nodad")
    lab.ip("b1", "address", "replace", "2001:db8:b:1::11/64", "dev", "eth0", "nodad")
    lab.ip("b1", "-6", "route", "replace", "default", "via", "2001:db8:b:1::1")


@pytest.mark.parametrize("family", [4, 6])
def test_a_neighbour_that_never_answers_is_reported_and_found_when_it_appears(lab, family):
    silent = "10.0.1.99" if family == 4 else "2001:db8:b:1::99"
    vip, kind, service = (VIP4, "udp4", "dns") if family == 4 else (VIP6, "udp6", "dns6")
    lab.add_services([], [kind])
    lab.sluice("backend", "add", service, silent)
    with steadily_unresolved(lab, service, silent, "no answer from neighbour", "on b1"):
        assert answers(lab, vip) == {None}
    lab.ip("b1", "address", "add", f"{silent}/{24 if family == 4 else 64}", "dev", "eth0", *(["nodad"] * (family == 6)))
    try:
        lab.renew_decap(1)
        wait_until_answered(lab, vip)
        assert path(lab, service, silent) == ("resolved", "directly on b1")
    finally:
        lab.ip("b1", "address", "del", f"{silent}/{24 if family == 4 else 64}", "dev", "eth0")
        lab.renew_decap(1)


def test_a_backend_without_a_route_waits_for_one(lab):
    lab.add_services(["10.77.0.11"], ["udp4"])
    lab.ip("b1", "address", "add", "10.77.0.11/32", "dev", "lo")
    lab.renew_decap(1)
    try:
        with steadily_unresolved(lab, "dns", "10.77.0.11", "no route"):
            assert answers(lab) == {None}
        lab.ip("lb", "route", "add", "10.77.0.0/24", "via", backend(1))
        wait_until_answered(lab)
        assert path(lab, "dns", "10.77.0.11") == ("resolved", f"via {backend(1)} on b1")
    finally:
        lab.ip("lb", "route", "del", "10.77.0.0/24", check=False)
        lab.ip("b1", "address", "del", "10.77.0.11/32", "dev", "lo")
        lab.renew_decap(1)


def test_a_gateway_by_its_link_local_address(lab):
    """As routers announce themselves in IPv6."""
    shown = json.loads(lab.ip("b1", "-j", "address", "show", "dev", "eth0").stdout)[0]["addr_info"]
    gateway = next(each["local"] for each in shown if each["scope"] == "link")
    far = "2001:db8:77::11"
    lab.ip("b1", "address", "add", f"{far}/128", "dev", "lo", "nodad")
    lab.ip("lb", "route", "add", "2001:db8:77::/64", "via", gateway, "dev", "b1")
    lab.renew_decap(1)
    lab.add_services([far], ["udp4", "udp6"])
    try:
        for vip in (VIP4, VIP6):
            wait_until_answered(lab, vip, seconds=5)
        assert path(lab, "dns", far) == ("resolved", f"via {gateway} on b1")
    finally:
        lab.ip("lb", "route", "del", "2001:db8:77::/64")
        lab.ip("b1", "address", "del", f"{far}/128", "dev", "lo")
        lab.renew_decap(1)


def test_an_interface_that_was_deleted_and_made_again_is_found(lab):
    """Its index is another one: entries that name the old one must not stay."""
    lab.ip("lb", "link", "add", "y1", "type", "veth", "peer", "name", "eth2", "netns", f"sl-{lab.name}-b1")

    def set_up():
        for host, interface, address in (("lb", "y1", "10.0.102.1/24"), ("b1", "eth2", "10.0.102.11/24")):
            lab.ip(host, "link", "set", interface, "up", "mtu", "1600")
            lab.ip(host, "address", "add", address, "dev", interface)
        lab.renew_decap(1, "eth2")

    set_up()
    lab.add_services(["10.0.102.11"], ["udp4"])
    try:
        wait_until_answered(lab)
        lab.ip("lb", "link", "del", "y1")
        wait_for(lambda: path(lab, "dns", "10.0.102.11")[0] == "unresolved", "it is unresolved")
        lab.ip("lb", "link", "add", "y1", "type", "veth", "peer", "name", "eth2", "netns", f"sl-{lab.name}-b1")
        set_up()
        wait_until_answered(lab)
    finally:
        lab.ip("lb", "link", "del", "y1", check=False)
        lab.renew_decap(1)


def test_a_sender_of_packets_longer_than_the_path_takes_is_told(lab):
    lab.add_services([backend(1)], ["udp4"])
    lab.ip("lb", "link", "set", "b1", "mtu", "1500")
    try:
        wait_for(lambda: lab.backend("dns", backend(1))["path"] == "resolved", "the way is known")
        time.sleep(0.2)
        before = lab.reason("told_too_big")
        send = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                f"s.bind(('{CLIENT4}', 0)); s.sendto(bytes(1460), ('{VIP4}', 53))")
        with lab.hearing_answers():
            lab.run("client", "/usr/bin/python3", "-c", send)
            wait_for(lambda: lab.reason("told_too_big") == before + 1, "it is counted", 3)
            route = lab.ip("client", "route", "get", VIP4).stdout
        assert "mtu 1480" in route, route
        assert answers(lab) == {"b1"}
    finally:
        lab.ip("lb", "link", "set", "b1", "mtu", "1600")
