"""The decision table: from what hosts show to what is said."""

import string

import pytest

import xm_outcome


def row(state, uuid="u1"):
    return {
        "name": "web01",
        "state": state,
        "runs": state in ("r-----", "-b----", "------"),
        "uuid": uuid,
    }


@pytest.mark.parametrize(
    "own, migrating, over, state",
    [
        (None, None, True, "gone"),
        (row("-b----"), None, True, "running"),
        (row("--p---"), None, True, "halted"),
        (None, row("-b----"), True, "renamed"),
        (None, row("-b----"), False, "moving"),
        (None, row("-b----"), None, "migrating"),
        (row("-b----"), None, False, "pending"),
        (row("-b----"), None, None, "running"),
        (row("-b----"), row("-b----"), True, "renamed"),
    ],
)
def test_what_the_source_shows(own, migrating, over, state):
    assert xm_outcome.source_state(own, migrating, over) == state


@pytest.mark.parametrize(
    "found, uuid, state",
    [
        (None, "u1", "missing"),
        (row("-b----"), "u1", "running"),
        (row("-b----"), None, "running"),
        (row("-b----", "u2"), "u1", "other"),
        (row("--p---", "u2"), "u1", "other"),
        (row("--p---"), "u1", "incomplete"),
        (row("----c-"), "u1", "halted"),
    ],
)
def test_what_the_target_shows(found, uuid, state):
    assert xm_outcome.target_state(found, uuid) == state


@pytest.mark.parametrize(
    "state, lost",
    [
        ("incomplete", True),
        ("missing", True),
        ("other", True),
        ("running", False),
        ("halted", False),
        ("unknown", False),
    ],
)
def test_which_states_mean_loss(state, lost):
    assert xm_outcome.lost(state) is lost


WORDS = dict(
    name="web01",
    host="xen2",
    source="xen1",
    state="--p---",
    seconds=60,
    problem="P",
    found="u2",
    uuid="u1",
)


@pytest.mark.parametrize(
    "side, table",
    [
        ("source", xm_outcome.SOURCE),
        ("target", xm_outcome.TARGET),
        ("failed", xm_outcome.TARGET_AFTER_FAILURE),
    ],
)
def test_every_sentence_names_the_guest_and_a_host(side, table):
    for state in table:
        text = xm_outcome.say(side, state, **WORDS)
        assert "web01" in text and "xen" in text and "%" not in text
        assert text[0] in string.ascii_letters


def test_loss_is_said_as_loss_and_only_then():
    for state, text in xm_outcome.TARGET.items():
        assert ("LOST" in text) == xm_outcome.lost(state)


def test_how_to_start_again():
    text = xm_outcome.how_to_start_again(
        "incomplete", "web01", "xen2", "uuid u1", "/kept/web01.sxp"
    )
    assert "xm destroy web01" in text and "/kept/web01.sxp" in text and "uuid u1" in text
    assert "destroy" not in xm_outcome.how_to_start_again("missing", "web01", "xen2", "w", "/k")
