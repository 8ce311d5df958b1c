"""
See and control the xend that runs on this host: what it listens on, whether it has the settings in the file,
and its restart, which harms no guest.

The options are those that ``xend`` tells, which is of the same name for users. What a restart does to guests
is told by ``_utils/xend_lifecycle.py``, which migrations are under way by ``xm``.
"""

from __future__ import absolute_import

import logging
import os
import re
import time

from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)

# Where xend keeps the guests that it manages, unless its file says so (xend-domains-path).
DOMAINS = "/var/lib/xend/domains"

# How long the hypervisor and xenstore may take to answer.
ANSWER_S = 30

# More than any machine has.
MOST_MIB = 1 << 32

POLL_S = 0.2
CLOCK_S = 0.02

# Salt before 2017.7 refuses a file that users see under another name than its own without this.
__virtualname__ = "xend"


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xend"


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


xend_allow = _Utility("xend_allow")
xend_check = _Utility("xend_check")
xend_contents = _Utility("xend_contents")
xend_file = _Utility("xend_file")
xend_host = _Utility("xend_host")
xend_lifecycle = _Utility("xend_lifecycle")
xend_lock = _Utility("xend_lock")
xend_options = _Utility("xend_options")
xend_secrets = _Utility("xend_secrets")
xend_settings = _Utility("xend_settings")
xend_sxp = _Utility("xend_sxp")
xend_text = _Utility("xend_text")
xm_away = _Utility("xm_away")
xm_files = _Utility("xm_files")
xm_progress = _Utility("xm_progress")
xm_way = _Utility("xm_way")


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _option(name, given=None):
    if given:
        return _given(xend_text.given_text, name, given)
    return _given(xend_settings.option, name, __salt__["config.get"], str(__opts__["id"]))


def _document(path):
    try:
        return _parsed(xend_file.read(path))
    except (EnvironmentError, ValueError) as exc:
        raise _problem(path, exc)


def _problem(path, exc):
    return CommandExecutionError(xend_secrets.problem(path, exc))


def _parsed(data):
    return xend_check.parsed(data, __salt__, CommandExecutionError, _Utility)


def _process():
    return xend_host.process(_option("pidfile"))


def service():
    """
    The name of xend's service on this host, as text: the option xend:service, else the one that is there.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.service
    """
    name = _option("service")
    if name:
        return name
    for name in ("xend", "xen"):
        if __salt__["service.available"](name):
            return name
    return "xend"


def status(config=None):
    """
    What the running xend does, and whether it has the settings in the file.

    Returns ``running`` (bool), ``pid`` (int or None), ``listening`` (list of "address:port"; None when
    it cannot be seen), ``configured`` (what the file says it should listen on for relocation),
    ``config_newer`` (the file was changed after xend started) and ``pending``: the reasons why the
    running xend has not the settings in the file, empty when it has.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.status
    """
    path = _option("config", config)
    process = _process()
    values = xend_secrets.masked(xend_options.effective(_document(path).get)[0])
    configured = _listeners(values)
    found = {
        "running": process is not None,
        "pid": process and process["pid"],
        "listening": None,
        "configured": ["%s:%s" % pair for pair in configured],
        "config_newer": False,
        "pending": [],
    }
    if process is None:
        found["pending"].append("xend is not running")
        return found
    found["listening"] = xend_host.listening(process["pid"])
    # Read at start only; `xend reload` does not read the relocation settings again. Start times are
    # known to 1/100 s.
    found["config_newer"] = xend_contents.changed_at(path) > process["started"] + CLOCK_S
    if found["config_newer"]:
        found["pending"].append("%s was changed after xend started" % path)
    found["pending"] += _missing_listeners(configured, found["listening"])
    found["pending"] += _superfluous_listeners(values, configured, found["listening"])
    return found


def _listeners(values):
    try:
        return xend_options.listeners(values)
    except KeyError:
        # A value that xend cannot read: it would not start, so it would listen on nothing.
        return []


