"""What /proc tells of a process: when it started, what it listens on, who is connected."""

import os
import socket
import subprocess
import sys
import time

import pytest

import xend_host

LISTENER = """
import socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(5)
print(listener.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(listener.accept()[0])
"""


@pytest.fixture
def listener(tmp_path):
    """A process whose command line says xend, as the real one's does."""
    script = tmp_path / "xend"
    script.write_text(LISTENER)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    process.port = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_the_process_in_the_pid_file(listener, tmp_path):
    pidfile = tmp_path / "xend.pid"
    # xend writes no newline.
    pidfile.write_text(str(listener.pid))
    found = xend_host.process(str(pidfile))
    assert found["pid"] == listener.pid
    assert abs(time.time() - found["started"]) < 30


def test_a_later_process_started_later(listener, tmp_path):
    between = time.time()
    other = subprocess.Popen([sys.executable, listener.args[1]], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        assert xend_host._started(other.pid) > between - 0.05
        assert xend_host._started(listener.pid) < between
    finally:
        other.kill()
        other.wait(10)
        other.stdout.close()


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_a_pid_file_that_leads_nowhere(tmp_path, content):
    pidfile = tmp_path / "xend.pid"
    pidfile.write_text(content)
    assert xend_host.process(str(pidfile)) is None
    assert xend_host.process(str(tmp_path / "missing")) is None


def test_a_stale_pid_file_that_names_another_program(tmp_path):
    other = subprocess.Popen(["sleep", "60"])
    try:
        pidfile = tmp_path / "pid"
        pidfile.write_text(str(other.pid))
        assert xend_host.process(str(pidfile)) is None
    finally:
        other.kill()
        other.wait(10)


def test_listening_addresses(listener):
    assert xend_host.listening(listener.pid) == ["127.0.0.1:%d" % listener.port]
    assert "127.0.0.1:%d" % listener.port not in xend_host.listening(os.getpid())


def test_connected_peers(listener):
    assert xend_host.connected(listener.pid, [listener.port]) == []
    with socket.create_connection(("127.0.0.1", listener.port), 5) as connection:
        own = "%s:%d" % connection.getsockname()
        deadline = time.monotonic() + 5
        while xend_host.connected(listener.pid, [listener.port]) != [own]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert xend_host.connected(listener.pid, [1]) == []


def test_a_process_that_is_gone_shows_nothing():
    assert xend_host.listening(999999999) is None
