"""
The relocation settings against what the real xends read from each file (tests/data), setting by setting,
whether they start, on what they listen and whom they admit. The forms are compared in test_sxp_corpus.py.
"""

from collections import Counter

import pytest

import xend_allow
import xend_options
from tests import ground_truth
from xend_sxp import ParseError, parse

VERSIONS = {"3.0.3": (3, 0, 3), "3.4": (3, 4), "4.4": (4, 4)}
HOSTS = "xend-relocation-hosts-allow"
NAMES = {row[1]: row[0] for row in xend_options.settings()}


def as_bytes(value):
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    return value.encode("latin-1") if isinstance(value, str) else value


def as_text(value):
    return xend_options.text_of(value.encode("latin-1")) if isinstance(value, str) else value


def since(row):
    return tuple(int(part) for part in row[4].split("."))


class Reading:
    """What the project makes of one file."""

    def __init__(self, data, version):
        self.document = parse(data, version)
        ignored = [row[1] for row in xend_options.settings() if since(row) > VERSIONS[version]]
        self.values, self.defaults, self.errors = xend_options.effective(
            lambda key: None if key in ignored else self.document.get(key)
        )
        raw = self.document.get(HOSTS)
        self.patterns = (
            "" if raw is None else raw if isinstance(raw, list) else raw.decode("latin-1")
        )
        reasons = xend_options.unreadable(self.document.get)
        self.values["unix"] = reasons.get("xend-unix-server") is None and xend_options.value_of(
            "xend-unix-server", self.document.get("xend-unix-server") or b"no"
        )
        if "xend-unix-server" in reasons:
            self.errors["unix"] = reasons["xend-unix-server"]
        start = xend_options.read_at_start(self.values, VERSIONS[version])
        self.starts = not any(key in start for key in reasons)
        if HOSTS in start and not isinstance(raw, list) and xend_allow.broken(self.patterns):
            self.starts = False
        # From 4.2 on an empty name is the folder /etc/xen, which is there when xend looks.
        missing = (None,) if version == "4.4" else (None, "")
        for name in ("ssl_key_file", "ssl_cert_file"):
            if xend_options.key_of(name) in start and self.values.get(name) in missing:
                self.starts = False


def setting_problem(reading, key, record, version):
    """What differs in one setting, or None."""
    name = NAMES.get(key, "unix")
    if reading.document.get(key) != as_bytes(record["raw"]):
        return f"raw: {reading.document.get(key)}"
    value, error = reading.values.get(name), reading.errors.get(name)
    wanted = record["value"]
    if isinstance(wanted, dict) and wanted["error"]["class"] == "XendError":
        return None if error == as_text(wanted["error"]["message"]) else f"error: {error}"
    if isinstance(wanted, list):
        # The getter hands a list on, and what wanted text fails on it.
        return None if error else "no error for a list"
    if isinstance(wanted, dict):
        # xend 4.4 looks for the folder in the name of a file before there is one.
        wanted = None
    elif name.endswith("_file") and version == "4.4" and value is not None:
        value = xend_options.ssl_file(value)
    return None if (value, error) == (as_text(wanted), None) else f"{value!r}, {error}"


def listener_problem(reading, listen):
    """What differs in whether xend starts and where it listens; the recorder did not bind."""
    found = {kind: listen[kind] for kind in ("tcp", "ssl") if kind in listen}
    starts = listen["ok"] and not any(isinstance(row["interface"], list) for row in found.values())
    if starts != reading.starts:
        return f"starts: {reading.starts}"
    if not starts:
        return None
    ours = xend_options.listeners(reading.values)
    wanted = [(as_text(row["interface"]), row["port"]) for row in found.values()]
    return None if ours == wanted else f"listens on {ours}"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_setting_reads_as_in_xend(version, capsys):
    wrong, counts = [], Counter()
    for config in ground_truth.configs():
        record = config.read_by(version)
        counts["files"] += 1
        try:
            reading = Reading(config.data, version)
        except ParseError:
            assert not record["parse"]["ok"], config.name
            continue
        assert record["parse"]["ok"], config.name
        same_version = record["version"] == version
        for setting, wanted in record["settings"].items():
            if "ssl" in setting and not same_version:
                continue
            counts["settings"] += 1
            problem = setting_problem(reading, setting, wanted, record["version"])
            if problem:
                wrong.append((config.name, setting, problem))
        patterns = record["hosts_allow"]
        counts["allow lists"] += 1
        if isinstance(patterns, dict):
            broken = isinstance(reading.patterns, list) or xend_allow.broken(reading.patterns)
            if not broken:
                wrong.append((config.name, "hosts_allow", "xend could not use it"))
            assert "allowed" not in record
        elif xend_allow.split(reading.patterns) != patterns or xend_allow.broken(reading.patterns):
            wrong.append((config.name, "hosts_allow", reading.patterns))
        if same_version or not reading.values.get("ssl_server"):
            counts["listeners"] += 1
            problem = listener_problem(reading, record["listen"])
            if problem:
                wrong.append((config.name, "listen", problem))
        for peer, allowed in record.get("allowed", {}).items():
            counts["peers"] += 1
            name, _, address = peer.partition("/")
            if xend_allow.admits(reading.patterns, address, name)["accepted"] != allowed:
                wrong.append((config.name, peer, allowed))
    with capsys.disabled():
        compared = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"\ncompared with xend {version}: {compared}; {len(wrong)} differ")
    assert counts["settings"] and not wrong


# What these files lack is not in them: the address of another host, an interface without one, a busy port.
ON_THE_HOST = ("[Errno -2]", "[Errno -9]", "[Errno 98]", "[Errno 99]")


@pytest.mark.parametrize("version", ["3.0.3", "3.4", "4.4"])
def test_real_xends_start_and_listen_as_read(version):
    names = {"127.0.0.1": "localhost", "10.77.0.2": "xen2.example.org"}
    compared = Counter()
    for start in ground_truth.starts(version):
        data = (start["config"] or "").encode("latin-1")
        try:
            reading = Reading(data, version)
        except ParseError as error:
            assert (start["exit"], start["reason"]) == (1, error.message), start["name"]
            compared["unreadable"] += 1
            continue
        listening = xend_options.listeners(reading.values) if reading.starts else []
        if start["exit"] and not reading.starts:
            compared["does not start"] += 1
        elif start["exit"]:
            # The port or the address is one that this host cannot bind to.
            assert "port must be 0-65535" in start["reason"] or start["reason"].startswith(ON_THE_HOST)
            assert listening, start["name"]
            compared["does not bind"] += 1
        else:
            assert reading.starts, start["name"]
            compared["starts"] += 1
            # The system chooses a port where 0 is set.
            if "listeners" in start and start["name"] != "port-0":
                ports = [int(row.split(":")[1]) for row in start["listeners"]]
                assert [port for _address, port in listening] == ports, start["name"]
        for address, admitted in start["admitted"].items():
            verdict = xend_allow.admits(reading.patterns, address, names.get(address, address))
            if version != "4.4":
                # There no address had a name.
                verdict = xend_allow.admits(reading.patterns, address)
            assert verdict["accepted"] == admitted, (start["name"], address)
            compared["peers"] += 1
    assert compared["starts"] and compared["does not start"] and compared["peers"], compared
