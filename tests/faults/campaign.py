"""Migrations that are disturbed, one after the other, each judged by the truth: workers and the plan.

Here: what happens when in one migration, and the comparison of what the product says with what is.
The faults are in faults.py, the truth in truth.py, the printing in __main__.py.
"""

import contextlib
import gc
import random
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import faults, truth, upkeep
from tests.harness.conductor import Conductor
from tests.harness.loading import hurry, quiet
from tests.harness.processes import Failed, Gone
from tests.lab import salt_config
from tests.lab.fleet import Fleet, HostSpec
from tests.lab.layout import wait_until

HOSTS = ("xen1", "xen2", "xen3")
TIME_SCALE = 0.02
CONFIG = "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost$')\n(dom0-min-mem 1024)\n"
CPU_S = 100.0
# Against hanging only: before that, both hosts are asked for all that can be known.
HELD_LIMIT_S = 600.0
POLL_S = 0.1
# How long a target may take to complete a guest, in seconds of the lab's fast hosts.
SETTLE_S = 3
# How the product says of a guest that it is on a host.
RUNS = r"%s (still )?(is|runs)\b[^.;]* on %s\b"
# That it does not run, but has a safety copy; and that it was restored from that.
KEPT = r"%s does not run, but is not lost: its memory is whole in the safety copy"
BACK = r"%s was (restored here from its safety copy|brought back)"
# A fault after which Salt waits a minute for xend is planned in one round of four.
COSTLY_EVERY = 4


@dataclass(frozen=True)
class Plan:
    """What one migration is like; everything in it follows from the seed and the number."""

    number: int
    fault: str
    source: str
    target: str
    live: bool
    memory_mib: int
    pages: int
    managed: bool
    part: float
    seed: int
    safety_copy: str = "auto"

    def again(self):
        """The arguments with which the campaign does this one again."""
        words = (self.safety_copy, self.seed, self.number)
        return "--safety-copy %s --seed %d --number %d" % words


@dataclass
class Verdict:
    """What came of one migration. `wrong`: sentences on what must not be; `said`: the product's words."""

    plan: Plan
    outcome: str = "not judged"
    ok: bool = False
    recovered: str = ""
    wrong: list = field(default_factory=list)
    said: list = field(default_factory=list)
    seconds: dict = field(default_factory=dict)


def plans(seed, count, only=(), safety_copy="auto"):
    """The plans of a campaign: every known fault in each round, in random order.

    safety_copy -- what each migration asks for: "auto" or "off", which leaves out what is about the copy
    """
    found, number, round_number = [], 0, 0
    while len(found) < count:
        known = [
            name
            for name, fault in faults.FAULTS.items()
            if fault.known() and not (fault.copies and safety_copy == "off")
        ]
        names = [name for name in known if not only or name in only]
        if not names:
            raise ValueError("no such fault in this lab: %s" % ", ".join(only))
        if not only and round_number % COSTLY_EVERY:
            names = [name for name in names if not faults.FAULTS[name].costly]
        random.Random("%d/%d" % (seed, round_number)).shuffle(names)
        for name in names:
            found.append(plan(seed, number, name, safety_copy))
            number += 1
        round_number += 1
    return found[:count]


def plan(seed, number, name, safety_copy="auto"):
    rng = random.Random("%d %d %s" % (seed, number, name))
    source, target = rng.sample(HOSTS, 2)
    first, last = faults.FAULTS[name].at or (0.0, 0.0)
    return Plan(
        number=number,
        fault=name,
        source=source,
        target=target,
        live=rng.random() < 0.75,
        memory_mib=rng.choice([64, 96, 128, 256]),
        pages=rng.choice([16, 32, 64, 96]),
        managed=rng.random() < 0.25,
        part=round(rng.uniform(first, last), 2),
        seed=seed,
        safety_copy=safety_copy,
    )


