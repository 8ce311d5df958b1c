"""What a host does to its guests because others say something: they are believed about themselves only."""

import functools

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import as_new
from tests.harness.loading import host_opts
from tests.lab import salt_config
from tests.lab.fleet import HostSpec

OTHER_UUID = "00000000-1111-2222-3333-444444444444"
NEVER, SENT_ON = "never completed", "sent on to "
NOTHING = [{}, {"xen2": "absent"}, {"xen9": "running"}, {"xen1": "running"}]


@pytest.fixture(scope="module")
def running(open_fleet):
    hosts = [HostSpec(name) for name in ("xen1", "xen2", "xen3")]
    return open_fleet(*hosts)


@pytest.fixture
def fleet(running):
    with as_new(running):
        yield running


@pytest.fixture
def at(load, fleet):
    """A function: the minion of a host, in whose pillar these hosts are declared."""

    @functools.cache
    def make(name, test=False, declared=("xen1", "xen2", "xen3")):
        pillar = salt_config.pillar(fleet)
        hosts = pillar["xend"]["relocation"]["hosts"]
        pillar["xend"]["relocation"]["hosts"] = {one: hosts[one] for one in declared}
        return load(pillar=pillar, test=test, **host_opts(fleet[name]))

    return make


@pytest.fixture
def sent(at, fleet):
    """web01 was sent from xen1 to xen2, and xen1 has a note of that."""
    guest = fleet["xen1"].create_guest("web01")
    at("xen1").modules.xm.migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    assert len(salt_config.notes(fleet["xen1"])) == 1
    return guest


def suspended(host, uuid=None):
    """The remainder of a guest whose migration broke."""
    guest = host.create_guest("web01", uuid=uuid)
    host.xm_run("rename", "web01", "migrating-web01")
    host.hypervisor.suspend(guest.domid)
    return guest


def step(do, guest, listed, **more):
    return dict(more, do=do, listed=listed, uuid=guest.uuid, domid=guest.domid)


def refused(at, host, asked, words, **which):
    """Refuse it, and leave all as it is; a test is told the same."""
    before = held(host)
    found = at(host.name, **which).states.xm.repaired("web01", **asked)
    assert found["result"] is False and found["changes"] == {}, found
    assert "web01" in found["comment"] and "\n" not in found["comment"]
    for word in words:
        assert word in found["comment"], found["comment"]
    assert held(host) == before
    if not asked["claims"] or len(asked["claims"]) > 1:
        assert at(host.name, test=True, **which).states.xm.repaired("web01", **asked) == found


def held(host):
    domains = host.hypervisor.domains()
    seen = [(one["domid"], one["xend_name"], one["suspended"], one["paused"]) for one in domains]
    return seen, len(salt_config.notes(host))


def done(at, host, asked, **which):
    told = at(host.name, test=True, **which).states.xm.repaired("web01", **asked)
    assert told["result"] is None and told["changes"], told
    found = at(host.name, **which).states.xm.repaired("web01", **asked)
    assert found["result"] is True and found["changes"], found
    return found["comment"]


# Removing what is suspended


def test_a_suspended_guest_is_removed_only_when_it_runs_where_it_was_sent(at, fleet, sent):
    left = suspended(fleet["xen1"], sent.uuid)
    asked = step("remove", left, "migrating-web01")
    for claims in (*NOTHING, {"xen2": "suspended"}, {"xen2": "unfinished"}, {"xen2": "sending"}):
        refused(at, fleet["xen1"], dict(asked, claims=claims), ["no other host says that it has web01"])
    lies = {"xen2": "absent", "xen3": "running"}
    words = ["only xen3 says", "by the note on xen1 it was sent to xen2", "remove_lost: [web01]", "`xm list`"]
    refused(at, fleet["xen1"], dict(asked, claims=lies), words)
    done(at, fleet["xen1"], dict(asked, claims={"xen2": "running", "xen3": "absent"}))
    assert fleet["xen1"].guests() == {} and fleet["xen2"].guests()["web01"].alive


