"""A host's file system, as far as guests and their keepers look at it.

Here: the folders and files that a host starts with, disk images, and which path a disk means. Whether
a disk can be attached is the restoring xend's decision.
"""

import os
import shutil
from pathlib import Path, PurePosixPath

from tests.lab.layout import Layout

SHARED_MOUNT = "/srv/xen"
LOCAL = "/srv/local"
FOLDERS = (LOCAL, "/dev", "/proc", "/etc/xen/auto", "/var/lib/xend/domains")
# What guests are built from; empty, because nothing here boots.
FILES = (
    "/boot/vmlinuz-guest",
    "/boot/initrd-guest",
    "/usr/lib/xen/boot/hvmloader",
    "/usr/lib/xen/bin/qemu-dm",
)
IMAGE_BYTES = 64 * 1024
SECTOR = 512
MBR_END = b"\x55\xaa"
DAY_S = 24 * 3600
CPUINFO = """processor\t: 0
vendor_id\t: %(vendor)s
cpu family\t: 6
model\t\t: 15
model name\t: Simulated CPU
stepping\t: 6
cpu MHz\t\t: 2600.000
cache size\t: 4096 KB
flags\t\t: %(flags)s
bogomips\t: 5200.00

"""
# How a disk's name says that it is a file or a device; xend leaves all others to scripts.
DISK_TYPES = ("file:", "phy:", "tap:tapdisk:", "tap2:tapdisk:", "tap:ioemu:", "tap:", "tap2:")


def build(layout, spec):
    """Make the file system of a host that has just been installed; `spec` is its HostSpec."""
    for folder in FOLDERS:
        layout.path(folder).mkdir(parents=True, exist_ok=True)
    for path in FILES:
        layout.path(path).parent.mkdir(parents=True, exist_ok=True)
        layout.path(path).touch()
    layout.shared.mkdir(exist_ok=True)
    layout.path(SHARED_MOUNT).symlink_to(layout.shared)
    words = {"vendor": spec.cpu_vendor, "flags": " ".join(spec.cpu_flags)}
    layout.path("/proc/cpuinfo").write_text(CPUINFO % words)
    uptime_s = DAY_S if spec.uptime_s is None else spec.uptime_s
    layout.path("/proc/uptime").write_text("%.2f %.2f\n" % (uptime_s, uptime_s * 0.9))
    for bridge in spec.bridges:
        bridge_folder(layout, bridge).mkdir(parents=True)


def bridge_folder(layout, bridge):
    """Return what sysfs has of a bridge, and of no other network device."""
    return layout.path("/sys/class/net/%s/bridge" % bridge)


def disk_path(uname):
    """Return the path that a disk such as "phy:vg/web01" means, None when it has none."""
    for prefix in DISK_TYPES:
        if uname.startswith(prefix):
            rest = uname[len(prefix) :]
            if prefix.startswith("tap"):
                # The driver: aio, qcow, …
                rest = rest.partition(":")[2]
            if prefix == "phy:" and rest and not rest.startswith("/"):
                rest = "/dev/" + rest
            return rest or None
    return None


def make_image(path, size=IMAGE_BYTES):
    """Write a new disk image of `size` bytes that is like no other."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = os.urandom(size)
    path.write_bytes(content[: SECTOR - len(MBR_END)] + MBR_END + content[SECTOR:])
    return path


def provide(layout, uname):
    """See that a disk exists on the host; where it was missing, all hosts get it, as from a SAN.

    Only what is below LOCAL belongs to this host alone.
    """
    path = disk_path(uname)
    if path is None or layout.path(path).exists():
        return
    folder = str(PurePosixPath(path).parent)
    if (folder + "/").startswith(LOCAL + "/") or _is_shared(layout, folder):
        make_image(layout.path(path))
        return
    real = make_image(layout.shared / path.lstrip("/"))
    # A folder of images as a whole, so that what is written next to one is seen everywhere too; the
    # devices of hosts are their own.
    steps = [(path, real)] if uname.startswith("phy:") else [(folder, real.parent), (path, real)]
    for host in layout.fleet_root.glob("hosts/*/host.json"):
        for where, what in steps:
            link(Layout(host.parent), where, what)


def link(layout, path, real):
    """Let `path` of the host be `real`, unless the host has something there."""
    if not os.path.lexists(layout.path(path)):
        real.parent.mkdir(parents=True, exist_ok=True)
        layout.path(path).parent.mkdir(parents=True, exist_ok=True)
        layout.path(path).symlink_to(real)


def _is_shared(layout, folder):
    return layout.path(folder).resolve().is_relative_to(layout.shared.resolve())


def unmount(layout, path):
    """Leave an empty folder of the host's own where shared storage was."""
    layout.path(path).unlink()
    layout.path(path).mkdir()


def mount(layout, path):
    """Undo `unmount`; what the host has put there meanwhile goes."""
    real = layout.shared if path == SHARED_MOUNT else layout.shared / path.lstrip("/")
    shutil.rmtree(layout.path(path))
    layout.path(path).symlink_to(real)
