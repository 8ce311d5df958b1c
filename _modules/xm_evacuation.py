"""
What a host keeps in mind of an evacuation: that it takes no guests, and which were taken away from it. Part
of the module `xm`, see xm.py.

The orchestrations ``xend.orch.evacuate`` and ``xend.orch.restore`` write it; ``xm.can_receive``,
``xend.reserve`` and ``xend.restart`` obey it. What it means is decided in ``_utils/xm_away.py``.
"""

from __future__ import absolute_import

import time

from salt.exceptions import CommandExecutionError

# How long others may take that write the record as well.
RECORD_S = 10

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


xend_lock = _Utility("xend_lock")
xend_settings = _Utility("xend_settings")
xend_text = _Utility("xend_text")
xm_away = _Utility("xm_away")
xm_files = _Utility("xm_files")
xm_heard = _Utility("xm_heard")


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _folder():
    return _given(xend_settings.option, "kept", __salt__["config.get"], str(__opts__["id"]))


def evacuation():
    """
    Whether this host is closed to guests, because it is being emptied, and which guests were taken away from
    it.

    Returns a dict, also where nothing is kept in mind: ``closed`` (bool), ``since`` and ``who`` (text, of the
    last evacuation; None where there was none), ``guests`` (those that it took or is to take away, and that
    ``xend.orch.restore`` brings back, a list of dicts: ``name``, ``uuid`` and ``target``, the minion id of
    the host that each was to go to; whether it went there is not known here) and ``problem``: None, or why
    that cannot be told; then the host counts as closed.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.evacuation
    """
    return xm_away.read(_folder(), _Utility)


def close_host(guests, who, test=False):
    """
    Close this host to guests, and keep in mind which ones leave it, before the first of them does. Until
    ``xm.open_host`` no orchestration brings it guests (``xm.can_receive``), and xend is not restarted from
    here.

    guests
        a list of dicts: ``name``, ``uuid`` and ``target``, the minion id of the host that it goes to. They
        are added to those that are kept in mind already; one of these that is given again goes where it is
        said now
    who
        who empties the host, in words for those who are refused
    test
        only say what would be kept

    Returns a dict: ``old`` and ``new``, as ``xm.evacuation`` returns it. Raises an error, and changes
    nothing, while xend is being restarted, or when what is kept already cannot be relied on.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.close_host '[]' 'maintenance, Jo'
    """
    guests = _guests(guests)
    who, now = _given(xend_text.given_text, "who", who), time.strftime("%Y-%m-%d %H:%M:%S")

    def close(record):
        return xm_away.closing(record, guests, who, now)

    if test:
        return _change(close, test)
    # Whoever restarts xend has this lock for itself from before it looks whether the host is closed.
    busy = "%s was not closed, because xend is being restarted (%%s); try again after that" % _host_name()
    folder = _folder()
    with xend_lock.hold_or_raise(CommandExecutionError, busy, folder, "relocation", True, "", RECORD_S):
        return _change(close, test)


def open_host(test=False):
    """
    Let this host take guests again, and let xend be restarted (``xm.close_host``). The guests that were taken
    away stay in mind, until they are home (``xm.settle_moves``).

    test
        only say what would be kept

    Returns and raises as ``xm.close_host`` does.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.open_host
    """
    return _change(xm_away.opening, test)


def settle_moves(shares, who=None):
    """
    Put in order on this host what guests that have moved have left, many at once.

    shares
        a dict from minion id to what that host is to do, a dict with any of these: ``forget``, a list of
        dicts ``name``, ``uuid``, ``note`` and ``claims``, as for ``xm.forget``; ``home``, the uuids of
        guests that are home again, or need not be kept in mind any more as taken away by an evacuation; and
        ``release``, a list of names of guests that are not expected here any longer. All hosts are given the
        same, and each does its own share
    who
        end the reservations only that were made with these words (``xend.release``)

    Returns a list of sentences: what could not be done. What is done already is done.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.settle_moves '{"xen2": {"release": ["web01"]}}'
    """
    share = _share(shares, _host_name())
    failed = []

    def attempt(what, function, *arguments, **keywords):
        try:
            return function(*arguments, **keywords)
        except CommandExecutionError as exc:
            failed.append(xm_files.legible("%s: %s" % (what, exc)))

    for made in share["forget"] or []:
        words = [made[key] for key in ("name", "uuid", "note")]
        attempt("the note on %s" % words[0], __salt__["xm.forget"], *words, **{"claims": made["claims"]})
    if share["home"]:
        home = share["home"]
        attempt("guests that are home", _change, lambda record: xm_away.without(record, home), False)
    for name in share["release"] or []:
        attempt("the reservation for %s" % name, __salt__["xend.release"], name, who=who)
    return failed


def _host_name():
    return str(__opts__["id"])


def _guests(given):
    """
    The guests of a record, from what was given.
    """
    record = {"closed": True, "guests": given}
    return _given(xm_heard.told, "guests", record, "evacuation", "xm.evacuation")["guests"]


def _share(shares, host):
    if not isinstance(shares, dict):
        raise CommandExecutionError("shares: %s is no mapping from minion ids" % xend_text.quoted(shares))
    try:
        return xm_heard.form_of("share")(shares.get(host) or {})
    except ValueError as exc:
        raise CommandExecutionError("shares: %s: %s" % (host, exc.args[0]))


def _change(edit, test):
    """
    Change what is kept by a function from the old record to the new one. Returns both.
    """
    folder = _folder()
    if test:
        return _edited(folder, edit)
    busy = "%s: what is kept of an evacuation is being changed (%%s); try again" % _host_name()
    with xend_lock.hold_or_raise(CommandExecutionError, busy, folder, "evacuation", wait_s=RECORD_S):
        found = _edited(folder, edit)
        if found["new"] != found["old"]:
            try:
                xm_away.write(folder, found["new"], _Utility)
            except EnvironmentError as exc:
                place = exc.filename or xm_away.path(folder)
                raise CommandExecutionError("%s cannot be written: %s" % (place, exc.strerror or exc))
            except ValueError as exc:
                raise CommandExecutionError(exc.args[0])
        return found


def _edited(folder, edit):
    old = xm_away.read(folder, _Utility)
    if old["problem"]:
        # Guests may stand there that nobody else remembers.
        raise CommandExecutionError(xm_away.refusal(old, _host_name()))
    return {"old": old, "new": edit(old)}
