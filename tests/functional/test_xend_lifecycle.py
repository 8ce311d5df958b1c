"""A restart of xend takes no guest down, starts none twice, and is not tried with a file it cannot read."""

import sys

import pytest

from tests.functional.conftest import as_before, holding, pass_a_tick, refused
from tests.harness.loading import REPO, host_opts
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until

PORT, OTHER_PORT = 8002, 8012
CONFIG = """\
(xend-relocation-server yes)
(xend-relocation-port 8002)
(xend-relocation-hosts-allow '^localhost$')
(xend-relocation-address %s)
"""
VERSIONS = ("3.0.3", "3.1", "3.2", "4.4")
STOP, START = "on_xend_stop", "on_xend_start"


@pytest.fixture(scope="module")
def fleet(new_fleet):
    names = {"x" + version.replace(".", ""): version for version in VERSIONS}
    fleet = new_fleet(*[HostSpec(name, version=v, time_scale=0.02) for name, v in names.items()])
    for host in fleet:
        host.config.write_text(CONFIG % host.address)
    fleet.start()
    pass_a_tick()
    return fleet


@pytest.fixture(params=["4.4"])
def host(fleet, request):
    host = fleet["x" + request.param.replace(".", "")]
    host.log.write_text("")
    with as_before(host, CONFIG % host.address):
        yield host
        host.clear()


def on(*versions):
    return pytest.mark.parametrize("host", versions, indirect=True)


since_3_1 = on("3.1", "3.2", "4.4")


@pytest.fixture
def at(load, host):
    """A function that gives the minion on the host; what is given is the pillar xend:relocation."""

    def make(test=False, own=None, **relocation):
        if own is not None:
            relocation["hosts"] = {host.name: dict(own, address=host.address)}
        return load(pillar={"xend": {"relocation": relocation}}, test=test, **host_opts(host))

    return make


@pytest.fixture
def xend(at):
    return at().modules.xend


def running(host, name="web01", **options):
    guest = host.create_guest(name, **options)
    return host.wait_alive(name) if not options.get("paused") else guest


def assert_untouched(host, pids, *names):
    assert host.pids() == pids
    assert sorted(host.guests()) == sorted(names)
    assert "Shutting down domain" not in host.log.read_text()


# Stopping


@since_3_1
def test_no_restart_while_a_guest_would_be_taken_down(xend, host):
    words = ("shutdown", "suspend")
    taken_down = {"%s-%s" % (word, managed): word for word in words for managed in (False, True)}
    for name, word in taken_down.items():
        running(host, name, on_xend_stop=word, managed=name.endswith("True"))
    running(host, "web02")
    pids = host.pids()
    for options in ({}, {"test": True}):
        text = refused(xend.restart, timeout=1, **options)
        for name in taken_down:
            assert "%s (id %d) " % (name, host.guests()[name].domid) in text
        assert [text.count("(on_xend_stop %s)" % word) for word in words] == [2, 2]
        assert "web02" not in text
        assert "restart_accept" in text and "xenstore-write" in text
        assert ("would not be restarted" in text) is bool(options)
    assert_untouched(host, pids, "web02", *taken_down)


def test_without_the_check_the_guest_is_gone(host):
    running(host, on_xend_stop="shutdown")
    host.restart()
    assert host.guests() == {}


def test_all_of_them_are_named_whatever_they_are_called(xend, host):
    names = ["web-01", "a.b", "c+d", "e_f", "x:y", "-rf", "12"]
    for name in names:
        running(host, name, on_xend_stop="shutdown")
    pids = host.pids()
    text = refused(xend.restart)
    assert all("%s (id " % name in text for name in names)
    assert_untouched(host, pids, *names)


@on("3.0.3")
def test_before_3_1_there_is_no_such_setting(xend, host):
    running(host, on_xend_stop="shutdown", on_xend_start="start")
    xend.configure(port=OTHER_PORT)
    assert xend.restart()["warnings"] == []
    assert host.guests()["web01"].alive


def test_other_words_are_in_nobody_s_way(xend, host):
    words = ("ignore", "continue", "Shutdown")
    for word in words:
        running(host, word, on_xend_stop=word)
    assert xend.restart()["warnings"] == []
    assert all(host.guests()[word].alive for word in words)


