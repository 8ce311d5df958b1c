"""
All Xen hosts at once, seen from the master; and what the orchestrations ask before they list their steps.

The master and the pillar are trusted, and each host is believed about itself only: hosts that the pillar does
not declare (``xend:relocation:hosts``) are not asked, an answer that is not of the agreed form
(``_utils/xm_heard.py``) is none, and what the answers mean together (``_utils/xm_fleet.py``) is decided here.

``salt-run saltutil.sync_all`` brings this file and the utilities that it needs to the master.
"""

import json
import logging
import time

import salt.client

log = logging.getLogger(__name__)

# From the last look at the target until the first byte arrives nobody shall restart xend there; then the
# transfer itself is seen.
RESERVED_S = 300

# What Salt puts before the message of an error.
ERROR = "ERROR: "

GRAIN = ("virtual_subtype", "Xen Dom0")

MIGRATE = ("domain", "source", "target")
SAFETY_OPTIONS = ("safety_copy", "safety_folder", "safety_delay_s", "rate_mib_s", "relay")
MIGRATE_OPTIONS = ("live", "port", "ssl", "node", "timeout", "settle", "accept", *SAFETY_OPTIONS)
RECOVER = ("hosts", "wait", "remove_lost", "resume", "restore")
# What xend.orch.migrate asks xend.orch.recover afterwards.
RECOVER_ONE = ("domain", "uuid", "ran", "who", "source", "target", "look")
# Of a repair, what the state on its host is given.
REPAIR = ("name", "do", "listed", "uuid", "domid", "claims", "note")

START_MINION = (
    "The minion %(host)s does not answer, and xend there goes on without it, so a guest may still be moving: "
    "start it on that host with `service salt-minion start` (`salt-key -L` shows whether there is a minion "
    "of that id)"
)
SYNC = "%(host)s lacks the modules of Xend for Salt: `salt %(host)s saltutil.sync_all` brings them"
# What the step is called that configures the hosts, also where they need none.
READY = "relocation is configured and works on both hosts"
# Of the disks of a guest, where that was not even tried.
UNMARKED = "it has not marked them"
UNDECLARED = "it was not asked, because the pillar does not declare it"
MALFORMED = "its answer to %s is not of the agreed form: %s"
BY_HAND = (
    "Look on that host itself, with `xm list`: its modules may be of another version (`salt %(host)s "
    "saltutil.sync_all`), or somebody else speaks there"
)
ANY_MINION = "any minion that is known here"
NO_HOSTS = (
    "the pillar of %s declares no hosts (xend:relocation:hosts), so nobody is asked: give it to all Xen "
    "hosts, as pillar.example explains"
)


def __virtual__():
    try:
        xm_heard.legible("")
        xm_copies.words()
        xm_fleet.unheard({})
        xm_verdict.finding(None, "")
        xend_settings.declared(None, _Utility)
    except (ImportError, AttributeError):
        return False, "the utilities of xend are not on the master: run `salt-run saltutil.sync_all`"
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
            return getattr(__import__("xend_for_salt." + self._name, fromlist=[function]), function)
        # Salt's wrapper switches to the loader of the utilities, where the functions that are handed to them
        # would find no __salt__, and it cannot be used by two threads at once.
        return getattr(found, "__wrapped__", found)


xend_settings = _Utility("xend_settings")
xm_copies = _Utility("xm_copies")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_verdict = _Utility("xm_verdict")


# Who is asked


def _declared(ids=None):
    """
    The hosts that the pillar declares, as `xend_settings.declared` returns them, and what is wrong with that.

    ids
        minions whose pillar is read, unless that of another one declares them; default: all that look like
        Xen hosts. That a minion looks so is its own word, and decides only whose pillar, which is the
        master's, is read
    """
    found, wrong = {}, []
    for host in ids or _looking_like_xen():
        # To compile a pillar takes a while, and that of a host which is known already says the same.
        if host in found:
            continue
        pillar = __salt__["pillar.show_pillar"](host)
        declared, mistakes = xend_settings.declared(pillar.get("xend"), _Utility)
        for name, known in declared.items():
            found.setdefault(name, known)
        wrong += [mistake for mistake in mistakes if mistake not in wrong]
    return found, wrong


