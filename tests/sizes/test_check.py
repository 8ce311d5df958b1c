"""``xend.check`` on hostile files. Also runs under Python 2.7."""

import importlib

import pytest

import xend_check
from tests.sizes import work_below


@pytest.mark.parametrize(
    "data",
    [
        b"(vncpasswd " + b"(" * 100000 + b")" * 100001,
        b"(xend-relocation-server yes)" * 20000,
        b"stray " * 100000,
        b"".join(
            [("(xend-relocation-port%d 1)\n" % number).encode("ascii") for number in range(5000)]
        ),
        b"(xend-relocation-hosts-allow '" + b"\\." * 100000 + b"')",
    ],
    ids=["deep", "duplicates", "stray", "misspelled", "escapes"],
)
def test_hostile_files_take_seconds_at_most(data):
    with work_below(20):
        xend_check.findings(data, importlib.import_module, version=(3, 4))
