"""
Contents of xend's configuration file that are kept in the minion's cache, so that there is a way back: the
one that xend has started with (`started`), the last that was written from here (`written`), and the last that
xend has refused (`refused`).

They never lie beside the file, where xend's own tools or people might take them for a configuration. Nothing
here knows Salt, and what a content means is not known either.
"""

import logging
import os

log = logging.getLogger(__name__)

# No content is larger, see xend_file.
MOST_BYTES = 1048576

# A file is kept in no time.
LOCK_S = 10


def changed_at(path):
    """
    When the file got its content, at the latest, in seconds since the epoch: mv, cp -p, rsync and rpm put a
    file in place with an old mtime. A change of its mode counts too; a restart too many is the safe error.
    """
    seen = os.stat(path)
    return max(seen.st_mtime, seen.st_ctime)


def place(folder, path, what):
    """
    Where in the FOLDER the content of the file at PATH is kept: WHAT of them, see above.
    """
    name = os.path.realpath(path).strip("/").replace("/", ".")
    return os.path.join(folder, "%s.%s" % (name, what))


def kept(folder, path, what, utility):
    """
    The bytes of a content; None when there is none. UTILITY is a function from the name of another utility
    to that utility. Raises EnvironmentError when it cannot be read.
    """
    found = place(utility("xend_lock").private(folder), path, what)
    return utility("xend_lock").get(found, MOST_BYTES) if os.path.exists(found) else None


def keep(folder, path, what, data, utility):
    """
    Keep a content, when there is room for it: neither a good change nor the way back may fail for a full
    disk. Returns how it is kept, for a sentence.
    """
    try:
        found = place(utility("xend_lock").private(folder), path, what)
        utility("xend_file").replace(found, data, timeout_s=LOCK_S)
    except EnvironmentError as exc:
        log.warning("the %s content of %s could not be kept: %s", what, path, exc)
        why = [str(part) for part in (exc.filename, exc.strerror or exc) if part]
        return "nowhere (%s)" % ": ".join(why)
    return "as %s" % found


def remember(folder, path, process, utility):
    """
    Keep the content of the file when it is the one that the running xend has started with. PROCESS is that of
    xend_host.process, None when no xend runs.
    """
    if process and changed_at(path) < process["started"]:
        keep(folder, path, "started", utility("xend_file").read(path), utility)
