"""What migrations that broke have left over: found over the whole fleet, mended where that is safe."""

import pytest

from tests.harness.moves import during_transfer
from tests.lab import salt_config

LOST = "web01: incomplete"


def test_nothing_is_left_over(configured, guest):
    run = configured.recover()
    assert run.exit_code == 0, run.report()
    assert "no migration has left anything on xen1, xen2" in run.report()


def begin(site, hold_at):
    """A migration by hand, held when so much of the memory is sent."""
    site.xen1.link(hold_at=hold_at)
    moving = site.xen1.xm_start("migrate", "--live", "web01", site.xen2.address)
    site.xen1.wait_held()
    return moving


def go_on(site, moving):
    site.xen1.release()
    moving.communicate(timeout=300)
    if not site.xen1.running:
        assert site.xen1.start().returncode == 0


def test_a_guest_that_has_lost_its_name_gets_it_back(configured, guest):
    """By a restart of the source's xend, in the middle of a migration by hand."""
    moving = begin(configured, 0.5)
    configured.xen1.restart()
    go_on(configured, moving)
    told = configured.recover(test=True)
    assert told.exit_code == 0 and "migrating-web01" in told.report(), told.report()
    # What stands there is the sentence, not Salt's own words for a test.
    assert "web01 runs on, but its migration broke" in told.comment("web01: leftover")
    assert "testing" not in told.report()
    assert configured.where()["xen1"].xend_name == "migrating-web01"
    run = configured.recover()
    assert run.exit_code == 0 and "is called web01 again" in run.report(), run.report()
    # Of what was before only that is said, without advice that is over; then there is a second look.
    before = run.comment("web01: leftover")
    assert before.startswith("found before the steps above: ") and "`xm rename" not in before
    assert "no migration has left anything" in run.comment("what is there after these steps")
    now = configured.where()
    assert list(now) == ["xen1"] and now["xen1"].alive
    assert (now["xen1"].xend_name, now["xen1"].domid) == ("web01", guest.domid)
    assert "nothing is left over" in configured.recover().steps


def test_what_is_left_of_a_guest_that_has_moved_is_removed(configured, guest):
    """The source's xend dies when all is sent but the end; nobody destroys its copy then."""
    moving = begin(configured, 1.0)
    configured.xen1.kill_xend()
    go_on(configured, moving)
    arrived = configured.xen2.wait_alive("web01")
    assert configured.where()["xen1"].state == "suspended"
    told = configured.recover(test=True)
    assert "removed" in told.report() and list(configured.where()) == ["xen1", "xen2"]
    run = configured.recover()
    assert run.exit_code == 0, run.report()
    assert list(configured.where()) == ["xen2"]
    assert configured.where()["xen2"].alive and configured.where()["xen2"].domid == arrived.domid


def test_a_suspended_guest_goes_on_only_when_it_is_named(configured, guest):
    """It may have been started and stopped elsewhere since; only people know."""
    moving = begin(configured, 1.0)
    configured.xen1.kill_xend()
    configured.xen1.kill_xc_save()
    go_on(configured, moving)
    for options in ({}, {"resume": ["web02"]}):
        run = configured.recover(**options)
        assert run.exit_code != 0 and "does not run, but is whole" in run.report(), run.report()
        assert list(configured.where()) == ["xen1"]
        assert configured.where()["xen1"].state == "suspended"
    run = configured.recover(resume=["web01"])
    assert run.exit_code == 0, run.report()
    now = configured.where()["xen1"]
    assert now.alive and (now.xend_name, now.domid) == ("web01", guest.domid)


def test_the_dead_copy_of_a_lost_guest_is_removed_only_when_it_is_named(configured, guest):
    run = during_transfer(configured, configured.xen2.kill_xend_child, settle=6, safety_copy="off")
    assert run.exit_code != 0 and list(configured.where()) == ["xen2"]
    for options in ({}, {"remove_lost": ["web02"]}):
        run = configured.recover(**options)
        assert run.exit_code != 0 and LOST in run.steps, run.report()
        assert list(configured.where()) == ["xen2"]
    run = configured.recover(remove_lost=["web01"])
    assert run.exit_code == 0 and configured.where() == {}, run.report()


def lose_and_be_silent(site):
    """A guest of which its target has a dead copy, and cannot say so; its source has its memory."""
    site.xen2.link(hold_at=0.5)
    with site.meanwhile(site.salt, "xm.migrate", "web01", "xen2", target="xen1") as finish:
        site.xen2.wait_held()
        site.xen2.kill_xend_child()
        site.xen2.stop()
        site.xen2.release()
        finish()
    assert site.xen1.guests() == {}


def kept(site):
    """What is left of a guest that was sent; its description and its file stay."""
    found = [path.suffix for path in (site.xen1.root / "kept").glob("web01.*")]
    return sorted(suffix for suffix in found if suffix not in (".sxp", ".cfg"))


