"""
What the output of xm means: the tables of `xm list` and `xm info`, the description of a domain.

Formats as printed by xend 3.0.3 to 4.4. Running xm is not done here, and nothing knows Salt.
"""

import json
import numbers
import re

# What xm shows as the name of a domain of which xend does not know it (parse_doms_info of 3.0.3 to 4.4).
NAMELESS = "??"

# While it is sent, xend calls a domain so (xend 4.4 XendCheckpoint.save); `xl` keeps the old name.
MIGRATING = "migrating-"

# What `xm info` calls xend_config_format -> the oldest tools that print it (XendNode of xend 3.0.3, 3.0.4 and
# 3.1; up to 4.4 it is 4, and 3.0.2 prints nothing).
CONFIG_FORMATS = {None: (3, 0, 2), 2: (3, 0, 3), 3: (3, 0, 4), 4: (3, 1)}

# What xend tells of a host and `xm info` leaves out, from 4.1 on.
NUMA = ("cpu_topology", "numa_info")

DISK_CLASSES = ("vbd", "tap", "tap2")
VIF_CLASSES = ("vif", "vif2")
# What any host can give a guest as well; every other class is something of the host itself, or may be.
HARMLESS_CLASSES = DISK_CLASSES + VIF_CLASSES + ("console", "vfb", "vkbd")

# What is told of a VNC server; never its password.
VNC_KEYS = ("vnclisten", "vncdisplay", "vncunused")
NO_CLASS = "(without a name)"
OFF = (None, "", "0", "no", "false")

# Bytes whose number has a digit from a to f, and that xend does not write as they are.
MISREAD = re.compile(br"[\x0b\x0c\x0e\x0f\x1a-\x1f\x7f\x8a-\x8f\x9a-\x9f\xa0-\xff]")


def rows(forms):
    """
    What `xm list` shows of the domains of a host, and more.

    forms
        their descriptions, as nested lists of bytes

    Returns a list of dicts: name (NAMELESS for one that is not known), uuid (None where there is none), domid
    (int; None for a domain that does not run), memory_mib, vcpus (int), state (six letters or dashes; with
    question marks where xend does not know; "" for a domain that does not run), time_s (float) and form, the
    description. Raises ValueError for what is no description, and when Domain-0 is missing: that a guest is
    gone may not be judged from an answer that was not understood.

    xend gives a domain that does not run no id, or -1, or writes None where it does not know it (3.0.3
    XendDomainInfo.sxpr). Missing names and states are shown as xm does (parse_doms_info of 3.0.3 to 4.4), and
    a domain that runs without a state as that of 3.0.3 does.
    """
    found = [_row(form) for form in forms]
    if 0 not in [row["domid"] for row in found]:
        raise ValueError("it does not show Domain-0, which every host has")
    return found


def _row(form):
    if not isinstance(form, list) or form[:1] != [b"domain"]:
        # Not what it is: there may be passwords in it.
        raise ValueError("it is not understood: there is something in it that describes no domain")
    domid, seconds = _value(form, "domid"), _value(form, "cpu_time")
    is_idle = domid in (None, "", "-1")
    if not is_idle and domid != "None" and not domid.isdigit():
        raise ValueError("it shows a domain with the id %s" % domid)
    domid = _number(domid)
    try:
        # As xm shows it: a guest that was never on a CPU has 0.0.
        time_s = round(float(seconds or 0), 1)
    except ValueError:
        raise ValueError("it shows a domain with %.60s as the time that it had on CPUs" % seconds)
    return {
        "name": _value(form, "name") or NAMELESS,
        "uuid": _value(form, "uuid"),
        "domid": domid,
        "memory_mib": _number(_value(form, "memory")) or 0,
        "vcpus": _number(_value(form, "online_vcpus") or _value(form, "vcpus")) or 0,
        "state": _value(form, "state") or ("" if is_idle else NAMELESS),
        "time_s": time_s,
        "form": form,
    }


