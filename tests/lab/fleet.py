"""The lab's front door: make a fleet of simulated Xen hosts, run it, break it, look at it.

Here: Fleet, Host and Guest. Everything is on disk, so a second process can `Fleet.load` the same
fleet. How hosts behave is in the other modules.
"""

import ast
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import (
    block,
    description,
    device_model,
    drbd,
    hotplug,
    hypervisor,
    layout,
    lowlevel,
    managed,
    memory,
    rpc_client,
    storage,
    stream,
    xendomains,
    xm,
)
from tests.lab.layout import (
    DEFAULT_TIME_SCALE,
    Layout,
    living_processes,
    process_start,
    read_json,
    wait_until,
    write_atomic,
)

RELOCATION_PORT = 8002
NETS = 200
FIRST_HOST, FIRST_LOOPBACK, MAX_HOSTS = 11, 111, 90
SOCKET_PATH_LIMIT = 100
COMMAND_LIMIT_S = 180
END_LIMIT_S = 60.0
ANSWER_LIMIT_S = 5.0
RPC = "XEN_LAB_RPC"
USUAL_SOCKET = "var/run/xend/xmlrpc.sock"
LAB = Path(__file__).resolve().parent
CLAIMS = Path(tempfile.gettempdir()) / ("xen-lab-nets-%d" % os.getuid())
DEFAULT_CONFIG = """# -*- sh -*-
(xend-relocation-server yes)
(xend-relocation-port 8002)
(xend-relocation-address '')
(xend-relocation-hosts-allow '')
"""
# Compiled files go where this process has them, else into the fleet, but not into the source tree. To look
# for garbage, and to take all to pieces at the end, takes longer than what most of them are there for.
SCRIPT = """#!%(python)s -IS
import gc, os, sys
gc.disable()
sys.pycache_prefix = %(cache)r
sys.path.insert(0, %(source)r)
%(body)s
sys.stdout.flush()
sys.stderr.flush()
os._exit(code or 0)
"""
BODIES = {
    "bin/xm": "from tests.lab import xm\n"
    "code = xm.main(sys.argv[1:], os.environ.get('XEND_CONFIG', %(config)r), "
    "%(version)r, %(socket)r, %(lab)r, %(root)r)",
    "bin/xend": "from tests.lab import xend\ncode = xend.main(%(root)r, sys.argv[1:])",
    "bin/drbdadm": "from tests.lab import drbd\ncode = drbd.main(%(root)r, sys.argv[1:])",
    "usr/lib/xen/bin/xc_save": "from tests.lab import helpers\n"
    "code = helpers.main('xc_save', %(root)r, sys.argv[1:])",
    "usr/lib/xen/bin/xc_restore": "from tests.lab import helpers\n"
    "code = helpers.main('xc_restore', %(root)r, sys.argv[1:])",
}


@dataclass
class HostSpec:
    """What a simulated host is like before it boots.

    config -- text or bytes of xend-config.sxp; None: no such file
    reverse -- the name that others find for its address; None: none, "": its fqdn
    info -- lines of `xm info` that differ from the usual host, key to text
    pages -- how many 4 KiB pages a guest made by `xm create` gets
    cpu_vendor, cpu_flags -- what /proc/cpuinfo says
    uptime_s -- what /proc/uptime says; None: a day
    bridges -- the bridges that there are
    loops -- how many loop devices there are; None: as many as are needed
    rpc -- whether xend is asked at its usual socket; False: only xm knows the way, as where
           xend-unix-xmlrpc-server is off and xm-config.xml names another server. The environment may say
           so for all hosts, with XEN_LAB_RPC=off
    """

    name: str
    version: str = "4.4"
    config: str | bytes | None = DEFAULT_CONFIG
    memory_mib: int = 2047
    dom0_mib: int = 1024
    fqdn: str = ""
    reverse: str | None = ""
    interfaces: tuple = ("eth0", "xenbr0")
    info: dict = field(default_factory=dict)
    pages: int = 64
    time_scale: float = DEFAULT_TIME_SCALE
    cpu_vendor: str = "GenuineIntel"
    cpu_flags: tuple = tuple("fpu tsc msr pae cx8 sep cmov mmx fxsr sse sse2 nx lm".split())
    uptime_s: float | None = None
    bridges: tuple = ("xenbr0",)
    loops: int | None = None
    rpc: bool = field(default_factory=lambda: os.environ.get(RPC) != "off")


