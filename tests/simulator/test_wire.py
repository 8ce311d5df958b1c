"""What goes over the wire, as a relay between two real xends 4.4 heard it: the target acknowledges, which the
source's xend does not hear, and what the source sends is a file for `xm restore` (test_restore.py).
"""

import socket

import pytest

from tests.faults import truth
from tests.lab.fleet import HostSpec
from tests.simulator.acts import LIMIT_S, calm, finish, suspended_sha256, until
from tests.simulator.relay import Relay

READY = b"(ready receive)\n"
PORT = 8002


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


def migrate_over(source, target, *options):
    """Return (the relay, the running xm)."""
    relay = Relay(source, target)
    words = [*options, "web01", "127.0.0.1", "--port=%d" % relay.port]
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
    assert truth.crimes(truth.history(hosts, guest.uuid)) == []


def test_a_relay_that_dies_takes_nobody_along(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    relay, migration = held_half_way(source, target, "--live")
    relay.kill()
    assert finish(migration, source)[0] == 1
    assert source.wait_alive("web01").domid == guest.domid
    assert source.guests()["web01"].xend_name == "web01"
    until(lambda: target.guests() == {})


# What the lab sees through a relay: the network and the target are those of the target's host.


def test_a_transfer_is_held_and_slowed_down_at_the_target_of_a_relay(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.link(hold_at=0.5)
    relay, migration = migrate_over(source, target, "--live")
    target.wait_held()
    # All but what waits in buffers has come: the relay takes no more than the target.
    assert list(target.layout.control.glob("received-%s-*" % source.address))
    assert migration.poll() is None
    target.release()
    assert finish(migration)[0] == 0 and relay.ended() == READY + b"(ok)\n"


def test_the_target_s_reason_comes_back_through_a_relay(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    target.link(hold_at=0.5)
    relay, migration = migrate_over(source, target, "--live")
    target.wait_held()
    target.kill_xc_restore()
    target.release()
    code, _out, error = finish(migration)
    assert code == 1 and "xc_restore" in error and "failed (from 127.0.0.1)" in error
    assert b"xc_restore" in relay.ended()
    assert source.wait_alive("web01").domid == guest.domid


@pytest.mark.parametrize("fault", ["refuse", "no-route", "unreachable", "reset"])
@pytest.mark.parametrize("side", ["xen1", "xen2"])
def test_a_network_that_carries_nothing_carries_no_relay(hosts, fault, side):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    hosts[side].fault(fault)
    relay, migration = migrate_over(source, target, "--live")
    code, _out, error = finish(migration)
    if side == "xen1" and fault in ("refuse", "reset"):
        # Of connections to the host, not of its own.
        assert code == 0 and relay.ended() == READY + b"(ok)\n"
        return
    assert code == 1 and ("[Errno 104]" in error or "[Errno 32]" in error)
    assert relay.ended() == b"" and source.wait_alive("web01").domid == guest.domid


def test_a_question_to_the_port_is_no_relay(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    target.fault("no-route")
    where = (target.address, PORT)
    with socket.create_connection(where, LIMIT_S, source_address=(source.address, 0)) as asking:
        asking.sendall(b"(help)")
        assert asking.recv(100).startswith(b"(ok (help")


@pytest.mark.parametrize("silent", ["drop-syn", "mute", "cut"])
def test_who_is_behind_a_relay_and_says_nothing_is_given_up(hosts, silent):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.cut_link() if silent == "cut" else target.fault(silent)
    relay, migration = migrate_over(source, target, "--live")
    code, _out, error = finish(migration)
    assert code == 1 and "can't connect: timed out" in error and source.wait_alive("web01")
    assert relay.heard == b""
    target.mend()
    relay.ended()


def test_a_source_gives_up_a_target_that_is_cut_off_behind_a_relay(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    relay, migration = held_half_way(source, target, "--live")
    target.cut_link()
    assert finish(migration, source)[0] == 1
    assert source.wait_alive("web01").domid == guest.domid
    assert relay.heard == READY


def test_a_link_that_is_cut_when_the_guest_is_destroyed_lets_no_acknowledgement_through(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.delay("tcp-gives-up", LIMIT_S)
    target.cut_after_destroy()
    # The end of what is sent has to be there before the link is cut.
    source.delay("destroy", 0)
    relay, migration = migrate_over(source, target, "--live")
    assert finish(migration)[0] == 0 and target.layout.link()["cut"]
    assert relay.heard == READY
    target.restore_link()
    assert relay.ended() == READY + b"(ok)\n" and target.guests()["web01"].alive


def test_an_acknowledgement_may_come_late_or_never(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.delay("acknowledge", LIMIT_S)
    relay, migration = migrate_over(source, target, "--live")
    assert finish(migration)[0] == 0
    assert target.wait_alive("web01") and relay.heard == READY
    target.kill_xend_child()
    # It runs all the same.
    assert relay.ended() == READY and target.guests()["web01"].alive
