# -*- coding: utf-8 -*-
"""
The sxp document by example: grammar, look-up, writing and edits, one idea per row.
Whole real files are in test_sxp_corpus.py, generated ones in test_sxp_properties.py.
This file runs on Python 2.7 as well.
"""

from __future__ import absolute_import, unicode_literals

import pytest

import xend_sxp
from xend_sxp import ParseError, atom_or_string, parse, render

VERSIONS = ("3.0.3", "3.4", "4.4")


@pytest.mark.parametrize(
    "data, forms",
    [
        (b"", []),
        (b"# only a comment", []),
        (b"(a b)", [[b"a", b"b"]]),
        (b"(a\tb\x0bc\x0cd\re\nf)", [[b"a", b"b", b"c", b"d", b"e", b"f"]]),
        (b"()", [[]]),
        (b"((a) (b (c)))", [[[b"a"], [b"b", [b"c"]]]]),
        (b"(a b)(c d)", [[b"a", b"b"], [b"c", b"d"]]),
        (b"a 'b' (c)", [b"a", b"b", [b"c"]]),
        (b"a(b)c", [b"a", [b"b"], b"c"]),
        (b"a# comment\nb", [b"a", b"b"]),
        (b"# a\r(b c)", []),
        (b"; (a b)", [b";", [b"a", b"b"]]),
        (b"(a 'x)y' \"(\")", [[b"a", b"x)y", b"("]]),
        (b"(a 'x#\n#y')", [[b"a", b"x#\n#y"]]),
        (b"(a 'b''c')", [[b"a", b"b", b"c"]]),
        (b"(a 'b'c)", [[b"a", b"b", b"c"]]),
        (b"(a b'c)", [[b"a", b"b'c"]]),
        (b"(a ^b\\.c$)", [[b"a", b"^b\\.c$"]]),
        (b"(a b[c]{d}<e>;f)", [[b"a", b"b", b"[c", b"]", b"{d", b"}", b"<e", b">", b";f"]]),
        (b"(a b\x00\x04\x7f\xff)", [[b"a", b"b\x00\x04\x7f\xff"]]),
        (b"(a '\x00\x04\x7f\xff')", [[b"a", b"\x00\x04\x7f\xff"]]),
        (b"(a b)\n\x04 ) nonsense '", [[b"a", b"b"]]),
    ],
)
def test_the_values_of_a_file(data, forms):
    assert parse(data).forms() == forms


@pytest.mark.parametrize(
    "written, read",
    [
        (br"\a\b\t\n\v\f\r\\\'", b"\x07\x08\t\n\x0b\x0c\r\\'"),
        (b'\\"', b'"'),
        (br"\1", b"\x01"),
        (br"\101", b"A"),
        (br"\1011", b"A1"),
        (br"\18", b"\x018"),
        (br"\377", b"\xff"),
        (br"\47x", b"'x"),
        (br"\x41", b"A"),
        (br"\x4a", b"@"),
        (br"\xFF", b"U"),
        (br"\.", b"\\"),
        (br"^a\.b$", b"^a\\b$"),
        (br"^10\.77", b"^10\\77"),
        (br"^a\\.b$", b"^a\\.b$"),
        (b"a\\\nb", b"a\\b"),
        (b"a\\\xe4b", b"a\\b"),
    ],
)
def test_escapes_in_strings(written, read):
    assert parse(b"(k '" + written + b"')").get("k") == read


