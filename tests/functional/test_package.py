"""The product as pip installs it, and as a file server syncs it from there, each in a Python of its own.

Nothing here looks into the modules: what they do is tested elsewhere, here only that they are found
and find their utilities.
"""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from salt.loader import SALT_BASE_PATH

from tests.harness.loading import REPO
from tests.tools import dist

ROOMS = ("_modules", "_runners", "_states", "_utils")
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


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The paths of the source distribution and of the wheel."""
    return dist.build(tmp_path_factory.mktemp("dist"))


def installed(root, *what):
    """Return a minion whose interpreter has the project from pip, and Salt from the running one."""
    venv = root / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], root)
    python = venv / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run([python, "-c", ask], root).stdout.strip())
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    run([python, "-m", "pip", "install", *offline, *what], root)
    return Minion(python, root)


def editable(root):
    """Return a minion whose interpreter has a checkout from pip, which leaves its files there."""
    shutil.copytree(REPO, root / "source", symlinks=True, ignore=dist.IGNORED)
    return installed(root, "--editable", root / "source")


def served(root, wheel):
    """Return a minion that syncs from the folder that pip installs on a master."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / "packages")
    minion = Minion(sys.executable, root, [root / "packages" / "saltext_xend"])
    minion.ask([["saltutil.sync_all"], {}])
    return minion


WAYS = {
    "installed": lambda root, wheel: installed(root, wheel),
    "editable": lambda root, wheel: editable(root),
    "served": served,
}


@pytest.fixture(scope="module", params=WAYS)
def minion(request, built, tmp_path_factory):
    """One minion for each way in which the project gets there, with a small configuration file."""
    minion = WAYS[request.param](tmp_path_factory.mktemp(request.param), built[1])
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
def test_every_entry_point_leads_to_its_files_and_the_runner_finds_its_utilities(minion):
    ask = """if True:
        import json, sys
        from importlib.metadata import distribution
        found = {}
        for point in distribution("saltext-xend").entry_points.select(group="salt.loader"):
            (found[point.name],) = point.load()()
        import salt.config, salt.loader
        opts = salt.config.master_config(None)
        opts.update(root_dir=sys.argv[1], cachedir=sys.argv[1], extension_modules=sys.argv[1])
        runners = salt.loader.runner(opts)
        print(json.dumps([found, "xend.where" in runners, runners.missing_modules.get("xend")]))
    """
    found, *has_runner = json.loads(run([minion.python, "-c", ask, minion.root], minion.root).stdout)
    found = {name: Path(folder) for name, folder in found.items()}
    assert {name: files_in(folder) for name, folder in found.items()} == {
        "module_dirs": files_in(REPO / "_modules"),
        "runner_dirs": files_in(REPO / "_runners"),
        "states_dirs": files_in(REPO / "_states"),
        "utils_dirs": files_in(REPO / "_utils"),
    }
    assert all(minion.root in folder.parents for folder in found.values())
    # It says of itself that it is none when it cannot call them.
    assert has_runner == [True, None]


@pytest.mark.parametrize("minion", ["served"], indirect=True, scope="module")
def test_the_installed_folder_serves_the_sls_as_well(minion):
    ((shown,), _log) = minion.ask([["state.show_sls", "xend"], {}])
    assert "Each Xen host stands under xend:relocation:hosts" in json.dumps(shown)


def files_in(folder):
    return sorted(path.name for path in folder.glob("*.py"))


def test_the_wheel_holds_the_product_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        tags = email.message_from_bytes(
            archive.read(next(name for name in names if name.endswith(".dist-info/WHEEL")))
        )
    product = {f"saltext_xend/{room}/{path}" for room in ROOMS for path in files_in(REPO / room)}
    product |= {f"saltext_xend/{path}" for path in tree(REPO / "salt") if path.startswith("xend/")}
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == {"saltext_xend/__init__.py", *product}
    assert {Path(name).name for name in about} == {
        "LICENSE",
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "top_level.txt",
    }
    # Its name says so to pip: for Python 2 as well, on any machine.
    assert built[1].name.endswith("-py2.py3-none-any.whl")
    assert tags.get_all("Tag") == ["py2-none-any", "py3-none-any"]


def test_the_source_distribution_holds_what_a_packager_needs(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    top = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md"}
    top |= {"pyproject.toml", "setup.cfg"}
    product = {f"{room}/{path}" for room in ROOMS for path in files_in(REPO / room)}
    texts = {f"{room}/{path}" for room in ("docs", "salt") for path in tree(REPO / room)}
    assert {name for name in names if ".egg-info/" not in name} == {
        *top,
        *product,
        *texts,
        "saltext_xend/__init__.py",
    }


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_package_tells_its_version_and_requires_nothing(built):
    with zipfile.ZipFile(built[1]) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_bytes(archive.read(name))
        (version,) = re.findall(
            '^__version__ = "(.*)"$', archive.read("saltext_xend/__init__.py").decode(), re.M
        )
    newest = re.search(r"^## \[?([^\s\]]+)", (REPO / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert told["Version"] == version == newest[1]
    assert told["Name"] == "saltext-xend" and told["Requires-Python"] == ">=2.6"
    # A host's own Salt must stay the one that it is.
    assert all("extra ==" in line for line in told.get_all("Requires-Dist"))


def test_the_text_that_an_index_shows_needs_no_tree(built):
    with zipfile.ZipFile(built[1]) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_bytes(archive.read(name))
    text = told.get_payload(decode=True).decode("utf-8")
    assert text.lstrip().startswith("# saltext-xend")
    assert told["Description-Content-Type"].startswith("text/markdown")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []
