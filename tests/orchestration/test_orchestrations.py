"""What orchestrations make of things that the campaign does not do: the real SLS, by the conductor."""

import re
import threading
import time
from pathlib import Path

import pytest

from tests.harness.leftovers import running
from tests.lab import lies, salt_config
from tests.lab.layout import wait_until

# Against hanging only.
LIMIT_S = 300


def recover(conductor, test=False, **options):
    return conductor.orchestrate("xend.orch.recover", {"xend": {"recover": options}}, test)


def events(host, guest):
    return [entry["event"] for entry in host.journal() if entry["uuid"] == guest.uuid]


def held(source, migrate, part, **options):
    """A migration of web01 that stands still after this part of the memory, in a process of its own."""
    source.link(hold_at=part)
    run = migrate("web01", start=True, **options)
    source.wait_held(180)
    return run


def test_a_guest_that_has_run_on_the_target_is_never_resumed_on_its_source(conductor, migrate):
    """The source's xend dies with the guest suspended; the guest arrives, and is shut down there."""
    xen1, xen2 = conductor.fleet
    guest = running(xen1, "web01")
    run = held(xen1, migrate, 1.0)
    xen1.kill_xend_child()
    xen1.release()
    xen2.wait_alive("web01")
    xen2.destroy_guest("web01")
    said = conductor.finish(run)
    assert not said.ok and "resumed" not in events(xen1, guest)
    (left,) = xen1.guests().values()
    assert not left.alive and "If it has not run on" in "\n".join(said.said())
    # The operator has looked, and says so.
    again = recover(conductor, resume=["web01"], hosts=["xen1", "xen2"])
    assert again.ok and "resumed" in events(xen1, guest), again.said()


def suspended_beside_a_dead_copy(xen1, xen2):
    """web01, on xen1 and on xen2, after both xends have died when all was sent but the end."""
    running(xen1, "web01")
    xen1.link(hold_at=1.0)
    sender = threading.Thread(target=xen1.xm_run, args=("migrate", "--live", "web01", xen2.address))
    sender.start()
    xen1.wait_held(600)
    xen1.kill_xend()
    xen2.kill_xend()
    xen1.release()
    sender.join(300)
    xen1.link()
    for host in (xen1, xen2):
        host.start()


def test_a_guest_is_not_well_before_all_is_mended(conductor):
    """Without leave only the copy is removed."""
    xen1, xen2 = conductor.fleet
    suspended_beside_a_dead_copy(xen1, xen2)
    run = recover(conductor, hosts=["xen1", "xen2"])
    assert xen2.guests() == {} and not xen1.guests()["web01"].alive
    assert not run.ok, run.said()
    assert recover(conductor, hosts=["xen1", "xen2"], resume=["web01"]).ok
    assert xen1.guests()["web01"].alive


def test_a_guest_is_not_resumed_while_its_copy_is_still_there(conductor):
    xen1, xen2 = conductor.fleet
    suspended_beside_a_dead_copy(xen1, xen2)
    lies.tell_all(xen2, {"state.sls xend.orch.repair": {"answer": "ERROR: not now"}})
    run = recover(conductor, hosts=["xen1", "xen2"], resume=["web01"])
    assert not run.ok and "web01" in xen2.guests(), run.said()
    assert not xen1.guests()["web01"].alive
    lies.be_honest(xen2)
    assert recover(conductor, hosts=["xen1", "xen2"], resume=["web01"]).ok
    assert xen1.guests()["web01"].alive and xen2.guests() == {}


def _said(step):
    # Under test=True, Salt before 3007 has words of its own in the place of the comment of a failed state.
    return "%s %s" % (step["name"], step["comment"])


@pytest.mark.parametrize("test", [True, False])
def test_wrong_options_are_all_named_before_anything_is_done(conductor, migrate, test):
    xen1, _ = conductor.fleet
    running(xen1, "web01")
    run = migrate("web01", test=test, timeout="5m", live="no")
    (step,) = run.steps.values()
    assert not run.ok and "Nothing was moved" in _said(step)
    assert "timeout: '5m'" in _said(step) and "live: 'no'" in _said(step)


