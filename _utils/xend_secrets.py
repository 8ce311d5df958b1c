"""
Which settings hold passwords, and how descriptions, files, diffs and messages are shown without them.

The one rule: a key whose name says so (`vncpasswd` of xend's configuration, of an image and of a vfb;
`vncpassword=` on a kernel's command line; `shared-secret` of DRBD) holds one, and its value is replaced by
`(not shown)`. That there is none, an empty value, is worth knowing and stays. Names of files with keys
(`ssl-key-file`) are no secrets. Where a text is broken, rather too much is hidden than too little.

Nothing here knows Salt, or reads anything.
"""

from __future__ import absolute_import

import difflib
import errno
import os
import re
from bisect import bisect_left

HIDDEN = "(not shown)"
_HIDDEN = HIDDEN.encode("ascii")
# Lines around a change, as everywhere.
_CONTEXT = 3
# How many lines, of both versions together, difflib compares: the time that it takes grows with their square.
_COMPARED_LINES = 4000

# `pass` alone only at the end of a word: there are pci-passthrough-strict-check and gfx_passthru. Misspelled
# keys hold the same passwords; xend ignores them, people read them.
_SECRET = re.compile(
    r"(?=[^\s()'\"=,]+\Z).*"
    r"(?:passw|passphrase|pass-?wd|pasw|pswd|pwd|secret|credential|(?:\A|[-_.]|vnc|chap|auth|user)pass\Z)",
    re.IGNORECASE,
)
# One of these is in all that the rule can match; finding them in big files is cheap.
_HINTS = (b"pass", b"pasw", b"pswd", b"pwd", b"secret", b"credential")
# What people write in sentences as well.
_PROSE = re.compile(r"(?:pass(?:words?|wds?|phrases?)?|pwd|secrets?|credentials?)\.?\Z", re.IGNORECASE)

