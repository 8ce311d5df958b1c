"""
What an orchestration says of what hosts and runners have returned: to people in few words, of which the last
ones are the last word, and to programs whole.

What hosts have returned is theirs: whatever it is, it is only shown, as text that no terminal obeys. Nothing
here knows Salt. `utility` is a function from the name of another utility to it.
"""

import re

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# What states are called by Salt where it returns them: state, id, name and function, with this between them.
PARTS = "_|-"

# What is shown of one text, and how many of the things that a host has changed are named.
MOST, MOST_CHANGES = 20000, 5

# The keys of what states of the orchestration return beside those that Salt shows: the steps, each with what
# its hosts have returned, and what there was to say, in order.
STEPS, SAYS = "steps", "says"
# And why steps have failed, which the last word tells.
WHY = "why"

LATER = "failed, the last lines say why"
NOTHING = "it has returned nothing"
NO_RETURN = (
    "%(host)s has not returned: its minion does not answer, is busy with other states, or was stopped in the "
    "middle of this. What was begun there may go on"
)
# Words of Salt by which it says what a minion lacks, and what is to be done about that.
LACKS = (
    (
        "No matching sls found",
        "The file_roots of the master have to hold the folder `salt` of Xend for Salt, in the environment "
        "that %(host)s uses",
    ),
    (
        "was not found in SLS",
        "%(host)s lacks the modules of Xend for Salt, or has those of another version: `salt %(host)s "
        "saltutil.sync_all` brings them",
    ),
)
BUSY = "is running as PID"
# Salt's own comment, under test=True, of a state that says why nothing is done; its name says that, too.
ONLY_TESTED = "If we weren't testing, this would be a failure!"


# What states have returned


def states_in(returned, utility):
    """
    States as Salt has returned them, in order.

    returned
        what a run of states has returned, whatever it is

    Returns a list of dicts: ``id``, ``function``, ``result``, ``comment`` ("" of one that was not run),
    ``changes``, ``steps``, ``says`` and ``why`` (see `STEPS`), and ``told``, whether steps have come so far
    as to say why they have failed.
    """
    if not isinstance(returned, dict):
        said = "; ".join(["%s" % (one,) for one in returned]) if _is_list(returned) else "%s" % (returned,)
        said = said or NOTHING
        whole = {"id": None, "function": None, "result": False, "comment": _shown(said, utility)}
        return [dict(whole, changes={}, steps=[], says=[], why=[], told=False)]
    found = []
    for key in returned:
        state = returned[key]
        if isinstance(state, dict) and isinstance(key, TEXT):
            place = state.get("__run_num__")
            found.append((place if isinstance(place, int) else 0, _row(key, state, utility)))
    return [row for _place, row in sorted(found, key=lambda pair: pair[0])]


def _row(key, state, utility):
    parts, changes = key.split(PARTS), state.get("changes")
    # What Salt says of one that it has not run is about its requisites.
    comment = state.get("comment") if state.get("__state_ran__", True) else ""
    if comment == ONLY_TESTED and len(parts) > 3:
        comment = parts[2]
    return {
        "id": _shown(parts[1] if len(parts) > 1 else key, utility),
        "function": parts[-1],
        "result": state.get("result"),
        "comment": _shown("%s" % (comment or "",), utility),
        "changes": changes if isinstance(changes, dict) else {},
        STEPS: state.get(STEPS) or [],
        SAYS: state.get(SAYS) or [],
        WHY: state.get(WHY) or [],
        "told": WHY in state,
    }


def _is_list(value):
    return isinstance(value, (list, tuple))


def _shown(text, utility):
    # Tracebacks and what does not render have many lines, of which a host could make up some.
    lines = [line.strip() for line in text[:MOST].splitlines()]
    return utility("xm_heard").legible(" ".join([line for line in lines if line]), MOST)


# Steps on hosts


def of_hosts(step, ran, utility):
    """
    A step that has run states on hosts.

    step
        its ``id`` and ``hosts``, their names
    ran
        what Salt's own state for that has returned: of hosts on which nothing has changed it shows nothing

    Returns a dict: ``id``, ``begun``, ``result``, ``comment``, ``changes`` (by host, in a line each),
    ``jid``, ``returned`` (by host), and ``why``: sentences that say why it has failed.
    """
    returned = ran.get("changes") or {}
    returned = returned.get("ret") or {} if isinstance(returned, dict) else {}
    hosts, lines, changes, why = step["hosts"], [], {}, []
    for host in sorted(returned):
        states = _states_of(host, returned[host], utility)
        bad = [one["comment"] for one in states if one["result"] is False and one["comment"]]
        good = [one["comment"] for one in states if one["result"] is not False and one["comment"]]
        why += bad
        if len(hosts) > 1:
            good = ["%s: %s" % (host, "; ".join(good))] if good else []
        lines += bad or good
        changed = _changed(states)
        if changed:
            changes[host] = _shown(changed, utility)
    if ran["result"] is False and not why:
        why = [_shown("%s" % ran["comment"], utility)]
        lines += why
    quiet = sorted([host for host in hosts if host not in returned])
    if quiet and ran["result"] is not False:
        says = "says" if len(quiet) == 1 else "say"
        lines.append("%s %s so" % (" and ".join(quiet), says))
    return {
        "id": step["id"],
        "begun": True,
        "result": ran["result"],
        "comment": "\n".join(lines),
        "changes": changes,
        "jid": ran.get("__jid__"),
        "returned": returned,
        WHY: why if ran["result"] is False else [],
    }


def not_begun(step):
    """
    A step that was not begun, because one that it needs was not, or has failed.
    """
    left = {"id": step["id"], "begun": False, "result": False, "comment": "", "changes": {}, "jid": None}
    return dict(left, returned={}, why=[])


