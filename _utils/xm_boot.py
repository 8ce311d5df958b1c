"""
Who else starts a guest on a host beside xend and xm: saved images that xendomains restores at boot, and
managers of clusters that restart what was moved behind their backs.

What the configuration files of guests have to do with it is in xm_files. Nothing knows Salt or xm.
"""

import errno
import os
import re
import stat
import struct

# As the init script xendomains has it (xen 3.0.3 to 4.4).
SETTINGS = {"SAVE": "/var/lib/xen/save", "RESTORE": "true", "AUTO": "/etc/xen/auto"}
SETTINGS_FILES = ("/etc/sysconfig/xendomains", "/etc/default/xendomains")
SETTING = re.compile(
    r"[ \t]*(?:(?:export|readonly|(?:declare|typeset)[ \t]+-x)[ \t]+)?"
    r"XENDOMAINS_(?P<key>SAVE|RESTORE|AUTO)=(?:\"(?P<double>[^\"$`\\]*)\"|'(?P<single>[^']*)'"
    r"|(?P<bare>[^\s\"'$`\\;#&|()<>*?\[~][^\s\"'$`\\;&|()<>*?\[]*)?)"
    r"[ \t]*;?(?:[ \t]+#.*)?[ \t]*\Z"
)
# Whatever else gives a setting a value, or takes it away.
KEY = r"XENDOMAINS_(SAVE|RESTORE|AUTO)"
SETTER = re.compile(r"(?<!\$)(?<!\$\{)%s\+?=|\$\{%s:?=|\b(?:unset|read|printf)\b.*%s\b" % (KEY, KEY, KEY))
COMMENT = re.compile(r"(?:^|(?<=[ \t]))#.*")
# What other lines decide about, or what is written elsewhere.
BEGINS = re.compile(r"[ \t]*(?:if|case|for|while|until|function|\{)(?:[ \t]|\Z)|.*(?:\{|\(\))\Z")
ENDS = re.compile(r"(?:^|[ \t;])(?:fi|esac|done|\})[ \t;]*\Z")
# Text that goes on in the next line.
WHOLE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|\\.|<<<")
GOES_ON = re.compile(r"[\"']|<<")
ELSEWHERE = re.compile(r"[ \t]*(?:\.|source|eval)[ \t]")

# What an image begins with: 16 bytes, the length of the configuration in four, and that (xend 3.0.3 to 4.4
# XendCheckpoint.save).
SIGNATURE = b"LinuxGuestRecord"
LENGTH = struct.Struct("!i")
CONFIGURATION_MAX = 1048576
SETTINGS_MAX = 262144

# A program -> what starts guests by it. The first fifteen letters are all that the kernel keeps of a name.
MANAGERS = {
    "pacemakerd": "Pacemaker",
    "pacemaker-controld": "Pacemaker",
    "pacemaker-execd": "Pacemaker",
    "crmd": "Pacemaker",
    "pengine": "Pacemaker",
    "corosync": "a cluster manager on corosync",
    "aisexec": "a cluster manager on OpenAIS",
    "heartbeat": "Heartbeat",
    "rgmanager": "rgmanager",
    "clurgmgrd": "rgmanager",
    "ganeti-noded": "Ganeti",
    "ganeti-masterd": "Ganeti",
    "ganeti-wconfd": "Ganeti",
    "ganeti-luxid": "Ganeti",
    "ganeti-confd": "Ganeti",
    "ovs-agent": "the agent of Oracle VM",
    "OVSMonitor": "the agent of Oracle VM",
    "hashadow": "Veritas Cluster Server",
    "cmcld": "Serviceguard",
}
COMM_MAX = 15
INTERPRETER = re.compile(r"(?:python|perl|ruby|sh|bash)[0-9.]*\Z")


def settings(root="", auto=None):
    """
    What xendomains does at boot.

    root
        where this process sees the host's file system
    auto
        the folder whose entries are started, when that is known better than from the settings

    Returns a dict: `save` (the folder of which every image is restored; None: nothing is), `auto` (the folder
    whose entries are started), `file` (that says so; None: there is none, and this is what Xen ships) and
    `doubts` (sentences on settings that cannot be read).
    """
    files = SETTINGS_FILES if os.path.isdir(root + "/etc/sysconfig") else SETTINGS_FILES[::-1]
    said, doubts, where = dict(SETTINGS), [], None
    for path in files:
        try:
            # A pipe would make it wait for good.
            if os.path.exists(root + path) and not os.path.isfile(root + path):
                doubts.append("%s cannot be read (it is no file)" % path)
                break
            with open(root + path, "rb") as stream:
                text = stream.read(SETTINGS_MAX).decode("latin-1")
        except EnvironmentError as exc:
            if exc.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            doubts.append("%s cannot be read (%s)" % (path, exc.strerror))
            break
        where = path
        values, unclear = _said(text)
        said.update(values)
        unclear = [key for key in unclear if not (auto and key == "AUTO")]
        doubts += ["XENDOMAINS_%s in %s is not understood" % (key, path) for key in unclear]
        break
    save = said["SAVE"] if said["RESTORE"] == "true" else ""
    auto = auto or _absolute(said["AUTO"] or SETTINGS["AUTO"])
    return {"save": save and _absolute(save) or None, "auto": auto, "file": where, "doubts": doubts}


