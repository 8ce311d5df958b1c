"""
Who goes where when a host is emptied, in which order, and what fits nowhere; and which of these moves may
begin now. All is judged from facts that the callers bring: nothing is read here, and nothing knows Salt.

Memory is counted so that it is enough at any moment and in whatever order the guests arrive, because some may
fail and be tried again: on each target all that its guests take for good, and beside it what the most
demanding of them wants on top while it is received.
"""

import bisect

# How the guests can be sent one after the other.
ORDERS = ("largest", "smallest")

# When guests are placed by trying: how many at most, and how often a target is tried before it is given up.
TRIED_GUESTS, TRIES = 200, 100000

# Of the guests that are in the way of another one, so many are called by name.
NAMED = 4


def orders():
    """
    The words for how guests can be sent one after the other, beside a list of names.
    """
    return ORDERS


def key(guest):
    """
    What a guest is known by among those of one host.
    """
    return guest["name"], guest["uuid"] or ""


def plan(guests, targets, spare_mib=0, order="largest"):
    """
    Where each guest of a host can go, all of them together.

    The largest is placed first, onto the target with the most memory left, so that targets stay balanced.
    When one finds no place that way, other ways are tried: those first that have the fewest targets, onto the
    target where the least memory is left, and for up to TRIED_GUESTS at last whatever places all of them; the
    way that places most guests is taken. The result depends on what is given alone, not on the order in which
    it is.

    guests
        a list of dicts: ``name``, ``uuid`` (or None), ``memory_mib``, ``needed_mib`` (what must be free
        where it is received), ``takes_mib`` (what it takes of that for good; both None for a guest of which
        nobody knows) and ``here``, sentences that say why it cannot leave
    targets
        a dict from host to a dict: ``free_mib`` (what guests can use there, None when not known), ``needs``
        (for guests that need other memory there than they say: a dict from `key` to a pair of ``needed_mib``
        and ``takes_mib``) and ``refusals`` (a dict from `key` to sentences: why it is not taken there;
        guests that it takes may be missing)
    spare_mib
        what has to stay free on each target in the end
    order
        how they are sent: ``largest`` first, ``smallest`` first, or a list of names that go first, the
        largest of the rest after them

    Returns a dict: ``placements`` (in the order in which they are sent, a list of dicts: ``name``, ``uuid``,
    ``target``, ``memory_mib``, ``why``), ``impossible`` (a list of dicts: ``name``, ``uuid``, ``here`` and
    ``targets``, a dict from each target to all that is in the way there) and ``after_mib`` (a dict from
    target to the memory that is left there in the end; None where it is not known). Lists of sentences may
    be the same object in several places.
    """
    guests = _guests(guests, targets)
    best = _Attempt(targets, spare_mib)
    # More than those that find a place when they are alone cannot.
    some = [guest for guest in guests if best.room_for(guest)]
    for in_turn, prefers in STRATEGIES:
        tried = _Attempt(targets, spare_mib, prefers)
        tried.place(in_turn(guests, targets))
        if tried.worth > best.worth:
            best = tried
        if len(best.placed) == len(some):
            break
    else:
        tried = _Attempt(targets, spare_mib, ALL_FIT)
        if len(some) <= TRIED_GUESTS and tried.places_all(_choosiest_first(some, targets)):
            best = tried
    moves = [best.placed[guest.key] for guest in guests if guest.key in best.placed]
    return {
        "placements": in_order(moves, order),
        "impossible": [best.impossible(guest) for guest in guests if guest.key not in best.placed],
        "after_mib": dict([(name, best.rooms[name].left_mib) for name in targets]),
    }


def in_order(moves, order):
    """
    Guests as they are sent one after the other; ORDER as for `plan`.

    moves
        a list of dicts with ``name``, ``uuid`` and ``memory_mib``
    """
    names = [] if order in ORDERS else list(order)
    sign = 1 if order == "smallest" else -1

    def rank(move):
        named = names.index(move["name"]) if move["name"] in names else len(names)
        return named, sign * (move["memory_mib"] or 0), key(move)

    return sorted(moves, key=rank)


def next_moves(waiting, moving, parallel):
    """
    Which guests can be sent now: at most PARALLEL at once from their host, and one at a time to each target.

    waiting, moving
        those that wait, in their order, and those that are on their way: lists of dicts with ``target``

    Returns those of WAITING, in their order. A guest whose target is busy does not keep the next one waiting.
    """
    busy, found = set([move["target"] for move in moving]), []
    for move in waiting:
        if len(moving) + len(found) >= parallel:
            break
        if move["target"] not in busy:
            busy.add(move["target"])
            found.append(move)
    return found