@pytest.mark.parametrize(
    "data, message, line, column",
    [
        (b"(a b)\n(c d\n", "unexpected EOF", 2, 1),
        (b"\n  (a (b)", "unexpected EOF", 2, 3),
        (b"(a 'b'", "unexpected EOF", 1, 1),
        (b"(a\n (b 'c))\n(d e)\n", "unexpected EOF", 2, 5),
        (b"'a", "unexpected EOF", 1, 1),
        (b"(a 'b\\", "unexpected EOF", 1, 4),
        (b"(a 'b\\12", "unexpected EOF", 1, 4),
        (b"(a 'b\\x", "unexpected EOF", 1, 4),
        (b"(a 'b\\x4", "unexpected EOF", 1, 4),
        (b"(a\n\x04 b)", "unexpected EOF", 2, 1),
        (b"(a b))", "syntax error: )", 1, 6),
        (b"\xef\xbb\xbf# c\n", "invalid character: code 239", 1, 1),
        (b"(a b)\n(c \x00)", "invalid character: code 0", 2, 4),
        (b"(a \x7f)", "invalid character: code 127", 1, 4),
        (b"(a \x1c)", "invalid character: code 28", 1, 4),
        (b"(a 'b\\400')", "invalid octal escape: out of range 400", 1, 6),
        (b"(a 'b\\x4g')", "global name 'buf' is not defined", 1, 6),
        (b"(a 'b\\x'", "global name 'buf' is not defined", 1, 6),
    ],
)
def test_errors_are_xends_and_point_at_the_cause(data, message, line, column):
    with pytest.raises(ParseError) as caught:
        parse(data)
    error = caught.value
    assert (error.message, error.line, error.column) == (message, line, column)
    assert str(message) in str(error) and str("line %d,") % line in str(error)


def test_an_error_shows_its_line_on_one_line():
    with pytest.raises(ParseError) as caught:
        parse("(a b)\r\n(c \x1b d\x85 'ü\\x')\r\n(e f)".encode("utf-8"))
    error = caught.value
    assert error.text.strip() in str(error)
    assert len(str(error).splitlines()) == 1
    assert str("(c") in error.text and str("(e") not in error.text


def test_an_error_in_a_huge_line_stays_readable():
    with pytest.raises(ParseError) as caught:
        parse(b"(a " + b"x" * 100000 + b" \x01)")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "data, dropped, forms",
    [
        (b"(a b)\n (c d", (2, 2), [[b"a", b"b"]]),
        (b"(a b) (c (d e) # f", (1, 7), [[b"a", b"b"]]),
        (b"(a b)\nc", None, [[b"a", b"b"], b"c"]),
        (b"(a b)\n#(c d", None, [[b"a", b"b"]]),
    ],
)
def test_end_of_file_behind_an_atom_or_comment_drops_the_open_list(data, dropped, forms):
    document = parse(data)
    assert document.dropped == dropped
    assert document.forms() == forms


def test_generations_of_the_parser_differ_in_the_exclamation_mark():
    assert [parse(b"(k a!b)", version).get("k") for version in VERSIONS] == [b"a", b"a", b"a!b"]


@pytest.mark.parametrize(
    "data, read_by_3_0_3",
    [
        (b"(k 'a\\.b') # 7c') x", b"a\x07c"),
        (b"(k 'a\\.0b')", b"a\x00b"),
        (b"(k 'a\\n')", b"a\n"),
    ],
)
def test_unknown_escapes_swallow_up_to_an_octal_digit_in_3_0_3(data, read_by_3_0_3):
    assert parse(data, "3.0.3").get("k") == read_by_3_0_3


def test_unknown_escapes_may_swallow_the_whole_file_in_3_0_3():
    data = b"(k 'a\\.b')\n(l m)\n"
    assert parse(data, "3.0.4").get("k") == b"a\\b"
    with pytest.raises(ParseError):
        parse(data, "3.0.3")


@pytest.mark.parametrize("wrong", ["(a b)", None, [b"(a b)"]])
def test_a_file_is_bytes(wrong):
    with pytest.raises(ValueError):
        parse(wrong)


