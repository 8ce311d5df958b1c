"""
Text and numbers as they come from people, and as messages are made of them. Nothing here knows Salt, or what
a text means.
"""

import difflib
import numbers

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# No name and no path is longer.
MOST_LETTERS = 4096

# People mistype names that they can read, and to compare longer ones takes long.
LIKE_LETTERS = 128

# Names that are as much less like one than the one that is most like it were not meant.
ALIKE = 0.1


def native(value):
    """
    Text as the type that messages are made of: under Python 2, YAML and JSON give unicode, which does not mix
    with the bytes that a message quotes from a file. Anything else as it is.
    """
    is_unicode = not isinstance(value, str) and hasattr(value, "encode")
    return value.encode("utf-8") if is_unicode else value


def given_text(argument, value):
    """
    Text that was given for an argument, as a name or a path, as the type that messages are made of.

    On a command line, a guest that is called 7 is a number. Raises ValueError for anything else.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, TEXT) or "\0" in value or not 0 < len(value) <= MOST_LETTERS:
        raise ValueError("%s: %.60r is no text of 1 to %d characters" % (argument, value, MOST_LETTERS))
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
        raise ValueError("%s: %.60r is no number of seconds" % (argument, value))
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
