"""
Where a guest is after a migration was tried, what that means for people, and which repairs are safe: the
one decision table. The first row of TABLE that has what both hosts hold decides, and says all of it.

The text for a lost guest is that of the rows whose outcome is "incomplete" or "lost" (they begin with
IS_LOST), and RESTART, which says how to start it again. What many hosts together add to that is in xm_fleet.

Only what hosts report counts, never an exit code: `xm migrate` exits 0 with the guest lost and 1 with
it running happily (xend 4.4). Looking at hosts is done elsewhere, what a copy is called stands in xm_copies,
and nothing here knows Salt. Who calls this hands in how to reach other utilities: `utility`, a function from
the name of one to it.
"""

# How long xend waits for the devices of a guest, unless its host says something else (xend 4.4
# device-create-timeout).
DEVICES_S = 100

# The outcomes that mean that no host has a copy of the guest that can run; and all that are not called so at
# first sight.
LOST = ("incomplete", "lost")
WITHOUT_COPY = LOST + ("kept",)


def _step(on, do, only_if_asked=False):
    return {"on": on, "do": do, "only_if_asked": only_if_asked}


RUNS_HERE = "%(name)s runs unharmed on %(source)s (state %(source_state)s), and %(target_holds)s"
RUNS_THERE = "%(name)s runs on %(target)s (state %(target_state)s), and %(source_holds)s"
FACTS = "%(source_holds)s, and %(target_holds)s"
FACTS_TARGET_FIRST = "%(target_holds)s, and %(source_holds)s"
COMES = "%(name)s is on its way to %(target)s: " + FACTS_TARGET_FIRST
IS_LOST = "%(name)s is LOST: "
IS_KEPT = (
    "%(name)s does not run, but is not lost: its memory is whole in the safety copy %(kept)s on %(source)s; "
    + FACTS
)

WAIT = "Do not start, unpause, destroy or migrate it on either host; look again when the transfer is over"
HANDS_OFF = "Start it nowhere and destroy nothing before both hosts were seen"
ONLY_TARGET = (
    "Only %(target)s can tell whether it has arrived; do not start it anywhere before %(target)s was seen"
)
END_RESTORE = (
    "Leave the copy on %(target)s alone: xend there removes it when the transfer breaks off. If it is "
    "still there after some minutes, end the xc_restore that runs for it on %(target)s; xend then removes "
    "the copy"
)
# A host that lies must not have the only copy of a guest paused.
PAUSE = (
    "Each of them is known from its own host alone, so look with `xm list` on both right now. If both run, "
    "`xm pause %(target_listed)s` on %(target)s at once"
)
# Whether a copy that is being sent stands still -> what to do when the other one runs already.
STANDS = {
    True: "the copy on %(host)s is suspended (letter s in its state) and writes nothing, as it should until "
    "the transfer is over",
    False: "the copy on %(host)s was not suspended when it was seen; if `xm list` there does not show it "
    "suspended at a second look either, two copies run: `xm pause %(other_listed)s` on %(other)s at once",
}
NO_LETTER = {True: ", and the state on %(host)s has lost its letter s", False: ""}
GIVES_UP = (
    "Once all of its memory is on %(target)s, xend there waits up to %(target_devices_s)s s for its devices, "
    "and gives it up after that; until it runs, or is gone,"
)
RENAME = "`xm rename %(source_listed)s %(name)s` on %(source)s mends it"
NEVER_RUNS = (
    "Do not unpause it: its CPU would run, but its console and xenstore are dead. `xm destroy "
    "%(target_listed)s` on %(target)s removes the copy, as xend.orch.recover does with remove_lost: "
    "[%(name)s]"
)
DECIDE = "Look at both with `xm list` and on their consoles before starting, unpausing or destroying either"
OTHER_GUEST = (
    "Find out whether the domain of that name on %(target)s was started in its place and uses the same "
    "disks; then only one of the two may run"
)

BRING_BACK = (
    "xend.orch.recover restores it on %(source)s, where it goes on as it was when it left; do not start it "
    "afresh meanwhile"
)

