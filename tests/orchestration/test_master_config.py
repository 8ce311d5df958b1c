"""Whatever the configuration of the master says of states, an orchestration ends with its last word."""

import pytest
import salt.config
import salt.output.highstate

from tests.harness.moves import LOOK, assert_unharmed


@pytest.fixture
def master_with(conductor):
    """A function that sets options of the master, for this test."""
    before = dict(conductor.master_opts)
    yield conductor.master_opts.update
    conductor.master_opts.clear()
    conductor.master_opts.update(before)


def test_a_master_that_stops_at_the_first_failure_says_where_the_guest_is(
    configured, guest, master_with
):
    master_with(failhard=True)
    configured.xen2.fault("refuse")
    run = configured.migrate()
    assert run.exit_code == 1
    assert_unharmed(configured, guest)
    assert LOOK in run.steps, run.report()
    assert "xm migrate said: can't connect" in run.comment(LOOK)
    assert "web01 runs unharmed on xen1" in run.comment(LOOK).splitlines()[-1]


@pytest.mark.parametrize(
    "options", [{"state_verbose": False}, {"state_output": "changes"}, {"state_output_diff": True}]
)
def test_a_master_that_hides_what_is_well_shows_the_last_word(
    configured, guest, master_with, options, monkeypatch
):
    master_with(**options)
    assert configured.migrate().exit_code == 0
    # Now that nothing has to be done.
    run = configured.migrate()
    shown = dict(salt.config.master_config(None), color=False, extension_modules="", **options)
    monkeypatch.setattr(salt.output.highstate, "__opts__", shown, raising=False)
    printed = salt.output.highstate.output(
        {"lab_master": {LOOK + "_|-x_|-x_|-said": run.steps[LOOK]}}
    )
    assert "web01 runs on xen2" in printed, printed
