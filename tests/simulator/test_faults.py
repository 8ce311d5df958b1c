"""The lab's faults: what a guest loses when storage, memory, the network or a xend fails it.

Here: the simulated fleet alone, judged by xend's source and by what real xends did. Protocol, texts of
xm and xend's life as a process are in test_hosts.py.
"""

import re
import signal
import subprocess

import pytest

from tests.lab import storage, sxp
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until
from tests.simulator.acts import (
    DEPRECATED,
    LIMIT_S,
    LIST_HEADER,
    calm,
    finish,
    migrate,
    rows,
    start_held,
    suspended_sha256,
    until,
)


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.02),
        HostSpec("xen2", time_scale=0.02, bridges=("xenbr0", "dmz"), uptime_s=5.0),
        HostSpec("mid1", version="3.4.0", time_scale=0.02, cpu_vendor="AuthenticAMD"),
        HostSpec("old1", version="3.0.3", time_scale=0.02),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    """The fleet's hosts; afterwards without guests, faults and leftovers, and with xend running."""
    yield fleet
    for host in fleet:
        if not host.path(storage.SHARED_MOUNT).is_symlink():
            host.mount()
    calm(*fleet)


@pytest.fixture
def source(hosts):
    return hosts["xen1"]


@pytest.fixture
def target(hosts):
    return hosts["xen2"]


# ---------------------------------------------------------------------------------------------
# storage and network of a host


@pytest.mark.parametrize(
    "uname, path",
    [
        ("file:/srv/xen/a.img", "/srv/xen/a.img"),
        ("phy:/dev/vg/a", "/dev/vg/a"),
        ("phy:vg/a", "/dev/vg/a"),
        ("tap:aio:/srv/xen/a.img", "/srv/xen/a.img"),
        ("tap:tapdisk:aio:/srv/xen/a.img", "/srv/xen/a.img"),
        ("tap2:qcow2:/srv/xen/a:b.img", "/srv/xen/a:b.img"),
        ("drbd:a", None),
        ("", None),
        ("phy:", None),
    ],
)
def test_which_path_a_disk_means(uname, path):
    assert storage.disk_path(uname) == path


def test_the_file_system_of_a_host(fleet):
    one, two, other = (fleet[name] for name in ("xen1", "xen2", "mid1"))
    assert "vendor_id\t: GenuineIntel\n" in one.path("/proc/cpuinfo").read_text()
    assert "vendor_id\t: AuthenticAMD\n" in other.path("/proc/cpuinfo").read_text()
    assert re.search(r"(?m)^flags\t\t: fpu .*\bpae\b", one.path("/proc/cpuinfo").read_text())
    assert one.path("/proc/uptime").read_text().split()[0] == "86400.00"
    assert two.path("/proc/uptime").read_text().split()[0] == "5.00"
    assert two.path("/sys/class/net/dmz/bridge").is_dir()
    assert not one.path("/sys/class/net/dmz").exists()
    for folder in ("/dev", "/etc/xen/auto", "/var/lib/xend/domains", "/srv/local"):
        assert one.path(folder).is_dir() and not one.path(folder).samefile(two.path(folder))
    assert one.path("/srv/xen").samefile(two.path("/srv/xen"))


@pytest.mark.parametrize(
    "path, shared",
    [
        ("/srv/xen/web01.img", True),
        ("/srv/web01.img", True),
        ("/var/lib/xen/images/web01.img", True),
        ("/dev/vg/web01", True),
        ("/srv/local/web01.img", False),
    ],
)
def test_a_guest_s_disk_is_made_where_it_is_missing(source, target, path, shared):
    kind = "phy" if path.startswith("/dev") else "file"
    source.create_guest("web01", disks=["%s:%s,xvda,w" % (kind, path)])
    image = source.path(path)
    assert image.stat().st_size == 64 * 1024
    assert image.read_bytes()[510:512] == b"\x55\xaa"
    assert target.path(path).exists() == shared
    assert not shared or target.path(path).samefile(image)
    before = image.read_bytes()
    source.create_guest("db", disks=["%s:%s,xvda,w" % (kind, path)])
    assert image.read_bytes() == before


