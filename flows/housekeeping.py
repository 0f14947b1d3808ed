"""What is done beside the jobs: the disk is watched; processes of their own compact, and back up every night.

Under systemd ``appliance-backup.timer`` starts what is nightly.
"""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta

from appliance.disk import watch_disk
from appliance.settings import Settings
from storage.backups import list_backups
from storage.errors import StorageError
from storage.eventlog import is_closed, list_segments

STOP_GRACE_S = 5.0
log = logging.getLogger("appliance.housekeeping")


BACKUP_HOUR = 3
"""Local time; a host that was off then is backed up when it is on again."""
BACKUP_LOOK_S = 60.0
DISK_LOOK_S = 15.0
RETRY_S = 3600.0


class Housekeeping:
    """At most one compaction and one backup at a time; each may be killed anywhere."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._backup: subprocess.Popen[bytes] | None = None
        self._looked_for_backup = 0.0
        self._looked_at_disk = 0.0
        self._started = time.monotonic()
        self._day = -1

    def tick(self) -> None:
        """Reap, and start when it is time and there is something to do."""
        self._compact()
        self._back_up()
        self._watch_disk()

    def stop(self) -> None:
        """End what runs; the next runner goes on with it."""
        for process in (self._process, self._backup):
            if process is not None:
                _end(process)

    def _back_up(self) -> None:
        if self._backup is not None and self._backup.poll() is not None:
            self._backup = None
        if self._settings.systemd or not self._settings.backup_nightly or self._backup is not None:
            return
        if time.monotonic() - self._looked_for_backup < BACKUP_LOOK_S:
            return
        self._looked_for_backup = time.monotonic()
        if is_backup_due(self._settings, datetime.now().astimezone()):
            self._backup = _start("appliance.nightly")

    def _watch_disk(self) -> None:
        if time.monotonic() - self._looked_at_disk < DISK_LOOK_S:
            return
        self._looked_at_disk = time.monotonic()
        try:
            watch_disk(self._settings)
        except (StorageError, sqlite3.Error, OSError) as exc:
            log.warning("the disk cannot be watched: %s", exc)

    def _compact(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is not None or time.monotonic() - self._started < self._settings.compaction_interval_s:
            return
        self._started = time.monotonic()
        day = int(time.time() // 86_400)
        if day == self._day and not self._has_closed():
            return
        self._day = day
        self._process = _start("appliance.compaction")

    def _has_closed(self) -> bool:
        events = self._settings.layout.events
        try:
            return any(is_closed(path) for kind in ("predictions", "labels") for path in list_segments(events / kind))
        except OSError:
            return True  # whatever is wrong, the compaction says it


def is_backup_due(settings: Settings, now: datetime) -> bool:
    """Whether the night's backup is still to be made: none was tried since the last ``BACKUP_HOUR``.

    A try that failed counts for an hour, so that a full disk is not tried every minute. What a clock that ran ahead
    dated into the future counts for nothing, or there would be no backup until that day.
    """
    due = now.replace(hour=BACKUP_HOUR, minute=0, second=0, microsecond=0)
    due = due if due <= now else due - timedelta(days=1)
    tried = settings.layout.run / "backup-tried"
    try:
        made = (one.created_at for one in list_backups(settings.backups))
        last = max((at for at in made if at <= now), default=None)
        if last is not None and last >= due:
            return False
        if tried.exists() and 0 <= now.timestamp() - tried.stat().st_mtime < RETRY_S:
            return False
        # The first night of a new appliance is the coming one.
        if last is None and settings.layout.secret.stat().st_mtime >= due.timestamp():
            return False
        tried.touch()
    except OSError:
        return False  # the state is unreadable; the next look may find it well
    return True


def _start(module: str) -> subprocess.Popen[bytes]:
    # A session of its own: niceness acts within one, and so does our own end.
    return subprocess.Popen([sys.executable, "-P", "-m", module], stdin=subprocess.DEVNULL, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
