"""The campaign's own machinery: what stands for the daemons does what they do, and the judge is strict."""

from dataclasses import replace

import pytest

from tests.faults import campaign, faults, truth
from tests.harness.processes import Failed, Gone, Process
from tests.lab.layout import wait_until


def test_a_guest_is_moved_by_the_real_sls(conductor, migrate):
    xen1, xen2 = conductor.fleet
    guest = xen1.create_guest("web01")
    dry = migrate("web01", test=True)
    assert dry.ok and xen1.guests()["web01"].alive
    done = migrate("web01")
    assert done.ok and done.failed() == [], done.said()
    assert "web01" not in xen1.guests() and xen2.guests()["web01"].uuid == guest.uuid
    assert "web01 runs on xen2" in done.steps
    assert not migrate("web01").changed()


def test_a_step_that_fails_keeps_those_from_running_that_need_it(conductor, migrate):
    run = migrate("nobody")
    assert not run.ok and run.failed()
    assert run.steps["nobody runs on xen2"]["result"] is False
    assert "nobody runs on xen2" not in run.failed()


def test_every_minion_has_its_own_id_pillar_and_host(conductor):
    answers = conductor.call_all("xend.get", "xend-relocation-address")
    assert set(answers) == {"xen1", "xen2"}
    assert conductor.call_all("grains.get", "id") == {"xen1": "xen1", "xen2": "xen2"}
    hosts = conductor.call("xen1", "xend.declared_hosts")
    assert {name: hosts[name]["address"] for name in hosts} == {
        host.name: host.address for host in conductor.fleet
    }


def test_an_error_comes_back_as_text(conductor):
    said = conductor.call("xen1", "xm.migrate", "nobody", target="xen2")
    assert said.startswith("ERROR: nobody was not moved")
    assert "is not available" in conductor.call("xen1", "xm.no_such_function")


def test_a_minion_that_is_down_returns_nothing(conductor, migrate):
    conductor.minion_down("xen2")
    assert set(conductor.call_all("test.ping")) == {"xen1"}
    run = migrate("web02")
    assert not run.ok and "xen2 does not answer" in "\n".join(run.said())


def test_a_minion_that_is_killed_leaves_xm_alone(conductor, migrate):
    xen1, xen2 = conductor.fleet
    xen1.create_guest("web03")
    xen1.link(hold_at=0.5)
    process = migrate("web03", start=True)
    xen1.wait_held()
    conductor.minion_down("xen1")
    run = conductor.finish(process)
    assert not run.ok
    assert run.steps["web03 is sent from xen1 to xen2"]["result"] is False
    xen1.release()
    assert xen2.wait_alive("web03")


def test_states_of_one_minion_wait_for_each_other(conductor, migrate):
    xen1, xen2 = conductor.fleet
    xen1.create_guest("web04")
    xen1.link(hold_at=0.5)
    first = migrate("web04", start=True)
    xen1.wait_held()
    second = Process(conductor.call, "xen1", "state.sls", "xend.relocation", queue=True)
    assert not second.over(1.0)
    xen1.release()
    assert conductor.finish(first).ok
    assert all(state["result"] for state in second.result(300).values())


def test_many_states_at_once_all_have_their_turn(conductor):
    arguments = ("xen1", "state.sls", "xend.relocation")
    some = [Process(conductor.call, *arguments, queue=True, test=True) for _ in range(4)]
    for process in some:
        assert len(process.result(300)) == 2


def test_what_is_killed_or_raises_is_told_apart():
    with pytest.raises(Failed, match="ZeroDivisionError"):
        Process(lambda: 1 // 0).result(300)
    process = Process(wait_until, lambda: False, 60.0)
    with pytest.raises(Gone):
        process.result(0.1)


# The judge.


def entries(*events):
    return [
        {"event": event, "host": host, "domid": 1, "sha256": memory}
        for event, host, memory in events
    ]


def test_a_migration_is_no_crime():
    assert not truth.crimes(
        entries(
            ("unpaused", "xen1", "a"),
            ("suspended", "xen1", "b"),
            ("unpaused", "xen2", "b"),
            ("destroyed", "xen1", None),
        )
    )


@pytest.mark.parametrize(
    "events, said",
    [
        ([("unpaused", "xen1", "a"), ("unpaused", "xen2", "a")], "at once"),
        ([("unpaused", "xen1", "a"), ("destroyed", "xen1", None)], "while it ran"),
        (
            [("unpaused", "xen1", "a"), ("suspended", "xen1", "b"), ("unpaused", "xen2", "c")],
            "other memory",
        ),
        (
            [
                ("unpaused", "xen1", "a"),
                ("suspended", "xen1", "b"),
                ("unpaused", "xen2", "b"),
                ("resumed", "xen1", "b"),
            ],
            "at once",
        ),
    ],
)
def test_crimes_are_seen(events, said):
    (crime,) = truth.crimes(entries(*events))
    assert said in crime


@pytest.mark.parametrize(
    "copies, going_on, word",
    [
        ([("xen2", "web", "running", True)], False, faults.MOVED),
        ([("xen1", "web", "running", True)], False, faults.SOURCE),
        ([("xen1", "web", "paused", False)], False, faults.SOURCE),
        ([("xen1", "migrating-web", "running", True)], False, faults.MISNAMED),
        ([("xen1", "migrating-web", "running", True)], True, faults.GOING_ON),
        (
            [("xen1", "web", "running", True), ("xen2", "web", "paused", False)],
            False,
            faults.SOURCE_AND_COPY,
        ),
        (
            [("xen1", "migrating-web", "suspended", False), ("xen2", "web", "running", True)],
            False,
            faults.REMAINDER,
        ),
        (
            [("xen1", "migrating-web", "suspended", False), ("xen2", "web", "paused", False)],
            False,
            faults.SUSPENDED,
        ),
        ([("xen1", "web", "running", True), ("xen2", "web", "running", True)], False, faults.BOTH),
        ([("xen2", "web", "paused", False)], False, faults.LOST),
        ([], False, faults.LOST),
    ],
)
def test_where_a_guest_is_in_one_word(copies, going_on, word):
    assert truth.Truth(tuple(copies), going_on).word("xen1", "xen2", "web") == word


def test_a_campaign_is_the_same_for_the_same_seed():
    known = {name for name, fault in faults.FAULTS.items() if fault.known()}
    some = campaign.plans(7, len(known))
    assert some == campaign.plans(7, len(known)) and some[:20] == campaign.plans(7, 20)
    assert some != campaign.plans(8, len(known))
    assert {plan.fault for plan in some} == known
    assert all(plan.source != plan.target for plan in some)


def test_a_report_that_is_not_true_is_seen(conductor):
    """The judge is told that a guest was moved, which was not; and that it is lost, which it is not."""
    source, target = conductor.fleet
    plan = campaign.plan(1, 0, "none")
    world = campaign.World(conductor, replace(plan, source=source.name, target=target.name))
    world.uuid = source.create_guest(world.name).uuid
    seen = truth.look(conductor.fleet, world.uuid)

    class Said:
        ok, steps, errors = True, {}, []

        def said(self):
            return self.errors

    world.judge(seen, [Said()])
    assert any("success was reported" in text for text in world.wrong)
    world.wrong.clear()
    lying = Said()
    lying.ok, lying.errors = False, ["%s is LOST" % world.name]
    world.judge(seen, [lying])
    assert any("called lost" in text for text in world.wrong)
    assert any("nobody says so" in text for text in world.wrong)
    source.destroy_guest(world.name)
