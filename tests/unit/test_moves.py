"""
Many guests in one run: what may be asked for, what has become of each, and the last word.
This file runs on Python 2.7 as well.
"""

import importlib
import json

import pytest

import xm_moves
from tests.held import SILENT, fleet, note, noted, one

UTILITY = importlib.import_module
U1 = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"


@pytest.mark.parametrize(
    "which, given",
    [
        ("evacuate", {"source": "xen1"}),
        ("evacuate", {"source": "xen1", "targets": "xen2, xen3", "domains": ["web01"], "order": "smallest"}),
        ("evacuate", {"source": "xen1", "parallel": 16, "partial": True, "order": ["web01"], "spare_mib": 0}),
        ("evacuate", {"source": "xen1", "targets": None, "live": False, "accept": ["cpu"], "settle": 9}),
        ("restore", {"host": "xen1", "domains": "web01", "safety_copy": "off"}),
    ],
)
def test_what_may_be_asked_for(which, given):
    assert xm_moves.wrong(given, which, UTILITY) == []


@pytest.mark.parametrize(
    "which, given, said",
    [
        ("evacuate", {}, ["source is missing"]),
        ("restore", {"source": "xen1"}, ["host is missing", "source is no option"]),
        ("evacuate", {"source": ["xen1"]}, ['source, ["xen1"], is no name of a minion']),
        ("evacuate", {"source": "xen\n1"}, ["is no name of a minion"]),
        ("evacuate", {"source": "xen1", "parallel": 0}, ["parallel, 0, is no whole number from 1 to 16"]),
        ("evacuate", {"source": "xen1", "parallel": True}, ["parallel, true, is no whole"]),
        ("evacuate", {"source": "xen1", "parallel": 17}, ["parallel, 17, is no whole"]),
        ("evacuate", {"source": "xen1", "partial": "yes"}, ['partial, "yes", is neither true nor false']),
        ("evacuate", {"source": "xen1", "order": "random,"}, []),
        ("evacuate", {"source": "xen1", "order": 7}, ["order, 7, is neither largest nor smallest"]),
        ("evacuate", {"source": "xen1", "spare_mib": -1}, ["spare_mib, -1, is no whole number of MiB"]),
        ("evacuate", {"source": "xen1", "domains": []}, ["domains, [], is no list of names"]),
        ("evacuate", {"source": "xen1", "domains": ["a", 7]}, ["is no list of names"]),
        ("evacuate", {"source": "xen1", "targets": "xen1,xen2"}, ["is the source, and among the targets"]),
        ("restore", {"host": "xen1", "partial": True}, ["partial is no option"]),
    ],
)
def test_all_that_is_wrong_is_said(which, given, said):
    wrong = xm_moves.wrong(given, which, UTILITY)
    assert len(wrong) == len(said) and all(text in wrong[number] for number, text in enumerate(said))
    text = xm_moves.refused(which, wrong, UTILITY)["stop"]["text"]
    assert text.startswith("Nothing was done.") and all(one in text for one in wrong)


def plan(impossible=(), placed=("web01",), **more):
    placements = [
        {"domain": name, "uuid": U1, "target": "xen2", "memory_mib": 9, "why": "most room", "warnings": []}
        for name in placed
    ]
    ready = {"configured": True, "guarded": False, "closed": False}
    found = {"placements": placements, "impossible": list(impossible), "stays": [], "under_way": []}
    found["elsewhere"] = found["unordered"] = []
    hosts = {"xen1": dict(ready), "xen2": dict(ready, configured=False), "xen3": dict(ready, guarded=True)}
    return dict(found, unheard={}, hosts=hosts, **more)


NO_ROOM = {"domain": "big01", "uuid": "u9", "here": ["nomigrate"], "targets": {"xen3": ["full"], "xen2": []}}


def evacuation(found, test=False, **given):
    return xm_moves.evacuation(dict(given, source="xen1"), found, "a test", test, UTILITY)


def test_the_plan_of_an_evacuation_becomes_steps():
    found = evacuation(plan(), live=False)
    assert found["stop"] is None and found["configures"] == ["xen2"]
    assert [(one["id"], one["good"]) for one in found["says"]] == [("web01: to xen2", True)]
    (guests,) = [one["guests"] for one in found["closes"] if "guests" in one]
    assert json.loads(guests) == [{"name": "web01", "uuid": U1, "target": "xen2"}]
    moves = json.loads(found["moves"])
    assert moves["moves"] == [{"domain": "web01", "uuid": U1, "source": "xen1", "target": "xen2"}]
    assert moves["parallel"] == 2 and moves["options"] == {"live": False} and moves["domains"] is None


