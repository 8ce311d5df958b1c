"""A host that is being emptied: it takes no guests, xend is left alone there, and it remembers who was taken
away; and memory that is promised to one guest is not given to another one."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.functional.conftest import OPEN, as_before, held, holding, pass_a_tick, refused, said
from tests.harness.loading import REPO, host_opts
from tests.lab.fleet import HostSpec

UUIDS = ["6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e%02d" % number for number in range(5)]
WHO = "xend.orch.evacuate"


def away(number, target="xen2"):
    return {"name": "web%02d" % number, "uuid": UUIDS[number], "target": target}


@pytest.fixture(scope="module")
def running(open_fleet):
    fleet = open_fleet(HostSpec("xen1"), HostSpec("xen2"))
    pass_a_tick()
    return fleet


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()
        for path in [place(host), *(host.root / "kept").glob(".*.reserved")]:
            path.unlink(missing_ok=True)


@pytest.fixture
def host(fleet):
    with as_before(fleet["xen1"], OPEN):
        yield fleet["xen1"]


@pytest.fixture
def states(minion_on):
    return lambda test=False: minion_on("xen1", test=test).states.xm


def place(host):
    return host.root / "kept" / "evacuation"


# The record


def test_what_is_closed_is_remembered_and_opened_and_forgotten(on, host):
    xm = on("xen1")
    assert xm.evacuation() == {"closed": False, "since": None, "who": None, "guests": [], "problem": None}
    planned = xm.close_host([away(1)], WHO, test=True)
    assert not place(host).exists() and planned["old"] == xm.evacuation()
    done = xm.close_host([away(1)], WHO)
    assert done["old"] == planned["old"] and done["new"]["guests"] == [away(1)] == planned["new"]["guests"]
    assert xm.evacuation() == done["new"] and done["new"]["closed"]
    xm.close_host([away(2), away(1, "xen3")], "somebody else")
    found = xm.evacuation()
    assert found["guests"] == [away(1, "xen3"), away(2)]
    assert (found["since"], found["who"]) == (done["new"]["since"], "somebody else")
    assert xm.open_host(test=True)["new"]["closed"] is False and xm.evacuation()["closed"]
    xm.open_host()
    assert xm.evacuation() == dict(found, closed=False)
    assert xm.settle_moves({"xen1": {"home": [UUIDS[1]]}, "xen2": {"home": [UUIDS[2]]}}) == []
    assert xm.evacuation()["guests"] == [away(2)]
    assert xm.settle_moves({"xen1": {"home": [UUIDS[2], UUIDS[3]]}}) == []
    assert not place(host).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        "web01",
        None,
        [None],
        [dict(away(1), uuid="u")],
        [dict(away(1), name="a\nb")],
        [{"name": "web01", "uuid": UUIDS[1]}],
        [away(1)] * 2000,
    ],
)
def test_guests_that_are_none_are_refused_and_nothing_is_closed(on, host, wrong):
    assert refused(on("xen1").close_host, wrong, WHO).startswith("guests: ")
    assert not place(host).exists()


def test_a_record_that_is_not_understood_is_never_written_over(on, host, states):
    xm = on("xen1")
    xm.close_host([away(1)], WHO)
    place(host).write_bytes(place(host).read_bytes()[:-1])
    content = place(host).read_bytes()
    for call in (lambda: xm.close_host([away(2)], WHO), xm.open_host):
        text = refused(call)
        assert str(place(host)) in text and "mends it or removes it" in text
    (text,) = xm.settle_moves({"xen1": {"home": [UUIDS[1]]}})
    assert str(place(host)) in text
    for test in (False, True):
        found = states(test).host_opened("open")
        assert found["result"] is False and str(place(host)) in found["comment"]
    assert place(host).read_bytes() == content
    place(host).unlink()
    assert xm.evacuation()["closed"] is False


def test_two_that_close_at_once_are_both_remembered(minion_on, host):
    modules = [minion_on("xen1").modules for _ in range(4)]
    threads = [
        threading.Thread(target=one.xm.close_host, args=([away(number)], WHO))
        for number, one in enumerate(modules)
    ]
    with holding(host, "evacuation", "another closing") as holder:
        for thread in threads:
            thread.start()
        holder.kill()
    for thread in threads:
        thread.join(120)
    found = modules[0].xm.evacuation()
    assert sorted(guest["name"] for guest in found["guests"]) == ["web00", "web01", "web02", "web03"]


def test_who_holds_the_record_for_long_is_waited_for_and_then_named(on, host):
    with holding(host, "evacuation", "another closing"):
        assert "another closing" in refused(on("xen1").close_host, [away(1)], WHO)
    assert not place(host).exists()


WRITER = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
import xm_away
print("ready", flush=True)
for number in range(10 ** 6):
    guests = [{"name": "web01", "uuid": "%08d" % number + "-77a1-4d9e-9d0a-5b1f2c3d4e01", "target": "xen2"}]
    record = xm_away.closing(xm_away.nothing(), guests * 50, "who", "now")
    xm_away.write(sys.argv[2], record, importlib.import_module)
"""


