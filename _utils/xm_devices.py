"""
What the devices of a guest need on the host that takes it: scripts and bridges for network cards, addresses
and ports for the device model, and hardware that only one host has.

All is judged from facts that the callers bring, and by functions that look for them; nothing is read here,
and nothing knows xm or Salt. Whether disks are the same storage is said in xm_disks.
"""

import re

DOM0 = (None, "", "0", 0, "Domain-0")

# xend looks for scripts there (3.0.3 XendRoot, 4.4 auxbin.scripts_dir); vif2 has one of its own (udev rules).
SCRIPT_FOLDER = "/etc/xen/scripts/"
BRIDGE_SCRIPT = "vif-bridge"
VIF2_SCRIPT = "vif2"
NO_BRIDGE = "-"

# From then on vif-bridge takes ethN for a xenbrN that is not there.
ETH_FOR_XENBR_SINCE = (3, 2)

# These xends let a guest go on without a device that could not be connected; those before and after destroy
# it (3.1 to 3.4 XendCheckpoint.restore).
GOES_ON_WITHOUT = ((3, 1), (4, 0))

# From then on a guest may have both; before, VNC goes before a window.
BOTH_SCREENS_SINCE = (3, 3)

# From then on xend takes a guest for crashed when its device model has ended (3.4 image._dmfailed).
CRASHES_SINCE = (3, 4)

FIRST_VNC_PORT = 5900
ALL_ADDRESSES = ("", "0.0.0.0")
LOOPBACK = ("127.0.0.1", "localhost")

# What a class of devices is of its host, and how to take it from a guest.
HARDWARE = {
    "vscsi": ("a SCSI device of its host", "detach it first (`xm scsi-detach`)"),
    "vusb": ("USB ports of its host", "detach what is plugged in first (`xm usb-detach`)"),
    "usb": ("USB ports of its host", None),
    "usbdevice": ("a USB device of its host", None),
    "ioports": ("I/O ports of its host", None),
    "irq": ("an interrupt of its host", None),
    "vtpm": ("a virtual TPM, the state of which stays on its host", None),
    "pci": ("a PCI device of its host", "detach it first (`xm pci-detach`)"),
    "gfx_passthru": ("the graphics card of its host", None),
}
UNKNOWN_HARDWARE = ("of which it is not known that another host can give it as well", None)
TAKE_OUT = "take it out of its configuration and start it anew"

# Character devices of qemu-dm that need nothing of the host.
PLAIN_CHARDEVS = ("", "null", "none", "pty", "stdio", "msmouse", "braille", "vc")


def _no_answer(*_):
    return None


def fits(domain, target, source=None, script_problem=None, exists=None, is_own=None, taken=None):
    """
    Whether a host has what the devices of a guest need.

    domain
        the description of the guest
    target, source
        what xm.host returned on that host and on the guest's; source None when it is not known
    script_problem
        called with a path, returns why the target could not run it ("is missing"), or None
    exists
        called with a path, returns whether the target has it
    is_own
        called with an address or a host name, returns whether a program of the target could listen there;
        None when that cannot be told
    taken
        the ports that are listened on there, as a list of [address, port]; None when not known

    Returns {"blockers": [...], "warnings": [...]}: sentences.
    """
    host = _known(target, "the target")
    found = Findings(domain, host)
    found.blockers += foreign_backends(domain)
    _cards(found, source and _known(source, "the source"), script_problem or _no_answer)
    _listeners(found, exists or _no_answer, is_own or _no_answer, taken)
    return {"blockers": found.blockers, "warnings": found.warnings}


