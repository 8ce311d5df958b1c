"""Guests that are sent through a relay on their source: what is told of it, what the target has said, what is
kept, and what becomes of the guest when the relay fails.

On simulated hosts. The relay by itself is tested in tests/machine, what is concluded from a safety copy in
test_xm_recovery.py.
"""

import multiprocessing
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

import xm_relay
from tests.functional.conftest import as_new, refused
from tests.harness import relays
from tests.lab import salt_config
from tests.lab.fleet import HostSpec
from tests.lab.hypervisor import PAGE
from tests.lab.layout import wait_until

# Against hanging only.
END_S = 300


@pytest.fixture(scope="module", params=["4.4", "3.4.0"])
def running(open_fleet, request):
    return open_fleet(HostSpec("xen1", version=request.param), HostSpec("xen2", version=request.param))


@pytest.fixture
def fleet(running):
    with as_new(running):
        yield running
    for host in running:
        host.mend()


def kept(host, ending):
    return list((host.root / "kept").glob("*" + ending))


def says(host):
    """What the relay of a host says of the guest that is sent."""
    (path,) = kept(host, ".relay")
    return xm_relay.status(str(path))


def nothing_is_kept(host):
    return not (kept(host, ".relay") + kept(host, ".save") + salt_config.notes(host))


class Sending:
    """web01 on its way from xen1, held half-way; as a job that works meanwhile."""

    def __init__(self, on, fleet, **options):
        fleet["xen2"].link(hold_at=0.5)
        self.fleet = fleet
        self.pool = ThreadPoolExecutor(1)
        self.job = self.pool.submit(on("xen1").migrate, "web01", "xen2", **options)

    def __enter__(self):
        self.fleet["xen2"].wait_held()
        return self

    def __exit__(self, *_exception):
        self.fleet["xen2"].release()
        self.pool.shutdown()

    def fails(self):
        return refused(self.job.result, END_S)


# How it is sent


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("safety_copy", [None, "off"])
def test_a_guest_is_sent_through_a_relay(on, fleet, live, safety_copy):
    guest = fleet["xen1"].create_guest("web01")
    sent = on("xen1").migrate("web01", "xen2", live=live, safety_copy=safety_copy)
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    said = says(fleet["xen1"])
    asked = [call for call in fleet["xen1"].xm_calls() if call[0] == "migrate"][-1]
    assert asked[-1] == fleet["xen1"].loopback and "--port=%d" % said["listens"][1] in asked
    # By the address that the target knows it by.
    assert said["sends_from"][0] == fleet["xen1"].address
    assert said["sends_to"] == [fleet["xen2"].address, 8002]
    assert (sent["address"], sent["port"]) == (fleet["xen2"].address, 8002)
    assert sent["heard"] == "ok" and "; xen2 has said that it runs. Start it nowhere else" in sent["comment"]
    assert fleet["xen1"].loopback not in sent["comment"]
    assert sent["copy"] in (("complete", "removed") if safety_copy is None else ("none",))
    # A guest that has run is never brought back.
    assert wait_until(lambda: not says(fleet["xen1"])["alive"], END_S) and kept(fleet["xen1"], ".save") == []
    (note,) = on("xen1").copies()["sent"]
    assert says(fleet["xen1"])["id"] == note["id"]


def test_a_guest_may_go_without_a_relay(on, fleet):
    fleet["xen1"].create_guest("web01")
    sent = on("xen1").migrate("web01", "xen2", relay=False)
    assert fleet["xen1"].xm_calls()[-1][-1] == fleet["xen2"].address
    assert (sent["heard"], sent["copy"]) == (None, None) and "has said" not in sent["comment"]
    assert kept(fleet["xen1"], ".relay") == [] and fleet["xen2"].wait_alive("web01")


def test_the_relay_listens_where_xend_may_connect_unless_somebody_else_does(on, fleet):
    fleet["xen1"].create_guest("web01")
    on("xen1").migrate("web01", "xen2")
    first = says(fleet["xen1"])["listens"]
    # The simulated xend listens on all addresses of its host.
    is_taken = [fleet["xen1"].loopback, 8002] in fleet["xen1"].listening
    assert (first == [fleet["xen1"].loopback, 8002]) is not is_taken
    fleet["xen2"].wait_alive("web01")
    on("xen2").migrate("web01", "xen1")
    fleet["xen1"].wait_alive("web01")
    with socket.create_server((fleet["xen1"].loopback, 0)):
        on("xen1").migrate("web01", "xen2")
    assert fleet["xen2"].wait_alive("web01")


