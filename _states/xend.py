"""
The configuration of xend, and the xend that runs with it, as states.

.. code-block:: yaml

    xend-relocation-config:
      xend.relocation:
        - server: True
        - address: 10.20.0.11
        - hosts_allow:
          - 10.20.0.12

    xend-relocation-applied:
      xend.applied:
        - watch:
          - xend: xend-relocation-config

What a value means, whether it is allowed and what would change is decided by the ``xend`` execution
module; a state compares, reports, acts and looks again.
"""

from __future__ import absolute_import

from salt.exceptions import CommandExecutionError


def __virtual__():
    if "xend.configure" not in __salt__:
        return False, "the execution module xend is not there"
    return "xend"


def _ret(name, result=True, comment="", changes=None):
    ret = {"name": name, "result": result, "comment": comment, "changes": changes or {}}
    # Under Python 2 there are two kinds of text, and Salt cannot take both.
    return __utils__["xend_text.as_given"](ret, __opts__["id"]) if bytes is str else ret


def _failed(name, exc):
    return _ret(name, False, str(exc))


def relocation(
    name,
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
    backup=None,
):
    """
    The configuration file has these relocation settings. What is not given is not managed.

    name
        any text; people read it in the output
    server, port, address, hosts_allow, ssl_server, ssl_port, ssl, ssl_key_file, ssl_cert_file, config, backup
        as for the execution function ``xend.configure``

    The running xend is not touched; see ``xend.applied``. Settings with which it would not start, because
    the address is not this host's or the port is taken, are refused, and nothing is written.

    .. code-block:: yaml

        xend-relocation-config:
          xend.relocation:
            - server: True
            - address: 10.20.0.11
            - hosts_allow:
              - 10.20.0.12
              - .xen.example.com
    """
    wanted = dict(locals())
    for argument in ("name", "backup"):
        del wanted[argument]
    try:
        plan = __salt__["xend.configure"](test=True, **wanted)
        told = __salt__["xend.listens"](**wanted)
        if told["problems"]:
            return _ret(name, False, "Nothing was changed: %s" % "; ".join(told["problems"]))
        if not plan["changed"]:
            return _ret(name, comment=_also("The relocation settings are as they shall be", told))
        names = ", ".join(sorted(plan["changes"]))
        if __opts__["test"]:
            comment = _also("The relocation settings would change: %s" % names, told)
            return _ret(name, None, comment, _shown(plan))
        done = __salt__["xend.configure"](backup=backup, **wanted)
        left = __salt__["xend.configure"](test=True, **wanted)
    except CommandExecutionError as exc:
        return _failed(name, exc)
    if left["changed"]:
        return _ret(
            name,
            False,
            "The relocation settings were written, but %s read differently afterwards; another "
            "program may be writing the file" % ", ".join(sorted(left["changes"])),
            _shown(done),
        )
    comment = _also("The relocation settings were changed: %s" % names, told)
    return _ret(name, True, comment, _shown(done))


def _also(comment, told):
    return "; ".join([comment] + told["warnings"])


def _shown(outcome):
    return dict(outcome["changes"], diff=outcome["diff"])


def guarded(name, ports, sources):
    """
    The firewall of the SLS ``xend.firewall`` stands, so that the relocation ports may be opened.

    name
        any text
    ports, sources
        as for the execution function ``xend.guard``

    Nothing is changed. The state fails where the rules do not stand; under ``test=True`` only where they
    cannot be made, for the states that make them come before this one.

    .. code-block:: yaml

        xend-relocation-guarded:
          xend.guarded:
            - ports: [8002]
            - sources: [10.20.0.12/32]
    """
    try:
        seen = __salt__["xend.guard"](ports, sources)
    except CommandExecutionError as exc:
        return _failed(name, exc)
    shown = ", ".join([str(port) for port in ports])
    if not seen["problems"]:
        return _ret(name, comment="Only the peers in the pillar reach port %s" % shown)
    why = "; ".join(seen["problems"])
    if seen["open"]:
        is_open = (
            "xend listens on %s already, WITHOUT the firewall that the pillar xend:firewall asks for, and "
            "only its own list of hosts decides who gets in; `state.apply xend.relocation.clean` closes the "
            "port" % ", ".join(seen["open"])
        )
    else:
        is_open = "the port is not open"
    if __opts__["test"] and not seen["lacks"]:
        return _ret(name, None, "The firewall would be made first (%s); now, %s" % (why, is_open))
    return _ret(
        name,
        False,
        "Port %s is not opened by this, for the firewall does not stand: %s. Now, %s. Where another firewall "
        "guards the port, take xend:firewall out of the pillar" % (shown, why, is_open),
    )


def option_present(name, value, config=None, backup=None):
    """
    A key of the configuration file has this value.

    name
        the key, for instance ``xend-http-server``
    value
        text, integer or boolean, as for the execution function ``xend.set``
    config, backup
        as for ``xend.set``

    .. code-block:: yaml

        xend-http-server:
          xend.option_present:
            - value: no
    """
    return _option(name, "xend.set", [name, value], config, backup)


def option_absent(name, config=None, backup=None):
    """
    A key is not in the configuration file, so that xend uses its default.

    name
        the key
    config, backup
        as for the execution function ``xend.remove``

    .. code-block:: yaml

        xend-http-server:
          xend.option_absent: []
    """
    return _option(name, "xend.remove", [name], config, backup)


