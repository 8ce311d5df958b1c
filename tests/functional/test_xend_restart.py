"""The running xend of a simulated host: what it has of the file, and getting it the rest of it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import as_before, holding, pass_a_tick, refused
from tests.harness.loading import host_opts
from tests.lab import tls
from tests.lab.fleet import Fleet, HostSpec
from tests.lab.layout import wait_until

PORT, OTHER_PORT = 8002, 8012
# Against hanging only.
LIMIT_S = 300
CONFIG = """\
# The door.
(xend-relocation-server yes)
(xend-relocation-port 8002)
(xend-relocation-hosts-allow '^localhost$')
(xend-relocation-address %s)
"""


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.05, interfaces=("lo",)),
        HostSpec("old1", version="3.2", time_scale=0.05, interfaces=("lo",)),
    )
    for host in fleet:
        host.config.write_text(CONFIG % host.address)
    fleet.start()
    pass_a_tick()
    return fleet


@pytest.fixture(params=["xen1"])
def host(fleet, request):
    host = fleet[request.param]
    with as_before(host, CONFIG % host.address):
        yield host
        host.clear()
        host.mend()


old_host = pytest.mark.parametrize("host", ["old1"], indirect=True)


@pytest.fixture
def minion(load, host):
    return load(**host_opts(host))


@pytest.fixture
def xend(minion):
    return minion.modules.xend


def own(host, port=PORT):
    return ["%s:%d" % (host.address, port)]


@contextlib.contextmanager
def taken(host, port=OTHER_PORT):
    """Another program listens on this port of the host."""
    with socket.create_server((host.address, port)):
        yield


def kept_copy(minion_root, host, what="started"):
    name = str(host.config).strip("/").replace("/", ".")
    return minion_root / "minion" / "cache" / "xend" / (name + "." + what)


def is_to_be_restarted(host):
    """Whether a job has the lock for a restart, and may wait for guests that are on their way."""
    lock = host.root / "kept" / ".relocation.lock"
    return lock.exists() and "restart of xend" in lock.read_text()


# status


def test_the_status_of_a_xend_that_has_the_file(xend, host):
    found = xend.status()
    assert found == {
        "running": True,
        "pid": host.pids()["xend"],
        "listening": own(host),
        "configured": own(host),
        "config_newer": False,
        "pending": [],
    }


def test_the_status_after_a_change(xend, host):
    xend.configure(port=OTHER_PORT)
    found = xend.status()
    assert found["config_newer"] and found["configured"] == own(host, OTHER_PORT)
    assert "changed after xend started" in found["pending"][0]
    assert "%s:%d" % (host.address, OTHER_PORT) in found["pending"][1]


def test_a_file_put_in_place_with_an_old_date_is_newer_all_the_same(xend, host):
    other = host.config.with_name("new.sxp")
    other.write_bytes(host.config.read_bytes() + b"(dom0-min-mem 200)\n")
    os.utime(other, (1, 1))
    other.rename(host.config)
    assert xend.status()["config_newer"]


def test_a_door_that_the_file_closes_is_pending(xend, host):
    xend.configure(server=False)
    assert "%s, although server is off" % own(host)[0] in "; ".join(xend.status()["pending"])
    assert xend.restart()["listening"] == [] and xend.status()["pending"] == []


def test_every_address_is_more_than_one(xend, host):
    xend.configure(address="")
    assert "not on 0.0.0.0:%d" % PORT in xend.status()["pending"][-1]
    assert len(xend.restart()["listening"]) > 1 and xend.status()["pending"] == []


def test_a_xend_that_its_watchdog_started_again_has_the_old_settings(xend, host):
    xend.set("dom0-min-mem", 200)
    (killed,) = host.kill_xend_child()
    assert wait_until(lambda: host.pids().get("xend") not in (None, killed), LIMIT_S)
    assert wait_until(lambda: xend.status()["running"], LIMIT_S)
    assert xend.status()["config_newer"]


def test_the_status_of_a_xend_that_is_down(xend, host):
    host.stop()
    found = xend.status()
    assert (found["running"], found["pid"], found["pending"]) == (
        False,
        None,
        ["xend is not running"],
    )


# restart


def test_a_restart_brings_the_new_settings_and_leaves_guests_alone(xend, host):
    host.create_guest("web01")
    try:
        guest = host.wait_alive("web01")
        pid = host.pids()["xend"]
        xend.configure(port=OTHER_PORT)
        done = xend.restart()
        assert done["pid"] == {"old": pid, "new": host.pids()["xend"]} and pid != done["pid"]["new"]
        assert done["listening"] == own(host, OTHER_PORT) and done["warnings"] == []
        assert xend.status()["pending"] == []
        after = host.guests()["web01"]
        assert after.alive and (after.domid, after.uuid) == (guest.domid, guest.uuid)
    finally:
        host.destroy_guest("web01")


def test_a_file_that_was_written_in_the_future(xend, host):
    """The clock was wrong, and was set back."""
    os.utime(host.config, (time.time() + 86400, time.time() + 86400))
    assert xend.status()["config_newer"]
    xend.restart(timeout=LIMIT_S)
    assert xend.status()["pending"] == []


def test_a_xend_that_is_down_is_started(xend, host):
    host.stop()
    assert xend.restart()["pid"] == {"old": None, "new": host.pids()["xend"]}


def test_a_guest_that_is_sent_but_does_not_run_yet_is_waited_for(load, tmp_path_factory):
    """Its sender has closed the connection already, and it has its VCPUs."""
    specs = [HostSpec("xen1", time_scale=0.05), HostSpec("xen2", time_scale=0.05)]
    with Fleet.create(tmp_path_factory.mktemp("sent") / "f", specs) as fleet:
        fleet.start()
        source, target = fleet
        xend = load(**host_opts(target)).modules.xend
        assert xend.status()["running"]
        source.create_guest("web01")
        source.wait_alive("web01")
        target.delay("unpause", LIMIT_S)
        assert source.xm_run("migrate", "web01", "xen2").returncode == 0
        before, (guest,) = target.pids()["xend"], target.guests().values()
        assert guest.state == "paused" and not source.guests()
        with ThreadPoolExecutor(1) as pool:
            restarted = pool.submit(xend.restart, timeout=LIMIT_S)
            assert wait_until(lambda: is_to_be_restarted(target), LIMIT_S)
            target.delay("unpause")
            assert restarted.result(LIMIT_S)["pid"]["old"] == before
        assert target.guests()["web01"].alive


@pytest.mark.parametrize("named", ["", "1"], ids=["no pid file", "another process"])
def test_a_xend_that_the_pid_file_does_not_name_is_left_alone(xend, host, named):
    xend.configure(port=OTHER_PORT)
    changed, pids, pid = host.config.read_bytes(), host.pids(), host.pidfile.read_text()
    host.pidfile.write_text(named)
    try:
        text = refused(xend.restart, timeout=2)
    finally:
        host.pidfile.write_text(pid)
    assert "xend:pidfile" in text and str(host.pidfile) in text
    assert host.pids() == pids and host.config.read_bytes() == changed


def test_a_wrong_pid_file_does_not_condemn_a_good_file(load, host):
    options = host_opts(host)
    options["xend"]["pidfile"] = str(host.pidfile) + ".other"
    load(**host_opts(host)).modules.xend.configure(port=OTHER_PORT)
    changed = host.config.read_bytes()
    host.stop()
    text = refused(load(**options).modules.xend.restart, timeout=2)
    assert "xend:pidfile" in text
    assert host.running and host.config.read_bytes() == changed


def test_what_a_migration_has_left_over_has_a_way_out(xend, host):
    host.create_guest("web01")
    try:
        assert host.xm_run("rename", "web01", "migrating-web01").returncode == 0
        text = refused(xend.restart, timeout=0)
        assert "web01" in text and "xm rename" in text
        assert host.xm_run("rename", "migrating-web01", "web01").returncode == 0
        xend.restart()
    finally:
        host.destroy_guest("web01")


ON = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow ^a$)\n"
SSL = "(xend-relocation-ssl-server yes)\n(xend-relocation-hosts-allow ^a$)\n"


NEVER_TRIED = [
    ("(xend-relocation-port 8002\n", "line 1"),
    ("(xend-relocation-server maybe)\n", "expected bool: maybe"),
    ("(xend-unix-server maybe)\n", "expected bool: maybe"),
    (ON + "(xend-relocation-port abc)\n", "expected int: abc"),
    (ON + "(xend-relocation-port (8002))\n", "list"),
    (ON + "(xend-relocation-port 80020)\n", "80020 is out of range"),
    (ON + "(xend-relocation-address 192.0.2.1)\n", "192.0.2.1 is not one of this host"),
    (ON + "(xend-relocation-address nosuchif0)\n", "nosuchif0"),
    ("(xend-relocation-hosts-allow '^(a$')\n", "^(a$"),
    (SSL, "ssl_server is on without ssl_key_file"),
    (
        SSL + "(xend-relocation-server-ssl-key-file no.key)\n"
        "(xend-relocation-server-ssl-cert-file no.crt)\n",
        "no.key: No such file",
    ),
]


def test_a_file_with_which_xend_would_not_start_is_never_tried(xend, host):
    pids = host.pids()
    for text, said in NEVER_TRIED:
        host.config.write_text(text)
        assert said in refused(xend.restart), text
        assert host.pids() == pids and host.config.read_text() == text


def test_a_bad_value_that_xend_does_not_read_is_no_hindrance(xend, host):
    for text in (
        "(xend-relocation-port abc)\n(xend-relocation-hosts-allow ^a$)\n",
        "(xend-relocation-ssl-port abc)\n" + ON,
    ):
        host.config.write_text(text)
        assert xend.restart()["pid"]["new"] == host.pids()["xend"]


def test_an_interface_name_will_do_where_xend_knows_them(xend, host):
    xend.configure(address="lo")
    assert xend.restart()["listening"] == own(host)


@old_host
def test_an_interface_name_will_not_do_on_an_older_xend(xend, host):
    xend.configure(address="lo")
    text = refused(xend.restart)
    assert "interface" in text and host.running


@old_host
def test_a_xend_without_tls_is_not_restarted_for_it(xend, host):
    host.config.write_text((CONFIG % host.address) + "(xend-relocation-ssl-server yes)\n")
    text = refused(xend.restart)
    assert "no TLS before 3.3" in text and host.running


def test_tls_files_that_do_not_belong_together(xend, host):
    folder = host.config.parent
    key, _ = tls.make_certificate(folder, "one")
    _, cert = tls.make_certificate(folder, "other")
    xend.configure(ssl_server=True, ssl_key_file=str(key), ssl_cert_file=str(cert))
    text = refused(xend.restart)
    assert str(key) in text and str(cert) in text


def test_a_key_that_others_can_read_is_warned_about(xend, host):
    key, _ = tls.make_certificate(host.config.parent)
    key.chmod(0o644)
    xend.configure(ssl_server=True, ssl_key_file=key.name, ssl_cert_file="relocation.crt")
    done = xend.restart()
    assert len(done["warnings"]) == 1 and str(key) in done["warnings"][0]
    assert done["listening"] == own(host) + own(host, 8003)


def test_two_restarts_never_overlap(xend, host):
    """xend has no lock of its own: two of them at once would leave two daemons."""
    xend.configure(port=OTHER_PORT)
    outcomes = []

    def restart():
        try:
            outcomes.append(xend.restart()["pid"]["new"])
        except CommandExecutionError as exc:
            outcomes.append(str(exc))

    threads = [threading.Thread(target=restart) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    refused = [text for text in outcomes if "another job" in str(text)]
    assert len(outcomes) == 3 and len(refused) == 2, outcomes
    assert len(host.layout.roles()["xend"]) == 1


# migrations that go on, or are about to


def migrating(host, who="migration of web01 to xen2"):
    """Another process that moves a guest, as the lock says."""
    return holding(host, "relocation", who, shared=True)


@contextlib.contextmanager
def expected(xend, name="web01", **options):
    said = xend.reserve(name, **options)
    try:
        yield said
    finally:
        xend.release(name)


def test_a_guest_that_is_expected_is_waited_for(xend, host):
    pid = host.pids()["xend"]
    with expected(xend, who="migration from xen2", seconds=300):
        timer = threading.Timer(1.0, lambda: xend.release("web01"))
        began = time.monotonic()
        timer.start()
        done = xend.restart(timeout=LIMIT_S)
        timer.join()
    assert time.monotonic() - began >= 1.0 and done["pid"]["old"] == pid


def test_a_guest_that_is_expected_longer_is_not_put_at_risk(xend, host):
    pids = host.pids()
    with expected(xend, who="migration from xen2", seconds=300) as said:
        text = refused(xend.restart, timeout=0.5)
    assert "web01 is expected here until " in said and "(migration from xen2)" in said
    assert said in text and "xend.release" in text
    assert host.pids() == pids


def test_all_that_is_in_the_way_is_told_at_once(xend, host):
    host.create_guest("db01")
    try:
        assert host.xm_run("rename", "db01", "migrating-db01").returncode == 0
        with expected(xend, "web01"), expected(xend, "web02"):
            text = refused(xend.restart, timeout=0)
        for said in ("db01 is being sent", "web01 is expected", "web02 is expected"):
            assert said in text
        assert host.xm_run("rename", "migrating-db01", "db01").returncode == 0
    finally:
        host.destroy_guest("db01")


def test_a_dry_run_tells_of_a_guest_that_is_expected(load, xend, host):
    """As the restart would find it that does not wait."""
    host.create_guest("db01")
    pids = host.pids()
    assert host.xm_run("rename", "db01", "migrating-db01").returncode == 0
    with expected(xend, who="migration from xen2") as said:
        text = refused(xend.restart, test=True, timeout=30)
        assert refused(xend.restart, timeout=0).rpartition("not restarted: ")[2] in text
        xend.configure(port=OTHER_PORT)
        planned = load(test=True, **host_opts(host)).states.xend.applied("apply", timeout=7)
    assert text.startswith("xend would not be restarted: ")
    assert said in text and "db01 is being sent" in text and "waits 30 seconds at most" in text
    assert planned["result"] is False and said in planned["comment"]
    assert "waits 7 seconds at most" in planned["comment"] and host.pids() == pids


def test_a_guest_that_did_not_come_in_time_is_waited_for_no_more(xend, host):
    with expected(xend, seconds=0.3):
        time.sleep(0.3)
        xend.restart(timeout=0)


def test_the_state_leaves_a_host_that_expects_a_guest_alone(minion, host):
    minion.modules.xend.configure(port=OTHER_PORT)
    pids = host.pids()
    with expected(minion.modules.xend, who="migration from xen2"):
        found = minion.states.xend.applied("apply", timeout=0.5)
    assert found["result"] is False and "(migration from xen2)" in found["comment"]
    assert host.pids() == pids


def test_a_migration_under_way_is_quoted(xend, host):
    pids = host.pids()
    with migrating(host) as holder:
        text = refused(xend.restart, timeout=0.5)
    assert "migration of web01 to xen2, pid %d, since " % holder.pid in text
    assert "not restarted" in text and host.pids() == pids


def test_a_migration_whose_process_was_killed_is_in_nobody_s_way(xend, host):
    pid = host.pids()["xend"]
    with migrating(host) as holder:
        holder.kill()
        holder.wait(LIMIT_S)
        assert xend.restart(timeout=0)["pid"]["old"] == pid


def test_a_migration_that_ends_in_time_is_waited_for(xend, host):
    with migrating(host) as holder:
        timer = threading.Timer(1.0, holder.kill)
        began = time.monotonic()
        timer.start()
        xend.restart(timeout=LIMIT_S)
        timer.join()
    assert time.monotonic() - began >= 1.0


def test_the_time_to_wait_is_one_for_all_that_is_waited_for(xend, host):
    with migrating(host) as holder, expected(xend):
        timer = threading.Timer(4, holder.kill)
        began = time.monotonic()
        timer.start()
        assert "is expected here" in refused(xend.restart, timeout=8)
        timer.join()
    # With a time of its own for each it would be 12 s.
    assert 7.9 < time.monotonic() - began < 11.9


def test_no_guest_is_let_in_while_xend_is_restarted(xend, host):
    refused = []

    def reserve():
        try:
            refused.append(xend.reserve("web02"))
        except CommandExecutionError as exc:
            refused.append(str(exc))

    with expected(xend, "web01"):
        thread = threading.Thread(target=lambda: refused.append(xend.restart(timeout=LIMIT_S)))
        thread.start()
        assert wait_until(lambda: is_to_be_restarted(host), LIMIT_S)
        reserve()
    thread.join(LIMIT_S)
    assert "xend is being restarted (restart of xend, pid %d" % os.getpid() in refused[0]
    assert refused[1]["pid"]["new"] == host.pids()["xend"]
    with expected(xend, "web02") as said:
        assert said.startswith("web02 is expected here until ")


def test_guests_may_be_expected_while_others_are_sent(xend, host):
    with migrating(host), expected(xend) as said:
        assert said.startswith("web01 is expected here until ")


def test_releasing_what_is_not_reserved(xend, host):
    with expected(xend):
        assert xend.release("web01") is True
        assert xend.release("web01") is False


@pytest.mark.parametrize("seconds, said", [(601, "600"), (0, "600"), ("soon", "no number")])
def test_a_reservation_has_an_end(xend, host, seconds, said):
    text = refused(xend.reserve, "web01", seconds=seconds)
    assert said in text and xend.release("web01") is False


def test_without_its_folder_nothing_is_restarted_or_let_in(load, host, tmp_path):
    (tmp_path / "file").write_text("")
    options, pids = host_opts(host), host.pids()
    options["xend"]["kept"] = str(tmp_path / "file" / "kept")
    xend = load(**options).modules.xend
    for call in (xend.restart, lambda: xend.reserve("web01"), lambda: xend.release("web01")):
        text = refused(call)
        assert "xend:kept" in text and options["xend"]["kept"] in text
    assert host.pids() == pids


PEERS = """
import socket, sys, time
listeners = [socket.create_server(("127.0.0.1", 0)) for number in range(3)]
print(*[listener.getsockname()[1] for listener in listeners], flush=True)
kept = [listener.accept() for listener in listeners]
target = len(sys.argv) > 1 and socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
time.sleep(60)
"""


OTHER_SERVERS = """\
(xend-relocation-hosts-allow ^a$)
(xend-http-server yes)
(%s %d)
(xend-tcp-xmlrpc-server yes)
(xend-tcp-xmlrpc-server-port %d)
(xen-api-server ((unix none) (127.0.0.1:%d pam)))
"""


@contextlib.contextmanager
def other_xend(folder, *target):
    """
    A process that passes for xend, serves a peer on each of three ports and is connected to TARGET, a port of
    somebody else; yields it and its ports.
    """
    script = folder / "xend"
    script.write_text(PEERS)
    command = [sys.executable, str(script), *map(str, target)]
    with contextlib.ExitStack() as peers, subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ports = [int(port) for port in process.stdout.readline().split()]
            for port in ports:
                peers.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT_S))
            assert process.stdout.readline() == "connected\n"
            (folder / "pid").write_text(str(process.pid))
            yield process, ports
        finally:
            process.kill()


@pytest.mark.parametrize("first, counts", [("xend-port", False), ("xend-relocation-port", True)])
def test_only_peers_of_a_relocation_port_count(load, host, tmp_path, first, counts):
    """A program that manages guests may stay connected to xend's other ports for days."""
    options = host_opts(host)
    options["xend"]["pidfile"] = str(tmp_path / "pid")
    with other_xend(tmp_path) as (_process, ports):
        host.config.write_text(OTHER_SERVERS % (first, *ports))
        text = refused(load(**options).modules.xend.restart, timeout=0.5)
    # With nobody in the way the service is restarted, and the process that only passes for xend stays.
    said = "is connected to the relocation port" if counts else "left the old process"
    assert text.count(said) == 1
    assert ("is connected" in text) is counts


