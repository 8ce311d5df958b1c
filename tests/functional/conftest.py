"""Salt's own loader, in this process, over the tree's modules: what a minion would call."""

import contextlib
import functools
import subprocess
import sys
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.harness.loading import REPO, Minion, host_opts, minion_opts
from tests.lab import salt_config
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

# In the style of the file shipped with Xen 4.1, in our own words.
CONFIG = r"""# -*- sh -*-
#
# Settings of xend, the daemon that manages the domains of this host.
#

#(xend-http-server no)
#(xend-relocation-server no)

# The port that takes guests from other hosts.
#(xend-relocation-port 8002)

# The address to listen on; empty means all of them.
#(xend-relocation-address '')

# Who may connect: patterns with a space between them, for instance
#  (xend-relocation-hosts-allow '^trusted\\.example\\.com$')
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$')

(network-script network-bridge)
(dom0-min-mem 196)
"""


# A host whose door is open, and whose dom0 keeps the memory that it has.
OPEN = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '')\n(dom0-min-mem 1024)\n"

# Against hanging only.
LIMIT_S = 120
# How xend begins to log that it has given up a guest that was sent to it: a restore that failed, and a device
# model that has ended twice.
LOST = (b"Restore failed", b"Refusing to restart to avoid loops")

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
import xend_lock
with xend_lock.hold(sys.argv[2], sys.argv[3], who=sys.argv[4], shared=bool(sys.argv[5])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def load(tmp_path):
    """A function that makes the `Minion` with these options and this pillar."""

    def make(pillar=None, test=False, **options):
        (tmp_path / "minion").mkdir(exist_ok=True)
        return Minion(minion_opts(tmp_path / "minion", pillar=pillar or {}, test=test, **options))

    return make


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "xend-config.sxp"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def xend(load, config):
    """The execution module, for a minion whose option xend:config names the file `config`."""
    return load(xend={"config": str(config)}).modules.xend


@pytest.fixture(scope="module")
def open_fleet(new_fleet):
    """A function that starts a fleet of hosts whose doors are open, and whose clocks run fast."""

    def make(*hosts):
        for spec in hosts:
            spec.config, spec.time_scale = OPEN, 0.02
        fleet = new_fleet(*hosts)
        fleet.start()
        return fleet

    return make


@pytest.fixture(scope="module")
def mixed_fleet(open_fleet):
    """Three hosts of today, and one whose xend has no --change_home_server.

    That they are seen alike where xend's socket is off is shown in test_look.py.
    """
    hosts = [HostSpec(name) for name in ("xen1", "xen2", "xen3")] + [HostSpec("mid1", version="3.4.0")]
    return open_fleet(*hosts)


@pytest.fixture
def minion_on(load, fleet):
    """A function that gives the minion on a host of the module's fleet; options are those of `xend:`."""

    def make(name, test=False, **xend) -> Minion:
        opts = host_opts(fleet[name])
        opts["xend"].update(xend)
        return load(pillar=salt_config.pillar(fleet), test=test, **opts)

    return make


@pytest.fixture
def modules(minion_on):
    """A function that gives the modules of a host, which are loaded once for a test."""
    return functools.cache(lambda name: minion_on(name).modules)


@pytest.fixture
def on(modules):
    """A function that gives the module xm of a host; files about other modules have their own."""
    return lambda name: modules(name).xm


@pytest.fixture
def look(on):
    """A function that has one host judge what several hold."""

    def ask(*names, silent=(), guest=None):
        reports = {name: on(name).copies() for name in names}
        reports.update((name, {"problem": "%s does not answer" % name}) for name in silent)
        return on(names[0]).findings(reports, guest)

    return ask


@pytest.fixture
def mend(on):
    """A function that takes the steps that a finding proposes; returns what was said."""

    def act(finding):
        return [take(step) for step in finding["repairs"]]

    def take(step):
        xm = on(step["host"])
        if step["do"] in ("forget", "restore"):
            return getattr(xm, step["do"])(step["name"], step["uuid"], step["note"])
        return xm.repair(step["do"], step["listed"], step["uuid"], step["domid"])

    return act


@pytest.fixture
def check(on):
    """A function that asks the target about web01 as an orchestration does; xen1 is its source."""

    def ask(target="xen2", accept=None, source=None):
        report = on("xen1").report("web01")
        marked = on("xen1").mark_disks("web01")
        storage_there = on(target).same_disks(marked, "xen1")
        on("xen1").unmark_disks(marked)
        return on(target).can_receive(
            report["domain"],
            source=dict(report["host"], **(source or {})),
            storage=storage_there,
            accept=accept,
        )

    return ask


@contextlib.contextmanager
def held(fleet, part=0.5, source="xen1", target="xen2"):
    """A transfer of web01 that stands still after this part of the memory, and then goes on."""
    fleet[target].link(hold_at=part)
    process = fleet[source].xm_start("migrate", "--live", "web01", fleet[target].address)
    try:
        fleet[target].wait_held()
        yield process
    finally:
        fleet[target].release()
        process.communicate(timeout=LIMIT_S)


def copy_words(on, *names):
    return [on(name).where("web01")["copy"] for name in names]


def said(found, kind="blockers"):
    """What a check says, in one text; or what it warns of."""
    return "; ".join(found[kind])


def arrives(fleet, target="xen2", name="web01", live=True):
    """What the xend of xen1 makes of it, unasked: whether its guest works on the target afterwards."""
    there = fleet[target]
    logged = there.log.stat().st_size

    def works():
        guest = there.guests().get(name)
        return guest is not None and guest.alive

    def has_failed():
        with open(there.log, "rb") as log:
            log.seek(logged)
            text = log.read()
        return any(words in text for words in LOST)

    options = ["--live"] if live else []
    done = fleet["xen1"].xm_run("migrate", *options, name, there.address)
    if done.returncode == 0:
        assert wait_until(lambda: works() or has_failed(), LIMIT_S), "neither there nor given up"
    return works()


def refused(call, *arguments, **keywords):
    """Call a function that must fail; return the one line in which it says why."""
    with pytest.raises(CommandExecutionError) as raised:
        call(*arguments, **keywords)
    text = str(raised.value)
    assert "\n" not in text
    return text


@contextlib.contextmanager
def as_new(fleet):
    """A block after which no transfer, guest, note or copy is left on the hosts, and their xends run.

    Nor is what they have logged: that a guest of a name was started there keeps the next one of that name,
    when it is lost within the same second, from being brought back unasked.
    """
    yield
    for host in fleet:
        host.restore_link()
        host.link()
        host.kill_xc_save()
        host.kill_xc_restore()
    for host in fleet:
        host.bring_up(LIMIT_S)
        host.clear()
        host.layout.log.write_text("")
        for ending in ("sent", "save", "relay"):
            # A relay ends when what it says is removed.
            for path in (host.root / "kept").glob("*." + ending):
                path.unlink()


@contextlib.contextmanager
def as_before(host, text):
    """A block after which the xend of a host runs and has read its file, which then has this text."""
    pids, changed_at = host.pids(), host.config.stat().st_ctime
    yield
    if host.pids() != pids or host.config.stat().st_ctime != changed_at:
        host.config.write_text(text)
        done = host.restart()
        assert done.returncode == 0, done.stderr
        pass_a_tick()


def pass_a_tick():
    """In the same 1/100 s in which xend was started, a change of its file does not count as newer."""
    time.sleep(0.05)


@contextlib.contextmanager
def holding(host, lock, who, shared=False):
    """Another process on this host that has the lock, as long as it lives."""
    arguments = [
        str(REPO / "_utils"),
        str(host.root / "kept"),
        lock,
        who,
        "shared" if shared else "",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
