"""
What ``xend.check`` finds in the files of tests/data and in real ones: nothing in what is shipped with a Xen
release, but for what really opens the port; and whatever keeps the real xend from starting, it finds.
"""

from collections import Counter

import pytest
from test_check import check

from tests import ground_truth

# Started with it, xend takes guests from everybody: 3.0.0 knew no allow list.
OPEN = ("files/002-shipped-3.0.0-open.sxp", "real/015-upstream-2005-12-03-67387f02.sxp")

KINDS = [
    "edge",
    "files",
    pytest.param(
        "real",
        marks=pytest.mark.skipif(
            not ground_truth.are_real_files_here(), reason=ground_truth.REAL_FILES_MISSING
        ),
    ),
]


def shipped():
    """The names of those files that came with a release of Xen, or are like those that did."""
    found = [
        "files/" + row["file"]
        for row in ground_truth.index("files")
        if row["kind"].startswith("shipped")
    ]
    if ground_truth.are_real_files_here():
        found += [
            "real/" + row["file"]
            for row in ground_truth.index("real")
            if row["kind"] == "upstream" and row.get("note", "").startswith("in ")
        ]
    return found


CONFIGS = {config.name: config for config in ground_truth.configs("files", "real")}


@pytest.mark.parametrize("name", shipped())
def test_silent_on_what_xen_was_released_with(name):
    found = check(CONFIGS[name].data)
    if name in OPEN:
        assert [row["key"] for row in found] == ["xend-relocation-hosts-allow"]
        assert "everybody" in found[0]["message"]
    else:
        assert found == []


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_keeps_xend_from_starting_is_an_error(kind, capsys):
    """And nothing else is said to: a bind that fails is not in the records, so ports are left out."""
    severities, wrong = Counter(), []
    for config in ground_truth.configs(kind):
        record = config.read_by("4.4")
        starts = record["parse"]["ok"] and record["listen"]["ok"]
        found = check(config.data)
        severities.update(row["severity"] for row in found)
        fatal = [row for row in found if "does not start" in row["message"]]
        fatal = [row for row in fatal if "is no port" not in row["message"]]
        if any(row["severity"] != "error" for row in fatal):
            wrong.append((config.name, "not an error"))
        if not starts and not fatal:
            wrong.append((config.name, "not found"))
        bound = ("neither an IPv4", "a list stands", "is not set")
        fatal = [row for row in fatal if not any(words in row["message"] for words in bound)]
        if starts and fatal:
            wrong.append((config.name, fatal))
    with capsys.disabled():
        print(f"\nfound in {kind}: {dict(severities)}")
    assert severities and not wrong


# What only the host can tell: whether an address is its own, which interfaces it has, who has the port.
ON_THE_HOST = (
    "address-not-on-host",
    "address-no-such-interface",
    "address-interface-without-ip-eth1",
    "port-in-use",
)


def test_what_kept_a_real_xend_from_starting_is_an_error():
    wrong = []
    for start in ground_truth.starts("4.4"):
        if start["config"] is None or start["name"] in ON_THE_HOST:
            continue
        found = check(start["config"].encode("latin-1"))
        fatal = [row for row in found if "does not start" in row["message"]]
        if bool(fatal) != bool(start["exit"]):
            wrong.append((start["name"], start["reason"], fatal))
    assert wrong == []
