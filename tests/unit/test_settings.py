"""What the pillar says for a host, and all that is wrong with it. Runs on Python 2.7, too."""

import datetime
import importlib

import pytest

import xend_settings

HOSTS = {"xen1": "10.20.0.11", "xen2": "10.20.0.12", "xen3": "10.20.0.13"}


def declared(**hosts):
    return xend_settings.declared({"relocation": {"hosts": hosts}}, importlib.import_module)


# -- The hosts ----------------------------------------------------------------------------------


def test_declared_hosts():
    pillar = {"relocation": {"port": 8010, "hosts": {"xen1": "10.20.0.11", "xen3": None}}}
    pillar["relocation"]["hosts"]["xen2"] = {"address": "10.20.0.12", "port": "8012", "ssl_port": 8013}
    assert xend_settings.declared(pillar, importlib.import_module) == (
        {
            "xen1": {"address": "10.20.0.11", "port": 8010, "ssl_port": 8003},
            "xen2": {"address": "10.20.0.12", "port": 8012, "ssl_port": 8013},
            "xen3": {"address": None, "port": 8010, "ssl_port": 8003},
        },
        [],
    )


@pytest.mark.parametrize("pillar", [None, {}, {"relocation": None}, {"relocation": {"hosts": None}}])
def test_no_hosts_are_declared(pillar):
    assert xend_settings.declared(pillar, importlib.import_module) == ({}, [])


@pytest.mark.parametrize(
    "pillar, said",
    [
        ("on", 'xend is no mapping with settings, but "on"'),
        (["xen1"], 'xend is no mapping with settings, but ["xen1"]'),
        (5, "xend is no mapping with settings, but 5"),
        ({"relocation": 5}, "xend:relocation is no mapping with settings, but 5"),
        ({"relocation": {"hosts": ["xen1"]}}, "xend:relocation:hosts is no mapping from minion ids"),
        ({"relocation": {"hosts": "10.20.0.11"}}, "xend:relocation:hosts is no mapping from minion ids"),
    ],
)
def test_a_pillar_of_another_form_declares_nobody(pillar, said):
    hosts, wrong = xend_settings.declared(pillar, importlib.import_module)
    assert hosts == {} and len(wrong) == 1 and said in wrong[0]


