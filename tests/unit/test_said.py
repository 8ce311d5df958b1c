"""What orchestrations say of what hosts and runners have returned. Runs on Python 2.7, too."""

import importlib

import pytest

import xend_said

UTILITY = importlib.import_module


def state(comment, result=True, changes=None, number=0, function="can_send", **more):
    key = "xm_|-id %d_|-web01_|-%s" % (number, function)
    return {
        key: dict(
            {"comment": comment, "result": result, "changes": changes or {}},
            __run_num__=number,
            **more,
        )
    }


def ran(returned, result=True, comment="States ran successfully."):
    changes = {"out": "highstate", "ret": returned} if returned else {}
    return {"result": result, "comment": comment, "changes": changes}


def told(hosts, returned, result=True):
    step = {"id": "it is done", "hosts": hosts}
    return xend_said.of_hosts(step, ran(returned, result, "Run failed on minions"), UTILITY)


def test_hosts_on_which_nothing_changes_say_little():
    found = told(["xen2", "xen1"], {})
    assert (
        found["comment"] == "xen1 and xen2 say so"
        and found["changes"] == {}
    )


def test_what_a_host_has_done_is_said_in_its_own_words_once():
    done = state("web01 was sent", changes={"web01": {"old": "on xen1", "new": "sent to xen2"}})
    found = told(["xen1"], {"xen1": done})
    assert found["comment"] == "web01 was sent" and found["changes"] == {
        "xen1": "web01: sent to xen2"
    }
    assert found["returned"] == {"xen1": done}


def test_of_many_changes_the_names_are_told_and_no_difference_of_files():
    changes = {
        "port": {"old": None, "new": 8002},
        "address": {"old": None, "new": "10.20.0.11"},
        "diff": "-\n+",
    }
    done = dict(
        state("changed", changes=changes),
        **state("restarted", changes={"xend": {"new": "pid 5"}}, number=1),
    )
    found = told(["xen1", "xen2"], {"xen1": done})
    assert found["changes"] == {"xen1": "address, port, xend: pid 5"}
    assert found["comment"].splitlines() == [
        "xen1: changed; restarted",
        "xen2 says so",
    ]


def test_warnings_are_said_and_are_no_changes():
    found = told(
        ["xen1"], {"xen1": state("it can leave; beware", changes={"warnings": ["beware"]})}
    )
    assert found["comment"] == "it can leave; beware" and found["changes"] == {}


def test_of_a_host_that_fails_only_what_has_failed_is_said():
    done = dict(
        state("fine", changes={"a": {"new": "b"}}), **state("the disk is full", False, number=1)
    )
    done.update(state("One or more requisite failed", False, number=2, __state_ran__=False))
    found = told(["xen1"], {"xen1": done}, False)
    assert found["comment"] == "the disk is full" and found["why"] == ["the disk is full"]
    assert found["returned"] == {"xen1": done}


@pytest.mark.parametrize(
    "returned, said",
    [
        (
            False,
            "xen1 has not returned: its minion does not answer, is busy with other states, or was stopped ",
        ),
        (None, "xen1 has not returned: its minion does not answer"),
        (
            ["State 'xend.relocation' was not found in SLS 'xend.relocation'"],
            "`salt xen1 saltutil.sync_all` brings",
        ),
        (
            ["No matching sls found for 'xend.orch.leave' in env 'base'"],
            "The file_roots of the master have to hold",
        ),
        (
            ['The function "state.sls" is running as PID 12'],
            "Wait until that is over, then run this again",
        ),
        ("Traceback \x1b[31m", "xen1: Traceback \\x1b[31m"),
        ({}, "xen1: it has returned nothing"),
        ({"a": 1}, "xen1: {'a': 1}"),
    ],
)
def test_why_a_host_has_run_no_states_is_said_with_what_to_do(returned, said):
    assert said in told(["xen1"], {"xen1": returned}, False)["comment"]


def test_what_salt_says_where_no_host_has_returned_anything_is_kept():
    found = told(["xen1"], {}, False)
    assert found["comment"] == "Run failed on minions" and found["why"] == ["Run failed on minions"]


def test_what_a_host_has_changed_is_shown_as_text_that_no_terminal_obeys():
    changes = {"a\x1b[2J": {"new": "b\x1b[31m\n----------\nResult: True"}}
    found = told(["xen1"], {"xen1": state("done", changes=changes)})
    assert found["changes"] == {"xen1": "a\\x1b[2J: b\\x1b[31m ---------- Result: True"}


