"""
See the guests of a xend host through the ``xm`` command, and move them to other hosts.

The configuration of xend is the business of the ``xend`` module; what xm's output means, and what a
host's report means for a guest, is decided in ``_utils``, which knows no Salt.

Options, from the minion configuration or the pillar:

``xend:xm``
    the command, default ``xm``
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
``xend:root``
    where the host's file system is, for a minion in a container; default: where the minion's own is
"""

from __future__ import absolute_import

import logging
import os
import re
import socket
import subprocess
import tempfile
import time
import uuid as _uuid

from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)

__func_alias__ = {"list_": "list"}

DEFAULTS = {
    "xm": "xm",
    "kept": "/var/lib/xend-for-salt",
    "pidfile": "/var/run/xend.pid",
    "log": "/var/log/xen/xend.log",
    "python": "/usr/bin/python",
    "drbdadm": "drbdadm",
    "root": "",
}

# xm has to load a lot of Python on old machines, and xend may be busy.
ANSWER_S = 120

POLL_S = 0.5

NET = "/sys/class/net"

# How long xend waits for a device of a guest (device-create-timeout from 4.0 on, up to 3.4 it is a constant),
# and how long it may need to destroy the guest when none comes.
DEVICES_S = 100
SLACK_S = 20

# How long a look at a guest may take meanwhile.
ANSWERS_S = 5

# How long files, scripts and names of a guest that is to come may be looked for.
LOOK_S = 20

HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}\Z")

# A bus that takes longer for an event has nobody on it.
BUS_S = 1

# How long the source may take to give a guest its name back after xm has reported a failure, and xend to
# answer again after a restart.
SETTLE_S = 60

# What a copy is called while a transfer of it may still be going on.
UNSETTLED = ("sending", "migrating", "receiving", "arriving", "unknown")


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xm"


class _Utility(object):
    """
    A utility, of which calls read like those of a module: `xend_sxp.parse(data)`. Synced ones come first;
    those of an installed extension are not loaded into __utils__ by Salt 3006 and later, and are imported.
    """

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        try:
            found = __utils__[self._name + "." + function]
        except KeyError:
            package = __import__("xend_for_salt." + self._name, globals(), locals(), [function])
            return getattr(package, function)
        # Salt's wrapper switches to the loader of the utilities, where the functions that are handed to them
        # would find no __salt__, and it cannot be used by two threads at once.
        return getattr(found, "__wrapped__", found)


xend_host = _Utility("xend_host")
xend_lifecycle = _Utility("xend_lifecycle")
xend_file = _Utility("xend_file")
xend_lock = _Utility("xend_lock")
xend_options = _Utility("xend_options")
xend_secrets = _Utility("xend_secrets")
xend_text = _Utility("xend_text")
xend_sxp = _Utility("xend_sxp")
xm_block = _Utility("xm_block")
xm_copies = _Utility("xm_copies")
xm_devices = _Utility("xm_devices")
xm_disks = _Utility("xm_disks")
xm_drbd = _Utility("xm_drbd")
xm_files = _Utility("xm_files")
xm_fit = _Utility("xm_fit")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_kept = _Utility("xm_kept")
xm_output = _Utility("xm_output")
xm_progress = _Utility("xm_progress")
xm_verdict = _Utility("xm_verdict")


def _option(name):
    value = __salt__["config.get"]("xend:" + name, None) or DEFAULTS[name]
    if not hasattr(value, "upper"):
        raise CommandExecutionError("the option xend:%s, %r, is no text" % (name, value))
    return value


# The one way to the xm command


def _run(arguments):
    command = [_option("xm")] + [str(argument) for argument in arguments]
    return _run_all(command, env={"LC_ALL": "C"})


def _run_all(command, **options):
    """
    Run a command, of which Salt logs nothing.
    """
    try:
        return __salt__["cmd.run_all"](
            command,
            python_shell=False,
            ignore_retcode=True,
            timeout=ANSWER_S,
            # xm prints the passwords of guests, and at any other level Salt logs what a command prints.
            output_loglevel="quiet",
            **options
        )
    except CommandExecutionError as exc:
        # What else Salt says may have the whole environment of the minion in it.
        raise CommandExecutionError(
            "%s cannot be run: %s" % (command[0], xend_secrets.reason(str(exc)))
        )


def _said(result):
    """
    What xm said went wrong. On failure it prints its usage on stdout and one `Error:` line on stderr.
    """
    lines = re.findall(r"^Error: (.*)$", result["stderr"], re.MULTILINE) or [
        line
        for line in result["stderr"].splitlines() or result["stdout"].splitlines()
        if line.strip() and not line.startswith("WARNING: ")
    ]
    if lines:
        return xend_secrets.masked(lines[-1])
    return "exit code %s and no message" % result["retcode"]


def _ask(arguments):
    """
    The output of xm; None when the domain that was asked for does not exist.
    """
    result = _run(arguments)
    if result["retcode"] == 0:
        return result["stdout"]
    said = _said(result)
    if re.match(r"Domain '.*' does not exist", said):
        return None
    raise _NoAnswer("xm %s: %s" % (arguments[0], said), _to_start())


class _NotMoved(CommandExecutionError):
    """
    A guest was not sent, or not to its end. `facts` is the message without what to do about it.
    """

    def __init__(self, message, facts):
        CommandExecutionError.__init__(self, message)
        self.facts = facts


class _NoAnswer(CommandExecutionError):
    """
    xm could not say what it was asked. `problem` is what it said instead, `remedy` what is to be done about
    it.
    """

    def __init__(self, problem, remedy):
        between = " " if problem.endswith((".", "?")) else ". "
        CommandExecutionError.__init__(self, problem + between + remedy)
        self.problem = problem
        self.remedy = remedy


def _runs_xend():
    return xend_host.process(_option("pidfile")) is not None


def _to_start():
    """
    What is to be done on this host, where xm gets no answer.
    """
    # Not by xend.status, which reads xend's file, and may have asked for that very question.
    return xm_fleet.to_start(str(__opts__["id"]), None if _runs_xend() else __salt__["xend.service"]())


def _silence(exc):
    """
    What a report says instead of what it could not see, because of this error.
    """
    return {
        "problem": getattr(exc, "problem", str(exc)),
        "remedy": getattr(exc, "remedy", ""),
        "xend": _runs_xend(),
    }


# Seeing


def info():
    """
    What ``xm info`` says of this host: a dict of its lines; whole numbers are ints (memory in MiB).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.info
    """
    return xm_output.info(_ask(["info"]))


def _rows():
    try:
        return xm_output.domains(_ask(["list"]) or "", _name_of)
    except ValueError as exc:
        raise CommandExecutionError("xm list: %s" % exc.args[0])


def _name_of(domid):
    """
    What the description of a domain calls it, where the table is not plain; None when that cannot be told.
    """
    text = _ask(["list", "--long", str(domid)]) if domid is not None else None
    found = _described("xm list --long", text) if text else []
    return found[0]["name"] if [one["domid"] for one in found] == [domid] else None


def _row(name):
    """
    The row of a domain under just this name; None when it is not listed.
    """
    found = [row for row in _candidates(name) if row["name"] == name]
    return found[0] if found else None


def _candidates(name, domid=None):
    """
    The rows of domains that have this name, or had it before they were sent, and this id if one is given.
    xend lets a guest come to a host that holds a dead copy of it, and lists both then: the one that runs
    comes first.
    """
    runs = xm_output.runs
    found = [
        row
        for row in _rows()
        if _plain(row["name"]) == _plain(name) and domid in (None, row["domid"])
    ]
    return sorted(found, key=lambda row: (not runs(row["state"]), row["name"] == _plain(name)))


def _nameless(uuid):
    """
    The rows of domains whose name xend does not know, as far as they may be the guest with this uuid.
    """
    return [
        row
        for row in _rows()
        if xm_output.is_nameless(row)
        and (uuid is None or (_describe(row) or {}).get("uuid") in (uuid, None))
    ]


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
    return dict(
        (row["name"], dict((key, row[key]) for key in row if key != "name")) for row in _rows()
    )


def moving():
    """
    The migrations that can be seen on this host, as a list of sentences; empty when there are none.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.moving
    """
    rows, seen = _rows(), _transfers()
    return xm_copies.moving([dict(row, listed=row["name"], copy=_copy(row, seen)) for row in rows])


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
    row = _row(_text("name", name))
    return row and _describe(row)


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
    forms = _forms("xm list --long", _ask(["list", "--long"]) or "")
    try:
        found = xend_lifecycle.listed(forms)
    except ValueError as exc:
        raise CommandExecutionError("xm list --long: %s" % exc.args[0])
    # xm does not show auto_power_on, so that nothing can be said of it here.
    return [dict((key, one[key]) for key in one if key != "auto_power_on") for one in found]


def _describe(row):
    """
    What `xm.domain` returns for the domain of this row; None when it has just left.
    """
    return _addressed(row)[1]


def _addressed(row):
    """
    How to name the domain of this row to xm, and what `xm.domain` returns for it; None for both when it has
    just left.
    """
    return _printed(row)[:2]


def _printed(row):
    """
    The same, and the description as xm has printed it: with passwords, it may not leave this host.

    A name that begins with a hyphen would be read as an option, and two copies of a guest have one name. The
    id of a domain stays the same as long as it lives here, but a guest may be called as the id of another
    one, and xend looks for a name first (xend 4.2 XendDomain.domain_lookup_nr).
    """
    name, domid = row["name"], row["domid"]
    ways = [str(domid)] if domid is not None else []
    ways += [name] if domid is None or not name.startswith("-") else []
    for reference in ways:
        text = _ask(["list", "--long", reference])
        if text is None:
            return None, None, None
        (found,) = _described("xm list --long %s" % name, text, 1)
        if found["domid"] == domid:
            # The table and the description are two looks; the table is what people compare with.
            found.update(state=row["state"], runs=xm_output.runs(row["state"]))
            found["sxp"] = xend_secrets.text(text)
            return reference, found, text
    raise CommandExecutionError(
        "xm cannot be told which domain is meant by %s, id %s: another domain is called %s; give that one "
        "another name with `xm rename`" % (name, domid, domid)
    )


