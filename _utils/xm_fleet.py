"""
Many hosts: what migrations have left over a fleet, where one guest is, and whose word a step of repair needs.
What two hosts hold is decided in xm_verdict; here is who these two are, what the others say, and what the
notes on guests tell that were sent (see xm_kept).

Each host is believed about itself only. Who calls this hands in how to reach other utilities: `utility`, a
function from the name of one to it. Nothing here knows Salt.
"""

# What a host may say of a guest besides what it holds, as a claim: see `doubt`.
NEVER, SENT_ON = "never completed", "sent on to "

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

# Of several copies on one host, the one that comes first here is what that host says of the guest.
CLAIMED = ["running", "left"] + [word for word in ROLES if word not in ("running", "left")]

SENT = "%(name)s was sent from %(host)s to %(target)s at %(at)s"
ARRIVED = SENT + ", and runs on %(now)s"
BACK = SENT + ". That has ended, and it runs there (again, or still) on %(now)s"
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
)
# What is done -> what has to be done before, if that is to be done at all.
AFTER = {"resume": "remove", "rename": "resume"}

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
    be "forget": remove the note whose ``id`` is ``note``. Each repair says besides ``claims``, a dict from
    hosts to what they say themselves of the guest, and ``doubt``, "" or why it is `only_if_asked` (see
    `doubt`).
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
    The findings of a second look, without calling anything lost that was not lost at the first one, BEFORE.

    Hosts are not asked at the very same moment: a guest that its source has sent when it is asked may not
    have been on its target yet when that was. At a later look it is, if it has arrived at all.
    """
    lost = [(found["name"], found["uuid"]) for found in before if found["lost"]]
    for found in findings:
        if found["lost"] and (found["name"], found["uuid"]) not in lost:
            text = IN_BETWEEN % found["name"]
            found.update(outcome="unknown", lost=False, repairs=[], facts=text, comment=text)
    return findings


def doubt(do, name, host, claims, declared, utility, **own):
    """
    Why a step may be taken only with the word of the operator; "" when it may be taken without.

    Each host is believed about itself only. That a copy is as it was found, the host that acts sees for
    itself, before this is asked. What it cannot see has to come from the very host that would run the guest.

    do, name
        the step ("rename", "remove", "resume", "forget"), and the guest
    host
        the host that acts
    claims
        what other hosts say themselves that they hold of the guest: a dict from host to a word for a copy; or
        to NEVER, when it has just been sent there, and never completed; or to SENT_ON and a host, when it is
        not there any more and there is a note where it was sent on
    declared
        all hosts that may exchange guests; the others are not believed
    own
        what the host that acts sees itself, as far as the step needs it: ``held``, what the copy is that is
        to be removed; ``beside``, what it holds of the guest besides (a list); ``completed``, what its
        xend.log says of that copy (see xm_progress.completed); ``target``, where it has sent the guest by its
        own note (None: no note); ``over``, whether the guest runs there and cannot be about to be sent

    Returns text.
    """
    is_one_of = utility("xm_copies").is_one_of
    target, is_fresh = own.get("target"), own.get("held") == "unfinished"
    believed = dict([(one, claims[one]) for one in claims if one in declared and one != host])
    enough = "alive suspended" if is_fresh else "alive"
    who = sorted([one for one in believed if is_one_of(believed[one], enough)])
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
    }
    words = {"name": name, "host": host, "target": target or "no note says where"}
    words.update(who=" and ".join(who), say="say" if len(who) > 1 else "says")
    for step, needed, why in DOUBTS:
        if step == do and not [key for key in needed if is_so[key] != needed[key]]:
            return why % words
    raise ValueError("a step is none of %s: %r" % (", ".join(sorted(set([row[0] for row in DOUBTS]))), do))


def is_claim(word, utility):
    """
    Whether this is something that a host can say of a guest, see `doubt`.
    """
    return hasattr(word, "startswith") and (
        utility("xm_copies").is_one_of(word, "any")
        or word == NEVER
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
            one = self._noted_guest(notes, found.get(guest))
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

    def _answer_for(self, found, never=()):
        """
        Complete the repairs of a finding with whose word they need, and say what waits for people.

        never
            the hosts that have just been sent the guest, and have not completed it
        """
        told, before = "", {}
        for step in found["repairs"]:
            if step["do"] == "forget":
                continue
            own = self._own(step)
            claims = self._claims(step, own["target"], never)
            why = self._doubt(step, claims, **own)
            # No guest goes on beside a copy that may be it; what was suspended is renamed when it goes on.
            why = why or before.get(AFTER.get(step["do"]), "")
            before[step["do"]] = why
            if why and step["do"] != "rename" and not found["lost"]:
                told += YOUR_WORD % dict(step, why=why)
            step.update(claims=claims, doubt=why, only_if_asked=bool(why))
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
        words = [one["copy"] for one in self._on(host, guest)]
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
