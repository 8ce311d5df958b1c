"""What the hotplug scripts of a host say to the disks of a guest, from the rules of the real ones."""

import pytest

import xm_block

ACCEPT = "accept: [storage]"
ALL = ["block", "blktap", "block-drbd", "block-nbd"]
UNLIMITED = {"known": True, "unlimited": True, "total": 0, "free": 0, "backing": {}}
KINDS = {"phy": "block", "file": "file", "tap": "file", "tap2": "file", "": "none"}


def disk(uname, mode="w", key="device 253:1", **changes):
    prefix, _, path = uname.partition(":")
    found = {
        "dev": "xvda",
        "uname": uname,
        "kind": KINDS.get(prefix, "script"),
        "path": path.rpartition(":")[2] or None,
        "prefix": prefix,
        "mode": mode,
        "backend": "0",
        "key": key if uname else None,
        "device": prefix == "phy",
        "writable": True,
    }
    assert set(changes) <= set(found)
    found.update(changes)
    return found


def loops(free=8, total=8, known=True, backing=None):
    return {
        "known": known,
        "unlimited": False,
        "total": total,
        "free": free,
        "backing": backing or {},
    }


def refusals(
    disks, image="linux", others=(), mounts=(), loops=UNLIMITED, scripts=ALL, tools=(4, 4)
):
    mounts = None if mounts is None else list(mounts)
    scripts = None if scripts is None else list(scripts)
    return xm_block.refusals(
        image, list(disks), list(others), mounts, loops, scripts, tools, "xen2"
    )


def verdicts(*args, **options):
    return [verdict for verdict, _ in refusals(*args, **options)]


def test_nothing_in_the_way():
    kinds = [
        disk("phy:vg/a"),
        disk("file:/x.img", key="file 1:2"),
        disk("tap:aio:/y.img", key="file 1:3"),
    ]
    assert refusals(kinds + [disk("")]) == []
    assert refusals([]) == []


# In use


@pytest.mark.parametrize(
    "mine, theirs, verdict",
    [
        ("w", "w", "missing"),
        ("w", "r", "missing"),
        # Only the newcomer's w! is not asked for others.
        ("w", "!", "missing"),
        ("r", "w", "missing"),
        ("r", "r", None),
        ("r", "!", None),
        ("!", "w", None),
        ("!", "r", None),
        ("!", "!", None),
    ],
)
@pytest.mark.parametrize("uname", ["phy:vg/a", "file:/srv/a.img", "drbd:a"])
def test_a_disk_of_another_guest(mine, theirs, verdict, uname):
    other = [("db01", [disk("phy:vg/z", key="device 253:9"), disk(uname, theirs)])]
    found = refusals([disk(uname, mine)], others=other)
    assert [one for one, _ in found] == ([verdict] if verdict else [])
    for _, sentence in found:
        assert (
            sentence.startswith("xvda, %s: " % uname) and "db01" in sentence and "xen2" in sentence
        )
        assert "lost on both" in sentence and "mode w!" in sentence and ACCEPT not in sentence


@pytest.mark.parametrize(
    "mine, theirs, tools, verdict",
    [
        ("tap:aio:/a.img", "tap:aio:/a.img", (3, 4), "missing"),
        ("tap:aio:/a.img", "tap:aio:/a.img", (3, 1), "unproved"),
        ("tap:aio:/a.img", "tap:aio:/a.img", (4, 1), "unproved"),
        ("tap:aio:/a.img", "tap:aio:/a.img", None, "unproved"),
        # It compares the paths as they are written.
        ("tap:aio:/a.img", "tap:aio:/link.img", (3, 4), "unproved"),
        ("tap2:aio:/a.img", "tap2:aio:/a.img", (4, 1), "unproved"),
        ("file:/a.img", "tap:aio:/a.img", (3, 4), "unproved"),
        ("tap:aio:/a.img", "file:/a.img", (4, 4), "unproved"),
        ("nbd:a", "nbd:a", (4, 4), "unproved"),
        ("phy:a", "drbd:a", (4, 4), "missing"),
    ],
)
def test_where_no_script_is_sure_to_notice_people_decide(mine, theirs, tools, verdict):
    ((found, sentence),) = refusals([disk(mine)], others=[("db01", [disk(theirs)])], tools=tools)
    assert found == verdict and sentence.endswith(ACCEPT) == (verdict == "unproved")


def test_all_disks_are_told_at_once_and_each_user_once():
    mine = [disk("phy:a"), disk("phy:b", key="device 253:2", dev="xvdb")]
    others = [
        ("db01", [disk("phy:a")]),
        ("db02", [disk("phy:a"), disk("phy:b", key="device 253:2")]),
    ]
    found = refusals(mine, others=others)
    assert [sentence.partition(":")[0] for _, sentence in found] == ["xvda, phy", "xvdb, phy"]
    assert "db01" in found[0][1] and "db02" in found[1][1]


