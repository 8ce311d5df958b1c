"""
Examples for xend_allow: entries to patterns, decisions as the real xend made them, findings.
Properties over generated sets are in test_allow_properties.py. Runs on Python 2.7, too.
"""

from __future__ import absolute_import

import re
import warnings

import pytest

import xend_allow
from tests import ground_truth


def admitted(entries, address, name=None):
    value = xend_allow.join(xend_allow.patterns(entries))
    return xend_allow.admits(value, address, name)["accepted"]


# -- sources: what a packet filter can admit ---------------------------------------------------


@pytest.mark.parametrize(
    "entries, expected",
    [
        ("10.20.0.11", ["10.20.0.11/32"]),
        (["10.20.0.11", "10.20.0.11/32", "10.20.0.11"], ["10.20.0.11/32"]),
        (["10.20.0.0/255.255.252.0"], ["10.20.0.0/22"]),
        (["10.20.1.5", "10.20.0.0/22", "10.20.0.0/24"], ["10.20.0.0/22"]),
        (["10.20.0.100", "10.20.0.20", "9.0.0.0/8"], ["9.0.0.0/8", "10.20.0.20/32", "10.20.0.100/32"]),
        (["10.0.0.4", "10.0.0.5"], ["10.0.0.4/32", "10.0.0.5/32"]),
        (["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/1", "128.0.0.0/1"]),
        ((u"10.20.0.11",), ["10.20.0.11/32"]),
    ],
)
def test_sources(entries, expected):
    assert xend_allow.sources(entries) == expected


@pytest.mark.parametrize(
    "entries, said",
    [
        ("any", ["'any' is no address or network"]),
        ([], ["no entry"]),
        (None, ["None is no address or network"]),
        ([10], ["10 is no address or network"]),
        (["xen1.example.com", "10.0.0.1", ".example.com"], ["xen1.example.com", "'.example.com'"]),
        ([{"regex": "^10"}], ["regex"]),
        (["127.0.77.1/24"], ["write 127.0.77.0/24 for the network or 127.0.77.1 for the host"]),
        (["0.0.0.0/0"], ["every address"]),
        (["10.0.0.0/8\n"], ["white space"]),
        (["10.0.0.300", "10.0.0.0/33"], ["10.0.0.300", "10.0.0.0/33"]),
    ],
)
def test_what_a_packet_filter_cannot_judge(entries, said):
    with pytest.raises(ValueError) as caught:
        xend_allow.sources(entries)
    for text in said:
        assert text in str(caught.value)


# -- problems: all that is wrong at once, and who admits everybody without saying so -----------


