"""What `xend.watch` makes of the events of migrations and of what hosts show. Runs on Python 2.7, too."""

import importlib
import re

import pytest

import xm_watch

UUID = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"
OTHER = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e60"
QUIET_S = xm_watch.QUIET_S


def event(phase, domain="web01", source="xen1", target="xen2", **more):
    found = {"domain": domain, "uuid": UUID, "source": source, "target": target, "phase": phase}
    found.update(percent=None, bytes=None, pages=None, iteration=None, rate_mib_s=None, left_s=None)
    found.update(elapsed_s=1.0, line="%s %s -> %s: %s" % (domain, source, target, phase))
    # Salt adds some of its own.
    return dict(found, __pub_fun="event.send", **more)


def shown(*moves, **more):
    return dict({"migrations": list(moves), "expected": [], "held": []}, **more)


def held(name="web01", copy="running", uuid=UUID):
    return {"name": name, "uuid": uuid, "copy": copy}


def leaving(name="web01", other="xen2", copy="sending", **more):
    found = {"name": name, "uuid": UUID, "copy": copy, "other": other, "memory_mib": 100}
    return dict(found, **dict({"bytes": None, "rate_mib_s": None, "seconds": None}, **more))


SILENT = {"problem": "its minion does not answer", "remedy": ""}


class Watch(object):
    def __init__(self, *only):
        self.board = xm_watch.board(importlib.import_module, only)

    def tell(self, sender, now, *arguments, **more):
        self.board.feed(sender, event(*arguments, **more), now)

    def news(self):
        return [line for _is_more, line in self.board.news()]

    def seen(self, now=100):
        return [(one["domain"], one["phase"], one["end"]) for one in self.board.seen(now)]

    def lines(self, now=0, width=100, height=20):
        return self.board.lines(width, height, now)


@pytest.fixture
def watch():
    return Watch()


def test_the_phases_are_those_that_are_told():
    progress = importlib.import_module("xm_progress")
    assert set(xm_watch.SENT) < set(progress.phases())


def test_a_migration_from_its_first_event_to_its_last(watch):
    watch.tell("xen1", 1, "connecting", elapsed_s=0)
    watch.tell("xen1", 2, "sending", percent=4, bytes=4 << 20, rate_mib_s=4.0, left_s=24)
    watch.tell("xen1", 3, "sending", percent=8, rate_mib_s=4.0, left_s=23)
    watch.tell("xen1", 4, "sending", percent=12, rate_mib_s=4.0, left_s=22)
    watch.tell("xen1", 5, "suspended", percent=99, rate_mib_s=4.0, left_s=1)
    watch.tell("xen1", 6, "sent", percent=100, pages=24766)
    watch.tell("xen1", 6, "arriving", percent=100, elapsed_s=5.5)
    assert watch.board.moves()
    watch.tell("xen2", 7, "arriving", percent=100)
    watch.tell("xen2", 8, "running", percent=100)
    assert watch.news() == [
        "web01 xen1 -> xen2: connecting",
        "web01 xen1 -> xen2: sending, 4 %, 4.0 MiB/s, 24 s left",
        "web01 xen1 -> xen2: sending, 12 %, 4.0 MiB/s, 22 s left",
        "web01 xen1 -> xen2: suspended, 99 %, 4.0 MiB/s, 1 s left",
        "web01 xen1 -> xen2: sent",
        "web01 xen1 -> xen2: arriving",
        "web01 xen1 -> xen2: runs on xen2, as that has said",
    ]
    assert watch.news() == [] and not watch.board.moves() and watch.lines() == ["nothing moves now"]
    assert watch.board.lines(80, 9, 9, at_last=True) == []
    (found,) = watch.board.seen(99)
    assert (found["end"], found["bytes"], found["says"]) == (
        "running", 4 << 20, "runs on xen2, as that has said",
    )
    assert found["elapsed_s"] == 7.5


