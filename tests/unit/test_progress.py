"""
How far a transfer is: real lines of xend 4.4, lines of older xends in their form, whole transcripts; and
the end of a log that is rotated meanwhile. Runs on Python 2.7, too, there without generated input.
"""

import os
import re
import shutil
import tempfile
import time

import pytest

import xm_progress
from tests import ground_truth

try:
    from hypothesis import given
    from hypothesis import strategies as st
except ImportError:
    given = None

NAMES = {"domain": "web01", "uuid": "c56e09d2", "source": "xen1", "target": "xen2"}

LIVE = """\
[2026-11-23 00:36:25 1934] DEBUG (XendCheckpoint:124) [xc_save]: /usr/lib/xen/bin/xc_save 23 1 0 0 1
[2026-11-23 00:36:25 1934] INFO (XendCheckpoint:423)\x20
[2026-11-23 00:36:25 1934] INFO (XendCheckpoint:423) [2088] xc: detail: xc_domain_save: starting save of domid 1
[2026-11-23 00:36:34 1934] INFO (XendCheckpoint:423) [2088] xc: detail: delta 8950ms, dom0 80%, target 1%, sent 89Mb/s, dirtied 0Mb/s 225 pages
[2026-11-23 00:36:34 1934] INFO (XendCheckpoint:423) [2088] xc: detail: delta 37ms, dom0 100%, target 0%, sent 199Mb/s, dirtied 0Mb/s 0 pages
[2026-11-23 00:36:34 1934] INFO (XendCheckpoint:423) [2088] xc: detail: Start last iteration
[2026-11-23 00:36:34 1934] DEBUG (XendCheckpoint:394) suspend
[2026-11-23 00:36:35 1934] INFO (XendCheckpoint:135) Domain 1 suspended.
[2026-11-23 00:36:35 1934] INFO (XendCheckpoint:423) [2088] xc: detail: delta 550ms, dom0 91%, target 8%, sent 0Mb/s, dirtied 11Mb/s 186 pages
[2026-11-23 00:36:35 1934] INFO (XendCheckpoint:423) [2088] xc: detail: delta 59ms, dom0 100%, target 0%, sent 103Mb/s, dirtied 103Mb/s 186 pages
[2026-11-23 00:36:35 1934] INFO (XendCheckpoint:423) [2088] xc: detail: Total pages sent= 24766 (0.93x)
[2026-11-23 00:36:35 1934] INFO (XendCheckpoint:423) [2088] xc: detail: Save exit of domid 1 with rc=0
[2026-11-23 00:36:35 1934] DEBUG (XendDomainInfo:3082) XendDomainInfo.destroy: domid=1
"""  # noqa: E501

# Another guest's, in between.
OTHER = """\
[2026-11-23 00:36:25 1934] DEBUG (XendCheckpoint:124) [xc_save]: /usr/lib/xen/bin/xc_save 29 12 0 0 1
[2026-11-23 00:36:25 1934] INFO (XendCheckpoint:423) [3001] xc: detail: xc_domain_save: starting save of domid 12
[2026-11-23 00:36:26 1934] INFO (XendCheckpoint:423) [3001] xc: detail: delta 30ms, dom0 8%, target 1%, sent 7Mb/s, dirtied 0Mb/s 999 pages
[2026-11-23 00:36:26 1934] INFO (XendCheckpoint:423) [3001] xc: error: Error when writing to state file (4c) (errno 104)
[2026-11-23 00:36:26 1934] INFO (XendCheckpoint:423) [3001] xc: detail: Save exit of domid 12 with rc=1
[2026-11-23 00:36:26 1934] ERROR (XendCheckpoint:185) Save failed on domain tiny (12) - resuming.
[2026-11-23 00:36:26 1934] INFO (XendCheckpoint:135) Domain 12 suspended.
[2026-11-23 00:36:26 1934] DEBUG (XendDomainInfo:3082) XendDomainInfo.destroy: domid=12
"""  # noqa: E501

