"""
Which guests a stop of xend takes down, and which its start starts.

xend from 3.1 to 4.4 does both by itself. Stopped by SIGTERM (`xend stop`, `xend restart`), it does to each
guest that runs what its on_xend_stop says (XendDomain.cleanup_domains, called by SrvServer.cleanup). Whenever
it has started, it starts each managed guest that is halted and has on_xend_start start or auto_power_on
(XendDomain.autostart_domains). The tools of 3.0.3 know none of it, those of 3.0.4 only the words.
Asking xend, and deciding whether it is restarted, is not done here.
"""

from __future__ import absolute_import

import errno
import os
import stat

STOP, START = "on_xend_stop", "on_xend_start"

# What else a restart can be allowed to do: to meet a host that is being emptied (see xm_away).
EVACUATION = "evacuation"

# From when on xend acts on these two, and from when on it reads auto_power_on from its store (XendConfig,
# XENAPI_CFG_TYPES; before, that setting ends with the xend that was told it).
SINCE, POWER_ON_SINCE = (3, 1), (3, 4)

# Every other word, in any spelling, lets a guest run on.
SHUTDOWN, SUSPEND = "shutdown", "suspend"

# Up to 3.1 a guest that cannot be suspended ends the round.
GOES_ON_SINCE = (3, 2)

CONFIG, CHECKPOINT = "config.sxp", "checkpoint.chk"

# xend keeps the setting in its memory, from when it creates a guest, or from when it finds one at its own
# start, in xenstore (XendDomainInfo.recreate, _augmentInfo). _storeChanged does not read it again, `xm new`
# for a guest that runs changes only what is stored of it, and a guest that reboots keeps what is in memory
# (3.1 to 4.4). SIGKILL, after which the watchdog starts xend again, is no stop (SrvDaemon.start).
STOP_INTRO = "a stop of xend takes down guests that run here: "
STOP_REMEDY = (
    "Move them to another host first (the setting goes along), or shut them down when that may be, set "
    "on_xend_stop = 'ignore' in their configuration files and create them anew%s. For a guest that runs, no "
    "command of xm and no file changes it; xenstore does, for a xend that starts without having been "
    "stopped: on this host `xenstore-write $(xenstore-read /local/domain/ID/vm)/on_xend_stop ignore` for "
    "each of them, then, while no guest is moved, `kill -9 $(cat %s)`, and xend's watchdog starts it anew%s. "
    "Who accepts that they are taken down says restart_accept: [on_xend_stop] in the pillar "
    "xend:relocation, or, once, `salt %s xend.restart accept=on_xend_stop`"
)
STOP_REMEDY_MANAGED = (
    " (managed ones: `xm list --long NAME` into a file, change it there, `xm delete NAME`, "
    "`xm new -F FILE`, `xm start NAME`)"
)
STOP_REMEDY_STARTING = (
    " (but first settle what is said here of managed guests: that start of xend starts them as well)"
)

START_INTRO = "a start of xend starts managed guests that do not run here and may run elsewhere: "
START_INTRO_BLIND = (
    "a start of xend starts managed guests that may run elsewhere (%s; `xentop -b -i 1` on this host shows "
    "what runs here, and xend leaves that alone): "
)
START_REMEDY = (
    "Look where they run (xm.where on the other hosts): one that runs twice destroys its disks. One that "
    "belongs elsewhere: %s; one that belongs here: %s. Who accepts that they are started here says, once, "
    "`salt %s xend.restart accept=on_xend_start`, or for good restart_accept: [on_xend_start] in the pillar "
    "xend:relocation"
)
REMOVE, REMOVE_DOWN = (
    "`xm delete NAME` on this host",
    "move its folder, %s/UUID on this host, away (xend is down, so `xm delete` does not work)",
)
START_HERE, START_HERE_DOWN = "`xm start NAME` on this host first", "accept it"

BLIND_REMEDY = (
    "Mend that first; who knows that no guest is at risk says `salt %s xend.restart accept=on_xend_start`"
)

# SIGKILL is no stop, and the child that the watchdog starts then has the settings of the one before.
STUCK = (
    "When xend does not answer for long: where neither xc_save nor xc_restore runs on this host (`ps -C "
    "xc_save,xc_restore`) and no other host sends a guest here, `kill -9 $(cat %s)` on it makes xend's "
    "watchdog start it anew, with the settings that it had; that takes no guest down, and starts managed "
    "ones that are halted and have on_xend_start start. Then try again"
)


