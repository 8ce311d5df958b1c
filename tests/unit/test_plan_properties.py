"""For all fleets: no target ever has less memory than is needed there, and nobody is forgotten."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

import xm_plan

mib = st.integers(1, 400)
NAMES = ["g%d" % number for number in range(12)]
HOSTS = ["xen2", "xen3", "xen4", "xen5"]
ORDERS = st.one_of(st.sampled_from(xm_plan.ORDERS), st.lists(st.sampled_from(NAMES), unique=True))


@st.composite
def fleets(draw, refuse=True):
    guests = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        takes_mib = draw(mib)
        needed_mib = takes_mib + draw(st.sampled_from([0, 0, 0, 1, 9]))
        here = ["bound"] if refuse and draw(st.integers(0, 9)) == 0 else []
        uuid = draw(st.sampled_from([None, "u-" + name]))
        guests.append(dict(name=name, uuid=uuid, memory_mib=takes_mib, here=here))
        guests[-1].update(needed_mib=needed_mib, takes_mib=takes_mib)
    targets = {}
    for host in draw(st.lists(st.sampled_from(HOSTS), unique=True)):
        keys = [xm_plan.key(guest) for guest in guests]
        some = st.sets(st.sampled_from(keys)) if keys and refuse else st.just(set())
        needs = {key: (9, 3) for key in sorted(draw(some)) if draw(st.booleans())}
        refusals = {key: ["no"] for key in sorted(draw(some))}
        free_mib = draw(
            st.one_of(st.integers(0, 1500), st.sampled_from([None] if refuse else [700]))
        )
        targets[host] = {"free_mib": free_mib, "needs": needs, "refusals": refusals}
    return guests, targets


def needs(guest, target):
    own = (guest["needed_mib"], guest["takes_mib"])
    return target["needs"].get(xm_plan.key(guest)) or own


@given(fleet=fleets(), spare_mib=st.sampled_from([0, 0, 50]), order=ORDERS, seed=st.integers(0, 99))
def test_no_target_ever_has_too_little_memory_in_whatever_order_they_arrive(
    fleet, spare_mib, order, seed
):
    guests, targets = fleet
    plan = xm_plan.plan(guests, targets, spare_mib, order)
    known = {xm_plan.key(guest): guest for guest in guests}
    planned = plan["placements"]
    for arrivals in (planned, random.Random(seed).sample(planned, len(planned))):
        free = {host: target["free_mib"] for host, target in targets.items()}
        for one in arrivals:
            needed_mib, takes_mib = needs(known[xm_plan.key(one)], targets[one["target"]])
            assert free[one["target"]] >= needed_mib
            free[one["target"]] -= takes_mib
        used = {one["target"] for one in arrivals}
        assert all(free[host] >= spare_mib for host in used)
        assert free == plan["after_mib"]


@given(fleet=fleets(), spare_mib=st.sampled_from([0, 50]), order=ORDERS)
def test_every_guest_is_placed_or_impossible_with_all_reasons(fleet, spare_mib, order):
    guests, targets = fleet
    plan = xm_plan.plan(guests, targets, spare_mib, order)
    placed = [xm_plan.key(one) for one in plan["placements"]]
    impossible = {xm_plan.key(one): one for one in plan["impossible"]}
    assert sorted([*placed, *impossible]) == sorted(xm_plan.key(guest) for guest in guests)
    for guest in guests:
        key = xm_plan.key(guest)
        if key in placed:
            (one,) = [one for one in plan["placements"] if xm_plan.key(one) == key]
            assert not guest["here"] and not targets[one["target"]]["refusals"].get(key)
            continue
        assert set(impossible[key]["targets"]) == set(targets)
        for host, reasons in impossible[key]["targets"].items():
            assert guest["here"] or reasons
            assert reasons[:1] == (targets[host]["refusals"].get(key) or reasons[:1])


@given(fleet=fleets(), order=ORDERS, seed=st.integers(0, 99))
def test_the_order_of_what_is_given_does_not_matter(fleet, order, seed):
    guests, targets = fleet
    shuffle = random.Random(seed)
    again = dict(shuffle.sample(sorted(targets.items()), len(targets)))
    plan = xm_plan.plan(guests, targets, 0, order)
    assert xm_plan.plan(shuffle.sample(guests, len(guests)), again, 0, order) == plan


@given(fleet=fleets(), spare_mib=st.sampled_from([0, 50]))
def test_a_single_guest_finds_a_place_exactly_when_there_is_one(fleet, spare_mib):
    guests, targets = fleet
    for guest in guests:
        rooms = [
            host
            for host, target in targets.items()
            if target["free_mib"] is not None
            and not guest["here"]
            and not target["refusals"].get(xm_plan.key(guest))
            and target["free_mib"] >= needs(guest, target)[0]
            and target["free_mib"] - needs(guest, target)[1] >= spare_mib
        ]
        found = [one["target"] for one in xm_plan.plan([guest], targets, spare_mib)["placements"]]
        assert bool(found) == bool(rooms) and set(found) <= set(rooms)


def fit(guests, targets, hosts):
    """Whether each guest can go to the host that it has here, all of them together."""
    for host, target in targets.items():
        here = [
            needs(guest, target) for guest, name in zip(guests, hosts, strict=True) if name == host
        ]
        if here and target["free_mib"] is None:
            return False
        taken_mib = sum(takes_mib for _, takes_mib in here)
        slack_mib = max([needed_mib - takes_mib for needed_mib, takes_mib in here] or [0])
        if here and target["free_mib"] - taken_mib < slack_mib:
            return False
    return not any(
        targets[name]["refusals"].get(xm_plan.key(guest))
        for guest, name in zip(guests, hosts, strict=True)
    )


@given(fleet=fleets(), room=st.floats(0.9, 1.2))
def test_all_are_placed_where_there_is_a_way_to_place_all(fleet, room):
    guests, targets = fleet
    guests = [guest for guest in guests if not guest["here"]][:5]
    targets = dict(sorted(targets.items())[:3])
    for target in targets.values():
        # As much as it takes, about.
        target["free_mib"] = int(room * sum(guest["takes_mib"] for guest in guests) / len(targets))
    ways = itertools.product(targets, repeat=len(guests))
    if any(fit(guests, targets, hosts) for hosts in ways):
        assert xm_plan.plan(guests, targets)["impossible"] == []


@given(fleet=fleets(refuse=False))
def test_targets_stay_balanced(fleet):
    """Where all are taken everywhere, no target that got one is fuller than another by more than that one."""
    guests, targets = fleet
    plan = xm_plan.plan(guests, targets)
    if not all(
        "the most memory" in one["why"] or "no other" in one["why"] for one in plan["placements"]
    ):
        return
    known = {xm_plan.key(guest): guest for guest in guests}
    for host in targets:
        here = [known[xm_plan.key(one)] for one in plan["placements"] if one["target"] == host]
        if here and not plan["impossible"]:
            smallest_mib = min(guest["takes_mib"] for guest in here)
            assert max(plan["after_mib"].values()) - plan["after_mib"][host] <= smallest_mib


@given(fleet=fleets(), order=ORDERS)
def test_guests_are_sent_in_the_order_that_is_asked_for(fleet, order):
    sent = xm_plan.plan(*fleet, order=order)["placements"]
    if order in xm_plan.ORDERS:
        sizes = [one["memory_mib"] for one in sent]
        assert sizes == sorted(sizes, reverse=order == "largest")
    else:
        named = [one["name"] for one in sent if one["name"] in order]
        assert (
            named == [one["name"] for one in sent][: len(named)] == sorted(named, key=order.index)
        )


@given(
    targets=st.lists(st.sampled_from(HOSTS), max_size=12),
    parallel=st.integers(1, 5),
    finished=st.randoms(use_true_random=False),
)
def test_all_are_sent_never_too_many_at_once_and_one_at_a_time_to_each(targets, parallel, finished):
    waiting = [{"name": str(number), "target": name} for number, name in enumerate(targets)]
    moving, sent = [], []
    while waiting:
        now = xm_plan.next_moves(waiting, moving, parallel)
        moving += now
        sent += now
        waiting = [one for one in waiting if one not in now]
        assert moving and len(moving) <= parallel
        assert len({one["target"] for one in moving}) == len(moving)
        # Nobody waits who could be sent.
        assert not xm_plan.next_moves(waiting, moving, parallel)
        moving.remove(finished.choice(moving))
    assert sorted(int(one["name"]) for one in sent) == list(range(len(targets)))
