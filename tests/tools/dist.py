"""Builds the source distribution, and from that the wheel, into a folder: offline, with the setuptools of the
running Python.

Both are built outside the tree: setuptools leaves files behind, and takes up what it finds of them.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
STEP_TIMEOUT_S = 600
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"
# What git does not keep.
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")


def build(into):
    """Build both into the folder ``into``; return their paths, the wheel's last."""
    into = Path(into).resolve()
    into.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dist-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(REPO, tree, symlinks=True, ignore=IGNORED)
        sdist = _built("build_sdist", tree, into)
        shutil.unpack_archive(sdist, scratch)
        return sdist, _built("build_wheel", Path(scratch) / sdist.name.removesuffix(".tar.gz"), into)


def _built(hook, tree, into):
    done = subprocess.run(
        [sys.executable, "-c", BUILD, hook, str(into)],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
    )
    if done.returncode:
        raise SystemExit(f"{hook}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return into / done.stdout.splitlines()[-1]


if __name__ == "__main__":
    for path in build(sys.argv[1]):
        print(path)