def info(text):
    """
    The lines of `xm info` as a dict; values that are whole numbers become ints. A value that goes on in lines
    which begin with white space (node_to_cpu and node_to_memory of a host with several nodes, xend 3.2 to 4.0
    XendNode.format_node_to_cpu) is one text with as many lines.
    """
    found, last = {}, None
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if last is not None and line[:1].isspace() and line.strip():
            found[last] += "\n" + line.strip()
        elif colon:
            last = name.strip()
            found[last] = value.strip()
    return _with_numbers(found)


def node(answer):
    """
    The same from what xend says to xend.node.info: pairs behind a first word, of which xm prints each as a
    line (xm main.xm_info).
    """
    found = {}
    for pair in answer[1:] if isinstance(answer, list) else []:
        if isinstance(pair, list) and pair and hasattr(pair[0], "upper") and pair[0] not in NUMA:
            lines = ("%s" % (pair[1] if len(pair) > 1 else "(none)",)).splitlines()
            found[pair[0].strip()] = "\n".join([line.strip() for line in lines])
    return _with_numbers(found)


def _with_numbers(found):
    return dict(
        [(name, int(value) if re.match(r"\d+\Z", value) else value) for name, value in found.items()]
    )


def tools_version(info):
    """
    The version of xend and xm, which need not be that of the hypervisor: RHEL 5 runs the tools of 3.0.3 on a
    hypervisor that calls itself 3.1.

    info
        what `info` returns

    Returns a tuple of ints, or None when nothing tells. Of tools from 3.1 on the hypervisor's version is
    taken, with which they are shipped; so it is where the line about them lacks although they must have it.
    """
    numbers = (info.get("xen_major"), info.get("xen_minor"))
    hypervisor = numbers if all([isinstance(part, int) for part in numbers]) else None
    shown = info.get("xend_config_format")
    if shown is None:
        return CONFIG_FORMATS[None] if hypervisor and hypervisor < (3, 1) else hypervisor
    since = CONFIG_FORMATS.get(shown, (3, 1))
    return max(since, hypervisor or since) if since >= (3, 1) else since


def misread(form):
    """
    What of a guest would not arrive on another host as it is, because of its bytes: xend writes a backslash,
    x and two digits for all that is no ASCII, and misreads the digits a to f (xend 3.0.3 to 4.4 sxp.show and
    Parser.state_hex).

    form
        its description, nested lists of bytes

    Returns the strings in it that hold such bytes, as text.
    """
    if isinstance(form, list):
        return [string for item in form for string in misread(item)]
    return [_text(form)] if MISREAD.search(form) else []


def told(value):
    """
    What a host has told, as an orchestration hands it on: JSON of ASCII characters only, because YAML,
    through which it goes on each host once more, knows neither all characters nor leaves all of them alone.

    value
        such a text; anything else is returned as it is

    Returns what it says. Text is what Python itself calls so: in Python 2, UTF-8 bytes.
    """
    if not isinstance(value, TEXT):
        return value
    try:
        return _native(json.loads(value))
    except (ValueError, RuntimeError):
        # The second one for lists in lists without end.
        return value


def _native(value):
    if isinstance(value, dict):
        return dict([(_native(key), _native(item)) for key, item in value.items()])
    if isinstance(value, list):
        return [_native(item) for item in value]
    is_unicode = not isinstance(value, str) and hasattr(value, "encode")
    return value.encode("utf-8") if is_unicode else value


def runs(state):
    """
    Whether a domain with these state letters is alive: not paused, suspended, crashed or dying. All
    dashes is a running domain that is on no CPU at the moment; "" one that was never started. One with
    question marks is not known to be alive.
    """
    return bool(re.match(r"[rb-]{6}\Z", state))


def is_unknown(state):
    """
    Whether these state letters do not tell what a domain does.
    """
    return "?" in state


def is_nameless(row):
    """
    Whether xend does not know how the domain in this row of `domains` is called.
    """
    return row["name"] == NAMELESS


