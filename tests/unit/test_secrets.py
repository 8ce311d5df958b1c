"""
Passwords in descriptions, files, diffs and messages: none is shown, and all else is, byte for byte.
This file runs on Python 2.7 as well.
"""

import difflib
import random
import re

import pytest

import xend_secrets
import xend_sxp

HIDDEN = "(not shown)"


@pytest.mark.parametrize(
    "given, shown",
    [
        (r"(vncpasswd gEhEiM)", r"(vncpasswd (not shown))"),
        (r"(vncpasswd 'gEhEiM')", r"(vncpasswd (not shown))"),
        (r'(vncpasswd "gEh) EiM")', r"(vncpasswd (not shown))"),
        (r"(vncpasswd 'gEh\'EiM') (a b)", r"(vncpasswd (not shown)) (a b)"),
        (r"(vncpasswd gEhEiM zwei)", r"(vncpasswd (not shown))"),
        (r"(vncpasswd (gEhEiM zwei)) (a b)", r"(vncpasswd (not shown)) (a b)"),
        (r"( vncpasswd  gEhEiM ) (x y)", r"( vncpasswd  (not shown) ) (x y)"),
        (r"('vncpasswd' gEhEiM)", r"('vncpasswd' (not shown))"),
        (r'("VNCPasswd" gEhEiM)', r'("VNCPasswd" (not shown))'),
        (r"#(vncpasswd 'gEhEiM')", r"#(vncpasswd (not shown))"),
        (r"# (vncpasswd gEhEiM)", r"# (vncpasswd (not shown))"),
        (
            r"(image (hvm (vnc 1) (vncpasswd gEhEiM) (keymap de)))",
            r"(image (hvm (vnc 1) (vncpasswd (not shown)) (keymap de)))",
        ),
        (
            r"(device (vfb (vncunused 1) (vncpasswd gEhEiM)(type vnc)))",
            r"(device (vfb (vncunused 1) (vncpasswd (not shown))(type vnc)))",
        ),
        (r"vncpasswd gEhEiM)", r"vncpasswd (not shown))"),
        (r"vncpasswd 'gEhEiM'", r"vncpasswd (not shown)"),
        (r"  vncpasswd gEhEiM zwei", r"  vncpasswd (not shown)"),
        (r"(vncpasswd gEhEiM", r"(vncpasswd (not shown)"),
        (r"(vncpasswd 'gEhEiM)", r"(vncpasswd (not shown)"),
        (r"vncpasswd=gEhEiM", r"vncpasswd=(not shown)"),
        (r'vncpasswd = "gEhEiM"', r"vncpasswd = (not shown)"),
        (r"vncpasswd = 'gEhEiM' # c", r"vncpasswd = (not shown) # c"),
        (
            r"vfb = [ 'type=vnc,vncpasswd=gEhEiM,keymap=de' ]",
            r"vfb = [ 'type=vnc,vncpasswd=(not shown),keymap=de' ]",
        ),
        (r"vfb = [ 'type=vnc,vncpasswd=gEh EiM' ]", r"vfb = [ 'type=vnc,vncpasswd=(not shown)' ]"),
        (r"vfb = [ 'vncpasswd=gEh EiM,type=vnc' ]", r"vfb = [ 'vncpasswd=(not shown),type=vnc' ]"),
        (r"type=vnc,vncpasswd=gEh EiM,keymap=de", r"type=vnc,vncpasswd=(not shown),keymap=de"),
        (
            r"(args 'root=/dev/x vncpassword=gEhEiM quiet')",
            r"(args 'root=/dev/x vncpassword=(not shown) quiet')",
        ),
        (r"{'vncpasswd': 'gEhEiM', 'a': 1}", r"{'vncpasswd': (not shown), 'a': 1}"),
        (r"[b'vncpasswd', b'gEhEiM']", r"[b'vncpasswd', (not shown)]"),
        (r"['vncpasswd', 'gEhEiM']", r"['vncpasswd', (not shown)]"),
        (r'["vncpasswd", "gEhEiM"], 5', r'["vncpasswd", (not shown)], 5'),
        (r"# vncpasswd gEhEiM", r"# vncpasswd (not shown)"),
        (r"# VNC password: gEhEiM", r"# VNC password: (not shown)"),
        (r"(vncpasswd) gEhEiM", r"(vncpasswd) (not shown)"),
        (r"(vncpasswd #gEhEiM)", r"(vncpasswd (not shown)"),
        (r"(vncpasswd=gEhEiM)", r"(vncpasswd=(not shown))"),
        (r'shared-secret "gEhEiM";', r"shared-secret (not shown);"),
        (r"(vncpasswd \x67EhEiM)", r"(vncpasswd (not shown))"),
        (r"(vncpaswd gEhEiM)", r"(vncpaswd (not shown))"),
        (r"(VNC_PASSWORD gEhEiM)", r"(VNC_PASSWORD (not shown))"),
        (r"(vnc (1 (passwd gEhEiM) (x y)))", r"(vnc (1 (passwd (not shown)) (x y)))"),
        (r"(keymap de) vncpasswd gEhEiM (a b)", r"(keymap de) vncpasswd (not shown) (a b)"),
    ],
)
def test_a_password_is_not_shown_and_all_else_is(given, shown):
    assert xend_secrets.text(given) == shown
    assert xend_secrets.text(given.encode("ascii")) == shown.encode("ascii")
    # What is shown may come by here again.
    assert xend_secrets.text(shown) == shown


