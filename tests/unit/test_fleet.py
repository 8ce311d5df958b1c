"""
Many hosts: from what all hold, and have noted, to what is said and what may be repaired.
This file runs on Python 2.7 as well.
"""

import importlib
import itertools
import random

import pytest

import xm_fleet
from tests.held import COPIES, GUEST, SILENT, fleet, note, noted, one

UTILITY = importlib.import_module


def gather(reports):
    return xm_fleet.gather(reports, UTILITY)


def gather_one(reports, guest):
    return xm_fleet.gather_one(reports, guest, UTILITY)


def steps(found):
    return [(step["do"], step["listed"], step["host"]) for step in found["repairs"]]


@pytest.mark.parametrize(
    "held",
    [
        [],
        [[], []],
        [one("running"), []],
        [one("running"), SILENT],
        [one("halted"), []],
        [one("managed"), []],
        [one("managed"), one("managed")],
        [one("managed"), one("running"), []],
        [one("managed"), one("running"), one("managed"), SILENT],
        [one("running"), one("running", uuid="u2")],
        [one("running", name="Domain-0", domid=0), one("running", name="Domain-0", domid=0)],
    ],
)
def test_nothing_was_left_by_a_migration(held):
    assert gather(fleet(*held)) == []


@pytest.mark.parametrize(
    "held, outcome, hosts, repairs",
    [
        (
            [one("left"), []],
            "leftover",
            ("xen1", None),
            [("rename", "migrating-web01", "xen1")],
        ),
        ([one("left"), SILENT], "unknown", ("xen1", "xen2"), []),
        ([[], one("left"), SILENT, SILENT], "unknown", ("xen2", None), []),
        (
            [one("unfinished"), one("left"), []],
            "leftover",
            ("xen2", "xen1"),
            [("remove", "web01", "xen1"), ("rename", "migrating-web01", "xen2")],
        ),
        (
            [one("unfinished"), one("left"), SILENT],
            "leftover",
            ("xen2", "xen1"),
            [("remove", "web01", "xen1"), ("rename", "migrating-web01", "xen2")],
        ),
        ([one("running"), one("suspended")], "leftover", ("xen2", "xen1"), [
            ("remove", "migrating-web01", "xen2")
        ]),
        ([one("unfinished"), one("running")], "leftover", ("xen2", "xen1"), [
            ("remove", "web01", "xen1")
        ]),
        (
            [one("suspended"), []],
            "leftover",
            ("xen1", None),
            [("resume", "migrating-web01", "xen1"), ("rename", "migrating-web01", "xen1")],
        ),
        ([one("suspended"), SILENT], "unknown", ("xen1", "xen2"), []),
        (
            [one("suspended"), one("unfinished")],
            "leftover",
            ("xen1", "xen2"),
            [
                ("remove", "web01", "xen2"),
                ("resume", "migrating-web01", "xen1"),
                ("rename", "migrating-web01", "xen1"),
            ],
        ),
        # The third host may run it.
        ([one("suspended"), one("unfinished"), SILENT], "leftover", ("xen1", "xen2"), []),
        # It may have been started afresh, on the same disks.
        ([one("suspended"), one("running", uuid="u2")], "halted", ("xen1", "xen2"), []),
        (
            [one("suspended"), one("unfinished"), one("running", uuid="u2")],
            "leftover",
            ("xen1", "xen2"),
            [],
        ),
        ([one("unfinished"), []], "incomplete", (None, "xen1"), [("remove", "web01", "xen1")]),
        ([one("unfinished"), SILENT], "unknown", ("xen2", "xen1"), []),
        ([one("managed"), one("unfinished")], "incomplete", ("xen1", "xen2"), [
            ("remove", "web01", "xen2")
        ]),
        ([one("running"), one("running")], "both", ("xen1", "xen2"), []),
        ([one("running"), one("left")], "both", ("xen2", "xen1"), []),
        ([one("running"), one("left"), one("running")], "both", ("xen2", "xen1"), []),
        ([one("suspended"), one("unfinished"), one("unfinished")], "unknown", ("xen1", "xen2"), []),
        ([one("receiving"), one("sending")], "going_on", ("xen2", "xen1"), []),
        ([one("receiving"), []], "going_on", (None, "xen1"), []),
        ([one("sending"), []], "going_on", ("xen1", None), []),
        ([one("unknown", uuid=None), SILENT], "unknown", ("xen1", "xen2"), []),
        # Migrated to its own host a second time, which has wedged.
        (
            [[one("running"), one("unfinished", listed="migrating-web01", domid=13)], []],
            "leftover",
            ("xen1", "xen1"),
            [("remove", "migrating-web01", "xen1")],
        ),
        # A copy without a uuid may be one of this guest, or of another one.
        ([one("suspended"), one("running", uuid=None)], "leftover", ("xen1", "xen2"), []),
        ([one("running"), one("unfinished", uuid=None)], "leftover", ("xen1", "xen2"), []),
    ],
)
def test_what_migrations_have_left(held, outcome, hosts, repairs):
    (found,) = gather(fleet(*held))
    assert found["outcome"] == outcome
    assert (found["hosts"]["source"], found["hosts"]["target"]) == hosts
    assert steps(found) == repairs
    assert "web01" in found["comment"] and "%" not in found["comment"]
    for host in hosts:
        assert host is None or host in found["comment"]


def test_a_repair_of_a_lost_guest_waits_until_it_is_asked_for():
    (found,) = gather(fleet([], one("unfinished", domid=9)))
    assert found["lost"] and found["uuid"] == "u1" and found["name"] == "web01"
    assert found["repairs"] == [
        {
            "on": "target",
            "host": "xen2",
            "do": "remove",
            "listed": "web01",
            "name": "web01",
            "uuid": "u1",
            "domid": 9,
            "only_if_asked": True,
            "claims": {},
            "doubt": found["repairs"][0]["doubt"],
        }
    ]
    assert "no other host says that it has web01" in found["repairs"][0]["doubt"]
    assert "the other hosts" in found["comment"] and "somebody has created it paused" in found["comment"]


