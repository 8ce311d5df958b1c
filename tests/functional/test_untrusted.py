"""What others may have put in the way on a host: files that are none, links, folders that are not its own."""

import os
import socket
import time

import pytest

from tests.functional.conftest import OPEN, refused
from tests.harness.loading import host_opts
from tests.lab.fleet import HostSpec


@pytest.fixture(scope="module")
def running(open_fleet):
    hosts = [HostSpec("xen1"), HostSpec("xen2")]
    return open_fleet(*hosts)


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()


@pytest.fixture
def on(minion_on):
    return lambda name, **options: minion_on(name, **options).modules


@pytest.fixture
def guest(fleet):
    return fleet["xen1"].create_guest("web01")


@pytest.fixture
def kept(fleet):
    """The folder of xen1 for locks, notes and descriptions."""
    path = fleet["xen1"].root / "kept"
    path.mkdir(mode=0o700, exist_ok=True)
    yield path
    path.chmod(0o700)
    for entry in path.iterdir():
        entry.unlink()


@pytest.fixture(autouse=True)
def at_once():
    """Nothing waits for what is in the way."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 60


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        # Its own folder: the name of a socket has 107 letters at most.
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


KINDS = {
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "a socket": listen,
    "a character device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", sorted(KINDS))
def test_what_is_no_file_is_no_configuration(xend, config, what):
    config.unlink()
    KINDS[what](config)
    for call in (xend.list, xend.check, xend.relocation, xend.status, xend.restart):
        assert f"{config}: is {what}" in refused(call)
    assert f"{config}: is {what}" in refused(xend.configure, port=8010)
    assert f"{config}: is {what}" in refused(xend.set, "a", "b", test=True)


def test_a_file_that_grows_while_it_is_read_has_an_end(xend, config):
    """As a pseudo file that tells no size."""
    config.unlink()
    config.symlink_to("/proc/self/pagemap")
    assert "larger than 1048576 bytes" in refused(xend.list)


# The files of xend


def test_a_log_or_a_pid_file_that_is_none(load, config, tmp_path):
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        path = tmp_path / f"odd{len(list(tmp_path.iterdir()))}"
        make(path)
        options = {"config": str(config), "log": str(path), "pidfile": str(path)}
        modules = load(xend=dict(options, kept=str(tmp_path / "kept"))).modules
        assert modules.xend.status()["running"] is False
        assert modules.xm.where("web01")["copy"] == "unknown"


def test_keys_that_are_none(xend, config, tmp_path):
    for name in ("key", "cert"):
        os.mkfifo(tmp_path / name)
    config.write_text(
        "(xend-relocation-ssl-server yes)\n(xend-relocation-hosts-allow '^localhost$')\n"
        f"(xend-relocation-server-ssl-key-file {tmp_path}/key)\n"
        f"(xend-relocation-server-ssl-cert-file {tmp_path}/cert)\n"
    )
    assert "is a FIFO" in refused(xend.restart)


# The folder of locks, notes and descriptions


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_nothing_moves_while_others_may_write_to_the_folder(on, fleet, guest, kept, mode):
    kept.chmod(mode)
    xm, xend = on("xen1").xm, on("xen1").xend
    calls = [
        lambda: xm.migrate("web01", "xen2"),
        lambda: xm.forget("web01", guest.uuid, "i1"),
        lambda: xm.copies(),
        lambda: xend.reserve("web02"),
        lambda: xend.release("web02"),
        lambda: xend.restart(),
        lambda: xm.close_host([], "me"),
        lambda: xm.open_host(),
        lambda: xm.can_receive({"name": "web02", "memory_mib": 16}),
    ]
    for call in calls:
        sentence = refused(call)
        assert str(kept) in sentence and "chmod 700" in sentence and "%04o" % mode in sentence
    assert list(kept.iterdir()) == [] and fleet["xen1"].guests()["web01"].alive
    kept.chmod(0o700)
    assert xm.migrate("web01", "xen2")["name"] == "web01"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_nothing_moves_by_a_folder_of_somebody_else(on, fleet, guest, kept):
    os.chown(kept, 1234, 1234)
    try:
        sentence = refused(on("xen1").xm.migrate, "web01", "xen2")
    finally:
        os.chown(kept, 0, 0)
    assert "1234" in sentence and str(kept) in sentence and fleet["xen1"].guests()["web01"].alive


@pytest.mark.parametrize("name", ["lock", "description", "note"])
@pytest.mark.parametrize("plant", ["link", "FIFO"])
def test_what_was_planted_is_neither_followed_nor_waited_for(on, fleet, guest, kept, tmp_path, name, plant):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    paths = {
        "lock": kept / ".relocation.lock",
        "description": kept / f"web01.{guest.uuid}.sxp",
        "note": kept / f"web01.{guest.uuid}.sent",
    }
    path = paths[name]
    path.symlink_to(victim) if plant == "link" else os.mkfifo(path)
    if name == "lock":
        assert str(path) in refused(on("xen1").xm.migrate, "web01", "xen2")
        assert fleet["xen1"].guests()["web01"].alive
    else:
        on("xen1").xm.migrate("web01", "xen2")
        assert path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077 == 0
    assert victim.read_text() == "precious"


def test_the_folder_that_is_made_is_its_owner_s_alone(on, fleet, guest, tmp_path):
    folder = tmp_path / "new" / "kept"
    on("xen1", kept=str(folder)).xm.migrate("web01", "xen2")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_contents_that_were_kept_are_not_written_through_a_link(load, config, tmp_path):
    minion = load(xend={"config": str(config)})
    victim = tmp_path / "victim"
    victim.write_text("precious")
    cache = tmp_path / "minion" / "cache" / "xend"
    cache.mkdir(parents=True, mode=0o700)
    name = os.path.realpath(config).strip("/").replace("/", ".")
    (cache / f"{name}.written").symlink_to(victim)
    assert minion.modules.xend.set("dom0-min-mem", 256)["changed"]
    assert victim.read_text() == "precious"
    assert (cache / f"{name}.written").read_bytes() == config.read_bytes()


# Names


ODD_NAMES = ["a guest", "web 12 256 1", "two  spaces", "12 34", "x" * 240, "r-----", "tab\tbed", "odd\\'\"<&"]


@pytest.mark.parametrize("version", ["3.0.3", "3.1", "4.4"])
def test_a_guest_of_any_name_leaves_the_others_readable(new_fleet, load, version):
    fleet = new_fleet(HostSpec("old1", version=version, config=OPEN, time_scale=0.02))
    fleet.start()
    xm = load(**host_opts(fleet["old1"])).modules.xm
    guests = dict((name, fleet["old1"].create_guest(name, memory_mib=16)) for name in ["web01", *ODD_NAMES])
    listed = xm.list()
    assert set(listed) == set(guests) | {"Domain-0"}
    views = dict((one["name"], one) for one in xm.copies()["copies"])
    for name, guest in guests.items():
        assert listed[name]["domid"] == guest.domid and listed[name]["memory_mib"] == 16
        assert views[name]["copy"] == "running" and views[name]["uuid"] == guest.uuid
        assert xm.where(name)["copy"] == "running" and xm.domain(name)["uuid"] == guest.uuid


def test_a_name_that_keeps_xend_from_saying_anything_is_not_taken_for_no_guests(on, fleet):
    """No real xm can read what xend then answers: the XML has a character that XML does not have."""
    fleet["xen1"].create_guest("\x03odd")
    xm = on("xen1").xm
    refused(xm.list)
    assert xm.where("web01")["copy"] == "unknown"


def test_a_name_that_ends_with_a_line(on, fleet):
    """xend's own check lets that through: `$` matches before it (XendDomainInfo._checkName)."""
    odd = fleet["xen1"].create_guest("web01\n")
    plain = fleet["xen1"].create_guest("web02")
    xm = on("xen1").xm
    assert set(xm.list()) == {"Domain-0", "web01\n", "web02"}
    assert xm.where("web02")["copy"] == "running" and xm.where("web02")["domid"] == plain.domid
    assert xm.where("web01\n")["uuid"] == odd.uuid and xm.where("web01")["copy"] == "absent"


