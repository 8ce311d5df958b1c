"""
Two simulated Xen hosts under Salt, without daemons. Tests that are marked `daemons` have real ones as well;
with the option `--daemons` all have these, and only these.
"""

import pytest

from tests.faults import campaign
from tests.harness.conductor import Conductor
from tests.harness.site import Conducted


def pytest_generate_tests(metafunc):
    if "_site" not in metafunc.fixturenames:
        return
    ways = ["conducted_site", "real_site"]
    if metafunc.config.getoption("--daemons"):
        ways.remove("conducted_site")
    elif not metafunc.definition.get_closest_marker("daemons"):
        ways.remove("real_site")
    metafunc.parametrize("_site", ways, indirect=True, scope="session")


@pytest.fixture(scope="session")
def _site(request, host_count):
    # Named here, so that another number of hosts makes this anew, too.
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def new_conductor(new_fleet, tmp_path_factory):
    """A function that starts hosts that are open to each other, and returns their conductor."""

    def make(*specs):
        for spec in specs:
            spec.config, spec.time_scale = campaign.CONFIG, campaign.TIME_SCALE
        fleet = new_fleet(*specs)
        fleet.start()
        made = Conductor(fleet, tmp_path_factory.mktemp("conducted") / "salt")
        made.call_all("state.sls", "xend.relocation")
        return made

    return make


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
