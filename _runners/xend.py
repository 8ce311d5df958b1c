"""
All Xen hosts at once, seen from the master; and what the orchestrations ask before they list their steps.

The master and the pillar are trusted, and each host is believed about itself only: hosts that the pillar does
not declare (``xend:relocation:hosts``) are not asked, an answer that is not of the agreed form
(``_utils/xm_heard.py``) is none, and what the answers mean together (``_utils/xm_fleet.py``) is decided here.

``salt-run saltutil.sync_all`` brings this file and the utilities that it needs to the master.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import salt.client
import salt.utils.event

# As in _utils/xend_version.py: what was synced to a master may be of several versions.
VERSION = "0.2.0"

RECOVER = ("hosts", "wait", "remove_lost", "resume", "restore")
# What xend.orch.migrate asks xend.orch.recover afterwards.
RECOVER_ONE = ("domain", "uuid", "ran", "who", "source", "target", "look")
# Of a repair, what the state on its host is given.
REPAIR = ("name", "do", "listed", "uuid", "domid", "claims", "note")

# What tells how far a migration is, and how long it is waited for that before time goes on.
PROGRESS, TICK_S = "xend/migrate/", 1
# A terminal is not drawn more often.
DRAW_S = 0.2
TERMINAL = (80, 24)
MOVES_LOCKS = "xend-moves-*.lock"


def __virtual__():
    try:
        # What these need themselves, too.
        xend_master.undeclared()
        xend_matrix.table({}, 80, _Utility)
        xend_said.states_in({}, _Utility)
        xend_settings.declared(None, _Utility)
        xend_text.meant("", [])
        xend_version.version()
        xm_copies.words()
        xm_fleet.unheard({})
        xm_heard.legible("")
        xm_steps.option_names()
        xm_verdict.finding(None, "")
        xm_watch.board(_Utility)
    except (ImportError, AttributeError):
        return False, "the utilities of xend are not on the master: run `salt-run saltutil.sync_all`"
    return "xend"


class _Utility(object):
    """
    A utility, of which calls read like those of a module: `xend_sxp.parse(data)`. Synced ones come first;
    those of an installed extension are not loaded into __utils__ by Salt 3006 and later, and are imported,
    all others as well then: Salt looks through its folders again for each name that it does not find.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                # Salt's wrapper switches to the loader of the utilities, where the functions that are
                # handed to them would find no __salt__, and it cannot be used by two threads at once.
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_master = _Utility("xend_master")
xend_matrix = _Utility("xend_matrix")
xend_said = _Utility("xend_said")
xend_settings = _Utility("xend_settings")
xend_text = _Utility("xend_text")
xend_version = _Utility("xend_version")
xm_copies = _Utility("xm_copies")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_steps = _Utility("xm_steps")
xm_verdict = _Utility("xm_verdict")
xm_watch = _Utility("xm_watch")


def _master():
    return xend_master.master(__opts__, __salt__, salt.client.get_local_client, _Utility)


# What people ask


def where(domain):
    """
    Which hosts hold a copy of a guest.

    domain
        its name

    Returns a dict from minion id to a dict: ``copy``, what it holds in one word (``running``, ``halted``,
    ``suspended`` …), ``state``, ``domid``, ``listed`` (the name under which ``xm list`` shows it); or
    ``problem`` and ``remedy`` for a host that does not say, and, when none of the others holds one, ``near``,
    names of their guests that are like it; and ``wrong`` where there are mistakes in the pillar, so that a
    host may not have been asked, the same list of sentences for each. Hosts without a copy are left out. When
    all hosts have said that they hold none, ``problem`` says so, and which names are like it; then, and when
    no host says anything, the command exits with 1.

    CLI Example:

    .. code-block:: bash

        salt-run xend.where web01
    """
    found = _where(domain)
    is_told = [said for said in found.values() if isinstance(said, dict) and said["copy"] != "unknown"]
    return found if is_told else _failed("xend.where", found)


def _failed(function, found):
    """
    What could not be done, as a command by itself says it: salt-run ends with that code.
    """
    return dict(found, retcode=1) if __opts__.get("fun") == function else found