def test_the_copy_is_made_in_the_folder_that_is_asked_for(on, fleet, tmp_path):
    folder = tmp_path / "safety"
    fleet["xen1"].create_guest("web01")
    with Sending(on, fleet, safety_folder=str(folder)) as sending:
        (copy,) = folder.iterdir()
        assert copy.name.endswith(".save") and copy.stat().st_mode & 0o777 == 0o600
        assert says(fleet["xen1"])["copy"]["path"] == str(copy)
        fleet["xen2"].release()
        sending.job.result(END_S)
    assert wait_until(lambda: not copy.exists(), END_S) and kept(fleet["xen1"], ".save") == []


# What the target has said


@pytest.mark.parametrize("fault, device", [("disk-missing", "vbd"), ("bridge-missing", "vif")])
def test_a_target_that_cannot_complete_a_guest_is_quoted(on, fleet, fault, device):
    """xm has exited with 0, and the guest is gone. Before 4.0, xend goes on without the device."""
    guest = fleet["xen1"].create_guest(
        "web01", disks=["phy:/dev/vg/web01,xvda,w"], vifs=["bridge=xenbr0"]
    )
    fleet["xen2"].fault(fault)
    if fleet["xen1"].layout.version.startswith("3"):
        assert on("xen1").migrate("web01", "xen2")["heard"] == "ok"
        return
    text = refused(on("xen1").migrate, "web01", "xen2")
    assert text.startswith("the migration of web01 has not ended well: xen1 has no copy of web01 any more; ")
    assert "xen2 has said why it cannot run there: Device" in text and "(%s)" % device in text
    (copy,) = kept(fleet["xen1"], ".save")
    assert "Its memory is kept on xen1, in %s. Only xen2 can tell" % copy in text
    # What can bring it back stays, and who has sent it knows.
    assert on("xen1").copies()["sent"][0]["uuid"] == guest.uuid
    assert says(fleet["xen1"])["copy"] == {
        "state": "complete",
        "path": str(copy),
        "bytes": copy.stat().st_size,
        "why": None,
    }


@pytest.mark.parametrize("live", [True, False])
def test_a_target_whose_xend_dies_says_nothing_and_that_is_said(on, fleet, live):
    fleet["xen1"].create_guest("web01")
    with Sending(on, fleet, live=live) as sending:
        fleet["xen2"].kill_xend_child()
        fleet["xen2"].release()
        text = sending.fails()
    assert "; xen2 has hung up without a word, as when xend there has died" in text
    assert "Its memory is kept on xen1, in " in text and len(kept(fleet["xen1"], ".save")) == 1
    assert fleet["xen1"].guests() == {}


def test_a_target_that_is_slow_to_say_that_it_has_failed_ends_the_transfer_all_the_same(on, fleet):
    """All that fits the buffers was sent by then: who has more to send goes on, and learns it by that."""
    guest = fleet["xen1"].create_guest("web01")
    with Sending(on, fleet, live=False) as sending:
        before = says(fleet["xen1"])["bytes"]
        fleet["xen2"].freeze()
        assert fleet["xen2"].kill_xc_restore()
        fleet["xen2"].release()
        # As far as a simulated guest is sent ahead of who takes it.
        assert wait_until(lambda: says(fleet["xen1"])["bytes"] >= before + 24 * PAGE, END_S)
        fleet["xen2"].thaw()
        text = sending.fails()
    assert text.startswith("web01 was not moved: web01 runs unharmed on xen1") and "xc_restore" in text
    assert fleet["xen1"].guests()["web01"].uuid == guest.uuid


def test_a_name_that_is_taken_on_the_target_is_told_in_its_own_words(on, fleet):
    """xm says no more than that xc_save has failed."""
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen2"].create_guest("web01")
    text = refused(on("xen1").migrate, "web01", "xen2")
    assert text.startswith("web01 was not moved: web01 runs unharmed on xen1") and "xc_save" in text
    assert ". xen2 said: VM name 'web01' " in text
    here = fleet["xen1"].guests()["web01"]
    assert here.alive and here.uuid == guest.uuid
    assert wait_until(lambda: nothing_is_kept(fleet["xen1"]), END_S)


