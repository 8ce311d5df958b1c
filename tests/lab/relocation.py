"""xend's relocation port: who may connect, the conversation, and taking a guest in.

Here: the listener, the protocol and the receiving half of a migration, which also takes a guest from a file
(xm restore), as one function of xend does both. Reading the settings is in options.py, the sending half in
migration.py.
"""

import errno
import json
import os
import re
import socket
import struct
import threading
import time
from contextlib import suppress

from tests.lab import (
    block,
    description,
    device_model,
    hotplug,
    memory,
    network,
    options,
    relay,
    stream,
    sxp,
    tls,
)
from tests.lab.domains import SHELL_KIB, VmError, XendError, devices
from tests.lab.layout import ENDS, write_atomic
from tests.lab.stream import LENGTH, SIGNATURE

BUFFER_SIZE = 1024
BACKLOG = 5
IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+\Z")
MFN = re.compile(r"(store|console)-mfn (\d+)\Z")
RESET = struct.pack("ii", 1, 0)
# Fixed before 4.0.
DEVICE_CREATE_S = 100
OPERATIONS = {"help": (3, 0), "quit": (3, 0), "receive": (3, 0), "sslreceive": (3, 3)}
# What pyOpenSSL's exceptions print.
FILE_ERRORS = [
    ("system library", "fopen", "No such file or directory"),
    ("SSL routines", "SSL_CTX_use_PrivateKey_file", "system lib"),
]
PEM_ERRORS = [
    ("PEM routines", "PEM_read_bio", "no start line"),
    ("SSL routines", "SSL_CTX_use_PrivateKey_file", "PEM lib"),
]
RESTORE_FRAMES = (
    (
        "XendDomain.py",
        1178,
        "domain_restore_fd",
        "dominfo = XendCheckpoint.restore(self, fd, paused=paused, relocating=relocating)",
    ),
    ("XendCheckpoint.py", 358, "restore", "raise exn"),
)


