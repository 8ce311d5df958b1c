"""The tables and texts of a module, read from its source: it needs a Salt to be imported."""

import ast
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def literal(path, name):
    """The value of the literal that the module at PATH, below the tree, assigns to NAME."""
    tree = ast.parse((REPO / path).read_text("utf-8"))
    (node,) = [
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(node.value)
