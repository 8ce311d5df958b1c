"""Hosts that lie, against the real orchestrations by the conductor: only what is theirs can be harmed.

xen1 and xen2 are honest in what recover finds, and xen3 says what it wants; in a migration one of the two
lies.
"""

import json
import uuid

import pytest

from tests.harness.leftovers import Left, note, running, suspended
from tests.harness.liars import Replay, Witness, blemishes, copies, faulty, forged, sentences
from tests.lab import lies, salt_config
from tests.lab.fleet import HostSpec

# What a host may say that it holds, see HOLDS in _utils/xm_copies.py.
COPIES = (
    "absent arriving foreign halted left managed migrating receiving running sending suspended unfinished "
    "unknown"
).split()

# An orchestration that waits for nothing but a host that says nonsense; a busy machine takes its time.
LIMIT_S = 600


@pytest.fixture(scope="module")
def conductor(new_conductor):
    return new_conductor(*[HostSpec(name) for name in ("xen1", "xen2", "xen3")])


@pytest.fixture
def canary(tmp_path):
    """A file that every command makes which a liar wants to have run."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture(autouse=True)
def whole(conductor):
    """Every test leaves honest hosts, without guests, all of them declared."""
    yield
    for host in conductor.fleet:
        lies.be_honest(host)
        host.clear()
        for path in ("/etc/xen/web01", "/etc/xen/auto/web01"):
            host.path(path).unlink(missing_ok=True)
        for path in [*salt_config.notes(host), *salt_config.reservations(host)]:
            path.unlink()
    conductor.set_pillar(salt_config.pillar(conductor.fleet))


def recover(conductor, test=False, **options):
    return conductor.orchestrate("xend.orch.recover", {"xend": {"recover": options}}, test)


@pytest.fixture
def left(conductor):
    return Left(conductor.fleet["xen1"], conductor.fleet["xen2"])


ABOUT_GUESTS = {
    "all run here": lambda left: copies(*left.claims("running", "r-----")),
    "all run here, renamed": lambda left: copies(*left.claims("left", "r-----", "migrating-%s")),
    "all are suspended here": lambda left: copies(*left.claims("suspended", "---s--", "migrating-%s")),
    "all are paused here": lambda left: copies(*left.claims("unfinished", "--p---")),
    "all are on their way": lambda left: copies(*left.claims("sending", "------", "migrating-%s")),
    "all run here, and were sent from here": lambda left: copies(
        *left.claims("running", "r-----"), sent=left.notes("xen1") + left.notes("xen2")
    ),
    "all were sent from here to the one, and to the other": lambda left: copies(
        sent=left.notes("xen2", over=False) + left.notes("xen3") + left.notes("xen1", "2000-01-01")
    ),
    "all run here, without uuids": lambda left: copies(
        *[dict(one, uuid=None) for one in left.claims("running", "r-----")]
    ),
    "one uuid for all": lambda left: copies(*left.claims("running", "r-----", uuids=left.whole.uuid)),
    "two that read alike": lambda left: copies(
        sent=[dict(left.notes("xen2")[0], name="twin", uuid=other) for other in ("a\x1b", "a\\x1b")]
    ),
    "a name that ends like another's": lambda left: copies(
        *[
            dict(one, name=name, listed=name, uuid=str(uuid.uuid4()))
            for one in left.claims("halted", "---s--")[:1]
            for name in ("whole", "whole (%s)" % left.whole.uuid, "gone: lost", "w" * 900, "w" * 901)
        ]
    ),
    "a thousand": lambda left: copies(
        *left.claims("running", "r-----"),
        *[
            dict(one, name="g%d" % number, listed="g%d" % number, uuid=str(uuid.uuid4()))
            for one in left.claims("suspended", "---s--")[:1]
            for number in range(1000)
        ],
    ),
    "more than there can be": lambda left: copies(*left.claims("running", "r-----") * 800),
    "forged findings": lambda left: {**copies(), **forged(left)},
}
# Whatever it says that it holds of them, in whatever state: these are sentences of their own.
ABOUT_GUESTS.update(
    (
        "all are %s here" % word,
        lambda left, word=word: copies(
            *left.claims(word, "\x1b[31m\u202e"),
            sent=[dict(made, at="\x1b[2J", target="\x07", what="\r\n") for made in left.notes("xen2")],
        ),
    )
    for word in COPIES
)
OF_NO_FORM = {
    "text": {"xm.copies": {"answer": "ERROR: \x1b[2J{{ %d * %d }}" % lies.FACTORS}},
    "too much": {"xm.copies": {"pad": 3_000_000}},
    "late, and a copy without a word": {
        "xm.copies": {"sleep": 3, "change": [[["copies"], [{"name": "gone"}]]]}
    },
}


# What there is to be done without anybody's word: what is left of a guest that has arrived may go, and the
# note on it.
MAY_BE_DONE = {("xen1", "remove", "migrating-arrived"), ("xen1", "forget", "arrived")}


def given(arguments):
    """What a plan gives a state, of which an SLS lists the arguments."""
    return {key: value for one in arguments for key, value in one.items()}


def assert_nothing_follows(plan, left, liar):
    """From what one host says: no step that harms a guest of another, no loss that is not told."""
    assert plan["stop"] is None, plan
    ids = [one["id"] for one in plan["repairs"] + plan["says"]]
    assert len(ids) == len(set(ids))
    for repair in plan["repairs"]:
        step = (repair["host"], given(repair["step"])["do"], given(repair["step"])["listed"])
        assert repair["host"] == liar or step in MAY_BE_DONE, repair
    told = {said["id"]: said for said in plan["says"]}
    for name in ("gone", "whole"):
        mine = [said for said_id, said in told.items() if said_id.startswith(name)]
        assert mine and not [said for said in mine if said["good"]], told
    for said in plan["says"]:
        assert faulty(said["id"]) + faulty(said["text"]) == [], said
    return "\n".join(said["text"] for said in plan["says"])


def assert_named(text, host, path):
    """Who reads this knows whose answer to which question is wrong, and where."""
    assert "%s: " % host in text and "not of the agreed form" in text, text
    fields = [step for step in path if isinstance(step, str)]
    # Where a part lacks what it must have, that is named.
    assert not fields or fields[-1] in text or fields[0] in text, (path, text)


# Of these no answer is what it should be, whatever is asked.
GROSS = ("nested", "list of all", "long", "endless", "no number")


@pytest.fixture
def third(conductor, left):
    """xen3 has something to tell, too."""
    xen3 = conductor.fleet["xen3"]
    guest = suspended(xen3, "third")
    note(xen3, "third", guest.uuid, "xen2")
    return xen3


def test_every_lie_about_every_field_of_what_hosts_hold(conductor, left, third, canary):
    """Thousands, so the minions are asked once, and the runner many times."""
    replay = Replay(conductor)
    honest = replay.run("xend.recovery", {})
    assert_nothing_follows(honest, left, None)
    told = number = 0
    for host in ("xen1", "xen2", "xen3"):
        question = (host, "xm.copies")
        for path, kind, value in lies.table(replay.answers[question], canary):
            number += 1
            plan = replay.run("xend.recovery", {}, {question: {"change": [[path, value]]}})
            if host == "xen3":
                text = assert_nothing_follows(plan, left, host)
            else:
                # It may hide what it holds itself, or is the only one to tell of.
                assert plan["stop"] is None
                for repair in plan["repairs"]:
                    step = (repair["host"], given(repair["step"])["do"], given(repair["step"])["listed"])
                    assert repair["host"] == host or step in MAY_BE_DONE, (path, kind, repair)
                text = "\n".join(said["text"] for said in plan["says"])
                assert [bad for said in plan["says"] for bad in faulty(said["id"] + said["text"])] == []
            if "not of the agreed form" in text:
                assert_named(text, host, path)
                told += 1
            elif kind in GROSS and path:
                # Nobody reads that field.
                assert json.dumps(plan) == json.dumps(honest), (host, path, kind)
    assert number > 1000 and told > number / 3
    for lie in ABOUT_GUESTS.values():
        answers = {("xen3", question): said for question, said in lie(left).items()}
        # Names given for one run do not make a guest go on that runs elsewhere.
        plan = replay.run("xend.recovery", {"resume": ["arrived"]}, answers)
        assert_nothing_follows(plan, left, "xen3")


def assert_nobody_is_harmed(left, witness, run):
    """Of the guests of honest hosts: not destroyed, resumed or doubled, and no loss hidden."""
    # What is left of one that has arrived may go.
    assert witness.happened("destroyed", "resumed", "unpaused") in (
        [],
        [("xen1", "destroyed", "migrating-arrived")],
    )
    assert left.xen2.guests()["arrived"].alive and left.xen2.guests()["well"].alive
    assert "fresh" in left.xen2.guests() and "migrating-whole" in left.xen1.guests()
    noted = [path.name for path in salt_config.notes(left.xen1)]
    assert [name for name in noted if name.startswith("gone.")] and len(noted) >= 2
    text = "\n".join(sentences(run, witness.liar))
    assert not run.ok and "gone" in text and "whole" in text, text
    assert run.seconds < LIMIT_S
    assert blemishes(run, witness.liar) == []
    assert witness.written() == []


@pytest.mark.parametrize(
    "lie", ["all run here", "all run here, and were sent from here", "two that read alike", "a thousand"]
)
def test_a_third_host_s_word_about_guests_of_others(conductor, left, lie, canary):
    witness = Witness(conductor.fleet, canary, "xen3")
    lies.tell_all(conductor.fleet["xen3"], ABOUT_GUESTS[lie](left))
    # Names given for one run do not make a guest go on that runs elsewhere.
    run = recover(conductor, resume=["arrived"])
    assert_nobody_is_harmed(left, witness, run)


@pytest.mark.parametrize("lie", OF_NO_FORM)
def test_a_third_host_that_does_not_answer_what_it_was_asked(conductor, left, lie, canary):
    """It does not say; what is known of the others is said all the same, and it is named."""
    witness = Witness(conductor.fleet, canary, "xen3")
    lies.tell_all(conductor.fleet["xen3"], OF_NO_FORM[lie])
    run = recover(conductor)
    assert_nobody_is_harmed(left, witness, run)
    assert [text for text in sentences(run, "xen3") if "xen3" in text and "not known" in text]


@pytest.mark.parametrize("test", [True, False])
def test_a_minion_that_nobody_has_declared_is_not_even_asked(conductor, left, test, canary):
    """It has the grain of a Xen host, answers everything, and first."""
    pillar = salt_config.pillar(conductor.fleet)
    del pillar["xend"]["relocation"]["hosts"]["xen3"]
    conductor.set_pillar(pillar)
    witness = Witness(conductor.fleet, canary, "xen3")
    before = len(conductor.questions("xen3"))
    said = {**ABOUT_GUESTS["all run here"](left), **forged(left)}
    lies.tell_all(conductor.fleet["xen3"], said)
    run = recover(conductor, test=test)
    assert_nobody_is_harmed(left, witness, run)
    assert conductor.questions("xen3")[before:] == []
    # Nor does it make the word of the two worth less.
    assert "xen3" not in "\n".join(sentences(run, "xen3"))


# Migrations of a guest, one end of which lies.

GUEST_FILE = 'name = "web01"\nmemory = 96\nkernel = "/boot/vmlinuz"\n'
OPTIONS = {"domain": "web01", "source": "xen1", "target": "xen2"}


@pytest.fixture
def guest(conductor):
    """web01 on xen1, with a disk, a card, a screen, and a file that follows it; db01 runs on xen2."""
    pillar = salt_config.pillar(conductor.fleet)
    pillar["xend"]["follow"] = True
    conductor.set_pillar(pillar)
    xen1, xen2, _ = conductor.fleet
    for host in conductor.fleet:
        host.path("/etc/xen/auto").mkdir(exist_ok=True)
    xen1.path("/etc/xen/web01").write_text(GUEST_FILE)
    xen1.path("/etc/xen/auto/web01").symlink_to("../web01")
    running(xen2, "db01")
    return running(
        xen1,
        "web01",
        disks=["file:/srv/xen/web01.img,xvda,w"],
        vifs=["bridge=xenbr0"],
        vfb={"vncunused": "1"},
    )


def migrate(conductor, test=False, **options):
    wanted = {"migrate": dict(OPTIONS, settle=3, **options)}
    return conductor.orchestrate("xend.orch.migrate", {"xend": wanted}, test)


# What goes with the guest, when it goes.
FOLLOWS = {
    "%s: etc/xen/%s" % (host, name) for host in ("xen1", "xen2") for name in ("web01", "auto/web01")
}


def assert_only_that_guest_moved(conductor, guest, witness, run):
    """Or not even that; nothing else was done to anybody, and all is said in words for people."""
    xen1, xen2, _ = conductor.fleet
    assert witness.crimes(guest.uuid) == []
    holders = [host for host in conductor.fleet if "web01" in host.guests()]
    alive = [host for host in holders if host.guests()["web01"].alive]
    assert alive == holders and len(alive) == 1, run.said()
    assert xen2.guests()["db01"].alive
    assert set(witness.written()) <= (FOLLOWS if alive == [xen2] else set())
    if alive == [xen1]:
        assert xen1.path("/etc/xen/web01").read_text() == GUEST_FILE
    assert not run.ok or alive == [xen2]
    assert blemishes(run, witness.liar) == []
    assert run.seconds < LIMIT_S


def accepted(replay, canary, plan, question):
    """{path: [value]} of the lies about an answer with which the runner makes a plan all the same."""
    found, named = {}, 0
    for path, kind, value in lies.table(replay.answers[question], canary):
        said = replay.run("xend.migration", OPTIONS, {question: {"change": [[path, value]]}})
        if said["stop"]:
            text = said["stop"]["id"] + "\n" + said["stop"]["text"]
            assert faulty(text) == [], (question, path, kind)
            assert question[0] in said["stop"]["text"], (question, path, kind, text)
            if "not of the agreed form" in text:
                assert_named(text.replace(question[0] + " (", question[0] + ": "), question[0], path)
            named += 1
            continue
        # The hosts that were asked for, and no other; the rest is told to the target as what it is.
        assert (said["source"], said["target"], said["domain"]) == ("xen1", "xen2", "web01")
        assert said["look"]["domain"] == "web01" and set(said) == set(plan), (question, path, kind)
        for sls, key in (("leave", "name"), ("send", "name"), ("send", "target"), ("arrive", "source")):
            assert given(said["steps"][sls])[key] == given(plan["steps"][sls])[key]
        found.setdefault(json.dumps(path), []).append(value)
    return found, named


def bundle(found, turn):
    """One lie about all fields at once, parts of a field left alone: first what a terminal obeys, wherever
    that is taken, then something else for each."""
    change = []
    for place, (path, values) in enumerate(sorted(found.items())):
        steers = [value for value in values if turn == 0 and "\x1b" in str(value)]
        if not isinstance(values[0], dict | list):
            change.append([json.loads(path), (steers or values[(place + turn) % len(values) :])[0]])
    return {"change": change}


def test_every_lie_about_every_field_of_what_the_ends_of_a_migration_say(conductor, guest, canary):
    """Most are named; what is of the agreed form goes on to the other end, which must bear it."""
    replay = Replay(conductor)
    plan = replay.run("xend.migration", OPTIONS)
    assert plan["stop"] is None and plan["follows"], plan
    questions = [key for key in replay.answers if key[1] != "xm.unmark_disks"]
    assert {asked for _, asked in questions} >= {"xm.report", "xen_guest.sealed"}
    assert replay.answers["xen1", "xm.report"]["marked"]["token"]
    all_found, number = {}, 0
    for question in questions:
        found, named = accepted(replay, canary, plan, question)
        all_found.setdefault(question[0], {})[question[1]] = found
        number += named
    assert number > 2000
    for host, found in all_found.items():
        for turn in range(2):
            witness = Witness(conductor.fleet, canary, host)
            said = {asked: bundle(lied, turn * 3) for asked, lied in found.items()}
            lies.tell_all(conductor.fleet[host], said)
            run = migrate(conductor, test=True)
            lies.be_honest(conductor.fleet[host])
            # A marker next to a disk is removed by whoever has put it there.
            assert witness.happened() == [] and (host == "xen1" or witness.written() == [])
            assert blemishes(run, host) == []
            assert run.seconds < LIMIT_S


@pytest.mark.parametrize("marked", [None, {"problem": "its storage keeps silent"}])
def test_disks_that_the_source_has_not_marked_are_not_proved(conductor, guest, canary, marked):
    """Only who knows better lets the guest go, and that suffices."""
    about = {"xm.report": {"change": [[["marked"], marked]]}}
    refused = "could not be told (xen1: %s)" % (marked or {"problem": "it has not marked them"})["problem"]
    for options, is_good in (({}, False), ({"accept": ["storage"]}, True)):
        lies.tell_all(conductor.fleet["xen1"], about)
        run = migrate(conductor, test=True, **options)
        lies.be_honest(conductor.fleet["xen1"])
        said = "\n".join(run.said())
        assert refused in said and "marked: " not in said
        assert ("xen2 can take web01" not in run.failed()) is is_good
        assert "web01 can leave xen1" not in run.failed()


@pytest.mark.parametrize(
    "answer, problem",
    [
        (None, "its minion does not answer"),
        ("it is gone", "it is gone"),
        ([], "its answer to xen_guest.sealed is not of the agreed form"),
    ],
)
def test_a_source_that_says_nothing_of_the_file_that_follows(conductor, guest, canary, answer, problem):
    """The guest does not leave without it: what stays there would start it a second time."""
    lies.tell_all(conductor.fleet["xen1"], {"xen_guest.sealed": {"answer": answer}})
    run = migrate(conductor)
    assert "xen2 can take web01" in run.failed()
    assert "was not moved: its source says: " + problem in "\n".join(run.said())
    assert conductor.fleet["xen1"].guests()["web01"].domid == guest.domid


def evil(host, path, text=GUEST_FILE, mode=0o755):
    """A file of the liar's own that says of itself that it is the guest's."""
    host.path(path).parent.mkdir(parents=True, exist_ok=True)
    host.path(path).write_text(text)
    host.path(path).chmod(mode)
    return host.path(path)


def elsewhere(conductor, liar):
    """Its own settings say that guests' files, and the entries for them, are where root's are."""
    liar.path("/etc/xen/web01").unlink()
    evil(liar, "/etc/cron.d/web01", GUEST_FILE + "# * * * * * root true\n")
    liar.path("/etc/rc3.d").mkdir(exist_ok=True)
    liar.path("/etc/rc3.d/web01").symlink_to("../cron.d/web01")
    conductor.opts["xen1"]["xend"].update(domain_files=["/etc/cron.d"], auto="/etc/rc3.d")
    return {}


def renamed(path=None, auto=None, mode=0o4777, **more):
    """It says of its file that it is another one."""
    changes = dict(more, path=path, auto=auto, mode=mode)
    change = [[[key], value] for key, value in changes.items() if value is not None]
    return lambda _conductor, _liar: {"xen_guest.sealed": {"change": change}}


FILES = {
    "its settings": elsewhere,
    "another path": renamed("/etc/cron.d/web01", auto_folder="/etc/rc3.d"),
    "parents": renamed("/etc/xen/../cron.d/web01", "../rc3.d/S99web01"),
    "a script": renamed("/etc/xen/scripts/vif-web01", "../../../etc/rc3.d/S99web01"),
    "xend's own": renamed("/etc/xen/xend-pci-permissive.sxp"),
    "not sealed": lambda _conductor, _liar: {
        "xen_guest.sealed": {"change": [[["text"], "#!/bin/sh\n"], [["seal"], None], [["mode"], 0o777]]}
    },
    "in the report": lambda _conductor, _liar: {
        "xm.report": {
            "change": [
                [["follows"], False],
                [["file"], {"path": "/etc/cron.d/web01", "text": "x", "mode": 0o644, "auto": "../rc3.d/x"}],
            ]
        }
    },
}


@pytest.mark.parametrize("lie", FILES)
def test_a_file_is_put_where_the_target_itself_lets_it(conductor, guest, lie, canary):
    xen1, xen2, _ = conductor.fleet
    before = dict(conductor.opts["xen1"]["xend"])
    lies.tell_all(xen1, FILES[lie](conductor, xen1))
    witness = Witness(conductor.fleet, canary, "xen1")
    try:
        run = migrate(conductor)
    finally:
        conductor.opts["xen1"]["xend"] = before
        for path in ("/etc/cron.d/web01", "/etc/rc3.d/web01"):
            xen1.path(path).unlink(missing_ok=True)
        if not xen1.path("/etc/xen/web01").exists():
            xen1.path("/etc/xen/web01").write_text(GUEST_FILE)
    assert_only_that_guest_moved(conductor, guest, witness, run)
    for path in ("/etc/cron.d", "/etc/rc3.d"):
        assert not xen2.path(path).exists()


def all_well(name="*"):
    return {"change": [[[name, "result"], True], [[name, "comment"], "all is well"], [[name, "changes"], {}]]}


def test_a_source_that_says_that_it_has_sent_what_it_keeps(conductor, guest, canary):
    xen1, xen2, _ = conductor.fleet
    xen1.xm_run("pause", "web01")
    steps = ("xend.relocation", "xend.orch.leave", "xend.orch.send", "xend.orch.vacate")
    told = {"state.sls " + sls: all_well() for sls in steps}
    told["xm.report"] = {"change": [[["domain", "runs"], True], [["domain", "state"], "r-----"]]}
    told["xm.copies"] = {"answer": {"copies": [], "sent": [], "completed": None, "devices_s": 100}}
    witness = Witness(conductor.fleet, canary, "xen1")
    lies.tell_all(xen1, told)
    run = migrate(conductor)
    assert not run.ok and witness.happened() == [] and witness.written() == [], run.said()
    assert blemishes(run, "xen1") == [] and xen2.guests()["db01"].alive


def test_a_target_that_says_that_all_is_well(conductor, guest, canary):
    """It lets nobody in, takes nothing, and says that the guest runs there; its source sees what it has."""
    xen1, xen2, _ = conductor.fleet
    xen2.fault("refuse")
    steps = ("xend.relocation", "xend.orch.receive", "xend.orch.arrive", "xend.orch.settle")
    told = {"state.sls " + sls: all_well() for sls in steps}
    runs = {"name": "web01", "listed": "web01", "uuid": guest.uuid, "domid": 9, "state": "r-----"}
    told["xm.copies"] = {"change": [[["copies"], [dict(runs, copy="running")]]]}
    witness = Witness(conductor.fleet, canary, "xen2")
    lies.tell_all(xen2, told)
    try:
        run = migrate(conductor)
    finally:
        xen2.fault("refuse", False)
    assert not run.ok and xen1.guests()["web01"].alive, run.said()
    assert witness.happened() == [] and witness.written() == []
    assert blemishes(run, "xen2") == []
    # Two that run would be told as what they are.
    assert "xen2" in "\n".join(sentences(run, "xen2"))


def test_the_file_of_a_guest_that_is_shut_down_stays_whoever_says_that_it_runs(conductor, guest, canary):
    """Its host has never sent it, so that it would start nowhere at the next boot."""
    xen1, xen2, _ = conductor.fleet
    xen1.destroy_guest("web01")
    runs = {"name": "web01", "listed": "web01", "uuid": guest.uuid, "domid": 9, "state": "r-----"}
    steps = ("xend.orch.receive", "xend.orch.arrive", "xend.orch.settle")
    told = {"state.sls " + sls: all_well() for sls in steps}
    there = dict(runs, runs=True, memory_mib=96)
    told["xm.report"] = {"change": [[["domain"], there], [["view"], dict(runs, copy="running")]]}
    told["xm.copies"] = {"change": [[["copies"], [dict(runs, copy="running")]]]}
    witness = Witness(conductor.fleet, canary, "xen2")
    lies.tell_all(xen2, told)
    run = migrate(conductor)
    assert not run.ok and witness.written() == [], run.said()
    assert xen1.path("/etc/xen/web01").exists() and xen1.path("/etc/xen/auto/web01").is_symlink()
    assert "xen1, which has not sent it away itself" in "\n".join(run.said())


def test_a_guest_of_another_s_uuid_is_not_taken_for_it(conductor, guest, canary):
    """Its source says that it is the one that runs on the target."""
    xen1, xen2, _ = conductor.fleet
    db01 = xen2.guests()["db01"]
    witness = Witness(conductor.fleet, canary, "xen1")
    change = [[["domain", "uuid"], db01.uuid], [["view", "uuid"], db01.uuid], [["stays_managed"], db01.uuid]]
    lies.tell_all(xen1, {"xm.report": {"change": change}})
    run = migrate(conductor, accept=["managed"])
    assert not run.ok and xen1.guests()["web01"].alive
    assert witness.happened() == [] and witness.written() == []
    assert "in use" in "\n".join(sentences(run, "xen1"))


def test_what_a_guest_s_cards_are_called_is_no_command(conductor, guest, canary, tmp_path):
    """The command that announces a guest gets words of its source."""
    xen1, xen2, _ = conductor.fleet
    told, hook = tmp_path / "told", tmp_path / "hook"
    hook.write_text('#!/bin/sh\nprintf "%%s\\n" "$1" "$XEND_MACS" "$XEND_BRIDGES" > %s\n' % told)
    hook.chmod(0o755)
    card = {"mac": "00:16:3e:00:00:01\nPATH=/tmp", "bridge": "xenbr0; touch %s" % canary}
    lies.tell_all(xen1, {"xm.report": {"change": [[["domain", "vifs"], [card]]]}})
    conductor.opts["xen2"]["xend"]["announce"] = [str(hook)]
    witness = Witness(conductor.fleet, canary, "xen1")
    try:
        run = migrate(conductor)
    finally:
        del conductor.opts["xen2"]["xend"]["announce"]
    assert_only_that_guest_moved(conductor, guest, witness, run)
    assert not told.exists() or len(told.read_text().splitlines()) == 3
