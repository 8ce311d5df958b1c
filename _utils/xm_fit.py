"""
Whether a guest fits another host: version of Xen, processor, memory, clocks, files of its own.

All is judged from facts that the callers bring; nothing is read here, and nothing knows xm or Salt.
What is said of disks is in xm_disks, of other devices in xm_devices.
"""

import re

# What an administrator may decide to risk.
RISKS = ("cpu", "version", "storage", "devices", "managed")

# What Xen takes for a domain besides its memory.
DOMAIN_OVERHEAD_MIB = 1

# What the memory of video takes on top in a HVM guest: 8 MiB up to Xen 3.4, videoram (4 by default) from
# 4.0 on (image.X86_HVM_ImageHandler.getRequiredAvailableMemory).
HVM_VIDEO_MIB = 8

# What a host with an IOMMU calls it in virt_caps, and the first tools that want memory for its tables before
# they receive a guest (XendCheckpoint.restore; 4.0 wants it for guests that it starts, but not for these).
IOMMU = "hvm_directio"
IOMMU_SINCE = (4, 1)
IOMMU_KIB_PER_MIB = 4

HW_CAPS = re.compile(r"[0-9a-f]{8}(:[0-9a-f]{8})*\Z")

# How far clocks may be apart without a word. Within it lies what the minions of two hosts need to begin with
# the same job.
MAX_SKEW_S = 5

# How old the facts of another host may be of which nobody says when they were asked for.
MAX_AGE_S = 50

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

# Flags that say nothing about what a guest may use; many of them only newer kernels have names for.
#
# Those that Linux makes up itself, differently from kernel to kernel and with the number of processors of
# dom0 (words 3 and 7 of its cpufeature.h, and the names that it gives to its mitigations): no bit of CPUID is
# behind them, so no guest can find them.
LINUX_FLAGS = (
    "acc_power aperfmperf always amd_dcm arch_perfmon arch_capabilities bts centaur_mcr constant_tsc cpuid "
    "cyrix_arr eagerfpu extd_apicid fxsave_leak ibrs_enhanced invpcid_single k6_mtrr k7 k8 kaiser "
    "l1tf_pteinv lfence_rdtsc ls_cfg_ssbd mfence_rdtsc msr_spec_ctrl nonstop_tsc nonstop_tsc_s3 nopl p3 p4 "
    "pebs pti rep_good retpoline retpoline_amd ring3mwait rsb_ctxsw spec_store_bypass_disable "
    "split_lock_detect syscall32 sysenter32 tsc_known_freq tsc_reliable up use_ibpb use_ibrs_fw xenpv "
    "xtopology zen"
)

# Speculation and its control, which came with microcode and not with processors: leaf 7 EDX and leaf 80000008
# EBX of CPUID. They steer MSRs, which are the hypervisor's; Xen up to 4.4 shows a guest zeroes in both places
# (libxc xc_cpuid_x86.c, xc_cpuid_policy; traps.c, pv_cpuid). VERW and the like work without them.
MICROCODE_FLAGS = (
    "amd_ibpb amd_ibrs amd_ssb_no amd_ssbd amd_stibp core_capabilities flush_l1d ibpb ibrs intel_stibp "
    "md_clear rtm_always_abort spec_ctrl spec_ctrl_ssbd srbds_ctrl ssbd stibp stibp_always_on "
    "tsx_force_abort virt_ssbd"
)

# Power management, monitoring and errors (leaves 6 and A and those of RAS): their MSRs are the hypervisor's.
# The BIOS switches some of them.
PLATFORM_FLAGS = (
    "arat cat_l2 cat_l3 cdp_l2 cdp_l3 cpb cppc cpuid_fault cqm_llc cqm_mbm_local cqm_mbm_total "
    "cqm_occup_llc dtherm epb hfi hw_pstate hwp hwp_act_window hwp_epp hwp_notify hwp_pkg_req ida intel_ppin "
    "amd_ppin irperf mba overflow_recov pln proc_feedback pts smca stc succor ts ttp fid vid"
)

# Virtualization, of which Xen shows its guests nothing: vmx and svm (below) and what belongs to them.
# vmmcall only says which instruction calls a hypervisor; under Xen that stands in the hypercall page.
VIRTUAL_FLAGS = (
    "avic decodeassists ept ept_ad flexpriority flushbyasid lbrv npt nrip_save pausefilter pfthreshold sev "
    "sev_es sme svm_lock tpr_shadow tsc_scale v_vmsave_vmload vgif vmcall vmcb_clean vmmcall vmw_vmmcall "
    "vnmi vpid"
)

