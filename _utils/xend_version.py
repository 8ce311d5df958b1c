"""
Which version of Xend for Salt this is, and what is to be said where hosts have another one than their master:
half of a migration would then be done by other rules than the rest.

``saltext_xend`` and ``salt/xend/orch/say.jinja`` have the same version; a unit test holds them together.
"""

VERSION = "0.2.0"

# Hosts of older versions do not say which they have.
OLDER = "one before 0.2.0"

DIFFER = (
    "The versions of Xend for Salt differ: %s. `salt-run saltutil.sync_all`, then `salt %s "
    "saltutil.sync_all`, bring the one in the file roots of this master to all of them; what pip has "
    "installed is for pip to upgrade"
)


def version():
    """
    The version of Xend for Salt that has this file.
    """
    return VERSION


def refusal(said, done, utility):
    """
    Why nothing is begun while versions differ, see `differ`: ``stop``, a dict (``id``, ``text``), or None.

    done
        what is said first: that nothing was moved
    """
    found = differ(said, utility)
    stop = utility("xm_steps").stop
    return stop("all hosts have the same version", "%s %s" % (done, found), utility) if found else None


def differ(said, utility):
    """
    Which hosts have another version than this master, in a sentence with the commands to type; "" when all
    have the same one.

    said
        a dict from hosts to what `version` returns there; None: they have answered, and did not say it
    utility
        a function from the name of another utility to that utility
    """
    others = [host for host in sorted(said) if said[host] != VERSION]
    if not others:
        return ""
    whose = {VERSION: ["this master"]}
    for host in sorted(said):
        whose.setdefault(said[host] or OLDER, []).append(host)
    order = sorted(whose, key=lambda one: (one != VERSION, one))
    told = ["%s on %s" % (one, ", ".join(whose[one])) for one in order]
    target = ("-L " if len(others) > 1 else "") + ",".join(others)
    return utility("xm_heard").legible(DIFFER % ("; ".join(told), target), 20000)
