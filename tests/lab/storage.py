"""A host's file system, as far as guests and their keepers look at it.

Here: the folders and files that a host starts with, disk images, block devices, loop devices and mounts,
and which path a disk means. Whether a disk can be attached is decided in block.py.

No device node can be made without being root: a file in /dev stands for one, and is a block device since
sysfs shows its name and numbers, as it does for real ones.
"""

import os
import re
import stat
from pathlib import Path, PurePosixPath

from tests.lab import drbd
from tests.lab.layout import Layout, remove_tree
from tests.lab.xendomains import SETTINGS_FILE, SHIPPED

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
SCRIPTS = "/etc/xen/scripts"
BLOCK_SCRIPTS = ("block", "blktap", "block-nbd", "block-enbd")
DM_MAJOR = 253
ROOT_DISK = ("sda1", "8:1")
MOUNTS = """/dev/sda1 / ext3 rw,relatime 0 0
proc /proc proc rw,relatime 0 0
sysfs /sys sysfs rw,relatime 0 0
"""
LOOPS = re.compile(r"loop\d+\Z")
LINKS = 40
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
    layout.path(SETTINGS_FILE).parent.mkdir(parents=True, exist_ok=True)
    layout.path(SETTINGS_FILE).write_text(SHIPPED)
    layout.path("/sys/class/net/lo").mkdir(parents=True)
    for bridge in spec.bridges:
        bridge_folder(layout, bridge).mkdir(parents=True)
    for name in BLOCK_SCRIPTS:
        add_script(layout, name)
    layout.path("/proc/mounts").write_text(MOUNTS)
    _register(layout, *ROOT_DISK)
    if spec.loops is None:
        layout.path("/dev/loop-control").touch()
    for number in range(spec.loops or 0):
        add_loop(layout, number)


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
    if uname.startswith("drbd:"):
        for host in _hosts(layout):
            add_script(host, "block-drbd")
            drbd.put(host, uname[len("drbd:") :])
    path = disk_path(uname)
    if path is None or real(layout, path).exists():
        return
    folder = str(PurePosixPath(path).parent)
    if (folder + "/").startswith(LOCAL + "/") or _is_shared(layout, folder):
        make_image(layout.path(path))
        return
    image = make_image(layout.shared / path.lstrip("/"))
    for host in _hosts(layout):
        if uname.startswith("phy:"):
            # The devices of hosts are their own, and so are their names and numbers.
            if not os.path.lexists(host.path(path)):
                make_device(host, path, image=image)
        else:
            # A folder of images as a whole, so that what is written next to one is seen everywhere too.
            link(host, folder, image.parent)
            link(host, path, image)


def _hosts(layout):
    return [Layout(host.parent) for host in layout.fleet_root.glob("hosts/*/host.json")]


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
    remove_tree(layout.path(path))
    layout.path(path).symlink_to(real)


def real(layout, path):
    """Return where a path of the host leads: links are meant from the root of the host, if it has that."""
    done, steps, links = layout.root, str(path).split("/"), 0
    while steps:
        step = steps.pop(0)
        if step == "..":
            done = done.parent
        elif step not in ("", "."):
            done = done / step
            if done.is_symlink() and links < LINKS:
                links += 1
                target = os.readlink(done)
                steps = target.split("/") + steps
                done = done.parent
                if target.startswith("/"):
                    done = layout.root if os.path.lexists(layout.path(target)) else Path("/")
    return done


# hotplug scripts


def add_script(layout, name):
    """Put a hotplug script on the host; it only has to be there. Return its Path."""
    path = layout.path("%s/%s" % (SCRIPTS, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def has_script(layout, name):
    path = layout.path("%s/%s" % (SCRIPTS, name))
    return path.is_file() and bool(path.stat().st_mode & stat.S_IXUSR)


# block devices


def make_device(layout, path, size=IMAGE_BYTES, image=None):
    """Let `path` of the host lead to a block device, as /dev/vg/web01 does to /dev/dm-3; return its node.

    image -- the file that is its content, for a device of several hosts; default: a new one
    """
    minor = 0
    while not _register(layout, "dm-%d" % minor, "%d:%d" % (DM_MAJOR, minor)):
        minor += 1
    node = layout.path("/dev/dm-%d" % minor)
    node.unlink()
    if image:
        os.link(image, node)
    else:
        make_image(node, size)
    link = layout.path(path)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(node, link.parent))
    return node


def _register(layout, name, number):
    """Let the kernel of the host know a block device; return whether it did not know one of that name."""
    folder = layout.path("/sys/block/" + name)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    (folder / "dev").write_text(number + "\n")
    layout.path("/dev/" + name).touch()
    return True


def device_number(layout, path):
    """Return "major:minor" of the block device that a path of the host leads to, or None."""
    node = real(layout, path)
    try:
        status = node.stat()
    except OSError:
        return None
    if stat.S_ISBLK(status.st_mode):
        return "%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))
    known = layout.path("/sys/block/%s/dev" % node.name)
    if node.parent == layout.path("/dev") and known.exists():
        return known.read_text().strip()
    return None


def mounts(layout):
    """Return (what is mounted, options) of each line of the host's /proc/mounts."""
    lines = layout.path("/proc/mounts").read_text().splitlines()
    return [(fields[0], fields[3]) for fields in map(str.split, lines) if len(fields) > 3]


# loop devices


def add_loop(layout, number):
    _register(layout, "loop%d" % number, "7:%d" % number)


def take_loop(layout, path, owner=None):
    """Set up a free loop device with a file of the host; return its number, None when none is free.

    owner -- the domain that it goes with
    """
    while True:
        known = _loops(layout)
        free = [name for name in known if not (layout.path("/sys/block") / name / "loop").exists()]
        if free:
            folder = layout.path("/sys/block") / free[0] / "loop"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            (folder / "backing_file").write_text(str(path) + "\n")
            (folder / "owner").write_text(str(owner))
            return "7:%s" % free[0][len("loop") :]
        if not layout.path("/dev/loop-control").exists():
            return None
        add_loop(layout, len(known))


def _loops(layout):
    names = [path.name for path in layout.path("/sys/block").iterdir() if LOOPS.match(path.name)]
    return sorted(names, key=lambda name: int(name[len("loop") :]))


def loops_of(layout, image):
    """Return the names of the loop devices that are set up with a file."""
    found = []
    for name in _loops(layout):
        backing = layout.path("/sys/block") / name / "loop/backing_file"
        if backing.exists():
            other = real(layout, backing.read_text().strip())
            if other.exists() and other.samefile(image):
                found.append(name)
    return found


def release_loops(layout, owner):
    """Take down the loop devices of a domain that is gone."""
    for folder in layout.path("/sys/block").glob("loop*/loop"):
        if (folder / "owner").read_text() == str(owner):
            remove_tree(folder)