def test_without_a_note_only_a_third_host_that_there_is_not_could_lie(at, fleet):
    guest = suspended(fleet["xen1"])
    asked = step("remove", guest, "migrating-web01", claims={"xen2": "running"})
    refused(at, fleet["xen1"], asked, ["only xen2 says", "there is no note on xen1"])
    done(at, fleet["xen1"], asked, declared=("xen1", "xen2"))


@pytest.mark.parametrize("word", [{"asked": True}, {"claims": None}])
def test_people_may_say_so(at, fleet, word):
    """With the name of the guest for this run, or by a call of their own."""
    guest = suspended(fleet["xen1"])
    done(at, fleet["xen1"], step("remove", guest, "migrating-web01", **{"claims": {}, **word}))
    assert fleet["xen1"].guests() == {}


def test_that_it_runs_on_this_host_too_is_seen_here(at, fleet):
    host, left = fleet["xen1"], suspended(fleet["xen1"])
    asked = step("remove", left, "migrating-web01", claims={"xen1": "running"})
    refused(at, host, asked, ["no other host says"])
    running = host.create_guest("web01", uuid=left.uuid)
    done(at, host, asked)
    assert [one["domid"] for one in host.hypervisor.domains()] == [running.domid]


# Removing what has never run


def test_a_copy_that_may_have_been_created_paused_is_not_removed_at_the_word_of_one_host(at, fleet):
    host, guest = fleet["xen2"], fleet["xen2"].create_guest("web01", paused=True)
    (one,) = at("xen2").modules.xm.copies()["copies"]
    assert (one["copy"], one["completed"]) == ("unfinished", None)
    for word in ("running", "left", "suspended"):
        asked = step("remove", guest, "web01", claims={"xen3": word})
        refused(at, host, asked, ["only xen3 says", "xend.log on xen2 does not tell", "created paused"])
    refused(at, host, step("remove", guest, "web01", claims={"xen3": "halted"}), ["no other host says"])
    done(at, host, asked, declared=("xen2", "xen3"))


def received(host, guest, completed):
    """As xend logs it (xend 4.4 XendDomainInfo.restore, completeRestore)."""
    lines = ["XendDomainInfo.restore(['domain', ['uuid', '%s']])" % guest.uuid]
    lines += ["XendDomainInfo.completeRestore"] if completed else []
    with open(salt_config.minion(host)["xend"]["log"], "a") as stream:
        for line in lines:
            stream.write("[2012-03-04 05:06:07 4711] DEBUG (XendDomainInfo:1) %s\n" % line)


def test_a_copy_that_was_never_completed_is_worth_nothing(at, fleet):
    host, guest = fleet["xen2"], fleet["xen2"].create_guest("web01", paused=True)
    received(host, guest, completed=False)
    assert at("xen2").modules.xm.copies()["copies"][0]["completed"] is False
    refused(at, host, step("remove", guest, "web01", claims={"xen1": "absent"}), ["no other host says"])
    said = done(at, host, step("remove", guest, "web01", claims={"xen1": "left"}))
    # Where nobody has noted that it was sent, this is all that is left of it if that was a lie.
    (kept,) = (host.root / "kept").glob("web01.%s.sxp" % guest.uuid)
    assert guest.uuid in kept.read_text() and "its description is kept in %s" % kept in said


def test_a_copy_that_may_have_been_completed_takes_the_word_of_people(at, fleet):
    """A guest that was restored paused looks the same, and is whole."""
    host, guest = fleet["xen2"], fleet["xen2"].create_guest("web01", paused=True)
    received(host, guest, completed=True)
    asked = step("remove", guest, "web01", claims={"xen1": "running"})
    for declared in (("xen1", "xen2"), ("xen1", "xen2", "xen3")):
        refused(at, host, asked, ["it may be whole", "remove_lost: [web01]"], declared=declared)
    done(at, host, dict(asked, asked=True))


# Resuming


