"""What is refused: each with a message that names the thing, an exit code, and nothing changed."""

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from lab import PASS_PROGRAM, SLUICE, SLUICED, VIP4, backend, left_in, run, wait_for

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
TABLES = ("services_v4", "services_v6", "ring", "origin", "backends")
SMALL = "limits: {services: 3, backends: 4, ring_slots: 4096, flows: 1024}\n"


@pytest.fixture
def small(lab):
    """An agent with small tables, one of them almost full, and two services."""
    config = lab.directory / "small.yaml"
    config.write_text("version: 1\ninterfaces: [eth0]\n" + SMALL)
    lab.fresh_agent("--config", config)
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80", "--ring", "1024")
    lab.sluice("service", "add", "dns", "udp", f"{VIP4}:53", "--ring", "1024")
    lab.sluice("backend", "add", "web", backend(1))
    lab.sluice("backend", "add", "dns", backend(1))
    lab.sluice("backend", "add", "dns", backend(2, 6), "--weight", "3")
    return lab


@contextlib.contextmanager
def nothing_changes(lab):
    """Neither what is wanted, nor its revision, nor what is on disk, nor the kernel's tables."""
    def everything():
        return (lab.config(), lab.json("show")["revision"], (lab.state / "state.json").read_text(), lab.tables(*TABLES),
                lab.xdp_on("lb", "eth0"))

    before = everything()
    yield
    after = everything()
    assert after == before
    assert set(lab.ask_from("udp", VIP4, 53, range(26000, 26004)).values()) <= {"b1", "b2"}


def test_the_proof_that_nothing_changed_can_fail(small):
    with pytest.raises(AssertionError):
        with nothing_changes(small):
            small.sluice("backend", "set", "dns", backend(2, 6), "--weight", "4")


# --- the command ---

