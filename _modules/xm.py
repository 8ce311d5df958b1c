"""
See the guests of a xend host, as xend itself shows them. Whether one can be moved is asked in xm_checks.py,
and xm_migration.py moves and mends them; to users all three are the module `xm`.

The configuration of xend is the business of the ``xend`` module; the look at a host is xm_look's, and what it
means for a guest is decided in ``_utils`` as well, which knows no Salt.

Options, from the minion configuration or the pillar:

``xend:xm``
    the command, default ``xm``
``xend:socket``
    where xend is asked, default ``/var/run/xend/xmlrpc.sock``; where nothing listens there, ``xm`` is run
``xend:kept``
    the folder in which descriptions of guests are kept while they are moved, default
    ``/var/lib/xend-for-salt``. It is made when it is missing; one that belongs to somebody else than the
    minion's user, or that others may write to, is not used, and no guest is moved then
``xend:pidfile``, ``xend:log``
    of xend, default ``/var/run/xend.pid`` and ``/var/log/xen/xend.log``
``xend:python``
    the Python that xend runs with, default ``/usr/bin/python``; only for resuming a suspended guest
``xend:drbdadm``
    the command of DRBD, default ``drbdadm``; only for guests that have disks of it
``xend:safety_copy``, ``xend:safety_folder``, ``xend:safety_delay_s``, ``xend:rate_mib_s``, ``xend:relay``
    what holds for guests that leave this host where it is not said for one of them, see ``xm.migrate``
``xend:root``
    where the host's file system is, for a minion in a container; default: where the minion's own is
"""

from __future__ import absolute_import

import os
import time

from salt.exceptions import CommandExecutionError

__func_alias__ = {"list_": "list"}

NET = "/sys/class/net"


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xm"