class Findings(object):
    """
    What is said of a guest and the host that is to take it.
    """

    def __init__(self, domain, host):
        self.domain = domain
        self.host = host
        self.tools = tuple(host["tools"] or host["xen"] or ())
        self.blockers = []
        self.warnings = []

    @property
    def fate(self):
        """
        What becomes of a guest with a network card that cannot be connected.
        """
        if self.tools and GOES_ON_WITHOUT[0] <= self.tools < GOES_ON_WITHOUT[1]:
            return "the guest would run on without it"
        return "the guest would be lost on both"

    @property
    def discovery(self):
        return "xend would find out only when all memory is there, and " + self.fate


def _known(host, name):
    """
    The facts of a host, with None for those that it does not tell.
    """
    facts = ("host", "xen", "tools", "bridges", "interfaces", "bridge_ports", "vif_script", "vnc_listen")
    known = dict([(fact, host.get(fact)) for fact in facts])
    known["host"] = known["host"] or name
    return known


def foreign_backends(domain):
    """
    The disks and network interfaces of a guest that another domain than dom0 serves, as a list of
    sentences. On another host there is no such domain, or not the same.
    """
    found = []
    for kind, key in (("disk", "disks"), ("network interface", "vifs")):
        for device in domain.get(key) or []:
            if device.get("backend") not in DOM0:
                name = device.get("dev") or device.get("mac") or device.get("uname") or "without a name"
                found.append(
                    "the %s %s of %s is served by the domain %s, which does not move along; let dom0 serve it"
                    % (kind, name, domain["name"], device["backend"])
                )
    return found


def hardware(domain, is_accepted=False):
    """
    The devices of a guest that only its own host has, as a pair of lists of sentences: blockers and
    warnings. xend sends such a guest without a word; on the target it is handed whatever has the same
    numbers there, or its device is missing, and it is lost (3.0.3 to 4.4 XendDomainInfo, server/*if.py).

    is_accepted
        an administrator knows that the target has the same
    """
    found = []
    for device in domain.get("hardware") or []:
        what, remedy = HARDWARE.get(device["class"], UNKNOWN_HARDWARE)
        shown = device["class"] + (" (%s)" % device["what"] if device.get("what") else "")
        found.append(
            "%s has a device of the class %s, %s: on the target it would be handed what has the same numbers "
            "there, or be lost when there is nothing; %s"
            % (domain["name"], shown, what, remedy or TAKE_OUT)
        )
    if is_accepted:
        return [], ["accepted: " + sentence for sentence in found]
    known = "%s; who knows that the target has the same, under the same numbers, says accept: [devices]"
    return [known % sentence for sentence in found], []


# Network cards


def _cards(found, source, script_problem):
    numbers = {}
    for vif in found.domain.get("vifs") or []:
        kind = vif.get("class") or "vif"
        number = numbers[kind] = numbers.get(kind, -1) + 1
        words = _script(vif, found.host)
        name = vif.get("mac") or vif.get("front_mac") or "without an address"
        card = "the network interface %s of %s" % (name, found.domain["name"])
        problem = script_problem(words[0])
        if problem:
            _no_script(found, card, words[0], problem, vif)
        given = dict([word.split("=", 1) for word in words[1:] if "=" in word])
        # What the description says goes before what the script is given (vif-bridge).
        bridge = vif.get("bridge") or (given.get("bridge") if kind == "vif" else None)
        base = words[0].rpartition("/")[2]
        if base not in (BRIDGE_SCRIPT, VIF2_SCRIPT) or kind == "vif2" and bridge == NO_BRIDGE:
            continue
        if bridge:
            _named_bridge(found, card, bridge, kind)
        else:
            _first_bridge(found, card, kind, _hangs_on(vif, kind, number, found.domain, source))


def _script(vif, host):
    """
    The path of the script that attaches a card, and what it is given, as a list of words. Without one of its
    own a card gets that of the host that takes it (xend 3.4 netif.getDeviceDetails); udev splits at spaces.
    """
    text = VIF2_SCRIPT if vif.get("class") == "vif2" else vif.get("script") or host["vif_script"]
    words = (text or BRIDGE_SCRIPT).split() or [BRIDGE_SCRIPT]
    return [words[0] if words[0].startswith("/") else SCRIPT_FOLDER + words[0]] + words[1:]


