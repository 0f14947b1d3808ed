"""Starts the nightly studies, in a process of its own, once a day and when the runner has run for a while."""

from __future__ import annotations

import time

from flows.side_process import SideProcess

FIRST_AFTER_S = 600.0
"""A runner that was just started has more urgent things to do; a day that was missed is studied then."""


class Studying:
    """At most one process of studies at a time; it may be killed anywhere, and what it did not write is done again."""

    def __init__(self, *, first_after_s: float = FIRST_AFTER_S) -> None:
        self._studies = SideProcess("appliance.studies.nightly")
        self._not_before = time.monotonic() + first_after_s
        self._day = -1

    def tick(self) -> None:
        """Reap, and start when a day (UTC) has begun."""
        self._studies.reap()
        day = int(time.time() // 86_400)
        if self._studies.is_running() or day == self._day or time.monotonic() < self._not_before:
            return
        self._day = day
        self._studies.start()

    def stop(self) -> None:
        """End studies that run."""
        self._studies.stop()
