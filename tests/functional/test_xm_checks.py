"""What is checked before a guest moves, on simulated hosts, and whether their xend proves it right.

Disks have a file of their own, test_xm_disks.py, and so have other devices, test_xm_devices.py.
"""

import os
import socket
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import OPEN, arrives, said
from tests.lab import storage
from tests.lab.fleet import HostSpec

FEW_FLAGS = tuple("fpu tsc msr pae cx8 sep cmov mmx fxsr nx lm".split())


@pytest.fixture(scope="module")
def running(open_fleet):
    """Two hosts that are alike, one with another processor, one with an older Xen."""
    hosts = [
        HostSpec("xen1"),
        HostSpec("xen2"),
        HostSpec("amd1", cpu_vendor="AuthenticAMD", cpu_flags=FEW_FLAGS, uptime_s=60.0),
        HostSpec("old1", version="3.4.0"),
        HostSpec("vtd1", info={"virt_caps": "hvm hvm_directio"}),
        HostSpec("vtd0", version="4.0", info={"virt_caps": "hvm hvm_directio"}),
    ]
    return open_fleet(*hosts)


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()
        for path in storage.FILES:
            host.path(path).touch()


# What a host says of itself


def test_the_facts_of_a_host(on, fleet):
    before = time.time()
    found = on("xen1").host()
    assert (found["xen"], found["machine"], found["vendor"]) == ([4, 4], "x86_64", "GenuineIntel")
    assert found["flags"] == sorted(HostSpec("any").cpu_flags)
    assert found["bridges"] == ["xenbr0"] and found["uptime_s"] == 86400
    assert found["free_mib"] == on("xen1").info()["free_memory"]
    assert before <= found["time"] <= time.time()
    assert on("amd1").host()["vendor"] == "AuthenticAMD" and on("old1").host()["xen"] == [3, 4]


@pytest.mark.parametrize(
    "form, script",
    [
        ("", None),
        ("(vif-script vif-route)\n", "vif-route"),
        ("(vif-script 'vif-bridge bridge=dmz')\n", "vif-bridge bridge=dmz"),
        ("(vif-script (vif-route))\n", None),
    ],
)
def test_the_vif_script_of_a_host(on, fleet, form, script):
    config = fleet["xen2"].config
    config.write_text(OPEN + form)
    try:
        assert on("xen2").host()["vif_script"] == script
    finally:
        config.write_text(OPEN)


def test_what_cannot_be_seen_is_none_and_is_said(on, check, fleet):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0"])
    hidden = [
        fleet["xen2"].path(path) for path in ("/proc/cpuinfo", "/proc/uptime", "/sys/class/net")
    ]
    for path in hidden:
        path.rename(str(path) + ".hidden")
    try:
        found = on("xen2").host()
        assert [found[key] for key in ("vendor", "flags", "model", "uptime_s", "bridges")] == [
            None
        ] * 5
        answer = check()
    finally:
        for path in hidden:
            os.rename(str(path) + ".hidden", path)
    assert answer["ok"]
    for words in (
        "make of processor",
        "processor flags",
        "uptime",
        "bridge xenbr0 was not checked",
    ):
        assert words in said(answer, "warnings")


def test_the_report_of_a_guest(on, fleet):
    guest = fleet["xen1"].create_guest("web01")
    found = on("xen1").report("web01")
    assert found["domain"]["uuid"] == guest.uuid and found["host"]["xen"] == [4, 4]
    assert (found["file"], found["announces"], found["problem"]) == (None, False, None)
    elsewhere = on("xen2").report("web01")
    assert elsewhere["domain"] is None and elsewhere["problem"] is None and elsewhere["host"]


def test_the_report_of_a_guest_that_xend_only_knows(on, fleet):
    fleet["xen1"].create_guest("web01", managed=True)
    assert fleet["xen1"].xm_run("destroy", "web01").returncode == 0
    found = on("xen1").report("web01")
    assert found["domain"] is None and found["problem"] is None


def test_a_report_says_why_it_cannot_say_all(on, fleet):
    fleet["xen2"].stop()
    try:
        found = on("xen2").report("web01")
    finally:
        fleet["xen2"].start()
    assert found["domain"] is None and "Connection refused" in found["problem"]


