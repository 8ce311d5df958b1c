"""The sending half of a migration: xend's checks, the connection, and giving the guest away.

Here: what `xm migrate` makes xend do on the source. Carrying the memory is helpers.py's work, the
target's half is in relocation.py.
"""

import errno
import os
import re
import select
import socket
import time
from contextlib import suppress

from tests.lab import description, memory, network, options, relay, sxp, tls
from tests.lab.domains import DOM0_NAMES, MIGRATING, XendError, devices, load_options
from tests.lab.helpers import WEDGED
from tests.lab.layout import DELAYS_S, STALL_LIMIT_S
from tests.lab.relocation import IPV4, fork_helper
from tests.lab.stream import LENGTH, SIGNATURE

LIVE_FLAG, HVM_FLAG = 1, 4
TARGET_POLL_S = 0.05
# fault of layout.FAULTS, what connecting fails with, whether it breaks the host's own connections
NETWORK_FAULTS = (
    ("unreachable", errno.ENETUNREACH, True),
    ("no-route", errno.EHOSTUNREACH, True),
    ("refuse", errno.ECONNREFUSED, False),
)
# Only a text without an apostrophe passes: that is why "name in use" never reaches the sender.
TARGET_ERROR = re.compile(r"^\(err\s\(type\s(.+)\)\s\(value\s'(.+)'\)\)")
SAVE_FRAMES = (
    ("XendCheckpoint.py", 146, "save", "forkHelper(cmd, fd, saveInputHandler, False)"),
    ("XendCheckpoint.py", 411, "forkHelper", 'raise XendError("%s failed" % string.join(cmd))'),
)


class Wedged(XendError):
    """A second migration of a domain that was being migrated already has got nowhere."""


def migrate(domains, name, target, live, port, node, ssl, change_home_server=False):
    """Move a domain to `target`; return when it is destroyed here, raise XendError, NoDomain.

    name -- name or id as xm was given it
    port -- the target's relocation port; 0: this host's own setting
    ssl -- True, or None for this host's own setting
    change_home_server -- whether the target shall manage the domain instead of this host
    """
    if str(name) in DOM0_NAMES:
        raise XendError("Cannot migrate privileged domain %s" % name)
    domain = domains.find(name)
    if domains.key >= (3, 3):
        if domain["paused"] or domain["suspended"]:
            raise XendError("Domain is not running")
        if change_home_server and domain["uuid"] not in domains.managed:
            raise XendError("Domain is not a managed domain")
    overhead_kib = memory.live_overhead_kib(domain["config"])
    if live and overhead_kib > 0:
        domains.balloon(overhead_kib)
    if domains.key >= (3, 3):
        if ssl is None:
            ssl = domains.config.get("xend-relocation-ssl")
        if ssl and domains.layout.has_fault("no-openssl"):
            raise XendError("No module named OpenSSL")
    port = port or domains.config.get("xend-relocation-ssl-port" if ssl else "xend-relocation-port")
    connection = connect(domains, target, port, ssl)
    hop = tls.Hop(connection, outward=True) if ssl else None
    peer = peer_behind(domains.layout, connection, target)
    try:
        try:
            Save(
                domains,
                domain,
                hop.near if hop else connection,
                live,
                hop and hop.ends,
                peer,
                change_home_server,
            ).run()
        finally:
            if hop:
                hop.close()
    except Wedged:
        domains.leaked.append(connection)
        raise
    except (XendError, OSError) as error:
        said = with_target_error(domains, connection, target, peer, error)
        connection.close()
        raise XendError(said) from None
    connection.close()


def peer_at(layout, target):
    """Return the Layout of the host that `target` names on this host, or None."""
    address = layout.resolve(target)
    return layout.host_at(address) if address else None


def peer_behind(layout, connection, target):
    """Return the Layout of the host that a connection to `target` leads to, maybe by a relay, or None."""
    if layout.resolve(target) != layout.loopback:
        return peer_at(layout, target)
    ends = ends_beyond(layout, connection)
    return ends and layout.host_at(ends[1][0])


def ends_beyond(layout, connection):
    """Return the ends of a connection as its target sees them; None when that cannot be said."""
    try:
        return relay.beyond(layout, connection.getsockname(), connection.getpeername())
    except OSError:
        return None


