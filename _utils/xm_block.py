"""
What the hotplug scripts of a host will say to the disks of a guest that is about to come: scripts that are
not there, disks in use, loop devices, what they do not take.

xend lets the scripts begin when the guest is announced and asks for their answers when all its memory is
there, so that each refusal loses the guest on both hosts, or leaves it without a disk. All is judged from
facts that the callers bring (see xm_disks: used, mounts, loops, scripts); nothing is read here, and nothing
knows xm or Salt. Whether disks are the same storage is said in xm_disks.
"""

DOM0 = (None, "", "0", 0, "Domain-0")

# What becomes a device whose number the scripts compare; block-drbd has the checks of block.
DEVICES = ("phy", "file", "drbd")

# Which part of the tools does what: `file:` with a device is refused, script blktap looks whether an image is
# in use, blktap2 makes a device of an image, which has a number of its own (xend 3.1 to 4.4,
# tools/examples/block and blktap, BlktapController). Xen 3.4 has no script blktap (tools/hotplug/Linux):
# there blktapctrl does it all, and looks only for disks in mode w (tools/blktap/lib/xenbus.c).
NO_DEVICES_AS_FILES = (3, 2)
BLKTAP_LOOKS = (3, 2)
BLKTAPCTRL = (3, 4)
BLKTAP2 = (4, 0)

LOST = "the guest would be lost on both"
# From 3.1 to 3.4 xend only logs what it hears (XendCheckpoint.restore).
GOES_ON = ((3, 1), (4, 0))
BROKEN = "the guest would go on there without it"
ACCEPT = "; who knows better says accept: [storage]"

SENTENCES = {
    "no script": (
        "missing",
        "%(host)s has no %(folder)s/%(script)s that can be run, by which it is attached: xend would find out "
        "when all memory is there, or refuse the guest; install it there, or make it executable",
    ),
    "hvm drbd": (
        "missing",
        "the device model of an HVM guest opens its disks itself and knows no drbd:, so that %(lost)s; let "
        "its configuration say phy:/dev/drbd/by-res/%(path)s, with the resource primary on both hosts",
    ),
    "device as file": (
        "missing",
        "%(path)s is a block device on %(host)s, and script block takes only files for file: (from Xen 3.2 "
        "on), so that %(lost)s; let its configuration say phy:%(path)s",
    ),
    "not writable": (
        "missing",
        "nobody may write to %(path)s on %(host)s (its mode has no w), and script block refuses that for a "
        "disk in mode w: %(lost)s; chmod u+w %(path)s there",
    ),
    "mounted": (
        "missing",
        "%(host)s has it mounted itself (%(user)s), and script block lets no guest have it then: %(lost)s; "
        "unmount it there (umount %(point)s)",
    ),
    "mounted, perhaps": (
        "unproved",
        "%(host)s has it mounted itself (%(user)s), which xend does not notice: both would write to it; "
        "unmount it there (umount %(point)s)" + ACCEPT,
    ),
    "guest": (
        "missing",
        "the domain %(user)s has it on %(host)s already, and %(script)s lets no other guest have it "
        "in mode %(mode)s then: %(lost)s; let the other one let go of it (shut it down, move it, or xm "
        "block-detach it). Guests that share a disk on purpose need the mode w! for it in their "
        "configurations, which counts when they are started next",
    ),
    "guest, perhaps": (
        "unproved",
        "the domain %(user)s has it on %(host)s already; xend may refuse it then, and %(lost)s; or not "
        "notice, and both would write to it unless they share it on purpose; let the other one let go of it, "
        "or give both the mode w!" + ACCEPT,
    ),
    "mounts unseen": (
        "unchecked",
        "whether %(host)s has mounted it itself could not be seen (/proc/mounts); script block would refuse "
        "it then",
    ),
    "scripts unseen": (
        "unchecked",
        "whether %(host)s has the script that attaches it could not be seen, since the minion may not look "
        "into %(folder)s there",
    ),
}


def refusals(image, disks, others, mounts, loops, scripts, tools, host, folder="/etc/xen/scripts"):
    """
    What would keep the disks of a guest from being attached on a host.

    image
        the kind of the guest, as in its description ("linux", "hvm")
    disks
        what xm_disks.used returned there for the disks of the guest
    others
        a list of (name, what xm_disks.used returned) of the domains that are there, without the guest itself
    mounts, loops, scripts
        what the functions of xm_disks returned there
    tools
        the version of xend there, a tuple, or None
    host, folder
        what the sentences call the host, and the folder of its scripts

    Returns a list of (verdict, sentence): "missing" for what loses the guest for certain, "unproved" for
    people to accept, "unchecked" for what could not be seen.
    """
    found = []
    lost = BROKEN if tools and GOES_ON[0] <= tools < GOES_ON[1] else LOST
    words = {"host": host, "lost": lost, "folder": folder}
    for disk in disks:
        for key, more in (
            _unfit(image, disk, scripts, tools)
            + _mounted(disk, mounts, loops)
            + _in_use(disk, others, loops, tools)
        ):
            verdict, sentence = SENTENCES[key]
            name = ", ".join([part for part in (disk["dev"], disk["uname"]) if part])
            text = sentence % dict(words, path=disk["path"], mode=disk["mode"], **more)
            found.append((verdict, "%s: %s" % (name, text)))
    return found + _too_few_loops(disks, loops, host, lost)