def _where(domain):
    master, name = _master(), str(domain)
    declared, wrong = master.declared()
    if not declared:
        return {"problem": master.none_declared(wrong)}
    found, near = {}, {}
    for host, said in sorted(master.ask(sorted(declared), "xm.where", "view", [name]).items()):
        if said.get("problem"):
            found[host] = {"copy": "unknown", "problem": said["problem"], "remedy": said["remedy"]}
        elif said["copy"] != "absent":
            found[host] = {key: said[key] for key in ("copy", "state", "domid", "listed")}
        for other in said.get("near") or []:
            near.setdefault(other, []).append(host)
    likely = xend_text.nearest(name, near)
    if not found:
        shown = ["%s (on %s)" % (other, ", ".join(near[other])) for other in likely]
        meant = "; did you mean %s?" % " or ".join(shown) if shown else ""
        none = "no host has a guest of the name %s (%s)" % (name, ", ".join(sorted(declared)))
        # A host that the pillar names wrongly was not asked.
        told = [xm_heard.legible(none) + meant, *_in_pillar(wrong)]
        return {"problem": ". ".join(told)}
    if likely and all(said["copy"] == "unknown" for said in found.values()):
        for said in found.values():
            said["near"] = likely
    for said in found.values() if wrong else []:
        said["wrong"] = _in_pillar(wrong)
    return found


def _in_pillar(wrong):
    """
    What is WRONG in the pillar, as sentences.
    """
    return [xm_heard.legible("In the pillar, %s" % mistake) for mistake in wrong]


def matrix(hosts=None):
    """
    Who lets whom in, over the whole fleet: each host asks the relocation ports of all others.

    hosts
        a list of minion ids, or text with commas between them; default: all that the pillar declares

    Returns a dict from minion id to a dict: ``into``, a dict from each other host to ``result`` and
    ``message`` of what ``xend.probe`` says there of it; ``version`` of the tools of Xen, ``free_mib`` (memory
    that no domain has), ``guests`` (how many run), ``closed`` (why it takes no guests; "" when it does),
    ``pending`` (why a restart of xend is pending there), each None when that cannot be told; ``modules``, the
    version of Xend for Salt there (None also for one that does not say it); ``problem`` and ``remedy`` when
    the host does not say all of it; and ``wrong``, what is wrong with all of them together, the same for
    each: mistakes in the pillar, and versions that differ from that of this master, a list of sentences. On a
    terminal it is a table; ``--out`` gives the data.

    CLI Example:

    .. code-block:: bash

        salt-run xend.matrix
        salt-run xend.matrix hosts=xen1,xen2 --out json
    """
    ids, master = _names(hosts), _master()
    declared, wrong = master.declared(ids)
    if not declared:
        return _failed("xend.matrix", {"problem": master.none_declared(wrong, ", ".join(ids or []))})
    wanted = sorted(ids or declared)
    known = [host for host in wanted if host in declared]
    asked = master.ask(known, "xend.outlook", "outlook", keywords={"hosts": known})
    found = {host: _outlook(asked.get(host) or _undeclared(host, declared), known) for host in wanted}
    answered = {host: said["modules"] for host, said in asked.items() if "answers" in said}
    differ = xend_version.differ(answered, _Utility)
    for said in found.values():
        said["wrong"] = _in_pillar(wrong) + ([differ] if differ else [])
    if _is_for_people("xend.matrix"):
        width = shutil.get_terminal_size(TERMINAL).columns
        return {"data": "\n".join(xend_matrix.table(found, width, _Utility)), "outputter": "txt"}
    return found


def _names(given):
    """
    Names as people give them: a list, or text with commas between them. None: none were given.
    """
    if given is None or given == "":
        return None
    given = given if isinstance(given, (list, tuple)) else str(given).split(",")
    return [name for name in [str(name).strip() for name in given] if name]


def _is_for_people(function):
    """
    Whether this function is a command by itself, and not for a program that wants the data.
    """
    return __opts__.get("fun") == function and not __opts__.get("output")


def _undeclared(host, declared):
    found = xend_master.undeclared()
    return dict(found, problem=found["problem"] + xend_text.meant(host, declared))


def _outlook(said, known):
    answers = said.get("answers") or {}
    found = {key: said.get(key) for key in ("version", "free_mib", "guests", "closed", "pending", "modules")}
    found["into"] = {
        host: {key: xm_heard.legible(answer[key]) for key in ("result", "message")}
        for host, answer in answers.items()
        if host in known
    }
    if said.get("problem"):
        found.update(problem=said["problem"], remedy=said.get("remedy") or "")
    return found


