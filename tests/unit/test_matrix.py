"""The table of the fleet: it fits a terminal, and says what is not well once. Runs on Python 2.7, too."""

import importlib
import re

import xend_matrix


def fleet(count, name="xen%02d"):
    names = [name % number for number in range(1, count + 1)]
    return names, dict([(one, host(names, one)) for one in names])


def host(names, name, **more):
    accepted = {"result": "accepted", "message": "it lets in"}
    into = dict([(other, accepted) for other in names if other != name])
    found = {"into": into, "version": "4.4.1", "free_mib": 16384, "guests": 12, "closed": None, "pending": []}
    return dict(found, **more)


def shut(found, asker, door, result="refused"):
    found[asker]["into"][door] = {"result": result, "message": "nothing listens at %s" % door}


def table(found, names, width=80):
    ordered = dict([(name, found[name]) for name in names])
    lines = xend_matrix.table(Ordered(names, ordered), width, importlib.import_module)
    (legend,) = [number for number, line in enumerate(lines) if line.startswith("Row: ")]
    return lines[:legend], lines[legend + 1 :]


class Ordered(dict):
    """Python 2.7 keeps no order."""

    def __init__(self, names, found):
        dict.__init__(self, found)
        self.names = names

    def __iter__(self):
        return iter(self.names)


def test_three_hosts_fit_a_narrow_terminal_in_words():
    names, found = fleet(3, "xen%02d.example.com")
    shut(found, names[0], names[2])
    found[names[1]].update(closed="it is being emptied", pending=["the file was changed"])
    rows, sentences = table(found, names)
    assert max(map(len, rows)) <= 80
    assert rows[0].split() == ["from", "Xen", "free", "MiB", "guests", "1", "2", "3"]
    assert rows[1].split() == ["1", names[0], "4.4.1", "16384", "12", "-", "yes", "NO"]
    assert rows[2].split() == ["2", names[1], "4.4.1", "16384", "12", "yes", "-", "yes", "closed,", "restart"]
    assert sentences == [
        "%s to %s: refused: nothing listens at %s" % (names[0], names[2], names[2]),
        "%s: it is being emptied" % names[1],
        "%s: a restart of xend is pending: the file was changed" % names[1],
    ]


def test_a_host_that_has_said_nothing():
    names, found = fleet(2)
    found["xen02"] = dict(
        host(names, "xen02", into={}, version=None, free_mib=None, guests=None, pending=None),
        problem="its minion does not answer",
        remedy="start it",
    )
    rows, sentences = table(found, names)
    assert rows[2].split() == ["2", "xen02", "?", "?", "?", "?", "-", "silent"]
    assert sentences == ["xen02: its minion does not answer. start it"]


def test_fifty_hosts_have_one_character_each():
    names, found = fleet(50, "xen-host%02d.example.com")
    shut(found, names[6], names[48])
    rows, sentences = table(found, names, 120)
    assert max(map(len, rows)) <= 120
    marks = [row.split()[-1] for row in rows[2:52]]
    assert [len(row) for row in marks] == [50] * 50
    assert [row.index("-") for row in marks] == list(range(50)) and "".join(marks).count("X") == 1
    assert marks[6][48] == "X"
    # The number of a column stands above it, from top to bottom.
    start = rows[2].index(marks[0])
    tens, units = [row.ljust(start + 50)[start : start + 50] for row in rows[:2]]
    numbers = [int((ten + unit).strip()) for ten, unit in zip(tens, units)]
    assert numbers == list(range(1, 51))
    assert len(sentences) == 1


def test_where_that_is_too_wide_there_are_two_tables():
    names, found = fleet(50, "xen-host%02d.example.com")
    found[names[9]]["closed"] = "it is being emptied"
    rows, _sentences = table(found, names)
    assert max(map(len, rows)) <= 80
    assert [len([row for row in rows if name in row]) for name in names] == [2] * 50
    assert [row.endswith("closed") for row in rows].count(True) == 1


def test_a_door_that_is_closed_to_all_is_one_sentence():
    names, found = fleet(50)
    for name in names[1:]:
        shut(found, name, "xen01")
    assert table(found, names)[1] == ["all others to xen01: refused: xen02 says: nothing listens at xen01"]