# Hosts that differ


def test_another_processor_needs_to_be_accepted(check, fleet):
    fleet["xen1"].create_guest("web01")
    found = check("amd1")
    assert found["ok"] is False
    assert "AuthenticAMD" in said(found) and "accept: [cpu]" in said(found)
    # All hosts of the lab have the same hw_caps, which know better than the names.
    assert "does not show sse, sse2" in said(found, "warnings")
    assert "has sse, sse2" in said(check("amd1", source={"hw_caps": None}))
    assert check("amd1", accept=["version"])["ok"] is False
    for accept in (["cpu"], "cpu"):
        accepted = check("amd1", accept=accept)
        assert accepted["ok"] and "accepted: " in said(accepted, "warnings")


@pytest.mark.parametrize(
    "names", ["xsaveopt ibrs ibpb stibp ssbd vmmcall invpcid_single md_clear", "avx2"]
)
def test_the_same_processor_under_another_kernel(check, fleet, names):
    """All hosts of the lab have the same model with the same hw_caps; only one kernel has these names."""
    fleet["xen1"].create_guest("web01")
    cpuinfo = fleet["xen1"].path("/proc/cpuinfo")
    before = cpuinfo.read_text()
    cpuinfo.write_text(before.replace(" lm", " lm " + names))
    try:
        found = check()
        assert found["ok"], found
        assert "does not show %s, that of xen1 does" % names.split()[0] in said(found, "warnings")
        cpuinfo.write_text(cpuinfo.read_text().replace("stepping\t: 6", "stepping\t: 7"))
        found = check()
    finally:
        cpuinfo.write_text(before)
    assert found["ok"] is False and "has %s, that" % names.split()[0] in said(found)


def test_a_processor_that_can_more_is_no_obstacle(on, fleet):
    fleet["amd1"].create_guest("web01")
    found = on("xen1").can_receive(
        on("amd1").domain("web01"), source=dict(on("amd1").host(), vendor="GenuineIntel")
    )
    assert found["ok"], found


def test_an_older_xen_needs_to_be_accepted(check, on, fleet):
    fleet["xen1"].create_guest("web01")
    found = check("old1")
    assert found["ok"] is False and "Xen 4.4" in said(found) and "an older one, 3.4" in said(found)
    assert check("old1", accept=["version", "cpu"])["ok"]
    # Nor may it go from one major version to the next unasked.
    fleet["old1"].create_guest("db")
    away = on("xen1").can_receive(on("old1").domain("db"), source=on("old1").host())
    assert away["ok"] is False and "a much newer one, 4.4" in said(away)


def test_more_than_one_release_is_said(check, fleet):
    fleet["xen1"].create_guest("web01")
    old = {"source": {"xen": [4, 1], "tools": [4, 1]}}
    found = check(**old)
    assert found["ok"] and "xen1 has Xen 4.1, xen2 4.4, which is 3 releases later" in said(
        found, "warnings"
    )
    assert "releases later" not in said(check(), "warnings")


@pytest.mark.parametrize("accept", ["everything", ["cpu", "memory"], ["CPU"], "cpu,version"])
def test_a_risk_that_nobody_knows_is_refused(check, fleet, accept):
    fleet["xen1"].create_guest("web01")
    with pytest.raises(CommandExecutionError) as caught:
        check(accept=accept)
    assert "accept" in str(caught.value) and "cpu, version, storage" in str(caught.value)


@pytest.mark.parametrize("off_s, words", [(60, "behind"), (-60, "ahead of"), (1, "")])
def test_clocks_that_differ(check, fleet, off_s, words):
    fleet["xen1"].create_guest("web01")
    found = check(source={"time": time.time() + off_s})
    assert found["ok"]
    assert ("the clock of xen2 is" in said(found, "warnings")) is bool(words)
    assert words in said(found, "warnings")


def slow_xm(host, seconds):
    """An xm that takes its time, as on the machines of that age."""
    script = host.root / "slow-xm"
    script.write_text('#!/bin/sh\nsleep %s\nexec %s "$@"\n' % (seconds, host.xm))
    script.chmod(0o755)
    return str(script)


