"""
The settings of a host: what the pillar `xend` says for it, and all that is wrong with it.

Pure: pillar and minion id in, settings and sentences out. The execution modules, the SLS (through
`xend.settings`) and the runner on the master ask it, so that they all read a pillar alike. What xend itself
makes of a value is xend_options' business, what an allow list admits that of xend_allow.
"""

from __future__ import absolute_import

import difflib
import json
import re

TEXT = (str, type(b"".decode("ascii")))
# Under Python 2, large numbers are of another type.
WHOLE = (int, type(2**64))

ONE_ADDRESS = "write one IPv4 address, like 10.20.0.11"

LONGEST_SHOWN = 120

OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = re.compile(r"%s\Z" % r"\.".join([OCTET] * 4))


def declared(given, utility):
    """
    The hosts that may exchange guests.

    given
        the pillar `xend`, whatever it is; None when there is none
    utility
        a function from the name of another utility to that utility

    Returns ({minion id: {"address", "port", "ssl_port"}}, what is wrong): the address is text, None where a
    host has none; the ports are ints; what is wrong is a list of sentences. An address that is wrong is not
    returned, so that nobody believes it. A host without an address is nobody's trouble but its own.
    """
    wrong = []
    relocation = _relocation(given, wrong)
    ports = [(name, port) for name, _, kind, port, _ in utility("xend_options").settings() if kind == "port"]
    common = dict((name, _port(relocation.get(name), "xend:relocation:" + name, wrong)) for name, _ in ports)
    found = {}
    for host, path, own in _hosts(relocation, wrong):
        where = {"address": _declared_address(own, path, wrong)}
        for name, default in ports:
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
        return _native(key) or None
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
    return _native(entry)


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


# What settings may be, beside those of the file: words that follow the value, None when it is right


def _text(value):
    return None if isinstance(value, TEXT) else "is no text"


def _texts(value):
    listed = value if isinstance(value, (list, tuple)) else [value]
    are_texts = not [item for item in listed if not isinstance(item, TEXT)]
    return None if are_texts else "is neither text nor a list of texts"


def _flag(value):
    is_flag = isinstance(value, WHOLE) and value in (True, False)
    return None if is_flag else "is neither true nor false (text in quotes is no boolean)"


def _acceptable(value):
    listed = value if isinstance(value, (list, tuple)) else [value]
    unknown = [word for word in listed if not isinstance(word, TEXT) or word not in RESTART_ACCEPT]
    words = ", ".join(RESTART_ACCEPT[:-1]), RESTART_ACCEPT[-1]
    return "is no list out of %s and %s" % words if unknown else None


def _backup(value):
    is_known = isinstance(value, TEXT + (bool,)) and value in ("minion", "master", "both", "", False)
    return None if is_known else "is none of minion, both and false"


def _safety_copy(value):
    # YAML reads `off` and `no` as false, and `on` as true.
    is_known = isinstance(value, bool) or (isinstance(value, TEXT) and value in SAFETY_COPIES)
    return None if is_known else "is none of %s" % ", ".join(SAFETY_COPIES)


def _folder(value):
    is_path = isinstance(value, TEXT) and value.startswith("/") and "\0" not in value and len(value) < 4096
    return None if is_path else "is no absolute path of a folder, like /var/lib/xend-for-salt"


def _delay(value):
    is_right = _is_number(value) and 0 <= value <= MOST_DELAY_S
    return None if is_right else "is no number of seconds from 0 to %d" % MOST_DELAY_S


def _rate(value):
    is_right = value is False or (_is_number(value) and 0 < value <= MOST_RATE_MIB_S)
    return None if is_right else "is neither a number of MiB in a second, like 50, nor false, for no limit"


def _is_number(value):
    # Of what is no number, no comparison holds.
    return isinstance(value, WHOLE + (float,)) and not isinstance(value, bool)


RESTART_ACCEPT = ("on_xend_stop", "on_xend_start", "evacuation")
SAFETY_COPIES = ("auto", "required", "off")

