"""No password in what any function or state returns, raises or logs: those of guests and of xend itself.

On simulated hosts, whose xm prints them as the real one does. Only ``xend.get``, asked for one by its key,
returns it.
"""

import contextlib
import json
import logging
import os
import re

import pytest
import salt.exceptions
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import OPEN
from tests.harness.loading import REPO
from tests.lab import salt_config
from tests.lab.fleet import HostSpec

# In the image of a HVM guest and its vfb, in a vfb, on a command line, in xend's file, and what is to be set.
MARK = "mArk"
IMAGE, VFB, ARGS, OWN, NEW = [MARK + word for word in ("1img", "2vfb", "3arg", "4own", "5new")]
CONFIG = OPEN + "(vnc-listen '127.0.0.1')\n(vncpasswd '%s')\n(keymap de)\n" % OWN
XM_PLAIN = {
    "check_options": [],
    "copies": [],
    "evacuation": [],
    "host": [],
    "info": [],
    "lifecycle": [],
    "list": [],
    "migrations": [],
    "moving": [],
    "unfinished": [],
}


@pytest.fixture(scope="module")
def running(new_fleet):
    fleet = new_fleet(*[HostSpec(name, config=CONFIG, time_scale=0.02) for name in ("xen1", "xen2")])
    fleet.start()
    return fleet


@pytest.fixture
def fleet(running):
    yield running
    for host in running:
        host.clear()
        host.config.write_text(CONFIG)
        for note in salt_config.notes(host):
            note.unlink()


@pytest.fixture
def guests(fleet):
    """One with a password in its image and one with others, that have come here a while ago."""
    return [
        fleet["xen1"].create_guest(
            "win01", image="hvm", vncunused=1, vncpasswd=IMAGE, managed=True
        ),
        fleet["xen1"].create_guest(
            "web01",
            vfb={"vncunused": 1, "vncpasswd": VFB},
            args="root=/dev/xvda vncpassword=%s quiet" % ARGS,
        ),
    ]


@pytest.fixture
def logged(caplog):
    """All that is logged, at whatever level."""
    caplog.set_level(1)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).disabled = False
    return caplog


@pytest.fixture
def spoken(logged):
    """A function that calls another and keeps what it says; all of it is looked at in the end."""
    said = []

    def call(function, *arguments, **keywords):
        try:
            result = function(*arguments, **keywords)
        except (CommandExecutionError, salt.exceptions.SaltInvocationError) as exc:
            said.append("%s %r" % (exc, exc.__dict__))
            return None
        said.append(json.dumps(result, default=repr))
        return result

    yield call
    records = [
        "%s %s" % (record.getMessage(), record.exc_text or "")
        for record in logged.get_records("call")
    ]
    assert said and records
    assert [text for text in said + records if MARK in text] == []


class Functions:
    """Those of a module or of states on a host, loaded anew for each call as for each job of a minion."""

    def __init__(self, make):
        self.make = make

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            return getattr(self.make(), name)(*arguments, **keywords)

        return call


@pytest.fixture
def xm(minion_on):
    return lambda name: Functions(lambda: minion_on(name).modules.xm)


@pytest.fixture
def xm_states(minion_on):
    return lambda name, test=False: Functions(lambda: minion_on(name, test=test).states.xm)


def public(module):
    """The names of all functions of a module."""
    files = [*(REPO / "_modules").glob(module + ".py"), *(REPO / "_modules").glob(module + "_*.py")]
    text = "\n".join(path.read_text() for path in files)
    return sorted(name.rstrip("_") for name in re.findall(r"^def ([a-z]\w*)", text, re.MULTILINE))


def steady(text):
    """A description but for what changes while a guest runs."""
    return re.sub(r"\((?:cpu_time|state) [^)]*\)", "", text).strip()