def _said(text):
    """
    The settings in a file that the shell reads, as far as they are plain: a dict, and a sorted list of the
    others, for which what Xen ships is taken.
    """
    values, unclear, depth, is_new = {}, set(), 0, True
    for line in text.replace("\r", "").split("\n"):
        bare = COMMENT.sub("", line).rstrip()
        depth += bool(BEGINS.match(bare))
        plain = SETTING.match(line) if is_new and not depth else None
        is_new = not bare.endswith("\\")
        if plain:
            key = plain.group("key")
            value = _text("".join([plain.group(kind) or "" for kind in ("double", "single", "bare")]))
            if value is not None:
                values[key] = value
                unclear.discard(key)
                continue
        # Only the shell knows what that comes to.
        for key in SETTINGS if ELSEWHERE.match(bare) else _set(bare):
            values.pop(key, None)
            unclear.add(key)
        depth = max(0, depth - bool(ENDS.search(bare)))
        if GOES_ON.search(WHOLE.sub("", bare)):
            # Where that ends is not looked for: nothing is plain from here on.
            depth = len(text)
    return values, sorted(unclear)


def _set(line):
    return [key for keys in SETTER.findall(line) for key in keys if key]


def _text(value):
    """
    What Python itself calls text, of characters that stand for bytes; None when these are no UTF-8.
    """
    raw = value.encode("latin-1")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return raw if bytes is str else text


def _absolute(path):
    # init runs its scripts in the root folder.
    return "/" + path.strip("/")


def images(folder, root=""):
    """
    The images of guests in the folder that xendomains restores from.

    Returns a list of dicts: `path` (bytes), `config` (bytes: the guest's configuration as xend prints it, or
    None) and `problem` (why it cannot be seen whose it is, or None). Raises EnvironmentError when the folder
    cannot be read; without a folder there is none.
    """
    raw = folder if isinstance(folder, bytes) else folder.encode("utf-8")
    place = root.encode("utf-8") if not isinstance(root, bytes) else root
    try:
        names = sorted(os.listdir(place + raw))
    except EnvironmentError as exc:
        # A link that leads nowhere may do so only until a disk is mounted.
        if exc.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.islink(place + raw):
            return []
        raise
    # What is hidden is no match of the shell's star.
    found = [image(os.path.join(raw, name), place) for name in names if not name.startswith(b".")]
    return [one for one in found if one]


def image(path, root=b""):
    """
    One image, as for `images`; None when there is none at this path.
    """
    raw = path if isinstance(path, bytes) else path.encode("utf-8")
    place = (root if isinstance(root, bytes) else root.encode("utf-8")) + raw
    found = {"path": raw, "config": None, "problem": None}
    try:
        # A pipe must not be opened.
        if not stat.S_ISREG(os.stat(place).st_mode):
            return None
        with open(place, "rb") as stream:
            if stream.read(len(SIGNATURE)) != SIGNATURE:
                return None
            length = stream.read(LENGTH.size)
            size = LENGTH.unpack(length)[0] if len(length) == LENGTH.size else -1
            if 0 < size <= CONFIGURATION_MAX:
                found["config"] = stream.read(size)
    except EnvironmentError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        return dict(found, problem="it cannot be read (%s)" % exc.strerror)
    if found["config"] is None or len(found["config"]) < size:
        return dict(found, config=None, problem="its configuration is cut short")
    return found


def managers(programs):
    """
    The managers of clusters among the programs that run.

    programs
        a list of names, as `programs` returns

    Returns a sorted list of (manager, program).
    """
    found = {}
    for program in programs:
        for known in MANAGERS:
            if program == known or program == known[:COMM_MAX]:
                found.setdefault(MANAGERS[known], known)
    return sorted(found.items())


def programs(proc="/proc"):
    """
    The names of the programs that run: the file, or the script when that is an interpreter, and what the
    kernel calls the process.

    proc
        where the kernel shows processes

    Returns a sorted list of text; None when no process is shown there.
    """
    found, seen = set(), False
    try:
        pids = [name for name in os.listdir(proc) if name.isdigit()]
    except EnvironmentError:
        return None
    for pid in pids:
        seen = True
        found.update(_names(os.path.join(proc, pid)))
    return sorted(found) if seen else None


def _names(process):
    words = [os.path.basename(word) for word in _content(process + "/cmdline").split("\0")[:3]]
    # heartbeat calls itself "heartbeat: master control process".
    names = [words[0].partition(":")[0]] if words else []
    if words and INTERPRETER.match(words[0]):
        names += words[1:]
    names.append(_content(process + "/comm").strip())
    # Kernels before 2.6.33 have no comm.
    names.append(_content(process + "/stat").partition("(")[2].rpartition(")")[0])
    return [name for name in names if name]


def _content(path):
    try:
        with open(path, "rb") as stream:
            return stream.read(4096).decode("latin-1")
    except EnvironmentError:
        # It has just ended, or is somebody else's.
        return ""
