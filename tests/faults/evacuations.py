"""Hosts that are emptied and filled again while something goes wrong, each night judged by the truth.

Here: what happens when in one night, and the comparison of what the product says with what is. The troubles
are in troubles.py, the truth in truth.py, the printing in __main__.py.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace

from tests.faults import campaign, faults, truth, upkeep
from tests.faults.campaign import CPU_S, HELD_LIMIT_S, KEPT, POLL_S, RUNS, SETTLE_S, Clock
from tests.faults.troubles import BACK, TROUBLES
from tests.harness.processes import Failed, Gone
from tests.lab import salt_config
from tests.lab.layout import wait_until

HOSTS = ("xen1", "xen2", "xen3", "xen4")
SIZES_MIB = (32, 64, 96, 128, 160)
PAGES = (16, 32, 64, 96)
# What one target may have left; the others have all that a host of the lab has.
SCARCE_MIB = (200, 300, 400)
# A target with so much has room for any one of these guests.
ROOMY_MIB = 300
# The guests of another host that is emptied at the same time.
OTHERS_MIB = (48, 80)
# How often an operator asks for the rest, having mended all that was broken.
ATTEMPTS = 3
# The last state of a run that has done all.
EMPTY = "%s is empty of what was asked for"
# How a run says of a guest that it is where it was, beside campaign.RUNS.
STAYED = r"%s was (not tried, and was )?left on %s\b"
# A state of a run that does nothing, because another one is at work.
BUSY = "nobody else empties or fills %s"
# What a run calls the outcome of a guest that it has not begun to send, beside those of a single migration.
STAYS = ("not tried", "fits nowhere")


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
    since: str | None
    back: str | None
    back_at: float

    @property
    def fault(self):
        return ", ".join([*self.troubles, *(["back: " + self.back] if self.back else [])])

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
        since=rng.choice((None, None, "moved on", "deleted")),
        back=rng.choice(BACK) if rng.random() < 0.3 else None,
        back_at=rng.choice((round(rng.uniform(0.0, 0.95), 2), 1.0)),
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
        # Those that may come in what is run now.
        self.comes = self.troubles
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
        return self.hold(self.source, moment.part)

    def hold(self, host, part):
        """Hold transfers to and from a host at this part of the memory; False when the run ended before."""
        over, marker = self.first.process.over, host.layout.held_marker
        host.link(hold_at=part)
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
            if not (process is self.first.process and any(one.ends_run for one in self.comes)):
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
        if [copy[1:] for copy in seen.copies] == [(guest.name, "running", True)]:
            # Others are being sent.
            seen = replace(seen, going_on=False)
        others = [host for host in seen.alive_on() + seen.holders() if host != source.name]
        return seen.word(source.name, others[0] if others else None, guest.name), seen.alive_on()

    def neighbours(self):
        # One of another host that is emptied as well goes away and comes home, as another domain.
        return [
            (host.name, guest.name, host.name == self.other or guest.domid, guest.state, guest.alive)
            for host in self.fleet
            for guest in host.guests().values()
            if guest.name.startswith(faults.BYSTANDER)
        ]

    # judging

    def judge_all(self):
        words = Counter(self.place(self.source, guest)[0] for guest in self.first.guests)
        self.verdict.outcome = ", ".join("%d %s" % (many, word) for word, many in words.most_common())
        ended = [one for one in self.evacuations if one.run]
        for one in ended:
            self.verdict.said += one.run.said()
        refused = [one for one in ended if BUSY % one.source.name in one.run.steps]
        last = {one.source.name: one for one in ended if one not in refused}
        for one in refused:
            if one.run.ok or one.source.name not in last:
                self.wrong.append("a run was refused that nobody is in the way of, or did not say so")
        self.verdict.ok = bool(last) and all(one.run.ok for one in last.values())
        # What an earlier run says may have changed since.
        for one in last.values():
            self.judge(one)

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
            self.judge_outcome(guest, word, run)
            if word == faults.MOVED and evacuation is not self.first and not self.told_of(guest, run):
                # It had left before this run began.
                continue
            self.judge_words(guest, word, alive, text, run.ok or not blind)
        if run.ok and stays:
            self.wrong.append("success was reported, but %s" % "; ".join(stays))
        if not run.ok and not stays and not blind:
            self.wrong.append("a failure was reported, although all have moved")
        if not run.ok and harmless:
            self.wrong.append("what does no harm has kept guests from moving")
        last = list(run.steps)[-1] if run.steps else ""
        if run.ok != (last == EMPTY % source.name):
            self.wrong.append("the last word does not agree with the exit code: %s" % last)

    @staticmethod
    def told_of(guest, run):
        """What a run calls that which has become of a guest."""
        begin = "%s: " % guest.name
        return [step[len(begin) :] for step in run.steps if step.startswith(begin)]

    def judge_outcome(self, guest, word, run):
        """What the outcome of a guest is called must be so."""
        for called in self.told_of(guest, run):
            meant = (faults.SOURCE,) if called in STAYS else faults.WORDS.get(called, (word,))
            if word not in meant:
                self.wrong.append("%s was called %s, but it is %s" % (guest.name, called, word))

    def judge_words(self, guest, word, alive, text, is_strict):
        """What is said of one guest must be so."""
        if "%s is LOST" % guest.name in text and word != faults.LOST:
            self.wrong.append("%s was called lost, but it is %s" % (guest.name, word))
        if not is_strict or word == faults.GOING_ON:
            return
        if word == faults.LOST and not re.search("%s is LOST|%s" % (guest.name, KEPT % guest.name), text):
            self.wrong.append("%s is lost, and nobody says so" % guest.name)
        for host in alive:
            words = (guest.name, host)
            if not re.search(RUNS % words, text) and not re.search(STAYED % words, text):
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
            seen = truth.look(self.fleet, guest.uuid)
            if seen.alive_on():
                continue
            if guest.ended:
                self.recover(remove_lost=[guest.name])
            elif "suspended" in [state for _host, _name, state, _alive in seen.copies]:
                self.recover(resume=[guest.name])
            else:
                self.bring_back(guest)

    def bring_back(self, guest):
        """A guest that is lost comes back from its safety copy, unless there is none."""
        self.recover(**{faults.BRING_BACK: [guest.name]})
        if truth.look(self.fleet, guest.uuid).alive_on():
            return
        if self.plan.safety_copy == "auto" and not any(one.may_be_lost for one in self.comes):
            self.wrong.append("%s was lost, and not brought back" % guest.name)
        self.recover(remove_lost=[guest.name])

    def fill(self, evacuation):
        """All that can come home does, and the host takes guests again."""
        there = self.there(evacuation)
        away = there[:1] if self.plan.since and there and self.befall(evacuation, there[0]) else []
        before = [truth.look(self.fleet, guest.uuid) for guest in away]
        if self.plan.back and evacuation.source is self.source:
            self.disturb_way_back(evacuation)
        run = self.orchestrate("restore", self.wanted_back(evacuation))
        if run is None or not run.ok:
            why = run.said()[-1] if run else "no answer"
            self.wrong.append("%s is not filled again: %s" % (evacuation.source.name, why))
        left = self.there(evacuation)
        for guest in [one for one in there[len(away) :] if one in left]:
            word, alive = self.place(evacuation.source, guest)
            if word != faults.SOURCE:
                self.wrong.append("%s did not come home: it is %s, on %s" % (guest.name, word, alive))
        if [truth.look(self.fleet, guest.uuid) for guest in away] != before:
            self.wrong.append("a guest was brought back that has been %s since" % self.plan.since)
        if salt_config.evacuation(evacuation.source).exists():
            self.wrong.append("%s remembers an evacuation that is over" % evacuation.source.name)

    def wanted_back(self, evacuation):
        wanted = {"host": evacuation.source.name, "parallel": self.plan.parallel, "settle": SETTLE_S}
        return dict(wanted, safety_copy=self.plan.safety_copy)

    def disturb_way_back(self, evacuation):
        """A first try to fill the host, in which something goes wrong; then all works again."""
        home, trouble = evacuation.source, TROUBLES[self.plan.back]
        self.comes, self.undo, self.doing, self.is_over = [trouble], [], [], False
        pillar = {"xend": {"restore": self.wanted_back(evacuation)}}
        process = self.conductor.start("xend.orch.restore", pillar)
        self.first = replace(evacuation, process=process)
        try:
            if self.hold(home, self.plan.back_at):
                senders = [host for host in self.fleet if "xc_save" in host.layout.roles()]
                self.source, self.target = senders[0] if senders else self.target, home
                trouble.during(self)
            home.release()
            run = self.finished(process)
        finally:
            home.release()
            process.kill()
            self.source, self.is_over = home, True
            for doing in self.doing:
                doing.end()
        if run:
            self.verdict.said += ["first way back: " + text for text in run.said()]
            self.judge_way_back(evacuation, run)
        upkeep.mend(self.conductor, self.undo, self.look)
        self.conductor.wait_idle()
        self.mend_guests(evacuation)

    def judge_way_back(self, evacuation, run):
        """What the disturbed way back says of guests must be so, as far as the hosts can tell."""
        text = "\n".join(run.said())
        for guest in evacuation.guests:
            seen = truth.look(self.fleet, guest.uuid)
            if not guest.ended and "%s is LOST" % guest.name in text and seen.alive_on():
                self.wrong.append("%s was called lost, but it runs on %s" % (guest.name, seen.alive_on()))
        if not run.ok and self.comes[0].harmless:
            self.wrong.append("what does no harm has kept guests from coming home")

    def befall(self, evacuation, guest):
        """Let something happen to a guest between its evacuation and the way back; return whether it did."""
        (host,) = self.place(evacuation.source, guest)[1]
        if self.plan.since == "deleted":
            guest.ended = True
            self.fleet[host].destroy_guest(guest.name)
            return True
        # Not where it was sent: so it was on purpose, and stays.
        others = [self.fleet[name] for name in self.plan.targets if name not in (host, self.other)]
        roomy = [one.name for one in others if one.hypervisor.free_kib() // 1024 >= ROOMY_MIB]
        if not roomy:
            return False
        run = self.orchestrate("migrate", {"domain": guest.name, "source": host, "target": roomy[0]})
        if run is None or not run.ok:
            self.wrong.append("%s could not move on from %s to %s" % (guest.name, host, roomy[0]))
        return True

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
