"""
Whether the disks of a guest are the same storage on two hosts: what each host sees, markers, verdicts;
and what a host shows of the use of its storage: mounts, loop devices, hotplug scripts. What follows from
that is said in xm_block.

Files and devices are only read; what is written are marker files of its own next to images. Nothing
here runs xm, and nothing knows Salt.
"""

import errno
import fcntl
import glob
import hashlib
import io
import mmap
import os
import re
import stat
import struct
import sys
import threading
import time

# Prefixes of a uname behind which a tap disk names its driver and then the path; blktap2 may name
# itself first (xend 4.4 blkif.parse_uname).
TAP = ("tap", "tap2")
TAP_LAYERS = ("tapdisk", "ioemu")

TOKEN = re.compile(r"[A-Za-z0-9-]{8,64}\Z")
MARKER = ".xend-for-salt."
MARKER_MAX_AGE_S = 3600
POLL_S = 0.25

# What tells one disk from another for as long as it has its content: (name, where its magic is, the
# magic, where its identity is, how long that is). Offsets in bytes, from the formats' own headers.
IDENTITIES = tuple(
    [("lvm", 512 * sector, b"LABELONE", 512 * sector + 32, 32) for sector in range(4)]
) + (
    ("mbr", 510, b"\x55\xaa", 440, 4),
    ("gpt", 512, b"EFI PART", 568, 16),
    ("gpt", 4096, b"EFI PART", 4152, 16),
    ("ext", 1080, b"\x53\xef", 1128, 16),
    ("xfs", 0, b"XFSB", 32, 16),
    ("btrfs", 65600, b"_BHRfS_M", 65568, 16),
    ("reiserfs", 65588, b"ReIsEr", 65620, 16),
    ("ntfs", 3, b"NTFS    ", 72, 8),
    ("swap", 4086, b"SWAPSPACE2", 1036, 16),
    # Names, sizes and dates of the volume; there is no identifier.
    ("iso9660", 32769, b"CD001", 32808, 807),
)
SECTOR = 512
MBR_MAGIC = slice(510, 512)
MBR_TABLE = slice(446, 510)
MBR_ENTRY = struct.Struct("<B3xB3xLL")

GONE = (errno.ENOENT, errno.ENOTDIR)
# Python has no names for what opening an empty drive gives, and a device of DRBD that is not primary.
ENOMEDIUM = 123
EMEDIUMTYPE = 124

# How long one look at all disks of a guest may take: storage that does not answer (a hard mount of NFS whose
# server is gone, a path that is queued by multipath) makes whoever asks for it wait for ever.
LOOK_S = 20

# What the kernel makes up: to open a file there may do something, and no disk is there.
NO_STORAGE = "/proc/"

# The unit of direct reads, and how much of a disk or partition holds all identities.
ALIGNED = 4096
HEAD = 17 * ALIGNED

# Where sysfs shows what a device is, the strongest first: the first that two hosts both know decides.
SYSFS_IDS = ("dm/uuid", "md/uuid", "device/wwid", "wwid", "device/serial", "serial")

# Before Linux 2.6.29 (dm) and 3.15 (SCSI) only udev's names in /dev/disk/by-id tell: (prefix, under
# which of SYSFS_IDS it belongs, how that begins there). udev's 3 stands for a NAA identifier.
BY_ID = (("dm-uuid-", "dm/uuid", ""), ("scsi-3", "device/wwid", "naa."))

# Other device-mapper uuids are made from names that somebody chose.
UNIQUE_DM = re.compile(r"(part\d+-)?(LVM|mpath)-")
NO_ID = re.compile(r"[0\s]*\Z")


def where(uname):
    """
    What kind of storage a disk's uname means, and where it is.

    uname
        text, or None

    Returns (kind, path). Kinds: "file"; "block" (a device; xend looks for relative ones in /dev);
    "none" (an empty drive, path None); "script" (xend leaves it to a block-PREFIX script of its own; path
    is what that one gets). The rule is xend's (4.4 blkif.parse_uname, BlkifController).
    """
    prefix, _, path = _native(uname or "").partition(":")
    if prefix in TAP:
        driver, _, path = path.partition(":")
        if driver in TAP_LAYERS:
            path = path.partition(":")[2]
    if not path:
        # xend refuses a disk without any prefix, so that a guest with one cannot be running.
        return ("script", prefix) if prefix and ":" not in uname else ("none", None)
    if prefix == "phy":
        return "block", path if path.startswith("/") else "/dev/" + path
    if prefix == "file" or prefix in TAP and path.startswith("/"):
        return "file", path
    return "script", path


