"""
Guests that are nowhere, and of which their source has a safety copy: when they are brought back.
This file runs on Python 2.7 as well.
"""

import importlib
import itertools

import pytest

import xm_fleet
from tests.held import COPIES, GUEST, SILENT, fleet, note, noted, one

UTILITY = importlib.import_module
SAFETY = {
    "state": "complete",
    "path": "/kept/web01.save",
    "bytes": 100 << 20,
    "heard": "silence",
    "said": None,
    "alive": False,
    "refused": False,
    "recent": True,
    "tried": False,
}
REFUSED = {"heard": "err", "said": "Device 0 (vif) could not be connected.", "refused": True}


def sent(**safety):
    return dict(note(), safety=dict(SAFETY, **safety))


def dead(completed=False):
    return dict(one("unfinished"), completed=completed)


def known(reports, host="xen2", completed=False):
    """What the log of a host says of the guest, which is not there any more."""
    reports[host] = dict(reports[host], completed=completed, completions={"u1": completed})
    return reports


def gather(*held, **safety):
    return findings(noted(fleet(*held), xen1=sent(**safety)))


def findings(reports):
    found = xm_fleet.gather(reports, UTILITY)
    for each in found:
        assert "%" not in each["comment"] and "None" not in each["comment"], each["comment"]
    return found


def gather_one(reports, **guest):
    return xm_fleet.gather_one(reports, dict(GUEST, **guest), UTILITY)


def asked(found):
    return [(step["do"], step["host"], step["only_if_asked"]) for step in found["repairs"]]


BACK = [("remove", "xen2", False), ("restore", "xen1", False), ("forget", "xen1", True)]
ASKED = [("restore", "xen1", True), ("forget", "xen1", True)]


# What is found


@pytest.mark.parametrize(
    "held, safety, repairs, said",
    [
        # xend died on the target, and has left a dead copy.
        ([[], dead()], {}, BACK, "closed the connection without a word"),
        ([one("managed"), dead()], {}, BACK, "xend on xen1 knows it"),
        ([[], dead(), []], {"heard": "unanswered"}, BACK, "has not said what has become of it"),
        ([[], dead(None)], REFUSED, BACK, "could not complete it: Device 0 (vif) could not be connected"),
        # It has removed its copy itself, and said why.
        ([[], []], REFUSED, BACK[1:], "could not complete it: Device 0 (vif)"),
        ([[], []], {}, ASKED, "xend.log on xen2 does not tell"),
        ([[], one("managed")], REFUSED, ASKED, "xend.log on xen2 does not tell"),
        # The log does not tell whether the copy is one that could run.
        (
            [[], dead(None)], {},
            [("remove", "xen2", True), ("restore", "xen1", True), ("forget", "xen1", True)],
            "xend.log on xen2 does not tell",
        ),
        (
            [[], dead(True)], {},
            [("remove", "xen2", True), ("restore", "xen1", True), ("forget", "xen1", True)],
            "may be whole",
        ),
        # Somebody else has to be looked at.
        (
            [[], dead(), SILENT], {}, [("remove", "xen2", True), ("restore", "xen1", True)],
            "xen3 does not answer",
        ),
        (
            [[], dead(), one("running", uuid="u2")], {},
            [("remove", "xen2", True), ("restore", "xen1", True), ("forget", "xen1", True)],
            "another domain of that name is on xen3",
        ),
        ([[], one("running", uuid="u2")], REFUSED, ASKED, "another domain of that name is on xen2"),
        (
            [[], dead()], {"tried": True},
            [("remove", "xen2", True), ("restore", "xen1", True), ("forget", "xen1", True)],
            "it may have come back to xen1 since",
        ),
        (
            [[], dead()], {"recent": False},
            [("remove", "xen2", True), ("restore", "xen1", True), ("forget", "xen1", True)],
            "it left xen1 so long ago that it may have been started somewhere since",
        ),
        # What is left on a host that has nothing to do with it changes nothing.
        ([[], dead(), one("unfinished")], {}, BACK, "its memory is whole"),
        ([[], dead(), one("managed")], {}, BACK, "its memory is whole"),
        # xend restores no second domain of that name.
        ([one("running", uuid="u2"), dead()], {}, BACK[2:], "restores no second domain of that name"),
    ],
)
def test_a_guest_whose_source_has_its_memory_is_brought_back(held, safety, repairs, said):
    found = [each for each in gather(*held, **safety) if each["uuid"] == "u1"]
    (found,) = found
    assert (found["outcome"], found["lost"], found["moved"]) == ("kept", False, False)
    assert asked(found) == repairs
    assert said in found["comment"] and "/kept/web01.save on xen1" in found["comment"]
    assert "LOST" not in found["comment"] and "To start it again" not in found["comment"]
    for step in found["repairs"]:
        if step["do"] == "restore":
            assert (step["name"], step["uuid"], step["note"]) == ("web01", "u1", note()["id"])
            assert ("restore: [web01]" in found["comment"]) is step["only_if_asked"]
    if ("forget", "xen1", True) in repairs:
        assert "remove_lost: [web01] of xend.orch.recover ends this report instead" in found["comment"]


