"""A minion that is out for what is not its own: it records all that its master publishes, and any may lie."""

import base64
import contextlib
import json

import pytest

from tests.faults.liars import difference, faulty, tree
from tests.faults.test_liars import ABOUT_GUESTS, Left, forged
from tests.integration.conftest import START_S
from tests.lab import lies, salt_config
from tests.lab.fleet import Fleet, HostSpec

# Of two guests each.
THERE_AND_BACK = 5


@pytest.fixture(scope="module")
def xen3(root, master, minions):
    """A host on which nobody's guest is, its minion one that records; without a word of it in the pillar."""
    fleet = Fleet.create(root / "third", [HostSpec("xen3")])
    try:
        fleet.start()
        (host,) = fleet
        options = salt_config.recorder(salt_config.minion(host), root / "records")
        daemon = master.salt_minion_daemon(
            host.name,
            start_timeout=START_S,
            overrides={
                "interface": "127.0.0.1",
                "grains": salt_config.GRAINS,
                **options,
                **salt_config.liar(),
            },
        )
        with daemon.started():
            done = master.salt_cli(timeout=120).run("saltutil.sync_all", minion_tgt=host.name)
            assert done.returncode == 0, done.stdout
            yield host
    finally:
        fleet.destroy()


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
def quick(fleet):
    """Whatever takes its time on these hosts takes a fifth of it, once their xend was started again."""
    paths = [host.root / "host.json" for host in fleet]
    before = [path.read_text() for path in paths]
    for path, text in zip(paths, before, strict=True):
        path.write_text(json.dumps(dict(json.loads(text), time_scale=0.02)))
    try:
        yield
    finally:
        for path, text in zip(paths, before, strict=True):
            path.write_text(text)


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


def following(site):
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["follow"] = True
    site.set_pillar(pillar)
    for host in site.fleet:
        host.path("/etc/xen/auto").mkdir(exist_ok=True)


def remove_files(site, *names):
    for host in site.fleet:
        for name in names:
            host.path("/etc/xen/" + name).unlink(missing_ok=True)
            host.path("/etc/xen/auto/" + name).unlink(missing_ok=True)


def test_no_secret_of_a_guest_is_told_to_others(configured, xen3, records, root):
    """Ten migrations of guests whose file follows: passwords stay where they are, the file arrives."""
    site, hosts = configured, list(configured.fleet)
    marks = {where: "MARK-%s-5d1f3a7c" % where for where in ("image", "vfb", "file", "xend1", "xend2")}
    data = 'name = "%s"\nmemory = 96\nkernel = "/boot/vmlinuz"\nvfb = ["type=vnc,vncpasswd=%s"]\n'
    texts = {name: data % (name, marks["file"]) for name in ("web01", "web02")}
    following(site)
    said = []

    def move(name, source, target):
        run = site.migrate(name, source=source.name, target=target.name)
        assert run.exit_code == 0, run.report()
        said.extend([run.stdout, run.stderr, run.report()])
        assert list(site.where(name)) == [target.name]
        assert target.path("/etc/xen/" + name).read_text() == texts[name]
        assert target.path("/etc/xen/auto/" + name).is_symlink()
        assert not source.path("/etc/xen/" + name).exists()

    with quick(site.fleet), passwords(hosts, [marks["xend1"], marks["xend2"]]):
        try:
            hosts[0].create_guest("web01", image="hvm", vncpasswd=marks["image"], vnclisten="127.0.0.1")
            hosts[0].create_guest("web02", vfb={"vncpasswd": marks["vfb"]})
            for name, text in texts.items():
                hosts[0].wait_alive(name)
                hosts[0].path("/etc/xen/" + name).write_text(text)
                hosts[0].path("/etc/xen/" + name).chmod(0o600)
                hosts[0].path("/etc/xen/auto/" + name).symlink_to("../" + name)
            for number in range(THERE_AND_BACK):
                source, target = hosts if number % 2 == 0 else reversed(hosts)
                for name in texts:
                    move(name, source, target)
        finally:
            remove_files(site, *texts)
    heard = records()
    # It hears what is not meant for it: else there is nothing to be seen.
    jobs = [json.loads(line) for line in heard.splitlines()]
    moves = [job for job in jobs if job["tgt"] in (["xen1"], ["xen2"]) and job["fun"] == "state.sls"]
    assert len(moves) > 5 * THERE_AND_BACK and "xend.orch.move" in heard and '\\"seal\\"' in heard
    assert traces(marks.values(), heard) == []
    assert traces(marks.values(), "\n".join(said)) == []
    logs, files = logged(root), cached(root)
    for name in ("xen1", "xen2"):
        assert [path for path, text in logs.items() if name in path.parts and "xend.orch.move" in text]
    assert [path for path in files if "jobs" in path.parts]
    found = {str(path): traces(marks.values(), text) for path, text in {**files, **logs}.items()}
    assert not {path: seen for path, seen in found.items() if seen}


