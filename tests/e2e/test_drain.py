"""Draining with real connections: how many remain, waiting for them, deadlines, backends that are down."""

import contextlib
import json
import subprocess
import threading
import time

import pytest

from lab import LIMIT, PYTHON, SLUICE, VIP4, backend, run, wait_for

TALK = """
import socket, sys, time
count, seconds = int(sys.argv[1]), float(sys.argv[2])
held = [socket.create_connection(("192.0.2.1", 80), timeout=10) for _ in range(count)]
until = time.monotonic() + seconds
print("open", flush=True)
broken = 0
while held and time.monotonic() < until:
    for connection in list(held):
        try:
            connection.sendall(b"GET / HTTP/1.1\\r\\nHost: vip\\r\\n\\r\\n")
            assert connection.recv(1000)
        except (OSError, AssertionError):
            held.remove(connection)
            broken += 1
    time.sleep(0.2)
print(broken, flush=True)
"""


@contextlib.contextmanager
def connections(lab, count, seconds):
    """So many that speak all the time, and then are closed."""
    with lab.running("client", PYTHON, "-c", TALK, count, seconds, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "open\n"
        yield process


@pytest.fixture
def web(lab):
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80")
    lab.sluice("backend", "add", "web", backend(1))
    return lab


def drain(lab, *options, limit=60):
    return json.loads(run(SLUICE, "--socket", lab.socket, "--json", "backend", "drain", "web", backend(1), *options,
                          limit=limit).stdout)


def test_wait_returns_when_the_last_connection_has_ended(web):
    with connections(web, 12, 5) as process:
        web.sluice("backend", "add", "web", backend(2))
        began = time.monotonic()
        drained = drain(web, "--wait", "--quiet", "2s")
        assert process.stdout.readline() == "0\n", "they were broken"
        assert process.wait(timeout=LIMIT) == 0
    assert drained["flows_remaining"] == 0
    assert 4 < time.monotonic() - began < 30
    assert web.backend("web", backend(1))["flows"] == 0


def test_show_says_how_many_connections_remain(web):
    with connections(web, 7, 30):
        web.sluice("backend", "add", "web", backend(2))
        drain(web)
        wait_for(lambda: web.backend("web", backend(1))["flows"] == 7, "seven flows are counted")
        assert "7 flows remain" in web.sluice("show", "web")
        assert web.backend("web", backend(1))["slots"] == 0
        assert web.backend("web", backend(1))["origin_slots"] > 0


def test_a_deadline_ends_a_drain(web):
    with connections(web, 5, 60) as process:
        web.sluice("backend", "add", "web", backend(2))
        began = time.monotonic()
        drained = drain(web, "--wait", "--deadline", "5s", "--quiet", "1s")
        assert 3.5 < time.monotonic() - began < 15
        assert drained["flows_remaining"] == 5
        assert web.backend("web", backend(1))["wanted"]["state"] == "down"
        assert process.stdout.readline() == "5\n", "all end with the drain"
    assert set(web.traffic(("http4",), count=20)["http4"]) == {"b2"}


def test_a_deadline_passes_while_the_agent_is_away(web):
    web.sluice("backend", "add", "web", backend(2))
    drain(web, "--deadline", "1s")
    web.kill_agent()
    time.sleep(1.5)
    web.agent()
    wait_for(lambda: web.backend("web", backend(1))["wanted"]["state"] == "down", "the drain has ended")


def test_waiting_survives_a_restart_of_the_agent(web):
    with connections(web, 3, 8) as process:
        web.sluice("backend", "add", "web", backend(2))
        replies = []
        waiting = threading.Thread(target=lambda: replies.append(drain(web, "--wait", "--quiet", "1s")))
        waiting.start()
        time.sleep(2)
        web.kill_agent()
        time.sleep(1)
        web.agent()
        waiting.join(60)
        assert process.stdout.readline() == "0\n"
    assert replies and replies[0]["flows_remaining"] == 0


def test_a_backend_that_is_down_gets_nothing_and_comes_back(web):
    web.sluice("backend", "add", "web", backend(2))
    with web.steady_traffic(("http4",), hold=0):
        web.sluice("backend", "drain", "web", backend(1))
        time.sleep(0.5)
        web.sluice("backend", "down", "web", backend(1))
        before = web.backend("web", backend(1))["traffic"]["packets"]
        time.sleep(0.5)
        assert web.backend("web", backend(1))["traffic"]["packets"] == before
        web.sluice("backend", "up", "web", backend(1))
        wait_for(lambda: web.backend("web", backend(1))["traffic"]["packets"] > before, "it takes packets again")


def test_down_survives_a_restart(web):
    web.sluice("backend", "add", "web", backend(2))
    web.sluice("backend", "down", "web", backend(1))
    web.kill_agent()
    web.agent()
    assert web.backend("web", backend(1))["wanted"]["state"] == "down"
    assert set(web.traffic(("http4",), count=20)["http4"]) == {"b2"}


def test_connections_survive_a_ring_resize_and_every_change_of_the_hash(lab):
    lab.add_services([backend(1), backend(2, 6), backend(3)])
    with lab.steady_traffic() as answers:
        for options in (("--ring", "262144"), ("--hash", "source-ip"), ("--ring", "1024"), ("--flows", "tracked"),
                        ("--hash", "source-ip,port"), ("--flows", "auto"), ("--hash", "5-tuple")):
            for name in ("web", "web6"):
                lab.sluice("service", "set", name, *options)
            time.sleep(0.4)
    assert len(answers["held"]) > 1


def test_with_source_ip_a_client_stays_at_one_backend_and_its_connections_too(lab):
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80", "--hash", "source-ip")
    lab.sluice("service", "add", "dns", "udp", f"{VIP4}:53", "--hash", "source-ip")
    for name in ("web", "dns"):
        for n in (1, 2, 3):
            lab.sluice("backend", "add", name, backend(n))
    kinds = ("http4", "udp4")
    first = lab.traffic(kinds, count=40)
    assert [list(first[kind]) for kind in kinds] == [list(first["http4"])] * 2, "one backend, the same for both"
    (home,) = first["http4"]
    with lab.steady_traffic(("http4",), hold=10) as answers:
        lab.sluice("backend", "drain", "web", backend(int(home[1:])))
        moved = lab.traffic(("http4",), count=40)["http4"]
    assert len(moved) == 1 and home not in moved, "its new connections, all to one other backend"
    assert answers["held"] == {home: 10}, "its open ones stay"


def test_an_open_tcp_connection_that_says_nothing_is_kept_for_the_grace_period(web):
    client = web.on("client", PYTHON, "-c",
                    "import socket,sys\n"
                    "c = socket.create_connection(('192.0.2.1', 80))\n"
                    "print('open', flush=True)\n"
                    "sys.stdin.readline()\n"
                    "c.sendall(b'GET / HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n')\n"
                    "print(c.makefile().read().split()[-1], flush=True)")
    with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        web.sluice("backend", "add", "web", backend(2))
        drained = drain(web, "--wait", "--quiet", "1s")
        assert drained["flows_remaining"] == 0, "it has said nothing, so nobody can know of it"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "b1\n"
