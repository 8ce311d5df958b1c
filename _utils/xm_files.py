"""
A guest's configuration file and its entry in the folder of guests that are started at boot: found on one
host, put on another, taken away from the first.

The files are programs, which `xm create` executes; here they are only read. Nothing knows Salt.
"""

import errno
import os
import re
import stat

FOLDERS = ("/etc/xen",)
AUTO = "/etc/xen/auto"

# Kernels and disks may lie in the same folder.
SIZE_MAX = 262144

LINKS_MAX = 16

MOUNTS = "/proc/self/mounts"

# File systems that no two hosts have mounted at once. Any other may be shared, and what is taken from one
# host would be gone on the other.
LOCAL = ("rootfs", "ext2", "ext3", "ext4", "ext4dev", "xfs", "jfs", "reiserfs", "reiser4", "btrfs", "zfs")
LOCAL += ("f2fs", "bcachefs", "tmpfs", "ramfs", "overlay", "overlayfs", "aufs", "squashfs", "unionfs")

# What editors and package managers leave beside a file.
LEFT_BEHIND = re.compile(r"\.|.*(?:~|\.(?:bak|orig|swp|rpmsave|rpmorig|rpmnew|dpkg-[a-z]+))\Z")

# How a file may be called that belongs to a guest although its content does not say so.
SUFFIXES = ("", ".cfg", ".hvm", ".conf")

ASSIGNMENT = re.compile(r"^name[ \t]*(\+?=)[ \t]*(.*)", re.MULTILINE)
LITERAL = re.compile(r"(['\"])([^'\"\\]*)\1[ \t]*;?[ \t]*(?:#.*)?\r?\Z")
ESCAPE = re.compile(r"\\([0-7]{3})")
UUID = re.compile(r"^uuid[ \t]*=[ \t]*(['\"])([0-9A-Fa-f-]+)\1", re.MULTILINE)

# The name of a file whose name is not written out.
COMPUTED = object()


