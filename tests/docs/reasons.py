"""Why a block of a page may not be run: each reason, and the commands and files for which it may be given."""

import re

REASONS = {
    "it installs packages": r"(sudo )?(apt-get|apt|yum|dnf|zypper|pip|pip3|python3? -m pip|/\S+/pip) ",
    "it reboots a real host": r"(reboot|shutdown)\b",
    "it is about a real disk": r"(df|mount|umount|mkfs|lvcreate|mkdir) ",
    "it is about a real init system": r"(chkconfig|update-rc\.d|insserv|rc-update|initctl) ",
    "it needs the network": r"(git (fetch|pull|push|tag)|curl|wget|openssl) ",
    "a lab has no server of git": r"/etc/salt/master\.d/",
    "all minions of a lab are new": r"/etc/salt/master\.d/old-minions\.conf",
    "the hosts of a lab have their own": r"/etc/salt/minion\.d/",
    "the lab serves the tree and installs no package": r"/etc/salt/master\.d/|python3 -c 'import salt",
}


def refusal(reason, what):
    """Why this reason does not hold for a command, or the path of a file; None when it does."""
    if reason not in REASONS:
        return "no reason is called %r; there are: %s" % (reason, "; ".join(REASONS))
    if not re.match(REASONS[reason], what):
        return "%r is no reason not to run: %s" % (reason, what)
    return None
