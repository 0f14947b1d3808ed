"""Looks at the log again and again until it is killed; the test beside kills it at odd moments."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings


def main() -> None:
    watch = Watch(Settings(state=Path(sys.argv[1])).layout, chunk_bytes=2000)
    while True:
        watch_once(watch)


if __name__ == "__main__":
    main()
