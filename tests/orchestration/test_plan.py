"""Where the guests of a host would go, as the master plans it for all of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import salt.exceptions

from tests.functional.test_xm_disks import markers
from tests.harness.site import Real
from tests.lab import lies
from tests.lab.fleet import HostSpec


@pytest.fixture(scope="module")
def conductor(new_conductor):
    return new_conductor(*[HostSpec(name) for name in ("xen1", "xen2", "xen3")])


@pytest.fixture(autouse=True)
def whole(conductor):
    yield
    for host in conductor.fleet:
        lies.be_honest(host)
        conductor.minion_up(host.name)
        host.clear()


@pytest.fixture
def plan(conductor):
    """A function that asks for a plan of xen1, and what it has asked of each host."""

    def ask(**given):
        before = {host.name: len(conductor.questions(host.name)) for host in conductor.fleet}
        found = conductor._runners()["xend.plan"](**{"source": "xen1", **given})
        ask.asked = {name: conductor.questions(name)[count:] for name, count in before.items()}
        assert json.loads(json.dumps(found)) == found
        assert markers(*conductor.fleet) == []
        return found

    return ask


def where(found):
    return {one["domain"]: one["target"] for one in found["placements"]}


def test_a_plan_for_all_guests_in_three_questions(conductor, plan):
    xen1, xen2, xen3 = conductor.fleet
    xen2.create_guest("other", memory_mib=200)
    free_mib = {host.name: host.hypervisor.free_kib() // 1024 for host in conductor.fleet}
    disk = "file:/srv/xen/db01.img,xvda,w"
    guests = {
        "db01": xen1.create_guest("db01", memory_mib=400, disks=[disk], vifs=["bridge=xenbr0"]),
        "web01": xen1.create_guest("web01", memory_mib=300),
        "web02": xen1.create_guest("web02", memory_mib=100),
    }
    xen1.define_guest("old01")
    found = plan(spare_mib=10)
    assert where(found) == {"db01": "xen3", "web01": "xen2", "web02": "xen3"}
    assert found["order"] == ["db01", "web01", "web02"] and found["impossible"] == []
    for one in found["placements"]:
        assert one["uuid"] == guests[one["domain"]].uuid and one["warnings"] == [] and one["why"]
        assert one["memory_mib"] == guests[one["domain"]].memory_mib
    assert found["under_way"] == found["elsewhere"] == [] and found["unheard"] == {}
    assert [one["domain"] for one in found["stays"]] == ["old01"]
    assert found["hosts"]["xen2"] == {
        "free_mib": free_mib["xen2"],
        "after_mib": free_mib["xen2"] - 301,
        "configured": True,
        "guarded": False,
        "closed": False,
    }
    assert plan.asked == {
        "xen1": ["xm.survey", "xm.unmark_disks"],
        "xen2": ["xm.survey", "xm.room_for"],
        "xen3": ["xm.survey", "xm.room_for"],
    }
    assert plan(order="smallest")["order"] == ["web02", "web01", "db01"]
    found = plan(domains="web02, web01", targets="xen2", order=["web01"])
    assert where(found) == {"web02": "xen2", "web01": "xen2"} and found["order"] == [
        "web01",
        "web02",
    ]


def test_what_fits_nowhere_is_listed_with_all_reasons(conductor, plan):
    xen1, xen2, xen3 = conductor.fleet
    xen3.create_guest("web01")
    xen1.create_guest("web01", memory_mib=700, vifs=["bridge=dmz"])
    xen1.create_guest("web02", memory_mib=100, paused=True)
    xen2.create_guest("filler", memory_mib=500)
    xen3.config.write_text(xen3.config.read_text() + "\n(xend-relocation-port 9999)\n")
    try:
        found = plan()
    finally:
        conductor.call("xen3", "state.sls", "xend.relocation")
    assert found["placements"] == [] and not found["hosts"]["xen3"]["configured"]
    first, second = found["impossible"]
    assert first["domain"] == "web01" and first["here"] == []
    free_mib = found["hosts"]["xen2"]["free_mib"]
    assert f"701 MiB are needed there, and {free_mib} MiB are free" in first["targets"]["xen2"]
    assert any("needs the bridge dmz" in why for why in first["targets"]["xen2"])
    assert any("the name web01 is in use" in why for why in first["targets"]["xen3"])
    assert "web02 does not run" in second["here"][0]
    assert second["targets"] == {"xen2": [], "xen3": []}
    assert plan(targets="xen2", accept="magic")["problem"].startswith("accept: ")


def test_hosts_that_are_silent_lie_or_are_closed(conductor, plan):
    xen1, xen2, xen3 = conductor.fleet
    xen1.create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    conductor.minion_down("xen3")
    found = plan()
    assert where(found) == {"web01": "xen2"} and list(found["unheard"]) == ["xen3"]
    assert "service salt-minion start" in found["unheard"]["xen3"]["remedy"]
    (found,) = plan(targets=["xen3"])["impossible"]
    assert "does not answer" in found["targets"]["xen3"][0]
    # Whether it is there, nobody knows.
    one, other = plan(domains="web01,web55")["impossible"] + plan(domains="web01")["placements"]
    assert (
        one["domain"] == "web55"
        and "not known: xen3" in one["here"][0]
        and other["domain"] == "web01"
    )
    conductor.minion_up("xen3")
    lies.tell_all(xen2, {"xm.room_for": {"answer": {"guests": []}}})
    lies.tell_all(xen3, {"xm.survey": {"answer": {"guests": "none"}}})
    found = plan()
    assert found["placements"] == [] and sorted(found["unheard"]) == ["xen2", "xen3"]
    assert all("not of the agreed form" in said["problem"] for said in found["unheard"].values())
    lies.be_honest(xen2)
    lies.be_honest(xen3)
    conductor.call("xen2", "xm.close_host", [], "Jo")
    try:
        assert where(plan()) == {"web01": "xen3"}
        (found,) = plan(targets="xen2")["impossible"]
        assert "Jo" in found["targets"]["xen2"][0]
    finally:
        conductor.call("xen2", "xm.open_host")
    conductor.minion_down("xen1")
    found = plan()
    assert "xen1: its minion does not answer" in found["problem"] and plan.asked["xen2"] == [
        "xm.survey"
    ]


EVIL = "\x1b[2J\u202e{{ 7 * 7 }}\n"


def test_what_hosts_say_is_shown_as_text_and_decides_for_themselves_only(conductor, plan):
    xen1, xen2, _xen3 = conductor.fleet
    xen1.create_guest("web01")
    xen1.create_guest("web02", paused=True)
    lies.tell_all(
        xen1,
        {
            "xm.survey": {
                "change": [
                    [["guests", 0, "warnings"], [EVIL]],
                    [["guests", 1, "blockers"], [EVIL]],
                    [["guests", 1, "view", "copy"], "sending"],
                    [["guests", 1, "view", "other"], EVIL],
                    [["doors", "xen9"], [EVIL]],
                ]
            }
        },
    )
    lies.tell_all(
        xen2,
        {
            "xm.survey": {
                "change": [
                    [["promised"], [{"name": EVIL, "memory_mib": 1 << 40, "says": EVIL}]],
                    [["seen"], [{"name": "web01", "listed": "web01", "copy": "running"}]],
                ]
            },
            "xm.room_for": {"change": [[["guests", 0, "blockers"], [EVIL]]]},
        },
    )
    found = plan(domains="web01,web02")
    text = json.dumps(found, ensure_ascii=False)
    assert "\\u001b" not in text and "\u202e" not in text and "\\n" not in text
    assert where(found) == {"web01": "xen3"} and "\\x1b[2J" in found["placements"][0]["warnings"][0]
    (sent,) = found["under_way"]
    assert (sent["domain"], sent["target"]) == ("web02", None)
    assert found["hosts"]["xen2"]["free_mib"] == 0 and found["elsewhere"] == []
    (other,) = plan(targets="xen2")["impossible"]
    assert other["targets"]["xen2"][0].startswith("\\x1b[2J")
    lies.tell_all(xen1, {"xm.survey": {"change": [[["guests", 0, "domain", "name"], "db01"]]}})
    assert "not of the agreed form" in plan()["problem"]


def test_markers_are_removed_whatever_goes_wrong(conductor, plan, monkeypatch):
    conductor.fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    publish, seen = conductor._publish, []

    def gone(tgt, function, *rest):
        if function == "xm.room_for":
            seen.extend(markers(*conductor.fleet))
            raise salt.exceptions.SaltClientError("the master is gone")
        return publish(tgt, function, *rest)

    monkeypatch.setattr(conductor, "_publish", gone)
    with pytest.raises(salt.exceptions.SaltClientError):
        plan()
    assert seen and markers(*conductor.fleet) == []


def test_names_that_nobody_knows_and_guests_that_are_elsewhere(conductor, plan):
    conductor.fleet["xen1"].create_guest("web01")
    conductor.fleet["xen2"].create_guest("web02")
    assert "xen9 is none of the hosts" in plan(targets="xen2,xen9")["problem"]
    assert "did you mean xen1 or xen2 or xen3?" in plan(source="xen")["problem"]
    assert "there are xen1, xen2, xen3" in plan(source="db")["problem"]
    assert "xen1 is the source itself" in plan(targets="xen1")["problem"]
    text = plan(domains="web01,web0l")["problem"]
    assert "no web0l on xen1" in text and "did you mean web01 or web02?" in text
    found = plan(domains="web01,web02")
    assert list(where(found)) == ["web01"]
    assert [(one["domain"], one["host"]) for one in found["elsewhere"]] == [("web02", "xen2")]
    assert found["elsewhere"][0]["says"].startswith("web02 is not on xen1: it runs on xen2 (state ")
    for given, words in (
        ({"source": 5}, "source: 5"),
        ({"targets": {}}, "targets: {}"),
        ({"domains": [["x"]]}, "domains: ['x']"),
        ({"spare_mib": -1}, "spare_mib: -1"),
        ({"spare_mib": "1 GiB"}, "spare_mib: '1 GiB'"),
        ({"order": {}}, "order: {}"),
        ({"live": "x"}, "live: 'x'"),
    ):
        assert words in plan(**given)["problem"], given


def test_names_in_the_order_that_are_no_guests_there(conductor, plan):
    conductor.fleet["xen1"].create_guest("web01")
    assert "no smalest on xen1; did you mean smallest?" in plan(order="smalest")["problem"]
    # Of a run before this one, web02 may have left.
    found = plan(order="web02,web01,web1")
    assert found["order"] == ["web01"]
    assert [one["domain"] for one in found["unordered"]] == ["web02", "web1"]
    assert "did you mean web01?" in found["unordered"][1]["says"]
    assert plan(order="smallest")["unordered"] == plan()["unordered"] == []


def test_all_that_is_mistyped_is_said_at_once(conductor, plan):
    text = plan(targets="xen1,xen9", spare_mib="x")["problem"]
    for words in ("spare_mib: 'x'", "xen9 is none of the hosts", "xen1 is the source itself"):
        assert words in text
    assert plan.asked == {"xen1": [], "xen2": [], "xen3": []}


def test_a_guest_that_is_under_way_already(conductor, plan):
    xen1, xen2, _xen3 = conductor.fleet
    xen1.create_guest("web01", memory_mib=400)
    xen1.create_guest("web02", memory_mib=300)
    free_mib = plan()["hosts"]["xen2"]["free_mib"]
    xen2.link(hold_at=0.5)
    moving = xen1.xm_start("migrate", "--live", "web01", xen2.address)
    try:
        xen2.wait_held()
        found = plan()
    finally:
        xen2.link()
        xen2.release()
        moving.communicate(timeout=120)
    (sent,) = found["under_way"]
    assert (sent["domain"], sent["target"]) == ("web01", "xen2") and "being sent already" in sent[
        "says"
    ]
    # Its memory is counted there.
    assert (
        where(found) == {"web02": "xen3"} and found["hosts"]["xen2"]["free_mib"] <= free_mib - 401
    )


def test_the_table_for_people(conductor):
    conductor.fleet["xen1"].create_guest("web01")
    conductor.fleet["xen1"].create_guest("web02", vifs=["bridge=dmz"])
    conductor.fleet["xen1"].define_guest("old01")
    conductor.minion_down("xen3")
    conductor.master_opts["fun"] = "xend.plan"
    try:
        found = conductor._runners()["xend.plan"]("xen1")
    finally:
        del conductor.master_opts["fun"]
    assert found["outputter"] == "txt"
    lines = found["data"].splitlines()
    assert (
        lines[:2] == ["   guest  MiB  to", "1  web01  96   xen2"]
        and "web02 cannot be moved:" in lines
    )
    assert any(line.startswith("  to xen2: ") and "the bridge dmz" in line for line in lines)
    assert any(line.startswith("old01 does not run") for line in lines)
    assert any(line.startswith("not taken into account: xen3: its minion does not answer") for line in lines)


@pytest.mark.daemons
def test_the_plan_at_the_master(configured):
    if not isinstance(configured, Real):
        pytest.skip("the conductor has no command line")
    configured.xen1.create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    program = Path(sys.executable).with_name("salt-run")
    command = [program, "-c", configured.master.config_dir, "xend.plan", "source=xen1"]
    command += ["domains=web01", "targets=xen2", "spare_mib=16", "order=smallest", "accept=cpu"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert ["1", "web01", "96", "xen2"] in [line.split() for line in shown.splitlines()], shown
