"""
One look at a host: what is selected from the picture of it, and which way xend is asked. The functions of
Salt are made up, the utilities are the real ones. This file runs on Python 2.7 as well.
"""

import errno
import importlib
import json
import os
import shutil
import tempfile

import pytest

import xend_sxp
import xm_look
import xm_output
from tests import ground_truth, serving
from tests.held import form_of

UTILITY = importlib.import_module

UUID = "c56e09d2-81cc-d4f2-2ee8-abeb85916bc4"
OTHER = "0b6a9a52-35a6-4a4f-8ee1-5a3a0a1c6f11"
ZERO = ("Domain-0", 0, 1024, 2, "r-----", 88.5)
WEB = ("web01", 7, 96, 1, "-b----", 1.0)
NONE_SEEN = {
    "xc_save": [],
    "xc_restore": [],
    "sources": [],
    "targets": [],
    "sends": False,
    "receives": False,
}
PRINTED = b"""\
(domain (domid 0) (name Domain-0) (memory 1024) (online_vcpus 2) (cpu_time 88.51) (state r-----))
(domain (domid 7) (name web01) (memory 96) (online_vcpus 1) (cpu_time 1.04) (state -b----) (uuid %s))
""".replace(b"%s", UUID.encode("ascii"))
ANSWER = [
    ["domain", ["domid", 0], ["name", "Domain-0"], ["memory", 1024], ["online_vcpus", 2], ["cpu_time", 88.51]]
    + [["state", "r-----"]],
    ["domain", ["domid", 7], ["name", "web01"], ["memory", 96], ["online_vcpus", 1], ["cpu_time", 1.04]]
    + [["state", "-b----"], ["uuid", UUID]],
]


class Error(Exception):
    """What Salt raises."""


class Machine(object):
    """What the functions of Salt say on a host, and which commands they were given."""

    def __init__(self, folder):
        self.options = {
            "root": folder,
            "pidfile": os.path.join(folder, "xend.pid"),
            "socket": os.path.join(folder, "s"),
            "kept": os.path.join(folder, "kept"),
        }
        self.said = {"list": PRINTED, "info": b"host : xen1\nxend_config_format : 4\n"}
        self.failed, self.commands, self.settings = {}, [], {}
        self.peers = {"sources": [], "targets": [], "ports": [8002]}
        self.relocation = {"ssl_server": False, "ssl_port": 8003}
        self.declared = {"xen2": {"address": "10.0.0.2"}, "xen3": {"address": "10.0.0.3"}}
        self.salt = {
            "config.get": lambda name, default: self.options.get(name[len("xend:") :], default),
            "cmd.run_all": self.run,
            "xend.transfers": lambda: self.peers() if callable(self.peers) else self.peers,
            "xend.relocation": lambda: self.relocation,
            "xend.get": lambda key, default=None: self.settings.get(key, default),
            "xend.declared_hosts": lambda: self.declared,
            "xend.service": lambda: "xend",
        }

    def run(self, command, **_keywords):
        self.commands.append(command)
        printed = self.said.get(" ".join(command[1:]), self.said[command[1]])
        stderr = self.failed.get(command[1], "")
        stdout = printed if bytes is str else printed.decode("utf-8")
        return {"retcode": 1 if stderr else 0, "stdout": "" if stderr else stdout, "stderr": stderr}

    def host(self, **utilities):
        def utility(name):
            return utilities.get(name) or UTILITY(name)

        return xm_look.host("xen1", self.salt, Error, utility)

    def look(self, table, **seen):
        """The picture of the host with the domains of a table: rows, or whole descriptions."""
        forms = [form_of(row) if isinstance(row, tuple) else row for row in [ZERO] + table]
        return xm_look.Look(self.host(), xm_output.rows(forms), dict(NONE_SEEN, **seen))


@pytest.fixture
def machine():
    # The path of a socket may have 107 bytes only.
    folder = tempfile.mkdtemp(prefix="look")
    yield Machine(folder)
    shutil.rmtree(folder)


def with_uuid(row, uuid):
    return form_of(row) + [[b"uuid", uuid.encode("ascii")]]


# Which row is meant


def test_the_one_that_runs_comes_before_its_dead_copy(machine):
    for table in (
        [("web01", 3, 96, 1, "--p---", 0.0), ("web01", 5, 96, 1, "-b----", 2.0)],
        [("web01", 5, 96, 1, "------", 2.0), ("migrating-web01", 3, 96, 1, "---s--", 2.0)],
        [("web01", 3, 96, 1, "---s--", 1.0), ("migrating-web01", 5, 96, 1, "r-----", 2.0)],
    ):
        look = machine.look(table + [("web011", 9, 96, 1, "r-----", 1.0)])
        assert [row["domid"] for row in look.candidates("web01")] == [5, 3]
        assert [row["domid"] for row in look.candidates("web01", domid=3)] == [3]
        assert look.candidates("web01", domid=9) == []
        assert look.view("web01")["domid"] == 5


