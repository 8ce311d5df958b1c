"""
`make lab`: simulated hosts with guests, a Salt master and a minion on each host, left running to play with.

The demo starts its own two hosts in the same way.
"""

import json
import math
import shlex
import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

from tests.demo.configs import XEN_3_0_3, XEN_4_1
from tests.lab.daemons import Daemons
from tests.lab.fleet import Fleet, HostSpec
from tests.lab.hypervisor import DOMAIN_OVERHEAD_KIB, XEN_OVERHEAD_KIB
from tests.lab.memory import KIB_PER_MIB
from tests.lab.salt_config import REPO

# Where `make lab` notes what it has started.
NOTE = REPO / ".lab"
# Each host is a xend, a minion and what these start; nobody can follow more of them on one screen.
HOSTS, FASTEST_MIB_S = (2, 8), 10000
# The sizes of guests in MiB, again and again.
SIZES_MIB = (96, 160, 128, 256)
# What a host keeps free: a guest that leaves live needs some of it.
SPARE_MIB = 16
SHARED, OWN = "file:/srv/xen/%s.img,xvda,w", "file:/srv/local/%s.img,xvda,w"

Guest = namedtuple("Guest", "name memory_mib host own")
Guest.__doc__ = "A guest of the lab: how big it is, where it starts, whether its disk is on that host alone."


class Wrong(Exception):
    """What was asked for is not to be had; the text says why."""


def specs(count):
    """The hosts xen1, xen2 … with the files that they come with."""
    names = ["xen%d" % number for number in range(1, count + 1)]
    return [HostSpec(name, config=XEN_4_1 if number else XEN_3_0_3) for number, name in enumerate(names)]


def room_mib(spec):
    """How much memory guests of a host may have together, with what Xen takes for itself."""
    return spec.memory_mib - spec.dom0_mib - XEN_OVERHEAD_KIB // KIB_PER_MIB - SPARE_MIB


def placed(hosts, count, own=0):
    """Where `count` guests start: on the first host until it is full, then on the next; raise Wrong.

    hosts -- HostSpecs
    own -- how many of them, the last ones, have their disk on their host alone
    """
    found, left = [], [[spec.name, room_mib(spec)] for spec in hosts]
    while left and len(found) < count:
        size_mib = SIZES_MIB[len(found) % len(SIZES_MIB)]
        needed_mib = size_mib + DOMAIN_OVERHEAD_KIB // KIB_PER_MIB
        if left[0][1] < needed_mib:
            del left[0]
            continue
        left[0][1] -= needed_mib
        found.append(Guest("web%02d" % (len(found) + 1), size_mib, left[0][0], False))
    if len(found) < count:
        raise Wrong("GUESTS=%d: %d hosts have memory for %d guests" % (count, len(hosts), len(found)))
    return [guest._replace(own=number > count - own) for number, guest in enumerate(found, 1)]


def wanted(hosts, guests, own, rate):
    """Return (HostSpecs, Guests, speed of the links or None) for the words that `make lab` was given.

    Raise Wrong with all that is wrong with them.
    """
    wrong = []

    def whole(name, text, low, high):
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            bounds = "of at least %d" % low if high == math.inf else "from %d to %d" % (low, high)
            wrong.append("%s=%s is not a whole number %s" % (name, text, bounds))
            return low
        return int(text)

    hosts = specs(whole("HOSTS", hosts, *HOSTS))
    most = whole("GUESTS", guests, 0, math.inf)
    own = whole("OWN", own, 0, math.inf)
    speed = None
    if rate:
        try:
            speed = float(rate)
        except ValueError:
            speed = math.nan
        # Nor is what is no number at all.
        if not 0 < speed <= FASTEST_MIB_S:
            wrong.append("RATE=%s is not a number of MiB a second, like 20" % rate)
    found = []
    if not wrong and own > most:
        wrong.append("OWN=%d: there are only %d guests" % (own, most))
    if not wrong:
        try:
            found = placed(hosts, most, own)
        except Wrong as no_room:
            wrong.append(str(no_room))
    if wrong:
        raise Wrong("; ".join(wrong))
    return hosts, found, speed


def start(root: Path, keep: bool, hosts, guests=(), speed=None) -> tuple[Fleet, Daemons]:
    """Start everything below ROOT; when that fails, nothing is left of it."""
    fleet = None
    try:
        fleet = Fleet.create(root / "fleet", hosts, keep=keep)
        daemons = Daemons(root / "salt", fleet)
        count = {2: "two", 3: "three"}.get(len(hosts), len(hosts))
        print(f"starting {count} simulated Xen hosts, a Salt master and {count} minions …", flush=True)
        fleet.start()
        for guest in guests:
            create(fleet, guest)
        for host in fleet:
            host.link(speed_mib_s=speed)
        daemons.start()
    except BaseException:
        stop(root, fleet)
        raise
    return fleet, daemons


