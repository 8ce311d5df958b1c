"""The execution module xend on a file: reading, changing, and refusing to."""

import json
import os
import re

import pytest
from salt.exceptions import CommandExecutionError

from tests import ground_truth

HOSTS = "xend-relocation-hosts-allow"


def test_get(xend):
    assert xend.get("dom0-min-mem") == "196"
    assert xend.get(HOSTS) == r"^localhost$ ^localhost\.localdomain$"
    assert xend.get("xend-relocation-port") is None
    assert xend.get("xend-relocation-port", 8002) == 8002


def test_get_of_a_list_and_of_text_that_is_not_ascii(xend, config):
    config.write_bytes("(xen-api-server ((unix none) (9363 pam '^a$')))\n(note 'für')\n".encode())
    assert xend.get("xen-api-server") == [["unix", "none"], ["9363", "pam", "^a$"]]
    assert xend.get("note") == "für"


def test_list_is_in_file_order_and_the_first_counts(xend, config):
    config.write_text("(b 1)\n(a 2)\n(b 3)\n(c)\n")
    assert list(xend.list().items()) == [("b", "1"), ("a", "2"), ("c", None)]


def test_the_file_can_be_named_in_the_call_in_an_option_and_in_the_pillar(load, config, tmp_path):
    other = tmp_path / "other.sxp"
    other.write_text("(xend-relocation-port 8010)\n")
    assert load().modules.xend.get("dom0-min-mem", config=str(config)) == "196"
    assert load(xend={"config": str(other)}).modules.xend.get("xend-relocation-port") == "8010"
    by_pillar = load(pillar={"xend": {"config": str(other)}}).modules.xend
    assert by_pillar.get("xend-relocation-port") == "8010"


def test_relocation_tells_settings_from_defaults(xend):
    found = xend.relocation()
    assert found["server"] is False and found["port"] == 8002 and found["address"] == ""
    assert found["hosts_allow"] == ["^localhost$", r"^localhost\.localdomain$"]
    assert "server" in found["defaults"] and "hosts_allow" not in found["defaults"]


def test_relocation_names_what_keeps_xend_from_starting(xend, config):
    config.write_text("(xend-relocation-port abc)\n(xend-relocation-server maybe)\n")
    with pytest.raises(CommandExecutionError) as caught:
        xend.relocation()
    assert "abc" in str(caught.value) and "maybe" in str(caught.value)


@pytest.mark.parametrize(
    "prepare, said",
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "dangling"),
        (lambda path: (path.unlink(), path.mkdir()), "directory"),
        (lambda path: path.write_text("(a\n(b c)\n"), "line 1"),
    ],
    ids=["missing", "dangling link", "directory", "syntax error"],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(xend, config, prepare, said):
    prepare(config)
    for call in (lambda: xend.get("a"), lambda: xend.set("a", "b"), xend.relocation):
        with pytest.raises(CommandExecutionError) as caught:
            call()
        assert str(config) in str(caught.value) and said in str(caught.value).lower()
        assert "\n" not in str(caught.value)


def test_set_replaces_in_place(xend, config):
    before = config.read_text()
    done = xend.set("dom0-min-mem", 256)
    assert (done["changed"], done["old"], done["new"]) == (True, "196", "256")
    assert config.read_text() == before.replace("(dom0-min-mem 196)", "(dom0-min-mem 256)")
    assert "-(dom0-min-mem 196)\n+(dom0-min-mem 256)" in done["diff"]


def test_set_uncomments_the_default_it_is_given(xend, config):
    before = config.read_text()
    xend.set("xend-relocation-port", 8002)
    assert config.read_text() == before.replace("#(xend-relocation-port", "(xend-relocation-port")


def test_set_puts_another_value_below_the_commented_default(xend, config):
    before = config.read_text()
    xend.set("xend-relocation-port", 8010)
    line = "#(xend-relocation-port 8002)\n"
    assert config.read_text() == before.replace(line, line + "(xend-relocation-port 8010)\n")


def test_set_of_what_is_there_writes_nothing(xend, config):
    os.utime(config, (1, 1))
    done = xend.set("dom0-min-mem", "196")
    assert done == {"changed": False, "old": "196", "new": "196", "diff": ""}
    assert config.stat().st_mtime == 1


