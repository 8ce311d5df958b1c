"""What the simulated hosts make of a guest's network cards and device model: as strict as the real ones."""

import re

import pytest

from tests.lab import hotplug
from tests.lab.fleet import HostSpec
from tests.simulator.acts import calm, finish, is_alive, migrate, until

SCRIPT = "/etc/xen/scripts/vif-bridge"
NET = "/sys/class/net"


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.02, bridges=("eth0", "xenbr0", "xenbr1")),
        HostSpec("xen2", time_scale=0.02, bridges=("eth1", "xenbr0")),
        HostSpec("mid1", version="3.4.0", time_scale=0.02, bridges=("eth1",)),
        HostSpec("old1", version="3.0.3", time_scale=0.02, bridges=("eth1",)),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    calm(*fleet)
    for host in fleet:
        host.occupy(0)
        host.path(SCRIPT).unlink(missing_ok=True)
        hotplug.install(host.layout)


@pytest.fixture
def source(hosts):
    return hosts["xen1"]


@pytest.fixture
def target(hosts):
    return hosts["xen2"]


def comes(source, target, name="web01"):
    """Send a guest; return None when it works on the target, else what xend says of its devices there."""
    assert migrate(source, name, target.address).returncode == 0
    ended = r"^.*(?:could not be connected\.|restarting too fast).*$"
    until(lambda: is_alive(target, name) or re.search(ended, target.log.read_text(), re.MULTILINE))
    found = re.search(ended, target.log.read_text(), re.MULTILINE)
    if found is None:
        return None
    assert source.guests() == {}
    until(lambda: name not in target.guests())
    return found.group(0)


def absent(path):
    path.unlink()


def not_executable(path):
    path.chmod(0o644)


def dangling(path):
    path.unlink()
    path.symlink_to("/usr/lib/xen/no-such-script")


@pytest.mark.parametrize("change", [absent, not_executable, dangling])
def test_a_script_that_cannot_be_run_never_answers(source, target, change):
    source.create_guest("web01", vifs=["bridge=xenbr0"])
    change(target.path(SCRIPT))
    assert "Device 0 (vif) could not be connected. Hotplug scripts not working." in comes(
        source, target
    )


def test_scripts_that_hang(source, target):
    source.create_guest("web01", vifs=["bridge=xenbr0,script=vif-route"])
    target.fault("hotplug-mute")
    assert "Hotplug scripts not working." in comes(source, target)


@pytest.mark.parametrize("gone", [SCRIPT, NET + "/xenbr0"])
def test_what_goes_away_in_mid_transfer_does_no_harm_to_cards(source, target, gone):
    """xend makes the devices before the memory comes, and udev runs the scripts then."""
    source.create_guest("web01", vifs=["bridge=xenbr0"])
    source.link(hold_at=0.5)
    migration = source.xm_start("migrate", "--live", "web01", target.address)
    source.wait_held()
    path, aside = target.path(gone), target.path("/aside")
    path.rename(aside)
    try:
        source.release()
        assert migration.wait(300) == 0
        target.wait_alive("web01")
    finally:
        migration.communicate()
        aside.rename(path)


@pytest.mark.parametrize(
    "host, vif, said",
    [
        ("xen2", "bridge=xenbr0", None),
        ("xen2", "bridge=xenbr1", None),
        ("xen2", "bridge=xenbr2", "Could not find bridge device xenbr2"),
        ("xen2", "bridge=eth0", "Could not find bridge device eth0"),
        ("xen2", "bridge=lan,script=vif-nat", None),
        ("xen2", "bridge=lan,script=vif-openvswitch", "Hotplug scripts not working."),
        ("xen2", "", None),
        ("xen2", "script=vif-bridge bridge=lan", "Could not find bridge device lan"),
        ("xen2", "bridge=xenbr0,script=vif-bridge bridge=lan", None),
        ("old1", "bridge=eth1", None),
        ("old1", "bridge=xenbr1", "Backend device not found."),
    ],
)
def test_what_vif_bridge_makes_of_it(hosts, source, host, vif, said):
    source.create_guest("web01", vifs=[vif])
    found = comes(source, hosts[host])
    assert found is None if said is None else said in found


def test_the_first_bridge_by_name_is_taken_and_none_is_fatal(source, target):
    source.create_guest("web01", vifs=[""])
    assert comes(source, target) is None
    (card,) = target.path(NET).glob("vif*/brport/bridge")
    assert card.readlink().name == "eth1"
    assert migrate(target, "web01", source.address).returncode == 0
    source.wait_alive("web01")
    assert not list(target.path(NET).glob("vif*"))
    bridges = [target.path(NET) / name for name in ("eth1", "xenbr0")]
    for path in bridges:
        path.rename(target.path("/" + path.name))
    try:
        assert "Could not find bridge, and none was specified" in comes(source, target)
    finally:
        for path in bridges:
            target.path("/" + path.name).rename(path)


