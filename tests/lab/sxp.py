"""xend's reader and writer of sxp, as a literal state machine working on one byte at a time.

Here: `parse` for files, `Parser` for a connection, and xend's two writers. Slow is fine: this is
the lab's independent judge of what a file says. What the values mean is not decided here.
"""

SPACE = b" \t\n\v\f\r"
PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r\v\f"
SEPARATORS = b"{}()<>[];"
QUOTES = b"\"'"
END_OF_TEXT = 0x04
EOF = -1
ESCAPES = {
    ord("a"): 7,
    ord("b"): 8,
    ord("t"): 9,
    ord("n"): 10,
    ord("v"): 11,
    ord("f"): 12,
    ord("r"): 13,
    ord("\\"): 92,
    ord("'"): 39,
    ord('"'): 34,
}
LINE_WIDTH = 80
INDENT = 4


def version_key(version):
    """Return the "major.minor.patch" text `version` as a tuple of ints that compares."""
    return tuple(int(part) for part in version.split("."))


class ParseError(Exception):
    """The text is no sxp. `kind` is xend's exception class, `line` and `char` the place."""

    def __init__(self, message, kind="ParseError", line=0, char=0):
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.line = line
        self.char = char


class _State:
    def __init__(self, step, parent=None):
        self.step = step
        self.parent = parent
        self.text = bytearray()
        self.values = []
        self.number = 0
        self.delimiter = None


class Parser:
    """Input-driven reader: `feed` bytes, take finished top-level values from `values`.

    `version` is xend's, because escapes changed with 3.0.4 and separators with 4.0.
    """

    def __init__(self, version="4.4"):
        key = version_key(version)
        # Before 4.0 `!` still was the (never used) evaluation mark, and so ended an atom.
        self.separators = SEPARATORS if key >= (4, 0) else SEPARATORS + b"!"
        # Up to 3.0.3 every unknown escape was taken for the start of an octal number.
        self.unknown_is_octal = key < (3, 0, 4)
        self.values = []
        self.at_eof = False
        self.line = 0
        self.char = 0
        self.state = None

    def feed(self, data):
        for byte in data:
            self._input(byte)

    def end(self):
        self.at_eof = True
        self._input(EOF)

    def fail(self, message, kind="ParseError"):
        raise ParseError(message, kind, self.line + 1, self.char)

    def _input(self, byte):
        if not self.at_eof:
            if byte == 10:
                self.line += 1
                self.char = 0
            else:
                self.char += 1
        if self.state is None:
            self.state = _State(self._start)
        self.state.step(byte)

    def _push(self, step):
        self.state = _State(step, self.state)

    def _pop(self):
        self.state = self.state.parent
        if self.state is not None and self.state.step == self._start:
            self.values += self.state.values
            self.state.values = []

    def _finish(self, value):
        self.state.parent.values.append(value)
        self._pop()

    def _start(self, byte):
        if self.at_eof:
            self.values += self.state.values
            self._pop()
        elif byte in SPACE:
            return
        elif byte == ord("#"):
            self._push(self._comment)
        elif byte == ord("("):
            self._push(self._list)
        elif byte == ord(")"):
            self.fail("syntax error: )")
        elif byte in QUOTES:
            self._push(self._string)
            self.state.delimiter = byte
        elif byte in PRINTABLE:
            self._push(self._atom)
            self.state.text.append(byte)
        elif byte == END_OF_TEXT:
            self.end()
        else:
            self.fail("invalid character: code %d" % byte)

    def _comment(self, byte):
        if byte == 10 or self.at_eof:
            self._pop()

    def _string(self, byte):
        if self.at_eof:
            self.fail("unexpected EOF")
        elif byte == self.state.delimiter:
            self._finish(bytes(self.state.text))
        elif byte == ord("\\"):
            self._push(self._escape)
        else:
            self.state.text.append(byte)

    def _escape(self, byte):
        if self.at_eof:
            self.fail("unexpected EOF")
        elif byte in ESCAPES:
            self._escaped(ESCAPES[byte])
        elif byte == ord("x"):
            self.state.step = self._hex
        elif byte in b"01234567" or self.unknown_is_octal:
            self.state.step = self._octal
            self._input_again(byte)
        else:
            # The byte after the backslash is lost: the reason why '\\.' must be written doubled.
            self._escaped(ord("\\"))

    def _escaped(self, byte):
        self.state.parent.text.append(byte)
        self._pop()

    def _input_again(self, byte):
        # xend counts a byte that it looks at twice twice, and error places show it.
        self._input(byte)

    def _octal(self, byte):
        if self.at_eof:
            self.fail("unexpected EOF")
        elif byte in b"01234567":
            self._digit(byte, 8, ord("0"), "octal", 3)
        elif self.state.text:
            self._escaped(self.state.number)
            self._input_again(byte)

    def _hex(self, byte):
        if self.at_eof:
            self.fail("unexpected EOF")
        for first, last in (b"09", b"AF", b"af"):
            if first <= byte <= last:
                self._digit(byte, 16, first, "hex", 2)
                return
        self.fail("global name 'buf' is not defined", "NameError")

    def _digit(self, byte, base, zero, kind, length):
        state = self.state
        state.number = state.number * base + byte - zero
        state.text.append(byte)
        if state.number > 0xFF:
            self.fail("invalid %s escape: out of range %s" % (kind, state.text.decode("ascii")))
        if len(state.text) == length:
            self._escaped(state.number)

    def _atom(self, byte):
        if self.at_eof:
            self._finish(bytes(self.state.text))
        elif byte in self.separators or byte in SPACE or byte == ord("#"):
            self._finish(bytes(self.state.text))
            self._input_again(byte)
        else:
            self.state.text.append(byte)

    def _list(self, byte):
        if self.at_eof:
            self.fail("unexpected EOF")
        elif byte == ord(")"):
            self._finish(self.state.values)
        else:
            self._start(byte)


