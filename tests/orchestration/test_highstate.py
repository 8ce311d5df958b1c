"""Relocation settings from one pillar for the fleet."""

import re

import pytest

from tests.harness.site import CONFIGS
from tests.lab import salt_config

CONFIG, APPLIED = "xend-relocation-config", "xend-relocation-applied"


@pytest.mark.daemons
def test_highstate_opens_each_host_to_the_others_and_to_nobody_else(site):
    found = site.states("state.highstate")
    for minion in ("xen1", "xen2"):
        assert {name: state["result"] for name, state in found[minion].items()} == {
            CONFIG: True,
            APPLIED: True,
        }
    settings = site.salt("xend.relocation")
    for own, other in ((site.xen1, site.xen2), (site.xen2, site.xen1)):
        mine = settings[own.name]
        assert (mine["server"], mine["address"], mine["port"]) == (True, own.address, 8002)
        assert mine["hosts_allow"] == ["^%s$" % re.escape(other.address)]
    assert {
        minion: peer["result"]
        for minion, answers in site.salt("xend.probe").items()
        for peer in answers.values()
    } == {"xen1": "accepted", "xen2": "accepted"}
    # From the machine's own address, which is in no list, nobody gets in.
    elsewhere = site.salt("xend.probe", site.xen2.address, target="xen1", source="127.0.0.1")
    assert elsewhere["xen1"]["result"] == "rejected"


@pytest.mark.slow_daemons
def test_a_second_highstate_changes_nothing(configured):
    before = {host.name: (host.config.stat().st_ino, host.pids()) for host in configured.fleet}
    found = configured.states("state.highstate")
    assert all(
        state["result"] is True and not state["changes"]
        for states in found.values()
        for state in states.values()
    )
    assert before == {
        host.name: (host.config.stat().st_ino, host.pids()) for host in configured.fleet
    }


def test_under_test_the_diff_is_shown_and_nothing_is_done(site):
    pids = {host.name: host.pids() for host in site.fleet}
    found = site.states("state.highstate", test=True)
    for host in site.fleet:
        states = found[host.name]
        assert states[CONFIG]["result"] is None and states[APPLIED]["result"] is None
        assert "+(xend-relocation-address %s)" % host.address in states[CONFIG]["changes"]["diff"]
        assert "would be restarted" in states[APPLIED]["comment"]
        assert host.config.read_text() == CONFIGS[host.name]
    assert pids == {host.name: host.pids() for host in site.fleet}


def test_guests_live_through_it(site):
    site.xen1.create_guest("web01")
    before = site.xen1.wait_alive("web01")
    site.states("state.highstate")
    after = site.xen1.guests()["web01"]
    assert after.alive and (after.domid, after.uuid) == (before.domid, before.uuid)


def test_a_guest_that_xend_would_take_down_keeps_it_from_being_restarted(site):
    """The settings of SUSE's manual: xend itself would shut the guest down when it is stopped."""
    site.xen1.create_guest("web01", on_xend_stop="shutdown")
    before = site.xen1.wait_alive("web01")
    pids = {host.name: host.pids() for host in site.fleet}
    for test in (True, False):
        found = site.states("state.apply", "xend.relocation", test=test)
        applied = found["xen1"][APPLIED]
        assert applied["result"] is False and applied["changes"] == {}
        for said in ("web01 (id %d) is shut down" % before.domid, "on_xend_stop", "restart_accept"):
            assert said in applied["comment"]
        assert found["xen1"][CONFIG]["result"] is (None if test else True)
        # The other host has no such guest.
        assert found["xen2"][APPLIED]["result"] is (None if test else True)
    assert site.xen1.pids() == pids["xen1"] and site.xen2.pids() != pids["xen2"]
    after = site.xen1.guests()["web01"]
    assert after.alive and (after.domid, after.memory_sha256) == (
        before.domid,
        before.memory_sha256,
    )
    # Again, for the file is written now: the state says that it is not in force.
    assert "not in force" in site.states("state.highstate")["xen1"][APPLIED]["comment"]
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["hosts"]["xen1"] = {
        "address": site.xen1.address,
        "restart_accept": ["on_xend_stop"],
    }
    site.set_pillar(pillar)
    accepted = site.states("state.highstate")["xen1"][APPLIED]
    assert accepted["result"] is True and "accepted: " in accepted["comment"], accepted
    assert site.xen1.pids() != pids["xen1"] and site.xen1.guests() == {}


def test_a_host_without_an_address_gets_an_error_and_no_open_port(site):
    pillar = salt_config.pillar(site.fleet)
    del pillar["xend"]["relocation"]["hosts"]["xen2"]
    site.set_pillar(pillar)
    found = site.states("state.apply", "xend.relocation", target="xen2")["xen2"]
    assert found[CONFIG]["result"] is False
    assert "hosts has no address for xen2" in found[CONFIG]["name"]
    assert site.xen2.config.read_text() == CONFIGS["xen2"]


