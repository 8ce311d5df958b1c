"""
The way that a guest takes to its target: through a relay on its source (see xm_relay), or straight. What xm,
the relay and the target have said of it, for people who know the target and need not know the relay.

What has become of the guest is decided in xm_verdict; what a target has said makes that quicker and better
worded. Only `relays` looks at a folder, and nothing here knows Salt.
"""

import os

RELAY = ".relay"

# While a relay is in one of these phases, the guest is being sent, whatever has become of xend.
CARRYING = ("connecting", "sending")

# What the target has said of a guest that it has not taken; of one that is gone from its source, that is all
# that is known of it.
FAILED = ("err", "silence", "broken")

# What a relay has heard -> what is to be said of a guest that has left its source.
HEARD_GONE = {
    "ok": "; %(target)s has said that it runs",
    "err": "; %(target)s has said why it cannot run there: %(said)s",
    "silence": "; %(target)s has hung up without a word, as when xend there has died",
    "broken": "; %(target)s has hung up before it had all of it",
}

# Whether it is so, by what the relay says -> what is to be said of the safety copy of a guest that has left
# its source. One that is being removed is given up until it has gone.
COPY_GONE = (
    (
        lambda told: told["copy"]["state"] == "complete" and told["heard"] != "ok",
        ". Its memory is kept on %(source)s, in %(path)s",
    ),
    (
        lambda told: told["copy"]["state"] == "given up" and not (told["heard"] == "ok" and told["alive"]),
        "; its safety copy was given up: %(why)s",
    ),
)

# Where the target has said that it runs: of the guest, what to do; that it has arrived is known by then.
ARRIVED = ". Start it nowhere else before %s was seen"

SAID_HERE = ". %(target)s said: %(said)s"
REQUIRED_HERE = ". The transfer was broken off because its safety copy is required: %s"


def relays(folder, utility):
    """
    What the relays say that run now: a list of what `xm_relay.status` returns. A folder that is missing has
    none. What cannot be read or understood tells of none; that xend is connected to it still shows.

    folder
        the folder `kept`
    utility
        a function from the name of another utility to that utility
    """
    try:
        names = sorted(os.listdir(folder))
    except EnvironmentError:
        return []
    told = [_said(os.path.join(folder, name), utility) for name in names if name.endswith(RELAY)]
    return [one for one in told if one and one["alive"]]


def _said(path, utility):
    try:
        return utility("xm_relay").status(path)
    except (EnvironmentError, ValueError):
        return None


def carried_to(told):
    """
    The targets of the relays that are sending a guest, as a sorted list of "address:port". Such a guest is
    being sent as long as its relay runs: xc_save goes on when its xend has died.

    told
        as `relays` returns it
    """
    return sorted(set([_name(one["sends_to"]) for one in told if one["phase"] in CARRYING]))


def beyond(peers, told):
    """
    The hosts that peers of xend lead to: for a relay of this host, its target.

    peers
        a list of "address:port"
    told
        as `relays` returns it
    """
    known = dict([(_name(one["listens"]), _name(one["sends_to"])) for one in told])
    return sorted(set([known.get(peer, peer) for peer in peers]))


def _name(endpoint):
    return "%s:%d" % tuple(endpoint)


def xm_said(text, told, loopback, address):
    """
    What xm has said, as if xend had connected to the target by itself.

    text
        the message of `xm migrate`
    told
        what the relay has said, as `xm_relay.status` returns it; None without a relay
    loopback, address
        where xm was told to send the guest, and where the relay has sent it

    xend hears of a relay that cannot reach the target only that the connection breaks, and names the host
    that it is connected to (xend 4.0 to 4.4 XendDomain.domain_migrate).
    """
    if not told:
        return text
    end = "(from %s)" % loopback
    if text.endswith(end):
        text = text[: -len(end)] + "(from %s)" % address
    return told["problem"] or text


def word(told, source, target, xm_said=None, required=False):
    """
    What the target has said of a guest, and what there is to say of its safety copy, as the end of a sentence
    on what its source holds; "" when there is nothing to say.

    told
        what the relay has said, as `xm_relay.status` returns it; None without one
    source, target
        the hosts in words
    xm_said
        the message of `xm migrate`, when the guest has not left its source; None: it has
    required
        whether it was not to leave without a safety copy
    """
    if not told:
        return ""
    copy, heard = told["copy"], told["heard"]
    words = {"source": source, "target": target, "said": (told["said"] or "nothing").rstrip(".")}
    words.update(path=copy["path"], why=copy["why"])
    if xm_said is None:
        said = HEARD_GONE.get(heard, "")
        said += "".join([text for is_so, text in COPY_GONE if is_so(told)][:1])
        return said % words
    if heard == "err" and told["said"] and told["said"] not in xm_said:
        return SAID_HERE % words
    # One that goes because the transfer has broken is removed.
    if required and copy["state"] == "given up":
        return REQUIRED_HERE % copy["why"]
    return ""


def advice(told, target, otherwise):
    """
    What to do about a guest that has left its source, as the end of a sentence.

    told
        as for `word`
    otherwise
        what there is to do when the target has not said that it runs
    """
    return ARRIVED % target if told and told["heard"] == "ok" else otherwise


def is_settled(told):
    """
    Whether a relay will not say more soon: it has ended, or nobody has connected to it; or it is known
    whether the guest runs, and, when it does not, whether there is a copy of it.
    """
    if not told["alive"] or told["phase"] == "listening":
        return True
    is_going_on = ("growing", "given up") if told["heard"] == "ok" else ("growing",)
    return told["heard"] is not None and told["phase"] == "sent" and told["copy"]["state"] not in is_going_on


def has_failed(told):
    """
    Whether the target has said, or let the relay know, that it has not taken the guest.
    """
    return bool(told) and told["heard"] in FAILED
