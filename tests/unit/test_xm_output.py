"""What xend describes and xm prints, as xend 4.4 and 3.x do (managed domains that do not run)."""

from importlib import import_module

import pytest

import xend_sxp
import xm_copies
import xm_output
from tests import ground_truth
from tests.held import KEYS, form_of, printed

DOMAINS = [
    ("Domain-0", 0, 1024, 1, "r-----", 88.5),
    ("web01", 1, 96, 1, "-b----", 1.0),
    ("idle", 2, 512, 4, "------", 17.3),
    ("sleeping", None, 256, 1, None, 0.0),
    ("migrating-db", 7, 128, 2, "---s--", 6.2),
    ("coming", 8, 96, 0, "--p---", 0.0),
    ("held", 9, 96, 1, "--p---", 0.0),
    ("a-name-that-is-longer-than-the-column-for-it-and-pushes-the-rest", 10, 96, 1, "r-----", 12.0),
]

LONG = b"""\
(domain
    (domid 3)
    (uuid c56e09d2-81cc-d4f2-2ee8-abeb85916bc4)
    (name web01)
    (maxmem 128)
    (memory 96)
    (shadow_memory 0)
    (vcpus 2)
    (image (linux (kernel /boot/vmlinuz) (nomigrate 1) (notes (GUEST_OS linux))))
    (state -b----)
    (device (vif (bridge xenbr0) (mac 00:16:3e:00:00:01)))
    (device (vbd (uname phy:/dev/vg/web01) (dev xvda1:disk) (mode w)))
    (device (tap (uname tap:aio:/srv/web01.img) (dev xvdb:disk) (mode r)))
    (device (pci (dev (slot 0x1d)) (uuid 1)))
)
"""


def rows_of(table):
    return xm_output.rows([form_of(row) for row in table])


def test_every_domain_is_read():
    rows = rows_of(DOMAINS)
    assert [row["name"] for row in rows] == [row[0] for row in DOMAINS] and len(rows) == 8
    assert rows[1] == {
        "name": "web01",
        "uuid": None,
        "domid": 1,
        "memory_mib": 96,
        "vcpus": 1,
        "state": "-b----",
        "time_s": 1.0,
        "form": form_of(DOMAINS[1]),
    }


def test_a_description_of_xend_has_all_that_the_table_shows():
    text = LONG.replace(b"(vcpus 2)", b"(vcpus 2) (online_vcpus 1) (cpu_time 7.46)")
    (form,) = xend_sxp.parse(text).forms()
    (dom0, row) = xm_output.rows([form_of(DOMAINS[0]), form])
    assert dom0["uuid"] is None and row["form"] is form
    assert dict(row, form=None) == {
        "name": "web01",
        "uuid": "c56e09d2-81cc-d4f2-2ee8-abeb85916bc4",
        "domid": 3,
        "memory_mib": 96,
        "vcpus": 1,
        "state": "-b----",
        "time_s": 7.5,
        "form": None,
    }


def test_before_3_1_there_is_one_number_of_vcpus():
    keys = [key.replace("online_", "") for key in KEYS]
    (row,) = xm_output.rows([form_of(DOMAINS[0], keys)])
    assert row["vcpus"] == 1


def test_real_lists_of_4_4_are_read():
    (all_of_them, one, by_id, dom0, running) = ground_truth.commands("xm/list")
    rows = rows_of(printed(all_of_them.stdout))
    assert [(row["name"], row["domid"], row["state"]) for row in rows] == [
        ("Domain-0", 0, "r-----"),
        ("tiny", 1, "-b----"),
    ]
    assert len(rows_of(printed(running.stdout))) == 2
    assert rows_of(printed(dom0.stdout))[0]["time_s"] == 132.3
    for text in (one.stdout, by_id.stdout):
        # That a guest is gone may not be judged from an answer without Domain-0.
        with pytest.raises(ValueError):
            rows_of(printed(text))


