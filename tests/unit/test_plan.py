"""Who goes where when a host is emptied. Runs on Python 2.7, too."""

import pytest

import xm_plan


def guest(name, memory_mib=100, **more):
    """One that takes as much as it has."""
    found = {"name": name, "uuid": "uuid of " + name, "memory_mib": memory_mib, "here": []}
    found.update(needed_mib=memory_mib, takes_mib=memory_mib)
    return dict(found, **more)


def target(free_mib, **refusals):
    """One that has so much memory, and refuses guests: by name, with the reason."""
    known = [(xm_plan.key(guest(name)), [why]) for name, why in refusals.items()]
    return {"free_mib": free_mib, "needs": {}, "refusals": dict(known)}


def where(plan):
    return dict([(one["name"], one["target"]) for one in plan["placements"]])


def reasons(plan):
    return dict([(one["name"], one["targets"]) for one in plan["impossible"]])


# -- Where ---------------------------------------------------------------------------------------


def test_the_largest_goes_first_to_where_most_is_left():
    guests = [guest("small", 100), guest("large", 400), guest("middle", 300)]
    plan = xm_plan.plan(guests, {"xen2": target(1000), "xen3": target(900)})
    assert where(plan) == {"large": "xen2", "middle": "xen3", "small": "xen2"}
    assert plan["impossible"] == [] and plan["after_mib"] == {"xen2": 500, "xen3": 600}


def test_among_those_with_the_same_memory_the_first_by_name_is_taken():
    plan = xm_plan.plan([guest("b"), guest("a")], {"xen3": target(500), "xen2": target(500)})
    assert where(plan) == {"a": "xen2", "b": "xen3"}


def test_nothing_to_place():
    plan = xm_plan.plan([], {"xen2": target(500)})
    assert plan == {"placements": [], "impossible": [], "after_mib": {"xen2": 500}}


def test_each_placement_says_why():
    plan = xm_plan.plan(
        [guest("web01", 300), guest("db01", 200)],
        {"xen2": target(900, db01="no"), "xen3": target(400)},
    )
    assert [one["why"] for one in plan["placements"]] == [
        "of those that can take it, xen2 has the most memory left (900 MiB, with it 600 MiB)",
        "no other host can take it (xen3 has 400 MiB left, with it 200 MiB)",
    ]


def test_those_with_few_targets_are_placed_first_where_not_all_fit_otherwise():
    # The largest would take the only place of the other.
    guests = [guest("any", 300), guest("bound", 200)]
    plan = xm_plan.plan(guests, {"xen2": target(400), "xen3": target(300, bound="no bridge")})
    assert where(plan) == {"any": "xen3", "bound": "xen2"} and plan["impossible"] == []


def test_targets_are_filled_up_where_not_all_fit_otherwise():
    guests = [guest("a", 600), guest("b", 500), guest("c", 500)]
    plan = xm_plan.plan(guests, {"xen2": target(1000), "xen3": target(600)})
    assert where(plan) == {"a": "xen3", "b": "xen2", "c": "xen2"}
    assert "the fullest that still has room" in plan["placements"][0]["why"]


def test_any_way_that_places_all_is_found():
    # Largest first onto the emptiest, or onto the fullest, leaves one without a place.
    guests = [guest("g%d" % size, size) for size in (50, 45, 40, 35, 20, 10)]
    plan = xm_plan.plan(guests, {"xen2": target(100), "xen3": target(100)})
    assert len(where(plan)) == 6 and plan["impossible"] == []
    assert all("so all find a place" in one["why"] for one in plan["placements"])


def test_it_is_not_tried_for_ever():
    guests = [guest("g%d" % number, 34) for number in range(90)]
    plan = xm_plan.plan(guests, dict([("x%d" % number, target(100)) for number in range(40)]))
    assert len(where(plan)) == 80


def test_the_way_that_places_most_is_taken_where_not_all_can():
    guests = [guest("a", 600), guest("b", 500), guest("c", 500), guest("huge", 5000)]
    plan = xm_plan.plan(guests, {"xen2": target(1000), "xen3": target(600)})
    assert sorted(where(plan)) == ["a", "b", "c"] and list(reasons(plan)) == ["huge"]


# -- Memory --------------------------------------------------------------------------------------


def test_what_is_to_stay_free_stays_free():
    plan = xm_plan.plan([guest("a"), guest("b")], {"xen2": target(250)}, spare_mib=60)
    assert where(plan) == {"a": "xen2"}
    assert reasons(plan) == {
        "b": {
            "xen2": [
                "100 MiB are needed there, and 250 MiB are free, of which 150 MiB are left when a has "
                "arrived; 60 MiB have to stay free (spare_mib)"
            ]
        }
    }