def test_a_suspended_guest_goes_on_unasked_only_when_it_has_run_nowhere_since():
    """Later, or with nothing in the target's log, it may have run elsewhere and have been stopped there."""
    reports = noted(fleet(one("suspended"), []), xen1=note())
    (found,) = gather(reports)
    assert [step["only_if_asked"] for step in found["repairs"]] == [True, True]
    guest = {"name": "web01", "uuid": "u1", "source": "xen1", "target": "xen2", "ran": True}
    for completed, asked in ((False, False), (True, True), (None, True)):
        reports["xen2"]["completed"] = completed
        now = gather_one(reports, guest)
        assert [step["only_if_asked"] for step in now["repairs"]] == [asked, asked]
    # A copy that has never run is proof enough.
    reports = noted(fleet(one("suspended"), one("unfinished")), xen1=note())
    now = gather_one(reports, guest)
    assert [step["only_if_asked"] for step in now["repairs"]] == [False, False, False]
    # But not when it was sent to another host, or nobody knows where.
    for made in ([], [note(target="xen3")]):
        now = gather_one(noted(reports, xen1=made), guest)
        assert [step["only_if_asked"] for step in now["repairs"]] == [False, True, True]


def test_what_a_known_migration_has_left_was_not_created_paused():
    reports = fleet([], one("unfinished"))
    guest = {"name": "web01", "uuid": "u1", "source": "xen1", "target": "xen2", "ran": True}
    assert "somebody has created it paused" not in gather_one(reports, guest)["comment"]
    assert "somebody has created it paused" in gather(reports)[0]["comment"]


@pytest.mark.parametrize("more", [[], [one("running", name="web03", listed="web03")]])
def test_two_guests_with_one_uuid_are_not_two_copies(more):
    """Somebody has copied a configuration file with its uuid; both guests are well."""
    reports = fleet(one("running"), one("running", name="web02", listed="web02"), more)
    guest = {"name": "web01", "uuid": "u1", "source": "xen1", "target": "xen2", "ran": True}
    for found in gather(reports) + [gather_one(reports, guest)]:
        assert found["outcome"] == "unknown" and found["repairs"] == []
        assert "web01 and web02" in found["comment"] and "one uuid" in found["comment"]
        assert "pause" not in found["comment"] and "destroy" not in found["comment"]


def test_a_domain_that_was_created_paused_beside_a_namesake_is_not_called_lost():
    (found,) = gather(fleet(one("running"), one("unfinished", uuid="u2")))
    assert "If a migration has brought it" in found["comment"] and found["repairs"] == []


def test_why_nothing_is_repaired_is_said():
    (found,) = gather(fleet(one("suspended"), one("unfinished"), SILENT))
    assert "it may run on xen3" in found["comment"]
    (found,) = gather(fleet(one("suspended"), one("unfinished"), one("halted", uuid="u2")))
    assert "another domain of that name is on xen3" in found["comment"]
    (found,) = gather(fleet(one("running"), one("unfinished", uuid=None)))
    assert "uuid of a copy is not known" in found["comment"]


@pytest.mark.parametrize("said", [None, "ERROR: no such function", {"problem": "busy"}, {}])
def test_what_is_no_list_of_copies_is_a_problem(said):
    reports = dict(fleet(one("left")), xen2=said)
    (found,) = gather(reports)
    assert found["outcome"] == "unknown" and found["repairs"] == []


def test_guests_do_not_mix():
    found = gather(
        fleet(
            [one("left", "db", "u2"), one("running", "app", "u3")],
            [one("unfinished", "app", "u3"), one("left", "web01", "u1")],
        )
    )
    assert [(each["name"], each["outcome"], steps(each)) for each in found] == [
        ("app", "leftover", [("remove", "app", "xen2")]),
        ("db", "leftover", [("rename", "migrating-db", "xen1")]),
        ("web01", "leftover", [("rename", "migrating-web01", "xen2")]),
    ]


def random_fleet(chance):
    held = []
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.15:
            held.append(SILENT)
            continue
        held.append(
            [
                one(
                    chance.choice(xm_fleet.ROLES),
                    chance.choice(["web01", "web01", "db"]),
                    chance.choice(["u1", "u1", "u2", None]),
                    chance.randint(1, 9),
                )
                for _ in range(chance.choice([0, 1, 1, 2]))
            ]
        )
    return fleet(*held)


def shuffled(reports, chance):
    hosts = sorted(reports)
    chance.shuffle(hosts)
    mixed = {}
    for host in hosts:
        said = reports[host]
        if "copies" in said:
            copies = list(said["copies"])
            chance.shuffle(copies)
            said = dict(said, copies=copies)
        mixed[host] = said
    return mixed


def test_the_order_of_hosts_and_copies_does_not_count():
    chance = random.Random(5)
    for _ in range(500):
        reports = random_fleet(chance)
        assert gather(reports) == gather(shuffled(reports, chance))


def test_no_repair_in_a_fleet_can_harm():
    chance, repaired = random.Random(7), 0
    for _ in range(4000):
        reports = random_fleet(chance)
        copies = [
            dict(each, host=host)
            for host in reports
            for each in reports[host].get("copies") or []
            if each["copy"] != "managed"
        ]
        for found in gather(reports):
            resumed = [step["host"] for step in found["repairs"] if step["do"] == "resume"]
            for step in found["repairs"]:
                repaired += 1
                assert step["uuid"]
                # A guest whose uuid is not known may be this one, or may not.
                assert not [each for each in copies if each["name"] == step["name"] and not each["uuid"]]
                key = ("host", "listed", "domid", "uuid")
                held = set(
                    each["copy"] for each in copies if [each[k] for k in key] == [step[k] for k in key]
                )
                others = [
                    each["copy"]
                    for each in copies
                    if each["uuid"] == step["uuid"] and each["host"] != step["host"]
                ]
                if step["do"] == "rename":
                    assert held <= set(["left", "suspended"])
                    assert "left" in held or step["host"] in resumed
                elif step["do"] == "resume":
                    assert "suspended" in held
                    assert not [said for said in reports.values() if said is SILENT]
                    assert set(others) <= set(["unfinished"])
                    assert not [
                        each
                        for each in copies
                        if each["name"] == step["name"] and each["uuid"] != step["uuid"]
                    ]
                else:
                    assert held & set(["unfinished", "suspended"]) and not held & set(["running", "left"])
    assert repaired > 300


# Whose word a step needs

ALL = ["xen1", "xen2", "xen3"]

PAIR, AWAY = ["xen1", "xen2"], ["xen1", "xen3"]


# A guest that has just left for xen2, and that was heard to say why it could not complete it.
NEW = {"recent": True, "target": "xen2"}
TOLD = dict(NEW, refused=True)


