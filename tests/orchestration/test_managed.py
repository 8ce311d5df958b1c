"""Guests that xend manages, on hosts whose xend keeps them when they are sent.

The real SLS, run by the conductor.
"""

import pytest

from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

REMOVED = "xend on xen1 does not manage web01 any more"


@pytest.fixture(scope="module")
def conductor(new_conductor):
    return new_conductor(*[HostSpec(name, "3.4.0") for name in ("xen1", "xen2")])


@pytest.fixture
def guest(conductor):
    xen1, xen2 = conductor.fleet
    yield xen1.create_guest("web01", managed=True, on_xend_start="start")
    for host in (xen1, xen2):
        host.link()
        host.clear()


def migrate(conductor, test=False, start=False, **options):
    wanted = dict({"domain": "web01", "source": "xen1", "target": "xen2", "settle": 3}, **options)
    act = conductor.start if start else conductor.orchestrate
    return act("xend.orch.migrate", {"xend": {"migrate": wanted}}, test)


@pytest.mark.parametrize("test", [True, False])
def test_it_is_not_sent_unasked(conductor, guest, test):
    xen1, xen2 = conductor.fleet
    run = migrate(conductor, test=test)
    assert not run.ok and "accept: [managed]" in "\n".join(run.said())
    assert xen1.guests()["web01"].alive and xen2.guests() == {}


def test_its_old_host_forgets_it_once_it_runs(conductor, guest):
    xen1, xen2 = conductor.fleet
    told = migrate(conductor, test=True, accept=["managed"])
    assert told.ok and guest.uuid in xen1.managed and xen1.guests()["web01"].alive, told.said()
    run = migrate(conductor, accept=["managed"])
    assert run.ok, run.said()
    assert xen2.guests()["web01"].alive and guest.uuid not in xen1.managed
    xen1.restart()
    assert not wait_until(lambda: xen1.guests(), 2)
    # A second run finds all done.
    assert migrate(conductor, accept=["managed"]).ok


def test_a_run_that_was_interrupted_is_finished_by_the_next(conductor, guest):
    xen1, xen2 = conductor.fleet
    assert xen1.xm_run("migrate", "web01", xen2.address).returncode == 0
    xen2.wait_alive("web01")
    assert guest.uuid in xen1.managed
    run = migrate(conductor, accept=["managed"])
    assert run.ok and guest.uuid not in xen1.managed, run.said()


def test_another_guest_of_the_same_name_is_not_taken_for_it(conductor, guest):
    """It was never seen on the target, which runs another one."""
    xen1, xen2 = conductor.fleet
    assert xen1.xm_run("destroy", "web01").returncode == 0
    assert xen2.create_guest("web01").uuid != guest.uuid
    run = migrate(conductor, accept=["managed"])
    assert guest.uuid in xen1.managed, run.said()


def test_its_old_host_keeps_it_when_it_does_not_arrive(conductor, guest):
    xen1, xen2 = conductor.fleet
    xen1.link(hold_at=0.5)
    run = migrate(conductor, start=True, accept=["managed"])
    xen1.wait_held(180)
    xen2.kill_xc_restore()
    xen1.release()
    said = conductor.finish(run)
    assert not said.ok and guest.uuid in xen1.managed, said.said()