def _looking_like_xen():
    known = __salt__["cache.grains"](tgt="*")
    known = dict((host, grains if isinstance(grains, dict) else {}) for host, grains in known.items())
    grain, wanted = GRAIN
    return sorted(host for host in known if known[host].get(grain) == wanted) or sorted(known)


def _publish(hosts, function, arguments=(), keywords=None, limit_s=None):
    """
    Run a function on these hosts; return {host: what it returned} for those of them that have answered.
    """
    returned = {}
    if not hosts:
        return returned
    # As the master is configured: `salt-run -t` says how long salt-run itself may take.
    with salt.client.get_local_client(__opts__["conf_file"]) as client:
        answers = client.cmd_iter(
            list(hosts),
            function,
            arg=list(arguments),
            timeout=limit_s,
            tgt_type="list",
            kwarg=keywords or {},
        )
        for answer in answers:
            for host, data in (answer or {}).items():
                if host in hosts and isinstance(data, dict) and "ret" in data:
                    returned[host] = data["ret"]
    return returned


def _call(host, function, arguments=(), keywords=None, limit_s=None):
    return _publish([host], function, arguments, keywords, limit_s).get(host)


def _ask(hosts, function, form, arguments=(), keywords=None):
    """
    Ask hosts, and keep of each what it has said, as far as it is of this form (see xm_heard); else `problem`,
    why there is nothing, and `remedy`, what to do about that.
    """
    answers = _publish(hosts, function, arguments, keywords)
    return {host: _heard(host, function, form, answers.get(host)) for host in hosts}


def _heard(host, function, form, said):
    words = {"host": host}
    if said is None:
        return {"problem": "its minion does not answer", "remedy": START_MINION % words}
    if isinstance(said, str):
        return _failed(host, function, said)
    try:
        found = _form(form)(said)
    except ValueError as exc:
        return {"problem": MALFORMED % (function, exc), "remedy": BY_HAND % words}
    for view in (found, found.get("view")):
        if view and view.get("problem"):
            view.update(problem=_legible(view["problem"]), remedy=_remedy(host, view.get("xend")))
    return found


def _failed(host, function, said):
    """
    What is to be said where a function that returns data has returned text, with which Salt says that it
    failed. How, minions of all versions tell by the words alone: the codes beside them differ.
    """
    lacking = said.startswith(("'%s' is not available" % function, "Passed invalid arguments"))
    problem = _legible(said[len(ERROR) :] if said.startswith(ERROR) else said, 500)
    return {"problem": problem, "remedy": SYNC % {"host": host} if lacking else ""}


def _remedy(host, runs):
    """
    What is to be done about a host that could not say what it holds. What it advises itself is its own word.
    """
    if runs is None:
        return ""
    return xm_fleet.to_start(host, None if runs else "xend")


def _form(what):
    return xm_heard.form_of(what, xm_copies.words())


def _legible(text, most=2000):
    return xm_heard.legible(text, most)


# What people ask


def where(domain):
    """
    Which hosts hold a copy of a guest.

    domain
        its name

    Returns a dict from minion id to a dict: ``copy``, what it holds in one word (``running``, ``halted``,
    ``suspended`` …), ``state``, ``domid``, ``listed`` (the name under which ``xm list`` shows it); or
    ``problem`` and ``remedy`` for a host that does not say. Hosts without a copy are left out.

    CLI Example:

    .. code-block:: bash

        salt-run xend.where web01
    """
    declared, wrong = _declared()
    if not declared:
        return {"problem": "; ".join(wrong) or NO_HOSTS % ANY_MINION}
    found = {}
    for host, said in _ask(sorted(declared), "xm.where", "view", [str(domain)]).items():
        if said.get("problem"):
            found[host] = {"copy": "unknown", "problem": said["problem"], "remedy": said["remedy"]}
        elif said["copy"] != "absent":
            found[host] = {key: said[key] for key in ("copy", "state", "domid", "listed")}
    return found


