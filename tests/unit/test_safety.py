"""What is wanted of a safety copy, and whether there is room for it. Runs on Python 2.7, too."""

import importlib

import pytest

import xm_safety

KEPT = "/var/lib/xend-for-salt"
DEFAULT = {
    "copy": "auto",
    "folder": KEPT,
    "delay_s": 30,
    "rate_mib_s": None,
    "relay": True,
    "spare_mib": xm_safety.SPARE_MIB,
}


def settings(given=None, **said):
    """What holds when that is GIVEN for a migration and SAID for its source."""
    options = dict([("xend:" + name, said[name]) for name in said])
    return xm_safety.settings(given or {}, options.get, KEPT, importlib.import_module)


def refused(given=None, **said):
    with pytest.raises(ValueError) as caught:
        settings(given, **said)
    return str(caught.value)


# -- What holds ----------------------------------------------------------------------------------


def test_where_nothing_is_said_there_is_a_copy_in_the_folder_of_what_is_kept():
    assert settings() == DEFAULT
    assert settings(dict.fromkeys(xm_safety.DEFAULTS)) == DEFAULT


@pytest.mark.parametrize(
    "name, value, key, means",
    [
        ("safety_copy", "auto", "copy", "auto"),
        ("safety_copy", "required", "copy", "required"),
        ("safety_copy", "off", "copy", "off"),
        # YAML.
        ("safety_copy", False, "copy", "off"),
        ("safety_copy", True, "copy", "auto"),
        ("safety_folder", "/srv/safety", "folder", "/srv/safety"),
        ("safety_delay_s", 0, "delay_s", 0),
        ("safety_delay_s", 2.5, "delay_s", 2.5),
        ("rate_mib_s", 50, "rate_mib_s", 50),
        ("rate_mib_s", 0.5, "rate_mib_s", 0.5),
        ("rate_mib_s", False, "rate_mib_s", None),
        ("relay", False, "relay", False),
        ("relay", True, "relay", True),
    ],
)
def test_what_is_said_for_a_host_or_given_for_one_migration_holds(name, value, key, means):
    assert settings(**{name: value}) == dict(DEFAULT, **{key: means})
    assert settings({name: value}) == dict(DEFAULT, **{key: means})


def test_what_is_given_for_a_migration_goes_before_what_its_host_says():
    said = {"safety_copy": "required", "rate_mib_s": 50, "relay": False, "safety_delay_s": 5}
    assert settings(dict(safety_copy=False, rate_mib_s=False, relay=True, safety_delay_s=0), **said) == dict(
        DEFAULT, copy="off", delay_s=0
    )