def test_a_xend_that_has_connected_to_another_one_may_be_sending(load, host, tmp_path):
    options = host_opts(host)
    options["xend"]["pidfile"] = str(tmp_path / "pid")
    with socket.create_server(("127.0.0.1", 0)) as target:
        to = target.getsockname()[1]
        with other_xend(tmp_path, to) as (process, ports):
            host.config.write_text(OTHER_SERVERS % ("xend-port", *ports))
            xend = load(**options).modules.xend
            seen = {"ports": [], "sources": [], "targets": ["127.0.0.1:%d" % to]}
            assert xend.transfers() == seen
            assert "xend is connected to 127.0.0.1:%d" % to in refused(xend.restart, timeout=0.5)
            # Where the file does not tell what the ports are for, each may be that of relocation.
            host.config.write_text("(")
            assert xend.transfers()["ports"] == sorted(ports)
            assert len(xend.transfers()["sources"]) == 3
            process.kill()
            process.wait(LIMIT_S)
            assert xend.transfers() is None


# the way back


def test_what_does_not_start_is_rolled_back(load, minion, host):
    """Several states have changed the file before; the way back goes to where all began."""
    host.create_guest("web01")
    try:
        before, guest = host.config.read_bytes(), host.wait_alive("web01")
        pid = host.pids()["xend"]
        config = str(host.config)
        assert minion.states.xend.option_present("dom0-min-mem", 200, config=config)["result"]
        assert minion.states.xend.relocation("port", port=OTHER_PORT, config=config)["result"]
        refused = host.config.read_bytes()
        with taken(host):
            found = minion.states.xend.applied("apply", timeout=LIMIT_S)
        assert found["result"] is False
        assert "Address already in use" in found["comment"] and "put back" in found["comment"]
        # What Salt's service module said, when it raised an error.
        assert "control process exited with error code" in found["comment"]
        assert host.config.read_bytes() == before
        kept = [word for word in found["comment"].replace(")", " ").split() if ".refused" in word]
        with open(kept[0], "rb") as stream:
            assert stream.read() == refused
        assert not str(kept[0]).startswith(str(host.config.parent))
        beside = [path.name for path in host.config.parent.iterdir() if "config" in path.name]
        assert beside == [host.config.name]
        status = minion.modules.xend.status()
        assert status["listening"] == own(host) and status["pending"] == []
        assert found["changes"]["xend"]["old"].startswith("pid %d," % pid)
        assert found["changes"]["xend"]["new"].startswith("pid %d," % status["pid"])
        after = host.guests()["web01"]
        assert after.alive and (after.domid, after.memory_sha256) == (
            guest.domid,
            guest.memory_sha256,
        )
    finally:
        host.destroy_guest("web01")


