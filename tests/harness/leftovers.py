"""What migrations may leave on two hosts, made without any: guests in every state, and notes on them."""

import json
import uuid


def running(host, name, **options):
    guest = host.create_guest(name, **options)
    host.wait_alive(name)
    # An idle guest of some seconds has not used any CPU, as if it had never run.
    host.hypervisor.update(guest.domid, cpu_time=100.0)
    return guest


def suspended(host, name, guest_uuid=None):
    """What a migration leaves on its source that broke when all was sent."""
    guest = running(host, name, uuid=guest_uuid)
    host.hypervisor.update(guest.domid, xend_name="migrating-" + name, name="migrating-" + name)
    host.hypervisor.suspend(guest.domid)
    return guest


def note(host, name, guest_uuid, target):
    """Let a host remember that it has sent a guest."""
    words = {
        "id": str(uuid.uuid4()),
        "name": name,
        "uuid": guest_uuid,
        "target": target,
        "at": "2026-03-04 05:06:07 UTC",
        "what": "uuid %s, 96 MiB, no disks" % guest_uuid,
        "kept": "%s/kept/%s.%s.sxp" % (host.root, name, guest_uuid),
    }
    (host.root / "kept").mkdir(exist_ok=True)
    (host.root / "kept" / ("%s.%s.sent" % (name, guest_uuid))).write_text(json.dumps(words))
    return words


class Left:
    """What is left of migrations on xen1 and xen2, one guest for each way in which a liar can do harm."""

    def __init__(self, xen1, xen2):
        self.xen1, self.xen2 = xen1, xen2
        # Whole on its source only, which has sent it; it never came.
        self.whole = suspended(xen1, "whole")
        self.note = note(xen1, "whole", self.whole.uuid, "xen2")
        # On no host any more.
        self.gone = {"name": "gone", "uuid": str(uuid.uuid4())}
        self.gone.update(note(xen1, "gone", self.gone["uuid"], "xen2"))
        # It has arrived, and its source could not destroy what it has there.
        self.arrived = suspended(xen1, "arrived")
        note(xen1, "arrived", self.arrived.uuid, "xen2")
        running(xen2, "arrived", uuid=self.arrived.uuid)
        # Somebody has created it paused, and will unpause it.
        self.fresh = xen2.create_guest("fresh", paused=True)
        # Nothing is the matter with it.
        self.well = running(xen2, "well")

    def all(self):
        """(name, uuid) of all guests."""
        named = [(name, getattr(self, name).uuid) for name in ("whole", "arrived", "fresh", "well")]
        return [*named, ("gone", self.gone["uuid"])]

    def claims(self, copy, state, name="%s", uuids=None):
        """That a host holds a copy of each of them."""
        return [
            {
                "name": guest,
                "listed": name % guest,
                "uuid": guest_uuid if uuids is None else uuids,
                "domid": None if copy == "managed" else 40 + number,
                "state": state,
                "copy": copy,
                "completed": False,
            }
            for number, (guest, guest_uuid) in enumerate(self.all())
        ]

    def notes(self, target, at="2027-01-01 00:00:00 UTC", over=True):
        """That a host has sent each of them to another one."""
        return [
            {
                "id": str(uuid.uuid4()),
                "name": guest,
                "uuid": guest_uuid,
                "target": target,
                "at": at,
                "what": "96 MiB",
                "kept": "/kept",
                "over": over,
            }
            for guest, guest_uuid in self.all()
        ]
