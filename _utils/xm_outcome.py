"""
Where a guest is after a migration was tried, what that means for people, and which repairs are safe: the
one decision table.

Only what hosts report counts, never an exit code: `xm migrate` exits 0 with the guest lost and 1 with
it running happily (xend 4.4). Looking at hosts is done elsewhere, and nothing here knows Salt.
"""

import re

# While it is sent, or saved, xend calls a domain so (xend 4.4 XendCheckpoint.save).
MIGRATING = "migrating-"

# What one host holds of a guest -> the same in words; `copy` says when a copy is called what.
HOLDS = {
    "absent": "there is no copy on %(host)s",
    "managed": "xend on %(host)s knows it, but does not run it",
    "running": "it runs on %(host)s (state %(state)s)",
    "receiving": "it is being received on %(host)s (state %(state)s)",
    "arriving": "a paused copy on %(host)s (state %(state)s) is being received, or was never completed",
    "unfinished": "the copy on %(host)s has never run (state %(state)s), and nothing there can complete it",
    "sending": "it is being sent from %(host)s, which lists it as %(listed)s (state %(state)s)",
    "migrating": "%(listed)s on %(host)s (state %(state)s) is being sent, or is left over from a migration "
    "that broke",
    "left": "it runs on %(host)s as %(listed)s (state %(state)s), left over from a migration that broke",
    "suspended": "it is suspended on %(host)s as %(listed)s (state %(state)s), and nothing sends it",
    "halted": "the copy on %(host)s does not run (%(listed)s, state %(state)s)",
    "foreign": "the domain of that name on %(host)s is another one (uuid %(uuid)s)",
    "unknown": "what is on %(host)s cannot be seen (%(problem)s)",
    "unasked": "%(host)s was not asked",
}

COPIES = tuple(sorted(HOLDS))

# What a host may say of a guest besides, as a claim: see `doubt`.
NEVER, SENT_ON = "never completed", "sent on to "

# A transfer of the copy can still be going on: yes, no, not known.
BY_TRANSFER = {
    "received": {True: "receiving", False: "unfinished", None: "arriving"},
    "suspended": {True: "sending", False: "suspended", None: "migrating"},
    "shut down": {True: "sending", False: "halted", None: "migrating"},
    "renamed": {True: "sending", False: "left", None: "migrating"},
    "renamed and halted": {True: "sending", False: "halted", None: "migrating"},
}

GONE = ("absent", "managed")
NOT_IT = GONE + ("foreign",)
ALIVE = ("running", "left")
DEPARTING = ("sending", "migrating")
COMING = ("receiving", "arriving")
STILL = ("suspended", "halted")
BLIND = ("unknown", "unasked")
ANY = COPIES

# How long xend waits for the devices of a guest, unless its host says something else (xend 4.4
# device-create-timeout).
DEVICES_S = 100

# The outcomes that mean that no host has a copy of the guest that can run.
LOST = ("incomplete", "lost")


def _step(on, do, only_if_asked=False):
    return {"on": on, "do": do, "only_if_asked": only_if_asked}


RUNS_HERE = "%(name)s runs unharmed on %(source)s (state %(source_state)s), and %(target_holds)s"
RUNS_THERE = "%(name)s runs on %(target)s (state %(target_state)s), and %(source_holds)s"
FACTS = "%(source_holds)s, and %(target_holds)s"
FACTS_TARGET_FIRST = "%(target_holds)s, and %(source_holds)s"

WAIT = "Do not start, unpause, destroy or migrate it on either host; look again when the transfer is over"
HANDS_OFF = "Start it nowhere and destroy nothing before both hosts were seen"
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
# What keeps a copy that exists from running, by the letter of its state that counts -> what to do.
AT_REST = (
    (
        "c",
        "it has crashed and is kept (on_crash preserve), so it cannot go on; xend.log on %(host)s says when. "
        "`xm destroy %(listed)s` there and then `xm create` with its configuration file start it afresh",
    ),
    (
        "s",
        "it has shut itself down and is kept (on_poweroff preserve), or xend before 3.1 has left it "
        "suspended when a transfer failed, so it cannot go on. `xm destroy %(listed)s` on %(host)s and then "
        "`xm create` with its configuration file start it afresh",
    ),
    ("p", "it is paused: `xm unpause %(listed)s` on %(host)s lets it go on%(renamed)s"),
)
NOT_STARTED = "xend on %(host)s only knows it: `xm start %(listed)s` there starts it"
UNCLEAR = "look at it on %(host)s with `xm list` and `xm console`"
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

COLUMNS = ("source", "target", "outcome", "sentence", "advice", "repairs")

