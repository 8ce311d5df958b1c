"""
Read and change the configuration of xend, and see and control the xend that runs with it.

Guests are the business of the ``xm`` module. What the bytes of the file mean, which settings go
together and what an allow list admits is decided in ``_utils``, which knows no Salt.

Options, from the minion configuration or the pillar:

``xend:config``
    the configuration file, default ``/etc/xen/xend-config.sxp``
``xend:service``
    the name of the service, default ``xend``, or ``xen`` (Debian) where only that one exists.
    For these two, what the pillar ``xend:relocation`` says for this host or for all comes first
``xend:root``
    the file system of the host, for a minion in a container; default: the minion's own
``xend:pidfile``, ``xend:log``
    default ``/var/run/xend.pid`` and ``/var/log/xen/xend.log``
``xend:source``
    the local address that ``xend.probe`` asks from; default: the routing table decides, as for xend
``xend:python``
    the Python that xend runs with, which tells what runs here while xend is down; default ``/usr/bin/python``
``xend:kept``
    the folder of the locks and reservations that keep restarts and migrations apart, the same as that of
    the ``xm`` module, default ``/var/lib/xend-for-salt``. Only a folder of the minion's own user, to which
    nobody else may write, is used
"""

from __future__ import absolute_import

import contextlib
import errno
import logging
import os
import re
import socket
import threading
import time

from salt.exceptions import CommandExecutionError
from salt.utils.odict import OrderedDict as _OrderedDict

try:
    from salt.utils.files import backup_minion as _backup_minion
except ImportError:
    # Salt before 2018.3
    from salt.utils import backup_minion as _backup_minion

log = logging.getLogger(__name__)

__func_alias__ = {"list_": "list", "set_": "set"}

DEFAULTS = {
    "config": "/etc/xen/xend-config.sxp",
    "service": None,
    "pidfile": "/var/run/xend.pid",
    "log": "/var/log/xen/xend.log",
    "source": None,
    "kept": "/var/lib/xend-for-salt",
    "python": "/usr/bin/python",
    "root": "",
}

# Where xend keeps the guests that it manages, unless its file says so (xend-domains-path).
DOMAINS = "/var/lib/xend/domains"

# The version whose parser can read least.
OLDEST = (3, 0, 3)

# Deeper than anything xend reads, and what Salt's own serialisation carries without trouble.
DEEPEST = 50

# How long the hypervisor and xenstore may take to answer.
ANSWER_S = 30

# A file is kept in no time.
LOCK_S = 10

POLL_S = 0.2
CLOCK_S = 0.02


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    try:
        # Nearly every function needs these. Loaded with the module, as Salt does with what a module
        # imports, they cost the first call nothing.
        xend_sxp.parse(b"")
        xend_allow.problems("")
        xend_settings.declared(None)
    except ImportError:
        return False, "the utilities of xend are not there: run saltutil.sync_all"
    return "xend"


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


xend_allow = _Utility("xend_allow")
xend_check = _Utility("xend_check")
xend_file = _Utility("xend_file")
xend_host = _Utility("xend_host")
xend_lifecycle = _Utility("xend_lifecycle")
xend_lock = _Utility("xend_lock")
xend_options = _Utility("xend_options")
xend_probe = _Utility("xend_probe")
xend_secrets = _Utility("xend_secrets")
xend_settings = _Utility("xend_settings")
xend_sxp = _Utility("xend_sxp")
xm_files = _Utility("xm_files")
xm_output = _Utility("xm_output")
xm_progress = _Utility("xm_progress")


# The options that may differ between hosts that have one pillar; so may what a restart is allowed to do.
PER_HOST = ("config", "service")


def _option(name, given=None):
    if given:
        return _text(name, given)
    found = name in PER_HOST and _said_for_this_host(name)
    found = _native(found or __salt__["config.get"]("xend:" + name, None) or DEFAULTS[name])
    if found is not None and not isinstance(found, str):
        raise CommandExecutionError("the option xend:%s, %r, is no text" % (name, found))
    return found


def _said_for_this_host(name):
    """
    What the pillar xend:relocation says for this host, or for all. One that is no mapping says nothing
    here; the SLS xend.relocation tells what is wrong with it.
    """
    common = __salt__["config.get"]("xend:relocation", None)
    return xend_settings.said_for(common, str(__opts__["id"]), name)


def _native(value):
    """
    Text as the type that messages are made of: under Python 2, YAML gives unicode, which does not mix
    with the bytes that a message quotes from a file.
    """
    is_unicode = not isinstance(value, str) and hasattr(value, "encode")
    return value.encode("utf-8") if is_unicode else value


def _text(argument, value):
    try:
        return xend_options.given_text(argument, value)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


def _seconds(argument, value):
    try:
        return xend_options.given_seconds(argument, value)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])


# Reading the file