_WORD = re.compile(br"[A-Za-z0-9_.-]+")
_BLANKS = b" \t\x0b\x0c\r"
_SPACES = _BLANKS + b"\n"
_WHITE = (b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c")
# How far back in a line it is looked whether something stands inside quotes, or in a comment.
_FAR = 4096

_EMPTY = re.compile(br"\s*(?:(?:''|\"\"|\(\s*\))\s*)*\Z")
_ASSIGNED = re.compile(br"[ \t]*(=>|[=:]=?)[ \t]*")
_LISTED = re.compile(br"[ \t]*,[ \t]*(?=[bBuUrR]{0,2}['\"])")
_OPENED = re.compile(br"[bBuUrR]{0,2}('''|\"\"\"|'|\")")
# What begins in the first column begins anew, whatever was left open before it.
_ANEW = re.compile(br"\n(?=\([A-Za-z@][A-Za-z0-9_.-]*[ \t(])")
_TOKEN = re.compile(br"[^()'\"#\\\n]+|\\.|[()'\"#\n]|\\", re.DOTALL)


def is_secret(key):
    """
    Whether the value of a key, bytes or text, is not to be shown.
    """
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return hasattr(key, "upper") and bool(_SECRET.match(key))


def masked(value):
    """
    A value as it may be told to anybody.

    value
        text, bytes, or dicts and lists of whatever, such as the forms of the sxp parser

    Returns the same with `(not shown)` for what dicts have for a secret key, and lists behind one that they
    begin with; in text, for what stands behind `KEY=` or in `(KEY ...)`. All else stays as it is.
    """
    if isinstance(value, dict):
        return dict([(masked(key), shown(key, item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return _masked_list(value)
    if hasattr(value, "upper"):
        return _masked_text(value, False)
    return value


def shown(key, value):
    """
    The value of a key as it may be told to anybody.
    """
    if not is_secret(key):
        return masked(value)
    return value if value in (None, "", b"", [], (), {}) else HIDDEN


def text(value):
    """
    A text in the syntax of xend, or of a file of `xm create`, byte for byte but for what is secret in it.

    value
        bytes or text: a description as xm prints it, a configuration file, or lines of one, broken ones too
    """
    return _masked_text(value, True)


def spans(data):
    """
    Where the secrets of a file (bytes), or of lines of one, stand: a list of (begin, end), in their order.
    """
    return _spans(data, True)


def spans_of_both(old, new):
    """
    The same for two versions of a file, as a pair: what is secret in one is so in the other, too, as far as
    they are the same, even when its key has gone.
    """
    found = spans(old), spans(new)
    head, tail = _common_ends(old, new)
    more = len(new) - len(old)
    return (
        _merged(found[0] + _carried(found[1], head, len(new) - tail, -more)),
        _merged(found[1] + _carried(found[0], head, len(old) - tail, more)),
    )


def _common_ends(old, new):
    """
    How many bytes, or lines, two versions have in common at their beginning, and behind that at their end.
    """
    longest = min(len(old), len(new))
    head = tail = 0
    while head < longest and old[head] == new[head]:
        head += 1
    while tail < longest - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return head, tail


def _carried(places, head, tail, by):
    """
    What lies before HEAD or from TAIL on, there shifted by so many bytes.
    """
    return [
        (begin, end) if end <= head else (begin + by, end + by)
        for begin, end in places
        if end <= head or begin >= tail
    ]


def _merged(places):
    found = []
    for begin, end in sorted(places):
        if found and begin < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def piece(data, begin, end, hidden=None):
    """
    The bytes of a file from BEGIN to END without what is secret in the file.

    hidden
        what `spans` or `spans_of_both` returns for the file, when that is known

    A line keeps its end.
    """
    found = []
    if data[end - 1 : end] == b"\n" and end > begin:
        end -= 1
        if data[end - 1 : end] == b"\r" and end > begin:
            end -= 1
        ending = data[end : data.index(b"\n", end) + 1]
    else:
        ending = b""
    hidden = spans(data) if hidden is None else hidden
    for first, last in hidden[max(bisect_left(hidden, (begin,)) - 1, 0) : bisect_left(hidden, (end,))]:
        if last <= begin:
            continue
        found += [data[begin : max(first, begin)], _HIDDEN]
        begin = min(last, end)
    return b"".join(found) + data[begin:end] + ending


def diff(name, old, new):
    """
    The difference between two versions of a file (bytes), as of `diff -u`, without what is secret in them.

    A line that differs is shown as such even when what is shown of it does not. NAME, bytes, is for the
    header. Returns b"" when there is no difference.
    """
    if old == new:
        return b""
    both = re.findall(br"[^\n]*\n|[^\n]+", old), re.findall(br"[^\n]*\n|[^\n]+", new)
    head, tail = _common_ends(*both)
    before, after = min(head, _CONTEXT), min(tail, _CONTEXT)
    first = head - before
    left, right = [lines[first : len(lines) - tail + after] for lines in both]
    if len(left) + len(right) <= _COMPARED_LINES:
        groups = difflib.SequenceMatcher(None, left, right).get_grouped_opcodes(_CONTEXT)
    else:
        ends = len(left) - after, len(right) - after
        same = [("equal", 0, before, 0, before), ("equal", ends[0], len(left), ends[1], len(right))]
        groups = [[same[0], ("replace", before, ends[0], before, ends[1]), same[1]]]
    begin = len(b"".join(both[0][:first]))
    hidden = spans_of_both(old, new)
    left, right = _shown_lines(left, old, begin, hidden[0]), _shown_lines(right, new, begin, hidden[1])
    found = [b"--- ", name, b"\n+++ ", name, b"\n"]
    for group in groups:
        ranges = [_range(first + group[0][side], first + group[-1][side + 1]) for side in (1, 3)]
        found.append(("@@ -%s +%s @@\n" % tuple(ranges)).encode("ascii"))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                found += [b" " + line for line in left[i1:i2]]
            else:
                found += [b"-" + line for line in left[i1:i2]] + [b"+" + line for line in right[j1:j2]]
    return b"".join(found)


def _shown_lines(lines, data, begin, hidden):
    """
    The lines of a file from BEGIN on as they stand in a diff.
    """
    found = []
    for line in lines:
        end = begin + len(line)
        told = piece(data, begin, end, hidden)
        found.append(told if line[-1:] == b"\n" else told + b"\n\\ No newline at end of file\n")
        begin = end
    return found


def _range(begin, end):
    if end - begin == 1:
        return str(end)
    return "%d,%d" % (begin + 1 if begin < end else begin, end - begin)


def hides(value):
    """
    Whether something stands in a text for what is not shown.
    """
    return HIDDEN in value


def words(data):
    """
    What is secret in a file, as a dict from line (from 1) to the list of its bytes there.
    """
    found = {}
    line, counted = 1, 0
    for begin, end in spans(data):
        line += data.count(b"\n", counted, begin)
        counted = begin
        for number, part in enumerate(data[begin:end].split(b"\n")):
            found.setdefault(line + number, []).append(part)
    return found


def reason(error):
    """
    Why Salt could not run a command, from the text of its error: before 3008 that has the whole environment
    of the minion in it.
    """
    return error.rpartition("reason: ")[2]


def said(exc):
    """
    What a ValueError says, its quote of a file without passwords.
    """
    if hasattr(exc, "without"):
        exc = exc.without(piece)
    return exc.args[0] if exc.args else str(exc)


def problem(path, exc):
    """
    An error of the operating system or of the parser, in one line that begins with the file.
    """
    if not isinstance(exc, EnvironmentError):
        return "%s: %s" % (path, said(exc))
    if exc.errno == errno.ENOENT:
        what = exc.strerror if os.path.islink(path) else "does not exist"
        return "%s: %s; name the right file with config= or the option xend:config" % (path, what)
    return "%s: %s" % (exc.filename or path, exc.strerror or exc)


def _masked_list(value):
    items = list(value)
    if items and is_secret(items[0]):
        hidden = _HIDDEN if isinstance(items[0], bytes) else HIDDEN
        rest = [item for item in items[1:] if item not in ("", b"", [], (), {}, None)]
        items = [masked(items[0])] + ([hidden] if rest else items[1:])
    else:
        items = [masked(item) for item in items]
    return tuple(items) if isinstance(value, tuple) else items


def _masked_text(value, is_file):
    if isinstance(value, bytes):
        return _without(value, is_file)
    try:
        data = value.encode("utf-8")
    except UnicodeEncodeError:
        # Under Python 3, what was no UTF-8.
        return _without(value.encode("utf-8", "surrogateescape"), is_file).decode("utf-8", "surrogateescape")
    return _without(data, is_file).decode("utf-8")


def _without(data, is_file):
    found, done = [], 0
    for begin, end in _spans(data, is_file):
        found += [data[done:begin], _HIDDEN]
        done = end
    return b"".join(found) + data[done:] if found else data


def _spans(data, is_file):
    found, pos = [], 0
    for begin, end in _keys(data):
        if begin < pos:
            continue
        where = _value(data, begin, end, is_file)
        if where is None:
            continue
        first, last, pos = where
        places = [(first, last)]
        if is_file and data[pos : pos + 1] == b")":
            first, last, pos = _behind(data, pos + 1)
            places.append((first, last))
        found += [(first, last) for first, last in places if first < last and data[first:last] != _HIDDEN]
    return found


def _keys(data):
    """
    Yield (begin, end) of every word that is a secret key.
    """
    lowered = data.lower()
    hits = {}
    for hint in _HINTS:
        hits[hint] = lowered.find(hint)
    done = 0
    while True:
        places = [place for place in hits.values() if place >= 0]
        if not places:
            return
        at = min(places)
        begin = at
        while begin > done and at - begin < 100 and _WORD.match(data, begin - 1, begin):
            begin -= 1
        match = _WORD.match(data, at)
        end = match.end()
        if is_secret(data[begin:end]):
            yield begin, end
        done = end
        for hint in _HINTS:
            if 0 <= hits[hint] < end:
                hits[hint] = lowered.find(hint, end)


def _value(data, begin, end, is_file):
    """
    Where the value of the key from BEGIN to END stands: (first, last, where to look on), or None when it has
    none.
    """
    key = data[begin:end]
    quote = data[end : end + 1]
    # As Python and xend show it: 'vncpasswd', "vncpasswd", b'vncpasswd', \'vncpasswd\'.
    is_quoted = quote in (b"'", b'"', b"\\") and data[begin - 1 : begin] in (b"'", b'"')
    if is_quoted:
        end += 1 if quote != b"\\" else 2
        begin -= 1
    before = data[begin - 1 : begin] if begin else b""
    match = _ASSIGNED.match(data, end)
    if match and (is_file or is_quoted or match.group(1) != b":"):
        return _assigned(data, begin, match.end(), match.group(1) == b":" and not is_quoted)
    if _is_head(data, begin):
        return _in_list(data, end)
    if is_quoted:
        match = _LISTED.match(data, end)
        return match and _string(data, match.end())
    if quote in (b"'", b'"') and quote != before and not _inside(data, begin):
        # `vncpasswd'word'` is one word to xend, and a slip to people.
        return _string(data, end)
    if not is_file or data[end : end + 1] not in (b" ", b"\t"):
        return None
    return _bare(data, begin, end, key)


def _is_head(data, begin):
    """
    Whether what begins here is the first word of a list.
    """
    before = data[max(0, begin - _FAR) : begin]
    if data[begin : begin + 1] in (b"'", b'"') and before[-1:] in (b"b", b"u"):
        before = before[:-1]
    return before.rstrip(_SPACES)[-1:] in (b"(", b"[")


def _in_list(data, pos):
    """
    The values of a list, from behind its key to the parenthesis that closes it, or to what begins anew.
    """
    depth, at, commented, plain = 0, pos, False, []
    while at < len(data):
        match = _TOKEN.match(data, at)
        token, last = match.group(), match.end()
        if token == b"#":
            commented = True
            last = data.find(b"\n", at)
            at = len(data) if last < 0 else last
            continue
        if token in (b"'", b'"'):
            last = _closing(data, at, len(data))
            anew = _ANEW.search(data, at, last)
            if anew:
                plain.append(data[at : anew.start()])
                at = anew.start()
                break
            token = data[at:last]
        elif token == b"\n" and _ANEW.match(data, at):
            break
        if token == b"(":
            depth += 1
        elif token == b")":
            if depth == 0:
                break
            depth -= 1
        plain.append(token)
        at = last
    first, last = _trimmed(data, pos, at)
    # Python shows lists in brackets and with commas.
    if data[first : first + 1] == b",":
        return _listed(data, first + 1, at)
    value = b"".join(plain)
    if _EMPTY.match(value) and not (commented and not value.strip(_SPACES)):
        return pos, pos, at
    return first, last, at


def _listed(data, pos, limit):
    """
    The rest of a list as Python shows it.
    """
    first = _trimmed(data, pos, limit)[0]
    end = data.find(b"]", first, limit)
    if _OPENED.match(data, first):
        last = _string(data, first)[2]
        end = last if data[last : last + 1] in (b"]", b"") else max(end, last)
    elif end < 0:
        end = limit
    first, last = _trimmed(data, first, end)
    return (pos, pos, end) if _EMPTY.match(data[first:last].lstrip(b"bu")) else (first, last, end)


def _behind(data, pos):
    """
    What stands in the same line behind a list with the key, and in no other list: mostly what should have
    stood in it.
    """
    end = _line_end(data, pos)
    first = _trimmed(data, pos, end)[0]
    if first in (pos, end) or data[first : first + 1] in (b"(", b")", b"#"):
        return pos, pos, pos
    stop = data.find(b"(", first, end)
    first, last = _trimmed(data, first, end if stop < 0 else stop)
    return first, last, last


def _assigned(data, begin, pos, is_prose):
    """
    The value behind KEY= or KEY:.
    """
    if data.startswith(_HIDDEN, pos):
        return pos, pos, pos + len(_HIDDEN)
    before, quote = _line_before(data, begin), _inside(data, begin)
    match = _OPENED.match(data, pos)
    if match and match.group(1)[:1] != quote:
        return _string(data, pos)
    end = _line_end(data, pos)
    is_first = not before.strip(_BLANKS + b"#")
    # What ends the value, besides the line: what has begun before it, and what parts such pairs.
    stops = [quote] if quote else []
    if before.count(b"(") > before.count(b")"):
        stops.append(b")")
    if b"{" in before:
        stops.append(b"}")
    if before[-1:] in (b",", b"{") or quote and before[-1:] == quote:
        stops.append(b",")
    elif is_first and not is_prose and b"," in data[pos:end]:
        stops.append(b",")
    elif not is_first and not is_prose:
        stops += [b",", b" ", b"\t"]
    at = pos
    while at < end and data[at : at + 1] not in stops:
        at += 2 if data[at : at + 1] == b"\\" else 1
    at = min(at, end)
    first, last = _trimmed(data, pos, at)
    return (pos, pos, at) if _EMPTY.match(data[first:last]) else (first, last, at)


def _string(data, pos):
    """
    The string that begins here, as Python or xend writes it.
    """
    match = _OPENED.match(data, pos)
    quote = match.group(1)
    if len(quote) == 3:
        end = data.find(quote, match.end())
        if end >= 0:
            return _unless_empty(pos, match.end(), end, end + 3)
        quote = quote[:1]
        return pos, pos, pos + 2
    limit = _line_end(data, pos)
    last = _closing(data, match.end() - 1, limit)
    inner = last - 1 if data[last - 1 : last] == quote and last - 1 >= match.end() else last
    return _unless_empty(pos, match.end(), inner, last)


def _unless_empty(pos, first, last, end):
    return (pos, pos, end) if first == last else (pos, end, end)


def _closing(data, at, limit):
    """
    Behind the quote that closes the string which begins here.
    """
    quote = data[at : at + 1]
    pos = at + 1
    while True:
        end = data.find(quote, pos, limit)
        slash = data.find(b"\\", pos, limit if end < 0 else end)
        if slash >= 0:
            pos = slash + 2
        elif end < 0:
            return limit
        else:
            return end + 1
        if pos >= limit:
            return limit


def _bare(data, begin, end, key):
    """
    The value of `KEY VALUE` without parentheses, as it is left of a line that is broken.
    """
    before = _line_before(data, begin)
    is_first = not before.strip(_BLANKS + b"#;\"'")
    if _PROSE.match(key.decode("latin-1")):
        if b"#" in before or not is_first and before.rstrip(_BLANKS)[-1:] != b")":
            return None
    elif before and before[-1:] not in (b" ", b"\t", b")", b"#", b";", b'"', b"'"):
        return None
    stop = _line_end(data, end)
    first = _trimmed(data, end, stop)[0]
    if data.startswith(_HIDDEN, first):
        return first, first, first + len(_HIDDEN)
    if not is_first:
        marks = [b"(", b")"] + ([b"'"] if _inside(data, begin) == b"'" else [])
        stop = min([stop] + [place for place in [data.find(mark, end, stop) for mark in marks] if place >= 0])
    first, last = _trimmed(data, end, stop)
    while last > first and data[last - 1 : last] in (b")", b";"):
        first, last = _trimmed(data, first, last - 1)
    return (first, first, stop) if _EMPTY.match(data[first:last]) else (first, last, stop)


def _line_before(data, pos):
    """
    What stands in the line before a position, but for the beginning of a line that is very long.
    """
    far = max(0, pos - _FAR)
    return data[max(data.rfind(b"\n", far, pos) + 1, far) : pos]


def _line_end(data, pos):
    end = data.find(b"\n", pos)
    return len(data) if end < 0 else end


def _inside(data, pos):
    """
    The quote that opens the string in which a position is, in its line; b"" when it is in none. An apostrophe
    inside a word opens none.
    """
    line, quote, at = _line_before(data, pos), b"", 0
    while at < len(line):
        char = line[at : at + 1]
        if char == b"\\":
            at += 1
        elif quote:
            quote = b"" if char == quote else quote
        elif char == b'"' or char == b"'" and not (at and _WORD.match(line, at - 1, at)):
            quote = char
        at += 1
    return quote


def _trimmed(data, first, last):
    """
    The same span without the white space at its ends.
    """
    while first < last and data[first : first + 1] in _WHITE:
        first += 1
    while last > first and data[last - 1 : last] in _WHITE:
        last -= 1
    return first, last