def test_a_line_has_a_bar_that_fits(watch):
    watch.tell("xen1", 1, "sending", percent=50, rate_mib_s=12.34, left_s=80)
    (line,) = watch.lines(1)
    assert line.startswith("web01  xen1 -> xen2  [" + "#" * 15 + "." * 15 + "]   50 %  sending  12.3 MiB/s  ")
    assert line.endswith("  1 min 20 s left")
    for width in range(20, 120):
        (line,) = watch.lines(1, width)
        assert len(line) <= width and line.startswith("web01")
    assert "[" not in watch.lines(1, 60)[0] and "50 %" in watch.lines(1, 60)[0]


def test_lines_stand_below_each_other_and_no_more_than_fit(watch):
    for number in range(12):
        watch.tell("xen1", 1, "sending", "web%02d" % number + "x" * number, percent=number)
    lines = watch.lines(1)
    assert len(lines) == 12 and len(set([line.index("xen1") for line in lines])) == 1
    assert watch.lines(1, height=5)[3:] == [lines[3], "... and 8 more"]


@pytest.mark.parametrize(
    "sender, phase",
    [
        ("xen3", "sending"),
        ("xen3", "running"),
        # That it runs there only its target knows.
        ("xen1", "running"),
        (None, "sending"),
    ],
)
def test_nobody_tells_of_others(watch, sender, phase):
    watch.tell(sender, 1, phase)
    assert watch.seen() == []
    watch.tell("xen1", 2, "sending", percent=10)
    watch.tell(sender, 3, phase, percent=90)
    assert watch.seen() == [("web01", "sending", None)] and "10 %" in watch.lines(3)[0]


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        None,
        {},
        event("flying"),
        event("sending", percent=101),
        event("sending", percent="10"),
        event("sending", left_s=-1),
        event("sending", domain="a\x1b[2J"),
        event("sending", source=7),
        event("sending", line=["x"]),
    ],
)
def test_what_is_not_of_the_form_is_none(watch, wrong):
    watch.board.feed("xen1", wrong, 1)
    assert watch.seen() == [] and watch.news() == []


def test_what_comes_late_changes_nothing(watch):
    watch.tell("xen1", 1, "sent", percent=100)
    watch.tell("xen1", 2, "sending", percent=40)
    assert watch.seen() == [("web01", "sent", None)] and "100 %" in watch.lines(2)[0]
    watch.tell("xen2", 3, "running")
    watch.tell("xen1", 4, "arriving")
    assert watch.seen() == [("web01", "running", "running")]


def test_a_failure_is_what_a_host_says(watch):
    watch.tell("xen1", 1, "sending")
    watch.tell("xen1", 2, "failed", line="web01 xen1 -> xen2: failed (broken\x1b[2J pipe), 2 s")
    assert watch.news()[-1] == (
        "web01 xen1 -> xen2: failed; xen1 says: web01 xen1 -> xen2: failed (broken\\x1b[2J pipe), 2 s; "
        "`salt-run xend.where web01` says where it is"
    )
    # It is tried again, and another guest of that name is another one.
    watch.tell("xen1", 3, "connecting")
    watch.tell("xen1", 3, "sending", uuid=OTHER)
    assert watch.seen() == [
        ("web01", "failed", "failed"), ("web01", "connecting", None), ("web01", "sending", None),
    ]


def test_the_way_back_is_another_migration(watch):
    watch.tell("xen1", 1, "sending")
    watch.tell("xen2", 2, "running")
    watch.tell("xen2", 3, "sending", source="xen2", target="xen1")
    # Of the second nothing was heard but that a third one has begun.
    watch.tell("xen1", 9, "connecting", target="xen3")
    assert watch.seen() == [
        ("web01", "running", "running"), ("web01", "sending", "next"), ("web01", "connecting", None),
    ]


def test_an_address_becomes_the_host_that_answers(watch):
    watch.tell("xen1", 1, "sending", target="10.0.0.2")
    watch.tell("xen2", 2, "running", source=None, target="xen2")
    (found,) = watch.board.seen(3)
    assert (found["source"], found["target"], found["end"]) == ("xen1", "xen2", "running")


# What hosts show when they are asked