HALF_BACK = (
    "Do not unpause what is on %(source)s. xend.orch.recover with restore: [%(name)s] removes it, and "
    "restores the guest there"
)

# The same table for a guest that has left its source, and of which that has a complete safety copy: the first
# row that has both copies decides; where none has, TABLE does. A row of which both ends are seen begins with
# IS_KEPT. A dead copy on the target goes first, so that nobody lets it run later.
KEPT = (
    (
        "gone", "blind", "unknown",
        "%(name)s does not run on %(source)s, where its memory is whole in its safety copy %(kept)s: "
        + FACTS,
        ONLY_TARGET,
        (_step("source", "restore", True),),
    ),
    (
        "gone", "unfinished", "kept", IS_KEPT, BRING_BACK,
        (_step("target", "remove"), _step("source", "restore")),
    ),
    ("gone", "gone foreign", "kept", IS_KEPT, BRING_BACK, (_step("source", "restore"),)),
    # What a restore has left that did not come to its end: it may also be being started by somebody.
    (
        "unfinished", "gone foreign", "kept", IS_KEPT, HALF_BACK,
        (_step("source", "remove", True), _step("source", "restore", True)),
    ),
    (
        "unfinished", "unfinished", "kept", IS_KEPT, HALF_BACK,
        (_step("target", "remove", True), _step("source", "remove", True), _step("source", "restore", True)),
    ),
    (
        "foreign", "unfinished gone foreign", "kept", IS_KEPT,
        "xend on %(source)s restores no second domain of that name: find out whether the one that is there "
        "was started in its place; if not, give that one another name with `xm rename`, and run `salt-run "
        "state.orchestrate xend.orch.recover` again",
    ),
)

# What the target was heard to say of a guest that it got -> what that means.
WAS_HEARD = {
    "err": "xend on %(target)s has said why it could not complete it: %(said)s",
    "silence": "xend on %(target)s has closed the connection without a word, as it does when it dies",
    "unanswered": "xend on %(target)s has not said what has become of it",
}

