"""How fast guests travel: what a host sends and receives at once shares its network card."""

import re
import threading
import time

import pytest

from tests.lab.fleet import HostSpec
from tests.lab.network import SLACK_S, Wire
from tests.simulator.acts import calm, finish

SPEED_MIB_S = 8
CARRIED_MIB = 4
ALONE_S = CARRIED_MIB / SPEED_MIB_S


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(*(HostSpec("xen%d" % number, time_scale=0.02) for number in (1, 2, 3)))
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    calm(*fleet)


def carried_s(hosts, *ways, mib=CARRIED_MIB):
    """Carry so much over each of the ways (source, target) at once; return how long each took."""
    took, began = {}, time.monotonic()

    def carry(number, source, target):
        Wire(hosts[source].layout, hosts[target].layout).carry(mib, lambda: True)
        took[number] = time.monotonic() - began

    threads = [threading.Thread(target=carry, args=(number, *way)) for number, way in enumerate(ways)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [took[number] for number in range(len(ways))]


def test_a_link_without_a_limit_keeps_nobody_waiting(hosts):
    assert carried_s(hosts, ("xen1", "xen2"), mib=10**4)[0] < 5


@pytest.mark.parametrize("limited", ["xen1", "xen2"])
def test_a_link_carries_no_more_than_its_speed(hosts, limited):
    hosts[limited].link(speed_mib_s=SPEED_MIB_S)
    assert carried_s(hosts, ("xen1", "xen2"))[0] >= ALONE_S - SLACK_S


def test_the_slower_of_two_hosts_says_how_fast_it_goes(hosts):
    hosts["xen1"].link(speed_mib_s=100 * SPEED_MIB_S)
    hosts["xen2"].link(speed_mib_s=SPEED_MIB_S)
    assert carried_s(hosts, ("xen1", "xen2"))[0] >= ALONE_S - SLACK_S


@pytest.mark.parametrize(
    ("limited", "ways"),
    [
        ("xen1", [("xen1", "xen2"), ("xen1", "xen3")]),
        ("xen3", [("xen1", "xen3"), ("xen2", "xen3")]),
        ("xen1", [("xen1", "xen2"), ("xen1", "xen2")]),
    ],
)
def test_transfers_over_one_network_card_share_its_speed(hosts, limited, ways):
    hosts[limited].link(speed_mib_s=SPEED_MIB_S)
    assert max(carried_s(hosts, *ways)) >= 2 * ALONE_S - SLACK_S


def test_what_comes_does_not_slow_down_what_leaves(hosts):
    hosts["xen1"].link(speed_mib_s=1)
    assert max(carried_s(hosts, ("xen1", "xen2"), ("xen3", "xen1"), mib=3)) < 5.5


def test_what_lies_between_two_hosts_concerns_no_other(hosts):
    hosts["xen2"].link(speed_mib_s=1, to="xen1")
    to_xen2, to_xen3 = carried_s(hosts, ("xen1", "xen2"), ("xen1", "xen3"), mib=2)
    assert to_xen2 >= 2 - SLACK_S and to_xen3 < 1.5
    hosts["xen2"].link(to="xen1")
    assert carried_s(hosts, ("xen1", "xen2"), mib=10)[0] < 5


def test_nobody_waits_for_a_fleet_that_is_gone(hosts):
    hosts["xen1"].link(speed_mib_s=0.001)
    began = time.monotonic()
    Wire(hosts["xen1"].layout, hosts["xen2"].layout).carry(1, lambda: time.monotonic() < began + 0.2)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("options", [["--live"], []])
def test_a_guest_travels_as_long_as_its_memory_takes(hosts, options):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01", memory_mib=96)
    source.link(speed_mib_s=96)
    began = time.monotonic()
    assert finish(source.xm_start("migrate", *options, "web01", target.address))[0] == 0
    took_s = time.monotonic() - began
    times = float(re.findall(r"Total pages sent= \d+ \(([\d.]+)x\)", source.log.read_text())[-1])
    assert took_s >= times - SLACK_S and target.wait_alive("web01")
    # What a running guest writes to meanwhile is sent again.
    assert times > 1.1 if options else times == 1
