"""
What a host keeps in mind of an evacuation: written, read, and never misread.
This file runs on Python 2.7 as well.
"""

import json
import os
from importlib import import_module

import pytest

import xend_lifecycle
import xend_settings
import xm_away

UUIDS = ["6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e%02d" % number for number in range(5)]
SINCE, LATER = "2026-11-29 04:05:06", "2026-11-30 00:00:00"


def guest(number, target="xen2"):
    return {"name": "web%02d" % number, "uuid": UUIDS[number], "target": target}


def closed(*guests):
    return xm_away.closing(xm_away.nothing(), list(guests), "xend.orch.evacuate", SINCE)


def write(folder, record):
    xm_away.write(str(folder), record, import_module)
    return read(folder)


def read(folder):
    return xm_away.read(str(folder), import_module)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "kept"
    path.mkdir()
    os.chmod(str(path), 0o700)
    return path


def test_a_host_that_has_never_been_emptied_is_open(tmp_path, folder):
    for place in (folder, tmp_path / "missing"):
        assert read(place) == xm_away.nothing()
    assert not os.path.exists(str(tmp_path / "missing"))
    assert xm_away.refusal(xm_away.nothing(), "xen1") == "" and xm_away.risks(xm_away.nothing(), "xen1") == []


def test_what_was_closed_is_read_as_it_was_written(folder):
    record = closed(guest(1), guest(2, "xen3"))
    assert record["closed"] is True and record["since"] == SINCE and record["problem"] is None
    assert write(folder, record) == record
    texts = [record["who"]] + list(read(folder)["guests"][0].values())
    # Under Python 2 they go into messages with bytes in them.
    assert [type(text) for text in texts] == [str] * 4
    assert os.stat(xm_away.path(str(folder))).st_mode & 0o777 == 0o600


def test_guests_are_added_and_one_that_is_known_goes_where_it_is_said_now():
    again = xm_away.closing(closed(guest(1), guest(2)), [guest(3), guest(1, "xen4")], "another one", LATER)
    assert again["guests"] == [guest(1, "xen4"), guest(2), guest(3)]
    # It takes no guests since it was closed first.
    assert (again["since"], again["who"]) == (SINCE, "another one")


def test_a_host_that_is_closed_again_for_nothing_new_stays_as_it_is():
    record = closed(guest(1), guest(2))
    for guests in ([], [guest(2)]):
        assert xm_away.closing(record, guests, "another one", LATER) == record


def test_a_host_that_is_opened_remembers_who_was_taken_away():
    opened = xm_away.opening(closed(guest(1)))
    assert opened == dict(closed(guest(1)), closed=False)
    assert xm_away.refusal(opened, "xen1") == "" and xm_away.risks(opened, "xen1") == []
    assert xm_away.closing(opened, [guest(2)], "me", LATER) == {
        "closed": True,
        "since": LATER,
        "who": "me",
        "guests": [guest(1), guest(2)],
        "problem": None,
    }


def test_who_is_home_is_not_remembered():
    record = closed(guest(1), guest(2))
    assert xm_away.without(record, [UUIDS[1], UUIDS[4]])["guests"] == [guest(2)]
    assert xm_away.without(record, []) == record


def test_the_file_goes_when_it_has_nothing_to_say(folder):
    place = xm_away.path(str(folder))
    for record in (xm_away.opening(closed(guest(1))), closed()):
        assert write(folder, record) == record and os.path.exists(place)
    for _ in range(2):
        # The second time there is none.
        assert write(folder, xm_away.opening(closed())) == xm_away.nothing()
        assert os.listdir(str(folder)) == []


def test_a_host_that_is_closed_says_since_when_for_whom_and_what_opens_it():
    said = xm_away.refusal(closed(guest(1)), "xen1")
    assert said.startswith("xen1 takes no guests: it is being emptied (since %s, xend.orch.evacuate)" % SINCE)
    assert "xend.orch.restore" in said and "`salt xen1 xm.open_host`" in said


