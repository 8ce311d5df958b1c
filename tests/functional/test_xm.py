"""The execution module xm on simulated hosts: seeing, checking, moving, and telling the truth."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import OPEN
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until


@pytest.fixture(scope="module")
def running(open_fleet):
    """Three hosts whose doors are open: two of today, one with the xend of 3.0.3."""
    return open_fleet(
        HostSpec("xen1"),
        HostSpec("xen2"),
        HostSpec("old", version="3.0.3", info={"xen_major": "3", "xen_minor": "0"}),
    )


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.release()
        host.clear()
        if host.config.read_text() != OPEN or not host.running:
            host.config.write_text(OPEN)
            host.restart()


@pytest.fixture
def on(minion_on):
    return lambda name: minion_on(name).modules


@pytest.fixture
def guest(fleet):
    return fleet["xen1"].create_guest(
        "web01", disks=["phy:/dev/vg/web01,xvda,w"], vifs=["bridge=xenbr0"]
    )


def test_list_and_info(on, guest):
    found = on("xen1").xm.list()
    assert found["Domain-0"]["domid"] == 0
    assert found["web01"]["memory_mib"] == 96 and found["web01"]["domid"] == guest.domid
    assert on("xen1").xm.info()["total_memory"] == 2047


def test_the_description_of_a_guest(on, guest):
    found = on("xen1").xm.domain("web01")
    assert (found["name"], found["uuid"], found["domid"]) == ("web01", guest.uuid, guest.domid)
    assert found["runs"] is True and found["image"] == "linux" and found["nomigrate"] is False
    assert found["disks"][0]["uname"] == "phy:/dev/vg/web01"
    assert found["vifs"][0]["bridge"] == "xenbr0"
    assert f"(uuid {guest.uuid})" in found["sxp"]


def test_a_guest_that_is_not_there_is_none(on, fleet):
    assert on("xen1").xm.domain("web01") is None


@pytest.fixture
def numbered(fleet):
    """web01 and a guest that is called as the id of web01, which xend takes for what is meant by it."""
    number = fleet["xen1"].create_guest("web02").domid + 2
    fleet["xen1"].create_guest(str(number))
    guest = fleet["xen1"].create_guest("web01")
    assert guest.domid == number
    return guest


def test_a_guest_whose_id_is_the_name_of_another(on, fleet, numbered):
    assert on("xen1").xm.domain("web01")["uuid"] == numbered.uuid
    assert on("xen1").xm.where("web01")["copy"] == "running"
    assert on("xen1").xm.migrate("web01", "xen2")["uuid"] == numbered.uuid
    assert fleet["xen2"].wait_alive("web01").uuid == numbered.uuid
    assert str(numbered.domid) in fleet["xen1"].guests()
    # The other one has another id.
    assert on("xen1").xm.migrate(str(numbered.domid), "xen2")["name"] == str(numbered.domid)


def test_a_guest_that_xm_cannot_be_told_of_stays(on, fleet):
    """Its name would be read as an option, and its id is the name of another one."""
    number = fleet["xen1"].create_guest("web02").domid + 2
    other = fleet["xen1"].create_guest(str(number))
    assert fleet["xen1"].create_guest("-l").domid == number
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.migrate("-l", "xen2")
    assert "-l" in str(caught.value) and "another domain is called %d" % number in str(caught.value)
    assert fleet["xen1"].guests()[other.name].alive and fleet["xen1"].guests()["-l"].alive


def test_a_name_that_begins_with_a_hyphen_is_data(on, fleet):
    """xm would read `-l` as an option of its own."""
    fleet["xen1"].create_guest("-l")
    found = on("xen1").xm.domain("-l")
    assert found["name"] == "-l"
    assert on("xen1").xm.migrate("-l", "xen2")["name"] == "-l"
    assert fleet["xen2"].wait_alive("-l")


def test_xend_that_does_not_answer_is_an_error_in_its_words(on, fleet):
    fleet["xen1"].stop()
    for call in (on("xen1").xm.list, on("xen1").xm.info, lambda: on("xen1").xm.domain("web01")):
        with pytest.raises(CommandExecutionError) as caught:
            call()
        assert "Unable to connect to xend: Connection refused. Is xend running?" in str(
            caught.value
        )


def test_a_missing_command_is_an_error(on, fleet):
    modules = on("xen1")
    modules.pack["__opts__"]["xend"].update(xm="/nowhere/xm", socket="/nowhere/xmlrpc.sock")
    with pytest.raises(CommandExecutionError) as caught:
        modules.xm.list()
    assert "/nowhere/xm" in str(caught.value)


def test_can_send(on, guest):
    found = on("xen1").xm.can_send("web01", "xen2")
    assert found.pop("safety")["copy"] == "auto"
    assert found == {"ok": True, "blockers": [], "warnings": []}


@pytest.mark.parametrize(
    "name, target, prepare, said",
    [
        ("web02", "xen2", None, "no domain web02"),
        ("Domain-0", "xen2", None, "Domain-0"),
        ("migrating-web01", "xen2", None, "wedges"),
        ("web01", "xen1", None, "this host itself"),
        ("web01", "localhost", None, "this host itself"),
        ("web01", "127.0.0.1", None, "this host itself"),
        ("web01", "xen2", lambda fleet: fleet["xen1"].xm_run("pause", "web01"), "--p---"),
        ("web01", "xen2", lambda fleet: fleet["xen2"].stop(), "nothing listens"),
    ],
)
def test_what_keeps_a_guest_from_being_sent(on, fleet, guest, name, target, prepare, said):
    if prepare:
        prepare(fleet)
    found = on("xen1").xm.can_send(name, target)
    assert found["ok"] is False and said in "; ".join(found["blockers"])


def test_a_guest_that_must_not_be_moved(on, fleet):
    fleet["xen1"].create_guest("fixed", nomigrate=True)
    found = on("xen1").xm.can_send("fixed", "xen2")
    assert found["ok"] is False and "nomigrate" in "; ".join(found["blockers"])


def test_a_guest_with_a_device_of_this_host(on, fleet, guest):
    """What xend prints of such guests, put in front of what the simulated one prints."""
    modules = on("xen1")
    described = modules.xm.domain("web01")["sxp"]
    told = described.rstrip().rstrip(")") + "(device (pci (dev (slot 0x1d) (bus 0x00)))))\n"
    script = fleet["xen1"].root / "xm-told"
    script.write_text(
        f"#!/bin/sh\ncase \"$*\" in"
        f" 'list --long') {fleet['xen1'].xm} list --long Domain-0; cat {script}.out ;;"
        f' *) exec {fleet["xen1"].xm} "$@" ;; esac\n'
    )
    script.chmod(0o755)
    (fleet["xen1"].root / "xm-told.out").write_text(told)
    modules.pack["__opts__"]["xend"].update(xm=str(script), socket="/nowhere/xmlrpc.sock")
    found = modules.xm.can_send("web01", "xen2")
    assert found["ok"] is False and "PCI" in "; ".join(found["blockers"])


@pytest.mark.parametrize("target", ["", "-xen2", "xen2;reboot", "xen 2"])
def test_a_target_that_is_no_host_name_is_refused(on, guest, target):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.can_send("web01", target)
    assert "target" in str(caught.value)


@pytest.mark.parametrize("port", ["abc", 0.5, 70000, -1, 0])
def test_a_port_that_is_none_is_refused(on, guest, port):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.can_send("web01", "xen2", port=port)
    assert str(port) in str(caught.value) and "65535" in str(caught.value)


def test_can_receive(on, guest):
    described = on("xen1").xm.domain("web01")
    marked = on("xen1").xm.mark_disks("web01")
    storage = on("xen2").xm.same_disks(marked, "xen1")
    assert on("xen1").xm.unmark_disks(marked) is True
    known = {"source": on("xen1").xm.host(), "storage": storage}
    # A device that has nothing but its content to be known by.
    refused = on("xen2").xm.can_receive(described, **known)
    assert refused["ok"] is False and "accept: [storage]" in refused["blockers"][0]
    found = on("xen2").xm.can_receive(described, accept=["storage"], **known)
    assert found["ok"] and found["blockers"] == []
    # By hand, with the description alone, it says what it could not compare.
    alone = on("xen2").xm.can_receive(described)
    assert alone["ok"] and "were not compared" in "; ".join(alone["warnings"])


def test_the_name_or_the_uuid_in_use_there(on, fleet, guest):
    described = on("xen1").xm.domain("web01")
    fleet["xen2"].create_guest("web01", paused=True)
    assert "name web01" in on("xen2").xm.can_receive(described)["blockers"][0]
    fleet["xen2"].destroy_guest("web01")
    fleet["xen2"].create_guest("other", uuid=guest.uuid)
    assert guest.uuid in on("xen2").xm.can_receive(described)["blockers"][0]
    fleet["xen2"].destroy_guest("other")
    # Another web01 that is being sent, or was left over, wants its name back.
    fleet["xen2"].create_guest("migrating-web01")
    assert "name migrating-web01" in on("xen2").xm.can_receive(described)["blockers"][0]


@pytest.mark.parametrize(
    "minimum, free_mib, ok",
    # Domain 0 has 1024 MiB and keeps dom0-min-mem of them; 0 means that it gives nothing back.
    [(1024, 300, True), (1024, 50, False), (900, 50, True), (0, 50, False)],
)
def test_memory_that_is_free_or_given_back(on, fleet, guest, minimum, free_mib, ok):
    described = on("xen1").xm.domain("web01")
    fleet["xen2"].config.write_text(OPEN.replace("1024", str(minimum)))
    fleet["xen2"].restart()
    too_much = on("xen2").xm.info()["free_memory"] - free_mib
    fleet["xen2"].create_guest("filler", memory_mib=too_much, paused=True)
    found = on("xen2").xm.can_receive(described)
    assert found["ok"] is ok, found
    # And the simulated xend agrees.
    done = fleet["xen1"].xm_run("migrate", "--live", "web01", fleet["xen2"].address)
    assert (done.returncode == 0) is ok, done.stderr


def test_many_guests_do_not_make_many_questions(on, fleet, guest):
    described, host = on("xen1").xm.domain("web01"), fleet["xen2"]
    for number in range(4):
        host.create_guest("db%d" % number, memory_mib=16, disks=["phy:/dev/vg/db%d,xvda,w" % number])
    modules, asked = on("xen2"), host.root / "asked"
    script = host.root / "xm-counted"
    script.write_text('#!/bin/sh\necho "$*" >> %s\nexec %s "$@"\n' % (asked, host.xm))
    script.chmod(0o755)
    modules.pack["__opts__"]["xend"].update(xm=str(script), socket="/nowhere/xmlrpc.sock")
    assert modules.xm.can_receive(described)["ok"]
    assert sorted(asked.read_text().splitlines()) == ["info", "list", "list --long"]


def test_a_description_made_by_hand(on, fleet):
    by_hand = {"name": "web01", "memory_mib": 96}
    assert on("xen2").xm.can_receive(by_hand)["ok"]
    more = {
        "vifs": [{"bridge": 9}],
        "vnc": [{"vnclisten": 0, "vncdisplay": 1}],
        "image_files": {"kernel": None},
    }
    (blocker,) = on("xen2").xm.can_receive(dict(by_hand, **more))["blockers"]
    assert "needs the bridge 9" in blocker


@pytest.mark.parametrize(
    "domain",
    [
        None,
        {},
        "web01",
        {"name": "web01"},
        {"name": "web01", "memory_mib": 96, "disks": ["phy:/dev/vg/web01,xvda,w"]},
        {"name": "web01", "memory_mib": 96, "vifs": [{"bridge": ["xenbr0"]}]},
    ],
)
def test_no_description_no_answer(on, fleet, domain):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen2").xm.can_receive(domain)
    assert "xm.domain" in str(caught.value)


@pytest.mark.parametrize("live", [True, False])
def test_migrate_reports_what_this_host_can_know(on, fleet, guest, live):
    sent = on("xen1").xm.migrate("web01", "xen2", live=live)
    assert sent["uuid"] == guest.uuid and sent["address"] == fleet["xen2"].address
    assert sent["comment"] == sent["facts"] + ". Start it nowhere else before xen2 was seen"
    assert sent["facts"] == "xen1 has no copy of web01 any more; xen2 has said that it runs"
    assert guest.uuid in open(sent["kept"]).read()
    arrived = on("xen2").xm.arrival("web01", uuid=guest.uuid, source="xen1", gone=True)
    assert arrived["arrived"] and arrived["copy"] == "running" and arrived["outcome"] == "moved"


def test_a_refused_migration_says_where_the_guest_is(on, fleet, guest):
    fleet["xen1"].xm_run("pause", "web01")
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.migrate("web01", "xen2")
    assert "It is on xen1 (state --p---), untouched" in str(caught.value)
    assert fleet["xen2"].guests() == {}


@pytest.mark.parametrize("timeout", [0, -1, "soon"])
def test_a_timeout_that_is_none(on, fleet, guest, timeout):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.migrate("web01", "xen2", timeout=timeout)
    assert "timeout" in str(caught.value)
    assert fleet["xen1"].guests()["web01"].alive


@pytest.mark.parametrize(
    "options, said",
    [
        ({"ssl": True}, "no TLS there"),
        ({"node": 1}, "no --node before Xen 3.3; this host runs 3.0"),
    ],
)
def test_options_that_an_old_xm_has_not(on, fleet, options, said):
    fleet["old"].create_guest("web01")
    modules = on("old")
    if "ssl" in options:
        # The door is asked first; test_xm_ssl has one that does answer over TLS.
        assert modules.xm.can_send("web01", "xen2", ssl=True)["ok"] is False
    with pytest.raises(CommandExecutionError) as caught:
        modules.xm.migrate("web01", "xen2", port=8002, **options)
    assert said in str(caught.value)
    assert fleet["old"].guests()["web01"].alive


def test_an_old_host_sends_to_a_new_one(on, fleet):
    fleet["old"].create_guest("web01")
    on("old").xm.migrate("web01", "xen2")
    assert on("xen2").xm.arrival("web01")["arrived"]
    assert fleet["xen2"].wait_alive("web01")


def test_arrival_of_another_domain_with_that_name(on, fleet):
    fleet["xen2"].create_guest("web01")
    found = on("xen2").xm.arrival(
        "web01", uuid="00000000-1111-2222-3333-444444444444", source="xen1", gone=True, timeout=0
    )
    assert not found["arrived"] and found["copy"] == "foreign" and found["lost"]
    assert "LOST" in found["comment"]


def test_arrival_when_xend_does_not_answer_is_unknown(on, fleet):
    fleet["xen2"].stop()
    found = on("xen2").xm.arrival("web01", source="xen1", gone=True, timeout=0)
    assert not found["arrived"] and found["copy"] == "unknown" and not found["lost"]
    assert "cannot be seen" in found["comment"] and "LOST" not in found["comment"]


def test_moving(on, fleet, guest):
    assert on("xen1").xm.moving() == []
    fleet["xen1"].link(hold_at=0.5)
    process = fleet["xen1"].xm_start("migrate", "--live", "web01", fleet["xen2"].address)
    fleet["xen1"].wait_held()
    assert "migrating-web01" in on("xen1").xm.moving()[0]
    assert "web01" in on("xen2").xm.moving()[0]
    on("xen2").xend.reserve("db01", who="migration from xen1")
    (sent,) = on("xen1").xm.migrations()["migrations"]
    there = on("xen2").xm.migrations()
    (received,) = there["migrations"]
    assert [(one["name"], one["uuid"], one["other"]) for one in (sent, received)] == [
        ("web01", guest.uuid, "xen2"),
        ("web01", guest.uuid, "xen1"),
    ]
    assert (sent["copy"], received["copy"], sent["memory_mib"]) == ("sending", "receiving", 96)
    assert there["expected"] == [{"name": "db01", "who": "migration from xen1"}]
    assert on("xen2").xend.release("db01")
    # A second migration meanwhile would find the name gone; it is told so before it tries.
    assert "being sent already" in on("xen1").xm.can_send("web01", "xen2")["blockers"][0]
    # And nobody is told that something broke, or to mend or destroy what is on its way.
    assert on("xen1").xm.where("web01")["copy"] == "sending"
    assert on("xen2").xm.where("web01")["copy"] == "receiving"
    fleet["xen1"].release()
    process.communicate(timeout=300)
    assert fleet["xen2"].wait_alive("web01")


def test_how_far_a_relay_is(on, fleet, guest):
    def sent():
        return on("xen1").xm.migrations()["migrations"][0]

    fleet["xen1"].link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(on("xen1").xm.migrate, "web01", "xen2")
        fleet["xen1"].wait_held()
        try:
            # It says so once in a second.
            assert wait_until(lambda: sent()["bytes"], 60)
            found = sent()
        finally:
            fleet["xen1"].release()
        going.result(300)
    assert found["copy"] == "sending" and found["other"] == "xen2" and found["seconds"] >= 0
    assert fleet["xen2"].wait_alive("web01")
    nothing = {"migrations": [], "expected": [], "held": []}
    assert on("xen1").xm.migrations(["web01"]) == on("xen2").xm.migrations() == nothing
    assert on("xen2").xm.migrations(["web01", "web02"])["held"] == [
        {"name": "web01", "uuid": guest.uuid, "copy": "running"}
    ]


def test_names_that_are_like_one_that_is_not_here(on, guest):
    found = on("xen1").xm.where("web1")
    assert found["copy"] == "absent" and found["near"] == ["web01"]
    assert on("xen1").xm.where("web01")["near"] == on("xen2").xm.where("web01")["near"] == []


def test_a_guest_that_somebody_created_paused_is_not_on_its_way(on, fleet):
    fleet["xen1"].create_guest("held", paused=True)
    assert on("xen1").xm.moving() == []


def test_gone_is_not_judged_from_a_list_that_was_not_understood(on, guest):
    modules = on("xen1")
    modules.pack["__opts__"]["xend"].update(xm="/bin/true", socket="/nowhere/xmlrpc.sock")
    assert modules.xm.where("web01")["copy"] == "unknown"
    assert modules.xm.arrival("web01", timeout=0)["outcome"] == "unknown"


@pytest.fixture
def unknowing(fleet):
    """A function that lets the xend of the old host not know something of a guest."""

    def break_(fault, name="web01"):
        fleet["old"].fault(fault, name)

    yield break_
    for fault in ("no-state", "no-name"):
        fleet["old"].fault(fault, False)


def test_a_guest_whose_state_is_question_marks(on, fleet, unknowing):
    guest = fleet["old"].create_guest("web01")
    other = fleet["old"].create_guest("web02")
    unknowing("no-state")
    old = on("old").xm
    assert old.list()["web01"]["state"] == "??????"
    # The others are as they are.
    assert old.where("web02")["copy"] == "running" and old.domain("web02")["uuid"] == other.uuid
    # It is neither running nor gone.
    assert old.domain("web01")["runs"] is False
    assert old.where("web01", guest.uuid)["copy"] == "unknown"
    assert [one["copy"] for one in old.copies()["copies"]] == ["unknown", "running"]
    arrival = old.arrival("web01", uuid=guest.uuid, source="xen1", timeout=0, gone=True)
    assert not arrival["arrived"] and not arrival["lost"] and arrival["outcome"] == "unknown"
    (blocker,) = old.can_send("web01", "xen2")["blockers"]
    assert "cannot be seen" in blocker and "??????" in blocker and "unpause" not in blocker
    assert old.can_send("web02", "xen2")["ok"]
    assert "name web01 is in use" in on("old").xm.can_receive(
        dict(old.domain("web01"), uuid=None, runs=True)
    )["blockers"][0]


def test_a_guest_whose_name_is_question_marks_may_be_any(on, fleet, unknowing):
    guest = fleet["old"].create_guest("web01")
    fleet["old"].create_guest("web02")
    unknowing("no-name")
    old = on("old").xm
    assert old.list()["??"]["state"] == "??"
    assert old.where("web02")["copy"] == "running"
    for name, uuid in (("web01", guest.uuid), ("web01", None), ("db", None)):
        found = old.where(name, uuid)
        assert found["copy"] == "unknown" and "without a name, which may be it" in found["problem"]
    # By its uuid it is known not to be that one.
    assert old.where("db", "00000000-1111-2222-3333-444444444444")["copy"] == "absent"
    (one,) = [one for one in old.copies()["copies"] if one["name"] == "??"]
    assert (one["uuid"], one["copy"]) == (guest.uuid, "unknown")
    arrival = old.arrival("web01", uuid=guest.uuid, source="xen1", timeout=0, gone=True)
    assert not arrival["arrived"] and not arrival["lost"] and arrival["outcome"] == "unknown"


def test_numa_hosts_say_more_than_one_line(minion_on, fleet):
    script = fleet["xen1"].root / "numa-xm"
    script.write_text(
        "#!/bin/sh\n[ \"$1\" = info ] || exec %s \"$@\"\n%s info | sed "
        "'/^nr_nodes/a node_to_cpu            : node0:0,2\\n                         node1:1,3'\n"
        % (fleet["xen1"].xm, fleet["xen1"].xm)
    )
    script.chmod(0o755)
    found = minion_on("xen1", xm=str(script), socket="/nowhere/xmlrpc.sock").modules.xm.info()
    assert found["node_to_cpu"] == "node0:0,2\nnode1:1,3"
    assert set(found) - {"node_to_cpu"} == set(minion_on("xen1").modules.xm.info())


def test_a_guest_is_waited_for_as_long_as_xend_waits_for_its_devices(on, fleet, guest):
    """And that is what the target's own configuration says; 100 s where it says nothing."""
    fleet["xen2"].config.write_text(OPEN + "(device-create-timeout 1)\n")
    fleet["xen1"].link(hold_at=0.5)
    process = fleet["xen1"].xm_start("migrate", "--live", "web01", fleet["xen2"].address)
    fleet["xen1"].wait_held()
    found = on("xen2").xm.arrival("web01", uuid=guest.uuid, source="xen1")
    assert found["copy"] == "receiving" and not found["lost"]
    assert 20 < found["seconds"] < 45
    fleet["xen1"].release()
    process.communicate(timeout=300)
    assert fleet["xen2"].wait_alive("web01")