@pytest.mark.parametrize(
    "entries",
    [
        "any",
        ["any"],
        ["10.20.0.11", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"],
        [".example.com", "xen1.example.com", ".example.co.uk", "localhost"],
        [{"regex": "^xen[0-9]+\\.example\\.com$"}, {"regex": "^xen[0-9]+\\.de$"}],
        [{"regex": "^.*[.]lan$"}, {"regex": "^.*\\.example\\.com$"}],
    ],
)
def test_allow_lists_without_problems(entries):
    assert xend_allow.problems(entries) == []


@pytest.mark.parametrize(
    "entries, said",
    [
        (["0.0.0.0/0"], "admits every address"),
        (["0.0.0.0/0.0.0.0"], "admits every address"),
        (["0.0.0.0/1", "10.0.0.1"], "wider than any network of one owner"),
        (["10.0.0.0/7"], "wider than any network of one owner"),
        (["%d.0.0.0/8" % number for number in range(40)], "together"),
        ([".com"], "whole top-level domain"),
        ([".ORG"], "whole top-level domain"),
        ([".de"], "whole top-level domain"),
        ([".lan"], "{regex: '^.*[.]lan$'}"),
        ([{"regex": ".*"}], "matches every host"),
        ([{"regex": "^\\S+$"}], "matches every host"),
        ([{"regex": "^.*\\.com$"}], "every name of a top-level domain"),
        ([{"regex": "(?i)^.*[.](com|net)$"}], "every name of a top-level domain"),
        ([{"regex": "^[a-z0-9-]+[.]de$"}], "every name of a top-level domain"),
        ([{"regex": "^[1-5]"}, {"regex": "^[6-9]"}], "together"),
        ([{"regex": "^[a-m0-4]"}, {"regex": "^[^a-m0-4]"}], "together"),
        (["any", "10.0.0.1"], "only the lone small word"),
        ([], "empty list"),
        (None, "hosts_allow is None"),
        (5, "hosts_allow is 5"),
    ],
)
def test_nobody_is_everybody_but_any(entries, said):
    (sentence,) = [text for text in xend_allow.problems(entries) if said in text][:1]
    assert "any" in sentence


def test_all_that_is_wrong_with_a_list_is_said():
    wrong = [{"regex": "^("}, "Any", 5, "10.0.0.1/24", "xen1", "0.0.0.0/0", ".com", "fe80::1", "10.0.0.1"]
    assert len(xend_allow.problems(wrong)) == len(wrong) - 1


# -- patterns: what is admitted ---------------------------------------------------------------


@pytest.mark.parametrize(
    "entry, inside, outside",
    [
        ("10.20.0.11", ["10.20.0.11"], ["10.20.0.1", "10.20.0.110", "10.20.0.12", "110.20.0.11"]),
        ("10.20.0.0/22", ["10.20.0.0", "10.20.3.255"], ["10.19.255.255", "10.20.4.0"]),
        ("10.20.0.0/255.255.252.0", ["10.20.0.0", "10.20.3.255"], ["10.20.4.0"]),
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["1.0.0.0", "11.0.0.0", "100.0.0.0"]),
        ("172.16.0.0/12", ["172.16.0.0", "172.31.255.255"], ["172.15.0.1", "172.32.0.0"]),
        ("10.0.0.4/31", ["10.0.0.4", "10.0.0.5"], ["10.0.0.3", "10.0.0.6", "10.0.0.45"]),
        ("10.0.0.4/32", ["10.0.0.4"], ["10.0.0.40"]),
        ("0.0.0.0/0", ["0.0.0.0", "8.8.8.8", "255.255.255.255"], []),
        ("0.0.0.0/0.0.0.0", ["0.0.0.0", "255.255.255.255"], []),
        ("128.0.0.0/1", ["128.0.0.0", "255.255.255.255"], ["127.255.255.255", "12.0.0.0"]),
    ],
)
def test_address_entries_admit_their_addresses_only(entry, inside, outside):
    for address in inside:
        assert admitted(entry, address), address
    for address in outside:
        assert not admitted(entry, address), address


@pytest.mark.parametrize(
    "entry, inside, outside",
    [
        (
            "xen1.example.com",
            ["xen1.example.com"],
            [
                "xen1-example.com",
                "xen1.example.com.evil.test",
                "axen1.example.com",
                "xen1",
                "xen1.example.comx",
            ],
        ),
        (
            ".example.com",
            ["xen1.example.com", "a.b.c.example.com", "a_b.example.com"],
            [
                "example.com",
                ".example.com",
                "badexample.com",
                "x.example.com.evil.test",
                "x.example-com",
                "a..example.com",
            ],
        ),
        (
            "XEN1.Example.com",
            ["XEN1.Example.com", "xen1.example.com"],
            ["xen2.example.com", "xen1.example.COM"],
        ),
        ("win_host.example.com", ["win_host.example.com"], ["winxhost.example.com"]),
        ("localhost", ["localhost"], ["localhost.localdomain", "localhosts"]),
        (
            {"regex": "^xen[0-9]+\\.example\\.com$"},
            ["xen1.example.com", "xen22.example.com"],
            ["xen.example.com", "xen1.example.com.evil.test"],
        ),
    ],
)
def test_name_entries_admit_their_names_only(entry, inside, outside):
    for name in inside:
        assert admitted([entry], "192.0.2.1", name), name
    for name in outside:
        assert not admitted([entry], "192.0.2.1", name), name