def _missing_listeners(configured, listening):
    if listening is None:
        return []
    missing = []
    for address, port in configured:
        shown = xend_host.on_port(port, listening)
        if address == "":
            # The kernel shows all interfaces as 0.0.0.0; several addresses are no single interface.
            fits = "0.0.0.0:%s" % port in shown or len(shown) > 1
        elif _is_ipv4(address):
            fits = "%s:%s" % (address, port) in shown
        else:
            # An interface or host name cannot be compared with what the kernel shows; its port can.
            fits = bool(shown)
        if not fits:
            missing.append(
                "xend listens on %s, not on %s:%s"
                % (", ".join(shown or listening) or "no address", address or "0.0.0.0", port)
            )
    return missing


def _superfluous_listeners(values, configured, listening):
    """
    The file switches a server off that still has its door open.
    """
    needed = [port for _, port in configured]
    return [
        "xend listens on %s, although %s is off in the file" % (", ".join(shown), server)
        for server, port in xend_options.servers()
        for shown in [xend_host.on_port(values.get(port), listening or [])]
        if shown and values.get(server) is False and values.get(port) not in needed
    ]


def _is_ipv4(address):
    return bool(re.match(r"[0-9]+(\.[0-9]+){3}$", address))


def listens(server=None, port=None, address=None, ssl_server=None, ssl_port=None, config=None, **_):
    """
    What would keep the xend of this host from listening for guests with these settings.

    server, port, address, ssl_server, ssl_port
        as for ``xend.configure``, whose other arguments may be given as well; what is not given is as in
        the file
    config
        the file

    Returns a dict: ``problems``, a list of sentences (with them xend would not start), and ``warnings``:
    the same where there is no xm, so that this is no Xen host, or not yet. What cannot be known is not
    said.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.listens server=True address=10.20.0.11
    """
    wanted, _, _ = _given(xend_options.wanted, dict(locals()), _Utility)
    wanted = dict(__salt__["xend.relocation"](config, lenient=True), **wanted)
    process = _process()
    problems = []
    for where, number in sorted(set(_listeners(wanted))):
        if _is_ipv4(where) and xend_host.is_own(where, _option("root")) is False:
            problems.append(
                "the address %s is no address of this host, %s, so that xend could not listen on it and "
                "would not start; `ip addr` on this host shows its addresses" % (where, str(__opts__["id"]))
            )
        elif process and _taken_by_others(where, number, process["pid"]):
            problems.append(
                "port %s is taken on this host by another program than xend, which would try for half a "
                "minute and not start; `netstat -tlnp` on this host shows which" % number
            )
    is_xen_host = process or __salt__["cmd.which"](_option("xm"))
    return {"problems": problems if is_xen_host else [], "warnings": [] if is_xen_host else problems}


def _taken_by_others(address, port, pid):
    """
    Whether some program of this host beside the running xend listens where xend shall. What cannot be seen
    is not taken.
    """
    taken = xend_host.taken(_option("root"))
    own = xend_host.listening(pid)
    if taken is None or own is None:
        return False
    return bool(
        [
            where
            for where, number in taken
            if number == port
            and "%s:%s" % (where, number) not in own
            and (where == address or "0.0.0.0" in (where, address or "0.0.0.0"))
        ]
    )


# The restart


