"""How long things take, as ratios that are measured side by side: ``python -m tests.bench``."""
