"""
Many guests moved in one run: what may be asked for, what has become of each guest, and what is said of all
of them at the end. A host is emptied (xend.orch.evacuate), or gets back what it had (xend.orch.restore).

Who goes where is decided in xm_plan, where a guest is in xm_verdict and xm_fleet. Nothing here knows Salt,
and nothing is asked or done. `utility` is a function from the name of another utility to it.
"""

import json
import numbers
import re

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

PARALLEL, MOST_PARALLEL = 2, 16

# Outcomes (see xm_verdict.decide) after which nothing further is started: the guest is lost, or it cannot be
# told what has become of it, so that the same might become of the next one.
STOPS = ("both", "going_on", "incomplete", "kept", "lost", "unknown")

RESTORE = "salt-run state.orchestrate xend.orch.restore"
RECOVER = "salt-run state.orchestrate xend.orch.recover"


# What is asked for


def _is_name(value, utility):
    return isinstance(value, TEXT) and value != "" and value == utility("xm_heard").legible(value)


def _are_names(value, utility):
    given = names(value)
    return isinstance(given, list) and bool(given) and all([_is_name(name, utility) for name in given])


def _is_number(least, most):
    def look(value, utility):
        is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return is_whole and least <= value <= most

    return look


def _is_flag(value, utility):
    return value is True or value is False


def _is_order(value, utility):
    return value in utility("xm_plan").orders() or _are_names(value, utility)


NAME = (_is_name, "no name of a minion")
NAMES = (_are_names, "no list of names")
COUNT = (_is_number(1, MOST_PARALLEL), "no whole number from 1 to %d" % MOST_PARALLEL)

# What each key of the pillar has to be, and what is said of another value.
EVACUATION = {
    "source": NAME,
    "targets": NAMES,
    "domains": NAMES,
    "parallel": COUNT,
    "partial": (_is_flag, "neither true nor false"),
    "order": (_is_order, "neither largest nor smallest, and no list of names"),
    "spare_mib": (_is_number(0, 1 << 40), "no whole number of MiB"),
}
RESTORATION = {"host": NAME, "domains": NAMES, "parallel": COUNT}


def names(value):
    """
    Names that were given as a list, or as text with commas between them; anything else as it is.
    """
    if isinstance(value, TEXT):
        return [name.strip() for name in value.split(",") if name.strip()]
    return list(value) if isinstance(value, tuple) else value


def wrong(given, which, utility):
    """
    What is wrong with a pillar, as a list of sentences; the options of a migration are the hosts' to judge.

    given
        the pillar
    which
        ``evacuate`` or ``restore``
    """
    rules, host = _rules(which)
    found = [] if given.get(host) not in (None, "") else ["%s is missing" % host]
    known = utility("xm_steps").option_names()
    for key in sorted(given):
        if key in rules:
            is_right, why = rules[key]
            if given[key] not in (None, "") and not is_right(given[key], utility):
                found.append("%s, %s, is %s" % (key, json.dumps(given[key], default=repr), why))
        elif key not in known:
            found.append("%s is no option" % (key,))
    if not found and given.get(host) in (names(given.get("targets")) or []):
        found.append("%s is the source, and among the targets" % given[host])
    return found


def _rules(which):
    return (EVACUATION, "source") if which == "evacuate" else (RESTORATION, "host")


def refused(which, mistakes, utility):
    """
    ``stop`` (see xm_steps.stop) for a pillar that is wrong.
    """
    rules, host = _rules(which)
    others = sorted(set(rules).difference([host])) + list(utility("xm_steps").option_names())
    return utility("xm_steps").stop(
        "the pillar says what to do",
        "Nothing was done. In the pillar xend:%s, %s. Needed is %s; known are also %s."
        % (which, "; ".join(mistakes), host, ", ".join(others)),
        utility,
    )


def busy(host, who, utility):
    """
    ``stop`` while another run empties or fills this host.

    who
        what that run says of itself, or ""
    """
    text = (
        "Nothing was done: %s is being emptied or filled by another run on this master%s. Wait until that is "
        "over (`salt-run xend.watch` shows how far it is), then run this again: it goes on with what is left"
    )
    return utility("xm_steps").stop(
        "nobody else empties or fills %s" % host, text % (host, who and " (%s)" % who), utility
    )


