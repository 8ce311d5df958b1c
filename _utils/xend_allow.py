"""
The allow list of xend's relocation server: from what people write to patterns, and who gets in.
Here: making, splitting, evaluating and criticising the value of xend-relocation-hosts-allow.
Not here: reading or writing the file, quoting for sxp, name resolution, anything of Salt.
"""

from __future__ import absolute_import

import json
import re

_TEXT_TYPES = (str, type(b"".decode("ascii")))

# Old `re` refuses 100 capturing groups and, on narrow builds, long compiled code. The limits
# are for one alternation; the few groups that may enclose it still fit below 100.
_MAX_GROUPS = 80
_MAX_CHARS = 2000

_ANYTHING_GOES = "write the single word any to admit everybody"

# A regex that matches all of one row admits (nearly) every peer, since each has an address.
_PROBES = (
    (
        "1.2.3.4",
        "10.0.0.1",
        "27.155.31.9",
        "39.8.7.6",
        "45.6.70.88",
        "58.99.200.13",
        "66.70.8.91",
        "77.88.99.111",
        "88.99.77.66",
        "99.5.250.3",
        "127.0.0.1",
        "192.168.1.20",
        "203.0.113.250",
    ),
    (
        "localhost",
        "a.invalid",
        "b-2.test",
        "xen1.example.com",
        "0x.example.net",
        "Www.Example.org",
        "jkl.mnopq.rst",
        "3vwyz.fghi.dcu",
    ),
)

# The largest networks that have one owner are of this many bits, 10.0.0.0/8 for instance; sixteen of
# them are more than anybody's hosts are spread over.
_WIDEST = 24
_WIDEST_SUM = 28
_EVERY = (0, 2**32 - 1)

# Top-level domains below which everybody can have a name, beside the two letters of countries.
_PUBLIC = frozenset(("arpa", "biz", "com", "edu", "gov", "info", "int", "mil", "name", "net", "org", "pro"))
_STEMS = (("a.", "google.", "q-7.", "3vwyz."), ("xen1.example.", "mail.foo.bar.", "0x.q-7.", "a.b.c.d."))

_OCTET = "(0|[1-9][0-9]?[0-9]?)"
_ADDRESS = re.compile(r"^%s$" % r"\.".join([_OCTET] * 4))
_NUMERIC = re.compile(r"^[0-9][0-9.]*$")
_PORT = re.compile(r"^[^:]+:[0-9]+$")
_LABEL = re.compile(r"^[0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?$")
_REGEX_SIGNS = frozenset("^$\\[](){}|+?*")
_LABELS_BELOW = r"([0-9A-Za-z_-]+\.)+"


# -- Python 2's `re`, whatever Python this is -----------------------------------------------

# Compiled on first use, which only given regular expressions need: re keeps it from then on.
_TOKEN = (
    r"(?P<escape>\\[0-7][0-7][0-7]|\\x[0-9A-Fa-f][0-9A-Fa-f]|\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<comment>\(\?#[^)]*\))"
    r"|\(\?(?P<flags>[iLmsux]+)\)"
    r"|(?P<open>\((?:\?(?:P<|[:=!]|\([^)]*\)|<[=!]))?(?!\?))"
    r"|(?P<backref>\(\?P=)"
    r"|(?P<unknown>\(\?[^:>=!)]*[:>=!)]?)"
    r"|(?P<possessive>(?:[*+?]|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\})\+)"
    r"|(?P<repeat>(?:[*+?]|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\})\??)"
    r"|(?P<other>.)"
)
_CONDITION = re.compile(r"\(\?\(([0-9]+)\)$")
_SET_ITEM = re.compile(r"\\[0-7][0-7][0-7]|\\x[0-9A-Fa-f][0-9A-Fa-f]|\\.|.", re.DOTALL)
_LETTERS_OUTSIDE = frozenset("AbBdDsSwWZafnrtvx")
_LETTERS_IN_SET = frozenset("bdDsSwWafnrtvx")
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
# Byte patterns of Python 2 know only ASCII, with or without the L and u flags.
_ASCII = getattr(re, "ASCII", 0)


