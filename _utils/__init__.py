"""The root of the installed package: tells Salt's loader where modules, runners, states and utils are.

Only the pip package uses this file. Salt's loader skips names that begin with an underscore, so a
copy that is synced from a file server does nothing.
"""

import os.path

_HERE = os.path.dirname(os.path.abspath(__file__))


def _folder(installed, in_tree):
    # An editable install maps this package onto _utils in the tree, where the other two folders
    # are siblings of it instead of children.
    path = os.path.join(_HERE, installed)
    if os.path.isdir(path):
        return path
    return os.path.join(os.path.dirname(_HERE), in_tree)


def module_dirs():
    """Return a list with the one folder of execution modules (entry point of ``salt.loader``)."""
    return [_folder("modules", "_modules")]


def runner_dirs():
    """Return a list with the one folder of runners (entry point of ``salt.loader``)."""
    return [_folder("runners", "_runners")]


def states_dirs():
    """Return a list with the one folder of state modules (entry point of ``salt.loader``)."""
    return [_folder("states", "_states")]


def utils_dirs():
    """Return a list with the one folder of utility modules (entry point of ``salt.loader``)."""
    return [_HERE]
