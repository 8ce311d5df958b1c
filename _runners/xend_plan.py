"""
Where the guests of a host would go, all of them together: what ``salt-run xend.plan`` shows and
``xend.orch.evacuate`` does. Part of the runner `xend`, see xend.py.

Hosts are asked three times at most, all of them at once: what they have and who can leave (``xm.survey``),
who can be taken (``xm.room_for``), and to remove the markers next to image files by which storage is
compared. What fits where is decided in ``_utils/xm_plan.py``.
"""

import time

import salt.client

# As in _utils/xend_version.py: what was synced to a master may be of several versions.
VERSION = "0.2.0"

__virtualname__ = "xend"


def __virtual__():
    try:
        # What these need themselves, too.
        xend_master.undeclared()
        xend_settings.declared(None, _Utility)
        xend_text.meant("", [])
        xm_copies.words()
        xend_version.version()
        xm_fit.risks(None, _Utility)
        xm_fleet.unheard({})
        xm_heard.legible("")
        xm_plan.in_order([], "largest")
    except (ImportError, AttributeError):
        return (
            False,
            "the utilities of xend are not on the master: run `salt-run saltutil.sync_all`",
        )
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
xend_settings = _Utility("xend_settings")
xend_text = _Utility("xend_text")
xend_version = _Utility("xend_version")
xm_copies = _Utility("xm_copies")
xm_fit = _Utility("xm_fit")
xm_fleet = _Utility("xm_fleet")
xm_heard = _Utility("xm_heard")
xm_plan = _Utility("xm_plan")


def plan(
    source,
    targets=None,
    domains=None,
    spare_mib=0,
    order=None,
    live=None,
    port=None,
    ssl=None,
    node=None,
    timeout=None,
    settle=None,
    accept=None,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
):
    """
    Where each guest of a host would go, or why it cannot. Nothing is changed, but for markers next to image
    files, which are removed before this returns.

    source
        the minion id of the host
    targets
        minion ids of hosts that may take its guests, a list, or text with commas between them; default: all
        others that the pillar declares
    domains
        names of guests, in the same way; default: all that are there
    spare_mib
        the memory in MiB that has to stay free on each target in the end
    order
        ``largest`` first (the default), ``smallest`` first, or names of guests that go first
    live, port, ssl, node, timeout, settle, accept
        as for ``xend.orch.migrate``, for all guests
    safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        the same

    Returns a dict: ``source``, ``placements`` (in the order in which they would move, a list of dicts:
    ``domain``, ``uuid``, ``target``, ``memory_mib``, ``why``, ``warnings``), ``impossible`` (a list of dicts:
    ``domain``, ``uuid``, ``here``, why it cannot leave, and ``targets``, a dict from each target to all that
    is in the way there), ``order`` (the names of those that would move), ``under_way`` (guests that are being
    sent already: ``domain``, ``uuid``, ``target`` or None, ``says``), ``stays`` (guests that do not run, and
    that xend only knows: ``domain``, ``says``), ``elsewhere`` (guests that were asked for and are on another
    host: ``domain``, ``host``, ``says``), ``unordered`` (names of ``order`` that are none of these guests:
    ``domain``, ``says``), ``hosts`` (a dict from host to ``free_mib``, what guests can use there, also what
    dom0 may give back, and ``after_mib``, the same in the end, both None when not known, ``configured``,
    ``guarded`` and ``closed``), ``unheard`` (a dict from host to ``problem`` and ``remedy``), ``modules`` (a
    dict from the source and the targets that have answered to the version of Xend for Salt there; None: one
    that does not say it) and ``wrong`` (what is wrong in the pillar, and versions that differ from that of
    this master, so that nothing would be moved: a list of sentences). When nothing can be planned, only
    ``problem`` and ``id``, what that is about; the command exits with 1 then. On a terminal it is a table;
    ``--out`` gives the data.

    CLI Example:

    .. code-block:: bash

        salt-run xend.plan source=xen1
        salt-run xend.plan source=xen1 targets=xen2,xen3 spare_mib=512 --out json
    """
    options = {
        "live": live,
        "port": port,
        "ssl": ssl,
        "node": node,
        "timeout": timeout,
        "settle": settle,
        "accept": accept,
        "safety_copy": safety_copy,
        "safety_folder": safety_folder,
        "safety_delay_s": safety_delay_s,
        "rate_mib_s": rate_mib_s,
        "relay": relay,
    }
    options = {name: value for name, value in options.items() if value is not None}
    wrong = []
    targets = _names("targets", targets, wrong)
    domains = _names("domains", domains, wrong)
    order = _order(order, wrong)
    if not isinstance(source, str) or not source:
        wrong.append("source: %r is no minion id" % (source,))
    if isinstance(spare_mib, bool) or not isinstance(spare_mib, int) or spare_mib < 0:
        wrong.append("spare_mib: %r is no whole number of MiB" % (spare_mib,))
    found = _planned(source, targets, domains, spare_mib, order, options, wrong)
    if __opts__.get("fun") == "xend.plan" and found.get("problem"):
        # That salt-run ends with.
        return {"problem": found["problem"], "retcode": 1}
    # As a command by itself, and not for a program that wants the data.
    if __opts__.get("fun") == "xend.plan" and not __opts__.get("output"):
        return {"data": _text(found), "outputter": "txt"}
    return found


