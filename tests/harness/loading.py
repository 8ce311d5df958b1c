"""Salt's loaders in this process, over the modules of the tree, and what makes them quick enough."""

import copy
import functools
import importlib
import importlib.machinery
import logging
import os
import pickle
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import salt.config
import salt.loader
import salt.loader.lazy
import salt.utils.entrypoints
from jinja2 import Environment
from salt.loader.lazy import LazyLoader

from tests.lab import salt_config

REPO = Path(__file__).resolve().parents[2]

# What the code of a template depends on, beside its text.
JINJA_SETTINGS = (
    "block_start_string",
    "variable_start_string",
    "comment_start_string",
    "line_statement_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "undefined",
)


def functions_of(opts, base=None):
    """The execution modules of the minion with these options, {name: function}; `base` as of `base_name`."""
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts), loaded_base_name=base)


def base_name(of):
    """
    The name below which Python keeps the modules that are loaded for one minion, or one master.

    Salt's own name is one for all: what a minion loads would give its options to what others have loaded
    before.
    """
    return "%s.%s" % (salt.loader.lazy.LOADED_BASE_NAME, of)


def minion_opts(root: Path, **options) -> dict:
    """The options of a minion with the tree's modules that keeps all it has below `root`."""
    opts = _defaults()
    opts.update(
        root_dir=str(root),
        cachedir=str(root / "cache"),
        extension_modules=str(root / "extmods"),
        states_dirs=[str(REPO / "_states")],
        utils_dirs=[str(REPO / "_utils")],
        file_client="local",
        grains={"kernel": "Linux"},
        id="xen1",
        test=False,
        pillar={},
        events=str(root / "events"),
        # Else a function that is missing is looked for in each of the hundreds of modules of Salt.
        lazy_loader_strict_matching=True,
    )
    opts.update(copy.deepcopy(options))
    opts["module_dirs"] = [
        str(REPO / "_modules"),
        # No master listens here: events go into a file.
        str(REPO / "tests" / "harness" / "minion_modules"),
        *options.get("module_dirs", []),
    ]
    return opts


def host_opts(host) -> dict:
    """What the options of the minion on a simulated host have beside."""
    return {**salt_config.minion(host), "id": host.name}


class Minion:
    """
    The loaded functions of one minion: `.modules.xend.get(…)`, `.states.xend.relocation(…)`.

    Loaded anew by each of them, as by each job of a minion.
    """

    def __init__(self, opts: dict):
        name = base_name(opts["id"])
        self.modules = functions_of(opts, name)
        utils = self.modules.pack["__utils__"]
        self.states = salt.loader.states(opts, self.modules, utils, None, loaded_base_name=name)


def _defaults():
    return pickle.loads(_pickled_defaults())


@functools.cache
def _pickled_defaults():
    # Salt asks `ip` each time for the addresses of this machine, to find a name for the minion.
    return pickle.dumps(dict(salt.config.minion_config(None)))


def hurry(cache):
    """Let Salt's loaders in this process and its forks share what they find in folders and files of modules.

    For each of the twenty loaders of a state run Salt lists hundreds of files, reads what is installed,
    and reads and executes every module anew; that is most of what a run costs. Here only the last is
    left. What Python compiles goes into `cache`, also by the programs of simulated hosts.
    """
    sys.pycache_prefix, sys.dont_write_bytecode = str(cache), False
    # It lets Python forget what it has listed, for each module that Salt loads.
    importlib.invalidate_caches = lambda: None
    # The regular expressions of our modules and Salt's are more than Python remembers by itself.
    re._MAXCACHE = 1 << 14
    _list_once()
    _read_once()
    _compile_once()
    # Which extensions of Salt are installed, which it looks up anew every half second.
    salt.utils.entrypoints.iter_entry_points = functools.cache(
        salt.utils.entrypoints.iter_entry_points
    )
    # Whether there are any options at all, which Salt asks for each module that it loads, by counting them.
    with suppress(ImportError):
        from salt.utils.optsdict import OptsDict

        OptsDict.__bool__ = lambda _opts: True
    # Salt takes records of every level, which pytest would keep and format.
    logging.getLogger().setLevel(logging.WARNING)


def _list_once():
    """Let all loaders of the same folders share one list of files, as long as no folder changes."""
    look = LazyLoader._refresh_file_mapping
    names = ("file_mapping", "suffix_map", "suffix_order")
    found = {}

    def look_once(loader):
        there = filter(os.path.isdir, loader.module_dirs)
        folders = tuple((path, os.stat(path).st_mtime_ns) for path in there)
        key = (folders, tuple(loader.static_modules), frozenset(loader.disabled))
        if key not in found:
            look(loader)
            found[key] = [copy.copy(getattr(loader, name)) for name in names]
        for name, value in zip(names, found[key], strict=True):
            setattr(loader, name, copy.copy(value))

    LazyLoader._refresh_file_mapping = look_once


class _ReadOnce(importlib.machinery.SourceFileLoader):
    """Python's loader of a file, which remembers the code of each file as long as that stays the same."""

    codes = {}

    def get_code(self, name):
        found = os.stat(self.path)
        key = (self.path, found.st_mtime_ns, found.st_size)
        if key not in self.codes:
            self.codes[key] = super().get_code(name)
        return self.codes[key]


def _read_once():
    kinds = salt.loader.lazy.MODULE_KIND_MAP
    kinds[salt.loader.lazy.MODULE_KIND_SOURCE] = _ReadOnce


def _compile_once():
    """Let Jinja remember what it has made of a template, for all environments of the same settings."""
    make = Environment.compile
    made = {}

    def make_once(environment, source, name=None, filename=None, *rest):
        syntax = [getattr(environment, setting) for setting in JINJA_SETTINGS]
        key = (source, name, filename, rest, *syntax, *sorted(environment.extensions))
        if key not in made:
            made[key] = make(environment, source, name, filename, *rest)
        return made[key]

    Environment.compile = make_once


def quiet():
    """Keep Salt's log, and what Python says of its age, off the terminal of this process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", DeprecationWarning)
