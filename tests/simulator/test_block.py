"""The simulated hosts' hotplug scripts of disks: what they refuse, and that the guest is lost then."""

import pytest

from tests.lab import storage
from tests.lab.fleet import HostSpec
from tests.simulator.acts import is_alive, until

LOCAL = ",\nand so cannot be mounted by a guest."
LOCAL_READ = ",\nand so cannot be mounted read-only by a guest."
GUEST = ",\nand so cannot be mounted now."
GUEST_READ = ",\nand so cannot be mounted read-only now."


@pytest.fixture(scope="module")
def hosts(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.02),
        HostSpec("xen2", time_scale=0.02),
        HostSpec("few", time_scale=0.02, loops=1),
        HostSpec("old", time_scale=0.02, version="3.0.3"),
        HostSpec("mid", time_scale=0.02, version="3.2.0"),
    )
    fleet.start()
    return fleet


@pytest.fixture
def fleet(hosts):
    yield hosts
    for host in hosts:
        host.clear()
        host.release_loops()
        host.unmount_devices()
        for name in storage.BLOCK_SCRIPTS:
            host.add_script(name)
        for path in [host.path("/dev/vg"), host.path(storage.LOCAL)]:
            for entry in path.iterdir() if path.exists() else ():
                entry.unlink()


def fate(fleet, target, source="xen1"):
    """Send web01: None when it runs on the target with its disks, else what keeps it from that.

    It is lost on both then, but for Xen 3.1 to 3.4, where it goes on without the disk.
    """
    fleet[target].log.write_text("")
    assert fleet[source].xm_run("migrate", "web01", fleet[target].address).returncode == 0
    failed = "could not be connected."
    goes_on = fleet[target].version == "3.2.0"
    until(
        lambda: is_alive(fleet[target])
        or (not goes_on and "Restore failed" in fleet[target].log.read_text())
    )
    log = fleet[target].log.read_text()
    if failed not in log:
        return None
    assert "web01" not in fleet[source].guests()
    assert ("web01" in fleet[target].guests()) == goes_on
    return log.partition(failed)[2].partition("\nTraceback")[0]


def other(fleet, disk, target="xen2"):
    fleet[target].create_guest("db01", disks=[disk])


@pytest.mark.parametrize(
    "mine, theirs, why",
    [
        (
            "phy:vg/a,xvda,w",
            "phy:/dev/vg/a,xvdb,w",
            "Device /dev/vg/a is mounted in a guest domain" + GUEST,
        ),
        ("phy:vg/a,xvda,w", "phy:vg/a,xvdb,r", "is mounted in a guest domain" + GUEST),
        ("phy:vg/a,xvda,w", "phy:vg/a,xvdb,w!", "is mounted in a guest domain" + GUEST),
        (
            "phy:vg/a,xvda,r",
            "phy:vg/a,xvdb,w",
            "is mounted read-write in a guest domain" + GUEST_READ,
        ),
        ("phy:vg/a,xvda,r", "phy:vg/a,xvdb,r", None),
        ("phy:vg/a,xvda,r", "phy:vg/a,xvdb,w!", None),
        ("phy:vg/a,xvda,w!", "phy:vg/a,xvdb,w", None),
        ("phy:vg/a,xvda,w", "phy:vg/b,xvdb,w", None),
        (
            "file:/srv/xen/a.img,xvda,w",
            "file:/srv/xen/a.img,xvdb,w",
            "is loopback-mounted through /dev/loop",
        ),
        (
            "file:/srv/xen/a.img,xvda,r",
            "file:/srv/xen/a.img,xvdb,w",
            "mounted read-write in a guest domain",
        ),
        ("file:/srv/xen/a.img,xvda,r", "file:/srv/xen/a.img,xvdb,r", None),
        ("file:/srv/xen/a.img,xvda,w!", "file:/srv/xen/a.img,xvdb,w!", None),
        (
            "tap:aio:/srv/xen/a.img,xvda,w",
            "tap:aio:/srv/xen/a.img,xvdb,w",
            "already in use by other domain",
        ),
        ("tap2:aio:/srv/xen/a.img,xvda,w", "tap2:aio:/srv/xen/a.img,xvdb,w", None),
        # Of each other the two ways know nothing.
        ("file:/srv/xen/a.img,xvda,w", "tap:aio:/srv/xen/a.img,xvdb,w", None),
        ("drbd:a,xvda,w", "drbd:a,xvdb,w", "is mounted in a guest domain"),
    ],
)
def test_a_disk_that_another_guest_has(fleet, mine, theirs, why):
    fleet["xen1"].create_guest("web01", disks=[mine])
    other(fleet, theirs)
    found = fate(fleet, "xen2")
    assert found is None if why is None else why in found
    assert fleet["xen2"].guests()["db01"].alive


@pytest.mark.parametrize(
    "mode, options, why",
    [
        ("w", "rw,relatime", "Device /dev/dm-0 is mounted in the privileged domain" + LOCAL),
        ("w", "ro", "is mounted in the privileged domain" + LOCAL),
        ("r", "rw", "is mounted read-write in the privileged domain" + LOCAL_READ),
        ("r", "ro,relatime", None),
        ("w!", "rw", None),
    ],
)
def test_a_device_that_the_host_has_mounted(fleet, mode, options, why):
    fleet["xen1"].create_guest("web01", disks=["phy:vg/m,xvda," + mode])
    fleet["xen2"].mount_device("/dev/vg/m", options)
    found = fate(fleet, "xen2")
    assert found is None if why is None else why.replace("/dev/dm-0", "/dev/vg/m") in found


