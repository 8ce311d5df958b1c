"""Hosts that are emptied: the real SLS and runner, over a fleet of three."""

import json
import os
import signal

import pytest

from tests.harness.conductor import Gone
from tests.harness.moves import arrivals
from tests.lab import salt_config
from tests.lab.layout import wait_until

pytestmark = [
    pytest.mark.usefixtures("host_count"),
    pytest.mark.parametrize("host_count", [3], indirect=True),
]

NAMES = ("web01", "web02", "web03")
HELD_LIMIT_S = 600


@pytest.fixture
def guests(configured):
    """Three guests of different sizes that run on xen1."""
    for number, name in enumerate(NAMES):
        disk = "file:/srv/%s.img,xvda,w" % name
        configured.xen1.create_guest(name, memory_mib=96 - 16 * number, disks=[disk])
    return {name: configured.xen1.wait_alive(name) for name in NAMES}


def places(site):
    """{guest: where it is alive}, the truth."""
    return {name: [host for host, one in site.where(name).items() if one.alive] for name in NAMES}


def last(run):
    """The last word of a run: a step, or what the runner said within one."""
    return list(run.steps.values())[-1]


def record_of(conductor, host="xen1"):
    return conductor.call(host, "xm.evacuation")


def leftovers(site):
    return [
        path
        for host in site.fleet
        for found in (salt_config.notes, salt_config.safety_copies, salt_config.reservations)
        for path in found(host)
    ]


def test_a_host_is_emptied_and_takes_no_guests_until_it_is_filled_again(configured, conductor, guests):
    run = configured.evacuate(test=True)
    assert run.exit_code == 0, run.report()
    assert "nothing was changed: 3 guests would leave xen1" in last(run)["comment"]
    assert all("%s would go from xen1 to xen" % name in run.report() for name in NAMES)
    assert places(configured) == dict.fromkeys(NAMES, ["xen1"]) and not record_of(conductor)["guests"]

    before = len(conductor.publishes())
    run = configured.evacuate()
    published = conductor.publishes()[before:]
    assert run.exit_code == 0, run.report()
    assert last(run)["__id__"] == "xen1 is empty of what was asked for" and last(run)["result"]
    assert configured.xen1.guests() == {}
    where = places(configured)
    assert all(len(hosts) == 1 for hosts in where.values())
    assert {host for hosts in where.values() for host in hosts} == {"xen2", "xen3"}
    for name, guest in guests.items():
        host = configured.fleet[where[name][0]]
        assert arrivals(host, guest.uuid) and "%s runs on %s" % (name, host.name) in run.report()
    # A constant, and four a guest; nothing is left behind.
    assert len(published) <= 10 + 4 * len(NAMES), published
    assert leftovers(configured) == []

    record = record_of(conductor)
    assert record["closed"] and "evacuation of xen1" in record["who"]
    assert {guest["name"]: [guest["target"]] for guest in record["guests"]} == where
    source = where["web01"][0]
    refused = configured.migrate(source=source, target="xen1")
    assert refused.exit_code == 1 and "xen1 takes no guests" in refused.report()
    assert places(configured) == where

    again = configured.evacuate()
    assert again.exit_code == 0, again.report()
    assert "No guest was moved" in last(again)["comment"]
    assert record_of(conductor)["guests"] == record["guests"]


def test_when_a_guest_fits_nowhere_nothing_moves_unless_it_is_wanted(configured, conductor, guests):
    configured.xen1.create_guest("own01", memory_mib=64, disks=["file:/srv/local/own.img,xvda,w"])
    configured.xen1.wait_alive("own01")
    for test in (True, False):
        run = configured.evacuate(test=test)
        assert run.exit_code == 1
        text = last(run)["comment"] + last(run)["name"]
        assert "there is no place" in text and "own01" in text and "partial: true" in text, text
        assert "xen2: " in text and "The same on xen3" in text
        assert places(configured) == dict.fromkeys(NAMES, ["xen1"])
        assert not record_of(conductor)["closed"]
    run = configured.evacuate(partial=True, parallel=3)
    assert run.exit_code == 1
    assert last(run)["__id__"] == "xen1 is not empty" and "own01 fits nowhere" in last(run)["comment"]
    assert "3 guests were moved" in last(run)["comment"]
    assert all(hosts != ["xen1"] for hosts in places(configured).values())
    assert list(configured.where("own01")) == ["xen1"] and configured.where("own01")["xen1"].alive
    # Of what was asked for by name it is empty.
    run = configured.evacuate(domains="web01,web02")
    assert run.exit_code != 1 or "web01" in run.report()


