"""
Nothing that xend.configure accepts keeps xend from starting, and it admits who was meant.

The judge is the lab's own reader of xend's file, in three versions; who is meant is judged here, by
ipaddress and by comparing names.
"""

import ipaddress
import re
from importlib import import_module

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import xend_allow
import xend_options
import xend_sxp
from tests import ground_truth
from tests.lab import options, sxp

VERSIONS = ("3.0.3", "3.4", "4.4")
LAST = 2**32 - 1

# Where the forms go: nothing, and files in the style of those that distributions shipped.
FILES = [
    b"",
    b"# no newline at the end",
    b"#(xend-relocation-server no)\n#(xend-relocation-port 8002)\n#(xend-relocation-address '')\n"
    b"(xend-relocation-hosts-allow '^localhost$ ^localhost\\\\.localdomain$')\n",
    b"(xend-relocation-port\n  8002 # the port\n)(xend-relocation-server yes)\r\n"
    b"(xend-relocation-hosts-allow ^a$ ^b$)\n(xend-relocation-port 1)\n(xend-relocation-address)",
]

addresses = st.integers(0, LAST).map(lambda number: str(ipaddress.IPv4Address(number)))
networks = st.builds(
    lambda number, prefix: str(ipaddress.ip_network((number, prefix), strict=False)),
    st.integers(0, LAST),
    st.integers(1, 32),
)
label = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,5}[A-Za-z0-9_])?", fullmatch=True)
names = st.builds(
    lambda labels, last: ".".join(labels + [last]),
    st.lists(label, min_size=1, max_size=3),
    st.from_regex(r"[a-z]{2,5}", fullmatch=True),
)
# Much of it is no regular expression, or one that Python 2 does not know: then it is refused.
regexes = st.one_of(
    st.text(alphabet="ab1.^$|()[]*+?{},\\dwxZ:i='\" ", min_size=1, max_size=10),
    st.builds("^{}[0-9]+\\.{}$".format, label, st.from_regex("[a-z]{2,4}", fullmatch=True)),
).map(lambda text: {"regex": text})
odd = st.text(max_size=8)
entries = st.one_of(addresses, networks, names, names.map(lambda name: "." + name), regexes, odd)

ports = st.one_of(st.integers(1, 65535), st.integers(1, 65535).map(str), st.integers(), odd)
bools = st.one_of(st.booleans(), st.sampled_from(["yes", "No", "on", "F", "0", 1, 0, "maybe", ""]))
files = st.one_of(st.text(min_size=1, max_size=20), st.just("/etc/xen/relocation.key"))
VALUES = {
    "server": bools,
    "port": ports,
    "address": st.one_of(st.just(""), addresses, names, st.just("eth0"), odd),
    "hosts_allow": st.one_of(st.just("any"), st.lists(entries, max_size=6), odd),
    "ssl_server": bools,
    "ssl_port": ports,
    "ssl": bools,
    "ssl_key_file": files,
    "ssl_cert_file": files,
}


def texts_of(given_values):
    """The texts that are written, by key; skips the example when a value is refused."""
    texts = {}
    for name, value in given_values.items():
        key = xend_options.key_of(name)
        try:
            if name == "hosts_allow":
                texts[key] = xend_allow.join(xend_allow.patterns(value))
            else:
                texts[key] = xend_options.written(key, value, import_module)
        except ValueError:
            assume(False)
    return texts


def written(data, texts):
    document = xend_sxp.parse(data)
    for _, key, _, _, _ in xend_options.settings():
        if key in texts:
            document = document.set(key, texts[key])
    return document


def accepted_by_configure(document):
    values, _, errors = xend_options.effective(document.get)
    # `any` is the one deliberate conflict.
    return not errors and not xend_options.conflicts(dict(values, hosts_allow="any"))


def plan(data, version):
    """What the lab's xend would listen on; raises what it would die of."""
    return options.Options(data, version).listen()