# Hosts that lie, with real daemons; what else they may say is in tests/faults/test_liars.py.


@pytest.fixture
def left(configured):
    return Left(configured.xen1, configured.xen2)


def recover(site):
    return site.orchestrate("recover", {"xend": {"recover": {}}})


def assert_readable(run, liar):
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
    said = {**ABOUT_GUESTS["all run here"](left), **forged(left)}
    lies.tell_all(xen3, said)
    try:
        run = recover(configured)
    finally:
        lies.be_honest(xen3)
    assert_readable(run, "xen3")
    assert_nobody_is_harmed(configured, left, run)
    jobs = [json.loads(line) for line in records().splitlines()]
    assert jobs and not [job for job in jobs if "xen3" in job["tgt"] or job["tgt"] == "*"]


@pytest.fixture
def three(configured, xen3):
    """The pillar declares xen3 as well."""
    pillar = salt_config.pillar(configured.fleet)
    pillar["xend"]["relocation"]["hosts"]["xen3"] = xen3.address
    configured.set_pillar(pillar)
    yield configured
    lies.be_honest(xen3)


@pytest.mark.parametrize(
    "lie, named",
    [
        (ABOUT_GUESTS["all run here, and were sent from here"], False),
        (lambda left: {"xm.copies": {"answer": {"copies": lies.nested(lies.DEEP)}}}, True),
        (lambda left: {"xm.copies": {"answer": "{{ 1 / 0 }}\x1b[2J: [", "sleep": 2}}, True),
    ],
)
def test_what_a_third_host_says(three, xen3, left, lie, named):
    lies.tell_all(xen3, lie(left))
    run = recover(three)
    assert_readable(run, "xen3")
    assert_nobody_is_harmed(three, left, run)
    assert not named or "xen3" in run.comment("some hosts do not answer"), run.report()


@pytest.mark.parametrize(
    "host, lie",
    [
        ("xen1", {"xm.report": {"answer": "{%% raw %%}\x1b[2J{{ %d * %d }}: [" % lies.FACTORS}}),
        ("xen1", {"*": {"answer": [{"result": True}, 7]}}),
        ("xen2", {"xm.report": {"change": [[["host", "flags"], [None, 1, {}]]]}}),
        ("xen2", {"*": {"pad": 100_000}}),
    ],
)
def test_what_an_end_of_a_migration_says(configured, guest, host, lie):
    lies.tell_all(configured.fleet[host], lie)
    run = configured.migrate()
    assert_readable(run, host)
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].alive
    assert host in run.report() and lies.RENDERED not in run.report()


def test_a_source_has_its_file_put_nowhere_else(configured, guest, xen3):
    following(configured)
    xen1, xen2 = configured.fleet
    xen1.path("/etc/xen/web01").write_text('name = "web01"\nmemory = 96\nkernel = "/boot/vmlinuz"\n')
    change = [[["path"], "/etc/cron.d/web01"], [["auto"], "../../rc3.d/S99web01"], [["mode"], 0o4755]]
    lies.tell_all(xen1, {"xen_guest.sealed": {"change": change}})
    before = tree(xen2.root)
    try:
        run = configured.migrate()
        assert_readable(run, "xen1")
        assert not xen2.path("/etc/cron.d").exists() and not xen2.path("/etc/rc3.d").exists()
        assert [path for path in difference(before, tree(xen2.root)) if "web01" in path] == []
    finally:
        remove_files(configured, "web01")
