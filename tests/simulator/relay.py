"""The least that can be called a relay: one connection to the source's loopback address is carried on to the
target, and what both have said is kept. A process of its own, which can be killed: so the lab finds it.
"""

import contextlib
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.layout import wait_until

PIECE = 65536
LIMIT_S = 120.0


class Relay:
    """What a test knows of such a process; it ends with its connections."""

    def __init__(self, source, target, port=8002):
        self.folder = Path(tempfile.mkdtemp(prefix="relay-", dir=source.root))
        words = [source.loopback, source.address, target.address, port, self.folder]
        command = [sys.executable, "-m", "tests.simulator.relay", *map(str, words)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        assert wait_until((self.folder / "port").exists, LIMIT_S)
        self.port = int((self.folder / "port").read_text())

    @property
    def sent(self):
        return (self.folder / "sent").read_bytes()

    @property
    def heard(self):
        return (self.folder / "heard").read_bytes()

    def ended(self):
        """Return all that the target has said, when it has closed."""
        self.process.wait(LIMIT_S)
        return self.heard

    def kill(self):
        self.process.kill()
        self.process.wait()


def carry(near, far, sent, heard):
    open_ends = [near, far]
    while far in open_ends:
        for end in select.select(open_ends, [], [])[0]:
            data = b""
            with contextlib.suppress(ConnectionError):
                data = end.recv(PIECE)
            if not data:
                open_ends.remove(end)
            (sent if end is near else heard).write(data)
            # A live source has closed by the time that the target speaks.
            with contextlib.suppress(OSError):
                if end is near and not data:
                    far.shutdown(socket.SHUT_WR)
                (far if end is near else near).sendall(data)


def main(loopback, address, target, port, folder):
    files = [open("%s/%s" % (folder, name), "wb", buffering=0) for name in ("sent", "heard")]
    with socket.create_server((loopback, 0)) as listener:
        # Read once it is there: so all of it has to be.
        partly = Path(folder, "port.new")
        partly.write_text("%d" % listener.getsockname()[1])
        partly.rename(Path(folder, "port"))
        listener.settimeout(LIMIT_S)
        near, _peer = listener.accept()
    near.settimeout(None)
    far = socket.create_connection((target, int(port)), LIMIT_S, source_address=(address, 0))
    far.settimeout(None)
    with near, far:
        carry(near, far, *files)


if __name__ == "__main__":
    main(*sys.argv[1:])