class _Guest(object):
    """
    A guest, as `plan` was given it. Below `least_mib` no target has room for it.
    """

    __slots__ = ("given", "key", "need", "can_leave", "least_mib")

    def __init__(self, given):
        self.given, self.key = given, key(given)
        self.need = given["needed_mib"], given["takes_mib"]
        self.can_leave = not given["here"] and given["needed_mib"] is not None
        self.least_mib = given["takes_mib"]

    def said(self, **more):
        return dict(name=self.given["name"], uuid=self.given["uuid"], **more)


def _guests(given, targets):
    """
    The guests, the largest first.
    """
    found = dict([(guest.key, guest) for guest in map(_Guest, given)])
    for name in targets:
        for guest, (_, takes_mib) in targets[name]["needs"].items():
            if guest in found and found[guest].can_leave:
                found[guest].least_mib = min(found[guest].least_mib, takes_mib)
    return sorted(found.values(), key=_by_size)


# Ways to place guests: which one comes first, and which of several targets it gets.


def _largest_first(guests, targets):
    return guests


def _choosiest_first(guests, targets):
    count = dict([(guest.key, 0) for guest in guests])
    for name in targets:
        for guest, sentences in targets[name]["refusals"].items():
            if sentences and guest in count:
                count[guest] += 1
    return sorted(guests, key=lambda guest: (-count[guest.key],) + _by_size(guest))


def _by_size(guest):
    return -(guest.need[1] or 0), guest.key


MOST_LEFT, LEAST_LEFT, ALL_FIT = -1, 1, 0

STRATEGIES = (
    (_largest_first, MOST_LEFT),
    (_choosiest_first, MOST_LEFT),
    (_largest_first, LEAST_LEFT),
    (_choosiest_first, LEAST_LEFT),
)

WHY = {
    MOST_LEFT: "of those that can take it, %(target)s has the most memory left (%(left)d MiB, with it "
    "%(after)d MiB)",
    LEAST_LEFT: "of those that can take it, %(target)s is the fullest that still has room (%(left)d MiB, "
    "with it %(after)d MiB): so most find a place",
    ALL_FIT: "%(target)s can take it (it has %(left)d MiB left, with it %(after)d MiB), and so all find a "
    "place",
}
WHY_ONLY_ONE = "no other host can take it (%(target)s has %(left)d MiB left, with it %(after)d MiB)"


class _Room(object):
    """
    The memory of one target.
    """

    def __init__(self, name, said, spare_mib):
        self.name = name
        self.free_mib = self.left_mib = said["free_mib"]
        # What has to be left beside those that are there.
        self.beside_mib = self.spare_mib = spare_mib
        self.needs, self.refusals = said["needs"], said["refusals"]
        self.guests = []

    def need(self, guest):
        """
        What the guest needs here in MiB: while it is received, and for good.
        """
        return self.needs and self.needs.get(guest.key) or guest.need

    def refuses(self, guest):
        return not guest.can_leave or bool(self.refusals.get(guest.key))

    def has_room(self, guest):
        if self.free_mib is None:
            return False
        needed_mib, takes_mib = self.need(guest)
        left_mib = self.left_mib - takes_mib
        return left_mib >= self.beside_mib and left_mib >= needed_mib - takes_mib

    def put(self, guest):
        """
        Returns what `restore` needs to take it away again.
        """
        before = self.left_mib, self.beside_mib
        needed_mib, takes_mib = self.need(guest)
        self.left_mib -= takes_mib
        self.beside_mib = max(self.beside_mib, needed_mib - takes_mib)
        self.guests.append(guest.given["name"])
        return before

    def restore(self, before):
        self.left_mib, self.beside_mib = before
        self.guests.pop()

    def lacks(self, needed_mib):
        """
        Why a guest that needs so much finds no place here, in words. To be asked when all are placed.
        """
        if self.free_mib is None:
            return "its free memory is not known"
        return "%d MiB are needed there, and %s" % (needed_mib, self._described())

    def _described(self):
        text, others = "%d MiB are free" % self.free_mib, sorted(self.guests)
        if others:
            more = " and %d more" % (len(others) - NAMED) if len(others) > NAMED else ""
            has = "has" if len(others) == 1 else "have"
            text += ", of which %d MiB are left when %s%s %s arrived" % (
                self.left_mib,
                ", ".join(others[:NAMED]),
                more,
                has,
            )
        if self.spare_mib:
            text += "; %d MiB have to stay free (spare_mib)" % self.spare_mib
        return text