REFUSED = [
    # Wrong usage: the agent is not asked.
    ("service add bad tcp 192.0.2.999:80", 2, "192.0.2.999"),
    ("service add bad tcp 192.0.2.1", 2, "port"),
    ("service add bad tcp 192.0.2.1:99999", 2, "99999"),
    ("service add bad tcp 2001:db8::1:80", 2, "[2001:db8::1]:53"),
    ("service add bad sctp 192.0.2.1:80", 2, "sctp"),
    ("service add bad tcp 224.0.0.1:80", 2, "224.0.0.1"),
    ("service add bad tcp 192.0.2.2:80 --ring 1000", 2, "power of two"),
    ("service add bad tcp 192.0.2.2:80 --mode nat", 2, "nat"),
    ("service add Ünicode tcp 192.0.2.2:80", 2, "name"),
    ("service add bad", 2, "PROTOCOL"),
    ("service add bad tcp 192.0.2.2:80 surplus", 2, "surplus"),
    ("backend add web 10.0.0.256", 2, "10.0.0.256"),
    ("backend add web 10.0.1.12 --weight -1", 2, "-1"),
    ("backend add web 10.0.1.12 --weight 65536", 2, "65536"),
    ("backend add web 10.0.1.12 --next-hop 02:00", 2, "02:00"),
    ("backend add web ::ffff:10.0.0.1", 2, "::ffff:10.0.0.1"),
    ("backend add web 127.0.0.1", 2, "127.0.0.1"),
    ("backend set web 10.0.1.11", 2, "--weight"),
    ("nonsense", 2, "nonsense"),
    ("--socket /tmp/" + "x" * 120 + " show", 2, "107"),
    # Unknown names.
    ("service del nobody", 4, "'nobody'"),
    ("show nobody", 4, "'nobody'"),
    ("backend add nobody 10.0.1.12", 4, "'nobody'"),
    ("backend drain nobody 10.0.1.11", 4, "'nobody'"),
    ("backend drain web 10.0.1.12", 4, "10.0.1.12"),
    ("backend set web 10.0.1.12 --weight 2", 4, "10.0.1.12"),
    ("backend del web 10.0.1.12", 4, "10.0.1.12"),
    # Twice the same.
    ("service add web tcp 192.0.2.9:80", 5, "'web'"),
    ("service add other tcp 192.0.2.1:80 --ring 256", 5, "192.0.2.1:80"),
    ("backend add web 10.0.1.11", 5, "10.0.1.11"),
    # What contradicts the rest.
    ("backend add web 192.0.2.1", 1, "192.0.2.1"),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_what_the_command_refuses(small, as_json):
    lab = small
    wrong = []
    with nothing_changes(lab):
        for line, code, word in REFUSED:
            done = lab.try_sluice(*line.split(), *(["--json"] if as_json else []))
            is_json = done.stderr.startswith("{")
            said = json.loads(done.stderr)["error"]["message"] if is_json else done.stderr
            if done.returncode != code or word not in said or done.stdout or is_json != as_json:
                wrong.append((line, done.returncode, done.stdout, done.stderr))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_full_service_table(small):
    lab = small
    lab.sluice("service", "add", "third", "tcp", f"{VIP4}:81", "--ring", "256")
    with nothing_changes(lab):
        refused = lab.try_sluice("service", "add", "fourth", "tcp", f"{VIP4}:82", "--ring", "256")
        assert refused.returncode == 1 and "limits.services" in refused.stderr
    lab.sluice("service", "del", "third")
    lab.sluice("service", "add", "fourth", "tcp", f"{VIP4}:82", "--ring", "256")


def test_a_full_backend_table(small):
    lab = small
    added = 0
    for n in range(12, 20):
        if lab.try_sluice("backend", "add", "web", f"10.0.1.{n}", "--next-hop", "02:00:00:00:00:01").returncode != 0:
            break
        added += 1
    assert added < 3
    with nothing_changes(lab):
        refused = lab.try_sluice("backend", "add", "web", "10.0.1.30")
        assert refused.returncode == 1 and "limits.backends" in refused.stderr
    # Room is found again when a backend goes.
    for n in range(12, 12 + added):
        lab.sluice("backend", "del", "web", f"10.0.1.{n}")
    for n in range(12, 12 + added):
        lab.sluice("backend", "add", "web", f"10.0.1.{n}", "--weight", "0")


def test_a_full_ring_table(small):
    """Refused when the service is added, not at the change for which there would be no room beside its old ring."""
    lab = small
    lab.sluice("service", "del", "web")
    for slots in ("4096", "2048"):
        with nothing_changes(lab):
            refused = lab.try_sluice("service", "add", "large", "tcp", f"{VIP4}:80", "--ring", slots)
            assert refused.returncode == 1 and "limits.ring_slots" in refused.stderr
    lab.sluice("service", "add", "web", "tcp", f"{VIP4}:80", "--ring", "1024")
    for n in (1, 2, 1, 2):
        lab.sluice("backend", "add", "web", backend(n))
        lab.sluice("backend", "drain", "web", backend(n))
        lab.sluice("backend", "del", "web", backend(n))


def test_the_command_without_an_agent(lab):
    lab.stop_agent()
    done = lab.try_sluice("show")
    assert done.returncode == 3 and str(lab.socket) in done.stderr and "sluiced" in done.stderr
    for arguments in (("service", "add", "web", "tcp", f"{VIP4}:80"), ("backend", "drain", "web", backend(1))):
        assert lab.try_sluice(*arguments).returncode == 3


@pytest.fixture
def for_everyone():
    """A directory that everybody may write to, with copies of the binaries that everybody may run."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
    directory.chmod(0o755)
    for binary in (SLUICE, SLUICED):
        shutil.copy(binary, directory)
    (directory / "run").mkdir()
    (directory / "run").chmod(0o777)
    yield directory
    shutil.rmtree(directory)


def test_the_command_without_privileges(small, for_everyone):
    lab = small
    assert stat.S_IMODE(os.stat(lab.socket).st_mode) == 0o660
    with nothing_changes(lab):
        for arguments in (["show"], ["backend", "del", "web", backend(1)]):
            done = run(*NOBODY, for_everyone / "sluice", "--socket", lab.socket, *arguments, check=False)
            assert done.returncode == 6
            assert f"{lab.socket} may not be opened by this user" in done.stderr


# --- the API ---

def raw_request(lab, data):
    """What the agent answers to these bytes, until it closes or waits for more."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2)
        sock.connect(str(lab.socket))
        sock.sendall(data)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while piece := sock.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and answer.rstrip().endswith(b"}"):
                    break
        return answer.decode()


def request(method, target, body="", headers=""):
    head = f"{method} {target} HTTP/1.1\r\nHost: sluice\r\n{headers}Content-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("data, status, word", [
    (request("POST", "/v1/services", "{not json"), 400, "syntax error"),
    (request("POST", "/v1/services", '{"name": "x", "vip": "192.0.2.1:81", "colour": "red"}'), 400, "unknown key"),
    (request("POST", "/v1/services", "[" * 100000), 400, "nested deeper"),
    (request("PATCH", "/v1/services/web/backends/10.0.1.11", '{"weight": -3}'), 400, "weight"),
    (request("PATCH", "/v1/services/web/backends/nonsense", '{"weight": 1}'), 400, "nonsense"),
    (request("DELETE", "/v1/services/%zz"), 400, "%-escape"),
    (request("GET", "/v2/status"), 404, "/v2/status"),
    (b"GARBAGE\r\n\r\n", 400, ""),
    (request("GET", "/v1/status", headers="X: " + "y" * 9000 + "\r\n"), 400, ""),
], ids=["not-json", "unknown-key", "deep", "negative-weight", "no-address", "broken-escape", "no-route", "not-http",
        "long-header"])
