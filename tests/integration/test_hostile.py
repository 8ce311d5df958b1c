"""A minion that is out for what is not its own: it records all that its master publishes, and any may lie."""

import base64
import contextlib
import json

import pytest

from tests.harness.fixtures import sync_all
from tests.harness.leftovers import Left
from tests.harness.liars import copies, faulty, forged
from tests.lab import lies, salt_config
from tests.lab.fleet import Fleet, HostSpec


@pytest.fixture(scope="module")
def xen3(root, master, real_site, start_minion):
    """A host on which nobody's guest is, its minion one that records; without a word of it in the pillar."""
    with Fleet.create(root / "third", [HostSpec("xen3")]) as fleet, contextlib.ExitStack() as stack:
        fleet.start()
        (host,) = fleet
        start_minion(stack, host, **salt_config.recorder(salt_config.minion(host), root / "records"))
        sync_all(master, host.name)
        yield host


@pytest.fixture
def records(root, xen3):
    """A function that returns what xen3 has recorded since this test began, as text."""
    path = root / "records"
    before = path.stat().st_size

    def since():
        with path.open() as stream:
            stream.seek(before)
            return stream.read()

    return since


def traces(marks, text):
    """Those of these secrets that stand in a text, be it as they are, in Base64 or in hexadecimal digits."""
    found = []
    for mark in marks:
        # In Base64 a text looks otherwise at each of three places; its ends depend on what is beside it.
        forms = [base64.b64encode(b" " * shift + mark.encode()).decode() for shift in range(3)]
        inner = [form[4:-4] for form in forms]
        if any(form in text for form in [mark, mark.encode().hex(), *inner]):
            found.append(mark)
    return found


def test_a_trace_of_a_secret_is_seen():
    mark = "MARK-of-a-secret-0123"
    for text in (mark, "x" + mark, mark.encode().hex()):
        assert traces([mark], text) == [mark]
    for before in ("", "a", "ab"):
        text = base64.b64encode((before + mark + " and more").encode()).decode()
        assert traces([mark], text) == [mark], text
    assert traces([mark], "MARK-of-another") == []


def cached(root):
    """All that the master keeps of jobs, of what minions are and of its own, {file: text}."""
    folders = [path for path in (root / "salt").rglob("cache") if path.is_dir()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes().decode("latin-1") for path in files}


def logged(root):
    return {path: path.read_text(errors="replace") for path in (root / "salt").rglob("*.log")}


@contextlib.contextmanager
def passwords(hosts, marks):
    """A VNC password of its own in the configuration of each host's xend."""
    before = [host.config.read_text() for host in hosts]
    try:
        for host, text, mark in zip(hosts, before, marks, strict=True):
            host.config.write_text(text + '(vncpasswd "%s")\n' % mark)
            assert host.restart().returncode == 0
        yield
    finally:
        for host, text in zip(hosts, before, strict=True):
            host.config.write_text(text)
            host.restart()