# The first row that has both copies decides. A repair may rename a copy that runs, and do nothing else to
# it; while a transfer may go on, or one end cannot be seen, there is none.
TABLE = (
    # One end at least cannot be seen.
    (
        ("sending",),
        BLIND,
        "going_on",
        "the migration of %(name)s goes on: " + FACTS,
        "Do not start, destroy or migrate it; wait until it has left %(source)s, then look on %(target)s "
        "before starting it anywhere",
        (),
    ),
    (
        ("migrating",),
        BLIND,
        "unknown",
        "the migration of %(name)s may go on: " + FACTS,
        "While xc_save runs on %(source)s, do nothing to it and wait; after that look on %(target)s before "
        "doing anything to it",
        (),
    ),
    (
        ("running",),
        ("unasked",),
        "unharmed",
        RUNS_HERE,
        "Remove the cause and migrate again",
        (),
    ),
    (
        ("running",),
        ("unknown",),
        "unknown",
        "%(name)s is unharmed as far as %(source)s can tell: " + FACTS,
        "Let it run there, and do not start it on %(target)s; look there as soon as it answers",
        (),
    ),
    (
        ("left",),
        BLIND,
        "unknown",
        "the migration of %(name)s broke: " + FACTS,
        "Let it run there, and start it nowhere else. When %(target)s was seen without a running copy, "
        "" + RENAME,
        (),
    ),
    (
        ("suspended",),
        BLIND,
        "unknown",
        "%(name)s does not run on %(source)s any more, and may run on %(target)s: " + FACTS,
        "Neither resume nor destroy it on %(source)s, and start it nowhere, before %(target)s was seen",
        (),
    ),
    (
        GONE,
        ("unasked",),
        "unknown",
        "%(source)s has no copy of %(name)s any more",
        "Only %(target)s can tell whether it has arrived; do not start it anywhere before %(target)s was "
        "seen",
        (),
    ),
    (
        GONE,
        BLIND,
        "unknown",
        "%(name)s does not run on %(source)s: " + FACTS,
        "Only %(target)s can tell whether it has arrived; do not start it anywhere before %(target)s was "
        "seen",
        (),
    ),
    (
        BLIND,
        ("running",),
        "unknown",
        RUNS_THERE,
        "Let it run there, and do not start it on %(source)s; look on %(source)s whether it runs there as "
        "well",
        (),
    ),
    (
        BLIND,
        ("unfinished",),
        "unknown",
        "where %(name)s is cannot be told: " + FACTS_TARGET_FIRST,
        "Neither unpause nor destroy the copy on %(target)s, and start it nowhere, before %(source)s was "
        "seen",
        (),
    ),
    (
        BLIND,
        ("receiving",),
        "going_on",
        "%(name)s is on its way to %(target)s: " + FACTS_TARGET_FIRST,
        WAIT,
        (),
    ),
    (BLIND, ANY, "unknown", "where %(name)s is cannot be told: " + FACTS, HANDS_OFF, ()),
    (ANY, BLIND, "unknown", "where %(name)s is cannot be told: " + FACTS, HANDS_OFF, ()),
    # A transfer may go on. While a migration ends well, both hosts have a copy for some seconds.
    (
        ("sending",),
        ("running",),
        "going_on",
        "the migration of %(name)s is ending: " + FACTS_TARGET_FIRST,
        "Look again in some seconds: %(source_stands)s. Destroy nothing while xc_save runs on %(source)s",
        (),
    ),
    (
        DEPARTING,
        ALIVE,
        "unknown",
        "%(name)s has two copies: " + FACTS_TARGET_FIRST,
        "Watch both with `xm list`: %(source_stands)s. Destroy nothing while xc_save runs on %(source)s",
        (),
    ),
    (
        DEPARTING,
        ("unfinished",),
        "going_on",
        "%(name)s is in danger: " + FACTS,
        "If the transfer ends by itself, %(source)s destroys its copy and the guest is gone. Ending the "
        "xc_save that runs for it on %(source)s makes xend there take it back; without one, only look "
        "again",
        (),
    ),
    (("sending",), ANY, "going_on", "the migration of %(name)s goes on: " + FACTS, WAIT, ()),
    (
        ("migrating",),
        ANY,
        "going_on",
        "the migration of %(name)s may go on: " + FACTS,
        "While xc_save runs on %(source)s, do nothing to it and wait; after that, when %(target)s has no "
        "running copy%(source_no_letter)s, " + RENAME,
        (),
    ),
    (ALIVE, COMING, "going_on", "%(name)s has not moved: " + FACTS, END_RESTORE, ()),
    (
        ANY,
        COMING,
        "going_on",
        "%(name)s is on its way to %(target)s: " + FACTS_TARGET_FIRST,
        "Do not unpause it, and start it nowhere. " + GIVES_UP + " look again",
        (),
    ),
    (COMING, ANY, "going_on", "%(name)s is on its way to %(source)s: " + FACTS, WAIT, ()),
    (
        ALIVE,
        DEPARTING,
        "unknown",
        "%(name)s has two copies: " + FACTS,
        "Watch both with `xm list`: %(target_stands)s. Destroy nothing while xc_save runs on %(target)s",
        (),
    ),
    (ANY, DEPARTING, "going_on", "%(name)s may be on its way from %(target)s: " + FACTS, WAIT, ()),
    # Two at once.
    (
        ALIVE,
        ALIVE,
        "both",
        "TWO COPIES of %(name)s RUN, and both write %(disks)s: " + FACTS,
        PAUSE + ", because the damage grows with every second. Then find out by the CPU time of `xm list`, "
        "the consoles and the network which one has run longer and served its users; keep that one, `xm "
        "destroy` the other, and check the file systems",
        (),
    ),
    # The guest runs on the target.
    (
        ("managed",),
        ("running",),
        "moved",
        RUNS_THERE,
        "Do not `xm start` it on %(source)s: two copies would write its disks",
        (),
    ),
    (NOT_IT, ("running",), "moved", RUNS_THERE, "", ()),
    (
        ("suspended",),
        ("running",),
        "leftover",
        RUNS_THERE,
        "Never resume it on %(source)s; `xm destroy %(source_listed)s` there removes what is left over",
        (_step("source", "remove"),),
    ),
    (
        ("unfinished",),
        ("running",),
        "leftover",
        RUNS_THERE,
        "Do not unpause the copy on %(source)s; `xm destroy %(source_listed)s` there removes it",
        (_step("source", "remove"),),
    ),
    (
        ("halted",),
        ALIVE,
        "leftover",
        RUNS_THERE,
        "Never unpause or start the copy on %(source)s; when it does not go away by itself, and the one on "
        "%(target)s was seen to work, `xm destroy` it on %(source)s",
        (),
    ),
    # A rename harms nobody, wherever the target has tried to send it. A copy that is suspended there is left
    # alone: where that was, and whether it runs there, these two hosts do not know.
    (
        GONE,
        ("left",),
        "leftover",
        "%(name)s runs on %(target)s, but not under its name: " + FACTS_TARGET_FIRST,
        "`xm rename %(target_listed)s %(name)s` on %(target)s mends it",
        (_step("target", "rename"),),
    ),
    (
        ("foreign", "unfinished", "suspended"),
        ("left",),
        "leftover",
        "%(name)s runs on %(target)s, but not under its name: " + FACTS_TARGET_FIRST,
        DECIDE,
        (),
    ),
    # The guest runs on the source.
    (("running",), GONE, "unharmed", RUNS_HERE, "Remove the cause and migrate again", ()),
    (
        ("running",),
        ("foreign",),
        "unharmed",
        RUNS_HERE,
        "xend on %(target)s refuses a second domain of that name: choose another target, or rename one of "
        "them",
        (),
    ),
    (
        ("running",),
        ("unfinished",),
        "leftover",
        RUNS_HERE,
        "Do not unpause that copy; `xm destroy %(target_listed)s` on %(target)s removes it. Then migrate "
        "again",
        (_step("target", "remove"),),
    ),
    (
        ALIVE,
        STILL,
        "leftover",
        "%(name)s runs on %(source)s: " + FACTS,
        "Never resume, unpause or start the copy on %(target)s; look why it is there before you `xm "
        "destroy` it",
        (),
    ),
    (
        ("left",),
        GONE,
        "leftover",
        "%(name)s runs on, but its migration broke: " + FACTS,
        RENAME + "; then migrate again",
        (_step("source", "rename"),),
    ),
    (
        ("left",),
        ("foreign",),
        "leftover",
        "%(name)s runs on, but its migration broke: " + FACTS,
        OTHER_GUEST + ". If they have nothing in common, " + RENAME,
        (),
    ),
    (
        ("left",),
        ("unfinished",),
        "leftover",
        "%(name)s runs on, but its migration broke: " + FACTS,
        "Do not unpause the copy on %(target)s; `xm destroy %(target_listed)s` there removes it, and "
        "" + RENAME,
        (_step("target", "remove"), _step("source", "rename")),
    ),
    # The guest is suspended on the source, and runs nowhere.
    (
        ("suspended",),
        ("absent",),
        "leftover",
        "%(name)s does not run, but is whole: " + FACTS,
        "If it has not run on %(target)s since (no `completeRestore done` for it in xend.log there), it "
        "can go on where it is: resume it on %(source)s with xm.repair, then give it its name back; else "
        "`xm destroy` it",
        (_step("source", "resume"), _step("source", "rename")),
    ),
    # Where xend knows a guest, people may have started and stopped it since.
    (
        ("suspended",),
        ("managed",),
        "leftover",
        "%(name)s does not run, but is whole: " + FACTS,
        "If it was not started on %(target)s since, it can go on where it is: resume it on %(source)s with "
        "xm.repair, then give it its name back; else `xm destroy` it",
        (_step("source", "resume", True), _step("source", "rename", True)),
    ),
    (
        ("suspended",),
        ("unfinished",),
        "leftover",
        "%(name)s does not run, but is whole: " + FACTS,
        "Do not unpause the copy on %(target)s: `xm destroy %(target_listed)s` there. Then resume it on "
        "%(source)s with xm.repair, and give it its name back",
        (_step("target", "remove"), _step("source", "resume"), _step("source", "rename")),
    ),
    (
        ("suspended",),
        ("foreign",),
        "halted",
        "%(name)s runs nowhere: " + FACTS,
        OTHER_GUEST,
        (),
    ),
    # The guest runs nowhere, but there is a copy that has run.
    (
        ("halted",),
        NOT_IT,
        "halted",
        "%(name)s runs nowhere: " + FACTS,
        "It can only be migrated while it runs, and %(source_rest)s",
        (),
    ),
    (
        NOT_IT,
        ("halted",),
        "halted",
        "%(name)s runs nowhere: " + FACTS_TARGET_FIRST,
        "Do not start it on %(source)s. On %(target)s, %(target_rest)s",
        (),
    ),
    (
        NOT_IT,
        ("suspended",),
        "halted",
        "%(name)s runs nowhere: " + FACTS_TARGET_FIRST,
        "Look at it on %(target)s with `xm list` and `xm console`; do not start it on %(source)s",
        (),
    ),
    (
        STILL + ("unfinished",),
        STILL + ("unfinished",),
        "halted",
        "%(name)s runs nowhere: " + FACTS,
        DECIDE + "; one that has never run and was received cannot work",
        (),
    ),
    (
        ("unfinished",),
        NOT_IT,
        "halted",
        "%(name)s runs nowhere: " + FACTS,
        "If it was created paused, or paused just after that, `xm unpause %(source_listed)s` on %(source)s "
        "starts it; if it was received there, it cannot work: `xm destroy` it",
        (),
    ),
    # No host has a copy that can run.
    (
        GONE,
        ("unfinished",),
        "incomplete",
        "%(name)s is LOST: " + FACTS,
        NEVER_RUNS,
        (_step("target", "remove", True),),
    ),
    (("foreign",), ("unfinished",), "incomplete", "%(name)s is LOST: " + FACTS, NEVER_RUNS, ()),
    (
        ("absent",),
        ("absent",),
        "lost",
        "%(name)s is LOST: " + FACTS,
        "xend.log on %(target)s says why it could not be completed there",
        (),
    ),
    (
        ("managed",),
        NOT_IT,
        "lost",
        "%(name)s is LOST: " + FACTS,
        "`xm start %(name)s` on %(source)s starts it afresh, once it was seen to run nowhere",
        (),
    ),
    (
        NOT_IT,
        ("managed",),
        "lost",
        "%(name)s is LOST: " + FACTS,
        "`xm start %(name)s` on %(target)s starts it afresh, once it was seen to run nowhere",
        (),
    ),
    (
        NOT_IT,
        NOT_IT,
        "lost",
        "%(name)s is LOST: " + FACTS,
        "A domain of that name is no copy of it, but may use the same disks: look before starting it again",
        (),
    ),
)