# What a source says


DISK = {"uname": "file:/srv/none.img", "dev": "xvda:disk", "mode": "w"}
GUEST = {"name": "web01", "memory_mib": 64, "uuid": "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"}


def lie(**changes):
    return dict(GUEST, **changes)


@pytest.mark.parametrize(
    "given, field",
    [
        ({"domain": lie(memory_mib=10**30)}, "memory_mib"),
        ({"domain": lie(memory_mib=float("nan"))}, "memory_mib"),
        ({"domain": lie(disks=[DISK] * 1000)}, "disks"),
        ({"domain": lie(vifs=[{"script": "x" * 100000}])}, "vifs"),
        ({"domain": lie(image_files={"kernel": "/boot/x\0y"})}, "image_files"),
        ({"domain": lie(vnc=[["vnclisten", "x"]])}, "vnc"),
        ({"domain": [GUEST]}, "domain"),
        ({"source": {"flags": "all of them"}}, "flags"),
        ({"source": {"time": float("inf")}}, "time"),
        ({"source": {"bridge_ports": {"vif1.0": ["x"]}}}, "bridge_ports"),
        ({"source": "xen1"}, "source"),
        ({"storage": [["well", "x"]]}, "storage"),
        ({"storage": [["same"]]}, "storage"),
        ({"storage": "same"}, "storage"),
        ({"asked": {"time": float("nan"), "apart_s": 1}}, "time"),
        ({"asked": {"time": 1, "apart_s": 10**400}}, "apart_s"),
        ({"asked": [1, 2]}, "asked"),
        ({"accept": {"storage": True}}, "accept"),
        ({"accept": ["storage", 5]}, "accept"),
        ({"accept": [["storage"]]}, "accept"),
    ],
)
def test_what_a_source_says_in_another_form_is_one_sentence(on, fleet, given, field):
    sentence = refused(on("xen2").xm.can_receive, **dict({"domain": GUEST}, **given))
    assert field in sentence and len(sentence) < 500