def moving(rows):
    """
    The domains of `domains` that are on their way, as a list of (name, "sent" or "received").

    A domain that is sent is called migrating-NAME. One that is received has its final name, is paused
    and has no VCPU yet. (A domain that was created paused has its VCPUs.) Of one that is only about to be
    made xend may not know the state yet.
    """
    found = []
    for row in rows:
        if row["vcpus"] == 0 and (row["state"] == "--p---" or is_unknown(row["state"])):
            found.append((row["name"], "received"))
        elif row["name"].startswith(MIGRATING):
            found.append((row["name"], "sent"))
    return found


def describe(form):
    """
    The description of a domain, from the form that `xm list --long NAME` prints.

    form
        nested lists of bytes, as the sxp parser returns them

    Returns a dict: name, uuid, domid, memory_mib, maxmem_mib, shadow_memory_mib, vcpus, state, image
    ("linux", "hvm", ...), image_files (dict: kernel, ramdisk, device_model, bootloader, as far as there are
    any), nomigrate, suspend_cancel (bools), disks (list of dicts with uname, dev, mode, ...), vifs (list of
    dicts with mac, bridge, ..., and class for vif2), pci (list of dicts), hardware (list of dicts with class
    and what: devices that no other host can give it without more ado), vnc (list of dicts of VNC_KEYS as far
    as they are set, one for each VNC server), sdl (list of the X displays on which qemu-dm shows its screen
    in a window, "" for one that is not named) and chardevs (list of texts that tell qemu-dm what serial ports
    and the like are). What the form lacks is None or empty.
    """
    image = _child(form, "image")
    kind = image[1] if len(image) > 1 and isinstance(image[1], list) else []
    devices = [child[1] for child in _children(form, "device") if len(child) > 1]
    return {
        "name": _value(form, "name"),
        "uuid": _value(form, "uuid"),
        "domid": _number(_value(form, "domid")),
        "memory_mib": _number(_value(form, "memory")),
        "maxmem_mib": _number(_value(form, "maxmem")),
        "shadow_memory_mib": _number(_value(form, "shadow_memory")),
        "vcpus": _number(_value(form, "vcpus")),
        "state": _value(form, "state"),
        "image": _text(kind[0]) if kind else None,
        "image_files": _image_files(form, kind),
        "suspend_cancel": _value(_child(kind, "notes"), "SUSPEND_CANCEL") not in (None, "0"),
        "nomigrate": (_value(kind, "nomigrate") or "0") not in ("0", "no", "false"),
        "disks": _devices(devices, DISK_CLASSES),
        "vifs": _devices(devices, VIF_CLASSES, named=("vif2",)),
        "pci": _devices(devices, ("pci",)),
        "hardware": _hardware(devices, kind),
        "vnc": _vnc(devices, kind),
        "sdl": _sdl(devices, kind),
        "chardevs": _chardevs(devices, kind),
    }


# What `checked` looks at.
DEVICE_LISTS = ("disks", "vifs", "pci", "hardware", "vnc")
TEXT_LISTS = ("sdl", "chardevs")
TEXTS = ("uuid", "state", "image")
NUMBERS = ("maxmem_mib", "shadow_memory_mib", "vcpus")
IMAGE_FILES = ("kernel", "ramdisk", "device_model", "bootloader")

# More than xend can give a guest, and than a path can have letters.
MOST_DEVICES = 256
MOST_SETTINGS = 64
MOST_LETTERS = 4096
MOST_NUMBER = 1 << 30

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))


