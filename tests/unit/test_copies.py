"""
What one host holds of a guest.
This file runs on Python 2.7 as well.
"""

import itertools

import pytest

import xm_copies
from tests.held import COPIES, STATES, copies, row, view


@pytest.mark.parametrize(
    "found, in_transfer, not_in_transfer, not_known",
    [
        (None, "absent", "absent", "absent"),
        (row("", domid=None), "managed", "managed", "managed"),
        (row("-b----"), "running", "running", "running"),
        (row("r-----"), "running", "running", "running"),
        (row("------"), "running", "running", "running"),
        (row("-b----", time_s=0.0), "running", "running", "running"),
        (row("--p---", time_s=0.0), "receiving", "unfinished", "arriving"),
        (row("--p---", "migrating-web01", time_s=0.0), "receiving", "unfinished", "arriving"),
        (row("--p---"), "halted", "halted", "halted"),
        (row("-b----", "migrating-web01"), "sending", "left", "migrating"),
        (row("------", "migrating-web01"), "sending", "left", "migrating"),
        (row("--p---", "migrating-web01"), "sending", "halted", "migrating"),
        (row("---s--", "migrating-web01"), "sending", "suspended", "migrating"),
        (row("---s--"), "sending", "halted", "migrating"),
        (row("---s-d", "migrating-web01"), "absent", "absent", "absent"),
        (row("---s-d"), "absent", "absent", "absent"),
        (row("---sc-", "migrating-web01"), "sending", "halted", "migrating"),
        (row("----c-"), "halted", "halted", "halted"),
        (row("-----d"), "absent", "absent", "absent"),
        (row("--x---"), "unknown", "unknown", "unknown"),
        (row(""), "unknown", "unknown", "unknown"),
    ],
)
def test_what_one_host_holds(found, in_transfer, not_in_transfer, not_known):
    seen = [xm_copies.copy(found, transferring) for transferring in (True, False, None)]
    assert seen == [in_transfer, not_in_transfer, not_known]


@pytest.mark.parametrize("kind", ["live", "nonlive"])
def test_a_real_migration_seen_from_both_hosts(kind):
    held = [found for _clock, found in copies("source", kind, True)]
    assert sorted(set(held), key=held.index) == ["running", "sending", "absent"]
    held = [found for _clock, found in copies("target", kind, True)]
    # Before its memory arrives, xend shows the guest for an instant with the state it had at home.
    assert sorted(set(held), key=held.index) == ["absent", "running", "receiving"]
    assert held[-1] == "running"


def test_another_uuid_makes_another_guest_of_it():
    assert xm_copies.copy(row("-b----"), False, True) == "foreign"
    assert xm_copies.copy(None, False, True) == "absent"


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_what_it_is_called_and_of_its_kinds(copy):
    assert xm_copies.is_one_of(copy, copy) and xm_copies.is_one_of(copy, "any")
    assert not xm_copies.is_one_of(copy, "") and not xm_copies.is_one_of(copy, "nothing")
    of = [kind for kind in sorted(xm_copies.KINDS) if kind != "any" and xm_copies.is_one_of(copy, kind)]
    assert len(of) == (0 if copy in ("foreign", "unfinished") else 1)
    assert xm_copies.is_one_of(copy, "gone foreign") is (copy in ("absent", "managed", "foreign"))


@pytest.mark.parametrize("word", ["gone", "any", "runs", "", None])
def test_what_is_no_copy_is_none_of_them(word):
    assert not xm_copies.is_one_of(word, "any gone runs")


def every_state():
    for letters in itertools.product("r-", "b-", "p-", "s-", "c-", "d-"):
        yield "".join(letters)


@pytest.mark.parametrize("name", ["web01", "migrating-web01"])
@pytest.mark.parametrize("transferring", [True, False, None])
def test_only_what_is_alive_counts_as_running_and_every_state_as_something(name, transferring):
    for state in every_state():
        for time_s in (0.0, 0.1):
            found = xm_copies.copy(row(state, name, time_s=time_s), transferring)
            assert found in COPIES
            if found in ("running", "left"):
                assert not set(state) & set("pscd")
            if found in ("left", "suspended", "unfinished"):
                assert transferring is False