def test_a_guest_is_the_row_under_just_this_name(machine):
    look = machine.look([("migrating-web01", 5, 96, 1, "r-----", 2.0), ("web01", 6, 96, 1, "--p---", 0.0)])
    assert look.guest("web01")["domid"] == 6
    assert look.guest("migrating-web01")["domid"] == 5
    assert look.guest("web02") is None


@pytest.mark.parametrize(
    "table, references",
    [
        ([WEB], ["7"]),
        # A guest that is called as the id of another one.
        ([WEB, ("7", 8, 96, 1, "-b----", 1.0)], ["web01", "8"]),
        ([("7", 7, 96, 1, "-b----", 1.0)], ["7"]),
        ([("-l", 7, 96, 1, "-b----", 1.0)], ["7"]),
        ([("web01", 7, 96, 1, "-b----", 1.0), ("web01", 8, 96, 1, "--p---", 0.0)], ["7", "8"]),
        ([("sleeping", None, 96, 1, None, 0.0)], ["sleeping"]),
    ],
)
def test_how_xm_is_told_which_domain_is_meant(machine, table, references):
    look = machine.look(table)
    assert [look.reference(row) for row in look.rows[1:]] == references


@pytest.mark.parametrize(
    "table",
    [
        [("-l", 7, 96, 1, "-b----", 1.0), ("7", 8, 96, 1, "-b----", 1.0)],
        [WEB, ("7", 8, 96, 1, "-b----", 1.0), ("web01", 9, 96, 1, "--p---", 0.0)],
    ],
)
def test_xm_cannot_be_told_of_every_domain(machine, table):
    look = machine.look(table)
    with pytest.raises(Error) as caught:
        look.reference(look.rows[1])
    said = "which domain is meant by %s, id 7: another domain is called 7; give that one another name"
    assert said % table[0][0] in str(caught.value)


# Domains without a name


NAMELESS = (None, 9, 96, 1, "------", 0.0)


def test_a_domain_without_a_name_may_be_any_guest(machine):
    look = machine.look([WEB, NAMELESS])
    view = look.view("web02")
    assert (view["copy"], view["domid"], view["settled"]) == ("unknown", 9, False)
    assert "domain 9 without a name" in view["problem"]
    assert look.view("web02", OTHER)["copy"] == "unknown"
    # One that is there is that one.
    assert look.view("web01")["copy"] == "running" and look.view("web01")["problem"] is None
    with pytest.raises(Error) as caught:
        look.copies()
    assert "domain 9 without a name" in str(caught.value)


def test_a_domain_without_a_name_is_known_by_its_uuid(machine):
    look = machine.look([with_uuid(NAMELESS, OTHER)])
    assert look.view("web01", UUID)["copy"] == "absent"
    assert look.view("web01", OTHER)["copy"] == "unknown"
    assert look.view("web01")["copy"] == "unknown"
    (one,) = look.copies()
    assert (one["copy"], one["uuid"], one["domid"]) == ("unknown", OTHER, 9)


# What is held of guests


def test_copies_are_all_but_domain_0(machine):
    look = machine.look(
        [
            with_uuid(WEB, UUID),
            ("migrating-db", 8, 96, 1, "-b----", 6.0),
            ("coming", 9, 96, 0, "--p---", 0.0),
            ("stuck", 10, 96, 1, "--p---", 0.0),
            ("sleeping", None, 256, 1, None, 0.0),
            ("dying", 11, 96, 1, "-----d", 6.0),
        ],
        xc_save=[8],
        xc_restore=[9],
    )
    found = [(one["name"], one["listed"], one["domid"], one["copy"]) for one in look.copies()]
    assert found == [
        ("web01", "web01", 7, "running"),
        ("db", "migrating-db", 8, "sending"),
        ("coming", "coming", 9, "receiving"),
        ("stuck", "stuck", 10, "unfinished"),
        ("sleeping", "sleeping", None, "managed"),
        ("dying", "dying", 11, "absent"),
    ]
    assert look.copies()[0] == {
        "name": "web01",
        "listed": "web01",
        "uuid": UUID,
        "domid": 7,
        "state": "-b----",
        "copy": "running",
    }