def _problem(path, exc):
    """
    An error of the operating system or of the parser, in one line that begins with the file.
    """
    if isinstance(exc, EnvironmentError):
        if exc.errno == errno.ENOENT:
            what = exc.strerror if os.path.islink(path) else "does not exist"
            return CommandExecutionError(
                "%s: %s; name the right file with config= or the option xend:config" % (path, what)
            )
        return CommandExecutionError("%s: %s" % (exc.filename or path, exc.strerror or exc))
    return CommandExecutionError("%s: %s" % (path, _in_words(exc)))


def _in_words(exc):
    """
    What a ValueError says, its quote of a file without passwords.
    """
    if hasattr(exc, "without"):
        exc = exc.without(xend_secrets.piece)
    return exc.args[0] if exc.args else str(exc)


def _document(path):
    try:
        return _parsed(xend_file.read(path))
    except (EnvironmentError, ValueError) as exc:
        raise _problem(path, exc)


def _parsed(data):
    """
    What the xend of this host makes of a file; where its version cannot be known, what the newest does.
    Raises ValueError when it cannot read it.
    """
    if not xend_check.is_ambiguous(data, _Utility):
        return _parser(None)(data)
    try:
        version = xm_output.tools_version(__salt__["xm.info"]())
    except CommandExecutionError as exc:
        # xm is of the same installation as xend and reads the file first; where only the oldest cannot read
        # it, this is the sign that this one is so old.
        version = OLDEST if "ParseError" in str(exc) else None
    try:
        return _parser(version)(data)
    except ValueError as exc:
        raise ValueError("xend %s cannot read it: %s" % (_dotted(version), _in_words(exc)))


def _parser(version):
    """
    The parser of xend of this version, a tuple of ints; None: that of the newest.
    """
    parse = xend_sxp.parse
    return parse if version is None else lambda data: parse(data, _dotted(version))


def _dotted(version):
    return "4.4" if version is None else ".".join([str(part) for part in version])


def _plain(raw, depth=0):
    """
    A raw value as people and Salt's serialisation can take it: text, or lists of it.
    """
    if not isinstance(raw, list):
        return xend_options.text_of(raw)
    if depth >= DEEPEST:
        raise CommandExecutionError("lists are nested deeper than %d levels" % DEEPEST)
    return [_plain(item, depth + 1) for item in raw]


def get(key, default=None, config=None):
    """
    The value that xend reads for a key.

    key
        the key, exactly as in the file: case and hyphens count
    default
        what to return when the key is absent or has no value (xend then uses its own default)
    config
        the file; default: option ``xend:config``, else ``/etc/xen/xend-config.sxp``

    Returns text for an atom or a string, a list for a list. The first list with the key counts, also
    when it has no value (xend 4.4 sxp.child_value). **A password that is asked for by its key**
    (``vncpasswd``) **is returned**, as by no other function, and then lies in the master's job cache.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.get xend-relocation-port
        salt 'xen*' xend.get xend-relocation-address default=everywhere
    """
    raw = _document(_option("config", config)).get(_text("key", key))
    try:
        return default if raw is None else _plain(raw)
    except CommandExecutionError as exc:
        raise CommandExecutionError("%s: %s" % (key, exc))


def list_(config=None):
    """
    Every key that xend reads, with its value, in the order of the file; of a key that stands there
    several times, the first counts.

    Returns an ordered dict from key to text or list, None for a key without a value, ``(not shown)`` for a
    password.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.list
    """
    document = _document(_option("config", config))
    text_of = xend_options.text_of
    found = _OrderedDict()
    for key, raw in document.items():
        key = text_of(key)
        found[xend_secrets.masked(key)] = _outlined(raw, key)
    return found


def _shareable(value):
    """
    A value of the file without passwords: where a quote is missing, one value swallows the lines of others.
    """
    return xend_secrets.masked(value)


def relocation(config=None):
    """
    The relocation settings that xend takes from the file, defaults included.

    Returns ``server``, ``ssl_server``, ``ssl`` (bool), ``port``, ``ssl_port`` (int), ``address`` (text,
    empty for all interfaces), ``hosts_allow`` (list of patterns, empty when everybody is admitted),
    ``ssl_key_file``, ``ssl_cert_file`` (text or None), and ``defaults``: the names of those that are
    not set in the file. Raises an error that names each value which keeps xend from starting.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.relocation
    """
    path = _option("config", config)
    values, defaults, errors = xend_options.effective(_document(path).get)
    if errors:
        raise CommandExecutionError(
            "%s: xend would not start: %s" % (path, _shareable("; ".join(sorted(errors.values()))))
        )
    values = _shareable(values)
    return dict(
        values,
        hosts_allow=xend_allow.split(values["hosts_allow"]) or [],
        defaults=defaults,
    )


