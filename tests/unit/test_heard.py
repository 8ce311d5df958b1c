"""What hosts have told is of the agreed form, or it is refused by field and value; nothing else happens."""

import json

import pytest

import xm_heard

UUID = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"
WORDS = ("absent", "running", "suspended", "unfinished", "unknown")

GUEST = {
    "name": "web01",
    "uuid": UUID,
    "domid": 7,
    "memory_mib": 96,
    "vcpus": 1,
    "state": "-b----",
    "runs": True,
    "image": "linux",
    "image_files": {"kernel": "/boot/vmlinuz"},
    "disks": [{"uname": "file:/srv/web01.img", "dev": "xvda", "mode": "w"}],
    "vifs": [{"mac": "00:16:3e:00:00:01", "bridge": "xenbr0", "script": None}],
    "pci": [],
    "sxp": "(domain (name web01))\n",
}
HOST = {"xen": [4, 4], "free_mib": 512, "flags": ["sse2"], "time": 1.5, "bridge_ports": {"eth0": "xenbr0"}}
ANSWERS = {
    "report": {"domain": GUEST, "host": HOST, "view": {"copy": "running"}, "follows": False, "seconds": 0.1},
    "copies": {
        "copies": [{"name": "web01", "listed": "web01", "uuid": UUID, "domid": 7, "copy": "running"}],
        "sent": [
            {"id": "a", "name": "db01", "uuid": UUID, "target": "xen2", "at": "today", "what": "uuid"}
        ],
        "devices_s": 100,
    },
    "view": {
        "copy": "suspended",
        "listed": "migrating-web01",
        "state": "---s--",
        "domid": 7,
        "near": ["web02"],
    },
    "outlook": {
        "answers": {"xen2": {"result": "accepted", "message": "it lets this host in"}},
        "version": "4.4.1",
        "free_mib": 512,
        "guests": 3,
        "closed": "it is being emptied",
        "pending": ["the file was changed"],
        "modules": "0.2.0",
    },
    "migrations": {
        "migrations": [
            {
                "name": "web01",
                "uuid": UUID,
                "copy": "running",
                "other": "xen2",
                "memory_mib": 96,
                "bytes": 1 << 40,
                "rate_mib_s": 5.5,
                "seconds": 2.5,
            }
        ],
        "expected": [{"name": "db01", "who": "migration from xen2"}],
        "held": [{"name": "web02", "uuid": UUID, "copy": "running"}],
    },
    "progress": {
        "domain": "web01",
        "uuid": UUID,
        "source": "xen1",
        "target": "xen2",
        "phase": "sending",
        "iteration": 1,
        "percent": 50,
        "pages": 23,
        "bytes": 1 << 40,
        "rate_mib_s": 5.5,
        "left_s": 7,
        "elapsed_s": 1.5,
        "line": "web01 xen1 -> xen2: sending",
    },
    "evacuation": {
        "closed": True,
        "since": "2026-11-29 04:05:06",
        "who": "xend.orch.evacuate",
        "guests": [{"name": "web01", "uuid": UUID, "target": "xen2"}],
        "problem": None,
    },
    "share": {
        "forget": [{"name": "web01", "uuid": UUID, "note": "i1", "claims": {"xen2": "running"}}],
        "home": [UUID],
        "release": ["web01"],
    },
    "survey": {
        "host": HOST,
        "dom0_mib": 512,
        "promised": [{"name": "db01", "memory_mib": 97, "says": "db01 may come"}],
        "configured": True,
        "guests": [
            {
                "name": "web01",
                "uuid": UUID,
                "domain": {"name": "web01", "memory_mib": 96},
                "view": {"copy": "running"},
                "stays_managed": None,
                "blockers": [],
                "warnings": ["its disks were not looked at"],
            }
        ],
        "doors": {"xen2": ["nothing listens there"]},
        "seen": [{"name": "web01", "listed": "web01", "uuid": UUID, "domid": 7, "copy": "running"}],
        "near": ["web02"],
        "wrong": None,
        "closed": "it is being emptied",
    },
    "room": {
        "guests": [
            {
                "name": "web01",
                "uuid": UUID,
                "blockers": ["there is no bridge dmz"],
                "warnings": [],
                "needed_mib": 98,
                "takes_mib": 97,
            }
        ]
    },
    "file": {"name": "web01", "path": "/etc/xen/web01", "mode": 420, "auto": None, "seal": "x", "shared": []},
}
SAFETY = {
    "state": "complete",
    "heard": "err",
    "said": "Device 0 (vif) could not be connected.",
    "phase": "over",
    "path": "/var/lib/xend-for-salt/db01.save",
    "bytes": 1 << 30,
    "alive": False,
    "live": True,
    "refused": True,
    "recent": True,
    "tried": False,
    "restoring_at": "2012-03-04 05:16:01 UTC",
    "began_at": 1.5,
    "sent_at": 9.5,
    "stood_still_s": None,
}
ANSWERS["copies"]["sent"].append(dict(ANSWERS["copies"]["sent"][0], safety=SAFETY))
ANSWERS["report"]["closed"] = "xen1 takes no guests"
ANSWERS["report"]["marked"] = {
    "token": "0f3e9a51",
    "disks": GUEST["disks"],
    "marks": [],
    "there": [
        {"uname": "file:/x", "kind": "file", "read_only": False, "device": False, "ids": {}, "size": 5}
    ],
}