def _described(command, text, count=None):
    """
    The descriptions that xm has printed, of COUNT domains when that is known.
    """
    forms = _forms(command, text)
    if count is not None and len(forms) != count:
        raise CommandExecutionError("%s printed %d domains, not %d" % (command, len(forms), count))
    return [xm_output.describe(_without_passwords(form)) for form in forms]


def _without_passwords(form):
    masked = xend_secrets.masked
    # But for its name, which may be anything, and by which it is found.
    return [part if part[:1] == [b"name"] else masked(part) for part in form]


def _forms(command, text):
    try:
        # Before 2018.3, Salt under Python 2 returns bytes.
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        return [form for form in xend_sxp.parse(data).forms() if isinstance(form, list)]
    except ValueError as exc:
        if hasattr(exc, "without"):
            exc = exc.without(xend_secrets.piece)
        raise CommandExecutionError("%s: %s" % (command, exc.args[0]))


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
    return _host(time.time())


def _host(now):
    # Asking xm takes seconds on old machines, and clocks are compared as of the moment of the question.
    uptime = _content("/proc/uptime")
    said = info()
    found = xm_fit.facts(
        said,
        _content("/proc/cpuinfo"),
        uptime,
        now,
        _bridges(),
        _own_text("vif-script"),
        xm_output.tools_version(said),
    )
    found.update(
        interfaces=_interfaces(), bridge_ports=_bridge_ports(), vnc_listen=_own_text("vnc-listen")
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


def _content(path):
    try:
        with open(_option("root") + path) as stream:
            return stream.read()
    except EnvironmentError:
        return None


def _interfaces():
    try:
        return sorted(os.listdir(_option("root") + NET))
    except EnvironmentError:
        return None


def _bridges():
    names = _interfaces()
    folder = _option("root") + NET
    return names and [name for name in names if os.path.isdir(os.path.join(folder, name, "bridge"))]


def _bridge_ports():
    """
    Which interface is on which bridge, as a dict.
    """
    found = {}
    for name in _interfaces() or []:
        try:
            bridge = os.readlink(os.path.join(_option("root") + NET, name, "brport", "bridge"))
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
    in xend), ``guarded`` (bool: whether a firewall is asked for), ``marked`` (as ``xm.mark_disks``, or
    ``problem``; None without disks to mark), ``wrong`` (what is wrong with OPTIONS, or None), ``problem``
    (why the host could not say all of it, or None) and ``seconds`` (how long it needed to say it). The
    ``time`` of the host is that of the question.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.report web01
    """
    now, began = time.time(), _clock()
    name = _text("name", name)
    found = {"domain": None, "host": None, "file": None, "announces": False, "problem": None}
    found.update(stays_managed=None, follows=False, view={"copy": "unknown"}, declared=None)
    found.update(configured=False, guarded=False, marked=None, wrong=None)
    try:
        check_options(**(options or {}))
    except CommandExecutionError as exc:
        found["wrong"] = str(exc)
    try:
        found["declared"] = sorted(__salt__["xend.declared_hosts"]())
        rows = _candidates(name)
        own = [row for row in rows if row["name"] == name]
        guest = _describe(own[0]) if own else None
        found["domain"] = guest if guest and guest["domid"] is not None else None
        found["stays_managed"] = guest["uuid"] if guest and _stays_managed(guest["uuid"]) else None
        found["view"] = _known_view(name, rows, found["domain"]) or where(name)
        found["host"] = _host(now)
        found["announces"] = bool(__salt__["xen_guest.announce"](name, test=True))
        found["follows"] = __salt__["xen_guest.follows"]()
        if found["domain"] and found["follows"]:
            found["file"] = __salt__["xen_guest.sealed"](name, guest["uuid"])
        wanted = __salt__["xend.settings"]()
        found["configured"] = _is_configured(wanted)
        found["guarded"] = bool(wanted["ports"] and wanted["firewall"]["asked"])
        if found["domain"] and found["domain"]["disks"] and source == __opts__["id"]:
            found["marked"] = _marked(name)
    except CommandExecutionError as exc:
        silence = _silence(exc)
        found["problem"] = str(exc)
        if found["view"]["copy"] == "unknown":
            found["view"].update(silence)
    return dict(found, seconds=round(_clock() - began, 2))


def _is_configured(wanted):
    """
    Whether the states of xend.relocation have nothing to do; a firewall is not looked at.
    """
    settings = wanted["relocation"]
    try:
        return not (
            wanted["wrong"]
            or __salt__["xend.configure"](test=True, **settings)["changed"]
            or __salt__["xend.listens"](**settings)["problems"]
            or (wanted["restart"] and __salt__["xend.status"]()["pending"])
        )
    except CommandExecutionError:
        # The states say what is wrong.
        return False


def _marked(name):
    try:
        return mark_disks(name)
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


def _known_view(name, rows, guest):
    """
    What `xm.where` would say, where that needs no further look: one that is not here, or plainly runs.
    """
    if not rows:
        return {"copy": "absent", "listed": None, "state": None, "domid": None, "problem": None}
    if guest and guest["runs"] and guest["name"] == name:
        words = dict([(key, guest[key]) for key in ("state", "domid", "uuid")])
        return dict(words, copy="running", listed=name, problem=None)
    return None


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
    None), ``devices_s`` (how many seconds xend here waits for the devices of a guest that comes), ``problem``
    (why it cannot be seen, or None), ``remedy`` (what to do about that, or "") and ``xend`` (bool: False when
    there is a problem and no xend runs here).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.where web01
    """
    return _where(_text("name", name), _text_or_none("uuid", uuid), _seconds("wait", wait))


def _where(name, uuid, wait=0, domid=None):
    began, watched = _clock(), {}
    while True:
        view = _view(name, uuid, domid)
        view["seconds"] = round(_clock() - began, 1)
        _outwait([view], watched)
        settled = view.pop("settled") or view["copy"] == "unfinished"
        if settled or view["seconds"] >= wait:
            return view
        time.sleep(POLL_S)


def _outwait(found, watched):
    """
    Call a copy that has been "arriving" for longer than xend waits for its devices what it is: unfinished.

    WATCHED keeps since when each domain was seen to arrive.
    """
    arriving = [one for one in found if one["copy"] == "arriving"]
    for domid in set(watched) - set([one["domid"] for one in arriving]):
        del watched[domid]
    for one in arriving:
        since = watched.setdefault(one["domid"], _clock())
        if _clock() - since > _devices_s():
            one["copy"] = "unfinished"


def _devices_s():
    """
    Seconds after which a guest whose memory has arrived is completed, or given up by xend.
    """
    value = str(__salt__["xend.get"]("device-create-timeout", DEVICES_S)).strip()
    return (int(value) if value.isdigit() else DEVICES_S) + SLACK_S


def _waits_for_devices_s():
    """
    The same without slack, for people, whatever is wrong with the configuration file.
    """
    try:
        return _devices_s() - SLACK_S
    except CommandExecutionError:
        return DEVICES_S


def _view(name, uuid, domid):
    view = {
        "copy": "unknown",
        "state": None,
        "domid": None,
        "listed": None,
        "uuid": None,
        "problem": None,
        "remedy": "",
        "xend": True,
        "other": None,
        "devices_s": _waits_for_devices_s(),
        "settled": False,
    }
    try:
        before = _transfers()
        rows = _candidates(name, domid)
        if not rows and domid is None:
            rows = _nameless(uuid)
        described = [(row, _describe(row)) for row in rows]
        if None in [found for _, found in described]:
            # It left between the two looks.
            return view
        # A new guest may have taken the name of one that is left over.
        known = [pair for pair in described if not uuid or pair[1]["uuid"] in (uuid, None)]
        row, found = (known or described or [(None, None)])[0]
        seen = _either(before, _transfers())
    except CommandExecutionError as exc:
        return dict(view, **_silence(exc))
    if row:
        view.update(
            state=row["state"], domid=row["domid"], listed=row["name"], uuid=found["uuid"]
        )
    if row and xm_output.is_nameless(row):
        view["problem"] = "xm list shows domain %s without a name, which may be it" % row["domid"]
        return view
    is_other = bool(row and uuid and found["uuid"] and found["uuid"] != uuid)
    view["copy"] = _copy(row, seen, is_other)
    if view["copy"] in TRANSFERRED:
        view["other"] = _other_end(view["copy"], seen, name, view["uuid"])
    # What is only about to be listed shows as a connected peer.
    view["settled"] = view["copy"] not in UNSETTLED and not (row is None and seen["receives"])
    return view


# What is called so may be on its way -> which connections show the other end.
TRANSFERRED = {
    "sending": "targets",
    "migrating": "targets",
    "receiving": "sources",
    "arriving": "sources",
}


def _other_end(copy, seen, name, uuid):
    """
    The host at the other end of a transfer: its minion id, or its address; None when that cannot be told.
    """
    addresses = set([peer.rpartition(":")[0] for peer in seen[TRANSFERRED[copy]]])
    try:
        known = dict([(found["address"], host) for host, found in __salt__["xend.declared_hosts"]().items()])
        if len(addresses) == 1:
            (address,) = addresses
            return known.get(address, address)
        noted = [made["target"] for made in _noted() if (made["name"], made["uuid"]) == (name, uuid)]
    except CommandExecutionError:
        return None
    # Several guests are under way at once, or the connection has ended already.
    return noted[-1] if noted and TRANSFERRED[copy] == "targets" else None


def _copy(row, seen, is_other=False):
    return xm_copies.copy(row, _transferring(row, seen), is_other)


def _transferring(row, seen):
    """
    Whether a transfer of the domain in this row can still be going on: True, False, or None when that
    cannot be seen.
    """
    if row is None or row["domid"] is None:
        return False
    arrives = "p" in row["state"] and row["time_s"] == 0
    helpers, flag = ("xc_restore", "receives") if arrives else ("xc_save", "sends")
    return True if row["domid"] in seen[helpers] else seen[flag]