def test_xm_prints_them_and_they_stay_on_their_host(fleet, guests, xm, spoken):
    """The simulated one as that of xend 4.4 (XendConfig.device_sxpr and image_sxpr)."""
    printed = fleet["xen1"].xm_run("list", "--long").stdout
    assert printed.count(IMAGE) == 2 and VFB in printed and ARGS in printed
    here, there = xm("xen1"), xm("xen2")
    for guest in guests:
        found = spoken(here.domain, guest.name)
        mine = fleet["xen1"].xm_run("list", "--long", guest.name).stdout
        shown = re.sub(r"%s\w+" % MARK, "(not shown)", mine)
        assert steady(found["sxp"]) == steady(shown)
        assert found["uuid"] == guest.uuid and found["name"] == guest.name
        moved = here.migrate(guest.name, "xen2")
        spoken(dict, moved)
        with open(moved["kept"], encoding="utf-8") as stream:
            kept = stream.read()
        assert steady(kept) == steady(mine)
        assert os.stat(moved["kept"]).st_mode & 0o777 == 0o600
        assert spoken(there.domain, guest.name)["uuid"] == guest.uuid


def test_no_function_of_xm_says_one(guests, xm, spoken):
    here, there = xm("xen1"), xm("xen2")
    win, web = guests
    for name, arguments in XM_PLAIN.items():
        spoken(getattr(here, name), *arguments)
    done = set(XM_PLAIN)

    def call(where, name, *arguments, **keywords):
        done.add(name)
        return spoken(getattr(where, name), *arguments, **keywords)

    reports = [call(here, "report", guest.name) for guest in guests]
    assert [one["domain"]["uuid"] for one in reports] == [win.uuid, web.uuid]
    described = [call(here, "domain", guest.name) for guest in guests]
    call(here, "told", json.dumps(described))
    assert call(here, "peer", "xen2")["id"] == "xen2"
    where = call(here, "where", "web01", web.uuid)
    view = dict(where, host="xen1")
    call(here, "under_way", "web01", view)
    call(here, "nowhere", "web01", where, "xen2", {"copy": "absent"})
    call(here, "not_described", "web01", where)
    both = {"xen1": here.copies(), "xen2": there.copies()}
    assert [len(one["copies"]) for one in both.values()] == [2, 0]
    call(here, "unheard", both)
    call(here, "findings", both)
    for guest, one in zip(guests, described, strict=True):
        call(here, "can_send", guest.name, "xen2")
        call(there, "can_receive", one, source=here.host())
        marked = call(here, "mark_disks", guest.name)
        call(there, "same_disks", marked, "xen1")
        call(here, "unmark_disks", marked)
        call(there, "restart_advice", one, "xen1")
        call(there, "reserve", one, "migration from xen1")
    survey = call(here, "survey", "xen1", doors=["xen2"])
    call(there, "room_for", described, here.host(), survey["marked"])
    for wrong in (
        dict(described[0], memory_mib="x", sxp=MARK),
        dict(described[0], name=None, sxp=MARK),
        [MARK],
    ):
        call(there, "can_receive", wrong)
    call(there, "can_receive", described[0], asked={"vncpasswd": MARK})
    call(here, "migrate", "web01", "xen2", node={"vncpasswd": MARK})
    call(here, "migrate", "web01", "xen2", accept={"vncpasswd": "x", "sxp": "y" * 99 + MARK})
    call(here, "migrate", "web01", "xen2")
    call(there, "arrival", "web01", web.uuid, "xen1")
    (made,) = here.copies()["sent"]
    call(here, "repair", "rename", "migrating-web01", web.uuid, 99)
    call(here, "restore", "web01", web.uuid, made["id"])
    call(here, "forget_managed", "win01", win.uuid, test=True)
    call(here, "settle_moves", {"xen1": {"release": ["web01"], "forget": [dict(made, note="other")]}})
    call(here, "forget", "web01", web.uuid, made["id"])
    call(here, "close_host", [{"name": "web01", "uuid": web.uuid, "target": "xen2"}], "me")
    call(here, "open_host")
    assert sorted(done) == public("xm")


