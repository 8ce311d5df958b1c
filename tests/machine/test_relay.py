"""The relay: between a xend, which is played by this process, and a target, on real sockets and disks."""

import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import xm_relay

# Against hanging only.
LIMIT_S = 300
MIB = 1048576
NAMES = {"id": "a1", "name": "web01", "uuid": "0000-01", "target": "xen2", "live": True}
READY = b"(ready receive)\n"


def stream(size, seed=1):
    return random.Random(seed).randbytes(size)


def wait_until(look, what):
    deadline = time.monotonic() + LIMIT_S
    while not (seen := look()):
        assert time.monotonic() < deadline, "waited %d s for %s" % (LIMIT_S, what)
        time.sleep(0.01)
    return seen


class Peer:
    """One end of a connection, which is read by a thread, so that nothing is held up."""

    def __init__(self, connection, reads=True):
        self.connection = connection
        connection.settimeout(LIMIT_S)
        self.read, self.error, self.ended = bytearray(), None, threading.Event()
        self.pause_s = 0
        if reads:
            self.go_on()

    def go_on(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while piece := self.connection.recv(65536):
                self.read += piece
                time.sleep(self.pause_s)
        except OSError as exc:
            self.error = exc
        self.ended.set()

    def say(self, data):
        self.connection.sendall(data)

    def wait_for(self, data):
        wait_until(lambda: data in self.read, data)

    def slow_down(self, pause_s):
        """From now on, rest after each piece that was read."""
        self.pause_s = pause_s

    def wait_end(self):
        assert self.ended.wait(LIMIT_S)

    def close(self):
        # As at the end of a process: what was not read is thrown away.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()


class Wire:
    """A relay of this process, with a target that listens."""

    def __init__(self, folder):
        self.folder = folder
        self.status_file, self.copy_file = folder / "kept" / "web01.relay", folder / "safe" / "web01.save"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LIMIT_S)
        self.started = []
        self.settings = {
            "listen": [["127.0.0.1", 0]],
            "target": list(self.listener.getsockname()),
            "bind": None,
            "status": str(self.status_file),
            "copy": str(self.copy_file),
            "required": False,
            "delay_s": 30,
            "rate_mib_s": None,
            "xend": os.getpid(),
            "accept_s": LIMIT_S,
            "answer_s": LIMIT_S,
            "spare_mib": 0,
            "names": NAMES,
        }

    def start(self, **changes):
        self.settings.update(changes)
        self.started.append(xm_relay.start(self.settings))
        return self.started[-1]

    def status(self):
        return xm_relay.status(str(self.status_file))

    def pids(self):
        """The process that forwards, and its guard."""
        seen = wait_until(lambda: (seen := self.status())["guard"] and seen, "a guard")
        return [seen["pid"], int(seen["guard"].split()[1])]

    def kill(self):
        """Kill both at once: the guard leads their session."""
        os.killpg(self.pids()[1], signal.SIGKILL)
        wait_until(lambda: not self.status()["alive"], "the end of the relay")

    def connect(self, reads=True):
        return Peer(socket.create_connection(tuple(self.started[-1]["listens"])), reads)

    def accept(self, reads=True):
        return Peer(self.listener.accept()[0], reads)

    def open(self, target_reads=True):
        """Source and target, the handshake done."""
        source = self.connect()
        source.say(b"receive\n")
        target = self.accept(target_reads)
        if target_reads:
            target.wait_for(b"receive\n")
        target.say(READY)
        source.wait_for(READY)
        return source, target

    def wait_heard(self, word):
        return wait_until(lambda: (seen := self.status())["heard"] == word and seen, word)

    def wait_bytes(self, count):
        return wait_until(lambda: (seen := self.status())["bytes"] >= count and seen, count)

    def wait_over(self):
        """The last status."""
        return wait_until(lambda: not (seen := self.status())["alive"] and seen, "the relay's end")


@pytest.fixture
def wire(tmp_path):
    made = Wire(tmp_path)
    yield made
    made.listener.close()
    for status in made.started:
        # It began as the leader of a group, which is there as long as any of its processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(status["pid"], signal.SIGKILL)


def fails_to_write(source):
    """What comes of writing on; it must fail."""
    with pytest.raises(OSError) as caught:
        for _ in range(10000):
            source.say(b"x" * 65536)
    return caught.value


# What is passed on, and kept


