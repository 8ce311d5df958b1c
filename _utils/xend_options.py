"""
The relocation settings of xend: names, keys, kinds, defaults, and the rules for reading and writing them.

One table drives everything. Where the settings stand in a file is xend_sxp's business, what an
allow list admits is xend_allow's; nothing here knows Salt.
"""

import re

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

# name (as people use it), key in xend-config.sxp, kind, xend's default, first version that reads it.
# Source: xend 3.0.3, 3.4 and 4.4 XendOptions (XendRoot in 3.0.3), the defaults and getters there.
SETTINGS = (
    ("server", "xend-relocation-server", "bool", False, "3.0"),
    ("port", "xend-relocation-port", "port", 8002, "3.0"),
    ("address", "xend-relocation-address", "address", "", "3.0"),
    ("hosts_allow", "xend-relocation-hosts-allow", "patterns", "", "3.0.3"),
    ("ssl_server", "xend-relocation-ssl-server", "bool", False, "3.3"),
    ("ssl_port", "xend-relocation-ssl-port", "port", 8003, "3.3"),
    ("ssl", "xend-relocation-ssl", "bool", False, "3.3"),
    ("ssl_key_file", "xend-relocation-server-ssl-key-file", "path", None, "3.3"),
    ("ssl_cert_file", "xend-relocation-server-ssl-cert-file", "path", None, "3.3"),
)

# The other keys that xend reads, in one version or another, for telling a slip of the pen from a key.
# Kinds as in the getters of xend 4.2 XendOptions. Some are of 2.0 and 3.0.0 only (block-*, console-*,
# vif-antispoof, vif-bridge, xend-event-port), xend-domain-lock* of SUSE's patches.
OTHER_KEYS = {
    "bool": "enable-dom0-ballooning enable-dump pci-passthrough-strict-check xend-http-server"
    " xend-tcp-xmlrpc-server xend-udev-event-server xend-unix-server xend-unix-xmlrpc-server",
    "int": "console-limit device-create-timeout device-destroy-timeout dom0-cpus dom0-min-mem"
    " qemu-dm-logrotate-count total_available_memory xend-port xend-tcp-xmlrpc-server-port",
    None: "block-enbd block-file console-address console-port-base external-migration-tool keymap"
    " lock-domain lock-utility logfile loglevel network-script pscsi-device-mask"
    " resource-label-change-script vif-antispoof vif-bridge vif-script vnc-listen vnc-tls"
    " vnc-x509-cert-dir vnc-x509-verify vncpasswd xen-api-server xend-address"
    " xend-domain-lock xend-domain-lock-device xend-domain-lock-path"
    " xend-domain-lock-utility xend-domains-path xend-event-port xend-security-path"
    " xend-state-path xend-storage-path xend-tcp-xmlrpc-server-address"
    " xend-tcp-xmlrpc-server-ssl-cert-file xend-tcp-xmlrpc-server-ssl-key-file"
    " xend-unix-path xsm_module_name",
}

KINDS = dict(
    [(key, kind) for _, key, kind, _, _ in SETTINGS]
    + [(key, kind) for kind, keys in OTHER_KEYS.items() if kind for key in keys.split()]
)

TRUE_WORDS = ("yes", "y", "1", "on", "true", "t")
FALSE_WORDS = ("no", "n", "0", "off", "false", "f")

# Python 2's int(): white space around, one sign, decimal digits. Python 3's also takes `8_002` and
# digits of other scripts, which xend refuses.
INT_TEXT = re.compile(br"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*\Z")

IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}\Z")
# A host name or, from xend 4.1 on, an interface name with an optional alias (eth0:1).
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?(?::[0-9]+)?\Z")


# What lets guests in, and where.
SERVERS = (("server", "port"), ("ssl_server", "ssl_port"))


def servers():
    """
    The settings that let guests in, as a tuple of (the one that switches it on, the one with its port).
    """
    return SERVERS


