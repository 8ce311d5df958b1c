"""Unified diffs of big files: short where the edits are few, and quick whatever they are."""

import xend_diff
from tests.patching import patched
from tests.sizes import work_below


def test_edits_far_apart_in_a_big_file_are_short_and_quick():
    lines = [b"(a b)\n"] * 500000
    old = b"".join(lines)
    lines[10] = b"(a c)\n"
    lines[400000:400000] = [b"(d e)\n", b"(f g)\n"]
    del lines[-20]
    new = b"".join(lines)
    with work_below(10):
        diff = xend_diff.unified(b"f", old, new)
    assert patched(old, diff) == new and diff.count(b"\n") < 40


def test_a_big_file_that_is_all_different_is_quick_too():
    old = b"".join(b"old %d\n" % number for number in range(100000))
    new = b"".join(b"new %d\n" % number for number in range(100000))
    with work_below(10):
        assert patched(old, xend_diff.unified(b"f", old, new)) == new
