"""A host with eight guests is emptied, two at a time, over links of limited speed, against the ideal.

A simulated fleet of three hosts with a real master and three minions. What lies between the source and each
of the two targets carries so many MiB a second by itself, so that neither lane takes the other's speed; the
ideal is what all transfers take at that speed, spread over two lanes: no time between them, none for checks.
"""

import collections
import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.bench import migration
from tests.lab.daemons import Daemons
from tests.lab.fleet import Fleet, HostSpec

# What a line of 1 Gbit/s carries.
SPEED_MIB_S = 112
# Of eight guests.
SIZES_MIB = (1536, 2560, 2048, 1792, 2304, 2048, 2560, 1536)
PARALLEL = 2
TIMES_IDEAL, MORE_S, PUBLISHES, PUBLISHES_EACH = 1.25, 10, 10, 4
HOST_MIB = 32768
LIMIT_S = 900
STARTED = re.compile(r"\[(\d+)\] xc: detail: xc_domain_save: starting save of domid (\d+)")
SENT = re.compile(r"\[(\d+)\] xc: detail: Total pages sent= \d+ \(([\d.]+)x\)")


def measure() -> list[tuple[str, bool]]:
    """(what was found, whether the target holds) for the time and for the publishes."""
    root = Path(tempfile.mkdtemp(prefix="xend-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        names = ["xen1", "xen2", "xen3"]
        fleet = stack.enter_context(
            Fleet.create(root / "fleet", [HostSpec(name, memory_mib=HOST_MIB) for name in names])
        )
        fleet.start()
        daemons = Daemons(root / "salt", fleet)
        stack.callback(daemons.stop)
        daemons.start()
        migration.run(daemons.command("salt", "*", "state.apply", "xend.relocation"))
        return _measured(fleet, daemons)


def _measured(fleet, daemons):
    source, *targets = fleet
    for target in targets:
        source.link(speed_mib_s=SPEED_MIB_S, to=target.name)
    for number, memory_mib in enumerate(SIZES_MIB, 1):
        name = "web%02d" % number
        disk = "file:/srv/xen/%s.img,xvda,w" % name
        source.create_guest(name, memory_mib=memory_mib, disks=[disk])
    guests = source.guests()
    pillar = {"xend": {"evacuate": {"source": source.name, "parallel": PARALLEL}}}
    command = daemons.command(
        "salt-run", "state.orchestrate", "xend.orch.evacuate", "pillar=" + json.dumps(pillar)
    )
    load = os.getloadavg()[0]
    with migration.published(daemons) as functions:
        took_s = migration.run(command, LIMIT_S)
    left = set(source.guests())
    there = {name for target in targets for name, guest in target.guests().items() if guest.alive}
    if left or there != set(guests):
        raise SystemExit(f"bench: {source.name} still has {left}, on the others run {there}")
    sizes_mib = {guest.domid: guest.memory_mib for guest in guests.values()}
    sent_mib = _sent_mib(source.log.read_text(), sizes_mib)
    return [_time(took_s, sent_mib, load), _publishes(functions)]


def _sent_mib(log, sizes_mib):
    """How much was sent of all guests together; what a guest writes to meanwhile is sent again."""
    domids = {pid: int(domid) for pid, domid in STARTED.findall(log)}
    sent = {domids[pid]: float(times) for pid, times in SENT.findall(log)}
    return sum(times * sizes_mib[domid] for domid, times in sent.items())


def _time(took_s, sent_mib, load):
    ideal_s = sent_mib / SPEED_MIB_S / PARALLEL
    limit_s = TIMES_IDEAL * ideal_s + MORE_S
    text = (
        f"{len(SIZES_MIB)} guests, {sent_mib:.0f} MiB in all, {SPEED_MIB_S} MiB/s to each of two hosts: "
        f"{took_s:.1f} s from salt-run to its end; ideal {ideal_s:.1f} s, so at most {limit_s:.1f} s "
        f"(load of the machine before: {load:.1f})"
    )
    return text, took_s <= limit_s


def _publishes(functions):
    """How many publishes there were for all of it; which of them concern one guest is not looked at."""
    counts = collections.Counter(functions)
    most = PUBLISHES + PUBLISHES_EACH * len(SIZES_MIB)
    text = (
        f"{len(functions)} publishes for {len(SIZES_MIB)} guests, at most {most}: "
        f"{', '.join(f'{count} {name}' for name, count in counts.most_common())}"
    )
    return text, len(functions) <= most
