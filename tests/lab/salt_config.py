"""
How Salt is configured for a simulated fleet: a master, and one minion on each simulated Xen host.

Used by the integration tests and by the demo alike; starting the daemons is theirs to do.
"""

from pathlib import Path

from tests.lab import lies
from tests.lab.fleet import Fleet, Host

REPO = Path(__file__).resolve().parents[2]
LAB = REPO / "tests" / "lab"

# The SLS alone; enough where the modules come from module_dirs.
FILE_ROOTS = {"base": [str(REPO / "salt")]}

# The example top.sls finds Xen hosts by this grain.
GRAINS = {"virtual_subtype": "Xen Dom0"}


def file_roots() -> dict:
    """
    The tree as a master serves it, in the way that the README tells: the SLS, and the modules through the
    folder of links. Not the top of the tree itself, which has .git and the tests.
    """
    return {"base": [*FILE_ROOTS["base"], str(REPO / "salt-modules")]}


def minion(host: Host) -> dict:
    """The options of the minion on this host, beside those that connect it to its master."""
    return {
        "xend": {
            "config": str(host.config),
            "xm": str(host.xm),
            "socket": host.usual_socket,
            "pidfile": str(host.pidfile),
            "log": str(host.log),
            "kept": str(host.root / "kept"),
            "root": str(host.root),
            "python": str(host.python),
            "drbdadm": str(host.root / "bin/drbdadm"),
            # All simulated hosts share one routing table, which would choose 127.0.0.1 for each.
            "source": host.address,
            # Nor have they one loopback address: each has its own.
            "loopback": host.loopback,
        },
        "lab": {"xend": str(host.xend), "lies": str(lies.path_of(host.root))},
        "module_dirs": [str(LAB / "minion_modules")],
        "backup_mode": "minion",
    }


def liar() -> dict:
    """What turns the minion of a host into one that lies, once it is told to (`lies.tell`)."""
    return {"executor_dirs": [str(LAB / "liar_executors")], "module_executors": ["liar"]}


def recorder(options: dict, path: Path) -> dict:
    """The options of a minion that writes all that its master publishes into the file at `path`."""
    lab = dict(options["lab"], records=str(path))
    return dict(options, lab=lab, grains_dirs=[str(LAB / "recorder_grains")])


def notes(host: Host) -> list[Path]:
    """The files in which the product notes that guests were sent from this host."""
    return list((host.root / "kept").glob("*.sent"))


def reservations(host: Host) -> list[Path]:
    """The files in which the product notes that guests are expected on this host."""
    return list((host.root / "kept").glob(".*.reserved"))


def evacuation(host: Host) -> Path:
    """The file in which the product notes that this host is emptied, and of which guests."""
    return host.root / "kept" / "evacuation"


def relay_files(host: Host) -> list[Path]:
    """The files in which the relays of the product on this host tell how they are."""
    return list((host.root / "kept").glob("*.relay"))


def safety_copies(host: Host, folder: Path | None = None) -> list[Path]:
    """The safety copies of guests that were sent from this host, in the folder where they are by default."""
    return list((folder or host.root / "kept").glob("*.save"))


def pillar(fleet: Fleet) -> dict:
    """The pillar of the fleet, as pillar.example explains it."""
    hosts = {host.name: host.address for host in fleet}
    return {"xend": {"relocation": {"port": 8002, "hosts": hosts}}}