def restart(timeout=60, config=None, accept=None, test=False):
    """
    Restart xend, when that harms no guest, and wait until it works as configured; start it when it is down.

    timeout
        seconds to wait for migrations to end, those included that a guest is expected from
        (``xend.reserve``), again for xend to come up, and once more when it has to come up with the
        previous content
    config
        the configuration file
    accept
        what may be done to guests, ``on_xend_stop`` and ``on_xend_start``, and that this host is being
        emptied, ``evacuation``, or a list of them; default: the setting ``restart_accept`` in the pillar
        ``xend:relocation``, of this host or of all, else nothing
    test
        only say what would become of guests, and which migrations are in the way now; nothing is waited for

    A migration in flight does not survive a restart on either side, and on the receiving side the
    guest is lost; so nothing is done before xend has none, and nothing when the file would keep xend
    from starting. Until it is over, ``xm.migrate`` sends no guest from here, and ``xend.reserve`` lets none
    come.

    Most guests run on while xend is restarted, but not all: when it is stopped, xend from 3.1 to 4.4 shuts
    down those that have ``(on_xend_stop shutdown)`` and suspends those with ``suspend``; when it has started,
    it starts each managed guest that is halted and has ``(on_xend_start start)`` or auto_power_on, and one
    that was moved to another host before Xen 4.0 is such a guest, and would run twice. Where there are any,
    nothing is restarted unless ACCEPT says so, and the error names them and what to do. The same holds for a
    host that is being emptied (``xm.evacuation``); where xend is down there it is started, because no guest
    can leave without it.

    When xend does not come up as configured, the file goes back to the content with which it was last
    known to start, and xend is started with that. That content is kept in the minion's cache whenever
    it is certain: after a restart from here, and before the first change of a file that is older than
    the running xend; so it does not matter how many changes came after it.

    Returns ``pid`` ({old, new}), ``listening`` and ``warnings``, for TEST only these. Raises an error that
    says what xend does now, and with which file.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.restart
        salt xen1 xend.restart test=True
        salt xen1 xend.restart accept=on_xend_stop
    """
    path = _option("config", config)
    timeout, accepted = _given(xend_text.given_seconds, "timeout", timeout), restart_accept(accept)
    if test:
        process = _process()
        if not process:
            _refuse_hidden()
        return {"warnings": _foreseen(path, process, accepted, timeout)}
    # xend has no lock of its own: two restarts at once leave two daemons.
    with _locked(
        "restart", "xend was not restarted, because another job is restarting it (%s); try again after that"
    ):
        return _restart(path, timeout, accepted)


def restart_accept(accept=None):
    """
    What a restart of xend from here is allowed to do to guests.

    accept
        as for ``xend.restart``; default: ``restart_accept`` in the pillar ``xend:relocation``

    Returns a list out of ``on_xend_stop``, ``on_xend_start`` and ``evacuation``. Raises an error that names
    anything else.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.restart_accept
    """
    given = __salt__["xend.settings"]()["restart_accept"] if accept is None else accept
    try:
        return xend_text.native(xend_lifecycle.accepted(given, _Utility))
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _locked(name, refusal, shared=False, who="", wait_s=0):
    """
    Hold a lock of this host. REFUSAL is what to say when it is not free in time, with a place for what
    its holder says of itself.
    """
    folder = _option("kept")
    return xend_lock.hold_or_raise(CommandExecutionError, refusal, folder, name, shared, who, wait_s)


def _restart(path, timeout, accepted):
    if not _process():
        _refuse_hidden()
    try:
        data, warnings = _startable(path)
    except CommandExecutionError as exc:
        raise CommandExecutionError("%s%s" % (exc, _take_back(path)))
    # Nobody need wait for what is not done in any case; and once more when it is waited for no longer.
    now = _process()
    _refuse_risks(path, now, _closure(now), accepted, "was not %s" % ("restarted" if now else "started"))
    deadline = time.time() + timeout
    with _locked(
        "relocation",
        "xend was not restarted, because a guest is being moved from or to this host (%s); a restart "
        "would break it; try again when it is over",
        who="restart of xend",
        wait_s=timeout,
    ):
        done = _restart_alone(path, data, timeout, deadline, accepted)
        return dict(done, warnings=warnings + done["warnings"])


def _restart_alone(path, data, timeout, deadline, accepted):
    before = _process()
    # Last of all checks, so that as little as possible can set out between them and the restart.
    if before:
        _wait_for_migrations(path, before, deadline)
    warnings = _spare_guests(path, before, accepted, "was not %s" % ("restarted" if before else "started"))
    if xend_file.read(path) != data:
        raise CommandExecutionError(
            "xend was not restarted, because %s was changed meanwhile; try again" % path
        )
    xend_contents.remember(_cache(), path, _process(), _Utility)
    try:
        done = _start(path, before, timeout)
    except _NotAsConfigured as exc:
        story = [_roll_back(path, data, str(exc), timeout, accepted)] + warnings
        raise CommandExecutionError("; ".join(story))
    if xend_file.read(path) == data:
        _keep(path, "started", data)
    return dict(done, warnings=warnings)


class _NotAsConfigured(CommandExecutionError):
    """
    xend was started, and does not work as the file says.
    """