# The plan of an evacuation


def evacuation(given, plan, who, test, utility):
    """
    What xend.orch.evacuate is to do, by a plan.

    given
        the pillar
    plan
        what `xend.plan` has returned, without ``problem``
    who
        who empties the host, in words
    test
        nothing will be moved

    Returns what `xend.evacuation` returns.
    """
    source, partial = given["source"], given.get("partial") is True
    placements, impossible = plan["placements"], plan["impossible"]
    would = test or bool(impossible) and not partial
    says = [_planned(source, one, would, utility) for one in placements]
    says += [_say(one["domain"], "stays", one["says"], True, utility) for one in plan["stays"]]
    says += [_say(one["domain"], "elsewhere", one["says"], True, utility) for one in plan["elsewhere"]]
    says += [_say(one["domain"], "under way", one["says"], True, utility) for one in plan["under_way"]]
    says += [_say(one["domain"], "not there", one["says"], True, utility) for one in plan["unordered"]]
    unheard = plan["unheard"]
    says += [_unheard(host, unheard[host], utility) for host in sorted(unheard)]
    reasons = [{"domain": one["domain"], "uuid": one["uuid"], "text": why_not(one)} for one in impossible]
    if reasons and not partial:
        return dict(_nothing_moves(source, reasons, len(placements), utility), says=distinct(says))
    if test:
        # Else the last word says that of those that stay.
        says += [_say(one["domain"], "fits nowhere", one["text"], False, utility) for one in reasons]
        says.append(_would_move(source, placements, reasons, utility))
    moving = placements + [one for one in plan["under_way"] if one["target"] and one["uuid"]]
    guests = [dict([(key, one[key]) for key in ("uuid", "target")], name=one["domain"]) for one in moving]
    hosts, used = plan["hosts"], set([one["target"] for one in moving])
    # On a host that is closed already xend is not restarted, which settings may need, and it sends as it is.
    if not hosts[source]["closed"]:
        used.add(source)
    return {
        "stop": None,
        "says": distinct(says),
        "source": source,
        "configures": sorted([host for host in hosts if host in used and _is_unready(hosts[host])]),
        "closes": [{"name": source}, {"guests": json.dumps(guests)}, {"who": who}],
        "moves": json.dumps(
            {
                "host": source,
                "who": who,
                "parallel": given.get("parallel") or PARALLEL,
                "options": utility("xm_steps").options(given),
                "moves": [_move(source, one) for one in placements],
                "under_way": [_move(source, one) for one in plan["under_way"]],
                "impossible": reasons,
                "domains": names(given.get("domains")),
            }
        ),
    }


def unprepared(record, moves, utility):
    """
    Why guests must not be moved away from a host yet, by what that keeps in mind; "" when they may.

    record
        what `xm.evacuation` has returned there, or ``problem``
    moves
        dicts with ``domain``, ``uuid`` and ``target``

    That it is closed may be the work of an earlier run. A guest that it does not keep in mind, with where it
    goes, nobody would bring back.
    """
    if record.get("problem"):
        return record["problem"]
    if not record["closed"]:
        return "it says that it takes guests"
    kept = [(guest["uuid"], guest["target"]) for guest in record["guests"]]
    others = [one for one in moves if (one["uuid"], one["target"]) not in kept]
    told = ["%s to %s" % (one["domain"], one["target"]) for one in others]
    legible = utility("xm_heard").legible
    return "it does not keep in mind what leaves it: %s" % legible(", ".join(told)) if told else ""


def _move(source, one):
    return {"domain": one["domain"], "uuid": one["uuid"], "source": source, "target": one["target"]}


def _say(name, what, text, good, utility):
    return utility("xm_steps").say("%s: %s" % (name, what), text, good, utility)


def distinct(says):
    """
    The same, without two that have one id.
    """
    taken = set()
    for one in says:
        begin, number = one["id"], 1
        while one["id"] in taken:
            number += 1
            one["id"] = "%s (%d)" % (begin, number)
        taken.add(one["id"])
    return says


