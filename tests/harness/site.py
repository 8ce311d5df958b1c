"""What an administrator does at the master of simulated hosts, and what the hosts really hold.

The same over the conductor, for tests of what the SLS and the modules do, and over real daemons, for
tests of what only these can get wrong.
"""

import contextlib
import fnmatch
import json
import time
from concurrent.futures import ThreadPoolExecutor

import salt.client

from tests.harness import relays
from tests.harness.conductor import Conductor
from tests.harness.processes import Process
from tests.harness.run import Run
from tests.lab import lies, salt_config
from tests.lab.layout import wait_until

# Against hanging only.
LIMIT_S = 900

# As the hosts come: the door is closed on one, open to nobody else on the other; see `config_of`.
CONFIGS = {
    "xen1": "#(xend-relocation-server no)\n(dom0-min-mem 1024)\n",
    "xen2": "(xend-relocation-server yes)\n"
    "(xend-relocation-hosts-allow '^localhost$')\n"
    "(dom0-min-mem 1024)\n",
}


def config_of(name):
    """The file that a host of this name comes with; those beside the first two are like the second."""
    return CONFIGS.get(name, CONFIGS["xen2"])


class Site:
    """A fleet with a master; who its minions are is the business of the classes below."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.xen1, self.xen2 = (fleet[name] for name in ("xen1", "xen2"))
        self._closed, self._configured = {}, None
        self._files = self._files_of_guests()

    def states(self, function, *arguments, target="*", **keywords):
        """Run states; return {minion: {state id: its return}}."""
        found = self.salt(function, *arguments, target=target, **keywords)
        return {
            minion: {state["__id__"]: state for state in ret.values()}
            if isinstance(ret, dict)
            else ret
            for minion, ret in found.items()
        }

    def migrate(self, domain="web01", source="xen1", target="xen2", test=False, **options):
        """Run the orchestration that moves a guest; return its Run."""
        wanted = {"domain": domain, "source": source, "target": target, **options}
        return self.orchestrate("migrate", {"xend": {"migrate": wanted}}, test=test)

    def evacuate(self, source="xen1", test=False, **options):
        """Run the orchestration that empties a host; return its Run."""
        return self.orchestrate("evacuate", {"xend": {"evacuate": {"source": source, **options}}}, test=test)

    def restore(self, host="xen1", test=False, **options):
        """Run the orchestration that fills a host again; return its Run."""
        return self.orchestrate("restore", {"xend": {"restore": {"host": host, **options}}}, test=test)

    def recover(self, test=False, **options):
        """Run the orchestration that looks for what broken migrations have left; return its Run."""
        return self.orchestrate("recover", {"xend": {"recover": options}}, test=test)

    def where(self, name="web01"):
        """The truth: {host: guest} over the hosts that hold one of this name."""
        return {host.name: host.guests()[name] for host in self.fleet if name in host.guests()}

    @contextlib.contextmanager
    def without_minion(self, name):
        """The minion of a host is down; what xm does for it goes on."""
        self.minion_down(name)
        try:
            yield
        finally:
            self.minion_up(name)

    def tidy(self):
        """
        Leave no guests, files, faults, notes and lies, nor what the hosts have logged, and the pillar that
        names all hosts.
        """
        for host in self.fleet:
            lies.be_honest(host)
            for name in host.layout.faults():
                host.fault(name, False)
            relays.kill(host)
            for path in [
                *salt_config.notes(host),
                *salt_config.reservations(host),
                salt_config.evacuation(host),
                *salt_config.relay_files(host),
                *salt_config.safety_copies(host),
            ]:
                path.unlink(missing_ok=True)
            host.release()
            host.link()
            host.restore_link()
            host.clear()
            # A guest that was started keeps one of its name that is lost in the same second from coming back.
            host.log.write_text("")
            self.minion_up(host.name)
        for path in self._files_of_guests() - self._files:
            path.unlink()
        self.set_pillar(salt_config.pillar(self.fleet))

    def follow(self, **settings):
        """Let the pillar say that the files of guests follow them, and these settings beside it."""
        pillar = salt_config.pillar(self.fleet)
        pillar["xend"].update(settings, follow=True)
        self.set_pillar(pillar)
        for host in self.fleet:
            host.path("/etc/xen/auto").mkdir(exist_ok=True)

    def _files_of_guests(self):
        folders = [host.path(path) for host in self.fleet for path in ("/etc/xen", "/etc/xen/auto")]
        found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return {path for path in found if path.is_symlink() or path.is_file()}

    def close(self):
        """Let the hosts be as they come: their doors are closed."""
        for host in self.fleet:
            if self._closed.get(host.name) != _as_it_is(host):
                host.config.write_text(config_of(host.name))
                host.stop()
                assert host.start().returncode == 0
                # In the same 1/100 s as the start, a change of the file would not count as newer.
                time.sleep(0.05)
                self._closed[host.name] = _as_it_is(host)

    def configure(self):
        """Let all hosts take guests of each other, unless they are still as this has left them."""
        if {host.name: _as_it_is(host) for host in self.fleet} != self._configured:
            self.close()
            found = self.states("state.apply", "xend.relocation")
            for states in found.values():
                assert all(state["result"] for state in states.values()), found
            self._configured = {host.name: _as_it_is(host) for host in self.fleet}


def _as_it_is(host):
    """What the host's file says and when it was written, and the processes that have read it."""
    return host.config.read_bytes(), host.config.stat().st_ctime_ns, host.pids()


