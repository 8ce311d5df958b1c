"""
What is kept of guests that are sent away: the files, and what is read from them.
This file runs on Python 2.7 as well.
"""

import os
from importlib import import_module

import pytest

import xm_kept

WORDS = {
    "id": "i1",
    "name": "web01",
    "uuid": "u1",
    "target": "xen2",
    "at": "2012-03-04 05:06:07",
    "what": "uuid u1, 96 MiB, phy:/dev/vg/web01",
    "kept": "/kept/web01.u1.sxp",
}


def write(folder, words):
    path = xm_kept.note_file(str(folder), words["name"], words["uuid"])
    with open(path, "wb") as stream:
        stream.write(xm_kept.note(words))
    return path


def test_a_note_is_read_as_it_was_written(tmp_path):
    write(tmp_path, WORDS)
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert found == WORDS
    # Under Python 2 it goes into messages with bytes in them.
    assert [type(text) for text in found.values()] == [str] * len(WORDS)


def test_a_disk_may_be_called_anything(tmp_path):
    what = b"phy:/dev/vg/gr\xfcn" if str is bytes else "phy:/dev/vg/gr\xfcn"
    write(tmp_path, dict(WORDS, what=what))
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert found["what"].startswith("phy:/dev/vg/gr") and isinstance(found["what"], str)


def test_notes_come_in_the_order_of_time(tmp_path):
    for name, minute in (("c", "01"), ("a", "03"), ("b", "02")):
        write(tmp_path, dict(WORDS, name=name, at="2012-03-04 05:%s" % minute))
    assert [words["name"] for words in xm_kept.noted(str(tmp_path), import_module)] == ["c", "b", "a"]


def test_a_note_goes_once(tmp_path):
    write(tmp_path, WORDS)
    other = write(tmp_path, dict(WORDS, uuid="u2"))
    assert xm_kept.forget(str(tmp_path), "web01", "u1", "i1", import_module) is True
    assert xm_kept.forget(str(tmp_path), "web01", "u1", "i1", import_module) is True
    left = xm_kept.noted(str(tmp_path), import_module)
    assert [words["uuid"] for words in left] == ["u2"] and os.path.exists(other)


def test_a_note_that_was_made_anew_stays(tmp_path):
    write(tmp_path, dict(WORDS, id="i2"))
    assert xm_kept.forget(str(tmp_path), "web01", "u1", "i1", import_module) is False
    assert [words["id"] for words in xm_kept.noted(str(tmp_path), import_module)] == ["i2"]


def test_what_a_relay_keeps_is_named_by_its_note(tmp_path):
    relay = xm_kept.relay_file("/kept", "web01", "u1")
    copy = xm_kept.copy_file("/srv/copies", "web01", "u1")
    assert (relay, copy) == ("/kept/web01.u1.relay", "/srv/copies/web01.u1.save")
    words = dict(WORDS, relay=relay, copy=copy, restored_at="2012-03-04 05:16:07 UTC", stood_still_s=12.5)
    words["restoring_at"] = "2012-03-04 05:16:01 UTC"
    write(tmp_path, words)
    assert xm_kept.noted(str(tmp_path), import_module) == [words]


@pytest.mark.parametrize("value", [b"5", b"[]", b"{}", b"true"])
def test_a_note_that_names_no_file_for_a_copy_cannot_be_read(tmp_path, value):
    path = write(tmp_path, dict(WORDS, copy="/x/web01.u1.save"))
    with open(path, "rb") as stream:
        data = stream.read().replace(b'"/x/web01.u1.save"', value)
    with open(path, "wb") as stream:
        stream.write(data)
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert "cannot be read" in found["at"]


def kept_of_a_relay(tmp_path):
    for folder in ("kept", "copies"):
        (tmp_path / folder).mkdir()
    folder = str(tmp_path / "kept")
    relay, copy = xm_kept.relay_file(folder, "web01", "u1"), xm_kept.copy_file(
        str(tmp_path / "copies"), "web01", "u1"
    )
    for path in (relay, copy):
        with open(path, "wb") as stream:
            stream.write(b"x")
    return folder, write(folder, dict(WORDS, relay=relay, copy=copy)), relay, copy


def test_with_a_note_goes_what_a_relay_has_left_and_the_note_is_the_last_to_go(tmp_path, monkeypatch):
    folder, note, relay, copy = kept_of_a_relay(tmp_path)
    removed, unlink = [], os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: (unlink(path), removed.append(path)))
    assert xm_kept.forget(folder, "web01", "u1", "i1", import_module) is True
    assert removed == [copy, relay, note] and os.listdir(folder) == []