PAINTED = "".join("\b\b\b\b%3d%%" % step for step in range(5, 100, 5))
OLD = (
    """\
[2009-03-09 13:37:11 xend 3113] DEBUG (XendCheckpoint:103) [xc_save]: /usr/lib64/xen/bin/xc_save 4 24 1 0 0 1
[2009-03-09 13:37:12 xend 3113] INFO (XendCheckpoint:351) Saving memory pages: iter 1   0%%%(painted)s\r 1: sent 24000, skipped 576, delta 1702ms, dom0 62%%, target 32%%, sent 555Mb/s, dirtied 116Mb/s 6036 pages
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) Saving memory pages: iter 2   0%%%(painted)s\r 2: sent 42, skipped 0, Start last iteration
[2009-03-09 13:37:13 xend.XendDomainInfo 3113] INFO (XendCheckpoint:135) Domain 1 suspended.
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) SUSPEND shinfo 00000abc
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) delta 35ms, dom0 48%%, target 46%%, sent 39Mb/s, dirtied 5Mb/s 40 pages
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) Saving memory pages: iter 3   0%%%(painted)s\r 3: sent 40, skipped 0, delta 5ms, dom0 48%%, target 0%%, sent 262Mb/s, dirtied 262Mb/s 40 pages
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) Total pages sent= 24082 (0.98x)
[2009-03-09 13:37:13 xend 3113] INFO (XendCheckpoint:351) Save exit rc=0
[2009-03-09 13:37:13 xend.XendDomainInfo 3113] DEBUG (XendDomainInfo:1583) XendDomainInfo.destroyDomain(1)
"""  # noqa: E501
    % {"painted": PAINTED}
)


def watched(domid=1, memory_mib=96, **options):
    return xm_progress.progress(NAMES, domid, memory_mib, 100.0, **options)


def rows(text):
    """Its lines; a carriage return, which older xends log in the middle of one, ends none."""
    return [row + "\n" for row in text.split("\n")[:-1]]


def fed(text, domid=1, now=112.0):
    return watched(domid).feed(text, now)


def figures(events):
    return [
        (event["phase"], event["iteration"], event["percent"], event["pages"], event["rate_mib_s"])
        for event in events
    ]


def lines(events):
    return [event["line"] for event in events]


def test_a_live_migration_of_4_4():
    assert figures(fed(LIVE)) == [
        ("sending", None, None, None, None),
        ("sending", 1, 99, 225, 10.6),
        ("sending", 2, 99, 0, 23.7),
        ("suspended", 2, 99, 0, None),
        ("suspended", 3, 99, 186, 0.0),
        ("suspended", 4, 100, 0, 12.3),
        ("sent", None, 100, 24766, None),
        ("arriving", None, 100, None, None),
    ]


def test_a_live_migration_of_3():
    """The number of a round is in the line; the third argument from the end is the guest's id."""
    assert figures(fed(OLD)) == [
        ("sending", None, None, None, None),
        ("sending", 1, 75, 6036, 66.2),
        ("sending", 2, 98, None, None),
        ("suspended", 2, 98, None, None),
        ("suspended", 2, 99, 40, 4.6),
        ("suspended", 3, 100, 0, 31.2),
        ("sent", None, 100, 24082, None),
        ("arriving", None, 100, None, None),
    ]


