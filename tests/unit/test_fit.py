"""Which guests fit which hosts, and what is said when they do not."""

from importlib import import_module

import pytest

import xm_fit
import xm_output

INFO = """\
host                   : %(host)s
machine                : x86_64
hw_caps                : 078bf3fd:2193fbfd:00000000:00000000:80002001:00000000:00000005:00000000
virt_caps              : hvm hvm_directio
free_memory            : 902
xen_major              : 4
xen_minor              : 1
xen_extra              : .4
xen_caps               : xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 \n"""
CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) CPU 100% tested
flags\t\t: fpu sse sse2 up constant_tsc

processor\t: 1
vendor_id\t: GenuineIntel
flags\t\t: fpu

"""
NOW = 1700000000.0


def host(name="xen1", **changes):
    found = xm_fit.facts(
        xm_output.info(INFO % {"host": name}), CPUINFO, "86400.12 9.9\n", NOW, ["xenbr0"]
    )
    assert set(changes) <= set(found)
    found.update(changes)
    return found


def guest(**changes):
    found = {
        "name": "web01",
        "memory_mib": 96,
        "maxmem_mib": 128,
        "shadow_memory_mib": 0,
        "vcpus": 2,
        "image": "linux",
        "disks": [],
        "vifs": [{"mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}],
    }
    found.update(changes)
    return found


def fit(domain=None, source=None, target=None, **options):
    return xm_fit.fits(
        domain or guest(), source or host(), target or host("xen2"), **options
    )


def caps(*bits):
    """hw_caps with these (word, bit) set."""
    words = [0] * 8
    for number, bit in bits:
        words[number] |= 1 << bit
    return ":".join(["%08x" % word for word in words])


def only(sentences):
    (sentence,) = sentences
    return sentence


# Facts


def test_facts_of_a_host():
    assert host() == {
        "host": "xen1",
        "xen": [4, 1],
        "extra": ".4",
        "machine": "x86_64",
        "caps": [
            "xen-3.0-x86_64",
            "xen-3.0-x86_32p",
            "hvm-3.0-x86_32",
            "hvm-3.0-x86_32p",
            "hvm-3.0-x86_64",
        ],
        "virt_caps": ["hvm", "hvm_directio"],
        "hw_caps": "078bf3fd:2193fbfd:00000000:00000000:80002001:00000000:00000005:00000000",
        "vendor": "GenuineIntel",
        "family": None,
        "model_number": None,
        "stepping": None,
        "flags": ["constant_tsc", "fpu", "sse", "sse2", "up"],
        "model": "Intel(R) Xeon(R) CPU 100% tested",
        "free_mib": 902,
        "time": NOW,
        "uptime_s": 86400.12,
        "bridges": ["xenbr0"],
        "vif_script": None,
        "tools": None,
    }


@pytest.mark.parametrize("cpuinfo, uptime", [(None, None), ("", "")])
def test_facts_that_are_lacking_are_none(cpuinfo, uptime):
    found = xm_fit.facts({"xen_major": 4, "hw_caps": "?", "xen_caps": ""}, cpuinfo, uptime, NOW, None)
    assert found.pop("time") == NOW
    assert set(found) == set(host()) - set(["time"])
    assert set(found.values()) == set([None])


# The guest fits


def test_equal_hosts():
    assert fit() == {"blockers": [], "warnings": []}


def test_which_processor_it_is():
    cpuinfo = CPUINFO.replace("model name", "cpu family\t: 6\nmodel\t\t: 45\nmodel name", 1)
    found = xm_fit.facts({}, cpuinfo.replace("flags", "stepping\t: 7\nflags"), None, NOW, None)
    assert (found["family"], found["model_number"], found["stepping"]) == (6, 45, 7)
    assert found["model"] == "Intel(R) Xeon(R) CPU 100% tested"


def test_a_processor_without_a_stepping():
    cpuinfo = "vendor_id\t: CyrixInstead\ncpu family\t: 6\nmodel\t\t: 2\nstepping\t: unknown\n"
    found = xm_fit.facts({}, cpuinfo, None, NOW, None)
    assert (found["family"], found["model_number"], found["stepping"]) == (6, 2, None)


# Versions


@pytest.mark.parametrize(
    "one, other",
    [
        ([4, 1], [4, 1]),
        ([4, 1], [4, 2]),
        ([3, 0], [3, 1]),
        ([3, 3], [3, 4]),
        ([3, 1], [3, 1]),
    ],
)
@pytest.mark.parametrize("tools", [False, True])
def test_the_next_minor_version_is_no_matter(one, other, tools):
    source, target = host(xen=one), host("xen2", xen=other)
    if tools:
        source["tools"], target["tools"] = one, other
    assert fit(source=source, target=target) == {"blockers": [], "warnings": []}


@pytest.mark.parametrize(
    "one, other, words",
    [
        # (hypervisor, tools) of the source and of the target
        (([3, 0], None), ([3, 2], None), ["Xen 3.0", "3.2", "2 releases"]),
        (([3, 0], [3, 0, 4]), ([3, 4], [3, 4]), ["3.0", "3.4", "4 releases"]),
        (([4, 0], [4, 0]), ([4, 4], [4, 4]), ["4.0", "4.4", "4 releases"]),
        (([4, 2], [4, 2]), ([4, 4], None), ["4.2", "4.4", "2 releases"]),
        # RHEL 5 to an upstream host: one step of the hypervisor, two of the tools.
        (([3, 1], [3, 0, 3]), ([3, 2], [3, 2]), ["the xend of Xen 3.0", "3.2", "2 releases"]),
        (([3, 1], [3, 0, 3]), ([3, 4], [3, 4]), ["the xend of Xen 3.0", "3.4", "4 releases"]),
    ],
)
def test_more_than_one_release_is_said(one, other, words):
    source, target = host(xen=one[0], tools=one[1]), host("xen2", xen=other[0], tools=other[1])
    found = fit(source=source, target=target)
    assert found["blockers"] == []
    for word in words + ["xen1", "xen2"]:
        assert word in only(found["warnings"])


@pytest.mark.parametrize(
    "one, other", [([3, 0, 3], [3, 0, 3]), ([3, 0, 2], [3, 0, 3]), ([3, 0, 3], [3, 1])]
)
def test_tools_that_are_older_than_their_hypervisor(one, other):
    """RHEL 5 has the tools of 3.0.3 on a hypervisor 3.1, also beside one of its own with 3.0.3 all over."""
    found = fit(source=host(xen=[3, 1], tools=one), target=host("xen2", xen=[3, 1], tools=other))
    assert found == {"blockers": [], "warnings": []}


def test_older_tools_on_the_same_hypervisor():
    found = fit(source=host(xen=[3, 1], tools=[3, 1]), target=host("xen2", xen=[3, 1], tools=[3, 0, 3]))
    blocker = only(found["blockers"])
    assert "the xend of Xen 3.1" in blocker and "an older one, 3.0" in blocker
    assert blocker.endswith("accept: [version]")


def test_a_version_is_refused_in_one_sentence():
    source, target = host(xen=[4, 4], tools=[4, 4]), host("xen2", xen=[3, 4], tools=[3, 4])
    assert "Xen 4.4" in only(fit(source=source, target=target)["blockers"])
    source, target = host(xen=[3, 2], tools=[3, 2]), host("xen2", xen=[4, 4], tools=[4, 4])
    found = fit(source=source, target=target, accept="version")
    assert found["blockers"] == [] and only(found["warnings"]).startswith("accepted: ")


def test_a_better_processor_is_no_matter():
    better = host("xen2", flags=["avx", "fpu", "sse", "sse2"], hw_caps=":".join(["ffffffff"] * 8))
    assert fit(target=better) == {"blockers": [], "warnings": []}


def test_flags_that_linux_derives_are_no_matter():
    one = host(flags="fpu up constant_tsc rep_good nopl ts fid vid ttp stc".split())
    assert fit(source=one, target=host("xen2", flags=["fpu"])) == {"blockers": [], "warnings": []}


# What Linux calls them is in arch/x86/kernel/cpu/capflags.c, made from asm/cpufeature.h.
@pytest.mark.parametrize(
    "number, bit, flag",
    [
        (0, 21, "dts"),
        (0, 22, "acpi"),
        (0, 28, "ht"),
        (0, 29, "tm"),
        (0, 31, "pbe"),
        (4, 2, "dtes64"),
        (4, 3, "monitor"),
        (4, 4, "ds_cpl"),
        (4, 5, "vmx"),
        (4, 6, "smx"),
        (4, 7, "est"),
        (4, 8, "tm2"),
        (4, 10, "cid"),
        (4, 14, "xtpr"),
        (4, 15, "pdcm"),
        (4, 18, "dca"),
        (4, 21, "x2apic"),
        (4, 24, "tsc_deadline_timer"),
        (4, 27, None),
        (4, 31, "hypervisor"),
        (6, 2, "svm"),
        (6, 3, "extapic"),
        (6, 10, "ibs"),
        (6, 12, "skinit"),
        (6, 13, "wdt"),
        (6, 19, "nodeid_msr"),
        (6, 22, "topoext"),
    ],
)
def test_what_no_guest_uses_is_no_matter(number, bit, flag):
    source = host(hw_caps=caps((number, bit)), flags=["fpu"] + [flag] * bool(flag))
    target = host("xen2", hw_caps=caps(), flags=["fpu"])
    assert fit(source=source, target=target) == {"blockers": [], "warnings": []}


USED = [
    (0, 26, "sse2"),
    (1, 20, "nx"),
    (1, 29, "lm"),
    (1, 31, "3dnow"),
    (4, 0, "pni"),
    (4, 1, "pclmulqdq"),
    (4, 9, "ssse3"),
    (4, 12, "fma"),
    (4, 13, "cx16"),
    (4, 19, "sse4_1"),
    (4, 20, "sse4_2"),
    (4, 22, "movbe"),
    (4, 23, "popcnt"),
    (4, 25, "aes"),
    (4, 26, "xsave"),
    (4, 28, "avx"),
    (4, 29, "f16c"),
    (4, 30, "rdrand"),
    (6, 0, "lahf_lm"),
    (6, 4, "cr8_legacy"),
    (6, 4, "cr8legacy"),
    (6, 5, "abm"),
    (6, 11, "xop"),
    (6, 16, "fma4"),
    (6, 21, "tbm"),
    (7, 0, "fsgsbase"),
    (7, 5, "avx2"),
    (7, 9, "erms"),
    (7, 11, "rtm"),
    (7, 18, "rdseed"),
    (7, 20, "smap"),
    (7, 29, "sha_ni"),
]


@pytest.mark.parametrize("number, bit, flag", USED)
def test_hw_caps_know_better_than_a_kernel_without_the_name(number, bit, flag):
    source, target = host(flags=["fpu", flag]), host("xen2", flags=["fpu"])
    source["hw_caps"] = target["hw_caps"] = caps((number, bit))
    found = fit(source=source, target=target)
    assert found["blockers"] == []
    assert only(found["warnings"]).startswith("the dom0 kernel of xen2 does not show %s," % flag)


@pytest.mark.parametrize("number, bit, flag", USED)
def test_what_hw_caps_lack_is_said_once_and_by_name(number, bit, flag):
    for shown in (["fpu"], ["fpu", flag]):
        source = host(flags=shown, hw_caps=caps((number, bit)))
        found = fit(source=source, target=host("xen2", flags=["fpu"], hw_caps=caps()))
        assert "%08x" % (1 << bit) in only(found["blockers"]) and flag in found["blockers"][0]
        assert found["blockers"][0].endswith("accept: [cpu]") and found["warnings"] == []


@pytest.mark.parametrize(
    "one, other", [(None, caps((0, 26))), (caps((0, 26)), None), (None, None), (caps(), caps())]
)
def test_names_decide_where_hw_caps_do_not_tell(one, other):
    source = host(flags=["fpu", "sse2"], hw_caps=one)
    found = fit(source=source, target=host("xen2", flags=["fpu"], hw_caps=other))
    assert "has sse2" in only(found["blockers"])
    assert not [said for said in found["warnings"] if "does not show sse2" in said]


def test_names_of_leaf_7_decide_before_xen_has_a_word_for_it():
    source, target = host(flags=["fpu", "avx2"]), host("xen2", flags=["fpu"])
    source["hw_caps"] = target["hw_caps"] = ":".join(["ffffffff"] * 7)
    assert "has avx2" in only(fit(source=source, target=target)["blockers"])


def test_hw_caps_with_fewer_words():
    # Xen 3.0.3 prints seven.
    words = host()["hw_caps"].split(":")[:7]
    for source, target in ((words, words + ["0" * 8]), (words + ["0" * 8], words)):
        found = fit(
            source=host(hw_caps=":".join(source)), target=host("xen2", hw_caps=":".join(target))
        )
        assert found == {"blockers": [], "warnings": []}


# The same processor under another kernel

MODEL = {"family": 6, "model_number": 45, "stepping": 7}
ONLY_ONE_KERNEL = "xsaveopt ibrs ibpb stibp ssbd vmmcall invpcid_single md_clear avx2 rtm xsaves".split()


@pytest.mark.parametrize("flag", ONLY_ONE_KERNEL)
def test_the_same_processor_with_a_flag_less(flag):
    source = host(flags=["fpu", "xtoverbose", flag], **MODEL)
    found = fit(source=source, target=host("xen2", flags=["fpu"], **MODEL))
    assert found["blockers"] == []
    assert "xen2 does not show" in only(found["warnings"]) and "xtoverbose" in found["warnings"][0]
    assert "family 6, model 45, stepping 7" in found["warnings"][0]


@pytest.mark.parametrize("flag", ["xsaveopt", "avx2", "xgetbv1", "clzero"])
@pytest.mark.parametrize(
    "change",
    [
        {"family": 15},
        {"model_number": 46},
        {"stepping": 8},
        {"stepping": None},
        {"hw_caps": None},
        {"vendor": None},
    ],
)
def test_without_the_proof_that_it_is_the_same_a_flag_counts(flag, change):
    changed = dict(MODEL, **change)
    source = host(flags=["fpu", flag], **(changed if None in change.values() else MODEL))
    found = fit(source=source, target=host("xen2", flags=["fpu"], **changed))
    assert [said for said in found["blockers"] if "has %s," % flag in said]


def test_the_same_model_of_which_xen_sees_less():
    """The BIOS, or a mask on the hypervisor's command line, has switched something off."""
    source = host(flags=["fpu", "aes"], hw_caps=caps((4, 25)), **MODEL)
    found = fit(source=source, target=host("xen2", flags=["fpu"], hw_caps=caps(), **MODEL))
    assert "aes" in only(found["blockers"])


