"""Makes a backup and kills itself after a step: ``python -m tests.storage.backing_up_child STATE STEP``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from storage.backups import Order, create_backup
from storage.layout import Layout
from storage.statedb import SCHEMA_VERSION


def main() -> None:
    layout, last = Layout(root=Path(sys.argv[1])), sys.argv[2]

    def step(name: str) -> None:
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    create_backup(layout, layout.root / "backups", Order(release="test", schema=SCHEMA_VERSION), step=step)


if __name__ == "__main__":
    main()
