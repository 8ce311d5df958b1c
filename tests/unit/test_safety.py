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


@pytest.mark.parametrize("ssl, relay, why", [(True, True, "TLS"), (False, False, "relay: false")])
def test_without_a_relay_there_is_neither_a_required_copy_nor_a_limit(ssl, relay, why):
    found = settings({"safety_copy": "required", "rate_mib_s": 50, "relay": relay})
    for_copy, for_rate = xm_safety.contradictions(found, ssl)
    assert for_copy.startswith("safety_copy: required: with " + why)
    assert for_rate.startswith("rate_mib_s: 50: with " + why)
    found = settings({"rate_mib_s": False, "relay": relay}, rate_mib_s=50)
    assert xm_safety.contradictions(found, ssl) == []
    (sentence,) = xm_safety.unprotected("web01", found, ssl)
    assert why in sentence and "web01" in sentence
    # Who has asked for none knows.
    assert xm_safety.unprotected("web01", settings({"safety_copy": "off", "relay": relay}), ssl) == []


def test_with_a_relay_all_of_it_can_be_had():
    found = settings({"safety_copy": "required", "rate_mib_s": 50})
    assert xm_safety.contradictions(found, False) == []
    assert xm_safety.unprotected("web01", found, False) == []
