"""What people may have meant who have mistyped a name. Runs on Python 2.7, too."""

import pytest

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
