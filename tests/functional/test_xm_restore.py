"""A guest is brought back from its safety copy: what has to be so, what is looked at, and what is left.

On simulated hosts. What is concluded from the words of many hosts is in tests/unit/test_fleet_kept.py; that
guests come to be in such files by themselves, orchestration shows.
"""

import functools
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import xm_fleet
import xm_kept
from tests.faults import truth
from tests.functional.conftest import as_new, holding, refused
from tests.lab.layout import wait_until

OTHER_UUID = "00000000-1111-2222-3333-444444444444"
TARGET_SAYS_NEVER = {"xen2": xm_fleet.NEVER}
# Against hanging only.
END_S = 300


@pytest.fixture
def fleet(mixed_fleet):
    with as_new(mixed_fleet):
        yield mixed_fleet
    for host in mixed_fleet:
        for path in (host.root / "kept").glob("web01.*"):
            path.unlink()


class Copied:
    """A guest that has left xen1 with a complete safety copy, as its relay would leave it."""

    def __init__(self, host, **options):
        self.host, self.folder = host, host.root / "kept"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.guest = guest = host.create_guest("web01", **options)
        self.uuid = guest.uuid
        names = (str(self.folder), "web01", guest.uuid)
        self.copy, self.relay, self.note = (
            self.folder / os.path.basename(file(*names))
            for file in (xm_kept.copy_file, xm_kept.relay_file, xm_kept.note_file)
        )
        done = host.xm_run("save", "web01", self.copy)
        assert done.returncode == 0, done.stderr
        self.copy.chmod(0o600)
        self.began = time.time() - 20
        self.says = {
            "id": "i1",
            "name": "web01",
            "uuid": guest.uuid,
            "target": "xen2",
            "live": True,
            "pid": self.dead_pid(),
            "identity": "an earlier process",
            "listens": ["127.0.0.1", 8002],
            "sends_to": ["127.0.0.1", 8002],
            "sends_from": None,
            "phase": "over",
            "bytes": self.copy.stat().st_size,
            "rate_mib_s": None,
            "began_at": self.began,
            "sent_at": self.began + 10,
            "heard": "silence",
            "said": None,
            "problem": None,
            "copy": {
                "state": "complete",
                "path": str(self.copy),
                "bytes": self.copy.stat().st_size,
                "why": None,
            },
        }
        self.say()
        self.words = {
            "id": "i1",
            "name": "web01",
            "uuid": guest.uuid,
            "target": "xen2",
            "at": "2012-03-04 05:06:07 UTC",
            "what": "96 MiB",
            "kept": str(self.folder / "web01.sxp"),
            "domid": guest.domid,
            "relay": str(self.relay),
            "copy": str(self.copy),
        }
        self.write(self.words)

    @staticmethod
    def dead_pid():
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            return process.pid

    def say(self, **more):
        self.says.update(more)
        self.relay.write_text(json.dumps(self.says))
        self.relay.chmod(0o600)

    def write(self, words):
        self.note.write_bytes(xm_kept.note(words))

    def is_whole(self):
        """Nothing was done: the file and the note are there, and no guest."""
        return self.copy.exists() and self.note.exists() and "web01" not in self.host.guests()


@pytest.fixture
def copied(fleet):
    return Copied(fleet["xen1"])


@pytest.fixture
def restore(on, copied):
    def make(**more):
        return on("xen1").restore("web01", copied.uuid, "i1", **{"claims": TARGET_SAYS_NEVER, **more})

    return make


def test_a_guest_is_brought_back_with_the_memory_that_it_had(on, restore, copied, fleet):
    said = restore()
    assert said.startswith("web01 was restored here from its safety copy and runs, after about ")
    back = fleet["xen1"].wait_alive("web01")
    assert (back.uuid, back.memory_sha256) == (copied.uuid, copied.guest.memory_sha256)
    assert truth.crimes(truth.history([fleet["xen1"]], copied.uuid)) == []
    # The memory of a guest lies nowhere any longer, and that it was brought back is still to be told.
    assert not copied.copy.exists()
    (made,) = on("xen1").copies()["sent"]
    safety = made["safety"]
    assert safety["state"] == "removed" and safety["restored_at"] and safety["heard"] == "silence"
    # Sent live, it stood still from the end of the stream on.
    assert 10 <= safety["stood_still_s"] < 10 + END_S and made["over"] is True
    assert "about %d s in which it stood still" % safety["stood_still_s"] in said
    assert on("xen1").forget("web01", copied.uuid, "i1", claims={}) is True
    assert [path.name for path in copied.folder.glob("web01.*")] == []


