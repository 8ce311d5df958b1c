"""Hosts that are emptied and filled again while something goes wrong, each night judged by the truth.

Here: what happens when in one night, and the comparison of what the product says with what is. The troubles
are in troubles.py, the truth in truth.py, the printing in __main__.py.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.faults import campaign, faults, truth, upkeep
from tests.faults.campaign import CPU_S, HELD_LIMIT_S, KEPT, POLL_S, RUNS, SETTLE_S, Clock
from tests.faults.troubles import TROUBLES
from tests.harness.processes import Failed, Gone
from tests.lab import salt_config
from tests.lab.layout import wait_until

HOSTS = ("xen1", "xen2", "xen3", "xen4")
SIZES_MIB = (32, 64, 96, 128, 160)
PAGES = (16, 32, 64, 96)
# What one target may have left; the others have all that a host of the lab has.
SCARCE_MIB = (200, 300, 400)
# Of two guests at once on one host, one more evacuation; see `empty_another`.
OTHERS_MIB = (48, 80)
# How often an operator asks for the rest, having mended all that was broken.
ATTEMPTS = 3
EMPTY = "is empty of what was asked for"


@dataclass(frozen=True)
class Moment:
    """When a trouble comes: so many guests have left, and this part of the memory of one is sent."""

    left: int
    part: float


@dataclass(frozen=True)
class Plan:
    """What one night is like; everything in it follows from the seed and the number."""

    number: int
    seed: int
    troubles: tuple
    moments: tuple
    source: str
    targets: tuple
    guests: tuple
    scarce: tuple
    parallel: int
    live: bool
    safety_copy: str
    order: str | None
    named: bool

    @property
    def fault(self):
        return ", ".join(self.troubles)

    def again(self):
        """The arguments with which the campaign does this one again."""
        return "--evacuations %d --seed %d --number %d" % (self.number + 1, self.seed, self.number)


def plans(seed, count, only=()):
    """The plans of a campaign: every trouble in each round, in random order, some with another one beside."""
    unknown = [name for name in only if name not in TROUBLES]
    if unknown:
        raise ValueError("no such trouble: %s" % ", ".join(unknown))
    found, round_number = [], 0
    while len(found) < count:
        names = [name for name in TROUBLES if not only or name in only]
        random.Random("%d/%d" % (seed, round_number)).shuffle(names)
        found += [plan(seed, len(found) + place, name) for place, name in enumerate(names)]
        round_number += 1
    return found[:count]


def plan(seed, number, name):
    rng = random.Random("%d %d %s" % (seed, number, name))
    second = rng.choice(sorted(set(TROUBLES) - {name}))
    names = (name, second) if rng.random() < 0.3 and name != "none" else (name,)
    hosts = list(HOSTS[: max([rng.choice((3, 3, 4)), *[TROUBLES[one].hosts for one in names]])])
    source = rng.choice(hosts)
    targets = [host for host in hosts if host != source]
    sizes = [(rng.choice(SIZES_MIB), rng.choice(PAGES)) for _ in range(rng.randint(3, 5))]
    moments = sorted(
        (rng.randint(0, len(sizes) - 2), rng.choice((round(rng.uniform(0.0, 0.95), 2), 1.0)))
        for _ in names
    )
    return Plan(
        number=number,
        seed=seed,
        troubles=names,
        moments=tuple(Moment(*moment) for moment in moments),
        source=source,
        targets=tuple(targets),
        guests=tuple(sizes),
        scarce=(rng.choice(targets), rng.choice(SCARCE_MIB)) if rng.random() < 0.5 else (),
        parallel=rng.randint(1, 3),
        live=rng.random() < 0.75,
        safety_copy=rng.choice(("auto", "off")),
        order=rng.choice((None, "largest", "smallest")),
        named=rng.random() < 0.25,
    )


@dataclass
class Guest:
    """One guest of a night. `ended`: it has, by itself, so that it is anywhere or nowhere afterwards."""

    name: str
    uuid: str
    ended: bool = False


@dataclass
class Evacuation:
    """One host that is emptied, by this many runs one after the other; `run` is the last that has ended."""

    source: object
    targets: list
    guests: list
    process: object = None
    run: object = None
    settled: list = field(default_factory=list)


class Night:
    """One evacuation in the making, and the way back: what a trouble can reach."""

    # It has some of its own: on the host that is emptied none, unless the guests that leave are named.
    has_neighbours = False

    def __init__(self, conductor, plan):
        self.conductor, self.plan, self.fleet = conductor, plan, conductor.fleet
        self.verdict = campaign.Verdict(plan)
        self.wrong = self.verdict.wrong
        self.rng = random.Random("%d %d" % (plan.seed, plan.number))
        self.troubles = [TROUBLES[name] for name in plan.troubles]
        self.source = self.fleet[plan.source]
        # The one to which the guest is sent that is held.
        self.target = self.fleet[self.rng.choice(plan.targets)]
        self.undo, self.doing, self.is_over = [], [], False
        self.first, self.evacuations = None, []

    # what troubles may ask for

    def doing_is_over(self):
        """Whether all orchestrations have ended, so that nothing more is to come."""
        return self.is_over

    def again(self, evacuation):
        """Run the same evacuation once more, whatever became of the run before."""
        self.evacuations.append(self.begin(evacuation.source, evacuation.targets, evacuation.guests))

    def empty_another(self):
        """Another host is emptied at the same time, onto the same targets."""
        other = next(host for host in self.fleet if host.name == self.other)
        guests = [
            self.create(other, "other%d-%d" % (self.plan.number, place), memory_mib, 16)
            for place, memory_mib in enumerate(OTHERS_MIB, 1)
        ]
        self.evacuations.append(self.begin(other, self.first.targets, guests))

    @property
    def other(self):
        """The host which is no target, because it is emptied as well; None when there is none."""
        return self.plan.targets[-1] if "another host is emptied" in self.plan.troubles else None

    def guests_that(self, which):
        """The guests that wait to be sent, go, or came, by what the hosts hold."""
        here = {guest.uuid: guest for guest in self.source.guests().values()}
        found = []
        for guest in self.first.guests:
            copy = here.get(guest.uuid)
            now = "came" if copy is None else "wait" if copy.xend_name == guest.name else "go"
            if now == which:
                found.append(guest)
        return found

    def let_end(self, guest):
        """A guest ends, wherever it runs."""
        guest.ended = True
        for host in self.fleet:
            for copy in host.guests().values():
                if copy.uuid == guest.uuid and (copy.alive or host is self.source):
                    host.hypervisor.destroy(copy.domid)

    def recover_meanwhile(self):
        """Run the recovery; it must leave alone what goes on."""
        going = [guest.uuid for guest in self.guests_that("go")]
        before = [truth.look(self.fleet, uuid) for uuid in going]
        self.recover(wait=1)
        if [truth.look(self.fleet, uuid) for uuid in going] != before:
            self.wrong.append("xend.orch.recover touched a guest that is being sent")

    # the night

    def create(self, host, name, memory_mib, pages):
        disks = ["file:/srv/xen/%s.img,xvda,w" % name]
        made = host.create_guest(
            name, memory_mib=memory_mib, pages=pages, disks=disks, vifs=["bridge=xenbr0"]
        )
        # An idle guest of some seconds has not used any CPU, as if it had never run.
        host.hypervisor.update(made.domid, cpu_time=CPU_S)
        return Guest(name, made.uuid)

    def begin(self, source, targets, guests):
        wanted = {"source": source.name, "targets": targets, "parallel": self.plan.parallel}
        wanted.update(live=self.plan.live, settle=SETTLE_S, safety_copy=self.plan.safety_copy)
        if self.plan.named:
            wanted.update(domains=[guest.name for guest in guests])
        if self.plan.order:
            wanted.update(order=self.plan.order)
        process = self.conductor.start("xend.orch.evacuate", {"xend": {"evacuate": wanted}})
        return Evacuation(source, targets, guests, process)

    def run(self):
        """Empty the host, disturb that, judge, empty it, fill it again; return the Verdict."""
        clock = Clock(self.verdict.seconds)
        guests = [
            self.create(self.source, "night%d-%d" % (self.plan.number, place), *size)
            for place, size in enumerate(self.plan.guests, 1)
        ]
        for host in self.fleet:
            if self.plan.named or host.name not in (self.plan.source, self.other):
                host.create_guest("%s-%s" % (faults.BYSTANDER, host.name), memory_mib=32, pages=4)
        if self.plan.scarce:
            host, left_mib = self.fleet[self.plan.scarce[0]], self.plan.scarce[1]
            free_mib = host.hypervisor.free_kib() // 1024
            host.create_guest("%s-big" % faults.BYSTANDER, memory_mib=free_mib - left_mib, pages=4)
        for trouble in self.troubles:
            if trouble.before:
                trouble.before(self)
        neighbours = self.neighbours()
        clock.lap("prepare")
        targets = [name for name in self.plan.targets if name != self.other]
        self.first = self.begin(self.source, targets, guests)
        self.evacuations.append(self.first)
        self.disturb()
        clock.lap("evacuation")
        self.judge_all()
        upkeep.mend(self.conductor, self.undo, self.look)
        self.conductor.wait_idle()
        clock.lap("mending")
        mine = self.hosts_emptied()
        for evacuation in mine:
            self.empty(evacuation)
        clock.lap("the rest")
        for evacuation in mine:
            self.fill(evacuation)
        clock.lap("way back")
        self.judge_end(neighbours)
        return self.verdict

    def hosts_emptied(self):
        """One Evacuation for each host: a second one of the same is a second run of it."""
        return list({one.source.name: one for one in reversed(self.evacuations)}.values())

    def disturb(self):
        """Let the troubles come, each in its moment, and all runs end."""
        try:
            for trouble, moment in zip(self.troubles, self.plan.moments, strict=True):
                if trouble.during and self.held(moment):
                    self.target = self.goes_to() or self.target
                    trouble.during(self)
                self.source.release()
            for evacuation in self.evacuations:
                evacuation.run = self.finished(evacuation.process)
        finally:
            self.source.release()
            for evacuation in self.evacuations:
                evacuation.process.kill()
            self.is_over = True
            for doing in self.doing:
                doing.end()

    def held(self, moment):
        """Wait until guests have left and one is held; False when the run has ended before."""
        over = self.first.process.over
        wait_until(lambda: len(self.guests_that("came")) >= moment.left or over(), HELD_LIMIT_S, POLL_S)
        self.source.link(hold_at=moment.part)
        marker = self.source.layout.held_marker
        wait_until(lambda: marker.exists() or over(), HELD_LIMIT_S, POLL_S)
        return marker.exists() and not over()

    def goes_to(self):
        """The host to which a guest is being sent."""
        going = {guest.uuid for guest in self.guests_that("go")}
        for host in self.fleet:
            if host is not self.source and any(copy.uuid in going for copy in host.guests().values()):
                return host
        return None

    def finished(self, process):
        try:
            return self.conductor.finish(process)
        except (Gone, Failed) as error:
            if not (process is self.first.process and any(one.ends_run for one in self.troubles)):
                self.wrong.append("an evacuation did not end by itself: %s" % error)
            return None

    # what is

    def all_guests(self):
        return {guest.uuid: guest for one in self.evacuations for guest in one.guests}.values()

    def look(self):
        return [truth.look(self.fleet, guest.uuid) for guest in self.all_guests()]

    def place(self, source, guest):
        """Where a guest truly is, in the word of the table of faults, and the hosts on which it is alive."""
        seen = truth.look(self.fleet, guest.uuid)
        others = [host for host in seen.alive_on() + seen.holders() if host != source.name]
        return seen.word(source.name, others[0] if others else None, guest.name), seen.alive_on()

    def neighbours(self):
        return [
            (host.name, guest.name, guest.domid, guest.state, guest.alive)
            for host in self.fleet
            for guest in host.guests().values()
            if guest.name.startswith(faults.BYSTANDER)
        ]

    # judging

    def judge_all(self):
        words = Counter(self.place(self.source, guest)[0] for guest in self.first.guests)
        self.verdict.outcome = ", ".join("%d %s" % (many, word) for word, many in words.most_common())
        ended = [one for one in self.evacuations if one.run]
        self.verdict.ok = bool(ended) and ended[-1].run.ok
        last = {one.source.name: one for one in ended}
        for evacuation in ended:
            self.verdict.said += evacuation.run.said()
            # What an earlier run says may have changed since.
            if last[evacuation.source.name] is evacuation:
                self.judge(evacuation)

    def judge(self, evacuation):
        """Compare what one run says with what is."""
        run, source = evacuation.run, evacuation.source
        text = "\n".join(run.said())
        blind = any(trouble.blind for trouble in self.troubles)
        harmless = all(trouble.harmless for trouble in self.troubles)
        stays = []
        for guest in evacuation.guests:
            word, alive = self.place(source, guest)
            if guest.ended:
                continue
            if word != faults.MOVED:
                stays.append("%s is %s" % (guest.name, word))
            self.judge_words(guest, word, alive, text, run.ok or not blind)
        if run.ok and stays:
            self.wrong.append("success was reported, but %s" % "; ".join(stays))
        if not run.ok and not stays and not blind:
            self.wrong.append("a failure was reported, although all have moved")
        if not run.ok and harmless:
            self.wrong.append("what does no harm has kept guests from moving")
        if run.ok != (EMPTY in run.said()[-1]):
            self.wrong.append("the last word does not agree with the exit code: %s" % run.said()[-1])

    def judge_words(self, guest, word, alive, text, is_strict):
        """What is said of one guest must be so."""
        if "%s is LOST" % guest.name in text and word != faults.LOST:
            self.wrong.append("%s was called lost, but it is %s" % (guest.name, word))
        if not is_strict or word == faults.GOING_ON:
            return
        if word == faults.LOST and not re.search("%s is LOST|%s" % (guest.name, KEPT % guest.name), text):
            self.wrong.append("%s is lost, and nobody says so" % guest.name)
        for host in alive:
            if not re.search(RUNS % (guest.name, host), text):
                self.wrong.append("%s runs on %s, and nobody says so" % (guest.name, host))

    # the rest, and the way back

    def empty(self, evacuation):
        """All works again: what is left is evacuated, as often as something has to be repaired in between."""
        for _attempt in range(ATTEMPTS):
            self.mend_guests(evacuation)
            again = self.begin(evacuation.source, evacuation.targets, self.there(evacuation))
            again.run = self.finished(again.process)
            if again.run:
                self.verdict.said += ["again: " + text for text in again.run.said()]
                self.judge(again)
            if again.run and again.run.ok:
                return
        self.wrong.append("when all works again, %s is not emptied" % evacuation.source.name)

    def there(self, evacuation):
        """The guests of an evacuation that there are still, wherever."""
        return [guest for guest in evacuation.guests if self.place(evacuation.source, guest)[1]]

    def mend_guests(self, evacuation):
        """The recovery repairs what is safe, and what the operator then asks for, who knows the truth."""
        self.recover()
        for guest in evacuation.guests:
            word, _alive = self.place(evacuation.source, guest)
            if guest.ended and word == faults.LOST:
                self.recover(remove_lost=[guest.name])
            elif word == faults.LOST:
                self.bring_back(evacuation, guest)
            elif word == faults.SUSPENDED:
                self.recover(resume=[guest.name])

    def bring_back(self, evacuation, guest):
        """A guest that is lost comes back from its safety copy, unless there is none."""
        self.recover(**{faults.BRING_BACK: [guest.name]})
        if self.place(evacuation.source, guest)[0] != faults.LOST:
            return
        if self.plan.safety_copy == "auto" and not any(one.may_be_lost for one in self.troubles):
            self.wrong.append("%s was lost, and not brought back" % guest.name)
        self.recover(remove_lost=[guest.name])

    def fill(self, evacuation):
        """All that can come home does, and the host takes guests again."""
        home = self.there(evacuation)
        wanted = {"host": evacuation.source.name, "parallel": self.plan.parallel, "settle": SETTLE_S}
        run = self.orchestrate("restore", wanted)
        if run is None:
            return
        if not run.ok:
            self.wrong.append("%s is not filled again: %s" % (evacuation.source.name, run.said()[-1]))
        for guest in home:
            word, alive = self.place(evacuation.source, guest)
            if word != faults.SOURCE:
                self.wrong.append("%s did not come home: it is %s, on %s" % (guest.name, word, alive))
        if salt_config.evacuation(evacuation.source).exists():
            self.wrong.append("%s remembers an evacuation that is over" % evacuation.source.name)

    def recover(self, test=False, **options):
        return self.orchestrate("recover", options, test)

    def orchestrate(self, name, wanted, test=False):
        pillar = {"xend": {name: wanted}}
        try:
            run = self.conductor.orchestrate("xend.orch." + name, pillar, test)
        except (Gone, Failed) as error:
            self.wrong.append("%s did not end by itself: %s" % (name, error))
            return None
        self.verdict.said += ["%s: %s" % (name, text) for text in run.said()]
        return run

    def judge_end(self, neighbours):
        """Nothing is left over, nobody was touched who had nothing to do with it, and no guest ran twice."""
        last = self.recover()
        if last and (last.changed() or not last.ok):
            self.wrong.append("when all is well, the recovery says: %s" % "; ".join(last.said()))
        for guest in self.all_guests():
            crimes = set(truth.crimes(truth.history(self.fleet, guest.uuid)))
            if guest.ended:
                # That is how it dies.
                crimes = {crime for crime in crimes if "it was destroyed" not in crime}
            self.wrong += ["%s: %s" % (guest.name, crime) for crime in sorted(crimes)]
            if upkeep.noting(self.fleet, guest.name):
                self.wrong.append("%s still counts as one that may be missing" % guest.name)
        gone = set(neighbours) - set(self.neighbours())
        if gone:
            self.wrong.append("other guests were touched: %s" % sorted(gone))
        remains = upkeep.left(self.fleet) + [
            str(path) for host in self.fleet for path in salt_config.reservations(host)
        ]
        if remains:
            self.wrong.append("at the end there is still %s" % ", ".join(remains))
