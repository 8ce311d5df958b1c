"""For all processors: a guest moves without a word exactly when it finds all that it may be using."""

from hypothesis import given
from hypothesis import strategies as st

import xm_fit

FLAGS = ["fpu", "sse", "sse2", "ssse3", "avx", "aes", "lm", "up", "rep_good", "nopl", "vmx"]
VISIBLE = frozenset(FLAGS) - xm_fit.NO_CPU_FLAGS

# Word and bit of hw_caps of those of FLAGS that are in it.
BITS = {"sse": (0, 25), "sse2": (0, 26), "ssse3": (4, 9), "avx": (4, 28), "aes": (4, 25), "lm": (1, 29)}

# Bits of the words of hw_caps that tell nothing about what a guest may use.
UNUSED = {0: 0xB0600000, 1: 0, 4: 0x8924C5FC, 6: 0x0048340C, 7: 0}

flags = st.sets(st.sampled_from(FLAGS))
words = st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8)
GUEST = {"name": "web01", "memory_mib": 96, "vifs": [], "disks": []}


def host(name, has_flags, has_words=(0,) * 8):
    info = {"host": name, "xen_major": 4, "xen_minor": 4, "machine": "x86_64"}
    info["xen_caps"] = "xen-3.0-x86_64"
    info["hw_caps"] = ":".join("%08x" % word for word in has_words)
    cpuinfo = "vendor_id\t: GenuineIntel\nflags\t\t: fpu %s\n" % " ".join(sorted(has_flags))
    return xm_fit.facts(info, cpuinfo, "1000.0 1.0", 0.0, [])


@given(one=flags, other=flags)
def test_flags(one, other):
    found = xm_fit.fits(GUEST, host("xen1", one), host("xen2", other))
    lacking = (one - other - {"fpu"}) & VISIBLE
    assert len(found["blockers"]) == bool(lacking) and found["warnings"] == []
    for flag in lacking:
        assert flag in found["blockers"][0]


@given(one=words, other=words)
def test_words_of_cpuid(one, other):
    lacking = {
        number: one[number] & ~other[number] & ~unused
        for number, unused in UNUSED.items()
        if one[number] & ~other[number] & ~unused
    }
    found = xm_fit.fits(GUEST, host("xen1", [], one), host("xen2", [], other))
    assert len(found["blockers"]) == bool(lacking)
    for missing in lacking.values():
        assert "%08x" % missing in found["blockers"][0]
    accepted = xm_fit.fits(GUEST, host("xen1", [], one), host("xen2", [], other), accept=["cpu"])
    assert accepted["blockers"] == [] and len(accepted["warnings"]) == bool(lacking)


@given(both=words, one=flags, other=flags)
def test_names_that_only_one_kernel_has(both, one, other):
    found = xm_fit.fits(GUEST, host("xen1", one, both), host("xen2", other, both))
    lacking = (one - other - {"fpu"}) & VISIBLE
    shown = {flag for flag in lacking if both[BITS[flag][0]] >> BITS[flag][1] & 1}
    for kind, names in (("warnings", shown), ("blockers", lacking - shown)):
        assert len(found[kind]) == bool(names)
        assert not names or ", ".join(sorted(names)) in found[kind][0]


@given(own=words, added=words, has_flags=flags, more=flags)
def test_a_processor_with_more_of_everything(own, added, has_flags, more):
    better = host("xen2", has_flags | more, [a | b for a, b in zip(own, added, strict=True)])
    assert xm_fit.fits(GUEST, host("xen1", has_flags, own), better) == {"blockers": [], "warnings": []}


@given(
    vcpus=st.integers(1, 32),
    memory_mib=st.integers(1, 4096),
    more_mib=st.integers(0, 4096),
    shadow_mib=st.integers(0, 64),
    image=st.sampled_from(["linux", "hvm"]),
)
def test_memory(vcpus, memory_mib, more_mib, shadow_mib, image):
    guest = dict(
        GUEST,
        vcpus=vcpus,
        memory_mib=memory_mib,
        maxmem_mib=memory_mib + more_mib,
        shadow_memory_mib=shadow_mib,
        image=image,
    )
    needed_kib = 1024 * vcpus + 4 * (memory_mib + more_mib)
    overhead_mib = xm_fit.live_overhead_mib(guest)
    assert overhead_mib >= 0 and 1024 * (overhead_mib + shadow_mib) >= needed_kib
    assert overhead_mib == 0 or 1024 * (overhead_mib + shadow_mib - 1) < needed_kib
    least_mib = memory_mib + (shadow_mib if image == "hvm" else 0)
    assert xm_fit.needed_mib(guest) > least_mib
