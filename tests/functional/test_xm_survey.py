"""What all guests of a host are asked at once is what each is asked: the same sentences, in a few looks."""

import re

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.conftest import OPEN
from tests.functional.test_xm_disks import markers
from tests.lab.fleet import HostSpec

FEW_FLAGS = tuple("fpu tsc msr pae cx8 sep cmov mmx fxsr nx lm".split())
TARGETS = ("xen2", "amd1", "old1")
MEMORY = "MiB are needed here"


@pytest.fixture(scope="module")
def fleet(open_fleet):
    """A host with all kinds of trouble, and targets: one alike, one with another processor, one older."""
    found = open_fleet(
        HostSpec("xen1"),
        HostSpec("xen2"),
        HostSpec("amd1", cpu_vendor="AuthenticAMD", cpu_flags=FEW_FLAGS, uptime_s=60.0, bridges=()),
        HostSpec("old1", version="3.4.0"),
    )
    make_trouble(found)
    return found


def make_trouble(fleet):
    source, new = fleet["xen1"], fleet["xen1"].create_guest
    new("web01", disks=["file:/srv/xen/web01.img,xvda,w", "file:/srv/xen/data.img,xvdb,w"])
    new("web02", disks=["file:/srv/local/web02.img,xvda,w"], vifs=["bridge=xenbr0"])
    new("web03", vifs=["bridge=dmz"])
    new("web04", disks=["file:/srv/local/web04.img,xvda,w"])
    new("web05")
    new("web06", paused=True)
    new("web07", image="hvm", memory_mib=60)
    new("web08", managed=True)
    new("web09", nomigrate=True)
    new("web10", devices=[["irq", ["irq", "4"]]])
    source.define_guest("web11")
    fleet["xen2"].make_image("/srv/local/web04.img")
    fleet["xen2"].create_guest("web05")
    for host in TARGETS:
        fleet[host].path("/usr/lib/xen/bin/qemu-dm").unlink()


def without_moment(domain):
    return {key: value for key, value in domain.items() if key not in ("sxp", "state")}


def test_each_guest_is_said_what_it_is_said_alone(on, fleet):
    xm = on("xen1")
    survey = xm.survey("xen1", doors=list(TARGETS))
    try:
        assert survey["problem"] is None and survey["wrong"] is None
        assert [guest["name"] for guest in survey["guests"]] == [
            "web%02d" % number for number in range(1, 12)
        ]
        assert survey["doors"] == {target: [] for target in TARGETS}
        for guest in survey["guests"]:
            if guest["view"]["copy"] == "managed":
                assert (guest["name"], guest["domain"], guest["blockers"]) == ("web11", None, [])
                continue
            alone = xm.can_send(guest["name"], "xen2")
            assert at_rest(guest["blockers"]) == at_rest(alone["blockers"])
            assert guest["warnings"] == alone["warnings"]
            assert without_moment(guest["domain"]) == without_moment(xm.domain(guest["name"]))
        blocked = {guest["name"] for guest in survey["guests"] if guest["blockers"]}
        assert blocked == {"web06", "web09", "web10"}
        for target in TARGETS:
            _same_room(on, survey, target, accept=None)
        _same_room(on, survey, "amd1", accept=["cpu", "storage", "version"])
    finally:
        xm.unmark_disks(survey["marked"])
    assert markers(*fleet) == []


def at_rest(sentences):
    """Whether a guest is on a CPU just now does not matter."""
    return [re.sub("state (r-----|-b----)", "state ------", sentence) for sentence in sentences]


def _same_room(on, survey, target, accept):
    guests = [guest["domain"] for guest in survey["guests"] if guest["domain"]]
    storage = dict(survey["marked"], host="xen1")
    found = on(target).room_for(guests, survey["host"], storage, accept)["guests"]
    assert [one["name"] for one in found] == [guest["name"] for guest in guests]
    said = ""
    for guest, one in zip(guests, found, strict=True):
        marked = on("xen1").mark_disks(guest["name"])
        alone = on(target).can_receive(
            guest, source=survey["host"], storage=dict(marked, host="xen1"), accept=accept
        )
        on("xen1").unmark_disks(marked)
        blockers = [sentence for sentence in alone["blockers"] if MEMORY not in sentence]
        assert [at_rest(one["blockers"]), one["warnings"]] == [at_rest(blockers), alone["warnings"]]
        assert one["needed_mib"] >= one["takes_mib"] > guest["memory_mib"]
        said += "".join(blockers)
    for words in {
        "xen2": (
            "needs the bridge dmz",
            "web02.img",
            "does not see",
            "the name web05 is in use",
            "qemu-dm",
        ),
        "amd1": ("needs the bridge xenbr0", "qemu-dm"),
        "old1": ("and old1 an older one", "qemu-dm"),
    }[target]:
        assert words in said, words