class World:
    """One migration in the making: what a fault can reach."""

    # Whether each host has a guest that has nothing to do with it all.
    has_neighbours = True

    def __init__(self, conductor, plan):
        self.conductor, self.plan = conductor, plan
        self.fleet = conductor.fleet
        self.source, self.target = self.fleet[plan.source], self.fleet[plan.target]
        self.fault = faults.FAULTS[plan.fault]
        # Both halves of a campaign count from 0, and an event tells no more than the name.
        self.name = "guest%d%s" % (plan.number, "" if plan.safety_copy == "auto" else "-bare")
        self.uuid = None
        self.others = []
        self.undo = []
        # What goes on in the background; and chance, for what happens there.
        self.doing = []
        self.is_over = False
        self.rng = random.Random("%d %d" % (plan.seed, plan.number))
        self.verdict = Verdict(plan)
        self.wrong = self.verdict.wrong

    # what faults may ask for

    def begin_another(self):
        """Begin a second orchestration of the same migration."""
        self.others.append(self.begin())

    def doing_is_over(self):
        """Whether the orchestration has ended, so that nothing more is to come."""
        return self.is_over

    def filled(self, value):
        """A value of the table of faults: in it %s is the guest's name, %a the source's address, %f a folder
        of its own."""
        if isinstance(value, str):
            value = value.replace("%s", self.name).replace("%a", self.source.address)
            return value.replace("%f", str(self.source.root / "copies"))
        if isinstance(value, dict):
            return {key: self.filled(one) for key, one in value.items()}
        return [self.filled(one) for one in value] if isinstance(value, list) else value

    def recover_meanwhile(self):
        """Run the recovery; it must leave alone what goes on."""
        before = truth.look(self.fleet, self.uuid)
        self.recover(wait=1)
        if truth.look(self.fleet, self.uuid) != before:
            self.wrong.append("xend.orch.recover touched a guest that is being sent")

    # the migration

    def begin(self):
        wanted = {"domain": self.name, "source": self.source.name, "target": self.target.name}
        wanted.update(live=self.plan.live, settle=SETTLE_S)
        if self.plan.safety_copy != "auto":
            wanted.update(safety_copy=self.plan.safety_copy)
        wanted.update(self.filled(self.fault.options))
        # Before Xen 4.0 the source would keep it, which has to be accepted.
        if self.plan.managed:
            wanted["accept"] = ["managed", *wanted.get("accept", [])]
        return self.conductor.start("xend.orch.migrate", {"xend": {"migrate": wanted}})

    def recover(self, test=False, **options):
        return self.conductor.orchestrate("xend.orch.recover", {"xend": {"recover": options}}, test)

    def run(self):
        """Migrate the guest, disturb it, judge; return the Verdict."""
        clock = Clock(self.verdict.seconds)
        guest = self.source.create_guest(
            self.name,
            memory_mib=self.plan.memory_mib,
            pages=self.plan.pages,
            managed=self.plan.managed,
            **self.filled(self.fault.guest),
        )
        self.uuid = guest.uuid
        # An idle guest of some seconds has not used any CPU, as if it had never run.
        self.source.hypervisor.update(guest.domid, cpu_time=CPU_S)
        if self.fault.before:
            self.fault.before(self)
        neighbours = self.neighbours()
        if self.fault.at:
            self.source.link(hold_at=self.plan.part)
        clock.lap("prepare")
        runs = self.disturbed()
        clock.lap("orchestration")
        seen = truth.look(self.fleet, self.uuid)
        if runs:
            self.judge(seen, runs)
        self.repair()
        clock.lap("repair")
        self.judge_recovery()
        clock.lap("recovery")
        crimes = set(truth.crimes(truth.history(self.fleet, self.uuid)))
        if self.fault.for_good:
            # That is how it dies.
            crimes.discard("it was destroyed on %s while it ran" % self.target.name)
        self.wrong += sorted(crimes)
        if self.neighbours() != neighbours:
            self.wrong.append(
                "another guest was touched: %s, now %s" % (neighbours, self.neighbours())
            )
        return self.verdict

    def disturbed(self):
        """Run the orchestration through its fault; return the Runs, none when they did not end well."""
        processes = [self.begin()]
        try:
            if self.fault.at and not self.held(processes[0]):
                self.wrong.append("the transfer never came so far that it could be disturbed")
            elif self.fault.during:
                self.fault.during(self)
            processes += self.others
            if self.fault.released:
                self.source.release()
            return [run for run in map(self.finished, processes) if run]
        finally:
            for process in processes:
                process.kill()
            self.is_over = True
            for doing in self.doing:
                doing.end()

    def finished(self, process):
        try:
            return self.conductor.finish(process)
        except (Gone, Failed) as error:
            self.wrong.append("the orchestration did not end by itself: %s" % error)
            return None

    def held(self, process):
        """Wait until the transfer is held; False when the orchestration ended before."""
        wait_until(
            lambda: self.source.layout.held_marker.exists() or process.over(), HELD_LIMIT_S, POLL_S
        )
        return self.source.layout.held_marker.exists()

    def notes(self):
        """The hosts that keep in mind that they have sent the guest."""
        return upkeep.noting(self.fleet, self.name)

    def left(self):
        """What relays have left of guests, and safety copies; without those of which a note still tells."""
        return upkeep.left([host for host in self.fleet if host.name not in self.notes()])

    @property
    def has_copy(self):
        """Whether a guest that is lost has to come back."""
        return self.plan.safety_copy == "auto" and not self.fault.for_good

    def came_back(self):
        """Whether the guest was restored on its source: it runs there as another domain than it left."""
        begun = [
            entry["domid"]
            for entry in truth.history([self.source], self.uuid)
            if entry["event"] == "unpaused"
        ]
        return len(set(begun)) > 1

    def neighbours(self):
        return [
            (host.name, guest.name, guest.domid, guest.state, guest.alive)
            for host in self.fleet
            for guest in host.guests().values()
            if guest.name.startswith((upkeep.NEIGHBOUR, faults.BYSTANDER))
        ]

    # judging

    def judge(self, seen, runs):
        """Compare what the product says with what is."""
        verdict = self.verdict
        verdict.outcome = seen.word(self.source.name, self.target.name, self.name)
        verdict.ok = any(run.ok for run in runs)
        verdict.said = [text for run in runs for text in run.said()]
        allowed = self.fault.outcomes
        if self.has_copy and faults.LOST in allowed:
            # It is brought back in the last step, unless that takes the operator's word: where its target
            # cannot be asked, or may have let a guest run of which it says that it has failed.
            takes_word = self.fault.blind or self.plan.managed
            allowed = allowed - (set() if takes_word else {faults.LOST}) | {faults.SOURCE}
        if self.fault.may_be_lost:
            allowed = allowed | {faults.LOST}
        if verdict.outcome not in allowed:
            self.wrong.append(
                "the guest is %s, which %s cannot cause" % (verdict.outcome, self.plan.fault)
            )
        # What is still going on, or cannot be seen, keeps the xend of its target.
        if self.fault.at is None and not self.fault.blind and verdict.outcome in faults.WHOLE:
            mine = ".%s.reserved" % self.name
            if mine in [path.name for path in salt_config.reservations(self.target)]:
                self.wrong.append("xend of the target is still kept for it, which is over")
        moved = verdict.outcome == faults.MOVED
        if verdict.ok and moved and self.notes():
            self.wrong.append("it has moved, and still counts as one that may be missing")
        if verdict.ok and not moved:
            self.wrong.append("success was reported, but the guest is %s" % verdict.outcome)
        if (
            moved
            and not verdict.ok
            and self.fault.outcomes == {faults.MOVED}
            and not self.fault.blind
        ):
            self.wrong.append("a failure was reported, although nothing failed")
        for event in self.conductor.events("xend/migrate/%s" % self.name):
            if event["phase"] == "running" and self.target.name not in seen.alive_on():
                self.wrong.append("an event says that it runs on the target, which it does not")
        for run in runs:
            self.judge_words(seen, run)

    def judge_words(self, seen, run):
        """What a failed orchestration says of the guest must be so."""
        if run.ok:
            return
        text = "\n".join(run.said())
        outcome = self.verdict.outcome
        lost = "is LOST" in text
        if lost and outcome != faults.LOST:
            self.wrong.append("it was called lost, but it is %s" % outcome)
        kept = self.has_copy and re.search(KEPT % self.name, text)
        if outcome == faults.LOST and not (lost or kept) and not self.fault.blind:
            self.wrong.append("it is lost, and nobody says so")
        if self.came_back() and not re.search(BACK % self.name, text):
            self.wrong.append("it was restored on its source, and nobody says so")
        if outcome == faults.LOST and any(
            step.startswith("%s: remove " % self.name) for step in run.steps
        ):
            self.wrong.append("the remainder of a lost guest was removed, unasked")
        words = [
            step.partition(": ")[2]
            for step in run.steps
            if step.startswith(self.name + ": ") and step.partition(": ")[2] in faults.WORDS
        ]
        for word in words:
            if outcome not in faults.WORDS[word]:
                self.wrong.append("its outcome was called %s, but it is %s" % (word, outcome))
        if outcome == faults.GOING_ON or self.fault.blind:
            return
        for host in seen.alive_on():
            if not re.search(RUNS % (self.name, host), text):
                self.wrong.append("it runs on %s, and nobody says so" % host)

    # afterwards

    def repair(self):
        """What an operator does: hosts and links work again, and nothing goes on any more."""
        upkeep.mend(self.conductor, self.undo, lambda: truth.look(self.fleet, self.uuid))

    def judge_recovery(self):
        """The recovery repairs all that is safe, at once; a dry run of it changes nothing."""
        before = truth.everything(self.fleet)
        was = truth.look(self.fleet, self.uuid).word(self.source.name, self.target.name, self.name)
        self.verdict.recovered = was
        if was not in faults.WHOLE:
            self.recovery(test=True)
            if truth.everything(self.fleet) != before:
                self.wrong.append("the recovery changed something under test=True")
            self.recovery()
            touched = truth.everything(self.fleet) != before
            if was == faults.LOST and touched and not self.came_back():
                self.wrong.append("the recovery touched the remainder of a lost guest, unasked")
            if self.came_back() and self.fault.for_good:
                self.wrong.append("the recovery has brought back a guest that had run on its target")
            if was == faults.LOST and not self.came_back():
                self.bring_back()
            if was in faults.ASKED and not self.came_back():
                self.recovery(**{faults.ASKED[was]: [self.name]})
        lost = was == faults.LOST and not self.came_back()
        if self.notes() and not lost:
            # Those who were to see it arrive did not live to do so.
            before = truth.everything(self.fleet)
            self.recovery()
            if truth.everything(self.fleet) != before:
                self.wrong.append("the recovery touched a guest that is well")
        again = self.recovery()
        if again and (again.changed() or not again.ok):
            self.wrong.append("when all is well, the recovery says: %s" % "; ".join(again.said()))
        now = truth.look(self.fleet, self.uuid)
        if set(self.notes()) - set(now.alive_on()):
            self.wrong.append("after the recovery it still counts as one that may be missing")
        if self.left():
            self.wrong.append("after the recovery there is still %s" % ", ".join(self.left()))
        if lost:
            if now.copies:
                self.wrong.append("of the lost guest there is still %s" % (now.copies,))
        elif [copy[1] for copy in now.copies] != [self.name]:
            self.wrong.append("after the recovery there is %s" % (now.copies,))
        elif not now.alive_on() and not self.fault.paused:
            self.wrong.append("after the recovery it does not run: %s" % (now.copies,))

    def bring_back(self):
        """The operator asks for a guest that is lost, having made certain of what the recovery has said."""
        if self.fault.for_good and not self.fault.heard:
            return
        before = truth.everything(self.fleet)
        self.recovery(**{faults.BRING_BACK: [self.name]})
        if self.fault.may_be_lost:
            # By the moment in which it happened: there may be a complete copy, or none.
            return
        if self.came_back() != self.has_copy:
            said = "was lost, and not brought back" if self.has_copy else "was brought back, and must not be"
            self.wrong.append("the guest %s" % said)
        if not self.has_copy and truth.everything(self.fleet) != before:
            self.wrong.append("the recovery touched what must not be brought back")

    def recovery(self, test=False, **options):
        try:
            run = self.recover(test, **options)
        except (Gone, Failed) as error:
            self.wrong.append("the recovery did not end by itself: %s" % error)
            return None
        self.verdict.said += ["recovery: " + text for text in run.said()]
        return run