def test_while_its_target_is_silent_a_guest_is_brought_back_only_when_it_is_named(configured, guest):
    lose_and_be_silent(configured)
    for options in ({}, {"restore": ["web02"]}, {"test": True, "restore": ["web01"]}):
        run = configured.recover(**options)
        said = run.comment("web01: unknown")
        assert run.exit_code != 0 and "xen2 does not say what it holds" in said, run.report()
        assert "restore: [web01] of xend.orch.recover brings it back" in said
        assert kept(configured) == [".relay", ".save", ".sent"] and configured.xen1.guests() == {}
    run = configured.recover(restore=["web01"])
    assert "web01: restore web01 on xen1" in run.steps, run.report()
    assert "web01 was not moved: it was brought back on xen1 from its safety copy" in run.report()
    assert configured.xen1.wait_alive("web01").uuid == guest.uuid
    # What the target has is removed when it answers.
    assert configured.xen2.start().returncode == 0
    for _ in range(2):
        run = configured.recover()
        assert run.exit_code == 0, run.report()
    assert "nothing is left over" in run.steps, run.report()
    assert list(configured.where()) == ["xen1"] and kept(configured) == []


def test_a_guest_is_given_up_only_by_name_and_its_memory_with_it(configured, guest):
    lose_and_be_silent(configured)
    assert configured.xen2.start().returncode == 0
    run = configured.recover(test=True)
    assert "remove_lost: [web01]" in run.report() and kept(configured) == [".relay", ".save", ".sent"]
    told = configured.recover(test=True, remove_lost=["web01"]).comment("web01: kept")
    assert "its safety copy would be thrown away with the note" in told and "restores it" not in told
    assert kept(configured) == [".relay", ".save", ".sent"]
    run = configured.recover(remove_lost=["web01"])
    assert run.exit_code == 0, run.report()
    assert "its safety copy was thrown away with the note, as remove_lost wants it" in run.report()
    assert configured.where() == {} and kept(configured) == []


def test_the_dead_copy_of_a_guest_that_runs_elsewhere_is_removed(configured, guest):
    copy = configured.xen2.create_guest("web01", uuid=guest.uuid, paused=True)
    told = configured.recover(test=True)
    assert "removed" in told.report() and configured.where()["xen2"].domid == copy.domid
    run = configured.recover()
    assert run.exit_code == 0, run.report()
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].alive


def test_two_that_run_are_the_worst_and_nothing_is_done_to_them(configured, guest):
    configured.xen2.create_guest("web01", uuid=guest.uuid)
    run = configured.recover()
    assert run.exit_code != 0 and "TWO COPIES of web01 RUN" in run.report()
    assert all(found.alive for found in configured.where().values()) and len(configured.where()) == 2


def test_a_host_that_does_not_answer_keeps_others_from_being_mended(configured, guest):
    """It may hold the copy that runs."""
    guest = configured.xen1.guests()["web01"]
    configured.xen1.create_guest("db01")
    assert configured.xen1.xm_run("rename", "web01", "migrating-web01").returncode == 0
    configured.xen2.stop()
    for test in (True, False):
        run = configured.recover(test=test)
        assert run.exit_code != 0 and "some hosts do not answer" in run.failed(), run.report()
        said = run.comment("some hosts do not answer")
        assert "xend is down on xen2: start it with `salt xen2 state.apply xend.relocation`" in said
        assert "salt-minion" not in said and "testing" not in run.report()
    assert configured.xen1.guests()["migrating-web01"].domid == guest.domid
    assert configured.xen1.guests()["db01"].alive


@pytest.mark.slow_daemons
def test_a_minion_that_is_down_keeps_others_from_being_mended(configured, guest):
    copy = configured.xen2.create_guest("web01", uuid=guest.uuid, paused=True)
    with configured.without_minion("xen1"):
        run = configured.recover(hosts=["xen1", "xen2"])
    assert run.exit_code != 0 and "some hosts do not answer" in run.failed(), run.report()
    said = run.comment("some hosts do not answer")
    assert "minion xen1 does not answer" in said and "`service salt-minion start`" in said
    assert "LOST" not in run.report()
    assert configured.where()["xen1"].alive and configured.where()["xen2"].domid == copy.domid


def test_a_guest_that_was_moved_back_by_hand_is_not_called_lost_later(configured, guest):
    """The last look of a run has failed, so the note that it was sent has stayed."""
    assert "comment" in configured.salt("xm.migrate", "web01", "xen2", target="xen1")["xen1"]
    configured.xen2.wait_alive("web01")
    assert configured.xen2.xm_run("migrate", "web01", configured.xen1.address).returncode == 0
    configured.xen1.wait_alive("web01")
    told = configured.recover(test=True)
    assert told.exit_code == 0 and len(salt_config.notes(configured.xen1)) == 1, told.report()
    run = configured.recover()
    assert run.exit_code == 0 and salt_config.notes(configured.xen1) == [], run.report()
    assert configured.where()["xen1"].alive
    configured.xen1.clear()
    run = configured.recover()
    assert run.exit_code == 0 and "nothing is left over" in run.steps, run.report()


def test_options_that_make_no_sense(configured, guest):
    for options, said in (
        ({"remove_lost": True}, "remove_lost is no list"),
        ({"restore": "web01"}, "restore is no list"),
        (
            {"remove_lost": ["web01", "db"], "restore": ["db"]},
            "db is named by remove_lost and by restore",
        ),
        ({"hosts": "xen1"}, "hosts is no list"),
        ({"host": ["xen1"]}, "host is no option"),
    ):
        run = configured.recover(**options)
        assert run.exit_code != 0 and said in run.report() and "Nothing was done" in run.report()
