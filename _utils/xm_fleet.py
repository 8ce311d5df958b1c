"""
Many hosts: what migrations have left over a fleet, where one guest is, and whose word a step of repair needs.
What two hosts hold is decided in xm_verdict; here is who these two are, what the others say, and what the
notes on guests tell that were sent (see xm_kept).

Each host is believed about itself only. Who calls this hands in how to reach other utilities: `utility`, a
function from the name of one to it. Nothing here knows Salt.
"""

# What a host may say of a guest besides what it holds, as a claim: see `doubt`.
NEVER, KEEPS, SENT_ON = "never completed", "kept whole", "sent on to "
CREATED = "started afresh"

HAS_NEVER_RUN = (
    "%(name)s is on %(host)s (%(listed)s, state %(state)s), has never run there, and %(elsewhere)s"
)
NEVER_RUN = HAS_NEVER_RUN + (
    ". If a migration has brought it, it is LOST and cannot work: do not unpause it, its console and "
    "xenstore are dead; `xm destroy %(listed)s` on %(host)s removes it. If it is just being started, "
    "restored or rebooted, it runs in a minute. If somebody has created it paused, `xm unpause %(listed)s` "
    "starts it"
)
NOT_SEEN = (
    "where %s is cannot be told: it was not seen to run on its source just before, %s, and %s. `xm list` on "
    "all hosts shows it; do not start it before all were seen"
)
COPIED = (
    "%(names)s have one uuid and different names, so one may be another guest whose configuration was "
    "copied: %(holds)s. Find that out before you touch either, and give the other guest a uuid of its own"
)
WITHHELD = ". Nothing is repaired by itself, because %s"

# Of two copies the one that comes first here is that of the source.
ROLES = (
    "sending migrating left suspended running halted unknown receiving arriving unfinished managed".split()
)

# What a host claims of a guest that it has not got, unless it has started it, and it has ended.
NOT_THERE = ("absent", "managed", "unfinished", NEVER)

# Of several copies on one host, the one that comes first here is what that host says of the guest.
CLAIMED = ["running", "left"] + [word for word in ROLES if word not in ("running", "left")]

SENT = "%(name)s was sent from %(host)s to %(target)s at %(at)s"
ARRIVED = SENT + ", and runs on %(now)s"
BACK = SENT + ". That has ended, and it runs on %(now)s, again or still"
MISSED = SENT + ". Unless it was shut down since, saved, or started afresh, this is so: "
CLONED = (
    SENT + "; %(now)s has its uuid and is called %(other)s. Either it was renamed, or that is another guest "
    "whose configuration was copied, and %(name)s is LOST: find that out"
)
NAMESAKES = ". A domain of that name with another uuid is on %s: look whether it was started in its place"
ALSO_SENT = (
    ". By a note on %(host)s it was sent from there to %(target)s at %(at)s, and its description is kept "
    "there in %(kept)s"
)
HEARSAY = "by their own word, %(ends)s. Only %(who)s %(say)s that %(name)s is there: %(holds)s"
NOTED_SO = SENT + ", by the note on %(host)s; "
LOOK_THERE = (
    ". Start it nowhere and destroy nothing before you have looked with `xm list` on %(who)s; if it is not "
    "there either, it is LOST"
)
SETTLED = ". Once that is settled, remove_lost: [%(name)s] of xend.orch.recover ends this report"
IN_BETWEEN = (
    "where %s is cannot be told: that has changed while the hosts were asked. Start it nowhere, and ask again"
)

# Whose word a step needs that its host has not got.
BY_REMOVE_LOST = "; if that is so, remove_lost: [%(name)s] of xend.orch.recover removes this copy"
NOBODY_HAS_IT = (
    "no other host says that it has %(name)s. Once it is settled that nobody needs this copy, remove_lost: "
    "[%(name)s] of xend.orch.recover removes it"
)
MAY_BE_NEW = (
    "only %(who)s %(say)s that %(name)s is there, and xend.log on %(host)s does not tell whether this copy "
    "was received and never completed, or was created paused by somebody. Look with `xm list` on %(who)s"
)
MAY_BE_WHOLE = (
    "only %(who)s %(say)s that %(name)s is there, and by xend.log on %(host)s a guest was completed since "
    "this copy was received, so that it may be whole. Look with `xm list` on %(who)s"
)
SENT_ELSEWHERE = (
    "only %(who)s %(say)s that %(name)s runs there, and by the note on %(host)s it was sent to %(target)s. "
    "Look with `xm list` on %(who)s whether it runs there"
)
SENT_SOMEWHERE = (
    "only %(who)s %(say)s that %(name)s runs there, and there is no note on %(host)s where it was sent. Look "
    "with `xm list` on %(who)s whether it runs there"
)
MAY_HAVE_RUN = (
    "the host that %(name)s was sent to from %(host)s (%(target)s) has not said, right after that, that it "
    "was never completed there. If you know that it has run nowhere since, resume: [%(name)s] of "
    "xend.orch.recover lets it go on"
)
NOT_ITS_WORD = (
    "%(target)s does not say itself that %(name)s runs there, nor where it has sent it on. Once that is "
    "settled, remove_lost: [%(name)s] of xend.orch.recover ends this report"
)
TRIED = (
    "it may have come back to %(host)s since (a restore of it was begun, it was let go on, or xend.log there "
    "says that one of its name was started, or that it was completed), and nobody has seen how that ended. "
    "If it has run there, its disks are newer than the memory in this copy, which would destroy its file "
    "systems"
)
LEFT_HERE = (
    "what is on %(host)s in its place may be what a restore has left that did not come to its end, and may "
    "have been made by somebody since"
)
STARTED_AFRESH = (
    "by xend.log on %(starters)s, one of its name or uuid was started afresh there since it was sent. If "
    "that was it, or uses its disks, these are newer than the memory in this copy, which would destroy its "
    "file systems"
)
LONG_AGO = (
    "it left %(host)s so long ago that it may have been started somewhere since (`xm create`), and have been "
    "shut down again. If it has run anywhere, its disks are newer than the memory in this copy, which would "
    "destroy its file systems"
)
BLIND_TARGET = (
    "%(target)s does not say what it holds, and %(name)s may run there. Make certain that it does not, and "
    "did not: look there with `xm list` and in xend.log, or see that %(target)s is switched off and stays so"
)
SAYS_OTHERWISE = (
    "%(others)s %(say_others)s that %(name)s is there, or was. Look with `xm list` and in xend.log on "
    "%(others)s: if it has run there since it was sent, it must not be restored"
)
NOT_ALL_SAY = (
    "%(silent)s %(do_silent)s not answer. Make certain that nobody has started %(name)s there since it was "
    "sent"
)
IN_ITS_PLACE = (
    "another domain of that name is on %(namesakes)s. Find out whether it was started in its place, on the "
    "same disks: only one of the two may run"
)
MAY_HAVE_RUN_THERE = (
    "xend.log on %(target)s does not tell that it was never completed there. Look there for a line "
    "`completeRestore` of it after it was sent, and what came after that: if it has run, its disks are newer "
    "than the memory in this copy, which would destroy its file systems; it is started afresh then"
)
BY_RESTORE = "; when that is certain, restore: [%(name)s] of xend.orch.recover brings it back"
YOUR_WORD = ". To %(do)s %(listed)s on %(host)s takes your word, because %(why)s"