def matrix(hosts=None):
    """
    Who lets whom in, over the whole fleet: each host asks the relocation ports of all others.

    hosts
        a list of minion ids, or text with commas between them; default: all that the pillar declares

    Returns a dict from minion id to a dict: ``into``, a dict from each other host to ``result`` and
    ``message`` of what ``xend.probe`` says there of it; ``version`` of the tools of Xen, ``pending`` (why a
    restart of xend is pending there; None when that cannot be told), and ``problem`` and ``remedy`` when the
    host does not say all of it. On a terminal it is a table; ``--out`` gives the data.

    CLI Example:

    .. code-block:: bash

        salt-run xend.matrix
        salt-run xend.matrix hosts=xen1,xen2 --out json
    """
    ids = [host.strip() for host in hosts.split(",")] if isinstance(hosts, str) else hosts
    declared, wrong = _declared(ids)
    if not declared:
        return {"problem": "; ".join(wrong) or NO_HOSTS % (", ".join(ids or []) or ANY_MINION)}
    wanted = sorted(ids or declared)
    known = [host for host in wanted if host in declared]
    asked = _ask(known, "xend.outlook", "outlook", keywords={"hosts": known})
    found = {host: _outlook(asked.get(host, {"problem": UNDECLARED}), known) for host in wanted}
    # As a command by itself, and not for a program that wants the data.
    if __opts__.get("fun") == "xend.matrix" and not __opts__.get("output"):
        return {"data": _table(found), "outputter": "txt"}
    return found


def _outlook(said, known):
    answers = said.get("answers") or {}
    found = {key: said.get(key) for key in ("version", "pending")}
    found["into"] = {
        host: {key: _legible(answer[key]) for key in ("result", "message")}
        for host, answer in answers.items()
        if host in known
    }
    if said.get("problem"):
        found.update(problem=said["problem"], remedy=said.get("remedy") or "")
    return found


def _table(found):
    """
    A line for each host, a narrow column for each that it has asked, and a sentence for all that is not well.
    """
    names = list(found)
    rows = [["", "from", "Xen", *[str(number) for number in range(1, len(names) + 1)]]]
    notes = []
    for number, name in enumerate(names, 1):
        said = found[name]
        cells = ["-" if other == name else _cell(said["into"].get(other)) for other in names]
        rows.append([str(number), name, _legible(said["version"] or "?", 12), *cells])
        notes += [
            "%s to %s: %s: %s" % (name, other, answer["result"], answer["message"])
            for other, answer in sorted(said["into"].items())
            if answer["result"] != "accepted"
        ]
        if said["pending"]:
            why = _legible("; ".join(said["pending"]))
            notes.append("%s: a restart of xend is pending: %s" % (name, why))
        if said.get("problem"):
            notes.append("%s: %s" % (name, ". ".join(filter(None, [said["problem"], said["remedy"]]))))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, "", *notes]).rstrip()


def _cell(answer):
    if answer is None:
        return "?"
    return "yes" if answer["result"] == "accepted" else "NO"


# What xend.orch.migrate asks


def migration(given=None, test=False):
    """
    What the orchestration ``xend.orch.migrate`` has to know before it lists its steps: whether it may begin,
    and what both hosts hold. Only looks, but for markers next to image files, which go with one of the steps.

    given
        the pillar ``xend:migrate``
    test
        nothing will be moved: the settings of the hosts may be still to be applied

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be moved; else ``domain``,
    ``source``, ``target``, ``steps`` (the arguments of the states on the hosts, by SLS), ``says`` (what needs
    no step, a list of dicts: ``id``, ``text``, ``good``), ``configures``, ``follows``, ``announces``,
    ``unmanages`` (bools: which steps there are beside moving) and ``look`` (what ``xend.outcome`` is given).

    CLI Example:

    .. code-block:: bash

        salt-run xend.migration '{"domain": "web01", "source": "xen1", "target": "xen2"}' test=True
    """
    given = given if isinstance(given, dict) else {}
    wrong = _wrong_names(given)
    if wrong:
        return _refuse_migration(wrong)
    source, target, name = given["source"], given["target"], given["domain"]
    declared, mistakes = _declared([source, target])
    if not declared:
        return _refuse_migration(mistakes or [NO_HOSTS % ("%s and %s" % (source, target))])
    asked_at = time.time()
    ends = [source, target]
    question = {"source": source, "options": _options(given)}
    reports = _ask([host for host in ends if host in declared], "xm.report", "report", [name], question)
    answered_s = time.time() - asked_at
    for host in ends:
        if host not in reports:
            reports[host] = _stranger(host)
    for host, said in reports.items():
        _check_identity(host, said, name)
    refused = _refusal(given, reports, declared)
    if refused:
        _unmark(source, reports[source].get("marked"))
        return refused
    return _plan(given, reports, answered_s, test)


