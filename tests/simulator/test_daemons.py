"""What `make lab-stop` ends: the processes that were started, never whoever has their numbers now."""

import json
import subprocess
import sys

import pytest

from tests.lab.daemons import Daemons
from tests.lab.layout import process_start


@pytest.fixture
def process():
    """A process in a group of its own, as the daemons are."""
    running = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    yield running
    running.kill()
    running.wait(300)


@pytest.fixture
def stopped(tmp_path, process):
    """A function that runs `stop` with this file of a process id; returns whether it ended."""

    def stop(text):
        pids = tmp_path / "pids"
        pids.mkdir()
        (pids / "master").write_text(text)
        Daemons(tmp_path, None).stop()
        return process_start(process.pid) is None

    return stop


def test_a_process_that_was_started_is_ended(stopped, process):
    assert stopped(json.dumps({"pid": process.pid, "start": process_start(process.pid)}))


@pytest.mark.parametrize("start", [1, None])
def test_a_number_that_belongs_to_another_process_by_now_is_left_alone(stopped, process, start):
    assert not stopped(json.dumps({"pid": process.pid, "start": start}))


@pytest.mark.parametrize("text", ["", '{"pid": ', "{pid}", "[]"])
def test_a_file_that_is_not_whole_names_nobody(stopped, process, text):
    assert not stopped(text.replace("{pid}", str(process.pid)))


def test_nothing_was_started(tmp_path):
    Daemons(tmp_path, None).stop()