@pytest.mark.parametrize("state", ["none", "growing", "given up", "removed", "broken"])
@pytest.mark.parametrize("held", [[[], dead()], [[], []], [[], SILENT]])
def test_without_a_complete_copy_all_is_as_it_was(held, state):
    (before,) = findings(noted(fleet(*held), xen1=note()))
    (found,) = gather(*held, state=state)
    assert found == before


def test_what_the_log_says_of_a_copy_that_is_gone_counts():
    reports = noted(known(fleet([], [])), xen1=sent())
    (found,) = findings(reports)
    assert asked(found) == BACK[1:]
    (found,) = findings(noted(known(fleet([], []), completed=True), xen1=sent()))
    assert asked(found) == ASKED and "it is started afresh then" in found["comment"]


@pytest.mark.parametrize("there", [[], one("managed"), one("running", uuid="u2"), dead()])
@pytest.mark.parametrize("tried", [True, False])
def test_what_a_restore_has_left_is_removed_when_the_guest_is_named(there, tried):
    """xend has died at it. Without the copy, the guest would be lost."""
    wanted = [("remove", "xen1", True), ("restore", "xen1", True)]
    wanted[:0] = [("remove", "xen2", True)] if there == dead() else []
    begun = {"tried": tried, "restoring_at": "2012-03-04 05:16:01 UTC" if tried else None}
    for third in ([], dead()):
        reports = noted(fleet(dead(), there, third), xen1=sent(**begun))
        for found in (findings(reports)[0], gather_one(reports), gather_one(reports, ran=False)):
            assert found["outcome"] == "kept" and not found["lost"], found["comment"]
            assert asked(found)[: len(wanted)] == wanted
            assert "whole in the safety copy /kept/web01.save on xen1" in found["comment"]
            assert "restore: [web01] of xend.orch.recover brings it back" in found["comment"]
            assert "removes this copy" not in found["comment"] and "LOST" not in found["comment"]
    # Where it cannot be seen, where it runs, and where it comes, nothing is to be removed.
    for there in (SILENT, one("running"), one("receiving"), one("suspended")):
        for found in findings(noted(fleet(dead(), there), xen1=sent(**begun))):
            assert "restore" not in [step["do"] for step in found["repairs"]]
    (found,) = findings(noted(fleet(one("receiving"), []), xen1=sent(**begun)))
    assert (found["outcome"], found["repairs"]) == ("going_on", [])


@pytest.mark.parametrize("where", ["xen2", "xen3"])
@pytest.mark.parametrize("safety", [{}, REFUSED])
def test_a_guest_that_was_started_afresh_since_is_brought_back_only_when_it_is_named(where, safety):
    """And has ended before anybody looks: its disks are newer."""
    reports = noted(known(fleet([], [], []), completed=False), xen1=sent(**safety))
    reports[where]["creations"] = {"u1": True}
    for found in (findings(reports)[0], gather_one(reports)):
        assert asked(found) == ASKED and "by xend.log on %s, one of its name" % where in found["comment"]
        assert found["repairs"][0]["claims"][where] == xm_fleet.CREATED
    # What is there says so itself.
    reports = noted(fleet([], one("running")), xen1=sent(**safety))
    reports["xen2"]["creations"] = {"u1": True}
    for found in findings(reports) + [gather_one(reports)]:
        assert "restore" not in [step["do"] for step in found["repairs"]]


def test_while_the_target_is_silent_it_takes_the_word_of_the_operator():
    for held in ([[], SILENT], [[], SILENT, []]):
        (found,) = gather(*held)
        assert (found["outcome"], asked(found)) == ("unknown", [("restore", "xen1", True)])
        for text in ("xen2 does not say what it holds", "switched off", "restore: [web01]", "/web01.save"):
            assert text in found["comment"]
    # Nor does a target answer that nobody asks.
    (found,) = findings(noted(fleet([], []), xen1=dict(sent(), target="10.0.0.9")))
    assert asked(found) == ASKED and "10.0.0.9 does not say what it holds" in found["comment"]


