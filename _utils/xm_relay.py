"""
A relay between xend and the target's xend, through which a guest is sent. It hears what the target answers,
which xend itself never reads, and keeps what is sent as a file, from which `xm restore` brings the guest
back.

For the minion there are `start`, `status` and `stop`. The relay itself is this file, run as a process of its
own, which outlives the minion. Nothing else of this product is imported, and nothing knows Salt.

What xend sends behind "receive\\n" is what `xm save` writes (xend 3.0.3 to 4.4: XendCheckpoint.save serves
both). The target answers on the same connection, `(ok)` or `(err (type T) (value V))`, or closes it without a
word when its xend dies (relocate.py; transcribed from a real pair of 4.4).
"""

import sys

if __name__ == "__main__":
    # Whatever else lies beside this file must not stand in the way of Python's own modules.
    del sys.path[0]

import errno
import fcntl
import json
import mmap
import numbers
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import threading
import time

PROC = "/proc"
MIB = 1048576

PHASES = ("listening", "connecting", "sending", "sent", "over")
HEARD = (None, "ok", "err", "silence", "broken", "unanswered")
COPIES = ("none", "growing", "complete", "given up", "removed")

# What the relay is told of the guest, and tells on.
NAMES = ("id", "name", "uuid", "target", "live")

HANDSHAKE = b"receive\n"

# What is read at once, and so about all that is ever under way in this process.
PIECE_BYTES = 131072
# How many pieces, before anything else is looked at.
AT_ONCE = 16
# The kernel keeps twice as much for a connection from xend. More would let xend believe that it was sent.
WINDOW_BYTES = 131072

# Until it listens, and until whoever has started it gives up.
START_S = 10
# What a connection to itself takes is nothing, unless a firewall drops it.
OWN_S = 1
# xend waits for 30 s itself, from 3.3 on, until it hears that the target is ready.
CONNECT_S = 29
# A transfer of which nothing has moved for so long never will.
STALLED_S = 900
# A very large guest over a very slow line.
LIFE_S = 7 * 86400
# For the rest of an answer of which the beginning is there.
ANSWER_S = 3
# For the disk, once all was sent: for what is to be complete, and for what is to go.
SETTLE_S, REMOVE_S = 900, 10
TELL_S = 0.5
RATE_S, RATE_EVERY_S = 4, 0.25

# What waits in memory for the disk, what is written between two looks at the free space, and what at most
# waits for the end, when all has to be on the disk.
QUEUE_BYTES = 32 * MIB
ROOM_BYTES = 16 * MIB
SYNC_BYTES = 64 * MIB

# No answer of xend is longer, and no status.
MOST_SAID = 65536
STATUS_BYTES = 262144
MOST_LETTERS = 4096
MOST_NUMBER = 10 ** 15

# What xend sends behind the last page of a guest is less (states of CPUs, tables, that of the device model);
# and for how long a source that writes on has not written that much, and has not closed.
LAST_BYTES = MIB
LAST_S = 1
LOOK_S = 0.05

# When the kernel does not tell how much of what xend has written is still on its way.
UNSEEN_BYTES = 4 * MIB

# From asm-generic/ioctls.h and poll.h, and from linux/fadvise.h.
FIONREAD = 0x541B
TIOCOUTQ = 0x5411
POLLRDHUP = 0x2000
FADV_DONTNEED = 4

# Of linux/tcp.h's tcp_info: up to the counters of bytes (Linux 4.1). And from net/tcp_states.h the states in
# which the end was sent (FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING), and in which it has come
# (CLOSE_WAIT, LAST_ACK, CLOSING, TIME_WAIT).
TCP_INFO_BYTES = 136
SHUT_STATES = (4, 5, 6, 9, 11)
ENDED_STATES = (8, 9, 11, 6)

# What a socket that does not block says when there is nothing to do yet.
NOT_YET = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)

TEXT = (str, type(b"".decode("ascii")))

