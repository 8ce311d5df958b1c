"""What hosts with an old minion do for a master of today: the same, and in the same words, as any other."""

import re
import shutil

import pytest
import salt.utils.event
import salt.version

from tests.faults import truth
from tests.harness.moves import LOOK, ROOM, SEND, during_transfer, moved_intact
from tests.lab import salt_config
from tests.old_minion.conftest import name_of
from tests.old_minion.site import assert_said_well
from tests.tools.old_salts import SALTS

CONFIG, APPLIED = "xend-relocation-config", "xend-relocation-applied"
# What no two runs of the same have in common: which number a domain has, whether it works just now, and how
# long something took.
CHANCE = re.compile(r"\b(id|domid|domain) \d+|\(state [r-][b-]----\)|\b[\d.]+ (s|seconds|MiB/s)\b")
FAILED = "requisite failed: "
# Against hanging only.
EVENT_S = 600


def old_minions(site, old_salt):
    found = site.salt("grains.get", "saltversion")
    return sorted(name for name, version in found.items() if version == old_salt.version)


def test_a_sync_returns_all_that_a_minion_runs(configured, old_salt):
    names = old_minions(configured, old_salt)
    assert names == ["xen1", "xen2"]
    for name in names:
        shutil.rmtree(configured.cache_of(name) / "extmods")
    wanted = {
        kind: sorted(kind + "." + path.stem for path in (salt_config.REPO / ("_" + kind)).glob("*.py"))
        for kind in ("modules", "states", "utils")
    }
    for name, synced in configured.salt("saltutil.sync_all").items():
        if name in names:
            assert {kind: sorted(synced[kind]) for kind in wanted} == wanted, name


def test_highstate_tells_what_it_would_do_does_it_and_then_nothing(site):
    def applied(**keywords):
        found = site.states("state.highstate", **keywords)
        for states in found.values():
            assert isinstance(states, dict), states
            assert set(states) == {CONFIG, APPLIED}, states
            assert_said_well(str([state["comment"] for state in states.values()]))
        return [(name, found[name][CONFIG], found[name][APPLIED]) for name in found]

    before = {host.name: host.config.read_bytes() for host in site.fleet}
    pids = {host.name: host.pids() for host in site.fleet}
    for name, config, running in applied(test=True):
        assert config["result"] is None and running["result"] is None
        assert "+(xend-relocation-address %s)" % site.fleet[name].address in config["changes"]["diff"]
        assert "would be restarted" in running["comment"]
    assert before == {host.name: host.config.read_bytes() for host in site.fleet}
    assert pids == {host.name: host.pids() for host in site.fleet}
    for _name, config, running in applied():
        assert config["result"] is True and running["result"] is True and config["changes"]
    assert not [host.name for host in site.fleet if pids[host.name] == host.pids()]
    done = {host.name: (host.config.stat().st_ino, host.pids()) for host in site.fleet}
    for _name, config, running in applied():
        assert config["result"] is True and running["result"] is True
        assert config["changes"] == {} and running["changes"] == {}
    assert done == {host.name: (host.config.stat().st_ino, host.pids()) for host in site.fleet}
    results = {
        name: {peer: answer["result"] for peer, answer in answers.items()}
        for name, answers in site.salt("xend.probe").items()
    }
    names = {host.name for host in site.fleet}
    assert results == {name: dict.fromkeys(names - {name}, "accepted") for name in names}
    elsewhere = site.salt("xend.probe", site.xen2.address, target="xen1", source="127.0.0.1")
    assert elsewhere["xen1"]["result"] == "rejected"


def test_a_guest_goes_there_and_back_and_events_tell_of_it(configured, guest):
    run = configured.migrate(test=True)
    assert run.exit_code == 0 and run.steps[SEND]["result"] is None, run.report()
    configured.xen1.link(speed_mib_s=80)
    opts = configured.master.config
    with salt.utils.event.get_event(
        "master", sock_dir=opts["sock_dir"], opts=opts, listen=True
    ) as bus:
        run = configured.migrate()
        assert run.exit_code == 0 and run.failed() == [], run.report()
        assert_said_well(run.report())
        told = []
        while not told or told[-1]["phase"] != "running":
            event = bus.get_event(wait=EVENT_S, tag="xend/migrate/web01", full=True)
            assert event, told
            told.append(event["data"]["data"])
    assert {"sending", "suspended", "sent"} <= {event["phase"] for event in told}
    assert {(event["uuid"], event["source"], event["target"]) for event in told} == {
        (guest.uuid, "xen1", "xen2")
    }
    figures = [event["percent"] or 0 for event in told]
    assert figures == sorted(figures) and figures[-1] > 0, figures
    assert list(configured.where()) == ["xen2"] and configured.where()["xen2"].alive
    assert moved_intact(configured.xen1, configured.xen2, guest.uuid)
    run = configured.migrate(source="xen2", target="xen1")
    assert run.exit_code == 0, run.report()
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].uuid == guest.uuid
    assert moved_intact(configured.xen2, configured.xen1, guest.uuid)
    assert_said_well(run.report())


