"""
A guest's configuration file and its entry in the folder of guests that are started at boot: found on one
host, put on another, taken away from the first.

The files are programs, which `xm create` executes; here they are only read, so that not every name can be
seen. What cannot be seen is said, never passed over. Nothing knows Salt.

Inside, paths and contents are bytes, as on the disk; what goes in and out is text.
"""

import errno
import os
import re
import stat

FOLDERS = ("/etc/xen", "/etc/xen/vm")
AUTO = "/etc/xen/auto"

# Kernels and disks may lie in the same folder.
SIZE_MAX = 262144
# So much of all files together is looked through: some thousand guests.
TOTAL_MAX = 33554432

# A path, and a name in it, as Linux takes them.
PATH_MAX, NAME_MAX = 4095, 255

# What xend, xm and xl themselves read in /etc/xen. No guest's file is called so.
RESERVED = ("xend-config.sxp", "xend-pci-quirks.sxp", "xend-pci-permissive.sxp", "xm-config.xml", "xl.conf")
RESERVED += ("oxenstored.conf",)

# The parser of Python itself gives up at about as many brackets in each other.
DEPTH_MAX = 100
# Such a statement gives one value to so many words; nobody writes that.
TARGETS_MAX = 64

# So much of a value that is refused is shown.
QUOTED_MAX = 60

TEXT = (str, type(b"".decode("ascii")))
NUMBERS = (int, type(1 << 64))

LINKS_MAX = 16

MOUNTS = "/proc/self/mounts"

# File systems that no two hosts have mounted at once. Any other may be shared, and what is taken from one
# host would be gone on the other.
LOCAL = ("rootfs", "ext2", "ext3", "ext4", "ext4dev", "xfs", "jfs", "reiserfs", "reiser4", "btrfs", "zfs")
LOCAL += ("f2fs", "bcachefs", "tmpfs", "ramfs", "overlay", "overlayfs", "aufs", "squashfs", "unionfs")

# What editors and package managers leave beside a file. xendomains starts it all the same when it lies among
# the entries.
LEFT_BEHIND = re.compile(br"\.|.*(?:~|\.(?:bak|orig|swp|rpmsave|rpmorig|rpmnew|dpkg-[a-z]+))\Z")

# How a file may be called that belongs to a guest although its content does not say so.
SUFFIXES = (b"", b".cfg", b".hvm", b".conf")

ESCAPE = re.compile(br"\\([0-7]{3})")

# In UTF-8: the controls from 128 on, which terminals obey too, and what turns the direction of writing.
STEERING = re.compile(b"\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xaa-\xae]|\xe2\x81[\xa6-\xa9]")

# What a guest needs, and what it may have besides. A file that sets none of it sets something for others.
ESSENTIAL = frozenset(("kernel", "bootloader", "builder", "disk"))
USUAL = frozenset("memory maxmem vcpus vif ramdisk root extra cpus uuid vfb sdl vnc boot".split())

BOM = b"\xef\xbb\xbf"

