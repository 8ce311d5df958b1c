"""
A guest's configuration file and its entry in /etc/xen/auto, on hosts that are folders. Runs on Python 2.7,
too.
"""

import json
import os
import shutil
import stat
import tempfile
import time
from importlib import import_module

import pytest

import xm_files

UUID = "c56e09d2-81cc-d4f2-2ee8-abeb85916bc4"
PATH = "/etc/xen/web01.cfg"
LINK = "/etc/xen/auto/web01.cfg"
TEXT = b"""# the shop\nname = "web01"\nmemory = 96\ndisk = ['file:/srv/xen/web01.img,xvda,w']\n"""
ODD = TEXT + b"# \xff caf\xc3\xa9\r\n"


class Host:
    """A host's file system in a folder; all paths are the host's own."""

    def __init__(self, root):
        self.root = root
        os.makedirs(self.at("/etc/xen/auto"))
        self.keep = self.at("/var/lib/kept")

    def at(self, path):
        return self.root + path

    def write(self, path, data=TEXT, mode=0o644):
        if not os.path.isdir(os.path.dirname(self.at(path))):
            os.makedirs(os.path.dirname(self.at(path)))
        with open(self.at(path), "wb") as stream:
            stream.write(data)
        os.chmod(self.at(path), mode)

    def link(self, path, leads):
        os.symlink(leads, self.at(path))

    def read(self, path):
        with open(self.at(path), "rb") as stream:
            return stream.read()

    def has(self, path):
        return os.path.lexists(self.at(path))

    def find(self, name="web01", uuid=UUID, **options):
        return xm_files.find(name, uuid, self.root, **options)

    def put(self, found, **options):
        return xm_files.put(found, import_module, self.root, **options)

    def check(self, found, **options):
        return xm_files.check_put(found, self.root, **options)

    def take(self, found, **options):
        return xm_files.take(found, import_module, self.root, self.keep, **options)

    def kept(self):
        with open(os.path.join(self.keep, "web01.%s.cfg" % UUID), "rb") as stream:
            return stream.read()

    def everything(self):
        """All that is below: the content of files, where links lead, modes, and when it was changed."""
        seen = {}
        for folder, _, names in os.walk(self.root):
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                status = os.lstat(path)
                seen[path] = (status.st_mode, status.st_ino, status.st_mtime)
        return seen


@pytest.fixture
def hosts():
    folder = os.path.realpath(tempfile.mkdtemp())
    yield [Host(os.path.join(folder, name)) for name in ("source", "target")]
    shutil.rmtree(folder)


@pytest.fixture
def source(hosts):
    return hosts[0]


@pytest.fixture
def target(hosts):
    return hosts[1]


@pytest.fixture
def usual(source):
    source.write(PATH)
    source.link(LINK, "../web01.cfg")
    return source


# Finding


def test_a_guests_file_and_its_link(usual):
    usual.write("/etc/xen/db.cfg", TEXT.replace(b"web01", b"db"))
    found = usual.find()
    assert (found["path"], found["auto"], found["mode"]) == (PATH, "web01.cfg", 0o644)
    assert (found["problem"], found["others"]) == (None, [])
    assert usual.find("db", None)["auto"] is None


def test_a_guest_without_a_file(usual):
    found = usual.find("mail")
    assert (found["path"], found["auto"], found["problem"], found["others"]) == (None, None, None, [])


def test_a_host_without_the_folders(source):
    shutil.rmtree(source.at("/etc/xen"))
    assert source.find()["path"] is None


@pytest.mark.parametrize(
    "line, is_found",
    [
        (b"name = 'web01'", True),
        (b'name="web01"   # the shop', True),
        (b'name\t=\t"web01";\r', True),
        (b'name = "other"\nname = "web01"', True),
        (b'name = "web01"\nname = "other"', False),
        (b'#name = "web01"', False),
        (b'hostname = "web01"', False),
        (b'name_of = "web01"', False),
        (b'name = "web01-test"', False),
        (b'name = "Web01"', False),
        (b"name = web01", False),
        (b'name = "web01" + suffix', False),
        (b'name = "web01"; name = "other"', False),
        (b'vif = [ "mac=00:16:3e:00:00:01" ]\n  name = "web01"', False),
    ],
)
def test_what_names_a_guest(source, line, is_found):
    source.write("/etc/xen/any", b"memory = 96\n" + line + b"\nvcpus = 1\n")
    found = source.find()
    assert (found["path"] == "/etc/xen/any") is is_found
    assert found["problem"] is None


@pytest.mark.parametrize("line", [b'name = "web%02d" % 1', b'name = "web"\nname += "01"', b"name = vmname"])
@pytest.mark.parametrize("path", ["/etc/xen/web01", PATH, "/etc/xen/web01.hvm", "/etc/xen/web01.conf", LINK])
def test_a_file_that_is_called_like_the_guest_and_computes_its_name(source, path, line):
    source.write(path, line + b"\n")
    found = source.find()
    assert found["path"] is None and path in found["problem"] and "computed" in found["problem"]


def test_a_computed_name_in_a_file_of_another_name_is_nothing_to_this_guest(usual):
    usual.write("/etc/xen/template", b"name = vmname\n")
    usual.write("/etc/xen/web01", b"no assignment at all\n")
    assert usual.find()["path"] == PATH


def test_no_file_is_executed(source):
    script = "open('%s', 'w')\n" % source.at("/executed")
    source.write(PATH, script.encode("ascii") + TEXT)
    assert source.find()["path"] == PATH
    assert not source.has("/executed")


@pytest.mark.parametrize(
    "name", ["web01.cfg~", "web01.cfg.bak", "web01.rpmsave", "web01.orig", ".web01.cfg.swp", ".web01"]
)
def test_what_editors_and_packages_leave_is_no_file_of_a_guest(usual, name):
    usual.write("/etc/xen/" + name)
    assert usual.find()["path"] == PATH


def test_folders_pipes_and_big_files_are_no_files_of_a_guest(usual):
    os.makedirs(usual.at("/etc/xen/web01"))
    os.mkfifo(usual.at("/etc/xen/pipe"))
    usual.link("/etc/xen/loop", "loop")
    usual.link("/etc/xen/nowhere", "gone")
    usual.write("/etc/xen/vmlinuz", TEXT + b"x" * xm_files.SIZE_MAX)
    assert usual.find()["path"] == PATH


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink("web01", path)]
)
def test_what_cannot_be_read_and_is_called_like_the_guest_is_said(usual, make):
    make(usual.at("/etc/xen/web01"))
    found = usual.find()
    assert (found["path"], found["unread"]) == (PATH, ["/etc/xen/web01"])