def test_what_the_target_has_said_is_told_once_and_with_its_name(on, fleet):
    fleet["xen1"].create_guest("web01", memory_mib=900)
    fleet["xen2"].create_guest("db", memory_mib=900)
    text = refused(on("xen1").migrate, "web01", "xen2")
    assert text.count("dom0_min_mem") == 1 and fleet["xen1"].loopback not in text
    # By xend, from 4.0 on; else the relay has heard it.
    assert ". xen2 said: " in text or text.endswith("(from %s)" % fleet["xen2"].address)
    assert nothing_is_kept(fleet["xen1"])


@pytest.fixture
def xm_after(fleet, tmp_path, modules):
    """A function that has something happen right before xm is run to migrate."""
    options = modules("xen1").pack["__opts__"]["xend"]
    own = options["xm"]

    def make(act):
        script = tmp_path / "xm"
        script.write_text('#!/bin/sh\n[ "$1" = migrate ] && %s\nexec %s "$@"\n' % (act, own))
        script.chmod(0o755)
        options["xm"] = str(script)

    yield make
    options["xm"] = own


def test_a_target_that_the_relay_cannot_reach_is_told_as_xend_would(on, fleet, xm_after):
    guest = fleet["xen1"].create_guest("web01")
    xm_after("%s stop >/dev/null" % fleet["xen2"].layout.xend)
    text = refused(on("xen1").migrate, "web01", "xen2")
    assert "xm migrate said: can't connect: [Errno 111] Connection refused" in text
    assert text.startswith("web01 was not moved: web01 runs unharmed on xen1") and "Errno 104" not in text
    here = fleet["xen1"].guests()["web01"]
    assert here.alive and here.uuid == guest.uuid
    assert nothing_is_kept(fleet["xen1"])


def test_what_xend_refuses_by_itself_ends_the_relay(on, fleet, xm_after):
    fleet["xen1"].create_guest("web01")
    xm_after("%s pause web01" % fleet["xen1"].xm)
    text = refused(on("xen1").migrate, "web01", "xen2")
    assert text.endswith(". xm migrate said: Domain is not running")
    # It is halted, and nobody will be sent that way.
    said = says(fleet["xen1"])
    assert (said["phase"], said["alive"]) == ("over", False) and kept(fleet["xen1"], ".save") == []


# When there is no relay, or not for long


@pytest.fixture
def no_loopback(modules):
    """An address on which no relay can listen."""
    modules("xen1").pack["__opts__"]["xend"]["loopback"] = "192.0.2.1"


def test_a_relay_that_cannot_be_started_is_done_without(on, fleet, no_loopback):
    fleet["xen1"].create_guest("web01")
    sent = on("xen1").migrate("web01", "xen2")
    assert ". It was sent without a relay, so that nothing is kept of its memory" in sent["comment"]
    assert "192.0.2.1" in sent["comment"] and sent["heard"] is None
    assert fleet["xen1"].xm_calls()[-1][-1] == fleet["xen2"].address and fleet["xen2"].wait_alive("web01")


@pytest.mark.parametrize(
    "options, said",
    [({"safety_copy": "required"}, "safety copy is required"), ({"rate_mib_s": 5}, "rate is limited")],
)
def test_what_only_a_relay_can_do_is_not_done_without(on, fleet, no_loopback, options, said):
    fleet["xen1"].create_guest("web01")
    asked = len(fleet["xen1"].xm_calls())
    text = refused(on("xen1").migrate, "web01", "xen2", **options)
    assert "web01 was not moved: its %s, and there is no relay for that: " % said in text
    assert "It is on xen1 (state " in text and "untouched" in text
    assert not [call for call in fleet["xen1"].xm_calls()[asked:] if call[0] == "migrate"]
    assert nothing_is_kept(fleet["xen1"])


