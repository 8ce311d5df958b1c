"""What xend takes from its configuration: keys, kinds, defaults and the listener's plan.

Here: the getters as one table, hosts-allow as Python 2 compiled it, and who is admitted. No
sockets: binding is done in relocation.py.
"""

import re

from tests.lab import sxp

DEFAULT_CONFIG_DIR = "/etc/xen/"
TRUE_WORDS = ("yes", "y", "1", "on", "true", "t")
FALSE_WORDS = ("no", "n", "0", "off", "false", "f")
INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*\Z")

# key: (kind, default, first version of xend that reads it)
KEYS = {
    "xend-unix-server": ("bool", False, "3.0"),
    "xend-unix-xmlrpc-server": ("bool", True, "3.0.3"),
    "xend-relocation-server": ("bool", False, "3.0"),
    "xend-relocation-port": ("int", 8002, "3.0"),
    "xend-relocation-address": ("string", "", "3.0"),
    "xend-relocation-hosts-allow": ("string", "", "3.0.3"),
    "xend-relocation-ssl-server": ("bool", False, "3.3"),
    "xend-relocation-ssl-port": ("int", 8003, "3.3"),
    "xend-relocation-server-ssl-key-file": ("file", None, "3.3"),
    "xend-relocation-server-ssl-cert-file": ("file", None, "3.3"),
    "xend-relocation-ssl": ("bool", False, "3.3"),
    "dom0-min-mem": ("int", 0, "3.0"),
    "vif-script": ("string", "vif-bridge", "3.0"),
    "vnc-listen": ("string", "127.0.0.1", "3.0.3"),
    "device-create-timeout": ("int", 100, "4.0"),
    "enable-dom0-ballooning": ("bool", True, "4.0"),
}

# Python 3 says the same things about a bad pattern in other words than Python 2.
PATTERN_ERRORS = (
    (re.compile(r"missing \), unterminated subpattern"), "unbalanced parenthesis"),
    (re.compile(r"unbalanced parenthesis"), "unbalanced parenthesis"),
    (re.compile(r"unterminated character set"), "unexpected end of regular expression"),
    (re.compile(r"bad escape \(end of pattern\)"), "bogus escape (end of line)"),
    (re.compile(r"invalid group reference (\d+)"), r"bogus escape: '\\\\\1'"),
    (re.compile(r"bad escape (\\\d+)"), r"bogus escape: '\\\1'"),
    (re.compile(r"incomplete escape (\\x\w?)"), r"bogus escape: '\\\1'"),
    (re.compile(r"bad character range"), "bad character range"),
    (re.compile(r"unknown group name ('.*')"), r"unknown group name: \1"),
    (re.compile(r"cannot refer to an open group"), "cannot refer to open group"),
    (re.compile(r"missing >, unterminated name"), "unterminated name"),
    (re.compile(r"min repeat greater than max repeat"), "bad repeat interval"),
)
# What may stand behind a parenthesis and a question mark in Python 2, but for the flags.
EXTENSION = re.compile(r"\(\?(?:[:=!#(]|P[<=]|<[=!])")
OCTAL = re.compile(r"\\([0-7]{3})")
INLINE_FLAGS = re.compile(r"\(\?([iLmsux]+)\)")
# The bytes of Python 2 know only ASCII, with L and u or without.
FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
# Python 2 knew these letters after a backslash; any other letter stood for itself.
PATTERN_LETTERS = "AbBdDsSwWZafnrtvx"


class OptionError(Exception):
    """xend cannot use a value. `kind` is the class of the exception that xend dies of."""

    def __init__(self, message, kind="XendError"):
        super().__init__(message)
        self.message = message
        self.kind = kind


def _bool(key, value):
    # Python 2 lowers the letters of ASCII only.
    word = str(value).encode("latin-1").lower().decode("latin-1")
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    # xend reports what it compared, which is the lower-cased text.
    raise OptionError("invalid xend config %s: expected bool: %s" % (key, word))


def _int(key, value):
    if isinstance(value, str) and INTEGER.match(value):
        return int(value)
    raise OptionError("invalid xend config %s: expected int: %s" % (key, value))


def _file(key, value):
    if isinstance(value, list):
        raise OptionError("'list' object has no attribute 'rfind'", "AttributeError")
    return value if "/" in value else DEFAULT_CONFIG_DIR + value


KINDS = {"bool": _bool, "int": _int, "string": lambda key, value: value, "file": _file}


