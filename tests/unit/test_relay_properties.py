"""Whatever a target says, the relay makes something of it that can be told."""

from hypothesis import given
from hypothesis import strategies as st

import xm_relay

READY = b"(ready receive)\n"


@given(st.binary(max_size=200) | st.text("(errvalue oktyp)'\"\\ \n", max_size=60).map(str.encode))
def test_whatever_a_target_says(said):
    heard, text = xm_relay.answer(said)
    assert heard in (None, "ok", "err")
    assert isinstance(text, str) if heard == "err" else text is None


@given(st.text(st.characters(max_codepoint=255)))
def test_the_text_of_an_error_comes_back(text):
    """As Python 2 shows text of bytes; xend writes it so."""
    data = text.encode("latin-1")
    shown = repr(data)[1:].encode("ascii")
    said = READY + b"(err (type xen.xend.XendError.XendError) (value %s))\n" % shown
    assert xm_relay.answer(said) == ("err", data.decode("utf-8", "replace"))


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(1, 10**9))
def test_never_more_is_allowed_than_the_rate(pauses, rate):
    bucket, now, sent = xm_relay.Bucket(rate, 0), 0.0, 0
    for pause in pauses:
        now += pause
        allowed = bucket.allows(now)
        assert 0 <= allowed <= xm_relay.PIECE_BYTES
        bucket.spend(allowed)
        sent += allowed
    assert sent <= rate * now + max(16384, rate * 0.05) + 1