@pytest.mark.parametrize(
    "one, other",
    [
        # The words that are Xen's own, and bits that no guest uses, differ with versions and settings.
        (caps((3, 5)), caps((2, 1))),
        (caps((4, 27), (0, 28)), caps()),
        (":".join(["00000000"] * 7), caps((7, 5))),
    ],
)
def test_what_matters_of_hw_caps_is_equal(one, other):
    found = fit(
        source=host(flags=["fpu", "xsaveopt"], hw_caps=one, **MODEL),
        target=host("xen2", flags=["fpu"], hw_caps=other, **MODEL),
    )
    assert found["blockers"] == [] and "the processors are the same" in only(found["warnings"])


SOFTWARE = (
    "ibrs ibpb stibp ssbd md_clear flush_l1d arch_capabilities spec_ctrl intel_stibp spec_ctrl_ssbd amd_ssbd "
    "virt_ssbd ibrs_enhanced tsx_force_abort srbds_ctrl retpoline retpoline_amd pti kaiser vmmcall "
    "invpcid_single cpuid use_ibpb l1tf_pteinv zen ept_ad vmcb_clean decodeassists hwp hwp_epp cdp_l3 "
    "overflow_recov succor smca syscall32 cpb"
).split()


@pytest.mark.parametrize("flag", SOFTWARE)
def test_names_that_are_no_processors_matter_on_no_host(flag):
    source, target = host(flags=["fpu", flag]), host("xen2", flags=["fpu"])
    assert fit(source=source, target=target) == {"blockers": [], "warnings": []}


