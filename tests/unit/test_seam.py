"""
The seams between the rooms of the house: whatever a module, the runner or a utility calls by way of a proxy
or of __salt__ is there, and takes these arguments. Salt itself would only tell when the line is run.
"""

import ast
import importlib
import inspect
import re
import sys
import types

import pytest

from tests.harness.loading import REPO

MINION = sorted(
    path for room in ("_modules", "_states", "_utils") for path in (REPO / room).glob("[!_]*.py")
)
RUNNERS = sorted((REPO / "_runners").glob("[!_]*.py"))
USERS = [*MINION, *RUNNERS]
MODULES = sorted((REPO / "_modules").glob("[!_]*.py"))


def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def proxies(tree):
    """{how it is called in this file: utility that it stands for}"""
    return {
        ast.unparse(node.targets[0]): utility
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (utility := named_utility(node.value, {}))
    }


def named_utility(node, known):
    """The utility that an expression stands for, or None."""
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        return node.args[0].value if called in ("utility", "_Utility") else None
    return known.get(ast.unparse(node)) if isinstance(node, (ast.Name, ast.Attribute)) else None


def uses(path):
    """(line, utility, function, the call or None) for each function of a utility that a file names."""
    tree = tree_of(path)
    known = proxies(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            utility = named_utility(node.value, known)
            if utility:
                yield node.lineno, utility, node.attr, calls.get(id(node))


def salt_calls(path):
    """(line, "module.function", the call or None) for each function of these modules in __salt__."""
    tree = tree_of(path)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id == "__salt__"
            and isinstance(node.slice, ast.Constant)
        ):
            yield node.lineno, node.slice.value, calls.get(id(node))


def misfit(function, call):
    """Why a function does not take the arguments of a call; None when it does."""
    if call is None or any(isinstance(one, ast.Starred) for one in call.args):
        return None
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    is_whole = len(named) == len(call.keywords)
    signature = inspect.signature(function)
    try:
        (signature.bind if is_whole else signature.bind_partial)(*call.args, **named)
    except TypeError as exc:
        return str(exc)
    return None


def virtual_name(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef) and node.name == "__virtual__":
            return [
                one.value.value
                for one in ast.walk(node)
                if isinstance(one, ast.Return) and isinstance(one.value, ast.Constant)
            ][-1]
    return path.stem


@pytest.fixture(scope="module")
def offered():
    """{"module.function": function} of all execution modules of the project."""
    return functions_in(MODULES)


def functions_in(paths):
    found = {}
    for path in paths:
        module = types.ModuleType(path.stem)
        exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))
        alias = getattr(module, "__func_alias__", {})
        for name, function in vars(module).items():
            if isinstance(function, types.FunctionType) and not name.startswith("_"):
                key = f"{virtual_name(path)}.{alias.get(name, name)}"
                assert key not in found, f"{path.name} and another file both have {key}"
                found[key] = function
    return found


