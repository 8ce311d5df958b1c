"""A Salt master and the minions of a simulated fleet without daemons: the SLS files are the real ones.

Here: Salt's own state engine for the orchestration, and for each job a process with the loader of that
minion. Only the way between master and minion is missing; daemons take several times as long.
"""

import copy
import fcntl
import gc
import itertools
import json
import os
import pickle
import signal
import time
import traceback
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

import salt.client
import salt.config
import salt.exceptions
import salt.loader
import salt.minion
import salt.payload
import salt.utils.args
import salt.utils.jid
import salt.utils.process
import salt.utils.state
from salt.loader.lazy import LazyLoader

from tests.harness.loading import base_name, functions_of
from tests.harness.processes import Gone, Process, Survivor
from tests.harness.run import Run
from tests.lab import lies, salt_config
from tests.lab.layout import wait_until, write_atomic

JOB_LIMIT_S = 600.0
ORCHESTRATION_LIMIT_S = 800.0
# How often a minion looks whether states that were put off may run now.
QUEUE_S = 0.3
HERE = Path(__file__).parent
MASTER_ID = "lab_master"
NUMBERS = itertools.count()


class _Client:
    """Of Salt's LocalClient what the project's runner uses, over jobs of a conductor."""

    def __init__(self, publish):
        self._publish = publish

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        return None

    def cmd_iter(self, tgt, fun, arg=(), tgt_type="glob", kwarg=None, timeout=None):
        """Run a function on minions; yield what each has returned."""
        for name, answer in self._publish(tgt, fun, arg, kwarg or {}, tgt_type, False).items():
            yield {name: answer}