# What an administrator may risk


@pytest.mark.parametrize(
    "risk, changes, said",
    [
        ("version", {"xen": [4, 0]}, ["4.1", "4.0", "older"]),
        ("version", {"xen": [3, 4]}, ["4.1", "3.4", "older"]),
        ("version", {"xen": [5, 0]}, ["4.1", "5.0"]),
        ("version", {"xen": [5, 1]}, ["4.1", "5.1"]),
        ("cpu", {"vendor": "AuthenticAMD"}, ["GenuineIntel", "AuthenticAMD"]),
        ("cpu", {"flags": ["fpu", "sse"], "hw_caps": None}, ["sse2", "100% tested"]),
        (
            "cpu",
            {"hw_caps": "078bf3fd:2193fbfd:00000000:00000000:80000001:00000000:00000005:00000000"},
            ["CPUID 1 ECX", "80002001", "80000001", "00002000", "cx16"],
        ),
    ],
)
def test_risks(risk, changes, said):
    target = host("xen2", **changes)
    found = fit(target=target)
    blocker = only(found["blockers"])
    assert blocker.endswith("accept: [%s]" % risk)
    for word in said + ["xen1", "xen2"]:
        assert word in blocker
    for accept in ([risk], risk, ("storage", risk)):
        found = fit(target=target, accept=accept)
        assert found["blockers"] == []
        assert len([warning for warning in found["warnings"] if warning.startswith("accepted: ")]) == 1
    others = [other for other in xm_fit.RISKS if other != risk]
    assert fit(target=target, accept=others)["blockers"] == [blocker]