def watch(domain=None, timeout=None, quiet=None):
    """
    All migrations of the fleet while they go on: by the events that tell how far they are, and by asking all
    hosts at the beginning, and again when nothing was heard for a while.

    domain
        names of guests, a list, or text with commas between them; default: all
    timeout
        for how many seconds at most; default: until nothing moves any more
    quiet
        for how many seconds nothing may be heard before the hosts are asked again, or, when nothing moves,
        before that is the end; default: 15

    As a command it prints a line for each migration, drawn anew in its place on a terminal, else one more for
    each step; with ``--out``, which gives the data, on stderr. Ctrl-C ends that; the migrations go on.

    Returns a list of dicts, one for each migration that was seen: ``domain``, ``uuid``, ``source``,
    ``target``, ``phase``, ``percent``, ``bytes``, ``rate_mib_s``, ``elapsed_s``, ``end``: ``running`` (its
    target has said that it runs there), ``failed`` (one of the two hosts has said so), ``stayed`` (it is
    not moved any more, and its source has said that it runs there), ``left`` (it has left its source, and its
    target has not said more), ``gone`` (it is not moved any more, and nobody has said why), ``next`` (another
    migration of it has begun), ``silent`` (a host does not answer any more) or None (it goes on); and
    ``says``, that in words. What else was told is such a dict as well: a guest that is expected on its
    ``target`` (its ``phase`` and ``end`` are None), one that is under way or left over (``end``:
    ``unclear``), a host, ``source``, that does not answer when it is asked (``silent``, and ``domain`` is
    None), and a mistake in the pillar, so that a host may not be watched (``wrong``, the same).

    CLI Example:

    .. code-block:: bash

        salt-run xend.watch
        salt-run xend.watch domain=web01,web02 timeout=600
    """
    master, limits = _master(), []
    for name, given in (("timeout", timeout), ("quiet", quiet)):
        try:
            limits.append(None if given is None else xend_text.given_seconds(name, given))
        except ValueError as exc:
            return _failed("xend.watch", {"problem": str(exc)})
    declared, wrong = master.declared()
    if not declared:
        return _failed("xend.watch", {"problem": master.none_declared(wrong)})
    board = xm_watch.board(_Utility, _names(domain) or ())
    screen = _screen(board)
    for mistake in _in_pillar(wrong):
        board.note(mistake, "wrong")

    def ask(hosts, names):
        hosts = [host for host in sorted(declared) if hosts is None or host in hosts]
        return master.ask(hosts, "xm.migrations", "migrations", keywords={"names": names})

    with _stoppable() as is_stopped, contextlib.closing(_events(is_stopped)) as events:
        # It listens before anybody is asked, unless that was stopped already.
        next(events, None)
        why = xm_watch.follow(board, events, ask, screen.show, time.monotonic, _is_busy, *limits)
    now = time.monotonic()
    screen.show(now, at_last=True)
    if _is_for_people("xend.watch"):
        return {"data": board.ending(why), "outputter": "txt"}
    return board.seen(now) + board.told()


def _is_busy():
    """
    Whether this master empties or fills a host, which has a pause between two guests: by the locks that
    xend_evacuation.py holds as long, looked at without touching them.
    """
    try:
        held = {line.split()[5].rpartition(":")[2] for line in Path("/proc/locks").read_text().splitlines()}
        locks = [str(path.stat().st_ino) for path in Path(__opts__["cachedir"]).glob(MOVES_LOCKS)]
    except (IndexError, OSError):
        return False
    return not held.isdisjoint(locks)


@contextlib.contextmanager
def _stoppable():
    """
    A function that tells whether Ctrl-C was pressed while the block lasts. The second time it does what it
    does otherwise.
    """
    # It may be pressed as soon as it is heard.
    pressed, before = [], signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def stop(number, _frame):
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    try:
        signal.signal(signal.SIGINT, stop)
    except ValueError:
        # It is for the main thread to hear signals.
        yield lambda: False
        return
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _events(is_stopped):
    """
    What hosts tell of migrations on Salt's bus: pairs of the host and the event, or None when there was none
    for a second. The first is None, and comes when it listens.
    """
    while not is_stopped():
        with salt.utils.event.get_event(
            "master", sock_dir=__opts__["sock_dir"], opts=__opts__, listen=True
        ) as bus:
            yield None
            while not is_stopped():
                began = time.monotonic()
                event = bus.get_event(wait=TICK_S, tag=PROGRESS, match_type="startswith", full=True)
                if event is None and time.monotonic() - began < TICK_S / 2:
                    # The master was stopped: nothing comes on that connection any more.
                    time.sleep(TICK_S)
                    break
                # The master has verified who sends it.
                yield (event["data"].get("id"), event["data"].get("data")) if event else None