def _planned(source, one, would, utility):
    text = "%s %s from %s to %s: %s" % (
        one["domain"],
        "would go" if would else "is to go",
        source,
        one["target"],
        "; ".join([one["why"]] + list(one["warnings"])),
    )
    return _say(one["domain"], "to %s" % one["target"], text, True, utility)


def _unheard(host, said, utility):
    text = ". ".join([part for part in (said["problem"], said.get("remedy")) if part])
    return _say(host, "no target", "no guest goes to %s: %s" % (host, text), True, utility)


def why_not(one):
    """
    Why a guest of a plan goes nowhere, in words. What is in the way on several targets alike is said once.
    """
    reasons, alike = list(one["here"]), {}
    for target in sorted(one["targets"]):
        text = "; ".join(one["targets"][target])
        if text:
            # Each names itself.
            key = re.sub(r"(?<![\w.-])%s(?![\w-]|\.\w)" % re.escape(target), "<itself>", text)
            alike.setdefault(key, []).append((target, text))
    for (target, text), others in sorted([(found[0], found[1:]) for found in alike.values()]):
        reasons.append("%s: %s" % (target, text))
        if others:
            reasons.append("The same on %s" % _listed([other for other, _text in others]))
    return ". ".join(reasons) or "there is no other host"


def _nothing_moves(source, reasons, others, utility):
    told = ["%s: %s" % (one["domain"], one["text"]) for one in reasons]
    rest = "; partial: true moves the other %d" % others if others else ""
    return utility("xm_steps").stop(
        "every guest of %s finds a place" % source,
        "Nothing was moved, and nothing was changed: for %d of %d guests of %s there is no place. %s. Remove "
        "what is in the way, and run it again%s"
        % (len(told), len(told) + others, source, ". ".join(told), rest),
        utility,
    )


def _would_move(source, placements, reasons, utility):
    text = "nothing was changed: %s would leave %s%s" % (
        _count(len(placements)),
        source,
        ", and %d would stay, for which there is no place" % len(reasons) if reasons else "",
    )
    return utility("xm_steps").say("%s would be emptied" % source, text, not reasons, utility)


def _listed(names):
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def _count(number):
    return "1 guest" if number == 1 else "%d guests" % number


# What comes home to a host


def returning(records, reports, host, domains, utility):
    """
    What has become of the guests that an evacuation has taken away from a host.

    records
        what `xm.evacuation` has returned, by host; that of HOST has these guests
    reports
        what each host holds, as for xm_fleet.gather; a host that the pillar does not declare any more is
        missing, and may have the guest that was taken there
    host
        where they were
    domains
        names, of which alone it is asked; None: all

    Returns a list of dicts: ``domain`` (its name now), ``uuid``, ``source`` (where it is to be brought back
    from, or None), ``target`` (HOST), ``drop`` (bool: it need not be kept in mind any longer), ``good`` and
    ``text``.
    """
    targets = [guest["target"] for guest in records[host]["guests"]]
    reports = dict(dict.fromkeys(targets, utility("xend_master").undeclared()), **reports)
    left_over = utility("xm_fleet").gather(reports, utility)
    told = dict([(found["uuid"], found["comment"]) for found in left_over])
    silent = utility("xm_fleet").unheard(reports)["who"]
    found = []
    for guest in records[host]["guests"]:
        held = _held(reports, guest["uuid"], (host, guest["target"]))
        facts = _facts(guest, held, host, utility)
        name = (facts["runs"] + held + [guest])[0]["name"]
        if domains and name not in domains and guest["name"] not in domains:
            continue
        facts.update(silent=silent, told=told.get(guest["uuid"]))
        onward = (records.get(guest["target"]) or {}).get("guests") or []
        facts["onward"] = guest["uuid"] in [one["uuid"] for one in onward]
        is_so, drop, good, comes, text = [row for row in RETURNS if row[0](facts)][0]
        words = {"name": name, "target": guest["target"], "silent": silent, "told": facts["told"]}
        for key in ("held", "ends", "claims"):
            words[key] = "; ".join([utility("xm_copies").holds(one["name"], one) for one in facts[key]])
        words["held"] = words["held"] or "none of those that answer has it"
        words["who"] = " and ".join(sorted(set([one["host"] for one in facts["claims"]])))
        row = {"domain": name, "uuid": guest["uuid"], "target": host, "drop": drop, "good": good}
        found.append(dict(row, source=guest["target"] if comes else None, text=text % words))
    return found


