"""The simulated fleet over TLS: listening, refusing, sending. Nothing here runs the product."""

import socket
import ssl
import struct
from pathlib import Path

import pytest

from tests.lab import tls
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until
from tests.simulator.acts import LIMIT_S, calm, finish, start_held, until

PLAIN, SECURE = 8002, 8003
CONFIG = """\
(xend-relocation-server yes)
(xend-relocation-ssl-server yes)
(xend-relocation-server-ssl-key-file relocation.key)
(xend-relocation-server-ssl-cert-file relocation.crt)
"""


@pytest.fixture(scope="module")
def fleet(new_fleet):
    shut = CONFIG + "(xend-relocation-hosts-allow '^nobody$')\n"
    fleet = new_fleet(
        HostSpec("xen1", config=CONFIG, time_scale=0.05),
        HostSpec("xen2", config=CONFIG, time_scale=0.05),
        HostSpec("shut", config=shut, time_scale=0.05),
    )
    for host in fleet:
        tls.make_certificate(host.config.parent)
    fleet.start()
    return fleet


@pytest.fixture
def guest(fleet):
    made = fleet["xen1"].create_guest("web01")
    yield fleet["xen1"].wait_alive("web01") and made
    calm(*fleet)


def migrate(fleet, target, *options):
    return fleet["xen1"].xm_run("migrate", "--live", *options, "web01", fleet[target].address)


def holders(fleet):
    return [host.name for host in fleet if "web01" in host.guests()]


def test_both_doors_are_open(fleet):
    host = fleet["xen1"]
    assert {port for _, port in host.listening} == {PLAIN, SECURE}
    with socket.create_connection((host.address, SECURE), 10) as connection:
        with tls.connect(connection) as secured:
            secured.sendall(b"(help)\n")
            assert secured.recv(100) == b"(ok (help quit receive sslreceive))\n"
            assert secured.version() in ("TLSv1", "TLSv1.1", "TLSv1.2")


def test_who_is_not_admitted_gets_no_handshake(fleet):
    with socket.create_connection((fleet["shut"].address, SECURE), 10) as connection:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            tls.connect(connection)
    assert "Rejected connection" in fleet["shut"].log.read_text()


@pytest.mark.parametrize("options", [["--ssl"], ["--ssl", "--port=8003"]])
def test_a_guest_goes_over_tls_byte_for_byte(fleet, guest, options):
    sent = migrate(fleet, "xen2", *options)
    assert (sent.returncode, sent.stdout) == (0, ""), sent.stderr
    arrived = fleet["xen2"].wait_alive("web01")
    assert holders(fleet) == ["xen2"] and arrived.uuid == guest.uuid
    checksums = [
        {entry["event"]: entry.get("sha256") for entry in fleet[name].journal()}
        for name in ("xen1", "xen2")
    ]
    assert checksums[1]["loaded"] and checksums[1]["loaded"] == checksums[0]["suspended"]


def test_the_sender_s_setting_decides_where_xm_says_nothing(fleet, guest):
    host = fleet["xen1"]
    host.config.write_text(CONFIG + "(xend-relocation-ssl yes)\n")
    assert host.restart().returncode == 0
    try:
        # TLS then, and to the port that xm was told, which speaks none.
        wrong = migrate(fleet, "xen2", "--port=8002")
        assert wrong.returncode == 1 and "SSL error" in wrong.stderr
        assert holders(fleet) == ["xen1"]
        assert migrate(fleet, "xen2").returncode == 0
        assert holders(fleet) == ["xen2"]
    finally:
        host.config.write_text(CONFIG)
        assert host.restart().returncode == 0


@pytest.mark.parametrize(
    "target, options, said",
    [
        ("shut", ["--ssl"], "SSL error: "),
        ("xen2", ["--ssl", "--port=8002"], "SSL error: "),
        ("xen2", ["--port=8003"], "can't connect: timed out"),
    ],
)
def test_a_door_that_does_not_fit(fleet, guest, target, options, said):
    sent = migrate(fleet, target, *options)
    assert sent.returncode == 1 and said in sent.stderr
    assert holders(fleet) == ["xen1"] and fleet["xen1"].guests()["web01"].alive


