"""Where guests are after migrations that broke, what mends them, and what keeps two jobs apart.

On simulated hosts, whose hypervisor tells the truth. What is checked before is in test_xm_checks.py.
"""

import contextlib
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import as_new, copy_words, held
from tests.lab.layout import wait_until

OTHER_UUID = "00000000-1111-2222-3333-444444444444"
# Against hanging only.
END_S = 300


@pytest.fixture
def fleet(mixed_fleet):
    with as_new(mixed_fleet):
        yield mixed_fleet


def break_it(fleet, part, *killed):
    """Kill these xends in the middle of a transfer, and let others take their place."""
    guest = fleet["xen1"].create_guest("web01")
    with held(fleet, part):
        for name in killed:
            fleet[name].kill_xend()
    idle = wait_until(lambda: not helpers(fleet["xen1"]) and not helpers(fleet["xen2"]), END_S)
    assert idle
    for name in ("xen1", "xen2"):
        fleet[name].bring_up(END_S)
    return guest


def helpers(host):
    return {"xc_save", "xc_restore"} & set(host.layout.roles())


# What a host holds


def paused(host, guest):
    host.hypervisor.pause(guest.domid)
    host.hypervisor.update(guest.domid, cpu_time=5.0)


def shut_down(host, guest):
    host.hypervisor.suspend(guest.domid)


def renamed(host, guest):
    host.xm_run("rename", "web01", "migrating-web01")


def renamed_and_suspended(host, guest):
    renamed(host, guest)
    shut_down(host, guest)


def fresh(host, guest):
    """As a guest is that was received and never completed."""
    host.hypervisor.pause(guest.domid)
    host.hypervisor.update(guest.domid, cpu_time=0.0)


def ended(host, guest):
    host.xm_run("destroy", "web01")


def nothing(host, guest):
    pass


MADE = [
    ("running", nothing, {}),
    ("foreign", nothing, {"uuid": OTHER_UUID}),
    ("halted", paused, {}),
    ("halted", shut_down, {}),
    ("suspended", renamed_and_suspended, {}),
    ("left", renamed, {}),
    ("unfinished", fresh, {}),
    ("absent", ended, {}),
    ("managed", ended, {"managed": True}),
]


@pytest.mark.parametrize("word, do, options", MADE)
def test_what_a_host_holds_of_a_guest(on, fleet, word, do, options):
    uuid = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"
    guest = fleet["xen1"].create_guest("web01", **{"uuid": uuid, **options})
    do(fleet["xen1"], guest)
    found = on("xen1").where("web01", uuid)
    assert found["copy"] == word, found
    assert found["problem"] is None
    here = fleet["xen1"].guests()
    assert found["domid"] == (guest.domid if here else None)
    assert found["listed"] == (next(iter(here.values())).xend_name if here else found["listed"])
    # The list of all guests of the host says the same, but does not know which uuid is asked for.
    words = [one["copy"] for one in on("xen1").copies()["copies"]]
    assert words == {"absent": [], "foreign": ["running"]}.get(word, [word])


@pytest.mark.parametrize("word, do, options", MADE)
def test_only_a_guest_that_runs_has_arrived(on, fleet, word, do, options):
    uuid = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"
    do(fleet["xen2"], fleet["xen2"].create_guest("web01", **{"uuid": uuid, **options}))
    found = on("xen2").arrival("web01", uuid=uuid, source="xen1", timeout=0, gone=True)
    assert (found["copy"], found["arrived"]) == (word, word == "running"), found
    assert found["lost"] is (word in ("absent", "foreign", "managed", "unfinished"))
    # Nobody has said that it has left its source, where it may run happily.
    unsure = on("xen2").arrival("web01", uuid=uuid, source="xen1", timeout=0)
    assert unsure["lost"] is False and unsure["arrived"] is found["arrived"]
    assert "LOST" not in unsure["comment"] and "no copy on xen1" not in unsure["comment"]


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_transfer_that_goes_on_is_seen_at_both_ends(on, look, fleet, part):
    guest = fleet["xen1"].create_guest("web01")
    with held(fleet, part):
        assert copy_words(on, "xen1", "xen2") == ["sending", "receiving"]
        assert on("xen1").unfinished() == on("xen2").unfinished() == []
        (finding,) = look("xen1", "xen2", "xen3")
        assert (finding["outcome"], finding["repairs"]) == ("going_on", [])
        for name in ("xen1", "xen2"):
            (one,) = on(name).copies()["copies"]
            with pytest.raises(CommandExecutionError) as caught:
                on(name).repair("remove", one["listed"], one["uuid"], one["domid"])
            assert "not touched" in str(caught.value)
        # Who waits sees that it goes on, and how long he has waited.
        assert on("xen2").where("web01", wait=1)["seconds"] >= 1
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert on("xen2").where("web01", guest.uuid, wait=END_S)["copy"] == "running"
    assert look("xen1", "xen2", "xen3") == []