def test_a_guest_goes_on_only_by_the_word_of_the_host_that_it_was_sent_to(at, fleet, sent):
    fleet["xen2"].clear()
    guest = suspended(fleet["xen1"], sent.uuid)
    asked = step("resume", guest, "migrating-web01")
    for claims in ({}, {"xen2": "absent"}, {"xen2": "unfinished"}, {"xen3": NEVER}):
        words = ["sent to from xen1 (xen2)", "resume: [web01]"]
        refused(at, fleet["xen1"], dict(asked, claims=claims), words)
    done(at, fleet["xen1"], dict(asked, claims={"xen2": NEVER}))
    (now,) = fleet["xen1"].guests().values()
    assert now.domid == guest.domid and now.alive


def test_a_guest_of_which_there_is_no_note_goes_on_when_people_say_so(at, fleet):
    guest = suspended(fleet["xen1"])
    asked = step("resume", guest, "migrating-web01", claims={"xen2": NEVER})
    refused(at, fleet["xen1"], asked, ["no note says where"])
    done(at, fleet["xen1"], dict(asked, asked=True))


# Renaming


def test_a_rename_needs_nobody(at, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen1"].xm_run("rename", "web01", "migrating-web01")
    done(at, fleet["xen1"], step("rename", guest, "migrating-web01", claims={"xen3": "running"}))
    # A test of both steps, of which the first has not been taken.
    fleet["xen1"].clear()
    guest = suspended(fleet["xen1"])
    told = at("xen1", test=True).states.xm.repaired(
        "web01", **step("rename", guest, "migrating-web01", claims={})
    )
    assert told["result"] is None
    now = at("xen1").states.xm.repaired("web01", **step("rename", guest, "migrating-web01", claims={}))
    assert now["result"] is False and "not touched" in now["comment"]


# Forgetting


def forget(at, guest, host="xen1"):
    (made,) = at(host).modules.xm.copies()["sent"]
    return {"do": "forget", "listed": "web01", "uuid": guest.uuid, "note": made["id"]}


def test_that_a_guest_was_sent_is_forgotten_only_when_it_runs_where_it_was_sent(at, fleet, sent):
    asked = forget(at, sent)
    for claims in (
        {},
        {"xen3": "running"},
        {"xen2": "absent", "xen3": "running"},
        {"xen2": "halted"},
        {"xen2": SENT_ON + "xen3", "xen3": "absent"},
        {"xen2": SENT_ON + "xen9", "xen9": "running"},
        {"xen2": SENT_ON + "xen2"},
        {"xen2": SENT_ON + "xen1", "xen1": "running"},
    ):
        words = ["xen2 does not say itself that web01 runs there", "remove_lost: [web01]", "still noted"]
        refused(at, fleet["xen1"], dict(asked, claims=claims), words)
    done(at, fleet["xen1"], dict(asked, claims={"xen2": "running"}))
    assert salt_config.notes(fleet["xen1"]) == []


@pytest.mark.parametrize(
    "word", [{"claims": {"xen2": "sent on to xen3", "xen3": "running"}}, {"claims": {}, "asked": True}, {}]
)
def test_where_it_was_sent_on_or_people_say_so_it_is_forgotten(at, fleet, sent, word):
    done(at, fleet["xen1"], dict(forget(at, sent), **word))
    assert salt_config.notes(fleet["xen1"]) == []


def test_that_it_came_back_is_seen_here(at, fleet, sent):
    asked = dict(forget(at, sent), claims={})
    assert fleet["xen2"].xm_run("migrate", "web01", fleet["xen1"].address).returncode == 0
    fleet["xen1"].wait_alive("web01")
    done(at, fleet["xen1"], asked)
    assert fleet["xen1"].guests()["web01"].alive


# What the table says, and what the host does


def test_what_is_decided_from_the_reports_is_what_the_host_does(at, fleet, sent):
    suspended(fleet["xen1"], sent.uuid)
    names = ["xen1", "xen2", "xen3"]
    for lying in (False, True):
        reports = {name: at(name).modules.xm.copies() for name in names}
        if lying:
            # It has the guest of others, and they have sent it theirs.
            (seen,) = reports["xen2"]["copies"]
            reports["xen2"]["copies"] = []
            reports["xen3"]["copies"] = [seen]
            reports["xen3"]["sent"] = [dict(made, target="xen3") for made in reports["xen1"]["sent"]]
        (found,) = at("xen1").modules.xm.findings(reports)
        (remove,) = [each for each in found["repairs"] if each["do"] == "remove"]
        assert remove["only_if_asked"] is lying and bool(remove["doubt"]) is lying
        asked = {key: remove[key] for key in ("do", "listed", "uuid", "domid", "claims")}
        if lying:
            refused(at, fleet["xen1"], asked, ["only xen3 says"])
        else:
            told = at("xen1", test=True).states.xm.repaired("web01", **asked)
            assert told["result"] is None and remove["claims"] == {"xen2": "running"}


# What is asked


BAD = [
    {"claims": "running"},
    {"claims": ["xen2"]},
    {"claims": {"xen2": "runs"}},
    {"claims": {"xen2": None}},
    {"claims": {"xen2": ["running"]}},
    {"claims": {"xen2": "sent on to "}},
    {"claims": {7: "running"}},
    {"claims": {}, "asked": "yes"},
    {"claims": {}, "asked": None},
    {"uuid": None},
    {"uuid": "web01"},
    {"uuid": OTHER_UUID + "\n"},
    {"uuid": 7},
    {"domid": True},
    {"domid": "1"},
    {"domid": 0},
    {"domid": None},
    {"listed": None},
    {"listed": ""},
    {"listed": ["web01"]},
    {"listed": "x" * 5000},
    {"do": "destroy"},
]


def test_what_has_not_the_agreed_form_is_one_sentence(at, fleet):
    guest = suspended(fleet["xen1"])
    good = step("remove", guest, "migrating-web01", claims={"xen2": "running"})
    for bad in BAD:
        for test in (True, False):
            states = at("xen1", test=test, declared=("xen1", "xen2")).states
            found = states.xm.repaired("web01", **{**good, **bad})
            assert found["result"] is False and found["changes"] == {} and "\n" not in found["comment"]
            assert [*bad][-1] in found["comment"]
    (left,) = fleet["xen1"].guests().values()
    assert left.state == "suspended"


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("do", ["destroy", "Rename", "", None, 7, ["rename"], {"do": "rename"}])
def test_a_step_that_nobody_knows_is_refused_with_those_that_there_are(at, fleet, do, test):
    guest = suspended(fleet["xen1"])
    before = fleet["xen1"].guests()
    found = at("xen1", test=test).states.xm.repaired("web01", **step(do, guest, "migrating-web01"))
    assert found["result"] is False and found["changes"] == {}
    assert found["comment"] == "do: %r is none of forget, remove, rename, restore, resume" % (do,)
    assert fleet["xen1"].guests() == before


def test_a_note_is_asked_for_in_the_agreed_form(at, fleet, sent):
    (made,) = at("xen1").modules.xm.copies()["sent"]
    good = {"name": "web01", "uuid": sent.uuid, "note": made["id"], "claims": {"xen2": "running"}}
    for bad in ({"uuid": "x"}, {"uuid": None}, {"name": None}, {"claims": {"xen2": 1}}, {"asked": 1}):
        with pytest.raises(CommandExecutionError) as caught:
            at("xen1").modules.xm.forget(**{**good, **bad})
        assert [*bad][0] in str(caught.value) and len(salt_config.notes(fleet["xen1"])) == 1
    # One made since stays, and what is not there needs no word.
    assert at("xen1").modules.xm.forget(**{**good, "note": "older", "claims": {}}) is False
    assert at("xen1").modules.xm.forget(**{**good, "uuid": OTHER_UUID, "claims": {}}) is True
