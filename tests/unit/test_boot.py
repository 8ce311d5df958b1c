"""
What xendomains restores at boot and which managers of clusters run, on hosts that are folders. Runs on
Python 2.7, too.
"""

import os
import shutil
import struct
import tempfile

import pytest

import xm_boot

CONFIG = b"(domain (name web01) (uuid c56e09d2-81cc-d4f2-2ee8-abeb85916bc4))"
SHIPPED = {"save": "/var/lib/xen/save", "auto": "/etc/xen/auto", "doubts": []}


@pytest.fixture
def root():
    folder = os.path.realpath(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


def write(root, path, data):
    folder = os.path.dirname(root + path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(root + path, "wb") as stream:
        stream.write(data)


def image(config=CONFIG, size=None):
    return b"LinuxGuestRecord" + struct.pack("!i", len(config) if size is None else size) + config + b"memory"


# Settings


def test_without_settings_it_is_as_xen_ships_it(root):
    assert xm_boot.settings(root) == dict(SHIPPED, file=None)


@pytest.mark.parametrize(
    "text, save",
    [
        (b"XENDOMAINS_SAVE=/srv/save\nXENDOMAINS_RESTORE=true\n", "/srv/save"),
        (b'XENDOMAINS_SAVE="/srv/save"  # there\n', "/srv/save"),
        (b"export XENDOMAINS_SAVE='/srv/my save'\r\n", "/srv/my save"),
        (b"XENDOMAINS_SAVE=/one\nXENDOMAINS_SAVE=/two\n", "/two"),
        (b"#XENDOMAINS_SAVE=/srv/save\n", "/var/lib/xen/save"),
        (b"XENDOMAINS_SAVE=\n", None),
        (b'XENDOMAINS_SAVE=""\nXENDOMAINS_RESTORE=true\n', None),
        (b"XENDOMAINS_SAVE=/srv/save\nXENDOMAINS_RESTORE=false\n", None),
        (b"XENDOMAINS_RESTORE=no\n", None),
        (b"XENDOMAINS_SAVE=/srv/save#1\n", "/srv/save#1"),
        (b"XENDOMAINS_SAVE=/srv/save;\n", "/srv/save"),
        (b"readonly XENDOMAINS_SAVE=/srv/save/ # XENDOMAINS_SAVE=/x\n", "/srv/save"),
        # init runs its scripts in the root folder.
        (b"XENDOMAINS_SAVE=srv/save\n", "/srv/save"),
        (b"XENDOMAINS_SAVE=/one\nif true; then x=1; fi\necho $XENDOMAINS_SAVE\n", "/one"),
        (b"X=\"it's\" Y='a \"b' # it's\nXENDOMAINS_SAVE=/srv/save\n", "/srv/save"),
        (b"# it goes on \\\nXENDOMAINS_SAVE=/srv/save\n", "/srv/save"),
    ],
)
def test_where_images_are_restored_from(root, text, save):
    write(root, "/etc/sysconfig/xendomains", text)
    found = xm_boot.settings(root)
    assert (found["save"], found["doubts"]) == (save, [])


def test_a_folder_with_an_odd_name(root):
    write(root, "/etc/sysconfig/xendomains", b"XENDOMAINS_SAVE=/srv/gr\xc3\xbcn\n")
    folder = xm_boot.settings(root)["save"]
    assert (folder if bytes is str else folder.encode("utf-8")) == b"/srv/gr\xc3\xbcn"
    os.makedirs(os.path.join(root.encode("utf-8"), b"srv/gr\xc3\xbcn"))
    with open(os.path.join(root.encode("utf-8"), b"srv/gr\xc3\xbcn/web01"), "wb") as stream:
        stream.write(image())
    assert [one["config"] for one in xm_boot.images(folder, root)] == [CONFIG]


def test_debian_keeps_the_settings_elsewhere(root):
    write(root, "/etc/default/xendomains", b"XENDOMAINS_AUTO=/srv/auto\n")
    found = xm_boot.settings(root)
    assert (found["file"], found["auto"]) == ("/etc/default/xendomains", "/srv/auto")
    write(root, "/etc/sysconfig/xendomains", b"")
    assert xm_boot.settings(root)["file"] == "/etc/sysconfig/xendomains"


@pytest.mark.parametrize(
    "text",
    [
        b"XENDOMAINS_SAVE=$BASE/save\n",
        b"XENDOMAINS_SAVE=~/save\n",
        b"XENDOMAINS_SAVE='/srv'/save\n",
        b"XENDOMAINS_SAVE=/srv/*\n",
        b"XENDOMAINS_SAVE=/srv/\\\nsave\n",
        b"XENDOMAINS_SAVE=/srv/gr\xfcn\n",
        b"XENDOMAINS_SAVE=/one; XENDOMAINS_SAVE=/two\n",
        b"XENDOMAINS_SAVE+=/two\n",
        b": ${XENDOMAINS_SAVE:=/srv/save}\n",
        b"[ -d /srv ] && XENDOMAINS_SAVE=/srv/save\n",
        b"export LANG=C XENDOMAINS_SAVE=/srv/save\n",
        b"if [ -d /srv ]; then\n  XENDOMAINS_SAVE=\nfi\n",
        b"case `hostname` in\na) XENDOMAINS_SAVE=;;\nesac\n",
        b"XENDOMAINS_SAVE=\nunset XENDOMAINS_SAVE\n",
        b"XENDOMAINS_SAVE=/one\n. /etc/xen/xendomains.local\n",
        b"read XENDOMAINS_SAVE < /etc/xen/save\n",
        b"place() {\n  XENDOMAINS_SAVE=/srv/save\n}\n",
        b"[ -d /srv ] || {\nXENDOMAINS_SAVE=\n}\n",
    ],
)
def test_a_setting_that_only_the_shell_understands_is_said(root, text):
    write(root, "/etc/sysconfig/xendomains", text)
    found = xm_boot.settings(root)
    assert found["save"] == "/var/lib/xen/save"
    assert [doubt for doubt in found["doubts"] if "XENDOMAINS_SAVE" in doubt]
    # The last one counts.
    write(root, "/etc/sysconfig/xendomains", text + b"XENDOMAINS_SAVE=/srv/save\n")
    found = xm_boot.settings(root)
    assert found["save"] == "/srv/save" and not [doubt for doubt in found["doubts"] if "_SAVE" in doubt]


@pytest.mark.parametrize(
    "text", [b"cat <<END\n%s\nEND\n", b"X='\n%s\n'\n", b"X=a\\\n%s\n", b"X=\"it's\n%s\n\"\n"]
)
def test_what_looks_like_a_setting_within_something_else(root, text):
    write(root, "/etc/sysconfig/xendomains", text.replace(b"%s", b"XENDOMAINS_RESTORE=false"))
    found = xm_boot.settings(root)
    assert found["save"] == "/var/lib/xen/save" and "XENDOMAINS_RESTORE" in found["doubts"][0]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_settings_that_are_no_file_are_said(root, make):
    os.makedirs(root + "/etc/sysconfig")
    make(root + "/etc/sysconfig/xendomains")
    found = xm_boot.settings(root)
    assert (found["save"], found["auto"]) == ("/var/lib/xen/save", "/etc/xen/auto")
    assert "/etc/sysconfig/xendomains cannot be read" in found["doubts"][0]


def test_a_folder_of_entries_that_is_known_better(root):
    write(root, "/etc/sysconfig/xendomains", b"XENDOMAINS_AUTO=$BASE/auto\n")
    assert "XENDOMAINS_AUTO" in xm_boot.settings(root)["doubts"][0]
    found = xm_boot.settings(root, "/srv/auto")
    assert (found["auto"], found["doubts"]) == ("/srv/auto", [])


# Images


def test_the_images_of_a_folder(root):
    write(root, "/save/web01", image())
    write(root, "/save/a note", b"Linux guests are saved here")
    write(root, "/save/.hidden", image())
    os.mkfifo(root + "/save/pipe")
    os.mkdir(root + "/save/folder")
    (found,) = xm_boot.images("/save", root)
    assert found == {"path": b"/save/web01", "config": CONFIG, "problem": None}
    assert xm_boot.images("/nowhere", root) == []
    # The disk may be mounted later.
    os.symlink("/mnt/away", root + "/away")
    with pytest.raises(EnvironmentError):
        xm_boot.images("/away", root)


@pytest.mark.parametrize(
    "data", [image(size=1 << 30), image(size=-1), image(size=len(CONFIG) + 100), image()[:18]]
)
def test_an_image_whose_configuration_cannot_be_read(root, data):
    write(root, "/save/web01", data)
    (found,) = xm_boot.images("/save", root)
    assert found["config"] is None and found["problem"]


# Managers of clusters


@pytest.mark.parametrize(
    "programs, found",
    [
        (["init", "xend", "libvirtd", "sshd"], []),
        (["crmd", "corosync"], [("Pacemaker", "crmd"), ("a cluster manager on corosync", "corosync")]),
        (["pacemakerd"], [("Pacemaker", "pacemakerd")]),
        # What the kernel leaves of a name.
        (["pacemaker-contr"], [("Pacemaker", "pacemaker-controld")]),
        (["heartbeat"], [("Heartbeat", "heartbeat")]),
        (["clurgmgrd"], [("rgmanager", "clurgmgrd")]),
        (["ganeti-noded"], [("Ganeti", "ganeti-noded")]),
    ],
)
def test_which_managers_run(programs, found):
    assert xm_boot.managers(programs) == found


@pytest.mark.parametrize(
    "files, name",
    [
        ({"cmdline": b"/usr/lib/heartbeat/crmd\0", "comm": b"crmd\n"}, "crmd"),
        ({"cmdline": b"/usr/bin/python2.6\0/usr/sbin/ganeti-noded\0-f\0"}, "ganeti-noded"),
        ({"cmdline": b"heartbeat: master control process\0"}, "heartbeat"),
        ({"cmdline": b"", "stat": b"7 (clurgmgrd) S 1 1 1"}, "clurgmgrd"),
    ],
)
def test_what_a_process_is_called(root, files, name):
    for file, data in files.items():
        write(root, "/proc/7/" + file, data)
    assert name in xm_boot.programs(root + "/proc")


def test_where_no_process_is_shown(root):
    write(root, "/proc/cpuinfo", b"")
    assert xm_boot.programs(root + "/proc") is None
    assert xm_boot.programs(root + "/nowhere") is None
