"""docs/reference.md has all that there is, and the check of the docstrings finds what is wrong with one."""

import ast
import json
import re
import shlex
import textwrap

import pytest

import xm_moves
import xm_steps
from tests.tools import check_docstrings, reference

# What `_runners/xend.py` takes of the pillar xend:recover.
RECOVER = {"hosts", "wait", "remove_lost", "resume", "restore"}


def test_the_page_is_what_the_code_says():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()


def test_the_options_of_orchestrations_are_all_explained_and_no_others():
    explained = {name: [row.name for row in rows] for name, rows in reference.options().items()}
    migration = set(xm_steps.option_names())
    assert {name: set(rows) - {"…"} for name, rows in explained.items()} == {
        "migrate": migration | {"domain", "source", "target"},
        "evacuate": set(xm_moves.EVACUATION),
        "restore": set(xm_moves.RESTORATION),
        "recover": RECOVER,
    }
    assert all(row.text for rows in reference.options().values() for row in rows)
    assert "…" in explained["evacuate"] and "…" in explained["restore"]


def test_the_options_of_recover_are_those_of_the_runner():
    tree = ast.parse((reference.REPO / "_runners" / "xend.py").read_text())
    (value,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RECOVER"
    ]
    assert set(ast.literal_eval(value)) == RECOVER


@pytest.mark.parametrize("name", reference.ORCHESTRATIONS)
def test_the_commands_of_an_orchestration_are_about_it_and_give_what_it_takes(name):
    _text, commands = reference.head(name)
    short = name.rpartition(".")[2]
    takes = {row.name for row in reference.options()[short]}
    assert commands
    for line in re.sub(r"\\\n\s*", "", "\n".join(commands)).splitlines():
        program, function, sls, *given = shlex.split(line)
        assert (program, function, sls) == ("salt-run", "state.orchestrate", name)
        for word in given:
            key, _, value = word.partition("=")
            assert word == "test=True" or key == "pillar" and set(json.loads(value)["xend"][short]) <= takes


def test_each_sls_is_on_the_page():
    text = reference.PAGE.read_text(encoding="utf-8")
    root = reference.REPO / "salt"
    for path in (root / "xend").rglob("*.sls"):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".init")
        assert "`%s`" % name in text or "### %s\n" % name in text


def test_a_function_that_is_in_no_group_is_told_and_so_is_one_that_is_not_there():
    found = reference.functions()
    reference.check(found)
    found[("_modules", "xm")]["fly"] = found[("_modules", "xm")].pop("migrate")
    with pytest.raises(
        reference.Wrong, match="xm.fly is in no group; there is no _modules:xm.migrate"
    ):
        reference.check(found)


@pytest.mark.parametrize(
    "title, anchor",
    [
        ("xend.orch.migrate", "xendorchmigrate"),
        ("Guests: what is here", "guests-what-is-here"),
        ("`xm`: used by the SLS", "xm-used-by-the-sls"),
        ("runner xend.plan", "runner-xendplan"),
    ],
)
def test_anchors_are_those_of_github(title, anchor):
    assert reference.anchor(title) == anchor


# -- The check of the docstrings

FUNCTION = """
def send(name, target, live=True, timeout=None):
    '''
    Send a guest.

    name, target
        of what
    live, timeout
        how

    CLI Example:

    .. code-block:: bash

        %s
    '''
"""
STATE = """
def sent(name, target, live=True):
    '''
    A guest is sent.

    name, target, live
        which one, where to, and how

    .. code-block:: yaml

        web01 is sent:
          xm.sent:
            - name: web01
%s
    '''
"""


def told(folder, tmp_path, text):
    path = tmp_path / folder / "xm.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    known = check_docstrings.all_public([path.parent])
    return "\n".join(check_docstrings.problems(path, known))


@pytest.mark.parametrize(
    "example, said",
    [
        ("salt xen1 xm.send web01 xen2", ""),
        ("salt 'xen*' xm.send web01 target=xen2 live=False --out json", ""),
        ("salt-call --local xm.send web01 xen2 timeout=900", ""),
        ("salt-call xm.send web01 xen2 timeout=900", ""),
        ("salt xen1 xm.send web01", "xm.send is not given target"),
        ("salt xen1 xm.send web01 xen2 lvie=False", "xm.send takes no lvie"),
        ("salt xen1 xm.send web01 xen2 name=web02", "xm.send is given name twice"),
        ("salt xen1 xm.send a b c d e", "xm.send takes 4 arguments, not 5"),
        ("salt xen1 xm.sned web01 xen2", "its docstring needs a 'CLI Example'"),
        ("salt xen1 xm.send web01 xen2\n        salt xen1 xm.sned web01", "there is no xm.sned"),
        (
            "salt-run xm.send web01 xen2\n        salt xen1 xm.send web01 xen2",
            "there is no xm.send",
        ),
    ],
)
def test_examples_on_the_command_line(tmp_path, example, said):
    found = told("_modules", tmp_path, FUNCTION % example)
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    "rows, said",
    [
        ("- target: xen2", ""),
        ("- target: {{ pillar.target | json }}\n- require:\n  - xm: other", ""),
        ("- live: true", "its SLS lacks target"),
        ("- target: xen2\n- lvie: true", "the state takes no lvie"),
        ("- target: [xen2", "its SLS cannot be read"),
    ],
)
def test_examples_in_an_sls(tmp_path, rows, said):
    found = told("_states", tmp_path, STATE % textwrap.indent(rows, " " * 12))
    assert said in found if said else found == ""


def test_an_argument_of_which_nothing_is_told(tmp_path):
    text = (FUNCTION % "salt xen1 xm.send web01 xen2").replace("live, timeout", "live")
    assert told("_modules", tmp_path, text).endswith("its docstring does not tell of timeout")
    # A word of a sentence tells of no argument.
    text = (FUNCTION % "salt xen1 xm.send web01 xen2").replace("Send a guest.", "Send one live.")
    text = text.replace("live, timeout", "timeout")
    assert told("_modules", tmp_path, text).endswith("its docstring does not tell of live")


def test_an_argument_that_is_that_of_another_function(tmp_path):
    text = (FUNCTION % "salt xen1 xm.send web01 xen2").replace("live, timeout", "timeout")
    text = text.replace("Send a guest.", "Send a guest. Arguments as ``xm.migrate``.")
    assert told("_modules", tmp_path, text) == ""


def test_something_is_told_of_that_is_no_argument(tmp_path):
    text = (FUNCTION % "salt xen1 xm.send web01 xen2").replace("live, timeout", "live, timeout, lvie")
    assert told("_modules", tmp_path, text).endswith("its docstring tells of lvie, which is no argument")
