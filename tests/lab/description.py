"""How xend describes a domain: the sxp of `xm list --long` and of a migration's header.

Here: building a description from a guest's settings, and joining it with the live figures. Which
domain, and where the text goes, is decided elsewhere.
"""

import os

from tests.lab import hypervisor, sxp
from tests.lab.storage import SCRIPTS

DOM0_UUID = "00000000-0000-0000-0000-000000000000"
# Live figures that a running xend puts between the stored settings, in this order.
BEFORE_IMAGE = ("start_time", "cpu_time", "online_vcpus")
TAP_CLASSES = ("tap", "tap2")
# The tools of 3.0.3 know neither on_xend_start nor on_xend_stop.
LIFECYCLE_SINCE = (3, 0, 4)
# What only the store of managed domains has; `xm list --long` does not print it.
STORED_ONLY = ("auto_power_on",)
# What xend keeps as numbers: whole ones, and those with a fraction, also of a device. All else is text,
# numbers of the image among it.
WHOLE = (
    "domid",
    "cpu_weight",
    "cpu_cap",
    "vcpus",
    "maxmem",
    "memory",
    "shadow_memory",
    "online_vcpus",
    "status",
    "store_mfn",
    "console_mfn",
    "bootable",
)
FRACTIONS = ("start_time", "cpu_time")
VNC_KEYS = ("vncunused", "vncdisplay", "vnclisten", "vncpasswd")


def mac_address():
    """Return an address from Xen's own range."""
    first, second, third = os.urandom(3)
    return "00:16:3e:%02x:%02x:%02x" % (first & 0x7F, second, third)


def disk_device(text, version):
    """Return the device sxp of a disk written as in a domain file: "file:/x.img,xvda,w"."""
    uname, device, mode = (text.split(",") + ["w"])[:3]
    kind = uname.partition(":")[0]
    if sxp.version_key(version) >= (3, 1) and ":" not in device:
        device += ":disk"
    items = [
        kind if kind in TAP_CLASSES else "vbd",
        ["uuid", hypervisor.new_uuid()],
        ["bootable", "1"],
        ["dev", device],
        ["uname", uname],
        ["mode", mode],
        ["backend", "0"],
    ]
    return ["device", items]


def vif_device(text, version):
    """Return the device sxp of a network card written as in a domain file: "bridge=xenbr0".

    A card that runs shows the script that its host gave it, as a path from 3.1 on.
    """
    given = dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    script = given.get("script", "vif-bridge")
    if script and sxp.version_key(version) >= (3, 1):
        script = os.path.join(SCRIPTS, script)
    items = [
        "vif",
        ["bridge", given.get("bridge", "")],
        ["mac", given.get("mac") or mac_address()],
        ["script", script],
        ["type", given.get("type", "")],
        ["vifname", given.get("vifname", "")],
        ["uuid", hypervisor.new_uuid()],
        ["backend", "0"],
    ]
    return ["device", items[:1] + [item for item in items[1:] if item[1]]]


def vfb_devices(settings):
    """Return the device sxps of a virtual frame buffer with these settings, a dict, and its keyboard."""
    items = [[key, str(settings[key])] for key in VNC_KEYS if key in settings]
    vfb = ["vfb", ["vnc", "1"]] + items + [["type", "vnc"], ["uuid", hypervisor.new_uuid()]]
    return [["device", ["vkbd"]], ["device", vfb]]