# More would be a mistake in the unit.
MOST_DELAY_S = 86400
MOST_RATE_MIB_S = 1000000

# Options that are text -> what is taken where neither pillar nor configuration says anything.
OPTIONS = {
    "config": "/etc/xen/xend-config.sxp",
    "service": None,
    "pidfile": "/var/run/xend.pid",
    "log": "/var/log/xen/xend.log",
    "source": None,
    "kept": "/var/lib/xend-for-salt",
    "python": "/usr/bin/python",
    "root": "",
    "xm": "xm",
    "socket": "/var/run/xend/xmlrpc.sock",
    "drbdadm": "drbdadm",
    # Where the relay of a migration listens, and where xm is told to send the guest: another one only where
    # several hosts are simulated on one machine.
    "loopback": "127.0.0.1",
}

# Under xend. What is no value of one kind is looked at where it is needed.
TOP = dict([(name, _text) for name in OPTIONS], auto=_text, domain_files=_texts, announce=_texts)
TOP.update(safety_copy=_safety_copy, safety_folder=_folder, safety_delay_s=_delay)
TOP.update(rate_mib_s=_rate, relay=_flag)
TOP.update(follow=_flag, relocation=None, firewall=None, migrate=None, recover=None, repair=None)
TOP.update(evacuate=None, restore=None)

# Under xend:relocation and in the mapping of a host, beside the settings of the file.
BESIDE = {
    "config": _text,
    "service": _text,
    "backup": _backup,
    "restart": _flag,
    "restart_accept": _acceptable,
}

# Of these an empty value in the mapping of a host takes back what is said for all.
RESTARTS = ("restart", "restart_accept")

# Kinds of settings that are looked at by themselves: for all hosts, as others use them, or entry by entry.
ELSEWHERE = ("port", "patterns")

# What holds where the pillar says nothing, and is not xend's own default.
DEFAULTS = {"server": True, "restart": True}

# Those that may differ between hosts that have one pillar; so may what a restart is allowed to do.
PER_HOST = ("config", "service")


# The settings of one host


def option(name, ask, minion_id):
    """
    The option `xend:NAME` of a host, as text; None where there is none.

    ask
        a function like Salt's config.get, from a path and a default to a value

    Of a pillar xend:relocation that is no mapping nothing is taken here; `settings` tells what is wrong with
    it. Raises ValueError for what is no text.
    """
    found = said_for(ask("xend:relocation", None), minion_id, name) if name in PER_HOST else None
    found = found or ask("xend:" + name, None) or OPTIONS[name]
    if found is not None and not isinstance(found, TEXT):
        raise ValueError("the option xend:%s, %s, is no text" % (name, shown(found)))
    return _native(found)


def problem(name, value):
    """
    Why a value is none for the option `xend:NAME`: words that follow the value; None when it is one.
    """
    return TOP[name](value)


def _native(text):
    """
    Text as the type that messages are made of: bytes under Python 2. None stays None.
    """
    return text if text is None or isinstance(text, str) else text.encode("utf-8")


def said_for(given, minion_id, name):
    """
    What a pillar `xend:relocation`, whatever it is, says for one setting of a host, or for all hosts; None
    when it says nothing.
    """
    common = given if isinstance(given, dict) else {}
    for where in (own(common.get("hosts"), minion_id), common):
        if isinstance(where, dict) and where.get(name) is not None:
            return where[name]
    return None


UNRENDERED = (
    "the pillar of %(host)s does not render (%(errors)s): `salt-run pillar.show_pillar "
    "%(host)s` shows where; when that is mended, `salt %(host)s saltutil.refresh_pillar` brings it"
)


def unrendered(minion_id, errors):
    """
    What is to be said of a host of which Salt could not make the pillar, for reasons that it tells as texts.
    """
    return UNRENDERED % {"host": _bare(minion_id), "errors": "; ".join([_native(error) for error in errors])}