def test_the_way_back_leads_to_what_the_last_restart_proved(xend, host):
    xend.set("dom0-min-mem", 200)
    xend.restart()
    proved = host.config.read_bytes()
    # By hand this time, so nothing is known of it beforehand.
    host.config.write_bytes(proved.replace(b"8002", b"8012"))
    with taken(host):
        refused(xend.restart, timeout=LIMIT_S)
    assert host.config.read_bytes() == proved and xend.status()["pending"] == []


def test_where_no_earlier_content_is_known_the_file_is_left_alone(xend, host):
    # Nobody can tell what the running xend has read: the file was changed before Salt first saw it.
    host.config.write_text((CONFIG % host.address).replace("8002", "8012"))
    changed = host.config.read_bytes()
    with taken(host):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "Address already in use" in text and "no other content is known" in text
    assert host.config.read_bytes() == changed and not host.running


@pytest.mark.parametrize(
    "broken", ["(a (b\n", ON + "(xend-relocation-address 192.0.2.1)\n"], ids=["syntax", "address"]
)
def test_there_is_no_way_back_to_a_file_that_would_not_do(tmp_path, xend, host, broken):
    xend.configure(port=OTHER_PORT)
    changed = host.config.read_bytes()
    kept_copy(tmp_path, host).write_text(broken)
    with taken(host):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "would not start with the previous one either" in text
    assert host.config.read_bytes() == changed


