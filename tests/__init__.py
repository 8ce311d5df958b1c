import os

# What the tests and the demo start may keep what Python has compiled, or a minion would compile all modules
# anew for each of its jobs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