def test_a_file_that_is_too_big_and_is_called_like_the_guest_is_said(source):
    with open(source.at("/etc/xen/web01"), "wb") as stream:
        stream.truncate(1 << 40)
    assert source.find()["unread"] == ["/etc/xen/web01"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("../pipe", path)])
def test_an_entry_that_is_no_file_is_said(usual, make):
    os.mkfifo(usual.at("/etc/xen/pipe"))
    make(usual.at("/etc/xen/auto/pipe"))
    os.mkdir(usual.at("/etc/xen/auto/folder"))
    usual.link("/etc/xen/auto/loop", "loop")
    (doubt,) = [text for text in usual.find()["doubts"] if "pipe" in text]
    assert "no file that could be read" in doubt and "auto/folder" not in "".join(usual.find()["doubts"])


def test_more_than_can_be_looked_through_is_said(usual, monkeypatch):
    monkeypatch.setattr(xm_files, "TOTAL_MAX", 100)
    usual.write("/etc/xen/zzz", b"x" * 100)
    found = usual.find()
    assert found["path"] is None and "more than can be looked through" in found["problem"]


def test_of_two_files_none_is_chosen(usual):
    usual.write("/etc/xen/web01")
    found = usual.find()
    assert (found["path"], found["text"], found["auto"]) == (None, None, None)
    assert found["others"] == ["/etc/xen/web01", PATH]
    assert PATH in found["problem"] and "/etc/xen/web01 " in found["problem"]


def test_two_ways_to_one_file_are_one_file(usual):
    usual.link("/etc/xen/a-link", "web01.cfg")
    os.symlink("xen", usual.at("/etc/vm"))
    assert usual.find(folders=("/etc/vm", "/etc/xen"))["problem"] is None
    assert usual.find()["path"] == PATH


def test_a_file_for_another_uuid_is_not_chosen(source):
    source.write(PATH, TEXT + b'uuid = "11111111-81cc-d4f2-2ee8-abeb85916bc4"\n')
    found = source.find()
    assert found["path"] is None and found["others"] == [PATH] and "11111111" in found["problem"]
    assert source.find(uuid=None)["path"] == PATH
    source.write(PATH, TEXT + ('uuid = "%s"\n' % UUID.upper()).encode("ascii"))
    assert source.find()["path"] == PATH


@pytest.mark.parametrize("leads", ["../web01.cfg", "/etc/xen/web01.cfg", "../hop"])
def test_how_an_entry_may_lead_to_the_file(source, leads):
    source.write(PATH)
    source.link("/etc/xen/hop", "/etc/xen/web01.cfg")
    source.link("/etc/xen/auto/10-shop", leads)
    found = source.find()
    assert (found["path"], found["auto"]) == (PATH, "10-shop")


def test_a_copy_among_the_entries(source):
    source.write(PATH)
    source.write(LINK)
    found = source.find()
    assert (found["path"], found["auto"], found["problem"]) == (PATH, "web01.cfg", None)
    source.write(LINK, TEXT + b"vcpus = 2\n")
    assert source.find()["others"] == [PATH, LINK]


def test_a_file_that_only_lies_among_the_entries(source, target):
    """It would start the guest at boot, so it is not to be missed."""
    source.write(LINK)
    found = source.find()
    assert (found["path"], found["auto"]) == (LINK, "web01.cfg")
    assert list(target.put(found)["changes"]) == [LINK]
    assert not os.path.islink(target.at(LINK))
    source.take(found)
    assert not source.has(LINK) and source.kept() == TEXT


def test_a_file_elsewhere_to_which_an_entry_leads(source):
    source.write("/srv/conf/shop")
    source.link(LINK, "/srv/conf/shop")
    found = source.find()
    assert (found["path"], found["auto"]) == ("/srv/conf/shop", "web01.cfg")


def test_two_entries_for_one_file(usual):
    usual.link("/etc/xen/auto/again", PATH)
    found = usual.find()
    assert found["path"] is None and "again and web01.cfg" in found["problem"]


def test_what_cannot_be_read_may_hold_the_guests_file(usual):
    unreadable = "/etc/" + 300 * "x"
    found = usual.find(folders=("/etc/xen", unreadable))
    assert found["path"] is None and found["others"] == [PATH] and unreadable in found["problem"]


# Names that have to be read


def read(text):
    found = xm_files.read(text)
    return found["name"], found["perhaps"]


@pytest.mark.parametrize(
    "text, name",
    [
        (b"name\t=\t'web01'\r\nmemory = 1\r\n", b"web01"),
        (b"\xef\xbb\xbfname = 'web01'\n", b"web01"),
        (b"name=\"web01\"; memory=512\n", b"web01"),
        (b"memory=512 ; name='web01'", b"web01"),
        (b"name = r'web01'\n", b"web01"),
        (b"name = 'web' '01'\n", b"web01"),
        (b"name = ('web'\n    \"01\")\n", b"web01"),
        (b"name = '''web01'''\n", b"web01"),
        (b"name \\\n  = 'web01'\n", b"web01"),
        (b"name, memory = 'web01', 512\n", b"web01"),
        (b"(memory, name) = (512, 'web01')\n", b"web01"),
        (b"name = hostname = 'web01'\n", b"web01"),
        (b"name = 'other'\nname = 'web01' # not 'other'\n", b"web01"),
        (b"name = '\\x77eb\\060\\61'\n", b"web01"),
        (b"name = 'K\xc3\xb6ln'\n", b"K\xc3\xb6ln"),
        (b"name = 7\n", b"7"),
        (b'"""\nname = "other"\n"""\nname = \'web01\'\n', b"web01"),
        (b"def check(x):\n    name = 'other'\n    return x\nname = 'web01'\n", b"web01"),
        (b"execfile('/etc/xen/common')\nname = 'web01'\n", b"web01"),
        (b"print 'building'\nname = 'web01'\n", b"web01"),
        (b"name = 'web01'\ndisk = ['phy:/dev/vg/%(name)s,xvda,w' % locals()]\n", b"web01"),
        (b"name = 'web01'\nif name == 'web01':\n    memory = 512\n", b"web01"),
        (b"# c\n(vm (name web01) (memory 256))\n", b"web01"),
        (b"(vm (memory 256)\n  (name 'web01'))\n", b"web01"),
        (b"# c\n(vm (device (vif (name eth0))) (name web01))\n", b"web01"),
        (b"(vm (image (linux (args 'a (name b)'))) (name \"web01\"))\n", b"web01"),
        (b"(vm (name 'web#01') (memory 256)) # (name x)\n", b"web#01"),
        (b"(vm (name 'it\\'s'))\n", b"it's"),
        (b"name = 'web01'\nno python at all: (\n", b"web01"),
        (b"\\\nname = 'web01'\n", b"web01"),
        (b"memory = 1\n\\\n  name = 'web01'\n", b"web01"),
        (b"xm_vars.var('vmid', use='name', check=check)\nxm_vars.check()\nname = 'web01'\n", b"web01"),
        (b"import re\nname = 'web01'\nnumber = re.compile('[0-9]')\n", b"web01"),
        # Not set, so that the file's name counts; of unicode and None xm knows nothing.
        (b"#name = 'web01'\nmemory = 1\n", b""),
        (b"hostname = 'web01'\n", b""),
        (b"x.name = 'web01'\n", b""),
        (b"name = ''\n", b""),
        (b"name = None\n", b""),
        (b"name = u'web01'\n", b""),
        (b"name = 'web01'\ndel name\n", b""),
        (b"args = dict(name='web01')\n", b""),
    ],
)
def test_a_name_that_is_written_out(text, name):
    assert read(text) == (name, [])


