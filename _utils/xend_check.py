"""
What is broken, dead or dangerous in a configuration of xend: the rules behind ``xend.check``.
Each rule is one function from the facts of a file to findings; RULES lists them.
Reading files and asking xm, the host's addresses or Salt for anything is not done here.
"""

from __future__ import absolute_import

import re

ERROR, WARNING, INFO = "error", "warning", "info"
_SEVERITIES = (ERROR, WARNING, INFO)

HOSTS_ALLOW = "xend-relocation-hosts-allow"
ADDRESS = "xend-relocation-address"
_PREFIX = "xend-relocation"

# Shipped with xend. Who could claim these names in the reverse DNS of a peer could claim any, but
# then they are what every host has.
_SHIPPED_PATTERNS = ("^localhost$", "^localhost\\.localdomain$")

# (setting that switches a server on, its port, the files it cannot do without)
_SERVERS = (("server", "port", ()), ("ssl_server", "ssl_port", ("ssl_key_file", "ssl_cert_file")))

# What people leave off: xend's other settings are named in files without it as well.
_FORGOTTEN = "xend-"

# One version for each parser that xend has had, and the one that can read least.
_PARSERS = ("3.0.3", "3.4", "4.4")
_OLDEST = (3, 0, 3)

_SHORTEST_MISSPELLED = 6
_MOST_LINES_NAMED = 5
_LONGEST_MESSAGE = 500
# What stands for a password (xend_secrets.HIDDEN).
_HIDDEN = "(not shown)"


class _Facts(object):
    """A file as xend reads it, with what the rules ask of it worked out once."""

    def __init__(self, data, utility, version, is_local, exists, folder):
        self.data = data
        self.utility = utility
        self.version = version
        self.is_local = is_local or (lambda address: True)
        self.exists = exists or (lambda path: True)
        self.folder = folder
        self.settings = utility("xend_options").settings()
        self.known = utility("xend_options").known_keys()
        self.kind_of = utility("xend_options").kind_of
        self.key_of = dict((row[0], row[1]) for row in self.settings)
        self.document = utility("xend_sxp").parse(data)
        self.values, _, _ = utility("xend_options").effective(self.document.get)
        self.unreadable = utility("xend_options").unreadable(self.document.get)
        self.read_at_start = utility("xend_options").read_at_start(self.values, version)
        self.listens = bool(self.values.get("server") or self.values.get("ssl_server"))
        # Line -> the pieces of it that are not to be shown.
        self.hidden = utility("xend_secrets").words(data)
        self.escapes = {}
        for line, key, escape in self.document.escapes():
            where = line, None if key is None else _text(key)
            # Rather too much is hidden in such a line than too little.
            shown = "\\" + _HIDDEN if line in self.hidden else _text(escape)
            self.escapes.setdefault(where, []).append(shown)
        # Key -> the lines of its lists (of a key that xend does not know, the first will do).
        self.lines = {}
        # Key -> how many values the list has that xend reads.
        self.count = {}
        # (line, text) of what stands outside lists, (line, outer key, key) of settings inside one.
        self.stray = []
        self.nested = []
        for line, form in self.document.lines():
            self._take(line, form)

    def _take(self, line, form):
        if not isinstance(form, list):
            self.stray.append((line, _HIDDEN if self.is_hidden(line, form) else _text(form)))
            return
        key = _text(form[0]) if form and not isinstance(form[0], list) else None
        if key is not None:
            if key in self.known or key not in self.lines:
                self.lines.setdefault(key, []).append(line)
            values = form[1:]
            if values and isinstance(values[0], list) and values[0][:1] == [b"@"]:
                values = values[1:]
            self.count.setdefault(key, len(values))
        for inner in _inner_keys(form):
            if inner in self.known and inner.startswith(_FORGOTTEN):
                self.nested.append((line, key, inner))

    def line(self, key):
        """The line of the list that xend reads for a key; None when there is none."""
        return self.lines.get(key, [None])[0]

    def is_hidden(self, line, raw):
        """Whether a word outside of lists is, or may be, part of a password in its line."""
        hidden = self.hidden.get(line, ())
        is_key = self.utility("xend_secrets").is_secret(raw)
        return bool(hidden) and (not is_key or bool([word for word in hidden if raw in word]))

    def is_fatal(self, key):
        return key in self.read_at_start


