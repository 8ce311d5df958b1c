"""Relocation over TLS, from one pillar to a guest that has moved; and the inverse of it all."""

import pytest

from tests.lab import salt_config, tls

CONFIG, APPLIED = "xend-relocation-config", "xend-relocation-applied"


@pytest.fixture
def secured(site):
    """Both hosts listen for TLS only, and for nobody but each other."""
    pillar = salt_config.pillar(site.fleet)
    pillar["xend"]["relocation"].update(
        server=False, ssl_server=True, ssl_key_file="relocation.key", ssl_cert_file="relocation.crt"
    )
    for host in site.fleet:
        tls.make_certificate(host.config.parent)
    site.set_pillar(pillar)
    found = site.states("state.apply", "xend.relocation")
    for states in found.values():
        assert all(state["result"] for state in states.values()), found
    return site


def test_a_guest_moves_over_tls(secured):
    secured.xen1.create_guest("web01", memory_mib=96)
    guest = secured.xen1.wait_alive("web01")
    asked = secured.salt("xend.probe", ssl=True)
    assert {name: list(answer.values())[0]["result"] for name, answer in asked.items()} == {
        "xen1": "accepted",
        "xen2": "accepted",
    }
    # There is no plain port that it could have gone to.
    plain = secured.salt("xend.probe", target="xen1")["xen1"]["xen2"]
    assert plain["result"] == "refused"
    run = secured.migrate(ssl=True)
    assert run.exit_code == 0 and run.failed() == [], run.report()
    where = secured.where()
    assert list(where) == ["xen2"] and where["xen2"].alive and where["xen2"].uuid == guest.uuid
    assert any(entry["event"] == "loaded" for entry in secured.xen2.journal())


def test_without_tls_there_is_no_way(secured):
    secured.xen1.create_guest("web01", memory_mib=96)
    secured.xen1.wait_alive("web01")
    run = secured.migrate()
    assert run.exit_code == 1 and "%s:8002" % secured.xen2.address in run.report()
    assert list(secured.where()) == ["xen1"] and secured.where()["xen1"].alive


def test_a_missing_key_is_found_before_xend_is_stopped(secured):
    (secured.xen1.config.parent / "relocation.key").unlink()
    pids = secured.xen1.pids()
    pillar = salt_config.pillar(secured.fleet)
    pillar["xend"]["relocation"].update(
        port=8012, ssl_server=True, ssl_key_file="relocation.key", ssl_cert_file="relocation.crt"
    )
    secured.set_pillar(pillar)
    found = secured.states("state.apply", "xend.relocation", target="xen1")["xen1"]
    assert found[APPLIED]["result"] is False and "relocation.key" in found[APPLIED]["comment"]
    assert secured.xen1.pids() == pids


def test_clean_closes_both_doors(secured):
    found = secured.states("state.apply", "xend.relocation.clean")
    for states in found.values():
        assert all(state["result"] for state in states.values()), found
    settings = secured.salt("xend.relocation", target="xen2")["xen2"]
    assert (settings["server"], settings["ssl_server"]) == (False, False)
    asked = secured.salt("xend.probe", ssl=True, target="xen1")["xen1"]["xen2"]
    assert asked["result"] == "refused"
    again = secured.states("state.apply", "xend.relocation.clean")
    assert all(not state["changes"] for states in again.values() for state in states.values())
