"""Why a block of a page may not be run: each reason, and the commands for which it may be given."""

import re

REASONS = {
    "it installs packages": r"(sudo )?(apt-get|apt|yum|dnf|zypper|pip|pip3|python3? -m pip|\S+/pip) ",
    "it reboots a real host": r"(reboot|shutdown)\b",
    "it is about a real disk": r"(df|mount|umount|mkfs|lvcreate|mkdir) ",
    "it is about a real init system": r"(chkconfig|update-rc\.d|insserv|rc-update|initctl) ",
    "it needs the network": r"(git (fetch|pull|push|tag)|curl|wget|openssl) ",
}


def refusal(reason, command):
    """Why this reason does not hold for a command; None when it does."""
    if reason not in REASONS:
        return "no reason is called %r; there are: %s" % (reason, "; ".join(REASONS))
    if not re.match(REASONS[reason], command):
        return "%r is no reason not to run: %s" % (reason, command)
    return None
