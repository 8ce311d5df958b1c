"""
What is kept of guests in a folder of their host when they are sent away: descriptions, notes, and of those
that were sent through a relay what that has said, and their safety copy (see xm_relay).

A note says that a guest was sent. It stays until the guest was seen to run somewhere else, whatever becomes
of those who wanted to look; so no guest can be missing without anybody knowing. What is to be concluded from
one is decided in xm_fleet; here only whether it may yet be sent. A safety copy is the memory of a guest, so
that it goes before the note that tells of it.
"""

import errno
import hashlib
import json
import os
import re
import stat
import struct

NOTE, DESCRIPTION, TOLD, RELAY, COPY = ".sent", ".sxp", ".told.sxp", ".relay", ".save"
WORDS = ("id", "name", "uuid", "target", "at", "what", "kept")
# By which it can be told later whether xend may still be about to send the guest; older notes lack them.
TRACES = ("domid", "xend", "up_s")
# Of a guest that is brought back from its safety copy, or goes on without it: when that was begun; and of the
# former when it was seen to run, and for how many seconds it had stood still.
TRACES += ("restoring_at", "restored_at", "stood_still_s")
# What the relay keeps, when there was one.
FILES = ("relay", "copy")

# What nobody needs who sends guests, and who reads notes shall not have to read.
MOST_NOTES = 1000
NOTE_BYTES = 262144

# For how long nobody will have started a guest afresh that is missing, nor have shut it down again.
RECENT_S = 3600

# How a file of `xm save` begins, before the length of the description; and how long that can be at most.
SIGNATURE = b"LinuxGuestRecord"
DESCRIPTION_BYTES = 1 << 20

# Of a name and a uuid in the name of a file, which has 255 letters at most.
LABEL_LETTERS = 200

# Far more than any domain's id or any uptime.
MOST_NUMBER = 10 ** 12

# xend looks for memory for a minute at most (xend 4.4 balloon.free); the rest is waiting for a name server.
UNSEEN_S = 600


def label(text):
    """
    A name as part of a file name, not hidden and not in another folder, or of an event's tag.
    """
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text).lstrip(".-")


def description_file(folder, name, uuid):
    """
    The file in which the description of a guest is kept.
    """
    return os.path.join(folder, _stem(name, uuid) + DESCRIPTION)


def told_file(folder, name, uuid):
    """
    The file in which it is kept as another host has told it: never in the place of one that is complete.
    """
    return os.path.join(folder, label("%s.%s" % (name, uuid)) + TOLD)


def without_passwords(text, source):
    """
    The content of a file with a description that lacks passwords. xm does not read it, a lone `)` being a
    syntax error to every version of it: it would start the guest with the words that stand for a password.
    """
    source = " ".join(source.split())
    lines = [
        "# What %s has told of this guest: (not shown) stands for each password." % source,
        "# The complete description is kept on %s. To use this one, put the passwords in and" % source,
        "# remove the line with the parenthesis, for which xm refuses this file.",
        ")",
        text,
    ]
    return "\n".join(lines)


def note_file(folder, name, uuid):
    """
    The file in which the note on a guest is kept.
    """
    return os.path.join(folder, _stem(name, uuid) + NOTE)


def relay_file(folder, name, uuid):
    """
    The file in which the relay says how far a guest is that it sends.
    """
    return os.path.join(folder, _stem(name, uuid) + RELAY)


def copy_file(folder, name, uuid):
    """
    The file with the safety copy of a guest; FOLDER may be another one than that of the notes.
    """
    return os.path.join(folder, _stem(name, uuid) + COPY)


def _stem(name, uuid):
    stem = label("%s.%s" % (name, uuid))
    if len(stem) <= LABEL_LETTERS:
        return stem
    raw = stem if isinstance(stem, bytes) else stem.encode("utf-8", "replace")
    return "%s.%s" % (stem[: LABEL_LETTERS - 41], hashlib.sha256(raw).hexdigest()[:40])


def note(words):
    """
    The bytes of a note.

    words
        a dict of text: `id`, which no other note has, `name` and `uuid` of the guest, `target`, the host that
        it is sent to, `at`, the time, `what`, the guest in words, and `kept`, the file with its description;
        and as far as they are known `domid`, the guest's (None for a managed one, which xend may start anew
        as the same one), `xend`, the identity of the process that is to send it, and `up_s`, how long the
        host was up then, in seconds; and for one that is sent through a relay `relay`, the file in which that
        says how far it is, and `copy`, that of its safety copy if there shall be one
    """
    made = dict([(word, _decoded(words[word])) for word in WORDS])
    made.update([(trace, words[trace]) for trace in TRACES if words.get(trace) is not None])
    made.update([(file, _decoded(words[file])) for file in FILES if words.get(file) is not None])
    return json.dumps(made).encode("utf-8")


def _decoded(text):
    # Under Python 2, names of disks are bytes, in whatever encoding.
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


