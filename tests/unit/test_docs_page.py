"""What a reader does with a page, out of its text; and each mistake of form, which has to be found."""

from pathlib import Path

import pytest

from tests.docs import page, reasons


def steps(*lines):
    return page.steps("\n".join(lines))


def commands(*lines):
    (block,) = steps(*lines)
    return [(command.text, command.output) for command in block.commands]


def test_commands_and_what_they_print():
    assert commands(
        "```console", "$ salt one", "a", "b", "$ salt two", "$ salt three", "c", "```"
    ) == [
        ("salt one", "a\nb\n"),
        ("salt two", ""),
        ("salt three", "c\n"),
    ]


def test_a_command_over_several_lines():
    text = ["```console", "$ salt-run one \\", "    pillar=1 \\", "> test=True", "printed", "```"]
    assert commands(*text) == [("salt-run one \\\n    pillar=1 \\\ntest=True", "printed\n")]


def test_a_command_with_its_input():
    text = ["```console", "$ python - <<'END'", "print(1)", "END", "1", "$ true", "```"]
    assert commands(*text) == [("python - <<'END'\nprint(1)\nEND", "1\n"), ("true", "")]


def test_a_list_of_commands_shows_nothing_of_what_they_print():
    text = ["```sh", "# first", "salt one    # a word on it", "", "salt two \\", "  three", "```"]
    assert commands(*text) == [("salt one    # a word on it", None), ("salt two \\\n  three", None)]


def test_a_block_in_a_list_is_indented():
    assert commands("- so:", "", "  ```console", "  $ xm list", "  Name", "  ```") == [
        ("xm list", "Name\n")
    ]


def test_the_line_of_a_command_is_that_of_the_page():
    (block,) = steps("# Title", "", "```console", "$ one", "out", "$ two", "```")
    assert [command.line for command in block.commands] == [4, 6] and block.line == 3


@pytest.mark.parametrize(
    "first, place, is_added",
    [
        ("# /srv/pillar/xend.sls", "/srv/pillar/xend.sls", False),
        ("# /etc/salt/master.d/xend.conf, on the master", "/etc/salt/master.d/xend.conf", False),
        ("# added to /srv/pillar/xend.sls", "/srv/pillar/xend.sls", True),
        ("# a list of hosts", None, False),
        ("xend:", None, False),
    ],
)
def test_a_file_says_where_it_is(first, place, is_added):
    (block,) = steps("```yaml", first, "a: 1", "```")
    assert (block.place, block.is_added, block.commands) == (place, is_added, [])


@pytest.mark.parametrize(
    "comments, notes",
    [
        (["exit 1"], {"exit": 1}),
        (["on xen1"], {"on": "xen1"}),
        (["on xen1, exit 2"], {"on": "xen1", "exit": 2}),
        (["on xen1", "exit 2"], {"on": "xen1", "exit": 2}),
        (["in background"], {"background": True}),
        (["in background until Ctrl-C"], {"background": True, "ctrl_c": True}),
        (["meanwhile"], {"meanwhile": True}),
        (["not run, it is so, and so"], {"not_run": "it is so, and so"}),
    ],
)
def test_comments_before_a_block(comments, notes):
    block, other = steps(
        *("<!-- lab: %s -->" % comment for comment in comments),
        "",
        "```sh",
        "a",
        "```",
        "```sh",
        "b",
        "```",
    )
    assert block.notes == notes and other.notes == {}


def test_what_befalls_the_lab_stands_by_itself():
    text = [
        "<!-- lab: fresh HOSTS=4 -->",
        "",
        "Then.",
        "<!-- lab: do pause web01 on xen1 -->",
        "More.",
    ]
    fresh, do = steps(*text)
    assert (fresh.words, do.words, do.line) == (["HOSTS=4"], ["pause", "web01", "on", "xen1"], 4)


def test_other_comments_and_blocks_are_nobodys_business():
    (block,) = steps(
        "<!-- toc -->", "| `<!-- lab: exit 1 -->` | so |", "```", "xend's own: 1", "```"
    )
    assert block.commands == [] and block.place is None


def test_a_list_may_be_indented():
    assert steps("- one", "    - two", "", "      salted") == []


