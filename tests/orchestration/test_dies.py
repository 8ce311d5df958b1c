"""A minion dies in the middle of an evacuation, or salt-run is ended: what is said is so."""

import os
import signal

import pytest

from tests.lab import salt_config

pytestmark = [
    pytest.mark.usefixtures("host_count"),
    pytest.mark.parametrize("host_count", [3], indirect=True),
]

NAMES = ("web01", "web02", "web03")
LIMIT_S = 600


@pytest.fixture
def guests(configured):
    for number, name in enumerate(NAMES):
        configured.xen1.create_guest(name, memory_mib=96 - 16 * number)
    return {name: configured.xen1.wait_alive(name) for name in NAMES}


def places(site):
    return {name: [host for host, one in site.where(name).items() if one.alive] for name in NAMES}


def kept(site):
    """What is left of transfers on all hosts."""
    kinds = (salt_config.notes, salt_config.safety_copies, salt_config.reservations)
    return [path for host in site.fleet for kind in kinds for path in kind(host)]


def test_the_minion_of_the_source_dies_while_a_guest_is_sent(configured, conductor, guests):
    configured.xen1.link(hold_at=0.5)
    with configured.meanwhile(configured.evacuate, parallel=1, settle=20) as finish:
        configured.xen1.wait_held(LIMIT_S)
        conductor.minion_down("xen1")
        configured.xen1.release()
        run = finish()
    assert run.exit_code == 1 and "No guest was moved" in run.report()
    (moved,) = [name for name, hosts in places(configured).items() if hosts != ["xen1"]]
    assert "%s runs on " % moved in run.report() and "service salt-minion start" in run.report()
    others = [name for name in NAMES if name != moved]
    assert "%s were not tried" % " and ".join(others) in run.report()
    assert "xen1 is not empty of what was asked for" in run.report()
    conductor.minion_up("xen1")
    record = conductor.call("xen1", "xm.evacuation")
    assert record["closed"] and {guest["name"] for guest in record["guests"]} == set(NAMES)
    # Nobody has seen yet that it has arrived.
    assert len(salt_config.notes(configured.xen1)) == 1
    # None of the others goes where it went.
    went = configured.where(moved)
    targets = [host.name for host in configured.fleet if host.name not in ("xen1", *went)]
    run = configured.evacuate(targets=targets)
    assert run.exit_code == 0, run.report()
    assert places(configured) == dict(dict.fromkeys(others, targets), **{moved: list(went)})
    assert kept(configured) == []
    back = configured.restore()
    assert back.exit_code == 0, back.report()
    assert places(configured) == dict.fromkeys(NAMES, ["xen1"]) and kept(configured) == []
    assert conductor.call("xen1", "xm.evacuation")["guests"] == []


@pytest.fixture
def ctrl_c():
    """What is begun now obeys Ctrl-C, also when these tests themselves run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_who_ends_salt_run_is_told_what_became_of_the_guest_under_way(configured, conductor, guests):
    configured.xen1.link(hold_at=0.5)
    wanted = {"source": "xen1", "parallel": 1, "settle": 20}
    process = conductor.start("xend.orch.evacuate", {"xend": {"evacuate": wanted}})
    configured.xen1.wait_held(LIMIT_S)
    os.kill(process.pid, signal.SIGINT)
    configured.xen1.release()
    run = conductor.finish(process)
    assert run.exit_code == 1, run.report()
    (moved,) = [name for name, hosts in places(configured).items() if hosts != ["xen1"]]
    others = [name for name in NAMES if name != moved]
    said = run.comment("xen1 is not empty")
    assert "1 guest was moved (%s to " % moved in said and "Ctrl-C" in said
    assert "%s were not tried, and were left on xen1" % " and ".join(others) in said
    assert kept(configured) == []


def test_a_guest_that_a_former_run_has_lost_is_not_forgotten(configured, conductor, guests):
    configured.xen1.link(hold_at=0.5)
    wanted = {"source": "xen1", "parallel": 1, "settle": 6, "safety_copy": "off"}
    process = conductor.start("xend.orch.evacuate", {"xend": {"evacuate": wanted}})
    configured.xen1.wait_held(LIMIT_S)
    went = {name: [host for host in configured.where(name) if host != "xen1"] for name in NAMES}
    ((lost, target),) = [(name, configured.fleet[hosts[0]]) for name, hosts in went.items() if hosts]
    process.kill()
    target.kill_xend_child()
    configured.xen1.release()
    conductor.wait_idle()
    target.bring_up()
    for _again in range(2):
        run = configured.evacuate(settle=6)
        assert run.exit_code == 1 and places(configured)[lost] == [], run.report()
        said = run.comment("xen1 is not empty")
        assert "%s was sent from xen1 to %s at " % (lost, target.name) in said, said
        assert "First `salt-run state.orchestrate xend.orch.recover`" in said
    configured.recover(remove_lost=[lost])
    run = configured.evacuate()
    assert run.exit_code == 0 and salt_config.notes(configured.xen1) == [], run.report()