def _tokens(pattern):
    """Yield (kind, text) for the pieces of a regular expression."""
    for found in re.finditer(_TOKEN, pattern, re.DOTALL):
        yield found.lastgroup, found.group()


def _escape(text, letters):
    """Spell one escape so that every Python reads it as Python 2 does."""
    if text == "\\x":
        raise ValueError("\\x without two hexadecimal digits")
    if len(text) == 4 and text[1] in "4567":
        return "\\x%02x" % (int(text[1:], 8) & 0xFF)
    if len(text) == 2 and text[1].isalpha() and text[1] not in letters:
        return text[1]
    return text


def _set_item(found):
    """Spell one item of a [...] set; newer Pythons warn about bare signs of set operations."""
    text = found.group()
    if len(text) > 1:
        return _escape(text, _LETTERS_IN_SET)
    return "\\" + text if text in "[&~|" else text


def _compile(pattern):
    """
    Compile ``pattern`` as the Python 2 under xend would.

    Newer Pythons refuse unknown escapes (``^localhost\\localdomain$`` is valid for xend) and
    inline flags in the middle, and know constructs on which xend would not start.

    Raises ValueError with the cause.
    """
    flags = _ASCII
    pieces = []
    groups, asked_for = 0, 0
    for kind, text in _tokens(pattern):
        if kind == "escape":
            pieces.append(_escape(text, _LETTERS_OUTSIDE))
        elif kind == "set":
            start = 2 if text[1] == "^" else 1
            pieces.append(text[:start] + _SET_ITEM.sub(_set_item, text[start:-1]) + "]")
        elif kind == "flags":
            for letter in text[2:-1]:
                flags |= _FLAGS.get(letter, 0)
        elif (kind, text) == ("other", "["):
            raise ValueError("[ without ]")
        elif kind in ("possessive", "unknown"):
            raise ValueError("%s is unknown to the Python 2 of xend" % text)
        else:
            pieces.append(text)
            groups += text in ("(", "(?P<")
            asked_for = max([asked_for] + [int(number) for number in _CONDITION.findall(text)])
    if 0 < asked_for <= 100 and not groups:
        # Without a group in the pattern Python 2 does not look for that of a condition, `(?(1)a|b)`, which is
        # never met then. Newer ones want it to be there: behind the pattern, and it never matches.
        pieces.append("%s(?:(?!)%s)?" % ("\n" if flags & re.VERBOSE else "", "()" * asked_for))
    try:
        compiled = re.compile("".join(pieces), flags)
    except (re.error, AssertionError, OverflowError, RuntimeError) as error:
        raise ValueError(str(error))
    if groups > 99:
        raise ValueError("more than 99 groups, Python 2 refuses them")
    return compiled


# -- From entries to patterns ----------------------------------------------------------------


def patterns(entries):
    """
    Return the patterns that admit exactly what ``entries`` names.

    entries
        A list of IPv4 addresses (``10.20.0.11``), networks (``10.20.0.0/22``, the mask may be
        dotted), host names (``xen1.example.com``), domains (``.example.com``: every name
        below it at any depth, not the domain itself) and mappings ``{"regex": "..."}`` whose
        text is taken as given. One such entry may stand without a list. The word ``any``,
        alone, gives ``[]``: the empty value, with which xend admits everybody.

    Returns a list of texts: first the addresses and networks, merged into few patterns that
    match the same set and nothing else in dotted-quad form, then the names and regexes in the
    order given. Duplicates vanish. ``join`` makes the value of xend-relocation-hosts-allow.

    ``^`` and ``$`` enclose each pattern but a given regex. ``$`` would also match before a
    final newline; neither an address from the kernel nor a host name from the resolver ends
    in one. xend compares case-sensitively with whatever case the peer's reverse DNS has, so
    a capital in an entry admits the small letter too and a small letter only itself.

    Raises ValueError, naming the entry and what to write instead.
    """
    if not entries or not isinstance(entries, _TEXT_TYPES + (dict, list, tuple)):
        raise ValueError(
            "hosts_allow is %s: it must be a list with at least one entry; an empty list would"
            " admit everybody, %s" % (_shown(entries), _ANYTHING_GOES)
        )
    if not isinstance(entries, (list, tuple)):
        entries = [entries]
    if list(entries) == ["any"]:
        return []
    ranges = []
    others = []
    for entry in entries:
        found, pattern = _understood(entry)
        if found:
            ranges.append(found)
        else:
            others.append(pattern)
    result = _address_patterns(ranges)
    for pattern in others:
        if pattern not in result:
            result.append(pattern)
    return result