def test_network_does_not_match_what_is_no_address():
    for text in ("10.20.0.256", "10.20.0.01", "10.20.0.", "10.20.0", "10.20.0.1.2", "10.20.0.1x"):
        assert not admitted("10.20.0.0/16", text), text


@pytest.mark.parametrize("entries", ["any", ["any"], ("any",)])
def test_any_is_the_empty_value(entries):
    assert xend_allow.patterns(entries) == []
    assert xend_allow.join(xend_allow.patterns(entries)) == ""
    assert admitted(entries, "203.0.113.9", "evil.invalid")


def test_a_single_entry_needs_no_list():
    for entry in ("10.0.0.1", ".example.com", {"regex": "^a\\.b$"}):
        assert xend_allow.patterns(entry) == xend_allow.patterns([entry])


def test_neighbours_and_overlaps_merge():
    whole = xend_allow.patterns(["10.0.0.0/24"])
    assert xend_allow.patterns(["10.0.0.128/25", "10.0.0.7", "10.0.0.0/25"]) == whole
    assert len(xend_allow.patterns(["10.0.0.1", "10.0.0.3", "10.7.0.1"])) == 1


def test_names_keep_their_order_and_lose_duplicates():
    made = xend_allow.patterns(
        [
            "z.example.com",
            "10.0.0.2",
            {"regex": "^q$"},
            "a.example.com",
            "z.example.com",
            "10.0.0.1",
        ]
    )
    assert made == xend_allow.patterns(["10.0.0.1", "10.0.0.2"]) + [
        "^z\\.example\\.com$",
        "^q$",
        "^a\\.example\\.com$",
    ]


def test_a_given_regex_is_taken_as_it_stands():
    assert xend_allow.patterns([{"regex": "xen[12]\\."}]) == ["xen[12]\\."]


