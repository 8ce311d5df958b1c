"""Where a simulated host keeps things, how it is slowed down, broken and watched: files only.

Here: paths, the name table, faults, the link's throttle, the delays and the record of processes.
Every process of a fleet shares this; what xend or the hypervisor do is elsewhere.
"""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

DEFAULT_TIME_SCALE = 0.1
POLL_S = 0.01
# A wait that is longer than this is looked after so often.
STEP_S = 0.05
# A transfer that is held or cut longer than this breaks. Against hanging only: it ends with its fleet.
STALL_LIMIT_S = 900.0
WATCH_S = 1.0

# Seconds on a real host; every wait of the lab is one of these times the host's time scale, or what
# Host.delay has said.
DELAYS_S = {
    "listen-retry-total": 30.0,
    "listen-retry-step": 0.5,
    "servers": 3.5,
    "answer": 0.2,
    # What each question to xend takes before it is looked at, xm's and others'.
    "question": 0.0,
    # Between making a domain and filling it, when it is started and not received.
    "boot": 0.0,
    "load": 1.0,
    "listen": 0.2,
    "connect-timeout": 30.0,
    "connect-timeout-kernel": 127.0,
    "target-error": 3.0,
    "balloon-step": 0.6,
    "shell": 0.8,
    "suspend": 0.5,
    "suspend-timeout": 60.0,
    # Where tcp_retries2 is 8; Linux as it comes goes on for 15 minutes.
    "tcp-gives-up": 100.0,
    "destroy": 0.8,
    "wait-for-devices": 0.3,
    "unpause": 1.6,
    # Between a guest's running on the target and the target's saying so.
    "acknowledge": 0.0,
    "wedge": 200.0,
}
BALLOON_RETRIES = 20

# The files in which transfers take turns: sending, receiving, and sending to one host.
QUEUE_OUT, QUEUE_IN, QUEUE_TO = QUEUES = "out", "in", "out-*"

# Tells a helper the addresses behind a socket that only stands in for a connection.
ENDS = "XEN_LAB_ENDS"

# What can be switched on for a host: its effect, as a person would say it.
FAULTS = {
    "no-route": "connections from and to the host find no route",
    "unreachable": "connections from and to the host find no network",
    "refuse": "connections to the host are refused, as if nothing listened",
    "drop-syn": "connections to the host get no answer at all",
    "mute": "the relocation port takes connections and never says a word",
    "reset": "the relocation port resets every connection",
    "ignore-suspend": "the guests on the host do not react to being told to suspend",
    "disk-missing": "no disk of an arriving guest can be attached",
    "bridge-missing": "no network card of an arriving guest can be attached",
    "hotplug-mute": "the hotplug scripts of an arriving guest's network cards never answer",
    "no-state": "xend does not know what its guests (or the one of that name) do: question marks",
    "no-name": "xend knows nothing of its guests (or the one of that name) but their ids and uuids",
    "garbled": "xend answers every question, xm's and others', with what nobody can read",
    "no-openssl": "pyOpenSSL is not installed: no TLS, neither listening nor sending",
}


def write_atomic(path, text):
    """Replace the file at `path` by `text`, so that no reader ever sees half of it."""
    path = Path(path)
    temporary = path.with_name("%s.%d.%d" % (path.name, os.getpid(), time.monotonic_ns()))
    temporary.write_text(text, "utf-8", "surrogateescape")
    os.replace(temporary, path)


def remove_tree(path, ignore_errors=False):
    """Remove a folder and all that is in it."""
    # It takes as long to be imported as all that the programs of a host do with it.
    import shutil

    shutil.rmtree(path, ignore_errors)


def read_json(path, default):
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return default


def process_start(pid):
    """Return the start time of process `pid` in clock ticks, None when it is gone or a zombie.

    One that was killed holds its sockets until the last of its threads has ended.
    """
    try:
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    is_dead = fields[0] == "Z" and int(fields[17]) <= 1
    return None if is_dead else int(fields[19])