class Clock:
    """Adds up where the time goes."""

    def __init__(self, seconds):
        self.seconds, self.began = seconds, time.monotonic()

    def lap(self, what):
        now = time.monotonic()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - self.began
        self.began = now


@contextlib.contextmanager
def loaded(version):
    """A block in which what workers need is loaded and compiled, once for all that are forked there."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="xend-faults-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        hurry(root / "compiled")
        host = HostSpec(HOSTS[0], version, CONFIG, time_scale=TIME_SCALE)
        with Fleet.create(root / "fleet", [host]) as fleet:
            # The programs of one host are those of all.
            fleet.start()
            Conductor(fleet, root / "salt")
        # To look through it for garbage would copy it, in each fork.
        gc.freeze()
        yield


class Worker:
    """A fleet of its own with its conductor, for one migration after the other.

    attempt -- what is made of each plan, and runs to a Verdict
    """

    def __init__(self, report, version, hosts=HOSTS, attempt=World):
        self.report, self.attempt = report, attempt
        self.root = Path(tempfile.mkdtemp(prefix="xend-faults-"))
        specs = [HostSpec(name, version, CONFIG, time_scale=TIME_SCALE) for name in hosts]
        self.fleet = Fleet.create(self.root / "fleet", specs)

    def run(self, plans):
        """Carry out these plans; return their Verdicts."""
        verdicts = []
        try:
            self.fleet.start()
            conductor = Conductor(self.fleet, self.root / "salt")
            self.prepare(conductor)
            for plan in plans:
                verdicts.append(self.attempt(conductor, plan).run())
                self.report(verdicts[-1])
                upkeep.sweep(self.fleet)
        finally:
            self.fleet.destroy()
            shutil.rmtree(self.root, ignore_errors=True)
        return verdicts

    def prepare(self, conductor):
        """Every host has its settings, and its neighbours."""
        conductor.call_all("state.sls", "xend.relocation")
        for host in self.fleet if self.attempt.has_neighbours else ():
            host.create_guest("%s-%s" % (upkeep.NEIGHBOUR, host.name), memory_mib=32, pages=4)
