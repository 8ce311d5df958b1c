"""Functions that run in forked processes of their own, as Salt runs jobs: they can be killed.

A thread cannot be killed, and Salt's loaders are not made for two of them. What runs in the process
is elsewhere. Several threads may start such processes at once; a process dies with the thread that has
started it.
"""

import ctypes
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
PIECE = 1 << 16
KILL_LIMIT_S = 60.0


class Gone(Exception):
    """The process ended without a result: it was killed, or it took too long."""


class Failed(Exception):
    """The function raised an exception; the text is its traceback."""


class Process:
    """`function(*arguments, **keywords)` in a fork of this process; what it returns must be picklable."""

    # Whoever is killed takes with it what it has forked.
    dies_with_parent = True
    # Ends of pipes that this process holds for writing: a fork has to close them, or whoever reads
    # them would wait for it too.
    writers = []
    # What another thread opens meanwhile would stay open in a fork.
    forking = threading.Lock()

    def __init__(self, function, *arguments, **keywords):
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with Process.forking:
            self.reader, writer = os.pipe()
            self.pid = os.fork()
            if self.pid:
                os.close(writer)
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self.dies_with_parent:
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
            os.close(self.reader)
            Process.forking = threading.Lock()
            for other in Process.writers:
                os.close(other)
            Process.writers = [writer]
            self._work(writer, lambda: function(*arguments, **keywords))
        called = ", ".join(map(repr, arguments))
        self.what = "%s(%.200s) in process %d" % (getattr(function, "__name__", function), called, self.pid)
        self.data = b""
        self.ended = False

    @staticmethod
    def _work(writer, function):
        try:
            said = (True, function())
        except BaseException:
            said = (False, traceback.format_exc())
        try:
            with open(writer, "wb", closefd=False) as stream:
                stream.write(pickle.dumps(said))
        finally:
            sys.stdout.flush()
            os._exit(0)

    def over(self, timeout_s=0.0):
        """Whether it has ended, within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self.ended:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.reader], [], [], left)[0]:
                return False
            piece = os.read(self.reader, PIECE)
            self.data += piece
            if not piece:
                os.close(self.reader)
                os.waitpid(self.pid, 0)
                self.ended = True
        return True

    def result(self, timeout_s):
        """Return what the function returned; raise Failed, or Gone after having killed it."""
        if not self.over(timeout_s):
            self.kill()
            raise Gone("%s was not done after %d s, and was killed" % (self.what, timeout_s))
        if not self.data:
            raise Gone("%s ended without a word" % self.what)
        try:
            well, value = pickle.loads(self.data)
        except (EOFError, pickle.UnpicklingError):
            raise Gone("%s was killed while it reported" % self.what) from None
        if not well:
            raise Failed(value)
        return value

    def end(self, timeout_s):
        """Ask it to end, if it has not; kill it when it does not in time."""
        if not self.ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self.over(timeout_s)
        self.kill()

    def kill(self):
        """End it at once; processes that it has started go on."""
        if not self.ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.over(KILL_LIMIT_S)


class Survivor(Process):
    """A process that goes on when whoever has begun it is killed, as a job of a minion does."""

    dies_with_parent = False
