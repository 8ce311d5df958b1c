"""xend.log and xend-debug.log, in xend's format: what a line looks like and how it is written.

Which lines are written, and when, belongs to whoever does the thing.
"""

import os
import time

LINE = "[%s %d] %s (%s) %s\n"
LIBRARY = "/usr/lib/python2.7/site-packages/xen/xend/"


class Log:
    """Appends to the logs of one host; every line carries the writing process's id."""

    def __init__(self, layout):
        self.layout = layout

    def write(self, level, place, message, *details):
        """Append one line; `details` are further raw lines, such as a traceback's."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime())
        text = LINE % (stamp, os.getpid(), level, place, message)
        text += "".join(detail + "\n" for detail in details)
        self._append(self.layout.log, text)

    def debug(self, place, message):
        self.write("DEBUG", place, message)

    def info(self, place, message):
        self.write("INFO", place, message)

    def warning(self, place, message):
        self.write("WARNING", place, message)

    def failure(self, place, message, error, *frames):
        """Append an error with the traceback that ends in `error`, a "Class: words" text."""
        self.write("ERROR", place, message, *traceback(error, *frames))

    def console(self, message):
        """Append to xend-debug.log, where xend's own standard error goes."""
        self._append(self.layout.debug_log, message + "\n")

    @staticmethod
    def _append(path, text):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)


def traceback(error, *frames):
    """Return the lines of a traceback; a frame is (file, line, function, source)."""
    lines = ["Traceback (most recent call last):"]
    for name, number, function, source in frames:
        lines += [
            '  File "%s%s", line %d, in %s' % (LIBRARY, name, number, function),
            "    " + source,
        ]
    return lines + [error]
