"""Which service a packet is for: VIP, port and protocol, the exact port before any port."""

import pytest
from packet_frames import BACKEND, VIP, Flows, assert_forwarded, config, one_bit_off, packet, random_flows, service

OTHER = {4: "10.0.0.99", 6: "2001:db8:b::99"}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("port", [1, 79, 80, 81, 0x5000, 65535])
def test_only_the_services_port_is_forwarded(driver, family, protocol, port):
    driver.configure(config(service(vip=VIP[family], protocol=protocol)))
    frame = packet(family, protocol, dport=port)
    outcome = driver.run(frame)
    if port == 80:
        assert_forwarded(outcome, frame, BACKEND[4])
    else:
        assert outcome.reason == "no_service"


@pytest.mark.parametrize("port", [80, "*"])
@pytest.mark.parametrize("family", [4, 6])
def test_an_address_one_bit_off_the_vip_is_not_the_vip(driver, family, port):
    driver.configure(config(service(vip=VIP[family], port=port)))
    frames = [packet(family, destination=address) for address in one_bit_off(VIP[family])]
    assert {outcome.reason for outcome in driver.run_all(frames)} == {"no_service"}
    assert driver.run(packet(family)).action == "tx"


def test_a_packet_from_the_vip_is_not_for_it(driver):
    driver.configure(config(service(), service("web6", VIP[6])))
    for family in (4, 6):
        answer = packet(family, source=VIP[family], destination="198.51.100.7" if family == 4 else "2001:db8:c::7")
        assert driver.run(answer).reason == "no_service"
        assert driver.run(packet(family, sport=80, dport=40000)).reason == "no_service"


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_and_udp_of_one_endpoint_are_different_services(driver, family):
    driver.configure(
        config(
            service("web", VIP[family], 443, "tcp", [BACKEND[family]]),
            service("quic", VIP[family], 443, "udp", [OTHER[family]]),
        )
    )
    for protocol, name, backend in (("tcp", "web", BACKEND[family]), ("udp", "quic", OTHER[family])):
        frame = packet(family, protocol, dport=443)
        outcome = driver.run(frame)
        assert outcome.service == name
        assert_forwarded(outcome, frame, backend)


@pytest.mark.parametrize("family", [4, 6])
def test_the_other_protocol_of_a_service_is_passed(driver, family):
    driver.configure(config(service(vip=VIP[family], protocol="udp", port="*")))
    assert driver.run(packet(family, "tcp")).reason == "no_service"
    assert driver.run(packet(family, "udp")).action == "tx"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_exact_port_wins_over_any_port(driver, family, protocol):
    driver.configure(
        config(
            service("any", VIP[family], "*", protocol, [OTHER[family]]),
            service("web", VIP[family], 80, protocol, [BACKEND[family]]),
        )
    )
    for port, name, backend in ((80, "web", BACKEND[family]), (81, "any", OTHER[family]), (0, "any", OTHER[family])):
        frame = packet(family, protocol, dport=port)
        outcome = driver.run(frame)
        assert outcome.service == name
        assert_forwarded(outcome, frame, backend)


def test_an_exact_port_without_a_live_backend_does_not_fall_back_to_any_port(driver):
    driver.configure(config(service("any", port="*", backends=[OTHER[4]]), service("web", backends=[])))
    assert driver.run(packet()).reason == "no_backend"


def test_port_zero_matches_only_any_port(driver):
    driver.configure(config(service()))
    assert driver.run(packet(dport=0)).reason == "no_service"


def test_the_same_backend_of_two_services_is_counted_apart(driver):
    driver.configure(config(service("a", port=80), service("b", port=81), service("c", VIP[6], 80)))
    seen = [driver.run(frame).service for frame in (packet(), packet(dport=81), packet(6))]
    assert seen == ["a", "b", "c"]


def test_many_services_do_not_mix(driver):
    services = [service(f"s{i}", f"192.0.2.{i}", 8000 + i, backends=[f"10.0.1.{i}"]) for i in range(1, 31)]
    driver.configure(config(*services))
    for i in range(1, 31):
        outcome = driver.run(packet(destination=f"192.0.2.{i}", dport=8000 + i))
        assert (outcome.service, outcome.backend) == (f"s{i}", f"10.0.1.{i}")
        assert driver.run(packet(destination=f"192.0.2.{i}", dport=8001 + i)).reason == "no_service"


def test_services_come_and_go(driver):
    web, dns = service(), service("dns", port=53, protocol="udp", backends=[OTHER[4]])
    driver.configure(config())
    assert driver.run(packet()).reason == "no_service"
    driver.apply(config(web))
    assert driver.run(packet()).service == "web"
    driver.apply(config(web, dns))
    assert driver.run(packet()).service == "web"
    assert driver.run(packet(protocol="udp", dport=53)).service == "dns"
    driver.apply(config(dns))
    assert driver.run(packet()).reason == "no_service"
    assert driver.run(packet(protocol="udp", dport=53)).service == "dns"


def test_a_service_that_replaces_another_gets_none_of_its_flows(driver):
    flows = random_flows(60)
    old = service("old", protocol="udp", backends=["10.0.0.11", "10.0.0.12"])
    new = service("new", protocol="udp", port=81, backends=["10.0.0.21", "10.0.0.22"])
    driver.configure(config(old))
    driver.run_all(Flows(protocol="udp").frames(flows))
    driver.apply(config(new))
    driver.apply(config(new, service("again", protocol="udp", backends=["10.0.0.31", "10.0.0.32"])))
    seen = {outcome.backend for outcome in driver.run_all(Flows(protocol="udp").frames(flows))}
    assert seen == {"10.0.0.31", "10.0.0.32"}


def test_an_exact_port_takes_over_the_flows_of_any_port(driver):
    """abi.h, invariant 2: a flow names a backend of the same service."""
    flows = random_flows(20)
    anything = service("any", port="*", protocol="udp", backends=[OTHER[4]])
    driver.configure(config(anything))
    driver.run_all(Flows(protocol="udp").frames(flows))
    driver.apply(config(anything, service("web", protocol="udp")))
    assert {outcome.service for outcome in driver.run_all(Flows(protocol="udp").frames(flows))} == {"web"}