@pytest.mark.parametrize(
    "row, seen, copy",
    [
        (("web01", 7, 96, 0, "--p---", 0.0), {"receives": True}, "receiving"),
        (("web01", 7, 96, 0, "--p---", 0.0), {"receives": None}, "arriving"),
        (("web01", 7, 96, 0, "--p---", 0.0), {"xc_restore": [8], "sends": True}, "unfinished"),
        (("web01", 7, 96, 0, "--p---", 0.0), {"xc_restore": [7], "receives": None}, "receiving"),
        (("migrating-web01", 7, 96, 1, "-b----", 5.0), {"sends": True}, "sending"),
        (("migrating-web01", 7, 96, 1, "-b----", 5.0), {"sends": None}, "migrating"),
        (("migrating-web01", 7, 96, 1, "-b----", 5.0), {"receives": True}, "left"),
        (("migrating-web01", 7, 96, 1, "---s--", 5.0), {"xc_save": [7]}, "sending"),
        (("web01", 7, 96, 1, "-b----", 5.0), {"sends": None, "receives": None}, "running"),
    ],
)
def test_whose_transfer_it_is(machine, row, seen, copy):
    look = machine.look([row], **seen)
    view = look.view("web01")
    assert view["copy"] == look.copies()[0]["copy"] == copy
    assert view["settled"] == (copy not in ("receiving", "arriving", "sending", "migrating"))


def test_a_view_says_what_there_is(machine):
    look = machine.look([with_uuid(WEB, UUID)])
    view = look.view("web01", UUID)
    assert view == {
        "copy": "running",
        "state": "-b----",
        "domid": 7,
        "listed": "web01",
        "uuid": UUID,
        "settled": True,
        "other": None,
        "problem": None,
        "remedy": "",
        "xend": True,
        "devices_s": 100,
        "near": [],
    }


def test_another_guest_under_that_name_is_no_copy(machine):
    look = machine.look([with_uuid(WEB, OTHER)])
    assert look.view("web01", UUID)["copy"] == "foreign"
    # Of one whose description has no uuid nobody can say that it is another.
    assert machine.look([WEB]).view("web01", UUID)["copy"] == "running"
    # A new guest may have taken the name of one that is left over.
    left = with_uuid(("migrating-web01", 3, 96, 1, "-b----", 5.0), UUID)
    look = machine.look([with_uuid(WEB, OTHER), left])
    assert (look.view("web01", UUID)["copy"], look.view("web01", UUID)["domid"]) == ("left", 3)
    assert look.view("web01", OTHER)["copy"] == "running"


def test_what_is_not_there_may_be_about_to_come(machine):
    assert machine.look([]).view("web01")["settled"] is True
    assert machine.look([], receives=True).view("web01")["settled"] is False
    assert machine.look([], receives=None).view("web01")["settled"] is True


@pytest.mark.parametrize(
    "targets, other",
    [
        (["10.0.0.2:8002"], "xen2"),
        (["10.0.0.2:8002", "10.0.0.2:8002"], "xen2"),
        (["10.0.0.9:8002"], "10.0.0.9"),
        (["10.0.0.2:8002", "10.0.0.3:8002"], "xen3"),
        ([], "xen3"),
    ],
)
def test_the_other_end_of_a_transfer(machine, targets, other):
    """By its connection, or by the note that was made when it was sent."""
    host = machine.host()
    note = {"id": "i1", "name": "web01", "uuid": UUID, "target": "xen3", "at": "2020", "what": "", "kept": ""}
    host.noted = lambda: [dict(note, uuid=OTHER, target="xen2"), note]
    forms = [form_of(ZERO), with_uuid(("migrating-web01", 7, 96, 1, "-b----", 5.0), UUID)]
    look = xm_look.Look(host, xm_output.rows(forms), dict(NONE_SEEN, xc_save=[7], targets=targets))
    assert look.view("web01", UUID)["other"] == other


def test_the_other_end_of_what_comes(machine):
    coming = ("web01", 7, 96, 0, "--p---", 0.0)
    assert machine.look([coming], receives=True, sources=["10.0.0.2:40001"]).view("web01")["other"] == "xen2"
    assert machine.look([coming], receives=True, sources=["10.0.0.2:1", "10.0.0.3:2"]).view("web01")[
        "other"
    ] is None

    def broken():
        raise Error("the pillar cannot be read")

    machine.salt["xend.declared_hosts"] = broken
    assert machine.look([coming], receives=True, sources=["10.0.0.2:1"]).view("web01")["other"] is None


