"""What the devices of a guest need on the host that takes it, and what is said when that lacks it."""

import pytest

import xend_sxp
import xm_block
import xm_devices
import xm_disks
import xm_output


def host(name="xen2", **changes):
    """What is known of a host; what xm_fit.facts returns has more."""
    found = {"host": name, "tools": [4, 4], "bridges": ["xenbr0"], "vif_script": None}
    found.update(changes)
    return found


def guest(**changes):
    found = {
        "name": "web01",
        "image": "linux",
        "disks": [],
        "vifs": [{"mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}],
    }
    found.update(changes)
    return found


def fit(domain=None, target=None, **seen):
    return xm_devices.fits(domain or guest(), target or host(), **seen)


def only(sentences):
    (sentence,) = sentences
    return sentence


# Network cards


@pytest.mark.parametrize(
    "vif, is_needed",
    [
        ({"bridge": "xenbr1"}, True),
        ({"bridge": "xenbr1", "script": "vif-bridge"}, True),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-bridge"}, True),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-bridge vlan=3"}, True),
        ({"bridge": "xenbr1", "script": "vif-route"}, False),
        ({"bridge": "xenbr1", "script": "/etc/xen/scripts/vif-nat"}, False),
        ({"bridge": "xenbr0"}, False),
        ({"bridge": ""}, False),
        ({}, False),
    ],
)
def test_bridges(vif, is_needed):
    found = fit(guest(vifs=[dict(vif, mac="00:16:3e:00:00:09")]))
    assert found["warnings"] == []
    if is_needed:
        for word in ("xenbr1", "xenbr0", "00:16:3e:00:00:09", "xen2"):
            assert word in only(found["blockers"])
    else:
        assert found["blockers"] == []


@pytest.mark.parametrize("script", ["vif-openvswitch", "/etc/xen/scripts/vif-route x=y"])
def test_a_host_whose_own_script_needs_no_bridge(script):
    """The script of the host counts for cards that bring none of their own."""
    found = fit(guest(vifs=[{"bridge": "ovs1"}]), target=host("xen2", vif_script=script))
    assert found == {"blockers": [], "warnings": []}
    card = {"bridge": "ovs1", "script": "vif-bridge"}
    assert only(fit(guest(vifs=[card]), target=host("xen2", vif_script=script))["blockers"])


def test_bridges_that_are_not_known():
    assert "xenbr0" in only(fit(target=host("xen2", bridges=None))["warnings"])
    assert fit(guest(vifs=[]), target=host("xen2", bridges=None))["warnings"] == []


@pytest.mark.parametrize("backend", [None, "", "0", "Domain-0"])
def test_dom0_serves(backend):
    domain = guest(disks=[{"dev": "xvda", "backend": backend}])
    assert xm_devices.foreign_backends(domain) == []


def test_another_domain_serves():
    domain = guest(
        disks=[{"dev": "xvda", "backend": "storage"}], vifs=[{"mac": "00:16:3e:00:00:01", "backend": "5"}]
    )
    disk, vif = xm_devices.foreign_backends(domain)
    assert "xvda" in disk and "storage" in disk and "00:16:3e:00:00:01" in vif
    assert fit(domain)["blockers"] == [disk, vif]


def scripts(**problems):
    """A host on which all scripts can be run but these."""
    return lambda path: problems.get(path.rpartition("/")[2].replace("-", "_"))


@pytest.mark.parametrize(
    "script, path",
    [
        ("vif-openvswitch", "/etc/xen/scripts/vif-openvswitch"),
        ("/etc/xen/scripts/vif-openvswitch", "/etc/xen/scripts/vif-openvswitch"),
        ("/opt/net/vif-openvswitch a=b c", "/opt/net/vif-openvswitch"),
        ("sub/vif-openvswitch", "/etc/xen/scripts/sub/vif-openvswitch"),
    ],
)
@pytest.mark.parametrize(
    "problem, remedy",
    [
        ("is missing", "install it there"),
        ("is not executable", "chmod +x"),
        ("is a folder", "install it there"),
    ],
)
def test_a_script_that_the_target_cannot_run(script, path, problem, remedy):
    card = {"mac": "00:16:3e:00:00:09", "bridge": "xenbr0", "script": script}
    found = fit(guest(vifs=[card]), script_problem=scripts(vif_openvswitch=problem))
    for words in ("00:16:3e:00:00:09", "web01", "xen2", path + ", which " + problem, "lost on both", remedy):
        assert words in only(found["blockers"])
    assert "xend-config.sxp" not in found["blockers"][0]


