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

# How long an answer may take that has to look at disks.
LOOK_S = 60

GRAIN = ("virtual_subtype", "Xen Dom0")

MIGRATE = ("domain", "source", "target")
MIGRATE_OPTIONS = ("live", "port", "ssl", "node", "timeout", "settle", "accept")
RECOVER = ("hosts", "wait", "remove_lost", "resume")
# What xend.orch.migrate asks xend.orch.recover afterwards.
RECOVER_ONE = ("domain", "uuid", "ran", "who", "source", "target", "look")

START_MINION = (
    "The minion %(host)s does not answer, and xend there goes on without it, so a guest may still be moving: "
    "start it on that host with `service salt-minion start` (`salt-key -L` shows whether there is a minion "
    "of that id)"
)
SYNC = "%(host)s lacks the modules of Xend for Salt: `salt %(host)s saltutil.sync_all` brings them"
UNDECLARED = "it was not asked, because the pillar does not declare it"
MALFORMED = "its answer to %s is not of the agreed form: %s"
BY_HAND = (
    "Look on that host itself, with `xm list`: its modules may be of another version (`salt %(host)s "
    "saltutil.sync_all`), or somebody else speaks there"
)
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
        xend_settings.declared(None)
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
            package = __import__("xend_for_salt." + self._name, globals(), locals(), [function])
            return getattr(package, function)
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
        declared, mistakes = xend_settings.declared(pillar.get("xend"))
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
    if isinstance(said, str):
        lacking = said.startswith("'%s' is not available" % function)
        problem = _legible(said.replace("ERROR: ", "", 1), 500)
        return {"problem": problem, "remedy": SYNC % words if lacking else ""}
    if said is None:
        return {"problem": "its minion does not answer", "remedy": START_MINION % words}
    try:
        found = _form(form)(said)
    except ValueError as exc:
        return {"problem": MALFORMED % (function, exc), "remedy": BY_HAND % words}
    for view in (found, found.get("view")):
        if view and view.get("problem"):
            view.update(problem=_legible(view["problem"]), remedy=_remedy(host, view.get("xend")))
    return found


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
        return {"problem": "; ".join(wrong) or NO_HOSTS % "any minion that is known here"}
    found = {}
    for host, said in _ask(sorted(declared), "xm.where", "view", [str(domain)]).items():
        if said.get("problem"):
            found[host] = {"copy": "unknown", "problem": said["problem"], "remedy": said["remedy"]}
        elif said["copy"] != "absent":
            found[host] = {key: said[key] for key in ("copy", "state", "domid", "listed")}
    return found


# What xend.orch.migrate asks