def _native(text):
    """
    Text as the type that paths and messages are made of: bytes under Python 2.
    """
    return text if isinstance(text, str) else text.encode("utf-8")


def look(disks, root):
    """
    What this host sees of the disks of a guest. Nothing is written.

    disks
        list of dicts with uname, dev and mode, as a description has them
    root
        where the file system of the host is, "" for /

    Returns a list of dicts in the same order: dev, uname, kind and path (see `where`), read_only (bool),
    problem (why it cannot be used here, or None), and of what can: device (bool: a block device, or meant
    as one), name (of the file that symbolic links lead to), size (bytes; None when it is a drive without a
    medium, which only a guest that reads may have), inode (of files), ids (dict: what the system knows a
    device by) and signature (short hex text made from what identifies the content and
    stays the same while a guest runs; None when there is no such thing).
    """
    found = [_unseen(disk) for disk in disks]
    seen = in_time([_later(_seen_of, one, root) for one in found], LOOK_S)
    return [dict(one, **(more or _unanswered(one["path"]))) for one, more in zip(found, seen)]


def _later(function, *arguments):
    return lambda: function(*arguments)


def _unanswered(path):
    return {
        "problem": "%s could not be looked at within %d s (its storage does not answer; see with `ls -l`)"
        % (path, LOOK_S)
    }


def in_time(works, limit_s):
    """
    What each of several functions returns, as a list; None for one that is not done within LIMIT_S seconds.

    All are called at once, each in a thread of its own. One that waits for a file system that does not answer
    cannot be ended; it is left alone.
    """
    found, failed = [None] * len(works), []

    def run(number):
        try:
            found[number] = works[number]()
        except Exception as exc:  # pylint: disable=broad-except
            # It would end with the thread, and nobody would hear of it.
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    end = _clock() + limit_s
    for thread in threads:
        # Else this process would wait for it at its end.
        thread.daemon = True
        thread.start()
    for thread in threads:
        thread.join(max(0, end - _clock()))
    if failed:
        raise failed[0]
    return list(found)


def _clock():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    return os.times()[4]


def _unseen(disk):
    kind, path = where(disk.get("uname"))
    return {
        "dev": _short_dev(disk),
        "uname": _native(disk.get("uname") or ""),
        "kind": kind,
        "path": path,
        "read_only": "w" not in (disk.get("mode") or "r"),
        "problem": None,
        "device": kind == "block",
        "name": None,
        "size": None,
        "inode": None,
        "ids": {},
        "signature": None,
    }


def _seen_of(found, root):
    """
    What else there is to say of a disk than `_unseen` does, which was FOUND.
    """
    path = found["path"]
    if found["kind"] not in ("file", "block"):
        return {"problem": None}
    try:
        return _storage(path, found["kind"], root)
    except EnvironmentError as exc:
        if exc.errno == ENOMEDIUM and found["read_only"]:
            return {"device": True}
        if exc.errno in GONE:
            return {"problem": "there is no %s" % path}
        if exc.errno == EMEDIUMTYPE:
            return {
                "problem": "%s is of a DRBD resource that is not primary (drbdadm primary, which needs "
                "allow-two-primaries, makes it so)" % path
            }
        return {"problem": "%s cannot be read: %s" % (path, exc.strerror)}


def _storage(path, kind, root):
    if not path.startswith("/"):
        return {"problem": "%s is no absolute path" % path}
    real = place_of(path, root)
    if real.startswith((NO_STORAGE, root + NO_STORAGE)):
        return {"problem": "%s leads into %s, where no disks are" % (path, NO_STORAGE)}
    status = os.stat(real)
    number = _number(real, root)
    is_device = number is not None
    if not is_device and not stat.S_ISREG(status.st_mode):
        return {"problem": "%s is neither a file nor a block device" % path}
    if kind == "block" and not is_device:
        return {
            "problem": "%s is a file and no block device (as dd makes one under a name that is not there)"
            % path
        }
    size, signature = _measure(real, kind == "file" and not is_device)
    return {
        "device": is_device,
        "name": os.path.basename(real),
        "size": size,
        "inode": None if is_device else status.st_ino,
        "ids": device_ids(number, root) if is_device else {},
        "signature": signature,
    }


