"""What real xends read, print and log, as the tests need it: the files of tests/data, and those real
configuration files of other people that lie beside the project where there are any.

tests/data/README.md says where all this was taken. Runs on Python 2.7, too.
"""

import collections
import glob
import io
import json
import os
import re

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(REPO, "tests", "data")
BESIDE = os.path.join(os.path.dirname(REPO), "shared", "corpus")

# Whose readings were recorded, oldest first.
VERSIONS = ("3.0.3", "3.4", "4.4")

REAL_FILES_MISSING = (
    "the real configuration files of other people lie beside the project, in ../shared/corpus/files, "
    "and are not here"
)

# What was typed on a real host, and all that came of it.
Command = collections.namedtuple("Command", "host command stdout stderr code")


class Config(object):
    """A configuration file with what the real xends make of it."""

    def __init__(self, name, path, records):
        self.name = name
        self.path = path
        self.records = records
        with open(path, "rb") as stream:
            self.data = stream.read()

    def read_by(self, version):
        """The record of that version or of the next newer one: older ones are kept where they differ."""
        for candidate in VERSIONS[VERSIONS.index(version) :]:
            if candidate in self.records:
                return self.records[candidate]
        raise AssertionError("nothing was recorded of %s" % self.name)

    def __repr__(self):
        return self.name


def are_real_files_here():
    return os.path.isdir(os.path.join(BESIDE, "files"))


def configs(*kinds):
    """Every Config of these kinds that is here: "edge" (hand-made oddities), "files" (whole ones in the
    style of real ones), "real" (other people's); all three unless told otherwise."""
    found = []
    for kind in kinds or ("edge", "files", "real"):
        if kind == "real":
            found += _real_configs()
        else:
            found += _own_configs(kind)
    return found


def _own_configs(kind):
    records = collections.defaultdict(dict)
    for version in VERSIONS:
        for record in readings(version):
            records[record["file"]][version] = record
    paths = sorted(glob.glob(os.path.join(DATA, kind, "*.sxp")))
    names = [kind + "/" + os.path.basename(path) for path in paths]
    return [Config(name, path, dict(records[name])) for name, path in zip(names, paths)]


def _real_configs():
    found = []
    for path in sorted(glob.glob(os.path.join(BESIDE, "files", "*.sxp"))):
        name = os.path.basename(path)
        records = {}
        for version in VERSIONS:
            record = os.path.join(BESIDE, "expected", "%s.%s.json" % (name[:3], version))
            if os.path.exists(record):
                with io.open(record, encoding="ascii") as stream:
                    records[version] = json.load(stream)
        found.append(Config("real/" + name, path, records))
    return found


def readings(version):
    """What that version was recorded to make of the files of tests/data, as far as a newer one differs."""
    return _json_lines("expected", version)


def index(kind):
    """The rows of the INDEX.tsv of that kind of files, as dictionaries."""
    folder = os.path.join(BESIDE, "files") if kind == "real" else os.path.join(DATA, kind)
    return _table(os.path.join(folder, "INDEX.tsv"))


def generated():
    """{name: content} of the inputs that are too big for a file, and are kept as Python expressions."""
    rows = _table(os.path.join(DATA, "edge", "generated.tsv"))
    return dict((row["name"], eval(row["python_expression_yielding_bytes"])) for row in rows)


def _table(path):
    with io.open(path, encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def transcript(name, ending="txt"):
    """The text of tests/data/transcripts/NAME.txt."""
    with io.open(_transcript(name, ending), encoding="utf-8", newline="") as stream:
        return stream.read()


def commands(name):
    """What was typed in that transcript, as a list of Command."""
    with open(_transcript(name), "rb") as stream:
        data = stream.read()
    found = []
    for begun in re.finditer(br"(?m)^\[(\w+)\]# (.*)\n(?=--- stdout \()", data):
        texts, at = [], begun.end()
        for stream in (b"stdout", b"stderr"):
            head = re.compile(br"\n?--- %s \((\d+) bytes\)\n" % stream).match(data, at)
            at = head.end() + int(head.group(1))
            texts.append(data[head.end() : at].decode("utf-8"))
        code = re.compile(br"\n?--- exit code (\d+)\b").match(data, at).group(1)
        host, typed = (word.decode("utf-8") for word in begun.groups())
        found.append(Command(host, typed, texts[0], texts[1], int(code)))
    return found


def _transcript(name, ending="txt"):
    return os.path.join(DATA, "transcripts", name + "." + ending)


def afterwards(name):
    """{host: what `xm list` printed there} after the commands of that transcript."""
    found = collections.defaultdict(str)
    for host, line in re.findall(r"(?m)^(\w+)\| (.*\n)", transcript(name)):
        found[host] += line
    return dict(found)


def watched(name):
    """What `xm list` printed time and again, as a list of texts with the clock of each: only changes."""
    parts = re.split(r"(?m)^@(\d\d:\d\d:\d\d\.\d\d) .*\n", transcript(name))[1:]
    return list(zip(parts[::2], parts[1::2]))


def starts(version):
    """What came of starting xend with each of many files; tests/data/README.md has the fields."""
    return _json_lines("starts", version)


def conversations(name):
    """What was said to a relocation port, and what came back; tests/data/README.md has the fields."""
    return _json_lines("relocation", name)


def _json_lines(folder, name):
    with io.open(os.path.join(DATA, folder, name + ".jsonl"), encoding="ascii") as rows:
        return [json.loads(row) for row in rows]
