"""Salt's loaders in this process, over the modules of the tree, and what makes them quick enough."""

import copy
import functools
import importlib.machinery
import logging
import os
import re
import sys
import warnings
from contextlib import suppress

import salt.loader
import salt.loader.lazy
import salt.utils.entrypoints
from salt.loader.lazy import LazyLoader


def functions_of(opts):
    """The execution modules of the minion with these options, {name: function}."""
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))


def hurry(cache):
    """Let Salt's loaders in this process and its forks share what they find in folders and files of modules.

    For each of the twenty loaders of a state run Salt lists hundreds of files, reads what is installed,
    and reads and executes every module anew; that is most of what a run costs. Here only the last is
    left. What Python compiles goes into `cache`.
    """
    sys.pycache_prefix, sys.dont_write_bytecode = str(cache), False
    # The regular expressions of our modules and Salt's are more than Python remembers by itself.
    re._MAXCACHE = 1 << 14
    _list_once()
    _read_once()
    # Which extensions of Salt are installed, which it looks up anew every half second.
    salt.utils.entrypoints.iter_entry_points = functools.cache(
        salt.utils.entrypoints.iter_entry_points
    )
    # Whether there are any options at all, which Salt asks for each module that it loads, by counting them.
    with suppress(ImportError):
        from salt.utils.optsdict import OptsDict

        OptsDict.__bool__ = lambda _opts: True


def _list_once():
    """Let all loaders of the same folders share one list of files; none of them changes."""
    look = LazyLoader._refresh_file_mapping
    names = ("file_mapping", "suffix_map", "suffix_order")
    found = {}

    def look_once(loader):
        key = (tuple(loader.module_dirs), tuple(loader.static_modules), frozenset(loader.disabled))
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


def quiet():
    """Keep Salt's log, and what Python says of its age, off the terminal of this process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", DeprecationWarning)
