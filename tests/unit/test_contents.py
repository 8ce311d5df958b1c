"""The orchestrations are tables of contents: what is decided is decided elsewhere."""

import re

import pytest

from tests.harness.loading import REPO

SCREEN = 50
ORCHESTRATIONS = sorted((REPO / "salt" / "xend" / "orch").glob("*.sls"))


def lines_of(text):
    """(lines of Jinja logic, lines of states), comments and empty lines left out.

    Where a state of many steps begins and ends (`call steps`) is no logic.
    """
    bare = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    lines = [line.strip() for line in bare.splitlines() if line.strip()]
    logic = [line for line in lines if re.match(r"\{%(?!-? (call steps\(|endcall ))", line)]
    return logic, [line for line in lines if line not in logic]


@pytest.mark.parametrize("path", ORCHESTRATIONS, ids=lambda path: path.stem)
def test_an_orchestration_has_steps_and_names_and_fits_a_screen(path):
    text = path.read_text()
    logic, states = lines_of(text)
    assert len(logic) <= len(states), logic
    assert len(text.splitlines()) <= SCREEN
    assert not [line for line in logic if " for " in line]


def test_logic_is_counted():
    text = "{#- why\n{% if x %} -#}\n{%- if x %}\n\n{%- call steps(1) %}\n{{ step(1) }}\n"
    text += "{%- endcall %}\n{%- endif %}\n"
    assert lines_of(text) == (
        ["{%- if x %}", "{%- endif %}"],
        ["{%- call steps(1) %}", "{{ step(1) }}", "{%- endcall %}"],
    )