def test_a_slow_host_tells_the_time_of_the_question(minion_on, fleet):
    fleet["xen1"].create_guest("web01")
    options = {"xm": slow_xm(fleet["xen1"], 0.7), "socket": "/nowhere/xmlrpc.sock"}
    slow = minion_on("xen1", **options).modules.xm
    before = time.time()
    found = slow.report("web01")
    after = time.time()
    # Asked for its guests, and for what it is.
    assert before <= found["host"]["time"] <= after - 1.4
    assert 1.4 <= found["seconds"] <= after - before + 0.05
    before = time.time()
    assert before <= slow.host()["time"] <= time.time() - 0.7


@pytest.fixture
def asked(on):
    """A function that has asked both hosts at one moment, lets time pass, and checks, as an orchestration."""

    def ask(pass_s=0.0, ahead_s=0.0, apart_s=0.5):
        reports = {name: on(name).report("web01") for name in ("xen1", "xen2")}
        time.sleep(pass_s)
        there = reports["xen2"]["host"]
        return on("xen2").can_receive(
            reports["xen1"]["domain"],
            source=dict(reports["xen1"]["host"], time=there["time"] - ahead_s),
            accept="storage",
            asked={"time": there["time"], "apart_s": apart_s},
        )

    return ask


def test_what_passes_between_the_question_and_the_check_is_no_skew(asked, fleet):
    fleet["xen1"].create_guest("web01")
    found = asked(pass_s=6.5)
    assert found["ok"] and "clock" not in said(found, "warnings")


@pytest.mark.parametrize("ahead_s, words", [(20, "20 s ahead of"), (-20, "20 s behind")])
def test_a_skew_shows_whatever_passes_in_between(asked, fleet, ahead_s, words):
    fleet["xen1"].create_guest("web01")
    assert words in said(asked(pass_s=1.0, ahead_s=ahead_s), "warnings")
    assert words in said(asked(ahead_s=ahead_s, apart_s=10), "warnings")


def test_hosts_that_answer_far_apart_prove_no_skew(asked, fleet):
    fleet["xen1"].create_guest("web01")
    found = asked(ahead_s=20, apart_s=25)
    assert "the clock of" not in said(found, "warnings")
    assert "whether the clocks of xen1 and xen2 agree was not found out" in said(found, "warnings")
    assert "clock" not in said(asked(apart_s=25), "warnings")


def test_of_facts_from_another_question_only_what_is_certain_is_told(check, fleet):
    fleet["xen1"].create_guest("web01")
    # It may have been asked that long ago.
    assert "clock" not in said(check(source={"time": time.time() - 30}), "warnings")
    assert "s behind" in said(check(source={"time": time.time() + 30}), "warnings")


@pytest.mark.parametrize(
    "given",
    ["now", {}, {"time": 1}, {"time": "x", "apart_s": 1}, {"time": 1, "apart_s": -1}],
)
def test_a_moment_that_is_none_is_refused(on, fleet, given):
    fleet["xen1"].create_guest("web01")
    with pytest.raises(CommandExecutionError) as caught:
        on("xen2").can_receive(on("xen1").domain("web01"), asked=given)
    assert "asked" in str(caught.value)


def test_the_uptime_is_that_of_the_question_too(on, fleet):
    """An hour is allowed; what passes between the question and the check does not eat it up."""
    fleet["xen1"].create_guest("web01")
    source, there = on("xen1").host(), on("xen2").host()
    source["uptime_s"] = there["uptime_s"] + 3590
    then = {"time": there["time"] - 30, "apart_s": 0}
    found = on("xen2").can_receive(
        on("xen1").domain("web01"), source=dict(source, time=then["time"]), asked=then
    )
    assert "has been up for" in said(found, "warnings")


def test_a_host_that_is_up_for_a_much_shorter_time(check, fleet):
    fleet["xen1"].create_guest("web01")
    assert "amd1 has been up for 0.0 h" in said(check("amd1", accept="cpu"), "warnings")