def test_a_transfer_that_succeeds(wire):
    begun = wire.start()
    assert begun["phase"] == "listening" and begun["alive"] and begun["copy"]["state"] == "growing"
    assert {name: begun[name] for name in NAMES} == NAMES
    source, target = wire.open()
    data = stream(20 * MIB)
    source.say(data)
    source.close()
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    sent = wait_until(lambda: (seen := wire.status())["copy"]["state"] == "complete" and seen, "complete")
    assert (sent["phase"], sent["heard"], sent["bytes"]) == ("sent", None, len(data))
    assert wire.copy_file.read_bytes() == data
    target.say(b"(ok)\n")
    assert wire.wait_heard("ok")
    target.close()
    over = wire.wait_over()
    assert (over["phase"], over["copy"]["state"], over["problem"]) == ("over", "removed", None)
    assert begun["began_at"] is None and over["began_at"] <= over["sent_at"] <= time.time()
    assert not wire.copy_file.exists() and os.listdir(wire.copy_file.parent) == []


def test_files_are_for_their_owner_only(wire):
    wire.start()
    for path in (wire.status_file, wire.copy_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "said, heard, text",
    [
        (b"(err (type xen.xend.XendError.XendError) (value 'Device 51712 (vbd) failed'))\n", "err",
         "Device 51712 (vbd) failed"),
        (b"", "silence", None),
    ],
)  # fmt: skip
def test_a_target_that_fails_after_all_was_sent_leaves_a_complete_copy(wire, said, heard, text):
    wire.start()
    source, target = wire.open()
    data = stream(3 * MIB)
    source.say(data)
    source.close()
    target.wait_end()
    target.say(said)
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["said"], over["phase"]) == (heard, text, "over")
    assert over["copy"] == {
        "state": "complete", "path": str(wire.copy_file), "bytes": len(data), "why": None,
    }  # fmt: skip
    assert wire.copy_file.read_bytes() == data


def test_a_target_that_never_answers(wire):
    wire.start(answer_s=0.2)
    source, target = wire.open()
    source.say(b"memory")
    source.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("unanswered", "complete")
    target.wait_end()


def test_without_a_copy_everything_else_is_as_with_one(wire):
    wire.start(copy=None)
    source, target = wire.open()
    source.say(b"memory")
    source.close()
    target.wait_end()
    target.say(b"(ok)\n")
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("ok", "none")
    assert not wire.copy_file.parent.exists()


def test_the_target_sees_the_address_that_was_asked_for(wire):
    wire.start(bind="127.0.0.9")
    source = wire.connect()
    target = wire.accept()
    assert target.connection.getpeername()[0] == "127.0.0.9"
    seen = wait_until(lambda: (seen := wire.status())["phase"] == "sending" and seen, "sending")
    assert seen["sends_from"] == list(target.connection.getpeername())
    source.close()
    wire.wait_over()


def test_an_address_of_another_host_is_not_insisted_on(wire):
    wire.start(bind="192.0.2.1")
    source = wire.connect()
    assert wire.accept().connection.getpeername()[0] == "127.0.0.1"
    source.close()
    wire.wait_over()


# A target that xend cannot send to


def test_a_target_where_nothing_listens(wire):
    wire.listener.close()
    wire.start()
    source = wire.connect()
    source.wait_end()
    assert isinstance(source.error, ConnectionResetError)
    over = wire.wait_over()
    assert over["problem"] == "can't connect: [Errno 111] Connection refused"
    assert over["copy"]["state"] == "removed" and not wire.copy_file.exists()


def test_a_target_whose_name_nobody_knows(wire):
    wire.start(target=["no-such-host.invalid", 8002])
    source = wire.connect()
    source.wait_end()
    assert wire.wait_over()["problem"].startswith("can't connect: [Errno -")


def test_a_target_that_does_not_admit_this_host(wire):
    """xend closes the connection at once, without a word."""
    wire.start()
    source = wire.connect()
    source.say(b"receive\n")
    wire.accept(reads=False).connection.close()
    source.wait_end()
    assert isinstance(source.error, ConnectionResetError) and not source.read
    over = wire.wait_over()
    assert (over["heard"], over["bytes"], over["copy"]["state"]) == ("broken", 0, "removed")


def test_a_mute_target_is_waited_for_by_xend_alone(wire):
    wire.start()
    source = wire.connect()
    source.say(b"receive\n")
    target = wire.accept()
    target.wait_for(b"receive\n")
    source.close()
    target.wait_end()
    over = wire.wait_over()
    assert (over["bytes"], over["copy"]["state"], over["began_at"]) == (0, "removed", None)


# A transfer that breaks


def test_a_target_that_dies_in_the_middle_is_passed_on(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(2 * MIB))
    wire.wait_bytes(2 * MIB)
    target.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    target.close()
    fails_to_write(source)
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"], over["sent_at"]) == ("broken", "removed", None)
    assert not wire.copy_file.exists()


