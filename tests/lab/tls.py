"""xend's TLS: contexts, certificates, and streams for helpers that only know plain sockets.

Here: how TLS is spoken and carried. When it is spoken, and what is said, is decided in
relocation.py (receiving) and migration.py (sending). A start of xend that speaks no TLS does not pay for
importing it.
"""

import os
import select
import socket
import threading
import time

CHUNK = 16384
POLL_S = 0.1
JOIN_LIMIT_S = 5.0
# OpenSSL of that time read this much before it judged what it got: less than that, as a plain
# "receive" sends it, keeps both sides waiting.
FIRST_READ = 11


class NoPem(OSError):
    """The files are there, and are not what they should be."""


def server_context(key_file, cert_file):
    """Return the context of a listener; raise NoPem for unusable files, OSError for missing ones."""
    import ssl

    context = _lenient(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert_file, key_file)
    except ssl.SSLError as error:
        raise NoPem(str(error)) from None
    return context


def _lenient(protocol):
    import ssl

    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    # xend verifies nobody.
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    # Later versions speak up by themselves after the handshake, which xend's never does.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def accept(context, connection):
    """Return the TLS side of an accepted connection; raise OSError when the peer speaks none."""
    connection.recv(FIRST_READ, socket.MSG_PEEK | socket.MSG_WAITALL)
    return context.wrap_socket(connection, server_side=True)


def connect(connection):
    """Return the TLS side of a connection to a listener; raise OSError."""
    import ssl

    return _lenient(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(connection)


def is_secured(connection):
    """Whether this is the TLS side of a connection, not the bare connection."""
    import ssl

    return isinstance(connection, ssl.SSLSocket)


class Hop:
    """A plain socket, `near`, whose bytes go out over (or come in from) a TLS connection.

    is_cut -- called now and then: whether nothing comes in at the moment
    """

    def __init__(self, secured, outward, is_cut=lambda: False):
        self.secured = secured
        self.is_cut = is_cut
        # Local and remote address of the real connection.
        self.ends = (secured.getsockname(), secured.getpeername())
        self.near, self.far = socket.socketpair()
        self.closing = False
        self.thread = threading.Thread(
            target=self._send if outward else self._receive, daemon=True
        )
        self.thread.start()

    def _send(self):
        with self.far:
            while True:
                ready = select.select([self.far, self.secured], [], [])[0]
                # A target never speaks before the end: it has refused, or is gone.
                if self.secured in ready:
                    return
                try:
                    data = self.far.recv(CHUNK)
                    if not data:
                        # A live migration shuts its end before it destroys the guest (xend 4.2
                        # XendCheckpoint.save).
                        if not self.closing:
                            self.secured.close()
                        return
                    self.secured.sendall(data)
                except OSError:
                    return

    def _receive(self):
        with self.far:
            while not self.closing:
                if not self.secured.pending():
                    ready = select.select([self.secured], [], [], POLL_S)[0]
                    if self.is_cut():
                        time.sleep(POLL_S)
                        continue
                    if not ready:
                        continue
                try:
                    data = self.secured.recv(CHUNK)
                except OSError:
                    data = b""
                if not data:
                    # Here, and not when the guest runs (xen.web.connection recv2fd).
                    self.secured.close()
                    return
                try:
                    self.far.sendall(data)
                except OSError:
                    return

    def close(self):
        """Send what is still to be sent; a TLS connection that its sender has not shut stays open."""
        self.closing = True
        self.near.close()
        self.thread.join(JOIN_LIMIT_S)


def make_certificate(folder, name="relocation", bits=2048):
    """Write NAME.key and NAME.crt, self-signed, into `folder`; return the two paths."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    key_file, cert_file = folder / (name + ".key"), folder / (name + ".crt")
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, cert_file