# The step, what has to be so (see `doubt`), and why it then needs the word of the operator; "" when it needs
# none. The first row of which all is so decides.
DOUBTS = (
    # That harms nobody, wherever else the guest is.
    ("rename", {}, ""),
    ("resume", {"target_says_never": True}, ""),
    ("resume", {}, MAY_HAVE_RUN),
    ("forget", {"is_over": True}, ""),
    ("forget", {"runs_where_sent": True}, ""),
    ("forget", {}, NOT_ITS_WORD),
    ("remove", {"runs_beside": True}, ""),
    ("remove", {"is_anywhere": False}, NOBODY_HAS_IT),
    ("remove", {"is_fresh": True, "completed": False}, ""),
    ("remove", {"is_fresh": True, "completed": None, "is_other_of_two": True}, ""),
    ("remove", {"is_fresh": True, "completed": None}, MAY_BE_NEW + BY_REMOVE_LOST),
    ("remove", {"is_fresh": True}, MAY_BE_WHOLE + BY_REMOVE_LOST),
    ("remove", {"target_has_it": True}, ""),
    ("remove", {"is_noted": False, "is_other_of_two": True}, ""),
    ("remove", {"is_noted": False}, SENT_SOMEWHERE + BY_REMOVE_LOST),
    ("remove", {}, SENT_ELSEWHERE + BY_REMOVE_LOST),
    ("restore", {"is_tried": True}, TRIED + BY_RESTORE),
    ("restore", {"was_created": True}, STARTED_AFRESH + BY_RESTORE),
    ("restore", {"is_recent": False}, LONG_AGO + BY_RESTORE),
    ("restore", {"target_is_blind": True}, BLIND_TARGET + BY_RESTORE),
    ("restore", {"others_have_it": True}, SAYS_OTHERWISE + BY_RESTORE),
    ("restore", {"has_namesakes": True}, IN_ITS_PLACE + BY_RESTORE),
    ("restore", {"all_answer": False}, NOT_ALL_SAY + BY_RESTORE),
    ("restore", {"target_says_never": True}, ""),
    ("restore", {"target_refused": True}, ""),
    ("restore", {}, MAY_HAVE_RUN_THERE + BY_RESTORE),
)
# What is done -> what has to be done before, if that is to be done at all.
AFTER = {"resume": "remove", "rename": "resume", "restore": "remove"}

# What has to be so, and why a guest is not restored from its safety copy then, whoever asks for it.
DENIALS = (
    ({"has_said_ok": True}, "%(target)s has said that it runs there, so that its disks are newer"),
    (
        {"target_has_it": True},
        "by its own word %(target)s has it, or has had it, so that its disks may be newer, or become so",
    ),
    ({"is_waiting": True}, "its relay still waits for the word of %(target)s; look again in some minutes"),
)
DENIED = ". Its safety copy %(path)s on %(host)s is not restored: %(why)s"
KEPT_TOO = ". Its memory is whole in the safety copy %(path)s on %(host)s"
THROWN_AWAY = (
    ". remove_lost: [%(name)s] of xend.orch.recover ends this report instead, and throws that copy away"
)
BROUGHT_BACK = (
    "%(name)s was not moved: it was brought back on %(host)s from its safety copy%(still)s%(heard)s. "
)
STOOD_STILL = ", after about %d s in which it stood still"

# Why repairs that two ends allow are not safe among many hosts.
NO_UUID = "the uuid of a copy is not known"
MAY_RUN_THERE = "it may run on %s, where nobody could look"
NAMESAKE_THERE = "another domain of that name is on %s"

STRANGER = "%s is none of the hosts in the pillar xend:relocation:hosts (%s): is it mistyped?"
DOWN = (
    "xend is down on %(host)s: start it with `salt %(host)s state.apply xend.relocation`, or there with "
    "`service %(service)s start`"
)
SLOW = (
    "xend runs on %(host)s, so look again in some seconds; if that fails as well, `xm list` and xend.log "
    "there say more"
)


# Hosts that do not answer


def unheard(reports):
    """
    The hosts that do not say what they hold.

    reports
        as for `gather`; one without ``copies`` may have, beside ``problem``, ``remedy``: what to start there

    Returns a dict of text, both "" when all have answered: ``who``, the hosts with their problems, and
    ``do``, what to do about that, whole sentences without the last full stop.
    """
    told = dict([(host, said if isinstance(said, dict) else {}) for host, said in reports.items()])
    # A report on one guest has no copies, but the host has answered when it has.
    silent = [host for host in sorted(told) if not _has_said(told[host]) and "domain" not in told[host]]
    declared = set()
    for said in told.values():
        declared.update(said.get("declared") or [])
    steps = []
    for host in silent:
        if declared and host not in declared:
            steps.append(STRANGER % (host, ", ".join(sorted(declared))))
        else:
            steps.append(told[host].get("remedy"))
    return {
        "who": "; ".join(["%s (%s)" % (host, _problem(reports[host])) for host in silent]),
        "do": ". ".join([step for step in steps if step]).replace("?. ", "? "),
    }


