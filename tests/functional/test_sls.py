"""The SLS files as Salt renders them, and the firewall rules in a network of their own."""

import functools
import json
import os
import re
import socket
import subprocess

import pytest
import salt.utils.path
import yaml

from tests.harness import network
from tests.harness.loading import REPO

FILE_ROOTS = {"base": [str(REPO / "salt")]}
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "id": "xen1"}
INSIDE = "127.0.77.11"
HOSTS = {"xen1": "10.20.0.11", "xen2": "10.20.0.12", "xen3": "10.20.0.13"}


@pytest.fixture
def show(load):
    """A function that renders an SLS for xen1: {state id: (function, its arguments)}."""

    def render(sls, firewall=None, **relocation):
        xend = {"relocation": dict({"hosts": HOSTS}, **relocation)}
        if firewall is not None:
            xend["firewall"] = firewall
        minion = load(pillar={"xend": xend}, file_roots=FILE_ROOTS, grains=GRAINS)
        shown = minion.modules.state.show_sls(sls, pillar={"xend": xend})
        assert isinstance(shown, dict), shown
        return {name: parts(state) for name, state in shown.items()}

    return render


def parts(state):
    ((module, chunks),) = (
        (key, value) for key, value in state.items() if not key.startswith("__")
    )
    (function,) = (chunk for chunk in chunks if isinstance(chunk, str))
    arguments = {}
    for chunk in chunks:
        if isinstance(chunk, dict) and "order" not in chunk:
            arguments.update(chunk)
    return "%s.%s" % (module, function), arguments


def accept(**rule):
    return (
        "iptables.insert",
        {
            "chain": "XEND-RELOCATION",
            "position": 1,
            "jump": "ACCEPT",
            "save": False,
            "require": [{"iptables": "xend-firewall-chain"}],
            **rule,
        },
    )


def jump(port, save=False):
    return (
        "iptables.insert",
        {
            "chain": "INPUT",
            "position": 1,
            "proto": "tcp",
            "dport": port,
            "jump": "XEND-RELOCATION",
            "save": save,
            "require": [{"iptables": "xend-firewall-drop-others"}],
        },
    )


@pytest.mark.parametrize("asked", [None, False])
def test_no_firewall_unless_asked_for(show, asked):
    assert show("xend.firewall", asked) == {}


def test_the_firewall_admits_the_peers_and_drops_the_rest(show):
    assert show("xend.firewall", True) == {
        "xend-firewall-chain": ("iptables.chain_present", {"name": "XEND-RELOCATION"}),
        "xend-firewall-accept-established": accept(match="state", connstate="ESTABLISHED"),
        "xend-firewall-accept-10.20.0.12/32": accept(source="10.20.0.12/32"),
        "xend-firewall-accept-10.20.0.13/32": accept(source="10.20.0.13/32"),
        "xend-firewall-drop-others": (
            "iptables.append",
            {
                "chain": "XEND-RELOCATION",
                "jump": "DROP",
                "save": False,
                "require": [{"iptables": "xend-firewall-chain"}],
            },
        ),
        "xend-firewall-port-8002": jump(8002),
    }


def test_the_firewall_guards_the_ports_that_are_open(show):
    both = show("xend.firewall", {"save": True}, port=8012, ssl_server=True)
    assert both["xend-firewall-port-8012"] == jump(8012, save=True)
    assert both["xend-firewall-port-8003"] == jump(8003, save=True)
    off = show("xend.firewall", True, server=False)
    assert not any(name.startswith("xend-firewall-port") for name in off)


@pytest.mark.parametrize(
    "allowed, said",
    [
        ("any", "'any' is no address or network"),
        ([".example.com"], "'.example.com' is no address or network"),
        ([{"regex": "^xen"}], "is no address or network"),
        (["10.20.0.1/24"], "write 10.20.0.0/24 for the network or 10.20.0.1 for the host"),
        (["0.0.0.0/0"], "every address"),
        ([], "no entry"),
    ],
)
def test_who_is_no_address_cannot_be_told_to_a_firewall(show, allowed, said):
    (state,) = show("xend.firewall", True, hosts_allow=allowed).values()
    assert state[0] == "test.fail_without_changes"
    assert "xend:firewall:peers" in state[1]["name"] and "xen1" in state[1]["name"]
    assert said in state[1]["name"]
    named = show("xend.firewall", {"peers": ["10.20.0.0/24"]}, hosts_allow=allowed)
    assert named["xend-firewall-accept-10.20.0.0/24"] == accept(source="10.20.0.0/24")