def settings(given, minion_id, utility, errors=()):
    """
    All that the pillar says for one host, with defaults filled in, and all that is wrong with it.

    given
        the pillar `xend`, whatever it is; None when there is none
    minion_id
        the host, as text
    utility
        a function from the name of another utility to that utility
    errors
        why Salt could not make this host's pillar, texts

    Returns a dict: ``relocation`` (what the state xend.relocation takes: each setting that is given or has
    a default, and ``backup``), ``restart``, ``restart_accept`` (as given), ``ports`` (on which xend shall
    listen for guests, ints; none when relocation is off), ``firewall`` (``asked``, ``sources``, ``save``,
    and ``wrong``: why its rules cannot be made), ``hosts`` (as ``declared`` returns them) and ``wrong``: a
    list of sentences, each with the path of the key. What is wrong is not among the settings, except
    ``restart`` and ``restart_accept``: to whoever asked for no restart the default would be harm.
    """
    hosts, wrong = declared(given, utility)
    has_hosts = not wrong
    keys = dict((name, key) for name, key, _, _, _ in utility("xend_options").settings())
    defaults, _, _ = utility("xend_options").effective({}.get)
    common = _relocation(given, [])
    entry = own(common.get("hosts"), minion_id)
    levels = [("xend:relocation", common)]
    if isinstance(entry, dict):
        levels.append(("xend:relocation:hosts:%s" % _bare(minion_id), entry))
    wrong += _wrong_at_top(given if isinstance(given, dict) else {}, keys)
    # The port is written out, so that who reads the file sees it.
    merged, wrong_lists = dict(DEFAULTS, port=defaults["port"]), []
    for path, said in levels:
        wrong += _wrong_in(said, path, keys, utility)
        if said.get("hosts_allow") is not None:
            problems = utility("xend_allow").problems(said["hosts_allow"])
            wrong_lists += ["%s:hosts_allow: %s" % (path, problem) for problem in problems]
        merged.update((name, said[name]) for name in said if said[name] is not None or name in RESTARTS)
    addresses = dict((host, hosts[host]["address"]) for host in hosts if hosts[host]["address"])
    others = [addresses[host] for host in sorted(addresses) if host != minion_id]
    merged["address"] = addresses.get(minion_id, common.get("address"))
    merged.setdefault("hosts_allow", others or None)
    values = _values(merged, keys, utility)
    # Of a server that is neither on nor off, nobody knows that it shall be closed.
    ports = [
        values.get(port, defaults[port])
        for server, port in utility("xend_options").servers()
        if values.get(server, merged.get(server) is not None)
    ]
    if ports and has_hosts:
        wrong += _missing(given, merged, minion_id, errors)
    if len(set(ports)) < len(ports):
        wrong.append("xend:relocation:port and ssl_port are both %d: xend would not start" % ports[0])
    firewall, wrong_rules, wrong_peers = _firewall(given, merged["hosts_allow"], minion_id, utility)
    if ports:
        # Rules that cannot be made are no reason to leave a door open that shall be closed.
        wrong_lists += wrong_rules + ([] if wrong_lists or merged["hosts_allow"] is None else wrong_peers)
    return {
        "relocation": values,
        "restart": merged["restart"],
        "restart_accept": merged.get("restart_accept"),
        "ports": ports,
        "firewall": dict(firewall, wrong=wrong_rules + wrong_peers + wrong),
        "hosts": hosts,
        "wrong": wrong + wrong_lists,
    }


A_HOST = "; hosts stand under xend:relocation:hosts, further to the right than `hosts:` itself"


def _is_host(value):
    """
    Whether what stands beside a name is what stands beside the id of a host.
    """
    if isinstance(value, dict):
        return "address" in value
    return isinstance(value, TEXT) and bool(IPV4.match(value))


def _wrong_at_top(xend, keys):
    wrong = []
    for name in sorted(xend, key=shown):
        if name in TOP:
            problem = TOP[name] and xend[name] is not None and TOP[name](xend[name])
            wrong += ["xend:%s, %s, %s" % (name, shown(xend[name]), problem)] if problem else []
        elif name in keys or name in BESIDE or name == "hosts":
            wrong.append("xend:%s is no setting; it belongs under xend:relocation" % name)
        else:
            belongs = _meant(name, TOP) or A_HOST * _is_host(xend[name])
            wrong.append("xend:%s is no setting%s" % (_bare(name), belongs))
    return wrong


