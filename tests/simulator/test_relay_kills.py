"""The relay between two simulated hosts, killed at any moment of its life: the guest is in one place."""

import random
import time

import pytest

import xm_relay
from tests.faults import truth
from tests.harness import relays
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until
from tests.simulator.acts import LIMIT_S, calm

KILLS = 16
MOST_S = 1.5
# How long the target may take to let a guest run that it has whole.
SETTLE_S = 10.0


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(HostSpec("xen1", time_scale=0.02), HostSpec("xen2", time_scale=0.02))
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    for host in fleet:
        relays.kill(host)
    calm(*fleet)


def start(source, target, guest, live):
    """Start a relay for a guest, and its migration; return the running xm and the relay's status file."""
    files = {key: str(source.root / "kept" / (guest.name + "." + key)) for key in ("relay", "save")}
    names = {"id": "1", "name": guest.name, "uuid": guest.uuid, "target": target.name, "live": live}
    said = xm_relay.start(
        {
            "listen": [[source.loopback, 0]],
            "target": [target.address, 8002],
            "bind": source.address,
            "status": files["relay"],
            "copy": files["save"],
            "required": False,
            "delay_s": 30,
            "rate_mib_s": None,
            "xend": source.pids()["xend"],
            "accept_s": LIMIT_S,
            "answer_s": LIMIT_S,
            "spare_mib": 0,
            "names": names,
        }
    )
    words = ["--live"] * live + [guest.name, source.loopback, "--port=%d" % said["listens"][1]]
    return source.xm_start("migrate", *words), files["relay"]


def in_one_place(hosts, guest, killed_at):
    """Wait until nothing goes on any more; return where the guest runs, with its history as it has to be.

    None: nowhere. Only a guest that stood still already may be lost: when its source has sent the last, and
    both processes are killed before they have passed that on.
    """
    assert wait_until(lambda: not truth.look(hosts, guest.uuid).going_on, LIMIT_S)
    wait_until(lambda: truth.look(hosts, guest.uuid).alive_on(), SETTLE_S)
    entries = truth.history(hosts, guest.uuid)
    assert truth.crimes(entries) == []
    where = truth.look(hosts, guest.uuid).alive_on()
    if not where:
        assert [one for one in entries if one["event"] == "suspended" and one["time"] <= killed_at], entries
        return None
    (where,) = where
    return where


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment(hosts, number):
    source, target = hosts
    chance = random.Random(number)
    guest = source.create_guest("web01", pages=chance.choice([16, 64]))
    xm, _status = start(source, target, guest, live=chance.random() < 0.7)
    time.sleep(chance.uniform(0, MOST_S))
    # Both of its processes, or the one that forwards: then the other goes on.
    which = chance.choice([slice(None), slice(0, 1)])
    relays.kill(source, which)
    killed_at = time.time()
    xm.communicate(timeout=LIMIT_S)
    assert in_one_place(hosts, guest, killed_at) or which == slice(None)


@pytest.mark.parametrize("late_s", [0, 0.002, 0.005, 0.02, 0.05])
def test_killed_about_the_end(hosts, late_s):
    """All but the end was sent, and the target has taken it."""
    source, target = hosts
    guest = source.create_guest("web01")
    source.link(hold_at=1.0)
    xm, _status = start(source, target, guest, live=True)
    source.wait_held()
    source.release()
    time.sleep(late_s)
    relays.kill(source)
    killed_at = time.time()
    xm.communicate(timeout=LIMIT_S)
    in_one_place(hosts, guest, killed_at)


def test_killed_while_it_waits_for_the_answer(hosts):
    source, target = hosts
    guest = source.create_guest("web01")
    target.delay("acknowledge", LIMIT_S)
    xm, status = start(source, target, guest, live=True)
    assert relays.wait(source, lambda one: one["phase"] == "sent")
    relays.kill(source)
    xm.communicate(timeout=LIMIT_S)
    assert in_one_place(hosts, guest, time.time()) == "xen2"
    assert xm_relay.status(status)["heard"] is None
