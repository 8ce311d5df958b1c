"""The state xend.relocation against Salt's file states that do the same, in one salt-call run each time."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import samples

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "_utils"))

import xend_sxp  # noqa: E402

RUNS = 7
RUN_TIMEOUT_S = 60
MANAGED, REPLACED = "one file.managed", "four file.replace"
RESULTS = ("changed", "replaced")
RELOCATION = [
    {"server": True},
    {"port": 8010},
    {"address": "10.20.0.11"},
    {"hosts_allow": ["10.20.0.12", "10.20.0.22"]},
]
KEYS = ["xend-relocation-" + name for name in ("server", "port", "address", "hosts-allow")]
# The pattern is what xend_allow makes of the two addresses.
VALUES = ["yes", "8010", "10.20.0.11", r"^10\.20\.0\.[12]2$"]


def replacements() -> list[tuple[str, str]]:
    """(pattern, new line) of the four file.replace states that do what one xend.relocation does."""
    lines = []
    for key, value in zip(KEYS, VALUES, strict=True):
        # A backslash is an escape in a string of the file, and in what re puts in place of a match.
        text = "'" + value.replace("\\", "\\\\") + "'"
        lines.append((rf"^#?\({key} .*\)$", f"({key} {text})".replace("\\", "\\\\")))
    return lines


def minion(folder: Path) -> dict:
    """The configuration of a minion without a master, with the modules of this tree."""
    return {
        "id": "bench",
        "root_dir": str(folder / "root"),
        "file_client": "local",
        "file_roots": {"base": [str(folder)]},
        "module_dirs": [str(folder / "_modules")],
        "states_dirs": [str(folder / "_states")],
        "utils_dirs": [str(folder / "_utils")],
        "grains": {"kernel": "Linux"},
        "log_level": "error",
    }


def states(folder: Path) -> dict:
    """The SLS: each kind once before it is measured, so that no one pays for loading modules."""

    def relocation(name):
        return {"xend.relocation": [{"config": str(folder / name)}, *RELOCATION]}

    def managed(name):
        return {"file.managed": [{"name": str(folder / name)}, {"source": "salt://set.sxp"}]}

    def replaced(name, pattern, text):
        where = [{"name": str(folder / name)}, {"pattern": pattern}, {"repl": text}]
        return {"file.replace": [*where, {"backup": False}]}

    sls = {
        "first, unchanged relocation": relocation("set.sxp"),
        "first, unchanged managed": managed("managed.sxp"),
        "first relocation": relocation("warm.sxp"),
        "first replace": replaced("warm-replaced.sxp", *replacements()[0]),
        "unchanged relocation": relocation("set.sxp"),
        "unchanged managed": managed("managed.sxp"),
        "changed relocation": relocation("changed.sxp"),
    }
    for number, (pattern, text) in enumerate(replacements()):
        sls[f"changed replace {number}"] = replaced("replaced.sxp", pattern, text)
    return sls


def fill(folder: Path, data: bytes, data_set: bytes) -> None:
    for name in ("warm.sxp", "warm-replaced.sxp", "changed.sxp", "replaced.sxp"):
        (folder / name).write_bytes(data)
    for name in ("set.sxp", "managed.sxp"):
        (folder / name).write_bytes(data_set)


def run(folder: Path) -> dict:
    """The durations in ms that one salt-call run reports, by state id, and what the states did."""
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "salt-call"),
            "--local",
            f"--config-dir={folder}",
            "--out=json",
            "state.apply",
            "bench",
        ],
        capture_output=True,
        env={name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"},
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    try:
        rows = json.loads(done.stdout)["local"].values()
    except (ValueError, KeyError, AttributeError):
        raise SystemExit(f"bench: salt-call failed: {done.stdout}{done.stderr}") from None
    for row in rows:
        if not row["result"] or bool(row["changes"]) == ("unchanged" in row["__id__"]):
            raise SystemExit(f"bench: {row['__id__']}: {row['comment']} {row['changes']}")
    settings = [xend_sxp.parse((folder / f"{name}.sxp").read_bytes()) for name in RESULTS]
    if [settings[0].get(key) for key in KEYS] != [settings[1].get(key) for key in KEYS]:
        raise SystemExit(f"bench: the two ways lead to different settings in {folder}")
    return {row["__id__"]: row["duration"] for row in rows}


def measure() -> list[tuple[str, bool]]:
    """(what was found, whether the target holds) without and with changes to make."""
    samples_of = {}
    _, data = samples.like_xen_4_1()
    data_set = data
    for key, value in zip(KEYS, VALUES, strict=True):
        data_set = xend_sxp.parse(data_set).set(key, value).data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("_modules", "_states", "_utils"):
            # A copy may get its compiled files beside it, as modules on a minion do.
            shutil.copytree(REPO / part, folder / part)
        (folder / "bench.sls").write_text(json.dumps(states(folder)))
        (folder / "minion").write_text(json.dumps(minion(folder)))
        for _ in range(RUNS):
            fill(folder, data, data_set)
            for state, took in run(folder).items():
                samples_of.setdefault(state, []).append(took)
    median = {state: statistics.median(took) for state, took in samples_of.items()}
    replacing = sum(took for state, took in median.items() if state.startswith("changed replace"))
    found = []
    for what, ours, theirs, other in (
        ("nothing to do", median["unchanged relocation"], median["unchanged managed"], MANAGED),
        ("everything to do", median["changed relocation"], replacing, REPLACED),
        (
            "the first of its kind in a process, nothing to do",
            median["first, unchanged relocation"],
            median["first, unchanged managed"],
            MANAGED,
        ),
    ):
        text = (
            f"{what}: xend.relocation {ours:.1f} ms, {other} {theirs:.1f} ms: {ours / theirs:.2f}"
        )
        found.append((text, ours <= theirs))
    return found
