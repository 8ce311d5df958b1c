"""Which guests a stop of xend takes down and its start starts, from descriptions and versions."""

import os
from importlib import import_module

import pytest

import xend_file
import xend_lifecycle as lifecycle
import xend_sxp

UUID = "9b7088af-0000-4000-8000-e12b93d742b9"
SLES = (
    b"(domain (domid 4) (uuid 9b7088af-0000-4000-8000-e12b93d742b9) (name sles11guest) (vcpus 1)\n"
    b" (on_xend_start ignore) (on_xend_stop shutdown) (status 2) (state -b----))\n"
)
FOLDER = "/var/lib/xend/domains"


def one(**said):
    keys = ("name", "uuid", "state", "on_xend_stop", "on_xend_start", "auto_power_on")
    found = dict([(key, None) for key in keys])
    found.update(domid=3, name="web01", uuid=UUID, state="-b----")
    found.update(said)
    return found


def stored(**said):
    return dict(one(domid=None, state=None), checkpoint=False, **said)


def named(domains):
    return [domain["name"] for domain in domains]


WORDS = {"up": True, "host": "xen1", "folder": FOLDER, "pidfile": "/var/run/xend.pid"}


def risks(version=(4, 4), shown=(), kept=(), unseen="", up=True, **problems):
    return lifecycle.risks(
        version, list(shown), unseen, list(kept), problems, dict(WORDS, up=up)
    )


def test_what_counts_of_a_description():
    (found,) = lifecycle.domains(xend_sxp.parse(SLES).forms())
    assert (found["name"], found["uuid"], found["domid"]) == ("sles11guest", UUID, 4)
    assert (found["on_xend_stop"], found["on_xend_start"]) == ("shutdown", "ignore")
    assert (found["state"], found["auto_power_on"]) == ("-b----", None)


@pytest.mark.parametrize(
    "form", ["(domain)", "(domain (domid -1) (name))", "(domain (on_xend_stop (a b)))"]
)
def test_what_a_description_lacks_is_none(form):
    (found,) = lifecycle.domains(xend_sxp.parse(form.encode("ascii")).forms())
    assert set(found.values()) == set([None])


def test_a_guest_without_a_name_is_called_by_its_uuid():
    (risk,) = risks(shown=[one(name=None, on_xend_stop="shutdown")])
    assert "uuid %s (id 3) is shut down" % UUID in risk["what"]


@pytest.mark.parametrize("version", [None, (3, 1), (3, 4), (4, 4)])
def test_from_3_1_on_both_words_count(version):
    for word in ("shutdown", "suspend"):
        assert lifecycle.stopped([one(on_xend_stop=word)], version)
    assert lifecycle.started([], [stored(on_xend_start="start")], version)


@pytest.mark.parametrize("version", [(3, 0, 2), (3, 0, 3), (3, 0, 4)])
def test_before_nothing_counts(version):
    assert not lifecycle.acts(version)
    assert lifecycle.stopped([one(on_xend_stop="shutdown")], version) == []
    assert lifecycle.started([], [stored(on_xend_start="start")], version) == []


@pytest.mark.parametrize(
    "word", [None, "", "ignore", "continue", "Shutdown", "SHUTDOWN", "shutdown "]
)
def test_a_word_that_xend_does_not_know_lets_a_guest_run_on(word):
    assert lifecycle.stopped([one(on_xend_stop=word)], (4, 4)) == []


@pytest.mark.parametrize(
    "state, counts",
    [("r-----", True), ("-b----", True), ("------", True), (None, True), ("??????", True)]
    + [
        ("--p---", False),
        ("-bp---", False),
        ("---s--", False),
        ("----c-", False),
        ("-----d", False),
    ],
)
def test_only_who_runs_is_taken_down(state, counts):
    assert bool(lifecycle.stopped([one(on_xend_stop="shutdown", state=state)], (4, 4))) is counts


def test_domain_0_and_halted_domains_are_not_taken_down():
    found = [one(on_xend_stop="shutdown", domid=domid) for domid in (0, None)]
    assert lifecycle.stopped(found, (4, 4)) == []