def test_each_event_carries_the_names_and_a_line_for_people():
    events = fed(LIVE)
    for event in events:
        assert dict((key, event[key]) for key in NAMES) == NAMES
        assert event["elapsed_s"] == 12.0
    assert lines(events) == [
        "web01 xen1 -> xen2: sending, 12 s",
        "web01 xen1 -> xen2: sending, iteration 1, 225 pages left, 10.6 MiB/s, 12 s",
        "web01 xen1 -> xen2: sending, iteration 2, 0 pages left, 23.7 MiB/s, 12 s",
        "web01 xen1 -> xen2: suspended, iteration 2, 0 pages left, 12 s",
        "web01 xen1 -> xen2: suspended, iteration 3, 186 pages left, 0.0 MiB/s, 12 s",
        "web01 xen1 -> xen2: suspended, iteration 4, 0 pages left, 12.3 MiB/s, 12 s",
        "web01 xen1 -> xen2: sent, 24766 pages in all, 12 s",
        "web01 xen1 -> xen2: arriving, 12 s",
    ]
    assert "sending, iteration 2, 98 %, 12 s" in lines(fed(OLD))[2]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("Saving memory pages: iter 1   0%%%s" % PAINTED, ("sending", 1, 95, None, None)),
        ("Saving memory: iter 0 (last sent 0 skipped 0): 8192/26624   30%", ("sending", 1, 30, None, None)),
    ],
)
def test_a_percentage_alone(line, expected):
    assert figures(fed("[x 1] INFO (XendCheckpoint:351) %s\n" % line)) == [expected]


def test_without_the_memory_there_is_no_percentage_of_it():
    assert [event["percent"] for event in watched(memory_mib=None).feed(LIVE, 101)][1:3] == [None, None]


RECEIVED = "[00:36:25 322] DEBUG (XendDomainInfo:239) XendDomainInfo.restore(['domain', ['uuid', '%s']])"
COMPLETING = "[00:36:36 322] DEBUG (XendDomainInfo:3021) XendDomainInfo.completeRestore"


@pytest.mark.parametrize(
    "lines, completed",
    [
        ([], None),
        ([COMPLETING], None),
        ([RECEIVED % "u2", COMPLETING], None),
        ([RECEIVED % "u1"], False),
        ([COMPLETING, RECEIVED % "u1"], False),
        ([RECEIVED % "u1", COMPLETING, COMPLETING + " done"], True),
        ([RECEIVED % "u1", COMPLETING], True),
        ([RECEIVED % "u1", COMPLETING, RECEIVED % "u1"], False),
        # Whose completion it was is not said.
        ([RECEIVED % "u1", RECEIVED % "u2", COMPLETING], True),
    ],
)
def test_whether_a_guest_was_completed(lines, completed):
    assert xm_progress.completed("\n".join(lines), "U1") is completed
    assert xm_progress.completed("\n".join(lines), None) is None


CREATED = "[00:40:00 2] DEBUG (XendDomainInfo:105) XendDomainInfo.create(['vm', ['name', '%s'], ['x', '%s']])"
BY_API = "[00:40:00 322] DEBUG (XendDomainInfo:126) XendDomainInfo.create_from_dict({'name_label': '%s'})"


@pytest.mark.parametrize(
    "lines, created",
    [
        ([], False),
        ([RECEIVED % "u1"], False),
        ([RECEIVED % "u1", CREATED % ("web01", "")], True),
        ([RECEIVED % "u1", CREATED % ("other", "U1")], True),
        ([RECEIVED % "u1", BY_API % "web01"], True),
        ([RECEIVED % "u1", CREATED % ("web011", "u2"), BY_API % "aweb01"], False),
        # Before it came.
        ([CREATED % ("web01", "u1"), RECEIVED % "u1"], False),
        # When it came is not there any more.
        ([CREATED % ("web01", "u1")], True),
        ([RECEIVED % "u2", CREATED % ("web01", "u1")], True),
    ],
)
def test_whether_a_guest_was_started_afresh(lines, created):
    assert xm_progress.is_created("\n".join(lines), "web01", "u1") is created
    assert xm_progress.is_created("\n".join(lines), None, None) is False


def test_the_last_part_of_a_log(tmp_path):
    path = tmp_path / "xend.log"
    assert xm_progress.last_part(str(path)) == ""
    path.write_bytes(b"\xff first\n" + b"x" * xm_progress.TAIL_BYTES + b"last\n")
    text = xm_progress.last_part(str(path))
    assert text.endswith("last\n") and "first" not in text and len(text) == xm_progress.TAIL_BYTES


