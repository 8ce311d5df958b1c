"""Salt's own loader, in this process, over the tree's modules: what a minion would call."""

import copy
from pathlib import Path

import pytest
import salt.config
from saltfactories.utils.functional import Loaders

from tests.lab import salt_config

REPO = Path(__file__).resolve().parents[2]

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


def minion_opts(root: Path, **options) -> dict:
    opts = salt.config.minion_config(None)
    opts.update(
        root_dir=str(root),
        cachedir=str(root / "cache"),
        extension_modules=str(root / "extmods"),
        module_dirs=[str(REPO / "_modules")],
        states_dirs=[str(REPO / "_states")],
        utils_dirs=[str(REPO / "_utils")],
        file_client="local",
        grains={"kernel": "Linux"},
        id="xen1",
        test=False,
    )
    opts.update(copy.deepcopy(options))
    opts["module_dirs"] = [str(REPO / "_modules"), *options.get("module_dirs", [])]
    return opts


@pytest.fixture
def load(tmp_path):
    """A function that makes the loaders of one minion: `.modules` and `.states`."""

    def make(pillar=None, test=False, **options):
        opts = minion_opts(tmp_path / "minion", **options)
        opts["test"] = test
        loaders = Loaders(opts)
        # The pillar as the minion has it; compiling it is Salt's affair.
        loaders.modules.pack["__pillar__"].update(pillar or {})
        return loaders

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


def host_opts(host) -> dict:
    """The options of the minion on a simulated host."""
    return {**salt_config.minion(host), "id": host.name}
