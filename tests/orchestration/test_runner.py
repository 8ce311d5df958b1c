"""What people ask the runner on the master: where a guest is, who lets whom in, and what moves."""

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import salt.utils.event

from tests.harness.site import Real
from tests.lab import lies
from tests.lab.layout import wait_until

PAIRS = (("xen1", "xen2"), ("xen2", "xen1"))
# Against hanging only.
LIMIT_S = 300


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


def test_a_minion_that_has_never_connected_is_told_apart_from_one_that_is_down(conductor, runner):
    conductor.minion_down("xen2")
    assert "minimum_auth_version" not in runner["xend.where"]("web01")["xen2"]["remedy"]
    pillar = copy.deepcopy(conductor.pillar)
    pillar["xend"]["relocation"]["hosts"]["xen9"] = "10.20.0.19"
    conductor.set_pillar(pillar)
    remedy = runner["xend.where"]("web01")["xen9"]["remedy"]
    assert "its key waits to be accepted (`salt-key -L`)" in remedy and "minimum_auth_version" in remedy


def test_a_name_that_nobody_has_gets_those_that_are_like_it(conductor, runner):
    conductor.fleet["xen1"].create_guest("web01")
    conductor.fleet["xen2"].create_guest("web11")
    before = [len(conductor.questions(name)) for name in ("xen1", "xen2")]
    found = runner["xend.where"]("web1")
    assert found == {
        "problem": "no host has a guest of the name web1 (xen1, xen2); did you mean web11 (on xen2) or "
        "web01 (on xen1)?"
    }
    assert [len(conductor.questions(name)) for name in ("xen1", "xen2")] == [
        count + 1 for count in before
    ]
    assert list(runner["xend.where"]("mail")) == ["problem"]
    conductor.minion_down("xen2")
    # It may have one.
    (said,) = runner["xend.where"]("web1").values()
    assert said["copy"] == "unknown" and said["near"] == ["web01"]
    assert "near" not in runner["xend.where"]("web01")["xen2"]


def test_who_lets_whom_in(conductor, runner):
    before = [len(conductor.questions(name)) for name in ("xen1", "xen2")]
    found = runner["xend.matrix"]()
    assert [found[name]["into"][other]["result"] for name, other in PAIRS] == ["accepted"] * 2
    assert sorted(found) == ["xen1", "xen2"] and list(found["xen1"]["into"]) == ["xen2"]
    for said in found.values():
        assert said["version"].startswith("4.4") and said["pending"] == [] and "problem" not in said
        assert said["free_mib"] > 0 and said["guests"] == 0 and said["closed"] == ""
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
    assert "not declare it; did you mean xen" in found["xen9"]["problem"]
    assert "xen9" not in found["xen1"]["into"]


def test_a_host_that_is_being_emptied_says_so(conductor, runner):
    for name in ("web01", "web02"):
        conductor.fleet["xen1"].create_guest(name)
    conductor.fleet["xen1"].define_guest("sleeping")
    conductor.call("xen1", "xm.close_host", [], "maintenance, Jo")
    found = runner["xend.matrix"]()
    assert "being emptied" in found["xen1"]["closed"] and "Jo" in found["xen1"]["closed"]
    assert (found["xen1"]["guests"], found["xen2"]["closed"]) == (2, "")
    # What is still known where xend is down.
    conductor.fleet["xen1"].stop()
    try:
        said = runner["xend.matrix"]()["xen1"]
    finally:
        conductor.fleet["xen1"].start()
    assert said["into"]["xen2"]["result"] == "accepted" and "being emptied" in said["closed"]
    assert said["guests"] is None and said["problem"].count("Unable to connect to xend") == 1


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
    said = runner["xend.matrix"]()["xen2"]
    assert said["problem"] == "'xend.outlook' is not available"
    assert "saltutil.sync_all" in said["remedy"]