def parse(data, version="4.4"):
    """Return the top-level values of `data` (bytes): bytes and nested lists; raise ParseError."""
    parser = Parser(version)
    parser.feed(data)
    parser.end()
    return parser.values


def is_word(text):
    """Whether xend's writer leaves `text` unquoted."""
    return (
        text == "@"
        or bool(text)
        and all(char.isascii() and (char.isalnum() or char in ".-_:/~") for char in text)
    )


def show(value):
    """Return `value` (nested lists of str) on one line, as xend writes it to a connection."""
    if isinstance(value, (list, tuple)):
        return "(%s)" % " ".join(show(item) for item in value)
    text = text_of(value)
    if not is_word(text) and not text.isascii():
        # What a terminal of today shows; the real one writes \\xNN, which its own reader misreads.
        return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")
    return text if is_word(text) else repr(text)


def text_of(value):
    """Return a word as Python 2's str() has it, which shows twelve digits of a number."""
    if not isinstance(value, float):
        return str(value)
    text = "%.12g" % value
    return text if set(text) & set(".en") else text + ".0"


def pretty(value, indent=0):
    """Return `value` as `xm list --long` prints it: one line when it fits, else one item a line."""
    line = " " * indent + show(value)
    if not isinstance(value, (list, tuple)) or len(line) < LINE_WIDTH:
        return line
    head, rest = value[0], value[1:]
    lines = [" " * indent + "(" + show(head)]
    lines += [pretty(item, indent + INDENT) for item in rest]
    return "\n".join(lines + [" " * indent + ")"])


def decode(value):
    """Return `value` with every bytes object as text, byte N as code point N."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value.decode("latin-1")


def decode_text(value):
    """The same as people read it, for descriptions; bytes that are no UTF-8 come back by `encode`."""
    if isinstance(value, list):
        return [decode_text(item) for item in value]
    return value.decode("utf-8", "surrogateescape")


def encode(text):
    """Return the bytes of a text that `show` or `pretty` has made."""
    return text.encode("utf-8", "surrogateescape")


def child(value, name):
    """Return the first list inside `value` whose first element is `name`, or None."""
    for item in value[1:]:
        if isinstance(item, list) and item and item[0] == name:
            return item
    return None


def child_value(value, name, default=None):
    """Return the second element of `child(value, name)`, or `default`."""
    found = child(value, name)
    return found[1] if found is not None and len(found) > 1 else default
