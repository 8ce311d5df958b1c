"""An end of a migration that lies, and the other end; a third host that lies is in test_liars.py."""

import pytest

from tests.harness.liars import difference, faulty, tree
from tests.lab import lies


@pytest.mark.parametrize(
    "host, lie",
    [
        ("xen1", {"xm.report": {"answer": "{%% raw %%}\x1b[2J{{ %d * %d }}: [" % lies.FACTORS}}),
        ("xen1", {"*": {"answer": [{"result": True}, 7]}}),
        ("xen2", {"xm.report": {"change": [[["host", "flags"], [None, 1, {}]]]}}),
        ("xen2", {"*": {"pad": 100_000}}),
    ],
)
def test_what_an_end_of_a_migration_says(configured, guest, host, lie):
    lies.tell_all(configured.fleet[host], lie)
    run = configured.migrate()
    assert not run.ok and [bad for text in run.steps for bad in faulty(text)] == []
    assert list(configured.where()) == ["xen1"] and configured.where()["xen1"].alive
    assert host in run.report() and lies.RENDERED not in run.report()


def test_a_source_has_its_file_put_nowhere_else(configured, guest):
    configured.follow()
    xen1, xen2 = configured.fleet
    xen1.path("/etc/xen/web01").write_text('name = "web01"\nmemory = 96\nkernel = "/boot/vmlinuz"\n')
    change = [[["path"], "/etc/cron.d/web01"], [["auto"], "../../rc3.d/S99web01"], [["mode"], 0o4755]]
    lies.tell_all(xen1, {"xen_guest.sealed": {"change": change}})
    before = tree(xen2.root)
    run = configured.migrate()
    assert not run.ok and [bad for text in run.steps for bad in faulty(text)] == []
    assert not xen2.path("/etc/cron.d").exists() and not xen2.path("/etc/rc3.d").exists()
    assert [path for path in difference(before, tree(xen2.root)) if "web01" in path] == []