@pytest.mark.parametrize("number, is_compared", list(enumerate([1, 1, 0, 0, 1, 0, 1, 1])))
def test_only_words_of_cpuid_are_compared(number, is_compared):
    words = ["00000000"] * 8
    target = host("xen2", hw_caps=":".join(words))
    words[number] = "00000800"
    found = fit(source=host(hw_caps=":".join(words)), target=target)
    assert len(found["blockers"]) == is_compared


def test_all_that_is_wrong_is_said_at_once():
    target = host("xen2", xen=[3, 4], vendor="AuthenticAMD", hw_caps=caps())
    assert len(fit(target=target)["blockers"]) == 3
    assert len(fit(target=host("xen2", vendor="x", hw_caps=caps()), accept=["cpu"])["warnings"]) == 2


@pytest.mark.parametrize("accept", ["disk", ["cpu", "bridge"], [""]])
def test_an_unknown_risk_is_an_error(accept):
    with pytest.raises(ValueError) as caught:
        xm_fit.risks(accept, import_module)
    for word in xm_fit.RISKS:
        assert word in str(caught.value)


@pytest.mark.parametrize("accept", [{"managed": False}, True, 1])
def test_what_is_no_list_accepts_nothing(accept):
    with pytest.raises(ValueError) as caught:
        xm_fit.risks(accept, import_module)
    assert "accept: " in str(caught.value) and "managed" in str(caught.value)