def test_what_keeps_all_guests_from_leaving_is_said_of_each(on, fleet):
    fleet["old1"].stop()
    try:
        survey = on("xen1").survey(
            "xen1", ["web01", "web05"], doors=["old1", "xen2", "xen1", "no host!"]
        )
    finally:
        fleet["old1"].start()
        on("xen1").unmark_disks(survey["marked"])
    assert "nothing listens" in survey["doors"]["old1"][0] and survey["doors"]["xen2"] == []
    assert (
        "this host itself" in survey["doors"]["xen1"][0]
        and "no host!" in survey["doors"]["no host!"][0]
    )
    assert [guest["name"] for guest in survey["guests"]] == ["web01", "web05"]


def test_options_hold_for_all_guests(on, fleet):
    survey = on("xen1").survey("xen1", ["web05"], {"safety_copy": "required", "relay": False})
    alone = on("xen1").can_send("web05", "xen2", safety_copy="required", relay=False)
    assert survey["wrong"] and not alone["ok"] and survey["guests"] == []
    survey = on("xen1").survey("xen1", ["web05"], {"ssl": True, "safety_copy": "required"})
    alone = on("xen1").can_send("web05", "xen2", ssl=True, ask=False, safety_copy="required")
    assert survey["wrong"] or survey["guests"][0]["blockers"] == alone["blockers"]
    assert "live: 'x'" in on("xen1").survey("xen1", options={"live": "x"})["wrong"]
    assert "not those of a migration" in on("xen1").survey("xen1", options={"none": 1})["wrong"]


def test_the_others_say_what_room_they_have(on, fleet):
    facts = on("xen2").survey("xen1", ["web05", "web55", "nobody"], doors=["xen2"])
    assert facts["host"]["host"] == "xen2" and facts["guests"] == [] and facts["marked"] is None
    assert [(one["name"], one["copy"]) for one in facts["seen"]] == [("web05", "running")]
    assert facts["near"] == ["web05"] and facts["promised"] == [] and facts["closed"] is None
    # Its dom0 keeps what it has.
    assert facts["dom0_mib"] == 0
    fleet["xen2"].config.write_text(OPEN.replace("1024", "512"))
    try:
        assert on("xen2").survey("xen1")["dom0_mib"] == 512
    finally:
        fleet["xen2"].config.write_text(OPEN)


def test_what_a_guest_leaves_behind_is_said_of_all(on, fleet):
    """A managed one before 4.0, one that a broken migration has left, and one that is not there at all."""
    old = fleet["old1"]
    guest = old.create_guest("db01", managed=True)
    old.create_guest("db02")
    left = old.create_guest("db03")
    old.hypervisor.update(left.domid, xend_name="migrating-db03")
    try:
        for accept in (None, ["managed"]):
            options = {"accept": accept} if accept else None
            survey = on("old1").survey("old1", ["db01", "db02", "db03", "db09"], options)
            assert [one["name"] for one in survey["guests"]] == ["db01", "db02", "db03"]
            for one in survey["guests"]:
                alone = on("old1").can_send(one["name"], "xen2", accept=accept)
                assert at_rest(one["blockers"]) == at_rest(alone["blockers"])
                assert one["warnings"] == alone["warnings"]
            first, second, third = survey["guests"]
            assert first["stays_managed"] == guest.uuid and second["stays_managed"] is None
            assert bool(first["blockers"]) is not bool(accept) and third["domain"]["name"] == "db03"
            assert "left over on old1, as migrating-db03" in third["blockers"][0]
            assert sorted(one["listed"] for one in survey["seen"]) == ["db01", "db02", "migrating-db03"]
    finally:
        old.clear()