@pytest.mark.parametrize(
    "text, perhaps",
    [
        (b"vmname = 'web01'\nname = vmname\n", []),
        (b"name = 'VM%d' % 7\n", []),
        (b"name = open('/etc/hostname').read()\n", []),
        (b"name = os.environ['NAME']\n", []),
        (b"name = 'web01' + suffix\n", []),
        (b"name = 'web01'\nname += '.example.com'\n", []),
        (b"execfile('/etc/xen/common.inc')\n", []),
        (b"name = 'web01'\nexecfile('/etc/xen/common.inc')\n", [b"web01"]),
        (b"exec open('/etc/xen/common.inc').read()\n", []),
        (b"from common import *\n", []),
        (b"from common import name\n", []),
        (b"import common as name\n", []),
        (b"locals()['name'] = 'web01'\n", []),
        (b"if True:\n    name = 'web01'\n", [b"web01"]),
        (b"if True:\n\tname = 'web01'\nelse:\n\tname = 'web02'\n", [b"web01", b"web02"]),
        (b"if True: name = 'web01'\n", [b"web01"]),
        (b"name = 'web01'\nif os.path.exists('/x'): name = 'web02'\n", [b"web01", b"web02"]),
        (b"for name in ('web01', 'web02'):\n    pass\n", []),
        (b"disk = ['phy:%s,xvda,w' % name for name in names]\n", []),
        (b"name, memory = settings()\n", []),
        (b"name, = [['web01']]\n", []),
        (b"(name, memory) = [('web01',), 512]\n", []),
        (b"def f(x=[name for name in names][0]):\n    return x\n", []),
        (b"  name = 'web01'\n", []),
        (b"name = 'web01\n", []),
        (b"name = ['web01'\n", []),
        (b"name = 'web01'\nname = 'web02'\nargs = (\n", [b"web01", b"web02"]),
        (b"<vm><name>web01</name></vm>\n", []),
        (b"(vm (memory 256))\n", []),
        (b"(vm (memory 256) (device (vif (name web01))))\n", []),
        (b"(vm (name web01) (name web02))\n", [b"web01", b"web02"]),
        # Set where xm does not look, or by what looks like something else.
        (b"global name\nname = 'web01'\n", [b"web01"]),
        (b"xm_vars.var('name', check=check)\nname = 'web01'\nxm_vars.check()\n", [b"web01"]),
        (b"eval(compile('name = 1', 'x', 'exec'))\n", []),
        (b"code = compile(open('x').read(), 'x', 'exec')\neval(code)\n", []),
        (b"sys._getframe().f_locals['name'] = 'web01'\n", []),
        # What is not understood in one line may be anywhere.
        (b"name = 'web02'\nx = (\nif x:\n    name = 'web01'\n", [b"web02"]),
        (b"name = 'web02'\nx = 1; name = 'web01\n", [b"web02"]),
        (b"n\0a\0m\0e\0", []),
    ],
)
def test_a_name_that_cannot_be_seen(text, perhaps):
    assert read(text) == (None, perhaps)


def test_a_file_without_a_name_is_called_like_itself(source, target):
    """xm create takes the name of the file that it was given, xendomains gives it the entry."""
    source.write("/etc/xen/web01", b"kernel = '/boot/vmlinuz'\nmemory = 96\n")
    assert source.find()["path"] == "/etc/xen/web01"
    source.link("/etc/xen/auto/web01", "../web01")
    found = source.find()
    assert (found["path"], found["auto"]) == ("/etc/xen/web01", "web01")
    assert found["starts"] == [{"path": "/etc/xen/auto/web01", "called": "web01", "shared": False}]


def test_an_entry_without_a_name_starts_a_guest_that_is_called_like_the_entry(source):
    source.write("/etc/xen/shop.cfg", b"kernel = '/boot/vmlinuz'\nmemory = 96\n")
    source.link("/etc/xen/auto/web01", "../shop.cfg")
    found = source.find()
    assert [start["path"] for start in found["starts"]] == ["/etc/xen/auto/web01"]
    assert source.find("shop.cfg")["starts"][0]["called"] == "web01"


def test_an_entry_of_another_name_for_the_file_of_the_guest(source):
    """The disks are the same, whatever the second one is called."""
    source.write("/etc/xen/web01", b"disk = ['phy:vg/web01,xvda,w']\n")
    source.link("/etc/xen/auto/10-web01", "../web01")
    (start,) = source.find()["starts"]
    assert (start["path"], start["called"]) == ("/etc/xen/auto/10-web01", "10-web01")


@pytest.mark.parametrize("line", [b"name = 'web01'\n", b"name = 'web01'\nstem = 'x'\n"])
def test_what_only_sets_a_name_for_others_is_no_guests_file(source, line):
    source.write("/etc/xen/common.inc", line)
    source.write("/etc/xen/inc.cfg", b"execfile('/etc/xen/common.inc')\ndisk = ['phy:/dev/vg/app,xvda,w']\n")
    found = source.find()
    assert (found["path"], found["problem"], found["unread"]) == (None, None, ["/etc/xen/inc.cfg"])