def _screen(board):
    """
    Where a board is shown: on stdout, beside data on stderr, and nowhere for a program.
    """
    if __opts__.get("fun") != "xend.watch":
        return _Screen(board, None)
    return _Screen(board, sys.stderr if __opts__.get("output") else sys.stdout)


class _Screen:
    def __init__(self, board, stream):
        self._board, self._stream = board, stream
        self._is_terminal = stream is not None and stream.isatty()
        self._lines, self._drawn_at = 0, None

    def show(self, now, at_last=False):
        """
        Show a board as it is at the time NOW.
        """
        if self._stream is None:
            return
        if not self._is_terminal:
            self._write("".join(line + "\n" for _is_more, line in self._board.news()))
        elif at_last or self._drawn_at is None or now - self._drawn_at >= DRAW_S:
            try:
                size = os.get_terminal_size(self._stream.fileno())
            except OSError:
                size = (0, 0)
            # A serial console may not know its own.
            width, height = (own or usual for own, usual in zip(size, TERMINAL, strict=True))
            lines = self._board.lines(max(width - 1, 20), max(height - 2, 1), now, at_last)
            news = [line for is_more, line in self._board.news() if is_more]
            self._write(xm_watch.frame(news, lines, self._lines))
            self._lines, self._drawn_at = len(lines), now

    def _write(self, text):
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


# What xend.orch.migrate asks


def migration(given=None, test=False):
    """
    What the orchestration ``xend.orch.migrate`` has to know before it lists its steps: whether it may begin,
    and what both hosts hold. Only looks, but for markers next to image files, which go with one of the steps.

    given
        the pillar ``xend:migrate``
    test
        nothing will be moved: the settings of the hosts may be still to be applied

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be moved; else ``domain``,
    ``source``, ``target``, ``steps`` (the arguments of the states on the hosts, by SLS), ``configures``,
    ``follows``, ``announces``, ``unmanages`` (bools: which steps there are beside moving), ``knocks`` (bool:
    whether the target's door is asked) and ``look`` (what ``xend.outcome`` is given). Always there is
    ``version``, that of Xend for Salt on this master.

    CLI Example:

    .. code-block:: bash

        salt-run xend.migration '{"domain": "web01", "source": "xen1", "target": "xen2"}' test=True
    """
    return dict(_migration(given if isinstance(given, dict) else {}, test), version=xend_version.version())


def _migration(given, test):
    wrong = xm_steps.wrong_names(given, _Utility)
    if wrong:
        return xm_steps.refuse(wrong, _Utility)
    source, target, name = given["source"], given["target"], given["domain"]
    master, ends = _master(), [source, target]
    declared, mistakes = master.declared(ends)
    if not declared:
        why = master.none_declared(mistakes, "%s and %s" % (source, target))
        return xm_steps.stop("the pillar says which hosts there are", "Nothing was moved: %s" % why, _Utility)
    asked_at = time.time()
    question = {"source": source, "options": xm_steps.options(given)}
    known = [host for host in ends if host in declared]
    reports = master.ask(known, "xm.report", "report", [name], question)
    answered_s = time.time() - asked_at
    for host in ends:
        if host not in reports:
            reports[host] = master.stranger(host)
    for host, said in reports.items():
        xm_steps.check_identity(host, said, name, _Utility)
    refused = xm_steps.refusal(given, reports, declared, _Utility)
    if not refused and not [host for host in ends if reports[host]["view"]["copy"] != "absent"]:
        refused = _nowhere(master, name, source, declared)
    if refused:
        master.unmark(source, reports[source].get("marked"))
        return refused
    uuid = xm_steps.follower(given, reports)
    file = master.guests_file(name, uuid, source, target) if uuid else None
    who = "migration from %s, begun %s" % (source, time.strftime("%Y-%m-%d %H:%M:%S"))
    return xm_steps.plan(given, reports, file, answered_s, who, test)


