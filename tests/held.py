"""
What hosts may hold of a guest, and say of it, as the tests of that need it. Runs on Python 2.7, too.
"""

import xm_copies
import xm_output
from tests import ground_truth

COPIES = xm_copies.words()

# The letters with which each copy can be seen.
STATES = {
    "running": "-b----",
    "left": "r-----",
    "sending": "-b----",
    "migrating": "------",
    "suspended": "---s--",
    "halted": "----c-",
    "receiving": "--p---",
    "arriving": "--p---",
    "unfinished": "--p---",
}


def row(state, name="web01", domid=5, time_s=1.5, vcpus=1):
    return {
        "name": name,
        "domid": domid,
        "memory_mib": 96,
        "vcpus": vcpus,
        "state": state,
        "time_s": time_s,
    }


KEYS = ("name", "domid", "memory", "online_vcpus", "state", "cpu_time")


def form_of(row, keys=KEYS):
    """The description of the domain in a row of the table, as far as the table tells; None for what lacks."""
    pairs = [[key, value] for key, value in zip(keys, row) if value is not None]
    return [b"domain"] + [[data(key), data(value)] for key, value in pairs]


def data(value):
    """A word as the bytes that a description has."""
    text = value if hasattr(value, "upper") else str(value)
    return text if isinstance(text, bytes) else text.encode("utf-8")


def printed(text):
    """The rows of a table that xm has printed of guests with names of one word, all of which run."""
    lines = [line.split() for line in text.strip().splitlines()[1:]]
    return [(line[0], int(line[1]), int(line[2]), int(line[3]), line[4], float(line[5])) for line in lines]


def copies(host, kind, transferring):
    """(clock, what the host held) at every moment that was seen of a real migration."""
    for clock, text in ground_truth.watched("migrate/watched-%s-%s" % (kind, host)):
        rows = [found for found in xm_output.rows(map(form_of, printed(text))) if found["domid"]]
        yield clock, xm_copies.copy(rows[0] if rows else None, transferring)


def view(copy, **more):
    found = {
        "copy": copy,
        "state": STATES.get(copy),
        "domid": 7,
        "uuid": "u1",
        "listed": None,
        "problem": "no route" if copy == "unknown" else None,
    }
    return dict(found, **more)


def one(copy, name="web01", uuid="u1", domid=7, listed=None):
    usual = "migrating-" if copy in ("sending", "migrating", "left", "suspended") else ""
    return {
        "name": name,
        "listed": listed or usual + name,
        "uuid": uuid,
        "domid": None if copy == "managed" else domid,
        "state": STATES.get(copy, ""),
        "copy": copy,
    }


SILENT = {"problem": "no route"}


def fleet(*held):
    """
    Reports of xen1, xen2 and so on: each is a list of copies, one copy, or SILENT.
    """
    reports = {}
    for number, copies in enumerate(held):
        if copies is not SILENT:
            alone = isinstance(copies, dict)
            copies = {"copies": [copies] if alone else copies, "declared": ["xen1"]}
        reports["xen%d" % (number + 1)] = copies
    return reports


def note(name="web01", uuid="u1", target="xen2", at="2012-03-04 05:06:07 UTC"):
    kept = "/kept/%s.sxp" % name
    words = {"name": name, "uuid": uuid, "target": target, "at": at, "what": "96 MiB", "kept": kept}
    return dict(words, id="%s %s %s" % (name, uuid, at))


def noted(reports, **notes):
    """
    The reports, with these notes of these hosts.
    """
    for host, made in notes.items():
        reports[host] = dict(reports[host], sent=made if isinstance(made, list) else [made])
    return reports


GUEST = {"name": "web01", "uuid": "u1", "source": "xen1", "target": "xen2", "ran": True}