def test_the_script_of_the_target_itself():
    target = host(vif_script="vif-route netdev=eth1")
    found = fit(guest(vifs=[{}, {"script": ""}]), target, script_problem=scripts(vif_route="is missing"))
    assert len(found["blockers"]) == 2
    assert "/etc/xen/scripts/vif-route, which" in found["blockers"][0]
    assert "vif-script in its xend-config.sxp" in found["blockers"][0]
    for default in (None, "", " "):
        found = fit(target=host(vif_script=default), script_problem=scripts(vif_bridge="is missing"))
        assert "/etc/xen/scripts/vif-bridge" in only(found["blockers"])


def test_each_card_is_judged_and_all_is_said_at_once():
    cards = [
        {"bridge": "lan", "script": "/etc/xen/scripts/vif-bridge"},
        {"bridge": "xenbr0", "script": "vif-nat"},
        {"bridge": "xenbr0"},
    ]
    problems = scripts(vif_bridge="is missing", vif_nat="is not executable")
    assert len(fit(guest(vifs=cards), script_problem=problems)["blockers"]) == 4


@pytest.mark.parametrize(
    "tools, is_lost", [([3, 0, 3], True), ([3, 1], False), ([3, 4], False), ([4, 0], True)]
)
def test_what_becomes_of_a_guest_depends_on_the_xend(tools, is_lost):
    found = fit(guest(vifs=[{"bridge": "lan"}]), host(tools=tools))
    assert ("lost on both" in only(found["blockers"])) is is_lost
    assert ("run on without it" in found["blockers"][0]) is not is_lost


@pytest.mark.parametrize(
    "script, vif, bridge",
    [
        ("vif-bridge bridge=lan", {}, "lan"),
        ("vif-bridge bridge=lan", {"bridge": "xenbr0"}, None),
        ("vif-bridge bridge=xenbr0", {}, None),
        ("vif-bridge bridge=xenbr0", {"bridge": "lan"}, "lan"),
        ("vif-bridge bridge=xenbr0", {"script": "vif-bridge bridge=lan"}, "lan"),
        ("vif-route bridge=lan", {}, None),
    ],
)
def test_a_bridge_that_the_script_is_given(script, vif, bridge):
    found = fit(guest(vifs=[vif]), host(vif_script=script))
    assert [bridge in text for text in found["blockers"]] == ([True] if bridge else [])
    assert found["warnings"] == []


@pytest.mark.parametrize(
    "tools, bridges, interfaces, wanted, is_blocked, said",
    [
        ([3, 2], ["eth0"], ["eth0"], "xenbr0", False, "takes eth0 instead"),
        ([4, 4], ["eth1", "xenbr0"], [], "xenbr1", False, "takes eth1 instead"),
        ([3, 1], ["eth0"], ["eth0"], "xenbr0", True, "only from Xen 3.2 on"),
        ([3, 0, 3], ["eth0"], ["eth0"], "xenbr0", True, "only from Xen 3.2 on"),
        ([4, 4], ["eth0"], ["eth0", "xenbr0"], "xenbr0", True, "xenbr0 is no bridge there"),
        ([4, 4], ["eth1"], ["eth0", "eth1"], "xenbr0", True, "has only eth1"),
        ([4, 4], ["xenbr0"], [], "eth0", True, "has only xenbr0"),
        ([4, 4], ["eth0"], [], "br0", True, "has only eth0"),
        ([4, 4], [], [], "xenbr0", True, "has none"),
    ],
)
def test_xenbr_that_is_called_eth(tools, bridges, interfaces, wanted, is_blocked, said):
    target = host(tools=tools, bridges=bridges, interfaces=interfaces)
    found = fit(guest(vifs=[{"bridge": wanted}]), target)
    kind, other = ("blockers", "warnings") if is_blocked else ("warnings", "blockers")
    assert said in only(found[kind]) and wanted in found[kind][0]
    assert found[other] == []


