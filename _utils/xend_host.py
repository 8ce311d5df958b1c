"""
What this host shows of its xend: the process, when it started, what it listens on, who is connected,
whose memory is under way; and what it holds that xend needs for its start, or a guest that comes:
addresses, interfaces, free ports, scripts, TLS files.

Nothing is started, stopped or changed here, no other host is asked, and nothing knows Salt.
"""

import errno
import fcntl
import os
import re
import socket
import ssl
import stat
import struct
import time

PROC = "/proc"
PIECE = 1 << 12

# Two clocks were read at once when it took no longer than that; how often that is tried.
AT_ONCE_S, LOOKS = 0.005, 10

# States in /proc/net/tcp, from the kernel's net/tcp_states.h.
ESTABLISHED = "01"
SYN_SENT = "02"
FIN_WAIT1 = "04"
FIN_WAIT2 = "05"
CLOSE_WAIT = "08"
LAST_ACK = "09"
LISTEN = "0A"

# Of a guest that is received, and of one that is sent, see `transferring`.
RECEIVING = (ESTABLISHED, CLOSE_WAIT)
SENDING = (ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2, LAST_ACK)

# From linux/sockios.h.
SIOCGIFADDR = 0x8915

# How a program for xend's own Python begins, which may be as old as 2.4: where it finds xend's packages. xend
# looks into the first two folders itself (its xend and xm, 3.0.3 to 4.4); in Debian's packages they are below
# a folder of the version (/usr/lib/xen-4.1, /usr/lib/xen-3.2-1), and several versions may be installed, of
# which only that of the hypervisor works. A file system of the host below sys.argv[1] is looked at as well.
FIND_XEND = """
import glob
import sys

def folders_of_xend(root):
    try:
        parts = [open(root + "/sys/hypervisor/version/" + part).read().strip() for part in ("major", "minor")]
    except IOError:
        parts = ["*", "*"]
    found = [root + "/usr/lib/python", root + "/usr/lib64/python"]
    return found + glob.glob(root + "/usr/lib/xen-%s.%s*/lib/python" % tuple(parts))

for root in sys.argv[1:2] + [""]:
    sys.path += folders_of_xend(root)
"""


def in_xends_python(python, root, program, *arguments):
    """
    The command (a list) that runs a program with the Python of xend, which alone has xend's packages.

    python
        the option xend:python
    root
        the file system of the host, where the minion is in a container; else ""
    program
        its text, for Python 2.4 and later
    arguments
        texts, which it finds in sys.argv[2:]
    """
    return [python, "-c", FIND_XEND + program, root or ""] + list(arguments)


def xends_python_says(python, said):
    """
    What went wrong when a program was run with the Python of xend, for people.

    python
        the option xend:python
    said
        the last thing that it printed, or why it could not be run
    """
    return "xend's own Python, %s (option xend:python), says: %s" % (python, said)


def process(pidfile):
    """
    The xend process that PIDFILE names.

    xend writes the number of its serving process there, not that of the watchdog above it (xend 4.4
    SrvDaemon). Returns {"pid": int, "started": seconds since the epoch}, or None when there is no
    such file, no such process, or when the process is not xend (a stale file after a crash).
    `started` is the watchdog's start: xend reads its file before that one forks, and a child that
    it starts again later has the same settings.
    """
    try:
        pid = _number_in(pidfile)
        command = _command(pid)
        if b"xend" not in command:
            return None
        above = int(_stat(pid)[1])
        is_forked = above and _command(above) == command
        return {"pid": pid, "started": _started(above if is_forked else pid)}
    except (EnvironmentError, ValueError):
        return None


def _number_in(path):
    # From a FIFO in its place nothing would come, and a device may have no end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("%s is no file" % path)
        return int(os.read(descriptor, 64))
    finally:
        os.close(descriptor)


def _command(pid):
    # All processes of the host are asked for theirs, again and again, and a stream takes twice as long.
    descriptor = os.open("%s/%d/cmdline" % (PROC, pid), os.O_RDONLY)
    try:
        command = piece = os.read(descriptor, PIECE)
        while piece:
            piece = os.read(descriptor, PIECE)
            command += piece
        return command
    finally:
        os.close(descriptor)


def identity(pid):
    """
    Text that no other process has, before or after this one: the boot of the host, PID and its start in ticks
    since then. Returns None when there is no such process.

    What xend was asked to do by `xm` is done by a thread of the process that is named here (xend 4.4
    XMLRPCServer), and ends with it.
    """
    try:
        with open("%s/sys/kernel/random/boot_id" % PROC) as stream:
            boot = stream.read().strip()
        return "%s %d %s" % (boot, pid, _stat(pid)[19])
    except (EnvironmentError, IndexError):
        return None


