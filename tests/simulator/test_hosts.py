"""The lab judged by what real xends read, printed and logged (tests/data), and by guests' memory.

Here: the simulated fleet alone. Nothing here runs the product.
"""

import errno
import os
import re
import resource
import select
import signal
import socket
import subprocess
import xmlrpc.client
from pathlib import Path

import pytest

from tests import ground_truth
from tests.lab import memory, options, sxp
from tests.lab.fleet import Fleet, HostSpec
from tests.lab.layout import process_start
from tests.simulator.acts import (
    DEPRECATED,
    LIMIT_S,
    LIST_HEADER,
    calm,
    finish,
    rows,
    start_held,
    suspended_sha256,
    until,
)

PORT = 8002


def recorded():
    """(name of the file, its bytes, one version's record) of everything that was recorded."""
    return [
        (config.name, config.data, record)
        for config in ground_truth.configs()
        for record in config.records.values()
    ]


def read_forms(data, version):
    try:
        return {"ok": True, "forms": sxp.decode(sxp.parse(data, version))}
    except sxp.ParseError as error:
        found = {"class": error.kind, "message": error.message}
        if error.kind == "ParseError":
            found.update(line=error.line, char=error.char)
        return {"ok": False, "error": found}


def value_or_error(read):
    try:
        return read()
    except options.OptionError as error:
        return {"error": {"class": error.kind, "message": error.message}}


def test_reader_agrees_with_every_real_parser():
    cases = recorded()
    assert len(cases) > 180
    for name, data, record in cases:
        expected = {key: value for key, value in record["parse"].items() if key != "none"}
        assert read_forms(data, record["version"]) == expected, name


def test_options_agree_with_every_real_getter():
    compared = 0
    for name, data, record in recorded():
        if not record["parse"]["ok"]:
            continue
        config = options.Options(data, record["version"])
        for key, setting in record["settings"].items():
            assert config.raw(key) == setting["raw"], (name, key)
            assert value_or_error(lambda: config.get(key)) == setting["value"], (name, key)
            compared += 1
        patterns = value_or_error(config.hosts_allow)
        if isinstance(patterns, list):
            # Recorded are the texts that were compiled, before Python 2's meaning is applied.
            assert config.get("xend-relocation-hosts-allow").split(" ") == record["hosts_allow"]
        else:
            assert patterns == record["hosts_allow"], name
        for peer, admitted in record.get("allowed", {}).items():
            if isinstance(patterns, dict):
                continue
            peer_name, address = peer.split("/")
            assert options.admitted(patterns, peer_name, address) == admitted, (name, peer)
    assert compared > 1000


def test_listening_plan_agrees_with_the_real_listener():
    for name, data, record in recorded():
        expected = record.get("listen")
        if expected is None:
            continue
        found = value_or_error(options.Options(data, record["version"]).listen)
        if expected["ok"]:
            assert set(found) == {"tcp", "ssl"} & set(expected), name
            for kind, (port, interface, *_rest) in found.items():
                assert port == expected[kind]["port"], name
                assert interface == expected[kind]["interface"], name
        else:
            assert found == {"error": expected["error"]}, name


# Who asked there, by name; elsewhere a peer is called by its address.
PEERS = {"127.0.0.1": "localhost", "10.77.0.2": "xen2.example.org"}
# Which addresses and ports a host can bind to is none of its file.
BINDING = re.compile(r"\[Errno -?\d+\] |getsockaddrarg: ")


@pytest.mark.parametrize("version, release", [("3.0.3",) * 2, ("3.1",) * 2, ("3.4",) * 2, ("4.4",) * 2])
def test_starts_with_what_real_xends_started_with(version, release):
    for start in ground_truth.starts(version):
        config = (start["config"] or "").encode("latin-1")
        forms = read_forms(config, release)
        if not forms["ok"]:
            assert forms["error"]["message"] == start["reason"], start["name"]
            continue
        config = options.Options(config, release)
        plan = value_or_error(config.listen)
        if start["exit"] and not BINDING.match(start["reason"]):
            assert plan["error"]["message"] == start["reason"], start["name"]
            continue
        assert "error" not in plan, start["name"]
        if "listeners" in start and not start["exit"]:
            assert len(plan) == len(start["listeners"]), start["name"]
        patterns = config.hosts_allow()
        for address, admitted in start["admitted"].items():
            name = PEERS.get(address, address) if version == "4.4" else address
            assert options.admitted(patterns, name, address) == admitted, (start["name"], address)


def test_patterns_mean_what_they_meant_in_python_2():
    assert options.compile_pattern(r"^localhost\localdomain$").match("localhostlocaldomain")
    assert options.compile_pattern(r"^[\d[]+$").match("1[")
    assert options.compile_pattern(r"^n(?iL)ODE2$").match("node2")
    assert options.compile_pattern(r"^\541\012$").match("a\n")
    for pattern, message in (
        ("^(x$", "unbalanced parenthesis"),
        ("*", "nothing to repeat"),
        ("[a", "unexpected end of regular expression"),
        ("a++", "multiple repeat"),
        (r"^a\77", r"bogus escape: '\\77'"),
        ("a\\", "bogus escape (end of line)"),
        ("(?i:a)", "unknown extension"),
        ("(?>a)", "unexpected end of pattern"),
        ("(?P>a)", "unknown specifier: ?P>"),
        ("(?<a)", "syntax error"),
        ("a{2,1}", "bad repeat interval"),
        ("a{99999999999}", "the repetition number is too large"),
    ):
        with pytest.raises(options.OptionError) as raised:
            options.compile_pattern(pattern)
        assert raised.value.message == message


# ---------------------------------------------------------------------------------------------
# the running fleet


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.03),
        HostSpec("xen2", time_scale=0.05),
        HostSpec("old1", version="3.0.3", time_scale=0.03),
        HostSpec("mid1", version="3.4.0", time_scale=0.03, reverse=None),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    """The fleet's hosts, quiet: no guests, no faults, good configuration, xend running."""
    configs = {host.name: host.config.read_bytes() for host in fleet}
    yield fleet
    for host in fleet:
        if host.config.read_bytes() != configs[host.name]:
            host.config.write_bytes(configs[host.name])
            assert host.restart().returncode == 0
    calm(*fleet)