@pytest.mark.parametrize(
    "lines, line, said",
    [
        (["<!-- lab: exti 1 -->", "```sh", "a", "```"], 1, "unknown comment for the lab: exti 1"),
        (["<!-- lab: exit -->", "```sh", "a", "```"], 1, "unknown comment"),
        (["<!-- lab: not run -->", "```sh", "a", "```"], 1, "unknown comment"),
        (
            ["<!-- lab: on xen1, quickly -->", "```sh", "a", "```"],
            1,
            "unknown comment for the lab: quickly",
        ),
        (["<!-- lab: do -->"], 1, "unknown comment"),
        (["<!-- lab: exit 1 -->", "Text between.", "```sh", "a", "```"], 2, "right before a block"),
        (["<!-- lab: exit 1 -->"], 1, "there is none"),
        (["So <!-- lab: exit 1 -->", "```sh", "a", "```"], 1, "on a line of its own"),
        (["<!-- lab: exit 1 -->", "```yaml", "a: 1", "```"], 2, "no commands"),
        (["```console", "$ a"], 1, "has no end"),
        (["```console", "printed", "$ a", "```"], 2, "before the first command"),
        (["```console", "```"], 1, "without a command"),
        (["```console", "$ salt pillar={…}", "```"], 2, "nobody can type this"),
        (["```console", "$ cat <<END", "$ a", "```"], 2, "has no end"),
        (["```sh", "salt one \\", "```"], 2, "has no end"),
        (["```console title=a", "$ a", "```"], 1, "nothing stands behind the language"),
        (["> ```console", "> $ a", "> ```"], 1, "stands by itself"),
        (["- ```sh", "  a", "  ```"], 1, "stands by itself"),
        (["```consol", "$ a", "```"], 1, "consol is none of the languages"),
        (["```shell", "a", "```"], 1, "shell is none of the languages"),
        (["```bash", "a", "```"], 1, "bash is none of the languages"),
        (["```", "$ typed", "```"], 2, "a command that is never run"),
        (["```", "printed", "salt xen1 test.ping", "```"], 3, "a command that is never run"),
        (["```", ".venv/bin/python -m pytest", "```"], 2, "a command that is never run"),
        (["```yaml", "$ typed", "```"], 2, "a command that is never run"),
        (["So:", "", "    $ typed"], 3, "a command that is never run"),
        (["So:", "", "    # all of it", "    xm list"], 4, "a command that is never run"),
        (["So:", "", "    salt-run xend.matrix"], 3, "a command that is never run"),
        (["<!-- lab exit 1 -->", "```sh", "a", "```"], 1, "unknown comment for the lab"),
        (["<!-- Lab: exit 1 -->", "```sh", "a", "```"], 1, "unknown comment for the lab"),
        (["<!-- lab: exit 1", "-->", "```sh", "a", "```"], 1, "on a line of its own"),
    ],
)
def test_mistakes_of_form(lines, line, said):
    with pytest.raises(page.Wrong, match=said) as wrong:
        steps(*lines)
    assert wrong.value.line == line


GITFS = "# /etc/salt/master.d/xend.conf\nfileserver_backend:\n  - gitfs\ngitfs_remotes:\n  - x\n"


@pytest.mark.parametrize(
    "reason, what, text",
    [
        ("it installs packages", "pip install .", ""),
        ("a lab has no server of git", "/etc/salt/master.d/xend.conf", GITFS),
    ],
)
def test_reasons_not_to_run(reason, what, text):
    assert reasons.refusal(reason, what, text) is None


@pytest.mark.parametrize(
    "reason, what, said",
    [
        ("it takes long", "make demo", "no reason is called 'it takes long'"),
        (
            "it installs packages",
            "salt-run xend.matrix",
            "is no reason not to run: salt-run xend.matrix",
        ),
        ("it installs packages", "pip install x; salt-run xend.matrix", "is no reason"),
        ("it installs packages", "pip install x && salt-run xend.matrix", "is no reason"),
        ("a lab has no server of git", "/etc/salt/master.d/xend.conf", "is no reason"),
        ("all minions of a lab are new", "/srv/pillar/xend.sls", "is no reason"),
    ],
)
def test_no_reasons_not_to_run(reason, what, said):
    assert said in reasons.refusal(reason, what, "file_roots:\n  base: []\n")


def test_each_reason_is_given_somewhere():
    repo = Path(__file__).resolve().parents[2]
    paths = {*repo.glob("*.md"), *repo.glob("docs/*.md")} - {repo / "docs/reference.md"}
    steps = [step for path in paths for step in page.steps(path.read_text(encoding="utf-8"))]
    blocks = [step for step in steps if isinstance(step, page.Block)]
    assert {block.notes.get("not_run") for block in blocks} - {None} == set(reasons.REASONS)
