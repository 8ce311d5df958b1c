"""
Reading and writing by the execution module, with Salt's dunders injected by hand: what also runs under
Python 2.7, without Salt. In Salt's own loader the same is tested in tests/functional.
"""

from __future__ import absolute_import, print_function

import importlib
import io
import os
import shutil
import sys
import tempfile
import types

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "_utils"))

CONFIG = b"""# -*- sh -*-
#(xend-relocation-server no)
#(xend-relocation-port 8002)
(xend-relocation-hosts-allow '^localhost$ ^localhost\\\\.localdomain$')
(note 'f\xc3\xbcr alle')
(odd '\xfcber')
(xen-api-server ((9363 none) (unix none)))
"""


def stand_in(name, **members):
    module = types.ModuleType(str(name))
    vars(module).update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def salt_or_stand_in():
    """The few names that the module imports from Salt, where there is no Salt."""
    try:
        import salt.exceptions
    except ImportError:

        def unused(*_):
            raise AssertionError("reading and writing the file does not call this")

        stand_in("salt")
        stand_in(
            "salt.exceptions", CommandExecutionError=type(str("CommandError"), (Exception,), {})
        )
        stand_in("salt.utils")
        stand_in("salt.utils.files", backup_minion=unused)
        stand_in("salt.utils.atomicfile", atomic_open=io.open)
        stand_in("salt.utils.odict", OrderedDict=importlib.import_module("collections").OrderedDict)
        import salt.exceptions
    return salt.exceptions.CommandExecutionError


Error = salt_or_stand_in()


class Utils(dict):
    """The functions of the utilities by "module.function", as Salt's __utils__."""

    def __missing__(self, name):
        module, function = name.split(".")
        return getattr(importlib.import_module(module), function)


@pytest.fixture
def config():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "xend-config.sxp")
    with io.open(path, "wb") as stream:
        stream.write(CONFIG)
    yield path
    shutil.rmtree(folder)


@pytest.fixture
def xend(config):
    module = types.ModuleType(str("xend"))
    module.__file__ = os.path.join(REPO, "_modules", "xend.py")
    options = {"xend:config": config}
    module.__salt__ = {
        "config.get": lambda name, default=None: options.get(name, default),
        "config.backup_mode": lambda mode: mode,
    }
    module.__utils__ = Utils()
    module.__opts__ = {"id": "xen1", "cachedir": os.path.dirname(config)}
    module.__grains__ = {"kernel": "Linux"}
    with io.open(module.__file__, "rb") as stream:
        exec(compile(stream.read(), module.__file__, "exec"), vars(module))
    return module


def content(path):
    with io.open(path, "rb") as stream:
        return stream.read()


def test_it_loads_on_linux(xend):
    assert xend.__virtual__() == "xend"


def test_get(xend):
    assert xend.get("xend-relocation-hosts-allow") == "^localhost$ ^localhost\\.localdomain$"
    assert xend.get("note") == b"f\xc3\xbcr alle".decode("utf-8")
    assert xend.get("odd") == b"\xfcber".decode("latin-1")
    assert xend.get("xen-api-server") == [["9363", "none"], ["unix", "none"]]
    assert xend.get("absent") is None and xend.get("absent", 1) == 1


def test_list(xend):
    names = ["xend-relocation-hosts-allow", "note", "odd", "xen-api-server"]
    assert list(xend.list_()) == names


def test_relocation(xend):
    found = xend.relocation()
    assert found["server"] is False and found["port"] == 8002
    assert found["hosts_allow"] == ["^localhost$", "^localhost\\.localdomain$"]


def test_set_changes_its_form_only(xend, config):
    done = xend.set_("note", b"gr\xc3\xbc\xc3\x9fe".decode("utf-8"))
    assert done["changed"] and done["new"] == b"gr\xc3\xbc\xc3\x9fe".decode("utf-8")
    assert content(config) == CONFIG.replace(b"f\xc3\xbcr alle", b"gr\xc3\xbc\xc3\x9fe")
    assert "-(note" in done["diff"] and "+(note" in done["diff"]
    os.utime(config, (1, 1))
    assert xend.set_("note", done["new"])["changed"] is False
    assert os.stat(config).st_mtime == 1


def test_set_uncomments_and_test_mode_does_not_write(xend, config):
    planned = xend.set_("xend-relocation-port", 8002, test=True)
    assert content(config) == CONFIG
    assert planned == xend.set_("xend-relocation-port", 8002)
    assert content(config) == CONFIG.replace(b"#(xend-relocation-port", b"(xend-relocation-port")


def test_remove(xend, config):
    assert xend.remove("note")["old"] == b"f\xc3\xbcr alle".decode("utf-8")
    assert content(config) == CONFIG.replace(b"(note 'f\xc3\xbcr alle')\n", b"")
    assert xend.remove("note")["changed"] is False


def test_configure(xend):
    wanted = dict(server=True, port=8010, address="10.20.0.11", hosts_allow=["10.20.0.0/30"])
    done = xend.configure(**wanted)
    assert done["changes"]["port"] == {"old": None, "new": 8010}
    assert xend.relocation()["address"] == "10.20.0.11"
    assert xend.accepts("10.20.0.2", name="x.invalid")["accepted"]
    assert not xend.accepts("10.20.0.4", name="x.invalid")["accepted"]
    assert xend.configure(**wanted)["changed"] is False


def test_check(xend, config):
    assert xend.check(version="4.1") == []
    with io.open(config, "ab") as stream:
        stream.write(b"(xend-relocation-hosts-allow- 'f\xc3\xbcr')\n")
    assert [row["line"] for row in xend.check(version="4.1")] == [8]


@pytest.mark.parametrize(
    "call",
    [
        lambda xend: xend.set_("xend-relocation-server", "maybe"),
        lambda xend: xend.set_("xend-relocation-port", b"\xc3\xbc".decode("utf-8")),
        lambda xend: xend.configure(hosts_allow=[]),
        lambda xend: xend.configure(address="10.20.0.300"),
    ],
)
def test_what_is_refused_is_not_written(xend, config, call):
    with pytest.raises(Error):
        call(xend)
    assert content(config) == CONFIG


@pytest.mark.parametrize("data, said", [(b"(a b))\n", "line 1"), (b"(a '\xc3\xbc", "line 1")])
def test_a_file_that_xend_cannot_read_is_named(xend, config, data, said):
    with io.open(config, "wb") as stream:
        stream.write(data)
    with pytest.raises(Error) as caught:
        xend.set_("note", "x")
    assert config in str(caught.value) and said in str(caught.value)
    assert content(config) == data


def test_a_path_as_yaml_gives_it_and_bytes_of_the_file_go_together(xend, config):
    path = (config + b"-\xc3\xbc".decode("utf-8")) if str is not bytes else config.decode("utf-8")
    with io.open(path, "wb") as stream:
        stream.write(b"(a b)\n\xc3\xbc'")
    with pytest.raises(Error) as caught:
        xend.get("note", config=path)
    assert xend._option("config", path) in str(caught.value) and "line 2" in str(caught.value)
    with io.open(path, "wb") as stream:
        stream.write(b"(xend-relocation-server \xc3\xbc)\n")
    with pytest.raises(Error) as caught:
        xend.relocation(config=path)
    assert xend._option("config", path) in str(caught.value)


def test_a_missing_file_is_named(xend, config):
    os.unlink(config)
    with pytest.raises(Error) as caught:
        xend.get("note")
    assert config in str(caught.value) and "does not exist" in str(caught.value)
    with io.open(config, "wb"):
        pass
