"""The pages on migrations, the fleet and recovery have every word that the product says, and no other.

Who reads one of these words on the screen at night has to find it on the page.
"""

import importlib
import re
from pathlib import Path

import pytest

import xm_away
import xm_copies
import xm_fit
import xm_kept
import xm_moves
import xm_progress
import xm_steps
import xm_verdict
from tests.literals import literal

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECOVERY, MIGRATION, FLEET = [
    (DOCS / name).read_text(encoding="utf-8") for name in ("recovery.md", "migration.md", "fleet.md")
]

# What an evacuation says of guests beside the outcomes of the decision table.
FATES = {"not tried", "gone"}
# Beside those of the decision table, a note may be removed.
NOTES = {"forget"}


def part(page, heading):
    """What stands below a heading, to the next one of its level or above."""
    level = heading.split()[0]
    found = re.search(r"^%s$\n(.*?)(?=^#{1,%d} |\Z)" % (re.escape(heading), len(level)), page, re.M | re.S)
    assert found, "there is no %r" % heading
    return found.group(1)


def first_cells(text):
    """The words in backquotes of the first cells of the tables in a text."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {word for cell in rows for word in re.findall(r"`([^`]+)`", cell)}


def rows_of_the_table():
    return list(xm_verdict.TABLE) + list(xm_verdict.KEPT)


def outcomes():
    found = {row[2] for row in rows_of_the_table()} | {row[0] for row in xm_verdict.CROWDS.values()}
    return found | {xm_moves.not_tried({"domain": "web01", "source": "xen1"}, "")["outcome"]} | FATES


def test_each_outcome_has_its_section_and_no_section_is_about_another():
    sections = re.findall(r"^### `([^`]+)`$", part(RECOVERY, "## The words"), re.M)
    assert sorted(sections) == sorted(outcomes())


def quoted_of_outcomes():
    """What the table of the words quotes of sentences: {outcome: [what may be read]}."""
    found = {}
    for line in part(RECOVERY, "## The words").splitlines():
        row = re.match(r"\| (.*?) \| \[`(\w+)`\]", line)
        if row:
            found.setdefault(row.group(2), []).extend(re.findall(r'"([^"]+)"', row.group(1)))
    return found


@pytest.mark.parametrize("safety", [None, {"path": "/kept/web01.save"}])
@pytest.mark.parametrize("target", xm_copies.words())
@pytest.mark.parametrize("source", xm_copies.words())
def test_whoever_reads_a_sentence_finds_its_word(source, target, safety):
    views = [{"copy": copy, "state": "", "listed": "web01", "problem": ""} for copy in (source, target)]
    views[0]["safety"] = safety
    said = xm_verdict.report("web01", "xen1", "xen2", *views, importlib.import_module)
    sentence = said["facts"].replace(" (state )", "")
    assert [one for one in quoted_of_outcomes()[said["outcome"]] if one in sentence], sentence


@pytest.mark.parametrize("outcome, sentence, _advice", xm_verdict.CROWDS.values())
def test_whoever_reads_of_many_copies_finds_its_word(outcome, sentence, _advice):
    assert [one for one in quoted_of_outcomes()[outcome] if one in sentence % "web01"]


@pytest.mark.parametrize("outcome", sorted(outcomes() - FATES - {"leftover", "moved", "unharmed"}))
def test_a_section_says_what_is_done_by_itself_and_what_is_to_be_done(outcome):
    text = part(RECOVERY, "### `%s`" % outcome)
    assert "*By itself:*" in text and "*Do" in text


def test_each_repair_is_named():
    repairs = {step["do"] for row in rows_of_the_table() if len(row) > 5 for step in row[5]}
    (row,) = [line for line in RECOVERY.splitlines() if line.startswith("| `web01: restore web01 on xen1`")]
    named = set(re.findall(r"`(\w+)`", row)) - {"web01"}
    assert named == repairs | NOTES


def test_each_option_of_the_recovery_is_told():
    told = {word.partition(":")[0] for word in first_cells(part(RECOVERY, "## Your word"))}
    assert told - {"xend.orch.recover"} == set(literal("_runners/xend.py", "RECOVER"))


@pytest.mark.parametrize(
    "name",
    [
        "NAME.UUID" + suffix
        for suffix in (xm_kept.NOTE, xm_kept.DESCRIPTION, xm_kept.TOLD, xm_kept.RELAY, xm_kept.COPY, ".cfg")
    ]
    + [xm_away.FILE, ".NAME.reserved"],
)
def test_each_kind_of_file_that_is_kept_is_told(name):
    assert name in first_cells(part(RECOVERY, "## What lies in /var/lib/xend-for-salt"))


def test_each_option_of_a_migration_is_told():
    told = first_cells(part(MIGRATION, "## Options"))
    assert told == set(xm_steps.NEEDED) | set(xm_steps.option_names())


def test_each_word_that_can_be_accepted_is_told():
    assert first_cells(part(MIGRATION, "### What can be accepted")) == set(xm_fit.RISKS)


def test_each_phase_of_a_transfer_is_told():
    (row,) = [line for line in MIGRATION.splitlines() if line.startswith("| `phase` |")]
    assert re.findall(r"`(\w+)`", row)[1:] == list(xm_progress.phases())


def test_each_option_of_an_evacuation_is_told():
    told = first_cells(part(FLEET, "## Empty a host: `xend.orch.evacuate`"))
    assert told == set(xm_moves.EVACUATION) | set(xm_steps.option_names())


def test_each_option_of_a_restoration_is_told():
    text = part(FLEET, "## Fill it again: `xend.orch.restore`")
    assert not [name for name in xm_moves.RESTORATION if "`%s`" % name not in text]
