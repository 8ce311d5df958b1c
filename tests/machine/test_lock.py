"""Locks between real processes, and reservations that outlive the process that made them."""

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xend_file
import xend_lock

UTILS = os.path.dirname(xend_lock.__file__)
HOLDER = """
import os, resource, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
import xend_lock
folder, shared, who, extra = sys.argv[2], sys.argv[3] == "shared", sys.argv[4], sys.argv[5]
if extra == "full disk":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
with xend_lock.hold(folder, "relocation", shared, who):
    child = ""
    if extra == "started":
        child = subprocess.Popen(["sleep", "600"], close_fds=False, stdout=subprocess.DEVNULL).pid
    if extra == "forked":
        child = os.fork()
        if child == 0:
            os.close(1)
            signal.alarm(600)
            signal.pause()
    print(child, flush=True)
    sys.stdin.readline()
print("free", flush=True)
sys.stdin.readline()
"""
NOW = 1000000.0


@contextlib.contextmanager
def holder(folder, kind="exclusive", who="", extra=""):
    """Another process that holds the lock "relocation" until `let_go` or its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, UTILS, str(folder), kind, who, extra],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = process.stdout.readline().strip()
    try:
        yield process
    finally:
        process.kill()
        process.wait(300)
        process.stdin.close()
        process.stdout.close()
        if child:
            os.kill(int(child), 9)


def let_go(process):
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "free\n"


def kill(process):
    process.kill()
    process.wait(300)


def is_free(folder, shared=False, name="relocation"):
    try:
        with xend_lock.hold(str(folder), name, shared=shared):
            return True
    except xend_lock.Held:
        return False


# hold


@pytest.mark.parametrize(
    "kind, shared, free",
    [
        ("exclusive", False, False),
        ("exclusive", True, False),
        ("shared", False, False),
        ("shared", True, True),
    ],
)
def test_who_can_hold_it_together(tmp_path, kind, shared, free):
    with holder(tmp_path, kind) as process:
        assert is_free(tmp_path, shared) is free
        assert is_free(tmp_path, name="guest-1")
        let_go(process)
        assert is_free(tmp_path, shared)


def test_threads_exclude_each_other_as_processes_do(tmp_path):
    free = []
    with xend_lock.hold(str(tmp_path), "relocation"):
        thread = threading.Thread(target=lambda: free.append(is_free(tmp_path)))
        thread.start()
        thread.join(300)
    assert free == [False]


def test_a_refusal_quotes_the_holder(tmp_path):
    with holder(tmp_path, who="migration of web01 to xen2") as process:
        with pytest.raises(xend_lock.Held) as raised:
            with xend_lock.hold(str(tmp_path), "relocation", who="me"):
                raise AssertionError("never comes here")
        assert re.match(
            r"migration of web01 to xen2, pid %d, since \d\d:\d\d:\d\d\Z" % process.pid,
            raised.value.who,
        )
        assert raised.value.who in str(raised.value) and "relocation" in str(raised.value)
        assert isinstance(raised.value, ValueError)


def test_one_of_several_holders_is_quoted_as_such(tmp_path):
    with holder(tmp_path, "shared", "migration of web01") as first:
        with holder(tmp_path, "shared", "migration of db01") as second:
            # Sharing without a word does not hide what the others said.
            assert is_free(tmp_path, shared=True)
            with pytest.raises(xend_lock.Held) as raised:
                with xend_lock.hold(str(tmp_path), "relocation"):
                    raise AssertionError("never comes here")
            assert raised.value.who.startswith(
                "for instance migration of db01, pid %d" % second.pid
            )
            kill(first)
            assert not is_free(tmp_path)
            kill(second)
            assert is_free(tmp_path)


def test_words_of_any_length_end_where_they_end(tmp_path):
    """A later, shorter text leaves nothing of an earlier one, even of a holder that was killed."""
    with holder(tmp_path, who="x" * 2000) as process:
        kill(process)
    with holder(tmp_path, who="r\xe9sum\xe9\nof two lines") as process:
        with pytest.raises(xend_lock.Held) as raised:
            with xend_lock.hold(str(tmp_path), "relocation"):
                raise AssertionError("never comes here")
    who, _, since = raised.value.who.partition(", pid %d, " % process.pid)
    assert who == "r\xe9sum\xe9 of two lines" and len(since) == len("since 12:00:01")
    assert (tmp_path / ".relocation.lock").read_text() == raised.value.who + "\n"


def test_a_holder_that_let_go_is_not_quoted_any_more(tmp_path):
    with xend_lock.hold(str(tmp_path), "relocation", who="restart"):
        pass
    with xend_lock.hold(str(tmp_path), "relocation", shared=True):
        with pytest.raises(xend_lock.Held) as raised:
            with xend_lock.hold(str(tmp_path), "relocation"):
                raise AssertionError("never comes here")
    assert raised.value.who == "" and "another process" in str(raised.value)


@pytest.mark.parametrize("extra", ["", "started"])
def test_a_killed_holder_blocks_nobody(tmp_path, extra):
    """Not even through a program that it has started, as Salt starts xend."""
    with holder(tmp_path, extra=extra) as process:
        assert not is_free(tmp_path)
        kill(process)
        assert is_free(tmp_path)


def test_a_forked_child_does_not_keep_what_its_parent_lets_go(tmp_path):
    with holder(tmp_path, extra="forked") as process:
        let_go(process)
        assert is_free(tmp_path)


def test_an_error_inside_frees_the_lock_and_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="of the block") as raised:
        with xend_lock.hold(str(tmp_path), "relocation", who="me"):
            raise ValueError("of the block")
    assert not isinstance(raised.value, xend_lock.Held)
    assert is_free(tmp_path)


def test_waiting_ends_with_the_holder(tmp_path):
    with holder(tmp_path) as process:
        timer = threading.Timer(0.3, process.kill)
        began = time.monotonic()
        timer.start()
        with xend_lock.hold(str(tmp_path), "relocation", wait_s=60):
            waited = time.monotonic() - began
        timer.join(300)
    assert 0.3 <= waited < 50


@pytest.mark.parametrize("wait_s", [0, 0.4])
def test_waiting_ends_in_time(tmp_path, wait_s):
    with holder(tmp_path):
        began = time.monotonic()
        with pytest.raises(xend_lock.Held):
            with xend_lock.hold(str(tmp_path), "relocation", wait_s=wait_s):
                raise AssertionError("never comes here")
        assert wait_s - 0.05 < time.monotonic() - began < wait_s + 2


def test_the_lock_file_is_the_owner_s_alone_and_stays(tmp_path):
    folder = tmp_path / "not" / "yet"
    assert is_free(folder)
    (path,) = folder.iterdir()
    assert path.name == ".relocation.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_full_disk_silences_the_holder_but_not_the_lock(tmp_path):
    assert is_free(tmp_path)
    with holder(tmp_path, who="migration of web01", extra="full disk"):
        assert not is_free(tmp_path)


def test_a_folder_that_cannot_be_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError):
        with xend_lock.hold(str(tmp_path / "file" / "folder"), "relocation"):
            raise AssertionError("never comes here")


# reservations


def names(folder, now=NOW):
    return [made["name"] for made in xend_lock.reserved(str(folder), now)]


def reserve(folder, name="web01", seconds=300, now=NOW, who="migration from xen1"):
    return xend_lock.reserve(str(folder), name, who, seconds, now, import_module)


def test_a_reservation_holds_until_it_is_released(tmp_path):
    made = reserve(tmp_path)
    assert made == {"name": "web01", "who": "migration from xen1", "until": NOW + 300, "memory_mib": 0}
    assert xend_lock.reserved(str(tmp_path), NOW + 1) == [made]
    assert xend_lock.release(str(tmp_path), "web01", NOW + 1) is True
    assert xend_lock.reserved(str(tmp_path), NOW + 1) == []
    assert xend_lock.release(str(tmp_path), "web01", NOW + 1) is False


def test_a_reservation_is_on_the_disk_as_documented(tmp_path):
    reserve(tmp_path)
    path = tmp_path / ".web01.reserved"
    assert json.loads(path.read_text())["until"] == NOW + 300
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_reserving_again_takes_the_place_of_the_first(tmp_path):
    reserve(tmp_path, seconds=600)
    made = reserve(tmp_path, seconds=60, who="migration from xen3")
    assert xend_lock.reserved(str(tmp_path), NOW) == [made]
    assert names(tmp_path, NOW + 61) == []


def test_reservations_come_in_the_order_of_their_end(tmp_path):
    for name, seconds in (("b", 300), ("c", 100), ("a", 200)):
        reserve(tmp_path, name, seconds)
    assert names(tmp_path) == ["c", "a", "b"]


@pytest.mark.parametrize("after", [300, 301, 100000, -301, -100000])
def test_it_ends_by_itself_also_when_the_clock_was_set(tmp_path, after):
    """Set back by so much that it would outlast any that could be made now."""
    reserve(tmp_path)
    assert names(tmp_path, NOW + after) == []
    assert not (tmp_path / ".web01.reserved").exists()


@pytest.mark.parametrize("after", [0, 299, -300])
def test_it_holds_before_its_end(tmp_path, after):
    reserve(tmp_path)
    assert names(tmp_path, NOW + after) == ["web01"]


@pytest.mark.parametrize("seconds", [0, -1, 600.5, 1e9, float("nan"), float("inf")])
def test_a_reservation_that_would_last_too_long_is_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="600"):
        reserve(tmp_path, seconds=seconds)
    assert names(tmp_path) == []


def test_a_reservation_keeps_the_memory_that_is_promised(tmp_path):
    made = xend_lock.reserve(str(tmp_path), "web01", "xen1", 60, NOW, import_module, 512)
    assert made["memory_mib"] == 512 and xend_lock.reserved(str(tmp_path), NOW) == [made]


def test_a_reservation_of_an_older_version_promises_no_memory(tmp_path):
    reserve(tmp_path)
    old = {"name": "db01", "who": "migration from xen1", "until": NOW + 60}
    (tmp_path / ".db01.reserved").write_text(json.dumps(old))
    assert dict(old, memory_mib=0) in xend_lock.reserved(str(tmp_path), NOW)


def test_to_look_for_reservations_makes_no_folder(tmp_path):
    assert names(tmp_path / "kept") == [] and not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"name": "a", "who": "b"}',
        b'{"name": "a", "who": "b", "until": "soon"}',
        b'{"name": "a", "who": "b", "until": null}',
        b'{"name": "a", "who": "b", "until": NaN}',
        b'{"name": "a", "who": "b", "until": Infinity}',
        b'{"name": 1, "who": "b", "until": 1000100}',
        b'{"name": "a", "who": "b", "until": 1000100, "memory_mib": -1}',
        b'{"name": "a", "who": "b", "until": 1000100, "memory_mib": Infinity}',
        b'{"name": "a", "who": "b", "until": 1000100, "memory_mib": null}',
    ],
)
def test_a_broken_reservation_is_removed(tmp_path, content):
    reserve(tmp_path)
    broken = tmp_path / ".db01.reserved"
    broken.write_bytes(content)
    assert names(tmp_path) == ["web01"] and not broken.exists()


def test_other_files_are_left_alone(tmp_path):
    others = [tmp_path / name for name in ("web01.sxp", "web01.reserved", ".web01.reserved.new")]
    for path in others:
        path.write_text("other")
    assert names(tmp_path) == []
    assert [path.read_text() for path in others] == ["other"] * 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), unique=True, min_size=1, max_size=4))
def test_names_of_any_letters_stay_apart(tmp_path_factory, given_names):
    folder = tmp_path_factory.mktemp("names")
    for name in given_names:
        reserve(folder, name, who=name)
    found = xend_lock.reserved(str(folder), NOW)
    assert sorted(made["who"] for made in found) == sorted(given_names)
    for name in given_names:
        assert xend_lock.release(str(folder), name, NOW)
    assert names(folder) == []


@pytest.mark.parametrize(
    "change",
    [lambda folder: reserve(folder), names, lambda folder: xend_lock.release(str(folder), "web01", NOW)],
    ids=["reserve", "reserved", "release"],
)
def test_one_process_at_a_time_changes_reservations(tmp_path, change):
    """Else one that removes an expired reservation could hit the one that replaces it."""
    reserve(tmp_path)
    thread = threading.Thread(target=change, args=(tmp_path,))
    with xend_lock.hold(str(tmp_path), "reservations"):
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(300)
    assert not thread.is_alive()


def test_a_disk_that_takes_nothing_keeps_the_old_reservation(tmp_path):
    made = reserve(tmp_path)
    script = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); import importlib, xend_lock\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try:\n    xend_lock.reserve(sys.argv[2], 'web01', 'xen3', 300, 1000200.0, importlib.import_module)\n"
        "except EnvironmentError:\n    print('refused')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, UTILS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout == "refused\n", said.stderr
    assert xend_lock.reserved(str(tmp_path), NOW) == [made]
    assert sorted(os.listdir(tmp_path)) == [".reservations.lock", ".web01.reserved"]


# The folder


def lock(folder):
    with xend_lock.hold(str(folder), "relocation"):
        pass


ALL_OF_IT = [
    lock,
    lambda folder: xend_lock.private(str(folder)),
    lambda folder: xend_lock.reserve(str(folder), "web01", "xen1", 60, NOW, import_module),
    lambda folder: xend_lock.reserved(str(folder), NOW),
    lambda folder: xend_lock.release(str(folder), "web01", NOW),
]


@pytest.mark.parametrize("use", ALL_OF_IT)
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, use, mode):
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(EnvironmentError) as raised:
        use(folder)
    assert raised.value.filename == str(folder) and "chmod 700" in raised.value.strerror
    assert "%04o" % mode in raised.value.strerror and list(folder.iterdir()) == []
    folder.chmod(0o700)
    use(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("use", ALL_OF_IT)
def test_a_folder_of_somebody_else_is_not_used(tmp_path, use):
    folder, link = tmp_path / "kept", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    use(link)
    before = sorted(folder.iterdir())
    os.lchown(str(link), 1234, 1234)
    os.chown(str(folder), 1234, 1234)
    for path in (folder, link):
        with pytest.raises(EnvironmentError) as raised:
            use(path)
        assert "1234" in raised.value.strerror
    os.chown(str(folder), 0, 0)
    with pytest.raises(EnvironmentError) as raised:
        use(link)
    assert "link" in raised.value.strerror and sorted(folder.iterdir()) == before


def plant_link(path, victim):
    path.symlink_to(victim)


def plant_hard_link(path, victim):
    os.link(str(victim), str(path))


def plant_fifo(path, victim):
    os.mkfifo(str(path))


def plant_folder(path, victim):
    path.mkdir()


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_fifo, plant_folder])
def test_what_is_planted_is_neither_followed_nor_waited_for(tmp_path, plant):
    victim, folder = tmp_path / "victim", tmp_path / "kept"
    victim.write_text("precious")
    folder.mkdir(0o700)
    for name in (".relocation.lock", ".web01.reserved"):
        plant(folder / name, victim)
    began = time.monotonic()
    with pytest.raises(EnvironmentError) as raised:
        lock(folder)
    assert ".relocation.lock" in str(raised.value)
    if plant is not plant_folder:
        # What is no reservation is removed, and one that is made takes its place.
        assert xend_lock.reserved(str(folder), NOW) == []
        plant(folder / ".web01.reserved", victim)
        xend_lock.reserve(str(folder), "web01", "xen1", 60, NOW, import_module)
        assert [made["name"] for made in xend_lock.reserved(str(folder), NOW)] == ["web01"]
    assert time.monotonic() - began < 50
    assert victim.read_text() == "precious" and stat.S_IMODE(victim.stat().st_mode) == 0o644


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_fifo])
def test_what_is_kept_takes_the_place_of_what_was_planted(tmp_path, plant):
    victim, path = tmp_path / "victim", tmp_path / "web01.sxp"
    victim.write_text("precious")
    plant(path, victim)
    with pytest.raises(EnvironmentError):
        xend_lock.get(str(path), 100)
    xend_file.replace(str(path), b"(domain)")
    assert xend_lock.get(str(path), 100) == b"(domain)" and victim.read_text() == "precious"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.is_file() and not path.is_symlink()
    with pytest.raises(EnvironmentError, match="7 bytes"):
        xend_lock.get(str(path), 7)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["victim", "web01.sxp"]


def test_names_of_any_length_are_kept_apart(tmp_path):
    names = ["x" * 300 + end for end in ("a", "b")]
    with xend_lock.hold(str(tmp_path), names[0]):
        assert is_free(tmp_path, name=names[1]) and not is_free(tmp_path, name=names[0])
    for name in names:
        xend_lock.reserve(str(tmp_path), name, "xen1", 60, NOW, import_module)
    assert [made["name"] for made in xend_lock.reserved(str(tmp_path), NOW)] == names


def test_words_without_end_are_no_reservation(tmp_path):
    with pytest.raises(ValueError, match="bytes"):
        xend_lock.reserve(str(tmp_path), "web01", "x" * 100000, 60, NOW, import_module)
    assert xend_lock.reserved(str(tmp_path), NOW) == []
