"""Asking relocation ports, and whatever else may listen there."""

import contextlib
import socket
import ssl
import struct
import threading
import time

import pytest

import xend_probe
from tests.lab import tls

# Against hanging only; how long a probe may take when its peer would go on for longer than that.
LIMIT_S = 300
ASK_S, SOON_S = 1.5, 30
HELP = b"(ok (help quit receive sslreceive))\n"


@contextlib.contextmanager
def peer(serve, wrap=None):
    """A listener that treats its one connection as SERVE does. Yields the port and what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard = []

    def run():
        with contextlib.suppress(OSError):
            connection = listener.accept()[0]
            connection.settimeout(LIMIT_S)
            with wrap(connection) if wrap else connection as wrapped:
                serve(wrapped, heard)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        listener.close()
        thread.join(LIMIT_S)


def answer(data):
    def serve(connection, heard):
        heard.append(connection.recv(100))
        connection.sendall(data)
        with contextlib.suppress(OSError):
            heard.append(connection.recv(100))

    return serve


def reset(connection, heard):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def mute(connection, heard):
    connection.recv(100)
    with contextlib.suppress(OSError):
        heard.append(connection.recv(100))


def drip(connection, heard):
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"(")
            time.sleep(0.02)


def flood(connection, heard):
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("reply", [HELP, b"(ok (help quit receive))\n"])
def test_accepted(reply):
    with peer(answer(reply)) as (port, heard):
        found = xend_probe.ask("127.0.0.1", port)
    assert found["result"] == "accepted"
    assert (found["address"], found["port"]) == ("127.0.0.1", port)
    assert heard[0] == b"(help)\n" and not any(b"receive" in data for data in heard)


@pytest.mark.parametrize("serve", [lambda connection, heard: None, reset])
def test_rejected_by_close_or_reset(serve):
    with peer(serve) as (port, _):
        assert xend_probe.ask("127.0.0.1", port)["result"] == "rejected"


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.0 400 Bad Request\r\n\r\n", b"(err what)\n", b"\xff\x00\n"],
)
def test_something_else_listens(data):
    with peer(answer(data)) as (port, _):
        found = xend_probe.ask("127.0.0.1", port)
    assert found["result"] == "not-xend"


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = xend_probe.ask("127.0.0.1", port)
    assert found["result"] == "refused" and "127.0.0.1:%d" % port in found["message"]


def test_a_name_that_does_not_resolve():
    found = xend_probe.ask("nosuchhost.invalid", 8002)
    assert found["result"] == "unreachable" and found["address"] is None


def test_a_source_address_that_is_not_here():
    assert xend_probe.ask("127.0.0.1", 8002, source="192.0.2.1")["result"] == "unreachable"


def test_the_source_address_is_used():
    seen = []

    def serve(connection, heard):
        seen.append(connection.getpeername()[0])

    with peer(serve) as (port, _):
        xend_probe.ask("127.0.0.1", port, source="127.0.0.77")
    assert seen == ["127.0.0.77"]


@pytest.mark.parametrize(
    "serve, result", [(mute, "timeout"), (drip, "not-xend"), (flood, "not-xend")]
)
def test_the_time_is_bounded_whatever_the_peer_does(serve, result):
    began = time.monotonic()
    with peer(serve) as (port, _):
        found = xend_probe.ask("127.0.0.1", port, timeout_s=ASK_S)
        took = time.monotonic() - began
    assert found["result"] == result
    assert took < SOON_S


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return tls.make_certificate(tmp_path_factory.mktemp("tls"))


def wrapping(pem, version=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    """What makes the TLS side of a connection at the listener, up to this version of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem[1], pem[0])
    if version is not ssl.TLSVersion.MAXIMUM_SUPPORTED:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    return lambda connection: context.wrap_socket(connection, server_side=True)


def test_over_tls(pem):
    with peer(answer(HELP), wrapping(pem)) as (port, heard):
        found = xend_probe.ask("127.0.0.1", port, use_tls=True)
    assert found["result"] == "accepted" and heard[0] == b"(help)\n"


@pytest.mark.skipif(not ssl.HAS_TLSv1, reason="this Python's OpenSSL has no TLS 1.0")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_over_the_tls_of_xend_s_time(pem):
    with peer(answer(HELP), wrapping(pem, ssl.TLSVersion.TLSv1)) as (port, _):
        assert xend_probe.ask("127.0.0.1", port, use_tls=True)["result"] == "accepted"


def test_no_tls_where_tls_is_asked_for():
    with peer(answer(HELP)) as (port, _):
        found = xend_probe.ask("127.0.0.1", port, use_tls=True)
    assert found["result"] == "not-xend" and "TLS" in found["message"]


@pytest.mark.parametrize("serve", [lambda connection, heard: None, reset])
def test_rejected_before_a_word_of_tls(serve):
    with peer(serve) as (port, _):
        assert xend_probe.ask("127.0.0.1", port, use_tls=True)["result"] == "rejected"


def silent(connection, heard):
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def drip_a_record(connection, heard):
    # The start of a long handshake record, of which the rest comes byte by byte.
    connection.sendall(b"\x16\x03\x01\x40\x00\x02\x00\x3f\xfc")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"\x00")
            time.sleep(0.02)


@pytest.mark.parametrize(
    "serve, over_tls, result",
    [
        (silent, False, "timeout"),
        (drip_a_record, False, "timeout"),
        (silent, True, "timeout"),
        (drip, True, "not-xend"),
        (flood, True, "not-xend"),
    ],
)
def test_the_time_is_bounded_over_tls_too(pem, serve, over_tls, result):
    began = time.monotonic()
    with peer(serve, wrapping(pem) if over_tls else None) as (port, _):
        found = xend_probe.ask("127.0.0.1", port, timeout_s=ASK_S, use_tls=True)
        took = time.monotonic() - began
    assert found["result"] == result
    assert took < SOON_S
