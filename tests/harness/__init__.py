"""Salt over the simulated hosts, for tests and the fault campaign alike: in one process, or as daemons."""
