"""
Many guests at once: what the orchestrations ``xend.orch.evacuate`` and ``xend.orch.restore`` ask before they
list their steps, and the step that moves the guests. Part of the runner `xend`, see xend.py.

A guest is moved by the same checks, states and verdict as by ``xend.orch.migrate``, but by few questions to
the hosts: what both ends hold, whether the target takes it, the transfer, and what both ends hold then.
Threads publish these and do nothing else; what a failed move needs is done one after the other.
"""

import concurrent.futures
import contextlib
import contextvars
import fcntl
import json
import logging
import os
import time
import urllib.parse

import salt.client

log = logging.getLogger(__name__)

# As in _utils/xend_version.py: what was synced to a master may be of several versions.
VERSION = "0.2.0"

# For so long a minion is not asked whether it is still at it.
STEP_S = 60

# How long the target may take to complete a guest of which it does not say how long it waits for devices; and
# what xend needs beside that (see xm_look.DEVICES_S).
DEVICES_S, SLACK_S = 100, 20

# How long it is waited at most for a guest that a former run has sent, and how long for one answer.
FORMER_S, FORMER_STEP_S = 4 * 3600, 60

RECEIVE, DEPART, LEAVE = "xend.orch.receive", "xend.orch.depart", "xend.orch.leave"

__virtualname__ = "xend"


def __virtual__():
    try:
        # What these need themselves, too.
        xend_master.undeclared()
        xend_said.states_in({}, _Utility)
        xend_version.version()
        xm_fleet.unheard({})
        xm_moves.names(None)
        xm_plan.next_moves([], [], 1)
        xm_steps.option_names()
    except (ImportError, AttributeError):
        return False, "the utilities of xend are not on the master: run `salt-run saltutil.sync_all`"
    return "xend"


