"""
Keeping things on this host apart: locks that die with their holder, and reservations that expire.

What is locked or reserved, and what a refusal says, is not known here, and neither is Salt.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import time

# Nothing that is reserved here takes longer; what claims to was written before the clock was set back.
MAX_S = 600

# The lock that guards reservations is held for a few file operations.
BOOKS_S = 10

POLL_S = 0.05
RESERVED = re.compile(r"\..*\.reserved\Z")


class Held(ValueError):
    """
    A lock is not free. `who` is what its holder said of itself, "" when it said nothing.
    """

    def __init__(self, message, who):
        ValueError.__init__(self, message)
        self.who = who


def hold(folder, name, shared=False, who="", wait_s=0):
    """
    Hold a lock of this host while the `with` block runs.

    folder
        where the lock files are; made when it is missing, for its owner only
    name
        which lock: any text
    shared
        let others hold it too, as long as they all share it
    who
        what the holder does, for those who are refused; its process id and the time are added. A
        shared holder without it leaves what another one wrote
    wait_s
        seconds to wait until it is free

    Returns a context manager. Entering it raises Held when the lock is not free in time, and
    EnvironmentError when there can be no lock. The kernel frees the lock when this process ends,
    however it does; programs started meanwhile do not inherit it.
    """
    # Undecorated: the modules take a utility out of Salt's wrapper by `__wrapped__`, and contextlib
    # keeps the bare generator under that name.
    return _holding(folder, name, shared, who, wait_s)


@contextlib.contextmanager
def _holding(folder, name, shared, who, wait_s):
    _make(folder)
    # The file stays for good: who waits for a removed one would hold a lock that nobody else sees.
    descriptor = _open(os.path.join(folder, ".%s.lock" % _label(name)), os.O_RDWR)
    try:
        _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, name, wait_s)
        try:
            if who or not shared:
                _write_who(descriptor, who, shared)
            yield
        finally:
            if not shared:
                # The next holder would be taken for this one until it has written its own.
                os.ftruncate(descriptor, 0)
            # Closing is not enough: a forked child has the same lock through its own descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _make(folder):
    try:
        os.makedirs(folder, 0o700)
    except EnvironmentError:
        if not os.path.isdir(folder):
            raise


def _label(name):
    """
    A name as part of a file name. xend allows a slash in the name of a domain (xend 3.0 to 4.x
    XendDomainInfo, check_name or _checkName).
    """
    return re.sub(r"[^A-Za-z0-9_.:+-]", lambda found: "%%%04x" % ord(found.group()), name)


def _open(path, flags):
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    # Else, under Python 2, a xend that is started would inherit it for as long as it runs.
    fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return descriptor


def _clock():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    return os.times()[4]


def _lock(descriptor, kind, name, wait_s):
    deadline = _clock() + wait_s
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except EnvironmentError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if _clock() >= deadline:
            who = _read_who(descriptor)
            raise Held(
                "%s is locked (%s); try again when that is over" % (name, who or "another process"), who
            )
        time.sleep(POLL_S)


def _write_who(descriptor, who, shared):
    facts = [who] if who else []
    facts += ["pid %d" % os.getpid(), time.strftime("since %H:%M:%S")]
    # Of all that share the lock, the last one has its say.
    line = "%s%s\n" % ("for instance " if shared else "", ", ".join(facts).replace("\n", " "))
    data = line if isinstance(line, bytes) else line.encode("utf-8", "replace")
    try:
        # The old text goes last, so that there is a whole first line at any moment.
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, os.write(descriptor, data))
    except EnvironmentError:
        # On a full disk the lock holds all the same.
        pass


def _read_who(descriptor):
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _native(os.read(descriptor, 4096).decode("utf-8", "replace")).partition("\n")[0]


def _native(text):
    """
    Text as the type that messages are made of: bytes under Python 2.
    """
    return text if isinstance(text, str) else text.encode("utf-8")


# Reservations


def reserve(folder, name, who, seconds, now):
    """
    Announce something that this host must be ready for, like the arrival of a guest.

    folder
        as for `hold`
    name
        what is expected; a second reservation of that name takes the place of the first
    who
        where it comes from, in words for people
    seconds
        for how long, more than 0 and at most MAX_S
    now
        the time, in seconds since the epoch

    Returns {"name", "who", "until"} (seconds since the epoch) once it is on the disk. Raises
    ValueError for seconds that are out of range, EnvironmentError when it cannot be written.
    """
    if not 0 < seconds <= MAX_S:
        raise ValueError("seconds: %s is not more than 0 and at most %d" % (seconds, MAX_S))
    made = {"name": name, "who": who, "until": now + seconds}
    with _books(folder):
        _replace(_reservation(folder, name), json.dumps(made))
    return made


def reserved(folder, now):
    """
    The reservations that hold at the time NOW, in seconds since the epoch.

    Returns a list of dicts as `reserve` does, in the order of their end. What has expired, cannot be
    understood or ends later than any reservation made now could is ignored and removed.
    """
    found = []
    with _books(folder):
        for file_name in os.listdir(folder):
            path = os.path.join(folder, file_name)
            if not RESERVED.match(file_name):
                continue
            made = _understood(path)
            if made and now < made["until"] <= now + MAX_S:
                found.append(made)
            else:
                os.unlink(path)
    return sorted(found, key=lambda made: (made["until"], made["name"]))


def release(folder, name):
    """
    End a reservation before its time. Returns whether there was one.
    """
    with _books(folder):
        try:
            os.unlink(_reservation(folder, name))
        except EnvironmentError as exc:
            if exc.errno != errno.ENOENT:
                raise
            return False
    return True


def _books(folder):
    """
    Without this lock, one who removes an expired reservation could hit the one that replaces it.
    """
    return hold(folder, "reservations", wait_s=BOOKS_S)


def _reservation(folder, name):
    return os.path.join(folder, ".%s.reserved" % _label(name))


def _understood(path):
    with open(path, "rb") as stream:
        data = stream.read()
    try:
        made = json.loads(data.decode("utf-8"))
        return {
            "name": _native(made["name"]),
            "who": _native(made["who"]),
            "until": float(made["until"]),
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _replace(path, text):
    temporary = path + ".new"
    descriptor = _open(temporary, os.O_WRONLY | os.O_TRUNC)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except EnvironmentError:
        os.unlink(temporary)
        raise
    # The new name is on the disk only when the folder is.
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
