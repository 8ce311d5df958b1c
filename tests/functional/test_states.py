"""The states, with and without test=True: what they report is what is there before and after."""

import fcntl
import functools

import pytest

from tests.lab.fleet import HostSpec

HOSTS = ["10.20.0.12"]


@pytest.fixture
def states(load, config):
    """A function that gives the states of a minion whose option names the file `config`."""

    def make(test=False):
        return load(test=test, xend={"config": str(config)}).states

    return make


def test_relocation_changes_and_then_has_nothing_to_do(states, config):
    wanted = dict(server=True, port=8002, address="10.20.0.11", hosts_allow=HOSTS)
    done = states().xend.relocation("r", **wanted)
    assert done["result"] is True
    assert done["changes"]["server"] == {"old": None, "new": True}
    assert done["changes"]["hosts_allow"]["new"] == [r"^10\.20\.0\.12$"]
    assert "+(xend-relocation-address 10.20.0.11)" in done["changes"]["diff"]
    before = config.stat()
    again = states().xend.relocation("r", **wanted)
    assert again["result"] is True and again["changes"] == {}
    assert (config.stat().st_ino, config.stat().st_mtime) == (before.st_ino, before.st_mtime)


def test_relocation_under_test_tells_and_leaves(states, config):
    before = config.read_bytes()
    told = states(test=True).xend.relocation("r", server=True, hosts_allow=HOSTS)
    assert told["result"] is None and config.read_bytes() == before
    done = states().xend.relocation("r", server=True, hosts_allow=HOSTS)
    assert told["changes"] == done["changes"]


def test_relocation_under_test_with_nothing_to_do_is_true(states):
    states().xend.relocation("r", port=8002)
    assert states(test=True).xend.relocation("r", port=8002)["result"] is True


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize(
    "wanted, said",
    [
        ({"server": True, "hosts_allow": []}, "any"),
        ({"hosts_allow": ["10.20.0.1/24"]}, "10.20.0.1/24"),
        ({"port": "abc"}, "abc"),
        ({}, "hosts_allow"),
        ({"port": 8002, "config": "/nowhere/xend-config.sxp"}, "/nowhere/xend-config.sxp"),
    ],
)
def test_relocation_refuses_with_and_without_test(states, config, wanted, said, test):
    before = config.read_bytes()
    done = states(test=test).xend.relocation("r", **wanted)
    assert done["result"] is False and said in done["comment"] and done["changes"] == {}
    assert config.read_bytes() == before


@pytest.mark.parametrize(
    "value, text", [(False, "no"), (True, "yes"), (1024, "1024"), ("a b", "'a b'")]
)
def test_option_present(states, config, value, text):
    told = states(test=True).xend.option_present("vnc-tls", value)
    assert told["result"] is None and "vnc-tls" not in config.read_text()
    done = states().xend.option_present("vnc-tls", value)
    assert done["result"] is True and done["changes"] == told["changes"]
    assert done["changes"]["vnc-tls"] == {"old": None, "new": text.strip("'")}
    assert f"\n(vnc-tls {text})\n" in config.read_text()
    assert states().xend.option_present("vnc-tls", value)["changes"] == {}


def test_option_absent(states, config):
    told = states(test=True).xend.option_absent("dom0-min-mem")
    assert told["result"] is None and "(dom0-min-mem 196)" in config.read_text()
    done = states().xend.option_absent("dom0-min-mem")
    assert done["result"] is True and done["changes"]["dom0-min-mem"] == {"old": "196", "new": None}
    assert "dom0-min-mem" not in config.read_text()
    again = states().xend.option_absent("dom0-min-mem")
    assert again["result"] is True and again["changes"] == {}


def test_an_option_with_a_bad_value_is_refused(states, config):
    before = config.read_bytes()
    done = states().xend.option_present("xend-relocation-port", 99999)
    assert done["result"] is False and "65535" in done["comment"]
    assert config.read_bytes() == before