def _start(path, before, timeout):
    if xend_contents.changed_at(path) > time.time():
        # The clock was set back since. With that time xend would never seem to have read the file.
        try:
            os.utime(path, None)
        except EnvironmentError as exc:
            raise _problem(path, exc)
    log_size = _log_size()
    name = service()
    complaint = ""
    try:
        __salt__["service.restart" if before else "service.start"](name)
    except CommandExecutionError as exc:
        # Salt's systemd module raises when the control script fails; what counts is what runs now.
        complaint = xend_secrets.masked(" ".join(str(exc).split()))
    return _wait_until_up(path, name, before, timeout, log_size, complaint)


def _refuse_hidden():
    """
    Raise an error when a xend answers that the pid file does not name: it is taken for none, so
    starting it does nothing, and a good file would be taken for the cause. xend writes its pid file
    before it answers, so the file is read last.
    """
    if not _silence() and not _process():
        raise CommandExecutionError(
            "xend answers, but the pid file %s names no running xend: name the right "
            "file with the option xend:pidfile, or write xend's process id there" % _option("pidfile")
        )


def _startable(path):
    """
    The bytes of the file and the warnings about it. Raises an error when xend would not start with it.
    """
    document = _document(path)
    reasons, warnings = _reasons_not_to_start(document)
    if reasons:
        raise CommandExecutionError(
            "xend was not restarted, because it would not come up as configured with %s: %s"
            % (path, xend_secrets.masked("; ".join(reasons)))
        )
    return document.data, warnings


def _reasons_not_to_start(document):
    """
    What in the file would keep xend from starting, as far as it can be known without trying, and what
    would not but should be mended.
    """
    version = xend_check.version_here(__salt__, CommandExecutionError, _Utility)
    values = xend_secrets.masked(xend_options.effective(document.get)[0])
    unreadable = xend_options.unreadable(document.get)
    read = xend_options.read_at_start(values, version)
    reasons = [unreadable[key] for key in read if key in unreadable]
    if xend_options.key_of("hosts_allow") in read:
        reasons += xend_allow.broken(values.get("hosts_allow", ""))
    listeners = _listeners(values)
    reasons += ["port %s is out of range" % port for _, port in listeners if not 0 <= port <= 65535]
    if len(set(listeners)) < len(listeners):
        reasons.append("both relocation servers are to listen on port %s" % listeners[0][1])
    cannot_listen_on = xend_host.cannot_listen_on
    problems = [cannot_listen_on(name, version) for name in sorted(set(name for name, _ in listeners))]
    reasons += [problem for problem in problems if problem]
    warnings = []
    if values.get("ssl_server"):
        if version is not None and version < (3, 3):
            reasons.append(
                "ssl_server is on, and xend has no TLS before 3.3; this is %s" % xend_check.dotted(version)
            )
        else:
            wrong, warnings = _wrong_with_tls(values)
            reasons += wrong
    return reasons, warnings


def _wrong_with_tls(values):
    files = [(name, values.get(name)) for name in ("ssl_key_file", "ssl_cert_file")]
    missing = ["ssl_server is on without %s" % name for name, value in files if not value]
    if missing:
        return missing, []
    ssl_file = xend_options.ssl_file
    return xend_host.tls_files(*[ssl_file(value, _tls_folder()) for _, value in files])


def _tls_folder():
    # That of the configuration in use, also when another file is looked at.
    return os.path.dirname(_option("config"))


# The way back


def _cache():
    return xend_text.native(os.path.join(__opts__["cachedir"], "xend"))


def _keep(path, what, data):
    return xend_contents.keep(_cache(), path, what, data, _Utility)


def _take_back(path):
    """
    Put back the content with which xend started last, when the one in the file was written from here:
    else the next reboot would leave xend down. What people wrote is theirs to mend. Returns what there
    is to say about it.
    """
    read = xend_file.read
    try:
        refused = read(path)
        if xend_contents.kept(_cache(), path, "written", _Utility) != refused:
            return ""
        known, hindrance = _known_to_start(path, refused)
        if hindrance:
            return "; the file was left as it is: %s" % hindrance
        kept = _keep(path, "refused", refused)
        xend_file.update(path, _instead_of(refused, known))
    except (EnvironmentError, ValueError) as exc:
        return "; the previous file could not be put back: %s" % _problem(path, exc)
    return ". The previous content of %s was put back (the refused one is kept %s)" % (path, kept)


