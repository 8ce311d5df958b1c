"""
Whether a guest fits another host: version of Xen, processor, memory, clocks, files of its own.

All is judged from facts that the callers bring; nothing is read here, and nothing knows xm or Salt.
What is said of disks is in xm_disks, of other devices in xm_devices.
"""

import re

# What an administrator may decide to risk.
RISKS = ("cpu", "version", "storage", "devices")

# What Xen takes for a domain besides its memory.
DOMAIN_OVERHEAD_MIB = 1

# What the memory of video takes on top in a HVM guest: 8 MiB up to Xen 3.4, videoram (4 by default) from
# 4.0 on (image.X86_HVM_ImageHandler.getRequiredAvailableMemory).
HVM_VIDEO_MIB = 8

HW_CAPS = re.compile(r"[0-9a-f]{8}(:[0-9a-f]{8})*\Z")

MAX_SKEW_S = 5
MAX_YOUNGER_S = 3600

# The words of hw_caps that are CPUID registers; the others are Xen's own notes (xen cpufeature.h). With each:
# what Linux calls its bits in /proc/cpuinfo, from bit 0 on; "-" has no name there, "/" is between the names
# that several kernels use.
CPUID_WORDS = {
    0: (
        "CPUID 1 EDX",
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov "
        "pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
    ),
    1: (
        "CPUID 80000001 EDX",
        "- - - - - - - - - - - syscall - - - - "
        "- - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
    ),
    4: (
        "CPUID 1 ECX",
        "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm "
        "- pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand "
        "hypervisor",
    ),
    6: (
        "CPUID 80000001 ECX",
        "lahf_lm cmp_legacy svm extapic cr8_legacy/cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs "
        "xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc "
        "perfctr_llc/perfctr_l2 mwaitx - -",
    ),
    7: (
        "CPUID 7 EBX",
        "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a "
        "avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd "
        "sha_ni avx512bw avx512vl",
    ),
}

FLAG_BITS = dict(
    (name, (number, bit))
    for number, (_, flags) in CPUID_WORDS.items()
    for bit, names in enumerate(flags.split())
    for name in names.split("/")
)

# Flags that say nothing about what a guest may use: those that Linux derives itself, differently from
# kernel to kernel and with the number of processors of dom0; and those of power management, debugging,
# topology and virtualization, many of which the BIOS switches, and which Xen hides from guests or makes
# itself for them (libxc xc_cpuid_x86.c).
NO_CPU_FLAGS = frozenset(
    "acc_power acpi amd_dcm aperfmperf arat arch_perfmon bts cid constant_tsc cpb cpuid_fault dca ds_cpl "
    "dtes64 dtherm dts eagerfpu epb ept est extapic extd_apicid fid flexpriority fxsave_leak ht hw_pstate "
    "hypervisor ibs ida k7 k8 kaiser lbrv lfence_rdtsc mfence_rdtsc monitor nodeid_msr nonstop_tsc "
    "nonstop_tsc_s3 nopl npt nrip_save osxsave p3 p4 pausefilter pbe pdcm pebs pln pti pts rep_good "
    "retpoline rsb_ctxsw skinit smx stc svm svm_lock tm tm2 topoext tpr_shadow ts tsc_deadline_timer "
    "tsc_known_freq tsc_reliable ttp up vid vmx vnmi vpid wdt x2apic xtopology xtpr".split()
)

# Files of a guest that only matter when it is started; a boot loader brings kernel and ramdisk itself.
BOOT_FILES = ("bootloader", "kernel", "ramdisk")


