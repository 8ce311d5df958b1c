"""
What `salt-run xend.watch` shows: all migrations of a fleet, by what hosts tell while they go on and by what
is seen when the hosts are asked. How an end is worded claims no more than was heard.

Each host is believed about itself only: a source tells how far it is with sending, a target that a guest runs
there. Who listens, asks and draws is handed in, and nothing here knows Salt.
"""

import math
import unicodedata

# When nothing was told of a migration for so long, the hosts are asked. It ends when nothing moves, and has
# not for so long: between two guests of an evacuation there is a pause.
QUIET_S = 15

# When all of a guest was sent, how long it is waited for the word of its target before that is asked, and
# twice as long each time.
WORD_S = 3

# xend gives up a guest that comes when its devices do not within 120 s (xm_look.Host.gives_up_s): what is not
# seen for certain goes on for so long at most.
UNSURE_S = 150

# From when on a line says that nothing new was heard.
STALE_S = 20

NAME_CELLS, BAR_CELLS, LEAST_BAR_CELLS = 30, 30, 8
STEP_PERCENT = 10

# What a program is told of a migration, beside how long it takes and what that means.
KEYS = ("domain", "uuid", "source", "target", "phase", "percent", "bytes", "rate_mib_s", "end")

# What a host shows of a guest that comes to it for certain, and of one of which that is not certain.
COMING = ("receiving",)
UNSURE = ("migrating", "arriving")
# Phases in which the source has nothing more to send.
SENT = ("sent", "arriving")

WHERE = "`salt-run xend.where %(domain)s` says where it is"
RECOVER = "`salt-run state.orchestrate xend.orch.recover` says where it is"

# How a migration has ended, as far as that was heard, in words.
ENDS = {
    "running": "runs on %(target)s, as that has said",
    "failed": "failed; %(teller)s says: %(line)s; " + WHERE,
    "left": "has left %(source)s; " + WHERE,
    "stayed": "is not being moved any more, and runs on %(source)s, as that has said",
    "gone": "is not being moved any more; " + WHERE,
    "next": "is not being moved any more: another migration of it has begun",
    "silent": "cannot be seen any more, because %(silent)s does not answer, and may go on; " + RECOVER,
}
# Those after which better may be heard.
UNCLEAR = ("left", "gone", "silent")

LEFT_OVER = (
    "%s on %s is under way, or left over from a migration that broke: `salt-run state.orchestrate "
    "xend.orch.recover` says which"
)
NO_ANSWER = "%s does not answer: what moves there is seen only as far as the other end tells it"
MORE = "... and %d more"
STOPPED = {"limit": "the time is over", "stopped": "it is watched no longer"}
NOTHING, IDLE = "nothing moves", "nothing moves now"
ARRIVED = "nothing moves any more; %d of %d guests run where they were sent, as their targets have said"

# Of a terminal: to the line so far up, and what is right of it and below it is wiped.
UP, WIPE_LINE, WIPE_BELOW = "\x1b[%dA", "\r\x1b[K", "\x1b[J"


def board(utility, only=()):
    """
    A Board, which see for the arguments. Salt's loader shows functions only.
    """
    return Board(utility, only)


def follow(board, events, ask, show, clock_s, is_busy, limit_s=None, quiet_s=None):
    """
    Keep a board up to date until nothing moves any more.

    board
        a Board
    events
        an iterator of what comes: a pair of the host that tells it and the event; None when nothing came for
        about a second. It ends when the one who watches wants no more
    ask
        a function that asks hosts (None: all of them) what they hold of guests of these names, and returns
        for each what `xm.migrations` says there, or `problem`
    show
        a function that is called after each of that with the time
    clock_s
        a function that returns the time, in seconds
    is_busy
        a function that tells whether somebody is about to move guests
    limit_s
        for how many seconds at most; None: without a limit
    quiet_s
        for how many seconds nothing may be heard before it is asked again, and before it ends; None: QUIET_S

    Returns why it has ended: "quiet", "limit" or "stopped".
    """
    quiet_s = QUIET_S if quiet_s is None else max(quiet_s, 1)
    began, asked_at = clock_s(), None
    while True:
        now = clock_s()
        if limit_s is not None and now - began >= limit_s:
            return "limit"
        if asked_at is None or now - max(asked_at, board.heard_at(began)) >= quiet_s:
            is_first = asked_at is None
            answers = ask(None, board.names())
            asked_at = clock_s()
            board.hear(answers, now, asked_at)
            if not is_first and not board.moves() and not is_busy():
                board.give_up(asked_at)
                show(asked_at)
                return "quiet"
        targets, names = board.overdue(now)
        if targets:
            board.hear_some(ask(targets, names), clock_s())
        show(clock_s())
        try:
            told = next(events)
        except StopIteration:
            return "stopped"
        if told:
            board.feed(told[0], told[1], clock_s())