def test_what_is_written_next_to_a_shared_image_is_seen_by_all(source, target):
    source.create_guest("web01", disks=["file:/home/guests/web01.img,xvda,w"])
    source.path("/home/guests/note").write_text("here")
    assert target.path("/home/guests/note").read_text() == "here"


def test_images_differ(source):
    images = [source.make_image("/srv/xen/%s.img" % name, size=4096) for name in "ab"]
    contents = [image.read_bytes() for image in images]
    assert contents[0][:512] != contents[1][:512]
    assert [len(content) for content in contents] == [4096, 4096]


def test_storage_that_is_not_mounted(source, target):
    source.make_image("/srv/xen/web01.img")
    target.unmount()
    assert not target.path("/srv/xen/web01.img").exists()
    target.make_image("/srv/xen/web01.img")
    target.mount()
    assert target.path("/srv/xen/web01.img").samefile(source.path("/srv/xen/web01.img"))


def lost_on_both(source, target, said):
    result = migrate(source, "web01", "xen2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", DEPRECATED)
    until(lambda: "Restore failed" in target.log.read_text())
    assert said in target.log.read_text()
    assert source.guests() == {} and target.guests() == {}
    # Its memory had arrived.
    loaded = [note["sha256"] for note in target.journal() if note["event"] == "loaded"]
    assert loaded[-1] == suspended_sha256(source)


@pytest.mark.parametrize(
    "disk, said",
    [
        ("file:/srv/local/web01.img,xvda,w", "(vbd) could not be connected. /srv/local/web01.img"),
        ("phy:vg/lost,xvda,w", "(vbd) could not be connected. /dev/vg/lost does not exist."),
        ("tap:aio:/srv/local/web01.img,xvda,w", "(tap) could not be connected. /srv/local/web01"),
        ("tap2:aio:/srv/local/web01.img,xvda,w", "(tap2) could not be connected. /srv/local/web0"),
    ],
)
def test_a_disk_that_the_target_lacks_loses_the_guest(source, target, disk, said):
    source.create_guest("web01", disks=[disk])
    target.path("/dev/vg/lost").unlink(missing_ok=True)
    lost_on_both(source, target, said)


def test_a_bridge_that_the_target_lacks_loses_the_guest(source, target):
    source.create_guest("web01", vifs=["bridge=lan"])
    lost_on_both(source, target, "(vif) could not be connected. Could not find bridge device lan")


@pytest.mark.parametrize(
    "vif, disk",
    [
        ("bridge=dmz", "file:/srv/xen/web01.img,xvda,w"),
        ("bridge=lan,script=vif-nat", "drbd:web01,xvda,w"),
        ("bridge=xenbr0", ",hdc:cdrom,r"),
    ],
)
def test_what_needs_nothing_of_the_target_or_is_there(source, target, vif, disk):
    source.create_guest("web01", vifs=[vif], disks=[disk])
    assert migrate(source, "web01", "xen2").returncode == 0
    target.wait_alive("web01")


def test_an_hvm_guest_s_missing_image_is_noticed_before_its_memory_is_sent(source, target):
    guest = source.create_guest("web01", image="hvm", disks=["file:/srv/local/web01.img,hda,w"])
    result = migrate(source, "web01", "xen2")
    assert result.stderr == (
        DEPRECATED + "Error: Disk image does not exist: /srv/local/web01.img (from xen2)\n"
    )
    assert source.wait_alive("web01").domid == guest.domid
    assert target.guests() == {}


# ---------------------------------------------------------------------------------------------
# managed domains