def test_what_others_execute_is_no_guests_file(source):
    source.write("/etc/xen/common.inc", b"name = 'web01'\nmemory = 512\n")
    source.write("/etc/xen/inc.cfg", b"execfile('/etc/xen/common.inc')\ndisk = ['phy:/dev/vg/app,xvda,w']\n")
    assert source.find()["path"] is None


def test_a_name_that_cannot_be_seen_is_said_of_each_entry(source):
    source.write("/etc/xen/db.cfg", b"name = vmname\ndisk = ['phy:vg/db,xvda,w']\n")
    source.link("/etc/xen/auto/db", "../db.cfg")
    source.write("/etc/xen/auto/two.cfg", b"if True:\n    name = 'two'\n")
    for guest in ("web01", "two"):
        found = source.find(guest)
        assert found["starts"] == [] and len(found["doubts"]) == 2
        assert "/etc/xen/auto/db " in found["doubts"][0] and guest in found["doubts"][0]
        assert "/etc/xen/auto/two.cfg " in found["doubts"][1] and "it may be two" in found["doubts"][1]
    assert "two.cfg" in source.find("two")["problem"]


def test_a_uuid_that_is_written_out_tells_whose_file_it_is(source):
    source.write(LINK, b"name = vmname\nuuid = '%s'\ndisk = []\n" % UUID.encode("ascii"))
    found = source.find()
    assert [start["path"] for start in found["starts"]] == [LINK] and found["doubts"] == []
    other = source.find("db", "11111111-81cc-d4f2-2ee8-abeb85916bc4")
    assert other["starts"] == other["doubts"] == []
    # xend takes it with or without dashes.
    for written in (UUID.upper(), UUID.replace("-", "")):
        source.write(LINK, b"name = vmname\nuuid = '%s'\ndisk = []\n" % written.encode("ascii"))
        assert [start["path"] for start in source.find()["starts"]] == [LINK]
    source.write(LINK, b"name = 'web01'\nuuid = '%s'\ndisk = []\n" % written.encode("ascii"))
    assert source.find()["problem"] is None


def test_another_uuid_does_not_tell_that_a_name_is_another(source):
    """Under that uuid, and the same name, it would be started beside the one that has moved."""
    text = b"if True: name = 'web01'\nuuid = '11111111-81cc-d4f2-2ee8-abeb85916bc4'\ndisk = []\n"
    source.write("/etc/xen/auto/two", text)
    assert "auto/two " in source.find()["doubts"][0]
    assert source.find("db")["starts"] == []


def test_a_copy_beside_does_not_hide_what_is_started_at_boot(usual):
    usual.write("/etc/xen/web01.cfg.2010-01-02")
    found = usual.find()
    assert found["path"] is None and "2010-01-02" in found["problem"]
    assert found["starts"] == [{"path": LINK, "called": "web01", "shared": False}]


def test_xendomains_starts_what_editors_have_left_among_the_entries(source):
    for name in ("web01.cfg~", "web01.bak", ".web01.cfg.swp"):
        source.write("/etc/xen/auto/" + name)
    starts = [start["path"] for start in source.find()["starts"]]
    assert starts == ["/etc/xen/auto/web01.bak", "/etc/xen/auto/web01.cfg~"]


def test_an_entry_that_cannot_be_read_is_said(source):
    source.link(LINK, "/mnt/away/web01.cfg")
    source.write("/etc/xen/auto/big", b"#" * (xm_files.SIZE_MAX + 1))
    found = source.find()
    assert found["starts"] == [] and len(found["doubts"]) == 2
    assert "auto/big " in found["doubts"][0] and LINK in found["doubts"][1]


def test_a_link_that_leads_nowhere_and_is_called_in_another_way(source):
    """The disk with the guests' files may be mounted later."""
    source.link("/etc/xen/auto/10-shop", "/mnt/away/web01.cfg")
    assert "auto/10-shop " in source.find()["doubts"][0]
    assert source.find("db")["doubts"] == []


def test_a_folder_that_leads_nowhere_is_not_empty(source):
    os.rmdir(source.at("/etc/xen/auto"))
    source.link("/etc/xen/auto", "/mnt/away/auto")
    found = source.find()
    assert "/etc/xen/auto cannot be read" in found["doubts"][0] and found["problem"]


def test_entries_in_a_folder_that_is_a_link(source):
    """A link is followed from where it really is."""
    os.rmdir(source.at("/etc/xen/auto"))
    source.write("/srv/xen/vm/web01.cfg")
    os.makedirs(source.at("/srv/xen/auto"))
    source.link("/etc/xen/auto", "../../srv/xen/auto")
    source.link("/srv/xen/auto/web01", "../vm/web01.cfg")
    source.write("/etc/xen/vm/web01.cfg", TEXT.replace(b"web01", b"db"))
    found = source.find()
    assert (found["path"], found["auto"], found["problem"]) == ("/srv/xen/vm/web01.cfg", "web01", None)
    source.take(found)
    assert not source.has("/srv/xen/vm/web01.cfg") and not source.has("/srv/xen/auto/web01")
    assert source.has("/etc/xen/vm/web01.cfg")


def test_bytes_of_all_values_and_names_in_utf_8(source, target):
    data = TEXT + b"# " + bytes(bytearray(range(256))) + b"\n"
    path = b"/etc/xen/Gr\xc3\xb6\xc3\x9fe \xc2\x85\xe2\x82\xac"
    path = path if bytes is str else path.decode("utf-8")
    source.write(path, data)
    link = path.replace("/etc/xen", "/etc/xen/auto")
    source.link(link, path)
    # As it travels.
    found = json.loads(json.dumps(source.find()))
    target.put(found)
    assert target.read(path) == data and target.has(link)
    source.take(found)
    assert not source.has(path) and not source.has(link) and source.kept() == data


def test_a_path_that_is_no_utf_8_is_refused_by_name(source):
    path = source.at("/etc/xen/").encode("ascii") + b"gr\xe4n"
    with open(path, "wb") as stream:
        stream.write(TEXT)
    found = source.find()
    assert found["path"] is None and "/etc/xen/gr\\xe4n" in found["problem"]
    assert json.loads(json.dumps(found)) == found



# Putting


def test_a_file_is_put_as_it_is(source, target):
    source.write("/etc/xen/vm/web01", ODD, mode=0o600)
    source.link(LINK, "../vm/web01")
    found = source.find(folders=("/etc/xen/vm",))
    done = target.put(found)
    assert target.read("/etc/xen/vm/web01") == ODD
    assert stat.S_IMODE(os.stat(target.at("/etc/xen/vm/web01")).st_mode) == 0o600
    assert os.readlink(target.at(LINK)) == "../vm/web01"
    assert done == {
        "changes": {
            "/etc/xen/vm/web01": {"old": None, "new": "file of %d bytes" % len(ODD)},
            LINK: {"old": None, "new": "-> ../vm/web01"},
        }
    }
    assert sorted(os.listdir(target.at("/etc/xen/vm"))) == ["web01"]