# What a host holds of a guest that is not to be sent -> why.
UNDER_WAY = {
    "sending": "%(name)s is being sent already: a migration of it from %(host)s to %(other)s goes on "
    "(%(view)s)",
    "migrating": "%(name)s is being sent already, or is left over from a migration that broke: one of it "
    "from %(host)s to %(other)s may go on (%(view)s)",
    "receiving": "a migration of %(name)s from %(other)s to %(host)s goes on (%(view)s)",
    "arriving": "a migration of %(name)s from %(other)s to %(host)s may go on (%(view)s)",
}
WAIT_FOR_IT = (
    ". Wait until that is over, and do not start, unpause or destroy it meanwhile; `salt-run "
    "state.orchestrate xend.orch.recover` says when it is, and where %(name)s is then"
)
XM_SAID = ". xm migrate said: %s"
TIMED_OUT = (
    ". xm migrate had not ended%s and is not waited for any longer; xend goes on by itself, so the "
    "migration may still go on, or begin: look again before doing anything to it"
)
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
    "sending",
    "migrating",
    "left",
    "suspended",
    "running",
    "halted",
    "unknown",
    "receiving",
    "arriving",
    "unfinished",
    "managed",
)

# Of several copies on one host, the one that comes first here is what that host says of the guest.
CLAIMED = ("running", "left") + tuple([word for word in ROLES if word not in ALIVE])


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

STRANGER = "%s is none of the hosts in the pillar xend:relocation:hosts (%s): is it mistyped?"
THEN_ASK = ". Then `salt-run state.orchestrate xend.orch.recover` says the rest"

RESTART = (
    " To start it again: `xm create` with its configuration file, on one host only, once all were seen "
    "without a running copy."
)
DESCRIBED = " Its description as xend had it (%(what)s) %(kept)s"


def words():
    """
    The words for what a host holds of a guest, COPIES.
    """
    return COPIES


def copy(row, transferring, is_other=False):
    """
    What a host holds of a guest, in one word.

    row
        its row of `xm list`, under its own name or as migrating-NAME; None when there is none
    transferring
        whether a transfer of it can still be going on there: xc_save or xc_restore runs for its domid, or
        xend has a connection open on which guests travel; None when that is not known
    is_other
        the domain under that name has another uuid

    The letters of a state: r on a CPU, b waiting, p paused, s shut down (suspended is one way of it), c
    crashed, d dying; all dashes is a domain that runs, but is on no CPU right now. Alive is what has none of
    p s c d.

    Returns one of COPIES:

    absent, foreign
        no row, or that of a dying domain: it cannot run any more; a row of another domain
    managed
        a row without domid: xend knows it, and it does not run (in 4.x also what a managed guest leaves)
    receiving, unfinished, arriving
        --p--- with a CPU time of 0.0, under either name, while transferring is True, False or None. One that
        was created or restored paused looks the same, and so does a guest that was paused in its very first
        moments on a host, because CPU time counts from its arrival. (VCPUs are 0 while memory arrives, and
        then no more, so they decide nothing.)
    sending, migrating
        called migrating-NAME, or under its own name with s in its state but neither c nor d, while
        transferring is True or None. `xm save` looks the same.
    left, suspended
        the same while transferring is False: alive; or with s in its state but neither c nor d. A guest that
        has shut itself down and is preserved looks like a suspended one; only Xen knows the reason.
    running
        alive under its own name, whatever is transferred: a flag for all of xend may be another guest's
    halted
        everything else that exists: paused after having run, shut down, crashed
    unknown
        the row has a domid and no state, or a state with other letters (xend 3.0.3 has question marks)

    An unknown host (it does not answer) and one that is `unasked` have no row to judge; their callers know.
    """
    if row is None:
        return "absent"
    if is_other:
        return "foreign"
    state, renamed = row["state"], row["name"].startswith(MIGRATING)
    if row["domid"] is None and not state:
        return "managed"
    if not re.match(r"[rbpscd-]{6}\Z", state):
        return "unknown"
    if row["domid"] is None:
        return "managed"
    if "d" in state:
        # Destroyed already; Xen only takes its memory back, which may last.
        return "absent"
    alive = not re.search("[pscd]", state)
    if state == "--p---" and row["time_s"] == 0:
        kind = "received"
    elif "s" in state and "c" not in state:
        # Under its own name it may have been shut down and kept (on_poweroff preserve): that is s, too.
        kind = "suspended" if renamed else "shut down"
    elif renamed:
        kind = "renamed" if alive else "renamed and halted"
    else:
        return "running" if alive else "halted"
    return BY_TRANSFER[kind][transferring]


def decide(source, target):
    """
    What it means that the source holds this, and the target that (see COPIES).

    Returns a dict: ``outcome``, ``sentence`` and ``advice`` (templates, see `report` for their words) and
    ``repairs`` (a list of dicts: ``on``, "source" or "target"; ``do``, "rename", "remove" or "resume"; and
    ``only_if_asked``). Outcomes:

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
    incomplete, lost
        no host has a copy that can run: one on the target was never completed; there is none
    unknown
        it cannot be told

    Raises ValueError for words that are none of COPIES.
    """
    for row in TABLE:
        if source in row[0] and target in row[1]:
            found = dict(zip(COLUMNS, row))
            return {
                "outcome": found["outcome"],
                "sentence": found["sentence"],
                "advice": found["advice"],
                "repairs": [dict(step) for step in found["repairs"]],
            }
    raise ValueError("a copy is none of %s: %r, %r" % (", ".join(COPIES), source, target))