def _unfit(image, disk, scripts, tools):
    """
    What is wrong with a disk whoever has it, as a list of (key of SENTENCES, words).
    """
    if scripts is None:
        found = [("scripts unseen", {})] if disk["kind"] != "none" else []
    else:
        found = [("no script", {"script": name}) for name in _missing(disk, scripts, tools)]
    if image == "hvm" and disk["prefix"] == "drbd":
        found.append(("hvm drbd", {}))
    if disk["prefix"] == "file" and disk["kind"] == "file":
        if disk["device"] and (tools or BLKTAP2) >= NO_DEVICES_AS_FILES:
            found.append(("device as file", {}))
        if disk["mode"] == "w" and not disk["writable"]:
            found.append(("not writable", {}))
    return found


def _missing(disk, scripts, tools):
    """
    The scripts that a disk needs and that are not there.
    """
    if disk["kind"] == "none":
        return []
    if disk["prefix"] == "tap2":
        needed = ["block"]
    elif disk["prefix"] == "tap":
        needed = [] if tools and BLKTAPCTRL <= tools < BLKTAP2 else ["blktap"]
        # With blktap2 it is `block`; which of the two drives an image depends on the kernel.
        if (tools or BLKTAP2) >= BLKTAP2 and "block" in scripts:
            needed = []
    elif disk["prefix"] in ("phy", "file"):
        needed = ["block"]
    else:
        needed = ["block", "block-" + disk["prefix"]]
    return [name for name in needed if name not in scripts]


def _keys(disk, loops):
    """
    All keys by which a disk may be known: an image also by the loop devices that are set up with it.
    """
    if not disk["key"]:
        return set()
    return set([disk["key"]] + [loop for loop, image in loops["backing"].items() if image == disk["key"]])


def _mounted(disk, mounts, loops):
    """
    As of `_unfit`, that the host has mounted a disk itself. To read what is mounted read-only does no harm.
    """
    if disk["mode"] == "!" or not disk["key"]:
        return []
    if mounts is None:
        return [("mounts unseen", {})] if disk["prefix"] in DEVICES else []
    keys = _keys(disk, loops)
    for mount in mounts:
        if mount["key"] in keys and not (disk["mode"] == "r" and mount["read_only"]):
            user = "%s on %s, %s" % (
                mount["device"],
                mount["point"],
                "read-only" if mount["read_only"] else "read-write",
            )
            # What a tap driver opens no script compares with that.
            key = "mounted" if disk["prefix"] in DEVICES else "mounted, perhaps"
            return [(key, {"user": user, "point": mount["point"]})]
    return []


def _in_use(disk, others, loops, tools):
    """
    As of `_unfit`, that another guest has a disk. Who takes a disk in mode w! is not asked for others; who
    only reads goes with all but mode w (xend 4.4 tools/hotplug/Linux/block, check_sharing).
    """
    if disk["mode"] == "!" or not disk["key"]:
        return []
    for name, theirs in others:
        for other in theirs:
            if other["backend"] not in DOM0 or not _keys(disk, loops) & _keys(other, loops):
                continue
            if disk["mode"] == "r" and other["mode"] != "w":
                continue
            user = "%s (%s, mode %s)" % (name, other["uname"], {"!": "w!"}.get(other["mode"], other["mode"]))
            script = _script_that_looks(disk, other, tools)
            if script:
                return [("guest", {"user": user, "script": script})]
            return [("guest, perhaps", {"user": user})]
    return []


def _script_that_looks(disk, other, tools):
    """
    What is sure to notice that two guests have a disk; None where it depends, or nothing does.
    """
    prefixes = [one["prefix"] for one in (disk, other)]
    if all([prefix in DEVICES for prefix in prefixes]):
        return "script block" if "drbd" not in prefixes[:1] else "script block-drbd"
    if prefixes != ["tap", "tap"] or disk["path"] != other["path"] or not tools:
        return None
    if BLKTAPCTRL <= tools < BLKTAP2:
        return "blktapctrl" if disk["mode"] == "w" else None
    return "script blktap" if BLKTAP_LOOKS <= tools < BLKTAPCTRL else None


def _too_few_loops(disks, loops, host, lost):
    needed = len([disk for disk in disks if disk["prefix"] == "file" and disk["kind"] == "file"])
    if not needed or loops["unlimited"]:
        return []
    if loops["free"] is None or not loops["known"]:
        return [
            (
                "unchecked",
                "each disk of file: takes a loop device, %d in all, and whether %s has as many free could "
                "not be seen; losetup -a there shows what is taken" % (needed, host),
            )
        ]
    if needed <= loops["free"]:
        return []
    return [
        (
            "missing",
            "each disk of file: takes a loop device, %d in all, and %s has %d free of %d: script block would "
            "find no unused one, and %s; load the module there with more (options loop max_loop=64 in the "
            "configuration of modprobe), make nodes for more (mknod -m 660 /dev/loopN b 7 N), or free some "
            "(losetup -a, losetup -d)" % (needed, host, loops["free"], loops["total"], lost),
        )
    ]