def test_real_lists_are_read_at_every_moment_of_a_migration():
    seen = []
    for kind in ("live-source", "live-target", "nonlive-source", "nonlive-target"):
        for _clock, text in ground_truth.watched("migrate/watched-" + kind):
            rows = rows_of(printed(text))
            assert len(rows) == len(text.strip().splitlines()) - 1
            seen += [row for row in rows if row["domid"]]
    assert set(row["name"] for row in seen) == set(["tiny", "migrating-tiny"])
    assert set(row["state"] for row in seen) == set(["-b----", "------", "---s--", "--p---"])
    assert set(row["vcpus"] for row in seen) == set([0, 1])
    copies = set((row["name"], row["state"], xm_copies.copy(row, True)) for row in seen)
    assert copies == set(
        [
            ("tiny", "-b----", "running"),
            ("tiny", "------", "running"),
            ("tiny", "--p---", "receiving"),
            ("migrating-tiny", "-b----", "sending"),
            ("migrating-tiny", "---s--", "sending"),
        ]
    )


def test_a_real_description_is_understood():
    (guest, dom0) = [
        xm_output.describe(xend_sxp.parse(command.stdout.encode("ascii")).forms()[0])
        for command in ground_truth.commands("xm/list-long")
    ]
    assert (guest["name"], guest["domid"], guest["state"], guest["image"]) == ("tiny", 1, "-b----", "linux")
    assert guest["uuid"] == "c56e09d2-81cc-d4f2-2ee8-abeb85916bc4"
    assert (guest["memory_mib"], guest["maxmem_mib"], guest["vcpus"]) == (96, 96, 1)
    assert guest["suspend_cancel"] and not guest["nomigrate"]
    assert not guest["disks"] and not guest["vifs"] and not guest["pci"]
    assert (guest["image_files"]["kernel"], guest["image_files"]["ramdisk"]) == (
        "/root/guest/vmlinuz",
        "/root/guest/guest-initrd.gz",
    )
    assert (dom0["name"], dom0["domid"], dom0["memory_mib"]) == ("Domain-0", 0, 1024)


def test_real_facts_of_a_host_are_read():
    (command,) = ground_truth.commands("xm/info")
    found = xm_output.info(command.stdout)
    assert len(found) == len(command.stdout.splitlines())
    assert (found["host"], found["total_memory"], found["free_memory"]) == ("xen2", 2047, 902)
    assert (found["xen_major"], found["xen_minor"], found["virt_caps"]) == (4, 4, "hvm")
    assert found["xen_commandline"].startswith("console=com1 com1=115200,8n1")