def _understood(entry):
    """Return the (first, last) addresses of one entry and None, or None and the pattern of a name."""
    if isinstance(entry, dict):
        return None, _regex(entry)
    if not isinstance(entry, _TEXT_TYPES):
        raise _wrong(
            entry,
            "is not text",
            "write an address, network, name or domain, in quotes where YAML would read a number",
        )
    if entry.lower() == "any":
        raise _wrong(
            entry,
            "admits everybody, which only the lone small word may say",
            "write any, alone, or leave it out",
        )
    _check_characters(entry)
    found = _range(entry)
    return (found, None) if found else (None, _name(entry))


def problems(entries):
    """
    Return all that is wrong with an allow list, one sentence each; an empty list when nothing is.

    entries
        As for ``patterns``.

    Beside what ``patterns`` refuses these are the ways to say everybody without the word ``any``:
    networks so wide that they are nobody's own, a whole top-level domain, a regex that matches
    every host or every name below such a domain, and entries that together come to that.
    """
    listed = entries if isinstance(entries, (list, tuple)) else [entries]
    if not entries or not isinstance(entries, _TEXT_TYPES + (dict, list, tuple)):
        listed = []
    if not listed or list(listed) == ["any"]:
        return _refusal(entries)
    found, fine = [], []
    for entry in listed:
        try:
            addresses, pattern = _understood(entry)
            _check_width(entry, addresses, pattern)
            fine.append((addresses, pattern))
        except ValueError as error:
            found.append(str(error))
    return found or _too_much(fine)


def _refusal(entries):
    try:
        patterns(entries)
    except ValueError as error:
        return [str(error)]
    return []


def _check_width(entry, addresses, pattern):
    """Refuse an entry that admits everybody, or as good as everybody."""
    if addresses and addresses[1] - addresses[0] >= 2**_WIDEST:
        raise _wrong(
            entry,
            "admits every address" if addresses == _EVERY else "is wider than any network of one owner",
            "write networks like 10.20.0.0/22 or 10.0.0.0/8, or " + _ANYTHING_GOES,
        )
    if isinstance(entry, dict):
        words = [word.lower() for word in re.findall("[A-Za-z]+", pattern)]
        tops = [word for word in words if word in _PUBLIC or len(word) == 2]
        compiled = _compile(pattern)
        if any(all(compiled.match(stem + top) for stem in row) for top in tops for row in _STEMS):
            raise _wrong(pattern, "matches every name of a top-level domain", _ANYTHING_GOES)
    elif pattern and entry.startswith(".") and "." not in entry[1:]:
        top = entry[1:].lower()
        advice = "write a domain of your own like .example.com, or " + _ANYTHING_GOES
        if top not in _PUBLIC and len(top) != 2:
            advice += " (where .%s is private: {regex: '^.*[.]%s$'})" % (top, top)
        raise _wrong(
            entry, "is a whole top-level domain, and a peer's name is what its own reverse DNS says", advice
        )


def _too_much(understood):
    """Return what is wrong with entries together, each of which is fine."""
    ranges = _merged([addresses for addresses, _ in understood if addresses])
    compiled = [_compile(pattern) for _, pattern in understood if pattern]
    are_wide = sum(last - first + 1 for first, last in ranges) > 2**_WIDEST_SUM
    if are_wide or any(all(any(one.match(probe) for one in compiled) for probe in row) for row in _PROBES):
        return ["the entries of the allow list together admit nearly everybody: " + _ANYTHING_GOES]
    return []


