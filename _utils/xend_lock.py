"""
Keeping things on this host apart: locks that die with their holder, and reservations that expire. And the
folder that they are in, with all that is kept there for nobody else.

What is locked, reserved or kept, and what a refusal says, is not known here, and neither is Salt.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import time

# Nothing that is reserved here takes longer; what claims to was written before the clock was set back.
MAX_S = 600

# The lock that guards reservations is held for a few file operations.
BOOKS_S = 10

POLL_S = 0.05
RESERVED = re.compile(r"\..*\.reserved\Z")

# A reservation is a few words.
RESERVATION_BYTES = 65536

# Of a name in the name of a file, which has 255 letters at most.
LABEL_LETTERS = 200


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


def hold_or_raise(error, refusal, folder, name, shared=False, who="", wait_s=0):
    """
    The same, for those who raise errors of one class.

    error
        that class: what is raised, with a text
    refusal
        what is said when the lock is not free in time, with a place for what its holder says of itself
    """
    return _holding_or_raising(error, refusal, folder, name, shared, who, wait_s)


@contextlib.contextmanager
def _holding_or_raising(error, refusal, folder, name, shared, who, wait_s):
    lock = _holding(folder, name, shared, who, wait_s)
    # Not by `with`: an error inside the block is not one of the lock.
    try:
        lock.__enter__()
    except Held as exc:
        raise error(refusal % (exc.who or "another process"))
    except EnvironmentError as exc:
        raise error(unusable(folder, exc))
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def unusable(folder, exc):
    """
    What is said when such a folder cannot be used because of an EnvironmentError.
    """
    return "%s: %s; locks and reservations need this folder (option xend:kept)" % (
        exc.filename or folder,
        exc.strerror or exc,
    )


@contextlib.contextmanager
def _holding(folder, name, shared, who, wait_s):
    private(folder)
    # The file stays for good: who waits for a removed one would hold a lock that nobody else sees.
    descriptor = _open(os.path.join(folder, ".%s.lock" % _label(name)), os.O_RDWR | os.O_CREAT)
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


# Where nobody else may write


def private(folder):
    """
    See that a folder is this user's alone to write to; it is made, for him only, when it is missing.

    Who may write there could put a link in the way of a file, or a note about a guest that was never sent.
    Returns the folder. Raises EnvironmentError, whose text says what to do, for one that belongs to somebody
    else, that others may write to, or that was put there as a link by somebody else.
    """
    try:
        os.makedirs(folder, 0o700)
    except EnvironmentError:
        if not os.path.isdir(folder):
            raise
    link, found, user = os.lstat(folder), os.stat(folder), os.geteuid()
    if link.st_uid not in (0, user):
        _refuse(folder, "was put there as a link by user %d: remove it" % link.st_uid)
    if found.st_uid != user:
        _refuse(
            folder,
            "belongs to user %d, not to user %d, as whom this runs, so that nothing in it can be relied on: "
            "look who made it, and remove it, chown it, or name another folder" % (found.st_uid, user),
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        _refuse(
            folder,
            "others than its owner may write there (mode %04o), so that nothing in it can be relied on: "
            "remove what is not yours in it, and chmod 700 it" % stat.S_IMODE(found.st_mode),
        )
    return folder


def _refuse(path, why):
    raise IOError(errno.EPERM, why, path)


def _open(path, flags):
    """
    A descriptor of a file that is this user's own: no link is followed, neither a symbolic nor a hard one,
    and nothing is waited for that is no file.
    """
    # The flag that reads at once what a FIFO has; for a file it means nothing.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
            _refuse(path, "is no file of this user's own, which only that is read or written: remove it")
        # Else, under Python 2, a xend that is started would inherit it for as long as it runs.
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    except EnvironmentError:
        os.close(descriptor)
        raise
    return descriptor


def get(path, most_bytes):
    """
    The bytes of a file that is kept in such a folder. Raises EnvironmentError when it cannot be read, is no
    file of this user's own, or is larger than MOST_BYTES.
    """
    descriptor = _open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise IOError(errno.EFBIG, "is larger than %d bytes" % most_bytes, path)
    return data


def _label(name):
    """
    A name as part of a file name. xend allows a slash in the name of a domain (xend 3.0 to 3.4
    XendDomainInfo, check_name or _checkName), and any length.
    """
    label = re.sub(r"[^A-Za-z0-9_.:+-]", lambda found: "%%%04x" % ord(found.group()), name)
    if len(label) <= LABEL_LETTERS:
        return label
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "replace")
    return "%s%%%s" % (label[: LABEL_LETTERS - 41], hashlib.sha256(raw).hexdigest()[:40])


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


def reserve(folder, name, who, seconds, now, utility, memory_mib=0):
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
    utility
        a function from the name of another utility to that utility
    memory_mib
        the memory in MiB that it will need here, a whole number; 0: nobody says so

    Returns {"name", "who", "until", "memory_mib"} (seconds since the epoch) once it is on the disk. Raises
    ValueError for seconds that are out of range or words without end, EnvironmentError when it cannot be
    written.
    """
    if not 0 < seconds <= MAX_S:
        raise ValueError("seconds: %s is not more than 0 and at most %d" % (seconds, MAX_S))
    made = {"name": name, "who": who, "until": now + seconds, "memory_mib": memory_mib}
    data = json.dumps(made).encode("ascii")
    if len(data) > RESERVATION_BYTES:
        raise ValueError("name and who: %d bytes are too many for a few words" % len(data))
    with _books(folder):
        utility("xend_file").replace(_reservation(folder, name), data)
    return made


def reserved(folder, now):
    """
    The reservations that hold at the time NOW, in seconds since the epoch.

    Returns a list of dicts as `reserve` does, in the order of their end. What has expired, cannot be
    understood or ends later than any reservation made now could is ignored and removed. A folder that is
    missing has none, and is not made.
    """
    if not os.path.lexists(folder):
        return []
    with _books(folder):
        return _reserved(folder, now)


def _reserved(folder, now):
    found = []
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


def release(folder, name, now, who=None):
    """
    End a reservation before its time.

    folder, name, now
        as for `reserve`
    who
        end it only when it was made with these words; None: whoever has made it

    Returns whether there was one.
    """
    with _books(folder):
        made = [one for one in _reserved(folder, now) if one["name"] == name and who in (None, one["who"])]
        if made:
            os.unlink(_reservation(folder, name))
    return bool(made)


def _books(folder):
    """
    Without this lock, one who removes an expired reservation could hit the one that replaces it.
    """
    return hold(folder, "reservations", wait_s=BOOKS_S)


def _reservation(folder, name):
    return os.path.join(folder, ".%s.reserved" % _label(name))


def _understood(path):
    try:
        made = json.loads(get(path, RESERVATION_BYTES).decode("utf-8"))
        name, who, until = _native(made["name"]), _native(made["who"]), float(made["until"])
        # What was reserved by an older version asks for none.
        memory_mib = int(made.get("memory_mib", 0))
        found = {"name": name, "who": who, "until": until, "memory_mib": memory_mib}
        return found if memory_mib >= 0 else None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError):
        # The last one for lists in lists without end.
        return None
    except EnvironmentError as exc:
        # No file of ours, or no such small one.
        if exc.errno in (errno.ELOOP, errno.EPERM, errno.EFBIG, errno.ENXIO):
            return None
        raise
