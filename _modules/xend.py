"""
Read and change the configuration file of xend.

Of the same name for users are ``xend_daemon``, which sees and controls the xend that runs with it, and
``xend_peers``, which asks other hosts. Guests are the business of the ``xm`` module. What the bytes of the
file mean, which settings go together and what an allow list admits is decided in ``_utils``, which knows no
Salt.

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
    the local address that ``xend.probe`` asks from (default: the routing table decides, as for xend), and
    that guests are sent from through a relay (default: the one that the pillar gives this host)
``xend:python``
    the Python that xend runs with, which tells what runs here while xend is down; default ``/usr/bin/python``
``xend:kept``
    the folder of the locks and reservations that keep restarts and migrations apart, the same as that of
    the ``xm`` module, default ``/var/lib/xend-for-salt``. Only a folder of the minion's own user, to which
    nobody else may write, is used
"""

from __future__ import absolute_import

import os
import socket

from salt.exceptions import CommandExecutionError
from salt.utils.odict import OrderedDict as _OrderedDict

try:
    from salt.utils.files import backup_minion as _backup_minion
except ImportError:
    # Salt before 2018.3
    from salt.utils import backup_minion as _backup_minion

__func_alias__ = {"list_": "list", "set_": "set"}

# Deeper than anything xend reads, and what Salt's own serialisation carries without trouble.
DEEPEST = 50


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    try:
        # Nearly every function needs these. Loaded with the module, as Salt does with what a module
        # imports, they cost the first call nothing.
        xend_sxp.parse(b"")
        xend_allow.problems("")
    except ImportError:
        return False, "the utilities of xend are not there: run saltutil.sync_all"
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
xend_options = _Utility("xend_options")
xend_secrets = _Utility("xend_secrets")
xend_settings = _Utility("xend_settings")
xend_sxp = _Utility("xend_sxp")
xend_text = _Utility("xend_text")


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _option(name, given=None):
    if given:
        return _given(xend_text.given_text, name, given)
    return _given(xend_settings.option, name, __salt__["config.get"], str(__opts__["id"]))


# Reading the file


def _document(path):
    try:
        return _parsed(xend_file.read(path))
    except (EnvironmentError, ValueError) as exc:
        raise _problem(path, exc)


def _problem(path, exc):
    return CommandExecutionError(xend_secrets.problem(path, exc))


def _parsed(data):
    return xend_check.parsed(data, __salt__, CommandExecutionError, _Utility)


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
    raw = _document(_option("config", config)).get(_given(xend_text.given_text, "key", key))
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


def relocation(config=None, lenient=False):
    """
    The relocation settings that xend takes from the file, defaults included.

    config
        the file
    lenient
        return xend's default for what cannot be read, the whole file or single values, and raise no error

    Returns ``server``, ``ssl_server``, ``ssl`` (bool), ``port``, ``ssl_port`` (int), ``address`` (text,
    empty for all interfaces), ``hosts_allow`` (list of patterns, empty when everybody is admitted),
    ``ssl_key_file``, ``ssl_cert_file`` (text or None), and ``defaults``: the names of those that are
    not set in the file. Raises an error that names each value which keeps xend from starting.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xend.relocation
    """
    path = _option("config", config)
    try:
        read = _document(path).get
    except CommandExecutionError:
        if not lenient:
            raise
        read = {}.get
    values, defaults, errors = xend_options.effective(read)
    if errors and not lenient:
        raise CommandExecutionError(
            "%s: xend would not start: %s" % (path, xend_secrets.masked("; ".join(sorted(errors.values()))))
        )
    values = dict(xend_options.effective({}.get)[0], **xend_secrets.masked(values))
    return dict(
        values, hosts_allow=xend_allow.split(values["hosts_allow"]) or [], defaults=defaults + sorted(errors)
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
            "xend-relocation-hosts-allow: a list stands where xend expects one string: xend would not start"
        )
    host = _given(xend_text.given_text, "host", host)
    try:
        address = socket.gethostbyname(host)
    except (socket.error, UnicodeError) as exc:
        raise CommandExecutionError("%s is no IPv4 address and does not resolve: %s" % (host, exc))
    # Patterns work on bytes in xend's Python 2; Latin-1 keeps one character per byte.
    value = "" if raw is None else xend_secrets.masked(raw.decode("latin-1"))
    name = _given(xend_text.given_text, "name", name) if name else socket.getfqdn(address)
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
    if version is not None:
        version = _given(xend_check.version_of, version, _Utility)
    try:
        data = xend_file.read(path)
    except EnvironmentError as exc:
        raise _problem(path, exc)
    return xend_check.findings(
        data,
        _Utility,
        version or xend_check.version_here(__salt__, CommandExecutionError, _Utility),
        xend_host.is_local,
        os.path.exists,
        # Relative names are under the folder of the file in use, also when another one is looked at.
        os.path.dirname(_option("config")),
    )


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
        xend_contents.remember(_cache(), path, xend_host.process(_option("pidfile")), _Utility)
        if backup:
            backup(path)

    return keep


def _cache():
    return xend_text.native(os.path.join(__opts__["cachedir"], "xend"))


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
        xend_contents.keep(_cache(), path, "written", new.data, _Utility)
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
    key = _given(xend_text.given_text, "key", key)
    kind = xend_options.kind_of(key)
    try:
        if isinstance(value, (list, tuple)) and kind is None:
            text = _texts(key, value)
        else:
            text = xend_options.written(key, value, _Utility)
    except ValueError as exc:
        if xend_secrets.is_secret(key):
            raise CommandExecutionError(
                "%s: this value cannot be written; give text, an integer or a boolean (text in quotes), or a "
                "list of these" % key
            )
        raise CommandExecutionError(xend_secrets.masked(exc.args[0]))
    if kind == "patterns" and xend_allow.broken(text):
        raise CommandExecutionError("%s: %s" % (key, "; ".join(xend_allow.broken(text))))
    return _changed(key, _option("config", config), lambda document: document.set(key, text), test, backup)


def _texts(key, value, depth=0):
    if depth >= DEEPEST:
        raise CommandExecutionError("%s: lists are nested deeper than %d levels" % (key, DEEPEST))
    written = xend_options.written
    return [
        _texts(key, item, depth + 1) if isinstance(item, (list, tuple)) else written(key, item, _Utility)
        for item in value
    ]


def remove(key, config=None, test=False, backup=None):
    """
    Remove a key from the file, so that xend uses its default. Arguments and return as ``xend.set``.

    CLI Example:

    .. code-block:: bash

        salt xen1 xend.remove xend-relocation-address
    """
    key = _given(xend_text.given_text, "key", key)
    return _changed(key, _option("config", config), lambda document: document.remove(key), test, backup)


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
    given = dict(locals())
    wanted, texts, opened = _given(xend_options.wanted, given, _Utility)
    if not wanted:
        names = sorted([row[0] for row in xend_options.settings()])
        raise CommandExecutionError("give at least one setting: %s" % ", ".join(names))
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
        return xend_allow.split(xend_secrets.masked(value)) or "any"
    return xend_secrets.masked(value)
