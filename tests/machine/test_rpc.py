"""The client of xend's socket and the xend of a simulated host, in all that may happen to a xend."""

import os
import threading

import pytest

import xend_rpc
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

LIMIT_S = 60
SHORT_S = 0.5
ALL = ("xend.domains_with_state", [True, "all", 0])


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.02, rpc=True),
        HostSpec("xen2", time_scale=0.02, rpc=True),
        HostSpec("old1", version="3.0.3", time_scale=0.02, rpc=True),
        HostSpec("way1", time_scale=0.02, rpc=False),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    for host in fleet:
        host.mend()
        host.bring_up()
        host.clear()


def ask(host, method, arguments=(), limit_s=LIMIT_S):
    return xend_rpc.ask(host.usual_socket, method, arguments, limit_s)


def kind_of(host, method="xend.node.info", arguments=(), limit_s=LIMIT_S):
    with pytest.raises((EnvironmentError, ValueError)) as caught:
        ask(host, method, arguments, limit_s)
    return caught.value.kind


def named(domains):
    return {dict((item[0], item[1]) for item in domain[1:])["name"]: domain for domain in domains}


def test_domains_and_the_host(hosts):
    guest = hosts["xen1"].create_guest("wéb01", memory_mib=64)
    hosts["xen1"].define_guest("db01")
    found = named(ask(hosts["xen1"], *ALL))
    assert sorted(found) == ["Domain-0", "db01", "wéb01"]
    assert ["domid", guest.domid] in found["wéb01"] and ["memory", 64] in found["wéb01"]
    assert ["xen_minor", 4] in ask(hosts["xen1"], "xend.node.info")


def test_what_there_is_none_of(hosts):
    with pytest.raises(xend_rpc.Refused) as caught:
        ask(hosts["xen1"], "xend.domain", ["nosuch", 0])
    assert (caught.value.code, caught.value.text) == (3, "nosuch")
    for host in (hosts["xen1"], hosts["old1"]):
        with pytest.raises(xend_rpc.Refused) as caught:
            ask(host, "xend.nosuch")
        assert caught.value.code == 1 and "xend.nosuch" in caught.value.text


def test_a_xend_of_3_0_3_is_asked_in_its_own_way(hosts):
    hosts["old1"].create_guest("web01")
    with pytest.raises(xend_rpc.Refused) as caught:
        ask(hosts["old1"], *ALL)
    assert caught.value.code == 1
    assert sorted(named(ask(hosts["old1"], "xend.domains", [1]))) == ["Domain-0", "web01"]


@pytest.mark.parametrize("end", ["stop", "kill_xend"])
def test_a_xend_that_does_not_run(hosts, end):
    getattr(hosts["xen1"], end)()
    # It takes a moment to die, in which it hangs up on who asks.
    assert wait_until(lambda: kind_of(hosts["xen1"]) == "absent", 60)
    assert os.path.exists(hosts["xen1"].usual_socket)


def test_a_xend_that_has_no_such_socket(hosts):
    assert kind_of(hosts["way1"]) == "absent"


def test_a_xend_that_stands_still_is_silent_however_many_ask(hosts):
    hosts["xen1"].freeze()
    # More than its queue has places.
    assert [kind_of(hosts["xen1"], limit_s=SHORT_S) for _time in range(9)] == ["silent"] * 9
    hosts["xen1"].thaw()
    assert ask(hosts["xen1"], "xend.node.info")


def test_a_xend_that_takes_its_time_or_raves(hosts):
    hosts["xen1"].delay("question", 2 * SHORT_S)
    assert kind_of(hosts["xen1"], limit_s=SHORT_S) == "silent"
    assert ask(hosts["xen1"], "xend.node.info")
    hosts["xen1"].mend()
    hosts["xen1"].fault("garbled")
    assert kind_of(hosts["xen1"]) == "silent"
    assert hosts["xen1"].xm_run("list").returncode == 1


def test_a_xend_that_starts_is_waited_for(hosts):
    host = hosts["xen1"]
    assert host.stop().returncode == 0
    host.delay("answer", LIMIT_S)
    starting = threading.Thread(target=host.start)
    starting.start()
    assert wait_until(lambda: host.running and kind_of(host, limit_s=SHORT_S) == "silent", LIMIT_S)
    host.delay("answer", 0)
    assert ask(host, "xend.node.info")
    starting.join(LIMIT_S)


def test_a_xend_that_is_killed_while_it_is_asked(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.link(hold_at=0.5)
    kinds = []
    asking = threading.Thread(
        target=lambda: kinds.append(kind_of(source, "xend.domain.migrate", ["web01", "xen2", 1]))
    )
    asking.start()
    target.wait_held()
    # Meanwhile others are answered.
    assert "migrating-web01" in named(ask(source, *ALL))
    source.kill_xend()
    asking.join(LIMIT_S)
    assert kinds == ["silent"]


def test_names_that_xml_cannot_carry(hosts):
    for name in ("w\udce9b", "\x03odd"):
        hosts["xen1"].create_guest(name)
        assert kind_of(hosts["xen1"], *ALL) == "silent"
        assert kind_of(hosts["xen1"], "xend.domain", [name, 0]) == "silent"
        hosts["xen1"].clear()
    assert sorted(named(ask(hosts["xen1"], *ALL))) == ["Domain-0"]
