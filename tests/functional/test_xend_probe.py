"""xend.probe against the relocation ports of simulated hosts, and against a broken network."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from salt.exceptions import CommandExecutionError

from tests.harness.loading import REPO, host_opts
from tests.lab import tls
from tests.lab.fleet import HostSpec

SHUT = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost$')\n"
SECURE = (
    "(xend-relocation-server yes)\n"
    "(xend-relocation-ssl-server yes)\n"
    "(xend-relocation-server-ssl-key-file relocation.key)\n"
    "(xend-relocation-server-ssl-cert-file relocation.crt)\n"
)
TIMEOUT_S = 1


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


@pytest.mark.parametrize("name, result", RESULTS.items())
def test_one_peer(minion, fleet, name, result):
    host = fleet[name]
    found = minion.modules.xend.probe(host.address, timeout=TIMEOUT_S)
    assert (found["result"], found["address"], found["port"]) == (result, host.address, 8002)
    assert "%s:8002" % host.address in found["message"] and "\n" not in found["message"]


@pytest.mark.parametrize("name, result", dict(RESULTS, shut="refused").items())
def test_one_peer_over_tls(minion, fleet, name, result):
    found = minion.modules.xend.probe(fleet[name].address, ssl=True, timeout=TIMEOUT_S)
    assert (found["result"], found["port"]) == (result, 8003)


@pytest.mark.parametrize(
    "ssl, port, results", [(True, 8002, ["not-xend"]), (False, 8003, ["timeout", "not-xend"])]
)
def test_the_wrong_kind_of_port(minion, fleet, ssl, port, results):
    found = minion.modules.xend.probe(fleet["open"].address, ssl=ssl, port=port, timeout=TIMEOUT_S)
    assert found["result"] in results


def test_the_whole_fleet_at_once(minion, fleet):
    began = time.monotonic()
    found = minion.modules.xend.probe(timeout=TIMEOUT_S)
    assert {name: answer["result"] for name, answer in found.items()} == RESULTS
    listed = minion.modules.xend.probe([host.address for host in fleet], timeout=TIMEOUT_S)
    assert len(listed) == len(RESULTS) + 1
    # Each call has one mute peer, and asks all of them at the same time.
    assert time.monotonic() - began < 3 * TIMEOUT_S


def test_many_mute_peers_cost_no_more_than_one(minion, fleet):
    with contextlib.ExitStack() as stack:
        peers = ["127.0.%d.%d" % (fleet.state["net"], last) for last in range(210, 250)]
        for peer in peers:
            stack.enter_context(socket.create_server((peer, 8002)))
        began = time.monotonic()
        found = minion.modules.xend.probe(peers, timeout=TIMEOUT_S)
        assert time.monotonic() - began < 3 * TIMEOUT_S
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

IN_NETWORK = """
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
import xend_probe
for command in json.loads(sys.argv[2]):
    subprocess.run(command, check=True, timeout=10)
print(json.dumps(xend_probe.ask("10.20.0.12", 8002, timeout_s=0.5)))
"""


@pytest.mark.parametrize(
    "route, result, said",
    [
        (None, "unreachable", "Network is unreachable"),
        ("unreachable", "unreachable", "No route to host"),
        ("prohibit", "unreachable", "Permission denied"),
    ],
)
def test_no_way_to_the_peer(route, result, said):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network namespace needs root, unshare and ip")
    commands = [["ip", "link", "set", "lo", "up"]]
    if route:
        commands.append(["ip", "route", "add", route, "10.20.0.0/24"])
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", IN_NETWORK]
        + [str(REPO / "_utils"), json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no network namespace may be made here: %s" % done.stderr.strip())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
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