# Python 3 compiles what the lab gives it; of some expressions it says that they will change.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@settings(suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(FILES),
    st.fixed_dictionaries({}, optional={name: value for name, value in VALUES.items()}),
)
def test_no_accepted_setting_keeps_xend_from_starting(data, given_values):
    assume(given_values)
    texts = texts_of(given_values)
    document = written(data, texts)
    assume(accepted_by_configure(document))
    for version in VERSIONS:
        config = options.Options(document.data, version)
        found = config.listen()
        for port, address, _, *pem in found.values():
            assert 1 <= port <= 65535 and isinstance(address, str)
            assert all(pem)
        for key, text in texts.items():
            # Byte for byte what was meant, in each version's own reading of quotes and escapes.
            assert config.raw(key).encode("latin-1") == text.encode("utf-8"), (version, key)
        if "xend-relocation-hosts-allow" in texts:
            everybody = given_values["hosts_allow"] in ("any", ["any"])
            assert (config.hosts_allow() is None) is everybody


@pytest.mark.parametrize("name", sorted(VALUES))
def test_no_accepted_value_of_one_setting_keeps_xend_from_starting(name):
    """Each setting alone, so that no other one's refusals thin out its examples."""
    on = {"server": True, "hosts_allow": "any"}
    pem = {"ssl_server": True, "ssl_key_file": "a.key", "ssl_cert_file": "a.crt"}
    accepted = []

    @settings(suppress_health_check=list(HealthCheck))
    @given(VALUES[name])
    def check(value):
        document = written(b"", texts_of(dict(dict(on, **pem), **{name: value})))
        for version in VERSIONS:
            plan(document.data, version)
        accepted.append(value)

    check()
    assert len(accepted) > 5


def meant(entries_, name, address):
    """Whether one of the entries names this peer: the rules that people know, not patterns."""
    for entry in entries_:
        if entry.startswith("."):
            if name.endswith(entry) and all(name[: -len(entry)].split(".")):
                return True
        elif re.match(r"[0-9.]+(/[0-9]+)?\Z", entry):
            if ipaddress.ip_address(address) in ipaddress.ip_network(entry):
                return True
        elif name == entry:
            return True
    return False


plain_entries = st.lists(
    st.one_of(
        addresses,
        networks,
        names.map(str.lower),
        names.map(lambda name: "." + name.lower()),
    ),
    min_size=1,
    max_size=5,
)


@settings(suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FILES), plain_entries, names.map(str.lower), st.data())
def test_who_is_let_in_is_who_was_meant(data, listed, stranger, draw):
    document = written(data, texts_of({"server": True, "hosts_allow": listed}))
    nets = [
        ipaddress.ip_network(entry)
        for entry in listed
        if re.match(r"[0-9.]+(/[0-9]+)?\Z", entry)
    ]
    numbers = {0, LAST, draw.draw(st.integers(0, LAST))}
    for net in nets:
        first, last = int(net.network_address), int(net.broadcast_address)
        numbers.update((first - 1, first, (first + last) // 2, last, last + 1))
    called = {stranger}
    for entry in listed:
        if "." in entry and not re.match(r"[0-9./]+\Z", entry):
            name = entry.lstrip(".")
            called.update((name, "a." + name, "a" + name, name + ".a", name.replace(".", "x", 1)))
    for version in VERSIONS:
        patterns = plan(document.data, version)["tcp"][2]
        for number in numbers:
            if 0 <= number <= LAST:
                address = str(ipaddress.IPv4Address(number))
                # A peer without a name is called by its address.
                assert options.admitted(patterns, address, address) is meant(
                    listed, address, address
                ), (version, address)
        for name in called:
            # An address of the documentation's, unless it was listed.
            assert options.admitted(patterns, name, "203.0.113.9") is meant(
                listed, name, "203.0.113.9"
            ), (version, name)


def test_every_file_that_hosts_have_still_starts_with_new_settings():
    changed = 0
    texts = texts_of(
        {
            "server": True,
            "port": 8002,
            "address": "10.20.0.11",
            "hosts_allow": ["10.20.0.12", ".xen.example.com"],
        }
    )
    for config in ground_truth.configs("files", "real"):
        data = config.data
        try:
            document = written(data, texts)
        except ValueError:
            # xend does not read it either; nothing is written then.
            continue
        for version in VERSIONS:
            try:
                plan(data, version)
            except (options.OptionError, sxp.ParseError):
                # It did not start before, for a reason that may be elsewhere in the file.
                continue
            port, address, patterns = plan(document.data, version)["tcp"]
            assert (port, address) == (8002, "10.20.0.11"), config.name
            assert options.admitted(patterns, "x", "10.20.0.12")
            assert not options.admitted(patterns, "x", "10.20.0.121")
            changed += 1
    assert changed > 70