def _refusal(given, reports, declared):
    """
    Why nothing can be moved, by what both ends have said; None when something can.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    held = [" %s is on %s." % (name, host) for host in (source, target) if reports[host].get("domain")]
    if "view" not in reports[source] or "view" not in reports[target]:
        return _stop("%s and %s answer" % (source, target), _silence(reports, declared, held))
    if reports[source]["wrong"]:
        return _refuse_migration([_legible(reports[source]["wrong"])], held)
    if reports[source]["follows"] and not reports[target]["follows"]:
        return _refuse_to_follow(name, source, target, held)
    return None


def _stop(name, text):
    return {"stop": {"id": _legible(name), "text": _legible(text, 20000)}}


def _refuse_migration(wrong, held=()):
    return _stop(
        "the pillar says what to migrate",
        "Nothing was moved.%s In the pillar xend:migrate, %s. Needed are %s; known are also %s."
        % ("".join(held), "; ".join(wrong), ", ".join(MIGRATE), ", ".join(MIGRATE_OPTIONS)),
    )


def _refuse_to_follow(name, source, target, held):
    return _stop(
        "both hosts let files follow, or none",
        "Nothing was moved.%s By what they say, xend:follow is set on %s and not on %s, which takes no file "
        "of %s then: set it for both, or for none." % ("".join(held), source, target, name),
    )


def _wrong_names(given):
    wrong = []
    for key in MIGRATE:
        if given.get(key) in (None, ""):
            wrong.append("%s is missing" % key)
        elif not isinstance(given[key], str):
            wrong.append("%s, %r, is no text" % (key, given[key]))
        elif given[key] != _legible(given[key]):
            wrong.append("%s: %s has characters that no name may have" % (key, json.dumps(given[key])))
    wrong += ["%s is no option" % key for key in given if key not in MIGRATE + MIGRATE_OPTIONS]
    if not wrong and given["source"] == given["target"]:
        wrong.append("source and target are the same host, %s" % given["target"])
    return wrong


def _options(given):
    return {key: given[key] for key in MIGRATE_OPTIONS if given.get(key) is not None}


def _stranger(host):
    """
    What is to be said of a host that the pillar does not declare. Whether there is a minion is all that it is
    asked.
    """
    if _call(host, "test.ping") is None:
        return {"problem": "its minion does not answer", "remedy": ""}
    return {"problem": UNDECLARED, "remedy": ""}


def _check_identity(host, said, name):
    """
    A host that was asked about one guest and describes another has not answered.
    """
    guest = said.get("domain")
    if guest and guest["name"] != name:
        text = MALFORMED % ("xm.report", "domain.name: %r is another guest than %s" % (guest["name"], name))
        said.clear()
        said.update(problem=_legible(text), remedy=BY_HAND % {"host": host})


def _silence(reports, declared, held):
    for said in reports.values():
        said["declared"] = sorted(declared)
    unheard = xm_fleet.unheard(reports)
    return "Nothing was moved.%s No answer from %s. %s" % ("".join(held), unheard["who"], unheard["do"])


def _plan(given, reports, answered_s, test):
    source, target, name = given["source"], given["target"], given["domain"]
    left, there = reports[source], reports[target]
    guest, known = left["domain"] or {}, left["domain"] or there["domain"] or {}
    who = "migration from %s, begun %s" % (source, time.strftime("%Y-%m-%d %H:%M:%S"))
    file, stays = _file(given, reports), left["stays_managed"]
    is_ready = all(said["configured"] and not said["guarded"] for said in (left, there))
    return {
        "stop": None,
        "domain": name,
        "source": source,
        "target": target,
        "steps": _steps(given, reports, file, who, _asked(left, there, answered_s), test),
        "configures": not is_ready,
        "says": [_say(READY, "both hosts say so: nothing had to be changed", True)] if is_ready else [],
        "follows": bool(file and file.get("path")),
        "announces": bool(guest and there["announces"]),
        # A guest of the same name with another uuid that runs there says nothing of the one that is managed
        # here.
        "unmanages": bool(stays and stays == known.get("uuid") and "managed" in _words(given)),
        "look": {
            "marked": left["marked"],
            "domain": name,
            "uuid": guest.get("uuid"),
            "ran": bool(guest.get("runs")),
            "who": who,
            "source": source,
            "target": target,
        },
    }


def _asked(left, there, answered_s):
    if not there["host"] or there["host"]["time"] is None:
        return None
    took = [said["seconds"] or 0 for said in (left, there)]
    return {"time": there["host"]["time"], "apart_s": max(0, answered_s - min(took))}


def _steps(given, reports, file, who, asked, test):
    """
    The arguments of the states on the two hosts, by SLS.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    left, there, options = reports[source], reports[target], _options(given)
    guest, file = _told(left["domain"]), _told(file)
    has_disks = bool(left["domain"] and left["domain"]["disks"])
    marked = left["marked"] or ({"problem": UNMARKED} if has_disks else None)
    storage = marked and _told(dict(marked, host=source))
    # A door that is still to be opened cannot be asked yet.
    ask = None if there["configured"] or not test else False
    way = {key: options.get(key) for key in ("live", "port", "ssl", "node", "accept", *SAFETY_OPTIONS)}
    return {
        "leave": _arguments(
            way,
            name=name,
            target=target,
            ask=ask,
            there=None if left["domain"] else _told(there["view"]),
            # There are none to be removed where that went wrong.
            marked=None if marked and marked.get("problem") else storage,
        ),
        "receive": _arguments(
            name=name,
            domain=guest,
            source=_told(left["host"]),
            storage=storage,
            file=file,
            accept=options.get("accept"),
            problem=_told(left["problem"]),
            asked=asked,
            left=_told(dict(left["view"], host=source)),
            reserve=RESERVED_S,
            who=who,
        ),
        # The last step looks at both hosts, and says what to do: these two need not.
        "send": _arguments(
            way, name=name, target=target, domain=guest, timeout=options.get("timeout"), ask=ask, brief=True
        ),
        "arrive": _arguments(
            name=name, source=source, domain=guest, settle=options.get("settle"), brief=True
        ),
        "unmanage": _arguments(name=name, uuid=left["stays_managed"]),
        "announce": _arguments(name=name, domain=guest),
        "settle": _arguments(name=name, file=file),
        "vacate": _arguments(name=name, file=file, sent=True),
    }


