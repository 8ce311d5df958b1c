"""
What one host holds of a guest: what such a copy is called (HOLDS), whether it is being sent or received, and
what is to be said of it alone, whatever other hosts hold.

What is on a host is seen elsewhere, what two hosts hold means something in xm_verdict only, and nothing here
knows Salt.
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

# Copies of which the same is true, as `is_one_of` knows them.
KINDS = {
    "gone": ("absent", "managed"),
    "alive": ("running", "left"),
    "departing": ("sending", "migrating"),
    "coming": ("receiving", "arriving"),
    "still": ("suspended", "halted"),
    "blind": ("unknown", "unasked"),
    "any": tuple(HOLDS),
}

# A transfer of the copy can still be going on: yes, no, not known.
BY_TRANSFER = {
    "received": {True: "receiving", False: "unfinished", None: "arriving"},
    "suspended": {True: "sending", False: "suspended", None: "migrating"},
    "shut down": {True: "sending", False: "halted", None: "migrating"},
    "renamed": {True: "sending", False: "left", None: "migrating"},
    "renamed and halted": {True: "sending", False: "halted", None: "migrating"},
}

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

# What a restart of xend would break, or people have to settle before: the first row that is true of a copy. A
# domain has no VCPU only while its memory arrives; one that is about to be made may have no state yet. What
# goes by a name that xend gave it for a transfer counts whatever else shows of that.
MOVING = (
    (
        lambda one: one["copy"] == "receiving"
        or one["vcpus"] == 0
        and (one["state"] == "--p---" or "?" in one["state"]),
        "%s is being received, or is left over from a migration that broke",
    ),
    # What is being completed may show nowhere else on its host.
    (lambda one: one["copy"] == "arriving", "%s has never run here and may be being received"),
    (
        lambda one: is_one_of(one["copy"], "departing") or one["listed"].startswith(MIGRATING),
        "%s is being sent, or is left over from a migration that broke",
    ),
)


def words():
    """
    The words for what a host holds of a guest.
    """
    return tuple(sorted(HOLDS))


def is_one_of(copy, kinds):
    """
    Whether a copy is one of these: words and names of KINDS, with spaces between them ("gone foreign").
    """
    return copy in HOLDS and any([copy in KINDS.get(kind, (kind,)) for kind in kinds.split()])


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

    Returns one of `words`:

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
    if is_new(row):
        kind = "received"
    elif "s" in state and "c" not in state:
        # Under its own name it may have been shut down and kept (on_poweroff preserve): that is s, too.
        kind = "suspended" if renamed else "shut down"
    elif renamed:
        kind = "renamed" if alive else "renamed and halted"
    else:
        return "running" if alive else "halted"
    return BY_TRANSFER[kind][transferring]


def is_new(row):
    """
    Whether a domain has never run on its host: it was received, or created paused.
    """
    return row["state"] == "--p---" and row["time_s"] == 0


def moving(copies):
    """
    The copies on a host that are on their way, or may be, so that a restart of xend there could break them.

    copies
        dicts with ``listed`` (the name under which `xm list` shows it), ``copy`` (as `copy` calls it),
        ``state`` (its letters, "" for one that does not run) and ``vcpus``

    Returns a list of sentences.
    """
    found = []
    for one in copies:
        found += [text % one["listed"] for is_so, text in MOVING if is_so(one)][:1]
    return found


def plain(listed):
    """
    The name of a domain that xm lists so: without migrating-.
    """
    return listed[len(MIGRATING) :] if listed.startswith(MIGRATING) else listed


def listed(name, view):
    """
    The name under which xm lists a copy of a guest, as far as VIEW (see xm_verdict.report) does not tell.
    """
    usual = MIGRATING + name if is_one_of(view.get("copy"), "departing left suspended") else name
    return view.get("listed") or usual


def holds(name, view):
    """
    What a host holds of a guest, in words.

    view
        a dict as for xm_verdict.report, and ``host``
    """
    return HOLDS[view["copy"]] % {
        "host": view["host"],
        "listed": listed(name, view),
        "state": view.get("state") or "unknown",
        "uuid": view.get("uuid") or "unknown",
        "problem": view.get("problem") or "xend does not describe it",
    }


def under_way(name, host, view):
    """
    What is to be said to those who want to move a guest of which a transfer goes on, or may.

    name, host
        the guest, and the host that was looked at
    view
        what that holds, as for xm_verdict.report, and perhaps ``other``, the host at the other end in words

    Returns a sentence, or "" for a copy that nobody sends or receives.
    """
    if view["copy"] not in UNDER_WAY:
        return ""
    words = {"name": name, "host": host, "other": view.get("other") or "another host"}
    return (UNDER_WAY[view["copy"]] + WAIT_FOR_IT) % dict(words, view=holds(name, dict(view, host=host)))


def why_at_rest(name, host, view):
    """
    What keeps a copy that does not run from running, and what to do about it, from the letters of its state.

    name, host
        the guest, and its host in words
    view
        a dict with its `state`, its `domid` and, if it is not its name, `listed`

    Returns text that goes on a sentence.
    """
    state, shown = view.get("state") or "", listed(name, view)
    own = plain(shown)
    renamed = ", and `xm rename %s %s` gives it its name back" % (shown, own) if shown != own else ""
    unclear = NOT_STARTED if view.get("domid") is None else UNCLEAR
    text = [text for letter, text in AT_REST if letter in state] + [unclear]
    return text[0] % {"host": host, "listed": shown, "renamed": renamed}