def uptime_s():
    """
    Seconds since this host was booted, on a clock that nobody sets; None when it cannot be read.
    """
    try:
        with open("%s/uptime" % PROC) as stream:
            return float(stream.read().split()[0])
    except (EnvironmentError, ValueError, IndexError):
        return None


def _stat(pid):
    """
    The fields behind the command name, which stands in parentheses and may hold anything.
    """
    with open("%s/%d/stat" % (PROC, pid)) as stream:
        return stream.read().rpartition(")")[2].split()


def _started(pid):
    return _booted() + float(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")


def _booted():
    """
    When this host was booted, by the clock of its files. Both clocks are read at once: a busy host may leave
    this process waiting in between, and what was changed right after a start would pass for older.
    """
    found = []
    while len(found) < LOOKS:
        began = time.time()
        with open("%s/uptime" % PROC) as stream:
            up_s = float(stream.read().split()[0])
        now = time.time()
        found.append((now - began, now - up_s))
        if now - began < AT_ONCE_S:
            break
    return min(found)[1]


def listening(pid):
    """
    The IPv4 TCP addresses on which process PID listens, as a sorted list of "address:port".

    Returns None when this user may not look into that process.
    """
    sockets = _sockets(pid)
    if sockets is None:
        return None
    return _names(local for state, local, _ in sockets if state == LISTEN)


def transferring(pid, other_ports=()):
    """
    The peers of xend, process PID, with whom it may be exchanging a guest, as one look shows them.

    other_ports
        the ports on which it serves something else than relocation, see xend_options.other_ports: who is
        connected to these sends no guest. Every other port on which it listens counts

    Returns a dict of ``sources`` (who is connected to such a port), ``targets`` (to whom it has connected
    itself; lists of "address:port") and ``ports`` (on which it listens for guests, a list of ints); None
    when this user may not look into that process.

    While a guest is received, its sender stays connected to the relocation port. A sender that has sent
    everything closes its end; xend keeps its own until the guest runs (xend 4.4 relocate.op_receive), and
    the kernel shows that as CLOSE_WAIT. Not so with TLS: there xend closes its end as soon as the sender has,
    and connects and unpauses the guest only then (xend 4.2 xen.web.connection, recv2fd). xend connects to
    others only to send them a guest, and keeps that connection, closed by the other side or not, until its
    own copy is destroyed (xend 3.4 XendDomain.domain_migrate); in a live migration of xend 4.2 and later
    until the moment before (XendCheckpoint.save).
    """
    sockets = _sockets(pid)
    if sockets is None:
        return None
    listens = set(local[1] for state, local, _ in sockets if state == LISTEN)
    ports = listens - set(other_ports)
    sources = [remote for state, local, remote in sockets if state in RECEIVING and local[1] in ports]
    # A connection to a port on which it listens was opened by the peer.
    targets = [remote for state, local, remote in sockets if state in SENDING and local[1] not in listens]
    return {"ports": sorted(ports), "sources": _names(sources), "targets": _names(targets)}


def on_port(port, listening):
    """
    Those of a list of "address:port" that are on a port.
    """
    return [text for text in listening if text.rpartition(":")[2] == str(port)]


def connecting(pid):
    """
    The peers to which process PID is just opening a connection, unanswered so far, as a list of
    "address:port"; None when this user may not look into that process.

    xend waits so for a silent host: 30 s from 3.3 on, 127 s before, which is Linux's own limit (xend 4.4
    XendDomain._domain_migrate has settimeout, 3.1 domain_migrate has not).
    """
    sockets = _sockets(pid)
    if sockets is None:
        return None
    return _names(remote for state, _, remote in sockets if state == SYN_SENT)


def _names(endpoints):
    return sorted("%s:%d" % endpoint for endpoint in endpoints)


def _sockets(pid):
    """
    The IPv4 TCP sockets of a process, as a list of (state, local end, remote end); None when this user may
    not look into it. The kernel makes the list from all that there could be, so it is read once a look.
    """
    try:
        own = _inodes(pid)
        with open("%s/%d/net/tcp" % (PROC, pid)) as stream:
            lines = stream.readlines()[1:]
    except EnvironmentError:
        return None
    found = []
    for line in lines:
        fields = line.split()
        if fields[9] in own:
            found.append((fields[3], _endpoint(fields[1]), _endpoint(fields[2])))
    return found


def _inodes(pid):
    folder = "%s/%d/fd" % (PROC, pid)
    found = set()
    for name in os.listdir(folder):
        try:
            link = os.readlink(os.path.join(folder, name))
        except OSError:
            # Closed since it was listed.
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def _endpoint(text):
    address, port = text.split(":")
    # The kernel prints the address as one number in the machine's own byte order.
    return socket.inet_ntoa(struct.pack("=L", int(address, 16))), int(port, 16)


# The processes that carry the memory of a guest

HELPERS = (b"xc_save", b"xc_restore")

# An interpreter and its options stand in front of a helper that is a script.
IN_FRONT = 3


def transfers(root=""):
    """
    The helpers of xend that send or receive the memory of a guest now.

    root
        where the host's file system is: only helpers that lie there count, whether their path shows it or
        they see that folder as their own /; "": all

    Returns a list of {"what": "xc_save" or "xc_restore", "domid": int, "pid": int}, in the order of pids; two
    for a process that may carry either of two domains.
    """
    found = []
    for pid, path, rest in _programs(HELPERS, root):
        what = str(os.path.basename(path).decode("ascii"))
        for domid in _domids(rest):
            found.append({"what": what, "domid": domid, "pid": pid})
    return found


def migrating_commands(command="xm", root=""):
    """
    The pids of the `xm migrate` that run now: each may have asked xend to send a guest, or be about to.

    command
        the name or path of xm
    root
        as for `transfers`
    """
    names = set([b"xm", os.path.basename(_bytes(command))])
    return [pid for pid, _, rest in _programs(names, root) if b"migrate" in rest]


def _programs(names, root):
    """
    (pid, path, arguments) of the processes of this host that run a program of one of these names.
    """
    root = root.rstrip("/")
    folder = _bytes(root) + b"/"
    named = re.compile(b"|".join(map(re.escape, names))).search
    for pid in sorted(int(name) for name in os.listdir(PROC) if name.isdigit()):
        try:
            command = _command(pid)
        except EnvironmentError:
            # Ended since it was listed.
            continue
        if not named(command):
            continue
        # Each argument ends with a NUL; of a zombie there are none.
        arguments = command.split(b"\0")[:-1]
        for position, path in enumerate(arguments[: IN_FRONT + 1]):
            if os.path.basename(path) in names and (
                not root or path.startswith(folder) or os.path.exists(folder + path.lstrip(b"/"))
            ):
                yield pid, path, arguments[position + 1 :]
                break


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _domids(arguments):
    """
    The domains that the arguments of xc_save or xc_restore may mean; none when these are no such arguments.

    The domain follows the descriptor of the connection (xend 3.1, 3.4, 4.4 XendCheckpoint). Early 3.0 puts a
    handle of the hypervisor before both, which makes six arguments; but so many has xc_save in patched xends
    of 4.2 too, where a limit follows the domain. Then both are named: a domain that is taken for one under
    way is only left alone.
    """
    candidates = arguments[1:3] if len(arguments) == 6 else arguments[1:2]
    return [int(text) for text in candidates if text.isdigit()]


# What xend needs


def is_local(address):
    """
    Whether an IPv4 address is one of this host, which is when a socket can be bound to it.
    """
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe.bind((address, 0))
        return True
    except socket.error as exc:
        return exc.errno != errno.EADDRNOTAVAIL
    finally:
        probe.close()


# What programs of this host can listen on, and run


def is_own(address, root=""):
    """
    Whether a program of the host could listen on an IPv4 address.

    root
        where the host's file system is; the minion may see another network than the host then

    Returns None when that cannot be told.
    """
    # Then any address can be bound.
    if (_first(root, ("/proc/sys/net/ipv4/ip_nonlocal_bind",)) or "").strip() == "1":
        return True
    networks = own_networks(_first(root, ["/proc/%s/fib_trie" % net for net in NETS]))
    shown = None
    if networks is not None:
        number = _number(address)
        shown = bool([1 for own, bits in networks if (number ^ _number(own)) >> (32 - bits) == 0])
    return shown if root else shown or is_local(address)


# The network that the first process sees is the host's; Linux 2.6.24 and older have only one.
NETS = ("1/net", "net")


def own_networks(fib_trie):
    """
    The addresses that are local, from the text of /proc/net/fib_trie, as a list of (address, bits); None
    for no text. Kernels with another kind of table (RHEL 5 has a hash) have no such file.
    """
    if fib_trie is None:
        return None
    found, address = [], None
    for line in fib_trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"] and len(words) > 1:
            address = words[1]
        elif len(words) > 2 and words[2] == "LOCAL" and address and (address, int(words[0][1:])) not in found:
            found.append((address, int(words[0][1:])))
    return found


def _number(address):
    return struct.unpack("!L", socket.inet_aton(address))[0]


def taken(root=""):
    """
    The TCP ports that any program of the host listens on, as a list of [address, port]; of IPv6, which
    takes IPv4 too, only those on all addresses, as 0.0.0.0.

    root
        where the host's file system is

    Returns None when it cannot be seen.
    """
    tables = [_first(root, ["/proc/%s/%s" % (net, name) for net in NETS]) for name in ("tcp", "tcp6")]
    if tables[0] is None:
        return None
    found = []
    for line in [line for table in tables for line in (table or "").splitlines()]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        if len(address) == 8:
            pair = list(_endpoint(fields[1]))
        elif address.strip("0") == "":
            pair = ["0.0.0.0", int(port, 16)]
        else:
            continue
        if pair not in found:
            found.append(pair)
    return found


def _first(root, paths):
    """
    The text of the first of these files that there is; None when there is none.
    """
    for path in paths:
        try:
            with open(root + path) as stream:
                return stream.read()
        except EnvironmentError:
            continue
    return None


def script_problem(path, root, follow):
    """
    Why the host could not run a script, as words for "PATH, which ..."; None when it could, or when that
    cannot be told.

    path
        absolute
    root
        where the host's file system is
    follow
        a function from both to where the host's links lead, see xm_disks.place_of
    """
    found = [_script_problem(where) for where in (follow(path, root), root + path)]
    return None if None in found else found[-1]


def _script_problem(path):
    try:
        mode = os.stat(path).st_mode
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return "is a link to nothing" if os.path.islink(path) else "is missing"
        return "is a link to itself" if exc.errno == errno.ELOOP else None
    if not stat.S_ISREG(mode):
        return "is a folder" if stat.S_ISDIR(mode) else "is no file"
    return None if mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH) else "is not executable"