def words(error):
    """Return an OSError as Python 2 prints it."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    return "[Errno %d] %s" % (error.errno, os.strerror(error.errno))


def connect(domains, target, port, ssl):
    """Return a connection on which the target has been told to receive; raise XendError."""
    connection = reach(domains, target, port, ssl)
    # Only the plain way has a time-out, and only from 3.3 on.
    if ssl or domains.key < (3, 3):
        connection.settimeout(None)
    try:
        if ssl:
            connection = tls.connect(connection)
        connection.sendall(b"sslreceive\n" if ssl else b"receive\n")
        if connection.gettimeout() is not None and domains.layout.resolve(target) == domains.layout.loopback:
            wait_behind_relay(domains.layout, connection)
        connection.recv(80)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise XendError(ssl_words(error) if ssl else "can't connect: " + words(error)) from None
    return connection


def wait_behind_relay(layout, connection):
    """Wait for the first word of who is behind a relay; raise TimeoutError when there is none in time.

    Who that is shows only when the relay has connected to it.
    """
    began = time.monotonic()
    while not select.select([connection], [], [], TARGET_POLL_S)[0]:
        ends = ends_beyond(layout, connection)
        peer, port = (layout.host_at(ends[1][0]), ends[1][1]) if ends else (None, None)
        limit_s = DELAYS_S["connect-timeout"] if peer is None else peer_patience_s(layout, peer, port)
        if time.monotonic() - began > limit_s:
            raise TimeoutError


def ssl_words(error):
    """Return how pyOpenSSL tells that a handshake has failed."""
    name = errno.errorcode.get(error.errno) if isinstance(error, ConnectionError) else None
    return "SSL error: %s" % ((error.errno, name) if name else (-1, "Unexpected EOF"),)


def reach(domains, target, port, ssl):
    """Return a new connection to the target's port; raise XendError."""
    layout = domains.layout
    try:
        address = route(domains, target)
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # 3.2 and older wait for a mute peer as long as the peer likes.
            patient = ssl or domains.key < (3, 3)
            connection.settimeout(None if patient else patience_s(layout, target, port))
            source = layout.loopback if address == layout.loopback else layout.address
            connection.bind((source, 0))
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
    except OverflowError:
        raise XendError("getsockaddrarg: port must be 0-65535.") from None
    except OSError as error:
        raise XendError("can't connect: " + words(error)) from None
    return connection


def patience_s(layout, target, port):
    """Return how long xend, which speaks no TLS, waits for the target's first word.

    Only a target that shall not speak is waited for by the clock of the host, which may run fast: any other
    one has the time of a real one, because the machine of a test may be slow.
    """
    if layout.resolve(target) == layout.loopback:
        # Whoever listens there may be a relay, which has nothing to say of its own.
        return max(DELAYS_S["connect-timeout"], layout.delay_s("connect-timeout"))
    return peer_patience_s(layout, peer_at(layout, target), port)


def peer_patience_s(layout, peer, port):
    silent = (
        peer is None
        or peer.has_fault("mute")
        or peer.has_fault("drop-syn")
        or network.Wire(layout, peer).cut
    )
    if silent or port == tls_port(peer):
        return layout.delay_s("connect-timeout")
    return max(DELAYS_S["connect-timeout"], layout.delay_s("connect-timeout"))


def tls_port(layout):
    """Return the port where a host waits for a word of TLS, None where there is none."""
    try:
        return load_options(layout).listen().get("ssl", [None])[0]
    except (OSError, options.OptionError, sxp.ParseError):
        return None


def route(domains, target):
    """Return the address to connect to, or fail as the network would; raise OSError, XendError."""
    layout = domains.layout
    address = layout.resolve(target)
    if address is None and not IPV4.match(target):
        raise XendError("can't connect: [Errno -2] Name or service not known")
    if address in (layout.address, layout.loopback):
        return address
    peer = layout.host_at(address) if address else None
    if peer is None:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for name, number, breaks_own in NETWORK_FAULTS:
        if peer.has_fault(name) or breaks_own and layout.has_fault(name):
            raise OSError(number, os.strerror(number))
    if peer.has_fault("drop-syn") or peer.link().get("cut") or layout.link().get("cut"):
        if domains.key < (3, 3):
            layout.pause("connect-timeout-kernel")
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        layout.pause("connect-timeout")
        raise TimeoutError
    return address


def with_target_error(domains, connection, target, peer, error):
    """Return what xm says: the target's own error when it sent one that xend understands."""
    own = str(error) if isinstance(error, XendError) else words(error)
    if domains.key < (4, 0):
        return own
    if network.Wire(domains.layout, peer).cut:
        domains.layout.pause("target-error")
        return own
    found = TARGET_ERROR.match(last_words(connection, domains.layout, peer))
    return "%s (from %s)" % (found.group(2), target) if found else own


def last_words(connection, layout, peer):
    """Return what a target says of its failure, "" when it says nothing.

    One that goes on receiving will say nothing, and is waited for by the clock of the host. One that does not
    may be slow to speak when the machine is busy, and gets the time of a real one.
    """
    began = time.monotonic()
    try:
        connection.settimeout(TARGET_POLL_S)
        while True:
            goes_on = peer is None or "xc_restore" in peer.roles()
            limit_s = layout.delay_s("target-error") if goes_on else DELAYS_S["target-error"]
            try:
                return connection.recv(1024).decode("latin-1")
            except TimeoutError:
                if time.monotonic() - began > limit_s:
                    return ""
    except OSError:
        return ""