def test_no_state_of_xm_says_one(guests, xm, xm_states, spoken):
    win, web = guests
    described = xm("xen1").domain("web01")
    for test in (True, False):
        here, there = xm_states("xen1", test), xm_states("xen2", test)
        spoken(here.can_send, "web01", "xen2")
        spoken(there.can_receive, "web01", domain=described, source=xm("xen1").host())
        spoken(there.can_receive, "web01", domain=dict(described, memory_mib="x"))
        spoken(here.migrated, "web01", "xen2", source="xen1", domain=described)
        spoken(there.migrated, "web01", "xen2", source="xen1", domain=described)
        spoken(here.unmanaged, "win01", win.uuid)
        spoken(here.repaired, "web01", "rename", "migrating-web01", web.uuid, 99)
        spoken(here.host_closed, "c", [{"name": "web01", "uuid": web.uuid, "target": "xen2"}], "me")
        spoken(here.host_opened, "o")
    # One that is lost: all is said of it that is needed to start it again.
    lost = spoken(
        there.migrated,
        "win01",
        "xen2",
        source="xen1",
        domain=dict(described, name="win01", uuid="u"),
    )
    assert "xm create" in lost["comment"] and "without its passwords" in lost["comment"]


@pytest.fixture
def told(fleet, xm):
    """A function that gives the advice of xen2 on a guest that is lost, and what it has kept."""
    folder = str(fleet["xen2"].root / "kept")

    def advise(domain, source="xen1"):
        advice = xm("xen2").restart_advice(domain, source)
        kept = [
            name for name in os.listdir(folder) if name.startswith("%(name)s.%(uuid)s" % domain)
        ]
        return advice, {
            name: content(os.path.join(folder, name)) for name in kept if ".sxp" in name
        }

    return advise


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_what_is_kept_of_a_lost_guest_is_no_file_for_xm(fleet, guests, xm, told, load):
    """Else the words that stand for the password would be the password, which everybody knows."""
    win = guests[0]
    advice, kept = told(xm("xen1").domain("win01"))
    own = "win01.%s.sxp" % win.uuid
    assert (
        "without its passwords" in advice
        and "complete one is kept on xen1" in advice
        and own in advice
    )
    (name,) = kept
    assert name in advice and name != own and b"(not shown)" in kept[name] and b"xen1" in kept[name]
    path = fleet["xen2"].root / "told.sxp"
    path.write_bytes(kept[name])
    reader = load(xend={"config": str(path)}).modules.xend
    with pytest.raises(CommandExecutionError) as caught:
        reader.get("domain")
    assert "syntax error: )" in str(caught.value)
    # Once they are put in, it is what xm printed.
    filled = kept[name].replace(b"\n)\n", b"\n", 1).replace(b"(not shown)", IMAGE.encode())
    path.write_bytes(filled)
    assert load(xend={"config": str(path)}).modules.xend.list()
    printed = fleet["xen1"].xm_run("list", "--long", "win01").stdout
    assert steady(printed) in steady(filled.decode())


@pytest.mark.parametrize("vncpasswd", [IMAGE, ""])
def test_what_a_host_has_kept_itself_is_never_overwritten(fleet, xm, told, vncpasswd):
    guest = fleet["xen1"].create_guest("app01", vfb={"vncunused": 1, "vncpasswd": vncpasswd})
    described = xm("xen1").domain("app01")
    own = "app01.%s.sxp" % guest.uuid
    xm("xen1").migrate("app01", "xen2")
    assert fleet["xen2"].wait_alive("app01")
    xm("xen2").migrate("app01", "xen1")
    before = told(described)[1][own]
    advice, kept = told(dict(described, sxp="(domain (name evil) (vncpasswd '(not shown)'))"))
    assert kept[own] == before and own in advice
    advice, kept = told(dict(described, sxp="(domain (name evil))"))
    assert kept[own] == before and "evil" in kept[own.replace(".sxp", ".told.sxp")].decode()
    assert own in advice