@pytest.mark.parametrize("path", USERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_function_of_a_utility_is_there_and_takes_what_it_is_given(path):
    wrong = []
    for line, utility, name, call in uses(path):
        function = getattr(importlib.import_module(utility), name, None)
        if name.startswith("_") or not isinstance(function, types.FunctionType):
            # A synced utility has its functions in __utils__ and nothing else.
            wrong.append(f"{path.name}:{line}: {utility}.{name} is no public function")
        elif misfit(function, call):
            wrong.append(f"{path.name}:{line}: {utility}.{name}: {misfit(function, call)}")
    assert wrong == []


@pytest.mark.parametrize("path", MINION, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_function_of_our_modules_is_there_and_takes_what_it_is_given(path, offered):
    rooms = {name.partition(".")[0] for name in offered}
    wrong = []
    for line, name, call in salt_calls(path):
        if name.partition(".")[0] in rooms and name not in offered:
            wrong.append(f"{path.name}:{line}: there is no {name}")
        elif name in offered and misfit(offered[name], call):
            wrong.append(f"{path.name}:{line}: {name}: {misfit(offered[name], call)}")
    assert wrong == []


def test_each_function_of_the_runner_that_another_file_of_it_calls_is_there_and_takes_what_it_is_given():
    offered = functions_in(RUNNERS)
    calls = [found for path in RUNNERS for found in salt_calls(path) if found[1].startswith("xend.")]
    assert [name for _line, name, _call in calls] == ["xend.plan"]
    assert [name for _line, name, call in calls if misfit(offered[name], call)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_with_another_name_than_its_file_says_so_in_the_way_that_old_salts_want(path):
    """The loader of Salt 2016.11 does not take such a file without __virtualname__."""
    named = [
        node.value.value
        for node in tree_of(path).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__virtualname__"
    ]
    assert named in ([], [virtual_name(path)])
    assert named or virtual_name(path) == path.stem


SETTERS = [
    ("_modules/xend.py", "configure", {"config", "test", "backup"}),
    ("_states/xend.py", "relocation", {"name", "config", "backup"}),
]


@pytest.mark.parametrize("path, name, others", SETTERS)
def test_each_setting_of_the_table_is_an_argument_of_what_sets_it(path, name, others):
    """Python wants them written out where people give them; all else about a setting stands in its row."""
    named = [row[0] for row in importlib.import_module("xend_options").settings()]
    (function,) = [
        node for node in tree_of(REPO / path).body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    assert {one.arg for one in function.args.args} - others == set(named)
    manuals = [ast.get_docstring(function), (REPO / "docs/configuration.md").read_text("utf-8")]
    manuals.append((REPO / "salt/xend/pillar.example").read_text("utf-8"))
    for manual in manuals:
        assert [one for one in named if not re.search(rf"\b{one}\b", manual)] == []


TAKERS = [
    ("_modules/xm_migration.py", "migrate"),
    ("_modules/xm_checks.py", "can_send"),
    ("_modules/xm_checks.py", "check_options"),
    ("_states/xm.py", "can_send"),
    ("_states/xm.py", "sent"),
    ("_states/xm.py", "migrated"),
]


@pytest.mark.parametrize("path, name", TAKERS)
def test_each_option_of_the_safety_copy_is_taken_wherever_a_guest_is_sent(path, name):
    named = importlib.import_module("xm_safety").DEFAULTS
    (function,) = [
        node for node in tree_of(REPO / path).body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    defaults = function.args.defaults
    optional = function.args.args[-len(defaults) :]
    given = {one.arg: value for one, value in zip(optional, defaults, strict=True)}
    # None is what the host's own option says.
    assert {one: given[one].value for one in named} == dict.fromkeys(named)


def test_each_option_of_the_safety_copy_is_a_hosts_and_a_migrations_and_documented():
    named = set(importlib.import_module("xm_safety").DEFAULTS)
    assert named <= set(importlib.import_module("xend_settings").TOP)
    (options,) = [
        ast.literal_eval(node.value)
        for node in tree_of(REPO / "_utils" / "xm_steps.py").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SAFETY_OPTIONS"
    ]
    assert set(options) == named
    manuals = ["docs/configuration.md", "docs/safety-copy.md", "salt/xend/pillar.example"]
    for manual in [*manuals, "salt/xend/orch/migrate.sls"]:
        text = (REPO / manual).read_text("utf-8")
        assert [one for one in named if not re.search(rf"\b{one}\b", text)] == [], manual


def test_the_test_sees_the_calls():
    assert sum(len(list(uses(path))) for path in USERS) > 200
    assert sum(len(list(salt_calls(path))) for path in USERS) > 50


def test_each_proxy_is_used_and_called_as_its_utility():
    for path in [*MODULES, *RUNNERS]:
        known = proxies(tree_of(path))
        assert known == {name: name for name in known}, path
        assert set(known) <= {utility for _line, utility, _name, _call in uses(path)}, path


def test_the_proxy_is_the_same_everywhere():
    classes = {
        # What stands before its functions is its docstring.
        ast.unparse(node.body[1:])
        for path in [*MODULES, *RUNNERS]
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and node.name == "_Utility"
    }
    assert len(classes) == 1


class Asked(dict):
    """A __utils__ that keeps in mind what it was asked for and had not."""

    def __init__(self, *known):
        super().__init__(known)
        self.missed = []

    def __missing__(self, name):
        self.missed.append(name)
        raise KeyError(name)


@pytest.fixture
def proxied(monkeypatch):
    """A function that makes the proxy over a __utils__; the installed extension has xm_one and xm_two."""
    for name in ("", "._utils", "._utils.xm_one", "._utils.xm_two"):
        module = types.ModuleType("saltext_xend" + name)
        module.tell = lambda: "installed"
        monkeypatch.setitem(sys.modules, module.__name__, module)
    (proxy,) = (node for node in tree_of(MODULES[0]).body if getattr(node, "name", None) == "_Utility")

    def make(utils):
        namespace = {"__utils__": utils}
        exec(ast.unparse(proxy), namespace)
        return namespace["_Utility"]

    return make


def test_an_installed_extension_asks_salt_once_and_imports_its_utilities_then(proxied):
    utils = Asked()
    utility = proxied(utils)
    assert [utility(name).tell() for name in ("xm_one", "xm_two", "xm_one")] == ["installed"] * 3
    # Each time, Salt would look through all its folders for it.
    assert utils.missed == ["xm_one.tell"]


def test_what_is_synced_comes_first_whatever_is_not_there(proxied):
    utility = proxied(Asked(("xm_one.tell", lambda: "synced"), ("xm_two.tell", lambda: "synced")))
    with pytest.raises(AttributeError):
        _ = utility("xm_one").nothing
    with pytest.raises(ImportError):
        _ = utility("xm_three").tell
    assert [utility(name).tell() for name in ("xm_one", "xm_two")] == ["synced"] * 2