@pytest.mark.parametrize("old_salt", SALTS[1:], ids=name_of, indirect=True)
def test_a_guest_goes_to_a_host_with_a_minion_of_today_and_back(configured, guest):
    today = configured.fleet["xen3"]
    assert configured.salt("grains.get", "saltversion", target="xen3") == {"xen3": salt.version.__version__}
    for source, target in ((configured.xen1, today), (today, configured.xen1)):
        run = configured.migrate(source=source.name, target=target.name)
        assert run.exit_code == 0, run.report()
        assert list(configured.where()) == [target.name] and configured.where()[target.name].alive
        assert moved_intact(source, target, guest.uuid)


# What a minion of today says of the same.


def refused(site):
    """Whatever can be known beforehand is wrong."""
    site.xen1.create_guest("web01", memory_mib=96, disks=["file:/srv/local/web01.img,xvda,w"], nomigrate=True)
    site.xen1.wait_alive("web01")
    site.xen1.xm_run("pause", "web01")
    site.xen2.create_guest("web01", paused=True)
    return site.migrate(test=True)


def lost(site):
    site.xen1.create_guest("web01", memory_mib=96)
    site.xen1.wait_alive("web01")
    return during_transfer(site, site.xen2.kill_xend_child, settle=6, safety_copy="off")


def words(site, run):
    """What a run says, {step: text}, without what no two runs have in common."""
    names = {host.address: host.name for host in site.fleet}
    names.update({copy.uuid: "UUID" for copy in site.where().values()}, **{str(site.fleet.root): "ROOT"})
    found = {}
    for step in run.steps:
        text = run.comment(step)
        for here, everywhere in names.items():
            text = text.replace(here, everywhere)
        before, failed, names_of_steps = text.partition(FAILED)
        # Salt names them in any order.
        text = before + failed + ", ".join(sorted(names_of_steps.split(", ")))
        found[step] = CHANCE.sub("…", text)
    return found


@pytest.mark.parametrize(
    "failure, step, said",
    [
        (refused, ROOM, "name web01 is in use"),
        (lost, LOOK, "LOST"),
    ],
)
def test_a_failure_is_told_as_by_a_minion_of_today(configured, conducted_site, failure, step, said):
    conducted_site.tidy()
    conducted_site.configure()
    run = failure(configured)
    assert run.exit_code != 0 and said in run.comment(step), run.report()
    here, today = words(configured, run), words(conducted_site, failure(conducted_site))
    assert list(here) == list(today)
    for name in here:
        assert here[name] == today[name], "%s says:\n%s\nbut today:\n%s" % (name, here[name], today[name])
    assert_said_well(run.report())


def test_a_guest_that_is_lost_is_brought_back_from_its_safety_copy(configured, guest):
    run = during_transfer(configured, configured.xen2.kill_xend_child, settle=6)
    assert run.exit_code != 0 and run.failed()[0] == SEND, run.report()
    said = run.comment(LOOK)
    assert "web01 was not moved: it was brought back on xen1 from its safety copy" in said
    assert list(configured.where()) == ["xen1"]
    assert configured.xen1.wait_alive("web01").uuid == guest.uuid
    assert truth.crimes(truth.history(list(configured.fleet), guest.uuid)) == []
    assert_said_well(run.report())
    after = configured.recover()
    assert after.exit_code == 0 and "nothing is left over" in after.steps, after.report()


def test_recover_gives_a_guest_its_name_back(configured, guest):
    configured.xen1.link(hold_at=0.5)
    moving = configured.xen1.xm_start("migrate", "--live", "web01", configured.xen2.address)
    configured.xen1.wait_held()
    configured.xen1.restart()
    configured.xen1.release()
    moving.communicate(timeout=EVENT_S)
    told = configured.recover(test=True)
    assert told.exit_code == 0 and "migrating-web01" in told.report(), told.report()
    run = configured.recover()
    assert run.exit_code == 0 and "is called web01 again" in run.report(), run.report()
    assert "no migration has left anything" in run.comment("what is there after these steps")
    now = configured.where()
    assert list(now) == ["xen1"] and now["xen1"].alive
    assert (now["xen1"].xend_name, now["xen1"].domid) == ("web01", guest.domid)
    assert_said_well(told.report() + run.report())