def unsure(do, claims, declared=ALL, **own):
    return xm_fleet.doubt(do, "web01", "xen1", claims, declared, UTILITY, **own)


@pytest.mark.parametrize(
    "do, own, claims, declared, said",
    [
        # A rename harms nobody.
        ("rename", {}, {}, ALL, ""),
        ("rename", {}, {"xen2": "running"}, ALL, ""),
        # The remainder of a guest goes when that runs where it was sent.
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen2": "running"}, ALL, ""),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen2": "left"}, ALL, ""),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen2": "suspended"}, ALL, "no other host says"),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen2": "sending"}, ALL, "no other host says"),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen3": "running"}, ALL, "only xen3 says"),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen3": "running"}, AWAY, "only xen3 says"),
        ("remove", {"held": "suspended", "target": "xen9"}, {"xen9": "running"}, ALL, "no other host says"),
        ("remove", {"held": "suspended"}, {"xen2": "running"}, ALL, "there is no note on xen1"),
        ("remove", {"held": "suspended"}, {"xen2": "running", "xen3": "running"}, ALL, "xen2 and xen3 say"),
        ("remove", {"held": "suspended"}, {"xen2": "running"}, PAIR, ""),
        ("remove", {"held": "suspended"}, {}, PAIR, "no other host says"),
        ("remove", {"held": "suspended"}, {"xen1": "running"}, PAIR, "no other host says"),
        ("remove", {"held": "suspended", "beside": ["running"]}, {}, ALL, ""),
        ("remove", {"held": "suspended", "beside": ["halted", "unfinished"]}, {}, ALL, "no other host"),
        # What xend.log calls received and not completed goes when any host has the guest.
        ("remove", {"held": "unfinished", "completed": False}, {"xen3": "running"}, ALL, ""),
        ("remove", {"held": "unfinished", "completed": False}, {"xen3": "suspended"}, ALL, ""),
        ("remove", {"held": "unfinished", "completed": False}, {"xen3": "unfinished"}, ALL, "no other host"),
        ("remove", {"held": "unfinished", "completed": False}, {"xen3": "halted"}, ALL, "no other host"),
        ("remove", {"held": "unfinished", "completed": False}, {"xen9": "running"}, ALL, "no other host"),
        # Else people may have made it.
        ("remove", {"held": "unfinished"}, {"xen3": "running"}, ALL, "created paused by somebody"),
        ("remove", {"held": "unfinished"}, {"xen2": "running"}, PAIR, ""),
        ("remove", {"held": "unfinished"}, {"xen2": "running", "xen3": "left"}, ALL, "xen2 and xen3 say"),
        ("remove", {"held": "unfinished", "completed": True}, {"xen2": "running"}, PAIR, "may be whole"),
        ("remove", {"held": "unfinished", "beside": ["left"], "completed": True}, {}, ALL, ""),
        # A guest goes on when the host where it was sent has never completed it.
        ("resume", {"target": "xen2"}, {"xen2": xm_fleet.NEVER}, ALL, ""),
        ("resume", {"target": "xen2"}, {"xen2": "unfinished"}, ALL, "resume: [web01]"),
        ("resume", {"target": "xen2"}, {"xen2": "absent"}, ALL, "resume: [web01]"),
        ("resume", {"target": "xen2"}, {"xen3": xm_fleet.NEVER}, ALL, "to from xen1 (xen2)"),
        ("resume", {}, {"xen2": xm_fleet.NEVER}, PAIR, "no note says where"),
        ("resume", {"target": "xen9"}, {"xen9": xm_fleet.NEVER}, ALL, "to from xen1 (xen9)"),
        # A note goes when the guest runs where it was sent, or where that one has sent it on.
        ("forget", {"target": "xen2"}, {"xen2": "running"}, ALL, ""),
        ("forget", {"target": "xen2"}, {"xen2": "left"}, ALL, "xen2 does not say itself"),
        ("forget", {"target": "xen2"}, {"xen3": "running"}, ALL, "xen2 does not say itself"),
        ("forget", {"target": "xen2"}, {"xen2": "sent on to xen3", "xen3": "running"}, ALL, ""),
        ("forget", {"target": "xen2"}, {"xen2": "sent on to xen3", "xen3": "halted"}, ALL, "xen2 does not"),
        ("forget", {"target": "xen2"}, {"xen2": "sent on to xen3", "xen3": "sent on to xen2"}, ALL, "xen2"),
        ("forget", {"target": "xen2"}, {"xen2": "sent on to xen1", "xen1": "running"}, ALL, "xen2 does not"),
        ("forget", {"target": "xen2"}, {"xen2": "sent on to xen3", "xen3": "running"}, PAIR, "xen2 does not"),
        ("forget", {"target": "xen2", "over": True}, {}, ALL, ""),
        # What has never run goes as well when its source has it whole.
        ("remove", {"held": "unfinished", "completed": False}, {"xen3": xm_fleet.KEEPS}, ALL, ""),
        ("remove", {"held": "unfinished", "completed": True}, {"xen3": xm_fleet.KEEPS}, ALL, "may be whole"),
        ("remove", {"held": "suspended", "target": "xen2"}, {"xen2": xm_fleet.KEEPS}, ALL, "no other host"),
        # A guest comes back when where it was sent it was never completed, or that has said why not.
        ("restore", NEW, {"xen2": xm_fleet.NEVER}, ALL, ""),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "unfinished"}, ALL, ""),
        ("restore", NEW, {"xen3": xm_fleet.NEVER}, ALL, "xen2 does not say what it holds"),
        ("restore", NEW, {"xen2": "unknown"}, ALL, "xen2 does not say what it holds"),
        ("restore", TOLD, {"xen2": "unknown"}, ALL, "xen2 does not say"),
        ("restore", dict(NEW, target="xen9"), {"xen9": xm_fleet.NEVER}, ALL, "xen9 does not say what it"),
        ("restore", TOLD, {"xen2": "absent"}, ALL, ""),
        ("restore", TOLD, {"xen2": "unfinished"}, ALL, ""),
        ("restore", TOLD, {"xen2": "managed"}, ALL, "`completeRestore`"),
        ("restore", NEW, {"xen2": "absent"}, ALL, "`completeRestore`"),
        ("restore", NEW, {"xen2": "unfinished"}, ALL, "`completeRestore`"),
        (
            "restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "running"}, ALL,
            "xen3 says that web01 is there, or was",
        ),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "running"}, PAIR, ""),
        (
            "restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "sent on to xen4"}, ALL,
            "xen3 says that web01 is there, or was",
        ),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "unknown"}, ALL, "xen3 does not"),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": "foreign"}, ALL, "in its place"),
        ("restore", TOLD, {"xen2": "foreign"}, ALL, "in its place"),
        (
            "restore", TOLD, {"xen2": xm_fleet.CREATED}, ALL,
            "by xend.log on xen2, one of its name or uuid was started afresh there",
        ),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": xm_fleet.CREATED}, ALL, "by xend.log on xen3"),
        ("restore", NEW, {"xen2": xm_fleet.NEVER, "xen3": xm_fleet.CREATED}, PAIR, ""),
        ("restore", dict(NEW, tried=True), {"xen2": xm_fleet.NEVER}, ALL, "may have come back"),
        ("restore", dict(NEW, recent=False), {"xen2": xm_fleet.NEVER}, ALL, "so long ago"),
    ],
)
def test_a_step_needs_the_word_of_the_host_that_would_run_the_guest(do, own, claims, declared, said):
    found = unsure(do, claims, declared, **own)
    assert said in found if said else found == ""
    assert "%" not in found and "None" not in found
    # Who is asked for his word is told how to give it.
    assert not found or ": [web01] of xend.orch.recover" in found


