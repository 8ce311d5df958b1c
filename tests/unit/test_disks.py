"""Disks of guests on real files: two folders are two hosts, symbolic links their shared storage."""

import errno
import os
import struct
import subprocess
import threading
import time
import uuid

import pytest

import xm_disks
import xm_heard

TOKEN = "c56e09d2-81cc"
KIB = 1024


@pytest.mark.parametrize(
    "uname, kind, path",
    [
        ("file:/srv/web01.img", "file", "/srv/web01.img"),
        ("file:/srv/a:b.img", "file", "/srv/a:b.img"),
        ("tap:aio:/srv/web01.img", "file", "/srv/web01.img"),
        ("tap:qcow2:/srv/web01.qcow", "file", "/srv/web01.qcow"),
        ("tap2:aio:/srv/web01.img", "file", "/srv/web01.img"),
        ("tap:tapdisk:aio:/srv/web01.img", "file", "/srv/web01.img"),
        ("tap2:tapdisk:vhd:/srv/web01.vhd", "file", "/srv/web01.vhd"),
        ("phy:/dev/vg/web01", "block", "/dev/vg/web01"),
        ("phy:vg/web01", "block", "/dev/vg/web01"),
        ("drbd:web01", "script", "web01"),
        ("iscsi:iqn.2001-04.org.example:x", "script", "iqn.2001-04.org.example:x"),
        ("tap:ram:64", "script", "64"),
        ("tap:remus:host:9000|aio:/srv/x.img", "script", "host:9000|aio:/srv/x.img"),
        ("nonsense", "script", "nonsense"),
        ("", "none", None),
        (None, "none", None),
        ("phy:", "none", None),
        ("file:", "none", None),
        ("tap:aio:", "none", None),
    ],
)
def test_what_a_uname_means(uname, kind, path):
    assert xm_disks.where(uname) == (kind, path)


# Contents


def blank(size=128 * KIB):
    return bytearray(size)


def at(content, offset, data):
    content[offset : offset + len(data)] = data
    return content


def ext(identity):
    return at(at(blank(), 1024 + 56, b"\x53\xef"), 1024 + 104, identity)


def xfs(identity):
    return at(at(blank(), 0, b"XFSB"), 32, identity)


def btrfs(identity):
    return at(at(blank(), 64 * KIB + 64, b"_BHRfS_M"), 64 * KIB + 32, identity)


def swap(identity):
    return at(at(blank(), 4086, b"SWAPSPACE2"), 1036, identity)


def lvm(identity):
    return at(at(blank(), 512, b"LABELONE"), 544, identity * 2)


def gpt(identity):
    return at(at(blank(), 512, b"EFI PART"), 568, identity)


def mbr(disk_signature, *starts):
    """A disk with partitions of 64 KiB each, at these sectors."""
    content = at(at(blank(), 510, b"\x55\xaa"), 440, disk_signature)
    for number, start in enumerate(starts):
        at(content, 446 + 16 * number, struct.pack("<B3xB3xLL", 0, 0x83, start, 128))
    return content


def cd(title):
    return at(at(blank(), 32769, b"CD001"), 32808, title)


FORMATS = [ext, xfs, btrfs, swap, lvm, gpt, lambda identity: mbr(identity[:4])]


def disk(uname, dev="xvda:disk", mode="w"):
    return {"uname": uname, "dev": dev, "mode": mode}


class Fleet:
    """Two hosts with a folder that both see under the same path, and one that each has for itself."""

    def __init__(self, folder):
        self.shared = os.path.join(str(folder), "shared")
        os.mkdir(self.shared)
        self.roots = []
        for name in ("xen1", "xen2"):
            root = os.path.join(str(folder), name)
            for path in ("srv/local", "dev", "sys/dev/block"):
                os.makedirs(os.path.join(root, path))
            os.symlink(self.shared, os.path.join(root, "srv/xen"))
            self.roots.append(root)
        self.source, self.target = self.roots

    def write(self, path, content, hosts=None):
        for root in hosts or self.roots:
            with open(root + path, "wb") as stream:
                stream.write(content)

    def device(self, name, content, hosts=None):
        """Let /dev/NAME be a block device of these hosts, as their kernels see it."""
        for root in hosts or self.roots:
            folder = os.path.join(root, "sys/block", name)
            if not os.path.isdir(folder):
                os.makedirs(folder)
            with open(folder + "/dev", "w") as stream:
                stream.write("253:%d\n" % len(os.listdir(root + "/sys/block")))
        self.write("/dev/" + name, content, hosts)

    def compare(self, disks, has_marks=True, patience_s=0, spoil=None):
        there = xm_disks.look(disks, self.source)
        marks = xm_disks.mark(disks, TOKEN, self.source) if has_marks else None
        if spoil:
            spoil()
        here = xm_disks.look(disks, self.target)
        try:
            return xm_disks.compare(
                there, here, marks, TOKEN, self.target, "xen1", "xen2", patience_s=patience_s
            )
        finally:
            xm_disks.unmark(disks, TOKEN, self.source)

    def verdict(self, *args, **options):
        (found,) = self.compare(*args, **options)
        return found


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


def signature(fleet, content):
    fleet.write("/srv/local/x.img", bytes(content))
    (found,) = xm_disks.look([disk("file:/srv/local/x.img")], fleet.source)
    assert found["problem"] is None
    return found["signature"]


@pytest.fixture
def has_direct_reads(tmp_path):
    path = os.path.join(str(tmp_path), "direct")
    open(path, "wb").close()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no direct reads, without which images are not read")


@pytest.mark.usefixtures("has_direct_reads")
class TestSignature:
    @pytest.mark.parametrize("made", FORMATS)
    def test_identity_decides(self, fleet, made):
        one, other = uuid.uuid4().bytes, uuid.uuid4().bytes
        first = signature(fleet, made(one))
        assert first and first == signature(fleet, made(one)) != signature(fleet, made(other))

    @pytest.mark.parametrize("made", FORMATS)
    def test_what_a_guest_writes_does_not_matter(self, fleet, made):
        identity = uuid.uuid4().bytes
        content = made(identity)
        before = signature(fleet, content)
        # Data, and what a mounted file system counts in its superblock.
        assert signature(fleet, at(content, 100 * KIB, b"data")) == before
        assert signature(fleet, at(content, 2000, b"data")) == before

    @pytest.mark.parametrize(
        "content", [blank(), bytearray(b"\xf6") * (128 * KIB), bytearray(), bytearray(b"x" * 100)]
    )
    def test_nothing_known_is_none(self, fleet, content):
        assert signature(fleet, content) is None

    @pytest.mark.parametrize("made", FORMATS)
    def test_an_identity_of_zeros_is_none(self, fleet, made):
        assert signature(fleet, made(b"\0" * 16)) is None

    def test_partitions_are_looked_into(self, fleet):
        found = []
        for identity in (b"a" * 16, b"b" * 16):
            content = mbr(b"\0\0\0\0", 63, 2048) + blank(1024 * KIB)
            found.append(signature(fleet, at(content, 1024 * KIB, bytes(ext(identity)))))
        assert None not in found and found[0] != found[1]

    def test_partition_that_begins_between_pages(self, fleet):
        found = []
        for identity in (b"a" * 16, b"b" * 16):
            content = mbr(b"\0\0\0\0", 63) + blank()
            found.append(signature(fleet, at(content, 63 * 512, bytes(ext(identity)))))
        assert None not in found and found[0] != found[1]

    def test_a_table_decides_too(self, fleet):
        assert signature(fleet, mbr(b"abcd", 63)) != signature(fleet, mbr(b"abcd", 64))

    def test_a_table_alone_tells_no_disk_from_another(self, fleet):
        assert signature(fleet, mbr(b"\0\0\0\0", 63)) is None

    @pytest.mark.parametrize("command", [["mkfs.ext4", "-Fq"], ["mkswap", "-q"]])
    def test_what_the_tools_make(self, fleet, command):
        found = []
        for _ in range(2):
            fleet.write("/srv/local/x.img", b"")
            path = fleet.source + "/srv/local/x.img"
            with open(path, "r+b") as stream:
                stream.truncate(4 * KIB * KIB)
            try:
                subprocess.check_output(command + [path], stderr=subprocess.STDOUT)
            except OSError:
                pytest.skip("there is no %s here" % command[0])
            (seen,) = xm_disks.look([disk("file:/srv/local/x.img")], fleet.source)
            found.append(seen["signature"])
        assert None not in found and found[0] != found[1]