def test_who_dies_while_it_is_written_leaves_the_one_before_or_the_next(on, host):
    xm = on("xen1")
    xm.close_host([away(1)], WHO)
    for pause_s in (0.02, 0.05, 0.08):
        arguments = [sys.executable, "-c", WRITER, str(REPO / "_utils"), str(host.root / "kept")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(pause_s)
            os.kill(process.pid, signal.SIGKILL)
        found = xm.evacuation()
        assert found["problem"] is None and found["closed"] and found["guests"]
    # What the dead have left is in nobody's way.
    assert xm.close_host([away(2)], WHO)["new"]["guests"][-1] == away(2)


# The states


def test_the_states_say_what_they_do_and_do_it_once(host, states):
    arguments = {"guests": json.dumps([away(1)]), "who": WHO}
    would = states(True).host_closed("close", **arguments)
    assert would["result"] is None and "would be closed" in would["comment"] and not place(host).exists()
    done = states().host_closed("close", **arguments)
    assert done["result"] is True and done["changes"]["closed"] == {"old": False, "new": True}
    key = "web01 (%s)" % UUIDS[1]
    assert done["changes"][key] == {"old": None, "new": "goes to xen2"} == would["changes"][key]
    for test in (False, True):
        again = states(test).host_closed("close", **arguments)
        assert again["result"] is True and again["changes"] == {}
    other = states().host_closed("close", guests=[away(1, "xen3")], who=WHO)
    assert other["changes"] == {key: {"old": "goes to xen2", "new": "goes to xen3"}}
    assert states(True).host_opened("open")["result"] is None and "closed" in place(host).read_text()
    opened = states().host_opened("open")
    assert opened["result"] is True and opened["changes"] == {"closed": {"old": True, "new": False}}
    assert states().host_opened("open") == dict(opened, changes={}, comment="xen1 is open to guests")
    assert states().host_closed("close", guests="nonsense", who=WHO)["result"] is False


# The closed door


def test_a_closed_host_takes_no_guest_and_says_why(on, fleet):
    fleet["xen1"].create_guest("web01")
    guest = on("xen1").domain("web01")
    on("xen2").close_host([], "maintenance, Jo")
    assert "maintenance, Jo" in on("xen2").report("web01")["closed"]
    assert on("xen1").report("web01")["closed"] is None
    found = on("xen2").can_receive(guest)
    assert not found["ok"] and "xen2 takes no guests: it is being emptied (since " in said(found)
    assert "xend.orch.restore" in said(found)
    # From a closed host guests leave.
    on("xen1").close_host([], WHO)
    assert on("xen1").can_send("web01", "xen2")["ok"]
    on("xen2").open_host()
    assert "takes no guests" not in said(on("xen2").can_receive(guest))


def test_it_is_no_host_to_wait_for_a_guest_on_either(modules, fleet):
    xend, xm = modules("xen2").xend, modules("xen2").xm
    xm.close_host([], WHO)
    assert "takes no guests" in refused(xend.reserve, "web01") and xend.expected() == []
    place(fleet["xen2"]).write_text("{")
    text = refused(xend.reserve, "web01")
    assert str(place(fleet["xen2"])) in text and not xm.can_receive({"name": "a", "memory_mib": 9})["ok"]
    assert str(place(fleet["xen2"])) in xm.report("web01")["closed"]


# The xend of a closed host


@pytest.fixture
def closed(on, host):
    on("xen1").close_host([away(1)], WHO)
    return host


def test_xend_is_left_alone_whoever_asks_and_it_is_said_before(minion_on, closed):
    minion, pids = minion_on("xen1"), closed.pids()
    text = refused(minion.modules.xend.restart, timeout=1)
    assert text.startswith("xend was not restarted: xen1 is being emptied (since ")
    for part in ("xend.orch.restore", "xm.open_host", "accept=evacuation", "restart_accept: [evacuation]"):
        assert part in text
    assert "xend would not be restarted: xen1 is being" in refused(minion.modules.xend.restart, test=True)
    # Nothing is pending, so nothing is said.
    assert minion.states.xend.applied("apply")["result"] is True
    minion.modules.xend.set("dom0-min-mem", 256)
    pending = minion.modules.xend.status()["pending"]
    assert len(pending) == 1 and "was changed" in pending[0]
    for test in (True, False):
        found = minion_on("xen1", test=test).states.xend.applied("apply")
        assert found["result"] is False and found["changes"] == {}
        assert "is being emptied" in found["comment"] and "not in force until" in found["comment"]
        assert minion_on("xen1", test=test).states.xend.applied("apply", restart=False)["result"] is True
    assert closed.pids() == pids


@pytest.mark.parametrize("by", ["argument", "pillar"])
def test_who_wants_it_all_the_same_gets_it_and_is_told(load, closed, by):
    minion = load(
        pillar={"xend": {"relocation": {"restart_accept": ["evacuation"] if by == "pillar" else []}}},
        **host_opts(closed),
    )
    accept = "evacuation" if by == "argument" else None
    pids = closed.pids()
    done = minion.modules.xend.restart(accept=accept)
    assert "accepted: xen1 is being emptied" in done["warnings"][0] and closed.pids() != pids


def test_what_accepts_guests_to_be_stopped_does_not_accept_that(modules, closed):
    closed.create_guest("db01", on_xend_stop="shutdown")
    assert closed.wait_alive("db01")
    restart = modules("xen1").xend.restart
    both = refused(restart, test=True)
    assert "db01" in both and "is being emptied" in both
    assert "db01" not in refused(restart, accept="on_xend_stop", test=True)
    assert "is being emptied" not in refused(restart, accept="evacuation", test=True)
    assert len(restart(accept=["on_xend_stop", "evacuation"], test=True)["warnings"]) == 2


def test_a_xend_that_is_down_is_started_all_the_same(modules, minion_on, closed):
    """No guest could leave this host without one."""
    closed.stop()
    assert modules("xen1").xend.restart(test=True)["warnings"] == []
    done = minion_on("xen1").states.xend.applied("apply")
    assert done["result"] is True and "is being emptied" not in done["comment"]
    pids = closed.pids()
    assert pids and "is being emptied" in refused(modules("xen1").xend.restart)
    assert closed.pids() == pids


def test_a_start_on_a_closed_host_harms_no_guest_either(modules, closed):
    closed.define_guest("db01", on_xend_start="start")
    closed.stop()
    text = refused(modules("xen1").xend.restart)
    assert "db01 is started" in text and "is being emptied" not in text and closed.pids() == {}


def test_where_a_record_is_not_understood_a_xend_that_is_down_is_started(modules, host):
    place(host).parent.mkdir(mode=0o700, exist_ok=True)
    place(host).write_text("[]")
    host.stop()
    assert modules("xen1").xend.restart()["pid"]["new"] == host.pids()["xend"]


def test_a_record_that_is_not_understood_keeps_xend_as_it_is(modules, host):
    place(host).parent.mkdir(mode=0o700, exist_ok=True)
    place(host).write_text("[]")
    text = refused(modules("xen1").xend.restart)
    assert str(place(host)) in text and "mends it or removes it" in text and "accept=evacuation" in text


def test_a_host_is_not_closed_while_its_xend_is_restarted(on, host):
    with holding(host, "relocation", "restart of xend"):
        text = refused(on("xen1").close_host, [away(1)], WHO)
    assert "restart of xend" in text and not place(host).exists()


def test_a_host_that_is_closed_while_a_restart_waits_is_not_restarted(modules, minion_on, host):
    pids, other = host.pids(), minion_on("xen1").modules
    texts = []
    with holding(host, "relocation", "migration of web01", shared=True) as holder:
        thread = threading.Thread(target=lambda: texts.append(refused(other.xend.restart, timeout=120)))
        thread.start()
        modules("xen1").xm.close_host([away(1)], WHO)
        holder.kill()
        thread.join(120)
    assert "is being emptied" in texts[0] and host.pids() == pids


# Memory that is promised


def described(name, memory_mib):
    return {"name": name, "memory_mib": memory_mib, "uuid": UUIDS[int(name[-1])], "image": "linux"}


@pytest.fixture
def leave(fleet):
    """A function that takes all memory of xen2 but so much."""

    def make(free_mib):
        taken_mib = fleet["xen2"].hypervisor.free_kib() // 1024 - free_mib - 1
        fleet["xen2"].create_guest("filler", memory_mib=taken_mib, paused=True)

    return make


def test_what_is_promised_to_one_guest_is_not_there_for_another(modules, fleet, leave):
    xm, xend = modules("xen2").xm, modules("xen2").xend
    leave(300)
    assert "web01 is expected here until" in xm.reserve(described("web01", 200), who="migration from xen3")
    (made,) = xend.expected()
    assert made["name"] == "web01" and 200 <= made["memory_mib"] <= 210
    text = said(xm.can_receive(described("web02", 200)))
    assert "200 MiB are needed here" in text.replace("%d MiB" % made["memory_mib"], "200 MiB")
    assert "%d MiB of that are promised: web01 is expected here" % made["memory_mib"] in text
    assert "migration from xen3" in text
    assert "promised" in refused(xm.reserve, described("web02", 200)) and len(xend.expected()) == 1
    # For that guest itself it is there, and what fits beside it, too.
    for fits in (described("web01", 200), described("web02", 60)):
        assert "MiB are needed" not in said(xm.can_receive(fits))
    xend.release("web01")
    assert "MiB are needed" not in said(xm.can_receive(described("web02", 200)))


def test_a_guest_that_is_just_coming_has_not_all_of_its_memory_yet(modules, fleet, leave):
    """How much of it is there already, nobody can see; so all of it counts."""
    fleet["xen1"].create_guest("web01", memory_mib=200)
    fleet["xen1"].wait_alive("web01")
    leave(300)
    xm = modules("xen2").xm
    xm.reserve(modules("xen1").xm.domain("web01"), who="migration from xen1")
    with held(fleet):
        assert xm.where("web01")["copy"] == "receiving"
        assert "promised: web01 is expected here" in said(xm.can_receive(described("web02", 200)))
    assert fleet["xen2"].wait_alive("web01")
    text = said(xm.can_receive(described("web02", 200)))
    assert "MiB are needed" in text and "promised" not in text


def test_what_has_come_or_never_said_so_or_is_over_takes_nothing(modules, fleet, leave):
    xm, xend = modules("xen2").xm, modules("xen2").xend
    xm.reserve(described("web01", 100))
    fleet["xen2"].create_guest("web01", memory_mib=100)
    fleet["xen2"].wait_alive("web01")
    leave(150)
    # As an older version has reserved it.
    xend.reserve("web02")
    assert "MiB are needed" not in said(xm.can_receive(described("web03", 130)))
    xend.reserve("web04", seconds=0.01, memory_mib=100)
    assert "MiB are needed" not in said(xm.can_receive(described("web03", 130)))


def test_of_two_that_want_the_same_memory_one_gets_it(minion_on, fleet, leave):
    leave(300)
    minions, results = [minion_on("xen2").modules for _ in range(2)], []

    def reserve(number):
        try:
            results.append(minions[number].xm.reserve(described("web0%d" % number, 200)))
        except Exception as exc:
            results.append(exc)

    threads = [threading.Thread(target=reserve, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(isinstance(result, str) for result in results) == [False, True], results
    assert len(minions[0].xend.expected()) == 1


def test_the_state_promises_the_memory_when_the_guest_is_about_to_come(minion_on, fleet):
    fleet["xen1"].create_guest("web01", memory_mib=120)
    guest = minion_on("xen1").modules.xm.domain("web01")
    arguments = {"domain": guest, "accept": "storage", "reserve": 300, "who": "migration from xen1"}
    found = minion_on("xen2", test=True).states.xm.can_receive("web01", **arguments)
    assert found["result"] is not False and minion_on("xen2").modules.xend.expected() == []
    assert minion_on("xen2").states.xm.can_receive("web01", **arguments)["result"] is True
    (made,) = minion_on("xen2").modules.xend.expected()
    assert (made["name"], made["who"]) == ("web01", "migration from xen1") and made["memory_mib"] >= 120


# Putting in order


def test_one_call_puts_in_order_what_many_guests_have_left(modules, fleet):
    for name in ("web01", "web02"):
        fleet["xen1"].create_guest(name)
        modules("xen1").xm.migrate(name, "xen2")
        modules("xen2").xend.reserve(name, who="migration from xen1")
    modules("xen2").xend.reserve("web03", who="migration from xen4")
    sent = modules("xen1").xm.copies()["sent"]
    assert [made["name"] for made in sent] == ["web01", "web02"]
    assert fleet["xen2"].wait_alive("web01") and fleet["xen2"].wait_alive("web02")
    shares = {
        "xen1": {"forget": [dict(made, note=made["id"], claims={"xen2": "running"}) for made in sent]},
        "xen2": {"release": ["web01", "web02", "web03"]},
    }
    # What nobody says that it runs stays noted, and that is said; the others are done all the same.
    shares["xen1"]["forget"][0]["claims"] = {"xen2": "absent"}
    for host in ("xen1", "xen2"):
        failed = modules(host).xm.settle_moves(shares, who="migration from xen1")
        assert len(failed) == (1 if host == "xen1" else 0), failed
    assert "web01" in modules("xen1").xm.settle_moves(shares)[0]
    assert [made["name"] for made in modules("xen1").xm.copies()["sent"]] == ["web01"]
    assert [made["name"] for made in modules("xen2").xend.expected()] == ["web03"]
    for wrong in ("x", {"xen1": ["web01"]}, {"xen1": {"home": ["u"]}}, {"xen1": {"forget": [{}]}}):
        assert refused(modules("xen1").xm.settle_moves, wrong).startswith("shares: ")


def test_a_guest_that_comes_home_by_a_migration_is_remembered_no_longer(modules, minion_on, fleet):
    guest = fleet["xen2"].create_guest("web01")
    assert fleet["xen2"].wait_alive("web01")
    xm = modules("xen1").xm
    xm.close_host([dict(away(1), uuid=guest.uuid), away(2)], WHO)
    xm.open_host()
    described = modules("xen2").xm.domain("web01")
    modules("xen2").xm.migrate("web01", "xen1")
    found = minion_on("xen1").states.xm.arrived("web01", source="xen2", domain=described)
    assert found["result"] is True, found
    assert xm.evacuation()["guests"] == [away(2)]