def test_a_managed_domain_stays_known_where_it_does_not_run(source, target):
    guest = source.create_guest("web01", managed=True)
    assert rows(source, "id")["web01"][0] == str(guest.domid)
    assert migrate(source, "web01", "xen2").returncode == 0
    target.wait_alive("web01")
    assert rows(source, "id", "state") == {"web01": ("", "")}
    line = source.xm_run("list").stdout.splitlines(True)[-1]
    assert re.fullmatch(r"web01 {45}96     1 {11,}\d+\.\d\n", line)
    assert len(line) == len(LIST_HEADER) - 1
    (form,) = sxp.decode(sxp.parse(source.xm_run("list", "--long", "web01").stdout.encode()))
    assert sxp.child_value(form, "uuid") == guest.uuid
    assert sxp.child_value(form, "status") == "0"
    assert sxp.child_value(form, "domid") is None and sxp.child_value(form, "state") is None
    assert not target.managed.all()
    assert migrate(source, "web01", "xen2").stderr.endswith("Error: Domain is not running\n")
    # Back home it is one domain, not two.
    assert migrate(target, "web01", "xen1").returncode == 0
    source.wait_alive("web01")
    assert len(rows(source)) == 1 and rows(source, "id")["web01"][0] != ""
    assert source.xm_run("delete", "web01").stderr.endswith("Error: Domain is not halted.\n")


def test_the_home_server_changes(source, target):
    guest = source.create_guest("web01", managed=True)
    assert migrate(source, "--change_home_server", "web01", "xen2").returncode == 0
    target.wait_alive("web01")
    assert rows(source) == {} and not source.managed.all()
    until(lambda: list(target.managed.all()) == [guest.uuid])
    assert target.path("/var/lib/xend/domains/%s/config.sxp" % guest.uuid).exists()
    assert target.xm_run("destroy", "web01").returncode == 0
    assert rows(target, "id", "state") == {"web01": ("", "")}
    assert target.xm_run("delete", "web01").returncode == 0
    assert rows(target) == {}


def test_the_home_of_an_unmanaged_domain_cannot_change(source):
    guest = source.create_guest("web01")
    result = migrate(source, "--change_home_server", "web01", "xen2")
    assert result.returncode == 1
    assert result.stderr == DEPRECATED + "Error: Domain is not a managed domain\n"
    assert source.guests()["web01"] == guest


def test_a_failed_migration_leaves_the_home_as_it_was(source, target):
    guest = source.create_guest("web01", managed=True, memory_mib=96)
    target.create_guest("filler", memory_mib=950)
    assert migrate(source, "-c", "web01", "xen2").returncode == 1
    assert source.wait_alive("web01").uuid == guest.uuid
    assert list(source.managed.all()) == [guest.uuid] and not target.managed.all()


def test_which_names_are_taken(source, target):
    """xend compares uuids: only another domain of that name, running or managed, is in the way."""
    guest = source.create_guest("web01", managed=True)
    migrate(source, "web01", "xen2")
    target.wait_alive("web01")
    assert migrate(target, "web01", "xen1").returncode == 0
    source.wait_alive("web01")
    other = target.create_guest("web01", managed=True)
    target.xm_run("destroy", "web01")
    assert rows(target, "id", "state") == {"web01": ("", "")} and other.uuid != guest.uuid
    assert migrate(source, "web01", "xen2").returncode == 1
    assert "VM name 'web01' already exists\n" in target.log.read_text()
    assert source.wait_alive("web01").uuid == guest.uuid


def test_a_second_copy_of_the_same_domain_is_not_refused(source, target):
    """Its uuid is its own: what a broken migration has left does not keep the next one out."""
    guest = source.create_guest("web01")
    left = target.create_guest("web01", uuid=guest.uuid, paused=True)
    assert migrate(source, "web01", "xen2").returncode == 0
    copies = target.hypervisor.domains
    until(lambda: [copy["paused"] for copy in copies()] == [True, False])
    assert [copy["uuid"] for copy in copies()] == [guest.uuid] * 2
    assert copies()[0]["domid"] == left.domid


# ---------------------------------------------------------------------------------------------
# memory


