"""Who goes where when a large host is emptied, or each host of a large fleet: on paper, nobody is asked."""

import gc
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))

import xm_plan  # noqa: E402

SECONDS, GROWTH = 10, 12
HOSTS, GUESTS = 200, 4000
SIZES_MIB = (256, 512, 1024, 2048, 4096)
ROUNDS = 5
# How much room there is, in parts of what is needed, and which part of the targets refuses a guest.
TROUBLES = {
    "room for all": (1.3, 0.0),
    "some refuse": (1.3, 0.1),
    "room for half": (0.5, 0.02),
    "no room": (0.0, 0.0),
}


def fleet(hosts: int, count: int, room: float, refuse: float) -> tuple[list[dict], dict[str, dict]]:
    """Guests of one host, and the others as targets."""
    chance = random.Random(count)
    guests = []
    for number in range(count):
        takes_mib = chance.choice(SIZES_MIB) + 1
        one = {
            "name": f"web{number:05}",
            "uuid": f"uuid {number}",
            "memory_mib": takes_mib - 1,
            "here": [],
        }
        guests.append(dict(one, needed_mib=takes_mib, takes_mib=takes_mib))
    each_mib = sum(guest["takes_mib"] for guest in guests) * room / hosts
    targets = {}
    for number in range(hosts):
        refused = [xm_plan.key(guest) for guest in guests if chance.random() < refuse]
        targets[f"xen{number:03}"] = {
            "free_mib": int(each_mib * chance.uniform(0.9, 1.1)),
            "needs": {},
            "refusals": {key: ["the bridge dmz0 is missing"] for key in refused},
        }
    return guests, targets


def seconds(given) -> float:
    """Of this process alone."""
    began = time.process_time()
    plan = xm_plan.plan(*given)
    took = time.process_time() - began
    if len(plan["placements"]) + len(plan["impossible"]) != len(given[0]):
        raise SystemExit("bench: the plan has lost a guest")
    return took


def growth(trouble: str) -> float:
    """How many times as long ten times the guests take; measured in turn, for as long a time each."""
    one, ten = [fleet(HOSTS, count, *TROUBLES[trouble]) for count in (GUESTS, 10 * GUESTS)]
    gc.disable()
    try:
        return statistics.median(
            10 * seconds(ten) / sum(seconds(one) for _ in range(10)) for _ in range(ROUNDS)
        )
    finally:
        gc.enable()


def measure() -> list[tuple[str, bool]]:
    times = {trouble: seconds(fleet(HOSTS, GUESTS, *kind)) for trouble, kind in TROUBLES.items()}
    shown = ", ".join(f"{trouble} {took:.2f} s" for trouble, took in times.items())
    each = fleet(HOSTS - 1, GUESTS // HOSTS, *TROUBLES["some refuse"])
    many = sum(seconds(each) for _ in range(HOSTS))
    factors = {trouble: growth(trouble) for trouble in ("room for all", "some refuse")}
    grown = ", ".join(f"{trouble} {factor:.1f}" for trouble, factor in factors.items())
    return [
        (shown, max(times.values()) < SECONDS),
        (f"{many:.2f} s", many < SECONDS),
        (f"{GUESTS} and {10 * GUESTS} guests: {grown}", max(factors.values()) <= GROWTH),
    ]