def report(name, source, target, source_view, target_view, xm_said=None, timed_out=False):
    """
    What has become of a guest.

    name, source, target
        the guest, and its two hosts in words
    source_view, target_view
        what each holds: a dict with ``copy`` and, as far as they are known, ``state``, ``listed`` (the name
        under which `xm list` shows it), ``uuid``, ``domid``, ``disks`` (as in its description),
        ``devices_s`` (how long xend there waits for devices), ``problem`` (why the host cannot be seen) and
        ``remedy`` (what to start there)
    xm_said
        the message of `xm migrate` when that has failed
    timed_out
        `xm migrate` is not waited for any longer: True, or after how many seconds

    Returns a dict: ``outcome`` (see `decide`), ``facts`` (what is where) and ``comment`` (the same, and what
    to do), ``repairs``, ``lost`` and ``moved`` (bools). Each
    repair says ``on``, ``host``, ``do``, ``listed``, ``name``, ``uuid``, ``domid`` and ``only_if_asked``;
    they are to be taken in this order. What xm said changes the words and never the outcome.
    """
    found = _judge(name, dict(source_view, host=source), dict(target_view, host=target))
    found["comment"] += how_xm_ended(source_view, xm_said, timed_out)
    return found


def how_xm_ended(source_view, xm_said=None, timed_out=False):
    """
    What `report` adds about xm itself, from the same arguments.
    """
    text = ""
    if timed_out and source_view["copy"] not in NOT_IT:
        text += TIMED_OUT % ("" if timed_out is True else " after %s s" % timed_out)
    if xm_said:
        text += XM_SAID % xm_said
    return text


def under_way(name, host, view):
    """
    What is to be said to those who want to move a guest of which a transfer goes on, or may.

    name, host
        the guest, and the host that was looked at
    view
        what that holds, as for `report`, and perhaps ``other``, the host at the other end in words

    Returns a sentence, or "" for a copy that nobody sends or receives.
    """
    other = view.get("other") or "another host"
    words = {"name": name, "host": host, "other": other, "view": _holds(name, dict(view, host=host))}
    found = UNDER_WAY.get(view["copy"])
    return found and found % words + WAIT_FOR_IT % words or ""


def nowhere(name, source, target, source_view, target_view):
    """
    What is to be said to those who want to move a guest that its source does not have, and that does not run
    on the target.

    name, source, target, source_view, target_view
        as for `report`
    """
    coming = under_way(name, target, target_view)
    if coming:
        return coming
    if source_view["copy"] == "managed":
        start = NOT_STARTED % {"host": source, "listed": name}
        return "only a guest that runs can be moved. %s" % (start[0].upper() + start[1:])
    there = _holds(name, dict(target_view, host=target))
    return "there is no domain %s on %s, and %s. `salt '*' xm.where %s` shows which host has it" % (
        name,
        source,
        there,
        name,
    )


def not_described(name, target, target_view, left=None, problem=None):
    """
    The same for the target, where it does not run either.

    name, target, target_view
        as for `report`
    left
        what its source held when this began, as for `report`, with ``host``; None when that is not known
    problem
        why its source could not say that, if so
    """
    coming = left and under_way(name, left["host"], left) or under_way(name, target, target_view)
    if coming:
        return coming
    if problem:
        why = "its source could not describe it when this began (%s); run it again" % problem
    elif left and left["copy"] in ("left", "suspended"):
        held = _holds(name, left)
        why = "its source has no domain of that name: %s. xend.orch.recover mends what is safe" % held
    else:
        why = "its source has no domain of that name; `salt '*' xm.where %s` shows which host has it" % name
    if target_view["copy"] == "unknown":
        why += "; %s cannot say whether it has it (%s)" % (target, target_view["problem"])
    elif target_view["domid"]:
        words = (target, target_view["state"] or "not started")
        why += "; %s holds it, but it does not run here (state %s)" % words
    return why


def unheard(reports):
    """
    The hosts that do not say what they hold.

    reports
        as for `gather`; one without ``copies`` may have, beside ``problem``, ``remedy``: what to start there

    Returns a dict of text, both "" when all have answered: ``who``, the hosts with their problems, and
    ``do``, what to do about that, whole sentences without the last full stop.
    """
    # A report on one guest has no copies, but the host has answered when it has.
    silent = [
        host
        for host in sorted(reports)
        if not _has_said(reports[host])
        and not (isinstance(reports[host], dict) and "domain" in reports[host])
    ]
    declared = set()
    for said in reports.values():
        declared.update(isinstance(said, dict) and said.get("declared") or [])
    steps = []
    for host in silent:
        remedy = isinstance(reports[host], dict) and reports[host].get("remedy")
        if declared and host not in declared:
            steps.append(STRANGER % (host, ", ".join(sorted(declared))))
        elif remedy:
            steps.append(remedy)
    return {
        "who": "; ".join(["%s (%s)" % (host, _problem(reports[host])) for host in silent]),
        "do": ". ".join(steps).replace("?. ", "? "),
    }


def is_down(host, service):
    """
    What is to be done about a xend that does not run.
    """
    return (
        "xend is down on %(host)s: start it with `salt %(host)s state.apply xend.relocation`, or there with "
        "`service %(service)s start`" % {"host": host, "service": service}
    )


def is_slow(host):
    """
    What is to be done about a xend that runs and does not answer.
    """
    return (
        "xend runs on %s, so look again in some seconds; if that fails as well, `xm list` and xend.log there "
        "say more" % host
    )


def _judge(name, source, target):
    row = decide(source["copy"], target["copy"])
    words = {"name": name, "disks": _disks(source) or _disks(target) or "its disks"}
    ends = {"source": source, "target": target}
    for side, view in ends.items():
        words[side] = view["host"]
        words[side + "_listed"] = _listed(name, view)
        words[side + "_state"] = view.get("state") or "unknown"
        words[side + "_holds"] = _holds(name, view)
        words[side + "_rest"] = why_at_rest(name, view["host"], view)
        words[side + "_devices_s"] = view.get("devices_s") or DEVICES_S
    if words["source"] == words["target"] and words["source_listed"] == words["target_listed"]:
        # Two copies on one host: by their name, xend may take either.
        words.update([(side + "_listed", view["domid"]) for side, view in ends.items() if view.get("domid")])
    for side, other in (("source", "target"), ("target", "source")):
        is_suspended = "s" in (ends[side].get("state") or "")
        seen = {"host": words[side], "other": words[other], "other_listed": words[other + "_listed"]}
        words[side + "_stands"] = STANDS[is_suspended] % seen
        words[side + "_no_letter"] = NO_LETTER[is_suspended] % seen
    repairs = []
    for step in row["repairs"]:
        view = ends[step["on"]]
        listed = _listed(name, view)
        own = plain(listed)
        # A suspended guest may have its own name already: xend gives it back even when it cannot resume it.
        if step["do"] == "rename" and listed == own:
            continue
        which = {"listed": listed, "name": own, "uuid": view.get("uuid"), "domid": view.get("domid")}
        repairs.append(dict(step, host=view["host"], **which))
    advice = row["advice"] and ". " + row["advice"] % words
    facts = row["sentence"] % words
    return {
        "outcome": row["outcome"],
        "facts": facts,
        "comment": facts + advice + _remedies([source, target]),
        "repairs": repairs,
        "lost": row["outcome"] in LOST,
        "moved": row["outcome"] == "moved",
    }