def kill(pids, limit_s):
    """Kill processes as the kernel does, and wait until they are gone; return their process ids."""
    starts = {pid: process_start(pid) for pid in pids}
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(process_start(pid) != starts[pid] for pid in pids), limit_s)
    return pids


def wait_until(condition, timeout_s, poll_s=POLL_S):
    """Poll `condition` until it is true; return whether it was within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


class Layout:
    """One simulated host's directory. `spec` is host.json: everything that never changes."""

    def __init__(self, root):
        self.root = Path(root)
        self.spec = json.loads((self.root / "host.json").read_text())
        self.fleet_root = self.root.parent.parent
        self.name = self.spec["name"]
        self.address = self.spec["address"]
        self.loopback = self.spec["loopback"]
        self.fqdn = self.spec["fqdn"]
        self.version = self.spec["version"]
        self.interfaces = self.spec["interfaces"]
        self.time_scale = self.spec["time_scale"]
        # Where xend is asked, and where others than xm would look for it.
        self.socket = self.spec["socket"]
        self.usual_socket = self.spec["usual_socket"]
        self.config = self.root / "etc/xen/xend-config.sxp"
        self.pidfile = self.root / "var/run/xend.pid"
        self.log = self.root / "var/log/xen/xend.log"
        self.debug_log = self.root / "var/log/xen/xend-debug.log"
        self.listening = self.root / "var/run/relocation.json"
        self.hypervisor = self.root / "hypervisor"
        self.control = self.root / "control"
        self._control_folder = str(self.control)
        self.xm = self.root / "bin/xm"
        self.xend = self.root / "bin/xend"
        self.helpers = self.root / "usr/lib/xen/bin"
        self.python = self.root / "usr/bin/python"
        self.shared = self.fleet_root / "shared"
        self._known = {}

    @property
    def is_private(self):
        """Whether only xm knows where xend is asked, which is not at its usual socket."""
        return self.socket != self.usual_socket

    # the clock

    def delay_s(self, what):
        """Return how long `what` takes on this host."""
        told = self._read_control("delays.json").get(what)
        return DELAYS_S[what] * self.time_scale if told is None else told

    def set_delay(self, what, seconds):
        if what not in DELAYS_S:
            raise ValueError("unknown delay %r: use one of %s" % (what, ", ".join(sorted(DELAYS_S))))
        delays = self._read_control("delays.json")
        delays[what] = seconds
        write_atomic(self.control / "delays.json", json.dumps(delays))

    def clear_delays(self):
        (self.control / "delays.json").unlink(missing_ok=True)

    def pause(self, what):
        """Wait as long as `what` takes, which somebody may change meanwhile."""
        began = time.monotonic()
        while (left_s := began + self.delay_s(what) - time.monotonic()) > 0:
            time.sleep(min(left_s, STEP_S))

    def path(self, path):
        """Return where an absolute path of the host really is."""
        return self.root / str(path).lstrip("/")

    def inside(self, path):
        """Return where a file of the host's /etc/xen is really kept; other paths as they are."""
        folder, name = os.path.split(path)
        return str(self.config.parent / name) if folder == "/etc/xen" else path

    # names: what /etc/hosts and the DNS would say on this host

    def peers(self):
        """Return the specs of all hosts of the fleet."""
        return [
            Layout(path.parent).spec for path in sorted(self.fleet_root.glob("hosts/*/host.json"))
        ]

    def resolve(self, name):
        """Return the IPv4 address that `name` has on this host, or None."""
        if name in ("localhost", "localhost.localdomain", "127.0.0.1", self.loopback):
            return self.loopback
        for spec in self.peers():
            if name in (spec["name"], spec["fqdn"], spec["address"]):
                return spec["address"]
        return None

    def describe_peer(self, address):
        """Return (name, address) of a peer as `socket.getfqdn` and `accept` would on this host."""
        if address in (self.loopback, "127.0.0.1"):
            return "localhost", "127.0.0.1"
        for spec in self.peers():
            if spec["address"] == address:
                return spec["reverse"] or address, address
        return address, address

    def host_at(self, address):
        """Return the Layout of the fleet's host at `address`, or None."""
        for path in sorted(self.fleet_root.glob("hosts/*/host.json")):
            other = Layout(path.parent)
            if address in (other.address, other.loopback):
                return other
        return None

    # faults and the link

    def _read_control(self, name):
        """Return what a control file says; it is asked for each piece of a transfer."""
        # As text: this is asked so often that making a Path would be most of the work.
        path = "%s/%s" % (self._control_folder, name)
        try:
            state = os.stat(path)
        except FileNotFoundError:
            return {}
        version = (state.st_ino, state.st_mtime_ns, state.st_size)
        if self._known.get(name, (None,))[0] != version:
            self._known[name] = (version, read_json(path, {}))
        return dict(self._known[name][1])

    def faults(self):
        return self._read_control("faults.json")

    def set_fault(self, name, on=True):
        if name not in FAULTS:
            raise ValueError("unknown fault %r: use one of %s" % (name, ", ".join(sorted(FAULTS))))
        faults = self.faults()
        faults[name] = on
        write_atomic(self.control / "faults.json", json.dumps(faults))

    def clear_faults(self):
        (self.control / "faults.json").unlink(missing_ok=True)

    def has_fault(self, name):
        return bool(self.faults().get(name))

    def link(self):
        """Return what slows or stops transfers here: speed_mib_s, hold_at, cut, cut_at, died_at …"""
        return self._read_control("link.json")

    def set_link(self, **changes):
        link = self.link()
        link.update(changes)
        write_atomic(self.control / "link.json", json.dumps(link))

    def clear_queues(self):
        """Let nobody wait any more for the turn of a transfer that was slow, or is gone."""
        for name in QUEUES:
            for path in self.control.glob(name):
                path.unlink(missing_ok=True)

    def cut_link(self):
        if not self.link().get("cut"):
            self.set_link(cut=True, cut_at=time.time(), cut_after_destroy=False)

    def mend_link(self):
        link = self.link()
        died_at = time.time() if self._is_cut_for_long(link) else link.get("died_at")
        self.set_link(cut=False, cut_after_destroy=False, died_at=died_at)

    def _is_cut_for_long(self, link):
        return link.get("cut") and time.time() - link["cut_at"] > self.delay_s("tcp-gives-up")

    def link_died_after(self, moment):
        """Whether the link was cut so long that TCP gave up connections of that moment."""
        link = self.link()
        return bool(self._is_cut_for_long(link)) or (link.get("died_at") or 0) > moment

    @property
    def held_marker(self):
        return self.control / "held"

    # processes

    def processes(self):
        return self.fleet_root / "processes"

    def register(self, role):
        """Note that this process plays `role` on this host, so that it can be found and ended."""
        pid = os.getpid()
        note = {"pid": pid, "role": role, "host": self.name, "start": process_start(pid)}
        write_atomic(self.processes() / str(pid), json.dumps(note))

    def deregister(self):
        (self.processes() / str(os.getpid())).unlink(missing_ok=True)

    def roles(self):
        """Return {role: [pid, …]} of this host's living processes."""
        found = {}
        for note in living_processes(self.fleet_root):
            if note["host"] == self.name:
                found.setdefault(note["role"], []).append(note["pid"])
        return found

    def abandoned(self):
        """Whether nobody can want this fleet any more: its directory or its owner is gone."""
        try:
            owner = json.loads((self.fleet_root / "fleet.json").read_text())["owner"]
        except FileNotFoundError:
            return True
        return owner is not None and process_start(owner["pid"]) != owner["start"]


def living_processes(fleet_root):
    """Return the notes of all registered processes of a fleet that still run."""
    notes = []
    for path in sorted(Path(fleet_root).glob("processes/*")):
        if not path.name.isdigit():
            continue
        try:
            note = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        if process_start(note["pid"]) == note["start"]:
            notes.append(note)
    return notes