@pytest.mark.parametrize(
    "address, said",
    [
        ("any", "hosts_allow"),
        ("ANY", "hosts_allow"),
        ("", "names are not resolved"),
        ("xen2", "names are not resolved"),
        ("xen2.example.com", "names are not resolved"),
        (".example.com", "names are not resolved"),
        (".*", "names are not resolved"),
        ("eth1", "names are not resolved"),
        ("k\xf6ln", "names are not resolved"),
        ("10.20.0.12\n", "one IPv4 address"),
        ("10.20.0.12 10.20.0.13", "four numbers"),
        ("10.20.0.0/24", "network"),
        ("10.20.0.12/32", "network"),
        ("0.0.0.0/0", "network"),
        ("0.0.0.0", "all of them"),
        ("0.1.2.3", "all of them"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("224.0.0.1", "multicast"),
        ("239.255.0.1", "multicast"),
        ("127.0.0.1", "every machine itself"),
        ("127.0.1.1", "every machine itself"),
        ("10.20.0.300", "four numbers"),
        ("10.20.0.012", "leading zeros"),
        ("10.20.0", "four numbers"),
        ("10.20.0.12:8002", "{address: 10.20.0.12, port: 8002}"),
        ("fe80::1", "IPv6"),
        (["10.20.0.12"], "is a list"),
        (["10.20.0.12", "10.20.0.13"], "is a list"),
        (10.2, "is no text"),
        (169090571, "is no text"),
        (True, "is no text"),
        (False, "is no text"),
    ],
)
def test_each_host_has_one_ipv4_address(address, said):
    for entry, path in ((address, "xend:relocation:hosts:xen2,"), ({"address": address}, "xen2:address,")):
        hosts, wrong = declared(xen1="10.20.0.11", xen2=entry)
        (sentence,) = wrong
        assert path in sentence and said in sentence and "\n" not in sentence, sentence
        assert hosts["xen2"]["address"] is None and hosts["xen1"]["address"] == "10.20.0.11"


@pytest.mark.parametrize("address", ["10.20.0.12", "192.0.2.255", "127.0.77.12", "1.0.0.0"])
def test_addresses_of_hosts(address):
    assert declared(xen2=address)[1] == [] and declared(xen2={"address": address})[1] == []


def test_text_of_the_pillar_is_what_messages_are_made_of():
    (found, _) = declared(**{"xen1": b"10.20.0.11".decode("ascii")})
    assert [type(text) for text in list(found) + [found["xen1"]["address"]]] == [str, str]
    (found, _) = xend_settings.declared(
        {"relocation": {"hosts": {b"k\xc3\xb6ln".decode("utf-8"): None}}}, importlib.import_module
    )
    assert list(found) == [b"k\xc3\xb6ln" if bytes is str else b"k\xc3\xb6ln".decode("utf-8")]




def test_no_two_hosts_have_one_address():
    _, found = declared(xen1="10.20.0.11", xen2={"address": "10.20.0.11", "port": 8012}, xen3="10.20.0.13")
    said = "xend:relocation:hosts: xen1 and xen2 have one address, 10.20.0.11: each host needs its own"
    assert found == [said]


def test_ids_are_text_and_a_whole_number_stands_for_its_text():
    pillar = {"relocation": {"hosts": {1: "10.20.0.11", "xen2": "10.20.0.12"}}}
    hosts, wrong = xend_settings.declared(pillar, importlib.import_module)
    assert wrong == [] and sorted(hosts) == ["1", "xen2"] and hosts["1"]["address"] == "10.20.0.11"
    pillar = {"relocation": {"hosts": {1: "10.20.0.11", "1": "10.20.0.12"}}}
    assert xend_settings.declared(pillar, importlib.import_module)[1] == [
        "xend:relocation:hosts:1 stands there twice, as a number and as text"
    ]


@pytest.mark.parametrize("key", [True, None, 1.5, "", datetime.date(2006, 1, 2), (1, 2)])
def test_what_is_no_id_is_named(key):
    named = {key: "10.20.0.11", "xen2": "10.20.0.12"}
    hosts, wrong = xend_settings.declared({"relocation": {"hosts": named}}, importlib.import_module)
    assert sorted(hosts) == ["xen2"] and len(wrong) == 1 and "put it in quotes" in wrong[0]


@pytest.mark.parametrize("port", [0, 65536, -1, "abc", "", True, 8002.0, [8002], {"a": 1}])
def test_ports_are_numbers_from_1_to_65535(port):
    for pillar, path in (
        ({"port": port}, "xend:relocation:port"),
        ({"ssl_port": port}, "xend:relocation:ssl_port"),
        ({"hosts": {"xen1": {"address": "10.20.0.11", "port": port}}}, "xend:relocation:hosts:xen1:port"),
    ):
        (sentence,) = xend_settings.declared({"relocation": pillar}, importlib.import_module)[1]
        assert sentence.startswith(path + ",") and "from 1 to 65535" in sentence


def test_all_that_is_wrong_with_the_hosts_is_named_at_once():
    _, wrong = xend_settings.declared(
        {"relocation": {"port": "x", "hosts": {"xen1": "any", None: 1, "xen2": {"address": "a", "port": 0}}}},
        importlib.import_module,
    )
    assert len(wrong) == 5


# -- The settings of one host -------------------------------------------------------------------


def settings(pillar, minion_id="xen1"):
    return xend_settings.settings(pillar, minion_id, importlib.import_module)


def wrong(pillar, minion_id="xen1"):
    return settings(pillar, minion_id)["wrong"]


def test_each_host_listens_on_its_address_and_admits_the_others():
    found = settings({"relocation": {"hosts": HOSTS}}, "xen2")
    assert found["relocation"] == {
        "server": True,
        "port": 8002,
        "address": "10.20.0.12",
        "hosts_allow": ["10.20.0.11", "10.20.0.13"],
    }
    assert (found["restart"], found["restart_accept"], found["ports"]) == (True, None, [8002])
    assert found["wrong"] == [] and found["firewall"]["asked"] is False


def test_the_mapping_of_a_host_overrides_what_holds_for_all():
    own = {"address": "10.20.0.11", "port": 8012, "restart": False, "restart_accept": None}
    own.update(backup="minion", ssl_server="yes", hosts_allow=["10.20.0.0/24"], config="/etc/xen/own.sxp")
    common = {"hosts": dict(HOSTS, xen1=own), "port": 8010, "ssl_port": "8013"}
    common["restart_accept"] = ["on_xend_stop"]
    found = settings({"relocation": common})
    assert found["wrong"] == []
    assert found["relocation"] == {
        "server": True,
        "port": 8012,
        "address": "10.20.0.11",
        "hosts_allow": ["10.20.0.0/24"],
        "ssl_server": True,
        "ssl_port": 8013,
        "backup": "minion",
    }
    assert (found["restart"], found["restart_accept"], found["ports"]) == (False, None, [8012, 8013])
    assert settings({"relocation": common}, "xen2")["restart_accept"] == ["on_xend_stop"]
    assert xend_settings.said_for(common, "xen1", "config") == "/etc/xen/own.sxp"
    assert xend_settings.said_for(common, "xen2", "config") is None
    assert xend_settings.said_for("on", "xen1", "config") is None


@pytest.mark.parametrize("server", [False, "no", "off", 0])
def test_a_host_that_is_off_needs_no_address_and_no_peers(server):
    found = settings({"relocation": {"server": server}, "firewall": {"peers": ["any"]}})
    assert found["wrong"] == [] and found["ports"] == [] and found["firewall"]["wrong"]


@pytest.mark.parametrize("entry", [None, {"server": False}, {"adress": "10.20.0.12"}])
def test_what_another_host_lacks_is_its_own_trouble(entry):
    found = settings({"relocation": {"hosts": dict(HOSTS, xen2=entry)}})
    assert found["wrong"] == [] and found["relocation"]["hosts_allow"] == ["10.20.0.13"]
    if entry != {"server": False}:
        assert "xend:relocation:hosts has no address for xen2" in wrong(
            {"relocation": {"hosts": dict(HOSTS, xen2=entry)}}, "xen2"
        )


@pytest.mark.parametrize("address", ["any", "xen2", "10.20.0.0/24", "0.0.0.0", ["10.20.0.12"], "10.20.0.11"])
def test_a_wrong_address_is_everybodys_trouble(address):
    for host in ("xen1", "xen2", "xen3"):
        assert wrong({"relocation": {"hosts": dict(HOSTS, xen2=address)}}, host), host


@pytest.mark.parametrize(
    "pillar, said",
    [
        ({"folow": True}, "xend:folow is no setting; did you mean follow?"),
        ({"qqq": True}, "xend:qqq is no setting"),
        ({"port": 8002}, "xend:port is no setting; it belongs under xend:relocation"),
        ({"hosts": {}}, "xend:hosts is no setting; it belongs under xend:relocation"),
        ({5: 6}, "xend:5 is no setting"),
        ({"follow": "yes"}, 'xend:follow, "yes", is neither true nor false'),
        ({"safety_copy": "maybe"}, 'xend:safety_copy, "maybe", is none of auto, required, off'),
        ({"safety_folder": "safety"}, 'xend:safety_folder, "safety", is no absolute path of a folder'),
        ({"safety_delay_s": "soon"}, 'xend:safety_delay_s, "soon", is no number of seconds'),
        ({"rate_mib_s": 0}, "xend:rate_mib_s, 0, is neither a number of MiB in a second"),
        ({"relay": "no"}, 'xend:relay, "no", is neither true nor false'),
        ({"loopback": 5}, "xend:loopback, 5, is no text"),
        ({"xm": ["xm"]}, 'xend:xm, ["xm"], is no text'),
        ({"domain_files": [5]}, "xend:domain_files, [5], is neither text nor a list of texts"),
        ({"firewall": "yes"}, 'xend:firewall, "yes", is neither true nor false'),
        ({"firewall": {"peer": 1, "sav": 2}}, "xend:firewall knows peers and save only, not peer, sav"),
        ({"firewall": {"save": 5}}, "xend:firewall:save, 5, is neither"),
        ({"firewall": {"peers": ["a.example"]}}, "'a.example' is no address or network"),
        ({"firewall": {"peers": ["0.0.0.0/1", "128.0.0.0/1"]}}, "'128.0.0.0/1' is wider than any network"),
    ],
)
def test_what_is_wrong_at_the_top(pillar, said):
    pillar = dict(pillar)
    pillar["relocation"] = {"hosts": HOSTS}
    (sentence,) = wrong(pillar)
    assert said in sentence


@pytest.mark.parametrize(
    "relocation, said",
    [
        ({"prot": 1}, "xend:relocation:prot is no setting; did you mean port?"),
        ({"firewall": True}, "xend:relocation:firewall is no setting; it belongs under xend"),
        ({"server": "maybe"}, "'maybe' is no boolean"),
        ({"ssl": 5}, "5 is no boolean"),
        ({"ssl_key_file": ""}, "'' is no file name"),
        ({"backup": "all"}, '"all", is none of minion, both and false'),
        ({"config": 5}, "config, 5, is no text"),
        ({"restart": "no"}, 'restart, "no", is neither true nor false'),
        ({"restart": None}, "restart, null, is neither true nor false"),
        ({"restart_accept": ["all"]}, "is no list out of on_xend_stop, on_xend_start and evacuation"),
        ({"hosts_allow": []}, "an empty list would admit everybody"),
        ({"hosts_allow": ["10.0.0.1/24"]}, "has host bits set"),
        ({"hosts_allow": ["0.0.0.0/0"]}, "admits every address"),
        ({"ssl_server": True, "ssl_port": 8002}, "port and ssl_port are both 8002"),
    ],
)
def test_what_is_wrong_for_all_hosts_or_for_one(relocation, said):
    (sentence,) = wrong({"relocation": dict(relocation, hosts=HOSTS)})
    assert sentence.startswith("xend:relocation:") and said in sentence
    own = dict(relocation, address="10.20.0.11")
    (sentence,) = wrong({"relocation": {"hosts": dict(HOSTS, xen1=own)}})
    assert said in sentence and ("hosts:xen1" in sentence or "both" in sentence)
    # That of another host is not this one's trouble.
    assert wrong({"relocation": {"hosts": dict(HOSTS, xen1=own)}}, "xen2") == []


def test_everything_that_is_wrong_is_named_at_once():
    relocation = {"prot": 1, "server": "maybe", "restart": "no", "hosts_allow": [".com", "xen9"]}
    relocation["hosts"] = dict(HOSTS, xen1={"address": "10.20.0.11", "a": 1}, xen2="any")
    found = wrong({"relocation": relocation, "firewall": {"peer": 1}, "folow": 1, "kept": 5})
    assert len(found) == 10 and len(set(found)) == 10, found


def test_a_pillar_that_cannot_be_read_says_only_that():
    for pillar in ("on", {"relocation": "on"}, {"relocation": {"hosts": "on"}}):
        assert len(wrong(pillar)) == 1
    # Whether it asks for rules nobody knows.
    assert settings("on")["firewall"]["asked"] is True and settings(None)["firewall"]["asked"] is False


def test_a_host_that_is_not_listed():
    found = wrong({"relocation": {"hosts": HOSTS}}, "xen9")
    instead = "; no line begins with that id, but with xen1, xen2, xen3"
    assert found == ["xend:relocation:hosts has no address for xen9" + instead]
    many = dict([("xen%d" % number, "10.20.1.%d" % number) for number in range(10, 30)])
    assert wrong({"relocation": {"hosts": many}}, "xen9")[0].endswith("xen18, xen19 and 10 more")
    (said,) = wrong(None)
    assert said.startswith("xend is missing for xen1: assign it in top.sls of the pillar, then run `salt ")


@pytest.mark.parametrize(
    "own, there", [("xen1", "xen1.example.com"), ("xen1.example.com", "xen1"), ("XEN1", "xen1")]
)
def test_a_host_that_is_listed_by_another_name_is_told_of_it(own, there):
    said = wrong({"relocation": {"hosts": {there: "10.20.0.11"}}}, own)[0]
    assert said.endswith("for %s; %s stands there, and is not the id of this minion" % (own, there))


@pytest.mark.parametrize("entry", ["10.20.0.11", {"address": "10.20.0.11", "port": 8012}])
def test_a_host_that_stands_too_far_to_the_left_is_told_where_it_belongs(entry):
    says = "xend:%sxen1 is no setting; hosts stand under xend:relocation:hosts, further to the right than"
    assert wrong({"relocation": {"hosts": None, "xen1": entry}})[0].startswith(says % "relocation:")
    assert wrong({"relocation": None, "hosts": None, "xen1": entry})[1].startswith(says % "")


def test_a_pillar_that_does_not_render_is_not_one_that_is_assigned_to_nobody():
    errors = ["Rendering SLS 'xend' failed. Please see master log for details."]
    (said,) = xend_settings.settings(None, "xen1", importlib.import_module, errors)["wrong"]
    assert said.startswith("the pillar of xen1 does not render (%s): " % errors[0])
    assert "`salt-run pillar.show_pillar xen1` shows where" in said
    # Another SLS may be the one that fails.
    whole = xend_settings.settings({"relocation": {"hosts": HOSTS}}, "xen1", importlib.import_module, errors)
    assert whole["wrong"] == []


def test_a_host_has_others_that_it_could_admit():
    assert "names no other host, whom xen1" in wrong({"relocation": {"hosts": {"xen1": "10.20.0.11"}}})[0]


def test_values_are_shown_on_one_line_in_ascii():
    assert xend_settings.shown(b"k\xc3\xb6ln\n".decode("utf-8")) == '"k\\u00f6ln\\n"'
    assert xend_settings.shown({(1, 2): 3}) == "{(1, 2): 3}"
    assert len(xend_settings.shown("x" * 1000)) < 200


# -- Firewall rules -----------------------------------------------------------------------------

DOOR = {"protocol": ["tcp"], "jump": ["GUARD"], "match": ["tcp"], "destination_port": ["8002"]}
PEER = {"source": ["10.20.0.12/32"], "jump": ["ACCEPT"]}
KNOWN = {"jump": ["ACCEPT"], "match": ["state"], "state": ["ESTABLISHED"]}
DROP = {"jump": ["DROP"]}
ANYBODY = {"jump": ["ACCEPT"]}


def unguarded(above, rules):
    table = {"INPUT": {"rules": above}, "GUARD": {"rules": rules}}
    return xend_settings.unguarded(table, "GUARD", [8002], ["10.20.0.12/32"])


@pytest.mark.parametrize(
    "above",
    [
        [DOOR],
        [DOOR, ANYBODY],
        [{"jump": ["ACCEPT"], "in-interface": ["lo"]}, DOOR],
        [{"jump": ["ACCEPT"], "match": ["state"], "state": ["RELATED,ESTABLISHED"]}, DOOR],
        [dict(DOOR, jump=["ACCEPT"], destination_port=["22"]), DOOR],
        [dict(DOOR, jump=["DROP"]), DOOR],
        [{"jump": ["ACCEPT"], "protocol": ["icmp"]}, DOOR],
    ],
)
def test_rules_that_guard(above):
    assert unguarded(above, [PEER, KNOWN, DROP]) == []
    assert unguarded(above, [PEER, KNOWN, DROP, ANYBODY]) == []


@pytest.mark.parametrize(
    "above, rules, said",
    [
        ([], [PEER, DROP], "nothing in the chain INPUT sends port 8002 to GUARD"),
        ([dict(DOOR, destination_port=["8012"])], [PEER, DROP], "nothing in the chain INPUT"),
        ([dict(DOOR, source=["10.0.0.0/8"])], [PEER, DROP], "nothing in the chain INPUT"),
        ([ANYBODY, DOOR], [PEER, DROP], "admits everybody to port 8002 before"),
        ([dict(DOOR, jump=["ACCEPT"]), DOOR], [PEER, DROP], "admits everybody to port 8002 before"),
        ([DOOR], [PEER], "GUARD does not drop the others"),
        ([DOOR], [], "GUARD does not drop the others"),
        ([DOOR], [PEER, dict(DROP, source=["10.0.0.0/8"])], "GUARD does not drop the others"),
        ([DOOR], [ANYBODY, PEER, DROP], "GUARD admits everybody"),
        ([DOOR], [dict(PEER, source=["10.0.0.0/8"]), DROP], "also admits 10.0.0.0/8, which is no peer"),
    ],
)
def test_rules_that_do_not_guard(above, rules, said):
    (sentence,) = unguarded(above, rules)
    assert said in sentence


def test_no_rules_at_all():
    assert xend_settings.unguarded({}, "GUARD", [8002], []) == ["there is no chain GUARD"]
