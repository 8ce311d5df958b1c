"""The files of tests/data themselves: complete, each with its readings, and with the bytes that they had."""

import pytest

from tests import ground_truth


@pytest.mark.parametrize("kind", ["edge", "files"])
def test_every_file_is_in_the_index_and_was_read_by_a_real_xend(kind):
    found = {config.name: config for config in ground_truth.configs(kind)}
    rows = ground_truth.index(kind)
    assert sorted(found) == sorted("%s/%s" % (kind, row["file"]) for row in rows)
    for config in found.values():
        assert "4.4" in config.records, config.name
        for version, record in config.records.items():
            assert record["version"] == version, config.name


def test_every_byte_is_as_it_was():
    """Git on some machines changes line ends, unless it is told not to."""
    found = {config.name: config.data for config in ground_truth.configs("edge")}
    for row in ground_truth.index("edge"):
        assert len(found["edge/" + row["file"]]) == int(row["bytes"]), row["file"]
    whole = {config.name[:9]: config.data for config in ground_truth.configs("files")}
    assert whole["files/202"].count(b"\r\n") == whole["files/202"].count(b"\n") == 10
    assert whole["files/411"].count(b"\r") == 3 and b"\n" not in whole["files/411"]
    assert whole["files/203"].startswith(b"\xef\xbb\xbf") and not whole["files/105"].endswith(b"\n")


def test_no_reading_is_without_its_file():
    names = {config.name for config in ground_truth.configs("edge", "files")}
    for version in ground_truth.VERSIONS:
        assert {record["file"] for record in ground_truth.readings(version)} <= names
