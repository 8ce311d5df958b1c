"""
The steps of one migration: whether the pillar and both ends let it begin, and what the states on the two
hosts are given then.

What both ends have said is asked elsewhere (xend_master), and whether a guest can leave and be taken is
decided by the hosts. Nothing here knows Salt.
"""

import json

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# From the last look at the target until the first byte arrives nobody shall restart xend there; then the
# transfer itself is seen.
RESERVED_S = 300

NEEDED = ("domain", "source", "target")
SAFETY_OPTIONS = ("safety_copy", "safety_folder", "safety_delay_s", "rate_mib_s", "relay")
OPTIONS = ("live", "port", "ssl", "node", "timeout", "settle", "accept") + SAFETY_OPTIONS

IS_MISSING = "%s is missing"
MISSING = [IS_MISSING % key for key in NEEDED]
NOTHING_SAID = (
    "Nothing was moved: the pillar xend:migrate does not say what to move. Say it like this: `salt-run "
    "state.orchestrate xend.orch.migrate pillar='%s'`"
    % '{"xend": {"migrate": {"domain": "web01", "source": "xen1", "target": "xen2"}}}'
)

# Of the disks of a guest, where that was not even tried.
UNMARKED = "it has not marked them"


def option_names():
    """
    The options of a migration, beside the names of the guest and the two hosts.
    """
    return OPTIONS


def options(given):
    """
    What is given for the options of a migration, without those that are not.
    """
    return dict([(key, given[key]) for key in OPTIONS if given.get(key) is not None])


# Whether it may begin