def place_of(path, root):
    """
    Where PATH of the host leads, as a path of this process; ROOT is where that sees the host's file system.
    """
    if not root:
        return os.path.realpath(path)
    done, steps, links = root, path.split("/"), 0
    while steps:
        step = steps.pop(0)
        if step == "..":
            done = os.path.dirname(done)
        elif step not in ("", "."):
            done = os.path.join(done, step)
            # As many as the kernel follows.
            if os.path.islink(done) and links < 40:
                links += 1
                target = os.readlink(done)
                steps = target.split("/") + steps
                done = os.path.dirname(done)
                if target.startswith("/"):
                    # The host means it from its own root, where that is not this process' own.
                    done = root if os.path.lexists(root + target) else "/"
    return done


def _number(real, root):
    """
    The device number of a block device, or None for what is none; raises EnvironmentError when it is not
    there.

    Where the file system of a host is shown in a folder without device nodes, its sysfs tells which files in
    /dev stand for one.
    """
    status = os.stat(real)
    if stat.S_ISBLK(status.st_mode):
        return status.st_rdev
    folder, name = os.path.split(real)
    if root and folder == os.path.join(root, "dev"):
        found = re.match(r"(\d+):(\d+)\Z", _line(root, "sys/block", name, "dev"))
        if found:
            return os.makedev(int(found.group(1)), int(found.group(2)))
    return None


def _measure(path, is_image):
    """
    The size and the signature of a file or device.

    It is read around the page cache: of a device the cache may be older than what another host has
    written; and what is cached of an image on NFS might be given to the guest when it runs here, after it
    has changed it there. An image that cannot be read so is not read.
    """
    try:
        return _read(path, os.O_DIRECT, True)
    except EnvironmentError as exc:
        if exc.errno != errno.EINVAL:
            raise
    return _read(path, 0, not is_image)


def _read(path, flags, has_signature):
    stream = io.FileIO(os.open(path, os.O_RDONLY | flags))
    try:
        size = os.lseek(stream.fileno(), 0, os.SEEK_END)
        return size, _signature(stream, size) if has_signature else None
    finally:
        stream.close()


def _signature(stream, size):
    head = _head(stream, 0)
    found = _identities(head)
    if head[MBR_MAGIC] == b"\x55\xaa":
        table = head[MBR_TABLE]
        for entry in range(0, len(table), MBR_ENTRY.size):
            _, kind, start, _ = MBR_ENTRY.unpack(table[entry : entry + MBR_ENTRY.size])
            if kind and 0 < start * SECTOR < size:
                found += _identities(_head(stream, start * SECTOR))
        if found:
            found.append(table)
    return hashlib.sha256(b"|".join(found)).hexdigest()[:16] if found else None


def _head(stream, offset):
    skipped = offset % ALIGNED
    # Direct reads need memory that begins with a page, which only mmap promises.
    memory = mmap.mmap(-1, HEAD + ALIGNED)
    try:
        stream.seek(offset - skipped)
        length = stream.readinto(memory)
        return memory[skipped : max(skipped, length)]
    finally:
        memory.close()


def _identities(head):
    found = []
    for name, magic_at, magic, start, length in IDENTITIES:
        identity = head[start : start + length]
        if head[magic_at : magic_at + len(magic)] == magic and identity.strip(b"\0"):
            found.append(name.encode("ascii") + identity)
    return found


def device_ids(number, root):
    """
    What this host knows a block device by, whatever the host.

    number
        its device number
    root
        as for `look`

    Returns a dict, empty when nothing is known, with keys of SYSFS_IDS. A partition has what its disk has,
    and its number.
    """
    folder = _sysfs(number, root)
    suffix = ""
    if folder and os.path.exists(os.path.join(folder, os.pardir, "dev")):
        part = _line(folder, "partition") or re.search(r"\d*\Z", folder).group()
        folder, suffix = os.path.dirname(folder), "-part" + part
    found = {}
    for key in SYSFS_IDS if folder else ():
        text = _line(folder, key)
        if not NO_ID.match(text) and (key != "dm/uuid" or UNIQUE_DM.match(text)):
            found[key] = text + suffix
    for name in _by_id(number, root):
        for prefix, key, begin in BY_ID:
            text = name[len(prefix) :]
            if name.startswith(prefix) and (key != "dm/uuid" or UNIQUE_DM.match(text)):
                found.setdefault(key, begin + text)
    return found