def test_what_keeps_xend_from_being_restarted_can_be_accepted_by_its_word():
    (risk,) = xm_away.risks(closed(guest(1)), "xen1")
    assert "xen1 is being emptied (since %s, xend.orch.evacuate)" % SINCE in risk["what"]
    assert "accept=%s" % risk["kind"] in risk["remedy"] and "[%s]" % risk["kind"] in risk["remedy"]
    assert xend_lifecycle.accepted([risk["kind"]], import_module) == [risk["kind"]]
    assert risk["kind"] in xend_settings.RESTART_ACCEPT


GARBAGE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"[" * 100000,
    b'{"closed": false}',
    b'{"guests": []}',
    b'{"closed": "no", "guests": []}',
    b'{"closed": 0, "guests": []}',
    b'{"closed": false, "guests": {}}',
    b'{"closed": false, "guests": [], "who": 5}',
    b'{"closed": false, "guests": [{"name": "web01"}]}',
    b'{"closed": false, "guests": [{"name": "web01", "uuid": "u", "target": "xen2"}]}',
    b'{"closed": false, "guests": [null]}',
]


@pytest.mark.parametrize("content", GARBAGE)
def test_what_is_not_understood_keeps_the_host_closed_and_says_which_file(folder, content):
    place = xm_away.path(str(folder))
    with open(place, "wb") as stream:
        stream.write(content)
    found = read(folder)
    assert found["closed"] is True and found["guests"] == [] and place in found["problem"]
    for said in (xm_away.refusal(found, "xen1"), xm_away.risks(found, "xen1")[0]["remedy"]):
        assert "mends it or removes it" in said and "on xen1" in said
    assert place in xm_away.refusal(found, "xen1") and place in xm_away.risks(found, "xen1")[0]["what"]


def test_no_problem_is_read_from_the_file(folder):
    record = dict(closed(guest(1)), problem="all is wrong")
    with open(xm_away.path(str(folder)), "wb") as stream:
        stream.write(json.dumps(record).encode("ascii"))
    assert read(folder) == closed(guest(1))


def _link(place, victim):
    os.symlink(victim, place)


def _hard_link(place, victim):
    os.link(victim, place)


def _fifo(place, victim):
    os.mkfifo(place)


def _folder(place, victim):
    os.mkdir(place)


@pytest.mark.parametrize("plant", [_link, _hard_link, _fifo, _folder])
def test_what_is_no_file_of_its_own_keeps_the_host_closed(tmp_path, folder, plant):
    victim, place = str(tmp_path / "victim"), xm_away.path(str(folder))
    with open(victim, "wb") as stream:
        stream.write(json.dumps(xm_away.nothing()).encode("ascii"))
    plant(place, victim)
    found = read(folder)
    assert found["closed"] is True and place in found["problem"]


def test_what_others_may_have_written_keeps_the_host_closed(folder):
    write(folder, closed(guest(1)))
    place = xm_away.path(str(folder))
    os.chmod(place, 0o620)
    found = read(folder)
    assert found["closed"] is True and "0620" in found["problem"] and place in found["problem"]
    os.chmod(place, 0o600)
    # Nor does a folder prove that there is no record, from which others may have taken it.
    os.chmod(str(folder), 0o777)
    found = read(folder)
    assert found["closed"] is True and "chmod 700" in found["problem"]


def test_a_guest_that_could_not_be_read_again_is_not_written(folder):
    before = write(folder, closed(guest(1)))
    with pytest.raises(ValueError):
        write(folder, closed(dict(guest(2), uuid="none")))
    with pytest.raises(ValueError):
        uuids = ["%08d%s" % (number, UUIDS[1][8:]) for number in range(2000)]
        write(folder, closed(*[dict(guest(1), uuid=uuid) for uuid in uuids]))
    assert read(folder) == before


def test_names_of_any_letters_come_back(folder):
    name = b"gr\xc3\xbcn".decode("utf-8")
    found = write(folder, closed(dict(guest(1), name=name)))["guests"][0]["name"]
    assert isinstance(found, str) and found == (name if str is type(name) else name.encode("utf-8"))