class _Utility(object):
    """
    A utility, of which calls read like those of a module: `xend_sxp.parse(data)`. Synced ones come first;
    those of an installed extension are not loaded into __utils__ by Salt 3006 and later, and are imported,
    all others as well then: Salt looks through its folders again for each name that it does not find.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                # Salt's wrapper switches to the loader of the utilities, where the functions that are
                # handed to them would find no __salt__, and it cannot be used by two threads at once.
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_lifecycle = _Utility("xend_lifecycle")
xend_text = _Utility("xend_text")
xend_version = _Utility("xend_version")
xm_away = _Utility("xm_away")
xm_copies = _Utility("xm_copies")
xm_files = _Utility("xm_files")
xm_fit = _Utility("xm_fit")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_kept = _Utility("xm_kept")
xm_look = _Utility("xm_look")
xm_output = _Utility("xm_output")
xm_verdict = _Utility("xm_verdict")


def _host():
    return xm_look.host(str(__opts__["id"]), __salt__, CommandExecutionError, _Utility)


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _text(argument, value):
    return _given(xend_text.given_text, argument, value)


def _text_or_none(argument, value):
    return None if value is None else _text(argument, value)


# Seeing


def info():
    """
    What ``xm info`` says of this host: a dict of its lines; whole numbers are ints (memory in MiB).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.info
    """
    return _host().info()


def list_():
    """
    The domains of this host, as ``xm list`` shows them.

    Returns a dict from name to ``domid`` (None for a managed domain that does not run), ``memory_mib``,
    ``vcpus``, ``state`` (the letters r b p s c d, or dashes: all dashes is a domain that runs but is on
    no CPU right now) and ``time_s``.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.list
    """
    shown = ("domid", "memory_mib", "vcpus", "state", "time_s")
    return dict((row["name"], dict((key, row[key]) for key in shown)) for row in _host().look().rows)


def moving():
    """
    The migrations that can be seen on this host, as a list of sentences; empty when there are none.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.moving
    """
    look = _host().look()
    return xm_copies.moving([dict(row, listed=row["name"], copy=look.copy(row)) for row in look.rows])


def migrations(names=None):
    """
    What ``salt-run xend.watch`` asks a host: the transfers of guests that can be seen here.

    names
        of guests of which it is wanted what this host holds, a list

    Returns ``migrations``, a list of dicts: ``name``, ``uuid``, ``copy`` (``sending`` or ``receiving``;
    ``migrating`` or ``arriving`` for one that may go on, or is left over from a migration that broke;
    ``running`` for a guest that a relay here waits for), ``other`` (the host at the other end, its minion id
    or its address; None when that cannot be told), ``memory_mib``, and as far as a relay tells it ``bytes``
    (sent so far), ``rate_mib_s`` (of the last seconds) and ``seconds`` (since the first of them), else None;
    ``expected``, the guests that have a reservation here (``xend.reserve``), a list of dicts: ``name`` and
    ``who``; and ``held``, those of NAMES that are here, a list of dicts: ``name``, ``uuid`` and ``copy`` (see
    HOLDS in ``_utils/xm_copies.py``). Raises an error when that cannot be seen.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.migrations
    """
    if names is not None and not isinstance(names, (list, tuple)):
        raise CommandExecutionError("names: %s is no list of names" % xend_text.quoted(names))
    names = [_text("names", name) for name in names or []]
    this, now = _host(), time.time()
    expected = [dict((key, made[key]) for key in ("name", "who")) for made in this.reserved(now)]
    look = this.look()
    held = [one for one in look.copies() if one["name"] in names] if names else []
    return {
        "migrations": look.migrations(now),
        "expected": expected,
        "held": [dict((key, one[key]) for key in ("name", "uuid", "copy")) for one in held],
    }


def domain(name):
    """
    Everything that another host must know of a guest before it can take it.

    name
        the name of the domain

    Returns None when there is no such domain here, else a dict: ``name``, ``uuid``, ``domid``,
    ``memory_mib``, ``maxmem_mib``, ``shadow_memory_mib``, ``vcpus``, ``state``, ``runs`` (bool: alive,
    not paused), ``image`` (``linux``, ``hvm``), ``nomigrate``, ``disks``, ``vifs``, ``pci`` (lists of
    dicts) and ``sxp`` (the description as xend prints it, with ``(not shown)`` for each password: what is
    returned travels through the master and stays in its job cache).

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.domain web01
    """
    look = _host().look()
    row = look.guest(_text("name", name))
    return row and look.describe(row)


def lifecycle():
    """
    What xend does to the domains of this host when it stops and starts: those that run, and those that it
    manages.

    Returns a list of dicts: ``name``, ``uuid``, ``state`` (None where there is none), ``domid`` (None for a
    domain that does not run), ``on_xend_stop`` and ``on_xend_start`` (None where xend knows no such setting).
    Raises an error when not all that xm shows is understood.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.lifecycle
    """
    found = xend_lifecycle.domains([row["form"] for row in _host().look().rows])
    # xend does not show auto_power_on, so that nothing can be said of it here.
    return [dict((key, one[key]) for key in one if key != "auto_power_on") for one in found]


def host():
    """
    What another host must know of this one before a guest moves between them.

    Returns a dict: ``xen`` (major and minor version), ``tools`` (the version of xend and xm, which may be
    older), ``machine``, ``caps``, ``virt_caps``, ``hw_caps``, ``vendor``, ``family``, ``model_number``,
    ``stepping``, ``model`` and ``flags`` of the processor, ``free_mib``, ``bridges``, ``interfaces`` (all),
    ``bridge_ports`` (dict from interface to its bridge), ``vif_script`` and ``vnc_listen`` (xend's own),
    ``time`` (seconds since 1970, when it was asked) and ``uptime_s``; None for what cannot be seen.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.host
    """
    return _facts(_host(), time.time())


def _facts(this, now):
    # Clocks are compared as of the moment of the question.
    uptime = this.content("/proc/uptime")
    said = this.info()
    found = xm_fit.facts(
        said,
        this.content("/proc/cpuinfo"),
        uptime,
        now,
        _bridges(this),
        _own_text("vif-script"),
        xm_output.tools_version(said),
    )
    found.update(
        interfaces=_interfaces(this), bridge_ports=_bridge_ports(this), vnc_listen=_own_text("vnc-listen")
    )
    return found


def _own_text(key):
    """
    What the configuration of xend here says for a key, None for its default.
    """
    try:
        value = __salt__["xend.get"](key)
    except CommandExecutionError:
        # What xend cannot read at all, the checks of its configuration report.
        return None
    return value if hasattr(value, "upper") else None


def _interfaces(this):
    try:
        return sorted(os.listdir(this.path(NET)))
    except EnvironmentError:
        return None


def _bridges(this):
    names = _interfaces(this)
    return names and [name for name in names if os.path.isdir(this.path(os.path.join(NET, name, "bridge")))]


def _bridge_ports(this):
    """
    Which interface is on which bridge, as a dict.
    """
    found = {}
    for name in _interfaces(this) or []:
        try:
            bridge = os.readlink(this.path(os.path.join(NET, name, "brport", "bridge")))
        except EnvironmentError:
            # It is on none.
            continue
        found[name] = os.path.basename(bridge)
    return found


def report(name, source=None, options=None):
    """
    All that an orchestration asks a host before it moves a guest, in one answer.

    name
        the domain
    source
        the minion id of the host that it shall leave, which marks its disks (``xm.mark_disks``)
    options
        those of the migration, to be checked (``xm.check_options``)

    Returns ``domain`` (as ``xm.domain``; None also for one that xend only knows), ``host`` (as ``xm.host``),
    ``follows`` (bool: whether ``xend:follow`` is set), ``file`` (what ``xen_guest.sealed`` returns for
    nobody; None unless it is), ``announces`` (bool: whether ``xend:announce`` is set), ``stays_managed``
    (the uuid of the guest when xend goes on managing it here after it was sent, else None), ``view`` (as
    ``xm.where``), ``declared`` (the minion ids of all hosts in the pillar; None when that cannot be
    read), ``configured`` (bool: whether the settings of relocation are as they shall be, in the file and
    in xend), ``guarded`` (bool: whether a firewall is asked for), ``closed`` (None, or why this host takes no
    guests, see ``xm.evacuation``), ``marked`` (as ``xm.mark_disks``, or
    ``problem``; None without disks to mark), ``wrong`` (what is wrong with OPTIONS, or None), ``problem``
    (why the host could not say all of it, or None), ``seconds`` (how long it needed to say it) and
    ``modules`` (the version of Xend for Salt here). The ``time`` of the host is that of the question.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.report web01
    """
    now, began = time.time(), xm_look.clock_s()
    name, this = _text("name", name), _host()
    found = {"domain": None, "host": None, "file": None, "announces": False, "problem": None}
    found.update(stays_managed=None, follows=False, view={"copy": "unknown"}, declared=None)
    found.update(configured=False, guarded=False, marked=None, wrong=None)
    found.update(closed=None, modules=xend_version.version())
    try:
        __salt__["xm.check_options"](**(options or {}))
    except CommandExecutionError as exc:
        found["wrong"] = str(exc)
    except TypeError:
        # They are no mapping, or one with names that xm.check_options does not know.
        found["wrong"] = "options: %s are not those of a migration" % xend_text.quoted(options)
    try:
        found["closed"] = xm_away.refusal(xm_away.read(this.option("kept"), _Utility), this.name) or None
        found["declared"] = sorted(__salt__["xend.declared_hosts"]())
        look = this.look()
        row = look.guest(name)
        guest = look.describe(row) if row else None
        found["domain"] = guest if guest and guest["domid"] is not None else None
        found["stays_managed"] = guest["uuid"] if guest and this.stays_managed(guest["uuid"]) else None
        found["view"] = _of(look.view(name))
        found["host"] = _facts(this, now)
        found["announces"] = bool(__salt__["xen_guest.announce"](name, test=True))
        found["follows"] = __salt__["xen_guest.follows"]()
        if found["domain"] and found["follows"]:
            found["file"] = __salt__["xen_guest.sealed"](name, guest["uuid"])
        found.update(__salt__["xend.as_wanted"]())
        if found["domain"] and found["domain"]["disks"] and source == str(__opts__["id"]):
            found["marked"] = _marked(name)
    except CommandExecutionError as exc:
        silence = this.silence(exc)
        found["problem"] = str(exc)
        if found["view"]["copy"] == "unknown":
            found["view"].update(silence)
    return dict(found, seconds=round(xm_look.clock_s() - began, 2))


def _marked(name):
    try:
        return __salt__["xm.mark_disks"](name)
    except CommandExecutionError as exc:
        return {"problem": str(exc)}


def told(text):
    """
    What a host has told, as the orchestrations hand it on to another one: as JSON of ASCII characters only,
    so that nothing in it is altered on the way.

    text
        such a text; anything else is returned as it is

    Returns what it says.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.told '"Gr\u00f6\u00dfe"'
    """
    return xm_output.told(text)


# Where guests are


def where(name, uuid=None, wait=0):
    """
    Where a guest is, as far as this host can see.

    name
        the domain, under its own name
    uuid
        its uuid; a domain of that name with another one is another guest
    wait
        seconds to wait while a transfer of it can still be going on here

    Returns ``copy``, what this host holds of it in one word (see HOLDS in ``_utils/xm_copies.py``),
    ``state``, ``domid`` and ``uuid`` (None when there is none), ``listed`` (the name under which ``xm list``
    shows it), ``seconds`` (how long it was watched), ``other`` (the host at the other end of a transfer, or
    None), ``devices_s`` (how many seconds xend here waits for the devices of a guest that comes), ``near``
    (names of guests here that are like it, when there is none of that name), ``problem`` (why it cannot be
    seen, or None), ``remedy`` (what to do about that, or "") and ``xend`` (bool: False when there is a
    problem and no xend runs here).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.where web01
    """
    name, uuid = _text("name", name), _text_or_none("uuid", uuid)
    return _of(_host().watch(name, uuid, _given(xend_text.given_seconds, "wait", wait)))


def _of(view):
    return dict((key, view[key]) for key in view if key != "settled")


def copies(domain=None, wait=0, uuid=None):
    """
    Every guest that this host holds, whatever has become of it.

    domain, wait
        seconds to wait while a transfer of this domain (default: of any) can still be going on here
    uuid
        a guest of which it is asked whether xend has completed it here when it was received last, and whether
        one with this uuid, or the name DOMAIN, was started afresh here since

    Returns a dict: ``copies``, a list of dicts: ``name`` (without migrating-), ``listed``, ``uuid``,
    ``domid``, ``state`` and ``copy`` (see HOLDS in ``_utils/xm_copies.py``), and for one that is unfinished
    ``completed``, as below; ``sent``, the notes on guests
    that were sent from here and of which nobody has told yet that they have arrived, a list of dicts:
    ``id``, ``name``, ``uuid``, ``target``, ``at`` (time), ``what`` (memory, disks), ``kept`` (the file
    with its description), ``over`` (bool: it runs here, and cannot be about to be sent any more) and
    ``safety``: None for one that was sent without a relay, else what has become of its safety copy, a dict:
    ``state`` (``complete``: it can be restored from it; ``none``, ``growing``, ``given up``, ``removed`` or
    ``broken``, with ``why``), ``path``, ``bytes``, ``heard`` (what its relay has heard of the target: ``ok``,
    ``err``, with the text in ``said``, ``silence``, ``broken``, ``unanswered`` or None), ``refused`` (bool:
    by that it has certainly not run there), ``recent`` (bool: within an hour), ``tried`` (bool: it may have
    been restored since, or have come back), ``alive`` (bool: the relay still runs), ``phase``, ``live``,
    ``began_at`` and ``sent_at`` (seconds since 1970), ``restoring_at``, ``restored_at`` and
    ``stood_still_s`` (of one that was brought back);
    ``completed`` and ``created``, the answers about UUID by xend's log (None: it does not tell);
    ``devices_s``, how many
    seconds xend here waits for devices; ``declared``, the minion ids of all hosts in the pillar; and
    ``modules``, the version of Xend for Salt here. When xm gives no answer, ``copies`` is None, and there are
    ``problem``, ``remedy`` (what to do about it) and ``xend`` (bool: whether one runs here).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.copies
    """
    domain, uuid = _text_or_none("domain", domain), _text_or_none("uuid", uuid)
    deadline = xm_look.clock_s() + _given(xend_text.given_seconds, "wait", wait)
    this, watched, pause = _host(), {}, xm_look.pauses()
    while True:
        silence = {}
        try:
            found = this.look().copies()
        except CommandExecutionError as exc:
            found, silence = None, this.silence(exc)
        # Last: of a guest that was not there any more the note is.
        sent = [dict(made, over=this.is_over(made, found or [])) for made in this.noted()]
        for made in sent:
            made["safety"] = this.safety(made)
        this.outwait(found or [], watched)
        # The step that removes it wants to know.
        for one in found or []:
            if one["copy"] == "unfinished":
                one["completed"] = this.completed(one["uuid"])
        moving = [
            one
            for one in found or []
            if xm_copies.is_one_of(one["copy"], "departing coming unknown") and domain in (None, one["name"])
        ]
        if not moving or xm_look.clock_s() >= deadline:
            return dict(
                silence,
                copies=found,
                sent=sent,
                completed=this.completed(uuid),
                created=this.is_created(domain, uuid),
                devices_s=this.devices_s(),
                declared=sorted(__salt__["xend.declared_hosts"]()),
                modules=xend_version.version(),
            )
        next(pause)


def unfinished():
    """
    What earlier migrations have left on this host, with advice; not what is being sent or received now. One
    host alone cannot tell what to do about it: the orchestration ``xend.orch.recover`` looks at all of them,
    and repairs what is safe.

    Returns a list of dicts as in ``copies`` of ``xm.copies``, with ``advice``; empty when nothing is left.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.unfinished
    """
    here, found, host = copies(), [], str(__opts__["id"])
    if here["copies"] is None:
        raise _host().no_answer(here["problem"], here["remedy"])
    others = {"every other host": {"problem": "not asked"}}
    for one in here["copies"]:
        if one["copy"] not in ("running", "managed", "absent", "halted", "sending", "receiving"):
            others[host] = {"copies": [one]}
            (finding,) = xm_fleet.gather(others, _Utility)
            found.append(dict(one, advice=finding["comment"]))
    seen = [one["name"] for one in here["copies"] if not xm_copies.is_one_of(one["copy"], "gone")]
    for made in here["sent"]:
        if made["name"] not in seen:
            others[host] = {"copies": [], "sent": [made]}
            (finding,) = xm_fleet.gather(others, _Utility)
            gone = {"listed": made["name"], "domid": None, "state": None, "copy": "absent"}
            advice = "%s. Without a master: %s" % (finding["comment"], xm_kept.how_to_forget(made, host))
            found.append(dict(gone, name=made["name"], uuid=made["uuid"], advice=advice))
    return found


def under_way(name, view):
    """
    What is to be said to those who want to move a guest that is being sent, or received, already.

    name
        the domain
    view
        what a host holds of it, as ``xm.where`` returned it there, with ``host``, its minion id

    Returns text; "" when nobody sends or receives it there.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.under_way web01 '{"copy": "sending", "host": "xen1"}'
    """
    name, host = _text("name", name), _text("view: host", isinstance(view, dict) and view.get("host"))
    return _legible(xm_copies.under_way(name, host, _view_of("view", view)))


def nowhere(name, here, target, there):
    """
    Why a guest cannot be moved that this host does not have, and that does not run on the target.

    name
        the domain
    here, there
        what this host and the target hold of it, as ``xm.where`` returns it
    target
        the minion id of the target

    Returns text.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.nowhere web01 '{"copy": "absent"}' xen2 '{"copy": "absent"}'
    """
    host = str(__opts__["id"])
    here, there = _view_of("here", here), _view_of("there", there)
    target = _text("target", target)
    name = _text("name", name)
    return _legible(xm_verdict.nowhere(name, host, target, here, there, _Utility))


def not_described(name, here, left=None, problem=None):
    """
    Why a guest cannot come to this host that its source has not described.

    name
        the domain
    here
        what this host holds of it, as ``xm.where`` returns it
    left
        what its source held of it, the same with ``host``, its minion id; None when that is not known
    problem
        why its source could not say that, if so

    Returns text.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.not_described web01 '{"copy": "absent", "domid": null}'
    """
    host = str(__opts__["id"])
    here, left = _view_of("here", here), left if left is None else _view_of("left", left)
    name, problem = _text("name", name), _text_or_none("problem", problem)
    return _legible(xm_verdict.not_described(name, host, here, _Utility, left, problem))


def unheard(reports):
    """
    Which hosts do not say what they hold, and what to do about it.

    reports
        for each minion id what ``xm.copies`` or ``xm.report`` returned there, or ``problem``, why it did not,
        and ``remedy``, what to start there

    Returns a dict of text, both "" when all have answered: ``who``, the hosts with their problems, and
    ``do``.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.unheard '{"xen1": {"copies": []}, "xen2": {"problem": "its minion does not answer"}}'
    """
    found = xm_fleet.unheard(_reports_of(reports))
    return dict([(key, _legible(found[key])) for key in found])


def findings(reports, guest=None, before=None):
    """
    What the reports of several hosts mean together: the one decision table, asked.

    reports
        for each minion id what ``xm.copies`` returned there, or ``problem``, why it did not
    guest
        a dict with ``name``, ``uuid``, ``source`` and ``target``, and ``ran``, whether it was seen to run on
        the source just before: say where this guest is, whatever that is; default: find what migrations have
        left of any guest
    before
        what this function has returned when the hosts were asked before; what was not lost then is not called
        lost now

    Returns a list of dicts: ``name``, ``uuid``, ``outcome``, ``comment`` and ``repairs`` (the steps that are
    safe, each with ``host`` and ``do``).

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.findings '{"xen1": {"copies": []}, "xen2": {"problem": "does not answer"}}'
    """
    reports = _reports_of(reports)
    if before is not None and not _are_findings(before):
        raise CommandExecutionError(
            "before: %s is nothing that xm.findings returns" % xend_text.quoted(before)
        )
    if guest is not None:
        keys = ("name", "uuid", "source", "target")
        if not isinstance(guest, dict) or not set(keys) <= set(guest):
            raise CommandExecutionError(
                "guest: %s is no mapping with %s" % (xend_text.quoted(guest), ", ".join(keys))
            )
        # Of a guest that nobody has described no uuid is known.
        known = dict([(key, _text_or_none("guest: " + key, guest[key])) for key in keys])
        guest = dict(known, ran=guest.get("ran") is True)
    if guest is None:
        found = xm_fleet.gather(reports, _Utility)
    else:
        found = [xm_fleet.gather_one(reports, guest, _Utility)]
    return found if before is None else xm_fleet.confirmed(found, before)


def _legible(sentence):
    """
    A sentence with words of another host, as a terminal may show it.
    """
    return xm_files.legible(sentence)


def _view_of(argument, value):
    return _of_form(argument, value, "view", "xm.where")


def _are_findings(found):
    keys = set(["name", "uuid", "nowhere"])
    return isinstance(found, (list, tuple)) and all(
        [isinstance(one, dict) and keys <= set(one) for one in found]
    )


def _reports_of(reports):
    if not isinstance(reports, dict):
        raise CommandExecutionError(
            "reports: %s is no mapping from minion ids to reports" % xend_text.quoted(reports)
        )
    return dict([(_text("reports", host), _report_of(host, reports[host])) for host in reports])


def _report_of(host, report):
    return _of_form("reports: %s" % _text("reports", host), report, "copies", "xm.copies")


def _of_form(argument, value, what, function):
    """
    A value that a FUNCTION has returned on another host, when it is of the form that that gives it (see
    xm_heard).
    """
    _given(xm_heard.told, argument, value, what, function, xm_copies.words())
    return xend_text.native(value)
