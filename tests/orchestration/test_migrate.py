"""The orchestration that moves a guest: it moves, or it says where the guest is and what to do."""

import re

import pytest

from tests.faults import truth
from tests.harness.moves import (
    ARRIVE,
    CAN_BE,
    CONFIGURE,
    LEAVE,
    LOOK,
    ROOM,
    SEND,
    assert_unharmed,
    during_transfer,
    moved_intact,
)
from tests.harness.site import CONFIGS
from tests.lab import salt_config


@pytest.mark.daemons
@pytest.mark.parametrize("live", [True, False])
def test_a_guest_moves_with_its_memory(configured, guest, live):
    run = configured.migrate(live=live)
    assert run.exit_code == 0 and run.failed() == [], run.report()
    assert list(configured.where()) == ["xen2"]
    assert configured.where()["xen2"].alive and configured.where()["xen2"].uuid == guest.uuid
    assert moved_intact(configured.xen1, configured.xen2, guest.uuid)
    assert "web01 runs on xen2" in run.comment(ARRIVE)
    assert "there is no copy on xen1" in run.comment(ARRIVE)


def test_hosts_that_were_never_configured_are_configured_first(site):
    guest = site.xen1.create_guest("web01")
    run = site.migrate()
    assert run.exit_code == 0, run.report()
    assert list(site.where()) == ["xen2"] and site.where()["xen2"].uuid == guest.uuid
    assert site.salt("xend.relocation", target="xen2")["xen2"]["server"] is True


def test_a_second_run_changes_nothing(configured, guest):
    assert configured.migrate().exit_code == 0
    before = configured.where()["xen2"]
    run = configured.migrate()
    assert run.exit_code == 0 and run.failed() == []
    assert not any(step["changes"] for step in run.steps.values())
    assert "web01 runs on xen2" in run.comment(LOOK)
    assert configured.where()["xen2"].domid == before.domid


def test_there_and_back(configured, guest):
    assert configured.migrate().exit_code == 0
    run = configured.migrate(source="xen2", target="xen1")
    assert run.exit_code == 0, run.report()
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].uuid == guest.uuid


@pytest.mark.daemons
def test_dry_run_checks_all_and_moves_nothing(configured, guest):
    run = configured.migrate(test=True)
    assert run.exit_code == 0, run.report()
    assert run.steps[SEND]["result"] is None
    assert "would be moved to xen2" in run.comment(SEND)
    assert run.steps[CAN_BE]["result"] is None and "Nothing is in the way" in run.comment(CAN_BE)
    assert_unharmed(configured, guest)


def test_clocks_agree_however_slow_the_hosts_are(configured, guest):
    """All hosts of the lab have one clock: what passes between the question and the check is no skew."""
    slow = {host: host.xm.with_name("xm.fast") for host in (configured.xen1, configured.xen2)}
    for host, fast in slow.items():
        host.xm.rename(fast)
        host.xm.write_text('#!/bin/sh\nsleep 1.5\nexec %s "$@"\n' % fast)
        host.xm.chmod(0o755)
    try:
        run = configured.migrate(test=True)
    finally:
        for host, fast in slow.items():
            fast.rename(host.xm)
    assert run.exit_code == 0, run.report()
    assert "the clock of" not in run.report(), run.report()


def test_dry_run_on_hosts_that_are_still_to_be_configured(site):
    guest = site.xen1.create_guest("web01")
    run = site.migrate(test=True)
    assert run.exit_code == 0, run.report()
    assert run.steps[CONFIGURE]["result"] is None and run.steps[SEND]["result"] is None
    assert "was not asked" in run.comment(SEND)
    assert run.comment(CAN_BE).endswith("lets xen1 in was not asked, as its settings are still to be applied")
    assert_unharmed(site, guest)
    assert site.xen2.config.read_text() == CONFIGS["xen2"]


def sent_live(host, domid):
    """Whether the simulated xend sent this domain live, from the last line of its log about it."""
    found = re.findall(r"xc_save \d+ %d 0 0 (\d+)$" % domid, host.log.read_text(), re.MULTILINE)
    return {"0": False, "1": True}[found[-1]]


