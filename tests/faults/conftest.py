"""Two simulated hosts with minions of the conductor's."""

import pytest

from tests.faults import campaign
from tests.harness.conductor import Conductor
from tests.lab.fleet import HostSpec


@pytest.fixture(scope="module")
def conductor(new_fleet, tmp_path_factory):
    fleet = new_fleet(
        *[HostSpec(name, config=campaign.CONFIG, time_scale=0.02) for name in ("xen1", "xen2")]
    )
    fleet.start()
    return Conductor(fleet, tmp_path_factory.mktemp("faults") / "salt")


@pytest.fixture
def following(conductor):
    """Files follow between all hosts; they have none of web01 afterwards."""
    for host in conductor.fleet:
        conductor.opts[host.name]["xend"]["follow"] = True
        host.path("/etc/xen/auto").mkdir(parents=True, exist_ok=True)
    yield
    for host in conductor.fleet:
        del conductor.opts[host.name]["xend"]["follow"]
        for path in ("/etc/xen/web01", "/etc/xen/web01.cfg", "/etc/xen/auto/web01"):
            host.path(path).unlink(missing_ok=True)


@pytest.fixture
def migrate(conductor):
    """A function that migrates a guest; hosts and minions are whole again afterwards."""

    def run(name, test=False, start=False, **options):
        wanted = dict({"domain": name, "source": "xen1", "target": "xen2", "settle": 3}, **options)
        act = conductor.start if start else conductor.orchestrate
        return act("xend.orch.migrate", {"xend": {"migrate": wanted}}, test)

    yield run
    for host in conductor.fleet:
        host.release()
        host.link()
        conductor.minion_up(host.name)