def _nowhere(master, name, source, declared):
    """
    ``stop`` for a guest that neither end has; None when it was sent from a host that does not know what
    became of it: then that is looked for at the end.
    """
    question = {"domain": name, "uuid": None}
    reports = master.ask(sorted(declared), "xm.copies", "copies", keywords=question)
    if [made for said in reports.values() for made in said.get("sent") or [] if made["name"] == name]:
        return None
    found = _where(name)
    why = found.get("problem") or "%s is not on %s. %s" % (name, source, xm_steps.elsewhere(found))
    return xm_steps.stop("%s is on %s" % (name, source), "Nothing was moved: %s" % why, _Utility)


# How xend.orch.migrate ends


def outcome(given):
    """
    What became of a migration: what both hosts hold. Where the guest has moved, that it was sent is kept in
    mind no longer; else ``xend.orch.recover`` waits, repairs what is safe, and says where the guest is.

    given
        ``look`` of what ``xend.migration`` has returned

    Returns what ``state.orchestrate`` returns for such states.

    CLI Example:

    .. code-block:: bash

        salt-run xend.outcome '{"domain": "web01", "source": "xen1", "target": "xen2"}'
    """
    given, pair, master = dict(given), [given["source"], given["target"]], _master()
    marked = given.pop("marked", None)
    declared, _mistakes = master.declared(pair)
    question = {"domain": given["domain"], "uuid": given.get("uuid")}
    known = [host for host in pair if host in declared]
    reports = master.ask(known, "xm.copies", "copies", keywords=question)
    found = xm_fleet.gather_one(reports, xm_steps.guest_of(given), _Utility)
    if found["outcome"] != "moved":
        master.unmark(given["source"], marked)
        plan = recovery(given)
        if plan.get("repairs"):
            return __salt__["state.orchestrate"]("xend.orch.recover", pillar={"xend": {"recover": given}})
        says = plan.get("says") or [dict(plan["stop"], good=False)]
    else:
        _forget(given["domain"], found)
        says = [_say("%s: moved" % given["domain"], found["comment"], True)]
    return {"data": {__opts__["id"]: xm_steps.as_states(says)}, "outputter": "highstate"}


# What xend.orch.recover asks


def recovery(given=None, test=False):
    """
    What the orchestration ``xend.orch.recover`` has to know before it lists its steps: what the hosts hold,
    and which repairs are safe.

    given
        the pillar ``xend:recover``
    test
        nothing will be changed

    Returns a dict: ``stop``, None or the reason (``id``, ``text``) why nothing can be said; else ``repairs``
    (a list of dicts: ``id``, ``host``, ``after``, the id of the one before it of the same guest or None, and
    ``step``, the pillar data), ``says`` (a list of dicts: ``id``, ``text``, ``good``) and ``again``: None, or
    ``id`` and ``given`` of one more look. Always there is ``version``, that of Xend for Salt on this master.

    CLI Example:

    .. code-block:: bash

        salt-run xend.recovery test=True
    """
    return dict(_recovery(given if isinstance(given, dict) else {}, test), version=xend_version.version())


def _recovery(given, test):
    wrong = _wrong_recovery(given)
    pair = [given["source"], given["target"]] if given.get("source") else None
    master = _master()
    declared, mistakes = ({}, []) if wrong else master.declared(pair or given.get("hosts"))
    for host in [] if wrong or not declared else given.get("hosts") or []:
        if host not in declared:
            wrong.append(
                "hosts: %s is none of the hosts in the pillar xend:relocation:hosts (%s)"
                % (host, ", ".join(sorted(declared)))
            )
    if wrong:
        return _stop(
            "the pillar says what to recover",
            "Nothing was done. In the pillar xend:recover, %s. Known are %s."
            % ("; ".join(wrong), ", ".join(RECOVER)),
        )
    if not declared:
        whose = ", ".join(pair or given.get("hosts") or [])
        return _stop("no host answers", master.none_declared(mistakes, whose))
    reports, findings = _findings(given, pair, declared)
    if not [host for host in reports if "copies" in reports[host] and reports[host]["copies"] is not None]:
        return _stop("no host answers", _nobody(given, reports))
    if pair and given.get("who") and findings[0]["outcome"] not in ("going_on", "unknown") and not test:
        _settle(given, findings[0])
    if given.get("look") and not pair and not test:
        _forget_those_that_are_back(findings)
    return _recovery_plan(given, pair, reports, findings, test)


