"""Counts, keeps figures current and says everything, again and again, until it is killed; the test beside kills it."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from tests.monitoring.kept import keep_current, say_all


def main() -> None:
    settings = Settings(state=Path(sys.argv[1]))
    watch = Watch(settings.layout, chunk_bytes=300)
    while True:
        watch_once(watch)
        keep_current(settings)
        say_all(settings)


if __name__ == "__main__":
    main()
