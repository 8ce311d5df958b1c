"""Runs the steps of a page against a lab, and collects what was not as the page says."""

import contextlib
import importlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field

import yaml

from tests.docs import page, reasons, shape, verbs
from tests.docs.lab import Refused
from tests.lab.layout import wait_until

# What Salt says to a command that it does not understand, which for it is no reason not to exit with 0, and
# what no command of a page may say that does not show it.
NOT_DONE = re.compile(
    r"^.*(?:is not available\.$|Pillar data must be formatted|No minions matched the target|"
    r"Passed invalid arguments|^ *CLI Examples?:$|Traceback \(most recent call last\)).*",
    re.MULTILINE,
)
# Against hanging only.
LIMIT_S = 300
READY_S, LATE_S, END_S, AGAIN_S = 300, 300, 300, 60
# One command of a shell that goes on: it finds what the last one left, and leaves the same for the next.
SHELL = """
_known=" $(compgen -v | tr '\\n' ' ')_known _name _ PIPESTATUS FUNCNAME "
%(begin)s
_leave() {
    printf 'cd %%q\\n' "$PWD"
    for _name in $(compgen -v); do
        [[ $_known == *" $_name "* ]] || declare -p "$_name"
    done
}
trap "_leave | sed 's/^declare /declare -g /' > '%(note)s'" EXIT
(exit %(status)d)
%(text)s
"""


@dataclass
class Mismatch:
    """Where a page is not right, and what is wrong there."""

    page: str
    line: int
    command: str
    said: list

    def __str__(self):
        head = "%s:%d: %s" % (self.page, self.line, self.command or self.said[0])
        return "\n".join(
            [head, *("    " + line for line in (self.said if self.command else self.said[1:]))]
        )


@dataclass
class Background:
    """A command that goes on while the reader does something else."""

    command: page.Command
    notes: dict
    process: subprocess.Popen
    path: object

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.notes["killed"] = True


