"""Changing a file: complete or not at all, at any moment, by any number of processes."""

import multiprocessing
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import xend_file

UTILS = Path(xend_file.__file__).parent


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "xend-config.sxp"
    path.write_bytes(b"(a 1)\n")
    return path


def change_to(data):
    return lambda old: data


def test_a_change_is_written_and_reported(config):
    assert xend_file.update(str(config), change_to(b"(a 2)\n")) == (b"(a 1)\n", b"(a 2)\n")
    assert config.read_bytes() == b"(a 2)\n"
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_without_a_change_the_file_is_not_touched(config):
    os.utime(config, (1, 1))
    before = os.stat(config)
    xend_file.update(str(config), lambda old: old, before_write=pytest.fail)
    after = os.stat(config)
    assert (after.st_mtime, after.st_ino) == (before.st_mtime, before.st_ino)


def test_mode_is_kept(config):
    config.chmod(0o640)
    xend_file.update(str(config), change_to(b"x"))
    assert stat.S_IMODE(config.stat().st_mode) == 0o640


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_owner_is_kept(config):
    os.chown(config, 1234, 2345)
    xend_file.update(str(config), change_to(b"x"))
    assert (config.stat().st_uid, config.stat().st_gid) == (1234, 2345)


def test_extended_attributes_are_kept(config):
    try:
        os.setxattr(config, "user.origin", b"here")
    except OSError as exc:
        pytest.skip("this file system has no extended attributes: %s" % exc)
    xend_file.update(str(config), change_to(b"x"))
    assert os.getxattr(config, "user.origin") == b"here"


# A list of users with one name in it, user 4711, who may do all: version 2, then (tag, rights, id) of the
# owner, that user, the group, the mask and others (linux/posix_acl_xattr.h).
LIST = struct.pack("<L", 2) + b"".join(
    struct.pack("<HHL", *entry)
    for entry in [
        (1, 7, 2**32 - 1),
        (2, 7, 4711),
        (4, 5, 2**32 - 1),
        (16, 7, 2**32 - 1),
        (32, 5, 2**32 - 1),
    ]
)


@pytest.fixture
def open_folder(tmp_path):
    """A folder whose default lets a user into whatever is made there."""
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", LIST)
    except OSError as exc:
        pytest.skip("this file system has no lists of users: %s" % exc)
    return tmp_path


def test_a_new_file_lets_nobody_in_whom_the_old_one_does_not(config, open_folder, monkeypatch):
    config.chmod(0o640)
    os.removexattr(config, "system.posix_acl_access") if os.listxattr(config) else None
    seen = []
    rights = os.fchmod

    def look(descriptor, mode):
        seen.append((stat.S_IMODE(os.fstat(descriptor).st_mode), os.listxattr(descriptor)))
        rights(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", look)
    xend_file.update(str(config), change_to(b"x"))
    # Before it gets its mode nobody is let in, and then no more than before.
    assert seen == [(0o600, [])]
    assert os.listxattr(config) == [] and stat.S_IMODE(config.stat().st_mode) == 0o640


def test_a_file_that_is_kept_is_for_its_owner_only(tmp_path):
    for path in (str(tmp_path / "text"), os.fsencode(tmp_path / "bytes")):
        xend_file.replace(path, b"secret")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        xend_file.replace(path, b"other", 0o640, timeout_s=1)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["bytes", "text"]


def test_a_new_file_never_takes_the_place_of_another(config):
    with pytest.raises(FileExistsError):
        xend_file.replace(str(config), b"x", is_new=True)
    assert config.read_bytes() == b"(a 1)\n"
    xend_file.replace(str(config) + ".cfg", b"x", is_new=True)
    assert sorted(os.listdir(config.parent)) == [config.name, config.name + ".cfg"]


def test_a_link_stays_and_its_target_is_changed(config, tmp_path):
    link = tmp_path / "link.sxp"
    link.symlink_to(config.name)
    xend_file.update(str(link), change_to(b"x"))
    assert link.is_symlink() and config.read_bytes() == b"x"


def test_the_backup_is_taken_of_the_old_file(config):
    seen = []
    xend_file.update(
        str(config), change_to(b"x"), before_write=lambda p: seen.append(Path(p).read_bytes())
    )
    assert seen == [b"(a 1)\n"]


def test_an_error_while_editing_leaves_the_file(config):
    def fail(old):
        raise ValueError("no")

    with pytest.raises(ValueError):
        xend_file.update(str(config), fail)
    assert config.read_bytes() == b"(a 1)\n"
    assert len(list(config.parent.iterdir())) == 1


def test_a_dangling_link_is_named(tmp_path):
    link = tmp_path / "link.sxp"
    link.symlink_to("nowhere.sxp")
    with pytest.raises(EnvironmentError) as caught:
        xend_file.update(str(link), change_to(b"x"))
    assert "dangling" in str(caught.value) and "nowhere.sxp" in str(caught.value)
    assert not (tmp_path / "nowhere.sxp").exists()


def test_a_directory_is_an_error(tmp_path):
    with pytest.raises(EnvironmentError) as caught:
        xend_file.update(str(tmp_path), change_to(b"x"))
    assert str(tmp_path) in str(caught.value)


def test_a_full_disk_leaves_the_old_file(config):
    # The kernel itself fails the write: no file of this process may grow beyond 64 KiB.
    program = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); import xend_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "xend_file.update(sys.argv[2], lambda old: b'x' * 200000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(UTILS), str(config)], capture_output=True, timeout=60
    )
    assert done.returncode != 0 and b"File too large" in done.stderr
    assert config.read_bytes() == b"(a 1)\n"
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_a_lock_that_is_held_is_an_error_in_time(config):
    with xend_file._locked(str(config.parent), 1):
        began = time.monotonic()
        with pytest.raises(EnvironmentError) as caught:
            xend_file.update(str(config), change_to(b"x"), timeout_s=0.2)
        assert time.monotonic() - began < 50
    assert "locked" in str(caught.value)
    assert config.read_bytes() == b"(a 1)\n"


