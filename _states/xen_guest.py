"""
What belongs to a guest beside xend, as states: its configuration file follows it, its new place is
announced. For ``xend.orch.migrate``; the guest itself is moved by the states of ``xm``.
"""

from __future__ import absolute_import

from salt.exceptions import CommandExecutionError


def __virtual__():
    if "xen_guest.find" not in __salt__:
        return False, "the execution module xen_guest is not there"
    return "xen_guest"


def _ret(name, result=True, comment="", changes=None):
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def present(name, file):
    """
    The configuration file of a guest, and its link in the auto folder, are here. A different file is never
    overwritten: that is an error.

    name
        the guest
    file
        what ``xen_guest.find`` returned on its old host, or that as text that ``xm.told`` understands

    .. code-block:: yaml

        the file of web01:
          xen_guest.present:
            - name: web01
            - file: {{ pillar.xend.migrate.file | json }}
    """
    return _moved(name, "put", "The file of %s is here", __salt__["xm.told"](file))


def absent(name, file):
    """
    The configuration file of a guest, and its link in the auto folder, are not here any more; the file is
    kept in the folder of the option ``xend:kept``. Use it when the guest's new host has the file.

    name
        the guest
    file
        what ``xen_guest.find`` returned here, or that as text that ``xm.told`` understands; a file that was
        changed since is an error

    .. code-block:: yaml

        no file of web01:
          xen_guest.absent:
            - name: web01
            - file: {{ pillar.xend.migrate.file | json }}
    """
    return _moved(name, "take", "The file of %s is not here any more", __salt__["xm.told"](file))


def _moved(name, function, done, *arguments):
    try:
        changes = __salt__["xen_guest." + function](*arguments, test=__opts__["test"])["changes"]
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    comment = done % name
    if changes and __opts__["test"]:
        return _ret(name, None, "It would be so: " + comment, changes)
    return _ret(name, True, comment, changes)


def announced(name, domain=None):
    """
    The command of the option ``xend:announce`` was run for a guest that has just arrived here. It is run
    each time.

    name, domain
        as for the execution function ``xen_guest.announce``

    .. code-block:: yaml

        the network knows where web01 is:
          xen_guest.announced:
            - name: web01
    """
    try:
        command = __salt__["xen_guest.announce"](
            name, __salt__["xm.told"](domain), test=__opts__["test"]
        )
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    if not command:
        return _ret(name, comment="There is nothing to announce %s with (xend:announce)" % name)
    changes = {"announced": {"old": None, "new": " ".join(command)}}
    if __opts__["test"]:
        return _ret(name, None, "%s would be run" % " ".join(command), changes)
    return _ret(name, True, "%s was run" % " ".join(command), changes)