@pytest.mark.parametrize("own", [{"server": False}, {"adress": "10.20.0.13"}, None])
def test_a_host_without_an_address_does_not_disturb_the_others(show, own):
    shown = show("xend.relocation", hosts=dict(HOSTS, xen9=own))
    assert shown["xend-relocation-config"][1]["hosts_allow"] == sorted(
        address for host, address in HOSTS.items() if host != "xen1"
    )


@pytest.mark.parametrize("restart", ["no", "false", None, []])
def test_text_is_no_leave_to_restart(show, restart):
    (state,) = show("xend.relocation", restart=restart).values()
    assert state[0] == "test.fail_without_changes"
    assert "restart" in state[1]["name"] and "neither true nor false" in state[1]["name"]


@pytest.mark.parametrize("accept", [["on_xend_stop"], ["on_xend_start", "evacuation"], [], "on_xend_stop"])
def test_what_a_restart_may_do_to_guests_is_handed_on(show, accept):
    for sls in ("xend.relocation", "xend.relocation.clean"):
        common = show(sls, restart_accept=accept)["xend-relocation-applied"][1]
        assert common["accept"] == accept
        own = {"address": HOSTS["xen1"], "restart_accept": accept}
        shown = show(sls, hosts=dict(HOSTS, xen1=own), restart_accept=["on_xend_start"])
        assert shown["xend-relocation-applied"][1]["accept"] == accept
        assert "accept" not in show(sls, restart_accept=None)["xend-relocation-applied"][1]


@pytest.mark.parametrize(
    "wrong", ["shutdown", ["shutdown"], True, False, 1, {"on_xend_stop": True}, [["on_xend_stop"]], [None]]
)
def test_what_a_restart_cannot_be_allowed_is_named(show, wrong):
    own = {"address": HOSTS["xen1"], "restart_accept": wrong}
    for relocation in ({"restart_accept": wrong}, {"hosts": dict(HOSTS, xen1=own)}):
        (state,) = show("xend.relocation", **relocation).values()
        assert state[0] == "test.fail_without_changes"
        said = "restart_accept, %s, is no list out of on_xend_stop, on_xend_start and evacuation"
        said = said % json.dumps(wrong)
        assert said in state[1]["name"]


def test_a_setting_that_the_firewall_does_not_know(show):
    (state,) = show("xend.firewall", {"peer": ["10.20.0.12"]}).values()
    assert state[0] == "test.fail_without_changes"
    assert "xend:firewall knows peers and save only, not peer." in state[1]["name"]


@pytest.mark.parametrize("firewall", ["false", "yes", 1, ["10.20.0.12"]])
def test_a_firewall_that_is_neither_on_nor_off(show, firewall):
    (state,) = show("xend.firewall", firewall).values()
    assert state[0] == "test.fail_without_changes"
    assert "xend:firewall" in state[1]["name"] and "neither true nor false" in state[1]["name"]


@pytest.mark.parametrize(
    "peers, admitted",
    [
        (["10.20.0.12", "10.20.0.12/32"], ["10.20.0.12/32"]),
        (["10.20.0.12", "10.20.0.0/255.255.255.0"], ["10.20.0.0/24"]),
        ("10.20.0.13", ["10.20.0.13/32"]),
    ],
)
def test_a_peer_has_one_rule_however_it_is_written(show, peers, admitted):
    shown = show("xend.firewall", {"peers": peers})
    assert [
        state[1]["source"] for state in shown.values() if "source" in state[1]
    ] == admitted


def test_the_only_host_has_no_peer_to_admit(show):
    (state,) = show("xend.firewall", True, hosts={"xen1": "10.20.0.11"}).values()
    assert state[0] == "test.fail_without_changes"


def test_clean_switches_relocation_off_and_applies_it(show):
    assert show("xend.relocation.clean", backup="minion") == {
        "xend-relocation-config": (
            "xend.relocation",
            {"server": False, "ssl_server": False, "backup": "minion"},
        ),
        "xend-relocation-applied": (
            "xend.applied",
            {"restart": True, "watch": [{"xend": "xend-relocation-config"}]},
        ),
    }