@pytest.mark.parametrize("test", [True, False])
def test_wrong_options_of_the_safety_copy_are_named_before_anything_is_done(conductor, migrate, test):
    xen1, _ = conductor.fleet
    running(xen1, "web01")
    run = migrate("web01", test=test, safety_copy="maybe", rate_mib_s="fast", safety_folder="here")
    (step,) = run.steps.values()
    assert not run.ok and "Nothing was moved" in _said(step)
    for said in ('safety_copy: "maybe" is none of auto', 'rate_mib_s: "fast"', 'safety_folder: "here" is no'):
        assert said in _said(step)
    run = migrate("web01", test=test, safety_copy="required", relay=False)
    assert not run.ok and "safety_copy: required: with relay: false" in "".join(run.said())


@pytest.mark.parametrize("test", [True, False])
def test_a_guest_that_needs_a_safety_copy_stays_where_there_is_no_room_for_one(conductor, migrate, test):
    xen1, xen2 = conductor.fleet
    running(xen1, "web01")
    run = migrate("web01", test=test, safety_copy="required", safety_folder="/proc/safety")
    step = run.steps["web01 can leave xen1"]
    assert not run.ok and step["result"] is False
    assert "no safety copy of web01 can be kept" in run.comment("web01 can leave xen1")
    assert xen1.guests()["web01"].alive and xen2.guests() == {}


@pytest.mark.parametrize("relay", [True, False])
def test_the_way_that_is_asked_for_is_taken(conductor, migrate, relay):
    xen1, xen2 = conductor.fleet
    running(xen1, "web01")
    before = len(xen1.xm_calls())
    # So many MiB in a second that the few pages of this guest take a while.
    options = {"safety_copy": "off", "rate_mib_s": 0.1} if relay else {"relay": False}
    run = migrate("web01", **options)
    assert run.ok and xen2.wait_alive("web01"), run.said()
    (command,) = [call for call in xen1.xm_calls()[before:] if "migrate" in call]
    assert command[-1] == (xen1.loopback if relay else xen2.address)
    said = "no safety copy of web01 is kept, because with relay: false there is none"
    assert (said in "".join(run.said())) is not relay
    if relay:
        assert float(re.search(r"was sent to \S+ in ([0-9.]+) s", "".join(run.said())).group(1)) > 2


@pytest.mark.parametrize("options", [{"hosts": ["xen1", "xen2"]}, {}])
def test_when_nobody_answers_that_is_said(conductor, options):
    for host in conductor.fleet:
        conductor.minion_down(host.name)
    run = recover(conductor, **options)
    text = "\n".join(run.said())
    assert not run.ok and "Jinja" not in text
    assert "start nothing" in text and text.count("service salt-minion start") == 2


def test_both_minions_go_in_mid_transfer(conductor, migrate):
    xen1, xen2 = conductor.fleet
    running(xen1, "web01")
    run = held(xen1, migrate, 0.5)
    for host in (xen1, xen2):
        conductor.minion_down(host.name)
    said = conductor.finish(run)
    assert not said.ok and "start nothing" in "\n".join(said.said()), said.said()
    xen1.release()
    assert xen2.wait_alive("web01")


