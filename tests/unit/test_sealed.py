"""
Keys and seals: what agrees on a secret, what travels, what is kept. Runs on Python 2.7, too. The encryption
is Salt's, and tested with xen_guest in tests/functional.
"""

import base64
import os
import shutil
import stat
import tempfile
import time
from importlib import import_module

import pytest

import xm_sealed

NOW = 1500000000


@pytest.fixture
def folder():
    made = os.path.realpath(tempfile.mkdtemp())
    yield os.path.join(made, "kept")
    shutil.rmtree(made)


def made(folder, now=NOW):
    private, public = xm_sealed.pair()
    xm_sealed.keep(folder, private, public, now, import_module)
    path = os.path.join(folder, xm_sealed.label(public) + ".key")
    os.utime(path, (now, now))
    return private, public, path


def public_of(number):
    return base64.b64encode(bytearray.fromhex("%0512x" % number)).decode("ascii")


# Agreeing


def test_both_come_to_one_secret_and_nobody_else():
    private, public = xm_sealed.pair()
    half, secret = xm_sealed.lock(public)
    assert xm_sealed.unlock(private, half) == secret
    assert len(base64.b64decode(secret)) == xm_sealed.SECRET_BYTES
    other, _ = xm_sealed.pair()
    assert xm_sealed.unlock(other, half) != secret
    # Each text has a secret of its own.
    assert xm_sealed.lock(public)[1] != secret
    for text in (public, half, private):
        assert isinstance(text, str) and text not in secret and private not in text.replace(private, "", 1)


def test_the_group_is_a_safe_prime_of_2048_bits():
    """As RFC 3526 gives it: the first and the last 64 bits are ones, and 2 makes a group of half its size."""
    prime = xm_sealed.PRIME
    assert prime >> 1984 == (1 << 64) - 1 == prime & ((1 << 64) - 1)
    assert pow(2, (prime - 1) // 2, prime) == 1
    for witness in (3, 5, 7, 11):
        assert pow(witness, prime - 1, prime) == 1
        assert pow(witness, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1


def test_secrets_are_as_they_were():
    """A host with a newer version opens what an older one has sealed."""
    private = "f" * 80
    half = public_of(pow(2, int("e" * 80, 16), xm_sealed.PRIME))
    assert xm_sealed.unlock(private, half) == KNOWN


KNOWN = "0nhD4UfNwm1dDFcKmbXppNN+DVFyMRwalnIrkz17srGiW1GfLs9hi6OrdkKwxrMv1BPHV/w/2q8="


@pytest.mark.parametrize(
    "number", [0, 1, xm_sealed.PRIME - 1, xm_sealed.PRIME, xm_sealed.PRIME + 1, 2**2048 - 1]
)
def test_halves_that_make_a_secret_which_all_know_are_refused(number):
    private, _ = xm_sealed.pair()
    for call in (lambda half: xm_sealed.lock(half), lambda half: xm_sealed.unlock(private, half)):
        with pytest.raises(ValueError):
            call(public_of(number))


@pytest.mark.parametrize("text", [None, 5, "", "A" * 344, "a key", ["x"], "A" * 342 + "==\n", b"\xff" * 344])
def test_what_is_no_half_is_refused(text):
    with pytest.raises(ValueError):
        xm_sealed.lock(text)


# What travels


def test_a_seal_is_taken_apart_again():
    _, public = xm_sealed.pair()
    half, _ = xm_sealed.lock(public)
    data = bytes(bytearray(range(256)))
    seal = xm_sealed.join(public, half, data)
    assert xm_sealed.split(seal) == (xm_sealed.label(public), half, data)
    assert xm_sealed.split(seal.encode("ascii").decode("ascii"))[2] == data


@pytest.mark.parametrize(
    "change",
    [
        lambda seal: None,
        lambda seal: 5,
        lambda seal: [seal],
        lambda seal: "",
        lambda seal: seal + "\n",
        lambda seal: "../" + seal,
        lambda seal: seal.replace(":", "/", 1),
        lambda seal: seal[40:],
        lambda seal: seal + ":x",
        lambda seal: seal + "A" * xm_sealed.SEAL_MAX,
        lambda seal: seal[:-1],
        lambda seal: seal + b"\xc3\xa4".decode("utf-8"),
    ],
)
def test_what_is_no_seal(change):
    _, public = xm_sealed.pair()
    seal = xm_sealed.join(public, xm_sealed.lock(public)[0], b"12")
    with pytest.raises(ValueError) as caught:
        xm_sealed.split(change(seal))
    assert "\n" not in str(caught.value) and seal[:60] not in str(caught.value)


# What is kept


def test_a_private_half_is_for_root_only_and_goes_when_it_is_used(folder):
    private, public, path = made(folder)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    name = xm_sealed.label(public)
    assert xm_sealed.kept(folder, name, import_module) == private
    xm_sealed.forget(folder, name)
    assert xm_sealed.kept(folder, name, import_module) is None and os.listdir(folder) == []
    xm_sealed.forget(folder, name)


def test_a_folder_that_is_missing_has_no_keys(folder):
    assert xm_sealed.kept(folder, 40 * "a", import_module) is None


def test_old_keys_go_with_the_next_and_other_files_stay(folder):
    _, _, old = made(folder, NOW)
    for name in ("web01.cfg", "x.key", "web01.sent"):
        with open(os.path.join(folder, name), "w"):
            pass
        os.utime(os.path.join(folder, name), (1, 1))
    _, _, young = made(folder, NOW + 86000)
    _, _, future = made(folder, NOW + 86000)
    os.utime(future, (NOW + 999999, NOW + 999999))
    assert os.path.exists(old)
    made(folder, NOW + 86401)
    assert [os.path.exists(path) for path in (old, young, future)] == [False, True, False]
    assert set(["web01.cfg", "x.key", "web01.sent"]) < set(os.listdir(folder))


def test_there_are_never_too_many(folder, monkeypatch):
    monkeypatch.setattr(xm_sealed, "KEYS_MAX", 3)
    paths = [made(folder, NOW + second)[2] for second in range(5)]
    assert sorted(os.listdir(folder)) == sorted([os.path.basename(path) for path in paths[2:]])


def plant_link(path):
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)


def plant_pipe(path):
    os.unlink(path)
    os.mkfifo(path)


def plant_text(path):
    with open(path, "w") as stream:
        stream.write("1")


@pytest.mark.parametrize("plant", [plant_link, plant_pipe, plant_text, lambda path: os.chmod(path, 0o644)])
def test_what_others_may_have_put_there_is_no_key(folder, plant):
    _, public, path = made(folder)
    plant(path)
    assert xm_sealed.kept(folder, xm_sealed.label(public), import_module) is None


def test_a_key_is_not_written_through_a_link(folder):
    private, public = xm_sealed.pair()
    os.makedirs(folder)
    os.symlink("../victim", os.path.join(folder, xm_sealed.label(public) + ".key"))
    with pytest.raises(EnvironmentError):
        xm_sealed.keep(folder, private, public, time.time(), import_module)
    assert not os.path.exists(os.path.join(folder, "../victim"))


def test_a_link_that_is_old_goes_and_what_it_leads_to_stays(folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "victim"), "w"):
        pass
    os.symlink("victim", os.path.join(folder, 40 * "a" + ".key"))
    made(folder, NOW)
    assert not os.path.lexists(os.path.join(folder, 40 * "a" + ".key"))
    assert os.path.exists(os.path.join(folder, "victim"))
