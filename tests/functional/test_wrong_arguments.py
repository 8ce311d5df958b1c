"""Every public function and state with wrong values for each argument: a clear error, or a result."""

import inspect
import os
import time

import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

from tests.functional.conftest import CONFIG
from tests.harness.loading import REPO, Minion, minion_opts

UUID = "c56e09d2-81cc-d4f2-2ee8-abeb85916bc4"

# A host with one guest, as an xm answers that needs no Python to start.
XM = r"""#!/bin/sh
row='%-40s %5s %5s %5d %10s %8.1f\n'
zero='(domain (domid 0) (name Domain-0) (memory 1024) (vcpus 1) (state r-----))'
web='(domain (domid 1) (uuid UUID) (name web01) (memory 96) (vcpus 1) (state -b----)
 (image (linux (kernel /boot/vmlinuz)))
 (device (vbd (uname file:/srv/none.img) (dev xvda:disk) (mode w))))'
case "$1 $2 $3" in
    "list  ")
        printf '%-40s %5s %5s %5s %10s %9s\n' Name ID Mem VCPUs State 'Time(s)'
        printf "$row" Domain-0 0 1024 1 r----- 88.5
        printf "$row" web01 1 96 1 -b---- 1.0 ;;
    "list --long ") echo "$zero"; echo "$web" ;;
    "list --long 1" | "list --long web01") echo "$web" ;;
    "info "*) printf 'host : xen1\nxen_major : 4\nxen_minor : 4\nfree_memory : 512\n'
        printf 'xend_config_format : 4\n' ;;
    *) echo "Error: Domain '$3' does not exist." >&2; exit 1 ;;
esac
""".replace("UUID", UUID)

GUEST = {"name": "web01", "memory_mib": 96, "uuid": UUID, "disks": [{"uname": "file:/srv/none.img"}]}
VIEW = {"copy": "running", "host": "xen2", "state": "r-----", "domid": 7, "problem": None}
MARKED = {"disks": [], "there": [], "marks": [], "token": "none"}

# What each argument may be, so that only one is wrong at a time.
RIGHT = {
    "accept": None,
    "asked": {"time": 1.0, "apart_s": 1},
    "before": None,
    "default": None,
    "do": "rename",
    "domain": GUEST,
    "domid": 7,
    "entries": ["10.20.0.12"],
    "file": None,
    "guest": None,
    "guests": [{"name": "web01", "uuid": UUID, "target": "xen2"}],
    "here": VIEW,
    "host": "127.0.0.1",
    "key": "dom0-min-mem",
    "left": VIEW,
    "listed": "web02",
    "marked": MARKED,
    "name": "web02",
    "note": "i1",
    "port": 1,
    "ports": [8002],
    "problem": None,
    "reports": {"xen1": {"copies": []}},
    "seconds": 1,
    "shares": {"xen1": {"release": ["web01"]}},
    "source": None,
    "sources": ["10.20.0.12"],
    "storage": [],
    "target": "xen2",
    "test": True,
    "text": "text",
    "there": VIEW,
    "timeout": 0.2,
    "uuid": UUID,
    "value": "1",
    "version": "4.4",
    "view": VIEW,
    "wait": 0,
    "who": "me",
}
HERE = {
    ("same_disks", "source"): "xen2",
    ("copies", "domain"): "web01",
    ("room_for", "guests"): [{"name": "web01", "memory_mib": 96}],
    ("room_for", "asked"): {"xen1": {"time": 1.0, "apart_s": 1}},
    ("room_for", "storage"): None,
}

WRONG = {
    "none": None,
    "flag": True,
    "negative": -1,
    "nan": float("nan"),
    "huge": 10**400,
    "long": "x" * 100000,
    "controls": "a\0b\n\x1b[31m",
    "bytes": b"web01",
    "lists": [["x"], None, 5],
    "mapping": {"a": {"b": [1]}, "copies": 5, "name": ["x"], "copy": [1], "disks": [5], "token": []},
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    xm = folder / "xm"
    xm.write_text(XM)
    xm.chmod(0o755)
    (folder / "xend-config.sxp").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def minion(host):
    options = {
        "xm": str(host / "xm"),
        "config": str(host / "xend-config.sxp"),
        "kept": str(host / "kept"),
        "pidfile": str(host / "none.pid"),
        "log": str(host / "none.log"),
        "service": "none-of-this-name",
        "source": "127.0.0.1",
    }
    hosts = {"xen1": "127.0.0.2", "xen2": {"address": "127.0.0.3", "port": 1}}
    (host / "minion").mkdir()
    opts = minion_opts(host / "minion", xend=options, pillar={"xend": {"relocation": {"hosts": hosts}}})
    return Minion(dict(opts, test=True, grains={"kernel": "Linux", "os_family": "RedHat"}))


def arguments(function):
    function = inspect.unwrap(getattr(function, "func", function))
    return [name for name in inspect.signature(function).parameters if name != "kwargs"]


def public(module):
    """The functions of a module of this project, in however many files it is, by name."""
    is_one = '__virtualname__ = "%s"' % os.path.basename(module)
    texts = [path.read_text() for path in REPO.glob(module + "_*.py")]
    texts = [(REPO / (module + ".py")).read_text(), *(text for text in texts if is_one in text)]
    lines = "\n".join(texts).splitlines()
    names = [line[4:].partition("(")[0] for line in lines if line.startswith("def ") and line[4] != "_"]
    return [name.rstrip("_") for name in names]


MODULES = ["_modules/xm", "_modules/xend"]
STATES = ["_states/xm", "_states/xend"]


def calls(files):
    return [(os.path.basename(path), name) for path in files for name in public(path)]


def attempt(function, name, argument, value):
    """Call it with all arguments right but this one; return the result, or what was refused as text."""
    given = {}
    for one in arguments(function):
        if one == argument:
            given[one] = value
        elif (name, one) in HERE or one in RIGHT:
            given[one] = HERE.get((name, one), RIGHT.get(one))
    try:
        return function(**given)
    except (CommandExecutionError, SaltInvocationError) as exc:
        sentence = str(exc)
        assert sentence and len(sentence) < 4000, sentence[:200]
        return sentence


# To the addresses that these are nobody is to be asked.
NUMBERS = ("negative", "flag")


@pytest.mark.parametrize("module, name", calls(MODULES))
def test_functions(minion, host, module, name):
    function = getattr(getattr(minion.modules, module), name)
    began = time.monotonic()
    for argument in arguments(function):
        for what, value in WRONG.items():
            if (name, argument) in (("probe", "host"), ("accepts", "host")) and what in NUMBERS:
                continue
            try:
                attempt(function, name, argument, value)
            except Exception as exc:
                raise AssertionError(f"{module}.{name}({argument}={what}): {exc!r}") from exc
            (host / "xend-config.sxp").write_text(CONFIG)
    assert time.monotonic() - began < 120


@pytest.mark.parametrize("module, name", calls(STATES))
def test_states(minion, module, name):
    function = getattr(minion.states, f"{module}.{name}", None) or minion.states[f"{module}.{name}"]
    for argument in arguments(function):
        for what in ("flag", "lists", "mapping"):
            value = WRONG[what]
            try:
                found = attempt(function, name, argument, value)
            except Exception as exc:
                raise AssertionError(f"{module}.{name}({argument}={what}): {exc!r}") from exc
            assert isinstance(found, dict), f"{module}.{name}({argument}={what}): {found}"
            assert found["result"] in (True, False, None) and isinstance(found["comment"], str)
            assert found["comment"] or found["result"] is not False