def test_a_host_that_is_closed_already_is_not_configured():
    """That may take a restart of its xend, which is refused there: no second run could go on."""
    found = plan()
    found["hosts"]["xen1"]["configured"] = False
    assert evacuation(found)["configures"] == ["xen1", "xen2"]
    found["hosts"]["xen1"]["closed"] = True
    assert evacuation(found)["configures"] == ["xen2"]


def test_who_is_still_being_sent_is_kept_in_mind_too():
    row = {"domain": "web02", "uuid": "u2", "target": "xen3", "says": "web02 is being sent"}
    found = evacuation(plan(under_way=[row]))
    assert found["configures"] == ["xen2", "xen3"] and "web02" in found["closes"][1]["guests"]
    assert json.loads(found["moves"])["under_way"][0]["target"] == "xen3"


@pytest.mark.parametrize("test", [True, False])
def test_nothing_moves_when_one_fits_nowhere(test):
    found = evacuation(plan([NO_ROOM]), test)
    text = found["stop"]["text"]
    assert "for 1 of 2 guests of xen1 there is no place" in text and "partial: true moves the other 1" in text
    assert "big01: nomigrate. xen3: full" in text
    # The last word has the reasons, and nobody is said to go.
    (said,) = found["says"]
    assert said["id"] == "web01: to xen2" and "web01 would go" in said["text"]
    # Who is wanted all the same.
    found = evacuation(plan([NO_ROOM]), test, partial=True)
    assert found["stop"] is None and json.loads(found["moves"])["impossible"][0]["domain"] == "big01"
    # The last word says of it; where nothing moves, the plan is all that there is.
    assert [one["good"] for one in found["says"]] == [True] + ([False, False] if test else [])


def test_what_is_in_the_way_on_several_targets_alike_is_said_once():
    targets = dict([(host, ["no disk on %s" % host]) for host in ("xen2", "xen3", "xen5")], xen4=["full"])
    one = {"here": ["nomigrate"], "targets": targets}
    text = "nomigrate. xen2: no disk on xen2. The same on xen3 and xen5. xen4: full"
    assert xm_moves.why_not(one) == text
    # Of another host, or of a name that only begins so.
    targets = {"xen2": ["xen2 is full", "on xen22"], "xen3": ["xen2 is full", "on xen32"]}
    text = "xen2: xen2 is full; on xen22. xen3: xen2 is full; on xen32"
    assert xm_moves.why_not({"here": [], "targets": targets}) == text
    targets = {"xen2": [], "xen3": []}
    assert xm_moves.why_not({"here": [], "targets": targets}) == "there is no other host"


def test_the_last_word_is_the_last_one_also_where_states_are_sorted_by_their_names():
    says = [{"id": "web%02d: moved" % number, "text": "it runs", "good": True} for number in range(11)]
    says.append({"id": "alpha is empty", "text": "11 guests were moved", "good": True})
    states = importlib.import_module("xm_steps").as_states(says)
    shown = [states[key] for key in sorted(states)]
    assert [state["__id__"] for state in shown] == [one["id"] for one in says]
    assert [state["comment"] for state in shown] == [one["text"] for one in says]


def test_no_two_states_have_one_id():
    says = xm_moves.distinct([{"id": "a"}, {"id": "a"}, {"id": "a"}, {"id": "b"}])
    assert [one["id"] for one in says] == ["a", "a (2)", "a (3)", "b"]


# What comes home. GUEST of tests.held is web01 with the uuid u1.

RECORD = {"xen1": {"guests": [{"name": "web01", "uuid": "u1", "target": "xen2"}]}}