def test_memory_is_counted_as_for_one_guest(on, fleet):
    target = fleet["amd1"]
    facts = on("amd1").survey("xen1")
    free_mib = facts["host"]["free_mib"] + facts["dom0_mib"]
    for memory_mib, is_enough in ((free_mib - 1, True), (free_mib, False)):
        guest = {"name": "big01", "memory_mib": memory_mib}
        (found,) = on("amd1").room_for([guest])["guests"]
        assert (found["needed_mib"] <= free_mib) is is_enough
        assert (MEMORY in str(on("amd1").can_receive(guest)["blockers"])) is not is_enough
    assert target.guests() == {}


def test_what_is_promised_and_that_a_host_is_closed(minion_on, fleet):
    minion = minion_on("xen2").modules
    minion.xend.reserve("db01", who="a test", seconds=60, memory_mib=200)
    try:
        (made,) = minion.xm.survey("xen1")["promised"]
        assert (made["name"], made["memory_mib"]) == ("db01", 200) and "a test" in made["says"]
        minion.xm.close_host([], "Jo")
        closed = minion.xm.survey("xen1")["closed"]
        assert "Jo" in closed
        (found,) = minion.xm.room_for([{"name": "db01", "memory_mib": 96}])["guests"]
        assert found["blockers"] == [closed]
    finally:
        minion.xm.open_host()
        minion.xend.release("db01")


def test_many_guests_are_looked_at_in_a_few_questions(open_fleet, load, monkeypatch):
    """One look and one `xm info` more than for none."""
    from tests.harness.loading import host_opts  # noqa: PLC0415

    fleet = open_fleet(HostSpec("xen1", rpc=False, memory_mib=8000), HostSpec("xen2", rpc=False))
    asked = []
    for count in (0, 8):
        for number in range(count):
            disk = "file:/srv/xen/g%d.img,xvda,w" % number
            fleet["xen1"].create_guest(
                "g%d" % number, disks=[disk], vifs=["bridge=xenbr0"], managed=True
            )
        before = [len(fleet[name].xm_calls()) for name in ("xen1", "xen2")]
        survey = load(**host_opts(fleet["xen1"])).modules.xm.survey(
            "xen1", doors=[fleet["xen2"].address]
        )
        guests = [guest["domain"] for guest in survey["guests"]]
        there = load(**host_opts(fleet["xen2"])).modules.xm
        found = there.room_for(
            guests, survey["host"], survey["marked"] and dict(survey["marked"], host="xen1")
        )
        assert len(found["guests"]) == count and not any(one["blockers"] for one in found["guests"])
        calls = [len(fleet[name].xm_calls()) for name in ("xen1", "xen2")]
        asked.append([now - was for now, was in zip(calls, before, strict=True)])
    none, many = asked
    assert max(none) <= 4 and [more - few for more, few in zip(many, none, strict=True)] == [1, 0], asked


@pytest.mark.parametrize(
    "function, given, words",
    [
        ("survey", {"source": None}, "source: None"),
        ("survey", {"source": "xen1", "domains": "web01"}, "domains: 'web01' is no list"),
        ("survey", {"source": "xen1", "doors": 5}, "doors: 5 is no list"),
        ("survey", {"source": "xen1", "doors": [None]}, "doors: None"),
        ("room_for", {"guests": "web01"}, "guests: 'web01' is no list"),
        ("room_for", {"guests": [5]}, "domain is no description"),
        ("room_for", {"guests": [], "asked": 5}, "asked: 5 is no dict"),
        ("room_for", {"guests": [], "storage": []}, "storage: [] is no dict"),
        ("room_for", {"guests": [], "source": {"xen": "x"}}, "source: "),
    ],
)
def test_what_is_given_in_another_form_is_refused(on, fleet, function, given, words):
    with pytest.raises(CommandExecutionError) as caught:
        getattr(on("xen2"), function)(**given)
    assert words in str(caught.value)


def test_disks_that_could_not_be_marked_are_not_proved(on, fleet):
    survey = on("xen1").survey("xen1", ["web01", "web05"])
    on("xen1").unmark_disks(survey["marked"])
    guests = [guest["domain"] for guest in survey["guests"]]
    storage_there = {"problem": "the disk is full", "host": "xen1"}
    first, second = on("amd1").room_for(guests, storage=storage_there)["guests"]
    assert "could not be told (xen1: the disk is full)" in "".join(first["blockers"])
    assert second["blockers"] == []