def settings():
    """
    The table of relocation settings, in the order in which they are read and shown.

    Returns a tuple of (name, key, kind, default, since) tuples; `since` is the first xend version
    that reads the key.
    """
    return SETTINGS


def kind_of(key):
    """
    The kind of a configuration key: "bool", "int", "port", "address", "patterns", "path", or None
    when this module has no rule for it.
    """
    return KINDS.get(key)


def key_of(name):
    """
    The key in xend-config.sxp of the setting that people call NAME (`hosts_allow`).

    Raises ValueError for a name that is no relocation setting.
    """
    for known, key, _, _, _ in SETTINGS:
        if known == name:
            return key
    raise ValueError(
        "%s is no relocation setting; the settings are %s" % (name, ", ".join([row[0] for row in SETTINGS]))
    )


def text_of(raw):
    """
    A raw value (bytes) as text for people: UTF-8, or Latin-1 where it is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def value_of(key, raw):
    """
    What xend makes of the raw value of KEY, as in xend 4.4 XendOptions.get_config_bool, _int, _string.

    key
        the configuration key
    raw
        bytes (an atom or a string) or a list, as the sxp document returns them

    Returns a bool, an int or text. Raises ValueError, with xend's own wording, for a value that
    keeps xend from starting.
    """
    return _converted(key, KINDS.get(key), raw)


def _converted(key, kind, raw):
    if isinstance(raw, list):
        raise ValueError("%s: a list stands where xend expects one word or string" % key)
    if kind == "bool":
        # Python 2 lowers bytes: letters outside ASCII stay as they are.
        word = text_of(raw.lower())
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise ValueError(_sentence("invalid xend config %s: expected bool: %s" % (key, word)))
    if kind in ("port", "int"):
        match = INT_TEXT.match(raw)
        if not match:
            raise ValueError(_sentence("invalid xend config %s: expected int: %s" % (key, text_of(raw))))
        return int(match.group(1))
    return text_of(raw)


def _sentence(text):
    """
    The text of an error as the type that str() gives without an error: in Python 2, bytes.
    """
    return text if isinstance(text, str) else text.encode("utf-8")


def _raw(text):
    """
    A text to write as the file has it. Before 2018.3, Salt under Python 2 gives bytes.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8")


def known_keys():
    """
    Every key that some version of xend reads, as a set of text.
    """
    keys = set(KINDS)
    for names in OTHER_KEYS.values():
        keys.update(names.split())
    return keys


def unreadable(get):
    """
    The values in a file that xend could not read, whether or not it needs them.

    get
        a function from a key to its raw value, None where the key is absent or has no value

    Returns a dict from key to the reason.
    """
    reasons = {}
    for key, kind in KINDS.items():
        raw = get(key)
        try:
            if raw is not None:
                _converted(key, kind, raw)
        except ValueError as exc:
            reasons[key] = str(exc)
    return reasons


def read_at_start(values, version=None):
    """
    The keys whose value xend reads when it starts with these settings; it does not start when it
    cannot read one of them. Source: listenRelocation in xend 3.0.3 and 4.4 relocate.py.

    values
        a dict from name to value as `effective` returns it; a value that xend cannot read is absent
    version
        the version of xend as a tuple of ints; None: the newest
    """
    has_ssl = version is None or version >= (3, 3)
    keys = ["xend-unix-server", "xend-http-server", "xend-relocation-server"]
    listens = []
    if values.get("server"):
        listens.append("xend-relocation-port")
    if has_ssl:
        keys.append("xend-relocation-ssl-server")
    if has_ssl and values.get("ssl_server"):
        listens.append("xend-relocation-ssl-port")
        listens.append("xend-relocation-server-ssl-key-file")
        listens.append("xend-relocation-server-ssl-cert-file")
    if listens:
        listens.append("xend-relocation-address")
    # From 3.3 on, the list is compiled whether or not there is a server to guard.
    if listens or has_ssl:
        keys.append("xend-relocation-hosts-allow")
    return keys + listens


