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
# For the disk, once all was sent.
SETTLE_S = 900
TELL_S = 1
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

# When the kernel does not tell how much of what xend has written is still on its way.
UNSEEN_BYTES = 4 * MIB

# From asm-generic/ioctls.h and poll.h, and from linux/fadvise.h.
FIONREAD = 0x541B
POLLRDHUP = 0x2000
FADV_DONTNEED = 4

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
    ``pid`` and ``identity`` of its process; ``alive``, whether that very process still runs; ``listens``,
    ``sends_to`` and ``sends_from`` (None: not connected), each [address, port]; ``phase``: "listening",
    "connecting" (to the target), "sending", "sent" (xend has closed its end, in whatever way) or "over";
    ``bytes`` that came from xend behind the handshake; ``rate_mib_s``, of the last seconds (None: not known);
    ``began_at`` and ``sent_at``, when the first of them came and when xend closed, seconds since the epoch;
    ``heard``: None, "ok", "err", "silence" (the target has closed without a word, xend has sent all
    nevertheless), "broken" (the transfer was broken off while xend was sending) or "unanswered" (the time
    for an answer is over); ``said``, the text of the target's error; ``problem``, why the target could not
    be reached, worded as by xend, or what has become of the relay; and ``copy``, a dict of ``state`` ("none",
    "growing", "complete", "given up" or "removed"), ``path``, ``bytes`` and ``why`` (None: for no reason).

    A copy is complete when xend has closed its end in good order and all that it has sent is on the disk. A
    xend that fails at the sending closes in the same way: whether the guest has gone from its source, so
    that the copy is all that is left of it, is to be seen there. Raises EnvironmentError when the file cannot
    be read, and ValueError when it cannot be understood.
    """
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
    wrong = _misfits(STATUS_KINDS, found)
    if wrong:
        raise ValueError("%s is wrong or missing" % wrong[0])
    made = dict([(name, _plain(found[name])) for name, _ in STATUS_KINDS])
    made["copy"] = dict([(name, _plain(found["copy"][name])) for name, _ in COPY_KINDS])
    made["alive"] = identity(made["pid"]) == made["identity"]
    return made


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
    try:
        os.kill(found["pid"], signal.SIGTERM)
    except EnvironmentError as exc:
        if exc.errno != errno.ESRCH:
            raise
        return False
    return True


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
        self._changed = threading.Condition()
        # Two may want to write: what is older must not come last.
        self._writing = threading.Lock()
        # The file as it was written last, kept open so that no other one can be taken for it.
        self._descriptor = None
        self.is_forgotten = False

    def begin(self):
        """
        Write it for the first time, and from then on whenever it changes.
        """
        self.write(is_durable=False)
        _thread(self._keep_writing)

    def words(self):
        with self._changed:
            return dict(self._words)

    def note(self, **words):
        """
        What is told with the next change, or within a second.
        """
        with self._changed:
            self._words.update(words)

    def tell(self, **words):
        """
        What is told at once.
        """
        with self._changed:
            self._words.update(words)
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
                if self._words == self._written:
                    self._changed.wait(TELL_S)
                is_news = self._words != self._written
            if is_news:
                try:
                    self.write(is_durable=False)
                except EnvironmentError:
                    # The next one may succeed: no transfer is broken off for that.
                    time.sleep(TELL_S)


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
            self._look_for_room(descriptor)
        except EnvironmentError:
            os.close(descriptor)
            _remove(self._path)
            raise
        self._descriptor = descriptor
        _thread(self._run)

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
        try:
            self._grow()
        except EnvironmentError as exc:
            self.drop("given up", "%s: %s" % (self._path, exc.strerror or exc))
        if not self._dropped:
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
        except EnvironmentError as exc:
            # It stays: it may be all that is left of a guest, and may be whole.
            state = "given up"
            self._why = "%s is not safe on the disk: %s" % (self._path, exc.strerror or exc)
        with self._news:
            if self._dropped:
                return
            self.state = state
        try:
            # Whoever reads that can rely on it.
            self._status.write(copy=self.words())
        except EnvironmentError:
            self._status.tell(copy=self.words())

    def _go(self):
        state = self._dropped
        try:
            # Another relay, for the same guest, may have put its own there.
            if _is_same(os.lstat(self._path), os.fstat(self._descriptor)):
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


class Relay(object):
    """
    One relay: listens, takes the connection of xend, connects to the target, forwards, and listens to the
    answer.
    """

    def __init__(self, settings):
        self._settings = settings
        self._listener = None
        self._source = None
        self._target = None
        self._wakes, self._wake_end = os.pipe()
        for descriptor in (self._wakes, self._wake_end):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
        self._is_stopped = False
        self._status = None
        self._copy = None
        # What came from the source and is not with the target yet, and the other way round.
        self._outgoing = []
        self._incoming = b""
        self._total = 0
        # Whether the source sends a guest in plain words; None: it has not said so yet.
        self._is_plain = None
        self._head = b""
        # All that the target has said, and what of it the source is not told yet.
        self._said = b""
        self._held = b""
        # How the source has ended: None, "orderly" or "reset".
        self._end = None
        self._ended = None
        self._is_target_gone = False
        self._is_shut = False
        # The transfer is broken off when more than so many bytes come.
        self._limit = None
        self._why = None
        self._held_up_s = 0.0
        self._rates = []

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
        _private(os.path.dirname(settings["status"]))
        self._copy = Copy(settings["copy"], settings["spare_mib"] * MIB, self._status, self._wake)
        # An older copy in the same place is not called complete for a moment.
        self._status.note(copy=self._copy.words())
        self._status.begin()
        if settings["copy"]:
            try:
                self._copy.begin()
            except EnvironmentError as exc:
                self._copy.drop("given up", "%s: %s" % (settings["copy"], exc.strerror or exc))
                if settings["required"]:
                    _remove(settings["status"])
                    raise
        return self._status.words()

    def withdraw(self):
        """
        Leave nothing of what `begin` has made.
        """
        self.stop()
        self.run()
        _remove(self._settings["status"])

    def stop(self):
        self._is_stopped = True
        self._wake()

    def run(self):
        """
        All that is to be done, until it is over.
        """
        try:
            self._source = self._accepted()
            if self._source:
                self._status.tell(phase="connecting")
                self._target = self._connected()
            if self._target:
                self._forward()
        except BrokenOff:
            self._break_off()
        if self._source:
            self._source.close()
        if self._target:
            self._target.close()
        if self._end != "orderly":
            self._copy.drop("removed", self._why)
        deadline = _clock() + SETTLE_S
        while not self._copy.is_settled() and _clock() < deadline:
            self._poll([], 1)
        self._status.write(phase="over", rate_mib_s=None, copy=self._copy.words())

    def _wake(self):
        try:
            os.write(self._wake_end, b".")
        except EnvironmentError:
            # It is full: that suffices.
            pass

    def _poll(self, wanted, seconds):
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
                if not self._poll([(self._listener, select.POLLIN)], min(left_s, 60)):
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
        The connection to the target; None when there is none, which xend has then been told.
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
        self._status.tell(problem=self._why)
        # As if the target had refused to go on: xend has begun nothing yet, and does not with that.
        _reset(self._source)
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
            events = self._poll(wanted, min(1, deadline - _clock()))
            if made in events:
                return made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if self._source in events:
                # xend waits no longer.
                return None
        return None

    # Forwarding

    def _forward(self):
        settings = self._settings
        rate = settings["rate_mib_s"]
        self._bucket = Bucket(rate * MIB if rate else None, _clock())
        self._status.tell(phase="sending")
        self._began = self._moved = then = _clock()
        while not self._is_done(then):
            wanted, wait_s = self._wanted(then)
            is_held_up = self._is_held_up()
            events = self._poll(wanted, wait_s)
            now = _clock()
            if is_held_up:
                self._held_up_s += now - then
                self._moved = now
            then = now
            self._on_time(now)
            if events.get(self._target):
                self._on_target(events[self._target])
            if events.get(self._source):
                self._on_source(events[self._source])
            # What has just come goes on at once, if it can.
            self._send()

    def _is_held_up(self):
        """
        Whether it is the disk alone that keeps the relay from reading on.
        """
        return self._reads_on() and not self._outgoing and self._copy.is_full()

    def _reads_on(self):
        return self._end is None

    def _wanted(self, now):
        """
        What to wait for: pairs of socket and mask; and for how long.
        """
        wait_s = TELL_S
        source = select.POLLOUT if self._incoming and self._reads_on() else 0
        if self._reads_on() and (self._is_target_gone or not (self._outgoing or self._copy.is_full())):
            if self._is_target_gone or self._bucket.allows(now):
                source |= select.POLLIN
            else:
                wait_s = min(wait_s, self._bucket.wait_s())
        wanted = []
        if self._reads_on():
            wanted.append((self._source, source))
        if not self._is_target_gone:
            wanted.append((self._target, select.POLLIN | (select.POLLOUT if self._outgoing else 0)))
        return wanted, wait_s

    def _on_time(self, now):
        settings = self._settings
        self._tell_rate(now)
        for since, most_s, what in (
            (self._moved, STALLED_S, "nothing has moved for %d s"),
            (self._began, LIFE_S, "it was not over after %d s"),
        ):
            if now - since > most_s and self._end is None:
                self._why = what % most_s
                raise BrokenOff()
        if self._is_stopped:
            self._limit_to_what_came("it was asked to end")
        if self._held_up_s > settings["delay_s"]:
            self._copy.drop(
                "given up",
                "the disk is too slow: it has held the transfer up for %d s" % self._held_up_s,
            )
        if self._status.is_forgotten:
            self._copy.drop("removed", "nobody asks for it any more")
        if settings["required"] and self._copy.state == "given up" and self._end is None:
            self._limit_to_what_came(self._copy.words()["why"])

    def _tell_rate(self, now):
        if self._rates and now - self._rates[-1][0] < RATE_EVERY_S:
            return
        self._rates = [one for one in self._rates if one[0] >= now - RATE_S] + [(now, self._total)]
        passed = now - self._rates[0][0]
        rate = round((self._total - self._rates[0][1]) / passed / MIB, 2) if passed else None
        self._status.note(bytes=self._total, rate_mib_s=rate)

    def _limit_to_what_came(self, why):
        """
        Break the transfer off as soon as xend sends anything more than it has written by now.

        What it has written may have been the last: then it destroys the guest next, and notices nothing of a
        connection that is broken. So that only ends a transfer of which certainly more was to come.
        """
        if self._limit is not None or self._end or self._status.words()["heard"] == "ok":
            return
        self._why = why
        unread = struct.unpack("i", fcntl.ioctl(self._source, FIONREAD, struct.pack("i", 0)))[0]
        found = self._other_end(self._source)
        self._limit = self._total + unread + (found["unsent"] if found else UNSEEN_BYTES)
        if self._is_plain is None:
            self._limit -= len(HANDSHAKE) - len(self._head)

    def _on_source(self, events):
        if events & select.POLLOUT and self._incoming:
            self._tell_source()
        is_failing = events & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
        if not events & select.POLLIN and not is_failing:
            return
        # Of a connection that is broken there is no more than what has come, and it does not wait.
        size = PIECE_BYTES if is_failing or self._is_target_gone else self._bucket.allows(_clock())
        try:
            piece = self._source.recv(size) if size else None
        except socket.error as exc:
            if exc.errno not in NOT_YET:
                self._source_ended("reset")
            return
        if piece is None:
            return
        self._moved = _clock()
        if not piece:
            self._source_ended("orderly")
            return
        self._take(piece)

    def _take(self, piece):
        behind = self._behind_handshake(piece)
        if behind:
            if not self._total:
                self._status.tell(began_at=time.time())
            self._total += len(behind)
            if self._limit is not None and self._total > self._limit:
                raise BrokenOff()
            if self._is_plain:
                self._copy.feed(behind)
        if not self._is_target_gone:
            self._bucket.spend(len(piece))
            self._outgoing.append(piece)

    def _behind_handshake(self, piece):
        """
        What of a piece is no handshake.
        """
        if self._is_plain is not None:
            return piece
        self._head += piece
        if not self._head.startswith(HANDSHAKE[: len(self._head)]):
            self._is_plain = False
            why = "what xend sends is not the guest in plain words, but by TLS, perhaps"
            self._copy.drop("given up", why)
            if self._settings["required"]:
                self._why = why
                raise BrokenOff()
            return self._head
        if len(self._head) < len(HANDSHAKE):
            return b""
        self._is_plain = True
        return self._head[len(HANDSHAKE) :]

    def _source_ended(self, how):
        self._end, self._ended = how, _clock()
        if how == "orderly" and self._total:
            self._copy.finish()
        else:
            self._copy.drop("removed", "xend has broken the connection off")
        self._status.tell(phase="sent", sent_at=time.time(), bytes=self._total)

    def _send(self):
        """
        Send what has come, as far as the target takes it.
        """
        while self._outgoing and not self._is_target_gone:
            try:
                count = self._target.send(self._outgoing[0])
            except socket.error as exc:
                if exc.errno not in NOT_YET:
                    self._on_target(select.POLLIN)
                return
            self._moved = _clock()
            rest = self._outgoing[0][count:]
            self._outgoing[:1] = [rest] if rest else []
        if self._end and not self._is_shut and not self._is_target_gone:
            self._is_shut = True
            try:
                self._target.shutdown(socket.SHUT_WR)
            except socket.error:
                # It is gone; what it has said is read next.
                pass

    def _on_target(self, events):
        if not events & ~select.POLLOUT:
            return
        while True:
            try:
                said = self._target.recv(4096)
            except socket.error as exc:
                if exc.errno in NOT_YET:
                    return
                said = b""
            if not said:
                self._target_gone()
                return
            self._moved = _clock()
            self._hear(said)

    def _hear(self, said):
        self._said = (self._said + said)[:MOST_SAID]
        if self._is_plain and self._total:
            # xend reads nothing of that unless a write fails. With it unread, older ones that close at last
            # would break the connection off, and with it what is on its way (TCP sends a reset then).
            self._held = (self._held + said)[:MOST_SAID]
        else:
            self._incoming += said
            self._tell_source()
        heard, text = answer(self._said) if self._is_plain else (None, None)
        if heard == "ok" and self._status.words()["heard"] != "ok":
            self._status.write(heard="ok")
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
        self._outgoing = []
        if self._end is None:
            self._limit_to_what_came("the target has closed the connection")
            if self._limit is not None and self._limit <= 0:
                # Nothing has begun: xend is told at once, as the target would.
                raise BrokenOff()

    def _is_done(self, now):
        if self._end is None:
            return False
        heard = self._status.words()["heard"]
        if self._is_target_gone:
            if heard is None:
                self._status.tell(heard="silence")
            return True
        if not self._total:
            # xend has not waited any longer.
            return True
        if heard == "ok":
            return not self._outgoing
        since = now - self._ended
        if heard == "err":
            return since > ANSWER_S and not self._outgoing
        if since > self._settings["answer_s"]:
            self._status.tell(heard="unanswered")
            return True
        return False

    def _break_off(self):
        """
        Let xend see that the transfer has failed: the target's own words, then writing fails.
        """
        if self._status.words()["heard"] is None:
            self._status.note(heard="broken")
        self._incoming += self._held
        if self._incoming:
            self._tell_source()
        self._copy.drop("removed", self._why)
        _reset(self._source)


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
            _reset(made)
            if is_own:
                return
    finally:
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


def _reset(made):
    """
    Close a connection so that the other end notices at once.
    """
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except socket.error:
        # It is closed already.
        pass
    made.close()


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