def test_what_the_api_refuses(small, data, status, word):
    with nothing_changes(small):
        answer = raw_request(small, data)
        assert answer.startswith(f"HTTP/1.1 {status} "), answer[:200]
        message = json.loads(answer.split("\r\n\r\n", 1)[1])["error"]["message"]
        assert word in message


def test_a_silent_client_holds_up_nobody(small):
    lab = small
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(lab.socket))
            sock.sendall(b"POST /v1/services HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{")
        lab.sluice("backend", "drain", "dns", backend(1))
        assert lab.backend("dns", backend(1))["wanted"]["state"] == "drain"


# --- the agent ---

@pytest.fixture
def elsewhere(lab):
    """Options for an agent beside the lab's: a state directory, a socket and a bpffs of its own."""
    directory = Path(tempfile.mkdtemp(dir=lab.directory))
    (directory / "bpf").mkdir()
    lab.run("lb", "mount", "-t", "bpf", "sl-lab", directory / "bpf")
    yield {"--bpffs": directory / "bpf", "--state-dir": directory / "state", "--socket": directory / "socket"}
    lab.run("lb", "umount", directory / "bpf")


def options(elsewhere, **changed):
    merged = {**elsewhere, **{f"--{key.replace('_', '-')}": value for key, value in changed.items()}}
    return [part for pair in merged.items() for part in pair]


def refused(lab, *arguments, prefix=(), code=1):
    """What an agent says that must not start."""
    done = lab.sluiced(*arguments, prefix=prefix)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_an_interface_that_does_not_exist(small, elsewhere):
    with nothing_changes(small):
        said = refused(small, *options(elsewhere), "--interface", "nope0")
        assert "interface 'nope0' does not exist" in said and "ip link" in said
    assert left_in(elsewhere["--bpffs"]) == []


def test_one_interface_of_several_that_does_not_exist(small, elsewhere):
    with nothing_changes(small):
        assert "'nope0'" in refused(small, *options(elsewhere), "--interface", "b3", "--interface", "nope0")
    assert small.xdp_on("lb", "b3") is None
    assert left_in(elsewhere["--bpffs"]) == []


def test_no_interface_at_all(small, elsewhere):
    config = small.directory / "none.yaml"
    config.write_text("version: 1\n")
    said = refused(small, *options(elsewhere), "--config", config)
    assert "no interface to attach to" in said and "--interface" in said


