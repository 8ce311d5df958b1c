"""The rules of the relocation settings: what xend makes of a value, and what may be written."""

from importlib import import_module

import pytest

import xend_options as options

SERVER = "xend-relocation-server"
PORT = "xend-relocation-port"
ADDRESS = "xend-relocation-address"
HOSTS = "xend-relocation-hosts-allow"


@pytest.mark.parametrize(
    "raw, value",
    [(raw, True) for raw in (b"yes", b"y", b"1", b"on", b"true", b"t", b"YES", b"True")]
    + [(raw, False) for raw in (b"no", b"n", b"0", b"off", b"false", b"f", b"OFF")],
)
def test_xend_reads_booleans(raw, value):
    assert options.value_of(SERVER, raw) is value


@pytest.mark.parametrize("raw", [b"maybe", b"", b" yes", b"yes ", b"2", b"None"])
def test_xend_does_not_start_with_other_booleans(raw):
    with pytest.raises(ValueError) as caught:
        options.value_of(SERVER, raw)
    assert "expected bool" in str(caught.value) and SERVER in str(caught.value)


@pytest.mark.parametrize(
    "raw, value",
    [(b"8002", 8002), (b" 8002\n", 8002), (b"+8002", 8002), (b"008002", 8002), (b"-1", -1)],
)
def test_xend_reads_integers_like_python_2(raw, value):
    assert options.value_of(PORT, raw) == value


@pytest.mark.parametrize(
    "raw", [b"", b"abc", b"0x1f42", b"1e4", b"8 002", b"8_002", b"8002L", b"\xd9\xa3"]
)
def test_xend_does_not_start_with_other_integers(raw):
    with pytest.raises(ValueError) as caught:
        options.value_of(PORT, raw)
    assert "expected int" in str(caught.value)


def test_a_list_where_a_word_is_expected_is_an_error():
    with pytest.raises(ValueError) as caught:
        options.value_of(ADDRESS, [b"a"])
    assert ADDRESS in str(caught.value)


def test_effective_settings_fill_in_the_defaults_and_name_them():
    raw = {PORT: b"8010", SERVER: b"on"}
    values, defaults, errors = options.effective(raw.get)
    assert values["server"] is True and values["port"] == 8010
    assert values["address"] == "" and values["ssl_port"] == 8003 and values["ssl_key_file"] is None
    assert "port" not in defaults and "address" in defaults
    assert errors == {}


def test_effective_settings_name_what_xend_cannot_read():
    values, _, errors = options.effective({PORT: b"abc"}.get)
    assert "port" not in values
    assert list(errors) == ["port"] and "abc" in errors["port"]


@pytest.mark.parametrize(
    "value, text",
    [(True, "yes"), (False, "no"), ("yes", "yes"), ("Off", "no"), ("1", "yes"), (0, "no")],
)
def test_booleans_are_written_as_yes_and_no(value, text):
    assert options.written(SERVER, value, import_module) == text


def test_a_boolean_for_a_key_without_rules_is_written_as_yes_or_no():
    assert options.written("vnc-tls", True, import_module) == "yes"
    assert options.written("vnc-tls", False, import_module) == "no"


@pytest.mark.parametrize(
    "key, value",
    [
        (SERVER, "maybe"),
        (SERVER, 2),
        (SERVER, None),
        (PORT, 0),
        (PORT, 65536),
        (PORT, -1),
        (PORT, "abc"),
        (PORT, "8002.0"),
        (PORT, 8002.0),
        (PORT, True),
        (ADDRESS, "10.20.0.256"),
        (ADDRESS, "10.20.0"),
        (ADDRESS, "10.20.0.011"),
        (ADDRESS, "fe80::1"),
        (ADDRESS, "a b"),
        (ADDRESS, "-eth0"),
        (ADDRESS, True),
        (ADDRESS, None),
        (ADDRESS, ["10.20.0.1"]),
        (HOSTS, ""),
        (HOSTS, "^a$ "),
        (HOSTS, "^a$  ^b$"),
        ("xend-relocation-server-ssl-key-file", ""),
        ("xend-relocation-server-ssl-key-file", "a\nb"),
        ("console-limit", 1.5),
        ("console-limit", None),
        ("console-limit", "many"),
        ("console-limit", True),
        ("xend-http-server", "maybe"),
        ("xend-http-server", ""),
        ("keymap", 1.5),
        ("keymap", None),
        ("keymap", {"a": 1}),
    ],
)
def test_bad_values_are_refused_naming_key_and_value(key, value):
    with pytest.raises(ValueError) as caught:
        options.written(key, value, import_module)
    assert key in str(caught.value)
    assert repr(value).strip("u'") in str(caught.value) or str(value) in str(caught.value)