# What each of the two may hold (see xm_copies.is_one_of), the outcome, what is so, what to do, and, where
# there are any, repairs. The first row that has both copies decides. A repair may rename a copy that runs,
# and do nothing else to it; while a transfer may go on, or one end cannot be seen, there is none.
TABLE = (
    # One end at least cannot be seen.
    (
        "sending", "blind", "going_on", "the migration of %(name)s goes on: " + FACTS,
        "Do not start, destroy or migrate it; wait until it has left %(source)s, then look on %(target)s "
        "before starting it anywhere",
    ),
    (
        "migrating", "blind", "unknown", "the migration of %(name)s may go on: " + FACTS,
        "While xc_save runs on %(source)s, do nothing to it and wait; after that look on %(target)s before "
        "doing anything to it",
    ),
    ("running", "unasked", "unharmed", RUNS_HERE, "Remove the cause and migrate again"),
    (
        "running", "unknown", "unknown", "%(name)s is unharmed as far as %(source)s can tell: " + FACTS,
        "Let it run there, and do not start it on %(target)s; look there as soon as it answers",
    ),
    (
        "left", "blind", "unknown", "the migration of %(name)s broke: " + FACTS,
        "Let it run there, and start it nowhere else. When %(target)s was seen without a running copy, "
        + RENAME,
    ),
    (
        "suspended", "blind", "unknown",
        "%(name)s does not run on %(source)s any more, and may run on %(target)s: " + FACTS,
        "Neither resume nor destroy it on %(source)s, and start it nowhere, before %(target)s was seen",
    ),
    ("gone", "unasked", "unknown", "%(source)s has no copy of %(name)s any more", ONLY_TARGET),
    ("gone", "blind", "unknown", "%(name)s does not run on %(source)s: " + FACTS, ONLY_TARGET),
    (
        "blind", "running", "unknown", RUNS_THERE,
        "Let it run there, and do not start it on %(source)s; look on %(source)s whether it runs there as "
        "well",
    ),
    (
        "blind", "unfinished", "unknown", "where %(name)s is cannot be told: " + FACTS_TARGET_FIRST,
        "Neither unpause nor destroy the copy on %(target)s, and start it nowhere, before %(source)s was "
        "seen",
    ),
    ("blind", "receiving", "going_on", COMES, WAIT),
    ("blind", "any", "unknown", "where %(name)s is cannot be told: " + FACTS, HANDS_OFF),
    ("any", "blind", "unknown", "where %(name)s is cannot be told: " + FACTS, HANDS_OFF),
    # A transfer may go on. While a migration ends well, both hosts have a copy for some seconds.
    (
        "sending", "running", "going_on", "the migration of %(name)s is ending: " + FACTS_TARGET_FIRST,
        "Look again in some seconds: %(source_stands)s. Destroy nothing while xc_save runs on %(source)s",
    ),
    (
        "departing", "alive", "unknown", "%(name)s has two copies: " + FACTS_TARGET_FIRST,
        "Watch both with `xm list`: %(source_stands)s. Destroy nothing while xc_save runs on %(source)s",
    ),
    (
        "departing", "unfinished", "going_on", "%(name)s is in danger: " + FACTS,
        "If the transfer ends by itself, %(source)s destroys its copy and the guest is gone. Ending the "
        "xc_save that runs for it on %(source)s makes xend there take it back; without one, only look "
        "again",
    ),
    ("sending", "any", "going_on", "the migration of %(name)s goes on: " + FACTS, WAIT),
    (
        "migrating", "any", "going_on", "the migration of %(name)s may go on: " + FACTS,
        "While xc_save runs on %(source)s, do nothing to it and wait; after that, when %(target)s has no "
        "running copy%(source_no_letter)s, " + RENAME,
    ),
    ("alive", "coming", "going_on", "%(name)s has not moved: " + FACTS, END_RESTORE),
    (
        "any", "coming", "going_on", COMES,
        "Do not unpause it, and start it nowhere. " + GIVES_UP + " look again",
    ),
    ("coming", "any", "going_on", "%(name)s is on its way to %(source)s: " + FACTS, WAIT),
    (
        "alive", "departing", "unknown", "%(name)s has two copies: " + FACTS,
        "Watch both with `xm list`: %(target_stands)s. Destroy nothing while xc_save runs on %(target)s",
    ),
    ("any", "departing", "going_on", "%(name)s may be on its way from %(target)s: " + FACTS, WAIT),
    # Two at once.
    (
        "alive", "alive", "both", "TWO COPIES of %(name)s RUN, and both write its disks: " + FACTS,
        PAUSE + ", because the damage grows with every second. Then find out by the CPU time of `xm list`, "
        "the consoles and the network which one has run longer and served its users; keep that one, `xm "
        "destroy` the other, and check the file systems",
    ),
    # The guest runs on the target.
    (
        "managed", "running", "moved", RUNS_THERE,
        "Do not `xm start` it on %(source)s: two copies would write its disks",
    ),
    ("gone foreign", "running", "moved", RUNS_THERE, ""),
    (
        "suspended", "running", "leftover", RUNS_THERE,
        "Never resume it on %(source)s; `xm destroy %(source_listed)s` there removes what is left over",
        (_step("source", "remove"),),
    ),
    (
        "unfinished", "running", "leftover", RUNS_THERE,
        "Do not unpause the copy on %(source)s; `xm destroy %(source_listed)s` there removes it",
        (_step("source", "remove"),),
    ),
    (
        "halted", "alive", "leftover", RUNS_THERE,
        "Never unpause or start the copy on %(source)s; when it does not go away by itself, and the one on "
        "%(target)s was seen to work, `xm destroy` it on %(source)s",
    ),
    # A rename harms nobody, wherever the target has tried to send it. A copy that is suspended there is left
    # alone: where that was, and whether it runs there, these two hosts do not know.
    (
        "gone", "left", "leftover",
        "%(name)s runs on %(target)s, but not under its name: " + FACTS_TARGET_FIRST,
        "`xm rename %(target_listed)s %(name)s` on %(target)s mends it",
        (_step("target", "rename"),),
    ),
    (
        "foreign unfinished suspended", "left", "leftover",
        "%(name)s runs on %(target)s, but not under its name: " + FACTS_TARGET_FIRST,
        DECIDE,
    ),
    # The guest runs on the source.
    ("running", "gone", "unharmed", RUNS_HERE, "Remove the cause and migrate again"),
    (
        "running", "foreign", "unharmed", RUNS_HERE,
        "xend on %(target)s refuses a second domain of that name: choose another target, or rename one of "
        "them",
    ),
    (
        "running", "unfinished", "leftover", RUNS_HERE,
        "Do not unpause that copy; `xm destroy %(target_listed)s` on %(target)s removes it. Then migrate "
        "again",
        (_step("target", "remove"),),
    ),
    (
        "alive", "still", "leftover", "%(name)s runs on %(source)s: " + FACTS,
        "Never resume, unpause or start the copy on %(target)s; look why it is there before you `xm "
        "destroy` it",
    ),
    (
        "left", "gone", "leftover", "%(name)s runs on, but its migration broke: " + FACTS,
        RENAME + "; then migrate again",
        (_step("source", "rename"),),
    ),
    (
        "left", "foreign", "leftover", "%(name)s runs on, but its migration broke: " + FACTS,
        OTHER_GUEST + ". If they have nothing in common, " + RENAME,
    ),
    (
        "left", "unfinished", "leftover", "%(name)s runs on, but its migration broke: " + FACTS,
        "Do not unpause the copy on %(target)s; `xm destroy %(target_listed)s` there removes it, and "
        + RENAME,
        (_step("target", "remove"), _step("source", "rename")),
    ),
    # The guest is suspended on the source, and runs nowhere.
    (
        "suspended", "absent", "leftover", "%(name)s does not run, but is whole: " + FACTS,
        "If it has not run on %(target)s since (no `completeRestore done` for it in xend.log there), it "
        "can go on where it is: resume it on %(source)s with xm.repair, then give it its name back; else "
        "`xm destroy` it",
        (_step("source", "resume"), _step("source", "rename")),
    ),
    # Where xend knows a guest, people may have started and stopped it since.
    (
        "suspended", "managed", "leftover", "%(name)s does not run, but is whole: " + FACTS,
        "If it was not started on %(target)s since, it can go on where it is: resume it on %(source)s with "
        "xm.repair, then give it its name back; else `xm destroy` it",
        (_step("source", "resume", True), _step("source", "rename", True)),
    ),
    (
        "suspended", "unfinished", "leftover", "%(name)s does not run, but is whole: " + FACTS,
        "Do not unpause the copy on %(target)s: `xm destroy %(target_listed)s` there. Then resume it on "
        "%(source)s with xm.repair, and give it its name back",
        (_step("target", "remove"), _step("source", "resume"), _step("source", "rename")),
    ),
    ("suspended", "foreign", "halted", "%(name)s runs nowhere: " + FACTS, OTHER_GUEST),
    # The guest runs nowhere, but there is a copy that has run.
    (
        "halted", "gone foreign", "halted", "%(name)s runs nowhere: " + FACTS,
        "It can only be migrated while it runs, and %(source_rest)s",
    ),
    (
        "gone foreign", "halted", "halted", "%(name)s runs nowhere: " + FACTS_TARGET_FIRST,
        "Do not start it on %(source)s. On %(target)s, %(target_rest)s",
    ),
    (
        "gone foreign", "suspended", "halted", "%(name)s runs nowhere: " + FACTS_TARGET_FIRST,
        "Look at it on %(target)s with `xm list` and `xm console`; do not start it on %(source)s",
    ),
    (
        "still unfinished", "still unfinished", "halted", "%(name)s runs nowhere: " + FACTS,
        DECIDE + "; one that has never run and was received cannot work",
    ),
    (
        "unfinished", "gone foreign", "halted", "%(name)s runs nowhere: " + FACTS,
        "If it was created paused, or paused just after that, `xm unpause %(source_listed)s` on %(source)s "
        "starts it; if it was received there, it cannot work: `xm destroy` it",
    ),
    # No host has a copy that can run.
    (
        "gone", "unfinished", "incomplete", IS_LOST + FACTS,
        NEVER_RUNS,
        (_step("target", "remove", True),),
    ),
    ("foreign", "unfinished", "incomplete", IS_LOST + FACTS, NEVER_RUNS),
    (
        "absent", "absent", "lost", IS_LOST + FACTS,
        "xend.log on %(target)s says why it could not be completed there",
    ),
    (
        "managed", "gone foreign", "lost", IS_LOST + FACTS,
        "`xm start %(name)s` on %(source)s starts it afresh, once it was seen to run nowhere",
    ),
    (
        "gone foreign", "managed", "lost", IS_LOST + FACTS,
        "`xm start %(name)s` on %(target)s starts it afresh, once it was seen to run nowhere",
    ),
    (
        "gone foreign", "gone foreign", "lost", IS_LOST + FACTS,
        "A domain of that name is no copy of it, but may use the same disks: look before starting it again",
    ),
)