@dataclass
class Story:
    """One page at one lab. After `run`, `wrong` has what was not right, `left_out` what was not run."""

    lab: object
    name: str
    wrong: list = field(default_factory=list)
    left_out: list = field(default_factory=list)
    times: list = field(default_factory=list)
    notes: dict = field(default_factory=dict)

    def run(self, text):
        try:
            steps = page.steps(text)
        except page.Wrong as wrong:
            self._wrong(wrong.line, "", [str(wrong)])
            return
        if not any(isinstance(step, page.Block) and step.commands for step in steps):
            steps = [step for step in steps if isinstance(step, page.Block)]
        elif not isinstance(steps[0], page.Fresh):
            steps.insert(0, page.Fresh(1, []))
        self._begin()
        for step in steps:
            if self._waits(step):
                self._finish_background()
            try:
                self._step(step)
            except (Refused, OSError, TimeoutError, subprocess.TimeoutExpired) as refused:
                self._wrong(step.line, "", [str(refused)])
        self._finish_background()
        self._finish_later()

    @staticmethod
    def _waits(step):
        """Whether a step comes after what was begun in the background has ended."""
        if isinstance(step, page.Block):
            return bool(step.commands) and not {"meanwhile", "not_run"} & set(step.notes)
        return isinstance(step, page.Fresh)

    def _begin(self):
        for note in self.notes.values():
            note.unlink(missing_ok=True)
        self.status, self.later, self.done_at = 0, None, 0
        self.lab.background = None

    def _wrong(self, line, command, said):
        self.wrong.append(Mismatch(self.name, line, command, said))

    def _step(self, step):
        began = time.monotonic()
        if isinstance(step, page.Fresh):
            self._finish_later()
            self.lab.fresh(step.words)
            self._begin()
            self.times.append((time.monotonic() - began, step.line, "fresh"))
        elif isinstance(step, page.Do):
            self._finish_later()
            self.later, self.done_at = verbs.do(self.lab, step.words), step.line
        else:
            self._block(step)

    def _block(self, block):
        if "not_run" in block.notes:
            self._leave_out(block)
        elif block.place:
            self.lab.put(block.place, block.text, block.notes.get("on"), block.is_added)
        if block.language in ("yaml", "yml"):
            self._yaml(block)
        if "not_run" in block.notes:
            return
        host = self.lab.host(block.notes["on"]) if block.commands and "on" in block.notes else None
        for command in block.commands:
            is_last = command is block.commands[-1]
            self._command(command, host, block.notes, is_last)
        if not block.notes.get("background") and block.commands:
            self._finish_later()

    def _leave_out(self, block):
        reason = block.notes["not_run"]
        left_out = [(command.line, command.text, "") for command in block.commands]
        file = (block.line, block.place or "a block that is never run", block.text)
        for line, what, text in left_out or [file]:
            refusal = reasons.refusal(reason, what, text)
            if refusal:
                self._wrong(line, what, [refusal])
            else:
                self.left_out.append((self.name, line, what, reason))

    # -- Commands

    def _command(self, command, host, notes, is_last):
        try:
            text = self.lab.real(command.text, host)
            foreign = self.lab.foreign(text)
            if foreign:
                raise Refused("this path is not in the lab: %s" % ", ".join(foreign))
            if notes.get("background") and is_last:
                self._start(command, text, host, notes)
                return
            began = time.monotonic()
            self.status, output = self._run(text, host)
            self.times.append((time.monotonic() - began, command.line, command.text))
        except (Refused, OSError, subprocess.TimeoutExpired) as refused:
            self._wrong(command.line, command.text, [str(refused)])
            return
        self._compare(command, self.status, output, notes.get("exit", 0) if is_last else 0)

    def _compare(self, command, status, output, wanted):
        said = []
        if status != wanted:
            said.append("exit status %d, not %d" % (status, wanted))
        output = self.lab.shown(output)
        not_done = NOT_DONE.search(output)
        if not_done and not_done.group().strip() not in (command.output or ""):
            said.append("it was not done, whatever its exit status: %s" % not_done.group().strip())
        if command.output is not None:
            said += shape.difference(command.output, output)
        elif said:
            said += output.splitlines()[-30:]
        if said:
            self._wrong(command.line, command.text, said)

    def _script(self, text, host, keeps=True):
        """The shell's work for one command: with the folder, variables and $? that the last one left."""
        place = host.name if host else "master"
        note = self.notes.setdefault(place, self.lab.root / ("shell-of-" + place))
        begin = "source '%s'" % note if note.exists() else "cd '%s'" % self.lab.checkout
        words = {
            "begin": begin,
            "note": note if keeps else os.devnull,
            "status": self.status,
            "text": text,
        }
        return ["bash", "-c", SHELL % words]

    def _run(self, text, host):
        process = subprocess.Popen(
            self._script(text, host),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.lab.environment(host),
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return process.returncode, output.decode("utf-8", "backslashreplace")

    def _start(self, command, text, host, notes):
        path = self.lab.root / "background"
        before = self.lab.listeners()
        with path.open("wb") as stream:
            process = subprocess.Popen(
                self._script(text, host, keeps=False),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self.lab.environment(host),
                start_new_session=True,
            )
        self.lab.background = Background(command, dict(notes), process, path)
        # Until it hears the events of the master, or has come so far that it prints something.
        wait_until(
            lambda: (
                process.poll() is not None or path.stat().st_size or self.lab.listeners() > before
            ),
            READY_S,
        )

    def _finish_background(self):
        background, self.lab.background = self.lab.background, None
        if background is None:
            return
        process, notes = background.process, background.notes
        try:
            size, over = None, process.poll()
            if notes.get("ctrl_c") and over is None:
                # What was said last may still be on its way. How Salt takes its leave is not the page's.
                wait_until(lambda: self._is_shown(background), LATE_S, poll_s=0.5)
                size = background.path.stat().st_size
                self._interrupt(process)
            status = process.wait(END_S)
        except subprocess.TimeoutExpired:
            background.kill()
            self._wrong(
                background.command.line, background.command.text, ["it does not end by itself"]
            )
            return
        is_ended = notes.get("killed") or (notes.get("ctrl_c") and over is None)
        wanted = notes.get("exit", status if is_ended else 0)
        output = background.path.read_bytes()[:size].decode("utf-8", "backslashreplace")
        self._compare(background.command, status, output, wanted)

    @staticmethod
    def _interrupt(process):
        """Press Ctrl-C, again when it was not heard: a shell that is just starting a program loses it."""
        for _again in range(3):
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(AGAIN_S)
                return

    def _is_shown(self, background):
        printed = background.path.read_text("utf-8", "backslashreplace")
        return not shape.difference(background.command.output or "…", self.lab.shown(printed))

    def _finish_later(self):
        later, self.later = self.later, None
        said = later and later.end()
        if said:
            self._wrong(self.done_at, "", [said])

    # -- Files

    def _yaml(self, block):
        """A file of YAML can be read; a pillar of this project is right, or is said to be wrong."""
        if any(mark in block.text for mark in ("{%", "{{", "#!")):
            return
        try:
            data = yaml.safe_load(block.text)
        except yaml.YAMLError as error:
            self._wrong(block.line, "", ["no YAML: %s" % error])
            return
        if not isinstance(data, dict) or "xend" not in data:
            return
        said = wrong_in_pillar(data["xend"], self.lab.pillar()["xend"])
        if block.notes.get("wrong"):
            if not said:
                self._wrong(
                    block.line, "", ["nothing is wrong with this pillar, of which the page says so"]
                )
        elif said:
            self._wrong(block.line, "", ["this pillar is wrong:", *said])


def wrong_in_pillar(given, usual):
    """What the product finds wrong with the pillar `xend`; where that names no hosts, with the usual ones."""
    settings = importlib.import_module("xend_settings").settings
    given = dict(given) if isinstance(given, dict) else given
    hosts = ["xen1"]
    if isinstance(given, dict):
        relocation = given.get("relocation") or {}
        if isinstance(relocation, dict):
            relocation = dict(relocation)
            relocation.setdefault("hosts", usual["relocation"]["hosts"])
            given["relocation"] = relocation
            hosts = (
                [str(name) for name in relocation["hosts"]]
                if isinstance(relocation["hosts"], dict)
                else hosts
            )
    found = []
    for host in hosts:
        found += [
            said
            for said in settings(given, host, importlib.import_module)["wrong"]
            if said not in found
        ]
    return found