def test_a_disk_that_another_domain_than_dom0_serves_is_elsewhere():
    assert refusals([disk("phy:a")], others=[("db01", [disk("phy:a", backend="5")])]) == []


def test_what_is_not_here_is_in_use_by_nobody():
    lost = disk("phy:a", key=None)
    assert refusals([lost], others=[("db01", [disk("phy:b", key=None)])]) == []


def test_an_image_is_also_its_loop_devices():
    backing = {"device 7:3": "file 1:2"}
    image, loop = disk("file:/a.img", key="file 1:2"), disk("phy:loop3", key="device 7:3")
    for mine, theirs in ((image, loop), (loop, image)):
        assert verdicts([mine], others=[("db01", [theirs])], loops=loops(backing=backing)) == [
            "missing"
        ]
    mounted = [{"key": "device 7:3", "device": "/dev/loop3", "point": "/mnt", "read_only": False}]
    assert verdicts([image], mounts=mounted, loops=loops(backing=backing)) == ["missing"]
    assert verdicts([image], mounts=mounted, loops=loops()) == []


def mounted(key="device 253:1", read_only=False):
    return [{"key": key, "device": "/dev/mapper/vg-a", "point": "/mnt/a", "read_only": read_only}]


@pytest.mark.parametrize(
    "mode, read_only, verdict",
    [
        ("w", False, "missing"),
        ("w", True, "missing"),
        ("r", False, "missing"),
        ("r", True, None),
        ("!", False, None),
    ],
)
def test_a_disk_that_the_host_has_mounted(mode, read_only, verdict):
    found = refusals([disk("phy:vg/a", mode)], mounts=mounted(read_only=read_only))
    assert [one for one, _ in found] == ([verdict] if verdict else [])
    for _, sentence in found:
        assert "/dev/mapper/vg-a on /mnt/a" in sentence and "umount /mnt/a" in sentence


def test_any_mount_that_may_write_counts():
    both = mounted(read_only=True) + mounted()
    assert verdicts([disk("phy:vg/a", "r")], mounts=both) == ["missing"]


def test_a_mounted_image_of_a_tap_driver_is_for_people():
    backing = {"device 7:3": "file 1:2"}
    found = refusals(
        [disk("tap:aio:/a.img", key="file 1:2")],
        mounts=mounted("device 7:3"),
        loops=loops(backing=backing),
    )
    assert [one for one, _ in found] == ["unproved"] and found[0][1].endswith(ACCEPT)


def test_other_mounts_do_not_matter():
    assert refusals([disk("phy:vg/a")], mounts=mounted("device 253:2")) == []


def test_mounts_that_cannot_be_seen_are_said():
    ((verdict, sentence),) = refusals([disk("phy:vg/a")], mounts=None)
    assert verdict == "unchecked" and "could not be seen" in sentence
    assert refusals([disk("phy:vg/a", "!")], mounts=None) == []
    assert refusals([disk("")], mounts=None) == []


# Loop devices


def images(count, prefix="file"):
    return [
        disk("%s:/%d.img" % (prefix, number), key="file 1:%d" % number) for number in range(count)
    ]


@pytest.mark.parametrize(
    "free, total, needed, ok",
    [(1, 8, 1, True), (1, 8, 2, False), (0, 8, 1, False), (0, 0, 1, False)],
)
def test_each_image_takes_a_loop_device(free, total, needed, ok):
    found = refusals(images(needed), loops=loops(free, total))
    assert [verdict for verdict, _ in found] == ([] if ok else ["missing"])
    for _, sentence in found:
        assert "%d in all, and xen2 has %d free of %d" % (needed, free, total) in sentence
        assert "max_loop" in sentence and "mknod" in sentence and "lost on both" in sentence


def test_others_take_none():
    kinds = (
        images(3, "tap:aio")
        + images(3, "tap2:aio")
        + [disk("phy:a"), disk(""), disk("file:", key=None, kind="none")]
    )
    assert refusals(kinds, loops=loops(0)) == []
    assert refusals(images(99)) == []


def test_scripts_that_cannot_be_seen_are_said():
    ((verdict, sentence),) = refusals([disk("phy:vg/a"), disk("")], scripts=None)
    assert verdict == "unchecked" and "xen2 has the script" in sentence