def test_a_paused_guest_is_left_alone_by_xend_itself(xend, host):
    running(host, on_xend_stop="shutdown", paused=True)
    xend.restart()
    assert host.guests()["web01"].state == "paused"


def test_a_guest_that_comes_while_xend_waits_is_seen(xend, host):
    pids = host.pids()
    with holding(host, "relocation", "migration of web01", shared=True) as holder:
        running(host, on_xend_stop="shutdown")
        holder.kill()
        holder.wait()
        assert "web01" in refused(xend.restart, timeout=120)
    assert_untouched(host, pids, "web01")


@pytest.mark.parametrize("test", [False, True])
def test_the_state_fails_and_the_written_file_stays(at, host, test):
    running(host, on_xend_stop="shutdown")
    at().modules.xend.configure(port=OTHER_PORT)
    changed, pids = host.config.read_bytes(), host.pids()
    found = at(test=test).states.xend.applied("apply")
    assert found["result"] is False and found["changes"] == {}
    assert "web01" in found["comment"] and "not in force" in found["comment"]
    assert host.config.read_bytes() == changed
    assert_untouched(host, pids, "web01")


def test_where_nothing_is_pending_nothing_is_said(at, host):
    running(host, on_xend_stop="shutdown")
    for test in (False, True):
        found = at(test=test).states.xend.applied("apply")
        assert found["result"] is True and "web01" not in found["comment"]
    at().modules.xend.configure(port=OTHER_PORT)
    found = at().states.xend.applied("apply", restart=False)
    assert found["result"] is True and "pending" in found["comment"]


def high(at, host, test, **state):
    found = at(test=test).modules.state.high(
        {
            "config": {"xend": ["relocation", {"port": OTHER_PORT}]},
            "applied": {
                "xend": ["applied", *({key: value} for key, value in state.items())]
                + [{"watch": [{"xend": "config"}]}]
            },
        }
    )
    return {ret["__id__"]: ret for ret in found.values()}


@pytest.mark.parametrize("test", [False, True])
def test_under_watch_it_is_said_before_and_done_never(at, host, test):
    running(host, on_xend_stop="shutdown")
    pids = host.pids()
    found = high(at, host, test)
    assert found["config"]["result"] is (None if test else True)
    assert found["applied"]["result"] is False and "web01" in found["applied"]["comment"]
    assert_untouched(host, pids, "web01")


# Accepting


@pytest.mark.parametrize("accept", [STOP, [STOP], [STOP, START]])
def test_who_accepts_it_gets_the_restart_and_is_told(xend, host, accept):
    running(host, on_xend_stop="shutdown")
    running(host, "web02")
    assert "web01" in xend.restart(accept=accept, test=True)["warnings"][0]
    assert "web01" in host.guests()
    (warning,) = xend.restart(accept=accept)["warnings"]
    assert warning.startswith("accepted: ") and "web01 (id " in warning
    assert list(host.guests()) == ["web02"]


@pytest.mark.parametrize("where", ["own", "common"])
def test_the_pillar_accepts_for_a_host_or_for_all(at, host, where):
    running(host, on_xend_stop="shutdown")
    accept = {"restart_accept": [STOP]}
    minion = at(**({"own": accept} if where == "own" else accept))
    assert minion.modules.xend.restart_accept() == [STOP]
    minion.modules.xend.configure(port=OTHER_PORT)
    found = minion.states.xend.applied("apply")
    assert found["result"] is True and "accepted: " in found["comment"], found
    assert "web01" in found["comment"] and host.guests() == {}


def test_a_host_may_accept_less_than_the_others(at, host):
    running(host, on_xend_stop="shutdown")
    pids = host.pids()
    minion = at(own={"restart_accept": []}, restart_accept=[STOP])
    assert minion.modules.xend.restart_accept() == []
    # As xend.settings, and so the SLS, reads it.
    assert at(own={"restart_accept": None}, restart_accept=[STOP]).modules.xend.restart_accept() == []
    assert "web01" in refused(minion.modules.xend.restart)
    assert "web01" in refused(at(restart_accept=[STOP]).modules.xend.restart, accept=[])
    assert_untouched(host, pids, "web01")


