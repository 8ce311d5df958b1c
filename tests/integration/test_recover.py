"""What migrations that broke have left over: found over the whole fleet, mended where that is safe."""

from tests.integration.test_migrate import during_transfer

LOST = "web01: incomplete"


def recover(site, test=False, **options):
    return site.orchestrate("recover", {"xend": {"recover": options}}, test=test)


def test_nothing_is_left_over(configured, guest):
    run = recover(configured)
    assert run.exit_code == 0, run.report()
    assert "no migration has left anything on xen1, xen2" in run.report()


def test_a_guest_that_has_lost_its_name_gets_it_back(configured, guest):
    """As after `xend restart` on the source, in the middle of a migration by hand."""
    assert configured.xen1.xm_run("rename", "web01", "migrating-web01").returncode == 0
    told = recover(configured, test=True)
    assert told.exit_code == 0 and "migrating-web01" in told.report(), told.report()
    assert list(configured.xen1.guests()) == ["migrating-web01"]
    run = recover(configured)
    assert run.exit_code == 0 and "is called web01 again" in run.report(), run.report()
    assert configured.where()["xen1"].alive and configured.where()["xen1"].domid == guest.domid
    assert "nothing is left over" in recover(configured).steps


def test_the_dead_copy_of_a_lost_guest_is_removed_only_when_it_is_named(configured, guest):
    run = during_transfer(configured, configured.xen2.kill_xend_child, settle=6)
    assert run.exit_code != 0 and list(configured.where()) == ["xen2"]
    for options in ({}, {"remove_lost": ["web02"]}):
        run = recover(configured, **options)
        assert run.exit_code != 0 and LOST in run.steps, run.report()
        assert list(configured.where()) == ["xen2"]
    run = recover(configured, remove_lost=["web01"])
    assert run.exit_code == 0 and configured.where() == {}, run.report()


def test_the_dead_copy_of_a_guest_that_runs_elsewhere_is_removed(configured, guest):
    copy = configured.xen2.create_guest("web01", uuid=guest.uuid, paused=True)
    told = recover(configured, test=True)
    assert "removed" in told.report() and configured.where()["xen2"].domid == copy.domid
    run = recover(configured)
    assert run.exit_code == 0, run.report()
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].alive


def test_two_that_run_are_the_worst_and_nothing_is_done_to_them(configured, guest):
    configured.xen2.create_guest("web01", uuid=guest.uuid)
    run = recover(configured)
    assert run.exit_code != 0 and "TWO COPIES of web01 RUN" in run.report()
    assert all(found.alive for found in configured.where().values()) and len(configured.where()) == 2


def test_a_host_that_does_not_answer_keeps_others_from_being_mended(configured, guest):
    """It may hold the copy that runs."""
    guest = configured.xen1.guests()["web01"]
    configured.xen1.create_guest("db01")
    assert configured.xen1.xm_run("rename", "web01", "migrating-web01").returncode == 0
    configured.xen2.stop()
    run = recover(configured)
    assert run.exit_code != 0 and "xen2" in run.report(), run.report()
    assert configured.xen1.guests()["migrating-web01"].domid == guest.domid
    assert configured.xen1.guests()["db01"].alive


def test_options_that_make_no_sense(configured, guest):
    for options, said in (
        ({"remove_lost": True}, "remove_lost is no list"),
        ({"hosts": "xen1"}, "hosts is no list"),
        ({"host": ["xen1"]}, "host is no option"),
    ):
        run = recover(configured, **options)
        assert run.exit_code != 0 and said in run.report() and "Nothing was done" in run.report()
