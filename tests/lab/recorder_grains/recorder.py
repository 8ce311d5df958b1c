"""
A minion that writes down whatever its master publishes, also what is meant for others.

All minions of a master have one key for what it publishes, and Salt's minion looks whom a job is for only
when it has decrypted it. As a grain, because grains are loaded before the first job comes, in the process
that gets all of them.
"""

import json

import salt.minion


def _record(path, load):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(load, default=repr) + "\n")


def recorder():
    """
    Begin to record; no grain comes of it.
    """
    path, look = __opts__["lab"]["records"], salt.minion.Minion._target_load
    if not hasattr(look, "records"):

        def record(minion, load):
            _record(path, load)
            return look(minion, load)

        record.records = path
        salt.minion.Minion._target_load = record
    return {}
