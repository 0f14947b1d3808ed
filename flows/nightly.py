"""Starts the nightly studies, in a process of its own, once a day and when the runner has run for a while."""

from __future__ import annotations

import subprocess
import sys
import time

from appliance.settings import Settings

FIRST_AFTER_S = 600.0
"""A runner that was just started has more urgent things to do; a day that was missed is studied then."""
STOP_GRACE_S = 5.0


class Nightly:
    """At most one process of studies at a time; it may be killed anywhere, and what it did not write is done again."""

    def __init__(self, settings: Settings, *, first_after_s: float = FIRST_AFTER_S) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = time.monotonic() + first_after_s
        self._day = -1

    def tick(self) -> None:
        """Reap, and start when a day has begun."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        day = int(time.time() // 86_400)
        if self._process is not None or day == self._day or time.monotonic() < self._not_before:
            return
        self._day = day
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "appliance.studies.nightly"], stdin=subprocess.DEVNULL, start_new_session=True
        )

    def stop(self) -> None:
        """End studies that run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