def test_a_guest_whose_relay_is_killed_goes_on_at_its_source(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    with Sending(on, fleet) as sending:
        assert relays.kill(fleet["xen1"])
        fleet["xen2"].release()
        text = sending.fails()
    assert text.startswith("web01 was not moved: web01 runs unharmed on xen1")
    assert fleet["xen1"].guests()["web01"].uuid == guest.uuid and fleet["xen2"].guests() == {}
    assert nothing_is_kept(fleet["xen1"])
    # And it can go the next time.
    assert on("xen1").migrate("web01", "xen2")["heard"] == "ok"


def test_a_copy_that_cannot_be_kept_any_more_is_given_up(on, fleet):
    """The disk is full: for this process, at once. Where a copy is required, see tests/machine."""
    fleet["xen1"].create_guest("web01", memory_mib=4, pages=1024)
    with Sending(on, fleet) as sending:
        relays.fail_disk(fleet["xen1"])
        fleet["xen2"].release()
        sent = sending.job.result(END_S)
    assert sent["copy"] == "given up" and "; its safety copy was given up: " in sent["comment"]
    assert fleet["xen2"].wait_alive("web01") and kept(fleet["xen1"], ".save") == []


def abandon(on, fleet):
    """Let web01 be half-way on its way from xen1 when the job that sends it is killed."""
    fleet["xen2"].link(hold_at=0.5)
    job = multiprocessing.get_context("fork").Process(target=on("xen1").migrate, args=("web01", "xen2"))
    job.start()
    try:
        fleet["xen2"].wait_held()
    finally:
        job.kill()
        job.join(END_S)


def test_what_is_not_waited_for_any_longer_goes_on_through_its_relay(on, fleet):
    """The job is killed, as by an operator or with the minion."""
    guest = fleet["xen1"].create_guest("web01")
    abandon(on, fleet)
    said = says(fleet["xen1"])
    assert said["alive"] and said["phase"] == "sending" and said["copy"]["state"] == "growing"
    fleet["xen2"].release()
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert wait_until(lambda: says(fleet["xen1"])["heard"] == "ok", END_S)
    assert wait_until(lambda: kept(fleet["xen1"], ".save") == [], END_S)


def test_whoever_takes_a_guest_for_arrived_that_is_still_sent_does_not_end_its_relay(on, fleet):
    """Its job was killed, so that nobody else holds the guest."""
    guest = fleet["xen1"].create_guest("web01")
    abandon(on, fleet)
    (made,) = on("xen1").copies()["sent"]
    assert "its relay still sends it" in refused(on("xen1").forget, "web01", guest.uuid, made["id"])
    assert says(fleet["xen1"])["alive"] and says(fleet["xen1"])["copy"]["state"] == "growing"
    fleet["xen2"].release()
    assert fleet["xen2"].wait_alive("web01").uuid == guest.uuid
    assert wait_until(lambda: says(fleet["xen1"])["heard"] == "ok", END_S)
    assert on("xen1").forget("web01", guest.uuid, made["id"]) is True and nothing_is_kept(fleet["xen1"])


# What shows of it


def test_a_transfer_through_a_relay_is_one_to_its_target(on, modules, fleet):
    fleet["xen1"].create_guest("web01")
    beyond = "%s:8002" % fleet["xen2"].address
    with Sending(on, fleet):
        assert modules("xen1").xend.transfers()["targets"] == [beyond]
        assert fleet["xen1"].address in modules("xen2").xend.transfers()["sources"][0]
        view = on("xen1").where("web01")
        assert (view["copy"], view["other"]) == ("sending", "xen2")
        assert on("xen2").where("web01")["other"] == "xen1"
        text = refused(modules("xen1").xend.restart, timeout=1)
        assert "the migration of web01 to xen2" in text


def test_what_xend_has_begun_to_send_is_being_sent_when_it_has_died(on, modules, fleet):
    """xc_save and the relay go on, and a xend that is started again knows nothing of them."""
    fleet["xen1"].create_guest("web01")
    beyond = "%s:8002" % fleet["xen2"].address
    with Sending(on, fleet):
        fleet["xen1"].kill_xend()
        assert modules("xen1").xend.transfers() is None
        fleet["xen1"].start()
        fleet["xen1"].bring_up(END_S)
        assert modules("xen1").xend.transfers()["targets"] == [beyond]
        assert on("xen1").where("web01")["other"] == "xen2"
