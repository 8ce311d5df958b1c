"""
Minions of old Salts, on Python 2.7, that a master of today takes part in. `make test-old-minion` fetches
these Salts; without them all is skipped.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.harness.fixtures import new_hosts
from tests.lab.daemons import Daemons
from tests.old_minion.site import MASTER_OPTIONS, OldMinion, OldSite
from tests.tools.old_salts import SALTS

# Which hosts have a minion of the old Salt; the others have one of today.
OLD_HOSTS = ("xen1", "xen2")
HOST_COUNTS = {"3000.9": 2, "2016.11.10": 3}


def name_of(old_salt):
    """By it tests of one Salt are told from those of another (tests/conftest.py)."""
    return "salt" + old_salt.version


@pytest.fixture(scope="session", params=SALTS, ids=name_of)
def old_salt(request):
    """Each of the old Salts (tests/tools/old_salts.py)."""
    if not request.param.is_installed:
        pytest.skip("Salt %s is not there; `make test-old-minion` fetches it" % request.param.version)
    return request.param


@pytest.fixture(scope="session")
def _site(old_salt):
    # Short, because sockets live below it.
    root = Path(tempfile.mkdtemp(prefix="xend-old-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        fleet = stack.enter_context(new_hosts(root / "fleet", HOST_COUNTS[old_salt.version]))
        minions = dict.fromkeys(OLD_HOSTS, OldMinion(old_salt))
        daemons = Daemons(root / "salt", fleet, minions, MASTER_OPTIONS)
        stack.callback(daemons.stop)
        daemons.start()
        yield OldSite(fleet, daemons)