def _no_script(found, card, path, problem, vif):
    host = found.host["host"]
    remedy = "`chmod +x %s` there" % path if problem == "is not executable" else "install it there"
    if not vif.get("script") and vif.get("class") != "vif2" and found.host["vif_script"]:
        remedy += ", or change vif-script in its xend-config.sxp, which names it"
    found.blockers.append(
        "%s is attached by %s, which %s on %s: when all memory is there, xend would wait for its answer in "
        "vain, and %s; %s"
        % (card, path, problem, host, found.fate, remedy)
    )


def _named_bridge(found, card, bridge, kind):
    host, known = found.host["host"], found.host["bridges"]
    if known is None:
        found.warnings.append("whether %s has the bridge %s was not checked" % (host, bridge))
        return
    if bridge in known:
        return
    other = _new_style(bridge, known, found.host["interfaces"]) if kind == "vif" else None
    if other and found.tools >= ETH_FOR_XENBR_SINCE:
        found.warnings.append(
            "%s needs the bridge %s; %s has none of that name, and %s takes %s instead: see that it leads "
            "into the same network" % (card, bridge, host, BRIDGE_SCRIPT, other)
        )
        return
    has = "only " + ", ".join(known) if known else "none"
    if bridge in (found.host["interfaces"] or ()):
        has += " (%s is no bridge there)" % bridge
    elif other:
        has += " (%s takes %s for it only from Xen 3.2 on)" % (BRIDGE_SCRIPT, other)
    found.blockers.append(
        "%s needs the bridge %s, and %s has %s: %s; make the bridge there"
        % (card, bridge, host, has, found.discovery)
    )


def _new_style(bridge, bridges, interfaces):
    """
    The bridge ethN that vif-bridge takes from 3.2 on where somebody asks for xenbrN, which is not there.
    """
    if not bridge.startswith("xenbr") or bridge in (interfaces or ()):
        return None
    name = "eth" + bridge[len("xenbr") :]
    return name if name in bridges else None


def _first_bridge(found, card, kind, now):
    """
    A card without a bridge gets the first that brctl shows, by name; vif2 only when it is the only one.
    """
    host, known = found.host["host"], found.host["bridges"]
    script = BRIDGE_SCRIPT if kind == "vif" else VIF2_SCRIPT
    if known is None:
        found.warnings.append("%s names no bridge; whether %s has one was not checked" % (card, host))
    elif not known:
        found.blockers.append(
            "%s names no bridge, and %s has none at all that %s could take: %s; make one there"
            % (card, host, script, found.discovery)
        )
    elif kind == "vif2" and len(known) > 1:
        found.blockers.append(
            "%s names no bridge, and %s has several (%s), between which %s does not choose: %s; name it in "
            "the configuration of the guest, and start it anew"
            % (card, host, ", ".join(known), script, found.discovery)
        )
    elif now and now != sorted(known)[0]:
        found.warnings.append(
            "%s names no bridge: it hangs on %s now, and on %s it would come to %s, the first there; see "
            "that both lead into the same network, or name the bridge in its configuration"
            % (card, now, host, sorted(known)[0])
        )


def _hangs_on(vif, kind, number, domain, source):
    """
    The bridge that a card is on now, None when that cannot be told.
    """
    if not source:
        return None
    name = vif.get("vifname") or "%s%s.%d" % (kind, domain.get("domid"), number)
    ports = source["bridge_ports"] or {}
    return ports.get(name) or (sorted(source["bridges"])[0] if source["bridges"] else None)


# What the device model listens on


