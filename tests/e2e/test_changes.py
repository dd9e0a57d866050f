"""Changes while traffic runs: no request is lost, and no open connection breaks or moves."""

import random
import threading
import time
from pathlib import Path

import pytest

from lab import ALL_KINDS, SERVICES, VIP4, VIP6, backend, wait_for

PAUSE = 0.7  # seconds of traffic between changes


def with_three_backends(lab):
    lab.add_services([backend(1), backend(2, 6), backend(3)])


def assert_held_connections_spread(answers, hold=10):
    assert sum(answers["held"].values()) == 2 * hold
    assert len(answers["held"]) > 1, answers["held"]


def test_drain_and_return_of_a_backend(lab):
    with_three_backends(lab)
    with lab.steady_traffic() as answers:
        lab.each_service("drain", backend(2, 6))
        drained = {name: lab.backend(name, backend(2, 6)) for name, _, _ in SERVICES.values()}
        time.sleep(PAUSE)
        only_new = lab.traffic(count=30)
        lab.each_service("undrain", backend(2, 6))
        time.sleep(PAUSE)
        again = lab.traffic(count=40)
    assert all(each["slots"] == 0 and each["wanted"]["state"] == "drain" for each in drained.values())
    assert all("b2" not in only_new[kind] for kind in ALL_KINDS), only_new
    assert all("b2" in again[kind] for kind in ALL_KINDS), again
    assert_held_connections_spread(answers)


def test_a_backend_is_added(lab):
    lab.add_services([backend(1), backend(2)])
    with lab.steady_traffic() as answers:
        lab.each_service("add", backend(3))
        time.sleep(PAUSE)
        after = lab.traffic(count=40)
    assert all(sorted(after[kind]) == ["b1", "b2", "b3"] for kind in ALL_KINDS), after
    assert "b3" not in answers["held"]
    assert_held_connections_spread(answers)


def test_weights_change(lab):
    with_three_backends(lab)
    with lab.steady_traffic() as answers:
        lab.each_service("set", backend(1), "--weight", "8")
        time.sleep(PAUSE)
        lab.each_service("set", backend(2, 6), "--weight", "0")
        time.sleep(PAUSE)
        weighted = lab.traffic(count=60)
        lab.each_service("set", backend(2, 6), "--weight", "1")
        lab.each_service("set", backend(1), "--weight", "1")
        time.sleep(PAUSE)
    assert all("b2" not in weighted[kind] and weighted[kind]["b1"] > 40 for kind in ALL_KINDS), weighted
    assert_held_connections_spread(answers)


def test_a_drained_backend_is_removed_when_its_flows_have_ended(lab):
    with_three_backends(lab)
    with lab.steady_traffic(hold_seconds=2):
        lab.each_service("drain", backend(3))
        # Its connections end by themselves; then nothing reaches it any more.
        packets = None
        for _ in range(20):
            before, packets = packets, [lab.backend(name, backend(3))["traffic"]["packets"] for name in ("web", "web6")]
            if before == packets:
                break
            time.sleep(1)
        assert before == packets, "it is still in use"
        lab.each_service("del", backend(3))
        time.sleep(PAUSE)
    assert all(len(service["backends"]) == 2 for service in lab.json("show")["services"])


def test_the_agent_stops_and_starts(lab):
    with_three_backends(lab)
    with lab.steady_traffic() as answers:
        lab.stop_agent()
        assert lab.try_sluice("show").returncode == 3
        time.sleep(PAUSE)
        without_agent = lab.traffic(count=30)
        lab.agent()
        time.sleep(PAUSE)
    assert all(sorted(without_agent[kind]) == ["b1", "b2", "b3"] for kind in ALL_KINDS), without_agent
    assert_held_connections_spread(answers)


def test_the_agent_is_killed_and_starts_again(lab):
    with_three_backends(lab)
    with lab.steady_traffic() as answers:
        lab.each_service("drain", backend(1))
        for _ in range(2):
            lab.kill_agent()
            time.sleep(PAUSE)
            lab.agent()
            time.sleep(PAUSE)
    assert_held_connections_spread(answers)