def test_the_tools_count_and_where_they_are_not_known_the_hypervisor():
    cards = guest(vifs=[{"bridge": "xenbr0"}])
    rhel5 = host(tools=[3, 0, 3], xen=[3, 2], bridges=["eth0"])
    assert only(fit(cards, rhel5)["blockers"])
    assert only(fit(cards, host(tools=None, xen=[3, 2], bridges=["eth0"]))["warnings"])


@pytest.mark.parametrize(
    "bridges, source, blocked, warned",
    [
        (["lan", "dmz"], None, None, None),
        (["dmz", "lan"], {"bridge_ports": {"vif7.0": "dmz"}}, None, None),
        # brctl shows them by name.
        (["lan", "dmz"], {"bridge_ports": {"vif7.0": "lan"}}, None, "hangs on lan now"),
        (["dmz"], {"bridge_ports": {}, "bridges": ["b", "a"]}, None, "hangs on a now"),
        (["dmz"], {"bridges": ["dmz"]}, None, None),
        (["dmz"], {"bridges": None}, None, None),
        ([], None, "has none at all", None),
        (None, None, None, "was not checked"),
    ],
)
def test_a_card_that_names_no_bridge(bridges, source, blocked, warned):
    found = fit(guest(domid=7, vifs=[{"mac": "00:16:3e:00:00:09"}]), host(bridges=bridges), source=source)
    for said, kind in ((blocked, "blockers"), (warned, "warnings")):
        if said is None:
            assert found[kind] == []
        else:
            assert said in only(found[kind]) and "00:16:3e:00:00:09" in found[kind][0]


def test_where_a_renamed_card_hangs():
    cards = [{}, {"vifname": "web"}, {}]
    ports = {"vif7.0": "dmz", "web": "lan", "vif7.2": "wan"}
    found = fit(guest(domid=7, vifs=cards), host(bridges=["dmz"]), source={"bridge_ports": ports})
    assert ["hangs on lan" in found["warnings"][0], "hangs on wan" in found["warnings"][1]] == [True, True]


@pytest.mark.parametrize(
    "bridges, bridge, said",
    [
        (["a"], None, None),
        (["a", "b"], None, "several (a, b)"),
        ([], None, "none at all that vif2"),
        ([], "-", None),
        (["eth0"], "xenbr0", "only eth0"),
        (["a", "b"], "b", None),
    ],
)
def test_netchannel2(bridges, bridge, said):
    card = {"class": "vif2", "front_mac": "00:16:3e:00:00:09", "script": "vif-bridge"}
    found = fit(guest(vifs=[dict(card, bridge=bridge)]), host(bridges=bridges))
    assert [said in text for text in found["blockers"]] == ([True] if said else [])
    found = fit(guest(vifs=[dict(card, bridge="-")]), script_problem=scripts(vif2="is missing"))
    assert "/etc/xen/scripts/vif2, which" in only(found["blockers"])


# Hardware


def test_hardware_is_named_with_its_class_and_a_remedy():
    devices = [
        {"class": "vscsi", "what": "p-dev 3:0:4:0"},
        {"class": "irq", "what": "irq 4"},
        {"class": "flux", "what": ""},
    ]
    blockers, warnings = xm_devices.hardware(guest(hardware=devices))
    assert len(blockers) == 3 and warnings == []
    for words in ("web01", "class vscsi", "3:0:4:0", "SCSI", "xm scsi-detach", "accept: [devices]"):
        assert words in blockers[0]
    assert "class flux," in blockers[2] and "not known" in blockers[2]
    assert xm_devices.hardware(guest(hardware=devices), True) == (
        [],
        ["accepted: " + text.partition("; who knows")[0] for text in blockers],
    )
    assert xm_devices.hardware(guest()) == ([], [])


# Device models

OWN = {"10.0.0.2": True, "xen2": True, "192.0.2.11": False, "xen1": False}
TAKEN = [["0.0.0.0", 5901], ["127.0.0.1", 5902], ["10.0.0.2", 5903], ["127.0.0.1", 7000]]
THERE = ("/dev/ttyS0", "/var/log", "/var/run", "/var/run/con.sock", "/")


