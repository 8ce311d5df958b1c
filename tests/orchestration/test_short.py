"""What an orchestration prints is short, most of all when it fails, and what counts is there once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.moves import ARRIVE, CAN_BE, LEAVE, LOOK, SEND
from tests.harness.site import Real

# What Salt prints of each state beside its comment and its changes, and around all of them.
BLOCK, AROUND = 7, 8
NO_STEP = "One or more requisite failed"


def assert_short(run, states, text):
    """It has printed so many states with so many lines of text in all, and each line of text once."""
    lines = run.printed()
    assert len(lines) <= AROUND + BLOCK * states + text, "\n".join(lines)
    assert sum(line == "----------" for line in lines) == states, "\n".join(lines)
    said = [line.strip() for line in lines if len(line.split()) > 5]
    assert len(said) == len(set(said)) and NO_STEP not in "\n".join(lines), "\n".join(lines)


def test_a_move(configured, guest):
    run = configured.migrate()
    assert run.exit_code == 0
    # Five of them are the changes.
    assert_short(run, states=2, text=15)
    assert_short(configured.migrate(), states=2, text=6)


def test_a_guest_that_cannot_leave(configured, guest):
    configured.xen1.xm_run("pause", "web01")
    run = configured.migrate()
    assert run.exit_code == 1 and run.failed()[:2] == [LEAVE, LOOK]
    assert_short(run, states=2, text=14)
    dry = configured.migrate(test=True)
    assert dry.exit_code == 1 and dry.failed() == [LEAVE, CAN_BE]
    assert_short(dry, states=2, text=9)
    for one in (run, dry):
        assert not one.steps[SEND]["begun"] and not one.steps[ARRIVE]["begun"]


def test_a_name_that_is_taken(configured, guest):
    configured.xen2.create_guest("web01", memory_mib=96)
    assert_short(configured.migrate(), states=2, text=12)
    assert_short(configured.migrate(test=True), states=2, text=8)


def test_a_transfer_that_breaks(configured, guest):
    configured.xen2.fault("refuse")
    run = configured.migrate()
    assert run.exit_code == 1 and run.failed()[:2] == [SEND, LOOK]
    assert_short(run, states=2, text=12)


@pytest.mark.parametrize("test", [True, False])
def test_a_pillar_that_is_wrong(configured, guest, test):
    run = configured.migrate(test=test, timeout="5m")
    assert run.exit_code == 1
    assert_short(run, states=1, text=5)


@pytest.mark.parametrize("test", [True, False])
def test_nothing_to_recover(configured, test):
    run = configured.recover(test=test)
    assert run.exit_code == 0
    assert_short(run, states=1, text=2)


def test_a_host_of_which_one_guest_finds_no_place(configured, guest):
    """What keeps it there is said by the last word alone."""
    configured.xen1.create_guest("own01", memory_mib=96, disks=["file:/srv/local/own01.img,xvda,w"])
    run = configured.evacuate(partial=True)
    assert run.exit_code == 1
    text = " ".join(run.printed(1000))
    assert text.count("there is no /srv/local/own01.img on xen2") == 1, text
    again = configured.evacuate()
    assert " ".join(again.printed(1000)).count("there is no /srv/local/own01.img on xen2") == 1


@pytest.mark.daemons
def test_a_terminal_shows_the_last_word_once_and_nothing_else_as_an_error(configured, guest):
    if not isinstance(configured, Real):
        pytest.skip("the conductor has no command line")
    configured.xen2.create_guest("web01", memory_mib=96)
    program, wanted = Path(sys.executable).with_name("salt-run"), {"domain": "web01", "source": "xen1"}
    command = [program, "-c", configured.master.config_dir, "--log-level=warning", "state.orchestrate"]
    for target, said in (("xen2", "xend refuses a second one"), ("xen9", "xen9 (its minion does")):
        pillar = {"xend": {"migrate": dict(wanted, target=target)}}
        shown = subprocess.run(
            [*command, "xend.orch.migrate", "pillar=" + json.dumps(pillar)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert shown.returncode == 1
        assert shown.stdout.count(said) == 1 and "[ERROR" not in shown.stdout, shown.stdout
