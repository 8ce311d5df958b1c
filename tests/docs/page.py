"""A page of the documentation as what a reader does with it, from top to bottom.

Pure: the text of a page in, its steps out. What the comments in it mean is told in CONTRIBUTING.md.
"""

import re
import shlex
from dataclasses import dataclass, field

FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)\s*$")
# What a reader takes for one all the same, or for a comment to the lab.
LIKE_A_FENCE = re.compile(r"^[\s>*+-]*(`{3,}|~{3,})")
LIKE_A_COMMENT = re.compile(r"<!--\s*lab\b", re.IGNORECASE)
# Those of blocks that nobody types; a command in one of another name would never be run.
OTHERS = ("", "ini", "json", "python", "yaml", "yml")
# What a reader takes for a command, wherever it stands.
LIKE_A_COMMAND = re.compile(
    r"\s*(?:\$ \S|(?:\S*/)?(?:salt|salt-(?:call|key|run)|xm|xend|service|systemctl|make|git|pip|python3?) )"
)
COMMENT = re.compile(r"^\s*<!--\s*lab:\s*(.*?)\s*-->\s*$")
# The first line of a file that a reader is to make, or to add to: where it is.
PLACE = re.compile(r"^\s*(?:#|//|--)\s+(added to )?(/\S+?)[,:;]?(?:\s.*)?$")
HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
CONSOLE, SHELL = "console", "sh"


class Wrong(Exception):
    """A page is not of the form that can be run."""

    def __init__(self, line, text):
        super().__init__(text)
        self.line = line


@dataclass
class Command:
    """What a reader types, and what the page shows of its output: None in a block of `sh`."""

    line: int
    text: str
    output: str | None = None


@dataclass
class Block:
    """A fenced block.

    notes -- what comments say of it: exit, on, background, ctrl_c, meanwhile, not_run, wrong
    place, is_added -- where it is a file: its path, and whether it is merged into the one that is there
    """

    line: int
    language: str
    text: str
    notes: dict = field(default_factory=dict)
    commands: list = field(default_factory=list)
    place: str | None = None
    is_added: bool = False


@dataclass
class Do:
    """Something that befalls the lab, of which the reader is told in prose: a verb and its words."""

    line: int
    words: list


@dataclass
class Fresh:
    """From here on the lab is a new one."""

    line: int
    words: list


def steps(text):
    """Return the steps of a page, in order: Block, Do and Fresh. Raise Wrong."""
    found, pending = [], {}
    lines = text.splitlines()
    number, is_indented, is_behind_nothing = 0, False, True
    while number < len(lines):
        line = lines[number]
        # Markdown makes a block of what is indented behind an empty line, unless that is of a list.
        is_indented = (is_indented or is_behind_nothing) and line.startswith("    ")
        is_behind_nothing = not line.strip()
        number += 1
        comment, fence = COMMENT.match(line), FENCE.match(line)
        if comment:
            step = _comment(number, comment.group(1), pending)
            if step:
                found.append(step)
        elif fence and fence.group(2)[0] in "`~":
            begun = number
            indent, mark, language = fence.groups()
            body = []
            while number < len(lines) and not re.match(
                r"^\s*%s\s*$" % re.escape(mark), lines[number]
            ):
                body.append(_unindented(lines[number], len(indent)))
                number += 1
            if number == len(lines):
                raise Wrong(begun, "this block has no end")
            number += 1
            found.append(_block(begun, language, body, pending))
            pending = {}
        elif line.strip():
            # Between backticks it is talked of.
            if re.search(r"<!--\s*lab:", re.sub(r"`[^`]*`", "", line)):
                raise Wrong(
                    number, "a comment for the lab stands on a line of its own: %s" % line.strip()
                )
            if LIKE_A_COMMENT.search(re.sub(r"`[^`]*`", "", line)):
                raise Wrong(number, "unknown comment for the lab: %s" % line.strip())
            if is_indented and LIKE_A_COMMAND.match(line):
                said = "a command that is never run: blocks are fenced, console or sh: %s"
                raise Wrong(number, said % line.strip())
            if LIKE_A_FENCE.match(line):
                said = "a block stands by itself, and nothing stands behind the language: %s"
                raise Wrong(number, said % line.strip())
            if pending:
                raise Wrong(
                    number, "a comment for the lab stands right before a block, and this is none"
                )
    if pending:
        raise Wrong(len(lines), "a comment for the lab stands before a block, and there is none")
    return found


