"""The serving benchmark, see ``__main__``."""

import os

# Read when OpenMP is loaded. The API's process sets the same: else a thread of the floor's call, which has done its
# half, would spin on while the request that takes its turn needs the core.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