def accepted(given, utility):
    """
    What a restart of xend may do to guests, from what somebody has written.

    given
        None, one of the words on_xend_stop, on_xend_start and evacuation, or a list of them
    utility
        a function from the name of another utility to that utility

    Returns a list of words. Raises ValueError for anything else.
    """
    if given is None:
        return []
    words = [given] if hasattr(given, "upper") else given
    known = (STOP, START, EVACUATION)
    if not isinstance(words, (list, tuple)) or [word for word in words if word not in known]:
        raise ValueError(
            "restart_accept: %s is nothing that a restart of xend can be allowed to do to guests; right is a "
            "list out of on_xend_stop (guests that have it set are shut down or suspended), on_xend_start "
            "(managed guests that have it set are started) and evacuation (the host is being emptied)"
            % utility("xend_text").quoted(given)
        )
    return list(words)


def domains(forms):
    """
    What counts here of the descriptions of domains.

    forms
        what the sxp parser makes of `xm list --long`, or of a file of xend's store: lists of bytes

    Returns a list of dicts: ``name``, ``uuid``, ``state``, ``on_xend_stop``, ``on_xend_start`` and
    ``auto_power_on`` (text, None where it is not said), and ``domid`` (int; None for a domain that does not
    run), in the order of the forms.
    """
    found = []
    for form in forms:
        if isinstance(form, list):
            keys = ("name", "uuid", "state", STOP, START, "auto_power_on")
            one = dict([(key, _value(form, key)) for key in keys])
            domid = _value(form, "domid") or ""
            one["domid"] = int(domid) if domid.isdigit() else None
            found.append(one)
    return found


def running(text):
    """
    The domains that run, as of `domains`, from lines with an id, a blank and a name (text).

    Of one that has no name there is only the id.
    """
    found = []
    for line in text.splitlines():
        domid, _, name = line.partition(" ")
        if domid.isdigit():
            found.append(dict(domains([[]])[0], domid=int(domid), name=name or None))
    return found


def stuck(pidfile):
    """
    What is to be done about a xend that runs and does not answer; PIDFILE as people on the host call it.
    """
    return STUCK % pidfile


def _value(form, key):
    for child in form[1:]:
        if isinstance(child, list) and child and child[0] == key.encode("ascii"):
            raw = child[1] if len(child) > 1 else None
            return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else None
    return None


def store(folder, read, parse):
    """
    The domains that xend manages, whether they run or not.

    folder
        where it keeps them: xend-domains-path in its configuration, default /var/lib/xend/domains
    read, parse
        functions from a path to bytes, and from bytes to a document of sxp

    Returns a list of dicts as of `domains`, with ``checkpoint`` (bool: xend has suspended it, and has its
    image). Of a file that xend passes over at its start, as it cannot parse it or as it names another uuid
    than its folder, there is the uuid of the folder only (XendDomain._managed_domains). Raises
    EnvironmentError when the folder, or a file in it, cannot be looked at, or when xend would wait for it.
    """
    try:
        entries = sorted(os.listdir(folder))
    except EnvironmentError as exc:
        if exc.errno == errno.ENOENT:
            return []
        raise
    found = []
    for entry in entries:
        path = os.path.join(folder, entry, CONFIG)
        if not _is_file(path):
            continue
        try:
            described = domains(parse(read(path)).forms()[:1])
        except ValueError:
            described = []
        one = (
            described[0]
            if described and described[0]["uuid"] == entry
            else dict(domains([[]])[0], uuid=entry)
        )
        found.append(
            dict(one, domid=None, checkpoint=os.path.exists(os.path.join(folder, entry, CHECKPOINT)))
        )
    return found


def _is_file(path):
    # Not os.path.exists, for which a disk that fails is a file that is not there.
    try:
        mode = os.stat(path).st_mode
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise IOError(errno.EINVAL, "is no file, and a start of xend would wait for it", path)
    return stat.S_ISREG(mode)


def stopped(found, version):
    """
    The guests that a stop of xend does something to.

    found
        all domains of the host, as of `domains`
    version
        that of xend as a tuple of ints; None: unknown, then it is taken for one that does

    Returns those of FOUND, in their order. Only who runs counts, not who is paused (XendDomainInfo
    ._stateGet).
    """
    if version is not None and version < SINCE:
        return []
    return [one for one in found if _runs(one) and one[STOP] in (SHUTDOWN, SUSPEND)]


def _runs(one):
    # Letters that are not known keep nobody from being counted.
    return bool(one["domid"]) and not [letter for letter in "pscd" if letter in (one["state"] or "")]


