"""The relay alone: what it costs, over loopback, to send so much through it, with and without a copy."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))

import xm_relay  # noqa: E402

MIB = 1048576
SENT_BYTES = 1024 * MIB
PIECE = bytes(range(256)) * 4096
# What a line of 1 Gbit/s carries.
LINE_MB_S = 117
TIMES_DIRECT = 1.15
ROUNDS = 3
LIMIT_S = 120
HOW = ("direct", "relay", "relay and copy")
# The target: a xend that answers when all has come. A process of its own, as there.
TARGET = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
buffer = bytearray(1048576)
while True:
    connection = listener.accept()[0]
    connection.recv(8)
    connection.sendall(b"(ready receive)\\n")
    count = 0
    while read := connection.recv_into(buffer):
        count += read
    connection.sendall(b"(ok)\\n")
    print(count, flush=True)
    connection.close()
"""


def measure() -> list[tuple[str, bool]]:
    """(what was found, whether the target holds): at the rate of a line, with and without a copy."""
    folder = Path(tempfile.mkdtemp(prefix="xend-bench-"))
    target = subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE, text=True)
    try:
        port = int(target.stdout.readline())
        found = {}
        for limit_mb_s in (None, LINE_MB_S):
            # Alternately, so that a moment of load hits all.
            took = {how: [] for how in HOW}
            for _ in range(ROUNDS):
                for how in HOW:
                    took[how].append(_seconds(how, folder, target, port, limit_mb_s))
            found[limit_mb_s] = {how: statistics.median(all_s) for how, all_s in took.items()}
        return _found(found)
    finally:
        target.kill()
        target.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _found(medians):
    line, free = medians[LINE_MB_S], medians[None]
    shown = {
        limit: ", ".join(f"{how} {SENT_BYTES / 1e6 / took[how]:.0f} MB/s" for how in HOW)
        for limit, took in medians.items()
    }
    times = [line[how] / line["direct"] for how in HOW[1:]]
    ratios = [free[how] / free["direct"] for how in HOW[1:]]
    found = (
        f"{SENT_BYTES // MIB} MiB at {LINE_MB_S} MB/s: {shown[LINE_MB_S]}: "
        f"{times[0]:.2f} and {times[1]:.2f} times the direct way; "
        f"as fast as can be: {shown[None]}: {ratios[0]:.1f} and {ratios[1]:.1f}"
    )
    return [(found, max(times) <= TIMES_DIRECT)]


def _seconds(how, folder, target, port, limit_mb_s):
    """How long one guest takes, from the connection until the target has all, in seconds."""
    end, status = ("127.0.0.1", port), folder / "bench.relay"
    if how != "direct":
        names = {"id": "bench", "name": "bench", "uuid": "", "target": "bench", "live": False}
        settings = {
            "listen": [["127.0.0.1", 0]],
            "target": list(end),
            "bind": None,
            "status": str(status),
            "copy": str(folder / "bench.save") if how == "relay and copy" else None,
            "required": False,
            "delay_s": LIMIT_S,
            "rate_mib_s": None,
            "xend": os.getpid(),
            "accept_s": LIMIT_S,
            "answer_s": LIMIT_S,
            "spare_mib": 0,
            "names": names,
        }
        end = tuple(xm_relay.start(settings)["listens"])
    began = time.monotonic()
    with socket.create_connection(end) as source:
        source.sendall(b"receive\n")
        source.recv(80)
        _send(source, limit_mb_s)
    count = int(target.stdout.readline())
    took = time.monotonic() - began
    if count != SENT_BYTES:
        raise SystemExit(f"bench: {count} bytes have come instead of {SENT_BYTES}")
    while how != "direct" and xm_relay.status(str(status))["alive"]:
        time.sleep(0.01)
    return took


def _send(source, limit_mb_s):
    began = time.monotonic()
    for number in range(SENT_BYTES // len(PIECE)):
        if limit_mb_s:
            due = began + number * len(PIECE) / (limit_mb_s * 1e6)
            time.sleep(max(0, due - time.monotonic()))
        source.sendall(PIECE)