# Python, as far as it takes to find out what is assigned: names of groups are kinds of tokens.
TOKEN = re.compile(
    r"(?P<space>[ \t\f]+|\\\n)"
    r"|(?P<comment>#[^\n]*)"
    r"|(?P<line>\n)"
    r"|(?P<string>[uUbB]?[rR]?(?:"
    r"'{3}(?:[^\\]|\\.)*?'{3}|\"{3}(?:[^\\]|\\.)*?\"{3}|'(?:[^\\\n']|\\.)*'|\"(?:[^\\\n\"]|\\.)*\"))"
    r"|(?P<word>[A-Za-z0-9_\x80-\xff]+)"
    r"|(?P<sign>\*\*=|//=|>>=|<<=|[-+*/%&|^<>=!]=|.)",
    re.DOTALL,
)
STRING = re.compile(r"([uUbB]?)([rR]?)('{3}|\"{3}|'|\")(.*)\3\Z", re.DOTALL)
STRING_ESCAPE = re.compile(r"\\(\n|[\\'\"abfnrtv]|x[0-9A-Fa-f]{2}|[0-7]{1,3})")
STRING_ESCAPES = {"\n": "", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
AUGMENTED = ("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "**=", "//=", ">>=", "<<=")
OPENING, CLOSING = "([{", ")]}"
# What begins a line whose statements are not, or not surely, executed.
COMPOUND = frozenset("if elif else for while try except finally with def class".split())
SCOPES = ("def", "class")
EXECUTES = frozenset(("exec", "execfile", "_getframe"))

# What `xm create -F` takes: SXP. XML it takes like any other file (xm 4.4 opts.load_defconfig).
SXP = re.compile(r"\s*(?:#[^\n]*\n\s*)*\(\s*(?:vm|domain)\b")
SXP_TOKEN = re.compile(
    r"(?P<space>\s+|#[^\n]*)|(?P<sign>[()])|(?P<word>[^\s()'\"#]+)"
    r"|(?P<string>'(?:[^\\']|\\.)*'|\"(?:[^\\\"]|\\.)*\")|(?P<other>.)",
    re.DOTALL,
)
SXP_ESCAPE = re.compile(r"\\(['\"\\])")


def find(name, uuid=None, root="", folders=FOLDERS, auto=AUTO, is_token=False):
    """
    The configuration file of a guest, and what starts it at boot.

    name, uuid
        the guest's; uuid None: not known
    root
        where this process sees the host's file system; all paths given and returned are the host's own
    folders
        the folders that may hold the file itself
    auto
        the folder whose entries are started at boot; what only lies or leads there counts, too
    is_token
        also return `unchanged`: by which `take` sees later that the file is as it was (None without a file).
        It tells nothing of the content

    A guest's file sets `name` to the guest's name, written out; one that sets no name names the guest like
    itself (xm 4.4 create.parseCommandLine), and an entry of `auto` like the entry. Returns a dict that
    `put` and `take` understand, on any host:
    name, uuid
        as given
    path
        the file, or None when there is none or none was chosen
    text
        its content: the character of each byte is the one with that number
    mode
        its permissions, an int
    auto, auto_folder
        the name of its entry in the folder `auto` (None: it has none), and that folder
    shared
        which of these lie on storage that other hosts have, too; `take` leaves them alone
    others
        the files that came into question when none was chosen
    problem
        why none was chosen, as a sentence, or None
    starts
        the entries of the folder `auto` that start this guest, whatever file was chosen: a list of dicts with
        `path`, `called` (the name under which it is started; None: it cannot be seen) and `shared`
    doubts
        sentences on entries of which it cannot be seen whether they do
    unread
        the files of guests whose names cannot be seen; one of them may be the one that was not found
    """
    found = {
        "name": name,
        "uuid": uuid,
        "path": None,
        "text": None,
        "mode": None,
        "auto": None,
        "auto_folder": auto,
        "shared": [],
        "others": [],
        "problem": None,
        "starts": [],
        "doubts": [],
        "unread": [],
    }
    if is_token:
        found["unchanged"] = None
    wanted = _wanted(name, uuid)
    # What is started at boot comes first: no file beside it changes that.
    entries, found["doubts"], problems = _entries(wanted, root, _raw(auto))
    candidates, found["unread"], more = _candidates(wanted, root, [_raw(folder) for folder in folders])
    problems += more
    for here in entries:
        # What leads to the guest's file starts it, whatever the entry is called.
        is_its = here["key"] in [one["key"] for one in candidates]
        if is_its or _judge(here, wanted, True) == "its":
            _add(candidates, here, True)
            found["starts"].append(
                {
                    "path": legible(here["path"]),
                    "called": _called(here),
                    "shared": is_shared(root, here["path"]),
                }
            )
    paths = [legible(candidate["path"]) for candidate in candidates]
    if len(candidates) > 1:
        problems.append("%s define %s: keep one of them" % (" and ".join(paths), name))
    for candidate in candidates:
        problems += _problems(candidate, wanted, name, uuid, auto)
    if problems:
        found.update(others=paths, problem="; ".join(problems))
    elif candidates:
        (chosen,) = candidates
        found.update(path=_native(chosen["path"]), mode=chosen["mode"], text=_characters(chosen["data"]))
        found["auto"] = ([_native(entry) for entry in chosen["entries"]] or [None])[0]
        found["shared"] = [place for place in _both(found) if is_shared(root, place)]
        if is_token:
            found["unchanged"] = chosen["token"]
    return found


def check_put(found, root="", folders=FOLDERS, auto=AUTO):
    """
    Why `put` would refuse, as a list of sentences.

    found
        what `find` returned on another host. That host is not believed: each word of it is looked at
    folders, auto
        this host's own folders, as for `find`; nothing is put anywhere else
    """
    if not isinstance(found, dict):
        return ["%s is not what xen_guest.find returns" % quoted(found)]
    if found.get("path") is None:
        return []
    reasons = _wrong_words(found, auto) + _wrong_text(found)
    if reasons:
        return reasons
    found = _plain(found, auto)
    reasons = _elsewhere(found, root, folders, auto) + _misplaced(found, root)
    if not _is_its(read(_bytes(found["text"])), found):
        reasons.append(
            "text: by what it says, or as its name is not written out, this is not the file of %s"
            % legible(found["name"])
        )
    if reasons:
        return reasons
    path, link = found["path"], _link(found)
    if os.path.lexists(_under(root, path)):
        here = _look(root, _raw(path))
        if here is None:
            reasons.append(
                "%s is on this host already, %s, and is not overwritten: rename it"
                % (path, "and " + (_odd(root, _raw(path)) or "leads to nothing"))
            )
        elif here["data"] != _bytes(found["text"]):
            reasons.append(
                "%s is on this host already, with other content than on the source, and is not overwritten: "
                "compare the two, then correct or remove one" % path
            )
    else:
        reasons += _cannot_write(root, path)
    if link and os.path.lexists(_under(root, link)):
        if not _starts(found, root, link, _bytes(found["text"])):
            reasons.append(
                "%s is on this host already and starts something else than %s: rename one of them"
                % (link, path)
            )
    elif link:
        reasons += _cannot_write(root, link)
    return reasons


def put(found, utility, root="", test=False, folders=FOLDERS, auto=AUTO):
    """
    Give this host the file that `find` found on another, and its entry in the folder `auto`.

    utility
        a function from the name of another utility to that utility
    test
        change nothing, return what would be changed
    folders, auto
        as for `check_put`

    Returns {"changes": {path: {"old": None, "new": text}}}, empty when all is there already. When this
    returns, the file is on the disk. Raises ValueError with the sentences of `check_put`, before anything is
    changed; EnvironmentError when writing fails.
    """
    reasons = check_put(found, root, folders, auto)
    if reasons:
        raise ValueError("; ".join(reasons))
    changes = {}
    if found.get("path") is None:
        return {"changes": changes}
    found = _plain(found, auto)
    data, leads = _bytes(found["text"]), _leads(found, root)
    for place in _both(found):
        there = _under(root, place)
        if os.path.lexists(there):
            continue
        is_file = place == found["path"]
        changes[place] = {"old": None, "new": _shown(data) if is_file else "-> " + leads}
        if test:
            continue
        _make_folder(os.path.dirname(there), 0o755)
        if is_file:
            utility("xend_file").replace(there, data, found["mode"] & 0o777, is_new=True)
        else:
            os.symlink(_raw(leads), there)
            utility("xend_file").sync(os.path.dirname(there))
    return {"changes": changes}


def take(found, utility, root, keep_folder, test=False, folders=FOLDERS, auto=AUTO):
    """
    Remove the file that `find` found on this host, and its entry in the folder `auto`, after the other host
    has them.

    found
        with `text`, or with `unchanged` instead (see `find`)
    utility
        as for `put`
    keep_folder
        where a copy is kept, for root only; this one is a path as this process sees it
    test
        change nothing, return what would be changed
    folders, auto
        this host's own, as for `find`. What lies elsewhere is not touched, unless its entry leads there

    Returns {"changes": {path: {"old": text, "new": text or None}}}, empty when nothing is left to remove.
    What is on shared storage stays: it is the other host's as well.
    Raises ValueError, before anything is changed, when something has changed since `find`, or is not this
    guest's; EnvironmentError when the copy cannot be kept or something cannot be removed. Whenever this is
    interrupted, the file or its copy is there, and no entry leads to a file that is not.
    """
    if not isinstance(found, dict):
        raise ValueError("%s is not what xen_guest.find returns" % quoted(found))
    if found.get("path") is None:
        return {"changes": {}}
    reasons = _wrong_words(found, auto) + _wrong_proof(found)
    if not reasons:
        found = _plain(found, auto)
        reasons = _elsewhere(found, root, None, auto)
    if reasons:
        raise ValueError("; ".join(reasons))
    left = [
        place
        for place in _both(found)
        if os.path.lexists(_under(root, place))
        and not (place in found["shared"] or is_shared(root, place))
    ]
    here = _look(root, _raw(found["path"]))
    data = here and here["data"]
    for place in left:
        if place != found["path"]:
            is_own = _starts(found, root, place, _proved(found, data))
        else:
            is_own = here is not None and _is_as_it_was(found, here)
        if not is_own:
            raise ValueError(
                "%s has changed while %s was moved, and is left as it is: look at it, because %s must not "
                "be started on this host as well" % (place, found["name"], found["name"])
            )
        if here is not None and not _is_its(here["read"], found):
            raise ValueError(
                "%s is left as it is: by what it says, or as its name is not written out, %s is not the file "
                "of %s" % (place, found["path"], found["name"])
            )
        if place == found["path"] and not _is_at_home(found, root, folders, auto, left):
            raise ValueError(
                "%s is left as it is: it lies in none of the folders of guests' files of this host "
                "(xend:domain_files), and no entry in %s leads there" % (place, legible(auto))
            )
    changes = {}
    # The entry goes first: it must not start the guest at boot, and would lead nowhere without the file.
    for place in reversed(left):
        if place == found["path"]:
            parts = [part for part in (found["name"], found["uuid"], "cfg") if part]
            kept = os.path.join(keep_folder, utility("xm_kept").label(".".join(parts)))
            changes[place] = {"old": _shown(data), "new": "kept as %s" % kept}
            if not test:
                _make_folder(_raw(keep_folder), 0o700)
                utility("xend_file").replace(_raw(kept), data)
        else:
            changes[place] = {"old": _entry(root, place), "new": None}
        if not test:
            os.unlink(_under(root, place))
            utility("xend_file").sync(os.path.dirname(_under(root, place)))
    return {"changes": changes}


# What another host, or somebody by hand, has given


def _plain(found, auto):
    """
    The words of what was given and found in order, with those that may be missing.
    """
    plain = dict([(word, found.get(word)) for word in ("path", "text", "mode", "auto", "uuid", "unchanged")])
    plain["path"] = _told(plain["path"])
    plain["auto"] = plain["auto"] and _told(plain["auto"])
    plain["name"] = named(found.get("name"))
    plain["auto_folder"] = _told(found.get("auto_folder") or auto)
    plain["shared"] = [_told(place) for place in found.get("shared") or []]
    return plain


def named(name):
    """
    The name of a guest as text: YAML and the command line make a number of digits. What cannot be one is
    returned as it is, for `unfit`.
    """
    if isinstance(name, NUMBERS) and not isinstance(name, bool):
        return "%d" % name if abs(name) < 1 << 64 else ""
    return name if unfit(name) else _told(name)


def _told(text):
    # What Python itself calls text.
    return _native(_raw(text))


def _wrong_words(found, auto):
    """
    What is wrong with single words of what was given, as sentences.
    """
    reasons = []
    name = found.get("name")
    reasons += _wrong("name", name, unfit(named(name)), "it is the name of the guest")
    if found.get("uuid") is not None:
        reasons += _wrong("uuid", found["uuid"], unfit(found["uuid"], 64), "it is the guest's, or nothing")
    for word, folder in (("path", found["path"]), ("auto_folder", found.get("auto_folder") or auto)):
        why = unfit(folder, PATH_MAX)
        is_plain = not why and folder.startswith("/") and os.path.normpath(folder) == folder
        # Two slashes in front are kept by normpath.
        if not why and (not is_plain or folder.startswith("//")):
            why = "is not an absolute path without '..' and the like"
        elif not why and len(_raw(os.path.basename(folder))) > NAME_MAX:
            why = "ends with a name that is longer than %d bytes" % NAME_MAX
        elif not why and word == "path":
            why = _no_plain_name(os.path.basename(folder))
        reasons += _wrong(word, folder, why, "such a path is like /etc/xen/web01")
    if found.get("auto") is not None:
        why = unfit(found["auto"]) or _no_plain_name(found["auto"])
        reasons += _wrong("auto", found["auto"], why, "it is the name of a file, or nothing")
    return reasons


def _no_plain_name(name):
    if not name or "/" in name or name.startswith("."):
        return "is not the plain name of a file that is not hidden"
    if _told(name) in RESERVED:
        return "is a name that a file of xend or xl itself has"
    return None


def _wrong(word, value, why, right):
    return ["%s: %s %s; %s" % (word, quoted(value), why, right)] if why else []


def _wrong_text(found):
    """
    What is wrong with the content and the mode of a file that is to be put.
    """
    mode, reasons = found.get("mode"), []
    if isinstance(mode, bool) or not isinstance(mode, NUMBERS):
        reasons += _wrong("mode", mode, "is no number", "it is permissions, like 420 for 0644")
    elif not 0 <= mode <= 0o7777:
        reasons += _wrong("mode", mode, "is no set of permissions", "420 is one, for 0644")
    elif mode & 0o7002:
        reasons.append(
            "mode: %04o would make a file that others may write, or with more than permissions to read, "
            "write and execute; correct that of the file on the guest's host (chmod u-s,g-s,o-w,-t %s)"
            % (mode, legible(found["path"]) if not unfit(found["path"], PATH_MAX) else "FILE")
        )
    return reasons + _no_content(found.get("text"))


def _no_content(text):
    """
    Why that is not the content of a file, as a list of at most one sentence; nothing of it is shown.
    """
    # Salt on Python 2 hands on bytes.
    if not isinstance(text, TEXT + (bytes,)):
        return ["text: %s is not the content of a file" % quoted(text)]
    if len(text) <= 2 * SIZE_MAX:
        try:
            if len(_bytes(text)) <= SIZE_MAX:
                return []
        except UnicodeError:
            return ["text: there are characters in it that are no bytes of a file (0 to 255)"]
    return ["text: it is longer than %d bytes, as no file of a guest is" % SIZE_MAX]


def _wrong_proof(found):
    """
    What is wrong with that by which it is seen that a file is as it was.
    """
    text, token, shared = found.get("text"), found.get("unchanged"), found.get("shared")
    reasons = []
    if text is not None:
        reasons += _no_content(text)
    if token is not None:
        reasons += _wrong("unchanged", token, unfit(token), "it is what xen_guest.sealed returned here")
    if text is None and token is None:
        reasons.append(
            "text, unchanged: one of them is needed, as xen_guest.find or xen_guest.sealed returned it here, "
            "to see that the file is as it was"
        )
    is_list = shared is None or isinstance(shared, (list, tuple))
    if not is_list or [place for place in shared or [] if unfit(place, PATH_MAX)]:
        reasons.append("shared: %s is no list of paths" % quoted(shared))
    return reasons


def _is_as_it_was(found, here):
    if found["unchanged"] is not None and here["token"] != _told(found["unchanged"]):
        return False
    return found["text"] is None or here["data"] == _bytes(found["text"])


def _proved(found, data):
    """
    The content that a copy among the entries has to have.
    """
    return data if found["text"] is None else _bytes(found["text"])


def _is_its(said, found):
    """
    Whether a file, by what `read` says of it, is that of the guest that was named with it.
    """
    name, uuid = _wanted(found["name"], found["uuid"])
    if uuid and said["uuid"] == uuid:
        return True
    if said["name"] is None:
        return False
    if said["name"]:
        return said["name"] == name
    # xm calls the guest like the file, or like the entry.
    names = [_raw(os.path.basename(found["path"])), _raw(found["auto"] or "")]
    return bool(set(names) & set(_usual(name)))


def _elsewhere(found, root, folders, auto):
    """
    Why a file or its entry would not lie directly in this host's own folders, as sentences. With folders
    None only the entry is looked at.
    """
    reasons, own = [], _real(root, auto)
    if _real(root, found["auto_folder"]) != own:
        reasons.append(
            "auto_folder: %s is not the folder with the entries of this host, which is %s (xend:auto); let "
            "both hosts have the same" % (quoted(found["auto_folder"]), legible(auto))
        )
    folder = _real(root, os.path.dirname(found["path"]))
    if folders is None or reasons:
        return reasons
    if folder == own:
        if found["auto"] != os.path.basename(found["path"]):
            reasons.append(
                "auto: %s is not the name of %s, which lies among the entries itself"
                % (quoted(found["auto"]), quoted(found["path"]))
            )
    elif folder not in [_real(root, one) for one in folders]:
        reasons.append(
            "path: %s lies in none of the folders of guests' files of this host, which are %s: only there a "
            "file may follow; add its folder to xend:domain_files of this host if that is right"
            % (quoted(found["path"]), " and ".join([legible(one) for one in folders]) or "none")
        )
    return reasons


def _misplaced(found, root):
    """
    Why nothing could be written to the folders in question although they are this host's own: a link in
    their path leads out of what this process knows as the host's file system.
    """
    inside = os.path.realpath(_raw(root) or b"/").rstrip(b"/") + b"/"
    reasons = []
    for place in _both(found):
        folder = os.path.dirname(place)
        is_inside = (_real(root, folder) + b"/").startswith(inside)
        if not is_inside and not os.path.lexists(_under(root, place)):
            reasons.append(
                "%s cannot be made: %s leads out of the host's file system as this minion sees it (xend:root)"
                % (legible(place), legible(folder))
            )
    return reasons


def _is_at_home(found, root, folders, auto, left):
    """
    Whether a file lies in this host's own folders, or where its own entry leads.
    """
    own = [_real(root, folder) for folder in list(folders) + [auto]]
    return _link(found) in left or _real(root, os.path.dirname(found["path"])) in own


def _real(root, folder):
    return os.path.realpath(_under(root, folder))


# Which files are the guest's. WANTED is its name and its uuid ("" when that is not known).


def _entries(wanted, root, auto):
    """
    What the folder `auto` has for a guest.

    Returns all entries (what `_look` returns), sentences on those of which it cannot be seen whether they
    start it, and sentences on what keeps its file from being sure.
    """
    name = legible(wanted[0])
    entries, doubts, problems = [], [], []
    try:
        listed = _names(root, auto)
    except EnvironmentError as exc:
        problem = "%s cannot be read (%s)" % (legible(auto), exc.strerror)
        unseen = ", so that it cannot be seen whether %s is started from there at boot" % name
        return [], [problem + unseen], [problem]
    for listed_name in listed:
        # As xendomains does: whatever is not hidden.
        if listed_name.startswith(b"."):
            continue
        path = os.path.join(auto, listed_name)
        leads = os.path.basename(_follow(root, path))
        is_called_so = listed_name in _usual(wanted[0]) or leads in _usual(wanted[0])
        try:
            here = _look(root, path)
        except EnvironmentError as exc:
            here, why = None, "cannot be read (%s)" % exc.strerror
        else:
            kind = None if here else _odd(root, path)
            why = kind or "leads to nothing that could be read"
            # A link that leads nowhere may do so only until a disk is mounted; a folder starts nothing.
            if here is None and not is_called_so and kind in (None, "is a folder"):
                continue
        if here is None:
            unseen = ", so that it cannot be seen whether it starts %s at boot" % name
            doubts.append("%s %s%s" % (legible(path), why, unseen))
            problems.append("%s %s" % (legible(path), why))
            continue
        entries.append(here)
        if _judge(here, wanted, True) == "unsure":
            doubts.append(
                "the name in %s %s%s, so that it cannot be seen whether it starts %s at the next boot, also "
                "when that runs elsewhere by then: write the name out, or look at it"
                % (legible(path), here["read"]["why"], _perhaps(here["read"]), name)
            )
            if is_called_so or wanted[0] in here["read"]["perhaps"]:
                problems.append(_write_it_out(here, name))
    return entries, doubts, problems


def _candidates(wanted, root, folders):
    """
    The files that define a guest, the paths of those whose names cannot be seen, and sentences on what keeps
    one from being sure.

    A candidate is what `_look` returns with its "entries" in the folder `auto` (a list of names).
    """
    candidates, unread, problems, seen, total = [], [], [], [], 0
    for folder in folders:
        try:
            names = _names(root, folder)
        except EnvironmentError as exc:
            problems.append("%s cannot be read (%s)" % (legible(folder), exc.strerror))
            continue
        for listed_name in names:
            if LEFT_BEHIND.match(listed_name):
                continue
            path = os.path.join(folder, listed_name)
            try:
                here = _look(root, path)
            except EnvironmentError as exc:
                problems.append("%s cannot be read (%s)" % (legible(path), exc.strerror))
                continue
            if here is None:
                # It may be the guest's all the same; a folder beside its file is usual.
                is_said = os.path.basename(path) in _usual(wanted[0]) and _odd(root, path) != "is a folder"
                unread += [legible(path)] if is_said else []
                continue
            total += len(here["data"])
            if total > TOTAL_MAX:
                problems.append("%s holds more than can be looked through" % legible(folder))
                break
            seen.append(here)
    for here in seen:
        verdict = _judge(here, wanted, False)
        is_called_so = os.path.basename(here["path"]) in _usual(wanted[0])
        if verdict == "its" and here["read"]["is_for"]:
            _add(candidates, here, False)
        elif verdict == "unsure" and (is_called_so or wanted[0] in here["read"]["perhaps"]):
            problems.append(_write_it_out(here, legible(wanted[0])))
        elif verdict == "unsure" and here["read"]["is_for"] == "a guest":
            unread.append(legible(here["path"]))
    return _without_parts(candidates, seen), unread, problems


def _judge(here, wanted, is_entry):
    """
    Whether a file is the guest's: "its", "another's" or "unsure".
    """
    said = here["read"]
    if wanted[1] and said["uuid"] == wanted[1]:
        return "its"
    if said["name"] is None:
        # Under another uuid it would be started beside the one that has moved.
        is_other = wanted[1] and said["uuid"] and wanted[0] not in said["perhaps"]
        return "another's" if is_other else "unsure"
    if said["name"]:
        return "its" if said["name"] == wanted[0] else "another's"
    # It is called like its file, if it is a guest at all.
    is_called_so = os.path.basename(here["path"]) == wanted[0]
    return "its" if is_called_so and (is_entry or said["is_for"] == "a guest") else "another's"


def _called(here):
    name = here["read"]["name"]
    return name if name is None else legible(name or os.path.basename(here["path"]))


def _wanted(name, uuid):
    return _raw(name), _plain_uuid(_raw(uuid or ""))


def _plain_uuid(raw):
    """
    A uuid as xend prints it; it takes one with or without dashes anywhere (xend 4.1 uuid.fromString).
    """
    digits = raw.replace(b"-", b"").lower()
    if len(digits) != 32:
        return raw.lower()
    return b"-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])


def _perhaps(read):
    names = [legible(name) for name in read["perhaps"]]
    return " (it may be %s)" % " or ".join(names) if names else ""


def _write_it_out(here, name):
    return "the name in %s %s, so it cannot be seen whether it defines %s: write it out" % (
        legible(here["path"]),
        here["read"]["why"],
        name,
    )


def _without_parts(candidates, seen):
    """
    Without files that others execute, or that have less of a guest than another one.
    """
    whole = [one for one in candidates if one["read"]["is_for"] == "a guest"]
    if whole:
        return whole
    return [
        one
        for one in candidates
        if not [
            other
            for other in seen
            if other["key"] != one["key"] and os.path.basename(one["path"]) in other["data"]
        ]
    ]


def _problems(candidate, wanted, name, uuid, auto):
    problems, path = [], legible(candidate["path"])
    set_uuid, called = candidate["read"]["uuid"], candidate["read"]["name"]
    if wanted[1] and set_uuid and set_uuid != wanted[1]:
        problems.append(
            "%s defines %s with the uuid %s, and the one that runs has %s: correct the file"
            % (path, name, legible(set_uuid), uuid)
        )
    if called and called != wanted[0]:
        problems.append(
            "%s defines the uuid of %s under the name %s: correct the file" % (path, name, legible(called))
        )
    if len(candidate["entries"]) > 1:
        names = " and ".join([legible(entry) for entry in candidate["entries"]])
        problems.append("%s is in %s more than once (%s): keep one of them" % (path, auto, names))
    for place in [candidate["path"]] + candidate["entries"]:
        if not _is_text(place):
            problems.append(
                "the path %s holds bytes that are no UTF-8, and cannot be told to another host: rename it"
                % legible(place)
            )
    return problems


def _add(candidates, here, is_entry):
    same = [one for one in candidates if one["key"] == here["key"]]
    if is_entry and not here["is_link"]:
        # Somebody has copied the file there instead of linking it.
        same = same or [one for one in candidates if one["data"] == here["data"]]
    if not same:
        path = here["leads"] if is_entry else here["path"]
        same = [dict(here, path=path, entries=[])]
        candidates += same
    elif same[0]["is_link"] and not here["is_link"] and not is_entry:
        same[0].update(path=here["path"], is_link=False)
    if is_entry:
        same[0]["entries"].append(os.path.basename(here["path"]))


def _usual(name):
    return [name + suffix for suffix in SUFFIXES]


# What a file says


def read(data):
    """
    What `xm create` would learn from a file, as far as can be seen without executing it.

    data
        its bytes

    Returns a dict: `name` (bytes; b"" when it sets none, None when that cannot be seen), `why` (why not, in
    words), `perhaps` (a list of the names that it may set), `uuid` (bytes, or None) and `is_for`: "a guest",
    "part of one", or "" for what sets nothing that a guest has.
    """
    if data.startswith(BOM):
        data = data[len(BOM) :]
    text = re.sub(r"\r\n?", "\n", _characters(data))
    if text.lstrip().startswith("<"):
        return _reading(None, "is XML, in which no name is looked for", [], None, ESSENTIAL)
    if SXP.match(text):
        return _read_sxp(text)
    try:
        assignments = _assignments(text)
    except ValueError:
        # xm would not execute it either, or this has not understood it: what single lines say has to do.
        assignments = []
        for line in re.findall(r"^(?:name|uuid)[ \t]*=[^\n]*", text, re.MULTILINE):
            try:
                assignments += _assignments(line)
            except ValueError:
                assignments.append(("name", None, False))
        lines = re.findall(r"^[ \t]*(\w+)[ \t]*=", text, re.MULTILINE)
        named = [value for word, value, _ in assignments if word == "name"]
        # Any other line that may set it makes it unsure.
        is_all = len(named) == len(re.findall(r"^[^#\n]*\bname[ \t]*=(?!=)", text, re.MULTILINE))
        name = named[0] if is_all and len(set(named)) == 1 and named[0] else None
        uuids = set([value for word, value, _ in assignments if word == "uuid"])
        uuid = uuids.pop() if len(uuids) == 1 else None
        return _reading(name, "is not understood", named, uuid or None, lines)
    sets = set([word for word, _, _ in assignments])
    value, perhaps = _last(assignments, "name")
    uuid, _ = _last(assignments, "uuid")
    return _reading(value, "is computed", perhaps, uuid or None, sets)


def _reading(name, why, perhaps, uuid, sets):
    raw = [one.encode("latin-1") for one in perhaps if one] if name is None else []
    kind = "a guest" if ESSENTIAL & set(sets) else ("part of one" if USUAL & set(sets) else "")
    return {
        "name": name if name is None else name.encode("latin-1"),
        "why": why,
        "perhaps": sorted(set(raw)),
        "uuid": uuid and _plain_uuid(uuid.encode("latin-1")),
        "is_for": kind,
    }


def _read_sxp(text):
    # What a device is called is not what the guest is called: only what stands right in the form counts.
    said = {"name": [], "uuid": []}
    child, depth = [], 0
    for match in SXP_TOKEN.finditer(text):
        kind, value = match.lastgroup, match.group()
        if kind == "space":
            continue
        if value == "(" and depth == 1:
            child = []
        depth += (value == "(") - (value == ")")
        child.append((kind, value))
        if value == ")" and depth == 1 and child[1][1] in said:
            said[child[1][1]].append(_sxp_value(child[2:-1]))
        if depth < 1:
            break
    (name, uuid) = [said[word][0] if len(said[word]) == 1 else None for word in ("name", "uuid")]
    return _reading(name or None, "is SXP that is not understood", said["name"], uuid, ESSENTIAL)


def _sxp_value(tokens):
    """
    The text that is written out, or None.
    """
    if len(tokens) != 1 or tokens[0][0] not in ("word", "string"):
        return None
    kind, value = tokens[0]
    if kind == "word":
        return value
    return None if "\\" in SXP_ESCAPE.sub("", value) else SXP_ESCAPE.sub(r"\1", value[1:-1])


def _last(assignments, word):
    """
    The value that a word has in the end, "" when it has none and None when that cannot be seen; and the
    values that it may have then.
    """
    value, perhaps = "", []
    for target, assigned, is_sure in assignments:
        if target == word and is_sure:
            value, perhaps = assigned, []
        elif target in (word, "*"):
            perhaps += [one for one in (value, assigned) if one]
            value = None
    return value, perhaps


def _assignments(text):
    """
    What a text assigns to which words, in order: a list of (word, value, is_sure). The value is text when it
    is written out, "" when it is nothing that xm takes for text, and None when it cannot be seen. The word
    "*" stands for any. Raises ValueError when this is no Python.
    """
    found, late, scope, level, opens = [], [], None, 0, False
    for indent, tokens in _lines(text):
        if indent > level and not opens:
            raise ValueError("unexpected indent")
        level, opens = indent, tokens[-1][1] == ":"
        if scope is not None and indent > scope:
            continue
        scope = None
        first = tokens[0][1]
        if first in SCOPES:
            scope = indent
            # What is no text is nothing to xm.
            found += [(word, None, False) for word in _loop_words(_split(tokens, ":")[0])]
            found += [(word, "", indent == 0) for _, word in tokens[1:2]]
            continue
        is_sure = indent == 0 and first not in COMPOUND
        for statement in _split(tokens, ";") if is_sure else _split_compound(tokens):
            found += [(word, value, is_sure) for word, value in _assigned(statement)]
            late += [(word, None, False) for word in _assigned_late(statement)]
    return found + late


def _lines(text):
    """
    The logical lines of a text, as (indentation, tokens); a token is (kind, text).
    """
    lines, tokens, depth, indent, fresh = [], [], 0, 0, True
    for match in TOKEN.finditer(text + "\n"):
        kind, value = match.lastgroup, match.group()
        if kind == "space" and fresh:
            # What follows on the next line is no indentation.
            fresh = value != "\\\n"
            indent = len(value.rpartition("\f")[2].expandtabs(8)) if fresh else indent
        if kind in ("space", "comment"):
            continue
        if kind == "line":
            fresh = not depth
            if not depth and tokens:
                lines.append((indent, tokens))
                tokens = []
            if not depth:
                indent = 0
            continue
        fresh = False
        if kind == "sign" and (value in "'\"\\" or value < " "):
            raise ValueError("a string that does not end, or no text")
        if kind == "sign":
            depth += (value in OPENING) - (value in CLOSING)
            if depth < 0:
                raise ValueError("a bracket too many")
            if depth > DEPTH_MAX:
                raise ValueError("too many brackets in each other")
        tokens.append((kind, value))
    if depth or tokens:
        raise ValueError("a bracket that does not end")
    return lines


def _split(tokens, sign):
    """
    The parts between signs that stand in no brackets; no empty ones at the end.
    """
    parts, depth = [[]], 0
    for kind, value in tokens:
        if kind == "sign":
            depth += (value in OPENING) - (value in CLOSING)
        if kind == "sign" and value == sign and not depth:
            parts.append([])
        else:
            parts[-1].append((kind, value))
    return parts if parts[-1] else parts[:-1]


def _split_compound(tokens):
    """
    The statements of a line that may begin with a condition.
    """
    if tokens[0][1] not in COMPOUND:
        return _split(tokens, ";")
    parts = _split(tokens, ":")
    body = []
    for part in parts[1:]:
        body += _split(part, ";")
    return parts[:1] + body


def _assigned(tokens):
    """
    What one statement assigns: a list of (word, value), as in `_assignments`.
    """
    words = [value for kind, value in tokens if kind == "word"]
    if not tokens:
        return []
    if _may_assign_anything(tokens, words):
        return [("*", None)]
    first = tokens[0][1]
    if first in ("import", "from", "global", "except", "with"):
        return [(word, None) for word in _bound(tokens)]
    if first == "del":
        return [(part[0][1], "") for part in _split(tokens[1:], ",") if len(part) == 1]
    found = [(word, None) for word in _loop_words(tokens)]
    augmented = [sign for kind, sign in tokens if kind == "sign" and sign in AUGMENTED]
    if augmented:
        return found + [(words[0], None)] if words else found
    parts = _split(tokens, "=")
    if len(parts) > TARGETS_MAX:
        raise ValueError("too many words that get one value")
    for target in parts[:-1]:
        found += _pairs(target, parts[-1])
    return found


def _assigned_late(tokens):
    """
    The words that get their value at another moment, or none: what is global is nothing to xm, wherever that
    is said (it executes the file with two name spaces), and what `xm_vars.var` declares is set when
    `xm_vars.check` is called (xm 4.4 help.Vars).
    """
    if tokens[:1] == [("word", "global")]:
        return _bound(tokens)
    if ("word", "xm_vars") in tokens:
        return [_literal([token]) for token in tokens if token[0] == "string"][:1]
    return []


def _may_assign_anything(tokens, words):
    if EXECUTES.intersection(words):
        return True
    if words[:1] == ["from"] and ("sign", "*") in tokens:
        return True
    for place, (kind, value) in enumerate(tokens):
        # "... %(x)s" % vars() only reads.
        if (kind, value) == ("word", "compile") and tokens[max(0, place - 1) : place] != [("sign", ".")]:
            return True
        is_space = kind == "word" and value in ("locals", "vars", "globals")
        if is_space and tokens[max(0, place - 1) : place] != [("sign", "%")]:
            return True
    return False


def _bound(tokens):
    """
    The words that an import or a clause gives a value.
    """
    found, before = [], [("sign", ","), ("word", "as"), ("word", "import"), ("word", "global")]
    for place, (kind, value) in enumerate(tokens[1:]):
        if kind == "word" and tokens[place] in before:
            found.append(value)
    return found


def _loop_words(tokens):
    """
    The words that loops assign; of Python 2, those in brackets too.
    """
    found, is_target = [], False
    for kind, value in tokens:
        if kind == "word" and value in ("for", "in"):
            is_target = value == "for"
        elif kind == "word" and is_target:
            found.append(value)
    return found


def _pairs(target, value):
    """
    The words of the left side of an assignment, each with what it gets.
    """
    target = _bare(target)
    targets = _split(target, ",")
    if len(targets) > 1 or target[-1:] == [("sign", ",")]:
        # What is in there in more brackets is a list of its own.
        values = _split(_bare(value, 1), ",")
        if len(values) != len(targets):
            values = [[]] * len(targets)
        found = []
        for one, its in zip(targets, values):
            found += _pairs(one, its)
        return found
    if len(target) == 1 and target[0][0] == "word":
        return [(target[0][1], _literal(value))]
    return []


def _bare(tokens, layers=None):
    """
    Without the brackets around all of it, or so many layers of them.
    """
    while layers != 0 and len(tokens) > 2 and tokens[0][1] in ("(", "[") and tokens[-1][1] in (")", "]"):
        depth = 0
        for kind, value in tokens[:-1]:
            if kind == "sign":
                depth += (value in OPENING) - (value in CLOSING)
            if not depth:
                return tokens
        tokens = tokens[1:-1]
        layers = layers and layers - 1
    return tokens


def _literal(tokens):
    """
    The text that is written out, or None. Only strings and numbers are anything to xm (xm 4.4 opts.load),
    unicode is not.
    """
    if tokens == [("word", "None")]:
        return ""
    if tokens[:1] == [("sign", "(")]:
        bare = _bare(tokens)
        return _literal(bare) if bare != tokens and len(_split(bare, ",")) == 1 else None
    if len(tokens) == 1 and tokens[0][0] == "word" and re.match(r"[1-9][0-9]*\Z", tokens[0][1]):
        return tokens[0][1]
    if not tokens or [kind for kind, _ in tokens if kind != "string"]:
        return None
    parts = [STRING.match(value).groups() for _, value in tokens]
    if [part for part in parts if part[0] in ("u", "U")]:
        return ""
    return "".join([text if raw else STRING_ESCAPE.sub(_unescaped, text) for _, raw, _, text in parts])


def _unescaped(match):
    what = match.group(1)
    if what[0] == "x":
        return _character(int(what[1:], 16))
    if what[0] in "01234567":
        return _character(int(what, 8) & 255)
    return STRING_ESCAPES.get(what, what)


def _character(number):
    return bytes(bytearray([number])).decode("latin-1")


# What is on this host


def _names(root, folder):
    """
    What is in a folder, in order; nothing when there is no folder.
    """
    try:
        return sorted(os.listdir(_under(root, folder)))
    except OSError as exc:
        # A link that leads nowhere may do so only until a disk is mounted.
        if exc.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.islink(_under(root, folder)):
            return []
        raise


def _look(root, path):
    """
    A file, as a dict: path, leads (the path of the file itself when that is a link), is_link, key (the same
    for all ways to the same file), mode, data, and what `read` makes of that. None when it is missing, or no
    file of a sensible size.
    """
    leads = _follow(root, path)
    try:
        # Opening a device can do something by itself.
        if not stat.S_ISREG(os.stat(_under(root, leads)).st_mode):
            return None
        # What has become a pipe since must not make it wait.
        descriptor = os.open(_under(root, leads), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            data = stream.read(SIZE_MAX + 1) if stat.S_ISREG(status.st_mode) else None
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    if data is None or len(data) > SIZE_MAX:
        return None
    return {
        "path": path,
        "leads": _plain_path(root, leads),
        "is_link": leads != path,
        "key": (status.st_dev, status.st_ino),
        "mode": stat.S_IMODE(status.st_mode),
        "data": data,
        "read": read(data),
        "token": "%d-%d-%.6f" % (status.st_ino, status.st_size, status.st_ctime),
    }


def _odd(root, path):
    """
    What it is that `_look` has not read, in words, or None when it is not there (yet).
    """
    try:
        mode = os.stat(_under(root, _follow(root, path))).st_mode
    except EnvironmentError as exc:
        return "is a link that leads to itself" if exc.errno == errno.ELOOP else None
    if stat.S_ISDIR(mode):
        return "is a folder"
    return "is too big to be read" if stat.S_ISREG(mode) else "is no file that could be read"


def _follow(root, path):
    """
    The path that a link leads to in the end; an absolute link leads to a path of the host.
    """
    for _ in range(LINKS_MAX):
        try:
            leads = os.readlink(_under(root, path))
        except OSError:
            return path
        path = os.path.join(os.path.dirname(path), leads)
    return path


def _plain_path(root, path):
    """
    A path without "..": as it is written where that is the same file, which behind a link to a folder it
    need not be.
    """
    plain = os.path.normpath(path)
    try:
        is_same = os.path.samefile(_under(root, plain), _under(root, path))
    except EnvironmentError:
        is_same = False
    folder, real = _raw(root).rstrip(b"/"), os.path.realpath(_under(root, path))
    return plain if is_same or not real.startswith(folder + b"/") else real[len(folder) :]


def _starts(found, root, link, data):
    """
    Whether an entry in the folder `auto` leads to the file that was found, or is a copy of it, with this
    content (None: that is not known).
    """
    link, path = _raw(link), _raw(found["path"])
    leads = _follow(root, link)
    if leads != link and _plain_path(root, leads) == path:
        return True
    here, file = _look(root, link), _look(root, path)
    if here is None:
        return False
    if leads != link:
        return file is not None and file["key"] == here["key"]
    return here["data"] == data


def is_shared(root, path):
    """
    Whether a path lies on storage that other hosts may have mounted, too.
    """
    # Of a link, where it lies counts, not where it leads.
    folder = os.path.realpath(os.path.dirname(_under(root, path))).rstrip(b"/") + b"/"
    longest, kind = 0, ""
    with open(MOUNTS, "rb") as stream:
        mounts = [line.split(b" ") for line in stream.read().split(b"\n")]
    for fields in mounts:
        # The kernel writes white space as an octal escape.
        point = len(fields) > 2 and ESCAPE.sub(
            lambda match: bytes(bytearray([int(match.group(1), 8)])), fields[1]
        )
        # The last one with a path lies on top of the others.
        if point and folder.startswith(point.rstrip(b"/") + b"/") and len(point) >= longest:
            longest, kind = len(point), legible(fields[2])
    return bool(kind) and kind not in LOCAL


def _cannot_write(root, path):
    """
    Why nothing can be made at a path where there is nothing, as a list of at most one sentence.
    """
    folder = os.path.dirname(path)
    while folder != "/" and not os.path.lexists(_under(root, folder)):
        folder = os.path.dirname(folder)
    place = _under(root, folder)
    if not os.path.isdir(place):
        return ["%s cannot be made: %s is no folder" % (path, folder)]
    if not os.access(place, os.W_OK | os.X_OK):
        return ["%s cannot be made: nothing can be written in %s" % (path, folder)]
    return []


# Paths and words


def _raw(text):
    """
    The bytes of a path or name. Salt on Python 2 hands on text as UTF-8 bytes.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8")


def unfit(value, longest=NAME_MAX):
    """
    Why something is no text that may be a name or a path, in words, or None.

    longest
        in bytes
    """
    if not isinstance(value, TEXT):
        return "is no text"
    if not value:
        return "is empty"
    try:
        raw = _raw(value)
    except UnicodeError:
        return "holds what is no text"
    if not _is_text(raw):
        return "is no text in UTF-8"
    if len(raw) > longest:
        return "is longer than %d bytes" % longest
    if [byte for byte in bytearray(raw) if byte < 32 or byte == 127]:
        return "holds control characters"
    return None


def quoted(value):
    """
    A value of whatever type as a message shows it: short, and on one line.
    """
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, NUMBERS):
        return "%d" % value if abs(value) < 1 << 64 else "a number"
    if not isinstance(value, TEXT):
        return "a %s" % type(value).__name__
    short = value[:QUOTED_MAX]
    try:
        return "'%s%s'" % (legible(short), "..." if len(value) > QUOTED_MAX else "")
    except UnicodeError:
        return repr(short)


def _is_text(raw):
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _native(raw):
    # What Python itself calls text.
    return raw if bytes is str else raw.decode("utf-8")


def legible(path):
    """
    A path as people can read it, whatever bytes it holds: those that are no UTF-8, and characters that steer
    a terminal or the direction of writing, as backslash, x and two digits.
    """
    raw = _raw(path or "")
    is_text = _is_text(raw)
    steering = set([at for found in STEERING.finditer(raw) for at in range(found.start(), found.end())])
    shown = b""
    for at, byte in enumerate(bytearray(raw)):
        is_plain = 32 <= byte < 127 or byte > 127 and is_text and at not in steering
        shown += bytes(bytearray([byte])) if is_plain else ("\\x%02x" % byte).encode("ascii")
    return _native(shown)


def _under(root, path):
    return _raw(root).rstrip(b"/") + _raw(path)


def _link(found):
    """
    The path of the entry in the folder `auto`; None when there is none, or when it is the file itself.
    """
    link = found["auto"] and os.path.join(found["auto_folder"], found["auto"])
    return None if link == found["path"] else link


def _both(found):
    return [place for place in (found["path"], _link(found)) if place]


def _leads(found, root):
    # A relative link is followed from where the folder really is.
    if os.path.islink(_under(root, found["auto_folder"])):
        return found["path"]
    return os.path.relpath(found["path"], found["auto_folder"])


def _entry(root, link):
    try:
        return "-> " + legible(os.readlink(_under(root, link)))
    except OSError:
        return "a copy"


def _shown(data):
    # Not the content, which may hold the guest's VNC password.
    return "file of %d bytes" % len(data)


def _characters(data):
    return data.decode("latin-1")


def _bytes(text):
    # Salt on Python 2 hands on text as UTF-8 bytes.
    return (text.decode("utf-8") if isinstance(text, bytes) else text).encode("latin-1")


# Writing


def _make_folder(folder, mode):
    if not os.path.isdir(folder):
        os.makedirs(folder, mode)
