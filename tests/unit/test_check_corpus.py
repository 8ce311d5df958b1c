"""
What ``xend.check`` finds in the corpus: nothing in what was shipped with a Xen release, but for one file
that really opens the port; and whatever keeps the real xend from starting, it finds.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from test_check import check

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus next to the repository")

# Shipped with 3.0.0, whose xend knew no allow list: the port is open to everybody, also under any
# later xend that is started with this file.
OPEN_RELEASE = "015-upstream-2005-12-03-67387f02.sxp"


def rows():
    path = CORPUS / "files" / "INDEX.tsv"
    if not path.exists():
        return []
    with path.open(newline="") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


SHIPPED = [
    row["file"]
    for row in rows()
    if row["kind"] == "upstream" and (row["note"] or "").startswith("in ")
]


@pytest.mark.parametrize("name", SHIPPED)
def test_silent_on_what_xen_was_released_with(name):
    found = check((CORPUS / "files" / name).read_bytes())
    if name == OPEN_RELEASE:
        assert [row["key"] for row in found] == ["xend-relocation-hosts-allow"]
        assert "everybody" in found[0]["message"]
    else:
        assert found == []


@pytest.mark.parametrize("folder", ["files", "edge"])
def test_whatever_keeps_xend_from_starting_is_an_error(folder, capsys):
    """And nothing else is said to: a bind that fails is not in the records, so ports are left out."""
    kinds, wrong = Counter(), []
    for path in sorted((CORPUS / folder).glob("*.sxp")):
        key = ("" if folder == "files" else "edge-") + path.name[:3]
        record = json.loads((CORPUS / "expected" / f"{key}.4.4.json").read_text())
        starts = record["parse"]["ok"] and record["listen"]["ok"]
        found = check(path.read_bytes())
        kinds.update(row["severity"] for row in found)
        fatal = [row for row in found if "does not start" in row["message"]]
        fatal = [row for row in fatal if "is no port" not in row["message"]]
        if any(row["severity"] != "error" for row in fatal):
            wrong.append((path.name, "not an error"))
        if not starts and not fatal:
            wrong.append((path.name, "not found"))
        bound = ("neither an IPv4", "a list stands", "is not set")
        fatal = [row for row in fatal if not any(words in row["message"] for words in bound)]
        if starts and fatal:
            wrong.append((path.name, fatal))
    with capsys.disabled():
        print(f"\nfound in {folder}: {dict(kinds)}")
    assert kinds and not wrong