def test_both_ends_show_one_migration(watch):
    answers = {
        "xen1": shown(leaving(bytes=50 << 20, rate_mib_s=3.0, seconds=17)),
        "xen2": shown(leaving(other="xen1", copy="receiving")),
    }
    watch.board.hear(answers, 20, 21)
    (found,) = watch.board.seen(21)
    assert (found["source"], found["target"]) == ("xen1", "xen2")
    assert (found["percent"], found["elapsed_s"]) == (50, 17)
    assert watch.news() == ["web01 xen1 -> xen2: sending, 50 %, 3.0 MiB/s"]
    watch.tell("xen1", 22, "sending", percent=60)
    assert watch.seen() == [("web01", "sending", None)]
    watch.board.hear(answers, 23, 24)
    # What it has told is better than what is counted from outside.
    assert "60 %" in watch.lines(24)[0]


def test_one_end_is_enough(watch):
    watch.board.hear({"xen2": shown(leaving(other=None, copy="receiving"))}, 1, 2)
    assert "? -> xen2" in watch.lines(2)[0] and "? %" in watch.lines(2)[0]
    watch.tell("xen1", 3, "sending", percent=5)
    assert "xen1 -> xen2" in watch.lines(3)[0] and len(watch.lines(3)) == 1


def test_a_guest_that_left_is_not_called_arrived(watch):
    watch.tell("xen1", 1, "sent")
    empty = {"xen1": shown(), "xen2": shown()}
    watch.board.hear(empty, 2, 3)
    # It was heard of just now: no host need show it at each moment.
    assert watch.board.moves()
    watch.board.hear(empty, 1 + QUIET_S, 2 + QUIET_S)
    assert watch.news()[-1] == (
        "web01 xen1 -> xen2: has left xen1; `salt-run xend.where web01` says where it is"
    )
    # And when its target tells it at last, that counts.
    watch.tell("xen2", 60, "running")
    assert watch.seen() == [("web01", "running", "running")]


def test_what_stopped_without_a_word_is_not_called_anything(watch):
    watch.board.hear({"xen1": shown(leaving())}, 1, 2)
    watch.board.hear({"xen1": shown(), "xen2": shown()}, 20, 21)
    assert watch.seen() == [("web01", "sending", "gone")]
    assert "is not being moved any more; `salt-run xend.where" in watch.news()[-1]


def test_who_says_that_a_guest_runs_there_is_believed(watch):
    """As when xm was run by hand, and a transfer has failed or not."""
    both = {"xen1": shown(leaving()), "xen2": shown(leaving(other="xen1", copy="receiving"))}
    watch.board.hear(both, 1, 2)
    assert watch.board.names() == ["web01"]
    watch.board.hear({"xen1": shown(), "xen2": shown(held=[held()])}, 20, 21)
    watch.board.hear(both, 30, 31)
    watch.board.hear({"xen1": shown(held=[held()]), "xen2": shown(held=[held(uuid=OTHER)])}, 50, 51)
    watch.board.hear(both, 60, 61)
    # Whatever that means.
    watch.board.hear({"xen1": shown(held=[held()]), "xen2": shown(held=[held()])}, 80, 81)
    assert watch.seen() == [
        ("web01", "sending", "running"),
        ("web01", "sending", "stayed"),
        ("web01", "sending", "gone"),
    ]
    assert "web01 xen1 -> xen2: runs on xen2, as that has said" in watch.news()
    assert watch.board.seen(99)[1]["says"] == (
        "is not being moved any more, and runs on xen1, as that has said"
    )


def test_a_target_that_tells_nothing_by_itself_is_asked_soon(watch):
    """As in an evacuation."""
    watch.tell("xen1", 1, "sent")
    watch.tell("xen1", 2, "arriving")
    asked = [now for now in range(2, 60) if watch.board.overdue(now) == (["xen2"], ["web01"])]
    assert asked == [5, 11, 23, 47]
    watch.board.hear_some({"xen2": shown(leaving(other="xen1", copy="receiving"))}, 48)
    watch.board.hear_some({"xen2": shown(held=[held(copy="unfinished")])}, 49)
    watch.board.hear_some({}, 49)
    watch.board.hear_some({"xen2": SILENT}, 49)
    assert watch.seen() == [("web01", "arriving", None)]
    watch.board.hear_some({"xen2": shown(held=[held()])}, 50)
    assert watch.seen() == [("web01", "arriving", "running")] and watch.board.overdue(99) == ([], [])