class Conductor:
    """The master of `fleet` and a minion on each of its hosts; what they keep is under `folder`."""

    # Whether this process has loaded what jobs need.
    warm = False

    def __init__(self, fleet, folder):
        self.fleet = fleet
        self.folder = Path(folder)
        self.asked = self.folder / "asked"
        self.published = self.folder / "published"
        (self.folder / "pillar").mkdir(parents=True)
        (self.folder / "down").mkdir()
        (self.folder / "pillar" / "top.sls").write_text(json.dumps({"base": {"*": ["xend"]}}))
        self.opts = {host.name: self._minion_opts(host) for host in fleet}
        self.set_pillar(salt_config.pillar(fleet))
        self.master_opts = self._master_opts()
        # Another conductor in this process would give its options to what is loaded under the same name.
        self._base = "conductor_%d" % next(NUMBERS)
        self._loaded_runners = self._runners(self._base_of(MASTER_ID))
        if not Conductor.warm:
            self._warm_up()
            Conductor.warm = True
        # Loaded before anybody asks, as by daemons, of which jobs are forks: with these options.
        self._loaded = {
            name: (pickle.dumps(opts), _loaded(opts, self._base_of(name))) for name, opts in self.opts.items()
        }

    def _base_of(self, name):
        return base_name("%s_%s" % (self._base, name))

    def _warm_up(self):
        """Let Python find, read and compile what jobs need before they fork, or each of them would."""
        opts = self.opts[next(iter(self.opts))]
        functions = functions_of(opts)
        functions["state.sls"]("xend.relocation", test=True)
        functions["xm.copies"]()
        self._states("xend.orch.migrate", None, True)
        for path in (salt_config.REPO / "salt/xend/orch").glob("*.sls"):
            # It says that there is no pillar for it, after having compiled the file.
            functions["state.show_sls"]("xend.orch." + path.stem)
        utils, states = functions.pack["__utils__"], salt.loader.states(opts, functions, None, None)
        for version in ("3.0.3", "3.4", "4.4"):
            utils["xend_sxp.parse"](b"(key 'value' \"value\")", version)
        for folder, loader in (("_utils", utils), ("_modules", functions), ("_states", states)):
            for path in (salt_config.REPO / folder).glob("[!_]*.py"):
                # Of a file whose functions go by another name nothing is found, once it was loaded.
                getattr(loader, path.stem, None)

    def _options(self, name, module_dir, **options):
        opts = salt.config.minion_config(None)
        root = self.folder / name
        opts.update(
            id=name,
            root_dir=str(root),
            cachedir=str(root / "cache"),
            sock_dir=str(root / "sock"),
            # Not there, and the same for all, so that loaders list the same folders.
            extension_modules=str(HERE / "extension_modules"),
            module_dirs=[str(module_dir)],
            file_client="local",
            file_roots=salt_config.FILE_ROOTS,
            pillar_roots={"base": [str(self.folder / "pillar")]},
            pillar={},
            test=False,
            # Else a function that is missing is looked for in each of the hundreds of modules of Salt.
            lazy_loader_strict_matching=True,
            # The files of this master are not listed anew for each run of states.
            __fs_update=True,
        )
        opts.update(options)
        for kind in ("proc", "waiting"):
            (root / "cache" / kind).mkdir(parents=True)
        return opts

    def _minion_opts(self, host):
        options = salt_config.minion(host)
        modules = [
            str(salt_config.REPO / "_modules"),
            str(HERE / "minion_modules"),
            *options["module_dirs"],
        ]
        grains = {"kernel": "Linux", "os_family": "Debian", "id": host.name, "host": host.name}
        grains.update(salt_config.GRAINS, fqdn=host.fqdn)
        return self._options(
            host.name,
            "",
            **dict(options, module_dirs=modules),
            states_dirs=[str(salt_config.REPO / "_states")],
            utils_dirs=[str(salt_config.REPO / "_utils")],
            grains=grains,
            events=str(self.folder / "events"),
            # Which takes the pillar that the minion has, instead of compiling it for each run of states.
            __cli="salt-call",
        )

    def _master_opts(self):
        # Functions, because Salt copies its options deeply, and a function stays what it is.
        def publish(*job):
            return self._publish(*job)

        def states(*run):
            return self._states(*run)

        def runner(name, keywords):
            self._be_the_master()
            return self._loaded_runners[name](**keywords)

        def runners(name):
            return [function for function in self._loaded_runners if function.startswith(name + ".")]

        def state_functions(name):
            folder = str(salt_config.REPO / "_states")
            pack = {"__salt__": {"saltutil.cmd": None}}
            loaded = LazyLoader([folder], self.master_opts, tag="states", pack=pack)
            return [function for function in loaded if function.startswith(name + ".")]

        asked = {"runners": runners, "state_functions": state_functions}
        return self._options(
            MASTER_ID,
            HERE / "master_modules",
            grains={"kernel": "Linux", "id": MASTER_ID},
            runner_dirs=[str(salt_config.REPO / "_runners")],
            states_dirs=[str(salt_config.REPO / "_states")],
            utils_dirs=[str(salt_config.REPO / "_utils")],
            # Else salt.state would run the SLS right here, as a minion without a master does.
            __role="master",
            conductor=dict(asked, publish=publish, states=states, runner=runner),
        )

    def _be_the_master(self):
        """Let what asks minions in this process ask those of this conductor."""
        salt.client.get_local_client = lambda _conf_file: _Client(self._publish)

    def _runners(self, base=None):
        """The project's runner, as a master loads it, over jobs of this conductor."""
        opts = self.master_opts
        functions = {
            "pillar.show_pillar": lambda _host: copy.deepcopy(self.pillar),
            "state.orchestrate": lambda mods, pillar: {
                "data": {MASTER_ID: self._states(mods, pillar, False)},
                "outputter": "highstate",
            },
            "cache.grains": lambda tgt: {name: options["grains"] for name, options in self.opts.items()},
            "xend.plan": lambda **keywords: loaded["xend.plan"](**keywords),
        }
        loaded = LazyLoader(
            [str(salt_config.REPO / "_runners")],
            opts,
            tag="runners",
            pack={"__utils__": salt.loader.utils(opts), "__salt__": functions},
            loaded_base_name=base,
        )
        self._be_the_master()
        return loaded

    def set_pillar(self, pillar):
        """Let master and minions have this pillar from now on."""
        self.pillar = pillar
        for opts in self.opts.values():
            opts["pillar"] = pillar
        write_atomic(self.folder / "pillar" / "xend.sls", "#!json\n" + json.dumps(pillar))

    # orchestration

    def start(self, sls, pillar, test=False):
        """Begin an orchestration in a process of its own; return it for `finish`."""
        return Process(self._orchestrate, sls, pillar, test)

    @staticmethod
    def finish(process):
        """Wait for what `start` began; return its Run, raise processes.Gone or Failed."""
        return process.result(ORCHESTRATION_LIMIT_S)

    def orchestrate(self, sls, pillar, test=False):
        """Run an orchestration to its end; return its Run, raise processes.Gone or Failed."""
        return self.finish(self.start(sls, pillar, test))

    def _orchestrate(self, sls, pillar, test):
        gc.disable()
        began = time.monotonic()
        returned = self._states(sls, pillar, test)
        return Run(returned, time.monotonic() - began)

    def _states(self, sls, pillar, test):
        # Two runners on one master do not wait for each other either.
        functions = functions_of(self.master_opts)
        return functions["state.sls"](sls, pillar=pillar, test=test, concurrent=True)

    # jobs

    def call(self, host, function, *arguments, **keywords):
        """Run one function on one minion, as `salt HOST FUNCTION` does; return what it returned."""
        return self._publish([host], function, arguments, keywords, "list", False)[host]["ret"]

    def call_all(self, function, *arguments, **keywords):
        """The same on every minion; return {host: what it returned}."""
        return self.call_those("*", function, *arguments, **keywords)

    def call_those(self, glob, function, *arguments, **keywords):
        """The same on the minions that a pattern names; return {host: what it returned}."""
        returned = self._publish(glob, function, arguments, keywords, "glob", False)
        return {name: answer["ret"] for name, answer in returned.items()}

    def _publish(self, tgt, fun, arg, kwarg, tgt_type, expect_minions):
        """Run a function on the minions that are meant and up, all at once; return what each returned."""
        with self.published.open("a") as stream:
            stream.write(fun + "\n")
        jid = salt.utils.jid.gen_jid(self.opts[next(iter(self.opts))])
        jobs = {
            name: Survivor(self._job, name, fun, arg, kwarg, jid)
            for name in self._targets(tgt, tgt_type)
            if not self._is_down(name)
        }
        returned = {}
        for name, job in jobs.items():
            with suppress(Gone):
                returned[name] = job.result(JOB_LIMIT_S)
        if expect_minions:
            for name in self._targets(tgt, tgt_type):
                returned.setdefault(name, {"failed": True})
        return returned

    def _targets(self, tgt, tgt_type):
        if tgt_type == "list":
            wanted = tgt.split(",") if isinstance(tgt, str) else tgt
            return [name for name in wanted if name in self.opts]
        if tgt_type == "glob":
            return [name for name in self.opts if fnmatchcase(name, tgt)]
        if tgt_type == "grain":
            grain, _colon, wanted = tgt.partition(":")
            return [
                name
                for name, opts in self.opts.items()
                if fnmatchcase(str(opts["grains"].get(grain)), wanted)
            ]
        raise ValueError("the conductor knows no minions by %s" % tgt_type)

    def _job(self, name, fun, arg, kwarg, jid):
        # It does not live long, and to look for garbage would copy the memory that it shares.
        gc.disable()
        self._leave_master()
        with self.asked.open("a") as stream:
            stream.write("%s %s\n" % (name, lies.question(fun, arg)))
        # Salt takes only processes that have its name for its own.
        salt.utils.process.appendproctitle("salt-minion %s %s" % (name, fun))
        functions = self._functions(name)
        data = {"jid": jid, "fun": fun, "tgt": name, "ret": "", "pid": os.getpid()}
        # Whole when Salt sees it, which takes an empty one for a remainder, and removes it.
        waiting, note = self._notes(name, "waiting") / jid, self._notes(name) / jid
        waiting.write_bytes(salt.payload.dumps(data))
        try:
            wire = salt.utils.args.condition_input(list(arg), kwarg)
            data["arg"] = salt.payload.loads(salt.payload.dumps(wire))
            with self._turn(name, fun, kwarg.get("queue")):
                waiting.rename(note)
                returned, retcode = self._answer(name, functions, data)
                while isinstance(returned, dict) and returned.get("__no_return__"):
                    # Put off by Salt 3008, as other states run: a minion tries it again from its queue.
                    note.rename(waiting)
                    self._empty_queue(name, jid)
                    time.sleep(QUEUE_S)
                    waiting.rename(note)
                    returned, retcode = self._answer(name, functions, data)
        finally:
            for path in (waiting, note):
                path.unlink(missing_ok=True)
        out = "highstate" if fun.startswith("state.") else "nested"
        return {"ret": returned, "retcode": retcode, "jid": jid, "out": out}

    def _functions(self, name):
        """The execution modules of a minion."""
        options, functions = self._loaded[name]
        # A test may have changed its options, the pillar among them, since they were loaded.
        return functions if options == pickle.dumps(self.opts[name]) else functions_of(self.opts[name])

    def _empty_queue(self, name, jid):
        for path in Path(salt.utils.state.state_queue_dir(self.opts[name])).glob("queued_*_%s.p" % jid):
            path.unlink()

    def _leave_master(self):
        """Close what the master has open: a minion, which outlives it, has no hold of its locks."""
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if Path(os.readlink(link)).is_relative_to(self.master_opts["cachedir"]):
                    os.close(int(link.name))

    def _answer(self, name, functions, data):
        """What the minion says: the truth, unless its host was told to lie."""
        lie = lies.lie_about(lies.path_of(self.fleet[name].root), data["fun"], data["arg"])
        if lie is None:
            return _called(functions, data)
        return lies.told(lie, lambda: _called(functions, data)[0]), 0

    @contextmanager
    def _turn(self, name, fun, queued):
        """Let states of one minion that may be queued run one after the other.

        What may not goes on: Salt itself says then that another state runs.
        """
        with open(self.folder / ("%s.turn" % name), "w") as turn:
            if fun.startswith("state."):
                with suppress(BlockingIOError):
                    fcntl.flock(turn, fcntl.LOCK_EX | (0 if queued else fcntl.LOCK_NB))
            yield

    def publishes(self):
        """The functions that minions were asked for, in order, each once for all that were asked at once."""
        return self.published.read_text().split() if self.published.exists() else []

    def questions(self, name):
        """What the minion of a host was asked, in order."""
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(name + " ")]

    def events(self, tag):
        """Return the data of all events with this tag, oldest first."""
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        return [event["data"] for event in map(json.loads, lines) if event["tag"] == tag]

    # minions that go away

    def _notes(self, name, kind="proc"):
        return Path(self.opts[name]["cachedir"]) / kind

    def _is_down(self, name):
        return (self.folder / "down" / name).exists()

    def minion_down(self, name):
        """Kill a minion with its jobs; commands that these have started go on."""
        (self.folder / "down" / name).touch()
        for note in self._jobs(name):
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(salt.payload.loads(note.read_bytes())["pid"], signal.SIGKILL)
                note.unlink()

    def minion_up(self, name):
        """Start a minion again."""
        (self.folder / "down" / name).unlink(missing_ok=True)

    def _jobs(self, name):
        return [*self._notes(name).iterdir(), *self._notes(name, "waiting").iterdir()]

    def wait_idle(self):
        """Wait until no minion has a job; those of an orchestration that was killed go on without it."""
        if not wait_until(lambda: not any(map(self._jobs, self.opts)), JOB_LIMIT_S):
            raise TimeoutError("minions still have jobs after %s s" % JOB_LIMIT_S)