ODD_NAMES = [
    "a guest with spaces",
    "two  of them",
    " in front",
    "web 12",
    "web 12 256 1",
    "12",
    "12 34",
    "r-----",
    "a 1 2 r----- 0.5",
    "Name  ID  of a thing",
    "-x",
    "x" * 200,
    "x" * 40 + " 9",
    "x" * 39 + " 12345",
    "a\ttab",
    "form\x0cfeed",
    "\x1b[31mred",
    "web01\n",
    "two\nlines",
    "behind ",
    " ",
    "None",
    "??x",
    "it's \"quoted\" (twice)",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_may_look_like_anything(name):
    """Neither it is misread, nor those around it."""
    for domid in (7, 12345, None, -1):
        for memory in (0, 64, 256, 4096, 16384, 131072, 1048576):
            for state in ("-b----", "------", "??") + ((None,) if domid in (None, -1) else ()):
                row, last = (name, domid, memory, 1, state, 12345.6), ("last", 9, 1, 1, "r-----", 1.0)
                found = rows_of([DOMAINS[0], row, last])
                assert [row["name"] for row in found] == ["Domain-0", name, "last"]
                assert dict(found[1], form=None) == {
                    "name": name,
                    "uuid": None,
                    "domid": None if domid == -1 else domid,
                    "memory_mib": memory,
                    "vcpus": 1,
                    "state": state or "",
                    "time_s": 12345.6,
                    "form": None,
                }


def test_a_name_in_any_script():
    name = b"gr\xc3\xb6\xc3\x9fe \xe2\x9c\x93"
    (_dom0, row) = xm_output.rows([form_of(DOMAINS[0]), [b"domain", [b"name", name]]])
    assert row["name"] == (name if bytes is str else name.decode("utf-8"))


@pytest.mark.parametrize(
    "form, said",
    [
        ([b"guest", [b"name", b"idle"]], "describes no domain"),
        ([], "describes no domain"),
        (b"web01     one", "describes no domain"),
        ([[b"domain"], [b"name", b"idle"]], "describes no domain"),
        (form_of(("web01", "one", 96, 1, "-b----", 1.0)), "one"),
        (form_of(("web01", "-2", 96, 1, "-b----", 1.0)), "-2"),
        (form_of(("web01", 1, 96, 1, "-b----", "a while")), "a while"),
    ],
)
def test_what_is_not_understood_is_nobody_s_name(form, said):
    """A guest that is missing may still be there."""
    with pytest.raises(ValueError) as caught:
        xm_output.rows([form_of(DOMAINS[0]), form])
    assert said in str(caught.value)


def test_a_managed_domain_that_does_not_run_has_no_id():
    for domid in (None, -1, ""):
        (_dom0, row) = rows_of([DOMAINS[0], ("sleeping", domid, 256, 1, None, 0.0)])
        assert row["domid"] is None and row["state"] == ""
        assert xm_copies.copy(row, False) == "managed"


def test_a_long_name_does_not_hide_its_row():
    long_ones = [row for row in rows_of(DOMAINS) if row["domid"] == 10]
    assert len(long_ones) == 1 and long_ones[0]["state"] == "r-----"


@pytest.mark.parametrize(
    "state, alive",
    [
        ("r-----", True),
        ("-b----", True),
        ("------", True),
        ("--p---", False),
        ("---s--", False),
        ("----c-", False),
        ("-----d", False),
        ("", False),
    ],
)
def test_which_states_run(state, alive):
    assert xm_output.runs(state) is alive


@pytest.mark.parametrize(
    "row, name, domid, state",
    [
        (("web01", 7, 256, 0, "??????", 0.0), "web01", 7, "??????"),
        (("web01", 7, 256, 1, None, 12.5), "web01", 7, "??"),
        (("web01", 7, 256, 1, "??", 12.5), "web01", 7, "??"),
        (("web01", 7, 256, 1, "?b----", 12.5), "web01", 7, "?b----"),
        (("web01", 7, 256, 1, "-----?", 12.5), "web01", 7, "-----?"),
        ((None, 7, 0, 0, None, None), "??", 7, "??"),
        ((None, "None", 0, 0, None, None), "??", None, "??"),
        (("web01", "None", 256, 0, None, 0.0), "web01", None, "??"),
        (("migrating-web01", 7, 256, 1, "??????", 0.0), "migrating-web01", 7, "??????"),
    ],
)
def test_a_domain_of_which_xend_does_not_know_all(row, name, domid, state):
    """As that of 3.0.3 describes it: that domain is not known, the others are."""
    found = rows_of(DOMAINS + [row])
    assert found[:-1] == rows_of(DOMAINS)
    assert (found[-1]["name"], found[-1]["domid"], found[-1]["state"]) == (name, domid, state)
    assert xm_output.is_unknown(state) and not xm_output.runs(state)
    assert xm_output.is_nameless(found[-1]) == (name == "??")
    # Neither running nor gone nor anything else that somebody could act upon.
    for transferring in (True, False, None):
        assert xm_copies.copy(found[-1], transferring) == "unknown"


@pytest.mark.parametrize("state", ["running", "r----", "-b----d", "R-----"])
def test_a_state_that_is_none_is_not_known(state):
    (_dom0, row) = rows_of([DOMAINS[0], ("web01", 7, 256, 1, state, 1.0)])
    assert xm_copies.copy(row, False) == "unknown" and not xm_output.runs(state)


@pytest.mark.parametrize("state", ["?????d", "d?????", "?-p---", "---s-?"])
def test_letters_beside_question_marks_prove_nothing(state):
    row = {"name": "web01", "domid": 7, "vcpus": 1, "state": state, "time_s": 0.0, "memory_mib": 256}
    assert xm_copies.copy(row, False) == "unknown" and not xm_output.runs(state)


def test_a_domain_that_xend_only_knows_stays_one():
    for domid, state in ((None, ""), (None, "------")):
        assert xm_copies.copy({"name": "web01", "domid": domid, "state": state, "time_s": 0.0}, False) == (
            "managed"
        )


def test_info_lines():
    info = xm_output.info(
        "host   : xen2\nfree_memory            : 902\nxen_extra : .4\nmade : a: b\nxen_changeset : \n"
    )
    assert info == {
        "host": "xen2",
        "free_memory": 902,
        "xen_extra": ".4",
        "made": "a: b",
        "xen_changeset": "",
    }


NUMA = """\
host                   : x
node_to_cpu            : node0:0,2,4,6
                         node1:1,3,5,7
node_to_memory         : node0:8605
                         node1:4096
\tnode2:0
xen_major              : 3
free_memory            : 8605
"""


def test_info_lines_that_go_on():
    assert xm_output.info(NUMA) == {
        "host": "x",
        "node_to_cpu": "node0:0,2,4,6\nnode1:1,3,5,7",
        "node_to_memory": "node0:8605\nnode1:4096\nnode2:0",
        "xen_major": 3,
        "free_memory": 8605,
    }


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {}),
        ("  a : 1\nb : 2\n", {"a": 1, "b": 2}),
        ("a : 1\n\n   \nb : 2\n", {"a": 1, "b": 2}),
        ("a :\n   1\n", {"a": "\n1"}),
        ("a : 1\n   2\nno colon\n", {"a": "1\n2"}),
    ],
)
def test_odd_info_lines(text, expected):
    assert xm_output.info(text) == expected


