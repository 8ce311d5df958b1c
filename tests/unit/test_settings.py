"""What the pillar says for a host, and all that is wrong with it. Runs on Python 2.7, too."""

import datetime

import pytest

import xend_settings

HOSTS = {"xen1": "10.20.0.11", "xen2": "10.20.0.12", "xen3": "10.20.0.13"}


def declared(**hosts):
    return xend_settings.declared({"relocation": {"hosts": hosts}})


# -- The hosts ----------------------------------------------------------------------------------


def test_declared_hosts():
    pillar = {"relocation": {"port": 8010, "hosts": {"xen1": "10.20.0.11", "xen3": None}}}
    pillar["relocation"]["hosts"]["xen2"] = {"address": "10.20.0.12", "port": "8012", "ssl_port": 8013}
    assert xend_settings.declared(pillar) == (
        {
            "xen1": {"address": "10.20.0.11", "port": 8010, "ssl_port": 8003},
            "xen2": {"address": "10.20.0.12", "port": 8012, "ssl_port": 8013},
            "xen3": {"address": None, "port": 8010, "ssl_port": 8003},
        },
        [],
    )


@pytest.mark.parametrize("pillar", [None, {}, {"relocation": None}, {"relocation": {"hosts": None}}])
def test_no_hosts_are_declared(pillar):
    assert xend_settings.declared(pillar) == ({}, [])


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
    hosts, wrong = xend_settings.declared(pillar)
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


def test_no_two_hosts_have_one_address():
    _, wrong = declared(xen1="10.20.0.11", xen2={"address": "10.20.0.11", "port": 8012}, xen3="10.20.0.13")
    said = "xend:relocation:hosts: xen1 and xen2 have one address, 10.20.0.11: each host needs its own"
    assert wrong == [said]


def test_ids_are_text_and_a_whole_number_stands_for_its_text():
    hosts, wrong = xend_settings.declared({"relocation": {"hosts": {1: "10.20.0.11", "xen2": "10.20.0.12"}}})
    assert wrong == [] and sorted(hosts) == ["1", "xen2"] and hosts["1"]["address"] == "10.20.0.11"
    assert xend_settings.declared({"relocation": {"hosts": {1: "10.20.0.11", "1": "10.20.0.12"}}})[1] == [
        "xend:relocation:hosts:1 stands there twice, as a number and as text"
    ]


@pytest.mark.parametrize("key", [True, None, 1.5, "", datetime.date(2006, 1, 2), (1, 2)])
def test_what_is_no_id_is_named(key):
    named = {key: "10.20.0.11", "xen2": "10.20.0.12"}
    hosts, wrong = xend_settings.declared({"relocation": {"hosts": named}})
    assert sorted(hosts) == ["xen2"] and len(wrong) == 1 and "put it in quotes" in wrong[0]


@pytest.mark.parametrize("port", [0, 65536, -1, "abc", "", True, 8002.0, [8002], {"a": 1}])
def test_ports_are_numbers_from_1_to_65535(port):
    for pillar, path in (
        ({"port": port}, "xend:relocation:port"),
        ({"ssl_port": port}, "xend:relocation:ssl_port"),
        ({"hosts": {"xen1": {"address": "10.20.0.11", "port": port}}}, "xend:relocation:hosts:xen1:port"),
    ):
        (sentence,) = xend_settings.declared({"relocation": pillar})[1]
        assert sentence.startswith(path + ",") and "from 1 to 65535" in sentence


def test_all_that_is_wrong_with_the_hosts_is_named_at_once():
    _, wrong = xend_settings.declared(
        {"relocation": {"port": "x", "hosts": {"xen1": "any", None: 1, "xen2": {"address": "a", "port": 0}}}}
    )
    assert len(wrong) == 5