def doubts():
    """What is said of every step, whatever its host and the others say."""
    found = []
    words = ["running", "suspended", "absent", "foreign", "unknown"]
    words += [xm_fleet.NEVER, xm_fleet.KEEPS, xm_fleet.CREATED, xm_fleet.SENT_ON + "xen3"]
    for do in ("rename", "resume", "forget", "remove", "restore"):
        for held, beside, over in (("unfinished", [], 0), ("suspended", [], 1), ("suspended", ["left"], 0)):
            rest = itertools.product((None, "xen2"), (None, False, True), (PAIR, ALL))
            for target, completed, declared in rest:
                own = {"held": held, "beside": beside, "over": over, "target": target, "completed": completed}
                own.update(refused=over, tried=bool(beside), recent=target is None or over)
                alone = [{host: word} for host in ("xen2", "xen3") for word in words]
                for claims in [{}] + alone + [{"xen2": xm_fleet.NEVER, "xen3": word} for word in words]:
                    try:
                        found.append(unsure(do, claims, declared, **own))
                    except ValueError:
                        found.append(None)
    return found


@pytest.mark.parametrize("number", range(len(xm_fleet.DOUBTS)))
def test_every_row_of_the_doubts_decides_something(monkeypatch, number):
    before, rows = doubts(), list(xm_fleet.DOUBTS)
    assert None not in before
    del rows[number]
    monkeypatch.setattr(xm_fleet, "DOUBTS", rows)
    assert doubts() != before


@pytest.mark.parametrize("do", ["destroy", "", None])
def test_a_step_that_nobody_knows_is_not_taken_for_a_safe_one(do):
    with pytest.raises(ValueError):
        unsure(do, {"xen2": "running"}, held="suspended", target="xen2")


@pytest.mark.parametrize("word", list(COPIES) + [xm_fleet.NEVER, xm_fleet.KEEPS, xm_fleet.SENT_ON + "xen2"])
def test_what_a_host_may_say(word):
    assert xm_fleet.is_claim(word, UTILITY) is True


@pytest.mark.parametrize("word", ["runs", "", None, 1, ["running"], {}, xm_fleet.SENT_ON])
def test_what_is_no_word_for_a_copy(word):
    assert xm_fleet.is_claim(word, UTILITY) is False


def asked(found):
    return [(step["do"], step["host"], step["only_if_asked"]) for step in found["repairs"]]


def test_a_remainder_is_destroyed_for_nobody_but_the_host_that_has_the_guest():
    """One host says that it runs a guest that lies suspended elsewhere, whole."""
    held = fleet(one("suspended"), [], one("running"))
    for reports in (held, noted(dict(held), xen1=note())):
        (found,) = gather(reports)
        assert asked(found) == [("remove", "xen1", True)]
        comment = found["comment"]
        assert "takes your word, because only xen3 says" in comment and "`xm list` on xen3" in comment
        # Where to look comes before what to destroy.
        assert comment.index("`xm list` on xen3") < comment.index("`xm destroy")
        assert found["repairs"][0]["claims"]["xen3"] == "running"
    reports = noted(fleet(one("suspended"), one("running"), []), xen1=note())
    (found,) = gather(reports)
    assert asked(found) == [("remove", "xen1", False)] and "your word" not in found["comment"]
    assert found["repairs"][0]["claims"] == {"xen2": "running"}


@pytest.mark.parametrize("completed, is_asked", [(False, False), (None, True), (True, True)])
def test_what_was_never_completed_is_told_by_the_log_of_its_own_host(completed, is_asked):
    copy = dict(one("unfinished"), completed=completed)
    (found,) = gather(fleet(one("running"), copy, []))
    assert asked(found) == [("remove", "xen2", is_asked)]
    # What any other host says of it is no matter.
    (found,) = gather(fleet(dict(one("running"), completed=False), one("unfinished"), []))
    assert asked(found) == [("remove", "xen2", True)]


def test_a_guest_gets_its_name_back_whatever_waits_for_people():
    (found,) = gather(fleet(one("left"), one("unfinished"), []))
    assert asked(found) == [("remove", "xen2", True), ("rename", "xen1", False)]


def test_a_guest_does_not_go_on_beside_a_copy_that_waits_for_people():
    reports = noted(fleet(one("suspended"), one("unfinished"), []), xen1=note())
    found = gather_one(reports, GUEST)
    assert asked(found) == [("remove", "xen2", True), ("resume", "xen1", True), ("rename", "xen1", True)]
    reports["xen2"]["copies"] = [dict(one("unfinished"), completed=False)]
    found = gather_one(reports, GUEST)
    assert asked(found) == [("remove", "xen2", False), ("resume", "xen1", False), ("rename", "xen1", False)]
    assert found["repairs"][1]["claims"] == {"xen2": xm_fleet.NEVER}