def test_of_what_is_still_sent_no_target_is_asked(watch):
    watch.tell("xen1", 1, "sending", percent=99)
    watch.board.hear_some({"xen2": shown(held=[held()])}, 2)
    assert watch.board.overdue(60) == ([], []) and watch.seen() == [("web01", "sending", None)]


def test_a_host_that_does_not_answer_proves_nothing(watch):
    watch.tell("xen1", 1, "sending", percent=30)
    answers = {"xen1": SILENT, "xen2": shown()}
    watch.board.hear(answers, 20, 25)
    assert watch.board.moves() and "xen1 does not answer" in watch.lines(25)[0]
    watch.board.hear(answers, 40, 45)
    # It is waited for no longer, and not said to have ended.
    assert not watch.board.moves() and watch.seen() == [("web01", "sending", None)]
    (told,) = watch.board.told()
    assert (told["domain"], told["source"], told["end"]) == (None, "xen1", "silent")
    assert told["says"] in watch.news() and sorted(told) == sorted(watch.board.seen(45)[0])
    watch.board.give_up(46)
    news = watch.news()
    assert [line for line in news if line.startswith("xen1 does not answer: ")] == news[1:2]
    assert "may go on; `salt-run state.orchestrate xend.orch.recover`" in news[-1]


def test_a_host_that_answers_again_is_believed(watch):
    watch.tell("xen1", 1, "sending")
    for at in (20, 40):
        watch.board.hear({"xen1": SILENT, "xen2": shown()}, at, at)
    watch.board.hear({"xen1": shown(leaving()), "xen2": shown()}, 60, 60)
    assert watch.board.moves() and "does not answer" not in watch.lines(60)[0]


def test_what_may_be_left_over_is_not_waited_for(watch):
    coming, going = leaving("db01", None, "arriving"), leaving("db02", None, "migrating")
    answers = {"xen2": shown(coming), "xen1": shown(going)}
    watch.board.hear(answers, 1, 2)
    watch.board.hear(answers, 30, 31)
    assert not watch.board.moves() and watch.seen() == []
    told = [[one[key] for key in ("domain", "source", "target", "end")] for one in watch.board.told()]
    assert told == [["db02", "xen1", None, "unclear"], ["db01", None, "xen2", "unclear"]]
    assert [line.partition(" is under way, or left over")[0] for line in watch.news()] == [
        "db02 on xen1", "db01 on xen2",
    ]


def test_what_was_heard_of_may_go_on_unseen_for_a_while(watch):
    """Over TLS nothing shows that a guest is being completed."""
    watch.tell("xen1", 1, "sent")
    answers = {"xen1": shown(), "xen2": shown(leaving(other=None, copy="arriving"))}
    watch.board.hear(answers, 60, 61)
    assert watch.board.moves() and watch.seen() == [("web01", "sent", None)]
    watch.board.hear(answers, 200, 201)
    assert watch.seen() == [("web01", "sent", "left")]


def test_a_guest_that_is_expected_is_waited_for_until_it_is_there(watch):
    reserved = shown(expected=[{"name": "web01", "who": "migration from xen1"}])
    answers = {"xen1": shown(), "xen2": reserved}
    watch.board.hear(answers, 1, 2)
    assert watch.board.moves() and watch.lines(2) == ["web01 is expected on xen2"]
    (told,) = watch.board.told()
    assert (told["domain"], told["target"], told["end"]) == ("web01", "xen2", None)
    assert told["says"] == "web01 is expected on xen2"
    watch.tell("xen1", 3, "sending")
    assert len(watch.lines(3)) == 1
    watch.tell("xen2", 4, "running")
    watch.board.hear(answers, 30, 31)
    assert not watch.board.moves()


def test_only_those_that_are_wanted():
    watch = Watch("web02")
    watch.tell("xen1", 1, "sending")
    reserved = shown(leaving(), expected=[{"name": "web03", "who": ""}])
    watch.board.hear({"xen1": reserved}, 1, 2)
    assert watch.seen() == [] and not watch.board.moves()
    watch.tell("xen1", 3, "sending", "web02")
    assert watch.seen() == [("web02", "sending", None)]