def _option(name, function, arguments, config, backup):
    change = __salt__[function]
    try:
        plan = change(*arguments, config=config, test=True)
        if not plan["changed"]:
            return _ret(name, comment="%s is as it shall be" % name)
        if __opts__["test"]:
            return _ret(name, None, "%s would change" % name, _option_changes(name, plan))
        changes = _option_changes(name, change(*arguments, config=config, backup=backup))
        left = change(*arguments, config=config, test=True)
    except CommandExecutionError as exc:
        return _failed(name, exc)
    if left["changed"]:
        comment = "%s was written, but reads otherwise afterwards: %s" % (name, left["old"])
        return _ret(name, False, comment, changes)
    return _ret(name, True, "%s was changed" % name, changes)


def _option_changes(name, outcome):
    return {name: {"old": outcome["old"], "new": outcome["new"]}, "diff": outcome["diff"]}


def applied(name, restart=True, timeout=60, config=None, accept=None):
    """
    The running xend has the configuration in the file; when it has not, it is restarted, safely.

    name
        any text
    restart
        False: only report that a restart is pending
    timeout
        seconds to wait for migrations in flight to end, and again for xend to come up
    config
        the configuration file
    accept
        what a restart may do to guests, as for the execution function ``xend.restart``

    When a restart would shut down, suspend or start guests (on_xend_stop, on_xend_start) and that is not
    accepted, or while this host is being emptied (``xm.evacuation``), the state fails and nothing is
    restarted; what is written in the file stays there. When xend does not come up with the file, the previous
    content is put back, xend is started with that, and the state fails; ``xend.restart`` says which content
    that is. With ``watch`` on the states that change the file, ``test=True`` says beforehand that xend would
    be restarted, and fails as well where guests or migrations are in the way.

    .. code-block:: yaml

        xend-relocation-applied:
          xend.applied:
            - watch:
              - xend: xend-relocation-config
    """
    if restart not in (True, False):
        shown = __utils__["xend_text.quoted"](restart) if bytes is str else "%.80r" % (restart,)
        comment = "restart: %s is neither true nor false (text in quotes is no boolean)" % shown
        return _final(_ret(name, False, comment))
    try:
        __salt__["xend.restart_accept"](accept)
        before = __salt__["xend.status"](config=config)
    except CommandExecutionError as exc:
        return _final(_failed(name, exc))
    if not before["pending"]:
        return _final(_ret(name, comment="The running xend has the configuration in the file"))
    why = "; ".join(before["pending"])
    return _final(_apply(name, before, why, restart, timeout, config, accept))


def _final(ret):
    """
    Salt calls mod_watch after a state without changes. After a restart that was refused or rolled back
    that would restart xend with the previous file, and report success; under test=True, mod_watch alone
    knows of changes that are still to come.
    """
    return ret if __opts__["test"] else dict(ret, skip_watch=True)


def _apply(name, before, why, restart, timeout, config, accept):
    if not restart:
        return _ret(name, comment="A restart of xend (or a reboot) is pending: %s" % why)
    # A xend that is down is only started, which is all that is pending then.
    what, why = ("restarted", ": " + why) if before["running"] else ("started", "")
    changes = {"xend": {"old": _running(before), "new": what}}
    if __opts__["test"]:
        try:
            told = __salt__["xend.restart"](timeout=timeout, config=config, accept=accept, test=True)
        except CommandExecutionError as exc:
            return _failed(name, exc)
        comment = "; ".join(["xend would be %s%s" % (what, why)] + told["warnings"])
        return _ret(name, None, comment, changes)
    try:
        done = __salt__["xend.restart"](timeout=timeout, config=config, accept=accept)
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc), _seen_changes(before, config))
    try:
        after = __salt__["xend.status"](config=config)
    except CommandExecutionError as exc:
        return _failed(name, exc)
    changes = {"xend": {"old": _running(before), "new": _running(after)}}
    if after["pending"]:
        comment = "xend was %s, but %s" % (what, "; ".join(after["pending"]))
        return _ret(name, False, comment, changes)
    return _ret(name, True, "; ".join(["xend was %s%s" % (what, why)] + done["warnings"]), changes)


def _seen_changes(before, config):
    """
    What a restart that failed has left behind: nothing, a xend that is down, or one with the old file.
    """
    try:
        was, is_now = _running(before), _running(__salt__["xend.status"](config=config))
    except CommandExecutionError:
        return {}
    return {"xend": {"old": was, "new": is_now}} if was != is_now else {}


def _running(status):
    if not status["running"]:
        return "not running"
    return "pid %s, listening on %s" % (status["pid"], ", ".join(status["listening"] or ["nothing"]))


def mod_watch(name, sfun=None, restart=True, timeout=60, config=None, accept=None, **_):
    """
    What ``watch`` calls when the watched states have changed the file, or would change it.

    name, sfun, restart, timeout, config, accept
        as for the state that watches; only ``xend.applied`` can

    .. code-block:: yaml

        xend-relocation-applied:
          xend.applied:
            - watch:
              - xend: xend-relocation-config
    """
    if sfun != "applied":
        return _ret(name, False, "xend.%s cannot watch; use xend.applied" % sfun)
    if not __opts__["test"]:
        return applied(name, restart, timeout, config, accept)
    try:
        before = __salt__["xend.status"](config=config)
    except CommandExecutionError as exc:
        return _failed(name, exc)
    why = "its configuration would change"
    return _apply(name, before, why, restart, timeout, config, accept)
