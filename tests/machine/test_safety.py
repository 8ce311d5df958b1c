"""The folder for safety copies, as it is on this machine."""

import os
from pathlib import Path

import pytest

import xend_lock
import xm_safety


def look(folder):
    return xm_safety.look(str(folder), xend_lock.private)


def test_a_folder_that_is_there_or_can_be_made_has_the_room_of_its_disk(tmp_path):
    space = os.statvfs(tmp_path)
    free_mib = space.f_bavail * space.f_frsize // xm_safety.MIB
    folder = tmp_path / "safety"
    for _ in range(2):
        found = look(folder)
        assert found["problem"] is None
        assert abs(found["free_mib"] - free_mib) < 1024
        assert found["device"] == os.stat(tmp_path).st_dev
        folder.mkdir(mode=0o700, exist_ok=True)
    assert look(tmp_path / "a" / "b")["problem"] is None
    assert os.listdir(tmp_path) == ["safety"]


def test_a_folder_that_others_may_write_to_is_none(tmp_path):
    folder = tmp_path / "safety"
    folder.mkdir()
    folder.chmod(0o777)
    found = look(folder)
    assert found["free_mib"] is None and str(folder) in found["problem"] and "chmod 700" in found["problem"]


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_is_no_folder(tmp_path, path):
    (tmp_path / "file").write_text("")
    found = look(tmp_path / path)
    assert found["free_mib"] is None and "Not a directory" in found["problem"]


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path):
    (tmp_path / "safety").symlink_to(tmp_path / "none")
    assert look(tmp_path / "safety")["problem"]


def test_what_is_mounted_read_only_is_no_folder():
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    read_only = [words[1] for words in mounts if "ro" in words[3].split(",") and os.path.isdir(words[1])]
    if not read_only:
        pytest.skip("nothing is mounted read only here")
    found = look(read_only[0] + "/none/of/this/name")
    assert found["free_mib"] is None and "Read-only file system" in found["problem"]
