"""One look for all who ask: what takes long is not computed once a tab, and not all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from appliance.glance import ModelGlance, glance_at
from appliance.house import Appliance

Asked = TypeVar("Asked")
Seen = TypeVar("Seen")

KEPT = 5.0
"""An answer holds for so many times as long as it took: at most a sixth of a core goes into it, however large the state
is and however many tabs are open."""


class Shared(Generic[Asked, Seen]):
    """A look that threads share. Who comes while another looks waits for that answer."""

    def __init__(self, look: Callable[[Asked], Seen], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[Asked, Seen, float] | None = None

    def __call__(self, asked: Asked) -> Seen:
        """The answer, ``KEPT`` times as old as it took to find at most; an error is raised and not kept."""
        with self._lock:
            began = self._clock()
            if self._kept is not None and self._kept[0] is asked and began < self._kept[2]:
                return self._kept[1]
            self._kept = None
            seen = self._look(asked)
            ended = self._clock()
            self._kept = (asked, seen, ended + KEPT * (ended - began))
            return seen


shared_glances = Shared(glance_at)
"""Every model at a glance, for the pages that show it all the time."""

_MOST_WINDOWS = 8
_by_window: dict[int, Shared[Appliance, tuple[ModelGlance, ...]]] = {}


def glances_over(appliance: Appliance, window_s: int | None) -> tuple[ModelGlance, ...]:
    """The same over a window that somebody chose; None: each model over its own."""
    if window_s is None:
        return shared_glances(appliance)
    if window_s not in _by_window and len(_by_window) >= _MOST_WINDOWS:
        return glance_at(appliance, window_s)  # an address may name any window; a few are shared
    look = _by_window.setdefault(window_s, Shared(lambda house: glance_at(house, window_s)))
    return look(appliance)
