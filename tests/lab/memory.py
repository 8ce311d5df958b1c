"""How much memory a guest takes beside its own: what xend asks the balloon for.

Here: the sums of xend's image.py and of XendDomainInfo.checkLiveMigrateMemory, in KiB. Getting the
memory is domains.py's work.
"""

from tests.lab import sxp

KIB_PER_MIB = 1024
PAGE_KIB = 4
VCPU_KIB = 1024
# What `xm info` calls an IOMMU that guests may use, and since when its tables are asked for: at the start
# of a guest, whether there is one or not; when there is one; and then also for a guest that comes.
IOMMU = "hvm_directio"
TABLES_BLINDLY, TABLES_AT_START, TABLES_AT_RESTORE = (3, 4), (4, 0), (4, 1)
# Before 4.0 the screen's memory was no setting.
OLD_SCREEN_MIB = 8


def _number(config, key, default):
    return int(sxp.child_value(config, key, default))


def _image(config):
    return next(item[1] for item in config[1:] if item[0] == "image")


def _whole_mib(kib):
    return -(-kib // KIB_PER_MIB) * KIB_PER_MIB


def shadow_kib(config):
    """Return the shadow memory of a domain described by `config`; a PV domain has none."""
    if _image(config)[0] != "hvm":
        return 0
    # Two pages for each MiB: one for the map of its memory, one to shadow what is running.
    least = VCPU_KIB * _number(config, "vcpus", 1) + 2 * PAGE_KIB * _number(config, "maxmem", 0)
    return _whole_mib(max(least, _number(config, "shadow_memory", 0) * KIB_PER_MIB))


def domain_kib(config, version):
    """Return what xend of `version` needs free for the domain: memory, screen and shadow."""
    needed = _number(config, "memory", 0) * KIB_PER_MIB + shadow_kib(config)
    image = _image(config)
    if image[0] == "hvm":
        modern = sxp.version_key(version) >= (4, 0)
        screen_mib = _number(image, "videoram", 4) if modern else OLD_SCREEN_MIB
        needed += screen_mib * KIB_PER_MIB
    return needed


def tables_kib(config, version, virt_caps, restoring):
    """Return what xend of `version` wants free for VT-d's tables: a page for each MiB of maxmem.

    virt_caps -- what `xm info` says of this host
    restoring -- whether the domain comes from elsewhere, instead of being started
    """
    key = sxp.version_key(version)
    if key < (TABLES_AT_RESTORE if restoring else TABLES_BLINDLY):
        return 0
    if key >= TABLES_AT_START and IOMMU not in virt_caps:
        return 0
    return _whole_mib(PAGE_KIB * _number(config, "maxmem", 0))


def live_overhead_kib(config):
    """Return what the source must have free to send the domain live; 0 or less: nothing."""
    overhead = VCPU_KIB * _number(config, "vcpus", 1) + PAGE_KIB * _number(config, "maxmem", 0)
    return _whole_mib(overhead) - shadow_kib(config)
