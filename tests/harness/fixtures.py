"""The sites as fixtures; a conftest imports those that its folder needs, and says what `_site` is there."""

import contextlib
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.site import LIMIT_S, Conducted, Real, config_of
from tests.lab import salt_config
from tests.lab.fleet import Fleet, HostSpec

TIME_SCALE = 0.02


@pytest.fixture(scope="session")
def host_count(request):
    """How many hosts a site has: xen1, xen2 … A file of tests asks for more than two of them by

    pytestmark = pytest.mark.parametrize("host_count", [4], indirect=True)

    which starts hosts and daemons anew before its tests, and after them.
    """
    return getattr(request, "param", 2)


@contextlib.contextmanager
def new_hosts(folder, count):
    """The fleet of a site, started; it ends with the block."""
    names = ["xen%d" % number for number in range(1, count + 1)]
    specs = [HostSpec(name, config=config_of(name), time_scale=TIME_SCALE) for name in names]
    with Fleet.create(folder, specs) as fleet:
        fleet.start()
        yield fleet


@pytest.fixture(scope="session")
def conducted_site(tmp_path_factory, host_count):
    folder = tmp_path_factory.mktemp("conducted")
    with new_hosts(folder / "fleet", host_count) as fleet:
        yield Conducted(fleet, folder / "salt")


# Real daemons.


@pytest.fixture(scope="session")
def root(host_count):
    # Short, because sockets live below it.
    path = Path(tempfile.mkdtemp(prefix="xend-it-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def salt_factories_config(root):
    return {"root_dir": root / "salt", "inject_sitecustomize": False, "slow_stop": False}


@pytest.fixture(scope="session")
def real_fleet(root, host_count):
    with new_hosts(root / "fleet", host_count) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def pillar_file(root, real_fleet):
    folder = root / "pillar"
    folder.mkdir()
    (folder / "top.sls").write_text(json.dumps({"base": {"*": ["xend"]}}))
    path = folder / "xend.sls"
    path.write_text(json.dumps(salt_config.pillar(real_fleet)))
    return path


@pytest.fixture(scope="session")
def master(salt_factories, pillar_file):
    overrides = {
        "interface": "127.0.0.1",
        "auto_accept": True,
        "file_roots": salt_config.file_roots(),
        "pillar_roots": {"base": [str(pillar_file.parent)]},
        # On a busy machine a minion takes long to begin with what it is asked. One that is down is waited for
        # so long each time: for its answer, and then for whether it is still at work.
        "timeout": 15,
        "gather_job_timeout": 15,
    }
    master = salt_factories.salt_master_daemon("master", overrides=overrides, start_timeout=LIMIT_S)
    with master.started():
        yield master


@pytest.fixture(scope="session")
def start_minion(master):
    """A function that makes the minion of a host, with more options than salt_config's, and starts it."""

    def start(stack, host, **options):
        overrides = {
            "interface": "127.0.0.1",
            "grains": salt_config.GRAINS,
            **salt_config.minion(host),
            **salt_config.liar(),
            **options,
        }
        daemon = master.salt_minion_daemon(host.name, start_timeout=LIMIT_S, overrides=overrides)
        return stack.enter_context(daemon.started())

    return start


@pytest.fixture(scope="session")
def real_site(master, start_minion, real_fleet, pillar_file):
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        daemons = list(pool.map(lambda host: start_minion(stack, host), real_fleet))
        sync_all(master, "*")
        done = master.salt_run_cli(timeout=LIMIT_S).run("saltutil.sync_all")
        assert done.returncode == 0, done.stdout
        minions = {daemon.id: daemon for daemon in daemons}
        yield Real(real_fleet, master, minions, pillar_file)


def sync_all(master, target):
    done = master.salt_cli(timeout=LIMIT_S).run("saltutil.sync_all", minion_tgt=target)
    assert done.returncode == 0, done.stdout


# What a test begins with.


@pytest.fixture
def tidy_site(_site):
    _site.tidy()
    yield _site
    # What a failed test has held must not go on in the next.
    for host in _site.fleet:
        host.release()
        host.link()
        host.restore_link()


@pytest.fixture
def site(tidy_site):
    """The fleet as it comes: no guests, closed doors, the pillar that names all hosts."""
    tidy_site.close()
    return tidy_site


@pytest.fixture
def configured(tidy_site):
    """All hosts configured for each other."""
    tidy_site.configure()
    return tidy_site


@pytest.fixture
def guest(configured):
    """A guest that runs on xen1."""
    configured.xen1.create_guest("web01", memory_mib=96)
    return configured.xen1.wait_alive("web01")