def _sysfs(number, root):
    """
    The folder that sysfs has for a device, or None.
    """
    name = "%d:%d" % (os.major(number), os.minor(number))
    folder = "%s/sys/dev/block/%s" % (root, name)
    if os.path.isdir(folder):
        return os.path.realpath(folder)
    # Linux before 2.6.27.
    block = root + "/sys/block"
    for found in glob.glob(block + "/*/dev") + glob.glob(block + "/*/*/dev"):
        if _line(found) == name:
            return os.path.realpath(os.path.dirname(found))
    return None


def _line(*path):
    try:
        with open(os.path.join(*path)) as stream:
            return " ".join(stream.read(256).split())
    except (EnvironmentError, ValueError):
        return ""


def _by_id(number, root):
    found = []
    for path in sorted(glob.glob(root + "/dev/disk/by-id/*")):
        try:
            if os.stat(path).st_rdev == number:
                found.append(os.path.basename(path))
        except EnvironmentError:
            # A link whose device is gone.
            continue
    return found


# Markers


def mark(disks, token, root):
    """
    Put a marker next to each image of a guest: a small file that only another host with the same
    storage can see.

    disks, root
        as for `look`
    token
        new for each migration: 8 to 64 letters, digits and hyphens

    Returns a list of dicts, one for each disk that is a file: path, marker (its path), problem (why there
    is none, or None). Markers of any token in these folders that are older than an hour are removed.
    Raises ValueError for a bad token.
    """
    name = _marker_name(token)
    problems, found = {}, []
    for path, folder in _image_folders(disks, root):
        marker = os.path.join(folder, name)
        if folder not in problems:
            problems[folder] = _put(marker, token)
            _sweep(folder, marker)
        found.append({"path": path, "marker": marker, "problem": problems[folder]})
    return found


def unmark(disks, token, root):
    """
    Remove the markers of one token; those that are gone are no matter.

    Arguments as for `mark`. Returns a list of sentences: which could not be removed, and why.
    """
    folders = set([folder for _, folder in _image_folders(disks, root)])
    problems = [_take(os.path.join(folder, _marker_name(token)), token) for folder in sorted(folders)]
    return [problem for problem in problems if problem]


def _take(marker, token):
    if os.path.lexists(marker) and not _holds(marker, token):
        return "%s is no marker of this token, and was left alone" % marker
    return _remove(marker)


def _remove(marker):
    try:
        os.unlink(marker)
    except EnvironmentError as exc:
        if exc.errno not in GONE:
            return "%s cannot be removed: %s" % (marker, exc.strerror)
    return None


def _marker_name(token):
    if not TOKEN.match(token):
        raise ValueError("token %r: it must be 8 to 64 letters, digits and hyphens" % token)
    return MARKER + token


def _image_folders(disks, root):
    """
    (path, folder of the file that it leads to) of each disk that is a file. Next to a symbolic link a
    marker would prove nothing of the image.
    """
    found = []
    for disk in disks:
        kind, path = where(disk.get("uname"))
        if kind == "file" and path.startswith("/"):
            real = place_of(path, root)
            if not os.path.exists(real) or os.path.isfile(real):
                found.append((path, os.path.dirname(real)))
    return found


