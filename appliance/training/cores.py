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


ONE_THREAD_CELLS = 1_000_000
"""Rows times columns up to which a fit takes one thread. It is a second's work, and threads that wait for each other
between the steps of a round cost far more than they bring as soon as anybody else wants a core: on two busy cores 300
rows took 0.1 s on one thread and 12 s on two, 60,000 rows of 4 columns 1.5 s and 15 s."""


def threads_for(cells: int, threads: Threads) -> Threads:
    """As many threads as there may be, or one for a small fit; ``cells`` are rows times columns."""
    return (lambda: 1) if cells <= ONE_THREAD_CELLS else threads


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