def test_only_applied_can_watch(states):
    done = states().xend.mod_watch("r", sfun="relocation")
    assert done["result"] is False and "xend.applied" in done["comment"]


# Guests


@pytest.fixture(scope="module")
def fleet(open_fleet):
    return open_fleet(HostSpec("xen1"), HostSpec("xen2"))


@pytest.fixture
def at(minion_on, fleet):
    """A function that gives the minion on a host, for a fleet with the guest web01 on xen1."""
    fleet["xen1"].create_guest("web01")
    yield minion_on
    for host in fleet:
        host.clear()


def picked(states, name, target, source, domain=None):
    return states.migrated(name, target=target, source=source, domain=domain)


def sends(states, name, target, source, domain=None):
    return states.sent(name, target, domain=domain)


def sees(states, name, target, source, domain=None):
    return states.arrived(name, source=source, domain=domain)


@pytest.mark.parametrize("send, see", [(picked, picked), (sends, sees)])
def test_a_guest_is_sent_and_seen_to_arrive(at, fleet, send, see):
    before = at("xen1").modules.xm.domain("web01")
    sent = send(at("xen1").states.xm, "web01", "xen2", "xen1")
    assert sent["result"] is True and "web01 was sent to 127." in sent["comment"]
    assert sent["changes"] == {"web01": {"old": "on xen1", "new": "sent to xen2"}}
    seen = see(at("xen2").states.xm, "web01", "xen2", "xen1", before)
    assert seen["result"] is True and "web01 runs on xen2" in seen["comment"]
    assert seen["changes"] == {"web01": {"old": "not on xen2", "new": "runs on xen2"}}
    assert fleet["xen2"].guests()["web01"].alive and fleet["xen1"].guests() == {}


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("send", [picked, sends])
def test_a_guest_that_has_taken_the_name_since_is_not_sent(at, fleet, send, test):
    """The target was asked whether it takes the other one, and is about to look for that."""
    before = at("xen1").modules.xm.domain("web01")
    fleet["xen1"].destroy_guest("web01")
    other = fleet["xen1"].create_guest("web01")
    assert other.uuid != before["uuid"]
    sent = send(at("xen1", test).states.xm, "web01", "xen2", "xen1", before)
    assert sent["result"] is False and sent["changes"] == {}
    assert "another guest now (uuid %s)" % other.uuid in sent["comment"], sent["comment"]
    assert fleet["xen1"].guests()["web01"].alive and fleet["xen2"].guests() == {}


@pytest.mark.parametrize("send, see", [(picked, picked), (sends, sees)])
def test_under_test_nothing_moves(at, fleet, send, see):
    before = at("xen1").modules.xm.domain("web01")
    for host, state, said in (("xen1", send, "would be moved to xen2"), ("xen2", see, "would be verified")):
        told = state(at(host, test=True).states.xm, "web01", "xen2", "xen1", before)
        assert told["result"] is None and said in told["comment"]
    assert list(fleet["xen1"].guests()) == ["web01"] and fleet["xen2"].guests() == {}


def test_what_is_there_already_is_no_change(at, fleet):
    at("xen1").modules.xm.migrate("web01", "xen2")
    assert at("xen2").modules.xm.arrival("web01")["arrived"]
    for test in (False, True):
        for host in ("xen1", "xen2"):
            states = at(host, test).states.xm
            for state in (picked, sends if host == "xen1" else sees):
                done = state(states, "web01", "xen2", "xen1")
                assert done["result"] is True and done["changes"] == {}, done
        assert at("xen1", test).states.xm.can_send("web01", target="xen2")["result"] is True
        assert at("xen2", test).states.xm.can_receive("web01")["result"] is True


@pytest.mark.parametrize("test", [False, True])
def test_what_is_not_there_cannot_leave(at, fleet, test):
    states = at("xen1", test).states.xm
    for held in ({"copy": "absent"}, {"copy": "halted", "state": "--p---", "domid": 7}):
        refused = states.can_send("web02", target="xen2", there=held)
        assert refused["result"] is False and "no domain web02 on xen1" in refused["comment"]
        assert "web02 can leave" not in refused["comment"]
    fine = states.can_send("web02", target="xen2", there='{"copy": "running"}')
    assert fine["result"] is True and "runs on xen2 already" in fine["comment"]
    # When its xend is down, the target says so itself.
    assert states.can_send("web02", target="xen2", there={"copy": "unknown"})["result"] is True


