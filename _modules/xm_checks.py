"""
Checks before a guest moves: whether it can leave this host, and whether this host can take it. Part of the
module `xm`, see xm.py.

Nothing is changed here but markers next to image files and reservations, which come and go. What fits is
decided in ``_utils``.
"""

from __future__ import absolute_import

import difflib
import os
import re
import socket
import uuid as _uuid

from salt.exceptions import CommandExecutionError

# How long files, scripts and names of a guest that is to come may be looked for, and what DRBD says of it.
LOOK_S = 20
DRBD_S = 120
# How long others may take that look whether there is memory for a guest.
ROOM_S = 60

HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}\Z")

# Salt before 2017.7 refuses a file that users see under another name than its own without this.
__virtualname__ = "xm"


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xm"


class _Utility(object):
    """
    A utility, of which calls read like those of a module; see xm.py.
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


xend_host = _Utility("xend_host")
xend_lock = _Utility("xend_lock")
xend_options = _Utility("xend_options")
xend_secrets = _Utility("xend_secrets")
xend_text = _Utility("xend_text")
xend_version = _Utility("xend_version")
xm_away = _Utility("xm_away")
xm_block = _Utility("xm_block")
xm_copies = _Utility("xm_copies")
xm_devices = _Utility("xm_devices")
xm_disks = _Utility("xm_disks")
xm_drbd = _Utility("xm_drbd")
xm_files = _Utility("xm_files")
xm_fit = _Utility("xm_fit")
xm_heard = _Utility("xm_heard")
xm_look = _Utility("xm_look")
xm_output = _Utility("xm_output")
xm_safety = _Utility("xm_safety")


def _host():
    return xm_look.host(str(__opts__["id"]), __salt__, CommandExecutionError, _Utility)


def _given(function, *arguments):
    return xend_text.given(CommandExecutionError, function, *arguments)


def _quoted(value):
    """
    A value that was given, as a message shows it: without passwords.
    """
    return xend_text.quoted(xend_secrets.masked(value))


def _text(argument, value):
    return _given(xend_text.given_text, argument, value)


def can_send(
    name,
    target,
    port=None,
    ssl=False,
    ask=True,
    live=True,
    node=None,
    accept=None,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
    uuid=None,
):
    """
    Whether a guest can leave this host for another one. Nothing is changed.

    name
        the domain
    target
        the minion id of the other host, as in the pillar ``xend:relocation:hosts``, or its address
    port, ssl
        where and how the target listens; default: what the pillar says of it, else this host's own port;
        without TLS unless this host's own xend-relocation-ssl is on, which xm cannot overrule. TLS hides the
        guest's memory on the way; xend verifies no certificate
    ask
        ask the target's relocation port whether it lets this host in
    live, node
        as for ``xm.migrate``: a live migration needs some memory on this host, and old xm have no node
    accept
        as for ``xm.can_receive``
    safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        as for ``xm.migrate``
    uuid
        the guest that is meant: another one that has its name cannot leave; default: whichever has it

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once; and
    ``safety``, what will be so: a dict of ``relay`` (bool), ``copy`` (``auto``, ``required``, or ``off``,
    also where there is no room for one), ``folder``, ``delay_s``, ``rate_mib_s`` and ``spare_mib``; None
    when that is among the blockers.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.can_send web01 target=xen2
        salt xen1 xm.can_send web01 target=xen2 safety_copy=required safety_folder=/srv/safety
    """
    name, uuid = _text("name", name), uuid and _text("uuid", uuid)
    peer = __salt__["xm.peer"](target, port, ssl)
    this = _host()
    blockers, warnings, guest = _blockers_of(this, name, live, _accepted(accept))
    if guest and uuid not in (None, guest["uuid"]):
        blockers.append("%s is another guest now (uuid %s)" % (name, guest["uuid"]))
    blockers += _options_that_xm_lacks(this, peer["ssl"], node)
    if not ask and not peer["own"]:
        warnings.append("the relocation port of %s was not asked" % target)
    if ask or peer["own"]:
        blockers += _shut({target: peer})[target]
    asked = xm_safety.asked(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    safety, cannot, told = _safety(this, name, asked, peer["ssl"], guest, live)
    return dict(_check(blockers + cannot, warnings + told), safety=None if cannot else safety)


def _shut(peers):
    """
    Why guests cannot be sent to these hosts, whichever guests they are: a dict from target to sentences. All
    of their doors are asked at once.

    peers
        a dict from target to what ``xm.peer`` says of it
    """
    found = dict([(target, []) for target in peers])
    asked = {}
    for target, peer in peers.items():
        if peer["own"]:
            found[target].append("the target %s (%s) is this host itself" % (target, peer["address"]))
        else:
            asked.setdefault((peer["port"], peer["ssl"]), []).append(target)
    for (port, ssl), targets in asked.items():
        addresses = sorted(set([peers[target]["address"] for target in targets]))
        answers = __salt__["xend.probe"](addresses, port=port, ssl=ssl)
        for target in targets:
            answer = answers[peers[target]["address"]]
            if answer["result"] != "accepted":
                found[target].append(answer["message"] + peers[target]["hint"])
    return found


def _safety(this, name, asked, ssl, guest, live):
    """
    What will be so of relay and safety copy, with blockers and warnings.
    """
    try:
        found = xm_safety.settings(asked, __salt__["config.get"], this.option("kept"), _Utility)
    except ValueError as exc:
        return None, [str(exc)], []
    tool = _device_tool()
    cannot = xm_safety.contradictions(found, ssl, tool)
    told = xm_safety.unprotected(name, found, ssl, tool)
    if ssl or tool or not found["relay"]:
        found.update(relay=False, copy="off")
    if guest and found["copy"] != "off":
        is_kept, lacks, warns = _room(this, name, found, guest, live)
        cannot, told = cannot + lacks, told + warns
        found["copy"] = found["copy"] if is_kept else "off"
    return found, cannot, told


def _device_tool():
    try:
        return xend_text.native("%s" % (__salt__["xend.get"]("external-migration-tool", ""),)).strip()
    except CommandExecutionError:
        # A file that xend cannot read says nothing about the running one.
        return ""


def _room(this, name, found, guest, live):
    """
    Whether there will be a safety copy, with blockers and warnings.
    """
    patiently, private = _patience(), xend_lock.private

    def seen(folder):
        silent = {"free_mib": None, "device": None, "problem": "%s does not answer" % folder}
        return patiently(xm_safety.look, folder, private) or silent

    there, promised_mib = seen(found["folder"]), 0
    relays = [] if there["problem"] else this.relays()
    if relays:
        look = this.look()
        guests = dict([(row["uuid"], look.describe(row)) for row in look.rows if row["domid"]])
        promised_mib = xm_safety.promised_mib(
            relays, guests, there["device"], lambda folder: seen(folder)["device"]
        )
    return xm_safety.room(name, found, xm_safety.needed_mib(guest, live), there, promised_mib)


def _check(blockers, warnings):
    return {"ok": not blockers, "blockers": blockers, "warnings": warnings}


def _blockers_of(this, name, live, accept):
    """
    What keeps a guest from being sent, as far as this host alone can tell: blockers, warnings, and its
    description; None for that where there is nothing to be sent.
    """
    if name == "Domain-0":
        return ["Domain-0 is the host itself and cannot be moved"], [], None
    if name != xm_copies.plain(name):
        return [
            "%s is the name that xend gives a domain while it is sent; migrating it under that name "
            "wedges it: wait until it has left, or mend it if its migration broke (xend.orch.recover)"
            % name
        ], [], None
    look = this.look()
    row = look.guest(name)
    found = row and look.describe(row)
    if found is None or not found["runs"]:
        why = _why_it_cannot_leave(name, look.view(name))
        if found is None or why["under_way"]:
            return [why["sentence"]], [], None
    blockers = []
    if xm_output.is_unknown(found["state"]):
        blockers.append(
            "whether %s runs cannot be seen: xend shows its state as %s; look with `xm list` until it shows "
            "letters, and if it does not, see whether %s answers" % (name, found["state"], name)
        )
    elif not found["runs"]:
        blockers.append(why["sentence"])
    if not found["uuid"]:
        blockers.append("xend shows no uuid of %s, by which it could be known again" % name)
    if found["nomigrate"]:
        blockers.append("%s is marked nomigrate in its configuration" % name)
    if found["pci"]:
        blockers.append(
            "%s has %d PCI device(s) of this host passed through; detach them first"
            % (name, len(found["pci"]))
        )
    misread, hides = look.misread(row)
    blockers += [
        "xend would hand on '%s' of %s as other bytes than it has: call it otherwise, in ASCII (a path may "
        "be a link)" % (xm_files.legible(string), name)
        for string in misread
    ]
    if hides:
        blockers.append(
            "xend would hand on a password of %s as other bytes than it has: give it another one, in ASCII"
            % name
        )
    blockers += xm_devices.foreign_backends(found)
    cannot, accepted = xm_devices.hardware(found, "devices" in accept)
    blockers += cannot
    if live and found["runs"]:
        # Else xend would fail before it connects, after half a minute of looking for memory.
        overhead_mib = xm_fit.live_overhead_mib(found)
        blockers += _too_little_memory(
            overhead_mib,
            this.info().get("free_memory"),
            look,
            None,
            "for a live migration (live: False needs none)"
        )
    warnings = accepted + __salt__["xen_guest.warnings"](name, found["uuid"])
    if this.stays_managed(found["uuid"]):
        (warnings if "managed" in accept else blockers).append(_would_stay(name, found))
    return blockers, warnings, found


def _would_stay(name, guest):
    host = str(__opts__["id"])
    # As xm prints it; auto_power_on does the same and is not printed (xend 3.4 XendDomain.autostart_domains).
    by_itself = re.search(r"\(on_xend_start '?start'?\)", guest["sxp"])
    return (
        "%s is managed by xend (`xm new`), and before Xen 4.0 it stays so on %s when it is sent: %s starts "
        "it a second time there, on the same disks; accept: [managed] sends it, and xend.orch.migrate "
        "removes its entry on %s once it was seen to run on its target (by hand: `xm delete %s` there, then)"
        % (
            name,
            host,
            "the next start of xend (on_xend_start)" if by_itself else "`xm start`, or a start of xend,",
            host,
            name,
        )
    )


def _why_it_cannot_leave(name, view):
    """
    What is to be said of a guest that does not run here under its name, and whether it is under way.
    """
    here = str(__opts__["id"])
    under_way = xm_copies.under_way(name, here, view)
    words = (name, here)
    if under_way:
        sentence = under_way
    elif view["copy"] == "absent":
        sentence = "there is no domain %s on %s; `salt '*' xm.where %s` shows which host has it" % (
            words + (name,)
        )
    elif view["copy"] == "unknown":
        sentence = "what is on %s cannot be seen (%s)" % (here, view["problem"] or "it has just changed")
    elif view["copy"] == "unfinished":
        sentence = (
            "%s does not run, and has not run on %s so far (state %s). If it was created paused, or paused "
            "just after that, `xm unpause %s` on %s starts it; if a migration has brought it, it cannot "
            "work: xend.orch.recover tells" % (words + (view["state"], name, here))
        )
    elif view["copy"] in ("left", "suspended"):
        sentence = (
            "%s is left over on %s, as %s (state %s), from a migration that broke: xend.orch.recover mends "
            "what is safe" % (words + (view["listed"], view["state"]))
        )
    else:
        sentence = "%s does not run (state %s), and only a guest that runs can be moved: %s" % (
            name,
            view["state"] or "not started",
            xm_copies.why_at_rest(name, here, view),
        )
    return {"sentence": sentence, "under_way": bool(under_way)}


def peer(target, port=None, ssl=False):
    """
    Where a guest would be sent.

    target, port, ssl
        as for ``xm.migrate``

    Returns ``id`` (the minion id of the target, or what was given), ``address``, ``port``, ``ssl`` (bool),
    ``own`` (bool: it is this host itself) and ``hint``, what to say when it cannot be reached.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.peer xen2
    """
    target, ssl = _text("target", target), _flag("ssl", ssl)
    declared = __salt__["xend.declared_hosts"]()
    ssl = ssl or _always_tls()
    where = __salt__["xend.peer"](target, port, ssl)
    address = where["address"]
    if target in declared and not declared[target]["address"]:
        raise CommandExecutionError(
            "%s has no address in the pillar xend:relocation:hosts" % target
        )
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z", address):
        raise CommandExecutionError(
            "target %s is neither a minion id in the pillar xend:relocation:hosts nor an address or a "
            "host name" % xend_text.quoted(target)
        )
    own = declared.get(str(__opts__["id"]), {}).get("address")
    resolved = _resolved(address)
    # xend would "migrate" a guest to its own host under another id.
    own_names = (str(__opts__["id"]), __grains__.get("host"), __grains__.get("fqdn"), "localhost")
    return {
        "id": where["id"] or target,
        "address": address,
        "ssl": ssl,
        "port": _port(where["port"]),
        "own": target in own_names or address in (own, "127.0.0.1") or resolved != address,
        "hint": ""
        if where["id"] or re.match(r"[0-9.]+\Z", target)
        else "; %s is no minion id in the pillar xend:relocation:hosts, so it was taken for a host name"
        % target,
    }


def _resolved(name):
    """
    What xend would connect to for a name, if that is this host itself; else the name. Many hosts have a
    line for themselves in /etc/hosts that says 127.0.1.1, and some one for others.
    """
    if re.match(r"[0-9.]+\Z", name):
        return name
    try:
        address = socket.gethostbyname(name)
    except (socket.error, UnicodeError):
        # The probe says it better.
        return name
    return address if xend_host.is_local(address) else name


def _always_tls():
    """
    Whether xend sends guests over TLS unasked: xm has an option for it, but none against it (xend 4.2
    XendDomain.domain_migrate).
    """
    try:
        return __salt__["xend.relocation"]()["ssl"]
    except CommandExecutionError:
        # A file that xend cannot read says nothing about the running one.
        return False


def can_receive(
    domain, config=None, source=None, storage=None, file=None, accept=None, asked=None
):
    """
    Whether this host can take a guest. Nothing is changed.

    domain
        the description of the guest, as ``xm.domain`` on its host returns it
    config
        the configuration file of xend
    source
        what ``xm.host`` returned on the guest's host; without it processors and versions are not compared
    storage
        what ``xm.same_disks`` returned here, or what ``xm.mark_disks`` returned there, with ``host``, that
        minion's id, to be compared now; without it the disks are only looked for
    file
        the guest's configuration file, as ``xen_guest.find`` returned it on its host, when it is to follow
    accept
        a list of what is accepted all the same: differences of the hosts, ``cpu``, ``version``, ``storage``
        and ``devices``, and what the guest leaves on its old host, ``managed``
    asked
        for comparing clocks, when both hosts were asked together: a dict of ``time``, what ``xm.host`` has
        returned as such here, and ``apart_s``, the seconds by which one may have been asked after the other.
        Without it a clock that is ahead is only told of when it is far ahead, as time passes in between

    Memory that is promised to guests that are expected here (``xend.reserve``) is not there for this one, and
    a host that is being emptied (``xm.evacuation``) takes none.

    Returns ``ok`` (bool), ``blockers`` and ``warnings``: lists of sentences, all that are known at once.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.can_receive '{"name": "web01", "memory_mib": 96}'
    """
    domain = _given(xm_output.described, domain, _Utility)
    accept = _accepted(accept)
    source = None if source is None else _given(xm_heard.told, "source", source, "host", "xm.host")
    if isinstance(storage, dict):
        storage = _compared(storage)
    if storage is not None:
        storage = _verdicts(storage)
    if file is not None and not isinstance(file, dict):
        raise CommandExecutionError(
            "file: %s is no mapping; give what xen_guest.find returns on the guest's host"
            % xend_text.quoted(file)
        )
    place = _Place(_host(), source, accept, asked)
    disks = domain.get("disks") or []
    known = _drbd(place.this, disks) if storage is None else {}
    # What was compared was compared before this had its turn.
    seen = _disks_here(xm_disks.look(disks, place.root), known, storage is None)
    return place.check(domain, storage, seen, file, place.memory(domain, config))


class _Place(object):
    """
    This host, which is asked whether it takes guests from another one: what has to be known of it for each of
    them is looked at once.

    source
        what ``xm.host`` returned there
    """

    def __init__(self, this, source, accept, asked=None):
        self.this, self.source, self.accept = this, source, accept
        # Where it is looked at what a guest needs here, storage or a name server may keep silent.
        self.patiently = _patience()
        self.root = this.option("root")
        self.here, self.look = __salt__["xm.host"](), this.look()
        closed = xm_away.refusal(xm_away.read(this.option("kept"), _Utility), this.name)
        self.closed = [closed] if closed else []
        self.promised = _promised(self.look)
        self.then, self.apart_s = _when_asked(self.here, asked)
        self.there = [self.look.describe(row) for row in self.look.rows if row["domid"] is not None]
        self.taken = xend_host.taken(self.root)
        self._storage = None

    def memory(self, domain, config=None):
        """
        What is to be said of the memory that a guest needs here.
        """
        return _no_room(domain, self.here, self.look, config, self.promised)

    def check(self, domain, storage, seen, file=None, memory=()):
        """
        Whether it can take a guest: what ``xm.can_receive`` returns.

        storage, seen
            what is known of its disks: the verdicts of comparing them with those of its host, None where they
            are not compared, and what can be said of them here alone
        memory
            sentences about the memory that it needs
        """
        blockers = self.closed + _same_identity(domain, self.look.rows) + list(memory)
        fit = xm_fit.fits(domain, self.source, self.then, accept=self.accept, apart_s=self.apart_s)
        devices = xm_devices.fits(
            domain,
            self.then,
            self.source,
            lambda path: self.patiently(xend_host.script_problem, path, self.root, xm_disks.place_of),
            self._has,
            lambda name: _is_own_address(name, self.patiently, self.root),
            self.taken,
        )
        # Its host says so too; here whoever looks for a place for the guest hears it.
        bound, accepted = xm_devices.hardware(domain, "devices" in self.accept)
        cannot, might_not = xm_fit.reboot_warnings(
            domain, self._has, domain.get("image_files"), str(__opts__["id"])
        )
        blockers += bound + devices["blockers"] + fit["blockers"] + cannot
        warnings = accepted + devices["warnings"] + fit["warnings"] + might_not
        if storage is not None:
            told = [_subject(sentence) for verdict, sentence in storage if verdict == "missing"]
            gone = [found for found in seen if found[0] == "missing" and _subject(found[1]) not in told]
            seen = list(storage) + gone
        for verdict, sentence in seen + self._hotplug_refusals(domain):
            if verdict in ("missing", "different") or verdict == "unproved" and "storage" not in self.accept:
                blockers.append(sentence)
            elif verdict in ("unproved", "unchecked") or "judged" in sentence:
                warnings.append(sentence)
        if file:
            blockers += __salt__["xen_guest.check_put"](file)
        # One that it has left here when it was here before.
        warnings += __salt__["xen_guest.images"](domain["name"], domain.get("uuid"))
        # What stands there is partly in the words of the source.
        return _check(
            [xm_files.legible(one) for one in blockers], [xm_files.legible(one) for one in warnings]
        )

    def _has(self, path):
        return self.patiently(os.path.exists, self.this.path(path))

    def _hotplug_refusals(self, domain):
        """
        What the hotplug scripts of this host would say to the disks of a guest, see xm_block.
        """
        disks = domain.get("disks") or []
        if not disks:
            return []
        if self._storage is None:
            self._storage = {
                "others": [
                    (one, xm_disks.used(one["disks"], self.root)) for one in self.there if one["disks"]
                ],
                "mounts": xm_disks.mounts(self.root),
                "loops": xm_disks.loops(self.root),
                "scripts": xm_disks.scripts(self.root),
            }
        # What is here of the guest itself is in nobody's way (script block, same_vm).
        others = [(one["name"], used) for one, used in self._storage["others"] if not _is_copy(one, domain)]
        tools = self.here["tools"]
        return xm_block.refusals(
            domain.get("image"),
            xm_disks.used(disks, self.root),
            others,
            self._storage["mounts"],
            self._storage["loops"],
            self._storage["scripts"],
            tools and tuple(tools),
            str(__opts__["id"]),
        )


def reserve(domain, who="", seconds=300, config=None):
    """
    Announce a guest that is about to come to this host, with the memory that it needs here
    (``xend.reserve``), when so much is promised to nobody else.

    domain, config
        as for ``xm.can_receive``, which has found that this host can take the guest
    who, seconds
        as for ``xend.reserve``

    Of two guests that want the same memory at the same time, the second one is refused. Returns a sentence.
    Raises an error, and reserves nothing, when there is not so much, or as ``xend.reserve`` does.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.reserve '{"name": "web01", "memory_mib": 96}' who='migration from xen1'
    """
    domain, who = _given(xm_output.described, domain, _Utility), who and _text("who", who)
    name, this = domain["name"], _host()
    refusal = "it cannot be seen whether there is memory for %s, as others look at it (%%s)" % name
    with xend_lock.hold_or_raise(
        CommandExecutionError, refusal, this.option("kept"), "memory", who=who, wait_s=ROOM_S
    ):
        here, look = __salt__["xm.host"](), this.look()
        lacks = _no_room(domain, here, look, config, _promised(look))
        if lacks:
            raise CommandExecutionError("; ".join(lacks))
        memory_mib = xm_fit.needed_mib(domain, here)
        return __salt__["xend.reserve"](name, who=who, seconds=seconds, memory_mib=memory_mib)


def _no_room(domain, here, look, config, promised):
    """
    What is to be said of the memory that a guest needs here, when what is PROMISED to others (see below) is
    not there for it.
    """
    others = [one for one in promised if one["name"] != domain["name"]]
    tables_mib = xm_fit.iommu_mib(domain, here)
    what = "here, %d of them for the tables of its IOMMU (VT-d)" % tables_mib if tables_mib else "here"
    return _too_little_memory(xm_fit.needed_mib(domain, here), here["free_mib"], look, config, what, others)


def _promised(look):
    """
    The guests that are expected here with memory that they do not have yet, as ``xend.expected`` returns
    them. One that is here has taken it; how much one has that is just coming, xend does not show.
    """
    is_here = ("running", "halted", "unfinished")
    there = [row["name"] for row in look.rows if look.copy(row) in is_here]
    made = [one for one in __salt__["xend.expected"]() if one["name"] not in there]
    return [one for one in made if one["memory_mib"]]


def _when_asked(here, asked):
    """
    The facts of this host with the clocks as they were when both hosts were asked (see ``can_receive``), and
    by how many seconds that may have been apart; None for these when nobody says so.
    """
    if asked is None:
        return here, None
    if not isinstance(asked, dict) or set(asked) != set(["time", "apart_s"]):
        raise CommandExecutionError(
            "asked: %s is no dict of time and apart_s" % _quoted(asked)
        )
    then, apart_s = [_seconds("asked: " + key, asked[key]) for key in ("time", "apart_s")]
    up = here["uptime_s"]
    return dict(here, time=then, uptime_s=up and max(0, up - (here["time"] - then))), apart_s


def _subject(sentence):
    """
    The disk that a sentence is about.
    """
    return sentence.partition(": ")[0]


# What xm_disks.compare and xm_drbd.judge say of a disk.
VERDICTS = ("same", "missing", "different", "unproved", "unchecked", "none")


def _verdicts(storage):
    pairs = storage if isinstance(storage, (list, tuple)) else [None]
    for pair in pairs:
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not is_pair or pair[0] not in VERDICTS or not hasattr(pair[1], "upper"):
            raise CommandExecutionError(
                "storage: %s is no list of [verdict, sentence]; give what xm.same_disks returned here"
                % xend_text.quoted(storage)
            )
    return [tuple(pair) for pair in pairs]


def _patience():
    """
    A function that calls another one and returns what that does, or None when it does not answer. All that it
    calls have LOOK_S seconds together: where one path is on storage that keeps silent, others may be.
    """
    end = xm_look.clock_s() + LOOK_S

    def ask(function, *arguments):
        work = [lambda: function(*arguments)]
        return xm_disks.in_time(work, max(0.1, end - xm_look.clock_s()))[0]

    return ask


def _is_own_address(name, patiently, root):
    """
    Whether programs here can listen on an address, or on what a name means here; None when that cannot be
    told.
    """
    if not HOST_NAME.match(name):
        return None
    try:
        # Names of hosts that are only known elsewhere, and what is no IPv4 address.
        address = name if re.match(r"[0-9.]+\Z", name) else patiently(socket.gethostbyname, name)
        return address and xend_host.is_own(address, root)
    except (socket.error, UnicodeError):
        return None


def _accepted(accept):
    return _given(xm_fit.risks, accept, _Utility)


def _disks_here(looked, known, alone=True):
    """
    What can be said of the disks of a guest without its host: whether they are here.

    looked, known
        what xm_disks.look has seen of them here, and what `_drbd` has
    alone
        nothing else will be said of them
    """
    found = []
    for disk in looked:
        resource = xm_drbd.resource(disk["uname"])
        name = ", ".join([part for part in (disk["dev"], disk["uname"]) if part])
        if disk["problem"]:
            said = "missing", (
                "%s: %s on %s, where xend would find out only when all memory is there: the guest would "
                "be lost on both; make its storage available there under this path"
                % (name, disk["problem"], str(__opts__["id"]))
            )
        elif resource in known:
            said = _drbd_verdict(disk, None, known[resource], "its source")
        elif disk["kind"] == "script" and alone:
            said = "unproved", (
                "%s: a script of its own attaches it, so that nothing is known of where it is; make "
                "sure that it is the same storage on both hosts; who knows better says accept: [storage]"
                % name
            )
        elif disk["kind"] != "none":
            said = "unchecked", "it was not proved that %s, is the same storage on both hosts" % name
        else:
            continue
        found.append(said)
    return found


def _is_copy(one, other):
    if one["uuid"] and other.get("uuid"):
        return one["uuid"] == other["uuid"]
    return xm_copies.plain(one["name"]) == other["name"]


def _drbd(this, disks):
    """
    {resource: what DRBD says of it here} for the disks that are its.
    """
    names = [xm_drbd.resource(disk.get("uname")) for disk in disks]
    found, end = {}, xm_look.clock_s() + DRBD_S
    for name in sorted(set([name for name in names if name])):
        try:
            link = os.readlink(this.path("/dev/drbd/by-res/" + name))
        except EnvironmentError:
            link = None
        # Where it has kept silent for one, it need not be asked for others.
        said = _drbdadm(this, name) if xm_look.clock_s() < end else None
        found[name] = xm_drbd.facts(name, said, this.content("/proc/drbd"), link)
    return found


def _drbdadm(this, name):
    """
    What drbdadm says of a resource: a dict from question to (exit code, text); None when there is none.
    """
    said = {}
    for question, command in xm_drbd.commands(this.option("drbdadm"), name):
        try:
            # It prints shared-secret.
            result = this.run(command)
        except CommandExecutionError:
            return None
        if result["retcode"] == 127:
            return None
        text = xend_secrets.text(result["stdout"] or result["stderr"])
        said[question] = (result["retcode"], text)
        if result["retcode"]:
            break
    return said


def _drbd_verdict(disk, there, here, source):
    verdict, sentence = xm_drbd.judge(
        xm_drbd.resource(disk["uname"]), there, here, source, str(__opts__["id"])
    )
    return verdict, "%s, %s: %s" % (disk["dev"], disk["uname"], sentence)


def mark_disks(name):
    """
    Say what the disks of a guest here are, and put a marker next to those that are files: what sees it
    is the same storage. The image itself is never written to. ``xm.unmark_disks`` removes the markers;
    those that a crash has left are removed an hour later, with the next ones.

    name
        the domain

    Returns ``disks``, ``marks``, ``there``, ``drbd`` and ``token``, for ``xm.same_disks`` on the other host.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.mark_disks web01
    """
    name = _text("name", name)
    guest = __salt__["xm.domain"](name)
    if not guest:
        raise CommandExecutionError("there is no domain %s here whose disks could be marked" % name)
    return _mark(_host(), guest["disks"])


def _mark(this, disks):
    token = str(_uuid.uuid4())
    return {
        "token": token,
        "disks": disks,
        "there": xm_disks.look(disks, this.option("root")),
        "marks": xm_disks.mark(disks, token, this.option("root")),
        "drbd": _drbd(this, disks),
    }


def same_disks(marked, source):
    """
    Whether the disks of a guest are the same storage here as on its host.

    marked
        what ``xm.mark_disks`` returned there
    source
        the minion id of that host, for the sentences

    Returns a list of [verdict, sentence], one for each disk; verdicts are ``same``, ``missing``,
    ``different``, ``unproved``, ``unchecked`` (a drive without a medium) and ``none`` (an empty drive).
    Markers are looked for where the disks are here, wherever the source says that it has put them. Raises an
    error for what is not of the form that ``xm.mark_disks`` returns.

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.same_disks '{"disks": [], "there": [], "marks": [], "token": "none"}' xen1
    """
    told = _given(xm_heard.told, "marked", marked, "marked", "xm.mark_disks")
    source, this = _text("source", source), _host()
    root = this.option("root")
    here = xm_disks.look(told["disks"], root)
    there, marks, token = told["there"] or [], told["marks"], told["token"]
    verdicts = _given(xm_disks.compare, there, here, marks, token, root, source, str(__opts__["id"]))
    known = _drbd(this, told["disks"])
    for number, disk in enumerate(here):
        resource = xm_drbd.resource(disk["uname"])
        if resource in known:
            # A source that says nothing of it is one of an older version.
            there = xm_drbd.told((told["drbd"] or {}).get(resource))
            verdicts[number] = _drbd_verdict(disk, there, known[resource], source)
    # What stands there is partly in the words of the source.
    return [[verdict, xm_files.legible(sentence)] for verdict, sentence in verdicts]


def _compared(marked):
    """
    Whether disks are the same storage as those that their host has MARKED. What cannot be told is not proved.
    """
    marked = xend_text.native(marked)
    try:
        if marked.get("problem"):
            raise CommandExecutionError("%s: %s" % (marked.get("host"), marked["problem"]))
        return same_disks(marked, marked.get("host"))
    except CommandExecutionError as exc:
        sentence = (
            "whether the disks are the same storage on both hosts could not be told (%s); who knows that "
            "they are says accept: [storage]" % xm_files.legible("%.500s" % exc)
        )
        return [["unproved", sentence]]


def unmark_disks(marked):
    """
    Remove the markers that ``xm.mark_disks`` has put; nothing else is removed.

    marked
        what it returned

    Returns True.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.unmark_disks '{"disks": [], "token": "none"}'
    """
    told = _given(xm_heard.told, "marked", marked, "marked", "xm.mark_disks")
    _given(xm_disks.unmark, told["disks"], told["token"], _host().option("root"))
    return True


# Many guests at once


def survey(source, domains=None, options=None, doors=()):
    """
    All that ``salt-run xend.plan`` asks each host before guests of SOURCE are sent elsewhere, in one answer.
    Nothing is changed, but for markers next to the image files of these guests (``xm.mark_disks``).

    source
        the minion id of the host that they shall leave
    domains
        the names of these guests; default: all that are there
    options
        those of their migrations, to be checked (``xm.check_options``)
    doors
        the minion ids of the hosts that they may go to, whose relocation ports SOURCE asks

    Returns ``host`` (as ``xm.host``), ``dom0_mib`` (what dom0 may give back for guests), ``promised`` (the
    memory of guests that are expected here, as ``xend.expected``), ``configured`` and ``guarded`` (as
    ``xend.as_wanted``), ``follows`` (bool: whether ``xend:follow`` is set), ``closed`` (None, or why this
    host takes no guests), ``seen`` (what is here of DOMAINS, as ``copies`` of ``xm.copies``), ``near`` (names
    of guests here that are like those of DOMAINS which are not here), ``wrong`` (what is wrong with OPTIONS,
    or None), ``problem`` (why the host could not say all of it, or None), ``seconds`` (how long it needed)
    and ``modules`` (the version of Xend for Salt here).
    SOURCE also returns ``guests``, a list of dicts: ``name``, ``uuid``, ``view`` (as ``xm.where``),
    ``domain`` (as ``xm.domain``, without ``sxp``; None for one that xend only knows), ``stays_managed`` (as
    ``xm.report``), ``blockers`` and ``warnings`` (as ``xm.can_send`` says them, but for doors); ``doors``, a
    dict from each of DOORS to why no guest can be sent there, a list of sentences; and ``marked``, as
    ``xm.mark_disks`` returns it, of all these guests in their order (or ``problem``; None without disks).

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xm.survey xen1 doors='[xen2]'
    """
    began = xm_look.clock_s()
    source, doors = _text("source", source), _texts("doors", doors)
    domains = None if domains is None else _texts("domains", domains)
    this = xm_look.moment(str(__opts__["id"]), __salt__, CommandExecutionError, _Utility)
    found = {"host": None, "dom0_mib": None, "promised": [], "follows": False, "seen": [], "near": []}
    found.update(configured=False, guarded=False, closed=None, problem=None, modules=xend_version.version())
    found.update(guests=[], doors={}, marked=None, wrong=_wrong(options))
    try:
        found["host"], look = __salt__["xm.host"](), this.look()
        found["dom0_mib"], found["promised"] = _from_dom0(look, None), _promised(look)
        found["closed"] = xm_away.refusal(xm_away.read(this.option("kept"), _Utility), this.name) or None
        found.update(__salt__["xend.as_wanted"]())
        found["follows"] = __salt__["xen_guest.follows"]()
        copies = [one for one in look.copies() if one["copy"] != "absent"]
        names = sorted(set([one["name"] for one in copies]))
        if domains is not None:
            found["seen"] = [one for one in copies if one["name"] in domains]
            lacking = [name for name in domains if name not in names]
            found["near"] = sorted(set(sum([difflib.get_close_matches(name, names) for name in lacking], [])))
            names = [name for name in names if name in domains]
        if source == this.name and not found["wrong"]:
            found.update(_leaving(this, names, dict(options or {}), doors))
    except CommandExecutionError as exc:
        found.update(this.silence(exc))
    return dict(found, seconds=round(xm_look.clock_s() - began, 2))


def _texts(argument, values):
    if not isinstance(values, (list, tuple)):
        raise CommandExecutionError("%s: %s is no list" % (argument, xend_text.quoted(values)))
    return [_text(argument, value) for value in values]


def _wrong(options):
    try:
        check_options(**(options or {}))
    except CommandExecutionError as exc:
        return str(exc)
    except TypeError:
        # They are no mapping, or one with names that check_options does not know.
        return "options: %s are not those of a migration" % xend_text.quoted(options)
    return None


def _leaving(this, names, options, doors):
    """
    What ``xm.survey`` says of guests that shall leave this host.
    """
    port, ssl = options.get("port"), options.get("ssl", False)
    lacks = _options_that_xm_lacks(this, ssl or _always_tls(), options.get("node"))
    guests = [_leaver(this, name, options, lacks) for name in names]
    found = {"guests": guests, "doors": _doors(doors, port, ssl), "marked": None}
    disks = sum([guest["domain"]["disks"] for guest in guests if guest["domain"]], [])
    if disks:
        # Last: whatever goes wrong before, nothing is left behind.
        try:
            found["marked"] = _mark(this, disks)
        except CommandExecutionError as exc:
            found["marked"] = {"problem": str(exc)}
    return found


def _leaver(this, name, options, lacks):
    """
    What ``xm.survey`` says of one of them. LACKS: which OPTIONS xm has not.
    """
    look = this.look()
    # One that is being sent goes by another name.
    row, view = look.guest(name) or (look.candidates(name) or [None])[0], look.view(name)
    found = {"name": name, "uuid": view.get("uuid"), "domain": None, "stays_managed": None}
    found.update(view=dict([(key, view[key]) for key in view if key != "settled"]), blockers=[], warnings=[])
    if row:
        found["stays_managed"] = row["uuid"] if this.stays_managed(row["uuid"]) else None
        if row["domid"] is not None:
            described = look.describe(row)
            shown = dict([(key, described[key]) for key in described if key != "sxp"])
            found["domain"] = dict(shown, name=name)
    if view["copy"] == "managed":
        return found
    live = options.get("live", True)
    safety = ("safety_copy", "safety_folder", "safety_delay_s", "rate_mib_s", "relay")
    try:
        accept = _accepted(options.get("accept"))
        blockers, warnings, guest = _blockers_of(this, name, live, accept)
        asked = xm_safety.asked(*[options.get(key) for key in safety])
        ssl = options.get("ssl", False) or _always_tls()
        _, cannot, told = _safety(this, name, asked, ssl, guest, live)
        found.update(blockers=blockers + lacks + cannot, warnings=warnings + told)
        if not found["domain"]:
            found["blockers"] = blockers or ["what xend says of %s is not understood" % name]
    except CommandExecutionError as exc:
        found["blockers"] = [str(exc)]
    return found


def _doors(targets, port, ssl):
    """
    Why guests cannot be sent to these hosts, as `_shut`, whatever is wrong with one of them.
    """
    found, peers = {}, {}
    for target in targets:
        try:
            peers[target] = __salt__["xm.peer"](target, port, ssl)
        except CommandExecutionError as exc:
            found[target] = [str(exc)]
    try:
        found.update(_shut(peers))
    except CommandExecutionError as exc:
        found.update([(target, [str(exc)]) for target in peers])
    return found


def room_for(guests, source=None, storage=None, accept=None, asked=None):
    """
    Whether this host can take guests of another one, each of them. Nothing is changed. How they share the
    memory that is free here is not looked at.

    guests
        a list of their descriptions, as ``xm.survey`` has returned them there
    source, accept
        as for ``xm.can_receive``
    storage
        what ``xm.survey`` has returned there as ``marked``, with ``host``, that minion's id, to be compared
        now; without it disks are only looked for
    asked
        a dict from minion id to what ``xm.can_receive`` is given as such

    Returns a dict: ``guests``, in the same order a list of dicts: ``name``, ``uuid``, ``blockers`` and
    ``warnings`` (as ``xm.can_receive`` says them, but for memory), ``needed_mib`` (what has to be free when
    it is received) and ``takes_mib`` (what of that it takes for good).

    CLI Example:

    .. code-block:: bash

        salt xen2 xm.room_for '[{"name": "web01", "memory_mib": 96}]'
    """
    if not isinstance(guests, (list, tuple)):
        raise CommandExecutionError(
            "guests: %s is no list; give descriptions of guests" % _quoted(guests)
        )
    for argument, value in (("storage", storage), ("asked", asked)):
        if value is not None and not isinstance(value, dict):
            raise CommandExecutionError("%s: %s is no dict" % (argument, _quoted(value)))
    guests = [_given(xm_output.described, guest, _Utility) for guest in guests]
    source = None if source is None else _given(xm_heard.told, "source", source, "host", "xm.host")
    disks = [disk for guest in guests for disk in guest["disks"]]
    compared = None if storage is None else _verdicts(_compared(storage))
    this = xm_look.moment(str(__opts__["id"]), __salt__, CommandExecutionError, _Utility)
    place = _Place(this, source, _accepted(accept), (asked or {}).get(this.name))
    known = _drbd(this, disks) if compared is None else {}
    # What was compared was compared before this had its turn.
    looked = xm_disks.look(disks, place.root)
    found, end = [], 0
    for guest in guests:
        begin, end = end, end + len(guest["disks"])
        said = compared
        if compared is not None and len(compared) == len(disks):
            said = compared[begin:end]
        elif begin == end:
            # That nothing could be compared is said of guests that have disks.
            said = []
        check = place.check(guest, said, _disks_here(looked[begin:end], known, compared is None))
        found.append(
            {
                "name": guest["name"],
                "uuid": guest["uuid"],
                "blockers": check["blockers"],
                "warnings": check["warnings"],
                "needed_mib": xm_fit.needed_mib(guest, place.here),
                "takes_mib": xm_fit.needed_mib(guest),
            }
        )
    return {"guests": found}


def _same_identity(wanted, rows):
    """
    Whose name or uuid a guest has here. ROWS: the domains that are here.
    """
    blockers = []
    for row in rows:
        if xm_copies.plain(row["name"]) == wanted["name"]:
            if row["domid"] is None:
                blockers += _other_namesake(row, wanted)
                continue
            blockers.append(
                "the name %s is in use here, by domain %s in state %s; %s"
                % (
                    row["name"],
                    row["domid"],
                    row["state"],
                    "xend refuses a second one with that name"
                    if row["name"] == wanted["name"]
                    else "that one is being sent, or is left over from a migration that broke",
                )
            )
        elif row["domid"] and wanted.get("uuid") and row["uuid"] == wanted["uuid"]:
            blockers.append(
                "the uuid %s of %s is in use here, by %s" % (wanted["uuid"], wanted["name"], row["name"])
            )
    return blockers


def _other_namesake(row, wanted):
    """
    A domain that xend only knows may be the very guest, which has been here before; another one of its name
    is in the way although it does not run (xend 4.4 XendDomainInfo._checkName).
    """
    if not wanted.get("uuid") or row["uuid"] == wanted["uuid"]:
        return []
    return [
        "the name %s is in use here, by a managed domain that does not run (uuid %s); xend refuses a second "
        "one with that name" % (row["name"], row["uuid"])
    ]


def _too_little_memory(needed_mib, free_mib, look, config, what, promised=()):
    if free_mib is None:
        return ["xm info does not show the free memory, of which %d MiB are needed %s" % (needed_mib, what)]
    all_mib = needed_mib + sum([one["memory_mib"] for one in promised])
    given_back_mib = 0 if all_mib <= free_mib else _from_dom0(look, config)
    if all_mib <= free_mib + given_back_mib:
        return []
    said = "%d MiB are needed %s; %d MiB are free, and dom0 may give back %d MiB"
    said = said % (needed_mib, what, free_mib, given_back_mib)
    if promised:
        who = ["%d MiB of that are promised: %s" % (one["memory_mib"], one["says"]) for one in promised]
        said = "%s; %s" % (said, "; ".join(who))
    return [said]


def _from_dom0(look, config):
    """
    The memory in MiB that xend may take from dom0 for a guest: all above dom0-min-mem, unless that is 0
    or enable-dom0-ballooning (xend 4.0 and later) is off (xend 4.4 balloon.free).
    """
    get = __salt__["xend.get"]
    minimum = xend_text.native("%s" % (get("dom0-min-mem", "0", config=config),)).strip()
    enabled = ("%s" % (get("enable-dom0-ballooning", "yes", config=config),)).lower()
    if not re.match(r"[1-9][0-9]*\Z", minimum) or enabled in ("no", "n", "0", "off", "false", "f"):
        return 0
    dom0 = [row for row in look.rows if row["domid"] == 0]
    return max(0, dom0[0]["memory_mib"] - int(minimum)) if dom0 else 0


def check_options(
    live=True,
    port=None,
    ssl=False,
    node=None,
    timeout=None,
    settle=0,
    accept=None,
    safety_copy=None,
    safety_folder=None,
    safety_delay_s=None,
    rate_mib_s=None,
    relay=None,
):
    """
    Whether these options of a migration make sense; nothing else is looked at.

    live, port, ssl, node, timeout, safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay
        as for ``xm.migrate``; what the options of this host say beside them is not looked at
    settle
        as ``timeout`` for ``xm.arrival``
    accept
        as for ``xm.can_receive``

    Returns True. Raises an error that names every wrong option, its value and what would be right.

    CLI Example:

    .. code-block:: bash

        salt xen1 xm.check_options timeout=900 live=False
    """
    wrong, asked = [], xm_safety.asked(safety_copy, safety_folder, safety_delay_s, rate_mib_s, relay)
    for look, arguments in (
        (_flag, ("live", live)),
        (_flag, ("ssl", ssl)),
        (_node, (node,)),
        (_seconds, ("settle", settle)),
        (_accepted, (accept,)),
        (_port, (port,)),
        (_timeout, (timeout,)),
        (_safety_options, (asked, ssl)),
    ):
        try:
            look(*arguments)
        except CommandExecutionError as exc:
            wrong.append(str(exc))
    if wrong:
        raise CommandExecutionError("; ".join(wrong))
    return True


def _safety_options(asked, ssl):
    found = _given(xm_safety.settings, asked, _nothing_said, None, _Utility)
    wrong = xm_safety.contradictions(found, ssl is True)
    if wrong:
        raise CommandExecutionError("; ".join(wrong))


def _nothing_said(_path, default):
    return default


def _flag(name, value):
    if value in (True, False):
        return bool(value)
    raise CommandExecutionError(
        "%s: %s is neither true nor false (text in quotes is no boolean)" % (name, _quoted(value))
    )


def _seconds(name, value):
    return _given(xend_text.given_seconds, name, value)


def _timeout(value):
    if value is not None and _seconds("timeout", value) == 0:
        raise CommandExecutionError("timeout: 0 leaves no time at all")


def _node(node):
    if node is not None and not re.match(r"[0-9]+\Z", "%s" % (node,)):
        raise CommandExecutionError("node: %s is no number of a NUMA node" % _quoted(node))


def _port(port):
    return port if port is None else int(_given(xend_options.written, "xend-relocation-port", port, _Utility))


def _options_that_xm_lacks(this, ssl, node):
    """
    Why xm migrate could not be given these options, as a list of sentences.
    """
    asked = [option for option, value in (("--ssl", ssl), ("--node", node is not None)) if value]
    tools = this.tools_version() if asked else None
    if not asked or tools >= (3, 3):
        return []
    words = (" and ".join(asked),) + tools[:2]
    return ["xm migrate has no %s before Xen 3.3; this host runs %d.%d" % words]