def _transfers():
    """
    What shows of transfers on this host: the ids of the domains that xc_save and xc_restore work for, the
    peers that send to xend and those that it sends to (sources, targets: lists of "address:port"), and
    whether xend itself sends or receives (bool, or None when that cannot be seen). xend keeps a
    connection open until the guest runs on the target (xend 4.4 relocate.op_receive). Over TLS it does not:
    there it closes the connection when all has arrived, before it completes the guest (xend 3.4
    SSLSocketServerConnection.recv2fd), so that no connection proves nothing on a host that listens for TLS.
    """
    seen = {
        "xc_save": [],
        "xc_restore": [],
        "sources": [],
        "targets": [],
        "sends": None,
        "receives": None,
    }
    for helper in xend_host.transfers(_option("root")):
        seen[helper["what"]].append(helper["domid"])
    peers = __salt__["xend.transfers"]()
    if peers is not None:
        sources, targets = peers["sources"], peers["targets"]
        seen.update(receives=bool(sources), sends=bool(targets), sources=sources, targets=targets)
        if not sources and _listens_for_tls(peers["ports"]):
            seen["receives"] = None
    return seen


def _listens_for_tls(ports):
    try:
        settings = __salt__["xend.relocation"]()
    except CommandExecutionError:
        # A file that xend cannot read says nothing about the running one.
        return True
    # The running xend may have another file than the one that is there now.
    return settings["ssl_server"] or settings["ssl_port"] in ports


def _either(one, other):
    """
    What was seen at either of two moments: between them a transfer may have begun or ended.
    """
    lists = ("xc_save", "xc_restore", "sources", "targets")
    both = dict([(key, one[key] + other[key]) for key in lists])
    for key in ("sends", "receives"):
        known = [seen[key] for seen in (one, other)]
        both[key] = True if True in known else (None if None in known else False)
    return both


def copies(domain=None, wait=0, uuid=None):
    """
    Every guest that this host holds, whatever has become of it.

    domain, wait
        seconds to wait while a transfer of this domain (default: of any) can still be going on here
    uuid
        a guest of which it is asked whether xend has completed it here when it was received last

    Returns a dict: ``copies``, a list of dicts: ``name`` (without migrating-), ``listed``, ``uuid``,
    ``domid``, ``state`` and ``copy`` (see HOLDS in ``_utils/xm_copies.py``), and for one that is unfinished
    ``completed``, as below; ``sent``, the notes on guests
    that were sent from here and of which nobody has told yet that they have arrived, a list of dicts:
    ``id``, ``name``, ``uuid``, ``target``, ``at`` (time), ``what`` (memory, disks), ``kept`` (the file
    with its description) and ``over`` (bool: it runs here, and cannot be about to be sent any more);
    ``completed``, the answer about UUID by xend's log (None: it does not tell); ``devices_s``, how many
    seconds xend here waits for devices; and ``declared``, the minion ids of all hosts in the pillar. When xm
    gives no answer, ``copies`` is None, and there are ``problem``, ``remedy`` (what to do about it) and
    ``xend`` (bool: whether one runs here).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.copies
    """
    domain, uuid = _text_or_none("domain", domain), _text_or_none("uuid", uuid)
    deadline, watched = _clock() + _seconds("wait", wait), {}
    while True:
        silence = {}
        try:
            found = _copies()
        except CommandExecutionError as exc:
            found, silence = None, _silence(exc)
        # Last: of a guest that was not there any more the note is.
        sent = [dict(made, over=_is_over(made, found or [])) for made in _noted()]
        _outwait(found or [], watched)
        _tell_completed(found or [])
        moving = [
            one for one in found or [] if one["copy"] in UNSETTLED and domain in (None, one["name"])
        ]
        if not moving or _clock() >= deadline:
            return dict(
                silence,
                copies=found,
                sent=sent,
                completed=_completed(uuid),
                devices_s=_waits_for_devices_s(),
                declared=sorted(__salt__["xend.declared_hosts"]()),
            )
        time.sleep(POLL_S)


def _is_over(made, found):
    """
    Whether what a note tells of has ended with the guest running here, so that nobody needs the note.

    found
        the copies here, as they were seen before the note was read
    """
    here = [
        one
        for one in found
        if (one["copy"], one["name"], one["uuid"]) == ("running", made["name"], made["uuid"])
    ]
    process = xend_host.process(_option("pidfile"))
    if len(here) != 1 or not process:
        return False
    ends = [xend_host.connecting(process["pid"]), _transfers()["sends"]]
    now = {
        "domid": here[0]["domid"],
        "xend": xend_host.identity(process["pid"]),
        "up_s": xend_host.uptime_s(),
        "asked": bool(xend_host.migrating_commands(_option("xm"), _option("root"))),
        "sends": None if None in ends else any(ends),
    }
    return xm_kept.is_over(made, now) and not _is_held(made["name"])


def _is_held(name):
    """
    Whether a job moves or mends this guest, which may be about to ask xend to send it.
    """
    locks = []
    try:
        return _lock(locks, name, "") is not None
    except CommandExecutionError:
        return True
    finally:
        _unlock(locks)


def _tell_completed(found):
    """
    Say of each copy that has never run what xend's log tells of it: the step that removes it wants to know.
    """
    for one in found:
        if one["copy"] == "unfinished":
            one["completed"] = _completed(one["uuid"])


def _completed(uuid):
    text = xm_progress.last_part(_option("log")) if uuid else ""
    return xm_progress.completed(text, uuid)


def _copies():
    before = _transfers()
    rows = [row for row in _rows() if row["domid"] != 0]
    # All at once: a guest that is just leaving must not break the answer for the others.
    text = _ask(["list", "--long"])
    described = dict(
        [((one["name"], one["domid"]), one) for one in _described("xm list --long", text)]
    )
    seen = _either(before, _transfers())
    found = []
    for row in rows:
        # What is listed but not described is just leaving, or just being renamed: look again.
        known = described.get((row["name"], row["domid"]))
        nameless = xm_output.is_nameless(row)
        if nameless:
            known = known or described.get((None, row["domid"]))
            if not known or not known["uuid"]:
                # It may be any guest, which is then not gone.
                raise CommandExecutionError(
                    "xm list shows domain %s without a name, and xend tells no uuid of it: nobody can say "
                    "which guests are not here" % row["domid"]
                )
        found.append(
            {
                "name": _plain(row["name"]),
                "listed": row["name"],
                "uuid": known and known["uuid"],
                "domid": row["domid"],
                "state": row["state"],
                "copy": _copy(row, seen) if known and not nameless else "unknown",
            }
        )
    return found


def _plain(listed):
    return xm_copies.plain(listed)


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
        raise _NoAnswer(here["problem"], here["remedy"])
    others = {"every other host": {"problem": "not asked"}}
    for one in here["copies"]:
        if one["copy"] not in ("running", "managed", "halted", "sending", "receiving"):
            others[host] = {"copies": [one]}
            (finding,) = xm_fleet.gather(others, _Utility)
            found.append(dict(one, advice=finding["comment"]))
    seen = [one["name"] for one in here["copies"] if one["copy"] != "managed"]
    for made in here["sent"]:
        if made["name"] not in seen:
            others[host] = {"copies": [], "sent": [made]}
            (finding,) = xm_fleet.gather(others, _Utility)
            gone = {"listed": made["name"], "domid": None, "state": None, "copy": "absent"}
            found.append(dict(gone, name=made["name"], uuid=made["uuid"], advice=finding["comment"]))
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
        raise CommandExecutionError("before: %.60r is nothing that xm.findings returns" % (before,))
    if guest is not None:
        keys = ("name", "uuid", "source", "target")
        if not isinstance(guest, dict) or not set(keys) <= set(guest):
            raise CommandExecutionError("guest: %.60r is no mapping with %s" % (guest, ", ".join(keys)))
        # Of a guest that nobody has described no uuid is known.
        known = dict([(key, _text_or_none("guest: " + key, guest[key])) for key in keys])
        guest = dict(known, ran=guest.get("ran") is True)
    if guest is None:
        found = xm_fleet.gather(reports, _Utility)
    else:
        found = [xm_fleet.gather_one(reports, guest, _Utility)]
    return found if before is None else xm_fleet.confirmed(found, before)


# Checking


def _check(blockers, warnings):
    return {"ok": not blockers, "blockers": blockers, "warnings": warnings}


def can_send(name, target, port=None, ssl=False, ask=True, live=True, node=None, accept=None):
    """
    Whether a guest can leave this host for another one. Nothing is changed.

    name
        the domain
    target
        the minion id of the other host, as in the pillar ``xend:relocation:hosts``, or its address
    port, ssl
        where and how the target listens; default: what the pillar says of it, else this host's own port;
        without TLS unless this host's own xend-relocation-ssl is on, which xm cannot overrule. TLS hides the
        guest's memory on the way; xend verifies no certificate
    ask
        ask the target's relocation port whether it lets this host in
    live, node
        as for ``xm.migrate``: a live migration needs some memory on this host, and old xm have no node
    accept
        as for ``xm.can_receive``

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.can_send web01 target=xen2
    """
    name = _text("name", name)
    peer = _peer(target, port, _flag("ssl", ssl))
    blockers, warnings = _blockers_of(name, live, _accepted(accept))
    blockers += _options_that_xm_lacks(peer["ssl"], node)
    if peer["own"]:
        blockers.append("the target %s (%s) is this host itself" % (target, peer["address"]))
    elif ask:
        answer = __salt__["xend.probe"](peer["address"], port=peer["port"], ssl=peer["ssl"])
        if answer["result"] != "accepted":
            blockers.append(answer["message"] + peer["hint"])
    else:
        warnings.append("the relocation port of %s was not asked" % target)
    return _check(blockers, warnings)