def _problem(text, about="what is asked for can be planned"):
    return {"problem": xm_heard.legible(text, 20000), "id": about}


def _names(argument, given, wrong):
    """
    Names that were given as a list, or as text with commas; None stays what it is.
    """
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    # On a command line, a guest that is called 7 is a number.
    if isinstance(names, int) and not isinstance(names, bool):
        names = [names]
    if not isinstance(names, (list, tuple)) or not names:
        wrong.append("%s: %r is no list of names" % (argument, given))
        return None
    names = [
        str(name) if isinstance(name, int) and not isinstance(name, bool) else name
        for name in names
    ]
    bad = [
        name
        for name in names
        if not isinstance(name, str) or not name or name != xm_heard.legible(name)
    ]
    if bad:
        wrong.append("%s: %r is no name" % (argument, bad[0]))
    # Twice the same is meant once.
    return None if bad else list(dict.fromkeys(names))


def _order(given, wrong):
    if given is None or given == "":
        return "largest"
    return given if given in xm_plan.orders() else _names("order", given, wrong) or "largest"


def _planned(source, targets, domains, spare_mib, order, options, wrong):
    master = xend_master.master(__opts__, __salt__, salt.client.get_local_client, _Utility)
    is_name = isinstance(source, str) and source != ""
    declared, mistakes = master.declared([source] if is_name else None)
    if not declared and not wrong:
        return _problem(master.none_declared(mistakes, source))
    if declared:
        wrong = wrong + _unknown("source", [source] if is_name else [], declared)
        wrong += _unknown("targets", targets or [], declared)
    if targets and source in targets:
        wrong.append("targets: %s is the source itself" % source)
    if wrong:
        return _problem("; ".join(wrong))
    fleet = _Fleet(master, source, targets or sorted(set(declared) - {source}), bool(targets), mistakes)
    question = {"domains": domains, "options": options, "doors": fleet.targets}
    asked_at = time.time()
    fleet.heard(
        master.ask(sorted(declared), "xm.survey", "survey", [source], question),
        time.time() - asked_at,
    )
    try:
        problem = fleet.why_unplanned(domains, order)
        if problem:
            return problem
        fleet.ask_for_room(options)
    finally:
        master.unmark(source, fleet.marked)
    return fleet.plan(domains, spare_mib, order)


def _unknown(argument, names, known):
    found = []
    for name in names:
        if name not in known:
            found.append(
                "%s: %s is none of the hosts in the pillar xend:relocation:hosts%s"
                % (argument, name, _nearest(name, known))
            )
    return found


def _nearest(name, known):
    some = sorted(known)[:10]
    listed = "; there %s %s" % ("is" if len(some) == 1 else "are", ", ".join(some)) if some else ""
    return xend_text.meant(name, known) or listed


