"""
Asking a relocation port whether it would let this host in, without any risk to a guest.

Only the operation `help` is ever sent: it proves route, listener and admission at once. What the
answer means for a migration is decided elsewhere; nothing here knows Salt.
"""

import errno
import re
import socket
import ssl as tls
import time

# A reply of any xend: `(ok (help quit receive))` up to 3.2, with sslreceive from 3.3 on.
HELP_REPLY = re.compile(br"\(ok \(help [a-z ]*receive[a-z ]*\)\)\Z")

# More than any answer of xend; what talks on and on is something else.
ENOUGH = 4096

CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ESHUTDOWN, errno.ENOTCONN)

MESSAGES = {
    "accepted": "the xend at %(peer)s lets this host in",
    "rejected": "the xend at %(peer)s does not let this host in: it closed the connection, as xend "
    "does for a host that its xend-relocation-hosts-allow does not admit",
    "refused": "nothing listens at %(peer)s: xend is down there, its relocation server is off, or it "
    "listens on another address or port",
    "unreachable": "%(peer)s cannot be reached: %(detail)s",
    "timeout": "%(peer)s did not answer within %(timeout)s s: a firewall may be dropping packets, or "
    "xend hangs",
    "not-xend": "what listens at %(peer)s is not a xend relocation server: %(detail)s",
}


def ask(host, port, timeout_s=5, use_tls=False, source=None):
    """
    Ask the relocation port of a peer whether this host may send guests to it.

    host
        IPv4 address or name of the peer
    port
        its relocation port
    timeout_s
        the time, in seconds, that the whole question may take, whatever the peer does
    use_tls
        speak TLS, as towards a xend-relocation-ssl-port; xend's certificate is not verified, because
        xend does not verify any either
    source
        the local address to ask from; default: what the routing table says, as for xend itself

    Returns {"result": "accepted", "rejected", "refused", "unreachable", "timeout" or "not-xend",
    "message": text for people, "address": the IPv4 address that was asked or None, "port": int}.
    """
    deadline = time.time() + timeout_s
    found = {"address": None, "port": port}
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except (socket.error, UnicodeError) as exc:
        return _answer(found, host, "unreachable", timeout_s, "no IPv4 address: %s" % exc)
    found["address"] = address
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        result, detail = _converse(connection, (address, port), deadline, use_tls, source)
    finally:
        connection.close()
    return _answer(found, host, result, timeout_s, detail)


def _answer(found, host, result, timeout_s, detail):
    peer = "%s:%s" % (host, found["port"])
    if found["address"] not in (None, host):
        peer += " (%s)" % found["address"]
    values = {"peer": peer, "timeout": timeout_s, "detail": detail}
    return dict(found, result=result, message=MESSAGES[result] % values)


def _converse(connection, peer, deadline, use_tls, source):
    try:
        if source:
            connection.bind((source, 0))
        connection.settimeout(_left(deadline))
        connection.connect(peer)
    except socket.timeout:
        return "timeout", ""
    except socket.error as exc:
        return _failed_connect(exc)
    try:
        if use_tls:
            connection = _tls(connection, deadline)
        connection.settimeout(_left(deadline))
        connection.sendall(b"(help)\n")
        reply = _line(connection, deadline)
    except socket.timeout:
        return "timeout", ""
    except tls.SSLError as exc:
        return "not-xend", "no TLS there: %s" % exc
    except socket.error as exc:
        if exc.errno in CLOSED:
            return "rejected", ""
        return "unreachable", str(exc)
    if reply is None:
        return "timeout", ""
    if reply == b"":
        return "rejected", ""
    if HELP_REPLY.match(reply):
        return "accepted", ""
    return "not-xend", "it said %r" % reply[:60]


def _failed_connect(exc):
    if exc.errno == errno.ECONNREFUSED:
        return "refused", ""
    if exc.errno == errno.ETIMEDOUT:
        return "timeout", ""
    return "unreachable", exc.strerror or str(exc)


def _line(connection, deadline):
    """
    The first line that the peer sends, without its end; b"" when it closes the connection before
    saying anything, None when the time is up before it has said anything.
    """
    said = b""
    while b"\n" not in said and len(said) < ENOUGH:
        try:
            connection.settimeout(_left(deadline))
            piece = connection.recv(ENOUGH)
        except socket.timeout:
            return said or None
        if not piece:
            break
        said += piece
    return said.split(b"\n")[0] or said


def _tls(connection, deadline):
    connection.settimeout(_left(deadline))
    if hasattr(tls, "SSLContext"):
        context = tls.SSLContext(getattr(tls, "PROTOCOL_TLS_CLIENT", tls.PROTOCOL_SSLv23))
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
        return context.wrap_socket(connection)
    return tls.wrap_socket(connection)


def _left(deadline):
    left = deadline - time.time()
    if left <= 0:
        raise socket.timeout("timed out")
    return left
