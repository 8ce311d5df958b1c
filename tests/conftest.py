"""For all tests: simulated hosts end with them, how much hypothesis tries, and pytest-salt-factories
listens on loopback only: its default is every interface.
"""

import contextlib
import gc
import logging
import os
import re

import hypothesis
import pytest

from tests.harness.fixtures import *  # noqa: F403
from tests.lab.fleet import Fleet

# How many examples a property gets unless it says so itself: few and always the same ones for whoever waits,
# many and new ones with --hypothesis-profile=thorough.
hypothesis.settings.register_profile(
    "quick", max_examples=50, deadline=None, database=None, derandomize=True
)
hypothesis.settings.register_profile(
    "thorough",
    max_examples=int(os.environ.get("EXAMPLES", "1000")),
    deadline=None,
    database=None,
    print_blob=True,
)
hypothesis.settings.load_profile("quick")

DAEMONS = "daemons of "
# Those whose tests take least come last.
FOLDERS = {"machine": 1, "unit": 2}


@pytest.fixture(scope="module")
def new_fleet(tmp_path_factory):
    """A function that makes a fleet of these hosts, not started, which ends with the module's tests."""
    with contextlib.ExitStack() as fleets:
        yield lambda *specs: fleets.enter_context(
            Fleet.create(tmp_path_factory.mktemp("lab") / "fleet", specs)
        )


def pytest_addoption(parser):
    parser.addoption(
        "--daemons", action="store_true", help="run orchestrations by a real master and minions"
    )


def pytest_configure(config):
    from tests.harness.loading import hurry

    hurry(config.cache.mkdir("compiled"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that no worker is left alone with it at the end."""
    items.sort(
        key=lambda item: (
            not _group(item.nodeid).startswith(DAEMONS),
            FOLDERS.get(item.path.parent.name, 0),
            -item.path.stat().st_size,
            _group(item.nodeid),
        )
    )


def pytest_collection_finish():
    # What is loaded by now stays: to look through it for garbage would take most of the time of that.
    gc.collect()
    gc.freeze()


def _group(nodeid):
    """
    What one worker does in one go: a folder's tests with real daemons, which are started once, those of one
    old Salt for themselves; and each file, whose tests share their simulated hosts.
    """
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    if old_salt := re.search(r"\[(salt[\d.]+)", nodeid):
        return DAEMONS + old_salt[1]
    has_daemons = folder.endswith("integration") or "[real_site" in nodeid
    return DAEMONS + folder if has_daemons else file


def pytest_xdist_make_scheduler(config, log):
    # Not --dist loadgroup, which does nothing with a pytest that is newer than pytest-xdist.
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _group(nodeid)

    return ByGroup(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    log_server = session.config.pluginmanager.get_plugin("saltfactories-log-server")
    log_server.log_host = "127.0.0.1"


@pytest.fixture(scope="session")
def event_listener():
    from saltfactories.plugins.event_listener import EventListener

    listener = EventListener()
    listener.host = "127.0.0.1"
    listener.address = f"tcp://{listener.host}:{listener.port}"
    with listener:
        yield listener


def pytest_unconfigure():
    # At exit Salt flushes log records that it has kept for handlers, into streams that pytest has
    # closed by then; without this, each of them prints a traceback below the summary.
    logging.raiseExceptions = False