def test_what_was_not_heard_of_for_a_while_says_so(watch):
    watch.tell("xen1", 0.5, "sending", percent=30, rate_mib_s=4.0)
    assert "4.0 MiB/s" in watch.lines(20)[0]
    assert "nothing heard for 60 s" not in watch.lines(60.2)[0]
    assert "nothing heard for 1 min 30 s" in watch.lines(90.5)[0] and "MiB/s" not in watch.lines(90.5)[0]


# The loop


class Time(object):
    """A clock, and what comes at which second of it."""

    def __init__(self, events, answers, end=1000, busy_until=0):
        self.now, self.events, self.answers, self.end = 0, dict(events), answers, end
        self.asked, self.asked_some, self.shown, self.busy_until = [], [], 0, busy_until

    def clock_s(self):
        return self.now

    def __iter__(self):
        while self.now < self.end:
            for told in self.events.get(self.now, ()):
                yield told
            self.now += 1
            yield None

    def ask(self, hosts, names):
        (self.asked if hosts is None else self.asked_some).append(self.now)
        found = self.answers(self.now)
        return dict([(host, found[host]) for host in found if hosts is None or host in hosts])

    def is_busy(self):
        return self.now < self.busy_until

    def show(self, _now):
        self.shown += 1

    def follow(self, board, **more):
        arguments = (self.ask, self.show, self.clock_s, self.is_busy)
        return xm_watch.follow(board, iter(self), *arguments, **more)


def nothing(_now):
    return {"xen1": shown(), "xen2": shown()}


def test_where_nothing_moves_it_ends_after_a_second_look(watch):
    time = Time({}, nothing)
    assert time.follow(watch.board) == "quiet"
    assert time.asked == [0, QUIET_S] and watch.board.ending("quiet") == "nothing moves"
    time = Time({}, nothing)
    assert time.follow(watch.board, quiet_s=60) == "quiet" and time.asked == [0, 60]


def journey(name, begin, source="xen1", target="xen2", lasts=30):
    events = {}
    for second in range(lasts):
        percent = 100 * second // lasts
        events[begin + second] = [(source, event("sending", name, source, target, percent=percent))]
    events[begin + lasts] = [
        (source, event("sent", name, source, target)),
        (target, event("running", name, source, target)),
    ]
    return events


def test_two_guests_with_a_pause_between_them_are_seen_to_the_end(watch):
    events = journey("web01", 5)
    events.update(journey("web02", 45))
    time = Time(events, nothing)
    assert time.follow(watch.board) == "quiet"
    assert [one[2] for one in watch.seen()] == ["running", "running"]
    # Who is heard of all the time need not be asked for.
    assert time.asked == [0, 75 + QUIET_S] and time.now == 75 + QUIET_S
    assert "2 of 2" in watch.board.ending("quiet")


def test_a_longer_pause_is_bridged_by_the_reservation_of_the_next(watch):
    def answers(now):
        expected = [{"name": "web02", "who": "migration from xen1"}] if 30 < now < 120 else []
        return {"xen1": shown(), "xen2": shown(expected=expected)}

    events = journey("web01", 5)
    events.update(journey("web02", 100))
    time = Time(events, answers)
    assert time.follow(watch.board) == "quiet" and len(watch.seen()) == 2


def test_as_long_as_somebody_empties_a_host_it_goes_on(watch):
    time = Time({}, nothing, busy_until=100)
    assert time.follow(watch.board) == "quiet" and time.now == 7 * QUIET_S


