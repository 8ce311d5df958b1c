"""
The package under old Salts: the wheel and the source distribution install by the last pip for Python 2.7, and
Salt finds there what a minion needs.
"""

import json
import os
import subprocess

import pytest

from tests.lab import salt_config
from tests.lab.fleet import HostSpec
from tests.tools import dist
from tests.tools.old_salts import BOOT, PYTHON

STEP_TIMEOUT_S = 600
OFFLINE = ("--no-deps", "--no-index", "--no-cache-dir", "--no-build-isolation")
PIP = ("-m", "pip", "install", "-q", *OFFLINE)
# Salt's own interface for programs on a minion; salt-call makes its functions in the same way.
CALLER = """
import json, logging, sys
logging.basicConfig(level=logging.WARNING, format="[%(levelname)-8s] %(message)s")
import salt.client
caller = salt.client.Caller(sys.argv[1])
print(json.dumps([caller.cmd(*words, **keywords) for words, keywords in json.load(sys.stdin)]))
"""
# The others of Salt's own take seconds.
NEEDED = ("cmdmod", "config", "saltutil", "state", "sysmod")


def python27(arguments, folder, paths, text=""):
    """What Python 2.7 prints in a folder, where nothing of the tree can be imported, with these paths."""
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "LC_ALL": "C"},
        input=text,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folders into which pip has installed the source distribution and the wheel."""
    root = tmp_path_factory.mktemp("package")
    folders = []
    for path in dist.build(root):
        folders.append(root / path.suffix.lstrip("."))
        python27([*PIP, "--target", folders[-1], path], root, [BOOT])
    return folders


@pytest.fixture(scope="module")
def host(new_fleet):
    """A simulated host with a guest."""
    fleet = new_fleet(HostSpec("xen1", "3.4"))
    fleet.start()
    fleet["xen1"].create_guest("web01", memory_mib=96)
    return fleet["xen1"]


@pytest.fixture(scope="module")
def asked(old_salt, installed, host, tmp_path_factory):
    """What a minion with the wheel says of its host, of its functions and of a state, and what it logs."""
    root = tmp_path_factory.mktemp("minion")
    own = {path.stem for path in (old_salt.folder / "salt" / "modules").glob("[!_]*.py")}
    options = {
        "id": "packaged",
        "root_dir": str(root),
        "file_client": "local",
        "file_roots": {"base": []},
        "pillar_roots": {"base": []},
        "enable_gpu_grains": False,
        "enable_fqdns_grains": False,
        "disable_modules": sorted(own.difference(NEEDED)),
        **salt_config.minion(host),
    }
    (root / "minion").write_text(json.dumps(options), encoding="utf-8")
    calls = [
        [["xend.get", "xend-relocation-port"], {}],
        [["xm.list"], {}],
        [["sys.list_functions"], {}],
        [["state.single", "xend.relocation", "relocation"], {"port": 8003, "test": True}],
    ]
    paths = [old_salt.folder, installed[1]]
    printed, logged = python27(["-c", CALLER, root / "minion"], root, paths, json.dumps(calls))
    return json.loads(printed), logged


def test_both_install_the_same_files(old_salt, installed):
    first, second = (
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in (folder / "saltext_xend").rglob("*.*")
            if path.suffix != ".pyc" and path.is_file()
        }
        for folder in installed
    )
    assert "saltext_xend/_modules/xend.py" in first and first == second


def test_modules_find_their_utilities_and_see_the_host(asked):
    (port, guests, _functions, _state), logged = asked
    assert port == "8002"
    assert "web01" in guests
    assert "[ERROR" not in logged


def test_every_module_is_loaded(asked):
    # One of each file.
    assert {
        "xen_guest.announce",
        "xend.get",
        "xend.status",
        "xend.probe",
        "xm.list",
        "xm.can_send",
        "xm.close_host",
        "xm.migrate",
    } <= set(asked[0][2])


def test_the_state_tells_what_it_would_change(asked):
    (result,) = asked[0][3].values()
    assert result["result"] is None and "8003" in json.dumps(result["changes"]), result