def accepts(host, name=None, config=None):
    """
    Whether the file's allow list would let a peer in, evaluated exactly as xend does.

    host
        the peer's IPv4 address, or a host name that resolves to one
    name
        the peer's fully qualified name; default: what reverse DNS says of the address, as xend asks it

    Returns ``accepted`` (bool), ``pattern`` (the one that decided, or None) and ``reason``.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.accepts 10.20.0.11
        salt 'xen*' xend.accepts 10.20.0.11 name=xen1.example.com
    """
    raw = _document(_option("config", config)).get("xend-relocation-hosts-allow")
    if isinstance(raw, list):
        raise CommandExecutionError(
            "xend-relocation-hosts-allow: a list stands where xend expects one string: xend would "
            "not start"
        )
    try:
        address = socket.gethostbyname(_text("host", host))
    except (socket.error, UnicodeError) as exc:
        raise CommandExecutionError("%s is no IPv4 address and does not resolve: %s" % (host, exc))
    # Patterns work on bytes in xend's Python 2; Latin-1 keeps one character per byte.
    value = "" if raw is None else _shareable(raw.decode("latin-1"))
    name = _text("name", name) if name else socket.getfqdn(address)
    return xend_allow.admits(value, address, name)


def check(config=None, version=None):
    """
    What is broken, dead or dangerous in the file.

    config
        the file
    version
        the version of the xend that reads it, like ``3.0.3``; default: what ``xm info`` says, or none
        when xm does not answer, and then nothing is said about what older versions do not know

    Returns a list of findings, empty when all is well, each with ``severity`` (``error``: xend does not
    start, does not see what was written, or admits everybody; ``warning``; ``info``), ``key`` and
    ``line`` (None where there is none), ``message`` and ``fix``.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.check
        salt 'xen*' xend.check config=/root/new-xend-config.sxp version=3.0.3
    """
    path = _option("config", config)
    try:
        data = xend_file.read(path)
    except EnvironmentError as exc:
        raise _problem(path, exc)
    return xend_check.findings(
        data,
        _Utility,
        _tools_version(version),
        xend_host.is_local,
        os.path.exists,
        _tls_folder(),
    )


def _tools_version(given):
    """
    The numbers of a version as a tuple: the given one, or as much as xm tells; None when it does not.
    """
    if given is not None:
        numbers = re.match(r"[0-9]+(\.[0-9]+)*", str(given))
        if not numbers:
            raise CommandExecutionError("version: %.60r is no version; write it like 3.0.3" % (given,))
        return tuple(int(number) for number in numbers.group().split("."))
    try:
        return xm_output.tools_version(__salt__["xm.info"]())
    except CommandExecutionError:
        # No xm, no xend, or a xend that this very file keeps from starting.
        return None


# Changing the file


def _diff(path, old, new):
    name = path if isinstance(path, bytes) else path.encode("utf-8")
    return xend_options.text_of(xend_secrets.diff(name, old, new))


def _backup(mode):
    """
    A function that keeps a copy of a file in the minion's cache, when Salt's backup option says so.
    """
    if __salt__["config.backup_mode"](mode) not in ("minion", "both"):
        return None
    root = os.path.join(__opts__["cachedir"], "file_backup")
    return lambda path: _backup_minion(path, root)


def _before_write(mode):
    backup = _backup(mode)

    def keep(path):
        _remember(path)
        if backup:
            backup(path)

    return keep


def _edit(path, change, test, backup):
    """
    Apply CHANGE, a function from document to document, to the file. Returns the old document, the new
    document and the diff ("" when nothing changes).
    """
    documents = []

    def edit(data):
        old = _parsed(data)
        documents[:] = [old, change(old)]
        return documents[1].data

    try:
        if test:
            edit(xend_file.read(path))
        else:
            xend_file.update(path, edit, _before_write(backup))
    except (EnvironmentError, ValueError) as exc:
        raise _problem(path, exc)
    old, new = documents
    if new.data != old.data and not test:
        _keep(path, WRITTEN, new.data)
    return old, new, _diff(path, old.data, new.data)


def _changed(key, path, change, test, backup):
    def checked(document):
        changed = change(document)
        effective = xend_options.effective
        _refuse_conflicts(effective(document.get)[0], effective(changed.get)[0])
        return changed

    old, new, diff = _edit(path, checked, test, backup)
    return {
        "changed": bool(diff),
        "old": _outlined(old.get(key), key),
        "new": _outlined(new.get(key), key),
        "diff": diff,
    }


def _outlined(raw, key=""):
    """
    A raw value for a report: what is too deep to be shown must not hide that a change was made, and a
    password (of a KEY that has one) is not shown.
    """
    try:
        return xend_secrets.shown(key, None if raw is None else _plain(raw))
    except CommandExecutionError as exc:
        return "(%s)" % exc