def _instead_of(refused, known):
    """
    An edit that puts KNOWN in the place of REFUSED, unless something else stands there by now.
    """

    def edit(current):
        if current != refused:
            raise ValueError("another program has changed it meanwhile")
        return known

    return edit


def _roll_back(path, refused, failure, timeout, accepted):
    """
    Put back the content with which xend started last, and start it with that. Returns the whole story
    as one sentence.
    """
    known, hindrance = _known_to_start(path, refused)
    process = _process()
    # Where xend is down by now, what its start starts was looked at just before, and to leave it down
    # would be worse.
    hindrance = (
        hindrance
        or process
        and (_why_not_now(path, process) or "; and ".join(_against(_lifecycle(path, process), accepted)))
    )
    if hindrance:
        return "%s; the file was left as it is: %s" % (failure, hindrance)
    kept = _keep(path, "refused", refused)
    try:
        xend_file.update(path, _instead_of(refused, known))
        done = _start(path, process, timeout)
    except (EnvironmentError, ValueError) as exc:
        return "%s; the previous file could not be put back: %s" % (failure, _problem(path, exc))
    except CommandExecutionError as exc:
        outcome = "but with it: %s" % exc
    else:
        outcome = "and xend runs with it (pid %s, listening on %s)" % (
            done["pid"]["new"],
            ", ".join(done["listening"] or ["nothing"]),
        )
    return "%s. The previous content of %s was put back (it is kept as %s; the refused one %s), %s" % (
        failure,
        path,
        xend_contents.place(_cache(), path, "started"),
        kept,
        outcome,
    )


def _known_to_start(path, refused):
    """
    The content to go back to, or None and why there is none.
    """
    try:
        known = xend_contents.kept(_cache(), path, "started", _Utility)
    except EnvironmentError as exc:
        return None, "the previous content cannot be read: %s" % _problem(path, exc)
    if known is None:
        return None, "no other content is known with which xend has started"
    if known == refused:
        return None, "xend has started with it before, so the cause is elsewhere"
    try:
        reasons, _ = _reasons_not_to_start(_parsed(known))
    except ValueError as exc:
        reasons = [xend_secrets.said(exc)]
    if reasons:
        return None, "xend would not start with the previous one either (%s): %s" % (
            xend_contents.place(_cache(), path, "started"),
            xend_secrets.masked("; ".join(reasons)),
        )
    return known, None


# What a restart would break

LEFTOVER = (
    "A domain that stays so although no xc_save or xc_restore runs any more is left over: `xm rename "
    "migrating-NAME NAME` where the other host has no such guest; `xm destroy` of a paused copy that was "
    "never completed, when the guest runs on the other host"
)


def _wait_for_migrations(path, process, deadline):
    while True:
        reason = _why_not_now(path, process)
        if not reason:
            return
        if time.time() >= deadline:
            raise CommandExecutionError("xend was not restarted: %s" % reason)
        time.sleep(POLL_S)


def _why_not_now(path, process):
    """
    What a restart of xend would break now, and what to do about it; "" when there is nothing.
    """
    # In this order: a guest is expected until its transfer can be seen.
    expected = _expected()
    moving, reasons = [], []
    try:
        moving = _in_flight(path, process)
    except CommandExecutionError as exc:
        reasons.append(
            "it cannot be seen whether a migration is in flight (%s), which a restart would break. %s"
            % (exc, xend_lifecycle.stuck(_option("pidfile")))
        )
    if moving:
        reasons.append(
            "%s; a restart would break it. Try again when it is over; xm.list shows it. %s"
            % ("; ".join(moving), LEFTOVER)
        )
    if expected:
        reasons.append(
            "%s; a guest that comes while xend is restarted is lost. Try again after that, or end the "
            "reservation with `xend.release NAME` on this host when its migration is over"
            % "; ".join(expected)
        )
    return "; and ".join(reasons)


