"""
What a host keeps in mind of an evacuation: that it takes no guests until it is filled again, and which guests
were taken away from it, and where to.

It is kept in a file of the host before the first of them leaves, so that it outlives every crash: of
salt-run, of the master, of the minion and of the host. Whether a guest has really moved is not known here;
whoever wants to know looks where it is. A file that is not understood keeps the host closed. Nothing here
knows Salt.
"""

from __future__ import absolute_import

import errno
import json
import os
import stat

FILE = "evacuation"

# More guests than a host can have, with names and targets that are far too long.
RECORD_BYTES = 1 << 20

# What accepts that xend is restarted all the same.
ACCEPT = "evacuation"

OPENS = "xend.orch.restore fills it again and opens it, and `salt %(host)s xm.open_host` only opens it"
REMOVES = (
    "Look at that file on %(host)s: who knows that nobody empties %(host)s mends it or removes it, which "
    "opens %(host)s; what it was to bring back then, xend.orch.migrate brings back, guest by guest"
)
RESTARTS = (
    "Who wants it all the same says, once, `salt %(host)s xend.restart accept=evacuation`, or for good "
    "restart_accept: [evacuation] in the pillar xend:relocation"
)


def path(folder):
    """
    The file of the record in the folder of what is kept here.
    """
    return os.path.join(folder, FILE)


def nothing():
    """
    The record of a host that keeps no evacuation in mind.
    """
    return {"closed": False, "since": None, "who": None, "guests": [], "problem": None}


def read(folder, utility):
    """
    What is kept of an evacuation in a folder.

    folder
        what is kept here; it need not be there
    utility
        a function from the name of another utility to that utility

    Returns a dict: ``closed`` (bool: the host takes no guests), ``since`` and ``who`` (text, of the last
    closing; None where there was none), ``guests`` (a list of dicts: ``name``, ``uuid`` and ``target``, the
    minion id of the host that it was to go to) and ``problem``: None, or why the record cannot be relied on.
    Then the host counts as closed, and nothing is known of guests.
    """
    place = path(folder)
    try:
        # From a folder where others may write, they may have taken it away.
        if os.path.lexists(folder):
            utility("xend_lock").private(folder)
        data = utility("xend_lock").get(place, RECORD_BYTES)
        mode = stat.S_IMODE(os.lstat(place).st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            why = "others may have written to it (mode %04o)" % mode
            return _unclear("%s: %s" % (place, why))
        found = json.loads(data.decode("utf-8"))
        return dict(utility("xm_heard").form_of("evacuation")(found), problem=None)
    except EnvironmentError as exc:
        if exc.errno == errno.ENOENT:
            return nothing()
        return _unclear("%s: %s" % (exc.filename or place, exc.strerror or exc))
    except (ValueError, RuntimeError) as exc:
        # The last one for lists in lists without end.
        return _unclear("%s: it is not understood (%.200s)" % (place, exc))


def _unclear(problem):
    return dict(nothing(), closed=True, problem=problem)


def write(folder, record, utility):
    """
    Keep a record, in the place of the one before, as a whole and on the disk when this returns; one that says
    nothing is removed. Whoever does has a lock.

    Raises EnvironmentError when it cannot be written, and ValueError for a record that could not be read
    again.
    """
    place = path(utility("xend_lock").private(folder))
    if not record["closed"] and not record["guests"]:
        try:
            os.unlink(place)
        except EnvironmentError as exc:
            if exc.errno != errno.ENOENT:
                raise
        return utility("xend_file").sync(folder)
    kept = dict([(key, record[key]) for key in ("closed", "since", "who", "guests")])
    data = json.dumps(utility("xm_heard").form_of("evacuation")(kept)).encode("ascii")
    if len(data) > RECORD_BYTES:
        raise ValueError("guests: %d bytes are too many to be kept in mind" % len(data))
    return utility("xend_file").replace(place, data)


def closing(record, guests, who, now):
    """
    The record of a host that is closed for these guests to be taken away.

    record
        the one before, as `read` returns it
    guests
        a list of dicts as there; one that is remembered already is to go where it is said now
    who, now
        who closes the host, and the time, as text; a host that is closed stays so since it was closed first,
        and by whom, when nothing is new
    """
    given = dict([(guest["uuid"], guest) for guest in guests])
    known = [guest["uuid"] for guest in record["guests"]]
    kept = [given.get(guest["uuid"], guest) for guest in record["guests"]]
    added = [guest for guest in guests if guest["uuid"] not in known]
    since = record["since"] if record["closed"] else now
    if record["closed"] and kept + added == record["guests"]:
        who = record["who"]
    return dict(record, closed=True, since=since, who=who, guests=kept + added)


def opening(record):
    """
    The record of a host that takes guests again; those that were taken away stay remembered.
    """
    return dict(record, closed=False)


def without(record, uuids):
    """
    The record without guests that are home, or need not be remembered any more.
    """
    return dict(record, guests=[guest for guest in record["guests"] if guest["uuid"] not in uuids])


def refusal(record, host):
    """
    Why a host takes no guests, and what opens it, as a sentence; "" when it does take them.
    """
    if record["problem"]:
        return "%s takes no guests: %s. %s" % (host, _unknown(record), REMOVES % {"host": host})
    if not record["closed"]:
        return ""
    return "%s takes no guests: it is %s; %s" % (host, _emptied(record), OPENS % {"host": host})


def _unknown(record):
    return "whether it is being emptied cannot be told (%s)" % record["problem"]


def _emptied(record):
    since = record["since"] and "since %s" % record["since"]
    known = [text for text in (since, record["who"]) if text]
    return "being emptied%s" % (" (%s)" % ", ".join(known) if known else "")


def risks(record, host):
    """
    Why xend is not restarted on a host that is being emptied: a list of dicts as of `xend_lifecycle.risks`,
    empty when it is not.
    """
    words = {"host": host}
    if record["problem"]:
        what, remedy = _unknown(record), REMOVES
    elif record["closed"]:
        what = "%s is %s, and xend stays as it is there until it is filled again" % (host, _emptied(record))
        remedy = OPENS
    else:
        return []
    return [{"kind": ACCEPT, "what": what, "remedy": "%s. %s" % (remedy % words, RESTARTS % words)}]