def _append(path, who, times):
    for number in range(times):
        xend_file.update(path, lambda old: old + b"(%s-%d)\n" % (who, number), timeout_s=60)


def test_processes_that_write_at_once_lose_nothing(config):
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_append, args=(str(config), who, 40)) for who in (b"a", b"b", b"c")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(300)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    lines = config.read_bytes().splitlines()
    assert len(lines) == 1 + 3 * 40 == len(set(lines))


def _report(pipe, uid, path):
    """In a child: become that user, try an update, tell what happened."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    try:
        xend_file.update(path, change_to(b"x"))
        pipe.send("written")
    except OSError as exc:
        pipe.send("%s: %s" % (exc.strerror, exc.filename))


@pytest.fixture
def as_nobody():
    """A function that tries an update without root's rights, and a folder where that user has his own."""
    uid = 65534 if os.getuid() == 0 else None
    # Not tmp_path: pytest keeps its folders closed to other users.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    path = folder / "xend-config.sxp"
    path.write_bytes(b"(a 1)\n")
    if uid is not None:
        os.chown(folder, uid, uid)
        os.chown(path, uid, uid)

    def attempt():
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=_report, args=(there, uid, str(path)))
        child.start()
        child.join(300)
        assert child.exitcode == 0 and here.poll(0)
        return here.recv()

    yield attempt, path
    folder.chmod(0o755)
    path.chmod(0o644)
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    shutil.rmtree(folder)


def test_a_user_can_change_his_own_file(as_nobody):
    attempt, path = as_nobody
    assert attempt() == "written" and path.read_bytes() == b"x"


@pytest.mark.parametrize(
    "file_mode, folder_mode, said",
    [(0o644, 0o555, "Permission denied"), (0o444, 0o755, "Permission denied: PATH")]
    + [(0o000, 0o755, "Permission denied: PATH"), (0o200, 0o755, "Permission denied: PATH")],
    ids=["read-only folder", "read-only file", "no rights", "unreadable file"],
)
def test_without_the_right_to_it_is_an_error_and_nothing_changes(
    as_nobody, file_mode, folder_mode, said
):
    attempt, path = as_nobody
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    before = path.stat()
    assert attempt().startswith(said.replace("PATH", str(path)))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    path.chmod(0o644)
    assert path.read_bytes() == b"(a 1)\n"


# The parent is small and imports once, so that a child is there in a millisecond.
KILLER = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import xend_file
path, kills = sys.argv[2], int(sys.argv[3])
folder, name = os.path.split(path)
moments = random.Random(20061)
versions = set()
for _ in range(kills):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        number, limit = 0, time.time() + 300
        while time.time() < limit:
            number = number % 400 + 1
            xend_file.update(path, lambda old: b"(v %d)\\n" % number * (10 * number))
            if number == 1:
                os.write(tell, b"!")
        os._exit(1)
    os.read(ready, 1)
    os.close(ready), os.close(tell)
    time.sleep(moments.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(path, "rb") as stream:
        lines = stream.read().splitlines()
    number = int(lines[0][3:-1])
    assert lines == [b"(v %d)" % number] * (10 * number), (number, len(lines), set(lines))
    assert set(os.listdir(folder)) <= set([name, "." + name + ".new"]), os.listdir(folder)
    versions.add(number)
print(kills, len(versions))
"""


def test_a_writer_killed_at_any_moment_leaves_a_complete_file(config):
    """SIGKILL at 600 random moments: always one whole version, and nothing piles up."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", KILLER, str(UTILS), str(config), "600"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    kills, versions = map(int, done.stdout.split())
    # Were all kills at the same point of the work, this would show little.
    assert kills == 600 and versions > 3
    xend_file.update(str(config), change_to(b"done"))
    assert [path.name for path in config.parent.iterdir()] == [config.name]