def _blockers_of(name, live, accept):
    """
    What keeps a guest from being sent, as far as this host alone can tell: blockers and warnings.
    """
    if name == "Domain-0":
        return ["Domain-0 is the host itself and cannot be moved"], []
    if name != _plain(name):
        return [
            "%s is the name that xend gives a domain while it is sent; migrating it under that name "
            "wedges it: wait until it has left, or mend it if its migration broke (xend.orch.recover)"
            % name
        ], []
    row = _row(name)
    _, found, text = _printed(row) if row else (None, None, None)
    if found is None or not found["runs"]:
        why = _why_it_cannot_leave(name)
        if found is None or why["under_way"]:
            return [why["sentence"]], []
    blockers = []
    if xm_output.is_unknown(found["state"]):
        blockers.append(
            "whether %s runs cannot be seen: xend shows its state as %s; look with `xm list` until it shows "
            "letters, and if it does not, see whether %s answers" % (name, found["state"], name)
        )
    elif not found["runs"]:
        blockers.append(why["sentence"])
    if not found["uuid"]:
        blockers.append("xend shows no uuid of %s, by which it could be known again" % name)
    if found["nomigrate"]:
        blockers.append("%s is marked nomigrate in its configuration" % name)
    if found["pci"]:
        blockers.append(
            "%s has %d PCI device(s) of this host passed through; detach them first"
            % (name, len(found["pci"]))
        )
    blockers += [
        "xend would hand on %s of %s as other bytes than it has: call it otherwise, in ASCII (a path may be "
        "a link)" % (xm_files.legible(string), name)
        for string in xm_output.misread(found["sxp"])
    ]
    if len(xm_output.misread(text)) > len(xm_output.misread(found["sxp"])):
        blockers.append(
            "xend would hand on a password of %s as other bytes than it has: give it another one, in ASCII"
            % name
        )
    blockers += xm_devices.foreign_backends(found)
    cannot, accepted = xm_devices.hardware(found, "devices" in accept)
    blockers += cannot
    if live and found["runs"]:
        # Else xend would fail before it connects, after half a minute of looking for memory.
        overhead_mib = xm_fit.live_overhead_mib(found)
        blockers += _too_little_memory(
            overhead_mib, info().get("free_memory"), None, "for a live migration (live: False needs none)"
        )
    warnings = accepted + __salt__["xen_guest.warnings"](name, found["uuid"])
    if _stays_managed(found["uuid"]):
        (warnings if "managed" in accept else blockers).append(_would_stay(name, found))
    return blockers, warnings


def _stays_managed(uuid):
    """
    Whether xend would go on managing a guest here that was sent elsewhere: xm migrate has
    --change_home_server from Xen 4.0 on, and before 3.0.4 xend manages none.
    """
    tools = _tools_version() if _is_managed(uuid) else None
    return tools is not None and (tools < (3, 0) or (3, 0, 4) <= tools < (4, 0))


def _would_stay(name, guest):
    host = __opts__["id"]
    # As xm prints it; auto_power_on does the same and is not printed (xend 3.4 XendDomain.autostart_domains).
    by_itself = re.search(r"\(on_xend_start '?start'?\)", guest["sxp"])
    return (
        "%s is managed by xend (`xm new`), and before Xen 4.0 it stays so on %s when it is sent: %s starts "
        "it a second time there, on the same disks; accept: [managed] sends it, and xend.orch.migrate "
        "removes its entry on %s once it was seen to run on its target (by hand: `xm delete %s` there, then)"
        % (
            name,
            host,
            "the next start of xend (on_xend_start)" if by_itself else "`xm start`, or a start of xend,",
            host,
            name,
        )
    )


def _why_it_cannot_leave(name):
    """
    What is to be said of a guest that does not run here under its name, and whether it is under way.
    """
    view, here = where(name), str(__opts__["id"])
    under_way = xm_copies.under_way(name, here, view)
    words = (name, here)
    if under_way:
        sentence = under_way
    elif view["copy"] == "absent":
        sentence = "there is no domain %s on %s; `salt '*' xm.where %s` shows which host has it" % (
            words + (name,)
        )
    elif view["copy"] == "unknown":
        sentence = "what is on %s cannot be seen (%s)" % (here, view["problem"] or "it has just changed")
    elif view["copy"] == "unfinished":
        sentence = (
            "%s does not run, and has not run on %s so far (state %s). If it was created paused, or paused "
            "just after that, `xm unpause %s` on %s starts it; if a migration has brought it, it cannot "
            "work: xend.orch.recover tells" % (words + (view["state"], name, here))
        )
    elif view["copy"] in ("left", "suspended"):
        sentence = (
            "%s is left over on %s, as %s (state %s), from a migration that broke: xend.orch.recover mends "
            "what is safe" % (words + (view["listed"], view["state"]))
        )
    else:
        sentence = "%s does not run (state %s), and only a guest that runs can be moved: %s" % (
            name,
            view["state"] or "not started",
            xm_copies.why_at_rest(name, here, view),
        )
    return {"sentence": sentence, "under_way": bool(under_way)}


def _peer(target, port=None, ssl=False):
    """
    Where the xend of another host listens, and whether that is this host itself.
    """
    target = _text("target", target)
    declared = __salt__["xend.declared_hosts"]()
    ssl = ssl or _always_tls()
    where = __salt__["xend.peer"](target, port, ssl)
    address = where["address"]
    if target in declared and not declared[target]["address"]:
        raise CommandExecutionError(
            "%s has no address in the pillar xend:relocation:hosts" % target
        )
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z", address):
        raise CommandExecutionError(
            "target %.80r is neither a minion id in the pillar xend:relocation:hosts nor an address or a "
            "host name" % target
        )
    own = declared.get(__opts__["id"], {}).get("address")
    resolved = _resolved(address)
    # xend would "migrate" a guest to its own host under another id.
    own_names = (__opts__["id"], __grains__.get("host"), __grains__.get("fqdn"), "localhost")
    return {
        "id": where["id"] or target,
        "address": address,
        "ssl": ssl,
        "port": _port(where["port"]),
        "own": target in own_names or address in (own, "127.0.0.1") or resolved != address,
        "hint": ""
        if where["id"] or re.match(r"[0-9.]+\Z", target)
        else "; %s is no minion id in the pillar xend:relocation:hosts, so it was taken for a host name"
        % target,
    }


def _resolved(name):
    """
    What xend would connect to for a name, if that is this host itself; else the name. Many hosts have a
    line for themselves in /etc/hosts that says 127.0.1.1, and some one for others.
    """
    if re.match(r"[0-9.]+\Z", name):
        return name
    try:
        address = socket.gethostbyname(name)
    except (socket.error, UnicodeError):
        # The probe says it better.
        return name
    return address if xend_host.is_local(address) else name


def _always_tls():
    """
    Whether xend sends guests over TLS unasked: xm has an option for it, but none against it (xend 4.2
    XendDomain.domain_migrate).
    """
    try:
        return __salt__["xend.relocation"]()["ssl"]
    except CommandExecutionError:
        # A file that xend cannot read says nothing about the running one.
        return False


def can_receive(
    domain, config=None, source=None, storage=None, file=None, accept=None, asked=None
):
    """
    Whether this host can take a guest. Nothing is changed.

    domain
        the description of the guest, as ``xm.domain`` on its host returns it
    config
        the configuration file of xend
    source
        what ``xm.host`` returned on the guest's host; without it processors and versions are not compared
    storage
        what ``xm.same_disks`` returned here, or what ``xm.mark_disks`` returned there, with ``host``, that
        minion's id, to be compared now; without it the disks are only looked for
    file
        the guest's configuration file, as ``xen_guest.find`` returned it on its host, when it is to follow
    accept
        a list of what is accepted all the same: differences of the hosts, ``cpu``, ``version``, ``storage``
        and ``devices``, and what the guest leaves on its old host, ``managed``
    asked
        for comparing clocks, when both hosts were asked together: a dict of ``time``, what ``xm.host`` has
        returned as such here, and ``apart_s``, the seconds by which one may have been asked after the other.
        Without it a clock that is ahead is only told of when it is far ahead, as time passes in between

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.can_receive '{"name": "web01", "memory_mib": 96}'
    """
    domain = _described_guest(domain)
    accept = _accepted(accept)
    source = None if source is None else _told_host(source)
    if isinstance(storage, dict):
        storage = _compared(storage)
    if storage is not None:
        storage = _verdicts(storage)
    if file is not None and not isinstance(file, dict):
        raise CommandExecutionError(
            "file: %.60r is no mapping; give what xen_guest.find returns on the guest's host" % (file,)
        )
    # Where it is looked at what the guest needs here, storage or a name server may keep silent.
    patiently = _patience()
    here, rows = host(), _rows()
    # One question for all: each costs seconds on old machines, and there are many domains.
    described = _described("xm list --long", _ask(["list", "--long"]) or "")
    there = [one for one in described if one["domid"] is not None]
    blockers = _same_identity(domain, rows, there)
    tables_mib = xm_fit.iommu_mib(domain, here)
    what = "here, %d of them for the tables of its IOMMU (VT-d)" % tables_mib if tables_mib else "here"
    needed_mib = xm_fit.needed_mib(domain, here)
    blockers += _too_little_memory(needed_mib, here["free_mib"], config, what)
    here, apart_s = _when_asked(here, asked)
    fit = xm_fit.fits(domain, source, here, accept=accept, apart_s=apart_s)
    devices = xm_devices.fits(
        domain,
        here,
        source,
        lambda path: patiently(xend_host.script_problem, path, _option("root")),
        lambda path: patiently(os.path.exists, _option("root") + path),
        lambda name: _is_own_address(name, patiently),
        _taken_ports(),
    )
    # Its host says so too; here whoever looks for a place for the guest hears it.
    bound, accepted = xm_devices.hardware(domain, "devices" in accept)
    cannot, might_not = xm_fit.reboot_warnings(
        domain,
        lambda path: patiently(os.path.exists, _option("root") + path),
        domain.get("image_files"),
        __opts__["id"],
    )
    blockers += bound + devices["blockers"] + fit["blockers"] + cannot
    warnings = accepted + devices["warnings"] + fit["warnings"] + might_not
    # What was compared was compared before this had its turn.
    seen = _disks_here(domain, storage is None)
    if storage is not None:
        told = [_subject(sentence) for verdict, sentence in storage if verdict == "missing"]
        gone = [found for found in seen if found[0] == "missing" and _subject(found[1]) not in told]
        seen = list(storage) + gone
    seen += _hotplug_refusals(domain, there, here["tools"])
    for verdict, sentence in seen:
        if verdict in ("missing", "different") or verdict == "unproved" and "storage" not in accept:
            blockers.append(sentence)
        elif verdict in ("unproved", "unchecked") or "judged" in sentence:
            warnings.append(sentence)
    if file:
        blockers += __salt__["xen_guest.check_put"](file)
    # One that it has left here when it was here before.
    warnings += __salt__["xen_guest.images"](domain["name"], domain.get("uuid"))
    # What stands there is partly in the words of the source.
    return _check([_legible(one) for one in blockers], [_legible(one) for one in warnings])