def test_a_cause_outside_the_file_is_named_as_such(xend, host):
    before = host.config.read_bytes()
    host.stop()
    with taken(host, PORT):
        refused(xend.restart, timeout=LIMIT_S)
    xend.restart(timeout=LIMIT_S)
    host.stop()
    with taken(host, PORT):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "started with it before, so the cause is elsewhere" in text
    assert host.config.read_bytes() == before


def test_when_even_the_way_back_fails_both_reasons_are_told(xend, host):
    tls.make_certificate(host.config.parent)
    xend.configure(ssl_server=True, ssl_key_file="relocation.key", ssl_cert_file="relocation.crt")
    xend.restart()
    before = host.config.read_bytes()
    xend.configure(port=OTHER_PORT)
    host.fault("no-openssl")
    with taken(host):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "Address already in use" in text and "No module named OpenSSL" in text
    assert host.config.read_bytes() == before and not host.running


def test_a_service_that_does_not_restart_xend_changes_nothing(load, host):
    xend = load(**{**host_opts(host), "lab": {"xend": "/bin/true"}}).modules.xend
    xend.configure(port=OTHER_PORT)
    changed, pids = host.config.read_bytes(), host.pids()
    text = refused(xend.restart, timeout=1)
    assert "left the old process" in text
    assert host.config.read_bytes() == changed and host.pids() == pids