class Board(object):
    """
    What is known of all migrations.

    utility
        a function from the name of another utility to that utility
    only
        names of guests: no others are watched; none: all
    """

    def __init__(self, utility, only=()):
        heard = utility("xm_heard")
        self._form, self._legible = heard.form_of("progress"), heard.legible
        self._phases = list(utility("xm_progress").phases())
        self._only = only
        self._all, self._news, self._unsure = [], [], set()
        # What was told beside migrations.
        self._notes = []
        self._expected, self._silent = {}, []
        self._ended_at = None

    # What comes

    def note(self, text, end, **about):
        """
        Tell something that is no migration that can be followed: a word for it, END, and what it is ABOUT,
        `domain`, `uuid`, `source` and `target` as far as there are any.
        """
        self._news.append((True, text))
        self._notes.append(_as_told(text, end=end, **about))

    def feed(self, sender, event, now):
        """
        Take note of what a host tells of a migration at the time NOW. What is not of the agreed form, or not
        for this host to say, is none.
        """
        try:
            told = self._form(event)
        except ValueError:
            return
        phase = told["phase"]
        is_source = sender == told["source"]
        # Only where a guest comes to anybody knows whether it runs there.
        is_for_it_to_say = phase != "running" if is_source else sender == told["target"]
        if phase not in self._phases or not is_for_it_to_say or not self._is_wanted(told["domain"]):
            return
        move = self._move_of(told, sender, is_source)
        if move is None:
            return
        move["source" if is_source else "target"] = sender
        move["target"] = move["target"] or told["target"]
        move["uuid"] = move["uuid"] or told["uuid"]
        is_back = move["phase"] and self._phases.index(phase) < self._phases.index(move["phase"])
        if not is_back:
            is_new, move["phase"] = move["phase"] != phase, phase
            for key in ("percent", "rate_mib_s", "left_s"):
                move[key] = told[key]
            if told["bytes"] is not None:
                move["bytes"] = told["bytes"]
            if phase not in ("running", "failed"):
                self._tell_step(move, is_new)
        if told["elapsed_s"] is not None and (is_source or move["began_at"] is None):
            move["began_at"] = now - told["elapsed_s"]
        move.update(heard_at=now, silent=None)
        if phase in ("running", "failed"):
            self._end(move, phase, now, teller=sender, line=told["line"] or phase)

    def _is_wanted(self, name):
        return not self._only or name in self._only

    def _move_of(self, told, sender, is_source):
        """
        The migration that an event belongs to, a new one if need be; None when it is one that is over.
        """
        found = [move for move in self._all if _is_same(move, told["domain"], told["uuid"])]
        last = found[-1] if found else None
        begins = is_source and self._phases.index(told["phase"]) < self._phases.index("sent")
        if last and is_source and last["source"] not in (None, sender):
            if not last["end"]:
                self._end(last, "next", last["heard_at"])
            last = None
        if last and not last["end"]:
            return last
        is_later = last and self._phases.index(told["phase"]) >= self._phases.index(last["phase"])
        if last and last["end"] in UNCLEAR and is_later and last["target"] in (None, sender, told["target"]):
            # It was not over.
            last.update(end=None, says=None, ended_at=None)
            return last
        return self._begin(told["domain"], told["uuid"]) if last is None or begins else None

    def _begin(self, name, uuid):
        move = {"domain": name, "uuid": uuid, "end": None, "says": None, "told": 0}
        keys = ("source", "target", "phase", "percent", "bytes", "rate_mib_s", "left_s", "memory_mib")
        move.update(dict([(key, None) for key in keys]), began_at=None, heard_at=None, shown_at=None)
        move.update(silent=None, silences=0, ended_at=None, asks=0)
        self._all.append(move)
        return move

    def hear(self, answers, asked_at, now):
        """
        Take note of what all hosts say who were asked at one time and have answered at another.

        answers
            for each host what `xm.migrations` says there, or `problem`, why it does not
        """
        silent = [host for host in sorted(answers) if answers[host].get("migrations") is None]
        for host in [host for host in silent if host not in self._silent]:
            self.note(NO_ANSWER % self._legible(host), "silent", source=host)
        self._silent, self._expected = silent, {}
        self.hear_some(answers, now)
        for move in self._open():
            if move["shown_at"] == now:
                move.update(silent=None, silences=0)
            elif move["heard_at"] is None or asked_at - move["heard_at"] >= QUIET_S:
                # Before xend has connected to the target, nothing else may show it.
                self._miss(move, answers, now)

    def hear_some(self, answers, now):
        """
        The same of some hosts, so that what they do not show may still be on its way.
        """
        for host in sorted(answers):
            for one in answers[host].get("migrations") or []:
                if self._is_wanted(one["name"]):
                    self._see(host, one, now)
        for move in self._open():
            if move["phase"] in SENT and _holds(answers, move["target"], move):
                self._end(move, "running", now)
        for host in sorted(answers):
            expected = [one["name"] for one in answers[host].get("expected") or []]
            expected = [name for name in expected if self._is_wanted(name)]
            self._expected[host] = [name for name in expected if not self._has_come(name, host)]

    def _see(self, host, one, now):
        """
        Take note of a guest that a host shows to be under way.
        """
        found = [move for move in self._open() if _is_same(move, one["name"], one["uuid"])]
        is_coming = one["copy"] in COMING or one["copy"] == "arriving"
        if one["copy"] in UNSURE:
            fresh = [move for move in found if move["heard_at"] and now - move["heard_at"] < UNSURE_S]
            if not fresh and (host, one["name"]) not in self._unsure:
                self._unsure.add((host, one["name"]))
                about = dict([("target" if is_coming else "source", host)], uuid=one["uuid"])
                text = self._legible(LEFT_OVER % (one["name"], host))
                self.note(text, "unclear", domain=one["name"], **about)
            for move in fresh:
                move["shown_at"] = now
            return
        move = found[-1] if found else self._begin(one["name"], one["uuid"])
        here, there = ("target", "source") if is_coming else ("source", "target")
        move[here], move["shown_at"] = host, now
        move[there] = move[there] or one["other"]
        is_new = move["phase"] is None
        if is_new:
            move["phase"] = "connecting" if one["copy"] == "running" else "sending"
        if not is_coming and (move["heard_at"] is None or now - move["heard_at"] > STALE_S):
            move.update(bytes=one["bytes"], rate_mib_s=one["rate_mib_s"])
            if one["bytes"] is not None and one["memory_mib"]:
                # Only when all is sent the target has all: until then the guest writes on.
                move["percent"] = min(99, one["bytes"] * 100 // (one["memory_mib"] * 1048576))
            if one["seconds"] is not None:
                move["began_at"] = now - one["seconds"]
        if move["began_at"] is None and is_new:
            move["began_at"] = now
        self._tell_step(move, is_new)

    def _has_come(self, name, host):
        """
        Whether the last that was heard of a guest is that it runs there.
        """
        found = [move for move in self._all if move["domain"] == name]
        return bool(found) and found[-1]["end"] == "running" and found[-1]["target"] == host

    def _miss(self, move, answers, now):
        """
        No host shows a guest any more that was under way.
        """
        silent = [host for host in (move["source"], move["target"]) if host in self._silent]
        if silent:
            move.update(silent=silent[0], silences=move["silences"] + 1)
            return
        here, there = [_holds(answers, move[end], move) for end in ("source", "target")]
        if here != there:
            self._end(move, "stayed" if here else "running", now)
        else:
            self._end(move, "left" if move["phase"] in SENT else "gone", now)

    def _end(self, move, end, now, **words):
        move.update(end=end, ended_at=now)
        words.update([(key, move[key] or "?") for key in ("domain", "source", "target", "silent")])
        move["says"] = self._legible(ENDS[end] % words)
        self._ended_at = now
        self._news.append((True, "%s: %s" % (self._way(move), move["says"])))

    def _open(self):
        return [move for move in self._all if not move["end"]]

    # What is so

    def moves(self):
        """
        Whether anything moves, or is about to: a host that was asked twice in vain is waited for no longer.
        """
        expected = [name for names in self._expected.values() for name in names]
        return bool(expected or [move for move in self._open() if move["silences"] < 2])

    def names(self):
        """
        The guests that are on their way.
        """
        return sorted(set([move["domain"] for move in self._open()]))

    def overdue(self, now):
        """
        The targets that have not said for a while whether a guest runs there of which all was sent, and these
        guests. They are called so once, and then later.
        """
        found = []
        for move in self._open():
            if move["phase"] not in SENT or not move["target"] or move["heard_at"] is None:
                move["asks"] = 0
            elif now - move["heard_at"] >= WORD_S * (2 ** (move["asks"] + 1) - 1):
                move["asks"] += 1
                found.append(move)
        targets, names = [sorted(set([move[key] for move in found])) for key in ("target", "domain")]
        return targets, names

    def heard_at(self, began):
        """
        Since when nothing was heard of the migration that was not heard of for the longest time, or, when
        none goes on, since when that is so; BEGAN, when nothing was heard at all.
        """
        times = [max([move[key] or began for key in ("heard_at", "shown_at")]) for move in self._open()]
        return min(times or [self._ended_at or began])

    def give_up(self, now):
        """
        Say of what is still open that it cannot be seen any more.
        """
        for move in self._open():
            self._end(move, "silent", now)

    def seen(self, now):
        """
        All that was seen, as a list of dicts: ``domain``, ``uuid``, ``source``, ``target``, ``phase``,
        ``percent``, ``bytes``, ``rate_mib_s``, ``elapsed_s``, ``end`` (how it has ended, one of ENDS; None:
        it goes on) and ``says``, that in words.
        """
        found = []
        for move in self._all:
            one = dict([(key, move[key]) for key in KEYS])
            one["elapsed_s"] = self._elapsed_s(move, now)
            one["says"] = move["says"] or self._step(move)
            found.append(one)
        return found

    def told(self):
        """
        What else was told, see `note`, and who is expected, as dicts with the same keys.
        """
        expected = [_as_told(text, domain=name, target=host) for name, host, text in self._are_expected()]
        return self._notes + expected

    def ending(self, why):
        """
        What there is to say when `follow` has ended for this reason.
        """
        on = [self._legible(move["domain"]) for move in self._open()]
        if on:
            return "%s, and goes on: %s" % (STOPPED[why], ", ".join(on))
        arrived = len([move for move in self._all if move["end"] == "running"])
        told = ARRIVED % (arrived, len(self._all)) if self._all else NOTHING
        return told if why == "quiet" else "%s; %s" % (STOPPED[why], told)

    def _elapsed_s(self, move, now):
        end = now if move["ended_at"] is None else move["ended_at"]
        return None if move["began_at"] is None else round(max(0, end - move["began_at"]), 1)

    # What is shown

    def news(self):
        """
        What is new since this was asked last, as a list of pairs: whether it is more than a step of a
        migration that goes on, and a line.
        """
        news, self._news = self._news, []
        return news

    def lines(self, width, height, now, at_last=False):
        """
        The migrations that go on, a line each, at most HEIGHT of at most WIDTH cells; when there is none, one
        that says so, but AT_LAST.
        """
        moves = self._open()
        ways = [
            (
                _cut(self._legible(move["domain"]), NAME_CELLS),
                _cut(_ends(move, self._legible), 2 * NAME_CELLS),
            )
            for move in moves
        ]
        widths = [max([_cells(one[column]) for one in ways] or [0]) for column in (0, 1)]
        lines = []
        for move, way in zip(moves, ways):
            head = "  ".join([_padded(text, cells) for text, cells in zip(way, widths)])
            lines.append(_cut(_with_bar(head, move, self._tail(move, now), width), width))
        lines += [_cut(text, width) for _name, _host, text in self._are_expected()]
        if not lines and not at_last:
            lines = [IDLE]
        if len(lines) > height:
            lines[height - 1 :] = [MORE % (len(lines) - height + 1)]
        return lines

    def _are_expected(self):
        """
        The guests that are expected and not on their way yet: their names, their hosts, and that in words.
        """
        known = [move["domain"] for move in self._open()]
        return [
            (name, host, self._legible("%s is expected on %s" % (name, host)))
            for host in sorted(self._expected)
            for name in self._expected[host]
            if name not in known
        ]

    def _tail(self, move, now):
        percent = "%3d %%" % move["percent"] if move["percent"] is not None else "  ? %"
        told = [percent, move["phase"]]
        if move["silent"]:
            told[1] = self._legible("%s does not answer" % move["silent"])
        elif move["heard_at"] and now - move["heard_at"] > STALE_S:
            told[1] = "nothing heard for %s" % _span(now - move["heard_at"])
        else:
            if move["rate_mib_s"]:
                told.append("%.1f MiB/s" % move["rate_mib_s"])
            if move["left_s"] is not None:
                told.append("%s left" % _span(move["left_s"]))
        return "  ".join(told)

    def _tell_step(self, move, is_new):
        step = (move["percent"] or 0) // STEP_PERCENT
        if is_new or step > move["told"]:
            move["told"] = max(step, move["told"])
            self._news.append((False, "%s: %s" % (self._way(move), self._step(move))))

    def _step(self, move):
        told = [move["phase"]]
        if move["percent"] is not None and move["phase"] not in SENT:
            told.append("%d %%" % move["percent"])
        if move["rate_mib_s"]:
            told.append("%.1f MiB/s" % move["rate_mib_s"])
        if move["left_s"] is not None:
            told.append("%s left" % _span(move["left_s"]))
        return ", ".join(told)

    def _way(self, move):
        return "%s %s" % (self._legible(move["domain"]), _ends(move, self._legible))


def frame(news, lines, drawn):
    """
    What a terminal is sent to show new lines, which stay, and below them those that are drawn anew each time.

    drawn
        how many of the latter it shows now
    """
    above = UP % drawn if drawn else ""
    return above + "".join([WIPE_LINE + line + "\n" for line in news + lines]) + WIPE_BELOW


def _as_told(text, **about):
    return dict(dict.fromkeys(KEYS + ("elapsed_s",)), says=text, **about)


def _is_same(move, name, uuid):
    return move["domain"] == name and (move["uuid"] is None or uuid is None or move["uuid"] == uuid)


def _holds(answers, host, move):
    """
    Whether a host says that a guest runs there.
    """
    held = (answers.get(host) or {}).get("held") or []
    running = [one for one in held if one["copy"] == "running"]
    return bool([one for one in running if _is_same(move, one["name"], one["uuid"])])


def _ends(move, legible):
    return "%s -> %s" % (legible(move["source"] or "?"), legible(move["target"] or "?"))


def _span(seconds):
    seconds = int(math.ceil(seconds))
    if seconds < 60:
        return "%d s" % seconds
    if seconds < 3600:
        return "%d min %02d s" % (seconds // 60, seconds % 60)
    return "%d h %02d min" % (seconds // 3600, seconds % 3600 // 60)


def _with_bar(head, move, tail, width):
    """
    A line with as much of a bar as there is room for.
    """
    room = min(BAR_CELLS, width - _cells(head) - _cells(tail) - len("  []  "))
    if room < LEAST_BAR_CELLS:
        return "  ".join([head, tail])
    done = (move["percent"] or 0) * room // 100
    return "%s  [%s%s]  %s" % (head, "#" * done, "." * (room - done), tail)


# How much room a terminal needs for text


def _decoded(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _cell(character):
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cells(text):
    return sum([_cell(character) for character in _decoded(text)])


def _padded(text, cells):
    return text + " " * (cells - _cells(text))


def _cut(text, cells):
    """
    The beginning of a text that fits into so many cells.
    """
    if _cells(text) <= cells:
        return text
    kept, room = [], cells - len("...")
    for character in _decoded(text):
        room -= _cell(character)
        if room < 0:
            break
        kept.append(character)
    cut = "".join([character if str is not bytes else character.encode("utf-8") for character in kept])
    return cut + "..."
