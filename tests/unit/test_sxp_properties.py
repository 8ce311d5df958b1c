"""
The sxp document under generated input: what holds for any bytes, any key and any value.
Examples are in test_sxp.py, huge and deep files in tests/sizes.
"""

import re

from hypothesis import given
from hypothesis import strategies as st

from xend_sxp import ParseError, atom_or_string, parse, render

VERSIONS = ("3.0.3", "3.4", "4.4")

# Pieces in which xend's state machine has something to decide; anything goes between them.
PIECES = [
    b"(",
    b")",
    b" ",
    b"\n",
    b"\r\n",
    b"\t",
    b"#",
    b"'",
    b'"',
    b"\\",
    b"\\x",
    b"\\x4",
    b"\\12",
    b"\\400",
    b"\\.",
    b"a",
    b"k",
    b"7",
    b"!",
    b";",
    b"[",
    b"@",
    b"\x00",
    b"\x04",
    b"\xe4",
    b"\x1c",
    b"(k v)",
    b"(k v)\n",
    b"#(k v)\n",
    b"  #  (k w)\n",
    b"(j)",
    b"(@ a)",
    b"('k' \"w\" x)",
    b"(j (k v))\n",
    b"\n(l m)\n",
]
files = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=20).map(b"".join),
)
words = st.one_of(st.binary(max_size=12), st.sampled_from([b"k", b"j", b"l", b"v", b"a"]))
values = st.recursive(words, lambda inner: st.lists(inner, max_size=4), max_leaves=6).filter(
    lambda value: not (isinstance(value, list) and value[:1] == [b"@"])
)
keys = words.filter(lambda key: key != b"@")


def _document(data):
    try:
        return parse(data)
    except ParseError:
        return parse(b"")


def _others(document, key):
    return [form for form in document.forms() if not (form[:1] == [key])]


@given(st.one_of(files, st.binary(max_size=60)), st.sampled_from(VERSIONS))
def test_any_bytes_give_themselves_back_or_a_parse_error(data, version):
    try:
        document = parse(data, version)
    except ParseError as error:
        assert 1 <= error.line <= data.count(b"\n") + 1
        assert 1 <= error.column <= len(data) + 1
        assert len(str(error).splitlines()) == 1
        return
    assert document.data == data
    assert document.items() == [(key, document.get(key)) for key in dict(document.items())]
    assert [form for _line, form in document.lines()] == document.forms()


@given(files)
def test_rendering_what_was_read_reads_the_same(data):
    forms = _document(data).forms()
    for version in VERSIONS:
        assert parse(b"\n".join(map(render, forms)), version).forms() == forms


@given(st.one_of(words, st.text(max_size=12)))
def test_writing_needs_nothing_on_which_versions_differ(value):
    written = atom_or_string(value)
    if not re.fullmatch(rb"[\w./:~@%+,=-]+", written):
        assert written[:1] == written[-1:] == b"'"
        assert set(re.findall(rb"\\(.)", written, re.S)) <= {b"\\", b"'"}
    document = parse(b"(k " + written + b")")
    assert document.escapes() == []
    assert document.get("k") == (value if isinstance(value, bytes) else value.encode())


@given(files, keys, values)
def test_what_is_set_is_read_and_nothing_else_changes(data, key, value):
    document = _document(data)
    try:
        changed = document.set(key, value)
    except ValueError:
        assert document.dropped and key not in dict(document.items())
        return
    assert changed.get(key) == value
    assert changed.set(key, value) is changed
    assert parse(changed.data).set(key, value).data == changed.data
    assert _others(changed, key) == _others(document, key)
    assert changed.dropped is None or document.dropped
    later = [form for form in document.forms() if form[:1] == [key]][1:]
    assert [form for form in changed.forms() if form[:1] == [key]][1:] == later


@given(files, keys)
def test_what_is_removed_is_gone_and_nothing_else_changes(data, key):
    document = _document(data)
    changed = document.remove(key)
    assert key not in dict(changed.items())
    assert changed.forms() == _others(document, key)
    assert changed.remove(key) is changed
    if key not in dict(document.items()):
        assert changed is document


@given(
    files,
    st.lists(st.tuples(st.sampled_from([b"k", b"j", b"new key"]), st.none() | words), max_size=8),
)
def test_any_sequence_of_edits_touches_only_its_keys(data, edits):
    document = _document(data + b"\n" if b"\x04" not in data else b"")
    model = {key: document.get(key) for key in (b"k", b"j", b"new key") if key in dict(document.items())}
    rest = [form for form in document.forms() if form[:1] not in ([b"k"], [b"j"], [b"new key"])]
    for key, value in edits:
        if value is None:
            document = document.remove(key)
            model.pop(key, None)
        else:
            try:
                document = document.set(key, value)
            except ValueError:
                assert document.dropped
                return
            model[key] = value
        assert {k: document.get(k) for k in (b"k", b"j", b"new key") if k in dict(document.items())} == model
    left = [form for form in document.forms() if form[:1] not in ([b"k"], [b"j"], [b"new key"])]
    assert left == rest