class Relays(object):
    """In the place of xm_relay: what the relays of a host say of the guests that they carry."""

    def __init__(self, machine, **phases):
        os.mkdir(machine.options["kept"])
        for name in phases:
            open(os.path.join(machine.options["kept"], name + ".relay"), "w").close()
        self.phases = phases

    def status(self, path):
        name = os.path.basename(path)[: -len(".relay")]
        return {
            "name": name,
            "uuid": UUID,
            "target": "host of " + name,
            "alive": True,
            "phase": self.phases[name],
            "listens": ["127.0.0.1", 8002],
            "sends_to": ["10.0.0.2", 8002],
            "bytes": 96 << 20,
            "rate_mib_s": 4.5,
            "began_at": 1000.0,
        }


def test_the_other_end_of_what_a_relay_carries(machine):
    """Also when several guests are under way."""
    host = machine.host(xm_relay=Relays(machine, web01="sending", db="sending"))
    seen = dict(NONE_SEEN, targets=["10.0.0.2:8002", "10.0.0.3:8002"])
    assert host.other_end("sending", seen, "web01", UUID) == "host of web01"
    assert host.other_end("sending", seen, "db", UUID) == "host of db"
    # What comes here is carried by a relay of another host.
    assert host.other_end("receiving", dict(NONE_SEEN, sources=["10.0.0.3:1"]), "web01", UUID) == "xen3"


def test_names_that_are_like_one_that_is_not_there(machine):
    rows = [("web02", 7, 96, 1, "-b----", 5.0), ("migrating-web03", 8, 96, 1, "-b----", 5.0)]
    rows += [("db", 9, 96, 1, "-b----", 5.0), ("web\x07", 10, 96, 1, "-b----", 5.0)]
    look = machine.look(rows)
    assert sorted(look.view("Web01")["near"]) == ["web02", "web03"]
    assert look.view("Domain-0 ")["near"] == [] and look.view("db")["near"] == []


def test_what_is_on_its_way(machine):
    host = machine.host(xm_relay=Relays(machine, web01="sending", db="listening", old="sent"))
    rows = [
        ("migrating-web01", 7, 96, 1, "-b----", 5.0),
        # It waits for xend.
        ("db", 8, 64, 1, "-b----", 5.0),
        ("old", 9, 64, 1, "-b----", 5.0),
        ("coming", 10, 32, 0, "--p---", 0.0),
        ("plain", 11, 64, 1, "-b----", 5.0),
    ]
    forms = [form_of(ZERO)] + [with_uuid(row, UUID) for row in rows]
    seen = dict(NONE_SEEN, xc_save=[7], receives=True, sources=["10.0.0.2:40001"])
    found = xm_look.Look(host, xm_output.rows(forms), seen).migrations(1010)
    assert [(one["name"], one["copy"], one["other"], one["memory_mib"]) for one in found] == [
        ("web01", "sending", "host of web01", 96),
        ("db", "running", "host of db", 64),
        ("coming", "receiving", "xen2", 32),
    ]
    assert [(one["bytes"], one["rate_mib_s"], one["seconds"]) for one in found] == [
        (96 << 20, 4.5, 10.0),
        (96 << 20, 4.5, 10.0),
        (None, None, None),
    ]


# Transfers


@pytest.mark.parametrize("phase, sends", [("connecting", True), ("sending", True), ("sent", None)])
def test_what_a_relay_carries_goes_on_when_xend_has_died(machine, phase, sends):
    machine.peers = None
    seen = machine.host(xm_relay=Relays(machine, web01=phase)).transfers()
    assert seen["sends"] is sends and seen["receives"] is None
    assert seen["targets"] == (["10.0.0.2:8002"] if sends else [])


def test_what_shows_before_or_after_counts(machine):
    """Between two looks a transfer may have begun or ended."""
    moments = [
        {"sources": ["10.0.0.2:40001"], "targets": [], "ports": [8002]},
        {"sources": [], "targets": [], "ports": [8002]},
    ]
    for order in (list, reversed):
        left = list(order(moments))
        machine.peers = lambda left=left: left.pop(0)
        seen = machine.host().look().seen
        assert (seen["receives"], seen["sends"], seen["sources"]) == (True, False, ["10.0.0.2:40001"])
    left = [None, moments[1]]
    machine.peers = lambda: left.pop(0)
    seen = machine.host().look().seen
    assert (seen["receives"], seen["sends"]) == (None, None)


