"""Text that is not ASCII, on minions whose Python has two kinds of text and whose locale is C."""

import pytest

from tests.harness.moves import moved_intact
from tests.old_minion.conftest import name_of
from tests.old_minion.site import assert_said_well
from tests.tools.old_salts import SALTS


def test_a_configuration_with_bytes_of_any_kind(site):
    beside = "# Größe, € und Å: ".encode() + bytes(range(128, 256)) + b"\n"
    for host in site.fleet:
        host.config.write_bytes(host.config.read_bytes() + beside)
    for states in site.states("state.apply", "xend.relocation").values():
        assert isinstance(states, dict), states
        assert [state["result"] for state in states.values()] == [True, True]
        assert_said_well(str([state["comment"] for state in states.values()]))
    for host in site.fleet:
        text = host.config.read_bytes()
        assert beside in text and b"(xend-relocation-address %s)" % host.address.encode() in text


def test_bytes_of_any_kind_arrive_as_they_are(configured, tmp_path):
    """Of the guest's file, its path and its disks; and what a command for announcements prints."""
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "$1: Größe"; echo "$1" >%s\n' % (tmp_path / "told"))
    hook.chmod(0o755)
    configured.follow(announce=[str(hook)])
    xen1, xen2 = configured.xen1, configured.xen2
    disk = "file:/srv/xen/Größe €.img,xvda,w"
    xen1.create_guest("web01", memory_mib=96, disks=[disk], args="Ångström ß")
    uuid = xen1.wait_alive("web01").uuid
    data = 'name = "web01"\nmemory = 96\n# Ångström ß Ä € '.encode() + bytes(range(128, 256)) + b"\n"
    name = "Größe €.cfg"
    paths = ["/etc/xen/" + name, "/etc/xen/auto/" + name]
    xen1.path(paths[0]).write_bytes(data)
    xen1.path(paths[1]).symlink_to("../" + name)
    run = configured.migrate()
    assert run.exit_code == 0, run.report()
    assert_said_well(run.report())
    assert configured.where()["xen2"].alive and moved_intact(xen1, xen2, uuid)
    assert xen2.path(paths[0]).read_bytes() == data
    assert xen2.path(paths[1]).resolve() == xen2.path(paths[0]).resolve()
    assert not xen1.path(paths[0]).exists() and not xen1.path(paths[1]).is_symlink()
    assert (tmp_path / "told").read_text() == "web01\n"


# Salt 2016.11 runs no state whose name is not ASCII.
@pytest.mark.parametrize("old_salt", SALTS[:1], ids=name_of, indirect=True)
def test_a_guest_whose_name_is_not_ascii(configured):
    configured.xen1.create_guest("köln", memory_mib=96)
    uuid = configured.xen1.wait_alive("köln").uuid
    run = configured.migrate("köln")
    assert run.exit_code == 0, run.report()
    assert_said_well(run.report())
    assert configured.where("köln")["xen2"].alive and moved_intact(configured.xen1, configured.xen2, uuid)


def test_what_was_asked_for_is_quoted_as_it_was_written(configured, old_salt):
    asked = {
        "xm.where": ["köln"],
        "xm.domain": ["köln"],
        "xm.can_send": ["köln", "xen2"],
        "xm.migrate": ["köln", "xen2", "mäßig"],
        "xend.get": ["größe"],
        "xend.set": ["xend-relocation-port", "größe"],
    }
    said = {name: str(configured.salt(name, *words, target="xen1")["xen1"]) for name, words in asked.items()}
    for text in said.values():
        assert_said_well(text)
    assert "köln" in said["xm.can_send"] and "mäßig" in said["xm.migrate"] and "größe" in said["xend.set"]
