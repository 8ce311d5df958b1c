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
    ret = {"name": name, "result": result, "comment": comment, "changes": changes or {}}
    # Under Python 2 there are two kinds of text, and Salt cannot take both.
    return __utils__["xend_text.as_given"](ret, __opts__["id"]) if bytes is str else ret


def present(name, file):
    """
    The configuration file of a guest, and its link in the auto folder, are here. A different file is never
    overwritten: that is an error.

    This host's own option ``xend:follow`` has to be set, and only its own folders (``xend:domain_files``,
    ``xend:auto``) are written to, whatever the other host says.

    name
        the guest
    file
        what ``xen_guest.sealed`` returned on its old host for the key of this one, or what ``xen_guest.find``
        returned there, or that as text that ``xm.told`` understands

    .. code-block:: yaml

        the file of web01:
          xen_guest.present:
            - name: web01
            - file: {{ pillar.xend.migrate.file | json }}
    """
    return _moved(name, "put", "The file of %s is here", file)


def absent(name, file, sent=False):
    """
    The configuration file of a guest, and its link in the auto folder, are not here any more; the file is
    kept in the folder of the option ``xend:kept``. Use it when the guest's new host has the file.

    name
        the guest
    file
        what ``xen_guest.sealed`` or ``xen_guest.find`` returned here, or that as text that ``xm.told``
        understands; a file that was changed since, lies in none of this host's own folders or is not this
        guest's is an error
    sent
        the guest has to be one that was sent from here and is not here now, as this host sees it itself

    .. code-block:: yaml

        no file of web01:
          xen_guest.absent:
            - name: web01
            - file: {{ pillar.xend.migrate.file | json }}
    """
    return _moved(name, "take", "The file of %s is not here any more", file, sent=sent)


def _told(argument, value):
    """
    What a host has told, a dict or nothing.
    """
    try:
        said = __salt__["xm.told"](value)
    except RuntimeError:  # More brackets in each other than Python takes.
        said = value
    if said is not None and not isinstance(said, dict):
        raise CommandExecutionError(
            "%s: this is a %s, not what a host tells of a guest" % (argument, type(said).__name__)
        )
    return said


def _moved(name, function, done, file, **keywords):
    try:
        found = _told("file", file)
        if found is None:
            raise CommandExecutionError("file: it is missing; xen_guest.sealed returns it on its host")
        act = __salt__["xen_guest." + function]
        changes = act(found, test=__opts__["test"], name=name, **keywords)["changes"]
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
        command = __salt__["xen_guest.announce"](name, _told("domain", domain), test=__opts__["test"])
    except CommandExecutionError as exc:
        return _ret(name, False, str(exc))
    if not command:
        return _ret(name, comment="There is nothing to announce %s with (xend:announce)" % name)
    changes = {"announced": {"old": None, "new": " ".join(command)}}
    if __opts__["test"]:
        return _ret(name, None, "%s would be run" % " ".join(command), changes)
    return _ret(name, True, "%s was run" % " ".join(command), changes)
