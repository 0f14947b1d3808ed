"""Starts the compaction of the event log, in a process of its own, every few minutes."""

from __future__ import annotations

import subprocess
import sys
import time

from appliance.settings import Settings
from storage.eventlog import is_closed, list_segments

STOP_GRACE_S = 5.0


class Housekeeping:
    """At most one compaction at a time; it may be killed anywhere."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._started = time.monotonic()
        self._day = -1

    def tick(self) -> None:
        """Reap, and start when it is time and there is something to do."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is not None or time.monotonic() - self._started < self._settings.compaction_interval_s:
            return
        self._started = time.monotonic()
        day = int(time.time() // 86_400)
        if day == self._day and not self._has_closed():
            return
        self._day = day
        # A session of its own: niceness acts within one, and so does our own end.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "appliance.compaction"], stdin=subprocess.DEVNULL, start_new_session=True
        )

    def stop(self) -> None:
        """End a compaction that runs; the next one goes on."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _has_closed(self) -> bool:
        events = self._settings.layout.events
        try:
            return any(is_closed(path) for kind in ("predictions", "labels") for path in list_segments(events / kind))
        except OSError:
            return True  # whatever is wrong, the compaction says it