def test_other_transfers_in_the_same_log():
    """Line by line in turn, with the other one's first: not one event, figure or reason is taken from it."""
    mixed = rows(LIVE)
    for number, other in enumerate(rows(OTHER)):
        mixed.insert(2 * number, other)
    assert fed("".join(mixed)) == fed(LIVE)
    assert fed(OTHER) == []


def test_a_helper_whose_beginning_was_not_seen_is_another_ones():
    assert fed(rows(LIVE)[3]) == []


def test_a_transfer_that_fails_says_why():
    events = fed(OTHER.replace("rc=0", "rc=1"), domid=12)
    assert [event["phase"] for event in events] == ["sending", "sending", "failed"]
    assert lines(events)[-1] == (
        "web01 xen1 -> xen2: failed (Error when writing to state file (4c) (errno 104)), iteration 1, 12 s"
    )


def test_a_failure_of_3():
    """Its helper's exit names no guest, so xend's own line counts."""
    log = rows(OLD)[:2] + [
        "[x 1] INFO (XendCheckpoint:351) ERROR Internal error: Error when writing to state file (5)\n",
        "[x 1] INFO (XendCheckpoint:351) Save exit rc=1\n",
    ]
    assert [event["phase"] for event in fed("".join(log))] == ["sending", "sending"]
    log.append("[x 1] ERROR (XendCheckpoint:133) Save failed on domain web01 (1).\n")
    assert "failed (Error when writing to state file (5))" in lines(fed("".join(log)))[-1]


def test_a_second_attempt_begins_anew():
    progress = watched(domid=12)
    progress.feed(OTHER, 101)
    again = figures(progress.feed(LIVE.replace(" 23 1 ", " 23 12 ").replace("domid 1\n", "domid 12\n"), 102))
    assert again[:2] == [("sending", None, None, None, None), ("sending", 1, 99, 225, 10.6)]


def test_a_guest_that_is_destroyed_without_having_been_sent_does_not_arrive():
    log = rows(LIVE)
    assert figures(fed("".join(log[:5] + log[-1:]))) == figures(fed("".join(log[:5])))


def test_nothing_is_told_twice():
    progress = watched()
    progress.feed(LIVE, 101)
    assert progress.feed(rows(LIVE)[-1], 102) == []
    assert progress.feed("[x 1] INFO (XendCheckpoint:423) Written done\n", 103) == []


@pytest.mark.parametrize("log", [LIVE, OLD], ids=["4.4", "3"])
def test_a_percentage_of_100_does_not_fall(log):
    """While the guest runs it may write, so it is 100 only when nothing can be written any more."""
    percents = [event["percent"] for event in fed(log)]
    assert percents[-1] == 100 and percents == sorted(percents, key=lambda percent: percent or 0)
    assert [event["phase"] for event in fed(log) if event["percent"] == 100][0] == "suspended"


def test_the_first_round_has_a_percentage_too():
    """xend logs it when it is over; what xc_save has written tells how far it is."""
    progress = watched()
    bytes_sent = {"now": 0}
    written = lambda: bytes_sent["now"]  # noqa: E731
    assert progress.tick(105.0, "connecting", written)["percent"] is None
    progress.feed("".join(rows(LIVE)[:3]), 106)
    assert progress.tick(108.0, "connecting", written) is None
    told = []
    for now, sent in ((111.0, 12), (116.0, 48), (121.0, 95.9), (126.0, 98)):
        bytes_sent["now"] = int(sent * 1048576)
        told.append(progress.tick(now, "connecting", written))
    assert [event["percent"] for event in told] == [12, 50, 99, 99]
    assert told[1]["line"] == "web01 xen1 -> xen2: sending, 50 %, 16 s"
    # From then on the log knows better.
    bytes_sent["now"] = 0
    assert progress.feed("".join(rows(LIVE)[3:4]), 127)[0]["percent"] == 99
    assert progress.tick(132.0, "connecting", written)["pages"] == 225
    # And there is none where nobody counts, or the memory is not known.
    for progress in (watched(), watched(memory_mib=None)):
        progress.feed("".join(rows(LIVE)[:3]), 106)
        assert progress.tick(112.0, "connecting", lambda: None)["percent"] is None
    progress = watched(memory_mib=None)
    progress.feed("".join(rows(LIVE)[:3]), 106)
    assert progress.tick(112.0, "connecting", lambda: 12)["percent"] is None