def set_(key, value, config=None, test=False, backup=None):
    """
    Set a key in the file. All bytes outside its form stay as they are.

    key
        the key
    value
        text, integer or boolean; ``yes`` and ``no``, which YAML and the command line turn into
        booleans, are written as ``yes`` and ``no``. For a key that holds a list: a list. The keys of
        relocation are checked; ``xend-relocation-hosts-allow`` takes patterns here (see
        ``xend.configure`` for addresses and names)
    config
        the file
    test
        report only
    backup
        ``minion`` keeps a copy in the minion's cache, as in Salt's file states

    Returns ``changed`` (bool), ``old``, ``new`` (values as ``xend.get`` returns them, but ``(not shown)`` for
    passwords) and ``diff``, without passwords as well. A password that is given here on the command line
    lies in the master's job cache all the same; give it to ``xend.option_present`` from the pillar.
    The running xend reads it when it is restarted. A change that opens the relocation port to everybody,
    or with which xend would not start, is refused as by ``xend.configure``.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.set xend-relocation-port 8002
        salt xen1 xend.set xend-relocation-server yes test=True
    """
    key = _text("key", key)
    kind = xend_options.kind_of(key)
    try:
        if isinstance(value, (list, tuple)) and kind is None:
            text = _texts(key, value)
        else:
            text = xend_options.written(key, value)
    except ValueError as exc:
        if xend_secrets.is_secret(key):
            raise CommandExecutionError(
                "%s: this value cannot be written; give text, an integer or a boolean (text in quotes), or a "
                "list of these" % key
            )
        raise CommandExecutionError(_shareable(exc.args[0]))
    if kind == "patterns" and xend_allow.broken(text):
        raise CommandExecutionError("%s: %s" % (key, "; ".join(xend_allow.broken(text))))
    return _changed(
        key, _option("config", config), lambda document: document.set(key, text), test, backup
    )


def _texts(key, value, depth=0):
    if depth >= DEEPEST:
        raise CommandExecutionError("%s: lists are nested deeper than %d levels" % (key, DEEPEST))
    written = xend_options.written
    return [
        _texts(key, item, depth + 1) if isinstance(item, (list, tuple)) else written(key, item)
        for item in value
    ]


def remove(key, config=None, test=False, backup=None):
    """
    Remove a key from the file, so that xend uses its default. Arguments and return as ``xend.set``.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.remove xend-relocation-address
    """
    key = _text("key", key)
    return _changed(
        key, _option("config", config), lambda document: document.remove(key), test, backup
    )


def configure(
    server=None,
    port=None,
    address=None,
    hosts_allow=None,
    ssl_server=None,
    ssl_port=None,
    ssl=None,
    ssl_key_file=None,
    ssl_cert_file=None,
    config=None,
    test=False,
    backup=None,
):
    """
    Set any of the relocation settings in one write. What is not given stays as it is.

    server, ssl_server, ssl
        booleans: listen for guests; listen for guests over TLS; send guests over TLS
    port, ssl_port
        1 to 65535
    address
        the address to listen on; empty for all interfaces
    hosts_allow
        who may send guests here: a list of IPv4 addresses (``10.20.0.11``), networks
        (``10.20.0.0/22``), host names (``xen1.example.com``), domains (``.example.com``) or
        ``{regex: '^xen[0-9]+$'}``; or the word ``any``, which opens the port to everybody. Other ways to
        say that (``0.0.0.0/0``, networks wider than /8, ``.com``, a regex that matches everybody) are
        refused
    ssl_key_file, ssl_cert_file
        file names; relative ones are under /etc/xen. xend verifies no certificate on either side: TLS
        hides a guest's memory on the way, it proves nothing about the peer
    config, test, backup
        as for ``xend.set``

    Returns ``changed`` (bool), ``changes`` ({name: {old, new}}; old is None where the file had no
    value, hosts_allow a list of patterns or ``any``) and ``diff``. Settings that would keep xend from
    starting, or open the port to everybody without the word ``any``, are refused, and nothing is
    written; what was wrong in the file before is refused only where it is asked for again.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.configure server=True address=10.20.0.11 hosts_allow='[10.20.0.12]'
    """
    given = {
        "server": server,
        "port": port,
        "address": address,
        "hosts_allow": hosts_allow,
        "ssl_server": ssl_server,
        "ssl_port": ssl_port,
        "ssl": ssl,
        "ssl_key_file": ssl_key_file,
        "ssl_cert_file": ssl_cert_file,
    }
    wanted, texts, opened = _wanted(given)
    if not wanted:
        raise CommandExecutionError("give at least one setting: %s" % ", ".join(sorted(given)))
    path = _option("config", config)
    seen = {}

    def change(document):
        effective = xend_options.effective
        seen["before"] = effective(document.get)
        for name, key, _, _, _ in xend_options.settings():
            if name in wanted and not _reads(document, key, wanted[name]):
                document = document.set(key, texts[name])
        seen["after"] = effective(document.get)
        _refuse_conflicts(seen["before"][0], seen["after"][0], wanted, opened)
        return document

    old, new, diff = _edit(path, change, test, backup)
    return {
        "changed": bool(diff),
        "changes": _setting_changes(old, new, seen["before"], seen["after"], wanted),
        "diff": diff,
    }