def refusal(given, reports, declared, utility):
    """
    Why nothing can be moved, by what both ends have said; None when something can.

    given
        the pillar ``xend:migrate``
    reports
        what both hosts have said to ``xm.report``, by name
    declared
        the hosts of the pillar
    utility
        a function from the name of another utility to that utility

    Returns as ``stop`` does.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    held = [" %s is on %s." % (name, host) for host in (source, target) if reports[host].get("domain")]
    if "view" not in reports[source] or "view" not in reports[target]:
        why = _silence(reports, declared, held, utility)
        return stop("%s and %s answer" % (source, target), why, utility)
    modules = dict([(host, reports[host]["modules"]) for host in (source, target)])
    differs = utility("xend_version").refusal(modules, "Nothing was moved.%s" % "".join(held), utility)
    if differs:
        return differs
    if reports[source]["wrong"]:
        wrong = utility("xm_heard").legible(reports[source]["wrong"])
        return refuse([wrong], utility, held)
    if reports[source]["follows"] and not reports[target]["follows"]:
        return _refuse_to_follow(name, source, target, held, utility)
    if reports[source].get("domain") and reports[target].get("closed"):
        # Before relocation is configured there: whoever empties a host wants it to be left alone.
        text = "Nothing was moved.%s %s says: %s" % ("".join(held), target, reports[target]["closed"])
        return stop("%s takes guests" % target, text, utility)
    return None


def stop(name, text, utility):
    """
    ``stop``, a dict: what is said in place of steps (``id``, ``text``).
    """
    legible = utility("xm_heard").legible
    return {"stop": {"id": legible(name), "text": legible(text, 20000)}}


def say(name, text, good, utility):
    """
    What needs no step, but is to be said: ``id``, ``text`` and ``good``.
    """
    return dict(stop(name, text, utility)["stop"], good=good)


def as_states(says):
    """
    What there is to say, as Salt returns states.

    says
        a list of what `say` returns, in order

    Within an orchestration Salt shows them as data, sorted by their keys. There the last one has to be the
    last, too, so that several have numbers.
    """
    found, digits = {}, len(str(len(says)))
    for number, one in enumerate(says):
        title = "%0*d. %s" % (digits, number + 1, one["id"]) if len(says) > 1 else one["id"]
        state = {"name": one["id"], "comment": one["text"], "result": bool(one["good"]), "changes": {}}
        state.update(__run_num__=number, __id__=one["id"])
        found["test_|-%s_|-%s_|-nop" % (title, title)] = state
    return found


def refuse(wrong, utility, held=()):
    """
    ``stop`` for a pillar that does not say what to migrate: all that is WRONG with it.
    """
    if [text for text in wrong if text in MISSING] == MISSING and len(wrong) == len(MISSING):
        return stop("the pillar says what to migrate", NOTHING_SAID, utility)
    return stop(
        "the pillar says what to migrate",
        "Nothing was moved.%s In the pillar xend:migrate, %s. Needed are %s; known are also %s."
        % ("".join(held), "; ".join(wrong), ", ".join(NEEDED), ", ".join(OPTIONS)),
        utility,
    )


def _refuse_to_follow(name, source, target, held, utility):
    return stop(
        "both hosts let files follow, or none",
        "Nothing was moved.%s By what they say, xend:follow is set on %s and not on %s, which takes no file "
        "of %s then: set it for both, or for none." % ("".join(held), source, target, name),
        utility,
    )


def wrong_names(given, utility):
    """
    What is wrong with the names in the pillar of a migration, as a list of sentences.
    """
    wrong = []
    for key in NEEDED:
        if given.get(key) in (None, ""):
            wrong.append(IS_MISSING % key)
        elif not isinstance(given[key], TEXT):
            wrong.append("%s, %r, is no text" % (key, given[key]))
        elif given[key] != utility("xm_heard").legible(given[key]):
            wrong.append("%s: %s has characters that no name may have" % (key, json.dumps(given[key])))
    wrong += ["%s is no option" % key for key in given if key not in NEEDED + OPTIONS]
    if not wrong and given["source"] == given["target"]:
        wrong.append("source and target are the same host, %s" % given["target"])
    return wrong


def check_identity(host, said, name, utility):
    """
    A host that was asked about one guest and describes another has not answered.
    """
    guest = said.get("domain")
    if guest and guest["name"] != name:
        why = "domain.name: %r is another guest than %s" % (guest["name"], name)
        found = utility("xend_master").malformed(host, "xm.report", why)
        said.clear()
        said.update(found, problem=utility("xm_heard").legible(found["problem"]))


def _silence(reports, declared, held, utility):
    for said in reports.values():
        said["declared"] = sorted(declared)
    unheard = utility("xm_fleet").unheard(reports)
    return "Nothing was moved.%s No answer from %s. %s" % ("".join(held), unheard["who"], unheard["do"])


def elsewhere(found):
    """
    Where a guest is that neither end has, in a sentence.

    found
        what each host has said, a dict with ``copy`` and ``state``, or ``problem``
    """
    silent = [host for host in sorted(found) if found[host].get("problem")]
    has = ["%s (%s)" % (host, found[host]["copy"]) for host in sorted(found) if host not in silent]
    lacks = ["%s (%s)" % (host, found[host]["problem"]) for host in silent]
    near = sorted(set([name for said in found.values() for name in said.get("near") or []]))
    said = ["It is on %s" % ", ".join(has)] if has else []
    said += ["What these hold is not known: %s" % ", ".join(lacks)] if lacks else []
    return ". ".join(said) + ("; did you mean %s?" % " or ".join(near) if near else "")


# What the states are given


def follower(given, reports):
    """
    The uuid of the guest of which the file follows it; None when none does.
    """
    if not reports[given["source"]]["follows"]:
        return None
    # It may have moved before, and an interrupted run have left its file behind.
    guest = reports[given["source"]]["domain"] or reports[given["target"]]["domain"]
    return guest and guest["uuid"]


def plan(given, reports, file, answered_s, who, test):
    """
    What is to be done, after `refusal` has found nothing.

    given, reports
        as there
    file
        what the source has said of the file that follows the guest, sealed; or ``problem``; or None
    answered_s
        seconds after which both ends had answered
    who
        who moves it, in words for those who have to wait
    test
        nothing will be moved: the settings of the hosts may be still to be applied

    Returns what `xend.migration` returns.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    left, there = reports[source], reports[target]
    if file and "path" not in file:
        # Left behind, the file would start the guest a second time.
        left["problem"] = left["problem"] or file["problem"]
        file = None
    guest, known = left["domain"] or {}, left["domain"] or there["domain"] or {}
    stays = left["stays_managed"]
    is_ready = all([said["configured"] and not said["guarded"] for said in (left, there)])
    return {
        "stop": None,
        "domain": name,
        "source": source,
        "target": target,
        "steps": _steps(given, reports, file, who, _asked(left, there, answered_s), test),
        "configures": not is_ready,
        "knocks": _knocks(there, test),
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


def guest_of(look):
    """
    The guest of a migration, as `xm_fleet.gather_one` wants it, from ``look`` of `plan`.
    """
    guest = dict([(key, look.get(key)) for key in ("uuid", "source", "target")])
    return dict(guest, name=look["domain"], ran=bool(look.get("ran")))


def _asked(left, there, answered_s):
    if not there["host"] or there["host"]["time"] is None:
        return None
    took = [said["seconds"] or 0 for said in (left, there)]
    return {"time": there["host"]["time"], "apart_s": max(0, answered_s - min(took))}


def _knocks(there, test):
    """
    Whether the target's door is asked: one that is still to be opened cannot be, while nothing is changed.
    """
    return there["configured"] or not test


def _steps(given, reports, file, who, asked, test):
    """
    The arguments of the states on the two hosts, by SLS.
    """
    source, target, name = given["source"], given["target"], given["domain"]
    left, there, asked_for = reports[source], reports[target], options(given)
    guest, file = _told(left["domain"]), _told(file)
    has_disks = bool(left["domain"] and left["domain"]["disks"])
    marked = left["marked"] or ({"problem": UNMARKED} if has_disks else None)
    storage = marked and _told(dict(marked, host=source))
    ask = None if _knocks(there, test) else False
    ways = ("live", "port", "ssl", "node", "accept") + SAFETY_OPTIONS
    way = dict([(key, asked_for.get(key)) for key in ways])
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
            accept=asked_for.get("accept"),
            problem=_told(left["problem"]),
            asked=asked,
            left=_told(dict(left["view"], host=source)),
            reserve=RESERVED_S,
            who=who,
        ),
        # The last step looks at both hosts, and says what to do: these two need not.
        "send": _arguments(
            way, name=name, target=target, domain=guest, timeout=asked_for.get("timeout"), ask=ask, brief=True
        ),
        "arrive": _arguments(
            name=name, source=source, domain=guest, settle=asked_for.get("settle"), brief=True
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
    named = dict(given or {}, **more)
    return [dict([(key, value)]) for key, value in named.items() if value is not None]


def _words(given):
    accept = given.get("accept") or []
    return [accept] if isinstance(accept, TEXT) else accept


def _told(value):
    """
    What a host has told, as another one reads it (xm.told): JSON in ASCII, because there are characters that
    YAML does not take, or alters. None stays what it is.
    """
    return None if value is None else json.dumps(value)