# Looking


def test_where_direct_reads_are_refused_only_devices_are_read(fleet, monkeypatch):
    real_open = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real_open(path, flags, *mode)

    monkeypatch.setattr(xm_disks.os, "open", refuse)
    fleet.write("/srv/xen/x.img", bytes(ext(b"a" * 16)))
    fleet.device("x", bytes(ext(b"a" * 16)))
    image, device = xm_disks.look([disk("file:/srv/xen/x.img"), disk("phy:x")], fleet.source)
    assert image["problem"] is None and image["size"] == 128 * KIB and image["signature"] is None
    assert device["problem"] is None and device["size"] == 128 * KIB and device["signature"]


def test_a_file_as_it_is_seen(fleet):
    fleet.write("/srv/xen/web01.img", b"x" * 5000)
    (found,) = xm_disks.look([disk("file:/srv/xen/web01.img", "ioemu:hda", "r")], fleet.source)
    assert found["dev"] == "hda" and found["read_only"] and found["problem"] is None
    assert (found["kind"], found["path"]) == ("file", "/srv/xen/web01.img")
    assert found["size"] == 5000 and not found["device"] and found["ids"] == {}
    assert found["inode"] == os.stat(fleet.shared + "/web01.img").st_ino


def test_what_cannot_be_used_is_a_problem(fleet):
    os.mkdir(fleet.source + "/srv/folder")
    os.mkfifo(fleet.source + "/srv/pipe")
    os.symlink("loop", fleet.source + "/srv/loop")
    unames = ["file:/srv/none", "file:/srv/folder", "file:/srv/pipe", "file:/srv/loop", "file:web.img"]
    found = xm_disks.look([disk(uname) for uname in unames] + [disk("")], fleet.source)
    assert found[0]["problem"] == "there is no /srv/none"
    assert "neither" in found[1]["problem"] and "neither" in found[2]["problem"]
    assert "cannot be read" in found[3]["problem"] and "absolute" in found[4]["problem"]
    assert found[5]["problem"] is None and found[5]["kind"] == "none"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_opened_is_a_problem(fleet):
    fleet.write("/srv/xen/web01.img", b"x")
    os.chmod(fleet.shared + "/web01.img", 0)
    (found,) = xm_disks.look([disk("file:/srv/xen/web01.img")], fleet.source)
    assert "/srv/xen/web01.img cannot be read" in found["problem"]


def test_links_of_a_host_are_meant_from_its_own_root(fleet):
    os.makedirs(fleet.source + "/mnt/nfs")
    fleet.write("/mnt/nfs/x.img", b"x" * 100, [fleet.source])
    os.symlink("/mnt/nfs", fleet.source + "/srv/images")
    os.symlink("../../mnt/nfs/x.img", fleet.source + "/srv/local/link")
    disks = [disk("file:/srv/images/x.img"), disk("file:/srv/local/link")]
    assert [found["size"] for found in xm_disks.look(disks, fleet.source)] == [100, 100]


def test_nothing_is_written_by_looking(fleet):
    fleet.write("/srv/xen/web01.img", bytes(ext(b"a" * 16)))
    os.chmod(fleet.shared + "/web01.img", 0o400)
    before = os.stat(fleet.shared + "/web01.img")
    (found,) = xm_disks.look([disk("file:/srv/xen/web01.img")], fleet.source)
    after = os.stat(fleet.shared + "/web01.img")
    assert found["problem"] is None and os.listdir(fleet.shared) == ["web01.img"]
    assert (before.st_mtime, before.st_size) == (after.st_mtime, after.st_size)


NO_MEDIUM = OSError(123, "No medium found")


def test_a_drive_without_a_medium_is_empty_unless_the_guest_writes_to_it(fleet, monkeypatch):
    fleet.device("cdrom", b"", [fleet.target])
    fleet.device("cdrom", bytes(cd(b"DEBIAN 7")), [fleet.source])
    real_open = os.open

    def refuse(path, flags, *mode):
        if str(path) == fleet.target + "/dev/cdrom":
            raise NO_MEDIUM
        return real_open(path, flags, *mode)

    monkeypatch.setattr(xm_disks.os, "open", refuse)
    for uname in ("phy:/dev/cdrom", "file:/dev/cdrom"):
        (found,) = xm_disks.look([disk(uname, "hdc:cdrom", "r")], fleet.target)
        assert found["problem"] is None and found["device"] and found["size"] is None
    (found,) = xm_disks.look([disk("phy:/dev/cdrom", "hdc", "w")], fleet.target)
    assert "No medium found" in found["problem"]
    verdict, sentence = fleet.verdict([disk("phy:/dev/cdrom", "hdc:cdrom", "r")])
    assert verdict == "unchecked" and "no medium in the drive on xen2;" in sentence
    assert fleet.verdict([disk("phy:/dev/cdrom", "hdc:cdrom", "w")])[0] == "missing"


def test_a_drbd_device_that_is_not_primary(fleet, monkeypatch):
    fleet.device("drbd0", bytes(ext(b"0123456789abcdef")))
    real_open = os.open

    def refuse(path, flags, *mode):
        if str(path) == fleet.target + "/dev/drbd0":
            raise OSError(124, "Wrong medium type")
        return real_open(path, flags, *mode)

    monkeypatch.setattr(xm_disks.os, "open", refuse)
    verdict, sentence = fleet.verdict([disk("phy:/dev/drbd0")])
    assert verdict == "missing"
    for words in ("/dev/drbd0", "on xen2", "drbdadm primary", "allow-two-primaries", "lost on both"):
        assert words in sentence