def test_a_copy_that_cannot_be_removed_is_still_noted(tmp_path):
    folder, note, relay, copy = kept_of_a_relay(tmp_path)
    os.unlink(copy)
    os.mkdir(copy)
    with pytest.raises(EnvironmentError):
        xm_kept.forget(folder, "web01", "u1", "i1", import_module)
    assert os.path.exists(note) and os.path.exists(relay)


def test_of_a_note_that_was_made_anew_nothing_is_removed(tmp_path):
    folder, note, relay, copy = kept_of_a_relay(tmp_path)
    assert xm_kept.forget(folder, "web01", "u1", "i2", import_module) is False
    assert [os.path.exists(path) for path in (note, relay, copy)] == [True, True, True]


def test_what_is_left_without_a_note_goes_as_well(tmp_path):
    folder = str(tmp_path)
    copy = xm_kept.copy_file(folder, "web01", "u1")
    open(copy, "w").close()
    assert xm_kept.forget(folder, "web01", "u1", "i1", import_module) is True
    assert os.listdir(folder) == []


@pytest.mark.parametrize("copy", ["/etc/passwd", "web01.u1.save", "", "web02.u2.save"])
def test_a_note_has_nothing_removed_that_is_no_copy_of_its_guest(tmp_path, copy):
    other = tmp_path / "web02.u2.save"
    other.write_bytes(b"")
    words = dict(WORDS, copy=str(tmp_path / copy) if copy.startswith("web02") else copy)
    assert xm_kept.files(str(tmp_path), words) == [
        str(tmp_path / "web01.u1.save"),
        str(tmp_path / "web01.u1.relay"),
        str(tmp_path / ".web01.u1.relay.new"),
    ]


# What is known of a safety copy

NOW = 60.0

SAID = {
    "id": "i1",
    "alive": False,
    "phase": "over",
    "heard": "silence",
    "said": None,
    "live": True,
    "began_at": 5.0,
    "sent_at": 9.5,
}


@pytest.fixture
def copied(tmp_path):
    """A guest whose copy is complete: the note on it, and what its relay says."""
    path = xm_kept.copy_file(str(tmp_path), "web01", "u1")
    with open(path, "wb") as stream:
        stream.write(b"memory")
    os.chmod(path, 0o600)
    made = dict(WORDS, relay=xm_kept.relay_file(str(tmp_path), "web01", "u1"), copy=path)
    return made, dict(SAID, copy={"state": "complete", "path": path, "bytes": 6, "why": None})


def test_a_note_that_cannot_be_read_hides_no_copy(tmp_path):
    """Else its guest would be called lost, and the copy be thrown away with the note."""
    folder = str(tmp_path)
    path = xm_kept.note_file(folder, "web01", "u1")
    with open(path, "w") as stream:
        stream.write("{")
    assert "memory" not in xm_kept.noted(folder, import_module)[0]["at"]
    copy = xm_kept.copy_file(folder, "web01", "u1")
    open(copy, "w").close()
    assert "cannot be read; %s may have its memory)" % copy in xm_kept.noted(folder, import_module)[0]["at"]


def test_a_copy_is_complete_when_its_relay_says_so_and_the_file_is_there(copied):
    found = xm_kept.safety(*copied, now=NOW)
    assert found["state"] == "complete" and found["path"] == copied[0]["copy"] and found["bytes"] == 6
    assert (found["heard"], found["alive"], found["live"]) == ("silence", False, True)
    assert (found["began_at"], found["sent_at"], found["stood_still_s"]) == (5.0, 9.5, None)


@pytest.mark.parametrize(
    "sent_at, now, recent",
    [(9.5, 60, True), (9.5, 3600, True), (9.5, 3610, False), (9.5, 9, False), (None, 9, False)],
)
def test_a_guest_that_left_long_ago_may_have_been_started_since(copied, sent_at, now, recent):
    made, said = copied
    assert xm_kept.safety(made, dict(said, sent_at=sent_at), now)["recent"] is recent


def test_a_restore_that_was_begun_may_have_succeeded(copied):
    made, said = copied
    assert xm_kept.safety(made, said, NOW)["tried"] is False
    assert xm_kept.safety(dict(made, restoring_at="2012-03-04 05:16:01 UTC"), said, NOW)["tried"] is True


def test_what_a_relay_says_that_cannot_be_read_makes_no_complete_copy(copied):
    found = xm_kept.safety(copied[0], None, NOW, "it cannot be read")
    assert (found["state"], found["why"]) == ("broken", "it cannot be read")


@pytest.mark.parametrize(
    "heard, domid, refused",
    [("err", 7, True), ("err", None, False), ("silence", 7, False), ("ok", 7, False), (None, 7, False)],
)
def test_an_error_of_the_target_proves_that_a_guest_has_not_run_there(copied, heard, domid, refused):
    """But for one that is managed, whose configuration may be what went wrong after it was unpaused."""
    made, said = copied
    assert xm_kept.safety(dict(made, domid=domid), dict(said, heard=heard), NOW)["refused"] is refused


