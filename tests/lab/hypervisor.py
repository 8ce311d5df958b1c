"""The hypervisor and xenstore of one simulated host: what survives xend.

Here: domains and their memory, kept in files under a lock. Names of xend's own and the rules for
moving a domain are elsewhere; the only rule here is that memory of a running domain changes.

Every process of a fleet starts with this: what only some of them need is imported where it is needed.
"""

import fcntl
import json
import os
import time
from contextlib import contextmanager

from tests.lab import device_model, hotplug, storage
from tests.lab.layout import write_atomic
from tests.lab.memory import KIB_PER_MIB

PAGE = 4096
# What Xen itself takes, and what it takes for each domain besides its memory.
XEN_OVERHEAD_KIB = 24 * KIB_PER_MIB
DOMAIN_OVERHEAD_KIB = KIB_PER_MIB
IDLE_CPU_SHARE = 0.01
DOM0_CPU_SHARE = 0.1
DIRTY_SHARE = 0.1


class Hypervisor:
    """The domains of one host. A domain is a dict; the field names are those of `create`."""

    def __init__(self, layout):
        self.layout = layout
        self.root = layout.hypervisor

    @contextmanager
    def _state(self):
        with open(self.root / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read()
            before = json.dumps(state)
            yield state
            after = json.dumps(state)
            if after != before:
                write_atomic(self.root / "state.json", after)

    def _read(self):
        return json.loads((self.root / "state.json").read_text())

    @staticmethod
    def initialise(layout):
        """Write the state of a host that has just booted."""
        layout.hypervisor.mkdir(parents=True)
        spec = layout.spec
        write_atomic(
            layout.hypervisor / "state.json",
            json.dumps(
                {
                    "next_domid": 1,
                    "booted": time.time(),
                    "dom0_kib": spec["dom0_mib"] * KIB_PER_MIB,
                    "domains": {},
                }
            ),
        )

    def memory_file(self, domid):
        return self.root / ("memory-%d" % domid)

    def note(self, event, domain, **details):
        """Append what happened to a domain to the journal that tests read."""
        entry = dict(
            details,
            event=event,
            time=time.time(),
            host=self.layout.name,
            domid=domain["domid"],
            uuid=domain["uuid"],
            name=domain["name"],
        )
        with open(self.root / "journal", "a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def journal(self):
        path = self.root / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # asking

    def domains(self):
        """Return every domain but Domain-0, by domain id."""
        found = self._read()["domains"].values()
        return sorted(found, key=lambda domain: domain["domid"])

    def domain(self, domid):
        """Return one domain, or None."""
        return self._read()["domains"].get(str(domid))

    def dom0(self):
        state = self._read()
        age_s = time.time() - state["booted"]
        return {
            "kib": state["dom0_kib"],
            "booted": state["booted"],
            "cpu_time": 60 + age_s * DOM0_CPU_SHARE,
        }

    def free_kib(self):
        """Return the memory that no domain has, in KiB."""
        return self._free_kib(self._read())

    def _free_kib(self, state):
        used = XEN_OVERHEAD_KIB + state["dom0_kib"]
        for domain in state["domains"].values():
            used += domain["allocated_kib"] + DOMAIN_OVERHEAD_KIB
        return self.layout.spec["memory_mib"] * KIB_PER_MIB - used

    # changing

    def reserve_domid(self):
        with self._state() as state:
            domid = state["next_domid"]
            state["next_domid"] += 1
        return domid

    def create(
        self, domid, name, uuid, memory_mib, vcpus, pages, config, start_time=None, kib=None
    ):
        """Create a paused domain without a running VCPU; return it.

        name -- its name in xenstore, which is xend's too until xend renames it
        pages -- how many pages of PAGE bytes stand for its memory
        config -- its description as nested lists of text, as xend sends it
        kib -- what it takes at once, if that is not just its memory
        """
        domain = {
            "domid": domid,
            "name": name,
            "xend_name": name,
            "uuid": uuid,
            "memory_mib": memory_mib,
            "vcpus": vcpus,
            "pages": pages,
            "config": config,
            "allocated_kib": memory_mib * KIB_PER_MIB if kib is None else kib,
            "online_vcpus": 0,
            "paused": True,
            "suspended": False,
            "dying": False,
            "loaded": False,
            "completed": False,
            "cpu_time": 0.0,
            "running_since": None,
            "start_time": start_time if start_time is not None else time.time(),
        }
        with open(self.memory_file(domid), "wb") as memory:
            memory.truncate(pages * PAGE)
        with self._state() as state:
            state["domains"][str(domid)] = domain
        self.note("created", domain)
        return domain

    def boot(self, domid):
        """Fill the domain's memory, with a kernel of its own, and let it be complete."""
        domain = self.domain(domid)
        self.memory_file(domid).write_bytes(os.urandom(domain["pages"] * PAGE))
        self.update(domid, loaded=True, completed=True, online_vcpus=domain["vcpus"])

    def update(self, domid, **fields):
        """Change fields of a domain; return it, or None when it is gone."""
        with self._state() as state:
            domain = state["domains"].get(str(domid))
            if domain is not None:
                was_running = is_running(domain)
                used = cpu_time(domain)
                domain.update(fields)
                if was_running != is_running(domain):
                    domain["cpu_time"] = used
                    domain["running_since"] = time.time() if is_running(domain) else None
        return domain

    def populate(self, domid, kib):
        """Let a domain have so many KiB in all; return whether there was so much."""
        with self._state() as state:
            domain = state["domains"].get(str(domid))
            if domain is None:
                return True
            has_room = kib - domain["allocated_kib"] <= self._free_kib(state)
            if has_room:
                domain["allocated_kib"] = kib
        return has_room

    def pause(self, domid):
        return self.update(domid, paused=True)

    def unpause(self, domid):
        # Noted before it runs, and a suspension after it stands still: so the journals of two
        # hosts can prove that a guest never ran on both.
        domain = self.domain(domid)
        if domain is not None:
            self.note("unpaused", domain, sha256=self.checksum(domid))
        return self.update(domid, paused=False)

    def suspend(self, domid):
        """Let the guest suspend itself; its memory stands still from now on."""
        domain = self.update(domid, suspended=True)
        if domain is not None:
            self.note("suspended", domain, sha256=self.checksum(domid))
        return domain

    def resume(self, domid, works=True):
        """Undo `suspend`; `works`: whether the guest finds its devices as it left them."""
        domain = self.domain(domid)
        if domain is None:
            return None
        if domain["suspended"]:
            domain = self.update(domid, suspended=False, completed=works and domain["completed"])
            self.note("resumed", domain, sha256=self.checksum(domid))
        return domain

    def destroy(self, domid):
        with self._state() as state:
            domain = state["domains"].pop(str(domid), None)
        if domain is not None:
            self.memory_file(domid).unlink(missing_ok=True)
            storage.release_loops(self.layout, domid)
            hotplug.detach(self.layout, domain)
            device_model.end(self.layout, domid)
            self.note("destroyed", domain)
        return domain

    def balloon_dom0(self, kib):
        """Let Domain-0 shrink by `kib` KiB."""
        with self._state() as state:
            state["dom0_kib"] -= kib

    # memory

    def checksum(self, domid):
        import hashlib

        try:
            return hashlib.sha256(self.memory_file(domid).read_bytes()).hexdigest()
        except FileNotFoundError:
            return None

    def read_page(self, domid, number):
        with open(self.memory_file(domid), "rb") as memory:
            memory.seek(number * PAGE)
            return memory.read(PAGE)

    def write_page(self, domid, number, content):
        with open(self.memory_file(domid), "r+b") as memory:
            memory.seek(number * PAGE)
            memory.write(content)

    def let_run(self, domid):
        """Let the guest work for a moment: it writes to some pages; return their numbers."""
        domain = self.domain(domid)
        if domain is None or not is_running(domain):
            return set()
        import random

        count = max(1, int(domain["pages"] * DIRTY_SHARE))
        dirtied = set(random.sample(range(domain["pages"]), count))
        for number in dirtied:
            self.write_page(domid, number, os.urandom(PAGE))
        return dirtied


def is_running(domain):
    """Whether the domain's VCPUs may run now."""
    return not (domain["paused"] or domain["suspended"] or domain["dying"]) and domain["loaded"]


def can_cancel(domain):
    """Whether the guest's kernel can go on after a suspension that came to nothing."""
    image = next(item[1] for item in domain["config"][1:] if item[0] == "image")
    notes = next((item for item in image[1:] if item[0] == "notes"), ["notes"])
    return ["SUSPEND_CANCEL", "1"] in notes


def cpu_time(domain):
    """Return the CPU seconds that a domain has used."""
    since = domain["running_since"]
    return domain["cpu_time"] + (0 if since is None else (time.time() - since) * IDLE_CPU_SHARE)


def state_letters(domain):
    """Return the six letters of `xm list`: r b p s c d, or dashes."""
    if is_running(domain):
        # An idle guest is blocked nearly always; now and then it is just going to be scheduled.
        phase = int(time.time() * 4 + domain["domid"]) % 8
        return {0: "------", 1: "r-----"}.get(phase, "-b----")
    return "--%s%s-%s" % (
        "p" if domain["paused"] else "-",
        "s" if domain["suspended"] else "-",
        "d" if domain["dying"] else "-",
    )


def new_uuid():
    import uuid

    return str(uuid.uuid4())
