"""docs/configuration.md and pillar.example have every option with its default, and nothing that is wrong."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

import xend_options
import xend_settings
import xm_safety
from tests.literals import literal

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLE = (REPO / "salt" / "xend" / "pillar.example").read_text(encoding="utf-8")

HOSTS = {"xen1": "10.20.0.11", "xen2": "10.20.0.12"}

# Under xend in the pillar, but none of a host's settings: what orchestrations take, on the pages of these.
# `repair` is what they tell their own steps.
RUNS = {"migrate", "evacuate", "restore", "recover", "repair"}

# The defaults that are no value, and how they are said.
SAID = {
    ("xend", "service"): "`xend`, or `xen` where only that exists (Debian)",
    ("xend", "source"): "none",
    ("xend", "root"): "empty",
    ("xend", "safety_folder"): "the folder `kept`",
    ("xend", "rate_mib_s"): "no limit",
    ("xend", "auto"): "what the settings of xendomains say, else `/etc/xen/auto`",
    ("xend", "announce"): "none",
    ("xend", "firewall"): "false",
    ("relocation", "address"): "from `hosts`",
    ("relocation", "hosts_allow"): "the addresses of the other hosts",
    ("relocation", "ssl_port"): "not managed (xend's own is 8003)",
    ("relocation", "restart_accept"): "nothing",
    ("relocation", "backup"): "false",
    ("relocation", "config"): "as [below](#where-things-are)",
    ("relocation", "service"): "as [below](#where-things-are)",
}


def shown(value):
    """A default as the page shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "`[%s]`" % ", ".join(value)
    return "`%s`" % value if isinstance(value, str) else str(value)


def defaults():
    """What the code takes where nothing is said: {(level, option): as the page shows it}."""
    guests = literal("_modules/xen_guest.py", "DEFAULTS")
    found = {}
    for name in set(xend_settings.TOP) - RUNS - {"relocation"}:
        tables = (xend_settings.OPTIONS, xm_safety.DEFAULTS, guests, {"firewall": False})
        found["xend", name] = next(shown(table[name]) for table in tables if name in table)
    for name, _, _, default, _ in xend_options.settings():
        known = dict(xend_settings.DEFAULTS, port=default)
        found["relocation", name] = shown(known[name]) if name in known else "not managed"
    for name in xend_settings.BESIDE:
        found["relocation", name] = shown(xend_settings.DEFAULTS.get(name))
    return {key: SAID.get(key, default) for key, default in found.items()}


def sections():
    """{heading: text} of the page."""
    parts = re.split(r"^##+ (.*)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text):
    """The rows of the tables in a text, without their heads, as lists of cells."""
    lines = [line.strip("| \n") for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def documented():
    """The options in the tables of the page: {(level, option): default}."""
    found = {}
    for heading, text in sections().items():
        level = "relocation" if heading == "Settings of relocation" else "xend"
        for row in rows(text):
            if len(row) == 3:
                found.update(((level, name), row[1]) for name in re.findall(r"`([a-z_:0-9]+)`", row[0]))
    return found


def test_every_option_stands_on_the_page_with_its_default():
    options = {key: default for key, default in documented().items() if ":" not in key[1]}
    assert options == defaults()


def test_every_option_of_the_firewall_stands_on_the_page():
    said = {name for _, name in documented() if name.startswith("firewall:")}
    assert said == {"firewall:peers", "firewall:save"}
    given = {"relocation": {"hosts": HOSTS}, "firewall": dict.fromkeys(("peers", "save"))}
    assert xend_settings.settings(given, "xen1", importlib.import_module)["wrong"] == []


@pytest.mark.parametrize("name", sorted(RUNS - {"repair"}))
def test_what_orchestrations_take_is_pointed_at(name):
    assert "`xend:%s`" % name in PAGE


def test_every_word_that_accepts_a_restart_is_explained():
    words = [row[0].strip("`") for row in rows(sections()["Restarts of xend"])]
    assert words == list(xend_settings.RESTART_ACCEPT)


# -- What the blocks and the sentences are worth -------------------------------------------------


def blocks(text):
    return re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks(PAGE))
def test_every_pillar_on_the_page_is_right(block):
    pillar = yaml.safe_load(block)
    if "xend" in pillar:
        given = dict({"relocation": {"hosts": HOSTS}}, **pillar["xend"])
        for host in given["relocation"]["hosts"]:
            assert xend_settings.settings(given, host, importlib.import_module)["wrong"] == []


MISTAKES = rows(sections()["What a mistake says"])


@pytest.mark.parametrize("mistake, sentence", MISTAKES)
def test_every_mistake_on_the_page_says_this_sentence(mistake, sentence):
    given = yaml.safe_load(mistake.strip("`"))
    relocation = dict({"hosts": HOSTS}, **given.pop("relocation", {}))
    if isinstance(relocation["hosts"], dict):
        relocation["hosts"] = dict(HOSTS, **relocation["hosts"])
    given = dict(given, relocation=relocation)
    assert sentence in xend_settings.settings(given, "xen1", importlib.import_module)["wrong"]


# -- pillar.example ------------------------------------------------------------------------------


def example():
    """{(level, option): what stands behind it} of pillar.example, what is commented out included."""
    found, level = {}, None
    for line in EXAMPLE.partition("# What xend.orch.migrate takes")[0].splitlines():
        line = re.sub(r"^( *)# ?", r"\1", line)
        match = re.match(r"( *)([a-z_]+):(?: +(.*?))?(?: +#.*)?$", line)
        if match and len(match.group(1)) in (0, 2, 4, 6):
            level = {0: None, 2: "xend", 4: "relocation"}.get(len(match.group(1)), "deeper")
            found.setdefault((level, match.group(2)), (match.group(3) or "").strip())
    return found


def test_every_option_stands_in_pillar_example():
    missing = set(defaults()) - set(example())
    # In the mapping of one host there.
    assert missing == {("relocation", "config"), ("relocation", "service"), ("relocation", "address")}


def test_what_pillar_example_shows_is_the_default():
    shown_there = example()
    for key, default in defaults().items():
        if key in SAID or key not in shown_there or default == "not managed":
            continue
        assert "`%s`" % shown_there[key] == default or shown_there[key] == default, key


def test_pillar_example_is_right_as_it_stands():
    given = yaml.safe_load(EXAMPLE)["xend"]
    for host in given["relocation"]["hosts"]:
        assert xend_settings.settings(given, host, importlib.import_module)["wrong"] == []
