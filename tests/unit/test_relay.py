"""
What a target answers, how much may be sent, and which socket is whose: the rules of the relay, without one.
This file runs on Python 2.7 as well.
"""

import pytest

import xm_relay

READY = b"(ready receive)\n"


@pytest.mark.parametrize(
    "said, heard, text",
    [
        (b"", None, None),
        (READY, None, None),
        (READY[:9], None, None),
        (READY + b"(ok)\n", "ok", None),
        (b"(ok)\n", "ok", None),
        (READY + b"(ok", None, None),
        (READY + b"(okay)\n", None, None),
        (READY + b"nonsense (ok)\n", None, None),
        (READY + b"(err (type xen.xend.XendError.XendError) (value 'no disk'))\n", "err", "no disk"),
        (READY + b"(err (type XendError) (value \"xend's disk\"))\n", "err", "xend's disk"),
        (READY + b"(err (type XendError) (value 'a \\'b\\' \\\\ \\n c'))\n", "err", "a 'b' \\ \n c"),
        (READY + b"(err (type XendError) (value word))\n", "err", "word"),
        (READY + b"(err (type XendError) (value 'a (b) (ok) c'))\n", "err", "a (b) (ok) c"),
        (READY + b"(err (type XendError) (value ''))\n", "err", ""),
        (b"(err (type XendError) (value 'no memory'))\n", "err", "no memory"),
        # The end has not come yet, and comes never when its xend dies.
        (READY + b"(err (type XendError) (value 'no mem", "err", "no mem"),
        (READY + b"(err (type Xend", "err", "(err (type Xend"),
        # xend 3.0.3 goes on with errors, taking memory for commands.
        (READY + b"(err (type A) (value 'first'))\n(err (type B) (value 'second'))\n", "err", "first"),
        # What it says comes from a xend that is asked about no encoding.
        (READY + b"(err (type A) (value 'caf\\xc3\\xa9'))\n", "err", b"caf\xc3\xa9"),
        (READY + b"(err (type A) (value '\\xff'))\n", "err", b"\xef\xbf\xbd"),
    ],
)
def test_what_a_target_has_answered(said, heard, text):
    if isinstance(text, bytes) and not isinstance(text, str):
        text = text.decode("utf-8")
    assert xm_relay.answer(said) == (heard, text)


@pytest.mark.parametrize("word", [b"(ok)\n", b"(err (type A) (value 'no disk'))\n"])
def test_an_answer_in_pieces_is_none_or_the_one_that_it_becomes(word):
    said = READY + word
    heard = [xm_relay.answer(said[:count])[0] for count in range(len(said) + 1)]
    assert heard[-1] in ("ok", "err")
    assert set(heard) == set([None, heard[-1]])
    assert heard == sorted(heard, key=lambda one: one is not None)


def test_without_a_limit_everything_may_be_sent():
    bucket = xm_relay.Bucket(None, 0)
    bucket.spend(10**9)
    assert bucket.allows(0) == xm_relay.PIECE_BYTES and bucket.wait_s() == 0


@pytest.mark.parametrize("rate", [1000, 100000, 10**6, 10**8])
def test_a_limit_holds_over_time(rate):
    """Whoever sends all that is allowed, whenever it is, keeps to the rate, and comes up to it."""
    bucket, now, sent = xm_relay.Bucket(rate, 0), 0.0, 0
    while now < 100:
        allowed = bucket.allows(now)
        if allowed:
            bucket.spend(allowed)
            sent += allowed
        else:
            assert bucket.wait_s() > 0
            now += bucket.wait_s() + 0.0001
    assert 0.9 * rate * 100 < sent < 1.1 * rate * 100 + 20000


def test_after_a_pause_there_is_no_burst():
    bucket = xm_relay.Bucket(10**6, 0)
    assert bucket.allows(1000) <= 10**6 * 0.05


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0
   1: 0100007F:D431 0100007F:1F42 01 0000A000:00000000 01:00000014 00000000     7        0 4242 3 0 20
   2: 0100007F:1F42 0100007F:D431 01 00000000:0001F000 00:00000000 00000000     0        0 12 1 0 20
   3: 0100007F:D432 0100007F:1F42 01 odd
"""


def test_which_socket_has_these_ends():
    found = xm_relay.end_of(TABLE, ("127.0.0.1", 0xD431), ("127.0.0.1", 0x1F42))
    assert found == {"uid": 7, "inode": "4242", "unsent": 0xA000}


@pytest.mark.parametrize(
    "local, remote",
    [
        (("127.0.0.1", 0xD431), ("127.0.0.1", 0x1F43)),
        (("127.0.0.2", 0xD431), ("127.0.0.1", 0x1F42)),
        (("127.0.0.1", 0xD432), ("127.0.0.1", 0x1F42)),
    ],
)
def test_a_socket_that_is_not_there(local, remote):
    assert xm_relay.end_of(TABLE, local, remote) is None
    assert xm_relay.end_of("", local, remote) is None


def test_what_processes_share_is_what_was_noted():
    journal = xm_relay.Journal()
    assert [journal.get(name) for name in journal.FIELDS] == [0] * len(journal.FIELDS)
    journal.set("passed", 2**40 + 1)
    journal.note_said(READY)
    journal.note_said(b"(ok)\n")
    assert journal.said() == READY + b"(ok)\n"
    assert (journal.get("passed"), journal.get("plain")) == (2**40 + 1, 0)
    journal.note_said(b"x" * (2 * xm_relay.MOST_SAID))
    assert journal.get("heard") == len(READY) + 5 + 2 * xm_relay.MOST_SAID
    assert journal.said() == (READY + b"(ok)\n" + b"x" * xm_relay.MOST_SAID)[: xm_relay.MOST_SAID]
