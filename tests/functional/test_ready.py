"""xend.ready: whether a minion is ready, in words that say what to do where it is not."""

import pytest

import xend_version
from tests.harness.loading import host_opts
from tests.lab import salt_config
from tests.lab.fleet import HostSpec

OPEN = "(xend-relocation-server yes)\n(xend-relocation-port 8002)\n"


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(HostSpec("xen1", config=OPEN), HostSpec("xen2"))
    xen1, xen2 = fleet
    xen1.config.write_text(
        OPEN
        + "(xend-relocation-address %s)\n" % xen1.address
        + "(xend-relocation-hosts-allow '^%s$')\n" % xen2.address.replace(".", "\\\\.")
    )
    xen1.start()
    return fleet


@pytest.fixture
def ready(load, fleet):
    """A function that asks a host, with the pillar of the lab or another one."""

    def ask(name="xen1", pillar=None, **options):
        opts = host_opts(fleet[name])
        opts["xend"].update(options)
        found = load(pillar=salt_config.pillar(fleet) if pillar is None else pillar, **opts)
        return found.modules.xend.ready()

    return ask


def test_a_host_that_is_ready_says_of_all_that_it_is_so(ready, fleet):
    found = ready()
    assert found["ready"] is True, found
    assert found["modules"] == xend_version.version()
    assert found["says"] == [
        "xend 4.4 runs here",
        "%s was read: nothing is wrong in it" % fleet["xen1"].config,
        "the pillar declares this host as %s, and beside it xen2" % fleet["xen1"].address,
        "the settings of the pillar are in force",
    ]


def test_a_host_that_is_still_to_be_configured_says_how(ready, fleet):
    pillar = salt_config.pillar(fleet)
    pillar["xend"]["relocation"]["hosts"]["xen3"] = "127.0.9.13"
    found = ready(pillar=pillar)
    assert found["ready"] is False
    assert found["says"][-1].endswith(
        "not in force yet: `state.apply xend.relocation` applies them"
    )


def test_a_host_on_which_xend_does_not_run_says_how_to_start_it(ready):
    found = ready("xen2")
    assert found["ready"] is False
    assert found["says"][0] == "xend does not run: start it with `service xend start`"


def test_a_host_without_xend_says_so(ready, tmp_path):
    config, xm = str(tmp_path / "xend-config.sxp"), str(tmp_path / "xm")
    found = ready(config=config, xm=xm)
    assert found["ready"] is False
    assert found["says"][0].startswith(
        "there is no xend here: neither %s nor %s is there. Hosts with xl" % (xm, config)
    )


@pytest.mark.parametrize(
    "pillar, said",
    [
        ({}, "in the pillar, xend is missing for xen1: assign it in top.sls of the pillar"),
        (
            {"xend": {"relocation": {"hosts": {"xen2": "10.0.0.1"}}}},
            "in the pillar, xend:relocation:hosts has no address",
        ),
        (
            {"xend": {"relocation": {"server": False}}},
            "the pillar switches relocation off for this host",
        ),
    ],
)
def test_what_is_wrong_with_the_pillar_is_said(ready, pillar, said):
    assert any(text.startswith(said) for text in ready(pillar=pillar)["says"])


def test_a_file_that_is_broken_is_pointed_at(ready, fleet, tmp_path):
    broken = tmp_path / "xend-config.sxp"
    broken.write_text("(xend-relocation-server yes\n")
    found = ready(config=str(broken))
    assert found["ready"] is False and "`xend.check` says what" in found["says"][1]
