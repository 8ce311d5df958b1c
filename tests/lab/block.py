"""What the hotplug scripts of a host do with the disks of a guest that is started there or comes.

Here: the scripts `block`, `blktap` and those that they call, with the checks and the words of the real
ones (xend 4.4 tools/hotplug/Linux; older rules where they differ), and which disks guests have. Where
files and devices lie is in storage.py, when scripts run and what xend makes of it in relocation.py.
"""

from collections import namedtuple

from tests.lab import drbd, storage, sxp
from tests.lab.storage import SCRIPTS, has_script

CLASSES = ("vbd", "tap", "tap2")
LOOP_MAJOR = 7


class Answer(namedtuple("Answer", "status text backend", defaults=("", None))):
    """What a script has left in xenstore.

    status -- "connected", "error", "busy", or None: it has never answered
    text -- the reason
    backend -- what xenstore knows of the disk: class, number of the device, mode, params
    """


class Refused(Exception):
    """A script refuses a disk."""

    def __init__(self, status, text=""):
        super().__init__(text)
        self.status = status


def canonical(mode):
    """Return "r", "w" or "!" for a disk's mode, as canonicalise_mode."""
    if "w" not in mode:
        return "r"
    return "!" if "!" in mode else "w"


def is_valid(layout, uname):
    """Whether xend makes a disk of this kind at all; before 3.4 it leaves that to the script."""
    prefix = uname.partition(":")[0]
    known = ("", "phy", "file", "tap", "tap2")
    return (
        prefix in known
        or sxp.version_key(layout.version) < (3, 4)
        or has_script(layout, "block-" + prefix)
    )