# Bits of hw_caps too: debugging, topology, power management and virtualization, many of which the BIOS
# switches, and which Xen hides from guests or makes itself for them (libxc xc_cpuid_x86.c).
HIDDEN_FLAGS = (
    "acpi cid dca ds_cpl dtes64 dts est extapic ht hypervisor ibs monitor nodeid_msr osxsave pbe pdcm skinit "
    "smx svm tm tm2 topoext tsc_deadline_timer vmx wdt x2apic xtpr"
)

NO_CPU_FLAGS = frozenset(
    " ".join((LINUX_FLAGS, MICROCODE_FLAGS, PLATFORM_FLAGS, VIRTUAL_FLAGS, HIDDEN_FLAGS)).split()
)

# What tells one model of processor from another.
PROCESSOR = ("vendor", "family", "model_number", "stepping")

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
    caps and virt_caps (lists of words), hw_caps, vendor, family, model_number and stepping (ints), flags
    (sorted list), model (its name), free_mib, time, uptime_s, bridges, vif_script. What is lacking is None.
    """
    cpu = _first_cpu(cpuinfo or "")
    version = [info.get("xen_major"), info.get("xen_minor")]
    flags, hw_caps = cpu.get("flags"), _text(info.get("hw_caps"))
    seconds = (uptime or "").split()
    return {
        "host": _text(info.get("host")),
        "xen": version if all([isinstance(part, int) for part in version]) else None,
        "tools": list(tools) if tools else None,
        "extra": _text(info.get("xen_extra")),
        "machine": _text(info.get("machine")),
        "caps": _list(info.get("xen_caps")),
        "virt_caps": _list(info.get("virt_caps")),
        "hw_caps": hw_caps if HW_CAPS.match(hw_caps or "") else None,
        "vendor": cpu.get("vendor_id"),
        "family": _number(cpu.get("cpu family")),
        "model_number": _number(cpu.get("model")),
        "stepping": _number(cpu.get("stepping")),
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


def _list(value):
    return ("%s" % value).split() or None if value else None


def _number(text):
    # Kernels say "unknown" where a processor has no stepping.
    return int(text) if text and re.match(r"[0-9]+\Z", text) else None


def _first_cpu(cpuinfo):
    found = {}
    for line in cpuinfo.lstrip().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip() or None
    return found


def fits(domain, source, target, accept=(), apart_s=0):
    """
    Whether a guest that runs on one host can go on running on another. Memory is not looked at: who counts
    it must know what dom0 gives back.

    domain
        the description of the guest
    source, target
        what `facts` returned on the two hosts, at the same moment; source None when it is not known
    accept
        a list of RISKS, or one of them, that `risks` has looked at: what would be a blocker is a warning
    apart_s
        seconds by which the moments at which they were asked may differ; None: the target was asked later,
        and nobody knows how much

    Returns {"blockers": [...], "warnings": [...]}: sentences.
    """
    accept = _listed(accept)
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
    warnings += _leap(source, target) + _unshown(source, target) + _clocks(domain, source, target, apart_s)
    return {"blockers": blockers, "warnings": warnings}


def _known(host, name):
    """
    The facts of a host, with None for those that it does not tell: it may have another version of this
    file.
    """
    known = facts({}, None, None, None, None)
    known.update(host)
    known["host"] = known["host"] or name
    if not HW_CAPS.match(known["hw_caps"] or ""):
        known["hw_caps"] = None
    for key in ("xen", "tools"):
        if known[key] and len(known[key]) < 2:
            known[key] = None
    return known


def _listed(accept):
    return [accept] if hasattr(accept, "upper") else list(accept or ())


def risks(accept, utility):
    """
    What may differ between the two hosts all the same, as a list of RISKS.

    accept
        such a list, one of them, or None for none
    utility
        a function from the name of another utility to that utility

    Raises ValueError for a word that is none of them.
    """
    quoted = utility("xend_text").quoted
    if not (accept is None or hasattr(accept, "upper") or isinstance(accept, (list, tuple))):
        raise ValueError(
            "accept: %s is no list; the risks that can be accepted are %s"
            % (quoted(accept), ", ".join(RISKS))
        )
    words = _listed(accept)
    unknown = [word for word in words if word not in RISKS]
    if unknown:
        raise ValueError(
            "accept: %s is no risk that can be accepted; they are %s"
            % (", ".join([quoted(word) for word in unknown]), ", ".join(RISKS))
        )
    return words


# Rules: each returns the sentences of what it finds; a fact that one of the hosts lacks is no finding.


def _version(domain, source, target):
    for kind, one, other in _releases(source, target):
        if one[0] == other[0] and one[1] <= other[1]:
            continue
        how, words = "an older" if other < one else "a much newer", (kind, "%d.%d" % tuple(one))
        return [
            "%s has %s %s and %s %s one, %d.%d, which may not understand what it is sent, or fail when all "
            "has been sent; choose a host with %s %s or a later %d"
            % ((source["host"],) + words + (target["host"], how) + tuple(other) + words + (one[0],))
        ]
    return []


def _releases(source, target):
    """
    The versions of both hosts that are to be compared, as a list of (what, source's, target's): of the
    hypervisor, which gives the state of a guest and takes it, and of the tools, which write it down and read
    it. RHEL 5 has tools of 3.0.3 on a hypervisor 3.1.
    """
    return [
        (kind, list(source[key][:2]), list(target[key][:2]))
        for kind, key in (("Xen", "xen"), ("the xend of Xen", "tools"))
        if source[key] and target[key]
    ]


def _leap(source, target):
    """
    That more than one release lies between the two hosts. Upstream promises migration between hosts of the
    same version only; to the next one it is widely done, and Ganeti allows just that (hv_xen).
    """
    steps = [
        (other[1] - one[1], kind, one, other)
        for kind, one, other in _releases(source, target)
        if one[0] == other[0] and other[1] - one[1] > 1
    ]
    if not steps:
        return []
    count, kind, one, other = max(steps, key=lambda step: step[0])
    return [
        "%s has %s %d.%d, %s %d.%d, which is %d releases later: Xen promises this within one version only, "
        "and hardly anybody goes more than one release at a time; try it with a guest that may be lost, or "
        "go by a host with a release in between"
        % (source["host"], kind, one[0], one[1], target["host"], other[0], other[1], count)
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
    here = "only " + ", ".join(here) if here else "none of %s*" % kind
    here += " (the difference is PAE)" if is_pae else ""
    return [
        "Xen on %s runs guests of the kind %s, on %s %s; choose a host that runs the same kinds"
        % (source["host"], ", ".join(lacking), target["host"], here)
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
    if _is_same_processor(source, target):
        # What one kernel shows and the other does not, the guest finds all the same.
        return []
    # What Xen sees on the source, hw_caps judge. Xen that knows no leaf 7 sees less than a kernel shows.
    lacking = [
        flag
        for flag in _lacking_flags(source, target)
        if not _is_seen_by_xen(flag, source) or _is_seen_by_xen(flag, target) is None
    ]
    if not lacking:
        return []
    one, other = [host["model"] or "model not known" for host in (source, target)]
    return [
        "the processor of %s (%s) has %s, that of %s (%s) has not; %s may use it and crash; choose a host "
        "with the same or a later processor"
        % (source["host"], one, ", ".join(lacking), target["host"], other, domain["name"])
    ]


def _lacking_flags(source, target):
    if source["flags"] is None or target["flags"] is None:
        return []
    return sorted(set(source["flags"]) - set(target["flags"]) - NO_CPU_FLAGS)


def _is_same_processor(source, target):
    """
    Whether both hosts have the very same model of processor, and Xen sees the same in both.
    """
    models = [[host[key] for key in PROCESSOR] for host in (source, target)]
    if models[0] != models[1] or None in models[0] or None in (source["hw_caps"], target["hw_caps"]):
        return False
    one, other = [host["hw_caps"].split(":") for host in (source, target)]
    return not [
        number
        for number, (_, flags) in CPUID_WORDS.items()
        # Xen before 4.0 has no word 7.
        if number < min(len(one), len(other))
        and (int(one[number], 16) ^ int(other[number], 16)) & _used(flags)
    ]


def _used(flags):
    """
    The bits of a word of hw_caps that tell what a guest may use.
    """
    return sum([1 << bit for bit, names in enumerate(flags.split()) if names not in NO_CPU_FLAGS])


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
    lacking = _lacking_flags(source, target)
    if lacking and _is_same_processor(source, target):
        model = tuple([target[key] for key in PROCESSOR[1:]])
        return [
            "the dom0 kernel of %s does not show %s, that of %s does; the processors are the same (family "
            "%d, model %d, stepping %d, hw_caps): kernels have names for different flags; when both run the "
            "same one, compare their BIOS settings and microcode"
            % ((target["host"], ", ".join(lacking), source["host"]) + model)
        ]
    flags = [
        flag for flag in lacking if _is_seen_by_xen(flag, source) and _is_seen_by_xen(flag, target)
    ]
    if not flags:
        return []
    return [
        "the dom0 kernel of %s does not show %s, which Xen sees there as on %s: an older kernel has no names "
        "for what guests find all the same; if it is not older, see why"
        % (target["host"], ", ".join(flags), source["host"])
    ]


def _clocks(domain, source, target, apart_s):
    found = _skew(domain, source, target, apart_s)
    if None in (source["uptime_s"], target["uptime_s"]):
        return found
    if source["uptime_s"] - target["uptime_s"] > MAX_YOUNGER_S:
        there_h, here_h = [host["uptime_s"] / 3600.0 for host in (source, target)]
        found.append(
            "%s has been up for %.1f h, %s for %.1f h: with an old kernel the clock of %s may jump, or it "
            "may hang for a while; look at it afterwards"
            % (target["host"], here_h, source["host"], there_h, domain["name"])
        )
    return found


def _skew(domain, source, target, apart_s):
    if None in (source["time"], target["time"]):
        return []
    skew_s = target["time"] - source["time"]
    is_told = apart_s is None or apart_s <= MAX_SKEW_S
    if apart_s is None:
        # What passed since the source was asked can only make the target's clock look ahead.
        apart_s = MAX_AGE_S if skew_s > 0 else 0
    if abs(skew_s) - apart_s > MAX_SKEW_S:
        side = "ahead of" if skew_s > 0 else "behind"
        return [
            "the clock of %s is %.0f s %s that of %s: the clock of %s may jump as much; set both hosts by NTP"
            % (target["host"], abs(skew_s), side, source["host"], domain["name"])
        ]
    if is_told or abs(skew_s) <= MAX_SKEW_S:
        return []
    return [
        "whether the clocks of %s and %s agree was not found out: they were asked together and answered up "
        "to %.0f s apart; compare `date` on both" % (source["host"], target["host"], apart_s)
    ]


# Memory


def needed_mib(domain, host=None):
    """
    The memory in MiB that a host needs to receive a guest.

    domain
        the description of the guest
    host
        what `facts` returned on that host; without it, what the oldest xend and a host without an IOMMU want

    xend frees as much before it receives memory (xend 4.0 XendCheckpoint.restore): what the guest has,
    not what it may grow to; for HVM guests also video memory and shadow memory of at least 1 MiB for each
    VCPU and 8 KiB for each MiB of maxmem (image.X86_HVM_ImageHandler; 4 KiB in 3.0.3); and `iommu_mib`.
    """
    needed = domain["memory_mib"] + DOMAIN_OVERHEAD_MIB + iommu_mib(domain, host)
    if domain.get("image") != "hvm":
        return needed
    least = _shadow_mib(domain, 8)
    return needed + HVM_VIDEO_MIB + max(least, domain.get("shadow_memory_mib") or 0)


def iommu_mib(domain, host=None):
    """
    What xend wants free beside that, in MiB, on a host whose IOMMU guests may use: 4 KiB for each MiB of
    maxmem, rounded up, for the tables of VT-d; for every guest, whether it has such a device or not (xend 4.1
    to 4.4 XendCheckpoint.restore).

    domain, host
        as for `needed_mib`
    """
    if host is None or IOMMU not in (host.get("virt_caps") or ()):
        return 0
    version = host.get("tools") or host.get("xen")
    if version and tuple(version) < IOMMU_SINCE:
        return 0
    return (_maxmem_mib(domain) * IOMMU_KIB_PER_MIB + 1023) // 1024


def live_overhead_mib(domain):
    """
    The memory in MiB that the source of a live migration must have free: 1 MiB for each VCPU and 4 KiB for
    each MiB of maxmem, rounded up, less the shadow memory that the guest has (xend 3.0.3 to 4.4
    XendDomainInfo.checkLiveMigrateMemory).
    """
    return max(0, _shadow_mib(domain, 4) - (domain.get("shadow_memory_mib") or 0))


def _shadow_mib(domain, kib_per_mib):
    kib = (domain.get("vcpus") or 1) * 1024 + _maxmem_mib(domain) * kib_per_mib
    return (kib + 1023) // 1024


def _maxmem_mib(domain):
    return max(domain.get("maxmem_mib") or 0, domain.get("memory_mib") or 0)


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
