"""What a page lets befall its lab with `<!-- lab: do … -->`: the verbs, and when they are done.

A verb may end with `in mid-transfer` or `when all is sent`: then the next transfer is held at half of the
memory, or after the last of it; the verb is done, and the transfer goes on. A command of the page begins it.
"""

import time

from tests.docs.lab import Refused
from tests.harness import relays
from tests.harness.relays import Later
from tests.lab.layout import wait_until

LIMIT_S = 120
WHEN = {("in", "mid-transfer"): 0.5, ("when", "all", "is", "sent"): 1.0}


def do(lab, words):
    """Do what the words say; return None, or the Later that does it in a transfer to come."""
    for when, part in WHEN.items():
        if tuple(words[-len(when) :]) == when:
            verb = _verb(lab, words[: -len(when)])
            for host in lab.hosts:
                host.link(speed_mib_s=lab.rate, hold_at=part)
            return Later(_in_transfer, lab, verb)
    _verb(lab, words)()
    return None


def _in_transfer(lab, verb):
    """Do it when a transfer is held; return what was wrong."""
    try:
        _wait_held(lab)
        verb()
    except (Refused, TimeoutError, OSError) as wrong:
        return str(wrong)
    finally:
        for host in lab.hosts:
            host.release()
    return None


def _verb(lab, words):
    """The function that does it. Raise Refused at once when there is no such verb, guest or host."""
    words, host = list(words), None
    if "on" in words[1:-1]:
        # What is done comes before it, with what options may come behind it.
        at = words.index("on", 1)
        host = lab.host(words[at + 1])
        words = words[:at] + words[at + 2 :]
    for verb, function in VERBS.items():
        parts = verb.split()
        if words[: len(parts)] == parts:
            return function(lab, host, words[len(parts) :])
    raise Refused("there is no verb for: do %s; there are %s" % (" ".join(words), ", ".join(VERBS)))


def _guest(lab, host, words):
    """The name of a guest, and the host that has it."""
    if len(words) != 1:
        raise Refused("the name of one guest is needed, not: %s" % " ".join(words))
    found = [one for one in lab.hosts if words[0] in one.guests() and host in (None, one)]
    if not found:
        raise Refused("no guest %s runs %s" % (words[0], "on " + host.name if host else "anywhere"))
    return words[0], found[0]


def _one(lab, host, words, number=0):
    if host is None:
        raise Refused("on which host? `on xen1` has to follow")
    if len(words) != number:
        raise Refused("too many or too few words: %s" % " ".join(words))
    return host


def xm(command):
    def verb(lab, host, words):
        name, there = _guest(lab, host, words)

        def act():
            done = there.xm_run(command, name)
            if done.returncode:
                raise Refused("xm %s %s: %s" % (command, name, done.stderr or done.stdout))
            # xm does not wait for the guest to end.
            gone = command not in ("shutdown", "destroy") or wait_until(
                lambda: name not in there.guests(), LIMIT_S
            )
            if not gone:
                raise Refused("%s has not ended" % name)

        return act

    return verb


def xend(command):
    def verb(lab, host, words):
        one = _one(lab, host, words)

        def act():
            done = getattr(one, command)()
            if done.returncode:
                raise Refused("xend %s: %s" % (command, done.stderr or done.stdout))

        return act

    return verb


def of_host(function):
    """A verb that is about a host as a whole."""

    def verb(lab, host, words):
        one = _one(lab, host, words)
        return lambda: function(lab, one)

    return verb


def create(lab, host, words):
    """`create web02 on xen1 with …`: `256 MiB`, `own disk`, `managed`, `paused`, `on_xend_stop shutdown`."""
    one = _one(lab, host, words, len(words))
    if not words:
        raise Refused("create: a name is needed")
    name, rest = words[0], [word for word in words[1:] if word not in ("with", "and")]
    options = {"memory_mib": 96, "disks": ["file:/srv/xen/%s.img,xvda,w" % name]}
    while rest:
        if rest[0].isdigit() and rest[1:2] == ["MiB"]:
            options["memory_mib"], rest = int(rest[0]), rest[2:]
        elif rest[:2] == ["own", "disk"]:
            options["disks"], rest = ["file:/srv/local/%s.img,xvda,w" % name], rest[2:]
        elif rest[0] in ("managed", "paused"):
            options[rest[0]], rest = True, rest[1:]
        elif rest[0] in ("on_xend_stop", "on_xend_start") and len(rest) > 1:
            options[rest[0]], rest = rest[1], rest[2:]
        else:
            raise Refused("create: %s is not understood" % " ".join(rest))
    return lambda: one.create_guest(name, **options)