@pytest.mark.parametrize("node", ["abc", -1, 1.5])
def test_a_node_that_is_none(on, fleet, guest, node):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.migrate("web01", "xen2", node=node)
    assert "node" in str(caught.value) and fleet["xen1"].guests()["web01"].alive


def test_a_lost_guest_is_reported_even_if_its_description_cannot_be_kept(
    on, fleet, guest, tmp_path
):
    modules = on("xen2")
    blocked = tmp_path / "file"
    blocked.write_text("")
    modules.pack["__opts__"]["xend"]["kept"] = str(blocked)
    advice = modules.xm.restart_advice(on("xen1").xm.domain("web01"))
    assert "To start it again" in advice and "could not be kept here" in advice


def test_kept_descriptions_are_for_root_only(on, guest):
    kept = on("xen1").xm.migrate("web01", "xen2")["kept"]
    assert os.stat(kept).st_mode & 0o777 == 0o600


def test_a_guest_that_nobody_sent_is_not_called_lost(on, fleet):
    found = on("xen2").xm.arrival("web01", timeout=0)
    assert found["copy"] == "absent" and not found["lost"] and "LOST" not in found["comment"]


@pytest.mark.parametrize(
    "option, value",
    [
        ("live", "no"),
        ("live", None),
        ("ssl", "no"),
        ("node", "x"),
        ("port", "abc"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("settle", "x"),
        ("settle", -1),
        ("settle", None),
        ("settle", float("nan")),
        ("accept", "everything"),
    ],
)
def test_options_that_make_no_sense_are_named(on, fleet, option, value):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.check_options(**{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)


@pytest.mark.parametrize("options", [["live"], True, {"speed": 1}, {5: 1}])
def test_what_are_no_options_is_told_in_a_report(on, fleet, options):
    report = on("xen1").xm.report("web01", options=options)
    assert "are not those of a migration" in report["wrong"] and report["problem"] is None
    assert on("xen1").xm.report("web01", options={"live": False})["wrong"] is None


def test_all_options_that_make_no_sense_are_named_at_once(on, fleet):
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").xm.check_options(timeout="5m", live="no", accept=["everything"])
    for word in ("timeout", "5m", "live", "accept", "everything"):
        assert word in str(caught.value)


def test_options_that_an_old_xm_lacks_keep_a_guest_from_leaving(on, fleet):
    fleet["old"].create_guest("web01")
    check = on("old").xm.can_send("web01", "xen1", node=1)
    assert check["blockers"] == ["xm migrate has no --node before Xen 3.3; this host runs 3.0"]
    assert on("old").xm.can_send("web01", "xen1")["ok"]


def test_a_target_that_the_pillar_does_not_know(on, fleet, guest):
    (blocker,) = on("xen1").xm.can_send("web01", "xen7.invalid")["blockers"]
    assert "xen7.invalid is no minion id in the pillar xend:relocation:hosts" in blocker
    unheard = on("xen1").xm.can_send("web01", "127.0.0.1")["blockers"]
    assert "minion id" not in "".join(unheard)


def test_options_that_make_sense(on, fleet):
    assert on("xen1").xm.check_options(
        live=False, port="8002", ssl=True, node=0, timeout=1.5, settle="30"
    )
