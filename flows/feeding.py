"""Starts a pass over the feeds, in a process of its own, when one has something to do."""

from __future__ import annotations

import subprocess
import sys
import time

from appliance.feed_signs import Signs
from appliance.settings import Settings

LOOK_S = 2.0
"""Between looks at the clock and at the watched folders."""
RETRY_S = 30.0
"""After a pass that did not finish its work."""
STOP_GRACE_S = 5.0


class Feeding:
    """At most one pass at a time; it may be killed anywhere: a file's rows and its name are one commit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signs = Signs()
        self._process: subprocess.Popen[bytes] | None = None
        self._next_look = 0.0

    def tick(self) -> None:
        """Reap, and start when there is something to do."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code != 0:
                self._signs.forget()
                self._next_look = time.monotonic() + RETRY_S
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_S
        if self._signs.look(self._settings.layout):
            # A session of its own: niceness acts within one, and so does our own end.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "appliance.feeding"], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def stop(self) -> None:
        """End a pass that runs; the next one goes on."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