def test_what_a_target_says_in_the_middle_is_there_when_writing_fails(wire):
    """xend 4.x reads it then, and only then."""
    wire.start()
    source = wire.connect(reads=False)
    source.say(b"receive\n")
    target = wire.accept()
    target.say(READY)
    assert source.connection.recv(80) == READY
    source.say(stream(2 * MIB))
    wire.wait_bytes(2 * MIB)
    words = b"(err (type XendError) (value 'xc_restore failed'))\n"
    target.say(words)
    target.close()
    fails_to_write(source)
    assert source.connection.recv(1024) == words
    over = wire.wait_over()
    assert (over["heard"], over["said"], over["sent_at"]) == ("err", "xc_restore failed", None)
    assert over["copy"]["state"] == "removed"


def test_a_target_that_fails_but_reads_on_is_taken_at_its_word(wire):
    """xend 3.0.3 reports an error and goes on reading, as if memory were commands."""
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    target.say(b"(err (type xen.xend.XendError.XendError) (value 'no memory'))\n")
    wire.wait_heard("err")
    fails_to_write(source)
    assert wire.wait_over()["copy"]["state"] == "removed"


@pytest.mark.parametrize("words", [b"", b"(err (type XendError) (value 'no disk'))\n"])
def test_a_target_that_fails_before_xend_has_closed_what_it_has_sent_wholly(wire, words):
    """
    A xend that does not migrate live destroys its guest first and closes then: to break such a connection off
    would save nothing.
    """
    wire.start()
    source, target = wire.open()
    data = stream(5 * MIB)
    source.say(data)
    wire.wait_bytes(len(data))
    target.say(words)
    target.close()
    if words:
        wire.wait_heard("err")
    # The relay has noticed, and waits.
    time.sleep(0.3)
    assert wire.status()["phase"] == "sending"
    source.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("err" if words else "silence", "complete")
    assert wire.copy_file.read_bytes() == data


def test_an_ok_before_xend_has_closed(wire):
    """xend 4.0 and later do not wait for that."""
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    target.say(b"(ok)\n")
    wire.wait_heard("ok")
    wait_until(lambda: wire.status()["copy"]["state"] == "removed", "removed")
    source.close()
    target.wait_end()
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["phase"], over["bytes"]) == ("ok", "over", MIB)
    assert not wire.copy_file.exists()