def test_what_was_put_is_found_there(usual, target):
    target.put(usual.find())
    assert usual.find() == target.find()


def test_putting_twice_changes_nothing(usual, target):
    target.put(usual.find())
    before = target.everything()
    assert target.put(usual.find()) == {"changes": {}}
    assert target.everything() == before


def test_an_interrupted_put_is_finished_by_the_next(usual, target):
    target.write(PATH)
    target.write("/etc/xen/.web01.cfg.new", b"half")
    assert list(target.put(usual.find())["changes"]) == [LINK]
    os.unlink(target.at(PATH))
    assert list(target.put(usual.find())["changes"]) == [PATH]
    assert target.read(LINK) == TEXT


def test_a_test_changes_nothing(usual, target):
    shutil.rmtree(target.at("/etc/xen"))
    before = target.everything()
    announced = target.put(usual.find(), test=True)
    assert target.everything() == before
    assert announced == target.put(usual.find())


def test_text_as_python_2_hands_it_on(source, target):
    source.write(PATH, ODD)
    found = source.find()
    target.put(dict(found, text=found["text"].encode("utf-8")))
    assert target.read(PATH) == ODD


def refused(target, found):
    """The sentences; nothing was changed, and put refuses with the same ones."""
    before = target.everything()
    reasons = target.check(found)
    with pytest.raises(ValueError) as caught:
        target.put(found)
    assert str(caught.value) == "; ".join(reasons)
    assert target.everything() == before
    return reasons


def test_another_file_is_not_overwritten(usual, target):
    target.write(PATH, TEXT + b"vcpus = 2\n")
    (reason,) = refused(target, usual.find())
    assert PATH in reason and "not overwritten" in reason


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink("gone", path)])
def test_what_is_no_file_is_not_overwritten(usual, target, make):
    make(target.at(PATH))
    assert len(refused(target, usual.find())) == 1


@pytest.mark.parametrize("leads", ["../db.cfg", "gone"])
def test_another_entry_of_the_same_name_is_not_overwritten(usual, target, leads):
    target.write("/etc/xen/db.cfg", b'name = "db"\n')
    target.link(LINK, leads)
    (reason,) = refused(target, usual.find())
    assert LINK in reason and PATH in reason
    os.unlink(target.at(LINK))
    target.write(LINK, b'name = "db"\n')
    assert len(refused(target, usual.find())) == 1


def test_an_entry_that_leads_to_the_file_in_another_way_stays(usual, target):
    target.link(LINK, PATH)
    assert list(target.put(usual.find())["changes"]) == [PATH]
    assert os.readlink(target.at(LINK)) == PATH


def test_all_reasons_at_once(usual, target):
    target.write(PATH, b"")
    target.write(LINK, b"")
    assert len(refused(target, usual.find())) == 2


def test_a_folder_that_cannot_be_made(source, target):
    source.write("/etc/xen/vm/web01")
    target.write("/etc/xen/vm", b"")
    (reason,) = refused(target, source.find(folders=("/etc/xen/vm",)))
    assert "/etc/xen/vm is no folder" in reason


@pytest.mark.parametrize(
    "change", [{"path": "../web01"}, {"path": "/etc/xen/../../x"}, {"auto": "../x"}, {"auto_folder": "auto"}]
)
def test_paths_that_lead_elsewhere(usual, target, change):
    assert len(refused(target, dict(usual.find(), **change))) == 1


def test_without_a_file_there_is_nothing_to_do(source, target):
    nothing = source.find()
    assert target.check(nothing) == []
    assert target.put(nothing) == {"changes": {}}
    assert source.take(nothing) == {"changes": {}}


# What another host claims


def lie(found, **words):
    return dict(found, **words)


# Word, value, and what the sentence says beside the word.
LIES = [
    ("path", "/etc/cron.d/web01", "domain_files"),
    ("path", "/etc/rc3.d/S99web01", "domain_files"),
    ("path", "/etc/xen/scripts/web01", "domain_files"),
    ("path", "/web01", "domain_files"),
    ("path", "/etc/xen/auto/other", "auto"),
    ("path", "/etc/xen/.web01", "hidden"),
    ("path", "/etc/xen/", "absolute"),
    ("path", "//etc/xen/web01", "absolute"),
    ("path", "/etc/xen/auto/../web01", "absolute"),
    ("path", "etc/xen/web01", "absolute"),
    ("path", "/", "plain name"),
    ("path", "", "empty"),
    ("path", "/etc/xen/web\n01", "control"),
    ("path", "/etc/xen/web01\0", "control"),
    ("path", "/etc/xen/web\x1b[2J", "control"),
    ("path", "/etc/xen/" + 256 * "x", "longer"),
    ("path", "/etc/xen" + 3000 * "/x", "longer"),
    ("path", "/etc/xen/xm-config.xml", "xend"),
    ("path", 7, "no text"),
    ("path", ["/etc/xen/web01"], "list"),
    ("path", {"a": 1}, "dict"),
    ("path", True, "True"),
    ("auto_folder", "/etc/rc3.d", "/etc/xen/auto"),
    ("auto_folder", "/etc/xen", "/etc/xen/auto"),
    ("auto_folder", "/etc/xen/auto/..", "absolute"),
    ("auto_folder", ["/etc/xen/auto"], "list"),
    ("auto", "../web01", "plain"),
    ("auto", "/etc/cron.d/web01", "plain"),
    ("auto", "..", "plain"),
    ("auto", ".web01", "plain"),
    ("auto", "a\nb", "control"),
    ("auto", 300 * "x", "longer"),
    ("auto", 5, "no text"),
    ("auto", "", "empty"),
    ("mode", 0o4755, "4755"),
    ("mode", 0o2755, "2755"),
    ("mode", 0o1644, "1644"),
    ("mode", 0o666, "0666"),
    ("mode", 0o100644, "permissions"),
    ("mode", -1, "permissions"),
    ("mode", 1 << 80, "a number"),
    ("mode", "0644", "no number"),
    ("mode", None, "no number"),
    ("mode", True, "no number"),
    ("mode", 420.0, "no number"),
    ("text", None, "content"),
    ("text", ["a"], "content"),
    ("text", 5, "content"),
    ("text", "x" * (xm_files.SIZE_MAX + 1), "longer"),
    ("text", "name = 'other'\n", "web01"),
    ("text", "name = vmname\n", "web01"),
    ("text", "<vm><name>web01</name></vm>", "web01"),
    ("name", None, "no text"),
    ("name", True, "True"),
    ("name", "", "empty"),
    ("name", "web\n01", "control"),
    ("name", 300 * "x", "longer"),
    ("name", "other", "text"),
    ("uuid", 7, "no text"),
    ("uuid", "x" * 65, "longer"),
    ("uuid", "a\nb", "control"),
]


