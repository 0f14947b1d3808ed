"""The serving benchmark: ``python -m tests.bench.serving``."""