def test_nothing_that_a_source_names_is_opened_waited_for_or_obeyed(on, fleet, tmp_path):
    """Devices, FIFOs, options, other folders: looked at, and said in words that no terminal obeys."""
    root = fleet["xen2"].root
    os.mkfifo(root / "pipe")
    domain = lie(
        image="hvm",
        disks=[
            dict(DISK, uname=uname)
            for uname in (
                "file:/pipe",
                "file:/proc/kmsg",
                "phy:/dev/../../../dev/zero",
                "file:/srv/../../../../etc/shadow",
                "drbd:--help",
                "drbd:../../x",
                "drbd:a b",
                "tap:aio:/pipe",
                "file:/srv/\x1b[31m\nred.img",
            )
        ],
        vifs=[{"script": "/pipe"}, {"script": "../../../pipe"}, {"bridge": "\x1b[31m"}],
        image_files={"kernel": "/pipe", "device_model": "/\x1b[31mqemu"},
        vnc=[{"vnclisten": address} for address in ("\x1b[31m", "a b", "x" * 300, "-x", "no.such.invalid")],
        chardevs=["pipe:/pipe", "unix:/pipe,server", "/dev/../../x"],
    )
    began = time.monotonic()
    found = on("xen2").xm.can_receive(domain)
    assert time.monotonic() - began < 30 and not found["ok"]
    text = "".join(found["blockers"] + found["warnings"])
    assert "\x1b" not in text and "\n" not in text and "\\x1b[31m" in text
    assert "/proc/kmsg leads into /proc" in text and "neither a file nor a block device" in text


def test_what_a_source_says_of_its_disks_is_checked(on, fleet, guest):
    xm = on("xen2").xm
    marked = on("xen1").xm.mark_disks("web01")
    assert xm.same_disks(marked, "xen1") == [] and on("xen1").xm.unmark_disks(marked)
    for wrong in (None, [], "x", {}, dict(marked, disks=5), dict(marked, there=[{}]), dict(marked, token=[])):
        assert "marked: " in refused(xm.same_disks, wrong, "xen1")
    for wrong in (None, {}, {"disks": [DISK], "token": "../../x"}, {"disks": DISK, "token": marked["token"]}):
        assert "marked: " in refused(xm.unmark_disks, wrong)


def test_only_markers_are_removed(on, fleet):
    """Whatever the disks are called, and whatever stands under the name of a marker."""
    root, token = fleet["xen2"].root, "c56e09d2-81cc"
    (root / "srv").mkdir(exist_ok=True)
    victim = root / "srv" / f".xend-for-salt.{token}"
    victim.write_text("precious")
    unames = ["file:/srv/x.img", "file:/srv/../srv/x.img", f"file:/srv/.xend-for-salt.{token}", "file:srv/x"]
    on("xen2").xm.unmark_disks({"disks": [dict(DISK, uname=uname) for uname in unames], "token": token})
    assert victim.read_text() == "precious"
    victim.write_text(token)
    on("xen2").xm.unmark_disks({"disks": [DISK], "token": token})
    assert not victim.exists()


def test_words_of_another_host_steer_no_terminal(on, fleet):
    red = "\x1b[31m\nred\u009b"
    xm, xend = on("xen2").xm, on("xen2").xend
    there = {"copy": "sending", "host": red, "state": red, "problem": red, "listed": "web01"}
    told = [
        xm.under_way("web01", there),
        xm.nowhere("web01", {"copy": "absent"}, red, {"copy": "unknown", "problem": red}),
        xm.not_described("web01", {"copy": "absent", "domid": None}, there, red),
        str(xm.unheard({"xen1": {"problem": red}})),
        xend.reserve(red, who=red),
    ]
    xend.release(red)
    for sentence in told:
        assert "red" in sentence and not set("\x1b\n\u009b") & set(sentence), sentence