def to_start(host, service=None):
    """
    What is to be done where xend gives no answer.

    service
        the name of its service, when it does not run
    """
    return (DOWN if service else SLOW) % {"host": host, "service": service}


def _has_said(said):
    return isinstance(said, dict) and said.get("copies") is not None


def _problem(said):
    said = said.get("problem") if isinstance(said, dict) else said
    return "%s" % (said or "it does not answer",)


# What is known of all guests, and of one


def gather(reports, utility):
    """
    What migrations have left over the hosts of a fleet.

    reports
        for each host either ``copies``, a list of dicts (``name`` without migrating-, ``listed``, ``uuid``,
        ``domid``, ``state``, ``copy``, and perhaps ``completed``, what xend.log there says of one that is
        unfinished), and perhaps ``sent``, a list of notes on guests that were sent from there (dicts,
        see xm_kept.note), and ``declared``, the hosts in its pillar; or ``problem``, why it does not say

    Copies of one uuid are copies of one guest. One whose uuid is not known counts as a copy of every guest of
    its name. What a single host holds and runs, or has paused, or only knows, was not left by a migration. A
    guest of which there is a note, and no copy, is missing. A note says where its guest was sent; only the
    host that has made it, that one, and those to which they have sent it on by their own notes can tell that
    the guest is well. What any other host says makes its outcome "unknown" at best.

    Returns a list of dicts, by name and uuid: what xm_verdict.report returns, and ``name``, ``uuid`` and
    ``hosts`` ({"source": host, "target": host}, None where that is no one host). ``do`` in a repair may also
    be "forget": remove the note whose ``id`` is ``note``; a "restore" has the ``note`` of its safety copy.
    Each repair says besides ``claims``, a dict from hosts to what they say themselves of the guest, and
    ``doubt``, "" or why it is `only_if_asked` (see `doubt`). A guest that was brought back from its safety
    copy, of which there is still the note, and which is well, has ``back``: True.
    """
    return _Fleet(reports, utility).findings()


def gather_one(reports, guest, utility):
    """
    Where one guest is, whatever that is.

    reports
        as for `gather`; a note on this guest counts when its source has it; the report of the target may have
        ``completed``, whether the guest was completed there when it was received last (None: not known). One
        that has run there must not go on with its old memory
    guest
        a dict with ``name``, ``uuid`` (None when it is not known), ``source`` and ``target``; and ``ran``,
        whether it was seen to run on the source just before: else what is missing is not lost, unless there
        is a note on it and every host has answered, and what is suspended may have run elsewhere since

    Returns a finding as `gather` does, and ``settled``: the notes on a guest that was seen to run, and cannot
    be about to be sent any more, each with ``host``, ``uuid``, ``note`` (its id) and ``claims``, by which
    that host can tell.
    """
    return _Fleet(reports, utility).finding_on(guest)


def confirmed(findings, before):
    """
    The findings of a second look, without calling anything lost, or to be brought back, that was not so at
    the first one, BEFORE.

    Hosts are not asked at the very same moment: a guest that its source has sent when it is asked may not
    have been on its target yet when that was. At a later look it is, if it has arrived at all.
    """
    nowhere = [(found["name"], found["uuid"]) for found in before if found["nowhere"]]
    for found in findings:
        if found["nowhere"] and (found["name"], found["uuid"]) not in nowhere:
            text = IN_BETWEEN % found["name"]
            found.update(outcome="unknown", lost=False, nowhere=False, repairs=[], facts=text, comment=text)
    return findings


def doubt(do, name, host, claims, declared, utility, **own):
    """
    Why a step may be taken only with the word of the operator; "" when it may be taken without.

    Each host is believed about itself only. That a copy is as it was found, the host that acts sees for
    itself, before this is asked. What it cannot see has to come from the very host that would run the guest.

    do, name
        the step ("rename", "remove", "resume", "restore", "forget"), and the guest
    host
        the host that acts
    claims
        what other hosts say themselves that they hold of the guest: a dict from host to a word for a copy; or
        to NEVER, when it was sent there, never completed, and does not run; to KEEPS, when its memory is
        whole there in a safety copy; to CREATED, when it is not there, and one of its name or uuid was
        started there afresh; or to SENT_ON and a host, when it is not there any more and there is a
        note where it was sent on
    declared
        all hosts that may exchange guests; the others are not believed
    own
        what the host that acts sees itself, as far as the step needs it: ``held``, what the copy is that is
        to be removed; ``beside``, what it holds of the guest besides (a list); ``completed``, what its
        xend.log says of that copy (see xm_progress.completed); ``target``, where it has sent the guest by its
        own note (None: no note); ``over``, whether the guest runs there and cannot be about to be sent; and
        of a safety copy ``refused``, ``recent`` and ``tried`` (see xm_kept.safety)

    Returns text.
    """
    is_one_of = utility("xm_copies").is_one_of
    target, is_fresh = own.get("target"), own.get("held") == "unfinished"
    believed = dict([(one, claims[one]) for one in claims if one in declared and one != host])
    enough = "alive suspended" if is_fresh else "alive"
    who = sorted(
        [one for one in believed if is_one_of(believed[one], enough) or is_fresh and believed[one] == KEEPS]
    )
    word, rest = believed.get(target), set(believed).difference([target])
    others = sorted([one for one in rest if _may_have_it(believed[one], is_one_of)])
    silent = sorted([one for one in rest if is_one_of(believed[one], "blind")])
    namesakes = sorted([one for one in believed if believed[one] == "foreign"])
    starters = sorted([one for one in believed if believed[one] == CREATED])
    is_so = {
        "target_says_never": believed.get(target) == NEVER,
        "is_over": bool(own.get("over")),
        "runs_where_sent": believed.get(_end_of_chain(target, believed)) == "running",
        "runs_beside": bool([word for word in own.get("beside") or () if is_one_of(word, "alive")]),
        "is_anywhere": bool(who),
        "is_fresh": is_fresh,
        "completed": own.get("completed"),
        # Between two hosts there is no third one that could lie.
        "is_other_of_two": len(who) == 1 and who == [one for one in declared if one != host],
        "target_has_it": target in who,
        "is_noted": target is not None,
        "is_tried": bool(own.get("tried")),
        "is_recent": bool(own.get("recent")),
        "target_is_blind": word is None or is_one_of(word, "blind"),
        "others_have_it": bool(others),
        "has_namesakes": bool(namesakes),
        "was_created": bool(starters),
        "all_answer": not silent,
        # Where xend knows it, somebody may have started it since.
        "target_refused": bool(own.get("refused")) and is_one_of(word, "absent unfinished"),
    }
    words = {"name": name, "host": host, "target": target or "no note says where"}
    words.update(who=" and ".join(who), say="say" if len(who) > 1 else "says")
    words.update(others=" and ".join(others), say_others="say" if len(others) > 1 else "says")
    words.update(silent=" and ".join(silent), do_silent="do" if len(silent) > 1 else "does")
    words.update(namesakes=" and ".join(namesakes), starters=" and ".join(starters))
    for step, needed, why in DOUBTS:
        if step == do and not [key for key in needed if is_so[key] != needed[key]]:
            return why % words
    raise ValueError("a step is none of %s: %r" % (", ".join(sorted(set([row[0] for row in DOUBTS]))), do))