@pytest.mark.parametrize(
    "safety, said",
    [
        ({"heard": "ok"}, "xen2 has said that it runs there"),
        ({"alive": True}, "still waits for the word of xen2"),
        (dict(REFUSED, alive=True), "still waits"),
    ],
)
@pytest.mark.parametrize("held", [[[], []], [[], dead()], [[], SILENT]])
def test_a_guest_that_may_have_run_is_not_restored_whoever_asks(held, safety, said):
    (found,) = gather(*held, **safety)
    assert "restore" not in [step["do"] for step in found["repairs"]]
    assert found["outcome"] in ("lost", "incomplete", "unknown")
    assert "Its safety copy /kept/web01.save on xen1 is not restored" in found["comment"]
    assert said in found["comment"]


def test_a_guest_that_was_sent_on_is_not_restored_where_it_came_from():
    on = note(target="xen3", at="2012-03-04 06:00:00 UTC")
    (found,) = findings(noted(fleet([], [], []), xen1=sent(), xen2=on))
    assert "restore" not in [step["do"] for step in found["repairs"]] and found["lost"]
    assert "is not restored: by its own word xen2 has it, or has had it" in found["comment"]
    # One that is older was made before it came back.
    older = note(target="xen1", at="2012-03-04 04:00:00 UTC")
    (found,) = findings(noted(fleet([], dead(), []), xen1=sent(), xen2=older))
    assert asked(found)[:2] == BACK[:2]
    # By a note of a third host it has been there since.
    (found,) = findings(noted(fleet([], dead(), []), xen1=sent(), xen3=on))
    assert ("restore", "xen1", True) in asked(found) and "xen3 says" in found["comment"]


def test_a_host_that_has_nothing_to_do_with_it_cannot_keep_it_from_coming_back():
    for copy in ("running", "suspended", "receiving", "halted"):
        for mine in ([], dead()):
            (found,) = gather([], mine, one(copy))
            assert found["outcome"] == "unknown" and ("restore", "xen1", True) in asked(found), (copy, mine)
            assert "xen3 says that web01 is there, or was" in found["comment"]
            assert "restore: [web01]" in found["comment"]


MAY_NOT_HAVE_IT = ("absent", "managed", "foreign", "unasked", "unfinished", "unknown")


@pytest.mark.parametrize("copy", sorted(set(COPIES).difference(MAY_NOT_HAVE_IT)))
def test_where_its_target_has_it_nothing_is_restored(copy):
    for found in gather([], one(copy)):
        assert "restore" not in [step["do"] for step in found["repairs"]]


def test_where_its_target_may_have_it_that_is_for_the_operator_to_say():
    for found in gather([], one("unknown")):
        assert ("restore", "xen1", True) in asked(found)
        assert "restore" not in [step["do"] for step in found["repairs"] if not step["only_if_asked"]]


# The last look of a migration


@pytest.mark.parametrize(
    "reports, safety, repairs",
    [
        (fleet([], dead()), {}, BACK),
        (fleet([], dead(None)), {}, BACK),
        (known(fleet([], [])), {}, BACK[1:]),
        (known(fleet([], []), completed=True), REFUSED, BACK[1:]),
        (known(fleet([], []), completed=True), {}, ASKED),
        (fleet([], []), {}, ASKED),
        # It was seen to run on its source a moment ago, so that nobody else can have it.
        (fleet([], dead(), SILENT), {}, BACK[:2]),
        (fleet([], dead(), []), {}, BACK),
    ],
)
def test_a_guest_that_has_just_been_lost(reports, safety, repairs):
    reports["xen2"].update(declared=["xen1", "xen2"])
    found = gather_one(noted(reports, xen1=sent(**safety)))
    assert (found["outcome"], found["lost"], found["settled"]) == ("kept", False, [])
    assert asked(found) == repairs
    assert found["hosts"] == {"source": "xen1", "target": "xen2"} and found["uuid"] == "u1"
    assert found["facts"].startswith("web01 does not run, but is not lost")


def test_the_last_look_finds_a_guest_of_an_earlier_run_as_well():
    for ran, uuid in ((False, "u1"), (False, None)):
        found = gather_one(noted(fleet([], dead()), xen1=sent()), ran=ran, uuid=uuid)
        assert (found["outcome"], asked(found)) == ("kept", BACK)
        assert found["comment"].startswith("web01 was sent from xen1 to xen2 at 2012-03-04 05:06:07 UTC. ")


# After that