def _spare_guests(path, process, accepted, refusal):
    """
    Raise an error when a restart of xend (without PROCESS: a start) does something to guests that nobody has
    accepted, or when this host is being emptied and xend runs; REFUSAL is what becomes of xend then. Returns
    what was accepted, as sentences.
    """
    return _refuse_risks(path, process, _closure(process) + _lifecycle(path, process), accepted, refusal)


def _foreseen(path, process, accepted, timeout):
    """
    The same for a restart that is only thought of: what it would wait for is in its way as well.
    """
    refusal, now = "would not be %s" % ("restarted" if process else "started"), []
    reason = process and _why_not_now(path, process)
    if reason:
        now = ["%s. A restart waits %g seconds at most for that to end" % (reason, timeout)]
    return _refuse_risks(path, process, _closure(process) + _lifecycle(path, process), accepted, refusal, now)


def _closure(process):
    """
    What a restart does to an evacuation, see xm_away.risks. To start a xend that is down does nothing to it,
    and the guests that are still here could not leave without one.
    """
    if not process:
        return []
    host = str(__opts__["id"])
    return xm_away.risks(xm_away.read(_option("kept"), _Utility), host)


def _refuse_risks(path, process, risks, accepted, refusal, now=()):
    against = "; and ".join(list(now) + _against(risks, accepted))
    if against:
        pending = ""
        if process and xend_contents.changed_at(path) > process["started"] + CLOCK_S:
            pending = (
                ". What is written in %s stays there, and is not in force until xend is restarted" % path
            )
        raise CommandExecutionError("xend %s: %s%s" % (refusal, against, pending))
    return ["accepted: %s" % xend_text.native(risk["what"]) for risk in risks]


def _against(risks, accepted):
    return [
        xend_text.native("%s. %s" % (risk["what"], risk["remedy"]))
        for risk in risks
        if risk["kind"] not in accepted
    ]


def _lifecycle(path, process):
    """
    What a stop of xend and its start do to guests; with no PROCESS, only the start. See xend_lifecycle.risks.
    """
    version = xend_check.version_here(__salt__, CommandExecutionError, _Utility)
    if not xend_lifecycle.acts(version):
        return []
    shown, unseen, stored, problems = [], "", [], {}
    folder = _domains_folder(path)
    try:
        stored = xend_lifecycle.store(
            _option("root") + folder,
            xend_file.read,
            lambda data: xend_sxp.parse(data, xend_check.dotted(version)),
        )
    except EnvironmentError as exc:
        problems["on_xend_start"] = (
            "it cannot be seen which managed guests a start of xend starts (%s: %s)"
            % (exc.filename or folder, exc.strerror or exc)
        )
    try:
        if process:
            shown = __salt__["xm.lifecycle"]()
        elif stored:
            shown = _running()
    except CommandExecutionError as exc:
        unseen = "whether they run here cannot be seen: %s" % exc
        if process:
            problems["on_xend_stop"] = (
                "it cannot be seen what a stop of xend does to the guests here (%s)" % exc
            )
    words = {
        "up": bool(process),
        "host": str(__opts__["id"]),
        "folder": folder,
        "pidfile": _option("pidfile"),
    }
    return xend_lifecycle.risks(version, shown, unseen, stored, problems, words)


# Which domains run here, for a xend that is down: asked as xend asks at its start, the hypervisor for the
# domains, of which one that is dying is none, and xenstore for their names (XendDomain._init_domains,
# XendDomainInfo.recreate and _augmentInfo, 3.1 to 4.4).
RUNNING = """
from xen.lowlevel import xc, xs
store = xs.xs()
for one in xc.xc().domain_getinfo():
    if not one["dying"]:
        vm = store.read("0", "/local/domain/%d/vm" % one["domid"])
        print("%d %s" % (one["domid"], vm and store.read("0", vm + "/name") or ""))
"""