# The same of more copies: whether several of them run -> the outcome, what is so, what to do.
CROWDS = {
    True: (
        "both",
        "MORE THAN ONE COPY of %s RUNS: ",
        "Each is known from its own host alone, so look with `xm list` on all of them right now. Of those "
        "that run, `xm pause` all but one at once; then find out which one has served its users",
    ),
    False: ("unknown", "there are other copies of %s than expected: ", DECIDE),
}

# Behind the text of a lost guest.
RESTART = (
    " To start it again: `xm create` with its configuration file, on one host only, once all were seen "
    "without a running copy."
)
DESCRIBED = " Its description as xend had it (%(what)s) %(kept)s"

# Why a guest was not described: what its source had to say, and what the target holds.
NOT_SAID = "its source could not describe it when this began (%(why)s); run it again"
LEFT_THERE = "its source has no domain of that name: %(held)s. xend.orch.recover mends what is safe"
NOT_THERE = "its source has no domain of that name; `salt '*' xm.where %(name)s` shows which host has it"
BLIND_HERE = "; %(target)s cannot say whether it has it (%(problem)s)"
HELD_HERE = "; %(target)s holds it, but it does not run here (state %(state)s)"
NOWHERE = (
    "there is no domain %(name)s on %(source)s, and %(there)s. `salt '*' xm.where %(name)s` shows which host "
    "has it"
)