# What a device is known by


def sysfs(root, path, **files):
    folder = os.path.join(root, "sys", path)
    for name, text in files.items():
        where = os.path.join(folder, name.replace("__", "/"))
        if not os.path.isdir(os.path.dirname(where)):
            os.makedirs(os.path.dirname(where))
        with open(where, "w") as stream:
            stream.write(text + "\n")
    return folder


def test_ids_of_a_logical_volume(fleet):
    sysfs(fleet.source, "devices/virtual/block/dm-5", dev="253:5", dm__uuid="LVM-abcDEF", serial="0000")
    os.symlink("../../devices/virtual/block/dm-5", fleet.source + "/sys/dev/block/253:5")
    assert xm_disks.device_ids(os.makedev(253, 5), fleet.source) == {"dm/uuid": "LVM-abcDEF"}


def test_a_device_mapper_name_is_no_id(fleet):
    sysfs(fleet.source, "dev/block/253:5", dev="253:5", dm__uuid="CRYPT-PLAIN-web01")
    assert xm_disks.device_ids(os.makedev(253, 5), fleet.source) == {}


def test_ids_of_a_partition(fleet):
    disk_folder = sysfs(fleet.source, "devices/x/block/sdb", dev="8:16", device__wwid="naa.6001  405")
    sysfs(fleet.source, "devices/x/block/sdb/sdb2", dev="8:18", partition="2")
    os.symlink(disk_folder + "/sdb2", fleet.source + "/sys/dev/block/8:18")
    assert xm_disks.device_ids(os.makedev(8, 18), fleet.source) == {"device/wwid": "naa.6001 405-part2"}


def test_ids_with_the_sysfs_of_old_kernels(fleet):
    sysfs(fleet.source, "block/sda", dev="8:0", device__serial="S1")
    sysfs(fleet.source, "block/sda/sda3", dev="8:3")
    found = [xm_disks.device_ids(os.makedev(8, minor), fleet.source) for minor in (0, 3, 4)]
    assert found == [{"device/serial": "S1"}, {"device/serial": "S1-part3"}, {}]


def test_ids_that_only_udev_knows(fleet):
    """Any device node will do for udev's links: /dev/null has a number as well."""
    folder = fleet.source + "/dev/disk/by-id"
    os.makedirs(folder)
    for name in ("scsi-36001405abc", "scsi-SVENDOR_x", "dm-name-web01", "dm-uuid-LVM-xyz", "wwn-0x5"):
        os.symlink("/dev/null", os.path.join(folder, name))
    os.symlink("/dev/zero", os.path.join(folder, "scsi-3another"))
    os.symlink("gone", os.path.join(folder, "scsi-30000"))
    assert xm_disks.device_ids(os.stat("/dev/null").st_rdev, fleet.source) == {
        "device/wwid": "naa.6001405abc",
        "dm/uuid": "LVM-xyz",
    }


def test_sysfs_goes_before_udev(fleet):
    number = os.stat("/dev/null").st_rdev
    name = "%d:%d" % (os.major(number), os.minor(number))
    sysfs(fleet.source, "dev/block/" + name, dev=name, device__wwid="naa.6001")
    os.makedirs(fleet.source + "/dev/disk/by-id")
    os.symlink("/dev/null", fleet.source + "/dev/disk/by-id/scsi-36002")
    assert xm_disks.device_ids(number, fleet.source) == {"device/wwid": "naa.6001"}


def test_a_real_device_node(fleet):
    node = fleet.source + "/dev/web01"
    try:
        os.mknod(node, 0o60600, os.makedev(7, 0))
        os.close(os.open(node, os.O_RDONLY))
    except OSError as exc:
        pytest.skip("no device node can be made and opened here: %s" % exc)
    sysfs(fleet.source, "dev/block/7:0", dm__uuid="LVM-1")
    found = xm_disks.look([disk("phy:web01"), disk("file:/dev/web01")], fleet.source)
    for one in found:
        assert one["device"] and one["problem"] is None and one["ids"] == {"dm/uuid": "LVM-1"}
    # Next to a device nothing is put: folders of devices are never shared.
    assert xm_disks.mark([disk("file:/dev/web01")], TOKEN, fleet.source) == []


# Markers


def test_one_marker_for_each_folder(fleet):
    fleet.write("/srv/xen/a.img", b"a")
    fleet.write("/srv/xen/b.img", b"b")
    fleet.write("/srv/local/c.img", b"c")
    unames = ["file:/srv/xen/a.img", "tap:aio:/srv/xen/b.img", "file:/srv/local/c.img", "phy:x", "", "drbd:x"]
    disks = [disk(uname) for uname in unames]
    marks = xm_disks.mark(disks, TOKEN, fleet.source)
    assert [(mark["path"], mark["problem"]) for mark in marks] == [
        ("/srv/xen/a.img", None),
        ("/srv/xen/b.img", None),
        ("/srv/local/c.img", None),
    ]
    for folder in (fleet.shared, fleet.source + "/srv/local"):
        path = os.path.join(folder, ".xend-for-salt." + TOKEN)
        with open(path) as stream:
            assert stream.read() == TOKEN
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert xm_disks.unmark(disks, TOKEN, fleet.source) == []
    assert sorted(os.listdir(fleet.shared)) == ["a.img", "b.img"]
    assert os.listdir(fleet.source + "/srv/local") == ["c.img"]
    assert xm_disks.unmark(disks, TOKEN, fleet.source) == []


def test_other_markers_stay_unless_they_are_old(fleet):
    fleet.write("/srv/xen/a.img", b"a")
    ages_s = {"young-one-1": 3000, "old-token-1": 4000, "short": 4000}
    for name, age_s in ages_s.items():
        path = os.path.join(fleet.shared, ".xend-for-salt." + name)
        open(path, "w").close()
        now = os.stat(fleet.shared + "/a.img").st_mtime
        os.utime(path, (now - age_s, now - age_s))
    os.utime(fleet.shared + "/a.img", (0, 0))
    xm_disks.mark([disk("file:/srv/xen/a.img")], TOKEN, fleet.source)
    xm_disks.unmark([disk("file:/srv/xen/a.img")], TOKEN, fleet.source)
    assert sorted(os.listdir(fleet.shared)) == [
        ".xend-for-salt.short",
        ".xend-for-salt.young-one-1",
        "a.img",
    ]


def test_what_is_in_the_way_of_a_marker_stays(fleet):
    fleet.write("/srv/xen/a.img", b"a")
    victim = os.path.join(fleet.shared, "victim")
    os.symlink(victim, os.path.join(fleet.shared, ".xend-for-salt." + TOKEN))
    (mark,) = xm_disks.mark([disk("file:/srv/xen/a.img")], TOKEN, fleet.source)
    assert "cannot be made" in mark["problem"] and not os.path.exists(victim)
    # Not even when what the link leads to looks like the marker.
    with open(victim, "w") as stream:
        stream.write(TOKEN)
    (mark,) = xm_disks.mark([disk("file:/srv/xen/a.img")], TOKEN, fleet.source)
    assert "cannot be made" in mark["problem"]