def heard(what, value):
    return xm_heard.form_of(what, WORDS)(value)


def fields(value, way=()):
    """The ways to all parts of an answer."""
    yield way
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for found in fields(part, way + (key,)):
            yield found


def changed(value, way, new):
    found = json.loads(json.dumps(value))
    if not way:
        return new
    part = found
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = new
    return found


def holds(found, said):
    """Whether all that was said is found, as it was said."""
    if isinstance(said, dict):
        return all(holds(found[key], said[key]) for key in said)
    if isinstance(said, list):
        return len(found) == len(said) and all(map(holds, found, said))
    return found == said


@pytest.mark.parametrize("what", sorted(ANSWERS))
def test_what_is_of_the_form_stays_as_it_is(what):
    assert holds(heard(what, ANSWERS[what]), ANSWERS[what])


BAD = [
    None,
    True,
    -1,
    2**80,
    float("nan"),
    float("inf"),
    "",
    "x" * 300000,
    u"a\x1b[2Jb",
    u"\u202egnp",
    [],
    [[]],
    {},
    {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}},
    [0] * 30000,
    object(),
]


@pytest.mark.parametrize("what", sorted(ANSWERS))
def test_any_field_may_be_anything(what):
    """It is taken, or refused in one short line; what is taken has no type that was not agreed upon."""
    for way in fields(ANSWERS[what]):
        for new in BAD:
            try:
                found = heard(what, changed(ANSWERS[what], way, new))
            except ValueError as exc:
                text = str(exc)
                assert "\n" not in text and "\x1b" not in text and len(text) < 2100
                assert not way or str(way[0]) in text, (way, text)
            else:
                assert len(json.dumps(found)) < 2000000


@pytest.mark.parametrize(
    "what, way, new, said",
    [
        ("copies", ("copies", 0, "copy"), "dancing", "copies[0].copy: 'dancing' is none of absent"),
        ("copies", ("copies", 0, "domid"), "7", "copies[0].domid: '7' is no whole number"),
        ("copies", ("copies", 0, "name"), "a\nb", "copies[0].name: 'a\\nb' is no name that a domain"),
        ("copies", ("copies",), {"web01": 1}, "is no list of at most"),
        ("copies", ("sent", 0, "id"), 5, "sent[0].id: 5 is no text"),
        ("copies", ("sent", 1, "safety", "state"), "whole", "sent[1].safety.state: 'whole' is none of none"),
        ("copies", ("sent", 1, "safety", "heard"), "OK", "sent[1].safety.heard: 'OK' is none of ok, err"),
        ("copies", ("sent", 1, "safety", "alive"), 1, "sent[1].safety.alive: 1 is neither true nor false"),
        ("report", ("view",), None, "view: None is no mapping"),
        ("report", ("domain", "memory_mib"), 0, "domain.memory_mib: 0 is no whole number from 1"),
        ("report", ("domain", "uuid"), "../../etc", "domain.uuid: '../../etc' is no uuid"),
        ("report", ("domain", "disks", 0, "uname"), ["x"], "domain.disks[0].uname: a list is no text"),
        ("report", ("host", "free_mib"), True, "host.free_mib: True is no whole number"),
        ("report", ("marked", "token"), "x" * 70000, "is not 8 to 64 letters, digits and hyphens"),
        ("file", ("mode",), 0o104755, "mode: 35309 is no whole number from 0 to 4095"),
        ("migrations", ("migrations", 0, "copy"), "flying", "migrations[0].copy: 'flying' is none of absent"),
        ("progress", ("percent",), 101, "percent: 101 is no whole number from 0 to 100"),
    ],
)
def test_what_is_wrong_is_said_by_field_and_value(what, way, new, said):
    with pytest.raises(ValueError) as caught:
        heard(what, changed(ANSWERS[what], way, new))
    # Under Python 2 text shows its u.
    assert said in str(caught.value).replace("u'", "'")