@pytest.mark.parametrize(
    "relocation, ports, receives",
    [
        ({"ssl_server": False, "ssl_port": 8003}, [8002], False),
        ({"ssl_server": True, "ssl_port": 8003}, [8002], None),
        # The running xend may have another file than the one that is there now.
        ({"ssl_server": False, "ssl_port": 8003}, [8002, 8003], None),
    ],
)
def test_over_tls_no_connection_proves_nothing(machine, relocation, ports, receives):
    machine.relocation, machine.peers["ports"] = relocation, ports
    assert machine.host().transfers()["receives"] is receives
    machine.peers["sources"] = ["10.0.0.2:40001"]
    assert machine.host().transfers()["receives"] is True


def test_a_file_that_cannot_be_read_may_ask_for_tls(machine):
    def broken():
        raise Error("a file with a slip")

    machine.salt["xend.relocation"] = broken
    assert machine.host().transfers()["receives"] is None


# Waiting


def test_an_arrival_is_waited_for_as_long_as_xend_waits_for_devices(machine, monkeypatch):
    machine.settings["device-create-timeout"] = 30
    host, now, watched = machine.host(), [1000.0], {}
    assert host.devices_s() == 30 and host.gives_up_s() == 30 + xm_look.SLACK_S
    monkeypatch.setattr(xm_look, "clock_s", lambda: now[0])

    def copy_after(seconds, domid=7):
        now[0] += seconds
        found = [{"copy": "arriving", "domid": domid}, {"copy": "running", "domid": 8}]
        host.outwait(found, watched)
        assert found[1]["copy"] == "running"
        return found[0]["copy"]

    assert copy_after(0) == copy_after(50) == "arriving"
    assert copy_after(1) == "unfinished"
    # Another domain is waited for anew, and so is one that has not been arriving meanwhile.
    assert copy_after(1, domid=9) == "arriving"
    assert copy_after(1) == "arriving"


@pytest.mark.parametrize("value, seconds", [(30, 30), ("45", 45), ("soon", 100), (None, 100), ("", 100)])
def test_how_long_xend_waits_for_devices(machine, value, seconds):
    if value is not None:
        machine.settings["device-create-timeout"] = value
    assert machine.host().devices_s() == seconds


def test_a_guest_is_watched_until_its_transfer_is_over(machine, monkeypatch):
    moments = [WEB[:1] + (7, 96, 0, "--p---", 0.0), WEB[:1] + (7, 96, 0, "--p---", 0.0), WEB]
    host, slept = machine.host(), []
    monkeypatch.setattr(xm_look.time, "sleep", slept.append)

    def look():
        row = moments.pop(0)
        return machine.look([row], receives=row[5] == 0)

    host.look = look
    view = host.watch("web01", wait_s=60)
    assert (view["copy"], view["settled"], len(slept)) == ("running", True, 2)
    assert view["seconds"] >= 0
    moments[:] = [("web01", 7, 96, 0, "--p---", 0.0)]
    assert host.watch("web01", wait_s=0)["copy"] == "receiving"


# What may not be told


SECRET = with_uuid(WEB, UUID) + [
    [b"image", [b"hvm", [b"vncpasswd", b"gEh\xc3\xa9iM"], [b"kernel", b"/boot/gr\xc3\xbcn"]]],
    [b"device", [b"vfb", [b"vncpasswd", b"gEhEiM"], [b"type", b"vnc"]]],
]


def test_passwords_are_in_the_text_only(machine):
    look = machine.look([SECRET])
    row = look.guest("web01")
    assert "gEhEiM" in look.text(row)
    told = look.describe(row)
    assert "gEh" not in repr(told) and "(not shown)" in told["sxp"]
    assert (told["name"], told["domid"], told["runs"], told["state"]) == ("web01", 7, True, "-b----")
    assert told["vnc"] == [{}]


def test_of_bytes_that_are_misread_those_of_passwords_are_only_counted(machine):
    look = machine.look([SECRET])
    # As the real xm prints them, and xend writes them for another one.
    machine.said["list"] = b"(domain (image (linux (kernel '/boot/gr\\xc3\\xbcn'))))"
    told, hides = look.misread(look.guest("web01"))
    shown = b"/boot/gr\xc3\xbcn" if bytes is str else "/boot/gr\xfcn"
    assert told == [shown] and hides is True
    machine.failed["list"] = "Error: no answer"
    assert look.misread(look.guest("web01")) == (told, True)
    look = machine.look([WEB])
    assert look.misread(look.guest("web01")) == ([], False)


def test_bytes_that_xend_writes_as_they_are_arrive(machine):
    look = machine.look([SECRET])
    machine.said["list"] = b"(domain (image (linux (kernel '/boot/gr\xc3\xbcn'))))"
    assert look.misread(look.guest("web01")) == ([], False)
    assert machine.commands == [["xm", "list", "--long", "7"]]


