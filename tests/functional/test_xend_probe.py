"""xend.probe against the relocation ports of simulated hosts, and against a broken network."""

import contextlib
import socket
import subprocess
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.harness import network
from tests.harness.loading import host_opts
from tests.lab import tls
from tests.lab.fleet import HostSpec

SHUT = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost$')\n"
SECURE = (
    "(xend-relocation-server yes)\n"
    "(xend-relocation-ssl-server yes)\n"
    "(xend-relocation-server-ssl-key-file relocation.key)\n"
    "(xend-relocation-server-ssl-cert-file relocation.crt)\n"
)
# Who says nothing is waited for as long as it is asked for; anybody else answers at once.
MUTE_S, LIMIT_S = 1, 20


@pytest.fixture(scope="module")
def fleet(new_fleet):
    specs = {
        "xen1": "",
        "open": SECURE,
        "shut": SHUT,
        "shut-tls": SECURE + SHUT,
        "off": "(xend-relocation-server no)\n",
        "mute": SECURE,
        "reset": SECURE,
    }
    fleet = new_fleet(
        *[HostSpec(name, config=text, time_scale=0.02) for name, text in specs.items()]
    )
    for host in fleet:
        tls.make_certificate(host.config.parent)
    fleet.start()
    for name in ("mute", "reset"):
        fleet[name].fault(name)
    return fleet


@pytest.fixture
def minion(load, fleet):
    hosts = {host.name: host.address for host in fleet}
    pillar = {"xend": {"relocation": {"hosts": hosts}}}
    return load(pillar=pillar, **host_opts(fleet["xen1"]))


RESULTS = {
    "open": "accepted",
    "shut": "rejected",
    "shut-tls": "rejected",
    "off": "refused",
    "mute": "timeout",
    "reset": "rejected",
}


def patience(result):
    return MUTE_S if result == "timeout" else LIMIT_S


@pytest.mark.parametrize("name, result", RESULTS.items())
def test_one_peer(minion, fleet, name, result):
    host = fleet[name]
    found = minion.modules.xend.probe(host.address, timeout=patience(result))
    assert (found["result"], found["address"], found["port"]) == (result, host.address, 8002)
    assert "%s:8002" % host.address in found["message"] and "\n" not in found["message"]


@pytest.mark.parametrize("name, result", dict(RESULTS, shut="refused").items())
def test_one_peer_over_tls(minion, fleet, name, result):
    found = minion.modules.xend.probe(fleet[name].address, ssl=True, timeout=patience(result))
    assert (found["result"], found["port"]) == (result, 8003)


@pytest.mark.parametrize(
    "ssl, port, results, timeout",
    [(True, 8002, ["not-xend"], LIMIT_S), (False, 8003, ["timeout", "not-xend"], MUTE_S)],
)
def test_the_wrong_kind_of_port(minion, fleet, ssl, port, results, timeout):
    found = minion.modules.xend.probe(fleet["open"].address, ssl=ssl, port=port, timeout=timeout)
    assert found["result"] in results


def test_a_name_that_the_pillar_here_does_not_have(minion, fleet):
    """A host that was added to the pillar a moment ago is not in the one that a minion still has."""
    found = minion.modules.xend.probe(["new.invalid", fleet["off"].address, "off"])
    assert found["new.invalid"]["result"] == "unreachable"
    assert "`salt xen1 saltutil.refresh_pillar`" in found["new.invalid"]["message"]
    assert "refresh_pillar" not in str([found[fleet["off"].address], found["off"]])


def test_the_whole_fleet_at_once(minion, fleet):
    timeout_s = 3
    found = minion.modules.xend.probe(timeout=timeout_s)
    assert {name: answer["result"] for name, answer in found.items()} == RESULTS
    listed = minion.modules.xend.probe([host.address for host in fleet], timeout=timeout_s)
    assert len(listed) == len(RESULTS) + 1


def test_many_mute_peers_cost_no_more_than_one(minion, fleet):
    with contextlib.ExitStack() as stack:
        peers = ["127.0.%d.%d" % (fleet.state["net"], last) for last in range(210, 250)]
        for peer in peers:
            stack.enter_context(socket.create_server((peer, 8002)))
        began = time.monotonic()
        found = minion.modules.xend.probe(peers, timeout=MUTE_S)
        # One after the other would take 40 times as long.
        assert time.monotonic() - began < 10 * MUTE_S
    assert [found[peer]["result"] for peer in peers] == ["timeout"] * len(peers)


def test_who_asks_decides(minion, fleet):
    """The listener sees the source address: from its own loopback, the shut host lets itself in."""
    probe = minion.modules.xend.probe
    shut = fleet["shut"]
    assert probe(shut.address, source=shut.loopback)["result"] == "accepted"
    assert probe(shut.address, source=fleet["open"].address)["result"] == "rejected"
    assert probe(shut.address, source="192.0.2.1")["result"] == "unreachable"


@pytest.mark.parametrize(
    "arguments", [{"port": 70000}, {"port": -1}, {"port": "x"}, {"timeout": "soon"}]
)
def test_what_cannot_be_asked(minion, arguments):
    with pytest.raises(CommandExecutionError) as raised:
        minion.modules.xend.probe("127.0.0.1", **arguments)
    assert str(list(arguments.values())[0]) in str(raised.value)


def test_nobody_to_ask(load):
    with pytest.raises(CommandExecutionError) as raised:
        load().modules.xend.probe()
    assert "xend:relocation:hosts" in str(raised.value)


# A network of its own, which the kernel takes apart as a router or a firewall would.

@pytest.mark.parametrize(
    "route, result, said",
    [
        (None, "unreachable", "Network is unreachable"),
        ("unreachable", "unreachable", "No route to host"),
        ("prohibit", "unreachable", "Permission denied"),
    ],
)
def test_no_way_to_the_peer(load, route, result, said):
    probe = load().modules.xend.probe

    def asked():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
        if route:
            command = ["ip", "route", "add", route, "10.20.0.0/24"]
            subprocess.run(command, check=True, timeout=60)
        return probe("10.20.0.12", timeout=LIMIT_S)

    found = network.alone(asked)
    assert found["result"] == result and said in found["message"]


def test_who_is_rejected_hears_from_where_it_asked(minion, fleet):
    """On a host with several networks that is the cause."""
    shut, own = fleet["shut"], fleet["xen1"]
    told = minion.modules.xend.probe(shut.address)
    assert told["source"] == own.address
    assert told["message"].endswith("; the question came from %s" % own.address)
    elsewhere = minion.modules.xend.probe(shut.address, source=own.loopback)
    assert elsewhere["result"] == "rejected" and elsewhere["source"] == own.loopback
    for said in (own.loopback, own.address, "hosts_allow", "xend:source"):
        assert said in elsewhere["message"]
    assert "\n" not in elsewhere["message"]
    accepted = minion.modules.xend.probe(fleet["open"].address, source=own.loopback)
    assert own.loopback not in accepted["message"] and accepted["source"] == own.loopback
    assert minion.modules.xend.probe("192.0.2.1", source="192.0.2.1")["source"] is None


def test_a_host_that_nobody_declares_hears_only_from_where_it_asked(load, fleet):
    minion = load(**host_opts(fleet["xen1"]))
    told = minion.modules.xend.probe(fleet["shut"].address, source=fleet["xen1"].loopback)
    assert told["message"].endswith("; the question came from %s" % fleet["xen1"].loopback)
