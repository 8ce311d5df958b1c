"""Whether what was printed has the shape that a page shows: what has to be found, and what has not."""

import pytest

from tests.docs import shape

SALT = "xen1:\n    ----------\n    port:\n        8002\nxen2:\n    ----------\n    port:\n        8002\n"


@pytest.mark.parametrize(
    "page, printed",
    [
        ("", ""),
        ("web01 runs\n", "web01 runs\n"),
        ("domain 2 in 1.9 s, pid 8174", "domain 11 in 24 s, pid 3"),
        ("at 10.20.0.11:8002 in 3 s", "at 10.20.0.11:8002 in 4 s"),
        ("from 192.0.2.1:40012", "from 192.0.2.7:40013"),
        ("took 12.5 ms", "took 1.2 s"),
        (
            "web01.997f44ef-d6c0-49fe-8116-20284daa33fc.sxp",
            "web01.00000000-0000-0000-0000-0123456789ab.sxp",
        ),
        ("Sun Nov 29 08:02:35 UTC 2026", "Mon Mar  2 18:22:05 UTC 2026"),
        ("a sentence that\n  is wrapped", "a sentence   that is wrapped\n\n"),
        ("(state -b----)", "(state r-----)"),
        ("(state ------)", "(state -b----)"),
        # What is left out.
        ("…", "this\nand that\n"),
        ("…", ""),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\nsecond\nthird\nlast"),
        ("…\n  last word", "first\n   last word\n"),
        ("first\n…", "first\nsecond\n"),
        ("it runs on … now", "it runs on xen2 (domain 3) now"),
        ("kept in …", "kept in /var/lib/xend-for-salt"),
        ("(…)", "(anything at all)"),
        ("a … c\n…\nend", "a b c\nx\ny\nend"),
        ("a long line that goes …\nnext", "a long line that goes on for ever\nnext"),
        ("… goes on\nnext", "begins and goes on\nnext"),
        # An indented one leaves out what is indented.
        ("xen1:\n  a\n  …\n  d\nxen2:", "xen1:\n  a\n  b\n    c\n  d\nxen2:"),
        ("xen1:\n  …\nxen2:\n  …", "xen1:\n  a\n  b\nxen2:\n  c\n  d"),
        ("a …\n  …\n  d", "a b c\n  x\n  d"),
        ("  ID: two\n  …\n  Comment: b", "  ID: two\n  Result: True\n  Comment: b"),
        # The first place where a gap may end is not always the right one.
        ("a\n…\nb\nc", "a\nb\nd\nb\nc"),
        ("see … it is", "see if it is so or it is"),
        # Minions answer in any order.
        (SALT, SALT[SALT.index("xen2:") :] + SALT[: SALT.index("xen2:")]),
        ("xen2:\n    True\nxen1:\n    True\n", "xen1:\n    True\nxen2:\n    True\n"),
        ("xen2:\n    one\n…", "xen1:\n    other\nxen2:\n    one\n"),
    ],
)
def test_alike(page, printed):
    assert shape.difference(page, printed) == []


@pytest.mark.parametrize(
    "page, printed",
    [
        ("", "something"),
        ("something", ""),
        ("web01 runs on xen1", "web01 runs on xen2"),
        ("web01", "web02"),
        ("domain 2", "domain two"),
        ("True", "False"),
        ("exit", "exits"),
        ("first\nlast", "first\nsecond\nlast"),
        ("first\n…\nlast", "first\nsecond"),
        ("first\n…", "second\nfirst"),
        ("…\nlast", "not the last"),
        ("…\nlast", "last\nof all"),
        ("it runs on … now", "it runs on\nxen2\nfor\nnow"),
        ("kept in …", "kept in /var\nand more\nand more"),
        # A comment is that of its own state, and a value that of its own minion.
        (
            "  ID: one\n  …\n  Comment: b\n…",
            "  ID: one\n  Comment: a\n-----\n  ID: two\n  Comment: b\n",
        ),
        ("xen1:\n  …\n  b\n…", "xen1:\n  a\nxen2:\n  b\n"),
        ("xen1:\n  a\n  …", "xen1:\n  a\nxen2:\n  b\n"),
        ("at 10.20.0.11:8002", "at 10.20.0.12:8002"),
        ("at 10.20.0.11:8002", "at 10.20.0.11:8012"),
        ("10.20.0.1", "10.20.0.11"),
        # A guest that is paused or ends does not run.
        ("(state -b----)", "(state --p---)"),
        ("(state r-----)", "(state ---s--)"),
        ("(state --p---)", "(state ---s--)"),
        ("xen1:\n    True\nxen2:\n    True\n", "xen1:\n    True\nxen2:\n    False\n"),
        ("xen1:\n    True\n", "xen1:\n    True\nxen2:\n    True\n"),
        ("unchanged: 3 (changed=1)", "unchanged: 3"),
    ],
)
def test_not_alike(page, printed):
    said = shape.difference(page, printed)
    assert said and said[-1]


def test_what_differs_first_is_said_first():
    said = shape.difference("one two three four\nfive", "one two four four\nfive")
    assert said[:3] == [
        "after one two",
        "  the page has three four five",
        "  printed was  four four five",
    ]


def test_what_is_printed_at_the_end_and_not_on_the_page_is_said():
    assert shape.difference("one", "one\ntwo")[0] == "printed, and not on the page: two"


def test_the_diff_has_both_texts_as_they_are_and_only_the_lines_that_differ():
    said = "\n".join(shape.difference("at 10.0.0.1\nruns on xen1", "at 10.0.0.2\nruns on xen2"))
    assert "-runs on xen1" in said and "+runs on xen2" in said and "-at" not in said


def test_many_gaps_in_a_long_text_take_no_time_to_speak_of():
    page = "\n…\n".join("line %s" % letter for letter in "abcdefghij")
    printed = "\n".join("line %s" % letter for letter in "abcdefghi" * 300)
    assert shape.difference(page, printed)