@pytest.mark.parametrize("copy", sorted(set(xm_fleet.ROLES) - set(["managed"])))
@pytest.mark.parametrize("uuid", ["u1", None])
@pytest.mark.parametrize("on_target", [[], one("unfinished"), one("managed"), one("running", uuid="u2")])
def test_no_host_hides_that_a_guest_is_missing_by_saying_that_it_has_it(copy, uuid, on_target):
    reports = noted(fleet([], on_target, one(copy, uuid=uuid, domid=8)), xen1=note())
    for found in gather(reports):
        if (found["name"], found["uuid"]) == ("web01", "u1"):
            assert found["outcome"] == "unknown" and not found["lost"]
            assert "By their own word" in found["comment"].replace("; by", ". By")
            assert "Only xen3 says that web01 is there" in found["comment"]
            assert "look" in found["comment"] and "`xm list` on xen3" in found["comment"]
            assert "/kept/web01.sxp on xen1" in found["comment"]
            assert [step["only_if_asked"] for step in found["repairs"]] == [True] * len(found["repairs"])
            assert forgets(found) == [("xen1", note()["id"], True)]
            break
    else:
        pytest.fail("nobody hears of it")
    found = gather_one(reports, GUEST)
    assert found["outcome"] in ("unknown", "lost", "incomplete") and not found["settled"]


def test_a_note_that_another_host_makes_up_hides_no_loss_and_ends_no_other():
    """It says that it has sent the guest as well, later than anybody, or that it came back."""
    for made in (
        note(target="xen2", at="9999-01-01 00:00:00 UTC"),
        note(target="xen1", at="0000-01-01 00:00:00 UTC"),
        dict(note(target="xen4"), over=True),
    ):
        for copies in ([], [one("running")], [one("unfinished")], [one("running", uuid=None)]):
            reports = noted(fleet([], [], copies), xen1=note(), xen3=dict(made, id="x"))
            (found,) = [each for each in gather(reports) if each["uuid"] == "u1"]
            assert found["outcome"] in ("lost", "unknown"), (made, copies)
            assert ("xen1", note()["id"], True) in forgets(found)
            assert "kept in /kept/web01.sxp on xen1" in found["comment"] or (
                "By a note on xen1 it was sent from there to xen2" in found["comment"]
            )


def test_a_note_that_another_host_makes_up_does_no_harm_to_a_guest_that_runs():
    reports = noted(fleet(one("running"), [], []), xen3=note(target="xen2"))
    (found,) = gather(reports)
    assert found["outcome"] == "unknown" and "by the note on xen3" in found["comment"]
    assert "Only xen1 says that web01 is there" in found["comment"]
    assert [step["do"] for step in found["repairs"]] == ["forget"]


def test_where_it_was_sent_on_is_told_by_the_hosts_that_had_it():
    first, on = note(at="2012-03-04 05:00:00 UTC"), note(target="xen3")
    reports = noted(fleet([], [], one("running")), xen1=first, xen2=on)
    (found,) = gather(reports)
    assert found["outcome"] == "moved"
    assert forgets(found) == [("xen1", first["id"], False), ("xen2", on["id"], False)]
    assert found["repairs"][0]["claims"] == {"xen2": "sent on to xen3", "xen3": "running"}
    # The look after the second migration ends both, or the first note would point to a host without it.
    moved = gather_one(reports, dict(GUEST, source="xen2", target="xen3"))
    assert [made["note"] for made in moved["settled"]] == [first["id"], on["id"]]
    # That it was sent there once before says nothing of what has become of it since.
    reports = noted(fleet([], [], one("running")), xen1=note(), xen2=dict(on, at="2012-03-04 04:00:00 UTC"))
    (found,) = gather(reports)
    assert found["outcome"] == "unknown" and ("xen1", note()["id"], True) in forgets(found)


def test_of_two_copies_that_run_nobody_is_told_to_pause_one_unseen():
    """One of the two hosts may have made it up."""
    for reports in (fleet(one("running"), [], one("running")), fleet(*[one("running")] * 3)):
        (found,) = gather(reports)
        comment = found["comment"]
        assert found["outcome"] == "both" and "it runs on xen1" in comment and "it runs on xen3" in comment
        assert "from its own host alone" in comment
        assert comment.index("look with `xm list`") < comment.index("`xm pause")


def test_what_is_said_of_its_name_does_not_count():
    """xm lists it, and that has to be the name."""
    reports = noted(fleet([], [], dict(one("running"), listed="db")), xen1=note())
    (found,) = gather(reports)
    assert found["name"] == "web01" and found["outcome"] == "unknown" and "called db" in found["comment"]
    assert gather(fleet(dict(one("running"), copy="foreign")))[0]["outcome"] == "unknown"


def test_a_guest_that_is_on_neither_of_its_hosts_is_not_well_because_a_third_says_so():
    for copies in (one("running"), [one("running"), one("running", domid=8)], one("suspended")):
        for ends in (([], []), ([], one("unfinished")), (SILENT, SILENT)):
            found = gather_one(fleet(ends[0], ends[1], copies), GUEST)
            assert found["outcome"] == "unknown" and found["repairs"] == [] and not found["lost"]
            assert "Only xen3 says that web01 is there" in found["comment"]


# Hosts that do not answer

MINION_DOWN = {"problem": "its minion does not answer", "remedy": "start the minion there"}

XEND_DOWN = {"copies": None, "sent": [], "problem": "no xend", "remedy": "start xend there", "xend": False}


@pytest.mark.parametrize("said", [MINION_DOWN, XEND_DOWN])
@pytest.mark.parametrize("held", [one("running"), one("receiving"), one("unfinished"), []])
def test_who_is_told_that_a_host_does_not_answer_is_told_what_to_start(said, held):
    reports = dict(fleet([], held), xen1=said)
    found = gather_one(reports, GUEST)
    assert found["outcome"] in ("unknown", "going_on") and not found["lost"] and found["repairs"] == []
    assert said["problem"] in found["comment"] and found["comment"].count(said["remedy"]) == 1
    assert "xend.orch.recover" in found["comment"].partition(said["remedy"])[2]
    unheard = xm_fleet.unheard(reports)
    assert unheard == {"who": "xen1 (%s)" % said["problem"], "do": said["remedy"]}


def test_of_two_hosts_that_do_not_answer_both_are_to_be_mended():
    reports = {"xen1": XEND_DOWN, "xen2": dict(MINION_DOWN, remedy="start the other")}
    found = gather_one(reports, GUEST)
    assert "start xend there. start the other. Then" in found["comment"]
    assert xm_fleet.unheard(reports)["do"] == "start xend there. start the other"
    assert gather(reports) == []