def _listeners(found, exists, is_own, taken):
    for vnc in found.domain.get("vnc") or []:
        address = vnc.get("vnclisten")
        what = "to show its screen on %s (vnclisten of its configuration)"
        if address is None:
            address = found.host["vnc_listen"] or LOOPBACK[0]
            what = "to show its screen on %s (vnc-listen of the xend-config.sxp there)"
        remedy = "take vnclisten out of its configuration, or make it 0.0.0.0, and start it anew"
        _address(found, address, what % address, remedy, is_own)
        port, is_told = _vnc_port(vnc, found)
        if not is_told:
            found.warnings.append(
                "whether the VNC display of %s is free on %s cannot be told: vncunused %s, vncdisplay %s"
                % (found.domain["name"], found.host["host"], vnc.get("vncunused"), vnc.get("vncdisplay"))
            )
        elif port:
            what = "to show its screen on port %d (vncdisplay %d, vncunused 0)"
            what %= (port, port - FIRST_VNC_PORT)
            _port(found, address, port, what, "let it choose one (vncunused=1) and start it anew", taken)
    _windows(found)
    for text in found.domain.get("chardevs") or []:
        _chardev(found, text, exists, is_own, taken)


def _windows(found):
    """
    Whether a window can be opened depends on the X server, on who may use it, and on what else SDL knows.
    """
    if found.domain.get("vnc") and found.tools and found.tools < BOTH_SCREENS_SINCE:
        return
    host, name = found.host["host"], found.domain["name"]
    fate = "its console would be lost"
    if found.domain.get("image") == "hvm":
        fate = "its device model would end when all memory is there, and %s be lost on both" % name
    for display in found.domain.get("sdl") or []:
        where = "the X display " + display if display else "an X display that it does not name"
        found.warnings.append(
            "%s is to show its screen in a window (sdl) on %s: if that cannot be opened on %s, %s; unless "
            "that is known to work there, give it vnc=1 in place of sdl=1 in its configuration, and start it "
            "anew"
            % (name, where, host, fate)
        )


def _trouble(found, what, remedy):
    """
    The device model cannot do what it is told: then it ends, and a HVM guest cannot live without it.
    """
    host, name = found.host["host"], found.domain["name"]
    if found.domain.get("image") == "hvm":
        found.blockers.append(
            "%s: qemu-dm, its device model, is started when all memory is there, and would end at once; %s "
            "would crash and be lost on both; %s" % (what, name, remedy)
        )
        return
    fate = "the console of %s would be lost" % name
    if found.tools >= CRASHES_SINCE:
        fate += ", and xend there may take it for crashed, as it does when a qemu-dm has ended"
    found.warnings.append("%s: %s on %s; %s" % (what, fate, host, remedy))


def _address(found, address, what, remedy, is_own):
    host, name = found.host["host"], found.domain["name"]
    if address in ALL_ADDRESSES + LOOPBACK:
        return
    own = is_own(address)
    if own is None:
        told = "%s is %s; whether that is an address of %s could not be told"
        found.warnings.append(told % (name, what, host))
    elif not own:
        _trouble(
            found,
            "%s is %s, which is no address of %s" % (name, what, host),
            "%s; or let %s bind it all the same (`sysctl -w net.ipv4.ip_nonlocal_bind=1` there)"
            % (remedy, host),
        )


def _port(found, address, port, what, remedy, taken):
    host, name = found.host["host"], found.domain["name"]
    if taken is None:
        found.warnings.append("%s is %s; whether that is free on %s could not be told" % (name, what, host))
    elif _clashes(address, port, taken):
        _trouble(
            found,
            "%s is %s, and something listens there on %s already" % (name, what, host),
            "end that (`netstat -tlnp` there shows what it is), or %s" % remedy,
        )


def _clashes(address, port, taken):
    everywhere = ALL_ADDRESSES[1]
    address = {"": everywhere, LOOPBACK[1]: LOOPBACK[0]}.get(address, address)
    there = [where for where, other in taken if other == port]
    return bool([where for where in there if where == address or everywhere in (where, address)])