def test_a_folder_with_two_names_has_one_marker(fleet):
    # As when one export is mounted twice: the second path is no symbolic link.
    fleet.write("/srv/xen/a.img", b"a")
    assert xm_disks.mark([disk("file:/srv/xen/a.img")], TOKEN, fleet.source)[0]["problem"] is None
    assert xm_disks.mark([disk("file:/srv/xen/a.img")], TOKEN, fleet.target)[0]["problem"] is None


@pytest.mark.parametrize("token", ["", "short", "../../etc", "a" * 65, "with space", "newline-\n"])
def test_a_token_that_is_none(fleet, token):
    fleet.write("/srv/xen/a.img", b"a")
    with pytest.raises(ValueError):
        xm_disks.mark([disk("file:/srv/xen/a.img")], token, fleet.source)
    with pytest.raises(ValueError):
        xm_disks.unmark([disk("file:/srv/xen/a.img")], token, fleet.source)
    assert os.listdir(fleet.shared) == ["a.img"]


# Verdicts on files


IMAGE = [disk("file:/srv/xen/web01.img")]
LOCAL = [disk("file:/srv/local/web01.img")]


def test_a_shared_file_is_the_same(fleet):
    fleet.write("/srv/xen/web01.img", bytes(ext(b"a" * 16)))
    verdict, sentence = fleet.verdict(IMAGE)
    assert verdict == "same" and "judged" not in sentence
    assert sentence.startswith("xvda, file:/srv/xen/web01.img: ")
    assert "xen1" in sentence and "xen2" in sentence


def test_a_local_file_with_equal_content_is_another(fleet):
    fleet.write("/srv/local/web01.img", bytes(ext(b"a" * 16)))
    verdict, sentence = fleet.verdict(LOCAL)
    assert verdict == "different" and "xen2 does not see" in sentence


def test_a_file_that_is_missing(fleet):
    fleet.write("/srv/local/web01.img", b"x", [fleet.source])
    verdict, sentence = fleet.verdict(LOCAL)
    assert verdict == "missing" and "there is no /srv/local/web01.img on xen2" in sentence


def test_a_file_that_the_source_does_not_see(fleet):
    fleet.write("/srv/local/web01.img", b"x", [fleet.target])
    verdict, sentence = fleet.verdict(LOCAL)
    assert verdict == "unproved" and "on xen1 itself" in sentence and sentence.endswith(ACCEPT)


def test_a_file_that_grows_meanwhile_is_the_same(fleet):
    fleet.write("/srv/xen/web01.img", b"x" * 10)
    grow = lambda: fleet.write("/srv/xen/web01.img", b"x" * 20)  # noqa: E731
    assert fleet.verdict(IMAGE, spoil=grow)[0] == "same"


def test_a_link_to_another_file_in_the_same_folder(fleet):
    for name, root in (("one.img", fleet.source), ("other.img", fleet.target)):
        fleet.write("/srv/xen/" + name, b"x" * 100)
        os.symlink("../xen/" + name, root + "/srv/local/web01.img")
    verdict, sentence = fleet.verdict(LOCAL)
    assert verdict == "different" and "one.img" in sentence and "other.img" in sentence


def test_links_to_one_file(fleet):
    fleet.write("/srv/xen/real.img", b"x" * 100)
    for root in fleet.roots:
        os.symlink("../xen/real.img", root + "/srv/local/web01.img")
    assert fleet.verdict(LOCAL)[0] == "same"


def test_a_marker_with_other_content_is_not_seen(fleet):
    fleet.write("/srv/local/web01.img", b"x")

    def forge():
        fleet.write("/srv/local/.xend-for-salt." + TOKEN, b"another", [fleet.target])

    assert fleet.verdict(LOCAL, spoil=forge)[0] == "different"


def test_a_marker_that_appears_late_is_seen(fleet, monkeypatch):
    fleet.write("/srv/local/web01.img", b"x")
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            fleet.write("/srv/local/.xend-for-salt." + TOKEN, TOKEN.encode("ascii"), [fleet.target])

    monkeypatch.setattr(xm_disks.time, "sleep", nap)
    assert fleet.verdict(LOCAL, patience_s=3)[0] == "same"
    assert len(naps) == 2


def test_patience_ends(fleet, monkeypatch):
    fleet.write("/srv/local/web01.img", b"x")
    fleet.write("/srv/local/web02.img", b"x")
    naps = []
    monkeypatch.setattr(xm_disks.time, "sleep", naps.append)
    found = fleet.compare(LOCAL + [disk("file:/srv/local/web02.img", "xvdb")], patience_s=3)
    assert [verdict for verdict, _ in found] == ["different"] * 2
    assert 0 < sum(naps) <= 3


def looked(**changes):
    """What `look` says of a file, with changes."""
    found = {
        "dev": "xvda",
        "uname": "file:/srv/x.img",
        "kind": "file",
        "path": "/srv/x.img",
        "read_only": False,
        "problem": None,
        "device": False,
        "name": "x.img",
        "size": 4096,
        "inode": 7,
        "ids": {},
        "signature": None,
    }
    assert set(changes) <= set(found)
    found.update(changes)
    return found


def judged(there, here, marks=None):
    (found,) = xm_disks.compare([there], [here], marks, TOKEN, "/nowhere", "xen1", "xen2", patience_s=0)
    return found


READ = {"read_only": True}
ACCEPT = "accept: [storage]"


@pytest.mark.parametrize(
    "there, here, verdict",
    [
        # Disks that were cloned as a whole have the same inodes.
        ({}, {}, "unproved"),
        ({}, {"size": 4097}, "different"),
        ({}, {"inode": 8}, "different"),
        ({"signature": "a"}, {"signature": "a"}, "unproved"),
        ({"signature": "a"}, {"signature": "b"}, "different"),
        ({"signature": "a"}, {}, "unproved"),
        ({"inode": None}, {}, "unproved"),
        ({}, {"device": True}, "different"),
        (READ, READ, "same"),
        (READ, dict(READ, inode=8), "different"),
        (READ, dict(READ, size=4097), "different"),
        (dict(READ, inode=None), READ, "unproved"),
    ],
)
def test_without_a_marker_inode_and_size_decide(there, here, verdict):
    marks = [{"path": "/srv/x.img", "marker": "m", "problem": "m cannot be made: Read-only file system"}]
    for known in (None, marks):
        found, sentence = judged(looked(**there), looked(**here), known)
        assert found == verdict
        assert "xen1" in sentence and "xen2" in sentence
        assert sentence.endswith(ACCEPT) == (verdict == "unproved")
        if verdict == "same":
            assert "judged by inode and size" in sentence
        if verdict in ("same", "unproved"):
            assert ("Read-only file system" in sentence) == (known is not None)


def test_what_would_prove_that_it_is_one_file():
    assert "a marker would prove it" in judged(looked(), looked())[1]


