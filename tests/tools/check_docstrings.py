"""Fails when Salt would show a function of a module that has no example for people to copy, or a wrong one.

Execution modules must show the command line, state modules an SLS; a function that is only imported
must not show at all. What an example calls has to be there, and to take these arguments; what is an argument
has to be told of. What a docstring says beyond that is for reviewers.
"""

import ast
import re
import shlex
import sys
import textwrap
from pathlib import Path

import yaml


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


# What every state takes beside its own arguments.
REQUISITES = {"watch", "require", "onchanges", "onfail", "require_in", "watch_in"}
# Behind these words of an example, options of Salt's own commands follow.
OPTION = re.compile(r"--?\w")
# Arguments that mean the same wherever they are, and are told of where they are not usual.
USUAL = {"config", "backup", "test", "name"}
# The list of arguments: names alone on a line, and what they mean below, further in.
LISTED = re.compile(r"^([a-z_]+(?:, [a-z_]+)*)\n    +\S", re.MULTILINE)
# All arguments are those of another function, where they are told of.
ELSEWHERE = re.compile(r"\bArguments\b[^.]* as ``")


def public(tree):
    """Yield (name in Salt, node) of each function of a parsed module that users see."""
    names = aliases(tree)
    for node in tree.body:
        # Salt hides from its users what begins with an underscore.
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name not in HOOKS:
            yield names.get(node.name, node.name), node


def arguments(node):
    """Return (the names of the arguments of a function, how many of them have to be given)."""
    names = [argument.arg for argument in node.args.args]
    return names, len(names) - len(node.args.defaults)


def commands(text):
    """Return the command lines of the ``CLI Example`` of a docstring, each as its words."""
    _, _, example = text.partition("CLI Example")
    lines = textwrap.dedent(example.partition(".. code-block:: bash")[2]).strip()
    # A line that is indented further goes on with the one before it.
    return [shlex.split(line) for line in re.sub(r"\n\s+", " ", lines).splitlines() if line.strip()]


def wrong_command(words, known):
    """Return what is wrong with an example; None when what it calls is there and takes these arguments."""
    words = [word for word in words if not OPTION.match(word) and word != "json"]
    is_runner = words[0] == "salt-run"
    # salt names its minions before the function.
    words = words[1:] if words[0] in ("salt-run", "salt-call") else words[2:]
    if not words:
        return "it calls nothing"
    node = known.get(("_runners" if is_runner else "_modules", words[0]))
    if node is None:
        return f"there is no {words[0]}"
    names, needed = arguments(node)
    given = [word.partition("=")[0] if re.match(r"[a-z_]+=", word) else None for word in words[1:]]
    positional, named = given.count(None), [name for name in given if name]
    for name in named:
        if name not in names:
            return f"{words[0]} takes no {name}"
        if name in names[:positional]:
            return f"{words[0]} is given {name} twice"
    if positional > len(names):
        return f"{words[0]} takes {len(names)} arguments, not {positional}"
    missing = [name for name in names[positional:needed] if name not in named]
    return f"{words[0]} is not given {', '.join(missing)}" if missing else None


def wrong_state(module, name, text, node):
    """Return what is wrong with the SLS of a docstring; None when the state takes what it gives."""
    example = textwrap.dedent(text.partition(".. code-block:: yaml")[2])
    try:
        states = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", example))
        rows = [row for state in states.values() for row in state.get(f"{module}.{name}", [])]
        given = [key for row in rows for key in row]
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        return f"its SLS cannot be read: {error}"
    names, needed = arguments(node)
    for key in given:
        if key not in names and key not in REQUISITES:
            return f"the state takes no {key}"
    missing = [key for key in names[1:needed] if key not in given]
    return f"its SLS lacks {', '.join(missing)}" if missing else None


def untold(text, node):
    """Return what is wrong with the list of arguments in the docstring of a function, as sentences."""
    told = {name for names in LISTED.findall(text) for name in names.split(", ")}
    there = arguments(node)[0]
    missing = [name for name in there if name not in told | USUAL and not ELSEWHERE.search(text)]
    return [f"does not tell of {name}" for name in missing] + [
        f"tells of {name}, which is no argument" for name in sorted(told - set(there))
    ]


def all_public(folders):
    """Return {(folder, name as users write it): node} of all functions below these folders."""
    known = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("[!_]*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            for name, node in public(tree):
                known[(Path(folder).name, f"{users_name(path, tree)}.{name}")] = node
    return known


def problems(path, known):
    """Yield one line for each public function of the file at ``path`` that breaks its rule.

    known -- as ``all_public`` returns them
    """
    shows, wanted = RULES[path.parent.name]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    module = users_name(path, tree)
    for name, node in public(tree):
        text = ast.get_docstring(node) or ""
        where = f"{path}:{node.lineno}: {module}.{name}: "
        if not shows(module, name, text):
            yield f"{where}its docstring needs {wanted}"
            continue
        if path.parent.name == "_states":
            wrong = [wrong_state(module, name, text, node)]
        else:
            wrong = [wrong_command(words, known) for words in commands(text)]
        yield from (f"{where}its example is wrong: {one}" for one in wrong if one)
        yield from (f"{where}its docstring {one}" for one in untold(text, node))
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
    known = all_public(folders)
    found = [
        problem
        for folder in folders
        for path in sorted(Path(folder).glob("[!_]*.py"))
        for problem in problems(path, known)
    ]
    print("\n".join(found) or "docstrings: every public function has its example, and each of these is right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