def _when_asked(here, asked):
    """
    The facts of this host with the clocks as they were when both hosts were asked (see ``can_receive``), and
    by how many seconds that may have been apart; None for these when nobody says so.
    """
    if asked is None:
        return here, None
    if not isinstance(asked, dict) or set(asked) != set(["time", "apart_s"]):
        raise CommandExecutionError(
            "asked: %s is no dict of time and apart_s" % xend_secrets.quoted(asked)
        )
    then, apart_s = [_seconds("asked: " + key, asked[key]) for key in ("time", "apart_s")]
    up = here["uptime_s"]
    return dict(here, time=then, uptime_s=up and max(0, up - (here["time"] - then))), apart_s


def _subject(sentence):
    """
    The disk that a sentence is about.
    """
    return sentence.partition(": ")[0]


def _told_host(source):
    try:
        return xm_fit.told(source)
    except ValueError as exc:
        raise CommandExecutionError(
            "source: %s; give what xm.host returned on the guest's host" % exc.args[0]
        )


# What xm_disks.compare and xm_drbd.judge say of a disk.
VERDICTS = ("same", "missing", "different", "unproved", "unchecked", "none")


def _verdicts(storage):
    pairs = storage if isinstance(storage, (list, tuple)) else [None]
    for pair in pairs:
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not is_pair or pair[0] not in VERDICTS or not hasattr(pair[1], "upper"):
            raise CommandExecutionError(
                "storage: %.60r is no list of [verdict, sentence]; give what xm.same_disks returned here"
                % (storage,)
            )
    return [tuple(pair) for pair in pairs]


def _patience():
    """
    A function that calls another one and returns what that does, or None when it does not answer. All that it
    calls have LOOK_S seconds together: where one path is on storage that keeps silent, others may be.
    """
    end = _clock() + LOOK_S

    def ask(function, *arguments):
        work = [lambda: function(*arguments)]
        return xm_disks.in_time(work, max(0.1, end - _clock()))[0]

    return ask


def _taken_ports():
    return xend_host.taken(_option("root"))


def _is_own_address(name, patiently):
    """
    Whether programs here can listen on an address, or on what a name means here; None when that cannot be
    told.
    """
    if not HOST_NAME.match(name):
        return None
    try:
        # Names of hosts that are only known elsewhere, and what is no IPv4 address.
        address = name if re.match(r"[0-9.]+\Z", name) else patiently(socket.gethostbyname, name)
        return address and xend_host.is_own(address, _option("root"))
    except (socket.error, UnicodeError):
        return None


def _accepted(accept):
    try:
        return xm_fit.risks(accept)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _disks_here(domain, ask=True):
    """
    What can be said of the disks of a guest without its host: whether they are here. DRBD is only asked when
    ASK.
    """
    found, disks = [], domain.get("disks") or []
    known = _drbd(disks) if ask else {}
    for disk in xm_disks.look(disks, _option("root")):
        resource = xm_drbd.resource(disk["uname"])
        name = ", ".join([part for part in (disk["dev"], disk["uname"]) if part])
        if disk["problem"]:
            found.append(
                (
                    "missing",
                    "%s: %s on %s, where xend would find out only when all memory is there: the guest would "
                    "be lost on both; make its storage available there under this path"
                    % (name, disk["problem"], __opts__["id"]),
                )
            )
        elif resource in known:
            found.append(_drbd_verdict(disk, None, known[resource], "its source"))
        elif disk["kind"] == "script" and ask:
            found.append(
                (
                    "unproved",
                    "%s: a script of its own attaches it, so that nothing is known of where it is; make "
                    "sure that it is the same storage on both hosts; who knows better says accept: [storage]"
                    % name,
                )
            )
        elif disk["kind"] != "none":
            found.append(
                (
                    "unchecked",
                    "it was not proved that %s, is the same storage on both hosts" % name,
                )
            )
    return found


def _hotplug_refusals(domain, there, tools):
    """
    What the hotplug scripts of this host would say to the disks of a guest, see xm_block. THERE: the
    descriptions of the domains that are here.
    """
    disks, root = domain.get("disks") or [], _option("root")
    if not disks:
        return []
    used = xm_disks.used
    others = [
        (one["name"], used(one["disks"], root))
        for one in there
        # What is here of the guest itself is in nobody's way (script block, same_vm).
        if one["disks"] and not _is_copy(one, domain)
    ]
    return xm_block.refusals(
        domain.get("image"),
        used(disks, root),
        others,
        xm_disks.mounts(root),
        xm_disks.loops(root),
        xm_disks.scripts(root),
        tools and tuple(tools),
        __opts__["id"],
    )


def _is_copy(one, other):
    if one["uuid"] and other.get("uuid"):
        return one["uuid"] == other["uuid"]
    return _plain(one["name"]) == other["name"]


def _drbd(disks):
    """
    {resource: what DRBD says of it here} for the disks that are its.
    """
    names = [xm_drbd.resource(disk.get("uname")) for disk in disks]
    found, end = {}, _clock() + ANSWER_S
    for name in sorted(set([name for name in names if name])):
        try:
            link = os.readlink(_option("root") + "/dev/drbd/by-res/" + name)
        except EnvironmentError:
            link = None
        # Where it has kept silent for one, it need not be asked for others.
        said = _drbdadm(name) if _clock() < end else None
        found[name] = xm_drbd.facts(name, said, _content("/proc/drbd"), link)
    return found


def _drbdadm(name):
    """
    What drbdadm says of a resource: a dict from question to (exit code, text); None when there is none.
    """
    said = {}
    for question, command in xm_drbd.commands(_option("drbdadm"), name):
        try:
            # It prints shared-secret.
            result = _run_all(command, env={"LC_ALL": "C"})
        except CommandExecutionError:
            return None
        if result["retcode"] == 127:
            return None
        text = xend_secrets.text(result["stdout"] or result["stderr"])
        said[question] = (result["retcode"], text)
        if result["retcode"]:
            break
    return said


def _drbd_verdict(disk, there, here, source):
    verdict, sentence = xm_drbd.judge(
        xm_drbd.resource(disk["uname"]), there, here, source, __opts__["id"]
    )
    return verdict, "%s, %s: %s" % (disk["dev"], disk["uname"], sentence)


def mark_disks(name):
    """
    Say what the disks of a guest here are, and put a marker next to those that are files: what sees it
    is the same storage. The image itself is never written to. ``xm.unmark_disks`` removes the markers;
    those that a crash has left are removed an hour later, with the next ones.

    name
        the domain

    Returns ``disks``, ``marks``, ``there``, ``drbd`` and ``token``, for ``xm.same_disks`` on the other host.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.mark_disks web01
    """
    guest = domain(name)
    if not guest:
        raise CommandExecutionError("there is no domain %s here whose disks could be marked" % name)
    disks = guest["disks"]
    token = str(_uuid.uuid4())
    return {
        "token": token,
        "disks": disks,
        "there": xm_disks.look(disks, _option("root")),
        "marks": xm_disks.mark(disks, token, _option("root")),
        "drbd": _drbd(disks),
    }


def same_disks(marked, source):
    """
    Whether the disks of a guest are the same storage here as on its host.

    marked
        what ``xm.mark_disks`` returned there
    source
        the minion id of that host, for the sentences

    Returns a list of [verdict, sentence], one for each disk; verdicts are ``same``, ``missing``,
    ``different``, ``unproved``, ``unchecked`` (a drive without a medium) and ``none`` (an empty drive).
    Markers are looked for where the disks are here, wherever the source says that it has put them. Raises an
    error for what is not of the form that ``xm.mark_disks`` returns.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.same_disks '{"disks": [], "there": [], "marks": [], "token": "none"}' xen1
    """
    try:
        told = xm_disks.told(marked)
    except ValueError as exc:
        raise CommandExecutionError(
            "marked: %s; give what xm.mark_disks returned on the guest's host" % exc.args[0]
        )
    source, root = _text("source", source), _option("root")
    here = xm_disks.look(told["disks"], root)
    verdicts = xm_disks.compare(
        told["there"],
        here,
        told["marks"],
        told["token"],
        root,
        source=source,
        target=__opts__["id"],
    )
    known = _drbd(told["disks"])
    for number, disk in enumerate(here):
        resource = xm_drbd.resource(disk["uname"])
        if resource in known:
            # A source that says nothing of it is one of an older version.
            there = xm_drbd.told(told["drbd"].get(resource))
            verdicts[number] = _drbd_verdict(disk, there, known[resource], source)
    # What stands there is partly in the words of the source.
    return [[verdict, _legible(sentence)] for verdict, sentence in verdicts]


def _compared(marked):
    """
    Whether disks are the same storage as those that their host has MARKED. What cannot be told is not proved.
    """
    try:
        if marked.get("problem"):
            raise CommandExecutionError("%s: %s" % (marked.get("host"), marked["problem"]))
        return same_disks(marked, marked.get("host"))
    except CommandExecutionError as exc:
        sentence = (
            "whether the disks are the same storage on both hosts could not be told (%s); who knows that "
            "they are says accept: [storage]" % _legible("%.500s" % exc)
        )
        return [["unproved", sentence]]