def test_a_name_like_a_password_is_the_name(machine):
    row = ("vncpasswd=x", 7, 96, 1, "-b----", 1.0)
    look = machine.look([row])
    assert look.describe(look.guest("vncpasswd=x"))["name"] == "vncpasswd=x"


# A description as text


def test_a_real_description_is_printed_as_xm_prints_it(machine):
    for command in ground_truth.commands("xm/list-long"):
        (form,) = xend_sxp.parse(command.stdout.encode("ascii")).forms()
        look = machine.look([form] if b"tiny" in form[12:14][0] else [])
        row = [row for row in xm_output.rows([form_of(ZERO), form]) if row["form"] is form][0]
        text = look.text(row)
        assert xend_sxp.parse(text.encode("ascii")).forms() == [form]
        assert text == command.stdout


@pytest.mark.parametrize("length", range(60, 100))
def test_lines_are_broken_where_they_would_be_too_wide(machine, length):
    form = with_uuid(WEB, UUID) + [[b"image", [b"linux", [b"args", b"x" * length], [b"pci", []]]]]
    look = machine.look([form])
    text = look.text(look.guest("web01"))
    assert xend_sxp.parse(text.encode("ascii")).forms() == [form]
    assert [line for line in text.splitlines() if len(line) > 80] == [] or length > 50
    assert text.endswith("\n") and all(line.strip() for line in text.splitlines())


# Asking xend


@pytest.fixture
def served(machine):
    """A function that lets a machine's socket answer these bytes to these methods; returns the requests."""
    servers = []

    def serve(answers):
        requests = []

        def behave(connection):
            for method, answer in answers.items():
                if ("<methodName>%s</methodName>" % method).encode("ascii") in requests[-1]:
                    connection.sendall(answer)

        servers.append(serving.serve(machine.options["socket"], behave, requests))
        return requests

    yield serve
    for server in servers:
        serving.stop(server)


def encoded(value):
    """The answer of a xend with this value."""
    text = UTILITY("xend_rpc").xmlrpc.dumps((value,), methodresponse=True, allow_none=True)
    return serving.response(text.encode("utf-8"))


def recorded(name):
    """The answer of a real xend."""
    return serving.response(ground_truth.transcript("xmlrpc/" + name, "xml").encode("utf-8"))


UNKNOWN_METHOD = recorded("unknown-method")


def table_of(look):
    return [[row[key] for key in ("name", "domid", "memory_mib", "vcpus", "state")] for row in look.rows]


def test_the_answer_of_a_real_xend(machine, served):
    requests = served(
        {
            "xend.domains_with_state": recorded("domains-with-state"),
            "xend.node.info": recorded("node-info"),
        }
    )
    host = machine.host()
    look = host.look()
    # Which xm list printed there as well.
    assert table_of(look) == [["Domain-0", 0, 960, 1, "r-----"], ["nov01", 2, 128, 1, "-b----"]]
    assert [row["time_s"] for row in look.rows] == [722.2, 172.6]
    assert len(requests) == 2 and machine.commands == []
    guest = look.describe(look.guest("nov01"))
    assert (guest["image"], guest["image_files"]["ramdisk"]) == ("linux", "/root/guest/initrd.gz")
    assert guest["uuid"] == look.rows[1]["uuid"] and len(guest["uuid"]) == 36
    assert xend_sxp.parse(look.text(look.rows[1]).encode("ascii")).forms() == [look.rows[1]["form"]]
    assert (host.info()["host"], host.info()["free_memory"]) == ("xen1", 934)
    assert host.tools_version() == (4, 4)
    assert machine.commands == []


BY_XM = [["xm", "list", "--long"], ["xm", "list"]]
ROWS = [["Domain-0", 0, 1024, 2, "r-----"], ["web01", 7, 96, 1, "-b----"]]


def test_both_ways_show_the_same(machine, served):
    printed = machine.host().look()
    assert machine.commands == BY_XM and table_of(printed) == ROWS
    served({"xend.domains_with_state": encoded(ANSWER)})
    answered = machine.host().look()
    assert machine.commands == BY_XM
    assert answered.rows == printed.rows
    assert [answered.text(row) for row in answered.rows] == [printed.text(row) for row in printed.rows]
    assert answered.describe(answered.rows[1]) == printed.describe(printed.rows[1])