def test_a_guest_without_a_password_is_kept_as_it_is(fleet, xm, told):
    guest = fleet["xen1"].create_guest("plain", vfb={"vncunused": 1, "vncpasswd": ""})
    described = xm("xen1").domain("plain")
    advice, kept = told(described)
    assert kept["plain.%s.sxp" % guest.uuid].decode() == described["sxp"]
    assert "(vncpasswd )" in described["sxp"] or "(vncpasswd '')" in described["sxp"]
    assert "password" not in advice


def test_a_password_that_would_arrive_as_another_one_keeps_a_guest_here(fleet, xm, spoken):
    """What xend misreads is looked for in all of its description, but not shown."""
    fleet["xen1"].create_guest("app02", vfb={"vncunused": 1, "vncpasswd": MARK + " \x7f[0m"})
    check = spoken(xm("xen1").can_send, "app02", "xen2")
    assert not check["ok"] and "a password of app02" in " ".join(check["blockers"])


# xend's own


def broken(word):
    """Files with a password, most of them such as people leave behind when they make a slip."""
    yield "(vncpasswd '%s')\n(xend-relocation-port 8002)\n" % word
    yield "(keymap de)\n(vncpasswd %s)\n#(vncpasswd 'x')\n" % word
    yield "#(vncpasswd '%s')\n(xend-relocation-port 8002)\n" % word
    yield "(vncpasswd\n  '%s')\n(xend-relocation-port 8002)\n" % word
    yield "(vncpasswd (%s (%s)))\n" % (word, word)
    yield "(vncpasswd %s %s)\n" % (word, word)
    yield "vncpasswd %s)\n(xend-relocation-port 8002)\n" % word
    yield "vncpasswd %s\n(xend-relocation-port 8002)\n" % word
    yield "vncpasswd=%s\n(vncpasswd=%s)\n" % (word, word)
    yield "(vncpasswd) %s\n" % word
    yield "(vncpasswd %s\n(xend-relocation-port 8002)\n" % word
    yield "(vncpasswd '%s)\n(xend-relocation-port 8002)\n" % word
    yield "(vncpasswd '%s\\d\\400')\n" % word
    yield "(vncpasswd '%s\\d')\n" % word
    yield "(vncpasswd '%s\\.7')\n" % word
    yield "(vncpasswd !%s!)\n" % word
    yield "(vncpasswd %s \x01)\n" % word
    yield "(vncpaswd '%s')\n(VNCPASSWD %s)\n" % (word, word)
    yield "(x (vncpasswd %s (xend-relocation-port 8002)))\n" % word
    yield "(xend-relocation-address '10.0.0.1)\n(vncpasswd %s)\n(keymap 'de')\n" % word
    yield "(xend-relocation-hosts-allow '^a$)\n(vncpasswd %s)\n(keymap 'de')\n" % word
    yield "(xend-relocation-port '8002)\n(vncpasswd \"%s\")\n(keymap 'de')\n" % word
    yield "(network-script 'network-bridge vncpasswd=%s')\n" % word


@pytest.mark.parametrize("number", range(len(list(broken("")))))
def test_no_function_of_xend_says_one(load, tmp_path, spoken, number):
    path = tmp_path / "xend-config.sxp"
    other = tmp_path / "other.sxp"
    minion = load(xend={"config": str(path)}, backup_mode="minion")
    xend, states = minion.modules.xend, minion.states.xend
    path.write_text(list(broken(OWN))[number])
    other.write_text(list(broken(NEW))[number])
    for version in (None, "3.0.3", "3.4"):
        spoken(xend.check, version=version)
    for function in (xend.list, xend.relocation, xend.status, xend.listens):
        spoken(function)
    spoken(xend.accepts, "10.0.0.1", name="a")
    spoken(xend.restart, test=True)
    for test in (True, False):
        spoken(xend.set, "keymap", "en", test=test)
        spoken(xend.set, "xend-relocation-port", 8010, test=test)
        spoken(xend.set, "xend-relocation-address", "10.0.0.2", test=test)
        spoken(xend.configure, port=8011, hosts_allow=["10.0.0.3"], address="10.0.0.3", test=test)
        spoken(xend.remove, "network-script", test=test)
        spoken(states.relocation, "r", port=8012, address="10.0.0.4", hosts_allow=["10.0.0.4"])
        spoken(states.option_present, "console-limit", 5)
    spoken(xend.set, "vncpasswd", NEW, test=True)
    spoken(states.option_present, "vncpasswd", NEW)
    spoken(states.option_absent, "vncpasswd")