def test_a_guest_that_was_sent_suspended_stood_still_from_the_beginning(on, restore, copied):
    copied.say(live=False)
    restore()
    (made,) = on("xen1").copies()["sent"]
    assert made["safety"]["stood_still_s"] >= 20


def test_a_managed_guest_is_brought_back_as_well(on, fleet):
    copied = Copied(fleet["xen1"], managed=True)
    assert on("xen1").where("web01")["copy"] == "managed"
    copied.write(dict(copied.words, domid=None))
    said = on("xen1").restore("web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER)
    assert fleet["xen1"].wait_alive("web01").memory_sha256 == copied.guest.memory_sha256
    assert "managed" not in said


def test_whose_management_went_with_it_is_said(on, fleet):
    """From 4.0 on xend gives it away when it sends a guest, and no restore brings it back."""
    copied = Copied(fleet["xen1"], managed=True)
    fleet["xen1"].managed.forget(copied.uuid)
    copied.write(dict(copied.words, domid=None))
    said = on("xen1").restore("web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER)
    assert "xend here managed it, and does not any more: `xm new`" in said and "web01.sxp" in said


def test_what_is_only_asked_about_is_not_done(minion_on, copied):
    xm = minion_on("xen1").modules.xm
    said = xm.restore("web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER, test=True)
    assert said == "web01 would be restored from %s" % copied.copy and copied.is_whole()


# What has to be so


@pytest.mark.parametrize(
    "claims, asked, said",
    [
        ({"xen2": "absent"}, False, "xend.log on xen2 does not tell that it was never completed"),
        ({"xen2": "unfinished"}, False, "xend.log on xen2 does not tell"),
        ({}, False, "xen2 does not say what it holds"),
        ({"xen2": "unknown"}, False, "xen2 does not say what it holds"),
        ({"xen2": xm_fleet.NEVER, "xen3": "running"}, False, "xen3 says that web01 is there"),
        ({"xen2": xm_fleet.NEVER, "xen3": "unknown"}, False, "xen3 does not answer"),
        # Whoever asks for it.
        ({"xen2": "running"}, True, "by its own word xen2 has it"),
        ({"xen2": "suspended"}, True, "by its own word xen2 has it"),
        ({"xen2": "receiving"}, True, "by its own word xen2 has it"),
        ({"xen2": "sent on to xen3"}, True, "by its own word xen2 has it"),
    ],
)
def test_nothing_is_restored_on_a_word_that_does_not_suffice(restore, copied, claims, asked, said):
    assert said in refused(restore, claims=claims, asked=asked) and copied.is_whole()


@pytest.mark.parametrize("claims", [{"xen2": "absent"}, {"xen2": "unknown"}, {}, None])
def test_the_operator_may_say_that_it_has_not_run(restore, copied, fleet, claims):
    restore(claims=claims, asked=True)
    assert fleet["xen1"].wait_alive("web01").uuid == copied.uuid


def test_an_error_that_the_target_has_told_suffices_when_nothing_is_there(restore, copied, fleet):
    copied.say(heard="err", said="Device 0 (vif) could not be connected.")
    restore(claims={"xen2": "absent"})
    assert fleet["xen1"].wait_alive("web01").uuid == copied.uuid


@pytest.mark.parametrize("asked", [True, False])
def test_a_guest_that_was_heard_to_run_is_never_restored(restore, copied, asked):
    copied.say(heard="ok")
    assert "xen2 has said that it runs there" in refused(restore, asked=asked) and copied.is_whole()


def test_as_long_as_the_relay_waits_for_the_target_nothing_is_restored(restore, copied):
    import xm_relay

    copied.say(pid=os.getpid(), identity=xm_relay.identity(os.getpid()), phase="sent", heard=None)
    assert "still waits for the word of xen2" in refused(restore, asked=True) and copied.is_whole()


# Another look, right before


def test_a_guest_that_runs_here_is_not_started_a_second_time(restore, copied, fleet):
    """xend before 3.1 would, so this is not left to it."""
    done = fleet["xen1"].xm_run("restore", copied.copy)
    assert done.returncode == 0
    assert "web01 (domain" in refused(restore, asked=True)
    assert len(fleet["xen1"].guests()) == 1 and copied.copy.exists()


@pytest.mark.parametrize("name", ["web01", "other", "migrating-web01"])
def test_nor_beside_one_that_has_its_name_or_its_uuid(restore, copied, fleet, name):
    uuid = copied.uuid if name == "other" else OTHER_UUID
    fleet["xen1"].create_guest("db" if name.startswith("migrating") else name, uuid=uuid)
    if name.startswith("migrating"):
        fleet["xen1"].xm_run("rename", "db", name)
    assert "is here" in refused(restore, asked=True) and copied.copy.exists()
    assert len(fleet["xen1"].guests()) == 1


def spoiled(copied, how):
    if how == "another":
        copied.write(dict(copied.words, id="i2"))
    elif how == "no note":
        copied.note.unlink()
    elif how == "no copy":
        copied.copy.unlink()
    elif how == "shorter":
        os.truncate(copied.copy, copied.copy.stat().st_size - 1)
    elif how == "incomplete":
        copied.say(copy=dict(copied.says["copy"], state="growing"))
    elif how == "unread":
        copied.relay.write_text("{")
    elif how == "no head":
        with open(copied.copy, "r+b") as stream:
            stream.write(b"QemuDeviceModel!")
    else:
        text = copied.copy.read_bytes()
        copied.copy.write_bytes(text.replace(copied.uuid.encode(), OTHER_UUID.encode()))


@pytest.mark.parametrize(
    "how, said",
    [
        ("another", "it was sent once more"),
        ("no note", "there is no note that it was sent"),
        ("no copy", "No such file or directory"),
        ("shorter", "bytes instead of"),
        ("incomplete", "its relay has died"),
        ("unread", "cannot be read"),
        ("no head", "does not begin as a guest that was saved"),
        ("other guest", "is the copy of another guest"),
    ],
)
def test_what_is_no_complete_copy_of_this_guest_is_not_restored(restore, copied, fleet, how, said):
    spoiled(copied, how)
    assert said in refused(restore, asked=True)
    assert fleet["xen1"].guests() == {} and (how == "no copy" or copied.copy.exists())


def test_while_somebody_moves_a_guest_nobody_restores_it(restore, copied, fleet):
    with holding(fleet["xen1"], "guest web01", "the migration of web01"):
        assert "the migration of web01" in refused(restore) and copied.is_whole()


# When it fails


def test_a_guest_that_xend_cannot_restore_is_still_whole(on, restore, copied, fleet):
    """There is no memory for it any more."""
    blocking = fleet["xen1"].create_guest("big", memory_mib=free_mib(fleet["xen1"]) - 8)
    said = refused(restore)
    assert "Nothing was removed: its memory is still in %s on xen1" % copied.copy in said
    assert copied.is_whole()
    (made,) = on("xen1").copies()["sent"]
    assert made["safety"]["state"] == "complete" and made["safety"]["restoring_at"] is None
    fleet["xen1"].xm_run("destroy", blocking.name)
    restore()
    assert fleet["xen1"].wait_alive("web01").memory_sha256 == copied.guest.memory_sha256


def test_a_guest_that_runs_again_is_told_when_that_cannot_be_noted(minion_on, copied, fleet, tmp_path):
    """Its copy, which is older from now on, goes all the same."""
    script = tmp_path / "xm"
    script.write_text(
        '#!/bin/sh\n%s "$@" || exit\n[ "$1" = restore ] && rm %s && mkdir %s\nexit 0\n'
        % (fleet["xen1"].layout.xm, copied.note, copied.note)
    )
    script.chmod(0o755)
    xm = minion_on("xen1", xm=str(script)).modules.xm
    try:
        told = xm.restore("web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER)
    finally:
        copied.note.rmdir()
    assert "web01 was restored here from its safety copy and runs" in told
    assert "what becomes of web01 cannot be kept there" in told
    assert fleet["xen1"].wait_alive("web01") and not copied.copy.exists()


def test_a_restore_that_xend_refuses_says_nothing_of_an_earlier_one(on, restore, copied, fleet):
    """Of that nobody has seen the end, so that the guest may have run since then."""
    copied.write(dict(copied.words, restoring_at="2012-03-04 05:07:08 UTC"))
    blocking = fleet["xen1"].create_guest("big", memory_mib=free_mib(fleet["xen1"]) - 8)
    assert "Nothing was removed" in refused(restore, asked=True)
    (made,) = on("xen1").copies()["sent"]
    assert made["safety"]["tried"] and made["safety"]["restoring_at"] == "2012-03-04 05:07:08 UTC"
    fleet["xen1"].xm_run("destroy", blocking.name)
    assert "it may have come back to xen1 since" in refused(restore) and copied.is_whole()


def test_a_guest_that_ends_as_soon_as_it_runs_has_run(minion_on, on, restore, copied, fleet, tmp_path):
    """xm restore has succeeded, and whoever looks then finds nothing; xend.log may be rotated by then."""
    script, log = tmp_path / "xm", fleet["xen1"].layout.log
    script.write_text(
        '#!/bin/sh\n%s "$@" || exit\n[ "$1" = restore ] && %s destroy web01 && : > %s\nexit 0\n'
        % (fleet["xen1"].layout.xm, fleet["xen1"].layout.xm, log)
    )
    script.chmod(0o755)
    xm = minion_on("xen1", xm=str(script)).modules.xm
    said = refused(xm.restore, "web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER)
    assert "must not be restored once more" in said and "Nothing was removed" not in said
    assert "it may have come back to xen1 since" in refused(restore)


def test_a_guest_that_goes_on_here_is_not_restored_though_its_note_stays(
    minion_on, on, restore, copied, fleet, tmp_path
):
    """Whoever lets it go on is killed before he has removed the note; it runs then, and is shut down."""
    guest = fleet["xen1"].create_guest("web01", uuid=copied.uuid)
    fleet["xen1"].xm_run("rename", "web01", "migrating-web01")
    fleet["xen1"].hypervisor.suspend(guest.domid)
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\ncp %s %s\nexec %s "$@"\n'
        % (copied.note, tmp_path / "note", fleet["xen1"].layout.python)
    )
    script.chmod(0o755)
    data, said = copied.copy.read_bytes(), copied.relay.read_bytes()
    xm = minion_on("xen1", python=str(script)).modules.xm
    assert "goes on here" in xm.repair("resume", "migrating-web01", copied.uuid, guest.domid)
    assert not copied.note.exists() and not copied.copy.exists()
    for path, content in (
        (copied.note, (tmp_path / "note").read_bytes()),
        (copied.relay, said),
        (copied.copy, data),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
    fleet["xen1"].xm_run("destroy", "migrating-web01")
    assert wait_until(lambda: fleet["xen1"].guests() == {}, END_S)
    assert "it may have come back to xen1 since" in refused(restore) and copied.is_whole()


def free_mib(host):
    return int(host.hypervisor.free_kib() // 1024)


def test_whoever_was_killed_in_the_middle_leaves_word_of_it(minion_on, on, restore, copied, fleet, tmp_path):
    """The guest may have run, and been shut down, before anybody looks again."""
    script = tmp_path / "xm"
    script.write_text(
        '#!/bin/sh\n[ "$1" = restore ] && cp %s %s\nexec %s "$@"\n'
        % (copied.note, tmp_path / "note", fleet["xen1"].layout.xm)
    )
    script.chmod(0o755)
    xm = minion_on("xen1", xm=str(script)).modules.xm
    data = copied.copy.read_bytes()
    xm.restore("web01", copied.uuid, "i1", claims=TARGET_SAYS_NEVER)
    # As it was at that moment.
    copied.note.write_bytes((tmp_path / "note").read_bytes())
    copied.copy.write_bytes(data)
    copied.copy.chmod(0o600)
    assert "web01 (domain" in refused(restore)
    fleet["xen1"].xm_run("destroy", "web01")
    assert wait_until(lambda: fleet["xen1"].guests() == {}, END_S)
    assert "it may have come back to xen1 since (a restore of it was begun" in refused(restore)
    # By xend's log alone it is the same.
    copied.write(copied.words)
    assert "or that it was completed)" in refused(restore)
    restore(asked=True)
    assert fleet["xen1"].wait_alive("web01").uuid == copied.uuid


@pytest.mark.parametrize("with_uuid", [True, False])
def test_a_guest_that_was_started_afresh_has_newer_disks(on, restore, copied, fleet, tmp_path, with_uuid):
    """By somebody who has shut it down again, so that nothing shows of it but what xend has logged."""
    file = tmp_path / "web01.cfg"
    uuid = 'uuid = "%s"\n' % copied.uuid if with_uuid else ""
    file.write_text('name = "web01"\nmemory = 96\nkernel = "/boot/vmlinuz"\n' + uuid)
    fleet["xen1"].layout.log.write_text("")
    before = on("xen1").copies("web01", uuid=copied.uuid)
    assert before["created"] is False and before["sent"][0]["safety"]["tried"] is False
    done = fleet["xen1"].xm_run("create", file)
    assert done.returncode == 0, done.stderr
    fleet["xen1"].xm_run("destroy", "web01")
    assert wait_until(lambda: fleet["xen1"].guests() == {}, END_S)
    assert on("xen1").copies("web01", uuid=copied.uuid)["created"] is True
    said = refused(restore)
    assert "xend.log there says that one of its name was started" in said and copied.is_whole()
    # Before it was sent, that means nothing.
    copied.say(began_at=time.time() + 5, sent_at=time.time() + 5)
    assert on("xen1").copies()["sent"][0]["safety"]["tried"] is False


# Guests that xend has lost, whoever looks later


def lose(on, fleet, live=True):
    """A guest of which the target's xend dies in mid-transfer; nobody but its source knows."""
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen2"].link(hold_at=0.5)
    said = []
    migrate = functools.partial(refused, on("xen1").migrate, "web01", "xen2", live=live)
    job = threading.Thread(target=lambda: said.append(migrate()))
    job.start()
    try:
        fleet["xen2"].wait_held()
        fleet["xen2"].kill_xend_child()
    finally:
        fleet["xen2"].release()
        job.join(END_S)
    fleet["xen2"].bring_up(END_S)
    assert said and fleet["xen1"].guests() == {}
    (left,) = fleet["xen2"].guests().values()
    assert not left.alive
    return guest


@pytest.mark.parametrize("live", [True, False])
def test_a_guest_that_was_lost_is_found_and_brought_back(on, look, mend, fleet, live):
    guest = lose(on, fleet, live)
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["lost"]) == ("kept", False)
    steps = [(step["do"], step["only_if_asked"]) for step in found["repairs"]]
    assert steps == [("remove", False), ("restore", False), ("forget", True)]
    found["repairs"].pop()
    mend(found)
    back = fleet["xen1"].wait_alive("web01")
    assert back.uuid == guest.uuid and (live or back.memory_sha256 == guest.memory_sha256)
    assert truth.crimes(truth.history([fleet["xen1"], fleet["xen2"]], guest.uuid)) == []
    (found,) = look("xen1", "xen2", "xen3")
    assert mend(found) == [True] and look("xen1", "xen2", "xen3") == []


def test_a_target_that_is_silent_leaves_it_to_the_operator(on, look, fleet):
    guest = lose(on, fleet)
    (found,) = look("xen1", "xen3", silent=["xen2"])
    (step,) = found["repairs"]
    assert (step["do"], step["only_if_asked"]) == ("restore", True) and found["outcome"] == "unknown"
    which = ("web01", guest.uuid, step["note"])
    assert "xen2 does not say what it holds" in refused(on("xen1").restore, *which, claims=step["claims"])
    on("xen1").restore(*which, claims=step["claims"], asked=True)
    assert fleet["xen1"].wait_alive("web01").uuid == guest.uuid


def test_a_guest_that_has_run_on_its_target_is_not_brought_back(on, look, fleet):
    """It has arrived, and its target loses it then."""
    guest = fleet["xen1"].create_guest("web01")
    assert on("xen1").migrate("web01", "xen2")["heard"] == "ok"
    fleet["xen2"].wait_alive("web01")
    fleet["xen2"].xm_run("destroy", "web01")
    assert wait_until(lambda: fleet["xen2"].guests() == {}, END_S)
    (found,) = look("xen1", "xen2", "xen3")
    assert found["lost"] and [step["do"] for step in found["repairs"]] == ["forget"]
    (made,) = on("xen1").copies()["sent"]
    assert made["safety"]["state"] == "removed" and made["safety"]["heard"] == "ok"
    said = refused(on("xen1").restore, "web01", guest.uuid, made["id"], asked=True)
    assert "its safety copy is" in said and "runs on the target" in said
    assert fleet["xen1"].guests() == {}


# What is proposed, and what goes


def test_what_is_found_is_taken_and_told(look, mend, copied, fleet):
    fleet["xen2"].create_guest("web01", uuid=copied.uuid, paused=True)
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["lost"]) == ("kept", False)
    assert [(step["do"], step["host"]) for step in found["repairs"]][:2] == [
        ("remove", "xen2"),
        ("restore", "xen1"),
    ]
    found["repairs"].pop()
    mend(found)
    assert fleet["xen1"].wait_alive("web01").uuid == copied.uuid and fleet["xen2"].guests() == {}
    (found,) = look("xen1", "xen2", "xen3")
    assert found["comment"].startswith(
        "web01 was not moved: it was brought back on xen1 from its safety copy, after about "
    )
    assert mend(found) == [True] and look("xen1", "xen2", "xen3") == []


def test_what_a_restore_has_left_does_not_hide_the_copy(on, look, copied, fleet):
    """xend has died at it: what is there can never run."""
    fleet["xen1"].create_guest("web01", uuid=copied.uuid, paused=True)
    copied.write(dict(copied.words, restoring_at="2012-03-04 05:16:01 UTC"))
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["lost"]) == ("kept", False) and str(copied.copy) in found["comment"]
    steps = [(step["do"], step["host"], step["only_if_asked"]) for step in found["repairs"]]
    assert steps[:2] == [("remove", "xen1", True), ("restore", "xen1", True)]
    remove, restore = found["repairs"][:2]
    words = (remove["do"], remove["listed"], copied.uuid, remove["domid"])
    which = ("web01", copied.uuid, restore["note"])
    assert "was not touched" in refused(on("xen1").repair, *words, claims=remove["claims"])
    assert "is here" in refused(on("xen1").restore, *which, claims=restore["claims"], asked=True)
    on("xen1").repair(*words, claims=remove["claims"], asked=True)
    assert "it may have come back" in refused(on("xen1").restore, *which, claims=restore["claims"])
    on("xen1").restore(*which, claims=restore["claims"], asked=True)
    assert fleet["xen1"].wait_alive("web01").memory_sha256 == copied.guest.memory_sha256


def test_one_host_alone_names_a_copy_that_it_keeps(on, copied):
    (found,) = on("xen1").unfinished()
    assert str(copied.copy) in found["advice"] and "restore: [web01]" in found["advice"]


def test_a_guest_that_is_given_up_takes_its_copy_with_it(on, copied):
    assert on("xen1").forget("web01", copied.uuid, "i1", claims={}, asked=True) is True
    assert [path.name for path in copied.folder.glob("web01.*")] == []


@pytest.mark.parametrize("word", [{"claims": {}, "asked": True}, {}])
def test_a_guest_is_not_given_up_while_its_relay_waits(on, copied, word):
    import xm_relay

    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as relay:
        copied.say(pid=relay.pid, identity=xm_relay.identity(relay.pid), phase="sent", heard=None)
        said = refused(on("xen1").forget, "web01", copied.uuid, "i1", **word)
        assert "its relay still sends it to xen2, or waits for the word of that" in said and copied.is_whole()
        assert relay.poll() is None
