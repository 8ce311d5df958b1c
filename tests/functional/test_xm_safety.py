"""What is said of the safety copy before a guest leaves, and its options, on simulated hosts."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from salt.exceptions import CommandExecutionError

from tests.harness.loading import host_opts
from tests.lab.fleet import HostSpec

# Who has no room: nothing can be kept in /proc, which has none either.
NO_ROOM = "/proc/safety"


@pytest.fixture(scope="module")
def running(open_fleet):
    # With memory for a guest for whose copy no disk has room.
    return open_fleet(HostSpec("xen1", memory_mib=64 << 20), HostSpec("xen2"))


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()


@pytest.fixture
def guest(fleet):
    return fleet["xen1"].create_guest("web01")


def test_a_guest_that_can_leave_gets_a_copy_in_the_folder_of_what_is_kept(minion_on, fleet, guest):
    found = minion_on("xen1").modules.xm.can_send("web01", "xen2")
    assert found["ok"] and not found["warnings"]
    assert found["safety"] == {
        "relay": True,
        "copy": "auto",
        "folder": host_opts(fleet["xen1"])["xend"]["kept"],
        "delay_s": 30,
        "rate_mib_s": None,
        "spare_mib": 128,
    }


def test_what_its_host_says_holds_and_what_is_given_goes_before_it(minion_on, guest, tmp_path):
    said = {"safety_copy": "required", "safety_folder": str(tmp_path / "safety")}
    can_send = minion_on("xen1", safety_delay_s=5, rate_mib_s=50, **said).modules.xm.can_send
    found = can_send("web01", "xen2")
    assert found["ok"] and not found["warnings"]
    said = found["safety"]
    assert (said["copy"], said["folder"]) == ("required", str(tmp_path / "safety"))
    assert (said["delay_s"], said["rate_mib_s"]) == (5, 50)
    given = can_send("web01", "xen2", safety_copy=False, safety_delay_s=0, rate_mib_s=False)["safety"]
    assert (given["copy"], given["delay_s"], given["rate_mib_s"]) == ("off", 0, None)
    # It only looks.
    assert not (tmp_path / "safety").exists()


def test_a_wrong_option_of_a_host_keeps_a_guest_from_leaving(minion_on, fleet, guest):
    minion = minion_on("xen1", safety_copy="maybe", relay="no")
    found = minion.modules.xm.can_send("web01", "xen2")
    (blocker,) = found["blockers"]
    assert 'xend:safety_copy: "maybe" is none of auto, required, off' in blocker and "xend:relay" in blocker
    assert found["safety"] is None
    with pytest.raises(CommandExecutionError) as caught:
        minion.modules.xm.migrate("web01", "xen2")
    assert "web01 was not moved" in str(caught.value) and "xend:safety_copy" in str(caught.value)
    assert fleet["xen1"].guests()["web01"].alive


@pytest.mark.parametrize(
    "given, said",
    [
        ({"safety_copy": "maybe"}, 'safety_copy: "maybe" is none of auto, required, off'),
        ({"safety_folder": "safety"}, 'safety_folder: "safety" is no absolute path'),
        ({"safety_delay_s": "5m"}, 'safety_delay_s: "5m" is no number of seconds'),
        ({"rate_mib_s": 0}, "rate_mib_s: 0 is neither a number of MiB in a second"),
        ({"relay": "no"}, 'relay: "no" is neither true nor false'),
        ({"safety_copy": "required", "relay": False}, "safety_copy: required: with relay: false"),
        ({"rate_mib_s": 50, "relay": False}, "rate_mib_s: 50: with relay: false"),
        ({"safety_copy": "required", "ssl": True}, "safety_copy: required: with TLS"),
        ({"rate_mib_s": 50, "ssl": True}, "rate_mib_s: 50: with TLS"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_moves(minion_on, fleet, guest, given, said):
    minion, before = minion_on("xen1"), len(fleet["xen1"].xm_calls())
    xm = minion.modules.xm
    for function, arguments in ((xm.check_options, ()), (xm.migrate, ("web01", "xen2"))):
        with pytest.raises(CommandExecutionError) as caught:
            function(*arguments, **given)
        assert said in str(caught.value)
    for state in (minion.states.xm.sent, minion.states.xm.migrated):
        result = state("web01", target="xen2", **given)
        assert result["result"] is False and said in result["comment"]
    report = xm.report("web01", source="xen1", options=given)
    assert said in report["wrong"]
    assert fleet["xen1"].guests()["web01"].alive
    assert not [call for call in fleet["xen1"].xm_calls()[before:] if "migrate" in call]


def test_what_makes_sense_passes(minion_on, fleet):
    check = minion_on("xen1", relay=False).modules.xm.check_options
    assert check(safety_copy="required", safety_folder="/srv/safety", safety_delay_s=0, rate_mib_s=2.5)
    assert check(safety_copy=False, rate_mib_s=False, relay=True)
    # What this host says is not looked at, because the target of a migration is asked as well.
    assert check(safety_copy="required")


def test_without_room_a_guest_leaves_without_a_copy_unless_it_needs_one(minion_on, fleet, guest):
    minion = minion_on("xen1", safety_folder=NO_ROOM)
    found = minion.modules.xm.can_send("web01", "xen2")
    (warning,) = found["warnings"]
    assert found["ok"] and found["safety"]["copy"] == "off" and found["safety"]["relay"]
    assert "no safety copy of web01 is kept: it needs about 121 MiB" in warning and NO_ROOM in warning
    result = minion.states.xm.can_send("web01", target="xen2")
    assert result["result"] is True and result["changes"]["warnings"] == [warning]
    found = minion.modules.xm.can_send("web01", "xen2", safety_copy="required")
    assert not found["ok"] and "no safety copy of web01 can be kept" in found["blockers"][0]
    result = minion.states.xm.sent("web01", "xen2", safety_copy="required")
    assert result["result"] is False and "no safety copy of web01 can be kept" in result["comment"]
    assert minion.modules.xm.can_send("web01", "xen2", safety_copy="off")["warnings"] == []
    assert fleet["xen1"].guests()["web01"].alive


def test_a_folder_that_is_none_is_named(minion_on, guest, tmp_path):
    (tmp_path / "file").write_text("")
    can_send = minion_on("xen1").modules.xm.can_send
    folder = str(tmp_path / "file")
    (warning,) = can_send("web01", "xen2", safety_folder=folder)["warnings"]
    (blocker,) = can_send("web01", "xen2", safety_folder=folder, safety_copy="required")["blockers"]
    assert f"{folder}: Not a directory" in warning and f"{folder}: Not a directory" in blocker


def test_without_a_relay_it_is_said_that_nothing_is_kept(minion_on, guest):
    minion = minion_on("xen1", relay=False)
    found = minion.modules.xm.can_send("web01", "xen2")
    assert found["ok"] and found["warnings"][0].startswith("no safety copy of web01 is kept")
    assert (found["safety"]["copy"], found["safety"]["relay"]) == ("off", False)
    assert minion.modules.xm.can_send("web01", "xen2", safety_copy="off")["warnings"] == []
    (blocker,) = minion.modules.xm.can_send("web01", "xen2", safety_copy="required")["blockers"]
    assert "with relay: false no copy" in blocker


def test_of_a_migration_over_tls_it_is_said_that_nothing_is_kept(minion_on, guest):
    can_send = minion_on("xen1").modules.xm.can_send
    found = can_send("web01", "xen2", ssl=True, ask=False)
    assert [warning for warning in found["warnings"] if "with TLS" in warning]
    assert (found["safety"]["copy"], found["safety"]["relay"]) == ("off", False)
    found = can_send("web01", "xen2", ssl=True, ask=False, safety_copy="off")
    assert not [warning for warning in found["warnings"] if "with TLS" in warning]


def test_a_tool_that_moves_devices_is_told_the_target_itself(minion_on, fleet, guest):
    """xend tells it where it connects to, which a relay is not (external-migration-tool)."""
    config = fleet["xen1"].config
    before = config.read_text()
    config.write_text(before + "(external-migration-tool /usr/sbin/move-devices)\n")
    try:
        xm = minion_on("xen1").modules.xm
        found = xm.can_send("web01", "xen2")
        assert found["ok"] and (found["safety"]["copy"], found["safety"]["relay"]) == ("off", False)
        (warning,) = found["warnings"]
        assert "with an external-migration-tool, which has to be told the target itself" in warning
        assert not xm.can_send("web01", "xen2", safety_copy="required")["ok"]
        assert xm.migrate("web01", "xen2")["heard"] is None
        (command,) = [call for call in fleet["xen1"].xm_calls() if call[0] == "migrate"][-1:]
        assert command[-1] == fleet["xen2"].address
    finally:
        config.write_text(before)


def test_the_room_that_the_copy_of_another_guest_will_take_is_not_there(minion_on, fleet, guest, tmp_path):
    space = os.statvfs(tmp_path)
    free_mib = space.f_bavail * space.f_frsize // (1 << 20)
    fleet["xen1"].create_guest("web02", memory_mib=free_mib)
    xm = minion_on("xen1").modules.xm
    (warning,) = xm.can_send("web02", "xen2", safety_folder=str(tmp_path))["warnings"]
    assert "no safety copy of web02 is kept" in warning and "being sent now" not in warning
    fleet["xen1"].link(hold_at=0.5)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(minion_on("xen1").modules.xm.migrate, "web01", "xen2")
        fleet["xen1"].wait_held()
        (warning,) = xm.can_send("web02", "xen2", safety_folder=str(tmp_path))["warnings"]
        fleet["xen1"].release()
        assert sent.result()["copy"] == "removed"
    assert "(128 more stay free, 121 are for guests that are being sent now)" in warning