def unmark_disks(marked):
    """
    Remove the markers that ``xm.mark_disks`` has put; nothing else is removed.

    marked
        what it returned

    Returns True.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.unmark_disks '{"disks": [], "token": "none"}'
    """
    try:
        told = xm_disks.told_marked(marked)
    except ValueError as exc:
        raise CommandExecutionError("marked: %s; give what xm.mark_disks returned here" % exc.args[0])
    if told["disks"]:
        xm_disks.unmark(told["disks"], told["token"], _option("root"))
    return True


def _described_guest(domain):
    try:
        return xm_output.checked(domain)
    except ValueError as exc:
        # Not what was given: all that is known of a guest would stand there.
        raise CommandExecutionError(
            "domain is no description of a guest: %s; give what xm.domain returns on its host" % exc.args[0]
        )


def _same_identity(wanted, rows, there):
    """
    Whose name or uuid a guest has here. ROWS: of `xm list`; THERE: the descriptions of the domains that are
    here.
    """
    blockers = []
    for row in rows:
        if _plain(row["name"]) == wanted["name"]:
            if row["domid"] is None:
                blockers += _other_namesake(row, wanted)
                continue
            blockers.append(
                "the name %s is in use here, by domain %s in state %s; %s"
                % (
                    row["name"],
                    row["domid"],
                    row["state"],
                    "xend refuses a second one with that name"
                    if row["name"] == wanted["name"]
                    else "that one is being sent, or is left over from a migration that broke",
                )
            )
        elif row["domid"] and wanted.get("uuid"):
            if [one for one in there if (one["domid"], one["uuid"]) == (row["domid"], wanted["uuid"])]:
                blockers.append(
                    "the uuid %s of %s is in use here, by %s"
                    % (wanted["uuid"], wanted["name"], row["name"])
                )
    return blockers


def _other_namesake(row, wanted):
    """
    A domain that xend only knows may be the very guest, which has been here before; another one of its name
    is in the way although it does not run (xend 4.4 XendDomainInfo._checkName).
    """
    other = wanted.get("uuid") and _describe(row)
    if not other or other["uuid"] == wanted["uuid"]:
        return []
    return [
        "the name %s is in use here, by a managed domain that does not run (uuid %s); xend refuses a second "
        "one with that name" % (row["name"], other["uuid"])
    ]


def _too_little_memory(needed_mib, free_mib, config, what="here"):
    if free_mib is None:
        return ["xm info does not show the free memory, of which %d MiB are needed %s" % (needed_mib, what)]
    given_back_mib = 0 if needed_mib <= free_mib else _from_dom0(config)
    if needed_mib <= free_mib + given_back_mib:
        return []
    return [
        "%d MiB are needed %s; %d MiB are free, and dom0 may give back %d MiB"
        % (needed_mib, what, free_mib, given_back_mib)
    ]


def _from_dom0(config):
    """
    The memory in MiB that xend may take from dom0 for a guest: all above dom0-min-mem, unless that is 0
    or enable-dom0-ballooning (xend 4.0 and later) is off (xend 4.4 balloon.free).
    """
    get = __salt__["xend.get"]
    minimum = str(get("dom0-min-mem", "0", config=config)).strip()
    enabled = str(get("enable-dom0-ballooning", "yes", config=config)).lower()
    if not re.match(r"[1-9][0-9]*\Z", minimum) or enabled in ("no", "n", "0", "off", "false", "f"):
        return 0
    dom0 = [row for row in _rows() if row["domid"] == 0]
    return max(0, dom0[0]["memory_mib"] - int(minimum)) if dom0 else 0


# Moving