@pytest.mark.parametrize("word", [True, False])
def test_a_boolean_is_written_as_yes_or_no(xend, config, word):
    xend.set("xend-http-server", word)
    xend.configure(server=word, hosts_allow=["10.20.0.12"])
    text = "yes" if word else "no"
    assert f"\n(xend-http-server {text})\n" in config.read_text()
    assert f"\n(xend-relocation-server {text})\n" in config.read_text()


def test_set_of_a_list(xend):
    xend.set("xen-api-server", [["unix", "none"], [9363, "pam"]])
    assert xend.get("xen-api-server") == [["unix", "none"], ["9363", "pam"]]


def test_test_mode_reports_the_same_and_writes_nothing(xend, config):
    before = config.read_bytes()
    planned = xend.set("dom0-min-mem", 256, test=True)
    assert config.read_bytes() == before
    assert planned == xend.set("dom0-min-mem", 256)


def test_remove(xend, config):
    before = config.read_text()
    done = xend.remove("dom0-min-mem")
    assert (done["changed"], done["old"], done["new"]) == (True, "196", None)
    assert config.read_text() == before.replace("(dom0-min-mem 196)\n", "")
    assert xend.remove("dom0-min-mem")["changed"] is False


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda xend: xend.set("xend-relocation-server", "maybe"),
            ["xend-relocation-server", "maybe"],
        ),
        (lambda xend: xend.set("xend-relocation-port", "abc"), ["xend-relocation-port", "abc"]),
        (lambda xend: xend.set("xend-relocation-port", 70000), ["70000", "65535"]),
        (lambda xend: xend.set("xend-relocation-port", ["8002"]), ["xend-relocation-port"]),
        (lambda xend: xend.set(HOSTS, "^a$ "), [HOSTS, "everybody"]),
        (lambda xend: xend.set(HOSTS, "^(a$"), [HOSTS, "^(a$"]),
        (lambda xend: xend.set("note", None), ["note", "None"]),
        (lambda xend: xend.set("xend-http-server", "maybe"), ["xend-http-server", "maybe"]),
        (lambda xend: xend.set("dom0-min-mem", "much"), ["dom0-min-mem", "much"]),
        (lambda xend: xend.configure(), ["hosts_allow"]),
        (lambda xend: xend.configure(hosts_allow=[]), ["hosts_allow", "any"]),
        (lambda xend: xend.configure(hosts_allow=["10.20.0.300"]), ["10.20.0.300"]),
        (lambda xend: xend.configure(hosts_allow=["fe80::1"]), ["fe80::1", "IPv4"]),
        (lambda xend: xend.configure(port=0), ["xend-relocation-port", "65535"]),
        (lambda xend: xend.configure(address="10.20.0.300"), ["10.20.0.300"]),
        (
            lambda xend: xend.configure(ssl_server=True, hosts_allow=["10.20.0.12"]),
            ["ssl_key_file", "ssl_cert_file"],
        ),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(xend, config, call, said):
    before = (config.read_bytes(), config.stat().st_ino, config.stat().st_mtime)
    with pytest.raises(CommandExecutionError) as caught:
        call(xend)
    for word in said:
        assert word in str(caught.value)
    assert (config.read_bytes(), config.stat().st_ino, config.stat().st_mtime) == before


def test_configure_does_all_in_one_write(xend, config):
    done = xend.configure(
        server=True, port=8002, address="10.20.0.11", hosts_allow=["10.20.0.12", ".xen.example.com"]
    )
    assert done["changes"]["server"] == {"old": None, "new": True}
    assert done["changes"]["hosts_allow"]["old"] == ["^localhost$", r"^localhost\.localdomain$"]
    assert xend.relocation()["server"] is True and xend.relocation()["address"] == "10.20.0.11"
    assert xend.accepts("10.20.0.12", name="x.invalid")["accepted"]
    assert not xend.accepts("10.20.0.120", name="x.invalid")["accepted"]
    again = xend.configure(
        server=True, port=8002, address="10.20.0.11", hosts_allow=["10.20.0.12", ".xen.example.com"]
    )
    assert again == {"changed": False, "changes": {}, "diff": ""}


