"""
Prints what was measured and which of the targets hold; exits 1 when one does not.

The targets are ratios of medians measured alternately in one run, so that they hold on any machine.
"""

import sys

from tests.bench import evacuation, migration, plan, pure, relay, states

TARGETS = (
    "parse, set, render: at most a tenth of Augeas' reading",
    "growth: ten times the bytes take at most 12 times as long",
    "a state with nothing to do: no slower than file.managed",
    "a state with everything to do: no slower than four file.replace",
    f"an orchestrated migration: at most {migration.TIMES_IDLE} times a salt-run that does nothing",
    f"an orchestrated migration: at most {migration.PUBLISHES} publishes",
    f"an orchestrated migration: at most {migration.XM_RUNS} call of xm on both hosts together",
    f"an orchestrated migration with relay and copy: at most {migration.TIMES_DIRECT} times one without",
    f"a host that is emptied: at most {evacuation.TIMES_IDEAL} times the ideal and {evacuation.MORE_S} s",
    f"a host that is emptied: {evacuation.PUBLISHES_EACH} publishes a guest and {evacuation.PUBLISHES} more",
    f"a guest through the relay, with a copy: at most {relay.TIMES_DIRECT} times as long as without",
    f"4,000 guests of one host planned onto 200, whatever the trouble: less than {plan.SECONDS} s",
    f"4,000 guests of 200 hosts, a plan for each of these: less than {plan.SECONDS} s",
    f"ten times the guests: a plan takes at most {plan.GROWTH} times as long",
)
WORDS = {True: "holds", False: "MISSED", None: "not measured"}


def main() -> int:
    *compared, first_use = states.measure()
    results = [pure.against_augeas(), pure.growth(), *compared, *migration.measure()]
    results += evacuation.measure() + relay.measure()
    results += plan.measure()
    for target, (text, holds) in zip(TARGETS, results, strict=True):
        print(f"{WORDS[holds]:12} {target}\n             {text}")
    print(f"for comparison: {first_use[0]}")
    return 0 if all(holds is not False for _, holds in results) else 1


if __name__ == "__main__":
    sys.exit(main())
