"""
Text and numbers as they come from people, and as messages are made of them. Nothing here knows Salt, or what
a text means.
"""

import difflib
import numbers
import unicodedata

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# So much of a value that is refused is shown.
QUOTED = 60
ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}

# What no terminal shall obey, and what deceives a reader: controls, what steers the direction of writing,
# what is no character, and white space other than a blank.
UNPRINTABLE = "CZ"

# No name and no path is longer.
MOST_LETTERS = 4096

# People mistype names that they can read, and to compare longer ones takes long.
LIKE_LETTERS = 128

# Names that are as much less like one than the one that is most like it were not meant.
ALIKE = 0.1


def native(value):
    """
    Text as the type that messages are made of: under Python 2, YAML and JSON give unicode, which does not mix
    with the bytes that a message quotes from a file, and is no path where the locale is C. The same for each
    text in dicts and lists. Anything else as it is.
    """
    return _each(value, _native)


def as_given(ret, given):
    """
    What a state returns, with text of the types that this Salt puts into text of its own, where a wrong one
    ends the whole run with a traceback (state.format_log). Under Python 2 it writes unicode from 2018.3 on;
    before, bytes, but unicode where it says what was and is now.

    ret
        a dict with ``changes``
    given
        a text that Salt has given, by which its age is seen
    """
    if bytes is not str:
        return ret
    if not isinstance(given, str):
        return _each(ret, _unicode)
    changes = dict(
        [
            (_unicode(key), _each(value, _unicode) if isinstance(value, (dict, list)) else _native(value))
            for key, value in ret["changes"].items()
        ]
    )
    return dict(native(ret), changes=changes)


def _each(value, change):
    if isinstance(value, dict):
        return dict([(_each(key, change), _each(item, change)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return [_each(item, change) for item in value]
    return change(value)


def _native(value):
    is_unicode = not isinstance(value, str) and hasattr(value, "encode")
    return value.encode("utf-8") if is_unicode else value


def _unicode(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def quoted(value, most=QUOTED):
    """
    A value of whatever type as a message shows it, the same under every Python: on one line, and its
    beginning only.
    """
    shown = b"".decode("ascii")
    for piece in _pieces(value, most):
        shown += piece
        if len(shown) > most:
            return native(shown[: most - 4] + " ...")
    return native(shown)


def _pieces(value, most):
    """
    A value as Python writes it, bit by bit: what is too long or too deep is never made.
    """
    if isinstance(value, TEXT + (bytes,)):
        yield _literal(value if len(value) <= most else value[: most + 1])
    elif isinstance(value, dict):
        pairs = sorted([(quoted(key), item) for key, item in value.items()], key=_first)
        for place, (key, item) in enumerate(pairs):
            yield ", " if place else "{"
            yield _unicode(key) + ": "
            for piece in _pieces(item, most):
                yield piece
        yield "}" if value else "{}"
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield ", " if place else "["
            for piece in _pieces(item, most):
                yield piece
        yield "]" if value else "[]"
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        yield "%d" % value if abs(value) < 1 << 64 else "a number"
    elif value is None or isinstance(value, (bool, float)):
        yield str(value)
    else:
        yield "a %s" % type(value).__name__


def _first(pair):
    return pair[0]


def _literal(text):
    text = _unicode(text)
    quote = '"' if "'" in text and '"' not in text else "'"
    return quote + "".join([_printable(character) for character in text]) + quote


def _printable(character):
    if character in ESCAPES:
        return ESCAPES[character]
    if unicodedata.category(character)[0] not in UNPRINTABLE or character == " ":
        return character
    return "\\x%02x" % ord(character) if ord(character) < 256 else "\\u%04x" % ord(character)


def given_text(argument, value):
    """
    Text that was given for an argument, as a name or a path, as the type that messages are made of.

    On a command line, a guest that is called 7 is a number. Raises ValueError for anything else.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, TEXT) or "\0" in value or not 0 < len(value) <= MOST_LETTERS:
        raise ValueError("%s: %s is no text of 1 to %d characters" % (argument, quoted(value), MOST_LETTERS))
    return native(value)


def given_seconds(argument, value):
    """
    A time that was given for an argument, as a number of seconds. Raises ValueError for anything else.
    """
    try:
        seconds = float(value)
    except (OverflowError, TypeError, ValueError):
        seconds = -1
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError("%s: %s is no number of seconds" % (argument, quoted(value)))
    return seconds


def given(error, function, *arguments):
    """
    What a function makes of something that was given; what is wrong with that as an ERROR, a class of them.
    """
    try:
        return function(*arguments)
    except ValueError as exc:
        raise error(exc.args[0])


def nearest(name, known, most=3):
    """
    The names that are most like one, the most like first: what somebody may have meant who has mistyped it,
    or has left out its end, as that of a host's domain.

    name
        text
    known
        names
    most
        how many are wanted
    """
    wanted, own = native(name).lower(), {}
    for one in sorted(known):
        if len(one) <= LIKE_LETTERS:
            own.setdefault(native(one).lower(), native(one))
    if not 0 < len(wanted) <= LIKE_LETTERS:
        return []
    found = [one for one in sorted(own) if one.startswith(wanted) or wanted.startswith(one + ".")]
    likeness = [
        (difflib.SequenceMatcher(None, wanted, one).ratio(), one)
        for one in difflib.get_close_matches(wanted, sorted(own), len(own) or 1)
    ]
    best = max([0] + [ratio for ratio, _one in likeness])
    likely = sorted([(-ratio, one) for ratio, one in likeness if ratio >= best - ALIKE])
    found += [one for _ratio, one in likely if one not in found]
    return [own[one] for one in found[:most]]


def meant(name, known):
    """
    What is to be said of a name that is none of those that are known, as the end of a sentence; "" when none
    is like it.
    """
    near = nearest(name, known)
    return "; did you mean %s?" % " or ".join(near) if near else ""