def test_what_the_target_says_against_it_comes_back(fleet, guest):
    fleet["xen2"].create_guest("web01")
    sent = migrate(fleet, "xen2", "--ssl")
    assert sent.returncode == 1 and "xc_save" in sent.stderr
    assert fleet["xen1"].guests()["web01"].alive
    assert fleet["xen1"].guests()["web01"].xend_name == "web01"


def connections(host):
    """How many connections to the relocation ports of a host are still held by a process there."""
    number = struct.unpack("=I", socket.inet_aton(host.address))[0]
    own = {"%08X:%04X" % (number, port) for port in (PLAIN, SECURE)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # 0A is a listener; a socket that nobody holds any more has no inode.
    return sum(row[1] in own and row[3] != "0A" and row[9] != "0" for row in rows)


@pytest.mark.parametrize("options, held", [([], 1), (["--ssl"], 0)])
def test_who_holds_a_connection_while_a_guest_is_completed(fleet, guest, options, held):
    """With TLS, xend closes it when the sender has, and completes the guest afterwards."""
    source, target = fleet["xen1"], fleet["xen2"]
    sending = start_held(source, target, 1.0, ["--live", *options])
    assert connections(target) == 1 and target.guests()["web01"].state == "paused"
    target.delay("unpause", LIMIT_S)
    assert finish(sending, target)[0] == 0
    until(lambda: "xc_restore" not in target.layout.roles() and connections(target) == held)
    # And so it stays, until the guest runs.
    assert not wait_until(lambda: connections(target) != held, 0.3)
    assert target.guests()["web01"].state == "paused"
    target.delay("unpause")
    target.wait_alive("web01")
    until(lambda: connections(target) == 0)


def test_an_end_that_does_not_get_through_closes_nothing(fleet, guest):
    target = fleet["xen2"]
    sending = start_held(fleet["xen1"], target, 1.0, ["--live", "--ssl"])
    target.delay("tcp-gives-up", LIMIT_S)
    target.cut_link()
    # The kernel has taken the rest, so the source believes that all is well.
    assert finish(sending, target)[0] == 0
    assert not wait_until(lambda: connections(target) == 0, 0.5)
    assert target.guests()["web01"].state == "paused"
    target.restore_link()
    assert target.wait_alive("web01").uuid == guest.uuid
    assert holders(fleet) == ["xen2"]


def test_a_guest_that_cannot_be_completed_is_lost(fleet, guest):
    """The sender is gone by then: the reason stands in the target's log only."""
    fleet["xen2"].fault("disk-missing")
    try:
        lossy = fleet["xen1"].create_guest("db", disks=["file:/images/db.img,xvda,w"])
        assert fleet["xen1"].wait_alive("db").uuid == lossy.uuid
        sent = fleet["xen1"].xm_run("migrate", "--live", "--ssl", "db", fleet["xen2"].address)
        assert (sent.returncode, sent.stdout) == (0, "")
        until(lambda: "could not be connected" in fleet["xen2"].log.read_text())
        until(lambda: "db" not in fleet["xen2"].guests())
        assert "db" not in fleet["xen1"].guests()
    finally:
        fleet["xen2"].fault("disk-missing", False)


def test_a_host_without_pyopenssl(fleet, guest):
    host = fleet["xen1"]
    host.fault("no-openssl")
    sent = migrate(fleet, "xen2", "--ssl")
    assert sent.returncode == 1 and "No module named OpenSSL" in sent.stderr
    assert holders(fleet) == ["xen1"]


@pytest.mark.parametrize(
    "prepare, said",
    [
        (lambda folder: (folder / "relocation.key").unlink(), "No such file or directory"),
        (lambda folder: (folder / "relocation.key").write_text("no key\n"), "no start line"),
    ],
)
def test_files_that_xend_cannot_use_keep_it_from_starting(fleet, prepare, said):
    host = fleet["shut"]
    prepare(host.config.parent)
    try:
        assert host.restart().returncode == 1
        assert said in host.log.read_text()
    finally:
        tls.make_certificate(host.config.parent)
        assert host.start().returncode == 0
