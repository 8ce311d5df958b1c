"""
What is kept of guests in a folder of their host when they are sent away: descriptions, and notes.

A note says that a guest was sent. It stays until the guest was seen to run somewhere else, whatever becomes
of those who wanted to look; so no guest can be missing without anybody knowing. What is to be concluded from
one is decided in xm_outcome.
"""

import errno
import json
import os
import re

NOTE, DESCRIPTION = ".sent", ".sxp"
WORDS = ("id", "name", "uuid", "target", "at", "what", "kept")


def label(text):
    """
    A name as part of a file name, not hidden and not in another folder, or of an event's tag.
    """
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text).lstrip(".-")


def description_file(folder, name, uuid):
    """
    The file in which the description of a guest is kept.
    """
    return os.path.join(folder, label("%s.%s" % (name, uuid)) + DESCRIPTION)


def note_file(folder, name, uuid):
    """
    The file in which the note on a guest is kept.
    """
    return os.path.join(folder, label("%s.%s" % (name, uuid)) + NOTE)


def note(words):
    """
    The bytes of a note.

    words
        a dict of text: `id`, which no other note has, `name` and `uuid` of the guest, `target`, the host that
        it is sent to, `at`, the time, `what`, the guest in words, and `kept`, the file with its description
    """
    return json.dumps(dict([(word, _decoded(words[word])) for word in WORDS])).encode("utf-8")


def _decoded(text):
    # Under Python 2, names of disks are bytes, in whatever encoding.
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def noted(folder):
    """
    The notes of a folder, each a dict as for `note`, by time. Of one that cannot be read there is what the
    name of its file tells. A folder that is missing has none. Raises EnvironmentError when the folder cannot
    be read.
    """
    try:
        names = os.listdir(folder)
    except EnvironmentError as exc:
        if exc.errno != errno.ENOENT:
            raise
        return []
    found = [_read(os.path.join(folder, name)) for name in names if name.endswith(NOTE)]
    return sorted([words for words in found if words], key=lambda words: (words["at"], words["name"]))


def _read(path):
    try:
        with open(path, "rb") as stream:
            words = json.loads(stream.read().decode("utf-8"))
        return dict([(word, _native(words[word])) for word in WORDS])
    except EnvironmentError as exc:
        # Somebody else has just removed it.
        if exc.errno == errno.ENOENT:
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    stem = path[: -len(NOTE)]
    name, _, uuid = os.path.basename(stem).rpartition(".")
    return {
        "id": "",
        "name": name,
        "uuid": uuid,
        "target": "another host",
        "at": "some time (%s cannot be read)" % path,
        "what": "uuid %s" % uuid,
        "kept": stem + DESCRIPTION,
    }


def _native(text):
    """
    Text as the type that messages are made of: bytes under Python 2.
    """
    return text if isinstance(text, str) else text.encode("utf-8")


def forget(folder, name, uuid, id_):
    """
    Remove the note on a guest, if it is the one with this id. Returns whether there is no note any more.
    """
    found = note_file(folder, name, uuid)
    words = _read(found)
    if words is None:
        return True
    if words["id"] != id_:
        return False
    os.unlink(found)
    return True
