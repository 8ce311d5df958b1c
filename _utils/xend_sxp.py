"""
The lossless sxp document: what xend's parser makes of a file's bytes, and edits that splice them.
The bytes stay the data; parsing keeps only where the top-level values stand.
What a setting means, files and Salt are not dealt with here.
"""

from __future__ import absolute_import

import re
from bisect import bisect_left

_SPACES = b" \t\n\x0b\x0c\r"
_QUOTES = (b"'", b'"')
_ATTRIBUTES = b"@"
_NAMED_ESCAPES = {
    b"a": b"\x07",
    b"b": b"\x08",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\x0b",
    b"f": b"\x0c",
    b"r": b"\r",
    b"\\": b"\\",
    b"'": b"'",
    b'"': b'"',
}

# What to tell people about the byte at which an error is reported.
_HINTS = {
    b"(": "the list that begins here is never closed",
    b"'": "the string that begins here is never closed",
    b'"': "the string that begins here is never closed",
    b"\x04": "byte 4 means end of text, and a list is open",
    b")": "this parenthesis closes nothing",
    b"\\": "an escape is \\x and two hexadecimal digits, or octal up to \\377",
}
_OTHER_HINT = "no value can begin with this byte: remove it, or put quotes around the value"
_SHOWN_BYTES = 60

_TEXT = type(b"".decode("ascii"))

# One atom for every version of xend; whatever else could be one too (regular expressions, say)
# is easier to read in quotes, as in the files xend came with.
_PLAIN_WORD = re.compile(br"[A-Za-z0-9_./:~@%+,=-]+\Z")

# Repetitions of groups are bounded because sre keeps a record for every round it might go back to.
_ROUNDS = b"{0,200}"