def of_steps(rows, tells):
    """
    What steps say together: a line for each that was begun, and one for all others.

    rows
        what `of_hosts` and `not_begun` have returned, in order
    tells
        False: why they have failed is told later, by the last word

    Returns a dict: ``result``, ``comment``, ``changes``, ``steps``, and ``why``: what is told later.
    """
    lines, changes = [], {}
    for row in rows:
        if row["begun"]:
            lines.append(_line(row, tells))
        for host in row["changes"]:
            changes.setdefault(host, []).append(row["changes"][host])
    left = [row["id"] for row in rows if not row["begun"]]
    lines += ["Not begun: " + "; ".join(left)] if left else []
    results = [row["result"] for row in rows]
    result = False if False in results else None if None in results else True
    why = [] if tells else [text for row in rows for text in row[WHY]]
    changes = dict([(host, "; ".join(changes[host])) for host in changes])
    return {"result": result, "comment": "\n".join(lines), "changes": changes, STEPS: rows, WHY: why}


def _line(row, tells):
    said = row["comment"] if tells or row["result"] is not False else LATER
    if said.startswith(row["id"]):
        return said
    # That of several hosts has a line for each.
    return row["id"] + ":" + ("\n" + said).replace("\n", "\n  ") if "\n" in said else row["id"] + ": " + said


def _states_of(host, returned, utility):
    """
    The states that a host has run; in their place one that says why there are none.
    """
    if returned is False or returned is None:
        text = NO_RETURN % {"host": host}
    elif isinstance(returned, dict) and [key for key in returned if isinstance(returned[key], dict)]:
        return states_in(returned, utility)
    else:
        if isinstance(returned, dict):
            returned = "%s" % (returned or NOTHING,)
        text = "%s: %s" % (host, states_in(returned, utility)[0]["comment"])
        text += "".join([". " + advice % {"host": host} for words, advice in LACKS if words in text])
        if BUSY in text:
            text += ". Wait until that is over, then run this again"
    return [{"id": None, "function": None, "result": False, "comment": text, "changes": {}}]


def _changed(states):
    """
    What has changed, in one line. Warnings stand among the changes of a state, and in its comment.
    """
    found = []
    for one in states:
        keys = sorted(["%s" % (key,) for key in one["changes"] if key not in ("diff", "warnings")])
        new = one["changes"].get(keys[0]) if len(keys) == 1 else None
        new = new.get("new") if isinstance(new, dict) else None
        found += ["%s: %s" % (keys[0], new)] if isinstance(new, TEXT) else keys
    more = len(found) - MOST_CHANGES
    return ", ".join(found[:MOST_CHANGES]) + (" and %d more" % more if more > 0 else "")


# The last word


def _thawed(value):
    """
    The same without Salt's own kinds of mappings and lists, which cannot be changed.
    """
    if hasattr(value, "items"):
        return dict([(key, _thawed(value[key])) for key in value])
    if hasattr(value, "__iter__") and not isinstance(value, TEXT + (bytes,)):
        return [_thawed(one) for one in value]
    return value


def why_not(running, utility):
    """
    Why steps have failed that have run so far and left it to the last word, as sentences, each once. Where
    they broke down there is nothing but what Salt says of that.

    running
        the states of the orchestration that have run, as Salt keeps them
    """
    found = []
    for one in states_in(_thawed(running or {}), utility):
        is_broken = one["result"] is False and one["function"] == "steps" and not one["told"]
        found += [text for text in one[WHY] or [one["comment"]] * is_broken if text and text not in found]
    return found


def why_failed(one):
    """
    Why steps on hosts have failed, a row of `states_in`, as sentences; none when they have not.
    """
    if one["result"] is not False or one["function"] != "steps":
        return []
    return [text for step in one[STEPS] for text in step[WHY]] or [one["comment"]]


def by_runner(returned, utility):
    """
    All that a runner says that has returned states, those of an orchestration that it has run included.

    Returns a list of dicts: ``id``, ``text`` and ``good`` (bool), of which the last one is the last word.
    """
    data = returned.get("data") if isinstance(returned, dict) else None
    if not isinstance(data, dict) or not data:
        return [{"id": None, "text": _shown("%s" % (returned,), utility), "good": False}]
    says = []
    for one in [one for master in sorted(data) for one in states_in(data[master], utility)]:
        if one[SAYS] or one[STEPS]:
            says += one[SAYS] + [_said(step) for step in one[STEPS] if step["comment"]]
        elif one["comment"]:
            # Several that a runner makes up itself are numbered, so that they stay in order.
            number, _dot, rest = (one["id"] or "").partition(". ")
            name = rest if number.isdigit() else one["id"]
            says.append({"id": name, "text": one["comment"], "good": one["result"] is not False})
    return says or [{"id": None, "text": NOTHING, "good": False}]


def _said(step):
    return {"id": step["id"], "text": step["comment"], "good": step["result"] is not False}


def last_word(says, why):
    """
    What is shown of what a runner says: all of it, but nothing that the last word says again.

    says
        see `by_runner`
    why
        why steps before have failed, sentences

    Returns the lines that come before the last word, and the last word: ``id``, ``text`` and ``good``.
    """
    last = says[-1]
    told, before = [
        [text for text in texts if not _is_in(text.rstrip(". "), last["text"])]
        for texts in (why, [one["text"] for one in says[:-1]])
    ]
    if before:
        # What has been done since counts more.
        return told + before, last
    return [], dict(last, text="\n".join(told + [last["text"]]))


def _is_in(part, text):
    # xen1 is not in xen10, nor in xen1.example.com.
    return re.search(r"(?<!\S)%s(?![\w-]|\.\w)" % re.escape(part), text)
