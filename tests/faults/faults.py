"""What goes wrong in a campaign: each fault as data, with what a real xend can make of it.

Here: the table, and the few actions that it is made of. When they happen, and who judges what came of
them, is in campaign.py and truth.py.
"""

import shutil
import time
from dataclasses import dataclass, field

from tests.harness import relays
from tests.lab import layout
from tests.lab.fleet import Host
from tests.lab.layout import wait_until

# How long a helper may take to start, on a busy machine.
HELPER_LIMIT_S = 120.0

# What another guest is called that a fault puts on a host; nothing may happen to it.
BYSTANDER = "bystander"

MOVED = "moved"
SOURCE = "on the source"
MISNAMED = "on the source, misnamed"
SOURCE_AND_COPY = "on the source, copy on the target"
SUSPENDED = "suspended on the source"
REMAINDER = "moved, remainder on the source"
LOST = "lost"
GOING_ON = "going on"
BOTH = "on both"

# Nothing is left over.
WHOLE = (MOVED, SOURCE)

# What is repaired only when somebody asks for it -> the option of the recovery that names the guest.
ASKED = {LOST: "remove_lost", SUSPENDED: "resume"}
BRING_BACK = "restore"

# What the product calls an outcome -> what that may be in truth. What is left over may have been repaired
# by the time one looks, and what goes on may have ended.
WORDS = {
    "moved": (MOVED,),
    "unharmed": (SOURCE,),
    "going_on": (GOING_ON, MOVED, REMAINDER, SOURCE, SOURCE_AND_COPY, MISNAMED),
    "incomplete": (LOST,),
    "lost": (LOST,),
    # And what it is when that was repaired at once.
    "kept": (LOST, SOURCE),
    "leftover": (SOURCE, MISNAMED, SOURCE_AND_COPY, SUSPENDED, REMAINDER, MOVED),
    "both": (BOTH,),
}

UNHARMED = frozenset([SOURCE])
# The suspended guest is sent to its end without a xend on the source.
ORPHANED = frozenset([MOVED, REMAINDER, GOING_ON])
# After a broken transfer xend may not have tidied up, and the product may have done it.
BROKEN = frozenset([SOURCE, MISNAMED, SOURCE_AND_COPY, SUSPENDED])


@dataclass(frozen=True)
class Fault:
    """One way in which a migration is disturbed.

    outcomes -- where the guest may be when the orchestration has ended
    before -- done with the world before it begins
    at -- from which to which part of the memory the transfer is held; None: it is not held
    during -- done while it is held
    released -- whether the transfer goes on afterwards, else only once the orchestration has ended
    blind -- the hosts cannot tell all: a failure may be reported although the guest has moved
    options -- what the pillar says of the migration beside domain, source and target
    guest -- arguments of Host.create_guest; %s is the guest's name, %a the source's address
    paused -- the guest does not run at the end, because it did not in the beginning
    costly -- Salt waits for somebody for a minute, so it is tried less often
    for_good -- a guest that is lost by this has run on the target, which shows there: nothing may bring it
                back unasked, and nobody asks who has looked
    heard -- the source knows that, too: nothing may bring it back, whoever asks for it
    may_be_lost -- what a source has sent last, before it destroys its guest, may be in the hands of processes
                   that are killed: then it is lost as by the death of its host, with a safety copy as well
    copies -- whether it is about the safety copy, so that it is not tried without one
    needs -- a fault, a delay or a method of Host without which this lab cannot show it
    """

    outcomes: frozenset
    before: object = None
    at: tuple | None = None
    during: object = None
    released: bool = True
    blind: bool = False
    options: dict = field(default_factory=dict)
    guest: dict = field(default_factory=dict)
    paused: bool = False
    costly: bool = False
    for_good: bool = False
    heard: bool = False
    may_be_lost: bool = False
    copies: bool = False
    needs: str = ""

    def known(self):
        """Whether this lab can show it."""
        return (
            not self.needs
            or self.needs in layout.FAULTS
            or self.needs in layout.DELAYS_S
            or hasattr(Host, self.needs)
        )


def fault(side, name):
    """An action: switch a fault of the lab on, on the "source" or the "target"."""
    return lambda world: getattr(world, side).fault(name)