def test_a_guest_that_was_sent_without_a_relay_has_none():
    assert xm_kept.safety(WORDS, None, NOW) is None


def ruined(path, how):
    if how == "gone":
        os.unlink(path)
    elif how == "shorter":
        open(path, "w").close()
    elif how == "longer":
        with open(path, "ab") as stream:
            stream.write(b"!")
    elif how == "link":
        os.rename(path, path + ".other")
        os.symlink(path + ".other", path)
    elif how == "folder":
        os.unlink(path)
        os.mkdir(path)
    else:
        os.chmod(path, 0o640)


@pytest.mark.parametrize("how", ["gone", "shorter", "longer", "link", "folder", "open to others"])
def test_a_copy_that_is_not_what_its_relay_has_written_is_none(copied, how):
    ruined(copied[0]["copy"], how)
    found = xm_kept.safety(*copied, now=NOW)
    assert found["state"] == "broken" and copied[0]["copy"] in found["why"]


@pytest.mark.parametrize(
    "said, state",
    [
        (None, "broken"),
        ({"id": "i2"}, "broken"),
        ({"copy": {"state": "growing", "bytes": 3}, "alive": True}, "growing"),
        ({"copy": {"state": "growing", "bytes": 3}, "alive": False}, "broken"),
        ({"copy": {"state": "given up", "why": "No space left on device"}}, "given up"),
        ({"copy": {"state": "removed"}, "heard": "ok"}, "removed"),
        ({"copy": {"state": "none"}}, "none"),
        ({"copy": {"state": "complete", "path": None, "bytes": 6}}, "complete"),
        ({"copy": {"state": "complete", "bytes": None}}, "broken"),
        ({"copy": None}, "none"),
    ],
)
def test_what_has_become_of_a_copy(copied, said, state):
    made, whole = copied
    said = said if said is None else dict(whole, **said)
    assert xm_kept.safety(made, said, NOW)["state"] == state


def test_of_a_guest_that_was_brought_back_the_copy_is_removed(copied):
    os.unlink(copied[0]["copy"])
    made = dict(copied[0], restored_at="2012-03-04 05:16:07 UTC", stood_still_s=12.5)
    found = xm_kept.safety(made, copied[1], NOW)
    assert (found["state"], found["stood_still_s"], found["why"]) == ("removed", 12.5, None)


def test_where_no_copy_was_wanted_none_is_missed(copied):
    made = dict(copied[0], copy=None)
    assert xm_kept.safety(made, None, NOW)["state"] == "none"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"3", b"null", b"{}", b'{"name": "web01"}', b"\xff\xfe", b'{"name": 5}']
)
def test_a_note_that_cannot_be_read_is_one_all_the_same(tmp_path, data):
    path = tmp_path / "web.01.u1.sent"
    path.write_bytes(data)
    (tmp_path / "web.01.u1.sxp").write_bytes(b"(domain)")
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert (found["name"], found["uuid"]) == ("web.01", "u1") and str(path) in found["at"]
    assert found["kept"] == str(tmp_path / "web.01.u1.sxp")
    assert xm_kept.forget(str(tmp_path), "web.01", "u1", found["id"], import_module) is True
    assert xm_kept.noted(str(tmp_path), import_module) == []


def test_a_folder_that_is_not_there_has_no_notes(tmp_path):
    assert xm_kept.noted(str(tmp_path / "none"), import_module) == []
    assert xm_kept.forget(str(tmp_path / "none"), "web01", "u1", "i1", import_module) is True


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentError):
        xm_kept.noted(str(tmp_path / "file"), import_module)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/x", ".hidden", "-rf", "a b", "a/b"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    found = xm_kept.description_file(str(tmp_path), name, "u1")
    assert os.path.dirname(found) == str(tmp_path)
    assert os.path.basename(found)[0] not in ".-" and found.endswith(".u1.sxp")


# Whether a guest may yet be sent

XEND = "boot 17 4711"
SENT = dict(WORDS, domid=7, xend=XEND, up_s=1000.0)
SEEN = {"domid": 7, "xend": XEND, "up_s": 1001.0, "asked": False, "sends": False}


def test_what_a_note_needs_to_be_judged_later_is_read_as_it_was_written(tmp_path):
    write(tmp_path, SENT)
    assert xm_kept.noted(str(tmp_path), import_module) == [SENT]
    write(tmp_path, dict(SENT, domid=None))
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert "domid" not in found and type(found["xend"]) is str


