"""The DRBD resources of a host, as far as Xen's script block-drbd and `drbdadm` see them.

Here: what /proc/drbd and drbdadm say of them, and what happens when one is made primary. A resource
is a row in a file of its host; tests change rows to break it.
"""

import json
import sys

from tests.lab.layout import Layout, read_json, write_atomic

MAJOR = 147
VERSION = "version: 8.3.11 (api:88/proto:86-96)\nsrcversion: 71955441799F513ACA6DA60\n"
DEFAULT = {
    "cs": "Connected",
    "ro": "Secondary/Secondary",
    "ds": "UpToDate/UpToDate",
    "two_primaries": True,
    "addresses": ["10.0.0.1:7788", "10.0.0.2:7788"],
}


def _path(layout):
    return layout.path("/etc/drbd.json")


def rows(layout):
    """Return {resource: row} of the host."""
    return read_json(_path(layout), {})


def put(layout, resource, **changes):
    """Add a resource to the host or change it; a change to None takes it away."""
    known = rows(layout)
    if changes.pop("present", True):
        known.setdefault(resource, dict(DEFAULT, minor=len(known))).update(changes)
    else:
        known.pop(resource, None)
    _path(layout).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(_path(layout), json.dumps(known))
    write_atomic(layout.path("/proc/drbd"), VERSION + "".join(map(_line, known.values())))
    links = layout.path("/dev/drbd/by-res")
    links.mkdir(parents=True, exist_ok=True)
    for name, row in known.items():
        # As storage.py has its block devices.
        kernel = layout.path("/sys/block/drbd%d" % row["minor"])
        kernel.mkdir(parents=True, exist_ok=True)
        (kernel / "dev").write_text("%d:%d\n" % (MAJOR, row["minor"]))
        layout.path("/dev/drbd%d" % row["minor"]).touch()
        link = links / name
        if not link.is_symlink():
            link.symlink_to("../../drbd%d" % row["minor"])
    return known.get(resource)


def _line(row):
    return "%2d: cs:%s ro:%s ds:%s C r-----\n    ns:0 nr:0 dw:0 dr:0\n" % (
        row["minor"],
        row["cs"],
        row["ro"],
        row["ds"],
    )


def number(layout, resource):
    row = rows(layout).get(resource)
    return row and "%d:%d" % (MAJOR, row["minor"])


def device(layout, resource):
    return "/dev/drbd%d" % rows(layout)[resource]["minor"]


def promote(layout, resource, force=False):
    """Make a resource primary here; return whether it could be."""
    row = rows(layout).get(resource)
    if row is None:
        return False
    mine, _, other = row["ro"].partition("/")
    if mine == "Primary":
        return True
    if not force:
        if other == "Primary" and not row["two_primaries"]:
            return False
        # What is not up to date can be used through the peer only.
        if row["ds"].partition("/")[0] != "UpToDate" and row["cs"] in (
            "StandAlone",
            "WFConnection",
        ):
            return False
    put(layout, resource, ro="Primary/" + other)
    for path in layout.fleet_root.glob("hosts/*/host.json"):
        peer = Layout(path.parent)
        row = rows(peer).get(resource)
        if peer.name != layout.name and row and row["cs"] == "Connected":
            put(peer, resource, ro=row["ro"].partition("/")[0] + "/Primary")
    return True


def main(root, arguments):
    """`drbdadm COMMAND RESOURCE`; return the exit code."""
    layout = Layout(root)
    command, name = (arguments + ["", ""])[:2]
    row = rows(layout).get(name)
    if row is None:
        sys.stderr.write("'%s' not defined in your config (for this host).\n" % name)
        return 10
    if command == "dump":
        print("# /etc/drbd.conf")
        print("resource %s {\n    protocol C;" % name)
        for index, address in enumerate(row["addresses"]):
            print("    on node%d {\n        address ipv4 %s;\n    }" % (index, address))
        if row["two_primaries"]:
            print("    net {\n        allow-two-primaries;\n    }")
        print("}")
    elif command in ("cstate", "dstate", "role"):
        print(row[{"cstate": "cs", "dstate": "ds", "role": "ro"}[command]])
    elif command == "sh-dev":
        print("/dev/drbd%d" % row["minor"])
    else:
        sys.stderr.write("Unknown command '%s'.\n" % command)
        return 20
    return 0
