"""A network of its own for a function: its addresses, routes and packet filter are nobody else's."""

import os
import shutil

import pytest

from tests.harness.processes import LIBC, Process

CLONE_NEWNET = 0x40000000


def alone(function, *arguments, programs=("ip",), limit_s=120):
    """Return what `function(*arguments)` returns in a fork of this process with a new, empty network.

    Skips the test where that cannot be, or where one of the `programs` is missing.
    """
    missing = [name for name in programs if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip("needs root and %s; missing here: %s" % (", ".join(programs), missing))
    is_alone, returned = Process(_alone, function, arguments).result(limit_s)
    if not is_alone:
        pytest.skip("no network namespace may be made here: %s" % returned)
    return returned


def _alone(function, arguments):
    if LIBC.unshare(CLONE_NEWNET) != 0:
        return False, "unshare failed"
    return True, function(*arguments)
