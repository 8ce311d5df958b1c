"""
The table that `salt-run xend.matrix` shows: who lets whom in, and how each host is. A few hosts fit a narrow
terminal in words, fifty with one character for each pair; what is not well is said below in sentences, one
for all whom it concerns. Nothing here asks anybody, or knows Salt.
"""

# What stands for an answer, as a word and as one character: of the host itself, of one that was not asked, of
# one that lets in, and of one that does not.
WORDS = {"own": "-", None: "?", True: "yes", False: "NO"}
MARKS = {"own": "-", None: "?", True: "+", False: "X"}
LEGEND = "Row: who asks; column: who lets it in (%s), or does not (%s); ?: not known"

# What is shown of a host before that: the heading, whether it is a figure, and the cell.
NAMED = (
    ("", True, lambda number, name, said: str(number)),
    ("from", False, lambda number, name, said: name),
)
FACTS = NAMED + (
    ("Xen", False, lambda number, name, said: said["version"] or "?"),
    ("free MiB", True, lambda number, name, said: _figure(said["free_mib"])),
    ("guests", True, lambda number, name, said: _figure(said["guests"])),
)

# And after that: whether it is so, and the word for it. The sentences say more.
REMARKS = (
    (lambda said: said["closed"], "closed"),
    (lambda said: said["pending"], "restart"),
    (lambda said: said.get("problem"), "silent"),
)

PENDING = "a restart of xend is pending: %s"

# So many names are read; of more, how many they are.
MOST_NAMES = 6
VERSION_LETTERS = 12


def table(found, width, utility):
    """
    The table, as a list of lines.

    found
        for each host, in the order of the rows, a dict: ``into``, a dict from each other host that it has
        asked to ``result`` and ``message``; ``version``, ``free_mib``, ``guests``, ``closed`` (why it takes
        no guests) and ``pending`` (why its xend is to be restarted, a list), None for what is not known;
        ``problem`` and ``remedy``, where it has not said all of that; and ``wrong``, what is wrong with all
        of them together, a list of sentences
    width
        how many characters fit a line
    utility
        a function from the name of another utility to that utility
    """
    legible = utility("xm_heard").legible
    hosts = [(name, _shown(found[name], legible)) for name in found]
    lines, cells = _in_words(hosts), WORDS
    if _widest(lines) > width:
        lines, cells = _in_marks(hosts, FACTS, _remarks), MARKS
    if _widest(lines) > width:
        lines = _facts(hosts) + [""] + _in_marks(hosts, NAMED, lambda said: "")
    return lines + ["", LEGEND % (cells[True], cells[False])] + _sentences(hosts)


def _shown(said, legible):
    shown = dict(said, version=said["version"] and legible(said["version"], VERSION_LETTERS))
    shown["pending"] = legible("; ".join(said["pending"] or []))
    shown["closed"] = said["closed"] and legible(said["closed"])
    return shown


def _figure(value):
    return "?" if value is None else str(value)


def _widest(lines):
    return max([len(line) for line in lines])


# The rows


def _in_words(hosts):
    numbers = [str(number) for number in range(1, len(hosts) + 1)]
    rows = [[heading for heading, _is_figure, _cell in FACTS] + numbers]
    for number, (name, said) in enumerate(hosts):
        cells = [WORDS[_answer(name, other, said)] for other, _said in hosts]
        rows.append(_cells(FACTS, number, name, said) + cells + [_remarks(said)])
    rows[0].append("")
    return _aligned(rows, FACTS)


def _in_marks(hosts, columns, remarks):
    """
    One character for each pair. The number of each column stands above it, one digit below the other.
    """
    digits = len(str(len(hosts)))
    numbers = [str(number).rjust(digits) for number in range(1, len(hosts) + 1)]
    above = ["".join([number[digit] for number in numbers]) for digit in range(digits)]
    rows = [[""] * len(columns) + [line, ""] for line in above]
    rows[-1][: len(columns)] = [heading for heading, _is_figure, _cell in columns]
    for number, (name, said) in enumerate(hosts):
        marks = "".join([MARKS[_answer(name, other, said)] for other, _said in hosts])
        rows.append(_cells(columns, number, name, said) + [marks, remarks(said)])
    return _aligned(rows, columns)


def _facts(hosts):
    rows = [[heading for heading, _is_figure, _cell in FACTS] + [""]]
    for number, (name, said) in enumerate(hosts):
        rows.append(_cells(FACTS, number, name, said) + [_remarks(said)])
    return _aligned(rows, FACTS)


def _cells(columns, number, name, said):
    return [cell(number + 1, name, said) for _heading, _is_figure, cell in columns]