def _facts(guest, held, host, utility):
    """
    What RETURNS decides by. Each host is believed about itself only: what a third one says of a guest counts
    where neither that which it was taken from nor that which it was taken to has it.
    """
    is_one_of = utility("xm_copies").is_one_of
    ends = [one for one in held if one["host"] in (host, guest["target"])]
    known = [one for one in held if one["copy"] == "managed"]
    # What xend only knows is nowhere in the way.
    others = [one for one in held if one not in ends and one not in known]
    counts = [one for one in ends if one not in known] or others
    runs = [one for one in counts if one["copy"] == "running"]
    in_use = "running " + ON_ITS_WAY
    return {
        "held": held,
        "ends": ends,
        "claims": [one for one in others if is_one_of(one["copy"], in_use)],
        "known": known,
        "moving": [one for one in counts if is_one_of(one["copy"], ON_ITS_WAY)],
        "runs": runs,
        "is_home": [one["host"] for one in runs] == [host],
        "is_there": [one["host"] for one in runs] == [guest["target"]],
    }


def _held(reports, uuid, ends):
    """
    The copies of a guest, those on its two hosts first.
    """
    return [
        dict(one, host=host)
        for host in sorted(reports, key=lambda host: (host not in ends, host))
        for one in reports[host].get("copies") or []
        if one["uuid"] == uuid and one["copy"] not in ("absent", "foreign")
    ]


def strangers(domains, record, returns, here, host):
    """
    What is wrong with a pillar that names guests which were not taken away from a host, as sentences.

    domains
        the names; None for all
    record, returns
        the guests that were taken away from HOST, and what `returning` says of those that are named
    here
        what the host holds, a list of copies (None: not known): who is home is kept in mind no longer
    """
    known = [guest["name"] for guest in record] + [one["domain"] for one in returns]
    known += [one["name"] for one in here or [] if one["copy"] == "running"]
    taken = ", ".join(sorted([guest["name"] for guest in record])) or "nobody"
    return [
        "domains: %s is not among those that were taken away from %s (%s)" % (name, host, taken)
        for name in domains or []
        if name not in known
    ]


ON_ITS_WAY = "departing coming left suspended unknown"
LOOK_FIRST = ". `" + RECOVER + "` says what to do; then run this again"
SAY_SO_TOO = ". By their own word others have it as well (%(claims)s): look with `xm list` on %(who)s"

# What is so of a guest, whether it need not be kept in mind any longer, whether that is well, whether it is
# brought back, and what is said of it. The first row that is true decides.
RETURNS = (
    (
        lambda is_: bool(is_["moving"]),
        False, False, False,
        "%(name)s may be on its way, or left over from a migration that broke: %(held)s" + LOOK_FIRST,
    ),
    (
        lambda is_: len(is_["runs"]) > 1,
        False, False, False,
        "MORE THAN ONE COPY of %(name)s RUNS: %(held)s" + LOOK_FIRST,
    ),
    (
        lambda is_: is_["is_home"] and is_["claims"],
        True, False, False,
        "%(name)s is home already: %(ends)s" + SAY_SO_TOO,
    ),
    (
        lambda is_: is_["is_home"],
        True, True, False,
        "%(name)s is home already: %(held)s",
    ),
    (
        lambda is_: is_["is_there"] and is_["claims"],
        False, False, True,
        "%(name)s is to come back from %(target)s" + SAY_SO_TOO,
    ),
    (
        lambda is_: is_["is_there"],
        False, True, True,
        "%(name)s is to come back from %(target)s",
    ),
    # Who does not answer may have it. It must not be started then where it is only known.
    (
        lambda is_: bool(is_["silent"]) and not is_["told"],
        False, False, False,
        "where %(name)s is cannot be told: %(held)s, and no answer comes from %(silent)s",
    ),
    (
        lambda is_: bool(is_["runs"]) and not is_["silent"] and is_["onward"],
        False, True, False,
        "%(name)s was taken to %(target)s, and away from there when that was emptied: %(held)s. Fill "
        "%(target)s again, then run this again",
    ),
    (
        lambda is_: bool(is_["runs"]) and not is_["silent"],
        True, True, False,
        "%(name)s was to go to %(target)s, and has moved on since: %(held)s. It is left there",
    ),
    (
        lambda is_: bool(is_["told"]),
        False, False, False,
        "%(told)s",
    ),
    (
        lambda is_: bool(is_["held"]) and len(is_["known"]) == len(is_["held"]),
        False, True, False,
        "%(name)s was shut down since: %(held)s. Started there with `xm start`, it comes back with the next "
        "run",
    ),
    (
        lambda is_: bool(is_["held"]),
        False, False, False,
        "%(name)s does not run, so it cannot be brought back: %(held)s. Let it run, then run this again",
    ),
    (
        lambda is_: True,
        True, True, False,
        "no host has %(name)s any more (it was to go to %(target)s): it has ended, or was deleted, since",
    ),
)


