"""The pages of the documentation: where their links lead, how long they are, that all of them are found."""

import re
import shlex
import urllib.parse
from pathlib import Path

import pytest
from salt.loader import SALT_BASE_PATH

from tests.tools import check_docstrings
from tests.tools.reference import anchor

REPO = Path(__file__).resolve().parents[2]
TOP = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [path for path in [*TOP, *sorted((REPO / "docs").glob("*.md"))] if path.exists()]
DOCS = [path for path in PAGES if path.parent == REPO / "docs"]

LINK = re.compile(
    r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]"
    r"\(\s*<?([^()\s>]+(?:\([^()]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)"
)
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)
BARE = re.compile(r"https?://[^\s<>()`'\"\]]+")
LONGEST_LINE, LONGEST_README = 110, 200


def prose(path):
    """The text of a page without its blocks of code, line for line."""
    lines, mark = [], None
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark:
            mark = None if fence and fence.group(1).startswith(mark) else mark
            lines.append("")
        elif fence:
            mark = fence.group(1)
            lines.append("")
        else:
            lines.append(line)
    return "\n".join(lines)


def anchors(path):
    """The anchors of a page, as GitHub makes them of its headings: the second of two alike has a number."""
    found, counts = set(), {}
    for title in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", prose(path), re.MULTILINE):
        name = anchor(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title))
        count = counts[name] = counts.get(name, -1) + 1
        found.add(name if not count else "%s-%d" % (name, count))
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", prose(path)))


def targets(path):
    """Where the links of a page lead."""
    text = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "code", prose(path))
    return LINK.findall(text) + REFERENCE.findall(text)


def wrong_links(path):
    """What is wrong with the links of a page, as sentences."""
    found = []
    for target in targets(path):
        url = urllib.parse.urlsplit(target)
        if url.scheme or url.netloc:
            if not is_well_formed(target):
                found.append("%s is no URL" % target)
            continue
        place = path if not url.path else (path.parent / urllib.parse.unquote(url.path)).resolve()
        if not place.exists() or not place.is_relative_to(REPO):
            found.append("%s: there is no such file" % target)
        elif url.fragment and (place.suffix != ".md" or url.fragment not in anchors(place)):
            found.append("%s: that page has no such heading" % target)
    return found


def is_well_formed(url):
    parts = urllib.parse.urlsplit(url)
    host = re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.hostname or "")
    return parts.scheme in ("http", "https") and host is not None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    assert wrong_links(path) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_urls_are_well_formed(path):
    urls = [url.rstrip(".,;:") for url in BARE.findall(path.read_text(encoding="utf-8"))]
    assert [url for url in urls if not is_well_formed(url)] == []


def test_every_page_is_reached_from_the_readme():
    seen, ahead = set(), [REPO / "README.md"]
    while ahead:
        path = ahead.pop()
        if path not in seen and path.suffix == ".md":
            seen.add(path)
            linked = [urllib.parse.urlsplit(target) for target in targets(path)]
            ahead += [
                (path.parent / one.path).resolve() for one in linked if one.path and not one.scheme
            ]
    assert [path.name for path in PAGES if path not in seen] == []


