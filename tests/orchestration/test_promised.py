"""Two guests that want the memory of one host at the same time: it is promised to one of them."""

SIZE_MIB = 200


def test_of_two_migrations_at_once_the_second_one_is_refused_and_its_guest_runs_on(
    configured, conductor, migrate
):
    before = {}
    for name in ("web01", "web02"):
        configured.xen1.create_guest(name, memory_mib=SIZE_MIB)
        before[name] = configured.xen1.wait_alive(name)
    # Enough for either of them, and not for both.
    taken_mib = configured.xen2.hypervisor.free_kib() // 1024 - SIZE_MIB * 3 // 2
    configured.xen2.create_guest("filler", memory_mib=taken_mib, paused=True)
    configured.xen2.link(speed_mib_s=100)
    processes = {name: migrate(name, start=True) for name in before}
    runs = {name: conductor.finish(process) for name, process in processes.items()}
    (moved,) = [name for name, run in runs.items() if run.exit_code == 0]
    (stayed,) = [name for name in runs if name != moved]
    assert configured.where(moved)["xen2"].uuid == before[moved].uuid
    guest = configured.where(stayed)["xen1"]
    assert guest.alive and guest.domid == before[stayed].domid
    report = runs[stayed].report()
    assert "MiB are needed" in report and "untouched" in report, report
    # It was said before anything was sent.
    assert "sent to" not in report