def _loaded(opts, base):
    """The execution modules of a minion, of which the product's and what they use have been loaded."""
    functions = functions_of(opts, base)
    for name in ("cmd.run_all", "config.get", "event.send", "state.sls", "xend.get"):
        functions[name]
    for path in (salt_config.REPO / "_modules").glob("[!_]*.py"):
        # Of a file whose functions go by another name nothing is found, once it was loaded.
        getattr(functions, path.stem, None)
    return functions


def _called(functions, data):
    """What a minion returns for a job: the value, or the text that stands for an exception, and the code."""
    fun = data["fun"]
    if fun not in functions:
        return "'%s' is not available." % fun, 1
    try:
        args, kwargs = salt.minion.load_args_and_kwargs(functions[fun], data["arg"], data)
        returned = functions[fun](*args, **kwargs)
        return returned, functions.pack["__context__"].get("retcode", 0)
    except salt.exceptions.CommandExecutionError as error:
        return "ERROR: %s" % error, 1
    except salt.exceptions.SaltInvocationError as error:
        return "ERROR executing '%s': %s" % (fun, error), 1
    except TypeError as error:
        return "Passed invalid arguments to %s: %s" % (fun, error), 1
    except Exception:
        return "The minion function caused an exception: %s" % traceback.format_exc(), 1
