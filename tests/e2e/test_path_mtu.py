"""Paths to backends that are too narrow for the outer header: real clients recover by themselves."""

import json

import pytest

from lab import PYTHON, VIP4, VIP6, backend, wait_for

# One long request head: many segments of full size towards the backend.
UPLOAD = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 80), timeout=20)
connection.sendall(b"GET / HTTP/1.1\\r\\nConnection: close\\r\\nX: " + b"x" * 40000 + b"\\r\\n\\r\\n")
print(connection.makefile().read().split()[-1])
"""


ASK_AT_LENGTH = """
import socket, sys
asking = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(5)
asking.connect((sys.argv[1], 53))
asking.send(b"f" * 5000)
print(asking.recv(6000).decode().split()[0])
"""


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_datagram_in_fragments_arrives_whole(lab, vip):
    kind = "udp4" if vip == VIP4 else "udp6"
    lab.add_services([backend(1), backend(2), backend(3)], [kind])
    answers = {lab.run("client", PYTHON, "-c", ASK_AT_LENGTH, vip).stdout.strip() for _ in range(12)}
    assert answers == {"b1", "b2", "b3"}
    assert lab.reason("orphan") == 0


@pytest.fixture
def narrow(lab):
    lab.ip("lb", "link", "set", "b1", "mtu", "1500")
    with lab.hearing_answers():
        yield lab
    lab.ip("lb", "link", "set", "b1", "mtu", "1600")
    for family, vip in (("-4", VIP4), ("-6", VIP6)):
        lab.ip("client", family, "route", "flush", "cache", check=False)


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("kind,vip,mtu", [("http4", VIP4, 1500), ("http6", VIP6, 1500)])
def test_tcp_recovers_from_a_narrow_path(narrow, kind, vip, mtu, outer):
    narrow.add_services([backend(1, outer)], [kind])
    name = {"http4": "web", "http6": "web6"}[kind]
    wait_for(lambda: narrow.backend(name, backend(1, outer))["path"] == "resolved", "the way is known")
    before = narrow.reason("told_too_big")
    assert narrow.run("client", PYTHON, "-c", UPLOAD, vip).stdout == "b1\n"
    assert narrow.reason("told_too_big") > before
    route = json.loads(narrow.ip("client", "-j", "route", "get", vip).stdout)[0]
    told = [metrics["mtu"] for metrics in route.get("metrics", []) if "mtu" in metrics]
    assert told == [mtu - (20 if outer == 4 else 40)]
