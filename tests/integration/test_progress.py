"""Watching a migration from the master: the events on Salt's bus, and the commands for people."""

import contextlib
import fcntl
import os
import pty
import queue
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
import salt.utils.event

from tests.lab import salt_config

TAG = "xend/migrate/web01"
# Against hanging only.
LISTEN_S, LINE_S = 600, 600


@pytest.fixture
def section():
    """What the page about a migration says of watching it."""
    text = (salt_config.REPO / "docs" / "migration.md").read_text()
    return re.search(r"^## Watching it\n(.*?)^## ", text, re.MULTILINE | re.DOTALL).group(1)


class Watcher:
    """The documented command in a process of its own, on the test's master, and the lines that it prints."""

    def __init__(self, section, master):
        (command,) = re.findall(r"^\$ salt-run (state\.event .*)$", section, re.MULTILINE)
        salt_run = Path(sys.executable).with_name("salt-run")
        self.process = subprocess.Popen(
            ["sh", "-c", f"timeout 1200 {salt_run} -c {master.config_dir} {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def until(self, word):
        """The lines from now on up to one with this word; raises queue.Empty when none comes in time."""
        found = [self.lines.get(timeout=LINE_S)]
        while word not in found[-1]:
            found.append(self.lines.get(timeout=LINE_S))
        return found

    def wait_until_listening(self, site):
        """It has missed what was told before it listened, so it is told something until it hears it."""
        deadline = time.monotonic() + LISTEN_S
        while time.monotonic() < deadline:
            site.salt("event.send", "xend/migrate/nobody", {"line": "heard"}, target="xen1")
            try:
                assert self.lines.get(timeout=1) == "heard"
                return
            except queue.Empty:
                continue
        raise TimeoutError(f"nothing is heard after {LISTEN_S} s")

    def end(self):
        # All of the pipe: salt-run would go on until its next line.
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(300)


@pytest.fixture
def watcher(section, master, configured):
    watcher = Watcher(section, master)
    try:
        watcher.wait_until_listening(configured)
        yield watcher
    finally:
        watcher.end()


def test_the_documented_command_tells_how_far_it_is_while_it_goes_on(configured, guest, watcher):
    configured.xen1.link(speed_mib_s=40, hold_at=0.9)
    with configured.meanwhile(configured.migrate) as finish:
        try:
            lines = watcher.until("sending")
            # That line came while the guest was still at work where it was.
            assert configured.where()["xen1"].alive
        finally:
            configured.xen1.link(speed_mib_s=40)
        run = finish()
    assert run.exit_code == 0, run.report()
    lines += watcher.until("running")
    told = [line for line in lines if line != "heard"]
    assert all(line.startswith("web01 xen1 -> xen2: ") for line in told), told
    assert any(
        re.search(r"iteration \d+, \d+ pages left, [\d.]+ MiB/s(, \d+ s left)?, \d+ s$", line)
        for line in told
    )
    assert told[-1].startswith("web01 xen1 -> xen2: running, ")


def test_the_events_have_the_keys_and_phases_that_are_documented(
    configured, guest, section, master
):
    rows = [row.split("|")[1:3] for row in section.splitlines() if row.startswith("| `")]
    documented = {key: meaning for keys, meaning in rows for key in re.findall(r"`(\w+)`", keys)}
    phases = re.findall(r"`(\w+)`", documented["phase"])
    configured.xen1.link(speed_mib_s=80)
    with salt.utils.event.get_event(
        "master", sock_dir=master.config["sock_dir"], opts=dict(master.config), listen=True
    ) as bus:
        run = configured.migrate()
        assert run.exit_code == 0, run.report()
        found = []
        while not found or found[-1]["phase"] != "running":
            event = bus.get_event(wait=LINE_S, tag=TAG, full=True)
            assert event and event["tag"] == TAG, found
            found.append(event["data"]["data"])
    # Salt adds some of its own, which begin so.
    assert all(
        {key for key in event if not key.startswith("__")} == set(documented) for event in found
    ), found
    order = [phases.index(event["phase"]) for event in found]
    assert order == sorted(order) and {"sending", "suspended", "sent"} <= {
        event["phase"] for event in found
    }
    for key in ("elapsed_s", "percent"):
        figures = [event[key] or 0 for event in found]
        assert figures == sorted(figures), figures
    assert None not in [event["elapsed_s"] for event in found]
    ends = {(event["domain"], event["uuid"], event["source"], event["target"]) for event in found}
    assert ends == {("web01", guest.uuid, "xen1", "xen2")}
    rounds = [event for event in found if event["iteration"] is not None]
    assert rounds and all(
        event["iteration"] > 0 and 0 <= event["percent"] <= 100 for event in rounds
    )
    # What the relay has carried only grows, and is known to the end of the source's part.
    carried = [event["bytes"] for event in found if event["bytes"] is not None]
    assert carried == sorted(carried) and carried[-1] > 0, carried
    assert any(event["rate_mib_s"] and event["left_s"] is not None for event in found), found


class Terminal:
    """salt-run xend.watch at a terminal of its own, 100 characters wide, and all that it writes there."""

    def __init__(self, master, *arguments):
        program = Path(sys.executable).with_name("salt-run")
        self.fd, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            [program, "-c", master.config_dir, "xend.watch", *arguments],
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            # So that Ctrl-C comes from it.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(there)
        self.written, self._more = "", threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while data := os.read(self.fd, 65536):
                with self._more:
                    self.written += data.decode()
                    self._more.notify_all()

    def until(self, text):
        with self._more:
            assert self._more.wait_for(lambda: text in self.written, LINE_S), self.written

    def press(self, keys):
        os.write(self.fd, keys)

    def end(self):
        self.process.kill()
        self.process.wait(60)
        os.close(self.fd)


def test_all_migrations_are_watched_at_a_terminal_until_ctrl_c(configured, guest, master):
    configured.xen1.link(speed_mib_s=40)
    terminal = Terminal(master, "quiet=600")
    try:
        # That is drawn when all hosts were asked.
        terminal.until("nothing moves now")
        run = configured.migrate()
        assert run.exit_code == 0, run.report()
        terminal.until("runs on xen2, as that has said")
        terminal.press(b"\x03")
        assert terminal.process.wait(LINE_S) == 0
        terminal.until("1 of 1 guests run where they were sent")
    finally:
        terminal.end()
    shown = [line for line in re.split(r"\r\x1b\[K|\r\n|\x1b\[J", terminal.written) if line.strip()]
    bars = [line for line in shown if re.match(r"web01  xen1 -> xen2  \[[#.]{30}\]  .*%", line)]
    # Each in the place of the one before.
    assert len(bars) > 2 and terminal.written.count("\x1b[1A") >= len(bars) - 1, terminal.written
    assert max(map(len, bars)) < 100 and "Traceback" not in terminal.written
    # Salt's own farewell to Ctrl-C is for those who wait for an answer.
    assert "Exiting" not in terminal.written
