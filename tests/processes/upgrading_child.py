"""Upgrades and kills itself after a step: ``python -m tests.processes.upgrading_child BASE VERB STEP``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from appliance.processes.hosts import find_host
from appliance.processes.upgrade import Upgrade
from appliance.settings import load_settings


def main() -> None:
    base, verb, last = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    def step(name: str) -> None:
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load_settings()
    upgrade = Upgrade(settings, base, find_host(settings, base), step=step)
    if verb == "to":
        upgrade.to("two", backup=False)
    else:
        upgrade.back(yes=True)


if __name__ == "__main__":
    main()