@dataclass(frozen=True)
class Guest:
    """A guest as the hypervisor of its host has it, whatever xend says.

    state -- "running", "paused" or "suspended"
    alive -- whether it really works: all its memory is there and it was connected to the host
    xend_name -- what `xm list` calls it
    """

    name: str
    domid: int
    uuid: str
    memory_mib: int
    state: str
    alive: bool
    memory_sha256: str
    xend_name: str


class Host:
    """One simulated host; attributes of its layout (`name`, `address`, `config` …) are its own."""

    def __init__(self, root):
        self.layout = Layout(root)
        self.hypervisor = hypervisor.Hypervisor(self.layout)
        self.managed = managed.Managed(self.layout)

    def __getattr__(self, name):
        if name in (
            "root",
            "name",
            "address",
            "loopback",
            "fqdn",
            "version",
            "interfaces",
            "config",
            "xm",
            "xend",
            "pidfile",
            "log",
            "debug_log",
            "time_scale",
            "socket",
            "usual_socket",
            "path",
            "shared",
            "python",
        ):
            return getattr(self.layout, name)
        raise AttributeError(name)

    def __repr__(self):
        return "<Host %s %s xend %s>" % (self.name, self.address, self.version)

    # commands

    def run(self, *command, timeout_s=COMMAND_LIMIT_S):
        """Run a command; return its CompletedProcess with text output."""
        return subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def xm_run(self, *arguments, timeout_s=COMMAND_LIMIT_S):
        """Run this host's xm."""
        return self.run(self.xm, *arguments, timeout_s=timeout_s)

    def xm_start(self, *arguments):
        """Run this host's xm without waiting for it; return the Popen."""
        return subprocess.Popen(
            [str(self.xm)] + [str(part) for part in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self):
        return self.run(self.xend, "start")

    def stop(self):
        return self.run(self.xend, "stop")

    def restart(self):
        return self.run(self.xend, "restart")

    # looking

    def pids(self):
        """Return {"watchdog": pid, "xend": pid} as far as they live."""
        roles = self.layout.roles()
        return {role: roles[role][-1] for role in ("watchdog", "xend") if role in roles}

    @property
    def running(self):
        return "xend" in self.pids()

    @property
    def answers(self):
        """Whether xend serves xm."""
        try:
            return bool(rpc_client.call(self.socket, "xend.node.info", limit_s=ANSWER_LIMIT_S))
        except (OSError, rpc_client.NoAnswer):
            return False

    def xm_calls(self):
        """Return the arguments of each run of this host's xm so far, oldest first, also by other programs."""
        path = self.root / xm.CALLS
        return [ast.literal_eval(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def listening(self):
        """The [address, port] pairs of the relocation port, as of xend's last start."""
        return read_json(self.layout.listening, [])

    def guests(self):
        """Return {name: Guest} from the hypervisor, like `xl list`."""
        found = {}
        for domain in self.hypervisor.domains():
            state = "running"
            if domain["paused"]:
                state = "paused"
            if domain["suspended"]:
                state = "suspended"
            alive = hypervisor.is_running(domain) and domain["completed"]
            found[domain["name"]] = Guest(
                domain["name"],
                domain["domid"],
                domain["uuid"],
                domain["memory_mib"],
                state,
                alive,
                self.hypervisor.checksum(domain["domid"]),
                domain["xend_name"],
            )
        return found

    def journal(self):
        """Return what happened to domains here, oldest first: dicts with event, name, sha256 …"""
        return self.hypervisor.journal()

    # changing

    def create_guest(
        self,
        name,
        memory_mib=96,
        pages=64,
        vcpus=1,
        disks=(),
        vifs=(),
        image="linux",
        paused=False,
        uuid=None,
        managed=False,
        **extra,
    ):
        """Put a guest straight into the hypervisor, as if it had been running for long.

        disks, vifs -- as in a domain file: "file:/srv/x.img,xvda,w", "bridge=xenbr0". A disk that is
                       missing is made: all hosts have it, unless it is below /srv/local. A card without
                       a script gets xend's own; "script=" leaves it out of the description
        managed -- whether xend goes on knowing it when it does not run
        extra -- see description.build
        """
        for disk in disks:
            storage.provide(self.layout, disk.partition(",")[0])
        uuid = uuid or hypervisor.new_uuid()
        config = description.build(
            name, uuid, memory_mib, vcpus, image, disks, vifs, self.version, extra
        )
        domid = self.hypervisor.reserve_domid()
        needed_kib = memory.domain_kib(config, self.version)
        self.hypervisor.create(domid, name, uuid, memory_mib, vcpus, pages, config, kib=needed_kib)
        if managed:
            self.managed.save(config)
        block.take_all(self.layout, self.hypervisor, domid)
        hotplug.run(self.layout, config, domid)
        device_model.start(self.layout, domid, config, "127.0.0.1")
        self.hypervisor.boot(domid)
        if not paused:
            self.hypervisor.unpause(domid)
        return self.guests()[name]

    def save_guest(self, name, path="/var/lib/xen/save"):
        """Leave an image of a running guest in a folder, as `xm save` would; the guest runs on.

        A folder of the host, where xendomains restores from at boot; the image is called like the guest.
        """
        place = self.path(path)
        place.mkdir(parents=True, exist_ok=True)
        (domain,) = [one for one in self.hypervisor.domains() if one["name"] == name]
        described = description.to_send(domain, self.version)
        (place / name).write_bytes(stream.image(described, self.hypervisor, domain))
        return place / name

    def run_program(self, name, pid=4711):
        """Let /proc of this host show a process with this name."""
        place = self.path("/proc/%d" % pid)
        place.mkdir(parents=True)
        (place / "comm").write_text(name[:15] + "\n")
        (place / "cmdline").write_bytes(b"/usr/sbin/" + name.encode() + b"\0")

    def boot_domains(self):
        """Do what xendomains does at boot; return its exit code and what it started."""
        return xendomains.start(self)

    def define_guest(
        self, name, memory_mib=96, vcpus=1, disks=(), vifs=(), image="linux", uuid=None, **extra
    ):
        """Let xend manage a guest that does not run, as `xm new` does; return its uuid.

        The arguments are those of `create_guest`.
        """
        for disk in disks:
            storage.provide(self.layout, disk.partition(",")[0])
        uuid = uuid or hypervisor.new_uuid()
        self.managed.save(
            description.build(
                name, uuid, memory_mib, vcpus, image, disks, vifs, self.version, extra
            )
        )
        return uuid

    def wait_alive(self, name, timeout_s=120.0):
        """Wait until the guest `name` works here; return it, raise TimeoutError."""

        def works():
            # One look: it may be gone at the next.
            guest = self.guests().get(name)
            return guest is not None and guest.alive

        if not wait_until(works, timeout_s):
            raise TimeoutError(
                "%s does not work on %s after %s s: %s"
                % (name, self.name, timeout_s, self.guests().get(name))
            )
        return self.guests()[name]

    def occupy(self, port, address="0.0.0.0"):
        """Let a program of dom0 listen on a port, in what the kernel of the host shows; 0: none."""
        device_model.occupy(self.layout, port, address)

    def make_image(self, path, size=storage.IMAGE_BYTES):
        """Write a disk image of random content to `path` of this host; return its real Path.

        Below /dev it becomes a block device.
        """
        if path.startswith("/dev/") and not self.path(path).exists():
            return storage.make_device(self.layout, path, size)
        return storage.make_image(self.path(path), size)

    def mount_device(self, device, options="rw", on="/mnt"):
        """Let the host itself have mounted a device; `device` is what its /proc/mounts shows."""
        with open(self.path("/proc/mounts"), "a") as mounts:
            mounts.write("%s %s ext3 %s 0 0\n" % (device, on, options))

    def unmount_devices(self):
        self.path("/proc/mounts").write_text(storage.MOUNTS)

    def take_loop(self, path, owner=None):
        """Set up a loop device with a file of the host; return its path, None when none is free."""
        number = storage.take_loop(self.layout, path, owner)
        return number and "/dev/loop" + number.partition(":")[2]

    def release_loops(self, owner=None):
        storage.release_loops(self.layout, owner)

    def add_script(self, name):
        """Put a hotplug script into /etc/xen/scripts of this host."""
        return storage.add_script(self.layout, name)

    def drbd(self, resource, **changes):
        """Add a DRBD resource to this host or change it: cs, ro, ds, two_primaries, addresses, present."""
        return drbd.put(self.layout, resource, **changes)

    def drbds(self):
        """Return {resource: row} of this host."""
        return drbd.rows(self.layout)

    def unmount(self, path=storage.SHARED_MOUNT):
        """Take shared storage away from this host; an empty folder of its own is left."""
        storage.unmount(self.layout, path)

    def mount(self, path=storage.SHARED_MOUNT):
        """Undo `unmount`."""
        storage.mount(self.layout, path)

    def destroy_guest(self, name):
        self.hypervisor.destroy(self.guests()[name].domid)

    # breaking

    def clear(self):
        """Remove all guests, also those that xend only knows, whatever xend does meanwhile."""
        for domain in self.hypervisor.domains():
            self.hypervisor.destroy(domain["domid"])
        for uuid in self.managed.all():
            self.managed.forget(uuid)

    def _kill(self, *roles):
        found = self.layout.roles()
        return layout.kill([pid for role in roles for pid in found.get(role, [])], END_LIMIT_S)

    def kill_xend_child(self):
        """Kill the daemon only; the watchdog starts another. Return the process ids killed."""
        return self._kill("xend")

    def kill_xend(self):
        """Kill the watchdog and the daemon."""
        return self._kill("watchdog", "xend")

    def freeze(self):
        """Let xend stand still: whoever asks it anything, by xm or otherwise, waits."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        for pid in self.layout.roles().get("xend", []):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_xc_save(self):
        return self._kill("xc_save")

    def kill_xc_restore(self):
        return self._kill("xc_restore")

    def fault(self, name, on=True):
        """Switch a fault of layout.FAULTS on or off."""
        self.layout.set_fault(name, on)

    def mend(self):
        """Undo every fault, delay, hold and cut of the link here; who was killed or lost stays so."""
        self.thaw()
        self.layout.clear_faults()
        self.layout.clear_delays()
        self.layout.mend_link()
        self.link()

    def bring_up(self, timeout_s=60.0):
        """Start xend, or wait for its watchdog to do it, until xm is served; raise TimeoutError."""
        if not self.pids():
            self.start()
        if not wait_until(lambda: self.answers, timeout_s):
            raise TimeoutError(
                "xend of %s does not answer after %s s; see %s" % (self.name, timeout_s, self.log)
            )

    def delay(self, what, seconds=None):
        """Let a step of layout.DELAYS_S take so many seconds on this host, also one that is just going on.

        seconds -- None: what it takes by the host's time scale
        """
        self.layout.set_delay(what, seconds)

    def link(self, speed_mib_s=None, hold_at=None, to=None):
        """Slow transfers from and to this host down, or hold them at this part of the memory.

        speed_mib_s -- how many MiB of the memory of guests its network card sends in a second, and receives
                       at the same time; transfers that go on at once share it. None: as fast as it goes
        hold_at -- 0.0 to 1.0; 1.0 is after all memory was sent, before the end is said: the guest is
                   suspended, and from here on nothing can keep xc_save from ending well
        to -- the name of another host: what lies between the two has this speed, in each direction, and
              all else stays as it is. None: this host's own link; nothing else limits it then
        """
        self.layout.clear_queues()
        if to is not None:
            speeds = dict(self.layout.link().get("speeds_mib_s", {}), **{to: speed_mib_s})
            self.layout.set_link(speeds_mib_s=speeds)
            return
        self.layout.held_marker.unlink(missing_ok=True)
        self.layout.set_link(speed_mib_s=speed_mib_s, hold_at=hold_at, speeds_mib_s={})

    def wait_held(self, timeout_s=120.0):
        """Wait until a transfer is held here; raise TimeoutError when none is in time."""
        if not wait_until(self.layout.held_marker.exists, timeout_s):
            raise TimeoutError("no transfer is held at %s after %s s" % (self.name, timeout_s))

    def release(self):
        """Let held transfers go on."""
        self.layout.set_link(hold_at=None)
        self.layout.held_marker.unlink(missing_ok=True)

    def cut_link(self):
        """Let nothing through to and from this host; after "tcp-gives-up" connections are dead.

        The sender learns that (its write fails) while it still has more to send than the kernel
        takes; a receiver never does, not even when the link is mended.
        """
        self.layout.cut_link()

    def restore_link(self):
        self.layout.mend_link()

    def cut_after_destroy(self):
        """Cut this host's link as soon as a host that sends it a guest has destroyed its copy."""
        self.layout.set_link(cut_after_destroy=True)


class Fleet:
    """Simulated hosts that know each other; `fleet["xen1"]` is one of them."""

    def __init__(self, root):
        self.root = Path(root)
        self.state = json.loads((self.root / "fleet.json").read_text())
        self.hosts = {name: Host(self.root / "hosts" / name) for name in self.state["hosts"]}

    def __getitem__(self, name):
        return self.hosts[name]

    def __iter__(self):
        return iter(self.hosts.values())

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.destroy()

    @classmethod
    def create(cls, root, hosts, keep=False):
        """Make a fleet at `root` (which must not hold one); return it, not started.

        hosts -- HostSpec objects; the first host gets 127.0.N.11, the second .12 and so on
        keep -- whether it outlives this process; by default its daemons end with their creator
        """
        root = Path(root).resolve()
        if len(hosts) > MAX_HOSTS:
            raise ValueError("a fleet has at most %d hosts, not %d" % (MAX_HOSTS, len(hosts)))
        root.mkdir(parents=True, exist_ok=True)
        (root / "processes").mkdir()
        net = _claim_net(root, len(hosts))
        maker = {"pid": os.getpid(), "start": process_start(os.getpid())}
        state = {
            "net": net,
            "owner": None if keep else maker,
            "maker": maker,
            "hosts": [spec.name for spec in hosts],
            "sockets": None,
        }
        if (
            max(len(str(root / "hosts" / spec.name / USUAL_SOCKET)) for spec in hosts)
            > SOCKET_PATH_LIMIT
        ):
            state["sockets"] = str(CLAIMS / ("%d-sockets" % net))
            shutil.rmtree(state["sockets"], ignore_errors=True)
            os.mkdir(state["sockets"])
        for number, spec in enumerate(hosts):
            _create_host(root, spec, number, state)
        write_atomic(root / "fleet.json", json.dumps(state))
        return cls(root)

    @classmethod
    def load(cls, root):
        """Return the fleet that is at `root` already."""
        return cls(Path(root).resolve())

    def start(self):
        """Start every xend; raise RuntimeError when one does not start."""
        commands = [
            (
                host,
                subprocess.Popen(
                    [str(host.xend), "start"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                ),
            )
            for host in self
        ]
        for host, command in commands:
            _out, said = command.communicate(timeout=COMMAND_LIMIT_S)
            if command.returncode != 0:
                raise RuntimeError(
                    "xend of %s did not start: %s; see %s" % (host.name, said.strip(), host.log)
                )

    def stop(self):
        """End every process of the fleet, orphans too, and give its addresses back."""
        # Watchdogs first, or they start new daemons; then again for what was just being started.
        for role in ("watchdog", None, None):
            notes = [note for note in living_processes(self.root) if role in (None, note["role"])]
            for note in notes:
                with suppress(ProcessLookupError):
                    os.kill(note["pid"], signal.SIGKILL)
            wait_until(
                lambda: all(process_start(note["pid"]) != note["start"] for note in notes),
                END_LIMIT_S,
            )
        for path in self.root.glob("processes/*"):
            path.unlink(missing_ok=True)

    def destroy(self):
        """Stop the fleet and remove everything of it but its directory's parent."""
        self.stop()
        if self.state["sockets"]:
            shutil.rmtree(self.state["sockets"], ignore_errors=True)
        (CLAIMS / str(self.state["net"])).unlink(missing_ok=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def processes(self):
        """Return the notes of all living processes of the fleet: pid, role, host."""
        return living_processes(self.root)


def _claim_net(root, count):
    """Return a number N whose addresses 127.0.N.x no other fleet on this machine uses."""
    CLAIMS.mkdir(exist_ok=True)
    with open(CLAIMS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for net in range(NETS):
            claim = CLAIMS / str(net)
            if not _is_claimed(claim) and _addresses_are_free(net, count):
                claim.write_text(str(root))
                # Until fleet.json is written the claim would look stale to others.
                write_atomic(
                    root / "fleet.json",
                    json.dumps(
                        {"owner": {"pid": os.getpid(), "start": process_start(os.getpid())}}
                    ),
                )
                return net
    raise RuntimeError("no loopback net is free: remove old fleets listed in %s" % CLAIMS)


def _is_claimed(claim):
    try:
        root = Path(claim.read_text())
        state = json.loads((root / "fleet.json").read_text())
    except FileNotFoundError:
        # Whoever ends a fleet does not wait for those who make one.
        return False
    # A fleet that is kept has nobody but its maker until it is started.
    someone = state["owner"] or state.get("maker")
    alive = someone is not None and process_start(someone["pid"]) == someone["start"]
    return alive or bool(living_processes(root))


def _addresses_are_free(net, count):
    for number in range(count):
        for last in (FIRST_HOST + number, FIRST_LOOPBACK + number):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.%d.%d" % (net, last), RELOCATION_PORT))
                    probe.listen(1)
                except OSError:
                    return False
    return True


def _create_host(fleet_root, spec, number, state):
    root = fleet_root / "hosts" / spec.name
    for directory in ("bin", "control", "etc/xen", "var/run", "var/log/xen", "usr/lib/xen/bin"):
        (root / directory).mkdir(parents=True)
    fqdn = spec.fqdn or spec.name + ".lab.example"
    usual = (
        Path(state["sockets"]) / str(number) / "xmlrpc.sock"
        if state["sockets"]
        else root / USUAL_SOCKET
    )
    where = usual if spec.rpc else usual.parent.with_name(usual.parent.name + "-xm") / "s"
    write_atomic(
        root / "host.json",
        json.dumps(
            {
                "name": spec.name,
                "version": spec.version,
                "fqdn": fqdn,
                "reverse": fqdn if spec.reverse == "" else spec.reverse,
                "address": "127.0.%d.%d" % (state["net"], FIRST_HOST + number),
                "loopback": "127.0.%d.%d" % (state["net"], FIRST_LOOPBACK + number),
                "memory_mib": spec.memory_mib,
                "dom0_mib": spec.dom0_mib,
                "interfaces": list(spec.interfaces),
                "info": spec.info,
                "pages": spec.pages,
                "time_scale": spec.time_scale,
                "socket": str(where),
                "usual_socket": str(usual),
            }
        ),
    )
    layout = Layout(root)
    hypervisor.Hypervisor.initialise(layout)
    storage.build(layout, spec)
    hotplug.install(layout)
    device_model.show(layout)
    cache = sys.pycache_prefix or str(fleet_root / "cache")
    lowlevel.install(layout, sys.executable, LAB.parent.parent, cache)
    if spec.config is not None:
        data = spec.config.encode() if isinstance(spec.config, str) else spec.config
        layout.config.write_bytes(data)
    for path in (layout.log, layout.debug_log):
        path.touch()
    values = {
        "root": str(root),
        "config": str(layout.config),
        "version": spec.version,
        "socket": str(where),
        "lab": str(LAB),
    }
    for name, body in BODIES.items():
        script = root / name
        script.write_text(
            SCRIPT
            % {
                "python": sys.executable,
                "cache": cache,
                "source": str(LAB.parent.parent),
                "body": body % values,
            }
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main(arguments):
    """`fleet.py ROOT status`: say how the fleet at ROOT is; return the exit code."""
    if len(arguments) != 2 or arguments[1] not in ("status", "start", "stop"):
        sys.stderr.write("usage: python -m tests.lab.fleet ROOT status|start|stop\n")
        return 2
    fleet = Fleet.load(arguments[0])
    if arguments[1] != "status":
        getattr(fleet, arguments[1])()
    for host in fleet:
        print(
            "%-12s %-12s xend %-6s %s"
            % (host.name, host.address, host.version, "running" if host.running else "stopped")
        )
        for guest in host.guests().values():
            print(
                "    %-20s id %-4d %-10s %s"
                % (guest.name, guest.domid, guest.state, "alive" if guest.alive else "not alive")
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