def _wanted(given):
    """
    Check what was given. Returns the values as xend will read them, the texts to write, and whether
    the port is to be open to everybody, deliberately.
    """
    wanted, texts, opened = {}, {}, False
    try:
        for name, key, kind, _, _ in xend_options.settings():
            value = given.get(name)
            if value is None:
                continue
            if kind == "patterns":
                problems = xend_allow.problems(value)
                if problems:
                    raise ValueError("; ".join(problems))
                patterns = xend_allow.patterns(value)
                texts[name] = xend_allow.join(patterns)
                opened = not patterns
            else:
                texts[name] = xend_options.written(key, value)
            wanted[name] = xend_options.value_of(key, texts[name].encode("utf-8"))
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])
    return wanted, texts, opened


def _reads(document, key, wanted):
    raw = document.get(key)
    try:
        return raw is not None and xend_options.value_of(key, raw) == wanted
    except ValueError:
        return False


def _refuse_conflicts(before, after, wanted=(), opened=False):
    """
    Refuse settings that do not go together. A file that was already so does not stand in the way of
    changing something else, but who asks for a server or a list by name is told.
    """
    asked = dict(wanted)
    if asked.get("server") or asked.get("ssl_server") or "hosts_allow" in asked:
        before = dict(before, hosts_allow="any")
    if asked.get("ssl_server"):
        before = dict(before, ssl_server=False)
    if opened:
        after = dict(after, hosts_allow="any")
    conflicts = xend_options.conflicts
    known = conflicts(before)
    new = [sentence for sentence in conflicts(after) if sentence not in known]
    if new:
        raise CommandExecutionError("; ".join(new))


def _setting_changes(old, new, before, after, wanted):
    changes = {}
    for name, key, kind, _, _ in xend_options.settings():
        if name in wanted and old.get(key) != new.get(key):
            changes[name] = {
                "old": _shown(old.get(key), kind, before[0].get(name)),
                "new": _shown(new.get(key), kind, after[0].get(name)),
            }
    return changes


def _shown(raw, kind, value):
    if raw is None:
        return None
    if value is None:
        # xend cannot read it; people can.
        return _outlined(raw)
    if kind == "patterns":
        return xend_allow.split(_shareable(value)) or "any"
    return _shareable(value)


def listens(
    server=None, port=None, address=None, ssl_server=None, ssl_port=None, config=None, **_
):
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
    given = {
        "server": server,
        "port": port,
        "address": address,
        "ssl_server": ssl_server,
        "ssl_port": ssl_port,
    }
    wanted = dict(_own_settings(config), **_wanted(given)[0])
    process = _process()
    problems = []
    for where, number in sorted(set(_listeners(wanted))):
        if _is_ipv4(where) and xend_host.is_own(where, _option("root")) is False:
            problems.append(
                "the address %s is no address of this host, %s, so that xend could not listen on it and "
                "would not start; `ip addr` on this host shows its addresses"
                % (where, __opts__["id"])
            )
        elif process and _taken_by_others(where, number, process["pid"]):
            problems.append(
                "port %s is taken on this host by another program than xend, which would try for half a "
                "minute and not start; `netstat -tlnp` on this host shows which" % number
            )
    is_xen_host = process or __salt__["cmd.which"](__salt__["config.get"]("xend:xm", None) or "xm")
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


# The running xend


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
    values = _shareable(xend_options.effective(_document(path).get)[0])
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
    found["config_newer"] = _changed_at(path) > process["started"] + CLOCK_S
    if found["config_newer"]:
        found["pending"].append("%s was changed after xend started" % path)
    found["pending"] += _missing_listeners(configured, found["listening"])
    found["pending"] += _superfluous_listeners(values, configured, found["listening"])
    return found


def _changed_at(path):
    """
    When the file got this content, at the latest: mv, cp -p, rsync and rpm put a file in place with an
    old mtime. A change of its mode counts too; a restart too many is the safe error.
    """
    seen = os.stat(path)
    return max(seen.st_mtime, seen.st_ctime)


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
        shown = _on_port(port, listening)
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
        for server, port in (("server", values.get("port")), ("ssl_server", values.get("ssl_port")))
        for shown in [_on_port(port, listening or [])]
        if shown and values.get(server) is False and port not in needed
    ]


def _on_port(port, listening):
    return [text for text in listening if text.rpartition(":")[2] == str(port)]