def test_the_pillar_of_one_host_says_which_service_is_restarted(load, host):
    pillar = {"xend": {"relocation": {"hosts": {"xen1": {"address": host.address, "service": "xend-3.4"}}}}}
    xend = load(pillar=pillar, **host_opts(host)).modules.xend
    text = refused(xend.restart, timeout=1)
    assert "service xend-3.4" in text


def test_a_full_disk_stops_neither_a_change_nor_the_way_back(tmp_path, xend, host):
    before = host.config.read_bytes()
    xend.restart()
    for what in ("refused", "written"):
        # A folder of that name stands in the way of root, too.
        kept_copy(tmp_path, host, what).mkdir()
    assert xend.configure(port=OTHER_PORT)["changed"]
    with taken(host):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "was put back" in text and "the refused one nowhere" in text
    assert host.config.read_bytes() == before and xend.status()["pending"] == []


def test_a_restart_that_cannot_be_remembered_is_a_restart(tmp_path, xend, host):
    kept_copy(tmp_path, host).mkdir(parents=True)
    xend.configure(port=OTHER_PORT)
    assert xend.restart()["listening"] == own(host, OTHER_PORT)
    changed = host.config.read_bytes()
    host.stop()
    with taken(host):
        text = refused(xend.restart, timeout=LIMIT_S)
    assert "the previous content cannot be read" in text
    assert host.config.read_bytes() == changed


