"""What stands in for commands of a reader that are about a whole machine: `python -m tests.docs.shims`.

They run as processes of their own, with what the lab has written below its folder.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.demo import lab as demo
from tests.docs.lab import USUAL_PATH, Salt
from tests.lab.fleet import Fleet
from tests.lab.salt_config import REPO

URL = "https://git.example.com/xend-for-salt.git"
ACTIONS = ("start", "stop", "restart", "status")


class Unknown(Exception):
    """The command is not to be had on this machine."""


def _load(root):
    fleet = Fleet.load(root / "fleet")
    return fleet, Salt(root / "salt", fleet, root / "srv")


def service(root, place, words):
    """`service NAME ACTION` on the master or a host."""
    if len(words) != 2 or words[1] not in ACTIONS:
        raise Unknown("usage: service NAME %s" % "|".join(ACTIONS))
    name, action = words
    fleet, salt = _load(root)
    if place != "master" and name in ("xend", "xen"):
        done = fleet[place].run(fleet[place].xend, action)
        sys.stdout.write(done.stdout + done.stderr)
        return done.returncode
    if name != ("salt-master" if place == "master" else "salt-minion"):
        raise Unknown("%s: there is no such service on %s" % (name, place))
    if action == "status":
        return 0 if salt.runs(place) else 3
    if action in ("stop", "restart"):
        salt.end(place)
    if action in ("start", "restart"):
        salt.begin(place)
        salt.ready(place)
    return 0


def systemctl(root, place, words):
    """`systemctl ACTION NAME …`."""
    if len(words) < 2:
        raise Unknown("usage: systemctl ACTION NAME")
    if words[0] in ("enable", "daemon-reload"):
        return 0
    return max(
        service(root, place, [name.removesuffix(".service"), words[0]]) for name in words[1:]
    )


def make(root, place, words):
    """`make lab` says what the lab has; another target has to be one of the Makefile."""
    targets = [word for word in words if "=" not in word] or ["help"]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if targets == ["lab"]:
        return _lab(root, given)
    if targets == ["lab-stop"]:
        print("the lab has ended")
        return 0
    # Not this one again, which is the first of its name in a page's PATH.
    usual = {**os.environ, "PATH": USUAL_PATH}
    if targets == ["help"]:
        return subprocess.run(["make", "-s", "-C", REPO, "help"], env=usual, check=False).returncode
    done = subprocess.run(
        ["make", "-n", "-C", REPO, *words], env=usual, capture_output=True, text=True, check=False
    )
    sys.stderr.write(done.stderr)
    return done.returncode or _takes_arguments(done.stdout)


def _takes_arguments(recipe):
    """The exit status of a campaign that only looks at its arguments; 0 when the recipe has none."""
    _, campaign, arguments = recipe.replace("\\\n", " ").partition("-m tests.faults ")
    if not campaign:
        return 0
    asked = "from tests.faults.__main__ import options; options()"
    command = [sys.executable, "-c", asked, *shlex.split(arguments.splitlines()[0])]
    return subprocess.run(command, cwd=REPO, check=False).returncode


def _lab(root, given):
    shape = json.loads((root / "lab.json").read_text())
    wanted = {"HOSTS": "2", "GUESTS": "1", "OWN": "0", "RATE": "", **given}
    if wanted != shape["shape"]:
        raise Unknown("this page begins with a lab of %s: say so by `lab: fresh`" % shape["shape"])
    fleet, salt = _load(root)
    specs, guests, speed = demo.wanted(
        *(wanted[name] for name in ("HOSTS", "GUESTS", "OWN", "RATE"))
    )
    count = {2: "two", 3: "three"}.get(len(specs), len(specs))
    print("starting %s simulated Xen hosts, a Salt master and %s minions …" % (count, count))
    fleet.hosts = {name: fleet.hosts[name] for name in shape["hosts"]}
    print(demo.guide(fleet, salt, guests, speed))
    return 0


def git(root, place, words):
    """`git clone` of this repository."""
    if words[:1] != ["clone"]:
        raise Unknown("of git, a lab has `git clone` only")
    options = [word for word in words[1:] if word.startswith("-")]
    names = [word for word in words[1:] if not word.startswith("-")]
    if options or not 1 <= len(names) <= 2 or names[0] != URL:
        raise Unknown("git clone %s [FOLDER] is what a lab has" % URL)
    target = Path(names[1] if len(names) == 2 else "xend-for-salt")
    if target.exists():
        raise Unknown(
            "fatal: destination path '%s' already exists and is not an empty directory." % target
        )
    target.symlink_to(root / "checkout")
    sys.stderr.write("Cloning into '%s'...\n" % target)
    return 0


COMMANDS = {"service": service, "systemctl": systemctl, "make": make, "git": git}


def main(root, place, name, *words):
    try:
        return COMMANDS[name](Path(root), place, list(words))
    except (Unknown, demo.Wrong) as wrong:
        sys.stderr.write("%s\n" % wrong)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
