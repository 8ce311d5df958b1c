"""Unified diffs: valid for any two files, and those of difflib. What they hide: test_secrets.py."""

import difflib

from hypothesis import given
from hypothesis import strategies as st

import xend_secrets
from tests.patching import NO_NEWLINE, patched

few_lines = st.lists(st.sampled_from([b"a", b"b", b"", b"c\r", b"\xff"]), max_size=12).map(
    b"\n".join
)


@given(few_lines, few_lines)
def test_any_diff_makes_the_new_file_of_the_old_one(old, new):
    if old == new:
        assert xend_secrets.diff(b"f", old, new) == b""
    else:
        assert patched(old, xend_secrets.diff(b"f", old, new)) == new


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
    assert xend_secrets.diff(b"f", old, new).decode() == "".join(wanted)


def test_a_missing_final_newline_is_shown():
    diff = xend_secrets.diff(b"f", b"a\nb", b"a\nb\n")
    assert diff == b"--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n" + NO_NEWLINE + b"+b\n"