@pytest.mark.parametrize(
    "made, seen, over",
    [
        # xend may still look for memory, or for the address of the target.
        ({}, {}, False),
        ({}, {"up_s": 1500.0}, False),
        ({}, {"up_s": 1601.0}, True),
        # Another xend has never heard of it.
        ({}, {"xend": "boot 18 4800"}, True),
        ({}, {"xend": "reboot 17 4711", "up_s": 5.0}, True),
        # It has left and come back; one that is managed may be started anew as the same.
        ({}, {"domid": 8}, True),
        ({"domid": None}, {"domid": 8}, False),
        ({"domid": None}, {"domid": 8, "up_s": 1601.0}, True),
        # Notes of older versions tell nothing of that.
        ({"xend": None, "domid": None, "up_s": None}, {"up_s": 99999.0}, False),
        ({"xend": None}, {"domid": 8}, True),
        ({"xend": None, "domid": None}, {"up_s": 99999.0}, False),
        ({"up_s": None}, {"up_s": 99999.0}, False),
        ({}, {"up_s": None}, False),
    ],
)
def test_when_a_guest_that_runs_where_it_was_can_not_be_sent_any_more(made, seen, over):
    made, seen = dict(SENT, **made), dict(SEEN, **seen)
    assert xm_kept.is_over(made, seen) is over
    # Whatever else is known: not while anything shows that somebody is about to send a guest.
    for doubt in ({"asked": True}, {"sends": True}, {"sends": None}, {"xend": None}):
        assert xm_kept.is_over(made, dict(seen, **doubt)) is False


# What others may have put there


def test_a_guest_that_was_brought_back_is_not_about_to_be_sent():
    made = dict(SENT, restored_at="2012-03-04 05:16:07 UTC")
    assert xm_kept.is_over(made, SEEN) is True
    assert xm_kept.is_over(made, dict(SEEN, sends=True)) is False


def test_what_is_no_file_is_neither_followed_nor_waited_for(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(xm_kept.note(dict(WORDS, name="other", uuid="u9")))
    kept = tmp_path / "kept"
    kept.mkdir()
    os.symlink(str(secret), str(kept / "link.u1.sent"))
    os.mkfifo(str(kept / "pipe.u2.sent"))
    (kept / "folder.u3.sent").mkdir()
    found = xm_kept.noted(str(kept), import_module)
    assert sorted([words["name"] for words in found]) == ["folder", "link", "pipe"]
    assert all(["cannot be read" in words["at"] for words in found])
    # They can be got rid of, and what the link leads to stays.
    assert xm_kept.forget(str(kept), "link", "u1", "", import_module)
    assert xm_kept.forget(str(kept), "pipe", "u2", "", import_module)
    left = xm_kept.noted(str(kept), import_module)
    assert secret.exists() and [words["name"] for words in left] == ["folder"]


@pytest.mark.parametrize("count", [100, 1000000])
def test_a_note_without_end_is_one_that_cannot_be_read(tmp_path, count):
    for data in (b" " * count + b"[" * count, xm_kept.note(dict(WORDS, what="x" * count))[:-1]):
        (tmp_path / "web01.u1.sent").write_bytes(data)
        (found,) = xm_kept.noted(str(tmp_path), import_module)
        assert found["name"] == "web01" and "cannot be read" in found["at"]


@pytest.mark.parametrize("trace", [b"NaN", b"1e999", b"[1]", b"true", b"{}", b"-1e13"])
def test_numbers_that_nobody_can_count_with_are_none(tmp_path, trace):
    data = xm_kept.note(SENT).replace(b"1000.0", trace)
    (tmp_path / "web01.u1.sent").write_bytes(data)
    (found,) = xm_kept.noted(str(tmp_path), import_module)
    assert found["up_s"] is None and found["domid"] == 7


def test_more_notes_than_anybody_can_have_made_are_not_read(tmp_path):
    for number in range(1001):
        open(str(tmp_path / ("web%d.u1.sent" % number)), "w").close()
    with pytest.raises(EnvironmentError) as caught:
        xm_kept.noted(str(tmp_path), import_module)
    assert "1001 notes" in str(caught.value) and str(tmp_path) in str(caught.value)


def test_names_of_any_length_have_files_of_their_own(tmp_path):
    names = ["x" * 300 + end for end in ("a", "b")]
    for name in names:
        write(tmp_path, dict(WORDS, name=name))
    assert sorted([words["name"] for words in xm_kept.noted(str(tmp_path), import_module)]) == names
    assert xm_kept.forget(str(tmp_path), names[0], "u1", "i1", import_module)
    assert [words["name"] for words in xm_kept.noted(str(tmp_path), import_module)] == names[1:]
    assert xm_kept.description_file("/kept", "web01", "u1") == "/kept/web01.u1.sxp"