def _remarks(said):
    return ", ".join([word for is_so, word in REMARKS if is_so(said)])


def _answer(name, other, said):
    if name == other:
        return "own"
    answer = said["into"].get(other)
    return answer and answer["result"] == "accepted"


def _aligned(rows, columns):
    widths = [max([len(cell) for cell in column]) for column in zip(*rows)]
    figures = [is_figure for _heading, is_figure, _cell in columns]
    figures += [False] * (len(widths) - len(figures))
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if is_figure else cell.ljust(width)
            for cell, width, is_figure in zip(row, widths, figures)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


# The sentences


def _sentences(hosts):
    """
    What is not well, each sentence once, with all hosts of which it is true.
    """
    names, said, lines = [name for name, _said in hosts], dict(hosts), []
    for askers, doors in _kept_out(hosts):
        asker = [name for name in askers if name != doors[0]][0]
        door = [name for name in doors if name != asker][0]
        answer = said[asker]["into"][door]
        whole = "all hosts" if len(doors) == len(names) else "all others"
        words = [_listed(askers, doors, names, whole), _listed(doors, askers, names, "all others")]
        words.append(answer["result"])
        is_one_pair = len(askers) == len(doors) == 1
        words.append(answer["message"] if is_one_pair else "%s says: %s" % (asker, answer["message"]))
        lines.append("%s to %s: %s: %s" % tuple(words))
    lines += _shared([(name, said[name]["closed"]) for name in names])
    lines += _shared([(name, said[name]["pending"] and PENDING % said[name]["pending"]) for name in names])
    lines += _problems(hosts)
    # What is wrong with all of them together, each of them has.
    told = [text for name in names for text in said[name].get("wrong") or []]
    return lines + [text for number, text in enumerate(told) if text not in told[:number]]


def _problems(hosts):
    remedies, problems = {}, []
    for name, said in hosts:
        if said.get("problem"):
            # Those of others differ by their names alone.
            remedy = remedies.setdefault(said["problem"], said.get("remedy"))
            problems.append((name, ". ".join([text for text in (said["problem"], remedy) if text])))
    return _shared(problems)


def _shared(texts):
    """
    Sentences from pairs of a host and a text, or None; where several hosts have the same one, there is one.
    """
    order, whose = [], {}
    for name, text in texts:
        if text and text not in whose:
            order.append(text)
        whose.setdefault(text, []).append(name)
    return [_of(whose[text], text) for text in order]


def _of(names, text):
    begins = len(names) == 1 and text.startswith(names[0] + " ")
    return text if begins else "%s: %s" % (_few(names), text)


def _few(names):
    if len(names) <= MOST_NAMES + 1:
        return ", ".join(names)
    return "%s and %d more" % (", ".join(names[:MOST_NAMES]), len(names) - MOST_NAMES)


def _listed(some, others, names, all_of_them):
    # Nobody asks himself.
    most = len(names) - 1 if len(others) == 1 else len(names)
    return all_of_them if len(names) > 2 and len(some) >= most else _few(some)


def _kept_out(hosts):
    """
    Who is let in nowhere, and who lets nobody in, in as few groups as it takes.

    Returns a list of pairs, the largest first: hosts that have asked, and hosts that have not let them in,
    none of the latter any of the former but itself, all with the same result.
    """
    by_result = {}
    for name, said in hosts:
        for other, answer in said["into"].items():
            if answer["result"] != "accepted":
                by_result.setdefault(answer["result"], set()).add((name, other))
    names = sorted([name for name, _said in hosts])
    found = []
    for result in sorted(by_result):
        left = by_result[result]
        while left:
            askers, doors = _largest(left, names)
            left = left - set([(asker, door) for asker in askers for door in doors])
            found.append((askers, doors))
    return sorted(found, key=lambda group: -len(group[0]) * len(group[1]))


def _largest(pairs, names):
    """
    The most of these pairs that are all hosts of one list with all of another.
    """
    candidates = []
    for by_door in (True, False):
        sets, groups = {}, {}
        for asker, door in pairs:
            one, other = (door, asker) if by_door else (asker, door)
            sets.setdefault(one, set()).add(other)
        for one in sorted(sets):
            # Nobody asks himself.
            is_all = len(names) > 2 and len(sets[one]) == len(names) - 1
            groups.setdefault(tuple(names if is_all else sorted(sets[one])), []).append(one)
        for others in sorted(groups):
            size = sum([len(sets[one]) for one in groups[others]])
            askers, doors = (others, groups[others]) if by_door else (groups[others], others)
            candidates.append((size, list(askers), list(doors)))
    most = max([size for size, _askers, _doors in candidates])
    return [(askers, doors) for size, askers, doors in candidates if size == most][0]