def _is_ipv4(address):
    return bool(re.match(r"[0-9]+(\.[0-9]+){3}$", address))


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
        what may be done to guests: ``on_xend_stop``, ``on_xend_start``, or a list of them; default: the
        setting ``restart_accept`` in the pillar ``xend:relocation``, of this host or of all, else nothing
    test
        only say what would become of guests; nothing is waited for

    A migration in flight does not survive a restart on either side, and on the receiving side the
    guest is lost; so nothing is done before xend has none, and nothing when the file would keep xend
    from starting. Until it is over, ``xm.migrate`` sends no guest from here, and ``xend.reserve`` lets none
    come.

    Most guests run on while xend is restarted, but not all: when it is stopped, xend from 3.1 to 4.4 shuts
    down those that have ``(on_xend_stop shutdown)`` and suspends those with ``suspend``; when it has started,
    it starts each managed guest that is halted and has ``(on_xend_start start)`` or auto_power_on, and one
    that was moved to another host before Xen 4.0 is such a guest, and would run twice. Where there are any,
    nothing is restarted unless ACCEPT says so, and the error names them and what to do.

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
    timeout, accepted = _seconds("timeout", timeout), restart_accept(accept)
    if test:
        process = _process()
        if not process:
            _refuse_hidden()
        verb = "restarted" if process else "started"
        return {"warnings": _spare_guests(path, process, accepted, "would not be %s" % verb)}
    # xend has no lock of its own: two restarts at once leave two daemons.
    with _locked(
        "restart",
        "xend was not restarted, because another job is restarting it (%s); try again after that",
    ):
        return _restart(path, timeout, accepted)


def restart_accept(accept=None):
    """
    What a restart of xend from here is allowed to do to guests.

    accept
        as for ``xend.restart``; default: ``restart_accept`` in the pillar ``xend:relocation``

    Returns a list out of ``on_xend_stop`` and ``on_xend_start``. Raises an error that names anything else.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.restart_accept
    """
    given = _said_for_this_host("restart_accept") if accept is None else accept
    try:
        return [_native(word) for word in xend_lifecycle.accepted(given)]
    except ValueError as exc:
        raise CommandExecutionError(_native(exc.args[0]))


@contextlib.contextmanager
def _locked(name, refusal, shared=False, who="", wait_s=0):
    """
    Hold a lock of this host. REFUSAL is what to say when it is not free in time, with a place for what
    its holder says of itself.
    """
    folder = _option("kept")
    lock = xend_lock.hold(folder, name, shared, who, wait_s)
    # Not by `with`: an error inside the block is not one of the lock.
    try:
        lock.__enter__()
    except ValueError as exc:
        raise CommandExecutionError(refusal % (exc.who or "another process"))
    except EnvironmentError as exc:
        raise _unusable(folder, exc)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _unusable(folder, exc):
    return CommandExecutionError(
        "%s: %s; locks and reservations need this folder (option xend:kept)"
        % (exc.filename or folder, exc.strerror or exc)
    )


def _restart(path, timeout, accepted):
    if not _process():
        _refuse_hidden()
    try:
        data, warnings = _startable(path)
    except CommandExecutionError as exc:
        raise CommandExecutionError("%s%s" % (exc, _take_back(path)))
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
    warnings = _spare_guests(
        path, before, accepted, "was not %s" % ("restarted" if before else "started")
    )
    if xend_file.read(path) != data:
        raise CommandExecutionError(
            "xend was not restarted, because %s was changed meanwhile; try again" % path
        )
    _remember(path)
    try:
        done = _start(path, before, timeout)
    except _NotAsConfigured as exc:
        story = [_roll_back(path, data, str(exc), timeout, accepted)] + warnings
        raise CommandExecutionError("; ".join(story))
    if xend_file.read(path) == data:
        _keep(path, STARTED, data)
    return dict(done, warnings=warnings)


class _NotAsConfigured(CommandExecutionError):
    """
    xend was started, and does not work as the file says.
    """


def _start(path, before, timeout):
    if _changed_at(path) > time.time():
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
        complaint = _shareable(" ".join(str(exc).split()))
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
            "file with the option xend:pidfile, or write xend's process id there"
            % _option("pidfile")
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
            % (path, _shareable("; ".join(reasons)))
        )
    return document.data, warnings


