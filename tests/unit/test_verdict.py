"""
The decision table: from what two hosts hold to what is said and what may be repaired.
This file runs on Python 2.7 as well.
"""

import importlib
import itertools
import string

import pytest

import xm_copies
import xm_verdict
from tests.held import COPIES, STATES, copies, view

UTILITY = importlib.import_module
PAIRS = list(itertools.product(COPIES, COPIES))
OUTCOMES = "moved unharmed going_on leftover halted both incomplete lost unknown".split()


def decide(source, target):
    return xm_verdict.decide(source, target, UTILITY)


def report(source_view, target_view):
    return xm_verdict.report("web01", "xen1", "xen2", source_view, target_view, UTILITY)


def nowhere(source_view, target_view):
    return xm_verdict.nowhere("web01", "xen1", "xen2", source_view, target_view, UTILITY)


def not_described(target_view, *more):
    return xm_verdict.not_described("web01", "xen2", target_view, UTILITY, *more)


@pytest.mark.parametrize("kind", ["live", "nonlive"])
def test_while_a_real_migration_goes_on_nothing_is_repaired(kind):
    moments = [(clock, "source", held) for clock, held in copies("source", kind, True)]
    moments += [(clock, "target", held) for clock, held in copies("target", kind, True)]
    now, decisions = {"source": "running", "target": "absent"}, []
    for _clock, host, held in sorted(moments):
        now[host] = held
        decisions.append(decide(now["source"], now["target"]))
    assert [step for decision in decisions for step in decision["repairs"]] == []
    outcomes = [decision["outcome"] for decision in decisions]
    print(outcomes)
    assert sorted(set(outcomes), key=outcomes.index) == ["unharmed", "going_on", "moved"]


# Two hosts


@pytest.mark.parametrize("source, target", PAIRS)
def test_every_pair_has_a_decision(source, target):
    found = decide(source, target)
    assert found["outcome"] in OUTCOMES
    for step in found["repairs"]:
        assert sorted(step) == ["do", "on", "only_if_asked"]
        assert step["on"] in ("source", "target") and step["do"] in ("rename", "remove", "resume")


def test_every_row_of_the_table_decides_something():
    used = set()
    for source, target in PAIRS:
        used.add(
            [
                number
                for number, line in enumerate(xm_verdict.TABLE)
                if xm_copies.is_one_of(source, line[0]) and xm_copies.is_one_of(target, line[1])
            ][0]
        )
    assert used == set(range(len(xm_verdict.TABLE)))


def test_a_safety_copy_changes_only_what_is_said_of_a_guest_that_has_left_its_source():
    used = set()
    for source, target in PAIRS:
        found = xm_verdict.decide(source, target, UTILITY, True)
        rows = [
            number
            for number, line in enumerate(xm_verdict.KEPT)
            if xm_copies.is_one_of(source, line[0]) and xm_copies.is_one_of(target, line[1])
        ]
        used.update(rows[:1])
        if not rows:
            assert found == decide(source, target)
        else:
            assert source in ("absent", "managed", "foreign", "unfinished")
            # What has never run there is taken away by the word of the operator only.
            steps = [step["only_if_asked"] for step in found["repairs"]]
            assert source != "unfinished" or steps and all(steps)
            assert found["outcome"] not in xm_verdict.LOST
        restores = [step for step in found["repairs"] if step["do"] == "restore"]
        assert not restores or target in "absent managed foreign unfinished unknown unasked".split()
        # No host that has a copy of a guest which is lost is left out.
        assert rows or decide(source, target)["outcome"] not in xm_verdict.LOST
    assert used == set(range(len(xm_verdict.KEPT)))


def test_a_word_that_is_no_copy_is_refused():
    with pytest.raises(ValueError) as caught:
        decide("running", "runs")
    assert "'runs'" in str(caught.value)


def test_who_changes_a_decision_does_not_change_the_table():
    before = decide("left", "absent")
    changed = decide("left", "absent")
    changed["repairs"][0]["do"] = "remove"
    changed["repairs"].append("more")
    assert decide("left", "absent") == before