def do(side, method, *arguments):
    """An action: call a method of the host."""
    return lambda world: getattr(getattr(world, side), method)(*arguments)


def kill(side, role):
    """An action: kill a helper of the transfer, which may be about to be started."""

    def act(world):
        host = getattr(world, side)
        if not wait_until(lambda: role in host.layout.roles(), HELPER_LIMIT_S):
            world.wrong.append("there is no %s on %s that could be killed" % (role, host.name))
        getattr(host, "kill_" + role)()

    return act


def all_of(*actions):
    def act(world):
        for action in actions:
            action(world)

    return act


def name_taken(world):
    world.target.create_guest(world.name)


def no_memory(world):
    free_mib = world.target.hypervisor.free_kib() // 1024
    world.target.create_guest("filler", memory_mib=free_mib - 50)


def pause_guest(world):
    world.source.xm_run("pause", world.name)


def unmounted(world):
    """The target loses the storage that it shares with the others."""
    world.target.unmount()
    world.undo.append(world.target.mount)


def other_storage(world):
    """The target has a folder of its own in place of the shared storage, with another image in it."""
    unmounted(world)
    world.target.make_image("/srv/xen/%s.img" % world.name)


def copied_storage(world):
    """The same, and the image is a copy that somebody once made, equal to the last byte."""
    image = "/srv/xen/%s.img" % world.name
    content = world.source.path(image).read_bytes()
    unmounted(world)
    world.target.path(image).write_bytes(content)


def no_bridge(world):
    bridge = world.target.path("/sys/class/net/xenbr0")
    gone = world.target.path("/sys/class/gone0")
    bridge.rename(gone)
    world.undo.append(lambda: gone.rename(bridge))


def restart_pending(host):
    """The settings of a host were changed since its xend has started, so the first step restarts it."""
    with open(host.config, "a") as config:
        config.write("# changed\n")


def restart_would(side, method, **settings):
    """A restart of xend would do something to another guest, which a method of the host puts there."""

    def act(world):
        host = getattr(world, side)
        getattr(host, method)(BYSTANDER, **settings)
        restart_pending(host)

    return act


def disk_in_use(world):
    world.target.create_guest(BYSTANDER, disks=world.filled(world.fault.guest["disks"]))


def device_mounted(world):
    """Dom0 of the target has mounted the guest's device."""
    world.target.mount_device("/dev/vg/" + world.name)
    world.undo.append(world.target.unmount_devices)


def no_loop_device(world):
    """All loop devices of the target are in use, and there is no way to get more."""
    control = world.target.path("/dev/loop-control")
    world.target.take_loop("/etc/passwd", BYSTANDER)
    control.unlink()
    while world.target.take_loop("/etc/passwd", BYSTANDER):
        pass
    world.undo.append(control.touch)
    world.undo.append(lambda: world.target.release_loops(BYSTANDER))


def device_is_a_file(world):
    """Somebody has written to a device of the target before there was one."""
    device = world.target.path("/dev/vg/" + world.name)
    device.unlink()
    device.write_bytes(b"not a device")


def no_network_script(world):
    script = world.target.path("/etc/xen/scripts/vif-bridge")
    gone = script.with_name("gone")
    script.rename(gone)
    world.undo.append(lambda: gone.rename(script))


def display_taken(world):
    world.target.occupy(5900 + DISPLAY)
    world.undo.append(lambda: world.target.occupy(0))


def saved_image(world):
    image = world.source.save_guest(world.name)
    world.undo.append(image.unlink)


def cut_for_a_while(world):
    world.target.cut_link()
    time.sleep(29 * world.target.time_scale)
    world.target.restore_link()


def restart_by_product(side):
    """Somebody asks Salt meanwhile to restart xend; it has to wait or to refuse."""

    def act(world):
        host = getattr(world, side)
        before = host.pids()
        said = world.conductor.call(host.name, "xend.restart", timeout=1)
        if host.pids() != before:
            world.wrong.append(
                "xend.restart restarted xend of %s in mid-migration: %s" % (host.name, said)
            )

    return act


def minion_gone(side):
    return lambda world: world.conductor.minion_down(getattr(world, side).name)


def second_orchestration(world):
    world.begin_another()


def recovery(world):
    world.recover_meanwhile()


