"""What is no service's packet passes as if the load balancer were not there."""

import pytest

from lab import CLIENT4, CLIENT6, LB4, LB6, PYTHON, SERVER, VIP4, backend, wait_for


@pytest.fixture(params=["native", "generic"])
def busy_lab(lab, request):
    """A load balancer with services for all of its VIP's ports."""
    config = lab.directory / "busy.yaml"
    config.write_text(f"version: 1\ninterfaces: [{{name: eth0, xdp: {request.param}}}]\n")
    lab.fresh_agent("--config", config)
    for protocol in ("tcp", "udp"):
        lab.sluice("service", "add", f"all-{protocol}", protocol, f"{VIP4}:*")
        lab.sluice("backend", "add", f"all-{protocol}", backend(1))
    return lab


def forwarded(lab):
    return sum(service["traffic"]["packets"] for service in lab.json("show")["services"])


def fetch(lab, host, address, port=80):
    address = f"[{address}]" if ":" in address else address
    return lab.run(host, "curl", "-s", "--max-time", "3", f"http://{address}:{port}/", check=False).stdout.strip()


def test_the_load_balancers_own_addresses_answer(busy_lab):
    lab = busy_lab
    with lab.running("lb", PYTHON, SERVER, "itself", "22", "161"):
        wait_for(lambda: fetch(lab, "client", LB4, 22) == "itself", "the load balancer's own server is up")
        for own in (LB4, LB6):
            assert lab.ping("client", own, count=3).returncode == 0
            assert fetch(lab, "client", own, 22) == "itself"
            assert set(lab.ask_from("udp", own, 161, range(24000, 24004)).values()) == {"itself"}
    assert lab.reason("not_tcp_udp") >= 6
    assert lab.reason("no_service") > 0
    assert forwarded(lab) == 0


def test_neighbours_are_found(busy_lab):
    lab = busy_lab
    before = lab.reason("not_ip")
    for host in ("client", "lb"):
        lab.ip(host, "neigh", "flush", "all")
    for own in (LB4, LB6):
        assert lab.ping("client", own).returncode == 0
    for host in ("client", "lb"):
        lab.ip(host, "neigh", "flush", "all")
    for theirs in (CLIENT4, CLIENT6):
        assert lab.ping("lb", theirs).returncode == 0
    assert lab.reason("not_ip") > before  # ARP


def test_other_hosts_traffic_is_forwarded(busy_lab):
    lab = busy_lab
    for n in (1, 2):
        for family in (4, 6):
            own = backend(n, family)
            assert fetch(lab, "client", own) == f"b{n}"
            assert set(lab.ask_from("udp", own, 53, range(24000, 24004)).values()) == {f"b{n}"}
            assert lab.ping("client", own).returncode == 0
            # In fragments, there and back; the first one may teach the other side its path's MTU.
            assert lab.ping("client", own, 3, "-s", "4000").returncode == 0
    assert lab.reason("fragment") > 0
    assert forwarded(lab) == 0


def test_what_is_sent_to_a_vip_but_to_no_service_is_the_kernels(busy_lab):
    lab = busy_lab
    lab.sluice("service", "del", "all-tcp")
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80")
    lab.sluice("backend", "add", "web", backend(1))
    before = lab.reason("no_service"), lab.reason("not_tcp_udp")
    # In this lab replies from the VIP come by the load balancer, which then has it itself.
    lab.sysctl("lb", "net.ipv4.conf.all.accept_local=1")
    lab.ip("lb", "address", "add", f"{VIP4}/32", "dev", "lo")
    try:
        assert lab.ping("client", VIP4, count=2).returncode == 0
        refused = lab.run("client", "curl", "-s", "--max-time", "3", f"http://{VIP4}:81/", check=False)
        assert refused.returncode == 7  # refused by the load balancer's own stack, at once
        assert fetch(lab, "client", VIP4) == "b1"
    finally:
        lab.ip("lb", "address", "del", f"{VIP4}/32", "dev", "lo")
    assert lab.reason("no_service") > before[0]
    assert lab.reason("not_tcp_udp") >= before[1] + 2


def test_a_service_without_backends_drops_and_counts(lab):
    lab.add_services([], ["udp4"])
    assert set(lab.ask_from("udp", VIP4, 53, range(24000, 24004), check=False).values()) == {None}
    assert lab.reason("no_backend") == 4
    lab.sluice("backend", "add", "dns", backend(1), "--weight", "0")
    assert set(lab.ask_from("udp", VIP4, 53, range(24000, 24004), check=False).values()) == {None}
    assert lab.reason("no_backend") == 8