def test_a_second_agent_with_the_same_state(small, elsewhere):
    with nothing_changes(small):
        said = refused(small, *options(elsewhere, state_dir=small.state), "--interface", "b3")
        assert f"process {small.agent_pid()}" in said and str(small.state) in said


def test_a_second_agent_with_the_same_tables(small, elsewhere):
    with nothing_changes(small):
        said = refused(small, *options(elsewhere, bpffs=small.bpffs), "--interface", "b3")
        assert "another process works on the tables" in said and str(small.bpffs) in said
    assert small.xdp_on("lb", "b3") is None


def test_a_second_agent_with_the_same_socket(small, elsewhere):
    with nothing_changes(small):
        said = refused(small, *options(elsewhere, socket=small.socket), "--interface", "b3")
        assert "another agent answers on" in said and str(small.socket) in said
    assert small.xdp_on("lb", "b3") is None
    assert left_in(elsewhere["--bpffs"]) == []


def test_an_interface_that_another_load_balancer_is_on(small, elsewhere):
    with nothing_changes(small):
        said = refused(small, *options(elsewhere), "--interface", "eth0")
        assert "attach eth0" in said and "'sluice'" in said
    assert left_in(elsewhere["--bpffs"]) == []


@pytest.mark.parametrize("mode", ["xdpdrv", "xdpgeneric"])
def test_an_interface_that_another_program_is_on(small, elsewhere, mode):
    lab = small
    lab.ip("lb", "link", "set", "dev", "b3", mode, "obj", PASS_PROGRAM, "sec", "xdp")
    try:
        before = lab.xdp_on("lb", "b3")
        with nothing_changes(lab):
            said = refused(lab, *options(elsewhere), "--interface", "b3")
        assert f"attach b3: the interface is held by XDP program 'pass' (id {before['prog']['id']})" in said
        assert "ip link set dev b3 xdp" in said and "off" in said
        assert lab.xdp_on("lb", "b3") == before
        assert left_in(elsewhere["--bpffs"]) == []
        # The way out that the message names is one.
        command = said.split("'ip ", 1)[1].split("'", 1)[0]
        lab.ip("lb", *command.split())
        assert lab.xdp_on("lb", "b3") is None
    finally:
        for name in ("xdpdrv", "xdpgeneric"):
            lab.ip("lb", "link", "set", "dev", "b3", name, "off")


def test_a_second_interface_that_is_taken_leaves_the_first_one_alone(small, elsewhere):
    lab = small
    lab.ip("lb", "link", "set", "dev", "b3", "xdpdrv", "obj", PASS_PROGRAM, "sec", "xdp")
    try:
        assert "attach b3" in refused(lab, *options(elsewhere), "--interface", "b2", "--interface", "b3")
        assert lab.xdp_on("lb", "b2") is None
        assert left_in(elsewhere["--bpffs"]) == []
    finally:
        lab.ip("lb", "link", "set", "dev", "b3", "xdp", "off")


def test_a_bpffs_that_is_none(small, elsewhere):
    directory = small.directory / "no-bpffs"
    directory.mkdir(exist_ok=True)
    for path in (directory, small.directory / "not-there"):
        said = refused(small, *options(elsewhere, bpffs=path), "--interface", "b3")
        assert f"{path} is not a mounted bpffs" in said and "mount -t bpf" in said
    assert list(directory.iterdir()) == []
    assert "is not a mounted bpffs" in refused(small, "--detach", "--bpffs", directory)


def test_a_socket_path_that_is_too_long(small, elsewhere):
    long = small.directory / ("x" * 110)
    said = refused(small, *options(elsewhere, socket=long), "--interface", "b3")
    assert "longer than 107 bytes" in said
    assert small.xdp_on("lb", "b3") is None
    assert left_in(elsewhere["--bpffs"]) == []


def test_a_socket_in_a_directory_that_cannot_be(small, elsewhere):
    said = refused(small, *options(elsewhere, socket="/proc/none/socket"), "--interface", "b3")
    assert "/proc/none/socket" in said
    assert left_in(elsewhere["--bpffs"]) == []