@pytest.mark.parametrize("lost", [False, True])
def test_an_orchestration_that_is_killed_leaves_no_guest_unaccounted_for(conductor, migrate, lost):
    xen1, xen2 = conductor.fleet
    guest = running(xen1, "web01")
    run = held(xen1, migrate, 0.5, safety_copy="off")
    run.kill()
    if lost:
        xen2.kill_xend()
    xen1.release()
    # The job on the source goes on: its minion lives.
    assert wait_until(lambda: xen1.guests() == {} and not xen1.layout.roles().get("xc_save"), LIMIT_S)
    if not lost:
        xen2.wait_alive("web01")
        first = recover(conductor, hosts=["xen1", "xen2"])
        assert first.ok and "runs on xen2" in "\n".join(first.said())
    else:
        xen2.clear()
        xen2.start()
        dry = recover(conductor, test=True, hosts=["xen1", "xen2"])
        for run in (dry, recover(conductor, hosts=["xen1", "xen2"])):
            (step,) = run.steps.values()
            assert not run.ok and "web01 is LOST" in _said(step)
            assert f"web01.{guest.uuid}.sxp on xen1" in _said(step)
        again = migrate("web01")
        assert not again.ok and "web01 is LOST" in "\n".join(again.said()), again.said()
        dry = recover(conductor, test=True, hosts=["xen1", "xen2"], remove_lost=["web01"])
        assert dry.ok and salt_config.notes(xen1), dry.said()
        assert recover(conductor, hosts=["xen1", "xen2"], remove_lost=["web01"]).ok
    last = recover(conductor, hosts=["xen1", "xen2"])
    assert last.ok and "nothing" in "\n".join(last.steps) and not last.changed()


def lose_unseen(xen1, xen2, migrate):
    """Let the target's xend and the orchestration die in mid-transfer; the job on the source goes on."""
    run = held(xen1, migrate, 0.5)
    run.kill()
    xen2.kill_xend()
    xen1.release()
    assert wait_until(lambda: xen1.guests() == {} and not xen1.layout.roles().get("xc_save"), LIMIT_S)
    xen2.clear()
    xen2.start()


def test_a_guest_that_was_lost_when_nobody_looked_is_brought_back_by_the_next_look(conductor, migrate):
    xen1, xen2 = conductor.fleet
    guest = running(xen1, "web01")
    lose_unseen(xen1, xen2, migrate)
    dry = recover(conductor, test=True, hosts=["xen1", "xen2"])
    assert dry.ok and xen1.guests() == {}, dry.said()
    run = recover(conductor, hosts=["xen1", "xen2"])
    assert run.ok and "it was brought back on xen1 from its safety copy" in "\n".join(run.said()), run.said()
    back = xen1.guests()["web01"]
    assert back.alive and back.uuid == guest.uuid
    last = recover(conductor, hosts=["xen1", "xen2"])
    assert last.ok and "nothing" in "\n".join(last.steps) and not last.changed()
    assert not salt_config.notes(xen1)


def test_a_guest_that_was_started_afresh_meanwhile_is_brought_back_only_when_it_is_named(
    conductor, migrate, tmp_path
):
    """And shut down again, so that nothing shows of that but what the target's xend has logged."""
    xen1, xen2 = conductor.fleet
    guest = running(xen1, "web01")
    lose_unseen(xen1, xen2, migrate)
    file = tmp_path / "web01.cfg"
    file.write_text('name = "web01"\nmemory = 96\nkernel = "/boot/vmlinuz"\n')
    assert xen2.xm_run("create", file).returncode == 0
    xen2.xm_run("destroy", "web01")
    assert wait_until(lambda: xen2.guests() == {}, LIMIT_S)
    run = recover(conductor, hosts=["xen1", "xen2"])
    said = "\n".join(run.said())
    assert not run.ok and xen1.guests() == {}, said
    assert "by xend.log on xen2, one of its name or uuid was started afresh there" in said
    assert "restore: [web01] of xend.orch.recover brings it back" in said
    # The one is named for all of that name.
    run = recover(conductor, hosts=["xen1", "xen2"], remove_lost=["web01"], restore=[guest.uuid])
    assert not run.ok and salt_config.notes(xen1), run.said()
    assert "named by remove_lost and by restore, so that neither was done" in "\n".join(run.said())
    assert recover(conductor, hosts=["xen1", "xen2"], restore=["web01"]).ok
    assert xen1.guests()["web01"].uuid == guest.uuid
    assert recover(conductor, hosts=["xen1", "xen2"]).ok


