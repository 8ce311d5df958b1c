"""The machine at which a reader of the documentation sits: a master, and hosts to which he logs in.

Below one folder: simulated hosts, a Salt master and minions, and all that pages name by an absolute path. One
set of daemons serves all pages; `fresh` makes everything else new.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.demo import lab as demo
from tests.harness import relays
from tests.lab import salt_config
from tests.lab.daemons import Daemons, InstalledSalt, _alive, _free_ports, _group
from tests.lab.fleet import Fleet
from tests.lab.layout import wait_until
from tests.lab.salt_config import REPO

# The hosts and guests of a page that does not say how many it has, as those of `make lab`.
HOSTS, GUESTS, MOST_HOSTS = 2, 1, 4
KINDS = ("bare", "configured")
TIME_SCALE = 0.02
LIMIT_S, END_S = 300, 10
USUAL_PATH = "/usr/local/bin:/usr/bin:/bin"
ADDRESSES = "10.20.0."
# What pages call these folders, all of which are the sandbox's own.
SRV = ("/srv/salt", "/srv/pillar", "/srv/xend-for-salt")
HOST_FOLDERS = (
    "/etc/xen", "/etc/sysconfig", "/etc/default", "/var/log/xen", "/var/run/xend", "/var/lib/xen", "/proc"
)  # fmt: skip
KEPT = "/var/lib/xend-for-salt"
# No command may get at these on this machine.
FOREIGN = re.compile(r"(?<![\w./:-])/(?:etc|srv|var|root|home|boot|opt)(?:/[^\s'\",;|&)}\]]*)?")
# What the simulated hosts call the disks of guests; nothing is there on this machine.
DISKS = ("/srv/xen/", "/srv/local/")
NOISE = re.compile(
    r"^(?:\[WARNING \] )?unclosed .*\n?|^.*DeprecationWarning: .*\n(?:  .*\n)?", re.MULTILINE
)


class Refused(Exception):
    """The lab cannot do what a page asks for; the text says why."""


class Salt(Daemons):
    """Master and minions, each of which can be ended and started again."""

    def __init__(self, root, fleet, srv):
        super().__init__(root, fleet)
        self.srv = srv

    def _master(self, publish, ret):
        self.ports = publish, ret
        return {
            "interface": "127.0.0.1",
            "publish_port": publish,
            "ret_port": ret,
            "auto_accept": True,
            "file_roots": {"base": [str(self.srv / "salt")]},
            "pillar_roots": {"base": [str(self.srv / "pillar")]},
            "worker_threads": 3,
            # On a machine that has much to do; who is down is waited for so long each time.
            "timeout": 15,
            "gather_job_timeout": 10,
        }

    def start(self):
        raise NotImplementedError("who runs is decided one by one")

    def prepare(self):
        """Write the configuration of the master and of all minions; start nothing."""
        self.pids.mkdir(parents=True)
        publish, ret = _free_ports(2)
        self._configure("master", self._master(publish, ret))
        for host in self.fleet:
            minion = {
                "id": host.name,
                "master": "127.0.0.1",
                "master_port": ret,
                "publish_port": publish,
                "grains": salt_config.GRAINS,
                # A master that is started again is found again soon.
                "acceptance_wait_time": 1,
                "random_reauth_delay": 1,
                "recon_default": 200,
                "recon_max": 1000,
                **salt_config.minion(host),
            }
            self._configure(host.name, minion)

    def runs(self, name):
        return bool(self._group(name))

    def begin(self, name):
        if not self.runs(name):
            program = "salt-master" if name == "master" else "salt-minion"
            self._spawn(InstalledSalt(), program, name)

    def ready(self, name):
        """Wait until a minion answers, or all minions that run do after their master was started again."""
        names = (
            [host.name for host in self.fleet if self.runs(host.name)]
            if name == "master"
            else [name]
        )
        deadline = time.monotonic() + LIMIT_S
        while names and time.monotonic() < deadline:
            done = subprocess.run(
                self.command("salt", "-L", ",".join(names), "test.ping", "--out=json", "--static", "-t", "5"),
                capture_output=True, text=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip
            names = [one for one in names if '"%s": true' % one not in done.stdout]

    def end(self, name):
        group = self._group(name)
        if group:
            os.killpg(group, signal.SIGTERM)
            if not wait_until(lambda: not self._lives(group), END_S):
                os.killpg(group, signal.SIGKILL)
                wait_until(lambda: not self._lives(group), END_S)
        (self.pids / name).unlink(missing_ok=True)

    def _group(self, name):
        return _group(self.pids / name)

    @staticmethod
    def _lives(group):
        return _alive(group)


class Lab:
    """What pages are run against. `with Lab() as lab: lab.fresh([])`."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="xend-docs-"))
        self.srv, self.checkout = self.root / "srv", self.root / "checkout"
        self.fleet = self.salt = self.background = None
        self.hosts, self.rate, self.net = [], None, None
        # What is known of the daemons, to leave alone what is right already.
        self._configs, self._configured, self._shape = {}, {}, None
        self._pillar = self._master_files = None
        self._synced = set()

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def _make(self):
        specs = demo.specs(MOST_HOSTS)
        for spec in specs:
            spec.time_scale = TIME_SCALE
            spec.interfaces = ("eth0", "xenbr0")
        self.fleet = Fleet.create(self.root / "fleet", specs)
        self.net = self.fleet["xen1"].address.rpartition(".")[0] + "."
        for host in self.fleet:
            shutil.copytree(host.root / "etc", self.root / "as-it-came" / host.name)
        for name in ("home", "tmp"):
            (self.root / name).mkdir()
        self.checkout.mkdir()
        for path in REPO.iterdir():
            if path.name not in (".git", ".lab"):
                (self.checkout / path.name).symlink_to(path)
        (self.checkout / ".lab").write_text(str(self.root))
        self.srv.mkdir()
        self.salt = Salt(self.root / "salt", self.fleet, self.srv)
        self.salt.prepare()
        self._write_shims()

    def close(self):
        if self.salt:
            self.salt.stop()
        if self.fleet:
            for host in self.fleet:
                relays.kill(host)
            self.fleet.destroy()
        shutil.rmtree(self.root, ignore_errors=True)

    # -- A new lab, out of the one that is there

    def fresh(self, words):
        """Let everything be as at the beginning of a page.

        words -- `bare` (a master that knows nothing of this project) or `configured` (the hosts let each
                 other in), and HOSTS=, GUESTS=, OWN=, RATE= as for `make lab`
        """
        kind, numbers = None, {"HOSTS": HOSTS, "GUESTS": GUESTS, "OWN": 0, "RATE": ""}
        for word in words:
            name, equals, value = word.partition("=")
            if word in KINDS and kind is None:
                kind = word
            elif equals and name in numbers:
                numbers[name] = value
            else:
                raise Refused(
                    "fresh: %s is none of %s, HOSTS=, GUESTS=, OWN=, RATE="
                    % (word, ", ".join(KINDS))
                )
        try:
            specs, guests, self.rate = demo.wanted(
                *(str(numbers[name]) for name in ("HOSTS", "GUESTS", "OWN", "RATE"))
            )
        except demo.Wrong as wrong:
            raise Refused("fresh: %s" % wrong) from None
        if len(specs) > MOST_HOSTS:
            raise Refused("fresh: this lab has at most %d hosts" % MOST_HOSTS)
        self.shape = {name: str(value) for name, value in numbers.items()}
        self.guests = guests
        self.hosts = [self.fleet[spec.name] for spec in specs]
        self._fresh_files(kind)
        self._fresh_hosts(self._configured.get(len(self.hosts)) if kind == "configured" else None)
        self._fresh_salt(kind)
        if kind == "configured" and len(self.hosts) not in self._configured:
            self.master("salt", "xen*", "state.apply", "xend.relocation")
            self._configured[len(self.hosts)] = {
                host.name: host.config.read_bytes() for host in self.hosts
            }
            self._note_configs()
        for guest in guests:
            demo.create(self.fleet, guest)
        for host in self.hosts:
            host.link(speed_mib_s=self.rate)
        (self.root / "lab.json").write_text(json.dumps({"shape": self.shape, "hosts": self.names}))

    @property
    def names(self):
        return [host.name for host in self.hosts]

    def _fresh_files(self, kind):
        for name in ("home", "tmp", "srv"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            (self.root / name).mkdir()
        for name in ("salt", "pillar"):
            (self.srv / name).mkdir()
        if kind != "bare":
            (self.srv / "xend-for-salt").symlink_to(self.checkout)
            (self.srv / "pillar/top.sls").write_text(json.dumps({"base": {"*": ["xend"]}}))
            (self.srv / "pillar/xend.sls").write_text(self.pillar_text())

    def pillar(self):
        """The pillar of a lab that is not bare."""
        return salt_config.pillar(self.hosts or [self.fleet["xen1"], self.fleet["xen2"]])

    def pillar_text(self):
        return yaml.safe_dump(self.pillar(), sort_keys=False)

    def listeners(self):
        """How many hear the events of the master."""
        # Which folder it is in depends on how long its path is.
        sockets = re.findall(
            r" (\S+)/master_event_pub\.ipc$", Path("/proc/net/unix").read_text(), re.MULTILINE
        )
        return sum(Path(folder).is_relative_to(self.salt.config) for folder in sockets)

    def _fresh_hosts(self, configs):
        for host in self.fleet:
            host.mend()
            relays.kill(host)
            shutil.rmtree(host.root / "kept", ignore_errors=True)
        for host in self.hosts:
            wanted = (configs or {}).get(host.name) or self._as_it_came(host)
            self._fresh_etc(host)
            if (host.config.read_bytes() if host.config.exists() else b"") != wanted:
                host.config.write_bytes(wanted)
                self._configs.pop(host.name, None)
            if self._configs.get(host.name) != (wanted, host.pids()):
                host.stop()
                host.clear()
                # In the same 1/100 s as the start, a change of the file would not count as newer.
                time.sleep(0.05)
                done = host.start()
                if done.returncode:
                    raise Refused("xend of %s does not start: %s" % (host.name, done.stderr))
            host.clear()
        self._note_configs()

    def _as_it_came(self, host):
        return (self.root / "as-it-came" / host.name / "xen/xend-config.sxp").read_bytes()

    def _fresh_etc(self, host):
        """Let the host's /etc be as it came, without touching the file of xend."""
        came, etc = self.root / "as-it-came" / host.name, host.root / "etc"
        for path in [*etc.iterdir(), *(etc / "xen").iterdir()]:
            if path in (etc / "xen", host.config):
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in [*came.rglob("*")]:
            there = etc / path.relative_to(came)
            if path.is_dir() and not path.is_symlink():
                there.mkdir(exist_ok=True)
            elif there != host.config:
                shutil.copy2(path, there, follow_symlinks=False)

    def _note_configs(self):
        self._configs.update(
            {host.name: (host.config.read_bytes(), host.pids()) for host in self.hosts}
        )

    def _fresh_salt(self, kind):
        wanted = "" if kind == "bare" else json.dumps({"file_roots": salt_config.file_roots()})
        conf = self.salt.config / "master.d"
        present = {path.name: path.read_text() for path in conf.glob("*")} if conf.exists() else {}
        names = set(self.names)
        if present != ({"lab.conf": wanted} if wanted else {}):
            shutil.rmtree(conf, ignore_errors=True)
            conf.mkdir()
            if wanted:
                (conf / "lab.conf").write_text(wanted)
            self.salt.end("master")
        for host in self.fleet:
            folder = self.salt.root / host.name / "minion.d"
            has_own = folder.exists() and any(
                path.name != "_schedule.conf" for path in folder.iterdir()
            )
            if host.name not in names or has_own or kind == "bare":
                self.salt.end(host.name)
                shutil.rmtree(folder, ignore_errors=True)
                self._synced.discard(host.name)
            if host.name not in names and self._key(host).exists():
                self._key(host).unlink()
            if kind == "bare":
                shutil.rmtree(self.salt.root / host.name / "var/cache", ignore_errors=True)
        if kind == "bare":
            shutil.rmtree(self.salt.config / "var/cache/salt/master/extmods", ignore_errors=True)
            self._synced.discard("master")
        for name in ["master", *self.names]:
            self.salt.begin(name)
        self._await_minions(self.names, None if kind == "bare" else "saltutil.sync_all")
        if kind != "bare":
            if "master" not in self._synced:
                self.master("salt-run", "saltutil.sync_all")
                self._synced.add("master")

    def _key(self, host):
        return self.salt.config / "etc/salt/pki/master/minions" / host.name

    def _await_minions(self, names, function=None):
        """Wait until these minions have run a function."""
        function = function or "test.ping"
        if function != "test.ping":
            names = [name for name in names if name not in self._synced]
        deadline = time.monotonic() + LIMIT_S
        left = set(names)
        while left:
            done = self._salt(
                [
                    "salt",
                    "-L",
                    ",".join(sorted(left)),
                    function,
                    "--out=json",
                    "--static",
                    "-t",
                    "10",
                ]
            )
            try:
                answers = json.loads(done.stdout[done.stdout.index("{") :])
            except ValueError:
                answers = {}
            left -= {
                name for name, value in answers.items() if value is True or isinstance(value, dict)
            }
            if left and time.monotonic() > deadline:
                raise Refused(
                    "these minions do not answer: %s; %s"
                    % (", ".join(sorted(left)), done.stdout + done.stderr)
                )
        if function == "saltutil.sync_all":
            self._synced.update(names)
        if names and function != "test.ping" or self._pillar != self._pillar_now():
            refresh = ["saltutil.refresh_pillar", "wait=True", "timeout=%d" % LIMIT_S]
            self.master("salt", "-L", ",".join(self.names), *refresh)
            self._pillar = self._pillar_now()

    def _pillar_now(self):
        return {path.name: path.read_text() for path in (self.srv / "pillar").glob("*.sls")}

    def _salt(self, command):
        return subprocess.run(
            self.salt.command(*command),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def master(self, *command):
        """Run a command of Salt on the master that has to succeed."""
        done = self._salt(command)
        if done.returncode:
            raise Refused("%s failed: %s%s" % (" ".join(command), done.stdout, done.stderr))
        return done.stdout

    # -- What pages call things, and what they are here

    def host(self, name):
        if name not in self.names:
            raise Refused("there is no host %s; there are %s" % (name, ", ".join(self.names)))
        return self.fleet[name]

    def real(self, text, host=None):
        """Return a text of a page (a command, a file) with the paths and addresses of the sandbox.

        host -- the host on which it is typed, or to which the file belongs; None: the master
        """
        place = self.salt.root / (host.name if host else "master")
        rows = [(path, str(self.root) + path) for path in SRV]
        rows += [
            ("/etc/salt", str(place)),
            ("/root", str(self.root / "home")),
            ("/tmp", str(self.root / "tmp")),
        ]
        named = host
        if not named:
            found = {word for word in re.findall(r"\bxen\d+\b", text) if word in self.names}
            named = self.fleet[found.pop()] if len(found) == 1 else None
        if named:
            rows += self._host_rows(named.root)
        return self._put(rows, text)

    def real_pillar(self, text):
        """The same of a file of the pillar, which all hosts share: there each host's path is its own."""
        own = self.fleet.root / "hosts" / '{{ grains["id"] }}'
        return self._put(self._host_rows(own), text)

    def _host_rows(self, root):
        return [(KEPT, str(root / "kept")), *((path, str(root) + path) for path in HOST_FOLDERS)]

    def _put(self, rows, text):
        places = dict(rows)
        longest_first = sorted(places, key=lambda path: -len(path))
        pattern = r"(?<![\w./-])(%s)(?![\w-])" % "|".join(map(re.escape, longest_first))
        text = re.sub(pattern, lambda match: places[match.group(1)], text)
        return text.replace(ADDRESSES, self.net)

    def foreign(self, command):
        """Return the paths in a command, as `real` returns it, that are not the sandbox's."""
        ours = (str(self.root), str(REPO), *DISKS)
        return [path for path in FOREIGN.findall(command) if not (path + "/").startswith(ours)]

    def shown(self, text):
        """Return what was printed with the paths of a real host."""
        rows = [
            (str(self.root / "checkout"), "/srv/xend-for-salt"),
            (str(REPO), "/srv/xend-for-salt"),
        ]
        for host in self.fleet:
            rows += [(str(host.root / "kept"), KEPT), (str(host.root), "")]
            rows += [(host.usual_socket, "/var/run/xend/xmlrpc.sock")]
            rows += self._salt_rows(host.name, "minion")
        rows += [*self._salt_rows("master", "master"), (str(self.fleet.root / "shared"), "")]
        rows += [(str(self.root / "home"), "/root"), (str(self.root), "")]
        for there, path in sorted(rows, key=lambda row: -len(row[0])):
            text = text.replace(there, path)
        return NOISE.sub("", text).replace(self.net, ADDRESSES)

    def _salt_rows(self, name, kind):
        folder = self.salt.root / name
        return [
            (str(folder / "log"), "/var/log/salt/" + kind),
            (str(folder / "var"), "/var"),
            (str(folder), "/etc/salt"),
        ]

    def put(self, path, text, host_name=None, is_added=False):
        """Make a file of a page, or add what it says to the one that is there."""
        on_host = path.startswith(HOST_FOLDERS + ("/etc/salt/minion", KEPT))
        hosts = [self.host(host_name)] if host_name else self.hosts if on_host else [None]
        for host in hosts:
            place = self.real(path, host)
            if self.foreign(place):
                raise Refused("%s: there is no such folder in the lab" % path)
            is_pillar = path.startswith("/srv/pillar/")
            content = self.real_pillar(text) if is_pillar else self.real(text, host)
            place = Path(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            if is_added:
                content = _merged(place.read_text() if place.exists() else "", content)
            place.write_text(content)

    # -- Commands

    def _write_shims(self):
        bins = Path(sys.executable).parent
        # Salt itself runs some of the commands that are others here.
        usual = "PATH=%s " % USUAL_PATH
        for name in ("salt", "salt-run", "salt-key"):
            self._shim(
                "master", name, usual + 'exec %s -c %s "$@"' % (bins / name, self.salt.config)
            )
        for host in self.fleet:
            folder = self.salt.root / host.name
            self._shim(
                host.name, "salt-call", usual + 'exec %s -c %s "$@"' % (bins / "salt-call", folder)
            )
            for name in ("xm", "xend"):
                self._shim(host.name, name, 'exec %s "$@"' % getattr(host, name))
        for place in ["master", *(host.name for host in self.fleet)]:
            for name in ("systemctl", "service", "make", "git"):
                # What the others compile is below this folder; the tree stays as it is.
                said = 'PYTHONPATH=%s exec %s -B -m tests.docs.shims %s %s %s "$@"'
                self._shim(place, name, said % (REPO, sys.executable, self.root, place, name))

    def _shim(self, place, name, said):
        path = self.root / "bin" / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n%s\n" % said)
        path.chmod(0o755)

    def environment(self, host=None):
        """The environment of a shell on the master or on a host."""
        return {
            "PATH": "%s:%s" % (self.root / "bin" / (host.name if host else "master"), USUAL_PATH),
            "HOME": str(self.root / "home"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            # Tests that a page runs have to be there; what they find is said elsewhere.
            "PYTEST_ADDOPTS": "--collect-only -q",
        }


def _merged(present, added):
    """Return the YAML text of what is there with what is added, mapping by mapping."""

    def merge(old, new):
        if isinstance(old, dict) and isinstance(new, dict):
            return {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}
        return new

    return yaml.safe_dump(merge(yaml.safe_load(present), yaml.safe_load(added)), sort_keys=False)
