"""The product as pip installs it, and as a file server syncs it, each in a Python of its own.

Nothing here looks into the modules: what they do is tested elsewhere, here only that they are found
and find their utilities.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from salt.loader import SALT_BASE_PATH

from tests.harness.loading import REPO

MINION_SIDE = ("_modules", "_runners", "_states", "_utils")
PACKAGED = ("setup.cfg", "pyproject.toml", "LICENSE", "README.md", *MINION_SIDE)
STEP_TIMEOUT_S = 600
# Salt's own interface for programs on a minion; salt-call makes its functions in the same way.
CALLER = """if True:
    import json, logging, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.basicConfig(level=logging.WARNING, format="[%(levelname)-8s] %(message)s")
    import salt.client
    caller = salt.client.Caller(sys.argv[1])
    print(json.dumps([caller.cmd(*words, **keywords) for words, keywords in json.load(sys.stdin)]))
"""

CONFIG = """\
(xend-relocation-server yes)
(xend-relocation-port 8002)
(xend-relocation-address '127.0.0.1')
(xend-relocation-hosts-allow '^127\\\\.0\\\\.0\\\\.2$')
"""


def run(command, cwd, text=""):
    """Run ``command`` (list) in folder ``cwd``, where nothing of the tree can be imported."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        input=text,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def others(kind, *wanted):
    """The names of Salt's own modules of a kind but for those that are ``wanted``: all take seconds."""
    folder = SALT_BASE_PATH / kind
    return sorted({path.stem for path in folder.glob("[!_]*")} - set(wanted))


def copy_of(names, folder):
    """Copy files and folders of the tree into ``folder``: builds and syncs leave things behind."""
    folder.mkdir()
    for name in names:
        source = REPO / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder)
    return folder


class Minion:
    """A masterless minion under ``root``, with the interpreter ``python`` and some file roots."""

    def __init__(self, python, root, file_roots=()):
        self.python = python
        self.root = root
        self.config = root / "xend-config.sxp"
        settings = {
            "id": "packaged",
            "root_dir": str(root),
            "file_client": "local",
            "file_roots": {"base": [str(path) for path in file_roots]},
            "pillar_roots": {"base": []},
            # These ask the network, which has nothing to do with this.
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
            "disable_grains": others("grains", "core"),
            "disable_modules": others("modules", "cmdmod", "config", "saltutil", "state", "sysmod"),
        }
        (root / "minion").write_text(json.dumps(settings), encoding="utf-8")

    def ask(self, *calls):
        """Call functions, each a list of words and a dict; return what they return, and what was logged."""
        done = run([self.python, "-c", CALLER, self.root / "minion"], self.root, json.dumps(calls))
        return json.loads(done.stdout), done.stderr


def installed(root, *options):
    """Return a minion whose interpreter has the project from pip, and Salt from the running one."""
    source = copy_of(PACKAGED, root / "source")
    venv = root / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], root)
    python = venv / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run([python, "-c", ask], root).stdout.strip())
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    run([python, "-m", "pip", "install", *offline, *options, source], root)
    return Minion(python, root)


def synced(root):
    """Return a minion that has the project from its file roots."""
    minion = Minion(sys.executable, root, [copy_of(MINION_SIDE, root / "files")])
    minion.ask([["saltutil.sync_all"], {}])
    return minion


WAYS = {
    "installed": installed,
    "editable": lambda root: installed(root, "--editable"),
    "synced": synced,
}


@pytest.fixture(scope="module", params=WAYS)
def minion(request, tmp_path_factory):
    """One minion for each way in which the project gets there, with a small configuration file."""
    minion = WAYS[request.param](tmp_path_factory.mktemp(request.param))
    minion.config.write_text(CONFIG, encoding="utf-8")
    return minion


@pytest.fixture(scope="module")
def asked(minion):
    """What the minion says of a key, of a state and of its modules, and what it logs."""
    config = {"config": str(minion.config)}
    return minion.ask(
        [["xend.get", "xend-relocation-port"], config],
        [["state.single", "xend.relocation", "relocation"], dict(config, port=8003, test=True)],
        [["sys.list_modules"], {}],
    )


def test_a_key_is_read(asked):
    assert asked[0][0] == "8002"


def test_the_state_is_found_and_only_tells_under_test(minion, asked):
    (result,) = asked[0][1].values()
    assert result["result"] is None, result
    assert "8003" in json.dumps(result["changes"])
    assert minion.config.read_text(encoding="utf-8") == CONFIG


def test_package_files_are_no_modules(asked):
    (_key, _state, modules), log = asked
    assert {"xend", "xm", "xen_guest"} <= set(modules)
    assert not {"__init__", "_modules", "modules"} & set(modules)
    assert "[ERROR" not in log and "[WARNING" not in log


@pytest.mark.parametrize("minion", ["installed", "editable"], indirect=True, scope="module")
def test_every_entry_point_leads_to_its_files(minion):
    ask = """if True:
        from importlib.metadata import distribution
        for point in distribution("xend-for-salt").entry_points.select(group="salt.loader"):
            (folder,) = point.load()()
            print(point.name, folder)
    """
    done = run([minion.python, "-c", ask], minion.root)
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    found = {name: Path(folder) for name, folder in lines}
    assert {name: files_in(folder) for name, folder in found.items()} == {
        "module_dirs": files_in(REPO / "_modules"),
        "runner_dirs": files_in(REPO / "_runners"),
        "states_dirs": files_in(REPO / "_states"),
        "utils_dirs": files_in(REPO / "_utils"),
    }
    assert all(minion.root in folder.parents for folder in found.values())


def files_in(folder):
    return sorted(path.name for path in folder.glob("*.py"))