@pytest.mark.parametrize(
    "held, source, drop, good, said",
    [
        ([[], one("running"), []], "xen2", False, True, "is to come back from xen2"),
        ([[], one("running", name="mail01"), []], "xen2", False, True, "mail01 is to come back"),
        ([one("managed"), one("running"), []], "xen2", False, True, "is to come back from xen2"),
        ([one("managed"), one("running", name="mail01"), []], "xen2", False, True, "mail01 is to come back"),
        ([[], one("running"), SILENT], "xen2", False, True, "is to come back from xen2"),
        ([one("running"), [], []], None, True, True, "is home already"),
        ([one("running"), one("managed"), []], None, True, True, "is home already"),
        ([[], [], one("running")], None, True, True, "has moved on since: it runs on xen3"),
        ([[], one("managed"), []], None, False, True, "was shut down since"),
        ([[], [], []], None, True, True, "no host has web01 any more"),
        ([[], [], SILENT], None, False, False, "where web01 is cannot be told"),
        ([one("running"), one("running"), []], None, False, False, "MORE THAN ONE COPY"),
        ([one("sending"), one("receiving"), []], None, False, False, "may be on its way"),
        ([[], one("suspended"), []], None, False, False, "left over from a migration"),
        ([[], one("halted"), []], None, False, False, "does not run"),
        ([one("halted"), [], []], None, False, False, "does not run"),
        # Who does not answer may run it: nobody is told to start it where it is only known.
        ([one("managed"), SILENT, []], None, False, False, "cannot be told: xend on xen1 knows it"),
        ([one("managed"), [], SILENT], None, False, False, "cannot be told"),
        ([[], SILENT, one("running")], None, False, False, "cannot be told: it runs on xen3"),
        # A third host is believed about itself only.
        ([[], one("running"), one("running")], "xen2", False, False, "from xen2. By their own word"),
        ([[], one("running"), one("sending", name="evil")], "xen2", False, False, "`xm list` on xen3"),
        ([[], one("running"), one("unfinished")], "xen2", False, True, "is to come back from xen2"),
        ([one("running"), [], one("running")], None, True, False, "is home already: it runs on xen1"),
    ],
)
def test_what_has_become_of_those_that_were_taken_away(held, source, drop, good, said):
    (found,) = xm_moves.returning(RECORD, fleet(*held), "xen1", None, UTILITY)
    assert said in found["text"], found["text"]
    assert (found["source"], found["drop"], found["good"]) == (source, drop, good)


def test_who_was_sent_and_is_nowhere_is_not_called_deleted():
    reports = noted(fleet([], [], []), xen1=note(target="xen2"))
    (found,) = xm_moves.returning(RECORD, reports, "xen1", None, UTILITY)
    assert "LOST" in found["text"] and not found["drop"] and not found["good"]


def test_who_was_sent_and_is_only_known_is_not_to_be_started():
    reports = noted(fleet(one("managed"), [], []), xen1=note(target="xen2"))
    (found,) = xm_moves.returning(RECORD, reports, "xen1", None, UTILITY)
    assert "LOST" in found["text"] and not found["drop"] and not found["good"]


@pytest.mark.parametrize(
    "record, onward",
    [
        ({"guests": [{"name": "web01", "uuid": "u1", "target": "xen3"}]}, True),
        ({"guests": [{"name": "web01", "uuid": "u9", "target": "xen3"}]}, False),
        ({"problem": "its minion does not answer", "remedy": ""}, False),
    ],
)
def test_who_was_taken_on_when_its_host_was_emptied_stays_in_mind_until_that_is_filled(record, onward):
    reports = fleet([], [], one("running"))
    (found,) = xm_moves.returning(dict(RECORD, xen2=record), reports, "xen1", None, UTILITY)
    assert (found["drop"], found["source"]) == (not onward, None)
    assert ("Fill xen2 again" in found["text"]) == onward


def test_who_was_taken_to_a_host_that_nobody_declares_any_more_is_not_called_deleted():
    reports = fleet([], [])
    record = {"xen1": {"guests": [{"name": "web01", "uuid": "u1", "target": "xen3"}]}}
    (found,) = xm_moves.returning(record, reports, "xen1", None, UTILITY)
    assert not found["drop"] and not found["good"] and found["source"] is None
    assert "where web01 is cannot be told" in found["text"] and "xen3 (it was not asked" in found["text"]


def test_only_those_that_are_asked_for_come_back():
    reports = fleet([], one("running", name="mail01"), [])
    for names, count in ((["web01"], 1), (["mail01"], 1), (["web02"], 0), (None, 1)):
        assert len(xm_moves.returning(RECORD, reports, "xen1", names, UTILITY)) == count


def test_a_name_that_means_nobody_is_told():
    def strangers(names, here):
        record = [{"name": "web01", "uuid": "u1", "target": "xen2"}]
        return xm_moves.strangers(names, record, [{"domain": "mail01"}], here, "xen1")

    assert strangers(["web01", "mail01"], []) == strangers(None, None) == []
    assert strangers(["web02"], []) == strangers(["web02"], None)
    assert strangers(["web02"], [])[0].startswith("domains: web02 is not among those that were taken away")
    # It is home, by an earlier run.
    assert strangers(["web02"], [one("running", name="web02")]) == []