def reconfigure(host, text):
    host.config.write_text(text)
    return host.restart()


def ask_for_help(host, port=PORT, source=None):
    """All that comes back from the relocation port when `(help)` is all that is said."""
    with socket.socket() as connection:
        if source:
            connection.bind((source, 0))
        until(lambda: connection.connect_ex((host.address, port)) == 0)
        connection.settimeout(LIMIT_S)
        answer = b""
        try:
            connection.sendall(b"(help)\n")
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(4096):
                answer += piece
        except OSError as error:
            assert is_reset(error) and answer == b""
        return answer


def is_reset(error):
    """Whether a peer that hangs up makes any step fail in this way."""
    return error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


HELP = b"(ok (help quit receive sslreceive))\n"
CONVERSATIONS = [
    (host, real)
    for host, version in (("xen1", "4.4"), ("mid1", "3.4"), ("old1", "3.0.3"))
    for real in ground_truth.conversations(version)
]


def converse(host, real, port=PORT):
    """
    Say what was said to a real xend, and hear what it answered: (steps, rest, end) as they were recorded.

    Each answer is waited for until it is as long as the real one's; what goes beyond it is in the end's.
    """
    steps, rest = [], b""
    with socket.socket() as connection:
        until(lambda: connection.connect_ex((host.address, port)) == 0)
        connection.settimeout(LIMIT_S)
        try:
            for words, answer in real["steps"]:
                connection.sendall(words.encode("latin-1"))
                heard = b""
                while len(heard) < len(answer):
                    piece = connection.recv(4096)
                    assert piece, "closed after %r" % heard
                    heard += piece
                steps.append([words, heard.decode("latin-1")])
            if real["closed"]:
                connection.shutdown(socket.SHUT_WR)
            elif real["end"] == "open":
                # It does not end by itself, as far as one can see.
                assert select.select([connection], [], [], 0.05)[0] == []
                return steps, "", "open"
            while True:
                piece = connection.recv(4096)
                if not piece:
                    return steps, rest.decode("latin-1"), "EOF"
                rest += piece
        except OSError as error:
            assert is_reset(error)
            return steps, rest.decode("latin-1"), "reset"


@pytest.mark.parametrize(
    "name, real", CONVERSATIONS, ids=["%s %s" % (name, real["what"]) for name, real in CONVERSATIONS]
)
def test_relocation_conversation(hosts, name, real):
    assert converse(hosts[name], real) == (real["steps"], real["rest"], real["end"])
    if "not a valid guest state file" in str(real):
        until(lambda: "Restore failed" in hosts[name].log.read_text())


REFUSING = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^xen1$')\n"


def rejections(version, name):
    """What a real xend of that version logged of peers that it did not admit when started with that file."""
    (start,) = [start for start in ground_truth.starts(version) if start["name"] == name]
    return start["log"]


@pytest.mark.parametrize(
    "name, real",
    [
        ("xen2", rejections("4.4", "hosts-allow-single-backslash-hostname")[0]),
        ("mid1", rejections("3.4", "hosts-allow 127.0.0.9 only")[0]),
        ("old1", rejections("3.0.3", "hosts-allow 127.0.0.9 only")[0]),
    ],
    ids=["4.4", "3.4", "3.0.3"],
)
def test_refused_peers_get_no_word(hosts, name, real):
    host = hosts[name]
    assert reconfigure(host, REFUSING).returncode == 0
    for conversation in ground_truth.conversations("4.4-refused"):
        steps, rest, end = converse(host, conversation)
        assert rest == conversation["rest"] == "" and not any(answer for _words, answer in steps)
        # What was sent and not read when xend closes the connection, resets it.
        assert end == conversation["end"] or conversation["steps"]
    # On the real hosts of old 127.0.0.1 had no name, and its port was another.
    text = re.escape(real[real.index("Rejected") :].replace("(127.0.0.1)", "(localhost)"))
    assert re.search(r"WARNING \(\w+:\d+\) " + text.replace(":40000", r":\d+"), host.log.read_text())


def test_peers_are_known_by_the_fleets_names(hosts):
    target = hosts["xen2"]
    for allowed, peer, answers in (
        (r"^xen1\\.lab\\.example$", "xen1", True),
        (r"^xen1$", "xen1", False),
        # mid1's address has no name, so that it is its own.
        (r"^mid1", "mid1", False),
    ):
        text = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '%s')\n"
        assert reconfigure(target, text % allowed).returncode == 0
        said = ask_for_help(target, source=hosts[peer].address)
        assert said == (HELP if answers else b""), allowed


# ---------------------------------------------------------------------------------------------
# xm


REAL_LIST = ground_truth.commands("xm/list")[0].stdout.splitlines(True)
OLD_LIST_HEADER = "Name                                      ID Mem(MiB) VCPUs State   Time(s)\n"


def test_list_columns(hosts):
    hosts["xen1"].create_guest("web01", paused=True)
    result = hosts["xen1"].xm_run("list")
    assert (result.returncode, result.stderr) == (0, DEPRECATED)
    header, dom0, guest = result.stdout.splitlines(True)
    assert header == LIST_HEADER == REAL_LIST[0]
    assert re.fullmatch(r"Domain-0 {37}0  1024     1     r----- {4}[ \d]\d\d\.\d\n", dom0)
    assert re.fullmatch(r"web01 {36} *\d+    96     1     --p---      0\.0\n", guest)
    assert len(guest) == len(REAL_LIST[2])


def test_list_of_old_versions(hosts):
    result = hosts["old1"].xm_run("list")
    assert (result.returncode, result.stderr) == (0, "")
    header, dom0 = result.stdout.splitlines(True)
    assert header == OLD_LIST_HEADER
    assert re.fullmatch(r"Domain-0 {35}0     1024     1 r----- +\d+\.\d\n", dom0)