@pytest.mark.parametrize("sls", ["xend.relocation", "xend.relocation.clean"])
def test_the_file_of_a_host_is_the_one_that_is_changed(load, tmp_path, sls):
    for name in ("own", "option"):
        (tmp_path / name).write_text("(xend-relocation-server no)\n(xend-relocation-ssl-server yes)\n")
    untouched = (tmp_path / "option").read_bytes()
    own = {"address": "10.20.0.11", "config": str(tmp_path / "own"), "restart": False, "service": "xen"}
    pillar = {"xend": {"relocation": {"hosts": dict(HOSTS, xen1=own)}}}
    minion = load(
        pillar=pillar,
        file_roots=FILE_ROOTS,
        grains=GRAINS,
        xend={"config": str(tmp_path / "option"), "pidfile": str(tmp_path / "pid")},
    )
    done = minion.modules.state.sls(sls)
    assert [state["result"] for state in done.values()] == [True, True], done
    assert untouched not in (tmp_path / "own").read_bytes()
    assert (tmp_path / "option").read_bytes() == untouched


@pytest.mark.parametrize(
    "xend, said",
    [
        ({"folow": True}, "xend:folow is no setting"),
        ({"relocation": {"hosts": HOSTS, "adress": "10.20.0.11"}}, "xend:relocation:adress is no setting"),
        ({"relocation": {"hosts": dict(HOSTS, xen1={"prot": 1})}}, "xend:relocation:prot is no setting"),
        ({"relocation": {"hosts": ["xen1"]}}, "xend:relocation:hosts is no mapping"),
        ({"relocation": ["xen1"]}, "xend:relocation is no mapping"),
        ({"relocation": {"hosts": {"xen2": "10.20.0.12"}}}, "xend:relocation:hosts has no address for xen1"),
        ({"relocation": {"hosts": {"xen1": "10.20.0.11"}}}, "xend:relocation:hosts names no other host"),
    ],
)
def test_what_is_wrong_in_the_pillar_is_named_and_nothing_is_written(load, xend, said):
    pillar = {"xend": dict({"relocation": {"hosts": HOSTS}}, **xend)}
    minion = load(pillar=pillar, file_roots=FILE_ROOTS, grains=GRAINS)
    (state,) = map(parts, minion.modules.state.show_sls("xend.relocation", pillar=pillar).values())
    assert state[0] == "test.fail_without_changes"
    assert "Nothing was changed" in state[1]["name"] and said in state[1]["name"]


def test_every_setting_of_the_example_is_known(load):
    """What is commented out there as well."""
    text = (REPO / "salt/xend/pillar.example").read_text()
    settings = "\n".join(
        re.sub(r"^(  (?:  )?)# ", r"\1", line)
        for line in text.splitlines()
        if re.match(r"  (  )?# [a-z_]+:( |$)", line) or line.startswith(("xend:", "  relocation:"))
    )
    xend = yaml.safe_load(settings)["xend"]
    assert {"follow", "service"} <= set(xend) and {"restart", "ssl_server"} <= set(xend["relocation"])
    xend["relocation"]["hosts"] = HOSTS
    minion = load(pillar={"xend": xend}, file_roots=FILE_ROOTS, grains=GRAINS)
    shown = minion.modules.state.show_sls("xend.relocation", pillar={"xend": xend})
    assert "xend-relocation-applied" in shown, shown


def test_relocation_takes_every_setting_from_the_pillar(show):
    settings = {
        "port": 8012,
        "hosts_allow": [".xen.example.com"],
        "ssl_server": True,
        "ssl_port": 8013,
        "ssl": True,
        "ssl_key_file": "relocation.key",
        "ssl_cert_file": "relocation.crt",
    }
    function, arguments = show("xend.relocation", **settings)["xend-relocation-config"]
    assert function == "xend.relocation"
    assert arguments == {"server": True, "address": "10.20.0.11", **settings}