def test_description():
    found = xm_output.describe(xend_sxp.parse(LONG).forms()[0])
    assert found["name"] == "web01" and found["domid"] == 3 and found["vcpus"] == 2
    assert found["memory_mib"] == 96 and found["maxmem_mib"] == 128
    assert found["image"] == "linux" and found["nomigrate"] is True
    assert [disk["uname"] for disk in found["disks"]] == [
        "phy:/dev/vg/web01",
        "tap:aio:/srv/web01.img",
    ]
    assert found["vifs"] == [{"bridge": "xenbr0", "mac": "00:16:3e:00:00:01"}]
    assert len(found["pci"]) == 1


def described(text):
    return xm_output.describe(xend_sxp.parse(b"(domain (name web01) " + text + b")").forms()[0])


@pytest.mark.parametrize(
    "text, expected",
    [
        (b"(device (vbd (uname file:/a))) (device (tap2)) (device vkbd) (device (console (location 2)))", []),
        (b"(device (vif2 (front_mac 1))) (device (vfb (vnc 1))) (device (pci (dev (slot 1))))", []),
        (b"(image (hvm (pci ()) (usbdevice tablet) (gfx_passthru 0)))", []),
        (b"(image (hvm (pci []) (usb 1)))", []),
        (b"(device (irq (irq 4)))", [("irq", "irq 4")]),
        (b"(device (ioports (from 3f8) (to 3ff) (uuid 1)))", [("ioports", "from 3f8, to 3ff")]),
        (b"(device (vscsi (dev (devid 0) (p-dev 3:0:4:0))))", [("vscsi", "devid 0, p-dev 3:0:4:0")]),
        (b"(device (vusb (num-ports 4) (port (1 1-1) (2 ))))", [("vusb", "num-ports 4, 1 1-1")]),
        (b"(device (vtpm))", [("vtpm", "")]),
        (b"(device vtpm)", [("vtpm", "")]),
        (b"(device ((irq 4)))", [("(without a name)", "")]),
        (b"(image (hvm (usbdevice host:1.2)))", [("usbdevice", "host:1.2")]),
        (b"(image (hvm (usbdevice (tablet host:1.2))))", [("usbdevice", "host:1.2")]),
        (b"(image (hvm (gfx_passthru 1)))", [("gfx_passthru", "1")]),
        (b"(image (hvm (pci ((0x0 0x1d 0x0)))))", [("pci", "0x0 0x1d 0x0")]),
        (b"(image (hvm (pci ((0x0 0x1d))))) (device (pci (dev (slot 1))))", []),
    ],
)
def test_hardware_of_the_host(text, expected):
    found = described(text)["hardware"]
    assert [one["class"] for one in found] == [name for name, _ in expected]
    for one, (_, what) in zip(found, expected):
        assert one["what"] == what or what and what.split()[-1] in one["what"]


