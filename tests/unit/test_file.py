"""Changing a file: complete or not at all, at any moment, by any number of processes."""

import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
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
        [sys.executable, "-c", program, str(UTILS), str(config)], capture_output=True, timeout=30
    )
    assert done.returncode != 0 and b"File too large" in done.stderr
    assert config.read_bytes() == b"(a 1)\n"
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_a_lock_that_is_held_is_an_error_in_time(config):
    with xend_file._locked(str(config.parent), 1):
        began = time.monotonic()
        with pytest.raises(EnvironmentError) as caught:
            xend_file.update(str(config), change_to(b"x"), timeout_s=0.2)
        assert time.monotonic() - began < 5
    assert "locked" in str(caught.value)
    assert config.read_bytes() == b"(a 1)\n"


def _append(path, who, times):
    for number in range(times):
        xend_file.update(path, lambda old: old + b"(%s-%d)\n" % (who, number), timeout_s=30)


def test_processes_that_write_at_once_lose_nothing(config):
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_append, args=(str(config), who, 40)) for who in (b"a", b"b", b"c")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    lines = config.read_bytes().splitlines()
    assert len(lines) == 1 + 3 * 40 == len(set(lines))


WRITER = """
import sys; sys.path.insert(0, sys.argv[1])
import xend_file
number = 0
while True:
    number += 1
    xend_file.update(sys.argv[2], lambda old: b"(v %d)\\n" % number * 3000)
    if number == 1:
        print("ready", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_complete_file(config):
    """SIGKILL at 100 random moments: always one whole version, and nothing piles up."""
    moments = random.Random(20061)
    for _ in range(100):
        writer = subprocess.Popen(
            [sys.executable, "-S", "-c", WRITER, str(UTILS), str(config)], stdout=subprocess.PIPE
        )
        try:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.01))
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
            writer.stdout.close()
        lines = config.read_bytes().splitlines()
        assert len(lines) == 3000 and len(set(lines)) == 1
        assert len(list(config.parent.iterdir())) <= 2
    xend_file.update(str(config), change_to(b"done"))
    assert [path.name for path in config.parent.iterdir()] == [config.name]
