"""
The sxp document against the corpus: what the real xend makes of real files and of odd ones.
Examples of our own are in test_sxp.py.
"""

import csv
import json
import re
from pathlib import Path

import pytest

from xend_sxp import ParseError, parse

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
VERSIONS = ("3.0.3", "3.4", "4.4")
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus next to the repository")


def _sources():
    """Key as in expected/ -> path."""
    found = {path.name[:3]: path for path in sorted(CORPUS.glob("files/*.sxp"))}
    found.update(("edge-" + path.name[:3], path) for path in sorted(CORPUS.glob("edge/*.sxp")))
    return found


def _generated():
    """Name -> content of the inputs that are kept as Python expressions."""
    path = CORPUS / "edge" / "generated.tsv"
    if not path.exists():
        return {}
    with path.open(newline="") as table:
        rows = list(csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return {name: eval(expression) for name, expression, _ in rows}


SOURCES = _sources()
GENERATED = _generated()


def _expected(key, version):
    """The newest record up to that version: older ones are only there where they differ."""
    for candidate in VERSIONS[VERSIONS.index(version) :]:
        path = CORPUS / "expected" / f"{key}.{candidate}.json"
        if path.exists():
            return json.loads(path.read_text())["parse"]
    raise AssertionError(f"nothing expected of {key}")


def _as_bytes(value):
    if isinstance(value, list):
        return [_as_bytes(item) for item in value]
    return value.encode("latin-1")


def _outcome(data, version):
    try:
        return parse(data, version).forms()
    except ParseError as error:
        return error.message


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_reads_as_in_xend(version, capsys):
    wrong = []
    for key, path in SOURCES.items():
        expected = _expected(key, version)
        wanted = (
            _as_bytes(expected.get("forms") or [])
            if expected["ok"]
            else expected["error"]["message"]
        )
        if _outcome(path.read_bytes(), version) != wanted:
            wrong.append(path.name)
    with capsys.disabled():
        print(f"\ncompared {len(SOURCES)} files with xend {version}, {len(wrong)} differ")
    assert SOURCES and not wrong


@pytest.mark.parametrize("name", GENERATED)
def test_generated_inputs_are_read_in_full(name):
    data = GENERATED[name]
    if "unbalanced" in name:
        with pytest.raises(ParseError, match="unexpected EOF"):
            parse(data)
        return
    document = parse(data)
    assert document.data is data
    last = b"xend-relocation-port" if "dup" in name else b"xend-relocation-server"
    assert document.get(last) == {b"xend-relocation-port": b"8100"}.get(last, b"yes")
    lists = len(re.findall(rb"(?<!\()\((?=[\w(])", data))
    assert len(document.forms()) == lists
    assert document.set(last, "no").remove(last).keys() == [
        key for key in document.keys() if key != last
    ]


def _readable():
    for path in SOURCES.values():
        try:
            yield path, parse(path.read_bytes())
        except ParseError:
            continue


def _changed_part(before, after):
    """The bytes of ``before`` that are not in ``after``, and where they begin."""
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    tail = next(
        (at for at in range(shorter - head) if before[-1 - at] != after[-1 - at]), shorter - head
    )
    return before[head : len(before) - tail], head


def _without(forms, key):
    return [form for form in forms if not (isinstance(form, list) and form[:1] == [key])]


def _reads_as(text, forms):
    try:
        return parse(text).forms() == forms
    except ParseError:
        return False


def test_setting_a_set_key_changes_only_its_value():
    edits = 0
    for path, document in _readable():
        for key in document.keys():
            old = document.get(key)
            # Nothing in the corpus has these bytes, so that only quotes can be common to both.
            changed = document.set(key, b"\x01\x02")
            assert changed.get(key) == b"\x01\x02"
            assert _without(changed.forms(), key) == _without(document.forms(), key)
            part, head = _changed_part(document.data, changed.data)
            quoted = document.data[head - 1 : head + len(part) + 1]
            wanted = [] if old is None else [old]
            assert _reads_as(part, wanted) or _reads_as(quoted, wanted), (path.name, key, part)
            edits += 1
    assert edits > 500


def test_setting_a_new_key_only_adds_a_line_or_uncomments_one():
    uncommented = 0
    for path, document in _readable():
        if document.dropped:
            continue
        for key in (b"xend-relocation-ssl-port", b"xend-relocation-server", b"no-such-key"):
            if document.has(key):
                continue
            for value in (b"8003", b"no", b"a b"):
                changed = document.set(key, value)
                assert _without(changed.forms(), key) == document.forms()
                assert changed.forms().count([key, value]) == 1
                part, _ = _changed_part(document.data, changed.data)
                assert not part.strip(b"# "), (path.name, key, part)
                line = changed.data.split(b"\n")[changed.line_of(key) - 1]
                assert _reads_as(line, [[key, value]]), (path.name, line)
                uncommented += bool(part)
    assert uncommented > 10


def test_removing_a_key_only_removes_its_form():
    for path, document in _readable():
        for key in document.keys():
            changed = document.remove(key)
            assert _without(document.forms(), key) == changed.forms()
            forms = [form for form in document.forms() if form[:1] == [key]]
            if len(forms) > 1:
                continue
            part, head = _changed_part(document.data, changed.data)
            # Whether "(b)" or ")(b" has gone from "(a)(b)(c)" looks the same: only one is a form.
            # A space may stand for a form between two atoms.
            assert any(
                document.data[:at] + space + document.data[at + len(part) :] == changed.data
                and _reads_as(document.data[at : at + len(part)], forms)
                for at in range(head, max(head - len(part), 0) - 1, -1)
                for space in (b"", b" ")
            ), (path.name, key, part)
