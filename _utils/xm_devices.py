"""
What the devices of a guest need on the host that takes it: bridges, backends.

All is judged from facts that the callers bring; nothing is read here, and nothing knows xm or Salt.
Whether disks are the same storage is said in xm_disks.
"""

DOM0 = (None, "", "0", 0, "Domain-0")
BRIDGE_SCRIPT = "vif-bridge"


def fits(domain, target):
    """
    Whether a host has what the devices of a guest need.

    domain
        the description of the guest
    target
        what xm_fit.facts returned on that host

    Returns {"blockers": [...], "warnings": [...]}: sentences.
    """
    known = {"host": "the target", "bridges": None, "vif_script": None}
    known.update([(key, value) for key, value in target.items() if value is not None])
    blockers, warnings = _bridges(domain, known)
    return {"blockers": foreign_backends(domain) + blockers, "warnings": warnings}


def foreign_backends(domain):
    """
    The disks and network interfaces of a guest that another domain than dom0 serves, as a list of
    sentences. On another host there is no such domain, or not the same.
    """
    found = []
    for kind, key in (("disk", "disks"), ("network interface", "vifs")):
        for device in domain.get(key) or []:
            if device.get("backend") not in DOM0:
                found.append(
                    "the %s %s of %s is served by the domain %s, which does not move along; let dom0 serve it"
                    % (
                        kind,
                        device.get("dev") or device.get("mac") or device.get("uname") or "without a name",
                        domain["name"],
                        device["backend"],
                    )
                )
    return found


def _bridges(domain, target):
    """
    (blockers, warnings) about the bridges of a guest.
    """
    wanted = [vif for vif in domain.get("vifs") or [] if vif.get("bridge") and _is_bridged(vif, target)]
    known = target["bridges"]
    if wanted and known is None:
        names = ", ".join(sorted(set([vif["bridge"] for vif in wanted])))
        return [], ["whether %s has the bridge %s was not checked" % (target["host"], names)]
    return [
        "the network interface %s of %s needs the bridge %s, and %s has %s: xend would find out only when "
        "all memory is there, and the guest would be lost on both; make the bridge there"
        % (
            vif.get("mac") or "without an address",
            domain["name"],
            vif["bridge"],
            target["host"],
            "only " + ", ".join(known) if known else "none",
        )
        for vif in wanted
        if vif["bridge"] not in known
    ], []


def _is_bridged(vif, target):
    # Without one of its own it gets that of the host that takes it (xend 3.4 netif.getDeviceDetails).
    words = (vif.get("script") or target["vif_script"] or BRIDGE_SCRIPT).split()
    return bool(words) and words[0].rpartition("/")[2] == BRIDGE_SCRIPT
