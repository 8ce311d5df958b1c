"""Whether what a command has printed has the shape that a page shows.

Pure: two texts in, what differs out. A page shows `…` for what it leaves out: alone on a line for any number
of lines, but an indented one for indented lines only, so that it stays with one minion and one state; within
a line for any text of that line. Equal to each other are numbers, uuids, dates, amounts of white space, line
breaks, and the states in which a guest runs; nothing else. The digits of a name or of an address belong to
it. The parts of several minions may come in any order, as they do in reality.
"""

import difflib
import itertools
import re

GAP = "…"
LINES, INDENTED, TEXT = "lines", "indented lines", "text"
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
# Those of hosts are the same everywhere, with the ports at which they listen.
ADDRESS = r"(?<![\w.])10\.20\.0\.\d+(?::\d+)?"
NUMBER = re.compile(r"(%s)|(?<![A-Za-z0-9_])\d+(?:\.\d+)*" % ADDRESS)
DAY = re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b")
MONTH = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b")
# A running guest is on a processor, waits, or is between the two: all three are seen of the same guest.
RUNS = re.compile(r"(?<![\w-])[r-][b-]----(?![\w-])")
# Salt tells times in these or in seconds, as it comes.
MILLISECONDS = re.compile(r"(?<=0 )ms\b")
MINION = re.compile(r"^\S+:[ \t]*$", re.MULTILINE)
# The parts of more minions have too many orders to try.
MOST_PARTS = 5
SPACE = re.compile(r"\s*")
# A line that is not indented.
MARGIN = re.compile(r"\n\S")
# How many lines of a difference, and characters of what comes first in it, are worth reading.
MOST_LINES, MOST_CHARACTERS = 60, 150


def plain(text):
    """Return the text with all that is equal to each other written alike."""
    text = RUNS.sub("-RUNS-", UUID.sub("UUID", text))
    text = MONTH.sub("MONTH", DAY.sub("DAY", text))
    return MILLISECONDS.sub("s", NUMBER.sub(lambda match: match.group(1) or "0", text))


def difference(expected, real):
    """Return what of the text `real` has not the shape of `expected`, as lines; none when all has."""
    pieces = _pieces(plain(expected))
    furthest = max(
        (_follow(pieces, order) for order in _orders(plain(real))), key=lambda one: one[0]
    )
    reached, text, ends = furthest
    if reached == len(pieces) + 1:
        return []
    return [*_first(pieces, reached, text, ends), *_diff(expected, real)]


def _orders(text):
    """The text, then the text with the parts of its minions in each other order."""
    starts = [match.start() for match in MINION.finditer(text)]
    if not 2 <= len(starts) <= MOST_PARTS:
        return [text]
    ends = [*starts[1:], len(text)]
    parts = [text[start:end].rstrip("\n") + "\n" for start, end in zip(starts, ends, strict=True)]
    return [text[: starts[0]] + "".join(order) for order in itertools.permutations(parts)]


def _pieces(text):
    """Cut the text of a page at its gaps: [(gap before it or None, words)].

    The words are (word, touches the gap before it, touches the gap behind it). The last piece has none
    where the page ends with a gap, or is empty.
    """
    pieces, gap, words = [], None, []

    def cut(kind):
        nonlocal gap, words
        if words:
            pieces.append((gap, words))
            gap, words = kind, []
        else:
            gap = next(one for one in (LINES, INDENTED, TEXT) if one in (gap, kind))

    for line in text.splitlines():
        if line.strip() == GAP:
            cut(INDENTED if line[0].isspace() else LINES)
            continue
        for word in line.split():
            parts = word.split(GAP)
            for number, part in enumerate(parts):
                if number:
                    cut(TEXT)
                if part:
                    words.append((part, number > 0, number < len(parts) - 1))
    return [*pieces, (gap, words)]


def _pattern(words):
    begin = "" if words[0][1] else r"(?<!\S)"
    end = "" if words[-1][2] else r"(?!\S)"
    return re.compile(begin + r"\s+".join(re.escape(word) for word, _, _ in words) + end)


