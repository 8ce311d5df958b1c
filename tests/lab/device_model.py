"""qemu-dm of HVM guests, as far as it can fail: the addresses and ports that it listens on.

Here: what it is told to listen on, whether it can, and the tables in which the host's kernel shows
addresses and open ports. PV guests' consoles are not simulated. What xend does when it has ended is in
relocation.py.
"""

import re
import socket
import struct
from collections import namedtuple

from tests.lab import sxp
from tests.lab.layout import write_atomic

FIRST_PORT = 5900
TABLES = "/proc/1/net"
TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
FIB = "Main:\n  +-- 0.0.0.0/0 3 0 4\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n"
SERVER = re.compile(r"(?:tcp|telnet):([^:]*):(\d+)((?:,\w+)*)\Z")
OTHERS = "others"
IN_USE = "Address already in use"
NOT_OURS = "Cannot assign requested address"


class Listener(namedtuple("Listener", "what address port")):
    """One socket that qemu-dm opens; `port` is None where it looks for a free one."""


def listeners(config, key, default):
    """Return the Listeners that the description of a domain means, as image.py of this xend reads it.

    key -- the version of xend
    default -- its own vnc-listen
    """
    image = next(item[1] for item in config[1:] if item[0] == "image")
    if image[0] != "hvm":
        return []
    said = {item[0]: item[1] for item in image[1:] if len(item) > 1}
    found = []
    vnc = _vnc(config, said)
    if vnc is not None:
        found.append(Listener("vnc", vnc.get("vnclisten", default), _display_port(vnc, key)))
    serial = said.get("serial") or []
    for text in [serial] if isinstance(serial, str) else serial:
        match = SERVER.match(text)
        if match and "server" in match.group(3).split(","):
            found.append(Listener("serial", match.group(1), int(match.group(2))))
    return found


def _vnc(config, image):
    """Return the settings of the VNC server, None when there is none."""
    if image.get("nographic", "0") != "0":
        return None
    for item in config[1:]:
        if item[0] == "device" and item[1][0] == "vfb":
            device = {pair[0]: pair[1] for pair in item[1][1:] if len(pair) > 1}
            if device.get("type") == "vnc" or device.get("vnc", "0") != "0":
                return device
    return image if image.get("vnc", "0") != "0" else None


def _display_port(vnc, key):
    unused, display = vnc.get("vncunused"), int(vnc.get("vncdisplay") or 0)
    if key >= (3, 3):
        is_free_choice = int("1" if unused is None else unused) != 0
    elif key >= (3, 2) or key < (3, 1):
        # Any text is true, also "0".
        is_free_choice = unused is not None
    else:
        is_free_choice = unused is not None or not display
    return None if is_free_choice else FIRST_PORT + display


def start(layout, domid, config, default):
    """Open what a domain's qemu-dm listens on; return why it exits, or None.

    default -- xend's own vnc-listen
    """
    opened = []
    for one in listeners(config, sxp.version_key(layout.version), default):
        address = _own(layout, one.address)
        if address is None:
            return "%s: bind() failed: %s" % (one.what, NOT_OURS)
        taken = _taken(layout) + opened
        port = one.port
        if port is None:
            port = next(n for n in range(FIRST_PORT, 65536) if not _clashes(taken, address, n))
        if _clashes(taken, address, port):
            return "%s: bind() failed: %s" % (one.what, IN_USE)
        opened.append((address, port))
    _note(layout, str(domid), opened)
    return None


def end(layout, domid):
    """Close what a domain's qemu-dm listened on."""
    if (_notes(layout) / str(domid)).exists():
        _note(layout, str(domid), [])


def occupy(layout, port, address="0.0.0.0"):
    """Let some other program of the host listen on a port; 0: none any more."""
    _note(layout, OTHERS, [(address, port)] if port else [])


def show(layout):
    """Write what the kernel of the host shows of addresses and of ports that are listened on."""
    folder = layout.path(TABLES)
    folder.mkdir(parents=True, exist_ok=True)
    addresses = [layout.address, layout.loopback, "127.0.0.1"]
    write_atomic(
        folder / "fib_trie",
        FIB + "".join("     |-- %s\n        /32 host LOCAL\n" % address for address in addresses),
    )
    row = "%4d: %08X:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
    rows = [
        row % (number, struct.unpack("=L", socket.inet_aton(address))[0], port)
        for number, (address, port) in enumerate(_taken(layout))
    ]
    write_atomic(folder / "tcp", TCP + "".join(rows))


def _own(layout, address):
    """Return the IPv4 address of the host that this text means, None when it is none of its own."""
    if address in ("", "0.0.0.0"):
        return "0.0.0.0"
    if address in ("localhost", "127.0.0.1"):
        return "127.0.0.1"
    found = layout.resolve(address) or address
    return found if found in (layout.address, layout.loopback, "127.0.0.1") else None


def _clashes(taken, address, port):
    return any(
        port == other and "0.0.0.0" in (address, where) or (address, port) == (where, other)
        for where, other in taken
    )


def _notes(layout):
    return layout.control / "ports"


def _note(layout, who, opened):
    path = _notes(layout) / who
    path.parent.mkdir(exist_ok=True)
    if opened:
        write_atomic(path, "".join("%s %d\n" % pair for pair in opened))
    else:
        path.unlink(missing_ok=True)
    show(layout)


def _taken(layout):
    lines = []
    for path in sorted(_notes(layout).glob("*")):
        # Others may be just being written, or removed.
        if path.name == OTHERS or path.name.isdigit():
            try:
                lines += path.read_text().splitlines()
            except FileNotFoundError:
                continue
    return [(address, int(port)) for address, port in (line.split() for line in lines)]
