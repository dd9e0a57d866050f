"""What a configuration file says of interfaces and of the outer header."""

import contextlib
import ipaddress
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

from lab import CLIENT4, CLIENT6, DECAP, PASS_PROGRAM, VIP4, VIP6, backend, wait_for

PORTS = range(23000, 23040)


def configured(lab, text):
    config = lab.directory / "configured.yaml"
    config.write_text("version: 1\n" + text)
    return config


def interfaces(lab):
    return {each["name"]: each for each in lab.json("show")["interfaces"]}


def test_generic_xdp_on_request(lab):
    lab.fresh_agent("--config", configured(lab, "interfaces: [{name: eth0, xdp: generic}]\n"))
    assert lab.xdp_on("lb", "eth0")["mode"] == 2
    assert interfaces(lab)["eth0"]["native"] is False
    assert "eth0  generic XDP" in lab.sluice("show")
    assert "eth0: generic XDP" in lab.log.read_text()
    lab.add_services([backend(1), backend(2, 6), backend(3)])
    assert all(sorted(got) == ["b1", "b2", "b3"] for got in lab.traffic(count=60).values())


def test_native_xdp_is_the_default(lab):
    assert lab.xdp_on("lb", "eth0")["mode"] == 1
    assert interfaces(lab)["eth0"]["native"] is True
    assert "eth0  native XDP" in lab.sluice("show")


@pytest.fixture
def bridge(lab):
    """A client's side whose interface knows no native XDP: the load balancer's addresses are on a bridge."""
    lab.stop_agent()
    lab.detach()
    addresses = ["198.51.100.1/24", "2001:db8:1::1/64"]
    lab.ip("lb", "link", "add", "br0", "type", "bridge")
    move(lab, addresses, "eth0", "br0")
    lab.ip("lb", "link", "set", "eth0", "master", "br0")
    lab.ip("lb", "link", "set", "br0", "up")
    yield lab
    lab.stop_agent()
    lab.detach()
    lab.ip("lb", "link", "set", "eth0", "nomaster")
    move(lab, addresses, "br0", "eth0")
    lab.ip("lb", "link", "del", "br0")
    for host in ("client", "lb"):
        lab.ip(host, "neigh", "flush", "all")


def move(lab, addresses, old, new):
    for address in addresses:
        lab.ip("lb", "address", "del", address, "dev", old)
        lab.ip("lb", "address", "add", address, "dev", new, *(["nodad"] if ":" in address else []))


def test_an_interface_without_native_xdp_gets_generic_and_it_is_said(bridge):
    lab = bridge
    lab.agent("--config", configured(lab, "interfaces: [br0]\n"))
    remark = interfaces(lab)["br0"]["remark"]
    assert interfaces(lab)["br0"]["native"] is False
    assert "slower" in remark and "native XDP refused" in remark
    assert "br0: generic XDP" in lab.log.read_text()
    wait_for(lambda: lab.ping("client", "198.51.100.1").returncode == 0, "the bridge forwards")
    lab.add_services([backend(1), backend(2, 6)])
    assert all(sorted(got) == ["b1", "b2"] for got in lab.traffic(count=40).values())


def test_native_xdp_on_request_is_refused_where_there_is_none(bridge):
    lab = bridge
    refused = lab.sluiced("--config", configured(lab, "interfaces: [{name: br0, xdp: native}]\n"), "--bpffs", lab.bpffs,
                          "--state-dir", lab.state, "--socket", lab.socket)
    assert refused.returncode == 1
    assert "attach br0: native XDP refused" in refused.stderr
    assert lab.xdp_on("lb", "br0") is None
    assert not lab.pins.exists()


@pytest.fixture
def second_way_in(lab):
    """A second link from the client to the load balancer, in2."""
    lab.ip("lb", "link", "add", "in2", "type", "veth", "peer", "name", "eth1", "netns", f"sl-{lab.name}-client")
    for host, interface, end in (("lb", "in2", 1), ("client", "eth1", 2)):
        lab.ip(host, "link", "set", interface, "up")
        lab.ip(host, "address", "add", f"198.51.101.{end}/24", "dev", interface)
    lab.run("client", "ethtool", "-K", "eth1", "tx", "off")
    yield lab
    lab.ip("client", "route", "del", VIP4, check=False)
    lab.ip("lb", "link", "del", "in2")