def _put(marker, token):
    try:
        descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except EnvironmentError as exc:
        if exc.errno == errno.EEXIST and _holds(marker, token):
            # The folder has two names: this is the marker that was put through the other one.
            return None
        return "%s cannot be made: %s" % (marker, exc.strerror)
    try:
        try:
            os.write(descriptor, token.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except EnvironmentError as exc:
        _remove(marker)
        return "%s cannot be written: %s" % (marker, exc.strerror)
    return None


def _holds(marker, token):
    try:
        descriptor = os.open(marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _is_file(descriptor) and os.read(descriptor, 128) == token.encode("ascii")
        finally:
            os.close(descriptor)
    except EnvironmentError:
        return False


def _is_file(descriptor):
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _sweep(folder, marker):
    """
    Remove what runs that broke have left. Its age is counted from the new marker: both times are the
    file server's, whose clock may not be this host's.
    """
    try:
        now = os.lstat(marker).st_mtime
        names = os.listdir(folder)
    except EnvironmentError:
        return
    for name in names:
        if not name.startswith(MARKER) or not TOKEN.match(name[len(MARKER) :]):
            continue
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except EnvironmentError:
            # Another host was faster.
            continue
        if stat.S_ISREG(status.st_mode) and now - status.st_mtime > MARKER_MAX_AGE_S:
            _remove(path)


# What the storage of a host is used for

SCRIPTS = "/etc/xen/scripts"

# Any of them can be asked what its file is: LOOP_GET_STATUS64, whose answer begins with the numbers of the
# device and of the inode (linux/loop.h).
LOOP_MAJOR = 7
LOOP_STATUS = 0x4C05
LOOP_ANSWER = struct.Struct("=QQ")
LOOP_ANSWER_BYTES = 232

# How Python 3 makes text of paths.
PATHS = (sys.getfilesystemencoding(), "surrogateescape")
ESCAPE = re.compile(r"\\([0-7]{3})")


def used(disks, root):
    """
    What the disks of a guest are here, so that it can be told which of two guests are one. Nothing is opened.

    disks, root
        as for `look`

    Returns a list of dicts in the same order: dev, uname, kind and path (see `where`), prefix (of the uname),
    mode (as script `block` takes it: "r", "w", or "!" for w!, shared on purpose), backend (as given), key
    (text that is the same for the same device or file; None for what is not here), device (bool) and
    writable (bool: somebody may write to the file).
    """
    found = []
    for disk in disks:
        kind, path = where(disk.get("uname"))
        mode = disk.get("mode") or "r"
        one = {
            "dev": _short_dev(disk),
            "uname": _native(disk.get("uname") or ""),
            "kind": kind,
            "path": path,
            "prefix": (disk.get("uname") or "").partition(":")[0],
            "mode": "r" if "w" not in mode else ("!" if "!" in mode else "w"),
            "backend": disk.get("backend"),
            "key": None,
            "device": False,
            "writable": True,
        }
        found.append(one)
    seen = in_time([_later(_identity_of, one, root) for one in found], LOOK_S)
    return [dict(one, **(more or {})) for one, more in zip(found, seen)]


def _identity_of(found, root):
    if found["kind"] in ("file", "block"):
        try:
            return _identity(found["path"], root)
        except EnvironmentError:
            # `look` says why.
            return {}
    if found["kind"] == "script" and found["prefix"] not in TAP:
        return _script_identity(found, root)
    return {}


def _short_dev(disk):
    # xend appends the type, and once put the model before it: xvda:disk, ioemu:hda.
    return re.sub(r"^ioemu:|:.*\Z", "", _native(disk.get("dev") or ""))


def _identity(path, root):
    real = place_of(path, root)
    number, status = _number(real, root), os.stat(real)
    if number is not None:
        return {"key": _device_key(number), "device": True}
    return {
        "key": "file %d:%d" % (status.st_dev, status.st_ino),
        # As script `block` judges it, by the letters of the mode (xend 4.4 tools/hotplug/Linux/block); what
        # has no content is nothing that a guest runs on, as in the file systems of the kernel.
        "writable": bool(status.st_mode & 0o222) or not status.st_blocks,
    }


def _script_identity(disk, root):
    if disk["prefix"] == "drbd":
        for path in ("/dev/drbd/by-res/" + disk["path"], disk["path"]):
            try:
                found = _identity(path, root) if path.startswith("/") else {}
            except EnvironmentError:
                continue
            if found.get("device"):
                return found
    return {"key": "%(prefix)s:%(path)s" % disk}


def _device_key(number):
    return "device %d:%d" % (os.major(number), os.minor(number))


def mounts(root):
    """
    The block devices that the host itself has mounted: a list of dicts: key (as of `used`), device and
    point (paths) and read_only (bool); None when that cannot be seen.
    """
    text = None
    # A link to "self" means another process when it is the /proc of another host.
    for path in ("/proc/1/mounts", "/proc/mounts") if root else ("/proc/mounts",):
        try:
            with open(root + path, "rb") as stream:
                raw = stream.read()
            # Such as this Python takes for paths.
            text = raw if isinstance(raw, str) else raw.decode(*PATHS)
            break
        except EnvironmentError:
            continue
    if text is None:
        return None
    found = []
    for fields in [line.split(" ") for line in text.split("\n")]:
        if len(fields) < 4 or not fields[0].startswith("/"):
            continue
        # The kernel writes white space as an octal escape.
        device, point = [
            ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), field) for field in fields[:2]
        ]
        try:
            number = _number(place_of(device, root), root)
        except EnvironmentError:
            continue
        if number is not None:
            found.append(
                {
                    "key": _device_key(number),
                    "device": _shown(device),
                    "point": _shown(point),
                    "read_only": fields[3].split(",")[0] == "ro",
                }
            )
    return found