@pytest.mark.parametrize(
    "data, value",
    [
        (b"(k v)", b"v"),
        (b"('k' \"v\")", b"v"),
        (b"('\\153' v)", b"v"),
        (b"(#c\nk#d\nv#e\n)", b"v"),
        (b"(k v w)", b"v"),
        (b"(k v)(k w)", b"v"),
        (b"(k)(k w)", None),
        (b"(k )", None),
        (b"(k '')", b""),
        (b"(k (a (b)))", [b"a", [b"b"]]),
        (b"(k ())", []),
        (b"(k (@ (a b)) v)", b"v"),
        (b"(k ('@') v)", b"v"),
        (b"(k (@ a))", None),
        (b"(k v (@ a))", b"v"),
        (b"(K v)(k- v)(kk v)(_k v)", None),
        (b"((k v))", None),
        (b"((k) v)", None),
        (b"k v", None),
        (b"'(k v)'", None),
        (b"#(k v)", None),
        (b"\x04(k v)", None),
    ],
)
def test_look_up_as_xend_does_it(data, value):
    assert parse(data).get("k") == value


def test_attributes_of_the_whole_file_are_no_key():
    assert [key for key, _ in parse(b"(@ a)(k v)").items()] == [b"k"]
    assert parse(b"(k v)(@ a)").get("@") == b"a"


def test_keys_may_be_bytes_or_text():
    document = parse("(schlüssel ja)".encode("utf-8"))
    assert document.get("schlüssel") == document.get("schlüssel".encode("utf-8")) == b"ja"


def test_a_key_without_value_is_there():
    document = parse(b"(k)")
    assert [key for key, _ in document.items()] == [b"k"] and document.get("k") is None
    assert document.items() == [(b"k", None)]


def test_keys_come_in_file_order_and_once():
    data = b"(b 1)\n((x) 2)\n()\natom\n'(s 3)'\n(a)\n(b 4)\n('c d' 5)\n(open"
    assert [key for key, _ in parse(data).items()] == [b"b", b"a", b"c d"]


def test_each_form_comes_with_its_line():
    document = parse(b"(k)\n# (k)\n(j\n 1) (k 2)\r\n\n(k (@ x))\n")
    assert list(document.lines()) == [
        (1, [b"k"]),
        (3, [b"j", b"1"]),
        (4, [b"k", b"2"]),
        (6, [b"k", [b"@", b"x"]]),
    ]
    assert document.items() == [(b"k", None), (b"j", b"1")]


def test_unknown_escapes_are_listed():
    data = b"(k '\\\\.\\.\\n\\101')\n'\\d'\n(a \\.) (b\n (c \"x\\w\\x41\"))\n# '\\.'\n"
    assert parse(data).escapes() == [(1, b"k", b"\\."), (2, None, b"\\d"), (4, b"b", b"\\w")]


@pytest.mark.parametrize(
    "value, written",
    [
        ("yes", b"yes"),
        ("8002", b"8002"),
        ("/var/run/x-y_z.pem", b"/var/run/x-y_z.pem"),
        ("", b"''"),
        ("a b", b"'a b'"),
        ("^a\\.b$", b"'^a\\\\.b$'"),
        ("it's", b"'it\\'s'"),
        ('"', b"'\"'"),
        ("a!b", b"'a!b'"),
        ("yes\n", b"'yes\n'"),
        ("#", b"'#'"),
        ("ü", b"'\xc3\xbc'"),
        (b"\x00\x04\xff", b"'\x00\x04\xff'"),
    ],
)
def test_safe_writing(value, written):
    assert atom_or_string(value) == written


def test_every_byte_survives_in_every_version():
    everything = bytes(bytearray(range(256)))
    for value in [everything] + [everything[at : at + 1] for at in range(256)]:
        for version in VERSIONS:
            form = b"(k " + atom_or_string(value) + b")\n(l m)\n"
            assert parse(form, version).forms() == [[b"k", value], [b"l", b"m"]]


def test_render_nests():
    assert render(["a", [], [b"b c", ("d",)], ""]) == b"(a () ('b c' (d)) '')"