# What has become of them.

MOVE = {"domain": "web01", "uuid": "u1", "source": "xen1", "target": "xen2"}
GIVEN = {"host": "xen1", "impossible": [], "others": []}


@pytest.mark.parametrize("outcome", sorted(xm_moves.STOPS))
def test_after_what_is_lost_or_unclear_nothing_further_is_started(outcome):
    assert xm_moves.fate(MOVE, outcome, "text")["stops"]
    assert not xm_moves.fate(MOVE, outcome, "text", started=False)["stops"]


def test_what_does_not_stop_the_others():
    for outcome in ("moved", "unharmed", "leftover", "halted"):
        assert not xm_moves.fate(MOVE, outcome, "text")["stops"]
    assert not xm_moves.not_tried(MOVE, "xen2 is silent")["stops"]


def test_the_last_look_counts():
    def last(fate, *held):
        (found,) = xm_moves.seen_last([fate], fleet(*held), UTILITY)
        return found["outcome"], found["good"]

    moved = xm_moves.fate(MOVE, "moved", "it runs there", good=True)
    lost = xm_moves.fate(MOVE, "unknown", "?")
    assert last(moved, [], one("running")) == ("moved", True)
    assert last(moved, one("running"), []) == ("unharmed", False)
    assert last(moved, [], one("halted")) == ("halted", False)
    # It was seen to run there, so that it is not the migration that has lost it.
    ran = xm_moves.fate(dict(MOVE, ran=True), "moved", "it runs there", good=True)
    assert last(ran, [], []) == ("gone", False)
    (found,) = xm_moves.seen_last([ran], fleet([], []), UTILITY)
    assert "LOST" not in found["text"] and "web01 had moved to xen2 and run there" in found["text"]
    assert last(lost, [], [])[0] != "gone"
    assert last(lost, [], one("running")) == ("moved", True)
    assert last(lost, [], []) == ("unknown", False)
    # What others claim, and that nobody can look any more, changes nothing in what was seen.
    for word in ("running", "sending", "halted", "managed"):
        assert last(moved, [], one("running"), one(word)) == ("moved", True)
    assert last(moved, [], SILENT) == last(moved, SILENT, one("running")) == ("moved", True)
    # Who has ended before it was sent is not there any more either.
    waited = xm_moves.not_tried(MOVE, "xen2 is silent")
    ended = xm_moves.seen_last([waited], fleet([], []), UTILITY)
    said = xm_moves.emptied(GIVEN, ended, [], UTILITY)[-1]
    assert said["good"] and "No guest was moved. web01 is not on xen1 any more" in said["text"]
    assert last(waited, [one("managed")], []) == last(waited, [], [], one("running")) == ("gone", True)
    assert last(waited, one("running"), []) == last(waited, SILENT, []) == ("not tried", False)
    (found,) = xm_moves.seen_last([waited], noted(fleet([], []), xen1=note(target="xen3")), UTILITY)
    assert not found["good"]
    # What belongs to it is still not done.
    lacks = dict(xm_moves.fate(MOVE, "moved", "its file is there still"), lacks=True)
    assert last(lacks, [], one("running")) == ("moved", False)


def test_what_is_left_is_known():
    reports = fleet([one("running"), one("running", name="new01", uuid="u7"), one("managed", uuid="u8")], [])
    left = xm_moves.left_on("xen1", reports, None, [MOVE])
    assert [found["listed"] for found in left] == ["new01"]
    assert xm_moves.left_on("xen1", reports, ["web01"], [MOVE]) == []
    assert xm_moves.left_on("xen1", fleet(SILENT, []), None, []) is None