WRONG = {
    "folow": True,
    "kept": 5,
    "announce": {"a": 1},
    "firewall": {"peer": ["10.20.0.12"], "save": 1},
    "relocation": {
        "adress": "10.20.0.11",
        "port": "http",
        "server": "maybe",
        "hosts_allow": ["0.0.0.0/0", ".com", "10.20.0.1/24"],
        "hosts": {"xen1": {"address": "10.20.0.11", "prot": 1}, "xen2": "any", "xen3": "10.20.0.11", None: 1},
    },
}
SAID = [
    "xend:folow is no setting; did you mean follow?",
    "xend:kept, 5, is no text",
    "xend:announce, ",
    "xend:firewall knows peers and save only, not peer",
    "xend:firewall:save, 1,",
    "xend:relocation:adress is no setting; did you mean address?",
    'xend:relocation:port, "http", is no port',
    "xend:relocation:server: 'maybe' is no boolean",
    "'0.0.0.0/0' admits every address",
    "'.com' is a whole top-level domain",
    "'10.20.0.1/24' has host bits set",
    "xend:relocation:prot is no setting; did you mean port? (it stands under hosts:xen1)",
    'xend:relocation:hosts:xen2, "any", is no address',
    "xen1 and xen3 have one address, 10.20.0.11",
    "xend:relocation:hosts: null is no minion id",
]


@pytest.mark.parametrize("test", [False, True])
def test_all_mistakes_in_the_pillar_are_named_at_once(load, config, test):
    before = config.read_bytes()
    pillar = {"xend": WRONG}
    minion = load(
        pillar=pillar, test=test, file_roots=FILE_ROOTS, grains=GRAINS, xend={"config": str(config)}
    )
    (state,) = minion.modules.state.sls("xend.relocation", test=test).values()
    assert state["result"] is False and config.read_bytes() == before
    for said in SAID:
        assert said in state["name"], said
        assert test or said in state["comment"]


ODD = [
    "on",
    ["xen1"],
    5,
    True,
    {"relocation": 5},
    {"relocation": "on"},
    {"relocation": [{"hosts": {}}]},
    {"relocation": {"hosts": ["xen1", "xen2"]}},
    {"relocation": {"hosts": {"xen1": [1, 2], "xen2": {"address": {"a": 1}}}}},
    {"relocation": {"hosts": HOSTS, "hosts_allow": 5}},
    {"relocation": {"hosts": HOSTS, "hosts_allow": [[]]}},
    {"relocation": {"hosts": HOSTS, "restart": {"a": 1}, "restart_accept": 5}},
    {"relocation": {"hosts": HOSTS, 5: 6, None: 7}},
    {1: 2, None: 3, "relocation": {"hosts": HOSTS}},
    {"firewall": 5, "relocation": {"hosts": HOSTS}},
    {"firewall": {"peers": {"a": 1}}, "relocation": {"hosts": HOSTS}},
    {"source": ["10.20.0.11"], "domain_files": 5, "relocation": {"hosts": HOSTS}},
]


def test_a_pillar_of_any_form_renders(load):
    minion = load(file_roots=FILE_ROOTS, grains=GRAINS)
    for xend in ODD:
        pillar = {"xend": xend}
        shown = minion.modules.state.show_sls("xend.relocation", pillar=pillar)
        (state,) = map(parts, shown.values())
        assert state[0] == "test.fail_without_changes", xend
        assert "In the pillar, xend" in state[1]["name"], xend


@pytest.mark.parametrize("xend", ["on", {"relocation": {"hosts": "on", "restart": 5}}])
def test_a_door_can_be_closed_whatever_the_pillar_is(load, xend):
    minion = load(pillar={"xend": xend}, file_roots=FILE_ROOTS, grains=GRAINS)
    shown = minion.modules.state.show_sls("xend.relocation.clean")
    assert parts(shown["xend-relocation-config"])[0] == "xend.relocation"
    assert isinstance(minion.modules.state.show_sls("xend.firewall.clean"), dict)


def test_ids_that_yaml_reads_as_numbers(load):
    pillar = {"xend": {"relocation": {"hosts": {1: "10.20.0.11", 2: "10.20.0.12"}}}}
    minion = load(pillar=pillar, file_roots=FILE_ROOTS, grains=dict(GRAINS, id="1"), id="1")
    shown = parts(minion.modules.state.show_sls("xend.relocation")["xend-relocation-config"])[1]
    assert shown["address"] == "10.20.0.11" and shown["hosts_allow"] == ["10.20.0.12"]
    assert minion.modules.xend.peer("2")["address"] == "10.20.0.12"