def test_a_card_without_a_script_gets_that_of_the_target(source, target):
    config = target.config.read_bytes()
    target.config.write_bytes(config + b"(vif-script 'vif-bridge bridge=lan')\n")
    target.restart()
    try:
        source.create_guest("web01", vifs=["script="])
        assert "Could not find bridge device lan" in comes(source, target)
    finally:
        target.config.write_bytes(config)
        target.restart()


def test_up_to_3_4_a_guest_goes_on_without_a_card_that_was_not_connected(hosts, source):
    source.create_guest("web01", vifs=["bridge=lan"])
    assert migrate(source, "web01", hosts["mid1"].address).returncode == 0
    hosts["mid1"].wait_alive("web01")
    assert "(vif) could not be connected" in hosts["mid1"].log.read_text()


# Device models


def hvm(host, **settings):
    return host.create_guest("win01", image="hvm", **settings)


def test_a_device_model_that_cannot_listen_ends_the_guest(source, target):
    hvm(source, vncunused=0, vncdisplay=1, vnclisten=source.address)
    assert "restarting too fast" in comes(source, target, "win01")
    assert "device model failure" in target.log.read_text()
    assert "Cannot assign requested address" in (
        target.log.with_name("qemu-dm-win01.log").read_text()
    )


@pytest.mark.parametrize(
    "settings, is_fine",
    [
        ({}, True),
        ({"vnclisten": "0.0.0.0"}, True),
        ({"vnclisten": "xen2"}, True),
        ({"vnclisten": "xen1"}, False),
        ({"vncunused": 1, "vncdisplay": 1}, True),
        ({"vncunused": 0, "vncdisplay": 2}, True),
        ({"vncunused": 0, "vncdisplay": 1}, False),
        ({"vnclisten": "xen2", "vncunused": 0, "vncdisplay": 1}, False),
        ({"serial": "tcp:%s:4444,server,nowait"}, False),
        ({"serial": "tcp::5901,server,nowait"}, False),
        ({"serial": "tcp::4444,server,nowait"}, True),
        ({"serial": "pty"}, True),
    ],
)
def test_where_a_device_model_can_listen(source, target, settings, is_fine):
    target.occupy(5901)
    if "%s" in settings.get("serial", ""):
        settings = {"serial": settings["serial"] % source.address}
    hvm(source, **settings)
    assert (comes(source, target, "win01") is None) is is_fine


def test_another_guest_has_the_display(source, target):
    target.create_guest("win02", image="hvm", vncunused=0, vncdisplay=1)
    hvm(source, vncunused=0, vncdisplay=1)
    assert comes(source, target, "win01")
    target.clear()
    hvm(source, vncunused=0, vncdisplay=1)
    assert migrate(source, "win01", target.address).returncode == 0
    target.wait_alive("win01")


def test_before_3_4_nobody_notices_and_the_guest_hangs(hosts, source):
    hvm(source, vnclisten=source.address)
    assert migrate(source, "win01", hosts["old1"].address).returncode == 0
    until(lambda: "win01" in hosts["old1"].guests())
    until(lambda: hosts["old1"].guests()["win01"].state == "running")
    assert hosts["old1"].guests()["win01"].alive is False


def test_a_frame_buffer_of_a_pv_guest_is_no_matter(source, target):
    source.create_guest("web01", vfb={"vnclisten": source.address, "vncdisplay": 1})
    assert comes(source, target) is None


# Helpers


def test_xc_restore_outlives_both_processes_of_xend(source, target):
    source.create_guest("web01")
    source.link(hold_at=0.5)
    migration = source.xm_start("migrate", "--live", "web01", target.address)
    source.wait_held()
    target.kill_xend()
    assert target.layout.roles().keys() == {"xc_restore"}
    assert finish(migration, source)[0] == 0
    until(lambda: not target.layout.roles())
    assert "loaded" in [entry["event"] for entry in target.journal()]
    assert source.guests() == {} and not target.guests()["web01"].alive


def test_xc_save_outlives_both_processes_of_xend(source, target):
    source.create_guest("web01")
    source.link(hold_at=0.5)
    migration = source.xm_start("migrate", "--live", "web01", target.address)
    source.wait_held()
    source.kill_xend()
    assert source.layout.roles().keys() == {"xc_save"}
    source.release()
    until(lambda: not source.layout.roles())
    finish(migration)
    # Nobody is there any more to suspend the guest, so it runs on, under the other name.
    assert source.guests()["web01"].alive
    assert target.guests() == {} or not target.guests()["web01"].alive