@pytest.mark.parametrize("word, value, said", LIES)
def test_what_a_lying_host_would_have_written(usual, target, word, value, said):
    found = lie(usual.find(), **{word: value})
    for reason in refused(target, found):
        assert "\n" not in reason and len(reason) < 500 and "memory" not in reason
    # Some words are right by themselves, and do not fit to another one.
    assert said in reason and (reason.startswith(word) or value in ("other", "/etc/xen/auto/other"))


@pytest.mark.parametrize("found", [None, 7, "x", ["path"], True])
def test_what_is_no_report_at_all(usual, target, found):
    (reason,) = refused(target, found)
    assert "xen_guest.find" in reason
    with pytest.raises(ValueError):
        usual.take(found)


def test_a_value_that_is_refused_is_cut(usual, target):
    (reason,) = refused(target, lie(usual.find(), path="/etc/cron.d/" + 200 * "x"))
    assert "..." in reason and 70 * "x" not in reason


def test_what_is_wrong_is_said_all_at_once(usual, target):
    assert len(refused(target, lie(usual.find(), path=1, auto=2, mode=3.5, text=4))) == 4


def test_all_permissions_that_only_let_others_read_are_taken(usual, target):
    for mode in (0o400, 0o640, 0o664, 0o755):
        os.chmod(usual.at(PATH), mode)
        assert target.check(usual.find()) == []


def test_own_folders_may_be_elsewhere(source, target):
    source.write("/srv/guests/web01")
    found = source.find(folders=["/srv/guests"])
    assert "/srv/guests" in "".join(refused(target, found))
    assert target.check(found, folders=["/srv/guests"]) == []
    # The other host's folder may have another name here.
    os.makedirs(target.at("/data/guests"))
    target.link("/srv", "data")
    assert target.check(found, folders=["/data/guests"]) == []
    target.put(found, folders=["/data/guests"])
    assert target.read("/data/guests/web01") == TEXT


def test_a_folder_below_an_own_one_may_be_a_link_to_anywhere(usual, target):
    os.makedirs(target.at("/etc/cron.d"))
    target.link("/etc/xen/vm", "../cron.d")
    found = lie(usual.find(), path="/etc/xen/vm/web01")
    assert "domain_files" in "".join(
        xm_files.check_put(found, target.root, folders=["/etc/xen"], auto="/etc/xen/auto")
    )
    assert os.listdir(target.at("/etc/cron.d")) == []


def test_a_link_that_leads_out_of_the_hosts_file_system_is_not_followed(hosts, usual, target):
    """The minion in a container sees the host's absolute links as its own."""
    outside = os.path.dirname(target.root)
    for place in ("/etc/xen/auto", "/etc/xen"):
        (os.rmdir if place.endswith("auto") else shutil.rmtree)(target.at(place))
        target.link(place, os.path.join(outside, "elsewhere"))
        reasons = refused(target, usual.find())
        assert "leads out" in reasons[0]
        assert not os.path.lexists(os.path.join(outside, "elsewhere"))


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: os.symlink("/dev/null", path),
        lambda path: os.symlink("../../cron", path),
        lambda path: os.symlink(os.path.basename(path), path),
    ],
)
@pytest.mark.parametrize("path", [PATH, LINK])
def test_nothing_is_written_through_what_is_there(usual, target, make, path):
    make(target.at(path))
    (reason,) = refused(target, usual.find())
    assert path in reason
    assert not target.has("/cron")


def test_what_stands_in_for_the_half_written_file_is_not_followed(usual, target):
    target.link("/etc/xen/.web01.cfg.new", "../victim")
    target.put(usual.find())
    assert target.read(PATH) == TEXT and not target.has("/etc/victim")


def test_a_file_without_a_name_is_the_guests_when_it_is_called_so(usual, target):
    found = usual.find()
    for path, auto, is_fine in (
        ("/etc/xen/web01", None, True),
        ("/etc/xen/web01.hvm", None, True),
        ("/etc/xen/shop", "web01", True),
        ("/etc/xen/web01", "10-web01", True),
        ("/etc/xen/shop", None, False),
        ("/etc/xen/db01", "db01", False),
    ):
        said = target.check(lie(found, path=path, auto=auto, text="disk = ['phy:a,xvda,w']\n"))
        assert (said == []) is is_fine, (path, auto)


def test_a_name_of_digits(source, target):
    """YAML and the command line make a number of it."""
    source.write("/etc/xen/4711", b"name = '4711'\nmemory = 1\n")
    found = source.find("4711", None)
    target.put(lie(found, name=4711))
    source.take(lie(found, name=4711))
    assert target.has("/etc/xen/4711") and not source.has("/etc/xen/4711")


@pytest.mark.parametrize(
    "text",
    [
        "name = " + 60000 * "(" + "'web01'" + 60000 * ")",
        60000 * "a=" + 60000 * "'x' ",
        "name = " + 100000 * "[",
    3 * "'" + 60000 * ("\\" + 3 * "'"),
        60000 * "(vm ",
        100000 * "if a:" + "b",
        60000 * "name=",
        60000 * "a,",
        250000 * " " + "name",
        60000 * "name  ",
    ],
)
def test_no_text_takes_long_to_read(usual, target, text):
    """A file comes from another host, so it may be written to keep this one busy."""
    began = time.time()
    target.check(lie(usual.find(), text=text))
    assert time.time() - began < 20


# Taking


def test_a_file_may_be_proved_by_what_is_seen_of_it(usual, target):
    """Without its text, which need not travel."""
    found = usual.find(is_token=True)
    target.put(found)
    text = found.pop("text")
    assert text not in json.dumps(found)
    there = usual.everything()
    assert set(usual.take(found, test=True)["changes"]) == set([PATH, LINK]) and usual.everything() == there
    usual.take(json.loads(json.dumps(found)))
    assert not usual.has(PATH) and not usual.has(LINK) and usual.kept() == TEXT
    assert usual.take(found) == {"changes": {}}


