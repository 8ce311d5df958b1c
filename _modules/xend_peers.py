"""
Other hosts: what the pillar says of them and of this one, who lets whom in, and the firewall between them.

The options are those that ``xend`` tells, which is of the same name for users.
"""

from __future__ import absolute_import

import os
import threading

from salt.exceptions import CommandExecutionError

CHAIN = "XEND-RELOCATION"

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
xend_host = _Utility("xend_host")
xend_options = _Utility("xend_options")
xend_probe = _Utility("xend_probe")
xend_settings = _Utility("xend_settings")
xend_text = _Utility("xend_text")
xend_version = _Utility("xend_version")
xm_away = _Utility("xm_away")
xm_output = _Utility("xm_output")


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _option(name, given=None):
    if given:
        return _given(xend_text.given_text, name, given)
    return _given(xend_settings.option, name, __salt__["config.get"], str(__opts__["id"]))


# A pillar of which a minion has not yet heard that it was changed.
NOT_DECLARED = (
    "; %(peer)s is not in the pillar that this host has: if it was added, `salt %(id)s "
    "saltutil.refresh_pillar` brings it"
)


def probe(host=None, port=None, ssl=False, timeout=5, source=None, config=None):
    """
    Ask the relocation port of peers whether the xend that runs there would let this host in.

    host
        minion id (as in the pillar ``xend:relocation:hosts``), address or name of a peer, or a list of
        them; default: all other hosts in that pillar
    port
        their relocation port; default: what the pillar says of the peer, else this host's own, which xend
        takes, too (xend 4.4 XendDomain.domain_migrate)
    ssl
        ask over TLS
    timeout
        seconds that one answer may take, whatever the peer does
    source
        the local address to ask from; default: option ``xend:source``, else the routing table
    config
        the file that names this host's own port

    Only the harmless operation ``help`` is sent. Returns ``result`` (``accepted``, ``rejected``,
    ``refused``, ``unreachable``, ``timeout`` or ``not-xend``), ``message``, ``address``, ``port`` and
    ``source`` (the local address that the peer saw; None when there was no connection); for several peers a
    dict from peer to that.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.probe 10.20.0.12
        salt 'xen*' xend.probe
    """
    declared, seconds = declared_hosts(), _given(xend_text.given_seconds, "timeout", timeout)
    if host is None:
        hosts = [one for one in declared if one != str(__opts__["id"]) and declared[one]["address"]]
    else:
        hosts = host if isinstance(host, (list, tuple)) else [host]
    if not hosts:
        raise CommandExecutionError("name a host, or list hosts in the pillar xend:relocation:hosts")
    # Under Python 2 the name of a loop in brackets stays: not `host`, which is asked for below.
    asked = [(_given(xend_text.given_text, "host", one), peer(one, port, ssl, config)) for one in hosts]
    checked_port = xend_options.written
    try:
        peers = dict(
            (name, (where["address"], int(checked_port("xend-relocation-port", where["port"], _Utility))))
            for name, where in asked
        )
        own = declared.get(str(__opts__["id"]), {}).get("address")
        source = xend_text.native(source) or _option("source")
        if isinstance(source, (list, dict)):
            raise ValueError("source: %s is no address" % xend_text.quoted(source))
        answers = _ask_all(peers, ssl, seconds, source, own)
    except (TypeError, ValueError) as exc:
        raise CommandExecutionError(str(exc))
    for name, where in asked:
        said = answers[name]
        # An address was asked as it is; a name by what the DNS has, if anything.
        if where["id"] is None and said["address"] != name and said["result"] != "accepted":
            said["message"] += NOT_DECLARED % {"peer": name, "id": xend_text.native(__opts__["id"])}
    return answers if host is None or isinstance(host, (list, tuple)) else answers[asked[0][0]]