class Conducted(Site):
    """No daemons: orchestrations, and jobs of minions, in processes of a conductor."""

    def __init__(self, fleet, folder):
        super().__init__(fleet)
        self.conductor = Conductor(fleet, folder)

    def salt(self, function, *arguments, target="*", **keywords):
        """Run a function on minions; return {minion: return}."""
        return self.conductor.call_those(target, function, *arguments, **keywords)

    def set_pillar(self, pillar):
        self.conductor.set_pillar(pillar)

    def orchestrate(self, name, pillar, test=False):
        return self.conductor.orchestrate("xend.orch." + name, pillar, test)

    @contextlib.contextmanager
    def meanwhile(self, function, *arguments, **keywords):
        """Something of this site goes on in the background: a function that waits for what it returns."""
        process = Process(function, *arguments, **keywords)
        try:
            yield lambda: process.result(LIMIT_S)
        finally:
            process.kill()

    def minion_down(self, name):
        self.conductor.minion_down(name)

    def minion_up(self, name):
        self.conductor.minion_up(name)


class Real(Site):
    """A master and minions as they are started everywhere; orchestrations are run by salt-run."""

    def __init__(self, fleet, master, minions, pillar_file):
        super().__init__(fleet)
        self.master, self.minions, self.pillar_file = master, minions, pillar_file
        self.client = salt.client.LocalClient(mopts=dict(master.config))
        self.pillar = json.loads(pillar_file.read_text())

    def salt(self, function, *arguments, target="*", **keywords):
        """Run a function on minions; return {minion: return}."""
        # By name: for any other minion, one of another test that is down, the master would wait long.
        names = fnmatch.filter(self.minions, target)
        return self.client.cmd(
            names, function, arg=arguments, kwarg=keywords, tgt_type="list", timeout=LIMIT_S
        )

    def set_pillar(self, pillar):
        if pillar != self.pillar:
            self.pillar_file.write_text(json.dumps(pillar))
            # Not with `wait`, which the end of an earlier refresh ends, too, and half a minute; Salt 2016.11
            # has no such thing.
            self.salt("saltutil.refresh_pillar")
            assert wait_until(lambda: self._all_have(pillar), LIMIT_S, 0.2), self.salt("pillar.raw")
            self.pillar = pillar

    def _all_have(self, pillar):
        # Salt 3008 adds an entry of its own.
        return all(
            pillar == {name: found.get(name) for name in pillar}
            for found in self.salt("pillar.raw").values()
        )

    def orchestrate(self, name, pillar, test=False):
        arguments = ["state.orchestrate", "xend.orch." + name, "pillar=" + json.dumps(pillar)]
        began = time.monotonic()
        done = self.master.salt_run_cli(timeout=LIMIT_S).run(
            *arguments, *(["test=True"] if test else [])
        )
        data = done.data
        if isinstance(data, dict):
            data = data.get("data", data)
        returned = next(iter(data.values())) if isinstance(data, dict) else data or done.stderr
        return Run(returned, time.monotonic() - began, done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def meanwhile(self, function, *arguments, **keywords):
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(function, *arguments, **keywords).result

    def minion_down(self, name):
        self.minions[name].terminate()

    def minion_up(self, name):
        if not self.minions[name].is_running():
            self.minions[name].start()
