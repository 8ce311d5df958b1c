"""`.ci/run`, with a make that does nothing: what is run, how much of it at once, and how it ends."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.lab.layout import process_start, wait_until
from tests.lab.salt_config import REPO

LIMIT_S = 300
# What a release must pass, by the names of the Makefile.
TARGETS = {
    "test", "test-docs", "test-py27", "test-old-minion", "test-daemons", "demo", "faults", "faults-fleet",
    "test-sizes", "test-lab", "lint",
}  # fmt: skip
# `make test` and `make test-docs` are both begun before either of them ends.
MAKE = r"""#!/usr/bin/env bash
echo "begin $$ $*" >>"$CI_LOG"
case "$*" in
    test) beside=test-docs ;;
    test-docs) beside=test ;;
    *) beside='.*' ;;
esac
until grep -q "^begin [0-9]* $beside\$" "$CI_LOG"; do sleep 0.02; done
echo "this is what make $* says"
%s
echo "end $$ $*" >>"$CI_LOG"
"""


class Ci:
    """A copy of `.ci/run` in a folder of its own, and what it has run there."""

    def __init__(self, root):
        self.root, self.log = root, root / "log"
        (root / ".ci").mkdir()
        shutil.copy2(REPO / ".ci/run", root / ".ci/run")
        (root / "bin").mkdir()
        # Nothing is installed here, whatever the machine has.
        self.command("apt-get", "#!/bin/sh\n")
        (root / "tmp").mkdir()

    def command(self, name, text):
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, extra=""):
        self.command("make", MAKE % extra)
        environment = dict(os.environ, CI_LOG=str(self.log), TMPDIR=str(self.root / "tmp"))
        environment["PATH"] = "%s:%s" % (self.root / "bin", os.environ["PATH"])
        return subprocess.Popen(
            [self.root / ".ci/run"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, extra=""):
        """Run it to its end; return the exit code and what was printed."""
        process = self.start(extra)
        printed, _ = process.communicate(timeout=LIMIT_S)
        return process.returncode, printed

    def lines(self):
        return [line.split(" ", 2) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def targets(self):
        """What make was asked for, in the order in which that began."""
        asked = " ".join(words for what, _pid, words in self.lines() if what == "begin").split()
        return [word for word in asked if not word.startswith("-")]


@pytest.fixture
def ci(tmp_path):
    return Ci(tmp_path)


def test_everything_is_run_once_two_at_once_behind_the_environment(ci):
    code, printed = ci.run()
    assert code == 0 and re.search(r"^== all passed in \d+ s$", printed, re.MULTILINE), printed
    assert ci.targets()[0] == "venv" and sorted(ci.targets()[1:]) == sorted(TARGETS)
    lines = ci.lines()
    assert [what for what, _pid, words in lines[:2]] == ["begin", "end"]
    running, most = set(), 0
    for what, pid, _words in lines:
        (running.add if what == "begin" else running.remove)(pid)
        most = max(most, len(running))
    assert most == 2 and not running


def test_what_a_command_says_stands_in_one_piece(ci):
    _code, printed = ci.run()
    pieces = re.findall(r"^== make (.*)\n(.*)\n== make (.*) passed after \d+ s$", printed, re.MULTILINE)
    assert len(pieces) == len(re.findall("^this is", printed, re.MULTILINE)) > 1
    for begun, said, ended in pieces:
        assert begun == ended and said == "this is what make %s says" % begun


def test_a_failure_keeps_nothing_else_from_being_run_and_is_the_result(ci):
    code, printed = ci.run('[ "$*" != test ] || exit 3')
    assert code == 1 and "== make test FAILED after" in printed and "all passed" not in printed
    assert set(ci.targets()) == TARGETS | {"venv"}


def test_an_end_from_outside_ends_what_is_run(ci):
    process = ci.start('[ "$*" != test ] || sleep 1000')
    try:
        assert wait_until(lambda: "test" in ci.targets(), LIMIT_S)
        (pid,) = [int(pid) for what, pid, words in ci.lines() if (what, words) == ("begin", "test")]
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 130 and "all passed" not in printed and "make test passed" not in printed
    assert process_start(pid) is None
