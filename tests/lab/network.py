"""What lies between two hosts: whether what one has sent reaches the other, and for how long it may not.

Here: one connection's view of the links of its two hosts. Cutting and mending links is layout.py's
work; what the ends do about it is theirs.
"""

import errno
import os
import select
import time

POLL_S = 0.02
ASK_S = 1.0
# A receiver never sends, so it has nothing to retransmit, and xend sets no keepalive: it would wait
# for ever on a connection that is dead. A test run needs an end all the same.
FOR_EVER_S = 3600.0


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