@pytest.mark.parametrize("returned", [{}, [], "", ()])
def test_of_a_host_that_has_returned_nothing_that_is_said(returned):
    assert told(["xen1"], {"xen1": returned}, False)["comment"] == "xen1: it has returned nothing"


def test_what_does_not_render_stands_on_one_line():
    found = told(["xen1"], {"xen1": ["Rendering SLS failed:\n\n  ---\n  here <---"]}, False)
    assert found["comment"] == "xen1: Rendering SLS failed: --- here <---"


# Steps together


def row(name, comment, result=True, **more):
    made = {"id": name, "begun": True, "comment": comment, "result": result, "changes": {}, "why": []}
    return dict(made, **more)


NOT_BEGUN = [xend_said.not_begun({"id": name}) for name in ("it is sent", "it runs")]


def test_a_step_has_a_line_and_those_that_were_not_begun_have_one_together():
    why = ["no room", "no disk"]
    rows = [row("xen2 takes it", "no room\nno disk", False, why=why), row("xen1 lets it go", "xen1 says so")]
    found = xend_said.of_steps(rows + NOT_BEGUN, False)
    assert found["comment"].splitlines() == [
        "xen2 takes it: failed, the last lines say why",
        "xen1 lets it go: xen1 says so",
        "Not begun: it is sent; it runs",
    ]
    assert found["result"] is False and found["why"] == why and found["steps"] == rows + NOT_BEGUN


def test_steps_that_nobody_speaks_for_say_why_they_have_failed():
    rows = [row("xen2 takes it", "no room\nno disk", False, why=["no room", "no disk"]), NOT_BEGUN[0]]
    found = xend_said.of_steps(rows, True)
    assert found["comment"].splitlines() == [
        "xen2 takes it:",
        "  no room",
        "  no disk",
        "Not begun: it is sent",
    ]
    assert found["result"] is False and found["why"] == []


def test_steps_that_are_done_say_what_they_have_changed_on_each_host():
    rows = [
        row("web01 is sent", "in 2 s", changes={"xen1": "web01: sent"}),
        row("web01 runs", "web01 runs on xen2", changes={"xen2": "web01: runs"}),
        row("the file is gone", "it is", changes={"xen1": "file: gone"}),
    ]
    found = xend_said.of_steps(rows, False)
    assert found["result"] is True
    assert found["comment"].splitlines() == [
        "web01 is sent: in 2 s",
        # What begins so has no need of it.
        "web01 runs on xen2",
        "the file is gone: it is",
    ]
    assert found["changes"] == {"xen1": "web01: sent; file: gone", "xen2": "web01: runs"}
    rows.append(row("it is announced", "it would be", None))
    assert xend_said.of_steps(rows, False)["result"] is None


# The last word


def steps(why, result=False, number=0, comment="x"):
    return state(comment, result, number=number, function="steps", why=why)


def test_why_steps_have_failed_each_reason_once():
    running = dict(steps(["no room"]), **steps(["no room", "no disk"], number=1))
    running.update(state("says", False, number=3, function="could"))
    running.update(steps([], True, number=4))
    assert xend_said.why_not(running, UTILITY) == ["no room", "no disk"]
    assert xend_said.why_not(None, UTILITY) == []


def test_a_step_that_broke_down_is_told_by_the_last_word():
    broken = state("An exception occurred in this state: no master", False, function="steps")
    assert xend_said.why_not(broken, UTILITY) == ["An exception occurred in this state: no master"]
    waits = state("One or more requisite failed", False, function="steps", __state_ran__=False)
    assert xend_said.why_not(waits, UTILITY) == []
    # One that tells it by itself has done so.
    assert xend_said.why_not(steps([], False), UTILITY) == []


def test_under_test_a_state_that_only_says_why_is_told_by_its_name():
    key = "test_|-xend-relocation-config_|-Nothing was changed. xend is missing_|-fail_without_changes"
    comment = "If we weren't testing, this would be a failure!"
    found = told(["xen1"], {"xen1": {key: {"comment": comment, "result": False, "changes": {}}}}, False)
    assert found["comment"] == "Nothing was changed. xend is missing"


