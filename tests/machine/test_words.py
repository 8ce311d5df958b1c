"""
Every public function and state of a minion with words outside ASCII, in each of its arguments, on a host
whose guests, files, bridges and pillar are full of such words. Runs on Python 2.7 as well, with the locale C
that System V init gives; the dunders of Salt are injected by hand.
"""

from __future__ import absolute_import, print_function

import collections
import glob
import io
import os
import re
import shutil
import sys
import tempfile
import types

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "_utils"))

# Whether Salt gives text or bytes; under Python 2, up to 2017.7 bytes.
KINDS = [True, False] if bytes is str else [True]
WORD = b"K\xc3\xb6ln-\xe2\x82\xac\xc2\x85".decode("utf-8")
NAME = b"k\xc3\xb6ln".decode("utf-8")
UUID = u"c56e09d2-81cc-d4f2-2ee8-abeb85916bc4"

DOMAIN_0 = u"(domain (domid 0) (name Domain-0) (memory 1024) (vcpus 1) (state r-----))"
GUEST_FORM = u"""(domain (domid 1) (uuid UUID) (name NAME) (memory 96) (vcpus 1) (state -b----)
 (image (linux (kernel /boot/vmlinuz-NAME) (args NAME)))
 (device (vif (bridge NAME) (mac 00:16:3e:00:00:01) (script NAME)))
 (device (vbd (uname file:/srv/NAME.img) (dev xvda:disk) (mode w))))"""
ROW = u"%-40s %5s %5s %5s %10s %9s"
TABLE = [
    ROW % ("Name", "ID", "Mem", "VCPUs", "State", "Time(s)"),
    ROW % ("Domain-0", 0, 1024, 1, "r-----", "88.5"),
    ROW % ("NAME", 1, 96, 1, "-b----", "1.0"),
]
INFO = u"host : NAME\nxen_major : 4\nxen_minor : 4\nfree_memory : 512\nxend_config_format : 4\ncc : NAME"
PRINTED = {("list",): u"\n".join(TABLE), ("list", "--long"): DOMAIN_0 + GUEST_FORM, ("info",): INFO}


def worded(text):
    """A text of the host with the words in it."""
    return text.replace("UUID", UUID).replace("NAME", NAME)


def files_of(folder):
    """The files of modules of a folder, without those of the orchestrations, which run on the master."""
    found = sorted(glob.glob(os.path.join(REPO, folder, "x*.py")))
    return [path for path in found if os.path.basename(path) != "xend_orch.py"]


class Utils(dict):
    """The functions of the utilities by "module.function", as Salt's __utils__."""

    def __missing__(self, name):
        module, function = name.split(".")
        return getattr(__import__(module), function)


def content(path):
    with io.open(path, "rb") as stream:
        return stream.read()


class CommandError(Exception):
    pass


def stand_ins():
    """The few names that modules import from Salt, where there is no Salt."""
    try:
        import salt.exceptions
    except ImportError:
        made = {
            "salt": {},
            "salt.exceptions": {"CommandExecutionError": CommandError},
            "salt.utils": {},
            "salt.utils.files": {"backup_minion": lambda *_: None},
            "salt.utils.odict": {"OrderedDict": collections.OrderedDict},
        }
        for name in sorted(made):
            module = types.ModuleType(str(name))
            vars(module).update(made[name])
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
        import salt.exceptions
    return salt.exceptions.CommandExecutionError


Error = stand_ins()


def run_all(as_text):
    """cmd.run_all: it returns text under Python 3, and under 2 from Salt 2018.3 on; before, bytes."""

    def run(command, env=None, **_):
        # An operating system takes nothing else where the locale is C.
        for word in list(command) + list((env or {}).values()):
            assert isinstance(word, str), "a command with %r" % word
        said = PRINTED.get(tuple(command[1:]))
        if said is None and command[1:3] == ["list", "--long"]:
            said = GUEST_FORM
        refused = u"" if said is not None else worded(u"Error: Domain 'x' does not exist: NAME.")
        out, err = worded(said or u""), refused
        if not as_text:
            out, err = out.encode("utf-8"), err.encode("utf-8")
        return {"retcode": int(said is None), "stdout": out, "stderr": err, "pid": 1}

    return run