def build(name, uuid, memory_mib, vcpus, image, disks, vifs, version, extra):
    """Return the settings of a guest as xend stores them: nested lists of text.

    image -- "linux" or "hvm"
    extra -- further settings, name to text: bootloader, cpu_weight, on_crash, on_reboot,
             on_xend_start, on_xend_stop, auto_power_on and, for the image, kernel, ramdisk, args,
             nomigrate; maxmem and shadow_memory in MiB; of HVM guests vncunused, vncdisplay, vnclisten,
             vncpasswd, serial; vfb (a dict of such VNC settings) for others; devices: further ones as
             nested lists, such as [["irq", ["irq", "4"]]]
    """
    vcpus = str(vcpus)
    memory = str(memory_mib)
    kernel = {"linux": "/boot/vmlinuz-guest", "hvm": "/usr/lib/xen/boot/hvmloader"}[image]
    picture = [image, ["kernel", extra.get("kernel", kernel)]]
    if image == "linux":
        picture += [
            ["ramdisk", extra.get("ramdisk", "/boot/initrd-guest")],
            ["args", extra.get("args", "console=hvc0 quiet")],
        ]
    else:
        picture += [
            ["acpi", "1"],
            ["apic", "1"],
            ["pae", "1"],
            ["boot", "c"],
            ["device_model", "/usr/lib/xen/bin/qemu-dm"],
            ["vnc", "1"],
        ]
        picture += [[key, str(extra[key])] for key in VNC_KEYS if key in extra]
        picture += [["serial", extra["serial"]]] if "serial" in extra else []
    modern = sxp.version_key(version) >= (4, 0)
    if modern:
        picture += [
            ["superpages", "0"],
            ["videoram", "4"],
            ["pci", []],
            ["nomigrate", str(extra.get("nomigrate", "0"))],
            ["tsc_mode", "0"],
        ]
        if image == "hvm":
            picture.append(["notes", ["SUSPEND_CANCEL", "1"]])
        elif extra.get("suspend_cancel", True):
            picture.append(
                [
                    "notes",
                    ["FEATURES", "!writable_page_tables|pae_pgdir_above_4gb"],
                    ["GUEST_VERSION", "2.6"],
                    ["GUEST_OS", "linux"],
                    ["LOADER", "generic"],
                    ["SUSPEND_CANCEL", "1"],
                    ["PAE_MODE", "yes"],
                    ["XEN_VERSION", "xen-3.0"],
                ]
            )
    settings = [["cpu_weight", extra.get("cpu_weight", "256")], ["cpu_cap", "0"]]
    if modern:
        settings.append(["pool_name", "Pool-0"])
    settings += [["bootloader", extra.get("bootloader", "")], ["vcpus", vcpus]]
    if modern:
        settings.append(["cpus", [[] for _vcpu in range(int(vcpus))]])
    settings += [
        ["on_poweroff", "destroy"],
        ["description", ""],
        ["on_crash", extra.get("on_crash", "restart")],
        ["uuid", uuid],
        ["bootloader_args", ""],
        ["name", name],
        ["on_reboot", extra.get("on_reboot", "restart")],
        ["maxmem", str(extra.get("maxmem", memory))],
        ["memory", memory],
        ["shadow_memory", str(extra.get("shadow_memory", "0" if image == "linux" else "9"))],
        ["features", ""],
    ]
    if sxp.version_key(version) >= LIFECYCLE_SINCE:
        settings += [
            [key, str(extra.get(key, "ignore"))] for key in ("on_xend_start", "on_xend_stop")
        ]
    if "auto_power_on" in extra:
        settings.append(["auto_power_on", str(extra["auto_power_on"])])
    devices = [vif_device(vif, version) for vif in vifs]
    devices += [disk_device(disk, version) for disk in disks]
    if "vfb" in extra or image == "hvm" and sxp.version_key(version) >= (3, 1):
        devices += vfb_devices(extra.get("vfb", extra))
    devices += [["device", device] for device in extra.get("devices", [])]
    devices.append(
        [
            "device",
            ["console", ["protocol", "vt100"], ["location", "2"], ["uuid", hypervisor.new_uuid()]],
        ]
    )
    return ["domain"] + settings + [["image", picture]] + devices


def shown(config):
    """Return a description without what xm does not print of it."""
    return [item for item in config if item[0] not in STORED_ONLY]