@pytest.mark.parametrize("wrong", [None, 8002, True, 1.5, {"a": "b"}])
def test_only_text_bytes_and_lists_can_be_written(wrong):
    with pytest.raises(ValueError):
        atom_or_string(wrong)
    with pytest.raises(ValueError):
        render(["a", wrong])
    with pytest.raises(ValueError):
        parse(b"").set("k", wrong)


SET_K_TO_NEW = [
    # in place
    (b"(k v)\n", b"(k new)\n"),
    (b" ( 'k'  \"v\" w ) # c\n", b" ( 'k'  new w ) # c\n"),
    (b"(k v)\n(k w)\n", b"(k new)\n(k w)\n"),
    (b"(k#c\nv#d\n)", b"(k#c\nnew#d\n)"),
    (b"(k (a (b)))", b"(k new)"),
    (b"(k (@ a) v)", b"(k (@ a) new)"),
    (b"(k)", b"(k new)"),
    (b"(k )", b"(k new)"),
    (b"('k')", b"('k' new)"),
    (b"(k (@ a))", b"(k (@ a) new)"),
    (b"(k[v)", b"(k new)"),
    (b"(k 'v'w)", b"(k new w)"),
    (b"('k''v'w)", b"('k' new w)"),
    (b"(k v)(open", b"(k new)(open"),
    (b"(k v) \x04 (", b"(k new) \x04 ("),
    # a commented default with that value
    (b"#(k new)\n", b"(k new)\n"),
    (b"#(k 'new') \r\n(a b)\r\n", b"(k 'new') \r\n(a b)\r\n"),
    (b"(a b)\n  ##  (k new)", b"(a b)\n  (k new)"),
    (b"#(k old)\n#(k new)\n", b"#(k old)\n(k new)\n"),
    (b"#(k new)\n(a open", b"(k new)\n(a open"),
    # a commented default with another value
    (b"#(k old)\n(a b)\n", b"#(k old)\n(k new)\n(a b)\n"),
    (b"\t#(k old)\r\n(a b)\r\n", b"\t#(k old)\r\n\t(k new)\r\n(a b)\r\n"),
    (b"#(k old)", b"#(k old)\n(k new)\n"),
    (b"#  (k one)\n#(k two)\n#(k three)\n", b"#  (k one)\n#(k two)\n(k new)\n#(k three)\n"),
    (b"#  (k one)\n", b"#  (k one)\n(k new)\n"),
    (b"#(k new more)\n(a b)\n", b"#(k new more)\n(k new)\n(a b)\n"),
    (b"#(k old)\n(a open", b"#(k old)\n(k new)\n(a open"),
    # comments that are no default
    (b"# see (k new)\n", b"# see (k new)\n(k new)\n"),
    (b"#(k new) here\n", b"#(k new) here\n(k new)\n"),
    (b"#(k new) (l m)\n", b"#(k new) (l m)\n(k new)\n"),
    (b"#(k\n#   new)\n", b"#(k\n#   new)\n(k new)\n"),
    (b"#(kk new)\n", b"#(kk new)\n(k new)\n"),
    (b"(a b) #(k new)\n", b"(a b) #(k new)\n(k new)\n"),
    (b"(a\n#(k new)\nb)\n", b"(a\n#(k new)\nb)\n(k new)\n"),
    (b"(a '\n#(k new)\n')\n", b"(a '\n#(k new)\n')\n(k new)\n"),
    (b"'\n#(k new)\n'\n", b"'\n#(k new)\n'\n(k new)\n"),
    (b"\x04\n#(k new)\n", b"(k new)\n\x04\n#(k new)\n"),
    (b"#(k new\\)\n", b"#(k new\\)\n(k new)\n"),
    # the end of the file
    (b"", b"(k new)\n"),
    (b"(a b)\n", b"(a b)\n(k new)\n"),
    (b"(a b)", b"(a b)\n(k new)\n"),
    (b"(a b)\r\n(c d)\r\n", b"(a b)\r\n(c d)\r\n(k new)\r\n"),
    (b"(a b)\r\n(c d)\n(e f)\n", b"(a b)\r\n(c d)\n(e f)\n(k new)\n"),
    (b"# c", b"# c\n(k new)\n"),
    (b"# c\r", b"# c\r\n(k new)\n"),
    (b"atom", b"atom\n(k new)\n"),
    (b"(a b)\n\x04rest", b"(a b)\n(k new)\n\x04rest"),
    (b"(a b)\x04rest", b"(a b)\n(k new)\n\x04rest"),
]