def test_a_guest_that_comes_is_not_said_to_be_nowhere(at):
    coming = {"copy": "receiving", "state": "--p---", "domid": 7, "other": "xen3"}
    refused = at("xen1").states.xm.can_send("web02", target="xen2", there=coming)
    assert refused["result"] is False and "from xen3 to xen2 goes on" in refused["comment"]
    left = {"copy": "sending", "state": "-b----", "domid": 7, "other": "xen3", "host": "xen1"}
    refused = at("xen2").states.xm.can_receive("web02", left=left)
    assert refused["result"] is False and "from xen1 to xen3 goes on" in refused["comment"]
    assert "no domain of that name" not in refused["comment"]
    # The paused copy that comes to a host is described there as any other guest.
    coming.update(host="xen1")
    described = at("xen1").modules.xm.domain("web01")
    refused = at("xen2").states.xm.can_receive("web01", domain=described, left=coming)
    assert refused["result"] is False and "from xen3 to xen1 goes on" in refused["comment"]
    assert "untouched" not in refused["comment"]


def test_of_a_guest_that_has_not_moved_a_step_says_what_is_where(at, fleet):
    """What to do about it says who looks at both hosts afterwards."""
    fleet["xen1"].fault("ignore-suspend")
    try:
        said = [
            at("xen1").states.xm.migrated("web01", target="xen2", brief=brief)["comment"]
            for brief in (False, True)
        ]
    finally:
        fleet["xen1"].fault("ignore-suspend", False)
    for comment in said:
        assert "web01 runs unharmed on xen1" in comment and "to suspend" in comment
    assert ["migrate again" in comment for comment in said] == [True, False]


def test_a_guest_that_is_nowhere(at):
    refused = at("xen2").states.xm.can_receive("web02")
    assert refused["result"] is False and "no domain of that name" in refused["comment"]
    for state in (picked, sees):
        done = state(at("xen2").states.xm, "web02", "xen2", "xen1")
        assert done["result"] is False and "does not run on xen2" in done["comment"]
        assert "LOST" not in done["comment"]


def test_the_source_could_not_say(at):
    refused = at("xen2").states.xm.can_receive("web02", problem="xm list: xend is down")
    assert refused["result"] is False and "xend is down" in refused["comment"]


@pytest.mark.parametrize("test", [False, True])
def test_can_send(at, fleet, test):
    state = at("xen1", test).states.xm.can_send
    assert state("web01", target="xen2")["result"] is True
    fleet["xen1"].xm_run("pause", "web01")
    refused = state("web01", target="xen2")
    assert refused["result"] is False and refused["changes"] == {}
    assert "--p---" in refused["comment"] and "untouched" in refused["comment"]


@pytest.mark.parametrize("test", [False, True])
def test_can_receive(at, fleet, test):
    described = at("xen1").modules.xm.domain("web01")
    states = at("xen2", test).states.xm
    here = at("xen1").modules.xm.host()
    fine = states.can_receive("web01", domain=described, source=here)
    assert fine["result"] is True and fine["changes"] == {}
    # Of a state without changes an orchestration shows nothing: a warning would be seen by nobody.
    (warning,) = at("xen2").modules.xm.can_receive(described)["warnings"]
    warned = states.can_receive("web01", domain=described)
    assert warned["result"] is (None if test else True) and warning in warned["comment"]
    assert warned["changes"] == {"warnings": [warning]}
    fleet["xen2"].create_guest("web01")
    refused = states.can_receive("web01", domain=described)
    assert refused["result"] is False and refused["changes"] == {}
    assert "name web01" in refused["comment"] and "untouched on its source" in refused["comment"]
    # Without a description from the source, what counts is whether it runs here.
    assert states.can_receive("web01", domain=None)["result"] is True
    assert states.can_receive("web02", domain=None)["result"] is False


