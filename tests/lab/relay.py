"""A relay between two hosts: who sends through one, and where it leads.

`xm migrate` may be pointed at a program on the source's loopback address, which carries all on to the
target from the source's own address. xend and xc_save see a connection to their own host then; what the
network between the hosts does to them, and what the target has taken, is found out here, from what the
kernel tells of processes and their sockets.
"""

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from tests.lab.layout import read_json

TCP = "/proc/net/tcp"
NOBODYS = "0"


def beyond(layout, own, other):
    """Return the ends (local, remote address) of a connection of this host as its target sees them.

    own, other -- the ends as the host sees them
    Through a relay they are those of the relay's connection; None when it has none (yet), or when whoever
    listens there is no relay.
    """
    if other[0] != layout.loopback or list(other) in read_json(layout.listening, []):
        return own, other
    rows = _connections()
    relay = _sockets_of_holders(_inode(rows, other, own))
    for inode, local, remote in rows:
        if inode in relay and remote[0] != layout.loopback and layout.host_at(remote[0]) is not None:
            return local, remote
    return None


def leads_from(sender, peer, own):
    """Whether a connection that the host `sender` has made comes from a relay of its own.

    sender -- Layout
    peer, own -- the ends of the connection as its target sees them: the sender's first
    """
    rows = _connections()
    relay = _sockets_of_holders(_inode(rows, peer, own))
    return any(inode in relay and local[0] == sender.loopback for inode, local, _remote in rows)


def _connections():
    """Return (inode, local address, remote address) of each TCP connection of the machine."""
    found = []
    with open(TCP) as table:
        next(table)
        for line in table:
            fields = line.split()
            found.append((fields[9], _address(fields[1]), _address(fields[2])))
    return found


def _address(text):
    address, _colon, port = text.partition(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)


def _inode(rows, local, remote):
    """Return which socket has these ends; None when no process has it, any more."""
    for inode, *ends in rows:
        if ends == [tuple(local), tuple(remote)] and inode != NOBODYS:
            return inode
    return None


def _sockets_of_holders(inode):
    """Return all sockets of the processes that have this one open, as far as they may be looked at."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*/fd") if inode else ():
        sockets = _sockets(folder)
        if inode in sockets:
            found |= sockets
    return found


def _sockets(folder):
    found = set()
    # What has ended meanwhile, is closed meanwhile, or is somebody else's.
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                target = os.readlink("%s/%s" % (folder, name))
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found