def test_a_folder_where_nothing_can_be_put(fleet):
    fleet.write("/srv/xen/web01.img", b"x" * 100)
    os.mkdir(os.path.join(fleet.shared, ".xend-for-salt." + TOKEN))
    verdict, sentence = fleet.verdict(IMAGE)
    assert verdict == "unproved" and "judged by inode and size" in sentence and "File exists" in sentence
    verdict, sentence = fleet.verdict([dict(IMAGE[0], mode="r")])
    assert verdict == "same" and "judged by inode and size" in sentence and "File exists" in sentence


@pytest.mark.usefixtures("has_direct_reads")
def test_a_copy_of_what_is_only_read_will_do(fleet):
    content = bytes(cd(b"DEBIAN 7"))
    fleet.write("/srv/local/debian.iso", content)
    cdrom = [disk("file:/srv/local/debian.iso", "hdc:cdrom", "r")]
    verdict, sentence = fleet.verdict(cdrom)
    assert verdict == "same" and "judged" in sentence and sentence.startswith("hdc, ")
    fleet.write("/srv/local/debian.iso", content.replace(b"DEBIAN 7", b"DEBIAN 6"), [fleet.target])
    assert fleet.verdict(cdrom)[0] == "different"
    assert fleet.verdict([dict(cdrom[0], mode="w")])[0] == "different"


# Verdicts on devices


def device(**changes):
    changes = dict({"kind": "block", "device": True, "uname": "phy:vg/x", "inode": None}, **changes)
    return looked(**changes)


@pytest.mark.parametrize(
    "there, here, verdict, said",
    [
        ({"ids": {"dm/uuid": "LVM-1"}}, {"ids": {"dm/uuid": "LVM-1"}}, "same", "LVM-1"),
        ({"ids": {"dm/uuid": "LVM-1"}}, {"ids": {"dm/uuid": "LVM-2"}}, "different", "LVM-2"),
        # The stronger one decides.
        (
            {"ids": {"dm/uuid": "LVM-1", "serial": "1"}},
            {"ids": {"dm/uuid": "LVM-1", "serial": "2"}},
            "same",
            "LVM-1",
        ),
        (
            {"ids": {"dm/uuid": "LVM-1"}, "signature": "aa"},
            {"ids": {"dm/uuid": "LVM-1"}, "signature": "bb"},
            "different",
            "bb",
        ),
        ({"ids": {"dm/uuid": "LVM-1"}}, {"ids": {"dm/uuid": "LVM-1"}, "size": 1}, "different", "resized"),
        ({"ids": {"dm/uuid": "x"}}, {"ids": {"serial": "x"}}, "unproved", "dm/uuid"),
        # A copy that was made for an earlier move looks like this.
        ({"signature": "aa"}, {"signature": "aa"}, "unproved", "/dev/disk/by-id would prove"),
        ({"signature": "aa"}, {"signature": "bb"}, "different", "bb"),
        ({"signature": "aa"}, {}, "unproved", "make sure"),
        ({}, {}, "unproved", "make sure"),
        ({"size": 1}, {"size": 2}, "different", "2"),
    ],
)
def test_devices(there, here, verdict, said):
    found, sentence = judged(device(**there), device(**here))
    assert found == verdict and said in sentence
    assert "xen1" in sentence and "xen2" in sentence
    assert sentence.endswith(ACCEPT) == (verdict == "unproved")


@pytest.mark.parametrize(
    "there, here, verdict, said",
    [
        ({"ids": {"serial": "1"}}, {"ids": {"serial": "1"}}, "same", "serial is 1"),
        ({"signature": "aa"}, {"signature": "aa"}, "same", "judged by its signature aa"),
        # Two copies of one CD in two drives.
        ({"ids": {"serial": "1"}}, {"ids": {"serial": "2"}}, "unproved", "serial is 1"),
        ({"signature": "aa"}, {"signature": "bb"}, "unproved", "bb"),
        ({"size": 1}, {"size": 2}, "unproved", "2 on xen2"),
        ({"signature": "aa"}, {}, "unproved", "make sure"),
        ({"size": None}, {}, "unchecked", "no medium in the drive on xen1;"),
        ({"size": None}, {"size": None}, "unchecked", "no medium in the drive on xen1 and xen2;"),
        ({}, {"device": False}, "different", "file"),
        ({}, {"problem": "there is no /dev/x"}, "missing", "there is no /dev/x"),
    ],
)
def test_devices_that_are_only_read(there, here, verdict, said):
    found, sentence = judged(device(read_only=True, **there), device(read_only=True, **here))
    assert found == verdict and said in sentence
    assert sentence.endswith(ACCEPT) == (verdict == "unproved")
    assert ("judged" in sentence) == (said.startswith("judged"))


def test_a_device_without_ids(fleet):
    """What cannot be known by its ids is known by its content."""
    fleet.device("one", bytes(xfs(b"a" * 16)))
    assert fleet.verdict([disk("phy:one")])[0] == "unproved"
    assert fleet.verdict([disk("phy:one", mode="r")])[0] == "same"
    fleet.write("/dev/one", bytes(xfs(b"b" * 16)), [fleet.target])
    assert fleet.verdict([disk("phy:one")])[0] == "different"
    assert fleet.verdict([disk("phy:one", mode="r")])[0] == "unproved"
    assert os.listdir(fleet.source + "/dev") == ["one"]


@pytest.mark.parametrize("mode", ["w", "r", "w!"])
def test_a_file_where_a_device_should_be(fleet, mode):
    """As dd makes one. Script block refuses it, and xend has sent the guest then."""
    fleet.device("web01", b"x" * 100, [fleet.source])
    fleet.write("/dev/web01", b"x" * 100, [fleet.target])
    verdict, sentence = fleet.verdict([disk("phy:web01", mode=mode)])
    assert verdict == "missing"
    assert "/dev/web01 is a file and no block device" in sentence and "on xen2" in sentence


def test_a_file_where_a_device_should_be_on_both(fleet):
    fleet.write("/dev/web01", b"x" * 100)
    assert fleet.verdict([disk("phy:web01")])[0] == "missing"


def test_a_file_where_the_source_should_have_a_device(fleet):
    """The guest runs on what was there when it started."""
    fleet.write("/dev/web01", b"x" * 100, [fleet.source])
    fleet.device("web01", b"x" * 100, [fleet.target])
    verdict, sentence = fleet.verdict([disk("phy:web01")])
    assert verdict == "unproved" and "on xen1 itself" in sentence
    assert fleet.verdict([disk("phy:gone")])[0] == "missing"


def test_only_the_kernel_of_the_host_makes_a_file_a_device(fleet):
    fleet.device("web01", b"x" * 100)
    fleet.write("/srv/local/web01", b"x" * 100)
    (found,) = xm_disks.look([disk("phy:/srv/local/web01")], fleet.source)
    assert "no block device" in found["problem"]
    # Without a folder for it the host is this one, whose device nodes tell by themselves.
    (found,) = xm_disks.look([disk("phy:" + fleet.source + "/dev/web01")], "")
    assert "no block device" in found["problem"]


