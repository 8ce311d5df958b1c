"""What a compromised host may tell its master: another answer than the true one, to any question.

Here: the lies that a simulated host has been told to tell, how they alter an answer, and a table of them over
every field of an answer. A minion of the lab tells them in the executor `tests/lab/liar_executors/liar.py`.
"""

import copy
import json
import time
from pathlib import Path

from tests.lab.layout import write_atomic

LIES = "control/lies.json"
STATES = ("state.sls", "state.apply")
ALL = "*"
HUGE = 300_000
DEEP = 40


def path_of(root) -> Path:
    """Where the host at `root` has its lies: {question: lie}, see `told`."""
    return Path(root) / LIES


def tell(host, **lies) -> None:
    """Let a host lie from now on; the keywords are questions with `__` for a dot and `_of_` for a space:
    `xm__report`, `state__sls_of_xend__orch__send`. None are no lies at all."""
    named = {key.replace("_of_", " ").replace("__", "."): lie for key, lie in lies.items()}
    tell_all(host, named)


def tell_all(host, lies) -> None:
    """The same with questions as they are: "xm.report", "state.sls xend.orch.send"."""
    write_atomic(path_of(host.root), json.dumps(lies))


def be_honest(host) -> None:
    path_of(host.root).unlink(missing_ok=True)


def question(function, arguments) -> str:
    """What a job asks: its function, and for states which SLS."""
    if function in STATES and arguments:
        return "%s %s" % (function, arguments[0])
    return function


def lie_about(path, function, arguments=()):
    """The lie for this job in the file at `path`, or None."""
    try:
        lies = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None
    return lies.get(question(function, arguments), lies.get(ALL))


def told(lie, act):
    """What is answered where `act()` would return the truth.

    lie -- a dict, done in this order: "sleep" (seconds), "answer" (instead of the truth, which is not even
           asked), "change" (a list of [path, value]; a path is a list of keys and numbers, "*" is each of
           them; one that is not there is added), "drop" (a list of paths), "pad" (so many characters of
           text instead)
    """
    if "sleep" in lie:
        time.sleep(lie["sleep"])
    answer = copy.deepcopy(lie["answer"]) if "answer" in lie else act()
    for path, value in lie.get("change", ()):
        answer = changed(answer, path, value)
    for path in lie.get("drop", ()):
        answer = without(answer, path)
    return "x" * lie["pad"] if "pad" in lie else answer


def changed(answer, path, value):
    """A copy of `answer` with this value at `path`."""
    if not path:
        return copy.deepcopy(value)
    return _at(answer, path, lambda inner: changed(inner, path[1:], value))


def without(answer, path):
    """A copy of `answer` that lacks what is at `path`."""
    if len(path) > 1:
        return _at(answer, path, lambda inner: without(inner, path[1:]))
    if isinstance(answer, dict):
        return {key: value for key, value in answer.items() if key != path[0] and path[0] != ALL}
    return answer


def _at(answer, path, alter):
    step = path[0]
    if isinstance(answer, dict):
        keys = list(answer) if step == ALL else [step]
        return {**answer, **{key: alter(answer.get(key)) for key in keys}}
    if isinstance(answer, list):
        chosen = range(len(answer)) if step == ALL else [step]
        longer = answer + [None] * (len(answer) in chosen)
        return [alter(one) if number in chosen else one for number, one in enumerate(longer)]
    return {step: alter(None)} if step != ALL else answer


# A table of lies over every field of a true answer.


def fields(answer, path=()):
    """The path of every field of an answer, and of every part; of lists only the first one's."""
    yield list(path)
    inner = []
    if isinstance(answer, dict):
        inner = list(answer.items())
    elif isinstance(answer, list) and answer:
        inner = [(0, answer[0])]
    for key, value in inner:
        yield from fields(value, (*path, key))


def at(answer, path):
    """What an answer has at `path`; None where there is nothing."""
    for step in path:
        try:
            answer = answer[step]
        except (KeyError, IndexError, TypeError):
            return None
    return answer


def nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def wrong_forms():
    """{kind: value} of what no field of another type may be."""
    return {
        "null": None,
        "true": True,
        "text": "web01",
        "number": 7,
        "negative": -1,
        "huge": 10**18,
        "fraction": 0.5,
        "endless": float("inf"),
        "no number": float("nan"),
        "list": [],
        "list of all": [None, 1, "x", [], {}],
        "mapping": {},
        "mapping of all": {"copy": "running", "uuid": [], "0": None},
        "nested": nested(DEEP),
        "empty": "",
    }


def texts(canary):
    """{kind: text} that means something to whatever handles it carelessly.

    canary -- a path that nobody may make, as all commands in these would
    """
    return {
        "escape": "\x1b]0;x\x07\x1b[31mweb01\x1b[2J",
        "lines": "web01\n  Succeeded: 9\r\n",
        "nul": "web01\x00",
        "separator": "a\x85b\u2028c\ufffe",
        "lone half": "\udcff",
        "direction": "web01\u202egpj.\u2066exe\u200b",
        "jinja": "{{ %d * %d }}" % FACTORS,
        "jinja error": "{{ 1 / 0 }}",
        "jinja block": "{% raw %}{% endif %}",
        "jinja command": "{{ salt['cmd.run']('touch %s') }}" % canary,
        "yaml": "web01: {a: [&b *c\n- d",
        "yaml object": "!!python/object/apply:os.system ['touch %s']" % canary,
        "shell": "web01; touch %s; $(touch %s) `touch %s`" % (canary, canary, canary),
        "option": "--help",
        "format": "%s%d%(name)s{0}{name}",
        "parents": "../../../../etc/cron.d/web01",
        "quotes": "\"'\\",
        "long": "w" * HUGE,
        "none": "None",
    }


# What the text of the kind "jinja" becomes when somebody renders it.
FACTORS = (7919, 6761)
RENDERED = str(FACTORS[0] * FACTORS[1])


def table(answer, canary):
    """Yield (path, kind, value) of every lie about every field of a true answer."""
    for path in fields(answer):
        true = at(answer, path)
        for kind, value in {**wrong_forms(), **texts(canary)}.items():
            if value is not true and not (type(value) is type(true) and value == true):
                yield path, kind, value