def test_the_agent_is_killed_in_the_middle_of_changes(lab):
    """Whatever a change had done when the agent died, it is found done or not done, and traffic does not notice."""
    lab.add_services([backend(1), backend(2, 6), backend(3)], ["http4", "udp6"])
    random_moment = random.Random(1)
    is_over = threading.Event()

    def change_on_and_on():
        while not is_over.is_set():
            for verb in ("drain", "undrain"):
                for name in ("web", "dns6"):
                    lab.try_sluice("backend", verb, name, backend(1))  # refused while no agent is there

    with lab.steady_traffic(["http4", "udp6"]) as answers:
        changes = threading.Thread(target=change_on_and_on)
        changes.start()
        try:
            for _ in range(5):
                time.sleep(random_moment.uniform(0.1, 0.4))
                lab.kill_agent()
                lab.agent()
        finally:
            is_over.set()
            changes.join()
        for name in ("web", "dns6"):
            lab.sluice("backend", "undrain", name, backend(1))
        again = lab.traffic(["http4", "udp6"], count=40)
    assert all(sorted(again[kind]) == ["b1", "b2", "b3"] for kind in again), again
    assert len(answers["held"]) > 1
    assert "repair or remove" not in lab.log.read_text()


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_udp_flows_stay_on_their_backend(lab, vip):
    """A datagram does not say that it begins a flow, so every flow is in the table."""
    lab.add_services([backend(1), backend(2, 6)], ["udp4", "udp6"])
    ports = range(27000, 27040)
    before = lab.ask_from("udp", vip, 53, ports)
    assert set(before.values()) == {"b1", "b2"}
    for name in ("dns", "dns6"):
        lab.sluice("backend", "add", name, backend(3), "--weight", "5")
        lab.sluice("backend", "drain", name, backend(1))
    assert lab.ask_from("udp", vip, 53, ports) == before
    new = lab.ask_from("udp", vip, 53, range(27100, 27140))
    assert set(new.values()) == {"b2", "b3"}


def test_udp_without_flows_follows_the_ring(lab):
    """And the ring moves as few as it can."""
    lab.add_services([backend(1), backend(2)], ["udp4"], options=("--flows", "stateless"))
    ports = range(27000, 27100)
    before = lab.ask_from("udp", VIP4, 53, ports)
    lab.sluice("backend", "add", "dns", backend(3))
    after = lab.ask_from("udp", VIP4, 53, ports)
    moved = {port: after[port] for port in ports if after[port] != before[port]}
    assert 10 < len(moved) < 60 and set(moved.values()) == {"b3"}


def test_many_changes_leave_nothing_behind_in_the_agent(lab):
    lab.add_services([backend(1), backend(2)], ["udp4"])

    def descriptors():
        return len(list(Path(f"/proc/{lab.agent_pid()}/fd").iterdir()))

    before = descriptors()
    for _ in range(15):
        lab.sluice("backend", "add", "dns", backend(3))
        lab.sluice("backend", "drain", "dns", backend(3))
        lab.sluice("backend", "del", "dns", backend(3))
    wait_for(lambda: descriptors() <= before, "the descriptors are closed", 5)
    assert [each["wanted"]["address"] for each in lab.service("dns")["backends"]] == [backend(1), backend(2)]
    assert lab.json("show")["revision"] >= 45


def test_a_service_is_deleted_and_added_while_others_run(lab):
    with_three_backends(lab)
    with lab.steady_traffic(["http4", "udp4"]):
        lab.sluice("service", "del", "web6")
        lab.sluice("service", "del", "dns6")
        time.sleep(PAUSE)
        lab.add_services([backend(1, 6), backend(2)], ["http6", "udp6"])
        again = lab.traffic(["http6", "udp6"], count=40)
    assert all(sorted(again[kind]) == ["b1", "b2"] for kind in again), again


def test_older_flows_of_a_settled_change_leave_the_table(lab):
    """After the grace period the change is over: no slot is tracked any more, and new flows need no table."""
    config = lab.directory / "short-grace.yaml"
    config.write_text("version: 1\ninterfaces: [eth0]\ndefaults: {grace: 1s}\n")
    lab.fresh_agent("--config", config)
    lab.add_services([backend(1), backend(2)], ["http4"])
    lab.traffic(["http4"], count=20)
    lab.sluice("backend", "add", "web", backend(3))
    assert lab.service("web")["tracked_slots"] > 0
    lab.traffic(["http4"], count=20)
    wait_for(lambda: lab.service("web")["tracked_slots"] == 0, "the slots are stable again", seconds=25)
    assert sorted(lab.traffic(["http4"], count=60)["http4"]) == ["b1", "b2", "b3"]