def fill(host, leave_kib):
    """Take the host's free memory but for `leave_kib` and what a domain costs by itself."""
    free_mib = (host.hypervisor.free_kib() - leave_kib) // 1024 - 1
    host.create_guest("filler", memory_mib=free_mib, paused=True)


def test_a_live_migration_needs_shadow_memory_on_the_source(source, target):
    # 2 MiB for the VCPUs, and a quarter of its page count in KiB: 2.75 MiB, rounded up.
    source.create_guest("web01", memory_mib=96, vcpus=2, maxmem=192)
    fill(source, leave_kib=2 * 1024)
    result = migrate(source, "web01", "xen2")
    assert re.search(
        r"Error: Not enough free memory and dom0_min_mem is 0, so I cannot release any more\.  "
        r"I need 3072 KiB but only have 2048\.\n$",
        result.stderr,
    )
    assert source.guests()["web01"].alive and "restore" not in target.log.read_text()
    assert migrate(source, "web01", "xen2", live=False).returncode == 0
    target.wait_alive("web01")


def test_a_hvm_guest_needs_shadow_and_screen_on_the_target(source, target):
    source.create_guest("web01", image="hvm", memory_mib=100, vcpus=1)
    free_kib = source.hypervisor.free_kib()
    source.destroy_guest("web01")
    # 1 MiB for the VCPU and 8 KiB for each MiB are less than the 9 MiB it is said to have.
    assert source.hypervisor.free_kib() - free_kib == (100 + 9 + 4 + 1) * 1024
    source.create_guest("big", image="hvm", memory_mib=100, vcpus=12)
    assert source.hypervisor.free_kib() == free_kib - (13 - 9) * 1024
    source.destroy_guest("big")
    source.create_guest("web01", image="hvm", memory_mib=100)
    fill(target, leave_kib=112 * 1024)
    result = migrate(source, "web01", "xen2")
    assert re.search(r"I need %d KiB but .* \(from xen2\)\n$" % (113 * 1024), result.stderr)
    assert source.wait_alive("web01")
    target.destroy_guest("filler")
    assert migrate(source, "web01", "xen2").returncode == 0
    target.wait_alive("web01")


@pytest.mark.parametrize("image", ["linux", "hvm"])
def test_a_domain_that_must_not_move(source, target, image):
    guest = source.create_guest("web01", image=image, nomigrate=1)
    result = migrate(source, "web01", "xen2")
    assert result.returncode == 1
    assert result.stderr.endswith("Error: cannot restore non-migratable domain (from xen2)\n")
    assert source.wait_alive("web01").domid == guest.domid
    until(lambda: target.guests() == {})


# ---------------------------------------------------------------------------------------------
# guests, xends and networks that fail in the middle


@pytest.mark.parametrize("live", [True, False])
def test_a_guest_that_does_not_suspend(source, target, live):
    guest = source.create_guest("web01")
    source.fault("ignore-suspend")
    result = migrate(source, "web01", "xen2", live=live)
    assert result.returncode == 1
    assert result.stderr.endswith("Error: Timeout waiting for domain %d to suspend\n" % guest.domid)
    assert source.wait_alive("web01").xend_name == "web01"
    assert "suspended" not in [note["event"] for note in source.journal()][-2:]
    until(lambda: target.guests() == {})
    source.fault("ignore-suspend", False)
    assert migrate(source, "web01", "xen2").returncode == 0
    target.wait_alive("web01")


def test_an_old_xend_waits_for_a_guest_without_limit(hosts):
    source, target = hosts["mid1"], hosts["xen2"]
    source.create_guest("web01")
    source.fault("ignore-suspend")
    migration = source.xm_start("migrate", "--live", "web01", "xen2")
    with pytest.raises(subprocess.TimeoutExpired):
        migration.communicate(timeout=3 * source.layout.delay_s("suspend-timeout"))
    source.fault("ignore-suspend", False)
    assert finish(migration)[0] == 0
    target.wait_alive("web01")