def test_a_guest_that_a_target_cannot_complete_stops_no_other(configured, guests):
    configured.fleet["xen3"].fault("disk-missing")
    run = configured.evacuate(parallel=1)
    where = places(configured)
    assert run.exit_code == 1 and all(len(hosts) == 1 for hosts in where.values()), run.report()
    back = [name for name in NAMES if where[name] == ["xen1"]]
    assert back and [name for name in NAMES if where[name] == ["xen2"]]
    for name in back:
        assert "%s: " % name in last(run)["comment"]
    assert "not empty of what was asked for" in last(run)["comment"]
    configured.fleet["xen3"].fault("disk-missing", False)
    # The same run goes on with what is left.
    run = configured.evacuate()
    assert run.exit_code == 0, run.report()
    assert configured.xen1.guests() == {} and leftovers(configured) == []


def being_sent(site):
    """The guest that is held half-way, and its target."""
    for name in NAMES:
        others = [host for host in site.where(name) if host != "xen1"]
        if "xen1" in site.where(name) and others:
            return name, site.fleet[others[0]]
    raise AssertionError("no guest is being sent")


def test_after_a_lost_guest_nothing_further_is_started(configured, guests):
    configured.xen1.link(hold_at=0.5)
    with configured.meanwhile(configured.evacuate, parallel=1, safety_copy="off", settle=6) as finish:
        configured.xen1.wait_held(HELD_LIMIT_S)
        lost, target = being_sent(configured)
        target.kill_xend_child()
        configured.xen1.release()
        run = finish()
    where, said = places(configured), last(run)["comment"]
    assert run.exit_code == 1 and where[lost] == [], run.report()
    assert "%s is LOST" % lost in said and "xend.orch.recover" in said, said
    others = [name for name in NAMES if name != lost]
    assert [where[name] for name in others] == [["xen1"]] * 2
    assert "%s were not tried" % " and ".join(others) in said, said
    target.bring_up()


def test_a_run_that_was_killed_is_gone_on_with(configured, conductor, guests):
    configured.xen1.link(hold_at=0.5)
    process = conductor.start("xend.orch.evacuate", {"xend": {"evacuate": {"source": "xen1", "parallel": 1}}})
    configured.xen1.wait_held(HELD_LIMIT_S)
    name, target = being_sent(configured)
    # A second run on this host is refused while the first one is there.
    for run in (configured.evacuate(test=True), configured.restore()):
        assert run.exit_code == 1 and "by another run" in run.report(), run.report()
        assert "evacuation of xen1" in run.report() and record_of(conductor)["closed"]
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(Gone):
        conductor.finish(process)
    record = record_of(conductor)
    assert {guest["name"] for guest in record["guests"]} == set(NAMES)
    before = len(conductor.publishes())
    with configured.meanwhile(configured.evacuate) as finish:
        # It has planned and closed the host, while that guest is still being sent, and waits for it.
        assert wait_until(lambda: "xm.evacuation" in conductor.publishes()[before:], HELD_LIMIT_S)
        configured.xen1.release()
        run = finish()
    assert run.exit_code == 0, run.report()
    assert places(configured)[name] == [target.name] and configured.xen1.guests() == {}
    # That it was expected, nobody was left to end; that ends by itself.
    assert [path for path in leftovers(configured) if path.suffix != ".reserved"] == []