def test_wrong_usage_of_the_agent(small):
    assert "--nonsense" in refused(small, "--nonsense", code=2)
    assert "--log-level" in refused(small, "--log-level", "loud", code=2)


@pytest.mark.parametrize("text, place, word", [
    ("version: 1\ninterfaces: [eth0]\ncolour: red\n", ":3:1:", "colour: unknown key"),
    ("version: 1\ninterfaces:\n  - {name: eth0, xpd: native}\n", ":3:18:", "xpd: unknown key"),
    ("version: 1\ninterfaces: [eth0\n", ":3:1:", ""),
    ("version: 1\n\tinterfaces: [eth0]\n", ":2:1:", ""),
    ("version: 1\ninterfaces: [eth0]\nservices:\n  - name: web\n    vip: 192.0.2.1\n", ":5:10:", "vip"),
    ("version: 1\ninterfaces: [eth0]\nservices:\n  - {name: a, vip: 192.0.2.1:80}\n  - {name: a, vip: 192.0.2.1:81}\n",
     ":5:12:", "'a'"),
    ("version: 7\ninterfaces: [eth0]\n", ":1:10:", "version"),
    ("version: 1\ninterfaces: [{name: eth0, xdp: fast}]\n", ":2:32:", "'fast'"),
    ("version: 1\ninterfaces: [eth0]\nencapsulation: {source6: \"2001:db8::/32\"}\n", ":3:26:", "source6"),
    ("version: 1\ninterfaces: [eth0]\nlimits: {ring_slots: 5000}\n", ":3:22:", "power of two"),
    ("", "", "version"),
])
def test_a_configuration_file_that_is_wrong(small, elsewhere, text, place, word):
    config = small.directory / "wrong.yaml"
    config.write_text(text)
    said = refused(small, *options(elsewhere), "--config", config)
    assert f"{config}{place}" in said and word in said
    assert left_in(elsewhere["--bpffs"]) == []


def test_a_configuration_file_that_is_not_there(small, elsewhere):
    said = refused(small, *options(elsewhere), "--config", "/nonexistent/sluice.yaml")
    assert "/nonexistent/sluice.yaml" in said and "No such file" in said


def test_a_restart_with_a_wrong_file_leaves_traffic_alone(small):
    """The agent does not come up; packets flow as it left them."""
    lab = small
    tables = lab.tables(*TABLES)
    lab.stop_agent()
    config = lab.directory / "wrong.yaml"
    config.write_text("version: 1\ninterfaces: [eth0]\ncolour: red\n")
    refused(lab, "--config", config, "--bpffs", lab.bpffs, "--state-dir", lab.state, "--socket", lab.socket)
    assert lab.tables(*TABLES) == tables
    assert lab.xdp_on("lb", "eth0") is not None
    assert set(lab.ask_from("udp", VIP4, 53, range(26000, 26004)).values()) <= {"b1", "b2"}


def test_other_limits_than_the_tables_have(small):
    """They cannot grow while they exist: the message says so, and they are left as they are."""
    lab = small
    lab.stop_agent()
    tables = lab.tables(*TABLES)
    config = lab.directory / "larger.yaml"
    config.write_text("version: 1\ninterfaces: [eth0]\n" + SMALL.replace("4096", "8192"))
    arguments = ("--config", config, "--bpffs", lab.bpffs, "--state-dir", lab.state, "--socket", lab.socket)
    said = refused(lab, *arguments)
    assert "other limits" in said and "sluiced --detach" in said
    assert lab.tables(*TABLES) == tables
    assert set(lab.ask_from("udp", VIP4, 53, range(26000, 26004)).values()) <= {"b1", "b2"}
    # The way out that it names is one.
    lab.detach()
    lab.agent("--config", config)
    assert set(lab.ask_from("udp", VIP4, 53, range(26000, 26004)).values()) <= {"b1", "b2"}


