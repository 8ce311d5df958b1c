"""What /proc tells of a process, and what the host has of what xend needs for its start."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import xend_host
import xm_disks
from tests.lab import tls

# Against hanging only.
LIMIT_S = 300


def eventually(look, wanted):
    deadline = time.monotonic() + LIMIT_S
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, "still %r after %d s" % (seen, LIMIT_S)
        time.sleep(0.01)


LISTENER = """
import socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(5)
print(listener.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(listener.accept()[0])
"""


@pytest.fixture
def listener(tmp_path):
    """A process whose command line says xend, as the real one's does."""
    script = tmp_path / "xend"
    script.write_text(LISTENER)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    process.port = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait(LIMIT_S)
    process.stdout.close()


def test_the_process_in_the_pid_file(listener, tmp_path):
    pidfile = tmp_path / "xend.pid"
    # xend writes no newline.
    pidfile.write_text(str(listener.pid))
    found = xend_host.process(str(pidfile))
    assert found["pid"] == listener.pid
    assert abs(time.time() - found["started"]) < 60


def test_a_later_process_started_later(listener, tmp_path):
    between = time.time()
    other = subprocess.Popen([sys.executable, listener.args[1]], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        assert xend_host._started(other.pid) > between - 0.05
        assert xend_host._started(listener.pid) < between
    finally:
        other.kill()
        other.wait(LIMIT_S)
        other.stdout.close()


def test_who_is_held_up_between_two_clocks_tells_the_same_start(listener, monkeypatch):
    """As on a host that has much to do: what was changed after the start would pass for older."""
    undisturbed, delays_s = xend_host._started(listener.pid), [0.5, 0.3]

    @contextlib.contextmanager
    def slow(path):
        with open(path) as stream:
            yield stream
        if path == "/proc/uptime" and delays_s:
            time.sleep(delays_s.pop())

    monkeypatch.setattr(xend_host, "open", slow, raising=False)
    assert abs(xend_host._started(listener.pid) - undisturbed) < 0.1
    assert delays_s == []


WATCHDOG = """
import os, time
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_what_a_watchdog_has_forked_started_with_it(tmp_path):
    """xend reads its file before the watchdog forks, however often that one does it again."""
    script = tmp_path / "xend"
    script.write_text(WATCHDOG.replace("if os", "time.sleep(0.5)\nif os"))
    watchdog = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(watchdog.stdout.readline())
    try:
        pidfile = tmp_path / "xend.pid"
        pidfile.write_text(str(child))
        found = xend_host.process(str(pidfile))
        assert found["pid"] == child
        assert abs(found["started"] - xend_host._started(watchdog.pid)) < 0.05
        assert xend_host._started(child) - found["started"] > 0.3
    finally:
        os.kill(child, signal.SIGKILL)
        watchdog.kill()
        watchdog.wait(LIMIT_S)
        watchdog.stdout.close()


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_a_pid_file_that_leads_nowhere(tmp_path, content):
    pidfile = tmp_path / "xend.pid"
    pidfile.write_text(content)
    assert xend_host.process(str(pidfile)) is None
    assert xend_host.process(str(tmp_path / "missing")) is None


def test_a_stale_pid_file_that_names_another_program(tmp_path):
    other = subprocess.Popen(["sleep", "600"])
    try:
        pidfile = tmp_path / "pid"
        pidfile.write_text(str(other.pid))
        assert xend_host.process(str(pidfile)) is None
    finally:
        other.kill()
        other.wait(LIMIT_S)


def test_listening_addresses(listener):
    assert xend_host.listening(listener.pid) == ["127.0.0.1:%d" % listener.port]
    assert "127.0.0.1:%d" % listener.port not in xend_host.listening(os.getpid())


def sources_of(process):
    return xend_host.transferring(process.pid)["sources"]


def test_connected_peers(listener):
    assert sources_of(listener) == []
    with socket.create_connection(("127.0.0.1", listener.port), LIMIT_S) as connection:
        own = "%s:%d" % connection.getsockname()
        eventually(lambda: sources_of(listener), [own])
        assert xend_host.transferring(listener.pid, [1])["sources"] == [own]
        assert xend_host.transferring(listener.pid, [listener.port]) == {
            "ports": [],
            "sources": [],
            "targets": [],
        }
        seen = {"ports": [listener.port], "sources": [own], "targets": []}
        assert xend_host.transferring(listener.pid) == seen


def test_a_peer_that_has_sent_everything_counts_until_xend_closes_too(listener):
    with socket.create_connection(("127.0.0.1", listener.port), LIMIT_S) as connection:
        own = "%s:%d" % connection.getsockname()
    eventually(lambda: sources_of(listener), [own])


SENDER = """
import socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(5)
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
print(listener.getsockname()[1], flush=True)
if sys.argv[2] == "shut":
    connection.shutdown(socket.SHUT_WR)
if sys.argv[2] == "close":
    connection.close()
sys.stdin.read()
"""


@contextlib.contextmanager
def sender(port, then):
    """A process that listens, has connected to a port, and then did THEN to that connection."""
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, str(port), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            process.port = int(process.stdout.readline())
            yield process
        finally:
            process.kill()


def targets_of(process):
    return xend_host.transferring(process.pid)["targets"]


def test_the_host_that_a_guest_is_sent_to():
    with socket.create_server(("127.0.0.1", 0)) as target:
        peer = "127.0.0.1:%d" % target.getsockname()[1]
        with sender(target.getsockname()[1], "stay") as xend:
            received, _ = target.accept()
            assert targets_of(xend) == [peer]
            # Who connects to xend itself is no host that it sends to.
            with socket.create_connection(("127.0.0.1", xend.port), LIMIT_S):
                assert targets_of(xend) == [peer]
                # Nor is a browser, whatever else that port is for.
                assert xend_host.transferring(xend.pid, [xend.port])["targets"] == [peer]
            # CLOSE_WAIT: the target has gone, xend has not noticed.
            received.close()
            eventually(lambda: targets_of(xend), [peer])


def test_a_connection_counts_until_both_ends_are_shut():
    with socket.create_server(("127.0.0.1", 0)) as target:
        peer = "127.0.0.1:%d" % target.getsockname()[1]
        with sender(target.getsockname()[1], "shut") as xend:
            received, _ = target.accept()
            # FIN_WAIT1 or FIN_WAIT2: xend has sent its last byte and still waits for an answer.
            assert received.recv(1) == b""
            assert targets_of(xend) == [peer]
            received.close()
            eventually(lambda: targets_of(xend), [])


def test_a_connection_that_xend_has_let_go_of_counts_no_more():
    with socket.create_server(("127.0.0.1", 0)) as target:
        with sender(target.getsockname()[1], "close") as xend:
            received, _ = target.accept()
            assert received.recv(1) == b""
            assert targets_of(xend) == []


def test_nobody_sends_where_there_is_no_process():
    assert xend_host.transferring(999999999) is None


SLEEP = shutil.which("sleep")


@contextlib.contextmanager
def helper(folder, name, arguments, as_script=False):
    """
    A process with the command line of a helper of xend. `sleep` stands in for the binaries, because it
    takes any numbers and adds them up.
    """
    path = folder / "usr/lib/xen/bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!%s -IS\nimport time\ntime.sleep(600)\n" % sys.executable)
    path.chmod(0o755)
    process = subprocess.Popen(
        [str(path), *arguments.split()], executable=None if as_script else SLEEP
    )
    try:
        # The kernel lets go of the parent a moment before the child's command line can be read.
        eventually(lambda: Path("/proc/%d/cmdline" % process.pid).read_bytes() != b"", True)
        yield process
    finally:
        process.kill()
        process.wait(LIMIT_S)


@pytest.mark.parametrize("as_script", [True, False], ids=["script", "binary"])
@pytest.mark.parametrize(
    "what, arguments, domids",
    [
        ("xc_save", "23 1 0 0 1", [1]),
        # With six, nobody can tell a domain from a descriptor or a limit: both may be meant.
        ("xc_save", "5 24 7 0 0 1", [24, 7]),
        ("xc_save", "23 5 30 0 50 33", [5, 30]),
        ("xc_restore", "17 3 1 2 0 0 0 0 1", [3]),
        ("xc_restore", "17 4 1 2 0 0 0", [4]),
        ("xc_restore", "5 17 9 24 1 2", [17, 9]),
        ("xc_restore", "17 6 24 1 2 0 0 0", [6]),
    ],
    ids=["4.4", "early 3.0", "4.2 of SUSE", "4.4", "3.4", "early 3.0", "3.1"],
)
def test_the_domain_that_a_helper_carries(tmp_path, as_script, what, arguments, domids):
    with helper(tmp_path, what, arguments, as_script) as process:
        wanted = [{"what": what, "domid": domid, "pid": process.pid} for domid in domids]
        assert xend_host.transfers(str(tmp_path)) == wanted
        everywhere = xend_host.transfers()
        assert all(one in everywhere for one in wanted)
        # Its command line is empty now, although it is still in the list of processes.
        process.kill()
        eventually(lambda: xend_host.transfers(str(tmp_path)), [])
        assert os.path.exists("/proc/%d" % process.pid)


def test_each_host_sees_its_own_helpers(tmp_path):
    with helper(tmp_path / "xen1", "xc_save", "23 1 0 0 1") as save:
        with helper(tmp_path / "xen10", "xc_restore", "17 2 1 2 0 0 0") as restore:
            seen = {
                name: [found["pid"] for found in xend_host.transfers(str(tmp_path / name))]
                for name in ("xen1", "xen1/", "xen10", "xen")
            }
            both = [found["pid"] for found in xend_host.transfers(str(tmp_path))]
    assert seen == {"xen1": [save.pid], "xen1/": [save.pid], "xen10": [restore.pid], "xen": []}
    assert sorted(both) == sorted([save.pid, restore.pid])


@pytest.mark.parametrize(
    "command",
    [
        ["sleep", "600", "1"],
        ["xc_save_more", "20", "1"],
        [sys.executable, "-c", "import time; time.sleep(600)", "xc_save"],
        [sys.executable, "-c", "import time; time.sleep(600)", "xc_save", "log", "lines"],
        [sys.executable, "-c", "import time; time.sleep(600)", "xc_save", *"6 of the six log lines".split()],
    ],
)
def test_other_programs_are_no_helpers(tmp_path, command):
    named = [str(tmp_path / part) if "xc_save" in part else part for part in command]
    process = subprocess.Popen(
        named, executable=SLEEP if "xc_save" in command[0] else shutil.which(command[0])
    )
    try:
        assert process.pid not in [found["pid"] for found in xend_host.transfers()]
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(LIMIT_S)


def test_a_process_that_is_gone_shows_nothing():
    assert xend_host.listening(999999999) is None


@pytest.mark.parametrize(
    "name, version, said",
    [
        ("", None, None),
        ("127.0.0.1", None, None),
        ("127.1.2.3", (3, 0), None),
        ("localhost", (3, 0), None),
        ("192.0.2.1", None, "192.0.2.1 is not one of this host"),
        ("0x7f.1", (4, 4), None),
        ("lo", None, None),
        ("lo", (4, 1), None),
        ("lo", (4, 0), "interface"),
        ("nosuchif0", (4, 4), "nosuchif0 is neither"),
        ("nosuchif0:1", None, "nosuchif0:1 is neither"),
        ("a" * 300, None, "neither"),
    ],
)
def test_what_xend_can_listen_on(name, version, said):
    found = xend_host.cannot_listen_on(name, version)
    assert found is None if said is None else said in found


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return tls.make_certificate(tmp_path_factory.mktemp("pem"))


def test_good_tls_files(pem):
    assert xend_host.tls_files(*map(str, pem)) == ([], [])


def test_files_of_xend_s_time_are_good_enough(tmp_path):
    files = tls.make_certificate(tmp_path, bits=1024)
    assert xend_host.tls_files(*map(str, files)) == ([], [])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_is_not_the_owner_s_alone(tmp_path, mode):
    key, cert = tls.make_certificate(tmp_path)
    key.chmod(mode)
    reasons, (warning,) = xend_host.tls_files(str(key), str(cert))
    assert reasons == [] and "%03o" % mode in warning and str(key) in warning


def encrypted(folder, key, cert):
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    path = folder / "encrypted.key"
    path.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    path.chmod(0o600)
    return path, cert


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda folder, key, cert: (folder / "none", cert), "none: No such file"),
        (lambda folder, key, cert: (key, folder), "Is a directory"),
        (lambda folder, key, cert: (cert, cert), "are no certificate and its key"),
        (lambda folder, key, cert: (key, key), "are no certificate and its key"),
        (
            lambda folder, key, cert: (tls.make_certificate(folder, "other")[0], cert),
            "are no certificate and its key",
        ),
        (encrypted, "unencrypted"),
    ],
    ids=["missing", "folder", "no key", "no certificate", "another key", "encrypted"],
)
def test_tls_files_that_xend_cannot_use(pem, tmp_path, spoil, said):
    reasons, _ = xend_host.tls_files(*map(str, spoil(tmp_path, *pem)))
    assert len(reasons) == 1 and said in reasons[0] and "\n" not in reasons[0]


# What guests that come need

FIB = """\
Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.0.0.0
        /24 link UNICAST
Local:
     |-- 10.0.0.0
        /32 link BROADCAST
     |-- 10.0.0.2
        /32 host LOCAL
     |-- 127.0.0.0
        /32 link BROADCAST
        /8 host LOCAL
"""
ROW = "   0: %s:%04X 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 1 1\n"


def loopback_number():
    return "%08X" % struct.unpack("=L", socket.inet_aton("127.0.0.1"))[0]


def put(root, path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_addresses_that_the_kernel_calls_local():
    assert xend_host.own_networks(FIB) == [("10.0.0.2", 32), ("127.0.0.0", 8)]
    assert xend_host.own_networks("") == [] and xend_host.own_networks(None) is None


@pytest.mark.parametrize("folder", ["proc/1/net", "proc/net"])
def test_own_addresses_of_a_host_elsewhere(tmp_path, folder):
    root = str(tmp_path)
    assert xend_host.is_own("127.0.0.1", root) is None
    put(tmp_path, folder + "/fib_trie", FIB)
    asked = ("10.0.0.2", "127.0.0.1", "127.9.9.9", "10.0.0.3", "10.0.0.0", "192.0.2.11")
    found = [xend_host.is_own(address, root) for address in asked]
    assert found == [True, True, True, False, False, False]
    put(tmp_path, "proc/sys/net/ipv4/ip_nonlocal_bind", "1\n")
    assert xend_host.is_own("192.0.2.11", root) is True


def test_own_addresses_of_this_host():
    assert xend_host.is_own("127.0.0.1") is True
    assert xend_host.is_own("192.0.2.11") is False


def test_ports_that_anything_listens_on(tmp_path):
    root = str(tmp_path)
    assert xend_host.taken(root) is None
    rows = [
        ("00000000", 5901, "0A"),
        (loopback_number(), 5902, "0A"),
        ("00000000", 5901, "0A"),
        ("00000000", 5903, "01"),
    ]
    put(tmp_path, "proc/net/tcp", "sl local rem st\n" + "".join([ROW % row for row in rows]))
    rows = [("0" * 32, 5904, "0A"), ("0" * 24 + "01000000", 5905, "0A")]
    put(tmp_path, "proc/net/tcp6", "sl local rem st\n" + "".join([ROW % row for row in rows]))
    assert xend_host.taken(root) == [["0.0.0.0", 5901], ["127.0.0.1", 5902], ["0.0.0.0", 5904]]


def test_a_port_of_this_host_that_is_listened_on():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        assert ["127.0.0.1", server.getsockname()[1]] in xend_host.taken()


def test_scripts_that_can_be_run_and_others(tmp_path):
    script = put(tmp_path, "usr/lib/xen/vif-bridge", "")
    script.chmod(0o755)
    links = tmp_path / "etc"
    links.mkdir()
    # The host's own root counts, also for folders on the way.
    (links / "scripts").symlink_to("/usr/lib/xen")
    (links / "again").symlink_to("../etc/scripts")


    def problem(path, root=str(tmp_path)):
        return xend_host.script_problem(path, root, xm_disks.place_of)

    for path in ("/usr/lib/xen/vif-bridge", "/etc/scripts/vif-bridge", "/etc/again/./vif-bridge"):
        assert problem(path) is None
    (links / "gone").symlink_to("/no/such/script")
    (links / "round").symlink_to("round")
    for path, said in (
        ("/etc/nothing", "is missing"),
        ("/etc/scripts/vif-bridge/x", "is missing"),
        ("/etc/gone", "is a link to nothing"),
        ("/etc/round", "is a link to itself"),
        ("/etc", "is a folder"),
    ):
        assert problem(path) == said
    script.chmod(0o644)
    assert problem("/usr/lib/xen/vif-bridge") == "is not executable"
    assert problem(str(script), "") == "is not executable"


# Whether xend is about to send a guest

CALLER = """
import socket, sys
caller = socket.socket()
print("calls", flush=True)
caller.connect(("127.0.0.1", int(sys.argv[1])))
"""


def test_a_call_that_is_not_answered_is_seen(tmp_path):
    """As of a host that is silent: the queue of this one is full, so the kernel answers nobody else."""
    with socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        process = subprocess.Popen(
            [sys.executable, "-c", CALLER, str(port)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "calls\n"
            eventually(lambda: xend_host.connecting(process.pid), ["127.0.0.1:%d" % port])
            assert targets_of(process) == []
        finally:
            process.kill()
            process.wait(LIMIT_S)
            process.stdout.close()
    assert xend_host.connecting(os.getpid()) == [] and xend_host.connecting(process.pid) is None


def test_no_two_processes_have_one_identity(listener):
    mine, other = xend_host.identity(os.getpid()), xend_host.identity(listener.pid)
    assert mine and other and mine != other and xend_host.identity(os.getpid()) == mine
    listener.kill()
    listener.wait(LIMIT_S)
    assert xend_host.identity(listener.pid) is None
    assert 0 < xend_host.uptime_s() <= xend_host.uptime_s()


def test_an_xm_that_migrates_is_seen(tmp_path):
    """By whatever name the host calls xm, of this host only, and no other xm."""
    own, other = tmp_path / "xen1" / "bin" / "xm", tmp_path / "xen2" / "bin" / "xm-of-xen2"
    for path in (own, other):
        path.parent.mkdir(parents=True)
        path.write_text("import time\ntime.sleep(600)\n")
    commands = [
        [sys.executable, str(own), "migrate", "--live", "web01", "10.0.0.2"],
        [sys.executable, str(own), "list"],
        [sys.executable, str(other), "migrate", "web01", "10.0.0.1"],
    ]
    running = [subprocess.Popen(command) for command in commands]
    try:

        def seen(xm, root):
            return xend_host.migrating_commands(str(xm), str(root))

        eventually(lambda: seen(own, tmp_path / "xen1"), [running[0].pid])
        eventually(lambda: seen(other, tmp_path / "xen2"), [running[2].pid])
        assert seen("xm", tmp_path / "xen2") == []
    finally:
        for process in running:
            process.kill()
            process.wait(LIMIT_S)
