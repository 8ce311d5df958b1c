"""What lying minions may have done: a witness of what became of the honest hosts, and of what was said."""

import copy
import hashlib
import json
import os
import re
import stat
from pathlib import Path

from tests.faults import truth
from tests.lab import lies

# What a host itself, Salt and the product write while guests move: below these of a host, anything.
OWN = ("hypervisor", "control", "var/run", "var/log", "kept", "proc", "sys", "dev")
RAW = re.compile(
    r"Traceback|Rendering SLS|Jinja|jinja|YAML|[Uu]nable to (?:parse|render)|exception|UndefinedError|"
    r"object is not|has no attribute|NoneType|unhashable|KeyError|Data failed to compile"
)
CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


class Replay:
    """A conductor's minions, asked once: the runner's questions get the answers that they had then.

    answers -- {(host, question): what the host has answered}, filled by the first run
    """

    def __init__(self, conductor):
        self.conductor, self.answers, self.lies = conductor, {}, {}
        self.functions = conductor._runners()

    def run(self, function, given, told=None, test=False):
        """What a function of the runner returns, while hosts lie: {(host, question): lie}."""
        self.lies = told or {}
        self.conductor._publish = self._publish
        try:
            # As it comes from the pillar and goes into the SLS.
            said = self.functions[function](given=copy.deepcopy(given), test=test)
            return json.loads(json.dumps(said))
        finally:
            del self.conductor._publish

    def _publish(self, tgt, fun, arg, kwarg, tgt_type, expect_minions):
        asked = lies.question(fun, arg)
        missing = [host for host in tgt if (host, asked) not in self.answers]
        if missing:
            found = type(self.conductor)._publish(
                self.conductor, missing, fun, arg, kwarg, tgt_type, expect_minions
            )
            for host, answer in found.items():
                self.answers[host, asked] = answer["ret"]
        return {host: {"ret": self._answer(host, asked)} for host in tgt}

    def _answer(self, host, asked):
        true = copy.deepcopy(self.answers[host, asked])
        lie = self.lies.get((host, asked))
        return true if lie is None else lies.told(lie, lambda: true)


def tree(root, own=OWN):
    """{path below `root`: what is there} without what is below the folders `own`."""
    found = {}
    for folder, names, files in os.walk(root):
        below = os.path.relpath(folder, root)
        names[:] = [name for name in names if os.path.normpath(os.path.join(below, name)) not in own]
        for name in names + files:
            path = Path(folder, name)
            found[os.path.normpath(os.path.join(below, name))] = _what(path)
    return found


def _what(path):
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return "link", os.readlink(path)
    if stat.S_ISREG(info.st_mode):
        return "file", oct(info.st_mode), hashlib.sha256(path.read_bytes()).hexdigest()
    return "other", oct(info.st_mode)


def difference(before, after):
    """The paths at which two trees differ."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


class Witness:
    """What honest hosts were like when this was made, and what has become of them since."""

    def __init__(self, fleet, canary, liar=None):
        self.fleet, self.canary, self.liar = fleet, Path(canary), liar
        self.honest = [host for host in fleet if host.name != liar]
        self.trees = {host.name: tree(host.root) for host in self.honest}
        self.shared = tree(fleet.root / "shared", ())
        self.events = {host.name: len(host.journal()) for host in fleet}

    def written(self):
        """What has changed on honest hosts, as "host: path"."""
        found = [
            "%s: %s" % (host.name, path)
            for host in self.honest
            for path in difference(self.trees[host.name], tree(host.root))
        ]
        found += ["shared: " + path for path in difference(self.shared, tree(self.fleet.root / "shared", ()))]
        return found

    def happened(self, *events):
        """Which of these events (default: any) were there on honest hosts since, as (host, event, name)."""
        return [
            (host.name, entry["event"], entry["name"])
            for host in self.honest
            for entry in host.journal()[self.events[host.name] :]
            if not events or entry["event"] in events
        ]

    def crimes(self, *uuids):
        """What must never happen to any of these guests."""
        return [crime for uuid in uuids for crime in truth.crimes(truth.history(self.fleet, uuid))]


def sentences(run, liar):
    """All that an orchestration says to people; of the results of states only those of honest minions, since
    Salt shows what a minion returns as it is.

    run -- a conductor's Run
    """
    told = [str(text) for text in run.errors]
    for name, step in run.steps.items():
        told += [name, str(step["name"]), str(step["comment"])]
        for minion, ret in step.get("returned", {}).items():
            if minion != liar and isinstance(ret, dict):
                told += [str(state["comment"]) for state in ret.values()]
    return told


def faulty(text):
    """What an operator should never have to read in a text."""
    found = ["%r in %.300r" % (bad.group(), text) for bad in [RAW.search(text), CONTROL.search(text)] if bad]
    return found + ["rendered: %.300r" % text] * (lies.RENDERED in text)


def blemishes(run, liar):
    """The same of all that a run says."""
    return [bad for text in sentences(run, liar) for bad in faulty(text)]


# What a host may say about guests of others.


def copies(*held, sent=(), **more):
    """A lie about xm.copies."""
    said = {"copies": list(held), "sent": list(sent), "completed": None, "devices_s": 100}
    return {"xm.copies": {"answer": dict(said, declared=["xen1", "xen2", "xen3"], **more)}}


def forged(left):
    """What the machinery asked hosts for that believed the first one: the findings themselves."""
    step = {"host": "xen1", "do": "remove", "only_if_asked": False, "listed": "migrating-whole"}
    step.update(name="whole", uuid=left.whole.uuid, domid=left.whole.domid, claims={"xen2": "running"})
    again = dict(step, do="resume", listed="migrating-arrived", name="arrived")
    again.update(uuid=left.arrived.uuid, domid=left.arrived.domid)
    forget = dict(step, do="forget", listed="gone", name="gone", uuid=left.gone["uuid"], domid=None)
    forget.update(note=left.gone["id"])
    finding = {"name": "x", "uuid": None, "outcome": "moved", "facts": "", "comment": "", "lost": False}
    finding.update(moved=True, hosts={}, repairs=[step, again, forget], settled=[])
    return {"xm.findings": {"answer": [finding]}, "xm.unheard": {"answer": {"who": "", "do": ""}}}