def listen(image="hvm", tools=(4, 4), taken=TAKEN, vnc_listen=None, **settings):
    return fit(
        guest(name="win01", image=image, vifs=[], **settings),
        host(tools=list(tools), vnc_listen=vnc_listen),
        exists=lambda path: path in THERE,
        is_own=OWN.get,
        taken=taken,
    )


def judged(found):
    """1 for a blocker, 0 for a warning, None for nothing; all about the same thing."""
    assert len(found["blockers"] + found["warnings"]) < 2
    return 1 if found["blockers"] else 0 if found["warnings"] else None


@pytest.mark.parametrize(
    "address, expected",
    [
        (None, None),
        ("", None),
        ("0.0.0.0", None),
        ("127.0.0.1", None),
        ("localhost", None),
        ("10.0.0.2", None),
        ("xen2", None),
        ("192.0.2.11", 1),
        ("xen1", 1),
        ("nobody-knows", 0),
        ("::", 0),
    ],
)
def test_where_a_screen_is_shown(address, expected):
    vnc = {} if address is None else {"vnclisten": address}
    assert judged(listen(vnc=[vnc])) == expected
    # Of a PV guest only the console is lost.
    assert judged(listen("linux", vnc=[vnc])) == (None if expected is None else 0)


def test_what_is_said_of_a_screen():
    found = only(listen(vnc=[{"vnclisten": "192.0.2.11", "vncdisplay": "1", "vncunused": "1"}])["blockers"])
    for words in ("win01", "192.0.2.11", "vnclisten", "no address of xen2", "lost on both", "nonlocal_bind"):
        assert words in found
    found = only(listen(vnc=[{}], vnc_listen="192.0.2.11")["blockers"])
    assert "vnc-listen of the xend-config.sxp" in found
    assert listen(vnc=[{}], vnc_listen="10.0.0.2") == {"blockers": [], "warnings": []}
    for tools, is_said in (((3, 3), False), ((4, 4), True)):
        found = only(listen("linux", tools, vnc=[{"vnclisten": "xen1"}])["warnings"])
        assert "console of win01 would be lost" in found and ("crashed" in found) is is_said


@pytest.mark.parametrize(
    "vnc, expected",
    [
        ({"vncdisplay": "1", "vncunused": "0"}, 1),
        ({"vncdisplay": "1", "vncunused": "1"}, None),
        ({"vncdisplay": "1"}, None),
        ({"vncunused": "0"}, None),
        ({"vncdisplay": "0", "vncunused": "0"}, None),
        # The default is 127.0.0.1.
        ({"vncdisplay": "2", "vncunused": "0"}, 1),
        ({"vncdisplay": "3", "vncunused": "0"}, None),
        ({"vncdisplay": "3", "vncunused": "0", "vnclisten": ""}, 1),
        ({"vncdisplay": "3", "vncunused": "0", "vnclisten": "0.0.0.0"}, 1),
        ({"vncdisplay": "3", "vncunused": "0", "vnclisten": "10.0.0.2"}, 1),
        ({"vncdisplay": "2", "vncunused": "0", "vnclisten": "10.0.0.2"}, None),
        ({"vncdisplay": "2", "vncunused": "0", "vnclisten": "localhost"}, 1),
        ({"vncdisplay": "4", "vncunused": "0"}, None),
        ({"vncdisplay": "x", "vncunused": "0"}, 0),
        ({"vncdisplay": "1", "vncunused": "no"}, 0),
        ({"vncdisplay": "x", "vncunused": "1"}, None),
        ({"vncdisplay": "-1", "vncunused": "0"}, 0),
    ],
)
def test_a_display_that_is_taken(vnc, expected):
    assert judged(listen(vnc=[vnc])) == expected
    assert judged(listen("linux", vnc=[vnc])) == (None if expected is None else 0)


def test_display_zero_and_ports_that_are_not_known():
    vnc = [{"vncunused": "0"}]
    assert "port 5900" in only(listen(vnc=vnc, taken=[["0.0.0.0", 5900]])["blockers"])
    assert "could not be told" in only(listen(vnc=vnc, taken=None)["warnings"])
    assert listen(vnc=[{"vncunused": "1"}], taken=None) == {"blockers": [], "warnings": []}


