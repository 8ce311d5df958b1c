"""
What hosts have told, before anybody believes it: whether it is of the agreed form, field by field.

Each host is root on itself only. What it says of itself may be wrong, and is judged elsewhere (xm_fleet);
what is no such statement at all must neither break what is said of the others nor reach a file, a command or
a terminal. Nothing here knows Salt.
"""

import numbers
import re
import unicodedata

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# Names, states and paths; sentences; and what xend prints of a guest.
WORD, SENTENCE, DESCRIPTION = 1024, 2000, 256 * 1024
# More domains than a Xen host of that age can have (dom0 has 4096 event channels at most, and each guest
# takes several), more devices than a guest can, and a list of words.
DOMAINS, DEVICES, WORDS = 1024, 256, 4096
# What a time or a size on a host can be at most.
LARGEST = 1 << 53
QUOTED = 60

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)

# Controls, what steers the direction of writing, what is no character, and ends of lines: a terminal obeys
# some, and a reader is deceived by others.
UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


class Wrong(ValueError):
    """
    A value that is not of the agreed form, with the way to it.
    """

    def __init__(self, why, value, way=""):
        ValueError.__init__(self, why)
        self.why, self.value, self.way = why, value, way

    def __str__(self):
        quoted = repr(self.value)
        quoted = quoted if len(quoted) <= QUOTED else quoted[:QUOTED] + "..."
        return legible("%s: %s is %s" % (self.way.lstrip(".") or "it", quoted, self.why), SENTENCE)