def facts(info, cpuinfo, uptime, now, bridges, vif_script=None, tools=None):
    """
    What another host must know of this one.

    info
        the dict that xm_output.info returns
    cpuinfo, uptime
        the text of /proc/cpuinfo and /proc/uptime, None when there is none
    now
        seconds since the epoch
    bridges
        list of names of the bridges, None when not known
    vif_script
        xend's vif-script, None for its default
    tools
        what xm_output.tools_version returns

    Returns a dict: host, xen ([major, minor] of the hypervisor), tools (the version of xend), extra, machine,
    caps (list of words), hw_caps, vendor, flags (sorted list), model, free_mib, time, uptime_s, bridges,
    vif_script. What is lacking is None.
    """
    cpu = _first_cpu(cpuinfo or "")
    version = [info.get("xen_major"), info.get("xen_minor")]
    caps, flags, hw_caps = info.get("xen_caps"), cpu.get("flags"), _text(info.get("hw_caps"))
    seconds = (uptime or "").split()
    return {
        "host": _text(info.get("host")),
        "xen": version if all([isinstance(part, int) for part in version]) else None,
        "tools": list(tools) if tools else None,
        "extra": _text(info.get("xen_extra")),
        "machine": _text(info.get("machine")),
        "caps": caps.split() if caps else None,
        "hw_caps": hw_caps if HW_CAPS.match(hw_caps or "") else None,
        "vendor": cpu.get("vendor_id"),
        "flags": sorted(set(flags.split())) if flags else None,
        "model": cpu.get("model name"),
        "free_mib": info.get("free_memory"),
        "time": now,
        "uptime_s": float(seconds[0]) if seconds else None,
        "bridges": bridges,
        "vif_script": vif_script,
    }


def _text(value):
    # Values of `xm info` that are whole numbers are ints.
    return None if value in (None, "") else "%s" % value


def _first_cpu(cpuinfo):
    found = {}
    for line in cpuinfo.lstrip().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip() or None
    return found


def fits(domain, source, target, accept=()):
    """
    Whether a guest that runs on one host can go on running on another. Memory is not looked at: who counts
    it must know what dom0 gives back.

    domain
        the description of the guest
    source, target
        what `facts` returned on the two hosts, at the same moment; source None when it is not known
    accept
        a list of RISKS, or one of them: what would be a blocker is a warning then

    Returns {"blockers": [...], "warnings": [...]}: sentences. Raises ValueError for an unknown risk.
    """
    accept = risks(accept)
    target = _known(target, "the target")
    blockers, warnings = [], []
    if source is None:
        warnings.append(
            "processors, versions of Xen and clocks were not compared: nothing is known of the host that %s "
            "is on" % domain["name"]
        )
        return {"blockers": blockers, "warnings": warnings}
    source = _known(source, "the source")
    for rule, risk in RULES:
        for sentence in rule(domain, source, target):
            if risk is None:
                blockers.append(sentence)
            elif risk in accept:
                warnings.append("accepted: " + sentence)
            else:
                blockers.append("%s; who knows better says accept: [%s]" % (sentence, risk))
    for host in (source, target):
        lacking = [what for fact, what in COMPARED if host[fact] is None]
        if lacking:
            warnings.append("%s does not show its %s: not compared" % (host["host"], ", ".join(lacking)))
    warnings += _unshown(source, target) + _clocks(domain, source, target)
    return {"blockers": blockers, "warnings": warnings}


def _known(host, name):
    """
    The facts of a host, with None for those that it does not tell: it may have another version of this
    file.
    """
    known = facts({}, None, None, None, None)
    known.update(host)
    known["host"] = known["host"] or name
    return known


def risks(accept):
    """
    What may differ between the two hosts all the same, as a list of RISKS.

    accept
        such a list, one of them, or None for none

    Raises ValueError for a word that is none of them.
    """
    words = [accept] if hasattr(accept, "upper") else list(accept or ())
    unknown = [word for word in words if word not in RISKS]
    if unknown:
        raise ValueError(
            "accept: %s is no risk that can be accepted; they are %s"
            % (", ".join([repr(word) for word in unknown]), ", ".join(RISKS))
        )
    return words


# Rules: each returns the sentences of what it finds; a fact that one of the hosts lacks is no finding.


def _version(domain, source, target):
    one, other = source["xen"], target["xen"]
    if not one or not other or one[0] == other[0] and one[1] <= other[1]:
        return []
    return [
        "%s has Xen %d.%d and %s %s one, %d.%d, which may not understand what it is sent, or fail when "
        "all has been sent; choose a host with Xen %d.%d or a later %d"
        % (
            source["host"],
            one[0],
            one[1],
            target["host"],
            "an older" if other < one else "a much newer",
            other[0],
            other[1],
            one[0],
            one[1],
            one[0],
        )
    ]


def _machine(domain, source, target):
    one, other = source["machine"], target["machine"]
    if not one or not other or one == other:
        return []
    return [
        "dom0 is %s on %s and %s on %s: what the one sends, the other cannot read; choose a host with a dom0 "
        "of the same kind" % (one, source["host"], other, target["host"])
    ]