@pytest.mark.parametrize("name, state", [("xen1", "running"), ("old1", "suspended")])
def test_only_since_3_1_a_guest_goes_on_when_its_save_fails(hosts, name, state):
    host = hosts[name]
    host.create_guest("web01")
    migration = start_held(host, hosts["xen2"], 1.0)
    host.kill_xc_save()
    assert finish(migration)[0] == 1
    guest = host.guests()["web01"]
    assert (guest.xend_name, guest.state) == ("web01", state)
    assert ("resumeDomain" in host.log.read_text()) is (name == "xen1")


@pytest.mark.parametrize("kill", ["kill_xend_child", "kill_xend"])
def test_the_source_s_xend_is_killed_while_memory_is_sent(source, target, kill):
    guest = source.create_guest("web01")
    migration = start_held(source, target)
    getattr(source, kill)()
    target.release()
    assert finish(migration)[0] == 1
    until(lambda: target.guests() == {})
    left = source.wait_alive("web01")
    assert (left.domid, left.xend_name) == (guest.domid, "migrating-web01")
    source.bring_up()
    assert set(rows(source)) == {"migrating-web01"}


@pytest.mark.parametrize("kill", ["kill_xend_child", "kill_xend"])
def test_the_source_s_xend_is_killed_after_the_suspension(source, target, kill):
    guest = source.create_guest("web01")
    migration = start_held(source, target, 1.0)
    getattr(source, kill)()
    target.release()
    assert finish(migration)[0] in (1, 3)
    arrived = target.wait_alive("web01")
    assert arrived.memory_sha256 == suspended_sha256(source)
    source.bring_up()
    assert rows(source, "id", "state") == {"migrating-web01": (str(guest.domid), "---s--")}


def test_both_xends_are_killed_while_memory_is_sent(source, target):
    source.create_guest("web01")
    migration = start_held(source, target)
    source.kill_xend()
    target.kill_xend()
    target.release()
    assert finish(migration)[0] == 1
    assert source.wait_alive("web01").xend_name == "migrating-web01"
    until(lambda: "xc_restore" not in target.layout.roles())
    # Nobody was left to remove what had arrived.
    assert target.guests()["web01"].state == "paused"


def test_both_xends_are_killed_after_the_suspension(source, target):
    source.create_guest("web01")
    migration = start_held(source, target, 1.0)
    source.kill_xend()
    target.kill_xend()
    target.release()
    finish(migration)
    until(lambda: not {"xc_restore"} & set(target.layout.roles()))
    here, there = source.guests()["web01"], target.guests()["web01"]
    assert (here.state, here.alive, there.state, there.alive) == (
        "suspended",
        False,
        "paused",
        False,
    )
    # Both copies are whole: either could be made to run.
    assert here.memory_sha256 == there.memory_sha256


@pytest.mark.parametrize("end", ["xen1", "xen2"])
@pytest.mark.parametrize("live", [True, False])
def test_a_cut_for_ever_while_memory_is_sent(hosts, source, target, end, live):
    guest = source.create_guest("web01")
    migration = start_held(source, target, options=[*(["--live"] if live else []), "-p", "8002"])
    hosts[end].cut_link()
    target.release()
    code, _out, said = finish(migration)
    assert code == 1
    assert re.fullmatch(
        DEPRECATED + r"Error: /usr/lib/xen/bin/xc_save \d+ %d 0 0 %d failed\n" % (guest.domid, live), said
    )
    back = source.wait_alive("web01")
    assert (back.domid, back.xend_name) == (guest.domid, "web01")
    assert "errno 110" in source.log.read_text()
    # A receiver has nothing to retransmit: it waits, even when the network is there again.
    hosts[end].restore_link()
    assert not wait_until(lambda: target.guests() == {}, 0.5)
    assert rows(target, "state")["web01"] == ("--p---",)
    assert len(target.kill_xc_restore()) == 1
    until(lambda: target.guests() == {})
    assert migrate(source, "web01", "xen2").returncode == 0
    target.wait_alive("web01")