def test_what_is_missing_is_none_and_what_is_more_is_dropped():
    found = heard("copies", {"copies": [], "else": "x"})
    assert "else" not in found and found["sent"] is None and found["copies"] == []


@pytest.mark.parametrize("name", [b"k\xc3\xb6ln", b"k\xc3\xb6ln".decode("utf-8")])
def test_a_name_in_utf8_is_one(name):
    """Salt hands arguments on as bytes or as unicode under Python 2; either is the text of messages here."""
    native = b"k\xc3\xb6ln" if bytes is str else u"k\xf6ln"
    name = native if isinstance(name, bytes) else name
    (found,) = heard("copies", {"copies": [{"name": name, "listed": name, "copy": "running"}]})["copies"]
    assert [(found[key], type(found[key])) for key in ("name", "listed")] == [(native, str)] * 2
    with pytest.raises(ValueError) as refused:
        xm_heard.told("reports: " + native, 5, "copies", "xm.copies", WORDS)
    assert str(refused.value).startswith("reports: %s: it: 5 is no mapping" % native)




def test_no_terminal_obeys_what_is_shown():
    shown = xm_heard.legible(u"a\x1b[2J\x07\u202eb\u2028c\ud83d" + u"x" * 5000, 50)
    assert shown.startswith(u"a\\x1b[2J\\x07\\u202eb\\u2028c") and len(shown) < 90


# What somebody gives as the facts of a host


def told_host(value):
    return xm_heard.told("source", value, "host", "xm.host")


def test_facts_that_were_told_are_taken_as_they_are():
    found = dict(HOST, interfaces=["eth0"], bridge_ports={"vif1.0": "xenbr0"}, vnc_listen=None)
    assert holds(told_host(found), found)
    assert told_host({})["flags"] is None
    assert "of a later version" not in told_host(dict(found, **{"of a later version": 1}))


@pytest.mark.parametrize(
    "key, value",
    [
        ("flags", "fpu"),
        ("flags", ["fpu", 5]),
        ("flags", ["fpu"] * 5000),
        ("caps", {"xen-3.0-x86_64": 1}),
        ("xen", ["4", "4"]),
        ("xen", [4, -1]),
        ("tools", 4.4),
        ("family", 6.5),
        ("free_mib", 10**40),
        ("free_mib", True),
        ("time", float("nan")),
        ("time", float("inf")),
        ("uptime_s", -1),
        ("vendor", "x" * 2000),
        ("host", "a\0b"),
        ("host", ["xen1"]),
        ("bridge_ports", {"vif1.0": 5}),
        ("bridge_ports", ["vif1.0"]),
    ],
)
def test_facts_of_another_form_are_named(key, value):
    with pytest.raises(ValueError) as caught:
        told_host(dict(HOST, **{key: value}))
    assert key in caught.value.args[0] and len(caught.value.args[0]) < 200


@pytest.mark.parametrize("host", [None, [], "xen1", 5])
def test_what_is_no_host(host):
    with pytest.raises(ValueError):
        told_host(host)