def _reasons_not_to_start(document):
    """
    What in the file would keep xend from starting, as far as it can be known without trying, and what
    would not but should be mended.
    """
    version = _tools_version(None)
    values = _shareable(xend_options.effective(document.get)[0])
    unreadable = xend_options.unreadable(document.get)
    read = xend_options.read_at_start(values, version)
    reasons = [unreadable[key] for key in read if key in unreadable]
    if xend_options.key_of("hosts_allow") in read:
        reasons += xend_allow.broken(values.get("hosts_allow", ""))
    listeners = _listeners(values)
    reasons += [
        "port %s is out of range" % port for _, port in listeners if not 0 <= port <= 65535
    ]
    if len(set(listeners)) < len(listeners):
        reasons.append("both relocation servers are to listen on port %s" % listeners[0][1])
    cannot_listen_on = xend_host.cannot_listen_on
    problems = [
        cannot_listen_on(name, version) for name in sorted(set(name for name, _ in listeners))
    ]
    reasons += [problem for problem in problems if problem]
    warnings = []
    if values.get("ssl_server"):
        if version is not None and version < (3, 3):
            reasons.append(
                "ssl_server is on, and xend has no TLS before 3.3; this is %s" % _dotted(version)
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

STARTED, REFUSED, WRITTEN = "started", "refused", "written"

# No content of the file that is kept is larger, see xend_file.
CONTENT_BYTES = 1048576


def _kept(path, what):
    """
    Where in the minion's cache a content of the file is kept; never beside it, where xend's own tools
    or people might take it for a configuration.
    """
    name = os.path.realpath(path).strip("/").replace("/", ".")
    return os.path.join(_cache(), "%s.%s" % (name, what))


def _cache():
    return xend_lock.private(os.path.join(__opts__["cachedir"], "xend"))


def _keep(path, what, data):
    """
    Keep a content of the file, when there is room for it: neither a good change nor the way back may
    fail for a full disk. Returns how it is kept, for a sentence.
    """
    try:
        kept = _kept(path, what)
        xend_file.replace(kept, data, timeout_s=LOCK_S)
    except EnvironmentError as exc:
        log.warning("the %s content of %s could not be kept: %s", what, path, exc)
        return "nowhere (%s)" % ": ".join([str(part) for part in (exc.filename, exc.strerror or exc) if part])
    return "as %s" % kept


def _content_kept(kept):
    return xend_lock.get(kept, CONTENT_BYTES)


def _remember(path):
    """
    Keep the content of the file when it is the one that the running xend has started with.
    """
    process = _process()
    if process and _changed_at(path) < process["started"]:
        _keep(path, STARTED, xend_file.read(path))


def _take_back(path):
    """
    Put back the content with which xend started last, when the one in the file was written from here:
    else the next reboot would leave xend down. What people wrote is theirs to mend. Returns what there
    is to say about it.
    """
    read = xend_file.read
    try:
        written = _kept(path, WRITTEN)
        refused = read(path)
        if not os.path.exists(written) or _content_kept(written) != refused:
            return ""
        known, hindrance = _known_to_start(path, refused)
        if hindrance:
            return "; the file was left as it is: %s" % hindrance
        kept = _keep(path, REFUSED, refused)
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
        and (_why_not_now(path, process) or _against(_lifecycle(path, process), accepted))
    )
    if hindrance:
        return "%s; the file was left as it is: %s" % (failure, hindrance)
    kept = _keep(path, REFUSED, refused)
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
        _kept(path, STARTED),
        kept,
        outcome,
    )