@pytest.mark.parametrize(
    "text, expected",
    [
        (b"(image (hvm (vnc 1) (vnclisten 0.0.0.0) (vncpasswd x)))", [{"vnclisten": "0.0.0.0"}]),
        (b"(image (hvm (vnc 1) (vnclisten )))", [{}]),
        (b"(image (hvm (vnc 1) (vnclisten '')))", [{"vnclisten": ""}]),
        (b"(image (hvm (vnc 0) (vnclisten 0.0.0.0)))", []),
        (b"(image (hvm (vnc 1) (nographic 1))) (device (vfb (vnc 1)))", []),
        (b"(image (linux (vnc 1)))", []),
        (b"(image (hvm (vnc 1) (vncdisplay 1))) (device (vfb (vncdisplay 2)))", [{"vncdisplay": "2"}]),
        (b"(image (linux)) (device (vfb (type vnc) (vncunused 0) (vncpasswd x)))", [{"vncunused": "0"}]),
        (b"(device (vfb (sdl 1)))(device (vfb (type sdl)))(device (vfb (vnc 0)))", []),
        (b"(device (vfb (vncdisplay 1)))", [{"vncdisplay": "1"}]),
        (b"(device (vfb (vnc 1) (sdl 1)))(device (vfb (vnc 1)))", [{}, {}]),
    ],
)
def test_vnc_servers(text, expected):
    found = described(text)
    assert found["vnc"] == expected
    assert "x" not in [value for vnc in found["vnc"] for value in vnc.values()]


def test_serial_ports():
    assert described(b"(image (hvm (serial pty)))")["chardevs"] == ["pty"]
    assert described(b"(image (hvm (serial (pty tcp::1,server)) (parallel none)))")["chardevs"] == [
        "pty",
        "tcp::1,server",
        "none",
    ]
    assert described(b"(image (hvm (serial ) (monitor_path pty)))")["chardevs"] == []
    assert described(b"(image (hvm (monitor 1) (monitor_path pty)))")["chardevs"] == ["pty"]
    assert described(b"(device (vfb (serial file:/x)))")["chardevs"] == ["file:/x"]


def test_a_second_kind_of_network_card_is_told_apart():
    found = described(b"(device (vif (bridge a))) (device (vif2 (bridge b)))")["vifs"]
    assert found == [{"bridge": "a"}, {"bridge": "b", "class": "vif2"}]


def test_what_is_no_setting_of_a_device_is_left_out():
    found = described(b"(device (vbd (() x) (uname phy:vg/a) (dev (xvda))))")
    assert found["disks"] == [{"uname": "phy:vg/a"}]


def test_description_of_next_to_nothing():
    found = xm_output.describe(xend_sxp.parse(b"(domain)").forms()[0])
    assert found["name"] is None and found["disks"] == [] and found["nomigrate"] is False


@pytest.mark.parametrize("table", [[], DOMAINS[1:], [("Domain-0", None, 1024, 1, "r-----", 1.0)]])
def test_an_answer_without_domain_0_is_an_error(table):
    """A guest that is missing in it may still be there."""
    with pytest.raises(ValueError) as caught:
        rows_of(table)
    assert "Domain-0" in str(caught.value)


@pytest.mark.parametrize(
    "xen, shown, expected",
    [
        # RHEL 5: the tools of 3.0.3 on a hypervisor that calls itself 3.1.
        ((3, 1), 2, (3, 0, 3)),
        ((3, 0), 2, (3, 0, 3)),
        ((3, 0), 3, (3, 0, 4)),
        ((3, 1), 4, (3, 1)),
        ((3, 4), 4, (3, 4)),
        ((4, 4), 4, (4, 4)),
        ((3, 0), None, (3, 0, 2)),
        ((3, 2), None, (3, 2)),
        ((None, None), 2, (3, 0, 3)),
        ((None, None), 4, (3, 1)),
        ((None, None), None, None),
    ],
)
def test_version_of_the_tools(xen, shown, expected):
    lines = zip(("xen_major", "xen_minor", "xend_config_format"), xen + (shown,))
    info = dict([(name, value) for name, value in lines if value is not None])
    assert xm_output.tools_version(info) == expected