def test_a_source_that_breaks_off(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    source.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    source.close()
    target.wait_end()
    target.close()
    over = wire.wait_over()
    assert over["copy"]["state"] == "removed" and not wire.copy_file.exists()


def test_a_live_source_that_closes_with_both_sides_shut(wire):
    """xend 4.2 and later: shutdown(2), close. What comes from the target then is answered by a reset."""
    wire.start()
    source, target = wire.open()
    data = stream(2 * MIB)
    source.say(data)
    source.connection.shutdown(socket.SHUT_RDWR)
    source.close()
    target.say(b"something\n")
    target.wait_end()
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("silence", "complete")
    assert bytes(target.read) == b"receive\n" + data == b"receive\n" + wire.copy_file.read_bytes()


def test_a_relay_that_is_asked_to_end(wire):
    wire.start()
    assert xm_relay.stop(str(wire.status_file))
    over = wire.wait_over()
    assert (over["phase"], over["copy"]["state"]) == ("over", "removed")
    assert not xm_relay.stop(str(wire.status_file))
    assert not xm_relay.stop(str(wire.folder / "none"))


def test_a_relay_that_sends_is_asked_to_end(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    assert xm_relay.stop(str(wire.status_file))
    fails_to_write(source)
    target.wait_end()
    assert wire.wait_over()["heard"] == "broken"


# Who may come, and where


STRANGER = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(b"receive\\n")
try:
    print(connection.recv(100))
except ConnectionResetError:
    print(b"")
"""


def test_a_stranger_is_not_served_and_xend_still_is(wire):
    begun = wire.start()
    end = [str(part) for part in begun["listens"]]
    stranger = subprocess.run(
        [sys.executable, "-c", STRANGER, *end], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert stranger.stdout == "b''\n" and wire.status()["phase"] == "listening"
    source, target = wire.open()
    source.say(b"memory")
    source.close()
    target.wait_end()
    # The stranger has not got that far.
    assert bytes(target.read) == b"receive\nmemory"


def test_only_one_connection_is_taken(wire):
    wire.start()
    source, target = wire.open()
    with pytest.raises(ConnectionRefusedError):
        wire.connect()
    source.say(b"memory")
    source.close()
    target.wait_end()


def test_nobody_comes(wire):
    wire.start(accept_s=0.1)
    over = wire.wait_over()
    assert (over["phase"], over["heard"], over["copy"]["state"]) == ("over", None, "removed")
    assert over["copy"]["why"] == "xend has not connected" and not wire.copy_file.exists()


def test_where_a_port_is_taken_the_next_place_counts(wire):
    taken = wire.listener.getsockname()
    begun = wire.start(listen=[list(taken), ["127.0.0.1", 0]])
    assert begun["listens"][1] not in (0, taken[1])


def test_where_nothing_is_free_it_says_so_and_leaves_nothing(wire):
    taken = list(wire.listener.getsockname())
    with pytest.raises(EnvironmentError, match="can listen nowhere: 127.0.0.1:%d: Address" % taken[1]):
        wire.start(listen=[taken])
    assert not wire.status_file.exists() and not wire.copy_file.exists()


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"target": ["xen2"]}, "target"),
        ({"rate_mib_s": 0}, "rate_mib_s"),
        ({"status": "relative"}, "status"),
        ({"xend": "7"}, "xend"),
        ({"listen": []}, "listen"),
        ({"names": {}}, "names"),
        ({"copy": None, "required": True}, "required"),
    ],
)
def test_settings_that_it_cannot_go_by(wire, changes, word):
    with pytest.raises(ValueError, match=word):
        wire.start(**changes)


@pytest.mark.parametrize("executable", ["", None])
def test_without_an_interpreter_it_says_so(wire, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(EnvironmentError, match="no Python interpreter"):
        wire.start()


def test_an_interpreter_that_fails_is_quoted(wire, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho wrong libc >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(EnvironmentError, match="wrong libc"):
        wire.start()


STARTER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import xm_relay
print(json.dumps(xm_relay.start(json.load(sys.stdin))), flush=True)
"""


def test_it_outlives_whoever_has_started_it(wire):
    folder = str(Path(xm_relay.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", STARTER, folder],
        input=json.dumps(wire.settings), capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    wire.started.append(json.loads(done.stdout))
    source, target = wire.open()
    source.say(b"memory")
    source.close()
    target.wait_end()
    target.say(b"(ok)\n")
    target.close()
    assert wire.wait_over()["heard"] == "ok"


def test_it_holds_nothing_of_whoever_has_started_it(wire):
    begun = wire.start()
    files = {path for path in links(begun["pid"]) if path.startswith("/") and path != os.devnull}
    assert files == {str(wire.status_file), str(wire.copy_file)}
    assert os.getsid(begun["pid"]) == begun["pid"] and os.readlink("/proc/%d/cwd" % begun["pid"]) == "/"


def link(pid, name):
    return os.readlink("/proc/%d/fd/%s" % (pid, name))


def links(pid):
    return [link(pid, name) for name in fds(pid)]


def fds(pid):
    return os.listdir("/proc/%d/fd" % pid)


# The status


def test_a_status_is_whole_whenever_it_is_read(wire):
    wire.start(rate_mib_s=20)
    source, target = wire.open()
    seen, over = [], threading.Event()

    def read():
        while not over.is_set():
            seen.append(wire.status())

    reader = threading.Thread(target=read)
    reader.start()
    source.say(stream(30 * MIB))
    source.close()
    target.wait_end()
    target.close()
    wire.wait_over()
    over.set()
    reader.join()
    counted = [one["bytes"] for one in seen]
    assert None not in seen and counted == sorted(counted) and len(set(counted)) > 2


def test_a_status_is_not_written_for_every_piece(wire):
    wire.start(rate_mib_s=20)
    source, target = wire.open()
    seen, over = set(), threading.Event()

    def look():
        while not over.is_set():
            seen.add(wire.status_file.stat().st_mtime_ns)
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.monotonic()
    source.say(stream(40 * MIB))
    source.close()
    target.wait_end()
    took_s = time.monotonic() - began
    over.set()
    watcher.join()
    target.close()
    # Each second, and with each of a few changes.
    assert took_s - 2 < len(seen) < 10 + 5 * took_s


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": 1}', "nonsense", "\0", "[" * 100000])
def test_a_status_that_is_none(wire, content):
    wire.status_file.parent.mkdir()
    wire.status_file.write_text(content)
    with pytest.raises(ValueError, match="no status of a relay"):
        wire.status()


@pytest.mark.parametrize(
    "change", [{"bytes": -1}, {"bytes": "7"}, {"phase": "odd"}, {"heard": "odd"}, {"copy": {}}, {"pid": 1.5}]
)
def test_a_status_of_which_something_is_wrong(wire, change):
    begun = wire.start()
    xm_relay.kill(str(wire.status_file))
    del begun["alive"]
    wire.status_file.write_text(json.dumps({**begun, **change}))
    with pytest.raises(ValueError, match="%s is wrong" % next(iter(change))):
        wire.status()


def test_a_status_file_that_is_a_link_is_not_followed(wire):
    wire.status_file.parent.mkdir()
    wire.status_file.symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        wire.status()
    wire.start()
    assert not wire.status_file.is_symlink() and wire.status()["alive"]


def test_who_removes_the_status_has_done_with_the_relay(wire):
    """Nothing comes back of a guest of which nobody wants to know any more."""
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    source.close()
    target.wait_end()
    pids = wire.pids()
    wait_until(lambda: wire.status()["copy"]["state"] == "complete", "complete")
    wire.status_file.unlink()
    target.say(b"(ok)\n")
    target.close()
    wait_until(lambda: not any(map(xm_relay.identity, pids)), "the end of the relay")
    assert os.listdir(wire.status_file.parent) == os.listdir(wire.copy_file.parent) == []


# The disk of the copy


def fill_disk(pid, size):
    """From now on, the process can write no file beyond that size."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def send_all(wire, data):
    """Send data, with a target that takes it; return the last status."""
    source, target = wire.open()
    source.say(data)
    source.close()
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    target.close()
    return wire.wait_over()


def test_a_disk_that_gets_full_gives_the_copy_up_and_nothing_else(wire):
    begun = wire.start()
    fill_disk(begun["pid"], 3 * MIB)
    over = send_all(wire, stream(20 * MIB))
    assert over["copy"]["state"] == "given up" and "File too large" in over["copy"]["why"]
    assert not wire.copy_file.exists()


def test_a_disk_that_gets_full_breaks_a_transfer_for_which_a_copy_is_required(wire):
    begun = wire.start(required=True)
    fill_disk(begun["pid"], 3 * MIB)
    source, target = wire.open()
    fails_to_write(source)
    target.wait_end()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"], over["sent_at"]) == ("broken", "given up", None)
    assert not wire.copy_file.exists()


def test_a_required_copy_that_fails_when_all_was_sent_breaks_nothing(wire):
    begun = wire.start(required=True)
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    fill_disk(wire.pids()[0], 2 * MIB)
    fill_disk(begun["pid"], 2 * MIB)
    more = stream(2 * MIB, 2)
    # The relay cannot look in between: it is all there, and its end.
    os.kill(wire.pids()[0], signal.SIGSTOP)
    source.say(more[: MIB + 1000])
    source.connection.shutdown(socket.SHUT_WR)
    os.kill(wire.pids()[0], signal.SIGCONT)
    target.wait_end()
    assert len(target.read) == len(b"receive\n") + 2 * MIB + 1000
    target.say(b"(ok)\n")
    target.close()
    assert wire.wait_over()["heard"] == "ok"


def test_without_room_there_is_no_copy(wire):
    begun = wire.start(spare_mib=10**9)
    assert begun["copy"]["state"] == "given up" and "are to stay free" in begun["copy"]["why"]
    assert send_all(wire, b"memory")["copy"]["state"] == "given up"
    assert not wire.copy_file.exists()


def test_without_room_a_required_copy_keeps_it_from_starting(wire):
    with pytest.raises(EnvironmentError, match="are to stay free"):
        wire.start(spare_mib=10**9, required=True)
    assert not wire.status_file.exists() and not wire.copy_file.exists()


def test_a_file_system_that_lets_others_read_its_files_holds_no_copy(tmp_path, monkeypatch):
    """One without modes, as FAT and CIFS: what is asked for when the file is made counts nothing."""

    def opened_to_all(path, flags, mode=0o777):
        descriptor = os.open(path, flags, mode)
        if flags & os.O_CREAT:
            os.fchmod(descriptor, 0o755)
        return descriptor

    monkeypatch.setattr(xm_relay, "os", Stand(os, open=opened_to_all))
    path = tmp_path / "safe" / "web01.save"
    with pytest.raises(EnvironmentError, match="others may read"):
        xm_relay.Copy(str(path), 0, None, None).begin()
    assert not path.exists()


class Stand:
    """A module of which something is replaced."""

    def __init__(self, module, **replaced):
        self._module = module
        vars(self).update(replaced)

    def __getattr__(self, name):
        return getattr(self._module, name)


@pytest.mark.parametrize("obstacle", ["file", "open to others"])
def test_a_folder_that_cannot_hold_a_copy(wire, obstacle):
    if obstacle == "file":
        wire.copy_file.parent.write_text("")
    else:
        wire.copy_file.parent.mkdir()
        wire.copy_file.parent.chmod(0o777)
    begun = wire.start()
    assert begun["copy"]["state"] == "given up" and str(wire.copy_file) in begun["copy"]["why"]
    assert send_all(wire, b"memory")["heard"] == "silence"
    with pytest.raises(EnvironmentError):
        wire.start(required=True)


def test_a_copy_whose_name_is_gone_in_mid_transfer_is_not_complete(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    wire.copy_file.unlink()
    wire.copy_file.parent.rmdir()
    source.say(stream(MIB))
    source.close()
    target.wait_end()
    target.close()
    over = wire.wait_over()
    assert over["heard"] == "silence" and over["copy"]["state"] == "given up"


def test_a_copy_that_somebody_removes_in_mid_transfer_is_not_complete(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    wire.copy_file.unlink()
    source.close()
    target.wait_end()
    target.close()
    assert wire.wait_over()["copy"]["state"] == "given up"


def test_a_copy_that_is_given_up_takes_no_room_any_more(wire):
    """Neither process keeps it open in secret."""
    begun = wire.start()
    source, target = wire.open()
    source.say(stream(3 * MIB))
    wait_until(lambda: wire.status()["copy"]["bytes"] == 3 * MIB, "3 MiB")
    (descriptor,) = [fd for fd in fds(begun["pid"]) if "web01.save" in link(begun["pid"], fd)]
    for pid in wire.pids():
        fill_disk(pid, 3 * MIB)
    source.say(stream(MIB))
    wait_until(lambda: wire.status()["copy"]["state"] == "given up", "given up")
    wait_until(lambda: not wire.copy_file.exists(), "removal")
    assert os.stat("/proc/%d/fd/%s" % (begun["pid"], descriptor)).st_blocks == 0
    source.close()
    target.wait_end()
    target.close()


def test_what_was_there_is_replaced_and_no_link_followed(wire, tmp_path):
    wire.copy_file.parent.mkdir(0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    wire.copy_file.symlink_to(elsewhere)
    over = send_all_after_start(wire, b"memory")
    assert over["copy"]["state"] == "complete"
    assert elsewhere.read_text() == "precious" and wire.copy_file.read_bytes() == b"memory"


def send_all_after_start(wire, data):
    wire.start()
    return send_all(wire, data)


# A disk whose every write of this size takes as long as the variable says; while another file is there, none
# gets safe on it.
SLOW_DISK = """
import os, stat, time
write, sync = os.write, os.fsync
def hang(descriptor):
    while stat.S_ISREG(os.fstat(descriptor).st_mode) and os.path.exists(os.environ["HANGS"]):
        time.sleep(0.01)
    sync(descriptor)
os.fsync = hang
def slow(descriptor, data):
    if len(data) > 65536 and stat.S_ISREG(os.fstat(descriptor).st_mode):
        time.sleep(float(os.environ["SLOW_S"]))
    return write(descriptor, data)
os.write = slow
"""


@pytest.fixture
def slow_disk(tmp_path, monkeypatch):
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SLOW_DISK)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("HANGS", str(tmp_path / "hangs"))
    return lambda seconds: monkeypatch.setenv("SLOW_S", str(seconds))


def test_a_disk_that_hangs_holds_the_transfer_up_for_as_long_as_is_allowed(wire, slow_disk, monkeypatch):
    slow_disk(LIMIT_S)
    wire.start(delay_s=1)
    source, target = wire.open()
    data = stream(60 * MIB)
    source.say(data)
    source.close()
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    target.close()
    over = wire.wait_over()
    assert over["copy"]["state"] == "given up" and "held the transfer up for 1 s" in over["copy"]["why"]


def test_a_disk_that_hangs_breaks_a_transfer_for_which_a_copy_is_required(wire, slow_disk):
    slow_disk(LIMIT_S)
    wire.start(delay_s=0.5, required=True)
    source, target = wire.open()
    fails_to_write(source)
    target.wait_end()
    assert wire.wait_over()["copy"]["state"] == "given up"


def test_a_disk_that_is_slow_but_fast_enough(wire, slow_disk):
    slow_disk(0.002)
    wire.start()
    data = stream(40 * MIB)
    assert send_all(wire, data)["copy"]["state"] == "complete"
    assert sha256(wire.copy_file.read_bytes()) == sha256(data)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# The rate


def test_the_rate_is_limited(wire):
    wire.start(rate_mib_s=10)
    source, target = wire.open()
    began = time.monotonic()
    source.say(stream(20 * MIB))
    source.close()
    seen = wire.wait_bytes(10 * MIB)
    target.wait_end()
    took_s = time.monotonic() - began
    # Much slower is this machine.
    assert took_s > 1.8 and 0 < seen["rate_mib_s"] < 12


def test_words_and_memory_in_any_pieces_arrive_as_they_are(wire):
    chance = random.Random(7)
    wire.start()
    source, target = wire.connect(), wire.accept()
    data = b"receive\n" + stream(2 * MIB)
    rest = data
    while rest:
        size = chance.choice([1, 3, 7, 1000, 65536, 300000])
        source.say(rest[:size])
        rest = rest[size:]
    source.close()
    target.wait_end()
    target.close()
    assert bytes(target.read) == data
    assert wire.wait_over()["bytes"] == 2 * MIB and wire.copy_file.read_bytes() == data[8:]


@pytest.mark.parametrize("required", [False, True])
def test_what_is_no_plain_transfer_is_passed_on_but_not_kept(wire, required):
    """xend speaks TLS by default where its configuration says so."""
    wire.start(required=required)
    source = wire.connect()
    source.say(b"\x16\x03\x01\x00")
    target = wire.accept()
    if not required:
        target.wait_for(b"\x16\x03\x01\x00")
        target.say(b"\x16answer")
        source.wait_for(b"\x16answer")
        source.say(b"more")
        source.close()
        target.wait_end()
        target.close()
    else:
        fails_to_write(source)
        target.wait_end()
    over = wire.wait_over()
    assert over["copy"]["state"] == "given up" and "TLS" in over["copy"]["why"]
    assert not wire.copy_file.exists()


# The relay is killed


def test_a_relay_that_was_killed_breaks_both_connections(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    wire.kill()
    fails_to_write(source)
    target.wait_end()
    left = wire.status()
    assert (left["alive"], left["copy"]["state"]) == (False, "growing")


def test_one_that_is_killed_while_it_waits_leaves_nobody_behind(wire):
    begun = wire.start()
    os.kill(begun["pid"], signal.SIGKILL)
    wait_until(lambda: not wire.status()["alive"], "the end of the relay")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tuple(begun["listens"]))


@pytest.mark.parametrize("which", [0, 1], ids=["the one that forwards", "its guard"])
def test_one_process_of_a_relay_is_killed_and_the_other_goes_on(wire, which):
    wire.start()
    source, target = wire.open()
    data = stream(8 * MIB)
    source.say(data[:MIB])
    wire.wait_bytes(MIB)
    pids = wire.pids()
    os.kill(pids[which], signal.SIGKILL)
    source.say(data[MIB:])
    assert wire.status()["alive"]
    source.close()
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    target.say(b"(ok)\n")
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["bytes"], over["copy"]["state"]) == (
        "ok", len(data), "removed" if which else "given up",
    )  # fmt: skip
    assert over["pid"] == pids[1 - which] and not wire.copy_file.exists()


def test_a_required_copy_that_is_lost_with_its_process_breaks_the_transfer(wire):
    wire.start(required=True)
    source, target = wire.open()
    source.say(stream(MIB))
    wire.wait_bytes(MIB)
    os.kill(wire.pids()[0], signal.SIGKILL)
    fails_to_write(source)
    target.wait_end()
    assert wire.wait_over()["copy"]["state"] == "given up"


def test_a_complete_copy_outlives_the_process_that_wrote_it(wire):
    wire.start()
    source, target = wire.open()
    data = stream(MIB)
    source.say(data)
    source.close()
    wait_until(lambda: wire.status()["copy"]["state"] == "complete", "complete")
    os.kill(wire.pids()[0], signal.SIGKILL)
    target.wait_end()
    target.say(b"(err (type XendError) (value 'no disk'))\n")
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["said"], over["copy"]["state"]) == ("err", "no disk", "complete")
    assert wire.copy_file.read_bytes() == data


def test_an_ok_that_could_not_be_told_any_more_is_told_by_the_guard(wire, slow_disk, tmp_path):
    slow_disk(0)
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    source.close()
    wait_until(lambda: wire.status()["copy"]["state"] == "complete", "complete")
    target.wait_end()
    hangs, told = tmp_path / "hangs", wire.status_file.with_name(".web01.relay.new")
    hangs.touch()
    target.say(b"(ok)\n")
    wait_until(lambda: told.exists() and b'"heard": "ok"' in told.read_bytes(), "what is about to be told")
    assert wire.status()["heard"] is None
    pid, _ = wire.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: xm_relay.identity(pid) is None, "its end")
    hangs.unlink()
    wait_until(lambda: wire.status()["pid"] != pid, "the guard")
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("ok", "removed")
    assert not wire.copy_file.exists()


def test_an_ok_before_its_copy_was_removed_has_it_removed_by_the_guard(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    source.close()
    wait_until(lambda: wire.status()["copy"]["state"] == "complete", "complete")
    target.wait_end()
    wait_until(lambda: wire.status()["phase"] == "sent", "what it tells last")
    pid, _ = wire.pids()
    # As if it were killed right after it has told that.
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: ") T " in Path("/proc/%d/stat" % pid).read_text(), "its standstill")
    told = dict(json.loads(wire.status_file.read_text()), heard="ok")
    wire.status_file.write_text(json.dumps(told))
    os.kill(pid, signal.SIGKILL)
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("ok", "removed")
    assert not wire.copy_file.exists()


def is_whole(wire, sent, target, data):
    """Whether nothing is lost: xend knows that it has failed, the target has all, or the copy has."""
    if not sent:
        return True
    left = wire.status()
    if left["copy"]["state"] == "complete" and wire.copy_file.read_bytes() == data:
        return True
    return bytes(target.read) == b"receive\n" + data


@pytest.mark.parametrize("number", range(30))
def test_killed_at_any_moment_it_loses_nothing(wire, number):
    """A target that reads slowly leaves much on its way when xend has sent all."""
    chance = random.Random(number)
    wire.start(copy=chance.choice([None, str(wire.copy_file)]))
    source, target = wire.open()
    data = stream(6 * MIB, number)
    pids = wire.pids()
    pause_s = chance.choice([0, 0.001, 0.003])
    target.slow_down(pause_s)

    def kill():
        time.sleep(chance.uniform(0, 0.02 + 100 * pause_s))
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    sent = True
    try:
        source.say(data)
        source.connection.shutdown(socket.SHUT_WR)
    except OSError:
        sent = False
    killer.join()
    target.wait_end()
    assert is_whole(wire, sent, target, data)
    # The guard has gone on: nobody has noticed anything.
    assert sent
    target.say(b"(ok)\n")
    target.close()
    assert wire.wait_over()["heard"] == "ok"
    assert not wire.copy_file.exists()


def test_what_was_heard_last_is_told_when_the_disk_takes_it_a_little_later(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    source.close()
    target.wait_end()
    wait_until(lambda: wire.status()["copy"]["state"] == "complete", "complete")
    obstacle = wire.status_file.with_name(".web01.relay.new")
    obstacle.mkdir()
    target.say(b"(err (type XendError) (value 'no disk'))\n")
    target.close()
    time.sleep(2)
    obstacle.rmdir()
    over = wire.wait_over()
    assert (over["phase"], over["heard"], over["said"]) == ("over", "err", "no disk")


# The last that xend sends, when the target has gone already


def dies(wire, target, sent, words=b""):
    """The target ends when it has got so much; returns when the relay has noticed."""
    wire.wait_bytes(sent)
    target.say(words)
    target.close()
    if words:
        wire.wait_heard("err")
    time.sleep(0.3)


@pytest.mark.parametrize("words", [b"", b"(err (type XendError) (value 'xc_restore failed'))\n"])
def test_the_last_that_xend_sends_is_kept_though_the_target_is_gone(wire, words):
    """It notices nothing, and destroys the guest: the copy is all that is left of that."""
    wire.start()
    source, target = wire.open()
    data = stream(MIB)
    source.say(data[:-300])
    dies(wire, target, len(data) - 300, words)
    source.say(data[-300:])
    source.close()
    over = wire.wait_over()
    assert (over["heard"], over["copy"]["state"]) == ("err" if words else "silence", "complete")
    assert wire.copy_file.read_bytes() == data


def test_what_may_have_been_the_last_is_kept_however_late_xend_closes(wire):
    """Not live, it destroys the guest before it closes."""
    wire.start()
    source, target = wire.open()
    data = stream(MIB)
    source.say(data[:-300])
    dies(wire, target, len(data) - 300)
    source.say(data[-300:])
    wire.wait_over()
    source.close()
    assert wire.status()["copy"]["state"] == "complete"
    assert wire.copy_file.read_bytes() == data


def test_who_stops_in_the_middle_sees_that_the_target_is_gone(wire):
    wire.start()
    source, target = wire.open()
    source.say(stream(MIB))
    dies(wire, target, MIB)
    source.say(stream(5000))
    # It has stopped to suspend the guest, for instance.
    source.wait_end()
    fails_to_write(source)


def test_the_last_reaches_a_target_that_lives_when_a_required_copy_fails(wire):
    wire.start(required=True)
    source, target = wire.open()
    data = stream(MIB)
    source.say(data[:-300])
    wire.wait_bytes(len(data) - 300)
    resource.prlimit(wire.pids()[0], resource.RLIMIT_FSIZE, (65536, 65536))
    source.say(data[-300:])
    source.connection.shutdown(socket.SHUT_WR)
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    target.say(b"(ok)\n")
    target.close()
    assert wire.wait_over()["heard"] == "ok"