def restoration(given, record, returns, hosts, who, test, utility):
    """
    What xend.orch.restore is to do.

    given
        the pillar
    record
        what `xm.evacuation` has returned on the host
    returns
        what `returning` has returned
    hosts
        what the hosts say to `xm.report`, as far as they were asked
    who, test
        as for `evacuation`

    Returns what `xend.restoration` returns.
    """
    host = given["host"]
    moves = [one for one in returns if one["source"]]
    says = []
    for one in returns:
        what = "comes back" if one["source"] else "stays" if one["good"] else "does not come back"
        says.append(_say(one["domain"], what, one["text"], one["good"], utility))
    if not record["guests"]:
        text = "%s keeps no guest in mind that was taken away from it" % host
        says.append(_say(host, "nobody to bring back", text, True, utility))
    if test:
        text = "nothing was changed: %s would be opened, and %s would come back"
        text = text % (host, _count(len(moves)))
        bad = len([one for one in returns if not one["good"]])
        if bad:
            text += ", and %s would not" % _count(bad)
        says.append(utility("xm_steps").say("%s would be filled" % host, text, not bad, utility))
    wanted = ("domain", "uuid", "source", "target")
    return {
        "stop": None,
        "says": distinct(says),
        "host": host,
        "configures": sorted([name for name in hosts if _is_unready(hosts[name])]),
        "opens": [{"name": host}],
        "moves": json.dumps(
            {
                "host": host,
                "who": who,
                "parallel": given.get("parallel") or PARALLEL,
                "options": utility("xm_steps").options(given),
                "moves": [dict([(key, one[key]) for key in wanted]) for one in moves],
                "others": [
                    {"domain": one["domain"], "uuid": one["uuid"], "good": one["good"], "text": one["text"]}
                    for one in returns
                    if not one["source"]
                ],
                "drop": [one["uuid"] for one in returns if one["drop"]],
            }
        ),
    }


def _is_unready(said):
    return not said["configured"] or bool(said["guarded"])


# What has become of them


def fate(move, outcome, text, good=False, started=True):
    """
    What has become of a guest that was to be moved: MOVE with ``outcome`` (one of xm_verdict.decide),
    ``text``, ``good`` (bool: it is where it shall be) and ``stops`` (bool: nothing further is to be started).

    started
        whether its host may have begun to send it
    """
    stops = started and outcome in STOPS
    return dict(move, outcome=outcome, text=text, good=good, stops=stops, started=started)


def not_tried(move, why):
    """
    The fate of a guest that is left where it is, because of another one or of a host.
    """
    text = "%s was not tried, and was left on %s: %s" % (move["domain"], move["source"], why)
    return dict(fate(move, "not tried", text, started=False), why=why)


def after(name):
    """
    Why nothing further is started after what has become of this guest.
    """
    return "nothing further is started after what has become of %s" % name


def ended():
    """
    Why nothing further is started after the run was ended from outside.
    """
    return "this run was ended from outside (Ctrl-C, or a signal)"


GONE = (
    "%(name)s had moved to %(target)s and run there, and is neither there nor on %(source)s any more: it was "
    "shut down, destroyed or moved on since. xend.log on %(target)s tells"
)