# Of a guest that was sent, when nobody looks at both hosts who would see to that.
FORGET = (
    "when xm.arrival on %(target)s says that it runs there, and only then, `xm.forget %(name)s %(uuid)s "
    "%(id)s` on %(host)s ends the note that it was sent"
)
FIND_NOTE = (
    "%(host)s still has the note that it was sent from there: xm.unfinished on %(host)s says how to end it"
)


def how_to_forget(made, host):
    """
    What ends a note, MADE on this HOST, in words.
    """
    return FORGET % dict(made, host=host)


def where_to_forget(host):
    """
    The same for the target of a guest, which has not got the note of its source, this HOST.
    """
    return FIND_NOTE % {"host": host}


def noted(folder, utility):
    """
    The notes of a folder, each a dict as for `note`, by time. Of one that cannot be read there is what the
    name of its file tells. A folder that is missing has none. UTILITY is a function from the name of another
    utility to that utility. Raises EnvironmentError when the folder cannot be read, or holds more notes than
    anybody can have made.
    """
    try:
        names = os.listdir(folder)
    except EnvironmentError as exc:
        if exc.errno != errno.ENOENT:
            raise
        return []
    names = [name for name in names if name.endswith(NOTE)]
    if len(names) > MOST_NOTES:
        raise IOError(
            errno.EFBIG,
            "has %d notes (*%s), and more than %d are not read: look with xm.where on all hosts where these "
            "guests are, and remove the notes on those that run" % (len(names), NOTE, MOST_NOTES),
            folder,
        )
    found = [_read(os.path.join(folder, name), utility) for name in names]
    return sorted([words for words in found if words], key=lambda words: (words["at"], words["name"]))


def _read(path, utility):
    try:
        words = json.loads(utility("xend_lock").get(path, NOTE_BYTES).decode("utf-8"))
        native = utility("xend_text").native
        made = dict([(word, _text(native(words[word]))) for word in WORDS])
        made.update([(trace, _trace(native(words[trace]))) for trace in TRACES if trace in words])
        made.update([(file, _text(native(words[file]))) for file in FILES if words.get(file) is not None])
        return made
    except EnvironmentError as exc:
        # Somebody else has just removed it.
        if exc.errno == errno.ENOENT:
            return None
    except (KeyError, TypeError, ValueError, RuntimeError):
        # The last one for lists in lists without end.
        pass
    stem = path[: -len(NOTE)]
    name, _, uuid = os.path.basename(stem).rpartition(".")
    # Nobody can tell whether that is complete, nor shall it be thrown away unseen.
    beside = "; %s may have its memory" % (stem + COPY) if os.path.lexists(stem + COPY) else ""
    return {
        "id": "",
        "name": name,
        "uuid": uuid,
        "target": "another host",
        "at": "some time (%s cannot be read%s)" % (path, beside),
        "what": "uuid %s" % uuid,
        "kept": stem + DESCRIPTION,
    }


def _text(value):
    if not hasattr(value, "upper"):
        raise ValueError(value)
    return value


def _trace(value):
    """
    A number that can be counted with, or text. None for anything else.
    """
    if hasattr(value, "upper"):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) < MOST_NUMBER else None


def is_over(made, now):
    """
    Whether what a note tells of has certainly ended, when its guest runs where it was sent from: xend is not
    about to send it any more, nor is anybody about to ask xend for that.

    made
        a note, as `noted` returns it
    now
        what is seen on that host: a dict with `domid` of the guest that runs; `xend` and `up_s` as for
        `note`; `asked`, whether a job holds this guest or an `xm migrate` runs; and `sends`, whether xend
        has, or is opening, a connection to send any guest (None: not known)

    Before xend has connected to the target nothing shows that it will: it looks for memory first, calls the
    tool for devices if there is one, and resolves a name (xend 3.0.3 to 4.4 XendDomain.domain_migrate). So
    one of these has to be true as well. Another process of xend runs than the one that was asked, with whose
    threads all that it was asked for has gone. Or the guest has another id: it has left and come back, or was
    created anew, and the domain that was to be sent is no more (xend keeps to the one that it has looked up
    at first). Or all that takes a while has had its time, UNSEEN_S. Or it was lost and brought back since.
    """
    if now["asked"] or now["sends"] is not False or not now["xend"]:
        return False
    if made.get("restored_at"):
        return True
    if made.get("xend") and made["xend"] != now["xend"]:
        return True
    if made.get("domid") is not None and now["domid"] is not None and made["domid"] != now["domid"]:
        return True
    if made.get("xend") and made.get("up_s") is not None and now["up_s"] is not None:
        return now["up_s"] - made["up_s"] > UNSEEN_S
    return False