def test_what_is_lost_stays_lost_until_it_is_settled_by_name(conductor):
    """Also two guests of one name: without a uuid in its file a guest gets a new one at each start."""
    xen1, xen2 = conductor.fleet
    uuids = []
    for _ in range(2):
        uuids.append(running(xen1, "web01").uuid)
        conductor.call("xen1", "xm.migrate", "web01", "xen2")
        xen2.wait_alive("web01")
        xen2.clear()
    for options in ({}, {"resume": ["web01"]}, {"remove_lost": ["db"]}):
        run = recover(conductor, hosts=["xen1", "xen2"], **options)
        assert run.failed() == sorted("web01 (%s): lost" % uuid for uuid in uuids), run.said()
        assert len(salt_config.notes(xen1)) == 2
    run = recover(conductor, hosts=["xen1", "xen2"], remove_lost=["web01"])
    assert run.ok and salt_config.notes(xen1) == [], run.said()


SLOW_XM = """#!/bin/sh
touch {folder}/asked
for _ in $(seq 6000); do [ -e {folder}/go ] && break; sleep 0.05; done
exec {xm} "$@"
"""


def test_a_guest_that_moves_while_the_hosts_are_asked_is_not_called_lost(conductor, tmp_path):
    """The target says that it has none, before it comes; the source, when it has gone."""
    xen1, xen2 = conductor.fleet
    running(xen1, "web01")
    options = conductor.opts["xen1"]["xend"]
    own = dict(options)
    slow = tmp_path / "xm"
    slow.write_text(SLOW_XM.format(folder=tmp_path, xm=own["xm"]))
    slow.chmod(0o755)
    options.update(xm=str(slow), socket="/nowhere/xmlrpc.sock")
    try:
        run = conductor.start("xend.orch.recover", {"xend": {"recover": {"hosts": ["xen1", "xen2"]}}})
    finally:
        options.update(own)
    try:
        assert wait_until((tmp_path / "asked").exists, LIMIT_S)
        time.sleep(1)
        assert "comment" in conductor.call("xen1", "xm.migrate", "web01", "xen2")
        xen2.wait_alive("web01")
    finally:
        (tmp_path / "go").touch()
    said = conductor.finish(run)
    assert said.ok and "runs on xen2" in "\n".join(said.said()), said.said()
    assert salt_config.notes(xen1) == []


def test_a_file_that_an_earlier_run_has_left_behind_follows(configured, conductor, migrate):
    """Else the old host would start the guest a second time at its next boot."""
    configured.follow()
    xen1, xen2 = conductor.fleet
    running(xen1, "web01")
    xen1.path("/etc/xen/web01.cfg").write_text('name = "web01"\n')
    xen1.path("/etc/xen/auto/web01").symlink_to("../web01.cfg")
    run = held(xen1, migrate, 0.5)
    # Somebody copies the file meanwhile, so that the step for it fails.
    there: Path = xen2.path("/etc/xen/web01.cfg")
    there.write_text("# half of it\n")
    xen1.release()
    said = conductor.finish(run)
    assert not said.ok and xen2.guests()["web01"].alive, said.said()
    there.unlink()
    dry = migrate("web01", test=True)
    assert dry.ok and not there.exists() and xen1.path("/etc/xen/web01.cfg").exists()
    again = migrate("web01")
    assert again.ok, again.said()
    assert there.read_text() == 'name = "web01"\n'
    assert xen2.path("/etc/xen/auto/web01").is_symlink()
    assert not xen1.path("/etc/xen/web01.cfg").exists()
    assert not xen1.path("/etc/xen/auto/web01").is_symlink()


@pytest.mark.parametrize("test", [True, False])
def test_warnings_are_seen(conductor, migrate, test):
    xen1, _ = conductor.fleet
    running(xen1, "web01")
    auto = xen1.path("/etc/xen/auto")
    auto.mkdir(parents=True, exist_ok=True)
    xen1.path("/etc/xen/web01.cfg").write_text('name = "web01"\n')
    (auto / "web01").symlink_to("../web01.cfg")
    run = migrate("web01", test=test)
    assert run.ok and "xen1 starts web01 at its next boot" in "\n".join(run.said()), run.said()
    # That it runs on the target is not said before it does.
    assert run.steps["web01 runs on xen2"]["result"] is (None if test else True)