@pytest.mark.parametrize("sls", ["xend.relocation", "xend.relocation.clean", "xend.firewall"])
def test_without_the_modules_one_sentence_says_so(load, sls):
    pillar = {"xend": {"firewall": True, "relocation": {"hosts": HOSTS}}}
    # With no iptables, so that no rule can be made on the machine that tests this.
    lacks = ["xend", "xend_daemon", "xend_peers", "iptables"]
    minion = load(pillar=pillar, file_roots=FILE_ROOTS, grains=GRAINS, disable_modules=lacks)
    (state,) = minion.modules.state.sls(sls).values()
    assert state["result"] is False and "`salt xen1 saltutil.sync_all`" in state["name"]


def test_one_name_for_all_that_the_pillar_says(show):
    for firewall in (None, True):
        parts = dict(show("xend.relocation", firewall), **show("xend.firewall", firewall))
        assert show("xend", firewall) == parts
        assert ("xend-firewall-chain" in parts) is bool(firewall)
    # A door that is closed leaves nothing open, and a guard that is asked for stands all the same.
    closed = show("xend", True, server=False)
    assert closed["xend-relocation-config"][1]["server"] is False and "xend-firewall-chain" in closed
    assert show("xend.clean") == show("xend.relocation.clean")
    assert show("xend.clean", True) == show("xend.relocation.clean", True)


def test_without_the_modules_all_says_so_too(load):
    pillar = {"xend": {"firewall": True, "relocation": {"hosts": HOSTS}}}
    lacks = ["xend", "xend_daemon", "xend_peers", "iptables"]
    minion = load(pillar=pillar, file_roots=FILE_ROOTS, grains=GRAINS, disable_modules=lacks)
    for sls in ("xend", "xend.clean"):
        for state in minion.modules.state.sls(sls).values():
            assert state["result"] is False and "`salt xen1 saltutil.sync_all`" in state["name"]


def test_the_door_waits_for_its_guard(show):
    shown = show("xend.relocation", True, port=8012)
    assert shown["xend-relocation-guarded"] == (
        "xend.guarded",
        {"ports": [8012], "sources": ["10.20.0.12/32", "10.20.0.13/32"]},
    )
    assert shown["xend-relocation-config"][1]["require"] == [
        {"sls": "xend.firewall"},
        {"xend": "xend-relocation-guarded"},
    ]
    assert {name: shown[name] for name in shown if name.startswith("xend-firewall")} == show(
        "xend.firewall", True, port=8012
    )


def test_a_door_that_is_closed_waits_for_no_guard(show):
    for sls in ("xend.relocation", "xend.relocation.clean"):
        shown = show(sls, True, server=False)
        assert sorted(shown) == ["xend-relocation-applied", "xend-relocation-config"]
        assert "require" not in shown["xend-relocation-config"][1]


@pytest.mark.parametrize("wrong", ["yes", {"peer": []}, {"save": 5}])
def test_no_door_is_opened_when_the_pillar_asks_for_a_guard_that_cannot_be(show, wrong):
    (state,) = show("xend.relocation", wrong).values()
    assert state[0] == "test.fail_without_changes" and "xend:firewall" in state[1]["name"]
    assert show("xend.relocation", wrong, server=False)["xend-relocation-config"][0] == "xend.relocation"
    (state,) = show("xend.relocation", True, hosts_allow=".example.com").values()
    assert "xend:firewall:peers" in state[1]["name"]


@pytest.fixture
def host_with(load, config, tmp_path, monkeypatch):
    """
    A function that gives a minion on a host with these iptables: None, it has none; else a text, what its
    programs print before they fail. Never those of this machine.
    """

    def make(says, test=False, **relocation):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("iptables", "iptables-save"):
            (folder / name).write_text("#!/bin/sh\necho '%s' >&2\nexit 4\n" % says)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
        assert salt.utils.path.which("iptables") == str(folder / "iptables")
        settings = dict({"hosts": HOSTS, "restart": False}, **relocation)
        return load(
            pillar={"xend": {"firewall": True, "relocation": settings}},
            test=test,
            file_roots=FILE_ROOTS,
            grains=GRAINS,
            xend={"config": str(config), "pidfile": str(tmp_path / "pid")},
            disable_modules=["iptables"] if says is None else [],
        )

    return make