MIB = 1048576


def test_what_a_relay_has_carried_tells_how_far_it_is():
    progress = watched(every_s=1)
    assert (progress.tick(101.0, "connecting")["bytes"], progress.tick(102.0, "connecting")["left_s"]) == (
        None,
        None,
    )
    progress.feed("".join(rows(LIVE)[:3]), 102)
    told = []
    for now, sent, rate in ((103.0, 12, None), (104.0, 48, 12.04), (105.0, 95.9, 0.0), (106.0, 98, 12.0)):
        progress.carried(int(sent * MIB), rate)
        told.append(progress.tick(now, "connecting", lambda: 0))
    assert [event["percent"] for event in told] == [12, 50, 99, 99]
    assert [event["rate_mib_s"] for event in told] == [None, 12.0, 0.0, 12.0]
    # When the rest has gone of what stands still nobody knows; what is not memory is not counted.
    assert [event["left_s"] for event in told] == [None, 4, None, 0]
    assert told[1]["bytes"] == 48 * MIB
    assert told[1]["line"] == "web01 xen1 -> xen2: sending, 50 %, 12.0 MiB/s, 4 s left, 4 s"
    assert "None" not in told[0]["line"]


def test_a_round_that_is_over_tells_what_a_relay_still_has_to_carry():
    """Of 96 MiB, 6036 pages (a quarter) were written meanwhile, on 3.x as on 4.4."""
    progress = watched()
    progress.carried(97 * MIB, 50.0)
    (_began, first) = progress.feed("".join(rows(OLD)[:2]), 102)
    assert (first["iteration"], first["percent"], first["pages"], first["left_s"]) == (1, 75, 6036, 1)
    progress.carried(103 * MIB, 6.0)
    assert figures([progress.tick(107, "sending")]) == [("sending", 1, 81, 6036, 6.0)]
    # The number of a round alone makes no percentage worse.
    (second,) = progress.feed(rows(OLD)[2], 108)
    assert (second["iteration"], second["percent"], second["left_s"]) == (2, 81, 3)


@pytest.mark.parametrize("log", [LIVE, OLD], ids=["4.4", "3"])
def test_when_all_is_sent_the_bytes_stay_and_there_is_nothing_left(log):
    progress = watched()
    progress.carried(99 * MIB, 10.0)
    events = progress.feed(log, 112)
    for event in events:
        is_sent = event["phase"] in ("sent", "arriving")
        assert event["bytes"] == 99 * MIB
        assert event["rate_mib_s"] == (None if is_sent else 10.0)
        assert (event["left_s"] is None) == (is_sent or event["percent"] == 100)
    assert [event["percent"] for event in events if event["phase"] == "sending"][-1] <= 99
    assert events[-1]["percent"] == 100


def test_what_a_relay_has_carried_of_a_guest_whose_memory_is_not_known():
    progress = watched(memory_mib=None)
    progress.feed("".join(rows(LIVE)[:3]), 102)
    progress.carried(5, 1.0)
    event = progress.tick(112, "sending")
    assert (event["percent"], event["left_s"], event["bytes"], event["rate_mib_s"]) == (None, None, 5, 1.0)


