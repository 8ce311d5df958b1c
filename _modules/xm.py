"""
See the guests of a xend host through the ``xm`` command, and move them to other hosts.

The configuration of xend is the business of the ``xend`` module; what xm's output means, and what a
host's report means for a guest, is decided in ``_utils``, which knows no Salt.

Options, from the minion configuration or the pillar:

``xend:xm``
    the command, default ``xm``
``xend:kept``
    the folder in which descriptions of guests are kept while they are moved, default
    ``/var/lib/xend-for-salt``
"""

from __future__ import absolute_import

import os
import re
import time

from salt.exceptions import CommandExecutionError
from salt.utils.atomicfile import atomic_open as _atomic_open

__func_alias__ = {"list_": "list"}

DEFAULTS = {"xm": "xm", "kept": "/var/lib/xend-for-salt"}

# xm has to load a lot of Python on old machines, and xend may be busy.
ANSWER_S = 120

POLL_S = 0.5

# How long the source may take to rename a guest back after xm has reported a failure.
SETTLE_S = 15


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xm"


def _pure(name):
    """
    A function of the utilities. Synced files come first; Salt 3006 and later do not load the
    utilities of an installed extension into __utils__, there the package is asked.
    """
    try:
        function = __utils__[name]
    except KeyError:
        module, function = name.split(".")
        package = __import__("xend_for_salt." + module, globals(), locals(), [function])
        return getattr(package, function)
    # Salt's wrapper switches to the loader of the utilities, where the functions that are handed to
    # them would find no __salt__, and it cannot be used by two threads at once.
    return getattr(function, "__wrapped__", function)


def _option(name):
    return __salt__["config.get"]("xend:" + name, None) or DEFAULTS[name]


# The one way to the xm command


def _run(arguments, timeout=ANSWER_S):
    return __salt__["cmd.run_all"](
        [_option("xm")] + [str(argument) for argument in arguments],
        python_shell=False,
        ignore_retcode=True,
        timeout=timeout,
        env={"LC_ALL": "C"},
        output_loglevel="debug",
    )


def _said(result):
    """
    What xm said went wrong. On failure it prints its usage on stdout and one `Error:` line on stderr.
    """
    errors = re.findall(r"^Error: (.*)$", result["stderr"], re.MULTILINE)
    if errors:
        return errors[-1]
    lines = [
        line
        for line in result["stderr"].splitlines() or result["stdout"].splitlines()
        if line.strip() and not line.startswith("WARNING: ")
    ]
    return lines[-1] if lines else "exit code %s and no message" % result["retcode"]


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
    raise CommandExecutionError("xm %s: %s" % (arguments[0], said))


# Seeing


def info():
    """
    What ``xm info`` says of this host: a dict of its lines; whole numbers are ints (memory in MiB).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.info
    """
    return _pure("xm_output.info")(_ask(["info"]))


def _rows():
    try:
        return _pure("xm_output.domains")(_ask(["list"]) or "")
    except ValueError as exc:
        raise CommandExecutionError("xm list: %s" % exc.args[0])


def _row(name):
    for row in _rows():
        if row["name"] == name:
            return row
    return None


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
    sentences = {
        "sent": "%s is being sent, or is left over from a migration that broke",
        "received": "%s is being received, or is left over from a migration that broke",
    }
    return [sentences[how] % name for name, how in _pure("xm_output.moving")(_rows())]


