"""What tests say about the move of web01 from xen1 to xen2: its steps, and what must be true."""

import contextlib

CONFIGURE = "relocation is configured and works on both hosts"
CAN_BE = "whether web01 can be moved"
LEAVE = "web01 can leave xen1"
ROOM = "xen2 can take web01"
SEND = "web01 is sent from xen1 to xen2"
ARRIVE = "web01 runs on xen2"
LOOK = "where web01 is now"
# Against hanging only.
HELD_LIMIT_S = 600


def assert_unharmed(site, guest):
    """The guest is on the source, and there only, and has never been interrupted for good."""
    assert list(site.where()) == ["xen1"]
    now = site.where()["xen1"]
    assert now.alive and now.state == "running"
    assert (now.uuid, now.domid, now.xend_name) == (guest.uuid, guest.domid, "web01")


def moved_intact(source, target, uuid):
    """The memory that left the source is the memory that began to run on the target."""
    left = [entry for entry in source.journal() if _is(entry, "suspended", uuid)]
    arrived = arrivals(target, uuid)
    return left[-1]["sha256"] == arrived[-1]["sha256"]


def arrivals(host, uuid):
    return [entry for entry in host.journal() if _is(entry, "unpaused", uuid)]


def _is(entry, event, uuid):
    return (entry["event"], entry["uuid"]) == (event, uuid)


@contextlib.contextmanager
def held(site, hold_at=0.5, **options):
    """The orchestration, held when so much of the memory is sent; gives a function that waits for its Run.

    It goes on at the end of the block, or when the host is released.
    """
    site.xen1.link(hold_at=hold_at)
    with site.meanwhile(site.migrate, **options) as finish:
        try:
            site.xen1.wait_held(HELD_LIMIT_S)
            yield finish
        finally:
            site.xen1.release()


def during_transfer(site, harm, **options):
    """Run the orchestration, and do harm when half of the memory has been sent; return its Run."""
    with held(site, **options) as finish:
        harm()
        site.xen1.release()
        return finish()