def sources(entries):
    """
    Return the networks of an allow list as a packet filter shows them: ``["10.20.0.11/32"]``.

    entries
        As for ``patterns``; only addresses and networks are possible here. A firewall knows no
        reverse DNS, and would look a name up once and for all.

    Returns texts with a prefix length, ascending, each once and none inside another. Neighbours
    stay apart, so that a peer keeps its rule when another one comes.

    Raises ValueError, naming every entry that cannot be had.
    """
    if not isinstance(entries, (list, tuple)):
        entries = [entries]
    ranges = []
    problems = []
    for entry in entries:
        try:
            ranges.append(_source(entry))
        except ValueError as error:
            problems.append(str(error))
    if problems or not ranges:
        raise ValueError("; ".join(problems) or "the allow list has no entry")
    result = []
    reached = -1
    # Networks are disjoint or one is inside the other; the larger one of two comes first here.
    for first, last in sorted(ranges, key=lambda found: (found[0], -found[1])):
        if last > reached:
            result.append("%s/%d" % (_dotted(first), 32 - _bits(last - first + 1)))
            reached = last
    return result


def _source(entry):
    """Return the first and last address of an entry that a packet filter can judge."""
    advice = "write an address like 10.20.0.11 or a network like 10.20.0.0/22"
    if not isinstance(entry, _TEXT_TYPES) or entry.lower() == "any":
        raise _wrong(entry, "is no address or network", advice)
    _check_characters(entry)
    found = _range(entry)
    if not found:
        raise _wrong(entry, "is no address or network", advice)
    if found == _EVERY:
        # iptables does not show this source, so its rule would never be found again.
        raise _wrong(entry, "is every address", advice)
    return found


def _bits(size):
    """Return the binary logarithm of a power of two; Python 2.6 has no int.bit_length."""
    return len(bin(size)) - len("0b1")


def join(pieces):
    """
    Return the value of xend-relocation-hosts-allow for a list of patterns.

    xend splits at every single space; ``join([])`` is the empty text that admits everybody.
    """
    return " ".join(pieces)


def _shown(entry):
    """Show an entry as it was written where that fits on one line."""
    if isinstance(entry, _TEXT_TYPES) and all(" " <= char <= "~" for char in entry):
        return "'%.120s'" % entry
    if entry is None or isinstance(entry, (bool, int, float)):
        return str(entry)
    try:
        shown = json.dumps(entry, sort_keys=True)
    except (TypeError, ValueError):
        shown = "a %s" % type(entry).__name__
    return shown if len(shown) <= 120 else shown[:120] + "..."


def _wrong(entry, problem, advice):
    return ValueError("allow list entry %s %s: %s" % (_shown(entry), problem, advice))


def _check_characters(entry):
    """Refuse what cannot stand in an address or a name, with advice that fits the mistake."""
    if not entry:
        raise _wrong(entry, "is empty", "an empty pattern admits everybody, " + _ANYTHING_GOES)
    if any(char.isspace() or char == "," for char in entry):
        raise _wrong(entry, "contains white space or a comma", "write one list item for each host")
    if not all(" " < char <= "~" for char in entry):
        raise _wrong(
            entry, "contains a character outside ASCII", "write international names in their xn-- form"
        )
    if _PORT.match(entry):
        raise _wrong(
            entry, "contains a port", "write only '%s', xend looks at the host alone" % entry.split(":")[0]
        )
    if ":" in entry:
        raise _wrong(entry, "looks like IPv6", "write an IPv4 address, xend listens on IPv4 only")
    if _REGEX_SIGNS.intersection(entry):
        raise _wrong(
            entry,
            "is no address, network, name or domain",
            "write a network like 10.20.0.0/24, a domain like .example.com, or {regex: '...'}",
        )


def _address(text, entry):
    """Return the number of an IPv4 address in its only canonical spelling."""
    octets = text.split(".")
    if len(octets) != 4 or not all(octet.isdigit() and int(octet) < 256 for octet in octets):
        raise _wrong(entry, "is not an IPv4 address", "write four numbers from 0 to 255, like 10.20.0.11")
    if not _ADDRESS.match(text):
        raise _wrong(
            entry,
            "has leading zeros, which some programs read as octal",
            "write %s" % ".".join(str(int(octet)) for octet in octets),
        )
    number = 0
    for octet in octets:
        number = number * 256 + int(octet)
    return number