def test_the_other_word_accepts_nothing(xend, host):
    running(host, on_xend_stop="shutdown")
    pids = host.pids()
    assert "web01" in refused(xend.restart, accept=START)
    assert_untouched(host, pids, "web01")


@pytest.mark.parametrize("wrong", ["shutdown", ["storage"], True, {"on_xend_stop": True}, 1])
def test_a_wrong_word_is_named_and_nothing_is_restarted(at, host, wrong):
    pids = host.pids()
    for call in (
        lambda: at().modules.xend.restart(accept=wrong),
        lambda: at(restart_accept=wrong).modules.xend.restart(),
        lambda: at(own={"restart_accept": wrong}).modules.xend.restart(),
    ):
        text = refused(call)
        assert "restart_accept" in text and "on_xend_stop" in text and "on_xend_start" in text
    for test in (False, True):
        found = at(test=test).states.xend.applied("apply", accept=wrong)
        assert found["result"] is False and "restart_accept" in found["comment"]
    assert host.pids() == pids


# Starting


@since_3_1
def test_a_halted_guest_that_may_run_elsewhere_is_not_started(xend, host):
    host.define_guest("web01", on_xend_start="start")
    pids = host.pids()
    for options in ({}, {"test": True}, {"accept": STOP}):
        text = refused(xend.restart, **options)
        assert "web01 is started (on_xend_start start)" in text and "xm delete NAME" in text
        assert "[on_xend_start]" in text
    assert_untouched(host, pids)
    (warning,) = xend.restart(accept=START)["warnings"]
    assert "web01 is started" in warning
    assert wait_until(lambda: "web01" in host.guests(), 60)


@pytest.mark.parametrize("host, counts", [("3.2", False), ("4.4", True)], indirect=["host"])
def test_auto_power_on_stands_only_in_the_store(xend, host, counts):
    words = ("1", "yes", "true", "True")
    for word in words:
        host.define_guest("web-" + word, auto_power_on=word)
    if counts:
        text = refused(xend.restart)
        for word in words:
            assert "web-%s is started (auto_power_on %s)" % (word, word) in text
    else:
        assert xend.restart()["warnings"] == []
    assert host.guests() == {}


def test_who_runs_here_is_not_started_again(xend, host):
    guest = running(host, on_xend_start="start", managed=True)
    assert xend.restart()["warnings"] == []
    assert host.guests()["web01"].domid == guest.domid


def test_who_is_suspended_is_not_started(xend, host):
    uuid = host.define_guest("web01", on_xend_start="start")
    host.managed.checkpoint(uuid).write_bytes(b"LinuxGuestRecord")
    assert xend.restart()["warnings"] == []
    assert host.guests() == {}


def test_halted_and_managed_alone_is_no_danger(xend, host):
    host.define_guest("web01")
    host.define_guest("web02", on_xend_start="ignore", auto_power_on="False")
    assert xend.restart()["warnings"] == []
    assert host.guests() == {}


def test_both_kinds_are_told_at_once(xend, host):
    running(host, on_xend_stop="shutdown")
    host.define_guest("web02", on_xend_start="start")
    pids = host.pids()
    for options, said in (({}, ["web01", "web02"]), ({"accept": STOP}, ["web02"])):
        text = refused(xend.restart, **options)
        assert [name for name in ("web01", "web02") if name in text] == said
    assert_untouched(host, pids, "web01")


@pytest.mark.parametrize("test", [False, True])
def test_a_xend_that_is_down_is_not_started_into_it(at, host, tmp_path, test):
    uuid = host.define_guest("web01", on_xend_start="start")
    host.stop()
    found = at(test=test).states.xend.applied("apply")
    assert found["result"] is False and "web01 is started" in found["comment"]
    assert "was not started" in found["comment"] or "would not be started" in found["comment"]
    assert "/var/lib/xend/domains/UUID" in found["comment"]
    assert not host.running and host.guests() == {}
    # What the message says to do.
    (host.managed.folder / uuid).rename(tmp_path / "moved")
    assert at().states.xend.applied("apply")["result"] is True
    assert host.running and host.guests() == {}


