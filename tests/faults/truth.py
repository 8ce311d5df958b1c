"""Where a guest truly is, from the memory and the journals of the simulated hypervisors.

Nothing here asks xend or the product: this is what both are judged by.
"""

import hashlib
from dataclasses import dataclass

from tests.faults import faults

HELPERS = ("xc_save", "xc_restore")
BEGINS, ENDS = ("unpaused", "resumed"), ("suspended", "destroyed")


@dataclass(frozen=True)
class Truth:
    """Every copy of one guest: (host, name there, state, alive) tuples, and whether it is being sent."""

    copies: tuple
    going_on: bool

    def alive_on(self):
        return [host for host, _name, _state, alive in self.copies if alive]

    def holders(self):
        return [host for host, _name, _state, _alive in self.copies]

    def word(self, source, target, name):
        """The outcome as the table of faults calls it."""
        alive = self.alive_on()
        if len(alive) > 1:
            return faults.BOTH
        if self.going_on:
            return faults.GOING_ON
        if alive == [target]:
            return faults.MOVED if self.holders() == [target] else faults.REMAINDER
        if alive == [source]:
            if len(self.copies) > 1:
                return faults.SOURCE_AND_COPY
            return faults.SOURCE if self.copies[0][1] == name else faults.MISNAMED
        # A guest that was paused from the beginning is as well as it was.
        still = [copy for copy in self.copies if copy[0] == source and copy[2] != "gone"]
        if still and still[0][2] == "paused" and still[0][1] == name and len(self.copies) == 1:
            return faults.SOURCE
        if still and still[0][2] == "suspended":
            return faults.SUSPENDED
        return faults.LOST


def look(fleet, uuid):
    """The Truth of the guest with this uuid over all hosts of the fleet."""
    copies, going_on = [], False
    for host in fleet:
        going_on = going_on or any(role in host.layout.roles() for role in HELPERS)
        for guest in host.guests().values():
            if guest.uuid == uuid:
                copies.append((host.name, guest.xend_name, guest.state, guest.alive))
    return Truth(tuple(sorted(copies)), going_on)


def history(fleet, uuid):
    """What happened to the guest on all hosts, oldest first."""
    entries = [entry for host in fleet for entry in host.journal() if entry["uuid"] == uuid]
    return sorted(entries, key=lambda entry: entry["time"])


def crimes(entries):
    """Sentences about what must never happen to a guest, from its `history`."""
    found, running, memory, went_on = [], set(), None, False
    for entry in entries:
        where = (entry["host"], entry["domid"])
        if entry["event"] in BEGINS:
            if running - {where}:
                found.append("it ran on %s and %s at once" % (sorted(running)[0][0], where[0]))
            elif memory and where not in running and entry["sha256"] != memory:
                found.append("it went on on %s with other memory than it had" % where[0])
            elif memory and where not in running and went_on:
                found.append("it went on a second time from the same memory, on %s" % where[0])
            running.add(where)
            went_on = True
        elif entry["event"] in ENDS:
            if entry["event"] == "destroyed" and where in running:
                found.append("it was destroyed on %s while it ran" % where[0])
            if entry["event"] == "suspended":
                memory, went_on = entry["sha256"], False
            running.discard(where)
    return found


def everything(fleet):
    """A digest of all domains of all hosts, to see that nothing was changed."""
    seen = [
        (host.name, guest.name, guest.domid, guest.xend_name, guest.state, guest.alive)
        for host in fleet
        for guest in host.guests().values()
    ]
    return hashlib.sha256(repr(sorted(seen)).encode()).hexdigest()
