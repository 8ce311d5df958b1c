"""What an evacuation says of a guest whose migration has broken, and has been repaired."""

import pytest

from tests.faults import truth
from tests.harness import moves
from tests.lab.fleet import HostSpec


@pytest.fixture(scope="module")
def conductor(new_conductor):
    return new_conductor(HostSpec("xen1"), HostSpec("xen2"))


def test_of_a_guest_that_was_brought_back_it_is_said_where_it_is_now(conductor):
    xen1, xen2 = conductor.fleet
    guest = xen1.create_guest("web01")
    xen1.hypervisor.update(guest.domid, cpu_time=100.0)
    xen1.link(hold_at=1.0)
    wanted = {"source": "xen1", "safety_copy": "auto", "settle": 3}
    process = conductor.start("xend.orch.evacuate", {"xend": {"evacuate": wanted}})
    xen1.wait_held(moves.HELD_LIMIT_S)
    xen2.kill_xc_restore()
    xen1.release()
    run = conductor.finish(process)
    assert run.exit_code == 1 and truth.look(conductor.fleet, guest.uuid).alive_on() == ["xen1"]
    (said,) = [run.comment(step) for step in run.steps if step.startswith("web01: ")]
    assert "it was brought back on xen1 from its safety copy" in said, run.report()
    # What Salt says of its steps, and which step was before which, means nothing here.
    for noise in ("States ran", "steps above", "executed", ".."):
        assert noise not in said, said
    assert said in run.comment("xen1 is not empty")