def test_what_a_process_has_written():
    before = xm_progress.written(os.getpid())
    if before is None:
        pytest.skip("this kernel does not count what processes write")
    with open(os.devnull, "wb") as nowhere:
        nowhere.write(b"x" * 3000000)
    assert 3000000 <= xm_progress.written(os.getpid()) - before < 3100000
    assert xm_progress.written(0) is None


def test_a_beginning_that_is_not_known():
    arrival = xm_progress.progress(NAMES, None, None, None)
    event = arrival.event("arriving", 500)
    assert event["elapsed_s"] is None and event["line"] == "web01 xen1 -> xen2: arriving"
    assert arrival.tick(502, "arriving") is None
    assert arrival.tick(505, "arriving")["elapsed_s"] is None


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("", None),
        ("[%s 322] DEBUG (XendDomainInfo:239) XendDomainInfo.restore(['domain', ['uuid', 'u1']])", 12),
        ("[%s xend 322] DEBUG (XendDomainInfo:239) XendDomainInfo.restore(['uuid', 'U1'])", 12),
        ("[%s 322] DEBUG (XendDomainInfo:239) XendDomainInfo.restore(['uuid', 'u2'])", None),
        ("[soon 322] DEBUG (XendDomainInfo:239) XendDomainInfo.restore(['uuid', 'u1'])", None),
        ("[2009-13-41 25:00:00 1] DEBUG XendDomainInfo.restore(['uuid', 'u1'])", None),
        # Another line's stamp is none of its own.
        ("[%s 322] DEBUG something\nXendDomainInfo.restore(['uuid', 'u1'])", None),
        # Received before, sent away, and received again.
        ("[2009-01-01 00:00:00 1] XendDomainInfo.restore('u1')\n[%s 1] XendDomainInfo.restore('u1')", 12),
        # The clock was set back meanwhile.
        ("[2100-01-01 00:00:00 1] DEBUG XendDomainInfo.restore(['uuid', 'u1'])", None),
    ],
)
def test_since_when_a_guest_is_received(text, seconds):
    now = time.time()
    text = text.replace("%s", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now - 12)))
    found = xm_progress.received_since(text, "u1", now)
    assert found is None if seconds is None else seconds <= found < seconds + 1.5
    assert xm_progress.received_since(text, None, now) is None


@pytest.fixture
def zone(monkeypatch):
    """A function that sets the time zone of this process until the test is over."""

    def use(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


# What has happened seems rather too late than too early: a guest that may have run since it was sent is not
# brought back unasked.
@pytest.mark.parametrize("after_s, since_s", [(60, 60), (3000, 3000), (7200, 3600)])
@pytest.mark.parametrize(
    "name, first",
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1414282800),
        ("EST5EDT,M3.2.0,M11.1.0", 1414905600),
    ],
)
def test_in_the_hour_that_comes_twice_a_log_is_taken_for_the_later_one(zone, name, first, after_s, since_s):
    zone(name)
    shown = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) for at in (first, first + 3600)]
    assert shown[0] == shown[1]
    text = "[%s 1] DEBUG (XendDomainInfo:151) XendDomainInfo.restore(['domain', ['uuid', 'u1']])" % shown[0]
    assert xm_progress.received_since(text, "u1", first + after_s) == since_s
    assert xm_progress.received_since(text, "u1", first + 3600 + 60) == 60


def test_time_alone():
    progress = watched(every_s=5)
    assert progress.tick(104.9, "connecting") is None
    assert progress.tick(105.0, "connecting")["line"] == "web01 xen1 -> xen2: connecting, 5 s"
    assert progress.tick(106.0, "connecting") is None
    assert progress.tick(107.0, "sending")["phase"] == "sending"
    assert progress.tick(108.0, "sending") is None
    assert progress.tick(112.0, "sending")["elapsed_s"] == 12.0