def _arguments(given=None, **more):
    """
    The arguments of a state as an SLS lists them.
    """
    return [{key: value} for key, value in dict(given or {}, **more).items() if value is not None]


def _words(given):
    accept = given.get("accept") or []
    return [accept] if isinstance(accept, str) else accept


def _told(value):
    """
    What a host has told, as another one reads it (xm.told): JSON in ASCII, because there are characters that
    YAML does not take, or alters. None stays what it is.
    """
    return None if value is None else json.dumps(value)


def _file(given, reports):
    """
    What the source says of the guest's file when it follows, sealed for the target. None when nothing
    follows.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    guest, there = reports[source]["domain"], reports[target]["domain"]
    if not reports[source]["follows"] or not (guest or there):
        return None
    # It may have moved before, and an interrupted run have left its file behind.
    uuid = (guest or there)["uuid"]
    said = _call(source, "xen_guest.sealed", [name, uuid, _call(target, "xen_guest.key")])
    found = _heard(source, "xen_guest.sealed", "file", said)
    found.pop("remedy", None)
    if "path" not in found:
        # Left behind, the file would start the guest a second time.
        reports[source]["problem"] = reports[source]["problem"] or found["problem"]
        return None
    return found


def _unmark(source, marked):
    """
    Remove the markers of a migration that goes no further, or of which no step may have removed them.
    """
    if marked and not marked.get("problem"):
        _call(source, "xm.unmark_disks", [marked])


# How xend.orch.migrate ends


def outcome(given):
    """
    What became of a migration: what both hosts hold. Where the guest has moved, that it was sent is kept in
    mind no longer; else ``xend.orch.recover`` waits, repairs what is safe, and says where the guest is.

    given
        ``look`` of what ``xend.migration`` has returned

    Returns what ``state.orchestrate`` returns for such states.

    CLI Example:

    .. code-block:: bash

        salt-run xend.outcome '{"domain": "web01", "source": "xen1", "target": "xen2"}'
    """
    given, pair = dict(given), [given["source"], given["target"]]
    marked = given.pop("marked", None)
    declared, _mistakes = _declared(pair)
    question = {"domain": given["domain"], "uuid": given.get("uuid")}
    reports = _ask([host for host in pair if host in declared], "xm.copies", "copies", keywords=question)
    found = xm_fleet.gather_one(reports, _guest(given), _Utility)
    if found["outcome"] != "moved":
        _unmark(given["source"], marked)
        return __salt__["state.orchestrate"]("xend.orch.recover", pillar={"xend": {"recover": given}})
    _forget(given["domain"], found)
    text = _legible(found["comment"], 20000)
    said = {"name": text, "comment": text, "result": True, "changes": {}, "__run_num__": 0}
    said["__id__"] = _legible("%s: moved" % given["domain"], 1000)
    states = {"test_|-%s_|-said_|-nop" % said["__id__"]: said}
    return {"data": {__opts__["id"]: states}, "outputter": "highstate"}


def _guest(given):
    guest = {key: given.get(key) for key in ("uuid", "source", "target")}
    return dict(guest, name=given["domain"], ran=bool(given.get("ran")))


# What xend.orch.recover asks


def recovery(given=None, test=False):
    """
    What the orchestration ``xend.orch.recover`` has to know before it lists its steps: what the hosts hold,
    and which repairs are safe.

    given
        the pillar ``xend:recover``
    test
        nothing will be changed

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be said; else ``repairs``
    (a list of dicts: ``id``, ``host``, ``after``, the id of the one before it of the same guest or None, and
    ``step``, the pillar data), ``says`` (a list of dicts: ``id``, ``text``, ``good``) and ``again``: None, or
    ``id`` and ``given`` of one more look.

    CLI Example:

    .. code-block:: bash

        salt-run xend.recovery test=True
    """
    given = given if isinstance(given, dict) else {}
    wrong = _wrong_recovery(given)
    pair = [given["source"], given["target"]] if given.get("source") else None
    declared, mistakes = ({}, []) if wrong else _declared(pair or given.get("hosts"))
    for host in [] if wrong or not declared else given.get("hosts") or []:
        if host not in declared:
            wrong.append(
                "hosts: %s is none of the hosts in the pillar xend:relocation:hosts (%s)"
                % (host, ", ".join(sorted(declared)))
            )
    if wrong:
        return _stop(
            "the pillar says what to recover",
            "Nothing was done. In the pillar xend:recover, %s. Known are %s."
            % ("; ".join(wrong), ", ".join(RECOVER)),
        )
    if not declared:
        whose = ", ".join(pair or given.get("hosts") or []) or ANY_MINION
        return _stop("no host answers", "; ".join(mistakes) or NO_HOSTS % whose)
    reports, findings = _findings(given, pair, declared)
    if not [host for host in reports if "copies" in reports[host] and reports[host]["copies"] is not None]:
        return _stop("no host answers", _nobody(given, reports))
    if pair and given.get("who") and findings[0]["outcome"] not in ("going_on", "unknown") and not test:
        _settle(given, findings[0])
    if given.get("look") and not pair and not test:
        _forget_those_that_are_back(findings)
    return _recovery_plan(given, pair, reports, findings, test)


def _wrong_recovery(given):
    wrong = ["%s is no option" % key for key in given if key not in RECOVER + RECOVER_ONE]
    for key in ("hosts", "remove_lost", "resume", "restore"):
        names = given.get(key)
        if names is None:
            continue
        if not isinstance(names, list) or [name for name in names if not isinstance(name, str)]:
            wrong.append("%s is no list of names" % key)
    if not wrong:
        both = set(given.get("remove_lost") or []).intersection(given.get("restore") or [])
        wrong += ["%s is named by remove_lost and by restore" % name for name in sorted(both)]
    wait = given.get("wait", 10)
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= 3600:
        wrong.append("wait, %r, is no number of seconds up to 3600" % (wait,))
    return wrong


def _findings(given, pair, declared):
    """
    What hosts hold, and what that means: the pair of a migration, or all that are declared.
    """
    question = {"wait": given.get("wait", 10)}
    guest = None
    if pair:
        question.update(domain=given["domain"], uuid=given.get("uuid"))
        guest = _guest(given)
    reports, before = {}, None

    def look(hosts):
        reports.update(_ask(hosts, "xm.copies", "copies", keywords=question))

    def judge():
        if guest is None:
            found = xm_fleet.gather(reports, _Utility)
        else:
            found = [xm_fleet.gather_one(reports, guest, _Utility)]
        return found if before is None else xm_fleet.confirmed(found, before)

    look([host for host in pair if host in declared] if pair else sorted(declared))
    findings = judge()
    # A host that was not asked may hold another copy of a guest: nothing is certain then, except that a guest
    # which runs on one of its two hosts, with nothing left on the other, is where it shall be.
    others = [host for host in sorted(declared) if host not in reports]
    if others and findings[0]["outcome"] not in ("moved", "unharmed"):
        look(others)
        findings = judge()
    # Nothing is called lost at first sight: hosts are not asked at the very same moment.
    if [found for found in findings if found["nowhere"]]:
        before = findings
        look([host for host in reports if reports[host].get("copies") is not None])
        _ask_for_logs(reports, question)
        findings = judge()
    return reports, findings


def _ask_for_logs(reports, question):
    """
    Ask all hosts about guests that can be brought back: whether they were completed where they were sent, and
    whether they were started afresh anywhere. That is kept with what these hosts have said.
    """
    sent = [made for said in list(reports.values()) for made in said.get("sent") or []]
    whole = [made for made in sent if (made.get("safety") or {}).get("state") == "complete"]
    hosts = sorted(host for host in reports if reports[host].get("copies") is not None)
    for name, uuid in sorted({(made["name"], made["uuid"]) for made in whole}):
        answers = _ask(hosts, "xm.copies", "copies", keywords=dict(question, domain=name, uuid=uuid))
        for host, said in answers.items():
            reports[host].setdefault("completions", {})[uuid] = said.get("completed")
            reports[host].setdefault("creations", {})[uuid] = said.get("created")


def _nobody(given, reports):
    silent = [(host, reports[host]) for host in sorted(reports) if reports[host].get("problem")]
    problems = ["%s: %s" % (host, said["problem"]) for host, said in silent]
    remedies = [said["remedy"] for _host, said in silent if said["remedy"]]
    return (
        "no host could say what it holds (%s). Nobody can tell where %s is: start nothing, look with "
        "`xm list` on every host. %s"
        % ("; ".join(problems), given.get("domain", "any guest"), ". ".join(remedies))
    )


def _settle(given, found):
    """
    The target need not keep its xend for this guest any longer, and the source need not keep in mind that it
    was sent when it was seen to run there.
    """
    _call(given["target"], "xend.release", [given["domain"]], {"who": given["who"]})
    _forget(given["domain"], found)


def _forget(name, found):
    for made in found.get("settled") or []:
        arguments = [name, made["uuid"], made["note"]]
        _call(made["host"], "xm.forget", arguments, {"claims": made["claims"], "asked": False})


def _forget_those_that_are_back(findings):
    """
    The last look says of a guest that it was brought back, so that nobody needs its note any longer.
    """
    for found in findings:
        steps = [step for step in found["repairs"] if found.get("back") and not step["only_if_asked"]]
        _forget(found["name"], {"settled": [step for step in steps if step["do"] == "forget"]})


def _recovery_plan(given, pair, reports, findings, test):
    names = [found["name"] for found in findings]
    repairs, says, mends, ids = [], [], False, set()
    for found in findings:
        who = found["name"]
        if names.count(who) > 1:
            who += " (%s)" % found["uuid"]
        taken, wanted = [], _wanted(given, found)
        steps = [step for step in found["repairs"] if step["do"] in wanted]
        for repair in [] if given.get("look") else steps:
            asked = wanted[repair["do"]]
            if repair["only_if_asked"] and not asked:
                continue
            step = "%s: %s %s on %s" % (who, repair["do"], repair["listed"], repair["host"])
            after = taken[-1]["id"] if taken else None
            taken.append({"id": _own_id(step, ids), "host": repair["host"], "after": after})
            taken[-1]["step"] = [{key: repair[key]} for key in REPAIR if key in repair] + [{"asked": asked}]
            mends = mends or repair["do"] != "forget"
        repairs += taken
        is_well = found["outcome"] == "moved" or bool(found.get("back") and not pair)
        good = is_well or bool(taken and not pair and len(taken) == len(steps))
        # What is to be done about it is done by the steps above; where it runs is as true after them.
        is_over = taken and not test and found["outcome"] not in ("moved", "unharmed")
        text = "found before the steps above: " + found["facts"] if is_over else found["comment"]
        if not wanted:
            text += ". Its name or uuid is named by remove_lost and by restore, so that neither was done"
        if taken and "forget" in wanted and len(steps) < len(found["repairs"]):
            # What could be done instead of that is no advice any more.
            text = text if is_over else found["facts"]
            would = "would be" if test else "was"
            text += "; its safety copy %s thrown away with the note, as remove_lost wants it" % would
        says.append(_say(_own_id("%s: %s" % (who, found["outcome"]), ids), text, good))
    again = None
    if mends and not test:
        about = "where %s is" % given["domain"] if pair else "what is there"
        again = {"id": _legible("%s after these steps" % about), "given": dict(given, look=True)}
    says += _silent(pair, reports, findings)
    return {"stop": None, "repairs": repairs, "says": says, "again": again}


def _wanted(given, found):
    """
    Which repairs of a finding are to be taken at all, each with whether the operator has asked for it.
    """
    named = {
        key: found["name"] in (given.get(key) or []) or found["uuid"] in (given.get(key) or [])
        for key in ("remove_lost", "resume", "restore")
    }
    lost, resume = named["remove_lost"], named["resume"]
    wanted = {"remove": lost, "forget": lost, "resume": resume, "rename": resume}
    if "restore" not in [step["do"] for step in found["repairs"]]:
        return wanted
    # Its copy goes with its note: either the one or the other is done, and of what is named for both neither.
    if lost and named["restore"]:
        return {}
    return wanted if lost else {"remove": named["restore"], "restore": named["restore"]}


def _own_id(text, taken):
    """
    The id of a state that no other one has, whatever hosts call their guests: two of one id would break the
    whole.
    """
    begin = found = _legible(text, 1000)
    number = 1
    while found in taken:
        number += 1
        found = "%s (%d)" % (begin, number)
    taken.add(found)
    return found


def _say(name, text, good):
    return dict(_stop(name, text)["stop"], good=good)


def _silent(pair, reports, findings):
    """
    What is to be said when nothing was found, or when not all have answered.
    """
    silent = sorted(host for host in reports if reports[host].get("copies") is None)
    says = []
    if not findings and not silent:
        text = "no migration has left anything on %s" % ", ".join(sorted(reports))
        says.append(_say("nothing is left over", text, True))
    if silent and not pair:
        why = xm_fleet.unheard(reports)
        text = (
            "what they hold is not known: %s. A guest is safe to be started only when these were looked at "
            "as well%s. Then look again with `salt-run state.orchestrate xend.orch.recover`"
            % (why["who"], ". " + why["do"] if why["do"] else "")
        )
        says.append(_say("some hosts do not answer", text, False))
    return says
