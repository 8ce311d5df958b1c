"""What the devices of a guest need on its target: what is said of it, and what simulated xends make of it."""

import pytest

from tests.functional.conftest import OPEN, arrives, said
from tests.lab import hotplug
from tests.lab.fleet import HostSpec

SCRIPT = "/etc/xen/scripts/vif-bridge"
NET = "/sys/class/net"


@pytest.fixture(scope="module")
def running(open_fleet):
    hosts = [
        HostSpec("xen1", bridges=("eth0", "xenbr0", "xenbr1")),
        HostSpec("xen2", bridges=("eth1", "xenbr0")),
        HostSpec("bare", bridges=()),
        HostSpec("rhel5", version="3.0.3", bridges=("eth1",)),
    ]
    return open_fleet(*hosts)


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()
        host.occupy(0)
        host.config.write_text(OPEN)
        path = host.path(SCRIPT)
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        hotplug.install(host.layout)


@pytest.fixture
def check(on):
    """A function that asks the target about a guest as an orchestration does; xen1 is its source."""

    def ask(target="xen2", name="web01", accept=None):
        report = on("xen1").report(name)
        accept = ["version", *([accept] if accept else [])]
        return on(target).can_receive(report["domain"], source=report["host"], accept=accept)

    return ask


def absent(path):
    path.unlink()


def not_executable(path):
    path.chmod(0o644)


def link_to_nothing(path):
    path.unlink()
    path.symlink_to("/usr/lib/xen/gone")


def folder(path):
    path.unlink()
    path.mkdir()


# Network cards


@pytest.mark.parametrize(
    "change, words",
    [
        (absent, "is missing on xen2"),
        (not_executable, "is not executable on xen2"),
        (link_to_nothing, "is a link to nothing on xen2"),
        (folder, "is a folder on xen2"),
    ],
)
def test_a_script_that_cannot_be_run_would_lose_the_guest_and_does(check, fleet, change, words):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0"])
    change(fleet["xen2"].path(SCRIPT))
    found = check()
    assert SCRIPT + ", which " + words in said(found) and len(found["blockers"]) == 1
    assert not arrives(fleet)


@pytest.mark.parametrize("script", ["vif-openvswitch", "/opt/vif-lan vlan=3"])
def test_another_script_than_vif_bridge(check, fleet, script):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0", "bridge=ovs1,script=" + script])
    found = check()
    assert script.split()[0] + ", which is missing" in said(found) and len(found["blockers"]) == 1
    path = fleet["xen2"].path(
        script.split()[0] if script[0] == "/" else "/etc/xen/scripts/" + script
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    try:
        assert check()["ok"]
    finally:
        path.unlink()
    assert not arrives(fleet)


def test_the_vif_script_of_the_target_itself(check, fleet):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0,script="])
    assert check()["ok"]
    fleet["xen2"].config.write_text(OPEN + "(vif-script 'vif-lan bridge=xenbr0')\n")
    found = check()
    assert "/etc/xen/scripts/vif-lan, which is missing" in said(found)
    assert "vif-script in its xend-config.sxp" in said(found)


@pytest.mark.parametrize(
    "target, vif, blocked, warned",
    [
        ("xen2", "bridge=xenbr1", None, "takes eth1 instead"),
        ("xen2", "bridge=xenbr2", "needs the bridge xenbr2", None),
        ("rhel5", "bridge=xenbr1", "needs the bridge xenbr1", None),
        ("rhel5", "bridge=eth1", None, None),
        # It hangs on eth0, the first of xen1.
        ("xen2", "mac=00:16:3e:00:00:01", None, "hangs on eth0 now"),
        ("bare", "mac=00:16:3e:00:00:01", "has none at all", None),
        ("xen2", "script=vif-bridge bridge=xenbr0", None, None),
        ("xen2", "script=vif-bridge bridge=lan", "needs the bridge lan", None),
        ("bare", "bridge=lan,script=vif-route", None, None),
    ],
)
def test_bridges(check, fleet, target, vif, blocked, warned):
    fleet["xen1"].create_guest("web01", vifs=[vif])
    found = check(target)
    assert found["ok"] is (blocked is None) and (blocked or "") in said(found)
    about_cards = [text for text in found["warnings"] if "network interface" in text]
    assert [warned in text for text in about_cards] == ([True] if warned else [])
    assert arrives(fleet, target) is found["ok"]


def test_a_card_that_was_moved_to_another_bridge(check, fleet):
    guest = fleet["xen1"].create_guest("web01", vifs=[""])
    card = fleet["xen1"].path(NET) / ("vif%d.0" % guest.domid) / "brport/bridge"
    card.unlink()
    card.symlink_to("../../xenbr1")
    assert "hangs on xenbr1 now, and on xen2 it would come to eth1" in said(check(), "warnings")


def test_what_a_host_says_of_its_network(on, fleet):
    guest = fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr1"])
    fleet["xen1"].config.write_text(OPEN + "(vnc-listen 0.0.0.0)\n")
    found = on("xen1").host()
    card = "vif%d.0" % guest.domid
    assert found["bridges"] == ["eth0", "xenbr0", "xenbr1"]
    assert found["interfaces"] == ["eth0", "lo", card, "xenbr0", "xenbr1"]
    assert found["bridge_ports"] == {card: "xenbr1"} and found["vnc_listen"] == "0.0.0.0"


# Device models


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, None),
        ({"vnclisten": "0.0.0.0"}, None),
        ({"vnclisten": "192.0.2.11"}, "on 192.0.2.11 (vnclisten"),
        ({"vnclisten": "xen1's"}, "no address of xen2"),
        ({"vncdisplay": 1, "vncunused": 0}, "port 5901"),
        ({"vncdisplay": 0, "vncunused": 0}, None),
        ({"vncdisplay": 1, "vncunused": 1}, None),
        ({"serial": "tcp:192.0.2.11:4444,server,nowait"}, "on 192.0.2.11 (it has a serial port"),
        ({"serial": "tcp::5901,server,nowait"}, "port 5901"),
        ({"serial": "pty"}, None),
    ],
)
def test_a_device_model_that_cannot_listen_loses_the_guest(check, fleet, settings, words):
    if settings.get("vnclisten") == "xen1's":
        # As CloudStack does.
        settings = {"vnclisten": fleet["xen1"].address}
    fleet["xen2"].occupy(5901)
    fleet["xen1"].create_guest("win01", image="hvm", vncpasswd="secret", **settings)
    found = check(name="win01")
    assert found["ok"] is (words is None) and (words or "") in said(found)
    assert "secret" not in said(found) + said(found, "warnings")
    assert arrives(fleet, name="win01") is found["ok"]