def test_an_older_xend_is_asked_its_own_question(machine, served):
    """From 3.1 on the second one shows only what runs, so it is not the first."""
    requests = served({"xend.domains_with_state": UNKNOWN_METHOD, "xend.domains": encoded(ANSWER)})
    assert table_of(machine.host().look()) == ROWS
    assert len(requests) == 4 and machine.commands == []


def test_a_xend_that_knows_neither_is_asked_by_xm(machine, served):
    requests = served({"xend.domains_with_state": UNKNOWN_METHOD, "xend.domains": UNKNOWN_METHOD})
    assert table_of(machine.host().look()) == ROWS
    assert len(requests) == 4 and machine.commands == BY_XM


def test_what_broke_inside_xend_is_not_asked_as_of_an_older_one(machine, served):
    """The older question would not show a guest that xend knows and that does not run."""
    text = UTILITY("xend_rpc").xmlrpc.dumps(UTILITY("xend_rpc").xmlrpc.Fault(1, "'vbd'"))
    broken = serving.response(text.encode("utf-8"))
    requests = served({"xend.domains_with_state": broken, "xend.domains": encoded(ANSWER[:1])})
    assert table_of(machine.host().look()) == ROWS
    assert len(requests) == 2 and machine.commands == BY_XM


class Describes(object):
    """An xend_rpc whose xend has these domains and describes those, one after the other."""

    def __init__(self, *moments):
        self.moments = list(moments)

    def ask(self, _path, _method, arguments, _limit_s):
        names, described = self.moments[0]
        if arguments[0]:
            return described
        self.moments = self.moments[1:] or self.moments
        return names


def test_a_guest_that_xend_does_not_describe_is_not_gone(machine):
    """From 3.3 on, xend leaves out what it fails to describe."""
    hides = Describes((["Domain-0", "web01"], ANSWER[:1]))
    with pytest.raises(Error) as caught:
        machine.host(xend_rpc=hides).look()
    assert "xend lists 2 domains and describes 1" in str(caught.value)
    assert machine.host(xend_rpc=hides).view("web01")["copy"] == "unknown"
    assert machine.commands == []


def test_a_xend_that_dawdles_is_not_looked_at_again_and_again(machine, monkeypatch):
    hides, now_s = Describes((["Domain-0", "web01"], ANSWER[:1])), [0]

    def ask(path, method, arguments, limit_s):
        now_s[0] += limit_s - 1
        return Describes.ask(hides, path, method, arguments, limit_s)

    hides.ask = ask
    monkeypatch.setattr(xm_look, "clock_s", lambda: now_s[0])
    with pytest.raises(Error):
        machine.host(xend_rpc=hides).look()
    assert now_s[0] <= 2 * xm_look.ANSWER_S


def test_a_guest_that_has_just_come_is_looked_for_again(machine):
    comes = Describes((["Domain-0", "web01"], ANSWER[:1]), (["Domain-0", "web01"], ANSWER))
    assert table_of(machine.host(xend_rpc=comes).look()) == ROWS
    leaves = Describes((["Domain-0"], ANSWER))
    assert table_of(machine.host(xend_rpc=leaves).look()) == ROWS


def test_names_that_are_none_are_not_understood(machine):
    with pytest.raises(Error) as caught:
        machine.host(xend_rpc=Describes(("web01", ANSWER))).look()
    assert "not understood" in str(caught.value)


def test_a_guest_that_xm_lists_without_describing_it_is_not_gone(machine):
    (listed,) = ground_truth.commands("xm/list")[:1]
    table = listed.stdout.encode("ascii")
    machine.said = {"list": table, "list --long": PRINTED.splitlines()[0]}
    assert len(table.splitlines()) > 2
    with pytest.raises(Error) as caught:
        machine.host().look()
    assert "describes 1 of them" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        serving.response(b"<html><body>It works!<br></body></html>"),
        recorded("domains-with-state")[:2000],
    ],
)
def test_nonsense_is_no_answer_and_xm_is_asked(machine, served, answer):
    requests = served({"xend.domains_with_state": answer})
    assert table_of(machine.host().look()) == ROWS
    assert len(requests) == 2 and machine.commands == BY_XM


def test_a_socket_that_was_left_behind_is_no_xend(machine, served):
    served({})
    with open(machine.options["socket"] + "2", "w"):
        machine.options["socket"] += "2"
    assert table_of(machine.host().look()) == ROWS
    assert machine.commands == BY_XM