def test_list_is_sorted_by_name_dom0_too(hosts):
    for name in ("b", "a", "Alpha"):
        hosts["xen1"].create_guest(name)
    lines = hosts["xen1"].xm_run("list").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["Alpha", "Domain-0", "a", "b"]


def test_long_list_can_be_read_back(hosts):
    guest = hosts["xen1"].create_guest(
        "web01", disks=["phy:/dev/vg0/web01,xvda,w"], vifs=["bridge=xenbr0"], vcpus=2
    )
    result = hosts["xen1"].xm_run("list", "--long", "web01")
    (form,) = sxp.decode(sxp.parse(result.stdout.encode()))
    assert form[0] == "domain"
    assert sxp.child_value(form, "uuid") == guest.uuid
    assert sxp.child_value(form, "vcpus") == "2"
    kinds = [item[1][0] for item in form[1:] if item[0] == "device"]
    assert kinds == ["vif", "vbd", "console"]
    assert result.stdout.startswith("(domain\n    (domid %d)\n    (cpu_weight 256)\n" % guest.domid)
    assert result.stdout.endswith("        )\n    )\n)\n")


def test_long_list_is_laid_out_like_the_real_one():
    found = ground_truth.commands("xm/list-long")
    assert len(found) == 2
    for real in found:
        (form,) = sxp.decode(sxp.parse(real.stdout.encode()))
        assert sxp.pretty(form) + "\n" == real.stdout


REAL_TEXTS = [
    command
    for name in ("xm/help", "xm/migrate-usage", "xm/unknown-domain", "xm/usage")
    for command in ground_truth.commands(name)
]
REAL_TEXTS += [
    command
    for command in ground_truth.commands("xm/domid-domname")
    if command.command == "xm domname 0"
]


@pytest.mark.parametrize("real", REAL_TEXTS, ids=lambda real: real.command)
def test_texts_are_those_of_the_real_xm(hosts, real):
    hosts["xen1"].create_guest("tiny")
    result = hosts["xen1"].xm_run(*real.command.split()[1:])
    assert (result.returncode, result.stdout, result.stderr) == (real.code, real.stdout, real.stderr)


def labels(text):
    return [line.partition(":")[0] for line in text.splitlines()]


def test_info(hosts):
    hosts["xen1"].create_guest("web01", memory_mib=96)
    (real,) = ground_truth.commands("xm/info")
    said = hosts["xen1"].xm_run("info").stdout
    assert labels(said) == labels(real.stdout)
    lines = said.splitlines()
    assert lines[0] == "host                   : xen1"
    info = dict(line.split(":", 1) for line in lines)
    info = {key.strip(): value.strip() for key, value in info.items()}
    assert (info["total_memory"], info["free_memory"]) == ("2047", "902")
    assert (info["xen_major"], info["xen_minor"]) == ("4", "4")
    # xend's own answer has the same and a few things more, which xm does not print.
    (answer,), _method = xmlrpc.client.loads(ground_truth.transcript("xmlrpc/node-info", "xml"))
    assert set(info) == {key for key, _value in answer} - {"system", "cpu_topology", "numa_info"}


def test_a_description_has_the_keys_of_a_real_one(hosts):
    hosts["xen1"].create_guest("web01")
    result = hosts["xen1"].xm_run("list", "--long", "web01")
    (form,) = sxp.decode(sxp.parse(result.stdout.encode()))
    (real,) = sxp.decode(sxp.parse(ground_truth.commands("xm/list-long")[0].stdout.encode()))
    found, real = ([item[0] for item in one[1:]] for one in (form, real))
    assert [key for key in found if key in real] == [key for key in real if key in found]
    assert set(real) - set(found) <= {"store_mfn", "console_mfn"}
    (answer,), _method = xmlrpc.client.loads(ground_truth.transcript("xmlrpc/domains-with-state", "xml"))
    assert {item[0] for item in answer[1][1:]} <= set(found)


def test_info_of_the_configuration_is_the_files(hosts):
    host = hosts["xen1"]
    host.config.write_text(host.config.read_text().replace("8002", "8055"))
    result = host.xm_run("info", "-c")
    assert "xend-relocation-port                  : 8055\n" in result.stdout
    assert [PORT] == sorted({port for _address, port in host.listening})


def test_uptime_and_vcpu_list(hosts):
    domid = hosts["xen1"].create_guest("web01").domid
    header, dom0, guest = hosts["xen1"].xm_run("uptime").stdout.splitlines()
    real = ground_truth.commands("xm/uptime")[0].stdout.splitlines()
    assert header == real[0]
    assert re.fullmatch(r"web01 +%d  0:00:0\d" % domid, guest)
    assert len(guest) == len(real[2])
    # As long as the machine.
    assert dom0 == "Domain-0                             0 1 day,  0:00:00"
    header = hosts["xen1"].xm_run("vcpu-list").stdout.splitlines()[0]
    assert header == ground_truth.commands("xm/vcpu-list")[0].stdout.splitlines()[0]


def test_pause_rename_destroy_create(hosts, tmp_path):
    host = hosts["xen1"]
    host.create_guest("web01")
    assert host.xm_run("pause", "web01").returncode == 0
    assert host.guests()["web01"].state == "paused"
    assert host.xm_run("unpause", "web01").returncode == 0
    assert host.guests()["web01"].alive
    assert host.xm_run("rename", "web01", "web02").returncode == 0
    assert host.guests()["web02"].xend_name == "web02"
    assert host.xm_run("destroy", "web02").returncode == 0
    assert host.guests() == {}
    config = tmp_path / "db.cfg"
    config.write_text("name = 'db'\nmemory = 128\ndisk = ['file:/srv/db.img,xvda,w']\n")
    result = host.xm_run("create", "-p", config)
    assert re.fullmatch(
        'Using config file "%s".\nStarted domain db \\(id=\\d+\\)\n' % config, result.stdout
    )
    assert host.guests()["db"].state == "paused"
    again = host.xm_run("create", config)
    assert again.returncode == 1
    assert "Error: VM name 'db' already exists as domain" in again.stderr


