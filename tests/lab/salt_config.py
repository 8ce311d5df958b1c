"""
How Salt is configured for a simulated fleet: a master, and one minion on each simulated Xen host.

Used by the integration tests and by the demo alike; starting the daemons is theirs to do.
"""

from pathlib import Path

from tests.lab.fleet import Fleet, Host

REPO = Path(__file__).resolve().parents[2]

# The SLS alone; enough where the modules come from module_dirs.
FILE_ROOTS = {"base": [str(REPO / "salt")]}

# The example top.sls finds Xen hosts by this grain.
GRAINS = {"virtual_subtype": "Xen Dom0"}


def file_roots(folder: Path) -> dict:
    """
    The tree as a master serves it: the SLS, and the modules through a folder of links.

    Not the top of the tree itself: Salt would list all of .git and .venv at every request.
    """
    folder.mkdir()
    for name in ("_modules", "_states", "_utils"):
        (folder / name).symlink_to(REPO / name)
    return {"base": [*FILE_ROOTS["base"], str(folder)]}


def minion(host: Host) -> dict:
    """The options of the minion on this host, beside those that connect it to its master."""
    return {
        "xend": {
            "config": str(host.config),
            "xm": str(host.xm),
            "pidfile": str(host.pidfile),
            "log": str(host.log),
            "kept": str(host.root / "kept"),
            "root": str(host.root),
            "python": str(host.python),
            "drbdadm": str(host.root / "bin/drbdadm"),
            # All simulated hosts share one routing table, which would choose 127.0.0.1 for each.
            "source": host.address,
        },
        "lab": {"xend": str(host.xend)},
        "module_dirs": [str(REPO / "tests" / "lab" / "minion_modules")],
        "backup_mode": "minion",
    }


def notes(host: Host) -> list[Path]:
    """The files in which the product notes that guests were sent from this host."""
    return list((host.root / "kept").glob("*.sent"))


def reservations(host: Host) -> list[Path]:
    """The files in which the product notes that guests are expected on this host."""
    return list((host.root / "kept").glob(".*.reserved"))


def pillar(fleet: Fleet) -> dict:
    """The pillar of the fleet, as pillar.example explains it."""
    hosts = {host.name: host.address for host in fleet}
    return {"xend": {"relocation": {"port": 8002, "hosts": hosts}}}