def test_an_evacuation_of_two_lanes(watch):
    """Sources tell how far they are, and targets nothing."""
    events = {}
    for number in range(4):
        name, lane = "web%02d" % number, number % 2
        told = journey(name, 10 + 40 * (number // 2) + lane, "xen1", "xen%d" % (2 + lane))
        for second in told:
            mine = [one for one in told[second] if one[1]["phase"] != "running"]
            events[second] = events.get(second, []) + mine

    def answers(now):
        even, odd = shown(held=[held("web00"), held("web02")]), shown(held=[held("web01"), held("web03")])
        return {"xen1": shown(), "xen2": even, "xen3": odd}

    time = Time(events, answers)
    assert time.follow(watch.board) == "quiet"
    assert [(one["domain"], one["target"], one["end"]) for one in watch.board.seen(999)] == [
        ("web00", "xen2", "running"),
        ("web01", "xen3", "running"),
        ("web02", "xen2", "running"),
        ("web03", "xen3", "running"),
    ]
    # A few questions, and most to one host.
    assert len(time.asked) == 2 and len(time.asked_some) == 4


def test_what_tells_nothing_is_asked_for_again_and_again(watch):
    def answers(now):
        return {"xen1": shown(*[leaving()] if now < 100 else []), "xen2": shown()}

    time = Time({}, answers)
    assert time.follow(watch.board) == "quiet"
    assert time.asked == [QUIET_S * number for number in range(8)]
    assert watch.seen() == [("web01", "sending", "gone")]


def test_two_at_once_of_which_one_is_not_heard_any_more(watch):
    events = journey("web01", 0, lasts=60)
    events[3] = events[3] + [("xen3", event("sending", "db01", "xen3", "xen4"))]
    time = Time(events, lambda now: {"xen3": SILENT, "xen1": shown(*[leaving()] if now < 60 else [])})
    assert time.follow(watch.board) == "quiet"
    assert [(one["domain"], one["end"]) for one in watch.board.seen(99)] == [
        ("web01", "running"), ("db01", "silent"),
    ]


def test_the_time_is_over(watch):
    time = Time(journey("web01", 0, lasts=500), nothing)
    assert time.follow(watch.board, limit_s=40) == "limit" and time.now == 40
    assert watch.seen() == [("web01", "sending", None)]
    assert watch.board.ending("limit") == "the time is over, and goes on: web01"


def test_who_wants_no_more_is_told_what_goes_on(watch):
    time = Time(journey("web01", 0, lasts=500), nothing, end=20)
    assert time.follow(watch.board) == "stopped"
    assert watch.board.ending("stopped") == "it is watched no longer, and goes on: web01"
    assert Watch().board.ending("stopped") == "it is watched no longer; nothing moves"


# The terminal


class Terminal(object):
    """What a terminal shows, by the few sequences that are used; each line in one row."""

    def __init__(self):
        self.rows, self.row, self.column = [""], 0, 0

    def write(self, text):
        for part in re.findall(r"\x1b\[(?:\d*[AKJ])|\r|\n|[^\x1b\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part.endswith("A") and part.startswith("\x1b"):
                self.row -= int(part[2:-1])
            elif part == "\x1b[K":
                self.rows[self.row] = self.rows[self.row][: self.column]
            elif part == "\x1b[J":
                self.rows[self.row :] = [self.rows[self.row][: self.column]]
            else:
                self.rows[self.row] = self.rows[self.row][: self.column] + part
                self.column += len(part)


def test_lines_are_drawn_in_their_place_and_news_above_them():
    terminal = Terminal()
    terminal.write(xm_watch.frame([], ["a 1 %", "b 1 %"], 0))
    terminal.write(xm_watch.frame([], ["a 2 %", "b 2"], 2))
    assert terminal.rows == ["a 2 %", "b 2", ""]
    terminal.write(xm_watch.frame(["a is there"], ["b 3"], 2))
    assert terminal.rows == ["a is there", "b 3", ""]
    terminal.write(xm_watch.frame(["b is there"], [], 1))
    terminal.write("nothing moves\n")
    assert terminal.rows == ["a is there", "b is there", "nothing moves", ""]


def test_what_is_wider_than_a_character_takes_its_room(watch):
    wide = u"\u6f22\u5b57\u6f22\u5b57"
    watch.tell("xen1", 1, "sending", wide, percent=50)
    watch.tell("xen1", 1, "sending", "x" * 500, percent=50)
    lines = [line if str is not bytes else line.decode("utf-8") for line in watch.lines(1, 70)]
    assert wide in lines[0] and "x" * 27 + "..." in lines[1]
    assert lines[0].index("xen1") + 4 == lines[1].index("xen1")
    for width in range(20, 90):
        for line in watch.lines(1, width):
            text = line if str is not bytes else line.decode("utf-8")
            assert sum([2 if character in wide else 1 for character in text]) <= width