def test_the_last_word_of_an_evacuation_stands_alone():
    good = xm_moves.fate(MOVE, "moved", "web01 runs on xen2", good=True)
    last = xm_moves.emptied(GIVEN, [good], [], UTILITY)[-1]
    assert last["good"] and "1 guest was moved (web01 to xen2)" in last["text"]
    assert "xend.orch.restore" in last["text"]
    # It has moved, whatever is still to be done for it.
    lacks = dict(xm_moves.fate(MOVE, "moved", "web01 runs on xen2. Its file is there still"), lacks=True)
    last = xm_moves.emptied(GIVEN, [lacks], [], UTILITY)[-1]
    assert not last["good"] and "1 guest was moved (web01 to xen2)" in last["text"]
    rest = [xm_moves.not_tried(dict(MOVE, domain=name), "xen3 is silent") for name in ("web02", "web03")]
    bad = xm_moves.fate(dict(MOVE, domain="web04"), "lost", "web04 is LOST: nobody has it")
    last = xm_moves.emptied(GIVEN, [good, bad] + rest, [], UTILITY)[-1]
    assert not last["good"] and "web04 is LOST" in last["text"] and "xend.orch.recover" in last["text"]
    assert "web02 and web03 were not tried, and were left on xen1: xen3 is silent" in last["text"]
    for given, left in (
        (dict(GIVEN, impossible=[{"domain": "big01", "text": "too big"}]), []),
        (GIVEN, None),
        (GIVEN, [dict(listed="new01", state="r-----")]),
    ):
        assert not xm_moves.emptied(given, [good], left, UTILITY)[-1]["good"]


def test_a_restoration_that_is_only_tried_says_who_would_not_come_back():
    other = {"name": "web02", "uuid": "u2", "target": "xen3"}
    record = dict(RECORD["xen1"], guests=RECORD["xen1"]["guests"] + [other])
    reports = fleet([], one("running"), SILENT)
    returns = xm_moves.returning({"xen1": record}, reports, "xen1", None, UTILITY)
    says = xm_moves.restoration({"host": "xen1"}, record, returns, {}, "a test", True, UTILITY)["says"]
    assert [(said["id"], said["good"]) for said in says] == [
        ("web01: comes back", True),
        ("web02: does not come back", False),
        ("xen1 would be filled", False),
    ]
    assert says[-1]["text"].endswith("1 guest would come back, and 1 guest would not")


def test_the_last_word_of_a_restoration_stands_alone():
    home = dict(MOVE, source="xen2", target="xen1")
    good = xm_moves.fate(home, "moved", "web01 runs on xen1", good=True)
    gone = {"domain": "web02", "good": True, "text": "no host has web02 any more"}
    last = xm_moves.filled(dict(GIVEN, others=[gone]), [good], UTILITY)[-1]
    assert last["good"] and "no host has web02" in last["text"] and "web01 to xen1" in last["text"]
    bad = dict(gone, good=False, text="web02 does not run")
    last = xm_moves.filled(dict(GIVEN, others=[bad]), [good], UTILITY)[-1]
    assert not last["good"] and "web02 does not run" in last["text"]


def test_each_host_puts_in_order_what_is_its_own():
    reports = noted(fleet([], one("running")), xen1=note(target="xen2"))
    good = xm_moves.fate(MOVE, "moved", "it runs there", good=True)
    shares = xm_moves.settling([good], reports, "xen1", ["u1"], UTILITY)
    assert [made["name"] for made in shares["xen1"]["forget"]] == ["web01"]
    assert shares["xen1"]["home"] == ["u1"] and shares["xen2"] == {"release": ["web01"]}
    # Of a guest that is lost the note stays, and so do those of hosts from which this run has taken nothing.
    lost = noted(fleet([], []), xen1=note(target="xen2"))
    assert "xen1" not in xm_moves.settling([good], lost, "xen1", [], UTILITY)
    away = dict(good, source="xen3")
    assert "xen1" not in xm_moves.settling([away], reports, "xen3", [], UTILITY)
    assert xm_moves.settling([xm_moves.not_tried(MOVE, "no")], fleet([], []), "xen1", [], UTILITY) == {}


@pytest.mark.parametrize(
    "record, why",
    [
        ({"problem": "its minion does not answer", "remedy": "start it"}, "its minion does not answer"),
        ({"closed": False, "guests": [], "problem": None}, "it says that it takes guests"),
        # By an earlier run, of which this one has not changed what it keeps in mind.
        ({"closed": True, "guests": [], "problem": None}, "keep in mind what leaves it: web01 to xen2"),
        (
            {"closed": True, "guests": [{"name": "web01", "uuid": U1, "target": "xen3"}], "problem": None},
            "keep in mind what leaves it: web01 to xen2",
        ),
    ],
)
def test_nothing_moves_that_nobody_would_bring_back(record, why):
    move = {"domain": "web01", "uuid": U1, "source": "xen1", "target": "xen2"}
    assert xm_moves.unprepared(record, [move], UTILITY).endswith(why)
    kept = [{"name": "web01", "uuid": U1, "target": "xen2"}]
    assert xm_moves.unprepared({"closed": True, "guests": kept, "problem": None}, [move], UTILITY) == ""