def test_the_log_goes_before_what_is_seen_otherwise_unless_that_is_further():
    progress = watched()
    progress.feed("".join(rows(LIVE)[:8]), 101)
    assert progress.tick(102, "sending") is None
    later = progress.tick(106, "sending")
    assert (later["phase"], later["iteration"], later["pages"]) == ("suspended", 2, 0)
    assert progress.tick(107, "running")["line"] == "web01 xen1 -> xen2: running, 7 s"
    assert progress.feed("".join(rows(LIVE)[8:]), 108) == []


def test_what_is_seen_is_told_at_once():
    arrival = xm_progress.progress(NAMES, None, None, 100.0)
    assert arrival.event("arriving", 100.5)["line"] == "web01 xen1 -> xen2: arriving, 0 s"
    assert arrival.event("failed", 103)["phase"] == "failed"
    assert arrival.feed(LIVE, 104) == []


@pytest.mark.parametrize("method", ["tick", "event"])
def test_a_phase_that_is_none_is_an_error(method):
    arguments = {"tick": (101, "flying"), "event": ("flying", 101)}[method]
    with pytest.raises(ValueError):
        getattr(watched(), method)(*arguments)


def in_pieces(text, cuts, domid=1):
    progress, events, begin = watched(domid), [], 0
    for cut in sorted(cuts) + [len(text)]:
        events += progress.feed(text[begin:cut], 112.0)
        begin = cut
    return events


@pytest.mark.parametrize("log", [LIVE, OLD], ids=["4.4", "3"])
def test_a_log_that_is_read_character_by_character(log):
    assert in_pieces(log, range(len(log))) == fed(log)


if given:

    @given(st.sampled_from([LIVE, OLD, OTHER + LIVE]), st.lists(st.integers(0, 2000), max_size=8))
    def test_it_does_not_matter_where_the_text_is_cut(log, cuts):
        assert in_pieces(log, [cut for cut in cuts if cut < len(log)]) == fed(log)

    CARRIED = st.none() | st.tuples(st.integers(0, 1 << 40), st.none() | st.floats(0, 1e5))

    @given(st.lists(st.sampled_from(rows(LIVE + OLD + OTHER)), max_size=30), CARRIED)
    def test_whatever_order_lines_come_in(log, carried):
        progress = watched()
        if carried:
            progress.carried(*carried)
        for event in progress.feed("".join(log), 112.0):
            assert event["left_s"] is None or event["left_s"] >= 0
            assert event["phase"] in xm_progress.PHASES
            assert event["percent"] is None or 0 <= event["percent"] <= 100
            assert event["line"].startswith("web01 xen1 -> xen2: " + event["phase"])
            assert "None" not in event["line"]


@pytest.mark.parametrize("kind, domid", [("live", 1), ("nonlive", 3)])
def test_whole_logs_of_a_real_xend(kind, domid):
    # The target's lines are no harm: there is one log where a guest is sent to its own host.
    logs = [ground_truth.transcript("xend-log/%s-%s" % (kind, end)) for end in ("source", "target")]
    text = "".join(logs)
    events = fed(text, domid)
    total = int(re.search(r"Total pages sent= (\d+)", text).group(1))
    live = "Start last iteration" in text
    phases = [event["phase"] for event in events]
    assert sorted(set(phases), key=phases.index) == ["sending", "suspended", "sent", "arriving"]
    assert [event["pages"] for event in events if event["phase"] == "sent"] == [total]
    # There is one line for each round of xc_save.
    assert [event["iteration"] for event in events][-3] == len(re.findall(r"delta \d+ms", text))
    assert (phases.count("sending") > 1) == live
    assert in_pieces(text, range(0, len(text), 7), domid) == events


