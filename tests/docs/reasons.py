"""Why a block of a page may not be run: each reason, and the commands and files for which it may be given."""

import re

# A command, or the path of a file and what is in it.
REASONS = {
    "it installs packages": (
        r"(apt-get|yum|dnf|zypper|pip) install [\w./= -]+|\.venv/bin/python -m tests\.tools\.old_salts"
    ),
    "a lab has no server of git": r"/etc/salt/master\.d/\S+\n.*^gitfs_remotes:.*",
    "all minions of a lab are new": r"/etc/salt/master\.d/\S+\n.*^minimum_auth_version: 0",
    "the hosts of a lab have their own": r"/etc/salt/minion\.d/\S+\n.*^  python: /\S+",
    "the lab serves the tree and installs no package": (
        r"/etc/salt/master\.d/\S+\n.*/saltext_xend"
        r"|python3 -c 'import saltext_xend; print\(saltext_xend\.__path__\[0\]\)'"
    ),
}


def refusal(reason, what, text=""):
    """Why this reason does not hold for a command, or for a file; None when it does.

    what -- the command, or the path of the file
    text -- what is in the file
    """
    if reason not in REASONS:
        return "no reason is called %r; there are: %s" % (reason, "; ".join(REASONS))
    whole = "%s\n%s" % (what, text)
    if not re.fullmatch(REASONS[reason], whole.strip(), re.DOTALL | re.MULTILINE):
        return "%r is no reason not to run: %s" % (reason, what)
    return None