# the state


def with_watch(load, host, options, state, function="relocation"):
    high = {
        "config": {"xend": [function, *({key: value} for key, value in options.items())]},
        "applied": {"xend": ["applied", *state, {"watch": [{"xend": "config"}]}]},
    }
    for state in high.values():
        # Salt asks for it where a requisite has failed.
        state["__sls__"] = "test"
    found = load(**host_opts(host)).modules.state.high(high)
    assert isinstance(found, dict), found
    return {ret["__id__"]: ret for ret in found.values()}


def test_an_address_of_another_host_is_a_failure_under_watch(load, host):
    before, pids = host.config.read_bytes(), host.pids()
    found = with_watch(load, host, {"address": "192.0.2.1"}, [{"timeout": LIMIT_S}])
    assert found["config"]["result"] is False and "192.0.2.1" in found["config"]["comment"]
    assert not found["config"]["changes"] and found["applied"]["result"] is False
    assert host.pids() == pids and host.config.read_bytes() == before


def test_a_refused_restart_stays_a_failure_under_watch(load, host):
    before, pids = host.config.read_bytes(), host.pids()
    wrong = {"name": "xend-relocation-address", "value": "192.0.2.1"}
    found = with_watch(load, host, wrong, [{"timeout": LIMIT_S}], "option_present")
    assert found["config"]["changes"] and found["applied"]["result"] is False
    assert "192.0.2.1 is not one of this host" in found["applied"]["comment"]
    assert host.pids() == pids and host.config.read_bytes() == before


