"""What an operator does to hosts when a fault is over, and what migrations leave on them."""

import time

from tests.harness import relays
from tests.lab import salt_config

POLL_S = 0.1
# Nothing happens any more when nothing has for so long.
STEADY_S, STEADY_LIMIT_S = 0.4, 120.0
# Nothing of a campaign may touch guests that are called so.
NEIGHBOUR = "neighbour"


def steady(look):
    """Wait until what a function returns has not changed for a while."""
    deadline = time.monotonic() + STEADY_LIMIT_S
    last, since = None, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < STEADY_S:
        now = look()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(POLL_S)


def mend(conductor, undo, look):
    """Let hosts, links and minions work again, and wait until nothing goes on any more.

    undo -- functions that take back what was done to hosts
    look -- a function that returns what there is, to see that it does not change any more
    """
    fleet = conductor.fleet
    for function in undo:
        function()
    for host in fleet:
        host.layout.clear_delays()
        host.link()
        host.restore_link()
        for name in host.layout.faults():
            host.fault(name, False)
        conductor.minion_up(host.name)
    steady(look)
    for host in fleet:
        roles = host.layout.roles()
        # A receiver that never sends does not notice that its sender is gone, ever.
        if "xc_restore" in roles and not any("xc_save" in other.layout.roles() for other in fleet):
            host.kill_xc_restore()
        if not host.running:
            host.kill_xend()
            host.start()
    steady(look)
    # As the message says that refuses a restart because of one: its migration is over.
    for host in fleet:
        for path in salt_config.reservations(host):
            path.unlink(missing_ok=True)


def noting(fleet, name):
    """The hosts that keep in mind that they have sent a guest of this name."""
    start = "%s." % name
    return [
        host.name
        for host in fleet
        if [path for path in salt_config.notes(host) if path.name.startswith(start)]
    ]


def left(hosts):
    """What relays have left of guests on these hosts, and safety copies."""
    found = []
    for host in hosts:
        found += salt_config.relay_files(host) + salt_config.safety_copies(host)
        found += salt_config.safety_copies(host, host.root / "copies")
    return sorted(map(str, found))


def sweep(fleet):
    """Leave nothing of what was tried on these hosts to what is tried next."""
    for host in fleet:
        for name in host.guests():
            if not name.startswith(NEIGHBOUR):
                host.destroy_guest(name)
        for uuid in host.managed.all():
            host.managed.forget(uuid)
        relays.kill(host)
        records = [salt_config.evacuation(host)]
        for path in [*salt_config.notes(host), *salt_config.relay_files(host), *records]:
            path.unlink(missing_ok=True)
        for folder in (host.root / "kept", host.root / "copies"):
            for path in salt_config.safety_copies(host, folder):
                path.unlink(missing_ok=True)