def why_at_rest(name, host, view):
    """
    What keeps a copy that does not run from running, and what to do about it, from the letters of its state.

    name, host
        the guest, and its host in words
    view
        a dict with its `state`, its `domid` and, if it is not its name, `listed`

    Returns text that goes on a sentence.
    """
    state, listed = view.get("state") or "", _listed(name, view)
    own = plain(listed)
    renamed = ", and `xm rename %s %s` gives it its name back" % (listed, own) if listed != own else ""
    words = {"host": host, "listed": listed, "renamed": renamed}
    for letter, text in AT_REST:
        if letter in state:
            return text % words
    return (UNCLEAR if view.get("domid") is not None else NOT_STARTED) % words


def _remedies(views):
    """
    What is to be started so that hosts answer that do not, as the end of a comment; "" when nothing is known.
    """
    remedies = [view["remedy"] for view in views if view["copy"] in BLIND and view.get("remedy")]
    return "".join([". " + remedy for remedy in remedies]) + (THEN_ASK if remedies else "")


def _holds(name, view):
    words = {
        "host": view["host"],
        "listed": _listed(name, view),
        "state": view.get("state") or "unknown",
        "uuid": view.get("uuid") or "unknown",
        "problem": view.get("problem") or "xend does not describe it",
    }
    return HOLDS[view["copy"]] % words


def _listed(name, view):
    usual = MIGRATING + name if view.get("copy") in DEPARTING + ("left", "suspended") else name
    return view.get("listed") or usual


def plain(listed):
    """
    The name of a domain that xm lists so: without migrating-.
    """
    return listed[len(MIGRATING) :] if listed.startswith(MIGRATING) else listed


def _disks(view):
    return ", ".join([disk["uname"] for disk in view.get("disks") or [] if disk.get("uname")])


def how_to_start_again(what, kept):
    """
    What is needed to start a lost guest again, after the words on what is left of it.

    what
        its uuid, memory and devices in words
    kept
        what there is to say about where its description is kept
    """
    return RESTART + DESCRIBED % {"what": what, "kept": kept}


# Many hosts


def gather(reports):
    """
    What migrations have left over the hosts of a fleet.

    reports
        for each host either ``copies``, a list of dicts (``name`` without migrating-, ``listed``, ``uuid``,
        ``domid``, ``state``, ``copy``, perhaps ``disks``, and ``completed``, what xend.log there says of one
        that is unfinished), and perhaps ``sent``, a list of notes on guests that were sent from there (dicts,
        see xm_kept.note), and ``declared``, the hosts in its pillar; or ``problem``, why it does not say

    Copies of one uuid are copies of one guest. One whose uuid is not known counts as a copy of every guest of
    its name. What a single host holds and runs, or has paused, or only knows, was not left by a migration. A
    guest of which there is a note, and no copy, is missing. A note says where its guest was sent; only the
    host that has made it, that one, and those to which they have sent it on by their own notes can tell that
    the guest is well. What any other host says makes its outcome "unknown" at best.

    Returns a list of dicts, by name and uuid: what `report` returns, and ``name``, ``uuid`` and ``hosts``
    ({"source": host, "target": host}, None where that is no one host). ``do`` in a repair may also be
    "forget": remove the note whose ``id`` is ``note``. Each repair says besides ``claims``, a dict from hosts
    to what they say themselves of the guest, and ``doubt``, "" or why it is `only_if_asked` (see `doubt`).
    """
    copies, silent = _answers(reports)
    notes = _notes(reports)
    findings, named = {}, _by("name", copies)
    for uuid, group in _groups(copies):
        # Whatever counts for a guest goes by one of its names.
        near = [one for name in sorted(_by("name", group)) for one in named[name]]
        found = _finding(uuid, group, near, silent, notes, reports)
        if found:
            ends = found["hosts"]
            ends.update([(side, None) for side in ends if ends[side] not in reports])
            findings[found["name"], found["uuid"]] = found
    for guest, mine in _by_guest(notes).items():
        found = _noted_guest(mine, findings.get(guest), copies, reports, silent)
        if found:
            findings[guest] = found
    return [findings[guest] for guest in sorted(findings, key=lambda guest: (guest[0], guest[1] or ""))]


def gather_one(reports, guest):
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
    name, uuid, ran = guest["name"], guest.get("uuid"), guest.get("ran")
    copies, silent = _answers(reports)
    mine = [
        one
        for one in copies
        if (uuid and one["uuid"] == uuid) or (one["name"] == name and not (uuid and one["uuid"]))
    ]
    notes = [made for made in _of(_notes(reports), name, uuid) if made["host"] == guest["source"]]
    ends = dict([(side, _end(guest[side], name, mine, copies, reports)) for side in ("source", "target")])
    held = [one for one in mine if one["copy"] != "managed"]
    rest = [one for one in held if one is not ends["source"] and one is not ends["target"]]
    known = [view["uuid"] for view in ends.values() if view.get("uuid")]
    if len(set(known)) > 1:
        # Without the uuid that was meant, the one on the source counts.
        ends["target"] = dict(ends["target"], copy="foreign")
    if rest and not [view for view in ends.values() if view["copy"] not in NOT_IT + BLIND + ("unfinished",)]:
        found = _heard(name, [ends["source"], ends["target"]], rest)
    elif rest:
        found = _crowd(name, held)
    else:
        found = _withheld(name, ends, _others(name, uuid, copies), silent)
    never = [guest["target"]] if ran and _never_ran(ends["target"], reports.get(guest["target"])) else []
    _answered_for(found, copies, reports, never)
    if found["lost"] and ran:
        found["comment"] += _namesakes(name, uuid, copies, ends.values())
        found["comment"] += _kept(notes[-1], notes) if notes else ""
    elif found["outcome"] == "lost" and notes and not silent:
        found = _missing(notes, copies, reports, silent)
    elif found["lost"] and not ran:
        found.update(outcome="unknown", lost=False, repairs=[])
        begin = SENT % notes[-1] + ". " if notes else ""
        seen = tuple([_holds(name, ends[side]) for side in ("source", "target")])
        found["facts"] = found["comment"] = begin + NOT_SEEN % ((name,) + seen)
    uuid = uuid or found.get("uuid") or ends["target" if found["moved"] else "source"].get("uuid")
    arrived = found["moved"] and ends["target"]["name"] == name
    # Where it runs now a note may be left of an earlier migration, from which it has come back since.
    runs_on = {"moved": guest["target"], "unharmed": guest["source"]}.get(found["outcome"])
    settled = []
    for made in _of(_notes(reports), name, uuid) if uuid is not None else []:
        is_over = made["host"] == runs_on and made.get("over") is True
        if is_over or arrived:
            (step,) = _forget([made], copies, reports, is_over)
            if not step["doubt"]:
                settled.append(
                    dict([(key, step[key]) for key in ("host", "uuid", "note", "claims")])
                )
    hosts = dict([(side, guest[side]) for side in ends])
    return dict(found, name=name, uuid=uuid, hosts=hosts, settled=settled)


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


def _end(host, name, mine, copies, reports):
    """
    What a host holds of a guest whose copies anywhere are MINE.
    """
    said = reports.get(host, {"problem": "it was not asked"})
    if not _has_said(said):
        remedy = said.get("remedy") if isinstance(said, dict) else None
        return {"copy": "unknown", "problem": _problem(said), "remedy": remedy, "host": host}
    here = [one for one in mine if one["host"] == host]
    if here:
        return here[0]
    namesakes = [one for one in copies if one["host"] == host and one["name"] == name]
    return dict(namesakes[0], copy="foreign") if namesakes else {"copy": "absent", "host": host}


