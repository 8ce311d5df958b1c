"""What is checked before a guest moves, on simulated hosts, and whether their xend proves it right.

Sending and what is left of broken migrations are in test_xm.py and test_xm_recovery.py.
"""

import os
import shutil
import socket
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import LIMIT_S, OPEN, arrives, said
from tests.lab import storage
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

MARKER = ".xend-for-salt."
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
        HostSpec("few1", loops=2),
    ]
    return open_fleet(*hosts)


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        if not host.path(storage.SHARED_MOUNT).is_symlink():
            host.mount()
        host.clear()
        host.release_loops()
        host.unmount_devices()
        for name in storage.BLOCK_SCRIPTS:
            host.add_script(name)
        for resource in host.drbds():
            host.drbd(resource, present=False)
        for folder in (host.path("/dev/vg"), host.path(storage.LOCAL)):
            for path in folder.iterdir() if folder.is_dir() else ():
                path.unlink()
        for path in storage.FILES:
            host.path(path).touch()


@pytest.fixture
def check(on):
    """A function that asks the target about web01 as an orchestration does; xen1 is its source."""

    def ask(target="xen2", accept=None, source=None):
        report = on("xen1").report("web01")
        marked = on("xen1").mark_disks("web01")
        storage_there = on(target).same_disks(marked, "xen1")
        on("xen1").unmark_disks(marked)
        return on(target).can_receive(
            report["domain"],
            source=dict(report["host"], **(source or {})),
            storage=storage_there,
            accept=accept,
        )

    return ask


def markers(*hosts):
    """The markers that the hosts see, wherever images are."""
    folders = [
        host.path(folder) for host in hosts for folder in (storage.SHARED_MOUNT, storage.LOCAL)
    ]
    return [path.name for folder in folders for path in folder.glob(MARKER + "*")]


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


# Disks


@pytest.mark.parametrize(
    "disk",
    [
        "file:/srv/xen/web01.img,xvda,w",
        "tap:aio:/srv/xen/web01.img,xvda,w",
        "file:/home/vm/a.img,xvda,w",
    ],
)
def test_a_shared_image_is_proved_to_be_the_same(on, fleet, disk):
    fleet["xen1"].create_guest("web01", disks=[disk])
    marked = on("xen1").mark_disks("web01")
    ((verdict, sentence),) = on("xen2").same_disks(marked, "xen1")
    assert verdict == "same" and "judged" not in sentence and disk.split(",")[0] in sentence
    assert on("xen1").unmark_disks(marked) is True