def _vnc_port(vnc, found):
    """
    (the port that a VNC server must have, None when it may choose; whether that can be told).
    """
    tools, unused, display = found.tools or CRASHES_SINCE, vnc.get("vncunused"), vnc.get("vncdisplay")
    if tools >= (3, 3):
        # image.ImageHandler.parseDeviceModelArgs
        unused = _whole(1 if unused is None else unused)
    elif tools >= (3, 2) or tools < (3, 1):
        # There any text is true, also "0"; without one, 3.0.3 takes the id that the domain will have.
        unused = int(unused is not None or tools < (3, 1) and display is None)
    else:
        unused = int(unused is not None or not display or display == "0")
    if unused is None:
        return None, False
    if unused:
        return None, True
    number = _whole(display or 0)
    return (None, False) if number is None else (FIRST_VNC_PORT + number, True)


def _whole(value):
    return int(value) if re.match(r"\s*[0-9]+\s*\Z", "%s" % (value,)) else None


# Network character devices of qemu: what, host, port, options.
SOCKET = re.compile(r"(tcp|telnet|udp):(?:([^:,@]*):)?([0-9]+)(?:@(?:([^:,]*):)?([0-9]+))?((?:,[^,]*)*)\Z")


def _chardev(found, text, exists, is_own, taken):
    """
    What a serial port, or the like, needs (qemu 0.8 to 0.10 vl.c, qemu_chr_open). qemu-dm ends when it cannot
    open one.
    """
    name, host = found.domain["name"], found.host["host"]
    device = text[len("mon:") :] if text.startswith("mon:") else text
    kind, _, path = device.partition(":")
    words = path.split(",")
    here = "has a serial port (or the like) at %s" % text
    if kind in PLAIN_CHARDEVS:
        return
    match = SOCKET.match(device)
    if match:
        _socket(found, match, here, is_own, taken)
    elif device.startswith("/dev/"):
        _needs(found, here, device, exists)
    elif kind == "file" and path.startswith("/"):
        _needs(found, here, path.rpartition("/")[0] or "/", exists)
    elif kind == "unix" and path.startswith("/"):
        is_server = "server" in words[1:]
        _needs(found, here, (words[0].rpartition("/")[0] or "/") if is_server else words[0], exists)
        _waits(found, here, words)
    elif kind == "pipe" and path.startswith("/"):
        if exists(path) is False and exists(path + ".in") is False:
            _needs(found, here, path, exists)
    else:
        found.warnings.append("%s %s; what that needs on %s is not known" % (name, here, host))


def _needs(found, here, path, exists):
    if exists(path) is False:
        lack = "%s %s, and %s has no %s" % (found.domain["name"], here, found.host["host"], path)
        _trouble(found, lack, "make it there")


def _waits(found, here, words):
    if "server" in words and "nowait" not in words:
        found.warnings.append(
            "%s %s, without nowait: on %s its device model waits until somebody connects there"
            % (found.domain["name"], here, found.host["host"])
        )


def _socket(found, match, here, is_own, taken):
    kind, address, port, own_address, _, options = match.groups()
    words = options.split(",")
    name, host = found.domain["name"], found.host["host"]
    remedy = "change it in its configuration, and start it anew"
    what = "to listen on %s (it " + here + ")"
    if kind == "udp":
        if own_address:
            _address(found, own_address, what % own_address, remedy, is_own)
    elif "server" in words:
        _address(found, address or "", what % address, remedy, is_own)
        _port(found, address or "", int(port), what % ("port " + port), remedy, taken)
        _waits(found, here, words)
    elif address in ("",) + LOOPBACK and taken is not None:
        if not _clashes(LOOPBACK[0], int(port), taken):
            lack = "%s %s, to which it connects, and on %s nothing listens there" % (name, here, host)
            _trouble(found, lack, "start there what listens")
    else:
        found.warnings.append(
            "%s %s, to which its device model connects: see that %s can, too" % (name, here, host)
        )
