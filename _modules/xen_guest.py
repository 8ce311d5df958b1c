"""
What belongs to a guest beside xend: its configuration file, its link in the auto folder, its neighbours.

When a guest has moved for good, its file has to move as well: else its old host starts it a second time
after a reboot, on the same disks, and its new host does not start it at all. Saved images of it and managers
of clusters may do the same. Moving the guest itself is the business of the ``xm`` module.

Options, from the minion configuration or the pillar:

``xend:follow``
    true: the file and the link follow a guest that is moved; default false
``xend:domain_files``
    the folders with the configuration files of guests, default ``/etc/xen`` and ``/etc/xen/vm``
``xend:auto``
    the folder with the links to those that are started with the host; default: what the settings of
    xendomains say, else ``/etc/xen/auto``
``xend:announce``
    a command (a list: program and arguments) that is run on the target when a guest has arrived, for
    instance to send gratuitous ARP for it; default: none
``xend:root``, ``xend:kept``
    as for the ``xm`` module
"""

from __future__ import absolute_import

import os

from salt.exceptions import CommandExecutionError

DEFAULTS = {
    "follow": False,
    "domain_files": ["/etc/xen", "/etc/xen/vm"],
    "auto": "",
    "announce": [],
    "root": "",
    "kept": "/var/lib/xend-for-salt",
}

# Announcing is quick or does not work.
ANNOUNCE_S = 60


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xen_guest"


def _pure(name):
    """
    A function of the utilities. Synced files come first; Salt 3006 and later do not load the
    utilities of an installed extension into __utils__, there the package is asked.
    """
    try:
        function = __utils__[name]
    except KeyError:
        module, function = name.split(".")
        package = __import__("xend_for_salt." + module, globals(), locals(), [function])
        return getattr(package, function)
    # Salt's wrapper switches to the loader of the utilities, where the functions that are handed to
    # them would find no __salt__, and it cannot be used by two threads at once.
    return getattr(function, "__wrapped__", function)


def _option(name):
    return __salt__["config.get"]("xend:" + name, None) or DEFAULTS[name]


def _as_list(name):
    value = _option(name)
    if hasattr(value, "upper"):
        return [value]
    if isinstance(value, (list, tuple)):
        return list(value)
    raise CommandExecutionError("xend:%s: %r is neither text nor a list" % (name, value))


def follows():
    """
    Whether the file and the link of a guest follow it when it moves: the option ``xend:follow``.

    CLI Example:

    .. code-block:: bash

        salt 'xen*' xen_guest.follows
    """
    wanted = _option("follow")
    if wanted in (True, False):
        return wanted
    raise CommandExecutionError(
        "xend:follow: %r is neither true nor false (text in quotes is no boolean)" % (wanted,)
    )


def find(name, uuid=None):
    """
    The configuration file of a guest on this host. It is read, never executed as xm does.

    name, uuid
        the domain

    Returns a dict: ``path`` and ``text`` of the file, ``mode``, ``auto`` (the name of its link in the auto
    folder), each None when there is none, ``shared`` (those of them that are on storage which other hosts
    may have, too), ``problem``: why it is not certain which file it is, or None, ``starts``: all entries of
    the auto folder that start this guest (``path``, ``called``, ``shared``), and ``doubts`` and ``unread``:
    what could not be read of such entries, and the files whose guests' names cannot be seen.

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.find web01
    """
    return _pure("xm_files.find")(str(name), uuid, _option("root"), _as_list("domain_files"), _auto())


def _auto():
    return _boot()["auto"]


def _boot():
    """
    What xendomains does at boot.
    """
    return _pure("xm_boot.settings")(_option("root"), _option("auto"))


def warnings(name, uuid=None):
    """
    What is to be known about the files of a guest before it leaves this host, and about whoever else may
    start it here again: entries of the auto folder, saved images, managers of clusters.

    name, uuid
        the domain

    Returns a list of sentences.

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.warnings web01
    """
    found = find(name, uuid)
    follows_it = follows()
    told = [sentence for start in found["starts"] for sentence in _started(name, start, found, follows_it)]
    told += found["doubts"]
    if follows_it:
        told += _followed(name, found)
    return told + images(name, uuid) + _managers(name)


def _started(name, start, found, follows_it):
    """
    What is to be said of an entry of the auto folder that starts a guest.
    """
    again = "" if start["called"] in (None, str(name)) else ", as %s" % start["called"]
    if start["shared"]:
        return [
            "%s is on storage that other hosts may have, too: each of them starts %s at its boot%s"
            % (start["path"], name, again)
        ]
    if follows_it and found["auto"] and start["path"] == os.path.join(found["auto_folder"], found["auto"]):
        return []
    return [
        "%s starts %s at its next boot (%s)%s, also when it runs elsewhere by then: remove that link once "
        "it has moved for good, or let it follow (pillar xend:follow)"
        % (__opts__["id"], name, start["path"], again)
    ]


def _followed(name, found):
    """
    What keeps the file of a guest from following it.
    """
    if found["problem"]:
        return ["no file follows %s: %s" % (name, found["problem"])]
    if found["path"]:
        return []
    told = "no configuration file of %s was found, so that none follows it" % name
    if found["unread"]:
        told += "; the names in %s cannot be seen, and one of these may be its own: write the name out" % (
            " and ".join(found["unread"])
        )
    return [told]