def test_room_is_kept_only_for_a_guest_that_comes(at):
    before = at("xen1").modules.xm.domain("web01")
    at("xen2", test=True).states.xm.can_receive("web01", domain=before, reserve=300)
    assert at("xen2").modules.xend.release("web01") is False
    at("xen2").states.xm.can_receive("web01", domain=before, reserve=300, who="run 1")
    # Another run does not end what it has not made.
    assert at("xen2").modules.xend.release("web01", who="run 2") is False
    assert at("xen2").modules.xend.release("web01", who="run 1") is True
    assert at("xen2").modules.xend.release("web01") is False


def test_a_reservation_that_somebody_else_makes_meanwhile_stays(at, monkeypatch):
    """Whoever waits for the lock has it as soon as it is free."""
    xend, flock, others = at("xen2").modules.xend, fcntl.flock, ["run 2"]

    def flock_and_hand_over(descriptor, kind):
        flock(descriptor, kind)
        if kind == fcntl.LOCK_UN and others:
            xend.reserve("web01", who=others.pop())

    xend.reserve("web01", who="run 1")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock_and_hand_over)
        assert xend.release("web01", who="run 1") is True
    assert [one["who"] for one in xend.expected()] == ["run 2"]
    assert xend.release("web01") is True


def test_a_guest_that_came_and_does_not_run_is_a_failure(at, fleet):
    before = at("xen1").modules.xm.domain("web01")
    at("xen2").states.xm.can_receive("web01", domain=before, reserve=300, who="run 1")
    at("xen1").modules.xm.migrate("web01", "xen2")
    fleet["xen2"].wait_alive("web01")
    fleet["xen2"].hypervisor.update(fleet["xen2"].guests()["web01"].domid, cpu_time=5.0)
    fleet["xen2"].xm_run("pause", "web01")
    target = at("xen2")
    seen = target.states.xm.migrated("web01", target="xen2", source="xen1", domain=before)
    assert seen["result"] is False and seen["changes"] == {}
    assert "runs nowhere" in seen["comment"] and "LOST" not in seen["comment"]
    # It was seen, so that xend need not be kept for it any longer.
    assert target.modules.xend.release("web01") is False


def test_a_leftover_is_mended(at, fleet):
    guest = fleet["xen1"].guests()["web01"]
    assert fleet["xen1"].xm_run("rename", "web01", "migrating-web01").returncode == 0
    refused = at("xen1").states.xm.can_send("web01", target="xen2")
    assert refused["result"] is False and "left" in refused["comment"]
    step = {"do": "rename", "listed": "migrating-web01", "uuid": guest.uuid, "domid": guest.domid}
    told = at("xen1", test=True).states.xm.repaired("web01", **step)
    assert told["result"] is None and "migrating-web01" in told["comment"]
    assert list(fleet["xen1"].guests()) == ["migrating-web01"]
    done = at("xen1").states.xm.repaired("web01", **step)
    assert done["result"] is True and "is called web01 again" in done["comment"], done
    assert fleet["xen1"].guests()["web01"].xend_name == "web01"
    again = at("xen1").states.xm.repaired("web01", **step)
    assert again["result"] is False and "not touched" in again["comment"]


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("option", [{"live": "no"}, {"settle": "x"}, {"timeout": -1}])
def test_bad_options_are_refused_on_both_ends_with_and_without_test(at, fleet, option, test):
    for host in ("xen1", "xen2"):
        done = at(host, test).states.xm.migrated("web01", target="xen2", source="xen1", **option)
        assert done["result"] is False and list(option)[0] in done["comment"], done
    states = at("xen1", test).states.xm
    state = states.arrived if "settle" in option else functools.partial(states.sent, target="xen2")
    done = state("web01", **option)
    assert done["result"] is False and list(option)[0] in done["comment"], done
    assert list(fleet["xen1"].guests()) == ["web01"]