def test_a_host_that_is_let_in_nowhere_is_one_sentence_beside_that():
    names, found = fleet(50)
    for name in names:
        if name != "xen07":
            shut(found, "xen07", name, "rejected")
        if name not in ("xen01", "xen07"):
            shut(found, name, "xen01")
    sentences = table(found, names)[1]
    assert sentences[0].startswith("xen07 to all others: rejected: xen07 says: nothing listens at xen01")
    assert len(sentences) == 2 and "41 more" in sentences[1] or "42 more" in sentences[1]


def test_several_closed_doors_are_one_sentence():
    names, found = fleet(50)
    for name in names:
        for door in ("xen03", "xen04"):
            if name != door:
                shut(found, name, door)
    (sentence,) = table(found, names)[1]
    assert sentence.startswith("all others to xen03, xen04: refused: xen01 says: ")


def test_a_fleet_in_which_nobody_is_let_in_is_one_sentence():
    names, found = fleet(50)
    for name in names:
        for door in names:
            if name != door:
                shut(found, name, door)
    (sentence,) = table(found, names)[1]
    assert sentence.startswith("all hosts to all others: refused: ")


def test_three_new_hosts_that_some_do_not_let_in_are_one_sentence():
    names, found = fleet(50)
    for asker in names[-3:]:
        for door in names[:20]:
            shut(found, asker, door, "rejected")
    (sentence,) = table(found, names)[1]
    assert re.match(r"xen48, xen49, xen50 to xen01, .*, xen06 and 14 more: rejected: xen48 says: ", sentence)


def test_every_pair_that_is_shut_is_in_a_sentence():
    """Whatever the pattern: here one that repeats nowhere."""
    names, found = fleet(12)
    pairs = set()
    for row, asker in enumerate(names):
        for column, door in enumerate(names):
            if row != column and (row * 7 + column * column * 3) % 5 < 2:
                shut(found, asker, door)
                pairs.add((asker, door))
    told = set()
    for sentence in table(found, names)[1]:
        who, whom = sentence.partition(": ")[0].split(" to ")
        askers = names if who.startswith("all") else who.split(", ")
        doors = names if whom.startswith("all") else whom.split(", ")
        told |= set([(asker, door) for asker in askers for door in doors if asker != door])
    assert told == pairs


def test_hosts_that_say_the_same_share_a_sentence():
    names, found = fleet(10)
    for name in names:
        found[name]["pending"] = ["xend was updated"]
    for name in names[:2]:
        found[name].update(problem="its minion does not answer", remedy="start %s" % name)
    pending, silent = table(found, names)[1]
    assert pending == (
        "xen01, xen02, xen03, xen04, xen05, xen06 and 4 more: a restart of xend is pending: xend was updated"
    )
    assert silent == "xen01, xen02: its minion does not answer. start xen01"


def test_what_a_host_says_is_made_legible():
    names, found = fleet(2)
    found["xen01"].update(version="4\x1b[2J", closed="a\nb", pending=["\x1b[1m"])
    rows, sentences = table(found, names)
    assert not re.search(r"[\x00-\x1f]", "".join(rows + sentences))


def test_one_host_and_none():
    names, found = fleet(1)
    rows, sentences = table(found, names)
    assert rows[1].split()[-1] == "-" and sentences == []
    assert table({}, [])[1] == []


def test_a_sentence_that_names_its_host_does_not_name_it_twice():
    names, found = fleet(2)
    found["xen02"].update(closed="xen02 takes no guests")
    assert table(found, names)[1] == ["xen02 takes no guests"]


def test_what_is_wrong_with_all_of_them_together_is_said_once():
    names, found = fleet(3)
    for name in names:
        found[name]["wrong"] = ["In the pillar, this is no address", "The versions differ"]
    found["xen02"]["closed"] = "it is being emptied"
    _rows, sentences = table(found, names)
    assert sentences == [
        "xen02: it is being emptied", "In the pillar, this is no address", "The versions differ",
    ]