class _Utility(object):
    """
    A utility, of which calls read like those of a module; see xend.py.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_master = _Utility("xend_master")
xend_said = _Utility("xend_said")
xend_version = _Utility("xend_version")
xm_fleet = _Utility("xm_fleet")
xm_moves = _Utility("xm_moves")
xm_plan = _Utility("xm_plan")
xm_steps = _Utility("xm_steps")


def _master():
    return xend_master.master(__opts__, __salt__, salt.client.get_local_client, _Utility)


# One run a host


def _lock_of(host):
    return os.path.join(__opts__["cachedir"], "xend-moves-%s.lock" % urllib.parse.quote(host, safe=""))


@contextlib.contextmanager
def _alone(host, who):
    """
    Nobody else empties or fills this host from this master while the block runs, which is given None; where
    somebody does already, it is given what is to be said of that. The lock goes with the process that holds
    it.
    """
    with open(_lock_of(host), "a+") as stream:
        try:
            # This kind is not handed on to processes that are forked meanwhile, and may live longer.
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            stream.seek(0)
            yield xm_moves.busy(host, stream.read(), _Utility)
            return
        stream.truncate(0)
        stream.write(who)
        stream.flush()
        yield None


def _now():
    return time.strftime("%Y-%m-%d %H:%M:%S")


# What xend.orch.evacuate asks


def evacuation(given=None, test=False):
    """
    What the orchestration ``xend.orch.evacuate`` has to know before it lists its steps: whether it may begin,
    and where each guest goes. Only looks.

    given
        the pillar ``xend:evacuate``
    test
        nothing will be moved

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be moved; ``says`` (the
    plan, a list of dicts: ``id``, ``text``, ``good``); and, when something can be, ``source``, ``configures``
    (the hosts on which relocation is to be configured), ``closes`` (the arguments of the state that closes
    the source) and ``moves`` (what ``xend.evacuate_moves`` is given). Always there is ``version``, that of
    Xend for Salt on this master.

    CLI Example:

    .. code-block:: bash

        salt-run xend.evacuation '{"source": "xen1"}' test=True
    """
    return dict(_evacuation(given if isinstance(given, dict) else {}, test), version=xend_version.version())


def _evacuation(given, test):
    master = _master()
    refused = _refusal(master, given, "evacuate", "source")
    if refused:
        return refused
    source = given["source"]
    wanted = {key: given[key] for key in ("spare_mib", "order") if given.get(key)}
    wanted.update((key, xm_moves.names(given[key])) for key in ("targets", "domains") if given.get(key))
    plan = __salt__["xend.plan"](source=source, **wanted, **xm_steps.options(given))
    if plan.get("problem"):
        name = plan.get("id") or "%s can be emptied" % source
        return xm_steps.stop(name, "Nothing was moved. %s" % plan["problem"], _Utility)
    differs = xend_version.refusal(plan["modules"], "Nothing was moved.", _Utility)
    if differs:
        return differs
    return xm_moves.evacuation(given, plan, "evacuation of %s, begun %s" % (source, _now()), test, _Utility)


def _refusal(master, given, which, key):
    """
    Why a run may not begin, by its pillar, and because of another run for the host that stands there under
    KEY: ``stop``, or None when it may.
    """
    wrong = xm_moves.wrong(given, which, _Utility)
    if wrong:
        wrong += _wrong_options(master, given, given.get(key))
        return xm_moves.refused(which, wrong, _Utility)
    with _alone(given[key], "") as busy:
        return busy


def _wrong_options(master, given, host):
    """
    What a host says of the options of a migration, if it can be asked.
    """
    options = xm_steps.options(given)
    if not options or not isinstance(host, str) or host not in master.declared([host])[0]:
        return []
    said = master.call(host, "xm.check_options", keywords=options)
    if not isinstance(said, str):
        return []
    return [master.heard(host, "xm.check_options", "view", said)["problem"]]


def evacuate_moves(given, saltenv="base"):
    """
    Move the guests of an evacuation, look where they are, and put in order what is left to be done.

    given
        ``moves`` of what ``xend.evacuation`` has returned
    saltenv
        where the minions find the SLS of the steps

    Returns what ``state.orchestrate`` returns for such states: one for each guest, and at last one that says
    whether the host is empty of what was asked for.

    CLI Example:

    .. code-block:: bash

        salt-run xend.evacuate_moves '{"host": "xen1", "who": "maintenance", "parallel": 2, "options": {},
            "moves": [], "under_way": [], "impossible": [], "domains": null}'
    """
    given = _given(given)
    host, master = given["host"], _master()
    with _alone(host, given["who"]) as busy:
        if busy:
            return _returned([_failed(busy["stop"])])
        record = _asked(master, [host], "xm.evacuation", "evacuation")[host]
        unprepared = xm_moves.unprepared(record, given["moves"], _Utility)
        if unprepared:
            return _returned([_not_closed(host, unprepared)])
        run = _Run(master, given, saltenv)
        fates = run.fates()
        reports = _last_look(master, given, fates)
        fates = xm_moves.seen_last(fates, reports, _Utility)
        fates += run.missed(record["guests"], reports, fates)
        left = xm_moves.left_on(host, reports, given["domains"], fates + given["impossible"])
        says = xm_moves.emptied(given, fates, left, _Utility)
        return _returned(_settled(master, given, fates, reports, []) + says)


def _given(given):
    return json.loads(given) if isinstance(given, str) else given


def _failed(stop):
    return dict(stop, good=False)


def _not_closed(host, why):
    text = (
        "Nothing was moved: %s has not been closed to guests for this run, so that it might be filled "
        "meanwhile, or not all be brought back (%s). The step above says why; then run this again"
    )
    return xm_steps.say("%s takes no guests" % host, text % (host, why), False, _Utility)


def _returned(says):
    return {"data": {__opts__["id"]: xm_steps.as_states(says)}, "outputter": "highstate"}


# What xend.orch.restore asks


def restoration(given=None, test=False):
    """
    What the orchestration ``xend.orch.restore`` has to know before it lists its steps: which guests an
    evacuation has taken away from a host, and what has become of each. Only looks.

    given
        the pillar ``xend:restore``
    test
        nothing will be moved

    Returns a dict: ``stop`` and ``says`` as ``xend.evacuation``, and ``host``, ``configures`` (the hosts on
    which relocation is to be configured), ``opens`` (the arguments of the state that opens the host) and
    ``moves`` (what ``xend.restore_moves`` is given). Always there is ``version``, that of Xend for Salt on
    this master.

    CLI Example:

    .. code-block:: bash

        salt-run xend.restoration '{"host": "xen1"}' test=True
    """
    return dict(_restoration(given if isinstance(given, dict) else {}, test), version=xend_version.version())


def _restoration(given, test):
    master = _master()
    refused = _refusal(master, given, "restore", "host")
    if refused:
        return refused
    host = given["host"]
    declared, mistakes = master.declared([host])
    why = None
    if not declared:
        why = master.none_declared(mistakes, host)
    elif host not in declared:
        why = "%s is none of the hosts in the pillar (%s)" % (host, ", ".join(sorted(declared)))
    if why:
        return xm_steps.stop("%s can be filled" % host, "Nothing was done: %s" % why, _Utility)
    # That a guest has moved on since, its host may keep in mind, when that was emptied as well.
    records = master.ask(sorted(declared), "xm.evacuation", "evacuation")
    record = records[host]
    if record.get("problem"):
        why = ". ".join(part for part in (record["problem"], record.get("remedy")) if part)
        text = "Nothing was done: what was taken away from %s cannot be told: %s" % (host, why)
        return xm_steps.stop("%s can be filled" % host, text, _Utility)
    reports, domains = {}, xm_moves.names(given.get("domains"))
    if record["guests"] or domains:
        reports = master.ask(sorted(declared), "xm.copies", "copies")
    returns = xm_moves.returning(records, reports, host, domains, _Utility)
    here = reports.get(host, {}).get("copies")
    unknown = xm_moves.strangers(domains, record["guests"], returns, here, host)
    if unknown:
        return xm_moves.refused("restore", unknown, _Utility)
    hosts = _readiness(master, host, returns)
    modules = {name: said["modules"] for name, said in hosts.items()}
    differs = xend_version.refusal(modules, "Nothing was done.", _Utility)
    if differs:
        return differs
    who = "restoration of %s, begun %s" % (host, _now())
    return xm_moves.restoration(given, record, returns, hosts, who, test, _Utility)


def _readiness(master, host, returns):
    """
    What the hosts that exchange guests say of their settings, those of them that answer.
    """
    moves = [one for one in returns if one["source"]]
    if not moves:
        return {}
    ends = sorted({host, *[one["source"] for one in moves]})
    found = master.ask(ends, "xm.report", "report", [moves[0]["domain"]])
    return {name: said for name, said in found.items() if "view" in said}


def restore_moves(given, saltenv="base"):
    """
    Bring back the guests of a host that an evacuation has taken away, look where they are, and put in order
    what is left to be done.

    given
        ``moves`` of what ``xend.restoration`` has returned
    saltenv
        where the minions find the SLS of the steps

    Returns what ``state.orchestrate`` returns for such states: one for each guest, and at last one that says
    whether all are back that can be.

    CLI Example:

    .. code-block:: bash

        salt-run xend.restore_moves '{"host": "xen1", "who": "maintenance", "parallel": 2, "options": {},
            "moves": [], "others": [], "drop": []}'
    """
    given = _given(given)
    host, master = given["host"], _master()
    with _alone(host, given["who"]) as busy:
        if busy:
            return _returned([_failed(busy["stop"])])
        fates = _Run(master, given, saltenv).fates()
        reports = _last_look(master, given, fates)
        fates = xm_moves.seen_last(fates, reports, _Utility)
        drop = given["drop"] + [one["uuid"] for one in fates if one["good"]]
        settled = _settled(master, given, fates, reports, drop)
        return _returned(settled + xm_moves.filled(given, fates, _Utility))


# What comes after the moves


def _asked(master, hosts, function, form, keywords=None):
    """
    The same as `master.ask`, also when nobody can be asked any more.
    """
    try:
        return master.ask(hosts, function, form, keywords=keywords)
    except Exception as exc:
        log.exception("%s could not be asked", function)
        problem = master.legible("this master could not ask it: %s" % exc, 500)
        return {host: {"problem": problem, "remedy": ""} for host in hosts}


def _last_look(master, given, fates):
    """
    What all hosts hold that have to do with this run.
    """
    hosts = {given["host"]}
    for one in fates:
        hosts.update(host for host in (one["source"], one["target"]) if host)
    reports = _asked(master, sorted(hosts), "xm.copies", "copies")
    # What a run before this one has sent may have arrived where nobody went this time; until that is seen its
    # safety copy takes up room.
    sent = [made for said in reports.values() for made in said.get("sent") or []]
    others = {made["target"] for made in sent}.difference(hosts)
    if others:
        others.intersection_update(master.declared([given["host"]])[0])
        reports.update(_asked(master, sorted(others), "xm.copies", "copies"))
    return reports


def _settled(master, given, fates, reports, drop):
    """
    Put in order what guests that have moved have left; return what there is to say about that.
    """
    shares = xm_moves.settling(fates, reports, given["host"], drop, _Utility)
    shares = {host: share for host, share in shares.items() if reports[host].get("copies") is not None}
    if not shares:
        return []
    try:
        answers = master.publish(sorted(shares), "xm.settle_moves", [shares], {"who": given["who"]})
    except Exception as exc:
        log.exception("xm.settle_moves could not be published")
        answers = dict.fromkeys(shares, str(exc))
    told = []
    for host in sorted(shares):
        said = answers.get(host, "no answer")
        told += ["%s: %s" % (host, one) for one in (said if isinstance(said, list) else [said])]
    if not told:
        return []
    text = "what the guests have left is not all put in order; `%s` does it later: %s"
    text = text % ("salt-run state.orchestrate xend.orch.recover", "; ".join(told))
    return [xm_steps.say("something is still to be put in order", text, True, _Utility)]


# Moving


class _Run:
    """
    Guests that are moved, as many at once as may be. What becomes of each is its fate, see xm_moves.
    """

    def __init__(self, master, given, saltenv):
        self.master, self.saltenv, self.who = master, saltenv, given["who"]
        self.host, self.domains = given["host"], given.get("domains")
        self.options, self.parallel = given["options"], given["parallel"]
        self.waiting, self.former = list(given["moves"]), list(given.get("under_way") or [])
        # Why nothing further is started, on any host, or with these.
        self.stopped, self.silent = None, {}
        # Notes on guests that have arrived, which go with the next step on their host, so that the safety
        # copies of those that have left make room for the next one's.
        self.settled = []

    def fates(self):
        """
        Move all of them; return what has become of each.
        """
        found, moving = [], {}
        with concurrent.futures.ThreadPoolExecutor(self.parallel + len(self.former)) as pool:
            # These are on their way whatever this run does.
            for move in self.former:
                moving[self._begin(pool, self._awaited, move)] = move
            while self.waiting or moving:
                found += self._left_alone()
                for move in xm_plan.next_moves(self.waiting, list(moving.values()), self.parallel):
                    self.waiting.remove(move)
                    notes = self._notes_of(move["source"])
                    moving[self._begin(pool, self._moved, move, notes)] = move
                for one in self._over(moving):
                    fate = self._judged(moving.pop(one), one.result())
                    found.append(fate)
                    if fate["stops"] and not self.stopped:
                        self.stopped = xm_moves.after(fate["domain"])
        return found

    def missed(self, kept, reports, fates):
        """
        The fates of guests that a former run has sent, and that are neither here nor where they shall be: who
        is not on the host any more would not be missed.

        kept
            the guests that the host keeps in mind
        """
        host, known = self.host, {one["uuid"] for one in fates}
        kept, found = {guest["uuid"] for guest in kept} - known, []
        for made in reports[host].get("sent") or []:
            if made["uuid"] not in kept or self.domains and made["name"] not in self.domains:
                continue
            move = {"domain": made["name"], "uuid": made["uuid"], "source": host, "target": made["target"]}
            try:
                # It may have moved on.
                finding = self._found(move, 0, sorted(self.master.declared([host])[0]))
            except Exception as exc:
                log.exception("where %s is could not be told", move["domain"])
                found.append(xm_moves.fate(move, "unknown", self._broken(exc)))
                continue
            if finding["outcome"] not in ("moved", "unharmed"):
                found.append(xm_moves.fate(move, finding["outcome"], finding["comment"]))
        return found

    def _over(self, moving):
        """
        Those that are over, of which it is waited for one at least. Whoever ends salt-run (Ctrl-C) ends what
        would come after them: minions go on with a guest that is under way, so it is still told what becomes
        of that.
        """
        try:
            return concurrent.futures.wait(moving, return_when=concurrent.futures.FIRST_COMPLETED)[0]
        except (KeyboardInterrupt, SystemExit):
            if self.stopped == xm_moves.ended():
                raise
            names = sorted(move["domain"] for move in moving.values())
            log.warning("nothing further is started; %s under way, and awaited", " and ".join(names))
            self.stopped = xm_moves.ended()
            return []

    @staticmethod
    def _begin(pool, function, move, *arguments):
        # What Salt's loader has put into this module, a thread finds in its context.
        context = contextvars.copy_context()
        log.info("%s: %s to %s", function.__name__, move["domain"], move["target"])
        return pool.submit(context.run, function, move, *arguments)

    def _left_alone(self):
        """
        The fates of guests that wait and shall not be tried any more.
        """
        found = []
        for move in list(self.waiting):
            why = self.stopped or self.silent.get(move["source"]) or self.silent.get(move["target"])
            if why:
                self.waiting.remove(move)
                found.append(xm_moves.not_tried(move, why))
        return found

    def _notes_of(self, host):
        mine = [made for made in self.settled if made["host"] == host]
        self.settled = [made for made in self.settled if made["host"] != host]
        return mine

    # In threads: they ask and tell minions, and keep nothing.

    def _moved(self, move, notes):
        """
        Move one guest, as far as that goes by itself.

        Returns a dict: ``silent`` (a dict from hosts that do not answer to what is said of that), ``said``
        (sentences: what was in the way), ``tried`` (whether its host may have begun to send it), ``look``
        (see xm_steps.plan; None when it was not come so far), ``finding`` (see xm_fleet.gather_one, the same)
        and ``lacks`` (what is not done of what belongs to it beside moving).
        """
        went = {"silent": {}, "said": [], "tried": False, "look": None, "finding": None, "lacks": []}
        try:
            self._move(move, notes, went)
        except Exception as exc:
            log.exception("the move of %s broke off", move["domain"])
            went["said"].append(self._broken(exc))
        return went

    def _move(self, move, notes, went):
        name, source, target = move["domain"], move["source"], move["target"]
        given = dict(self.options, domain=name, source=source, target=target)
        begun = time.time()
        question = {"source": source, "options": self.options}
        reports = self.master.ask([source, target], "xm.report", "report", [name], question)
        answered_s = time.time() - begun
        for host, said in reports.items():
            xm_steps.check_identity(host, said, name, _Utility)
            if "view" not in said:
                went["silent"][host] = self._silence(host, said)
        left = reports[source]
        if went["silent"]:
            self.master.unmark(source, left.get("marked"))
            return
        refused = xm_steps.refusal(given, reports, [source, target], _Utility)
        guest = left.get("domain")
        if guest and guest["uuid"] != move["uuid"]:
            went["said"].append("%s on %s is another guest now (uuid %s)" % (name, source, guest["uuid"]))
        elif refused:
            went["said"].append(refused["stop"]["text"])
        if went["said"]:
            self.master.unmark(source, left.get("marked"))
            return
        uuid = xm_steps.follower(given, reports)
        file = self.master.guests_file(name, uuid, source, target) if uuid else None
        plan = xm_steps.plan(given, reports, file, answered_s, self.who, False)
        # What has not been planned with this guest is not taken for it.
        went["look"] = dict(plan["look"], uuid=move["uuid"])
        steps, takes = plan["steps"], None
        if guest:
            takes = self._take(target, RECEIVE, {"step": steps["receive"]}, went)
            self._depart(source, steps, takes, notes, went)
        wait_s = self._settle_s(reports[target]) if went["tried"] else 0
        went["finding"] = self._found(went["look"], wait_s)
        if went["finding"]["moved"]:
            self._follow_up(plan, went)
        elif takes and not went["tried"]:
            # Else its memory would be kept from others for minutes.
            self.master.call(target, "xend.release", [name], {"who": self.who})

    def _broken(self, exc):
        text = "this master could not go on (%s: %s)" % (type(exc).__name__, exc)
        return self.master.legible(text, 500)

    def _silence(self, host, said):
        why = ". ".join(part for part in (said["problem"], said.get("remedy")) if part)
        return "%s: %s" % (host, why)

    def _take(self, host, sls, pillar, went):
        """
        Run the states of a step on a host. Returns whether all are well; None when it has not answered.
        """
        keywords = {"pillar": {"xend": pillar}, "concurrent": True, "saltenv": self.saltenv}
        returned = self.master.call(host, "state.sls", [sls], keywords, STEP_S)
        if isinstance(returned, dict) and returned:
            states = xend_said.states_in(returned, _Utility)
            bad = [state for state in states if state["result"] is False]
            went["said"] += [state["comment"] for state in bad if state["comment"]]
            went["done"] = {state["function"]: state["result"] for state in states}
            return not bad
        went["done"] = {}
        if returned is None:
            went["silent"][host] = "%s: its minion has not answered in the middle of a move" % host
        words = "no answer" if returned is None else self.master.legible("%s" % (returned,), 1000)
        went["said"].append("%s on %s: %s" % (sls, host, words))
        return None

    def _depart(self, source, steps, takes, notes, went):
        if not takes:
            # It says what else is in the way, and removes the markers.
            self._take(source, LEAVE, {"step": steps["leave"]}, went)
            return
        pillar = {key: steps[key] for key in ("leave", "send")}
        pillar["forget"] = [_forgotten(made) for made in notes]
        # Where it is not known how far that went, it may be on its way.
        went["tried"] = True
        answered = self._take(source, DEPART, pillar, went)
        went["tried"] = answered is None or went["done"].get("can_send") is not False

    def _settle_s(self, there):
        if self.options.get("settle") is not None:
            return float(self.options["settle"])
        return (there["view"].get("devices_s") or DEVICES_S) + SLACK_S

    def _found(self, look, wait_s, hosts=None):
        """
        What both ends hold of a guest, or these hosts, and what that means.
        """
        question = {"domain": look["domain"], "uuid": look["uuid"], "wait": wait_s}
        hosts = hosts or [look["source"], look["target"]]
        reports = self.master.ask(hosts, "xm.copies", "copies", keywords=question)
        return xm_fleet.gather_one(reports, xm_steps.guest_of(look), _Utility)

    def _follow_up(self, plan, went):
        """
        What belongs to a guest beside moving, once it runs on its target.
        """
        source, target, steps = plan["source"], plan["target"], plan["steps"]
        lacks = {"silent": went["silent"], "said": went["lacks"]}
        if plan["unmanages"]:
            self._take(source, "xend.orch.unmanage", {"step": steps["unmanage"]}, lacks)
        if plan["announces"]:
            self._take(target, "xend.orch.announce", {"step": steps["announce"]}, lacks)
        if plan["follows"] and self._take(target, "xend.orch.settle", {"step": steps["settle"]}, lacks):
            self._take(source, "xend.orch.vacate", {"step": steps["vacate"]}, lacks)

    def _awaited(self, move):
        """
        Wait for a guest that a former run has sent; return as `_moved` does.
        """
        went = {"silent": {}, "said": [], "tried": True, "look": None, "finding": None, "lacks": []}
        if not move["target"]:
            went["said"].append("where it is being sent to is not known")
            return went
        wanted = ("domain", "uuid", "source", "target")
        went["look"] = dict({key: move[key] for key in wanted}, ran=False, who=self.who, marked=None)
        try:
            end = time.monotonic() + FORMER_S
            while True:
                went["finding"] = self._found(went["look"], FORMER_STEP_S)
                if went["finding"]["outcome"] != "going_on" or time.monotonic() > end:
                    return went
        except Exception as exc:
            log.exception("%s could not be awaited", move["domain"])
            went["said"].append(self._broken(exc))
        return went

    # In the main thread, one after the other

    def _judged(self, move, went):
        """
        The fate of a guest of which the move has ended.
        """
        name, finding, look = move["domain"], went["finding"], went["look"]
        move = dict(move, ran=bool(look and look["ran"]))
        self.silent.update(went["silent"])
        if not went["tried"]:
            outcome = finding["outcome"] if finding else "not tried"
            if finding and finding["moved"]:
                return self._arrived(move, went)
            if went["silent"] and not finding:
                return xm_moves.not_tried(move, ". ".join(went["silent"].values()))
            where = ["Nothing was done to it"]
            if finding:
                where = [finding["facts" if went["said"] else "comment"]]
            return xm_moves.fate(move, outcome, _sentence(name, went["said"] + where), started=False)
        if finding and finding["moved"]:
            return self._arrived(move, went)
        return self._mended(move, went)

    def _arrived(self, move, went):
        finding, lacks = went["finding"], went["lacks"]
        self.settled += [dict(made, name=move["domain"]) for made in finding["settled"]]
        if lacks:
            text = "%s. What belongs to it is not all done: %s" % (finding["comment"], "; ".join(lacks))
            return dict(xm_moves.fate(move, "moved", text), lacks=True)
        return xm_moves.fate(move, "moved", finding["comment"], good=True)

    def _mended(self, move, went):
        """
        The fate of a guest that has not arrived: wait, repair what is safe, and look again.
        """
        name, look = move["domain"], went["look"]
        if look is None:
            return xm_moves.fate(move, "unknown", _sentence(name, went["said"]))
        told, finding = list(went["said"]), went["finding"]
        try:
            self.master.unmark(look["source"], look["marked"])
            given = {key: value for key, value in look.items() if key != "marked"}
            run = __salt__["state.orchestrate"]("xend.orch.recover", pillar={"xend": {"recover": given}})
            told += _told(next(iter(run["data"].values())))
            finding = self._found(look, 0)
            if finding["nowhere"]:
                # Somebody else may have moved it meanwhile.
                finding = self._found(look, 0, sorted(self.master.declared([look["source"]])[0]))
        except Exception as exc:
            log.exception("what has become of %s could not be told", name)
            told.append(self._broken(exc))
            finding = None
        outcome = finding["outcome"] if finding else "unknown"
        if outcome == "moved":
            return xm_moves.fate(move, outcome, finding["comment"], good=True)
        return xm_moves.fate(move, outcome, _sentence(name, told))


def _told(returned):
    """
    What an orchestration of the recovery says of guests, as sentences: the one that it runs after repairs
    knows more than it does. And what repairs say that failed.
    """
    failed, says, last = [], [], []
    for state in xend_said.states_in(returned, _Utility):
        if state["says"]:
            last += [one["text"] for one in state["says"]]
        elif state["function"] == "steps":
            failed += xend_said.why_failed(state)
        else:
            says.append(state["comment"])
    return failed + (last or says)


def _sentence(name, parts):
    said = []
    for part in parts:
        part = part.strip()
        if part and part not in said:
            said.append(part)
    return ". ".join(said) or "nothing is known of %s" % name


def _forgotten(made):
    """
    The arguments of the state that ends a note.
    """
    return [
        {"name": made["name"]},
        {"do": "forget"},
        {"listed": made["name"]},
        {"uuid": made["uuid"]},
        {"note": made["note"]},
        {"claims": made["claims"]},
    ]
