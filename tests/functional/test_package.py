"""The product as pip installs it, and as a file server syncs it, each used through salt-call.

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

REPO = Path(__file__).resolve().parents[2]
MINION_SIDE = ("_modules", "_runners", "_states", "_utils")
PACKAGED = ("setup.cfg", "pyproject.toml", "LICENSE", "README.md", *MINION_SIDE)
STEP_TIMEOUT_S = 120

CONFIG = """\
(xend-relocation-server yes)
(xend-relocation-port 8002)
(xend-relocation-address '127.0.0.1')
(xend-relocation-hosts-allow '^127\\\\.0\\\\.0\\\\.2$')
"""


def run(command, cwd):
    """Run ``command`` (list) in folder ``cwd``, where nothing of the tree can be imported."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


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
        }
        (root / "minion").write_text(json.dumps(settings), encoding="utf-8")

    def run(self, *words):
        """Return the completed ``salt-call --local`` of ``words``."""
        program = "from salt.scripts import salt_call; salt_call()"
        options = ["--local", "--config-dir", self.root, "--out", "json", "--log-level", "warning"]
        return run([self.python, "-c", program, *options, *words], self.root)

    def call(self, *words):
        """Return what the execution function in ``words`` returns."""
        return json.loads(self.run(*words).stdout)["local"]


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
    minion.call("saltutil.sync_all")
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


def test_a_key_is_read(minion):
    assert minion.call("xend.get", "xend-relocation-port", f"config={minion.config}") == "8002"


def test_the_state_is_found_and_only_tells_under_test(minion):
    arguments = ["name=relocation", "port=8003", f"config={minion.config}", "test=True"]
    (result,) = minion.call("state.single", "xend.relocation", *arguments).values()
    assert result["result"] is None, result
    assert "8003" in json.dumps(result["changes"])
    assert minion.config.read_text(encoding="utf-8") == CONFIG


def test_package_files_are_no_modules(minion):
    done = minion.run("sys.list_modules")
    modules = json.loads(done.stdout)["local"]
    assert "xend" in modules
    assert not {"__init__", "_modules", "modules"} & set(modules)
    assert "[ERROR" not in done.stderr and "[WARNING" not in done.stderr


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
