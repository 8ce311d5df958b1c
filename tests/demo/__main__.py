"""
`make demo`: the whole story on two simulated Xen hosts with a real Salt master and two minions.
`make lab` starts such hosts and leaves them running (lab.py), `make lab-stop` ends them.
"""

import argparse
import json
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.demo import lab
from tests.lab.daemons import Daemons
from tests.lab.fleet import Fleet

GUEST, SECOND = "web01", "web02"
STEP_S = 180
UNCLOSED = re.compile(r"(\[WARNING \] )?unclosed ")

# Commands on the master; all others are xm on the host that is named in front.
SALT = ("salt", "salt-run")


class Failed(Exception):
    """A step did not do what it should."""


class Show:
    """Runs the steps of the story, prints them, and remembers how each of them ended."""

    def __init__(self, fleet: Fleet, daemons: Daemons):
        self.fleet = fleet
        self.daemons = daemons
        self.results: list[tuple[str, str, float]] = []

    def step(self, title: str, check, *command: str, meanwhile=None) -> None:
        """Run a command, print what it prints, and let CHECK look at its exit code and output.

        meanwhile -- called in a thread of its own while the command runs
        """
        number = len(self.results) + 1
        print(f"\n=== {number}. {title}", flush=True)
        prompt, shown = ("$", command) if command[0] in SALT else (f"[{command[0]}]#", command[1:])
        print(f"{prompt} {shlex.join(shown)}", flush=True)
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(meanwhile or (lambda: None))
            code, output = self._run(command)
            other.result()
        print("\n".join(f"    {line}" for line in output.rstrip().splitlines()), flush=True)
        print(f"    [exit {code}]", flush=True)
        try:
            said = check(code, output)
        except AssertionError as exc:
            self.results.append((title, "FAILED", time.monotonic() - began))
            raise Failed(f"step {number}, {title}: {exc}") from exc
        if said:
            print(f"--> {said}", flush=True)
        self.results.append((title, "ok", time.monotonic() - began))

    def _run(self, command: tuple[str, ...]) -> tuple[int, str]:
        if command[0] in SALT:
            argv = self.daemons.command(*command)
        else:
            host, _xm, *arguments = command
            argv = [str(self.fleet[host].xm), *arguments]
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        # Salt 3008 says on stderr which of its own objects it left open; that is no news to anybody.
        lines = [line for line in done.stdout.splitlines() if not UNCLOSED.match(line)]
        return done.returncode, "\n".join(lines)

    def table(self) -> None:
        print("\n" + "=" * 96)
        for number, (title, result, seconds) in enumerate(self.results, 1):
            print(f"{number:3}. {title:<76} {result:<6} {seconds:5.1f} s")
        print("=" * 96, flush=True)


def require(truth: object, what: str) -> None:
    """An assertion that stays when Python runs with -O."""
    if not truth:
        raise AssertionError(what)


def succeeds(*words: str):
    """A check: exit code 0, and the output says all of these."""

    def check(code: int, output: str) -> None:
        require(code == 0, f"exit code {code}, not 0")
        for word in words:
            require(word in output, f"the output does not say {word!r}")

    return check


def fails(*words: str):
    """A check: another exit code than 0, and the output says all of these."""

    def check(code: int, output: str) -> None:
        require(code != 0, "exit code 0, but this should have failed")
        for word in words:
            require(word in output, f"the output does not say {word!r}")

    return check


def unchanged(code: int, output: str) -> None:
    """A check: exit code 0, and no state that ran on a host reports a change."""
    succeeds("Succeeded: ")(code, output)
    found = re.findall(r"\bchanged=\d+", output)
    require(not found, f"something was changed: {found}")


def both_restarted(code: int, output: str) -> None:
    """A check: exit code 0, and xend was restarted on each of the two hosts."""
    succeeds()(code, output)
    found = output.count("Comment: xend was restarted: ")
    require(found == 2, f"xend was restarted on {found} hosts, not on 2")


def both_accepted(code: int, output: str) -> None:
    """A check: exit code 0, and the answer of each of the two doors is the same: accepted."""
    succeeds()(code, output)
    found = re.findall(r"^ *result:\s+(\S+)$", output, re.MULTILINE)
    require(found == ["accepted"] * 2, f"the doors answered {found}, not twice accepted")