class Scripts:
    """The scripts of one host, for the disks of one domain."""

    def __init__(self, layout, hypervisor, domid, uuid):
        self.layout = layout
        self.hypervisor = hypervisor
        self.domid = domid
        self.uuid = uuid
        self.key = sxp.version_key(layout.version)

    def add(self, kind, settings):
        """Attach a disk; return the Answer."""
        try:
            return Answer("connected", backend=self._add(kind, settings))
        except Refused as refusal:
            return Answer(refusal.status, str(refusal))

    def take_as_is(self, kind, settings):
        """Return the backend of a disk that was attached long ago, whatever the scripts would say."""
        uname, mode = settings.get("uname", ""), settings.get("mode", "r")
        backend = {"class": kind, "params": uname.partition(":")[2], "mode": mode, "number": None}
        if kind != "vbd":
            return backend
        if uname.startswith("file:"):
            backend["number"] = storage.take_loop(self.layout, uname[5:], self.domid)
            if backend["number"] is None:
                raise RuntimeError("%s has no free loop device for %s" % (self.layout.name, uname))
        elif uname.startswith("phy:"):
            backend["number"] = storage.device_number(self.layout, storage.disk_path(uname))
        elif uname.startswith("drbd:"):
            drbd.promote(self.layout, uname[5:], force=True)
            backend["number"] = drbd.number(self.layout, uname[5:])
        return backend

    def _add(self, kind, settings):
        uname, mode = settings.get("uname", ""), settings.get("mode", "r")
        prefix, _, params = uname.partition(":")
        backend = {"class": kind, "params": params, "mode": mode, "number": None}
        if not uname:
            return backend
        path = storage.disk_path(uname)
        if path and self.layout.has_fault("disk-missing"):
            raise Refused("error", "%s does not exist." % path)
        # Xen 3.4 has no script for tap devices: blktapctrl answers itself.
        is_daemon = kind == "tap" and (3, 4) <= self.key < (4, 0)
        if not is_daemon and not has_script(self.layout, "blktap" if kind == "tap" else "block"):
            raise Refused(None)
        if kind != "vbd":
            self._tap(kind, path, params, canonical(mode))
        elif prefix == "phy":
            backend["number"] = self._phy(path, canonical(mode))
        elif prefix == "file":
            backend["number"] = self._file(path, canonical(mode))
        elif not has_script(self.layout, "block-" + prefix):
            # `block` ends without a word.
            raise Refused(None)
        elif prefix == "drbd":
            backend["number"] = self._drbd(params, canonical(mode))
        return backend

    def _phy(self, path, mode):
        if not storage.real(self.layout, path).exists():
            # Before 3.3 it only fails to find out the numbers.
            raise Refused(
                "error",
                "%s does not exist." % path
                if self.key >= (3, 3)
                else SCRIPTS + "/block failed; error detected.",
            )
        number = storage.device_number(self.layout, path)
        if number is None:
            # Before 3.3 it takes 0:0 for the numbers, which are those of /proc too.
            raise Refused(
                *(
                    ("error", "%s is not a block device." % path)
                    if self.key >= (3, 3)
                    else ("busy", busy("Device %s is mounted " % path, mode, "local"))
                )
            )
        self._refuse_shared("Device %s is mounted " % path, number, mode)
        return number

    def _file(self, path, mode):
        real = storage.real(self.layout, path)
        if not (real.is_file() if self.key >= (3, 2) else real.exists()) or (
            self.key >= (3, 2) and storage.device_number(self.layout, path)
        ):
            raise Refused("error", "%s does not exist." % path)
        if mode == "w" and not real.stat().st_mode & 0o222:
            raise Refused(
                "busy",
                "File %s is read-only, and so I will not\nmount it read-write in a guest domain."
                % path,
            )
        for loop in storage.loops_of(self.layout, real) if mode != "!" else ():
            self._refuse_shared(
                "File %s is loopback-mounted through /dev/%s,\nwhich is mounted " % (path, loop),
                "%d:%s" % (LOOP_MAJOR, loop[len("loop") :]),
                mode,
            )
        number = storage.take_loop(self.layout, path, self.domid)
        if number is None:
            raise Refused("error", "Failed to find an unused loop device")
        return number

    def _tap(self, kind, path, params, mode):
        is_daemon = kind == "tap" and (3, 4) <= self.key < (4, 0)
        if path and not storage.real(self.layout, path).exists():
            raise Refused("error", "File not found." if is_daemon else "%s does not exist." % path)
        # What blktap2 makes of an image is a device of its own, which nobody else has.
        if kind == "tap2" or mode == "!" or self.key < (3, 2):
            return
        for other, backend in self._others():
            if (
                backend["class"] == "tap"
                and backend["params"].rpartition(":")[2] == params.rpartition(":")[2]
                and (mode == "w" or canonical(backend["mode"]) == "w" and not is_daemon)
                and other["uuid"] != self.uuid
            ):
                if is_daemon:
                    raise Refused("error", "File already in use by other domain")
                raise Refused("busy", "%s already in use by other domain" % path)

    def _drbd(self, resource, mode):
        if not drbd.promote(self.layout, resource):
            raise Refused("error", "/sbin/drbdadm primary %s failed" % resource)
        number = drbd.number(self.layout, resource)
        self._refuse_shared(
            "Device %s is mounted " % drbd.device(self.layout, resource), number, mode
        )
        return number

    def _others(self):
        return [
            (domain, backend)
            for domain in self.hypervisor.domains()
            if domain["domid"] != self.domid
            for backend in domain.get("backends", [])
        ]

    def _refuse_shared(self, prefix, number, mode):
        """check_sharing: raise Refused when the device is in use in a way that does not go with `mode`."""
        if mode == "!":
            return
        for source, options in storage.mounts(self.layout):
            if mode == "r" and options.split(",")[0] == "ro":
                continue
            if storage.device_number(self.layout, source) == number:
                raise Refused("busy", busy(prefix, mode, "local"))
        for other, backend in self._others():
            if backend["number"] != number or other["uuid"] == self.uuid:
                continue
            if mode == "w" or canonical(backend["mode"]) == "w":
                raise Refused("busy", busy(prefix, mode, "guest"))


def busy(prefix, mode, who):
    """do_ebusy's sentence."""
    where, when = ("a guest ", "now") if who == "guest" else ("the privileged ", "by a guest")
    rest, how = ("", "") if mode == "w" else ("read-write ", "read-only ")
    return "%s%sin %sdomain,\nand so cannot be mounted %s%s." % (prefix, rest, where, how, when)


def disks(config):
    """Return (class, settings) of each device of a description that is a disk."""
    found = []
    for item in config[1:]:
        if isinstance(item, list) and item[:1] == ["device"] and item[1][0] in CLASSES:
            settings = {pair[0]: pair[1] for pair in item[1][1:] if len(pair) > 1}
            found.append((item[1][0], settings))
    return found


def take_all(layout, hypervisor, domid):
    """Give a domain that has just been put there its disks."""
    domain = hypervisor.domain(domid)
    scripts = Scripts(layout, hypervisor, domid, domain["uuid"])
    backends = [scripts.take_as_is(*disk) for disk in disks(domain["config"])]
    hypervisor.update(domid, backends=backends)
