"""
The way through a relay, as people are told of it: what xm has said, what the target has said, and where the
connections of xend lead. Runs on Python 2.7, too.
"""

import importlib

import pytest

import xm_way

UTILITY = importlib.import_module

NO_COPY = {"state": "none", "path": None, "bytes": 0, "why": None}


def told(**said):
    """What a relay may say."""
    words = {
        "name": "web01",
        "uuid": "u1",
        "target": "xen2",
        "alive": True,
        "phase": "sending",
        "listens": ["127.0.0.1", 8002],
        "sends_to": ["10.20.0.12", 8002],
        "heard": None,
        "said": None,
        "problem": None,
        "copy": NO_COPY,
    }
    return dict(words, **said)


def copy(state, why=None):
    return {"state": state, "path": "/kept/web01.u1.save", "bytes": 5, "why": why}


class Relays:
    """In the place of xm_relay: what each status file says."""

    def __init__(self, said):
        self.said = said

    def __call__(self, name):
        assert name == "xm_relay"
        return self

    def status(self, path):
        said = self.said[path.rpartition("/")[2]]
        if isinstance(said, Exception):
            raise said
        return said


# What xm has said


@pytest.mark.parametrize(
    "text, said, expected",
    [
        # As it is, without a relay.
        ("I need 98304 KiB (from 127.0.0.1)", None, "I need 98304 KiB (from 127.0.0.1)"),
        ("I need 98304 KiB (from 127.0.0.1)", {}, "I need 98304 KiB (from 10.20.0.12)"),
        ("Domain is not running", {}, "Domain is not running"),
        # A guest may be called so.
        ("VM name '(from 127.0.0.1)' exists", {}, "VM name '(from 127.0.0.1)' exists"),
        (
            "can't connect: [Errno 104] Connection reset by peer",
            {"problem": "can't connect: [Errno 113] No route to host"},
            "can't connect: [Errno 113] No route to host",
        ),
        (
            "can't connect: [Errno 104] Connection reset by peer",
            {},
            "can't connect: [Errno 104] Connection reset by peer",
        ),
    ],
)
def test_what_xm_has_said_is_told_as_if_there_were_no_relay(text, said, expected):
    said = None if said is None else told(**said)
    assert xm_way.xm_said(text, said, "127.0.0.1", "10.20.0.12") == expected


# What the target has said


@pytest.mark.parametrize(
    "said, expected",
    [
        ({"heard": None}, ""),
        ({"heard": "unanswered"}, ""),
        ({"heard": "ok", "copy": copy("removed")}, "; xen2 has said that it runs"),
        # A guest that has run is never brought back: nobody is told of a copy that is about to go.
        ({"heard": "ok", "copy": copy("complete")}, "; xen2 has said that it runs"),
        (
            {"heard": "err", "said": "Device 0 (vif) could not be connected.", "copy": copy("complete")},
            "; xen2 has said why it cannot run there: Device 0 (vif) could not be connected. Its memory is "
            "kept on xen1, in /kept/web01.u1.save",
        ),
        ({"heard": "err", "said": None}, "; xen2 has said why it cannot run there: nothing"),
        ({"heard": "silence"}, "; xen2 has hung up without a word, as when xend there has died"),
        ({"heard": "broken", "copy": copy("removed")}, "; xen2 has hung up before it had all of it"),
        (
            {"heard": None, "copy": copy("given up", "the disk is full")},
            "; its safety copy was given up: the disk is full",
        ),
        ({"heard": None, "copy": copy("growing")}, ""),
        # It is about to go, because the guest runs; and one that was not to be had before.
        ({"heard": "ok", "copy": copy("given up", "it runs")}, "; xen2 has said that it runs"),
        (
            {"heard": "ok", "alive": False, "copy": copy("given up", "the disk is full")},
            "; xen2 has said that it runs; its safety copy was given up: the disk is full",
        ),
    ],
)
def test_what_is_said_of_a_guest_that_has_left(said, expected):
    assert xm_way.word(told(**said), "xen1", "xen2") == expected
    assert xm_way.word(None, "xen1", "xen2") == ""


@pytest.mark.parametrize("heard", [None, "unanswered", "err", "silence", "broken"])
def test_who_has_said_that_it_runs_is_not_said_to_be_the_only_one_who_can_tell(heard):
    assert xm_way.advice(told(heard="ok"), "xen2", ". Wait") == ". Start it nowhere else before xen2 was seen"
    assert xm_way.advice(told(heard=heard), "xen2", ". Wait") == ". Wait"
    assert xm_way.advice(None, "xen2", ". Wait") == ". Wait"


