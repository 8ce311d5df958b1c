"""xc_save and xc_restore: the processes that carry a guest's memory, whatever becomes of xend.

Here: the stream of pages, the iterations and their progress lines, and the throttled link. The
header before the pages, and what happens after them, is xend's work.
"""

import errno
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time

from tests.lab import hypervisor, network, relay, stream, sxp
from tests.lab.layout import ENDS, STALL_LIMIT_S, Layout, process_start, read_json
from tests.lab.memory import KIB_PER_MIB
from tests.lab.stream import END_RECORD, HEADER, MAGIC, PAGE_RECORD, RECORD

MAX_ITERATIONS = 4
LAST_ITERATION_PAGES = 2
LIVE = 1
BATCH = 8
BATCHES_SINCE = (3, 4)
# How long nobody takes any page before one is written that the buffers still hold.
STILL_S = 5
# The exit code that tells the lab's xend that its time-out, not xc_save, ended it.
WEDGED = 2
CONNECTION_LIMIT = struct.pack("ll", 600, 0)
MIB = 1024 * 1024


def receipt_file(layout, sender):
    """Return where the host counts the pages that it has taken from `sender` (address, port)."""
    return layout.control / ("received-%s-%d" % sender)


def received_pages(receipt):
    """Return the count in a receipt file, 0 while there is none."""
    try:
        return int(receipt.read_text() or 0)
    except FileNotFoundError:
        return 0


class Broken(Exception):
    """The transfer cannot go on; the text is what libxc says."""


class Wedged(Broken):
    """The transfer went round in circles until somebody lost patience."""


class OutOfMemory(Exception):
    """Xen has no more memory for a guest that comes."""


class Helper:
    """What both processes have: the host, the connection, and lines for xend."""

    def __init__(self, layout, descriptor, domid):
        self.layout = layout
        self.hypervisor = hypervisor.Hypervisor(layout)
        self.domid = domid
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            self.connection = stream.File(descriptor)
            return
        self.connection = socket.socket(fileno=descriptor)
        self.connection.setblocking(True)
        # As socket options, because a Python time-out would change xend's copy of the socket too.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.connection.setsockopt(socket.SOL_SOCKET, option, CONNECTION_LIMIT)

    def ends(self):
        """Return the local and the remote address; raise OSError when the peer has hung up."""
        told = os.environ.get(ENDS)
        if told:
            return tuple(tuple(end) for end in json.loads(told))
        return self.connection.getsockname(), self.connection.getpeername()

    def log(self, text):
        """Give xend a line for its log; xend may be gone, which must not stop the transfer."""
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except BrokenPipeError:
            sys.stderr = open(os.devnull, "w")

    def detail(self, text, level="detail"):
        self.log("[%d] xc: %s: %s" % (os.getpid(), level, text))

    def tell(self, text):
        """Give xend a line to act on; return whether there is an xend to read it."""
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")
            return False
        return True