RESTORED = {"state": "removed", "restored_at": "2012-03-04 05:16:07 UTC", "stood_still_s": 41.7}


def test_a_guest_that_was_brought_back_is_said_to_be_so_until_its_note_goes():
    made = dict(sent(**RESTORED), over=True)
    made["safety"].update(REFUSED)
    reports = noted(fleet(one("running"), []), xen1=made)
    found = gather_one(reports)
    begin = (
        "web01 was not moved: it was brought back on xen1 from its safety copy, after about 41 s in which it "
        "stood still; xend on xen2 has said why it could not complete it: Device 0 (vif) could not be "
        "connected. web01 runs unharmed on xen1"
    )
    assert found["comment"].startswith(begin)
    assert found["outcome"] == "unharmed" and [each["note"] for each in found["settled"]] == [made["id"]]
    (found,) = findings(reports)
    assert found["comment"].startswith(begin[:60]) and asked(found) == [("forget", "xen1", False)]
    # It was shut down before anybody looked: it has run since, and nothing brings it back once more.
    (found,) = findings(noted(fleet([], []), xen1=sent(**RESTORED)))
    assert found["lost"] and "restore" not in [step["do"] for step in found["repairs"]]


@pytest.mark.parametrize(
    "mine, there, back",
    [
        (one("running"), [], True),
        ([], one("running"), True),
        # Nobody may take that for a good end.
        ([], [], False),
        (one("running"), one("running"), False),
        (one("left"), dead(), False),
    ],
)
def test_only_a_guest_that_is_well_has_been_brought_back(mine, there, back):
    (found,) = findings(noted(fleet(mine, there), xen1=dict(sent(**RESTORED), over=bool(mine))))
    assert found["back"] is back and found["comment"].startswith("web01 was not moved: it was brought back")


def test_nothing_is_brought_back_at_first_sight():
    before = findings(noted(fleet([], one("running")), xen1=sent()))
    found = xm_fleet.confirmed(gather([], dead()), before)
    assert (found[0]["outcome"], found[0]["repairs"]) == ("unknown", [])
    found = xm_fleet.confirmed(gather([], dead()), gather([], dead()))
    assert (found[0]["outcome"], asked(found[0])) == ("kept", BACK)


# Whatever hosts hold, and say

HEARD = [None, "ok", "err", "silence", "broken", "unanswered"]


def worlds():
    """All that two ends, a third host and the relay may say."""
    thirds = [[], SILENT, one("running"), one("suspended"), one("unfinished"), one("managed")]
    for source, target in itertools.product(COPIES, COPIES):
        for third, heard in itertools.product(thirds, HEARD):
            for completed in (None, True, False):
                yield source, target, third, heard, completed


def report_of(word, completed=None):
    if word in ("unknown", "unasked"):
        return SILENT
    if word == "absent":
        return []
    made = one("running", uuid="u2") if word == "foreign" else one(word)
    return dict(made, completed=completed)


@pytest.mark.parametrize("last", [True, False])
def test_a_guest_is_never_restored_where_it_has_run_or_may_run(last):
    unasked = asked_for = 0
    for source, target, third, heard, completed in worlds():
        reports = fleet(report_of(source), report_of(target, completed), third)
        if reports["xen2"] is not SILENT:
            known(reports, completed=completed)
        if reports["xen1"] is SILENT:
            continue
        reports = noted(reports, xen1=sent(heard=heard, refused=heard == "err"))
        found = [gather_one(reports)] if last else findings(reports)
        for each in found:
            for step in each["repairs"]:
                if step["do"] != "restore":
                    continue
                world = (source, target, third, heard, completed)
                assert each["uuid"] == "u1" and source in ("absent", "managed", "unfinished"), world
                if source == "unfinished":
                    # What is in its place goes first, and both only by his word.
                    asked = [other for other in each["repairs"] if other["only_if_asked"]]
                    before = [(other["do"], other["host"]) for other in asked]
                    assert step["only_if_asked"] and before.index(("remove", "xen1")) < before.index(
                        ("restore", "xen1")
                    ), world
                # Not for anybody's word.
                assert heard != "ok", world
                assert target in ("absent", "managed", "foreign", "unfinished", "unknown", "unasked"), world
                asked_for += 1
                if step["only_if_asked"]:
                    continue
                unasked += 1
                assert target in ("absent", "unfinished"), world
                assert completed is False or heard == "err" or (last and target == "unfinished"), world
                assert third in ([], one("unfinished"), one("managed")) or (last and third is SILENT), world
    assert unasked > 20 and asked_for > 2 * unasked
