"""
Salt's ``event`` module for the minions of a conductor: events go into a file, not onto a bus.
"""

import json


def send(tag, data=None, **_delivery):
    """
    Note an event.

    CLI Example: salt-call event.send xend/migrate/web01 '{"phase": "sent"}'
    """
    with open(__opts__["events"], "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": __opts__["id"], "tag": tag, "data": data}) + "\n")
    return True
