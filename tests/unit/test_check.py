"""What ``xend.check`` finds in small files: one rule at a time. Also runs under Python 2.7."""

import importlib

import pytest

import xend_check
import xend_options

SERVER = "xend-relocation-server"
PORT = "xend-relocation-port"
ADDRESS = "xend-relocation-address"
HOSTS = "xend-relocation-hosts-allow"
KEY_FILE = "xend-relocation-server-ssl-key-file"
CERT_FILE = "xend-relocation-server-ssl-cert-file"
GUARDED = (
    b"(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^10\\\\.20\\\\.0\\\\.12$')\n"
)


def check(data, **options):
    return xend_check.findings(data, importlib.import_module, **options)


def only(data, **options):
    """The single finding in a file; in order to compare the rest of it with nothing."""
    found = check(data, **options)
    assert len(found) == 1, found
    return found[0]


def brief(finding):
    return finding["severity"], finding["key"], finding["line"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"# nothing but a comment",
        GUARDED,
        b"(xend-relocation-hosts-allow '^localhost$ ^localhost\\\\.localdomain$')\n",
        b"(xend-relocation-server no)\n(xend-relocation-hosts-allow '')\n",
        b"(network-script )\n(xen-api-server ((9363 none) (unix none)))\n",
        b"(a-key-of-our-own 1)\n(a-key-of-our-own 2 3)\n",
        b"(vncpasswd '')\n(dom0-min-mem 196)\n(enable-dom0-ballooning yes)\n",
        GUARDED + b"(xend-relocation-address eth0:1)\n",
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(data):
    assert check(data) == []


def test_every_finding_has_the_same_shape_and_they_are_in_file_order():
    found = check(b"stray\n(xend-relocation-port abc)\n(xend-relocation-server yes)\n(a 'x\\.y')\n")
    assert len(found) == 4
    for finding in found:
        assert sorted(finding) == ["fix", "key", "line", "message", "severity"]
        assert finding["severity"] in ("error", "warning", "info")
        assert finding["message"] and finding["fix"] and "\n" not in finding["message"]
    assert [finding["line"] for finding in found] == [1, 2, 3, 4]


def test_a_file_that_xend_cannot_read():
    finding = only(b"(xend-relocation-server yes)\n(xend-relocation-port 8002))\n")
    assert brief(finding) == ("error", None, 2)
    assert "line 2, column 28" in finding["message"] and "syntax error" in finding["message"]


def test_a_list_that_xend_drops():
    finding = only(b"(a b)\n(xend-relocation-port 8010")
    assert brief(finding) == ("error", None, 2) and "never closed" in finding["message"]


def test_text_after_which_xend_stops_reading():
    finding = only(b"(a b)\n\x04\n(xend-relocation-port abc)\n")
    assert brief(finding) == ("error", None, 2) and "byte 4" in finding["message"]


def test_stray_text_is_one_finding():
    finding = only(b"; lisp comment\n(a b)\nxend-relocation-server=yes\n")
    assert brief(finding) == ("warning", None, 1)
    assert "lines 1, 3" in finding["message"] and "lisp" in finding["message"]


def test_a_setting_inside_another_list():
    finding = only(b"(vncpasswd ''\n(xend-relocation-port 8010))\n")
    assert brief(finding) == ("error", PORT, 1) and "vncpasswd" in finding["message"]
    assert [row["key"] for row in check(b"((" + b"(xend-relocation-server yes)))")] == [SERVER]


@pytest.mark.parametrize(
    "data, key, severity",
    [
        (b"(xend-relocation-hosts-allow '^xen1\\.example$')", HOSTS, "error"),
        (b"(vncpasswd 'a\\d')", "vncpasswd", "warning"),
    ],
)
def test_escapes_that_xend_drops(data, key, severity):
    finding = check(data)[0]
    assert brief(finding) == (severity, key, 1)
    assert "\\" in finding["message"] and "\\\\" in finding["fix"]


def test_escapes_of_one_value_are_one_finding():
    found = check(b"(xend-relocation-hosts-allow '^10\\.20\\.0\\.12$')")
    assert len([row for row in found if "know the escape" in row["message"]]) == 1


def test_a_backslash_too_many():
    finding = check(b"(xend-relocation-hosts-allow '^10\\\\\\\\.20$')")[0]
    assert finding["key"] == HOSTS and "backslash" in finding["message"]


@pytest.mark.parametrize(
    "key, meant",
    [
        ("xend-relocation-hosts-allow-", HOSTS),
        ("xend_relocation_hosts_allow", HOSTS),
        ("XEND-RELOCATION-SERVER", SERVER),
        ("Xend-Relocation-Port", PORT),
        ("xend-relocation-host-allow", HOSTS),
        ("xend-relocation-hosts-alow", HOSTS),
        ("xend-relocation-hosts-allows", HOSTS),
        ("xend-relocatoin-port", PORT),
        ("xend-relocation-prot", PORT),
        ("relocation-server", SERVER),
        ("!xend-relocation-address", ADDRESS),
        ("network_script", "network-script"),
        ("dom0-vcpus", "dom0-cpus"),
    ],
)
def test_slips_of_the_pen(key, meant):
    finding = only(("(%s yes)\n" % key).encode("ascii"))
    relocation = meant.startswith("xend-relocation")
    assert brief(finding) == ("error" if relocation else "warning", key, 1)
    assert finding["fix"] == "write %s" % meant


def test_an_unknown_key_of_relocation_is_told_the_known_ones():
    finding = only(b"(xend-relocation-allow-from ^a$)\n")
    assert finding["severity"] == "error" and HOSTS in finding["fix"]


def test_no_known_key_is_a_slip_of_the_pen_for_another():
    for key in sorted(xend_options.known_keys()):
        data = ("(%s x)\n" % key).encode("ascii")
        assert [row for row in check(data) if "knows no key" in row["message"]] == []


def test_duplicates_say_which_line_counts():
    finding = only(b"(dom0-cpus 0)\n(dom0-cpus 1)\n\n(dom0-cpus 2)\n")
    assert brief(finding) == ("warning", "dom0-cpus", 2)
    assert "line 1 counts" in finding["message"] and "lines 2, 4" in finding["message"]


@pytest.mark.parametrize("data", [b"(xend-relocation-port)", b"(xend-relocation-port (@ (a b)) )"])
def test_a_key_without_a_value(data):
    finding = only(data)
    assert brief(finding) == ("warning", PORT, 1) and "8002" in finding["message"]


def test_an_allow_list_without_a_value_admits_everybody():
    finding = only(b"(xend-relocation-hosts-allow )")
    assert brief(finding) == ("warning", HOSTS, 1) and "everybody" in finding["message"]
    finding = only(b"(xend-relocation-server on)\n(xend-relocation-hosts-allow )")
    assert brief(finding) == ("error", HOSTS, 2) and "no value" in finding["message"]


def test_only_the_first_of_several_values_counts():
    finding = only(b"(vif-script vif-bridge bridge=eth2)\n")
    assert brief(finding) == ("warning", "vif-script", 1) and "2 values" in finding["message"]
    assert check(b"(vif-script (@ (a b)) vif-bridge)\n") == []


@pytest.mark.parametrize(
    "data, key, severity",
    [
        (b"(xend-relocation-server maybe)", SERVER, "error"),
        (b"(xend-unix-server maybe)", "xend-unix-server", "error"),
        (GUARDED + b"(xend-relocation-port abc)", PORT, "error"),
        (b"(xend-relocation-port abc)", PORT, "warning"),
        (b"(xend-relocation-hosts-allow (^a$))", HOSTS, "error"),
        (GUARDED + b"(xend-relocation-address (10.0.0.1))", ADDRESS, "error"),
        (b"(dom0-min-mem plenty)", "dom0-min-mem", "error"),
        (b"(xend-relocation-server '\xc3\xa9')", SERVER, "error"),
    ],
)
def test_values_of_the_wrong_kind(data, key, severity):
    finding = only(data)
    assert brief(finding)[:2] == (severity, key)
    assert ("does not start" in finding["message"]) == (
        severity == "error" and key != "dom0-min-mem"
    )


@pytest.mark.parametrize(
    "port, severity", [(b"0", "warning"), (b"-1", "error"), (b"70000", "error")]
)
def test_ports_out_of_range(port, severity):
    finding = only(GUARDED + b"(xend-relocation-port " + port + b")")
    assert brief(finding) == (severity, PORT, 3) and "65535" in finding["fix"]


@pytest.mark.parametrize("address", [b"10.20.0.300", b"fe80::1", b"'a b'", b"10.20.0"])
def test_addresses_that_are_none(address):
    data = b"(xend-relocation-address " + address + b")"
    assert brief(only(GUARDED + data)) == ("error", ADDRESS, 3)
    assert brief(only(data)) == ("warning", ADDRESS, 1)


def test_an_address_of_another_host():
    data = GUARDED + b"(xend-relocation-address 10.20.0.11)"
    assert check(data) == [] == check(data, is_local=lambda address: address == "10.20.0.11")
    finding = only(data, is_local=lambda address: False)
    assert brief(finding) == ("error", ADDRESS, 3) and "10.20.0.11" in finding["message"]


TLS = (
    b"(xend-relocation-ssl-server yes)\n(xend-relocation-hosts-allow '^10\\\\.20\\\\.0\\\\.12$')\n"
)


def test_ssl_without_its_files():
    found = check(TLS)
    assert [brief(row) for row in found] == [("error", KEY_FILE, 1), ("error", CERT_FILE, 1)]


def test_ssl_with_files_that_do_not_exist():
    data = TLS + b"(%s relocation.key)\n(%s /srv/relocation.crt)\n"
    data = data.replace(b"%s", KEY_FILE.encode("ascii"), 1)
    data = data.replace(b"%s", CERT_FILE.encode("ascii"), 1)
    asked = []
    assert check(data, exists=lambda path: asked.append(path) or True) == []
    assert asked == ["/etc/xen/relocation.key", "/srv/relocation.crt"]
    finding = only(data, exists=lambda path: path.startswith("/srv"))
    assert brief(finding) == ("error", KEY_FILE, 3)
    assert "/etc/xen/relocation.key" in finding["message"]


@pytest.mark.parametrize(
    "data, line",
    [
        (b"(xend-relocation-server yes)", 1),
        (b"\n(xend-relocation-server yes)\n(xend-relocation-hosts-allow '')", 3),
        (b"(xend-relocation-ssl-server yes)\n", 1),
    ],
)
def test_a_server_that_admits_everybody(data, line):
    found = [row for row in check(data) if "everybody" in row["message"]]
    assert [brief(row) for row in found] == [("error", HOSTS, line)]


@pytest.mark.parametrize(
    "value, severity, said",
    [
        (b"^10\\\\.20\\\\.0\\\\.12", "warning", "open at the end"),
        (b"^a.b$", "warning", "dot"),
        (b"^a$ ", "error", "everybody"),
        (b"10.20.0.0/24", "error", "networks"),
        (b"^(a$", "error", "does not start"),
        (b"^xen2\\\\.example\\\\.com$", "info", "reverse DNS"),
    ],
)
def test_patterns_that_are_not_what_they_look_like(value, severity, said):
    found = check(b"(xend-relocation-hosts-allow '" + value + b"')")
    assert [row for row in found if row["severity"] == severity and said in row["message"]]
    assert set(row["key"] for row in found) == set([HOSTS])


@pytest.mark.parametrize(
    "version, keys",
    [
        (None, []),
        ((4, 4), []),
        ((3, 3), []),
        ((3, 2), ["xend-relocation-ssl"]),
        ((3, 0), ["xend-relocation-ssl"]),
        ((3, 0, 2), ["xend-relocation-ssl", HOSTS]),
    ],
)
def test_keys_that_a_version_does_not_know(version, keys):
    data = b"(xend-relocation-ssl yes)\n(xend-relocation-hosts-allow '^localhost$')\n"
    found = check(data, version=version)
    assert [row["key"] for row in found] == keys
    assert all(row["severity"] == "warning" for row in found)


def test_what_an_older_version_reads_otherwise():
    data = b"(xend-relocation-address a!b)\n"
    assert check(data, version=(4, 0)) == check(data)
    older = [row for row in check(data, version=(3, 4)) if row not in check(data)]
    assert [brief(row) for row in older] == [("error", ADDRESS, 1)]
    found = check(b"(vncpasswd 'a\\d')\n", version=(3, 0, 3))
    assert [row for row in found if "3.0.3 does not start" in row["message"]]


def test_a_huge_value_does_not_make_a_huge_message():
    finding = only(b"(xend-relocation-server '" + b"x" * 1000000 + b"')")
    assert len(finding["message"]) < 600 and SERVER in finding["message"]
