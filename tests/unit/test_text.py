"""What people may have meant who have mistyped a name. Runs on Python 2.7, too."""

import pytest

import xend_secrets
import xend_text

HOSTS = ["xen1.example.com", "xen2.example.com", "db"]


@pytest.mark.parametrize(
    "name, known, near",
    [
        ("web1", ["web02", "web01", "web03", "db01", "mail"], ["web01"]),
        ("wb01", ["web05", "web01", "db01"], ["web01"]),
        ("WEB01", ["web01"], ["web01"]),
        ("xen1", HOSTS, ["xen1.example.com"]),
        ("xen1.example.com", ["xen1", "db"], ["xen1"]),
        ("w", ["web02", "web01", "web04", "web03"], ["web01", "web02", "web03"]),
        ("xen3.example.com", HOSTS, ["xen1.example.com", "xen2.example.com"]),
        ("web100", ["web%02d" % number for number in range(0, 40, 10)], ["web00", "web10"]),
        ("weba", ["web04", "web03", "web02", "web01"], ["web01", "web02", "web03"]),
        ("", HOSTS, []),
        ("web01", [], []),
        (u"gr\u00fc\u00dfe", [u"gr\u00fc\u00dfen"], [xend_text.native(u"gr\u00fc\u00dfen")]),
    ],
)
def test_the_nearest_names(name, known, near):
    found = xend_text.nearest(name, known)
    assert sorted(found) == sorted(near) and found[:1] == near[:1]


def test_what_nobody_types_is_not_compared():
    assert xend_text.nearest("a" * 5000, ["a" * 5000]) == []
    assert xend_text.nearest("web1", ["a" * 5000, "web01"]) == ["web01"]


def test_the_end_of_a_sentence():
    assert xend_text.meant("web1", ["web01"]) == "; did you mean web01?"
    assert xend_text.meant("web1", ["web01", "web11"]) == "; did you mean web11 or web01?"
    assert xend_text.meant("mail", ["web01"]) == ""


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, "None"),
        (True, "True"),
        (0, "0"),
        (1.5, "1.5"),
        (1 << 63, "9223372036854775808"),
        (10**400, "a number"),
        ("maybe", "'maybe'"),
        (u"maybe", "'maybe'"),
        (b"maybe", "'maybe'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a'\"\\b", "'a'\"\\\\b'"),
        (u"gr\u00fc\u00dfe \u20ac", xend_text.native(u"'gr\u00fc\u00dfe \u20ac'")),
        (u"gr\u00fc\u00dfe".encode("utf-8"), xend_text.native(u"'gr\u00fc\u00dfe'")),
        (b"\xff", xend_text.native(u"'\ufffd'")),
        (u"a\n\x1b[2J\x85\u202e", "'a\\n\\x1b[2J\\x85\\u202e'"),
        ([u"a", ("b", 1), []], "['a', ['b', 1], []]"),
        ({u"b": [u"c"], u"a": None, 5: {}}, "{'a': None, 'b': ['c'], 5: {}}"),
        (object(), "a object"),
        ("x" * 100, "'%s ..." % ("x" * 55)),
        (["x" * 100], "['%s ..." % ("x" * 54)),
    ],
)
def test_a_value_is_quoted_alike_by_every_python(value, shown):
    found = xend_text.quoted(value)
    assert found == shown and isinstance(found, str)


def test_what_is_long_or_deep_is_not_looked_through():
    deep = []
    for _ in range(100000):
        deep = [deep]
    wide = ["x"] * 1000000
    assert xend_text.quoted(deep) == "[" * 56 + " ..."
    assert len(xend_text.quoted([wide] * 1000)) == 60


def test_a_password_is_not_quoted():
    told = xend_text.quoted(xend_secrets.masked({u"vncpasswd": u"mArked", u"a": u"b" * 500}))
    assert "mArked" not in told and len(told) <= 60


def test_text_in_lists_and_dicts_is_made_native():
    word = u"gr\u00fc\u00dfe"
    made = xend_text.native({u"a": [word, 5, None], u"b": {u"c": (word,)}})
    own = word.encode("utf-8") if bytes is str else word
    assert made == {"a": [own, 5, None], "b": {"c": [own]}} and isinstance(made["a"][0], str)


@pytest.mark.skipif(bytes is not str, reason="Python 3 has one type of text")
@pytest.mark.parametrize("given", [u"xen1", b"xen1"])
def test_what_a_state_returns_goes_into_the_text_of_salt(given):
    """As state.format_log of 3000 and of 2016.11 do it, in their literals."""
    word = u"gr\u00fc\u00dfe"
    for text in (word, word.encode("utf-8")):
        ret = {"name": text, "comment": text, "result": True}
        ret["changes"] = {text: {"old": text, "new": None}, "diff": text, "warnings": [text]}
        made = xend_text.as_given(ret, given)
        assert made["result"] is True and sorted(made) == sorted(ret)
        assert type(given)("{0[name]} {0[comment]} {1}").format(made, made["changes"]["diff"])
        assert u"'{0}' changed from '{1}'".format(word, made["changes"][word]["old"])
        assert made["changes"]["warnings"] == [word] and made["changes"][word]["new"] is None