BROKEN = "Permission denied (you must be root)"


@pytest.mark.parametrize("says, test", [(None, False), (BROKEN, False), (BROKEN, True)])
def test_without_a_firewall_that_stands_no_door_opens(host_with, config, says, test):
    before = config.read_bytes()
    found = host_with(says, test).modules.state.sls("xend.relocation", test=test)
    done = {tag.split("_|-")[1]: state for tag, state in found.items()}
    assert config.read_bytes() == before
    for name in ("xend-relocation-guarded", "xend-relocation-config", "xend-relocation-applied"):
        assert done[name]["result"] is False, done
    said = done["xend-relocation-guarded"]["comment"]
    assert (says or "this host has no iptables: install it") in said and "the port is not open" in said


def test_without_a_firewall_the_door_can_be_closed(host_with, config):
    for sls in ("xend.relocation", "xend.relocation.clean"):
        config.write_text("(xend-relocation-server yes)\n(xend-relocation-hosts-allow ^a$)\n")
        done = host_with(BROKEN, server=False).modules.state.sls(sls)
        assert [state["result"] for state in done.values()] == [True, True], done
        assert "(xend-relocation-server no)" in config.read_text()


# In a network namespace, where iptables is real and nobody else's.

def reaches(port, source):
    with socket.create_server((INSIDE, port)), socket.socket() as peer:
        peer.bind((source, 0))
        peer.settimeout(0.3)
        try:
            peer.connect((INSIDE, port))
            return True
        except TimeoutError:
            return False