def test_the_only_host_in_the_pillar_admits_nobody(site):
    pillar = salt_config.pillar(site.fleet)
    del pillar["xend"]["relocation"]["hosts"]["xen2"]
    site.set_pillar(pillar)
    found = site.states("state.apply", "xend.relocation", target="xen1")["xen1"]
    assert found[CONFIG]["result"] is False and "no other host" in found[CONFIG]["name"]
    assert site.xen1.config.read_text() == CONFIGS["xen1"]


def test_a_setting_that_is_none_is_named(site):
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["host_allow"] = ["10.20.0.12"]
    site.set_pillar(pillar)
    found = site.states("state.apply", "xend.relocation", target="xen1")["xen1"]
    assert found[CONFIG]["result"] is False and "host_allow" in found[CONFIG]["name"]
    assert site.xen1.config.read_text() == CONFIGS["xen1"]


def test_mistakes_about_one_host_keep_all_hosts_as_they_are(site):
    """Who takes `any` for an address would admit everybody on all the others."""
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["hosts"]["xen2"] = "any"
    pillar["xend"]["folow"] = True
    site.set_pillar(pillar)
    for test in (True, False):
        for states in site.states("state.apply", "xend.relocation", test=test).values():
            assert states[CONFIG]["result"] is False
            for said in ('xend:relocation:hosts:xen2, "any", is no address', "xend:folow is no setting"):
                assert said in states[CONFIG]["name"]
    assert {host.name: host.config.read_text() for host in site.fleet} == CONFIGS


def test_an_address_that_is_not_on_the_host_is_said_beforehand(site):
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["hosts"]["xen2"] = "10.20.0.13"
    site.set_pillar(pillar)
    for test in (True, False):
        found = site.states("state.apply", "xend.relocation", target="xen2", test=test)["xen2"]
        assert found[CONFIG]["result"] is False and found[APPLIED]["result"] is False
        assert "10.20.0.13 is no address of this host, xen2" in found[CONFIG]["comment"]
    assert site.xen2.config.read_text() == CONFIGS["xen2"]


def test_settings_can_be_overridden_for_the_fleet_and_for_one_host(site):
    pillar = salt_config.pillar(site.fleet)
    relocation = pillar["xend"]["relocation"]
    relocation["port"] = 8012
    relocation["hosts"]["xen2"] = {
        "address": site.xen2.address,
        "port": 8022,
        "hosts_allow": ["127.0.0.0/8"],
    }
    site.set_pillar(pillar)
    found = site.states("state.apply", "xend.relocation")
    assert all(state["result"] for states in found.values() for state in states.values()), found
    settings = site.salt("xend.relocation")
    assert (settings["xen1"]["port"], settings["xen2"]["port"]) == (8012, 8022)
    # The other host knows it, too.
    assert site.salt("xend.probe", target="xen1")["xen1"]["xen2"]["port"] == 8022
    assert site.salt("xend.probe", target="xen1")["xen1"]["xen2"]["result"] == "accepted"


def test_relocation_can_be_switched_off(configured):
    pillar = salt_config.pillar(configured.fleet)
    pillar["xend"]["relocation"]["server"] = False
    configured.set_pillar(pillar)
    found = configured.states("state.apply", "xend.relocation")
    assert all(state["result"] for states in found.values() for state in states.values()), found
    assert configured.salt("xend.probe", target="xen1")["xen1"]["xen2"]["result"] == "refused"


def test_a_restart_can_be_left_to_people(site):
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"]["restart"] = False
    site.set_pillar(pillar)
    pids = site.xen1.pids()
    found = site.states("state.apply", "xend.relocation", target="xen1")["xen1"]
    assert found[CONFIG]["changes"] and "pending" in found[APPLIED]["comment"]
    assert site.xen1.pids() == pids


def test_a_file_that_xend_cannot_read_is_left_alone(site):
    broken = CONFIGS["xen1"] + "(xend-relocation-port 8002\n"
    site.xen1.config.write_text(broken)
    found = site.states("state.apply", "xend.relocation", target="xen1")["xen1"]
    assert found[CONFIG]["result"] is False and "line 3" in found[CONFIG]["comment"]
    assert site.xen1.config.read_text() == broken


def test_xend_is_not_restarted_while_a_guest_is_on_its_way(configured):
    """A restart of the receiving xend would lose the guest; so the change waits, and then fails."""
    configured.xen1.create_guest("web01")
    configured.xen1.wait_alive("web01")
    configured.xen1.link(hold_at=0.5)
    moving = configured.xen1.xm_start("migrate", "--live", "web01", configured.xen2.address)
    configured.xen1.wait_held()
    pids = configured.xen2.pids()
    for host, sign in (("xen1", "migrating-web01"), ("xen2", "web01 is being received")):
        found = configured.salt("xend.restart", timeout=1, target=host)[host]
        assert "not restarted" in found and sign in found, found
    assert configured.xen2.pids() == pids
    configured.xen1.release()
    assert moving.wait(300) == 0
    moving.communicate()
    assert configured.xen2.wait_alive("web01")
    assert isinstance(configured.salt("xend.restart", target="xen2")["xen2"], dict)
    assert configured.xen2.guests()["web01"].alive
