"""The SLS xend.relocation on simulated hosts: what stands in the way is said before anything is written."""

import os

import pytest
import salt.utils.path

from tests.harness.loading import host_opts
from tests.lab import salt_config
from tests.lab.fleet import HostSpec

GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "virtual_subtype": "Xen Dom0"}
CONFIG = "(xend-relocation-server yes)\n(xend-relocation-address %s)\n(xend-relocation-hosts-allow '^a$')\n"
CONFIGURE, APPLY = "xend-relocation-config", "xend-relocation-applied"


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(HostSpec("xen1", time_scale=0.02), HostSpec("xen2", time_scale=0.02))
    for host in fleet:
        host.config.write_text(CONFIG % host.address)
    fleet.start()
    return fleet


@pytest.fixture
def host(fleet):
    """The first host, which nothing here shall have changed."""
    host = fleet["xen1"]
    before = host.config.read_bytes(), host.pids()
    yield host
    host.occupy(0)
    assert (host.config.read_bytes(), host.pids()) == before


@pytest.fixture
def apply(load, fleet, host):
    """A function that applies xend.relocation with this entry for the host: {state id: its return}."""

    def run(own, test=False, firewall=None, **options):
        xend = salt_config.pillar(fleet)["xend"]
        xend["relocation"]["hosts"]["xen1"] = own
        xend["firewall"] = firewall
        opts = dict(host_opts(host), file_roots=salt_config.FILE_ROOTS, grains=dict(GRAINS, id="xen1"))
        opts["xend"].update(options)
        minion = load(pillar={"xend": xend}, test=test, **opts)
        found = minion.modules.state.sls("xend.relocation", test=test)
        return {tag.split("_|-")[1]: state for tag, state in found.items()}

    return run


@pytest.mark.parametrize("test, options", [(True, {}), (False, {}), (True, {"pidfile": "/nowhere"})])
def test_an_address_that_is_not_on_the_host(apply, test, options):
    done = apply("10.20.0.13", test, **options)
    assert done[CONFIGURE]["result"] is False and done[APPLY]["result"] is False
    said = "Nothing was changed: the address 10.20.0.13 is no address of this host, xen1"
    assert said in done[CONFIGURE]["comment"] and done[CONFIGURE]["changes"] == {}


@pytest.mark.parametrize("test", [True, False])
def test_a_port_that_another_program_has(apply, host, test):
    host.occupy(8012)
    done = apply({"address": host.address, "port": 8012}, test)
    assert done[CONFIGURE]["result"] is False and done[APPLY]["result"] is False
    assert "port 8012 is taken on this host by another program than xend" in done[CONFIGURE]["comment"]


def test_a_port_that_another_program_has_on_another_address(apply, host):
    host.occupy(8012, host.loopback)
    own = {"address": host.address, "port": 8012}
    assert apply(own, test=True)[CONFIGURE]["result"] is None


def test_the_address_that_xend_listens_on(apply, host):
    done = apply(host.address, test=True)
    assert done[CONFIGURE]["result"] is None and done[APPLY]["result"] is None, done


def test_a_door_that_is_open_without_its_guard(apply, host, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("iptables", "iptables-save"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 4\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
    # Never those of this machine.
    assert salt.utils.path.which("iptables") == str(tmp_path / "bin" / "iptables")
    for test in (True, False):
        done = apply(host.address, test, firewall=True)
        guarded = done["xend-relocation-guarded"]
        assert guarded["result"] is False and done[CONFIGURE]["result"] is False
        assert "xend listens on %s:8002 already, WITHOUT the firewall" % host.address in guarded["comment"]
        assert "`state.apply xend.relocation.clean` closes the port" in guarded["comment"]