ENDED = (
    "%(name)s is not on %(source)s any more, and was not sent by this run: it has ended there, or somebody "
    "else has moved it"
)


def seen_last(fates, reports, utility):
    """
    The same fates after the last look at all hosts: what has changed since counts.
    """
    found = []
    for one in fates:
        now = _seen(one, reports, utility)
        if now["moved"] and not one["good"] and not one.get("lacks"):
            one = dict(one, outcome="moved", good=True, text=now["comment"])
        elif not one["started"] and _has_ended(one, reports):
            one = dict(one, outcome="gone", good=True, text=ENDED % dict(one, name=one["domain"]))
        elif one["good"] and now["outcome"] == "lost":
            # It ran on its target when that was asked before, so that no migration has lost it.
            text = GONE % dict(one, name=one["domain"])
            one = dict(one, outcome="gone", good=False, text=text)
        # Of a guest that was seen to run where it shall, the silence of a host changes nothing.
        elif one["good"] and not now["moved"] and not _silent(one, reports):
            text = "%s had moved, and that is not so any more: %s" % (one["domain"], now["comment"])
            one = dict(one, outcome=now["outcome"], good=False, text=text)
        found.append(one)
    return found


def _seen(one, reports, utility):
    """
    Where a guest is. What others claim counts only where its two hosts do not say that it has moved.
    """
    guest = dict([(key, one[key]) for key in ("uuid", "source", "target")], name=one["domain"])
    guest["ran"] = bool(one.get("ran"))
    gather_one, ends = utility("xm_fleet").gather_one, (one["source"], one["target"])
    own = dict([(host, reports[host]) for host in reports if host in ends])
    now = gather_one(own, guest, utility)
    return now if now["moved"] else gather_one(reports, guest, utility)


def _has_ended(one, reports):
    """
    Whether a guest that was not sent is not there any more. Of one that somebody else has sent, and that may
    not have arrived, there is a note.
    """
    said = reports.get(one["source"], {})
    rest = [held for held in said.get("copies") or [] if held["copy"] not in ("absent", "managed")]
    mine = [held for held in rest + (said.get("sent") or []) if held["uuid"] in (one["uuid"], None)]
    return said.get("copies") is not None and not mine


def _silent(one, reports):
    ends = (one["source"], one["target"])
    return [host for host in ends if reports.get(host, {}).get("copies") is None]


def settling(fates, reports, host, drop, utility):
    """
    What hosts have to put in order afterwards, as `xm.settle_moves` takes it.

    host
        the one that keeps in mind which guests were taken away from it
    drop
        uuids of guests that it need not keep in mind
    """
    # Those where a note may be of this run, or of the one that this one takes back.
    shares, sources = {}, set([host] + [one["source"] for one in fates])
    for found in utility("xm_fleet").gather(reports, utility):
        if found["outcome"] not in ("moved", "unharmed"):
            continue
        for step in found["repairs"]:
            if step["do"] == "forget" and step["host"] in sources and not step["only_if_asked"]:
                wanted = dict([(key, step[key]) for key in ("name", "uuid", "note", "claims")])
                shares.setdefault(step["host"], {}).setdefault("forget", []).append(wanted)
    for one in fates:
        if one["started"] and one["target"]:
            shares.setdefault(one["target"], {}).setdefault("release", []).append(one["domain"])
    if drop:
        shares.setdefault(host, {})["home"] = sorted(drop)
    return shares


def left_on(source, reports, domains, fates):
    """
    The guests that are still on a host that was emptied, beside those whose fate is known; None when that
    cannot be told.

    domains
        names, of which alone it was asked; None: all
    fates
        dicts with ``uuid``
    """
    held = reports.get(source, {}).get("copies")
    if held is None:
        return None
    known = [one["uuid"] for one in fates]
    return [
        one
        for one in held
        if one["domid"]
        and one["copy"] not in ("absent", "foreign", "managed")
        and one["uuid"] not in known
        and (domains is None or one["name"] in domains)
    ]


