"""A minion under another Python than xend's: what only xend's own can do is done by that one (xend:python).

So it is on hosts whose own Python is too old for Salt (RHEL 5, SLES 10, Debian 5); docs/installation.md tells
how. The minion of a simulated host runs under such a second Python, too.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from salt.exceptions import CommandExecutionError

import xend_host
from tests.functional.test_xm_recovery import renamed_and_suspended
from tests.lab.fleet import HostSpec
from tests.lab.lowlevel import PACKAGES
from tests.literals import literal

FIND = "from xen.lowlevel import xc; print(xc.__name__)"
# Of another version than the hypervisor, as Debian has it when two are installed: nothing works with it.
OTHER_VERSION = """
class xc:
    def domain_getinfo(self, first_dom=0, max_doms=1024):
        raise IOError(13, "Permission denied")
"""
PROGRAMS = {"_modules/xm_migration.py": "RESUME", "_modules/xend_daemon.py": "RUNNING"}


@pytest.fixture(scope="module")
def fleet(open_fleet):
    """One host as Red Hat and SUSE make it, one as Debian does, where xend's packages are elsewhere."""
    fleet = open_fleet(HostSpec("rhel1"), HostSpec("deb1"))
    root = fleet["deb1"].root
    packages = root / "usr/lib/xen-4.4/lib/python"
    packages.parent.mkdir(parents=True)
    (root / PACKAGES).rename(packages)
    other = root / "usr/lib/xen-4.1/lib/python/xen/lowlevel"
    other.mkdir(parents=True)
    for folder in (other, other.parent):
        (folder / "__init__.py").touch()
    for name in ("xc", "xs"):
        (other / (name + ".py")).write_text(OTHER_VERSION)
    version = root / "sys/hypervisor/version"
    version.mkdir(parents=True)
    for name in ("major", "minor"):
        (version / name).write_text("4\n")
    return fleet


@pytest.fixture(params=["rhel1", "deb1"])
def host(fleet, request):
    host = fleet[request.param]
    yield host
    host.clear()
    host.start()


def test_the_minions_python_has_nothing_of_xend(fleet):
    def find(python):
        return subprocess.run([python, "-c", FIND], capture_output=True, text=True, cwd="/")

    own, xends = find(sys.executable), find(str(fleet["rhel1"].python))
    assert own.returncode != 0 and "No module named 'xen'" in own.stderr
    assert xends.stdout.strip() == "xen.lowlevel.xc", xends.stderr


def test_a_suspended_guest_goes_on(minion_on, host):
    guest = host.create_guest("web01")
    memory = host.guests()["web01"].memory_sha256
    renamed_and_suspended(host, guest)
    xm = minion_on(host.name, python=str(host.python)).modules.xm
    assert "goes on here" in xm.repair("resume", "migrating-web01", guest.uuid, guest.domid)
    (mended,) = host.guests().values()
    assert mended.alive and (mended.domid, mended.memory_sha256) == (guest.domid, memory)


def test_who_runs_is_seen_while_xend_is_down(minion_on, host):
    host.create_guest("web01", on_xend_start="start", managed=True)
    host.kill_xend()
    minion = minion_on(host.name, python=str(host.python))
    # It runs, so a start of xend does not start it once more, and nobody has to accept anything.
    assert minion.modules.xend.restart(test=True)["warnings"] == []
    minion.modules.xend.restart()
    assert [guest.alive for guest in host.guests().values()] == [True]


WRONG = {
    "/nowhere/python": "/nowhere/python",
    # The minion's own.
    sys.executable: "No module named",
}


@pytest.mark.parametrize("python, why", WRONG.items())
def test_a_wrong_one_is_named_and_leaves_the_guest_as_it_is(minion_on, host, python, why):
    guest = host.create_guest("web01")
    renamed_and_suspended(host, guest)
    xm = minion_on(host.name, python=python).modules.xm
    with pytest.raises(CommandExecutionError) as caught:
        xm.repair("resume", "migrating-web01", guest.uuid, guest.domid)
    text = str(caught.value)
    assert python in text and why in text and "xend:python" in text and "Traceback" not in text
    (left,) = host.guests().values()
    assert left.state == "suspended"


@pytest.mark.parametrize("python, why", WRONG.items())
def test_a_wrong_one_keeps_xend_from_being_started_into_a_second_guest(minion_on, host, python, why):
    host.create_guest("web01", on_xend_start="start", managed=True)
    host.kill_xend()
    with pytest.raises(CommandExecutionError) as caught:
        minion_on(host.name, python=python).modules.xend.restart()
    text = str(caught.value)
    assert python in text and why in text and "xend:python" in text and "Traceback" not in text
    assert not host.running and host.guests()["web01"].alive


@pytest.mark.parametrize("module, name", PROGRAMS.items())
def test_the_programs_for_xends_python_run_on_that_of_rhel_5(tmp_path, module, name):
    program = xend_host.in_xends_python("/usr/bin/python", "", literal(module, name))[2]
    (tmp_path / "program.py").write_text(program)
    vermin = [Path(sys.executable).parent / "vermin", "--violations", "--no-tips", "-t=2.4-"]
    done = subprocess.run([*vermin, tmp_path / "program.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    # These it does not know.
    newer = [node for node in ast.walk(ast.parse(program)) if isinstance(node, (ast.IfExp, ast.With))]
    assert newer == []
