"""One orchestrated migration against xm alone and against a salt-run that does nothing, side by side.

A simulated fleet of two hosts with a real master and two minions; one small guest goes to and fro.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import salt.config
import salt.utils.event

from tests.lab.daemons import Daemons
from tests.lab.fleet import Fleet, HostSpec

ROUNDS = 7
LIMIT_S = 120
GUEST, DISK = "web01", "file:/srv/xen/web01.img,xvda,w"
TIMES_IDLE, PUBLISHES, XM_RUNS, TIMES_DIRECT = 2.5, 8, 1, 1.15
IDLE = ("salt-run", "test.arg")
# Notes what it is called with. It is a shell's, which takes a thousandth of what xm takes.
NOTING = '#!/bin/sh\necho "$1" >> %s\nexec %s "$@"\n'


def measure() -> list[tuple[str, bool]]:
    """(what was found, whether the target holds) for times, publishes, calls of xm, and relay and copy."""
    root = Path(tempfile.mkdtemp(prefix="xend-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        fleet = stack.enter_context(
            Fleet.create(root / "fleet", [HostSpec("xen1"), HostSpec("xen2")])
        )
        fleet.start()
        calls = root / "calls"
        noted = [_note_calls(host, calls) for host in fleet]
        daemons = Daemons(root / "salt", fleet)
        stack.callback(daemons.stop)
        daemons.start()
        return _compare(fleet, daemons, noted, calls)


def _note_calls(host, calls):
    """Let a host's own xm note each call; return the program behind it."""
    behind = host.xm.with_name("xm.behind")
    host.xm.rename(behind)
    host.xm.write_text(NOTING % (calls, behind))
    host.xm.chmod(0o755)
    return behind


def _compare(fleet, daemons, noted, calls):
    xen1, xen2 = fleet
    run(daemons.command("salt", "*", "state.apply", "xend.relocation"))
    xen1.create_guest(GUEST, memory_mib=96, disks=[DISK])
    orchestrate, direct = _orchestrate(daemons), _orchestrate(daemons, relay=False)
    idle = daemons.command(*IDLE)
    took = {"idle": [], "orchestrated": [], "xm": [], "direct": []}
    functions, called = [], []
    for _ in range(ROUNDS):
        xen1.wait_alive(GUEST)
        took["idle"].append(run(idle))
        calls.write_text("")
        with published(daemons) as jobs:
            took["orchestrated"].append(run(orchestrate))
        functions.append(jobs)
        called.append(calls.read_text().split())
        xen2.wait_alive(GUEST)
        # Not the one that notes: it is no call of an orchestration.
        back = [str(noted[1]), "migrate", "--live", GUEST, xen1.address]
        took["xm"].append(run(back))
        xen1.wait_alive(GUEST)
        took["direct"].append(run(direct))
        xen2.wait_alive(GUEST)
        run(back)
    return _found(
        {name: statistics.median(all_s) for name, all_s in took.items()}, functions, called
    )


def _orchestrate(daemons, **options):
    wanted = {"domain": GUEST, "source": "xen1", "target": "xen2", **options}
    pillar = "pillar=" + json.dumps({"xend": {"migrate": wanted}})
    return daemons.command("salt-run", "state.orchestrate", "xend.orch.migrate", pillar)


def run(command, limit_s=LIMIT_S):
    """Run a command, which has to succeed; return the seconds that it took."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {command} failed: {done.stdout}{done.stderr}")
    return time.monotonic() - began


@contextlib.contextmanager
def published(daemons):
    """The functions that the master publishes to minions meanwhile, a list that is filled at the end."""
    opts = salt.config.master_config(str(daemons.config / "master"))
    jobs, over = [], threading.Event()
    with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True) as bus:

        def listen():
            # What was published before the end has come by then: it has long been answered.
            pending = None
            while pending or not over.is_set():
                pending = bus.get_event(wait=0.2, tag="salt/job/", full=True, no_block=False)
                if pending and pending["tag"].endswith("/new"):
                    jobs.append(pending["data"]["fun"])

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield jobs
        finally:
            over.set()
            listener.join()


def _found(median, functions, called):
    most, calls = max(functions, key=len), max(called, key=len)
    times = median["orchestrated"] / median["idle"]
    return [
        (
            f"xend.orch.migrate {median['orchestrated']:.2f} s, {' '.join(IDLE)} {median['idle']:.2f} s: "
            f"{times:.2f}; xm migrate --live by itself {median['xm']:.2f} s: "
            f"{median['orchestrated'] / median['xm']:.1f}",
            times <= TIMES_IDLE,
        ),
        (f"{len(most)} publishes: {', '.join(most)}", len(most) <= PUBLISHES),
        (f"{len(calls)} calls of xm on both hosts: {', '.join(calls)}", len(calls) <= XM_RUNS),
        (
            f"with relay and copy {median['orchestrated']:.2f} s, relay: false {median['direct']:.2f} s: "
            f"{median['orchestrated'] / median['direct']:.2f}",
            median["orchestrated"] <= TIMES_DIRECT * median["direct"],
        ),
    ]
