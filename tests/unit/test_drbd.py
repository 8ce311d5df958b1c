"""What DRBD says of a resource, in the formats of 8.0 to 9, and what it means for a guest that moves."""

import pytest

import xm_drbd

PROC_83 = """version: 8.3.11 (api:88/proto:86-96)
srcversion: 71955441799F513ACA6DA60
 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:664 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
 1: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    [>....................] sync'ed:  0.3% (1048576/1048576)K
 2: cs:Unconfigured
10: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----
"""
PROC_80 = """version: 8.0.16 (api:86/proto:86)
 0: cs:Connected st:Primary/Secondary ds:UpToDate/UpToDate C r---
"""
PROC_9 = "version: 9.0.8-1 (api:2/proto:86-112)\nTransports (api:15):\n"
DUMP_83 = """# /etc/drbd.conf
common {
    protocol               C;
}

# resource web on xen1: not ignored, not stacked
resource web {
    on xen1 {
        device           /dev/drbd0 minor 0;
        disk             /dev/vg/web;
        address          ipv4 10.0.0.1:7788;
        meta-disk        internal;
    }
    on xen2 {
        device           /dev/drbd0 minor 0;
        disk             /dev/vg/web;
        address          ipv4 10.0.0.2:7788;
        meta-disk        internal;
    }
    net {
        allow-two-primaries;
        after-sb-0pri    discard-zero-changes;
    }
}
"""
ADDRESSES = ["10.0.0.1:7788", "10.0.0.2:7788"]


def said(dump=DUMP_83, state="Connected", disks="UpToDate/UpToDate", device="/dev/drbd0\n"):
    return {"sh-dev": (0, device), "cstate": (0, state), "dstate": (0, disks), "dump": (0, dump)}


def facts(name="web", said=None, proc=None, link=None):
    return xm_drbd.facts(name, said, proc, link)


@pytest.mark.parametrize(
    "uname, name",
    [
        ("drbd:web", "web"),
        ("drbd:/dev/drbd0", "/dev/drbd0"),
        ("drbd:", None),
        ("drbd:--help", None),
        ("phy:/dev/drbd0", None),
        ("drbdx:web", None),
        ("", None),
        (None, None),
    ],
)
def test_which_resource_a_disk_names(uname, name):
    assert xm_drbd.resource(uname) == name


def test_how_drbdadm_is_asked():
    commands = xm_drbd.commands("/sbin/drbdadm", "web")
    assert [question for question, _ in commands] == ["sh-dev", "cstate", "dstate", "dump"]
    assert all(words == ["/sbin/drbdadm", question, "web"] for question, words in commands)


def test_what_drbdadm_says():
    assert facts(said=said()) == {
        "known": True,
        "reason": None,
        "states": ["Connected"],
        "disks": ["UpToDate", "UpToDate"],
        "two_primaries": True,
        "addresses": ADDRESSES,
    }


def test_two_volumes():
    found = facts(
        said=said(
            device="/dev/drbd0\n/dev/drbd1\n", disks="UpToDate/UpToDate\nInconsistent/UpToDate\n"
        )
    )
    assert found["disks"] == ["UpToDate", "UpToDate", "Inconsistent", "UpToDate"]


@pytest.mark.parametrize(
    "line, allowed",
    [
        ("allow-two-primaries;", True),
        ("allow-two-primaries yes;", True),
        ("allow-two-primaries  no;", False),
        ("", False),
        ("# allow-two-primaries;", False),
    ],
)
def test_two_primaries(line, allowed):
    """Also where something else is common to all resources."""
    common = "common {\n    net {\n        allow-two-primaries %s;\n    }\n}\n"
    if line and not line.startswith("#"):
        for word in ("yes", "no"):
            found = facts(said=said(common % word + DUMP_83.replace("allow-two-primaries;", line)))
            assert found["two_primaries"] is allowed
    dump = DUMP_83.replace("allow-two-primaries;", line)
    assert facts(said=said(dump))["two_primaries"] is allowed


def test_two_primaries_that_there_are_already():
    dump = DUMP_83.replace("allow-two-primaries;", "")
    found = facts(said=said(dump, device="/dev/drbd10\n"), proc=PROC_83)
    assert found["two_primaries"] is True


@pytest.mark.parametrize(
    "address, found",
    [
        ("address 10.0.0.1:7788;", "10.0.0.1:7788"),
        ("address ipv6 [fd00::1]:7788;", "[fd00::1]:7788"),
        ("floating ipv4 10.0.0.1:7788 {", "10.0.0.1:7788"),
    ],
)
def test_addresses(address, found):
    assert facts(said=said("resource web {\n  %s\n}\n" % address))["addresses"] == [found]


def test_a_resource_that_drbdadm_does_not_know():
    found = facts(said={"sh-dev": (10, "'web' not defined in your config (for this host).\nmore")})
    assert (
        found["known"] is False
        and found["reason"] == "'web' not defined in your config (for this host)."
    )


@pytest.mark.parametrize(
    "name, link, proc, states, disks, two_primaries",
    [
        ("web", "../../drbd0", PROC_83, ["Connected"], ["UpToDate"] * 2, None),
        ("web", "../../drbd0", PROC_80, ["Connected"], ["UpToDate"] * 2, None),
        ("/dev/drbd1", None, PROC_83, ["SyncTarget"], ["Inconsistent", "UpToDate"], None),
        ("minor-10", None, PROC_83, ["Connected"], ["UpToDate"] * 2, True),
        ("drbd2", None, PROC_83, ["Unconfigured"], [], None),
    ],
)
def test_without_drbdadm_the_kernel_is_asked(name, link, proc, states, disks, two_primaries):
    found = facts(name, proc=proc, link=link)
    assert (found["known"], found["states"], found["disks"]) == (True, states, disks)
    assert found["two_primaries"] is two_primaries


