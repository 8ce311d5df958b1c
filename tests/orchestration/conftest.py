"""Two simulated Xen hosts under Salt, without daemons; with `--daemons` the same tests have real ones."""

import pytest

from tests.harness.site import Conducted


@pytest.fixture(scope="session")
def _site(request):
    real = request.config.getoption("--daemons")
    return request.getfixturevalue("real_site" if real else "conducted_site")


@pytest.fixture
def conductor(configured):
    """The conductor of the configured fleet, for tests that reach behind it."""
    if not isinstance(configured, Conducted):
        pytest.skip("daemons cannot do what the conductor is asked for")
    return configured.conductor


@pytest.fixture
def migrate(conductor):
    """A function that migrates a guest from xen1 to xen2, or begins to."""

    def run(name, test=False, start=False, **options):
        wanted = dict({"domain": name, "source": "xen1", "target": "xen2", "settle": 3}, **options)
        act = conductor.start if start else conductor.orchestrate
        return act("xend.orch.migrate", {"xend": {"migrate": wanted}}, test)

    return run