def test_a_host_that_nobody_has_declared_may_be_mistyped():
    reports = {"xen1": {"domain": None, "declared": ["xen1", "xen2"]}, "xen9": MINION_DOWN}
    unheard = xm_fleet.unheard(reports)
    assert "xen9 is none of the hosts" in unheard["do"] and "(xen1, xen2)" in unheard["do"]
    assert MINION_DOWN["remedy"] not in unheard["do"]


def test_when_all_have_answered_nothing_is_said_of_that():
    for reports in (fleet([], []), {"xen1": {"domain": None}, "xen2": {"domain": {"name": "web01"}}}):
        assert xm_fleet.unheard(reports) == {"who": "", "do": ""}
    assert xm_fleet.unheard({"xen1": "ERROR"}) == {"who": "xen1 (ERROR)", "do": ""}


# Guests that were sent


def forgets(found):
    return [
        (step["host"], step["note"], step["only_if_asked"])
        for step in found["repairs"]
        if step["do"] == "forget"
    ]


@pytest.mark.parametrize(
    "held, outcome, asked",
    [
        # Nobody had seen it arrive, and now somebody has.
        ([[], one("running")], "moved", False),
        ([one("managed"), one("running")], "moved", False),
        # A host has it that it was not sent to, by its own word alone.
        ([[], [], one("running")], "unknown", True),
        ([[], [], one("halted")], "unknown", True),
        ([[], [], one("suspended")], "unknown", True),
        ([[], [], one("receiving")], "unknown", True),
        ([[], [], one("running", uuid=None)], "unknown", True),
        ([[], SILENT, one("running")], "unknown", None),
        # It is on no host.
        ([[], []], "lost", True),
        ([[], [], one("running", name="db", uuid="u2")], "lost", True),
        ([[], one("running", uuid="u2")], "lost", True),
        ([one("managed"), []], "lost", True),
        ([[], [], one("managed")], "lost", True),
        ([[], one("unfinished")], "incomplete", True),
        ([[]], "unknown", True),
        # Another guest, or it under another name.
        ([[], one("running", name="web02")], "unknown", True),
        # It may yet be seen.
        ([[], [], SILENT], "unknown", None),
        ([[], SILENT], "unknown", None),
        # First that is mended.
        ([one("left"), []], "leftover", None),
        ([one("running"), one("unfinished")], "leftover", None),
        ([one("suspended"), []], "leftover", None),
        ([one("sending"), one("receiving")], "going_on", None),
        ([one("running"), one("running")], "both", None),
        ([[], one("unknown")], "unknown", None),
        ([[], one("unknown", uuid=None)], "unknown", None),
    ],
)
def test_what_becomes_of_a_note(held, outcome, asked):
    findings = gather(noted(fleet(*held), xen1=note()))
    (found,) = [each for each in findings if each["uuid"] in ("u1", None) and each["name"] != "db"]
    assert found["outcome"] == outcome
    assert forgets(found) == ([] if asked is None else [("xen1", note()["id"], asked)])
    # First the guest, then the note.
    assert asked is None or [step["do"] for step in found["repairs"]][-1] == "forget"
    assert "web01" in found["comment"] and "%" not in found["comment"]
    assert found["lost"] == (outcome in ("lost", "incomplete"))


@pytest.mark.parametrize("copies", [one("running"), one("halted"), [one("managed"), one("running")]])
def test_a_guest_that_is_where_it_was_sent_from_may_be_sent_yet(copies):
    """xend tries for long to reach a host that is silent, whatever has become of xm."""
    assert gather(noted(fleet(copies, []), xen1=note())) == []


def test_a_guest_that_runs_where_it_was_sent_from_ends_its_note_once_that_is_over():
    """It was moved back, or was never sent; only its host can tell that xend is not about to send it."""
    over = dict(note(), over=True)
    for held in ([one("running"), []], [one("running"), SILENT], [[one("running")], one("managed")]):
        reports = noted(fleet(*held), xen1=over)
        (found,) = gather(reports)
        assert (found["outcome"], found["lost"], found["moved"]) == ("unharmed", False, False)
        assert forgets(found) == [("xen1", note()["id"], False)]
        said = "That has ended, and it runs on xen1 (domain 7, state -b----), again or still"
        assert said in found["comment"]
    # Anything else than a whole guest, and anything but a yes, leaves it.
    for held in ([one("halted"), []], [one("running", uuid=None), []]):
        assert gather(noted(fleet(*held), xen1=over)) == []
    for unsure in (False, None, "yes"):
        assert gather(noted(fleet(one("running"), []), xen1=dict(note(), over=unsure))) == []
    (found,) = gather(noted(fleet(one("left"), []), xen1=over))
    assert forgets(found) == []


def test_a_last_look_ends_an_older_note_where_the_guest_runs():
    back = dict(GUEST, source="xen2", target="xen1")
    older, newer = dict(note(), over=True), note(target="xen1", at="2012-03-04 06:00:00 UTC")
    found = gather_one(noted(fleet(one("running"), []), xen1=older, xen2=newer), back)
    assert sorted(each["host"] for each in found["settled"]) == ["xen1", "xen2"]
    found = gather_one(noted(fleet(one("running"), []), xen1=older), GUEST)
    assert [each["note"] for each in found["settled"]] == [older["id"]]
    # On its way again, or not known to have ended.
    for held, made in (([one("running"), []], note()), ([one("sending"), one("receiving")], older)):
        assert gather_one(noted(fleet(*held), xen1=made), GUEST)["settled"] == []


def test_a_guest_that_has_stopped_is_not_said_to_have_moved():
    assert gather(noted(fleet([], one("halted")), xen1=note())) == []


def test_the_report_of_a_guest_that_is_missing_says_all_that_is_needed():
    (found,) = gather(noted(fleet([], []), xen1=note()))
    for text in (
        "web01 was sent from xen1 to xen2 at 2012-03-04 05:06:07 UTC. Unless it was shut down since",
        "web01 is LOST: there is no copy on xen1, and there is no copy on xen2",
        "xend.log on xen2",
        "(96 MiB) is kept in /kept/web01.sxp on xen1",
        "remove_lost: [web01]",
    ):
        assert text in found["comment"]
    # It may just be starting.
    (found,) = gather(noted(fleet([], one("unfinished")), xen1=note()))
    for text in ("web01 was sent from xen1", "rebooted, it runs in a minute", "/kept/web01.sxp on xen1"):
        assert text in found["comment"]
    (found,) = gather(noted(fleet(one("unfinished"), []), xen1=note()))
    assert "was sent" not in found["comment"]
    (found,) = gather(noted(fleet([], [], SILENT, SILENT), xen1=note()))
    assert "was sent from xen1 to xen2" in found["comment"] and "LOST" not in found["comment"]
    assert "xen3, xen4" in found["comment"] and "start it anywhere before" in found["comment"]
    assert found["hosts"] == {"source": "xen1", "target": None}
    # Where xend knows it, somebody may have shut it down.
    (found,) = gather(noted(fleet([], [], one("managed")), xen1=note()))
    assert "`xm start web01` on xen3" in found["comment"]
    # A target that nobody asks says nothing for ever; that, too, can be ended.
    (found,) = gather(noted(fleet([], []), xen1=note(target="10.0.0.9")))
    assert "10.0.0.9" in found["comment"] and "remove_lost: [web01]" in found["comment"]


