"""Hosts that get back what an evacuation has taken away: the real SLS and runner, over a fleet of three."""

import pytest

from tests.lab import salt_config

pytestmark = [
    pytest.mark.usefixtures("host_count"),
    pytest.mark.parametrize("host_count", [3], indirect=True),
]

NAMES = ("web01", "web02", "web03", "web04")


def last(run):
    return list(run.steps.values())[-1]


@pytest.fixture
def emptied(configured):
    """Four guests that were taken from xen1 to xen2."""
    for name in NAMES:
        configured.xen1.create_guest(name, memory_mib=64)
    for name in NAMES:
        configured.xen1.wait_alive(name)
    run = configured.evacuate(targets="xen2", parallel=2)
    assert run.exit_code == 0, run.report()
    return configured


def test_what_can_comes_back_and_of_the_rest_is_told_where_it_is(emptied, conductor):
    xen2 = emptied.xen2
    run = emptied.migrate("web02", source="xen2", target="xen3")
    assert run.exit_code == 0, run.report()
    xen2.destroy_guest("web03")
    assert xen2.xm_run("rename", "web04", "mail04").returncode == 0
    uuid = emptied.where("mail04")["xen2"].uuid

    dry = emptied.restore(test=True)
    assert dry.exit_code == 0 and "2 guests would come back" in last(dry)["comment"], dry.report()
    assert list(emptied.where("web01")) == ["xen2"] and conductor.call("xen1", "xm.evacuation")["closed"]

    run = emptied.restore(domains=["web01"])
    assert run.exit_code == 0, run.report()
    assert list(emptied.where("web01")) == ["xen1"] and list(emptied.where("mail04")) == ["xen2"]
    record = conductor.call("xen1", "xm.evacuation")
    assert not record["closed"] and [guest["name"] for guest in record["guests"]] == list(NAMES[1:])

    run = emptied.restore()
    assert run.exit_code == 0, run.report()
    said = last(run)["comment"]
    assert last(run)["__id__"] == "xen1 is filled again" and "web02" in said and "moved on since" in said
    assert "no host has web03 any more" in said and "mail04 to xen1" in said
    assert emptied.where("mail04")["xen1"].uuid == uuid and list(emptied.where("web02")) == ["xen3"]
    assert not salt_config.evacuation(emptied.xen1).exists()

    # Nothing is fought, and nothing is left to do.
    again = emptied.restore()
    assert again.exit_code == 0 and "keeps no guest in mind" in again.report()


def test_who_cannot_come_back_stays_where_it_is_and_is_not_forgotten(emptied, conductor):
    emptied.xen2.xm_run("pause", "web01")
    emptied.minion_down("xen3")
    emptied.xen2.destroy_guest("web02")
    run = emptied.restore(domains="web09")
    assert run.exit_code == 1 and "web09 is not among those" in last(run)["comment"]
    assert conductor.call("xen1", "xm.evacuation")["closed"]
    run = emptied.restore(domains="web01,web02")
    assert run.exit_code == 1
    said = last(run)["comment"]
    assert last(run)["__id__"] == "xen1 is not filled yet"
    assert "where web01 is cannot be told: the copy on xen2" in said
    assert "where web02 is cannot be told" in said and "xen3" in said
    record = conductor.call("xen1", "xm.evacuation")
    assert not record["closed"] and [guest["name"] for guest in record["guests"]] == list(NAMES)
    emptied.minion_up("xen3")
    emptied.xen2.xm_run("unpause", "web01")
    run = emptied.restore()
    assert run.exit_code == 0, run.report()
    assert sorted(emptied.xen1.guests()) == ["web01", "web03", "web04"]


def test_who_is_on_a_host_that_has_left_the_pillar_is_not_forgotten(emptied, conductor):
    pillar = salt_config.pillar(emptied.fleet)
    del pillar["xend"]["relocation"]["hosts"]["xen2"]
    emptied.set_pillar(pillar)
    run = emptied.restore()
    assert run.exit_code == 1
    said = last(run)["comment"]
    assert "where web01 is cannot be told" in said and "xen2 (it was not asked" in said
    record = conductor.call("xen1", "xm.evacuation")
    assert [guest["name"] for guest in record["guests"]] == list(NAMES)
    emptied.set_pillar(salt_config.pillar(emptied.fleet))
    run = emptied.restore()
    assert run.exit_code == 0, run.report()
    assert sorted(emptied.xen1.guests()) == list(NAMES)
