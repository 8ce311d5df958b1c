"""What goes over the wire, as a relay between two real xends 4.4 heard it: the target acknowledges, which the
source's xend does not hear, and what the source sends is a file for `xm restore`.
"""

import contextlib
import select
import socket
import threading

import pytest

from tests.lab.fleet import HostSpec
from tests.simulator.acts import LIMIT_S, calm, finish, suspended_sha256, until

READY = b"(ready receive)\n"
PORT, RELAY_PORT = 8002, 9002


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.02),
        HostSpec("xen2", time_scale=0.02),
        HostSpec("old1", version="3.0.3", time_scale=0.02),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    calm(*fleet)


class Relay:
    """One connection to the loopback address of the source, carried on to the target; what both have said."""

    def __init__(self, source, target):
        self.sent, self.heard = b"", b""
        self.address = source.loopback
        self.listener = socket.create_server((self.address, RELAY_PORT))
        self.thread = threading.Thread(target=self.carry, args=(source, target), daemon=True)
        self.thread.start()

    def carry(self, source, target):
        near, _peer = self.listener.accept()
        there = (target.address, PORT)
        far = socket.create_connection(there, LIMIT_S, source_address=(source.address, 0))
        with self.listener, near, far:
            open_ends = [near, far]
            while far in open_ends:
                for end in select.select(open_ends, [], [])[0]:
                    data = b""
                    with contextlib.suppress(ConnectionError):
                        data = end.recv(65536)
                    if not data:
                        open_ends.remove(end)
                    if end is near:
                        self.sent += data
                        far.sendall(data) if data else far.shutdown(socket.SHUT_WR)
                    else:
                        self.heard += data
                        # A live source has closed by the time that the target speaks.
                        with contextlib.suppress(OSError):
                            near.sendall(data)

    def ended(self):
        """Return all that the target has said, when it has closed."""
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        return self.heard


def migrate_over(source, target, *options):
    """Return (the relay, the running xm)."""
    relay = Relay(source, target)
    words = [*options, "web01", "127.0.0.1", "--port=%d" % RELAY_PORT]
    return relay, source.xm_start("migrate", *words)


@pytest.mark.parametrize("options", [["--live"], []])
@pytest.mark.parametrize("name", ["xen2", "old1"])
def test_the_target_acknowledges_a_guest_that_runs(hosts, name, options):
    source, target = hosts["xen1"], hosts[name]
    guest = source.create_guest("web01")
    target.delay("unpause", LIMIT_S)
    relay, migration = migrate_over(source, target, *options)
    assert finish(migration)[0] == 0
    # Not when all has arrived, but when the guest runs.
    until(lambda: "completeRestore done" in target.log.read_text())
    assert relay.heard == READY and target.guests()["web01"].state == "paused"
    target.delay("unpause")
    assert relay.ended() == READY + b"(ok)\n"
    assert target.guests()["web01"].alive and target.guests()["web01"].uuid == guest.uuid


def test_a_target_that_cannot_complete_a_guest_says_why(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01", disks=["file:/srv/web01.img,xvda,w"])
    target.fault("disk-missing")
    relay, migration = migrate_over(source, target, "--live")
    assert finish(migration)[0] == 0
    assert relay.ended().startswith(READY + b"(err (type ") and b"could not be connected" in relay.heard
    assert source.guests() == target.guests() == {}


def held_half_way(source, target, *options):
    source.link(hold_at=0.5)
    relay, migration = migrate_over(source, target, *options)
    source.wait_held()
    return relay, migration


@pytest.mark.parametrize("options", [["--live"], []])
def test_what_was_sent_brings_back_a_guest_that_xend_has_lost(hosts, options):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    relay, migration = held_half_way(source, target, *options)
    target.kill_xend_child()
    assert finish(migration, source)[0] == 0
    # Closed without a word.
    assert relay.ended() == READY
    assert source.guests() == {} and not target.guests()["web01"].alive
    target.destroy_guest("web01")
    saved = source.root / "web01.save"
    saved.write_bytes(relay.sent.removeprefix(b"receive\n"))
    assert source.xm_run("restore", saved).returncode == 0
    back = source.wait_alive("web01")
    assert (back.uuid, back.memory_sha256) == (guest.uuid, suspended_sha256(source))


def test_half_of_what_was_sent_brings_nobody_back(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    relay, migration = migrate_over(source, target)
    assert finish(migration)[0] == 0
    whole = relay.ended() and relay.sent.removeprefix(b"receive\n")
    saved = source.root / "web01.save"
    for part, said in (
        (whole[: len(whole) // 2], "xc_restore"),
        (whole[:100], "not a valid guest state file: config read"),
        (b"LinuxGuestRecord", "not a valid guest state file: config size read"),
        (b"something else that is long enough", "not a valid guest state file: found 'something else t'"),
    ):
        saved.write_bytes(part)
        result = source.xm_run("restore", saved)
        assert result.returncode == 1 and said in result.stderr, part[:40]
        assert source.guests() == {}


def test_a_saved_guest_has_its_memory_and_is_not_started_twice(hosts):
    source = hosts["xen1"]
    guest = source.create_guest("web01")
    saved = source.root / "web01.save"
    assert source.xm_run("save", "web01", saved).returncode == 0
    assert source.guests() == {}
    assert source.xm_run("restore", saved).returncode == 0
    back = source.wait_alive("web01")
    assert back.memory_sha256 == guest.memory_sha256
    for name in ("web01", "renamed"):
        source.xm_run("rename", "web01", name)
        result = source.xm_run("restore", saved)
        assert result.returncode == 1
        assert "Error: Domain 'web01' already exists with ID '%d'\n" % back.domid in result.stderr
        assert len(source.guests()) == 1


def test_before_3_1_xm_restore_does_not_look(hosts):
    source = hosts["old1"]
    source.create_guest("web01")
    saved = source.root / "web01.save"
    source.xm_run("save", "web01", saved)
    for _time in range(2):
        assert source.xm_run("restore", saved).returncode == 0
    assert [domain["name"] for domain in source.hypervisor.domains()] == ["web01", "web01"]


def test_a_relay_that_dies_takes_nobody_along(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    relay = socket.create_server((source.loopback, RELAY_PORT))
    migration = source.xm_start("migrate", "--live", "web01", "127.0.0.1", "--port=%d" % RELAY_PORT)
    with relay, relay.accept()[0] as near:
        near.sendall(READY)
        near.recv(100)
    assert finish(migration)[0] == 1
    assert source.wait_alive("web01").domid == guest.domid and target.guests() == {}
    assert source.guests()["web01"].xend_name == "web01"