def _running():
    """
    The domains that run here, as far as a start of xend looks at them; see xend_lifecycle.running.
    """
    try:
        result = __salt__["cmd.run_all"](
            xend_host.in_xends_python(_option("python"), _option("root"), RUNNING),
            python_shell=False,
            ignore_retcode=True,
            timeout=ANSWER_S,
            env={"LC_ALL": "C"},
            output_loglevel="quiet",
        )
    except CommandExecutionError as exc:
        # What else Salt says may have the whole environment of the minion in it.
        result = {"retcode": None, "stdout": "", "stderr": xend_secrets.reason(str(exc))}
    if result["retcode"] != 0:
        said = (result["stderr"] or result["stdout"]).strip().splitlines()
        raise CommandExecutionError(
            xend_host.xends_python_says(_option("python"), said[-1] if said else "nothing")
        )
    return xend_lifecycle.running(result["stdout"])


def _domains_folder(path):
    found = __salt__["xend.get"]("xend-domains-path", DOMAINS, path)
    return DOMAINS if isinstance(found, list) else xend_text.native(found)


def _expected():
    """
    The guests that may come at any moment, as sentences.
    """
    try:
        return [one["says"] for one in expected()]
    except CommandExecutionError as exc:
        return ["it cannot be seen which guests are expected here (%s)" % exc]


def _expectation(made):
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made["until"]))
    who = " (%s)" % made["who"] if made["who"] else ""
    # Both come from another host.
    return xm_files.legible("%s is expected here until %s%s" % (made["name"], until, who))


def transfers(config=None):
    """
    The peers with whom the running xend may be exchanging a guest now.

    config
        the file that names the ports on which xend serves something else than relocation, as its HTTP
        server: who is connected to these sends no guest

    Returns a dict: ``sources`` and ``targets``, lists of "address:port", and ``ports``, on which it listens
    for guests, a list of ints; None when no xend runs, or this user may not look into it. What is sent
    through a relay of this host is sent to the target of that, as long as the relay is at it.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.transfers
    """
    process = _process()
    try:
        others = xend_options.other_ports(_document(_option("config", config)).get)
    except CommandExecutionError:
        # A file that cannot be read says nothing about the running xend: any port may be one of relocation.
        others = ()
    found = process and xend_host.transferring(process["pid"], others)
    if not found:
        return None
    told = xm_way.relays(_option("kept"), _Utility)
    return dict(found, targets=sorted(set(xm_way.beyond(found["targets"], told) + xm_way.carried_to(told))))


def _in_flight(path, process):
    """
    The migrations in flight on this host, as sentences. Names show most of it; a peer that is
    connected to the relocation port may be sending although the domain looks complete already. Raises an
    error when xm cannot say.
    """
    moving = __salt__["xm.moving"]()
    peers = transfers(path)
    if peers is None:
        return moving + ["it cannot be seen who is connected to xend (pid %s)" % process["pid"]]
    moving += ["%s is connected to the relocation port" % peer for peer in peers["sources"]]
    return moving + ["xend is connected to %s, to send it a guest" % peer for peer in peers["targets"]]


def _reservations(function, *arguments):
    """
    Call a function of xend_lock for the reservations of this host.
    """
    folder = _option("kept")
    try:
        return function(folder, *arguments)
    except EnvironmentError as exc:
        raise CommandExecutionError(xend_lock.unusable(folder, exc))
    except ValueError as exc:
        raise CommandExecutionError(str(exc))


def reserve(name, who="", seconds=300, memory_mib=0):
    """
    Announce a guest that is about to come to this host, so that nobody restarts its xend.

    name
        the domain; a second reservation for it takes the place of the first
    who
        where it comes from, in words for those who have to wait: ``migration from xen1``
    seconds
        for how long, at most 600
    memory_mib
        the memory in MiB that must be free here for it, a whole number: ``xm.can_receive`` promises it to no
        other guest as long as this one is expected and does not run here

    Between the check that this host can take a guest and the first byte of it, nothing here shows that it
    will come; ``xend.restart`` waits as long as a reservation holds. Once the guest is being received that
    can be seen, and the reservation may go (``xend.release``). Returns a sentence. Raises an error, and
    reserves nothing, when xend is being restarted now, or this host takes no guests (``xm.evacuation``).

    CLI Example:

    .. code-block:: bash

        salt xen2 xend.reserve web01 who='migration from xen1' memory_mib=512
    """
    name = _given(xend_text.given_text, "name", name)
    seconds = _given(xend_text.given_seconds, "seconds", seconds)
    who = _given(xend_text.given_text, "who", who) if who else ""
    if not isinstance(memory_mib, int) or isinstance(memory_mib, bool) or not 0 <= memory_mib <= MOST_MIB:
        raise CommandExecutionError(
            "memory_mib: %s is no whole number of MiB" % xend_text.quoted(memory_mib)
        )
    # Whoever restarts xend has the lock for itself from before it looks for reservations.
    with _locked(
        "relocation",
        "no guest can come here now, because xend is being restarted (%s); try again after that",
        shared=True,
    ):
        # Since it was asked whether this host takes the guest, it may have been closed.
        closed = xm_away.refusal(xm_away.read(_option("kept"), _Utility), str(__opts__["id"]))
        if closed:
            raise CommandExecutionError(closed)
        made = _reservations(xend_lock.reserve, name, who, seconds, time.time(), _Utility, memory_mib)
    return _expectation(made)