def domain(name):
    """
    Everything that another host must know of a guest before it can take it.

    name
        the name of the domain

    Returns None when there is no such domain here, else a dict: ``name``, ``uuid``, ``domid``,
    ``memory_mib``, ``maxmem_mib``, ``shadow_memory_mib``, ``vcpus``, ``state``, ``runs`` (bool: alive,
    not paused), ``image`` (``linux``, ``hvm``), ``nomigrate``, ``disks``, ``vifs``, ``pci`` (lists of
    dicts) and ``sxp`` (the description as xend prints it).

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.domain web01
    """
    name = str(name)
    row = _row(name)
    if row is None:
        return None
    text = _ask(["list", "--long", _reference(row)])
    if text is None:
        return None
    try:
        # Before 2018.3, Salt under Python 2 returns bytes.
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        forms = _pure("xend_sxp.parse")(data).forms()
    except ValueError as exc:
        raise CommandExecutionError("xm list --long %s: %s" % (name, exc.args[0]))
    if not forms or not isinstance(forms[0], list):
        raise CommandExecutionError("xm list --long %s printed no domain" % name)
    found = _pure("xm_output.describe")(forms[0])
    # The table and the description are two looks; the table is what people compare with.
    found.update(state=row["state"], runs=_pure("xm_output.runs")(row["state"]), sxp=text)
    return found


def _reference(row):
    """
    How to name a domain to xm. A name that begins with a hyphen would be read as an option; the id of
    a domain stays the same as long as it lives here.
    """
    return row["name"] if not row["name"].startswith("-") else str(row["domid"])


# Checking


def _check(blockers, warnings):
    return {"ok": not blockers, "blockers": blockers, "warnings": warnings}


def can_send(name, target, port=None, ssl=False, ask=True):
    """
    Whether a guest can leave this host for another one. Nothing is changed.

    name
        the domain
    target
        the minion id of the other host, as in the pillar ``xend:relocation:hosts``, or its address
    port, ssl
        where and how the target listens; default: what the pillar says of it, without TLS unless this
        host's own xend-relocation-ssl is on, which xm cannot overrule. TLS hides the guest's memory on
        the way; xend verifies no certificate
    ask
        ask the target's relocation port whether it lets this host in

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.can_send web01 target=xen2
    """
    name = str(name)
    peer = _peer(target, port, _flag("ssl", ssl))
    blockers, warnings = _blockers_of(name), []
    if peer["own"]:
        blockers.append("the target %s (%s) is this host itself" % (target, peer["address"]))
    elif ask:
        answer = __salt__["xend.probe"](peer["address"], port=peer["port"], ssl=peer["ssl"])
        if answer["result"] != "accepted":
            blockers.append(answer["message"])
    else:
        warnings.append("the relocation port of %s was not asked" % target)
    return _check(blockers, warnings)


def _blockers_of(name):
    """
    Why a guest cannot be sent, as far as this host alone can tell.
    """
    if name == "Domain-0":
        return ["Domain-0 is the host itself and cannot be moved"]
    if name.startswith("migrating-"):
        return [
            "%s is the name that xend gives a domain while it is sent; migrating it under that name "
            "wedges it: wait until it has left, or mend it if its migration broke (xm.moving)"
            % name
        ]
    found = domain(name)
    if found is None:
        if _row("migrating-" + name):
            return ["%s is being sent already, or is left over from a migration that broke" % name]
        return ["there is no domain %s on this host" % name]
    blockers = []
    if not found["runs"]:
        blockers.append(
            "%s does not run (state %s); a guest must run to be moved: unpause or start it first"
            % (name, found["state"] or "not started")
        )
    if found["nomigrate"]:
        blockers.append("%s is marked nomigrate in its configuration" % name)
    if found["pci"]:
        blockers.append(
            "%s has %d PCI device(s) of this host passed through; detach them first"
            % (name, len(found["pci"]))
        )
    return blockers


def _peer(target, port=None, ssl=False):
    """
    Where the xend of another host listens, and whether that is this host itself.
    """
    target = str(target)
    declared = __salt__["xend.declared_hosts"]()
    where = declared.get(target, {})
    address = where.get("address") or target
    if target in declared and not where.get("address"):
        raise CommandExecutionError(
            "%s has no address in the pillar xend:relocation:hosts" % target
        )
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z", address):
        raise CommandExecutionError(
            "target %r is neither a minion id in the pillar xend:relocation:hosts nor an address or a "
            "host name" % target
        )
    own = declared.get(__opts__["id"], {}).get("address")
    ssl = ssl or _always_tls()
    if port is None:
        port = where.get("ssl_port" if ssl else "port") or (8003 if ssl else 8002)
    port = _port(port)
    # xend would "migrate" a guest to its own host under another id.
    own_names = (__opts__["id"], __grains__.get("host"), __grains__.get("fqdn"), "localhost")
    return {
        "address": address,
        "ssl": ssl,
        "port": port,
        "own": target in own_names or address in (own, "127.0.0.1"),
    }


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


