"""What the devices of a guest need on the host that takes it, and what is said when that lacks it."""

import pytest

import xm_devices


def host(name="xen2", **changes):
    """What is known of a host; what xm_fit.facts returns has more."""
    found = {"host": name, "tools": [4, 4], "bridges": ["xenbr0"], "vif_script": None}
    found.update(changes)
    return found


def guest(**changes):
    found = {
        "name": "web01",
        "image": "linux",
        "disks": [],
        "vifs": [{"mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}],
    }
    found.update(changes)
    return found


def fit(domain=None, target=None):
    return xm_devices.fits(domain or guest(), target or host())


def only(sentences):
    (sentence,) = sentences
    return sentence


# Network cards


@pytest.mark.parametrize(
    "vif, is_needed",
    [
        ({"bridge": "xenbr1"}, True),
        ({"bridge": "xenbr1", "script": "vif-bridge"}, True),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-bridge"}, True),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-bridge vlan=3"}, True),
        ({"bridge": "xenbr1", "script": "vif-route"}, False),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-nat"}, False),
        ({"bridge": "xenbr0"}, False),
        ({"bridge": ""}, False),
        ({}, False),
    ],
)
def test_bridges(vif, is_needed):
    found = fit(guest(vifs=[dict(vif, mac="00:16:3e:00:00:09")]))
    assert found["warnings"] == []
    if is_needed:
        for word in ("xenbr1", "xenbr0", "00:16:3e:00:00:09", "xen2"):
            assert word in only(found["blockers"])
    else:
        assert found["blockers"] == []


@pytest.mark.parametrize("script", ["vif-openvswitch", "/etc/xen/scripts/vif-route x=y"])
def test_a_host_whose_own_script_needs_no_bridge(script):
    """The script of the host counts for cards that bring none of their own."""
    found = fit(guest(vifs=[{"bridge": "ovs1"}]), target=host("xen2", vif_script=script))
    assert found == {"blockers": [], "warnings": []}
    card = {"bridge": "ovs1", "script": "vif-bridge"}
    assert only(fit(guest(vifs=[card]), target=host("xen2", vif_script=script))["blockers"])


def test_bridges_that_are_not_known():
    assert "xenbr0" in only(fit(target=host("xen2", bridges=None))["warnings"])
    assert fit(guest(vifs=[]), target=host("xen2", bridges=None))["warnings"] == []


@pytest.mark.parametrize("backend", [None, "", "0", "Domain-0"])
def test_dom0_serves(backend):
    domain = guest(disks=[{"dev": "xvda", "backend": backend}])
    assert xm_devices.foreign_backends(domain) == []


def test_another_domain_serves():
    domain = guest(
        disks=[{"dev": "xvda", "backend": "storage"}], vifs=[{"mac": "00:16:3e:00:00:01", "backend": "5"}]
    )
    disk, vif = xm_devices.foreign_backends(domain)
    assert "xvda" in disk and "storage" in disk and "00:16:3e:00:00:01" in vif
    assert fit(domain)["blockers"] == [disk, vif]
