"""A host that is being emptied: nothing here brings it a guest, and nothing here restarts its xend."""

from tests.lab import salt_config

CONFIG, APPLIED = "xend-relocation-config", "xend-relocation-applied"


def test_a_closed_host_gets_no_guest_and_no_restart_until_it_is_opened(configured):
    configured.xen1.create_guest("web01")
    before = configured.xen1.wait_alive("web01")
    configured.salt("xm.close_host", [], "maintenance, Jo", target="xen2")
    for test in (True, False):
        run = configured.migrate(test=test)
        assert run.exit_code == 1
        for said in ("xen2 takes no guests", "maintenance, Jo", "xend.orch.restore", "xm.open_host"):
            assert said in run.report()
        assert {name: guest.domid for name, guest in configured.where().items()} == {"xen1": before.domid}
    assert configured.salt("xend.expected", target="xen2") == {"xen2": []}
    # A change that comes with the pillar is written, and waits.
    pillar, pids = salt_config.pillar(configured.fleet), configured.xen2.pids()
    pillar["xend"]["relocation"]["port"] = 8012
    configured.set_pillar(pillar)
    # A migration that cannot be does not even write it.
    before_it = [host.config.read_text() for host in configured.fleet]
    run = configured.migrate()
    assert run.exit_code == 1 and "xen2 takes no guests" in run.report()
    assert [host.config.read_text() for host in configured.fleet] == before_it
    for test in (True, False):
        found = configured.states("state.highstate", test=test)
        assert found["xen2"][CONFIG]["result"] is (None if test else True)
        applied = found["xen2"][APPLIED]
        assert applied["result"] is False and applied["changes"] == {}
        assert "xen2 is being emptied" in applied["comment"] and "accept=evacuation" in applied["comment"]
        assert found["xen1"][APPLIED]["result"] is (None if test else True)
    assert configured.xen2.pids() == pids
    opened = configured.salt("state.single", "xm.host_opened", "open", target="xen2")["xen2"]
    assert [state["result"] for state in opened.values()] == [True]
    assert configured.states("state.highstate", target="xen2")["xen2"][APPLIED]["result"] is True
    assert configured.xen2.pids() != pids
    run = configured.migrate(settle=3)
    assert run.exit_code == 0, run.report()
    guest = configured.where()["xen2"]
    assert (guest.uuid, list(configured.where())) == (before.uuid, ["xen2"])
