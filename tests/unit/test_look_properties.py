"""
One look at a host under generated descriptions: whichever way xend is asked, the picture is the same.
Examples are in test_look.py.
"""

import importlib
import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xend_sxp
import xm_look
import xm_output
from tests import serving
from tests.lab import sxp

# What XML cannot carry, xend's answer cannot either, and xm is asked: control characters. A carriage return
# arrives there as a line feed.
characters = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"
) | st.sampled_from("\t\n'\"\\ ()#;!@")
texts = st.text(characters, max_size=90) | st.sampled_from("0 1 -x None \\xc3 a\\ gr\u00fcn".split(" "))
numbers = st.integers(0, 2**31 - 1) | st.integers(0, 10**7).map(lambda cents: cents / 100) | st.booleans()
HEADS = "domain device image vbd vfb vif pci hvm linux uname dev notes vncpasswd uuid name serial".split()
nested = st.recursive(
    texts | numbers,
    lambda inner: st.lists(inner, max_size=5)
    | st.builds(lambda head, rest: [head, *rest], st.sampled_from(HEADS), st.lists(inner, max_size=4)),
    max_leaves=20,
)
lists = st.builds(lambda head, rest: [head, *rest], st.sampled_from(HEADS), st.lists(nested, max_size=4))
domains = st.builds(
    lambda domid, name, figures, state, rest: [
        "domain",
        *([] if domid is None else [["domid", domid]]),
        ["name", name],
        ["memory", figures[0]],
        ["online_vcpus", figures[1]],
        ["cpu_time", figures[2] / 100],
        *([] if state is None else [["state", state]]),
        *rest,
    ],
    st.none() | st.integers(1, 30000),
    texts,
    st.tuples(st.integers(0, 1 << 20), st.integers(0, 32), st.integers(0, 10**9)),
    st.sampled_from([None, "-b----", "------", "--p---", "---s--", "?b----"]),
    st.lists(lists, max_size=5),
)
ZERO = ["domain", ["domid", 0], ["name", "Domain-0"], ["memory", 1024], ["state", "r-----"]]


class Error(Exception):
    """What Salt raises."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A function that looks at a host whose xend answers this at its socket, and whose xm prints that;
    None for what may not be asked."""
    path = str(tmp_path_factory.mktemp("look") / "s")
    answers, requests = [], []
    server = serving.serve(path, lambda connection: connection.sendall(answers[-1]), requests)

    def look(answer=None, printed=None):
        def run(command, **_keywords):
            assert printed is not None, "xm was run"
            return {"retcode": 0, "stdout": printed, "stderr": ""}

        if answer is not None:
            text = xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True)
            answers.append(serving.response(text.encode("utf-8")))
        options = {
            "xend:socket": "/nowhere/xmlrpc.sock" if answer is None else path,
            "xend:root": path + ".root",
        }
        salt = {
            "config.get": lambda name, default: options.get(name, default),
            "cmd.run_all": run,
            "xend.transfers": lambda: {"sources": [], "targets": [], "ports": []},
            "xend.relocation": lambda: {"ssl_server": False, "ssl_port": 8003},
        }
        return xm_look.host("xen1", salt, Error, importlib.import_module).look()

    yield look
    serving.stop(server)


def in_ascii(value):
    """As a real xm prints it: what is no ASCII as a backslash, x and two digits (Python 2's repr)."""
    if isinstance(value, list):
        return "(%s)" % " ".join(in_ascii(item) for item in value)
    text = sxp.text_of(value)
    return text if sxp.is_word(text) else repr(text.encode("utf-8"))[1:]


def picture(look):
    return [
        [row, look.text(row), look.describe(row), misread(row), look.candidates(row["name"])]
        for row in look.rows
    ]


def misread(row):
    """What may not arrive as it is; how this xend writes that, xm would have to say."""
    return xm_output.misread(row["form"])


@given(st.lists(domains, max_size=4))
def test_whichever_way_xend_is_asked_the_picture_is_the_same(asked, found):
    answer = [ZERO, *found]
    seen = picture(asked(answer))
    assert len(seen) == len(answer)
    assert picture(asked(printed="\n".join(sxp.pretty(form) for form in answer) + "\n")) == seen
    assert picture(asked(printed="\n".join(in_ascii(form) for form in answer) + "\n")) == seen


@given(domains)
def test_a_description_is_printed_so_that_xend_reads_it(asked, form):
    look = asked([ZERO, form])
    row = look.rows[1]
    assert xend_sxp.parse(look.text(row).encode("utf-8")).forms() == [row["form"]]
    assert sxp.parse(look.text(row).encode("utf-8")) == [row["form"]]
