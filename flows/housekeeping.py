"""What is done beside the jobs: the disk is watched; processes of their own compact, and do what is nightly.

Under systemd ``appliance-backup.timer`` starts what is nightly.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from datetime import datetime, timedelta
from pathlib import Path

from appliance.disk import watch_disk
from appliance.processes import heap
from appliance.settings import Settings
from flows.side_process import SideProcess
from storage.errors import StorageError
from storage.eventlog import is_closed, list_segments
from storage.layout import Layout

log = logging.getLogger("appliance.housekeeping")


NIGHT_HOUR = 3
"""Local time; on a host that was off then, it is done when it is on again."""
NIGHT_LOOK_S = 60.0
DISK_LOOK_S = 15.0
GIVE_BACK_S = 60.0
RETRY_S = 3600.0
_SPENT = frozenset({0, os.EX_DATAERR})
"""How ``appliance.nightly`` ends when nothing is to be tried again: all is done, or a backup was made at least."""


class Housekeeping:
    """At most one compaction and one night's work at a time; each may be killed anywhere."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._compaction = SideProcess("appliance.compaction")
        self._night = SideProcess("appliance.nightly")
        self._looked_at_clock = 0.0
        self._looked_at_disk = 0.0
        self._gave_back = 0.0
        self._started = time.monotonic()
        self._day = -1

    def tick(self) -> None:
        """Reap, and start when it is time and there is something to do."""
        self._compact()
        self._spend_night()
        self._watch_disk()
        if time.monotonic() - self._gave_back >= GIVE_BACK_S:
            self._gave_back = time.monotonic()
            heap.give_back()

    def stop(self) -> None:
        """End what runs; the next runner goes on with it."""
        self._compaction.stop()
        self._night.stop()

    def _spend_night(self) -> None:
        if self._night.reap() in _SPENT:
            note_night(self._settings.layout)
        if self._settings.systemd or self._night.is_running():
            return
        if time.monotonic() - self._looked_at_clock < NIGHT_LOOK_S:
            return
        self._looked_at_clock = time.monotonic()
        if is_night_due(self._settings.layout, datetime.now().astimezone()):
            self._night.start()

    def _watch_disk(self) -> None:
        if time.monotonic() - self._looked_at_disk < DISK_LOOK_S:
            return
        self._looked_at_disk = time.monotonic()
        try:
            watch_disk(self._settings)
        except (StorageError, sqlite3.Error, OSError) as exc:
            log.warning("the disk cannot be watched: %s", exc)

    def _compact(self) -> None:
        self._compaction.reap()
        if self._compaction.is_running() or time.monotonic() - self._started < self._settings.compaction_interval_s:
            return
        self._started = time.monotonic()
        day = int(time.time() // 86_400)
        if day == self._day and not self._has_closed():
            return
        self._day = day
        self._compaction.start()

    def _has_closed(self) -> bool:
        events = self._settings.layout.events
        try:
            return any(is_closed(path) for kind in ("predictions", "labels") for path in list_segments(events / kind))
        except OSError:
            return True  # whatever is wrong, the compaction says it


def is_night_due(layout: Layout, now: datetime) -> bool:
    """Whether the night's work is still to be done: none that was begun since the last ``NIGHT_HOUR`` is done.

    A try that failed counts for an hour, so that a full disk is not tried every minute. What a clock that ran ahead
    dated into the future counts for nothing, or there would be no night until that day. Nor does a backup that somebody
    made meanwhile: there is more to a night.
    """
    due = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    due = due if due <= now else due - timedelta(days=1)
    tried, done = _tried(layout), _done(layout)
    try:
        if done.exists() and due.timestamp() <= done.stat().st_mtime <= now.timestamp():
            return False
        if tried.exists() and 0 <= now.timestamp() - tried.stat().st_mtime < RETRY_S:
            return False
        # The first night of a new appliance is the coming one.
        if not done.exists() and layout.secret.stat().st_mtime >= due.timestamp():
            return False
        tried.touch()
    except OSError:
        return False  # the state is unreadable; the next look may find it well
    return True


def note_night(layout: Layout) -> None:
    """The night that was tried last is done; it is that of the hour in which it was begun."""
    try:
        _tried(layout).replace(_done(layout))
    except OSError as exc:
        log.warning("cannot note that the night's work is done: %s", exc)


def _tried(layout: Layout) -> Path:
    return layout.run / "night-tried"


def _done(layout: Layout) -> Path:
    return layout.run / "night-done"