# The text of an error, as Python shows it, of which the end may not have come; or a plain word.
VALUE = re.compile(br"\A.*?\(value\s", re.DOTALL)
QUOTED = re.compile(br"""'((?:[^'\\]|\\.)*)|"((?:[^"\\]|\\.)*)""", re.DOTALL)
# As Python 2's repr writes text.
ESCAPE = re.compile(br"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


# Pure rules


def answer(said):
    """
    What the target has answered, by the bytes that it has sent so far.

    Returns (None, None) while it has not, ("ok", None), or ("err", text of the error). What stands before,
    `(ready receive)`, is no answer; nor is anything that is not understood.

    Every xend writes a list with a name in front, and text as Python shows it when it is no plain word (xend
    3.0.3 to 4.4 relocate.send_error, sxp.show).
    """
    rest = said.lstrip()
    if rest.startswith(b"(ready"):
        _, closed, rest = rest.partition(b")")
        rest = rest.lstrip() if closed else b""
    if re.match(br"\(ok\s*\)", rest):
        return "ok", None
    if not re.match(br"\(err[\s)]", rest):
        return None, None
    value = VALUE.sub(b"", rest).strip()
    quoted = QUOTED.match(value)
    if not quoted:
        return "err", _text(value.rstrip(b")").strip())
    return "err", _text(ESCAPE.sub(_escaped, quoted.group(1) or quoted.group(2) or b""))


def _escaped(found):
    code, letter = found.groups()
    return struct.pack("B", int(code, 16)) if code else ESCAPED.get(letter, letter)


def _text(data):
    """
    Bytes as the type that messages are made of, what is no UTF-8 replaced.
    """
    return _native(data.decode("utf-8", "replace"))


def _native(text):
    return text if isinstance(text, str) else text.encode("utf-8")


class Bucket(object):
    """
    How much may be sent now, when it shall not be more than so many bytes in a second.

    rate
        bytes per second; None: no limit
    """

    def __init__(self, rate, now):
        self._rate = rate
        # Much at once after a pause would be no limit.
        self._most = max(16384, int(rate * 0.05)) if rate else 0
        self._left = self._most
        self._at = now

    def allows(self, now):
        """
        The bytes that may be sent at the time NOW, in seconds; less than a few thousand are not worth it.
        """
        if not self._rate:
            return PIECE_BYTES
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        return min(int(self._left), PIECE_BYTES) if self._left >= self._least() else 0

    def _least(self):
        return min(self._most, 16384)

    def spend(self, count):
        if self._rate:
            self._left -= count

    def wait_s(self):
        """
        For how long nothing may be sent.
        """
        if not self._rate:
            return 0
        return max(0.0, (self._least() - self._left) / float(self._rate))


def end_of(table, local, remote):
    """
    The socket of this host that has these ends, by the text of /proc/net/tcp: a dict of `uid`, `inode` (text)
    and `unsent`, the bytes that were written to it and are not with the other end; None when there is none.

    local, remote
        (IPv4 address, port)
    """
    wanted = (_shown(local), _shown(remote))
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 9 and (fields[1].upper(), fields[2].upper()) == wanted:
            try:
                return {
                    "uid": int(fields[7]),
                    "inode": fields[9],
                    "unsent": int(fields[4].partition(":")[0], 16),
                }
            except ValueError:
                return None
    return None


def _shown(endpoint):
    # The kernel prints the address as one number in the machine's own byte order.
    address, port = endpoint
    return "%08X:%04X" % (struct.unpack("=L", socket.inet_aton(address))[0], port)


# What is given


def _is_text(value):
    return isinstance(value, TEXT) and 0 < len(value) <= MOST_LETTERS and "\0" not in value


def _is_words(value):
    return isinstance(value, TEXT) and len(value) <= MOST_SAID


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST_NUMBER


def _is_count(value):
    return isinstance(value, numbers.Integral) and _is_number(value)


def _is_flag(value):
    return isinstance(value, bool)


def _is_path(value):
    return _is_text(value) and os.path.isabs(value)


def _is_end(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and _is_text(value[0])
        and _is_count(value[1])
        and value[1] <= 65535
    )


def _is_ends(value):
    return isinstance(value, (list, tuple)) and 0 < len(value) <= 16 and all(_is_end(end) for end in value)


def _or_none(is_right):
    return lambda value: value is None or is_right(value)


def _is_names(value):
    return isinstance(value, dict) and _misfits(NAME_KINDS, value) == []


def _misfits(kinds, found):
    """
    The names of what is missing in a dict or is not as KINDS, rows of name and predicate, say.
    """
    return [name for name, is_right in kinds if name not in found or not is_right(found[name])]


NAME_KINDS = tuple([(name, _is_flag if name == "live" else _is_words) for name in NAMES])

SETTING_KINDS = (
    ("listen", _is_ends),
    ("target", _is_end),
    ("bind", _or_none(_is_text)),
    ("status", _is_path),
    ("copy", _or_none(_is_path)),
    ("required", _is_flag),
    ("delay_s", _is_number),
    ("rate_mib_s", _or_none(lambda value: _is_number(value) and value > 0)),
    ("xend", _is_count),
    ("accept_s", _is_number),
    ("answer_s", _is_number),
    ("spare_mib", _is_number),
    ("names", _is_names),
)

COPY_KINDS = (
    ("state", lambda value: value in COPIES),
    ("path", _or_none(_is_path)),
    ("bytes", _is_count),
    ("why", _or_none(_is_words)),
)

STATUS_KINDS = NAME_KINDS + (
    ("pid", _is_count),
    ("identity", _is_text),
    ("guard", _or_none(_is_text)),
    ("listens", _is_end),
    ("phase", lambda value: value in PHASES),
    ("bytes", _is_count),
    ("rate_mib_s", _or_none(_is_number)),
    ("began_at", _or_none(_is_number)),
    ("sent_at", _or_none(_is_number)),
    ("heard", lambda value: value in HEARD),
    ("said", _or_none(_is_words)),
    ("problem", _or_none(_is_words)),
    ("sends_from", _or_none(_is_end)),
    ("sends_to", _is_end),
    ("copy", lambda value: isinstance(value, dict) and _misfits(COPY_KINDS, value) == []),
)


def _checked(settings):
    """
    The settings, for `start`. Raises ValueError for what the relay cannot go by.
    """
    wrong = _misfits(SETTING_KINDS, settings)
    if wrong:
        raise ValueError("a relay cannot be started with %s = %.200r" % (wrong[0], settings.get(wrong[0])))
    if settings["required"] and not settings["copy"]:
        raise ValueError("a relay cannot be started: a copy is required, but no file is named for it")
    return settings


# For the minion


def start(settings):
    """
    Start a relay, a process of its own, for one guest.

    settings
        a dict. ``listen``: where it listens, a list of [IPv4 address, port] of which the first counts that
        can be connected to, port 0 being any that is free; ``target``: [address or name, port] of the
        target's relocation server; ``bind``: the own IPv4 address to connect from, None: what the routing
        table says, which also counts when it is none of this host; ``status``: the file that tells how
        things are, absolute; ``copy``: the file for what xend sends, absolute, or None; ``required``: break
        the transfer off when there can be no complete copy, as long as the guest is whole on its source;
        ``delay_s``: for how long in all the disk of the copy may hold the transfer up; ``rate_mib_s``: the
        most MiB per second that are sent, or None; ``xend``: the process id of xend, which alone may
        connect; ``accept_s``: how long to wait for it; ``answer_s``: how long to wait for the target's
        answer once all was sent; ``spare_mib``: what is left free on the disk of the copy; ``names``: a
        dict of ``id`` (of the note), ``name``, ``uuid``, ``target`` (the minion), all text, and ``live``

    Returns its status, as `status` does, once it listens. Raises ValueError for wrong settings, and
    EnvironmentError, whose text says why, when it cannot be started or cannot listen, or cannot make a copy
    that is required; then nothing was started.
    """
    data = json.dumps(_checked(settings)).encode("utf-8")
    process = subprocess.Popen(
        [_interpreter(), _program()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        close_fds=True,
        cwd="/",
    )
    try:
        try:
            process.stdin.write(data)
            process.stdin.close()
        except EnvironmentError:
            # It has ended; its own words say why.
            pass
        said = _until_end(process.stdout.fileno(), START_S)
    finally:
        # When it is not ready yet, it ends when it has nobody to say so to.
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait()
    return _announced(said)


def _interpreter():
    if not sys.executable or getattr(sys, "frozen", False):
        raise EnvironmentError(
            errno.ENOEXEC, "a relay cannot be started: there is no Python interpreter to run it with"
        )
    return sys.executable


def _program():
    """
    This file as source: under Python 2 it may have been loaded from what was compiled of it.
    """
    path = os.path.abspath(__file__)
    return path[:-1] if path.endswith((".pyc", ".pyo")) else path


def _until_end(descriptor, seconds):
    """
    What comes from a pipe until nobody can write to it any more, or the time is up.
    """
    deadline = _clock() + seconds
    said = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(said) < STATUS_BYTES:
        left_s = deadline - _clock()
        try:
            if left_s <= 0 or not poll.poll(int(left_s * 1000) + 1):
                break
            piece = os.read(descriptor, 65536)
        except (EnvironmentError, select.error) as exc:
            if exc.args[0] == errno.EINTR:
                continue
            raise
        if not piece:
            break
        said += piece
    return said


def _announced(said):
    """
    The status that a relay has announced.
    """
    try:
        found = json.loads(said.decode("utf-8").splitlines()[-1])
        if "status" in found:
            return _understood(found["status"])
        number, text = found["errno"], _native(found["error"])
    except (IndexError, KeyError, TypeError, ValueError):
        shown = _text(said).strip().splitlines()
        why = shown[-1] if shown else "it has not said why, or needs more than %d s" % START_S
        number, text = errno.EIO, "a relay cannot be started: %s" % why
    raise EnvironmentError(number, text)


def status(path):
    """
    How a relay is getting on, or how it has ended.

    path
        its file of that kind

    Returns None when there is no such file; else a dict of what was given as its names (see `start`) and
    ``pid`` and ``identity`` of its process, ``guard``, the identity of the one that goes on when that is
    killed (None: there is none); ``alive``, whether any of them still runs; ``listens``,
    ``sends_to`` and ``sends_from`` (None: not connected), each [address, port]; ``phase``: "listening",
    "connecting" (to the target), "sending", "sent" (xend has closed its end, in whatever way) or "over";
    ``bytes`` that came from xend behind the handshake; ``rate_mib_s``, of the last seconds (None: not known);
    ``began_at`` and ``sent_at``, when the first of them came and when xend closed, seconds since the epoch;
    ``heard``: None, "ok", "err", "silence" (the target has closed without a word, xend has sent all
    nevertheless), "broken" (the transfer was broken off while xend was sending) or "unanswered" (the time
    for an answer is over); ``said``, the text of the target's error; ``problem``, why the target could not
    be reached, worded as by xend, or what has become of the relay; and ``copy``, a dict of ``state`` ("none",
    "growing", "complete", "given up" or "removed"), ``path``, ``bytes`` and ``why`` (None: for no reason).

    A copy is complete when xend has closed its end in good order, or has sent no more when the target was
    gone (then ``sent_at`` is None), and all that it has sent is on the disk. A xend that fails at the sending
    closes in the same way: whether the guest has gone from its source, so that the copy is all that is left
    of it, is to be seen there. Raises EnvironmentError when the file cannot be read, and ValueError when it
    cannot be understood.
    """
    found = _read(path)
    # It may have told more, and ended, since that was read; what it tells last stays.
    return found if not found or found["alive"] else _read(path)


def _read(path):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except EnvironmentError as exc:
        if exc.errno == errno.ENOENT:
            return None
        raise
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise IOError(errno.EPERM, "is no file of this user's own", path)
        data = stream.read(STATUS_BYTES)
    try:
        return _understood(json.loads(data.decode("utf-8")))
    except (RuntimeError, ValueError) as exc:
        raise ValueError("%s is no status of a relay: %s" % (path, exc))


def _understood(found):
    if not isinstance(found, dict):
        raise ValueError("no dictionary")
    # Until it has xend's connection, a relay is one process.
    found = dict({"guard": None}, **found)
    wrong = _misfits(STATUS_KINDS, found)
    if wrong:
        raise ValueError("%s is wrong or missing" % wrong[0])
    made = dict([(name, _plain(found[name])) for name, _ in STATUS_KINDS])
    made["copy"] = dict([(name, _plain(found["copy"][name])) for name, _ in COPY_KINDS])
    made["alive"] = _is_running(made["identity"]) or _is_running(made["guard"])
    return made


def _is_running(known):
    """
    Whether the process of an identity is there.
    """
    words = (known or "").split()
    return len(words) == 3 and words[1].isdigit() and identity(int(words[1])) == known


def _plain(value):
    if isinstance(value, TEXT):
        return _native(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def identity(pid):
    """
    Text that no other process has, before or after this one: the boot of the host, PID and its start in ticks
    since then. Returns None when there is no such process, or when it has ended and nobody was told yet.
    """
    try:
        with open("%s/sys/kernel/random/boot_id" % PROC) as stream:
            boot = stream.read().strip()
        with open("%s/%d/stat" % (PROC, pid)) as stream:
            fields = stream.read().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else "%s %d %s" % (boot, pid, fields[19])
    except (EnvironmentError, IndexError):
        return None


def stop(path):
    """
    Ask a relay to end: at once when it does not send yet. One that sends breaks the transfer off, and the
    guest stays on its source; one that has sent all goes on.

    path
        its status file

    Returns whether there was one to ask. Raises as `status`.
    """
    found = status(path)
    if not found or not found["alive"]:
        return False
    # A guard passes it on.
    return _signal(found, signal.SIGTERM, ("guard", "identity"), 1)


def kill(path):
    """
    End a relay at once, whatever it is at. When it sends, xend sees a broken connection.

    path
        its status file

    Returns whether there was one to end. Raises as `status`.
    """
    found = status(path)
    # The guard first: it would go on in the place of the other one.
    return bool(found) and _signal(found, signal.SIGKILL, ("guard", "identity"), 2)


def _signal(found, number, names, most):
    """
    Send a signal to so many of the processes that a status names. Returns whether there was one.
    """
    reached = 0
    for known in [found[name] for name in names if _is_running(found[name])][:most]:
        try:
            os.kill(int(known.split()[1]), number)
            reached += 1
        except EnvironmentError as exc:
            if exc.errno != errno.ESRCH:
                raise
    return reached > 0


# The relay


def _clock():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    clock = getattr(time, "monotonic", None)
    return clock() if clock else os.times()[4]


def _private(folder):
    """
    See that nobody else may change what is in a folder; it is made, for its owner only, when it is missing.
    """
    try:
        os.makedirs(folder, 0o700)
        _sync_folder(folder)
    except EnvironmentError:
        if not os.path.isdir(folder):
            raise
    found = os.stat(folder)
    others = stat.S_IWGRP | stat.S_IWOTH
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & others and not found.st_mode & stat.S_ISVTX:
        raise IOError(errno.EPERM, "others may change what is in this folder", folder)


def _create(path):
    """
    A descriptor of a new file that only its owner can open, in the place of what is there.
    """
    _remove(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NOCTTY, 0o600)


def _remove(path):
    try:
        os.unlink(path)
    except EnvironmentError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _is_same(found, other):
    return (found.st_dev, found.st_ino) == (other.st_dev, other.st_ino)


def _sync_folder(path):
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def _thread(function):
    thread = threading.Thread(target=function)
    thread.daemon = True
    thread.start()
    return thread


class Status(object):
    """
    The status file. It is written by a thread of its own: the folder may be on the disk that is busy with the
    copy, and the transfer waits for nothing but the line.
    """

    def __init__(self, path, words):
        self._path = path
        self._temporary = os.path.join(os.path.dirname(path), ".%s.new" % os.path.basename(path))
        self._words = dict(words)
        self._written = None
        self._is_urgent = False
        self._changed = threading.Condition()
        # Two may want to write: what is older must not come last.
        self._writing = threading.Lock()
        # The file as it was written last, kept open so that no other one can be taken for it.
        self._descriptor = None
        self.is_forgotten = False

    def begin(self):
        """
        From now on, write it whenever it changes.
        """
        _thread(self._keep_writing)

    def adopt(self, pid):
        """
        Go on where the process PID has ended, whose file this is if it is there.
        """
        try:
            found = status(self._path)
            if found and found["pid"] == pid:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
                del found["alive"]
                self._words.update(found)
        except (EnvironmentError, ValueError):
            # What is known is told again.
            self._descriptor = None
        self.note(guard=None, **_own_words())

    def words(self):
        with self._changed:
            return dict(self._words)

    def note(self, **words):
        """
        What is told with the next change, or soon.
        """
        with self._changed:
            self._words.update(words)

    def tell(self, **words):
        """
        What is told at once.
        """
        with self._changed:
            self._words.update(words)
            self._is_urgent = True
            self._changed.notify()

    def write(self, is_durable=True, **words):
        """
        Tell something, and return when it is told; on the disk, when it has to outlive the host.

        Nothing is told any more when the file was removed, or another relay has put its own there.
        """
        with self._writing:
            with self._changed:
                self._words.update(words)
                made = dict(self._words)
            descriptor = _create(self._temporary)
            try:
                _write(descriptor, json.dumps(made).encode("utf-8"))
                if is_durable:
                    os.fsync(descriptor)
                self.is_forgotten = self.is_forgotten or self._is_another_there()
                if not self.is_forgotten:
                    os.rename(self._temporary, self._path)
                    self._descriptor, descriptor = descriptor, self._descriptor
                    self._written = made
            finally:
                if descriptor is not None:
                    os.close(descriptor)
                _remove(self._temporary)
            if is_durable:
                _sync_folder(self._path)

    def settle(self, **words):
        """
        As `write`, on the disk if that is possible; and if not, as soon as it is.
        """
        try:
            self.write(**words)
        except EnvironmentError:
            self.tell(**words)

    def is_told(self):
        """
        Whether all is told that there is, or nobody asks for it any more.
        """
        with self._changed:
            is_told = self._words == self._written
        return is_told or self._is_another_there()

    def _is_another_there(self):
        if self._descriptor is None:
            return False
        try:
            return not _is_same(os.lstat(self._path), os.fstat(self._descriptor))
        except EnvironmentError as exc:
            return exc.errno == errno.ENOENT

    def _keep_writing(self):
        while not self.is_forgotten:
            with self._changed:
                if not self._is_urgent:
                    self._changed.wait(TELL_S)
                self._is_urgent = False
                is_news = self._words != self._written
            if is_news:
                try:
                    self.write(is_durable=False)
                except EnvironmentError:
                    # The next one may succeed: no transfer is broken off for that.
                    time.sleep(TELL_S)


def _own_words():
    return {"pid": os.getpid(), "identity": identity(os.getpid())}


class Copy(object):
    """
    The file with what xend sends, written by a thread of its own.

    path
        absolute; None: there is none
    spare_bytes
        what is left free on its disk
    status
        a Status, which is told how it stands
    wake
        a function that is called when there is room for more in memory, or when there is none on the disk
    """

    def __init__(self, path, spare_bytes, status, wake):
        self.state = "growing" if path else "none"
        self._path = path
        self._spare_bytes = spare_bytes
        self._status = status
        self._wake = wake
        self._descriptor = None
        self._runs = False
        self._news = threading.Condition()
        self._queue = []
        self._queued = 0
        self._bytes = 0
        # What is asked of the thread: to complete the file when the queue is empty; to remove it at once,
        # which is told as this state.
        self._is_ended = False
        self._dropped = None
        self._why = None
        self._is_settled = not path

    def words(self):
        return {"state": self.state, "path": self._path, "bytes": self._bytes, "why": self._why}

    def begin(self):
        """
        Make the file. Raises EnvironmentError.
        """
        _private(os.path.dirname(self._path))
        descriptor = _create(self._path)
        try:
            self._look_at_owner(descriptor)
            self._look_for_room(descriptor)
        except EnvironmentError:
            os.close(descriptor)
            _remove(self._path)
            raise
        self._descriptor = descriptor

    def go_on(self):
        """
        Write what comes, or do what was asked for meanwhile.
        """
        if self._descriptor is not None and not self._runs:
            self._runs = True
            _thread(self._run)

    def adopt(self, words):
        """
        Take it over from a process that was killed: what that had in its memory is missing.
        """
        if words["state"] == "complete":
            self.state, self._bytes = "complete", words["bytes"]
        elif words["state"] == "growing":
            self.drop("given up", "the process that wrote it was killed")
        else:
            self.drop(words["state"], words["why"])

    def feed(self, piece):
        with self._news:
            if self.state == "growing":
                self._queue.append(piece)
                self._queued += len(piece)
                self._news.notify()

    def is_full(self):
        """
        Whether the disk lags behind as far as memory allows.
        """
        return self.state == "growing" and self._queued >= QUEUE_BYTES

    def finish(self):
        """
        There is nothing more to come: it will be complete when all is on the disk.
        """
        with self._news:
            self._is_ended = True
            self._news.notify()

    def drop(self, state, why=None):
        """
        Remove it: "given up" or "removed". What is told of that, first of all, is that it is not complete.
        """
        with self._news:
            if self._dropped or self.state == "none":
                return
            self._dropped, self._why = state, why
            if self.state != "complete":
                self.state = "given up"
            self._queue, self._queued = [], 0
            self._news.notify()
        if self._descriptor is None:
            self.state, self._is_settled = "given up", True
        self._status.tell(copy=self.words())

    def is_settled(self):
        """
        Whether it is complete or gone, or cannot become so any more.
        """
        return self._is_settled and not (self._dropped and self.state == "complete")

    def _run(self):
        if self.state == "growing":
            try:
                self._grow()
            except EnvironmentError as exc:
                self.drop("given up", "%s: %s" % (self._path, exc.strerror or exc))
        if self.state == "growing":
            self._complete()
        with self._news:
            self._is_settled = not self._dropped
            self._wake()
            while not self._dropped:
                self._news.wait()
        self._go()
        self._is_settled = True
        self._wake()

    def _grow(self):
        looked = synced = 0
        while True:
            with self._news:
                while not (self._queue or self._is_ended or self._dropped):
                    self._news.wait()
                if self._dropped or not self._queue:
                    return
                piece = self._queued_piece()
            if self._bytes + len(piece) - looked > ROOM_BYTES:
                looked = self._bytes
                self._look_for_room(self._descriptor)
            _write(self._descriptor, piece)
            self._bytes += len(piece)
            if self._bytes - synced >= SYNC_BYTES:
                os.fdatasync(self._descriptor)
                if hasattr(os, "posix_fadvise"):
                    # Nobody reads it soon: the memory is for others.
                    os.posix_fadvise(self._descriptor, synced, self._bytes - synced, FADV_DONTNEED)
                synced = self._bytes
            with self._news:
                was_full = self.is_full()
                self._queued -= len(piece) if not self._dropped else 0
            if was_full and not self.is_full():
                self._wake()
            self._status.note(copy=self.words())

    def _queued_piece(self):
        """
        What is written next, of many that are small as much as one that is large.
        """
        pieces = []
        while self._queue and sum([len(piece) for piece in pieces]) < PIECE_BYTES:
            pieces.append(self._queue.pop(0))
        return b"".join(pieces)

    def _look_at_owner(self, descriptor):
        """
        See that the file is as it was made: some file systems, FAT and CIFS among them, give all of their
        files another owner or mode.
        """
        made = os.fstat(descriptor)
        if made.st_uid != os.geteuid() or made.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise IOError(
                errno.EPERM,
                "others may read it, because the file system makes it one of user %d with mode %04o"
                % (made.st_uid, stat.S_IMODE(made.st_mode)),
                self._path,
            )

    def _look_for_room(self, descriptor):
        found = os.fstatvfs(descriptor)
        free = found.f_bavail * found.f_frsize
        if free < self._spare_bytes + ROOM_BYTES:
            raise IOError(
                errno.ENOSPC,
                "only %d MiB are free there, and %d MiB are to stay free"
                % (free // MIB, self._spare_bytes // MIB),
                self._path,
            )

    def _complete(self):
        state = "complete"
        try:
            os.fsync(self._descriptor)
            _sync_folder(self._path)
            if not self._is_there():
                raise IOError(errno.ENOENT, "another file is there now", self._path)
        except EnvironmentError as exc:
            # It stays: it may be all that is left of a guest, and may be whole.
            state = "given up"
            self._why = "%s is not safe on the disk: %s" % (self._path, exc.strerror or exc)
        with self._news:
            if self._dropped:
                return
            self.state = state
        # Whoever reads that can rely on it.
        self._status.settle(copy=self.words())

    def _is_there(self):
        return _is_same(os.lstat(self._path), os.fstat(self._descriptor))

    def _go(self):
        state = self._dropped
        try:
            # The guard has it open, too: its room is to be free now.
            os.ftruncate(self._descriptor, 0)
            # Another relay, for the same guest, may have put its own there.
            if self._is_there():
                os.unlink(self._path)
        except EnvironmentError as exc:
            if exc.errno != errno.ENOENT:
                state, self._why = self.state, "cannot be removed: %s" % exc
        os.close(self._descriptor)
        self.state = state
        self._status.tell(copy=self.words())


class BrokenOff(Exception):
    """
    The transfer is broken off, while the guest is whole on its source.
    """


class Journal(object):
    """
    What whoever forwards leaves for whoever goes on with it, in memory that processes share. Numbers:
    ``plain``, 1 when xend sends a guest in plain words, 2 when it does not, 0 while that is not known;
    ``shut``, 1 when all was sent; ``passed``, the bytes that were sent and taken from xend's connection;
    ``heard`` and ``settled``, the bytes of the target that were dealt with, and then taken.
    """

    FIELDS = ("plain", "shut", "passed", "heard", "settled")
    FIELD = struct.Struct("=Q")

    def __init__(self):
        self._memory = mmap.mmap(-1, len(self.FIELDS) * self.FIELD.size + MOST_SAID)

    def _place(self, name):
        start = self.FIELDS.index(name) * self.FIELD.size
        return slice(start, start + self.FIELD.size)

    def get(self, name):
        return self.FIELD.unpack(self._memory[self._place(name)])[0]

    def set(self, name, value):
        # So few bytes are written at once, or not at all.
        self._memory[self._place(name)] = self.FIELD.pack(value)

    def said(self):
        """
        What the target has said; of what is endless, the beginning.
        """
        start = len(self.FIELDS) * self.FIELD.size
        return self._memory[start : start + min(self.get("heard"), MOST_SAID)]

    def note_said(self, said):
        count = self.get("heard")
        kept = said[: max(0, MOST_SAID - count)]
        start = len(self.FIELDS) * self.FIELD.size + min(count, MOST_SAID)
        self._memory[start : start + len(kept)] = kept
        self.set("heard", count + len(said))


def counts(made):
    """
    How many bytes were ever written to a TCP connection, and taken from it, by whomever, from some number on;
    None when the kernel does not tell (before Linux 4.1).
    """
    for _ in range(100):
        before = _kernel_counts(made)
        unsent, unread = [_asked(made, what) for what in (TIOCOUTQ, FIONREAD)]
        # It goes on meanwhile.
        if before is None or before == _kernel_counts(made):
            break
    else:
        return None
    if before is None:
        return None
    state, acked, received = before
    # An end counts as a byte, until it is taken.
    return acked + unsent - (state in SHUT_STATES), received - unread - (state in ENDED_STATES)


def _kernel_counts(made):
    found = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(found) < TCP_INFO_BYTES:
        return None
    return struct.unpack("=B", found[:1]) + struct.unpack("=QQ", found[TCP_INFO_BYTES - 16 : TCP_INFO_BYTES])


def _asked(made, what):
    return struct.unpack("i", fcntl.ioctl(made, what, struct.pack("i", 0)))[0]


class Transfer(object):
    """
    Forwarding from xend to the target and back, until it is over.

    source, target
        the connections, which do not block
    settings
        as for `start`
    status, copy
        those of this relay
    journal
        a Journal, which says what others have forwarded before
    passed_bytes
        how much that was
    poll, end_of_source
        functions: the events of sockets, see Relay.poll; and what `end_of` tells of xend's end of SOURCE

    What comes is looked at and sent before it is taken from the source's connection, so that each byte is in
    the kernel's hands, here or there, whatever becomes of this process.
    """

    def __init__(self, source, target, settings, status, copy, journal, passed_bytes, poll, end_of_source):
        self._source, self._target, self._settings = source, target, settings
        self._status, self._copy, self._journal = status, copy, journal
        self._poll, self._end_of_source = poll, end_of_source
        self.is_stopped = False
        # Why it has failed, or been broken off.
        self.why = None
        # How the source has ended: None, "orderly" or "reset"; and when.
        self.end = None
        self._ended = None
        # Whether it sends a guest in plain words; None: it has not said so yet.
        self._is_plain = (None, True, False)[journal.get("plain")]
        # Bytes of the handshake, and of what is behind it.
        self._head = HANDSHAKE[: min(passed_bytes, len(HANDSHAKE))]
        self._total = passed_bytes - len(self._head)
        # What the source is to be told next, and what only when the transfer is broken off.
        self._incoming = b""
        self._held = journal.said().partition(b"\n")[2]
        self._is_target_gone = self._is_shut = self._is_blocked = False
        # The transfer is broken off when more than so many bytes come.
        self._limit = None
        # Since when more than that has come, which is not taken before it is clear whether it is the end.
        self._beyond_since = None
        # Whether the copy may be all that there is of the guest, though the transfer was broken off.
        self.may_be_whole = False
        self._held_up_s = 0.0
        self._rates = []
        if self._total and status.words()["began_at"] is None:
            status.note(began_at=time.time())
        self._began = self._moved = _clock()
        rate = settings["rate_mib_s"]
        self._bucket = Bucket(rate * MIB if rate else None, self._began)

    def run(self):
        """
        Forward all. Raises BrokenOff when the source is to see that it has failed.
        """
        then = _clock()
        # Whoever has heard that may have been killed before it was told.
        self._weigh()
        while not self._is_done(then):
            wanted, wait_s = self._wanted(then)
            is_held_up = self.end is None and self._copy.is_full()
            events = self._poll(wanted, wait_s)
            now = _clock()
            if is_held_up:
                self._held_up_s += now - then
                self._moved = now
            then = now
            self._on_time(now)
            self._on_target(events.get(self._target, 0))
            if self._incoming and self.end is None:
                self._tell_source()
            self._pass_on()

    def _wanted(self, now):
        """
        What to wait for: pairs of socket and mask; and for how long.
        """
        wait_s, source, target = TELL_S, 0, select.POLLIN
        if self.end is None:
            if self._incoming:
                source |= select.POLLOUT
            if self._is_blocked:
                # A source that fails meanwhile would tell so again and again.
                target |= select.POLLOUT
            elif self._beyond_since is not None:
                source |= POLLRDHUP
                wait_s = LOOK_S
            elif not self._copy.is_full():
                if self._is_target_gone or self._bucket.allows(now):
                    source |= select.POLLIN
                else:
                    wait_s = min(wait_s, self._bucket.wait_s())
        wanted = [(self._source, source)] if source else []
        return wanted + ([] if self._is_target_gone else [(self._target, target)]), wait_s

    def _on_time(self, now):
        self._tell_rate(now)
        for since, most_s, what in (
            (self._moved, STALLED_S, "nothing has moved for %d s"),
            (self._began, LIFE_S, "it was not over after %d s"),
        ):
            if now - since > most_s and self.end is None:
                self.why = what % most_s
                raise BrokenOff()
        if self.is_stopped:
            self._limit_to_what_came("it was asked to end")
        if self._held_up_s > self._settings["delay_s"]:
            why = "the disk is too slow: it has held the transfer up for %d s" % self._held_up_s
            self._copy.drop("given up", why)
        if self._status.is_forgotten:
            self._copy.drop("removed", "nobody asks for it any more")
        if self._settings["required"] and self._copy.state == "given up":
            self._limit_to_what_came(self._copy.words()["why"])

    def _tell_rate(self, now):
        if self._rates and now - self._rates[-1][0] < RATE_EVERY_S:
            return
        self._rates = [one for one in self._rates if one[0] >= now - RATE_S] + [(now, self._total)]
        passed_s = now - self._rates[0][0]
        rate = round((self._total - self._rates[0][1]) / passed_s / MIB, 2) if passed_s else None
        self._status.note(bytes=self._total, rate_mib_s=rate)

    def _limit_to_what_came(self, why):
        """
        Break the transfer off as soon as xend sends more than it has written by now.

        What it has written may have been the last: then it destroys the guest next, and notices nothing of a
        connection that is broken. So that only ends a transfer of which certainly more was to come; whether
        what comes yet is the last is judged by `_breaks_off`.
        """
        if self._limit is not None or self.end or self._status.words()["heard"] == "ok":
            return
        self.why = why
        self._limit = self._total + self._pending_bytes()

    def _pending_bytes(self):
        """
        What xend has written behind the handshake, and was not taken yet.
        """
        found = self._end_of_source()
        unsent = found["unsent"] if found else UNSEEN_BYTES
        of_handshake = len(HANDSHAKE) - len(self._head) if self._is_plain is None else 0
        return _asked(self._source, FIONREAD) + unsent - of_handshake

    def _breaks_off(self, now):
        """
        Whether a source that has written more than it may is to see a broken connection, which saves the
        guest only when it writes yet more: who has written the last notices nothing. Nothing is taken
        meanwhile.

        One that was at its end closes now. One that is in the midst writes on, as much as the kernel takes.
        Of one that does neither nobody knows: it may have stopped to suspend the guest, or may be destroying
        it (not live, xend closes after that). So it sees that, and all that it has written is kept.
        """
        if self._beyond_since is None:
            self._beyond_since = now
        poll = select.poll()
        poll.register(self._source, POLLRDHUP)
        if poll.poll(0):
            # That was all, which the copy is to have.
            self._limit = self._beyond_since = None
            return False
        if self._total + self._pending_bytes() - self._limit >= LAST_BYTES:
            return True
        if now - self._beyond_since < LAST_S:
            return False
        if not self._is_target_gone and self._status.words()["heard"] != "err":
            # It goes on until that is clear: the target takes it.
            self._limit = self._beyond_since = None
            return False
        self.may_be_whole = self._take_the_rest()
        return self.end is None

    def _take_the_rest(self):
        """
        Keep what the source has written, without waiting for more. Returns whether that was all of it.
        """
        self._is_target_gone = True
        for _ in range(LAST_BYTES // PIECE_BYTES * 2):
            if self.end or self._copy.is_full():
                return False
            piece = self._next_piece()
            if not piece:
                return self.end is None
            self._take(piece)
            _discard(self._source, len(piece))
        return False

    # From xend to the target

    def _pass_on(self):
        """
        Send what has come, as far as the target takes it.
        """
        self._is_blocked = False
        for _ in range(AT_ONCE):
            if self.end or self._copy.is_full():
                break
            piece = self._next_piece()
            if not piece:
                break
            is_begun = self._is_plain is not None
            if is_begun and self._limit is not None and self._total + len(piece) > self._limit:
                if self._breaks_off(_clock()):
                    raise BrokenOff()
                if self._beyond_since is not None or self.end:
                    break
            count = self._sent(piece)
            if not count:
                break
            self._take(piece[:count])
            _discard(self._source, count)
            self._journal.set("passed", self._journal.get("passed") + count)
            self._moved = _clock()
        if self.end and not self._is_shut and not self._is_target_gone:
            self._is_shut = True
            self._journal.set("shut", 1)
            try:
                self._target.shutdown(socket.SHUT_WR)
            except socket.error:
                # It is gone; what it has said is read next.
                pass

    def _next_piece(self):
        """
        What has come and is to be sent next, without taking it; b"" for nothing now.
        """
        size = PIECE_BYTES if self._is_target_gone else self._bucket.allows(_clock())
        if self._is_plain is None:
            size = min(size, len(HANDSHAKE) - len(self._head))
        if not size:
            return b""
        try:
            piece = self._source.recv(size, socket.MSG_PEEK)
        except socket.error as exc:
            if exc.errno not in NOT_YET:
                self._source_ended("reset")
            return b""
        if not piece:
            self._source_ended("orderly")
        return piece

    def _sent(self, piece):
        """
        How much of a piece the target has taken. It gets nothing more once it is gone.
        """
        if self._is_target_gone:
            return len(piece)
        try:
            count = self._target.send(piece)
        except socket.error as exc:
            self._is_blocked = exc.errno in NOT_YET
            if not self._is_blocked:
                # Its last words are still there.
                self._on_target(select.POLLIN)
            return 0
        self._bucket.spend(count)
        return count

    def _take(self, piece):
        if self._is_plain is None:
            self._take_handshake(piece)
            return
        if not self._total:
            self._status.tell(began_at=time.time())
        self._total += len(piece)
        if self._is_plain:
            self._copy.feed(piece)

    def _take_handshake(self, piece):
        self._head += piece
        if self._head == HANDSHAKE:
            self._note_plain(True)
        elif not HANDSHAKE.startswith(self._head):
            self._note_plain(False)
            self._copy.drop("given up", "what xend sends is no guest in plain words, but by TLS, perhaps")

    def _note_plain(self, is_plain):
        self._is_plain = is_plain
        self._journal.set("plain", 1 if is_plain else 2)

    def _source_ended(self, how):
        self.end, self._ended = how, _clock()
        if how == "orderly" and self._total:
            self._copy.finish()
        else:
            self._copy.drop("removed", "xend has broken the connection off")
        self._status.tell(phase="sent", sent_at=time.time(), bytes=self._total)

    # From the target to xend

    def _on_target(self, events):
        if self._is_target_gone or not events & ~select.POLLOUT:
            return
        while True:
            try:
                said = self._target.recv(4096, socket.MSG_PEEK)
            except socket.error as exc:
                if exc.errno in NOT_YET:
                    return
                said = b""
            if not said:
                self._target_gone()
                return
            self._hear(said)
            _discard(self._target, len(said))
            self._journal.set("settled", self._journal.get("heard"))
            self._moved = _clock()

    def _hear(self, said):
        is_ready = b"\n" in self._journal.said()
        self._journal.note_said(said)
        # More than the first line xend reads only when a write fails. With it unread, older ones that close
        # at last would break the connection off, and newer ones that have closed would lose with it what is
        # on its way (TCP sends a reset then).
        count = len(said) if not self._is_plain else 0 if is_ready else said.find(b"\n") + 1 or len(said)
        self._held = (self._held + said[count:])[:MOST_SAID]
        if count:
            self._incoming += said[:count]
            self._tell_source()
        self._weigh()

    def _weigh(self):
        """
        Tell what the target has answered so far, and do what follows from that.
        """
        heard, text = answer(self._journal.said()) if self._is_plain else (None, None)
        told = self._status.words()["heard"]
        if "ok" in (heard, told):
            if told != "ok":
                self._status.settle(heard="ok")
            # A guest that has run is never restored.
            self._copy.drop("removed", "the guest runs on the target")
        elif heard == "err":
            self._status.tell(heard="err", said=text)
            self._limit_to_what_came("the target has failed: %s" % text)

    def _tell_source(self):
        try:
            count = self._source.send(self._incoming)
        except socket.error as exc:
            # When it is gone that shows in what is read from it.
            count = 0 if exc.errno in NOT_YET else len(self._incoming)
        self._incoming = self._incoming[count:]

    def _target_gone(self):
        self._is_target_gone = True
        self._limit_to_what_came("the target has closed the connection")
        if self._limit is not None and self._limit <= 0:
            # Nothing has begun: xend is told at once, as the target would.
            raise BrokenOff()

    # The end

    def _is_done(self, now):
        if self.end is None:
            return False
        heard = self._status.words()["heard"]
        if self._is_target_gone:
            if heard is None:
                self._status.tell(heard="silence")
            return True
        if not self._total or heard == "ok":
            # Where nothing was sent, xend has not waited any longer.
            return True
        since_s = now - self._ended
        if heard is None and since_s > self._settings["answer_s"]:
            self._status.tell(heard="unanswered")
            return True
        return heard == "err" and since_s > ANSWER_S

    def break_off(self):
        """
        Let xend see that the transfer has failed: the target's own words, then writing fails.
        """
        self._status.note(bytes=self._total)
        if self._status.words()["heard"] is None:
            self._status.note(heard="broken")
        self._incoming += self._held
        if self._incoming:
            self._tell_source()
        if self.may_be_whole:
            self._copy.finish()
        else:
            self._copy.drop("removed", self.why)
        _make_reset(self._source)


class Relay(object):
    """
    One relay: listens, takes the connection of xend, and connects to the target. Then it forks: the second
    process forwards, the first one is its guard. It has the same connections, and goes on with them when the
    other one is killed.
    """

    def __init__(self, settings):
        self._settings = settings
        self._listener = None
        self._source = None
        self._target = None
        self._wakes, self._wake_end = _pipe()
        self._is_stopped = False
        self._status = None
        self._copy = None
        self._transfer = None
        # The process that forwards, as its guard knows it; how the guard is told that this is over.
        self._worker = None
        self._over_end = None
        self._journal = Journal()
        self._why = None

    def begin(self):
        """
        Listen, make the copy and write the status, which is returned. Raises EnvironmentError.
        """
        settings = self._settings
        self._listener, listens = _listening(settings["listen"])
        words = dict(settings["names"])
        words.update(
            pid=os.getpid(),
            identity=identity(os.getpid()),
            guard=None,
            listens=listens,
            sends_to=list(settings["target"]),
            sends_from=None,
            phase="listening",
            bytes=0,
            rate_mib_s=None,
            began_at=None,
            sent_at=None,
            heard=None,
            said=None,
            problem=None,
        )
        self._status = Status(settings["status"], words)
        self._copy = Copy(settings["copy"], settings["spare_mib"] * MIB, self._status, self.wake)
        _private(os.path.dirname(settings["status"]))
        # First of all, so that an older copy in the same place is not called complete for a moment.
        self._status.write(is_durable=False, copy=self._copy.words())
        if settings["copy"]:
            try:
                self._copy.begin()
            except EnvironmentError as exc:
                if settings["required"]:
                    _remove(settings["status"])
                    raise
                self._copy.drop("given up", "%s: %s" % (settings["copy"], exc.strerror or exc))
                self._status.write(is_durable=False, copy=self._copy.words())
        return self._status.words()

    def withdraw(self):
        """
        Leave nothing of what `begin` has made.
        """
        self.stop()
        self.run()
        _remove(self._settings["status"])

    def stop(self):
        """
        End soon; what was asked of a process by a signal.
        """
        self._is_stopped = True
        if self._transfer:
            self._transfer.is_stopped = True
        if self._worker:
            os.kill(self._worker, signal.SIGTERM)
        self.wake()

    def run(self):
        """
        All that is to be done, until it is over.
        """
        self._source = self._accepted()
        if self._source:
            self._tell_phase("connecting")
            self._target = self._connected()
        if not self._target:
            self._finish()
            return
        self._tell_phase("sending")
        base = (counts(self._source), counts(self._target))
        guards, self._over_end = os.pipe()
        self._worker = os.fork()
        if not self._worker:
            self._worker = None
            os.close(guards)
            self._status.note(guard=self._status.words()["identity"], **_own_words())
            self._work(0)
            return
        os.close(self._over_end)
        self._over_end = None
        self._guard(guards, base)

    def _tell_phase(self, phase):
        try:
            self._status.write(is_durable=False, phase=phase)
        except EnvironmentError:
            # It is told later.
            pass

    def _work(self, passed_bytes):
        """
        Forward what comes behind the first so many bytes, and finish.
        """
        self._status.begin()
        self._copy.go_on()
        self._transfer = Transfer(
            self._source,
            self._target,
            self._settings,
            self._status,
            self._copy,
            self._journal,
            passed_bytes,
            self.poll,
            lambda: self._other_end(self._source),
        )
        self._transfer.is_stopped = self._is_stopped
        try:
            self._transfer.run()
        except BrokenOff:
            self._transfer.break_off()
        self._why = self._transfer.why
        self._finish()

    def _finish(self):
        for made in (self._source, self._target):
            if made:
                made.close()
        if self._over_end is not None:
            # The guard closes them, too.
            try:
                os.write(self._over_end, b".")
            except EnvironmentError:
                # There is none any more.
                pass
        if not self._transfer or self._transfer.end != "orderly" and not self._transfer.may_be_whole:
            self._copy.drop("removed", self._why)
        self._copy.go_on()
        began = _clock()
        while not self._copy.is_settled():
            if _clock() - began > (SETTLE_S if self._copy.state == "growing" else REMOVE_S):
                break
            self.poll([], 1)
        self._status.settle(phase="over", rate_mib_s=None, copy=self._copy.words())
        while not self._status.is_told() and _clock() - began < SETTLE_S:
            # What was heard, and whether a copy is complete, is known to nobody else.
            time.sleep(TELL_S)
            self._status.settle()

    # The guard

    def _guard(self, guards, base):
        """
        Wait for the end of the process that forwards, and go on where it was if it has not come to its end.
        """
        while True:
            try:
                is_over = os.read(guards, 1)
                break
            except EnvironmentError as exc:
                # A signal has come, which was passed on.
                if exc.errno != errno.EINTR:
                    raise
        passed_bytes = None if is_over else self._passed_bytes(base)
        worker, self._worker = self._worker, None
        if passed_bytes is None:
            self._source.close()
            self._target.close()
        _wait_for(worker)
        if passed_bytes is not None:
            self._status.adopt(worker)
            self._copy.adopt(self._status.words()["copy"])
            self._work(passed_bytes)

    def _passed_bytes(self, base):
        """
        How much the process that is gone has sent, once all of that is taken from the source; None when that
        cannot be told.
        """
        found = (counts(self._source), counts(self._target))
        if None in base or None in found:
            return None
        taken = found[0][1] - base[0][1]
        sent, heard = [now - then for now, then in zip(found[1], base[1])]
        journal = self._journal
        if journal.get("shut"):
            sent = journal.get("passed")
        for made, done, noted, now_taken in (
            (self._source, sent, journal.get("passed"), taken),
            (self._target, journal.get("heard"), journal.get("settled"), heard),
        ):
            # What was dealt with last, and may have been taken or not. Where both ends are closed, an end may
            # be counted as one byte more.
            last = done - noted
            if not 0 <= last <= PIECE_BYTES:
                return None
            _discard(made, last - min(last, max(0, now_taken - noted)))
        return sent

    def wake(self):
        try:
            os.write(self._wake_end, b".")
        except EnvironmentError:
            # It is full: that suffices.
            pass

    def poll(self, wanted, seconds):
        """
        The events of sockets, {socket: events}, for at most so long. WANTED has pairs of socket and mask.
        """
        poll = select.poll()
        poll.register(self._wakes, select.POLLIN)
        known = {}
        for one, mask in wanted:
            poll.register(one, mask)
            known[one.fileno()] = one
        try:
            found = poll.poll(int(max(0, seconds) * 1000) + 1)
        except (EnvironmentError, select.error) as exc:
            if exc.args[0] != errno.EINTR:
                raise
            return {}
        events = {}
        for descriptor, event in found:
            if descriptor == self._wakes:
                os.read(self._wakes, 4096)
            else:
                events[known[descriptor]] = event
        return events

    # Taking xend's connection, and making the one to the target

    def _accepted(self):
        """
        The connection of xend; None when it does not come.
        """
        deadline = _clock() + self._settings["accept_s"]
        try:
            while not self._is_stopped:
                left_s = deadline - _clock()
                if left_s <= 0:
                    break
                if not self.poll([(self._listener, select.POLLIN)], min(left_s, 60)):
                    continue
                try:
                    made = self._listener.accept()[0]
                except socket.error:
                    # Gone again.
                    continue
                if self._is_xends(made):
                    return _prepared(made)
                made.close()
        finally:
            self._listener.close()
        self._why = "xend has not connected"
        return None

    def _is_xends(self, made):
        found = self._other_end(made)
        if not found or found["uid"] != os.geteuid():
            return False
        folder = "%s/%d/fd" % (PROC, self._settings["xend"])
        wanted = "socket:[%s]" % found["inode"]
        try:
            return wanted in [_link(os.path.join(folder, name)) for name in os.listdir(folder)]
        except EnvironmentError:
            return False

    def _other_end(self, made):
        """
        What `end_of` tells of the other end of a connection, which is on this host, too.
        """
        try:
            local, remote = made.getpeername(), made.getsockname()
        except socket.error:
            return None
        # Linux before 2.6.25 has one table for all.
        for path in ("%s/%d/net/tcp" % (PROC, self._settings["xend"]), "%s/net/tcp" % PROC):
            try:
                with open(path) as stream:
                    return end_of(stream.read(), local, remote)
            except EnvironmentError:
                continue
        return None

    def _connected(self):
        """
        The connection to the target; None when there is none.
        """
        problem = None
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            address, port = self._settings["target"]
            ends = socket.getaddrinfo(address, port, socket.AF_INET, socket.SOCK_STREAM)
            if self._settings["bind"]:
                self._bind(made, self._settings["bind"])
            problem = self._connect(made, ends[0][4])
        except UnicodeError:
            problem = "[Errno -2] Name or service not known"
        except socket.error as exc:
            problem = str(exc)
        if problem is None:
            self._status.note(sends_from=list(made.getsockname()[:2]))
            return _prepared(made)
        made.close()
        self._why = "can't connect: %s" % problem
        self._status.note(problem=self._why)
        # As if the target had refused to go on: xend has begun nothing yet, and does not with that.
        _make_reset(self._source)
        return None

    def _bind(self, made, address):
        try:
            made.bind((address, 0))
        except socket.error as exc:
            # Where the address is another host's, which passes things on, xend would not use it either.
            if exc.errno != errno.EADDRNOTAVAIL:
                raise

    def _connect(self, made, end):
        """
        Why a connection could not be made; None when it could.
        """
        made.setblocking(False)
        number = made.connect_ex(end)
        if number in (errno.EINPROGRESS, errno.EINTR, errno.EAGAIN):
            number = self._connecting(made)
        if number is None:
            return "timed out"
        return "[Errno %d] %s" % (number, os.strerror(number)) if number else None

    def _connecting(self, made):
        """
        The error with which connecting has ended, 0 for none, None when it has not.
        """
        deadline = _clock() + CONNECT_S
        while _clock() < deadline and not self._is_stopped:
            wanted = [(made, select.POLLOUT), (self._source, POLLRDHUP)]
            events = self.poll(wanted, min(1, deadline - _clock()))
            if made in events:
                return made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if self._source in events:
                # xend waits no longer.
                return None
        return None


def _pipe():
    """
    Two ends of a pipe that do not block.
    """
    ends = os.pipe()
    for descriptor in ends:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
    return ends


def _wait_for(pid):
    while True:
        try:
            os.waitpid(pid, 0)
            return
        except EnvironmentError as exc:
            if exc.errno != errno.EINTR:
                return


def _discard(made, count):
    """
    Take so many bytes from a connection, which were looked at before.
    """
    while count:
        # Nothing is copied with that (Linux 2.4 and later, for TCP).
        taken = len(made.recv(count, socket.MSG_TRUNC))
        if not taken:
            raise IOError(errno.EPIPE, "a connection has lost what it had")
        count -= taken


def _link(path):
    try:
        return os.readlink(path)
    except EnvironmentError:
        # Closed since it was listed.
        return None


def _listening(ends):
    """
    A socket that listens on the first of these ends on which that is possible, and where that is. Raises
    EnvironmentError when there is none.
    """
    problems = []
    for address, port in ends:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Each connection inherits it; afterwards it would come too late.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
            made.bind((address, port))
            made.listen(5)
            _reach(made)
            made.setblocking(False)
            return made, list(made.getsockname()[:2])
        except socket.timeout:
            problems.append("%s:%d cannot be reached (a firewall?)" % (address, port))
        except (socket.error, UnicodeError) as exc:
            problems.append("%s:%d: %s" % (address, port, getattr(exc, "strerror", None) or exc))
        made.close()
    raise EnvironmentError(errno.EADDRNOTAVAIL, "a relay can listen nowhere: %s" % ", ".join(problems))


def _reach(listener):
    """
    Connect to a listener of one's own. Raises socket.timeout when that does not succeed at once.
    """
    deadline = _clock() + OWN_S
    asker = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        asker.settimeout(OWN_S)
        asker.connect(listener.getsockname())
        while True:
            listener.settimeout(max(0.001, deadline - _clock()))
            made = listener.accept()[0]
            is_own = made.getpeername() == asker.getsockname()
            made.close()
            if is_own:
                return
    finally:
        _make_reset(asker)
        asker.close()


def _prepared(made):
    made.setblocking(False)
    for level, name, value in (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 20),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
    ):
        made.setsockopt(level, getattr(socket, name), value)
    return made


def _make_reset(made):
    """
    See that a connection that is closed next is broken off, so that the other end notices at once.
    """
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except socket.error:
        # It is closed already.
        pass


# The process


def _main():
    settings = json.loads(_all_of(0).decode("utf-8"))
    if os.fork():
        # Whoever has started this need not wait for what it becomes.
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    relay = None
    try:
        relay = Relay(dict([(name, _given(value)) for name, value in settings.items()]))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: relay.stop())
        said = {"status": relay.begin()}
    except EnvironmentError as exc:
        place = "%s: " % exc.filename if exc.filename else ""
        said = {"errno": exc.errno or errno.EIO, "error": "%s%s" % (place, exc.strerror or exc)}
    try:
        _write(1, json.dumps(said).encode("utf-8") + b"\n")
    except EnvironmentError:
        # Whoever has started this has given it up meanwhile.
        relay.withdraw()
        os._exit(1)
    if "error" in said:
        os._exit(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    _spare_me()
    relay.run()
    # A thread may wait for a disk for ever.
    os._exit(0)


def _given(value):
    if isinstance(value, dict):
        return dict([(_native(name), _given(one)) for name, one in value.items()])
    return _plain(value)


def _all_of(descriptor):
    data = b""
    while True:
        piece = os.read(descriptor, 65536)
        if not piece:
            return data
        data += piece


def _spare_me():
    """
    When memory is short, something else is to end than what a guest goes through.
    """
    for name, value in (("oom_score_adj", b"-1000"), ("oom_adj", b"-17")):
        try:
            with open("%s/self/%s" % (PROC, name), "wb") as stream:
                stream.write(value)
            return
        except EnvironmentError:
            # No root, or another kernel.
            continue


if __name__ == "__main__":
    _main()