# What nobody may risk


def test_another_machine():
    blocker = only(fit(target=host("xen2", machine="i686"), accept=xm_fit.RISKS)["blockers"])
    assert "x86_64" in blocker and "i686" in blocker


@pytest.mark.parametrize(
    "image, one, other, said",
    [
        ("linux", ["xen-3.0-x86_32p"], ["xen-3.0-x86_32"], "PAE"),
        ("linux", ["xen-3.0-x86_32"], ["xen-3.0-x86_32p"], "PAE"),
        ("linux", ["xen-3.0-x86_64", "xen-3.0-x86_32p"], ["xen-3.0-x86_64"], "xen-3.0-x86_32p"),
        ("linux", ["xen-3.0-x86_64"], ["hvm-3.0-x86_64"], "none of xen-"),
        ("hvm", ["hvm-3.0-x86_64"], ["xen-3.0-x86_64"], "none of hvm-"),
        ("hvm", ["hvm-3.0-x86_64", "xen-3.0-x86_64"], ["hvm-3.0-x86_64"], None),
        ("linux", ["hvm-3.0-x86_64", "xen-3.0-x86_64"], ["xen-3.0-x86_64"], None),
    ],
)
def test_kinds_of_guests(image, one, other, said):
    found = fit(
        guest(image=image), host(caps=one), host("xen2", caps=other), accept=xm_fit.RISKS
    )
    if said is None:
        assert found["blockers"] == []
    else:
        assert said in only(found["blockers"])
        assert ("PAE" in found["blockers"][0]) == (said == "PAE")


# What is only said


@pytest.mark.parametrize(
    "seconds, said", [(0, None), (5, None), (-5, None), (6, "6 s ahead"), (-90, "90 s behind")]
)
def test_clocks(seconds, said):
    found = fit(target=host("xen2", time=NOW + seconds))
    assert found["blockers"] == []
    assert found["warnings"] == [] if said is None else said in only(found["warnings"])