def _has_said(said):
    return isinstance(said, dict) and said.get("copies") is not None


def _problem(said):
    said = said.get("problem") if isinstance(said, dict) else said
    return "%s" % (said or "it does not answer",)


def _answers(reports):
    """
    All copies, in an order that does not depend on that of the hosts, and {host: problem} of the others.
    """
    copies, silent = [], {}
    for host, said in reports.items():
        if not _has_said(said):
            silent[host] = _problem(said)
        else:
            copies += [
                _seen_on(host, one, said)
                for one in said["copies"]
                if one["domid"] != 0 and one["copy"] != "absent"
            ]
    return sorted(copies, key=_order), silent


def _seen_on(host, one, said):
    # Who calls a domain so has not looked, or not at this one.
    word = one["copy"] if one["copy"] in ROLES else "unknown"
    return dict(one, host=host, copy=word, name=plain(one["listed"]), devices_s=said.get("devices_s"))


def _order(one):
    return ROLES.index(one["copy"]), one["host"], one["listed"], one["domid"] or 0, one["uuid"] or ""


def _groups(copies):
    """
    The copies of each guest, as (uuid, copies). One whose uuid is not known is with every guest of its name.
    """
    known, nameless = _by("uuid", copies), _by("name", [one for one in copies if not one["uuid"]])
    groups, joined = [], set()
    for uuid in sorted([uuid for uuid in known if uuid]):
        names = set([one["name"] for one in known[uuid]])
        joined.update(names)
        also = [one for name in names for one in nameless.get(name, [])]
        groups.append((uuid, sorted(known[uuid] + also, key=_order)))
    return groups + [(None, nameless[name]) for name in sorted(set(nameless) - joined)]


def _by(key, copies):
    """
    Copies by what they have under a key, in their order: looking through all for each takes minutes when one
    host tells of thousands.
    """
    found = {}
    for one in copies:
        found.setdefault(one[key], []).append(one)
    return found


def _others(name, uuid, copies):
    return [one for one in copies if uuid and one["name"] == name and one["uuid"] not in (uuid, None)]


def _finding(uuid, group, copies, silent, notes, reports):
    held = [one for one in group if one["copy"] != "managed"]
    if not held:
        return None
    name = held[0]["name"]
    notes = _of(notes, name, uuid) if uuid else []
    if len(held) == 1 and _is_at_rest(held[0]):
        is_back = notes and held[0]["uuid"] and held[0]["copy"] == "running"
        return _seen(held[0], notes, copies, reports) if is_back else None
    others = _others(name, uuid, copies)
    if len(held) > 1:
        ends = {"source": held[0], "target": held[1]}
    else:
        side = ("source", "target")[held[0]["copy"] in COMING + ("unfinished",)]
        other = {"source": "target", "target": "source"}[side]
        knows = [one for one in group if one["copy"] == "managed"]
        ends = {side: held[0], other: _elsewhere(others, knows, silent)}
    found = _crowd(name, held) if len(held) > 2 else _told(name, ends, others, silent, notes)
    if found.pop("is_missed", False):
        found["repairs"] += _forget(notes, copies, reports)
    _answered_for(found, copies, reports)
    hosts = dict([(side, view["host"]) for side, view in ends.items()])
    return dict(found, name=name, uuid=uuid, hosts=hosts)


# Whose word a step needs


def doubt(do, name, host, claims, declared, **own):
    """
    Why a step may be taken only with the word of the operator; "" when it may be taken without.

    Each host is believed about itself only. That a copy is as it was found, the host that acts sees for
    itself, before this is asked. What it cannot see has to come from the very host that would run the guest.

    do, name
        the step ("rename", "remove", "resume", "forget"), and the guest
    host
        the host that acts
    claims
        what other hosts say themselves that they hold of the guest: a dict from host to one of COPIES; or to
        NEVER, when it has just been sent there, and never completed; or to SENT_ON and a host, when it is not
        there any more and there is a note where it was sent on
    declared
        all hosts that may exchange guests; the others are not believed
    own
        what the host that acts sees itself, as far as the step needs it: ``held``, what the copy is that is
        to be removed; ``beside``, what it holds of the guest besides (a list); ``completed``, what its
        xend.log says of that copy (see xm_progress.completed); ``target``, where it has sent the guest by its
        own note (None: no note); ``over``, whether the guest runs there and cannot be about to be sent

    Returns text.
    """
    target = own.get("target")
    believed = dict([(one, claims[one]) for one in claims if one in declared and one != host])
    words = {"name": name, "host": host, "target": target or "no note says where"}
    if do == "rename":
        # That harms nobody, wherever else the guest is.
        return ""
    if do == "resume":
        return "" if believed.get(target) == NEVER else MAY_HAVE_RUN % words
    if do == "forget":
        is_there = believed.get(_end_of_chain(target, believed)) == "running"
        return "" if own.get("over") or is_there else NOT_ITS_WORD % words
    if [word for word in own.get("beside") or () if word in ALIVE]:
        return ""
    is_fresh = own.get("held") == "unfinished"
    enough = ALIVE + ("suspended",) if is_fresh else ALIVE
    who = sorted([one for one in believed if believed[one] in enough])
    if not who:
        return NOBODY_HAS_IT % words
    words.update(who=" and ".join(who), say="say" if len(who) > 1 else "says")
    # Between two hosts there is no third one that could lie.
    is_only_one = len(who) == 1 and who == [one for one in declared if one != host]
    if is_fresh:
        if own.get("completed") is False or own.get("completed") is None and is_only_one:
            return ""
        why = MAY_BE_NEW if own.get("completed") is None else MAY_BE_WHOLE
        return (why + BY_REMOVE_LOST) % words
    if target in who or target is None and is_only_one:
        return ""
    return ((SENT_SOMEWHERE if target is None else SENT_ELSEWHERE) + BY_REMOVE_LOST) % words


def _end_of_chain(target, claims):
    """
    Where a guest is, by the words of the hosts that have had it, one after the other.
    """
    seen = []
    while claims.get(target, "").startswith(SENT_ON) and target not in seen:
        seen.append(target)
        target = claims[target][len(SENT_ON) :]
    return target


def is_claim(word):
    """
    Whether this is something that a host can say of a guest, see `doubt`.
    """
    return hasattr(word, "startswith") and (
        word in COPIES or word == NEVER or word.startswith(SENT_ON) and len(word) > len(SENT_ON)
    )


# What is done -> what has to be done before, if that is to be done at all.
AFTER = {"resume": "remove", "rename": "resume"}


def _answered_for(found, copies, reports, never=()):
    """
    Complete the repairs of a finding with whose word they need, and say what waits for people.

    never
        the hosts that have just been sent the guest, and have not completed it
    """
    said, before = "", {}
    for step in found["repairs"]:
        if step["do"] == "forget":
            continue
        own = _own(step, copies, reports)
        step["claims"] = _claims(step, copies, reports, own["target"], never)
        why = doubt(
            step["do"], step["name"], step["host"], step["claims"], _declared(step["host"], reports), **own
        )
        # No guest goes on beside a copy that may be it; one that was suspended is renamed when it goes on.
        why = why or before.get(AFTER.get(step["do"]), "")
        before[step["do"]] = why
        if why and step["do"] != "rename" and not found["lost"]:
            said += YOUR_WORD % dict(step, why=why)
        step.update(doubt=why, only_if_asked=bool(why))
    if said:
        facts = found["facts"]
        found["comment"] = facts + said + found["comment"][len(facts) :]


