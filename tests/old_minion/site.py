"""A site whose minions are of another Salt than its master."""

import re
from types import SimpleNamespace

import salt.config

from tests.harness.salt_run import SaltRun
from tests.harness.site import Real

# Salt 3006 and later do not talk to older minions otherwise. No minion is ever down here, so that they can be
# waited for as long as a busy machine takes.
MASTER_OPTIONS = {"minimum_auth_version": 0, "timeout": 30, "gather_job_timeout": 60}
# That of a daemon which System V's init has started.
MINION_LOCALE = "C"

# How a text shows that Python 2 had trouble with it, or was asked for it without care.
PYTHON_2 = re.compile(r"\bu['\"]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|Traceback|UnicodeE|codec can't")


def assert_said_well(text):
    found = PYTHON_2.search(text)
    assert not found, "%s in: %s" % (found.group(), text)


class OldMinion:
    """An old Salt, as Daemons runs the minion of a host by it."""

    def __init__(self, old_salt):
        self.command = old_salt.command
        self.environment = {**old_salt.environment, "LC_ALL": MINION_LOCALE}


class OldSite(Real):
    """Hosts whose minions need not be of the master's Salt."""

    def __init__(self, fleet, daemons):
        self.config_dir = daemons.config
        opts = salt.config.client_config(str(daemons.config / "master"))
        names = [host.name for host in fleet]
        super().__init__(fleet, SimpleNamespace(config=opts), names, daemons.pillar_file)

    def cache_of(self, name):
        """Where a minion keeps what it has from its master."""
        return self.config_dir.parent / name / "var/cache/salt/minion"

    def orchestrate(self, name, pillar, test=False):
        with SaltRun(self.config_dir, name, pillar, test) as run:
            return run.finish()

    def minion_up(self, name):
        """They are never down."""