class Save:
    """Giving one domain away over a connection to the host `peer`.

    ends -- local and remote address of the connection when it is a stand-in, else None
    """

    def __init__(self, domains, domain, connection, live, ends, peer, change_home_server):
        self.domains = domains
        self.layout = domains.layout
        self.hypervisor = domains.hypervisor
        self.log = domains.log
        self.domain = domain
        self.domid = domain["domid"]
        self.name = domain["xend_name"]
        self.connection = connection
        self.live = live
        self.ends = ends
        self.peer = peer
        self.change_home_server = change_home_server

    def run(self):
        """Send the domain and destroy it here; raise XendError, OSError after resuming it."""
        # A refused peer is noticed here at the earliest, before anything is logged or renamed.
        self.connection.sendall(SIGNATURE)
        config = description.to_send(self.domain, self.layout.version, self.change_home_server)
        self.hypervisor.update(self.domid, xend_name=MIGRATING + self.name)
        try:
            self.connection.sendall(LENGTH.pack(len(config)))
            self.connection.sendall(config)
            self.save_memory()
            # Older ones close it when all is over (XendCheckpoint.save, XendDomain.domain_migrate). That the
            # connection is broken by now keeps none from destroying the guest.
            if self.live and self.domains.key >= (4, 1):
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
            self.destroy()
        except (XendError, OSError) as error:
            text = (
                ("XendError: " + str(error))
                if isinstance(error, XendError)
                else ("OSError: " + words(error))
            )
            # 3.0 only gives the name back: a guest that has suspended itself stays so.
            resumes = self.domains.key >= (3, 1)
            self.log.failure(
                "XendCheckpoint:185",
                "Save failed on domain %s (%d)%s."
                % (self.name, self.domid, " - resuming" if resumes else ""),
                text,
                *SAVE_FRAMES,
            )
            if resumes:
                self.log.debug(
                    "XendDomainInfo:3146", "XendDomainInfo.resumeDomain(%d)" % self.domid
                )
                self.hypervisor.resume(self.domid)
            self.hypervisor.update(self.domid, xend_name=self.name)
            raise

    def save_memory(self):
        hvm = any(item[0] == "image" and item[1][0] == "hvm" for item in self.domain["config"][1:])
        descriptor = self.connection.fileno()
        flags = (LIVE_FLAG if self.live else 0) | (HVM_FLAG if hvm else 0)
        arguments = [str(number) for number in (descriptor, self.domid, 0, 0, flags)]
        command = "/usr/lib/xen/bin/xc_save " + " ".join(arguments)
        self.log.debug("XendCheckpoint:124", "[xc_save]: " + command)
        code = fork_helper(
            self.layout, self.log, "xc_save", arguments, descriptor, self.handle, self.ends
        )
        if code == WEDGED:
            raise Wedged("timed out")
        if code != 0:
            raise XendError(command + " failed")

    def handle(self, line, child):
        if line != "suspend":
            return
        self.log.debug("XendCheckpoint:127", "In saveInputHandler suspend")
        self.log.debug("XendCheckpoint:129", "Suspending %d ..." % self.domid)
        self.log.debug("XendDomainInfo:526", "XendDomainInfo.shutdown(suspend)")
        if self.wait_for_suspend():
            self.log.info(
                "XendDomainInfo:2084",
                "Domain has shutdown: name=%s id=%d reason=suspend."
                % (MIGRATING + self.name, self.domid),
            )
        self.log.info("XendCheckpoint:135", "Domain %d suspended." % self.domid)
        try:
            child.stdin.write("done\n")
            child.stdin.flush()
        except BrokenPipeError:
            return
        self.log.debug("XendCheckpoint:144", "Written done")

    def wait_for_suspend(self):
        """Wait until the guest has suspended itself, which a paused one never does.

        Return whether it has: it may be gone. Raise XendError when it does not react; before 4.0
        xend had no such limit.
        """
        self.layout.pause("suspend")
        limit_s = STALL_LIMIT_S
        if self.domains.key >= (4, 0):
            limit_s = self.layout.delay_s("suspend-timeout")
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            domain = self.hypervisor.domain(self.domid)
            if domain is None:
                return False
            if not domain["paused"] and not self.layout.has_fault("ignore-suspend"):
                return self.hypervisor.suspend(self.domid) is not None
            time.sleep(0.02)
        raise XendError("Timeout waiting for domain %d to suspend" % self.domid)

    def destroy(self):
        domain = self.hypervisor.domain(self.domid)
        self.log.debug("XendDomainInfo:3082", "XendDomainInfo.destroy: domid=%d" % self.domid)
        if domain and domain["uuid"] in self.domains.managed:
            if self.change_home_server:
                self.domains.managed.forget(domain["uuid"])
            else:
                self.domains.managed.save(description.live(dict(domain, xend_name=self.name), ""))
        self.hypervisor.destroy(self.domid)
        if self.peer is not None and self.peer.link().get("cut_after_destroy"):
            self.peer.cut_link()
        self.layout.pause("destroy")
        self.log.debug("XendDomainInfo:2407", "Destroying device model")
        self.log.debug("XendDomainInfo:2414", "Releasing devices")
        for number, (kind, *_items) in enumerate(devices(domain["config"]) if domain else ()):
            self.log.debug("XendDomainInfo:2420", "Removing %s/%d" % (kind, number))
            self.log.debug(
                "XendDomainInfo:1278",
                "XendDomainInfo.destroyDevice: deviceClass = %s, device = %s/%d"
                % (kind, kind, number),
            )