def checked(domain, utility):
    """
    A description that somebody has given, perhaps by hand or from another version of this file, in the types
    of `describe`: what it lacks may be lacking, and a number as a setting of a device becomes text. UTILITY
    is a function from the name of another utility to that utility.

    Raises ValueError for what is none, or is larger than that of any guest, with the reason.
    """
    quoted = utility("xend_text").quoted
    if not isinstance(domain, dict):
        raise ValueError("it is no dict, but %s" % type(domain).__name__)
    if not domain.get("name") or isinstance(domain["name"], (list, dict)):
        raise ValueError("it has no name")
    if not _is_whole(domain.get("memory_mib")) or domain["memory_mib"] == 0:
        raise ValueError("its memory_mib is no number of MiB: %s" % quoted(domain.get("memory_mib")))
    for key in NUMBERS:
        if domain.get(key) is not None and not _is_whole(domain[key]):
            raise ValueError("its %s is no whole number: %s" % (key, quoted(domain[key])))
    found = dict(domain, name=_setting("name", domain["name"]))
    for key in TEXTS:
        found[key] = _setting(key, domain.get(key))
    for key in DEVICE_LISTS:
        found[key] = [_device(key, device) for device in _listed(domain, key, "list of dicts")]
    for device in found["hardware"]:
        device["class"] = device.get("class") or NO_CLASS
    for key in TEXT_LISTS:
        found[key] = [_setting(key, one) for one in _listed(domain, key, "list") if one is not None]
    files = domain.get("image_files") or {}
    if not isinstance(files, dict):
        raise ValueError("its image_files are no dict")
    found["image_files"] = dict(
        [(key, _setting("image_files", files[key])) for key in IMAGE_FILES if files.get(key) is not None]
    )
    return found


def described(domain, utility):
    """
    The same for the argument `domain`: what is raised says where a right one is had from.
    """
    try:
        return checked(domain, utility)
    except ValueError as exc:
        # Not what was given: all that is known of a guest would stand there.
        raise ValueError(
            "domain is no description of a guest: %s; give what xm.domain returns on its host" % exc.args[0]
        )


def _listed(domain, key, what):
    values = domain.get(key) or []
    if not isinstance(values, list):
        raise ValueError("its %s are no %s" % (key, what))
    if len(values) > MOST_DEVICES:
        raise ValueError("its %s are %d, and no guest has more than %d" % (key, len(values), MOST_DEVICES))
    return values


def _device(key, device):
    if not isinstance(device, dict):
        raise ValueError("its %s are no list of dicts" % key)
    if len(device) > MOST_SETTINGS:
        raise ValueError("one of its %s has %d settings" % (key, len(device)))
    return dict([(_setting(key, name), _setting(key, value)) for name, value in device.items()])


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= value <= MOST_NUMBER


def _setting(key, value):
    if isinstance(value, (list, dict)):
        raise ValueError("its %s have a list or a dict where there is one word" % key)
    text = _native(value) if value is None or isinstance(value, TEXT) else "%s" % (value,)
    if text is not None and (len(text) > MOST_LETTERS or "\0" in text):
        raise ValueError(
            "its %s have text of %d letters, or with a zero byte, where there is one word" % (key, len(text))
        )
    return text


def _image_files(form, kind):
    pairs = [(key, _value(kind, key)) for key in ("kernel", "ramdisk", "device_model")]
    pairs.append(("bootloader", _value(form, "bootloader")))
    return dict([(key, path) for key, path in pairs if path])


def _devices(devices, classes, named=()):
    """
    The settings of all devices of some classes; with "class" for those that are to be NAMED.
    """
    found = []
    for device in devices:
        name = _class(device)
        if name in classes:
            pairs = [
                (_text(pair[0]), _text(pair[1]))
                for pair in device[1:]
                if isinstance(pair, list) and len(pair) == 2 and list not in [type(one) for one in pair]
            ]
            found.append(dict(pairs + ([("class", name)] if name in named else [])))
    return found


def _class(device):
    # A class alone, `(device vkbd)`, has no settings.
    name = device[0] if isinstance(device, list) and device else device
    return NO_CLASS if isinstance(name, list) else _text(name)