def _own(step, copies, reports):
    """
    What the host that is to take a step sees itself, as `doubt` wants it.
    """
    here = [
        one
        for one in copies
        if one["host"] == step["host"] and (one["name"], one["uuid"]) == (step["name"], step["uuid"])
    ]
    mine = [one for one in here if (one["listed"], one["domid"]) == (step["listed"], step["domid"])]
    notes = _of(reports[step["host"]].get("sent") or [], step["name"], step["uuid"])
    return {
        "held": mine[0]["copy"] if mine else "absent",
        "completed": mine[0].get("completed") if mine else None,
        "beside": [one["copy"] for one in here if one not in mine],
        "target": max([(made["at"], made["target"]) for made in notes])[1] if notes else None,
    }


def _declared(host, reports):
    """
    The hosts that this one believes. Which these are, each finds in its own pillar.
    """
    return sorted(set(reports[host].get("declared") or []).union(reports))


def _claims(step, copies, reports, target, never):
    """
    What the other hosts say of a guest, each of itself: those that have a copy, and where it was sent.
    """
    guest = step["name"], step["uuid"]
    hosts = set([one["host"] for one in copies if (one["name"], one["uuid"]) == guest])
    hosts.update([target] if target in reports else [])
    claims = dict(
        [(host, _claim(host, step, copies, reports)) for host in hosts if host != step["host"]]
    )
    if step["do"] == "resume":
        claims.update([(host, NEVER) for host in never])
    return claims


def _claim(host, guest, copies, reports):
    if not _has_said(reports.get(host)):
        return "unknown" if host in reports else "unasked"
    words = [
        one["copy"]
        for one in copies
        if one["host"] == host and (one["name"], one["uuid"]) == (guest["name"], guest["uuid"])
    ]
    return sorted(words, key=CLAIMED.index)[0] if words else "absent"


# Guests that were sent


def _notes(reports):
    """
    All notes, by time, each with its ``host``, and ``chain``: the hosts that its guest has been on since, by
    their own words, which are that one, where it was sent, and where that one has sent it on.
    """
    found = []
    for host, said in reports.items():
        if _has_said(said):
            found += [dict(made, host=host) for made in said.get("sent") or []]
    found.sort(key=lambda made: (made["at"], made["host"]))
    for mine in _by_guest(found).values():
        for made in mine:
            made["chain"] = _chain(made, mine)
    return found


def _by_guest(notes):
    found = {}
    for made in notes:
        found.setdefault((made["name"], made["uuid"]), []).append(made)
    return found


def _chain(made, notes):
    chain = [made["host"], made["target"]]
    while True:
        further = [
            one
            for one in notes
            if one["host"] == chain[-1] and one["at"] >= made["at"] and one["target"] not in chain
        ]
        if not further:
            return chain
        chain.append(further[-1]["target"])


def _noted_guest(notes, known, copies, reports, silent):
    """
    The finding for a guest that was sent, instead of what is KNOWN of it from its copies alone; None when
    there is none, or that is right.
    """
    name, uuid = notes[-1]["name"], notes[-1]["uuid"]
    held = [one for one in copies if one["copy"] != "managed"]
    # A copy of its name whose uuid is not known may be it.
    same = [one for one in held if one["name"] == name and one["uuid"] in (uuid, None)]
    # No host that can know it says where the guest is that these tell of.
    whole = set([one["host"] for one in same if one["copy"] != "unfinished"])
    unsettled = [made for made in notes if not whole.intersection(made["chain"])]
    for made in reversed(unsettled):
        strangers = _strangers(made, unsettled, same)
        if strangers:
            return _hearsay(notes, made, strangers, known, copies, reports, silent)
    if not unsettled or known or same and not [one for one in same if one["uuid"]]:
        return None
    # What is known of its uuid goes by another name.
    clones = [one for one in held if one["uuid"] == uuid and one["name"] != name]
    if clones:
        return _cloned(clones[0], notes, copies, reports)
    return _missing(notes, copies, reports, silent)


def _strangers(made, notes, same):
    """
    The copies on hosts that nobody but these hosts themselves has sent the guest to, since a note was made.
    """
    found = []
    for one in same:
        others = [other for other in notes if other["host"] != one["host"] or other is made]
        if not [other for other in others if one["host"] in other["chain"]]:
            found.append(one)
    return found


def _hearsay(notes, made, strangers, known, copies, reports, silent):
    """
    The finding for a guest that was sent, and of which only hosts hold a copy that it was not sent to.
    """
    name, mine = made["name"], [one for one in copies if one["uuid"] == made["uuid"]]
    ends = [_end(host, name, mine, copies, reports) for host in made["chain"]]
    heard = _heard(name, ends, strangers)
    begin = NOTED_SO % made
    comment = begin + heard["comment"] + _kept(made, notes)
    found = _noted("unknown", comment, made, strangers[0]["host"], [], begin + heard["facts"])
    dead = [step for step in (known or found)["repairs"] if step["do"] == "remove"]
    if not silent:
        found["repairs"] = dead + _forget(notes, copies, reports)
    for step in found["repairs"]:
        if step["do"] == "remove" or step["note"] == made["id"]:
            why = NOT_ITS_WORD % dict(made)
            step.update(only_if_asked=True, doubt=step["doubt"] or why)
    return found


def _heard(name, ends, strangers):
    """
    What is to be said of a guest that is not where it should be, by the word of the hosts there (ENDS), while
    others say that they have it.
    """
    who = sorted(set([one["host"] for one in strangers]))
    words = {
        "name": name,
        "who": " and ".join(who),
        "say": "say" if len(who) > 1 else "says",
        "holds": "; ".join([_holds(name, one) for one in strangers]),
        "ends": ", and ".join([_holds(name, end) for end in ends]),
    }
    facts = HEARSAY % words
    return {
        "outcome": "unknown",
        "facts": facts,
        "comment": facts + LOOK_THERE % words + _remedies(ends),
        "repairs": [],
        "lost": False,
        "moved": False,
    }


def _seen(one, notes, copies, reports):
    """
    The finding for a guest that was sent, and of which a single copy runs; None when nothing is known to have
    ended. Where it was sent from, a transfer may yet begin, because xend tries for long to reach a host that
    is silent; only that host can tell when that is `over` (xm_kept.is_over).
    """
    notes = [
        made
        for made in notes
        if (made["host"] != one["host"] and one["host"] in made["chain"])
        or (made["host"] == one["host"] and made.get("over") is True)
    ]
    if not notes:
        return None
    last = notes[-1]
    words = dict(last, now="%(host)s (domain %(domid)s, state %(state)s)" % one)
    repairs = _forget(notes, copies, reports, True)
    if last["host"] == one["host"]:
        return _noted("unharmed", BACK % words, last, last.get("target"), repairs)
    return _noted("moved", ARRIVED % words, last, one["host"], repairs)


def _cloned(one, notes, copies, reports):
    """
    The finding for a guest that was sent, when the only domain with its uuid has another name.
    """
    last = notes[-1]
    now = "domain %(domid)s on %(host)s (state %(state)s)" % one
    facts = CLONED % dict(last, now=now, other=one["listed"])
    repairs = _forget(notes, copies, reports)
    return _noted("unknown", facts + SETTLED % last, last, one["host"], repairs, facts)


def _noted(outcome, comment, made, target, repairs, facts=None):
    return {
        "name": made["name"],
        "uuid": made["uuid"],
        "outcome": outcome,
        "facts": facts or comment,
        "comment": comment,
        "repairs": repairs,
        "lost": outcome in LOST,
        "moved": outcome == "moved",
        "hosts": {"source": made["host"], "target": target},
    }


