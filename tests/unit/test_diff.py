"""Unified diffs: valid for any two files, those of difflib where there is one right answer, and fast."""

import difflib
import re
import time

from hypothesis import given
from hypothesis import strategies as st

import xend_diff

NO_NEWLINE = b"\\ No newline at end of file\n"


def patched(old, diff):
    """What ``patch`` makes of the old content, checking every line that the diff claims is there."""
    source = re.findall(rb"[^\n]*\n|[^\n]+\Z", old)
    lines = re.findall(rb"[^\n]*\n", diff)
    assert b"".join(lines) == diff and lines[:2] == [b"--- f\n", b"+++ f\n"]
    result, at, index = [], 0, 2
    while index < len(lines):
        found = re.match(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n\Z", lines[index])
        begin, length, new_begin, new_length = (
            1 if group is None else int(group) for group in found.groups()
        )
        start = begin - 1 if length else begin
        result += source[at:start]
        assert len(result) == (new_begin - 1 if new_length else new_begin)
        at, seen, made, index = start, 0, 0, index + 1
        while index < len(lines) and lines[index][:1] != b"@":
            mark, text = lines[index][:1], lines[index][1:]
            index += 1
            if index < len(lines) and lines[index] == NO_NEWLINE:
                text, index = text[:-1], index + 1
            if mark in b" -":
                assert source[at] == text
                at, seen = at + 1, seen + 1
            if mark in b" +":
                result.append(text)
                made += 1
        assert (seen, made) == (length, new_length)
    return b"".join(result + source[at:])


few_lines = st.lists(st.sampled_from([b"a", b"b", b"", b"c\r", b"\xff"]), max_size=12).map(
    b"\n".join
)


@given(few_lines, few_lines)
def test_any_diff_makes_the_new_file_of_the_old_one(old, new):
    if old == new:
        assert xend_diff.unified(b"f", old, new) == b""
    else:
        assert patched(old, xend_diff.unified(b"f", old, new)) == new


@st.composite
def edited(draw):
    """A file of lines that are all different, and the same after some edits."""
    old = [b"line %d\n" % number for number in range(draw(st.integers(0, 40)))]
    new = list(old)
    for number in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(new)))
        fresh = [b"fresh %d.%d\n" % (number, one) for one in range(draw(st.integers(0, 3)))]
        new[at : at + draw(st.integers(0, 3))] = fresh
    return b"".join(old), b"".join(new)


@given(edited())
def test_where_lines_are_unique_it_is_difflibs_diff(texts):
    old, new = texts
    wanted = difflib.unified_diff(
        old.decode().splitlines(True), new.decode().splitlines(True), "f", "f"
    )
    assert xend_diff.unified(b"f", old, new).decode() == "".join(wanted)


def test_a_missing_final_newline_is_shown():
    diff = xend_diff.unified(b"f", b"a\nb", b"a\nb\n")
    assert diff == b"--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n" + NO_NEWLINE + b"+b\n"


def test_edits_far_apart_in_a_big_file_are_short_and_quick():
    lines = [b"(a b)\n"] * 500000
    old = b"".join(lines)
    lines[10] = b"(a c)\n"
    lines[400000:400000] = [b"(d e)\n", b"(f g)\n"]
    del lines[-20]
    new = b"".join(lines)
    began = time.monotonic()
    diff = xend_diff.unified(b"f", old, new)
    assert time.monotonic() - began < 10
    assert patched(old, diff) == new and diff.count(b"\n") < 40


def test_a_big_file_that_is_all_different_is_quick_too():
    old = b"".join(b"old %d\n" % number for number in range(100000))
    new = b"".join(b"new %d\n" % number for number in range(100000))
    began = time.monotonic()
    assert patched(old, xend_diff.unified(b"f", old, new)) == new
    assert time.monotonic() - began < 10