@pytest.mark.parametrize(
    "seconds, apart_s, said",
    [
        (20, 0, "20 s ahead"),
        (-20, 0, "20 s behind"),
        (20, 4, "20 s ahead"),
        (-20, 12, "20 s behind"),
        # One of the two may have begun to answer that much later.
        (7, 3, None),
        (-7, 3, None),
        (20, 30, "was not found out"),
        (-20, 30, "was not found out"),
        (3, 30, None),
    ],
)
def test_clocks_that_were_not_read_at_the_very_same_moment(seconds, apart_s, said):
    found = fit(target=host("xen2", time=NOW + seconds), apart_s=apart_s)
    assert found["blockers"] == []
    assert found["warnings"] == [] if said is None else said in only(found["warnings"])


@pytest.mark.parametrize(
    "seconds, said",
    [(0, None), (6, None), (45, None), (60, "60 s ahead"), (-5, None), (-6, "6 s behind")],
)
def test_clocks_of_which_the_target_s_was_read_later(seconds, said):
    """Whatever has passed since, a clock that is behind is behind by at least as much."""
    found = fit(target=host("xen2", time=NOW + seconds), apart_s=None)
    assert found["warnings"] == [] if said is None else said in only(found["warnings"])


@pytest.mark.parametrize("hours, is_said", [(24, False), (23.5, False), (200, False), (22, True), (0, True)])
def test_a_target_that_was_started_later(hours, is_said):
    found = fit(target=host("xen2", uptime_s=hours * 3600.0))
    assert found["blockers"] == []
    assert len(found["warnings"]) == is_said
    if is_said:
        assert "%.1f h" % hours in found["warnings"][0] and "24.0 h" in found["warnings"][0]


def test_a_source_of_which_nothing_is_known():
    found = xm_fit.fits(guest(), None, host("xen2"))
    assert found["blockers"] == []
    assert "not compared" in only(found["warnings"])


@pytest.mark.parametrize("fact", ["xen", "machine", "caps", "vendor", "flags", "hw_caps", "uptime_s"])
def test_what_one_host_does_not_show_is_said(fact):
    for hosts in ({"target": host("xen2", **{fact: None})}, {"source": host(**{fact: None})}):
        found = fit(**hosts)
        assert found["blockers"] == []
        assert "not compared" in only(found["warnings"])


def test_hosts_that_tell_nothing():
    found = xm_fit.fits(guest(vifs=[]), {}, {})
    assert found["blockers"] == []
    assert ["the source" in found["warnings"][0], "the target" in found["warnings"][1]] == [True, True]


def test_the_least_description_of_a_guest():
    found = xm_fit.fits({"name": "web01", "memory_mib": 96}, host(), host("xen2"))
    assert found == {"blockers": [], "warnings": []}


# Memory


@pytest.mark.parametrize(
    "changes, needed_mib",
    [
        ({}, 97),
        ({"maxmem_mib": 4096}, 97),
        ({"shadow_memory_mib": 8}, 97),
        # 2 MiB for the VCPUs and 1 MiB for 128 MiB, then more than 1 MiB.
        ({"image": "hvm"}, 97 + 8 + 3),
        ({"image": "hvm", "maxmem_mib": 129}, 97 + 8 + 4),
        ({"image": "hvm", "maxmem_mib": None}, 97 + 8 + 3),
        ({"image": "hvm", "shadow_memory_mib": 9}, 97 + 8 + 9),
        ({"image": "hvm", "vcpus": None}, 97 + 8 + 2),
    ],
)
def test_memory_that_a_target_needs(changes, needed_mib):
    assert xm_fit.needed_mib(guest(**changes)) == needed_mib