@pytest.mark.parametrize(
    "kind, domid, last",
    [
        ("name-in-use", 6, "failed"),
        ("no-memory", 7, "failed"),
        ("target-restore-killed", 9, "failed"),
        # The source cannot know: there all looks as if it had gone well.
        ("target-xend-killed", 7, "arriving"),
        ("target-xend-restarted", 8, "arriving"),
        ("network-cut", 11, "arriving"),
    ],
)
def test_how_the_log_of_a_real_migration_ends(kind, domid, last):
    text = ground_truth.transcript("xend-log/%s-source" % kind)
    events = fed(text, domid)
    assert events[0]["phase"] == "sending" and events[-1]["phase"] == last
    assert ("failed" in [event["phase"] for event in events]) == (last == "failed")
    # Another guest's log says nothing of this one.
    assert fed(text, domid + 100) == []


# The end of the log


@pytest.fixture
def log():
    folder = tempfile.mkdtemp()
    yield os.path.join(folder, "xend.log")
    shutil.rmtree(folder)


def add(path, data):
    with open(path, "ab") as stream:
        stream.write(data)


def test_only_what_was_added(log):
    add(log, b"old\n")
    tail = xm_progress.tail(log)
    assert tail.read() == ""
    add(log, b"one\ntw")
    assert tail.read() == "one\ntw"
    add(log, b"o\n")
    assert tail.read() == "o\n"
    assert tail.read() == ""


def test_a_log_that_does_not_exist_yet(log):
    tail = xm_progress.tail(log)
    assert tail.read() == ""
    add(log, b"first\n")
    assert tail.read() == "first\n"


def test_a_log_that_is_rotated_loses_nothing(log):
    add(log, b"old\n")
    tail = xm_progress.tail(log)
    add(log, b"last of the old\n")
    os.rename(log, log + ".1")
    assert tail.read() == "last of the old\n"
    assert tail.read() == ""
    add(log, b"first of the new\n")
    assert tail.read() == "first of the new\n"


def test_a_new_log_in_place_of_the_old_one_is_read_from_its_start(log):
    add(log, b"old\n")
    tail = xm_progress.tail(log)
    add(log + ".new", b"as long as the old one\n")
    os.rename(log + ".new", log)
    assert tail.read() == "as long as the old one\n"


def test_a_log_that_is_cut_off_is_read_from_its_start(log):
    add(log, b"something long\n")
    tail = xm_progress.tail(log)
    open(log, "wb").close()
    assert tail.read() == ""
    add(log, b"new\n")
    assert tail.read() == "new\n"


def test_much_is_read_bit_by_bit(log):
    tail = xm_progress.tail(log)
    add(log, b"x" * (xm_progress.TAIL_BYTES + 5))
    os.rename(log, log + ".1")
    add(log, b"y")
    # Nothing of the rotated file was read before, so it is not known to be the same log.
    assert tail.read() == "y"
    tail = xm_progress.tail(log)
    add(log, b"x" * (xm_progress.TAIL_BYTES + 5))
    assert len(tail.read()) == xm_progress.TAIL_BYTES
    assert tail.read() == "xxxxx"


def test_bytes_that_are_no_text(log):
    tail = xm_progress.tail(log)
    add(log, b"\xff caf\xc3")
    first = tail.read()
    add(log, b"\xa9\n")
    shown = b"\xef\xbf\xbd caf\xc3\xa9\n"
    assert first + tail.read() == (shown if bytes is str else shown.decode("utf-8"))
    assert type(first) is type(xm_progress.last_part(log)) is str


def test_names_and_reasons_in_any_script(log):
    native = b"k\xc3\xb6ln" if bytes is str else b"k\xc3\xb6ln".decode("utf-8")
    tail = xm_progress.tail(log)
    add(log, OTHER.encode("ascii").replace(b"Error when writing", b"k\xc3\xb6ln"))
    progress = xm_progress.progress(dict(NAMES, domain=native), 12, 96, 100.0)
    told = [event["line"] for event in progress.feed(tail.read(), 101.0)]
    assert told[-1].startswith("%s xen1 -> xen2: failed (%s to state file" % (native, native))
    assert [type(line) for line in told] == [str] * len(told)
    assert xm_progress.completed(xm_progress.last_part(log), native) is None