@pytest.mark.parametrize(
    "source, target, outcome",
    [
        ("absent", "running", "moved"),
        ("managed", "running", "moved"),
        ("running", "absent", "unharmed"),
        ("running", "managed", "unharmed"),
        ("running", "foreign", "unharmed"),
        ("running", "receiving", "going_on"),
        ("running", "arriving", "going_on"),
        ("sending", "absent", "going_on"),
        ("sending", "receiving", "going_on"),
        ("sending", "running", "going_on"),
        ("sending", "unfinished", "going_on"),
        ("sending", "unknown", "going_on"),
        ("migrating", "receiving", "going_on"),
        ("migrating", "running", "unknown"),
        ("absent", "receiving", "going_on"),
        ("absent", "arriving", "going_on"),
        ("suspended", "receiving", "going_on"),
        ("absent", "unfinished", "incomplete"),
        ("absent", "absent", "lost"),
        ("absent", "foreign", "lost"),
        ("running", "running", "both"),
        ("left", "running", "both"),
        ("left", "left", "both"),
        ("running", "unfinished", "leftover"),
        ("suspended", "running", "leftover"),
        ("suspended", "absent", "leftover"),
        ("left", "absent", "leftover"),
        ("halted", "running", "leftover"),
        ("halted", "absent", "halted"),
        ("absent", "halted", "halted"),
        ("suspended", "halted", "halted"),
        ("suspended", "unknown", "unknown"),
        ("absent", "unknown", "unknown"),
        ("absent", "unasked", "unknown"),
        ("unknown", "running", "unknown"),
        ("running", "unasked", "unharmed"),
    ],
)
def test_outcomes(source, target, outcome):
    assert decide(source, target)["outcome"] == outcome


# All that may be done without anybody asking for it.

SAFE = {
    ("left", "absent"): ["rename source"],
    ("left", "managed"): ["rename source"],
    ("absent", "left"): ["rename target"],
    ("managed", "left"): ["rename target"],
    ("left", "unfinished"): ["remove target", "rename source"],
    ("running", "unfinished"): ["remove target"],
    ("unfinished", "running"): ["remove source"],
    ("suspended", "running"): ["remove source"],
    ("suspended", "absent"): ["resume source", "rename source"],
    ("suspended", "unfinished"): ["remove target", "resume source", "rename source"],
}

ASKED = {
    ("absent", "unfinished"): ["remove target"],
    ("managed", "unfinished"): ["remove target"],
    ("suspended", "managed"): ["resume source", "rename source"],
}


@pytest.mark.parametrize("only_if_asked, expected", [(False, SAFE), (True, ASKED)])
def test_these_repairs_and_no_others(only_if_asked, expected):
    found = {}
    for pair in PAIRS:
        steps = [
            "%s %s" % (step["do"], step["on"])
            for step in decide(*pair)["repairs"]
            if step["only_if_asked"] is only_if_asked
        ]
        if steps:
            found[pair] = steps
    assert found == expected

UNTOUCHED = ("unknown", "unasked", "sending", "migrating", "receiving", "arriving", "halted", "foreign")


@pytest.mark.parametrize("source, target", PAIRS)
def test_no_repair_can_harm(source, target):
    held = {"source": source, "target": target}
    other = {"source": "target", "target": "source"}
    steps = decide(source, target)["repairs"]
    assert not steps or not set(held.values()) & set(UNTOUCHED)
    for step in steps:
        before, opposite = held[step["on"]], held[other[step["on"]]]
        if step["do"] == "rename":
            assert before == "left"
            assert opposite in ("absent", "managed")
        elif step["do"] == "resume":
            assert before == "suspended" and opposite in ("absent", "managed")
            assert opposite == "absent" or step["only_if_asked"]
        elif before == "suspended":
            assert opposite == "running"
        else:
            assert before == "unfinished"
            assert opposite in ("running", "left", "suspended") or step["only_if_asked"]
        held[step["on"]] = {"rename": "running", "remove": "absent", "resume": "left"}[step["do"]]


def told(source, target):
    return report(view(source), view(target))


# What is said