def outlook(hosts=None):
    """
    All that ``salt-run xend.matrix`` asks a host, in one answer.

    hosts
        a list of minion ids of those whose doors are asked, but its own; default: all in the pillar
        ``xend:relocation:hosts``

    Returns ``answers`` (a dict from each of them to what ``xend.probe`` says), ``version`` (that of Xen's
    tools as text; None when xm does not tell it), ``free_mib`` (memory that no domain has), ``guests`` (how
    many run), ``closed`` (why it takes no guests, see ``xm.evacuation``; "" when it does), ``pending`` (as
    ``xend.status``), each None when that cannot be told, ``problem`` (why the host could not say all of it,
    or None) and ``modules`` (the version of Xend for Salt here).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.outlook
    """
    if hosts is not None and not isinstance(hosts, (list, tuple)):
        raise CommandExecutionError("hosts: %s is no list of minion ids" % xend_text.quoted(hosts))
    found = dict.fromkeys(["version", "free_mib", "guests", "closed", "pending"])
    found["answers"], found["modules"], problems = {}, xend_version.version(), []
    # What one cannot tell, another may; but a xend that does not answer is asked no more.
    for asks in ((lambda: _doors(hosts),), (_pending,), (_memory, _guests), (_closed,)):
        try:
            for ask in asks:
                found.update(ask())
        except CommandExecutionError as exc:
            problems.append(str(exc))
    return dict(found, problem="; ".join(problems) or None)


def _doors(hosts):
    others = [host for host in hosts or sorted(declared_hosts()) if host != str(__opts__["id"])]
    return {"answers": probe(others) if others else {}}


def _pending():
    return {"pending": __salt__["xend.status"]()["pending"]}


def _memory():
    said = __salt__["xm.info"]()
    version, free_mib = xm_output.tools_version(said), said.get("free_memory")
    return {
        "version": version and ".".join([str(number) for number in version]),
        "free_mib": free_mib if isinstance(free_mib, int) else None,
    }


def _guests():
    domids = [row["domid"] for row in __salt__["xm.list"]().values()]
    return {"guests": len([domid for domid in domids if domid])}


def _closed():
    return {"closed": xm_away.refusal(__salt__["xm.evacuation"](), str(__opts__["id"]))}


def peer(host, port=None, ssl=False, config=None):
    """
    Where the xend of another host takes guests.

    host
        its minion id, address or name
    port
        its relocation port; default: what the pillar says of it, else this host's own, which xend takes,
        too (xend 4.4 XendDomain.domain_migrate)
    ssl
        the port for TLS
    config
        the file that names this host's own port

    Returns ``id`` (None when the pillar does not name it), ``address`` and ``port``. Nobody is asked.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.peer xen2
    """
    host, declared = _given(xend_text.given_text, "host", host), declared_hosts()
    ids = sorted([one for one in declared if host in (one, declared[one]["address"])])
    known = host if host in ids else (ids or [None])[0]
    where = declared.get(known, {})
    kind = "ssl_port" if ssl else "port"
    if port is None:
        port = where[kind] if where else __salt__["xend.relocation"](config, lenient=True)[kind]
    return {"id": known, "address": where.get("address") or host, "port": port}


