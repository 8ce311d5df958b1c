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
# Names that somebody may have meant.
NAMES = 8
# The disks of all guests of a host, together.
DISKS = 64 * DEVICES
# What a time or a size on a host can be at most.
LARGEST = 1 << 53
QUOTED = 60

TOKEN = re.compile(r"(none|[A-Za-z0-9-]{8,64})\Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)

# What needs no closer look.
PLAIN = re.compile(r"[ -~]*\Z")
# Controls, what steers the direction of writing, what is no character, and ends of lines: a terminal obeys
# some, and a reader is deceived by others.
UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


class Wrong(ValueError):
    """
    A value that is not of the agreed form, with the way to it.
    """

    def __init__(self, why, value, way=""):
        said = legible("%s: %s is %s" % (legible(way.lstrip(".")) or "it", _quoted(value), why), SENTENCE)
        ValueError.__init__(self, said)


def _quoted(value):
    """
    What is of the wrong form, as every Python writes it, and its beginning only.
    """
    if isinstance(value, TEXT + (bytes,)):
        return "'%s'" % "\\n".join([legible(line, QUOTED) for line in value[: QUOTED + 1].splitlines()])
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return "%d" % value if abs(value) < LARGEST else "a number"
    return str(value) if value is None or isinstance(value, (bool, float)) else "a %s" % type(value).__name__


def legible(text, most=SENTENCE):
    """
    Text as it may be shown: what no terminal shall obey is written as an escape, and its end is cut off.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text if len(text) <= most else text[:most] + "..."
    if PLAIN.match(text):
        return _native(text)
    return _native("".join([_shown(character) for character in text]))


def _native(value):
    """
    Text as the type that messages are made of: bytes under Python 2. Anything else as it is.
    """
    is_unicode = not isinstance(value, str) and hasattr(value, "encode")
    return value.encode("utf-8") if is_unicode else value


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


def _which(is_right, why):
    def look(value, way):
        if not is_right(value):
            raise Wrong(why, value, way)
        return _native(value)

    return look


def _text(most=WORD, but=None):
    """
    Text as it is, without BUT: two hosts have to mean the same by it. Whoever shows it makes it legible.
    """
    return _which(
        lambda value: isinstance(value, TEXT) and len(value) <= most and not (but and but in value),
        "no text of at most %d characters" % most,
    )


# xend has no name of a domain with other characters (xend 3.1 XendDomainInfo._checkName; before, xm).
_name = _which(
    lambda value: isinstance(value, TEXT) and 0 < len(value) <= WORD and _native(value) == legible(value),
    "no name that a domain may have",
)


def _whole(least=0, most=LARGEST):
    return _which(
        lambda value: isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and least <= value <= most,
        "no whole number from %d to %d" % (least, most),
    )


def _one_of(words):
    return _which(lambda value: isinstance(value, TEXT) and value in words, "none of %s" % ", ".join(words))


def _number(least=-LARGEST):
    return _which(
        lambda value: isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and least <= value < LARGEST,
        "no number of seconds",
    )


_flag = _which(lambda value: value is True or value is False, "neither true nor false")
_uuid = _which(is_uuid, "no uuid")
# That of a guest without disks is a word.
_token = _which(
    lambda value: isinstance(value, TEXT) and TOKEN.match(value), "not 8 to 64 letters, digits and hyphens"
)


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


def _record(needed, *others):
    """
    A dict with these fields.

    needed
        a dict from the names of those that have to be there to their forms
    others
        forms, each with the names of its fields: they may be missing, and are None then. What else there is,
        another version may know
    """
    forms = dict([(name, _maybe(form)) for form, names in others for name in names.split()], **needed)

    def look(value, way):
        if not isinstance(value, dict):
            raise Wrong("no mapping", value, way)
        for name in needed:
            if name not in value:
                raise Wrong("lacking %s" % name, sorted(["%s" % key for key in value])[:20], way)
        return dict([(name, form(value.get(name), "%s.%s" % (way, name))) for name, form in forms.items()])

    return look


_DEVICES = _list(_table(_maybe(_text()), 64), DEVICES)
_WORDS = _list(_text(), WORDS)
_VERSION = _list(_whole(0, 1000), 4)
# Of Xend for Salt. Hosts of older versions do not say theirs.
_MODULES = (_text(64), "modules")

GUEST = _record(
    {"name": _name, "memory_mib": _whole(1)},
    (_uuid, "uuid"),
    (_whole(), "domid maxmem_mib shadow_memory_mib vcpus"),
    (_text(), "state image"),
    (_flag, "runs nomigrate suspend_cancel"),
    (_table(_text()), "image_files"),
    (_DEVICES, "disks vifs pci hardware vnc"),
    (_WORDS, "sdl chardevs"),
    (_text(DESCRIPTION), "sxp"),
)

HOST = _record(
    {},
    (_text(but="\0"), "host extra machine hw_caps vendor model vif_script vnc_listen"),
    (_VERSION, "xen tools"),
    (_whole(), "family model_number stepping free_mib"),
    (_number(0), "time uptime_s"),
    (_WORDS, "caps virt_caps flags bridges interfaces"),
    (_table(_text()), "bridge_ports"),
)

FILE = _record(
    {},
    (_name, "name"),
    (_uuid, "uuid"),
    (_text(4096), "auto_folder path"),
    (_whole(0, 4095), "mode"),
    (_text(), "auto unchanged"),
    (_WORDS, "shared"),
    (_text(SENTENCE), "problem"),
    (_text(2 * DESCRIPTION), "seal"),
)

# The disks of a guest, as its description has them and as `xm_disks.look` has seen them, and their markers.
_PATH = _text(4096, "\0")
_SEEN = _record(
    {"uname": _PATH, "kind": _text(), "read_only": _flag, "device": _flag, "ids": _table(_text(4096), 16)},
    (_PATH, "dev path problem name signature"),
    (_whole(0, 1 << 64), "size inode"),
)
MARKED = _record(
    {"disks": _list(_record({}, (_PATH, "uname dev mode")), DISKS), "token": _token},
    (_list(_SEEN, DISKS), "there"),
    (_list(_record({"path": _PATH}, (_PATH, "problem")), DISKS), "marks"),
    # That is judged word by word in xm_drbd.
    (_table(lambda value, way: value, DISKS), "drbd"),
)

# What a host says of the safety copy of a guest that it has sent (see xm_kept.safety).
SAFETY_STATES = ("none", "growing", "complete", "given up", "removed", "broken")
HEARD = ("ok", "err", "silence", "broken", "unanswered")
SAFETY = _record(
    {"state": _one_of(SAFETY_STATES)},
    (_one_of(HEARD), "heard"),
    (_text(SENTENCE), "said why"),
    (_text(4096), "path"),
    (_text(), "phase restoring_at restored_at"),
    (_whole(), "bytes"),
    (_flag, "alive live refused recent tried"),
    (_number(0), "began_at sent_at stood_still_s"),
)

NOTE = _record(
    {"id": _text(64), "name": _name, "uuid": _text(64), "target": _text(), "at": _text(), "what": _text()},
    (_text(), "kept"),
    (_flag, "over"),
    # Hosts of older versions say nothing of it.
    (SAFETY, "safety"),
)

# Why a host does not say it, and whether a xend runs there.
_SILENCE = ((_text(SENTENCE), "problem"), (_flag, "xend"))


def _marked(value, way):
    """
    What `xm.mark_disks` has returned, or why it could not.
    """
    is_silent = isinstance(value, dict) and value.get("problem")
    return (_record({}, *_SILENCE) if is_silent else MARKED)(value, way)


def _view(copies):
    return _record(
        {"copy": _one_of(copies)},
        (_text(16), "state"),
        (_whole(), "domid"),
        (_name, "listed"),
        (_uuid, "uuid"),
        (_text(), "other"),
        (_number(), "devices_s seconds"),
        # Hosts of older versions offer no names that are like it.
        (_list(_name, NAMES), "near"),
        *_SILENCE
    )


def _report(copies):
    return _record(
        {"view": _view(copies)},
        (GUEST, "domain"),
        (HOST, "host"),
        (_flag, "announces follows configured guarded"),
        (_uuid, "stays_managed"),
        (_marked, "marked"),
        # Hosts of older versions do not know that they may be closed.
        (_text(2 * SENTENCE), "wrong closed"),
        (_number(), "seconds"),
        _MODULES,
        *_SILENCE
    )


def _copy(copies):
    return _record(
        {"name": _name, "listed": _name, "copy": _one_of(copies)},
        (_uuid, "uuid"),
        (_whole(), "domid"),
        (_text(16), "state"),
        (_flag, "completed"),
    )


def _copies(copies):
    return _record(
        {},
        (_list(_copy(copies), DOMAINS), "copies"),
        (_list(NOTE, DOMAINS), "sent"),
        (_flag, "completed created"),
        (_number(), "devices_s"),
        _MODULES,
        *_SILENCE
    )


_SENTENCES = _list(_text(2 * SENTENCE), WORDS)
_PROMISED = _record({"name": _text(), "memory_mib": _whole(), "says": _text(SENTENCE)})


def _survey(copies):
    guest = _record(
        {"name": _name, "view": _view(copies), "blockers": _SENTENCES, "warnings": _SENTENCES},
        (_uuid, "uuid stays_managed"),
        (GUEST, "domain"),
    )
    return _record(
        {},
        (HOST, "host"),
        (_whole(), "dom0_mib"),
        (_list(_PROMISED, DOMAINS), "promised"),
        (_flag, "configured guarded follows"),
        (_list(guest, DOMAINS), "guests"),
        (_table(_SENTENCES, DOMAINS), "doors"),
        (_list(_copy(copies), DOMAINS), "seen"),
        (_list(_name, DOMAINS), "near"),
        (_marked, "marked"),
        (_text(2 * SENTENCE), "wrong closed"),
        (_number(), "seconds"),
        _MODULES,
        *_SILENCE
    )


_FITTING = _record(
    {"name": _name, "blockers": _SENTENCES, "warnings": _SENTENCES},
    (_uuid, "uuid"),
    (_whole(), "needed_mib takes_mib"),
)
ROOM = _record({"guests": _list(_FITTING, DOMAINS)}, *_SILENCE)


# What a host keeps in mind of an evacuation; it reads its own file by this, too.
AWAY = _record({"name": _name, "uuid": _uuid, "target": _text()})
EVACUATION = _record(
    {"closed": _flag, "guests": _list(AWAY, DOMAINS)},
    (_text(), "since who"),
    (_text(SENTENCE), "problem"),
)

# What a host is to put in order when guests have moved. What other hosts claim is judged in xm_fleet.
_FORGET = _record({"name": _name, "uuid": _text(64), "note": _text(64)}, (_table(_text()), "claims"))
SHARE = _record(
    {},
    (_list(_FORGET, DOMAINS), "forget"),
    (_list(_uuid, DOMAINS), "home"),
    (_list(_name, DOMAINS), "release"),
)

_ANSWER = _record({"result": _text(16), "message": _text(SENTENCE)})
OUTLOOK = _record(
    {"answers": _table(_ANSWER, DOMAINS)},
    (_text(64), "version"),
    (_WORDS, "pending"),
    # Hosts of older versions do not say these.
    (_whole(), "free_mib guests"),
    (_text(SENTENCE), "closed"),
    (_text(SENTENCE), "problem"),
    _MODULES,
)

# What is told of a transfer on Salt's bus (see xm_progress.Progress).
PROGRESS = _record(
    {"domain": _name, "phase": _text(16)},
    (_text(64), "uuid"),
    (_text(), "source target"),
    (_whole(0, 100), "percent"),
    (_whole(), "bytes pages iteration"),
    (_number(0), "rate_mib_s left_s elapsed_s"),
    (_text(SENTENCE), "line"),
)


def _migrations(copies):
    migration = _record(
        {"name": _name, "copy": _one_of(copies)},
        (_uuid, "uuid"),
        (_text(), "other"),
        (_whole(), "memory_mib bytes"),
        (_number(0), "rate_mib_s seconds"),
    )
    expected = _record({"name": _name}, (_text(), "who"))
    held = _record({"name": _name, "copy": _one_of(copies)}, (_uuid, "uuid"))
    return _record(
        {"migrations": _list(migration, DOMAINS)},
        (_list(expected, DOMAINS), "expected"),
        (_list(held, DOMAINS), "held"),
        *_SILENCE
    )


def form_of(what, copies=()):
    """
    The form of an answer: a function from the answer to it as it is used. It raises ValueError, with the
    field and its value, for an answer of another form.

    what
        ``report`` (xm.report), ``copies`` (xm.copies), ``view`` (xm.where), ``file`` (xen_guest.sealed),
        ``outlook`` (xend.outlook), ``host`` (xm.host), ``marked`` (xm.mark_disks), ``evacuation``
        (xm.evacuation), ``share`` (what xm.settle_moves takes for one host), ``migrations`` (xm.migrations),
        ``progress`` (an event that tells how far a migration is), ``survey`` (xm.survey), ``room``
        (xm.room_for)
    copies
        the words for what a host holds (xm_copies.words)
    """
    form = {
        "report": _report(copies),
        "copies": _copies(copies),
        "view": _view(copies),
        "file": FILE,
        "outlook": OUTLOOK,
        "host": HOST,
        "marked": MARKED,
        "evacuation": EVACUATION,
        "share": SHARE,
        "migrations": _migrations(copies),
        "progress": PROGRESS,
        "survey": _survey(copies),
        "room": ROOM,
    }[what]
    return lambda value: form(value, "")


def told(argument, value, what, function, copies=()):
    """
    What somebody has given for an ARGUMENT, in the form of what a FUNCTION returns; see `form_of`.
    """
    try:
        return form_of(what, copies)(value)
    except ValueError as exc:
        raise ValueError("%s: %s; give what %s returns" % (argument, exc.args[0], function))