@pytest.mark.parametrize("source, target", PAIRS)
def test_every_comment_names_the_guest_both_hosts_and_what_was_seen(source, target):
    comment = told(source, target)["comment"]
    assert "web01" in comment and "xen1" in comment and "xen2" in comment
    assert "\n" not in comment and "%" not in comment and "None" not in comment
    assert comment[0] in string.ascii_letters and comment[-1] not in ". "
    for copy in (source, target):
        assert STATES.get(copy, "") in comment
        assert copy != "unknown" or "no route" in comment
        assert copy != "foreign" or "u1" in comment


@pytest.mark.parametrize("source, target", PAIRS)
def test_loss_is_said_as_loss_and_only_then(source, target):
    found = told(source, target)
    assert found["lost"] is ("LOST" in found["comment"]) is (found["outcome"] in ("lost", "incomplete"))
    assert found["moved"] is (found["outcome"] == "moved")


@pytest.mark.parametrize("source, target", PAIRS)
def test_all_but_a_move_comes_with_advice(source, target):
    found = decide(source, target)
    assert found["advice"] or found["outcome"] == "moved"


@pytest.mark.parametrize("copy", ["absent", "managed", "suspended", "halted", "foreign", "arriving"])
def test_a_guest_that_may_run_out_of_sight_is_not_to_be_started(copy):
    for comment in (told(copy, "unknown")["comment"], told("unknown", copy)["comment"]):
        assert "start it" in comment.lower() and ("not start it" in comment or "tart it nowhere" in comment)


@pytest.mark.parametrize("copy", COPIES)
def test_what_xm_says_stands_behind_a_report(copy):
    text = xm_verdict.how_xm_ended(view(copy), UTILITY, "100% can't connect", 300)
    assert text.startswith(". xm migrate") and text.endswith(". xm migrate said: 100% can't connect")
    # A guest that has left its source cannot begin to migrate any more.
    assert ("300 s" in text) is (copy not in ("absent", "managed", "foreign"))
    assert xm_verdict.how_xm_ended(view(copy), UTILITY) == ""


def test_two_copies_are_said_first_with_what_to_do():
    comment = told("running", "running")["comment"]
    assert comment.startswith("TWO COPIES of web01 RUN, and both write its disks: ")
    assert "`xm pause web01` on xen2 at once" in comment
    assert "both write its disks" in told("left", "running")["comment"]


def test_a_repair_names_its_domain():
    found = report(
        view("left", listed="migrating-web01", domid=3),
        view("unfinished", listed="web01", domid=9),
    )
    common = {"name": "web01", "uuid": "u1", "only_if_asked": False}
    assert found["repairs"] == [
        dict(common, on="target", host="xen2", do="remove", listed="web01", domid=9),
        dict(common, on="source", host="xen1", do="rename", listed="migrating-web01", domid=3),
    ]


def test_what_has_its_name_is_not_renamed():
    def steps(listed):
        found = report(view("suspended", listed=listed), view("absent"))
        return [step["do"] for step in found["repairs"]]

    assert steps("migrating-web01") == ["resume", "rename"]
    assert steps("web01") == ["resume"]


@pytest.mark.parametrize(
    "state, said, unsaid",
    [
        ("--p---", ["paused", "`xm unpause web01` on %s"], ["letter", "crashed", "destroy"]),
        ("---s--", ["shut itself down", "`xm destroy web01` on %s"], ["unpause", "crashed"]),
        ("----c-", ["crashed", "`xm destroy web01`"], ["unpause", "shut itself down"]),
        # Unpausing would not help.
        ("--ps--", ["shut itself down"], ["unpause", "crashed"]),
        ("--p-c-", ["crashed"], ["unpause", "shut itself down"]),
        ("---sc-", ["crashed"], ["unpause", "shut itself down"]),
    ],
)
def test_what_to_do_about_a_guest_that_stands_still_follows_from_its_state(state, said, unsaid):
    for pair, host in ((("halted", "absent"), "xen1"), (("absent", "halted"), "xen2")):
        views = [view(copy, state=state if copy == "halted" else None) for copy in pair]
        comment = report(*views)["comment"]
        for text in said:
            assert (text % host if "%" in text else text) in comment, comment
        for text in unsaid:
            assert text not in comment, comment
        assert pair[0] == "halted" or "Do not start it on xen1" in comment


