"""The main job: requests to a VIP are answered by its backends, and the counters say how many."""

import pytest

from lab import PYTHON, SERVER, VIP4, VIP6, backend, wait_for

BACKENDS = range(1, 4)
COUNT = 150


@pytest.mark.parametrize("backend_family", [4, 6])
@pytest.mark.parametrize("vip_family", [4, 6])
def test_requests_spread_over_three_backends_and_every_one_is_answered(lab, vip_family, backend_family):
    kinds = (f"http{vip_family}", f"udp{vip_family}")
    lab.add_services([backend(n, backend_family) for n in BACKENDS], kinds)
    answers = lab.traffic(kinds, count=COUNT)
    for kind in kinds:
        assert sorted(answers[kind]) == ["b1", "b2", "b3"]
        assert sum(answers[kind].values()) == COUNT
        # A third each, give or take five standard deviations.
        assert all(COUNT / 3 - 29 < count < COUNT / 3 + 29 for count in answers[kind].values()), answers[kind]


@pytest.mark.parametrize("vip_family", [4, 6])
def test_counters_say_what_each_backend_got(lab, vip_family):
    web, dns = f"http{vip_family}", f"udp{vip_family}"
    lab.add_services([backend(1), backend(2, 6), backend(3)], (web, dns))
    decapsulated_before = [lab.decapsulated(n) for n in BACKENDS]
    answers = lab.traffic((web, dns), count=COUNT)

    shown = {service["wanted"]["name"]: service for service in lab.json("show")["services"]}
    suffix = "" if vip_family == 4 else "6"
    by_backend = {}
    for kind, name in ((web, "web"), (dns, "dns")):
        service = shown[name + suffix]
        packets = [each["traffic"]["packets"] for each in service["backends"]]
        assert service["traffic"]["packets"] == sum(packets)
        assert service["traffic"]["bytes"] == sum(each["traffic"]["bytes"] for each in service["backends"])
        by_backend[kind] = packets
    # A datagram is one packet; a request over HTTP is SYN, ACK, GET and a FIN with its ACK at the least.
    assert by_backend[dns] == [answers[dns].get(f"b{n}", 0) for n in BACKENDS]
    assert all(by_backend[web][n - 1] >= 4 * answers[web].get(f"b{n}", 0) for n in BACKENDS)
    forwarded = [sum(pair) for pair in zip(by_backend[web], by_backend[dns])]
    decapsulated = [lab.decapsulated(n) - before for n, before in zip(BACKENDS, decapsulated_before)]
    assert decapsulated == forwarded


def test_backends_of_both_families_serve_one_vip(lab):
    lab.add_services([backend(1), backend(2, 6), backend(3, 6)])
    answers = lab.traffic(count=60)
    for kind in answers:
        assert sorted(answers[kind]) == ["b1", "b2", "b3"]


def test_weights_shape_the_share_of_new_flows(lab):
    lab.add_services([backend(1)], ["http4", "udp6"])
    for name in ("web", "dns6"):
        lab.sluice("backend", "add", name, backend(2), "--weight", "3")
        lab.sluice("backend", "add", name, backend(3), "--weight", "0")
    answers = lab.traffic(["http4", "udp6"], count=200)
    for kind in answers:
        assert "b3" not in answers[kind]
        assert 150 - 31 < answers[kind]["b2"] < 150 + 31, answers[kind]


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_service_for_any_port_takes_every_port_and_leaves_those_that_have_their_own(lab, vip):
    any_port = f"{vip}:*" if vip == VIP4 else f"[{vip}]:*"
    own_port = any_port.replace("*", "80")
    url_host = vip if vip == VIP4 else f"[{vip}]"
    lab.sluice("service", "add", "all-tcp", "tcp", any_port)
    lab.sluice("service", "add", "all-udp", "udp", any_port)
    lab.sluice("service", "add", "web", "tcp", own_port)
    for service, n in (("all-tcp", 1), ("all-tcp", 2), ("all-udp", 2), ("web", 3)):
        lab.sluice("backend", "add", service, backend(n))

    with lab.running("b1", PYTHON, SERVER, "b1", "8080", "5353"), \
            lab.running("b2", PYTHON, SERVER, "b2", "8080", "5353"):
        def answer():
            return lab.run("client", "curl", "-s", "--max-time", "2", f"http://{url_host}:8080/", check=False).stdout

        wait_for(lambda: {answer() for _ in range(8)} == {"b1\n", "b2\n"}, "both answer on another port")
        assert set(lab.ask_from("tcp", vip, 8080, range(20000, 20020)).values()) == {"b1", "b2"}
        assert set(lab.ask_from("udp", vip, 5353, range(20000, 20010)).values()) == {"b2"}
        assert set(lab.ask_from("udp", vip, 53, range(20000, 20010)).values()) == {"b2"}
        assert set(lab.ask_from("tcp", vip, 80, range(20000, 20010)).values()) == {"b3"}


def test_a_large_download_arrives_whole(lab):
    lab.add_services([backend(n) for n in BACKENDS], ["http4", "http6"])
    for host in (VIP4, f"[{VIP6}]"):
        # Ten pieces over a second, so that the connection is idle in between.
        got = lab.run("client", "curl", "-s", "--max-time", "10", f"http://{host}/slow/1").stdout.split()
        assert len(got) == 10 and len(set(got)) == 1
