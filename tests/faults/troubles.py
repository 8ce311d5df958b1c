"""What goes wrong while a host is emptied: each trouble as data, with what may come of it.

Most of them are the faults of a single migration, here in the midst of many. When they happen, and who judges
what came of them, is in evacuations.py.
"""

from dataclasses import dataclass

from tests.faults import faults
from tests.faults.faults import do, fault, kill, relay_killed

# Kept free for what dom0 and xend need; with it, no guest of a campaign fits.
FULL_MIB = 40


@dataclass(frozen=True)
class Trouble:
    """One way in which an evacuation is disturbed.

    before -- done with the night before it begins
    during -- done while one guest at least is being sent, and held
    harmless -- all guests that still run are moved all the same, and that is what is reported
    blind -- the hosts cannot tell all: a failure may be reported although all have moved
    may_be_lost -- a guest may be lost that had a safety copy, or have none that is whole
    ends_run -- the orchestration does not live to report
    hosts -- how many of them there have to be
    """

    before: object = None
    during: object = None
    harmless: bool = False
    blind: bool = False
    may_be_lost: bool = False
    ends_run: bool = False
    hosts: int = 3


def no_memory(night):
    """Somebody else fills a target."""
    free_mib = night.target.hypervisor.free_kib() // 1024
    if free_mib > FULL_MIB:
        night.target.create_guest("filler", memory_mib=free_mib - FULL_MIB, pages=4)
        host = night.target
        night.undo.append(lambda: host.destroy_guest("filler"))


def run_killed(night):
    """Who has begun it closes the terminal, or the master dies: jobs of minions go on."""
    night.first.process.kill()


def run_killed_and_begun_again(night):
    run_killed(night)
    night.again(night.first)


def begun_twice(night):
    night.again(night.first)


def another_evacuated(night):
    night.empty_another()


def ends(which):
    """An action: one guest ends by itself, which is being sent, waits for it or has arrived."""

    def act(night):
        found = night.guests_that(which)
        if found:
            night.let_end(found[0])

    return act


def highstate(side):
    """An action: the settings of a host were changed, and a highstate comes, which may restart xend."""

    def act(night):
        host = getattr(night, side)
        faults.restart_pending(host)
        before = host.pids()

        def come(night):
            night.conductor.call(host.name, "state.sls", "xend.relocation", queue=True)
            if host is night.source and host.pids() != before:
                night.wrong.append("a highstate has restarted xend of a host that is being emptied")

        faults.later(come)(night)

    return act


def sent_back(night):
    """Somebody sends a guest to the host that is being emptied, which has to be refused."""
    bystander = night.target.create_guest(faults.BYSTANDER, memory_mib=32, pages=4)
    wanted = {"domain": bystander.name, "source": night.target.name, "target": night.source.name}
    run = night.conductor.orchestrate("xend.orch.migrate", {"xend": {"migrate": wanted}})
    if run.ok or bystander.name not in night.target.guests():
        night.wrong.append("a host that is being emptied has taken a guest")


TROUBLES = {
    "none": Trouble(harmless=True),
    # Before the first guest leaves: it is planned around, or nothing moves.
    "bridge missing on a target": Trouble(before=faults.no_bridge),
    "images missing on a target": Trouble(before=faults.unmounted),
    # What becomes of hosts.
    "xend of a target killed": Trouble(during=do("target", "kill_xend"), blind=True),
    "xend child of a target killed": Trouble(during=do("target", "kill_xend_child"), blind=True),
    "xend of a target restarted": Trouble(during=do("target", "restart"), blind=True),
    "xend of the source killed": Trouble(during=do("source", "kill_xend"), blind=True),
    "xend child of the source killed": Trouble(during=do("source", "kill_xend_child"), blind=True),
    "xend of the source restarted": Trouble(during=do("source", "restart"), blind=True),
    "minion of a target gone": Trouble(during=faults.minion_gone("target"), blind=True),
    "minion of the source gone": Trouble(during=faults.minion_gone("source"), blind=True),
    "a target refuses": Trouble(during=fault("target", "refuse")),
    "a target is full": Trouble(during=no_memory),
    "bridge of a target vanishes": Trouble(during=faults.no_bridge),
    "disks cannot be attached": Trouble(during=fault("target", "disk-missing")),
    # What becomes of what is on its way.
    "link of a target cut for a while": Trouble(during=faults.cut_for_a_while, harmless=True),
    "link of a target cut for ever": Trouble(during=do("target", "cut_link")),
    "xc_restore killed": Trouble(during=kill("target", "xc_restore")),
    "xc_save killed": Trouble(during=kill("source", "xc_save")),
    "relay killed": Trouble(during=relay_killed(), may_be_lost=True),
    "guests ignore suspend": Trouble(during=fault("source", "ignore-suspend")),
    # What becomes of guests.
    "a guest that waits ends": Trouble(during=ends("wait"), blind=True),
    "a guest on its way ends": Trouble(during=ends("go"), blind=True),
    "a guest that has arrived ends": Trouble(during=ends("came"), blind=True),
    # Others on the same hosts, and whoever runs it.
    "the run is killed": Trouble(during=run_killed, ends_run=True),
    "the run is killed and begun again": Trouble(
        during=run_killed_and_begun_again, harmless=True, ends_run=True
    ),
    "begun twice": Trouble(during=begun_twice, harmless=True),
    "another host is emptied": Trouble(during=another_evacuated, harmless=True, hosts=4),
    "recovery meanwhile": Trouble(during=faults.recovery, harmless=True),
    "highstate on the source": Trouble(during=highstate("source"), harmless=True),
    "highstate on a target": Trouble(during=highstate("target"), harmless=True),
    "xend.restart asked on the source": Trouble(
        during=faults.restart_by_product("source"), harmless=True
    ),
    "xend.restart asked on a target": Trouble(
        during=faults.restart_by_product("target"), harmless=True
    ),
    "a guest is sent to the host": Trouble(during=sent_back, harmless=True),
}

# What may go wrong on the way back as well: its target is the host that was emptied.
BACK = (
    "xend child of a target killed",
    "xend of the source restarted",
    "minion of a target gone",
    "minion of the source gone",
    "a target refuses",
    "link of a target cut for a while",
    "xc_restore killed",
    "xc_save killed",
    "relay killed",
    "the run is killed",
    "recovery meanwhile",
)