def test_the_display_of_another_guest(check, fleet):
    for host in ("xen1", "xen2"):
        fleet[host].create_guest("win-" + host, image="hvm", vncdisplay=7, vncunused=0)
    assert "port 5907 (vncdisplay 7, vncunused 0), and something listens there on xen2" in said(
        check(name="win-xen1")
    )
    fleet["xen2"].clear()
    assert check(name="win-xen1")["ok"] and arrives(fleet, name="win-xen1")


def test_the_vnc_listen_of_the_target_itself(check, fleet):
    fleet["xen1"].create_guest("win01", image="hvm")
    fleet["xen2"].config.write_text(OPEN + "(vnc-listen 192.0.2.12)\n")
    assert "vnc-listen of the xend-config.sxp there" in said(check(name="win01"))


def test_of_a_pv_guest_only_the_console_is_lost(check, fleet):
    fleet["xen2"].occupy(5901)
    vfb = {"vnclisten": fleet["xen1"].address, "vncdisplay": 1, "vncunused": 0}
    fleet["xen1"].create_guest("web01", vfb=vfb)
    found = check()
    assert found["ok"] and said(found, "warnings").count("console of web01 would be lost") == 2
    assert arrives(fleet)


# Hardware

DEVICES = [
    ["vscsi", ["feature-host", "0"], ["dev", ["devid", "0"], ["p-dev", "3:0:4:0"]]],
    ["irq", ["irq", "4"]],
]


def test_hardware_of_the_source_is_named_before_it_leaves(on, fleet):
    fleet["xen1"].create_guest("web01", devices=DEVICES)
    found = on("xen1").can_send("web01", "xen2")
    assert len(found["blockers"]) == 2 and "3:0:4:0" in said(found) and "irq 4" in said(found)
    assert "accept: [devices]" in said(found)
    found = on("xen1").can_send("web01", "xen2", accept=["devices"])
    assert found["ok"] and said(found, "warnings").count("accepted: ") == 2


def test_hardware_of_the_source_is_named_by_the_target_too(check, fleet):
    fleet["xen1"].create_guest("web01", devices=DEVICES)
    found = check()
    assert len(found["blockers"]) == 2 and "class vscsi" in said(found)
    found = check(accept="devices")
    assert found["ok"] and said(found, "warnings").count("accepted: ") == 2


def test_hardware_keeps_a_guest_where_it_is(minion_on, fleet):
    fleet["xen1"].create_guest("web01", devices=DEVICES)
    for test in (True, False):
        states = minion_on("xen1", test=test).states.xm
        for state in (states.can_send, states.migrated):
            answer = state(name="web01", target="xen2")
            assert answer["result"] is False and "class vscsi" in answer["comment"]
    assert fleet["xen1"].guests()["web01"].alive
    assert (
        minion_on("xen1", test=True).states.xm.can_send(
            name="web01", target="xen2", accept="devices"
        )["result"]
        is None
    )
    answer = minion_on("xen1").states.xm.migrated(name="web01", target="xen2", accept="devices")
    assert answer["result"] is True
    assert fleet["xen2"].wait_alive("web01").alive


def test_all_that_is_wrong_is_told_at_once(check, minion_on, fleet):
    fleet["xen1"].create_guest(
        "win01",
        image="hvm",
        vifs=["bridge=lan", "bridge=xenbr0,script=vif-lan"],
        vnclisten="192.0.2.11",
        vncunused=0,
        vncdisplay=1,
        serial="tcp::5901,server,nowait",
    )
    fleet["xen2"].occupy(5901, "192.0.2.11")
    fleet["xen2"].path(SCRIPT).unlink()
    found = check(name="win01")
    for words in (
        "vif-bridge, which is missing",
        "needs the bridge lan",
        "vif-lan, which is missing",
    ):
        assert words in said(found)
    assert "192.0.2.11 (vnclisten" in said(found) and said(found).count("port 5901") == 2
    report = minion_on("xen1").modules.xm.report("win01")
    answer = minion_on("xen2", test=True).states.xm.can_receive(
        name="win01", domain=report["domain"], source=report["host"]
    )
    assert answer["result"] is False and "win01 was not moved" in answer["comment"]