def test_xm_starts_fast(hosts):
    hosts["xen1"].xm_run("list")

    def work_s():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    began_s = work_s()
    for _call in range(5):
        assert hosts["xen1"].xm_run("list").returncode == 0
    assert (work_s() - began_s) / 5 < 0.2


# ---------------------------------------------------------------------------------------------
# migration


@pytest.mark.parametrize(
    "arguments",
    [
        ["--live", "{name}", "xen2"],
        ["{name}", "{address}"],
        ["-l", "{name}", "xen2.lab.example"],
        ["{name}", "{address}", "--live"],
        ["--live", "{domid}", "{address}"],
        ["-l", "-p", "8002", "{name}", "{address}"],
        ["--live", "--port=8002", "{name}", "xen2"],
    ],
)
def test_migration_moves_the_memory(hosts, arguments):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01", pages=48)
    words = [
        word.format(name="web01", domid=guest.domid, address=target.address) for word in arguments
    ]
    result = source.xm_run("migrate", *words)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", DEPRECATED)
    assert source.guests() == {}
    arrived = target.wait_alive("web01")
    assert arrived.uuid == guest.uuid
    assert arrived.memory_sha256 == suspended_sha256(source, "web01")
    live = set(words) & {"--live", "-l"}
    # A running guest writes while it is sent, so that only a live migration changes it.
    assert (arrived.memory_sha256 != guest.memory_sha256) == bool(live)
    assert re.search(r"Save exit of domid %d with rc=0" % guest.domid, source.log.read_text())
    assert "XendDomainInfo.completeRestore done" in target.log.read_text()


