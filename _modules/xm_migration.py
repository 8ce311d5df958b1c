"""
Move guests, and mend what a migration that broke has left: all that is done to a guest. Part of the module
`xm`, see xm.py.

What an outcome means, and which repair is safe, is decided in ``_utils``.
"""

from __future__ import absolute_import

import logging
import os
import subprocess
import tempfile
import time
import uuid as _uuid

from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)

# How long a look at a guest may take meanwhile.
ANSWERS_S = 5

# How long the target may take to say whether a guest runs that has left its source: a real pair took 1 s (xen
# 4.4); one that waits for a device in vain says so after two minutes, when others have looked.
WORD_S = 5

# Less than half of what a 100 Mbit/s network carries.
SLOW_MIB_S = 4

# How often it is told how far a transfer is: by what a relay has carried, and by the log of xend alone.
CARRIED_S = 1
LOGGED_S = 5

# A bus that takes longer for an event has nobody on it.
BUS_S = 1

# How long the source may take to give a guest its name back after xm has reported a failure, and xend to
# answer again after a restart.
SETTLE_S = 60

# Salt before 2017.7 refuses a file that users see under another name than its own without this.
__virtualname__ = "xm"


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xm"


class _Utility(object):
    """
    A utility, of which calls read like those of a module; see xm.py.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_host = _Utility("xend_host")
xend_secrets = _Utility("xend_secrets")
xend_sxp = _Utility("xend_sxp")
xend_text = _Utility("xend_text")
xm_copies = _Utility("xm_copies")
xm_files = _Utility("xm_files")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_kept = _Utility("xm_kept")
xm_look = _Utility("xm_look")
xm_output = _Utility("xm_output")
xm_progress = _Utility("xm_progress")
xm_relay = _Utility("xm_relay")
xm_safety = _Utility("xm_safety")
xm_verdict = _Utility("xm_verdict")
xm_way = _Utility("xm_way")


def _host():
    return xm_look.host(str(__opts__["id"]), __salt__, CommandExecutionError, _Utility)


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _text(argument, value):
    return _given(xend_text.given_text, argument, value)


def _text_or_none(argument, value):
    return None if value is None else _text(argument, value)


class _NotMoved(CommandExecutionError):
    """
    A guest was not sent, or not to its end. `facts` is the message without what to do about it.
    """

    def __init__(self, message, facts):
        CommandExecutionError.__init__(self, message)
        self.facts = facts


# Moving


def migrate(
    name,
    target,
    live=True,
    port=None,
    ssl=False,
    node=None,
    timeout=None,
    accept=None,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
    uuid=None,
):
    """
    Send a guest to another host.

    name
        the domain
    target
        the minion id of the other host, as in the pillar ``xend:relocation:hosts``, or its address
    live
        let the guest run while its memory is sent; else it is suspended first
    port, ssl
        where and how the target listens; default: what the pillar says of it, else this host's own port;
        without TLS unless this host's own xend-relocation-ssl is on, which xm cannot overrule. TLS hides the
        guest's memory on the way; xend verifies no certificate
    node
        the NUMA node on the target (xend 3.3 and later)
    timeout
        seconds to wait for the transfer; default: by the memory of the guest, at least 300
    accept
        as for ``xm.can_receive``
    safety_copy
        whether a copy of what is sent is kept on this host until the guest was seen to run on the target,
        from which it can be brought back: ``auto`` (where there is room, and as long as nothing is wrong with
        it), ``required`` (else the guest does not leave) or ``off``; default: what the option
        ``xend:safety_copy`` of this host says, else ``auto``. There is none with TLS
    safety_folder
        the folder for the copy, an absolute path; default: ``xend:safety_folder``, else the folder ``kept``
    safety_delay_s
        for how many seconds in all a slow disk may hold up the transfer before the copy is given up, or, when
        it is required, the transfer; default: ``xend:safety_delay_s``, else 30
    rate_mib_s
        at most so many MiB are sent in a second; False: as many as go; default: ``xend:rate_mib_s``, else no
        limit
    relay
        False: xend connects to the target by itself, so that there is no copy, no word of the target, and no
        limit of the rate; default: ``xend:relay``, else True
    uuid
        as for ``xm.can_send``: what the target was asked about may not have this name any more

    Everything that ``xm.can_send`` checks is checked first. While it goes on, events with the tag
    ``xend/migrate/NAME`` tell how far it is. Returns ``name``, ``uuid``, ``address``, ``port``, ``seconds``,
    ``kept`` (the file with the guest's description), ``heard`` (``ok`` when the target has said that the
    guest runs; None when it has said nothing so far, or without a relay), ``copy`` (what has become of the
    safety copy: ``none``, ``growing``, ``complete``, ``given up`` or ``removed``; None without a relay),
    ``comment``, ``facts``, the same without what to do, and ``afterwards`` (what is left to be done here by
    hand when the guest was seen to run; an orchestration does it) once this host has no copy of the guest
    any more. **That is not yet success**: ``xm migrate`` exits 0 with the guest lost, and only the target
    can tell whether it arrived, which the orchestration ``xend.orch.migrate`` verifies. Raises an error that
    says where the guest is when it has not left, and one with the target's own reason when that has said by
    now that the guest cannot run there.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.migrate web01 target=xen2
        salt xen1 xm.migrate web01 target=10.20.0.12 live=False timeout=900
    """
    name, target, uuid = _text("name", name), _text("target", target), _text_or_none("uuid", uuid)
    safety = xm_safety.asked(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    __salt__["xm.check_options"](
        live=live, port=port, ssl=ssl, node=node, timeout=timeout, accept=accept, **safety
    )
    this = _host()
    with this.holding(name, "the migration of %s to %s" % (name, target)) as held:
        if held:
            where_now = _where_now(this, name, target)
            raise CommandExecutionError("%s was not moved: %s. %s" % (name, held, where_now))
        check = __salt__["xm.can_send"](
            name, target, port, ssl, live=live, node=node, accept=accept, uuid=uuid, **safety
        )
        if not check["ok"]:
            where_now = _where_now(this, name, target, of_transfers=False)
            why = "; ".join(check["blockers"]) + (where_now and ". " + where_now)
            raise CommandExecutionError("%s was not moved: %s" % (name, why))
        peer = __salt__["xm.peer"](target, port, ssl)
        return _migrate(this, name, uuid, target, peer, live, node, timeout, check["safety"])


def _migrate(this, name, uuid, target, peer, live, node, timeout, safety):
    look = this.look()
    row = look.guest(name)
    if row is None or uuid not in (None, row["uuid"]):
        raise CommandExecutionError("%s has left this host while it was checked" % name)
    guest, reference = look.describe(row), look.reference(row)
    limit_s = _usual_limit_s(guest, safety["rate_mib_s"]) if timeout is None else float(timeout)
    kept = _keep(this, guest, look.text(row))
    # What was kept of an earlier journey is older than the guest that runs here.
    _forget_own(this, guest["uuid"])
    note = _note(this, guest, peer["id"], kept, safety)
    relay, without = _relay(this, guest, peer, live, limit_s, safety, note)
    to = {"address": this.option("loopback"), "port": relay["listens"][1]} if relay else peer
    options = _migrate_options(this, guest, live, dict(peer, port=to["port"]), node)
    command = [this.option("xm"), "migrate"] + options + [reference, to["address"]]
    began = xm_look.clock_s()
    try:
        result = _watch(command, limit_s, _progress(this, guest, target, note["relay"] if relay else None))
    except CommandExecutionError:
        # Nobody has been asked to send it.
        _forget_own(this, guest["uuid"])
        raise
    seconds = xm_look.clock_s() - began
    # What is not waited for any longer goes on in xend, whatever becomes of xm.
    view = this.watch(name, guest["uuid"], SETTLE_S if result["over"] else 0)
    told = _told(note["relay"], WORD_S if result["over"] else 0) if relay else None
    xm_said = None
    if not result["over"] or result["retcode"]:
        xm_said = xm_way.xm_said(this.said(result), told, to["address"], peer["address"])
    waited_s, required = None if result["over"] else limit_s, safety["copy"] == "required"
    said = _sayings(name, target, view, told, xm_said, waited_s, required)
    comment, facts = [text + without for text in said]
    if not _has_left(view) or xm_way.has_failed(told):
        # When xm was not waited for, or killed, xend may yet begin.
        if result["over"] and result["retcode"] > 0:
            comment += _end_what_failed(this, note, view, told)
        is_here = view["copy"] in ("running", "left")
        begin = ("%s was not moved: " if is_here else "the migration of %s has not ended well: ") % name
        raise _NotMoved(begin + comment, begin + facts)
    if this.stays_managed(guest["uuid"]):
        manages = "; xend on %s still manages it: xm.forget_managed there, once it runs on %s"
        manages = manages % (str(__opts__["id"]), target)
        comment, facts = comment + manages, facts + manages
    return {
        "name": name,
        "uuid": guest["uuid"],
        "address": peer["address"],
        "port": peer["port"],
        "seconds": round(seconds, 1),
        "kept": kept,
        "heard": told and told["heard"],
        "copy": told and told["copy"]["state"],
        "comment": comment,
        "facts": facts,
        "afterwards": xm_kept.how_to_forget(note, str(__opts__["id"])),
    }


def _usual_limit_s(guest, rate_mib_s):
    """
    For how long a transfer is waited for when nobody says so.
    """
    # A guest that writes is sent up to three times.
    slowest_mib_s = min((rate_mib_s or 3 * SLOW_MIB_S) / 3.0, SLOW_MIB_S)
    return max(300, int(guest["memory_mib"] / slowest_mib_s))


def _has_left(view):
    return view["copy"] in ("absent", "managed")


def _end_what_failed(this, note, view, told):
    """
    Let nobody go the way any more of a migration that has failed by the word of xm, and forget it where the
    guest runs as before. Returns what there is to say about that.
    """
    if told and told["phase"] == "listening":
        this.end_relay(note)
    return _forget_own(this, note["uuid"]) if view["copy"] == "running" else ""


def _sayings(name, target, view, told, xm_said, waited_s, required):
    """
    What is to be said of a guest after xm was run, and the same without what to do about it.
    """
    here = str(__opts__["id"])
    report = xm_verdict.report(name, here, target, view, {"copy": "unasked"}, _Utility)
    facts, advice = report["facts"], report["comment"][len(report["facts"]) :]
    ended = xm_verdict.how_xm_ended(view, _Utility, xm_said=xm_said, waited_s=waited_s)
    if _has_left(view):
        facts, advice = facts + xm_way.word(told, here, target), xm_way.advice(told, target, advice)
    else:
        ended += xm_way.word(told, here, target, ended, required)
    return facts + advice + ended, facts + ended


# The relay

WITHOUT_RELAY = (
    ". It was sent without a relay, so that nothing is kept of its memory, and %s has not been heard: %s"
)


def _relay(this, guest, peer, live, limit_s, safety, note):
    """
    What the relay says that was started for a guest, and ""; or None, and what there is to say about that.
    """
    if not safety["relay"]:
        return None, ""
    here, process = str(__opts__["id"]), this.process()
    own = this.option("source") or __salt__["xend.declared_hosts"]().get(here, {}).get("address")
    settings = {
        # SELinux lets xend connect to few ports but its own.
        "listen": [[this.option("loopback"), port] for port in (peer["port"], 0)],
        "target": [peer["address"], peer["port"]],
        # By which the target knows this host; with several networks another one might be taken.
        "bind": own,
        "status": note["relay"],
        "copy": note["copy"],
        "required": safety["copy"] == "required",
        "delay_s": safety["delay_s"],
        "rate_mib_s": safety["rate_mib_s"],
        "spare_mib": safety["spare_mib"],
        "xend": process and process["pid"],
        "accept_s": limit_s,
        # It has to hear what xend on the target says at last.
        "answer_s": 3 * this.gives_up_s(),
        "names": {
            "id": note["id"],
            "name": guest["name"],
            "uuid": guest["uuid"],
            "target": peer["id"],
            "live": bool(live),
        },
    }
    try:
        if not process:
            raise ValueError("it cannot be seen which process is xend")
        return xm_relay.start(settings), ""
    except (EnvironmentError, ValueError) as exc:
        why = xend_secrets.masked(getattr(exc, "strerror", None) or str(exc))
    if safety["copy"] == "required" or safety["rate_mib_s"]:
        _forget_own(this, guest["uuid"])
        what = "its safety copy is required" if safety["copy"] == "required" else "its rate is limited"
        raise CommandExecutionError(
            "%s was not moved: %s, and there is no relay for that: %s. %s"
            % (guest["name"], what, why, _where_now(this, guest["name"], peer["id"]))
        )
    return None, WITHOUT_RELAY % (peer["id"], why)


def _told(path, wait_s):
    """
    What a relay says when it has nothing more to say soon, or after some seconds. What comes from others in
    it may be shown.
    """
    began, pause = xm_look.clock_s(), xm_look.pauses()
    told = _relay_says(path)
    while told and not xm_way.is_settled(told) and xm_look.clock_s() - began < wait_s:
        next(pause)
        told = _relay_says(path)
    for key in ("said", "problem"):
        if told and told[key]:
            told[key] = xm_heard.legible(xend_secrets.masked(told[key]))
    return told


def _relay_says(path):
    """
    What a relay says; None when that cannot be told, which must not disturb a migration.
    """
    try:
        return xm_relay.status(path)
    except (EnvironmentError, ValueError) as exc:
        log.warning("what a relay says cannot be told: %s", exc)
        return None


def _watch(command, limit_s, look):
    """
    Run a command and look around while it works, for LIMIT_S seconds at most.

    Returns ``retcode``, ``stdout``, ``stderr`` and ``over``: whether it has ended by itself. Raises
    CommandExecutionError only when it was not started.
    """
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    try:
        began = xm_look.clock_s()
        process = _started(command, out, err)
        pause = xm_look.pauses()
        while process.poll() is None and xm_look.clock_s() - began < limit_s:
            look()
            next(pause)
        over = process.poll() is not None
        if not over:
            process.kill()
        retcode = process.wait()
        look()
        return {"retcode": retcode, "stdout": _whole(out), "stderr": _whole(err), "over": over}
    finally:
        out.close()
        err.close()


def _started(command, out, err):
    try:
        with open(os.devnull) as nothing:
            return subprocess.Popen(
                command,
                stdin=nothing,
                stdout=out,
                stderr=err,
                close_fds=True,
                env=dict(os.environ, LC_ALL="C"),
            )
    except EnvironmentError as exc:
        raise CommandExecutionError("%s cannot be run: %s" % (command[0], exc.strerror))


def _whole(stream):
    stream.seek(0)
    return xend_text.native(stream.read().decode("utf-8", "replace"))


def _progress(this, guest, target, relay):
    """
    A function that tells on Salt's bus what the log of xend says of a transfer since it was last called, and
    what its relay has carried.

    relay
        what the relay says, a file; None without one
    """
    names = {
        "domain": guest["name"],
        "uuid": guest["uuid"],
        "source": str(__opts__["id"]),
        "target": target,
    }
    clock_s, root, tail = xm_look.clock_s, this.option("root"), xm_progress.tail(this.option("log"))
    progress = xm_progress.progress(
        names, guest["domid"], guest["memory_mib"], clock_s(), CARRIED_S if relay else LOGGED_S
    )
    hears = [True]

    def look():
        told = relay and _relay_says(relay)
        if told:
            progress.carried(told["bytes"], told["rate_mib_s"])
        events = progress.feed(tail.read(), clock_s())
        quiet = progress.tick(clock_s(), "connecting", lambda: _written(root, guest["domid"]))
        for event in events + ([quiet] if quiet else []):
            hears[0] = hears[0] and _tell(event)

    return look


def _written(root, domid):
    """
    How many bytes xc_save has written that sends this domain; None when that cannot be seen.
    """
    try:
        helpers = xend_host.transfers(root)
    except EnvironmentError:
        # There are no descriptors left, for instance: that must not disturb a migration.
        return None
    for helper in helpers:
        if (helper["what"], helper["domid"]) == ("xc_save", domid):
            return xm_progress.written(helper["pid"])
    return None


def _tell(event):
    """
    Send an event over Salt's bus. Returns whether somebody hears it, quickly enough: whatever is wrong with
    the bus must not disturb a migration.
    """
    began = xm_look.clock_s()
    try:
        tag = "xend/migrate/" + xm_kept.label(event["domain"])
        sent = __salt__["event.send"](tag, event)
    except Exception as exc:  # pylint: disable=broad-except
        log.debug("an event on the migration of %s was not sent: %s", event["domain"], exc)
        sent = False
    return bool(sent) and xm_look.clock_s() - began < BUS_S


def _migrate_options(this, guest, live, peer, node):
    """
    The options of xm migrate. The default port is the *source's* own xend-relocation-port; naming the
    target's is right on every version.
    """
    options = ["--live"] if live else []
    options.append("--port=%d" % peer["port"])
    if this.is_managed(guest["uuid"]) and this.tools_version() >= (4, 0):
        # Else this host would keep it as a guest that it could start again.
        options.append("--change_home_server")
    if peer["ssl"]:
        options.append("--ssl")
    if node is not None:
        options.append("--node=%d" % int(node))
    return options


def _where_now(this, name, target, of_transfers=True):
    """
    Where a guest is that was not sent; "" for one that is under way, unless that is wanted.
    """
    view = this.view(name)
    if xm_copies.is_one_of(view["copy"], "departing coming") and not of_transfers:
        return ""
    if view["copy"] == "absent":
        return (
            "%s was not looked for on other hosts; `xm.list` on all hosts shows where it is" % name
        )
    if view["copy"] in ("running", "halted", "unfinished", "managed"):
        return "It is on %s (state %s), untouched" % (
            str(__opts__["id"]),
            view["state"] or "not started",
        )
    report = xm_verdict.report(name, str(__opts__["id"]), target, view, {"copy": "unasked"}, _Utility)
    return report["comment"]


def arrival(name, uuid=None, source=None, timeout=None, gone=False):
    """
    Whether a guest that its source has sent away has arrived here and runs.

    name, uuid
        the domain that is expected
    source
        the host that it came from, for the report
    gone
        the source has reported its own copy gone; without that a guest that is not here is not called lost
    timeout
        seconds to wait while it can still be completed here; xm on the source returns before that. Default:
        as long as xend itself waits for its devices (device-create-timeout), and gives it up

    Returns ``arrived`` (bool), ``copy`` and the rest of ``xm.where``, ``lost`` (bool), ``comment`` and
    ``facts``, the comment without what to do; of a guest that has not arrived they say only that: its source
    may have kept its memory. And ``afterwards``, what is left to be done on the source by hand, unless an
    orchestration does it; None while it has not arrived.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.arrival web01 source=xen1
    """
    name, uuid = _text("name", name), _text_or_none("uuid", uuid)
    source = _text_or_none("source", source)
    names = {"domain": name, "uuid": uuid, "source": source, "target": str(__opts__["id"])}
    # So that the time goes on where the source's ended; its clock is another one.
    this = _host()
    since_s = xm_progress.received_since(xm_progress.last_part(this.option("log")), uuid, time.time())
    began = None if since_s is None else xm_look.clock_s() - since_s
    progress = xm_progress.progress(names, None, None, began)
    _tell(progress.event("arriving", xm_look.clock_s()))
    # Later than the moment from which on it is called unfinished.
    if timeout is None:
        timeout = this.gives_up_s() + ANSWERS_S
    view = __salt__["xm.where"](name, uuid, timeout)
    report = xm_verdict.report(
        name,
        source or "the source",
        str(__opts__["id"]),
        # Only its source knows whether the guest was sent at all.
        {"copy": "absent"} if gone else {"copy": "unknown", "problem": "it was not asked"},
        view,
        _Utility,
    )
    arrived, facts = view["copy"] == "running", report["facts"]
    if report["lost"]:
        here = str(__opts__["id"])
        facts = NOT_ARRIVED % (name, here, xm_copies.holds(name, dict(view, host=here)))
    _tell(progress.event("running" if arrived else "failed", xm_look.clock_s()))
    return dict(
        view,
        arrived=arrived,
        lost=report["lost"],
        outcome=report["outcome"],
        facts=facts,
        comment=report["comment"],
        afterwards=xm_kept.where_to_forget(source or "its source") if arrived else None,
    )


NOT_ARRIVED = "%s has not arrived on %s: %s"


def restart_advice(domain, source=None):
    """
    What is needed to start a guest again that a migration has lost; its description is kept here.

    domain
        its description, as ``xm.domain`` returned it before the migration: without passwords. The complete
        one was kept on the source, and is never overwritten here by this one
    source
        the minion id of the host that sent it

    Returns text.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.restart_advice '{"name": "web01", "memory_mib": 96}' xen1
    """
    this, source = _host(), _text_or_none("source", source)
    domain = _given(xm_output.described, domain, _Utility)
    try:
        kept = _keep_told(this, domain, str(source or "the host that sent it"))
    except CommandExecutionError as exc:
        # That the guest is lost must be said whatever else fails.
        kept = "could not be kept here (%s); the source kept it before it sent the guest" % exc
    return xm_verdict.how_to_start_again(_in_words(domain), kept)


# What is kept of guests that are sent away


def _in_words(domain):
    legible = xm_files.legible
    disks = ", ".join([legible(disk.get("uname", "?")) for disk in domain.get("disks") or []]) or "no disks"
    return "uuid %s, %s MiB, %s" % (domain.get("uuid"), domain.get("memory_mib"), disks)


def _keep(this, domain, text):
    """
    Keep the description of a guest on this host, so that it can be started again whatever happens.

    Returns the file, which holds what `xm list --long` printed, passwords included; one file per name and
    uuid.
    """
    path = xm_kept.description_file(this.option("kept"), domain["name"], domain.get("uuid"))
    return this.keep(path, text, "the description of %s" % domain["name"])


def _keep_told(this, domain, source):
    """
    Keep the description of a guest that its source has told. Returns what there is to say about it.
    """
    text, name = domain.get("sxp"), domain.get("name")
    if not text or not hasattr(text, "upper"):
        raise CommandExecutionError("the description of %s lacks sxp, its own text" % name)
    here, what = str(__opts__["id"]), "the description of %s" % name
    own = xm_kept.description_file(this.option("kept"), name, domain.get("uuid"))
    told = xm_kept.told_file(this.option("kept"), name, domain.get("uuid"))
    masked = xend_secrets.text(text)
    if xend_secrets.hides(masked):
        this.keep(told, xm_kept.without_passwords(masked, source), what)
        kept = (
            "is kept in %s on %s, without its passwords, so that xm refuses this file until they are put in; "
            "the complete one is kept on %s, for root, as %s in the folder of its option xend:kept"
            % (told, here, source, os.path.basename(own))
        )
    elif not os.path.lexists(own):
        return "is kept in %s on %s" % (this.keep(own, text, what), here)
    else:
        kept = "is kept in %s on %s" % (this.keep(told, text, what), here)
    # This host itself has kept that one, when it sent the guest: it is complete.
    return kept + ("; an earlier one is %s on %s" % (own, here) if os.path.lexists(own) else "")


def _note(this, guest, target, kept, safety):
    """
    Take note that a guest is sent away, for those who have to find it when nobody has seen it arrive. Returns
    the note; it names what a relay will say, and the copy that it will make, before they are there.
    """
    folder, ends = this.option("kept"), (guest["name"], guest["uuid"])
    words = {
        "id": str(_uuid.uuid4()),
        "name": guest["name"],
        "uuid": guest["uuid"],
        "target": target,
        "at": _now(),
        "what": _in_words(guest),
        "kept": kept,
        "relay": xm_kept.relay_file(folder, *ends) if safety["relay"] else None,
        "copy": xm_kept.copy_file(safety["folder"], *ends) if safety["copy"] != "off" else None,
        "domid": None if this.is_managed(guest["uuid"]) else guest["domid"],
        "up_s": xend_host.uptime_s(),
    }
    process = this.process()
    words["xend"] = process and xend_host.identity(process["pid"])
    path = xm_kept.note_file(folder, *ends)
    this.keep(path, xm_kept.note(words), "the note that %s is sent" % guest["name"])
    return words


def forget(name, uuid, note, claims=None, asked=False, test=False):
    """
    Remove the note that a guest was sent from here, once it was seen to run elsewhere.

    name, uuid
        the domain
    note
        the ``id`` of the note, as ``xm.copies`` has shown it; one that was made since stays
    claims
        what other hosts say themselves that they hold of it, a dict from minion id to a word, as
        ``xm.findings`` has put it together. The note goes only when the host says that it runs there to which
        it was sent by the note, or to which that one has sent it on; or when it runs here, and is not about
        to be sent. None: who calls this has looked, and answers for it
    asked
        the operator has named this guest for this run (``remove_lost``), so that no claim is needed
    test
        only say what would be so

    With the note goes what its relay has left, the safety copy first. Returns whether there is no note any
    more, or would be none. Raises an error while the guest is moved or mended, when nobody says that it runs,
    and, whoever asks for it, while its relay still sends it or waits for the word of its target.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.forget web01 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f 0f3e9a51-93a7-4c15-8a5b-0f4a8f1f6c1e
    """
    name, uuid = _text("name", name), _text("uuid", uuid)
    _check_word(claims, asked)
    this = _host()
    noted = [made for made in this.noted() if (made["name"], made["uuid"]) == (name, uuid)]
    if not noted:
        _check_uuid(uuid)
        return True
    if noted[-1]["id"] != note:
        return False
    why = _doubt(this, "forget", name, uuid, claims, asked, note=noted[-1])
    # Else the word of the very host that has it is at hand.
    if (asked or claims is None) and _is_carried(this, noted[-1]):
        why = "its relay still sends it to %(target)s, or waits for the word of that" % noted[-1]
    if why:
        raise CommandExecutionError("that %s was sent is still noted: %s" % (name, why))
    if test:
        return True
    with this.holding(name, "the end of the migration of %s" % name) as held:
        if held:
            raise CommandExecutionError("that %s was sent is still noted: %s" % (name, held))
        return this.forget(name, uuid, note)


def _is_carried(this, made):
    """
    Whether a relay sends the guest of a note, or has sent it, and has not heard that it runs. One to which
    nobody has come, or that is about to end, does neither.
    """
    safety = this.safety(made)
    is_idle = not safety or not safety["alive"] or safety["phase"] in ("listening", "over")
    return not is_idle and safety["heard"] != "ok"


# Managed guests


def forget_managed(name, uuid, test=False):
    """
    Let xend forget a managed guest that was sent from here, so that nobody starts it here a second time
    (``xm delete``). From Xen 4.0 on ``xm.migrate`` sees to that. **Only when the guest was seen to run
    elsewhere**: this removes what xend here knows of it.

    name, uuid
        the domain; nothing is touched while a domain with this uuid is here that is more than known to xend,
        or when that cannot be seen
    test
        only say whether there is something to forget

    Returns whether there was, or would be. Raises an error when it is not forgotten afterwards.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.forget_managed web01 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f
    """
    name, this = _text("name", name), _host()
    if not uuid:
        raise CommandExecutionError("%s: without its uuid it cannot be told from others" % name)
    uuid = _check_uuid(uuid)
    if test or not this.is_managed(uuid):
        return this.is_managed(uuid)
    with this.holding(name, "the end of the migration of %s" % name) as held:
        if held:
            raise CommandExecutionError(_still_managed(name, held))
        here = _with_uuid(this, uuid)
        if [one["copy"] for one in here] != ["managed"]:
            seen = ["%s is here, %s" % (one["listed"], one["copy"]) for one in here]
            raise CommandExecutionError(_still_managed(name, "; ".join(seen) or "xend does not list it"))
        said = this.xm(["delete", uuid])
        if this.is_managed(uuid) or _with_uuid(this, uuid):
            raise CommandExecutionError(_still_managed(name, said or "xm delete has changed nothing"))
        return True


def _with_uuid(this, uuid):
    """
    The domains here that have this uuid, or may have it.
    """
    return [one for one in this.look().copies() if one["uuid"] in (uuid, None)]


def _still_managed(name, why):
    return (
        "xend on %s still manages %s (%s), so that it may be started there a second time, on the same disks: "
        "look with `xm list`, and when it runs on its new host and not there, `xm delete %s` on %s, before "
        "anybody starts xend there" % (str(__opts__["id"]), name, why, name, str(__opts__["id"]))
    )


# Repairing


def repair(do, listed, uuid, domid, claims=None, asked=False, test=False):
    """
    Take one safe step to clean up after a migration that broke, as ``xm.findings`` has proposed it. What
    the step relies on is looked at once more, right before it.

    do
        ``rename``: a guest that still runs under the name migrating-NAME gets its own back. ``remove``: a
        copy that has never run, or the suspended remainder of a guest that runs elsewhere, is destroyed.
        ``resume``: a suspended guest goes on.
    listed, uuid, domid
        the domain, as it was found; another one is never touched
    claims
        what other hosts say themselves that they hold of the guest, a dict from minion id to a word, as
        ``xm.findings`` has put it together; each is believed about itself only, and only when it is in the
        pillar ``xend:relocation:hosts``. What is suspended here is removed only when the host says that the
        guest runs there to which it was sent from here by the note on it; without a note, when that is the
        only other host. What has never run here is removed when such a host has the guest, and xend.log here
        says that the copy was received and never completed. A guest goes on only when the host that it was
        just sent to says that it was never completed there. None: who calls this has looked at the other
        hosts, and answers for it
    asked
        the operator has named this guest for this run (``remove_lost``, ``resume``): no claim is needed
    test
        only say whether it would be done

    Returns a sentence. Raises an error when the domain is not as it was found, when the claims are not
    enough, or when it is not mended afterwards.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.repair rename migrating-web01 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f 7
    """
    if do not in list(REPAIRS):
        known = ", ".join(sorted(REPAIRS))
        raise CommandExecutionError("do: %s is none of %s" % (xend_text.quoted(do), known))
    listed, uuid = _text("listed", listed), _check_uuid(uuid)
    _check_word(claims, asked)
    if not isinstance(domid, int) or isinstance(domid, bool) or domid < 1:
        raise CommandExecutionError("domid: %s is no id of a guest" % xend_text.quoted(domid))
    name, this, step = xm_copies.plain(listed), _host(), (do, listed, uuid, domid)
    if test:
        _to_repair(this, step, claims, asked, test)
        return "%s, domain %d, is as it was found: %s would be done" % (listed, domid, do)
    with this.holding(name, "the repair of %s" % name) as held:
        if held:
            raise CommandExecutionError("%s was not mended: %s" % (name, held))
        return _repair(this, step, claims, asked)


def _check_uuid(uuid):
    if not xm_heard.is_uuid(uuid):
        raise CommandExecutionError(
            "uuid: %s is no uuid as `xm list --long` shows it" % xend_text.quoted(uuid)
        )
    return str(uuid)


def _check_word(claims, asked):
    """
    Check what comes from other hosts, and of the operator.
    """
    if not isinstance(asked, bool):
        raise CommandExecutionError("asked: %s is neither true nor false" % xend_text.quoted(asked))
    if claims is None:
        return
    if not isinstance(claims, dict):
        raise CommandExecutionError("claims: %s is no dict from hosts to words" % xend_text.quoted(claims))
    for host in sorted(claims, key=xend_text.quoted):
        if not hasattr(host, "upper") or not xm_fleet.is_claim(claims[host], _Utility):
            raise CommandExecutionError(
                "claims: what %s says, %s, is nothing that a host holds of a guest"
                % (xend_text.quoted(host), xend_text.quoted(claims[host]))
            )


def _doubt(this, do, name, uuid, claims, asked, here=None, note=None):
    """
    Why a step needs the word of the operator, as far as this host can tell; "" when it does not, or has it.

    here, note
        the copy that the step is for, as `Look.view` has found it; the note
    """
    if claims is None or asked:
        return ""
    own = {}
    if note:
        try:
            found = this.look().copies()
        except CommandExecutionError:
            # What runs elsewhere has nothing to do with that.
            found = []
        own = {"target": note["target"], "over": this.is_over(note, found)}
    else:
        notes = [made for made in this.noted() if (made["name"], made["uuid"]) == (name, uuid)]
        own = {"held": here["copy"], "target": notes[-1]["target"] if notes else None}
    if do == "remove":
        beside = [
            one["copy"]
            for one in this.look().copies()
            if one["uuid"] == uuid and one["domid"] != here["domid"]
        ]
        own.update(beside=beside, completed=this.completed(uuid))
    declared = sorted(__salt__["xend.declared_hosts"]())
    return xm_fleet.doubt(do, name, str(__opts__["id"]), claims, declared, _Utility, **own)


# What is done -> the copies that it may be done to, those that it leaves, and what has then happened.
REPAIRS = {
    "rename": (("left",), ("running",), "%(listed)s is called %(name)s again and runs here"),
    "remove": (
        ("unfinished", "suspended"),
        ("absent", "managed"),
        "%(listed)s, domain %(domid)s, was removed here; its description is kept in %(kept)s",
    ),
    "resume": (("suspended",), ("left", "running"), "%(listed)s goes on here"),
}


def _to_repair(this, step, claims, asked, test=False):
    """
    A look at this host, and in it the row of the domain that is to be repaired, once all is as it has to be.
    """
    do, listed, uuid, domid = step
    name, before = xm_copies.plain(listed), REPAIRS[do][0]
    if test and do == "rename":
        # It would go on first.
        before += REPAIRS["resume"][0]
    look = this.look()
    view = look.view(name, uuid, domid)
    as_found = (view["listed"], view["domid"], view["uuid"]) == (listed, domid, uuid)
    if not as_found or view["copy"] not in before:
        raise CommandExecutionError(
            "%s was not touched: it is not any more as it was found (domain %s, %s, state %s)"
            % (listed, view["domid"] or "none", view["copy"], view["state"] or "none")
        )
    why = _doubt(this, do, name, uuid, claims, asked, here=view)
    if why:
        raise CommandExecutionError("%s was not touched: %s" % (listed, why))
    return look, [row for row in look.rows if row["domid"] == domid][0]


def _repair(this, step, claims, asked):
    do, listed, uuid, domid = step
    name, (_, after, done) = xm_copies.plain(listed), REPAIRS[do]
    words = {"listed": listed, "name": name, "domid": domid}
    look, row = _to_repair(this, step, claims, asked)
    guest, reference = look.describe(row), look.reference(row)
    if do == "remove":
        # Whoever has said that it is well elsewhere may be wrong, and there may be no other trace of it. What
        # was kept when it was sent from here is better than what is left of it.
        path = xm_kept.description_file(this.option("kept"), name, uuid)
        words["kept"] = path if os.path.exists(path) else _keep(this, dict(guest, name=name), look.text(row))
    if do == "rename":
        said = this.xm(["rename", reference, name])
    elif do == "remove":
        said = this.xm(["destroy", reference])
    else:
        said = _resume(this, guest, uuid)
    view = this.watch(name, uuid, SETTLE_S, domid)
    if view["copy"] not in after:
        raise CommandExecutionError(
            "%s was not mended: it is %s now, in state %s (%s)"
            % (listed, view["copy"], view["state"] or "none", said or view["problem"] or "no message")
        )
    # A guest that has its name back is not being sent any more.
    return done % words + (_forget_own(this, uuid) if do != "remove" else "")


def _forget_own(this, uuid):
    """
    Remove the note on a guest that goes on here. Returns what there is to say about it.
    """
    try:
        for made in this.noted():
            if made["uuid"] == uuid:
                this.forget(made["name"], uuid, made["id"])
    except CommandExecutionError as exc:
        return "; %s" % exc
    return ""


# Bringing back


def restore(name, uuid, note, claims=None, asked=False, test=False):
    """
    Bring a guest back that was sent from here and is nowhere, from its safety copy (``xm restore``): it goes
    on as it was when it left. What this relies on is looked at once more, right before it. Once it was seen
    to run, the safety copy is removed; the note stays, and tells of it, until ``xm.forget``.

    **A guest that has run anywhere since is destroyed by this**: its disks are newer than that memory.

    name, uuid
        the domain; nothing is done while one with this name or uuid is here that is more than known to xend
    note
        the ``id`` of the note that it was sent, as ``xm.copies`` has shown it
    claims
        what other hosts say themselves of it, a dict from minion id to a word, as ``xm.findings`` has put it
        together; each is believed about itself only. It is restored when the host that it was sent to says
        that it was never completed there, or holds nothing that can run and was heard to say why; while no
        other host says that it has it, or does not answer; and within an hour. None: who calls this has
        looked at the other hosts, and answers for it
    asked
        the operator has named this guest for this run (``restore``): that is no matter then; but nothing is
        restored when its target was heard to say that it runs, or says that it has it
    test
        only say whether it would be done

    Returns a sentence. Raises an error when it is not restored; nothing is removed then.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.restore web01 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f 0f3e9a51-93a7-4c15-8a5b-0f4a8f1f6c1e
    """
    name, uuid, note = _text("name", name), _check_uuid(uuid), _text("note", note)
    _check_word(claims, asked)
    this = _host()
    if test:
        made, safety = _to_restore(this, name, uuid, note, claims, asked)
        return "%s would be restored from %s" % (name, safety["path"])
    with this.holding(name, "the restore of %s" % name) as held:
        if held:
            raise CommandExecutionError(NOT_RESTORED % (name, held))
        made, safety = _to_restore(this, name, uuid, note, claims, asked)
        return _restore(this, made, safety)


NOT_RESTORED = "%s was not restored: %s"
STILL_WHOLE = (
    "%(said)s. Nothing was removed: its memory is still in %(path)s on %(host)s. When the cause is removed, "
    "`salt-run state.orchestrate xend.orch.recover`, run as before, tries again"
)
HALF_RESTORED = (
    "it is %(copy)s now, in state %(state)s (%(said)s). Its memory is still in %(path)s on %(host)s. Look "
    "with `xm list` there: when it runs, all is well; when it does not go on, `xm destroy` it and run "
    "`salt-run state.orchestrate xend.orch.recover` again"
)
GONE_AGAIN = (
    "%(name)s was restored on %(host)s, or may have been, but is not there any more (%(said)s): it has run, "
    "and has ended or crashed at once, as xend.log there says. If so, its disks are newer than the memory in "
    "%(path)s, which must not be restored once more: remove_lost: [%(name)s] of xend.orch.recover throws it "
    "away, and it is started afresh"
)
RESTORED = "%(name)s was restored here from its safety copy and runs%(still)s%(left)s"
# What xend gives away with --change_home_server it does not take back by itself (xend 4.4
# XendDomain.domain_restore_fd).
NOT_MANAGED = (
    "; xend here managed it, and does not any more: `xm new` makes it known again, its description is in %s"
)


def _to_restore(this, name, uuid, note, claims, asked):
    """
    The note on a guest and what is known of its safety copy, once all is as it has to be to restore it.
    """
    noted = [made for made in this.noted() if (made["name"], made["uuid"]) == (name, uuid)]
    if not noted or noted[-1]["id"] != note:
        why = "it was sent once more" if noted else "there is no note that it was sent"
        raise CommandExecutionError(NOT_RESTORED % (name, why))
    (made,) = noted
    safety = this.safety(made) or {"state": "none", "why": "it was sent without a relay"}
    why = safety["state"] != "complete" and "its safety copy is %s" % (safety["why"] or safety["state"])
    why = why or _denial(this, made, safety, claims, asked) or _wrong_copy(safety["path"], name, uuid)
    if why:
        raise CommandExecutionError(NOT_RESTORED % (name, why))
    return made, safety


def _denial(this, made, safety, claims, asked):
    """
    Why a guest is not to be restored, by what is here and what other hosts say; "" when it is.
    """
    name, uuid, target = made["name"], made["uuid"], made["target"]
    why = xm_fleet.denial(target, claims or {}, _Utility, safety["heard"], safety["alive"])
    # xend before 3.3 restores a second one beside it (XendCheckpoint.restore).
    here = [
        one
        for one in this.look().copies()
        if (one["uuid"] in (uuid, None) or one["name"] == name)
        and (one["copy"], one["uuid"]) != ("managed", uuid)
    ]
    if here:
        seen = ["%s (domain %s, state %s)" % (one["listed"], one["domid"], one["state"]) for one in here]
        why = "%s is here" % ", ".join(seen)
    if why or asked or claims is None:
        return why
    own = dict([(key, safety[key]) for key in ("refused", "recent", "tried")], target=target)
    declared = sorted(__salt__["xend.declared_hosts"]())
    return xm_fleet.doubt("restore", name, str(__opts__["id"]), claims, declared, _Utility, **own)


def _wrong_copy(path, name, uuid):
    """
    Why a file is no copy of this guest; "" when it is one.
    """
    try:
        (form,) = xend_sxp.parse(xm_kept.described(path)).forms()
        guest = xm_output.describe(form)
    except (EnvironmentError, ValueError) as exc:
        return "%s: %s" % (path, getattr(exc, "strerror", None) or exc)
    if (guest["name"], guest["uuid"]) != (name, uuid):
        return "%s is the copy of another guest, %s" % (path, xm_files.legible(guest["name"]))
    return ""


def _restore(this, made, safety):
    name, uuid, path = made["name"], made["uuid"], safety["path"]
    words = {"name": name, "path": path, "host": str(__opts__["id"]), "left": ""}
    earlier = made.get("restoring_at")
    # Whoever finds this and no guest knows that it may have run since.
    made = _noted_anew(this, made, restoring_at=_now())
    # As long as xend may take to send as much.
    limit_s = max(300, safety["bytes"] // (4 << 20))
    result = _watch([this.option("xm"), "restore", path], limit_s, lambda: None)
    view = this.watch(name, uuid, SETTLE_S if result["over"] else 0)
    now = time.time()
    words.update(copy=view["copy"], state=view["state"] or "none", said=this.said(result))
    if not result["over"]:
        words["said"] = "xm restore had not ended after %d s" % limit_s
    if view["copy"] in ("absent", "managed") and result["over"]:
        # What xm alone can say: whoever kills it leaves it to xend.
        if result["retcode"] > 0:
            # What became of an earlier one is not known for that.
            _noted_anew(this, made, restoring_at=earlier)
            raise CommandExecutionError(NOT_RESTORED % (name, STILL_WHOLE % words))
        raise CommandExecutionError(GONE_AGAIN % words)
    if view["copy"] != "running" or view["uuid"] != uuid:
        raise CommandExecutionError(NOT_RESTORED % (name, HALF_RESTORED % words))
    since = safety["sent_at"] if safety["live"] else safety["began_at"]
    still_s = round(now - since, 1) if since is not None and now >= since else None
    try:
        _noted_anew(this, made, restored_at=_now(), stood_still_s=still_s)
    except CommandExecutionError as exc:
        # That it was begun is noted: nobody restores it once more unasked.
        words["left"] += "; %s" % exc
    try:
        os.unlink(path)
    except EnvironmentError as exc:
        words["left"] += "; %s could not be removed (%s): never restore it again" % (path, exc.strerror)
    # Of a managed guest the note tells no id, see `_note`.
    if made.get("domid") is None and not this.is_managed(uuid):
        words["left"] += NOT_MANAGED % made["kept"]
    words["still"] = "" if still_s is None else ", after about %d s in which it stood still" % still_s
    return RESTORED % words


def _now():
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def _noted_anew(this, made, **more):
    """
    The note on a guest, once it says this as well.
    """
    made = dict(made, **more)
    path = xm_kept.note_file(this.option("kept"), made["name"], made["uuid"])
    this.keep(path, xm_kept.note(made), "what becomes of %s" % made["name"])
    return made


# What xend does to go on with a guest after a failed save, for guests that can cancel a suspension (xend
# 3.1 and later, XendDomainInfo.resumeDomain); xm has no command for it. xm shows the same state for a guest
# that has powered off or wants to reboot, whose memory must not run again; the hypervisor tells them apart,
# and xend asks it from 3.3 on. It answers with the next domain when there is none of that id.
RESUME = """
from xen.lowlevel import xc, xs
domid = int(sys.argv[2])
control = xc.xc()
found = [one for one in control.domain_getinfo(domid, 1) if one["domid"] == domid]
if not found:
    sys.exit("there is no domain %d any more" % domid)