@pytest.mark.parametrize("image, rest_mib", [("linux", 97), ("hvm", 97 + 8 + 64)])
@pytest.mark.parametrize(
    "versions, virt_caps, is_wanted",
    [
        ({"tools": [4, 1]}, ["hvm", "hvm_directio"], True),
        ({"tools": [4, 4]}, ["hvm_directio"], True),
        ({"tools": None, "xen": [4, 2]}, ["hvm_directio"], True),
        ({"tools": [4, 0], "xen": [4, 0]}, ["hvm", "hvm_directio"], False),
        ({"tools": [3, 4], "xen": [3, 4]}, ["hvm_directio"], False),
        # The tools want it, not the hypervisor.
        ({"tools": [3, 0, 3], "xen": [4, 1]}, ["hvm_directio"], False),
        ({"tools": [4, 1]}, ["hvm"], False),
        ({"tools": [4, 1]}, None, False),
    ],
)
def test_memory_for_the_tables_of_an_iommu(image, rest_mib, versions, virt_caps, is_wanted):
    target = host("xen2", virt_caps=virt_caps, **versions)
    for maxmem_mib, tables_mib in ((96, 1), (128, 1), (256, 1), (257, 2), (4096, 16), (None, 1)):
        # Shadow memory grows with maxmem, too.
        domain = guest(image=image, maxmem_mib=maxmem_mib, shadow_memory_mib=64)
        assert xm_fit.needed_mib(domain) == rest_mib
        assert xm_fit.iommu_mib(domain, target) == (tables_mib if is_wanted else 0)
        assert xm_fit.needed_mib(domain, target) == rest_mib + (tables_mib if is_wanted else 0)


@pytest.mark.parametrize(
    "changes, overhead_mib",
    [
        ({}, 3),
        ({"maxmem_mib": 256}, 3),
        ({"maxmem_mib": 257}, 4),
        ({"maxmem_mib": None}, 3),
        ({"vcpus": 1}, 2),
        ({"shadow_memory_mib": 2}, 1),
        ({"shadow_memory_mib": 9}, 0),
    ],
)
def test_memory_that_a_source_needs_for_a_live_migration(changes, overhead_mib):
    assert xm_fit.live_overhead_mib(guest(**changes)) == overhead_mib


# Files

BOOT = {"kernel": "/boot/vmlinuz", "ramdisk": "/boot/initrd"}


@pytest.mark.parametrize(
    "kind, image, present, blockers, warnings",
    [
        ("linux", {}, [], 0, 0),
        ("linux", None, [], 0, 0),
        ("linux", BOOT, ["/boot/vmlinuz", "/boot/initrd"], 0, 0),
        ("linux", BOOT, ["/boot/vmlinuz"], 0, 1),
        ("linux", BOOT, [], 0, 2),
        # A boot loader put them there for one start.
        ("linux", dict(BOOT, bootloader="/usr/bin/pygrub"), ["/usr/bin/pygrub"], 0, 0),
        ("linux", dict(BOOT, bootloader="/usr/bin/pygrub"), [], 0, 1),
        ("linux", dict(BOOT, bootloader="pygrub"), [], 0, 0),
        ("linux", {"device_model": "/usr/lib/xen/bin/qemu-dm"}, [], 0, 0),
        ("hvm", {"device_model": "/usr/lib/xen/bin/qemu-dm"}, [], 1, 0),
        ("hvm", {"device_model": "/usr/lib/xen/bin/qemu-dm"}, ["/usr/lib/xen/bin/qemu-dm"], 0, 0),
        ("hvm", {"device_model": "qemu-dm", "kernel": "hvmloader"}, [], 0, 0),
        ("hvm", {"kernel": "/usr/lib/xen/boot/hvmloader"}, [], 0, 1),
    ],
)
def test_files_of_a_guest(kind, image, present, blockers, warnings):
    found = xm_fit.reboot_warnings(guest(image=kind), present.__contains__, image, target="xen2")
    assert [len(part) for part in found] == [blockers, warnings]
    for sentence in found[0] + found[1]:
        assert "web01" in sentence and "xen2" in sentence
        assert [path for path in image.values() if path in sentence]
    for sentence in found[1]:
        assert "will run, but could not be started again" in sentence


@pytest.mark.parametrize(
    "facts, said",
    [
        ({"hw_caps": ""}, "hw_caps"),
        ({"hw_caps": "078bf3fd:not shown"}, "hw_caps"),
        ({"xen": [4], "tools": []}, "version of Xen"),
    ],
)
def test_facts_that_are_none_are_not_compared(facts, said):
    found = fit(source=host(**facts))
    assert found["blockers"] == []
    assert [words for words in found["warnings"] if said in words and "not compared" in words]