def _wrong_in(said, path, keys, utility):
    """
    What is wrong in the mapping xend:relocation, or in that of a host; see ELSEWHERE for what is not here.
    """
    is_host = path != "xend:relocation"
    known = set(keys) | set(BESIDE) | set([] if is_host else ["hosts"])
    wrong = []
    for name in sorted(said, key=shown):
        value = said[name]
        if name not in known:
            where = " (it stands under %s)" % path[len("xend:relocation:") :] if is_host else ""
            belongs = "; it belongs under xend" if name in TOP else _meant(name, known)
            belongs = belongs or A_HOST * (not is_host and _is_host(value))
            wrong.append("xend:relocation:%s is no setting%s%s" % (_bare(name), belongs, where))
            continue
        kind = utility("xend_options").kind_of(keys.get(name))
        if name == "hosts" or kind in ELSEWHERE or (name == "address" and is_host):
            continue
        if value is None and name != "restart":
            continue
        problem = BESIDE[name](value) if name in BESIDE else None
        if name == "address" and value == "0.0.0.0":
            problem = no_host(value)
        if problem:
            wrong.append("%s:%s, %s, %s" % (path, name, shown(value), problem))
        elif name in keys:
            wrong += _unwritable(keys[name], value, "%s:%s" % (path, name), utility)
    return wrong


def _unwritable(key, value, path, utility):
    try:
        utility("xend_options").written(key, value, utility)
    except ValueError as exc:
        # It begins with the key in the file.
        return [path + str(exc)[len(key) :]]
    return []


def _meant(name, known):
    near = difflib.get_close_matches(name, list(known), 1, 0.75) if isinstance(name, TEXT) else []
    return "; did you mean %s?" % near[0] if near else ""


def _values(merged, keys, utility):
    """
    The settings of the file, as the state takes them, without those that are wrong.
    """
    values = {}
    for name in sorted(keys):
        if merged.get(name) is None:
            continue
        if name == "hosts_allow":
            values[name] = merged[name]
            continue
        try:
            text = utility("xend_options").written(keys[name], merged[name], utility)
            values[name] = utility("xend_options").value_of(keys[name], _raw(text))
        except ValueError:
            continue
    if merged.get("backup") and not _backup(merged["backup"]):
        values["backup"] = merged["backup"]
    return values