def rename(lab, host, words):
    """`rename web01 to migrating-web01`: as xend does it while it sends a guest."""
    if len(words) != 3 or words[1] != "to":
        raise Refused("rename NAME to NAME")
    _name, there = _guest(lab, host, words[:1])

    def act():
        done = there.xm_run("rename", words[0], words[2])
        if done.returncode:
            raise Refused("xm rename: %s" % (done.stderr or done.stdout))

    return act


def write(lab, host, words):
    """`write /etc/xen/web01 on xen1`: the usual configuration file of the guest of that name."""
    one = _one(lab, host, words, 1)
    path = one.path(words[0])
    text = "name = '%s'\nmemory = 96\ndisk = ['file:/srv/xen/%s.img,xvda,w']\n" % (
        path.name,
        path.name,
    )

    def act():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return act


def link_auto(lab, host, words):
    """`link auto web01 on xen1`: the guest is started with the host."""
    one = _one(lab, host, words, 1)
    link = one.path("/etc/xen/auto") / words[0]

    def act():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/etc/xen/" + words[0])

    return act


def hold(lab, host, words):
    """`hold web01`: its next transfer is held at half of its memory, until `release`."""
    _name, there = _guest(lab, host, words)
    return lambda: there.link(speed_mib_s=lab.rate, hold_at=0.5)


def wait_held(lab, host, words):
    return lambda: _wait_held(lab)


def _wait_held(lab):
    if not wait_until(lambda: any(host.layout.held_marker.exists() for host in lab.hosts), LIMIT_S):
        raise Refused("no transfer is held after %d s" % LIMIT_S)


def release(lab, host, words):
    def act():
        for one in lab.hosts:
            one.release()

    return act


def fault(lab, host, words):
    one = _one(lab, host, words, 1)
    if words[0] not in _faults():
        raise Refused("fault: there are %s" % ", ".join(_faults()))
    return lambda: one.fault(words[0])


def _faults():
    from tests.lab.layout import FAULTS

    return FAULTS


def speed(lab, host, words):
    one = _one(lab, host, words, 1)
    return lambda: one.link(speed_mib_s=float(words[0]))


def wait_seconds(lab, host, words):
    if len(words) != 1 or not words[0].isdigit() or not 1 <= int(words[0]) <= 20:
        raise Refused("wait: 1 to 20 seconds")
    return lambda: time.sleep(int(words[0]))


def reboot(lab, host):
    """The host comes back without guests and without the processes that ran; its files are there."""
    lab.salt.end(host.name)
    host.kill_xend()
    relays.kill(host)
    host.clear()
    done = host.start()
    if done.returncode:
        raise Refused("xend does not start: %s" % done.stderr)
    lab.salt.begin(host.name)
    lab.salt.ready(host.name)


def stop_minion(lab, host):
    lab.salt.end(host.name)


def start_minion(lab, host):
    lab.salt.begin(host.name)
    lab.salt.ready(host.name)


def daemon_of_master(act):
    def verb(lab, host, words):
        return lambda: act(lab)

    return verb


def start_master(lab):
    lab.salt.begin("master")
    lab.salt.ready("master")


def kill_background(lab, host, words):
    def act():
        if lab.background is None:
            raise Refused("nothing runs in the background")
        lab.background.kill()

    return act


# Longer ones first: the first that fits counts.
VERBS = {
    "pause": xm("pause"),
    "unpause": xm("unpause"),
    "shutdown": xm("shutdown"),
    "destroy": xm("destroy"),
    "create": create,
    "rename": rename,
    "write": write,
    "link auto": link_auto,
    "hold": hold,
    "wait held": wait_held,
    "wait": wait_seconds,
    "release": release,
    "start xend": xend("start"),
    "stop xend": xend("stop"),
    "restart xend": xend("restart"),
    "kill xend-child": of_host(lambda _lab, host: host.kill_xend_child()),
    "kill xend": of_host(lambda _lab, host: host.kill_xend()),
    "kill xc_save": of_host(lambda _lab, host: host.kill_xc_save()),
    "kill xc_restore": of_host(lambda _lab, host: host.kill_xc_restore()),
    "kill relay": of_host(lambda _lab, host: relays.kill(host)),
    "kill command": kill_background,
    "stop minion": of_host(stop_minion),
    "start minion": of_host(start_minion),
    "stop master": daemon_of_master(lambda lab: lab.salt.end("master")),
    "start master": daemon_of_master(start_master),
    "fault": fault,
    "mend": of_host(lambda _lab, host: host.mend()),
    "cut": of_host(lambda _lab, host: host.cut_link()),
    "speed": speed,
    "reboot": of_host(reboot),
}
