"""Before, during and after a move: what is known beforehand is said, what happens meanwhile is survived."""

import os
import re
import socketserver
import threading
from pathlib import Path

import pytest

from tests.harness.moves import CONFIGURE, LEAVE, LOOK, ROOM, SEND, arrivals, assert_unharmed, held
from tests.lab.layout import wait_until


def create(site, **options):
    site.xen1.create_guest("web01", **options)
    return site.xen1.wait_alive("web01")


def local_disk(site):
    return create(site, disks=["file:/srv/local/web01.img,xvda,w"])


def other_storage(site):
    guest = local_disk(site)
    site.xen2.make_image("/srv/local/web01.img")
    return guest


def disk_in_use(site):
    site.xen2.create_guest("db01", disks=["file:/srv/xen/shared.img,xvdb,w"])
    return create(site, disks=["file:/srv/xen/shared.img,xvdb,w"])


def no_bridge(site):
    return create(site, vifs=["bridge=xenbr9"])


def fixed(site):
    return create(site, nomigrate=True)


def weaker_processor(site):
    site.xen2.path("/proc/cpuinfo").write_text(
        site.xen2.path("/proc/cpuinfo").read_text().replace("GenuineIntel", "AuthenticAMD")
    )
    return create(site)


def lacking_flag(site):
    """One of another processor; of the same one it would be the kernels' word for it alone."""
    path = site.xen1.path("/proc/cpuinfo")
    text = re.sub(r"^(flags.*)$", r"\1 sse4_2", path.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub(r"^(stepping.*: ).*$", r"\g<1>9", text, flags=re.MULTILINE))
    return create(site)


def no_memory_to_send_live(site):
    guest = create(site)
    free = site.salt("xm.info", target="xen1")["xen1"]["free_memory"]
    site.xen1.create_guest("filler", memory_mib=free - 1, paused=True)
    return guest


@pytest.fixture
def cpuinfo(configured):
    paths = [host.path("/proc/cpuinfo") for host in configured.fleet]
    before = [path.read_text() for path in paths]
    yield
    for path, text in zip(paths, before, strict=True):
        path.write_text(text)
    configured.xen2.path("/srv/local/web01.img").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "prepare, step, said",
    [
        (local_disk, ROOM, "there is no /srv/local/web01.img"),
        (other_storage, ROOM, "/srv/local/web01.img"),
        (disk_in_use, ROOM, "the domain db01 (file:/srv/xen/shared.img, mode w) has it on xen2 already"),
        (no_bridge, ROOM, "xenbr9"),
        (weaker_processor, ROOM, "accept: [cpu]"),
        (lacking_flag, ROOM, "sse4_2"),
        (no_memory_to_send_live, LEAVE, "needed for a live migration (live: False needs none)"),
        (fixed, LEAVE, "nomigrate"),
    ],
)
def test_a_dry_run_finds_what_can_be_known(configured, cpuinfo, prepare, step, said):
    guest = prepare(configured)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == step, run.report()
        assert said in run.comment(step)
        assert_unharmed(configured, guest)
    assert not list((configured.fleet.root / "shared").glob(".xend-for-salt*"))


def test_all_that_is_wrong_is_said_at_once(configured, cpuinfo):
    local_disk(configured)
    configured.xen1.xm_run("pause", "web01")
    configured.xen2.create_guest("web01", paused=True)
    run = configured.migrate(test=True)
    assert {LEAVE, ROOM} <= set(run.failed())
    assert "does not run" in run.comment(LEAVE)
    assert "name web01 is in use" in run.comment(ROOM) and "/srv/local/web01.img" in run.comment(ROOM)


def test_a_difference_that_is_accepted(configured, cpuinfo):
    guest = weaker_processor(configured)
    run = configured.migrate(accept=["cpu"])
    assert run.exit_code == 0, run.report()
    assert configured.where()["xen2"].uuid == guest.uuid