@pytest.mark.parametrize(
    "given",
    [
        r"(vncpasswd'gEhEiM')",
        r"(vncpasswd(gEhEiM))",
        r"\'vncpasswd\': \'gEhEiM\'",
        r"don't vncpasswd='gEhEiM'",
        r"(xend-relocation-address '1.2.3.4)\n(vncpasswd gEhEiM)\n(x ')",
    ],
)
def test_what_is_broken_shows_rather_too_little(given):
    assert "EiM" not in xend_secrets.text(given) and "gEh" not in xend_secrets.text(given)


@pytest.mark.parametrize(
    "given",
    [
        r"(vncpasswd '')",
        r'(vncpasswd "")',
        r"(vncpasswd )",
        r"(vncpasswd)",
        r"(vncpasswd ())",
        r"(vncpasswd '') # none",
        r"vncpasswd=''",
        r"vfb = [ 'type=vnc,vncpasswd=', 'x' ]",
        r"# The default password for VNC console on HVM domain.",
        r"# is more secure the password auth alone. Passwd auth can",
        r"# Passwd auth can be weak",
        r"(pci-passthrough-strict-check yes)",
        r"(gfx_passthru 1)",
        r"(xend-relocation-server-ssl-key-file /etc/xen/key.pem)",
        r"(name passwd-server) (memory 5)",
        r"(uname file:/etc/passwd) (mode w)",
        r"(uname 'file:/srv/passwords/x y.img')",
        r"(vncpasswd (not shown))",
        r"vncpasswd=(not shown)",
        r"vncpasswd (not shown))",
    ],
)
def test_what_is_no_password_is_shown(given):
    """Among it that there is none, and what sentences say of them."""
    assert xend_secrets.text(given) == given


@pytest.mark.parametrize(
    "key",
    [
        "vncpasswd",
        b"vncpasswd",
        "VncPasswd",
        "vnc_password",
        "passwd",
        "PASSWORD",
        "passphrase",
        "vncpaswd",
    ]
    + [
        "shared-secret",
        "chap-secret",
        "auth_pass",
        "vncpass",
        "pass",
        "rootpw-passwd",
        b"vncpasswd".decode("ascii"),
    ],
)
def test_keys_of_passwords(key):
    assert xend_secrets.is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "vnclisten",
        "keymap",
        "pci-passthrough-strict-check",
        "gfx_passthru",
        "compass",
        "bypass",
        "",
        5,
    ]
    + [
        "spice",
        "xend-relocation-server-ssl-key-file",
        "xend-tcp-xmlrpc-server-ssl-cert-file",
        "vnc-x509-verify",
        None,
    ]
    + ["the password is wrong", [b"vncpasswd"], True],
)
def test_other_keys(key):
    assert not xend_secrets.is_secret(key)


def test_forms_lists_and_dicts():
    forms = xend_sxp.parse(
        b"(domain (name web01) (image (hvm (vnc 1) (vncpasswd x y) (args 'a vncpassword=z b')))"
        b" (device (vfb (type vnc) (vncpasswd '') (other_config ((vncpasswd (z)))))))"
    ).forms()
    shown = xend_sxp.render(xend_secrets.masked(forms)[0])
    assert shown == (
        b"(domain (name web01)"
        b" (image (hvm (vnc 1) (vncpasswd '(not shown)') (args 'a vncpassword=(not shown) b')))"
        b" (device (vfb (type vnc) (vncpasswd '') (other_config ((vncpasswd '(not shown)'))))))"
    )
    assert xend_secrets.masked({"a": [{"vncpasswd": "x"}], "passwd": "", "n": (1, None)}) == {
        "a": [{"vncpasswd": HIDDEN}],
        "passwd": "",
        "n": (1, None),
    }
    assert (
        xend_secrets.shown("vncpasswd", None) is None
        and xend_secrets.shown("vncpasswd", ["x"]) == HIDDEN
    )
    assert xend_secrets.shown("keymap", "de") == "de"


def test_text_in_no_encoding():
    data = b"(a '\xff\xe4') (vncpasswd '\xff')\r\n"
    assert xend_secrets.text(data) == b"(a '\xff\xe4') (vncpasswd (not shown))\r\n"
    text = b"(a '\xc3\xa4') (vncpasswd '\xc3\xa4\xc3\xb6')".decode("utf-8")
    assert xend_secrets.text(text) == b"(a '\xc3\xa4') (vncpasswd (not shown))".decode("utf-8")