# All together


def test_a_guest_with_everything(fleet):
    fleet.write("/srv/xen/web01.img", b"x" * 100)
    fleet.write("/srv/local/data.img", b"x" * 100, [fleet.source])
    disks = [
        disk("file:/srv/xen/web01.img"),
        disk("file:/srv/local/data.img", "xvdb:disk"),
        disk("", "hdc:cdrom", "r"),
        disk("drbd:web01", "xvdd:disk"),
    ]
    found = fleet.compare(disks)
    assert [verdict for verdict, _ in found] == ["same", "missing", "none", "unproved"]
    assert found[2][1].startswith("hdc: ") and "drbd:web01" in found[3][1]


def test_no_disks_no_verdicts(fleet):
    assert fleet.compare([]) == []


def test_disks_of_another_guest_are_an_error():
    with pytest.raises(ValueError):
        xm_disks.compare([looked()], [], None, TOKEN, "")
    with pytest.raises(ValueError):
        xm_disks.compare([looked()], [looked(uname="file:/srv/y.img")], None, TOKEN, "")


def test_what_a_script_attaches_is_for_people_to_accept(fleet):
    """Nothing is known of it, which weighs no less than what is half known."""
    for uname in ("iscsi:iqn.2001-05.com.example:disk", "nbd:10.0.0.1 2000", "npiv:x", "tap:ram:64"):
        verdict, sentence = fleet.verdict([disk(uname)])
        assert verdict == "unproved" and uname in sentence and sentence.endswith(ACCEPT)


# What storage is used for


def test_what_disks_are_here(fleet):
    fleet.write("/srv/xen/web01.img", b"x")
    fleet.device("dm-0", b"x", [fleet.source])
    os.makedirs(fleet.source + "/dev/vg")
    os.symlink("../dm-0", fleet.source + "/dev/vg/web01")
    os.symlink("/dev/vg/web01", fleet.source + "/dev/alias")
    unames = ["file:/srv/xen/web01.img", "tap:aio:/srv/xen/web01.img", "phy:vg/web01", "phy:/dev/alias"]
    unames += ["file:/dev/dm-0", "file:/none", "", "iscsi:iqn.x:y"]
    found = xm_disks.used([disk(uname) for uname in unames], fleet.source)
    keys = [one["key"] for one in found]
    assert keys[0] == keys[1] and keys[0].startswith("file ")
    assert keys[2:5] == ["device 253:1"] * 3 and keys[5:] == [None, None, "iscsi:iqn.x:y"]
    assert [one["device"] for one in found] == [False, False, True, True, True, False, False, False]
    assert [one["prefix"] for one in found] == "file tap phy phy file file".split() + ["", "iscsi"]


@pytest.mark.parametrize(
    "mode, canonical",
    [("w", "w"), ("r", "r"), ("w!", "!"), ("rw", "w"), ("ro", "r"), (None, "r"), ("!", "r")],
)
def test_modes_are_those_of_the_script(fleet, mode, canonical):
    (found,) = xm_disks.used([disk("phy:x", mode=mode)], fleet.source)
    assert found["mode"] == canonical


def test_an_image_that_nobody_may_write_to(fleet):
    fleet.write("/srv/xen/web01.img", b"x")
    image = [disk("file:/srv/xen/web01.img")]
    assert xm_disks.used(image, fleet.source)[0]["writable"]
    os.chmod(fleet.shared + "/web01.img", 0o444)
    assert not xm_disks.used(image, fleet.source)[0]["writable"]


def test_a_resource_of_drbd_is_known_by_its_device(fleet):
    fleet.device("drbd0", b"x", [fleet.source])
    os.makedirs(fleet.source + "/dev/drbd/by-res")
    os.symlink("../../drbd0", fleet.source + "/dev/drbd/by-res/web")
    found = xm_disks.used([disk("drbd:web"), disk("drbd:/dev/drbd0"), disk("drbd:db")], fleet.source)
    assert [one["key"] for one in found] == ["device 253:1", "device 253:1", "drbd:db"]