def _raw(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


NO_PILLAR = (
    "xend is missing for %(host)s: assign it in top.sls of the pillar, then run `salt %(host)s "
    "saltutil.refresh_pillar` (pillar.example shows what stands there)"
)


NOT_THE_ID = "; %s stands there, and is not the id of this minion"
NO_LINE = "; no line begins with that id, but with %s"
MOST_IDS = 10


def _is_longer(name, other):
    """
    Whether one of two names is the other with a domain, or with capitals.
    """
    short, long = sorted([name.lower(), other.lower()], key=len)
    return name != other and (short == long or long.startswith(short + "."))


def _instead(hosts, minion_id):
    """
    Which ids stand there in place of that of a host.
    """
    longer = [NOT_THE_ID % _bare(host) for host in hosts if _is_longer(host, minion_id)]
    if longer or not hosts:
        return "".join(longer[:1])
    shown_ids = [_bare(host) for host in hosts[:MOST_IDS]]
    more = " and %d more" % (len(hosts) - MOST_IDS) if len(hosts) > MOST_IDS else ""
    return NO_LINE % (", ".join(shown_ids) + more)


def _missing(given, merged, minion_id, errors):
    """
    What a host that listens for guests cannot do without.
    """
    if given is None and errors:
        return [unrendered(minion_id, errors)]
    if given is None:
        return [NO_PILLAR % {"host": _bare(minion_id)}]
    wrong = []
    if not merged["address"]:
        hosts = [host for host, _path, _own in _hosts(_relocation(given, []), [])]
        there = "" if minion_id in hosts else _instead(hosts, minion_id)
        wrong.append("xend:relocation:hosts has no address for %s%s" % (_bare(minion_id), there))
    if merged["hosts_allow"] is None:
        wrong.append("xend:relocation:hosts names no other host, whom %s could admit" % _bare(minion_id))
    return wrong


def _firewall(given, hosts_allow, minion_id, utility):
    """
    Which rules the pillar asks for, what is wrong with that, and with whom they shall admit.
    """
    found = {"asked": False, "sources": [], "save": False}
    if given is None:
        return found, [], []
    # Of a pillar that cannot be read nobody knows whether it asks for rules.
    asked = given.get("firewall") if isinstance(given, dict) else True
    found["asked"] = asked is not None and asked is not False
    if not found["asked"] or not isinstance(given, dict):
        return found, [], []
    if asked is not True and not isinstance(asked, dict):
        said = "xend:firewall, %s, is neither true nor false (text in quotes is no boolean), and no mapping"
        return found, [said % shown(asked)], []
    options = asked if isinstance(asked, dict) else {}
    unknown = [_bare(name) for name in sorted(options, key=shown) if name not in ("peers", "save")]
    wrong = ["xend:firewall knows peers and save only, not %s" % ", ".join(unknown)] if unknown else []
    save = options.get("save") or False
    if isinstance(save, (bool,) + TEXT):
        found["save"] = save
    else:
        wrong.append("xend:firewall:save, %s, is neither true nor false nor a file name" % shown(save))
    peers = options.get("peers") or hosts_allow
    try:
        found["sources"] = utility("xend_allow").sources(peers)
        problems = utility("xend_allow").problems(peers)
    except ValueError as exc:
        problems = [str(exc)]
    said = "xend:firewall can admit addresses and networks only. Peers of %s: %s. Name the peers in "
    said = (said + "xend:firewall:peers") % (_bare(minion_id), "; ".join(problems))
    return found, wrong, [said] if problems else []


def unguarded(table, chain, ports, sources):
    """
    What of the firewall rules is not there, in words; an empty list when only the peers get in.

    table
        the table `filter` as Salt's iptables.get_rules shows it: {chain: {"rules": [{key: list}]}}
    chain
        the chain of these rules
    ports, sources
        what it shall guard, a list of ints, and whom it shall admit, as xend_allow.sources spells them
    """
    if chain not in table:
        return ["there is no chain %s" % chain]
    found = []
    above = table.get("INPUT", {}).get("rules", [])
    for port in ports:
        own = [number for number, rule in enumerate(above) if _jumps(rule, chain) and _is_for(rule, port)]
        if not own:
            found.append("nothing in the chain INPUT sends port %s to %s" % (port, chain))
        elif [rule for rule in above[: own[0]] if _jumps(rule, "ACCEPT") and _is_for(rule, port)]:
            said = "a rule of the chain INPUT admits everybody to port %s before %s is asked: remove it"
            found.append(said % (port, chain))
    rules = table[chain].get("rules", [])
    ends = [number for number, rule in enumerate(rules) if _jumps(rule, "DROP") and _is_for_all(rule)]
    if not ends:
        found.append("%s does not drop the others" % chain)
    for rule in rules[: ends[0]] if ends else []:
        admitted = rule.get("source", [])
        if [one for one in admitted if one not in sources]:
            found.append("%s also admits %s, which is no peer" % (chain, ", ".join(admitted)))
        elif _is_for_all(rule):
            found.append("%s admits everybody" % chain)
    return found


def _jumps(rule, target):
    return target in rule.get("jump", [])


def _is_for_all(rule):
    return not set(rule) - set(["jump", "protocol"])


def _is_for(rule, port):
    """
    Whether a rule is for all TCP connections to a port, whoever they come from.
    """
    if set(rule) - set(["jump", "protocol", "destination_port", "match"]):
        return False
    fits = rule.get("protocol", ["tcp"])[0] in ("tcp", "all") and rule.get("match", ["tcp"]) == ["tcp"]
    return fits and str(port) in rule.get("destination_port", [str(port)])


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
