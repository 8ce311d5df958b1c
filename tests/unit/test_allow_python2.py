"""
xend_allow against a real Python 2.7, whose `re` is the one that xend uses (2.4 to 2.7).
The interpreter comes from XEND_PYTHON2 or the search path; without one these tests are skipped.
"""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import xend_allow

UTILS = Path(__file__).resolve().parents[2] / "_utils"

JUDGE = r"""
import json, re, sys
patterns, texts = json.load(sys.stdin)
decisions = []
for pattern in patterns:
    try:
        compiled = re.compile(pattern.encode("latin-1"))
    except Exception:
        decisions.append(None)
    else:
        decisions.append([bool(compiled.match(text.encode("latin-1"))) for text in texts])
json.dump(decisions, sys.stdout)
"""

SELF = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import xend_allow
entries, regexes, texts = json.load(sys.stdin)
values = [xend_allow.patterns(listed) for listed in entries]
decisions = []
for regex in regexes:
    decision = [xend_allow.admits(regex, text, text) for text in texts]
    broken = "does not start" in decision[0]["reason"]
    decisions.append(None if broken else [one["accepted"] for one in decision])
loose = [xend_allow.loose(regex) != [] for regex in regexes]
json.dump([values, decisions, loose], sys.stdout)
"""

PIECES = (
    list("ab1.x^$|()[]-*+?{},Z")
    + ["(?:", "(?P<n>", "(?P=n)", "(?=", "(?!", "(?<=", "(?>", "(?i:", "(?a)", "(?#c)", "[^", "{2}"]
    + ["(?(1)", "(?(1)a|b)", "(?(2)a)"]
    + ["{1,2}", "{,1}", "[a-b]", "[^a]", "[[a]", "[a&&b]", "a*", "(a", "a)", "*?", "++", "{2}+"]
    + ["\\" + escape for escape in "d w s l Z z A b B u N 1 10 101 400 777 0 x41 x4 . - e".split()]
)
TEXTS = [
    "a",
    "b",
    "ab",
    "aa",
    "1",
    "10.0.0.1",
    "x.a",
    "Z",
    "z",
    "l",
    "A",
    "u",
    "N",
    "e",
    ".",
    "^",
    "\xe9",
    "\xff",
    "[",
    "&",
    "-",
    "a-",
    "a\x01",
    "\x08",
]


def regexes(seed, count):
    rng = random.Random(seed)
    return ["".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6))) for _ in range(count)]


def ask_python2(program, document, *arguments):
    """What a program prints under Python 2.7 that is given a JSON document."""
    python = os.environ.get("XEND_PYTHON2") or shutil.which("python2.7") or "python2.7"
    done = subprocess.run(
        [python, "-B", "-W", "ignore", "-c", program, *arguments],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(done.stdout)


try:
    ask_python2("import json, sys; json.load(sys.stdin); print(1)", [])
except (OSError, subprocess.SubprocessError):
    pytest.skip("no Python 2.7: set XEND_PYTHON2 to its path", allow_module_level=True)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_decisions_equal_those_of_python2():
    candidates = regexes(24, 4000)
    judged = ask_python2(JUDGE, [candidates, TEXTS])
    valid = 0
    for regex, wanted in zip(candidates, judged, strict=True):
        decisions = [xend_allow.admits(regex, text, text) for text in TEXTS]
        if wanted is None:
            assert "does not start" in decisions[0]["reason"], regex
        else:
            valid += 1
            assert [one["accepted"] for one in decisions] == wanted, regex
    assert valid > 500


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_module_itself_says_the_same_under_python2():
    rng = random.Random(5)
    entries = [["any"], [".example.com", "Xen1.example.com", {"regex": "^a\\.b$"}]]
    for _ in range(50):
        entries.append(
            [
                "10.%d.%d.%d" % tuple(rng.randrange(256) for _ in range(3))
                for _ in range(rng.randint(1, 200))
            ]
            + ["172.16.0.0/12"]
        )
    candidates = regexes(25, 1000)
    values, decisions, loose = ask_python2(SELF, [entries, candidates, TEXTS], str(UTILS))
    assert values == [xend_allow.patterns(listed) for listed in entries]
    for regex, wanted, found in zip(candidates, decisions, loose, strict=True):
        here = [xend_allow.admits(regex, text, text) for text in TEXTS]
        broken = "does not start" in here[0]["reason"]
        assert (None if broken else [one["accepted"] for one in here]) == wanted, regex
        assert (xend_allow.loose(regex) != []) == found, regex


def test_our_patterns_compile_and_decide_under_python2():
    rng = random.Random(6)
    numbers = rng.sample(range(65536), 1000)
    chosen = ["10.20.%d.%d" % divmod(number, 256) for number in numbers[:500]]
    others = ["10.20.%d.%d" % divmod(number, 256) for number in numbers[500:]]
    judged = ask_python2(JUDGE, [xend_allow.patterns(chosen), chosen + others])
    assert None not in judged
    assert [any(row) for row in zip(*judged, strict=True)] == [True] * 500 + [False] * 500