def test_a_xend_that_is_down_and_has_no_such_guest_is_started(at, host):
    running(host, on_xend_stop="shutdown")
    host.define_guest("web02")
    host.kill_xend()
    assert at().states.xend.applied("apply")["result"] is True
    assert host.guests()["web01"].alive


@since_3_1
def test_who_runs_here_is_seen_while_xend_is_down(at, host):
    guest = running(host, on_xend_start="start", managed=True)
    host.kill_xend()
    at(test=True).modules.xend.restart(test=True)
    assert at().states.xend.applied("apply")["result"] is True
    assert host.guests()["web01"].domid == guest.domid and len(host.guests()) == 1


def test_who_runs_here_under_another_name_would_be_started_again(at, host):
    guest = running(host, on_xend_start="start", managed=True)
    host.kill_xend()
    for changes in ({"xend_name": "migrating-web01"}, {"xend_name": "web01", "dying": True}):
        host.hypervisor.update(guest.domid, **changes)
        found = at().states.xend.applied("apply")
        assert found["result"] is False and "web01 is started" in found["comment"]
        assert "do not run here" in found["comment"] and not host.running


def with_option(load, host, **xend):
    opts = host_opts(host)
    opts["xend"] = dict(opts["xend"], **xend)
    return load(**opts)


@pytest.mark.parametrize(
    "python, why", [("/nowhere/python", "/nowhere/python"), (sys.executable, "No module named 'xen'")]
)
def test_what_cannot_be_seen_while_xend_is_down_is_said(load, host, python, why):
    running(host, on_xend_start="start", managed=True)
    host.kill_xend()
    minion = with_option(load, host, python=python)
    text = refused(minion.modules.xend.restart)
    assert "web01 is started" in text and why in text and "xentop" in text and "xend:python" in text
    # What the message says to do.
    assert "`salt %s xend.restart accept=on_xend_start`" % host.name in text
    assert minion.modules.xend.restart(accept=START)["warnings"][0].startswith("accepted: ")
    assert host.guests()["web01"].alive


def test_a_xend_that_does_not_answer_is_left_alone_and_can_be_helped(load, host, tmp_path):
    running(host, on_xend_stop="shutdown")
    stuck = tmp_path / "xm"
    stuck.write_text("#!/bin/sh\necho 'Error: no answer' >&2; exit 1\n")
    stuck.chmod(0o755)
    pids = host.pids()
    xend = with_option(load, host, xm=str(stuck), socket="/nowhere/xmlrpc.sock").modules.xend
    for options in ({"timeout": 0}, {"timeout": 0, "accept": STOP}, {"test": True}):
        text = refused(xend.restart, **options)
        assert "no answer" in text and "kill -9 $(cat %s)" % host.pidfile in text
    assert_untouched(host, pids, "web01")
    # What the message says to do; the watchdog starts another.
    host.kill_xend_child()
    assert wait_until(lambda: host.pids().get("xend") not in (None, pids["xend"]), 60)
    assert host.guests()["web01"].alive


@pytest.mark.parametrize("said", ["", "nothing that anybody knows", "(domain (domid 0))(domain (domid x))"])
def test_a_list_of_guests_that_is_not_understood_is_not_taken_for_an_empty_one(load, host, tmp_path, said):
    running(host, on_xend_stop="shutdown")
    strange = tmp_path / "xm"
    strange.write_text(
        "#!/bin/sh\n[ \"$2\" != --long ] || { echo '%s'; exit; }\nexec %s \"$@\"\n" % (said, host.xm)
    )
    strange.chmod(0o755)
    pids = host.pids()
    minion = with_option(load, host, xm=str(strange), socket="/nowhere/xmlrpc.sock")
    assert "xm list --long: " in refused(minion.modules.xend.restart)
    assert_untouched(host, pids, "web01")