class Minion(object):
    def __init__(self, folder, as_text=True, test=True):
        # A text that Salt itself has given.
        self.given = u"xen1" if as_text else "xen1"
        xend = {
            "xm": folder + "/xm",
            "config": folder + "/" + NAME + ".sxp",
            "kept": folder + "/" + WORD,
            "pidfile": folder + "/none.pid",
            "log": folder + "/" + NAME + ".log",
            "socket": folder + "/none.sock",
            "service": NAME,
            "source": "127.0.0.1",
            "root": folder + "/" + WORD + "-root",
            "domain_files": ["/etc/xen", "/etc/" + NAME],
            "follow": True,
            "announce": [folder + "/say", WORD],
            "safety_folder": folder + "/" + NAME,
            "relocation": {
                "hosts": {
                    "xen1": {"address": "127.0.0.2", "service": NAME},
                    "xen2": {"address": "127.0.0.3", "port": 1},
                    NAME: {"address": "127.0.0.4", "port": 1},
                },
                "ssl_key_file": WORD,
            },
        }
        self.salt = {
            "cmd.run_all": run_all(as_text),
            "cmd.which": lambda name: None,
            "config.get": lambda path, default=None: self.option(xend, path, default),
            "config.backup_mode": lambda mode: mode,
            "event.send": lambda tag, data: True,
            "iptables.get_rules": lambda *_, **__: {},
            "service.available": lambda name: True,
            "service.start": lambda name: False,
            "service.restart": lambda name: False,
        }
        self.dunders = {
            "__salt__": self.salt,
            "__utils__": Utils(),
            "__opts__": {"id": self.given, "cachedir": folder, "test": test},
            "__grains__": {"kernel": "Linux", "os_family": "RedHat"},
            "__pillar__": {"xend": xend},
        }
        # Python 2 empties a module that nobody knows any more.
        self.modules = []
        self.functions = self.load("_modules", self.salt)
        self.states = self.load("_states", {})

    def option(self, xend, path, default):
        value = {"xend": xend}
        for part in path.split(":"):
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    def load(self, folder, into):
        """The public functions of the files of a folder, by the names that users know."""
        own = {}
        for path in files_of(folder):
            module = types.ModuleType(str(os.path.basename(path)[:-3]))
            self.modules.append(module)
            vars(module).update(self.dunders)
            exec(compile(content(path), path, "exec", 0, True), vars(module))
            virtual, alias = module.__virtual__(), getattr(module, "__func_alias__", {})
            for name, function in sorted(vars(module).items()):
                is_own = isinstance(function, types.FunctionType) and function.__module__ == module.__name__
                if is_own and not name.startswith("_"):
                    own["%s.%s" % (virtual, alias.get(name, name))] = function
        into.update(own)
        return own


VIEW = {"copy": "running", "host": NAME, "state": u"r-----", "domid": 7, "problem": None, "uuid": UUID}
VIEW.update(listed=NAME, other=NAME, near=[NAME], remedy=u"", xend=True, devices_s=100)
GUEST = {"name": NAME, "memory_mib": 96, "uuid": UUID, "disks": [{"uname": u"file:/srv/%s.img" % NAME}]}
FILE = {"name": NAME, "path": u"/etc/xen/" + NAME, "text": u"name = 'x'\n", "mode": 420, "auto": NAME}
RIGHT = {
    "asked": {"time": 1.0, "apart_s": 1},
    "claims": {"xen2": "running"},
    "do": "rename",
    "domain": GUEST,
    "domid": 7,
    "entries": ["10.20.0.12"],
    "file": FILE,
    "found": FILE,
    "guests": [{"name": NAME, "uuid": UUID, "target": "xen2"}],
    "here": VIEW,
    "host": "127.0.0.1",
    "key": "dom0-min-mem",
    "left": VIEW,
    "listed": NAME,
    "marked": {"disks": [], "there": [], "marks": [], "token": "none"},
    "memory_mib": 96,
    "name": NAME,
    "note": "i1",
    "port": 1,
    "ports": [8002],
    "reports": {"xen1": {"copies": []}},
    "seconds": 1,
    "source": "xen2",
    "shares": {"xen1": {"release": [NAME]}},
    "sources": ["10.20.0.12"],
    "storage": [],
    "target": "xen2",
    "test": True,
    "text": u'"%s"' % NAME,
    "there": VIEW,
    "timeout": 0.2,
    "uuid": UUID,
    "value": NAME,
    "version": "4.4",
    "view": VIEW,
    "wait": 0,
    "who": NAME,
}
OTHERS = {
    ("xend.option_present", "name"): "note",
    ("xend.set", "key"): "note",
    ("xm.room_for", "guests"): [GUEST],
    ("xm.room_for", "asked"): {"xen1": {"time": 1.0, "apart_s": 1}},
    ("xm.can_receive", "source"): None,
    ("xm.room_for", "source"): None,
    ("xm.room_for", "storage"): None,
    ("xend.probe", "source"): "127.0.0.1",
    ("xm.repair", "asked"): True,
    ("xm.forget", "asked"): True,
}
WORDS = {
    "as it is": None,
    "text": WORD,
    "list": [WORD],
    "mapping": {WORD: WORD},
    "view": dict(VIEW, problem=WORD, copy="unknown"),
}
STATE_WORDS = ["as it is", "text"]
if bytes is str:
    # As Salt gives it up to 2017.7. Under Python 3 bytes are no text.
    WORDS["bytes"] = WORD.encode("utf-8")
    STATE_WORDS.append("bytes")