def test_a_copy_among_the_entries_is_proved_by_the_file(source):
    source.write(PATH)
    source.write(LINK)
    found = source.find(is_token=True)
    del found["text"]
    source.write(LINK, TEXT + b"vcpus = 2\n")
    with pytest.raises(ValueError):
        source.take(found)
    source.write(LINK)
    assert set(source.take(found)["changes"]) == set([PATH, LINK])


@pytest.mark.parametrize("how", ["longer", "other", "replaced"])
def test_a_file_that_is_not_as_it_was_stays(usual, how):
    found = usual.find(is_token=True)
    del found["text"]
    if how == "replaced":
        usual.write("/etc/xen/new")
        os.rename(usual.at("/etc/xen/new"), usual.at(PATH))
    else:
        usual.write(PATH, TEXT + b"x = 1\n" if how == "longer" else TEXT.replace(b"96", b"97"))
        os.utime(usual.at(PATH), (1, 1))
    before = usual.everything()
    with pytest.raises(ValueError) as caught:
        usual.take(found)
    assert PATH in str(caught.value) and usual.everything() == before


@pytest.mark.parametrize(
    "words, said",
    [
        ({"text": None}, "unchanged"),
        ({"text": 7}, "text"),
        ({"text": None, "unchanged": 7}, "unchanged"),
        ({"text": None, "unchanged": ""}, "unchanged"),
        ({"path": "/etc/passwd"}, "left as it is"),
        ({"path": 7}, "path"),
        ({"auto": "../../passwd"}, "auto"),
        ({"auto_folder": "/etc"}, "auto_folder"),
        ({"shared": 7}, "shared"),
        ({"shared": "/etc"}, "shared"),
        ({"shared": [7]}, "shared"),
        ({"name": None}, "name"),
        ({"name": "other"}, "left as it is"),
    ],
)
def test_what_is_not_taken(usual, words, said):
    usual.write("/etc/passwd")
    before = usual.everything()
    for test in (True, False):
        with pytest.raises(ValueError) as caught:
            usual.take(lie(usual.find(), **dict({"auto": None}, **words)), test=test)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert usual.everything() == before


def test_the_entry_of_another_guest_is_not_taken(usual):
    """Not even when its file is said to be on shared storage, so that only the entry is in question."""
    usual.write("/etc/xen/db", b"name = 'db'\n")
    usual.link("/etc/xen/auto/db", "../db")
    before = usual.everything()
    with pytest.raises(ValueError) as caught:
        usual.take(lie(usual.find(), path="/etc/xen/db", auto="db", shared=["/etc/xen/db"]))
    assert "/etc/xen/auto/db is left as it is" in str(caught.value) and usual.everything() == before


def test_a_file_in_none_of_the_own_folders_is_not_taken(source):
    source.write("/srv/guests/web01")
    found = source.find(folders=["/srv/guests"])
    with pytest.raises(ValueError) as caught:
        source.take(found)
    assert "domain_files" in str(caught.value) and source.has("/srv/guests/web01")
    source.take(found, folders=["/srv/guests"])
    assert not source.has("/srv/guests/web01")


def test_a_file_is_taken(source, target):
    source.write(PATH, ODD)
    source.link(LINK, "../web01.cfg")
    found = source.find()
    done = source.take(found)
    assert not source.has(PATH) and not source.has(LINK)
    kept = os.path.join(source.keep, "web01.%s.cfg" % UUID)
    assert source.kept() == ODD
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(source.keep).st_mode) == 0o700
    assert done["changes"] == {
        PATH: {"old": "file of %d bytes" % len(ODD), "new": "kept as " + kept},
        LINK: {"old": "-> ../web01.cfg", "new": None},
    }
    assert source.find()["path"] is None


def test_taking_twice_changes_nothing(usual):
    found = usual.find()
    usual.take(found)
    before = usual.everything()
    assert usual.take(found) == {"changes": {}}
    assert usual.everything() == before


def test_a_test_takes_nothing(usual):
    found, before = usual.find(), usual.everything()
    announced = usual.take(found, test=True)
    assert usual.everything() == before
    assert announced == usual.take(found)


def test_an_older_copy_is_replaced(usual):
    usual.take(usual.find())
    newer = TEXT + b"vcpus = 2\n"
    usual.write(PATH, newer)
    usual.take(usual.find())
    assert usual.kept() == newer


def test_a_file_that_has_changed_stays(usual):
    found = usual.find()
    usual.write(PATH, TEXT + b"vcpus = 2\n")
    before = usual.everything()
    with pytest.raises(ValueError) as caught:
        usual.take(found)
    assert PATH in str(caught.value) and usual.everything() == before


def test_an_entry_that_has_changed_stays_and_so_does_the_file(usual):
    found = usual.find()
    usual.write("/etc/xen/db.cfg", b'name = "db"\n')
    os.unlink(usual.at(LINK))
    usual.link(LINK, "../db.cfg")
    before = usual.everything()
    with pytest.raises(ValueError) as caught:
        usual.take(found)
    assert LINK in str(caught.value) and usual.everything() == before


def test_nothing_is_taken_when_no_copy_can_be_kept(usual):
    found = usual.find()
    usual.write("/var/lib/kept", b"a file where the folder should be")
    with pytest.raises(EnvironmentError):
        usual.take(found)
    assert usual.read(PATH) == TEXT


def test_a_dangling_entry_is_removed(usual):
    found = usual.find()
    os.unlink(usual.at(PATH))
    assert list(usual.take(found)["changes"]) == [LINK]
    assert not usual.has(LINK)


class Death(BaseException):
    pass