# Bytes that are no ASCII


@pytest.mark.parametrize(
    "text, found",
    [
        (b"(domain (name web01) (image (linux (args 'root=/dev/xvda1 \\\\xc3 is a backslash'))))", []),
        (b"(domain (uname 'file:/srv/x y.img') (args 'a\\tb \\007 \\231'))", []),
        (b"(uname 'file:/srv/Gr\xc3\xb6\xc3\x9fe.img')", [b"file:/srv/Gr\xc3\xb6\xc3\x9fe.img"]),
        (b"(args \"it's \x1b\") (name web01)", [b"it's \x1b"]),
        (b"(args '\\\\\xe4')", [b"\\\xe4"]),
        # What xend makes of bytes that are no UTF-8.
        (b"(domain (uname 'file:/srv/gr\xef\xbf\xbdn.img'))", [b"file:/srv/gr\xef\xbf\xbdn.img"]),
        (b"('domain\x7f' (name ('\x1f' web01)) ())", [b"domain\x7f", b"\x1f"]),
    ],
)
def test_what_xend_writes_and_does_not_read_back(text, found):
    (form,) = xend_sxp.parse(b"(" + text + b")").forms()
    shown = [string.decode("utf-8", "replace") for string in found]
    assert xm_output.misread(form) == [text.encode("utf-8") if bytes is str else text for text in shown]


def test_bytes_that_were_no_utf_8():
    (found,) = xm_output.misread([b"domain", [b"uname", b"file:/srv/gr\xe4n.img"]])
    assert "file:/srv/gr" in found


def test_every_byte_is_judged_by_how_xend_writes_it():
    """A backslash, x and two digits; those with a letter are read back as other bytes."""
    for number in range(256):
        byte = bytes(bytearray([number]))
        # Tab and line breaks have a letter of their own.
        escaped = number > 127 or repr(chr(number)).startswith("'\\x")
        expected = escaped and any(digit in "abcdef" for digit in "%02x" % number)
        assert bool(xm_output.misread([b"args", byte])) == expected, number


def test_what_was_told_in_ascii():
    utf8 = b"Gr\xc3\xb6\xc3\x9fe"
    native = utf8 if bytes is str else utf8.decode("utf-8")
    text = '{"Gr\\u00f6\\u00dfe": ["Gr\\u00f6\\u00dfe", 1, null]}'
    assert xm_output.told(text) == {native: [native, 1, None]}
    assert xm_output.told("null") is None
    for value in (None, {"a": 1}, ["a"], 5, "its source does not answer"):
        assert xm_output.told(value) == value


@pytest.mark.parametrize("given", [b"Gr\xc3\xb6\xc3\x9fe".decode("utf-8"), b"Gr\xc3\xb6\xc3\x9fe"])
def test_text_of_a_description_is_what_messages_are_made_of(given):
    """Under Python 2, bytes and unicode do not mix in a message, nor in a path."""
    native = b"Gr\xc3\xb6\xc3\x9fe" if bytes is str else "Gr\xf6\xdfe"
    if bytes is not str and isinstance(given, bytes):
        given = native
    domain = {"name": given, "memory_mib": 96, "disks": [{"uname": given}], "image_files": {"kernel": given}}
    found = xm_output.checked(domain, import_module)
    for text in (found["name"], found["disks"][0]["uname"], found["image_files"]["kernel"]):
        assert (text, type(text)) == (native, str)
    seen = described(b"(device (vbd (uname Gr\xc3\xb6\xc3\x9fe)))")["disks"][0]["uname"]
    assert (seen, type(seen)) == (native, str)