def test_an_image_that_the_host_has_mounted(fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/a.img,xvda,w"])
    fleet["xen2"].mount_device(fleet["xen2"].take_loop("/srv/xen/a.img"))
    assert "which is mounted in the privileged domain" in fate(fleet, "xen2")


def test_a_loop_device_for_each_image(fleet):
    few = fleet["few"]
    fleet["xen1"].create_guest(
        "web01", disks=["file:/srv/xen/a.img,xvda,w", "file:/srv/xen/b.img,xvdb,w"]
    )
    assert fate(fleet, "few") == " Failed to find an unused loop device"
    # Those of a guest that is gone are free again; blktap takes none.
    fleet["xen1"].create_guest(
        "web01", disks=["file:/srv/xen/a.img,xvda,w", "tap:aio:/srv/xen/b.img,xvdb,w"]
    )
    assert fate(fleet, "few") is None
    assert few.take_loop("/srv/xen/c.img") is None
    few.destroy_guest("web01")
    assert few.take_loop("/srv/xen/c.img") == "/dev/loop0"


@pytest.mark.parametrize(
    "target, why",
    [
        ("xen2", " /dev/vg/typo is not a block device."),
        ("old", "\nDevice /dev/vg/typo is mounted in the privileged domain" + LOCAL),
    ],
)
def test_a_file_where_a_device_should_be(fleet, target, why):
    source = "old" if target == "old" else "xen1"
    target = "mid" if target == "old" else target
    fleet[source].create_guest("web01", disks=["phy:vg/typo,xvda,w"])
    fleet[target].path("/dev/vg/typo").unlink()
    fleet[target].path("/dev/vg/typo").write_bytes(b"dd made this")
    assert fate(fleet, target, source) == why


@pytest.mark.parametrize("target, works", [("xen2", False), ("mid", False), ("old", True)])
def test_a_device_where_an_image_should_be(fleet, target, works):
    for name in fleet:
        name.make_image("/dev/vg/a")
    fleet["xen1"].create_guest("web01", disks=["file:/dev/vg/a,xvda,w"])
    found = fate(fleet, target)
    assert found is None if works else found == " /dev/vg/a does not exist."


def test_an_image_that_nobody_may_write(fleet):
    fleet["xen1"].create_guest("web01", disks=["file:/srv/xen/ro.img,xvda,w"])
    fleet["xen2"].path("/srv/xen/ro.img").chmod(0o444)
    assert "is read-only, and so I will not" in fate(fleet, "xen2")


@pytest.mark.parametrize(
    "script, disk",
    [
        ("block", "phy:vg/a,xvda,w"),
        ("block", "drbd:a,xvda,w"),
        ("blktap", "tap:aio:/srv/xen/a.img,xvda,w"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_script_that_does_not_run(fleet, script, disk, is_there):
    fleet["xen1"].create_guest("web01", disks=[disk])
    path = fleet["xen2"].path("/etc/xen/scripts/" + script)
    path.chmod(0o644) if is_there else path.unlink()
    assert fate(fleet, "xen2") == " Hotplug scripts not working."


def test_a_script_of_its_own_that_is_missing(fleet):
    """From 3.4 on xend itself looks for it, and the source hears of it in time."""
    fleet["xen1"].create_guest("web01", disks=["iscsi:iqn.2001-05.com.example:a,xvda,w"])
    sent = fleet["xen1"].xm_run("migrate", "web01", fleet["xen2"].address)
    assert sent.returncode == 1 and fleet["xen1"].wait_alive("web01")
    assert 'Block device type "iscsi" is invalid.' in fleet["xen2"].log.read_text()
    assert fate(fleet, "mid") == " Hotplug scripts not working."


@pytest.mark.parametrize(
    "changes, works",
    [
        ({}, True),
        ({"two_primaries": False}, False),
        ({"present": False}, False),
        ({"cs": "StandAlone", "ds": "Inconsistent/DUnknown", "ro": "Secondary/Unknown"}, False),
    ],
)
def test_a_resource_of_drbd(fleet, changes, works):
    fleet["xen1"].create_guest("web01", disks=["drbd:web,xvda,w"])
    fleet["xen2"].drbd("web", **changes)
    try:
        found = fate(fleet, "xen2")
        assert found is None if works else found == " /sbin/drbdadm primary web failed"
    finally:
        for host in fleet:
            host.drbd("web", present=False)


def test_what_drbdadm_says(fleet):
    host = fleet["xen1"]
    host.create_guest("web01", disks=["drbd:web,xvda,w"])
    minor = host.drbd("web")["minor"]
    say = lambda *words: host.run(host.root / "bin/drbdadm", *words).stdout.strip()  # noqa: E731
    assert say("sh-dev", "web") == "/dev/drbd%d" % minor
    assert (say("cstate", "web"), say("dstate", "web")) == ("Connected", "UpToDate/UpToDate")
    assert say("role", "web") == "Primary/Secondary"
    assert "allow-two-primaries;" in say("dump", "web")
    assert host.run(host.root / "bin/drbdadm", "role", "none").returncode == 10
    assert "%2d: cs:Connected ro:Primary/Secondary" % minor in host.path("/proc/drbd").read_text()


def test_the_scripts_run_before_the_memory_comes(fleet):
    """What goes away in mid-transfer does no harm any more."""
    fleet["xen1"].create_guest("web01", disks=["phy:vg/late,xvda,w"])
    fleet["xen2"].link(hold_at=0.5)
    sending = fleet["xen1"].xm_start("migrate", "--live", "web01", fleet["xen2"].address)
    fleet["xen2"].wait_held()
    fleet["xen2"].path("/dev/vg/late").unlink()
    fleet["xen2"].release()
    assert sending.wait(300) == 0
    assert fleet["xen2"].wait_alive("web01")