SETTINGS = [
    b"(keymap de)",
    b"# don't touch the password of VNC",
    b"(vnc-listen '0.0.0.0')",
    b"#(vncpasswd '')",
    b"  (xend-relocation-hosts-allow '^a$ ^b$') # c",
    b"",
    b"(xen-api-server ((9363 pam '^a$') (unix none)))",
]
SECRETS = [
    b"(vncpasswd %s)",
    b"(vncpasswd '%s')",
    b'(vncpasswd "%s" )',
    b"(vncpasswd\n  %s)",
    b"(vncpasswd\n  '%s\n%s')",
    b"(vncpasswd (a (%s)) %s)",
    b"(vncpasswd '\\'%s')",
    b"#(vncpasswd '%s')",
    b"vncpasswd %s)",
    b"(vncpasswd %s",
    b"(vncpasswd '%s)",
    b"(vncpasswd %s (x",
    b"((vncpasswd %s)",
    b"(vncpasswd) %s",
    b"vncpasswd = '%s'",
    b"vfb = ['type=vnc,vncpasswd=%s']",
]


@pytest.mark.parametrize("seed", range(60))
def test_diffs_of_any_file_show_no_password(seed):
    """Whatever stands around it, also in several lines; that it changes is shown."""
    dice = random.Random(seed)
    lines = [dice.choice(SETTINGS) for _ in range(20)]
    place, pattern = dice.randrange(20), dice.choice(SECRETS)
    other = dice.randrange(20)

    def content(word, ending):
        made = list(lines)
        made[place] = pattern.replace(b"%s", word)
        if other != place:
            made[other] = ending
        return b"\n".join(made) + dice.choice([b"", b"\n"])

    old, new = content(b"mArk1ed", b"(console-limit 1)"), content(b"mArk2ed", b"(console-limit 2)")

    diff = xend_secrets.diff(b"f", old, new)
    assert b"mArk" not in diff and b"ed" not in diff.replace(b"shared", b"")
    shown = [line for line in diff.split(b"\n") if b"(not shown)" in line]
    assert [line for line in shown if line[:1] == b"-"] and [
        line for line in shown if line[:1] == b"+"
    ]
    # As many lines as it has with them.
    texts = [re.findall("[^\n]*\n|[^\n]+", data.decode("latin-1")) for data in (old, new)]
    lines = [line for line in diff.split(b"\n")[:-1] if line[:1] != b"\\"]
    assert len(lines) == len(list(difflib.unified_diff(texts[0], texts[1])))


@pytest.mark.parametrize("tail", [b"", b"\n(keymap de)\n", b" mArk3ed\n"])
def test_what_is_left_of_a_password_when_its_key_has_gone(tail):
    old = b"(console-limit 5)\n(vncpasswd mArk1ed) mArk2ed" + tail
    new = old.replace(b"(vncpasswd mArk1ed)", b"")
    for one, other in ((old, new), (new, old)):
        hidden = xend_secrets.spans_of_both(one, other)
        shown = [
            xend_secrets.piece(data, 0, len(data), places)
            for data, places in zip((one, other), hidden)
        ]
        assert b"mArk" not in b"".join(shown)
        assert b"(console-limit 5)" in shown[0] and b"(console-limit 5)" in shown[1]


@pytest.mark.parametrize("pattern", SECRETS)
def test_lines_and_pieces_of_a_file(pattern):
    data = b"(keymap de)\r\n" + pattern.replace(b"%s", b"mArked") + b"\r\n(console-limit 1)\n"
    begin = 0
    shown = []
    for line in data.split(b"\n"):
        end = min(begin + len(line) + 1, len(data))
        shown.append(xend_secrets.piece(data, begin, end))
        begin = end
    assert b"mArked" not in b"".join(shown)
    assert [line[-1:] for line in shown[:-1]] == [b"\n"] * (len(shown) - 1)
    assert shown[0] == b"(keymap de)\r\n" and b"(console-limit 1)\n" in shown


@pytest.mark.parametrize(
    "data",
    [
        b"(vncpasswd 'a\\xzzmArked')",
        b"(vncpasswd 'mArked\\777')",
        b"(vncpasswd mArked \x01)",
        b"(keymap de)\n(vncpasswd 'mArked)\n",
        b"(vncpasswd mArked))",
        b"(vncpasswd " + b"x" * 200 + b" 'mArked)",
    ],
)
def test_errors_of_the_parser_quote_no_password(data):
    with pytest.raises(xend_sxp.ParseError) as caught:
        xend_sxp.parse(data)
    error = caught.value.without(xend_secrets.piece)
    assert error.line == caught.value.line and error.column == caught.value.column
    assert "mArked" not in str(error) + error.text + error.message and "xxxx" not in str(error)
    assert "777" not in str(error) and "line %d," % error.line in str(error)


def test_a_line_without_a_password_is_still_quoted():
    with pytest.raises(xend_sxp.ParseError) as caught:
        xend_sxp.parse(b"(vncpasswd x)\n(keymap d \x01e)")
    error = caught.value.without(xend_secrets.piece)
    assert "(keymap d  e)" in str(error) and "code 1" in str(error)


def test_why_salt_could_not_run_a_command():
    text = "Unable to run command '['xm']' with the context '{'env': {'A_PASSWORD': 'x'}}', reason: no file"
    assert xend_secrets.reason(text) == xend_secrets.reason("no file") == "no file"