def ssl_file(name, folder="/etc/xen"):
    """
    The file that xend opens for the value of ssl_key_file or ssl_cert_file: a relative name is under
    the FOLDER of its configuration (xend 4.2 XendOptions.get_xend_relocation_server_ssl_key_file).
    """
    return name if name.startswith("/") else "%s/%s" % (folder, name)


def effective(get):
    """
    The relocation settings that xend takes from a file.

    get
        a function from a key to its raw value, None where the key is absent or has no value (xend
        then uses its default)

    Returns (values, defaults, errors): a dict from name to value, the list of names that are not
    set in the file, and a dict from name to the reason why xend would not start.
    """
    values, defaults, errors = {}, [], {}
    for name, key, _, default, _ in SETTINGS:
        raw = get(key)
        if raw is None:
            values[name] = default
            defaults.append(name)
            continue
        try:
            values[name] = value_of(key, raw)
        except ValueError as exc:
            errors[name] = str(exc)
    return values, defaults, errors


def written(key, value, utility):
    """
    The text that stands for VALUE in the file, checked by the rules of KEY.

    key
        the configuration key; keys without rules of their own take any text
    value
        text, bool or int; a boolean (which is what YAML and the command line make of `yes` and
        `no`) becomes `yes` or `no`
    utility
        a function from the name of another utility to that utility

    Returns text. Raises ValueError naming the key, the value and what would be right.
    """
    kind, quoted = KINDS.get(key), utility("xend_text").quoted
    if kind == "bool":
        return _written_bool(key, value, quoted)
    if kind == "port":
        return _written_port(key, value, quoted)
    if kind == "int":
        return _written_int(key, value, quoted)
    if isinstance(value, bool):
        if kind is not None:
            raise ValueError("%s: %s is a boolean; give text" % (key, quoted(value)))
        return "yes" if value else "no"
    if isinstance(value, int) and kind is None:
        return str(value)
    if not isinstance(value, TEXT):
        raise ValueError(
            "%s: %s cannot be written; give text, an integer or a boolean (text in quotes)"
            % (key, quoted(value))
        )
    if kind == "address":
        return _written_address(key, value, quoted)
    if kind == "path":
        return _written_path(key, value, quoted)
    if kind == "patterns":
        return _written_patterns(key, value, quoted)
    return value


def _written_bool(key, value, quoted):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, TEXT):
        if value.lower() in TRUE_WORDS:
            return "yes"
        if value.lower() in FALSE_WORDS:
            return "no"
    elif isinstance(value, int) and value in (0, 1):
        return "yes" if value else "no"
    raise ValueError("%s: %s is no boolean to xend; write yes or no" % (key, quoted(value)))


def _written_int(key, value, quoted):
    text = value if isinstance(value, TEXT) else str(value)
    if isinstance(value, bool) or not re.match(r"-?[0-9]+\Z", text):
        raise ValueError("%s: %s is no whole number" % (key, quoted(value)))
    return text


