"""
What belongs to a guest beside xend: its configuration file, its link in the auto folder, its neighbours.

When a guest has moved for good, its file has to move as well: else its old host starts it a second time
after a reboot, on the same disks, and its new host does not start it at all. Saved images of it and managers
of clusters may do the same. Moving the guest itself is the business of the ``xm`` module.

Options, from the minion configuration or the pillar:

``xend:follow``
    true: the file and the link follow a guest that is moved; default false. Each of the two hosts goes by its
    own setting. A guest's file is a program that ``xm create`` executes as root: a host with this setting
    takes such programs from the other hosts of the pillar
``xend:domain_files``
    the folders with the configuration files of guests, default ``/etc/xen`` and ``/etc/xen/vm``; a file that
    follows is put directly into one of them, or nowhere
``xend:auto``
    the folder with the links to those that are started with the host; default: what the settings of
    xendomains say, else ``/etc/xen/auto``. A link that follows is put there, or nowhere
``xend:announce``
    a command (a list: program and arguments) that is run on the target when a guest has arrived, for
    instance to send gratuitous ARP for it; default: none. See ``xen_guest.announce`` for what it is given
``xend:root``, ``xend:kept``
    as for the ``xm`` module
"""

from __future__ import absolute_import

import base64
import os
import re
import time

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

# What a source tells of network cards goes into the environment of a command: these forms, and no others. A
# bridge of Open vSwitch may have a VLAN and trunks (xend 4.4 hotplug/vif-openvswitch).
MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\Z")
BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,63}\Z")
VIFS_MAX = 1024
SAID_MAX = 400


def __virtual__():
    if __grains__.get("kernel") != "Linux":
        return False, "xend runs on Linux only"
    return "xen_guest"


class _Utility(object):
    """
    A utility, of which calls read like those of a module; see xm.py.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_lock = _Utility("xend_lock")
xend_sxp = _Utility("xend_sxp")
xend_text = _Utility("xend_text")
xm_boot = _Utility("xm_boot")
xm_files = _Utility("xm_files")
xm_kept = _Utility("xm_kept")
xm_output = _Utility("xm_output")
xm_sealed = _Utility("xm_sealed")


def _option(name):
    return xend_text.native(__salt__["config.get"]("xend:" + name, None)) or DEFAULTS[name]


def _named(name):
    """
    The name of a guest as text; a command line makes a number of digits.
    """
    named = xm_files.named(name)
    why = xm_files.unfit(named)
    if why:
        raise CommandExecutionError("name: %s %s; it is the name of the guest" % (xm_files.quoted(name), why))
    return named


def _as_list(name):
    value = _option(name)
    if hasattr(value, "upper"):
        return [value]
    if isinstance(value, (list, tuple)):
        return list(value)
    raise CommandExecutionError("xend:%s: %s is neither text nor a list" % (name, xend_text.quoted(value)))


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
        "xend:follow: %s is neither true nor false (text in quotes is no boolean)" % xend_text.quoted(wanted)
    )


def find(name, uuid=None):
    """
    The configuration file of a guest on this host. It is read, never executed as xm does.

    What this returns goes to the master and stays in its job cache, with the text of the file and any
    password in it. It is for people; the orchestrations use ``xen_guest.sealed``.

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
    return _find(name, uuid)


def _find(name, uuid, is_token=False):
    if uuid is not None:
        why = xm_files.unfit(uuid)
        if why:
            raise CommandExecutionError("uuid: %s %s; it is the guest's" % (xm_files.quoted(uuid), why))
    return xm_files.find(
        _named(name), uuid, _option("root"), _folders(), _auto(), is_token=is_token
    )


def _auto():
    return _folder("auto", _boot()["auto"])


def _folders():
    return [_folder("domain_files", folder) for folder in _as_list("domain_files")]


def _folder(option, folder):
    why = xm_files.unfit(folder, 4095)
    if not why and not folder.startswith("/"):
        why = "is not an absolute path"
    if why:
        raise CommandExecutionError("xend:%s: %s %s" % (option, xm_files.quoted(folder), why))
    return folder


