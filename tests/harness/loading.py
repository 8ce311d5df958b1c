"""Salt's loaders in this process, over the modules of the tree, and what makes them quick enough."""

import copy
import logging
import sys
import warnings

import salt.loader
from salt.loader.lazy import LazyLoader


def functions_of(opts):
    """The execution modules of the minion with these options, {name: function}."""
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))


def hurry(cache):
    """Let Salt's loaders in this process and its forks share what they find in folders of modules.

    Salt lists hundreds of files anew for each of the twenty loaders of a state run, which is half of
    what a run costs; here no file of a module changes. What Python compiles goes into `cache`.
    """
    sys.pycache_prefix, sys.dont_write_bytecode = str(cache), False
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


def quiet():
    """Keep Salt's log, and what Python says of its age, off the terminal of this process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", DeprecationWarning)