def test_an_open_port_needs_the_word_any(xend, config):
    config.write_text("(xend-relocation-hosts-allow '')\n")
    with pytest.raises(CommandExecutionError) as caught:
        xend.configure(server=True)
    assert "everybody" in str(caught.value)
    assert config.read_text() == "(xend-relocation-hosts-allow '')\n"
    xend.configure(server=True, hosts_allow="any")
    assert xend.relocation()["server"] is True and xend.relocation()["hosts_allow"] == []


OPEN = "(xend-relocation-server yes)\n"
GUARDED = OPEN + "(xend-relocation-hosts-allow ^a$)\n"
BROKEN = GUARDED + "(xend-relocation-ssl-server yes)\n"


@pytest.mark.parametrize(
    "text, call",
    [
        (GUARDED, lambda xend: xend.remove(HOSTS)),
        ("", lambda xend: xend.set("xend-relocation-server", "yes")),
        (
            "(xend-relocation-hosts-allow '')\n",
            lambda xend: xend.set("xend-relocation-server", True),
        ),
        (OPEN, lambda xend: xend.configure(server=True)),
        (OPEN + "(xend-relocation-ssl-server yes)\n", lambda xend: xend.configure(ssl_server=True)),
    ],
)
def test_no_way_opens_the_port_without_the_word_any(xend, config, text, call):
    config.write_text(text)
    with pytest.raises(CommandExecutionError) as caught:
        call(xend)
    assert "everybody" in str(caught.value) and config.read_text() == text


@pytest.mark.parametrize(
    "text, call, said",
    [
        (OPEN, lambda xend: xend.set("xend-relocation-port", 8010), "(xend-relocation-port 8010)"),
        (OPEN, lambda xend: xend.set("dom0-min-mem", 200), "(dom0-min-mem 200)"),
        (BROKEN, lambda xend: xend.configure(server=False), "(xend-relocation-server no)"),
        (BROKEN, lambda xend: xend.configure(hosts_allow=["10.20.0.12"]), "'^10"),
        (BROKEN, lambda xend: xend.configure(ssl_key_file="a.key"), "a.key"),
        (OPEN, lambda xend: xend.remove("xend-relocation-server"), ""),
    ],
)
def test_what_was_wrong_before_does_not_keep_other_changes_out(xend, config, text, call, said):
    config.write_text(text)
    assert call(xend)["changed"] and said in config.read_text()


def test_a_word_that_means_the_same_is_left_as_it_is(xend, config):
    config.write_text("(xend-relocation-server ON)\n(xend-relocation-hosts-allow ^a$)\n")
    assert xend.configure(server=True)["changed"] is False
    assert "(xend-relocation-server ON)" in config.read_text()


def test_configure_mends_a_value_that_xend_cannot_read(xend, config):
    config.write_text("(xend-relocation-port abc)\n")
    done = xend.configure(port=8002)
    assert done["changes"] == {"port": {"old": "abc", "new": 8002}}


def test_a_backup_is_kept_when_asked_for(xend, load, config, tmp_path):
    xend.set("dom0-min-mem", 256, backup="minion")
    kept = [
        path
        for path in (tmp_path / "minion" / "cache" / "file_backup").rglob("*")
        if path.is_file()
    ]
    assert len(kept) == 1 and "(dom0-min-mem 196)" in kept[0].read_text()


def test_accepts_says_why(xend):
    local = xend.accepts("127.0.0.1", name="localhost")
    assert local["accepted"] and local["pattern"] == "^localhost$"
    other = xend.accepts("10.20.0.12", name="xen2.example.com")
    assert not other["accepted"] and other["pattern"] is None and "10.20.0.12" in other["reason"]


SET = re.compile("xend-relocation-(server|port|address|hosts-allow)")


def other_lines(diff, mark, key):
    """The lines of a diff with that mark that do not have the key, without the mark."""
    lines = [line[1:] for line in diff.splitlines() if re.match(r"[%s](?!\+\+|--)" % mark, line)]
    return [line for line in lines if not re.search(key, line)]