def die_after(monkeypatch, count, *names):
    """Let this many of these calls of the system pass, and no more."""
    left = [count]

    def limited(real):
        def call(*arguments):
            if not left[0]:
                raise Death
            left[0] -= 1
            return real(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(xm_files.os, name, limited(getattr(os, name)))


def deaths(monkeypatch, act, look, *names):
    """Let it die earlier and later, look at what that left, and return how often it died."""
    for count in range(20):
        with monkeypatch.context() as patch:
            die_after(patch, count, *names)
            try:
                act()
                return count
            except Death:
                pass
        look()
    raise AssertionError("it never comes to an end")


def test_at_no_moment_is_there_neither_the_file_nor_its_copy(usual, monkeypatch):
    """And no entry leads nowhere, whenever the host dies; the next call goes on from there."""
    found = usual.find()

    def look():
        if usual.has(PATH):
            assert usual.read(PATH) == TEXT
        else:
            assert usual.kept() == TEXT and not usual.has(LINK)

    assert deaths(monkeypatch, lambda: usual.take(found), look, "unlink", "rename", "fsync") > 3
    assert not usual.has(PATH) and not usual.has(LINK) and usual.kept() == TEXT


def test_at_no_moment_is_there_half_a_file(usual, target, monkeypatch):
    found = usual.find()

    def look():
        assert not target.has(PATH) or target.read(PATH) == TEXT
        assert target.has(PATH) or not target.has(LINK)

    names = ("unlink", "link", "symlink", "fchmod", "fsync")
    assert deaths(monkeypatch, lambda: target.put(found), look, *names) > 3
    assert target.put(found)["changes"] == {}


def test_a_file_that_somebody_makes_meanwhile_is_not_overwritten(usual, target, monkeypatch):
    real = os.link

    def late(temporary, path):
        target.write(PATH, b"theirs")
        real(temporary, path)

    monkeypatch.setattr(xm_files.os, "link", late)
    with pytest.raises(OSError):
        target.put(usual.find())
    assert target.read(PATH) == b"theirs" and not target.has(LINK)


def mounts(host, monkeypatch, *lines):
    host.write("/mounts", ("".join(lines) % {"root": host.root}).encode("utf-8"))
    monkeypatch.setattr(xm_files, "MOUNTS", host.at("/mounts"))


@pytest.mark.parametrize(
    "lines, shared",
    [
        (["/dev/sda1 / ext3 rw 0 0\n"], []),
        (["filer:/x %(root)s/etc/xen nfs rw 0 0\n"], [PATH, LINK]),
        (["filer:/x / nfs4 rw 0 0\n", "/dev/sda1 %(root)s/etc ext3 rw 0 0\n"], []),
        (["/dev/sda1 / ext3 rw 0 0\n", "x %(root)s/etc/xen/auto fuse.glusterfs rw 0 0\n"], [LINK]),
        (["filer:/x %(root)s/etc/xe nfs rw 0 0\n", "x %(root)s/etc/xen/auto/web01.cfg nfs rw 0 0\n"], []),
        (["x %(root)s/etc/xen nfs rw 0 0\n", "/dev/sda1 %(root)s/etc/xen ext3 rw 0 0\n"], []),
        (["/dev/drbd0 %(root)s/etc/xen ocfs2 rw 0 0"], [PATH, LINK]),
        (["/dev/fuse %(root)s/etc/xen fuse.pmxcfs rw 0 0"], [PATH, LINK]),
        (["host %(root)s/etc/xen never-heard-of rw 0 0"], [PATH, LINK]),
        (["/dev/mapper/vg-root %(root)s/etc xfs rw 0 0"], []),
        ([""], []),
    ],
)
def test_what_lies_on_shared_storage_stays(usual, monkeypatch, lines, shared):
    mounts(usual, monkeypatch, *lines)
    found = usual.find()
    assert found["shared"] == shared
    assert sorted(usual.take(found)["changes"]) == sorted(set([PATH, LINK]) - set(shared))
    assert [usual.has(path) for path in (PATH, LINK)] == [path in shared for path in (PATH, LINK)]


def test_a_shared_file_stays_and_the_entry_goes(source, target, monkeypatch):
    source.write("/a disk/shop")
    source.link(LINK, "/a disk/shop")
    os.symlink(source.at("/a disk"), target.at("/a disk"))
    mounts(source, monkeypatch, "filer:/x %(root)s/a\\040disk nfs rw 0 0\n")
    found = source.find()
    assert (found["path"], found["shared"]) == ("/a disk/shop", ["/a disk/shop"])
    assert list(target.put(found, folders=["/etc/xen", "/a disk"])["changes"]) == [LINK]
    assert list(source.take(found)["changes"]) == [LINK]
    assert target.read("/a disk/shop") == TEXT


def test_of_a_link_to_shared_storage_only_the_link_is_taken(source, target):
    source.write("/srv/conf/shop")
    source.link(PATH, "/srv/conf/shop")
    found = source.find()
    assert found["path"] == PATH
    target.put(found)
    source.take(found)
    assert source.read("/srv/conf/shop") == TEXT and not source.has(PATH) and source.kept() == TEXT


def test_there_and_back(usual, target):
    """The copy that is kept does not come in the way."""
    before = usual.find()
    for here, there in ((usual, target), (target, usual), (usual, target), (target, usual)):
        found = here.find()
        there.put(found)
        here.take(found)
        assert here.find()["path"] is None
    assert usual.find() == before


def test_without_a_root(source):
    """All paths are then this process's own."""
    source.write("/guests/web01")
    source.link(LINK, source.at("/guests/web01"))
    own = {"folders": (source.at("/guests"),), "auto": source.at("/etc/xen/auto")}
    found = xm_files.find("web01", UUID, "", **own)
    assert (found["path"], found["auto"]) == (source.at("/guests/web01"), "web01.cfg")
    assert xm_files.put(found, import_module, **own) == {"changes": {}}
    xm_files.take(found, import_module, "", source.keep, **own)
    assert source.kept() == TEXT and not source.has(LINK)


def test_a_guest_whose_uuid_is_not_known(usual):
    found = usual.find(uuid=None)
    (kept,) = [change["new"] for change in usual.take(found)["changes"].values() if change["new"]]
    assert kept == "kept as " + os.path.join(usual.keep, "web01.cfg")


@pytest.mark.parametrize(
    "raw, shown",
    [
        (b"/etc/xen/web01", "/etc/xen/web01"),
        (b"\x1b[31mred\n\x7f", "\\x1b[31mred\\x0a\\x7f"),
        # A control that is one character of UTF-8, and one that turns the direction of writing.
        (b"\xc2\x9b31m", "\\xc2\\x9b31m"),
        (b"gnp.\xe2\x80\xaeexe", "gnp.\\xe2\\x80\\xaeexe"),
        (b"\xe2\x81\xa6x", "\\xe2\\x81\\xa6x"),
        (b"\xff\xc3\xbc", "\\xff\\xc3\\xbc"),
    ],
)
def test_nothing_that_is_shown_steers_a_terminal(raw, shown):
    assert xm_files.legible(raw) == shown


def test_letters_of_all_languages_are_shown():
    text = b"/srv/gr\xc3\xbcn \xe2\x82\xac\xe2\x80\x93 \xe6\x97\xa5".decode("utf-8")
    assert xm_files.legible(text.encode("utf-8")) == (text.encode("utf-8") if bytes is str else text)
