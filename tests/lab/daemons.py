"""
A Salt master and the minions of a simulated fleet as plain processes, for the demo and `make lab`, and for
tests whose minions are of another Salt.

The integration tests start theirs with pytest-salt-factories; the configuration is the same.
"""

import contextlib
import json
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from tests.lab import salt_config
from tests.lab.fleet import Fleet
from tests.lab.layout import process_start, write_atomic

# Against hanging only.
START_S, START_OF_ONE_S = 300, 60
STOP_S = 10
# How long one question to all minions may take; a Salt that is still starting may never answer.
PING_S = 120


class InstalledSalt:
    """The Salt that this process runs with."""

    environment: ClassVar[dict] = {}

    def command(self, program: str, *arguments: str) -> list[str]:
        """The argument list that runs one of its programs, to be run with `environment` beside the usual."""
        return [str(Path(sys.executable).parent / program), *arguments]


class Daemons:
    """
    The Salt of one fleet. Everything is kept under ROOT, so that another process can stop it.

    salts -- {name of a host: what its minion is run by}, like InstalledSalt, for those of another Salt
    master_options -- options of the master beside the usual ones
    """

    def __init__(self, root: Path, fleet: Fleet, salts=None, master_options=None):
        self.root = root
        self.fleet = fleet
        self.pids = root / "pids"
        self.salts = salts or {}
        self.master_options = master_options or {}

    @property
    def config(self) -> Path:
        """The folder with the configuration of the master, for salt's -c."""
        return self.root / "master"

    def start(self) -> None:
        """Start the master and the minions, and wait until every minion answers."""
        publish, ret = _free_ports(2)
        self.pids.mkdir(parents=True)
        self._configure("master", self._master(publish, ret))
        self._spawn(InstalledSalt(), "salt-master", "master")
        for host in self.fleet:
            minion = {
                "id": host.name,
                "master": "127.0.0.1",
                "master_port": ret,
                "publish_port": publish,
                "grains": salt_config.GRAINS,
                **salt_config.minion(host),
            }
            self._configure(host.name, minion)
            self._spawn(self.salts.get(host.name, InstalledSalt()), "salt-minion", host.name)
        self._wait()

    def stop(self) -> None:
        """End the processes that `start` started, and those that they started."""
        groups = [group for group in map(_group, self.pids.glob("*")) if group]
        for group in groups:
            _signal(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while any(_alive(group) for group in groups) and time.monotonic() < deadline:
            time.sleep(0.1)
        for group in groups:
            _signal(group, signal.SIGKILL)

    def command(self, name: str, *arguments: str) -> list[str]:
        """The argument list that runs a Salt command (salt, salt-run) against this master."""
        return InstalledSalt().command(name, "-c", str(self.config), *arguments)

    @property
    def pillar_file(self) -> Path:
        """The pillar of all hosts, as JSON."""
        return self.root / "pillar" / "xend.sls"

    def _master(self, publish: int, ret: int) -> dict:
        pillar = self.pillar_file.parent
        pillar.mkdir()
        (pillar / "top.sls").write_text(json.dumps({"base": {"*": ["xend"]}}))
        self.pillar_file.write_text(json.dumps(salt_config.pillar(self.fleet)))
        return {
            "interface": "127.0.0.1",
            "publish_port": publish,
            "ret_port": ret,
            # Only this machine can connect: the master listens on loopback.
            "auto_accept": True,
            "file_roots": salt_config.file_roots(),
            "pillar_roots": {"base": [str(pillar)]},
            "worker_threads": 3,
            **self.master_options,
        }

    def _configure(self, name: str, options: dict) -> None:
        folder = self.root / name
        folder.mkdir()
        common = {
            "root_dir": str(folder),
            "sock_dir": str(folder / "s"),
            "log_file": str(folder / "log"),
            "log_level_logfile": "info",
            "user": _user(),
        }
        kind = "master" if name == "master" else "minion"
        (folder / kind).write_text(json.dumps({**common, **options}, indent=2))

    def _spawn(self, salt, program: str, name: str) -> None:
        with open(self.root / name / "output", "wb") as output:
            process = subprocess.Popen(
                salt.command(program, "-c", str(self.root / name)),
                env={**os.environ, **salt.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        note = {"pid": process.pid, "start": process_start(process.pid)}
        write_atomic(self.pids / name, json.dumps(note))

    def _wait(self) -> None:
        names = sorted(host.name for host in self.fleet)
        ping = self.command(
            "salt", "*", "saltutil.sync_all", "--out", "json", "--static", "-t", "20"
        )
        limit_s = START_S + START_OF_ONE_S * len(names)
        deadline = time.monotonic() + limit_s
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
                done = subprocess.run(
                    ping, capture_output=True, text=True, timeout=min(PING_S, left), check=False
                )
                synced = json.loads(done.stdout)
                # An answer that is not a dict came from a minion that is still starting.
                if (
                    sorted(name for name, value in synced.items() if isinstance(value, dict))
                    == names
                ):
                    return self._sync_master()
            time.sleep(0.5)
        raise TimeoutError(
            f"the minions did not answer within {limit_s} s; see the logs in {self.root}"
        )


    def _sync_master(self) -> None:
        """The runner and its utilities, as the README says."""
        sync = self.command("salt-run", "saltutil.sync_all")
        subprocess.run(sync, capture_output=True, timeout=START_S, check=True)


def _free_ports(count: int) -> list[int]:
    """Ports at which nobody listens, and of which the kernel gives none to those who connect meanwhile."""
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(given_from // 2, given_from)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found += [port] if port not in found else []
    return found


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _group(path: Path) -> int | None:
    """The process group that a file of `pids` names, None when it is not (any more) ours."""
    try:
        note = json.loads(path.read_text())
        pid, start = note["pid"], note["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # After a reboot, or long enough, the number belongs to somebody else.
    return pid if start is not None and process_start(pid) == start else None


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _alive(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
