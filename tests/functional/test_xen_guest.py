"""The module xen_guest and its states, in the file systems of simulated hosts.

Which file belongs to a guest is decided in _utils/xm_files.py and tested with it; here is what a minion
makes of it, and the command that announces a guest.
"""

import base64
import json
import os

import pytest

from tests.functional.conftest import refused
from tests.harness.loading import host_opts
from tests.lab.fleet import HostSpec

UUID = "6a3c5d52-77a1-4d9e-9d0a-5b1f2c3d4e5f"
# A comment in Latin-1, as people wrote them then: no UTF-8.
TEXT = b'# G\xe4ste\nname = "web01"\nmemory = 96\ndisk = ["phy:vg/web01,xvda,w"]\n'
FILE, LINK = "/etc/xen/web01", "/etc/xen/auto/20-web01"


@pytest.fixture(scope="module")
def running(open_fleet):
    return open_fleet(HostSpec("xen1"), HostSpec("xen2"))


@pytest.fixture
def fleet(running):
    before = {host.name: set(files(host)) for host in running}
    yield running
    for host in running:
        host.clear()
        for path in set(files(host)) - before[host.name]:
            host.path(path).unlink()


def files(host):
    """What is in the folders of guests' files: {path of the host: bytes, or where a link leads}."""
    found = {}
    for folder in ("/etc/xen", "/etc/xen/auto", "/kept"):
        for path in host.path(folder).glob("*"):
            if path.is_symlink():
                found["%s/%s" % (folder, path.name)] = os.readlink(path)
            elif path.is_file():
                found["%s/%s" % (folder, path.name)] = path.read_bytes()
    return found


@pytest.fixture
def on(minion_on):
    return lambda name, **options: minion_on(name, **options).modules.xen_guest


@pytest.fixture
def web01(fleet):
    """Its file, and its link in the auto folder, on xen1."""
    fleet["xen1"].path(FILE).write_bytes(TEXT)
    fleet["xen1"].path(FILE).chmod(0o640)
    fleet["xen1"].path(LINK).symlink_to("../web01")


# Options


@pytest.mark.parametrize(
    "value, follows", [(True, True), (False, False), (None, False), ("", False)]
)
def test_whether_files_follow(on, value, follows):
    assert on("xen1", follow=value).follows() is follows


@pytest.mark.parametrize("value", ["yes", "no", "true", "False", 2, ["web01"], {"web01": True}])
def test_a_wish_that_is_neither_yes_nor_no_is_refused(on, value):
    said = refused(on("xen1", follow=value).follows)
    assert "xend:follow" in said and str(value) in said


def test_options_may_come_from_the_pillar(load, fleet):
    pillar = {"xend": {"follow": True, "announce": ["/bin/true", "-q"]}}
    module = load(pillar=pillar, **host_opts(fleet["xen1"])).modules.xen_guest
    assert module.follows() is True
    assert module.announce("web01", test=True) == ["/bin/true", "-q", "web01"]


# Finding


def test_the_file_of_a_guest(on, web01):
    found = on("xen1").find("web01", UUID)
    assert (found["path"], found["mode"], found["auto"]) == (FILE, 0o640, "20-web01")
    assert found["text"].encode("latin-1") == TEXT
    assert found["problem"] is None and found["shared"] == []
    # It goes to another host as JSON.
    assert json.loads(json.dumps(found)) == found


def test_a_guest_without_a_file(on, fleet):
    found = on("xen1").find("web01")
    assert [found[key] for key in ("path", "text", "mode", "auto", "problem")] == [None] * 5


def test_files_that_lie_elsewhere(on, fleet):
    folder = fleet["xen1"].path("/srv/guests")
    folder.mkdir(exist_ok=True)
    (folder / "web01.cfg").write_bytes(TEXT)
    try:
        assert on("xen1").find("web01")["path"] is None
        for folders in ("/srv/guests", ["/etc/xen", "/srv/guests"]):
            assert on("xen1", domain_files=folders).find("web01")["path"] == "/srv/guests/web01.cfg"
    finally:
        (folder / "web01.cfg").unlink()


def test_two_files_for_one_guest_are_no_answer(on, fleet, web01):
    fleet["xen1"].path("/etc/xen/web01.old").write_bytes(TEXT + b"vcpus = 2\n")
    found = on("xen1").find("web01")
    assert found["path"] is None and "keep one of them" in found["problem"]
    # The root of the host is the minion's business, not that of people.
    assert str(fleet["xen1"].root) not in found["problem"]


# Warnings


def test_a_link_that_stays_behind_is_warned_of(minion_on, fleet, web01):
    (said,) = minion_on("xen1").modules.xen_guest.warnings("web01")
    assert "xen1 starts web01 at its next boot" in said and LINK in said
    fleet["xen1"].create_guest("web01")
    check = minion_on("xen1").modules.xm.can_send("web01", "xen2")
    assert check["ok"] and check["warnings"] == [said]


def test_a_link_that_follows_is_no_matter(on, web01):
    assert on("xen1", follow=True).warnings("web01") == []