def files(folder, made):
    """
    What a relay may have left of a guest: the copy first, because nobody may believe in one that is half
    removed, and what the relay says of it after that.

    folder, made
        that of the notes, and the note on the guest, or a dict with its `name` and `uuid`
    """
    name, uuid = made["name"], made["uuid"]
    copies, says = [copy_file(folder, name, uuid)], [relay_file(folder, name, uuid)]
    # What a note names is removed only when it can be nothing else.
    for found, key in ((copies, "copy"), (says, "relay")):
        path = made.get(key) or ""
        if os.path.isabs(path) and os.path.basename(path) == os.path.basename(found[0]):
            found.append(path)
    # What a relay was about to say when it was killed.
    says += ["%s/.%s.new" % os.path.split(path) for path in says]
    return sorted(set(copies)) + sorted(set(says), reverse=True)


def safety(made, said, now, problem=None):
    """
    What has become of the safety copy of a guest.

    made
        the note on the guest, as `noted` returns it
    said
        what its relay says (xm_relay.status); None when there is nothing
    now
        seconds since 1970
    problem
        why that cannot be read, if so

    Returns None for a guest that was sent without a relay, else a dict: `state`: "none" (there is to be
    none), "growing", "complete" (the guest can be restored from it), "given up", "removed", or "broken", with
    the reason in `why`; `path`, `bytes`; what the relay has heard of the target (`heard`, `said`), `phase`,
    whether it is still `alive`, and of the transfer `live`, `began_at` and `sent_at`; `refused`, whether the
    target has certainly not run the guest because of an error that it has told; `recent`, whether it has left
    so short a time ago that nobody can have started it elsewhere, and shut it down again, without anybody
    knowing; `tried`, whether a restore was begun of which nobody has seen the end; and as in the note
    `restoring_at`, `restored_at` and `stood_still_s`. A copy is complete only when the relay has said so, and
    the file is what it has said: one that anybody else may have written to is not restored.
    """
    if not made.get("relay"):
        return None
    # A relay that says what another one was started for has nothing to do with this guest.
    said = said if said and said.get("id") == made["id"] else {}
    copy = said.get("copy") or {}
    found = dict([(key, said.get(key)) for key in ("heard", "said", "phase", "live", "began_at", "sent_at")])
    found.update([(trace, made.get(trace)) for trace in ("restoring_at", "restored_at", "stood_still_s")])
    # A guest that is managed may run when that is told: after it, xend writes its configuration (xend 4.4
    # XendDomain.domain_restore_fd). Any other is unpaused last.
    found["refused"] = found["heard"] == "err" and made.get("domid") is not None
    found["recent"] = found["sent_at"] is not None and 0 <= now - found["sent_at"] < RECENT_S
    found["tried"] = found["restoring_at"] is not None
    found.update(alive=bool(said.get("alive")), path=copy.get("path") or made.get("copy"))
    found.update(state=copy.get("state") or "none", bytes=copy.get("bytes"), why=copy.get("why"))
    if made.get("restored_at"):
        found["state"], problem = "removed", None
    elif problem:
        pass
    elif not said and made.get("copy"):
        problem = "what its relay has said is gone"
    elif found["state"] == "growing" and not found["alive"]:
        problem = "its relay has died"
    elif found["state"] == "complete":
        problem = _wrong_file(found["path"], found["bytes"])
    return dict(found, state="broken", why=problem) if problem else found


def described(path):
    """
    The description of a guest at the beginning of its safety copy, as bytes: what xend writes there, and `xm
    restore` reads (xend 3.0.3 to 4.4 XendCheckpoint.save, .restore). Raises EnvironmentError when it cannot
    be read, and ValueError when there is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as stream:
        head = stream.read(len(SIGNATURE) + 4)
        if len(head) < len(SIGNATURE) + 4 or not head.startswith(SIGNATURE):
            raise ValueError("%s does not begin as a guest that was saved" % path)
        (size,) = struct.unpack("!i", head[len(SIGNATURE) :])
        data = stream.read(size) if 0 < size <= DESCRIPTION_BYTES else b""
    if not data or len(data) != size:
        raise ValueError("%s has no description of its guest" % path)
    return data


def _wrong_file(path, size):
    """
    Why the file of a copy is not what its relay has written; None when it is.
    """
    try:
        seen = os.lstat(path)
    except (EnvironmentError, TypeError) as exc:
        return "%s: %s" % (path, getattr(exc, "strerror", None) or "no path")
    if not stat.S_ISREG(seen.st_mode):
        return "%s is no file" % path
    if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
        return "%s belongs to user %d, mode %04o: others may have written to it" % (
            path,
            seen.st_uid,
            stat.S_IMODE(seen.st_mode),
        )
    if seen.st_size != size:
        return "%s has %d bytes instead of %s" % (path, seen.st_size, size)
    return None


def forget(folder, name, uuid, id_, utility):
    """
    Remove the note on a guest, if it is the one with this id, after what a relay has left of it. Returns
    whether there is no note any more.
    """
    found = note_file(folder, name, uuid)
    words = _read(found, utility)
    if words is not None and words["id"] != id_:
        return False
    for path in files(folder, dict(words or {}, name=name, uuid=uuid)):
        _remove(path)
    _remove(found)
    return True


def _remove(path):
    try:
        os.unlink(path)
    except EnvironmentError as exc:
        # It has been removed already, or with all of its folder.
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