@pytest.mark.parametrize(
    "tools, vnc, is_blocked",
    [
        # Any text is true there, also "0".
        ((3, 0, 3), {"vncdisplay": "1", "vncunused": "0"}, False),
        ((3, 0, 3), {"vncdisplay": "1"}, True),
        ((3, 0, 3), {}, False),
        ((3, 1), {"vncdisplay": "1"}, True),
        ((3, 1), {"vncdisplay": "0"}, False),
        ((3, 2), {"vncdisplay": "1", "vncunused": "0"}, False),
        ((3, 2), {"vncdisplay": "1"}, True),
        ((3, 3), {"vncdisplay": "1"}, False),
        ((3, 3), {"vncdisplay": "1", "vncunused": "0"}, True),
    ],
)
def test_displays_by_version(tools, vnc, is_blocked):
    assert bool(listen(tools=tools, vnc=[vnc])["blockers"]) is is_blocked


@pytest.mark.parametrize(
    "text, expected",
    [
        ("pty", None),
        ("null", None),
        ("vc:80Cx24C", None),
        ("mon:pty", None),
        ("/dev/ttyS0", None),
        ("/dev/ttyS9", 1),
        ("file:/var/log/win01.log", None),
        ("file:/no/where.log", 1),
        ("file:/win01.log", None),
        ("tcp:192.0.2.11:4444,server,nowait", 1),
        ("telnet:192.0.2.11:4444,nowait,server", 1),
        ("mon:tcp:192.0.2.11:4444,server,nowait", 1),
        ("tcp:10.0.0.2:4444,server,nowait", None),
        ("tcp::4444,server,nowait", None),
        ("tcp:0.0.0.0:5901,server,nowait", 1),
        ("tcp::5902,server,nowait", 1),
        ("tcp:who:4444,server,nowait", 0),
        # It waits for somebody.
        ("tcp::4444,server", 0),
        # It connects.
        ("tcp:192.0.2.11:4444", 0),
        ("tcp:127.0.0.1:7000", None),
        ("tcp:127.0.0.1:7001", 1),
        ("udp:192.0.2.11:4444", None),
        ("udp:192.0.2.9:4444@192.0.2.11:4445", 1),
        ("udp:192.0.2.9:4444@:4445", None),
        ("unix:/var/run/new.sock,server,nowait", None),
        ("unix:/no/new.sock,server,nowait", 1),
        ("unix:/var/run/con.sock", None),
        ("unix:/var/run/no.sock", 1),
        ("pipe:/var/run/no", 1),
        ("carrier:pigeon", 0),
    ],
)
def test_serial_ports(text, expected):
    assert judged(listen(chardevs=[text])) == expected
    assert judged(listen("linux", chardevs=[text])) == (None if expected is None else 0)


def test_all_listeners_are_said_at_once():
    found = listen(
        vnc=[{"vnclisten": "xen1", "vncunused": "0"}, {"vncdisplay": "1", "vncunused": "0"}],
        chardevs=["tcp:xen1:1,server,nowait", "/dev/no"],
    )
    assert len(found["blockers"]) == 4


def test_a_host_of_which_nothing_is_known():
    found = xm_devices.fits(guest(vifs=[{}], vnc=[{"vnclisten": "xen1", "vncunused": "0"}]), {})
    assert found["blockers"] == []
    assert len(found["warnings"]) == 3
    assert xm_devices.fits({"name": "web01"}, host()) == {"blockers": [], "warnings": []}


@pytest.mark.parametrize("display, words", [(":0", "the X display :0"), ("", "that it does not name")])
def test_a_screen_in_a_window(display, words):
    domain = guest(name="win01", image="hvm", sdl=[display])
    found = fit(domain)
    assert found["blockers"] == []
    for word in ("win01", words, "xen2", "lost on both", "vnc=1"):
        assert word in only(found["warnings"])
    found = fit(dict(domain, image="linux"))
    assert "console would be lost" in only(found["warnings"]) and found["blockers"] == []


@pytest.mark.parametrize("tools, warned", [([3, 1], 0), ([3, 2], 0), ([3, 3], 1), (None, 1)])
def test_a_window_beside_vnc(tools, warned):
    domain = guest(image="hvm", sdl=[":0"], vnc=[{"vncunused": "1"}])
    assert len(fit(domain, host(tools=tools, xen=None))["warnings"]) == warned


