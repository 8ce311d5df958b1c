"""Before, during and after a move: what is known beforehand is said, what happens meanwhile is survived."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.test_migrate import LEAVE, LOOK, ROOM, assert_unharmed
from tests.lab import salt_config


def create(site, **options):
    site.xen1.create_guest("web01", **options)
    return site.xen1.wait_alive("web01")


def local_disk(site):
    return create(site, disks=["file:/srv/local/web01.img,xvda,w"])


def other_storage(site):
    guest = local_disk(site)
    site.xen2.make_image("/srv/local/web01.img")
    return guest


def no_bridge(site):
    return create(site, vifs=["bridge=xenbr9"])


def fixed(site):
    return create(site, nomigrate=True)


def weaker_processor(site):
    site.xen2.path("/proc/cpuinfo").write_text(
        site.xen2.path("/proc/cpuinfo").read_text().replace("GenuineIntel", "AuthenticAMD")
    )
    return create(site)


@pytest.fixture
def cpuinfo(configured):
    path = configured.xen2.path("/proc/cpuinfo")
    before = path.read_text()
    yield
    path.write_text(before)
    configured.xen2.path("/srv/local/web01.img").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "prepare, step, said",
    [
        (local_disk, ROOM, "there is no /srv/local/web01.img"),
        (other_storage, ROOM, "/srv/local/web01.img"),
        (no_bridge, ROOM, "xenbr9"),
        (weaker_processor, ROOM, "accept: [cpu]"),
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


def test_two_runs_for_one_guest_exclude_each_other(configured, guest):
    configured.xen1.link(rate_mib_s=0.2)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: configured.migrate(), range(2)))
    assert 0 in [run.exit_code for run in runs], "\n\n".join(run.report() for run in runs)
    assert list(configured.where()) == ["xen2"] and configured.where()["xen2"].uuid == guest.uuid
    assert configured.xen2.wait_alive("web01")
    for run in runs:
        assert "is LOST" not in run.report()


def test_the_source_s_minion_dies_in_mid_migration(configured, guest, minions):
    """The migration goes on in xend; what is said is what the hosts hold."""
    configured.xen1.link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(configured.migrate)
        configured.xen1.wait_held(60)
        minions["xen1"].terminate()
        try:
            configured.xen1.release()
            run = running.result(200)
        finally:
            minions["xen1"].start()
    assert run.exit_code != 0, run.report()
    assert "its minion does not answer" in run.comment(LOOK)
    assert "do not start it on xen1" in run.comment(LOOK) or "start it nowhere" in run.report()
    assert configured.xen2.wait_alive("web01").uuid == guest.uuid
    assert list(configured.where()) == ["xen2"]
    later = configured.orchestrate("recover", {"xend": {"recover": {}}})
    assert later.exit_code == 0 and "nothing is left over" in later.steps, later.report()


def test_a_guest_s_file_and_link_follow_it_and_it_is_announced(configured, guest, tmp_path):
    told = tmp_path / "told"
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$1 $XEND_DOMAIN" > {told}\n')
    hook.chmod(0o755)
    pillar = salt_config.pillar(configured.fleet)
    pillar["xend"].update(follow=True, announce=[str(hook)])
    configured.set_pillar(pillar)
    for host in (configured.xen1, configured.xen2):
        host.path("/etc/xen/auto").mkdir(exist_ok=True)
    file = configured.xen1.path("/etc/xen/web01.cfg")
    file.write_text('name = "web01"\nmemory = 96\n')
    configured.xen1.path("/etc/xen/auto/web01").symlink_to("../web01.cfg")
    there = configured.xen2.path("/etc/xen/web01.cfg")
    try:
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
    finally:
        for host in (configured.xen1, configured.xen2):
            host.path("/etc/xen/auto/web01").unlink(missing_ok=True)
            host.path("/etc/xen/web01.cfg").unlink(missing_ok=True)


def test_a_migration_can_be_watched_with_the_documented_command(configured, guest, master):
    """`salt-run state.event`, as in the README."""
    (command,) = re.findall(r"^salt-run (state.event .*)$", readme(), re.MULTILINE)
    salt_run = Path(sys.executable).parent / "salt-run"
    shell = f"timeout 60 {salt_run} -c {master.config_dir} {command}"
    configured.xen1.link(rate_mib_s=0.2)
    with subprocess.Popen(
        ["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as watcher:
        try:
            # It has to be listening before there is something to hear.
            time.sleep(3)
            assert configured.migrate().exit_code == 0
            lines = [watcher.stdout.readline().strip()]
            while "running" not in lines[-1] and len(lines) < 40:
                lines.append(watcher.stdout.readline().strip())
        finally:
            watcher.terminate()
    assert all(line.startswith("web01 xen1 -> xen2: ") for line in lines), lines
    assert any("MiB/s" in line for line in lines) and "running" in lines[-1]


def readme():
    return (salt_config.REPO / "README.md").read_text()