XC_SAVE = "/usr/lib/xen/bin/xc_save 25 6 0 0 1 failed"


@pytest.mark.parametrize(
    "said, xm_said, required, expected",
    [
        (
            {"heard": "err", "said": "VM name 'web01' already in use by domain 1"},
            XC_SAVE,
            False,
            ". xen2 said: VM name 'web01' already in use by domain 1",
        ),
        # xm has quoted it already.
        ({"heard": "err", "said": "I need 98304 KiB"}, "I need 98304 KiB (from 10.20.0.12)", False, ""),
        ({"heard": "err", "said": None}, XC_SAVE, False, ""),
        ({"heard": "broken"}, XC_SAVE, False, ""),
        ({"copy": copy("given up", "the disk is full")}, XC_SAVE, False, ""),
        (
            {"heard": "broken", "copy": copy("given up", "the disk is full")},
            XC_SAVE,
            True,
            ". The transfer was broken off because its safety copy is required: the disk is full",
        ),
        ({"heard": "broken", "copy": copy("removed", "it broke")}, XC_SAVE, True, ""),
    ],
)
def test_what_is_said_of_a_guest_that_is_still_here(said, xm_said, required, expected):
    assert xm_way.word(told(**said), "xen1", "xen2", xm_said, required) == expected


@pytest.mark.parametrize(
    "heard, failed",
    [(None, False), ("ok", False), ("unanswered", False), ("err", True), ("silence", True), ("broken", True)],
)
def test_whether_the_target_has_failed(heard, failed):
    assert xm_way.has_failed(told(heard=heard)) is failed
    assert xm_way.has_failed(None) is False


@pytest.mark.parametrize(
    "said, settled",
    [
        ({"phase": "listening"}, True),
        ({"phase": "connecting"}, False),
        ({"phase": "sending"}, False),
        # It is about to be passed on.
        ({"phase": "sending", "heard": "err"}, False),
        ({"phase": "sending", "alive": False}, True),
        ({"phase": "sent"}, False),
        ({"phase": "sent", "heard": "ok", "copy": copy("growing")}, False),
        ({"phase": "sent", "heard": "ok", "copy": copy("given up", "it runs")}, False),
        ({"phase": "sent", "heard": "ok", "copy": copy("removed")}, True),
        ({"phase": "sent", "heard": "ok"}, True),
        ({"phase": "sent", "heard": "err", "copy": copy("growing")}, False),
        ({"phase": "sent", "heard": "err", "copy": copy("complete")}, True),
        ({"phase": "over", "alive": False}, True),
    ],
)
def test_whether_a_relay_will_say_more_soon(said, settled):
    assert xm_way.is_settled(told(**said)) is settled


# Where connections lead


def test_a_connection_to_a_relay_leads_to_its_target():
    said = [told(), told(listens=["127.0.0.1", 40001], sends_to=["10.20.0.13", 8012])]
    peers = ["127.0.0.1:40001", "127.0.0.1:40002", "10.20.0.14:8002"]
    assert xm_way.beyond(peers, said) == ["10.20.0.13:8012", "10.20.0.14:8002", "127.0.0.1:40002"]
    assert xm_way.beyond(["127.0.0.1:8002"] * 2, said) == ["10.20.0.12:8002"]
    assert xm_way.beyond(peers, []) == sorted(peers)


def test_what_a_relay_carries_is_being_sent_until_all_is_sent():
    for phase, targets in (
        ("listening", []),
        ("connecting", ["10.20.0.12:8002"]),
        ("sending", ["10.20.0.12:8002"]),
        ("sent", []),
        ("over", []),
    ):
        assert xm_way.carried_to([told(phase=phase)] * 2) == targets


def test_the_relays_of_a_host_are_those_that_run(tmp_path):
    said = {
        "a.u1.relay": told(),
        "b.u2.relay": told(name="b", alive=False),
        "c.u3.relay": None,
        "d.u4.relay": ValueError("it is not understood"),
        "e.u5.relay": OSError(13, "Permission denied"),
    }
    for name in list(said) + ["a.u1.sent", "a.u1.save"]:
        (tmp_path / name).write_bytes(b"")
    assert xm_way.relays(str(tmp_path), Relays(said)) == [told()]
    assert xm_way.relays(str(tmp_path / "none"), Relays(said)) == []