@pytest.mark.parametrize("before, after", SET_K_TO_NEW)
def test_where_a_new_value_goes(before, after):
    document = parse(before).set("k", "new")
    assert document.data == after
    assert document.get("k") == b"new"
    assert document.set("k", "new") is document


def test_the_same_value_in_other_words_is_left_alone():
    document = parse(b"('k' \"\\141 b\")  (l ( 'm'  n ))")
    assert document.set("k", "a b") is document
    assert document.set("l", ["m", "n"]) is document


def test_an_equal_commented_value_is_found_in_other_words():
    assert parse(b'#(k "a\\40b")\n').set("k", "a b").data == b'(k "a\\40b")\n'


def test_lists_can_be_set():
    document = parse(b"(k v)").set("k", ["a", ["b c"], []])
    assert document.data == b"(k (a ('b c') ()))"
    assert document.get("k") == [b"a", [b"b c"], []]


def test_an_edit_leaves_the_document_as_it_was():
    document = parse(b"(k v)")
    document.set("k", "w")
    document.remove("k")
    assert document.data == b"(k v)" and document.get("k") == b"v"


def test_nothing_is_added_to_a_list_that_was_left_open():
    with pytest.raises(ValueError) as caught:
        parse(b"(a b)\n(c d").set("k", "v")
    assert "line 2" in str(caught.value) and "parenthesis" in str(caught.value)


@pytest.mark.parametrize("value", [["@"], [b"@", "a"]])
def test_attributes_cannot_be_a_value(value):
    with pytest.raises(ValueError):
        parse(b"(k v)").set("k", value)


def test_a_key_that_xend_would_not_find_is_refused():
    with pytest.raises(ValueError):
        parse(b"").set("@", "v")


@pytest.mark.parametrize(
    "before, after",
    [
        (b"(a b)\n", b"(a b)\n"),
        (b"(k v)\n", b""),
        (b"(a b)\n  (k v)\t\r\n(c d)\n", b"(a b)\n(c d)\n"),
        (b"(a b)\n(k\n '1\n2'\n)\n(c d)\n", b"(a b)\n(c d)\n"),
        (b"(a b)\n(k v)", b"(a b)\n"),
        (b"(k v) # why\n", b" # why\n"),
        (b"(a b) (k v)\n", b"(a b) \n"),
        (b"(k v) (a b)\n", b" (a b)\n"),
        (b"(k v) (open", b" (open"),
        (b"(k v)\x04", b"\x04"),
        (b"(k v)\n\x04(k v)", b"\x04(k v)"),
        (b"(k 1)\n(a b)\n(k)\n#(k 3)\n(k 4)", b"(a b)\n#(k 3)\n"),
        (b"one(k 1)(k 2)(k 3)two", b"one two"),
        (b"one(k v)#two", b"one#two"),
        (b"'(k 0)'(k v)", b"'(k 0)'"),
    ],
)
def test_removing_takes_every_list_with_the_key(before, after):
    document = parse(before).remove("k")
    assert document.data == after
    assert b"k" not in dict(document.items())
    assert document.remove("k") is document


def test_the_module_offers_functions_only_to_salt():
    offered = [name for name in vars(xend_sxp) if not name.startswith("_")]
    functions = [name for name in offered if hasattr(getattr(xend_sxp, name), "__code__")]
    assert sorted(functions) == ["atom_or_string", "parse", "render"]