def _missing(notes, copies, reports, silent):
    """
    The finding for a guest that was sent, and of which no host that has answered holds a copy.
    """
    last = notes[-1]
    name = last["name"]
    known = [one for one in copies if one["uuid"] == last["uuid"]]
    source, target = [_end(host, name, known, copies, reports) for host in (last["host"], last["target"])]
    others = [one for one in known if one is not source and one is not target]
    if silent:
        # It may have been moved on from its target.
        target = _unseen(silent)
    elif target["copy"] == "absent" and others:
        target = others[0]
    judged = _judge(name, source, target)
    comment = judged["comment"] + _namesakes(name, last["uuid"], copies, (source, target))
    if judged["lost"]:
        is_known = "managed" in (source["copy"], target["copy"])
        comment = MISSED % last + comment + _kept(last, notes, is_known)
    else:
        comment = SENT % last + ". " + comment + _also_sent(last, notes) + ("" if silent else SETTLED % last)
    host = target["host"] if target["host"] in reports else None
    facts = SENT % last + ". " + judged["facts"]
    repairs = [] if silent else _forget(notes, copies, reports)
    return _noted(judged["outcome"], comment, last, host, repairs, facts)


def _namesakes(name, uuid, copies, ends):
    """
    What is to be said of domains of this name on hosts that are none of the two ends.
    """
    hosts = [end["host"] for end in ends]
    others = [one["host"] for one in _others(name, uuid, copies) if one["host"] not in hosts]
    return NAMESAKES % ", ".join(sorted(set(others))) if others else ""


def _of(notes, name, uuid):
    """
    The notes on a guest, by its name alone when its uuid is not known.
    """
    return [made for made in notes if made["name"] == name and uuid in (None, made["uuid"])]


def _kept(made, notes, is_known=False):
    """
    What a note says on how to start a lost guest again; where xend knows it, that has been said. And what the
    notes of other hosts say, for any of them may be wrong.
    """
    words = {"what": made["what"], "kept": "is kept in %(kept)s on %(host)s" % made}
    return "." + ("" if is_known else RESTART) + DESCRIBED % words + _also_sent(made, notes) + SETTLED % made


def _also_sent(made, notes):
    return "".join([ALSO_SENT % other for other in notes if other["host"] != made["host"]])


def _forget(notes, copies, reports, is_over=False):
    """
    The steps that end these notes. IS_OVER: what their own hosts say of that counts.
    """
    steps = []
    for made in notes:
        # What each host of the chain says of itself, the last one that it has the guest.
        chain = [host for host in made["chain"] if host != made["host"]]
        claims = {}
        for host, further in zip(chain, chain[1:] + [None]):
            word = _claim(host, made, copies, reports)
            claims[host] = SENT_ON + further if further and word in GONE else word
        runs_here = _claim(made["host"], made, copies, reports) == "running"
        over = is_over and runs_here and made.get("over") is True
        declared = _declared(made["host"], reports)
        why = doubt("forget", made["name"], made["host"], claims, declared, target=made["target"], over=over)
        steps.append(
            dict(
                _step("source", "forget", bool(why)),
                host=made["host"],
                listed=made["name"],
                name=made["name"],
                uuid=made["uuid"],
                domid=None,
                note=made["id"],
                claims=claims,
                doubt=why,
            )
        )
    return steps


def _never_ran(view, said):
    """
    Whether the guest that came to this host has certainly not run there. Where xend knows it, somebody may
    have started it since.
    """
    was_not = isinstance(said, dict) and said.get("completed") is False
    return view["copy"] == "unfinished" or view["copy"] == "absent" and was_not


def _is_at_rest(one):
    """
    Whether a single copy is what people have made of it. One that has shut down may be suspended: up to 3.0
    xend gives a guest its name back when a transfer has failed, and does not resume it.
    """
    return one["copy"] == "running" or one["copy"] == "halted" and "s" not in (one["state"] or "")


def _elsewhere(others, knows, silent):
    """
    The other end of a guest of which a single copy was seen.
    """
    if silent:
        return _unseen(silent)
    if others:
        # It may have been started afresh, with a new uuid, on the disks of the one that was missed.
        return dict(others[0], copy="foreign")
    if knows:
        return knows[0]
    return {"copy": "absent", "host": "the other hosts"}


def _unseen(silent):
    problems = "; ".join(sorted(set(silent.values())))
    return {"copy": "unknown", "host": ", ".join(sorted(silent)), "problem": problems}


def _told(name, ends, others, silent, notes):
    found = _withheld(name, ends, others, silent)
    target = ends["target"]
    # Nobody has said that this guest was migrated, or that it has not arrived and is just being rebooted.
    if target["copy"] == "unfinished" and ends["source"]["copy"] in GONE + ("foreign",):
        words = {"name": name, "listed": _listed(name, target), "host": target["host"]}
        words.update(state=target["state"], elsewhere=_holds(name, ends["source"]))
        found.update(facts=HAS_NEVER_RUN % words, comment=NEVER_RUN % words)
        if notes and notes[-1]["host"] != target["host"]:
            found["comment"] = SENT % notes[-1] + ". " + found["comment"] + _kept(notes[-1], notes)
            found["is_missed"] = True
    return found


def _withheld(name, ends, others, silent):
    """
    What `report` says of these ends, without the repairs that are not safe among many hosts.
    """
    found = _judge(name, ends["source"], ends["target"])
    both = [ends[side] for side in ("source", "target")]
    copied = _copied(name, [view for view in both if view["copy"] not in NOT_IT + BLIND])
    if copied:
        return copied
    why = _objection(ends, found["repairs"], others, silent)
    if found["repairs"] and why:
        found.update(repairs=[], comment=found["comment"] + WITHHELD % why)
    return found


def _objection(ends, repairs, others, silent):
    """
    Why the repairs that the two ends allow are not safe among many hosts; "" when they are.
    """
    seen = [view for view in ends.values() if view.get("listed")]
    if [view for view in seen if not view["uuid"]]:
        return "the uuid of a copy is not known"
    # A suspended copy may go on only when the guest was started nowhere else.
    if "resume" in [step["do"] for step in repairs]:
        if silent:
            return "it may run on %s, where nobody could look" % ", ".join(sorted(silent))
        if others:
            return "another domain of that name is on %s" % ", ".join([one["host"] for one in others])
    return ""


def _copied(name, views):
    """
    What is to be said of domains that have one uuid; None when they have one name as well.
    """
    names = sorted(set([plain(_listed(name, view)) for view in views]))
    if len(names) < 2:
        return None
    holds = "; ".join([_holds(name, view) for view in views])
    text = COPIED % {"names": " and ".join(names), "holds": holds}
    return {
        "outcome": "unknown",
        "facts": text,
        "comment": text,
        "repairs": [],
        "lost": False,
        "moved": False,
    }


def _crowd(name, held):
    copied = _copied(name, held)
    if copied:
        return copied
    alive = [one for one in held if one["copy"] in ALIVE]
    holds = "; ".join([_holds(name, one) for one in held])
    if len(alive) > 1:
        outcome, begin, advice = "both", "MORE THAN ONE COPY of %s RUNS: ", (
            "Each is known from its own host alone, so look with `xm list` on all of them right now. Of "
            "those that run, `xm pause` all but one at once; then find out which one has served its users"
        )
    else:
        outcome, begin, advice = "unknown", "there are other copies of %s than expected: ", DECIDE
    return {
        "outcome": outcome,
        "facts": begin % name + holds,
        "comment": begin % name + holds + ". " + advice,
        "repairs": [],
        "lost": False,
        "moved": False,
    }