def test_every_file_that_hosts_have_can_be_configured(load, tmp_path):
    """The diff of each edit touches the forms concerned only; files that xend refuses stay as they are."""
    path = tmp_path / "copy.sxp"
    xend = load(xend={"config": str(path)}).modules.xend
    refused, over_lines = [], []
    for config in ground_truth.configs("files", "real"):
        path.write_bytes(config.data)
        if not config.read_by("4.4")["parse"]["ok"]:
            refused.append(config.name)
            with pytest.raises(CommandExecutionError):
                xend.set("xend-relocation-port", 8123)
            assert path.read_bytes() == config.data, config.name
            continue
        others = {key: value for key, value in xend.list().items() if not SET.fullmatch(key)}
        one = xend.set("xend-relocation-port", 8123)
        assert xend.get("xend-relocation-port") == "8123"
        done = xend.configure(server=True, address="10.20.0.11", hosts_allow=["10.20.0.12"])
        for diff, key in (
            (one["diff"], "xend-relocation-port"),
            (done["diff"], "xend-relocation-(server|address|hosts-allow)"),
        ):
            # A last line without a newline gets one when another follows it.
            if other_lines(diff, "-", key) != other_lines(diff, "+", key):
                over_lines.append(config.name)
        assert others == {
            key: value for key, value in xend.list().items() if not SET.fullmatch(key)
        }, config.name
        settings = xend.relocation()
        assert (settings["server"], settings["address"]) == (True, "10.20.0.11")
        assert settings["hosts_allow"] == [r"^10\.20\.0\.12$"]
    assert len(refused) >= 5
    # There a form, or a value in quotes, is longer than a line.
    assert [name[:9] for name in over_lines] == ["files/107", "files/206"]


PILLAR = {
    "xend": {
        "relocation": {
            "port": 8010,
            "hosts": {
                "xen1": "10.20.0.11",
                "xen2": {"address": "10.20.0.12", "port": 8012},
                "xen3": None,
            },
        }
    }
}


def test_the_hosts_in_the_pillar(load):
    assert load(pillar=PILLAR).modules.xend.declared_hosts() == {
        "xen1": {"address": "10.20.0.11", "port": 8010, "ssl_port": 8003},
        "xen2": {"address": "10.20.0.12", "port": 8012, "ssl_port": 8003},
        "xen3": {"address": None, "port": 8010, "ssl_port": 8003},
    }
    assert load().modules.xend.declared_hosts() == {}


@pytest.mark.parametrize("relocation", [{"hosts": ["xen1"]}, {"hosts": "10.20.0.11"}, ["xen1"], "on"])
def test_hosts_that_are_no_mapping_are_named(load, relocation):
    with pytest.raises(CommandExecutionError) as caught:
        load(pillar={"xend": {"relocation": relocation}}).modules.xend.declared_hosts()
    assert "xend:relocation" in str(caught.value) and "mapping" in str(caught.value)


@pytest.mark.parametrize(
    "xend, said",
    [
        ("on", 'xend is no mapping with settings, but "on"'),
        (["xen1"], "xend is no mapping"),
        ({"relocation": {"hosts": {"xen2": "any"}}}, 'xend:relocation:hosts:xen2, "any", is no address'),
        ({"relocation": {"hosts": {"xen2": {"address": "a.example"}}}}, "xen2:address"),
        ({"relocation": {"port": "x"}}, "xend:relocation:port"),
    ],
)
def test_what_reads_the_hosts_says_in_one_sentence_what_is_wrong_with_them(load, config, xend, said):
    modules = load(pillar={"xend": xend}).modules
    for call in (
        modules.xend.declared_hosts,
        modules.xend.probe,
        lambda: modules.xend.probe("xen2"),
        lambda: modules.xend.peer("xen2"),
        lambda: modules.xm.migrate("web01", "xen2"),
    ):
        with pytest.raises(CommandExecutionError) as caught:
            call()
        assert said in str(caught.value) and "\n" not in str(caught.value), call
    assert any(said in sentence for sentence in modules.xend.settings()["wrong"])
    assert modules.xend.get("xend-relocation-port", config=str(config)) is None