class _Fleet(object):
    """
    What the hosts have said, for guests of one of them that are to go to others.
    """

    def __init__(self, master, source, targets, named, mistakes):
        self.master, self.source, self.targets, self.named = master, source, targets, named
        # What is wrong in the pillar.
        self.mistakes = mistakes
        self.said, self.unheard, self.room = {}, {}, {}
        self.apart_s = {}
        self.marked = None
        # All guests of the source; those of them that may leave it, that are under way already, and that do
        # not run there at all.
        self.guests, self.leaving, self.sent, self.known = [], [], [], []

    def heard(self, answers, answered_s):
        """
        What they have answered to ``xm.survey``, all of them within so many seconds.
        """
        for host, said in answers.items():
            guests = said.get("guests") or []
            if any(
                guest["domain"] and guest["domain"]["name"] != guest["name"] for guest in guests
            ):
                said = xend_master.malformed(
                    host, "xm.survey", "a guest has another name in its description"
                )
            if said.get("problem") or not said.get("host"):
                self.unheard[host] = self._silence(said, "it did not say what it has")
            else:
                self.said[host] = said
        mine = self.said.get(self.source) or {}
        self.marked, self.guests = mine.get("marked"), mine.get("guests") or []
        for guest in self.guests:
            copy = guest["view"]["copy"]
            kind = self.known if xm_copies.is_one_of(copy, "gone") else self.leaving
            (self.sent if xm_copies.is_one_of(copy, "departing") else kind).append(guest)
        for host, said in self.said.items():
            took_s = min(mine.get("seconds") or 0, said["seconds"] or 0)
            self.apart_s[host] = max(0, answered_s - took_s)

    def _silence(self, said, otherwise):
        return {
            "problem": self.master.legible(said.get("problem") or otherwise),
            "remedy": self.master.legible(said.get("remedy") or ""),
        }

    def why_unplanned(self, domains, order):
        """
        Why there can be no plan, as `_problem`; None when there can.
        """
        if self.source in self.unheard:
            return _problem(
                _told(self.source, self.unheard[self.source]), "%s answers" % self.source
            )
        if self.said[self.source]["wrong"]:
            # Another version may not know an option.
            return _problem(". ".join([self.said[self.source]["wrong"], *self._differ()]))
        unknown = [] if self.unheard else self._nowhere(domains)
        if unknown:
            near = {name for said in self.said.values() for name in said["near"] or []}
            text = "; ".join(
                "domains: there is no %s on %s, nor on any other host%s"
                % (name, self.source, _nearest(name, near) if near else "")
                for name in unknown
            )
            return _problem(text)
        # Names of guests are none of these words; one that has left already may be named for the next run.
        mistyped = [name for name in self._not_here(order) if xend_text.nearest(name, xm_plan.orders())]
        if mistyped:
            text = "order: there is no %s on %s%s"
            meant = xend_text.meant(mistyped[0], xm_plan.orders())
            return _problem(text % (mistyped[0], self.source, meant))
        return None

    def _modules(self):
        """
        The versions of Xend for Salt on the hosts between which guests would move.
        """
        ends = [host for host in (self.source, *self.targets) if host in self.said]
        return {host: self.said[host]["modules"] for host in ends}

    def _differ(self):
        differ = xend_version.differ(self._modules(), _Utility)
        return [differ] if differ else []

    def _wrong(self):
        return ["In the pillar, %s" % mistake for mistake in self.mistakes] + self._differ()

    def _not_here(self, order):
        """
        Names of guests that are to go first, and are not on the source.
        """
        here = {guest["name"] for guest in self.guests}
        return [] if order in xm_plan.orders() else [name for name in order if name not in here]

    def _unordered(self, order):
        says = "%s was to go first, and is none of the guests of %s that this plan is about%s"
        here = [guest["name"] for guest in self.guests]
        return [
            {
                "domain": name,
                "says": self.master.legible(says % (name, self.source, xend_text.meant(name, here))),
            }
            for name in self._not_here(order)
        ]

    def _nowhere(self, domains):
        """
        Those that are on none of the hosts that have answered.
        """
        seen = {one["name"] for said in self.said.values() for one in said["seen"] or []}
        return [name for name in domains or [] if name not in seen]

    def ask_for_room(self, options):
        """
        Ask all targets that take guests at all which ones.
        """
        guests = [guest["domain"] for guest in self.leaving if guest["domain"]]
        asked = [
            host for host in self.targets if host in self.said and not self.said[host]["closed"]
        ]
        if not guests or not asked:
            return
        # What is None there may be missing, and would only be sent for nothing.
        told = [
            {key: value for key, value in guest.items() if value is not None} for guest in guests
        ]
        mine = self.said[self.source]["host"]
        question = {
            "guests": told,
            "source": {key: value for key, value in mine.items() if value is not None},
            "storage": self.marked and dict(self.marked, host=self.source),
            "accept": options.get("accept"),
            "asked": {
                host: {"time": self.said[host]["host"]["time"], "apart_s": self.apart_s[host]}
                for host in asked
                if self.said[host]["host"]["time"] is not None
            },
        }
        for host, said in self.master.ask(asked, "xm.room_for", "room", keywords=question).items():
            fits = said.get("guests")
            names = [guest["name"] for guest in guests]
            if fits is not None and [one["name"] for one in fits] != names:
                said, fits = (
                    xend_master.malformed(host, "xm.room_for", "it is about other guests"),
                    None,
                )
            if fits is None:
                self.unheard[host] = self._silence(said, "it did not say whom it takes")
            else:
                self.room[host] = {
                    xm_plan.key(guest): one for guest, one in zip(guests, fits, strict=True)
                }

    def plan(self, domains, spare_mib, order):
        """
        What ``xend.plan`` returns.
        """
        guests = [self._guest(guest) for guest in self.leaving]
        guests += self._missing(domains)
        usable = [
            host
            for host in self.targets
            if self.named or host in self.said and host not in self.unheard
        ]
        if not usable:
            for guest in guests:
                guest["here"].append("no other host says that it can take guests")
        places = {host: self._target(host, guests) for host in usable}
        found = xm_plan.plan(guests, places, spare_mib, order)
        mine = {xm_plan.key(guest): guest for guest in self.leaving}
        freed_mib = sum(one["memory_mib"] for one in found["placements"])
        return {
            "source": self.source,
            "placements": [
                self._placement(one, mine[xm_plan.key(one)]) for one in found["placements"]
            ],
            "impossible": [self._impossible(one) for one in found["impossible"]],
            "order": [one["name"] for one in found["placements"]],
            "under_way": [self._sent(guest) for guest in self.sent],
            "stays": [
                {
                    "domain": guest["name"],
                    "says": "%s does not run, xend on %s only knows it: it stays there"
                    % (guest["name"], self.source),
                }
                for guest in self.known
            ],
            "elsewhere": self._elsewhere(domains),
            "unordered": self._unordered(order),
            "hosts": {
                host: self._host(host, found["after_mib"], freed_mib)
                for host in sorted({self.source, *usable} & set(self.said))
            },
            "unheard": self.unheard,
            "modules": self._modules(),
            "wrong": self._legible(self._wrong()),
        }

    def _guest(self, guest):
        """
        A guest, as `xm_plan.plan` wants it.
        """
        domain = guest["domain"]
        found = {key: guest[key] for key in ("name", "uuid")}
        needed_mib = domain and xm_fit.needed_mib(domain)
        found.update(
            needed_mib=needed_mib, takes_mib=needed_mib, here=self._legible(guest["blockers"])
        )
        found["memory_mib"] = domain and domain["memory_mib"]
        if not domain and not found["here"]:
            found["here"] = ["%s does not describe it" % self.source]
        return found

    def _legible(self, sentences):
        return [self.master.legible(sentence) for sentence in sentences]

    def _missing(self, domains):
        """
        Guests that were asked for, and are on no host that has answered.
        """
        why = "there is no domain %s on %s, and whether it is elsewhere is not known: %s"
        silent = "; ".join(_told(host, said) for host, said in sorted(self.unheard.items()))
        return [
            {
                "name": name,
                "uuid": None,
                "memory_mib": None,
                "needed_mib": None,
                "takes_mib": None,
                "here": [why % (name, self.source, silent)],
            }
            for name in self._nowhere(domains)
        ]

    def _target(self, host, guests):
        """
        A host that may take them, as `xm_plan.plan` wants it.
        """
        if host in self.unheard:
            refusals = {xm_plan.key(guest): [_told(host, self.unheard[host])] for guest in guests}
            return {"free_mib": None, "needs": {}, "refusals": refusals}
        room, needs, refusals = self.room.get(host, {}), {}, {}
        general = self._shut(host)
        for guest in guests:
            key = xm_plan.key(guest)
            fit = room.get(key) or {"blockers": []}
            said = general + self._legible(fit["blockers"])
            if said:
                refusals[key] = said
            own = (fit.get("needed_mib"), fit.get("takes_mib"))
            if None not in own and own != (guest["needed_mib"], guest["takes_mib"]):
                needs[key] = own
        return {"free_mib": self._free_mib(host), "needs": needs, "refusals": refusals}

    def _shut(self, host):
        """
        Why this host takes none of these guests, whichever it is.
        """
        said, mine = self.said[host], self.said[self.source]
        if said["closed"]:
            return self._legible([said["closed"]])
        found = []
        if said["configured"]:
            # A door that is still to be opened could not be asked.
            found += self._legible((mine["doors"] or {}).get(host) or [])
        if mine["follows"] and not said["follows"]:
            found.append(
                "by what they say, xend:follow is set on %s and not on %s: set it for both, or for none"
                % (self.source, host)
            )
        return found

    def _free_mib(self, host):
        """
        What guests can use there, as far as it is not promised to others; None when not known.
        """
        said = self.said[host]
        if said["host"]["free_mib"] is None:
            return None
        promised = {one["name"]: one["memory_mib"] for one in said["promised"] or []}
        for guest in self.sent:
            # Of what is still under way nobody knows how much memory it has there already.
            if guest["view"]["other"] == host and guest["domain"]:
                needed_mib = xm_fit.needed_mib(guest["domain"])
                promised[guest["name"]] = max(promised.get(guest["name"], 0), needed_mib)
        # What is promised to those that are planned here is theirs.
        planned = {guest["name"] for guest in self.leaving} if promised else ()
        others_mib = sum(size_mib for name, size_mib in promised.items() if name not in planned)
        return max(0, said["host"]["free_mib"] + (said["dom0_mib"] or 0) - others_mib)

    def _host(self, host, after_mib, freed_mib):
        free_mib = self._free_mib(host)
        after_mib = after_mib.get(host)
        if host == self.source and free_mib is not None:
            after_mib = free_mib + freed_mib
        known = {"free_mib": free_mib, "after_mib": after_mib}
        for key in ("configured", "guarded", "closed"):
            known[key] = bool(self.said[host][key])
        return known

    def _placement(self, one, guest):
        fit = self.room[one["target"]][xm_plan.key(one)]
        warnings = guest["warnings"] + fit["warnings"]
        if self.said[self.source]["follows"]:
            warnings.append(
                "whether its configuration file can follow it to %s is seen right before it moves"
                % one["target"]
            )
        return {
            "domain": one["name"],
            "uuid": one["uuid"],
            "target": one["target"],
            "memory_mib": one["memory_mib"],
            "why": one["why"],
            "warnings": list(dict.fromkeys(self._legible(warnings))),
        }

    def _impossible(self, one):
        targets = {host: list(reasons) for host, reasons in one["targets"].items()}
        return {"domain": one["name"], "uuid": one["uuid"], "here": one["here"], "targets": targets}

    def _sent(self, guest):
        # It may be an address, or anything.
        other = guest["view"]["other"]
        return {
            "domain": guest["name"],
            "uuid": guest["uuid"],
            "target": other if other in self.said or other in self.unheard else None,
            "says": self.master.legible(
                xm_copies.under_way(guest["name"], self.source, guest["view"])
            ),
        }

    def _elsewhere(self, domains):
        """
        Guests that were asked for, and are not on the source, but on another host.
        """
        here = {guest["name"] for guest in self.guests}
        return [
            {
                "domain": one["name"],
                "host": host,
                "says": self.master.legible(
                    "%s is not on %s: %s"
                    % (one["name"], self.source, xm_copies.holds(one["name"], dict(one, host=host)))
                ),
            }
            for host, said in sorted(self.said.items())
            for one in said["seen"] or []
            if domains and host != self.source and one["name"] not in here
        ]


