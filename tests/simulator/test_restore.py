"""`xm restore`: what it refuses, what is left when it fails, and that a guest has the memory that it had."""

import pytest

from tests.faults import truth
from tests.lab.fleet import HostSpec
from tests.simulator.acts import LIMIT_S, calm, finish, until

VERSIONS = ("3.0.3", "3.1", "3.2", "3.3", "3.4", "4.4")


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(*[HostSpec("xen-" + version, version, time_scale=0.02) for version in VERSIONS])
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    yield fleet
    calm(*fleet)


@pytest.fixture
def host(hosts):
    return hosts["xen-4.4"]


def saved(host, **settings):
    """Return a guest that was, and its image."""
    guest = host.create_guest("web01", **settings)
    path = host.root / "web01.save"
    path.unlink(missing_ok=True)
    assert host.xm_run("save", "web01", path).returncode == 0
    assert host.guests() == {}
    return guest, path


def refused(host, path):
    """Return why xm restore fails, having left the host's domains as they were."""
    before = truth.everything([host])
    result = host.xm_run("restore", path)
    assert result.returncode == 1 and truth.everything([host]) == before
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_guest_goes_on_with_the_memory_that_it_had(hosts, version):
    host = hosts["xen-" + version]
    guest, path = saved(host)
    assert host.xm_run("restore", path).returncode == 0
    back = host.wait_alive("web01")
    assert (back.uuid, back.memory_sha256, back.memory_mib) == (
        guest.uuid,
        guest.memory_sha256,
        guest.memory_mib,
    )
    entries = truth.history([host], guest.uuid)
    assert entries[-1]["event"] == "unpaused" and entries[-1]["sha256"] == guest.memory_sha256
    assert truth.crimes(entries) == []
    # The file is whoever's has it: it stays.
    assert path.exists()


def test_a_guest_that_is_to_wait_waits(host):
    _guest, path = saved(host)
    assert host.xm_run("restore", "--paused", path).returncode == 0
    assert host.guests()["web01"].state == "paused"


@pytest.mark.parametrize(
    "spoiled, said",
    [
        (lambda whole: whole[: len(whole) // 2], "xc_restore"),
        (lambda whole: whole[:-1], "xc_restore"),
        (lambda whole: whole[:-5], "xc_restore"),
        (lambda whole: whole[:100], "not a valid guest state file: config read"),
        (lambda whole: whole[:16], "not a valid guest state file: config size read"),
        (lambda whole: b"", "not a valid guest state file: signature read"),
        (lambda whole: b"receive\n" + whole, "not a valid guest state file: found 'receive\nLinuxGue'"),
    ],
)
def test_a_file_that_is_not_whole_brings_nobody_back(host, spoiled, said):
    guest, path = saved(host)
    path.write_bytes(spoiled(path.read_bytes()))
    assert said in host.xm_run("restore", path).stderr
    refused(host, path)
    assert host.guests() == {}
    # It has never run.
    assert "unpaused" not in [
        note["event"] for note in host.journal() if note["uuid"] == guest.uuid and note["domid"] > guest.domid
    ]


def test_a_file_that_cannot_be_read(host):
    missing = host.root / "none.save"
    assert refused(host, missing) == "Error: xm restore: Unable to read file %s" % missing


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("renamed", [False, True])
def test_a_guest_that_runs_is_not_started_twice_but_by_some_xends(hosts, version, renamed):
    host = hosts["xen-" + version]
    guest, path = saved(host)
    assert host.xm_run("restore", path).returncode == 0
    back = host.wait_alive("web01")
    if renamed:
        host.xm_run("rename", "web01", "other")
    # XendCheckpoint.restore looks from 3.3 on; 3.0.3 knows names only, 3.1 and 3.2 those of other guests.
    if version in ("3.1", "3.2") or version == "3.0.3" and renamed:
        assert host.xm_run("restore", path).returncode == 0
        assert [domain["uuid"] for domain in host.hypervisor.domains()] == [guest.uuid] * 2
        said = truth.crimes(truth.history([host], guest.uuid))
        assert any("at once" in text for text in said)
        return
    said = refused(host, path)
    if version == "3.0.3":
        assert said == "Error: Restore failed"
    else:
        assert said == "Error: Domain 'web01' already exists with ID '%d'" % back.domid


@pytest.mark.parametrize("version", VERSIONS)
def test_the_name_of_another_guest_is_taken(hosts, version):
    host = hosts["xen-" + version]
    _guest, path = saved(host)
    host.create_guest("web01")
    refused(host, path)


def test_too_little_memory_leaves_nothing(host):
    _guest, path = saved(host)
    host.create_guest("filler", memory_mib=host.hypervisor.free_kib() // 1024 - 40)
    assert "I need " in refused(host, path)
    assert list(host.guests()) == ["filler"]


def test_a_disk_that_cannot_be_attached_leaves_nothing(host):
    _guest, path = saved(host, disks=["file:/srv/web01.img,xvda,w"])
    host.fault("disk-missing")
    assert "could not be connected" in refused(host, path)


def test_who_is_restored_is_there_paused_before_it_runs_and_stays_so_without_xend(host):
    _guest, path = saved(host)
    host.delay("unpause", LIMIT_S)
    restoring = host.xm_start("restore", path)
    until(lambda: "web01" in host.guests())
    assert host.guests()["web01"].state == "paused"
    host.kill_xend_child()
    assert finish(restoring)[0] != 0
    host.bring_up()
    assert host.guests()["web01"].state == "paused"
    # As the real one: a second copy is refused until somebody has destroyed this one.
    assert "already exists" in refused(host, path)
    host.xm_run("destroy", "web01")
    host.delay("unpause")
    assert host.xm_run("restore", path).returncode == 0 and host.wait_alive("web01")


def test_a_managed_guest_goes_on_where_it_is_managed(host):
    guest, path = saved(host, managed=True)
    assert host.xm_run("restore", path).returncode == 0
    assert host.wait_alive("web01").uuid == guest.uuid
    assert len([row for row in host.xm_run("list").stdout.splitlines() if row.startswith("web01 ")]) == 1


def crimes_of(*events):
    return truth.crimes(
        [{"event": event, "host": host, "domid": domid, "sha256": sha} for event, host, domid, sha in events]
    )


def test_memory_that_has_gone_on_elsewhere_may_not_be_started_again():
    sent = [("unpaused", "xen1", 1, "a"), ("suspended", "xen1", 1, "b"), ("destroyed", "xen1", 1, None)]
    ran = [("unpaused", "xen2", 1, "b"), ("suspended", "xen2", 1, "c"), ("destroyed", "xen2", 1, None)]
    assert crimes_of(*sent, ("unpaused", "xen1", 2, "b")) == []
    assert crimes_of(*sent, ("destroyed", "xen2", 1, None), ("unpaused", "xen1", 2, "b")) == []
    assert crimes_of(*sent, *ran, ("unpaused", "xen1", 2, "c")) == []
    assert "other memory" in crimes_of(*sent, *ran, ("unpaused", "xen1", 2, "b"))[0]
    died = [("unpaused", "xen2", 1, "b"), ("destroyed", "xen2", 1, None)]
    assert any("a second time" in text for text in crimes_of(*sent, *died, ("unpaused", "xen1", 2, "b")))
    # The failed attempt to send it lets it go on where it was.
    assert crimes_of(*sent[:2], ("resumed", "xen1", 1, "b"), ("suspended", "xen1", 1, "d")) == []