def denial(target, claims, utility, heard=None, alive=False):
    """
    Why a guest must not be restored from its safety copy at all; "" when it may be, see `doubt`.

    target, claims
        where it was sent, and what the other hosts say, as for `doubt`
    heard, alive
        what its relay has heard of the target, and whether that still runs (see xm_kept.safety)

    Returns text.
    """
    word = claims.get(target)
    is_so = {
        "has_said_ok": heard == "ok",
        "target_has_it": word is not None and _may_have_it(word, utility("xm_copies").is_one_of),
        "is_waiting": bool(alive),
    }
    for needed, why in DENIALS:
        if not [key for key in needed if is_so[key] != needed[key]]:
            return why % {"target": target}
    return ""


def _may_have_it(word, is_one_of):
    """
    Whether a host that says this of a guest has it, will have it, or has had it.
    """
    return is_one_of(word, "alive departing coming still") or word.startswith(SENT_ON)


def is_claim(word, utility):
    """
    Whether this is something that a host can say of a guest, see `doubt`.
    """
    return hasattr(word, "startswith") and (
        utility("xm_copies").is_one_of(word, "any")
        or word in (NEVER, KEEPS, CREATED)
        or word.startswith(SENT_ON)
        and len(word) > len(SENT_ON)
    )


def _end_of_chain(target, claims):
    """
    Where a guest is, by the words of the hosts that have had it, one after the other.
    """
    seen = []
    while claims.get(target, "").startswith(SENT_ON) and target not in seen:
        seen.append(target)
        target = claims[target][len(SENT_ON) :]
    return target


def _by(key, rows):
    """
    Rows by what they have under a key, in their order: looking through all for each takes minutes when one
    host tells of thousands.
    """
    found = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _order(one):
    return ROLES.index(one["copy"]), one["host"], one["listed"], one["domid"] or 0, one["uuid"] or ""


def _sides(ends):
    return dict(zip(("source", "target"), ends))


