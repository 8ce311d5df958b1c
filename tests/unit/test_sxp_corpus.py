"""
The sxp document against what the real xends make of real files and of odd ones (tests/data).
Examples of our own are in test_sxp.py.
"""

import pytest

from tests import ground_truth
from xend_sxp import ParseError, parse

CONFIGS = ground_truth.configs()


def _as_bytes(value):
    if isinstance(value, list):
        return [_as_bytes(item) for item in value]
    return value.encode("latin-1")


def _outcome(data, version):
    try:
        return parse(data, version).forms()
    except ParseError as error:
        return error.message


@pytest.mark.parametrize("version", ground_truth.VERSIONS)
def test_every_file_reads_as_in_xend(version, capsys):
    wrong = []
    for config in CONFIGS:
        expected = config.read_by(version)["parse"]
        wanted = (
            _as_bytes(expected.get("forms") or [])
            if expected["ok"]
            else expected["error"]["message"]
        )
        if _outcome(config.data, version) != wanted:
            wrong.append(config.name)
    with capsys.disabled():
        print(f"\ncompared {len(CONFIGS)} files with xend {version}, {len(wrong)} differ")
    assert CONFIGS and not wrong


def _readable():
    for config in CONFIGS:
        try:
            yield config.name, parse(config.data)
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
    for name, document in _readable():
        for key in dict(document.items()):
            old = document.get(key)
            # Nothing in the corpus has these bytes, so that only quotes can be common to both.
            changed = document.set(key, b"\x01\x02")
            assert changed.get(key) == b"\x01\x02"
            assert _without(changed.forms(), key) == _without(document.forms(), key)
            part, head = _changed_part(document.data, changed.data)
            quoted = document.data[head - 1 : head + len(part) + 1]
            wanted = [] if old is None else [old]
            assert _reads_as(part, wanted) or _reads_as(quoted, wanted), (name, key, part)
            edits += 1
    assert edits > 350


def test_setting_a_new_key_only_adds_a_line_or_uncomments_one():
    uncommented = 0
    for name, document in _readable():
        if document.dropped:
            continue
        for key in (b"xend-relocation-ssl-port", b"xend-relocation-server", b"no-such-key"):
            if key in dict(document.items()):
                continue
            for value in (b"8003", b"no", b"a b"):
                changed = document.set(key, value)
                assert _without(changed.forms(), key) == document.forms()
                assert changed.forms().count([key, value]) == 1
                part, _ = _changed_part(document.data, changed.data)
                assert not part.strip(b"# "), (name, key, part)
                at = [number for number, form in changed.lines() if form == [key, value]][0]
                line = changed.data.split(b"\n")[at - 1]
                assert _reads_as(line, [[key, value]]), (name, line)
                uncommented += bool(part)
    assert uncommented > 5


def test_removing_a_key_only_removes_its_form():
    for name, document in _readable():
        for key in dict(document.items()):
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
            ), (name, key, part)
