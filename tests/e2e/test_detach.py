"""`sluiced --detach` leaves nothing in the kernel."""

import pytest

from lab import SLUICED, VIP4, backend, bpftool, left_in, wait_for

PORTS = range(25000, 25004)


def kernel_ids(lab):
    """The programs and tables that this load balancer has in the kernel."""
    return [lab.xdp_on("lb", "eth0")["prog"]["id"]], list(lab.pinned_maps().values())


def exists(kind, number):
    shown = bpftool(kind, "show", "id", number, check=False)
    return shown is not None and "error" not in shown


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_nothing_is_left(lab, mode):
    config = lab.directory / "mode.yaml"
    config.write_text(f"version: 1\ninterfaces: [{{name: eth0, xdp: {mode}}}]\n")
    lab.fresh_agent("--config", config)
    lab.add_services([backend(1), backend(2, 6)])
    lab.traffic(count=20)
    programs, maps = kernel_ids(lab)
    assert len(maps) == 14 and all(exists("map", number) for number in maps)
    assert all(exists("prog", number) for number in programs)
    maps += bpftool("prog", "show", "id", programs[0])["map_ids"]
    lab.stop_agent()
    assert all(exists("map", number) for number in maps)

    done = lab.detach()
    assert "detached from eth0" in done.stderr
    assert lab.xdp_on("lb", "eth0") is None
    assert left_in(lab.bpffs) == []
    # The kernel frees a little later than it lets go.
    wait_for(lambda: not any(exists("prog", number) for number in programs), "the program is gone")
    wait_for(lambda: not any(exists("map", number) for number in maps), "the tables are gone")
    assert set(lab.ask_from("udp", VIP4, 53, PORTS, check=False).values()) == {None}

    again = lab.detach()
    assert "on no interface" in again.stderr
    assert left_in(lab.bpffs) == []


def test_a_running_agent_is_not_detached(lab):
    lab.add_services([backend(1)], ["udp4"])
    before = lab.config(), kernel_ids(lab)
    refused = lab.sluiced("--detach", "--bpffs", lab.bpffs)
    assert refused.returncode == 1
    assert "another process works on the tables" in refused.stderr
    assert (lab.config(), kernel_ids(lab)) == before
    lab.traffic(["udp4"], count=10)


def test_another_load_balancer_on_the_host_stays(lab):
    """Two instances, each with tables of its own: one is detached, the other works on."""
    other = {name: lab.directory / f"other-{name}" for name in ("bpffs", "state", "socket")}
    lab.add_services([backend(1)], ["udp4"])
    other["bpffs"].mkdir(exist_ok=True)
    lab.run("lb", "mount", "-t", "bpf", "sl-lab", other["bpffs"])
    options = ["--bpffs", other["bpffs"], "--state-dir", other["state"], "--socket", other["socket"]]
    with open(lab.directory / "other.log", "w") as log, \
            lab.running("lb", SLUICED, "--interface", "b3", *options, stderr=log):
        wait_for(lambda: lab.xdp_on("lb", "b3"), "the other one is attached")
        wait_for(other["socket"].exists, "the other one serves")
        lab.traffic(["udp4"], count=10)
    lab.run("lb", SLUICED, "--detach", "--bpffs", other["bpffs"])
    assert lab.xdp_on("lb", "b3") is None
    assert lab.xdp_on("lb", "eth0") is not None
    lab.traffic(["udp4"], count=10)
    lab.run("lb", "umount", other["bpffs"])