def _written_port(key, value, quoted):
    number = None
    if isinstance(value, TEXT) and re.match(r"[0-9]+\Z", value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    # xend takes 0 as "any free port", which no other host could know.
    if number is None or not 1 <= number <= 65535:
        raise ValueError("%s: %s is no port; write a whole number from 1 to 65535" % (key, quoted(value)))
    return str(number)


def _written_address(key, value, quoted):
    if value == "" or IPV4.match(value):
        return value
    if re.match(r"[0-9.]+\Z", value):
        raise ValueError(
            "%s: %s is no IPv4 address; write four numbers from 0 to 255 without leading zeros, "
            "like 10.20.0.11" % (key, quoted(value))
        )
    if value.count(":") > 1:
        raise ValueError(
            "%s: %s looks like an IPv6 address; xend listens on IPv4 only" % (key, quoted(value))
        )
    if not NAME.match(value):
        raise ValueError(
            "%s: %s is neither an IPv4 address nor a host or interface name" % (key, quoted(value))
        )
    return value


def _written_path(key, value, quoted):
    if not value or re.search(r"[\x00-\x1f]", value):
        raise ValueError("%s: %s is no file name" % (key, quoted(value)))
    return value


def _written_patterns(key, value, quoted):
    # xend splits at single spaces: an empty piece is a pattern that matches everybody.
    if "" in value.split(" "):
        raise ValueError(
            "%s: %s holds an empty pattern, which admits everybody; write patterns with single spaces "
            "between them (to open the port to all, use xend.configure hosts_allow=any)"
            % (key, quoted(value))
        )
    return value


def conflicts(values):
    """
    What is wrong with the settings taken together.

    values
        a dict from name to value as `effective` returns it

    Returns a list of sentences, empty when the settings go together.
    """
    found = []
    listens = values.get("server") or values.get("ssl_server")
    if listens and not values.get("hosts_allow"):
        found.append(
            "the relocation server is on and the allow list is empty, which admits everybody: give "
            "hosts_allow, or the word `any` to open the port deliberately"
        )
    if values.get("server") and values.get("ssl_server"):
        if values.get("port") == values.get("ssl_port"):
            found.append("port and ssl_port are both %s: xend would not start" % values.get("port"))
    if values.get("ssl_server"):
        for name in ("ssl_key_file", "ssl_cert_file"):
            if not values.get(name):
                found.append("ssl_server is on without %s: xend would not start" % name)
    return found


def listeners(values):
    """
    The (address, port) pairs on which xend listens for relocation with these settings.

    An empty address means every address of the host. Source: xend 4.4 relocate.listenRelocation.
    """
    return [(values["address"], values[port]) for server, port in SERVERS if values[server]]


# Servers of xend that take no guests: their switch, their port and its default (xend 4.4 XendOptions).
OTHER_SERVERS = (
    ("xend-http-server", "xend-port", 8000),
    ("xend-tcp-xmlrpc-server", "xend-tcp-xmlrpc-server-port", 8006),
)


def other_ports(get):
    """
    The ports on which xend serves something else than relocation, as a set of ints.

    get
        as for `effective`

    What the running xend listens on besides may be a relocation port of an earlier content of the file.
    """
    ports = set()
    for switch, port, default in OTHER_SERVERS:
        if _readable(get, switch, False):
            ports.add(_readable(get, port, default))
    servers = get("xen-api-server")
    for server in servers if isinstance(servers, list) else []:
        # (PORT ...), (ADDRESS:PORT ...) or (unix ...).
        place = server[0] if isinstance(server, list) and server else server
        port = b"" if isinstance(place, list) else place.rpartition(b":")[2]
        if port.isdigit():
            ports.add(int(port))
    own = [_readable(get, key, default) for _, key, kind, default, _ in SETTINGS if kind == "port"]
    return ports - set(own)


def _readable(get, key, default):
    raw = get(key)
    try:
        return default if raw is None else value_of(key, raw)
    except ValueError:
        return default


def wanted(given, utility):
    """
    What somebody wants the settings to be, checked.

    given
        a dict from name to value; what is None, or no setting, is passed over. The allow list is as people
        write it, see xend_allow.patterns
    utility
        a function from the name of another utility to that utility

    Returns (values, texts, opened): dicts from name to the value as xend will read it, and to the text to
    write, and whether the port is to be open to everybody, deliberately. Raises ValueError for what is wrong.
    """
    values, texts, opened = {}, {}, False
    for name, key, kind, _, _ in SETTINGS:
        value = given.get(name)
        if value is None:
            continue
        if kind == "patterns":
            problems = utility("xend_allow").problems(value)
            if problems:
                raise ValueError("; ".join(problems))
            patterns = utility("xend_allow").patterns(value)
            texts[name] = utility("xend_allow").join(patterns)
            opened = not patterns
        else:
            texts[name] = written(key, value, utility)
        values[name] = value_of(key, _raw(texts[name]))
    return values, texts, opened