class Save(Helper):
    """Sends the memory of one domain; live, while it runs, until little is left."""

    def __init__(self, layout, descriptor, domid, flags):
        super().__init__(layout, descriptor, domid)
        self.live = bool(flags & LIVE)
        self.old_progress = sxp.version_key(layout.version) < (4, 1)
        self.receipt = None
        peer = None
        try:
            ends = relay.beyond(layout, *self.ends())
            if ends is not None:
                own, other = ends
                peer = layout.host_at(other[0])
                # Whoever else listens there counts nothing.
                if peer is not None and list(other) in read_json(peer.listening, []):
                    self.receipt = receipt_file(peer, own)
        except OSError:
            # The target has hung up already; the first page will find out.
            pass
        self.wire = network.Wire(layout, peer)
        self.sent = 0
        self.pages = 0
        self.page_mib = 0
        self.rest = b""
        self.nowhere = os.open(os.devnull, os.O_WRONLY)

    def run(self):
        self.log("xc_save: failed to get the suspend evtchn port")
        self.log("")
        code = 0
        try:
            self.save()
        except Broken as error:
            self.detail(str(error), "error")
            code = WEDGED if isinstance(error, Wedged) else 1
        except OSError as error:
            self.detail(
                "Error when writing to state file (4c) (errno %d) (%d = %s): Internal error"
                % (error.errno, error.errno, error.strerror),
                "error",
            )
            code = 1
        self.detail("Save exit of domid %d with rc=%d" % (self.domid, code))
        return code

    def save(self):
        self.detail("xc_domain_save: starting save of domid %d" % self.domid)
        domain = self.hypervisor.domain(self.domid)
        if domain is None:
            raise Broken("Could not get domain info (3 = No such process): Internal error")
        self.pages = domain["pages"]
        # Its stand-in pages are few; the kernel counts what a real xc_save would write.
        self.rest = bytes(max(0, domain["memory_mib"] * MIB // self.pages - hypervisor.PAGE))
        self.page_mib = domain["memory_mib"] / self.pages
        if not self.live:
            self.suspend()
        already = domain.get("saver")
        self.hypervisor.update(self.domid, saver=os.getpid())
        self.send(
            MAGIC + HEADER.pack(domain["pages"], hypervisor.PAGE, domain["vcpus"], int(self.live))
        )
        self.detail("Had 0 unexplained entries in p2m table")
        if already and process_start(already):
            self.wedge()
        iteration = 1
        dirty = self.iterate(iteration, range(self.pages))
        while self.live:
            iteration += 1
            if iteration >= MAX_ITERATIONS or len(dirty) <= LAST_ITERATION_PAGES:
                break
            dirty = self.iterate(iteration, dirty)
        if self.live:
            self.detail("Start last iteration")
            self.suspend()
            self.detail("SUSPEND shinfo 0007fcaf")
            self.iterate(iteration + 1, dirty | self.dirty_at_suspend)
        self.heed_hold(1.0)
        self.keep_close(0)
        self.send(RECORD.pack(END_RECORD, domain["vcpus"]))
        self.detail("Total pages sent= %d (%.2fx)" % (self.sent, self.sent / self.pages))
        self.detail("(of which 0 were fixups)")
        self.detail("All memory is saved")

    def suspend(self):
        """Have xend suspend the guest; raise Broken when there is no xend to do it."""
        # Whatever the guest writes until the very moment of suspension must still be sent.
        self.dirty_at_suspend = self.hypervisor.let_run(self.domid) if self.live else set()
        if not self.tell("suspend") or sys.stdin.readline().strip() != "done":
            raise Broken("Suspend request failed: Internal error")
        domain = self.hypervisor.domain(self.domid)
        if domain is None or not domain["suspended"]:
            raise Broken("Domain is not in suspended state: Internal error")

    def iterate(self, number, pages):
        """Send `pages` once; return those that the guest has written to meanwhile."""
        began = time.monotonic()
        dirtied = set()
        pages = sorted(pages)
        steps = []
        for done, page in enumerate(pages, 1):
            if number == 1:
                self.heed_hold((done - 1) / self.pages)
            self.send_page(page)
            if done % BATCH == 0:
                self.keep_close(2 * BATCH)
            if self.live and done % (2 * BATCH) == 0:
                dirtied |= self.hypervisor.let_run(self.domid)
            steps.append(done * 100 // len(pages) // 5 * 5)
        delta_ms = max(1, int((time.monotonic() - began) * 1000))
        rate = len(pages) * hypervisor.PAGE * 8 // 1000 // delta_ms
        figures = "delta %dms, dom0 59%%, target 1%%, sent %dMb/s, dirtied 1Mb/s %d pages" % (
            delta_ms,
            rate,
            len(dirtied),
        )
        if self.old_progress:
            # The percentage is painted over itself, so the log gets backspaces.
            percents = "\b\b\b\b".join("%3d%%" % step for step in sorted(set(steps) - {100} | {0}))
            self.log(
                "Saving memory pages: iter %d %s\r %d: sent %d, skipped 0, %s"
                % (number, percents, number, len(pages), figures)
            )
        else:
            self.detail(figures)
        return dirtied

    def send_page(self, number):
        try:
            content = self.hypervisor.read_page(self.domid, number)
        except FileNotFoundError:
            self.wedge()
        self.wire.carry(self.page_mib, lambda: not self.layout.abandoned())
        self.send(RECORD.pack(PAGE_RECORD, number) + content)
        os.write(self.nowhere, self.rest)
        self.sent += 1

    def wedge(self):
        """Go round on a domain that another save moves away, for minutes after it is gone."""
        deadline = time.monotonic() + STALL_LIMIT_S
        while self.hypervisor.domain(self.domid) and time.monotonic() < deadline:
            self.give_up_if_abandoned()
            time.sleep(0.05)
        began = time.monotonic()
        while time.monotonic() < began + self.layout.delay_s("wedge"):
            self.give_up_if_abandoned()
            time.sleep(0.05)
        raise Wedged("Error when writing to state file (110 = Connection timed out)")

    def give_up_if_abandoned(self):
        if self.layout.abandoned():
            raise Broken("Nobody is interested any more")

    def send(self, data):
        self.connection.sendall(data)

    def heed_hold(self, progress):
        """Wait while a link holds transfers at this much of the memory."""
        for link in self.wire.layouts:
            held_at = link.link().get("hold_at")
            if held_at is not None and progress >= held_at:
                self.keep_close(0)
                link.held_marker.write_text(str(os.getpid()))
                self.stall(lambda: link.link().get("hold_at") is not None)

    def keep_close(self, ahead):
        """Wait until the target has taken all but `ahead` pages; raise OSError when it is gone.

        A real guest is far bigger than the buffers of a connection. A simulated one is not, and
        would be "sent" before the target has looked at it. What fits the buffers is sent even when
        the network is cut: the kernel takes it, and xc_save never learns that it does not arrive.

        Where nobody takes anything, a real xc_save goes on until the buffers are full, so that a relay which
        waits for more before it breaks the transfer off sees that there was more. Here that is a page again.
        """
        if self.receipt is None:
            return
        again = 0
        began = time.monotonic()
        while self.sent - received_pages(self.receipt) > ahead + again:
            self.wire.check()
            # xc_restore never writes: something to read is xend's refusal, or the end.
            if select.select([self.connection], [], [], 0.005)[0]:
                if not self.wire.cut:
                    raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                time.sleep(network.POLL_S)
            self.give_up_if_abandoned()
            waited_s = time.monotonic() - began
            if waited_s > STALL_LIMIT_S:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if waited_s > (again + 1) * STILL_S and not self.wire.cut:
                again += 1
                self.send_page(self.pages - 1)

    def stall(self, condition):
        """Wait while `condition` holds; raise Broken when it does for too long."""
        deadline = time.monotonic() + STALL_LIMIT_S
        while condition():
            self.give_up_if_abandoned()
            if time.monotonic() > deadline:
                raise Broken("Error when writing to state file (110 = Connection timed out)")
            time.sleep(0.02)


class Restore(Helper):
    """Receives the memory of one domain, which exists already, and gives it its VCPUs."""

    def __init__(self, layout, descriptor, domid):
        super().__init__(layout, descriptor, domid)
        self.sender = None
        self.room = None
        self.wire = network.Wire(layout)

    def run(self):
        code = 0
        try:
            self.restore()
        except Broken as error:
            self.detail("0-length read: Internal error", "error")
            self.detail("%s: Internal error" % error, "error")
            code = 1
        except OutOfMemory as error:
            self.detail("%s: Internal error" % error, "error")
            code = 1
        except OSError as error:
            self.detail(
                "rdexact failed (read rc: -1, errno: %d): Internal error" % error.errno, "error"
            )
            code = 1
        self.detail("Restore exit of domid %d with rc=%d" % (self.domid, code))
        return code

    def restore(self):
        self.detail("xc_domain_restore: starting restore of new domid %d" % self.domid)
        if isinstance(self.connection, stream.File):
            self.wire = network.Wire()
        else:
            self.sender = self.ends()[1]
            self.wire = network.Wire(self.layout, self.layout.host_at(self.sender[0]))
        if self.read(len(MAGIC)) != MAGIC:
            raise Broken("Error when reading extended info (0 = Success)")
        pages, size, vcpus, _live = HEADER.unpack(self.read(HEADER.size))
        self.detail("xc_domain_restore: p2m_size = %x" % pages)
        self.detail("Mapping order 0,  %d; first pfn 0" % pages)
        domain = self.hypervisor.update(self.domid, pages=pages)
        if domain is None:
            raise Broken("Could not get domain info (3 = No such process)")
        self.room = Room(self.hypervisor, domain, sxp.version_key(self.layout.version))
        with open(self.hypervisor.memory_file(self.domid), "r+b") as memory:
            memory.truncate(pages * size)
            received = self.receive(memory, size)
        self.detail("Memory reloaded (%d pages)" % received)
        self.detail("read VCPU 0")
        self.detail("Completed checkpoint load")
        domain = self.hypervisor.update(self.domid, loaded=True, online_vcpus=vcpus)
        if domain is None:
            raise Broken("Could not get domain info (3 = No such process)")
        self.hypervisor.note("loaded", domain, sha256=self.hypervisor.checksum(self.domid))
        self.detail("Domain ready to be built.")
        self.tell("store-mfn %d" % (253000 + self.domid))
        self.tell("console-mfn %d" % (252000 + self.domid))

    def receive(self, memory, size):
        if self.sender is None:
            return self.receive_pages(memory, size, None)
        receipt = receipt_file(self.layout, self.sender)
        counter = os.open(receipt, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            return self.receive_pages(memory, size, counter)
        finally:
            os.close(counter)
            receipt.unlink(missing_ok=True)

    def receive_pages(self, memory, size, counter):
        received = 0
        while True:
            kind, number = RECORD.unpack(self.read(RECORD.size))
            if kind == END_RECORD:
                return received
            if kind != PAGE_RECORD:
                raise Broken("Error when reading batch (0 = Success)")
            content = self.read(size)
            self.room.take(number)
            memory.seek(number * size)
            memory.write(content)
            received += 1
            memory.flush()
            if counter is not None:
                os.pwrite(counter, b"%8d" % received, 0)

    def read(self, count):
        data = b""
        while len(data) < count:
            arrived = self.wire.wait(self.connection, lambda: not self.layout.abandoned())
            piece = self.connection.recv(count - len(data)) if arrived else b""
            if not piece:
                raise Broken("Error when reading batch size (0 = Success)")
            data += piece
        return data


class Room:
    """The memory of a guest that comes: before 3.4 xc_restore takes it at once, later as it fills it."""

    def __init__(self, hypervisor, domain, version):
        self.hypervisor = hypervisor
        self.domid, self.pages = domain["domid"], domain["pages"]
        self.before_kib = domain["allocated_kib"]
        self.memory_kib = domain["memory_mib"] * KIB_PER_MIB
        self.seen = set()
        self.taken = 0
        if version < BATCHES_SINCE and not self._populate(self.pages):
            raise OutOfMemory("Failed to increase reservation by %x KB" % self.memory_kib)

    def take(self, page):
        """See that there is memory for a page, and the rest of its batch; raise OutOfMemory."""
        self.seen.add(page)
        if len(self.seen) > self.taken and not self._populate(min(self.pages, self.taken + BATCH)):
            raise OutOfMemory("Failed to allocate memory for batch.!")

    def _populate(self, pages):
        self.taken = pages
        kib = self.before_kib + self.memory_kib * pages // self.pages
        return self.hypervisor.populate(self.domid, kib)


def main(role, root, arguments):
    """Run `role` ("xc_save" or "xc_restore") with xend's arguments; return the exit code."""
    # xend keeps its signals blocked for its threads, and a child inherits that.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    layout = Layout(root)
    layout.register(role)
    try:
        if role == "xc_save":
            descriptor, domid, _iterations, _factor, flags = (int(text) for text in arguments)
            return Save(layout, descriptor, domid, flags).run()
        descriptor, domid = (int(text) for text in arguments[:2])
        return Restore(layout, descriptor, domid).run()
    finally:
        layout.deregister()
