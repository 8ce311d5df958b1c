"""
Guests that move, as states: orchestration runs them on the source and on the target.

.. code-block:: yaml

    web01 runs on xen2:
      xm.migrated:
        - name: web01
        - source: xen1
        - target: xen2

They are states and no function calls because an orchestration step that calls a function counts an
error from an old minion as success, and does not run at all under ``test=True``.
"""

from __future__ import absolute_import

from salt.exceptions import CommandExecutionError


def __virtual__():
    if "xm.migrate" not in __salt__:
        return False, "the execution module xm is not there"
    return "xm"


def _ret(name, result=True, comment="", changes=None):
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def _present(report):
    """
    Whether what a host reported of a guest is its description; else it is None (no such guest there)
    or text (the host could not say).
    """
    return isinstance(report, dict) and "uuid" in report and "runs" in report


def _sentences(check):
    return "; ".join(check["blockers"] or check["warnings"])


def can_receive(name, domain=None, config=None):
    """
    This host can take a guest: the name is free, the uuid is, and there is memory for it.

    name
        the name of the guest
    domain
        its description, as ``xm.domain`` returned it on its host
    config
        the configuration file of xend

    Nothing is ever changed, so ``test=True`` makes no difference. When the guest is not described, it is
    looked for here: a guest that runs here already needs no more room.

    .. code-block:: yaml

        room for web01:
          xm.can_receive:
            - name: web01
            - domain: {{ pillar.xend.migrate.description | json }}
    """
    try:
        if not _present(domain):
            return _without_source(name, domain)
        check = __salt__["xm.can_receive"](domain, config=config)
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    if not check["ok"]:
        comment = "%s was not moved, it is untouched on its source. %s cannot take it: %s"
        return _ret(name, False, comment % (name, __opts__["id"], _sentences(check)))
    comment = "%s can take %s" % (__opts__["id"], name)
    return _ret(name, comment=comment + "".join(["; " + text for text in check["warnings"]]))


def _without_source(name, report):
    """
    The result for a guest that its source does not have, or could not describe (REPORT).
    """
    here = __salt__["xm.domain"](name)
    if here and here["runs"]:
        return _ret(name, comment="%s runs here already" % name)
    if report:
        report = "its source could not describe it when this began (%s); run it again" % report
    why = report or (
        "its source has no domain of that name; `xm.list` and `xm.moving` there show whether it is "
        "left over under another"
    )
    if here:
        why += "; %s holds it, but it does not run here (state %s)" % (
            __opts__["id"],
            here["state"] or "not started",
        )
    return _ret(name, False, "%s was not moved: %s" % (name, why))


def migrated(
    name,
    target,
    source=None,
    domain=None,
    there=None,
    live=True,
    port=None,
    ssl=False,
    node=None,
    timeout=None,
    settle=60,
    ask=True,
    failed=False,
):
    """
    A guest runs on the target and is gone from this host. Run it on the source, where it sends the guest,
    and then on the target, where it verifies that the guest has arrived: neither end alone can tell.

    name
        the domain
    target
        the minion id of the target, as in the pillar ``xend:relocation:hosts``
    source
        the minion id of the source, for the reports of the target
    domain, there
        what ``xm.domain`` returned before on the source and on the target: a description, or None
    live, port, ssl, node, timeout
        as for the execution function ``xm.migrate``
    settle
        seconds that the target waits until the guest runs
    ask
        False: do not ask the target's relocation port (under ``test=True``, when its configuration is
        still to be applied)
    failed
        an earlier step has failed: only report what is here

    .. code-block:: yaml

        web01 runs on xen2:
          xm.migrated:
            - name: web01
            - source: xen1
            - target: xen2
            - live: True
    """
    try:
        __salt__["xm.check_options"](
            live=live, port=port, ssl=ssl, node=node, timeout=timeout, settle=settle
        )
        if __opts__["id"] == target:
            return _arrived(name, source, domain, there, settle, failed)
        if failed:
            return _ret(name, False, __salt__["xm.departure"](name)["comment"])
        here = __salt__["xm.domain"](name)
        if here is None and _present(there) and there["runs"]:
            return _runs_there(name, target)
        check = __salt__["xm.can_send"](name, target, port=port, ssl=ssl, ask=ask)
        if not check["ok"]:
            return _ret(name, False, _not_sent(name, here, there, target, check))
        if __opts__["test"]:
            return _ret(name, None, _would_be_sent(name, target, live, check), _moves(name, target))
        sent = __salt__["xm.migrate"](
            name, target, live=live, port=port, ssl=ssl, node=node, timeout=timeout
        )
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    comment = "%s was sent to %s:%s in %s s. %s (its description is kept in %s)" % (
        name,
        sent["address"],
        sent["port"],
        sent["seconds"],
        sent["comment"],
        sent["kept"],
    )
    return _ret(name, True, comment, _moves(name, target))


def _runs_there(name, target):
    """
    The result for a guest that runs on the target: well, if nothing of it is left here.
    """
    left = __salt__["xm.departure"](name)
    if left["state"] == "gone":
        return _ret(name, comment="%s runs on %s already" % (name, target))
    comment = "%s runs on %s, but not only there: %s"
    return _ret(name, False, comment % (name, target, left["comment"]))


def _moves(name, target):
    return {name: {"old": "on %s" % __opts__["id"], "new": "sent to %s" % target}}


def _not_sent(name, here, there, target, check):
    comment = "%s was not moved: %s. " % (name, _sentences(check))
    if here:
        return comment + "It is on %s (state %s), untouched" % (__opts__["id"], here["state"])
    if _present(there):
        return comment + "%s holds it, but it does not run there (state %s)" % (
            target,
            there["state"],
        )
    if there is None:
        return comment + "%s has none either; `xm.list` on all hosts shows where it is" % target
    return comment + "%s could not say whether it is there: %s" % (target, there)


def _would_be_sent(name, target, live, check):
    how = "live" if live else "suspended"
    warnings = "".join(["; " + text for text in check["warnings"]])
    return "%s would be moved to %s, %s%s" % (name, target, how, warnings)


def _arrived(name, source, domain, there, settle, failed):
    if __opts__["test"] and not (_present(there) and there["runs"]):
        return _ret(name, None, "It would be verified that %s runs here" % name)
    uuid = domain["uuid"] if _present(domain) else None
    report = __salt__["xm.arrival"](
        name, uuid=uuid, source=source, failed=failed, timeout=0 if failed else settle
    )
    changes = {}
    if report["arrived"] and not _present(there):
        changes = {
            name: {"old": "not on %s" % __opts__["id"], "new": "runs on %s" % __opts__["id"]}
        }
    comment = report["comment"]
    if _present(domain) and not failed:
        comment += "." + __salt__["xm.restart_advice"](domain, report["state"])
    return _ret(name, report["arrived"], comment.rstrip("."), changes)
