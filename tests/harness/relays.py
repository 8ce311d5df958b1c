"""The relays that the product starts on simulated hosts: what they say and leave, what can befall them."""

import json
import resource
import socket
import threading
import time
from contextlib import suppress

from tests.lab import layout, salt_config
from tests.lab.layout import process_start, wait_until

# Against hanging only.
LIMIT_S = 120.0
POLL_S = 0.005
# The status file has to fit, the copy of no guest does.
FEW_BYTES = 16384


def said(host):
    """What the relays of a host say of themselves, those that have ended too: dicts as of xm_relay.status."""
    found = []
    for path in salt_config.relay_files(host):
        # It may go while one looks; half a file would be a fault of the product.
        with suppress(FileNotFoundError):
            found.append(json.loads(path.read_text()))
    return found


def living(host):
    """The same of those of which a process runs: one forwards, another is there to go on in its place."""
    return [one for one in said(host) if processes(one)]


def processes(one):
    """The living processes of a relay, the one that forwards first."""
    guard = one.get("guard")
    pids = [one["pid"]] + ([int(guard.split()[1])] if guard else [])
    return [pid for pid in pids if _is_relay(pid)]


def _is_relay(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return b"xm_relay" in file.read() and process_start(pid) is not None
    except OSError:
        return False


def wait(host, condition=lambda one: True, limit_s=LIMIT_S):
    """Wait until a living relay of the host is so; return what it says, None when there is none in time."""
    found = []

    def look():
        found[:] = [one for one in living(host) if condition(one)]
        return bool(found)

    wait_until(look, limit_s, POLL_S)
    return found[0] if found else None


def kill(host, which=slice(None)):
    """Kill the relays of a host as the kernel does; return their process ids.

    which -- those of the processes of each
    """
    return layout.kill([pid for one in living(host) for pid in processes(one)[which]], LIMIT_S)


def fail_disk(host):
    """Let the disk of the copies fail from now on: a relay can write no file any further than some pages.

    In place of a disk that is full, which takes a file system of its own: writing fails all the same, with
    EFBIG instead of ENOSPC.
    """
    for pid in [pid for one in living(host) for pid in processes(one)]:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


def intrude(host, until, junk=b"receive\n"):
    """Connect to each relay of a host before its xend does, again and again, until the function says so.

    Return a list with what each connection has got, in the order of time.
    """
    got = []
    while not until():
        for one in living(host):
            if one["phase"] == "listening":
                got.append(_knock(one["listens"], junk))
        time.sleep(POLL_S)
    return got


def _knock(where, junk):
    try:
        with socket.create_connection(tuple(where), LIMIT_S) as stranger:
            stranger.sendall(junk)
            return stranger.recv(100)
    except OSError:
        # Closed already; so nothing was heard.
        return b""


class Later:
    """Something that is done in the background, in the midst of a migration."""

    def __init__(self, function, *arguments):
        self.result = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self.thread.start()

    def _run(self, function, arguments):
        self.result = function(*arguments)

    def end(self):
        """Wait until it is done; return what it has returned."""
        self.over.set()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "what was begun in the background has not ended"
        return self.result