def until_xends_answer(world):
    """Wait until the watchdogs have started both xends again."""
    for host in (world.source, world.target):
        layout.wait_until(lambda host=host: host.xm_run("list").returncode == 0, 120)


def later(function):
    """An action: do this with the world in the background; the operator waits for its end."""

    def act(world):
        doing = relays.Later(function, world)
        world.doing.append(doing)

    return act


def runs_there(world):
    """Wait until the guest runs on the target; return whether it does."""

    def look():
        guest = world.target.guests().get(world.name)
        return guest is not None and guest.alive

    return wait_until(look, HELPER_LIMIT_S, 0.005)


def when_it_runs_there(action):
    def act(world):
        if runs_there(world):
            action(world)
        else:
            world.wrong.append("it never ran on the target")

    return later(act)


def when_heard(action):
    """An action: do something when the relay has heard the target say (ok)."""

    def act(world):
        def has_heard():
            said = relays.said(world.source)
            return [one for one in said if (one["name"], one["heard"]) == (world.name, "ok")]

        if wait_until(has_heard, HELPER_LIMIT_S, 0.005):
            action(world)
        else:
            world.wrong.append("the relay never heard (ok)")

    return later(act)


def relay_killed(*which):
    """An action: kill the relay, or those of its processes."""

    def act(world):
        if not relays.kill(world.source, slice(*which) if which else slice(None)):
            world.wrong.append("there is no relay on %s that could be killed" % world.source.name)

    return act


def killed_in_phase(*phases):
    """An action: kill the relay as soon as it says that it is in one of these phases."""

    def act(world):
        # It may be over before one looks: then it has lived to its end.
        relays.wait(
            world.source, lambda one: one["phase"] in phases or world.doing_is_over(), HELPER_LIMIT_S
        )
        relays.kill(world.source)

    return later(act)


def killed_after(most_s):
    """An action: kill the relay at some moment of so many seconds, counted from when it listens or now."""

    def act(world):
        if relays.wait(world.source, lambda one: True, HELPER_LIMIT_S):
            time.sleep(world.rng.uniform(0, most_s))
            relays.kill(world.source)

    return later(act)


def disk_fails(world):
    relays.fail_disk(world.source)


def folder_gone(world):
    shutil.rmtree(world.source.root / "copies")


def no_folder(world):
    """Where the copies shall be there is a file."""
    place = world.source.root / "copies"
    place.write_text("no folder")
    world.undo.append(place.unlink)


def strangers(world):
    def act(world):
        got = relays.intrude(world.source, world.doing_is_over)
        if any(got):
            world.wrong.append("a relay has answered to a stranger: %s" % [one for one in got if one][0])

    later(act)(world)


def dies_there(world):
    """The guest ends on the target, where it has run."""
    world.target.destroy_guest(world.name)


# The guest's disk is an image of its name.
DISKS = {"disks": ["file:/srv/xen/%s.img,xvda,w"], "vifs": ["bridge=xenbr0"]}
# Whose storage is the same here, which nothing proves.
DEVICE = {"disks": ["phy:/dev/vg/%s,xvda,w"]}
KNOWN = {"accept": ["storage"]}
MIRROR = {"disks": ["drbd:%s,xvda,w"]}
DISPLAY = 7
SCREEN = {"image": "hvm", "vncunused": "0", "vncdisplay": str(DISPLAY)}
ANY_TIME = (0.0, 0.95)
SUSPENDED_AT = (1.0, 1.0)

