"""
Salt's executor for the minion on a simulated host that is compromised: jobs are done, or not, and what the
host was told to say is said (`tests/lab/lies.py`). A host that was told nothing is honest.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from tests.lab import lies  # noqa: E402


def execute(opts, data, func, args, kwargs):
    """
    Answer a job.
    """

    def act():
        return func(*args, **kwargs) if callable(func) else "'%s' is not available." % func

    lie = lies.lie_about(opts["lab"]["lies"], data["fun"], data["arg"])
    return act() if lie is None else lies.told(lie, act)