def test_several_interfaces(second_way_in):
    lab = second_way_in
    lab.fresh_agent("--config", configured(lab, "interfaces: [eth0, {name: in2, xdp: generic}]\n"))
    assert {name: each["native"] for name, each in interfaces(lab).items()} == {"eth0": True, "in2": False}
    lab.add_services([backend(1), backend(2)], ["http4", "udp4"])
    lab.traffic(["http4", "udp4"], count=30)
    lab.ip("client", "route", "add", VIP4, "via", "198.51.101.1")
    before = lab.received("lb", "in2")
    lab.traffic(["http4", "udp4"], count=30)
    assert lab.received("lb", "in2") - before >= 60
    assert lab.service("dns")["traffic"]["packets"] == 60

    # What is not wanted any more is taken off.
    lab.stop_agent()
    lab.agent("--config", configured(lab, "interfaces: [eth0]\n"))
    assert lab.xdp_on("lb", "in2") is None
    assert lab.xdp_on("lb", "eth0") is not None


def test_a_changed_mode_takes_hold_at_the_next_start(lab):
    lab.add_services([backend(1)], ["udp4"])
    for mode, number in (("generic", 2), ("native", 1)):
        lab.stop_agent()
        lab.agent("--config", configured(lab, f"interfaces: [{{name: eth0, xdp: {mode}}}]\n"))
        assert lab.xdp_on("lb", "eth0")["mode"] == number
        lab.traffic(["udp4"], count=20)


def test_a_program_that_somebody_took_off_is_attached_again(lab):
    lab.add_services([backend(1)], ["http4"])
    lab.ip("lb", "link", "set", "dev", "eth0", "xdp", "off")
    wait_for(lambda: lab.xdp_on("lb", "eth0"), "it is attached again", 5)
    assert interfaces(lab)["eth0"]["native"] is True
    assert "attached again" in lab.log.read_text()
    lab.traffic(["http4"], count=20)


def test_a_program_that_took_the_place_is_reported_until_it_goes(lab):
    lab.add_services([backend(1)], ["http4"])
    lab.ip("lb", "link", "set", "dev", "eth0", "xdp", "off")
    lab.ip("lb", "link", "set", "dev", "eth0", "xdpdrv", "obj", PASS_PROGRAM, "sec", "xdp")
    try:
        wait_for(lambda: "held by XDP program 'pass'" in interfaces(lab)["eth0"]["remark"], "it is reported", 5)
        assert interfaces(lab)["eth0"]["native"] is False
        assert "not attached" in lab.sluice("show")
        open_now = len(list(Path(f"/proc/{lab.agent_pid()}/fd").iterdir()))
        time.sleep(3)
        assert len(list(Path(f"/proc/{lab.agent_pid()}/fd").iterdir())) <= open_now
    finally:
        lab.ip("lb", "link", "set", "dev", "eth0", "xdp", "off")
    wait_for(lambda: interfaces(lab)["eth0"]["native"], "it is attached again", 5)
    lab.traffic(["http4"], count=20)


def test_an_interface_that_was_deleted_and_made_again_gets_its_program(second_way_in):
    lab = second_way_in
    lab.fresh_agent("--config", configured(lab, "interfaces: [eth0, in2]\n"))
    lab.ip("lb", "link", "del", "in2")
    wait_for(lambda: "gone" in interfaces(lab)["in2"]["remark"], "it is reported", 5)
    lab.ip("lb", "link", "add", "in2", "type", "veth", "peer", "name", "eth1", "netns", f"sl-{lab.name}-client")
    wait_for(lambda: lab.xdp_on("lb", "in2"), "it is attached again", 5)
    assert interfaces(lab)["eth0"]["native"] is True


# --- the outer header ---

@contextlib.contextmanager
def outer_packets(lab, n):
    """What reaches backend N while it does not take the outer header off: a list that is filled afterwards."""
    bpffs, capture, said = (lab.directory / name for name in (f"bpf-b{n}", "outer.pcap", "tcpdump.log"))
    lab.run(f"b{n}", DECAP, "--bpffs", bpffs, "detach", "eth0")
    lab.ip(f"b{n}", "link", "set", "dev", "eth0", "xdpdrv", "obj", PASS_PROGRAM, "sec", "xdp")
    packets = []
    try:
        with open(said, "w") as log, \
                lab.running(f"b{n}", "tcpdump", "-i", "eth0", "-Z", "root", "-U", "-s", "256", "--immediate-mode", "-w",
                            capture,
                            "ip proto 4 or ip proto 41 or ip6 proto 4 or ip6 proto 41", stderr=log):
            wait_for(lambda: "listening on" in said.read_text(), "tcpdump listens")
            yield packets
        assert "\n0 packets dropped by kernel" in said.read_text()
    finally:
        lab.ip(f"b{n}", "link", "set", "dev", "eth0", "xdp", "off")
        lab.renew_decap(n)
    packets.extend(rdpcap(str(capture)))


