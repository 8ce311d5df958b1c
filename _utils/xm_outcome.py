"""
Where a guest is after a migration was tried, and what that means for people: the one decision table.

Only what hosts report counts, never an exit code: `xm migrate` exits 0 with the guest lost and 1 with
it running happily (xend 4.4). Looking at hosts is done elsewhere, and nothing here knows Salt.
"""

# What the source shows -> what that means there and what to do.
SOURCE = {
    "gone": "%(host)s has no copy of %(name)s any more; only the target can tell whether it arrived",
    "running": "%(name)s still runs on %(host)s (state %(state)s), unharmed; remove the cause and "
    "migrate again",
    "halted": "%(name)s is still on %(host)s, but does not run (state %(state)s); look at it with `xm "
    "list`, and before doing anything to it make sure that the target has no running copy",
    "renamed": "%(name)s is on %(host)s under the name migrating-%(name)s (state %(state)s), left over "
    "from a migration that broke; when the target has no copy of it, `xm rename migrating-%(name)s "
    "%(name)s` on %(host)s mends it",
    "pending": "%(name)s still runs on %(host)s (state %(state)s), but its migration may begin yet, although "
    "nobody waits for it any more; look again before doing anything to it",
    "migrating": "%(name)s is on %(host)s under the name migrating-%(name)s (state %(state)s): it is being "
    "sent, or is left over from a migration that broke. While xc_save runs on %(host)s, do nothing to it "
    "and wait; after that, when the target has no copy of it, `xm rename migrating-%(name)s %(name)s` on "
    "%(host)s mends it",
    "moving": "the migration of %(name)s goes on, although nobody waits for it any more: %(host)s "
    "calls it migrating-%(name)s; do not start or migrate it, wait until it has left %(host)s, then "
    "look on the target",
    "unknown": "it cannot be seen where %(name)s is, because xend on %(host)s does not answer "
    "(%(problem)s); look on both hosts before starting it anywhere",
}

# What the target shows, once the source has reported its copy gone.
TARGET = {
    "running": "%(name)s runs on %(host)s (state %(state)s) and is gone from %(source)s",
    "incomplete": "%(name)s is LOST: %(source)s has destroyed its copy, and the one on %(host)s is "
    "paused for good (state %(state)s after %(seconds)d s), because the xend there did not complete it",
    "missing": "%(name)s is LOST: %(source)s has destroyed its copy after sending it, and %(host)s has "
    "none, because it could not complete its own",
    "other": "%(name)s on %(host)s is another domain (uuid %(found)s, not %(uuid)s), and %(source)s has "
    "destroyed its copy: %(name)s is LOST",
    "halted": "%(name)s has arrived on %(host)s, but does not run (state %(state)s); %(source)s has no "
    "copy; look at its console on %(host)s",
    "unknown": "it cannot be seen whether %(name)s has arrived, because xend on %(host)s does not "
    "answer (%(problem)s), and %(source)s has destroyed its copy; look on %(host)s before starting it "
    "anywhere",
}

# What the target shows when the migration failed on the source.
TARGET_AFTER_FAILURE = {
    "running": "%(name)s runs on %(host)s (state %(state)s); make sure that it does not run on "
    "%(source)s as well",
    "incomplete": "%(host)s holds a paused copy of %(name)s (state %(state)s): it is being received, or was "
    "never completed. Do not unpause it. Once no xc_restore runs on %(host)s any more, and %(name)s runs on "
    "%(source)s, `xm destroy %(name)s` on %(host)s removes the copy",
    "missing": "%(host)s holds no copy of %(name)s",
    "other": "%(name)s on %(host)s is another domain (uuid %(found)s, not %(uuid)s)",
    "halted": "%(name)s is on %(host)s, but does not run (state %(state)s); look on %(source)s before "
    "doing anything to it",
    "unknown": "it cannot be seen whether %(host)s holds a copy of %(name)s, because xend there does "
    "not answer (%(problem)s)",
}

RESTART = (
    " To start it again: %(first)sstart it with `xm create` and its configuration file, on one host "
    "only, once both were seen without a running copy; its description as xend had it (%(what)s) %(kept)s"
)


def source_state(row, migrating_row, over):
    """
    What the source shows of a guest.

    row, migrating_row
        its row of `xm list` under its own name and under migrating-NAME, or None
    over
        whether `xm migrate` has ended by itself; None when that is not known

    Returns a key of SOURCE.
    """
    if migrating_row is not None:
        return {True: "renamed", False: "moving", None: "migrating"}[over]
    if row is None:
        return "gone"
    if not row["runs"]:
        return "halted"
    return "pending" if over is False else "running"


def target_state(row, uuid):
    """
    What the target shows of a guest with this uuid (None: any), from its row of `xm list`, or None.

    A copy that is paused has not been completed: xend unpauses it as the last step. Returns a key of
    TARGET.
    """
    if row is None:
        return "missing"
    if uuid and row["uuid"] and row["uuid"] != uuid:
        return "other"
    if row["runs"]:
        return "running"
    return "incomplete" if "p" in row["state"] else "halted"


def lost(state):
    """
    Whether a guest whose source copy is gone is lost, judged by the state on the target.
    """
    return state in ("incomplete", "missing", "other")


def say(side, outcome, **words):
    """
    The sentence for people. SIDE is "source", "target" or "failed" (the target, when the migration
    failed on the source); the words are those that the tables above name.
    """
    table = {"source": SOURCE, "target": TARGET, "failed": TARGET_AFTER_FAILURE}[side]
    return table[outcome] % words


def how_to_start_again(state, name, host, what, kept):
    """
    What is needed to start a lost guest again.

    what
        its uuid, memory and devices in words
    kept
        what there is to say about where its description is kept
    """
    first = ""
    if state == "incomplete":
        # Its CPU would run, but its console and xenstore are dead (seen on xend 4.4).
        first = (
            "do not unpause the copy on %s, it cannot work; remove it with `xm destroy %s`; "
            % (
                host,
                name,
            )
        )
    return RESTART % {"first": first, "what": what, "kept": kept}