def test_a_transfer_that_outlives_both_xends_is_seen(on, fleet):
    """xc_save and xc_restore go on as orphans, and the new xends have no connection to show for it."""
    guest = fleet["xen1"].create_guest("web01")
    with held(fleet):
        for name in ("xen1", "xen2"):
            fleet[name].kill_xend()
            fleet[name].bring_up(END_S)
        assert copy_words(on, "xen1", "xen2") == ["sending", "receiving"]
        with pytest.raises(CommandExecutionError):
            on("xen1").repair("rename", "migrating-web01", guest.uuid, guest.domid)
        assert fleet["xen1"].guests()["web01"].xend_name == "migrating-web01"


def test_a_xend_that_is_restarted_is_waited_for(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen1"].stop()
    seen = on("xen1").where("web01")
    assert seen["copy"] == "unknown" and "Connection refused" in seen["problem"]
    starting = threading.Timer(0.7, fleet["xen1"].start)
    starting.start()
    try:
        assert on("xen1").where("web01", guest.uuid, wait=END_S)["copy"] == "running"
    finally:
        starting.join(END_S)
    fleet["xen1"].kill_xend_child()
    assert on("xen1").where("web01", guest.uuid, wait=END_S)["copy"] == "running"


@pytest.mark.parametrize("wait", ["long", -1, None, True])
def test_a_wait_that_is_none(on, fleet, wait):
    for function in (
        lambda: on("xen1").where("web01", wait=wait),
        lambda: on("xen1").copies(wait=wait),
    ):
        with pytest.raises(CommandExecutionError) as caught:
            function()
        assert "wait" in str(caught.value)


def test_all_copies_of_a_host_at_once(on, fleet):
    host = fleet["xen1"]
    names = ["a", "b", "c", "d"]
    guests = {name: host.create_guest(name) for name in names}
    host.xm_run("rename", "b", "migrating-b")
    fresh(host, guests["c"])
    paused(host, guests["d"])
    found = on("xen1").copies()
    assert found["declared"] == ["mid1", "xen1", "xen2", "xen3"]
    assert {one["name"]: (one["copy"], one["domid"], one["uuid"]) for one in found["copies"]} == {
        name: (word, guests[name].domid, guests[name].uuid)
        for name, word in zip(names, ["running", "left", "unfinished", "halted"], strict=True)
    }
    advice = {one["name"]: one["advice"] for one in on("xen1").unfinished()}
    assert sorted(advice) == ["b", "c"]
    # Alone, a host cannot tell what to do.
    assert all("every other host" in text for text in advice.values())


# Migrations that break


def test_both_xends_die_while_memory_is_sent(on, look, mend, fleet):
    guest = break_it(fleet, 0.5, "xen1", "xen2")
    assert copy_words(on, "xen1", "xen2") == ["left", "unfinished"]
    assert [one["listed"] for one in on("xen1").unfinished()] == ["migrating-web01"]
    (finding,) = look("xen1", "xen2", "xen3")
    assert finding["outcome"] == "leftover" and finding["uuid"] == guest.uuid
    assert [(step["host"], step["do"]) for step in finding["repairs"]] == [
        ("xen2", "remove"),
        ("xen1", "rename"),
    ]
    memory = fleet["xen1"].guests()["web01"].memory_sha256
    assert len(mend(finding)) == 2
    mended = fleet["xen1"].wait_alive("web01")
    assert (mended.domid, mended.xend_name, mended.memory_sha256) == (guest.domid, "web01", memory)
    assert fleet["xen2"].guests() == {} and look("xen1", "xen2", "xen3") == []
    on("xen1").migrate("web01", "xen2")
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid


def test_both_xends_die_when_the_guest_is_suspended(on, look, mend, fleet):
    guest = break_it(fleet, 1.0, "xen1", "xen2")
    assert copy_words(on, "xen1", "xen2") == ["suspended", "unfinished"]
    (finding,) = look("xen1", "xen2", "xen3")
    assert [(step["host"], step["do"]) for step in finding["repairs"]] == [
        ("xen2", "remove"),
        ("xen1", "resume"),
        ("xen1", "rename"),
    ]
    # Nobody saw whether it has run elsewhere since: people have to say so.
    assert [step["only_if_asked"] for step in finding["repairs"]] == [False, True, True]
    memory = fleet["xen1"].guests()["web01"].memory_sha256
    mend(finding)
    mended = fleet["xen1"].wait_alive("web01")
    assert (mended.domid, mended.xend_name, mended.memory_sha256) == (guest.domid, "web01", memory)
    assert look("xen1", "xen2", "xen3") == []


def test_the_source_s_xend_dies_when_the_guest_is_suspended(on, look, mend, fleet):
    guest = break_it(fleet, 1.0, "xen1")
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert copy_words(on, "xen1", "xen2") == ["suspended", "running"]
    (finding,) = look("xen1", "xen2", "xen3")
    assert [(step["host"], step["do"]) for step in finding["repairs"]] == [("xen1", "remove")]
    # With two running copies in sight, nobody resumes one.
    assert "Never resume" in finding["comment"]
    mend(finding)
    assert fleet["xen1"].guests() == {} and fleet["xen2"].guests()["web01"].alive


def test_the_target_s_xend_dies_and_the_guest_is_lost(on, look, mend, fleet):
    guest = break_it(fleet, 1.0, "xen2")
    assert copy_words(on, "xen1", "xen2") == ["absent", "unfinished"]
    arrived = on("xen2").arrival("web01", uuid=guest.uuid, source="xen1", gone=True, timeout=0)
    assert (arrived["outcome"], arrived["lost"], arrived["arrived"]) == ("incomplete", True, False)
    (finding,) = look("xen1", "xen2", "xen3")
    assert finding["lost"] and "LOST" in finding["comment"]
    assert [(step["do"], step["only_if_asked"]) for step in finding["repairs"]] == [
        ("remove", True)
    ]
    mend(finding)
    assert fleet["xen2"].guests() == {}
    where = {"name": "web01", "uuid": guest.uuid, "source": "xen1", "target": "xen2"}
    (now,) = look("xen1", "xen2", "xen3", guest=dict(where, ran=True))
    assert now["outcome"] == "lost"
    # Who has not seen it run just before cannot say so.
    (now,) = look("xen1", "xen2", "xen3", guest=where)
    assert now["outcome"] == "unknown"


def test_a_migration_that_takes_too_long_goes_on_without_its_job(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen2"].link(hold_at=0.5)
    with pytest.raises(CommandExecutionError) as caught:
        # Long enough for xm to have asked xend, or nothing would go on without it.
        on("xen1").migrate("web01", "xen2", timeout=6)
    assert "had not ended after 6" in str(caught.value) and "look again" in str(caught.value)
    fleet["xen2"].wait_held()
    assert copy_words(on, "xen1", "xen2") == ["sending", "receiving"]
    fleet["xen2"].release()
    assert on("xen2").arrival("web01", uuid=guest.uuid, source="xen1", gone=True)["outcome"] == "moved"
    assert on("xen1").where("web01", wait=END_S)["copy"] == "absent"


def test_a_guest_that_cannot_go_on_is_left_suspended(on, fleet):
    guest = fleet["xen1"].create_guest("web01", suspend_cancel=False)
    renamed_and_suspended(fleet["xen1"], guest)
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").repair("resume", "migrating-web01", guest.uuid, guest.domid)
    assert "SUSPEND_CANCEL" in str(caught.value) and "xm create" in str(caught.value)
    (left,) = fleet["xen1"].guests().values()
    assert left.state == "suspended"


@pytest.mark.parametrize("reason", [0, 1])
def test_a_guest_that_has_ended_by_itself_is_not_resumed(on, fleet, reason):
    """xm shows the same letter for one that has powered off or wants to reboot."""
    guest = fleet["xen1"].create_guest("web01")
    renamed_and_suspended(fleet["xen1"], guest)
    fleet["xen1"].hypervisor.update(guest.domid, shutdown_reason=reason)
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").repair("resume", "migrating-web01", guest.uuid, guest.domid)
    said = str(caught.value)
    assert "domain %d has not suspended itself" % guest.domid in said
    assert "reason %d, where" % reason in said
    assert "\n" not in said
    (left,) = fleet["xen1"].guests().values()
    assert (left.state, left.xend_name) == ("suspended", "migrating-web01")


# Findings over several hosts


def test_a_host_that_does_not_answer_withholds_repairs(look, fleet):
    renamed(fleet["xen1"], fleet["xen1"].create_guest("web01"))
    (seen,) = look("xen1", "xen2", "xen3")
    assert [step["do"] for step in seen["repairs"]] == ["rename"]
    (blind,) = look("xen1", "xen2", silent=["xen3"])
    assert blind["outcome"] == "unknown" and blind["repairs"] == []
    assert "xen3 does not answer" in blind["comment"]


def test_more_copies_than_expected_are_left_to_people(look, fleet):
    guest = fleet["xen1"].create_guest("web01")
    renamed(fleet["xen1"], guest)
    for name in ("xen2", "xen3"):
        fleet[name].create_guest("web01", uuid=guest.uuid, paused=True)
    (found,) = look("xen1", "xen2", "xen3")
    assert found["repairs"] == [] and all(
        name in found["comment"] for name in ("xen1", "xen2", "xen3")
    )


def test_two_running_copies_are_shouted_about_and_not_touched(look, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen3"].create_guest("web01", uuid=guest.uuid)
    (found,) = look("xen1", "xen2", "xen3")
    assert (found["outcome"], found["repairs"]) == ("both", [])
    assert "xm pause" in found["comment"] and "RUN" in found["comment"]


def test_two_guests_of_one_name_have_nothing_in_common(look, fleet):
    fleet["xen1"].create_guest("web01")
    fleet["xen2"].create_guest("web01")
    assert look("xen1", "xen2", "xen3") == []


def test_where_one_guest_is_whatever_that_is(look, fleet):
    guest = fleet["xen1"].create_guest("web01")
    where = {"name": "web01", "uuid": guest.uuid, "source": "xen1", "target": "xen2"}
    assert [found["outcome"] for found in look("xen1", "xen2", guest=where)] == ["unharmed"]
    back = dict(where, source="xen2", target="xen1")
    assert [found["outcome"] for found in look("xen1", "xen2", guest=back)] == ["moved"]
    (blind,) = look("xen1", silent=["xen2"], guest=where)
    assert blind["outcome"] == "unknown" and "xen2 does not answer" in blind["comment"]


# Repairs that are refused


def test_only_what_was_found_is_mended(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    renamed(fleet["xen1"], guest)
    for listed, uuid, domid in (
        ("migrating-web01", guest.uuid, guest.domid + 1),
        ("migrating-web01", OTHER_UUID, guest.domid),
        ("web01", guest.uuid, guest.domid),
        ("migrating-web02", guest.uuid, guest.domid),
    ):
        with pytest.raises(CommandExecutionError) as caught:
            on("xen1").repair("rename", listed, uuid, domid)
        assert "not touched" in str(caught.value) and "\n" not in str(caught.value)
    assert [one.xend_name for one in fleet["xen1"].guests().values()] == ["migrating-web01"]
    assert "web01 again" in on("xen1").repair("rename", "migrating-web01", guest.uuid, guest.domid)


@pytest.mark.parametrize("do", ["destroy", "", None])
def test_a_repair_that_there_is_not(on, fleet, do):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").repair(do, "web01", OTHER_UUID, 1)
    assert "remove, rename, resume" in str(caught.value)


STATES = {
    "runs": {},
    "created paused": {"paused": True, "cpu_time": 0.0, "running_since": None},
    "paused later": {"paused": True, "cpu_time": 5.0},
    "suspended": {"suspended": True},
}


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    made=st.lists(
        st.tuples(
            st.sampled_from(sorted(STATES)),
            st.sampled_from(["web01", "migrating-web01", "db"]),
            st.sampled_from([OTHER_UUID, "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"]),
        ),
        min_size=1,
        max_size=3,
    ),
    do=st.sampled_from(["remove", "resume", "rename"]),
)
def test_no_repair_ever_ends_a_guest_that_runs(on, fleet, made, do):
    host = fleet["xen1"]
    host.clear()
    for state, name, uuid in made:
        domid = host.hypervisor.reserve_domid()
        template = host.create_guest("template", pages=1)
        host.hypervisor.create(domid, name, uuid, 96, 1, 1, described(host, template, name, uuid))
        host.hypervisor.boot(domid)
        host.hypervisor.update(domid, **{"paused": False, **STATES[state]})
        host.hypervisor.destroy(template.domid)
    before = {one["domid"]: one for one in host.hypervisor.domains()}
    for domid, one in before.items():
        with contextlib.suppress(CommandExecutionError):
            on("xen1").repair(do, one["xend_name"], one["uuid"], domid)
    after = {one["domid"]: one for one in host.hypervisor.domains()}
    for domid, one in before.items():
        is_idle = one["paused"] or one["suspended"]
        if domid not in after:
            assert do == "remove" and is_idle and (one["suspended"] or one["cpu_time"] == 0)
        elif not is_idle:
            same = ("uuid", "paused", "suspended", "completed", "loaded")
            assert [after[domid][key] for key in same] == [one[key] for key in same]
            assert after[domid]["xend_name"] in (
                one["xend_name"],
                one["xend_name"][len("migrating-") :],
            )


def described(host, template, name, uuid):
    own = {"name": name, "uuid": uuid}
    return [
        [item[0], own[item[0]]] if item[0] in own else item
        for item in host.hypervisor.domain(template.domid)["config"]
    ]


# Two rows with one name


def test_a_second_attempt_onto_a_copy_that_is_stuck_there(on, look, fleet):
    """xend compares uuids, so it lists the stuck copy and the one that runs, both as web01."""
    guest = fleet["xen1"].create_guest("web01")
    stuck = fleet["xen2"].create_guest("web01", uuid=guest.uuid, paused=True)
    on("xen1").migrate("web01", "xen2")
    assert wait_until(lambda: len(works(fleet["xen2"])) == 1, END_S)
    arrived = on("xen2").arrival("web01", uuid=guest.uuid, source="xen1", gone=True)
    assert arrived["arrived"] and arrived["domid"] != stuck.domid
    assert sorted(one["copy"] for one in on("xen2").copies()["copies"]) == ["running", "unfinished"]
    (finding,) = look("xen1", "xen2", "xen3")
    assert [(step["do"], step["domid"]) for step in finding["repairs"]] == [("remove", stuck.domid)]
    on("xen2").repair("remove", "web01", guest.uuid, stuck.domid)
    (left,) = fleet["xen2"].hypervisor.domains()
    assert left["domid"] == arrived["domid"] and len(works(fleet["xen2"])) == 1


def test_a_guest_that_came_back_beside_what_was_left_of_it(on, look, mend, fleet):
    guest = break_it(fleet, 1.0, "xen1")
    fleet["xen2"].wait_alive("web01")
    on("xen2").migrate("web01", "xen1")
    assert wait_until(lambda: len(works(fleet["xen1"])) == 2, END_S)
    arrived = on("xen1").arrival("web01", uuid=guest.uuid, source="xen2", gone=True)
    assert (arrived["arrived"], arrived["outcome"], arrived["listed"]) == (True, "moved", "web01")
    (finding,) = look("xen1", "xen2", "xen3")
    assert [(step["do"], step["domid"]) for step in finding["repairs"]] == [("remove", guest.domid)]
    mend(finding)
    assert fleet["xen1"].wait_alive("web01").domid == arrived["domid"]
    (finding,) = look("xen1", "xen2", "xen3")
    assert finding["outcome"] == "moved" and mend(finding) == [True]
    assert look("xen1", "xen2", "xen3") == []


def test_a_guest_that_took_the_name_of_one_that_is_left_over(on, fleet):
    """xend lets a new guest have the name once the old one is called migrating-web01."""
    guest = fleet["xen1"].create_guest("web01")
    renamed_and_suspended(fleet["xen1"], guest)
    other = fleet["xen1"].create_guest("web01")
    found = [on("xen1").where("web01", uuid) for uuid in (guest.uuid, other.uuid, OTHER_UUID)]
    assert [one["copy"] for one in found] == ["suspended", "running", "foreign"]
    assert [one["domid"] for one in found[:2]] == [guest.domid, other.domid]


def test_a_repair_does_not_touch_a_guest_that_is_called_as_the_id_of_another(on, fleet):
    host = fleet["xen1"]
    number = host.create_guest("web02").domid + 2
    other = host.create_guest(str(number))
    left = host.create_guest("web01")
    host.hypervisor.update(left.domid, xend_name="migrating-web01")
    assert left.domid == number
    on("xen1").repair("rename", "migrating-web01", left.uuid, left.domid)
    assert host.guests()["web01"].xend_name == "web01"
    assert host.guests()[other.name].xend_name == other.name
    host.create_guest("db", paused=True)
    dead = host.guests()["db"]
    host.create_guest(str(dead.domid))
    on("xen1").repair("remove", "db", dead.uuid, dead.domid)
    assert "db" not in host.guests() and host.guests()[str(dead.domid)].alive


def test_advice_on_one_of_two_copies_on_a_host_names_its_id(look, fleet):
    """By their name, xend would destroy either of the two."""
    guest = fleet["xen2"].create_guest("web01")
    fleet["xen2"].create_guest("web01", uuid=guest.uuid, paused=True)
    (finding,) = look("xen1", "xen2")
    dead = [one["domid"] for one in fleet["xen2"].hypervisor.domains() if one["paused"]]
    assert "xm destroy %d`" % dead[0] in finding["comment"]


def works(host):
    return [one for one in host.hypervisor.domains() if one["completed"] and not one["paused"]]


# Hosts whose xend is down


def test_a_host_whose_xend_is_down_says_so_and_what_to_start(on, look, fleet):
    fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    fleet["xen1"].stop()
    found = on("xen1").copies()
    assert found["copies"] is None and found["xend"] is False and len(found["sent"]) == 1
    assert "Connection refused" in found["problem"]
    start = "xend is down on xen1: start it with `salt xen1 state.apply xend.relocation`"
    assert found["remedy"].startswith(start) and "`service xend start`" in found["remedy"]
    assert on("xen1").where("web01")["remedy"] == found["remedy"]
    for asked in (on("xen1").list, on("xen1").info, on("xen1").unfinished):
        with pytest.raises(CommandExecutionError) as caught:
            asked()
        assert start in str(caught.value)
    report = on("xen1").report("web01")
    assert start in report["problem"] and report["view"]["xend"] is False
    reports = {name: on(name).copies() for name in ("xen1", "xen2")}
    assert on("xen2").unheard(reports)["do"] == found["remedy"]
    where = {"name": "web01", "uuid": None, "source": "xen1", "target": "xen2"}
    (finding,) = on("xen2").findings(reports, where)
    assert finding["outcome"] == "unknown" and "do not start it on xen1" in finding["comment"]
    assert start in finding["comment"]


# Guests that are under way


def test_a_guest_that_is_under_way_is_not_said_to_be_missing_or_paused(minion_on, fleet):
    fleet["xen1"].create_guest("web01")
    with held(fleet):
        for name, other in (("xen1", "xen2"), ("xen2", "xen1")):
            xm = minion_on(name).modules.xm
            assert xm.report("web01")["view"]["other"] == other
            blocker = xm.can_send("web01", other)["blockers"][0]
            assert "from xen1 to xen2 goes on" in blocker and "Wait until that is over" in blocker
            assert "`xm unpause" not in blocker and "no domain" not in blocker
            with pytest.raises(CommandExecutionError) as caught:
                xm.migrate("web01", other)
            assert "untouched" not in str(caught.value)
    fleet["xen2"].wait_alive("web01")


@pytest.mark.parametrize(
    "do, said", [(paused, "`xm unpause web01` on xen1"), (shut_down, "`xm destroy web01` on xen1")]
)
def test_a_guest_that_does_not_run_comes_with_what_to_do(on, look, fleet, do, said):
    do(fleet["xen1"], fleet["xen1"].create_guest("web01"))
    (blocker,) = on("xen1").can_send("web01", "xen2")["blockers"]
    assert said in blocker and "does not run" in blocker
    where = {"name": "web01", "uuid": None, "source": "xen1", "target": "xen2"}
    (found,) = look("xen1", "xen2", guest=where)
    assert found["outcome"] == "halted" and said in found["comment"]


# Between two looks


@pytest.fixture
def meddled(minion_on, fleet, tmp_path):
    """A function: the xm module of xen1, where ACT is done just before or just after `xm list`."""
    threads = []

    def make(act, when):
        asked, done, script = (tmp_path / name for name in ("asked", "done", "xm"))
        wait = "touch %s; until [ -e %s ]; do sleep 0.02; done" % (asked, done)
        steps = [wait, '%s "$@"' % fleet["xen1"].layout.xm][:: 1 if when == "before" else -1]
        script.write_text(
            '#!/bin/sh\nif [ "$*" = "list --long" ]; then %s; exit; fi\nexec %s "$@"\n'
            % ("; ".join(steps), fleet["xen1"].layout.xm)
        )
        script.chmod(0o755)

        def meddle():
            try:
                assert wait_until(asked.exists, END_S)
                act()
            finally:
                done.touch()

        threads.append(threading.Thread(target=meddle))
        threads[-1].start()
        return minion_on("xen1", xm=str(script), socket="/nowhere/xmlrpc.sock").modules.xm

    yield make
    for thread in threads:
        thread.join(END_S)


def test_a_transfer_that_begins_while_one_looks_is_seen(meddled, fleet):
    """A guest that is just being sent must not be taken for one that a broken migration has renamed."""
    fleet["xen1"].create_guest("web01")
    with contextlib.ExitStack() as stack:
        xm = meddled(lambda: stack.enter_context(held(fleet)), "before")
        assert xm.where("web01")["copy"] == "sending"


def test_a_transfer_that_ends_while_one_looks_is_seen(meddled, fleet):
    """xend is about to give the guest its name back."""
    fleet["xen1"].create_guest("web01")

    def end():
        fleet["xen1"].kill_xc_save()
        assert wait_until(lambda: process.poll() is not None, END_S)

    with held(fleet) as process:
        assert meddled(end, "after").where("web01")["copy"] == "sending"


def test_an_xm_that_claims_success_and_moved_nothing(minion_on, fleet, tmp_path):
    """Only what is here counts, whatever the exit code."""
    guest = fleet["xen1"].create_guest("web01")
    script = tmp_path / "xm"
    script.write_text(
        '#!/bin/sh\n[ "$1" = migrate ] && exit 0\nexec %s "$@"\n' % fleet["xen1"].layout.xm
    )
    script.chmod(0o755)
    with pytest.raises(CommandExecutionError) as caught:
        minion_on("xen1", xm=str(script)).modules.xm.migrate("web01", "xen2")
    assert "runs unharmed on xen1" in str(caught.value)
    assert fleet["xen1"].guests()["web01"].domid == guest.domid and fleet["xen2"].guests() == {}
