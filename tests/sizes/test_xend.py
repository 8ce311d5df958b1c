"""The execution module on files that are far too big or far too deep: bounded time, clear errors."""

import os

import pytest
from salt.exceptions import CommandExecutionError

from tests.sizes import work_below

DEEP = b"(" * 100000 + b"a" + b")" * 100000
MIB = 1048576
LIMIT_S = 60


@pytest.fixture
def in_time():
    """The test takes no longer than this machine needs for the size, with much to spare."""
    with work_below(LIMIT_S):
        yield


def test_a_deep_list_does_not_stand_in_the_way(xend, config, in_time):
    config.write_bytes(b"(deep " + DEEP + b")\n" + DEEP + b"\n(dom0-min-mem 196)\n")
    assert xend.get("dom0-min-mem") == "196"
    listed = xend.list()
    assert listed["dom0-min-mem"] == "196" and "deeper" in listed["deep"]
    assert xend.set("dom0-min-mem", 256)["changed"]
    assert xend.configure(port=8010)["changed"]
    assert xend.relocation()["port"] == 8010
    assert isinstance(xend.check(version="3.0.3"), list)
    with pytest.raises(CommandExecutionError) as caught:
        xend.get("deep")
    assert "deep" in str(caught.value) and "50" in str(caught.value)


def test_a_deep_value_can_be_replaced_and_removed(xend, config, in_time):
    config.write_bytes(b"(xend-relocation-port " + DEEP + b")\n(deep " + DEEP + b")\n")
    assert xend.configure(port=8010)["changes"]["port"]["new"] == 8010
    done = xend.set("deep", "shallow")
    assert done["changed"] and "deeper" in done["old"] and done["new"] == "shallow"
    assert xend.remove("deep")["changed"]
    assert config.read_bytes() == b"(xend-relocation-port 8010)\n"


def test_a_list_that_is_too_deep_is_not_written(xend, config):
    before = config.read_bytes()
    value = "a"
    for _ in range(1000):
        value = [value]
    with pytest.raises(CommandExecutionError) as caught:
        xend.set("deep", value)
    assert "deep" in str(caught.value) and config.read_bytes() == before


def test_what_would_make_the_file_too_large_is_not_written(xend, config):
    before = config.read_bytes()
    with pytest.raises(CommandExecutionError) as caught:
        xend.set("note", "x y" * (MIB // 3))
    assert str(config) in str(caught.value) and "1048576" in str(caught.value)
    assert config.read_bytes() == before
    assert xend.set("note", "x y" * (MIB // 6))["changed"]


@pytest.mark.parametrize(
    "line",
    [
        b"(a-key of-no-consequence)  # as often as it takes\n",
        b"# a comment of some length, as they are in real files\n",
        b"(key-%07d 'with a value of its own')\n",
    ],
    ids=["equal forms", "comments", "all keys different"],
)
def test_a_file_of_a_megabyte(xend, config, line, in_time):
    if b"%" in line:
        big = b"".join(line % number for number in range((MIB - 1000) // 42))
    else:
        big = line * ((MIB - 1000) // len(line))
    config.write_bytes(b"(dom0-min-mem 196)\n" + big + b"(dom0-cpus 0)\n")
    assert xend.get("dom0-cpus") == "0"
    assert xend.set("dom0-cpus", 2)["diff"].count("\n") < 15
    done = xend.configure(port=8010, server=False)
    assert set(done["changes"]) == {"port", "server"}


@pytest.mark.parametrize("size", [MIB + 1, 200 * MIB])
def test_a_larger_file_is_refused_at_once(xend, config, size):
    """xend itself would need minutes for it."""
    os.truncate(config, size)
    asked = (xend.list, xend.check, xend.relocation, xend.status, lambda: xend.set("dom0-cpus", 2))
    with work_below(5):
        for ask in asked:
            with pytest.raises(CommandExecutionError) as caught:
                ask()
            assert str(config) in str(caught.value)
            assert "larger than 1048576 bytes" in str(caught.value)
    assert config.stat().st_size == size


def test_listing_and_checking_grow_with_the_file(xend, config, in_time):
    config.write_bytes(b"".join(b"(key-%d v)\n" % number for number in range(50000)))
    assert len(xend.list()) == 50000
    assert xend.check() == []
