"""What is checked of the disks of a guest before it moves, and whether simulated xends prove it right."""

import os
import shutil
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import LIMIT_S, arrives, said
from tests.lab import storage
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

MARKER = ".xend-for-salt."


@pytest.fixture(scope="module")
def running(open_fleet):
    """Two hosts that are alike, one with an older Xen, and one with few loop devices."""
    hosts = [
        HostSpec("xen1"),
        HostSpec("xen2"),
        HostSpec("old1", version="3.4.0"),
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


def markers(*hosts):
    """The markers that the hosts see, wherever images are."""
    folders = [
        host.path(folder) for host in hosts for folder in (storage.SHARED_MOUNT, storage.LOCAL)
    ]
    return [path.name for folder in folders for path in folder.glob(MARKER + "*")]


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
