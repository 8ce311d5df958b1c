"""The pages of the documentation, run against simulated hosts: see CONTRIBUTING.md, "A page"."""