class Options:
    """The values of one configuration file, as the xend of `version` reads them."""

    def __init__(self, data, version="4.4"):
        """`data`: the file's bytes, or None when there is no file; raise sxp.ParseError."""
        self.version = version
        self.key = sxp.version_key(version)
        self.forms = [] if data is None else sxp.decode(sxp.parse(data, version))

    def raw(self, key):
        """Return what stands in the file for `key`: text, a list, or None."""
        for form in self.forms:
            if isinstance(form, list) and form and form[0] == key:
                rest = form[1:]
                if rest and isinstance(rest[0], list) and rest[0] and rest[0][0] == "@":
                    rest = rest[1:]
                return rest[0] if rest else None
        return None

    def get(self, key):
        """Return the value that xend uses for `key`; raise OptionError as xend dies."""
        kind, default, _since = KEYS[key]
        value = self.raw(key)
        if value is None:
            if kind == "file" and self.key >= (4, 0):
                raise OptionError("'NoneType' object has no attribute 'rfind'", "AttributeError")
            return default
        if kind == "file" and self.key < (4, 0):
            return value
        return KINDS[kind](key, value)

    def hosts_allow(self):
        """Return the compiled patterns, or None when everybody is admitted."""
        text = self.get("xend-relocation-hosts-allow")
        if text == "":
            return None
        if isinstance(text, list):
            raise OptionError("'list' object has no attribute 'split'", "AttributeError")
        return [compile_pattern(pattern) for pattern in text.split(" ")]

    def listen(self):
        """Return {"tcp": (port, address, patterns), "ssl": (…, key, cert)}, as far as it is on."""
        plan = {}
        ssl_known = self.key >= (3, 3)
        self.get("xend-unix-server")
        address, patterns = None, None
        if ssl_known:
            address = self.get("xend-relocation-address")
            patterns = self.hosts_allow()
        if self.get("xend-relocation-server"):
            port = self.get("xend-relocation-port")
            if not ssl_known:
                address = self.get("xend-relocation-address")
                patterns = self.hosts_allow()
            plan["tcp"] = (port, address, patterns)
        if ssl_known and self.get("xend-relocation-ssl-server"):
            port = self.get("xend-relocation-ssl-port")
            key_file = self.get("xend-relocation-server-ssl-key-file")
            cert_file = self.get("xend-relocation-server-ssl-cert-file")
            if not (key_file and cert_file):
                raise OptionError(
                    "ssl_key_file or ssl_cert_file for ssl relocation server is missing."
                )
            plan["ssl"] = (port, address, patterns, key_file, cert_file)
        return plan


def compile_pattern(pattern):
    """Compile `pattern` with the meaning it had in Python 2; raise OptionError in its words."""
    text, flags = _as_python2(pattern)
    try:
        return re.compile(text, re.ASCII | flags)
    except OverflowError as error:
        raise OptionError(str(error), "OverflowError") from None
    except re.error as error:
        message = str(error.msg)
        for known, words in PATTERN_ERRORS:
            found = known.match(message)
            if found:
                message = found.expand(words)
                break
        raise OptionError(message, "re.error") from None


def _extension_error(rest):
    """What Python 2 says of what follows a parenthesis and a question mark, where it knows no such thing."""
    if rest[:1] == "P" and len(rest) > 1:
        return "unknown specifier: ?%s" % rest[:2]
    if rest[:1] == "<" and len(rest) > 1:
        return "syntax error"
    if rest[:1] in FLAGS and rest.lstrip("".join(FLAGS) + "Lu"):
        return "unknown extension"
    return "unexpected end of pattern"


def _as_python2(pattern):
    """The pattern as Python 3 reads it in the same way, and its flags."""
    out = []
    flags = 0
    in_class = False
    index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "(" and not in_class and pattern.startswith("?", index):
            inline = INLINE_FLAGS.match(pattern, index - 1)
            if inline:
                for letter in inline.group(1):
                    flags |= FLAGS.get(letter, 0)
                index = inline.end()
                continue
            if not EXTENSION.match(pattern, index - 1):
                raise OptionError(_extension_error(pattern[index + 1 :]), "re.error")
        octal = OCTAL.match(pattern, index - 1)
        if octal:
            out.append("\\x%02x" % (int(octal.group(1), 8) & 0xFF))
            index = octal.end()
            continue
        if char == "\\" and index < len(pattern):
            letter = pattern[index]
            index += 1
            stands_for_itself = (
                letter.isascii() and letter.isalpha() and letter not in PATTERN_LETTERS
            )
            out.append(letter if stands_for_itself else "\\" + letter)
            continue
        if char == "+" and not in_class and out and out[-1] in ("*", "+", "?", "}"):
            # Possessive repeats came with Python 3.11.
            raise OptionError("multiple repeat", "re.error")
        if char == "[" and not in_class:
            in_class = True
            out.append(char)
            for first in ("^", "]"):
                if pattern[index : index + 1] == first:
                    out.append("\\]" if first == "]" else first)
                    index += 1
            continue
        if char == "[" and in_class:
            char = "\\["
        if char == "]":
            in_class = False
        out.append(char)
    return "".join(out), flags


def admitted(patterns, name, address):
    """Whether a peer called `name` at `address` may talk to a listener with `patterns`."""
    # `match` is anchored at the start only, so "^10\.0\.0\.1" admits 10.0.0.12 too.
    return patterns is None or any(
        pattern.match(name) or pattern.match(address) for pattern in patterns
    )
