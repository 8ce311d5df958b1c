"""A real master and two real minions on two simulated Xen hosts."""

import pytest


@pytest.fixture(scope="session")
def _site(real_site):
    return real_site
