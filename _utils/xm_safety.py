"""
The safety copy of a guest that is sent away, beforehand: what is wanted, and whether there is room for it.

Pure but for the look at a folder: what was asked for and what is free in, settings and sentences out. The
copy itself is written by the relay (xm_relay), what it is good for afterwards is decided in xm_fleet.
"""

from __future__ import absolute_import

import errno
import os

# What is asked for a migration or said for its source, as the option `xend:NAME` -> what holds where nothing
# is said. Without a folder it is the folder `kept`.
DEFAULTS = {
    "safety_copy": "auto",
    "safety_folder": None,
    "safety_delay_s": 30,
    "rate_mib_s": None,
    "relay": True,
}

# What is left free on the disk of the copy, which in most cases is that of the host's logs as well.
SPARE_MIB = 128

# How much of its memory a guest sends that runs meanwhile: usually little more than once; one that goes on
# writing, until it has sent this much, then it is suspended (xc_save, DEF_MAX_FACTOR, which xend 3.0.3 to 4.4
# leaves as it is). One that is suspended sends all pages once, with a few bytes for each.
USUAL_TIMES = 1.1
MOST_TIMES = 3
SUSPENDED_TIMES = 1.01

# What a HVM guest sends on top: the memory of its video card and the state of its device model. And what the
# relay wants to see free before it writes on.
HVM_MORE_MIB = 32
STEP_MIB = 16

MIB = 1024 * 1024

# A file system that is mounted read only (statvfs, ST_RDONLY).
READ_ONLY = 1


def asked(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay):
    """
    What is asked of one migration by arguments, as `settings` takes it; None: what its host says.
    """
    return {
        "safety_copy": safety_copy,
        "safety_folder": safety_folder,
        "safety_delay_s": safety_delay_s,
        "rate_mib_s": rate_mib_s,
        "relay": relay,
    }


def settings(given, ask, kept, utility):
    """
    What holds for one migration.

    given
        a dict from the names of DEFAULTS to what was asked for this migration; None, or no entry: nothing
    ask
        a function like Salt's config.get, from a path and a default to a value, for what the source says
    kept
        the folder `kept`
    utility
        a function from the name of another utility to that utility

    Returns a dict: ``copy`` (`auto`, `required` or `off`), ``folder``, ``delay_s`` (for how long in all a
    slow disk may hold up the transfer), ``rate_mib_s`` (None: no limit), ``relay`` (bool; without it there
    is neither copy nor limit) and ``spare_mib`` (what is left free on the disk). Raises ValueError that
    names all that is wrong, with its value and what would be right.
    """
    found, wrong = {}, []
    for name in sorted(DEFAULTS):
        source, value = name, given.get(name)
        if value is None:
            source, value = "xend:" + name, ask("xend:" + name, None)
        problem = None if value is None else utility("xend_settings").problem(name, value)
        if problem:
            wrong.append("%s: %s %s" % (source, utility("xend_settings").shown(value), problem))
        found[name] = DEFAULTS[name] if value is None else value
    if wrong:
        raise ValueError("; ".join(wrong))
    return {
        "copy": {True: "auto", False: "off"}.get(found["safety_copy"], str(found["safety_copy"])),
        "folder": utility("xend_text").native(found["safety_folder"] or kept),
        "delay_s": found["safety_delay_s"],
        "rate_mib_s": found["rate_mib_s"] or None,
        "relay": bool(found["relay"]),
        "spare_mib": SPARE_MIB,
    }


def contradictions(found, ssl, tool=None):
    """
    What cannot be had together, as a list of sentences.

    found
        as `settings` returns it
    ssl
        whether the guest is sent over TLS: a relay would see cipher text only, so that there is none
    tool
        what the host's xend calls for each device of a guest that is sent (external-migration-tool), if
        anything: it is told where the guest is sent, which would be the relay (xend 4.4
        DevController.migrate)
    """
    why = _without_relay(found, ssl, tool)
    told = []
    if why and found["copy"] == "required":
        told.append(
            "safety_copy: required: with %s no copy of the guest is kept; say safety_copy: auto to send it "
            "without one" % why
        )
    if why and found["rate_mib_s"] is not None:
        told.append(
            "rate_mib_s: %s: with %s nothing holds the rate down; say rate_mib_s: false to send it without a "
            "limit" % (found["rate_mib_s"], why)
        )
    return told


def _without_relay(found, ssl, tool):
    """
    Why there is no relay; "" when there is one.
    """
    if not found["relay"]:
        return "relay: false"
    if ssl:
        return "TLS (ssl, or xend-relocation-ssl of its host)"
    return "an external-migration-tool, which has to be told the target itself," if tool else ""


