"""
What is on a host, asked over xend's socket and by xm: the answers are equal whatever the version of xend and
its guests, and xend that is not there, or hangs, is told in time. On simulated hosts.
"""

import os
import re
import sys
import time

import pytest

from tests.functional.conftest import LIMIT_S, OPEN, held, refused
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

VERSIONS = {"xen1": "4.4", "xen2": "4.4", "mid2": "4.0", "mid1": "3.4.0", "old2": "3.1", "old1": "3.0.3"}
XM_ONLY = "/nowhere/xmlrpc.sock"

# What is another one at each moment.
TIMES = ("time_s", "seconds", "time", "uptime_s")


@pytest.fixture(scope="module")
def running(open_fleet):
    return open_fleet(*[HostSpec(name, version=version) for name, version in VERSIONS.items()])


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.thaw()
        host.link()
        host.bring_up()
        host.clear()


@pytest.fixture
def both(minion_on):
    """A function that gives the module xm of a host twice: asking over the socket, and by xm only."""
    return lambda name: (minion_on(name).modules.xm, minion_on(name, socket=XM_ONLY).modules.xm)


def steady(value):
    """A value without what is another one at each moment; whether a guest is on a CPU is such, too."""
    if isinstance(value, dict):
        return {key: steady(value[key]) for key in value if key not in TIMES}
    if isinstance(value, list):
        return [steady(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"\(cpu_time [^)]*\)", "(cpu_time)", value)
        value = re.sub(r"(?<![\w-])[rb-]{2}(?=[pscd?-]{4}(?![\w-]))", "--", value)
    return value


def peopled(host):
    """All kinds of guests on a host; returns the names under which they are asked for."""
    names = ["web01", "two  words", "it's \"quoted\"", "gr\u00fc\u00dfe", "-l", "7777", "win01", "(a b)"]
    host.create_guest("web01", disks=["phy:/dev/vg/web01,xvda,w"], vifs=["bridge=xenbr0"], managed=True)
    for name in names[1:6] + names[7:]:
        host.create_guest(name)
    host.create_guest("win01", image="hvm", vncunused=1, vncpasswd="gEhEiM")
    host.create_guest("paused", paused=True)
    if VERSIONS[host.name] != "3.0.3":
        host.define_guest("sleeping")
    for name, changes in (
        ("db", {"xend_name": "migrating-db"}),
        ("half", {"xend_name": "migrating-half", "suspended": True}),
        ("dead", {"xend_name": "web01", "dying": True}),
        ("copy", {"xend_name": "two  words", "suspended": True}),
    ):
        host.hypervisor.update(host.create_guest(name).domid, **changes)
    return [*names, "paused", "sleeping", "db", "migrating-db", "half", "none of them"]


@pytest.mark.parametrize("name", list(VERSIONS))
def test_both_ways_tell_the_same(fleet, both, name):
    host = fleet[name]
    guests = peopled(host)
    over, by_xm = both(name)
    for function, calls in {
        "list": [()],
        "info": [()],
        "host": [()],
        "moving": [()],
        "migrations": [()],
        "lifecycle": [()],
        "copies": [()],
        "unfinished": [()],
        # All others are selected from the same picture.
        "domain": [(guest,) for guest in guests[:: 1 if name == "xen1" else 4]],
        "where": [(guest,) for guest in guests[:: 1 if name == "xen1" else 5]],
        "report": [("web01",), ("none of them",)],
    }.items():
        for arguments in calls:
            before = len(host.xm_calls())
            told = steady(getattr(over, function)(*arguments))
            asked = len(host.xm_calls())
            assert asked == before, (function, arguments)
            assert steady(getattr(by_xm, function)(*arguments)) == told, (function, arguments)
            assert len(host.xm_calls()) > asked
    found = over.list()
    assert found["-l"]["domid"] and found["paused"]["state"] == "--p---"
    held = {one["listed"]: one["copy"] for one in over.copies()["copies"] if one["copy"] != "absent"}
    assert (held["web01"], held["migrating-db"], held["migrating-half"]) == ("running", "left", "suspended")
    assert held.get("sleeping", "managed") == "managed" and held["gr\u00fc\u00dfe"] == "running"
    assert {over.domain(guest)["name"] for guest in guests[:8]} == set(guests[:8])
    assert "gEhEiM" not in repr(over.domain("win01")) + repr(by_xm.report("win01"))


def seen_alike(both, name, uuid):
    """What both ways tell of web01 on a host: the word for the copy there."""
    over, by_xm = both(name)
    for function, arguments in (
        ("where", ("web01", uuid)),
        ("where", ("web01", "00000000-1111-2222-3333-444444444444")),
        ("copies", ()),
        ("unfinished", ()),
        ("moving", ()),
        ("migrations", ()),
        ("lifecycle", ()),
    ):
        told = steady(getattr(over, function)(*arguments))
        assert steady(getattr(by_xm, function)(*arguments)) == told, (name, function)
    return over.where("web01", uuid)["copy"]


@pytest.mark.parametrize("part", [0.5, 1.0])
@pytest.mark.parametrize("target", ["xen2", "mid1"])
def test_both_ways_tell_the_same_of_a_guest_under_way(fleet, both, target, part):
    guest = fleet["xen1"].create_guest("web01")
    with held(fleet, part, target=target):
        assert [seen_alike(both, name, guest.uuid) for name in ("xen1", target)] == ["sending", "receiving"]
    fleet[target].wait_alive("web01")


@pytest.mark.parametrize("killed", [["xen1"], ["xen2"], ["xen1", "xen2"]])
def test_both_ways_tell_the_same_of_what_a_broken_transfer_leaves(fleet, both, killed):
    guest = fleet["xen1"].create_guest("web01")
    with held(fleet, 0.5):
        for name in killed:
            fleet[name].kill_xend()
        for name in killed:
            fleet[name].bring_up()
        for name in ("xen1", "xen2"):
            seen_alike(both, name, guest.uuid)
    carriers = {"xc_save", "xc_restore"}
    assert wait_until(lambda: not any(carriers & set(host.layout.roles()) for host in fleet), LIMIT_S)
    for name in ("xen1", "xen2"):
        seen_alike(both, name, guest.uuid)


@pytest.mark.parametrize("used_s", [0.0, 5.0])
def test_both_ways_tell_the_same_of_a_guest_that_is_paused(fleet, both, used_s):
    """One that was received and never completed has not run yet."""
    host, guest = fleet["xen1"], fleet["xen1"].create_guest("web01", paused=True)
    host.hypervisor.update(guest.domid, cpu_time=used_s)
    assert seen_alike(both, "xen1", guest.uuid) == ("halted" if used_s else "unfinished")


@pytest.mark.parametrize("name", ["xen2", "mid1", "old1"])
def test_both_ways_judge_a_guest_alike(fleet, both, name):
    fleet["xen1"].create_guest("web01", disks=["phy:/dev/vg/web01,xvda,w"], vifs=["bridge=xenbr0"])
    peopled(fleet[name])
    found = []
    for here, there in zip(both("xen1"), both(name), strict=True):
        report = here.report("web01")
        marked = here.mark_disks("web01")
        storage = there.same_disks(marked, "xen1")
        here.unmark_disks(marked)
        found.append(there.can_receive(report["domain"], source=report["host"], storage=storage))
    # That web01 is here already, another one.
    assert steady(found[0]) == steady(found[1]) and not found[0]["ok"]


@pytest.mark.parametrize("target", ["xen2", "mid1", "old1"])
def test_xm_is_run_once_for_a_migration(fleet, on, target):
    guest = fleet["xen1"].create_guest("web01")
    before = {name: len(fleet[name].xm_calls()) for name in ("xen1", target)}
    report = on("xen1").report("web01")
    assert on("xen1").can_send("web01", target)["ok"]
    assert "ok" in on(target).can_receive(report["domain"], source=report["host"])
    assert on("xen1").migrate("web01", target)["uuid"] == guest.uuid
    assert on(target).arrival("web01", guest.uuid, "xen1")["copy"] == "running"
    calls = [call for name in before for call in fleet[name].xm_calls()[before[name] :]]
    assert len(calls) == 1 and calls[0][0] == "migrate", calls
    assert fleet[target].guests()["web01"].alive


def test_a_xend_that_is_down_is_told_the_same_way(fleet, both):
    fleet["xen1"].stop()
    over, by_xm = both("xen1")
    for function, arguments in (("list", ()), ("info", ()), ("domain", ("web01",)), ("moving", ())):
        said = refused(getattr(over, function), *arguments)
        assert said == refused(getattr(by_xm, function), *arguments)
        assert "Unable to connect to xend" in said
    assert steady(over.where("web01")) == steady(by_xm.where("web01"))
    view = over.where("web01")
    assert (view["copy"], view["xend"]) == ("unknown", False) and "start" in view["remedy"]
    assert steady(over.copies()) == steady(by_xm.copies()) and over.copies()["copies"] is None


def test_the_socket_of_a_xend_that_was_killed_is_nobody(fleet, on):
    fleet["xen1"].kill_xend()
    assert os.path.exists(fleet["xen1"].usual_socket)
    began = time.monotonic()
    assert "Connection refused" in refused(on("xen1").list)
    assert time.monotonic() - began < 30
    # Whoever starts xend again is answered.
    assert fleet["xen1"].start().returncode == 0
    assert wait_until(lambda: fleet["xen1"].answers, 60)
    assert list(on("xen1").list()) == ["Domain-0"]


def test_a_xend_that_hangs_is_told_in_time(fleet, on, monkeypatch):
    """And xm is not run, which would wait as well."""
    host, xm = fleet["xen1"], on("xen1")
    host.create_guest("web01")
    assert xm.list()
    monkeypatch.setattr(sys.modules["salt.loaded.ext.utils.xm_look"], "ANSWER_S", 2)
    host.freeze()
    before, began = len(host.xm_calls()), time.monotonic()
    for call in (xm.list, xm.info, xm.moving, lambda: xm.domain("web01")):
        said = refused(call)
        assert "xend did not answer within 2 s" in said and len(said.split(". ")) > 1, said
    view = xm.where("web01")
    assert (view["copy"], view["xend"]) == ("unknown", True) and view["remedy"]
    assert xm.copies()["copies"] is None
    assert time.monotonic() - began < 40 and len(host.xm_calls()) == before
    host.thaw()
    assert "web01" in xm.list()


def test_a_host_whose_file_turns_the_socket_off_is_asked_by_xm(fleet, on):
    """Then only xm knows the way, if there is one at all; here there is none."""
    fleet["xen2"].config.write_text(OPEN + "(xend-unix-xmlrpc-server no)\n")
    fleet["xen2"].restart()
    try:
        before = len(fleet["xen2"].xm_calls())
        refused(on("xen2").list)
        assert len(fleet["xen2"].xm_calls()) == before + 1
    finally:
        fleet["xen2"].config.write_text(OPEN)
        fleet["xen2"].restart()
