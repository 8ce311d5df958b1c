"""A real master and two real minions on two simulated Xen hosts."""

import contextlib
import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import salt.client

from tests.lab import lies, salt_config
from tests.lab.fleet import Fleet, HostSpec

# Against hanging only: a busy machine takes its time to start a daemon.
START_S = 240

# As the lab's hosts come: the door is closed on one, open to nobody else on the other.
CONFIGS = {
    "xen1": "#(xend-relocation-server no)\n(dom0-min-mem 1024)\n",
    "xen2": "(xend-relocation-server yes)\n"
    "(xend-relocation-hosts-allow '^localhost$')\n"
    "(dom0-min-mem 1024)\n",
}


@pytest.fixture(scope="session")
def root():
    # Short, because sockets live below it.
    path = Path(tempfile.mkdtemp(prefix="xend-it-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def salt_factories_config(root):
    return {"root_dir": root / "salt", "inject_sitecustomize": False, "slow_stop": False}


@pytest.fixture(scope="session")
def fleet(root):
    fleet = Fleet.create(
        root / "fleet", [HostSpec(name=name, config=text) for name, text in CONFIGS.items()]
    )
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.destroy()


@pytest.fixture(scope="session")
def pillar_file(root, fleet):
    folder = root / "pillar"
    folder.mkdir()
    (folder / "top.sls").write_text(json.dumps({"base": {"*": ["xend"]}}))
    path = folder / "xend.sls"
    path.write_text(json.dumps(salt_config.pillar(fleet)))
    return path


@pytest.fixture(scope="session")
def master(salt_factories, pillar_file, root):
    overrides = {
        "interface": "127.0.0.1",
        "auto_accept": True,
        "file_roots": salt_config.file_roots(),
        "pillar_roots": {"base": [str(pillar_file.parent)]},
        "timeout": 10,
        # Minions that are down are waited for so long each time they are asked whether they still work.
        "gather_job_timeout": 5,
    }
    master = salt_factories.salt_master_daemon("master", overrides=overrides, start_timeout=START_S)
    with master.started():
        yield master


@pytest.fixture(scope="session")
def minions(master, fleet):
    """The minions by id, started at once, with the modules synced."""
    daemons = [
        master.salt_minion_daemon(
            host.name,
            start_timeout=START_S,
            overrides={
                "interface": "127.0.0.1",
                "grains": salt_config.GRAINS,
                **salt_config.minion(host),
                **salt_config.liar(),
            },
        )
        for host in fleet
    ]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        list(pool.map(lambda daemon: stack.enter_context(daemon.started()), daemons))
        done = master.salt_cli(timeout=120).run("saltutil.sync_all", minion_tgt="*")
        assert done.returncode == 0, done.stdout
        done = master.salt_run_cli(timeout=120).run("saltutil.sync_all")
        assert done.returncode == 0, done.stdout
        yield {daemon.id: daemon for daemon in daemons}


class Fleetwide:
    """What an administrator does at the master, and what the simulated hosts really hold."""

    def __init__(self, master, fleet, pillar_file):
        self.master = master
        self.client = salt.client.LocalClient(mopts=dict(master.config))
        self.fleet = fleet
        self.xen1, self.xen2 = fleet
        self.pillar_file = pillar_file

    def salt(self, function, *arguments, target="*", **keywords):
        """Run a function on minions; returns {minion: return}."""
        return self.client.cmd(target, function, arg=arguments, kwarg=keywords, timeout=60)

    def states(self, function, *arguments, target="*", **keywords):
        """Run states; returns {minion: {state id: its return}}."""
        found = self.salt(function, *arguments, target=target, **keywords)
        return {
            minion: {state["__id__"]: state for state in ret.values()}
            if isinstance(ret, dict)
            else ret
            for minion, ret in found.items()
        }

    def set_pillar(self, pillar):
        self.pillar_file.write_text(json.dumps(pillar))
        assert all(self.salt("saltutil.refresh_pillar", wait=True).values())

    def migrate(self, domain="web01", source="xen1", target="xen2", test=False, **options):
        """Run the orchestration as a person does, with salt-run."""
        wanted = {"domain": domain, "source": source, "target": target, **options}
        return self.orchestrate("migrate", {"xend": {"migrate": wanted}}, test=test)

    def orchestrate(self, name, pillar, test=False):
        arguments = ["state.orchestrate", f"xend.orch.{name}", f"pillar={json.dumps(pillar)}"]
        done = self.master.salt_run_cli(timeout=600).run(
            *arguments, *(["test=True"] if test else [])
        )
        return Run(done)

    def where(self, name="web01"):
        """The truth: {host: guest} over the hosts that hold one of this name."""
        return {host.name: host.guests()[name] for host in self.fleet if name in host.guests()}


class Run:
    """How one orchestration ended: exit code, its steps in order, all comments down to the minions'."""

    def __init__(self, done):
        self.exit_code = done.returncode
        self.stdout, self.stderr = done.stdout, done.stderr
        data = (
            done.data["data"] if isinstance(done.data, dict) and "data" in done.data else done.data
        )
        steps = next(iter(data.values())) if isinstance(data, dict) else {}
        assert isinstance(steps, dict), f"no steps: {steps}"
        ordered = sorted(steps.values(), key=lambda step: step["__run_num__"])
        self.steps = {step["__id__"]: step for step in ordered}

    def failed(self):
        """The steps that failed by themselves, in order (not those that a failed one kept from running)."""
        return [
            name
            for name, step in self.steps.items()
            if step["result"] is False and "requisite failed" not in step["comment"]
        ]

    def comment(self, step):
        """The comments of a step: its own and those of the states that it ran on minions."""
        return "\n".join(_comments(self.steps[step]))

    def report(self):
        """Everything that the run says to the operator."""
        return "\n".join(f"{name}: {self.comment(name)}" for name in self.steps)


def _comments(state):
    """The comment of a state, of the states that it ran on minions, and of orchestrations that it ran."""
    found = [state["comment"]]
    changes = state.get("changes") or {}
    nested = changes.get("return")
    runs = nested.get("data", nested) if isinstance(nested, dict) else {}
    for ret in [*changes.get("ret", {}).values(), *runs.values()]:
        if isinstance(ret, dict):
            for inner in ret.values():
                found += _comments(inner)
        else:
            found.append(str(ret))
    return found


@pytest.fixture(scope="session")
def _site(master, minions, fleet, pillar_file):
    return Fleetwide(master, fleet, pillar_file)


@pytest.fixture
def _quiet(_site):
    """The fleet without guests, faults and reservations, with the pillar that names both hosts."""
    for host in _site.fleet:
        for path in [
            *host.root.glob("control/faults.json"),
            *host.root.glob(lies.LIES),
            *salt_config.notes(host),
            *salt_config.reservations(host),
        ]:
            path.unlink()
        host.link()
        host.restore_link()
        host.clear()
    if json.loads(_site.pillar_file.read_text()) != salt_config.pillar(_site.fleet):
        _site.set_pillar(salt_config.pillar(_site.fleet))
    yield _site
    for host in _site.fleet:
        host.release()
        host.link()
        host.restore_link()


@pytest.fixture
def site(_quiet):
    """The fleet as it comes: no guests, closed doors, the pillar that names both hosts."""
    close(_quiet.fleet)
    return _quiet


def close(fleet):
    for host in fleet:
        if host.config.read_text() != CONFIGS[host.name] or not host.running:
            host.config.write_text(CONFIGS[host.name])
            host.stop()
            assert host.start().returncode == 0
            # In the same 1/100 s as the start, a change of the file would not count as newer.
            time.sleep(0.05)


def state_of(fleet):
    """What the hosts' files say, and the processes that have read them."""
    return {host.name: (host.config.read_bytes(), host.pids()) for host in fleet}


@pytest.fixture(scope="session")
def _configured():
    """What `state_of` has said right after both hosts were configured."""
    return {}


@pytest.fixture
def configured(_quiet, _configured):
    """Both hosts configured for each other; left as they are when the last test has kept them so."""
    if not _configured or state_of(_quiet.fleet) != _configured:
        close(_quiet.fleet)
        # A third minion has nothing to do with it.
        found = _quiet.states("state.apply", "xend.relocation", target="xen[12]")
        for states in found.values():
            assert all(state["result"] for state in states.values()), found
        _configured.update(state_of(_quiet.fleet))
    return _quiet


@pytest.fixture
def guest(configured):
    """A guest that runs on xen1."""
    configured.xen1.create_guest("web01", memory_mib=96)
    return configured.xen1.wait_alive("web01")
