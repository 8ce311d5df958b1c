"""A real master and real minions on simulated Xen hosts, two unless a file asks for more."""

import pytest


def pytest_collection_modifyitems(config, items):
    """What takes long is left out unless --daemons is given, as in tests/orchestration."""
    if config.getoption("--daemons"):
        return
    slow = [
        item
        for item in items
        if item.path.parent.name == "integration" and item.get_closest_marker("slow_daemons")
    ]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def _site(real_site):
    return real_site