def test_a_torn_state_file(small):
    """The state before it is used, and it is said."""
    lab = small
    lab.sluice("backend", "drain", "dns", backend(1))
    previous = json.loads((lab.state / "state.previous.json").read_text())["config"]
    lab.stop_agent()
    whole = (lab.state / "state.json").read_text()
    (lab.state / "state.json").write_text(whole[:len(whole) // 2])
    lab.agent("--config", lab.directory / "small.yaml")
    assert "cut short" in lab.log.read_text() and "state.previous.json" in lab.log.read_text()
    assert lab.config()["services"] == previous["services"]


def test_no_state_file_that_is_whole(small):
    lab = small
    lab.sluice("backend", "drain", "dns", backend(1))
    lab.stop_agent()
    tables = lab.tables(*TABLES)
    for name in ("state.json", "state.previous.json"):
        (lab.state / name).write_text("{")
    said = refused(lab, "--interface", "eth0", "--bpffs", lab.bpffs, "--state-dir", lab.state, "--socket", lab.socket)
    assert "no readable state" in said and "repair or remove" in said
    assert lab.tables(*TABLES) == tables
    assert set(lab.ask_from("udp", VIP4, 53, range(26000, 26004)).values()) <= {"b1", "b2"}


# --- a host that is not as it should be ---

def test_a_full_disk(lab):
    """A change that cannot be kept is not made."""
    lab.stop_agent()
    lab.detach()
    shutil.rmtree(lab.state)
    lab.state.mkdir()
    lab.run("lb", "mount", "-t", "tmpfs", "-o", "size=64k", "sl-lab", lab.state)
    try:
        config = lab.directory / "small.yaml"
        config.write_text("version: 1\ninterfaces: [eth0]\n" + SMALL)
        lab.agent("--config", config)
        lab.add_services([backend(1)], ["udp4"], options=("--ring", "1024"))
        with contextlib.suppress(OSError), open(lab.state / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(512))
        with nothing_changes(lab):
            for _ in range(2):
                refused = lab.try_sluice("backend", "add", "dns", backend(2))
                assert refused.returncode == 1
                assert "No space left on device" in refused.stderr and str(lab.state) in refused.stderr
        (lab.state / "filler").unlink()
        lab.sluice("backend", "add", "dns", backend(2))
        lab.stop_agent()
        lab.agent("--config", config)
        assert len(lab.service("dns")["backends"]) == 2
    finally:
        lab.stop_agent()
        lab.run("lb", "umount", lab.state)


def test_an_agent_without_privileges(small, for_everyone, elsewhere):
    """Each thing that it may not do is named, one after the other."""
    lab, binary = small, for_everyone / "sluiced"
    mine = {"--state-dir": for_everyone / "run/state", "--socket": for_everyone / "run/socket"}

    def said(changed):
        done = lab.run("lb", *NOBODY, binary, *options({**elsewhere, **changed}), "--interface", "b3", check=False)
        assert done.returncode == 1
        return done.stderr

    with nothing_changes(lab):
        assert "state directory" in said({}) and "ermission" in said({})
        assert "ermission" in said(mine)  # it may not even look
        elsewhere["--bpffs"].parent.chmod(0o755)
        elsewhere["--bpffs"].chmod(0o700)
        assert "needs root, or ownership of the bpffs" in said(mine)
        os.chown(elsewhere["--bpffs"], 65534, 65534)
        assert "CAP_BPF" in said(mine)
    assert lab.xdp_on("lb", "b3") is None
    assert left_in(elsewhere["--bpffs"]) == []


def test_a_kernel_without_btf(small, elsewhere):
    """The program needs nothing of the running kernel's type information."""
    lab = small
    hide = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]
    with open(lab.directory / "no-btf.log", "w") as log, \
            lab.running("lb", *hide, SLUICED, *options(elsewhere), "--interface", "b3", stderr=log):
        wait_for(lambda: lab.xdp_on("lb", "b3"), "it is attached")
        wait_for(lambda: run(SLUICE, "--socket", elsewhere["--socket"], "show", check=False).returncode == 0,
                 "it serves")
    lab.run("lb", SLUICED, "--detach", "--bpffs", elsewhere["--bpffs"])
    assert lab.xdp_on("lb", "b3") is None
