"""
Asking a relocation port whether it would let this host in, without any risk to a guest.

Only the operation `help` is ever sent: it proves route, listener and admission at once. What the
answer means for a migration is decided elsewhere; nothing here knows Salt.
"""

import errno
import re
import select
import socket
import ssl as tls
import time

# A reply of any xend: `(ok (help quit receive))` up to 3.2, with sslreceive from 3.3 on.
HELP_REPLY = re.compile(br"\(ok \(help [a-z ]*receive[a-z ]*\)\)\Z")

# More than any answer of xend; what talks on and on is something else.
ENOUGH = 4096

CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ESHUTDOWN, errno.ENOTCONN)

# What a socket that does not block says when there is nothing to do yet.
NOT_YET = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
TLS_NOT_YET = (tls.SSL_ERROR_WANT_READ, tls.SSL_ERROR_WANT_WRITE)

# The peer hung up in the middle of the handshake, as xend does on a host that it does not admit.
TLS_CLOSED = (tls.SSL_ERROR_EOF, tls.SSL_ERROR_ZERO_RETURN, tls.SSL_ERROR_SYSCALL)

MESSAGES = {
    "accepted": "the xend at %(peer)s lets this host in",
    "rejected": "the xend at %(peer)s does not let this host in: it closed the connection, as xend "
    "does for a host that its xend-relocation-hosts-allow does not admit%(seen)s",
    "refused": "nothing listens at %(peer)s: xend is down there, its relocation server is off, or it "
    "listens on another address or port",
    "unreachable": "%(peer)s cannot be reached: %(detail)s",
    "timeout": "%(peer)s did not answer within %(timeout)s s: a firewall may be dropping packets, xend "
    "may hang, or this is its TLS port and was asked without",
    "not-xend": "what listens at %(peer)s is not a xend relocation server: %(detail)s",
}


# Where a peer that rejects was asked from: as declared, and not as declared.
SEEN = "; the question came from %(source)s"
SEEN_ELSEWHERE = (
    SEEN + ", not from %(own)s, which the pillar declares for this host. xend sends from the address that "
    "the routing table chooses, whatever the option xend:source says: where that is %(source)s, add it to "
    "what the target admits (hosts_allow), or let the route to the target use %(own)s"
)


def ask(host, port, timeout_s=5, use_tls=False, source=None, own=None):
    """
    Ask the relocation port of a peer whether this host may send guests to it.

    host
        IPv4 address or name of the peer
    port
        its relocation port
    timeout_s
        the time, in seconds, that the whole question may take, whatever the peer does; only looking
        up a name has the time-outs of the resolver instead
    use_tls
        speak TLS, as towards a xend-relocation-ssl-port; xend's certificate is not verified, because
        xend does not verify any either
    source
        the local address to ask from; default: what the routing table says, as for xend itself
    own
        the address that this host is known by, for the message when it was not the one that was seen

    Returns {"result": "accepted", "rejected", "refused", "unreachable", "timeout" or "not-xend",
    "message": text for people, "address": the IPv4 address that was asked or None, "port": int,
    "source": the local address that was seen there or None}.
    """
    deadline = time.time() + timeout_s
    found = {"address": None, "port": port, "source": None}
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except (socket.error, UnicodeError) as exc:
        return _answer(found, host, "unreachable", timeout_s, "no IPv4 address: %s" % exc, own)
    found["address"] = address
    result, detail, found["source"] = _converse((address, port), deadline, use_tls, source)
    return _answer(found, host, result, timeout_s, detail, own)


def _answer(found, host, result, timeout_s, detail, own):
    peer = "%s:%s" % (host, found["port"])
    if found["address"] not in (None, host):
        peer += " (%s)" % found["address"]
    seen = ""
    if found["source"]:
        elsewhere = own and own != found["source"]
        seen = (SEEN_ELSEWHERE if elsewhere else SEEN) % {"source": found["source"], "own": own}
    values = {"peer": peer, "timeout": timeout_s, "detail": detail, "seen": seen}
    return dict(found, result=result, message=MESSAGES[result] % values)