def images(name, uuid=None):
    """
    The saved images of a guest that this host would restore at its next boot, or when it is told to start it.
    They are as old as they are, and would run on the disks of today.

    name, uuid
        the domain

    Returns a list of sentences; also on images of which it cannot be seen whose they are.

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.images web01
    """
    name, root = str(name), _option("root")
    boot = _boot()
    told = [
        "%s: whether %s starts %s at its boot, or restores it, cannot be seen" % (text, __opts__["id"], name)
        for text in boot["doubts"]
    ]
    if boot["save"]:
        try:
            found = _pure("xm_boot.images")(boot["save"], root)
        except EnvironmentError as exc:
            told.append(
                "%s cannot be read (%s), where saved images of guests are" % (boot["save"], exc.strerror)
            )
            found = []
        for image in found:
            told += _restored(name, uuid, image)
    if uuid:
        folder = str(__salt__["xend.get"]("xend-domains-path", "/var/lib/xend/domains"))
        path = "%s/%s/%s" % (folder, uuid, "checkpoint.chk")
        if os.path.lexists(root + path):
            told.append(
                "%s has a saved image of %s (%s), with which its next start here would go on, on the disks "
                "as they are then: remove it" % (__opts__["id"], name, path)
            )
    return told


def _restored(name, uuid, image):
    """
    What is to be said of an image that is restored at boot.
    """
    path, problem, whose = _pure("xm_files.legible")(image["path"]), image["problem"], {}
    if not problem:
        try:
            forms = _pure("xend_sxp.parse")(image["config"]).forms()
            whose = _pure("xm_output.describe")([form for form in forms if isinstance(form, list)][0])
        except (ValueError, IndexError):
            problem = "its configuration is not understood"
    if problem or not whose["name"]:
        return [
            "it cannot be seen whether %s is an image of %s (%s); %s restores it at its next boot"
            % (path, name, problem or "it names no guest", __opts__["id"])
        ]
    if whose["name"] != name and not (uuid and whose["uuid"] == uuid):
        return []
    return [
        "%s restores %s from a saved image at its next boot (%s), also when it runs elsewhere by then, on "
        "the disks as they are then: remove that file, or move it elsewhere" % (__opts__["id"], name, path)
    ]


def _managers(name):
    """
    What is to be said of managers of clusters that run here.
    """
    # A minion in a container may see the host's processes there only.
    running = _pure("xm_boot.programs")(_option("root") + "/proc")
    if running is None:
        running = _pure("xm_boot.programs")() or []
    return [
        "%s runs on %s (%s), and may start %s here again, or elsewhere, when it does not know that it was "
        "moved: let it move %s itself if it looks after it, or take %s out of its hands first"
        % (manager, __opts__["id"], program, name, name, name)
        for manager, program in _pure("xm_boot.managers")(running)
    ]


def check_put(found):
    """
    Why the file of a guest could not be put here.

    found
        what ``xen_guest.find`` returned on the host of the guest

    Returns a list of sentences; empty when it could.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.check_put '{"path": "/etc/xen/web01", "text": "", "mode": 420, "auto": null}'
    """
    return _pure("xm_files.check_put")(found, _option("root"))


def put(found, test=False):
    """
    Put the file of a guest, and its link in the auto folder, where they were on its old host. A different
    file is never overwritten.

    found
        what ``xen_guest.find`` returned there
    test
        only say what would be done

    Returns ``changes``: for each path ``old`` and ``new``; empty when nothing is to be done.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.put '{"path": "/etc/xen/web01", "text": "", "mode": 420, "auto": null}'
    """
    return _do("put", found, _option("root"), test=test)


def take(found, test=False):
    """
    Take the file of a guest and its link away from where xend would start it a second time. The file is
    kept in the folder of the option ``xend:kept``. Do it when the guest's new host has it. What is on storage
    that both hosts have is left where it is.

    found
        what ``xen_guest.find`` returned here; a file that was changed since is not touched
    test
        only say what would be done

    Returns ``changes``: for each path ``old`` and ``new``; empty when nothing is to be done.

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.take '{"path": "/etc/xen/web01", "text": "", "mode": 420, "auto": null}'
    """
    return _do("take", found, _option("root"), _option("kept"), test=test)


def _do(function, *arguments, **keywords):
    try:
        return _pure("xm_files." + function)(*arguments, **keywords)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])
    except EnvironmentError as exc:
        raise CommandExecutionError("%s: %s" % (_pure("xm_files.legible")(exc.filename), exc.strerror))


def announce(name, domain=None, test=False):
    """
    Run the command of the option ``xend:announce`` for a guest that has arrived here. It gets the name of
    the guest as its last argument and, in its environment, ``XEND_DOMAIN``, ``XEND_MACS`` and
    ``XEND_BRIDGES`` (words, in the order of the network cards). No shell is involved.

    name, domain
        the domain, and its description as ``xm.domain`` returned it
    test
        only return what would be run

    Returns the list of the command's words; empty when there is no such command.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.announce web01
    """
    command = [str(word) for word in _as_list("announce")]
    if not command:
        return []
    command.append(str(name))
    if test:
        return command
    vifs = (domain or {}).get("vifs") or []
    result = __salt__["cmd.run_all"](
        command,
        python_shell=False,
        ignore_retcode=True,
        timeout=ANNOUNCE_S,
        env={
            "XEND_DOMAIN": str(name),
            "XEND_MACS": " ".join([str(vif.get("mac", "-")) for vif in vifs]),
            "XEND_BRIDGES": " ".join([str(vif.get("bridge", "-")) for vif in vifs]),
        },
    )
    if result["retcode"] != 0:
        said = " ".join((result["stderr"] or result["stdout"] or "no message").split())
        raise CommandExecutionError(
            "xend:announce: %s ended with exit code %s: %s" % (" ".join(command), result["retcode"], said)
        )
    return command
