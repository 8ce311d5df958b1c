"""What people ask the runner on the master: where a guest is, and who lets whom in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.site import Real
from tests.lab import lies

PAIRS = (("xen1", "xen2"), ("xen2", "xen1"))


@pytest.fixture
def runner(conductor):
    """The functions of the runner, over the jobs of a conductor."""
    return conductor._runners()


def test_where_a_guest_is(conductor, runner):
    conductor.fleet["xen1"].create_guest("web01")
    found = runner["xend.where"]("web01")
    assert list(found) == ["xen1"] and found["xen1"]["copy"] == "running"
    conductor.minion_down("xen2")
    found = runner["xend.where"]("web01")
    assert (
        found["xen2"]["copy"] == "unknown"
        and "service salt-minion start" in found["xen2"]["remedy"]
    )


def test_who_lets_whom_in(conductor, runner):
    before = [len(conductor.questions(name)) for name in ("xen1", "xen2")]
    found = runner["xend.matrix"]()
    assert [found[name]["into"][other]["result"] for name, other in PAIRS] == ["accepted"] * 2
    assert sorted(found) == ["xen1", "xen2"] and list(found["xen1"]["into"]) == ["xen2"]
    for said in found.values():
        assert said["version"].startswith("4.4") and said["pending"] == [] and "problem" not in said
    assert json.loads(json.dumps(found)) == found
    # One question to each.
    assert [len(conductor.questions(name)) for name in ("xen1", "xen2")] == [
        count + 1 for count in before
    ]


def test_what_is_not_well_is_said(conductor, runner):
    xen2 = conductor.fleet["xen2"]
    text = xen2.config.read_text()
    xen2.config.write_text("(xend-relocation-server no)\n")
    xen2.restart()
    xen2.config.write_text(text + "\n")
    found = runner["xend.matrix"](hosts="xen1,xen2,xen9")
    assert found["xen1"]["into"]["xen2"]["result"] == "refused"
    assert "nothing listens" in found["xen1"]["into"]["xen2"]["message"]
    assert any("changed after xend started" in why for why in found["xen2"]["pending"])
    assert "not declare" in found["xen9"]["problem"] and "xen9" not in found["xen1"]["into"]


def test_a_host_that_cannot_say_is_named(conductor, runner):
    conductor.minion_down("xen2")
    found = runner["xend.matrix"](["xen1", "xen2"])
    assert "service salt-minion start" in found["xen2"]["remedy"] and found["xen2"]["into"] == {}
    # Its xend goes on without the minion.
    assert found["xen1"]["into"]["xen2"]["result"] == "accepted"
    conductor.minion_up("xen2")
    lies.tell_all(conductor.fleet["xen2"], {"xend.outlook": {"answer": {"answers": "all is well"}}})
    found = runner["xend.matrix"]()
    assert (
        "not of the agreed form" in found["xen2"]["problem"]
        and "xm list" in found["xen2"]["remedy"]
    )
    lies.tell_all(
        conductor.fleet["xen2"], {"xend.outlook": {"answer": "'xend.outlook' is not available."}}
    )
    assert "saltutil.sync_all" in runner["xend.matrix"]()["xen2"]["remedy"]


def test_the_table_for_people(conductor, runner):
    conductor.minion_down("xen2")
    conductor.master_opts["fun"] = "xend.matrix"
    try:
        said = conductor._runners()["xend.matrix"]()
    finally:
        del conductor.master_opts["fun"]
    lines = said["data"].splitlines()
    assert said["outputter"] == "txt" and max(map(len, lines[:3])) < 80
    assert lines[0].split() == ["from", "Xen", "1", "2"]
    assert lines[1].split()[:2] == ["1", "xen1"] and lines[1].split()[3:] == ["-", "yes"]
    assert lines[2].split() == ["2", "xen2", "?", "?", "-"]
    assert any("xen2: its minion does not answer" in line for line in lines)


@pytest.mark.daemons
def test_the_matrix_at_the_master(configured):
    if not isinstance(configured, Real):
        pytest.skip("the conductor has no command line")
    data = (
        configured.master.salt_run_cli(timeout=300)
        .run("xend.matrix", "hosts=xen1,xen2", "--out=json")
        .data
    )
    assert (
        data["xen1"]["into"]["xen2"]["result"]
        == data["xen2"]["into"]["xen1"]["result"]
        == "accepted"
    )
    program = Path(sys.executable).with_name("salt-run")
    command = [program, "-c", configured.master.config_dir, "xend.matrix", "hosts=xen1,xen2"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["from", "Xen", "1", "2"] in lines
    assert [line[-1] for line in lines if line[:2] == ["1", "xen1"]] == ["yes"]
