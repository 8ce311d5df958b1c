"""What the tests of the simulated hosts do, look at and wait for again and again."""

from tests.lab.layout import wait_until

# Against hanging only.
LIMIT_S = 120.0
DEPRECATED = "WARNING: xend/xm is deprecated.\n"
LIST_HEADER = "Name                                        ID   Mem VCPUs      State   Time(s)\n"
COLUMNS = {"id": slice(40, 46), "vcpus": slice(52, 58), "state": slice(58, 69)}


def until(condition):
    """Wait for `condition`; return what it says when it holds, and fail when it never does."""
    seen = []

    def look():
        seen[:] = [condition()]
        return seen[0]

    assert wait_until(look, LIMIT_S), "still %r after %d s" % (seen[0], LIMIT_S)
    return seen[0]


def rows(host, *columns):
    """Return {name: a text for each of these COLUMNS} of xm list, without Domain-0; a missing one is ""."""
    lines = host.xm_run("list").stdout.splitlines()[1:]
    found = {
        line[:40].rstrip(): tuple(line[COLUMNS[column]].strip() for column in columns)
        for line in lines
    }
    found.pop("Domain-0")
    return found


def migrate(source, *arguments, live=True):
    return source.xm_run("migrate", *(["--live"] if live else []), *arguments)


def start_held(source, target, part=0.5, options=("--live",)):
    """Start to send web01, and wait until this part of its memory is there; return the running xm."""
    target.link(hold_at=part)
    migration = source.xm_start("migrate", *options, "web01", target.address)
    target.wait_held()
    return migration


def finish(migration, target=None):
    """Wait for a migration, held at `target` until now if one is given; return xm's exit code and texts."""
    if target is not None:
        target.release()
    out, error = migration.communicate(timeout=LIMIT_S)
    return migration.returncode, out, error


def is_alive(host, name="web01"):
    guest = host.guests().get(name)
    return guest is not None and guest.alive


def suspended_sha256(host, name="web01"):
    """Return what the memory of a guest was when it was suspended there last."""
    return [
        note["sha256"]
        for note in host.journal()
        if note["event"] == "suspended" and note["name"] == name
    ][-1]


def calm(*hosts):
    """Undo what was done to hosts: no fault, no transfer, no guest, xend running, empty logs."""
    for host in hosts:
        host.mend()
        host.kill_xc_save()
        host.kill_xc_restore()
    for host in hosts:
        host.bring_up()
        host.clear()
        for path in (host.log, host.debug_log):
            path.write_text("")