@pytest.mark.parametrize(
    "held",
    [
        [[], one("running", name="web02")],
        [one("running", name="web02"), []],
        [[], one("halted", name="web02")],
        [[], [], one("running", name="web02")],
    ],
)
def test_a_guest_with_the_same_uuid_is_no_proof_that_another_one_is_well(held):
    (found,) = gather(noted(fleet(*held), xen1=note()))
    assert found["name"] == "web01" and "called web02" in found["comment"] and not found["moved"]
    assert "LOST" in found["comment"] and "remove_lost: [web01]" in found["comment"]
    assert forgets(found) == [("xen1", note()["id"], True)]


def test_each_of_two_guests_with_one_uuid_has_its_own_note():
    mine, other = note(), note("web02", target="xen3")
    reports = noted(fleet([], [], one("running", name="web02")), xen1=mine, xen2=other)
    found = gather(reports)
    assert [(each["name"], each["outcome"]) for each in found] == [("web01", "unknown"), ("web02", "moved")]
    assert forgets(found[0]) == [("xen1", mine["id"], True)]
    assert forgets(found[1]) == [("xen2", other["id"], False)]
    (found,) = gather(noted(fleet([], one("unfinished", name="web02")), xen1=other))
    assert "remove_lost: [web02]" in found["comment"]
    # The one that is asked for has not moved because the other one runs there.
    found = gather_one(noted(fleet([], one("running", name="web02")), xen1=mine), GUEST)
    assert found["settled"] == []


@pytest.mark.parametrize("ran", [True, False])
def test_who_is_told_to_start_a_guest_hears_of_a_namesake(ran):
    reports = noted(fleet([], [], one("running", uuid="u2")), xen1=note())
    for found in gather(reports) + [gather_one(reports, dict(GUEST, ran=ran))]:
        assert found["lost"] and "of that name with another uuid is on xen3" in found["comment"]


def test_of_several_notes_the_last_one_is_told_and_all_go():
    """An earlier migration had moved it to xen3, and nobody lived to see that either."""
    older, newer = note(target="xen3", at="2012-03-04 05:00:00 UTC"), note()
    (found,) = gather(noted(fleet([], [], []), xen1=older, xen3=newer))
    assert "sent from xen3 to xen2 at 2012-03-04 05:06:07" in found["comment"]
    assert forgets(found) == [("xen1", older["id"], True), ("xen3", newer["id"], True)]
    reports = noted(fleet([], one("running"), []), xen1=older, xen3=newer)
    assert len(forgets(gather(reports)[0])) == 2
    # It has not left xen3, so one of them is settled.
    (found,) = gather(noted(fleet([], [], one("running")), xen1=older, xen3=newer))
    assert found["outcome"] == "moved" and forgets(found) == [("xen1", older["id"], False)]
    assert "from xen1 to xen3" in found["comment"]


def test_where_one_guest_is_that_was_sent():
    reports = noted(fleet([], []), xen1=note(), xen2=note("db", "u2", "xen1"))
    for ran in (True, False):
        for uuid in ("u1", None):
            found = gather_one(reports, dict(GUEST, uuid=uuid, ran=ran))
            assert (found["outcome"], found["lost"], found["settled"]) == ("lost", True, [])
            assert "/kept/web01.sxp on xen1" in found["comment"]
            assert ("Unless it was shut down since" in found["comment"]) is not ran
    # A note on another guest of that name says nothing of this one.
    found = gather_one(noted(fleet([], []), xen1=note(uuid="u2")), dict(GUEST, ran=False))
    assert found["outcome"] == "unknown"
    # Seen to have moved, it need not be kept in mind any longer.
    for uuid in ("u1", None):
        found = gather_one(noted(fleet([], one("running")), xen1=note()), dict(GUEST, uuid=uuid))
        claims = {"xen2": "running"}
        assert found["settled"] == [
            {"host": "xen1", "uuid": "u1", "note": note()["id"], "claims": claims}
        ]
    older = note(uuid="u2")
    reports = noted(fleet([], one("running", uuid="u2")), xen1=[note(), older], xen2=note(uuid="u2"))
    found = gather_one(reports, dict(GUEST, uuid=None))
    assert found["settled"] == [
        {"host": "xen1", "uuid": "u2", "note": older["id"], "claims": {"xen2": "running"}}
    ]
    for held in ([one("running"), []], [one("left"), []], [[], one("unfinished")], [[], SILENT]):
        assert gather_one(noted(fleet(*held), xen1=note()), GUEST)["settled"] == []


@pytest.mark.parametrize(
    "held, target",
    [
        ([[], [], SILENT], "xen3"),
        ([[], [], SILENT], "xen2"),
        ([[], []], "xen3"),
        ([[], one("unfinished")], "xen2"),
    ],
)
def test_an_old_note_alone_makes_no_lost_guest(held, target):
    """It may run where nobody could look."""
    reports = noted(fleet(*held), xen1=note(target=target))
    found = gather_one(reports, dict(GUEST, uuid=None, ran=False))
    assert found["outcome"] == "unknown" and not found["lost"] and "LOST" not in found["comment"]
    assert "web01 was sent from xen1 to %s" % target in found["comment"]