how = (found[0]["shutdown"], found[0]["shutdown_reason"])
if not how[0] or how[1] != 2:
    sys.exit(
        "domain %d has not suspended itself: shutdown %s, reason %s, where 0 is power off, 1 reboot, "
        "2 suspend and 3 crash" % ((domid,) + how)
    )
control.domain_resume(domid, 1)
xs.xs().resume_domain(domid)
"""


def _resume(this, guest, uuid):
    if not guest["suspend_cancel"]:
        raise CommandExecutionError(
            "%s was not touched: its kernel cannot cancel a suspension (it has no SUSPEND_CANCEL note), so "
            "only xend could have resumed it. What is in its memory is lost: `xm destroy %s`, then `xm "
            "create` with its configuration file" % (guest["name"], guest["name"])
        )
    for made in this.noted():
        if made["uuid"] == uuid and made.get("copy") and made["id"]:
            # Its safety copy is older from now on, whatever becomes of those who want to remove it.
            _noted_anew(this, made, restoring_at=_now())
    python = this.option("python")
    command = xend_host.in_xends_python(python, this.option("root"), RESUME, str(guest["domid"]))
    try:
        result = this.run(command)
    except CommandExecutionError as exc:
        return xend_host.xends_python_says(python, str(exc))
    return None if result["retcode"] == 0 else xend_host.xends_python_says(python, this.said(result))
