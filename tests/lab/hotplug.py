"""The hotplug scripts of network cards, as udev runs them as soon as xend has made a device.

Here: where the scripts lie, what vif-bridge and vif2 refuse, and what sysfs shows of a card afterwards.
How long xend waits for the answer, and what it does about it, is in relocation.py.
"""

import os
from collections import namedtuple

from tests.lab import sxp
from tests.lab.layout import remove_tree
from tests.lab.storage import SCRIPTS, add_script, bridge_folder

CARD_SCRIPTS = ("vif-bridge", "vif-nat", "vif-route", "vif-setup", "vif2")
BRIDGE_SCRIPT = "vif-bridge"
CARDS = ("vif", "vif2")
CONNECTED, ERROR, SILENT = "connected", "error", "silent"
MAX_LINKS = 8


class Answer(namedtuple("Answer", "status text", defaults=(None,))):
    """What a script has written into xenstore: `text` is its hotplug-error, if it wrote one."""


def install(layout):
    """Put the scripts where a new host has them."""
    for name in CARD_SCRIPTS:
        add_script(layout, name)


def run(layout, config, domid, default=BRIDGE_SCRIPT):
    """Run the scripts of all network cards of a domain.

    config -- its description
    default -- xend's own vif-script, for cards that bring none

    Returns {(class, number): Answer}, with the number that xend gives each card of its class.
    """
    answers = {}
    for number, kind, settings in _cards(config):
        answers[kind, number] = _run(layout, kind, number, settings, domid, default)
    return answers


def detach(layout, domain):
    """Take what sysfs shows of a domain's cards away."""
    for number, kind, settings in _cards(domain["config"]):
        remove_tree(_folder(layout, kind, number, settings, domain["domid"]), ignore_errors=True)


def _cards(config):
    numbers = dict.fromkeys(CARDS, 0)
    for item in config[1:]:
        if item[0] == "device" and item[1][0] in CARDS:
            kind, *pairs = item[1]
            yield numbers[kind], kind, {pair[0]: pair[1] for pair in pairs if len(pair) > 1}
            numbers[kind] += 1


def _run(layout, kind, number, settings, domid, default):
    if layout.has_fault("hotplug-mute"):
        return Answer(SILENT)
    # xend joins its folder and the whole text; udev splits it, and gives the rest to the script.
    words = (settings.get("script", default) if kind == "vif" else "vif2").split() or [""]
    path = os.path.join(SCRIPTS, words[0])
    if not _is_executable(layout, path):
        return Answer(SILENT)
    if layout.has_fault("bridge-missing"):
        return _refusal(layout, "%s failed; error detected." % path)
    name = os.path.basename(path)
    given = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    if kind == "vif" and name != BRIDGE_SCRIPT:
        return Answer(CONNECTED)
    bridge, refusal = _bridge(layout, kind, settings.get("bridge") or given.get("bridge"), path)
    if refusal:
        return _refusal(layout, refusal)
    if bridge:
        port = _folder(layout, kind, number, settings, domid) / "brport"
        port.mkdir(parents=True, exist_ok=True)
        (port / "bridge").unlink(missing_ok=True)
        (port / "bridge").symlink_to("../../" + bridge)
    return Answer(CONNECTED)


def _refusal(layout, text):
    # Up to 3.0.4 `fatal` writes no more than the status.
    return Answer(ERROR, text if sxp.version_key(layout.version) >= (3, 1) else None)


def _bridge(layout, kind, wanted, path):
    """Return the bridge that a card is put on, None for none, and why the script fails, or None."""
    net = layout.path("/sys/class/net")
    key = sxp.version_key(layout.version)
    bridges = sorted(one.parent.name for one in net.glob("*/bridge") if one.is_dir())
    if kind == "vif2":
        if wanted == "-":
            return None, None
        if not wanted and len(bridges) != 1:
            words = "no bridge specified, and don't know which one to use (%d found)"
            return None, words % len(bridges)
    if not wanted:
        # brctl shows them by name.
        return (
            (bridges[0], None)
            if bridges
            else (
                None,
                "Could not find bridge, and none was specified",
            )
        )
    if (
        key >= (3, 2)
        and kind == "vif"
        and wanted.startswith("xenbr")
        and not (net / wanted).exists()
    ):
        new_style = "eth" + wanted[len("xenbr") :]
        wanted = new_style if bridge_folder(layout, new_style).is_dir() else wanted
    if kind == "vif" and key >= (3, 1) and not (net / wanted).exists():
        return None, "Could not find bridge device %s" % wanted
    # It is brctl that fails for what is no bridge.
    if not bridge_folder(layout, wanted).is_dir():
        return None, "%s failed; error detected." % path
    return wanted, None


def _folder(layout, kind, number, settings, domid):
    name = settings.get("vifname") or "%s%d.%d" % (kind, domid, number)
    return layout.path("/sys/class/net") / name


def _is_executable(layout, path):
    """Whether udev can run what lies at this path of the host; links are followed on the host."""
    for _link in range(MAX_LINKS):
        real = layout.path(path)
        if not real.is_symlink():
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(real)))
    real = layout.path(path)
    return real.is_file() and not real.is_symlink() and bool(real.stat().st_mode & 0o111)