def test_a_host_whose_modules_break_down_is_told_without_a_traceback(conductor, runner, migrate, guest):
    """New modules beside old utilities do so."""
    text = (
        "The minion function caused an exception: Traceback (most recent call last):\n"
        '  File "/usr/lib/salt/minion.py", line 9, in _run\n    return run()\n'
        '  File "/var/cache/salt/minion/extmods/modules/xm.py", line 54, in __getattr__\n    found = load()\n'
        "ModuleNotFoundError: No module named 'saltext_xend'\n"
    )
    why = "The minion function caused an exception: ModuleNotFoundError: No module named 'saltext_xend', "
    why += "/var/cache/salt/minion/extmods/modules/xm.py, line 54"
    wrong = {"answer": text}
    lies.tell_all(conductor.fleet["xen2"], {"xend.outlook": wrong, "xm.report": wrong})
    said = runner["xend.matrix"]()["xen2"]
    assert said["problem"] == why and "`salt xen2 saltutil.sync_all`" in said["remedy"]
    report = migrate("web01").report()
    assert "No answer from xen2 (%s)" % why in report and "`salt xen2 saltutil.sync_all`" in report


def test_a_pillar_that_is_assigned_to_nobody_is_told_without_blaming_the_options(
    conductor, runner, migrate
):
    conductor.set_pillar({})
    said = runner["xend.matrix"]()["problem"]
    assert said.startswith("xend:relocation:hosts is missing in the pillar of ") and "top.sls" in said
    report = migrate("web01").report()
    assert "Nothing was moved: xend:relocation:hosts is missing in the pillar of xen1 and xen2" in report
    assert "xend:migrate" not in report and "Needed are" not in report


def test_a_pillar_without_hosts_is_told_by_what_is_mistyped_in_it(conductor, runner, migrate):
    conductor.set_pillar({"xend": {"relocaton": conductor.pillar["xend"]["relocation"]}})
    wrong = "xend:relocaton is no setting; did you mean relocation?"
    assert runner["xend.matrix"]()["problem"].startswith(wrong)
    report = migrate("web01").report()
    assert "Nothing was moved: " + wrong in report and "top.sls" not in report


def test_a_pillar_that_does_not_render_is_told_once_with_where_to_look(conductor, runner):
    conductor.set_pillar({"_errors": ["Rendering SLS 'xend' failed. Please see master log for details."]})
    said = runner["xend.matrix"]()["problem"]
    assert said.startswith("the pillar of xen1 does not render (Rendering SLS 'xend' failed. ")
    assert "`salt-run pillar.show_pillar xen1`" in said and said.count("does not render") == 1


def test_a_host_that_is_mistyped_in_the_pillar_is_told_apart_from_one_that_is_down(conductor, runner):
    pillar = copy.deepcopy(conductor.pillar)
    hosts = pillar["xend"]["relocation"]["hosts"]
    hosts["xne2"] = hosts.pop("xen2")
    conductor.set_pillar(pillar)
    remedy = runner["xend.matrix"]()["xne2"]["remedy"]
    assert "xen2 is not in the pillar: is that meant by xne2 there?" in remedy and "salt-key" in remedy


def test_the_table_names_what_is_wrong_in_the_pillar(conductor):
    """Hosts that have not heard of it yet go on as they were, and all doors look well."""
    pillar = copy.deepcopy(conductor.pillar)
    pillar["xend"]["relocation"]["hosts"]["xen2"] = "xen2.example.com"
    conductor.set_pillar(pillar)
    conductor.master_opts["fun"] = "xend.matrix"
    try:
        said = conductor._runners()["xend.matrix"]()
    finally:
        del conductor.master_opts["fun"]
    wrong = 'In the pillar, xend:relocation:hosts:xen2, "xen2.example.com", is no IPv4 address'
    assert said["data"].splitlines()[-1].startswith(wrong)
    data = conductor._runners()["xend.matrix"]()
    for name in ("xen1", "xen2"):
        assert data[name]["wrong"] == [said["data"].splitlines()[-1]]


@pytest.fixture
def misnamed(conductor):
    """xen2 is named in the pillar by what is no minion id, so that it is not asked."""
    pillar = copy.deepcopy(conductor.pillar)
    hosts = pillar["xend"]["relocation"]["hosts"]
    hosts[None] = hosts.pop("xen2")
    before, conductor.pillar = conductor.pillar, pillar
    yield 'In the pillar, xend:relocation:hosts: null is no minion id'
    conductor.pillar = before


def test_a_host_that_the_pillar_does_not_name_rightly_may_have_the_guest(conductor, runner, misnamed):
    conductor.fleet["xen2"].create_guest("web01")
    assert misnamed in runner["xend.where"]("web01")["problem"]
    conductor.fleet["xen1"].create_guest("web02")
    found = runner["xend.where"]("web02")
    assert list(found) == ["xen1"] and found["xen1"]["wrong"][0].startswith(misnamed)
    assert runner["xend.plan"]("xen1")["wrong"][0].startswith(misnamed)