def test_something_else_than_xend_listens_at_the_port(configured, guest):
    with socketserver.TCPServer((configured.xen2.address, 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            run = configured.migrate(port=server.server_address[1], test=True)
        finally:
            server.shutdown()
    assert run.exit_code != 0 and run.failed()[0] == LEAVE, run.report()
    assert f"{configured.xen2.address}:{server.server_address[1]}" in run.comment(LEAVE)
    assert "is not a xend relocation server" in run.comment(LEAVE)
    assert_unharmed(configured, guest)


class Greeting(socketserver.BaseRequestHandler):
    """As a mail server begins."""

    def handle(self):
        self.request.sendall(b"220 xen2 ESMTP\r\n")


def test_what_a_live_migration_lacks_another_does_not_need(configured):
    guest = no_memory_to_send_live(configured)
    run = configured.migrate(live=False)
    assert run.exit_code == 0, run.report()
    assert configured.where()["xen2"].alive and configured.where()["xen2"].uuid == guest.uuid


@pytest.mark.slow_daemons
def test_two_runs_for_one_guest_exclude_each_other(configured, guest):
    configured.xen1.link(speed_mib_s=80)
    with configured.meanwhile(configured.migrate) as finish:
        runs = [configured.migrate(), finish()]
    reports = "\n\n".join(run.report() for run in runs)
    assert 0 in [run.exit_code for run in runs], reports
    assert list(configured.where()) == ["xen2"] and configured.where()["xen2"].uuid == guest.uuid
    assert configured.xen2.wait_alive("web01")
    senders = [run for run in runs if run.steps[SEND]["result"] and run.steps[SEND]["changes"]]
    assert len(senders) == len(arrivals(configured.xen2, guest.uuid)) == 1, reports
    for run in runs:
        assert "web01 runs on xen2" in run.comment(LOOK) and "LOST" not in run.report()


def waits_to_restart(host):
    """Whether a job on this host has the lock of restarts; who holds it writes into it."""
    lock = host.root / "kept" / ".restart.lock"
    return lock.exists() and lock.read_text() != ""


def test_xend_is_not_restarted_under_a_guest_that_comes(configured, guest):
    """As a highstate would, when the target's file has changed; it gives up earlier here."""
    target = configured.xen2
    xend = target.pids()["xend"]
    with held(configured) as finish:
        with target.config.open("a") as config:
            config.write("# changed by somebody else\n")
        with configured.meanwhile(apply, configured) as applied:
            assert wait_until(lambda: waits_to_restart(target), 300, 0.1)
            assert target.pids()["xend"] == xend
            configured.xen1.release()
            run, put_off = finish(), applied()
    assert run.exit_code == 0, run.report()
    assert put_off["result"] is False and "web01 is" in put_off["comment"], put_off
    assert target.pids()["xend"] == xend
    arrived = target.wait_alive("web01")
    assert apply(configured)["result"] is True
    assert target.pids()["xend"] != xend
    assert target.guests()["web01"].alive and target.guests()["web01"].domid == arrived.domid


def apply(site):
    found = site.states("state.single", "xend.applied", name="applied", timeout=5, target="xen2")
    return found["xen2"]["applied"]


@pytest.mark.slow_daemons
def test_the_source_s_minion_dies_in_mid_migration(configured, guest):
    """The migration goes on in xend; what is said is what the hosts hold."""
    with held(configured) as finish, configured.without_minion("xen1"):
        configured.xen1.release()
        run = finish()
    assert run.exit_code != 0, run.report()
    assert "its minion does not answer" in run.comment(LOOK)
    last = run.comment(LOOK)
    assert "minion xen1 does not answer" in last and "a guest may still be moving" in last
    assert "`service salt-minion start`" in last and "state.orchestrate xend.orch.recover`" in last
    assert "do not start it on xen1" in run.comment(LOOK) or "start it nowhere" in run.report()
    assert configured.xen2.wait_alive("web01").uuid == guest.uuid
    assert list(configured.where()) == ["xen2"]
    # The first one who can see it says where it is.
    later = configured.recover()
    assert later.exit_code == 0 and "web01: moved" in later.steps, later.report()
    assert "and runs on xen2" in later.comment("web01: moved")
    later = configured.recover()
    assert later.exit_code == 0 and "nothing is left over" in later.steps, later.report()


def test_a_guest_s_file_and_link_follow_it_and_it_is_announced(configured, guest, tmp_path):
    told = tmp_path / "told"
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$1 $XEND_DOMAIN" > {told}\n')
    hook.chmod(0o755)
    configured.follow(announce=[str(hook)])
    file = configured.xen1.path("/etc/xen/web01.cfg")
    file.write_text('name = "web01"\nmemory = 96\n')
    configured.xen1.path("/etc/xen/auto/web01").symlink_to("../web01.cfg")
    there = configured.xen2.path("/etc/xen/web01.cfg")
    # A different file is found beforehand, and never overwritten.
    there.write_text("# another one\n")
    run = configured.migrate(test=True)
    assert run.exit_code != 0 and "/etc/xen/web01.cfg" in run.comment(ROOM), run.report()
    there.unlink()
    run = configured.migrate()
    assert run.exit_code == 0, run.report()
    assert there.read_text() == 'name = "web01"\nmemory = 96\n'
    link = configured.xen2.path("/etc/xen/auto/web01")
    assert link.is_symlink() and link.resolve() == there.resolve()
    assert not file.exists() and not configured.xen1.path("/etc/xen/auto/web01").is_symlink()
    assert told.read_text() == "web01 web01\n"


@pytest.mark.parametrize("where", ["xen1", "xen2"])
def test_a_migration_restarts_no_xend_that_takes_guests_down_with_it(site, where):
    """Its first step applies the settings, and both hosts have still to be restarted for them."""
    guest = create(site)
    host = getattr(site, where)
    host.create_guest("db01", on_xend_stop="shutdown")
    other = host.wait_alive("db01")
    for test in (True, False):
        run = site.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == CONFIGURE, run.report()
        said = "\n".join(run.printed(10000))
        assert said.count("db01 (id %d) is shut down (on_xend_stop shutdown)" % other.domid) == 1, said
        assert "restart_accept" in said
        assert_unharmed(site, guest)
        now = host.guests()["db01"]
        assert now.alive and now.domid == other.domid


@pytest.mark.daemons
def test_bytes_of_any_kind_arrive_as_they_are(configured):
    """Of the guest's file, of its path and of its disks: UTF-8, characters that YAML alters, no text."""
    configured.follow()
    xen1, xen2 = configured.xen1, configured.xen2
    disk = "file:/srv/xen/Größe \x85\u2028€ \U0001f427.img,xvda,w"
    xen1.create_guest("web01", memory_mib=96, disks=[disk], args="Ångström ß")
    xen1.wait_alive("web01")
    data = b'name = "web01"\nmemory = 96\n# \xc3\x85ngstr\xc3\xb6m \xc3\x9f \xe4 '
    data += bytes(range(256)) + b"\n"
    name = "Größe \x85€ \U0001f427.cfg"
    paths = ["/etc/xen/" + name, "/etc/xen/auto/" + name]
    xen1.path(paths[0]).write_bytes(data)
    xen1.path(paths[1]).symlink_to("../" + name)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code == 0, run.report()
    assert xen2.path(paths[0]).read_bytes() == data
    assert xen2.path(paths[1]).resolve() == xen2.path(paths[0]).resolve()
    assert not xen1.path(paths[0]).exists() and not xen1.path(paths[1]).is_symlink()
    assert configured.where()["xen2"].alive


def test_a_path_that_cannot_be_told_is_refused_by_name(configured, guest):
    configured.follow()
    path = os.fsencode(configured.xen1.path("/etc/xen")) + b"/gr\xfcn"
    Path(os.fsdecode(path)).write_bytes(b'name = "web01"\nmemory = 96\n')
    run = configured.migrate(test=True)
    assert "/etc/xen/gr\\xfcn" in run.report(), run.report()