def test_a_rolled_back_restart_stays_a_failure_under_watch(load, host):
    before = host.config.read_bytes()
    with taken(host):
        found = with_watch(load, host, {"port": OTHER_PORT}, [{"timeout": LIMIT_S}])
    assert found["applied"]["result"] is False and "put back" in found["applied"]["comment"]
    assert host.config.read_bytes() == before
    assert load(**host_opts(host)).modules.xend.status()["listening"] == own(host)


def test_a_good_restart_under_watch_happens_once(load, host):
    found = with_watch(load, host, {"port": OTHER_PORT}, [])
    assert found["applied"]["result"] is True
    assert str(host.pids()["xend"]) in found["applied"]["changes"]["xend"]["new"]


@pytest.mark.parametrize("restart", ["no", "false", None])
def test_text_is_no_leave_to_restart(minion, host, restart):
    pid = host.pids()["xend"]
    minion.modules.xend.set("xend-relocation-port", str(OTHER_PORT))
    found = minion.states.xend.applied("apply", restart=restart)
    assert found["result"] is False and "neither true nor false" in found["comment"]
    assert repr(restart) in found["comment"] and host.pids()["xend"] == pid


def test_applied_does_nothing_where_nothing_is_to_do(minion, host):
    pids = host.pids()
    found = minion.states.xend.applied("apply")
    assert (found["result"], found["changes"]) == (True, {}) and host.pids() == pids