def _dotted(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _range(entry):
    """Return the first and last address of an address or network, None for anything else."""
    if "/" in entry:
        return _network(entry)
    if _NUMERIC.match(entry):
        address = _address(entry, entry)
        return address, address
    return None


def _network(entry):
    """Return the first and last address of a network."""
    base, _, mask = entry.partition("/")
    first = _address(base, entry)
    if "." in mask:
        size = 2**32 - _address(mask, entry)
        if size & (size - 1):
            raise _wrong(entry, "has a mask with holes", "write a prefix length from 0 to 32")
    elif re.match(r"^(0|[1-9][0-9]?)$", mask) and int(mask) <= 32:
        size = 2 ** (32 - int(mask))
    else:
        raise _wrong(entry, "has no prefix length from 0 to 32", "write a network like 10.20.0.0/22")
    if first % size:
        raise _wrong(
            entry,
            "has host bits set",
            "write %s/%s for the network or %s for the host" % (_dotted(first - first % size), mask, base),
        )
    return first, first + size - 1


def _name(entry):
    """Return the pattern of a host name or, with a leading dot, of the names below a domain."""
    below = entry.startswith(".")
    name = entry[1:] if below else entry
    if name.endswith("."):
        raise _wrong(
            entry, "ends with a dot, which no name from reverse DNS does", "write '%s'" % entry.rstrip(".")
        )
    labels = name.split(".")
    # RFC 1123, and the underscore besides: Windows machines carry it and their DNS serves it.
    if len(name) > 253 or not all(_LABEL.match(label) and len(label) < 64 for label in labels):
        raise _wrong(
            entry,
            "is not a host name",
            "write labels of letters, digits, hyphens and"
            " underscores, separated by single dots, like xen1.example.com",
        )
    if not any(char.isalpha() for char in labels[-1]):
        raise _wrong(
            entry,
            "is neither an IPv4 address nor a host name",
            "write an address like 10.20.0.11 or a network like 10.20.0.0/22",
        )
    if len(labels) == 1 and not below and name.lower() != "localhost":
        raise _wrong(
            entry,
            "is a short name, and xend compares with the fully qualified one",
            "write it like %s.example.com, or write the address" % name,
        )
    spelled = []
    for char in name:
        if char.isupper():
            spelled.append("[%s%s]" % (char, char.lower()))
        else:
            spelled.append("\\." if char == "." else char)
    return "^%s%s$" % (_LABELS_BELOW if below else "", "".join(spelled))


def _regex(entry):
    """Return the text of ``{"regex": text}`` when xend could use it."""
    pattern = entry.get("regex")
    if len(entry) != 1 or not isinstance(pattern, _TEXT_TYPES):
        raise _wrong(
            entry,
            "is not a mapping with the one key regex and a text",
            "write {regex: '^xen[0-9]+\\.example\\.com$'}",
        )
    if not all("!" <= char <= "~" and char not in "'\"" for char in pattern):
        raise _wrong(
            pattern,
            "contains white space, a quote or a character outside ASCII",
            "leave it out: xend splits at spaces, and no host name contains the others",
        )
    try:
        compiled = _compile(pattern)
    except ValueError as error:
        raise _wrong(
            pattern, "is no regular expression for xend (%s)" % error, "mend it, xend would not start"
        )
    if _admits_everybody(compiled):
        raise _wrong(pattern, "matches every host", _ANYTHING_GOES)
    return pattern


def _admits_everybody(compiled):
    return any(all(compiled.match(probe) for probe in row) for row in _PROBES)


# -- Sets of addresses -----------------------------------------------------------------------


def _address_patterns(ranges):
    """Return patterns for exactly the addresses in (first, last) ``ranges``."""
    if not ranges:
        return []
    return ["^%s$" % text for text in _alternatives(tuple(_merged(ranges)), 3)]


def _merged(ranges):
    """Return the same numbers as ascending ranges that neither overlap nor touch."""
    result = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def _alternatives(ranges, dots):
    """
    Return expressions, none with a bare ``|`` unless ``dots`` is 0, for merged ``ranges`` of
    the numbers that are written with ``dots`` dots.

    Octets followed by the same set share one expression; this is what makes the text short.
    """
    size = 256**dots
    rests = {}
    for first, last in ranges:
        for octet in range(first // size, last // size + 1):
            start = octet * size
            rest = (max(first - start, 0), min(last - start, size - 1))
            rests.setdefault(octet, []).append(rest)
    if dots == 0:
        return _numbers(sorted(rests))
    octets_of = {}
    for octet in sorted(rests):
        octets_of.setdefault(tuple(rests[octet]), []).append(octet)
    result = []
    for rest, octets in sorted(octets_of.items(), key=lambda item: item[1]):
        head = _either(_numbers(octets))
        if rest == ((0, size - 1),):
            any_octet = "\\." + _either(_numbers(range(256)))
            result.append(head + (any_octet if dots == 1 else "(%s){%d}" % (any_octet, dots)))
        else:
            for bunch in _bunches(_alternatives(rest, dots - 1)):
                result.append(head + "\\." + _either(bunch))
    return result


def _either(texts):
    return texts[0] if len(texts) == 1 else "(%s)" % "|".join(texts)


def _bunches(texts):
    """Cut a list of alternatives into lists that stay within what old ``re`` can take."""
    bunch, groups, chars = [], 0, 0
    for text in texts:
        groups += text.count("(")
        chars += len(text)
        if bunch and (groups > _MAX_GROUPS or chars > _MAX_CHARS):
            yield bunch
            bunch, groups, chars = [], text.count("("), len(text)
        bunch.append(text)
    yield bunch


def _numbers(values):
    """Return products of digit sets, like ``1[0-4][05]``, for ascending decimal numbers."""
    words = [str(value) for value in values]
    result = []
    for length in (1, 2, 3):
        result.extend(_products([word for word in words if len(word) == length]))
    return result


def _products(words):
    """Return products of digit sets for ascending words of one length."""
    if not words or not words[0]:
        return words[:1]
    tails = {}
    for word in words:
        tails.setdefault(word[0], []).append(word[1:])
    digits_of = {}
    for digit in sorted(tails):
        digits_of.setdefault(tuple(tails[digit]), []).append(digit)
    result = []
    for tail, digits in sorted(digits_of.items(), key=lambda item: item[1]):
        result.extend(_digit_set(digits) + product for product in _products(list(tail)))
    return result


def _digit_set(digits):
    """Return the expression for one digit out of ascending ``digits``."""
    if len(digits) == 1:
        return digits[0]
    runs = _merged([(int(digit), int(digit)) for digit in digits])
    return "[%s]" % "".join(
        "%d-%d" % run if run[1] - run[0] > 1 else "".join(str(d) for d in sorted(set(run))) for run in runs
    )


# -- What xend makes of a value --------------------------------------------------------------


def split(value):
    """
    Return the patterns in ``value`` as xend splits it, or None where it admits everybody.

    xend (3.0.3 to 4.4) treats the empty value as no list at all and splits any other at each
    single space, so a leading, trailing or double space leaves an empty pattern.
    """
    return value.split(" ") if value else None


def broken(value):
    """
    Return what is wrong with the patterns in ``value`` (text) on which xend would not start, one
    sentence each; an empty list when all of them compile under xend's Python 2.
    """
    reasons = []
    for piece in split(value) or []:
        try:
            _compile(piece)
        except ValueError as error:
            reasons.append("the pattern %s does not compile: %s" % (piece, error))
    return reasons


def admits(value, address, name=None):
    """
    Tell whether xend with ``value`` lets a peer in.

    value
        The text of xend-relocation-hosts-allow as xend reads it.
    address
        The peer's IPv4 address in dotted-quad form.
    name
        What reverse DNS says about the peer; without it xend gets the address as the name.

    Returns ``{"accepted": bool, "pattern": the pattern that admits or None, "reason": text}``.
    Like xend, compiles all patterns first and matches each from the start of name or address.
    """
    pieces = split(value)
    if pieces is None:
        return _decision(True, None, "the list is empty: xend admits everybody")
    compiled = []
    for piece in pieces:
        try:
            compiled.append(_compile(piece))
        except ValueError as error:
            return _decision(
                False, None, "xend does not start: pattern %s is invalid (%s)" % (_shown(piece), error)
            )
    for piece, expression in zip(pieces, compiled):
        if not piece:
            return _decision(
                True, piece, "an empty pattern, from a leading, trailing or double space, admits everybody"
            )
        # A peer without a name has its address for one.
        for what, text in (("address", address), ("name", name or address)):
            if expression.match(text):
                return _decision(True, piece, "pattern %s matches the %s %s" % (_shown(piece), what, text))
    peer = "the address %s" % address
    if name and name != address:
        peer += " or the name %s" % name
    return _decision(False, None, "none of the %d patterns matches %s" % (len(pieces), peer))


def _decision(accepted, pattern, reason):
    return {"accepted": accepted, "pattern": pattern, "reason": reason}


# -- Patterns that are not what they look like -----------------------------------------------

_SEPARATORS = {"\t": "a tab", "\n": "a newline", "\r": "a carriage return", ",": "a comma"}
_SAMPLE_ESCAPES = {"\\d": "1", "\\w": "a", "\\A": "", "\\Z": "", "\\b": ""}


def loose(value):
    """
    Return what is wrong or surprising about the patterns in ``value``, in their order.

    Each finding is ``{"pattern", "severity", "message", "fix"}``. Severity ``error``: xend does
    not start, admits everybody, or can never admit what the pattern names; ``warning``: it
    admits more than it looks like, with an example where one was found; ``info``: it trusts
    the peer's reverse DNS, or is open on purpose. An empty value has no pattern and no finding.
    """
    return [
        {"pattern": piece, "severity": severity, "message": message, "fix": fix}
        for piece in split(value) or ()
        for severity, message, fix in _problems(piece)
    ]


def _problems(piece):
    """Return (severity, message, fix) for one pattern; an error hides the lesser ones."""
    shown = _shown(piece)
    if not piece:
        return [
            (
                "error",
                "an empty pattern, from a leading, trailing or double space, admits everybody",
                "separate patterns by one space, with none at the ends",
            )
        ]
    try:
        compiled = _compile(piece)
    except ValueError as error:
        return [
            (
                "error",
                "%s is invalid (%s): xend does not start" % (shown, error),
                _plainly(piece, "write a regular expression like ^xen1\\.example\\.com$"),
            )
        ]
    if _admits_everybody(compiled):
        return [("error", shown + " admits everybody", "name the hosts that may connect")]
    tokens = list(_tokens(piece))
    for kind, text in tokens:
        if kind in ("other", "escape") and text[-1] in _SEPARATORS:
            return [
                (
                    "error",
                    "%s contains %s, which does not separate patterns and stands in no"
                    " name or address" % (shown, _SEPARATORS[text[-1]]),
                    "separate patterns by one space",
                )
            ]
        if (kind, text) == ("other", "/"):
            return [
                (
                    "error",
                    shown + " is compared as text, xend knows no networks",
                    _plainly(piece, "write ^10\\.20\\.0\\.[0-9]+$ for 10.20.0.0/24"),
                )
            ]
    return (
        _open_end(piece, compiled, tokens)
        + _bare_dots(piece, compiled, tokens)
        + _trusted_names(piece, tokens)
    )


def _plainly(piece, otherwise):
    """Advise the pattern for what ``piece`` seems to name, or ``otherwise``."""
    plain = piece.lstrip("^*").rstrip("$").replace("\\.", ".")
    try:
        return "write %s" % patterns([plain])[0]
    except (ValueError, IndexError):
        return otherwise


def _open_end(piece, compiled, tokens):
    """Report a pattern that lets text follow what it names."""
    branches = _open_branches(tokens)
    if not branches:
        return []
    sample = _sample(branches[0])
    if sample.endswith(".") and _NUMERIC.match(sample):
        return [
            (
                "info",
                "%s admits all addresses that start with %s" % (_shown(piece), sample),
                "keep it if that network is meant",
            )
        ]
    example = _first_match(compiled, _longer(sample))
    return [
        (
            "warning",
            "%s is open at the end%s" % (_shown(piece), _also_admits(example)),
            _plainly(piece, "end it with $"),
        )
    ]


def _bare_dots(piece, compiled, tokens):
    """Report dots that were meant as dots but match any character."""
    bare = [
        index
        for index in range(1, len(tokens) - 1)
        if tokens[index] == ("other", ".")
        and _is_wordlike(tokens[index - 1])
        and _is_wordlike(tokens[index + 1])
    ]
    if not bare:
        return []
    is_open = bool(_open_branches(tokens))
    changed = bare if is_open else bare[:1]
    sample = _sample(
        [("other", "-") if index in changed else token for index, token in enumerate(tokens)]
    ).rstrip(".")
    example = _first_match(compiled, [sample + ".example.net" if is_open else sample])
    # With both ends fixed, three dots are all that makes these digits an address: only a
    # name can differ.
    harmless = not is_open and _is_address(_sample(tokens))
    return [
        (
            "info" if harmless else "warning",
            "%s has an unescaped dot, which matches any character%s" % (_shown(piece), _also_admits(example)),
            _plainly(piece, "write \\. for a dot"),
        )
    ]


def _trusted_names(piece, tokens):
    """Report a pattern for names: whoever owns the peer's reverse zone chooses the name."""
    if not any(kind in ("other", "set") and re.search("[A-Za-z]", text) for kind, text in tokens):
        return []
    return [
        (
            "info",
            "%s trusts reverse DNS, where the peer's side can claim any name" % _shown(piece),
            "admit addresses instead of names",
        )
    ]


def _also_admits(example):
    return "" if example is None else ": it also admits %s" % example


def _first_match(compiled, candidates):
    for candidate in candidates:
        if compiled.match(candidate):
            return candidate
    return None


def _longer(sample):
    """Return peers whose address or name starts with ``sample`` and goes on: addresses first."""
    missing = max(3 - sample.count("."), 0)
    addresses = [sample + digit + ".1" * missing for digit in "2345678901"]
    return [text for text in addresses if _is_address(text)] + [
        sample + ".example.net",
        sample + "x.example.net",
    ]


def _is_address(text):
    return bool(_ADDRESS.match(text)) and all(int(octet) < 256 for octet in text.split("."))


def _is_wordlike(token):
    """Tell whether a token stands for letters or digits, next to which a dot separates."""
    kind, text = token
    return kind in ("set", "open", "repeat") or text == ")" or text.isalnum() or text == "\\d"


def _branches(tokens):
    """Cut a list of tokens at the ``|`` outside all groups."""
    result = [[]]
    depth = 0
    for kind, text in tokens:
        depth += kind in ("open", "backref")
        depth -= (kind, text) == ("other", ")")
        if depth == 0 and (kind, text) == ("other", "|"):
            result.append([])
        else:
            result[-1].append((kind, text))
    return result


def _open_branches(tokens):
    return [branch for branch in _branches(tokens) if not _closed(branch)]


def _closed(branch):
    """Tell whether nothing can follow what one branch matches."""
    if not branch or branch[-1][0] not in ("other", "escape"):
        return False
    if branch[-1][1] != ")":
        return branch[-1][1] in ("$", "\\Z")
    depth = 0
    for index in range(len(branch) - 1, -1, -1):
        kind, text = branch[index]
        depth += (kind, text) == ("other", ")")
        depth -= kind in ("open", "backref")
        if depth == 0:
            inside = branch[index + 1 : -1]
            return text in ("(", "(?:") and not _open_branches(inside)
    return False


def _sample(tokens):
    """
    Return a text that the tokens plausibly match: each repeat once, each first alternative.

    Callers try it on the compiled pattern, so a wrong guess costs an example, never a lie.
    """
    frames = [[""]]
    for kind, text in tokens:
        if kind == "open":
            frames.append([""])
        elif (kind, text) == ("other", ")"):
            inside = frames.pop()[0]
            frames[-1][-1] += inside
        elif (kind, text) == ("other", "|"):
            frames[-1].append("")
        elif kind == "escape":
            frames[-1][-1] += _SAMPLE_ESCAPES.get(text, text[1])
        elif kind == "set":
            frames[-1][-1] += "x" if text[1] == "^" else text.lstrip("[\\")[0]
        elif kind == "other" and text not in "^$":
            frames[-1][-1] += text
    return frames[0][0]