def test_what_xend_passes_over_in_its_store_is_in_nobody_s_way(xend, host):
    place = host.managed.folder
    for uuid, text in (("broken", "(domain (on_xend_start start"), ("empty", ""), ("other", None)):
        (place / uuid).mkdir(parents=True)
        told = "(domain (name web09) (uuid elsewhere) (on_xend_start start))" if text is None else text
        (place / uuid / "config.sxp").write_text(told)
    assert xend.restart()["warnings"] == []
    assert host.guests() == {}


def test_the_store_may_be_elsewhere(xend, host):
    host.config.write_text((CONFIG % host.address) + "(xend-domains-path /srv/domains)\n")
    host.define_guest("web01", on_xend_start="start")
    host.managed.folder.rename(host.path("/srv/domains"))
    try:
        assert "web01 is started" in refused(xend.restart)
    finally:
        host.path("/srv/domains").rename(host.managed.folder)


def test_a_store_that_cannot_be_seen_is_not_taken_for_an_empty_one(xend, host):
    host.config.write_text(
        (CONFIG % host.address) + "(xend-domains-path /etc/xen/xend-config.sxp)\n"
    )
    pids = host.pids()
    text = refused(xend.restart)
    assert "cannot be seen which managed guests" in text and "Not a directory" in text
    assert host.pids() == pids


# The way back


@pytest.fixture
def scripted(load, host, tmp_path):
    """A function that gives xend's module on a host whose service runs these lines after `xend restart`."""

    def make(*lines):
        script = tmp_path / "xend"
        script.write_text('#!/bin/sh\n%s "$@"\n%s\n' % (host.xend, "\n".join(lines)))
        script.chmod(0o755)
        return load(**{**host_opts(host), "lab": {"xend": str(script)}}).modules.xend

    return make


def test_the_way_back_takes_nobody_down_either(scripted, host):
    """xend comes up with another file than the one that is there, and a guest has been made meanwhile."""
    describe = host.root / "create.py"
    describe.write_text(
        "import sys\nsys.path.insert(0, %r)\nfrom tests.lab.fleet import Host\n"
        "Host(%r).create_guest('web01', on_xend_stop='shutdown')\n" % (str(REPO), str(host.root))
    )
    xend = scripted(
        "[ -e %s/once ] || %s %s; touch %s/once" % (host.root, sys.executable, describe, host.root),
        "sleep 0.1",
        "echo '(dom0-min-mem 197)' >> %s" % host.config,
    )
    xend.configure(port=OTHER_PORT)
    text = refused(xend.restart, timeout=2)
    pids = host.pids()
    assert "does not work as configured" in text and "is shut down (on_xend_stop shutdown)" in text
    assert "left as it is" in text
    assert_untouched(host, pids, "web01")


# A file that this xend cannot read


EL5 = "(vncpasswd 'pa\\.ss')\n"


@on("3.0.3")
@pytest.mark.parametrize("down", [False, True])
def test_a_file_that_this_xend_cannot_read_gets_no_restart(at, host, down):
    if down:
        host.stop()
    host.config.write_text((CONFIG % host.address) + EL5 + "(dom0-min-mem 256)\n")
    pids = host.pids()
    text = refused(at().modules.xend.restart, timeout=1)
    assert "xend 3.0.3 cannot read it" in text and "line 5" in text and "vncpasswd" in text
    for test in (False, True):
        found = at(test=test).states.xend.applied("apply")
        assert found["result"] is False and "line 5" in found["comment"]
        assert at(test=test).states.xend.relocation("r", port=OTHER_PORT)["result"] is False
    assert "line 5" in refused(at().modules.xend.configure, port=OTHER_PORT)
    assert "line 5" in refused(at().modules.xend.set, "dom0-min-mem", 300)
    assert host.pids() == pids and EL5 in host.config.read_text()


@on("3.1", "4.4")
def test_a_later_xend_reads_the_same_file(xend, host):
    host.config.write_text((CONFIG % host.address) + EL5)
    assert xend.restart()["pid"]["new"] == host.pids()["xend"]
    assert xend.get("vncpasswd") == "pa\\ss"


@on("3.0.3")
def test_what_this_xend_reads_otherwise_is_what_counts(xend, host):
    host.config.write_text((CONFIG % host.address) + "(vncpasswd 'pa\\.ss7x')\n")
    assert xend.get("vncpasswd") == "pa\x07x"