class StartError(Exception):
    """xend cannot start: `kind` and the message are those of the exception it dies of."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind
        self.message = message


class Relocation:
    """The relocation listener of one running xend."""

    def __init__(self, domains):
        self.domains = domains
        self.layout = domains.layout
        self.log = domains.log
        self.key = domains.key
        self.sockets = []
        self.patterns = None

    # listening

    def open(self):
        """Listen as configured; raise StartError with what xend would die of."""
        try:
            plan = self.domains.config.listen()
        except options.OptionError as error:
            kind = "error" if error.kind == "re.error" else error.kind
            raise StartError(kind, error.message) from None
        bound = []
        for port, interface, self.patterns, *files in plan.values():
            bound += self.bind(port, interface, self.secure(*files) if files else None)
        write_atomic(self.layout.listening, json.dumps(bound))

    def secure(self, key_file, cert_file):
        """Return the TLS context of these files; raise StartError as pyOpenSSL fails."""
        if self.layout.has_fault("no-openssl"):
            raise StartError("ImportError", "No module named OpenSSL")
        try:
            return tls.server_context(self.layout.inside(key_file), self.layout.inside(cert_file))
        except OSError as error:
            reasons = PEM_ERRORS if isinstance(error, tls.NoPem) else FILE_ERRORS
            raise StartError("Error", str(reasons)) from None

    def bind(self, port, interface, context):
        deadline = time.monotonic() + self.layout.delay_s("listen-retry-total")
        while True:
            self.log.debug("tcp:96", "Listening on %s:%s" % (interface, port))
            try:
                return self.bind_once(port, self.addresses(interface), context)
            except OverflowError:
                raise StartError("OverflowError", "getsockaddrarg: port must be 0-65535.") from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise StartError(
                        "error", "[Errno %d] %s" % (error.errno, os.strerror(error.errno))
                    ) from None
            self.layout.pause("listen-retry-step")

    def addresses(self, interface):
        """Return the host's addresses that `interface` means; raise StartError, OSError."""
        own = [self.layout.address, self.layout.loopback]
        if isinstance(interface, list):
            raise StartError("TypeError", "coercing to Unicode: need string or buffer, list found")
        if interface == "":
            return own
        if interface in self.layout.interfaces and self.key >= (4, 1):
            return [self.layout.address]
        address = self.layout.resolve(interface)
        if address in own:
            return [address]
        if address is not None or IPV4.match(interface):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if ":" in interface:
            raise StartError("gaierror", "[Errno -9] Address family for hostname not supported")
        raise StartError("gaierror", "[Errno -2] Name or service not known")

    def bind_once(self, port, addresses, context):
        opened = []
        try:
            for address in addresses:
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                opened.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                # A random port is the same on all addresses.
                port = listener.getsockname()[1]
        except (OSError, OverflowError):
            for listener in opened:
                listener.close()
            raise
        self.sockets += opened
        for listener in opened:
            threading.Thread(target=self.accept, args=(listener, context), daemon=True).start()
        return [[address, port] for address in addresses]

    def close(self):
        for listener in self.sockets:
            listener.close()

    # admitting

    def accept(self, listener, context):
        # xend binds at once but listens in a thread, so a second xend can bind too for a moment;
        # its thread then ends without a word.
        self.layout.pause("listen")
        try:
            listener.listen(BACKLOG)
        except OSError:
            return
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self.serve, args=(connection, peer, context), daemon=True
            ).start()

    def serve(self, connection, peer, context):
        try:
            if self.broken_by_fault(connection) or self.broken_behind_relay(connection, peer):
                return
            # Before a word of TLS: who is not admitted gets none.
            if self.admit(peer, connection.getsockname()[1]):
                if context:
                    connection = tls.accept(context, connection)
                Conversation(self, connection).run()
        except OSError:
            # The peer went away; xend says nothing about it.
            return
        finally:
            connection.close()

    def broken_by_fault(self, connection):
        if self.layout.has_fault("reset"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return True
        return self.stays_mute(lambda: self.layout.has_fault("mute") or self.layout.link().get("cut"))

    def stays_mute(self, condition):
        """Say nothing while `condition` holds; return whether it did to the end."""
        while condition():
            if self.layout.abandoned():
                return True
            time.sleep(0.05)
        return False

    def broken_behind_relay(self, connection, peer):
        """Do what the network would have done to the connection of a relay, which the kernel has made.

        The lab's xend asks migration.route before it connects; a relay asks nobody, and no network but the
        real one can refuse it a connection. So it is accepted first, and then reset (no-route, unreachable,
        refuse) or met by silence (drop-syn, a cut link): a relay hears of "Connection reset" where a real
        network has "No route to host", and is connected where it would still be trying. Either way nothing
        of the guest was sent.
        """
        sender = self.layout.host_at(peer[0])
        if sender is None:
            return False

        def is_mute():
            return self.layout.has_fault("drop-syn") or sender.link().get("cut")

        refused = self.layout.has_fault("refuse") or any(
            host.has_fault(name) for host in (self.layout, sender) for name in ("no-route", "unreachable")
        )
        if not (refused or is_mute()) or not relay.leads_from(sender, peer, connection.getsockname()):
            return False
        if refused:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return True
        return self.stays_mute(is_mute)

    def admit(self, peer, port):
        name, address = self.layout.describe_peer(peer[0])
        if options.admitted(self.patterns, name, address):
            if self.key < (3, 1) and self.patterns is not None:
                self.log.debug(
                    "connection:210",
                    "Match %s %s"
                    % (
                        address,
                        next(
                            pattern.pattern
                            for pattern in self.patterns
                            if options.admitted([pattern], name, address)
                        ),
                    ),
                )
            return True
        if self.key < (3, 1):
            text = "Rejected connection from %s:%d (%s) for port %d." % (
                address,
                peer[1],
                name,
                port,
            )
        else:
            text = "Rejected connection from %s (%s)." % (address, name)
        self.log.warning("connection:293", text)
        return False


class Conversation:
    """One peer's requests and the answers."""

    def __init__(self, relocation, connection):
        self.relocation = relocation
        self.domains = relocation.domains
        self.log = relocation.log
        self.connection = connection
        self.parser = sxp.Parser(relocation.layout.version)
        self.open = True

    def run(self):
        while self.open:
            data = self.connection.recv(BUFFER_SIZE)
            if not data:
                return
            try:
                self.parser.feed(data)
                while self.parser.values and self.open:
                    self.dispatch(sxp.decode(self.parser.values.pop(0)))
                if self.parser.at_eof:
                    return
            except sxp.ParseError as error:
                self.refuse("<class 'xen.xend.sxp.ParseError'>", error.message)
            except XendError as error:
                self.refuse(error.kind, str(error))
            except AttributeError as error:
                self.refuse("<type 'exceptions.AttributeError'>", str(error))

    def answer(self, *values):
        self.connection.sendall(sxp.encode(sxp.show(list(values)) + "\n"))

    def refuse(self, kind, message):
        self.answer("err", ["type", kind], ["value", message])

    def dispatch(self, request):
        name = (request[0] if request else None) if isinstance(request, list) else request
        if not isinstance(name, str):
            # xend turns dots of the name into underscores before it looks at what it got.
            raise AttributeError(
                "'%s' object has no attribute 'replace'" % ("NoneType" if name is None else "list")
            )
        if self.relocation.key < OPERATIONS.get(name, (99,)):
            raise XendError("Invalid operation: " + name)
        getattr(self, "op_" + name)()

    def op_help(self):
        self.answer(
            "ok", [name for name, since in OPERATIONS.items() if since <= self.relocation.key]
        )

    def op_quit(self):
        self.open = False

    def op_sslreceive(self):
        self.answer("ready", "sslreceive")
        self.open = False
        if not tls.is_secured(self.connection):
            while self.connection.recv(BUFFER_SIZE):
                pass
            return
        peer = self.relocation.layout.host_at(self.connection.getpeername()[0])
        wire = network.Wire(self.relocation.layout, peer)
        # Once the sender has closed, a refusal reaches nobody: it fails as writing to xend's socket does.
        hop = tls.Hop(self.connection, outward=False, is_cut=lambda: wire.cut or wire.dead)
        try:
            self.restore(Restore(self.domains, hop.near, hop.ends), hop.close)
        finally:
            hop.close()

    def op_receive(self):
        self.answer("ready", "receive")
        self.open = False
        restore = Restore(self.domains, self.connection)
        # What the kernel sends for a process that has ended gets through even a link that is cut: so a relay
        # may see a target's xend die that it could not see on a real network.
        if self.restore(restore, restore.hold_answer):
            # Nobody of xend's own reads it: a source that sends live has closed by now.
            self.relocation.layout.pause("acknowledge")
            restore.hold_answer()
            self.answer("ok")

    def restore(self, restore, before_refusal):
        """Take the guest in; return whether it runs here. The sender is told why if it does not."""
        try:
            restore.run()
            return True
        except XendError as error:
            log_restore_failed(self.log, error)
            before_refusal()
            self.refuse(error.kind, str(error))
            return False


def restore_file(domains, path, paused=False):
    """Let a guest go on from a file that xm save has written, or that is the same; return its id.

    Raise XendError, with the text that xm is given.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise XendError("can't read guest state file %s: %s" % (path, error.strerror)) from None
    try:
        return Restore(domains, stream.File(descriptor), paused=paused).run()
    except XendError as error:
        log_restore_failed(domains.log, error)
        # XendDomain.domain_restore_fd of 3.0.3 and 3.1 catches all and says but this.
        if domains.key < (3, 2):
            raise XendError("Restore failed") from None
        raise
    finally:
        os.close(descriptor)


def log_restore_failed(log, error):
    log.failure(
        "XendDomain:1194", "Restore failed", "%s: %s" % (error.label, error), *RESTORE_FRAMES
    )


class Restore:
    """Taking in one guest from a connection, or from a stream.File.

    ends -- the addresses of the connection when it is a stand-in
    paused -- whether it shall not run yet
    """

    def __init__(self, domains, connection, ends=None, paused=False):
        self.domains = domains
        self.layout = domains.layout
        self.hypervisor = domains.hypervisor
        self.log = domains.log
        self.connection = connection
        self.ends = ends
        # What the scripts of the disks have said, by the number of the device, and those of the network
        # cards, by class and number; why qemu-dm has ended.
        self.answers = {}
        self.card_answers = {}
        self.device_model_failure = None
        self.paused = paused
        self.relocating = not isinstance(connection, stream.File)
        if self.relocating:
            sender = ends[1] if ends else connection.getpeername()
            self.wire = network.Wire(self.layout, self.layout.host_at(sender[0]))
        else:
            self.wire = network.Wire()

    def run(self):
        """Make the guest run here; return its id, raise XendError with what the sender is told."""
        signature = self.read(len(SIGNATURE), "signature read")
        if signature != SIGNATURE:
            raise XendError(
                "not a valid guest state file: found '%s'" % signature.decode("latin-1")
            )
        length = LENGTH.unpack(self.read(LENGTH.size, "config size read"))[0]
        config = sxp.decode_text(self.first_value(self.read(length, "config read")))
        self.log.debug("XendDomainInfo:239", "XendDomainInfo.restore(%r)" % (config,))
        name, uuid = sxp.child_value(config, "name"), sxp.child_value(config, "uuid")
        if not self.relocating:
            self.refuse_second(name, uuid)
        self.domains.check_name_is_free(name, uuid)
        domid = self.build_shell(config)
        try:
            self.fill(domid, config)
        except XendError as error:
            self.domains.destroy_domain(domid)
            self.layout.pause("destroy")
            self.log.info("XendDomain:1126", "Domain %s (%s) deleted." % (name, uuid))
            self.log.failure("XendCheckpoint:357", str(error), "%s: %s" % (error.label, error))
            raise
        if self.relocating and sxp.child_value(config, "change_home_server") == "True":
            self.log.debug("XendDomain:1186", "Migrating new managed domain: %s: %s" % (name, uuid))
            self.domains.managed.save(description.live(self.hypervisor.domain(domid), ""))
        return domid

    def refuse_second(self, name, uuid):
        """Raise VmError when a domain with this name or uuid runs here already.

        Before 3.3 only a name is looked for (`check_name_is_free`), and in 3.1 and 3.2 not the guest's own:
        a second copy of a guest that runs is started (XendCheckpoint.restore, `if not relocating`).
        """
        if self.domains.key < (3, 3):
            return
        for domain in self.hypervisor.domains():
            if name == domain["xend_name"] or uuid == domain["uuid"]:
                raise VmError("Domain '%s' already exists with ID '%d'" % (name, domain["domid"]))

    def hold_answer(self):
        """Wait until what is said to the sender gets through to it; raise OSError when it never does."""
        self.wire.hold(lambda: not self.layout.abandoned())

    def read(self, count, what):
        data = b""
        while len(data) < count:
            try:
                arrived = self.wire.wait(self.connection, lambda: not self.layout.abandoned())
                piece = self.connection.recv(count - len(data)) if arrived else b""
            except ConnectionResetError as error:
                raise XendError("[Errno %d] %s" % (error.errno, error.strerror)) from None
            if not piece:
                self.log.write(
                    "ERROR",
                    "XendCheckpoint:53",
                    "read_exact: EOF trying to read %d (buf='%s')"
                    % (count - len(data), data.decode("latin-1")),
                )
                raise XendError("not a valid guest state file: " + what)
            data += piece
        return data

    def first_value(self, text):
        parser = sxp.Parser(self.layout.version)
        try:
            parser.feed(text)
        except sxp.ParseError as error:
            raise XendError(error.message) from None
        if not parser.values:
            raise XendError("not a valid guest state file: config parse")
        return parser.values[0]

    def build_shell(self, config):
        """Create the paused domain that is to be filled; return its id."""
        self.log.debug("XendDomainInfo:2504", "XendDomainInfo.constructDomain")
        self.domains.balloon(SHELL_KIB)
        domid = self.hypervisor.reserve_domid()
        self.log.debug("XendDomain:476", "Adding Domain: %d" % domid)
        # xend lists the domain with the sender's figures until there is something to look at.
        self.domains.announce(domid, config)
        try:
            self.layout.pause("shell")
            for kind, *items in devices(config):
                settings = {item[0]: item[1] for item in items if len(item) > 1}
                self.log.info("XendDomainInfo:2363", "createDevice: %s : %r" % (kind, settings))
                uname = settings.get("uname", "")
                if kind in block.CLASSES and not block.is_valid(self.layout, uname):
                    raise VmError('Block device type "%s" is invalid.' % uname.partition(":")[0])
            self.hypervisor.create(
                domid,
                sxp.child_value(config, "name"),
                sxp.child_value(config, "uuid"),
                int(sxp.child_value(config, "memory")),
                int(sxp.child_value(config, "vcpus")),
                1,
                config,
                float(sxp.child_value(config, "start_time", time.time())),
                kib=0,
            )
            # udev runs the scripts now; xend looks at their answers when all memory is there.
            self.plug_disks(domid, config)
            self.card_answers = hotplug.run(
                self.layout, config, domid, self.domains.config.get("vif-script")
            )
        finally:
            self.domains.unannounce(domid)
        return domid

    def plug_disks(self, domid, config):
        """Run the scripts of the disks, as udev does when xend has created a device; nobody asks yet."""
        scripts = block.Scripts(
            self.layout, self.hypervisor, domid, sxp.child_value(config, "uuid")
        )
        backends = []
        for number, (kind, *items) in enumerate(devices(config)):
            if kind not in block.CLASSES:
                continue
            settings = {item[0]: item[1] for item in items if len(item) > 1}
            self.answers[number] = scripts.add(kind, settings)
            if self.answers[number].backend:
                backends.append(self.answers[number].backend)
                self.hypervisor.update(domid, backends=backends)

    def fill(self, domid, config):
        """Receive the memory, connect the guest and let it run; raise XendError."""
        image = next(item[1] for item in config[1:] if item[0] == "image")
        if sxp.child_value(image, "nomigrate", "0") != "0":
            raise XendError("cannot restore non-migratable domain")
        if image[0] == "hvm":
            self.look_for_images(config)
        self.log.debug(
            "XendCheckpoint:278",
            "restore:shadow=0x%x, _static_max=0x%x, _static_min=0x0, "
            % (
                int(sxp.child_value(config, "shadow_memory", 0)),
                int(sxp.child_value(config, "maxmem", 0)) << 20,
            ),
        )
        needed_kib = memory.domain_kib(config, self.layout.version)
        self.domains.balloon(needed_kib + self.domains.tables_kib(config, restoring=True))
        # Nobody is kept from it until xc_restore takes it: two guests that come at once may both be let in.
        memory_kib = int(sxp.child_value(config, "memory")) * memory.KIB_PER_MIB
        self.hypervisor.update(domid, allocated_kib=needed_kib - memory_kib)
        frames = self.receive_memory(domid)
        for kind in ("store", "console"):
            if kind not in frames:
                raise XendError("Could not read %s MFN" % kind)
        self.log.debug("XendDomainInfo:3021", "XendDomainInfo.completeRestore")
        self.start_device_model(domid, config, image)
        domain = self.hypervisor.update(domid, completed=self.device_model_failure is None)
        self.log.debug("XendDomainInfo:3034", "XendDomainInfo.completeRestore done")
        try:
            self.wait_for_devices(domain)
        except VmError as error:
            # Up to 3.4 a guest goes on without a device that was not connected.
            if not (3, 1) <= self.domains.key < (4, 0):
                raise
            self.log.failure("XendCheckpoint:341", str(error), "VmError: %s" % error)
        self.layout.pause("unpause")
        if not self.paused:
            self.hypervisor.unpause(domid)
        if self.device_model_failure and self.domains.key >= (3, 4):
            self.crash(domain)

    def start_device_model(self, domid, config, image):
        """Start qemu-dm of a HVM guest; it ends at once when it cannot listen."""
        if image[0] != "hvm":
            return
        self.log.info(
            "image:418", "spawning device models: %s" % sxp.child_value(image, "device_model")
        )
        failure = device_model.start(
            self.layout, domid, config, self.domains.config.get("vnc-listen")
        )
        name = sxp.child_value(config, "name")
        with open(self.layout.log.with_name("qemu-dm-%s.log" % name), "a") as log:
            log.write("domid: %d\n%s" % (domid, failure + "\n" if failure else ""))
        self.device_model_failure = failure

    def crash(self, domain):
        """Do what xend does when a device model has ended: 3.4 image._dmfailed.

        With `on_crash restart` the guest begins anew, its device model fails as this one did, and then
        xend gives it up; a guest that is to be preserved is not simulated.
        """
        name = domain["name"]
        self.log.warning(
            "image:552",
            "domain %s: device model failure: pid %d: exited with nonzero status 1; "
            "see /var/log/xen/qemu-dm-%s.log" % (name, os.getpid(), name),
        )
        self.log.warning(
            "XendDomainInfo:2060",
            "Domain has crashed: name=%s id=%d." % (name, domain["domid"]),
        )
        self.log.write(
            "ERROR",
            "XendDomainInfo:2199",
            "VM %s restarting too fast (Elapsed time: 0.9 seconds). Refusing to restart to avoid loops."
            % name,
        )
        self.domains.destroy_domain(domain["domid"])

    def receive_memory(self, domid):
        """Run xc_restore to its end; return {"store": mfn, "console": mfn} as far as it said."""
        descriptor = self.connection.fileno()
        arguments = [str(number) for number in (descriptor, domid, 1, 2, 0, 0, 0, 0, 1)]
        command = "/usr/lib/xen/bin/xc_restore " + " ".join(arguments)
        self.log.debug("XendCheckpoint:305", "[xc_restore]: " + command)
        frames = {}

        def handle(line, _child):
            found = MFN.match(line)
            if found:
                frames[found.group(1)] = int(found.group(2))

        code = fork_helper(
            self.layout, self.log, "xc_restore", arguments, descriptor, handle, self.ends
        )
        if code != 0:
            raise XendError(command + " failed")
        return frames

    def look_for_images(self, config):
        """Raise VmError when a file is missing that qemu-dm is to be given; PV guests have none."""
        for _kind, *items in devices(config):
            uname = sxp.child_value([None] + items, "uname", "")
            if uname.startswith("file:") and not self.layout.path(uname[len("file:") :]).is_file():
                raise VmError("Disk image does not exist: %s" % uname[len("file:") :])

    def wait_for_devices(self, domain):
        """Wait until the devices are connected; raise VmError for one that cannot be."""
        cards = dict.fromkeys(hotplug.CARDS, 0)
        for number, (kind, *_items) in enumerate(devices(domain["config"])):
            self.log.debug("DevController:139", "Waiting for devices %s." % kind)
            if kind in block.CLASSES:
                self.wait_for_disk(number, kind)
            elif kind in cards:
                self.wait_for_card(kind, cards[kind])
                cards[kind] += 1
        self.layout.pause("wait-for-devices")

    def wait_for_disk(self, number, kind):
        """Raise VmError with what the disk's script has said, unless it has attached the disk."""
        answer = self.answers[number]
        if answer.status == "connected":
            return
        text = " Hotplug scripts not working."
        if answer.status is not None:
            text = ("\n" if answer.status == "busy" else " ") + answer.text
        if answer.status:
            self.layout.pause("wait-for-devices")
        else:
            self.wait_in_vain()
        raise VmError(
            "Device %d (%s) could not be connected.%s" % (51712 + 16 * number, kind, text)
        )

    def wait_for_card(self, kind, number):
        answer = self.card_answers[kind, number]
        if answer.status == hotplug.CONNECTED:
            return
        if answer.status == hotplug.SILENT:
            self.wait_in_vain()
            text = "Hotplug scripts not working."
        else:
            self.layout.pause("wait-for-devices")
            text = answer.text or "Backend device not found."
        raise VmError("Device %d (%s) could not be connected. %s" % (number, kind, text))

    def wait_in_vain(self):
        """Wait for the answer of a script that gives none, as long as xend does."""
        limit_s = DEVICE_CREATE_S
        if self.domains.key >= (4, 0):
            limit_s = self.domains.config.get("device-create-timeout")
        time.sleep(limit_s * self.layout.time_scale)


def fork_helper(layout, log, role, arguments, descriptor, handle, ends=None):
    """Run xc_save or xc_restore with `descriptor`; return its exit status, negative for a signal.

    handle -- called with each line of its standard output and the process; what it raises goes on
              to the caller once the process has ended
    ends -- local and remote address of the connection that `descriptor` stands for
    """
    import subprocess

    child = subprocess.Popen(
        [str(layout.helpers / role)] + arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(descriptor,),
        env=dict(os.environ, **({ENDS: json.dumps(ends)} if ends else {})),
        text=True,
        encoding="latin-1",
    )

    def slurp():
        for line in child.stderr:
            log.info("XendCheckpoint:423", line.rstrip("\n"))

    thread = threading.Thread(target=slurp, daemon=True)
    thread.start()
    with child:
        try:
            for line in child.stdout:
                line = line.rstrip()
                log.debug("XendCheckpoint:394", line)
                handle(line, child)
        finally:
            # What it waits for will not come any more.
            with suppress(BrokenPipeError):
                child.stdin.close()
            thread.join()
    return child.wait()