def test_a_missing_bridge_would_lose_the_guest_and_does(check, fleet):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0", "bridge=dmz"])
    found = check()
    assert found["ok"] is False and "needs the bridge dmz" in said(found)
    assert "xen2 has only xenbr0" in said(found)
    assert not arrives(fleet) and fleet["xen1"].guests() == {}


def test_a_network_card_that_needs_no_bridge(check, fleet):
    fleet["xen1"].create_guest("web01", vifs=["bridge=dmz,script=vif-nat"])
    assert check()["ok"] and arrives(fleet)


def test_a_device_that_another_domain_serves(check, on, fleet):
    guest = fleet["xen1"].create_guest(
        "web01", disks=["file:/srv/xen/web01.img,xvda,w"], vifs=["bridge=xenbr0"]
    )
    config = fleet["xen1"].hypervisor.domain(guest.domid)["config"]
    for item in config:
        if item[0] == "device" and item[1][0] == "vif":
            item[1] = [["backend", "7"] if pair[0] == "backend" else pair for pair in item[1]]
    fleet["xen1"].hypervisor.update(guest.domid, config=config)
    assert "served by the domain 7" in said(on("xen1").can_send("web01", "xen2"))
    assert check()["ok"] is False and "served by the domain 7" in said(check())


# HVM guests


def test_a_hvm_guest_needs_its_device_model(check, fleet):
    fleet["xen1"].create_guest("web01", image="hvm")
    assert check() == {"ok": True, "blockers": [], "warnings": []}
    fleet["xen2"].path("/usr/lib/xen/bin/qemu-dm").unlink()
    found = check()
    assert found[
        "ok"
    ] is False and "qemu-dm, the device model of web01, is missing on xen2" in said(found)


def test_a_missing_kernel_matters_at_the_next_start_only(check, fleet):
    fleet["xen1"].create_guest("web01")
    fleet["xen2"].path("/boot/vmlinuz-guest").unlink()
    found = check()
    assert found["ok"] and "/boot/vmlinuz-guest, the kernel of web01" in said(found, "warnings")
    assert arrives(fleet)


# Memory


def fill(host, leave_mib):
    """Take all memory of the host but this much."""
    free_mib = host.hypervisor.free_kib() // 1024 - leave_mib - 1
    host.create_guest("filler", memory_mib=free_mib, paused=True)


# A HVM guest of 100 MiB takes 9 MiB of shadow and up to 8 MiB of video memory besides.
@pytest.mark.parametrize(
    "image, leave_mib, ok", [("hvm", 120, True), ("hvm", 105, False), ("linux", 105, True)]
)
def test_the_memory_that_a_guest_needs_there(check, fleet, image, leave_mib, ok):
    fleet["xen1"].create_guest("web01", image=image, memory_mib=100)
    fill(fleet["xen2"], leave_mib)
    found = check()
    assert found["ok"] is ok and ("MiB are needed here" in said(found)) is not ok
    assert arrives(fleet) is ok
    assert ok or fleet["xen1"].wait_alive("web01")


@pytest.mark.parametrize(
    "target, image, leave_mib, ok",
    [
        # 8 MiB for 2048 MiB of maxmem, for guests that have no such device as well.
        ("vtd1", "linux", 105, False),
        ("vtd1", "linux", 112, True),
        ("xen2", "linux", 105, True),
        # With 4.0 only guests that are started want it.
        ("vtd0", "linux", 105, True),
        ("vtd1", "hvm", 128, False),
        ("xen2", "hvm", 128, True),
    ],
)
def test_the_tables_of_an_iommu_want_memory_too(check, fleet, target, image, leave_mib, ok):
    fleet["xen1"].create_guest("web01", image=image, memory_mib=100, maxmem=2048, shadow_memory=18)
    fill(fleet[target], leave_mib)
    # From 4.4 to 4.0 is another matter.
    found = check(target, accept="version", source={"xen": [4, 0], "tools": [4, 0]})
    assert found["ok"] is ok, found
    assert ok or "8 of them for the tables of its IOMMU (VT-d)" in said(found)
    assert arrives(fleet, target) is ok
    # Nothing was lost by it: it ends where it began.
    assert ok or fleet["xen1"].wait_alive("web01")