def test_two_hosts_are_emptied_at_once_into_one(configured, guests):
    configured.xen2.create_guest("db01", memory_mib=64)
    configured.xen2.wait_alive("db01")
    with configured.meanwhile(configured.evacuate, "xen1", targets=["xen3"]) as finish:
        other = configured.evacuate("xen2", targets=["xen3"])
        run = finish()
    assert run.exit_code == other.exit_code == 0, run.report() + other.report()
    assert places(configured) == dict.fromkeys(NAMES, ["xen3"])
    assert list(configured.where("db01")) == ["xen3"] and leftovers(configured) == []


def test_a_target_that_falls_silent_is_not_tried_again(configured, conductor, guests):
    """Between the plan and the move its minion died."""
    moves = [
        {"domain": name, "uuid": guests[name].uuid, "source": "xen1", "target": target}
        for name, target in zip(NAMES, ("xen3", "xen3", "xen2"), strict=True)
    ]
    kept = [{"name": move["domain"], "uuid": move["uuid"], "target": move["target"]} for move in moves]
    conductor.call("xen1", "xm.close_host", kept, "a test")
    conductor.minion_down("xen3")
    given = {"host": "xen1", "who": "a test", "parallel": 2, "options": {}, "moves": moves}
    given.update(under_way=[], impossible=[], domains=None)
    asked = len(conductor.publishes())
    found = conductor._runners()["xend.evacuate_moves"](json.dumps(given))
    (states,) = found["data"].values()
    said = [(state["result"], state["comment"]) for state in states.values()]
    assert [result for result, _text in said].count(False) == 3 and said[-1][0] is False
    assert "web01 and web02 were not tried" in said[-1][1]
    assert "service salt-minion start" in said[-1][1]
    assert places(configured) == {"web01": ["xen1"], "web02": ["xen1"], "web03": ["xen2"]}
    assert conductor.publishes()[asked:].count("xm.report") == 2


@pytest.mark.parametrize("which", ["evacuate", "restore"])
def test_all_that_is_wrong_in_the_pillar_is_named_at_once(configured, conductor, guests, which):
    host = {"evacuate": "source", "restore": "host"}[which]
    wrong = {host: "xen1", "parallel": 0, "domains": [7], "nonsense": 1, "live": "perhaps"}
    if which == "evacuate":
        wrong.update(partial="yes", order="random", spare_mib=-1, targets={})
    for given in (wrong, {}):
        run = conductor.orchestrate("xend.orch." + which, {"xend": {which: given}})
        assert run.exit_code == 1 and list(run.steps) == ["the pillar says what to do"]
        said = last(run)["comment"]
        assert all("%s" % key in said for key in given if key != host), said
    assert "%s is missing" % host in said and "Nothing was done" in said
    assert places(configured) == dict.fromkeys(NAMES, ["xen1"]) and not record_of(conductor)["closed"]


def test_what_belongs_to_a_guest_goes_with_it_and_comes_home(configured, guests, tmp_path):
    told, hook = tmp_path / "told", tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$1" >> {told}\n')
    hook.chmod(0o755)
    configured.follow(announce=[str(hook)])
    text = 'name = "web01"\nmemory = 96\n'
    files = {host.name: host.path("/etc/xen/web01.cfg") for host in configured.fleet}
    links = {host.name: host.path("/etc/xen/auto/web01") for host in configured.fleet}
    files["xen1"].write_text(text)
    links["xen1"].symlink_to("../web01.cfg")

    def at_home():
        return [name for name in files if files[name].exists() or links[name].is_symlink()]

    run = configured.evacuate(domains=["web01"], targets=["xen3"])
    assert run.exit_code == 0, run.report()
    assert places(configured)["web01"] == ["xen3"] == at_home()
    assert files["xen3"].read_text() == text and links["xen3"].resolve() == files["xen3"].resolve()
    run = configured.restore()
    assert run.exit_code == 0, run.report()
    assert places(configured) == dict.fromkeys(NAMES, ["xen1"]) and at_home() == ["xen1"]
    assert files["xen1"].read_text() == text and links["xen1"].resolve() == files["xen1"].resolve()
    assert told.read_text() == "web01\nweb01\n"