def test_what_is_told_beside_migrations_is_told_programs_as_well(
    conductor, runner, misnamed, bus, capsys
):
    conductor.call("xen1", "xend.reserve", "web03", who="a test")
    conductor.minion_down("xen1")
    told = runner["xend.watch"](quiet=1)
    assert [(one["domain"], one["source"], one["end"]) for one in told] == [
        (None, None, "wrong"),
        (None, "xen1", "silent"),
    ]
    assert told[0]["says"].startswith(misnamed) and "xen1 does not answer" in told[1]["says"]
    conductor.minion_up("xen1")
    told = runner["xend.watch"](timeout=1)[1:]
    assert [(one["domain"], one["target"], one["end"]) for one in told] == [("web03", "xen1", None)]
    conductor.call("xen1", "xend.release", "web03")
    assert capsys.readouterr().out == ""
    conductor.master_opts["fun"] = "xend.watch"
    try:
        conductor._runners()["xend.watch"](quiet=1)
    finally:
        del conductor.master_opts["fun"]
    assert misnamed in capsys.readouterr().out


def test_the_table_for_people(conductor, runner):
    conductor.minion_down("xen2")
    conductor.master_opts["fun"] = "xend.matrix"
    try:
        said = conductor._runners()["xend.matrix"]()
    finally:
        del conductor.master_opts["fun"]
    lines = said["data"].splitlines()
    assert said["outputter"] == "txt" and max(map(len, lines[:3])) < 80
    assert lines[0].split() == ["from", "Xen", "free", "MiB", "guests", "1", "2"]
    assert lines[1].split()[:2] == ["1", "xen1"] and lines[1].split()[4:] == ["0", "-", "yes"]
    assert lines[2].split() == ["2", "xen2", "?", "?", "?", "?", "-", "silent"]
    assert any("xen2: its minion does not answer" in line for line in lines)


class Bus:
    """In the place of Salt's: what the minions of a conductor note, from the beginning."""

    def __init__(self, path):
        self.path, self.position = Path(path), 0

    def __call__(self, *_node, **_options):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        return None

    def get_event(self, wait, tag, match_type, full):
        assert full and match_type == "startswith"
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            for line in lines[self.position :]:
                self.position += 1
                event = json.loads(line)
                if event["tag"].startswith(tag):
                    return {"tag": event["tag"], "data": event}
            time.sleep(0.05)
        return None


@pytest.fixture
def bus(conductor, monkeypatch):
    (conductor.folder / "events").unlink(missing_ok=True)
    found = Bus(conductor.folder / "events")
    monkeypatch.setattr(salt.utils.event, "get_event", found)
    return found


@contextlib.contextmanager
def when_asked(conductor, act):
    """Something is done as soon as the watch that the block begins has the answers of all hosts."""
    publish = type(conductor)._publish
    pending = [act]

    def published(tgt, fun, *rest):
        returned = publish(conductor, tgt, fun, *rest)
        if fun == "xm.migrations" and pending:
            pending.pop()()
        return returned

    conductor._publish = published
    try:
        yield
    finally:
        del conductor._publish


