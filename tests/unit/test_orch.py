"""The states on the master, apart from Salt: what they make of a step that breaks down, and the console."""

import importlib
import importlib.util
import io
import logging
import sys
import threading
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def orch():
    """The module as Python loads it; a test says what its ``__states__`` are."""
    spec = importlib.util.spec_from_file_location("xend_orch_alone", REPO / "_states" / "xend_orch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = ("xend_said", "xm_heard")
    found = {name: importlib.import_module(name) for name in names}
    module.__opts__ = {"fun": "state.orchestrate"}
    module.__utils__ = {
        "%s.%s" % (name, word): getattr(found[name], word) for name in names for word in vars(found[name])
    }
    return module


def step(name, **more):
    return dict({"id": name, "hosts": ["xen1"], "sls": "xend.relocation"}, **more)


def test_a_step_that_breaks_down_leaves_what_was_done_and_keeps_back_those_that_need_it(orch):
    def run(name, **_options):
        if name == "it is sent":
            raise OSError("the master is gone")
        return {"result": True, "changes": {}, "comment": "done"}

    orch.__states__ = {"salt.state": run}
    steps = [step("it can leave"), step("it is sent"), step("it runs", after=["it is sent"])]
    steps += [step("it is told"), step("the end", after=["it runs"])]
    found = orch.steps("it moves", steps, tells=False)
    assert found["result"] is False and found["why"] == ["OSError: the master is gone"]
    assert [one["result"] for one in found["steps"]] == [True, False, False, True, False]
    assert [one["begun"] for one in found["steps"]] == [True, True, False, True, False]
    assert found["comment"].splitlines() == [
        "it can leave: xen1 says so",
        "it is sent: failed, the last lines say why",
        "it is told: xen1 says so",
        "Not begun: it runs; the end",
    ]


def test_a_step_that_is_needed_and_not_there_keeps_nobody_back(orch):
    orch.__states__ = {"salt.state": lambda _name, **_options: {"result": True, "changes": {}, "comment": ""}}
    found = orch.steps("x", [step("it runs", after=["it is configured"])])
    assert found["result"] is True and found["steps"][0]["begun"]


@pytest.fixture
def logs():
    """What a console and a file get of the log, from now on."""
    console, file = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(console), logging.StreamHandler(file)]
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    yield console, file
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def test_the_console_does_not_say_beforehand_what_a_state_says_that_has_failed(orch, logs, monkeypatch):
    console, file = logs
    # In the test, as pytest has its own before.
    monkeypatch.setattr(sys, "stderr", console)
    salt, other = logging.getLogger("salt.state"), logging.getLogger("salt.minion")
    orch.notice("web01: lost", "web01 is LOST", good=False)
    other.error("the key was refused")
    salt.error("web01 is LOST")
    salt.error("it is another one's")
    assert console.getvalue().splitlines() == ["the key was refused", "it is another one's"]
    assert file.getvalue().splitlines()[1] == "web01 is LOST"
    # One that is well says nothing there.
    orch.notice("web01: moved", "it runs")
    salt.error("it is another one's, too")
    assert console.getvalue().endswith("it is another one's, too\n")


def test_the_console_keeps_what_is_said_nowhere_else(orch, logs, monkeypatch):
    console, _file = logs
    monkeypatch.setattr(sys, "stderr", console)
    salt = logging.getLogger("salt.state")
    orch.notice("web01: lost", "web01 is LOST", good=False)
    other = threading.Thread(target=salt.error, args=("another run's",))
    other.start()
    other.join()
    salt.error("it is another state")
    salt.error("web01 is LOST")
    assert console.getvalue().splitlines() == ["another run's", "it is another state", "web01 is LOST"]


@pytest.mark.parametrize(
    "options", [{}, {"fun": "state.orch", "state_output": "terse"}, {"fun": "x", "state_output": "terse_id"}]
)
def test_the_console_says_why_where_nothing_else_does(orch, logs, monkeypatch, options):
    """In a daemon, and for those who want few words."""
    console, _file = logs
    monkeypatch.setattr(sys, "stderr", console)
    orch.__opts__ = options
    orch.notice("web01: lost", "web01 is LOST", good=False)
    logging.getLogger("salt.state").error("web01 is LOST")
    assert console.getvalue() == "web01 is LOST\n"