def _boot():
    """
    What xendomains does at boot.
    """
    return xm_boot.settings(_option("root"), _option("auto"))


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
    name = _named(name)
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
    again = "" if start["called"] in (None, name) else ", as %s" % start["called"]
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
        % (str(__opts__["id"]), name, start["path"], again)
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
    name, root = _named(name), _option("root")
    boot = _boot()
    told = [
        "%s: whether %s starts %s at its boot, or restores it, cannot be seen"
        % (text, str(__opts__["id"]), name)
        for text in boot["doubts"]
    ]
    if boot["save"]:
        try:
            found = xm_boot.images(boot["save"], root)
        except EnvironmentError as exc:
            told.append(
                "%s cannot be read (%s), where saved images of guests are" % (boot["save"], exc.strerror)
            )
            found = []
        for image in found:
            told += _restored(name, uuid, image)
    if uuid:
        folder = __salt__["xend.get"]("xend-domains-path", "/var/lib/xend/domains")
        path = xend_text.native("%s/%s/checkpoint.chk" % (folder, uuid))
        if os.path.lexists(root + path):
            told.append(
                "%s has a saved image of %s (%s), with which its next start here would go on, on the disks "
                "as they are then: remove it" % (str(__opts__["id"]), name, path)
            )
    return told


def _restored(name, uuid, image):
    """
    What is to be said of an image that is restored at boot.
    """
    path, problem, whose = xm_files.legible(image["path"]), image["problem"], {}
    if not problem:
        try:
            forms = xend_sxp.parse(image["config"]).forms()
            whose = xm_output.describe([form for form in forms if isinstance(form, list)][0])
        except (ValueError, IndexError):
            problem = "its configuration is not understood"
    if problem or not whose["name"]:
        return [
            "it cannot be seen whether %s is an image of %s (%s); %s restores it at its next boot"
            % (path, name, problem or "it names no guest", str(__opts__["id"]))
        ]
    if whose["name"] != name and not (uuid and whose["uuid"] == uuid):
        return []
    return [
        "%s restores %s from a saved image at its next boot (%s), also when it runs elsewhere by then, on "
        "the disks as they are then: remove that file, or move it elsewhere"
        % (str(__opts__["id"]), name, path)
    ]


def _managers(name):
    """
    What is to be said of managers of clusters that run here.
    """
    # A minion in a container may see the host's processes there only.
    running = xm_boot.programs(_option("root") + "/proc")
    if running is None:
        running = xm_boot.programs() or []
    return [
        "%s runs on %s (%s), and may start %s here again, or elsewhere, when it does not know that it was "
        "moved: let it move %s itself if it looks after it, or take %s out of its hands first"
        % (manager, str(__opts__["id"]), program, name, name, name)
        for manager, program in xm_boot.managers(running)
    ]


def key():
    """
    A key with which another host can seal the file of a guest, so that only this host can read it. It is for
    one file; the private half of it stays here, in the folder of the option ``xend:kept``, until the file has
    been put, for a day at most.

    Returns the public half, ASCII text; None when no file follows to this host (``xend:follow``).

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.key
    """
    if not follows():
        return None
    private, public = xm_sealed.pair()
    _do(xm_sealed.keep, _kept(), private, public, time.time(), _Utility)
    return public


def sealed(name, uuid=None, key=None):
    """
    The configuration file of a guest on this host, sealed for the host that is to have it.

    name, uuid
        the domain
    key
        what ``xen_guest.key`` returned on that host; None seals nothing

    Returns what ``xen_guest.find`` does, without ``text``. Instead of it ``seal``, ASCII text which only the
    owner of the key can open, and ``unchanged``, by which ``xen_guest.take`` sees later that the file is as
    it was; both None when there is no file, and the first without a key. None when no file follows from
    this host (``xend:follow``).

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.sealed web01
    """
    if not follows():
        return None
    found = _find(name, uuid, True)
    text, found["seal"] = found.pop("text"), None
    if key is not None:
        try:
            half, secret = xm_sealed.lock(key)
        except ValueError as exc:
            raise CommandExecutionError(
                "key: %s is %s; it is what xen_guest.key returns on the host that is to have the file"
                % (xm_files.quoted(key), exc)
            )
        if text is not None:
            # As ASCII, which every Salt on every Python hands on as it is.
            data = base64.b64encode(text.encode("latin-1")).decode("ascii")
            found["seal"] = xm_sealed.join(key, half, _crypticle(secret).dumps(str(data)))
    return found


def _kept():
    """
    The folder where things are kept for root only, which nobody else can write to.
    """
    return _do(xend_lock.private, _option("kept"))


def _crypticle(secret):
    """
    Salt's own encryption of what goes between master and minions: AES with HMAC-SHA256.
    """
    import salt.crypt

    return salt.crypt.Crypticle(__opts__, secret)