def test_without_a_link_there_is_nothing_to_warn_of(on, fleet, web01):
    fleet["xen1"].path(LINK).unlink()
    assert on("xen1").warnings("web01") == []
    assert on("xen2").warnings("web01") == []


def test_a_file_that_should_follow_and_is_not_certain_is_warned_of(on, fleet, web01):
    fleet["xen1"].path("/etc/xen/web01.old").write_bytes(TEXT + b"vcpus = 2\n")
    assert "keep one of them" in "".join(on("xen1", follow=True).warnings("web01"))


# Moving the file


def test_the_file_and_its_link_move(on, fleet, web01):
    found = on("xen1").find("web01", UUID)
    there, target = files(fleet["xen2"]), on("xen2", follow=True)
    assert target.check_put(found) == []
    assert set(target.put(found)["changes"]) == {FILE, LINK}
    assert files(fleet["xen2"]) == {**there, FILE: TEXT, LINK: "../web01"}
    assert fleet["xen2"].path(FILE).stat().st_mode & 0o777 == 0o640
    again = on("xen2").find("web01", UUID)
    assert {key: again[key] for key in found} == found
    here = files(fleet["xen1"])
    assert set(on("xen1").take(found)["changes"]) == {FILE, LINK}
    (kept,) = set(files(fleet["xen1"])) - set(here)
    assert kept.startswith("/kept/") and files(fleet["xen1"])[kept] == TEXT
    assert fleet["xen1"].path(kept).stat().st_mode & 0o777 == 0o600
    assert set(here) - set(files(fleet["xen1"])) == {FILE, LINK}
    assert on("xen1").find("web01")["path"] is None
    # All is done.
    assert target.put(found)["changes"] == {} and on("xen1").take(found)["changes"] == {}


def test_what_would_be_done_is_said_and_not_done(on, fleet, web01):
    found = on("xen1").find("web01")
    before = files(fleet["xen1"]), files(fleet["xen2"])
    target = on("xen2", follow=True)
    told = target.put(found, test=True), on("xen1").take(found, test=True)
    assert (files(fleet["xen1"]), files(fleet["xen2"])) == before
    assert told == (target.put(found), on("xen1").take(found))


def test_a_different_file_is_never_overwritten(minion_on, on, fleet, web01):
    found = on("xen1").find("web01")
    fleet["xen2"].path(FILE).write_bytes(b"name = 'other'\n")
    before = files(fleet["xen2"])
    target = minion_on("xen2", follow=True).modules
    (said,) = target.xen_guest.check_put(found)
    assert FILE in said and str(fleet["xen2"].root) not in said
    for test in (True, False):
        assert said in refused(target.xen_guest.put, found, test=test)
    assert files(fleet["xen2"]) == before
    # It keeps the guest from coming at all.
    fleet["xen1"].create_guest("web01")
    described = minion_on("xen1").modules.xm.domain("web01")
    blocked = target.xm.can_receive(described, file=found)
    assert blocked["ok"] is False and said in blocked["blockers"]


def test_a_file_that_was_changed_meanwhile_stays(on, fleet, web01):
    found = on("xen1").find("web01")
    fleet["xen1"].path(FILE).write_bytes(TEXT + b"vcpus = 2\n")
    before = files(fleet["xen1"])
    assert FILE in refused(on("xen1").take, found)
    assert files(fleet["xen1"]) == before


def test_without_a_place_to_keep_it_the_file_stays(on, fleet, web01, tmp_path):
    (tmp_path / "file").write_text("")
    found = on("xen1").find("web01")
    said = refused(on("xen1", kept=str(tmp_path / "file" / "kept")).take, found)
    assert str(tmp_path / "file") in said and "Not a directory" in said
    assert fleet["xen1"].path(FILE).read_bytes() == TEXT


def test_what_was_not_found_does_not_move(on, fleet):
    found = on("xen1").find("web01")
    assert on("xen2").check_put(found) == []
    assert on("xen2").put(found) == on("xen1").take(found) == {"changes": {}}


def test_a_report_has_the_file_only_when_it_is_to_follow(minion_on, fleet, web01):
    guest = fleet["xen1"].create_guest("web01")
    assert minion_on("xen1").modules.xm.report("web01")["file"] is None
    report = minion_on("xen1", follow=True, announce="/bin/true").modules.xm.report("web01")
    assert report["file"]["path"] == FILE and report["file"]["uuid"] == guest.uuid
    assert report["announces"] is True and report["problem"] is None
    wrong = minion_on("xen1", follow="yes").modules.xm.report("web01")
    assert "xend:follow" in wrong["problem"] and wrong["domain"]["uuid"] == guest.uuid


# What one host says to another


LIE = {"name": "web01", "uuid": UUID, "path": FILE, "text": "name = 'web01'\n", "mode": 0o644, "auto": None}


@pytest.fixture
def everything(fleet):
    """All files of xen2, wherever."""
    root = fleet["xen2"].root

    def look():
        # What runs there writes its own.
        written = ("var", "proc", "sys", "dev", "log", "state")
        return {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.relative_to(root).parts[0] not in written
        }

    return look


