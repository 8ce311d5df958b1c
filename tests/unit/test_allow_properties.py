"""
Properties of xend_allow over generated entries: exactness, compactness, honest errors.
The judge of who is inside a network is the standard ipaddress module, never the code under test.
"""

import ipaddress
import json
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xend_allow

LAST = 2**32 - 1
# Ten thousand with the thorough profile.
SETS = 10 * settings().max_examples


def dotted(number):
    return str(ipaddress.IPv4Address(number))


def network(number, prefix):
    return ipaddress.ip_network((number, prefix), strict=False)


def texts(networks):
    """Write networks as a person would: a single host without its prefix length."""
    return [str(net.network_address) if net.prefixlen == 32 else str(net) for net in networks]


def spans(networks):
    """Return ascending (first, last) numbers of the union, by ipaddress."""
    return [
        (int(net.network_address), int(net.broadcast_address))
        for net in ipaddress.collapse_addresses(networks)
    ]


def probes(networks, rng):
    """Return numbers at and around every edge, inside every network and anywhere."""
    numbers = {0, LAST, rng.randrange(LAST)}
    for first, last in spans(networks):
        middle = rng.randint(first, last)
        numbers.update((first - 1, first, first + 1, middle, last - 1, last, last + 1))
        numbers.update((first ^ 1 << rng.randrange(32), last ^ 1 << rng.randrange(32)))
    return [number for number in numbers if 0 <= number <= LAST]


def admitting(patterns):
    compiled = [re.compile(pattern) for pattern in patterns]
    return lambda text: any(expression.match(text) for expression in compiled)


def assert_exact(networks, rng):
    """Check one set of networks; return how many decisions were compared."""
    made = xend_allow.patterns(texts(networks))
    admits = admitting(made)
    numbers = probes(networks, rng)
    for number in numbers:
        address = ipaddress.IPv4Address(number)
        octets = str(address).split(".")
        octets[rng.randrange(4)] = rng.choice(("256", "300", "00", ""))
        assert not admits(".".join(octets)), (texts(networks), octets, made)
        wanted = any(address in net for net in networks)
        assert admits(str(address)) is wanted, (texts(networks), str(address), made)
    return len(numbers)


def test_many_sets_of_networks_are_exact():
    rng = random.Random(20061)
    decisions = 0
    for _ in range(SETS):
        base = rng.randrange(2**32)
        networks = []
        for _ in range(rng.choice((1, 1, 2, 3, 5))):
            # Mostly near each other, so that edges touch, overlap and carry over octets.
            near = base + rng.randint(-(2 ** rng.randrange(1, 28)), 2 ** rng.randrange(1, 28))
            number = rng.choice((near, near, near, rng.randrange(2**32))) % 2**32
            networks.append(network(number, rng.choice((32, 32, 31, rng.randint(0, 32)))))
        decisions += assert_exact(networks, rng)
    assert decisions > 10 * SETS


@pytest.mark.parametrize("prefix", range(33))
def test_every_prefix_length_is_exact_at_the_edges(prefix):
    rng = random.Random(prefix)
    for base in (0, LAST, 0x0A140000, 0xC0A80163, 0x7FFFFFFF):
        assert_exact([network(base, prefix)], rng)


def test_every_address_of_a_sixteen_bit_network_is_judged_right():
    rng = random.Random(7)
    chosen = {0x0A140000 + rng.randrange(65536) for _ in range(1000)}
    admits = admitting(xend_allow.patterns([dotted(number) for number in sorted(chosen)]))
    for number in range(0x0A140000 - 2, 0x0A140000 + 65536 + 2):
        assert admits(dotted(number)) is (number in chosen), dotted(number)


addresses = st.integers(0, LAST)
networks_lists = st.lists(st.builds(network, addresses, st.integers(0, 32)), min_size=1, max_size=8)


@given(networks_lists, st.randoms(use_true_random=False))
def test_any_set_of_networks_is_exact(networks, rng):
    assert_exact(networks, rng)


@given(networks_lists, st.randoms(use_true_random=False))
def test_order_and_repetition_of_addresses_do_not_matter(networks, rng):
    shuffled = networks + networks[:2]
    rng.shuffle(shuffled)
    assert xend_allow.patterns(texts(shuffled)) == xend_allow.patterns(texts(networks))


@given(networks_lists)
def test_dotted_masks_say_the_same(networks):
    assert xend_allow.patterns([net.with_netmask for net in networks]) == xend_allow.patterns(
        [net.with_prefixlen for net in networks]
    )


@given(networks_lists, addresses, st.sampled_from(("0%s", "%s0", "%s.", "%s.1", "x%s", "%sx")))
def test_what_is_no_address_is_never_admitted(networks, number, frame):
    text = frame % dotted(number)
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        assert not admitting(xend_allow.patterns(texts(networks)))(text)


label = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,6}[a-z0-9_])?", fullmatch=True)
top = st.from_regex(r"[a-z]{2,6}", fullmatch=True)
names = st.builds(
    lambda labels, last: ".".join(labels + [last]), st.lists(label, min_size=1, max_size=4), top
)
entries = st.one_of(
    names,
    names.map(lambda name: "." + name),
    addresses.map(dotted),
    st.builds(network, addresses, st.integers(0, 32)).map(str),
)


@given(st.lists(entries, min_size=1, max_size=12))
def test_every_value_is_fit_for_xend(listed):
    made = xend_allow.patterns(listed)
    assert made and len(made) == len(set(made))
    for pattern in made:
        assert re.compile(pattern).groups < 100
        assert pattern.startswith("^") and pattern.endswith("$")
        assert re.fullmatch(r"[0-9A-Za-z^$.|()\[\]{}+\\_-]+", pattern)
    assert xend_allow.split(xend_allow.join(made)) == made


@given(names, names, st.sampled_from("-x0"))
def test_a_name_admits_itself_alone(name, other, filler):
    admits = admitting(xend_allow.patterns([name]))
    assert admits(name)
    assert admits(other) is (other == name)
    for wrong in (name + "." + other, other + "." + name, name.replace(".", filler, 1), name + "x"):
        assert not admits(wrong)


@given(names, names, st.sampled_from("-x0"))
def test_a_domain_admits_what_is_below_it_alone(domain, other, filler):
    admits = admitting(xend_allow.patterns(["." + domain]))
    assert admits(other + "." + domain)
    assert not admits(domain)
    assert admits(other) is other.endswith("." + domain)
    for wrong in (
        other + filler + domain.replace(".", filler),
        domain + "." + other + "x",
        "." + domain,
        other + ".." + domain,
    ):
        assert not admits(wrong)


@given(st.text(alphabet="ab1.0/:* \t-_^$xn\u00fc'\"25", min_size=1, max_size=14))
def test_any_text_becomes_exact_patterns_or_an_error_that_names_it(text):
    try:
        made = xend_allow.patterns([text])
    except ValueError as error:
        shown = text if text.isascii() and text.isprintable() else json.dumps(text)
        assert shown in str(error)
        assert "\n" not in str(error)
    else:
        assert len(made) >= 1
        assert not re.search(r"[\s'\"]", "".join(made))


@given(st.text(alphabet="ab1.^$|()[]*+?{},\\dZ:i=", min_size=1, max_size=10))
def test_any_regex_is_kept_or_refused_by_name(text):
    try:
        made = xend_allow.patterns([{"regex": text}])
    except ValueError as error:
        assert text in str(error)
    else:
        assert made == [text]
        stranger = xend_allow.admits(text, "203.0.113.9", "no-such.host.invalid")
        assert "does not start" not in stranger["reason"]


# Python 3 says of some expressions that they will change.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(st.text(alphabet="ab10.^$|()[]*+?\\, \t/-", max_size=14))
def test_loose_never_fails_and_its_examples_are_true(value):
    for found in xend_allow.loose(value):
        assert found["severity"] in ("error", "warning", "info")
        assert found["pattern"] in value.split(" ")
        _, told, example = found["message"].partition(": it also admits ")
        if told:
            assert xend_allow.admits(found["pattern"], "x", example)["accepted"]


def test_a_thousand_random_addresses_fit_in_a_third_and_match_no_slower():
    rng = random.Random(1000)
    chosen = [dotted(0x0A140000 + number) for number in rng.sample(range(65536), 1000)]
    merged = xend_allow.patterns(chosen)
    single = [pattern for address in chosen for pattern in xend_allow.patterns([address])]
    assert len(single) == 1000
    assert len(merged) <= 5
    assert 3 * len(xend_allow.join(merged)) < len(xend_allow.join(single))
    assert max(map(len, merged)) < 3000

    def seconds(patterns):
        compiled = [re.compile(pattern) for pattern in patterns]
        best = float("inf")
        for _ in range(3):
            # The time of this process alone: the machine has other things to do, too.
            started = time.process_time()
            for address in chosen[::20] + ["203.0.113.9", "xen1.example.com"]:
                any(expression.match(address) for expression in compiled)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(merged) <= seconds(single)


@pytest.mark.parametrize("count", (200, 350, 500, 1000, 4000))
def test_no_pattern_has_the_hundred_groups_that_python2_refuses(count):
    rng = random.Random(count)
    chosen = [dotted(0x0A140000 + number) for number in rng.sample(range(65536), count)]
    assert max(re.compile(made).groups for made in xend_allow.patterns(chosen)) < 100


def test_structured_sets_become_one_short_pattern():
    for listed, limit in (
        ([dotted(0x0A140000 + number) for number in range(256)], 80),
        (["10.20.%d.7" % number for number in range(256)], 80),
        (["10.20.0.%d" % number for number in range(11, 43)], 60),
        (["10.%d.0.0/16" % number for number in range(256)], 80),
    ):
        made = xend_allow.patterns(listed)
        assert len(made) == 1
        assert len(made[0]) <= limit, made
