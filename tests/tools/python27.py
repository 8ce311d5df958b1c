"""Unpacks Python 2.7 with pytest into .py27 (no root, nothing installed), compiles the minion side with
it and runs tests.

A machine that cannot have Python 2.7 is told so, loudly, and does not fail; a failing test does.
Which tests can run there (pure code, Python 2.7 syntax) is the Makefile's business.
"""

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / ".py27"
ROOT = FOLDER / "root"
PYTHON = FOLDER / "bin" / "python2.7"
SITE = FOLDER / "site"
READY = FOLDER / "ready"

# The last Debian release with Python 2.7. libffi is for ctypes, which pytest's helpers import;
# libssl is for the ssl module, which the relocation probe imports.
SUITE = "bullseye"
PACKAGES = (
    "libffi7",
    "libpython2.7-minimal",
    "libpython2.7-stdlib",
    "libssl1.1",
    "python2.7",
    "python2.7-minimal",
)

# pytest 4.6 is the last for Python 2.7; the rest are the last versions of what it needs that still
# ran there. They are named one by one because pip resolves markers such as python_version for the
# Python that runs it.
WHEELS = (
    "atomicwrites==1.4.0",
    "attrs==21.4.0",
    "configparser==4.0.2",
    "contextlib2==0.6.0.post1",
    "funcsigs==1.0.2",
    "importlib-metadata==2.1.3",
    "more-itertools==5.0.0",
    "packaging==20.9",
    "pathlib2==2.3.5",
    "pluggy==0.13.1",
    "py==1.11.0",
    "pyparsing==2.4.7",
    "pytest==4.6.11",
    "six==1.16.0",
    "wcwidth==0.1.9",
    "zipp==1.2.0",
)
# Has no wheel for Python 2.7; its one Python file works without the compiled part.
SOURCE_ONLY = "scandir==1.10.0"

# Not py_compile, which would leave its .pyc in the tree.
COMPILE = """
import glob
files = sorted(glob.glob("_[msu]*/*.py"))
assert files
for path in files:
    with open(path, "rb") as source:
        compile(source.read(), path, "exec", 0, True)
print("Python 2.7 compiles %d files of _modules, _states and _utils" % len(files))
"""

STEP_TIMEOUT_S = 120
TESTS_TIMEOUT_S = 300


class Unavailable(Exception):
    """Python 2.7 cannot be had on this machine; the message says why."""


@contextlib.contextmanager
def alone():
    """Nobody else fills FOLDER while the block runs: it is not made anew under who has just looked."""
    tree = os.open(REPO, os.O_RDONLY)
    try:
        fcntl.flock(tree, fcntl.LOCK_EX)
        yield
    finally:
        os.close(tree)


def call(command, timeout_s=STEP_TIMEOUT_S, **options):
    """Run ``command`` (list) quietly; raise Unavailable with its last words when it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            **options,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{name}: {error}") from error
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise Unavailable(f"{name} failed with status {done.returncode}: {last}")


def sources():
    """Return {file name: text}: this machine's own package sources, pointed at SUITE."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    codename = re.search(r'^VERSION_CODENAME="?(\w+)', release, re.MULTILINE)
    if not codename:
        raise Unavailable("no Debian: /etc/os-release has no VERSION_CODENAME")
    etc = Path("/etc/apt")
    files = [
        etc / "sources.list",
        *etc.glob("sources.list.d/*.list"),
        *etc.glob("sources.list.d/*.sources"),
    ]
    # The security archive is another tree with its own suite; updates and backports of a release
    # this old are not served any more.
    suite = re.compile(rf"\b{codename[1]}(-security)?(?:-updates|-backports)?(?=[\s/])")
    return {
        path.name: suite.sub(lambda found: SUITE + (found[1] or ""), path.read_text("utf-8"))
        for path in files
        if path.is_file()
    }


def unpack_python():
    """Download and unpack the interpreter with a private apt that leaves the machine's alone."""
    apt = FOLDER / "apt"
    for folder in ("parts", "lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True)
    for name, text in sources().items():
        (apt / "parts" / name).write_text(text, encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": os.devnull,
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    try:
        call(["apt-get", *options, "update"])
    except Unavailable as error:
        # One third-party source without that suite fails the update, but does no harm.
        print(f"python27: {error}", file=sys.stderr)
    call(["apt-get", *options, "download", *PACKAGES], cwd=apt / "debs")
    for package in sorted((apt / "debs").glob("*.deb")):
        call(["dpkg", "-x", str(package), str(ROOT)])
    shutil.rmtree(apt)
    # Out of its place, the interpreter has to be told where its library and its libraries are.
    libraries = map(str, (*ROOT.glob("lib/*-linux-gnu*"), *ROOT.glob("usr/lib/*-linux-gnu*")))
    launcher = [
        "#!/bin/sh",
        f"export PYTHONHOME='{ROOT}/usr' LD_LIBRARY_PATH='{os.pathsep.join(libraries)}'",
        f"exec '{ROOT}/usr/bin/python2.7' \"$@\"",
    ]
    PYTHON.parent.mkdir()
    PYTHON.write_text("\n".join(launcher) + "\n", encoding="utf-8")
    PYTHON.chmod(0o755)


def unpack_pytest():
    """Download and unpack pytest for Python 2.7 with the pip of the running interpreter."""
    wheels = FOLDER / "wheels"
    download = [sys.executable, "-m", "pip", "-qq", "download", "--no-deps", "-d", str(wheels)]
    call([*download, "--only-binary=:all:", "--python-version=2.7", *WHEELS])
    call([*download, "--no-binary=:all:", SOURCE_ONLY])
    SITE.mkdir()
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(SITE)
    module = SOURCE_ONLY.split("==")[0] + ".py"
    for source in wheels.glob("*.tar.gz"):
        with tarfile.open(source) as archive:
            (member,) = (m for m in archive if m.name.count("/") == 1 and m.name.endswith(module))
            (SITE / module).write_bytes(archive.extractfile(member).read())
    shutil.rmtree(wheels)


def prepare():
    """Fill FOLDER unless this version of this file did so before; raise Unavailable on failure."""
    with alone():
        if READY.exists() and READY.stat().st_mtime > Path(__file__).stat().st_mtime:
            return
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        unpack_python()
        unpack_pytest()
        READY.touch()


def box(text):
    line = "#" * (len(text) + 4)
    return f"{line}\n# {text} #\n{line}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="+", help="test files")
    arguments = parser.parse_args()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(SITE), str(REPO / "_utils"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        # As System V init gives it to a minion, so that text is no path, and is printed nowhere.
        "LC_ALL": "C",
    }
    try:
        prepare()
        call([str(PYTHON), "-c", "import pytest"], env=environment)
    except Unavailable as reason:
        print(box(f"PYTHON 2.7 NOT TESTED: {reason}"))
        return 0
    # The project's own pytest settings and conftest files are written for today's Python.
    tests = [str(PYTHON), "-m", "pytest", "-c", os.devnull, "--rootdir", str(REPO)]
    tests += ["--noconftest", "-p", "no:cacheprovider", "-ra", *arguments.tests]
    for command in ([str(PYTHON), "-c", COMPILE], tests):
        done = subprocess.run(command, cwd=REPO, env=environment, timeout=TESTS_TIMEOUT_S)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