@pytest.mark.parametrize("follow", [False, None])
def test_a_host_that_takes_no_files_takes_none(minion_on, fleet, everything, follow):
    minion, before = minion_on("xen2", follow=follow), everything()
    (said,) = minion.modules.xen_guest.check_put(LIE)
    assert "xen2" in said and "xend:follow" in said
    for test in (True, False):
        assert refused(minion.modules.xen_guest.put, LIE, test=test) == said
    assert minion.states.xen_guest.present("web01", file=LIE)["comment"] == said
    assert everything() == before and minion.modules.xen_guest.key() is None


def test_a_host_whose_setting_is_wrong_takes_none(minion_on, fleet, everything):
    minion, before = minion_on("xen2", follow="yes"), everything()
    assert "xend:follow" in minion.modules.xen_guest.check_put(LIE)[0]
    assert "xend:follow" in refused(minion.modules.xen_guest.put, LIE)
    assert minion.states.xen_guest.present("web01", file=LIE)["result"] is False
    assert everything() == before


LIES = [
    {"path": "/etc/cron.d/web01"},
    {"path": "/etc/xen/../cron.d/web01"},
    {"path": "/etc/xen/scripts/vif-bridge2"},
    {"path": "/etc/xen/web01", "auto": "S99web01", "auto_folder": "/etc/rc3.d"},
    {"auto": "../../rc3.d/S99web01"},
    {"mode": 0o4755},
    {"mode": 0o666},
    {"mode": "0644"},
    {"text": 5},
    {"text": 262145 * "x"},
    {"text": "name = 'db01'\n"},
    {"name": 5.5},
    {"name": "db01", "text": "name = 'db01'\n"},
    {"path": 5},
    {"path": []},
    {"seal": "x"},
    {"text": None, "seal": "x"},
    {"text": None, "seal": 5},
]


def test_what_a_lying_host_wants_is_not_written(minion_on, fleet, everything):
    minion, before = minion_on("xen2", follow=True), everything()
    for words in LIES:
        found = {**LIE, **words}
        done = minion.states.xen_guest.present("web01", file=json.dumps(found))
        assert done["result"] is False and done["changes"] == {} and everything() == before, words
        assert "\n" not in done["comment"] and len(done["comment"]) < 1000
        if found["name"] == "web01":
            assert minion.modules.xen_guest.check_put(found) == [done["comment"]]


def test_what_is_no_file_is_one_sentence(minion_on, fleet):
    states = minion_on("xen2", follow=True).states.xen_guest
    for file in (None, 5, True, "", "x", "null", [1], "[]", 20000 * "[" + 20000 * "]"):
        for function in (states.present, states.absent):
            done = function("web01", file=file)
            assert done["result"] is False and done["comment"].startswith("file: ")
            assert "\n" not in done["comment"]


@pytest.mark.parametrize("name", [4711, "4711"])
def test_a_guest_of_digits_has_a_file(minion_on, fleet, name):
    fleet["xen1"].path("/etc/xen/4711").write_text("name = '4711'\nmemory = 96\n")
    found = minion_on("xen1", follow=True).modules.xen_guest.find(name)
    assert found["path"] == "/etc/xen/4711"
    for host, function in (("xen2", "present"), ("xen1", "absent")):
        done = getattr(minion_on(host, follow=True).states.xen_guest, function)(name, file=found)
        assert done["result"] is True and set(done["changes"]) == {"/etc/xen/4711"}


@pytest.mark.parametrize(
    "option, value",
    [
        ("domain_files", 5),
        ("domain_files", "xen"),
        ("domain_files", [5]),
        ("domain_files", {"a": 1}),
        ("auto", "etc/xen"),
        ("auto", ["/etc/xen/auto"]),
    ],
)
def test_own_folders_that_are_none_are_named(on, fleet, option, value):
    module = on("xen2", follow=True, **{option: value})
    assert "xend:" + option in refused(module.put, LIE)
    assert "xend:" + option in refused(module.find, "web01")


def test_a_file_of_no_name_is_not_looked_for(on, fleet):
    module = on("xen1")
    for name in (None, "", True, ["web01"], "a\nb"):
        for function in (module.find, module.warnings, module.images):
            assert refused(function, name).startswith("name: ")
    assert refused(module.find, "web01", uuid=["x"]).startswith("uuid: ")


# Sealed


MARK = "Marked-Pa55word"
SECRET = TEXT + b'vfb = ["type=vnc,vncpasswd=%s"]\n' % MARK.encode()


@pytest.fixture
def secret(fleet, web01):
    fleet["xen1"].path(FILE).write_bytes(SECRET)


def keys(host):
    return [name for name in files(host) if name.endswith(".key")]


def shows(*told):
    """Whether what was said lets anybody see the password, however it is written."""
    text = json.dumps(told)
    hidden = [MARK, MARK[::-1], MARK.encode().hex()]
    for shift in range(3):
        # Three ways in which it may stand in base64; the ends depend on what is beside it.
        hidden.append(base64.b64encode(b"x" * shift + MARK.encode()).decode()[4:-4])
    return [word for word in hidden if word in text]


