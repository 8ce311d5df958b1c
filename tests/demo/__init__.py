"""The product shown on a simulated fleet: `make demo`, `make lab`, `make lab-stop`."""