def test_the_index_has_every_page():
    linked = {urllib.parse.urlsplit(target).path for target in targets(REPO / "docs" / "README.md")}
    assert {path.name for path in DOCS} - {"README.md"} <= linked


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_lines_are_not_too_long_but_in_tables(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    too_long = [
        "%d: %s" % (number, line)
        for number, line in enumerate(lines, 1)
        if len(line) > LONGEST_LINE and not line.lstrip().startswith("|") and "http" not in line
    ]
    assert too_long == []


def test_the_readme_is_short():
    assert len((REPO / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


@pytest.mark.parametrize(
    "path",
    [
        *(REPO / "salt").rglob("*.sls"),
        REPO / "salt/xend/pillar.example",
        *REPO.glob("_*/*.py"),
        *TOP,
    ],
    ids=lambda path: str(path.relative_to(REPO)),
)
def test_pages_that_are_named_elsewhere_are_there(path):
    names = re.findall(r"\bdocs/([a-z-]+\.md)\b", path.read_text(encoding="utf-8"))
    assert [name for name in names if not (REPO / "docs" / name).exists()] == []


# -- What stands between backticks in a sentence: commands, names, files

KNOWN = check_docstrings.all_public(REPO / name for name in ("_modules", "_states", "_runners"))
FUNCTIONS = {name for _folder, name in KNOWN}
SLS = {
    ".".join(path.relative_to(REPO / "salt").with_suffix("").parts).removesuffix(".init")
    for path in (REPO / "salt").rglob("*.sls")
}
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
OURS = re.compile(r"(?:xm|xend|xen_guest|xend_orch)\.[a-z_.]*[a-z_]\Z")
FILE = re.compile(r"(?:_utils|_modules|_states|_runners|tests|salt|docs|\.ci)/[\w./-]*\Z|\w+\.py\Z")


def codes(path):
    """What a page has between single backticks, in its prose and its tables."""
    parts = re.split(r"\n\s*\n|\n(?=\|)", prose(path))
    return [" ".join(code.split()) for part in parts for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", part)]


def wrong_code(code):
    """What is wrong with it: None when it is right, or about something else."""
    try:
        words = [word for word in shlex.split(code) if word != "--local"]
    except ValueError:
        return None
    name = words[0] if words else ""
    if name in ("salt", "salt-run", "salt-call"):
        called = words[1:] if name != "salt" else words[2:]
        if called[:1] == ["state.orchestrate"]:
            return None if called[1:2] and called[1] in SLS else "there is no such SLS"
        is_name = len(called) == 1 and called[0] in FUNCTIONS
        if is_name or not called:
            return None
        if not OURS.match(called[0]):
            return wrong_runner(called[0]) if name == "salt-run" else None
        return check_docstrings.wrong_command(words, KNOWN)
    if name == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return "there is no target %s" % ", ".join(unknown) if unknown else None
    if OURS.match(code) and not code.endswith((".py", ".log")):
        return None if code in FUNCTIONS | SLS else "there is no such function, state or SLS"
    if FILE.match(code):
        return None if (REPO / code).exists() or files_named(code) else "there is no such file"
    return None


def wrong_runner(name):
    """What is wrong with the name of one of Salt's own runners, of which many execution modules are none."""
    module, dot, function = name.partition(".")
    path = SALT_BASE_PATH / "runners" / (module + ".py")
    there = path.exists() and re.search(r"\bdef %s\(" % re.escape(function), path.read_text())
    return None if there or not dot or "…" in name else "Salt has no such runner"


def files_named(name):
    """Files of that name beside those that are named with their folder."""
    return "/" not in name and [*REPO.glob("_*/" + name), *REPO.glob("tests/*/" + name)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_sentence_names_is_there(path):
    told = ["%s: %s" % (code, wrong_code(code)) for code in codes(path) if wrong_code(code)]
    assert told == []


@pytest.mark.parametrize(
    "code, said",
    [
        ("salt xen1 xm.open_host", None),
        ("salt-call --local xm.forget NAME UUID NOTE", None),
        ("salt-run xend.where", None),
        ("salt xen1 xm.opne_host", "there is no xm.opne_host"),
        ("salt-run xend.where domian=web01", "xend.where takes no domian"),
        ("salt xen1 xm.forget web01", "xm.forget is not given uuid, note"),
        ("salt-run state.orchestrate xend.orch.recover", None),
        ("salt-run state.orchestrate xend.orch.recovr", "there is no such SLS"),
        ("salt-run jobs.lookup_jid JID", None),
        ("salt-run sys.doc xend", "Salt has no such runner"),
        ("salt-run -d xend", None),
        ("xend.orch.migrate", None),
        ("xend.orch.migrte", "there is no such function, state or SLS"),
        ("xend_orch.steps", None),
        ("xm.jump", "there is no such function, state or SLS"),
        ("make test-docs", None),
        ("make lab HOSTS=4 OWN=1", None),
        ("make test-dosc", "there is no target test-dosc"),
        ("_utils/xm_plan.py", None),
        ("xm_fit.py", None),
        ("_utils/xm_plna.py", "there is no such file"),
        ("xm_fti.py", "there is no such file"),
        ("xend.log", None),
    ],
)
def test_what_a_sentence_names_wrongly_is_found(code, said):
    assert wrong_code(code) == said


# -- That mistakes are found

PAGE = """\
# A `page` of mine

[here](#a-page-of-mine) [again](#twice-1) [there](other.md#its-heading) [file](sub/x.yaml) [web](https://example.com/a_(b))
%s

## Twice
## Twice

```
[not a link](nowhere.md)
```
and `[neither](nowhere.md)`.
"""


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("", []),
        ("[x](nowhere.md)", ["nowhere.md: there is no such file"]),
        ("[x](#nowhere)", ["#nowhere: that page has no such heading"]),
        ("[x](#twice-2)", ["#twice-2: that page has no such heading"]),
        ("[x](other.md#nowhere)", ["other.md#nowhere: that page has no such heading"]),
        ("[`x`](nowhere.md)", ["nowhere.md: there is no such file"]),
        ("[x](https:/example.com)", ["https:/example.com is no URL"]),
        ("[x](htps://example.com)", ["htps://example.com is no URL"]),
        ("[x](../../../etc/passwd)", ["../../../etc/passwd: there is no such file"]),
        ("[x]: nowhere.md", ["nowhere.md: there is no such file"]),
    ],
)
def test_wrong_links_are_found(tmp_path, monkeypatch, line, wrong):
    monkeypatch.setitem(globals(), "REPO", tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x.yaml").write_text("")
    (tmp_path / "other.md").write_text("# Other\n## Its heading\n")
    page = tmp_path / "page.md"
    page.write_text(PAGE % line)
    assert wrong_links(page) == wrong