def _shown(path):
    """
    A path as text for people, whatever bytes it has.
    """
    raw = path if isinstance(path, bytes) else path.encode(*PATHS)
    return _native(raw.decode("utf-8", "replace"))


def loops(root):
    """
    The loop devices of the host.

    Returns a dict: known (bool: whether there is anything to see), unlimited (bool: the kernel makes them as
    they are needed, since Linux 3.1), total and free (how many; free None when that cannot be told) and
    backing (dict from the key of a loop device to that of its file, see `used`).
    """
    # By number: the names of devfs may be links to the others, or the other way round.
    nodes = {}
    for path in glob.glob(root + "/dev/loop*") + glob.glob(root + "/dev/loop/*"):
        match = re.match(r"loop/?(\d+)\Z", path[len(root + "/dev/") :])
        if match:
            nodes.setdefault(int(match.group(1)), path)
    found = {
        "unlimited": os.path.exists(root + "/dev/loop-control"),
        "total": len(nodes),
        "free": 0,
        "backing": {},
    }
    names = [os.path.basename(folder) for folder in glob.glob(root + "/sys/block/loop*")]
    for number, node in sorted(nodes.items()):
        name = "loop%d" % number
        backing = _backing(node, name, root)
        if backing:
            found["backing"]["device %d:%s" % (LOOP_MAJOR, name[4:])] = backing
        elif backing is None:
            found["free"] = None
        elif backing is False and found["free"] is not None:
            found["free"] += 1
    found["known"] = bool(nodes or names or found["unlimited"] or _has_no_loops(root))
    return found


def _has_no_loops(root):
    """
    Whether the kernel says that it has no loop devices at all, which is when the module is not loaded.
    """
    try:
        with open(root + "/proc/devices") as stream:
            return not re.search(r"^ *7 loop$", stream.read(), re.MULTILINE)
    except EnvironmentError:
        return False


def _backing(node, name, root):
    """
    The key of the file that a loop device is set up with; False when it is free, "" when it cannot be used,
    None when that cannot be told.
    """
    folder = os.path.join(root + "/sys/block", name)
    text = _line(folder, "loop/backing_file")
    if text:
        try:
            return _identity(text, root)["key"]
        except EnvironmentError:
            # It was removed, or lies in a container.
            return "file " + text
    try:
        if not stat.S_ISBLK(os.stat(node).st_mode):
            return False
    except EnvironmentError:
        # A link to nothing.
        return ""
    # Linux before 2.6.37 does not show it in sysfs.
    try:
        descriptor = os.open(node, os.O_RDONLY)
    except EnvironmentError as exc:
        return "" if exc.errno in (errno.ENXIO, errno.ENODEV) else None
    try:
        answer = fcntl.ioctl(descriptor, LOOP_STATUS, b"\0" * LOOP_ANSWER_BYTES)
    except EnvironmentError as exc:
        return False if exc.errno == errno.ENXIO else None
    finally:
        os.close(descriptor)
    return "file %d:%d" % LOOP_ANSWER.unpack(answer[: LOOP_ANSWER.size])


def scripts(root):
    """
    The names of the hotplug scripts of the host that can be run; None when this user may not see them.
    """
    folder = root + SCRIPTS
    try:
        names = os.listdir(folder)
    except EnvironmentError as exc:
        return [] if exc.errno in GONE else None
    return sorted([name for name in names if _is_program(name, folder, root)])


def _is_program(name, folder, root):
    real = place_of(os.path.join(folder, name)[len(root) :], root)
    # By the letters of its mode: the one who runs it is root.
    return os.path.isfile(real) and bool(os.stat(real).st_mode & 0o111)


# Verdicts

