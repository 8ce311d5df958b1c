"""One version wherever it stands, and what is said where hosts have another. Runs on Python 2.7, too."""

import importlib
import os
import re

import pytest

import xend_version

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OWN = xend_version.version()


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("saltext_xend/__init__.py", '^__version__ = "(.*)"$'),
        ("_utils/xend_version.py", '^VERSION = "(.*)"$'),
        ("_runners/xend.py", '^VERSION = "(.*)"$'),
        ("_runners/xend_evacuation.py", '^VERSION = "(.*)"$'),
        ("_runners/xend_plan.py", '^VERSION = "(.*)"$'),
        ("_states/xend_orch.py", '^VERSION = "(.*)"$'),
        ("salt/xend/orch/say.jinja", 'set own_version = "([^"]*)"'),
        ("CHANGELOG.md", r"^## ([0-9]\S*)"),
    ],
)
def test_each_place_has_the_same_version(path, pattern):
    with open(os.path.join(REPO, path), "rb") as stream:
        assert re.findall(pattern, stream.read().decode("utf-8"), re.M)[0] == OWN


def differ(**said):
    return xend_version.differ(said, importlib.import_module)


def test_nothing_is_said_of_hosts_that_have_the_same():
    assert differ() == differ(xen1=OWN, xen2=OWN) == ""


def test_one_host_that_was_not_synced():
    text = differ(xen1=OWN, xen2="0.1.9")
    assert text.startswith(
        "The versions of Xend for Salt differ: %s on this master, xen1; 0.1.9 on xen2. `" % OWN
    )
    assert "`salt-run saltutil.sync_all`, then `salt xen2 saltutil.sync_all`" in text


def test_hosts_are_named_by_version_and_synced_together():
    text = differ(xen1="9.0", xen2=None, xen3=OWN, xen4="9.0")
    assert "differ: %s on this master, xen3; 9.0 on xen1, xen4; one before 0.2.0 on xen2. `" % OWN in text
    assert "`salt -L xen1,xen2,xen4 saltutil.sync_all`" in text


def test_a_master_that_is_alone():
    assert "differ: %s on this master; 9.0 on xen1, xen2. `salt-run saltutil" % OWN in differ(
        xen1="9.0", xen2="9.0"
    )


def test_what_a_host_says_is_made_legible():
    assert "; 1\\x1b[2J on xen1. " in differ(xen1="1\x1b[2J")