def test_a_xend_that_hangs_is_not_waited_for_twice(machine):
    silent = Asked(IOError(errno.ETIMEDOUT, "xend did not answer"))
    for call in (lambda host: host.look(), lambda host: host.info()):
        with pytest.raises(Error) as caught:
            call(machine.host(xend_rpc=silent))
        said = str(caught.value)
        assert "xend did not answer within %d s" % xm_look.ANSWER_S in said
        assert caught.value.problem in said and caught.value.remedy and caught.value.remedy in said
        assert "\n" not in said
    assert machine.commands == []
    view = machine.host(xend_rpc=silent).view("web01")
    assert (view["copy"], view["settled"], view["xend"]) == ("unknown", False, False)
    assert "did not answer" in view["problem"] and view["remedy"]


class Asked(object):
    """An xend_rpc to which something happens."""

    def __init__(self, error):
        self.error, self.limits = error, []

    def ask(self, _path, _method, _arguments, limit_s):
        self.limits.append(limit_s)
        raise self.error


def test_whoever_asks_gives_a_limit(machine):
    absent = Asked(IOError(errno.ENOENT, "no such file"))
    machine.host(xend_rpc=absent).look()
    assert absent.limits == [xm_look.ANSWER_S] * 2 and machine.commands == BY_XM


def test_xm_that_fails_is_an_error_with_what_it_said(machine):
    machine.failed["list"] = "WARNING: xend/xm is deprecated.\nError: Unable to connect to xend: refused.\n"
    with pytest.raises(Error) as caught:
        machine.host().look()
    assert caught.value.problem == "xm list: Unable to connect to xend: refused."
    assert caught.value.remedy
    assert machine.host().view("web01")["problem"] == caught.value.problem


@pytest.mark.parametrize(
    "printed, said",
    [
        (b"", "Domain-0"),
        (PRINTED.splitlines()[1], "Domain-0"),
        (PRINTED + b"(domain (name x)", "unexpected EOF"),
        # What xend's own reader would drop without a word.
        (PRINTED + b"(domain (name", "in the middle"),
        (PRINTED.replace(b"web01", b"\x04"), "end of text"),
        (PRINTED.replace(b"web01", b"'a)\n(b"), "never closed"),
        (PRINTED + b"\x04 (domain)", "in the middle"),
        (PRINTED + b"(nothing)", "not understood"),
        (PRINTED + b"(domain (name x) (domid y))", "y"),
    ],
)
def test_what_is_not_understood_is_an_error(machine, printed, said):
    """And never a host that has not got a guest."""
    machine.said["list"] = printed
    with pytest.raises(Error) as caught:
        machine.host().look()
    assert said in str(caught.value) and str(caught.value).startswith("xm list --long: ")
    assert machine.host().view("web01")["copy"] == "unknown"


def test_no_password_is_in_what_is_said_of_nonsense(machine):
    machine.said["list"] = PRINTED + b"(domain (device (vfb (vncpasswd gEhEiM) (x)"
    with pytest.raises(Error) as caught:
        machine.host().look()
    assert "gEhEiM" not in str(caught.value)


@pytest.mark.parametrize(
    "printed, name",
    [
        # What xm prints of bytes that are no ASCII, which the parser of xend misreads.
        (br"'Gr\xc3\xb6\xc3\x9fe'", b"Gr\xc3\xb6\xc3\x9fe"),
        (br"'\x1b[31mred'", b"\x1b[31mred"),
        (br"'\x0b\x0c\x7f'", b"\x0b\x0c\x7f"),
        (br"'a \\xc3 b'", br"a \xc3 b"),
        (br"'\\\xc3\xa4'", b"\\\xc3\xa4"),
        (br"'\xc3\xa41'", b"\xc3\xa41"),
        (br"'two\nlines\t'", b"two\nlines\t"),
    ],
)
def test_bytes_that_are_no_ascii_are_read_as_they_were(machine, printed, name):
    machine.said["list"] = PRINTED.replace(b"web01", printed)
    row = machine.host().look().rows[1]
    assert [b"name", name] in row["form"]
    assert row["name"] == (name if bytes is str else name.decode("utf-8"))


def test_options_have_defaults_and_are_text(machine):
    host = machine.host()
    assert host.option("xm") == "xm" and host.option("log") == "/var/log/xen/xend.log"
    assert host.path("/etc/x") == machine.options["root"] + "/etc/x"
    machine.options["xm"] = ["xm"]
    with pytest.raises(Error) as caught:
        host.option("xm")
    assert "the option xend:xm" in str(caught.value)


def test_what_goes_to_salt_is_only_text_and_numbers(machine, served):
    served({"xend.domains_with_state": encoded(ANSWER)})
    host = machine.host()
    look = host.look()
    json.dumps([look.view("web01"), look.copies(), look.describe(look.rows[1]), host.info()])