def started(found, stored, version):
    """
    The managed guests that a start of xend starts.

    found
        all domains that xend shows, or that run, as of `domains`; empty when that is not known
    stored
        those of its store, as of `store`: what the xend that starts will read
    version
        as for `stopped`

    Returns those of STORED, and those of FOUND that it lacks, that are halted and want it. xend takes a
    managed domain for one that runs when a running one, which is not dying, has its name
    (XendDomain._init_domains), and one that it has suspended is not halted.
    """
    if version is not None and version < SINCE:
        return []
    here = set(
        [
            one["name"]
            for one in found
            if one["name"] and one["domid"] is not None and "d" not in (one["state"] or "")
        ]
    )
    known = set([one["uuid"] for one in stored])
    halted = stored + [
        dict(one, checkpoint=False) for one in found if one["domid"] is None and one["uuid"] not in known
    ]
    return [
        one
        for one in halted
        if one["name"] not in here
        and not one["checkpoint"]
        and (one[START] == "start" or _powers_on(one, version))
    ]


def _powers_on(one, version):
    # xend's own idea of a boolean, by which `no` and `false` are true (XendConfig.bool0).
    reads_it = version is None or version >= POWER_ON_SINCE
    return reads_it and one.get("auto_power_on") not in (None, "", "0", "False")


def acts(version):
    """
    Whether xend of this version (a tuple of ints; None: unknown) stops or starts guests by itself.
    """
    return version is None or version >= SINCE


def risks(version, shown, unseen, stored, problems, words):
    """
    What a restart of xend does to guests, and what to do about it.

    version
        that of xend, as for `stopped`
    shown
        all domains of the host, as of `domains`; of a xend that is down, as of `running`
    unseen
        why SHOWN lacks those that run; "" when it does not
    stored
        those of xend's store, as of `store`
    problems
        a dict from on_xend_stop or on_xend_start to why that half cannot be told; empty when all was seen
    words
        a dict: ``up`` (bool: xend runs), ``host`` (the minion), ``folder`` (the store) and ``pidfile`` (where
        xend's process id stands), as people on the host call them

    Returns a list of dicts with ``kind`` (on_xend_stop or on_xend_start: the word that accepts it), ``what``
    (a sentence) and ``remedy``; empty when nothing is at risk.
    """
    found = []
    folder, host = words["folder"], words["host"]
    stopping = stopped(shown, version)
    managed = None if START in problems else [one["uuid"] for one in stored]
    starting = started(shown, stored, version)
    if stopping:
        what = [_stop_sentence(one, managed, version, folder) for one in stopping]
        hint = STOP_REMEDY_MANAGED if [one for one in stopping if one["uuid"] in (managed or ())] else ""
        also = STOP_REMEDY_STARTING if starting or START in problems else ""
        remedy = STOP_REMEDY % (hint, words["pidfile"], also, host)
        found.append(_risk(STOP, STOP_INTRO, what, remedy))
    if starting:
        intro = START_INTRO_BLIND % unseen if unseen else START_INTRO
        what = [_start_sentence(one) for one in starting]
        ways = (REMOVE, START_HERE) if words["up"] else (REMOVE_DOWN % folder, START_HERE_DOWN)
        found.append(_risk(START, intro, what, START_REMEDY % (ways + (host,))))
    blind = ((STOP, stuck(words["pidfile"])), (START, BLIND_REMEDY % host))
    found += [_risk(kind, "", [problems[kind]], way) for kind, way in blind if kind in problems]
    return found


def _risk(kind, intro, clauses, remedy):
    return {"kind": kind, "what": intro + ", ".join(clauses), "remedy": remedy}


def _called(one):
    return one["name"] or "the one with the uuid %s" % one["uuid"]


def _stop_sentence(one, managed, version, folder):
    who = "%s (id %s)" % (_called(one), one["domid"])
    if one[STOP] == SHUTDOWN:
        return "%s is shut down (on_xend_stop shutdown)" % who
    if managed is None or one["uuid"] in managed:
        return (
            "%s is suspended to %s/%s/%s, from where only `xm resume` brings it back (on_xend_stop suspend)"
            % (who, folder, one["uuid"], CHECKPOINT)
        )
    if version is not None and version < GOES_ON_SINCE:
        what = "ends xend's stop with an error,"
    else:
        what = "runs on, and xend only logs an error,"
    return "%s %s as xend does not manage it (on_xend_stop suspend)" % (who, what)


def _start_sentence(one):
    who = _called(one)
    if one[START] == "start":
        return "%s is started (on_xend_start start)" % who
    return "%s is started (auto_power_on %s)" % (who, one["auto_power_on"])
