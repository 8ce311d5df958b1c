"""
What this host shows of its xend: the process, when it started, what it listens on, who is connected.

All of it is read from /proc; nothing is started, stopped or asked here, and nothing knows Salt.
"""

import os
import socket
import struct
import time

PROC = "/proc"

# States in /proc/net/tcp, from the kernel's net/tcp_states.h.
ESTABLISHED = "01"
LISTEN = "0A"


def process(pidfile):
    """
    The xend process that PIDFILE names.

    xend writes the number of its serving process there, not that of the watchdog above it (xend 4.4
    SrvDaemon). Returns {"pid": int, "started": seconds since the epoch}, or None when there is no
    such file, no such process, or when the process is not xend (a stale file after a crash).
    """
    try:
        with open(pidfile) as stream:
            pid = int(stream.read().strip())
        with open("%s/%d/cmdline" % (PROC, pid), "br") as stream:
            command = stream.read()
        if b"xend" not in command:
            return None
        return {"pid": pid, "started": _started(pid)}
    except (EnvironmentError, ValueError):
        return None


def _started(pid):
    with open("%s/%d/stat" % (PROC, pid)) as stream:
        # The command name, in parentheses, may hold anything; the start time is field 22.
        ticks = int(stream.read().rpartition(")")[2].split()[19])
    with open("%s/uptime" % PROC) as stream:
        uptime_s = float(stream.read().split()[0])
    return time.time() - (uptime_s - float(ticks) / os.sysconf("SC_CLK_TCK"))


def listening(pid):
    """
    The IPv4 TCP addresses on which process PID listens, as a sorted list of "address:port".

    Returns None when this user may not look into that process.
    """
    sockets = _sockets(pid, LISTEN)
    if sockets is None:
        return None
    return sorted("%s:%d" % local for local, _ in sockets)


def connected(pid, ports):
    """
    The peers that are connected to one of PORTS (a list of ints) of process PID, as a list of
    "address:port"; None when this user may not look into that process.

    While a guest is received, its sender stays connected to the relocation port.
    """
    sockets = _sockets(pid, ESTABLISHED)
    if sockets is None:
        return None
    return sorted("%s:%d" % remote for local, remote in sockets if local[1] in ports)


def _sockets(pid, state):
    try:
        own = _inodes(pid)
        with open("%s/%d/net/tcp" % (PROC, pid)) as stream:
            lines = stream.readlines()[1:]
    except EnvironmentError:
        return None
    found = []
    for line in lines:
        fields = line.split()
        if fields[3] == state and fields[9] in own:
            found.append((_endpoint(fields[1]), _endpoint(fields[2])))
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
