"""What a master serves to every minion when it is set up as the README tells."""

from pathlib import Path

import pytest
import salt.config
import salt.fileserver

from tests.harness.loading import REPO
from tests.lab import salt_config


@pytest.fixture
def served(tmp_path):
    opts = salt.config.master_config(None)
    opts.update(
        root_dir=str(tmp_path),
        cachedir=str(tmp_path / "cache"),
        sock_dir=str(tmp_path),
        file_roots=salt_config.file_roots(),
        fileserver_backend=["roots"],
    )
    return salt.fileserver.Fileserver(opts)


def test_every_module_and_sls_is_served_and_nothing_else(served):
    files = set(served.file_list({"saltenv": "base"}))
    wanted = {
        str(path.relative_to(REPO))
        for folder in ("_modules", "_runners", "_states", "_utils")
        for path in (REPO / folder).glob("*.py")
    }
    assert wanted and wanted <= files
    sls = {str(path.relative_to(REPO / "salt")) for path in (REPO / "salt").rglob("*") if path.is_file()}
    others = {path for path in files - wanted - sls if "__pycache__" not in path}
    # A link to a folder that is not there is listed as a file.
    assert sls <= files and others <= {"_runners"}


@pytest.mark.parametrize("path", [".git", ".git/config", "tests/conftest.py", "setup.cfg", "README.md"])
@pytest.mark.parametrize("way", ["", "../", "_modules/../", "_modules/../../", "xend/../../"])
def test_what_is_beside_cannot_be_asked_for(served, way, path):
    load = {"path": way + path, "saltenv": "base", "loc": 0}
    assert not served.serve_file(load)["data"]


def test_the_folder_of_links_has_links_only():
    links = {path.name: path for path in (REPO / "salt-modules").iterdir()}
    assert {name: path.readlink() for name, path in links.items()} == {
        name: Path("..") / name for name in ("_modules", "_runners", "_states", "_utils")
    }
