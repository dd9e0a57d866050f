"""What survives the agent: its state, its choices, and the traffic while it is away."""

import json
import signal

import pytest

from lab import SLUICED, VIP4, VIP6, backend, wait_for

PORTS = range(21000, 21048)


def add_varied_services(lab):
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80", "--ring", "1024")
    lab.sluice("service", "add", "dns", "udp", f"{VIP4}:53", "--flows", "stateless")
    lab.sluice("service", "add", "dns6", "udp", f"[{VIP6}]:53", "--flows", "stateless")
    for name in ("web", "dns", "dns6"):
        lab.sluice("backend", "add", name, backend(1), "--weight", "2")
        lab.sluice("backend", "add", name, backend(2, 6))
        lab.sluice("backend", "add", name, backend(3))
    lab.sluice("backend", "drain", "web", backend(3))


def choices(lab):
    return (lab.ask_from("tcp", VIP4, 80, PORTS), lab.ask_from("udp", VIP4, 53, PORTS),
            lab.ask_from("udp", VIP6, 53, PORTS))


def packets(lab):
    return [each["traffic"]["packets"] for service in lab.json("show")["services"] for each in service["backends"]]


def end_and_start(lab):
    lab.stop_agent()
    lab.agent()


def crash_and_start(lab):
    lab.kill_agent()
    lab.agent()


def reboot(lab):
    """All that a reboot leaves is the state on disk."""
    lab.stop_agent()
    lab.detach()
    lab.agent()


@pytest.mark.parametrize("way", [end_and_start, crash_and_start, reboot], ids=lambda way: way.__name__)
def test_state_and_choices_survive(lab, way):
    add_varied_services(lab)
    config, revision, chosen = lab.config(), lab.json("show")["revision"], choices(lab)
    assert set(chosen[0].values()) == {"b1", "b2"} and set(chosen[1].values()) == {"b1", "b2", "b3"}
    way(lab)
    assert lab.config() == config
    assert lab.json("show")["revision"] == revision
    assert choices(lab) == chosen


def test_every_load_balancer_of_a_fleet_chooses_alike(lab):
    """Whatever order its backends were added in, and whatever was there before."""
    def choices_after(order):
        lab.fresh_agent()
        lab.sluice("service", "add", "other", "tcp", f"{VIP4}:{1000 + order[0]}")
        lab.sluice("service", "add", "dns", "udp", f"{VIP4}:53", "--flows", "stateless")
        for n in order:
            lab.sluice("backend", "add", "other", backend(n))
            lab.sluice("backend", "add", "dns", backend(n), "--weight", str(n))
        return lab.ask_from("udp", VIP4, 53, range(21000, 21100))

    first = choices_after([1, 2, 3])
    assert set(first.values()) == {"b1", "b2", "b3"}
    assert choices_after([3, 1, 2]) == first


def test_the_agent_ends_as_it_is_asked_to(lab):
    """SIGTERM, as systemd sends it, and SIGINT: exit code 0, a word in the log, no socket left."""
    for number in (signal.SIGTERM, signal.SIGINT):
        lab.stop_agent()
        with open(lab.log, "w") as log:
            agent = lab.spawn("lb", SLUICED, "--interface", "eth0", "--bpffs", lab.bpffs, "--state-dir", lab.state,
                              "--socket", lab.socket, stderr=log)
        wait_for(lambda: lab.try_sluice("show").returncode == 0, "it serves")
        agent.send_signal(number)
        assert agent.wait(timeout=5) == 0
        assert "stopped; packets keep flowing" in lab.log.read_text()
        assert not lab.socket.exists()


def test_counters_survive_a_restart(lab):
    add_varied_services(lab)
    choices(lab)
    before = packets(lab)
    end_and_start(lab)
    assert packets(lab) == before


def test_traffic_flows_while_the_agent_is_stopped(lab):
    add_varied_services(lab)
    chosen = choices(lab)
    before = packets(lab)
    lab.stop_agent()
    assert choices(lab) == chosen
    lab.agent()
    assert sum(packets(lab)) >= sum(before) + 3 * len(PORTS)


def test_an_older_flow_stays_on_its_backend_over_a_change_and_a_restart(lab):
    """The flow table and the slots' origins are the kernel's: a new agent takes them over."""
    lab.add_services([backend(1), backend(2)], ["http4"])
    with lab.steady_traffic(["http4"]) as answers:
        lab.sluice("backend", "add", "web", backend(3))
        tracked = lab.service("web")["tracked_slots"]
        crash_and_start(lab)
        assert lab.service("web")["tracked_slots"] == tracked > 0
    assert "b3" not in answers["held"]


def test_the_state_that_is_not_in_the_kernel_any_more_is_made_again(lab):
    """As after a crash between the disk and the kernel: what is on disk wins."""
    add_varied_services(lab)
    lab.stop_agent()
    state = json.loads((lab.state / "state.json").read_text())
    web = next(each for each in state["config"]["services"] if each["name"] == "web")
    web["backends"] = [each for each in web["backends"] if each["address"] != backend(1)]
    state["config"]["services"] = [web]
    (lab.state / "state.json").write_text(json.dumps(state))
    lab.agent()
    shown = lab.json("show")
    assert [each["wanted"]["name"] for each in shown["services"]] == ["web"]
    assert set(lab.ask_from("tcp", VIP4, 80, PORTS).values()) == {"b2"}
    assert set(lab.ask_from("udp", VIP4, 53, range(21000, 21001), check=False).values()) == {None}
