"""An orchestration that a real salt-run carries out in the background, and that can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.harness.run import Run

# Against hanging only.
LIMIT_S = 900


class SaltRun:
    """
    `salt-run state.orchestrate xend.orch.NAME` on the master that is configured in a folder; it ends with
    the block.
    """

    def __init__(self, config_dir, name, pillar, test=False):
        salt_run = Path(sys.executable).with_name("salt-run")
        asked = ["state.orchestrate", "xend.orch." + name, "pillar=" + json.dumps(pillar), "--out=json"]
        asked += ["test=True"] if test else []
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [salt_run, "-c", config_dir, *asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.kill()

    def over(self):
        return self.process.poll() is not None

    def kill(self):
        """End it at once, with all that it has started here; what minions do goes on."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def finish(self):
        """Wait for its end; return its Run."""
        out, said = self.process.communicate(timeout=LIMIT_S)
        try:
            returned = json.loads(out)
            returned = next(iter(returned.get("data", returned).values()))
        except (ValueError, AttributeError, StopIteration):
            returned = out + said
        return Run(returned, time.monotonic() - self.began, self.process.returncode, out, said)