def _caps(domain, source, target):
    if source["caps"] is None or target["caps"] is None:
        return []
    kind = "hvm-" if domain.get("image") == "hvm" else "xen-"
    here = [cap for cap in target["caps"] if cap.startswith(kind)]
    lacking = [cap for cap in source["caps"] if cap.startswith(kind) and cap not in here]
    if not lacking:
        return []
    # x86_32p is x86_32 with PAE; neither Xen runs the guests of the other.
    without_pae = [cap.rstrip("p") for cap in here]
    is_pae = any([cap.rstrip("p") in without_pae for cap in lacking])
    return [
        "Xen on %s runs guests of the kind %s, on %s %s%s; choose a host that runs the same kinds"
        % (
            source["host"],
            ", ".join(lacking),
            target["host"],
            "only " + ", ".join(here) if here else "none of %s*" % kind,
            " (the difference is PAE)" if is_pae else "",
        )
    ]


def _vendor(domain, source, target):
    one, other = source["vendor"], target["vendor"]
    if not one or not other or one == other:
        return []
    return [
        "the processor of %s is from %s, that of %s from %s: %s may have chosen its code by that and crash; "
        "choose a host with the same make" % (source["host"], one, target["host"], other, domain["name"])
    ]


def _flags(domain, source, target):
    # What Xen sees on the source, hw_caps judge. Xen that knows no leaf 7 sees less than a kernel shows.
    lacking = [
        flag
        for flag in _lacking_flags(source, target)
        if not _is_seen_by_xen(flag, source) or _is_seen_by_xen(flag, target) is None
    ]
    if not lacking:
        return []
    return [
        "the processor of %s (%s) has %s, that of %s (%s) has not; %s may use it and crash; choose a host "
        "with the same or a later processor"
        % (
            source["host"],
            source["model"] or "model not known",
            ", ".join(lacking),
            target["host"],
            target["model"] or "model not known",
            domain["name"],
        )
    ]


def _lacking_flags(source, target):
    if source["flags"] is None or target["flags"] is None:
        return []
    return sorted(set(source["flags"]) - set(target["flags"]) - NO_CPU_FLAGS)


def _is_seen_by_xen(flag, host):
    """
    Whether Xen sees a flag in the processor of a host; None when hw_caps do not tell.
    """
    if host["hw_caps"] is None or flag not in FLAG_BITS:
        return None
    number, bit = FLAG_BITS[flag]
    return bool(_words(host["hw_caps"])[number] >> bit & 1)


def _cpuid(domain, source, target):
    if source["hw_caps"] is None or target["hw_caps"] is None:
        return []
    one, other = _words(source["hw_caps"]), _words(target["hw_caps"])
    lacking = []
    for number in sorted(CPUID_WORDS):
        register, flags = CPUID_WORDS[number]
        missing = [
            (1 << bit, "bit %d" % bit if names == "-" else names)
            for bit, names in enumerate(flags.split())
            if names not in NO_CPU_FLAGS and (one[number] & ~other[number]) >> bit & 1
        ]
        if missing:
            mask, names = sum([bit for bit, _ in missing]), ", ".join([names for _, names in missing])
            lacking.append(
                "%s is %08x there and %08x here, without %08x (%s)"
                % (register, one[number], other[number], mask, names)
            )
    if not lacking:
        return []
    return [
        "Xen sees more of a processor on %s than on %s: %s; %s may use it and crash; choose a host with the "
        "same or a later processor"
        % (source["host"], target["host"], ", ".join(lacking), domain["name"])
    ]


def _words(hw_caps):
    words = [int(word, 16) for word in hw_caps.split(":")]
    # Xen before 4.0 has no word 7.
    return words + [0] * (max(CPUID_WORDS) + 1 - len(words))


# Which risk makes the finding of a rule a warning; None: nothing does.
RULES = (
    (_version, "version"),
    (_machine, None),
    (_caps, None),
    (_vendor, "cpu"),
    (_flags, "cpu"),
    (_cpuid, "cpu"),
)

# The facts that they need.
COMPARED = (
    ("xen", "version of Xen"),
    ("machine", "kind of dom0"),
    ("caps", "kinds of guests"),
    ("vendor", "make of processor"),
    ("flags", "processor flags"),
    ("hw_caps", "hw_caps"),
    ("uptime_s", "uptime"),
)