def test_no_secret_of_a_guest_is_told_to_others(configured, xen3, records, root):
    """Two guests whose files follow change places: passwords stay where they are, the files arrive."""
    site, hosts = configured, list(configured.fleet)
    marks = {where: "MARK-%s-5d1f3a7c" % where for where in ("image", "vfb", "file", "xend1", "xend2")}
    data = 'name = "%s"\nmemory = 96\nkernel = "/boot/vmlinuz"\nvfb = ["type=vnc,vncpasswd=%s"]\n'
    texts = {name: data % (name, marks["file"]) for name in ("web01", "web02")}
    site.follow()
    said = []

    def move(name, source, target):
        run = site.migrate(name, source=source.name, target=target.name)
        assert run.exit_code == 0, run.report()
        said.extend([run.stdout, run.stderr, run.report()])
        assert list(site.where(name)) == [target.name]
        assert target.path("/etc/xen/" + name).read_text() == texts[name]
        assert target.path("/etc/xen/auto/" + name).is_symlink()
        assert not source.path("/etc/xen/" + name).exists()

    xen1, xen2 = hosts
    with passwords(hosts, [marks["xend1"], marks["xend2"]]):
        xen1.create_guest("web01", image="hvm", vncpasswd=marks["image"], vnclisten="127.0.0.1")
        xen2.create_guest("web02", vfb={"vncpasswd": marks["vfb"]})
        for host, name in ((xen1, "web01"), (xen2, "web02")):
            host.wait_alive(name)
            host.path("/etc/xen/" + name).write_text(texts[name])
            host.path("/etc/xen/" + name).chmod(0o600)
            host.path("/etc/xen/auto/" + name).symlink_to("../" + name)
        move("web01", xen1, xen2)
        move("web02", xen2, xen1)
    heard = records()
    # It hears what is not meant for it: else there is nothing to be seen.
    jobs = [json.loads(line) for line in heard.splitlines()]
    moves = [job for job in jobs if job["tgt"] in (["xen1"], ["xen2"]) and job["fun"] == "state.sls"]
    assert len(moves) > 5 and "xend.orch.send" in heard and '\\"seal\\"' in heard
    assert traces(marks.values(), heard) == []
    assert traces(marks.values(), "\n".join(said)) == []
    logs, files = logged(root), cached(root)
    for name in ("xen1", "xen2"):
        asked = [text for path, text in logs.items() if name in path.parts]
        assert [text for text in asked if "xend.orch.send" in text or "xend.orch.arrive" in text]
    assert [path for path in files if "jobs" in path.parts]
    found = {str(path): traces(marks.values(), text) for path, text in {**files, **logs}.items()}
    assert not {path: seen for path, seen in found.items() if seen}


# Hosts that lie; what else they may say is in tests/orchestration/test_liars.py.


@pytest.fixture
def left(configured):
    return Left(configured.xen1, configured.xen2)


def assert_readable(run):
    """salt-run shows no error of its own, and says what it says in words for people."""
    assert run.exit_code != 0
    assert faulty(run.stderr) == [] and "Traceback" not in run.stdout
    assert [bad for name in run.steps for bad in faulty(name)] == []


def assert_nobody_is_harmed(site, left, run):
    for host, name in ((site.xen1, "migrating-whole"), (site.xen2, "fresh")):
        assert name in host.guests(), run.report()
    assert site.xen2.guests()["arrived"].alive and site.xen2.guests()["well"].alive
    assert not site.xen1.guests()["migrating-whole"].alive
    assert "gone is LOST" in run.report() or "gone: unknown" in run.report(), run.report()
    assert [path for path in salt_config.notes(site.xen1) if path.name.startswith("gone.")]


def test_a_minion_that_is_not_declared_is_not_asked(configured, xen3, left, records):
    """It has the grain, answers anything, and hears all of it."""
    said = {**copies(*left.claims("running", "r-----")), **forged(left)}
    lies.tell_all(xen3, said)
    try:
        run = configured.recover()
    finally:
        lies.be_honest(xen3)
    assert_readable(run)
    assert_nobody_is_harmed(configured, left, run)
    jobs = [json.loads(line) for line in records().splitlines()]
    assert jobs and not [job for job in jobs if "xen3" in job["tgt"] or job["tgt"] == "*"]


def test_what_a_third_host_says(configured, xen3, left):
    pillar = salt_config.pillar(configured.fleet)
    pillar["xend"]["relocation"]["hosts"]["xen3"] = xen3.address
    configured.set_pillar(pillar)
    lies.tell_all(xen3, {"xm.copies": {"answer": "{{ 1 / 0 }}\x1b[2J: [", "sleep": 2}})
    try:
        run = configured.recover()
    finally:
        lies.be_honest(xen3)
    assert_readable(run)
    assert_nobody_is_harmed(configured, left, run)
    assert "xen3" in run.comment("some hosts do not answer"), run.report()
