"""The relay: between a xend, which is played by this process, and a target, on real sockets and disks."""

import contextlib
import os
import random
import signal
import socket
import stat
import struct
import threading
import time

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
    wire.start(copy=chance.choice([None, str(wire.copy_file)]), accept_s=5, answer_s=5)
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