def _open(found):
    """
    What was given, with the text of the file in it, and the name of the key that opened its seal, or None.
    """
    if not isinstance(found, dict) or found.get("path") is None or found.get("seal") is None:
        return found, None
    if found.get("text") is not None:
        raise CommandExecutionError("seal, text: only one of them can be the file of the guest")
    try:
        name, half, data = xm_sealed.split(found["seal"])
    except ValueError as exc:
        raise CommandExecutionError(
            "seal: it %s; the file has to be sealed with what xen_guest.key returns on %s"
            % (exc, str(__opts__["id"]))
        )
    private = _do(xm_sealed.kept, _option("kept"), name, _Utility)
    if private is None:
        raise CommandExecutionError(
            "seal: %s does not have the key for it (any more; a key is for one file, and for a day): migrate "
            "again, then the file is sealed anew" % str(__opts__["id"])
        )
    try:
        secret = xm_sealed.unlock(private, half)
        text = _crypticle(secret).loads(data)
        if not isinstance(text, bytes):
            text = text.encode("ascii")
        text = base64.b64decode(text).decode("latin-1")
    except Exception:  # Whatever is in there, and whichever library stumbles over it.
        raise CommandExecutionError(
            "seal: the key of %s does not open it, so it was damaged, or never sealed for this host: migrate "
            "again, then the file is sealed anew" % str(__opts__["id"])
        )
    return dict(found, text=text), name


def _unwanted(found):
    """
    Why nothing is put here whatever it is, as a list of at most one sentence: only this host's own setting
    says that files follow to it.
    """
    if (isinstance(found, dict) and found.get("path") is None) or follows():
        return []
    return [
        "%s takes no files of guests: its own setting xend:follow is not true. Set it for this host as well, "
        "or bring the file here by hand" % str(__opts__["id"])
    ]


def check_put(found):
    """
    Why the file of a guest could not be put here. A file is put only when this host's own ``xend:follow`` is
    set, and only directly into its own folders (``xend:domain_files``, ``xend:auto``).

    found
        what ``xen_guest.sealed`` or ``xen_guest.find`` returned on the host of the guest; nothing in it is
        believed unseen

    Returns a list of sentences; empty when it could. None of them shows anything of the file's content.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.check_put '{"name": "web01", "path": "/etc/xen/web01", "text": "", "mode": 420}'
    """
    try:
        return _unwanted(found) or xm_files.check_put(
            _open(found)[0], _option("root"), _folders(), _auto()
        )
    except CommandExecutionError as exc:
        return [str(exc)]


def put(found, test=False, name=None):
    """
    Put the file of a guest, and its link in the auto folder, where they were on its old host. A different
    file is never overwritten. The same rules hold as for ``xen_guest.check_put``.

    found
        what ``xen_guest.sealed`` or ``xen_guest.find`` returned there. The key of a seal is used up when the
        file is in its place
    test
        only say what would be done
    name
        the guest that it has to be of; default: whichever is named with it

    Returns ``changes``: for each path ``old`` and ``new``, in words; empty when nothing is to be done.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.put '{"name": "web01", "path": "/etc/xen/web01", "text": "", "mode": 420}'
    """
    unwanted = _unwanted(found)
    if unwanted:
        raise CommandExecutionError(unwanted[0])
    _check_guest(found, name)
    opened, used = _open(found)
    done = _do(xm_files.put, opened, _Utility, _option("root"), test=test, folders=_folders(), auto=_auto())
    if used and not test:
        _do(xm_sealed.forget, _option("kept"), used)
    return done


def take(found, test=False, name=None, sent=False):
    """
    Take the file of a guest and its link away from where xend would start it a second time. The file is
    kept in the folder of the option ``xend:kept``. Do it when the guest's new host has it. What is on storage
    that both hosts have is left where it is, and so is what lies in none of this host's own folders, or is
    not this guest's.

    found
        what ``xen_guest.sealed`` or ``xen_guest.find`` returned here; a file that was changed since is not
        touched
    test
        only say what would be done
    name
        the guest that it has to be of; default: whichever is named with it
    sent
        the guest has to be one that was sent from here and is not here now. That it runs elsewhere may be
        somebody's word; the file of one that is only shut down here is nobody's but this host's

    Returns ``changes``: for each path ``old`` and ``new``, in words; empty when nothing is to be done.

    CLI Example:

    .. code-block:: bash

        salt xen1 xen_guest.take '{"name": "web01", "path": "/etc/xen/web01", "text": "", "mode": 420}'
    """
    _check_guest(found, name)
    if isinstance(found, dict) and found.get("path") is not None:
        if sent and not test:
            _check_sent(found)
        # Not made under test.
        if not test or os.path.lexists(_option("kept")):
            _kept()
    return _do(
        xm_files.take,
        found,
        _Utility,
        _option("root"),
        _option("kept"),
        test=test,
        folders=_folders(),
        auto=_auto(),
    )