def find(name, uuid=None, root="", folders=FOLDERS, auto=AUTO):
    """
    The configuration file of a guest.

    name, uuid
        the guest's; uuid None: not known
    root
        where this process sees the host's file system; all paths given and returned are the host's own
    folders
        the folders that may hold the file itself
    auto
        the folder whose entries are started at boot; what only lies or leads there counts, too

    A guest's file sets `name` to the guest's name, written out, at the start of a line. Returns a dict that
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
    }
    candidates, problems = _candidates(name, root, folders, auto)
    paths = [candidate["path"] for candidate in candidates]
    if len(candidates) > 1:
        problems.append("%s define %s: keep one of them" % (" and ".join(paths), name))
    for candidate in candidates:
        set_uuid = UUID.search(candidate["text"])
        if uuid and set_uuid and set_uuid.group(2).lower() != uuid.lower():
            problems.append(
                "%s defines %s with the uuid %s, and the one that runs has %s: correct the file"
                % (candidate["path"], name, set_uuid.group(2), uuid)
            )
        if len(candidate["entries"]) > 1:
            problems.append(
                "%s is in %s more than once (%s): keep one of them"
                % (candidate["path"], auto, " and ".join(candidate["entries"]))
            )
    if problems:
        found.update(others=paths, problem="; ".join(problems))
    elif candidates:
        (chosen,) = candidates
        found.update((key, chosen[key]) for key in ("path", "text", "mode"))
        found["auto"] = (chosen["entries"] or [None])[0]
        found["shared"] = [place for place in _both(found) if _is_shared(root, place)]
    return found


def check_put(found, root=""):
    """
    Why `put` would refuse, as a list of sentences.
    """
    if found["path"] is None:
        return []
    reasons = []
    path, link = found["path"], _link(found)
    for place in _both(found):
        if not place.startswith("/") or os.path.normpath(place) != place:
            return ["%r is not an absolute path" % place]
    if os.path.lexists(_under(root, path)):
        here = _look(root, path)
        if here is None or here["text"] != _text(found["text"]):
            reasons.append(
                "%s is on this host already, with other content than on the source, and is not overwritten: "
                "compare the two, then correct or remove one" % path
            )
    else:
        reasons += _cannot_write(root, path)
    if link and os.path.lexists(_under(root, link)):
        if not _starts(found, root, link):
            reasons.append(
                "%s is on this host already and starts something else than %s: rename one of them"
                % (link, path)
            )
    elif link:
        reasons += _cannot_write(root, link)
    return reasons


def put(found, root="", test=False):
    """
    Give this host the file that `find` found on another, and its entry in the folder `auto`.

    test
        change nothing, return what would be changed

    Returns {"changes": {path: {"old": None, "new": text}}}, empty when all is there already. When this
    returns, the file is on the disk. Raises ValueError with the sentences of `check_put`, before anything is
    changed; EnvironmentError when writing fails.
    """
    reasons = check_put(found, root)
    if reasons:
        raise ValueError("; ".join(reasons))
    changes = {}
    for place in _both(found):
        if os.path.lexists(_under(root, place)):
            continue
        if place == found["path"]:
            data = _bytes(found["text"])
            changes[place] = {"old": None, "new": _shown(data)}
            if not test:
                _make_folder(os.path.dirname(_under(root, place)), 0o755)
                _create(_under(root, place), data, found["mode"])
        else:
            leads = _leads(found, root)
            changes[place] = {"old": None, "new": "-> " + leads}
            if not test:
                _make_folder(os.path.dirname(_under(root, place)), 0o755)
                os.symlink(leads, _under(root, place))
                _sync(os.path.dirname(_under(root, place)))
    return {"changes": changes}


def take(found, root, keep_folder, test=False):
    """
    Remove the file that `find` found on this host, and its entry in the folder `auto`, after the other host
    has them.

    keep_folder
        where a copy is kept, for root only; this one is a path as this process sees it
    test
        change nothing, return what would be changed

    Returns {"changes": {path: {"old": text, "new": text or None}}}, empty when nothing is left to remove.
    What is on shared storage stays: it is the other host's as well.
    Raises ValueError, before anything is changed, when something has changed since `find`; EnvironmentError
    when the copy cannot be kept or something cannot be removed. Whenever this is interrupted, the file or its
    copy is there, and no entry leads to a file that is not.
    """
    changes = {}
    left = [
        place
        for place in _both(found)
        if place not in found.get("shared", ()) and os.path.lexists(_under(root, place))
    ]
    for place in left:
        if place == found["path"]:
            here = _look(root, place)
            is_own = here is not None and here["text"] == _text(found["text"])
        else:
            is_own = _starts(found, root, place)
        if not is_own:
            raise ValueError(
                "%s has changed while %s was moved, and is left as it is: look at it, because %s must not "
                "be started on this host as well" % (place, found["name"], found["name"])
            )
    # The entry goes first: it must not start the guest at boot, and would lead nowhere without the file.
    for place in reversed(left):
        if place == found["path"]:
            data = _bytes(found["text"])
            kept = os.path.join(keep_folder, _label(found))
            changes[place] = {"old": _shown(data), "new": "kept as %s" % kept}
            if not test:
                _make_folder(keep_folder, 0o700)
                _replace(kept, data, 0o600)
        else:
            changes[place] = {"old": _entry(root, place), "new": None}
        if not test:
            os.unlink(_under(root, place))
            _sync(os.path.dirname(_under(root, place)))
    return {"changes": changes}


# What the files say


def _candidates(name, root, folders, auto):
    """
    The files that define a guest, and sentences on what keeps one from being sure.

    A candidate is what `_look` returns with its "entries" in the folder `auto` (a list of names).
    """
    candidates, problems = [], []
    for folder in list(folders) + [auto]:
        try:
            for here in _files(root, folder):
                said = _name(here["text"])
                if said is COMPUTED and os.path.basename(here["path"]) in _usual(name):
                    problems.append(
                        "the name in %s is computed, so it cannot be seen whether it defines %s: write it "
                        "out" % (here["path"], name)
                    )
                if said == name:
                    _add(candidates, here, folder == auto)
        except EnvironmentError as exc:
            problems.append("%s cannot be read (%s)" % (exc.filename or folder, exc.strerror))
    return candidates, problems


def _add(candidates, here, is_auto):
    same = [one for one in candidates if one["key"] == here["key"]]
    if is_auto and not here["is_link"]:
        # Somebody has copied the file there instead of linking it.
        same = same or [one for one in candidates if one["text"] == here["text"]]
    if not same:
        path = here["leads"] if is_auto else here["path"]
        same = [dict(here, path=path, entries=[])]
        candidates += same
    elif same[0]["is_link"] and not here["is_link"] and not is_auto:
        same[0].update(path=here["path"], is_link=False)
    if is_auto:
        same[0]["entries"].append(os.path.basename(here["path"]))


def _usual(name):
    return [name + suffix for suffix in SUFFIXES]


def _name(text):
    """
    The name that a configuration file sets; COMPUTED when that cannot be seen, None when it sets none.
    """
    found = None
    for operator, value in ASSIGNMENT.findall(text):
        literal = LITERAL.match(value)
        if operator != "=" or not literal:
            return COMPUTED
        found = literal.group(2)
    return found


# What is on this host


def _files(root, folder):
    """
    What `_look` says of the files of a folder, in the order of their names; none when there is no folder.
    """
    try:
        names = sorted(os.listdir(_under(root, folder)))
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return []
        raise
    found = [
        _look(root, os.path.join(folder, name)) for name in names if not LEFT_BEHIND.match(name)
    ]
    return [here for here in found if here]


def _look(root, path):
    """
    A file, as a dict: path, leads (the path of the file itself when that is a link), is_link, key (the same
    for all ways to the same file), mode and text. None when it is missing, or no file of a sensible size.
    """
    leads = _follow(root, path)
    try:
        # A pipe must not be opened.
        if not stat.S_ISREG(os.stat(_under(root, leads)).st_mode):
            return None
        with open(_under(root, leads), "rb") as stream:
            status = os.fstat(stream.fileno())
            data = stream.read(SIZE_MAX + 1)
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    if len(data) > SIZE_MAX:
        return None
    return {
        "path": path,
        "leads": os.path.normpath(leads),
        "is_link": leads != path,
        "key": (status.st_dev, status.st_ino),
        "mode": stat.S_IMODE(status.st_mode),
        "text": data.decode("latin-1"),
    }


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


def _starts(found, root, link):
    """
    Whether an entry in the folder `auto` leads to the file that was found, or is a copy of it.
    """
    leads = _follow(root, link)
    if leads != link and os.path.normpath(leads) == found["path"]:
        return True
    here, file = _look(root, link), _look(root, found["path"])
    if here is None:
        return False
    if leads != link:
        return file is not None and file["key"] == here["key"]
    return here["text"] == _text(found["text"])


def _is_shared(root, path):
    """
    Whether a path lies on storage that other hosts may have mounted, too.
    """
    # Of a link, where it lies counts, not where it leads.
    folder = os.path.realpath(os.path.dirname(_under(root, path))).rstrip("/") + "/"
    longest, kind = 0, ""
    with open(MOUNTS, "rb") as stream:
        mounts = [line.split(" ") for line in stream.read().decode("utf-8", "replace").split("\n")]
    for fields in mounts:
        # The kernel writes white space as an octal escape.
        point = len(fields) > 2 and ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), fields[1])
        # The last one with a path lies on top of the others.
        if point and folder.startswith(point.rstrip("/") + "/") and len(point) >= longest:
            longest, kind = len(point), fields[2]
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


def _under(root, path):
    return root.rstrip("/") + path


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
        return "-> " + os.readlink(_under(root, link))
    except OSError:
        return "a copy"


def _label(found):
    parts = [part for part in (found["name"], found["uuid"], "cfg") if part]
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", ".".join(parts)).lstrip(".-")


def _shown(data):
    # Not the content, which may hold the guest's VNC password.
    return "file of %d bytes" % len(data)


def _text(text):
    # Salt on Python 2 hands on text as UTF-8 bytes.
    return text.decode("utf-8") if isinstance(text, bytes) else text


def _bytes(text):
    return _text(text).encode("latin-1")


# Writing


def _make_folder(folder, mode):
    if not os.path.isdir(folder):
        os.makedirs(folder, mode)


def _create(path, data, mode):
    """
    Make a file that is complete from the first moment, and never in place of another.
    """
    temporary = _write_beside(path, data, mode)
    try:
        # Unlike a rename, this fails when somebody has made the file meanwhile.
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    _sync(os.path.dirname(path))


def _replace(path, data, mode):
    os.rename(_write_beside(path, data, mode), path)
    _sync(os.path.dirname(path))


def _write_beside(path, data, mode):
    """
    A file with this content that is on the disk, under another name in the same folder.
    """
    folder, name = os.path.split(path)
    # Hidden, so that nobody takes it for a guest's; one fixed name, so that none pile up.
    temporary = os.path.join(folder, ".%s.new" % name)
    if os.path.lexists(temporary):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(descriptor, mode & 0o777)
            os.fsync(descriptor)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _sync(folder):
    # A name is on the disk only when its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
