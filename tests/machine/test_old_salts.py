"""The command that `make test-old-minion` runs, once old Salts are there, is ended as any other."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
MAIN = """
import sys
from tests.tools import old_salts
old_salts.prepare = lambda: None
sys.exit(old_salts.main())
"""
# It needs longer than its parent would wait for it, and may be told to end while it says that it has begun.
TIDY = """
import os, signal, sys, time
def tidy(*_):
    time.sleep(1)
    os.write(1, b"tidied up\\n")
    sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, tidy)
os.write(1, b"begun\\n")
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_tidies_up(number):
    begun = subprocess.Popen(
        [sys.executable, "-c", MAIN, sys.executable, "-c", TIDY],
        cwd=REPO,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert begun.stdout.readline() == "begun\n"
        begun.send_signal(number)
        assert begun.stdout.read() == "tidied up\n" and begun.wait(60) == 3
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)


def test_its_exit_status_is_that_of_the_command():
    done = subprocess.run([sys.executable, "-c", MAIN, "sh", "-c", "exit 7"], cwd=REPO, check=False)
    assert done.returncode == 7