@pytest.mark.parametrize("in_time", [True, False])
def test_a_cut_when_everything_but_the_end_has_arrived(source, target, in_time):
    source.create_guest("web01")
    migration = start_held(source, target, 1.0)
    target.delay("tcp-gives-up", LIMIT_S)
    target.cut_link()
    target.release()
    # The kernel has taken the rest, so the source believes that all is well.
    assert finish(migration) == (0, "", DEPRECATED)
    assert source.guests() == {}
    lost = target.guests()["web01"]
    assert (lost.state, lost.alive) == ("paused", False)
    if in_time:
        target.restore_link()
        assert target.wait_alive("web01").memory_sha256 == suspended_sha256(source)
    else:
        target.delay("tcp-gives-up")
        gives_up_s = target.layout.delay_s("tcp-gives-up")
        assert not wait_until(lambda: target.guests()["web01"].alive, gives_up_s + 0.2)
        target.restore_link()
        assert not wait_until(lambda: target.guests()["web01"].alive, 0.5)
        assert "xc_restore" in target.layout.roles()


def test_the_target_is_cut_off_when_the_source_has_destroyed_its_copy(source, target):
    source.create_guest("web01")
    target.delay("tcp-gives-up", LIMIT_S)
    target.cut_after_destroy()
    assert migrate(source, "web01", "xen2").returncode == 0
    assert source.guests() == {}
    assert target.layout.link()["cut"]
    assert migrate(source, "web01", "xen2").returncode == 3
    source.create_guest("db")
    assert "timed out" in migrate(source, "db", "xen2").stderr
    target.restore_link()
    target.wait_alive("web01")


def test_xm_is_killed_and_the_network_too(source, target):
    source.create_guest("web01")
    migration = start_held(source, target)
    migration.send_signal(signal.SIGTERM)
    migration.communicate(timeout=LIMIT_S)
    target.cut_link()
    target.release()
    until(lambda: source.guests()["web01"].xend_name == "web01")
    assert source.wait_alive("web01")


# ---------------------------------------------------------------------------------------------
# the Python of xend


def python(host, code):
    return host.run(host.python, "-c", code, timeout_s=LIMIT_S)


RESUME = (
    "import xen.lowlevel.xc, xen.lowlevel.xs\n"
    "xen.lowlevel.xc.xc().domain_resume(%d, %d)\n"
    "xen.lowlevel.xs.xs().resume_domain(%d)\n"
)


@pytest.mark.parametrize(
    "fast, extra, works",
    [
        (1, {}, True),
        (1, {"image": "hvm"}, True),
        (1, {"suspend_cancel": False}, False),
        (0, {}, False),
    ],
)
def test_a_suspended_guest_is_resumed_behind_xend_s_back(source, fast, extra, works):
    guest = source.create_guest("web01", **extra)
    source.hypervisor.suspend(guest.domid)
    result = python(source, RESUME % (guest.domid, fast, guest.domid))
    assert (result.returncode, result.stderr) == (0, "")
    assert (source.guests()["web01"].state, source.guests()["web01"].alive) == ("running", works)


@pytest.mark.parametrize(
    "code, error",
    [
        (
            "import xen.lowlevel.xc as m; m.xc().domain_resume(%d, 1)",
            "Error: (22, 'Invalid argument')",
        ),
        (
            "import xen.lowlevel.xc as m; m.xc().domain_resume(999, 1)",
            "Error: (3, 'No such process')",
        ),
        ("import xen.lowlevel.xs as m; m.xs().resume_domain(999)", "Error: (3, 'No such process')"),
    ],
)
def test_what_cannot_be_resumed(source, code, error):
    guest = source.create_guest("web01")
    result = python(source, code.replace("%d", str(guest.domid)))
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith(error)
    assert source.guests()["web01"] == guest