@pytest.mark.parametrize("seen", [loops(None), loops(0, 0, known=False)])
def test_loop_devices_that_cannot_be_seen_are_said(seen):
    ((verdict, sentence),) = refusals(images(2), loops=seen)
    assert verdict == "unchecked" and "2 in all" in sentence and "losetup -a" in sentence


@pytest.mark.parametrize(
    "tools, words",
    [
        ((3, 0, 3), "lost on both"),
        ((3, 1), "go on there without it"),
        ((3, 4), "go on there without it"),
        ((4, 0), "lost on both"),
        (None, "lost on both"),
    ],
)
def test_what_becomes_of_the_guest_by_version(tools, words):
    for disks, seen in (([disk("phy:vg/a")], UNLIMITED), (images(2), loops(1))):
        ((verdict, sentence),) = refusals(disks, mounts=mounted(), loops=seen, tools=tools)
        assert verdict == "missing" and words in sentence


# Scripts, and what they do not take


@pytest.mark.parametrize(
    "uname, scripts, tools, lacks",
    [
        ("phy:a", ["blktap"], (4, 4), ["block"]),
        ("file:/a.img", [], (3, 0), ["block"]),
        ("tap:aio:/a.img", ["block"], (3, 3), ["blktap"]),
        # It has no such script.
        ("tap:aio:/a.img", ["block"], (3, 4), []),
        ("tap:aio:/a.img", [], (3, 4, 3), []),
        ("tap:aio:/a.img", ["block"], (4, 1), []),
        ("tap:aio:/a.img", ["blktap"], (4, 1), []),
        ("tap:aio:/a.img", [], (4, 1), ["blktap"]),
        ("tap2:aio:/a.img", ["blktap"], (4, 1), ["block"]),
        ("drbd:a", ["block"], (4, 4), ["block-drbd"]),
        ("drbd:a", ["block-drbd"], (4, 4), ["block"]),
        ("iscsi:iqn", ALL, (3, 1), ["block-iscsi"]),
        ("nbd:a", ALL, (4, 4), []),
        ("", [], (4, 4), []),
    ],
)
def test_scripts_that_are_not_there(uname, scripts, tools, lacks):
    found = refusals([disk(uname)], scripts=scripts, tools=tools)
    assert [verdict for verdict, _ in found] == ["missing"] * len(lacks)
    for number, name in enumerate(lacks):
        assert "xen2 has no /etc/xen/scripts/%s that can be run" % name in found[number][1]


@pytest.mark.parametrize(
    "tools, ok",
    [((4, 4), False), ((3, 2), False), (None, False), ((3, 1), True), ((3, 0, 3), True)],
)
def test_a_device_as_file(tools, ok):
    found = refusals([disk("file:/dev/vg/a", device=True)], tools=tools)
    assert [verdict for verdict, _ in found] == ([] if ok else ["missing"])
    assert ok or "phy:/dev/vg/a" in found[0][1]
    assert refusals([disk("tap:aio:/dev/vg/a", device=True)], tools=tools) == []


def test_an_image_that_nobody_may_write_to():
    ((verdict, sentence),) = refusals([disk("file:/a.img", key="file 1:2", writable=False)])
    assert verdict == "missing" and "chmod u+w /a.img" in sentence
    for mode in ("r", "!"):
        assert refusals([disk("file:/a.img", mode, key="file 1:2", writable=False)]) == []


def test_hvm_guests_cannot_have_drbd():
    ((verdict, sentence),) = refusals([disk("drbd:web")], image="hvm")
    assert verdict == "missing" and "phy:/dev/drbd/by-res/web" in sentence
    assert refusals([disk("drbd:web")], image="linux") == []
    assert refusals([disk("phy:/dev/drbd0")], image="hvm") == []


@pytest.mark.parametrize("key", sorted(xm_block.SENTENCES))
def test_what_may_be_accepted_is_never_certain(key):
    verdict, sentence = xm_block.SENTENCES[key]
    assert verdict in ("missing", "unproved", "unchecked")
    assert (verdict == "unproved") == sentence.endswith(ACCEPT)


@pytest.mark.parametrize(
    "mine, theirs, verdict",
    [
        ("w", "w", "missing"),
        ("w", "r", "missing"),
        ("r", "w", "unproved"),
        ("r", "r", None),
        ("!", "w", None),
    ],
)
def test_what_blktapctrl_of_xen_3_4_looks_for(mine, theirs, verdict):
    others = [("db01", [disk("tap:aio:/a.img", theirs)])]
    found = refusals([disk("tap:aio:/a.img", mine)], others=others, tools=(3, 4))
    assert [one for one, _ in found] == ([verdict] if verdict else [])
    assert [words for _, words in found if "blktapctrl lets no" in words] == [
        words for one, words in found if one == "missing"
    ]