def test_nothing_is_called_lost_at_first_sight():
    lost = noted(fleet([], []), xen1=[note(), note("db", "u2")])
    db_runs = noted(fleet([], one("running", "db", "u2")), xen1=[note(), note("db", "u2")])
    before = gather(db_runs)
    assert [(each["name"], each["lost"]) for each in before] == [("db", False), ("web01", True)]
    found = xm_fleet.confirmed(gather(lost), before)
    assert [(each["name"], each["lost"]) for each in found] == [("db", False), ("web01", True)]
    assert found[0]["outcome"] == "unknown" and found[0]["repairs"] == []
    assert "db" in found[0]["comment"] and "ask again" in found[0]["comment"]
    assert found[1] == gather(lost)[1]
    # Two of one name are told apart.
    lost = noted(fleet([], []), xen1=[note(), note(uuid="u2")])
    one_runs = noted(fleet([], one("running")), xen1=[note(), note(uuid="u2")])
    found = xm_fleet.confirmed(gather(lost), gather(one_runs))
    assert [(each["uuid"], each["lost"]) for each in found] == [("u1", False), ("u2", True)]


def test_nobody_is_forgotten_unseen_and_nobody_who_is_missing_is_left_out():
    chance = random.Random(11)
    missing = forgotten = 0
    for _ in range(3000):
        reports = random_fleet(chance)
        answering = [host for host in sorted(reports) if reports[host] is not SILENT]
        for host in answering:
            name, uuid = chance.choice(["web01", "db"]), chance.choice(["u1", "u2"])
            there = [
                one
                for one in answering
                if (name, uuid, "running")
                in [(each["name"], each["uuid"], each["copy"]) for each in reports[one]["copies"]]
            ]
            made = [note(name, uuid, chance.choice(there or ["xen%d" % chance.randint(1, 4)]))]
            reports = noted(reports, **{host: made if chance.random() < 0.5 else []})
        copies = [dict(each, host=host) for host in answering for each in reports[host]["copies"]]
        copies = [each for each in copies if each["copy"] != "managed"]
        findings = gather(reports)
        assert findings == gather(shuffled(reports, chance))
        for host in answering:
            for made in reports[host]["sent"]:
                guest = made["name"], made["uuid"]
                if not [each for each in copies if (each["name"], each["uuid"] or guest[1]) == guest]:
                    missing += 1
                    (found,) = [each for each in findings if (each["name"], each["uuid"]) == guest]
                    assert not found["moved"] and found["outcome"] in ("lost", "unknown")
                    assert found["lost"] <= (len(answering) == len(reports))
        for found in findings:
            for host, made, asked in forgets(found):
                assert made in [each["id"] for each in reports[host]["sent"]]
                if not asked:
                    forgotten += 1
                    (seen,) = [each for each in copies if each["uuid"] == found["uuid"]]
                    assert seen["copy"] == "running" and seen["host"] != host
                    assert seen["name"] == found["name"] and found["moved"]
    assert missing > 500 and forgotten > 10


@pytest.mark.parametrize(
    "held, outcome, repairs",
    [
        ([[], one("running")], "moved", []),
        ([one("managed"), one("running")], "moved", []),
        ([one("running"), []], "unharmed", []),
        ([one("running"), one("running", uuid="u2")], "unharmed", []),
        ([one("left"), []], "leftover", [("rename", "migrating-web01", "xen1")]),
        ([[], []], "lost", []),
        ([[], SILENT], "unknown", []),
        ([[]], "unknown", []),
        ([[], one("unfinished")], "incomplete", [("remove", "web01", "xen2")]),
        ([one("suspended"), [], SILENT], "leftover", []),
        # Somebody has moved it on.
        ([[], [], one("running")], "unknown", []),
        ([[one("running"), one("unfinished", domid=13)], []], "unknown", []),
    ],
)
def test_where_one_guest_is(held, outcome, repairs):
    found = gather_one(fleet(*held), GUEST)
    assert found["outcome"] == outcome
    assert steps(found) == repairs
    assert found["hosts"] == {"source": "xen1", "target": "xen2"}
    assert (found["name"], found["uuid"]) == ("web01", "u1")


@pytest.mark.parametrize("held", [([], []), (one("managed"), []), ([], one("unfinished"))])
def test_what_was_not_seen_to_run_is_not_called_lost(held):
    """Its source may have been mistyped, or somebody has moved it a moment ago."""
    found = gather_one(fleet(*held), dict(GUEST, ran=False))
    assert found["outcome"] == "unknown" and not found["lost"] and found["repairs"] == []
    assert "LOST" not in found["comment"] and "xen1" in found["comment"]


def test_what_was_suspended_before_is_not_resumed_unasked():
    """It may have been started elsewhere since."""
    found = gather_one(fleet(one("suspended"), []), dict(GUEST, ran=False))
    assert [step["only_if_asked"] for step in found["repairs"]] == [True, True]
    # Nor is anything done when it is elsewhere, or when a host that may have it does not answer.
    for other in (one("running", uuid="u2"), one("running"), SILENT):
        found = gather_one(fleet(one("suspended"), [], other), GUEST)
        assert found["repairs"] == [], other


def test_a_namesake_is_not_the_guest_although_its_uuid_is_not_known_beforehand():
    reports = fleet(one("suspended"), one("running", uuid="u2"))
    found = gather_one(reports, dict(GUEST, uuid=None, ran=False))
    assert found["repairs"] == [] and "is another one" in found["comment"]


def test_copies_with_different_names_are_not_repaired():
    """A guest that is being started looks as if it was never completed."""
    reports = fleet(one("running"), one("unfinished", name="web02"))
    (found,) = gather(reports)
    assert found["repairs"] == [] and "different names" in found["comment"]


def test_where_one_guest_is_is_said_when_it_is_elsewhere():
    found = gather_one(fleet([], [], one("running")), GUEST)
    assert "it runs on xen3" in found["comment"] and not found["lost"]


def test_without_its_uuid_a_guest_is_known_by_its_name():
    found = gather_one(fleet([], one("running", uuid="u9")), dict(GUEST, uuid=None))
    assert found["moved"]


def test_who_waits_for_a_guest_hears_how_long_its_own_host_waits():
    reports = fleet([], one("arriving"))
    reports["xen2"]["devices_s"] = 250
    assert "up to 250 s" in gather_one(reports, GUEST)["comment"]


@pytest.mark.parametrize("copy", ["running", "halted"])
def test_one_guest_of_which_only_a_namesake_of_its_uuid_is_left_has_not_moved(copy):
    """It was sent, and by its uuid alone it looks as if it were there under another name."""
    reports = noted(fleet([], [], one(copy, name="db")), xen1=note())
    found = gather_one(reports, dict(GUEST, uuid=None, ran=False))
    assert (found["outcome"], found["moved"], found["settled"]) == ("unknown", False, [])
    assert "is called db" in found["comment"] and "LOST" in found["comment"]