def all_text(value):
    """Each text in a value, also in those of dicts and lists."""
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in all_text(one)]
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in all_text(one)]
    return [value] if hasattr(value, "upper") else []


def is_legible(text):
    """Whether a text is one, and shows no other as only Python 2 writes it."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    return re.search(r"""\b[ub]['"]|\\xf6|\\xc3|codec can't""", text) is None


def call(function, name, argument, value):
    code = function.__code__
    given = {}
    for one in code.co_varnames[: code.co_argcount]:
        if one in RIGHT:
            given[one] = OTHERS.get((name, one), RIGHT[one])
    if argument is not None:
        given[argument] = value
    try:
        return function(**given)
    except Error as exc:
        assert isinstance(exc.args[0], str), "an error with %r" % (exc.args,)
        # What UnicodeError calls its reason.
        assert len(exc.args[0]) > 8, "an error that says %r" % (exc.args,)
        return str(exc)


def fill(folder):
    def raw(path):
        return (folder + "/" + path).encode("utf-8")

    for path in (WORD, WORD + "-root", NAME):
        os.mkdir(raw(path), 0o700)
    for path in ("etc/xen/auto", "etc/" + NAME, "srv"):
        os.makedirs(raw(WORD + "-root/" + path))
    for path, text in (
        (NAME + ".sxp", u"(note 'NAME')\n(vif-script NAME)\n(dom0-min-mem 1024)\n"),
        (NAME + ".log", u"[2010-01-01 10:00:00 1] NAME\n"),
        (WORD + "-root/etc/xen/" + NAME, u"name = 'NAME'\nkernel = '/NAME'\ndisk = []\n"),
    ):
        with io.open(raw(path), "wb") as stream:
            stream.write(worded(text).encode("utf-8"))
    os.symlink(b"../" + NAME.encode("utf-8"), raw(WORD + "-root/etc/xen/auto/" + NAME))


@pytest.fixture(scope="module", params=KINDS)
def minion(request):
    folder = tempfile.mkdtemp()
    folder = folder.decode("ascii") if isinstance(folder, bytes) else folder
    fill(folder)
    yield Minion(folder, request.param)
    shutil.rmtree(folder.encode("utf-8"))


def names_of(kind):
    """The public functions of the files of a folder, as users name them."""
    found = []
    for path in files_of(kind):
        name = os.path.basename(path)[:-3]
        virtual = name if name == "xen_guest" else name.partition("_")[0]
        for function in re.findall(r"^def ([a-z]\w*)\(", content(path).decode("ascii"), re.MULTILINE):
            found.append("%s.%s" % (virtual, function.rstrip("_")))
    return found


def arguments(function):
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


@pytest.mark.parametrize("name", names_of("_modules"))
def test_functions_take_any_text(minion, name):
    function = minion.functions[name]
    for argument in arguments(function):
        for what in WORDS:
            said = attempt(function, name, argument, what)
            for text in all_text(said):
                assert is_legible(text), "%s(%s=%s): %r" % (name, argument, what, text)


@pytest.mark.parametrize("name", names_of("_states"))
def test_states_take_any_text(minion, name):
    function = minion.states[name]
    for argument in arguments(function):
        for what in STATE_WORDS:
            found = attempt(function, name, argument, what)
            assert found["result"] in (True, False, None) and found["comment"]
            assert logged(found, type(minion.given))
            for text in all_text(found):
                assert is_legible(text), "%s(%s=%s): %r" % (name, argument, what, text)


def logged(ret, text_type):
    """What Salt makes of what a state returns, in its own literals: state.format_log, 3000 and 2016.11."""
    said = [text_type("{0[name]} {0[comment]}").format(ret)]
    for key, value in ret["changes"].items():
        if isinstance(value, dict):
            said.append(u"'{0}' changed from '{1}' to '{2}'".format(key, value.get("old"), value.get("new")))
        elif key == "diff":
            said.append(text_type("File changed:\n{0}").format(value))
    return said


def attempt(function, name, argument, what):
    try:
        return call(function, name, argument if what != "as it is" else None, WORDS[what])
    except Exception as exc:
        raise AssertionError("%s(%s=%s): %s: %r" % (name, argument, what, type(exc).__name__, exc))