def test_a_sealed_file_moves_and_nobody_else_reads_it(minion_on, fleet, secret):
    source, target = minion_on("xen1", follow=True), minion_on("xen2", follow=True)
    key = target.modules.xen_guest.key()
    (kept,) = keys(fleet["xen2"])
    assert fleet["xen2"].path(kept).stat().st_mode & 0o777 == 0o600
    found = source.modules.xen_guest.sealed("web01", UUID, key)
    plain = source.modules.xen_guest.find("web01", UUID)
    assert {**found, "text": plain["text"]} == {
        **plain, "seal": found["seal"], "unchanged": found["unchanged"]
    }
    # All that is published and returned.
    travels = [key, found, json.dumps(found)]
    told = json.dumps(found, ensure_ascii=True)
    before = files(fleet["xen1"]), files(fleet["xen2"])
    for test in (True, False):
        for host, function in (("xen2", "present"), ("xen1", "absent")):
            states = minion_on(host, test=test, follow=True).states.xen_guest
            done = getattr(states, function)("web01", file=told)
            assert done["result"] is (None if test else True) and set(done["changes"]) == {FILE, LINK}
            travels.append(done)
        assert not test or (files(fleet["xen1"]), files(fleet["xen2"])) == before
    assert files(fleet["xen2"])[FILE] == SECRET and FILE not in files(fleet["xen1"])
    # The key is used up, and what was recorded on the way can never be opened again.
    assert keys(fleet["xen2"]) == []
    travels.append(refused(target.modules.xen_guest.put, found))
    assert "does not have the key" in travels[-1]
    assert not shows(*travels) and shows(plain) == [MARK]


def test_a_seal_is_looked_at_before_the_guest_moves(minion_on, fleet, secret):
    source, target = minion_on("xen1", follow=True).modules, minion_on("xen2", follow=True).modules
    found = source.xen_guest.sealed("web01", None, target.xen_guest.key())
    assert target.xen_guest.check_put(found) == [] and len(keys(fleet["xen2"])) == 1
    fleet["xen2"].path(FILE).write_bytes(SECRET + b"# theirs\n")
    (said,) = target.xen_guest.check_put(found)
    assert "other content" in said and not shows(said)
    assert not shows(refused(target.xen_guest.put, found))
    # It is tried again when the operator has looked.
    fleet["xen2"].path(FILE).unlink()
    assert set(target.xen_guest.put(found)["changes"]) == {FILE, LINK} and keys(fleet["xen2"]) == []


def test_a_seal_for_another_host_is_not_opened(minion_on, fleet, secret):
    source, target = minion_on("xen1", follow=True).modules, minion_on("xen2", follow=True).modules
    found = source.xen_guest.sealed("web01", None, source.xen_guest.key())
    before = files(fleet["xen2"])
    for test in (True, False):
        assert "does not have the key" in refused(target.xen_guest.put, found, test=test)
    assert "does not have the key" in target.xen_guest.check_put(found)[0]
    assert files(fleet["xen2"]) == before


ALTERED = [
    lambda seal, other: seal[:-8] + "AAAAAAA=",
    lambda seal, other: seal[:500] + ("B" if seal[500] == "A" else "A") + seal[501:],
    lambda seal, other: seal[:400],
    lambda seal, other: ":".join(seal.split(":")[:2] + other.split(":")[2:]),
    lambda seal, other: ":".join(seal.split(":")[:1] + other.split(":")[1:]),
    lambda seal, other: ":".join(seal.split(":")[:2] + ["AAAA"]),
    lambda seal, other: ":".join([seal.split(":")[0], 342 * "/" + "==", seal.split(":")[2]]),
    lambda seal, other: ":".join([seal.split(":")[0], 342 * "A" + "==", seal.split(":")[2]]),
]


def test_a_seal_that_was_altered_is_one_sentence(minion_on, fleet, secret):
    source, target = minion_on("xen1", follow=True).modules, minion_on("xen2", follow=True).modules
    found = source.xen_guest.sealed("web01", None, target.xen_guest.key())
    other = source.xen_guest.sealed("web01", None, target.xen_guest.key())
    before = files(fleet["xen2"])
    for change in ALTERED:
        said = refused(target.xen_guest.put, {**found, "seal": change(found["seal"], other["seal"])})
        assert said.startswith("seal: ") and "xen2" in said and len(said) < 400
        assert files(fleet["xen2"]) == before
    assert set(target.xen_guest.put(found)["changes"]) == {FILE, LINK}


def test_what_is_in_a_seal_is_believed_as_little(minion_on, fleet, secret):
    """Whoever has the public half can seal anything."""
    source, target = minion_on("xen1", follow=True).modules, minion_on("xen2", follow=True).modules
    fleet["xen1"].path(FILE).write_bytes(SECRET)
    found = source.xen_guest.sealed("web01", None, target.xen_guest.key())
    lies = [({"name": "db01"}, "db01"), ({"path": "/x"}, "domain_files"), ({"mode": 0o4755}, "4755")]
    for words, said in lies:
        assert said in refused(target.xen_guest.put, {**found, **words})
    assert len(keys(fleet["xen2"])) == 1


