"""Makes docs/reference.md out of the docstrings, the head comments of the SLS and pillar.example.

`make reference` writes it; with --check it only tells whether it is what would be written (`make lint`).
"""

import ast
import inspect
import re
import sys
import textwrap
from collections import namedtuple
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from tests.tools.check_docstrings import HOOKS, aliases, users_name  # noqa: E402

PAGE = REPO / "docs" / "reference.md"
WIDTH = 110

Group = namedtuple("Group", "folder module title says names")
Group.__doc__ = (
    "Functions that stand together: those of a folder and a virtual module, in this order."
)
Function = namedtuple("Function", "name signature doc")

BY_ORCHESTRATIONS = "used by the SLS, the runner and the orchestrations"
GROUPS = [
    Group(
        "_runners",
        "xend",
        "The whole fleet: `salt-run xend.…`",
        "On the master, where all hosts can be seen at once. These change nothing.",
        "matrix where plan watch",
    ),
    Group(
        "_modules",
        "xend",
        "xend's file",
        "Execution functions, on a host. A file of more than 1 MiB is refused. Writes are atomic and keep "
        "mode, owner and SELinux context.",
        "check list get relocation accepts configure set remove",
    ),
    Group(
        "_modules",
        "xend",
        "The running xend, and the other hosts",
        "",
        "status probe settings ready restart transfers service declared_hosts",
    ),
    Group(
        "_modules",
        "xm",
        "Guests: what is here",
        "Nothing is changed by these.",
        "list info where unfinished copies evacuation moving lifecycle domain host",
    ),
    Group(
        "_modules",
        "xm",
        "Guests: moving and mending them by hand",
        "For hosts without a master, and for whoever has to go step by step. With a master, "
        "[`xend.orch.migrate`](#xendorchmigrate) and [`xend.orch.recover`](#xendorchrecover) do all of it, "
        "and look at all hosts.",
        "can_send can_receive mark_disks same_disks unmark_disks migrate arrival forget forget_managed "
        "restore repair restart_advice open_host close_host settle_moves",
    ),
    Group(
        "_modules",
        "xen_guest",
        "What belongs to a guest beside xend",
        "Its configuration file, its link in the auto folder, its neighbours.",
        "find warnings images follows announce",
    ),
    Group(
        "_states",
        "xend",
        "States: xend",
        "",
        "relocation applied option_present option_absent guarded",
    ),
    Group("_states", "xm", "States: a guest that moves", "", "migrated"),
    Group(
        "_modules",
        "xend",
        "`xend`: " + BY_ORCHESTRATIONS,
        "",
        "outlook as_wanted peer listens restart_accept reserve release expected guard firewall_sources",
    ),
    Group(
        "_modules",
        "xm",
        "`xm`: " + BY_ORCHESTRATIONS,
        "",
        "report survey room_for migrations check_options peer reserve findings unheard under_way nowhere "
        "not_described told",
    ),
    Group(
        "_modules",
        "xen_guest",
        "`xen_guest`: " + BY_ORCHESTRATIONS,
        "",
        "key sealed check_put put take",
    ),
    Group(
        "_states",
        "xm",
        "States of `xm`: " + BY_ORCHESTRATIONS,
        "",
        "can_send sent can_receive arrived repaired unmanaged host_closed host_opened",
    ),
    Group(
        "_states",
        "xend_orch",
        "States on the master: " + BY_ORCHESTRATIONS,
        "",
        "steps said could notice",
    ),
    Group(
        "_states",
        "xen_guest",
        "States of `xen_guest`: " + BY_ORCHESTRATIONS,
        "",
        "present absent announced",
    ),
    Group(
        "_runners",
        "xend",
        "Runner: used by the orchestrations",
        "",
        "migration outcome recovery evacuation evacuate_moves restoration restore_moves",
    ),
]
# Those that come behind the SLS and orchestrations.
INNER = 8

SLS = [
    "xend",
    "xend.relocation",
    "xend.firewall",
    "xend.clean",
    "xend.relocation.clean",
    "xend.firewall.clean",
]
ORCHESTRATIONS = [
    "xend.orch.migrate",
    "xend.orch.evacuate",
    "xend.orch.restore",
    "xend.orch.recover",
]

INTRODUCTION = """\
# Reference

Every function, state, SLS and orchestration. This page is made from the texts in the code (`make reference`),
which `salt xen1 sys.doc xend` (`xm`, `xen_guest`), `salt xen1 sys.state_doc xend` and `salt-run -d xend` show
as well. How things are used together is told in [migration](migration.md), [fleet](fleet.md) and
[recovery](recovery.md); the pillar in [configuration](configuration.md). [All pages](README.md).

Functions return None for what is not there, and raise an error that says what is wrong, and what to do, for
what could not be done. With an argument `test`, `test=True` says what would be changed, and changes nothing.
"""


