"""Unpacks old Salts for Python 2.7 into .py27 (no root, no compiler, nothing installed), and runs a command
when they are there.

A machine that cannot have them is told so, loudly, and does not fail. Python 2.7 itself is unpacked by
python27.py.
"""

import argparse
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.tools import python27
from tests.tools.python27 import FOLDER, PYTHON, Unavailable, call

BOOT = FOLDER / "boot"
# The last ones for Python 2.7.
PIP = ("pip==20.3.4", "setuptools==44.1.1", "wheel==0.37.1")

# The last versions of what Salt needs that have wheels for Python 2.7, or are pure Python. What a Salt asks
# for by itself is not installed: Salt 3000 names pycrypto, which needs a compiler.
COMMON = (
    "Jinja2==2.11.3",
    "MarkupSafe==1.1.1",
    "backports-abc==0.5",
    "backports.ssl-match-hostname==3.7.0.1",
    "certifi==2021.10.8",
    "chardet==4.0.0",
    "futures==3.4.0",
    "idna==2.10",
    "pycryptodomex==3.19.1",
    "pyzmq==19.0.2",
    "requests==2.27.1",
    "setuptools==44.1.1",
    "singledispatch==3.7.0",
    "six==1.16.0",
    "urllib3==1.26.20",
)

# Out of its place, this Python is told by its environment where its libraries are. The programs that a
# minion runs have a Python of their own, which must not be told.
SITECUSTOMIZE = """\
import os
for name in ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"):
    os.environ.pop(name, None)
"""

# Salt comes as source, and so do some of the rest.
INSTALL_TIMEOUT_S = 900


@dataclass(frozen=True)
class OldSalt:
    """A Salt for Python 2.7, and what it needs, in a folder of its own.

    needs -- what pip installs, for each run of pip: options and requirements
    """

    version: str
    needs: tuple

    @property
    def folder(self) -> Path:
        return FOLDER / ("salt" + self.version)

    @property
    def stamp(self) -> Path:
        """It holds what was installed."""
        return self.folder / "installed"

    @property
    def environment(self) -> dict:
        """What its programs need in their environment."""
        return {"PYTHONPATH": str(self.folder)}

    def command(self, program: str, *arguments: str) -> list[str]:
        """The argument list that runs one of its programs, to be run with `environment`."""
        # Without -W it begins with the remark that nobody cares for Python 2.7 any more.
        return [str(PYTHON), "-W", "ignore", str(self.folder / "bin" / program), *arguments]

    @property
    def is_installed(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == self._text()

    def install(self) -> None:
        """Install it unless it is there; raise Unavailable when it cannot be had."""
        if self.is_installed:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for arguments in self.needs:
            pip("install", "--target", str(self.folder), *arguments)
        (self.folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        call([*self.command("salt-call"), "--version"], env={**os.environ, **self.environment})
        self.stamp.write_text(self._text())

    def _text(self) -> str:
        return "\n".join(" ".join(arguments) for arguments in self.needs) + SITECUSTOMIZE


SALTS = (
    OldSalt("3000.9", ((*COMMON, "PyYAML==5.4.1", "distro==1.6.0", "msgpack==0.6.2", "salt==3000.9"),)),
    OldSalt(
        "2016.11.10",
        (
            (*COMMON, "msgpack==0.5.6", "tornado==4.5.3", "salt==2016.11.10"),
            # Newer ones no longer load what this Salt asks for; its part in C would need a compiler.
            ("--global-option=--without-libyaml", "PyYAML==3.13"),
        ),
    ),
)


def pip(*arguments: str) -> None:
    """Run the last pip for Python 2.7, which takes no dependencies; raise Unavailable when it fails."""
    command = [str(PYTHON), "-W", "ignore", "-m", "pip", *arguments, "-q", "--no-deps"]
    call(command, timeout_s=INSTALL_TIMEOUT_S, env={**os.environ, "PYTHONPATH": str(BOOT)})


def _unpack_pip() -> None:
    if (BOOT / "pip").is_dir():
        return
    wheels = FOLDER / "wheels"
    download = [sys.executable, "-m", "pip", "-qq", "download", "--no-deps", "-d", str(wheels)]
    call([*download, "--only-binary=:all:", "--python-version=2.7", *PIP])
    unfinished = BOOT.with_name("boot.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unfinished)
    shutil.rmtree(wheels)
    unfinished.rename(BOOT)


def prepare() -> None:
    """Let all of SALTS be there; raise Unavailable when one cannot be had."""
    python27.prepare()
    with python27.alone():
        _unpack_pip()
        for salt in SALTS:
            salt.install()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what is run, with its arguments")
    arguments = parser.parse_args()
    try:
        prepare()
    except Unavailable as reason:
        print(python27.box(f"OLD SALTS NOT TESTED: {reason}"))
        return 0
    if arguments.command:
        # In place of this process: whoever ends it, or limits its time, means the command, which tidies up.
        sys.stdout.flush()
        os.execvp(arguments.command[0], arguments.command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