# -- patterns: errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entries, words",
    [
        (None, ["None", "any"]),
        ([], ["[]", "any", "everybody"]),
        ({}, ["any"]),
        (7, ["7", "list"]),
        ("", ["''", "any"]),
        ([""], ["''", "any"]),
        (["any", "10.0.0.1"], ["'any'", "alone"]),
        (["10.0.0.1 10.0.0.2"], ["10.0.0.1 10.0.0.2", "space"]),
        (["10.0.0.1\n"], ["10.0.0.1\\n", "space"]),
        (["10.0.0.1,10.0.0.2"], ["10.0.0.1,10.0.0.2", "comma", "list item"]),
        ("Any", ["'Any'", "write any"]),
        ([{"regex": "^a$ ^b$"}], ["^a$ ^b$", "space"]),
        ([{"regex": "^a'$"}], ["^a'$", "quote"]),
        ([{"regex": "^a("}], ["^a(", "would not start"]),
        ([{"regex": "^a["}], ["^a[", "would not start"]),
        ([{"regex": "^\\x4$"}], ["^\\x4$", "would not start"]),
        ([{"regex": "^a++$"}], ["^a++$", "Python 2"]),
        ([{"regex": "^a{2}+$"}], ["^a{2}+$", "Python 2"]),
        ([{"regex": "^(?>a)$"}], ["^(?>a)$", "Python 2"]),
        ([{"regex": "^(?i:a)$"}], ["^(?i:a)$", "Python 2"]),
        ([{"regex": "(a)" * 100 + "$"}], ["(a)(a)", "groups"]),
        ([{"regex": ""}], ["''", "any"]),
        ([{"regex": ".*"}], [".*", "any"]),
        ([{"regex": "x*"}], ["x*", "any"]),
        ([{"regex": "^[0-9.]+$"}], ["^[0-9.]+$", "any"]),
        ([{"regex": 5}], ["5", "regex"]),
        ([{"rgx": "a"}], ["rgx", "regex"]),
        ([{"regex": "a", "x": "b"}], ["regex"]),
        (["fe80::1"], ["fe80::1", "IPv4"]),
        (["::/0"], ["::/0", "IPv4"]),
        (["10.0.0.1:8002"], ["10.0.0.1:8002", "'10.0.0.1'", "port"]),
        (["10.20.1.0/22"], ["10.20.1.0/22", "10.20.0.0/22", "10.20.1.0 "]),
        (["10.0.0.0/33"], ["10.0.0.0/33", "0 to 32"]),
        (["10.0.0.0/"], ["10.0.0.0/", "0 to 32"]),
        (["10.0.0.0/08"], ["10.0.0.0/08", "0 to 32"]),
        (["10.0.0.0/255.0.255.0"], ["255.0.255.0", "prefix"]),
        (["10.0.0.256"], ["10.0.0.256", "255"]),
        (["10.0.0"], ["10.0.0", "four numbers"]),
        (["10.20.00.011"], ["10.20.00.011", "10.20.0.11"]),
        (["10.0.0.1-20"], ["10.0.0.1-20", "network"]),
        (["10.0.0.*"], ["10.0.0.*", "10.20.0.0/24"]),
        (["*.example.com"], ["*.example.com", ".example.com", "domain"]),
        (["^xen1$"], ["^xen1$", "regex"]),
        (["xen1"], ["xen1", "fully qualified", "xen1.example.com"]),
        (["xen1.example.com."], ["'xen1.example.com.'", "'xen1.example.com'"]),
        (["-a.example.com"], ["-a.example.com", "hyphens"]),
        (["a..example.com"], ["a..example.com", "dots"]),
        (["a" * 64 + ".example.com"], ["a" * 64, "labels"]),
        (["x@example.com"], ["x@example.com", "labels"]),
        ([b"b\xc3\xbcro.example".decode("utf-8")], ["ro.example", "xn--"]),
        ([10.2], ["10.2", "quotes"]),
        ([None], ["None", "text"]),
        ([True], ["True", "text"]),
        ([["10.0.0.1"]], ["10.0.0.1", "text"]),
    ],
)
def test_errors_name_the_entry_and_the_way_out(entries, words):
    with pytest.raises(ValueError) as caught:
        xend_allow.patterns(entries)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "regex",
    [
        "xen1",
        "^a{1,3}\\.b$",
        "^(?:a|b)\\.c$",
        "(?i)^a\\.b$",
        "^(?P<n>a)(?P=n)$",
        "^\\d+\\.x$",
        "^[]a]$",
        "^[[a]$",
        "(b)" * 99 + "$",
    ],
)
def test_regexes_that_xend_knows_are_accepted(regex):
    assert xend_allow.patterns([{"regex": regex}]) == [regex]


# -- split and admits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, pieces",
    [
        ("", None),
        ("^a$", ["^a$"]),
        ("^a$ ^b$", ["^a$", "^b$"]),
        (" ^a$", ["", "^a$"]),
        ("^a$ ", ["^a$", ""]),
        ("^a$  ^b$", ["^a$", "", "^b$"]),
        ("^a$\t^b$\n^c$,^d$", ["^a$\t^b$\n^c$,^d$"]),
    ],
)
def test_split_is_by_single_spaces(value, pieces):
    assert xend_allow.split(value) == pieces


def test_decision_names_the_first_pattern_that_admits():
    value = "^nobody$ ^10\\.0\\.0\\.1 ^xen1\\.example\\.com$"
    by_address = xend_allow.admits(value, "10.0.0.12", "xen1.example.com")
    assert by_address["accepted"] and by_address["pattern"] == "^10\\.0\\.0\\.1"
    assert "10.0.0.12" in by_address["reason"]
    by_name = xend_allow.admits(value, "192.0.2.1", "xen1.example.com")
    assert by_name["accepted"] and by_name["pattern"] == "^xen1\\.example\\.com$"
    assert "name xen1.example.com" in by_name["reason"]


def test_rejection_says_what_was_compared():
    decision = xend_allow.admits("^a$ ^b$", "192.0.2.1", "c.example")
    assert (decision["accepted"], decision["pattern"]) == (False, None)
    assert "192.0.2.1" in decision["reason"] and "c.example" in decision["reason"]