def test_what_is_no_key_seals_nothing(on, fleet, secret):
    module = on("xen1", follow=True)
    for key in ("", "x", 5, ["x"], True, 344 * "A", 342 * "/" + "=="):
        said = refused(module.sealed, "web01", None, key)
        assert said.startswith("key: ") and not shows(said)


def test_without_a_key_or_a_file_nothing_is_sealed(on, fleet, secret):
    module = on("xen1", follow=True)
    found = module.sealed("web01")
    assert found["path"] == FILE and found["seal"] is None and found["unchanged"] and "text" not in found
    assert "text" in refused(on("xen2", follow=True).put, found)
    nothing = module.sealed("mail", None, module.key())
    assert [nothing[word] for word in ("path", "seal", "unchanged", "mode")] == [None] * 4
    assert on("xen2", follow=True).put(nothing) == {"changes": {}}
    assert on("xen1").sealed("web01", None, module.key()) is None


def test_a_sealed_file_that_was_changed_meanwhile_stays(on, fleet, secret):
    module = on("xen1", follow=True)
    found = module.sealed("web01", UUID, on("xen2", follow=True).key())
    fleet["xen1"].path(FILE).write_bytes(SECRET.replace(b"96", b"97"))
    before = files(fleet["xen1"])
    said = refused(module.take, found)
    assert FILE in said and "has changed" in said and not shows(said) and files(fleet["xen1"]) == before


def test_bytes_of_all_values_are_sealed(on, fleet, web01):
    data = TEXT + b"# " + bytes(range(256)) + b"\n"
    fleet["xen1"].path(FILE).write_bytes(data)
    found = on("xen1", follow=True).sealed("web01", UUID, on("xen2", follow=True).key())
    assert found["seal"].isascii()
    on("xen2", follow=True).put(json.loads(json.dumps(found)))
    assert files(fleet["xen2"])[FILE] == data


def test_the_biggest_file_is_sealed(on, fleet, web01):
    data = TEXT + b"#" * (262144 - len(TEXT))
    fleet["xen1"].path(FILE).write_bytes(data)
    found = on("xen1", follow=True).sealed("web01", UUID, on("xen2", follow=True).key())
    on("xen2", follow=True).put(found)
    assert files(fleet["xen2"])[FILE] == data


def test_a_key_that_cannot_be_kept_is_one_sentence(on, fleet, tmp_path):
    (tmp_path / "file").write_text("")
    said = refused(on("xen2", follow=True, kept=str(tmp_path / "file" / "kept")).key)
    assert str(tmp_path / "file") in said


def test_what_others_may_write_to_keeps_nothing(on, fleet, secret, tmp_path):
    """Neither a key nor the copy of a file."""
    kept = tmp_path / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    module = on("xen1", follow=True, kept=str(kept))
    found = module.sealed("web01", UUID)
    for test in (True, False):
        assert str(kept) in refused(module.take, found, test=test)
    assert "chmod 700" in refused(module.key)
    assert files(fleet["xen1"])[FILE] == SECRET and list(kept.iterdir()) == []


# Announcing


