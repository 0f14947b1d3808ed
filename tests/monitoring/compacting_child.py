"""Compacts once and kills itself with SIGKILL after the n-th step; the test beside says which."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from appliance.compaction import compact
from appliance.settings import Settings


def main() -> None:
    left = int(sys.argv[2])

    def step(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    compact(Settings(state=Path(sys.argv[1])), step=step)


if __name__ == "__main__":
    main()