def _hardware(devices, kind):
    found = []
    for device in devices:
        name = _class(device)
        if name not in HARMLESS_CLASSES + ("pci",):
            what = _leaves(device[1:]) if isinstance(device, list) else []
            found.append({"class": name, "what": ", ".join(what)})
    # What qemu-dm is given of the host (xend 4.4 image.HVMImageHandler.parseDeviceModelArgs).
    for name in _values(kind, "usbdevice"):
        if name.startswith("host:"):
            found.append({"class": "usbdevice", "what": name})
    if _value(kind, "gfx_passthru") not in OFF:
        found.append({"class": "gfx_passthru", "what": _value(kind, "gfx_passthru")})
    # `(pci ())` of 4.x has none; an empty list may be written as Python does.
    passed = [] if _devices(devices, ("pci",)) else _leaves(_child(kind, "pci")[1:])
    if [word for word in passed if word.strip("[]") not in OFF]:
        found.append({"class": "pci", "what": " ".join(passed)})
    return found


def _leaves(values):
    """
    The pairs of nested lists as text, "key value", without the uuid that xend gives each device.
    """
    found = []
    for value in values:
        if not isinstance(value, list):
            found.append(_text(value))
        elif len(value) == 2 and not [part for part in value if isinstance(part, list)]:
            found += [] if _text(value[0]) == "uuid" else [_text(value[0]) + " " + _text(value[1])]
        else:
            found += _leaves(value[1:] if value and not isinstance(value[0], list) else value)
    return found


def _vnc(devices, kind):
    """
    The VNC servers of a guest. A HVM guest has its own settings in the image; from 3.1 on xend makes a vfb of
    them, and that is what counts then (xend 4.4 XendConfig, image.ImageHandler.parseDeviceModelArgs).
    """
    is_hvm = bool(kind) and _text(kind[0]) == "hvm"
    if is_hvm and _value(kind, "nographic") not in OFF:
        return []
    buffers = _devices(devices, ("vfb",))
    if not buffers and is_hvm and _value(kind, "vnc") not in OFF:
        buffers = [dict([(key, _value(kind, key)) for key in VNC_KEYS + ("vnc",)])]
    return [
        dict([(key, vfb[key]) for key in VNC_KEYS if vfb.get(key) is not None])
        for vfb in buffers
        if vfb.get("type") == "vnc" or vfb.get("vnc") not in OFF or not set(vfb) & set(["type", "vnc", "sdl"])
    ]


def _sdl(devices, kind):
    """
    The X displays that a guest needs. What its vfb says counts (xend 4.4 image.ImageHandler.
    parseDeviceModelArgs).
    """
    is_hvm = bool(kind) and _text(kind[0]) == "hvm"
    if is_hvm and _value(kind, "nographic") not in OFF:
        return []
    found = [
        vfb.get("display") or _value(kind, "display") or ""
        for vfb in _devices(devices, ("vfb",))
        if vfb.get("type") == "sdl" or vfb.get("sdl") not in OFF
    ]
    if not found and is_hvm and _value(kind, "sdl") not in OFF:
        found = [_value(kind, "display") or ""]
    return found


def _chardevs(devices, kind):
    found = _values(kind, "serial") + _values(kind, "parallel")
    if _value(kind, "monitor") not in OFF:
        found += _values(kind, "monitor_path")
    for vfb in _devices(devices, ("vfb",)):
        found += [vfb[key] for key in ("serial", "monitor") if key in vfb]
    return found


def _values(form, key):
    """
    The values that stand behind a key, or in a list behind it.
    """
    found = []
    for value in _child(form, key)[1:]:
        found += [_text(one) for one in (value if isinstance(value, list) else [value])]
    return [one for one in found if one and not isinstance(one, list)]


def _children(form, key):
    return [
        child for child in form[1:] if isinstance(child, list) and child and _text(child[0]) == key
    ]


def _child(form, key):
    found = _children(form, key)
    return found[0] if found else []


def _value(form, key):
    child = _child(form, key)
    return _text(child[1]) if len(child) > 1 and not isinstance(child[1], list) else None


def _text(raw):
    return _native(raw.decode("utf-8", "replace")) if isinstance(raw, bytes) else raw


def _number(text):
    return int(text) if text and re.match(r"\d+\Z", text) else None