@pytest.mark.parametrize(
    "name, calls",
    [
        ("config", ["xend.list", "xend.status"]),
        ("kept", ["xm.unfinished", "xm.copies"]),
        ("xm", ["xm.list", "xm.info"]),
        ("pidfile", ["xend.status", "xend.restart"]),
    ],
)
@pytest.mark.parametrize("value", [5, ["a"], {"a": 1}])
def test_an_option_of_another_kind_is_named(load, config, name, calls, value):
    options = dict({"config": str(config), "xm": "/nowhere/xm"}, **{name: value})
    modules = load(pillar={"xend": options}).modules
    for call in calls:
        with pytest.raises(CommandExecutionError) as caught:
            modules[call]()
        assert "xend:%s" % name in str(caught.value), call


def test_relocation_in_the_minions_own_configuration(load):
    minion = load(xend={"relocation": {"hosts": {"xen2": "10.20.0.12"}}})
    assert minion.modules.xend.declared_hosts()["xen2"]["address"] == "10.20.0.12"


@pytest.mark.parametrize("wide", ["0.0.0.0/0", ".com", "0.0.0.0/1"])
def test_everybody_is_any_and_nothing_else(xend, config, wide):
    before = config.read_bytes()
    with pytest.raises(CommandExecutionError) as caught:
        xend.configure(hosts_allow=["10.20.0.1", wide])
    assert wide in str(caught.value) and "any" in str(caught.value) and config.read_bytes() == before
    assert xend.configure(hosts_allow="any")["changed"]


def test_a_peer_is_probed_where_the_pillar_says(load):
    pillar = {"xend": {"relocation": {"hosts": {"xen2": {"address": "127.0.0.99", "port": 8022}}}}}
    xend = load(pillar=pillar).modules.xend
    for name in ("xen2", "127.0.0.99"):
        answer = xend.probe(name)
        assert (answer["address"], answer["port"]) == ("127.0.0.99", 8022)
    assert xend.probe("xen2", port=8023)["port"] == 8023
    assert list(xend.probe()) == ["xen2"] and list(xend.probe(["xen2"])) == ["xen2"]


def test_a_peer_that_the_pillar_does_not_name_is_asked_on_the_port_that_xm_would_take(xend, config):
    """That is the source's own (xend 4.4 XendDomain.domain_migrate)."""
    assert xend.probe("127.0.0.99")["port"] == 8002
    xend.configure(port=8022, ssl_port=8023)
    assert xend.probe("127.0.0.99")["port"] == 8022
    assert xend.probe("127.0.0.99", ssl=True)["port"] == 8023
    other = config.with_name("other.sxp")
    other.write_text("(xend-relocation-port 8024)")
    assert xend.probe("127.0.0.99", config=str(other))["port"] == 8024
    config.write_text("(")
    assert xend.probe("127.0.0.99")["port"] == 8002


@pytest.mark.parametrize(
    "relocation, port",
    [
        ({"hosts": {"xen1": {"config": "{0}/own"}}, "config": "{0}/all"}, "1"),
        ({"hosts": {"xen1": "10.20.0.11", "xen2": {"config": "{0}/own"}}, "config": "{0}/all"}, "2"),
        ({"hosts": {"xen2": {"config": "{0}/own"}}}, "3"),
        ("on", "3"),
        ({"hosts": "on"}, "3"),
    ],
)
def test_the_pillar_of_one_host_says_which_file_counts(load, tmp_path, relocation, port):
    for number, name in enumerate(["own", "all", "option"], 1):
        (tmp_path / name).write_text("(xend-relocation-port %d)" % number)
    pillar = json.loads(json.dumps({"xend": {"relocation": relocation}}).replace("{0}", str(tmp_path)))
    minion = load(pillar=pillar, xend={"config": str(tmp_path / "option")})
    assert minion.modules.xend.get("xend-relocation-port") == port


@pytest.mark.parametrize(
    "keywords, said",
    [
        ({"source": 5}, "could not be asked from 5"),
        ({"port": 0}, "xend-relocation-port: 0 is no port"),
    ],
)
def test_a_probe_that_cannot_be_made_says_why(xend, keywords, said):
    with pytest.raises(CommandExecutionError) as caught:
        xend.probe("127.0.0.1", timeout=1, **keywords)
    assert said in str(caught.value)