XM_SAID = ". xm migrate said: %s"
TIMED_OUT = (
    ". xm migrate had not ended after %s s and is not waited for any longer; xend goes on by itself, so the "
    "migration may still go on, or begin: look again before doing anything to it"
)
THEN_ASK = ". Then `salt-run state.orchestrate xend.orch.recover` says the rest"


def decide(source, target, utility, is_kept=False):
    """
    What it means that the source holds this, and the target that (see xm_copies.words). IS_KEPT: the source
    has a complete safety copy of the guest.

    Returns a dict: ``outcome``, ``sentence`` and ``advice`` (templates, see `report` for their words) and
    ``repairs`` (a list of dicts: ``on``, "source" or "target"; ``do``, "rename", "remove", "resume" or
    "restore"; and ``only_if_asked``). Outcomes:

    moved
        it runs on the target, and nowhere else
    unharmed
        it runs on the source, and nothing is left over
    going_on
        a transfer may still be going on
    leftover
        one host has the guest whole, and a rest of a migration that broke has to be cleaned up
    halted
        there is a copy that has run, but none runs
    both
        two copies run
    kept
        no host has a copy that can run, but its source has its memory whole in a safety copy
    incomplete, lost
        no host has a copy that can run: one on the target was never completed; there is none
    unknown
        it cannot be told

    Raises ValueError for words that are no copies.
    """
    is_one_of, words = utility("xm_copies").is_one_of, utility("xm_copies").words()
    for row in (KEPT if is_kept else ()) + TABLE:
        if is_one_of(source, row[0]) and is_one_of(target, row[1]):
            repairs = [dict(step) for step in (row + ((),))[5]]
            return {"outcome": row[2], "sentence": row[3], "advice": row[4], "repairs": repairs}
    raise ValueError("a copy is none of %s: %r, %r" % (", ".join(words), source, target))