def emptied(given, fates, left, utility):
    """
    What is said of an evacuation at the end: something of each guest, and at last what counts.

    given
        ``moves`` of `evacuation`, read
    fates
        see `fate`
    left
        see `left_on`

    Returns a list of what xm_steps.say returns.
    """
    host = given["host"]
    says = [_say(one["domain"], one["outcome"], one["text"], one["good"], utility) for one in fates]
    bad = _undone(fates)
    bad += ["%s fits nowhere: %s" % (one["domain"], one["text"]) for one in given["impossible"]]
    bad += [
        "%s is on %s (state %s), and was not there, or did not run, when this was planned"
        % (one["listed"], host, one["state"] or "unknown")
        for one in left or []
    ]
    if left is None:
        bad.append("what is left on %s cannot be seen, because it does not answer" % host)
    words = {"host": host, "gone": _gone(fates), "opens": _opens(host)}
    last = utility("xm_steps").say
    if not bad:
        text = "%(gone)s. %(host)s takes no guests now, and xend is not restarted there by Salt. %(opens)s"
        return says + [last("%s is empty of what was asked for" % host, text % words, True, utility)]
    words.update(bad=". ".join(bad), again=_again(fates))
    text = (
        "%(host)s is not empty of what was asked for. %(gone)s. What is not done: %(bad)s. %(again)s. "
        "%(host)s takes no guests meanwhile. %(opens)s"
    )
    return says + [last("%s is not empty" % host, text % words, False, utility)]


def _undone(fates):
    """
    What is said at the end of guests that are not where they shall be; of many for which one thing is the
    reason, that is said once.
    """
    found, waited = [], {}
    for one in fates:
        if one["good"]:
            continue
        if one.get("why"):
            waited.setdefault((one["source"], one["why"]), []).append(one["domain"])
            continue
        begins = one["text"].startswith(one["domain"] + " ")
        found.append(one["text"] if begins else "%s: %s" % (one["domain"], one["text"]))
    for source, why in sorted(waited):
        who = waited[source, why]
        was = "was" if len(who) == 1 else "were"
        words = (_listed(who), was, was, source, why)
        found.append("%s %s not tried, and %s left on %s: %s" % words)
    return found


def _gone(fates):
    moved = {}
    for one in fates:
        if one["outcome"] == "moved":
            moved.setdefault(one["target"], []).append(one["domain"])
    told = ["%s to %s" % (_listed(sorted(moved[target])), target) for target in sorted(moved)]
    number = sum([len(guests) for guests in moved.values()])
    has = "1 guest was" if number == 1 else "%d guests were" % number
    says = "%s moved (%s)" % (has, ", ".join(told)) if told else "No guest was moved"
    return ". ".join([says] + [one["text"] for one in fates if one["good"] and one["outcome"] != "moved"])


def _opens(host):
    pillar = json.dumps({"xend": {"restore": {"host": host}}})
    return "`%s pillar='%s'` brings its guests back and opens it" % (RESTORE, pillar)


def _again(fates):
    if [one for one in fates if one["stops"] and not one["good"]]:
        return (
            "First `%s` says what can be done about it; then the same run again goes on with what is left"
            % RECOVER
        )
    return "Remove what is in the way; then the same run again goes on with what is left"


def filled(given, fates, utility):
    """
    What is said of a restoration at the end, as `emptied` does of an evacuation.

    given
        ``moves`` of `restoration`, read
    """
    host, rest = given["host"], given["others"]
    says = [_say(one["domain"], one["outcome"], one["text"], one["good"], utility) for one in fates]
    bad = _undone(fates)
    bad += [one["text"] for one in rest if not one["good"]]
    also = ". ".join([one["text"] for one in rest if one["good"]])
    also = also and ". " + also
    words = {"host": host, "gone": _gone(fates), "also": also}
    last = utility("xm_steps").say
    if not bad:
        text = "%(host)s takes guests again. %(gone)s%(also)s"
        return says + [last("%s is filled again" % host, text % words, True, utility)]
    words.update(bad=". ".join(bad), again=_again(fates))
    text = "Not everybody is back on %(host)s. %(gone)s. What is not done: %(bad)s%(also)s. %(again)s"
    return says + [last("%s is not filled yet" % host, text % words, False, utility)]