def test_a_paused_guest_that_has_lost_its_name_gets_both_back():
    words = view("halted", state="--p---", listed="migrating-web01")
    comment = report(words, view("absent"))["comment"]
    assert "`xm unpause migrating-web01` on xen1" in comment
    assert "`xm rename migrating-web01 web01`" in comment
    assert "`xm start web01` there" in xm_copies.why_at_rest("web01", "xen1", {"state": "", "domid": None})


@pytest.mark.parametrize("source, target", PAIRS)
@pytest.mark.parametrize("state", ["-b----", "--p---"])
def test_a_letter_that_is_not_there_is_not_spoken_of(source, target, state):
    views = [view(copy, state=state) for copy in (source, target)]
    assert "letter s" not in report(*views)["comment"]


def test_two_copies_of_which_one_is_just_being_sent():
    suspended = report(view("sending", state="---s--"), view("running"))
    assert "the copy on xen1 is suspended" in suspended["comment"] and "pause" not in suspended["comment"]
    awake = report(view("sending"), view("running"))
    assert "`xm pause web01` on xen2 at once" in awake["comment"]
    swapped = report(view("running"), view("sending"))
    assert "`xm pause web01` on xen1 at once" in swapped["comment"]


@pytest.mark.parametrize("copy", ["receiving", "arriving"])
@pytest.mark.parametrize("source", ["absent", "managed", "suspended"])
def test_who_waits_for_a_guest_hears_how_long_that_may_last(source, copy):
    comment = told(source, copy)["comment"]
    assert "xend there waits up to 100 s for its devices" in comment and "some seconds" not in comment
    slow = report(view(source), view(copy, devices_s=250))
    assert "up to 250 s" in slow["comment"]


@pytest.mark.parametrize("source, target", PAIRS)
def test_facts_are_the_comment_without_advice(source, target):
    found = told(source, target)
    assert found["comment"].startswith(found["facts"]) and found["facts"][-1] not in ". "
    assert "web01" in found["facts"] and "`" not in found["facts"]


def test_how_to_start_again():
    text = xm_verdict.how_to_start_again("uuid u1, 96 MiB", "is kept in /kept/web01.sxp on xen2")
    assert "xm create" in text and "/kept/web01.sxp" in text and "uuid u1" in text


def test_a_guest_that_is_nowhere_is_said_to_be_nowhere():
    absent = {"copy": "absent", "domid": None}
    text = nowhere(absent, absent)
    assert "no domain web01 on xen1, and there is no copy on xen2" in text and "xm.where web01" in text
    text = nowhere(absent, view("halted"))
    assert "the copy on xen2 does not run" in text
    text = nowhere(absent, view("receiving", other="xen3"))
    assert "from xen3 to xen2 goes on" in text
    text = nowhere(view("managed"), absent)
    assert "`xm start web01` there" in text


def test_why_a_guest_was_not_described():
    absent = {"copy": "absent", "domid": None, "problem": None}
    text = not_described(absent, dict(absent, host="xen1"))
    assert text.startswith("its source has no domain of that name")
    text = not_described(absent, view("left", host="xen1"))
    assert "left over" in text and "xend.orch.recover" in text
    text = not_described(absent, None, "xm list: no xend")
    assert "(xm list: no xend)" in text and "run it again" in text
    text = not_described(view("halted"), dict(absent, host="xen1"))
    assert "xen2 holds it, but it does not run here (state ----c-)" in text
    text = not_described(view("unknown", domid=None), None)
    assert "xen2 cannot say whether it has it (no route)" in text


@pytest.mark.parametrize("copy", ["sending", "migrating", "receiving", "arriving"])
def test_what_is_under_way_on_its_source_is_to_be_waited_for(copy):
    left = view(copy, other="xen3", host="xen1")
    for other in ({"copy": "absent", "domid": None}, view("running")):
        assert not_described(other, left) == xm_copies.under_way("web01", "xen1", left)
