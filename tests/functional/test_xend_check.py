"""The function xend.check in Salt's loader: what it asks the host, and what it tells people."""

import os

import pytest
from salt.exceptions import CommandExecutionError

HOSTS = "xend-relocation-hosts-allow"
XM = """#!/bin/sh
[ "$1" = info ] && printf 'host : xen1\\nxen_major : 3\\nxen_minor : 2\\nxen_extra : .1\\n'
"""


@pytest.fixture
def xm(tmp_path):
    """An xm command of Xen 3.2 that knows `info`."""
    path = tmp_path / "xm"
    path.write_text(XM)
    path.chmod(0o755)
    return path


def test_nothing_is_found_in_a_good_file(xend):
    assert xend.check() == []


def test_findings_are_what_the_design_says(xend, config):
    config.write_text(
        config.read_text() + "(xend-relocation-port abc)\n(xend-relocation-server yes)\n"
    )
    (finding,) = xend.check()
    assert set(finding) == {"severity", "key", "line", "message", "fix"}
    assert (finding["severity"], finding["key"]) == ("error", "xend-relocation-port")
    lines = config.read_text().splitlines()
    assert lines[finding["line"] - 1] == "(xend-relocation-port abc)"


def test_a_syntax_error_is_a_finding_and_not_an_exception(xend, config):
    config.write_text("(a b)\n(c 'd)\n")
    (finding,) = xend.check()
    assert finding["severity"] == "error" and finding["line"] == 2
    assert "line 2, column 4" in finding["message"]


@pytest.mark.parametrize(
    "prepare", [lambda path: path.unlink(), lambda path: (path.unlink(), path.mkdir())]
)
def test_a_file_that_cannot_be_read_is_an_error(xend, config, prepare):
    prepare(config)
    with pytest.raises(CommandExecutionError) as caught:
        xend.check()
    assert str(config) in str(caught.value)


def test_the_version_comes_from_xm(load, config, xm):
    config.write_text("(xend-relocation-ssl yes)\n")
    check = load(xend={"config": str(config), "xm": str(xm)}).modules.xend.check
    (finding,) = check()
    assert finding["key"] == "xend-relocation-ssl" and "3.2" in finding["message"]
    assert check(version="3.3") == check(version=3.3) == []


def test_without_xm_nothing_is_said_of_versions(load, config):
    config.write_text("(xend-relocation-ssl yes)\n")
    check = load(xend={"config": str(config), "xm": "/nonexistent/xm"}).modules.xend.check
    assert check() == []
    assert len(check(version="3.2")) == 1


@pytest.mark.parametrize("version", ["new", ""])
def test_a_version_that_is_none_is_refused(xend, version):
    with pytest.raises(CommandExecutionError) as caught:
        xend.check(version=version)
    assert "3.0.3" in str(caught.value)


def test_the_host_is_asked_for_its_addresses_and_files(xend, config, tmp_path):
    key = tmp_path / "relocation.key"
    key.write_text("")
    common = f"(xend-relocation-ssl-server yes)\n({HOSTS} '^10\\\\.20\\\\.0\\\\.12$')\n"
    files = "(xend-relocation-server-ssl-key-file %s)\n(xend-relocation-server-ssl-cert-file %s)\n"
    config.write_text(common + files % (key, key) + "(xend-relocation-address 127.0.0.1)\n")
    assert xend.check() == []
    missing = tmp_path / "missing.crt"
    # An address for documentation, which no host has (RFC 5737).
    config.write_text(common + files % (key, missing) + "(xend-relocation-address 192.0.2.1)\n")
    assert [row["key"] for row in xend.check()] == [
        "xend-relocation-server-ssl-cert-file",
        "xend-relocation-address",
    ]


def test_the_file_is_only_read(xend, config):
    os.utime(config, (1, 1))
    before = os.stat(config)
    xend.check()
    assert os.stat(config).st_mtime == before.st_mtime
    assert os.listdir(config.parent).count(config.name) == 1