def _told(host, silence):
    return "%s: %s" % (host, ". ".join(filter(None, [silence["problem"], silence["remedy"]])))


def _text(found):
    """
    The plan for people: a line for each guest that can move, with where it goes, and all that is not well.
    """
    rows = [["", "guest", "MiB", "to"]]
    for number, one in enumerate(found["placements"], 1):
        rows.append([str(number), one["domain"], str(one["memory_mib"]), one["target"]])
    lines = (
        _columns(rows)
        if found["placements"]
        else ["no guest of %s would be moved" % found["source"]]
    )
    for one in found["placements"]:
        lines += [
            "%s to %s: %s" % (one["domain"], one["target"], warning) for warning in one["warnings"]
        ]
    for one in found["impossible"]:
        lines += ["", "%s cannot be moved:" % one["domain"]]
        lines += ["  " + reason for reason in one["here"]]
        lines += [
            "  to %s: %s" % (host, "; ".join(why))
            for host, why in sorted(one["targets"].items())
            if why
        ]
    for one in found["under_way"] + found["stays"] + found["elsewhere"] + found["unordered"]:
        lines += ["", one["says"]]
    hosts = [
        [host, _mib(said["free_mib"]), _mib(said["after_mib"])]
        for host, said in sorted(found["hosts"].items())
    ]
    lines += ["", *_columns([["host", "MiB for guests", "afterwards"], *hosts])]
    lines += [
        "not taken into account: %s" % _told(host, said)
        for host, said in sorted(found["unheard"].items())
    ]
    return "\n".join(lines + found["wrong"])


def _mib(size_mib):
    return "?" if size_mib is None else str(size_mib)


def _columns(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
