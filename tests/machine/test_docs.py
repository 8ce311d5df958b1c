"""A page is run by a shell in place of a lab: each way in which it can be wrong is found, and said."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.lab import Lab, Refused, _merged
from tests.docs.story import Story

USUAL = {
    "xend": {"relocation": {"port": 8002, "hosts": {"xen1": "10.20.0.11", "xen2": "10.20.0.12"}}}
}
MIGRATE = "state.orchestrate xend.orch.migrate"


class Shell:
    """Of a lab what a story needs: a folder, a shell, no hosts that do anything."""

    background = None

    def __init__(self, root):
        self.root = self.checkout = root
        self.asked = []
        salt_run = root / "bin" / "salt-run"
        salt_run.parent.mkdir()
        salt_run.write_text(
            "#!/bin/sh\n"
            'if [ "$1 $2" = "%s" ]; then echo "web01 was not moved: it is paused"; exit 1; fi\n'
            "case $1 in xend.matrxi) echo \"'$1' is not available.\"; exit;; esac\n"
            # So does salt-run answer to an argument that a runner does not take.
            "case $2 in domian=*) printf '%%s:\\n\\n    CLI Example:\\n' $1; exit;; esac\n"
            "echo 'web01: running on xen1 (domain 3)'\n" % MIGRATE
        )
        salt_run.chmod(0o755)

    def fresh(self, words):
        self.asked.append(["fresh", *words])

    def host(self, name):
        if name != "xen1":
            raise Refused("there is no host %s" % name)

        class Xen1:
            name = "xen1"

        return Xen1

    def real(self, text, host=None):
        return text.replace("/srv/", str(self.root) + "/")

    def real_pillar(self, text):
        return text.replace("/var/lib/", '/hosts/{{ grains["id"] }}/')

    def foreign(self, command):
        return re.findall(r"(?<![\w/])/etc/\S*", command)

    def shown(self, text):
        return text.replace(str(self.root), "/srv")

    def put(self, path, text, host, is_added):
        self.asked.append([path, text, host, is_added])

    def pillar(self):
        return USUAL

    def listeners(self):
        return 0

    def environment(self, host=None):
        return {"PATH": "%s:%s" % (self.root / "bin", os.environ["PATH"])}


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


@pytest.fixture
def read(shell):
    """A function that runs a page and returns its Story."""

    def run(*lines):
        story = Story(shell, "page.md")
        story.run("\n".join(lines))
        return story

    return run


def wrong(story):
    """What is wrong with a page, as it is printed."""
    return "\n".join(str(one) for one in story.wrong)


RIGHT = [
    "<!-- lab: fresh GUESTS=2 -->",
    "```console",
    "$ salt-run xend.where web01",
    "web01: running on xen1 (domain 7)",
    "$ cd bin",
    "$ here=$(basename $PWD)",
    "$ echo $here",
    "bin",
    "```",
    "<!-- lab: exit 1 -->",
    "```console",
    "$ salt-run %s" % MIGRATE,
    "web01 was not moved: …",
    "```",
    "```console",
    "$ echo $?",
    "1",
    "```",
]


def test_a_page_that_is_right(read, shell):
    assert wrong(read(*RIGHT)) == ""
    assert shell.asked == [["fresh", "GUESTS=2"]]


def test_a_page_that_does_not_say_so_begins_with_a_fresh_lab(read, shell):
    read("```sh", "true", "```")
    assert shell.asked == [["fresh"]]


@pytest.mark.parametrize(
    "was, now, line, said",
    [
        (
            "web01: running on xen1 (domain 7)",
            "web01: running on xen2 (domain 7)",
            3,
            "+web01: running on xen1",
        ),
        (
            "web01: running on xen1 (domain 7)",
            "web01: is on xen1 (domain 7)",
            3,
            "the page has is on xen1",
        ),
        ("bin", "bin and more", 7, "the page has and more"),
        ("web01 was not moved: …", "", 12, "printed was  web01 was not moved"),
        ("<!-- lab: exit 1 -->", "", 12, "exit status 1, not 0"),
        ("<!-- lab: exit 1 -->", "<!-- lab: exit 2 -->", 12, "exit status 1, not 2"),
        (
            "<!-- lab: exit 1 -->",
            "<!-- lab: exit one -->",
            10,
            "unknown comment for the lab: exit one",
        ),
        (
            "$ salt-run xend.where web01",
            "$ salt-runn xend.where web01",
            3,
            "exit status 127, not 0",
        ),
        (
            "$ salt-run xend.where web01",
            "$ rm /etc/xen/xend-config.sxp",
            3,
            "this path is not in the lab",
        ),
        ("$ cd bin", "$ cd no-such-folder", 5, "exit status 1, not 0"),
        ("<!-- lab: exit 1 -->", "<!-- lab: exit 1, on xen7 -->", 11, "there is no host xen7"),
        (
            "<!-- lab: exit 1 -->",
            "<!-- lab: do shut web01 -->",
            10,
            "there is no verb for: do shut web01",
        ),
    ],
)
def test_a_page_with_one_mistake(read, was, now, line, said):
    story = read(*[now if text == was else text for text in RIGHT])
    assert (
        story.wrong[0].line == line
        and said in wrong(story)
        and "page.md:%d: " % line in wrong(story)
    )


def test_a_list_of_commands_has_to_succeed(read):
    story = read("```sh", "true", "false", "echo it is wrong >&2; exit 3", "```")
    assert [one.line for one in story.wrong] == [3, 4] and "it is wrong" in wrong(story)


def test_a_command_that_salt_does_not_know_is_wrong_though_it_exits_with_0(read):
    said = "it was not done, whatever its exit status: 'xend.matrxi' is not available."
    assert said in wrong(read("```sh", "salt-run xend.matrxi", "```"))
    assert said in wrong(read("```console", "$ salt-run xend.matrxi", "…", "```"))
    assert "CLI Example" in wrong(read("```sh", "salt-run xend.where domian=web01", "```"))
    shown = ["```console", "$ salt-run xend.matrxi", "'xend.matrxi' is not available.", "```"]
    assert wrong(read(*shown)) == ""


@pytest.mark.parametrize(
    "text, said",
    [
        ("xend:\n  relocation:\n    hosts:\n      xen1: 10.20.0.11\n      xen2: 10.20.0.12", ""),
        ("xend:\n  follow: true", ""),
        ("xend:\n  folow: true", "xend:folow is no setting; did you mean follow"),
        ("xend:\n  folow: true\n  kept: /var/lib/xend-for-salt", "xend:folow is no setting"),
        ("xend:\n  relocation:\n    prot: 8002", "xend:relocation:prot is no"),
        ("xend:\n  relocation:\n    hosts:\n      xen1: 10.20.0.300", "10.20.0.300"),
        (
            "xend:\n  relocation:\n    hosts:\n      xen1: 10.20.0.11\n       xen2: 10.20.0.12",
            "no YAML",
        ),
        ("other:\n  folow: true", ""),
    ],
)
def test_mistakes_in_a_pillar(read, text, said):
    story = read("```yaml", "# /srv/pillar/xend.sls", *text.splitlines(), "```")
    assert said in wrong(story) if said else wrong(story) == ""
    shown = read("<!-- lab: wrong -->", "```yaml", *text.splitlines(), "```")
    if "no YAML" not in said:
        assert (
            wrong(shown) == "" if said else "xend" not in text or "nothing is wrong" in wrong(shown)
        )


def test_a_file_is_put_where_it_says(read, shell):
    read(
        "```sh",
        "true",
        "```",
        "<!-- lab: on xen1 -->",
        "```ini",
        "# added to /srv/x.ini",
        "a = 1",
        "```",
    )
    assert shell.asked[1:] == [["/srv/x.ini", "# added to /srv/x.ini\na = 1\n", "xen1", True]]


def test_what_is_added_to_a_file_is_merged_into_it():
    present = "xend:\n  relocation:\n    hosts: {xen1: 10.20.0.11}\n  follow: false\n"
    assert yaml.safe_load(
        _merged(present, "xend:\n  follow: true\n  relocation: {port: 8010}\n")
    ) == {"xend": {"relocation": {"hosts": {"xen1": "10.20.0.11"}, "port": 8010}, "follow": True}}


def test_what_is_not_run_is_told(read):
    story = read(
        "<!-- lab: not run, it installs packages -->", "```sh", "apt-get install salt-minion", "```"
    )
    assert wrong(story) == "" and story.left_out == [
        ("page.md", 3, "apt-get install salt-minion", "it installs packages")
    ]
    story = read(
        "<!-- lab: not run, it installs packages -->", "```sh", "salt-run xend.matrix", "```"
    )
    assert "is no reason" in wrong(story)


def test_something_goes_on_in_the_background(read):
    story = read(
        "<!-- lab: in background -->",
        "```console",
        "$ echo begun; until [ -e ended ]; do sleep 0.05; done; echo done",
        "begun",
        "done",
        "```",
        "<!-- lab: meanwhile -->",
        "```sh",
        "touch ended",
        "```",
        "```sh",
        "rm ended",
        "```",
    )
    assert wrong(story) == ""


def test_something_goes_on_until_ctrl_c(read, monkeypatch):
    begun = ["<!-- lab: in background until Ctrl-C -->", "```console", "$ echo begun; sleep 600"]
    assert wrong(read(*begun, "begun", "```", "```sh", "true", "```")) == ""
    monkeypatch.setattr("tests.docs.story.LATE_S", 1)
    assert "the page has nothing of it" in wrong(
        read(*begun, "nothing of it", "```", "```sh", "true", "```")
    )


def test_what_shall_go_on_until_ctrl_c_does_not_end_by_itself(read):
    story = read(
        "<!-- lab: in background until Ctrl-C -->",
        "```sh",
        "echo no such runner; exit 1",
        "```",
        "<!-- lab: meanwhile -->",
        "```sh",
        "sleep 1",
        "```",
        "```sh",
        "true",
        "```",
    )
    assert "exit status 1, not 0" in wrong(story) and "no such runner" in wrong(story)


def test_paths_of_a_page_are_those_of_the_sandbox():
    lab = Lab.__new__(Lab)
    lab_root = Path("/lab")
    lab.root, lab.net, lab.hosts = lab_root, "127.0.7.", []

    class Salt:
        root = lab_root / "salt"

    lab.salt = Salt
    text = "cat /srv/pillar/xend.sls /etc/salt/master.d/x.conf /tmp/a 10.20.0.11 x/srv/pillar"
    assert lab.real(text) == (
        "cat /lab/srv/pillar/xend.sls /lab/salt/master/master.d/x.conf /lab/tmp/a 127.0.7.11 x/srv/pillar"
    )
    assert lab.foreign(lab.real(text)) == []
    assert lab.foreign("cp /lab/srv/a /etc/passwd; ls /srv/other") == ["/etc/passwd", "/srv/other"]
    assert lab.foreign("xm create file:/srv/xen/web01.img http://xen1/etc/x") == []


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (["test-unit"], 0, ""),
        (["help"], 0, "make test-docs"),
        (["test-dosc"], 2, "test-dosc"),
        (["faults", "FAULTS_ARGS=--fault 'a slow line' --migrations 20"], 0, ""),
        (["faults", "FAULTS_ARGS=--falt x"], 2, "--falt"),
    ],
)
def test_make_in_a_page_says_whether_there_is_such_a_target(tmp_path, arguments, status, said):
    lab = Lab.__new__(Lab)
    lab.root, lab.fleet = tmp_path, []
    lab.salt = type("Salt", (), {"root": tmp_path, "config": tmp_path})
    lab._write_shims()
    done = subprocess.run(
        ["make", *arguments], env=lab.environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status and said in done.stdout + done.stderr
