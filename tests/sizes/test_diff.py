"""Diffs of files as large as any that is read: quick whatever the edits are."""

import pytest

import xend_secrets
from tests.patching import patched
from tests.sizes import work_below


def test_edits_far_apart_in_a_big_file_are_quick():
    lines = [b"(a b)\n"] * 170000
    old = b"".join(lines)
    lines[10] = b"(a c)\n"
    lines[140000:140000] = [b"(d e)\n", b"(f g)\n"]
    del lines[-20]
    new = b"".join(lines)
    with work_below(10):
        diff = xend_secrets.diff(b"f", old, new)
    assert patched(old, diff) == new


@pytest.mark.parametrize(
    "lines",
    [[b"(a b)\n"] * 1900, [b"#%d\n" % (at % 150) for at in range(1900)]],
    ids=["all equal", "often equal"],
)
def test_edits_in_a_file_of_many_equal_lines_are_quick(lines):
    old = b"".join(lines)
    new = b"".join([*lines[:10], b"(a c)\n", *lines[11:1500], b"(d e)\n", b"(f g)\n", *lines[1500:-20]])
    with work_below(10):
        diff = xend_secrets.diff(b"f", old, new)
    assert patched(old, diff) == new


def test_a_password_in_each_line_of_a_big_file_is_quick_too():
    old = b"".join(b"(vncpasswd mArk%d)\n" % number for number in range(45000))
    with work_below(10):
        diff = xend_secrets.diff(b"f", old, b"(keymap de)\n")
    assert b"mArk" not in diff and diff.count(b"-(vncpasswd (not shown))\n") == 45000


def test_a_big_file_that_is_all_different_is_quick_too():
    old = b"".join(b"old %d\n" % number for number in range(80000))
    new = b"".join(b"new %d\n" % number for number in range(80000))
    with work_below(10):
        assert patched(old, xend_secrets.diff(b"f", old, new)) == new