def mounts_file(fleet, text, path="/proc/mounts"):
    folder = os.path.dirname(fleet.source + path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(fleet.source + path, "w") as stream:
        stream.write(text)


def test_what_the_host_has_mounted(fleet):
    fleet.device("sda1", b"x", [fleet.source])
    fleet.device("dm-0", b"x", [fleet.source])
    os.makedirs(fleet.source + "/dev/my disks")
    os.symlink("../dm-0", fleet.source + "/dev/my disks/a")
    mounts_file(
        fleet,
        "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\n/dev/root / ext3 rw 0 0\n"
        "/dev/sda1 /boot ext3 ro,relatime 0 0\nfiler:/x /srv nfs rw 0 0\n"
        "/dev/my\\040disks/a /mnt/with\\040space ext3 rw 0 0\n/srv/x.iso /cd iso9660 ro 0 0\n\nshort\n"
        # A bind mount shows the device again.
        "/dev/sda1 /srv/boot ext3 rw 0 0\n",
    )
    assert xm_disks.mounts(fleet.source) == [
        {"key": "device 253:1", "device": "/dev/sda1", "point": "/boot", "read_only": True},
        {
            "key": "device 253:2",
            "device": "/dev/my disks/a",
            "point": "/mnt/with space",
            "read_only": False,
        },
        {"key": "device 253:1", "device": "/dev/sda1", "point": "/srv/boot", "read_only": False},
    ]


def test_mounts_with_names_of_any_bytes(fleet):
    fleet.device("sda1", b"x", [fleet.source])
    os.makedirs(fleet.source + "/proc")
    with open(fleet.source + "/proc/mounts", "wb") as stream:
        stream.write(b"/dev/sda1 /mnt/gr\xfcn ext3 rw 0 0\n/dev/sda1 /mnt/gr\xc3\xbcn ext3 rw 0 0\n")
    found = [mount["point"] for mount in xm_disks.mounts(fleet.source)]
    shown = [b"/mnt/gr\xef\xbf\xbdn", b"/mnt/gr\xc3\xbcn"]
    assert found == (shown if bytes is str else [path.decode("utf-8") for path in shown])


def test_mounts_of_the_host_and_not_of_a_container(fleet):
    fleet.device("sda1", b"x", [fleet.source])
    mounts_file(fleet, "none / tmpfs rw 0 0\n")
    mounts_file(fleet, "/dev/sda1 / ext3 rw 0 0\n", "/proc/1/mounts")
    assert [mount["point"] for mount in xm_disks.mounts(fleet.source)] == ["/"]


def test_mounts_that_cannot_be_seen(fleet):
    assert xm_disks.mounts(fleet.source) is None
    mounts_file(fleet, "")
    assert xm_disks.mounts(fleet.source) == []


def loop_device(fleet, number, image=None):
    fleet.device("loop%d" % number, b"", [fleet.source])
    with open(fleet.source + "/sys/block/loop%d/dev" % number, "w") as stream:
        stream.write("7:%d\n" % number)
    if image:
        os.mkdir(fleet.source + "/sys/block/loop%d/loop" % number)
        with open(fleet.source + "/sys/block/loop%d/loop/backing_file" % number, "w") as stream:
            stream.write(image + "\n")


def test_loop_devices(fleet):
    fleet.write("/srv/xen/web01.img", b"x")
    loop_device(fleet, 0, "/srv/xen/web01.img")
    loop_device(fleet, 1)
    loop_device(fleet, 2, "/srv/gone.img (deleted)")
    # No loop devices.
    fleet.write("/dev/loop-control.old", b"", [fleet.source])
    fleet.write("/dev/loopback", b"", [fleet.source])
    (image,) = xm_disks.used([disk("file:/srv/xen/web01.img")], fleet.source)
    found = xm_disks.loops(fleet.source)
    assert (found["known"], found["unlimited"], found["total"], found["free"]) == (True, False, 3, 1)
    assert found["backing"]["device 7:0"] == image["key"]
    assert "deleted" in found["backing"]["device 7:2"] and len(found["backing"]) == 2


def test_loop_devices_with_two_names_and_with_none(fleet):
    os.mkdir(fleet.source + "/dev/loop")
    for number in range(2):
        loop_device(fleet, number)
        fleet.write("/dev/loop/%d" % number, b"", [fleet.source])
    os.symlink("loop/7", fleet.source + "/dev/loop7")
    found = xm_disks.loops(fleet.source)
    assert (found["total"], found["free"]) == (3, 2)


def test_loop_devices_that_the_kernel_makes_as_needed(fleet):
    fleet.write("/dev/loop-control", b"", [fleet.source])
    found = xm_disks.loops(fleet.source)
    assert found["known"] and found["unlimited"]


@pytest.mark.parametrize(
    "devices, known",
    [
        (None, False),
        ("Block devices:\n  7 loop\n  8 sd\n", False),
        ("Block devices:\n  8 sd\n", True),
    ],
)
def test_no_loop_device_at_all(fleet, devices, known):
    if devices:
        mounts_file(fleet, devices, "/proc/devices")
    found = xm_disks.loops(fleet.source)
    assert (found["known"], found["unlimited"], found["free"]) == (known, False, 0)


class Kernel:
    """Loop devices of a kernel that does not show them in sysfs: RHEL 5."""

    def __init__(self, monkeypatch, answers):
        self.answers = answers
        self.opened = {}
        monkeypatch.setattr(xm_disks.stat, "S_ISBLK", lambda mode: True)
        self.open, self.close = os.open, os.close
        monkeypatch.setattr(xm_disks.os, "open", self.open_node)
        monkeypatch.setattr(xm_disks.os, "close", lambda descriptor: None)
        monkeypatch.setattr(xm_disks.fcntl, "ioctl", self.ioctl)

    def open_node(self, path, flags):
        answer = self.answers[os.path.basename(path)]
        if isinstance(answer, tuple):
            raise OSError(answer[0], os.strerror(answer[0]))
        self.opened[len(self.opened) + 1000] = answer
        return len(self.opened) + 999

    def ioctl(self, descriptor, request, argument):
        assert request == 0x4C05 and len(argument) == 232
        answer = self.opened[descriptor]
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return struct.pack("=QQ", *answer) + argument[16:]


@pytest.mark.parametrize(
    "second, free",
    [
        (errno.ENXIO, 2),
        # There is a node, and the module has fewer.
        ((errno.ENXIO,), 1),
        ((errno.EACCES,), None),
        (errno.EPERM, None),
        ([2049, 131], 1),
    ],
)
def test_loop_devices_of_old_kernels(fleet, monkeypatch, second, free):
    for name in ("loop0", "loop1", "loop2"):
        fleet.write("/dev/" + name, b"", [fleet.source])
    Kernel(monkeypatch, {"loop0": [2049, 77], "loop1": second, "loop2": errno.ENXIO})
    found = xm_disks.loops(fleet.source)
    assert (found["total"], found["free"]) == (3, free)
    assert found["backing"]["device 7:0"] == "file 2049:77"


def test_hotplug_scripts_that_can_be_run(fleet):
    assert xm_disks.scripts(fleet.source) == []
    folder = fleet.source + "/etc/xen/scripts"
    os.makedirs(folder + "/vif")
    for name, mode in (("block", 0o755), ("blktap", 0o644), ("block-nbd", 0o700)):
        open(os.path.join(folder, name), "w").close()
        os.chmod(os.path.join(folder, name), mode)
    os.symlink("/etc/xen/scripts/block", folder + "/block-drbd")
    os.symlink("nothing", folder + "/block-iscsi")
    assert xm_disks.scripts(fleet.source) == ["block", "block-drbd", "block-nbd"]


def test_hotplug_scripts_are_judged_for_root_whoever_looks(fleet, monkeypatch):
    folder = fleet.source + "/etc/xen/scripts"
    os.makedirs(folder)
    open(folder + "/block", "w").close()
    os.chmod(folder + "/block", 0o700)
    monkeypatch.setattr(xm_disks.os, "access", lambda path, mode: False)
    assert xm_disks.scripts(fleet.source) == ["block"]

    def closed(path):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(xm_disks.os, "listdir", closed)
    assert xm_disks.scripts(fleet.source) is None


@pytest.mark.parametrize("key", sorted(xm_disks.SENTENCES))
def test_every_sentence_has_a_known_verdict(key):
    assert xm_disks.SENTENCES[key][0] in (
        "same",
        "missing",
        "different",
        "unproved",
        "unchecked",
        "none",
    )


# What another host has told


def marked(fleet):
    fleet.write("/srv/xen/web01.img", b"x" * 5000)
    return {
        "disks": IMAGE,
        "there": xm_disks.look(IMAGE, fleet.source),
        "marks": xm_disks.mark(IMAGE, TOKEN, fleet.source),
        "token": TOKEN,
        "drbd": {},
    }


def test_what_was_told_is_compared_as_it_is(fleet):
    given = marked(fleet)
    found = xm_heard.told("marked", given, "marked", "xm.mark_disks")
    assert found["there"] == given["there"] and found["token"] == TOKEN
    here = xm_disks.look(found["disks"], fleet.target)
    ((verdict, _),) = xm_disks.compare(found["there"], here, found["marks"], found["token"], fleet.target)
    assert verdict == "same"
    # Of an older version, and of a guest without disks.
    nothing = {"disks": [], "there": [], "marks": None, "token": "none"}
    assert xm_heard.told("marked", nothing, "marked", "xm.mark_disks")["drbd"] is None


def test_markers_are_looked_for_where_the_disks_are(fleet, tmp_path):
    """Wherever the other host says that they are."""
    fleet.write("/srv/local/web01.img", b"x" * 5000)
    elsewhere = os.path.join(str(tmp_path), ".xend-for-salt." + TOKEN)
    with open(elsewhere, "w") as stream:
        stream.write(TOKEN)
    there = xm_disks.look(LOCAL, fleet.source)
    given = {
        "disks": LOCAL,
        "there": there,
        "marks": [{"path": LOCAL[0]["uname"][5:], "marker": elsewhere, "problem": None}],
        "token": TOKEN,
    }
    told = xm_heard.told("marked", given, "marked", "xm.mark_disks")
    here = xm_disks.look(LOCAL, fleet.target)
    ((verdict, _),) = xm_disks.compare(
        told["there"], here, told["marks"], told["token"], fleet.target, patience_s=0
    )
    assert verdict == "different"
    xm_disks.unmark(told["disks"], told["token"], fleet.target)
    assert os.path.exists(elsewhere)


def changed(given, key, **changes):
    return dict(given, **{key: [dict(one, **changes) for one in given[key]]})


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda given: None, "mapping"),
        (lambda given: [given], "mapping"),
        (lambda given: dict(given, disks={}), "disks"),
        (lambda given: dict(given, disks=[None]), "disks"),
        (lambda given: dict(given, disks=given["disks"] * (xm_heard.DISKS + 1)), "disks"),
        (lambda given: changed(given, "disks", uname=["file:/x"]), "uname"),
        (lambda given: changed(given, "disks", uname="file:/x\0y"), "uname"),
        (lambda given: changed(given, "disks", uname="file:/" + "x" * 5000), "uname"),
        (lambda given: changed(given, "disks", mode=5), "mode"),
        (lambda given: changed(given, "there", size=1e999), "size"),
        (lambda given: changed(given, "there", size=-1), "size"),
        (lambda given: changed(given, "there", inode=10**40), "inode"),
        (lambda given: changed(given, "there", inode=True), "inode"),
        (lambda given: changed(given, "there", device="no"), "device"),
        (lambda given: changed(given, "there", ids=["x"]), "ids"),
        (lambda given: changed(given, "there", ids={"serial": [5]}), "ids"),
        (lambda given: changed(given, "there", signature={"x": 1}), "signature"),
        (lambda given: dict(given, marks="none"), "marks"),
        (lambda given: changed(given, "marks", path=None), "path"),
        (lambda given: changed(given, "marks", problem=["x"]), "problem"),
        (lambda given: dict(given, token="../../../etc/passwd"), "token"),
        (lambda given: dict(given, token=None), "token"),
        (lambda given: dict(given, token=[TOKEN]), "token"),
        (lambda given: dict(given, drbd=["web01"]), "drbd"),
    ],
)
def test_what_is_of_another_form_is_named(fleet, spoil, said):
    with pytest.raises(ValueError) as caught:
        xm_heard.told("marked", spoil(marked(fleet)), "marked", "xm.mark_disks")
    assert said in caught.value.args[0] and len(caught.value.args[0]) < 300