def test_applied_restarts_and_says_what_it_did(minion, host):
    minion.modules.xend.configure(port=OTHER_PORT)
    found = minion.states.xend.applied("apply")
    assert found["result"] is True and str(OTHER_PORT) in found["changes"]["xend"]["new"]
    assert str(PORT) in found["changes"]["xend"]["old"]


def test_applied_starts_a_xend_that_is_down_and_says_that(load, minion, host):
    host.stop()
    planned = load(test=True, **host_opts(host)).states.xend.applied("apply")
    assert (planned["result"], planned["comment"]) == (None, "xend would be started")
    found = minion.states.xend.applied("apply")
    assert (found["result"], found["comment"]) == (True, "xend was started")
    assert found["changes"]["xend"]["old"] == "not running"


def test_applied_under_test_only_tells(load, minion, host):
    minion.modules.xend.configure(port=OTHER_PORT)
    pids = host.pids()
    found = load(test=True, **host_opts(host)).states.xend.applied("apply")
    assert found["result"] is None and "would be restarted" in found["comment"]
    assert host.pids() == pids


def test_applied_can_leave_the_restart_to_people(minion, host):
    minion.modules.xend.configure(port=OTHER_PORT)
    pids = host.pids()
    found = minion.states.xend.applied("apply", restart=False)
    assert (found["result"], found["changes"]) == (True, {}) and "pending" in found["comment"]
    assert "reboot" in found["comment"] and host.pids() == pids


def test_what_was_written_from_here_does_not_stay_when_xend_would_not_start_with_it(xend, host):
    """Else the next reboot would leave xend down."""
    before, pids = host.config.read_bytes(), host.pids()
    xend.configure(address="192.0.2.1")
    text = refused(xend.restart, timeout=LIMIT_S)
    assert "192.0.2.1 is not one of this host" in text and "was put back" in text
    assert host.config.read_bytes() == before and host.pids() == pids
    put_aside = text.rpartition("kept as ")[2].rstrip(")")
    with open(put_aside) as stream:
        assert "192.0.2.1" in stream.read()


def test_what_people_wrote_is_left_to_them(xend, host):
    xend.configure(port=OTHER_PORT)
    changed = host.config.read_text().replace(host.address, "192.0.2.1")
    host.config.write_text(changed)
    text = refused(xend.restart, timeout=LIMIT_S)
    assert "192.0.2.1 is not one of this host" in text
    assert host.config.read_text() == changed