def story(show: Show) -> None:
    """Every step, with the check that it did what it should."""
    fleet = show.fleet
    xen1, xen2 = fleet["xen1"], fleet["xen2"]

    def runs_on(host, other):
        def check(code, output):
            succeeds()(code, output)
            guest = host.wait_alive(GUEST)
            require(GUEST not in other.guests(), f"{GUEST} is still on {other.name}")
            sent = last(other, "suspended")
            require(sent["sha256"] == last(host, "unpaused")["sha256"], "the memory has changed")
            return (
                f"{GUEST} works on {host.name} (domain {guest.domid}) and is gone from {other.name}; the "
                f"memory that left ({sent['sha256'][:16]}…) is the memory that arrived"
            )

        return check

    def unmoved(check):
        def both(code, output):
            check(code, output)
            require(xen1.guests()[GUEST].alive, f"{GUEST} does not work on xen1")
            require(not xen2.guests(), "xen2 has a guest")
            return f"{GUEST} works on xen1, unharmed"

        return both

    def orchestrate(source, target, *more):
        pillar = {"xend": {"migrate": {"domain": GUEST, "source": source, "target": target}}}
        return (
            "salt-run",
            "state.orchestrate",
            "xend.orch.migrate",
            f"pillar={json.dumps(pillar)}",
            *more,
        )

    show.step("the guest runs on xen1", succeeds(GUEST), "salt", "xen*", "xm.list")
    show.step(
        "moving it by hand fails: nobody has opened the door",
        unmoved(fails("[Errno ")),
        "xen1",
        "xm",
        "migrate",
        "--live",
        GUEST,
        xen2.address,
    )
    show.step(
        "Salt says why before it tries",
        unmoved(fails("does not let this host in")),
        "salt",
        "xen1",
        "xm.migrate",
        GUEST,
        "target=xen2",
    )
    show.step(
        "what highstate would change",
        succeeds("+(xend-relocation-server yes)", "would be restarted"),
        "salt",
        "xen*",
        "state.highstate",
        "test=True",
    )
    show.step("highstate", both_restarted, "salt", "xen*", "state.highstate")
    show.step("highstate again changes nothing", unchanged, "salt", "xen*", "state.highstate")
    show.step(
        "every host asks the others' doors",
        both_accepted,
        "salt",
        "xen*",
        "xend.probe",
    )
    show.step(
        "every check of a migration, nothing moved",
        unmoved(succeeds(f"{GUEST} would be moved to xen2")),
        *orchestrate("xen1", "xen2", "test=True"),
    )
    show.step("the migration", runs_on(xen2, xen1), *orchestrate("xen1", "xen2"))
    show.step("once more: nothing to do", unchanged, *orchestrate("xen1", "xen2"))
    show.step("and back again", runs_on(xen1, xen2), *orchestrate("xen2", "xen1"))

    def restart_in_mid_transfer():
        xen1.wait_held(STEP_S)
        xen1.restart()
        xen1.release()

    xen1.link(hold_at=0.5)
    show.step(
        "xend is restarted in mid-transfer: the guest stays, and gets its name back",
        unmoved(fails("is called web01 again")),
        *orchestrate("xen1", "xen2"),
        meanwhile=restart_in_mid_transfer,
    )
    def xend_of_the_target_dies():
        xen1.wait_held(STEP_S)
        xen2.kill_xend_child()
        xen1.release()

    def comes_back(code, output):
        said = unmoved(fails("it was brought back on xen1 from its safety copy"))(code, output)
        sent = last(xen1, "suspended")
        require(sent["sha256"] == last(xen1, "unpaused")["sha256"], "the memory has changed")
        return f"{said}; its memory is that which left ({sent['sha256'][:16]}…)"

    xen1.link(hold_at=0.5)
    show.step(
        "xend dies on the target in mid-transfer: the guest comes back, with its memory",
        comes_back,
        *orchestrate("xen1", "xen2"),
        meanwhile=xend_of_the_target_dies,
    )
    show.step(
        "nothing is left over",
        unmoved(succeeds("no migration has left anything")),
        "salt-run",
        "state.orchestrate",
        "xend.orch.recover",
    )

    def whole_night(name, **options):
        pillar = f"pillar={json.dumps({'xend': {name: options}})}"
        return "salt-run", "state.orchestrate", f"xend.orch.{name}", pillar

    def all_on(host, other, names):
        def check(code, output):
            succeeds()(code, output)
            for name in names:
                host.wait_alive(name)
                sent, come = last(other, "suspended", name), last(host, "unpaused", name)
                require(sent["sha256"] == come["sha256"], f"the memory of {name} has changed")
            require(not other.guests(), f"{other.name} is not empty")
            return f"{' and '.join(names)} work on {host.name}, with their memory; {other.name} is empty"

        return check

    lab.create(fleet, lab.Guest(SECOND, 64, "xen1", False))
    show.step(
        "where the guests of a host would go",
        succeeds(GUEST, SECOND, "xen2"),
        "salt-run",
        "xend.plan",
        "source=xen1",
    )
    show.step(
        "a night's work begins: the host is emptied, and takes no guests from now on",
        all_on(xen2, xen1, (GUEST, SECOND)),
        *whole_night("evacuate", source="xen1"),
    )
    show.step(
        "and it is filled again",
        all_on(xen1, xen2, (GUEST, SECOND)),
        *whole_night("restore", host="xen1"),
    )


def last(host, event: str, name: str = GUEST) -> dict:
    """The last entry about a guest in what the simulated hypervisor remembers."""
    found = [entry for entry in host.journal() if entry["event"] == event and entry["name"] == name]
    require(found, f"{host.name} never saw {name} {event}")
    return found[-1]


def demo() -> int:
    root = Path(tempfile.mkdtemp(prefix="xend-demo-"))
    began = time.monotonic()
    fleet, daemons = lab.start(root, False, lab.specs(2), [lab.Guest(GUEST, 96, "xen1", False)])
    show = Show(fleet, daemons)
    failure = None
    try:
        story(show)
    except (Failed, subprocess.TimeoutExpired, TimeoutError) as exc:
        failure = exc
    finally:
        lab.stop(root, fleet)
    show.table()
    if failure:
        print(f"demo FAILED: {failure}")
        return 1
    print(
        f"demo: all {len(show.results)} steps did what they should, {time.monotonic() - began:.0f} s in all"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--lab",
        nargs=4,
        metavar=("HOSTS", "GUESTS", "OWN", "RATE"),
        help="start these and leave them running; OWN: guests with a disk of one host, RATE: MiB a second",
    )
    choice.add_argument("--stop", action="store_true", help="end what --lab left running")
    options = parser.parse_args()
    # An ordinary end by a signal cleans up as an interrupt does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    if options.stop:
        return lab.lab_stop()
    return lab.lab(options.lab) if options.lab else demo()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; everything was ended")
        sys.exit(130)