FAULTS = {
    "none": Fault(frozenset([MOVED])),
    "none, held for a moment": Fault(frozenset([MOVED]), at=(0.0, 1.0)),
    "none, on a device": Fault(frozenset([MOVED]), guest=DEVICE, options=KNOWN),
    "none, on DRBD": Fault(frozenset([MOVED]), guest=MIRROR),
    "none, with a screen": Fault(frozenset([MOVED]), guest=SCREEN),
    "none, with a saved image": Fault(frozenset([MOVED]), saved_image),
    # Known before anything is sent.
    "no route": Fault(UNHARMED, fault("target", "no-route")),
    "network unreachable": Fault(UNHARMED, fault("source", "unreachable")),
    "connection refused": Fault(UNHARMED, fault("target", "refuse")),
    "SYNs dropped": Fault(UNHARMED, fault("target", "drop-syn")),
    "port mute": Fault(UNHARMED, fault("target", "mute")),
    "port resets": Fault(UNHARMED, fault("target", "reset")),
    "name taken": Fault(UNHARMED, name_taken),
    "no memory": Fault(UNHARMED, no_memory),
    "guest paused": Fault(UNHARMED, pause_guest, paused=True),
    "image missing": Fault(UNHARMED, unmounted, guest=DISKS, needs="unmount"),
    "other image, same path": Fault(UNHARMED, other_storage, guest=DISKS, needs="unmount"),
    "copied image, same path": Fault(UNHARMED, copied_storage, guest=DISKS, needs="unmount"),
    "bridge missing": Fault(UNHARMED, no_bridge, guest=DISKS, needs="unmount"),
    "restart would stop a guest of the target": Fault(
        UNHARMED, restart_would("target", "create_guest", on_xend_stop="shutdown")
    ),
    "restart would stop a guest of the source": Fault(
        UNHARMED, restart_would("source", "create_guest", on_xend_stop="shutdown")
    ),
    "restart would start a guest of the target": Fault(
        UNHARMED, restart_would("target", "define_guest", on_xend_start="start")
    ),
    "restart would start a guest of the source": Fault(
        UNHARMED, restart_would("source", "define_guest", on_xend_start="start")
    ),
    "disk in use by another guest": Fault(UNHARMED, disk_in_use, guest=DISKS),
    "device mounted": Fault(UNHARMED, device_mounted, guest=DEVICE, options=KNOWN),
    "no loop device free": Fault(UNHARMED, no_loop_device, guest=DISKS),
    "device is a file": Fault(UNHARMED, device_is_a_file, guest=DEVICE, options=KNOWN),
    "disk of a script that nothing knows": Fault(
        UNHARMED, guest={"disks": ["iscsi:iqn.2001-05.com.example:%s,xvda,w"]}
    ),
    "DRBD out of date": Fault(
        UNHARMED,
        lambda world: world.target.drbd(world.name, ds="Inconsistent/UpToDate"),
        guest=MIRROR,
    ),
    "network script missing": Fault(UNHARMED, no_network_script, guest=DISKS),
    "no bridge at all": Fault(UNHARMED, no_bridge, guest={"vifs": [""]}),
    "screen on an address of the source": Fault(
        UNHARMED, guest=dict(SCREEN, vnclisten="%a")
    ),
    "display taken": Fault(UNHARMED, display_taken, guest=SCREEN),
    "hardware of the source": Fault(UNHARMED, guest={"devices": [["irq", ["irq", "4"]]]}),
    # While the memory is sent.
    "xc_restore killed": Fault(BROKEN, at=ANY_TIME, during=kill("target", "xc_restore")),
    "xc_save killed": Fault(BROKEN, at=ANY_TIME, during=kill("source", "xc_save")),
    "target: xend child killed": Fault(
        BROKEN | {LOST}, at=ANY_TIME, during=do("target", "kill_xend_child")
    ),
    "target: xend killed": Fault(
        BROKEN | {LOST}, at=ANY_TIME, during=do("target", "kill_xend"), blind=True, costly=True
    ),
    "target: xend restarted": Fault(BROKEN | {LOST}, at=ANY_TIME, during=do("target", "restart")),
    # A guest that is not sent live is suspended from the beginning.
    "source: xend child killed": Fault(
        BROKEN | ORPHANED, at=ANY_TIME, during=do("source", "kill_xend_child")
    ),
    "source: xend killed": Fault(
        BROKEN | ORPHANED, at=ANY_TIME, during=do("source", "kill_xend"), blind=True, costly=True
    ),
    "source: xend restarted": Fault(BROKEN | ORPHANED, at=ANY_TIME, during=do("source", "restart")),
    "both xends killed": Fault(
        BROKEN | {LOST},
        at=ANY_TIME,
        during=all_of(do("target", "kill_xend"), do("source", "kill_xend")),
        blind=True,
        costly=True,
    ),
    "network cut and restored": Fault(frozenset([MOVED]), at=ANY_TIME, during=cut_for_a_while),
    "network cut for ever": Fault(
        BROKEN | {GOING_ON}, at=ANY_TIME, during=do("target", "cut_link"), needs="tcp-gives-up"
    ),
    "network cut, nobody waits": Fault(
        BROKEN | {GOING_ON}, at=ANY_TIME, during=do("target", "cut_link"), options={"timeout": 2}
    ),
    "slow link, nobody waits": Fault(
        frozenset([GOING_ON, MOVED]), at=ANY_TIME, released=False, options={"timeout": 1}
    ),
    # After the guest has suspended itself.
    "suspended, xc_save killed": Fault(
        BROKEN, at=SUSPENDED_AT, during=kill("source", "xc_save")
    ),
    # The rest of what was sent waits in the kernel, so the source believes that all is well.
    "suspended, xc_restore killed": Fault(
        BROKEN | {LOST}, at=SUSPENDED_AT, during=kill("target", "xc_restore")
    ),
    "suspended, source: xend child killed": Fault(
        ORPHANED,
        at=SUSPENDED_AT,
        during=do("source", "kill_xend_child"),
    ),
    "suspended, source: xend killed": Fault(
        ORPHANED,
        at=SUSPENDED_AT,
        during=do("source", "kill_xend"),
        blind=True,
        costly=True,
    ),
    "suspended, source: xend restarted": Fault(
        ORPHANED, at=SUSPENDED_AT, during=do("source", "restart")
    ),
    "suspended, target: xend killed": Fault(
        frozenset([LOST, SUSPENDED]),
        at=SUSPENDED_AT,
        during=do("target", "kill_xend"),
        blind=True,
        costly=True,
    ),
    "suspended, target: xend restarted": Fault(
        frozenset([LOST, SUSPENDED]), at=SUSPENDED_AT, during=do("target", "restart")
    ),
    "suspended, network cut for ever": Fault(
        frozenset([GOING_ON, LOST]),
        at=SUSPENDED_AT,
        during=do("target", "cut_link"),
        needs="tcp-gives-up",
    ),
    "suspended, both xends killed": Fault(
        frozenset([SUSPENDED]),
        at=SUSPENDED_AT,
        during=all_of(do("source", "kill_xend"), do("target", "kill_xend")),
        blind=True,
        costly=True,
    ),
    "suspended, target: xend child killed": Fault(
        frozenset([LOST, SUSPENDED]), at=SUSPENDED_AT, during=do("target", "kill_xend_child")
    ),
    # After all was sent: xend tells the source nothing of it.
    "disks cannot be attached": Fault(
        frozenset([LOST]), fault("target", "disk-missing"), guest=DISKS
    ),
    "network script never answers": Fault(
        frozenset([LOST]), fault("target", "hotplug-mute"), guest=DISKS, needs="hotplug-mute"
    ),
    # The target's scripts run when the transfer begins: what goes away later does no harm.
    "image vanishes meanwhile": Fault(
        frozenset([MOVED, LOST]), at=ANY_TIME, during=unmounted, guest=DISKS, needs="unmount"
    ),
    # The hotplug scripts of network cards have run before the memory comes.
    "bridge vanishes meanwhile": Fault(
        frozenset([MOVED, LOST]), at=ANY_TIME, during=no_bridge, guest=DISKS, needs="unmount"
    ),
    "target cut off at the end": Fault(
        frozenset([MOVED]), do("target", "cut_after_destroy"), blind=True, needs="cut_after_destroy"
    ),
    "guest ignores suspend": Fault(
        BROKEN, fault("source", "ignore-suspend"), needs="ignore-suspend"
    ),
    # Others on the same hosts at the same time.
    "source's minion gone": Fault(
        frozenset([MOVED, GOING_ON]), at=ANY_TIME, during=minion_gone("source"), blind=True
    ),
    "target's minion gone": Fault(
        frozenset([MOVED, GOING_ON]), at=ANY_TIME, during=minion_gone("target"), blind=True
    ),
    "two at once": Fault(frozenset([MOVED]), at=(0.0, 0.3), during=second_orchestration),
    "source: xend.restart asked": Fault(
        frozenset([MOVED]), at=ANY_TIME, during=restart_by_product("source")
    ),
    "target: xend.restart asked": Fault(
        frozenset([MOVED]), at=ANY_TIME, during=restart_by_product("target")
    ),
    # Orphans carry the memory on, and the new xends know nothing of it.
    "both xend children killed, recovery meanwhile": Fault(
        BROKEN | ORPHANED | {LOST},
        at=ANY_TIME,
        during=all_of(
            do("target", "kill_xend_child"),
            do("source", "kill_xend_child"),
            until_xends_answer,
            recovery,
        ),
        blind=True,
    ),
    "recovery meanwhile": Fault(frozenset([MOVED]), at=ANY_TIME, during=recovery),
    # The relay, and the safety copy.
    "relay killed": Fault(BROKEN, at=ANY_TIME, during=relay_killed()),
    "relay killed when all was sent": Fault(BROKEN, at=SUSPENDED_AT, during=relay_killed()),
    "relay killed, its guard goes on": Fault(
        BROKEN | {MOVED}, at=ANY_TIME, during=relay_killed(0, 1)
    ),
    "relay killed, listening": Fault(BROKEN | {MOVED}, killed_in_phase("listening")),
    "relay killed, connecting": Fault(BROKEN | {MOVED}, killed_in_phase("connecting", "sending")),
    "relay killed some time": Fault(BROKEN | {MOVED}, killed_after(2.0), may_be_lost=True),
    "relay killed about the end": Fault(
        BROKEN | {MOVED}, at=SUSPENDED_AT, during=killed_after(0.1), may_be_lost=True
    ),
    "relay killed, waiting for the answer": Fault(
        frozenset([MOVED]),
        all_of(do("target", "delay", "acknowledge", 2.0), killed_in_phase("sent")),
    ),
    "acknowledgement late": Fault(frozenset([MOVED]), do("target", "delay", "acknowledge", 5.0)),
    "target dies before it acknowledges": Fault(
        frozenset([MOVED]),
        all_of(
            do("target", "delay", "acknowledge", HELPER_LIMIT_S),
            when_it_runs_there(do("target", "kill_xend_child")),
        ),
        blind=True,
    ),
    "target dies when it has acknowledged": Fault(
        frozenset([MOVED]), when_heard(do("target", "kill_xend_child")), blind=True
    ),
    "target cut off before it acknowledges": Fault(
        frozenset([MOVED]),
        all_of(
            do("target", "delay", "acknowledge", 1.0), when_it_runs_there(do("target", "cut_link"))
        ),
        blind=True,
    ),
    # Whatever the source has: it must not be started again.
    "guest dies on the target": Fault(
        frozenset([LOST, MOVED]), when_heard(dies_there), blind=True, for_good=True, heard=True
    ),
    "guest dies on the target, unheard": Fault(
        frozenset([LOST, MOVED]),
        all_of(
            do("target", "delay", "acknowledge", HELPER_LIMIT_S),
            when_it_runs_there(all_of(do("target", "kill_xend_child"), dies_there)),
        ),
        blind=True,
        for_good=True,
    ),
    "disk of the copy fails": Fault(
        frozenset([MOVED]), at=ANY_TIME, during=disk_fails, copies=True
    ),
    # What is left to be sent of a guest so small may be its last words, which are not kept from a target that
    # lives: it would be lost.
    "disk of the copy fails, required": Fault(
        BROKEN | {MOVED},
        at=ANY_TIME,
        during=disk_fails,
        options={"safety_copy": "required"},
        copies=True,
    ),
    "folder of the copy goes away": Fault(
        frozenset([MOVED]), at=ANY_TIME, during=folder_gone, options={"safety_folder": "%f"}, copies=True
    ),
    "no folder for the copy": Fault(
        frozenset([MOVED]), no_folder, options={"safety_folder": "%f"}, copies=True
    ),
    "no folder for the copy, required": Fault(
        UNHARMED,
        no_folder,
        options={"safety_folder": "%f", "safety_copy": "required"},
        copies=True,
    ),
    "strangers at the relay": Fault(frozenset([MOVED]), strangers),
    "target: xend child killed, its minion gone": Fault(
        BROKEN | {LOST},
        at=ANY_TIME,
        during=all_of(do("target", "kill_xend_child"), minion_gone("target")),
        blind=True,
        costly=True,
    ),
}

# The life of a relay, from its first moment to its last.
RELAY_KILLS = tuple([name for name in FAULTS if name.startswith("relay killed")])
