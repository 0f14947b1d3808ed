"""Compacts once, or tidies: ``compacting_child.py STATE compact|tidy [N]``.

With N it kills itself with SIGKILL after the n-th step; without, strace kills it at a system call.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import date, timedelta
from pathlib import Path

from appliance.compaction import KINDS, compact
from appliance.settings import Settings
from storage.history import tidy
from tests.monitoring.traffic import START

KEPT_DAYS = 10
TIDIED_ON: date = START.date() + timedelta(days=1 + KEPT_DAYS)
"""The second day of the traffic is the oldest that is kept."""


def main() -> None:
    settings = Settings(state=Path(sys.argv[1]))
    left = int(sys.argv[3]) if len(sys.argv) > 3 else 0

    def step(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2] == "compact":
        compact(settings, step=step)
    else:
        for kind in KINDS:
            tidy(settings.layout, kind, today=TIDIED_ON, keep_days=KEPT_DAYS, grace_h=0)


if __name__ == "__main__":
    main()