def typed(config, version):
    """Return a description as xend keeps it and tells it, with numbers where it has numbers."""
    whole, fractions = WHOLE, FRACTIONS
    if sxp.version_key(version) < (3, 1):
        # XendDomainInfo.ROUNDTRIPPING_CONFIG_ENTRIES, and sxpr() there.
        fractions = ("cpu_weight", "cpu_time")

    def number(item):
        key, *values = item
        if key == "device":
            return [key, values[0][:1] + [number(one) for one in values[0][1:]]]
        if key == "cpus":
            return [key, [[int(cpu) for cpu in one] for one in values[0]]]
        if key in fractions and values:
            return [key, float(values[0])]
        return [key, int(values[0])] if key in whole and values else item

    return config[:1] + [number(item) for item in config[1:]]


def coming(config, domid):
    """Return the description of a domain that is about to be built: the sender's, with its own id."""
    kept = [
        item for item in config[1:] if item[0] not in ("domid", "state", "change_home_server", "node")
    ]
    return ["domain", ["domid", str(domid)]] + kept + [["state", "------"]]


def live(domain, state):
    """Return the full description of a domain as nested lists of text.

    domain -- as kept by the hypervisor
    state -- the six letters
    """
    config = [
        item
        for item in domain["config"][1:]
        if item[0]
        not in (
            "domid",
            "start_time",
            "cpu_time",
            "online_vcpus",
            "status",
            "state",
            "store_mfn",
            "console_mfn",
            "vcpu_avail",
            "change_home_server",
            "node",
        )
    ]
    figures = {
        "start_time": "%.2f" % domain["start_time"],
        "cpu_time": "%.9f" % hypervisor.cpu_time(domain),
        "online_vcpus": str(domain["online_vcpus"]),
    }
    out = ["domain", ["domid", str(domain["domid"])]]
    for item in config:
        if item[0] == "image":
            out += [[key, figures[key]] for key in BEFORE_IMAGE]
        if item[0] == "device" and sxp.child_value(out, "status") is None:
            out += [["status", "2"], ["state", state]]
            if domain["completed"]:
                out += [
                    ["store_mfn", str(253000 + domain["domid"])],
                    ["console_mfn", str(252000 + domain["domid"])],
                ]
        out.append(["name", domain["xend_name"]] if item[0] == "name" else item)
    return out


def dom0(memory_mib, vcpus, used, version):
    """Return Domain-0's description as nested lists of text."""
    modern = sxp.version_key(version) >= (4, 0)
    vcpus = str(vcpus)
    memory = str(memory_mib)
    pool = [["pool_name", "Pool-0"]] if modern else []
    return (
        ["domain", ["domid", "0"], ["cpu_weight", "256"], ["cpu_cap", "0"]]
        + pool
        + [
            ["bootloader", ""],
            ["vcpus", vcpus],
            ["cpus", [["0"]]],
            ["on_poweroff", "destroy"],
            ["on_crash", "restart"],
            ["uuid", DOM0_UUID],
            ["bootloader_args", ""],
            ["name", "Domain-0"],
            ["on_reboot", "restart"],
            ["maxmem", memory],
            ["memory", memory],
            ["shadow_memory", "0"],
            ["features", ""],
            ["on_xend_start", "ignore"],
            ["on_xend_stop", "ignore"],
            ["cpu_time", "%.9f" % used],
            ["online_vcpus", vcpus],
            [
                "image",
                [
                    "linux",
                    ["kernel", ""],
                    ["superpages", "0"],
                    ["nomigrate", "0"],
                    ["tsc_mode", "0"],
                ],
            ],
            ["status", "2"],
            ["state", "r-----"],
        ]
    )


def to_send(domain, version, change_home_server=False):
    """Return the description that a migration begins with, as bytes."""
    described = live(domain, "-b----")
    # What a restored domain gets anew is not sent along.
    kept = [item for item in described[1:] if item[0] not in ("store_mfn", "console_mfn")]
    name = ["name", domain["xend_name"]]
    kept = [name if item[0] == "name" else item for item in kept]
    if sxp.version_key(version) >= (4, 0):
        kept.append(["change_home_server", str(change_home_server)])
    return sxp.encode(sxp.show(["domain"] + kept))