def test_options_reach_xm(configured, guest):
    pillar_port = configured.salt("xend.relocation", target="xen2")["xen2"]["port"]
    run = configured.migrate(port=pillar_port, live=False)
    assert run.exit_code == 0, run.report()
    assert sent_live(configured.xen1, guest.domid) is False
    domid = configured.where()["xen2"].domid
    assert configured.migrate(source="xen2", target="xen1", live=True).exit_code == 0
    assert sent_live(configured.xen2, domid) is True
    assert configured.migrate().exit_code == 0
    run = configured.migrate(source="xen2", target="xen1", port=8099)
    assert run.exit_code != 0
    assert f"{configured.xen1.address}:8099" in run.report()
    assert list(configured.where()) == ["xen2"]


# What can be known beforehand: found by test=True as well, nothing moved.


def target_rejects(site):
    """The running xend of the target has another list than its file (and is not to be restarted)."""
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["restart"] = False
    site.set_pillar(pillar)
    text = site.xen2.config.read_text()
    site.xen2.config.write_text(
        "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost$')\n"
    )
    site.xen2.restart()
    site.xen2.config.write_text(text)


def guest_paused(site):
    assert site.xen1.xm_run("pause", "web01").returncode == 0


def name_taken(site):
    site.xen2.create_guest("web01", paused=True)


def no_memory(site):
    free = site.salt("xm.info", target="xen2")["xen2"]["free_memory"]
    site.xen2.create_guest("filler", memory_mib=free - 50, paused=True)


def test_target_rejects(configured, guest):
    target_rejects(configured)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == LEAVE, run.report()
        if test:
            last = run.steps[CAN_BE]
            assert last["result"] is False and "does not let this host in" in last["comment"]
        assert "does not let this host in" in run.comment(LEAVE)
        assert "xen1" in run.comment(LEAVE) and "untouched" in run.comment(LEAVE)
        assert_unharmed(configured, guest)


def test_target_refuses_the_connection(configured, guest):
    """Nothing listens at the port that the operator names."""
    run = configured.migrate(port=8099)
    assert run.exit_code != 0 and run.failed()[0] == LEAVE, run.report()
    assert "nothing listens" in run.comment(LEAVE) and "untouched" in run.comment(LEAVE)
    assert_unharmed(configured, guest)


def test_guest_unknown(configured, guest):
    for test in (True, False):
        run = configured.migrate(domain="web02", test=test)
        assert run.exit_code != 0 and run.failed() == ["web02 is on xen1"], run.report()
        (said,) = run.said()
        assert said.startswith("Nothing was moved: no host has a guest of the name web02 (xen1, xen2)")
        assert said.endswith("did you mean web01 (on xen1)?")
    assert_unharmed(configured, guest)


def test_guest_paused(configured, guest):
    guest_paused(configured)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == LEAVE, run.report()
        assert "--p---" in run.comment(LEAVE) and "untouched" in run.comment(LEAVE)
        last = run.comment(LOOK if not test else LEAVE)
        assert "`xm unpause web01` on xen1" in last and "letter s" not in run.report()
        now = configured.where()
        assert list(now) == ["xen1"] and now["xen1"].state == "paused"


def test_guest_name_taken_on_the_target(configured, guest):
    name_taken(configured)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == ROOM, run.report()
        assert "name web01 is in use" in run.comment(ROOM) and "untouched" in run.comment(ROOM)
        # Nobody has tried.
        assert SEND not in run.failed()
        assert configured.where()["xen1"].alive and configured.where()["xen2"].state == "paused"


def test_target_lacks_memory(configured, guest):
    no_memory(configured)
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code != 0 and run.failed()[0] == ROOM, run.report()
        assert "97 MiB are needed" in run.comment(ROOM) and "untouched" in run.comment(ROOM)
        # Nobody has tried.
        assert SEND not in run.failed()
        assert_unharmed(configured, guest)


@pytest.mark.parametrize(
    "pillar, said",
    [
        ({}, "does not say what to move. Say it like this: `salt-run state.orchestrate xend.orch.migrate"),
        ({"domain": "web01", "source": "xen1"}, "target is missing"),
        ({"domain": "web01", "source": "xen1", "target": "xen1"}, "same host"),
        ({"domain": "web01", "source": "xen1", "target": "xen2", "lief": False}, "lief"),
    ],
)
def test_a_pillar_that_says_too_little_or_too_much(site, pillar, said):
    run = site.orchestrate("migrate", {"xend": {"migrate": pillar}})
    assert run.exit_code != 0
    assert said in str(run.steps) and "Nothing was moved" in str(run.steps)


