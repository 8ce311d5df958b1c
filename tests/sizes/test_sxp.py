"""The sxp document on files that are huge, deep or both: read in full, in time that grows with the size."""

import re
import time

import pytest

from tests import ground_truth
from tests.sizes import work_below
from xend_sxp import ParseError, parse, render


def _seconds(task):
    # The time of this process alone: the machine has other things to do, too.
    best = 60.0
    for _ in range(3):
        begun = time.process_time()
        task()
        best = min(best, time.process_time() - begun)
    return best


# Shapes of which each once tempts some implementation into recursion or quadratic time.
SHAPES = {
    "forms": lambda size: b"(a b)\n" * (size // 6),
    "forms on one line": lambda size: b"(a b)" * (size // 5),
    "different keys": lambda size: b"".join(b"(k%07d b)\n" % at for at in range(size // 13)),
    "duplicates": lambda size: b"(k v)(l m) " * (size // 11),
    "nested lists": lambda size: b"( " * (size // 4) + b") " * (size // 4),
    "string": lambda size: b"(a '" + b"x" * size + b"')",
    "escapes": lambda size: b"(a '" + b"\\n\\123" * (size // 6) + b"')",
    "atom": lambda size: b"(a " + b"x" * size + b")",
    "open atom": lambda size: b"(a " + b"x" * size,
    "separators": lambda size: b"(a " + b";" * size + b")",
    "white space": lambda size: b" " * size + b"(a b)",
    "short comments": lambda size: b"#\n" * (size // 2),
    "one comment": lambda size: b"#(" * (size // 2),
    "commented forms": lambda size: b"#(k v)\n" * (size // 7),
    "commented forms in a list": lambda size: b"(\n" + b"#(k v)\n" * (size // 7) + b")",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear_in_size(shape):
    def work(data):
        document = parse(data)
        if document.dropped is None:
            document = document.set(b"k", b"new value")
        document.remove(b"k")

    small, large = (SHAPES[shape](size) for size in (60_000, 600_000))
    # Twice the ideal ratio and some milliseconds.
    assert _seconds(lambda: work(large)) < 20 * _seconds(lambda: work(small)) + 0.02


def test_a_hundred_thousand_levels():
    deep = b"(" * 100_000 + b"a" + b")" * 100_000
    document = parse(b"(k " + deep + b")\n(l m)\n")
    value = document.get("k")
    assert render(value) == deep
    assert document.set("k", value) is document
    assert document.set("l", value).remove("k").data == b"(l " + deep + b")\n"
    assert len(document.forms()) == 2
    with pytest.raises(ParseError, match="unexpected EOF"):
        parse(deep[:-1])


def test_a_megabyte_in_one_string():
    value = (b"x#(" * 33 + b"'") * 10_000
    document = parse(b"(a b)\n").set("k", value)
    assert parse(document.data).get("k") == value
    with pytest.raises(ParseError, match="never closed"):
        parse(document.data[:-3])


@pytest.mark.parametrize("form", [b"(a b)\n", b"(a)", b"(k (a (b c)) 'd e')\n", b"#(k v)\n"])
def test_a_megabyte_of_forms(form):
    document = parse(form * (1_000_000 // len(form)))
    with work_below(20):
        assert document.set("new", "value").remove("new").data == document.data + (
            b"" if form.endswith(b"\n") else b"\n"
        )


def test_a_usual_file_takes_less_than_a_few_milliseconds():
    comments = b"# What this option does, and when it should be changed by the administrator.\n"
    data = b"".join(comments * 4 + b"#(option-%d default)\n" % at for at in range(30))
    data += b"(xend-relocation-server yes)\n(xend-relocation-port 8002)\n" * 5
    assert _seconds(lambda: parse(data).set("option-29", "new").data) < 0.005


GENERATED = ground_truth.generated()


@pytest.mark.parametrize("name", GENERATED)
def test_generated_inputs_are_read_in_full(name):
    data = GENERATED[name]
    if "unbalanced" in name:
        with pytest.raises(ParseError, match="unexpected EOF"):
            parse(data)
        return
    document = parse(data)
    assert document.data is data
    last = b"xend-relocation-port" if "dup" in name else b"xend-relocation-server"
    assert document.get(last) == {b"xend-relocation-port": b"8100"}.get(last, b"yes")
    lists = len(re.findall(rb"(?<!\()\((?=[\w(])", data))
    assert len(document.forms()) == lists
    assert document.set(last, "no").remove(last).items() == [
        item for item in document.items() if item[0] != last
    ]