def test_a_live_migration_needs_memory_on_the_source(on, fleet):
    fleet["xen1"].create_guest("web01", memory_mib=96, vcpus=2, maxmem=192)
    fill(fleet["xen1"], leave_mib=2)
    found = on("xen1").can_send("web01", "xen2")
    assert found["ok"] is False and "3 MiB are needed for a live migration" in said(found)
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").migrate("web01", "xen2")
    assert "3 MiB are needed" in str(caught.value) and "untouched" in str(caught.value)
    # xend says the same, and neither of them minds when it is not live.
    assert not arrives(fleet) and fleet["xen1"].guests()["web01"].alive
    assert on("xen1").can_send("web01", "xen2", live=False)["ok"]
    on("xen1").migrate("web01", "xen2", live=False)
    assert fleet["xen2"].wait_alive("web01")


# Names


def test_the_name_of_another_guest_that_xend_only_knows(check, fleet):
    """xend refuses a guest whose name one of its managed domains has, also when that does not run."""
    guest = fleet["xen1"].create_guest("web01")
    other = fleet["xen2"].create_guest("web01", managed=True)
    assert fleet["xen2"].xm_run("destroy", "web01").returncode == 0
    found = check()
    assert found["ok"] is False and other.uuid in said(found)
    assert not arrives(fleet) and fleet["xen1"].wait_alive("web01").uuid == guest.uuid


def test_a_guest_that_comes_back_to_where_xend_knows_it(check, fleet):
    guest = fleet["xen1"].create_guest("web01")
    fleet["xen2"].create_guest("web01", managed=True, uuid=guest.uuid)
    assert fleet["xen2"].xm_run("destroy", "web01").returncode == 0
    assert check()["ok"] and arrives(fleet)


def test_a_name_that_leads_to_this_host(on, fleet):
    name = socket.gethostname()
    try:
        socket.gethostbyname(name)
    except OSError:
        pytest.skip("the name of this machine does not resolve")
    fleet["xen1"].create_guest("web01")
    found = on("xen1").can_send("web01", name)
    assert found["ok"] is False and "the target %s" % name in said(found)
    assert "is this host itself" in said(found)


def test_all_blockers_are_told_at_once(check, on, fleet):
    fleet["xen1"].create_guest(
        "web01",
        image="hvm",
        vifs=["bridge=dmz"],
        disks=["file:/srv/local/a.img,xvda,w", "file:/srv/local/b.img,xvdb,w"],
    )
    fleet["amd1"].make_image("/srv/local/a.img")
    fleet["amd1"].create_guest("web01", paused=True)
    fleet["amd1"].path("/usr/lib/xen/bin/qemu-dm").unlink()
    fill(fleet["amd1"], leave_mib=50)
    found = check("amd1")
    for words in (
        "the name web01 is in use here",
        "MiB are needed here",
        "needs the bridge dmz",
        "is from GenuineIntel",
        "qemu-dm",
        "a.img: amd1 does not see",
        "there is no /srv/local/b.img",
    ):
        assert words in said(found), words
    fleet["xen1"].xm_run("pause", "web01")
    fill(fleet["xen1"], leave_mib=1)
    fleet["xen2"].stop()
    try:
        leaving = on("xen1").can_send("web01", "xen2")
    finally:
        fleet["xen2"].start()
    assert "--p---" in said(leaving) and "nothing listens" in said(leaving)


# Bytes


def test_what_xend_would_hand_on_as_other_bytes_is_refused_by_name(on, fleet):
    """xend writes them as escapes that its own reader misreads: without the check they are altered."""
    fleet["xen1"].create_guest("web01", args="quiet \x7f[0m")
    (said,) = on("xen1").can_send("web01", "xen2")["blockers"]
    assert "'quiet \\x7f[0m' of web01" in said and "ASCII" in said
    assert fleet["xen1"].xm_run("migrate", "web01", fleet["xen2"].address).returncode == 0
    fleet["xen2"].wait_alive("web01")
    assert "x7f" not in on("xen2").domain("web01")["sxp"]