def _wrong_recovery(given):
    wrong = ["%s is no option" % key for key in given if key not in RECOVER + RECOVER_ONE]
    for key in ("hosts", "remove_lost", "resume", "restore"):
        names = given.get(key)
        if names is None:
            continue
        if not isinstance(names, list) or [name for name in names if not isinstance(name, str)]:
            wrong.append("%s is no list of names" % key)
    if not wrong:
        both = set(given.get("remove_lost") or []).intersection(given.get("restore") or [])
        wrong += ["%s is named by remove_lost and by restore" % name for name in sorted(both)]
    wait = given.get("wait", 10)
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= 3600:
        wrong.append("wait, %r, is no number of seconds up to 3600" % (wait,))
    return wrong


def _findings(given, pair, declared):
    """
    What hosts hold, and what that means: the pair of a migration, or all that are declared.
    """
    question = {"wait": given.get("wait", 10)}
    guest = None
    if pair:
        question.update(domain=given["domain"], uuid=given.get("uuid"))
        guest = xm_steps.guest_of(given)
    reports, before = {}, None

    def look(hosts):
        reports.update(_master().ask(hosts, "xm.copies", "copies", keywords=question))

    def judge():
        if guest is None:
            found = xm_fleet.gather(reports, _Utility)
        else:
            found = [xm_fleet.gather_one(reports, guest, _Utility)]
        return found if before is None else xm_fleet.confirmed(found, before)

    look([host for host in pair if host in declared] if pair else sorted(declared))
    findings = judge()
    # A host that was not asked may hold another copy of a guest: nothing is certain then, except that a guest
    # which runs on one of its two hosts, with nothing left on the other, is where it shall be.
    others = [host for host in sorted(declared) if host not in reports]
    if others and findings[0]["outcome"] not in ("moved", "unharmed"):
        look(others)
        findings = judge()
    # Nothing is called lost at first sight: hosts are not asked at the very same moment.
    if [found for found in findings if found["nowhere"]]:
        before = findings
        look([host for host in reports if reports[host].get("copies") is not None])
        _ask_for_logs(reports, question)
        findings = judge()
    return reports, findings


def _ask_for_logs(reports, question):
    """
    Ask all hosts about guests that can be brought back: whether they were completed where they were sent, and
    whether they were started afresh anywhere. That is kept with what these hosts have said.
    """
    sent = [made for said in list(reports.values()) for made in said.get("sent") or []]
    whole = [made for made in sent if (made.get("safety") or {}).get("state") == "complete"]
    hosts = sorted(host for host in reports if reports[host].get("copies") is not None)
    for name, uuid in sorted({(made["name"], made["uuid"]) for made in whole}):
        about = dict(question, domain=name, uuid=uuid)
        answers = _master().ask(hosts, "xm.copies", "copies", keywords=about)
        for host, said in answers.items():
            reports[host].setdefault("completions", {})[uuid] = said.get("completed")
            reports[host].setdefault("creations", {})[uuid] = said.get("created")


def _nobody(given, reports):
    silent = [(host, reports[host]) for host in sorted(reports) if reports[host].get("problem")]
    problems = ["%s: %s" % (host, said["problem"]) for host, said in silent]
    remedies = [said["remedy"] for _host, said in silent if said["remedy"]]
    return (
        "no host could say what it holds (%s). Nobody can tell where %s is: start nothing, look with "
        "`xm list` on every host. %s"
        % ("; ".join(problems), given.get("domain", "any guest"), ". ".join(remedies))
    )


def _settle(given, found):
    """
    The target need not keep its xend for this guest any longer, and the source need not keep in mind that it
    was sent when it was seen to run there.
    """
    _master().call(given["target"], "xend.release", [given["domain"]], {"who": given["who"]})
    _forget(given["domain"], found)


def _forget(name, found):
    for made in found.get("settled") or []:
        arguments = [name, made["uuid"], made["note"]]
        _master().call(made["host"], "xm.forget", arguments, {"claims": made["claims"], "asked": False})


def _forget_those_that_are_back(findings):
    """
    The last look says of a guest that it was brought back, so that nobody needs its note any longer.
    """
    for found in findings:
        steps = [step for step in found["repairs"] if found.get("back") and not step["only_if_asked"]]
        _forget(found["name"], {"settled": [step for step in steps if step["do"] == "forget"]})