@pytest.mark.parametrize(
    "name, value, right",
    [
        ("safety_copy", "maybe", "auto, required, off"),
        ("safety_copy", "", "auto, required, off"),
        ("safety_copy", 1, "auto, required, off"),
        ("safety_copy", ["auto"], "auto, required, off"),
        ("safety_folder", "safety", "absolute path"),
        ("safety_folder", "", "absolute path"),
        ("safety_folder", "/a\0b", "absolute path"),
        ("safety_folder", "/" + 5000 * "x", "absolute path"),
        ("safety_folder", 7, "absolute path"),
        ("safety_delay_s", -1, "from 0 to 86400"),
        ("safety_delay_s", "30", "from 0 to 86400"),
        ("safety_delay_s", True, "from 0 to 86400"),
        ("safety_delay_s", float("nan"), "from 0 to 86400"),
        ("safety_delay_s", float("inf"), "from 0 to 86400"),
        ("rate_mib_s", 0, "like 50, nor false"),
        ("rate_mib_s", -5, "like 50, nor false"),
        ("rate_mib_s", True, "like 50, nor false"),
        ("rate_mib_s", "50 MiB", "like 50, nor false"),
        ("rate_mib_s", float("nan"), "like 50, nor false"),
        ("rate_mib_s", 10 ** 400, "like 50, nor false"),
        ("relay", "no", "neither true nor false"),
        ("relay", 2, "neither true nor false"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name, value, right):
    sentence = refused({name: value})
    assert sentence.startswith(name + ": ") and right in sentence and len(sentence) < 300
    sentence = refused(**{name: value})
    assert sentence.startswith("xend:" + name + ": ") and right in sentence


def test_all_that_is_wrong_is_named_at_once():
    sentence = refused({"safety_copy": "maybe", "relay": "no"}, rate_mib_s="fast", safety_delay_s=1)
    assert [name for name in sorted(xm_safety.DEFAULTS) if name in sentence] == [
        "rate_mib_s",
        "relay",
        "safety_copy",
    ]


# -- What cannot be had together -----------------------------------------------------------------


@pytest.mark.parametrize(
    "ssl, tool, relay, why",
    [
        (True, None, True, "TLS"),
        (False, "", False, "relay: false"),
        (False, "/usr/sbin/move-devices", True, "an external-migration-tool"),
    ],
)
def test_without_a_relay_there_is_neither_a_required_copy_nor_a_limit(ssl, tool, relay, why):
    found = settings({"safety_copy": "required", "rate_mib_s": 50, "relay": relay})
    for_copy, for_rate = xm_safety.contradictions(found, ssl, tool)
    assert for_copy.startswith("safety_copy: required: with " + why)
    assert for_rate.startswith("rate_mib_s: 50: with " + why)
    found = settings({"rate_mib_s": False, "relay": relay}, rate_mib_s=50)
    assert xm_safety.contradictions(found, ssl, tool) == []
    (sentence,) = xm_safety.unprotected("web01", found, ssl, tool)
    assert why in sentence and "web01" in sentence
    # Who has asked for none knows.
    off = settings({"safety_copy": "off", "relay": relay})
    assert xm_safety.unprotected("web01", off, ssl, tool) == []


def test_with_a_relay_all_of_it_can_be_had():
    found = settings({"safety_copy": "required", "rate_mib_s": 50})
    assert xm_safety.contradictions(found, False) == []
    assert xm_safety.unprotected("web01", found, False) == []


# -- Room ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guest, live, usual_mib, most_mib",
    [
        ({"memory_mib": 1000, "image": "linux"}, True, 1116, 3016),
        ({"memory_mib": 1000, "image": "linux"}, False, 1026, 1026),
        ({"memory_mib": 1000, "image": "hvm"}, True, 1148, 3048),
        ({"memory_mib": 1000, "image": "hvm"}, False, 1058, 1058),
        ({"memory_mib": None, "image": None}, True, 16, 16),
    ],
)
def test_how_much_room_a_copy_needs(guest, live, usual_mib, most_mib):
    assert xm_safety.needed_mib(guest, live) == (usual_mib, most_mib)


def test_what_real_guests_have_sent_fits():
    # On a real 4.4 an idle guest of 128 MiB sent 137935560 and 139125727 bytes live, and 134512819 suspended.
    guest = {"memory_mib": 128, "image": "linux"}
    assert xm_safety.needed_mib(guest, True)[0] * xm_safety.MIB > 139125727
    assert xm_safety.needed_mib(guest, False)[0] * xm_safety.MIB > 134512819


NEEDED = (1116, 3016)
SPARE = xm_safety.SPARE_MIB


def room(copy, free_mib, needed=NEEDED, promised=0, problem=None):
    seen = {"free_mib": None if problem else free_mib, "device": 1, "problem": problem}
    return xm_safety.room("web01", settings({"safety_copy": copy}), needed, seen, promised)


@pytest.mark.parametrize("copy", ["auto", "required"])
def test_where_there_is_room_for_all_that_may_come_nothing_is_said(copy):
    assert room(copy, 3016 + SPARE) == (True, [], [])
    assert room(copy, 1026 + SPARE, (1026, 1026)) == (True, [], [])
    assert room(copy, 3016 + SPARE + 500, promised=500) == (True, [], [])


@pytest.mark.parametrize(
    "copy, end",
    [("auto", "the copy is given up"), ("required", "the transfer is broken off, and the guest stays")],
)
@pytest.mark.parametrize("free_mib, promised", [(1116, 0), (3015, 0), (3016, 1)])
def test_a_copy_that_may_grow_too_large_is_warned_of(copy, end, free_mib, promised):
    is_kept, blockers, (warning,) = room(copy, free_mib + SPARE, promised=promised)
    assert is_kept and not blockers
    free = "%d MiB are free" % (free_mib - promised)
    for part in ("web01", "about 1116 MiB", "up to 3016 MiB", KEPT, free):
        assert part in warning
    assert warning.endswith(end)


@pytest.mark.parametrize(
    "free_mib, promised, said",
    [
        (1115 + SPARE, 0, "1115 MiB are free"),
        (5, 0, "0 MiB are free"),
        (1116 + SPARE, 1, "1 are for guests that are being sent now"),
    ],
)
def test_without_room_there_is_no_copy_and_a_guest_that_needs_one_stays(free_mib, promised, said):
    is_kept, blockers, (warning,) = room("auto", free_mib, promised=promised)
    assert not is_kept and not blockers
    is_kept, (blocker,), warnings = room("required", free_mib, promised=promised)
    assert not is_kept and not warnings
    for sentence in (warning, blocker):
        for part in ("web01", "about 1116 MiB", "up to 3016 MiB", KEPT, said, "safety_folder"):
            assert part in sentence
    assert "is lost with all that is in its memory" in warning
    assert blocker.startswith("safety_copy: required: ") and "safety_copy: auto" in blocker


def test_a_folder_that_cannot_be_used_is_as_one_without_room():
    _, _, (warning,) = room("auto", None, problem="/srv/safety: Read-only file system")
    _, (blocker,), _ = room("required", None, problem="/srv/safety: Read-only file system")
    said = "to its memory; in %s there can be none (/srv/safety: Read-only file system)" % KEPT
    assert said in warning and said in blocker


def relay(**said):
    copy = {"state": "growing", "path": "/srv/safety/web02.save", "bytes": 100 * xm_safety.MIB}
    copy.update(said.pop("copy", {}))
    return dict({"uuid": "u2", "alive": True, "live": True, "copy": copy}, **said)


@pytest.mark.parametrize(
    "relays, promised_mib",
    [
        ([], 0),
        ([relay()], 1016),
        ([relay(), relay(live=False)], 1016 + 926),
        # More than usual has come already; nobody knows how much more.
        ([relay(copy={"bytes": 2000 * xm_safety.MIB})], 0),
        ([relay(alive=False)], 0),
        ([relay(copy={"state": "complete"})], 0),
        ([relay(copy={"state": "given up"})], 0),
        ([relay(copy={"path": "/elsewhere/web02.save"})], 0),
        ([relay(uuid="u3")], 0),
        ([relay(copy={"path": None})], 0),
        ([{"alive": True, "copy": None}], 0),
    ],
)
def test_the_copies_of_guests_that_are_being_sent_take_their_room(relays, promised_mib):
    guests = {"u2": {"memory_mib": 1000, "image": "linux"}}
    found = xm_safety.promised_mib(relays, guests, 1, {"/srv/safety": 1, "/elsewhere": 2}.get)
    assert found == promised_mib