# What the tools of distributions write for guests that nobody thinks about.
ORDINARY = {
    "RHEL 5": b"""(domain (domid 3) (name el5) (uuid a) (memory 512) (maxmem 512) (vcpus 1) (localtime 0)
 (bootloader /usr/bin/pygrub) (on_poweroff destroy) (on_reboot restart) (on_crash restart)
 (image (linux (kernel /var/lib/xen/boot_kernel.abc) (ramdisk /var/lib/xen/boot_ramdisk.x) (args 'ro')))
 (device (tap (backend 0) (dev xvda:disk) (uname tap:aio:/var/lib/xen/images/el5.img) (mode w)))
 (device (vif (backend 0) (script vif-bridge) (bridge xenbr0) (mac 00:16:3e:00:00:01)))
 (device (vkbd (backend 0)))
 (device (vfb (backend 0) (type vnc) (vncunused 1) (vnclisten 0.0.0.0) (keymap en-us))))""",
    "SLES 11": b"""(domain (domid 3) (name win) (uuid a) (memory 512) (maxmem 512) (vcpus 1)
 (on_xend_start ignore) (on_xend_stop ignore)
 (image (hvm (kernel ) (loader /usr/lib/xen/boot/hvmloader) (pae 1) (vncunused 1) (serial pty) (usb 1)
  (usbdevice tablet) (soundhw ) (stdvga 0) (vnc 1) (vnclisten 0.0.0.0) (pci ()) (gfx_passthru 0)
  (device_model /usr/lib/xen/bin/qemu-dm) (xauthority /root/.Xauthority) (display localhost:10.0) (sdl 0)
  (fda ) (fdb ) (boot c) (nographic 0) (monitor 0) (vncpasswd XX) (notes (SUSPEND_CANCEL 1))))
 (status 2) (state -b----)
 (device (vif (bridge xenbr0) (mac 00:16:3e:00:00:02) (script /etc/xen/scripts/vif-bridge) (model e1000)
  (type ioemu) (backend 0)))
 (device (vbd (bootable 1) (dev hda:disk) (uname phy:/dev/vg/my-lv) (mode w) (backend 0) (VDI )))
 (device (vbd (dev hdb:disk) (uname file:/srv/win.img) (mode w) (backend 0) (VDI )))
 (device (vbd (dev hdc:cdrom) (uname ) (mode r) (backend 0) (VDI )))
 (device (vbd (dev hdd:cdrom) (mode r) (backend 0) (VDI )))
 (device (vkbd (backend 0))) (device (console (protocol vt100) (location 3) (uuid b)))
 (device (vfb (vncunused 1) (vnc 1) (vnclisten 0.0.0.0) (location 0.0.0.0:5900))))""",
}


@pytest.mark.parametrize("who", sorted(ORDINARY))
@pytest.mark.parametrize("tools", [[3, 0, 3], [3, 2], [3, 4], [4, 4], None])
def test_an_ordinary_guest_hears_nothing(who, tools):
    (form,) = xend_sxp.parse(ORDINARY[who]).forms()
    domain = xm_output.describe(form)
    target = host(tools=tools, xen=tools and tools[:2], interfaces=["eth0", "xenbr0"])
    seen = {"script_problem": lambda path: None, "exists": lambda path: True, "is_own": OWN.get, "taken": []}
    for source in (None, {}, host("xen1")):
        found = xm_devices.fits(domain, target, source, **seen)
        assert found == {"blockers": [], "warnings": []}
    assert xm_devices.hardware(domain) == ([], [])
    loops = {"known": True, "unlimited": False, "total": 8, "free": 1, "backing": {}}
    mounted = [{"key": "device 8:1", "device": "/dev/sda1", "point": "/", "read_only": False}]
    other = xm_disks.used([{"dev": "hda", "uname": "file:/srv/iso/cd.iso", "mode": "r"}], "")
    refused = xm_block.refusals(
        domain["image"],
        xm_disks.used(domain["disks"], ""),
        [("db01", other)],
        mounted,
        loops,
        ["blktap", "block"],
        tools and tuple(tools),
        "xen2",
    )
    assert refused == []