def test_without_a_name_the_address_stands_for_it():
    assert xend_allow.admits("^192\\.0\\.2\\.1$", "192.0.2.1")["accepted"]
    assert not xend_allow.admits("^xen", "192.0.2.1", "")["accepted"]


def test_one_broken_pattern_keeps_xend_from_starting():
    decision = xend_allow.admits("^10\\.0\\.0\\.1$ *.example.com", "10.0.0.1")
    assert (decision["accepted"], decision["pattern"]) == (False, None)
    assert "does not start" in decision["reason"] and "*.example.com" in decision["reason"]


@pytest.mark.parametrize(
    "pattern, name, accepted",
    [
        # Python 2 takes an unknown escape for the letter itself.
        ("^local\\host$", "localhost", True),
        ("^\\u$", "u", True),
        ("^[\\A]$", "A", True),
        ("^x\\400$", b"x\x00".decode("ascii"), True),
        # Inline flags count wherever they stand.
        ("^xen(?i)1$", "XEN1", True),
        ("^xen1$", "XEN1", False),
        # A dollar sign stands before a final newline, too.
        ("^a$", "a\n", True),
        ("^[[a]$", "[", True),
        ("^a\\Z", "ab", False),
    ],
)
def test_patterns_mean_what_python_2_says(pattern, name, accepted):
    assert xend_allow.admits(pattern, "192.0.2.1", name)["accepted"] is accepted


@pytest.mark.parametrize("pattern", ["(?(1)a|b)", "^(?(2)a|b)$", "(?x)(?(1)a|b)#why"])
def test_a_condition_on_a_group_that_is_not_there_is_never_met(pattern):
    assert xend_allow.broken(pattern) == []
    assert xend_allow.admits(pattern, "192.0.2.1", "b")["accepted"]
    assert not xend_allow.admits(pattern, "192.0.2.1", "a")["accepted"]


@pytest.mark.parametrize("pattern", ["^[[a]$", "^[a&&b]$", "^[a||b]$", "^[a~~b]$"])
def test_signs_of_set_operations_raise_no_warning(pattern):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xend_allow.admits(pattern, "192.0.2.1", "a")["accepted"]


def real_decisions():
    for config in ground_truth.configs():
        for seen in config.records.values():
            value = seen.get("settings", {}).get("xend-relocation-hosts-allow", {}).get("value")
            if value is not None and not isinstance(value, (dict, list)):
                yield config.name, value, seen


def test_decisions_are_those_of_the_real_xend():
    checked = 0
    for name, value, seen in real_decisions():
        if isinstance(seen["hosts_allow"], dict):
            decision = xend_allow.admits(value, "127.0.0.1", "localhost")
            assert "does not start" in decision["reason"], name
            continue
        assert xend_allow.split(value) == seen["hosts_allow"], name
        for peer, accepted in seen["allowed"].items():
            peer_name, address = peer.split("/")
            assert xend_allow.admits(value, address, peer_name)["accepted"] is accepted, (name, peer)
            checked += 1
    assert checked > 1000


# -- loose ------------------------------------------------------------------------------------


def findings(value):
    return [
        (found["severity"], found["message"], found["fix"]) for found in xend_allow.loose(value)
    ]


def severities(value):
    return sorted(found["severity"] for found in xend_allow.loose(value))


def test_tight_addresses_have_no_findings():
    assert xend_allow.loose("") == []
    for value in ("^10\\.0\\.0\\.1$ ^10\\.0\\.0\\.(2|3)\\Z", "^(10\\.0\\.0\\.4$|10\\.5\\.0\\.1$)"):
        assert xend_allow.loose(value) == []


def test_finding_has_four_fields():
    found = xend_allow.loose("^10\\.0\\.0\\.1")
    assert [sorted(one) for one in found] == [["fix", "message", "pattern", "severity"]]
    assert found[0]["pattern"] == "^10\\.0\\.0\\.1"


