"""Hosts, or a master, that were not synced after an upgrade: said in words, and nothing moves before."""

import json
import shutil

import pytest

from tests.harness.loading import REPO
from tests.harness.moves import assert_unharmed
from tests.lab import lies

OWN, OTHER = "0.2.0", "0.1.9"
SYNCED = (
    *("runners/xend", "runners/xend_evacuation", "runners/xend_plan"),
    *("states/xend_orch", "utils/xend_version"),
)
MASTER = "this master has one version of Xend for Salt"
BOTH = "`salt-run saltutil.sync_all`, then `salt xen2 saltutil.sync_all`"


@pytest.fixture
def other_utilities(tmp_path):
    """The utilities of another version, in a folder."""
    folder = tmp_path / "utils"
    shutil.copytree(REPO / "_utils", folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "xend_version.py"
    text = path.read_text()
    assert text.count('VERSION = "%s"' % OWN) == 1
    path.write_text(text.replace('VERSION = "%s"' % OWN, 'VERSION = "%s"' % OTHER))
    return str(folder)


@pytest.fixture
def unsynced(conductor, other_utilities):
    """xen2 has the utilities of another version, as its loader finds them."""
    before = conductor.opts["xen2"]["utils_dirs"]
    conductor.opts["xen2"]["utils_dirs"] = [other_utilities]
    yield conductor
    conductor.opts["xen2"]["utils_dirs"] = before


@pytest.fixture
def runner(conductor):
    return conductor._runners()


@pytest.fixture
def shown(conductor):
    """A function that returns what a command shows people."""

    def show(function, *arguments, **keywords):
        conductor.master_opts["fun"] = function
        try:
            return conductor._runners()[function](*arguments, **keywords)["data"]
        finally:
            del conductor.master_opts["fun"]

    return show


def differ(other=OTHER):
    return "differ: %s on this master, xen1; %s on xen2. %s" % (OWN, other, BOTH)


@pytest.mark.parametrize("test", [True, False])
def test_nothing_moves_between_hosts_of_different_versions(configured, guest, unsynced, test):
    assert unsynced.call("xen2", "xend.ready")["modules"] == OTHER
    before = len(unsynced.questions("xen1"))
    run = configured.migrate(test=test)
    assert run.exit_code == 1
    report = run.report()
    assert "Nothing was moved. web01 is on xen1. The versions of Xend for Salt " + differ() in report
    assert_unharmed(configured, guest)
    asked = unsynced.questions("xen1")[before:]
    assert "xm.report" in asked and not [one for one in asked if one.startswith("state.")]


def test_a_host_that_does_not_say_its_version_has_an_older_one(configured, conductor, guest):
    lies.tell_all(configured.xen2, {"xm.report": {"drop": [["modules"]]}})
    run = configured.migrate()
    assert run.exit_code == 1 and differ("one before 0.2.0") in run.report()
    assert_unharmed(configured, guest)
    lies.be_honest(configured.xen2)
    assert configured.migrate().exit_code == 0


def test_no_host_is_emptied_or_filled_by_two_versions(configured, conductor, guest, other_utilities):
    usual = conductor.opts["xen2"]["utils_dirs"]
    conductor.opts["xen2"]["utils_dirs"] = [other_utilities]
    try:
        run = configured.evacuate()
        assert run.exit_code == 1 and "Nothing was moved. The versions" in run.report()
        assert differ() in run.report()
        assert_unharmed(configured, guest)
        assert not conductor.call("xen1", "xm.evacuation")["closed"]
        conductor.opts["xen2"]["utils_dirs"] = usual
        assert configured.evacuate().exit_code == 0
        conductor.opts["xen2"]["utils_dirs"] = [other_utilities]
        run = configured.restore()
        assert run.exit_code == 1 and "Nothing was done. The versions" in run.report()
        assert list(configured.where()) == ["xen2"]
        assert conductor.call("xen1", "xm.evacuation")["closed"]
    finally:
        conductor.opts["xen2"]["utils_dirs"] = usual
    assert configured.restore().exit_code == 0 and list(configured.where()) == ["xen1"]


def test_what_is_left_is_repaired_all_the_same(configured, guest, unsynced):
    """At three in the morning, nobody is kept from that."""
    guest = configured.xen1.create_guest("db01")
    assert configured.xen1.xm_run("rename", "db01", "migrating-db01").returncode == 0
    run = configured.recover(resume=["db01"])
    assert differ() in run.comment("not all hosts have the same version")
    assert run.exit_code == 0, run.report()
    assert configured.where("db01")["xen1"].uuid == guest.uuid


def test_the_table_and_its_data_tell_versions_that_differ(configured, unsynced, runner, shown):
    lines = shown("xend.matrix").splitlines()
    assert lines[-1].startswith("The versions of Xend for Salt " + differ())
    assert sum("differ" in line for line in lines) == 1
    data = runner["xend.matrix"]()
    assert [data[name]["modules"] for name in ("xen1", "xen2")] == [OWN, OTHER]
    assert data["xen1"]["wrong"] == data["xen2"]["wrong"] == [lines[-1]]
    assert json.loads(json.dumps(data)) == data


def test_a_fleet_of_one_version_is_silent_about_it(configured, conductor, runner, shown):
    assert "ersion" not in shown("xend.matrix")
    data = runner["xend.matrix"]()
    assert [(said["modules"], said["wrong"]) for said in data.values()] == [(OWN, [])] * 2


def test_a_plan_says_that_it_cannot_be_carried_out(configured, guest, unsynced, runner, shown):
    plan = runner["xend.plan"]("xen1")
    (wrong,) = plan["wrong"]
    assert differ() in wrong and plan["modules"] == {"xen1": OWN, "xen2": OTHER}
    assert shown("xend.plan", "xen1").splitlines()[-1] == wrong
    assert [one["target"] for one in plan["placements"]] == ["xen2"]


def test_a_master_with_an_older_runner_than_its_states(configured, conductor, guest, other_utilities):
    before = conductor._loaded_runners
    usual = conductor.master_opts["utils_dirs"]
    conductor.master_opts["utils_dirs"] = [other_utilities]
    try:
        conductor._loaded_runners = conductor._runners()
        for run in (configured.migrate(), configured.evacuate(), configured.restore()):
            assert run.exit_code == 1
            (said,) = [step["comment"] for name, step in run.steps.items() if name == MASTER]
            assert said.startswith("Nothing was done. The runner on this master is of %s, " % OTHER)
            assert "`salt-run saltutil.sync_all`" in said and OWN in said
        assert_unharmed(configured, guest)
        run = configured.recover()
        assert run.exit_code == 0, run.report()
        assert run.comment(MASTER).startswith("The runner on this master is of %s, " % OTHER)
        assert "no migration has left anything" in run.report()
    finally:
        conductor.master_opts["utils_dirs"] = usual
        conductor._loaded_runners = before


@pytest.fixture
def synced(conductor, tmp_path):
    """A function that puts what the SLS look for into the folder of what this master has synced."""

    def put(others):
        for name in SYNCED:
            path = tmp_path / "extmods" / (name + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            own = (REPO / ("_" + name + ".py")).read_text()
            assert own.count('VERSION = "%s"' % OWN) == 1
            path.write_text(own.replace('VERSION = "%s"' % OWN, "") if name in others else own)

    before = conductor.master_opts["extension_modules"]
    conductor.master_opts["extension_modules"] = str(tmp_path / "extmods")
    yield put
    conductor.master_opts["extension_modules"] = before


@pytest.mark.parametrize(
    "others, test", [(SYNCED, True), (SYNCED[:3], False), (SYNCED[3:4], True), (SYNCED[4:], False)]
)
def test_a_master_to_which_some_was_synced_before_an_update(configured, guest, synced, others, test):
    """By states of Salt, as those of another version may not know these words."""
    synced(others)
    for run in (configured.migrate(test=test), configured.evacuate(test=test), configured.restore(test=test)):
        assert run.exit_code == 1 and list(run.steps) == [MASTER]
        said = run.comment(MASTER)
        assert said.startswith("Nothing was done. What was synced to this master is of another version (")
        assert ", ".join(others) in said and "`salt-run saltutil.sync_all`" in said and OWN in said
        assert [state.split("_|-")[0] for state in run.returned] == ["test"]
    assert_unharmed(configured, guest)
    run = configured.recover(test=test)
    assert run.exit_code == 0, run.report()
    assert run.comment(MASTER).startswith("What was synced to this master is of another version (")
    assert "no migration has left anything" in run.report()
    synced(())
    assert configured.migrate(test=test).exit_code == 0