def can_receive(domain, config=None):
    """
    Whether this host can take a guest. Nothing is changed.

    domain
        the description of the guest, as ``xm.domain`` on its host returns it
    config
        the configuration file of xend

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.can_receive '{"name": "web01", "memory_mib": 96}'
    """
    if not _is_description(domain):
        raise CommandExecutionError(
            "domain: %r is no description of a guest; give what xm.domain returns on its host"
            % (domain,)
        )
    # xend asks for the shadow memory of a HVM guest on top (xend 4.4 XendCheckpoint.restore).
    needed_mib = domain["memory_mib"] + (domain.get("shadow_memory_mib") or 0)
    blockers = _same_identity(domain) + _too_little_memory(needed_mib, config)
    return _check(blockers, [])


def _is_description(domain):
    return (
        isinstance(domain, dict)
        and bool(domain.get("name"))
        and isinstance(domain.get("memory_mib"), int)
        and domain["memory_mib"] > 0
    )


def _same_identity(wanted):
    blockers = []
    for row in _rows():
        plain = row["name"]
        if plain.startswith("migrating-"):
            plain = plain[len("migrating-") :]
        if plain == wanted["name"]:
            blockers.append(
                "the name %s is in use here, by domain %s in state %s; %s"
                % (
                    row["name"],
                    row["domid"],
                    row["state"] or "not started",
                    "xend refuses a second one with that name"
                    if plain == row["name"]
                    else "that one is being sent, or is left over from a migration that broke",
                )
            )
        elif row["domid"] != 0 and wanted.get("uuid"):
            other = domain(row["name"])
            if other and other["uuid"] == wanted["uuid"]:
                blockers.append(
                    "the uuid %s of %s is in use here, by %s"
                    % (wanted["uuid"], wanted["name"], row["name"])
                )
    return blockers