def migrate(name, target, live=True, port=None, ssl=False, node=None, timeout=None, accept=None):
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

    Everything that ``xm.can_send`` checks is checked first. While it goes on, events with the tag
    ``xend/migrate/NAME`` tell how far it is. Returns ``name``, ``uuid``, ``address``, ``port``, ``seconds``,
    ``kept`` (the file with the guest's description) and ``comment`` once this host has no copy of the guest
    any more. **That is not yet success**: xend gives no acknowledgement, and ``xm migrate`` exits 0 with
    the guest lost; only the target can tell whether it arrived, which the orchestration
    ``xend.orch.migrate`` verifies. Raises an error that says where the guest is when it has not left.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.migrate web01 target=xen2
        salt xen1 xm.migrate web01 target=10.20.0.12 live=False timeout=900
    """
    name, target = _text("name", name), _text("target", target)
    check_options(live=live, port=port, ssl=ssl, node=node, timeout=timeout, accept=accept)
    locks = []
    try:
        held = _lock(locks, name, "the migration of %s to %s" % (name, target))
        if held:
            raise CommandExecutionError(
                "%s was not moved: %s. %s" % (name, held, _where_now(name, target))
            )
        return _migrate(name, target, live, port, ssl, node, timeout, accept)
    finally:
        _unlock(locks)


def _lock(locks, name, who):
    """
    Keep others from moving this guest, and xend from being restarted, as long as this process lives; what
    was locked goes into LOCKS. Returns None, or a sentence that says who holds it.
    """
    # Shared: several guests may leave at once.
    for lock, shared in (("relocation", True), ("guest " + name, False)):
        holding = xend_lock.hold(_option("kept"), lock, shared=shared, who=who)
        try:
            holding.__enter__()
        except ValueError as exc:
            return exc.args[0]
        except EnvironmentError as exc:
            raise CommandExecutionError(
                "%s: nothing can be locked there: %s" % (exc.filename or _option("kept"), exc.strerror)
            )
        locks.append(holding)
    return None


def _unlock(locks):
    for holding in reversed(locks):
        holding.__exit__(None, None, None)


def _migrate(name, target, live, port, ssl, node, timeout, accept):
    check = can_send(name, target, port, ssl, live=live, node=node, accept=accept)
    if not check["ok"]:
        where_now = _where_now(name, target, of_transfers=False)
        why = "; ".join(check["blockers"]) + (where_now and ". " + where_now)
        raise CommandExecutionError("%s was not moved: %s" % (name, why))
    peer = _peer(target, port, ssl)
    row = _row(name)
    reference, guest, text = _printed(row) if row else (None, None, None)
    if guest is None:
        raise CommandExecutionError("%s has left this host while it was checked" % name)
    options = _migrate_options(guest, live, peer["port"], peer["ssl"], node)
    limit = _limit(timeout, guest)
    kept = _keep(guest, text)
    _note(guest, peer["id"], kept)
    began = _clock()
    result = _watch(
        ["migrate"] + options + [reference, peer["address"]],
        limit,
        _progress(guest, target),
    )
    seconds = _clock() - began
    # What is not waited for any longer goes on in xend, whatever becomes of xm.
    view = where(name, guest["uuid"], wait=SETTLE_S if result["over"] else 0)
    ended = xm_verdict.how_xm_ended(
        view,
        _Utility,
        xm_said=None if result["over"] and result["retcode"] == 0 else _said(result),
        waited_s=None if result["over"] else limit,
    )
    report = xm_verdict.report(name, __opts__["id"], target, view, {"copy": "unasked"}, _Utility)
    comment = report["comment"] + ended
    if view["copy"] not in ("absent", "managed"):
        is_here = view["copy"] in ("running", "left")
        # When xm was not waited for, or killed, xend may yet begin.
        if view["copy"] == "running" and result["over"] and result["retcode"] > 0:
            comment += _forget_own(guest["uuid"])
        said = "%s was not moved: %s" if is_here else "the migration of %s has not ended well: %s"
        raise _NotMoved(said % (name, comment), said % (name, report["facts"] + ended))
    if _stays_managed(guest["uuid"]):
        comment += "; xend on %s still manages it: xm.forget_managed there, once it runs on %s" % (
            __opts__["id"],
            target,
        )
    return {
        "name": name,
        "uuid": guest["uuid"],
        "address": peer["address"],
        "port": peer["port"],
        "seconds": round(seconds, 1),
        "kept": kept,
        "comment": comment,
    }


def _watch(arguments, limit_s, look):
    """
    Run xm and look around while it works, for LIMIT_S seconds at most.

    Returns ``retcode``, ``stdout``, ``stderr`` and ``over``: whether it has ended by itself.
    """
    command = [_option("xm")] + [str(argument) for argument in arguments]
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    began = _clock()
    try:
        with open(os.devnull) as nothing:
            process = subprocess.Popen(
                command,
                stdin=nothing,
                stdout=out,
                stderr=err,
                close_fds=True,
                env=dict(os.environ, LC_ALL="C"),
            )
        while process.poll() is None and _clock() - began < limit_s:
            look()
            time.sleep(POLL_S)
        over = process.poll() is not None
        if not over:
            process.kill()
        retcode = process.wait()
        look()
        return {"retcode": retcode, "stdout": _whole(out), "stderr": _whole(err), "over": over}
    except EnvironmentError as exc:
        raise CommandExecutionError("%s cannot be run: %s" % (command[0], exc.strerror))
    finally:
        out.close()
        err.close()


def _whole(stream):
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _progress(guest, target):
    """
    A function that tells on Salt's bus what the log of xend says of a transfer since it was last called.
    """
    names = {
        "domain": guest["name"],
        "uuid": guest["uuid"],
        "source": __opts__["id"],
        "target": target,
    }
    tail = xm_progress.tail(_option("log"))
    progress = xm_progress.progress(names, guest["domid"], guest["memory_mib"], _clock())

    hears = [True]

    def look():
        events = progress.feed(tail.read(), _clock())
        quiet = progress.tick(_clock(), "connecting", lambda: _written(guest["domid"]))
        for event in events + ([quiet] if quiet else []):
            hears[0] = hears[0] and _tell(event)

    return look


def _written(domid):
    """
    How many bytes xc_save has written that sends this domain; None when that cannot be seen.
    """
    for helper in xend_host.transfers(_option("root")):
        if (helper["what"], helper["domid"]) == ("xc_save", domid):
            return xm_progress.written(helper["pid"])
    return None


def _tell(event):
    """
    Send an event over Salt's bus. Returns whether somebody hears it, quickly enough: whatever is wrong with
    the bus must not disturb a migration.
    """
    began = _clock()
    try:
        tag = "xend/migrate/" + xm_kept.label(event["domain"])
        sent = __salt__["event.send"](tag, event)
    except Exception as exc:  # pylint: disable=broad-except
        log.debug("an event on the migration of %s was not sent: %s", event["domain"], exc)
        sent = False
    return bool(sent) and _clock() - began < BUS_S


def _clock():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    return os.times()[4]


def _limit(timeout, guest):
    if timeout is None:
        # 4 MiB/s is less than half of what a 100 Mbit/s network carries.
        return max(300, guest["memory_mib"] // 4)
    limit = _seconds("timeout", timeout)
    if limit == 0:
        raise CommandExecutionError("timeout: 0 leaves no time at all")
    return limit


def _text(argument, value):
    try:
        return xend_text.given_text(argument, value)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _legible(sentence):
    """
    A sentence with words of another host, as a terminal may show it.
    """
    return xm_files.legible(sentence)


def _text_or_none(argument, value):
    return None if value is None else _text(argument, value)


def _view_of(argument, value):
    return _of_form(argument, value, "view", "xm.where")


def _are_findings(found):
    keys = set(["name", "uuid", "lost"])
    return isinstance(found, (list, tuple)) and all(
        [isinstance(one, dict) and keys <= set(one) for one in found]
    )


def _reports_of(reports):
    if not isinstance(reports, dict):
        raise CommandExecutionError("reports: %.60r is no mapping from minion ids to reports" % (reports,))
    for host in reports:
        _of_form("reports: %s" % _text("reports", host), reports[host], "copies", "xm.copies")
    return reports


def _of_form(argument, value, what, function):
    """
    A value that a FUNCTION has returned on another host, when it is of the form that that gives it (see
    xm_heard).
    """
    try:
        xm_heard.form_of(what, xm_copies.words())(value)
    except ValueError as exc:
        raise CommandExecutionError("%s: %s; give what %s returns" % (argument, exc, function))
    return value


def _seconds(name, value):
    try:
        return xend_text.given_seconds(name, value)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _flag(name, value):
    if value in (True, False):
        return bool(value)
    raise CommandExecutionError(
        "%s: %s is neither true nor false (text in quotes is no boolean)"
        % (name, xend_secrets.quoted(value))
    )


def check_options(
    live=True, port=None, ssl=False, node=None, timeout=None, settle=0, accept=None
):
    """
    Whether these options of a migration make sense; nothing else is looked at.

    live, port, ssl, node, timeout
        as for ``xm.migrate``
    settle
        as ``timeout`` for ``xm.arrival``
    accept
        as for ``xm.can_receive``

    Returns True. Raises an error that names every wrong option, its value and what would be right.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.check_options timeout=900 live=False
    """
    wrong = []
    for look, arguments in (
        (_flag, ("live", live)),
        (_flag, ("ssl", ssl)),
        (_node, (node,)),
        (_seconds, ("settle", settle)),
        (_accepted, (accept,)),
        (_port, (8002 if port is None else port,)),
        (_limit, (1 if timeout is None else timeout, None)),
    ):
        try:
            look(*arguments)
        except CommandExecutionError as exc:
            wrong.append(str(exc))
    if wrong:
        raise CommandExecutionError("; ".join(wrong))
    return True


def _node(node):
    if node is not None and not re.match(r"[0-9]+\Z", str(node)):
        raise CommandExecutionError(
            "node: %s is no number of a NUMA node" % xend_secrets.quoted(node)
        )


def _port(port):
    try:
        return int(xend_options.written("xend-relocation-port", port))
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _migrate_options(guest, live, port, ssl, node):
    """
    The options of xm migrate. The default port is the *source's* own xend-relocation-port; naming the
    target's is right on every version.
    """
    options = ["--live"] if live else []
    options.append("--port=%d" % port)
    if _is_managed(guest["uuid"]) and _tools_version() >= (4, 0):
        # Else this host would keep it as a guest that it could start again.
        options.append("--change_home_server")
    if ssl:
        options.append("--ssl")
    if node is not None:
        options.append("--node=%d" % int(node))
    return options


def _options_that_xm_lacks(ssl, node):
    """
    Why xm migrate could not be given these options, as a list of sentences.
    """
    asked = [option for option, value in (("--ssl", ssl), ("--node", node is not None)) if value]
    if not asked or _tools_version() >= (3, 3):
        return []
    words = (" and ".join(asked),) + _tools_version()[:2]
    return ["xm migrate has no %s before Xen 3.3; this host runs %d.%d" % words]


def _tools_version():
    return xm_output.tools_version(info()) or (0, 0)


def _is_managed(uuid):
    """
    Whether xend keeps the configuration of a guest itself (`xm new`; xend 4.4 XendDomain.is_domain_managed).
    """
    folder = __salt__["xend.get"]("xend-domains-path", "/var/lib/xend/domains")
    return os.path.isdir(os.path.join(_option("root") + str(folder), str(uuid)))


def _where_now(name, target, of_transfers=True):
    """
    Where a guest is that was not sent; "" for one that is under way, unless that is wanted.
    """
    view = where(name)
    if view["copy"] in TRANSFERRED and not of_transfers:
        return ""
    if view["copy"] == "absent":
        return (
            "%s was not looked for on other hosts; `xm.list` on all hosts shows where it is" % name
        )
    if view["copy"] in ("running", "halted", "unfinished", "managed"):
        return "It is on %s (state %s), untouched" % (
            __opts__["id"],
            view["state"] or "not started",
        )
    report = xm_verdict.report(name, __opts__["id"], target, view, {"copy": "unasked"}, _Utility)
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
    ``facts``, the comment without what to do.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.arrival web01 source=xen1
    """
    name, uuid = _text("name", name), _text_or_none("uuid", uuid)
    source = _text_or_none("source", source)
    names = {"domain": name, "uuid": uuid, "source": source, "target": __opts__["id"]}
    # So that the time goes on where the source's ended; its clock is another one.
    log = xm_progress.last_part(_option("log"))
    since_s = xm_progress.received_since(log, uuid, time.time())
    began = None if since_s is None else _clock() - since_s
    progress = xm_progress.progress(names, None, None, began)
    _tell(progress.event("arriving", _clock()))
    # Later than the moment from which on it is called unfinished.
    view = where(name, uuid, wait=_devices_s() + ANSWERS_S if timeout is None else timeout)
    report = xm_verdict.report(
        name,
        source or "the source",
        __opts__["id"],
        # Only its source knows whether the guest was sent at all.
        {"copy": "absent"} if gone else {"copy": "unknown", "problem": "it was not asked"},
        view,
        _Utility,
    )
    arrived = view["copy"] == "running"
    _tell(progress.event("running" if arrived else "failed", _clock()))
    return dict(
        view,
        arrived=arrived,
        lost=report["lost"],
        outcome=report["outcome"],
        facts=report["facts"],
        comment=report["comment"],
    )


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
    domain, source = _described_guest(domain), _text_or_none("source", source)
    try:
        kept = _keep_told(domain, str(source or "the host that sent it"))
    except CommandExecutionError as exc:
        # That the guest is lost must be said whatever else fails.
        kept = "could not be kept here (%s); the source kept it before it sent the guest" % exc
    return xm_verdict.how_to_start_again(_in_words(domain), kept)


def _in_words(domain):
    legible = xm_files.legible
    disks = ", ".join([legible(disk.get("uname", "?")) for disk in domain.get("disks") or []]) or "no disks"
    return "uuid %s, %s MiB, %s" % (domain.get("uuid"), domain.get("memory_mib"), disks)


# What is kept of guests that are sent away


def _keep(domain, text):
    """
    Keep the description of a guest on this host, so that it can be started again whatever happens.

    Returns the file, which holds what `xm list --long` printed, passwords included; one file per name and
    uuid.
    """
    path = xm_kept.description_file(_option("kept"), domain["name"], domain.get("uuid"))
    return _write(path, text, "the description of %s" % domain["name"])


def _keep_told(domain, source):
    """
    Keep the description of a guest that its source has told. Returns what there is to say about it.
    """
    text, name = domain.get("sxp"), domain.get("name")
    if not text or not hasattr(text, "upper"):
        raise CommandExecutionError("the description of %s lacks sxp, its own text" % name)
    here, what = str(__opts__["id"]), "the description of %s" % name
    own = xm_kept.description_file(_option("kept"), name, domain.get("uuid"))
    told = xm_kept.told_file(_option("kept"), name, domain.get("uuid"))
    masked = xend_secrets.text(text)
    if xend_secrets.hides(masked):
        _write(told, xm_kept.without_passwords(masked, source), what)
        kept = (
            "is kept in %s on %s, without its passwords, so that xm refuses this file until they are put in; "
            "the complete one is kept on %s, for root, as %s in the folder of its option xend:kept"
            % (told, here, source, os.path.basename(own))
        )
    elif not os.path.lexists(own):
        return "is kept in %s on %s" % (_write(own, text, what), here)
    else:
        kept = "is kept in %s on %s" % (_write(told, text, what), here)
    # This host itself has kept that one, when it sent the guest: it is complete.
    return kept + ("; an earlier one is %s on %s" % (own, here) if os.path.lexists(own) else "")


def _note(guest, target, kept):
    """
    Take note that a guest is sent away, for those who have to find it when nobody has seen it arrive.
    """
    words = {
        "id": str(_uuid.uuid4()),
        "name": guest["name"],
        "uuid": guest["uuid"],
        "target": target,
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "what": _in_words(guest),
        "kept": kept,
        "domid": None if _is_managed(guest["uuid"]) else guest["domid"],
        "up_s": xend_host.uptime_s(),
    }
    process = xend_host.process(_option("pidfile"))
    words["xend"] = process and xend_host.identity(process["pid"])
    path = xm_kept.note_file(_option("kept"), guest["name"], guest["uuid"])
    _write(path, xm_kept.note(words), "the note that %s is sent" % guest["name"])


def _write(path, text, what):
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    try:
        xend_lock.private(os.path.dirname(path))
        # Replaced as a whole and readable for root only: it may hold the guest's VNC password.
        xend_file.replace(path, data, timeout_s=10)
    except EnvironmentError as exc:
        raise CommandExecutionError(
            "%s: %s cannot be kept there: %s" % (exc.filename or path, what, exc.strerror)
        )
    return path


def _noted():
    folder = _option("kept")
    try:
        if os.path.lexists(folder):
            xend_lock.private(folder)
        return xm_kept.noted(folder, _Utility)
    except EnvironmentError as exc:
        raise CommandExecutionError(
            "%s: it cannot be seen which guests were sent from here: %s"
            % (exc.filename or folder, exc.strerror)
        )


def _forget(name, uuid, note):
    """
    Remove a note, unless it was made anew. Whoever does has the lock of the guest.
    """
    folder = _option("kept")
    try:
        return xm_kept.forget(folder, name, uuid, note, _Utility)
    except EnvironmentError as exc:
        raise CommandExecutionError(
            "%s: the note that %s was sent cannot be removed: %s"
            % (exc.filename or folder, name, exc.strerror)
        )


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

    Returns whether there is no note any more, or would be none. Raises an error while the guest is moved or
    mended, and when nobody says that it runs.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.forget web01 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f 0f3e9a51-93a7-4c15-8a5b-0f4a8f1f6c1e
    """
    name, uuid = _text("name", name), _text("uuid", uuid)
    _check_word(claims, asked)
    noted = [made for made in _noted() if (made["name"], made["uuid"]) == (name, uuid)]
    if not noted:
        _check_uuid(uuid)
        return True
    if noted[-1]["id"] != note:
        return False
    why = _doubt("forget", name, uuid, claims, asked, note=noted[-1])
    if why:
        raise CommandExecutionError("that %s was sent is still noted: %s" % (name, why))
    if test:
        return True
    locks = []
    try:
        held = _lock(locks, name, "the end of the migration of %s" % name)
        if held:
            raise CommandExecutionError("that %s was sent is still noted: %s" % (name, held))
        return _forget(name, uuid, note)
    finally:
        _unlock(locks)


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
    name, locks = _text("name", name), []
    if not uuid:
        raise CommandExecutionError("%s: without its uuid it cannot be told from others" % name)
    uuid = _check_uuid(uuid)
    if test or not _is_managed(uuid):
        return _is_managed(uuid)
    try:
        held = _lock(locks, name, "the end of the migration of %s" % name)
        if held:
            raise CommandExecutionError(_still_managed(name, held))
        here = _with_uuid(uuid)
        if [one["copy"] for one in here] != ["managed"]:
            seen = ["%s is here, %s" % (one["listed"], one["copy"]) for one in here]
            raise CommandExecutionError(_still_managed(name, "; ".join(seen) or "xend does not list it"))
        said = _mend(["delete", uuid])
        if _is_managed(uuid) or _with_uuid(uuid):
            raise CommandExecutionError(_still_managed(name, said or "xm delete has changed nothing"))
        return True
    finally:
        _unlock(locks)


def _with_uuid(uuid):
    """
    The domains here that have this uuid, or may have it.
    """
    return [one for one in _copies() if one["uuid"] in (uuid, None)]


def _still_managed(name, why):
    return (
        "xend on %s still manages %s (%s), so that it may be started there a second time, on the same disks: "
        "look with `xm list`, and when it runs on its new host and not there, `xm delete %s` on %s, before "
        "anybody starts xend there" % (__opts__["id"], name, why, name, __opts__["id"])
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
        raise CommandExecutionError("do: %.80r is none of %s" % (do, ", ".join(sorted(REPAIRS))))
    listed, uuid = _text("listed", listed), _check_uuid(uuid)
    _check_word(claims, asked)
    if not isinstance(domid, int) or isinstance(domid, bool) or domid < 1:
        raise CommandExecutionError("domid: %.80r is no id of a guest" % (domid,))
    name, step = _plain(listed), (do, listed, uuid, domid)
    if test:
        _to_repair(step, claims, asked, test)
        return "%s, domain %d, is as it was found: %s would be done" % (listed, domid, do)
    locks = []
    try:
        held = _lock(locks, name, "the repair of %s" % name)
        if held:
            raise CommandExecutionError("%s was not mended: %s" % (name, held))
        return _repair(step, claims, asked)
    finally:
        _unlock(locks)


def _check_uuid(uuid):
    if not xm_heard.is_uuid(uuid):
        raise CommandExecutionError("uuid: %.60r is no uuid as `xm list --long` shows it" % (uuid,))
    return str(uuid)


def _check_word(claims, asked):
    """
    Check what comes from other hosts, and of the operator.
    """
    if not isinstance(asked, bool):
        raise CommandExecutionError("asked: %.60r is neither true nor false" % (asked,))
    if claims is None:
        return
    if not isinstance(claims, dict):
        raise CommandExecutionError("claims: %.60r is no dict from hosts to words" % (claims,))
    for host in sorted(claims, key=str):
        if not hasattr(host, "upper") or not xm_fleet.is_claim(claims[host], _Utility):
            raise CommandExecutionError(
                "claims: what %.60r says, %.60r, is nothing that a host holds of a guest"
                % (host, claims[host])
            )


def _doubt(do, name, uuid, claims, asked, here=None, note=None):
    """
    Why a step needs the word of the operator, as far as this host can tell; "" when it does not, or has it.

    here, note
        the copy that the step is for, as `_where` has found it; the note
    """
    if claims is None or asked:
        return ""
    own = {}
    if note:
        try:
            found = _copies()
        except CommandExecutionError:
            # What runs elsewhere has nothing to do with that.
            found = []
        own = {"target": note["target"], "over": _is_over(note, found)}
    else:
        notes = [made for made in _noted() if (made["name"], made["uuid"]) == (name, uuid)]
        own = {"held": here["copy"], "target": notes[-1]["target"] if notes else None}
    if do == "remove":
        beside = [
            one["copy"] for one in _copies() if one["uuid"] == uuid and one["domid"] != here["domid"]
        ]
        own.update(beside=beside, completed=_completed(uuid))
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


def _to_repair(step, claims, asked, test=False):
    """
    How to name the domain to xm that is to be repaired, its description, and that as xm has printed it, once
    all is as it has to be.
    """
    do, listed, uuid, domid = step
    name, before = _plain(listed), REPAIRS[do][0]
    if test and do == "rename":
        # It would go on first.
        before += REPAIRS["resume"][0]
    view = _where(name, uuid, domid=domid)
    reference, guest, text = _printed({"name": listed, "domid": domid, "state": ""})
    as_found = (view["listed"], view["domid"], view["uuid"]) == (listed, domid, uuid)
    if not guest or not as_found or view["copy"] not in before:
        raise CommandExecutionError(
            "%s was not touched: it is not any more as it was found (domain %s, %s, state %s)"
            % (listed, view["domid"] or "none", view["copy"], view["state"] or "none")
        )
    why = _doubt(do, name, uuid, claims, asked, here=view)
    if why:
        raise CommandExecutionError("%s was not touched: %s" % (listed, why))
    return reference, guest, text


def _repair(step, claims, asked):
    do, listed, uuid, domid = step
    name, (_, after, done) = _plain(listed), REPAIRS[do]
    words = {"listed": listed, "name": name, "domid": domid}
    reference, guest, text = _to_repair(step, claims, asked)
    if do == "remove":
        # Whoever has said that it is well elsewhere may be wrong, and there may be no other trace of it. What
        # was kept when it was sent from here is better than what is left of it.
        path = xm_kept.description_file(_option("kept"), name, uuid)
        words["kept"] = path if os.path.exists(path) else _keep(dict(guest, name=name), text)
    if do == "rename":
        said = _mend(["rename", reference, name])
    elif do == "remove":
        said = _mend(["destroy", reference])
    else:
        said = _resume(guest)
    view = _where(name, uuid, SETTLE_S, domid)
    if view["copy"] not in after:
        raise CommandExecutionError(
            "%s was not mended: it is %s now, in state %s (%s)"
            % (listed, view["copy"], view["state"] or "none", said or view["problem"] or "no message")
        )
    # A guest that has its name back is not being sent any more.
    return done % words + (_forget_own(uuid) if do != "remove" else "")


def _forget_own(uuid):
    """
    Remove the note on a guest that goes on here. Returns what there is to say about it.
    """
    try:
        for made in _noted():
            if made["uuid"] == uuid:
                _forget(made["name"], uuid, made["id"])
    except CommandExecutionError as exc:
        return "; %s" % exc
    return ""


def _mend(arguments):
    result = _run(arguments)
    return None if result["retcode"] == 0 else "xm %s: %s" % (arguments[0], _said(result))


# What xend does to go on with a guest after a failed save, for guests that can cancel a suspension (xend
# 3.1 and later, XendDomainInfo.resumeDomain); xm has no command for it. xm shows the same state for a guest
# that has powered off or wants to reboot, whose memory must not run again; the hypervisor tells them apart,
# and xend asks it from 3.3 on. It answers with the next domain when there is none of that id.
RESUME = """
import sys
sys.path += ["/usr/lib/python", "/usr/lib64/python"]
from xen.lowlevel import xc, xs
domid = int(sys.argv[1])
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


def _resume(guest):
    if not guest["suspend_cancel"]:
        raise CommandExecutionError(
            "%s was not touched: its kernel cannot cancel a suspension (it has no SUSPEND_CANCEL note), so "
            "only xend could have resumed it. What is in its memory is lost: `xm destroy %s`, then `xm "
            "create` with its configuration file" % (guest["name"], guest["name"])
        )
    result = _run_all([_option("python"), "-c", RESUME, str(guest["domid"])])
    return None if result["retcode"] == 0 else _said(result)