def test_hosts_that_are_configured_are_not_configured_again(configured, guest):
    run = configured.migrate()
    assert run.ok, run.report()
    assert CONFIGURE not in run.steps
    assert configured.xen2.wait_alive("web01").uuid == guest.uuid


def test_a_host_that_cannot_be_configured(configured, guest):
    text = configured.xen2.config.read_text()
    configured.xen2.config.write_text(text + "(xend-relocation-port 8002\n")
    run = configured.migrate()
    assert run.exit_code != 0 and run.failed()[0] == CONFIGURE, run.report()
    assert "never closed" in run.comment(CONFIGURE)
    # xm itself would read that file first; the xend that runs can be asked all the same.
    assert "web01 runs unharmed on xen1" in run.comment(LOOK)
    configured.xen2.config.write_text(text)
    assert_unharmed(configured, guest)


@pytest.mark.daemons
def test_a_host_that_does_not_answer(configured, guest):
    for test in (True, False):
        run = configured.migrate(target="xen9", test=test)
        assert run.exit_code != 0 and run.failed() == ["xen1 and xen9 answer"], run.report()
        said = run.comment("xen1 and xen9 answer")
        assert "xen9 (its minion does not answer)" in said and "web01 is on xen1" in said
        # It is none of the fleet, which says more than that it is down.
        assert "none of the hosts in the pillar xend:relocation:hosts (xen1, xen2)" in said
        assert "xend:migrate" not in said
    assert_unharmed(configured, guest)


@pytest.mark.daemons
def test_a_minion_that_is_down_is_to_be_started(configured, guest):
    with configured.without_minion("xen2"):
        run = configured.migrate()
    assert run.exit_code != 0 and run.failed() == ["xen1 and xen2 answer"], run.report()
    said = run.comment("xen1 and xen2 answer")
    assert "Nothing was moved" in said and "web01 is on xen1" in said
    assert "minion xen2 does not answer" in said and "`service salt-minion start`" in said
    assert "xend:migrate" not in said
    assert_unharmed(configured, guest)


def test_a_second_run_is_told_of_the_one_that_goes_on(configured, guest):
    configured.xen1.link(hold_at=0.5)
    try:
        moving = configured.xen1.xm_start("migrate", "--live", "web01", configured.xen2.address)
        configured.xen1.wait_held()
        for source, target in (("xen1", "xen2"), ("xen2", "xen1")):
            run = configured.migrate(source=source, target=target, test=True)
            assert run.exit_code != 0, run.report()
            assert "a migration of" in run.report() and "from xen1 to xen2" in run.report()
            assert "Wait until that is over" in run.report()
            assert "no domain of that name" not in run.report()
            assert "`xm unpause" not in run.report() and "untouched" not in run.report()
    finally:
        configured.xen1.release()
    moving.communicate(timeout=300)
    assert configured.xen2.wait_alive("web01").uuid == guest.uuid


# What cannot be known beforehand.


@pytest.mark.parametrize(
    "fault, relay, said",
    [
        ("refuse", False, "Connection refused"),
        ("no-route", False, "No route to host"),
        # The simulated network can do no more to a relay than reset its connection.
        ("refuse", True, "can't connect: [Errno "),
        ("reset", True, "[Errno "),
    ],
)
def test_the_network_fails_between_the_check_and_the_transfer(configured, guest, fault, relay, said):
    configured.xen2.fault(fault)
    run = configured.migrate(relay=relay)
    assert run.exit_code != 0 and run.failed()[0] in (LEAVE, SEND), run.report()
    assert said in run.report() or "does not let this host in" in run.report()
    assert "web01 runs unharmed on xen1" in run.comment(LOOK)
    assert_unharmed(configured, guest)


def test_connection_broken_in_mid_transfer(configured, guest):
    run = during_transfer(configured, configured.xen2.kill_xc_restore)
    assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
    assert "xc_restore" in run.comment(SEND)
    assert "web01 runs unharmed on xen1" in run.comment(SEND)
    assert "web01 runs unharmed on xen1" in run.comment(LOOK)
    assert "there is no copy on xen2" in run.comment(LOOK)
    assert_unharmed(configured, guest)
    # And it can simply be done again.
    assert configured.migrate().exit_code == 0