@pytest.fixture
def script(tmp_path):
    """A command that notes how it was called, and when it is told to, fails."""
    path = tmp_path / "announce"
    path.write_text(
        '#!/bin/sh\n[ "$1" = fail ] && { echo "no such\nbridge" >&2; exit 3; }\n'
        'for word in "$@" "$XEND_DOMAIN" "$XEND_MACS" "$XEND_BRIDGES"; do\n'
        '    printf "%%s\\n" "$word" >> "%s"\ndone\n' % (tmp_path / "called")
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def called(tmp_path):
    def read():
        path = tmp_path / "called"
        return path.read_text().splitlines() if path.exists() else None

    return read


@pytest.mark.parametrize("name", ["web01", "$(id)", "a;reboot", "*"])
def test_the_command_gets_the_guest_and_its_network_cards(on, fleet, script, called, name):
    domain = {
        "vifs": [{"mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}, {"mac": "00:16:3e:00:00:02"}]
    }
    command = on("xen2", announce=[str(script), "-q", 5]).announce(name, domain)
    assert command == [str(script), "-q", "5", name]
    assert called() == ["-q", "5", name, name, "00:16:3e:00:00:01 00:16:3e:00:00:02", "xenbr0 -"]


def test_a_guest_that_is_called_like_an_option_is_none(on, fleet, script, called):
    usual, careful = on("xen2", announce=[str(script), "-q"]), on("xen2", announce=[str(script), "--"])
    for name in ("-n", "--help", "-", "--"):
        assert usual.announce(name) == [str(script), "-q", "--", name]
        assert called()[-6:] == ["-q", "--", name, name, "", ""]
        # Whoever wrote the command may have thought of it.
        assert careful.announce(name, test=True) == [str(script), "--", name]


@pytest.mark.parametrize("name", [4711, "4711"])
def test_a_guest_whose_name_is_a_number(on, fleet, script, called, name):
    assert on("xen2", announce=str(script)).announce(name) == [str(script), "4711"]
    assert called()[1] == "4711"


def test_what_is_no_name_is_not_announced(minion_on, fleet, script, called):
    minion = minion_on("xen2", announce=str(script))
    for name in ("", None, True, ["web01"], {"a": 1}, "a\nb", "a\0b", "\x1b[2J", 300 * "x"):
        assert refused(minion.modules.xen_guest.announce, name).startswith("name: ")
        done = minion.states.xen_guest.announced(name)
        assert done["result"] is False and done["comment"].startswith("name: ") and called() is None


def test_an_address_that_is_none_is_not_handed_on(on, fleet, script, called):
    good = "00:16:3E:AA:bb:01"
    wrong = [None, 5, [], "", "x", good + "\n", good + " evil", good[:-3], good + ":02", "\0", "$(id)"]
    vifs = [{"mac": mac, "bridge": "xenbr0.5"} for mac in wrong] + [{"mac": good, "bridge": "ovs:1"}]
    on("xen2", announce=str(script)).announce("web01", {"vifs": vifs})
    macs, bridges = len(wrong) * "- " + good, len(wrong) * "xenbr0.5 " + "ovs:1"
    assert called() == ["web01", "web01", macs, bridges]


def test_a_bridge_that_is_none_is_not_handed_on(on, fleet, script, called):
    wrong = [None, 5, {}, "", "a b", "xenbr0\n", "-x", "a/b", "$(id)", "\0", 65 * "b"]
    vifs = [{"bridge": bridge} for bridge in [*wrong, "xenbr1"]]
    on("xen2", announce=str(script)).announce("web01", {"vifs": vifs})
    assert called() == ["web01", "web01", len(wrong) * "- " + "-", len(wrong) * "- " + "xenbr1"]


def test_what_is_no_description_is_one_sentence(minion_on, fleet, script, called):
    minion = minion_on("xen2", announce=str(script))
    wrong = [5, [1], "no description", True, *[{"vifs": vifs} for vifs in (5, "x", [1], 2000 * [{}])]]
    for domain in wrong:
        assert refused(minion.modules.xen_guest.announce, "web01", domain).startswith("domain: ")
        done = minion.states.xen_guest.announced("web01", domain)
        assert done["result"] is False and done["changes"] == {}
        assert done["comment"].startswith("domain: ") and called() is None


def test_what_a_command_says_is_shown_without_control_characters(on, fleet, tmp_path):
    loud = tmp_path / "loud"
    loud.write_text("#!/bin/sh\nprintf '\\033[2Jgone'; printf '%2000s' x; exit 1\n")
    loud.chmod(0o755)
    said = refused(on("xen2", announce=str(loud)).announce, "web01")
    assert "\x1b" not in said and "gone" in said and len(said) < 1000


def test_the_command_may_be_text(on, fleet, script, called):
    assert on("xen2", announce=str(script)).announce("web01") == [str(script), "web01"]
    assert called() == ["web01", "web01", "", ""]


def test_the_description_of_a_guest_is_what_the_command_is_told_of(
    minion_on, fleet, script, called
):
    fleet["xen1"].create_guest("web01", vifs=["bridge=xenbr0,mac=00:16:3e:00:00:03"])
    described = minion_on("xen1").modules.xm.domain("web01")
    minion_on("xen2", announce=[str(script)]).modules.xen_guest.announce("web01", described)
    assert called() == ["web01", "web01", "00:16:3e:00:00:03", "xenbr0"]


def test_no_command_announces_nothing(on, fleet):
    for nothing in (None, "", []):
        assert on("xen2", announce=nothing).announce("web01") == []


def test_a_command_that_fails_is_an_error_in_its_words(on, fleet, script):
    said = refused(on("xen2", announce=[str(script), "fail"]).announce, "web01")
    assert "exit code 3" in said and "no such bridge" in said and "fail web01" in said


def test_a_command_that_is_not_there_is_an_error(on, fleet):
    assert "/nowhere/announce" in refused(
        on("xen2", announce="/nowhere/announce").announce, "web01"
    )


@pytest.mark.parametrize("value", [5, True, {"command": "/bin/true"}])
def test_a_command_that_is_none_is_refused(minion_on, fleet, value):
    modules = minion_on("xen2", announce=value).modules
    said = refused(modules.xen_guest.announce, "web01", test=True)
    assert "xend:announce" in said and str(value) in said
    assert "xend:announce" in modules.xm.report("web01")["problem"]


# States


def test_the_states_of_the_file(minion_on, fleet, web01):
    found = minion_on("xen1").modules.xen_guest.find("web01")
    before = files(fleet["xen1"]), files(fleet["xen2"])
    for host, function, said in (
        ("xen2", "present", "is here"),
        ("xen1", "absent", "is not here any more"),
    ):
        told = getattr(minion_on(host, test=True, follow=True).states.xen_guest, function)(
            "web01", file=found
        )
        assert (
            told["result"] is None
            and said in told["comment"]
            and set(told["changes"]) == {FILE, LINK}
        )
    assert (files(fleet["xen1"]), files(fleet["xen2"])) == before
    for host, function, said in (
        ("xen2", "present", "is here"),
        ("xen1", "absent", "is not here any more"),
    ):
        done = getattr(minion_on(host, follow=True).states.xen_guest, function)("web01", file=found)
        assert done["result"] is True and said in done["comment"]
        assert set(done["changes"]) == {FILE, LINK}
        for test in (False, True):
            again = getattr(minion_on(host, test=test, follow=True).states.xen_guest, function)(
                "web01", file=found
            )
            assert again["result"] is True and again["changes"] == {}
    assert FILE in files(fleet["xen2"]) and FILE not in files(fleet["xen1"])


@pytest.mark.parametrize("test", [False, True])
def test_states_that_would_spoil_a_file_fail(minion_on, fleet, web01, test):
    found = minion_on("xen1").modules.xen_guest.find("web01")
    for name in ("xen1", "xen2"):
        fleet[name].path(FILE).write_bytes(b"name = 'web01'\nmemory = 512\n")
    before = files(fleet["xen1"]), files(fleet["xen2"])
    for host, function in (("xen2", "present"), ("xen1", "absent")):
        done = getattr(minion_on(host, test=test, follow=True).states.xen_guest, function)(
            "web01", file=found
        )
        assert done["result"] is False and FILE in done["comment"] and done["changes"] == {}
    assert (files(fleet["xen1"]), files(fleet["xen2"])) == before


def test_the_state_that_announces(minion_on, fleet, script, called):
    command = [str(script), "-q"]
    told = minion_on("xen2", test=True, announce=command).states.xen_guest.announced("web01")
    assert told["result"] is None and "-q web01" in told["comment"] and called() is None
    done = minion_on("xen2", announce=command).states.xen_guest.announced("web01")
    assert done["result"] is True and done["changes"] == told["changes"] and called()[1] == "web01"
    for test in (False, True):
        idle = minion_on("xen2", test=test).states.xen_guest.announced("web01")
        assert idle["result"] is True and idle["changes"] == {}
    failed = minion_on("xen2", announce=[str(script), "fail"]).states.xen_guest.announced("web01")
    assert (
        failed["result"] is False and "exit code 3" in failed["comment"] and failed["changes"] == {}
    )


# Who else starts a guest on its old host


FOUND = {
    "common.inc": b'name = "app01"\n',
    "db.cfg": b'vmname = "db01"\nname = vmname\ndisk = ["phy:/dev/vg/%s,xvda,w" % vmname]\n',
    "inc.cfg": b"execfile('/etc/xen/common.inc')\ndisk = [ 'phy:/dev/vg/app,xvda,w' ]\n",
    "mail.cfg": b'name="mail"; memory=512\ndisk = [ \'file:/srv/xen/mail.img,xvda,w\' ]\n',
    "sxp.sxp": b"(vm (name sxpvm) (memory 256) (image (linux (kernel /boot/vmlinuz))))\n",
    "two.cfg": b'if True:\n    name = "two"\nmemory = 1\n',
    "web01": b"kernel = \"/boot/vmlinuz\"\nmemory = 256\ndisk = [ 'phy:/dev/vg/web01,xvda,w' ]\n",
    "xmex2": b'vmid = 7\nname = "VM%d" % vmid\nkernel = "/boot/vmlinuz"\n',
}


@pytest.fixture
def entries(fleet):
    """A host whose entries in the auto folder are links to files of every kind."""
    host = fleet["xen1"]
    for name, text in FOUND.items():
        host.path("/etc/xen/" + name).write_bytes(text)
        if name != "common.inc":
            host.path("/etc/xen/auto/" + name).symlink_to("../" + name)
    return host


@pytest.mark.parametrize(
    "guest, file",
    [("mail", "mail.cfg"), ("sxpvm", "sxp.sxp"), ("web01", "web01"), ("db01", None), ("other", None)],
)
@pytest.mark.parametrize("follow", [False, True])
def test_every_entry_is_judged_by_itself(on, entries, guest, file, follow):
    told = on("xen1", follow=follow).warnings(guest)
    starts = [text for text in told if "xen1 starts %s at its next boot" % guest in text]
    # The name of a guest's file that follows goes away by itself.
    assert [("/etc/xen/auto/%s)" % file) in text for text in starts] == [True] * (
        file is not None and not follow
    )
    # What computes its name may be anybody's.
    for name in ("db.cfg", "inc.cfg", "two.cfg", "xmex2"):
        (said,) = [text for text in told if "/etc/xen/auto/%s " % name in text]
        assert "computed" in said and guest in said
    assert not [text for text in told if "common.inc" in text]


def test_a_file_that_only_sets_a_name_does_not_follow(on, entries):
    found = on("xen1", follow=True).find("app01")
    assert found["path"] is None
    (said,) = [text for text in on("xen1", follow=True).warnings("app01") if "none follows" in text]
    assert "/etc/xen/inc.cfg" in said


@pytest.mark.parametrize("follow", [False, True])
def test_a_copy_beside_hides_no_entry(on, fleet, follow):
    name, text = "server.example.com", b"name        = 'server.example.com'\nmemory = 128\n"
    for file in ("fine.cfg", "fine.cfg.2010-01-02"):
        fleet["xen1"].path("/etc/xen/" + file).write_bytes(text)
    fleet["xen1"].path("/etc/xen/auto/fine.cfg").symlink_to("../fine.cfg")
    told = on("xen1", follow=follow).warnings(name)
    assert "xen1 starts %s at its next boot (/etc/xen/auto/fine.cfg)" % name in told[0]
    assert ["2010-01-02" in text for text in told[1:]] == [True] * follow


def test_the_folder_of_entries_may_be_another(on, fleet, web01):
    host = fleet["xen1"]
    settings = host.path("/etc/sysconfig/xendomains")
    shipped = settings.read_text()
    settings.write_text(shipped.replace("/etc/xen/auto", "/srv/auto"))
    host.path("/srv/auto").mkdir()
    host.path("/srv/auto/web01").write_bytes(TEXT)
    try:
        assert "/srv/auto/web01" in on("xen1").warnings("web01")[0]
        assert FILE.replace("web01", "auto/20-web01") in on("xen1", auto="/etc/xen/auto").warnings("web01")[0]
    finally:
        settings.write_text(shipped)
        host.path("/srv/auto/web01").unlink()
        host.path("/srv/auto").rmdir()


def test_a_saved_image_is_warned_of(minion_on, fleet):
    host = fleet["xen1"]
    guest = host.create_guest("web01")
    image = host.save_guest("web01")
    broken = host.path("/var/lib/xen/save/broken")
    broken.write_bytes(b"LinuxGuestRecord\0\0")
    try:
        check = minion_on("xen1").modules.xm.can_send("web01", "xen2")
        assert check["ok"] is True
        (said,) = [text for text in check["warnings"] if "/var/lib/xen/save/web01" in text]
        assert "xen1 restores web01" in said
        (unclear,) = [text for text in check["warnings"] if "/var/lib/xen/save/broken" in text]
        assert "cannot be seen" in unclear
        # Whatever the image is called, and whoever asks.
        assert said in minion_on("xen1").modules.xen_guest.images("renamed", guest.uuid)[-1].replace(
            "renamed", "web01"
        )
        assert len(minion_on("xen1").modules.xen_guest.images("other")) == 1
    finally:
        image.unlink()
        broken.unlink()


def test_an_image_of_the_guest_at_its_target_is_warned_of(minion_on, fleet):
    """It is older than what comes."""
    fleet["xen1"].create_guest("web01")
    described = minion_on("xen1").modules.xm.domain("web01")
    fleet["xen1"].save_guest("web01")
    image = fleet["xen1"].path("/var/lib/xen/save/web01")
    there = fleet["xen2"].path("/var/lib/xen/save/web01")
    there.parent.mkdir(parents=True, exist_ok=True)
    image.rename(there)
    try:
        check = minion_on("xen2").modules.xm.can_receive(described)
        assert [text for text in check["warnings"] if "xen2 restores web01" in text]
    finally:
        there.unlink()


def test_a_checkpoint_of_a_managed_guest_is_warned_of(on, fleet):
    host = fleet["xen1"]
    guest = host.create_guest("web01", managed=True)
    checkpoint = host.managed.checkpoint(guest.uuid)
    checkpoint.write_bytes(b"LinuxGuestRecord")
    try:
        (said,) = on("xen1").warnings("web01", guest.uuid)
        assert "checkpoint.chk" in said and guest.uuid in said
    finally:
        host.managed.forget(guest.uuid)


@pytest.mark.parametrize("program, manager", [("crmd", "Pacemaker"), ("ganeti-noded", "Ganeti")])
def test_a_cluster_manager_is_warned_of(minion_on, fleet, program, manager):
    host = fleet["xen1"]
    host.create_guest("web01")
    host.run_program(program)
    try:
        (said,) = minion_on("xen1").modules.xm.can_send("web01", "xen2")["warnings"]
        assert manager in said and program in said and "web01" in said
    finally:
        for path in host.path("/proc/4711").iterdir():
            path.unlink()
        host.path("/proc/4711").rmdir()


def test_what_was_warned_of_really_happens(minion_on, fleet, web01):
    """A guest that has moved is started a second time by its old host's boot: entry and image."""
    for what in ("entry", "image"):
        guest = fleet["xen1"].create_guest("web01")
        if what == "image":
            fleet["xen1"].path(LINK).unlink()
            fleet["xen1"].save_guest("web01")
        moved = minion_on("xen1").modules.xm.migrate("web01", "xen2")
        assert moved["uuid"] == guest.uuid
        fleet["xen2"].wait_alive("web01")
        _code, done = fleet["xen1"].boot_domains()
        assert len(done) == 1
        assert "web01" in fleet["xen1"].guests() and "web01" in fleet["xen2"].guests()
        for host in fleet:
            host.clear()
