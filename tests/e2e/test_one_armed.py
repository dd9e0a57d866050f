"""A load balancer with one interface: packets go back by where they came in (XDP_TX), backends are behind a gateway."""

import pytest

from lab import ALL_KINDS, backend


@pytest.fixture(scope="module")
def module_lab(new_lab):
    return new_lab(backends=2, shape="one-armed")


def set_mode(lab, mode):
    config = lab.directory / f"{mode}.yaml"
    config.write_text(f"version: 1\ninterfaces:\n  - {{name: eth0, xdp: {mode}}}\n")
    lab.fresh_agent("--config", config)


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_requests_of_every_kind_are_answered(lab, mode):
    set_mode(lab, mode)
    lab.add_services([backend(1), backend(2, 6)])
    answers = lab.traffic(count=80)
    for kind in ALL_KINDS:
        assert sorted(answers[kind]) == ["b1", "b2"]
    shown = lab.json("show")
    assert [each["native"] for each in shown["interfaces"]] == [mode == "native"]
    assert all(each["traffic"]["packets"] >= 80 for each in shown["services"])


def test_the_gateway_is_every_backends_next_hop(lab):
    lab.add_services([backend(1), backend(2, 6)], ["http4"])
    assert lab.backend("web", backend(1))["path_detail"] == "via 203.0.113.1 on eth0"
    assert lab.backend("web", backend(2, 6))["path_detail"] == "via 2001:db8:3::1 on eth0"


def sent_back(lab):
    """Packets that the program sent out by where they came in, as the driver counts them."""
    counters = (line.split(":") for line in lab.run("lb", "ethtool", "-S", "eth0").stdout.splitlines())
    return sum(int(value) for name, value in counters if name.strip().endswith("_xdp_tx"))


def test_packets_leave_by_where_they_came_in(lab):
    lab.add_services([backend(1), backend(2)], ["udp4"])
    before = lab.received("router", "lb"), sent_back(lab)
    lab.traffic(["udp4"], count=100)
    assert lab.received("router", "lb") - before[0] >= 100
    assert sent_back(lab) - before[1] == 100


def test_a_backend_is_drained_under_traffic(lab):
    lab.add_services([backend(1), backend(2)])
    with lab.steady_traffic(hold=5) as answers:
        lab.each_service("drain", backend(1))
        drained = lab.traffic(count=20)
        lab.each_service("undrain", backend(1))
    assert all(list(drained[kind]) == ["b2"] for kind in ALL_KINDS), drained
    assert sorted(answers["held"]) == ["b1", "b2"]