@pytest.mark.daemons
@pytest.mark.parametrize("live", [True, False])
def test_a_guest_that_the_target_s_xend_loses_is_brought_back_on_its_source(configured, guest, live):
    """xm exits 0, the source destroys its copy, and the target's stays --p--- for ever."""
    run = during_transfer(configured, configured.xen2.kill_xend_child, settle=6, live=live)
    assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
    assert "LOST" not in run.report() and "has never run (state --p---)" in run.comment(LOOK)
    said = run.comment(LOOK)
    assert "web01 was not moved: it was brought back on xen1 from its safety copy, after about " in said
    assert "xend on xen2 has closed the connection without a word, as it does when it dies" in said
    assert list(configured.where()) == ["xen1"]
    # One that is sent live writes its memory meanwhile; whether each page is right, the hypervisors tell.
    now = configured.xen1.wait_alive("web01")
    assert now.uuid == guest.uuid and (live or now.memory_sha256 == guest.memory_sha256)
    assert truth.crimes(truth.history([configured.xen1, configured.xen2], guest.uuid)) == []
    assert left_over(configured.xen1) == []
    assert configured.migrate().exit_code == 0


def left_over(host):
    kept = [path.name for path in (host.root / "kept").iterdir()]
    return [name for name in kept if name.endswith((".sent", ".relay", ".save", ".new"))]


@pytest.mark.daemons
def test_target_xend_killed_in_mid_transfer_loses_a_guest_without_a_copy_and_says_so(configured, guest):
    run = during_transfer(configured, configured.xen2.kill_xend_child, settle=6, safety_copy="off")
    # What the two hosts really hold …
    assert list(configured.where()) == ["xen2"]
    left = configured.where()["xen2"]
    assert left.state == "paused" and not left.alive
    # … is what the report says.
    assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
    said = run.comment(LOOK)
    assert "LOST" in said and "there is no copy on xen1" in said
    assert "--p---" in said and "Do not unpause" in said
    assert "somebody created" not in run.report()
    # What is needed to start it again.
    assert guest.uuid in said and "xm create" in said and "xm destroy web01" in said
    kept = configured.xen1.root / "kept" / f"web01.{guest.uuid}.sxp"
    assert str(kept) in said
    assert f"(uuid {guest.uuid})" in kept.read_text() and "(name web01)" in kept.read_text()


@pytest.mark.parametrize("safety_copy", ["auto", "off"])
def test_a_disk_that_goes_after_the_checks(configured, safety_copy):
    configured.xen1.create_guest("web01", disks=["file:/srv/web01.img,xvda,w"])
    guest = configured.xen1.wait_alive("web01")
    configured.xen2.fault("disk-missing")
    run = configured.migrate(settle=6, safety_copy=safety_copy)
    assert run.exit_code != 0 and run.failed()[0] in (SEND, ARRIVE), run.report()
    said = run.comment(LOOK)
    assert "xend on xen2 has said why it could not complete it: " in said or safety_copy == "off"
    if safety_copy == "auto":
        assert "it was brought back on xen1" in said and "LOST" not in run.report()
        assert configured.xen1.wait_alive("web01").uuid == guest.uuid
        assert truth.crimes(truth.history([configured.xen1, configured.xen2], guest.uuid)) == []
        assert list(configured.where()) == ["xen1"] and left_over(configured.xen1) == []
        return
    assert configured.where() == {}
    assert "LOST" in said and "no copy on xen1" in said and "no copy on xen2" in said
    assert "file:/srv/web01.img" in said and "xm create" in said


def test_source_xend_restarted_in_mid_transfer(configured, guest):
    run = during_transfer(configured, lambda: configured.xen1.restart())
    assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
    assert "migrating-web01" in run.comment(SEND)
    # What is safe is mended at once: it gets its name back.
    assert "is called web01 again" in run.comment(LOOK)
    now = configured.where()
    assert list(now) == ["xen1"] and now["xen1"].alive and now["xen1"].xend_name == "web01"


def test_a_transfer_that_takes_too_long_is_reported_as_going_on(configured, guest):
    """Killing xm does not stop a migration; so nobody may believe that it has stopped."""
    configured.xen1.link(hold_at=0.5)
    try:
        # Long enough for xm to have asked xend, or nothing would go on without it.
        run = configured.migrate(timeout=8)
        assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
        assert "goes on" in run.comment(SEND) and "migrating-web01" in run.comment(SEND)
        assert "the migration of web01 goes on" in run.comment(LOOK)
        assert "it is being received on xen2" in run.comment(LOOK)
    finally:
        configured.xen1.release()
    assert configured.xen2.wait_alive("web01").uuid == guest.uuid