def _known_to_start(path, refused):
    """
    The content to go back to, or None and why there is none.
    """
    try:
        kept = _kept(path, STARTED)
        if not os.path.exists(kept):
            return None, "no other content is known with which xend has started"
        known = _content_kept(kept)
    except EnvironmentError as exc:
        return None, "the previous content cannot be read: %s" % _problem(path, exc)
    if known == refused:
        return None, "xend has started with it before, so the cause is elsewhere"
    try:
        reasons, _ = _reasons_not_to_start(_parsed(known))
    except ValueError as exc:
        reasons = [_in_words(exc)]
    if reasons:
        return None, "xend would not start with the previous one either (%s): %s" % (
            kept,
            _shareable("; ".join(reasons)),
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
    accepted; REFUSAL is what becomes of xend then. Returns what was accepted, as sentences.
    """
    risks = _lifecycle(path, process)
    against = _against(risks, accepted)
    if against:
        pending = ""
        if process and _changed_at(path) > process["started"] + CLOCK_S:
            pending = (
                ". What is written in %s stays there, and is not in force until xend is restarted"
                % path
            )
        raise CommandExecutionError("xend %s: %s%s" % (refusal, against, pending))
    return ["accepted: %s" % _native(risk["what"]) for risk in risks]


def _against(risks, accepted):
    return "; and ".join(
        [
            _native("%s. %s" % (risk["what"], risk["remedy"]))
            for risk in risks
            if risk["kind"] not in accepted
        ]
    )


def _lifecycle(path, process):
    """
    What a stop of xend and its start do to guests; with no PROCESS, only the start. See xend_lifecycle.risks.
    """
    version = _tools_version(None)
    if not xend_lifecycle.acts(version):
        return []
    shown, unseen, stored, problems = [], "", [], {}
    folder = _domains_folder(path)
    try:
        stored = xend_lifecycle.store(
            _option("root") + folder, xend_file.read, _parser(version)
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
import sys
sys.path += ["/usr/lib/python", "/usr/lib64/python"]
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
            [_option("python"), "-c", RUNNING],
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
            "xend's own Python, %s (option xend:python), says: %s"
            % (_option("python"), said[-1] if said else "nothing")
        )
    return xend_lifecycle.running(result["stdout"])


def _domains_folder(path):
    raw = _document(path).get("xend-domains-path")
    return DOMAINS if raw is None or isinstance(raw, list) else _native(_plain(raw))


def _expected():
    """
    The guests that may come at any moment, as sentences.
    """
    try:
        return [_expectation(made) for made in _reservations(xend_lock.reserved, time.time())]
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
    for guests, a list of ints; None when no xend runs, or this user may not look into it.

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
    return process and xend_host.transferring(process["pid"], others)


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
        raise _unusable(folder, exc)
    except ValueError as exc:
        raise CommandExecutionError(str(exc))


def reserve(name, who="", seconds=300):
    """
    Announce a guest that is about to come to this host, so that nobody restarts its xend.

    name
        the domain; a second reservation for it takes the place of the first
    who
        where it comes from, in words for those who have to wait: ``migration from xen1``
    seconds
        for how long, at most 600

    Between the check that this host can take a guest and the first byte of it, nothing here shows that it
    will come; ``xend.restart`` waits as long as a reservation holds. Once the guest is being received that
    can be seen, and the reservation may go (``xend.release``). Returns a sentence. Raises an error, and
    reserves nothing, when xend is being restarted now.

    CLI Example:

    .. code-block:: bash

        salt xen2 xend.reserve web01 who='migration from xen1'
    """
    name, seconds = _text("name", name), _seconds("seconds", seconds)
    who = _text("who", who) if who else ""
    # Whoever restarts xend has the lock for itself from before it looks for reservations.
    with _locked(
        "relocation",
        "no guest can come here now, because xend is being restarted (%s); try again after that",
        shared=True,
    ):
        made = _reservations(xend_lock.reserve, name, who, seconds, time.time(), _Utility)
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
    name = _text("name", name)
    made = [one["who"] for one in _reservations(xend_lock.reserved, time.time()) if one["name"] == name]
    if who is not None and made != [str(who)]:
        return False
    return _reservations(xend_lock.release, name)


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
        advice = (
            "when xend was not started by the service manager, run `xend restart` on the host, once"
        )
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
    return _shareable(_native(found[-1])) if found else ""


# Other hosts


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
    declared = declared_hosts()
    if host is None:
        hosts = [one for one in declared if one != __opts__["id"] and declared[one]["address"]]
    else:
        hosts = host if isinstance(host, (list, tuple)) else [host]
    if not hosts:
        raise CommandExecutionError("name a host, or list hosts in the pillar xend:relocation:hosts")
    # Under Python 2 the name of a loop in brackets stays: not `host`, which is asked for below.
    asked = [(_text("host", one), peer(one, port, ssl, config)) for one in hosts]
    checked_port = xend_options.written
    try:
        peers = dict(
            (name, (where["address"], int(checked_port("xend-relocation-port", where["port"]))))
            for name, where in asked
        )
        own = declared.get(str(__opts__["id"]), {}).get("address")
        answers = _ask_all(peers, ssl, _seconds("timeout", timeout), source or _option("source"), own)
    except (TypeError, ValueError) as exc:
        raise CommandExecutionError(str(exc))
    return answers if host is None or isinstance(host, (list, tuple)) else answers[_text("host", host)]


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
    host, declared = _text("host", host), declared_hosts()
    ids = sorted([one for one in declared if host in (one, declared[one]["address"])])
    known = host if host in ids else (ids or [None])[0]
    where = declared.get(known, {})
    kind = "ssl_port" if ssl else "port"
    if port is None:
        port = where[kind] if where else _own_settings(config)[kind]
    return {"id": known, "address": where.get("address") or host, "port": port}


def _own_settings(config):
    """
    The relocation settings that the file names, xend's defaults where it does not or cannot be read.
    """
    effective = xend_options.effective
    settings, _, _ = effective({}.get)
    try:
        settings.update(effective(_document(_option("config", config)).get)[0])
    except CommandExecutionError:
        # That a file is wrong is no reason not to ask another host.
        log.debug("%s cannot be read", _option("config", config))
    return settings


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
    return xend_settings.settings(_pillar(), str(__opts__["id"]), _Utility)


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
    hosts, wrong = xend_settings.declared(_pillar())
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


CHAIN = "XEND-RELOCATION"


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
            raise CommandExecutionError("%s: %.60r is no list" % (argument, values))
    process = _process()
    listening = xend_host.listening(process["pid"]) if process else []
    lack = _lack_of_iptables()
    found = {
        "problems": [lack] if lack else [],
        "lacks": bool(lack),
        "open": [one for port in ports for one in _on_port(port, listening or [])],
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
