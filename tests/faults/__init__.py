"""The fault campaign: migrations on simulated hosts, broken in every known way, and judged by the truth."""
