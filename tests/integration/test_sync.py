"""What a master lacks that was not synced."""

from pathlib import Path

import pytest

from tests.harness.moves import assert_unharmed


@pytest.mark.parametrize("lacks", ["runners/xend.py", "utils/xm_heard.py"])
def test_a_master_without_the_runner_says_what_to_sync(configured, guest, lacks):
    synced = Path(configured.master.config["extension_modules"]) / lacks
    text = synced.read_bytes()
    for path in synced.parent.glob(f"**/{synced.stem}.*"):
        path.unlink()
    try:
        for run in (configured.migrate(), configured.orchestrate("recover", {})):
            assert run.exit_code != 0 and "salt-run saltutil.sync_all" in run.report(), run.report()
    finally:
        synced.write_bytes(text)
    assert_unharmed(configured, guest)