def cannot_listen_on(name, version=None):
    """
    Why xend could not listen on an address that the configuration gives as NAME.

    name
        an IPv4 address, a host name or an interface name; empty for all addresses
    version
        the version of xend as a tuple of ints; None when it is not known

    Returns a sentence, or None when nothing is wrong. An interface goes before a host of the same name,
    from xend 4.1 on (xend 4.2 tcp.py, getIfAddr); the interface must have an IPv4 address then.
    """
    if not name:
        return None
    has_interfaces = version is None or version >= (4, 1)
    if has_interfaces and _has_address(name):
        return None
    try:
        address = socket.gethostbyname(name)
    except (socket.error, UnicodeError) as exc:
        return (
            "the address %s is neither an IPv4 address, nor an interface with one (which xend knows "
            "from 4.1 on), nor a name that resolves (%s)" % (name, exc)
        )
    if is_local(address):
        return None
    shown = name if name == address else "%s (%s)" % (name, address)
    return "the address %s is not one of this host" % shown


def _has_address(interface):
    """
    Whether an interface, or an alias such as eth0:1, has an IPv4 address.
    """
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(asker.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode("utf-8")[:15]))
        return True
    except EnvironmentError:
        return False
    finally:
        asker.close()


def tls_files(key_file, cert_file):
    """
    What is wrong with the files of a TLS server.

    Returns (reasons why xend would not start or serve nobody, warnings): two lists of sentences.
    """
    reasons, warnings = [], []
    for path in (key_file, cert_file):
        try:
            if stat.S_ISFIFO(os.stat(path).st_mode):
                # It would be waited for, by xend too.
                raise IOError(errno.EINVAL, "is a FIFO, not a file", path)
            open(path, "rb").close()
        except EnvironmentError as exc:
            reasons.append("%s: %s" % (path, exc.strerror))
    if reasons:
        return reasons, warnings
    mode = stat.S_IMODE(os.stat(key_file).st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.append(
            "%s can be read or changed by others than its owner (mode %03o): chmod 600 it, and make a "
            "new key if somebody may have read it" % (key_file, mode)
        )
    if hasattr(ssl, "SSLContext"):
        context = ssl.SSLContext(getattr(ssl, "PROTOCOL_TLS_SERVER", ssl.PROTOCOL_SSLv23))
        try:
            # Keys and signatures that were good enough in xend's time are refused by default today.
            context.set_ciphers("ALL:@SECLEVEL=0")
        except ssl.SSLError:
            # OpenSSL before 1.1.0 has no security levels, and refuses nothing old.
            context.set_ciphers("ALL")
        try:
            # The empty password keeps an encrypted key from asking for one, as xend would at start.
            context.load_cert_chain(cert_file, key_file, lambda: b"")
        except (EnvironmentError, ValueError) as exc:
            reasons.append(
                "%s and %s are no certificate and its key, unencrypted and in PEM format (%s)"
                % (cert_file, key_file, exc)
            )
    return reasons, warnings