def report(name, source, target, source_view, target_view, utility):
    """
    What has become of a guest.

    name, source, target
        the guest, and its two hosts in words
    source_view, target_view
        what each holds: a dict with ``copy`` and, as far as they are known, ``state``, ``listed`` (the name
        under which `xm list` shows it), ``uuid``, ``domid``, ``devices_s`` (how long xend there waits for
        devices), ``problem`` (why the host cannot be seen) and ``remedy`` (what to start there); and that of
        the source ``safety``, a safety copy that is complete (see xm_kept.safety), if there is one

    Returns a dict: ``outcome`` (see `decide`), ``facts`` (what is where) and ``comment`` (the same, and what
    to do), ``repairs``, ``lost``, ``nowhere`` (no host has a copy that can run) and ``moved`` (bools). Each
    repair says ``on``, ``host``, ``do``, ``listed``, ``name``, ``uuid``, ``domid`` and ``only_if_asked``;
    they are to be taken in this order.
    """
    xm_copies = utility("xm_copies")
    ends = {"source": dict(source_view, host=source), "target": dict(target_view, host=target)}
    safety = source_view.get("safety")
    found = decide(source_view["copy"], target_view["copy"], utility, bool(safety))
    words = dict(_words(name, ends, xm_copies), kept=safety and safety["path"])
    repairs = []
    for step in found["repairs"]:
        view = ends[step["on"]]
        listed = xm_copies.listed(name, view)
        own = xm_copies.plain(listed)
        # A suspended guest may have its own name already: xend gives it back even when it cannot resume it.
        if step["do"] == "rename" and listed == own:
            continue
        which = {"listed": listed, "name": own, "uuid": view.get("uuid"), "domid": view.get("domid")}
        repairs.append(dict(step, host=view["host"], **which))
    facts = found["sentence"] % words + (heard(target, safety) if safety else "")
    advice = found["advice"] and ". " + found["advice"] % words
    advice += remedies([ends["source"], ends["target"]], utility)
    return finding(found["outcome"], facts, facts + advice, repairs)


def finding(outcome, facts, comment=None, repairs=()):
    """
    What `report` returns, for what is known in another way.
    """
    return {
        "outcome": outcome,
        "facts": facts,
        "comment": comment or facts,
        "repairs": list(repairs),
        "lost": outcome in LOST,
        "nowhere": outcome in WITHOUT_COPY,
        "moved": outcome == "moved",
    }


def crowd(name, views, utility):
    """
    The same for a guest of which there are more copies than two hosts have.

    views
        what each of them is, as for `report`, with ``host``
    """
    xm_copies = utility("xm_copies")
    alive = [view for view in views if xm_copies.is_one_of(view["copy"], "alive")]
    outcome, begin, advice = CROWDS[len(alive) > 1]
    facts = begin % name + "; ".join([xm_copies.holds(name, view) for view in views])
    return finding(outcome, facts, facts + ". " + advice)


def heard(target, safety):
    """
    What the target of a guest was heard to say when it had all of it, as the end of a sentence; "" for
    nothing.

    safety
        what is known of its safety copy (see xm_kept.safety)
    """
    text = WAS_HEARD.get(safety.get("heard"), "")
    said = (safety.get("said") or "no reason").rstrip(" .")
    return text and "; " + text % {"target": target, "said": said}


