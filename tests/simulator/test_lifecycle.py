"""What the simulated xend does to guests when it stops and starts, version by version."""

import re

import pytest

from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until
from tests.simulator.acts import LIMIT_S, is_alive, until

VERSIONS = ("3.0.3", "3.1", "3.2", "3.4", "4.4")


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        *[
            HostSpec("x" + version.replace(".", ""), version=version, time_scale=0.02)
            for version in VERSIONS
        ]
    )
    fleet.start()
    return fleet


@pytest.fixture
def host(fleet, request):
    host = fleet["x" + request.param.replace(".", "")]
    host.bring_up()
    host.clear()
    host.log.write_text("")
    yield host
    host.clear()


def on(*versions):
    return pytest.mark.parametrize("host", versions, indirect=True)


since_3_1 = on(*VERSIONS[1:])


def log_of(host):
    return host.log.read_text()


@since_3_1
@pytest.mark.parametrize("managed", [False, True])
def test_a_stop_shuts_down_those_that_say_so(host, managed):
    host.create_guest("web01", on_xend_stop="shutdown", managed=managed)
    host.create_guest("web02")
    host.stop()
    assert list(host.guests()) == ["web02"]
    assert re.search(r"DEBUG \(XendDomain:\d+\) Shutting down domain: web01$", log_of(host), re.M)
    assert ("Domain web02 continues to run." in log_of(host)) is (host.version != "3.1")
    assert len(host.managed.all()) == managed


@on("3.0.3")
def test_before_3_1_nobody_is_shut_down(host):
    host.create_guest("web01", on_xend_stop="shutdown", on_xend_start="start")
    assert "on_xend" not in host.xm_run("list", "--long", "web01").stdout
    host.restart()
    assert host.guests()["web01"].alive and "cleanup_domains" not in log_of(host)


@since_3_1
@pytest.mark.parametrize("word", ["ignore", "continue", "Shutdown", ""])
def test_words_that_xend_does_not_know_do_nothing(host, word):
    host.create_guest("web01", on_xend_stop=word)
    host.restart()
    assert host.guests()["web01"].alive


@on("4.4")
def test_a_paused_guest_is_left_alone(host):
    host.create_guest("web01", on_xend_stop="shutdown", paused=True)
    host.stop()
    assert host.guests()["web01"].state == "paused"


@on("4.4")
def test_neither_a_reload_nor_the_watchdog_shuts_anybody_down(host):
    host.create_guest("web01", on_xend_stop="shutdown")
    assert host.run(host.xend, "reload").returncode == 0
    (killed,) = host.kill_xend_child()
    until(lambda: host.pids().get("xend") not in (None, killed))
    assert host.guests()["web01"].alive


@since_3_1
def test_a_managed_guest_is_suspended_and_stays_so(host):
    guest = host.create_guest("web01", on_xend_stop="suspend", on_xend_start="start", managed=True)
    host.restart()
    assert host.guests() == {} and host.managed.checkpoint(guest.uuid).exists()
    # Halted it would be started; but with an image it is no halted one (XendDomainInfo._stateGet).
    assert not wait_until(host.guests, 0.5)


@on("3.2", "4.4")
def test_who_is_not_managed_cannot_be_suspended(host):
    host.create_guest("a1", on_xend_stop="suspend")
    host.create_guest("b2", on_xend_stop="shutdown")
    host.stop()
    assert list(host.guests()) == ["a1"]
    assert "Domain a1 failed to suspend." in log_of(host)
    assert "XendError: Domain is not managed by Xend lifecycle support." in log_of(host)


@on("3.1")
def test_in_3_1_such_a_guest_saves_those_that_come_after_it(host):
    host.create_guest("a1", on_xend_stop="suspend")
    host.create_guest("b2", on_xend_stop="shutdown")
    host.stop()
    assert sorted(host.guests()) == ["a1", "b2"] and not host.running
    assert "Exception starting xend (Domain is not managed" in log_of(host)


@since_3_1
def test_a_start_starts_managed_guests(host):
    host.define_guest("web01", on_xend_start="start")
    host.define_guest("web02")
    host.restart()
    until(lambda: is_alive(host))
    assert list(host.guests()) == ["web01"]
    assert "XendDomainInfo.constructDomain" in log_of(host)


@on("4.4")
def test_a_managed_guest_that_runs_is_not_started_again(host):
    guest = host.create_guest("web01", on_xend_start="start", managed=True)
    host.restart()
    assert host.xm_run("list").returncode == 0
    assert host.guests()["web01"].domid == guest.domid


@pytest.mark.parametrize("host, starts", [("3.2", False), ("4.4", True)], indirect=["host"])
@pytest.mark.parametrize(
    "word, is_true", [("1", True), ("no", True), ("0", False), ("False", False)]
)
def test_auto_power_on_stands_in_the_store_alone(host, starts, word, is_true):
    host.define_guest("web01", auto_power_on=word)
    assert "auto_power_on" not in host.xm_run("list", "--long", "web01").stdout
    host.restart()
    if starts and is_true:
        until(lambda: "web01" in host.guests())
    else:
        assert not wait_until(lambda: "web01" in host.guests(), 0.3)


@on("4.4")
def test_one_that_cannot_be_started_ends_the_round(host):
    host.define_guest("web01", on_xend_start="start", memory_mib=999999)
    host.restart()
    until(lambda: "Failed while autostarting domains" in log_of(host))
    assert host.running and host.guests() == {}


@on("4.4")
def test_one_that_goes_while_it_is_started_does_not_end_xend(host):
    """Whatever goes wrong in the round is logged (SrvServer.start)."""
    host.define_guest("web01", on_xend_start="start")
    host.delay("boot", LIMIT_S)
    host.restart()
    until(lambda: "web01" in host.guests())
    host.clear()
    host.delay("boot")
    until(lambda: "Failed while autostarting domains" in log_of(host))
    assert host.running and host.answers