def _recovery_plan(given, pair, reports, findings, test):
    names = [found["name"] for found in findings]
    repairs, says, mends, ids = [], [], False, set()
    for found in findings:
        who = found["name"]
        if names.count(who) > 1:
            who += " (%s)" % found["uuid"]
        taken, wanted = [], _wanted(given, found)
        steps = [step for step in found["repairs"] if step["do"] in wanted]
        for repair in [] if given.get("look") else steps:
            asked = wanted[repair["do"]]
            if repair["only_if_asked"] and not asked:
                continue
            step = "%s: %s %s on %s" % (who, repair["do"], repair["listed"], repair["host"])
            after = taken[-1]["id"] if taken else None
            taken.append({"id": _own_id(step, ids), "host": repair["host"], "after": after})
            taken[-1]["step"] = [{key: repair[key]} for key in REPAIR if key in repair] + [{"asked": asked}]
            mends = mends or repair["do"] != "forget"
        repairs += taken
        is_well = found["outcome"] == "moved" or bool(found.get("back") and not pair)
        good = is_well or bool(taken and not pair and len(taken) == len(steps))
        # What is to be done about it is done by the steps above; where it runs is as true after them.
        is_over = taken and not test and found["outcome"] not in ("moved", "unharmed")
        text = "found before the steps above: " + found["facts"] if is_over else found["comment"]
        if not wanted:
            text += ". Its name or uuid is named by remove_lost and by restore, so that neither was done"
        if taken and "forget" in wanted and len(steps) < len(found["repairs"]):
            # What could be done instead of that is no advice any more.
            text = text if is_over else found["facts"]
            would = "would be" if test else "was"
            text += "; its safety copy %s thrown away with the note, as remove_lost wants it" % would
        says.append(_say(_own_id("%s: %s" % (who, found["outcome"]), ids), text, good))
    again = None
    if mends and not test:
        about = "where %s is" % given["domain"] if pair else "what is there"
        again = {"id": xm_heard.legible("%s after these steps" % about), "given": dict(given, look=True)}
    says += _silent(pair, reports, findings)
    if not pair and not given.get("look"):
        says = _versions(reports) + says
    return {"stop": None, "repairs": repairs, "says": says, "again": again}


def _versions(reports):
    """
    That versions differ, which keeps nobody from a repair: it is said, before all else.
    """
    modules = {host: said["modules"] for host, said in reports.items() if said.get("copies") is not None}
    differ = xend_version.differ(modules, _Utility)
    return [_say("not all hosts have the same version", differ, True)] if differ else []


def _wanted(given, found):
    """
    Which repairs of a finding are to be taken at all, each with whether the operator has asked for it.
    """
    named = {
        key: found["name"] in (given.get(key) or []) or found["uuid"] in (given.get(key) or [])
        for key in ("remove_lost", "resume", "restore")
    }
    lost, resume = named["remove_lost"], named["resume"]
    wanted = {"remove": lost, "forget": lost, "resume": resume, "rename": resume}
    if "restore" not in [step["do"] for step in found["repairs"]]:
        return wanted
    # Its copy goes with its note: either the one or the other is done, and of what is named for both neither.
    if lost and named["restore"]:
        return {}
    return wanted if lost else {"remove": named["restore"], "restore": named["restore"]}


def _own_id(text, taken):
    """
    The id of a state that no other one has, whatever hosts call their guests: two of one id would break the
    whole.
    """
    begin = found = xm_heard.legible(text, 1000)
    number = 1
    while found in taken:
        number += 1
        found = "%s (%d)" % (begin, number)
    taken.add(found)
    return found


def _stop(name, text):
    return xm_steps.stop(name, text, _Utility)


def _say(name, text, good):
    return xm_steps.say(name, text, good, _Utility)


def _silent(pair, reports, findings):
    """
    What is to be said when nothing was found, or when not all have answered.
    """
    silent = sorted(host for host in reports if reports[host].get("copies") is None)
    says = []
    if not findings and not silent:
        text = "no migration has left anything on %s" % ", ".join(sorted(reports))
        says.append(_say("nothing is left over", text, True))
    if silent and not pair:
        why = xm_fleet.unheard(reports)
        text = (
            "what they hold is not known: %s. A guest is safe to be started only when these were looked at "
            "as well%s. Then look again with `salt-run state.orchestrate xend.orch.recover`"
            % (why["who"], ". " + why["do"] if why["do"] else "")
        )
        says.append(_say("some hosts do not answer", text, False))
    return says
