"""A real master and two real minions on two simulated Xen hosts."""

import pytest

from tests.harness.fixtures import *  # noqa: F403


@pytest.fixture(scope="session")
def _site(real_site):
    return real_site
