"""
What pip installs: this file tells Salt's loader where modules, runners, states and utilities are.

The installed folder is also a file root: it has ``_modules``, ``_runners``, ``_states`` and ``_utils``, as a
file server wants them for ``saltutil.sync_all``, and the SLS in ``xend``.
"""

import os.path

__version__ = "0.2.0"

_HERE = os.path.dirname(os.path.abspath(__file__))


def _folder(name):
    # An editable install finds this file in the tree, where those folders are beside this one.
    inside = os.path.join(_HERE, name)
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(_HERE), name)


def module_dirs():
    """Return a list with the one folder of execution modules (entry point of ``salt.loader``)."""
    return [_folder("_modules")]


def runner_dirs():
    """Return a list with the one folder of runners (entry point of ``salt.loader``)."""
    return [_folder("_runners")]


def states_dirs():
    """Return a list with the one folder of state modules (entry point of ``salt.loader``)."""
    return [_folder("_states")]


def utils_dirs():
    """Return a list with the one folder of utility modules (entry point of ``salt.loader``)."""
    return [_folder("_utils")]
