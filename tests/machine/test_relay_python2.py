"""A whole transfer through a relay that Python 2.7 runs, and through its guard."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.machine.test_relay import MIB, stream, wire  # noqa: F401


def python2():
    """The path of a Python 2.7, or None. A name on the search path may stand for one that is not there."""
    found = os.environ.get("XEND_PYTHON2") or shutil.which("python2.7")
    runs = found and subprocess.run([found, "-c", ""], capture_output=True, timeout=60).returncode == 0
    return found if runs else None


PYTHON2 = python2()


@pytest.mark.skipif(not PYTHON2, reason="no Python 2.7: set XEND_PYTHON2 to its path")
@pytest.mark.parametrize("is_killed", [False, True], ids=["to its end", "killed"])
def test_a_transfer_under_python_2(wire, monkeypatch, is_killed):  # noqa: F811
    monkeypatch.setattr(sys, "executable", PYTHON2)
    wire.start()
    source, target = wire.open()
    data = stream(8 * MIB)
    source.say(data[:MIB])
    wire.wait_bytes(MIB)
    if is_killed:
        os.kill(wire.pids()[0], signal.SIGKILL)
    source.say(data[MIB:])
    source.close()
    target.wait_end()
    assert bytes(target.read) == b"receive\n" + data
    target.say(b"(err (type xen.xend.XendError.XendError) (value 'no disk'))\n")
    target.close()
    over = wire.wait_over()
    assert (over["heard"], over["said"], over["bytes"]) == ("err", "no disk", len(data))
    assert over["copy"]["state"] == ("given up" if is_killed else "complete")
    assert is_killed or wire.copy_file.read_bytes() == data
