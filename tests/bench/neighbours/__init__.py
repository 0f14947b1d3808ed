"""Other servers with the same model beside ours: ``python -m tests.bench.neighbours``."""
