"""What lies between two hosts: whether what one sends reaches the other, how fast, and how long it may not.

Here: one connection's view of the links of its two hosts, and the queues in which what is sent waits for
its turn. Cutting and mending links is layout.py's work; what the ends do about it is theirs.
"""

import errno
import fcntl
import os
import select
import struct
import time

from tests.lab.layout import QUEUE_IN, QUEUE_OUT, QUEUE_TO

POLL_S = 0.02
ASK_S = 1.0
# A receiver never sends, so it has nothing to retransmit, and xend sets no keepalive: it would wait
# for ever on a connection that is dead. A test run needs an end all the same.
FOR_EVER_S = 3600.0
# What takes its turn on a link at once: so two transfers share it evenly, whatever their pages stand for.
PIECE_S = 0.02
# What the buffers of the ends make up for: a sender that comes so much late to its turn loses nothing.
SLACK_S = 0.1
MOMENT = struct.Struct("=d")


class Wire:
    """The network between hosts, as a connection that exists from now on sees it."""

    def __init__(self, *layouts):
        self.layouts = {layout.root: layout for layout in layouts if layout is not None}.values()
        self.since = time.time()

    @property
    def cut(self):
        """Whether nothing gets through at the moment."""
        return any(layout.link().get("cut") for layout in self.layouts)

    @property
    def dead(self):
        """Whether the link was cut longer than TCP retransmits, so that mending it came too late."""
        return any(layout.link_died_after(self.since) for layout in self.layouts)

    def carry(self, mib, wanted):
        """Wait as long as the memory of guests, `mib` MiB of it, takes from the first host to the second.

        wanted -- called now and then: whether anybody is still interested
        What other transfers send at the same time over the same link is waited for: a host has one network
        card, which sends and receives at its full speed at the same time, and what lies between two hosts
        does so as well.
        """
        while mib > 0 and wanted():
            queues = self._queues()
            if not queues:
                return
            piece = min(mib, PIECE_S * min(speed for _queue, speed in queues))
            mib -= piece
            turn = max(_turn(queue, piece / speed) for queue, speed in queues)
            while (left_s := turn - time.monotonic()) > 0 and wanted():
                time.sleep(min(left_s, ASK_S))

    def _queues(self):
        """Return (file of the queue, MiB in a second) of each link on the way that has a limit."""
        source, *targets = self.layouts
        speeds = source.link()
        found = [(source.control / QUEUE_OUT, speeds.get("speed_mib_s"))]
        for target in targets:
            others = target.link()
            found.append((target.control / QUEUE_IN, others.get("speed_mib_s")))
            for mine, other in ((speeds, target), (others, source)):
                between = mine.get("speeds_mib_s", {}).get(other.name)
                found.append((source.control / QUEUE_TO.replace("*", target.name), between))
        return [(queue, speed) for queue, speed in found if speed]

    def wait(self, connection, wanted):
        """Wait until data that got through can be read; return whether it can.

        wanted -- called now and then: whether anybody is still interested
        """
        deadline = time.monotonic() + FOR_EVER_S
        while time.monotonic() < deadline:
            ready = select.select([connection], [], [], ASK_S)[0]
            if self.cut or self.dead:
                time.sleep(POLL_S)
            elif ready:
                return True
            if not wanted():
                return False
        return False

    def hold(self, wanted):
        """Wait until something that a receiver says gets through; raise OSError when it never does.

        Its sender has given the connection up by then, by its retransmissions or the keepalive of a relay.
        """
        while self.cut and wanted():
            self.check()
            time.sleep(POLL_S)
        self.check()

    def check(self):
        """Raise OSError as `send` does when TCP has given the connection up."""
        if self.dead:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def _turn(queue, seconds):
    """Take a turn of so many seconds in a queue; return when it ends, by the clock of all processes."""
    descriptor = os.open(queue, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        data = os.pread(descriptor, MOMENT.size, 0)
        (last,) = MOMENT.unpack(data) if len(data) == MOMENT.size else (0.0,)
        end = max(last, time.monotonic() - SLACK_S) + seconds
        os.pwrite(descriptor, MOMENT.pack(end), 0)
        return end
    finally:
        os.close(descriptor)