def _check_sent(found):
    """
    Refuse the file of a guest that this host has not sent away, by what it has kept and sees itself.
    """
    name, uuid = _named(found.get("name")), found.get("uuid")
    kept = xm_kept.description_file(_option("kept"), name, uuid)
    here = __salt__["xm.where"](name, uuid)["copy"]
    if os.path.isfile(kept) and here in ("absent", "managed"):
        return
    why = "%s is not kept" % kept if here in ("absent", "managed") else "xm.where says %s" % here
    raise CommandExecutionError(
        "the file of %s stays on %s, which has not sent it away itself (%s), so that it would start nowhere "
        "at the next boot: look where it runs with `xm list` on all hosts; xen_guest.take takes the file "
        "away by hand" % (name, str(__opts__["id"]), why)
    )


def _check_guest(found, name):
    if name is None or not isinstance(found, dict) or found.get("path") is None:
        return
    if _named(found.get("name")) != _named(name):
        raise CommandExecutionError(
            "name: %s is another guest than %s, whose file this has to be"
            % (xm_files.quoted(found["name"]), _named(name))
        )


def _do(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except ValueError as exc:
        raise CommandExecutionError(exc.args[0])
    except EnvironmentError as exc:
        raise CommandExecutionError("%s: %s" % (xm_files.legible(exc.filename), exc.strerror))


def announce(name, domain=None, test=False):
    """
    Run the command of the option ``xend:announce`` for a guest that has arrived here. It gets the name of
    the guest as its last argument and, in its environment, ``XEND_DOMAIN``, ``XEND_MACS`` and
    ``XEND_BRIDGES`` (words, in the order of the network cards; ``-`` for what is not known, or has not the
    form of an address or of a bridge's name). No shell is involved.

    xend takes guests that are called like an option, ``-x`` (xend 4.4 XendDomainInfo._checkName). Before
    such a name the word ``--`` is put, which ends the options of a command, unless the command of the setting
    ends with it already. A command that does not know it takes the name from its last argument or from
    ``XEND_DOMAIN``.

    name, domain
        the domain, and its description as ``xm.domain`` returned it
    test
        only return what would be run

    Returns the list of the command's words; empty when there is no such command.

    CLI Example:

    .. code-block:: bash

        salt xen2 xen_guest.announce web01
    """
    command = [_word(word) for word in _as_list("announce")]
    if not command:
        return []
    name = _named(name)
    vifs = _vifs(domain)
    if name.startswith("-") and command[-1] != "--":
        command.append("--")
    command.append(name)
    if test:
        return command
    result = __salt__["cmd.run_all"](
        command,
        python_shell=False,
        ignore_retcode=True,
        timeout=ANNOUNCE_S,
        env={
            "XEND_DOMAIN": name,
            "XEND_MACS": " ".join([_formed(MAC, vif.get("mac")) for vif in vifs]),
            "XEND_BRIDGES": " ".join([_formed(BRIDGE, vif.get("bridge")) for vif in vifs]),
        },
    )
    if result["retcode"] != 0:
        said = " ".join(_word(result["stderr"] or result["stdout"] or "no message").split())
        raise CommandExecutionError(
            "xend:announce: %s ended with exit code %s: %s"
            % (" ".join(command), result["retcode"], xm_files.legible(said[:SAID_MAX]))
        )
    return command


def _word(value):
    """
    A word of a command, or what it has printed, as what Python itself calls text.
    """
    if not hasattr(value, "upper") or isinstance(value, str):
        return str(value)
    return value.encode("utf-8") if bytes is str else value.decode("utf-8", "replace")


def _vifs(domain):
    """
    The network cards in a description that another host has given.
    """
    if domain is not None and not isinstance(domain, dict):
        raise CommandExecutionError("domain: %s is not what xm.domain returns" % xm_files.quoted(domain))
    vifs = (domain or {}).get("vifs") or []
    if not isinstance(vifs, (list, tuple)) or [vif for vif in vifs if not isinstance(vif, dict)]:
        raise CommandExecutionError("domain: its vifs are no list of network cards, as xm.domain returns it")
    if len(vifs) > VIFS_MAX:
        raise CommandExecutionError("domain: no guest has %d network cards" % len(vifs))
    return vifs


def _formed(form, value):
    return _word(value) if hasattr(value, "upper") and form.match(_word(value)) else "-"