# What is on its way


def moving(*rows, **more):
    transferring = more.get("transferring", False)
    found = [dict(one, listed=one["name"], copy=xm_copies.copy(one, transferring)) for one in rows]
    return xm_copies.moving(found)


SENT = "%s is being sent, or is left over from a migration that broke"
RECEIVED = "%s is being received, or is left over from a migration that broke"
MAY_COME = "%s has never run here and may be being received"


@pytest.mark.parametrize(
    "found, in_transfer, not_in_transfer, not_known",
    [
        (row("-b----"), None, None, None),
        (row("", domid=None, vcpus=0), None, None, None),
        (row("-b----", "migrating-web01"), SENT, SENT, SENT),
        (row("---s--", "migrating-web01"), SENT, SENT, SENT),
        (row("----c-", "migrating-web01"), SENT, SENT, SENT),
        (row("??????", "migrating-web01"), SENT, SENT, SENT),
        # Up to 3.0 under its own name; it may also have been shut down and kept.
        (row("---s--"), SENT, None, SENT),
        # While its memory arrives it has no VCPU, and then it has not run yet.
        (row("--p---", vcpus=0, time_s=0.0), RECEIVED, RECEIVED, RECEIVED),
        (row("--p---", vcpus=0), RECEIVED, RECEIVED, RECEIVED),
        (row("--p---", time_s=0.0), RECEIVED, None, MAY_COME),
        (row("--p---", "migrating-web01", time_s=0.0), RECEIVED, SENT, MAY_COME),
        # About to be made, so that its state is not known yet.
        (row("??????", vcpus=0, time_s=0.0), RECEIVED, RECEIVED, RECEIVED),
        (row("??????"), None, None, None),
        # Somebody has paused it.
        (row("--p---"), None, None, None),
    ],
)
def test_what_a_restart_of_xend_could_break(found, in_transfer, not_in_transfer, not_known):
    for transferring, said in ((True, in_transfer), (False, not_in_transfer), (None, not_known)):
        assert moving(found, transferring=transferring) == ([said % found["name"]] if said else [])


@pytest.mark.parametrize("name", ["web01", "migrating-web01"])
@pytest.mark.parametrize("transferring", [True, False, None])
def test_no_transfer_that_may_go_on_is_called_none(name, transferring):
    for state in every_state():
        for time_s, vcpus in itertools.product((0.0, 0.1), (0, 1)):
            found = row(state, name, time_s=time_s, vcpus=vcpus)
            if xm_copies.copy(found, transferring) in ("sending", "migrating", "receiving", "arriving"):
                assert len(moving(found, transferring=transferring)) == 1


def test_each_copy_that_is_on_its_way_is_named():
    rows = [row("-b----"), row("r-----", "migrating-db"), row("--p---", "coming", vcpus=0, time_s=0.0)]
    # A domain that somebody created paused is on no way.
    rows.append(row("--p---", "made", time_s=0.0))
    assert moving(*rows) == [SENT % "migrating-db", RECEIVED % "coming"]


# What is said of it


@pytest.mark.parametrize(
    "copy, said",
    [
        ("sending", "being sent already: a migration of it from xen1 to xen3 goes on"),
        ("migrating", "being sent already, or is left over"),
        ("receiving", "a migration of web01 from xen3 to xen1 goes on"),
        ("arriving", "a migration of web01 from xen3 to xen1 may go on"),
    ],
)
def test_a_guest_that_is_under_way_is_to_be_waited_for(copy, said):
    text = xm_copies.under_way("web01", "xen1", view(copy, other="xen3"))
    assert said in text and "Wait until that is over" in text and STATES[copy] in text
    assert "another host" in xm_copies.under_way("web01", "xen1", view(copy))


@pytest.mark.parametrize("copy", [each for each in COPIES if each not in xm_copies.UNDER_WAY])
def test_what_is_not_under_way_is_not_said_to_be(copy):
    assert xm_copies.under_way("web01", "xen1", view(copy)) == ""