class _Attempt(object):
    """
    One way to place all guests: `placed`, a dict from guest to its placement.
    """

    def __init__(self, targets, spare_mib, prefers=MOST_LEFT):
        self.prefers, self._said = prefers, {}
        self.rooms = dict([(name, _Room(name, targets[name], spare_mib)) for name in targets])
        known = [room for room in self.rooms.values() if room.free_mib is not None]
        # Those that are preferred come first, by name where they have the same.
        self.queue = sorted([self._rank(room) for room in known])
        self.placed = {}

    @property
    def worth(self):
        return len(self.placed), sum([placed["memory_mib"] for placed in self.placed.values()])

    def _rank(self, room):
        return self.prefers * room.left_mib, room.name

    def room_for(self, guest):
        """
        The room that the guest gets now; None when there is none.
        """
        if not guest.can_leave:
            return None
        # Further on in the queue, or before that place in it, nobody has so much.
        begin = 0 if self.prefers == MOST_LEFT else bisect.bisect_left(self.queue, (guest.least_mib,))
        for number in range(begin, len(self.queue)):
            rank, name = self.queue[number]
            if self.prefers * rank < guest.least_mib:
                break
            room = self.rooms[name]
            if room.has_room(guest) and not room.refuses(guest):
                return room
        return None

    def _is_only_one(self, guest):
        """
        Whether all targets but one refuse it.
        """
        count = 0
        for room in self.rooms.values():
            count += not room.refuses(guest)
            if count > 1:
                return False
        return True

    def place(self, guests):
        for guest in guests:
            room = self.room_for(guest)
            if room is None:
                continue
            del self.queue[bisect.bisect_left(self.queue, self._rank(room))]
            left_mib, _ = room.put(guest)
            bisect.insort(self.queue, self._rank(room))
            self._keep(guest, room, left_mib)

    def _keep(self, guest, room, left_mib):
        words = {"target": room.name, "left": left_mib, "after": left_mib - room.need(guest)[1]}
        self.placed[guest.key] = guest.said(
            memory_mib=guest.given["memory_mib"],
            target=room.name,
            why=(WHY_ONLY_ONE if self._is_only_one(guest) else WHY[self.prefers]) % words,
        )

    def places_all(self, guests):
        """
        Whether all of them were placed, one way or another, within TRIES.
        """
        self._tries = TRIES
        rest_mib = [0]
        for guest in reversed(guests):
            rest_mib.append(rest_mib[-1] + guest.least_mib)
        return self._place_rest(guests, 0, rest_mib[::-1])

    def _place_rest(self, guests, number, rest_mib):
        if number == len(guests):
            return True
        rooms = sorted(self.rooms.values(), key=lambda room: (-(room.left_mib or 0), room.name))
        self._tries -= len(rooms)
        if self._tries < 0 or sum([room.left_mib or 0 for room in rooms]) < rest_mib[number]:
            return False
        guest = guests[number]
        for room in rooms:
            if not room.has_room(guest) or room.refuses(guest):
                continue
            before = room.put(guest)
            if self._place_rest(guests, number + 1, rest_mib):
                self._keep(guest, room, before[0])
                return True
            room.restore(before)
        return False

    def impossible(self, guest):
        """
        What is in the way of a guest that was not placed.
        """
        # What is said of most guests that fit nowhere is the same for many.
        reasons = dict(self._no_room(guest.need[0])) if guest.can_leave else {}
        for name, room in self.rooms.items():
            if not room.refuses(guest) and guest.key not in room.needs:
                continue
            reasons[name] = list(room.refusals.get(guest.key) or [])
            # Where a host says nothing, that it does not tell its memory is no reason of its own.
            is_told = room.free_mib is not None or not reasons[name]
            if guest.need[0] is not None and is_told and not room.has_room(guest):
                reasons[name].append(room.lacks(room.need(guest)[0]))
        return guest.said(here=list(guest.given["here"]), targets=reasons)

    def _no_room(self, needed_mib):
        """
        What each target says to a guest that needs so much. Where one was not placed there was no room, and
        what is left has only become less since.
        """
        if needed_mib not in self._said:
            self._said[needed_mib] = dict(
                [(name, [room.lacks(needed_mib)]) for name, room in self.rooms.items()]
            )
        return self._said[needed_mib]