@pytest.mark.parametrize(
    "key, value, text",
    [
        (PORT, 8002, "8002"),
        (PORT, "8002", "8002"),
        (ADDRESS, "10.20.0.11", "10.20.0.11"),
        (ADDRESS, "", ""),
        (ADDRESS, "xenbr0", "xenbr0"),
        (ADDRESS, "eth0:1", "eth0:1"),
        (ADDRESS, "xen1.example.com", "xen1.example.com"),
        (HOSTS, r"^10\.20\.0\.12$ ^a$", r"^10\.20\.0\.12$ ^a$"),
        ("console-limit", 1024, "1024"),
        ("dom0-cpus", "0", "0"),
        ("keymap", "en-us", "en-us"),
        ("keymap", 7, "7"),
    ],
)
def test_good_values_are_written(key, value, text):
    assert options.written(key, value, import_module) == text


def test_an_open_door_is_a_conflict():
    values = dict(options.effective({}.get)[0], server=True)
    assert any("admits everybody" in text for text in options.conflicts(values))
    assert options.conflicts(dict(values, hosts_allow="^a$")) == []
    assert options.conflicts(dict(values, server=False)) == []


def test_ssl_without_key_or_certificate_is_a_conflict():
    values = dict(options.effective({}.get)[0], ssl_server=True, hosts_allow="^a$")
    assert len(options.conflicts(values)) == 2
    assert options.conflicts(dict(values, ssl_key_file="k", ssl_cert_file="c")) == []


def test_listeners():
    values = dict(options.effective({}.get)[0], server=True, address="10.20.0.11")
    assert options.listeners(values) == [("10.20.0.11", 8002)]
    assert options.listeners(dict(values, ssl_server=True))[1] == ("10.20.0.11", 8003)
    assert options.listeners(dict(values, server=False)) == []


def test_unknown_setting_names_are_refused():
    with pytest.raises(ValueError) as caught:
        options.key_of("ports")
    assert "ports" in str(caught.value) and "hosts_allow" in str(caught.value)


def test_one_port_for_both_servers_is_a_conflict():
    values = dict(
        options.effective({}.get)[0],
        server=True,
        ssl_server=True,
        hosts_allow="^a$",
        ssl_key_file="k",
        ssl_cert_file="c",
    )
    assert options.conflicts(values) == []
    (text,) = options.conflicts(dict(values, ssl_port=8002))
    assert "8002" in text
    assert options.conflicts(dict(values, ssl_port=8002, server=False)) == []


def test_from_3_3_on_xend_reads_the_settings_of_tls_and_compiles_the_list_in_any_case():
    """As listenRelocation in relocate.py of xend 3.2 and 3.3 does."""
    values = {"server": False, "ssl_server": True}
    of_tls = ["xend-relocation-ssl-server", "xend-relocation-ssl-port", "xend-relocation-hosts-allow"]
    before, since = options.read_at_start(values, (3, 2)), options.read_at_start(values, (3, 3))
    assert [key for key in of_tls if key in before] == []
    assert [key for key in of_tls if key in since] == of_tls


@pytest.mark.parametrize(
    "values, ports",
    [
        ({}, []),
        ({"xend-http-server": b"yes"}, [8000]),
        ({"xend-http-server": b"yes", "xend-port": b"8080"}, [8080]),
        ({"xend-http-server": b"no", "xend-port": b"8080"}, []),
        ({"xend-tcp-xmlrpc-server": b"1"}, [8006]),
        ({"xen-api-server": [[b"9363", b"pam"], [b"10.0.0.1:9364"], [b"unix"], b"x", []]}, [9363, 9364]),
        ({"xen-api-server": [[[b"9363"]]]}, []),
        # A wrong value is none, and a port that relocation has, or would have, is never one of the others.
        ({"xend-http-server": b"maybe"}, []),
        ({"xend-http-server": b"yes", "xend-port": b"eight"}, [8000]),
        ({"xend-http-server": b"yes", "xend-port": b"8002"}, []),
        ({"xend-http-server": b"yes", "xend-relocation-port": b"8000"}, []),
        ({"xend-tcp-xmlrpc-server": b"yes", "xend-relocation-ssl-port": b"8006"}, []),
    ],
)
def test_ports_that_are_not_for_relocation(values, ports):
    assert options.other_ports(values.get) == set(ports)