def _words(name, ends, xm_copies):
    """
    The words of TABLE.
    """
    shown = dict([(side, xm_copies.listed(name, ends[side])) for side in ends])
    if ends["source"]["host"] == ends["target"]["host"] and shown["source"] == shown["target"]:
        # Two copies on one host: by their name, xend may take either.
        shown.update([(side, view["domid"]) for side, view in ends.items() if view.get("domid")])
    words = {"name": name}
    for side, other in (("source", "target"), ("target", "source")):
        view, state = ends[side], ends[side].get("state") or ""
        seen = {"host": view["host"], "other": ends[other]["host"], "other_listed": shown[other]}
        about = {
            "listed": shown[side],
            "state": state or "unknown",
            "holds": xm_copies.holds(name, view),
            "rest": xm_copies.why_at_rest(name, view["host"], view),
            "devices_s": view.get("devices_s") or DEVICES_S,
            "stands": STANDS["s" in state] % seen,
            "no_letter": NO_LETTER["s" in state] % seen,
        }
        words.update([(side, view["host"])] + [(side + "_" + key, about[key]) for key in about])
    return words


def remedies(views, utility):
    """
    What is to be started so that hosts answer that do not, as the end of a comment; "" when nothing is known.
    """
    xm_copies = utility("xm_copies")
    blind = [view for view in views if xm_copies.is_one_of(view["copy"], "blind")]
    found = [view["remedy"] for view in blind if view.get("remedy")]
    return "".join([". " + remedy for remedy in found]) + (THEN_ASK if found else "")


def how_xm_ended(view, utility, xm_said=None, waited_s=None):
    """
    What is to be said, behind a report, of xm itself; it changes no outcome.

    view
        what the source holds, as for `report`
    xm_said
        the message of `xm migrate` when that has failed
    waited_s
        after how many seconds `xm migrate` is not waited for any longer
    """
    # A guest that has left its source cannot begin to migrate any more.
    is_gone = utility("xm_copies").is_one_of(view["copy"], "gone foreign")
    text = TIMED_OUT % waited_s if waited_s and not is_gone else ""
    return text + (XM_SAID % xm_said if xm_said else "")


def how_to_start_again(what, kept, is_known=False):
    """
    What is needed to start a lost guest again, after the words on what is left of it.

    what
        its uuid, memory and devices in words
    kept
        what there is to say about where its description is kept
    is_known
        xend knows it, and these words have said how xend starts it
    """
    return ("" if is_known else RESTART) + DESCRIBED % {"what": what, "kept": kept}


def nowhere(name, source, target, source_view, target_view, utility):
    """
    What is to be said to those who want to move a guest that its source does not have, and that does not run
    on the target.

    name, source, target, source_view, target_view
        as for `report`
    """
    xm_copies = utility("xm_copies")
    coming = xm_copies.under_way(name, target, target_view)
    if coming:
        return coming
    if source_view["copy"] == "managed":
        start = xm_copies.why_at_rest(name, source, dict(copy="managed"))
        return "only a guest that runs can be moved. %s" % (start[0].upper() + start[1:])
    there = xm_copies.holds(name, dict(target_view, host=target))
    return NOWHERE % {"name": name, "source": source, "there": there}


def not_described(name, target, target_view, utility, left=None, problem=None):
    """
    The same for the target, where it does not run either.

    name, target, target_view
        as for `report`
    left
        what its source held when this began, as for `report`, with ``host``; None when that is not known
    problem
        why its source could not say that, if so
    """
    xm_copies = utility("xm_copies")
    coming = left and xm_copies.under_way(name, left["host"], left)
    coming = coming or xm_copies.under_way(name, target, target_view)
    if coming:
        return coming
    is_left = left and xm_copies.is_one_of(left["copy"], "left suspended")
    why = NOT_SAID if problem else LEFT_THERE if is_left else NOT_THERE
    if target_view["copy"] == "unknown":
        why += BLIND_HERE
    elif target_view["domid"]:
        why += HELD_HERE
    return why % {
        "name": name,
        "target": target,
        "why": problem,
        "held": is_left and xm_copies.holds(name, left),
        "problem": target_view.get("problem"),
        "state": target_view.get("state") or "not started",
    }
