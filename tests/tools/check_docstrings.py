"""Fails when Salt would show a function of a module that has no example for people to copy.

Execution modules must show the command line, state modules an SLS; a function that is only imported
must not show at all. What a docstring says beyond that is for reviewers.
"""

import ast
import re
import sys
from pathlib import Path


def aliases(tree):
    """Return ``__func_alias__`` of a parsed module: {name in the file: name in Salt}."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [
            target.id for target in node.targets if isinstance(target, ast.Name)
        ] == ["__func_alias__"]:
            return ast.literal_eval(node.value)
    return {}


def users_name(path, tree):
    """Return the name under which users see a module: what ``__virtual__`` returns, or that of its file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__virtual__":
            for one in ast.walk(node):
                if isinstance(one, ast.Return) and isinstance(one.value, ast.Constant) and one.value.value:
                    return one.value.value
    return path.stem


def shows_command(module, name, text):
    """Tell whether ``text`` has a ``CLI Example`` that runs ``module.name``."""
    _, found, example = text.partition("CLI Example")
    return re.search(rf"\bsalt(-call)?\b.*\b{module}\.{name}\b", found and example) is not None


def shows_state(module, name, text):
    """Tell whether ``text`` has an SLS that uses ``module.name``."""
    return re.search(rf"^\s+(- )?{module}\.{name}:", text, re.MULTILINE) is not None


RULES = {
    "_modules": (shows_command, "a 'CLI Example' that calls it"),
    "_runners": (shows_command, "a 'CLI Example' that calls it"),
    "_states": (shows_state, "an SLS example that uses it"),
}

# What Salt calls by itself; nobody writes these names in an SLS.
HOOKS = {"mod_aggregate", "mod_init", "mod_watch"}


def problems(path):
    """Yield one line for each public function of the file at ``path`` that breaks its rule."""
    shows, wanted = RULES[path.parent.name]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names, module = aliases(tree), users_name(path, tree)
    for node in tree.body:
        # Salt hides from its users what begins with an underscore.
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.name in HOOKS:
            continue
        name = names.get(node.name, node.name)
        if not shows(module, name, ast.get_docstring(node) or ""):
            yield f"{path}:{node.lineno}: {module}.{name}: its docstring needs {wanted}"
    for node, name in imported(tree):
        yield (
            f"{path}:{node.lineno}: Salt up to 3000 shows this import as {module}.{name}: "
            "import its module, or give it a name with an underscore in front"
        )


def imported(tree):
    """Yield (node, name) for each name, of a class excepted, that the module itself imports."""
    outside_functions = (node for node in tree.body if not isinstance(node, ast.FunctionDef))
    for node in (inner for outer in outside_functions for inner in ast.walk(outer)):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                name = alias.asname or alias.name
                if name[0].islower():
                    yield node, name


def main(folders):
    found = [
        problem
        for folder in folders
        for path in sorted(Path(folder).glob("[!_]*.py"))
        for problem in problems(path)
    ]
    print("\n".join(found) or "docstrings: every public function has its example")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
