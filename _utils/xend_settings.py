"""
The settings of a host: what the pillar `xend` says for it, and all that is wrong with it.

Pure: pillar and minion id in, settings and sentences out. The execution modules, the SLS (through
`xend.settings`) and the runner on the master ask it, so that they all read a pillar alike. What xend itself
makes of a value is xend_options' business, what an allow list admits that of xend_allow.
"""

from __future__ import absolute_import

import json
import re

TEXT = (str, type(b"".decode("ascii")))
# Under Python 2, large numbers are of another type.
WHOLE = (int, type(2**64))

# xend's own (xend 4.4 XendOptions).
PORTS = (("port", 8002), ("ssl_port", 8003))

ONE_ADDRESS = "write one IPv4 address, like 10.20.0.11"

LONGEST_SHOWN = 120

OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = re.compile(r"%s\Z" % r"\.".join([OCTET] * 4))


def declared(given):
    """
    The hosts that may exchange guests.

    given
        the pillar `xend`, whatever it is; None when there is none

    Returns ({minion id: {"address", "port", "ssl_port"}}, what is wrong): the address is text, None where a
    host has none; the ports are ints; what is wrong is a list of sentences. An address that is wrong is not
    returned, so that nobody believes it. A host without an address is nobody's trouble but its own.
    """
    wrong = []
    relocation = _relocation(given, wrong)
    common = dict((name, _port(relocation.get(name), "xend:relocation:" + name, wrong)) for name, _ in PORTS)
    found = {}
    for host, path, own in _hosts(relocation, wrong):
        where = {"address": _declared_address(own, path, wrong)}
        for name, default in PORTS:
            said = _port(own.get(name), "%s:%s" % (path, name), wrong) if isinstance(own, dict) else None
            where[name] = said or common[name] or default
        found[host] = where
    wrong += _doubles(found)
    return found, wrong


def _relocation(given, wrong):
    """
    The mapping under xend:relocation, empty where there is none.
    """
    if given is not None and not isinstance(given, dict):
        wrong.append("xend is no mapping with settings, but %s" % shown(given))
    relocation = given.get("relocation") if isinstance(given, dict) else None
    if relocation is not None and not isinstance(relocation, dict):
        wrong.append("xend:relocation is no mapping with settings, but %s" % shown(relocation))
    return relocation if isinstance(relocation, dict) else {}


def _hosts(relocation, wrong):
    """
    The entries of the map of hosts, as a list of (minion id, where it stands, what is said of it).
    """
    hosts = relocation.get("hosts")
    if hosts is not None and not isinstance(hosts, dict):
        wrong.append(
            "xend:relocation:hosts is no mapping from minion ids to addresses, but %s; write a line "
            "'minion id: IPv4 address' for each host" % shown(hosts)
        )
    found, seen = [], set()
    for key in sorted(hosts, key=shown) if isinstance(hosts, dict) else []:
        host = _id(key)
        path = "xend:relocation:hosts:%s" % _bare(key)
        if host is None:
            # YAML reads `on` as true, 1.10 as 1.1, and 2006-01-02 as a date.
            wrong.append(
                "xend:relocation:hosts: %s is no minion id; ids are text: put it in quotes" % shown(key)
            )
        elif host in seen:
            wrong.append("%s stands there twice, as a number and as text" % path)
        else:
            seen.add(host)
            found.append((host, path, hosts[key]))
    return found


def _id(key):
    """
    The minion id that a key of the map of hosts means: Salt's ids are text, also `1`, which YAML reads as a
    number. None for what is no id.
    """
    if isinstance(key, TEXT):
        return key or None
    return str(key) if isinstance(key, WHOLE) and not isinstance(key, bool) else None


def own(hosts, minion_id):
    """
    What a map of hosts says of one of them: the entry as it stands there, None where there is none.

    hosts
        the map, whatever it is
    minion_id
        text
    """
    if not isinstance(hosts, dict):
        return None
    found = [hosts[key] for key in hosts if _id(key) == minion_id]
    return found[0] if found else None


def _declared_address(entry, path, wrong):
    if isinstance(entry, dict):
        entry, path = entry.get("address"), path + ":address"
    if entry is None:
        return None
    problem = no_host(entry)
    if problem:
        wrong.append("%s, %s, %s" % (path, shown(entry), problem))
        return None
    return entry


def no_host(value):
    """
    Why a value is not the IPv4 address of one host: words that follow the value, and what would be right;
    None when it is.
    """
    if isinstance(value, (list, tuple)):
        return "is a list: each host has one address; " + ONE_ADDRESS
    if not isinstance(value, TEXT):
        return "is no text: %s, in quotes where YAML would read a number" % ONE_ADDRESS
    if IPV4.match(value):
        return _no_host_number([int(octet) for octet in value.split(".")])
    if value.lower() == "any":
        return "is no address: who admits everybody says so in hosts_allow; " + ONE_ADDRESS
    if "/" in value:
        return "is a network, and no address: %s; hosts_allow admits networks" % ONE_ADDRESS
    if re.match(r"[^:]+:[0-9]+\Z", value):
        return "is more than an address: write {address: %s, port: %s}" % tuple(value.split(":"))
    if ":" in value:
        return "looks like an IPv6 address, and xend listens on IPv4 only: " + ONE_ADDRESS
    if re.match(r"[0-9. ]+\Z", value):
        return "is no IPv4 address: write four numbers from 0 to 255 without leading zeros, like 10.20.0.11"
    return "is no IPv4 address, and names are not resolved here: " + ONE_ADDRESS


def _no_host_number(octets):
    what = None
    if octets[0] == 0:
        what = "is no address of one host; to xend it would mean all of them"
    elif octets in ([127, 0, 0, 1], [127, 0, 1, 1]):
        # The rest of 127/8 is fit for hosts on one machine.
        what = "is every machine itself, which no other host can reach"
    elif octets[0] >= 240:
        what = "is a broadcast or reserved address"
    elif octets[0] >= 224:
        what = "is a multicast address"
    return what and "%s: %s" % (what, ONE_ADDRESS)


def _port(value, path, wrong):
    """
    The number of a port; None when none is given, or a wrong one.
    """
    number = value
    if isinstance(value, TEXT) and re.match(r"[0-9]+\Z", value):
        number = int(value)
    if value is None:
        return None
    if not isinstance(number, WHOLE) or isinstance(number, bool) or not 1 <= number <= 65535:
        wrong.append("%s, %s, is no port: write a whole number from 1 to 65535" % (path, shown(value)))
        return None
    return number


def _doubles(hosts):
    """
    Addresses that more than one host has: each of these would admit itself, and nobody else.
    """
    users = {}
    for host in sorted(hosts):
        if hosts[host]["address"]:
            users.setdefault(hosts[host]["address"], []).append(_bare(host))
    return [
        "xend:relocation:hosts: %s have one address, %s: each host needs its own"
        % (" and ".join(users[address]), address)
        for address in sorted(users)
        if len(users[address]) > 1
    ]


# Words for people


def shown(value):
    """
    A value of the pillar for a message: as JSON, in ASCII, on one line, of a length that can be read.
    """
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        # A mapping with odd keys, or bytes that are no UTF-8.
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _bare(key):
    return shown(key)[1:-1] if isinstance(key, TEXT) else shown(key)
