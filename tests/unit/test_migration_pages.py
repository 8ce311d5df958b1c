"""The pages on migrations, the fleet and recovery have every word that the product says, and no other.

Who reads one of these words on the screen at night has to find it on the page.
"""

import re
from pathlib import Path

import pytest

import xm_away
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