def migration(given=None, test=False):
    """
    What the orchestration ``xend.orch.migrate`` has to know before it lists its steps: whether it may begin,
    and what both hosts hold. Only looks, but for markers next to image files, which come and go.

    given
        the pillar ``xend:migrate``
    test
        nothing will be moved: the settings of the hosts may be still to be applied

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be moved; else ``domain``,
    ``source``, ``target``, ``steps`` (the pillar data of the steps, by SLS), ``follows``, ``announces``,
    ``unmanages`` (bools: which steps there are beside moving) and ``look`` (the pillar for the last step).

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
    reports = _ask([host for host in ends if host in declared], "xm.report", "report", [name])
    answered_s = time.time() - asked_at
    for host in ends:
        if host not in reports:
            reports[host] = _stranger(host)
    for host, said in reports.items():
        _check_identity(host, said, name)
    held = [" %s is on %s." % (name, host) for host in ends if reports[host].get("domain")]
    silent = [host for host in ends if "view" not in reports[host]]
    if not silent:
        wrong = _wrong_options(given)
    if wrong:
        return _refuse_migration(wrong, held)
    if silent:
        return _stop("%s and %s answer" % (source, target), _silence(reports, declared, held))
    if reports[source]["follows"] and not reports[target]["follows"]:
        return _refuse_to_follow(name, source, target, held)
    return _plan(given, reports, answered_s, test)


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


def _wrong_options(given):
    """
    What the source says of the options; it and the target check them once more when they act.
    """
    options = {key: given[key] for key in MIGRATE_OPTIONS if given.get(key) is not None}
    fine = _call(given["source"], "xm.check_options", keywords=options)
    if fine is True:
        return []
    return [_legible(str(fine or "%s does not answer" % given["source"]).replace("ERROR: ", "", 1), 2000)]


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
    guest = left["domain"] or {}
    options = {key: given[key] for key in MIGRATE + MIGRATE_OPTIONS if given.get(key) is not None}
    who = "migration from %s, begun %s" % (source, time.strftime("%Y-%m-%d %H:%M:%S"))
    step = dict(
        options,
        left=_told(dict(left["view"], host=source)),
        there=_told(None if guest else there["view"]),
        description=_told(left["domain"]),
        problem=_told(left["problem"]),
        who=who,
    )
    step["from"] = _told(left["host"])
    if there["host"] and there["host"]["time"] is not None:
        took = [said["seconds"] or 0 for said in (left, there)]
        step["asked"] = {"time": there["host"]["time"], "apart_s": max(0, answered_s - min(took))}
    file = _file(given, reports)
    if file is not None:
        step["file"] = _told(file)
    if guest.get("disks"):
        step["storage"] = _told(_same_disks(name, source, target))
    if test:
        step["ask"] = _door_is_as_it_shall_be(target)
    stays = left["stays_managed"]
    known = guest or there["domain"] or {}
    return {
        "stop": None,
        "domain": name,
        "source": source,
        "target": target,
        "step": step,
        "follows": bool(file and file.get("path")),
        "announces": bool(guest and there["announces"]),
        # A guest of the same name with another uuid that runs there says nothing of the one that is managed
        # here.
        "unmanages": stays if stays and stays == known.get("uuid") and "managed" in _words(given) else None,
        "look": {
            "domain": name,
            "uuid": guest.get("uuid"),
            "ran": bool(guest.get("runs")),
            "who": who,
            "source": source,
            "target": target,
        },
    }


def _words(given):
    accept = given.get("accept") or []
    return [accept] if isinstance(accept, str) else accept


def _told(value):
    """
    What a host has told, as another one reads it (xm.told): JSON in ASCII, because there are characters that
    YAML does not take, or alters.
    """
    return json.dumps(value)


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
    try:
        return said and _form("file")(said)
    except ValueError as exc:
        return {"problem": _legible("%s: %s" % (source, MALFORMED % ("xen_guest.sealed", exc)))}


def _same_disks(name, source, target):
    """
    Whether the disks are the same storage on both: the source puts markers next to them, the target looks for
    those. They are gone again before anything is decided. What cannot be told is not proved.
    """
    marked = _call(source, "xm.mark_disks", [name], limit_s=LOOK_S)
    same = marked
    try:
        same = "%s: %s" % (source, marked) if isinstance(marked, str) else None
        if isinstance(marked, dict):
            told = _form("marked")(marked)
            same = _call(target, "xm.same_disks", [told, source], limit_s=LOOK_S)
            if isinstance(same, (list, tuple)):
                return _form("verdicts")(same)
    except ValueError as exc:
        same = "%s: %s" % (source if same is None else target, exc)
    finally:
        if isinstance(marked, dict):
            _call(source, "xm.unmark_disks", [marked])
    return [
        [
            "unproved",
            "whether the disks are the same storage on both hosts could not be told (%s); who knows that "
            "they are says accept: [storage]" % _legible("%s" % (same or "no answer",), 500),
        ]
    ]


def _door_is_as_it_shall_be(target):
    """
    Whether the target has its settings: else its door cannot be asked yet.
    """
    planned = _call(target, "state.sls", ["xend.relocation"], {"test": True})
    if not isinstance(planned, dict):
        return True
    return all(isinstance(state, dict) and state.get("result") is not None for state in planned.values())


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
        whose = ", ".join(pair or given.get("hosts") or []) or "any minion that is known here"
        return _stop("no host answers", "; ".join(mistakes) or NO_HOSTS % whose)
    reports, findings = _findings(given, pair, declared)
    if not [host for host in reports if "copies" in reports[host] and reports[host]["copies"] is not None]:
        return _stop("no host answers", _nobody(given, reports))
    if pair and given.get("who") and findings[0]["outcome"] not in ("going_on", "unknown") and not test:
        _settle(given, findings[0])
    return _recovery_plan(given, pair, reports, findings, test)


def _wrong_recovery(given):
    wrong = ["%s is no option" % key for key in given if key not in RECOVER + RECOVER_ONE]
    for key in ("hosts", "remove_lost", "resume"):
        names = given.get(key)
        if names is None:
            continue
        if not isinstance(names, list) or [name for name in names if not isinstance(name, str)]:
            wrong.append("%s is no list of names" % key)
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
        guest = {key: given.get(key) for key in ("uuid", "source", "target")}
        guest.update(name=given["domain"], ran=bool(given.get("ran")))
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
    if [found for found in findings if found["lost"]]:
        before = findings
        look([host for host in reports if reports[host].get("copies") is not None])
        findings = judge()
    return reports, findings


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
    for made in found.get("settled") or []:
        arguments = [given["domain"], made["uuid"], made["note"]]
        _call(made["host"], "xm.forget", arguments, {"claims": made["claims"], "asked": False})


def _recovery_plan(given, pair, reports, findings, test):
    names = [found["name"] for found in findings]
    repairs, says, mends, ids = [], [], False, set()
    wanted = {"resume": given.get("resume") or [], "remove": given.get("remove_lost") or []}
    wanted.update(rename=wanted["resume"], forget=wanted["remove"])
    for found in findings:
        who = found["name"]
        if names.count(who) > 1:
            who += " (%s)" % found["uuid"]
        taken = []
        for repair in [] if given.get("look") else found["repairs"]:
            asked = found["name"] in wanted[repair["do"]] or found["uuid"] in wanted[repair["do"]]
            if repair["only_if_asked"] and not asked:
                continue
            step = "%s: %s %s on %s" % (who, repair["do"], repair["listed"], repair["host"])
            after = taken[-1]["id"] if taken else None
            taken.append({"id": _own_id(step, ids), "host": repair["host"], "after": after})
            taken[-1]["step"] = dict(repair, asked=asked)
            mends = mends or repair["do"] != "forget"
        repairs += taken
        good = found["outcome"] == "moved" or bool(taken and not pair and len(taken) == len(found["repairs"]))
        # What is to be done about it is done by the steps above; where it runs is as true after them.
        is_over = taken and not test and found["outcome"] not in ("moved", "unharmed")
        text = "found before the steps above: " + found["facts"] if is_over else found["comment"]
        says.append(_say(_own_id("%s: %s" % (who, found["outcome"]), ids), text, good))
    again = None
    if mends and not test:
        about = "where %s is" % given["domain"] if pair else "what is there"
        again = {"id": _legible("%s after these steps" % about), "given": dict(given, look=True)}
    says += _silent(pair, reports, findings)
    return {"stop": None, "repairs": repairs, "says": says, "again": again}


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