def release(name, who=None):
    """
    End the reservation for a guest before its time (``xend.reserve``).

    name
        the domain
    who
        end it only when it was made with these words; default: whoever has made it

    Returns whether there was one.

    CLI Example:

    .. code-block:: bash

        salt xen2 xend.release web01
    """
    name = _given(xend_text.given_text, "name", name)
    who = None if who is None else _given(xend_text.given_text, "who", who)
    return _reservations(xend_lock.release, name, time.time(), who)


def expected():
    """
    The guests that may come to this host at any moment (``xend.reserve``).

    Returns a list of dicts, in the order of their end: ``name``, ``who``, ``until`` (seconds since 1970),
    ``memory_mib`` (what must be free for it; 0: nobody has said so) and ``says``, the same as a sentence.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.expected
    """
    made = _reservations(xend_lock.reserved, time.time())
    return [dict(one, says=_expectation(one)) for one in made]


# Coming up


def _log_size():
    try:
        return os.path.getsize(_option("log"))
    except EnvironmentError:
        return 0


def _wait_until_up(path, service, before, timeout, log_size, complaint):
    deadline = time.time() + timeout
    while True:
        now = _process()
        fresh = now and (not before or now["pid"] != before["pid"])
        wrong = [] if fresh else ["xend has not been started anew"]
        if fresh:
            current = status(path)
            wrong = current["pending"] or _silence()
            if not wrong:
                return {
                    "pid": {"old": before and before["pid"], "new": now["pid"]},
                    "listening": current["listening"],
                }
        # xend says why it gives up just before it does; more waiting would not bring it back.
        if time.time() >= deadline or not now and _reason_in_log(log_size):
            if not now:
                _refuse_hidden()
            reason = "; ".join(text for text in (_reason_in_log(log_size), complaint) if text)
            failure = _restart_failure(service, before, now, wrong, reason)
            raise (_NotAsConfigured if fresh or not now else CommandExecutionError)(failure)
        time.sleep(POLL_S)


def _silence():
    """
    Why xm cannot talk to xend yet: it listens for guests some seconds before it answers.
    """
    try:
        __salt__["xm.list"]()
    except CommandExecutionError as exc:
        return [str(exc)]
    return []


def _restart_failure(service, before, now, wrong, reason):
    if not now:
        text = "xend did not start (service %s)" % service
        advice = "guests run on, but xm does not work and no guest can be moved until it is started"
    elif before and now["pid"] == before["pid"]:
        text = "xend was not restarted: service %s left the old process (pid %s) running" % (
            service,
            now["pid"],
        )
        advice = "when xend was not started by the service manager, run `xend restart` on the host, once"
    else:
        text = "xend was restarted, but does not work as configured: %s" % "; ".join(wrong)
        advice = "look at %s" % _option("log")
    return "%s%s; %s" % (text, ": " + reason if reason else "", advice)


def _reason_in_log(log_size):
    """
    What xend wrote about its failed start. Of a bad value it says nothing on the terminal.
    """
    new = xm_progress.last_part(_option("log"), log_size)
    found = re.findall(r"Exception starting xend \((.*)\)\s*$", new, re.MULTILINE)
    return xend_secrets.masked(xend_text.native(found[-1])) if found else ""