class _Fleet(object):
    """
    All that the hosts have said: their copies (in an order that does not depend on that of the hosts), why
    others do not answer (`silent`), and their notes by time, each with its ``host``, and ``chain``: the hosts
    that its guest has been on since, by their own words, which are that one, where it was sent, and where
    that one has sent it on. What is asked for by name or uuid stands in `named`, `known` and `noted`.
    """

    def __init__(self, reports, utility):
        self.reports, self.utility = reports, utility
        self.is_one_of = utility("xm_copies").is_one_of
        self.holds, self.finding = utility("xm_copies").holds, utility("xm_verdict").finding
        answers = [(host, said) for host, said in reports.items() if _has_said(said)]
        self.silent = dict([(host, _problem(said)) for host, said in reports.items() if not _has_said(said)])
        seen = [
            self._seen_on(host, one, said)
            for host, said in answers
            for one in said["copies"]
            if one["domid"] != 0 and one["copy"] != "absent"
        ]
        self.copies = sorted(seen, key=_order)
        self.named, self.known = _by("name", self.copies), _by("uuid", self.copies)
        notes = [
            dict(made, host=host, guest=(made["name"], made["uuid"]))
            for host, said in answers
            for made in said.get("sent") or []
        ]
        self.notes = sorted(notes, key=lambda made: (made["at"], made["host"]))
        self.noted = _by("guest", self.notes)
        for made in self.notes:
            made["chain"] = self._chain(made)

    def _seen_on(self, host, one, said):
        # Who calls a domain so has not looked, or not at this one.
        word = one["copy"] if one["copy"] in ROLES else "unknown"
        name = self.utility("xm_copies").plain(one["listed"])
        return dict(one, host=host, copy=word, name=name, devices_s=said.get("devices_s"))

    def _chain(self, made):
        chain, mine = [made["host"], made["target"]], self.noted[made["guest"]]
        while True:
            further = [
                one["target"]
                for one in mine
                if one["host"] == chain[-1] and one["at"] >= made["at"] and one["target"] not in chain
            ]
            if not further:
                return chain
            chain.append(further[-1])

    def findings(self):
        found = {}
        for uuid, group in self._groups():
            one = self._finding(uuid, group)
            if one:
                ends = one["hosts"]
                ends.update([(side, None) for side in ends if ends[side] not in self.reports])
                found[one["name"], one["uuid"]] = one
        for guest, notes in self.noted.items():
            one = self._noted_guest(notes, found.get(guest)) or found.get(guest)
            one = self._with_copy(one, notes) if one else None
            if one:
                found[guest] = one
        return [found[guest] for guest in sorted(found, key=lambda guest: (guest[0], guest[1] or ""))]

    def _groups(self):
        """
        The copies of each guest, as (uuid, copies). One whose uuid is not known is with every guest of its
        name.
        """
        nameless = _by("name", [one for one in self.copies if not one["uuid"]])
        groups, joined = [], set()
        for uuid in sorted([uuid for uuid in self.known if uuid]):
            names = set([one["name"] for one in self.known[uuid]])
            joined.update(names)
            also = [one for name in names for one in nameless.get(name, [])]
            groups.append((uuid, sorted(self.known[uuid] + also, key=_order)))
        return groups + [(None, nameless[name]) for name in sorted(set(nameless) - joined)]

    def _finding(self, uuid, group):
        held = [one for one in group if one["copy"] != "managed"]
        if not held:
            return None
        first, name = held[0], held[0]["name"]
        notes = self._notes_on(name, uuid) if uuid else []
        if len(held) == 1 and self._is_at_rest(first):
            return self._seen(first, notes) if first["uuid"] and first["copy"] == "running" else None
        ends = held[:2]
        if len(held) == 1:
            ends.append(self._elsewhere(name, uuid, [one for one in group if one["copy"] == "managed"]))
            if self.is_one_of(first["copy"], "coming unfinished"):
                ends.reverse()
        found = self._crowd(name, held) if len(held) > 2 else self._told(name, uuid, ends, notes)
        self._answer_for(found)
        return dict(found, name=name, uuid=uuid, hosts=_sides([end["host"] for end in ends]))

    def _is_at_rest(self, one):
        """
        Whether a single copy is what people have made of it. One that has shut down may be suspended: up to
        3.0 xend gives a guest its name back when a transfer has failed, and does not resume it.
        """
        return one["copy"] == "running" or one["copy"] == "halted" and "s" not in (one["state"] or "")

    def _elsewhere(self, name, uuid, knows):
        """
        The other end of a guest of which a single copy was seen.
        """
        others = self._others(name, uuid)
        if self.silent:
            return self._unseen()
        if others:
            # It may have been started afresh, with a new uuid, on the disks of the one that was missed.
            return dict(others[0], copy="foreign")
        return knows[0] if knows else {"copy": "absent", "host": "the other hosts"}

    def _unseen(self):
        problems = "; ".join(sorted(set(self.silent.values())))
        return {"copy": "unknown", "host": ", ".join(sorted(self.silent)), "problem": problems}

    def _others(self, name, uuid):
        return [one for one in self.named.get(name, []) if uuid and one["uuid"] not in (uuid, None)]

    def _notes_on(self, name, uuid):
        """
        The notes on a guest, by its name alone when its uuid is not known.
        """
        if uuid is not None:
            return self.noted.get((name, uuid), [])
        return [made for made in self.notes if made["name"] == name]

    def finding_on(self, guest):
        name, uuid, ran = guest["name"], guest.get("uuid"), guest.get("ran")
        mine = [
            one
            for one in self.copies
            if (uuid and one["uuid"] == uuid) or (one["name"] == name and not (uuid and one["uuid"]))
        ]
        notes = [made for made in self._notes_on(name, uuid) if made["host"] == guest["source"]]
        source, target = ends = [self._end(guest[side], name, mine) for side in ("source", "target")]
        held = [one for one in mine if one["copy"] != "managed"]
        rest = [one for one in held if one is not source and one is not target]
        if source.get("uuid") and target.get("uuid") and source["uuid"] != target["uuid"]:
            # Without the uuid that was meant, the one on the source counts.
            ends[1] = target = dict(target, copy="foreign")
        if not rest:
            found = self._withheld(name, uuid, ends)
        elif [end for end in ends if not self.is_one_of(end["copy"], "gone foreign blind unfinished")]:
            found = self._crowd(name, held)
        else:
            found = self._heard(name, ends, rest)
        self._answer_for(found, [guest["target"]] if ran and self._never_ran(target) else [])
        if found["lost"] and ran:
            found["comment"] += self._namesakes(name, uuid, ends)
            found["comment"] += self._kept(notes[-1], notes) if notes else ""
        elif found["outcome"] == "lost" and notes and not self.silent:
            found = self._missed(notes)
        elif found["lost"]:
            begin = SENT % notes[-1] + ". " if notes else ""
            seen = tuple([self.holds(name, end) for end in ends])
            found = self.finding("unknown", begin + NOT_SEEN % ((name,) + seen))
        found = self._with_copy(found, notes, ran)
        uuid = uuid or found.get("uuid") or (target if found["moved"] else source).get("uuid")
        runs_on = {"moved": guest["target"], "unharmed": guest["source"]}.get(found["outcome"])
        settled = self._settled((name, uuid), found["moved"] and target["name"] == name, runs_on)
        hosts = _sides([guest["source"], guest["target"]])
        return dict(found, name=name, uuid=uuid, hosts=hosts, settled=settled)

    def _settled(self, guest, has_arrived, runs_on):
        """
        The notes on a guest that are ended: all, once it has arrived; where it runs now, one may be left of
        an earlier migration, from which it has come back since.
        """
        steps = []
        for made in self.noted.get(guest, []):
            is_over = made["host"] == runs_on and made.get("over") is True
            steps += self._forget([made], is_over) if is_over or has_arrived else []
        wanted = ("host", "uuid", "note", "claims")
        return [dict([(key, step[key]) for key in wanted]) for step in steps if not step["doubt"]]

    def _end(self, host, name, mine):
        """
        What a host holds of a guest whose copies anywhere are MINE.
        """
        said = self.reports.get(host, {"problem": "it was not asked"})
        if not _has_said(said):
            remedy = said.get("remedy") if isinstance(said, dict) else None
            return {"copy": "unknown", "problem": _problem(said), "remedy": remedy, "host": host}
        here = [one for one in mine if one["host"] == host]
        if here:
            return here[0]
        namesakes = [one for one in self.named.get(name, []) if one["host"] == host]
        return dict(namesakes[0], copy="foreign") if namesakes else {"copy": "absent", "host": host}

    def _never_ran(self, view):
        """
        Whether the guest that came to this host has certainly not run there. Where xend knows it, somebody
        may have started it since.
        """
        said = self.reports.get(view["host"])
        was_not = isinstance(said, dict) and said.get("completed") is False
        return view["copy"] == "unfinished" or view["copy"] == "absent" and was_not

    # Guests that can be brought back

    def _with_copy(self, found, notes, ran=False):
        """
        A finding on a guest that was sent, with what its safety copy changes in it. RAN: as for `gather_one`.
        """
        if notes and (notes[-1].get("safety") or {}).get("restored_at"):
            return self._back(found, notes[-1])
        whole = [made for made in notes if (made.get("safety") or {}).get("state") == "complete"]
        if not whole or not (found["nowhere"] or found["outcome"] in ("unknown", "halted")):
            return found
        made = whole[-1]
        name, known = made["name"], self._same(made["name"], made["uuid"])
        source, target = [self._end(host, name, known) for host in (made["host"], made["target"])]
        is_gone = self.is_one_of(source["copy"], "gone foreign")
        if not is_gone and not self._is_in_place(source, target, known):
            return found
        claims = self._claims_on_copy(made, target, ran)
        safety = made["safety"]
        why = denial(made["target"], claims, self.utility, safety.get("heard"), safety.get("alive"))
        if why:
            words = {"path": safety["path"], "host": made["host"], "why": why}
            return dict(found, comment=found["comment"] + DENIED % words)
        judged = self._report(name, dict(source, safety=safety), target)
        for step in judged["repairs"]:
            step.update(name=name, uuid=made["uuid"])
            if step["do"] == "restore":
                step.update(listed=name, domid=None, note=made["id"])
        self._answer_for(judged, made=made, of_copy=claims)
        others = [one for one in known if one["host"] not in (made["host"], made["target"])]
        if [one for one in others if one["copy"] not in ("managed", "unfinished")]:
            return self._beside(found, judged, made)
        begin, forget = "" if ran else SENT % made + ". ", [] if self.silent else self._forget(notes)
        comment = begin + judged["comment"] + (THROWN_AWAY % made if forget else "")
        repairs, facts = judged["repairs"] + forget, begin + judged["facts"]
        return self._noted(judged["outcome"], comment, made, made["target"], repairs, facts)

    def _is_in_place(self, source, target, known):
        """
        Whether all that there is of a guest has never run, on its source as well, where a restore may have
        left it that did not come to its end.
        """
        mine = [one for one in known if one["host"] == source["host"]]
        return (
            [one["copy"] for one in mine] == ["unfinished"]
            and self.is_one_of(target["copy"], "gone foreign unfinished")
            and not [one for one in known if one["copy"] not in ("managed", "unfinished")]
        )

    def _beside(self, found, judged, made):
        """
        A finding on a guest that others say they have, with the way to bring it back if that is not so.
        """
        words = {"path": made["safety"]["path"], "host": made["host"]}
        steps = [step for step in judged["repairs"] if step["do"] == "restore"]
        told = "".join([YOUR_WORD % dict(step, why=step["doubt"]) for step in steps])
        comment = found["comment"] + KEPT_TOO % words + told
        return dict(found, comment=comment, repairs=steps + found["repairs"])

    def _back(self, found, made):
        """
        A finding on a guest that was brought back from its safety copy, of which nobody has been told yet.
        """
        safety = made["safety"]
        still = safety.get("stood_still_s")
        begin = BROUGHT_BACK % {
            "name": made["name"],
            "host": made["host"],
            "still": "" if still is None else STOOD_STILL % still,
            "heard": self.utility("xm_verdict").heard(made["target"], safety),
        }
        is_well = found["outcome"] in ("unharmed", "moved")
        return dict(found, comment=begin + found["comment"], facts=begin + found["facts"], back=is_well)

    def _same(self, name, uuid):
        """
        The copies that are this guest's, or may be.
        """
        return [
            one
            for one in self.copies
            if one["uuid"] == uuid or one["name"] == name and not one["uuid"]
        ]

    def _claims_on_copy(self, made, target, ran):
        """
        What the other hosts say of a guest that its source can restore: where it was sent, whether it was
        never completed there; who has it, or has sent it since; and who says nothing, which is no matter when
        it RAN there a moment ago.
        """
        claims = dict([(host, "unknown") for host in self.silent if not ran])
        claims.update([(one["host"], "foreign") for one in self._others(made["name"], made["uuid"])])
        held = _by("host", self._same(made["name"], made["uuid"]))
        claims.update([(host, self._most(held[host])) for host in held])
        for later in self.noted[made["guest"]]:
            if later["at"] > made["at"] and self.is_one_of(claims.get(later["host"], "absent"), "gone"):
                claims[later["host"]] = SENT_ON + later["target"]
        place = made["target"]
        if not claims.get(place, "").startswith(SENT_ON):
            never = self._never_ran(target) if ran else self._was_never_completed(target, made["uuid"])
            claims[place] = NEVER if never else target["copy"]
        for host in self.reports:
            if self._has_created(host, made["uuid"]) and claims.get(host, "absent") in NOT_THERE:
                claims[host] = CREATED
        claims.pop(made["host"], None)
        return claims

    def _has_created(self, host, uuid):
        said = self.reports[host]
        return _has_said(said) and (said.get("creations") or {}).get(uuid) is True

    def _was_never_completed(self, view, uuid):
        """
        Whether a host that holds this of a guest says that it was never completed there, by its log.
        """
        said = self.reports.get(view["host"])
        if view["copy"] == "unfinished":
            return view.get("completed") is False
        told = isinstance(said, dict) and said.get("completions") or {}
        return view["copy"] == "absent" and told.get(uuid) is False

    # What is said of several copies

    def _told(self, name, uuid, ends, notes):
        found, (source, target) = self._withheld(name, uuid, ends), ends
        # Nobody has said that this guest was migrated, or that it has not arrived and is just being rebooted.
        if target["copy"] == "unfinished" and self.is_one_of(source["copy"], "gone foreign"):
            words = {"name": name, "host": target["host"], "state": target["state"]}
            words.update(listed=target["listed"], elsewhere=self.holds(name, source))
            found.update(facts=HAS_NEVER_RUN % words, comment=NEVER_RUN % words)
            if notes and notes[-1]["host"] != target["host"]:
                found["comment"] = SENT % notes[-1] + ". " + found["comment"] + self._kept(notes[-1], notes)
                found["repairs"] += self._forget(notes)
        return found

    def _withheld(self, name, uuid, ends):
        """
        What xm_verdict.report says of these ends, without the repairs that are not safe among many hosts.
        """
        real = [end for end in ends if not self.is_one_of(end["copy"], "gone foreign blind")]
        copied = self._copied(name, real)
        if copied:
            return copied
        found = self._report(name, *ends)
        others = ", ".join([one["host"] for one in self._others(name, uuid)])
        # A suspended copy may go on only when the guest was started nowhere else.
        goes_on = "resume" in [step["do"] for step in found["repairs"]]
        objections = (
            ([end for end in ends if end.get("listed") and not end["uuid"]], NO_UUID),
            (goes_on and self.silent, MAY_RUN_THERE % ", ".join(sorted(self.silent))),
            (goes_on and others, NAMESAKE_THERE % others),
        )
        why = [text for is_so, text in objections if is_so]
        if found["repairs"] and why:
            found.update(repairs=[], comment=found["comment"] + WITHHELD % why[0])
        return found

    def _report(self, name, source, target):
        return self.utility("xm_verdict").report(
            name, source["host"], target["host"], source, target, self.utility
        )

    def _crowd(self, name, held):
        return self._copied(name, held) or self.utility("xm_verdict").crowd(name, held, self.utility)

    def _copied(self, name, views):
        """
        What is to be said of domains that have one uuid; None when they have one name as well.
        """
        xm_copies = self.utility("xm_copies")
        names = sorted(set([xm_copies.plain(xm_copies.listed(name, view)) for view in views]))
        if len(names) < 2:
            return None
        holds = "; ".join([self.holds(name, view) for view in views])
        return self.finding("unknown", COPIED % {"names": " and ".join(names), "holds": holds})

    def _heard(self, name, ends, strangers):
        """
        What is to be said of a guest that is not where it should be, by the word of the hosts there (ENDS),
        while others say that they have it.
        """
        who = sorted(set([one["host"] for one in strangers]))
        words = {
            "name": name,
            "who": " and ".join(who),
            "say": "say" if len(who) > 1 else "says",
            "holds": "; ".join([self.holds(name, one) for one in strangers]),
            "ends": ", and ".join([self.holds(name, end) for end in ends]),
        }
        facts, remedies = HEARSAY % words, self.utility("xm_verdict").remedies(ends, self.utility)
        return self.finding("unknown", facts, facts + LOOK_THERE % words + remedies)

    # Whose word the steps need

    def _answer_for(self, found, never=(), made=None, of_copy=None):
        """
        Complete the repairs of a finding with whose word they need, and say what waits for people.

        never
            the hosts that have just been sent the guest, and have not completed it
        made, of_copy
            the note on a guest that is to be restored, and what the other hosts say of it
        """
        told, before = "", {}
        for step in found["repairs"]:
            if step["do"] == "forget":
                continue
            own = self._own(step)
            claims = self._claims(step, own["target"], never)
            if step["do"] == "restore":
                own = dict([(key, made["safety"].get(key)) for key in ("refused", "recent", "tried")])
                own.update(target=made["target"])
                claims = of_copy
            elif made:
                claims[made["host"]] = KEEPS
            why = self._doubt(step, claims, **own)
            is_in_place = bool(made) and step["do"] == "remove" and step["host"] == made["host"]
            if is_in_place:
                why = (LEFT_HERE + BY_RESTORE) % step
            # No guest goes on beside a copy that may be it; what was suspended is renamed when it goes on.
            why = why or before.get(AFTER.get(step["do"]), "")
            before[step["do"]] = why
            if why and step["do"] != "rename" and not found["lost"] and not is_in_place:
                told += YOUR_WORD % dict(step, why=why)
            step.update(claims=claims, doubt=why, only_if_asked=bool(why))
        for step in found["repairs"]:
            # What may yet turn out to be the guest goes only when that is restored.
            if step["do"] == "remove" and before.get("restore"):
                step.update(doubt=before["restore"], only_if_asked=True)
        if told:
            facts = found["facts"]
            found["comment"] = facts + told + found["comment"][len(facts) :]

    def _on(self, host, guest):
        """
        The copies of a guest on a host.
        """
        return [
            one
            for one in self.named.get(guest["name"], [])
            if (one["host"], one["uuid"]) == (host, guest["uuid"])
        ]

    def _own(self, step):
        """
        What the host that is to take a step sees itself, as `doubt` wants it.
        """
        here = self._on(step["host"], step)
        mine = [one for one in here if (one["listed"], one["domid"]) == (step["listed"], step["domid"])]
        notes = [made for made in self._notes_on(step["name"], step["uuid"]) if made["host"] == step["host"]]
        return {
            "held": mine[0]["copy"] if mine else "absent",
            "completed": mine[0].get("completed") if mine else None,
            "beside": [one["copy"] for one in here if one not in mine],
            "target": max([(made["at"], made["target"]) for made in notes])[1] if notes else None,
        }

    def _doubt(self, step, claims, **own):
        # Which hosts it believes, each finds in its own pillar.
        declared = sorted(set(self.reports[step["host"]].get("declared") or []).union(self.reports))
        return doubt(step["do"], step["name"], step["host"], claims, declared, self.utility, **own)

    def _claims(self, step, target, never):
        """
        What the other hosts say of a guest, each of itself: those that have a copy, and where it was sent.
        """
        named = self.named.get(step["name"], [])
        hosts = set([one["host"] for one in named if one["uuid"] == step["uuid"]])
        hosts.update([target] if target in self.reports else [])
        claims = dict([(host, self._claim(host, step)) for host in hosts if host != step["host"]])
        if step["do"] == "resume":
            claims.update([(host, NEVER) for host in never])
        return claims

    def _claim(self, host, guest):
        if not _has_said(self.reports.get(host)):
            return "unknown" if host in self.reports else "unasked"
        return self._most(self._on(host, guest))

    def _most(self, copies):
        """
        What a host says of a guest of which it has these copies.
        """
        words = [one["copy"] for one in copies]
        return sorted(words, key=CLAIMED.index)[0] if words else "absent"

    # Guests that were sent

    def _noted_guest(self, notes, known):
        """
        The finding for a guest that was sent, instead of what is KNOWN of it from its copies alone; None when
        there is none, or that is right.
        """
        name, uuid = notes[-1]["name"], notes[-1]["uuid"]
        # A copy of its name whose uuid is not known may be it.
        same = [one for one in self.named.get(name, []) if one["uuid"] in (uuid, None)]
        same = [one for one in same if one["copy"] != "managed"]
        # No host that can know it says where the guest is that these tell of.
        whole = set([one["host"] for one in same if one["copy"] != "unfinished"])
        unsettled = [made for made in notes if not whole.intersection(made["chain"])]
        for made in reversed(unsettled):
            strangers = self._strangers(made, unsettled, same)
            if strangers:
                return self._hearsay(notes, made, strangers, known)
        if not unsettled or known or same and not [one for one in same if one["uuid"]]:
            return None
        return self._missed(notes)

    def _missed(self, notes):
        """
        The finding for a guest that was sent, and of which no host that has answered holds a copy under its
        name.
        """
        last = notes[-1]
        known = [one for one in self.known.get(last["uuid"], []) if one["copy"] != "managed"]
        clones = [one for one in known if one["name"] != last["name"]]
        return self._cloned(clones[0], notes) if clones else self._missing(notes)

    def _strangers(self, made, notes, same):
        """
        The copies on hosts that nobody but these hosts themselves has sent the guest to, since a note was
        made.
        """
        return [
            one
            for one in same
            if not [
                other
                for other in notes
                if one["host"] in other["chain"] and (other["host"] != one["host"] or other is made)
            ]
        ]

    def _hearsay(self, notes, made, strangers, known):
        """
        The finding for a guest that was sent, and of which only hosts hold a copy that it was not sent to.
        """
        name, mine = made["name"], self.known.get(made["uuid"], [])
        heard = self._heard(name, [self._end(host, name, mine) for host in made["chain"]], strangers)
        begin = NOTED_SO % made
        comment = begin + heard["comment"] + self._kept(made, notes)
        found = self._noted("unknown", comment, made, strangers[0]["host"], [], begin + heard["facts"])
        if not self.silent:
            dead = [step for step in (known or found)["repairs"] if step["do"] == "remove"]
            found["repairs"] = dead + self._forget(notes)
        for step in found["repairs"]:
            if step["do"] == "remove" or step["note"] == made["id"]:
                step.update(only_if_asked=True, doubt=step["doubt"] or NOT_ITS_WORD % made)
        return found

    def _seen(self, one, notes):
        """
        The finding for a guest that was sent, and of which a single copy runs; None when nothing is known to
        have ended. Where it was sent from, a transfer may yet begin, because xend tries for long to reach a
        host that is silent; only that host can tell when that is `over` (xm_kept.is_over).
        """
        host = one["host"]
        notes = [
            made
            for made in notes
            if (made["host"] != host and host in made["chain"])
            or (made["host"] == host and made.get("over") is True)
        ]
        if not notes:
            return None
        last = notes[-1]
        words = dict(last, now="%(host)s (domain %(domid)s, state %(state)s)" % one)
        repairs = self._forget(notes, True)
        if last["host"] == host:
            return self._noted("unharmed", BACK % words, last, last["target"], repairs)
        return self._noted("moved", ARRIVED % words, last, host, repairs)

    def _cloned(self, one, notes):
        """
        The finding for a guest that was sent, when the only domain with its uuid has another name.
        """
        last = notes[-1]
        now = "domain %(domid)s on %(host)s (state %(state)s)" % one
        facts = CLONED % dict(last, now=now, other=one["listed"])
        return self._noted("unknown", facts + SETTLED % last, last, one["host"], self._forget(notes), facts)

    def _missing(self, notes):
        """
        The finding for a guest that was sent, and of which no host that has answered holds a copy.
        """
        last = notes[-1]
        name, known = last["name"], self.known.get(last["uuid"], [])
        source, target = [self._end(host, name, known) for host in (last["host"], last["target"])]
        others = [one for one in known if one is not source and one is not target]
        if self.silent:
            # It may have been moved on from its target.
            target = self._unseen()
        elif target["copy"] == "absent" and others:
            target = others[0]
        judged = self._report(name, source, target)
        comment = judged["comment"] + self._namesakes(name, last["uuid"], (source, target))
        if judged["lost"]:
            is_known = "managed" in (source["copy"], target["copy"])
            comment = MISSED % last + comment + self._kept(last, notes, is_known)
        else:
            settled = "" if self.silent else SETTLED % last
            comment = SENT % last + ". " + comment + self._also_sent(last, notes) + settled
        host = target["host"] if target["host"] in self.reports else None
        facts = SENT % last + ". " + judged["facts"]
        repairs = [] if self.silent else self._forget(notes)
        return self._noted(judged["outcome"], comment, last, host, repairs, facts)

    def _noted(self, outcome, comment, made, target, repairs, facts=None):
        found = self.finding(outcome, facts or comment, comment, repairs)
        return dict(found, name=made["name"], uuid=made["uuid"], hosts=_sides([made["host"], target]))

    def _namesakes(self, name, uuid, ends):
        """
        What is to be said of domains of this name on hosts that are none of the two ends.
        """
        others = set([one["host"] for one in self._others(name, uuid)])
        others.difference_update([end["host"] for end in ends])
        return NAMESAKES % ", ".join(sorted(others)) if others else ""

    def _kept(self, made, notes, is_known=False):
        """
        What a note says on how to start a lost guest again; where xend knows it, that has been said. And what
        the notes of other hosts say, for any of them may be wrong.
        """
        again = self.utility("xm_verdict").how_to_start_again(
            made["what"], "is kept in %(kept)s on %(host)s" % made, is_known
        )
        return "." + again + self._also_sent(made, notes) + SETTLED % made

    def _also_sent(self, made, notes):
        return "".join([ALSO_SENT % other for other in notes if other["host"] != made["host"]])

    def _forget(self, notes, is_over=False):
        """
        The steps that end these notes. IS_OVER: what their own hosts say of that counts.
        """
        steps = []
        for made in notes:
            # What each host of the chain says of itself, the last one that it has the guest.
            chain = [host for host in made["chain"] if host != made["host"]]
            claims = {}
            for host, further in zip(chain, chain[1:] + [None]):
                word = self._claim(host, made)
                is_gone = further and self.is_one_of(word, "gone")
                claims[host] = SENT_ON + further if is_gone else word
            runs_here = self._claim(made["host"], made) == "running"
            over = is_over and runs_here and made.get("over") is True
            step = {"on": "source", "do": "forget", "host": made["host"], "note": made["id"]}
            step.update(listed=made["name"], name=made["name"], uuid=made["uuid"], domid=None)
            why = self._doubt(step, claims, target=made["target"], over=over)
            steps.append(dict(step, claims=claims, doubt=why, only_if_asked=bool(why)))
        return steps
