"""
A text that only one host can read, whoever else reads what travels: published jobs can be read by every
minion of a master, and what minions return is kept there.

The host that is to have the text makes a pair of keys and tells the public half; the other one agrees with it
on a secret by Diffie-Hellman. Here is what makes the keys, agrees and keeps; what encrypts with the secret is
Salt's own, in xen_guest. Nothing knows Salt.

This is against readers. That the two halves come from the two hosts is the word of the master, which asks
them.
"""

import base64
import binascii
import errno
import hashlib
import hmac
import os
import re
import stat

# RFC 3526, group 14: 2048 bits, generator 2.
PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
GENERATOR = 2
PUBLIC_BYTES = 256
# Twice the strength of the group, and more (RFC 3526, section 8: 320 bits at most are asked for).
PRIVATE_BYTES = 40
# What Salt's Crypticle takes for AES-192 and HMAC-SHA256: 24 bytes and 32.
SECRET_BYTES = 56
PURPOSE = b"xend-for-salt: the file of a guest, 1"

PUBLIC = re.compile(r"[A-Za-z0-9+/]{342}==\Z")
SEAL = re.compile(r"([0-9a-f]{40}):([A-Za-z0-9+/]{342}==):([A-Za-z0-9+/]+={0,2})\Z")
# A file of 256 KiB, twice in base64.
SEAL_MAX = 524288

KEY_FILE = re.compile(r"[0-9a-f]{40}\.key\Z")
# A migration that takes longer has been given up.
KEPT_S = 86400
KEYS_MAX = 64


def pair():
    """
    A new pair of keys, each as ASCII text: the private and the public half.
    """
    private = _number(os.urandom(PRIVATE_BYTES)) | 1 << (8 * PRIVATE_BYTES - 1)
    return "%x" % private, _text(_bytes(pow(GENERATOR, private, PRIME)))


def label(public):
    """
    The name of a public half, 40 hexadecimal digits.
    """
    return hashlib.sha256(public.encode("ascii")).hexdigest()[:40]


def lock(public):
    """
    Agree on a secret with the owner of a public half, for one text.

    Returns what the owner needs to find the same secret (ASCII text), and the secret (base64, as Salt's
    Crypticle takes it). Raises ValueError when that is no public half.
    """
    theirs = _public(public)
    private, half = pair()
    return half, _secret(pow(theirs, int(private, 16), PRIME), public, half)


def unlock(private, half):
    """
    The secret to which `lock` has come with the public half that belongs to this private one.
    """
    mine = _text(_bytes(pow(GENERATOR, int(private, 16), PRIME)))
    return _secret(pow(_public(half), int(private, 16), PRIME), mine, half)


def _public(text):
    """
    The number in a public half. One out of range would make the secret one that anybody knows.
    """
    if not hasattr(text, "upper") or not PUBLIC.match(_native(text)):
        raise ValueError("no public half of a key")
    number = _number(base64.b64decode(_native(text).encode("ascii")))
    if not 1 < number < PRIME - 1:
        raise ValueError("a public half out of range")
    return number


def _secret(agreed, public, half):
    """
    Key derivation after RFC 5869 (HKDF with SHA-256), bound to both public halves.
    """
    info = PURPOSE + _native(public).encode("ascii") + _native(half).encode("ascii")
    extracted = hmac.new(PURPOSE, _bytes(agreed), hashlib.sha256).digest()
    made = last = b""
    while len(made) < SECRET_BYTES:
        count = bytes(bytearray([len(made) // 32 + 1]))
        last = hmac.new(extracted, last + info + count, hashlib.sha256).digest()
        made += last
    return _text(made[:SECRET_BYTES])


# What travels


def join(public, half, data):
    """
    A seal, as ASCII text: for the owner of which key it is, what `unlock` needs, and what was encrypted.
    """
    return ":".join([label(public), half, _text(data)])


def split(seal):
    """
    The three parts of a seal: the name of the key, what `unlock` needs, and bytes to decrypt. Raises
    ValueError with a sentence when it is no seal.
    """
    if not hasattr(seal, "upper"):
        raise ValueError("is no text")
    if len(seal) > SEAL_MAX:
        raise ValueError("is longer than %d characters" % SEAL_MAX)
    try:
        name, half, data = SEAL.match(_native(seal)).groups()
        return name, half, base64.b64decode(data.encode("ascii"))
    except (AttributeError, TypeError, UnicodeError, binascii.Error):
        raise ValueError("is not what xen_guest.sealed returns")


# The private halves, on their host: a file for each


def keep(folder, private, public, now, utility):
    """
    Keep the private half of a pair, for root only, and remove those that nobody will need any more.

    folder
        where; it is made when it is missing
    now
        the time, in seconds: those that are older than a day go, and of too many the oldest

    Raises EnvironmentError when it cannot be kept.
    """
    if not os.path.isdir(folder):
        os.makedirs(folder, 0o700)
    _remove_old(folder, now)
    utility("xend_file").replace(_file(folder, label(public)), private.encode("ascii"), is_new=True)


def kept(folder, name, utility):
    """
    The private half of the key with this name, or None when it is not kept. Only what this user has made, and
    nobody else may read, is believed.
    """
    path = _file(folder, name)
    try:
        private = utility("xend_lock").get(path, 4 * PRIVATE_BYTES).decode("latin-1")
        if os.lstat(path).st_mode & 0o077:
            return None
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EPERM, errno.EFBIG):
            return None
        raise
    return _native(private) if re.match(r"[0-9a-f]{%d}\Z" % (2 * PRIVATE_BYTES), private) else None


def forget(folder, name):
    """
    Remove the private half of the key with this name.
    """
    try:
        os.unlink(_file(folder, name))
    except EnvironmentError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _remove_old(folder, now):
    aged = []
    for name in os.listdir(folder):
        if not KEY_FILE.match(name):
            continue
        try:
            status = os.lstat(os.path.join(folder, name))
        except EnvironmentError:
            # Another job has just removed it.
            continue
        if not stat.S_ISDIR(status.st_mode):
            # A clock that was set may have made it in the future.
            aged.append((abs(now - status.st_mtime), name))
    for place, (age_s, name) in enumerate(sorted(aged)):
        if age_s > KEPT_S or place >= KEYS_MAX - 1:
            forget(folder, name[: -len(".key")])


def _file(folder, name):
    return os.path.join(folder, name + ".key")


# Numbers, bytes and text


def _number(data):
    return int(binascii.hexlify(data), 16)


def _bytes(number):
    return binascii.unhexlify(("%0*x" % (2 * PUBLIC_BYTES, number)).encode("ascii"))


def _text(data):
    return _native(base64.b64encode(data))


def _native(text):
    # What Python itself calls text; what is right is ASCII.
    if isinstance(text, str):
        return text
    return text.encode("utf-8") if bytes is str else text.decode("latin-1")
