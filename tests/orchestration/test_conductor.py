"""The campaign's own machinery: what stands for the daemons does what they do, and the judge is strict."""

import fcntl
from dataclasses import replace

import pytest

from tests.faults import campaign, evacuations, faults, truth
from tests.faults.troubles import TROUBLES
from tests.harness.processes import Failed, Gone, Process
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until


def test_a_guest_is_moved_by_the_real_sls(conductor, migrate):
    xen1, xen2 = conductor.fleet
    guest = xen1.create_guest("web01")
    dry = migrate("web01", test=True)
    assert dry.ok, dry.report()
    assert xen1.guests()["web01"].alive
    done = migrate("web01")
    assert done.ok and done.failed() == [], done.said()
    assert "web01" not in xen1.guests() and xen2.guests()["web01"].uuid == guest.uuid
    assert "web01 runs on xen2" in done.steps
    assert not migrate("web01").changed()


def test_a_step_that_fails_keeps_those_from_running_that_need_it(conductor, migrate):
    conductor.fleet["xen1"].create_guest("web07", paused=True)
    run = migrate("web07")
    assert not run.ok and run.failed()
    assert run.steps["web07 runs on xen2"]["result"] is False
    assert "web07 runs on xen2" not in run.failed()


def test_every_minion_has_its_own_id_pillar_and_host(conductor):
    answers = conductor.call_all("xend.get", "xend-relocation-address")
    assert set(answers) == {"xen1", "xen2"}
    assert conductor.call_all("grains.get", "id") == {"xen1": "xen1", "xen2": "xen2"}
    hosts = conductor.call("xen1", "xend.declared_hosts")
    assert {name: hosts[name]["address"] for name in hosts} == {
        host.name: host.address for host in conductor.fleet
    }


def test_two_of_them_in_one_process_ask_each_their_own_hosts(conductor, migrate, new_conductor):
    other = new_conductor(HostSpec("xen1"), HostSpec("xen2"))
    other.call_all("xm.info")
    conductor.fleet["xen1"].create_guest("web08")
    run = migrate("web08", test=True)
    assert run.ok, run.report()


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


def test_what_minions_do_goes_on_when_the_orchestration_is_killed(conductor, migrate):
    xen1, xen2 = conductor.fleet
    guest = xen1.create_guest("web05")
    xen1.link(hold_at=0.5)
    process = migrate("web05", start=True)
    xen1.wait_held()
    process.kill()
    xen1.release()
    conductor.wait_idle()
    assert xen2.wait_alive("web05").uuid == guest.uuid
    # Which the job of the source has told to the end.
    assert "sent" in [event["phase"] for event in conductor.events("xend/migrate/web05")]
    assert migrate("web05").ok


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


def test_states_wait_for_those_that_wait_for_nobody(conductor):
    """As a highstate in the midst of several guests that are sent at once: Salt puts it off by its queue."""
    xen1, xen2 = conductor.fleet
    xen1.create_guest("web06")
    xen1.link(hold_at=0.5)
    step = {"xend": {"step": [{"name": "web06"}, {"target": "xen2"}]}}
    with open(conductor.folder / "xen1.turn", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        sent = Process(conductor.call, "xen1", "state.sls", "xend.orch.send", pillar=step, concurrent=True)
        xen1.wait_held()
        # For its forks as well, which hold the same lock.
        fcntl.flock(turn, fcntl.LOCK_UN)
    queued = Process(conductor.call, "xen1", "state.sls", "xend.relocation", queue=True)
    assert not queued.over(1.0)
    xen1.release()
    for process in (sent, queued):
        assert all(state["result"] for state in process.result(300).values())


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


def test_evacuations_are_the_same_for_the_same_seed():
    some = evacuations.plans(7, len(TROUBLES))
    assert some == evacuations.plans(7, len(TROUBLES)) and some[:9] == evacuations.plans(7, 9)
    assert some != evacuations.plans(8, len(TROUBLES))
    assert {plan.troubles[0] for plan in some} == set(TROUBLES)
    assert [plan for plan in some if len(plan.troubles) > 1]
    assert all(plan.source not in plan.targets for plan in some)


def test_an_evacuation_of_which_untrue_things_are_said_is_seen(conductor):
    """One guest is said to have moved and has not, one to be lost and is not, of one nobody says a word."""
    source, target = conductor.fleet
    plan = replace(evacuations.plan(1, 0, "none"), source=source.name, targets=(target.name,))
    night = evacuations.Night(conductor, plan)
    guests = [night.create(source, "night0-%d" % number, 32, 4) for number in range(3)]

    class Said:
        def __init__(self, ok, last, *texts, **outcomes):
            self.ok, self.texts = ok, texts
            self.steps = dict.fromkeys(["night0-%s: %s" % (key[1:], word) for key, word in outcomes.items()])
            self.steps[last] = None

        def said(self):
            return self.texts

    def wrong(*said, **outcomes):
        night.wrong.clear()
        run = Said(*said, **outcomes)
        night.judge(evacuations.Evacuation(source, [target.name], guests, run=run))
        return "; ".join(night.wrong)

    empty, some = evacuations.EMPTY % source.name, "xen1 is not empty"
    stay = ["night0-%d still runs on %s" % (number, source.name) for number in range(3)]
    try:
        assert "success was reported, but night0-0 is on the source" in wrong(True, empty, *stay)
        assert "night0-1 was called lost" in wrong(False, some, *stay, "night0-1 is LOST")
        assert "night0-2 runs on xen1, and nobody says so" in wrong(False, some, *stay[:2])
        assert "night0-1 was called moved, but it is on the source" in wrong(False, some, *stay, _1="moved")
        assert "does not agree with the exit code" in wrong(False, empty, *stay)
        # Nobody has done any harm, and nobody has moved.
        assert wrong(False, some, *stay) == "what does no harm has kept guests from moving"
        night.troubles = [TROUBLES["a target refuses"]]
        assert wrong(False, some, *stay, _0="unharmed", _1="not tried") == ""
    finally:
        for guest in guests:
            source.destroy_guest(guest.name)


def test_an_orchestration_that_is_given_to_a_minion_says_who_runs_it(conductor, migrate):
    before = conductor.master_opts["__role"]
    conductor.master_opts["__role"] = "minion"
    try:
        run = migrate("web01")
    finally:
        conductor.master_opts["__role"] = before
    assert not run.ok and list(run.steps) == ["this is run by a master"], run.said()
    assert "Nothing was done" in run.said()[0] and "`salt-run state.orchestrate`" in run.said()[0]


@pytest.mark.parametrize("lacks", ["runners", "state_functions"])
def test_a_master_that_was_not_synced_or_not_whole_is_told_what_to_do(conductor, migrate, lacks):
    known = conductor.master_opts["conductor"]
    before = known[lacks]
    known[lacks] = lambda _name: []
    try:
        run = migrate("web01", test=True)
    finally:
        known[lacks] = before
    assert not run.ok and list(run.steps) == ["this master has the runner of Xend for Salt"], run.said()
    assert "Nothing was done" in run.said()[0] and "`salt-run saltutil.sync_all` brings it" in run.said()[0]
