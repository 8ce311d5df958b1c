"""
Guests that move, as states: orchestration runs ``xm.can_send`` and ``xm.sent`` on the source,
``xm.can_receive`` and ``xm.arrived`` on the target.

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
    ret = {"name": name, "result": result, "comment": comment, "changes": changes or {}}
    # Under Python 2 there are two kinds of text, and Salt cannot take both.
    return __utils__["xend_text.as_given"](ret, __opts__["id"]) if bytes is str else ret


def _text(value):
    """
    Text of an SLS as the type of what modules say, which under Python 2 is another one.
    """
    return __utils__["xend_text.native"](value) if bytes is str else value


def _quoted(value):
    return __utils__["xend_text.quoted"](value) if bytes is str else "%.80r" % (value,)


def _present(report):
    """
    Whether what a host reported of a guest is its description; else it is None (no such guest there)
    or text (the host could not say).
    """
    return isinstance(report, dict) and "uuid" in report and "runs" in report


def can_send(
    name,
    target,
    live=True,
    port=None,
    ssl=False,
    ask=True,
    node=None,
    accept=None,
    there=None,
    marked=None,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
):
    """
    A guest can leave this host for another one: it runs, nothing binds it to this host, and the target
    lets this host in.

    name
        the domain
    target, live, port, ssl, node, accept, safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        as for the execution function ``xm.migrate``
    ask
        False: do not ask the target's relocation port (under ``test=True``, when its configuration is
        still to be applied)
    there
        what the target holds of it, as ``xm.where`` returned it there, or text that ``xm.told`` understands
    marked
        what ``xm.mark_disks`` returned here, which the target has seen by now: the markers are removed

    Nothing else is ever changed; warnings stand under ``changes``, where an orchestration shows them. A guest
    that is not here is no failure of this state when it runs on the target already. What the target holds is
    not asked here; without ``there``, ``xm.can_receive`` on the target has to say it.

    .. code-block:: yaml

        web01 can leave:
          xm.can_send:
            - name: web01
            - target: xen2
    """
    name, target = _text(name), _text(target)
    there, marked = [__salt__["xm.told"](given) for given in (there, marked)]
    safety = _safety(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    try:
        if marked:
            __salt__["xm.unmark_disks"](marked)
        here = __salt__["xm.where"](name)
        if here["copy"] in ("absent", "managed"):
            return _not_here(name, target, here, there)
        check = __salt__["xm.can_send"](
            name, target, port=port, ssl=ssl, ask=ask, live=live, node=node, accept=accept, **safety
        )
        if not check["ok"]:
            return _ret(name, False, _not_sent(name, check))
    except CommandExecutionError as exc:
        return _ret(name, False, "%s was not moved: %s" % (name, exc))
    return _checked(name, "%s can leave %s" % (name, str(__opts__["id"])), check["warnings"])


def _safety(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay):
    return {
        "safety_copy": safety_copy,
        "safety_folder": safety_folder,
        "safety_delay_s": safety_delay_s,
        "rate_mib_s": rate_mib_s,
        "relay": relay,
    }


def _not_here(name, target, here, there):
    """
    The result for a guest that this host has not, as far as what the target holds (THERE) is known.
    """
    comment = "%s does not run on %s" % (name, str(__opts__["id"]))
    if not there:
        return _ret(name, comment=comment)
    # This says as well what is wrong with what was told of the target.
    why = __salt__["xm.nowhere"](name, here, target, there)
    if there["copy"] == "unknown":
        return _ret(name, comment=comment)
    if there["copy"] == "running":
        return _ret(name, comment="%s; it runs on %s already" % (comment, target))
    return _ret(name, False, "%s was not moved: %s" % (name, why))


def can_receive(
    name,
    domain=None,
    config=None,
    source=None,
    storage=None,
    file=None,
    accept=None,
    problem=None,
    reserve=0,
    who="",
    asked=None,
    left=None,
):
    """
    This host can take a guest: its name and uuid are free, there is memory, its disks are the same storage
    here, its bridges are here, and its processor finds all that it had.

    name
        the name of the guest
    domain
        its description, as ``xm.domain`` returned it on its host
    config
        the configuration file of xend
    source, storage, file, accept, asked
        as for the execution function ``xm.can_receive``; these, DOMAIN, PROBLEM and LEFT may also be text
        that ``xm.told`` understands
    problem
        what was wrong when its host was to describe it, if anything
    left
        what its host held of it then, as ``xm.where`` returned it there, with ``host``, its minion id
    reserve, who
        seconds for which xend is not restarted here by Salt, and the memory that the guest needs is promised
        to no other one, because it is about to come, and from where, in words

    Nothing but that is changed, and not under ``test=True``; warnings stand under ``changes``. When the
    guest is not described, it is looked for here: a guest that runs here already needs no more room.

    .. code-block:: yaml

        room for web01:
          xm.can_receive:
            - name: web01
            - domain: {{ pillar.xend.migrate.description | json }}
    """
    name = _text(name)
    domain, source, storage, file, problem, left = [
        __salt__["xm.told"](given) for given in (domain, source, storage, file, problem, left)
    ]
    try:
        if not _present(domain):
            return _without_source(name, problem, left)
        under_way = __salt__["xm.under_way"](name, left) if left else ""
        if under_way:
            return _ret(name, False, "%s was not moved: %s" % (name, under_way))
        if problem:
            return _ret(name, False, "%s was not moved: its source says: %s" % (name, problem))
        check = __salt__["xm.can_receive"](
            domain,
            config=config,
            source=source,
            storage=storage,
            file=file,
            accept=accept,
            asked=asked,
        )
        if check["ok"] and reserve and not __opts__["test"]:
            __salt__["xm.reserve"](domain, who=who, seconds=reserve, config=config)
    except CommandExecutionError as exc:
        return _ret(name, False, "%s was not moved: %s" % (name, exc))
    if not check["ok"]:
        comment = "%s was not moved, it is untouched on its source. %s cannot take it: %s"
        return _ret(
            name, False, comment % (name, str(__opts__["id"]), "; ".join(check["blockers"]))
        )
    return _checked(name, "%s can take %s" % (str(__opts__["id"]), name), check["warnings"])


def _checked(name, comment, warnings):
    """
    The result of a check that found nothing in the way. Of a minion whose states have neither failed nor
    changed anything an orchestration shows nothing at all, so warnings stand among the changes.
    """
    if not warnings:
        return _ret(name, comment=comment)
    result = None if __opts__["test"] else True
    return _ret(name, result, _with(comment, warnings), {"warnings": warnings})


def _with(comment, warnings):
    return comment + "".join(["; " + text for text in warnings])


def _without_source(name, problem, left):
    """
    The result for a guest that its source does not have, or could not describe (PROBLEM).
    """
    here = __salt__["xm.where"](name)
    if here["copy"] == "running":
        return _ret(name, comment="%s runs here already" % name)
    why = __salt__["xm.not_described"](name, here, left, problem)
    return _ret(name, False, "%s was not moved: %s" % (name, why))


def migrated(
    name,
    target,
    source=None,
    domain=None,
    live=True,
    port=None,
    ssl=False,
    node=None,
    timeout=None,
    settle=None,
    ask=True,
    accept=None,
    brief=False,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
):
    """
    A guest runs on the target and is gone from this host: on the source ``xm.sent``, and then on the target
    ``xm.arrived``. Neither end alone can tell.

    name
        the domain
    target
        the minion id of the target, as in the pillar ``xend:relocation:hosts``
    source, settle
        as for ``xm.arrived``
    live, port, ssl, node, timeout, ask, accept, safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        as for ``xm.sent``
    domain, brief
        as for both

    .. code-block:: yaml

        web01 runs on xen2:
          xm.migrated:
            - name: web01
            - source: xen1
            - target: xen2
            - live: True
    """
    name, target = _text(name), _text(target)
    is_target = str(__opts__["id"]) == target
    here = {"domain": __salt__["xm.told"](domain), "brief": brief}
    way = _safety(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    way.update(live=live, port=port, ssl=ssl, node=node, timeout=timeout, accept=accept)
    wait = 0 if settle is None else settle
    try:
        # All of them on both ends.
        __salt__["xm.check_options"](settle=wait, **way)
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    if is_target:
        return arrived(name, source=source, settle=settle, **here)
    return sent(name, target, ask=ask, **dict(way, **here))


def sent(
    name,
    target,
    domain=None,
    live=True,
    port=None,
    ssl=False,
    node=None,
    timeout=None,
    ask=True,
    accept=None,
    brief=False,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
):
    """
    A guest has left this host for the target, where ``xm.arrived`` then has to see it: xend gives no
    acknowledgement. One that was not here when this began is no failure.

    name
        the domain
    target
        the minion id of the target, as in the pillar ``xend:relocation:hosts``
    domain
        what ``xm.domain`` returned here before, or None when the guest was not there; or that as text that
        ``xm.told`` understands. Another guest that has the name now is not sent
    live, port, ssl, node, timeout, accept, safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        as for the execution function ``xm.migrate``
    ask
        False: do not ask the target's relocation port (under ``test=True``, when its configuration is
        still to be applied)
    brief
        say what is where, and leave what to do to somebody who looks at both hosts afterwards

    .. code-block:: yaml

        web01 has left for xen2:
          xm.sent:
            - name: web01
            - target: xen2
    """
    name, target = _text(name), _text(target)
    domain = __salt__["xm.told"](domain)
    way = _safety(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    way.update(live=live, port=port, ssl=ssl, node=node, accept=accept)
    try:
        __salt__["xm.check_options"](timeout=timeout, **way)
        uuid = domain["uuid"] if _present(domain) else None
        if not _present(domain) and __salt__["xm.where"](name)["copy"] in ("absent", "managed"):
            return _ret(name, comment="%s does not run on %s" % (name, str(__opts__["id"])))
        if __opts__["test"]:
            check = __salt__["xm.can_send"](name, target, ask=ask, uuid=uuid, **way)
            if not check["ok"]:
                return _ret(name, False, _not_sent(name, check))
            how = "live" if live else "suspended"
            comment = _with("%s would be moved to %s, %s" % (name, target, how), check["warnings"])
            return _ret(name, None, comment, _moves(name, target))
        told = __salt__["xm.migrate"](name, target, timeout=timeout, uuid=uuid, **way)
    except CommandExecutionError as exc:
        return _ret(name, False, brief and getattr(exc, "facts", None) or str(exc))
    how = dict(told, comment=(brief and told.get("facts")) or told["comment"])
    return _ret(name, True, SENT % how, _moves(name, target))


def _moves(name, target):
    return {name: {"old": "on %s" % str(__opts__["id"]), "new": "sent to %s" % target}}


SENT = (
    "%(name)s was sent to %(address)s:%(port)s in %(seconds)s s. %(comment)s (its description is kept in "
    "%(kept)s)"
)

# Of what is under way, or cannot be seen, that has been said, and nobody can say that it is untouched.
WHERE = dict.fromkeys(("sending", "migrating", "receiving", "arriving", "unknown"), "")
WHERE["absent"] = ". It is not on %(host)s"
UNTOUCHED = ". It is on %(host)s (%(copy)s, state %(state)s), untouched"


def _not_sent(name, check):
    here = dict(__salt__["xm.where"](name), host=str(__opts__["id"]))
    comment = "%s was not moved: %s" % (name, "; ".join(check["blockers"]))
    return comment + WHERE.get(here["copy"], UNTOUCHED) % here


def arrived(name, source=None, domain=None, settle=None, brief=False):
    """
    A guest that was sent here runs here. It is waited for while xend can still complete it.

    name
        the domain
    source
        the minion id of the source, for the report
    domain
        as for ``xm.sent``, as the source has returned it: one that was not there was not sent
    settle
        seconds to wait; default: as long as xend here waits for the devices of the guest, and gives it up
    brief
        as for ``xm.sent``: whether a guest that has not arrived is lost, only both hosts together tell

    .. code-block:: yaml

        web01 runs here:
          xm.arrived:
            - name: web01
            - source: xen1
            - domain: {{ pillar.xend.migrate.description | json }}
    """
    name = _text(name)
    domain, host = __salt__["xm.told"](domain), str(__opts__["id"])
    try:
        __salt__["xm.check_options"](settle=0 if settle is None else settle)
        if not _present(domain):
            here = __salt__["xm.where"](name)
            if here["copy"] == "running":
                return _ret(name, comment="%s runs on %s already" % (name, host))
            comment = "%s was not sent, and does not run on %s (%s)"
            return _ret(name, False, comment % (name, host, here["problem"] or here["copy"]))
        changes = {name: {"old": "not on %s" % host, "new": "runs on %s" % host}}
        if __opts__["test"]:
            return _ret(name, None, "it would be verified that %s runs here" % name, changes)
        report = __salt__["xm.arrival"](name, uuid=domain["uuid"], source=source, timeout=settle, gone=True)
        comment = report["facts" if brief else "comment"]
        if report["lost"]:
            # This keeps the description here as well, whoever says what is to be done.
            advice = __salt__["xm.restart_advice"](domain, source)
            comment += "" if brief else "." + advice
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    try:
        # From now on it is seen, or does not come any more.
        __salt__["xend.release"](name)
    except CommandExecutionError as exc:
        comment += "; its reservation was not released: %s" % exc
    if report["arrived"] and domain["uuid"]:
        # If an evacuation has taken it away from here, it is home, however it has come.
        comment += "".join(["; %s" % one for one in _settled({"home": [domain["uuid"]]})])
    return _ret(name, report["arrived"], comment, changes if report["arrived"] else {})


def _settled(share):
    """
    Let this host put in order what a guest has left; returns what could not be done.
    """
    try:
        return __salt__["xm.settle_moves"]({str(__opts__["id"]): share})
    except CommandExecutionError as exc:
        return [str(exc)]


def unmanaged(name, uuid):
    """
    xend does not manage a guest here any more that was sent from here, so that nobody starts it a second
    time. Before Xen 4.0 nothing else takes it away. Use it when the guest was seen to run on its new host.

    name, uuid
        the domain

    .. code-block:: yaml

        xend does not know web01 any more:
          xm.unmanaged:
            - name: web01
            - uuid: 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f
    """
    name = _text(name)
    try:
        was = __salt__["xm.forget_managed"](name, uuid, test=__opts__["test"])
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    changes = {name: {"old": "managed by xend on %s" % str(__opts__["id"]), "new": None}}
    if not was:
        return _ret(name, comment="xend does not manage %s on %s" % (name, str(__opts__["id"])))
    if __opts__["test"]:
        return _ret(name, None, "once it runs elsewhere, xend would forget %s here" % name, changes)
    return _ret(name, True, "xend does not manage %s here any more" % name, changes)


def repaired(name, do, listed, uuid, domid=None, note=None, claims=None, asked=False):
    """
    What a broken migration has left of a guest on this host is cleaned up, by one safe step.

    name
        the guest, for the report
    do, listed, uuid, domid
        as for the execution function ``xm.repair``, which looks once more before it does anything; or
        ``forget``: the ``note`` with this id, that the guest was sent from here, is removed (``xm.forget``);
        or ``restore``: the guest is brought back from the safety copy of which that note tells
        (``xm.restore``)
    note
        the id of the note
    claims, asked
        as for these functions: what other hosts say themselves that they hold of the guest, and whether the
        operator has named it for this run

    .. code-block:: yaml

        web01 gets its name back:
          xm.repaired:
            - name: web01
            - do: rename
            - listed: migrating-web01
            - uuid: 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f
            - domid: 7
            - claims: {}
    """
    name, listed = _text(name), _text(listed)
    if do not in list(DONE):
        return _ret(name, False, "do: %s is none of %s" % (_quoted(do), ", ".join(sorted(DONE))))
    which = "noted as sent" if do in ("forget", "restore") else "domain %s" % domid
    word = {"claims": claims, "asked": asked, "test": __opts__["test"]}
    try:
        if do == "forget":
            if not __salt__["xm.forget"](name, uuid, note, **word):
                return _ret(name, False, "%s has been sent from here once more, which is noted" % name)
            comment = "that %s was sent from here is not noted any more" % name
        elif do == "restore":
            comment = __salt__["xm.restore"](name, uuid, note, **word)
        else:
            comment = __salt__["xm.repair"](do, listed, uuid, domid, **word)
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    changes = {listed: {"old": which, "new": DONE[do]}}
    if __opts__["test"]:
        return _ret(name, None, "%s, %s, would be %s" % (listed, which, DONE[do]), changes)
    return _ret(name, True, comment, changes)


def host_closed(name, guests, who):
    """
    This host takes no guests by way of Salt, and xend is not restarted here, because it is being emptied; and
    it is kept in mind which guests leave it, and for where.

    name
        any text
    guests, who
        as for the execution function ``xm.close_host``; GUESTS may also be text that ``xm.told`` understands

    What is kept in mind already stays so.

    .. code-block:: yaml

        xen1 takes no guests:
          xm.host_closed:
            - who: xend.orch.evacuate
            - guests:
              - {name: web01, uuid: 6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f, target: xen2}
    """
    guests = __salt__["xm.told"](guests)
    return _opened_or_closed(name, "closed to guests", "xm.close_host", guests=guests, who=who)


def host_opened(name):
    """
    This host takes guests again, and xend may be restarted here. Which guests were taken away from it is
    still kept in mind.

    name
        any text

    .. code-block:: yaml

        xen1 takes guests:
          xm.host_opened: []
    """
    return _opened_or_closed(name, "open to guests", "xm.open_host")


def _opened_or_closed(name, how, function, **arguments):
    host = str(__opts__["id"])
    try:
        found = __salt__[function](test=True, **arguments)
        if found["new"] == found["old"]:
            return _ret(name, comment="%s is %s" % (host, how))
        changes = _kept_in_mind(found)
        if __opts__["test"]:
            return _ret(name, None, "%s would be %s" % (host, how), changes)
        changes = _kept_in_mind(__salt__[function](**arguments))
        left = __salt__[function](test=True, **arguments)
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    if left["new"] != left["old"]:
        return _ret(name, False, "%s was made %s, and somebody else has changed that" % (host, how), changes)
    return _ret(name, True, "%s is %s now" % (host, how), changes)


def _kept_in_mind(found):
    """
    What changes in what a host keeps in mind, one entry for each guest that does.
    """
    changes = {}
    sides = [(side, found[side]) for side in ("old", "new")]
    for key in ("closed", "since", "who"):
        if found["old"][key] != found["new"][key]:
            changes[key] = dict([(side, record[key]) for side, record in sides])
    for side, record in sides:
        for guest in record["guests"]:
            entry = changes.setdefault("%(name)s (%(uuid)s)" % guest, {"old": None, "new": None})
            entry[side] = "goes to %(target)s" % guest
    unchanged = [key for key in changes if changes[key]["old"] == changes[key]["new"]]
    return dict([(key, changes[key]) for key in changes if key not in unchanged])


DONE = {
    "rename": "renamed to its own name",
    "remove": "removed",
    "resume": "resumed",
    "forget": "forgotten",
    "restore": "restored from its safety copy",
}