def create(fleet, guest):
    disk = (OWN if guest.own else SHARED) % guest.name
    fleet[guest.host].create_guest(guest.name, memory_mib=guest.memory_mib, disks=[disk])


def stop(root: Path, fleet: Fleet | None) -> None:
    Daemons(root / "salt", fleet).stop()
    if fleet:
        fleet.destroy()
    shutil.rmtree(root, ignore_errors=True)


def lab(words) -> int:
    """Start what WORDS (hosts, guests, own, rate) ask for, and say how to talk to it."""
    if NOTE.exists():
        print(f"a lab is running already ({NOTE.read_text()}); end it with `make lab-stop`")
        return 1
    try:
        hosts, guests, speed = wanted(*words)
    except Wrong as wrong:
        print(f"make lab: {wrong}")
        return 2
    root = Path(tempfile.mkdtemp(prefix="xend-lab-"))
    # First the note: an end that no handler sees must leave `make lab-stop` something to go by.
    NOTE.write_text(str(root))
    try:
        fleet, daemons = start(root, True, hosts, guests, speed)
    except BaseException:
        NOTE.unlink()
        raise
    print(guide(fleet, daemons, guests, speed))
    return 0


def lab_stop() -> int:
    if not NOTE.exists():
        print("no lab is running")
        return 0
    root = Path(NOTE.read_text())
    try:
        fleet = Fleet.load(root / "fleet")
    except (OSError, ValueError, KeyError):
        # It was killed before it had made its hosts.
        fleet = None
    stop(root, fleet)
    NOTE.unlink()
    print("the lab has ended")
    return 0


def guide(fleet, daemons, guests, speed) -> str:
    """How to talk to the lab."""
    first, second = list(fleet)[:2]
    stuck = [guest.name for guest in guests if guest.own and guest.host == first.name]
    said = [
        "The lab runs: hosts %s; %s."
        % (", ".join(f"{host.name} ({host.address})" for host in fleet), _whereabouts(fleet, guests))
    ]
    own = [f"{guest.name} on {guest.host}" for guest in guests if guest.own]
    if own:
        said.append(f"The disk of {', '.join(own)} is there alone; the others' are on storage of all hosts.")
    if stuck:
        said.append(
            f"So {', '.join(stuck)} cannot leave {first.name}, which an evacuation says before anything"
            ' moves; with "partial" the others go.'
        )
    if speed:
        said.append(f"The network card of each host sends {speed:g} MiB of guests' memory a second.")
    commands = [
        f"alias salt='{shlex.join(daemons.command('salt'))}'",
        f"alias salt-run='{shlex.join(daemons.command('salt-run'))}'",
        "",
        "salt 'xen*' xm.list",
        "salt 'xen*' xend.relocation",
        "salt 'xen*' state.apply xend.relocation test=True",
        "salt 'xen*' state.apply xend.relocation",
        "salt-run xend.matrix",
    ]
    if guests:
        guest = guests[0]
        there = second if guest.host == first.name else first
        commands += [
            f"salt-run xend.where {guest.name}",
            *_orchestrate(
                "migrate", {"domain": guest.name, "source": guest.host, "target": there.name}
            ),
            "salt-run xend.watch",
            f"salt-run xend.plan source={first.name}",
            *_orchestrate("evacuate", {"source": first.name, **({"partial": True} if stuck else {})}),
            *_orchestrate("restore", {"host": first.name}),
        ]
    said.append("\n".join(["", *(f"  {command}".rstrip() for command in commands), ""]))
    if guests:
        said.append(
            "Add test=True to an orchestration to check everything and move nothing. What moves is shown by\n"
            "xend.watch in a second terminal. To see a migration fail, pause the guest first:\n"
            f"{fleet[guests[0].host].xm} pause {guests[0].name}\n"
        )
    said.append(
        f"Each host has its own xm and xend: {first.xm} list\n"
        f"and its own file: {first.config}\n\n"
        "`make lab-stop` ends it."
    )
    return "\n" + "\n".join(said)


def _orchestrate(name, settings):
    return [
        f"salt-run state.orchestrate xend.orch.{name} \\",
        f"  pillar='{json.dumps({'xend': {name: settings}})}'",
    ]


def _whereabouts(fleet, guests):
    """Who is where, in one clause: "web01 to web07 are on xen1, which is full, web08 is on xen2"."""
    rows = [(host.name, [guest.name for guest in guests if guest.host == host.name]) for host in fleet]
    rows = [(host, names) for host, names in rows if names]
    if not rows:
        return "there are no guests"
    clauses = []
    for host, names in rows:
        is_full = host != rows[-1][0]
        who = f"{names[0]} is" if len(names) == 1 else f"{names[0]} to {names[-1]} are"
        clauses.append(f"{who} on {host}{', which is full' if is_full else ''}")
    return ", ".join(clauses)