def test_a_description_made_by_hand():
    by_hand = {"name": "web01", "memory_mib": 96}
    checked = xm_output.checked(by_hand, import_module)
    assert by_hand == {"name": "web01", "memory_mib": 96}
    assert (checked["name"], checked["memory_mib"], checked["disks"], checked["vnc"]) == ("web01", 96, [], [])
    found = xm_output.checked(
        {
            "name": 7,
            "memory_mib": 96,
            "vcpus": None,
            "disks": None,
            "vifs": [{"bridge": 7, "mac": None}],
            "vnc": [{"vncdisplay": 3, "vnclisten": 0}],
            "hardware": [{}, {"class": "vscsi"}],
            "chardevs": [None, "pty"],
            "image_files": {"kernel": None, "ramdisk": "/boot/initrd"},
            "of a later version": {"any": ["thing"]},
        },
        import_module,
    )
    assert found["name"] == "7" and found["disks"] == []
    assert found["vifs"] == [{"bridge": "7", "mac": None}]
    assert found["vnc"] == [{"vncdisplay": "3", "vnclisten": "0"}]
    assert [one["class"] for one in found["hardware"]] == [xm_output.NO_CLASS, "vscsi"]
    assert found["chardevs"] == ["pty"] and found["image_files"] == {"ramdisk": "/boot/initrd"}
    assert found["of a later version"] == {"any": ["thing"]}


def test_a_description_of_xend_is_one():
    (form,) = xend_sxp.parse(LONG).forms()
    described = xm_output.describe(form)
    assert xm_output.checked(described, import_module) == described


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"name": None}, "no name"),
        ({"name": ["web01"]}, "no name"),
        ({"memory_mib": "96"}, "memory_mib"),
        ({"memory_mib": True}, "memory_mib"),
        ({"memory_mib": 0}, "memory_mib"),
        ({"maxmem_mib": "128"}, "maxmem_mib"),
        ({"vcpus": [1]}, "vcpus"),
        ({"disks": "phy:vg/web01,xvda,w"}, "disks"),
        ({"disks": ["phy:vg/web01,xvda,w"]}, "disks"),
        ({"disks": [{"uname": ["phy:vg/web01"]}]}, "disks"),
        ({"vifs": ["bridge=xenbr0"]}, "vifs"),
        ({"hardware": {"class": "vscsi"}}, "hardware"),
        ({"chardevs": "pty"}, "chardevs"),
        ({"chardevs": [["pty"]]}, "chardevs"),
        ({"image_files": ["/boot/vmlinuz"]}, "image_files"),
        ({"memory_mib": 10**20}, "memory_mib"),
        ({"memory_mib": 96.5}, "memory_mib"),
        ({"vcpus": -1}, "vcpus"),
        ({"maxmem_mib": float("nan")}, "maxmem_mib"),
        ({"disks": [{}] * 300}, "disks are 300"),
        ({"vifs": [dict((str(number), 1) for number in range(100))]}, "vifs has 100"),
        ({"vifs": [{"script": "vif-bridge\0x"}]}, "vifs"),
        ({"vifs": [{"script": "x" * 5000}]}, "vifs"),
        ({"uuid": ["x"]}, "uuid"),
        ({"image": {}}, "image"),
        ({"image_files": {"kernel": ["/boot/vmlinuz"]}}, "image_files"),
        ({"chardevs": ["pty"] * 300}, "chardevs"),
    ],
)
def test_what_is_no_description(changes, reason):
    with pytest.raises(ValueError) as caught:
        xm_output.checked(dict({"name": "web01", "memory_mib": 96}, **changes), import_module)
    assert reason in caught.value.args[0]


@pytest.mark.parametrize(
    "text, displays",
    [
        (b"(image (hvm (sdl 1) (display :0)))", [":0"]),
        (b"(image (hvm (sdl 1)))", [""]),
        (b"(image (hvm (sdl 0) (display localhost:10.0) (vnc 1)))", []),
        (b"(image (hvm (sdl 1) (nographic 1)))", []),
        (b"(image (hvm (sdl 1) (display :0))) (device (vfb (sdl 1) (display :1)))", [":1"]),
        (b"(image (linux (display :0))) (device (vfb (type sdl)))", [":0"]),
        (b"(image (linux (sdl 1))) (device (vfb (vnc 1) (sdl 0)))", []),
        (b"", []),
    ],
)
def test_windows(text, displays):
    (form,) = xend_sxp.parse(b"(domain (name a) %s)" % text).forms()
    assert xm_output.describe(form)["sdl"] == displays