def test_only_the_same_disks_are_compared(fleet):
    given = marked(fleet)
    for there in ([], [dict(given["there"][0], uname="file:/etc/shadow")]):
        with pytest.raises(ValueError) as caught:
            xm_disks.compare(there, given["there"], given["marks"], TOKEN, fleet.target)
        assert "same disks" in caught.value.args[0]


def test_only_markers_of_the_token_are_removed(fleet):
    fleet.write("/srv/xen/web01.img", b"x")
    path = os.path.join(fleet.shared, ".xend-for-salt." + TOKEN)
    with open(path, "w") as stream:
        stream.write("something else")
    (problem,) = xm_disks.unmark(IMAGE, TOKEN, fleet.source)
    assert path in problem and os.path.exists(path)
    os.unlink(path)
    for plant in (os.mkfifo, os.mkdir, lambda where: os.symlink("web01.img", where)):
        plant(path)
        (problem,) = xm_disks.unmark(IMAGE, TOKEN, fleet.source)
        assert path in problem and os.path.lexists(path)
        (os.rmdir if os.path.isdir(path) else os.unlink)(path)


@pytest.mark.parametrize("path", ["/proc/kmsg", "/proc/self/mem", "/proc/../proc/kmsg", "/srv/local/link"])
def test_nothing_is_read_where_no_disks_are(fleet, monkeypatch, path):
    os.symlink("/proc/self/mem", fleet.source + "/srv/local/link")
    monkeypatch.setattr(xm_disks.os, "open", pytest.fail)
    for root in (fleet.source, ""):
        disks = [disk("file:" + path), disk("phy:" + path)]
        if root or not path.startswith("/srv"):
            problems = [found["problem"] for found in xm_disks.look(disks, root)]
            assert all(["no disks are" in problem or "there is no" in problem for problem in problems])


def test_storage_that_does_not_answer_is_waited_for_a_while(fleet, monkeypatch):
    """All disks are looked at at once: the others are seen all the same."""
    fleet.write("/srv/xen/web01.img", b"x" * 5000)
    released, real_stat = threading.Event(), os.stat

    def stat(path, *args, **kwargs):
        if str(path).endswith("hangs.img"):
            released.wait(300)
        return real_stat(path, *args, **kwargs)

    # Long enough for the other disk on a busy machine.
    monkeypatch.setattr(xm_disks, "LOOK_S", 2)
    monkeypatch.setattr(xm_disks.os, "stat", stat)
    disks = [disk("file:/srv/xen/hangs.img")] + IMAGE
    began = time.time()
    try:
        hung, seen = xm_disks.look(disks, fleet.source)
        assert "does not answer" in hung["problem"] and "/srv/xen/hangs.img" in hung["problem"]
        assert seen["problem"] is None and seen["size"] == 5000
        assert [one["key"] is None for one in xm_disks.used(disks, fleet.source)] == [True, False]
        assert time.time() - began < 60
    finally:
        released.set()


def test_an_error_in_a_look_is_not_lost():
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        xm_disks.in_time([fail, lambda: 1], 5)
    assert xm_disks.in_time([], 5) == [] and xm_disks.in_time([lambda: 1, lambda: 2], 5) == [1, 2]


def test_paths_in_any_script(tmpdir):
    """YAML and JSON give unicode under Python 2, which os.stat refuses where LANG is C."""
    name = b"Gr\xc3\xb6\xc3\x9fe.img"
    root = os.path.join(str(tmpdir), b"k\xc3\xb6ln" if bytes is str else b"k\xc3\xb6ln".decode("utf-8"))
    os.mkdir(root)
    with open(os.path.join(root, name if bytes is str else name.decode("utf-8")), "wb") as stream:
        stream.write(bytes(bytearray(4096)))
    disks = [disk(b"file:/".decode("ascii") + name.decode("utf-8"))]
    (seen,) = xm_disks.look(disks, root)
    assert seen["problem"] is None and seen["size"] == 4096
    assert [type(seen[key]) for key in ("uname", "dev", "path", "name")] == [str] * 4
    (used,) = xm_disks.used(disks, root)
    assert used["key"] and type(used["uname"]) is str
    marks = xm_disks.mark(disks, TOKEN, root)
    assert marks[0]["problem"] is None
    (verdict,) = xm_disks.compare([seen], [seen], marks, TOKEN, root)
    assert verdict[0] == "same"
    assert xm_disks.unmark(disks, TOKEN, root) == []