def test_a_migration_is_watched_to_its_end(conductor, migrate, request, capsys):
    xen1 = conductor.fleet["xen1"]
    guest = xen1.create_guest("web01")
    xen1.link(speed_mib_s=40, hold_at=0.0)
    running = migrate("web01", start=True)
    xen1.wait_held(LIMIT_S)
    request.getfixturevalue("bus")
    conductor.master_opts["fun"] = "xend.watch"
    try:
        with when_asked(conductor, xen1.release):
            said = conductor._runners()["xend.watch"](quiet=5)
    finally:
        del conductor.master_opts["fun"]
    run = conductor.finish(running)
    assert run.exit_code == 0, run.report()
    assert said["outputter"] == "txt" and "1 of 1 guests run where they were sent" in said["data"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "web01 xen1 -> xen2: runs on xen2, as that has said"
    assert all(line.startswith("web01 xen1 -> xen2: ") for line in lines)
    assert any(" sending, " in line and " %" in line for line in lines), lines
    assert not any("\x1b" in line for line in lines) and len(set(lines)) == len(lines)
    # Told again, to a program.
    (conductor.folder / "events").rename(conductor.folder / "events.old")
    request.getfixturevalue("bus").position = 0
    (conductor.folder / "events.old").rename(conductor.folder / "events")
    (found,) = conductor._runners()["xend.watch"](quiet=1, domain="web01")
    assert (found["uuid"], found["end"], found["phase"]) == (guest.uuid, "running", "running")
    assert capsys.readouterr().out == "" and json.loads(json.dumps(found)) == found


def test_an_evacuation_is_watched_to_its_end_over_its_pauses(conductor, request):
    names = ["web01", "web02", "web03"]
    for name in names:
        conductor.fleet["xen1"].create_guest(name)
    running = conductor.start("xend.orch.evacuate", {"xend": {"evacuate": {"source": "xen1"}}})
    request.getfixturevalue("bus")
    lock = Path(conductor.master_opts["cachedir"]) / "xend-moves-xen1.lock"
    assert wait_until(lambda: lock.exists() and lock.read_text(), LIMIT_S)
    # Far less than the pauses.
    found = conductor._runners()["xend.watch"](quiet=1)
    run = conductor.finish(running)
    assert run.exit_code == 0, run.report()
    assert sorted((one["domain"], one["target"], one["end"]) for one in found) == [
        (name, "xen2", "running") for name in names
    ]


def test_what_tells_nothing_is_seen_at_both_hosts(conductor, runner, bus):
    """xm was run by hand."""
    xen1, xen2 = conductor.fleet["xen1"], conductor.fleet["xen2"]
    guest = xen1.create_guest("web01")
    xen1.link(hold_at=0.5)
    process = xen1.xm_start("migrate", "--live", "web01", xen2.address)
    xen1.wait_held()
    before = [len(conductor.questions(name)) for name in ("xen1", "xen2")]
    (found,) = runner["xend.watch"](timeout=2)
    assert (found["domain"], found["uuid"], found["end"]) == ("web01", guest.uuid, None)
    assert (found["source"], found["target"], found["phase"]) == ("xen1", "xen2", "sending")
    # One question to each.
    assert [len(conductor.questions(name)) for name in ("xen1", "xen2")] == [
        count + 1 for count in before
    ]
    with when_asked(conductor, xen1.release):
        (found,) = runner["xend.watch"](quiet=3)
    process.communicate(timeout=300)
    assert (found["end"], found["says"]) == ("running", "runs on xen2, as that has said")


def test_ctrl_c_ends_the_watching_and_nothing_else(conductor, runner, bus):
    xen1 = conductor.fleet["xen1"]
    xen1.create_guest("web01")
    xen1.link(hold_at=0.5)
    process = xen1.xm_start("migrate", "--live", "web01", conductor.fleet["xen2"].address)
    xen1.wait_held()
    before = signal.getsignal(signal.SIGINT)
    ctrl_c = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    with when_asked(conductor, ctrl_c.start):
        (found,) = runner["xend.watch"]()
    assert found["end"] is None and signal.getsignal(signal.SIGINT) is before
    xen1.release()
    process.communicate(timeout=300)
    assert conductor.fleet["xen2"].wait_alive("web01")


def test_ctrl_c_that_comes_before_anything_is_heard_ends_it_as_well(conductor, runner, bus, monkeypatch):
    before, set_handler, due = signal.getsignal(signal.SIGINT), signal.signal, [signal.SIGINT]

    def set_and_press(number, handler):
        former = set_handler(number, handler)
        if due:
            signal.raise_signal(due.pop())
        return former

    monkeypatch.setattr(signal, "signal", set_and_press)
    assert runner["xend.watch"]() == [] and due == []
    assert signal.getsignal(signal.SIGINT) is before


def test_a_watch_of_nothing_and_of_nonsense(conductor, runner, bus):
    assert runner["xend.watch"](quiet=1) == []
    assert "timeout" in runner["xend.watch"](timeout="soon")["problem"]
    conductor.master_opts["fun"] = "xend.watch"
    try:
        assert conductor._runners()["xend.watch"](quiet=1)["data"] == "nothing moves"
    finally:
        del conductor.master_opts["fun"]


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
    assert ["from", "Xen", "free", "MiB", "guests", "1", "2"] in lines
    assert [line[-1] for line in lines if line[:2] == ["1", "xen1"]] == ["yes"]