class Wrong(Exception):
    """The table above and the code do not fit."""


def functions():
    """Return {(folder, virtual name): {name in Salt: Function}}."""
    found = {}
    for folder in ("_modules", "_states", "_runners"):
        for path in sorted((REPO / folder).glob("[!_]*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            names, module = aliases(tree), users_name(path, tree)
            for node in tree.body:
                if (
                    isinstance(node, ast.FunctionDef)
                    and node.name[0] != "_"
                    and node.name not in HOOKS
                ):
                    name = names.get(node.name, node.name)
                    function = Function(
                        name, _signature(node), inspect.cleandoc(ast.get_docstring(node) or "")
                    )
                    found.setdefault((folder, module), {})[name] = function
    return found


def _signature(node):
    # Salt gives all that is left to `**_`, which no user writes.
    node.args.kwarg = None
    return [part.strip() for part in _split(ast.unparse(node.args))]


def _split(text):
    return re.split(r",\s*(?![^(\[]*[)\]])", text) if text else []


def check(found):
    """Raise Wrong when a function is in no group, or a group has one that there is not."""
    wanted = [
        (group.folder, group.module, name) for group in GROUPS for name in group.names.split()
    ]
    there = [(*place, name) for place in found for name in found[place]]
    wrong = ["%s:%s.%s is in no group" % one for one in there if one not in wanted]
    wrong += ["there is no %s:%s.%s" % one for one in wanted if one not in there]
    wrong += ["%s:%s.%s is there twice" % one for one in set(wanted) if wanted.count(one) > 1]
    if wrong:
        raise Wrong("; ".join(wrong) + ": see GROUPS in tests/tools/reference.py")


# -- Texts


def markdown(text):
    """What a text in a docstring is in Markdown."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    # Names with underscores and stars are no emphasis.
    return re.sub(r"(?<![`\w*])\*(?=\w)(?!\*)", r"\\*", text)


def filled(text, indent="", first=None):
    return textwrap.fill(
        " ".join(markdown(text).split()),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def documented(doc):
    """Return the Markdown lines of a docstring."""
    lines, example = [], None
    blocks = re.split(r"\n\s*\n", doc)
    for number, block in enumerate(blocks):
        rows = block.splitlines()
        code = re.match(r"\.\. code-block:: (\w+)$", rows[0])
        if code:
            # What is indented below it, up to the end, is the code.
            language, example = code.group(1), "\n\n".join(blocks[number + 1 :])
            lines += ["```" + language, *textwrap.dedent(example).splitlines(), "```", ""]
            break
        if block.strip() == "CLI Example:":
            continue
        if len(rows) > 1 and rows[1].startswith("    "):
            lines += [*_arguments(rows), ""]
        else:
            lines += [filled(block), ""]
    return lines


def _arguments(rows):
    items = []
    for row in rows:
        if row.startswith("    "):
            items[-1][1].append(row)
        else:
            items.append((row, []))
    lines = []
    for names, text in items:
        said = ", ".join("`%s`" % name for name in names.split(", "))
        lines.append(filled("%s: %s" % (said, " ".join(text)), "  ", "- "))
    return lines


def anchor(title):
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def group_text(group, found):
    lines = ["## " + group.title, ""]
    if group.says:
        lines += [filled(group.says), ""]
    for name in group.names.split():
        function = found[(group.folder, group.module)][name]
        title = "%s.%s" % (group.module, name)
        lines += ["### " + heading(group, name), "", "```python"]
        call = "%s(%s)" % (title, ", ".join(function.signature))
        lines += textwrap.wrap(call, WIDTH, subsequent_indent="    ", break_long_words=False)
        lines += ["```", "", *documented(function.doc)]
    return lines


def heading(group, name):
    """The heading of a function; states and runners say that they are such, for an anchor of their own."""
    kind = {"_modules": "", "_states": "state ", "_runners": "runner "}[group.folder]
    return "%s%s.%s" % (kind, group.module, name)


# -- SLS, orchestrations and their options


def head(name):
    """Return (the paragraphs of text, the commands) of the head comment of an SLS."""
    path = REPO / "salt" / name.replace(".", "/")
    path = path / "init.sls" if path.is_dir() else path.with_suffix(".sls")
    comment = re.match(r"\{#-?(.*?)-?#\}", path.read_text(), re.DOTALL)
    if not comment:
        raise Wrong("%s has no comment at its head" % path)
    text, commands = [], []
    for block in re.split(r"\n\s*\n", comment.group(1).strip()):
        if block.lstrip().startswith("salt"):
            commands.append(
                textwrap.dedent("      " + block.strip() if "\n" not in block else block)
            )
        else:
            text.append(" ".join(block.split()))
    return text, commands


Option = namedtuple("Option", "name example text")
TAKES = re.compile(r"^# What xend\.orch\.(\w+) takes")
ROW = re.compile(r"^#   (\w+|…)(?:: (.*?))?\s+# (.*)$")
BARE = re.compile(r"^#   (\w+): (.*?)\s*$")
MORE = re.compile(r"^#\s{8,}#? ?(\S.*)$")


def options():
    """Return {orchestration: [Option]} as pillar.example explains them."""
    found, name = {}, None
    for line in (REPO / "salt/xend/pillar.example").read_text().splitlines():
        takes, row, bare, more = (
            TAKES.match(line),
            ROW.match(line),
            BARE.match(line),
            MORE.match(line),
        )
        if takes:
            name = takes.group(1)
            found[name] = []
        elif not name or not line.startswith("#"):
            name = name if line.startswith("#") else None
        elif row:
            found[name].append(Option(row.group(1), row.group(2) or "", row.group(3)))
        elif bare and not line.lstrip("# ").startswith("salt"):
            found[name].append(Option(bare.group(1), bare.group(2), ""))
        elif more and found[name]:
            last = found[name][-1]
            found[name][-1] = last._replace(text=(last.text + " " + more.group(1)).strip())
    return found


def option_table(rows):
    lines = ["| option | for example | |", "|---|---|---|"]
    for row in rows:
        name = "`%s`" % row.name if row.name != "…" else "…"
        example = "`%s`" % row.example if row.example else ""
        lines.append("| %s | %s | %s |" % (name, example, markdown(row.text).replace("|", "\\|")))
    return lines


def orchestration_text(name, explained):
    short = name.rpartition(".")[2]
    text, commands = head(name)
    lines = ["### " + name, "", filled(text[0].rstrip(":") + "."), ""]
    for command in commands:
        lines += ["```bash", *command.splitlines(), "```", ""]
    lines += ["Options, in the pillar `xend:%s`:" % short, "", *option_table(explained[short]), ""]
    for block in text[1:]:
        # The options are in the table.
        rest = re.sub(r"^Options.*?\.(?= [A-Z]|$) ?", "", block)
        rest = rest.replace("pillar.example explains them.", "").strip()
        if rest:
            lines += [filled(rest), ""]
    return lines


def sls_text():
    lines = ["## SLS", "", "| SLS | does |", "|---|---|"]
    lines += [
        "| `%s` | %s |" % (name, " ".join(markdown(part) for part in head(name)[0])) for name in SLS
    ]
    return [*lines, ""]


def steps_text():
    names = sorted(path.stem for path in (REPO / "salt/xend/orch").glob("*.sls"))
    names = ["xend.orch." + name for name in names if "xend.orch." + name not in ORCHESTRATIONS]
    lines = [
        "### The steps of orchestrations",
        "",
        "These are run by the four above, and by nobody else.",
        "",
    ]
    lines += ["| SLS | |", "|---|---|"]
    return [
        *lines,
        *("| `%s` | %s |" % (name, markdown(" ".join(head(name)[0]))) for name in names),
        "",
    ]


def page():
    """Return the text of docs/reference.md. Raise Wrong."""
    found, explained = functions(), options()
    check(found)
    lines = INTRODUCTION.splitlines() + ["", *contents(), ""]
    for group in GROUPS[:INNER]:
        lines += group_text(group, found)
    lines += sls_text() + ["## Orchestrations", ""]
    for name in ORCHESTRATIONS:
        lines += orchestration_text(name, explained)
    lines += steps_text()
    for group in GROUPS[INNER:]:
        lines += group_text(group, found)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def contents():
    lines = ["| | |", "|---|---|"]
    rows = [_row(group) for group in GROUPS]
    sls = "| [SLS](#sls) | %s |" % ", ".join("`%s`" % name for name in SLS)
    orchestrations = ", ".join("[`%s`](#%s)" % (name, anchor(name)) for name in ORCHESTRATIONS)
    rows[INNER:INNER] = [sls, "| [Orchestrations](#orchestrations) | %s |" % orchestrations]
    return lines + rows


def _row(group):
    links = ["[`%s`](#%s)" % (name, anchor(heading(group, name))) for name in group.names.split()]
    return "| [%s](#%s) | %s |" % (group.title, anchor(group.title), ", ".join(links))


def main(arguments):
    try:
        text = page()
    except Wrong as wrong:
        print("reference: %s" % wrong)
        return 1
    if arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/reference.md is not what the code says: run `make reference`")
            return 1
        print("reference: docs/reference.md is what the code says")
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