def test_why_steps_have_failed_from_which_nothing_came_back():
    done = xend_said.of_steps([told(["xen1"], {}, False)], True)["steps"]
    failed = [
        state("x", False, function="steps", steps=done),
        state("An exception occurred", False, function="steps"),
        state("x", function="steps", steps=done),
    ]
    rows = [xend_said.states_in(one, UTILITY)[0] for one in failed]
    assert [xend_said.why_failed(one) for one in rows] == [
        ["Run failed on minions"],
        ["An exception occurred"],
        [],
    ]


class Frozen:
    """Of a mapping of Salt that cannot be changed what counts here."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return iter(self.data)

    def __getitem__(self, key):
        value = self.data[key]
        return (
            Frozen(value)
            if isinstance(value, dict)
            else tuple(value)
            if isinstance(value, list)
            else value
        )

    def items(self):
        return [(key, self[key]) for key in self]


def test_salt_s_own_kinds_of_mappings_are_read():
    running = Frozen(dict(steps(["no room"]), **steps(["not found"], number=1)))
    assert xend_said.why_not(running, UTILITY) == ["no room", "not found"]


def by_runner(*says):
    found = {}
    for number, (name, text, good) in enumerate(says):
        key = "test_|-%s_|-%s_|-nop" % (name, name)
        found[key] = {"comment": text, "result": good, "changes": {}, "__run_num__": number}
    return xend_said.by_runner({"data": {"master": found}}, UTILITY)


def test_all_that_a_runner_says_is_read_in_order_without_its_numbers():
    says = by_runner(
        ("1. web01: moved", "it runs", True), ("2. xen1 is empty", "all is well", True)
    )
    assert [(one["id"], one["text"]) for one in says] == [
        ("web01: moved", "it runs"),
        ("xen1 is empty", "all is well"),
    ]
    before, last = xend_said.last_word(says, [])
    assert before == ["it runs"] and last["id"] == "xen1 is empty" and last["text"] == "all is well"


def test_what_an_orchestration_within_says_stands_for_it():
    says = [{"id": "web01: unharmed", "text": "it was brought back", "good": False}]
    done = [row("web01: restore it", "restored"), NOT_BEGUN[0]]
    inner = dict(
        state("web01: restore it: restored", function="steps", steps=done),
        **state("ignored", number=1, function="said", says=says),
    )
    found = xend_said.by_runner({"data": {"master": inner}}, UTILITY)
    assert [one["text"] for one in found] == ["restored", "it was brought back"]


def test_why_not_comes_before_the_last_word_unless_that_says_it():
    says = by_runner(("web01: unharmed", "web01 runs unharmed on xen1: no room", False))
    assert (
        xend_said.last_word(says, ["no room"])[1]["text"] == "web01 runs unharmed on xen1: no room"
    )
    assert (
        xend_said.last_word(says, ["no disk"])[1]["text"]
        == "no disk\nweb01 runs unharmed on xen1: no room"
    )


@pytest.mark.parametrize(
    "host, is_shown", [("xen1", False), ("xen10", True), ("xen1.example.com", True), ("xen1-b", True)]
)
def test_what_the_last_word_says_again_is_not_said_before_it(host, is_shown):
    says = by_runner(
        ("1. web01: unharmed", "web01 runs on xen1.", False),
        ("2. xen1 is not empty", "what is not done: web01 runs on %s. Again" % host, False),
    )
    before, last = xend_said.last_word(says, [])
    assert bool(before) is is_shown and last["text"].endswith("Again")


def test_a_runner_that_says_nothing_has_said_nothing_good():
    (said,) = xend_said.by_runner({"data": {"master": {}}}, UTILITY)
    assert said == {"id": None, "text": "it has returned nothing", "good": False}


@pytest.mark.parametrize("returned", ["Exception: no", None, {}, {"data": {}}, {"data": ["x"]}])
def test_a_runner_that_returns_anything_else_has_failed(returned):
    (said,) = xend_said.by_runner(returned, UTILITY)
    assert said["good"] is False and said["text"] == str(returned)


def test_an_sls_that_does_not_render_is_said():
    (said,) = xend_said.by_runner({"data": {"master": ["Rendering SLS failed"]}}, UTILITY)
    assert said == {"id": None, "text": "Rendering SLS failed", "good": False}