def applied(load, config, steps):
    """Apply SLS after SLS; return a report of each."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    report = []
    for sls, xend in steps:
        if sls.startswith("-"):
            subprocess.run(["iptables", *sls.split()], check=True, timeout=60)
            continue
        if sls.startswith("("):
            config.write_text(sls)
            continue
        sls, _, test = sls.partition(" ")
        found = load(pillar={"xend": xend}).modules.state.sls(sls, test=bool(test))
        assert isinstance(found, dict), found
        rules = subprocess.run(["iptables", "-S"], capture_output=True, text=True, timeout=60).stdout
        report.append(
            {
                "results": sorted({str(state["result"]) for state in found.values()}),
                "comments": [state["comment"] for state in found.values() if not state["result"]],
                "changed": sorted(state["__id__"] for state in found.values() if state["changes"]),
                "rules": [line for line in rules.splitlines() if "XEND" in line],
                "file": config.read_text(),
                "reached": [
                    "%d from %s" % (port, source)
                    for port in (8002, 8003, 8012, 9000)
                    for source in ("127.0.77.12", "127.0.77.13")
                    if reaches(port, source)
                ],
            }
        )
    return report


@pytest.fixture
def in_network(load, tmp_path):
    """A function that applies SLS after SLS in a new network, and reports after each of them."""
    config = tmp_path / "xend-config.sxp"
    config.write_text("(xend-relocation-server no)\n")
    xend = {"config": str(config), "pidfile": str(tmp_path / "pid")}
    minion = functools.partial(load, file_roots=FILE_ROOTS, grains=GRAINS, xend=xend)

    def run(*steps):
        return network.alone(applied, minion, config, steps, programs=("ip", "iptables"))

    return run


def pillar(*peers, **changes):
    hosts = {"xen1": INSIDE}
    hosts.update({"peer%s" % last: "127.0.77.%s" % last for last in peers})
    return {"firewall": True, "relocation": dict({"hosts": hosts}, **changes)}


def test_the_rules_in_a_real_kernel(in_network):
    one, again, other, moved, clean, clean_again = in_network(
        ["xend.firewall", pillar(12)],
        ["xend.firewall", pillar(12)],
        ["xend.firewall", pillar(13)],
        ["xend.firewall", pillar(12, 13, port=8012, ssl_server=True)],
        ["xend.firewall.clean", pillar(12)],
        ["xend.firewall.clean", pillar(12)],
    )
    for step in (one, again, other, moved, clean, clean_again):
        assert step["results"] in ([], ["True"]), step
    unguarded = ["9000 from 127.0.77.12", "9000 from 127.0.77.13"]
    both = ["127.0.77.12", "127.0.77.13"]
    assert one["reached"] == sorted(
        ["8002 from 127.0.77.12"]
        + ["%d from %s" % (port, source) for port in (8003, 8012) for source in both]
        + unguarded
    )
    assert again["changed"] == [] and again["rules"] == one["rules"]
    assert [line for line in other["reached"] if line.startswith("8002")] == [
        "8002 from 127.0.77.13"
    ]
    assert len(other["rules"]) == len(one["rules"])
    assert [line for line in moved["reached"] if "8002" in line] == [
        "8002 from %s" % source for source in both
    ]
    assert not any("--dport 8002" in line for line in moved["rules"])
    assert sum("-A INPUT" in line for line in moved["rules"]) == 2
    assert clean["rules"] == [] and len(clean["reached"]) == 8
    assert clean_again["changed"] == []


def test_peers_in_the_kernel_however_they_are_written(in_network):
    asked = pillar(hosts_allow=["127.0.77.12", "127.0.77.12/32", "127.0.77.8/255.255.255.248"])
    one, again = in_network(["xend.firewall", asked], ["xend.firewall", asked])
    assert one["results"] == again["results"] == ["True"]
    assert again["changed"] == [] and again["rules"] == one["rules"]
    assert sum("-s 127.0.77.8/29" in line for line in one["rules"]) == 1
    assert [line for line in one["reached"] + again["reached"] if "8002" in line] == [
        "8002 from %s" % source for source in ("127.0.77.12", "127.0.77.13") * 2
    ]


def test_host_bits_leave_the_rules_in_the_kernel_as_they_are(in_network):
    wrong = pillar(hosts_allow=["127.0.77.12/24"])
    one, refused, again = in_network(
        ["xend.firewall", pillar(12)], ["xend.firewall", wrong], ["xend.firewall", wrong]
    )
    for step in (refused, again):
        assert step["results"] == ["False"] and step["changed"] == []
        assert step["rules"] == one["rules"] and step["reached"] == one["reached"]


def test_the_door_opens_behind_its_guard_and_the_guard_goes_last(in_network):
    asked = pillar(12, restart=False)
    tried, one, again, stuck, clean = in_network(
        ["xend.relocation test", asked],
        ["xend.relocation", asked],
        ["xend.relocation", asked],
        ["(a file that xend cannot read", {}],
        ["xend.relocation.clean", asked],
        ["(xend-relocation-server yes)", {}],
        ["xend.relocation.clean", asked],
    )
    assert "False" not in tried["results"] and tried["rules"] == [], tried
    assert tried["file"] == "(xend-relocation-server no)\n"
    assert one["results"] == again["results"] == ["True"], one
    assert "(xend-relocation-server yes)" in one["file"] and "(xend-relocation-server no)" in clean["file"]
    assert [line for line in one["reached"] if "8002" in line] == ["8002 from 127.0.77.12"]
    assert again["changed"] == [] and again["rules"] == one["rules"]
    # A door that could not be closed keeps its guard.
    assert stuck["results"] == ["False"] and stuck["rules"] == one["rules"], stuck
    assert clean["results"] == ["True"] and clean["rules"] == [], clean


def test_a_door_that_the_guard_does_not_cover_stays_closed(in_network):
    """Somebody's own rule stands above, or among, those of the guard."""
    asked = pillar(12, restart=False)
    above, among = "INPUT -p tcp --dport 8002 -j ACCEPT", "XEND-RELOCATION -j ACCEPT"
    one, two, let = in_network(
        ["xend.firewall", asked],
        ["-I " + above, {}],
        ["xend.relocation", asked],
        ["-D " + above, {}],
        ["-I " + among, {}],
        ["xend.relocation", asked],
        ["-D " + among, {}],
        ["-I INPUT -i eth9 -j ACCEPT", {}],
        ["-I INPUT -p tcp --dport 22 -j ACCEPT", {}],
        ["-A INPUT -j ACCEPT", {}],
        ["xend.relocation", asked],
    )[1:]
    for refused, said in (
        (one, "a rule of the chain INPUT admits everybody to port 8002"),
        (two, "XEND-RELOCATION admits everybody"),
    ):
        assert refused["results"] == ["False", "True"]
        assert refused["file"] == "(xend-relocation-server no)\n"
        assert said in " ".join(refused["comments"]), refused
    assert let["results"] == ["True"] and "(xend-relocation-server yes)" in let["file"], let