def findings(data, utility, version=None, is_local=None, exists=None, folder="/etc/xen"):
    """
    What is wrong with a configuration file.

    data
        its content, bytes
    utility
        a function from the name of another utility to that utility: the ways in which these can be
        had differ between Salt and tests
    version
        the version of the xend that reads it, a tuple of ints as far as it is known, or None
    is_local
        a function that says whether an IPv4 address is one of this host; None: not asked
    exists
        a function that says whether a file exists; None: not asked
    folder
        where relative names of files are

    Returns a list of dicts with ``severity`` (``error``: xend does not start, does not see what was
    written or admits everybody; ``warning``; ``info``), ``key`` (text or None), ``line`` (or None),
    ``message`` and ``fix``, sorted by line; empty when all is well.
    """
    try:
        facts = _Facts(data, utility, version, is_local, exists, folder)
    except ValueError as exc:
        found = [_unparsable(exc, "xend does not start with this file", utility)]
    else:
        found = [finding for rule in RULES for finding in rule(facts)]
    masked = utility("xend_secrets").masked
    found = [_cut(masked(finding)) for finding in found]
    return sorted(found, key=lambda row: (row["line"] or 0, _SEVERITIES.index(row["severity"])))


def is_ambiguous(data, utility):
    """
    Whether the versions of xend make different things of a file, or some of them cannot read it.

    data, utility
        as for `findings`
    """
    # Else there is nothing on which they differ, and most files are read once only.
    if b"\\" not in data and b"!" not in data:
        return False
    readings = set()
    for version in _PARSERS:
        try:
            forms = utility("xend_sxp").parse(data, version).forms()
        except ValueError:
            readings.add(None)
        else:
            readings.add(utility("xend_sxp").render(forms))
    return len(readings) > 1


def parsed(data, salt, error, utility):
    """
    What the xend of a host makes of a file, as a document; where its version cannot be known, what the newest
    does.

    data, utility
        as for `findings`
    salt, error
        as for `version_here`. xm is asked only where the versions differ, as it may take a while

    Raises ValueError when xend cannot read it.
    """
    if not is_ambiguous(data, utility):
        return utility("xend_sxp").parse(data)
    try:
        version = utility("xm_output").tools_version(salt["xm.info"]())
    except error as exc:
        # xm is of the same installation as xend; where only the oldest cannot read the file, this one is so
        # old.
        version = _OLDEST if getattr(exc, "cannot_parse", False) else None
    try:
        return utility("xend_sxp").parse(data, dotted(version))
    except ValueError as exc:
        raise ValueError("xend %s cannot read it: %s" % (dotted(version), utility("xend_secrets").said(exc)))


def version_here(salt, error, utility):
    """
    The version of the tools on this host, a tuple of ints; None when that is not known: there is no xm, no
    xend, or one that this very file keeps from starting.

    salt
        functions by name, among them `xm.info`
    error
        the class of the errors that these raise
    """
    try:
        return utility("xm_output").tools_version(salt["xm.info"]())
    except error:
        return None


def version_of(text, utility):
    """
    A version that people have written, as a tuple of ints. Raises ValueError when it is none.
    """
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", "%s" % (text,))
    if not numbers:
        quoted = utility("xend_text").quoted(text)
        raise ValueError("version: %s is no version; write it like 3.0.3" % quoted)
    return tuple([int(number) for number in numbers.group().split(".")])


def dotted(version):
    """
    A version, a tuple of ints, as text; None is the newest.
    """
    return "4.4" if version is None else ".".join([str(part) for part in version])


def _finding(severity, key, line, message, fix):
    return {"severity": severity, "key": key, "line": line, "message": message, "fix": fix}


def _cut(finding):
    message = finding["message"]
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 100] + " ... " + message[-90:]
    return dict(finding, key=finding["key"] and _shown(finding["key"]), message=message)


