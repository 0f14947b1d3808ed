"""Something that the runner ticks, and a state for it to look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.settings import Settings
from storage.migrations import migrate

PATIENCE_S = 120


class Ticked(Protocol):
    def tick(self) -> None: ...


def empty_state(folder: Path) -> Settings:
    made = Settings(state=folder / "state")
    made.layout.create()
    migrate(made.layout.database)
    return made


def tick_until(ticked: Ticked, is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_done():
        ticked.tick()
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
