"""Starts a pass over the feeds, in a process of its own, when one has something to do."""

from __future__ import annotations

import time

from appliance.feed_signs import Signs
from appliance.settings import Settings
from flows.side_process import SideProcess

LOOK_S = 2.0
"""Between looks at the clock and at the watched folders."""
RETRY_S = 30.0
"""After a pass that did not finish its work."""


class Feeding:
    """At most one pass at a time; it may be killed anywhere: a file's rows and its name are one commit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signs = Signs()
        self._pass = SideProcess("appliance.feeding")
        self._next_look = 0.0

    def tick(self) -> None:
        """Reap, and start when there is something to do."""
        if self._pass.reap():
            self._signs.forget()
            self._next_look = time.monotonic() + RETRY_S
        if self._pass.is_running() or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_S
        if self._signs.look(self._settings.layout):
            self._pass.start()

    def stop(self) -> None:
        """End a pass that runs; the next one goes on."""
        self._pass.stop()