@pytest.mark.parametrize("free_mib, count", [(200, 1), (203, 1), (204, 2)])
def test_what_a_guest_needs_only_while_it_is_received_is_there_whichever_comes_last(
    free_mib, count
):
    guests = [guest(name, needed_mib=104) for name in ("a", "b")]
    assert len(where(xm_plan.plan(guests, {"xen2": target(free_mib)}))) == count


def test_a_target_may_want_more_for_a_guest_than_others_do():
    one = guest("web01", 100)
    wants_more = dict(target(150), needs={xm_plan.key(one): (160, 100)})
    plan = xm_plan.plan([one], {"xen2": wants_more, "xen3": target(120)})
    assert where(plan) == {"web01": "xen3"}
    (said,) = reasons(xm_plan.plan([one], {"xen2": wants_more}))["web01"]["xen2"]
    assert said == "160 MiB are needed there, and 150 MiB are free"


def test_a_target_of_which_the_memory_is_not_known_takes_nobody():
    plan = xm_plan.plan([guest("web01")], {"xen2": target(None)})
    assert reasons(plan) == {"web01": {"xen2": ["its free memory is not known"]}}
    assert plan["after_mib"] == {"xen2": None}


# -- What fits nowhere ---------------------------------------------------------------------------


def test_all_that_is_in_the_way_is_said_for_each_target():
    guests = [guest("a", 300), guest("web01", 200)]
    targets = {
        "xen2": target(400),
        "xen3": target(100, web01="no bridge"),
        "xen4": target(900, web01="cpu"),
    }
    targets["xen4"]["refusals"][xm_plan.key(guests[0])] = ["cpu"]
    assert reasons(xm_plan.plan(guests, targets)) == {
        "web01": {
            "xen2": [
                "200 MiB are needed there, and 400 MiB are free, of which 100 MiB are left when a has arrived"
            ],
            "xen3": ["no bridge", "200 MiB are needed there, and 100 MiB are free"],
            "xen4": ["cpu"],
        }
    }


def test_not_all_that_take_the_memory_are_named():
    guests = [guest("g%d" % number, 110 + number) for number in range(6)] + [guest("last", 100)]
    (said,) = reasons(xm_plan.plan(guests, {"xen2": target(700)}))["last"]["xen2"]
    assert said.endswith("of which 25 MiB are left when g0, g1, g2, g3 and 2 more have arrived")


def test_a_guest_that_cannot_leave_is_not_placed():
    (found,) = xm_plan.plan([guest("web01", here=["it is paused"])], {"xen2": target(500)})[
        "impossible"
    ]
    assert (found["here"], found["targets"]) == (["it is paused"], {"xen2": []})


def test_a_guest_that_nobody_has_described_is_not_placed():
    unknown = guest(
        "web01", needed_mib=None, takes_mib=None, memory_mib=None, uuid=None, here=["unseen"]
    )
    (found,) = xm_plan.plan([unknown], {"xen2": target(50), "xen3": target(None)})["impossible"]
    assert found == {
        "name": "web01",
        "uuid": None,
        "here": ["unseen"],
        "targets": {"xen2": [], "xen3": []},
    }


def test_without_targets_nothing_can_be_placed():
    (found,) = xm_plan.plan([guest("web01")], {})["impossible"]
    assert found["targets"] == {}


def test_two_guests_of_one_name_are_two():
    guests = [guest("web01"), guest("web01", uuid="another")]
    plan = xm_plan.plan(guests, {"xen2": target(150)})
    assert len(plan["placements"]) == len(plan["impossible"]) == 1


# -- In which order ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order, names",
    [
        ("largest", ["large", "middle", "small"]),
        ("smallest", ["small", "middle", "large"]),
        (["small"], ["small", "large", "middle"]),
        (["middle", "nobody", "small"], ["middle", "small", "large"]),
        ([], ["large", "middle", "small"]),
    ],
)
def test_the_order_in_which_they_are_sent(order, names):
    guests = [guest("small", 100), guest("large", 400), guest("middle", 300)]
    plan = xm_plan.plan(guests, {"xen2": target(1000)}, order=order)
    assert [one["name"] for one in plan["placements"]] == names


def moves(*targets):
    return [{"name": "g%d" % number, "target": name} for number, name in enumerate(targets)]


@pytest.mark.parametrize(
    "waiting, moving, parallel, now",
    [
        (["a", "b", "a"], [], 2, [0, 1]),
        (["a", "a", "b"], [], 2, [0, 2]),
        (["a", "a", "b"], [], 1, [0]),
        (["a", "a", "b"], ["a"], 2, [2]),
        (["a", "b"], ["c", "d"], 2, []),
        (["a", "a"], ["a"], 16, []),
        ([], ["a"], 2, []),
    ],
)
def test_what_can_be_sent_now(waiting, moving, parallel, now):
    waiting = moves(*waiting)
    assert xm_plan.next_moves(waiting, moves(*moving), parallel) == [
        waiting[number] for number in now
    ]