def unprotected(name, found, ssl, tool=None):
    """
    What is to be said beforehand where nothing will be kept of a guest because there is no relay, as a list
    of sentences; of whoever has asked for no copy it is known that he knows.

    name
        the guest
    found, ssl, tool
        as for `contradictions`
    """
    why = _without_relay(found, ssl, tool)
    if not why or found["copy"] == "off":
        return []
    return ["no safety copy of %s is kept, because with %s there is none: %s" % (name, why, LOST_OTHERWISE)]


LOST_OTHERWISE = (
    "if xend on its target dies in mid-transfer, or a disk or a network card cannot be attached there, the "
    "guest is lost with all that is in its memory"
)


# Room


def needed_mib(guest, live):
    """
    How large the copy of a guest becomes: usually, and at most, in MiB.

    guest
        its description as xm_output.describe returns it
    live
        whether it runs while it is sent
    """
    memory_mib = guest.get("memory_mib") or 0
    more_mib = STEP_MIB + (HVM_MORE_MIB if guest.get("image") == "hvm" else 0)
    usual, most = (USUAL_TIMES, MOST_TIMES) if live else (SUSPENDED_TIMES, SUSPENDED_TIMES)
    return int(memory_mib * usual) + more_mib, int(memory_mib * most) + more_mib


def look(folder, private):
    """
    A look at the folder for copies, which need not be there yet: nothing is changed.

    private
        xend_lock.private, which tells what is wrong with a folder that is there

    Returns ``free_mib``, ``device`` (a number that all folders of one file system have in common) and
    ``problem``, why there can be no copy in it; what is not known is None.
    """
    found = {"free_mib": None, "device": None, "problem": None}
    try:
        above = folder
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        if not os.path.isdir(above):
            raise IOError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), above)
        if above == folder:
            private(folder)
        space = os.statvfs(above)
        if space.f_flag & READ_ONLY:
            raise IOError(errno.EROFS, os.strerror(errno.EROFS), above)
        found.update(free_mib=space.f_bavail * space.f_frsize // MIB, device=os.stat(above).st_dev)
    except EnvironmentError as exc:
        found["problem"] = "%s: %s" % (exc.filename or folder, exc.strerror)
    return found


def promised_mib(relays, guests, device, device_of):
    """
    What the copies of other guests may still take on a file system that are being sent now, in MiB.

    relays
        what their relays say of themselves (xm_relay.status)
    guests
        the descriptions of the guests here, by uuid
    device
        the file system, as `look` returns it
    device_of
        a function from a folder to the same for that one
    """
    promised = 0
    for said in relays:
        copy = said.get("copy") or {}
        guest = guests.get(said.get("uuid"))
        is_growing = said.get("alive") and copy.get("state") == "growing" and copy.get("path")
        if is_growing and guest and device_of(os.path.dirname(copy["path"])) == device:
            usual_mib, _ = needed_mib(guest, said.get("live"))
            promised += max(0, usual_mib - (copy.get("bytes") or 0) // MIB)
    return promised


def room(name, found, needed, seen, promised=0):
    """
    Whether there will be a copy, as far as that is known beforehand, and what is to be said.

    name
        the guest
    found
        as `settings` returns it
    needed
        as `needed_mib` returns it
    seen
        as `look` returns it
    promised
        as `promised_mib` returns it

    Returns (whether there is one, blockers, warnings): the last two are lists of sentences.
    """
    usual_mib, most_mib = needed
    size = "about %d MiB" % usual_mib
    if most_mib > usual_mib:
        size += ", and up to %d MiB if the guest goes on writing to its memory" % most_mib
    is_required = found["copy"] == "required"
    if seen["problem"]:
        there = "there can be none (%s)" % seen["problem"]
        least_mib = None
    else:
        least_mib = max(0, seen["free_mib"] - found["spare_mib"] - promised)
        there = "%d MiB are free for it (%d more stay free" % (least_mib, found["spare_mib"])
        there += ", %d are for guests that are being sent now)" % promised if promised else ")"
    if least_mib is None or least_mib < usual_mib:
        lacks = "it needs %s; in %s %s" % (size, found["folder"], there)
        remedy = "make room there, or name another folder (safety_folder)"
        if is_required:
            remedy += ", or say safety_copy: auto to send it without one"
            blocker = "safety_copy: required: no safety copy of %s can be kept: %s; %s"
            return False, [blocker % (name, lacks, remedy)], []
        warning = "no safety copy of %s is kept: %s; without one, %s: %s"
        return False, [], [warning % (name, lacks, LOST_OTHERWISE, remedy)]
    if least_mib < most_mib:
        end = "the transfer is broken off, and the guest stays" if is_required else "the copy is given up"
        warning = "the safety copy of %s needs %s, and in %s %s: when that is used up, %s"
        return True, [], [warning % (name, size, found["folder"], there, end)]
    return True, [], []