def _converse(peer, deadline, use_tls, source):
    """
    What came of asking PEER: the result, a detail of it for people, and the address it was asked from.
    """
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        try:
            if source:
                connection.bind((source, 0))
            connection.settimeout(_left(deadline))
            connection.connect(peer)
        except socket.timeout:
            return "timeout", "", None
        except socket.error as exc:
            return _failed_connect(exc) + (None,)
        seen = connection.getsockname()[0]
        return _talk(connection, deadline, use_tls) + (seen,)
    finally:
        connection.close()


def _talk(connection, deadline, use_tls):
    """
    Ask over a connection, and close it.
    """
    try:
        # Python 2 counts a time-out anew for each byte of a TLS record; so the waiting is done here.
        connection.setblocking(False)
        try:
            if use_tls:
                connection = _wrapped(connection)
            reply = _asked(connection, deadline, use_tls)
        except socket.timeout:
            return "timeout", ""
        except tls.SSLError as exc:
            if exc.args[0] in TLS_CLOSED:
                return "rejected", ""
            return "not-xend", "no TLS there: %s" % exc
        except socket.error as exc:
            if exc.errno in CLOSED:
                return "rejected", ""
            return "unreachable", str(exc)
    finally:
        connection.close()
    if reply is None:
        return "timeout", ""
    if reply == b"":
        return "rejected", ""
    if HELP_REPLY.match(reply):
        return "accepted", ""
    return "not-xend", "it said %s" % repr(reply[:60]).lstrip("b")


def _failed_connect(exc):
    if exc.errno == errno.ECONNREFUSED:
        return "refused", ""
    if exc.errno == errno.ETIMEDOUT:
        return "timeout", ""
    # A listener that closes at once may do so while the connection is still being made.
    if exc.errno in CLOSED:
        return "rejected", ""
    return "unreachable", exc.strerror or str(exc)


def _asked(connection, deadline, use_tls):
    """
    The first line that the peer sends on `help`, without its end; b"" when it closes the connection
    before saying anything, None when the time is up before it has said anything.
    """
    if use_tls:
        _patiently(connection, deadline, connection.do_handshake)
    # So few bytes that no socket ever takes a part of them.
    _patiently(connection, deadline, lambda: connection.send(b"(help)\n"))
    said = b""
    while b"\n" not in said and len(said) < ENOUGH:
        try:
            piece = _patiently(connection, deadline, lambda: connection.recv(ENOUGH))
        except socket.timeout:
            return said or None
        if not piece:
            break
        said += piece
    return said.split(b"\n")[0] or said


def _patiently(connection, deadline, attempt):
    """
    What ATTEMPT, a function without arguments, returns once the socket can do it.
    """
    while True:
        left = _left(deadline)
        waits_for = select.POLLIN
        try:
            return attempt()
        except tls.SSLError as exc:
            if exc.args[0] not in TLS_NOT_YET:
                raise
            if exc.args[0] == tls.SSL_ERROR_WANT_WRITE:
                waits_for = select.POLLOUT
        except socket.error as exc:
            if exc.errno not in NOT_YET:
                raise
        # Not select(), which knows only the first 1024 descriptors of a process.
        poll = select.poll()
        poll.register(connection, waits_for)
        poll.poll(int(left * 1000) + 1)


def _wrapped(connection):
    """
    The TLS side of a connection, before the handshake.

    xend's OpenSSL speaks TLS 1.0 at most, and its keys are as old, which today's defaults refuse.
    Being lenient gives nothing away: xend proves nothing and verifies nobody over TLS either.
    """
    if not hasattr(tls, "SSLContext"):
        return tls.wrap_socket(connection, do_handshake_on_connect=False)
    context = tls.SSLContext(getattr(tls, "PROTOCOL_TLS_CLIENT", tls.PROTOCOL_SSLv23))
    context.check_hostname = False
    context.verify_mode = tls.CERT_NONE
    if hasattr(tls, "TLSVersion"):
        context.minimum_version = tls.TLSVersion.MINIMUM_SUPPORTED
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
    except tls.SSLError:
        # OpenSSL before 1.1.0 has no security levels, and refuses nothing old.
        context.set_ciphers("ALL")
    return context.wrap_socket(connection, do_handshake_on_connect=False)


def _left(deadline):
    left = deadline - time.time()
    if left <= 0:
        raise socket.timeout("timed out")
    return left
