"""How many processor cores a training may use, now: one is left to the API while predictions come in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from appliance.settings import Settings
from storage.eventlog import list_segments
from storage.layout import Layout

Threads = Callable[[], int]
"""How many threads LightGBM may use from now on, at least 1; asked before each boosting round."""

LATELY_S = 60.0
"""Predictions that were answered no longer ago than this are still coming in."""

LOOK_S = 1.0
"""A decision holds for so long, since a round of a small training takes less than a millisecond."""


class Cores:
    """Decides by the event log: the API appends to its newest segment with every answer."""

    def __init__(self, settings: Settings, *, available: int | None = None, look_s: float = LOOK_S) -> None:
        """Cores for one training.

        Args:
            settings: Where the event log lies, and whether a number is set.
            available: Cores this process may use; None: as the kernel says.
            look_s: Seconds between two looks.
        """
        self._layout = settings.layout
        self._fixed = settings.training_threads
        self._available = available or len(os.sched_getaffinity(0))
        self._look_s = look_s
        self._decided = 0
        self._look_at = 0.0

    def __call__(self) -> int:
        """Threads to use now: as set, else every core this process may use, one less while predictions come in."""
        if self._fixed:
            return self._fixed
        if time.monotonic() >= self._look_at:
            busy = is_predicting(self._layout, since_s=time.time() - LATELY_S)
            self._decided = max(1, self._available - busy)
            self._look_at = time.monotonic() + self._look_s
        return self._decided


def is_predicting(layout: Layout, *, since_s: float) -> bool:
    """Whether the API answered a prediction since then (seconds since 1970)."""
    for segment in reversed(list_segments(layout.events / "predictions")):
        try:
            if segment.stat().st_mtime >= since_s:
                return True
        except FileNotFoundError:  # compacted since it was listed
            continue
    return False
