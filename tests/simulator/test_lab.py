"""What `make lab` starts and says: which guests where, and commands that are there."""

import re
import subprocess

import pytest

from tests.demo import lab
from tests.lab.daemons import Daemons
from tests.lab.fleet import HostSpec
from tests.lab.salt_config import REPO


def wanted(hosts="2", guests="1", own="0", rate=""):
    return lab.wanted(hosts, guests, own, rate)


def test_guests_start_on_the_first_host_until_it_is_full():
    hosts, guests, speed = wanted("4", "8", "1", "20")
    assert [host.name for host in hosts] == ["xen1", "xen2", "xen3", "xen4"] and speed == 20
    assert [guest.name for guest in guests] == ["web%02d" % number for number in range(1, 9)]
    first = [guest for guest in guests if guest.host == "xen1"]
    assert guests == first + [guest for guest in guests if guest.host == "xen2"]
    taken_mib = sum(guest.memory_mib + 1 for guest in first)
    assert taken_mib <= lab.room_mib(hosts[0]) < taken_mib + guests[len(first)].memory_mib + 1
    assert len({guest.memory_mib for guest in first}) > 2
    assert [guest.name for guest in guests if guest.own] == ["web08"]
    assert wanted("4", "8", "1", "20")[1] == guests


def test_six_guests_fit_the_first_host():
    assert {guest.host for guest in wanted("2", "6")[1]} == {"xen1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"hosts": "1"}, r"HOSTS=1 is not a whole number from 2 to 8\Z"),
        ({"hosts": "9"}, r"HOSTS=9 is not"),
        ({"hosts": "two"}, r"HOSTS=two is not"),
        ({"hosts": ""}, r"HOSTS= is not"),
        ({"guests": "-1"}, r"GUESTS=-1 is not a whole number of at least 0\Z"),
        ({"guests": "99"}, r"GUESTS=99: 2 hosts have memory for 1\d guests\Z"),
        ({"own": "2"}, r"OWN=2: there are only 1 guests\Z"),
        ({"rate": "fast"}, r"RATE=fast is not a number of MiB a second, like 20\Z"),
        ({"rate": "0"}, r"RATE=0 is not"),
        ({"rate": "nan"}, r"RATE=nan is not"),
        ({"rate": "inf"}, r"RATE=inf is not"),
        ({"hosts": "x", "rate": "y"}, r"HOSTS=x is not .*; RATE=y is not"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_starts(words, said):
    with pytest.raises(lab.Wrong, match=said):
        wanted(**words)


@pytest.fixture(scope="module")
def fleet(new_fleet):
    return new_fleet(*(HostSpec("xen%d" % number) for number in (1, 2, 3)))


@pytest.fixture
def tidy(fleet):
    yield fleet
    for host in fleet:
        host.clear()


def test_guests_take_memory_and_have_their_disks_where_they_should(tidy):
    guests = lab.placed([HostSpec(host.name) for host in tidy], 7, own=1)
    free_kib = {host.name: host.hypervisor.free_kib() for host in tidy}
    for guest in guests:
        lab.create(tidy, guest)
    for host in tidy:
        theirs = [guest for guest in guests if guest.host == host.name]
        assert {name: guest.memory_mib for name, guest in host.guests().items()} == {
            guest.name: guest.memory_mib for guest in theirs
        }
        taken_kib = sum((guest.memory_mib + 1) * 1024 for guest in theirs)
        assert host.hypervisor.free_kib() == free_kib[host.name] - taken_kib > 0
    assert guests[-1].host == "xen2"
    assert all(host.path("/srv/xen/web01.img").is_file() for host in tidy)
    assert [host.name for host in tidy if host.path("/srv/local/web07.img").exists()] == ["xen2"]


@pytest.fixture
def guide(fleet, tmp_path):
    guests = lab.placed([HostSpec(host.name) for host in fleet], 8, own=2)
    return lab.guide(fleet, Daemons(tmp_path, fleet), guests, 20.0)


def test_it_is_said_who_is_where(guide):
    assert "web01 to web06 are on xen1, which is full, web07 to web08 are on xen2" in guide
    assert "The disk of web07 on xen2, web08 on xen2 is there alone" in guide
    assert "sends 20 MiB of guests' memory a second" in guide


@pytest.mark.parametrize(("own", "stuck"), [(2, "web04, web05"), (0, None)])
def test_an_evacuation_that_would_be_refused_is_shown_so_that_it_goes_on(fleet, tmp_path, own, stuck):
    guests = lab.placed([HostSpec(host.name) for host in fleet], 5, own=own)
    said = lab.guide(fleet, Daemons(tmp_path, fleet), guests, None)
    assert ('{"evacuate": {"source": "xen1", "partial": true}}' in said) == bool(stuck)
    assert ("So %s cannot leave xen1" % stuck in said) == bool(stuck)


def test_all_commands_that_are_shown_are_there(guide):
    lines = guide.replace("\\\n", "").splitlines()
    commands = [line.strip() for line in lines if re.match(r"  (salt|alias)", line)]
    shell = "shopt -s expand_aliases\n%s\nalias salt=show salt-run=show\n"
    shell += "show() { printf '<%%s>' \"$@\"; echo; }\n"
    aliases = [command for command in commands if command.startswith("alias")]
    shown = "\n".join(command for command in commands if command not in aliases)
    # As bash takes them apart.
    done = subprocess.run(
        ["bash", "-e"],
        input=shell % "\n".join(aliases) + shown,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = [re.findall(r"<([^>]*)>", line) for line in done.stdout.splitlines()]
    assert len(words) == len(commands) - 2
    for name in {word for line in words for word in line if word.startswith("xend.orch.")}:
        assert (REPO / "salt" / (name.replace(".", "/") + ".sls")).is_file(), name
    runner = "".join(path.read_text() for path in (REPO / "_runners").glob("*.py"))
    runs = [line[0] for line in words if line[0].startswith("xend.")]
    assert len(runs) >= 4
    for name in runs:
        assert "\ndef %s(" % name.partition(".")[2] in runner, name
    assert {"xend.orch.migrate", "xend.orch.evacuate", "xend.orch.restore"} <= {
        word for line in words for word in line
    }


def test_a_lab_without_guests_has_no_commands_for_them(fleet, tmp_path):
    said = lab.guide(fleet, Daemons(tmp_path, fleet), [], None)
    assert "there are no guests" in said and "xend.orch" not in said