def _too_little_memory(needed_mib, config):
    free_mib = info()["free_memory"]
    given_back_mib = _from_dom0(config)
    if needed_mib <= free_mib + given_back_mib:
        return []
    return [
        "%d MiB are needed here; %d MiB are free, and dom0 may give back %d MiB"
        % (needed_mib, free_mib, given_back_mib)
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


def migrate(name, target, live=True, port=None, ssl=False, node=None, timeout=None):
    """
    Send a guest to another host.

    name
        the domain
    target
        the minion id of the other host, as in the pillar ``xend:relocation:hosts``, or its address
    live
        let the guest run while its memory is sent; else it is suspended first
    port, ssl
        where and how the target listens; default: what the pillar says of it, without TLS unless this
        host's own xend-relocation-ssl is on, which xm cannot overrule. TLS hides the guest's memory on
        the way; xend verifies no certificate
    node
        the NUMA node on the target (xend 3.3 and later)
    timeout
        seconds to wait for the transfer; default: by the memory of the guest, at least 300

    Everything that ``xm.can_send`` checks is checked first. Returns ``name``, ``uuid``, ``address``,
    ``port``, ``seconds``, ``kept`` (the file with the guest's description) and ``comment`` once this host
    has no copy of the guest any more. **That is not yet success**: xend gives no acknowledgement, and
    ``xm migrate`` exits 0 with the guest lost; only the target can tell whether it arrived, which the
    orchestration ``xend.orch.migrate`` verifies. Raises an error that says where the guest is when it has
    not left.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.migrate web01 target=xen2
        salt xen1 xm.migrate web01 target=10.20.0.12 live=False timeout=900
    """
    name = str(name)
    check_options(live=live, port=port, ssl=ssl, node=node, timeout=timeout)
    check = can_send(name, target, port, ssl)
    if not check["ok"]:
        raise CommandExecutionError(
            "%s was not moved: %s. %s"
            % (name, "; ".join(check["blockers"]), _where_now(name))
        )
    peer = _peer(target, port, ssl)
    options = _migrate_options(live, peer["port"], peer["ssl"], node)
    guest = domain(name)
    if guest is None:
        raise CommandExecutionError("%s has left this host while it was checked" % name)
    limit = _limit(timeout, guest)
    kept = _keep(guest)
    began = _clock()
    result = _run(["migrate"] + options + [_reference(guest), peer["address"]], timeout=limit)
    seconds = _clock() - began
    over = seconds < limit
    state, words = _look(name, over)
    if state != "gone":
        said = (
            "it was not done after %d s" % limit if not over else "xm migrate: %s" % _said(result)
        )
        raise CommandExecutionError("%s was not moved: %s. %s" % (name, said, words))
    return {
        "name": name,
        "uuid": guest["uuid"],
        "address": peer["address"],
        "port": peer["port"],
        "seconds": round(seconds, 1),
        "kept": kept,
        "comment": words,
    }


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


def _seconds(name, value):
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise CommandExecutionError("%s: %r is no number of seconds" % (name, value))
    return seconds


def _flag(name, value):
    if value in (True, False):
        return bool(value)
    raise CommandExecutionError(
        "%s: %r is neither true nor false (text in quotes is no boolean)" % (name, value)
    )


def check_options(live=True, port=None, ssl=False, node=None, timeout=None, settle=60):
    """
    Whether these options of a migration make sense; nothing else is looked at.

    live, port, ssl, node, timeout
        as for ``xm.migrate``
    settle
        as ``timeout`` for ``xm.arrival``

    Returns True. Raises an error that names the option, its value and what would be right.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.check_options timeout=900 live=False
    """
    _flag("live", live)
    _flag("ssl", ssl)
    _node(node)
    _seconds("settle", settle)
    if port is not None:
        _port(port)
    if timeout is not None:
        _limit(timeout, None)
    return True


def _node(node):
    if node is not None and not re.match(r"[0-9]+\Z", str(node)):
        raise CommandExecutionError("node: %r is no number of a NUMA node" % (node,))


def _port(port):
    try:
        return int(_pure("xend_options.written")("xend-relocation-port", port))
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _migrate_options(live, port, ssl, node):
    """
    The options of xm migrate. The default port is the *source's* own xend-relocation-port; naming the
    target's is right on every version.
    """
    options = ["--live"] if live else []
    options.append("--port=%d" % port)
    if ssl or node is not None:
        host = info()
        version = (host.get("xen_major", 0), host.get("xen_minor", 0))
        if version < (3, 3):
            raise CommandExecutionError(
                "xm migrate has no %s before Xen 3.3; this host runs %d.%d"
                % (("--ssl" if ssl else "--node",) + version)
            )
    if ssl:
        options.append("--ssl")
    if node is not None:
        options.append("--node=%d" % int(node))
    return options


def _look(name, over):
    """
    Where a guest is, seen from here, after xm migrate has ended by itself (OVER), or was not waited for
    any longer (not OVER), or when that is not known (None).

    Returns the state and the sentence. After a failure xend needs a moment to give the guest its name
    back, and after a restart some seconds before it answers.
    """
    deadline = _clock() + (0 if over is False else SETTLE_S)
    while True:
        problem, state, row = None, "unknown", None
        try:
            rows = dict((row["name"], row) for row in _rows())
            row = rows.get("migrating-" + name) or rows.get(name)
            state = _pure("xm_outcome.source_state")(
                _seen(rows.get(name)), rows.get("migrating-" + name), over
            )
        except CommandExecutionError as exc:
            problem = exc
        if state not in ("renamed", "unknown") or _clock() >= deadline:
            words = _pure("xm_outcome.say")(
                "source",
                state,
                name=name,
                host=__opts__["id"],
                state=row and row["state"],
                problem=problem,
            )
            return state, words
        time.sleep(POLL_S)


def _seen(row):
    return row and dict(row, runs=_pure("xm_output.runs")(row["state"]))


def _where_now(name):
    if _row(name) is None and _row("migrating-" + name) is None:
        return (
            "%s was not looked for on other hosts; `xm.list` on all hosts shows where it is" % name
        )
    return _look(name, None)[1]


def departure(name):
    """
    Where a guest is, seen from the host that was to send it.

    name
        the domain

    Returns ``state`` (``gone``, ``running``, ``halted``, ``migrating`` or ``unknown``) and ``comment``.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.departure web01
    """
    state, comment = _look(str(name), None)
    return {"state": state, "comment": comment}


def arrival(name, uuid=None, source=None, failed=False, timeout=60):
    """
    Whether a guest that was sent to this host has arrived and runs.

    name, uuid
        the domain that is expected
    source
        the host that it came from, for the report
    failed
        the migration failed on the source; the report then says only what this host holds
    timeout
        seconds to wait until it runs: xm on the source returns up to some seconds before that

    Returns ``arrived`` (bool), ``state`` (``running``, ``incomplete``, ``missing``, ``other``, ``halted``
    or ``unknown``) and ``comment``.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.arrival web01 source=xen1
    """
    name = str(name)
    timeout = _seconds("timeout", timeout)
    began = _clock()
    while True:
        problem, row = None, None
        try:
            row = domain(name)
            state = _pure("xm_outcome.target_state")(row, uuid)
        except CommandExecutionError as exc:
            problem, state = exc, "unknown"
        seconds = _clock() - began
        if state == "running" or seconds >= timeout:
            break
        time.sleep(POLL_S)
    comment = _pure("xm_outcome.say")(
        # Without its source nobody knows whether the guest was sent at all.
        "failed" if failed or not source else "target",
        state,
        name=name,
        host=__opts__["id"],
        source=source or "the source",
        state=row and row["state"],
        seconds=seconds,
        problem=problem,
        found=row and row["uuid"],
        uuid=uuid,
    )
    return {"arrived": state == "running", "state": state, "comment": comment}


def restart_advice(domain, state):
    """
    What is needed to start a guest again that a migration has lost; its description is kept here.

    domain
        its description, as ``xm.domain`` returned it before the migration
    state
        what ``xm.arrival`` reported

    Returns text; empty when the state is not that of a lost guest.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.restart_advice '{"name": "web01", "memory_mib": 96}' missing
    """
    if not _pure("xm_outcome.lost")(state):
        return ""
    disks = ", ".join(disk.get("uname", "?") for disk in domain.get("disks") or []) or "no disks"
    what = "uuid %s, %s MiB, %s" % (domain.get("uuid"), domain.get("memory_mib"), disks)
    try:
        kept = "is kept in %s on this host" % _keep(domain)
    except CommandExecutionError as exc:
        # That the guest is lost must be said whatever else fails.
        kept = "could not be kept here (%s); the source kept it before it sent the guest" % exc
    return _pure("xm_outcome.how_to_start_again")(
        state, domain["name"], __opts__["id"], what, kept
    )


def _keep(domain):
    """
    Keep the description of a guest on this host, so that it can be started again whatever happens.

    Returns the file, which holds what `xm list --long` printed; one file per name and uuid.
    """
    folder = _option("kept")
    label = re.sub(r"[^A-Za-z0-9_.+-]", "_", "%s.%s" % (domain["name"], domain.get("uuid")))
    path = os.path.join(folder, "%s.sxp" % label.lstrip(".-"))
    text = domain.get("sxp") or ""
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder, 0o700)
        # Replaced as a whole and readable for root only: it may hold the guest's VNC password.
        with _atomic_open(path, "wb") as stream:
            stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(path, 0o600)
    except EnvironmentError as exc:
        raise CommandExecutionError(
            "%s: the description of %s cannot be kept there: %s"
            % (path, domain["name"], exc.strerror)
        )
    return path