OUTER = {4: IP, 6: IPv6}


@pytest.mark.parametrize("vip_family", [4, 6])
@pytest.mark.parametrize("family, key, prefix", [(4, "source4", "172.16.0.0/16"), (6, "source6", "2001:db8:ffff::/64")])
def test_outer_sources_vary_inside_their_prefix(lab, vip_family, family, key, prefix):
    lab.fresh_agent("--config", configured(lab, f"interfaces: [eth0]\nencapsulation: {{{key}: \"{prefix}\"}}\n"))
    vip, client = (VIP4, CLIENT4) if vip_family == 4 else (VIP6, CLIENT6)
    lab.add_services([backend(1, family)], [f"udp{vip_family}"])
    with outer_packets(lab, 1) as packets:
        lab.ask_from("udp", vip, 53, PORTS, check=False)
        lab.ask_from("udp", vip, 53, PORTS, check=False)

    sources = {}
    for packet in packets:
        outer = packet[OUTER[family]]
        inner = outer.payload
        assert (inner.src, inner.dst) == (client, vip) and bytes(inner[UDP].payload) == b"who"
        assert outer.dst == backend(1, family)
        assert ipaddress.ip_address(outer.src) in ipaddress.ip_network(prefix)
        sources.setdefault(inner[UDP].sport, set()).add(outer.src)
    assert sorted(sources) == list(PORTS)
    assert all(len(each) == 1 for each in sources.values()), "a flow keeps its outer source"
    assert len(set.union(*sources.values())) > len(PORTS) * 0.9
    # And the backend takes them all.
    assert set(lab.ask_from("udp", vip, 53, PORTS).values()) == {"b1"}


@pytest.mark.parametrize("family, setting, source", [
    (4, "", "10.0.1.1"), (6, "", "2001:db8:b:1::1"),
    (4, "encapsulation: {source4: 172.16.9.9}\n", "172.16.9.9"),
    (6, "encapsulation: {source6: \"2001:db8:ffff::9\"}\n", "2001:db8:ffff::9")])
def test_one_outer_source(lab, family, setting, source):
    """Without a setting it is the address that the kernel would send from."""
    lab.fresh_agent("--config", configured(lab, "interfaces: [eth0]\n" + setting))
    lab.add_services([backend(1, family)], ["udp4"])
    with outer_packets(lab, 1) as packets:
        lab.ask_from("udp", VIP4, 53, PORTS, check=False)
    assert len(packets) == len(PORTS)
    assert {packet[OUTER[family]].src for packet in packets} == {source}
    assert set(lab.ask_from("udp", VIP4, 53, PORTS).values()) == {"b1"}


def test_a_file_that_changes_sources_takes_hold_at_the_next_start_without_loss(lab):
    lab.add_services([backend(1), backend(2)], ["http4"])
    with lab.steady_traffic(["http4"], hold=5):
        lab.stop_agent()
        lab.agent("--config", configured(lab, "interfaces: [eth0]\nencapsulation: {source4: 172.16.0.0/16}\n"))
    lab.traffic(["http4"], count=30)


def test_a_pool_of_addresses_of_a_file_is_served(lab):
    """The whole of a configuration file, with its services: no command is needed."""
    config = configured(lab, f"""\
interfaces: [{{name: eth0, xdp: auto}}]
defaults: {{grace: 30s, hash_seed: "a fleet's"}}
limits: {{services: 16, backends: 64, ring_slots: 16384, flows: 4096}}
services:
  - name: web
    vip: {VIP4}:80
    ring: 1024
    backends:
      - {{address: {backend(1)}, weight: 2}}
      - {{address: "{backend(2, 6)}"}}
      - {{address: {backend(3)}, state: drain}}
  - {{name: dns6, vip: "[{VIP6}]:53", protocol: udp, flows: stateless, ring: 1024,
      backends: [{{address: {backend(3)}}}]}}
""")
    lab.fresh_agent("--config", config)
    answers = lab.traffic(["http4", "udp6"], count=60)
    assert sorted(answers["http4"]) == ["b1", "b2"] and list(answers["udp6"]) == ["b3"]

    # What the command made of it stands while the file stays as it is, and yields when the file changes.
    lab.sluice("backend", "undrain", "web", backend(3))
    lab.stop_agent()
    lab.agent("--config", config)
    assert lab.backend("web", backend(3))["wanted"].get("state", "up") == "up"
    config.write_text(config.read_text() + "# changed\n")
    lab.stop_agent()
    lab.agent("--config", config)
    assert lab.backend("web", backend(3))["wanted"]["state"] == "drain"
