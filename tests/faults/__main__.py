"""`make faults`: a campaign of disturbed migrations or evacuations; prints outcomes, exits 1 for mistakes."""

import argparse
import collections
import os
import signal
import struct
import sys
import time

from tests.faults import evacuations
from tests.faults.campaign import Worker, loaded, plans
from tests.faults.faults import FAULTS, RELAY_KILLS
from tests.harness.processes import Failed, Gone, Process

# A migration waits for somebody more than half of the time.
WORKERS = 3 * len(os.sched_getaffinity(0))
INDEX = struct.Struct("i")
WORKER_LIMIT_S = 7200.0
END_LIMIT_S = 20.0
SHOWN = 5


def options():
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--migrations", type=int, default=300)
    parser.add_argument("--workers", type=int, default=WORKERS, help="fleets at the same time")
    parser.add_argument("--xen", default="4.4", help="the version of all hosts")
    parser.add_argument("--fault", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument(
        "--safety-copy",
        choices=("auto", "off", "both"),
        default="both",
        help="what the migrations ask for; both: half of them each",
    )
    parser.add_argument(
        "--relay-kills", type=int, metavar="MIGRATIONS", help="only these: relays killed at any moment"
    )
    parser.add_argument(
        "--evacuations", type=int, metavar="HOSTS", help="only these: hosts that are emptied and filled again"
    )
    parser.add_argument("--number", type=int, help="only the migration, or evacuation, of this number")
    parser.add_argument("--verbose", action="store_true", help="what the product said, each time")
    return parser.parse_args()


def report(verbose):
    """A function that prints one Verdict when it is wrong, or always."""

    def print_verdict(verdict):
        if not verdict.wrong and not verbose:
            return
        plan = verdict.plan
        lines = ["%s %s" % ("WRONG" if verdict.wrong else "ok   ", plan)]
        lines.append("    %s, reported as %s" % (verdict.outcome, reported(verdict.ok)))
        lines += ["    !! %s" % short(text) for text in verdict.wrong]
        lines += ["    -- %s" % short(text) for text in verdict.said]
        print("\n".join(lines), flush=True)

    return print_verdict


def reported(ok):
    return "success" if ok else "failure"


def short(text):
    """The first line of a text and, of a traceback, the last."""
    lines = text.strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else "%s ... %s" % (lines[0], lines[-1])


def end(number, _frame):
    """End as an exception does, so that fleets are taken down; once, or that would be cut short."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def queue(count):
    """The end of a pipe from which each worker takes the index of its next migration."""
    reader, writer = os.pipe()
    os.write(writer, b"".join(INDEX.pack(index) for index in range(count)))
    os.close(writer)
    return reader


def taken(todo, reader):
    """The plans that this worker gets hold of."""
    while index := os.read(reader, INDEX.size):
        yield todo[INDEX.unpack(index)[0]]


def carry_out(todo, reader, asked):
    signal.signal(signal.SIGTERM, end)
    more = {"hosts": evacuations.HOSTS, "attempt": evacuations.Night} if asked.evacuations else {}
    return Worker(report(asked.verbose), asked.xen, **more).run(taken(todo, reader))


def table(verdicts):
    """Print how often each fault has led to each outcome."""
    counts = collections.Counter(
        (verdict.plan.fault, verdict.outcome, verdict.ok) for verdict in verdicts
    )
    wrong = collections.Counter(verdict.plan.fault for verdict in verdicts if verdict.wrong)
    last = None
    for (fault, outcome, ok), count in sorted(counts.items()):
        shown = "" if fault == last else fault
        note = "  %d WRONG" % wrong[fault] if wrong[fault] and shown else ""
        last = fault
        print("%-38s %-33s %-9s %4d%s" % (shown, outcome, reported(ok), count, note))


def figures(verdicts, seconds):
    """Print how many there were, and where the time went."""
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    print(
        "\n%d tried in %.0f s (%.2f s each), %d wrong"
        % (len(verdicts), seconds, seconds / max(1, len(verdicts)), len(wrong))
    )
    spent = collections.Counter()
    for verdict in verdicts:
        spent.update(verdict.seconds)
    print(
        "seconds of one: "
        + ", ".join(
            "%s %.2f" % (what, total / len(verdicts)) for what, total in spent.most_common()
        )
    )
    for verdict in wrong[:SHOWN]:
        print("again: %s: %s" % (verdict.plan.again(), short(verdict.wrong[0])))


def planned(asked):
    """The plans of all that is asked for; numbers are those of one of the two halves."""
    if asked.evacuations:
        return evacuations.plans(asked.seed, asked.evacuations, asked.fault)
    count, only = asked.migrations, asked.fault
    if asked.relay_kills:
        count, only = asked.relay_kills, RELAY_KILLS
    if asked.safety_copy != "both":
        return plans(asked.seed, count, only, asked.safety_copy)
    kept = plans(asked.seed, -(-count // 2), only, "auto")
    # In a short campaign, what was not tried with a copy comes first among those without.
    tried = {one.fault for one in kept}
    bare = plans(asked.seed, max(count // 2, len(FAULTS)), only, "off")
    bare.sort(key=lambda one: one.fault in tried)
    return kept + bare[: count - len(kept)]


def main():
    asked = options()
    todo = planned(asked)
    if asked.number is not None:
        todo = [plan for plan in todo if plan.number == asked.number]
    began = time.monotonic()
    reader = queue(len(todo))
    signal.signal(signal.SIGTERM, end)
    verdicts, failures = [], []
    with loaded(asked.xen):
        workers = [Process(carry_out, todo, reader, asked) for _ in range(min(asked.workers, len(todo)))]
        try:
            for worker in workers:
                try:
                    verdicts += worker.result(WORKER_LIMIT_S)
                except (Failed, Gone) as error:
                    failures.append(str(error))
        finally:
            for worker in workers:
                worker.end(END_LIMIT_S)
    verdicts.sort(key=lambda verdict: verdict.plan.number)
    if verdicts:
        table(verdicts)
        figures(verdicts, time.monotonic() - began)
    for text in failures:
        print("a worker failed: %s" % text)
    return 1 if failures or not verdicts or any(verdict.wrong for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