def test_it_is_the_marker_that_proves_it(on, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    marked = on("xen1").mark_disks("web01")
    assert markers(fleet["xen2"]) == [MARKER + marked["token"]]
    on("xen1").unmark_disks(marked)
    assert markers(fleet["xen2"]) == []
    assert on("xen2").same_disks(marked, "xen1")[0][0] == "different"


def test_a_shared_image_may_go_and_goes(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    assert check() == {"ok": True, "blockers": [], "warnings": []}
    assert markers(*fleet) == []
    assert arrives(fleet)


@pytest.mark.parametrize("is_copy", [True, False])
def test_the_same_path_with_an_image_of_its_own_is_another_disk(check, fleet, is_copy):
    """xend would not notice: the guest would go on with another disk under it. Nobody may accept that."""
    fleet["xen1"].create_guest("web01", disks=["file:/srv/local/web01.img,xvda,w"])
    if is_copy:
        shutil.copy(fleet["xen1"].path("/srv/local/web01.img"), fleet["xen2"].path("/srv/local"))
    else:
        fleet["xen2"].make_image("/srv/local/web01.img")
    found = check(accept=["storage"])
    assert found["ok"] is False and "these are two files" in said(found)
    assert markers(*fleet) == []


def test_a_copy_is_good_enough_for_a_disk_that_is_only_read(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/local/cd.iso,xvdc:cdrom,r"])
    fleet["xen2"].make_image("/srv/local/cd.iso")
    assert check()["ok"] is False
    shutil.copy(fleet["xen1"].path("/srv/local/cd.iso"), fleet["xen2"].path("/srv/local"))
    found = check()
    # Judged, not proved: people are told.
    assert found["ok"] and "a copy" in said(found, "warnings")


@pytest.mark.parametrize("disk", ["file:/srv/local/web01.img,xvda,w", "phy:vg/lost,xvda,w"])
def test_a_disk_that_is_missing_would_lose_the_guest_and_does(check, fleet, disk):
    fleet["xen1"].create_guest("web01", disks=[disk])
    fleet["xen2"].path("/dev/vg/lost").unlink(missing_ok=True)
    found = check(accept=["storage"])
    assert found["ok"] is False and "there is no /" in said(found) and "lost on both" in said(found)
    assert not arrives(fleet) and fleet["xen1"].guests() == {}


def test_shared_storage_that_is_not_mounted(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    fleet["xen2"].unmount()
    assert "there is no /srv/xen/web01.img" in said(check())
    # An image under the mount point looks like the right one to everybody but the marker.
    fleet["xen2"].make_image("/srv/xen/web01.img")
    assert "mount the storage of xen1 on xen2" in said(check())
    fleet["xen2"].mount()
    assert check()["ok"]


def test_devices_are_told_apart_by_what_is_on_them(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["phy:vg/web01,xvda,w"])
    # A copy from an earlier move would look like this.
    found = check()
    assert found["ok"] is False and "judged by its signature" in said(found)
    assert said(found).endswith("accept: [storage]")
    found = check(accept=["storage"])
    assert found["ok"] and "judged by its signature" in said(found, "warnings")
    device = fleet["xen2"].path("/dev/vg/web01")
    device.unlink()
    fleet["xen2"].make_image("/dev/vg/web01")
    try:
        found = check(accept=["storage"])
        assert found["ok"] is False and "what is on it differs" in said(found)
    finally:
        device.unlink()


def test_devices_that_nothing_tells_apart_need_to_be_accepted(check, fleet):
    for name in ("xen1", "xen2"):
        fleet[name].make_image("/dev/vg/blank").write_bytes(bytes(65536))
    fleet["xen1"].create_guest("web01", disks=["phy:/dev/vg/blank,xvda,w"])
    found = check()
    assert found["ok"] is False and "make sure that it is one device" in said(found)
    accepted = check(accept=["storage"])
    assert accepted["ok"] and "make sure that it is one device" in said(accepted, "warnings")


def test_an_empty_drive_needs_nothing(check, fleet):
    fleet["xen1"].create_guest("web01", disks=[",hdc:cdrom,r"])
    assert check() == {"ok": True, "blockers": [], "warnings": []}


def test_a_device_that_is_only_read_may_be_another(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["phy:/dev/vg/cd,xvdc:cdrom,r"])
    found = check()
    assert found["ok"] and "judged by its signature" in said(found, "warnings")
    device = fleet["xen2"].path("/dev/vg/cd")
    device.unlink()
    fleet["xen2"].make_image("/dev/vg/cd")
    try:
        found = check()
        assert found["ok"] is False and "what is on it differs" in said(found)
        found = check(accept=["storage"])
        assert found["ok"] and "what is on it differs" in said(found, "warnings")
    finally:
        device.unlink()


@pytest.mark.parametrize(
    "image_there, ok, words",
    [
        ("uevent_seqnum", True, "judged by inode and size"),
        ("fscaps", False, "could not be looked at more closely"),
    ],
)
def test_a_folder_in_which_no_marker_can_be_made(check, fleet, image_there, ok, words):
    """Not even root makes files in sysfs, which so stands for storage that is mounted read-only."""
    images = {"xen1": "/sys/kernel/uevent_seqnum", "xen2": "/sys/kernel/" + image_there}
    if not all(os.path.isfile(path) for path in images.values()):
        pytest.skip("this kernel does not show /sys/kernel/uevent_seqnum and fscaps")
    for name, path in images.items():
        fleet[name].path("/srv/local/web01.img").symlink_to(path)
    fleet["xen1"].create_guest("web01", disks=["file:/srv/local/web01.img,xvda,w"])
    assert check()["ok"] is False
    found = check(accept=["storage"])
    assert found["ok"] is ok
    told = said(found, "warnings" if ok else "blockers")
    assert words in told and "/sys/kernel/.xend-for-salt." in told and "cannot be made" in told


def test_markers_of_runs_that_broke_are_swept_and_nothing_else(on, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    folder = fleet["xen1"].path(storage.SHARED_MOUNT)
    token = "0f9b6f0e-2c9d-4f43-8c46-2f1f6c1a8a77"
    old, recent, other = (
        folder / name for name in (MARKER + token, MARKER + token.replace("0f", "1a"), "old.img")
    )
    for path in (old, recent, other):
        path.write_text(token)
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    marked = on("xen1").mark_disks("web01")
    assert not old.exists() and recent.exists() and other.exists()
    assert on("xen1").unmark_disks(marked) is True
    assert markers(fleet["xen1"]) == [recent.name]
    for path in (recent, other):
        path.unlink()


def test_a_guest_that_is_not_here_has_no_disks_to_be_marked(on, fleet):
    """While it reboots it is not listed; that it has no disks would be a dangerous answer."""
    with pytest.raises(CommandExecutionError) as caught:
        on("xen1").mark_disks("nobody")
    assert "no domain nobody" in str(caught.value)


def test_a_disk_that_is_gone_since_it_was_compared(on, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    guest, marked = on("xen1").domain("web01"), on("xen1").mark_disks("web01")
    try:
        same = on("xen2").same_disks(marked, "xen1")
    finally:
        on("xen1").unmark_disks(marked)
    assert on("xen2").can_receive(guest, storage=same)["ok"]
    fleet["xen2"].unmount()
    (blocker,) = on("xen2").can_receive(guest, storage=same)["blockers"]
    assert "there is no /srv/xen/web01.img on xen2" in blocker and "lost on both" in blocker
    # What the comparison has said already is not said twice.
    marked = on("xen1").mark_disks("web01")
    on("xen1").unmark_disks(marked)
    same = on("xen2").same_disks(marked, "xen1")
    (blocker,) = on("xen2").can_receive(guest, storage=same)["blockers"]
    assert "there is no /srv/xen/web01.img" in blocker


def test_without_markers_disks_are_only_looked_for(on, fleet):
    fleet["xen1"].create_guest(
        "web01", disks=["file:/srv/xen/web01.img,xvda,w", "file:/srv/local/b.img,xvdb,w"]
    )
    found = on("xen2").can_receive(on("xen1").domain("web01"))
    assert "xvdb, file:/srv/local/b.img" in said(found) and "xvda" not in said(found)
    assert "not proved that xvda" in said(found, "warnings")


# What the hotplug scripts of the target will say


def refused_and_lost(check, fleet, *words, target="xen2"):
    """The check refuses, whatever is accepted; and it is right: unasked, xend loses the guest on both."""
    found = check(target, accept=["storage"])
    assert found["ok"] is False
    for word in words:
        assert word in said(found)
    assert not arrives(fleet, target) and "web01" not in fleet["xen1"].guests()
    # What has never run goes, too.
    assert wait_until(lambda: "web01" not in fleet[target].guests(), LIMIT_S)


@pytest.mark.parametrize(
    "mine, theirs",
    [
        ("phy:vg/shared,xvdb,w", "phy:/dev/vg/shared,xvdb,w"),
        ("phy:vg/shared,xvdb,w", "phy:vg/shared,xvdb,r"),
        ("phy:vg/shared,xvdb,w", "phy:vg/shared,xvdb,w!"),
        ("phy:vg/shared,xvdb,r", "phy:vg/shared,xvdb,w"),
        ("file:/srv/xen/ocfs2.img,xvdb,w", "file:/srv/xen/ocfs2.img,xvdb,w"),
        ("file:/srv/xen/ocfs2.img,xvdb,r", "file:/srv/xen/ocfs2.img,xvdb,w"),
        ("drbd:shared,xvdb,w", "drbd:shared,xvdb,w"),
    ],
)
def test_a_disk_that_a_guest_of_the_target_has(check, fleet, mine, theirs):
    """Guests of a cluster run well on two hosts until one is to come to the other's host."""
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w", mine])
    fleet["xen2"].create_guest("db01", disks=["file:/srv/xen/db01.img,xvda,w", theirs])
    words = (
        "the domain db01 (%s" % theirs.split(",")[0],
        "on xen2 already",
        "mode w!",
        "lost on both",
    )
    refused_and_lost(check, fleet, *words)
    assert fleet["xen2"].guests()["db01"].alive


@pytest.mark.parametrize(
    "mine, theirs",
    [
        ("file:/srv/xen/shared.img,xvdb,w!", "file:/srv/xen/shared.img,xvdb,w!"),
        ("file:/srv/xen/shared.img,xvdb,w!", "file:/srv/xen/shared.img,xvdb,w"),
        ("file:/srv/xen/shared.img,xvdb,r", "file:/srv/xen/shared.img,xvdb,r"),
        ("file:/srv/xen/shared.img,xvdb,r", "file:/srv/xen/shared.img,xvdb,w!"),
        ("file:/srv/xen/shared.img,xvdb,w", "file:/srv/xen/other.img,xvdb,w"),
    ],
)
def test_a_disk_that_may_be_shared(check, fleet, mine, theirs):
    fleet["xen1"].create_guest("web01", disks=[mine])
    fleet["xen2"].create_guest("db01", disks=[theirs])
    assert check() == {"ok": True, "blockers": [], "warnings": []}
    assert arrives(fleet)


def test_several_that_share_a_disk_are_found_by_any_path(check, fleet):
    target = fleet["xen2"]
    fleet["xen1"].create_guest("web01", disks=["phy:vg/shared,xvdb,w"])
    target.path("/dev/alias").symlink_to("/dev/vg/shared")
    try:
        target.create_guest("db01", disks=["phy:vg/db01,xvda,w"])
        target.create_guest("db02", disks=["phy:/dev/alias,xvdb,w!"])
        refused_and_lost(check, fleet, "the domain db02 (phy:/dev/alias, mode w!)")
    finally:
        target.path("/dev/alias").unlink()


def test_an_image_that_is_reached_by_another_path(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/shared.img,xvdb,w"])
    fleet["xen2"].path("/srv/local/link.img").symlink_to("/srv/xen/shared.img")
    fleet["xen2"].create_guest("db01", disks=["file:/srv/local/link.img,xvdb,w"])
    refused_and_lost(check, fleet, "the domain db01 (file:/srv/local/link.img")


def test_who_does_not_run_has_no_disk(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/shared.img,xvdb,w"])
    fleet["xen2"].create_guest("db01", disks=["file:/srv/xen/shared.img,xvdb,w"], managed=True)
    assert fleet["xen2"].xm_run("destroy", "db01").returncode == 0
    assert check()["ok"] and arrives(fleet)


def test_a_copy_of_the_guest_itself_is_no_other_guest(on, fleet):
    """Its name is in use, which is enough to say."""
    guest = fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    fleet["xen2"].create_guest(
        "web01", uuid=guest.uuid, disks=["file:/srv/xen/web01.img,xvda,w"], paused=True
    )
    (blocker,) = on("xen2").can_receive(on("xen1").domain("web01"))["blockers"]
    assert "the name web01 is in use" in blocker


@pytest.mark.parametrize("mine", ["tap:aio:/srv/xen/a.img,xvdb,w", "file:/srv/xen/a.img,xvdb,w"])
def test_where_it_depends_whether_xend_notices_people_decide(check, fleet, mine):
    fleet["xen1"].create_guest("web01", disks=[mine])
    fleet["xen2"].create_guest("db01", disks=["tap:aio:/srv/xen/a.img,xvdb,w"])
    found = check()
    assert found["ok"] is False and "the domain db01" in said(found)
    assert said(found).endswith("accept: [storage]")
    found = check(accept=["storage"])
    assert found["ok"] and "the domain db01" in said(found, "warnings")


@pytest.mark.parametrize(
    "mode, options, ok",
    [
        ("w", "rw,relatime", False),
        ("w", "ro", False),
        ("r", "rw", False),
        ("r", "ro,relatime", True),
        ("w!", "rw", True),
    ],
)
def test_a_device_that_the_target_has_mounted(check, fleet, mode, options, ok):
    fleet["xen1"].create_guest("web01", disks=["phy:vg/web01,xvda," + mode])
    # By another path, and where spaces are.
    fleet["xen2"].path("/dev/mapper").mkdir(exist_ok=True)
    link = fleet["xen2"].path("/dev/mapper/vg-web01")
    link.unlink(missing_ok=True)
    link.symlink_to("../vg/web01")
    fleet["xen2"].mount_device("/dev/mapper/vg-web01", options, "/mnt/old\\040disk")
    if ok:
        assert check(accept=["storage"])["ok"] and arrives(fleet)
    else:
        refused_and_lost(
            check, fleet, "/dev/mapper/vg-web01 on /mnt/old disk", "umount /mnt/old disk"
        )


def test_an_image_that_the_target_has_mounted(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    fleet["xen2"].mount_device(fleet["xen2"].take_loop("/srv/xen/web01.img"))
    refused_and_lost(check, fleet, "/dev/loop0 on /mnt, read-write", "umount /mnt")


def test_mounts_that_cannot_be_seen(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w"])
    fleet["xen2"].path("/proc/mounts").unlink()
    found = check()
    assert found["ok"] and "could not be seen (/proc/mounts)" in said(found, "warnings")


IMAGES = ["file:/srv/xen/%s.img,xvd%s,w" % (name, name) for name in "abc"]


def test_each_image_needs_a_free_loop_device(check, fleet):
    fleet["xen1"].create_guest("web01", disks=IMAGES)
    words = ("3 in all", "few1 has 2 free of 2", "max_loop", "mknod")
    refused_and_lost(check, fleet, *words, target="few1")


def test_loop_devices_that_are_taken_are_not_free(check, fleet):
    few = fleet["few1"]
    fleet["xen1"].create_guest("web01", disks=IMAGES[:2])
    assert check("few1") == {"ok": True, "blockers": [], "warnings": []}
    few.take_loop("/srv/xen/old.iso")
    found = check("few1", accept=["storage"])
    assert found["ok"] is False and "few1 has 1 free of 2" in said(found)
    few.release_loops()
    few.create_guest("db01", disks=["file:/srv/xen/db01.img,xvda,w"])
    refused_and_lost(check, fleet, "few1 has 1 free of 2", target="few1")


def test_what_takes_no_loop_device_goes_without_one(check, fleet):
    fleet["few1"].create_guest("db01", disks=IMAGES[:2])
    fleet["xen1"].create_guest("web01", disks=["tap:aio:/srv/xen/d.img,xvda,w", ",hdc:cdrom,r"])
    assert check("few1") == {"ok": True, "blockers": [], "warnings": []}
    assert arrives(fleet, "few1")


@pytest.mark.parametrize("mode", ["w", "r"])
def test_a_file_where_a_device_should_be(check, fleet, mode):
    fleet["xen1"].create_guest("web01", disks=["phy:/dev/vg/typo,xvda," + mode])
    path = fleet["xen2"].path("/dev/vg/typo")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    refused_and_lost(check, fleet, "/dev/vg/typo is a file and no block device", "on xen2")


def test_a_device_where_an_image_should_be(check, fleet):
    for name in ("xen1", "xen2"):
        fleet[name].make_image("/dev/vg/a")
    fleet["xen1"].create_guest("web01", disks=["file:/dev/vg/a,xvda,w"])
    refused_and_lost(check, fleet, "takes only files for file:", "phy:/dev/vg/a")


def test_an_image_that_nobody_may_write_to(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/ro.img,xvda,w"])
    fleet["xen2"].path("/srv/xen/ro.img").chmod(0o444)
    refused_and_lost(check, fleet, "chmod u+w /srv/xen/ro.img")


@pytest.mark.parametrize("script, disk", [("block", "file:/srv/xen/a.img,xvda,w")])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_hotplug_script_that_does_not_run(check, fleet, script, disk, is_there):
    fleet["old1"].create_guest("web01", disks=[disk])
    fleet["old1"].destroy_guest("web01")
    fleet["xen1"].create_guest("web01", disks=[disk])
    path = fleet["old1"].path("/etc/xen/scripts/" + script)
    path.chmod(0o644) if is_there else path.unlink()
    found = check("old1", accept=["storage", "version"])
    assert "old1 has no /etc/xen/scripts/%s that can be run" % script in said(found)
    arrives(fleet, "old1")
    # Xen 3.1 to 3.4 let it go on without its disk.
    said_by_xend = "could not be connected. Hotplug scripts not working."
    assert wait_until(lambda: said_by_xend in fleet["old1"].log.read_text(), LIMIT_S)


# Disks that scripts of their own attach


def test_xen_3_4_needs_no_script_for_tap(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["tap:aio:/srv/xen/a.img,xvda,w"])
    fleet["old1"].path("/etc/xen/scripts/blktap").unlink()
    assert check("old1", accept=["version"])["ok"]
    assert arrives(fleet, "old1")


def test_a_resource_of_drbd_that_is_fine(check, fleet):
    fleet["xen1"].create_guest("web01", disks=["drbd:web01,xvda,w"])
    assert check() == {"ok": True, "blockers": [], "warnings": []}
    assert arrives(fleet)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"present": False}, "xen2 does not know the DRBD resource web01 ('web01' not defined"),
        ({"two_primaries": False}, "allow-two-primaries"),
        (
            {"cs": "StandAlone", "ds": "Inconsistent/DUnknown", "ro": "Secondary/Unknown"},
            "web01 is StandAlone on xen2",
        ),
    ],
)
def test_a_resource_of_drbd_that_cannot_be_attached(check, fleet, changes, words):
    fleet["xen1"].create_guest("web01", disks=["drbd:web01,xvda,w"])
    fleet["xen2"].drbd("web01", **changes)
    refused_and_lost(check, fleet, words)


@pytest.mark.parametrize(
    "host, changes, words",
    [
        ("xen2", {"cs": "SyncTarget", "ds": "Inconsistent/UpToDate"}, "SyncTarget on xen2"),
        ("xen2", {"ds": "UpToDate/Outdated"}, "UpToDate/Outdated as xen2 sees them"),
        ("xen1", {"cs": "WFConnection", "ds": "UpToDate/DUnknown"}, "WFConnection on xen1"),
        ("xen1", {"two_primaries": False}, "says xen1"),
        ("xen1", {"addresses": ["10.9.9.1:7788", "10.9.9.2:7788"]}, "two resources of one name"),
    ],
)
def test_a_resource_of_drbd_that_is_not_one_on_both(check, fleet, host, changes, words):
    fleet["xen1"].create_guest("web01", disks=["drbd:web01,xvda,w"])
    fleet[host].drbd("web01", **changes)
    found = check(accept=["storage"])
    assert found["ok"] is False and words in said(found)


def test_drbd_without_drbdadm(check, fleet, minion_on):
    """The kernel tells of the state; whether there may be two primaries only drbdadm knows."""
    fleet["xen1"].create_guest("web01", disks=["drbd:web01,xvda,w"])
    hidden = fleet["xen2"].root / "bin/drbdadm"
    hidden.rename(str(hidden) + ".hidden")
    try:
        found = check()
        assert found["ok"] is False and "two primaries on xen2" in said(found)
        assert said(found).endswith("accept: [storage]") and check(accept=["storage"])["ok"]
        fleet["xen2"].drbd("web01", cs="StandAlone")
        assert "StandAlone" in said(check(accept=["storage"]))
    finally:
        os.rename(str(hidden) + ".hidden", hidden)


def test_drbd_of_the_target_alone(on, fleet):
    fleet["xen1"].create_guest("web01", disks=["drbd:web01,xvda,w"])
    guest = on("xen1").domain("web01")
    found = on("xen2").can_receive(guest)
    assert found["ok"] and "was not compared with its source" in said(found, "warnings")
    fleet["xen2"].drbd("web01", present=False)
    assert "does not know the DRBD resource web01" in said(on("xen2").can_receive(guest))


def test_an_hvm_guest_cannot_have_drbd(check, fleet):
    fleet["xen1"].create_guest("web01", image="hvm", disks=["drbd:web01,hda,w"])
    found = check(accept=["storage"])
    assert found["ok"] is False and "phy:/dev/drbd/by-res/web01" in said(found)


@pytest.mark.parametrize(
    "disk", ["iscsi:iqn.2001-05.com.example:disk,xvdb,w", "nbd:10.0.0.9 2000,xvdb,w"]
)
def test_what_other_scripts_attach_needs_to_be_accepted(check, on, fleet, disk):
    prefix = disk.partition(":")[0]
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/web01.img,xvda,w", disk])
    fleet["xen2"].add_script("block-" + prefix)
    found = check()
    (blocker,) = found["blockers"]
    assert disk.rpartition(",")[0].rpartition(",")[0] in blocker and blocker.endswith(
        "accept: [storage]"
    )
    accepted = check(accept=["storage"])
    assert accepted["ok"] and "a script of its own attaches it" in said(accepted, "warnings")
    # Nor does the target alone know more.
    assert on("xen2").can_receive(on("xen1").domain("web01"))["ok"] is False
    # That it cannot be attached at all is certain.
    fleet["xen2"].path("/etc/xen/scripts/block-" + prefix).unlink()
    found = check(accept=["storage"])
    assert found["ok"] is False and "no /etc/xen/scripts/block-%s that can be run" % prefix in said(
        found
    )


@pytest.mark.parametrize("test", [False, True])
def test_the_state_refuses_what_would_lose_the_guest(on, minion_on, fleet, test):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/shared.img,xvdb,w"])
    fleet["xen2"].create_guest("db01", disks=["file:/srv/xen/shared.img,xvdb,w"])
    answer = minion_on("xen2", test=test).states["xm.can_receive"](
        "web01", domain=on("xen1").domain("web01")
    )
    assert answer["result"] is False and answer["changes"] == {}
    assert "the domain db01" in answer["comment"] and "untouched on its source" in answer["comment"]


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
    slow = minion_on("xen1", xm=slow_xm(fleet["xen1"], 0.7)).modules.xm
    before = time.time()
    found = slow.report("web01")
    assert before <= found["host"]["time"] < before + 0.5
    # Listed, described, and asked for what it is.
    assert 2.1 <= found["seconds"] <= time.time() - before + 0.05
    before = time.time()
    assert before <= slow.host()["time"] < before + 0.5


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
    fleet["xen1"].create_guest("web01", args="quiet \x1b[0m")
    (said,) = on("xen1").can_send("web01", "xen2")["blockers"]
    assert "'quiet \\x1b[0m' of web01" in said and "ASCII" in said
    assert fleet["xen1"].xm_run("migrate", "web01", fleet["xen2"].address).returncode == 0
    fleet["xen2"].wait_alive("web01")
    assert "x1b" not in on("xen2").domain("web01")["sxp"]
