"""Guests that are sent: what keeps two jobs apart, which notes are kept of them, and what is told meanwhile.

On simulated hosts, whose hypervisor tells the truth. Where guests are after migrations that broke is in
test_xm_recovery.py.
"""

import errno
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import as_new, holding
from tests.harness.loading import Minion, host_opts, minion_opts
from tests.lab import salt_config
from tests.lab.layout import wait_until

PHASES = ["connecting", "sending", "suspended", "sent", "arriving", "running"]
# Against hanging only.
END_S = 300


@pytest.fixture
def fleet(mixed_fleet):
    with as_new(mixed_fleet):
        yield mixed_fleet


# Two jobs


def another_process(host, lock="guest web01"):
    return holding(host, lock, "the backup of web01")


def test_a_guest_that_another_job_holds_is_not_touched(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen1"].create_guest("db")
    with another_process(fleet["xen1"]) as holder:
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").migrate("web01", "xen2")
        assert "the backup of web01" in str(caught.value) and "pid %d" % holder.pid in str(
            caught.value
        )
        assert "It is on xen1" in str(caught.value) and "untouched" in str(caught.value)
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").repair("rename", "migrating-web01", guest.uuid, guest.domid)
        assert "the backup of web01" in str(caught.value)
        # Others are free to go.
        on("xen1").migrate("db", "xen2")
    # Its holder was killed, and nothing had to be cleaned up.
    on("xen1").migrate("web01", "xen2")
    assert fleet["xen2"].wait_alive("web01") and fleet["xen2"].wait_alive("db")


def test_a_migration_keeps_its_guest_and_xend_even_when_it_is_killed(on, modules, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen2"].link(hold_at=0.5)
    first = multiprocessing.get_context("fork").Process(
        target=on("xen1").migrate, args=("web01", "xen2")
    )
    first.start()
    try:
        fleet["xen2"].wait_held()
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").migrate("web01", "xen2")
        said = str(caught.value)
        assert "the migration of web01 to xen2" in said and "goes on" in said
        with pytest.raises(CommandExecutionError) as caught:
            modules("xen1").xend.restart(timeout=1)
        assert "the migration of web01 to xen2" in str(caught.value)
    finally:
        first.kill()
        first.join(END_S)
    # What is needed to start it again was there before the first byte was sent.
    kept = fleet["xen1"].root / "kept" / ("web01.%s.sxp" % guest.uuid)
    assert guest.uuid in kept.read_text()
    # The lock is free, and what goes on without it is seen all the same.
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").migrate("web01", "xen2")
    assert "being sent already" in str(caught.value)
    with pytest.raises(CommandExecutionError) as caught:
        modules("xen1").xend.restart(timeout=1)
    assert "migrating-web01" in str(caught.value)
    fleet["xen2"].release()
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert on("xen1").where("web01", wait=END_S)["copy"] == "absent"
    pid = fleet["xen1"].pids()["xend"]
    assert modules("xen1").xend.restart(timeout=END_S)["pid"]["old"] == pid


def test_a_restart_of_xend_waits_until_a_migration_is_over(on, modules, fleet):
    fleet["xen1"].create_guest("web01")
    with another_process(fleet["xen1"], "relocation") as holder:
        ending = threading.Timer(1.0, holder.kill)
        began = time.monotonic()
        ending.start()
        assert modules("xen1").xend.restart(timeout=END_S)["pid"]
        assert time.monotonic() - began >= 1.0
        ending.join(END_S)
    assert fleet["xen1"].guests()["web01"].alive


def test_no_guest_leaves_while_xend_is_restarted(on, fleet):
    fleet["xen1"].create_guest("web01")
    with another_process(fleet["xen1"], "relocation"):
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").migrate("web01", "xen2")
        assert "was not moved: relocation is locked" in str(caught.value)
    assert fleet["xen1"].guests()["web01"].alive and fleet["xen2"].guests() == {}


# Guests that were sent


def test_a_guest_that_was_sent_is_kept_in_mind_until_somebody_has_seen_it(on, look, mend, fleet):
    guest = fleet["xen1"].create_guest("web01")
    kept = on("xen1").migrate("web01", "xen2")["kept"]
    (made,) = on("xen1").copies()["sent"]
    assert (made["name"], made["uuid"], made["target"]) == ("web01", guest.uuid, "xen2")
    assert made["kept"] == kept and "96 MiB" in made["what"]
    (mode,) = [note.stat().st_mode & 0o777 for note in salt_config.notes(fleet["xen1"])]
    assert mode == 0o600
    (one,) = on("xen1").unfinished()
    assert (one["uuid"], one["copy"]) == (guest.uuid, "absent")
    assert "web01 was sent from xen1 to xen2 at" in one["advice"] and "before" in one["advice"]
    fleet["xen2"].wait_alive("web01")
    (found,) = look("xen1", "xen2", "xen3")
    assert found["outcome"] == "moved" and "runs on xen2" in found["comment"]
    assert mend(found) == [True]
    assert look("xen1", "xen2", "xen3") == [] and on("xen1").unfinished() == []


def test_without_a_master_each_step_says_the_next_one(on, fleet):
    """Nobody looks at both hosts there, so that who has seen the guest run ends the note by hand."""
    fleet["xen1"].create_guest("web01")
    done = on("xen1").migrate("web01", "xen2")
    (made,) = on("xen1").copies()["sent"]
    command = "xm.forget web01 %s %s" % (made["uuid"], made["id"])
    assert command in done["afterwards"] and "xm.arrival on xen2" in done["afterwards"]
    arrival = on("xen2").arrival("web01", source="xen1", gone=True)
    assert arrival["arrived"] and "xm.unfinished on xen1" in arrival["afterwards"]
    (one,) = on("xen1").unfinished()
    assert command in one["advice"] and "xm.arrival on xen2" in one["advice"]
    name, uuid, note = command.split()[1:]
    assert on("xen1").forget(name, uuid, note) is True
    assert on("xen1").unfinished() == [] and on("xen1").copies()["sent"] == []


def test_a_guest_that_has_not_arrived_is_not_to_be_forgotten(on, fleet):
    fleet["xen1"].create_guest("web01")
    assert on("xen2").arrival("web01", source="xen1", timeout=0)["afterwards"] is None


def test_a_guest_that_is_on_no_host_is_lost(on, look, mend, fleet):
    """What becomes of those who were to look for it on the target does not matter."""
    guest = fleet["xen1"].create_guest("web01")
    kept = on("xen1").migrate("web01", "xen2")["kept"]
    fleet["xen2"].clear()
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["lost"]) == ("lost", True)
    assert "Unless it was shut down since, saved, or started afresh" in found["comment"]
    assert kept + " on xen1" in found["comment"] and guest.uuid in found["comment"]
    assert [step["only_if_asked"] for step in found["repairs"]] == [True]
    (unknown,) = look("xen1", "xen2", silent=["xen3"])
    assert unknown["outcome"] == "unknown" and unknown["repairs"] == []
    # Who asks for this very guest, later, is told as well.
    asked = {"name": "web01", "uuid": None, "source": "xen1", "target": "xen2"}
    (again,) = look("xen1", "xen2", guest=asked)
    assert again["lost"] and again["comment"] == found["comment"]
    mend(found)
    assert look("xen1", "xen2", "xen3") == []
    assert "cannot be told" in look("xen1", "xen2", guest=asked)[0]["comment"]


def test_a_guest_that_was_not_sent_after_all_is_not_noted(on, fleet):
    fleet["xen1"].create_guest("web01")
    fleet["xen2"].create_guest("web01")
    with pytest.raises(CommandExecutionError):
        on("xen1").migrate("web01", "xen2")
    assert on("xen1").copies()["sent"] == [] and salt_config.notes(fleet["xen1"]) == []


@pytest.mark.parametrize("act", ["sleep 5", "kill -9 $$", "exit 0"])
def test_a_migration_that_may_yet_begin_is_kept_in_mind(on, look, fleet, modules, tmp_path, act):
    """xm is not waited for any longer, or gone, while xend has not even renamed the guest."""
    fleet["xen1"].create_guest("web01")
    xm = modules("xen1").xm
    slow = tmp_path / "xm"
    slow.write_text('#!/bin/sh\n[ "$1" = migrate ] && %s\nexec %s "$@"\n' % (act, fleet["xen1"].xm))
    slow.chmod(0o755)
    options = modules("xen1").pack["__opts__"]["xend"]
    own, options["xm"] = options["xm"], str(slow)
    try:
        with pytest.raises(CommandExecutionError) as caught:
            xm.migrate("web01", "xen2", timeout=1)
    finally:
        options["xm"] = own
    assert "web01 was not moved" in str(caught.value) and len(on("xen1").copies()["sent"]) == 1
    # It is well, so nobody needs to hear of it.
    assert look("xen1", "xen2", "xen3") == []
    # The next one takes note of itself.
    on("xen1").migrate("web01", "xen2")
    assert len(on("xen1").copies()["sent"]) == 1


def test_a_guest_that_has_its_name_back_is_not_kept_in_mind(on, look, mend, fleet):
    fleet["xen1"].create_guest("web01")
    fleet["xen2"].link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(on("xen1").migrate, "web01", "xen2")
        fleet["xen2"].wait_held()
        fleet["xen1"].kill_xend_child()
        fleet["xen2"].release()
        with pytest.raises(CommandExecutionError):
            sent.result(END_S)
    (found,) = look("xen1", "xen2", "xen3")
    assert found["outcome"] == "leftover" and len(salt_config.notes(fleet["xen1"])) == 1
    mend(found)
    assert fleet["xen1"].guests()["web01"].alive and salt_config.notes(fleet["xen1"]) == []


def test_a_note_is_not_removed_while_its_guest_is_moved_nor_when_it_was_made_anew(on, look, fleet):
    fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    (found,) = look("xen1", "xen2", "xen3")
    (step,) = found["repairs"]
    asked = step["name"], step["uuid"], step["note"]
    with another_process(fleet["xen1"]), pytest.raises(CommandExecutionError) as caught:
        on("xen1").forget(*asked)
    assert "the backup of web01" in str(caught.value)
    on("xen2").migrate("web01", "xen1")
    fleet["xen1"].wait_alive("web01")
    on("xen1").migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    assert on("xen1").forget(*asked) is False and len(on("xen1").copies()["sent"]) == 1


def test_the_target_is_noted_by_its_minion_id(on, look, fleet):
    fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", fleet["xen2"].address)
    fleet["xen2"].clear()
    (found,) = look("xen1", "xen2", "xen3")
    assert found["lost"] and "was sent from xen1 to xen2 at" in found["comment"]


def test_no_guest_is_sent_of_which_no_note_can_be_made(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    note = fleet["xen1"].root / "kept" / ("web01.%s.sent" % guest.uuid)
    note.mkdir(parents=True)
    try:
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").migrate("web01", "xen2")
        assert "the note that web01 is sent cannot be kept there" in str(caught.value)
        assert fleet["xen1"].guests()["web01"].alive and fleet["xen2"].guests() == {}
    finally:
        note.rmdir()


def test_a_guest_that_came_back_ends_its_note(on, look, mend, fleet):
    """By hand, so that nobody has looked; shut down later, it must not be taken for lost."""
    guest = fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    assert fleet["xen2"].xm_run("migrate", "web01", fleet["xen1"].address).returncode == 0
    fleet["xen1"].wait_alive("web01")
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["lost"], found["uuid"]) == ("unharmed", False, guest.uuid)
    assert mend(found) == [True] and look("xen1", "xen2", "xen3") == []
    fleet["xen1"].clear()
    assert look("xen1", "xen2", "xen3") == []


@pytest.mark.parametrize("timeout", [1, 600])
def test_a_note_ends_with_the_xend_that_was_to_send_its_guest(
    on, look, mend, fleet, modules, tmp_path, timeout
):
    """xm was killed before xend had renamed the guest; what that xend was asked for has gone with it.

    Its relay may have ended by itself since, or still be there for a xend that comes no more.
    """
    fleet["xen1"].create_guest("web01")
    xm = modules("xen1").xm
    slow = tmp_path / "xm"
    slow.write_text('#!/bin/sh\n[ "$1" = migrate ] && kill -9 $$\nexec %s "$@"\n' % fleet["xen1"].xm)
    slow.chmod(0o755)
    options = modules("xen1").pack["__opts__"]["xend"]
    own, options["xm"] = options["xm"], str(slow)
    try:
        with pytest.raises(CommandExecutionError):
            xm.migrate("web01", "xen2", timeout=timeout)
    finally:
        options["xm"] = own
    assert look("xen1", "xen2", "xen3") == []
    fleet["xen1"].restart()
    fleet["xen1"].bring_up(END_S)
    # Not while a job has the guest, or another xm asks the new xend for it.
    with another_process(fleet["xen1"]):
        assert look("xen1", "xen2", "xen3") == []
    (found,) = look("xen1", "xen2", "xen3")
    assert found["outcome"] == "unharmed" and mend(found) == [True]
    assert salt_config.notes(fleet["xen1"]) == []


def test_a_note_stays_while_xm_asks_for_its_guest(on, look, fleet):
    """The target is silent, so that nothing else shows of it yet."""
    guest = fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    fleet["xen2"].xm_run("migrate", "web01", fleet["xen1"].address)
    fleet["xen1"].wait_alive("web01")
    fleet["xen2"].fault("mute")
    asking = fleet["xen1"].xm_start("migrate", "--live", "web01", fleet["xen2"].address)
    try:
        for _ in range(3):
            if asking.poll() is None:
                found = look("xen1", "xen2", "xen3")
                assert found == [] or asking.poll() is not None
        # Until it gives up: a target that speaks again would take the guest.
        asking.communicate(timeout=END_S)
    finally:
        fleet["xen2"].fault("mute", False)
    assert fleet["xen1"].guests()["web01"].uuid == guest.uuid


# Managed domains


def test_a_managed_guest_gets_a_new_home(on, fleet):
    guest = fleet["xen1"].create_guest("web01", managed=True)
    on("xen1").migrate("web01", "xen2")
    arrived = on("xen2").arrival("web01", uuid=guest.uuid, source="xen1", gone=True)
    assert arrived["outcome"] == "moved"
    assert on("xen1").where("web01")["copy"] == "absent" and fleet["xen1"].managed.all() == {}
    assert wait_until(lambda: list(fleet["xen2"].managed.all()) == [guest.uuid], END_S)


def test_before_xen_4_0_the_source_goes_on_knowing_a_managed_guest(on, look, fleet):
    guest = fleet["mid1"].create_guest("web01", managed=True)
    sent = on("mid1").migrate("web01", "xen2", accept=["managed"])
    assert "Start it nowhere else" in sent["comment"] and "xm.forget_managed" in sent["comment"]
    assert on("mid1").where("web01", guest.uuid)["copy"] == "managed"
    assert on("xen2").arrival("web01", uuid=guest.uuid, source="mid1", gone=True)["outcome"] == "moved"
    where = {"name": "web01", "uuid": guest.uuid, "source": "mid1", "target": "xen2"}
    (found,) = look("mid1", "xen2", guest=where)
    assert found["moved"] and "Do not `xm start` it on mid1" in found["comment"]
    # It was not left by a migration that broke.
    (made,) = found["settled"]
    assert on(made["host"]).forget("web01", made["uuid"], made["note"]) is True
    assert look("mid1", "xen2") == []


@pytest.mark.parametrize("on_xend_start", ["ignore", "start"])
def test_a_managed_guest_that_would_stay_on_its_source_is_not_sent(on, fleet, on_xend_start):
    fleet["mid1"].create_guest("web01", managed=True, on_xend_start=on_xend_start)
    check = on("mid1").can_send("web01", "xen2")
    (said,) = check["blockers"]
    assert "accept: [managed]" in said and "xm delete web01" in said
    assert ("the next start of xend (on_xend_start)" in said) is (on_xend_start == "start")
    with pytest.raises(CommandExecutionError) as caught:
        on("mid1").migrate("web01", "xen2")
    assert said in str(caught.value) and fleet["mid1"].guests()["web01"].alive
    accepted = on("mid1").can_send("web01", "xen2", accept=["managed"])
    assert accepted["ok"] is True and said in accepted["warnings"]
    # From 4.0 on, and for guests that xend does not manage, it is no matter.
    fleet["mid1"].create_guest("web02")
    fleet["xen1"].create_guest("web03", managed=True)
    assert on("mid1").can_send("web02", "xen2")["ok"] and on("xen1").can_send("web03", "xen2")["ok"]


def test_what_is_forgotten_is_not_started_again(on, fleet):
    """Without it, the next start of xend on the old host runs the guest a second time."""
    for forgets in (False, True):
        guest = fleet["mid1"].create_guest("web01", managed=True, on_xend_start="start")
        on("mid1").migrate("web01", "xen2", accept=["managed"])
        fleet["xen2"].wait_alive("web01")
        assert on("mid1").report("web01")["stays_managed"] == guest.uuid
        if forgets:
            assert on("mid1").forget_managed("web01", guest.uuid, test=True) is True
            assert guest.uuid in fleet["mid1"].managed
            assert on("mid1").forget_managed("web01", guest.uuid) is True
            assert guest.uuid not in fleet["mid1"].managed
            assert on("mid1").forget_managed("web01", guest.uuid) is False
        fleet["mid1"].restart()
        if forgets:
            assert not wait_until(lambda: "web01" in fleet["mid1"].guests(), 2)
        else:
            fleet["mid1"].wait_alive("web01")
        assert fleet["xen2"].guests()["web01"].alive
        for name in ("mid1", "xen2"):
            fleet[name].clear()


def test_a_guest_that_is_here_is_not_forgotten(on, fleet):
    guest = fleet["mid1"].create_guest("web01", managed=True)
    with pytest.raises(CommandExecutionError) as caught:
        on("mid1").forget_managed("web01", guest.uuid)
    assert "web01 is here, running" in str(caught.value) and guest.uuid in fleet["mid1"].managed
    other = fleet["mid1"].define_guest("web02")
    unknown = guest.uuid[:-1] + ("0" if guest.uuid[-1] != "0" else "1")
    assert on("mid1").forget_managed("web02", unknown) is False
    assert other in fleet["mid1"].managed


def test_what_cannot_be_forgotten_is_said_with_what_to_do(on, fleet):
    uuid = fleet["mid1"].define_guest("web01")
    with holding(fleet["mid1"], "guest web01", "somebody else"):
        with pytest.raises(CommandExecutionError) as caught:
            on("mid1").forget_managed("web01", uuid)
    assert "somebody else" in str(caught.value) and "`xm delete web01` on mid1" in str(caught.value)
    fleet["mid1"].stop()
    try:
        with pytest.raises(CommandExecutionError):
            on("mid1").forget_managed("web01", uuid)
    finally:
        fleet["mid1"].start()
    assert uuid in fleet["mid1"].managed


# Events


@pytest.fixture
def told(tmp_path):
    """A function that returns the events so far."""
    path = tmp_path / "minion" / "events"
    path.parent.mkdir()

    def read():
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    return read


@pytest.mark.parametrize("live", [True, False])
def test_the_events_of_a_migration(on, fleet, told, live):
    guest = fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2", live=live)
    of_source = len(told())
    on("xen2").arrival("web01", uuid=guest.uuid, source="xen1", gone=True)
    events = told()
    assert {event["tag"] for event in events} == {"xend/migrate/web01"}
    data = [event["data"] for event in events]
    phases = [PHASES.index(one["phase"]) for one in data]
    assert phases == sorted(phases), [one["phase"] for one in data]
    assert {"sending", "suspended", "sent", "arriving", "running"} <= {one["phase"] for one in data}
    for one in data:
        assert one["uuid"] == guest.uuid and one["elapsed_s"] >= 0
        assert one["line"].startswith("web01 xen1 -> xen2: %s" % one["phase"])
    # The target knows only since when it has received the guest, by its log, in whole seconds.
    for key, part in (("percent", data), ("elapsed_s", data[:of_source]), ("elapsed_s", data[of_source:])):
        values = [one[key] or 0 for one in part]
        assert values == sorted(values), values
    assert [one["phase"] for one in data if one["percent"] == 100][0] != "sending"


@pytest.mark.parametrize("relay, pages", [(True, 1024), (False, 64)])
def test_the_events_of_a_long_first_round(on, fleet, told, relay, pages):
    """xend says nothing of it until it is over. A relay counts it; else what is written counts."""
    fleet["xen1"].create_guest("web01", memory_mib=4 if relay else 96, pages=pages)
    if not relay and not os.path.exists("/proc/self/io"):
        pytest.skip("this kernel does not count what processes write")

    def percents():
        rounds = [one["data"] for one in told() if one["data"]["phase"] == "sending"]
        return [one["percent"] for one in rounds if one["iteration"] is None and one["percent"]]

    fleet["xen1"].link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(on("xen1").migrate, "web01", "xen2", relay=relay)
        try:
            fleet["xen1"].wait_held()
            assert wait_until(lambda: percents() and percents()[-1] >= 45, END_S), told()
            seen = told()[-1]["data"]
        finally:
            fleet["xen1"].release()
        moving.result(END_S)
    assert 45 <= seen["percent"] <= 55, told()
    assert seen["bytes"] is None if not relay else 0.4 < seen["bytes"] / (4 << 20) < 0.7, told()


def test_a_migration_that_breaks_ends_its_events_with_that(on, fleet, told):
    fleet["xen1"].create_guest("web01")
    fleet["xen1"].fault("ignore-suspend")
    try:
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").migrate("web01", "xen2")
    finally:
        fleet["xen1"].fault("ignore-suspend", False)
    assert "runs unharmed on xen1" in str(caught.value) and "to suspend" in str(caught.value)
    assert told()[-1]["data"]["phase"] == "failed"


def test_a_look_that_fails_does_not_disturb_a_migration(on, fleet, monkeypatch):
    """The system has no descriptor left for a list of its processes: nobody may take xm for not run."""
    guest = fleet["xen1"].create_guest("web01", pages=64)
    listdir, has_failed = os.listdir, threading.Event()

    def refuse(path="."):
        if str(path) != "/proc":
            return listdir(path)
        has_failed.set()
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE), path)

    fleet["xen1"].link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(on("xen1").migrate, "web01", "xen2", relay=False)
        try:
            fleet["xen1"].wait_held()
            with monkeypatch.context() as patch:
                patch.setattr(os, "listdir", refuse)
                assert has_failed.wait(END_S)
        finally:
            fleet["xen1"].release()
        moving.result(END_S)
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert [made["uuid"] for made in on("xen1").copies()["sent"]] == [guest.uuid]


BUSES = {
    "raises": "raise IOError('no master')",
    "is slow": "time.sleep(1.5)\n    return True",
    "hears nothing": "return False",
}


@pytest.mark.parametrize("bus", sorted(BUSES))
def test_a_bus_that_fails_does_not_disturb_a_migration(fleet, tmp_path, bus):
    folder = tmp_path / "buses"
    folder.mkdir()
    calls = tmp_path / "calls"
    (folder / "event.py").write_text(
        "import time\n\n\ndef send(tag, data=None, **_delivery):\n"
        "    open(%r, 'a').write(tag + '\\n')\n    %s\n" % (str(calls), BUSES[bus])
    )
    opts = minion_opts(
        tmp_path / "minion", pillar=salt_config.pillar(fleet), **host_opts(fleet["xen1"])
    )
    opts["module_dirs"] = [
        str(folder),
        *(
            path
            for path in opts["module_dirs"]
            if not os.path.exists(os.path.join(path, "event.py"))
        ),
    ]
    guest = fleet["xen1"].create_guest("web01")
    Minion(opts).modules.xm.migrate("web01", "xen2")
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    # Who does not listen is not told again.
    assert calls.read_text().splitlines() == ["xend/migrate/web01"]