@pytest.mark.parametrize(
    "word, counts",
    [("1", True), ("yes", True), ("true", True), ("True", True), ("no", True), ("false", True)]
    + [(None, False), ("", False), ("0", False), ("False", False)],
)
def test_auto_power_on_is_a_boolean_as_xend_reads_it(word, counts):
    guest = stored(auto_power_on=word)
    assert bool(lifecycle.started([], [guest], (3, 4))) is counts
    assert bool(lifecycle.started([], [guest], None)) is counts
    assert lifecycle.started([], [guest], (3, 3)) == []


def test_who_runs_here_or_is_suspended_is_not_started():
    kept = [stored(on_xend_start="start")]
    assert named(lifecycle.started([], kept, (4, 4))) == ["web01"]
    for state in ("-b----", "--p---", "---s--"):
        assert lifecycle.started([one(state=state)], kept, (4, 4)) == []
    # xend looks for the name; a guest that has just been renamed counts as another one.
    assert named(lifecycle.started([one(name="migrating-web01")], kept, (4, 4))) == ["web01"]
    assert lifecycle.started([], [dict(kept[0], checkpoint=True)], (4, 4)) == []


def test_a_halted_domain_that_only_xend_shows_counts_as_well():
    halted = one(domid=None, state=None, on_xend_start="start")
    assert named(lifecycle.started([halted], [], (4, 4))) == ["web01"]
    # What is in the store is what the next xend reads.
    assert lifecycle.started([halted], [stored(on_xend_start="ignore")], (4, 4)) == []


def test_the_sentences_name_each_guest_and_what_happens_to_it():
    found = [
        one(name="a-1", on_xend_stop="shutdown"),
        one(name="b.2", domid=4, on_xend_stop="suspend"),
        one(name="c+3", domid=5, on_xend_stop="suspend", uuid="u"),
        one(name="d_4", domid=6),
    ]
    (risk,) = risks(shown=found, kept=[stored()])
    assert risk["kind"] == "on_xend_stop"
    assert "a-1 (id 3) is shut down (on_xend_stop shutdown), " in risk["what"]
    assert "b.2 (id 4) is suspended to %s/%s/checkpoint.chk" % (FOLDER, UUID) in risk["what"]
    assert "c+3 (id 5) runs on" in risk["what"] and "d_4" not in risk["what"]
    assert "`salt xen1 xend.restart accept=on_xend_stop`" in risk["remedy"]
    assert "xenstore-write" in risk["remedy"] and "restart_accept: [on_xend_stop]" in risk["remedy"]
    old = risks(version=(3, 1), shown=found[2:3])[0]["what"]
    assert "ends xend's stop with an error" in old


def test_managed_guests_have_a_remedy_of_their_own():
    guest = one(on_xend_stop="shutdown")
    assert "xm new" not in risks(shown=[guest])[0]["remedy"]
    assert "xm new" in risks(shown=[guest], kept=[stored()])[0]["remedy"]


def test_while_xend_is_down_its_start_counts():
    kept = [stored(on_xend_start="start", on_xend_stop="shutdown")]
    assert risks(up=False, shown=lifecycle.running("0 Domain-0\n7 web01\n"), kept=kept) == []
    (risk,) = risks(up=False, shown=lifecycle.running("0 Domain-0\n7 web011\n8 \n"), kept=kept)
    assert risk["kind"] == "on_xend_start" and "web01 is started" in risk["what"]
    assert "do not run here" in risk["what"] and FOLDER + "/UUID" in risk["remedy"]
    assert "xend is down" in risk["remedy"]
    assert "`salt xen1 xend.restart accept=on_xend_start`" in risk["remedy"]
    (blind,) = risks(up=False, unseen="no module named xen", kept=kept)
    assert "no module named xen" in blind["what"] and "xentop" in blind["what"]
    assert "xm delete NAME` on this host" in risks(kept=[stored(auto_power_on="1")])[0]["remedy"]


def test_who_is_dying_is_nobody_for_a_start_of_xend():
    kept = [stored(on_xend_start="start")]
    for state in ("-----d", "---s-d"):
        assert named(lifecycle.started([one(state=state)], kept, (4, 4))) == ["web01"]