def legible(text, most=SENTENCE):
    """
    Text as it may be shown: what no terminal shall obey is written as an escape, and its end is cut off.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text if len(text) <= most else text[:most] + "..."
    return "".join([_shown(character) for character in text])


def is_uuid(value):
    """
    Whether this is the uuid of a domain, as `xm list --long` shows it.
    """
    return isinstance(value, TEXT) and UUID.match(value) is not None


def _shown(character):
    if unicodedata.category(character) not in UNPRINTABLE:
        return character
    number = ord(character)
    return "\\x%02x" % number if number < 256 else "\\u%04x" % number


# Forms: functions from a value, and the way to it, to the value as it is used; Wrong for another one.


def _text(most=WORD):
    """
    Text as it is: two hosts have to mean the same by it. Whoever shows it makes it legible.
    """

    def look(value, way):
        if not isinstance(value, TEXT) or len(value) > most:
            raise Wrong("no text of at most %d characters" % most, value, way)
        return value

    return look


def _name(value, way):
    """
    A name of a domain. xend has none with other characters (xend 3.1 XendDomainInfo._checkName; before, xm).
    """
    value = _text()(value, way)
    if not value or value != legible(value):
        raise Wrong("no name that a domain may have", value, way)
    return value


def _matching(pattern, what):
    def look(value, way):
        if not isinstance(value, TEXT) or not pattern.match(value):
            raise Wrong("no %s" % what, value, way)
        return value

    return look


def _whole(least=0, most=LARGEST):
    def look(value, way):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= value <= most:
            raise Wrong("no whole number from %d to %d" % (least, most), value, way)
        return value

    return look


def _number(value, way):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not -LARGEST < value < LARGEST:
        raise Wrong("no number of seconds", value, way)
    return value


def _flag(value, way):
    if value is not True and value is not False:
        raise Wrong("neither true nor false", value, way)
    return value


def _one_of(words):
    def look(value, way):
        if not isinstance(value, TEXT) or value not in words:
            raise Wrong("none of %s" % ", ".join(words), value, way)
        return value

    return look


def _maybe(form):
    return lambda value, way: None if value is None else form(value, way)


def _list(form, most):
    def look(value, way):
        if not isinstance(value, (list, tuple)) or len(value) > most:
            raise Wrong("no list of at most %d" % most, value, way)
        return [form(one, "%s[%d]" % (way, number)) for number, one in enumerate(value)]

    return look


def _table(form, most=WORDS):
    """
    A dict from text to what is of this form.
    """

    def look(value, way):
        if not isinstance(value, dict) or len(value) > most:
            raise Wrong("no mapping of at most %d" % most, value, way)
        key = _text()
        return dict([(key(name, way), form(one, "%s.%s" % (way, name))) for name, one in value.items()])

    return look


def _record(needed, others=()):
    """
    A dict with these fields, others of which may be missing, which are None then. What else there is, another
    version may know.
    """
    forms = dict(needed, **dict([(name, _maybe(form)) for name, form in dict(others).items()]))

    def look(value, way):
        if not isinstance(value, dict):
            raise Wrong("no mapping", value, way)
        for name in needed:
            if name not in value:
                raise Wrong("lacking %s" % name, sorted(["%s" % key for key in value])[:20], way)
        return dict([(name, form(value.get(name), "%s.%s" % (way, name))) for name, form in forms.items()])

    return look


_UUID = _matching(UUID, "uuid")
_DEVICE = _table(_maybe(_text()), 64)
_WORDS = _list(_text(), WORDS)

GUEST = _record(
    {"name": _name, "memory_mib": _whole(1)},
    {
        "uuid": _UUID,
        "domid": _whole(),
        "maxmem_mib": _whole(),
        "shadow_memory_mib": _whole(),
        "vcpus": _whole(),
        "state": _text(),
        "runs": _flag,
        "image": _text(),
        "image_files": _table(_text()),
        "nomigrate": _flag,
        "suspend_cancel": _flag,
        "disks": _list(_DEVICE, DEVICES),
        "vifs": _list(_DEVICE, DEVICES),
        "pci": _list(_DEVICE, DEVICES),
        "hardware": _list(_DEVICE, DEVICES),
        "vnc": _list(_DEVICE, DEVICES),
        "sdl": _WORDS,
        "chardevs": _WORDS,
        "sxp": _text(DESCRIPTION),
    },
)

HOST = _record(
    {},
    {
        "host": _text(),
        "xen": _list(_whole(0, 1000), 4),
        "tools": _list(_whole(0, 1000), 4),
        "extra": _text(),
        "machine": _text(),
        "caps": _WORDS,
        "virt_caps": _WORDS,
        "hw_caps": _text(),
        "vendor": _text(),
        "family": _whole(),
        "model_number": _whole(),
        "stepping": _whole(),
        "flags": _WORDS,
        "model": _text(),
        "free_mib": _whole(),
        "time": _number,
        "uptime_s": _number,
        "bridges": _WORDS,
        "interfaces": _WORDS,
        "bridge_ports": _table(_text()),
        "vif_script": _text(),
        "vnc_listen": _text(),
    },
)


def _view(copies):
    return _record(
        {"copy": _one_of(copies)},
        {
            "state": _text(16),
            "domid": _whole(),
            "listed": _name,
            "uuid": _UUID,
            "problem": _text(SENTENCE),
            "xend": _flag,
            "other": _text(),
            "devices_s": _number,
            "seconds": _number,
        },
    )


FILE = _record(
    {},
    {
        "name": _name,
        "uuid": _UUID,
        "auto_folder": _text(4096),
        "path": _text(4096),
        "mode": _whole(0, 4095),
        "auto": _text(),
        "shared": _WORDS,
        "problem": _text(SENTENCE),
        "seal": _text(2 * DESCRIPTION),
        "unchanged": _text(),
    },
)


def _report(copies):
    return _record(
        {"view": _view(copies)},
        {
            "domain": GUEST,
            "host": HOST,
            "announces": _flag,
            "follows": _flag,
            "stays_managed": _UUID,
            "problem": _text(SENTENCE),
            "xend": _flag,
            "seconds": _number,
        },
    )


NOTE = _record(
    {"id": _text(64), "name": _name, "uuid": _text(64), "target": _text(), "at": _text(), "what": _text()},
    {"kept": _text(), "over": _flag},
)


def _copies(copies):
    copy = _record(
        {"name": _name, "listed": _name, "copy": _one_of(copies)},
        {
            "uuid": _UUID,
            "domid": _whole(),
            "state": _text(16),
            "completed": _flag,
        },
    )
    return _record(
        {},
        {
            "copies": _list(copy, DOMAINS),
            "sent": _list(NOTE, DOMAINS),
            "completed": _flag,
            "devices_s": _number,
            "problem": _text(SENTENCE),
            "xend": _flag,
        },
    )


def _pair(words):
    def look(value, way):
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise Wrong("no pair of a verdict and a sentence", value, way)
        return [_one_of(words)(value[0], way + "[0]"), _text(SENTENCE)(value[1], way + "[1]")]

    return look


VERDICTS = ("same", "missing", "different", "unproved", "unchecked", "none")


def form_of(what, copies):
    """
    The form of an answer: a function from the answer to it as it is used. It raises ValueError, with the
    field and its value, for an answer of another form.

    what
        ``report`` (xm.report), ``copies`` (xm.copies), ``view`` (xm.where), ``file`` (xen_guest.sealed),
        ``verdicts`` (xm.same_disks), ``marked`` (xm.mark_disks)
    copies
        the words for what a host holds (xm_copies.words)
    """
    form = {
        "report": _report(copies),
        "copies": _copies(copies),
        "view": _view(copies),
        "file": FILE,
        "verdicts": _list(_pair(VERDICTS), DEVICES),
        "marked": _marked,
    }[what]
    return lambda value: form(value, "")


def _marked(value, way):
    """
    What is only handed on to the target, which judges it itself: data of a bounded size.
    """
    if not isinstance(value, dict):
        raise Wrong("no mapping", value, way)
    left = [20000]

    def count(one, depth):
        left[0] -= 1
        if left[0] < 0 or depth > 8:
            raise Wrong("too large", value, way)
        if isinstance(one, dict):
            return dict([(_text()(name, way), count(part, depth + 1)) for name, part in one.items()])
        if isinstance(one, (list, tuple)):
            return [count(part, depth + 1) for part in one]
        if one is None or isinstance(one, numbers.Real):
            return one
        if not isinstance(one, TEXT) or len(one) > WORD * 64:
            raise Wrong("no text of a bounded length", one, way)
        return one

    return count(value, 0)