SENTENCES = {
    "empty": ("none", "the drive is empty"),
    "script": (
        "unproved",
        "a script of its own attaches it, so that nothing is known of where it is; make sure that it means "
        "the same storage on %(target)s as on %(source)s, and that %(target)s can reach it",
    ),
    "no medium": (
        "unchecked",
        "there is no medium in the drive on %(without)s; put the same one in on both before %(target)s has "
        "the guest, if it reads from it",
    ),
    "missing": (
        "missing",
        "%(problem)s on %(target)s, where xend would find out only when all memory is there: the guest "
        "would be lost on both; make the storage of %(source)s available there under this path",
    ),
    "unseen": (
        "unproved",
        "%(problem)s on %(source)s itself, so that it cannot be compared with what %(target)s has; see "
        "what the guest really runs on",
    ),
    "kinds": (
        "different",
        "it is a %(there_is)s on %(source)s and a %(here_is)s on %(target)s; let the path mean the same "
        "storage on both",
    ),
    "marker seen": (
        "same",
        "%(target)s sees what %(source)s has put next to it (%(there_size)s bytes on %(source)s, "
        "%(here_size)s on %(target)s)",
    ),
    "marker not seen": (
        "different",
        "%(target)s does not see what %(source)s has put next to it, so these are two files (%(there_size)s "
        "bytes on %(source)s, %(here_size)s on %(target)s); mount the storage of %(source)s on %(target)s",
    ),
    "names": (
        "different",
        "it leads to %(there_name)s on %(source)s and to %(here_name)s in the same folder on %(target)s; "
        "let the symbolic links lead to one file",
    ),
    "copy": (
        "same",
        "the same or a copy, which is good enough for a disk that is only read; judged by its signature "
        "%(here_signature)s and its size of %(here_size)s bytes on %(source)s and %(target)s",
    ),
    "inode": (
        "unproved",
        "judged by inode and size (%(here_inode)s, %(here_size)s bytes) on %(source)s and %(target)s, since "
        "%(marker_problem)s; a file system and its clone are alike in this, and a marker would prove it: let "
        "it be made, or make sure that it is one file",
    ),
    "other inode": (
        "different",
        "inode %(there_inode)s, %(there_size)s bytes, signature %(there_signature)s on %(source)s; inode "
        "%(here_inode)s, %(here_size)s bytes, signature %(here_signature)s on %(target)s; it could not be "
        "looked at more closely, since %(marker_problem)s; make them one file",
    ),
    "no inode": (
        "unproved",
        "inode and size are not known of both (%(there_inode)s, %(there_size)s bytes on %(source)s; "
        "%(here_inode)s, %(here_size)s bytes on %(target)s), and %(marker_problem)s; make sure that it is "
        "one file",
    ),
    "sizes": (
        "different",
        "%(there_size)s bytes on %(source)s, %(here_size)s on %(target)s; give both the same device, and let "
        "%(target)s read its size again if it was resized",
    ),
    "signatures": (
        "different",
        "what is on it differs: signature %(there_signature)s on %(source)s, %(here_signature)s on "
        "%(target)s; give both the same device",
    ),
    "ids": (
        "same",
        "%(key)s is %(here_id)s on %(source)s and %(target)s",
    ),
    "other ids": (
        "different",
        "%(key)s is %(there_id)s on %(source)s and %(here_id)s on %(target)s; give both the same device",
    ),
    "signature": (
        "unproved",
        "judged by its signature %(here_signature)s on %(source)s and %(target)s; a byte-by-byte copy looks "
        "alike: an id that both hosts show in /sys or /dev/disk/by-id would prove it, else make sure that it "
        "is one device",
    ),
    "nothing": (
        "unproved",
        "nothing tells it apart (%(there_ids)s, signature %(there_signature)s on %(source)s; %(here_ids)s, "
        "signature %(here_signature)s on %(target)s); make sure that it is one device",
    ),
}

# What some of them mean for a disk that is only read: two drives with two media are for people to judge,
# since the guest can damage neither.
READ_ONLY_VERDICTS = {
    "inode": "same",
    "sizes": "unproved",
    "signatures": "unproved",
    "other ids": "unproved",
}

ACCEPT = "; who knows better says accept: [storage]"