def test_a_managed_guest_without_a_name_is_called_by_its_uuid():
    (risk,) = risks(kept=[stored(name=None, on_xend_start="start")])
    assert "uuid %s is started" % UUID in risk["what"]


def test_a_xend_that_does_not_answer_can_be_helped():
    (risk,) = risks(on_xend_stop="xm list: timed out")
    assert "timed out" in risk["what"] and "kill -9 $(cat /var/run/xend.pid)" in risk["remedy"]


def test_both_halves_and_what_cannot_be_seen_are_told():
    both = risks(
        shown=[one(name="a", on_xend_stop="shutdown")], kept=[stored(on_xend_start="start")]
    )
    assert [risk["kind"] for risk in both] == ["on_xend_stop", "on_xend_start"]
    # What changes the setting of a guest that runs starts xend as well.
    assert "that start of xend starts them as well" in both[0]["remedy"]
    assert "as well" not in risks(shown=[one(on_xend_stop="shutdown")])[0]["remedy"]
    (blind,) = risks(on_xend_start="/var/lib/xend/domains: Input/output error")
    assert blind["kind"] == "on_xend_start" and "accept=on_xend_start" in blind["remedy"]
    assert risks() == []


@pytest.mark.parametrize(
    "given, words",
    [
        (None, []),
        ([], []),
        ("on_xend_stop", ["on_xend_stop"]),
        (["on_xend_start", "on_xend_stop"], ["on_xend_start", "on_xend_stop"]),
        ("evacuation", ["evacuation"]),
    ],
)
def test_what_can_be_accepted(given, words):
    assert lifecycle.accepted(given, import_module) == words


@pytest.mark.parametrize(
    "given, shown",
    [
        (True, "True"),
        (0, "0"),
        ("shutdown", "shutdown"),
        (["on_xend_stop", "storage"], "['on_xend_stop', 'storage']"),
        ([["on_xend_stop"]], "[['on_xend_stop']]"),
        ({"on_xend_stop": True}, "on_xend_stop"),
    ],
)
def test_what_cannot_be_accepted(given, shown):
    with pytest.raises(ValueError) as raised:
        lifecycle.accepted(given, import_module)
    text = str(raised.value)
    assert shown in text and "restart_accept" in text and "on_xend_start" in text


def put(folder, uuid, text, **files):
    (folder / uuid).mkdir()
    (folder / uuid / "config.sxp").write_bytes(text.encode("ascii"))
    for name in files:
        (folder / uuid / ("%s.chk" % name)).write_bytes(b"")


def test_the_store_is_read_as_xend_reads_it(tmp_path):
    text = "(domain (domid 9) (uuid %s) (name %s) (on_xend_start start))\n"
    put(tmp_path, "u1", text % ("u1", "web01"))
    put(tmp_path, "u2", text % ("u2", "web02"), checkpoint=True)
    put(tmp_path, "u3", text % ("other", "web03"))
    put(tmp_path, "u4", "(domain (uuid u4")
    put(tmp_path, "u5", "")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    found = lifecycle.store(str(tmp_path), xend_file.read, xend_sxp.parse)
    assert [one["uuid"] for one in found] == ["u1", "u2", "u3", "u4", "u5"]
    assert named(lifecycle.started([], found, (4, 4))) == ["web01"]


def test_what_is_no_file_is_passed_over_unless_xend_would_wait_for_it(tmp_path):
    (tmp_path / "u1" / "config.sxp").mkdir(parents=True)
    (tmp_path / "u2").mkdir()
    (tmp_path / "u2" / "config.sxp").symlink_to("nowhere")
    assert lifecycle.store(str(tmp_path), xend_file.read, xend_sxp.parse) == []
    (tmp_path / "u3").mkdir()
    os.mkfifo(str(tmp_path / "u3" / "config.sxp"))
    with pytest.raises(EnvironmentError) as raised:
        lifecycle.store(str(tmp_path), xend_file.read, xend_sxp.parse)
    assert "u3/config.sxp" in raised.value.filename


def test_without_a_store_nothing_is_managed(tmp_path):
    assert lifecycle.store(str(tmp_path / "none"), xend_file.read, xend_sxp.parse) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentError):
        lifecycle.store(str(tmp_path / "file"), xend_file.read, xend_sxp.parse)