def _ask_all(peers, ssl, timeout_s, source, own):
    """
    Ask all peers at once, so that the slowest one decides how long it takes.
    """
    ask = xend_probe.ask
    answers, failures = {}, []

    def keep(peer, host, port):
        try:
            answers[peer] = ask(host, port, timeout_s, ssl, source, own)
        except Exception as exc:
            # Whatever it is, it would end with the thread, and nobody would hear of it.
            failures.append(
                "%s (%s:%s) could not be asked from %.60s: %.200s"
                % (peer, host, port, source or "this host", exc)
            )

    threads = [
        threading.Thread(target=keep, args=(peer, host, port))
        for peer, (host, port) in peers.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise CommandExecutionError("; ".join(sorted(failures)))
    return answers


# What the pillar says


def _pillar():
    """
    The pillar `xend`, whatever it is. Where it has no relocation, the minion's own configuration may.
    """
    # Not pillar.get: from Salt 3008 on it hides values from everything but templates.
    given = __pillar__.get("xend")
    if (given is None or isinstance(given, dict)) and "relocation" not in (given or {}):
        relocation = __salt__["config.get"]("xend:relocation", None)
        given = given if relocation is None else dict(given or {}, relocation=relocation)
    return given


def settings():
    """
    What the pillar ``xend`` says for this host, with defaults filled in, and all that is wrong with it.

    The SLS ``xend.relocation`` and ``xend.firewall`` ask this. Returns ``relocation`` (the settings of the
    configuration file, as for ``xend.configure``), ``restart``, ``restart_accept``, ``ports`` (on which xend
    shall listen for guests; empty when relocation is off), ``firewall`` (``asked``, ``sources``, ``save``,
    ``wrong``), ``hosts`` (as ``xend.declared_hosts`` returns them) and ``wrong``: a list of sentences, each
    with the path of the key, its value and what would be right. While anything is wrong, nothing is written.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.settings
    """
    errors = __pillar__.get("_errors") or []
    return xend_settings.settings(_pillar(), str(__opts__["id"]), _Utility, errors)


# What `ready` says, and what to do where it is not so.
RUNS = "xend %(version)s runs here"
NO_XEND = (
    "there is no xend here: neither %(xm)s nor %(config)s is there. Hosts with xl instead have none, and "
    "nothing of this is for them"
)
STOPPED = "xend does not run: start it with `service %(service)s start`"
UNREAD = "xm does not answer: %(why)s"
NOTHING_WRONG = "%(config)s was read: nothing is wrong in it"
SOMETHING_WRONG = "%(config)s was read; something in it is wrong or dangerous: `xend.check` says what"
IN_PILLAR = "the pillar declares this host as %(address)s, and beside it %(others)s"
SWITCHED_OFF = "the pillar switches relocation off for this host"
IN_FORCE = "the settings of the pillar are in force"
NOT_IN_FORCE = "the settings of the pillar are not in force yet: `state.apply xend.relocation` applies them"


def ready():
    """
    Whether this minion is ready for guests that come and go, in words: the first thing to ask after
    ``saltutil.sync_all``, and again after ``state.apply xend.relocation``.

    Returns a dict: ``ready`` (bool), ``says``, a list of sentences on xend, its file, the pillar, and whether
    what that wants is in force, each with what to do where something is missing, and ``modules``, the version
    of Xend for Salt here.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.ready
    """
    told = [_xend_runs(), _file_is_fine(), _is_declared()]
    if told[-1][0]:
        is_so = as_wanted()["configured"]
        told.append((is_so, IN_FORCE if is_so else NOT_IN_FORCE))
    found = {"ready": all([is_so for is_so, _text in told]), "says": [text for _is_so, text in told]}
    return dict(found, modules=xend_version.version())


def _xend_runs():
    config, command = _option("config"), _option("xm")
    is_there = os.path.exists(config) or __salt__["cmd.which"](command)
    if not is_there:
        return False, NO_XEND % {"xm": command, "config": config}
    if not xend_host.process(_option("pidfile")):
        return False, STOPPED % {"service": __salt__["xend.service"]()}
    try:
        version = xm_output.tools_version(__salt__["xm.info"]())
    except CommandExecutionError as exc:
        return False, UNREAD % {"why": exc}
    return True, RUNS % {"version": ".".join([str(number) for number in version or ["(version not known)"]])}


def _file_is_fine():
    config = _option("config")
    try:
        found = [one["severity"] for one in __salt__["xend.check"]()]
    except CommandExecutionError as exc:
        return False, str(exc)
    is_bad = "error" in found or "warning" in found
    return "error" not in found, (SOMETHING_WRONG if is_bad else NOTHING_WRONG) % {"config": config}


def _is_declared():
    wanted, own = settings(), str(__opts__["id"])
    if wanted["wrong"]:
        return False, "in the pillar, %s" % "; ".join(wanted["wrong"])
    if not wanted["ports"]:
        return True, SWITCHED_OFF
    others = ", ".join([host for host in sorted(wanted["hosts"]) if host != own]) or "no other"
    return True, IN_PILLAR % {"address": wanted["relocation"]["address"], "others": others}


def as_wanted():
    """
    Whether this host is as the pillar wants it for guests that come and go, for the orchestrations;
    ``xend.ready`` says it in words.

    Returns a dict: ``configured`` (bool: the states of xend.relocation have nothing to do, in the file and in
    xend; a firewall is not looked at) and ``guarded`` (bool: a firewall is asked for).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.as_wanted
    """
    wanted = settings()
    asked = wanted["relocation"]
    try:
        configured = not (
            wanted["wrong"]
            or __salt__["xend.configure"](test=True, **asked)["changed"]
            or __salt__["xend.listens"](**asked)["problems"]
            or (wanted["restart"] and __salt__["xend.status"]()["pending"])
        )
    except CommandExecutionError:
        # The states say what is wrong.
        configured = False
    return {"configured": configured, "guarded": bool(wanted["ports"] and wanted["firewall"]["asked"])}


def declared_hosts():
    """
    The hosts that may exchange guests, as the pillar ``xend:relocation:hosts`` declares them.

    Returns a dict from minion id to ``address``, ``port`` and ``ssl_port``, whether the pillar gives a
    bare address or a mapping for the host; a host without an address has None. Raises an error that names
    everything in that map which is not as it must be: each host has one IPv4 address, no two the same.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.declared_hosts
    """
    hosts, wrong = xend_settings.declared(_pillar(), _Utility)
    if wrong:
        raise CommandExecutionError("in the pillar, %s" % "; ".join(wrong))
    return hosts


def firewall_sources(entries):
    """
    The peers of an allow list in the one spelling that iptables shows, for the SLS xend.firewall.

    entries
        a list of IPv4 addresses and networks, or one of them; names and regular expressions, which
        xend itself could judge, are wrong here

    Returns a dict: ``sources``, the networks (``10.20.0.12/32``), sorted, none inside another; ``wrong``,
    what is wrong with the entries and what to write instead, else an empty text. An SLS can make a
    failing state of that; an error would keep it from being rendered.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.firewall_sources '[10.20.0.12, 10.20.4.0/22]'
    """
    try:
        return {"sources": xend_allow.sources(entries), "wrong": ""}
    except ValueError as exc:
        return {"sources": [], "wrong": str(exc)}


def guard(ports, sources):
    """
    Whether the firewall rules of the SLS xend.firewall stand, so that only the peers reach xend.

    ports
        the relocation ports, a list of ints
    sources
        the peers, as ``xend.firewall_sources`` spells them

    Returns a dict: ``problems``, a list of sentences, empty when the rules stand; ``lacks`` (bool), whether
    this host has no iptables that work, so that no rule can be made; ``open``, where the running xend
    listens on one of these ports now, as a list of "address:port".

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.guard '[8002]' '[10.20.0.12/32]'
    """
    for argument, values in (("ports", ports), ("sources", sources)):
        if not isinstance(values, (list, tuple)):
            raise CommandExecutionError("%s: %s is no list" % (argument, xend_text.quoted(values)))
    process = xend_host.process(_option("pidfile"))
    listening = xend_host.listening(process["pid"]) if process else []
    lack = _lack_of_iptables()
    found = {
        "problems": [lack] if lack else [],
        "lacks": bool(lack),
        "open": [one for port in ports for one in xend_host.on_port(port, listening or [])],
    }
    if not lack:
        table = __salt__["iptables.get_rules"]().get("filter", {})
        found["problems"] += xend_settings.unguarded(table, CHAIN, ports, sources)
    return found


def _lack_of_iptables():
    """
    Why no rules can be made here, in words; None when they can.
    """
    if "iptables.get_rules" not in __salt__:
        return "this host has no iptables: install it, and restart the minion"
    # As Salt, which looks there for programs as well.
    path = os.environ.get("PATH", "") + ":/sbin:/usr/sbin"
    done = __salt__["cmd.run_all"](
        ["iptables", "-n", "-L", "INPUT"],
        python_shell=False,
        env={"PATH": path, "LC_ALL": "C"},
        ignore_retcode=True,
        output_loglevel="quiet",
    )
    if done["retcode"] == 0:
        return None
    return "iptables does not work on this host: %s" % (done["stderr"] or done["stdout"] or done["retcode"])
