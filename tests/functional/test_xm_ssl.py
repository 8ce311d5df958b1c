"""Sending guests over TLS: when it is done, to which port, and where it cannot be done."""

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import LIMIT_S, OPEN
from tests.harness.loading import host_opts
from tests.lab import tls
from tests.lab.fleet import Fleet, HostSpec
from tests.lab.layout import wait_until

SECURE = """\
(xend-relocation-ssl-server yes)
(xend-relocation-server-ssl-key-file relocation.key)
(xend-relocation-server-ssl-cert-file relocation.crt)
"""


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("plain", config="", time_scale=0.05),
        HostSpec("always", config="(xend-relocation-ssl yes)\n", time_scale=0.05),
        HostSpec("old", config="", version="3.2", time_scale=0.05),
        HostSpec("target", config=SECURE, time_scale=0.05),
    )
    tls.make_certificate(fleet["target"].config.parent)
    fleet.start()
    return fleet


@pytest.fixture
def send(load, fleet):
    """A function that sends a new guest from a host to the target, which listens for TLS only."""
    hosts = {"target": {"address": fleet["target"].address}}
    pillar = {"xend": {"relocation": {"hosts": hosts}}}

    def run(source, **options):
        host = fleet[source]
        host.create_guest("web01")
        host.wait_alive("web01")
        xm = load(pillar=pillar, **host_opts(host)).modules.xm
        return xm.migrate("web01", "target", **options)

    yield run
    for host in fleet:
        if "web01" in host.guests():
            host.destroy_guest("web01")


@pytest.mark.parametrize("source, options", [("plain", {"ssl": True}), ("always", {})])
def test_a_guest_is_sent_over_tls(send, fleet, source, options):
    """Asked for, or because the sender's own file says so, against which xm has no option."""
    assert send(source, **options)["port"] == 8003
    assert fleet["target"].wait_alive("web01") and "web01" not in fleet[source].guests()


def test_without_tls_the_plain_port_is_asked(send, fleet):
    with pytest.raises(CommandExecutionError) as raised:
        send("plain")
    assert "8002" in str(raised.value) and fleet["plain"].guests()["web01"].alive


def test_a_xend_without_tls_says_so(send, fleet):
    with pytest.raises(CommandExecutionError) as raised:
        send("old", ssl=True)
    assert "3.3" in str(raised.value) and fleet["old"].guests()["web01"].alive


@pytest.mark.parametrize("options, word", [([], "receiving"), (["--ssl"], "arriving")])
def test_a_guest_that_is_being_completed_is_still_on_its_way(load, tmp_path_factory, options, word):
    """xc_restore has ended. What is left to be seen is a connection of xend, and over TLS not even that."""
    specs = [
        HostSpec("xen1", config=OPEN, time_scale=0.05),
        HostSpec("xen2", config=SECURE if options else OPEN, time_scale=0.05),
    ]
    with Fleet.create(tmp_path_factory.mktemp("completed") / "f", specs) as fleet:
        source, target = fleet
        if options:
            tls.make_certificate(target.config.parent)
        fleet.start()
        xm = load(**host_opts(target)).modules.xm
        xm.list()
        guest = source.create_guest("web01")
        source.wait_alive("web01")
        target.delay("unpause", LIMIT_S)
        assert source.xm_run("migrate", *options, "web01", target.address).returncode == 0
        assert wait_until(lambda: "xc_restore" not in target.layout.roles(), LIMIT_S)
        found = xm.where("web01", guest.uuid)
        assert (found["copy"], found["state"]) == (word, "--p---")
        with pytest.raises(CommandExecutionError) as raised:
            xm.repair("remove", "web01", guest.uuid, found["domid"])
        assert "not touched" in str(raised.value)
        target.delay("unpause")
        assert xm.arrival("web01", uuid=guest.uuid, source="xen1", timeout=LIMIT_S)["arrived"]