def _unparsable(exc, consequence, utility):
    return _finding(
        ERROR,
        None,
        exc.line,
        "%s: %s" % (consequence, exc.without(utility("xend_secrets").piece).args[0]),
        "mend it by hand at the place named; xend.set and the states leave such a file alone",
    )


def _text(raw):
    """A key or value for people; in no encoding at all, byte for byte."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return str(text) if all(" " <= char <= "~" for char in text) else text


def _shown(text):
    return text if len(text) <= 60 else text[:57] + "..."


def _inner_keys(form):
    """The first elements of all lists inside a list, at any depth."""
    todo = [item for item in form if isinstance(item, list)]
    while todo:
        inner = todo.pop()
        if inner and not isinstance(inner[0], list):
            yield _text(inner[0])
        todo.extend(item for item in inner if isinstance(item, list))


def _named(lines):
    words = [str(line) for line in lines[:_MOST_LINES_NAMED]]
    if len(lines) > _MOST_LINES_NAMED:
        words.append("%d more" % (len(lines) - _MOST_LINES_NAMED))
    return "%s %s" % ("line" if len(lines) == 1 else "lines", ", ".join(words))


# What xend's parser makes of the text


def _dropped_list(facts):
    if facts.document.dropped:
        line, column = facts.document.dropped
        yield _finding(
            ERROR,
            None,
            line,
            "the list that begins at column %d is never closed, and xend drops it without a word" % column,
            "add the missing parenthesis",
        )


def _end_of_text(facts):
    if facts.document.stopped:
        line, column = facts.document.stopped
        yield _finding(
            ERROR,
            None,
            line,
            "byte 4 (Ctrl-D) at column %d ends the file for xend: it ignores all that follows" % column,
            "remove that byte",
        )


def _stray_text(facts):
    if facts.stray:
        lines = sorted(set(line for line, _ in facts.stray))
        yield _finding(
            WARNING,
            None,
            lines[0],
            "xend ignores text outside parentheses (%s): %s"
            % (_named(lines), _shown(" ".join([text for _, text in facts.stray[:9]]))),
            "put # before a comment, and parentheses around a setting",
        )


def _nested_settings(facts):
    for line, outer, key in facts.nested:
        yield _finding(
            ERROR,
            key,
            line,
            "%s stands inside %s, where xend does not see it"
            % (key, "the list %s" % _shown(outer) if outer else "another list"),
            "close that list before it: check the parentheses from here on",
        )


def _lost_escapes(facts):
    for (line, key), escapes in facts.escapes.items():
        found = sorted(set(escapes))
        yield _finding(
            ERROR if key in facts.key_of.values() else WARNING,
            key,
            line,
            "xend does not know the escape %s: it keeps the backslash and loses the character after"
            " it; up to 3.0.3 it loses everything up to the next octal digit" % " ".join(found),
            "inside quotes, write two backslashes for one: \\%s" % found[0],
        )


def _other_readings(facts):
    """What the parser of an older xend makes something else of."""
    if facts.version is None or facts.version >= (4, 0):
        return
    name = dotted(facts.version)
    try:
        older = facts.utility("xend_sxp").parse(facts.data, name)
    except ValueError as exc:
        yield _unparsable(exc, "xend %s does not start with this file" % name, facts.utility)
        return
    escaped = set(key for _, key in facts.escapes)
    for key in sorted(facts.known):
        raw = key.encode("ascii")
        if key not in escaped and _written(facts, older, raw) != _written(facts, facts.document, raw):
            yield _finding(
                ERROR,
                key,
                facts.line(key),
                "xend %s reads %s otherwise than later versions" % (name, key),
                "put single quotes around the value",
            )


def _written(facts, document, key):
    # Lists that are nested deep cannot be compared without a recursion error.
    raw = document.get(key)
    return None if raw is None else facts.utility("xend_sxp").render(raw)


# Keys


def _misspelled(facts):
    # By length: what is one edit away from a key is hardly longer or shorter.
    plain = {}
    for known in sorted(facts.known):
        forms = [_plain(known)]
        if known.startswith(_PREFIX):
            forms.append(_plain(known[len(_FORGOTTEN) :]))
        for form in forms:
            plain.setdefault(len(form), {})[form] = known
    for key, lines in facts.lines.items():
        if key in facts.known:
            continue
        meant = _meant(_plain(key), plain)
        if meant:
            fix = "write %s" % meant
        elif key.startswith(_PREFIX):
            fix = "write one of %s" % ", ".join(sorted(facts.key_of.values()))
        else:
            continue
        yield _finding(
            ERROR if (meant or key).startswith(_PREFIX) else WARNING,
            key,
            lines[0],
            "xend knows no key %s and ignores it" % _shown(key),
            fix,
        )


def _plain(key):
    return "".join([char for char in key.lower() if char.isalnum()])


def _meant(bare, plain):
    """The known key for which what `_plain` left of a key is a slip of the pen, or None."""
    if len(bare) < _SHORTEST_MISSPELLED:
        return None
    if bare in plain.get(len(bare), ()):
        return plain[len(bare)][bare]
    for length in (len(bare), len(bare) + 1, len(bare) - 1):
        for candidate in sorted(plain.get(length, ())):
            if _one_edit_apart(bare, candidate):
                return plain[length][candidate]
    return None


def _one_edit_apart(left, right):
    """Whether one character more, less or other, or two exchanged, makes one of the other."""
    shorter = min(len(left), len(right))
    head = 0
    while head < shorter and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < shorter - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    ends = left[head : len(left) - tail], right[head : len(right) - tail]
    return max(len(ends[0]), len(ends[1])) == 1 or (len(ends[0]) == 2 and ends[0] == ends[1][::-1])


def _duplicates(facts):
    for key, lines in facts.lines.items():
        if len(lines) > 1 and key in facts.known:
            yield _finding(
                WARNING,
                key,
                lines[1],
                "%s is set %d times: line %d counts; dead: %s"
                % (key, len(lines), lines[0], _named(lines[1:])),
                "remove all but one",
            )


def _without_value(facts):
    for _, key, _, default, _ in facts.settings:
        if facts.count.get(key) != 0 or key == HOSTS_ALLOW and facts.listens:
            continue
        yield _finding(
            WARNING,
            key,
            facts.line(key),
            "%s has no value: xend uses its default, %s" % (key, _default(key, default)),
            "write a value, or remove the line",
        )


def _default(key, default):
    if key == HOSTS_ALLOW:
        return "which admits everybody"
    return {True: "yes", False: "no", None: "none", "": "the empty text"}.get(default, default)


def _further_values(facts):
    nested = set(key for _, key, _ in facts.nested)
    for key, count in facts.count.items():
        if count > 1 and key in facts.known and key not in nested:
            yield _finding(
                WARNING,
                key,
                facts.line(key),
                "%s has %d values, and xend reads only the first" % (key, count),
                "put quotes around what belongs together, and remove the rest",
            )


def _unknown_to_version(facts):
    if facts.version is None:
        return
    for _, key, _, _, since in facts.settings:
        first = tuple(int(part) for part in since.split("."))
        # `xm info` may tell 3.0 only, and what 3.0.3 brought is not missing there.
        if key in facts.lines and first[: len(facts.version)] > facts.version:
            yield _finding(
                WARNING,
                key,
                facts.line(key),
                "xend %s does not know %s, which came with %s: it is ignored"
                % (dotted(facts.version), key, since),
                "remove it, or do not count on it",
            )


# Values

# By kind of setting; a list is wrong for all of them.
_RIGHT = {"bool": "write yes or no", "int": "write a whole number", "port": "write a whole number"}
_RIGHT_WORD = "write one word, or one string in quotes"


def _wrong_kind(facts):
    for key, reason in facts.unreadable.items():
        fatal = facts.is_fatal(key)
        kind = None if isinstance(facts.document.get(key), list) else facts.kind_of(key)
        yield _finding(
            ERROR if fatal or not key.startswith(_PREFIX) else WARNING,
            key,
            facts.line(key),
            "%s%s" % (reason, ": xend does not start" if fatal else ", as soon as xend reads it"),
            _RIGHT.get(kind, _RIGHT_WORD),
        )


def _ports(facts):
    for server, name, _ in _SERVERS:
        key = facts.key_of[name]
        port = facts.values.get(name)
        if port is None or 1 <= port <= 65535:
            continue
        if port == 0:
            yield _finding(
                WARNING,
                key,
                facts.line(key),
                "port 0 is any free port, another one at each start of xend, unknown to its peers",
                "write a port from 1 to 65535",
            )
        else:
            starts = not facts.values.get(server)
            yield _finding(
                ERROR,
                key,
                facts.line(key),
                "%s: %s is no port%s" % (key, port, "" if starts else ": xend does not start"),
                "write a port from 1 to 65535",
            )


def _address(facts):
    address = facts.values.get("address")
    if not address:
        return
    reason = None
    try:
        facts.utility("xend_options").written(ADDRESS, address, facts.utility)
    except ValueError as exc:
        reason = exc.args[0]
    else:
        if address.replace(".", "").isdigit() and not facts.is_local(address):
            reason = "%s: %s is not an address of this host" % (ADDRESS, address)
    if reason:
        yield _finding(
            ERROR if facts.listens else WARNING,
            ADDRESS,
            facts.line(ADDRESS),
            "%s%s" % (reason, ": xend does not start" if facts.listens else ""),
            "write an IPv4 address of this host, or '' for all of them",
        )


def _ssl_files(facts):
    for server, _, names in _SERVERS:
        if not facts.values.get(server):
            continue
        for name in names:
            if name not in facts.values:
                continue
            key = facts.key_of[name]
            value = facts.values[name]
            lack = "%s is not set" % key
            if value:
                path = facts.utility("xend_options").ssl_file(value, facts.folder)
                if facts.exists(path):
                    continue
                lack = "%s does not exist" % path
            yield _finding(
                ERROR,
                key,
                facts.line(key) or facts.line(facts.key_of[server]),
                "%s is on, but %s: xend does not start" % (facts.key_of[server], lack),
                "name an existing file in %s, or switch %s off" % (key, facts.key_of[server]),
            )


# Who is admitted


def _open_door(facts):
    if not facts.listens or facts.values.get("hosts_allow", HOSTS_ALLOW):
        return
    how = "is not set"
    if HOSTS_ALLOW in facts.lines:
        how = "is empty" if facts.count[HOSTS_ALLOW] else "has no value"
    switches = [facts.key_of[row[0]] for row in _SERVERS if facts.values.get(row[0])]
    yield _finding(
        ERROR,
        HOSTS_ALLOW,
        facts.line(HOSTS_ALLOW) or facts.line(switches[0]),
        "%s is on and %s %s: xend takes guests from everybody" % (" and ".join(switches), HOSTS_ALLOW, how),
        "name the hosts that may connect (xend.configure hosts_allow=...), or switch it off",
    )


def _patterns(facts):
    raw = facts.document.get(HOSTS_ALLOW)
    if raw is None or isinstance(raw, list):
        return
    # One character for one byte, as in the Python 2 of xend. A quote that lacks makes lines of others part of
    # it.
    value = facts.utility("xend_secrets").masked(raw.decode("latin-1"))
    line = facts.line(HOSTS_ALLOW)
    # What is left of a pattern that lost characters is not worth a remark.
    escaped = HOSTS_ALLOW in [key for _, key in facts.escapes]
    for row in facts.utility("xend_allow").loose(value):
        if row["severity"] == INFO and (escaped or row["pattern"] in _SHIPPED_PATTERNS):
            continue
        message = "%s: %s" % (HOSTS_ALLOW, row["message"])
        yield _finding(row["severity"], HOSTS_ALLOW, line, message, row["fix"])
    if "\\\\" in value:
        yield _finding(
            WARNING,
            HOSTS_ALLOW,
            line,
            "%s: \\\\ in a pattern is a backslash, which no name or address contains" % HOSTS_ALLOW,
            "write half as many: two before a dot inside quotes, one without quotes",
        )


RULES = (
    _dropped_list,
    _end_of_text,
    _stray_text,
    _nested_settings,
    _lost_escapes,
    _other_readings,
    _misspelled,
    _duplicates,
    _without_value,
    _further_values,
    _unknown_to_version,
    _wrong_kind,
    _ports,
    _address,
    _ssl_files,
    _open_door,
    _patterns,
)