def _unshown(source, target):
    flags = [
        flag
        for flag in _lacking_flags(source, target)
        if _is_seen_by_xen(flag, source) and _is_seen_by_xen(flag, target)
    ]
    if not flags:
        return []
    return [
        "the dom0 kernel of %s does not show %s, which Xen sees there as on %s: an older kernel has no names "
        "for what guests find all the same; if it is not older, see why"
        % (target["host"], ", ".join(flags), source["host"])
    ]


def _clocks(domain, source, target):
    found = []
    has_times = None not in (source["time"], target["time"])
    skew_s = target["time"] - source["time"] if has_times else 0
    if abs(skew_s) > MAX_SKEW_S:
        found.append(
            "the clock of %s is %.0f s %s that of %s: the clock of %s may jump as much; set both hosts by NTP"
            % (
                target["host"],
                abs(skew_s),
                "ahead of" if skew_s > 0 else "behind",
                source["host"],
                domain["name"],
            )
        )
    if None in (source["uptime_s"], target["uptime_s"]):
        return found
    if source["uptime_s"] - target["uptime_s"] > MAX_YOUNGER_S:
        found.append(
            "%s has been up for %.1f h, %s for %.1f h: with an old kernel the clock of %s may jump, or it "
            "may hang for a while; look at it afterwards"
            % (
                target["host"],
                target["uptime_s"] / 3600.0,
                source["host"],
                source["uptime_s"] / 3600.0,
                domain["name"],
            )
        )
    return found


# Memory


def needed_mib(domain):
    """
    The memory in MiB that a host needs to receive a guest.

    xend frees as much before it receives memory (xend 4.0 XendCheckpoint.restore): what the guest has,
    not what it may grow to; for HVM guests also video memory and shadow memory of at least 1 MiB for each
    VCPU and 8 KiB for each MiB of maxmem (image.X86_HVM_ImageHandler; 4 KiB in 3.0.3).
    """
    needed = domain["memory_mib"] + DOMAIN_OVERHEAD_MIB
    if domain.get("image") != "hvm":
        return needed
    least = _shadow_mib(domain, 8)
    return needed + HVM_VIDEO_MIB + max(least, domain.get("shadow_memory_mib") or 0)


def live_overhead_mib(domain):
    """
    The memory in MiB that the source of a live migration must have free: 1 MiB for each VCPU and 4 KiB for
    each MiB of maxmem, rounded up, less the shadow memory that the guest has (xend 3.0.3 to 4.4
    XendDomainInfo.checkLiveMigrateMemory).
    """
    return max(0, _shadow_mib(domain, 4) - (domain.get("shadow_memory_mib") or 0))


def _shadow_mib(domain, kib_per_mib):
    maxmem_mib = max(domain.get("maxmem_mib") or 0, domain.get("memory_mib") or 0)
    kib = (domain.get("vcpus") or 1) * 1024 + maxmem_mib * kib_per_mib
    return (kib + 1023) // 1024


# Files


def reboot_warnings(domain, exists, image=None, target="the target"):
    """
    Which files that a guest's configuration names are missing on the target.

    domain
        the description of the guest
    exists
        called with a path, returns whether the target has it
    image
        dict of paths: kernel, ramdisk, bootloader, device_model, as far as there are any
    target
        what the sentences call that host

    Returns (blockers, warnings): without its device model a HVM guest cannot be continued; without the
    others it runs, but cannot be started again.
    """
    image = image or {}
    # A bare name is looked up in folders that only xend knows.
    missing = [key for key in sorted(image) if image[key].startswith("/") and not exists(image[key])]
    blockers = [
        "%s, the device model of %s, is missing on %s: xend would find out only when all memory is there, "
        "and the guest would be lost on both; install it there" % (image[key], domain["name"], target)
        for key in missing
        if key == "device_model" and domain.get("image") == "hvm"
    ]
    needed = BOOT_FILES[:1] if image.get("bootloader") else BOOT_FILES
    warnings = [
        "%s, the %s of %s, is missing on %s: the guest will run, but could not be started again there; copy "
        "it"
        % (image[key], key, domain["name"], target)
        for key in missing
        if key in needed
    ]
    return blockers, warnings