@pytest.mark.parametrize(
    "value, word",
    [
        (" ^10\\.0\\.0\\.1$", "everybody"),
        ("^10\\.0\\.0\\.1$ ", "everybody"),
        (".*", "everybody"),
        ("^[0-9]+\\.", "everybody"),
        ("^10\\.0\\.0\\.1$\t^10\\.0\\.0\\.2$", "a tab"),
        ("^10\\.0\\.0\\.1$\n^10\\.0\\.0\\.2$", "a newline"),
        ("10.0.0.1,10.0.0.2", "a comma"),
        ("10.0.0.0/24", "networks"),
        ("^10\\.(0$", "does not start"),
        ("*.example.com", "does not start"),
    ],
)
def test_what_defeats_the_list_is_an_error(value, word):
    found = findings(value)
    assert [severity for severity, _, _ in found] == ["error"]
    assert word in found[0][1]


@pytest.mark.parametrize(
    "value",
    [
        "^10\\.0\\.0\\.1",
        "^10\\.0\\.0\\.123",
        "^10\\.1",
        "^10",
        "localhost",
        "^xen[0-9]+\\.a\\.test",
        "^10\\.0\\.0\\.1$|10\\.0\\.0\\.2",
        "^(10\\.0\\.0\\.1|10\\.0\\.0\\.2$)",
        "^xen1.example.com$",
        "10.20.0.11",
        "^(?:a|b)\\.test",
        "^x\\d\\.test",
        "^a(?!b$)",
    ],
)
def test_warnings_give_a_peer_that_is_really_admitted(value):
    warnings = [message for severity, message, _ in findings(value) if severity == "warning"]
    assert warnings
    for message in warnings:
        example = message.split("it also admits ")[1]
        assert xend_allow.admits(value, "192.0.2.1", example)["accepted"]


def test_an_open_address_shows_a_longer_address():
    assert "it also admits 10.0.0.12" in findings("^10\\.0\\.0\\.1")[0][1]


@pytest.mark.parametrize(
    "value, peer",
    [
        ("^10\\.0\\.0\\.1", "10.0.0.1"),
        ("10.20.0.11", "10.20.0.11"),
        ("10.0.0.0/30", "10.0.0.3"),
        ("*.example.com", "a.example.com"),
        ("^xen1.example.com$", "xen1.example.com"),
    ],
)
def test_fixes_are_patterns_for_what_was_meant(value, peer):
    found = [one for one in xend_allow.loose(value) if one["severity"] != "info"]
    assert found
    for one in found:
        fixed = re.match("write (.*)", one["fix"]).group(1)
        assert xend_allow.admits(fixed, "192.0.2.1", peer)["accepted"]
        assert not [one for one in xend_allow.loose(fixed) if one["severity"] != "info"]


def test_openness_on_purpose_is_only_told():
    assert severities("^192\\.168\\.") == ["info"]
    assert severities("^192.168.2.20$") == ["info"]
    assert severities("192.168.2.20") == ["warning", "warning"]


def test_names_are_told_to_rest_on_reverse_dns():
    found = findings("^xen1\\.example\\.com$")
    assert [severity for severity, _, _ in found] == ["info"]
    assert "reverse DNS" in found[0][1]


def test_commas_within_repeats_and_sets_do_no_harm():
    assert severities("^1{1,2}\\.[0,1]\\.0\\.1$") == []


def test_our_own_patterns_are_never_loose():
    made = xend_allow.patterns(
        [
            "10.0.0.0/9",
            "10.200.0.1",
            "192.168.3.7",
            "192.168.3.99",
            "xen1.example.com",
            ".example.com",
            "Big.example.com",
        ]
    )
    for pattern in made:
        assert set(severities(pattern)) <= set(["info"]), pattern


def test_broken_patterns_are_named():
    assert xend_allow.broken("") == []
    assert xend_allow.broken(r"^a$ ^localhost\localdomain$") == []
    reasons = xend_allow.broken("^(a$ ^b$ [c")
    assert len(reasons) == 2
    assert "^(a$" in reasons[0] and "[c" in reasons[1]