def compare(there, here, marks, token, root, source="the source", target="the target", patience_s=3):
    """
    Whether each disk of a guest is the same storage on two hosts. To be called on the target while the
    markers are in place.

    there, here
        what `look` returned on the source and on this host for the same disks
    marks
        what `mark` returned on the source; None when nothing was marked
    token, root
        as for `mark`, root that of this host
    source, target
        what the sentences call the hosts
    patience_s
        seconds to wait, in all, for markers to appear

    Returns a list of (verdict, sentence) in the order of the disks. Verdicts: "same", "missing" (not usable
    here), "different" (proved), "unproved" (for people to accept), "unchecked" (a drive without a
    medium), "none" (an empty drive). A "same" whose sentence has the word "judged"
    is likely, not proved, which is enough for a disk that is only read. Raises ValueError when `there` and
    `here` are not of the same disks.
    """
    if [disk["uname"] for disk in there] != [disk["uname"] for disk in here]:
        raise ValueError("what the two hosts have looked at are not the same disks")
    problems = dict([(entry["path"], entry["problem"]) for entry in marks or []])
    put = [
        disk["path"]
        for disk in here
        if not disk["problem"] and problems.get(disk["path"], "none") is None
    ]
    # What is not answered was not marked.
    seen = in_time([_later(_seen, put, token, root, patience_s)], LOOK_S + patience_s)[0] or {}
    found = []
    for one, other in zip(there, here):
        marked = seen.get(one["path"])
        key, (what, id_there, id_here) = _judge(one, other, marked), _common_id(one, other)
        words = {
            "source": source,
            "target": target,
            "problem": other["problem"] or one["problem"],
            "without": " and ".join(
                [name for name, disk in ((source, one), (target, other)) if disk["size"] is None]
            ),
            "marker_problem": problems.get(one["path"]) or "it was not marked",
            "key": what,
            "there_id": id_there,
            "here_id": id_here,
        }
        for side, disk in (("there", one), ("here", other)):
            words[side + "_is"] = "device" if disk["device"] else "file"
            words[side + "_ids"] = ", ".join(sorted(disk["ids"])) or "no ids"
            for fact in ("name", "size", "inode", "signature"):
                words["%s_%s" % (side, fact)] = "unknown" if disk[fact] is None else disk[fact]
        verdict, sentence = SENTENCES[key]
        if one["read_only"]:
            verdict = READ_ONLY_VERDICTS.get(key, verdict)
        if verdict == "unproved":
            sentence += ACCEPT
        name = ", ".join([part for part in (one["dev"], one["uname"]) if part])
        found.append((verdict, "%s: %s" % (name, sentence % words)))
    return found


def _seen(paths, token, root, patience_s):
    """
    {path: whether its marker can be seen here}.

    A client of NFS may believe for up to acdirmax (60 s) what it knows of a folder, but it never asked for
    this name before, so that opening it asks the server; listing the folder first lets it look again.
    """
    seen = dict([(path, False) for path in paths])
    for attempt in range(int(patience_s / POLL_S) + 1):
        missing = [path for path in sorted(seen) if not seen[path]]
        if not missing:
            break
        if attempt:
            time.sleep(POLL_S)
        for path in missing:
            folder = os.path.dirname(place_of(path, root))
            try:
                os.listdir(folder)
            except EnvironmentError:
                continue
            seen[path] = _holds(os.path.join(folder, _marker_name(token)), token)
    return seen


def _judge(there, here, marked):
    """
    Which of SENTENCES holds. MARKED: whether the marker is seen; None when there is none.
    """
    if there["kind"] in ("none", "script"):
        return {"none": "empty"}.get(there["kind"], "script")
    if here["problem"] or there["problem"]:
        return "missing" if here["problem"] else "unseen"
    if here["device"] != there["device"]:
        return "kinds"
    if there["device"]:
        return _judge_device(there, here)
    if marked:
        # Not by size: a client of NFS may still believe an older one of an image that grows.
        is_one = there["name"] == here["name"] or there["inode"] == here["inode"]
        return "marker seen" if is_one else "names"
    if there["read_only"] and _is_alike(there, here):
        return "copy"
    if marked is not None:
        return "marker not seen"
    facts = [(disk["inode"], disk["size"]) for disk in (there, here)]
    if None in facts[0] + facts[1]:
        return "no inode"
    return "inode" if facts[0] == facts[1] and not _differ(there, here) else "other inode"


def _judge_device(there, here):
    if there["size"] is None or here["size"] is None:
        return "no medium"
    if there["size"] != here["size"]:
        return "sizes"
    if _differ(there, here):
        # Even under the same id: volume groups of hosts that were made from one image have the same.
        return "signatures"
    key, one, other = _common_id(there, here)
    if key:
        return "ids" if one == other else "other ids"
    if not _is_alike(there, here):
        return "nothing"
    return "copy" if there["read_only"] else "signature"


def _common_id(there, here):
    for key in SYSFS_IDS:
        if key in there["ids"] and key in here["ids"]:
            return key, there["ids"][key], here["ids"][key]
    return None, None, None


def _differ(there, here):
    return None not in (there["signature"], here["signature"]) and there["signature"] != here["signature"]


def _is_alike(there, here):
    return there["size"] == here["size"] and there["signature"] == here["signature"] is not None