def _follow(pieces, text):
    """Return (how many pieces were found, the text, the places where the last of them may end).

    One more than there are pieces when they are the whole text.
    """
    text = text.strip()
    ends = {0}
    for number, (gap, words) in enumerate(pieces):
        if not words:
            # The page's end, behind a gap or an empty page.
            if any(_may_end(gap, text[end:]) for end in ends):
                return len(pieces) + 1, text, ends
            return number, text, ends
        found = _after(gap, _pattern(words), text, ends)
        if not found:
            return number, text, ends
        ends = found
    return len(pieces) + any(not text[end:].strip() for end in ends), text, ends


def _may_end(gap, rest):
    """Whether what is left of a text is left out by the gap with which a page ends."""
    if gap == TEXT:
        return "\n" not in rest.strip()
    return gap == LINES or not (MARGIN.search(rest) if gap == INDENTED else rest)


def _after(gap, pattern, text, ends):
    """Where the pattern ends when it is found behind one of `ends` and such a gap."""
    if gap is None:
        matches = [pattern.match(text, SPACE.match(text, end).end()) for end in ends]
        return {match.end() for match in matches if match}
    reach = [(end, _end_of_line(text, end)) for end in ends]
    found, start = set(), min(ends)
    while (match := pattern.search(text, start)) is not None:
        begin = match.start()
        if gap in (LINES, INDENTED):
            good = not text[text.rfind("\n", 0, begin) + 1 : begin].strip()
            if gap == INDENTED:
                nearest = max(end for end in ends if end <= begin)
                good = good and not MARGIN.search(text, nearest, begin)
        else:
            good = any(low <= begin <= high for low, high in reach)
        if good:
            found.add(match.end())
        start = begin + 1
    return found


def _end_of_line(text, place):
    """Where the line ends on which the next word stands; the next line's first word, which may be wrapped."""
    stop = text.find("\n", SPACE.match(text, place).end())
    return len(text) if stop < 0 else SPACE.match(text, stop).end()


def _first(pieces, reached, text, ends):
    """What the page has where the texts differ first, and what was printed there instead."""
    if reached == len(pieces):
        rest = text[max(ends) :].strip()
        return ["printed, and not on the page: " + _short(rest)]
    gap, words = pieces[reached]
    for count in range(len(words) - 1, 0, -1):
        found = _after(
            gap, _pattern([*words[: count - 1], (*words[count - 1][:2], True)]), text, ends
        )
        if found:
            begun = " ".join(word for word, _, _ in words[max(0, count - 6) : count])
            wanted = " ".join(word for word, _, _ in words[count:])
            rest = text[min(found) :].strip()
            return [
                "after " + _short(begun),
                "  the page has " + _short(wanted),
                "  printed was  " + _short(rest),
            ]
    wanted = " ".join(word for word, _, _ in words) or "nothing more"
    rest = text[min(ends) :].strip()
    return ["the page has " + _short(wanted), "printed was  " + _short(rest)]


def _short(text):
    text = " ".join(text.split())
    return (text[:MOST_CHARACTERS] + " …" if len(text) > MOST_CHARACTERS else text) or "nothing"


def _diff(expected, real):
    """A diff of the lines of the two texts, where those count as equal that are written alike."""
    texts = {}

    def alike(line):
        key = " ".join(plain(line).split())
        texts.setdefault(key, line.rstrip())
        return key

    rows = [[alike(line) for line in text.splitlines()] for text in (expected, real)]
    lines = [
        line
        if line.startswith(("---", "+++", "@@ ")) and number < 3
        else line[0] + texts.get(line[1:], line[1:])
        for number, line in enumerate(
            difflib.unified_diff(*rows, "the page", "printed", lineterm="", n=1)
        )
    ]
    return lines[:MOST_LINES] + (["…"] if len(lines) > MOST_LINES else [])