@pytest.mark.parametrize(
    "name, link, proc",
    [
        ("web", None, PROC_83),
        ("web", "../../drbd7", PROC_83),
        ("web", "../../drbd0", PROC_9),
        ("web", None, None),
    ],
)
def test_where_nothing_tells(name, link, proc):
    found = facts(name, proc=proc, link=link)
    assert found["known"] is None and found["states"] == found["disks"] == []


# Verdicts

GOOD = facts(said=said())
UNKNOWN = facts()


def judge(there, here):
    return xm_drbd.judge("web", there, here, "xen1", "xen2")


def test_a_resource_that_is_fine_on_both():
    verdict, sentence = judge(GOOD, GOOD)
    assert verdict == "same" and "judged" not in sentence


@pytest.mark.parametrize(
    "bad, words",
    [
        (facts(said={"sh-dev": (10, "no such resource")}), "no such resource"),
        (facts(said=said(state="StandAlone")), "StandAlone"),
        (facts(said=said(state="WFConnection", disks="UpToDate/DUnknown")), "WFConnection"),
        (facts(said=said(state="SyncTarget", disks="Inconsistent/UpToDate")), "SyncTarget"),
        (facts(said=said(disks="Inconsistent/UpToDate")), "Inconsistent/UpToDate"),
        (facts(said=said(disks="UpToDate/Outdated")), "Outdated"),
        (facts(said=said(disks="Diskless/UpToDate")), "Diskless"),
        (facts(said=said(DUMP_83.replace("allow-two-primaries;", ""))), "allow-two-primaries"),
        (facts("drbd1", proc=PROC_83), "SyncTarget"),
    ],
)
def test_what_would_lose_the_guest(bad, words):
    for there in (GOOD, UNKNOWN, None):
        verdict, sentence = judge(there, bad)
        assert (
            verdict == "missing"
            and words in sentence
            and "xen2" in sentence
            and "accept" not in sentence
        )


def test_the_source_counts_too():
    verdict, sentence = judge(facts(said=said(DUMP_83.replace("allow-two-primaries;", ""))), GOOD)
    assert verdict == "missing" and "says xen1" in sentence
    # There the guest runs, so that it is only not comparable.
    verdict, sentence = judge(facts(said={"sh-dev": (1, "syntax error")}), GOOD)
    assert verdict == "unproved" and sentence.endswith("accept: [storage]")


def test_two_resources_of_one_name():
    other = facts(said=said(DUMP_83.replace("10.0.0.1", "10.9.9.9")))
    verdict, sentence = judge(GOOD, other)
    assert verdict == "different" and "10.9.9.9:7788" in sentence


@pytest.mark.parametrize(
    "there, here, words",
    [
        (GOOD, UNKNOWN, "whether xen2 knows the resource"),
        (UNKNOWN, GOOD, "whether xen1 knows the resource"),
        (GOOD, facts(proc=PROC_83, link="drbd0"), "two primaries on xen2"),
        (
            GOOD,
            facts(said=said(state="", disks="")),
            "connected on xen2, whether it is up to date on xen2",
        ),
    ],
)
def test_what_is_not_known_is_for_people_to_accept(there, here, words):
    verdict, sentence = judge(there, here)
    assert verdict == "unproved" and words in sentence and sentence.endswith("accept: [storage]")


def test_the_target_alone():
    assert judge(None, GOOD)[0] == "unchecked"
    assert judge(None, UNKNOWN)[0] == "unproved"


@pytest.mark.parametrize(
    "text",
    [
        "Can not open '/etc/drbd.conf': Permission denied",
        "drbdadm: Operation not permitted",
        "['drbdadm', 'sh-dev', 'web'] : Timed out after 60 seconds",
    ],
)
def test_who_did_not_answer_did_not_say_no(text):
    found = facts(said={"sh-dev": (1, text)})
    assert found["known"] is None and found["reason"] is None
    found = facts("/dev/drbd10", {"sh-dev": (1, text)}, PROC_83, "../../drbd10")
    assert found["known"] and found["two_primaries"]


# What another host has told


@pytest.mark.parametrize(
    "name", ["-x", "--all", "../../etc", "web01/../x", "a b", "a\nb", "a\0b", "x;y", "x" * 300, "{", ""]
)
def test_what_is_no_name_of_a_resource_is_none(name):
    assert xm_drbd.resource("drbd:" + name) is None


@pytest.mark.parametrize("name", ["web01", "web01/0", "/dev/drbd0", "r-1.x_y", "minor-1"])
def test_names_of_resources(name):
    assert xm_drbd.resource("drbd:" + name) == name


@pytest.mark.parametrize(
    "said",
    [
        None,
        5,
        {"known": "yes", "states": "Connected", "disks": {"a": 1}, "two_primaries": 1, "addresses": [5]},
        {"states": ["Connected"] * 100, "addresses": ["x" * 1000]},
    ],
)
def test_what_is_of_another_form_is_not_known(said):
    assert xm_drbd.told(said) == xm_drbd.facts("web01", None, None)


def test_what_was_told_is_taken_as_it_is():
    said = dict(xm_drbd.facts("x", None, None), known=True, states=["Connected"], disks=["UpToDate"])
    assert xm_drbd.told(said) == said