def test_that_a_password_changes_is_shown(load, tmp_path, spoken):
    path = tmp_path / "xend-config.sxp"
    path.write_text("(keymap de)\n(vncpasswd '%s')\n" % OWN)
    minion = load(xend={"config": str(path)})
    xend = minion.modules.xend
    done = spoken(xend.set, "vncpasswd", NEW)
    assert (done["changed"], done["old"], done["new"]) == (True, "(not shown)", "(not shown)")
    assert "\n (keymap de)\n-(vncpasswd (not shown))\n+(vncpasswd (not shown))\n" in done["diff"]
    assert path.read_text() == "(keymap de)\n(vncpasswd %s)\n" % NEW
    assert spoken(xend.set, "vncpasswd", NEW)["changed"] is False
    assert spoken(xend.list) == {"keymap": "de", "vncpasswd": "(not shown)"}
    done = spoken(minion.states.xend.option_present, "vncpasswd", "")
    assert done["result"] is True
    assert done["changes"]["vncpasswd"] == {"old": "(not shown)", "new": ""}
    assert "+(vncpasswd '')" in done["changes"]["diff"]
    for wrong in ({"a": MARK}, [[{"a": MARK}]], 1.5, None):
        spoken(xend.set, "vncpasswd", wrong)
    path.write_text("(vncpasswd '%s')\n" % OWN)
    assert xend.get("vncpasswd") == OWN


def test_no_function_says_the_password_of_a_running_xend(fleet, minion_on, spoken):
    minion = minion_on("xen1")
    xend, states = minion.modules.xend, minion.states.xend
    address = fleet["xen2"].address
    calls = {
        "accepts": [address],
        "as_wanted": [],
        "check": [],
        "configure": [],
        "declared_hosts": [],
        "expected": [],
        "firewall_sources": [[address]],
        "guard": [],
        "list": [],
        "listens": [],
        "outlook": [["xen2"]],
        "peer": ["xen2"],
        "probe": ["xen2"],
        "ready": [],
        "reserve": ["web01"],
        "release": ["web01"],
        "relocation": [],
        "remove": ["keymap"],
        "restart": [],
        "restart_accept": [],
        "service": [],
        "set": ["keymap", "fr"],
        "settings": [],
        "status": [],
        "transfers": [],
    }
    assert sorted(calls) == sorted(set(public("xend")) - {"get"})
    for name, arguments in calls.items():
        with contextlib.suppress(TypeError):
            spoken(
                getattr(xend, name), *arguments, **({"port": 8003} if name == "configure" else {})
            )
    fleet["xen1"].config.write_text(CONFIG.replace("(keymap de)", "(keymap en)"))
    spoken(states.applied, "a", timeout=120)
    # One with which xend does not start, and is put back.
    fleet["xen1"].config.write_text(CONFIG.replace(OWN + "'", NEW + "\\400'"))
    spoken(states.applied, "a", timeout=120)
    spoken(xend.restart)


def test_a_command_that_is_not_there_is_named_and_the_environment_is_not(
    minion_on, fleet, spoken, monkeypatch
):
    monkeypatch.setenv("A_SECRET", MARK)
    minion = minion_on(
        "xen1", xm="/nowhere/xm", python="/nowhere/python", socket="/nowhere/xmlrpc.sock"
    )
    with pytest.raises(CommandExecutionError) as caught:
        minion.modules.xm.list()
    assert "/nowhere/xm cannot be run" in str(caught.value) and "context" not in str(caught.value)
    spoken(minion.modules.xm.list)
    spoken(minion.modules.xm.report, "web01")
