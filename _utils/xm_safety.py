"""
The safety copy of a guest that is sent away, beforehand: what is wanted, and whether there is room for it.

Pure: what was asked for and what is free in, settings and sentences out. The copy itself is written by the
relay (xm_relay), what it is good for afterwards is decided in xm_fleet.
"""

from __future__ import absolute_import

# What is asked for a migration or said for its source, as the option `xend:NAME` -> what holds where nothing
# is said. Without a folder it is the folder `kept`.
DEFAULTS = {
    "safety_copy": "auto",
    "safety_folder": None,
    "safety_delay_s": 30,
    "rate_mib_s": None,
    "relay": True,
}

# What is left free on the disk of the copy, which in most cases is that of the host's logs as well.
SPARE_MIB = 128


def settings(given, ask, kept, utility):
    """
    What holds for one migration.

    given
        a dict from the names of DEFAULTS to what was asked for this migration; None, or no entry: nothing
    ask
        a function like Salt's config.get, from a path and a default to a value, for what the source says
    kept
        the folder `kept`
    utility
        a function from the name of another utility to that utility

    Returns a dict: ``copy`` (`auto`, `required` or `off`), ``folder``, ``delay_s`` (for how long in all a
    slow disk may hold up the transfer), ``rate_mib_s`` (None: no limit), ``relay`` (bool; without it there
    is neither copy nor limit) and ``spare_mib`` (what is left free on the disk). Raises ValueError that
    names all that is wrong, with its value and what would be right.
    """
    found, wrong = {}, []
    for name in sorted(DEFAULTS):
        source, value = name, given.get(name)
        if value is None:
            source, value = "xend:" + name, ask("xend:" + name, None)
        problem = None if value is None else utility("xend_settings").problem(name, value)
        if problem:
            wrong.append("%s: %s %s" % (source, utility("xend_settings").shown(value), problem))
        found[name] = DEFAULTS[name] if value is None else value
    if wrong:
        raise ValueError("; ".join(wrong))
    return {
        "copy": {True: "auto", False: "off"}.get(found["safety_copy"], str(found["safety_copy"])),
        "folder": utility("xend_text").native(found["safety_folder"] or kept),
        "delay_s": found["safety_delay_s"],
        "rate_mib_s": found["rate_mib_s"] or None,
        "relay": bool(found["relay"]),
        "spare_mib": SPARE_MIB,
    }


def contradictions(found, ssl):
    """
    What cannot be had together, as a list of sentences.

    found
        as `settings` returns it
    ssl
        whether the guest is sent over TLS: a relay would see cipher text only, so that there is none
    """
    why = _without_relay(found, ssl)
    told = []
    if why and found["copy"] == "required":
        told.append(
            "safety_copy: required: with %s no copy of the guest is kept; say safety_copy: auto to send it "
            "without one" % why
        )
    if why and found["rate_mib_s"] is not None:
        told.append(
            "rate_mib_s: %s: with %s nothing holds the rate down; say rate_mib_s: false to send it without a "
            "limit" % (found["rate_mib_s"], why)
        )
    return told


def _without_relay(found, ssl):
    """
    Why there is no relay; "" when there is one.
    """
    if not found["relay"]:
        return "relay: false"
    return "TLS (ssl, or xend-relocation-ssl of its host)" if ssl else ""


def unprotected(name, found, ssl):
    """
    What is to be said beforehand where nothing will be kept of a guest because there is no relay, as a list
    of sentences; of whoever has asked for no copy it is known that he knows.

    name
        the guest
    found, ssl
        as for `contradictions`
    """
    why = _without_relay(found, ssl)
    if not why or found["copy"] == "off":
        return []
    return ["no safety copy of %s is kept, because with %s there is none: %s" % (name, why, LOST_OTHERWISE)]


LOST_OTHERWISE = (
    "if xend on its target dies in mid-transfer, or a disk or a network card cannot be attached there, the "
    "guest is lost with all that is in its memory"
)
