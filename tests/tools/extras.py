"""Prints the requirements that setup.cfg names under the given extras, one a line.

The project's virtual environment needs the requirements without the project: the tests read the
modules from the tree. pip alone cannot install an extra without its project.
"""

import configparser
import sys
from pathlib import Path

SETUP_CFG = Path(__file__).resolve().parents[2] / "setup.cfg"


def requirements(extras, path=SETUP_CFG):
    """Return the requirement lines of ``extras`` (names) in the order of the file at ``path``."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, encoding="utf-8")
    section = parser["options.extras_require"]
    return [line for extra in extras for line in section[extra].split("\n") if line.strip()]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