class ParseError(ValueError):
    """
    xend does not start with this file.

    ``message`` is what xend says itself, ``line`` and ``column`` (both from 1, the column in
    bytes) tell where a person should look, ``text`` is that line, made printable.
    """

    def __init__(self, data, pos, message, piece=None):
        # Not in args, which may be shown or sent.
        self._where = data, pos
        begin = data.rfind(b"\n", 0, pos) + 1
        end = data.find(b"\n", pos)
        if end < 0:
            end = len(data)
        shown = max(begin, pos - _SHOWN_BYTES // 2)
        self.line = data.count(b"\n", 0, pos) + 1
        self.column = pos - begin + 1
        quote = data[shown : min(end, shown + _SHOWN_BYTES)]
        self.text = _printable(data[begin:end])
        if piece:
            self.text, quote = _printable(piece(data, begin, end)), piece(data, shown, shown + len(quote))
            if piece(data, pos, pos + 1) != data[pos : pos + 1]:
                # The codes and digits behind it are part of what may not be shown.
                message = message.partition(":")[0]
        ValueError.__init__(
            self,
            "line %d, column %d: %s (%s): %s"
            % (
                self.line,
                self.column,
                message,
                _HINTS.get(data[pos : pos + 1], _OTHER_HINT),
                _printable(quote).strip(),
            ),
        )
        # Last: Python 2.6 has a `message` of its own, which it sets above.
        self.message = message

    def without(self, piece):
        """
        The same error with a quote of what may be shown.

        ``piece`` is a function that returns that of the data from one position to another.
        """
        data, pos = self._where
        return ParseError(data, pos, self.message, piece)


class _Grammar(object):
    """
    xend's character-by-character state machine, as regular expressions that find the same ends.

    All methods take the bytes and a position in them; but for ``list_end`` and ``string_end``
    they rely on the value there having been found well-formed.
    """

    def __init__(self, separators, unknown_escape):
        space = b"[" + _SPACES + b"]"
        stop = _SPACES + b"#" + re.escape(separators)
        # An atom cannot begin with what begins something else, or with an unprintable byte.
        atom = br"[!$-&*-~][^" + stop + b"]*"
        comment = br"#[^\n]*\n"
        string = br"'[^'\\]*'|" + br'"[^"\\]*"'
        escape = (
            br"\\(?:[abtnvfr\\'"
            + br'"]|x[0-9A-Fa-f]{2}|'
            + unknown_escape.replace(b"OCTAL", br"(?:[0-3][0-7]{2}|[0-7]{1,2}(?![0-7]))")
            + b")"
        )
        self.spaces = re.compile(space + b"*").match
        # One search for all lines of a comment, where a repeated group is slow. It looks at each line
        # on its own: with line feeds among the spaces, a run of empty lines would take its square.
        self.next_line = re.compile(br"\n[ \t\x0b\x0c\r]*[^#" + _SPACES + b"]").search
        self.atom = re.compile(atom).match
        self.escape = re.compile(escape)
        # An atom must be followed by something: at the end of the file it drops its list.
        self.flat = re.compile(
            b"(?:" + space + b"+|" + comment + b"|" + atom + b"(?=[" + stop + b"])|" + string + b")" + _ROUNDS
        ).match
        self.parens = re.compile(br"\(+|\)+").match
        self.one_escape = escape
        self.bodies = {}

    def string_body(self, quote):
        """The match for the inside of a string; few files need it for both quotes."""
        if quote not in self.bodies:
            plain = b"[^" + quote + br"\\]*"
            body = plain + b"(?:" + self.one_escape + plain + b")" + _ROUNDS
            self.bodies[quote] = re.compile(body).match
        return self.bodies[quote]

    def skip(self, data, pos):
        """Where the next token begins: behind white space and comments."""
        pos = self.spaces(data, pos).end()
        if data[pos : pos + 1] != b"#":
            return pos
        match = self.next_line(data, pos)
        if match:
            return match.end() - 1
        # Nothing but comments to the end; the last may lack its line feed, and then it counts.
        return self.spaces(data, data.rfind(b"\n", pos) + 1 or pos).end()

    def string_end(self, data, start):
        """Behind the closing quote of the string at ``start``; raises ParseError."""
        quote = data[start : start + 1]
        body = self.string_body(quote)
        pos = start + 1
        while True:
            end = body(data, pos).end()
            char = data[end : end + 1]
            if char == quote:
                return end + 1
            if char == b"" or end == pos:
                raise _string_error(data, start, end)
            pos = end

    def list_end(self, data, start):
        """
        Behind the closing parenthesis of the list at ``start``; raises ParseError.

        Returns None when the file ends in an atom or a comment before that: the end of the file
        is told to the innermost state only, so xend never learns that the list was open.
        """
        depth = 0
        pos = start
        while True:
            end = self.flat(data, pos).end()
            char = data[end : end + 1]
            if char == b"(" or char == b")":
                pos = self.parens(data, end).end()
                if char == b"(":
                    depth += pos - end
                elif pos - end < depth:
                    depth -= pos - end
                else:
                    return end + depth
            elif end > pos:
                pos = end
            elif char in _QUOTES:
                pos = self.string_end(data, pos)
            elif char == b"#" or self.atom(data, pos):
                return None
            elif char == b"":
                raise ParseError(data, start, "unexpected EOF")
            elif char == b"\x04":
                raise ParseError(data, pos, "unexpected EOF")
            else:
                raise _invalid_character(data, pos)

    def value_end(self, data, pos):
        """Behind the value at ``pos``."""
        char = data[pos : pos + 1]
        if char == b"(":
            return self.list_end(data, pos)
        if char in _QUOTES:
            return self.string_end(data, pos)
        return self.atom(data, pos).end()

    def word(self, data, pos):
        """The atom or string at ``pos`` as bytes; None if something else is there."""
        if data[pos : pos + 1] in _QUOTES:
            body = data[pos + 1 : self.string_end(data, pos) - 1]
            return self.escape.sub(_unescape, body) if b"\\" in body else body
        match = self.atom(data, pos)
        return match and match.group()

    def head(self, data, pos):
        """First element of the list at ``pos``; None if it is a list itself, or there is none."""
        if data[pos : pos + 1] != b"(":
            return None
        return self.word(data, self.skip(data, pos + 1))

    def read(self, data, pos):
        """The value at ``pos``: bytes, or nested lists of bytes."""
        found = []
        innermost = [found]
        while True:
            char = data[pos : pos + 1]
            if char == b"(":
                fresh = []
                innermost[-1].append(fresh)
                innermost.append(fresh)
                pos += 1
            elif char == b")":
                innermost.pop()
                pos += 1
            else:
                innermost[-1].append(self.word(data, pos))
                pos = self.value_end(data, pos)
            if len(innermost) == 1:
                return found[0]
            pos = self.skip(data, pos)

    def strings(self, data, pos, end):
        """(begin, end) of every string, at any depth, in the value from ``pos`` to ``end``."""
        while pos < end:
            char = data[pos : pos + 1]
            if char == b"(" or char == b")":
                pos += 1
            else:
                begin, pos = pos, self.value_end(data, pos)
                if char in _QUOTES:
                    yield begin, pos
            pos = self.skip(data, pos)


# (first version, separators, what an escape is that is neither named nor hexadecimal).
# Up to 3.0.3 xend takes an unknown escape for an octal one and waits for its first digit, all
# the way through the closing quote.
_GENERATIONS = (
    ((4, 0), b"{}()<>[];", b"OCTAL|[^x0-7]"),
    ((3, 0, 4), b"{}()<>[];!", b"OCTAL|[^x0-7]"),
    ((), b"{}()<>[];!", br"(?:[^abtnvfrx\\'" + br'"0-7][^0-7]*)?OCTAL'),
)
# By the first version of a generation, and by the text that was asked for.
_grammars = {}


def _grammar_of(version):
    if version not in _grammars:
        number = tuple(int(part) for part in re.findall("[0-9]+", version))
        since, separators, unknown_escape = [row for row in _GENERATIONS if row[0] <= number][0]
        if since not in _grammars:
            _grammars[since] = _Grammar(separators, unknown_escape)
        _grammars[version] = _grammars[since]
    return _grammars[version]


_LAST_DIGITS = re.compile(br"[0-7]+\Z")
_BAD_HEX = re.compile(br"\\x[0-9A-Fa-f]?[^0-9A-Fa-f]")
_BAD_OCTAL = re.compile(br"\\[^0-7]*([4-7][0-7]{2})")


def _unescape(match):
    escape = match.group()
    code = escape[1:2]
    if code in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[code]
    if code == b"x":
        # xend measures every hexadecimal letter from its own 'a' or 'A': a letter is 0 to 5.
        high, low = [int(escape[at : at + 1], 16) for at in (2, 3)]
        return _byte(high % 10 * 16 + low % 10)
    octal = _LAST_DIGITS.search(escape)
    return _byte(int(octal.group(), 8)) if octal else b"\\"


def _byte(code):
    return bytes(bytearray((code,)))


def _printable(line):
    text = re.sub(b"[\x00-\x1f\x7f]", b" ", line).decode("utf-8", "replace")
    text = " ".join(text.splitlines())
    return text if isinstance(text, str) else text.encode("utf-8")


def _invalid_character(data, pos):
    return ParseError(data, pos, "invalid character: code %d" % ord(data[pos : pos + 1]))


def _string_error(data, start, pos):
    """What is wrong with the string at ``start`` that cannot be read on at ``pos``."""
    if _BAD_HEX.match(data, pos):
        # xend's own slip: it asks for the length of a variable that does not exist.
        return ParseError(data, pos, "global name 'buf' is not defined")
    octal = _BAD_OCTAL.match(data, pos)
    if octal:
        digits = octal.group(1).decode("ascii")
        return ParseError(data, pos, "invalid octal escape: out of range %s" % digits)
    return ParseError(data, start, "unexpected EOF")


def _to_bytes(value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, _TEXT):
        return value.encode("utf-8")
    raise ValueError("expected text, bytes or a list of these, not %s" % type(value).__name__)


def atom_or_string(value):
    """
    How a value should stand in a file, so that every version of xend (3.0 to 4.4) reads it back.

    value
        bytes, or text, which is written as UTF-8; any bytes will do

    A plain word stays as it is; all else stands in single quotes, where only the backslash and
    the single quote are escaped: xend's own writer uses escapes that its reader does not know.
    Returns bytes. Raises ValueError for anything but bytes and text.
    """
    value = _to_bytes(value)
    if _PLAIN_WORD.match(value):
        return value
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def render(value):
    """
    The same for a value that may be a list (or tuple) of values, to any depth.

    Returns bytes, the same for equal values and different for different ones.
    """
    pieces = []
    todo = [iter((value,))]
    while todo:
        for item in todo[-1]:
            if pieces and pieces[-1] != b"(":
                pieces.append(b" ")
            if isinstance(item, (list, tuple)):
                pieces.append(b"(")
                todo.append(iter(item))
                break
            pieces.append(atom_or_string(item))
        else:
            todo.pop()
            if todo:
                pieces.append(b")")
    return b"".join(pieces)


def parse(data, version="4.4"):
    """
    Read a file as xend does.

    data
        the content of the file, bytes
    version
        whose parser to imitate; it changed with 3.0.4 (unknown escapes) and 4.0 (``!`` in atoms)

    Returns a Document. Raises ParseError where xend would not start.
    Source: tools/python/xen/xend/sxp.py of the Xen releases.
    """
    if not isinstance(data, bytes):
        raise ValueError("a file is bytes, not %s" % type(data).__name__)
    return Document(data, _grammar_of(version))


class Document(object):
    """
    A file that xend can read; it never changes, edits return a new one.

    Keys may be bytes or text (taken as UTF-8). Values are bytes for atoms and strings, lists
    for lists. ``data`` is the file, byte for byte.
    """

    def __init__(self, data, grammar):
        self.data = data
        self._grammar = grammar
        # (begin, end, key or None) of every top-level list and string.
        self._forms = []
        # The offset of a last list that xend drops, as it is never closed.
        self._open = None
        # Where xend stops reading: the end, or byte 4.
        self._end = self._index()

    def _index(self):
        data, grammar = self.data, self._grammar
        start = grammar.skip(data, 0)
        while True:
            char = data[start : start + 1]
            if char == b"" or char == b"#":
                return len(data)
            if char == b"\x04":
                return start
            if char == b")":
                raise ParseError(data, start, "syntax error: )")
            if char == b"(" or char in _QUOTES:
                pos = grammar.value_end(data, start)
                if pos is None:
                    self._open = start
                    return len(data)
                self._forms.append((start, pos, grammar.head(data, start)))
            else:
                match = grammar.atom(data, start)
                if not match:
                    raise _invalid_character(data, start)
                pos = match.end()
            start = grammar.skip(data, pos)

    def get(self, key):
        """
        The value that xend reads for a key: bytes or a list; None when absent or without one.

        As sxp.child_value does it: the first list with that key counts, even when it has no
        value; ``(@ ...)`` after the key is skipped; what follows the value is ignored.
        """
        places = self._find(key)
        return self._value(places[0]) if places else None

    def items(self):
        """(key, what ``get`` returns for it) of all keys, in file order, each once."""
        seen = set()
        found = []
        for index, key in self._keyed():
            if key not in seen:
                seen.add(key)
                found.append((key, self._value(index)))
        return found

    def forms(self):
        """All top-level values as a list of bytes and nested lists."""
        return [form for _, form in self.lines()]

    def lines(self):
        """(line, value) of all top-level values, atoms included, one after the other."""
        end = self._end if self._open is None else self._open
        line, counted = 1, 0
        pos = self._grammar.skip(self.data, 0)
        while pos < end and self.data[pos : pos + 1] != b"#":
            line += self.data.count(b"\n", counted, pos)
            counted = pos
            yield line, self._grammar.read(self.data, pos)
            pos = self._grammar.skip(self.data, self._grammar.value_end(self.data, pos))

    @property
    def dropped(self):
        """(line, column) of a last list that xend drops, as it is never closed; or None."""
        return None if self._open is None else self._position(self._open)

    @property
    def stopped(self):
        """(line, column) of the byte 4 at which xend stops reading; None if it reads to the end."""
        return self._position(self._end) if self._end < len(self.data) else None

    def escapes(self):
        r"""
        Every unknown escape in a string (such as ``\.``), on which the versions of xend differ.

        Returns a list of (line, key of the top-level list or None, the escape as bytes).
        """
        found = []
        line, counted = 1, 0
        for start, end, key in self._forms:
            if self.data.find(b"\\", start, end) < 0:
                continue
            for begin, stop in self._grammar.strings(self.data, start, end):
                for match in self._grammar.escape.finditer(self.data, begin + 1, stop - 1):
                    escape = match.group()[:2]
                    if escape[1:] in _NAMED_ESCAPES or escape[1:] in b"x01234567":
                        continue
                    line += self.data.count(b"\n", counted, match.start())
                    counted = match.start()
                    found.append((line, key, escape))
        return found

    def _position(self, pos):
        line_begin = self.data.rfind(b"\n", 0, pos) + 1
        return self.data.count(b"\n", 0, pos) + 1, pos - line_begin + 1

    def _find(self, key):
        """Which forms have that key, as a list of numbers."""
        key = _to_bytes(key)
        return [index for index, found in self._keyed() if found == key]

    def _keyed(self):
        """(number, key) of the forms that have a key."""
        for index, (begin, _, key) in enumerate(self._forms):
            # To xend the file is the inside of one list, and what begins it so is that list's attributes.
            if key is not None and (index or key != _ATTRIBUTES or begin != self._grammar.skip(self.data, 0)):
                yield index, key

    def _value(self, index):
        begin, end = self._value_span(index)
        return self._grammar.read(self.data, begin) if begin < end else None

    def _value_span(self, index):
        """Where the value in a list stands; empty, before the parenthesis, if there is none."""
        grammar = self._grammar
        data = self.data
        pos = grammar.skip(data, self._forms[index][0] + 1)
        pos = grammar.skip(data, grammar.value_end(data, pos))
        if grammar.head(data, pos) == _ATTRIBUTES:
            pos = grammar.skip(data, grammar.value_end(data, pos))
        if data[pos : pos + 1] == b")":
            return pos, pos
        return pos, grammar.value_end(data, pos)

    def set(self, key, value):
        """
        A Document in which xend reads ``value`` for ``key``; the same one if it does already.

        key
            bytes or text
        value
            bytes, text, or a list of such

        The value xend reads is replaced where it stands. If there is none, a commented default
        ``#(key value)`` with this value is uncommented, or the form goes on a line of its own
        below the commented default of that key, or else at the end of what xend reads.
        Raises ValueError when that cannot be done, or not so that xend reads it back.
        """
        key = _to_bytes(key)
        text = render(value)
        if text[:3] in (b"(@ ", b"(@)"):
            raise ValueError("xend skips a list that begins with @: it cannot be a value")
        places = self._find(key)
        keys = [form[2] for form in self._forms]
        if places:
            begin, end = self._value_span(places[0])
            if begin < end and render(self._grammar.read(self.data, begin)) == text:
                return self
            changed = _replace(self.data, begin, end, text)
        else:
            begin, end, piece = self._place(key, text)
            changed = self.data[:begin] + piece + self.data[end:]
            keys.insert(bisect_left(self._forms, (begin,)), key)
        document = self._reread(changed, keys)
        found = document.get(key)
        if found is None or render(found) != text:
            shown = repr(key).lstrip("b")
            raise ValueError("xend would not read the value of %s back as it was given" % shown)
        return document

    def remove(self, key):
        """
        A Document in which ``key`` reads as absent; the same one if it does already.

        Every list with that key goes, as the next one would take effect; with its line or lines
        if nothing else stands there. Raises ValueError if that would change any other value.
        """
        data = self.data
        pieces = []
        done = 0
        places = self._find(key)
        for begin, end in [self._line_span(index) for index in places]:
            if done < begin:
                pieces.append(data[done:begin])
            if pieces and _would_touch(pieces[-1][-1:], data[end : end + 1]):
                pieces.append(b" ")
            done = end
        if not places:
            return self
        gone = set(places)
        keys = [form[2] for index, form in enumerate(self._forms) if index not in gone]
        return self._reread(b"".join(pieces) + data[done:], keys)

    def _reread(self, changed, keys):
        """
        The edited bytes as a Document, with these keys, when surely no other value has changed.

        Up to an edit the parser sees what it saw before, and behind it the same bytes. Only an
        edit that leaves it inside a list, string or comment could make it read these otherwise:
        then forms or the end would be missing.
        """
        document = Document(changed, self._grammar)
        if (
            [form[2] for form in document._forms] != keys
            or len(changed) - document._end != len(self.data) - self._end
            or (document._open is None) != (self._open is None)
        ):
            raise ValueError("the edit would change other parts of the file")
        return document

    def _line_span(self, index):
        """The list and, if nothing else stands on them, the whole of its lines."""
        data = self.data
        begin, end, _ = self._forms[index]
        floor = self._forms[index - 1][1] if index else 0
        ceiling = self._end
        if index + 1 < len(self._forms):
            ceiling = self._forms[index + 1][0]
        line_begin = data.rfind(b"\n", floor, begin) + 1
        line_end = data.find(b"\n", end, ceiling) + 1
        line_end = line_end or len(data)
        shared = (floor and not line_begin) or ceiling < line_end
        if shared or (data[line_begin:begin] + data[end:line_end]).strip(_SPACES):
            return begin, end
        return line_begin, line_end

    def _place(self, key, text):
        """(begin, end, bytes to put there) for a form whose key is not set yet."""
        form = b"(" + atom_or_string(key) + b" " + text + b")"
        data = self.data
        newline = b"\n"
        if b"\r" in data and 2 * data.count(b"\r\n") > data.count(b"\n"):
            newline = b"\r\n"
        default = self._commented_default(key, form)
        if default:
            match, wanted = default
            if wanted:
                return match.start("hashes"), match.start("form"), b""
            line_end = data.find(b"\n", match.end()) + 1
            line = match.group("indent") + form + newline
            if line_end:
                return line_end, line_end, line
            return len(data), len(data), newline + line
        if self._open is not None:
            raise ValueError(
                "line %d: the list that begins here is never closed, so xend would not see"
                " anything added after it; add the missing parenthesis first" % self.dropped[0]
            )
        end = self._end
        start = b"" if end == 0 or data[end - 1 : end] == b"\n" else newline
        return end, end, start + form + newline

    def _commented_default(self, key, form):
        """The best ``#(key ...)`` line as (match, whether it has the wanted value); or None."""
        best = None
        limit = self._end if self._open is None else self._open
        pos = self.data.find(key)
        while pos >= 0:
            begin = self.data.rfind(b"\n", 0, pos) + 1
            end = self.data.find(b"\n", pos + len(key))
            end = len(self.data) if end < 0 else end
            pos = self.data.find(key, end + 1)
            match = _COMMENTED_FORM(self.data, begin, end)
            if not match or match.start("hashes") >= limit or self._is_inside(match.start("hashes")):
                continue
            text = match.group("form")
            try:
                commented = Document(text, self._grammar)
            except ParseError:
                continue
            if [one[1:] for one in commented._forms] != [(len(text), key)]:
                continue
            wanted = render(commented.forms()[0]) == form
            # Indented ones are mostly examples in the middle of a sentence.
            rank = (wanted, not match.group("blanks"))
            if best is None or rank > best[0]:
                best = rank, (match, wanted)
        return best and best[1]

    def _is_inside(self, pos):
        """Whether a position is in a top-level list or string."""
        index = bisect_left(self._forms, (pos,)) - 1
        return index >= 0 and pos < self._forms[index][1]


# One whole line.
_COMMENTED_FORM = re.compile(
    br"(?P<indent>[ \t\x0b\x0c\r]*)(?P<hashes>#+)(?P<blanks>[ \t\x0b\x0c\r]*)"
    br"(?P<form>\([^\n]*\))[ \t\x0b\x0c\r]*\Z"
).match


def _would_touch(left, right):
    """Whether what ends and begins with these bytes would run together without a space."""
    return left != b"" and left not in _SPACES + b"()" and right != b"" and right not in _SPACES + b"()#"


def _replace(data, begin, end, text):
    """``data`` with the value from ``begin`` to ``end`` (maybe none) replaced by ``text``."""
    left = data[begin - 1 : begin]
    if _would_touch(left, text[:1]) or begin == end and left not in _SPACES:
        text = b" " + text
    if text[-1:] != b"'" and _would_touch(text[-1:], data[end : end + 1]):
        text += b" "
    return data[:begin] + text + data[end:]