def _unindented(line, width):
    return line[width:] if not line[:width].strip() else line.lstrip()


def _comment(number, text, pending):
    """Return the step that a comment is, or enter it into what is said of the next block."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Wrong(number, "%s: %s" % (text, error)) from None
    if words[:1] == ["do"] and len(words) > 1:
        return Do(number, words[1:])
    if words[:1] == ["fresh"]:
        return Fresh(number, words[1:])
    for part in _parts(number, text):
        pending.update(part)
    return None


def _parts(number, text):
    reason = re.match(r"not run, (\S.*)$", text)
    if reason:
        return [{"not_run": reason.group(1)}]
    return [_note(number, part.strip()) for part in text.split(",")]


def _note(number, text):
    match = re.match(r"exit (\d+)$", text)
    if match:
        return {"exit": int(match.group(1))}
    match = re.match(r"on (\S+)$", text)
    if match:
        return {"on": match.group(1)}
    known = {
        "in background": {"background": True},
        "in background until Ctrl-C": {"background": True, "ctrl_c": True},
        "meanwhile": {"meanwhile": True},
        "wrong": {"wrong": True},
    }
    if text not in known:
        raise Wrong(number, "unknown comment for the lab: %s" % text)
    return known[text]


def _block(number, language, body, notes):
    block = Block(number, language, "\n".join(body) + "\n", notes)
    if language == CONSOLE:
        block.commands = _console(number, body)
    elif language == SHELL:
        block.commands = _shell(number, body)
    else:
        match = PLACE.match(body[0]) if body and language else None
        if match:
            block.place, block.is_added = match.group(2), bool(match.group(1))
    has_commands = language in (CONSOLE, SHELL)
    if not has_commands and language not in OTHERS:
        known = ", ".join((CONSOLE, SHELL, *OTHERS[1:]))
        raise Wrong(number, "%s is none of the languages: %s" % (language, known))
    if not has_commands:
        for at, line in enumerate(body, number + 1):
            if LIKE_A_COMMAND.match(line):
                said = "a command that is never run: this block is neither console nor sh: %s"
                raise Wrong(at, said % line.strip())
    for note in notes:
        if note not in ("on", "not_run", "wrong") and not has_commands:
            raise Wrong(number, "this block has no commands for which %r could be said" % note)
    if language == CONSOLE and not block.commands:
        raise Wrong(number, "a console block without a command: commands begin with `$ `")
    return block


def _console(number, body):
    commands = []
    lines = iter(enumerate(body, number + 1))
    for at, line in lines:
        if line.startswith("$ "):
            text = line[2:]
            commands.append(Command(at, _whole(at, text, lines), ""))
        elif not commands:
            raise Wrong(at, "output before the first command, which begins with `$ `: %s" % line)
        else:
            commands[-1].output += line + "\n"
    return commands


def _shell(number, body):
    commands = []
    lines = iter(enumerate(body, number + 1))
    for at, line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            commands.append(Command(at, _whole(at, line, lines)))
    return commands


def _whole(at, text, lines):
    """Return a command with the lines in which it goes on: behind a backslash, and its input."""
    whole = text
    try:
        while text.endswith("\\"):
            _, text = next(lines)
            text = text[2:] if text.startswith("> ") else text
            whole += "\n" + text
        for _quote, word in HERE.findall(whole):
            while text != word:
                _, text = next(lines)
                whole += "\n" + text
    except StopIteration:
        raise Wrong(at, "this command has no end: %s" % whole) from None
    if "…" in whole:
        raise Wrong(at, "nobody can type this: it has a …: %s" % whole)
    return whole