def test_what_a_watcher_sees(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.link(hold_at=1.0)
    migration = source.xm_start("migrate", "--live", "web01", "xen2")
    target.wait_held()
    assert rows(source, "vcpus", "state") == {"migrating-web01": ("1", "---s--")}
    assert rows(target, "vcpus", "state") == {"web01": ("0", "--p---")}
    assert source.guests()["web01"].xend_name == "migrating-web01"
    target.delay("unpause", LIMIT_S)
    assert finish(migration, target) == (0, "", DEPRECATED)
    # xm returns before the target lets the guest run.
    assert not target.guests()["web01"].alive
    target.delay("unpause")
    target.wait_alive("web01")
    assert target.guests()["web01"].state == "running"


def test_guest_is_never_running_on_two_hosts(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    source.xm_run("migrate", "--live", "web01", "xen2")
    target.wait_alive("web01")
    stopped = [note["time"] for note in source.journal() if note["event"] == "suspended"][-1]
    started = [note["time"] for note in target.journal() if note["event"] == "unpaused"][-1]
    assert stopped < started


def real(kind, number=0):
    """What a real xm said of that kind of migration."""
    return ground_truth.commands("migrate/" + kind)[number]


def numberless(text):
    """Ids, amounts, addresses and the guest's name differ from fleet to fleet."""
    return re.sub(r"\d+(\.\d+)*", "N", text.replace("web01", "tiny"))


def failed_as(result, command):
    assert result.returncode == command.code
    assert result.stdout == command.stdout
    assert numberless(result.stderr) == numberless(command.stderr)


def untouched(host, guest):
    assert host.guests()[guest.name] == guest


@pytest.mark.parametrize(
    "fault, kinds",
    [
        ("no-route", [("no-route", 0)]),
        ("unreachable", [("network-unreachable", 0)]),
        ("refuse", [("wrong-port", 0)]),
        ("drop-syn", [("xend-gives-up-connecting", 0)]),
        ("mute", [("mute-peer", 0)]),
        # A matter of moments.
        ("reset", [("refused-by-hosts-allow", 0), ("refused-by-hosts-allow", 2)]),
    ],
)
def test_unreachable_target(hosts, fault, kinds):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    before = source.log.read_text()
    target.fault(fault)
    result = source.xm_run("migrate", "--live", "web01", "xen2")
    assert result.stderr in [real(*kind).stderr for kind in kinds]
    failed_as(result, real(*kinds[0])._replace(stderr=result.stderr))
    untouched(source, guest)
    assert source.log.read_text() == before
    assert target.guests() == {}


@pytest.mark.parametrize(
    "arguments, kind, number",
    [
        (["web01", "127.0.0.250"], "no-route", 0),
        (["web01", "nosuchhost.invalid"], "unresolvable", 0),
        (["web01", "xen2", "-p", "8099"], "wrong-port", 0),
        (["--port=abc", "web01", "xen2"], "wrong-port", 2),
        (["NOSUCH", "xen2"], "no-such-domain", 0),
        (["Domain-0", "xen2"], "no-such-domain", 1),
        (["0", "xen2"], "no-such-domain", 2),
    ],
)
def test_migrate_is_refused(hosts, arguments, kind, number):
    guest = hosts["xen1"].create_guest("web01")
    result = hosts["xen1"].xm_run("migrate", "--live", *arguments)
    said = real(kind, number)
    assert (result.returncode, result.stdout, result.stderr) == (said.code, said.stdout, said.stderr)
    untouched(hosts["xen1"], guest)


def test_options_of_old_versions(hosts):
    assert "--change_home_server" not in hosts["mid1"].xm_run("migrate", "-h").stdout
    help_text = hosts["old1"].xm_run("migrate", "-h").stdout
    assert "--resource" in help_text and "--ssl" not in help_text
    assert hosts["old1"].xm_run("migrate", "--ssl", "a", "b").returncode == 1


def test_paused_guest(hosts):
    guest = hosts["xen1"].create_guest("web01", paused=True)
    failed_as(hosts["xen1"].xm_run("migrate", "--live", "web01", "xen2"), real("paused"))
    untouched(hosts["xen1"], guest)


def test_not_admitted(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    assert reconfigure(target, REFUSING).returncode == 0
    result = source.xm_run("migrate", "--live", "web01", "xen2")
    said = ground_truth.commands("migrate/refused-by-hosts-allow")
    assert (result.returncode, result.stdout) == (1, said[0].stdout)
    assert result.stderr in [command.stderr for command in said]
    untouched(source, guest)
    assert "xc_save" not in source.log.read_text()
    assert (
        "Rejected connection from %s (xen1.lab.example)." % source.address in target.log.read_text()
    )


def test_name_in_use_is_told_to_the_targets_log_only(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    other = target.create_guest("web01", paused=True)
    result = source.xm_run("migrate", "--live", "web01", "xen2")
    failed_as(result, real("name-in-use"))
    assert re.search(r"xc_save \d+ %d 0 0 1 failed\n$" % guest.domid, result.stderr)
    assert source.wait_alive("web01").xend_name == "web01"
    untouched(target, other)
    assert "VM name 'web01' already exists as domain %d" % other.domid in target.log.read_text()
    assert "Save failed on domain web01 (%d) - resuming." % guest.domid in source.log.read_text()


@pytest.mark.parametrize(
    "version, virt_caps, starting_kib, restoring_kib",
    [
        ("3.3", "hvm hvm_directio", 0, 0),
        # Whether there is an IOMMU or not.
        ("3.4", "hvm", 2048, 0),
        ("4.0", "hvm", 0, 0),
        ("4.0", "hvm hvm_directio", 2048, 0),
        ("4.1", "hvm", 0, 0),
        ("4.1", "hvm hvm_directio", 2048, 2048),
        ("4.4", "hvm_directio", 2048, 2048),
    ],
)
def test_memory_for_the_tables_of_an_iommu(version, virt_caps, starting_kib, restoring_kib):
    """4 KiB for each MiB of maxmem, rounded up (XendDomainInfo._initDomain, XendCheckpoint.restore)."""
    config = ["domain", ["memory", "128"], ["maxmem", "257"]]
    assert memory.tables_kib(config, version, virt_caps, restoring=False) == starting_kib
    assert memory.tables_kib(config, version, virt_caps, restoring=True) == restoring_kib


@pytest.mark.parametrize(
    "name, said",
    [
        (
            "xen1",
            r"Error: Not enough free memory and dom0_min_mem is 0, so I cannot release any more\.  "
            r"I need 98304 KiB but only have \d+\. \(from xen2\)\n$",
        ),
        ("mid1", r"Error: /usr/lib/xen/bin/xc_save \d+ \d+ 0 0 1 failed\n$"),
    ],
)
def test_too_little_memory(hosts, name, said):
    source, target = hosts[name], hosts["xen2"]
    source.create_guest("web01")
    target.create_guest("filler", memory_mib=950)
    result = source.xm_run("migrate", "--live", "web01", "xen2")
    assert result.returncode == 1
    assert re.search(said, result.stderr)
    assert source.wait_alive("web01").xend_name == "web01"
    assert set(target.guests()) == {"filler"}


@pytest.mark.parametrize(("name", "both"), [("xen2", True), ("old1", False)])
def test_memory_is_taken_when_it_comes(hosts, name, both):
    """Before 3.4 xc_restore has all of it at once, so that xend sees it missing for the next guest."""
    source, target = hosts["xen1"], hosts[name]
    for guest in ("web01", "web02"):
        source.create_guest(guest, memory_mib=320)
    target.create_guest("filler", memory_mib=target.hypervisor.free_kib() // 1024 - 500)
    source.link(hold_at=0.5)
    first = source.xm_start("migrate", "--live", "web01", target.address)
    source.wait_held()
    second = source.xm_start("migrate", "--live", "web02", target.address)
    until(lambda: len(source.layout.roles().get("xc_save", [])) == 2 or second.poll() is not None)
    until(lambda: "web02" in target.guests() or second.poll() is not None)
    until(lambda: len(target.layout.roles().get("xc_restore", [])) == 2 or second.poll() is not None)
    assert (second.poll() is None) == both
    if both:
        until(lambda: target.hypervisor.free_kib() < 320 * 1024)
    source.release()
    codes = [finish(migration)[0] for migration in (first, second)]
    assert 1 in codes and (both or codes == [0, 1])
    for guest, code in (("web01", codes[0]), ("web02", codes[1])):
        here, other = (source, target) if code else (target, source)
        assert here.wait_alive(guest)
        until(lambda other=other, guest=guest: guest not in other.guests())
    log = (target if both else source).log.read_text()
    assert ("Failed to allocate memory for batch" in log) == both


def test_dom0_shrinks_only_so_far(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    text = "(xend-relocation-server yes)\n(dom0-min-mem 1000)\n"
    assert reconfigure(target, text).returncode == 0
    source.create_guest("web01")
    target.create_guest("filler", memory_mib=950)
    result = source.xm_run("migrate", "--live", "web01", target.address)
    failed_as(result, real("no-memory"))
    assert "I need 98304 KiB, but dom0_min_mem is 1024000 and" in result.stderr


def test_dom0_shrinks_for_a_guest(hosts):
    target = hosts["xen2"]
    text = "(xend-relocation-server yes)\n(dom0-min-mem 512)\n"
    assert reconfigure(target, text).returncode == 0
    target.create_guest("filler", memory_mib=950)
    hosts["xen1"].create_guest("web01")
    try:
        assert hosts["xen1"].xm_run("migrate", "--live", "web01", "xen2").returncode == 0
        target.wait_alive("web01")
        assert target.hypervisor.dom0()["kib"] < 1024 * 1024
    finally:
        target.hypervisor.balloon_dom0(target.hypervisor.dom0()["kib"] - 1024 * 1024)


def test_xc_restore_killed(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    guest = source.create_guest("web01")
    migration = start_held(source, target)
    assert len(target.kill_xc_restore()) == 1
    code, out, error = finish(migration, target)
    said = real("target-restore-killed")
    assert code == said.code == 1 and out and out in said.stdout
    assert numberless(error) == numberless(said.stderr)
    assert "xc_restore" in error and error.endswith(" failed (from %s)\n" % target.address)
    assert source.wait_alive("web01").domid == guest.domid
    assert rows(source).keys() == {"web01"}
    assert target.guests() == {}


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_xend_of_the_target_dies_and_the_guest_is_lost(hosts, how):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    if how == "kill":
        killed = target.kill_xend_child()
        assert len(killed) == 1
        target.bring_up()
    else:
        assert target.restart().returncode == 0
    # Not a word of it.
    said = real("target-xend-killed" if how == "kill" else "target-xend-restarted")
    assert finish(migration, target) == (said.code, "", said.stderr) == (0, "", DEPRECATED)
    assert source.guests() == {}
    until(lambda: rows(target, "vcpus", "state").get("web01") == ("1", "--p---"))
    lost = target.guests()["web01"]
    assert (lost.state, lost.alive) == ("paused", False)
    # All its memory came over, and it is of no use.
    assert lost.memory_sha256 == suspended_sha256(source, "web01")
    assert target.xm_run("unpause", "web01").returncode == 0
    assert (target.guests()["web01"].state, target.guests()["web01"].alive) == ("running", False)
    if how == "kill":
        assert re.search(
            r"\d+\] CRITICAL \(SrvDaemon:232\) Xend died due to signal 9!  "
            r"Restarting it\.",
            target.log.read_text(),
        )
        until(lambda: target.running)
        assert target.pids()["xend"] not in killed


def test_xm_killed_and_the_migration_goes_on(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    migration.send_signal(signal.SIGINT)
    migration.communicate(timeout=LIMIT_S)
    assert migration.returncode == -signal.SIGINT
    assert rows(source).keys() == {"migrating-web01"}
    target.release()
    target.wait_alive("web01")
    until(lambda: source.guests() == {})


def test_xend_restarted_on_the_source(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    assert source.stop().returncode == 0
    assert finish(migration) == (1, "", real("source-xend-restarted").stderr)
    assert source.start().returncode == 0
    target.release()
    until(lambda: target.guests() == {})
    assert rows(source).keys() == {"migrating-web01"}
    assert source.guests()["web01"].alive
    assert source.xm_run("rename", "migrating-web01", "web01").returncode == 0
    assert source.xm_run("migrate", "--live", "web01", "xen2").returncode == 0
    target.wait_alive("web01")


def test_xend_of_the_source_stopped_in_a_migration_that_is_not_live(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    target.link(hold_at=0.5)
    migration = source.xm_start("migrate", "web01", "xen2")
    target.wait_held()
    source.restart()
    target.release()
    assert finish(migration)[0] in (1, 3)
    # Nobody was left to take the sent guest away from the source, where it stays suspended.
    target.wait_alive("web01")
    assert source.guests()["web01"].state == "suspended"


def test_network_cut_is_survived(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    target.delay("tcp-gives-up", LIMIT_S)
    target.cut_link()
    target.release()
    with pytest.raises(subprocess.TimeoutExpired):
        migration.communicate(timeout=0.5)
    target.restore_link()
    assert finish(migration)[0] == 0
    target.wait_alive("web01")


def test_second_migration_meanwhile(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    second = source.xm_run("migrate", "--live", "web01", "xen2")
    failed_as(second, real("no-longer-here"))
    assert "'web01'" in second.stderr
    assert finish(migration, target)[0] == 0
    target.wait_alive("web01")


def test_migrating_a_migrating_guest_wedges(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    domid = source.create_guest("web01").domid
    migration = start_held(source, target)
    first = source.hypervisor.domain(domid)["saver"]
    source.delay("wedge", LIMIT_S)
    second = source.xm_start("migrate", "--live", "migrating-web01", "xen2")
    # Until then there may be nothing left to send.
    until(lambda: source.hypervisor.domain(domid)["saver"] != first)
    assert finish(migration, target)[0] == 0
    target.wait_alive("web01")
    assert second.poll() is None
    assert rows(target, "vcpus", "state")["migrating-web01"] == ("0", "--p---")
    second.kill()
    second.communicate()


def test_migrating_to_itself_gives_a_new_id(hosts):
    host = hosts["xen1"]
    guest = host.create_guest("web01")
    for target in (host.address, "localhost"):
        assert host.xm_run("migrate", "--live", "web01", target).returncode == 0
        moved = host.wait_alive("web01")
        assert moved.domid > guest.domid
        guest = moved


@pytest.mark.parametrize("fault", ["disk-missing", "bridge-missing"])
def test_missing_device_loses_the_guest_on_both(hosts, fault):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01", disks=["file:/srv/web01.img,xvda,w"], vifs=["bridge=xenbr0"])
    target.fault(fault)
    result = source.xm_run("migrate", "--live", "web01", "xen2")
    assert (result.returncode, result.stdout) == (0, "")
    until(lambda: target.guests() == {})
    assert source.guests() == {}
    until(lambda: "could not be connected" in target.log.read_text())


def wordings(log):
    """The lines of a log without what differs from transfer to transfer."""
    found = []
    for line in log.splitlines():
        line = re.sub(r"^\[[^]]*\] ", "", line).replace("web01", "tiny")
        line = re.sub(r"(?<=XendDomainInfo\.restore\().*", "...", line)
        # Which of the two is seen first is a matter of moments.
        line = line.replace("Broken pipe", "Connection reset by peer")
        line = re.sub(r"[0-9a-f]{8}(-[0-9a-f]+){4}|0x[0-9a-f]+|(shinfo|pfn) [0-9a-f]+", "N", line)
        head = re.match(r"(?:\w+ \(\w+:\d+\))?", line).group()
        found.append(head + re.sub(r"\d+(\.\d+)?", "N", line[len(head) :]))
    return found


@pytest.mark.parametrize("kind, options_given", [("live", ["--live"]), ("nonlive", [])])
def test_logs_say_what_real_ones_say(hosts, kind, options_given):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    for host in (source, target):
        host.log.write_text("")
    assert source.xm_run("migrate", *options_given, "web01", "xen2").returncode == 0
    target.wait_alive("web01")
    for host, end in ((source, "source"), (target, "target")):
        real_ones = wordings(ground_truth.transcript("xend-log/%s-%s" % (kind, end)))
        # Not all that the real one tells (devices above all), but nothing else and in its words.
        assert len(set(wordings(host.log.read_text()))) > 10
        assert set(wordings(host.log.read_text())) <= set(real_ones)


def test_logs_of_a_failure_say_what_real_ones_say(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    for host in (source, target):
        host.log.write_text("")
    migration = start_held(source, target)
    target.kill_xc_restore()
    assert finish(migration, target)[0] == 1
    source.wait_alive("web01")
    for host, end in ((source, "source"), (target, "target")):
        real_ones = wordings(ground_truth.transcript("xend-log/target-restore-killed-%s" % end))
        # These lines were cut there; the logs of good migrations have them.
        found = [
            line
            for line in wordings(host.log.read_text())
            if "Mapping order" not in line and "XendDomainInfo.restore(" not in line
        ]
        assert set(found) <= set(real_ones) and any("ERROR" in line for line in found)


def test_progress_lines_by_version(hosts):
    hosts["xen1"].create_guest("web01")
    assert hosts["xen1"].xm_run("migrate", "--live", "web01", "mid1").returncode == 0
    hosts["mid1"].wait_alive("web01")
    log = hosts["xen1"].log.read_text()
    assert re.search(
        r"INFO \(XendCheckpoint:423\) \[\d+\] xc: detail: delta \d+ms, dom0 \d+%, "
        r"target \d+%, sent \d+Mb/s, dirtied \d+Mb/s \d+ pages",
        log,
    )
    assert "Saving memory pages" not in log
    assert hosts["mid1"].xm_run("migrate", "--live", "web01", "old1").returncode == 0
    hosts["old1"].wait_alive("web01")
    log = hosts["mid1"].log.read_text()
    assert re.search(r"Saving memory pages: iter 1 +0%\x08\x08\x08\x08", log)


# ---------------------------------------------------------------------------------------------
# xend as processes


@pytest.fixture(scope="module")
def lone(new_fleet):
    """Hosts with a fast clock that are not started, for starting xend often."""
    return new_fleet(
        HostSpec("xen1", time_scale=0.02),
        HostSpec("xen2", time_scale=0.02),
        HostSpec("old1", version="3.4.0", time_scale=0.02),
    )


@pytest.fixture
def stopped(lone):
    yield lone
    for host in lone:
        host.mend()
        host.kill_xend()
        for path in (host.log, host.debug_log):
            path.write_text("")


ON = "(xend-relocation-server yes)\n"


# The real xends' reasons, and two that were not tried there.
BAD_VALUES = [
    (start["config"], start["reason"])
    for start in ground_truth.starts("4.4")
    if start["exit"] and read_forms(start["config"].encode("latin-1"), "4.4")["ok"]
    and start["name"] != "port-in-use"
] + [
    (ON + "(xend-relocation-address xen2)\n", "[Errno 99] Cannot assign requested address"),
    ("(xend-relocation-ssl-server yes)\n", "'NoneType' object has no attribute 'rfind'"),
]


@pytest.mark.parametrize("config, reason", BAD_VALUES)
def test_bad_values_are_told_to_the_logs_only(stopped, config, reason):
    host = stopped["xen1"]
    host.config.write_text(config)
    result = host.start()
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
    assert "ERROR (SrvDaemon:349) Exception starting xend (%s)\n" % reason in host.log.read_text()
    assert "Exception starting xend: %s\n" % reason in host.debug_log.read_text()
    until(lambda: host.pids() == {})
    assert "INFO (SrvDaemon:220) Xend exited with status 1." in host.log.read_text()


@pytest.mark.parametrize(
    "config, ports",
    [
        ("", set()),
        (None, set()),
        ("(xend-relocation-server )\n", set()),
        (ON + "(xend-relocation-port )\n", {PORT}),
        (ON + "(xend-relocation-address )\n", {PORT}),
        (ON + "(xend-relocation-address eth0)\n", {PORT}),
        (ON + "(xend-relocation-address xen1)\n(xend-relocation-port '8022')\n", {8022}),
        (ON + "(xend-relocation-port 8021)\n(xend-relocation-port 8022)\n", {8021}),
        (ON + "(xend-relocation-port 8022", {PORT}),
    ],
)
def test_good_values(stopped, config, ports):
    host = stopped["xen1"]
    host.config.unlink(missing_ok=True)
    if config is not None:
        host.config.write_text(config)
    result = host.start()
    said = (
        "" if config is not None else "xend [ERROR] Config file does not exist: %s\n" % host.config
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", said)
    assert {port for _address, port in host.listening} == ports
    for port in ports:
        assert ask_for_help(host, port) == HELP
    assert host.pidfile.read_text() == str(host.pids()["xend"])


def test_interface_names_are_not_understood_before_4_1(stopped):
    host = stopped["old1"]
    host.config.write_text(ON + "(xend-relocation-address eth0)\n")
    assert host.start().returncode == 1
    assert "[Errno -2] Name or service not known" in host.log.read_text()


def test_random_port(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON + "(xend-relocation-port 0)\n")
    assert host.start().returncode == 0
    (port,) = {port for _address, port in host.listening}
    assert port > 1024
    assert "Listening on :0\n" in host.log.read_text()


def test_only_the_hosts_own_addresses_are_bound(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    assert host.start().returncode == 0
    assert {address for address, _port in host.listening} == {host.address, host.loopback}


def test_port_in_use_is_retried_then_fatal(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    with socket.socket() as other:
        # Connections of the last test may still linger at the port.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host.address, PORT))
        other.listen(1)
        # Many times what a few tries take.
        host.delay("listen-retry-total", 3)
        result = host.start()
    assert (result.returncode, result.stderr) == (1, "")
    log = host.log.read_text()
    assert log.count("Listening on :8002") > 3
    assert "Exception starting xend ([Errno 98] Address already in use)" in log


@pytest.mark.parametrize(
    "config, message",
    [
        (ON + "(xend-relocation-port 8002\n", "unexpected EOF"),
        (ON + ")\n", "syntax error: )"),
        ("\xef\xbb\xbf" + ON, "invalid character: code 239"),
        (ON + "(xend-relocation-hosts-allow '^localhost$)\n", "unexpected EOF"),
    ],
)
def test_syntax_error_fails_every_command_and_leaves_xend_running(stopped, config, message):
    host = stopped["xen1"]
    host.config.write_text(ON)
    assert host.start().returncode == 0
    pids = host.pids()
    host.config.write_bytes(config.encode("latin-1"))
    commands = [(host.xm, "list")] + [
        (host.xend, word) for word in ("status", "stop", "restart", "start")
    ]
    for command in commands:
        result = host.run(*command)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(
            "xend [ERROR] Reading config file %s: %s\nTraceback " % (host.config, message)
        )
        assert result.stderr.endswith("xen.xend.sxp.ParseError: %s\n" % message)
    assert host.pids() == pids
    assert ask_for_help(host) == HELP


def test_life_of_xend(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    result = host.xm_run("list")
    assert result.returncode == 1
    assert re.fullmatch(
        DEPRECATED + r"Error: Unable to connect to xend: (No such file or directory"
        r"|Connection refused)\. Is xend running\?\n",
        result.stderr,
    )
    assert host.run(host.xend, "status").returncode == 3
    assert host.start().returncode == 0
    assert host.run(host.xend, "status").returncode == 0
    pids = host.pids()
    assert host.start().returncode == 0 and host.pids() == pids
    guest = host.create_guest("web01")
    assert host.restart().returncode == 0
    assert not set(host.pids().values()) & set(pids.values())
    assert host.guests() == {"web01": guest}
    assert "web01" in rows(host)
    assert host.stop().returncode == 0
    until(lambda: host.pids() == {})
    assert host.stop().returncode == 0
    assert host.guests() == {"web01": guest}
    for said in ground_truth.commands("xm/xend-not-running"):
        arguments = said.command.split()[1:]
        if arguments[0] != "create":
            result = host.xm_run(*arguments)
            assert (result.returncode, result.stdout, result.stderr) == (said.code, "", said.stderr)
    (_off, _on, said) = ground_truth.commands("restart/status-and-usage")
    result = host.run(host.xend, *said.command.split()[1:])
    assert (result.returncode, result.stdout) == (said.code, said.stdout)
    host.destroy_guest("web01")


def test_reload_does_not_read_the_settings_again(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    assert host.start().returncode == 0
    host.config.write_text(ON + "(xend-relocation-port 8055)\n")
    assert host.run(host.xend, "reload").returncode == 0
    until(lambda: host.log.read_text().count("Opening Unix domain socket") == 2)
    assert ask_for_help(host) == HELP
    assert host.xm_run("list").returncode == 0
    assert host.restart().returncode == 0
    assert ask_for_help(host, 8055) == HELP


def test_watchdog_starts_xend_again_with_the_old_settings(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    assert host.start().returncode == 0
    before = host.pids()
    host.config.write_text(ON + "(xend-relocation-port 8055)\n")
    assert host.kill_xend_child() == [before["xend"]]
    until(lambda: host.running and host.xm_run("list").returncode == 0)
    after = host.pids()
    assert after["watchdog"] == before["watchdog"] and after["xend"] != before["xend"]
    assert ask_for_help(host) == HELP
    host.kill_xend()
    assert host.pids() == {}
    # A stale pid file does not keep xend from starting.
    assert host.pidfile.exists()
    assert host.start().returncode == 0


def test_the_port_listens_before_xm_works(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    host.delay("servers", LIMIT_S)
    with subprocess.Popen([str(host.xend), "start"]) as starting:
        until(lambda: "Listening on" in host.log.read_text())
        assert ask_for_help(host) == HELP
        assert host.xm_run("list").returncode == 1
        assert starting.poll() is None
        host.delay("servers")
        assert starting.wait(LIMIT_S) == 0
    assert host.xm_run("list").returncode == 0


def test_two_restarts_at_once_leave_an_xend_that_nobody_controls(stopped):
    host = stopped["xen1"]
    host.config.write_text(ON)
    assert host.start().returncode == 0
    # It takes two that really overlap, which no test can command.
    for _try in range(20):
        commands = [subprocess.Popen([str(host.xend), "restart"]) for _command in range(2)]
        for command in commands:
            command.wait(LIMIT_S)
        # Either both bound the port, or the second died of it and left its own id in the pid file.
        host.stop()
        assert host.run(host.xend, "status").returncode == 3
        left = host.layout.roles().get("xend", [])
        if left:
            break
        assert host.start().returncode == 0
    assert len(left) == 1


def test_nothing_is_left_after_stop(tmp_path):
    with Fleet.create(tmp_path / "f", [HostSpec("xen1"), HostSpec("xen2")]) as fleet:
        fleet.start()
        fleet["xen1"].create_guest("web01")
        migration = start_held(fleet["xen1"], fleet["xen2"])
        fleet["xen2"].kill_xend()
        notes = fleet.processes()
        assert {note["role"] for note in notes} == {"watchdog", "xend", "xc_save", "xc_restore"}
        fleet.stop()
        migration.communicate(timeout=LIMIT_S)
        assert [process_start(note["pid"]) for note in notes] == [None] * len(notes)
        assert fleet.processes() == []
        assert Fleet.load(fleet.root)["xen1"].guests()["web01"].xend_name == "migrating-web01"


def test_fleets_do_not_share_addresses_and_end_with_their_owner(tmp_path, fleet):
    code = (
        "import sys; from tests.lab.fleet import Fleet, HostSpec\n"
        "fleet = Fleet.create(sys.argv[1], [HostSpec('xen1')])\n"
        "fleet.start(); print(fleet['xen1'].address)\n"
    )
    result = subprocess.run(
        [os.sys.executable, "-c", code, str(tmp_path / "f")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert result.stderr == ""
    assert result.stdout.strip() not in {host.address for host in fleet}
    orphaned = Fleet.load(tmp_path / "f")
    until(lambda: orphaned.processes() == [])


def test_a_fleet_that_is_to_be_kept_has_its_addresses_before_it_is_started(tmp_path):
    kept = Fleet.create(tmp_path / "kept", [HostSpec("a1")], keep=True)
    try:
        with Fleet.create(tmp_path / "another", [HostSpec("b1")]) as another:
            assert another["b1"].address != kept["a1"].address
    finally:
        kept.destroy()
