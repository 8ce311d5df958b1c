"""A host is emptied and filled again by a real master, also when salt-run is killed in the midst of it."""

import pytest

from tests.faults import truth
from tests.harness.moves import HELD_LIMIT_S, moved_intact
from tests.harness.salt_run import SaltRun
from tests.lab import salt_config
from tests.lab.layout import wait_until

pytestmark = [
    pytest.mark.slow_daemons,
    pytest.mark.parametrize("host_count", [3], indirect=True),
]

GUESTS = {"web01": 96, "web02": 64}
EMPTY = "xen1 is empty of what was asked for"


@pytest.fixture
def guests(configured):
    """Two guests that run on xen1, {name: uuid}."""
    found = {}
    for name, memory_mib in GUESTS.items():
        made = configured.xen1.create_guest(
            name,
            memory_mib=memory_mib,
            disks=["file:/srv/xen/%s.img,xvda,w" % name],
            vifs=["bridge=xenbr0"],
        )
        found[name] = made.uuid
        # An idle guest of some seconds has not used any CPU, as if it had never run.
        configured.xen1.hypervisor.update(made.domid, cpu_time=100.0)
    return found


@pytest.fixture
def evacuate(configured):
    """A function that begins to empty xen1; what it has begun and is not over ends with the test."""
    begun = []

    def begin(**options):
        pillar = {"xend": {"evacuate": {"source": "xen1", "parallel": 2, **options}}}
        begun.append(SaltRun(configured.master.config_dir, "evacuate", pillar))
        return begun[-1]

    yield begin
    for run in begun:
        run.kill()


def hosts_of(site, name):
    """The hosts on which a guest is alive, by their hypervisors."""
    return [host for host, copy in site.where(name).items() if copy.alive]


def assert_emptied(site, run, guests):
    assert run.exit_code == 0, run.report()
    assert EMPTY in run.steps, run.report()
    assert site.xen1.guests() == {}
    for name, uuid in guests.items():
        (host,) = hosts_of(site, name)
        assert "%s runs on %s" % (name, host) in run.report() or "%s:" % name not in run.report()
        assert moved_intact(site.xen1, site.fleet[host], uuid), name


def assert_filled(site, run, guests):
    assert run.exit_code == 0, run.report()
    assert {name: hosts_of(site, name) for name in guests} == {name: ["xen1"] for name in guests}
    assert not salt_config.evacuation(site.xen1).exists()
    for uuid in guests.values():
        assert truth.crimes(truth.history(site.fleet, uuid)) == []
    for host in site.fleet:
        # Reservations of a run that was killed end by themselves, after minutes.
        left = [*salt_config.notes(host), *salt_config.relay_files(host)]
        assert left + salt_config.safety_copies(host) == []


def restore(site):
    return site.orchestrate("restore", {"xend": {"restore": {"host": "xen1"}}})


def held(site, run):
    """Wait until a guest of xen1 is held on its way."""
    wait_until(lambda: site.xen1.layout.held_marker.exists() or run.over(), HELD_LIMIT_S)
    assert site.xen1.layout.held_marker.exists(), run.finish().report()


def test_all_guests_leave_and_come_back(configured, guests, evacuate):
    run = evacuate().finish()
    assert_emptied(configured, run, guests)
    assert len({tuple(hosts_of(configured, name)) for name in guests}) == 2
    # Whoever takes it for a target now is told why it is none.
    back = configured.migrate("web01", source=hosts_of(configured, "web01")[0], target="xen1")
    assert back.exit_code != 0 and "xend.orch.restore" in back.report(), back.report()
    assert_filled(configured, restore(configured), guests)


def test_salt_run_is_killed_and_the_same_run_again_goes_on(configured, guests, evacuate):
    configured.xen1.link(hold_at=0.5)
    first = evacuate()
    held(configured, first)
    first.kill()
    again = evacuate()
    configured.xen1.release()
    assert_emptied(configured, again.finish(), guests)
    assert_filled(configured, restore(configured), guests)
