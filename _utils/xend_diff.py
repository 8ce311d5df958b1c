"""
Unified diffs of files of any size: the time grows with the file, not with its square as in difflib.
Made for a few edits in a big file; where hundreds of lines changed, it may be longer than need be.
What the bytes mean, encodings and Salt are not known here.
"""

from __future__ import absolute_import

_CONTEXT = 3
# How many lines, of both files together, may be in one change before the rest counts as changed.
_WINDOW = 400


def unified(name, old, new, piece=None):
    """
    The difference between two versions of a file.

    name
        the file, bytes, for the header
    old, new
        its content, bytes; only a line feed ends a line
    piece
        a function that returns, of content from one position to another, what may be shown; default: all. A
        line that differs is shown as such even when what is shown of it does not

    Returns bytes in the format of ``diff -u`` with three lines of context, empty when there is no
    difference.
    """
    if old == new:
        return b""
    head, tail = _common_ends(old, new)
    first = old.count(b"\n", 0, head)
    old_lines = _lines(old[head : len(old) - tail])
    new_lines = _lines(new[head : len(new) - tail])
    pieces = [b"--- ", name, b"\n+++ ", name, b"\n"]
    hunks = list(_hunks(list(_regions(old_lines, new_lines))))
    if piece:
        left = [(hunk[0][0] - _CONTEXT, hunk[-1][1] + _CONTEXT) for hunk in hunks]
        right = [(hunk[0][2] - _CONTEXT, hunk[-1][3] + _CONTEXT) for hunk in hunks]
        old_lines = _showable(old_lines, left, old, head, piece)
        new_lines = _showable(new_lines, right, new, head, piece)
    for hunk in hunks:
        pieces += _shown(hunk, old_lines, new_lines, first)
    return b"".join(pieces)


def _showable(lines, places, data, begin, piece):
    """The lines, those at the places that are shown as far as they may be; the first begins at ``begin``."""
    lines = list(lines)
    done = 0
    for first, last in places:
        for index in range(done, min(last, len(lines))):
            end = begin + len(lines[index])
            if index >= first:
                lines[index] = piece(data, begin, end)
            begin = end
            done = index + 1
    return lines


def _common_ends(old, new):
    """How many bytes are common whole lines at both ends, but for those needed as context."""
    shorter = min(len(old), len(new))
    head = _longest(shorter, lambda low, high: old[low:high] == new[low:high])
    # The line of the difference is common only in part; the rfind before it finds its beginning.
    for _ in range(_CONTEXT + 1):
        head = old.rfind(b"\n", 0, max(head - 1, 0)) + 1
    tail = _longest(
        shorter - head,
        lambda low, high: (
            old[len(old) - high : len(old) - low] == new[len(new) - high : len(new) - low]
        ),
    )
    for _ in range(_CONTEXT + 1):
        tail = len(old) - ((old.find(b"\n", len(old) - tail) + 1) or len(old))
    return head, tail


def _longest(limit, same):
    """The greatest length up to ``limit`` whose bytes are the ``same(low, high)``, by halving."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _lines(data):
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return lines + [last] if last else lines


def _regions(old, new):
    """Yield what changed as (begin, end) in the old and (begin, end) in the new lines."""
    left = right = 0
    while True:
        while left < len(old) and right < len(new) and old[left] == new[right]:
            left += 1
            right += 1
        if left == len(old) and right == len(new):
            return
        removed, added = _changed(old, new, left, right)
        yield left, left + removed, right, right + added
        left += removed
        right += added


def _changed(old, new, left, right):
    """How many lines went and came at a difference: as few as possible until both agree again."""
    rest = len(old) - left, len(new) - right
    for distance in range(1, min(_WINDOW, rest[0] + rest[1])):
        # A line for a line is what an edit mostly is, so of equal distances the even one comes first.
        for removed in sorted(range(distance + 1), key=lambda count: abs(2 * count - distance)):
            added = distance - removed
            if removed < rest[0] and added < rest[1]:
                if old[left + removed] == new[right + added]:
                    return removed, added
    same = 0
    while same < min(rest) and old[-1 - same] == new[-1 - same]:
        same += 1
    return rest[0] - same, rest[1] - same


def _hunks(regions):
    """Lists of regions that share a hunk, as the context of one reaches that of the next."""
    hunk = regions[:1]
    for region in regions[1:]:
        if region[0] - hunk[-1][1] > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(region)
    yield hunk


def _shown(hunk, old, new, first):
    before = min(hunk[0][0], _CONTEXT)
    after = min(len(old) - hunk[-1][1], _CONTEXT)
    begin, end = hunk[0][0] - before, hunk[-1][1] + after
    header = "@@ -%s +%s @@\n" % (
        _range(first + begin, end - begin),
        _range(first + hunk[0][2] - before, hunk[-1][3] + after - hunk[0][2] + before),
    )
    pieces = [header.encode("ascii")]
    done = begin
    for left, left_end, right, right_end in hunk:
        pieces += [_marked(b" ", line) for line in old[done:left]]
        pieces += [_marked(b"-", line) for line in old[left:left_end]]
        pieces += [_marked(b"+", line) for line in new[right:right_end]]
        done = left_end
    return pieces + [_marked(b" ", line) for line in old[done:end]]


def _range(begin, length):
    if length == 1:
        return str(begin + 1)
    return "%d,%d" % (begin + 1 if length else begin, length)


def _marked(mark, line):
    if line[-1:] == b"\n":
        return mark + line
    return mark + line + b"\n\\ No newline at end of file\n"
