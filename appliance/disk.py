"""The alert on a disk that fills up, and the refusal of jobs when it is nearly full."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

from appliance.errors import Conflict
from appliance.monitoring.spans import State
from appliance.settings import Settings
from storage.alert_rows import AlertRow, NewAlert, close_alert, list_alerts, open_alert
from storage.disk_budget import DiskUse, Pressure, judge_disk, read_disk
from storage.statedb import connect, transaction

DISK = "disk"
"""The alert's subject; it is about the host, so its model is empty."""

_CONSEQUENCES = {
    Pressure.ALERT: "From 90 % on predictions are no longer recorded, from 95 % on no job starts",
    Pressure.NO_CAPTURE: "Predictions are answered but not recorded; from 95 % on no job starts",
    Pressure.NO_JOBS: "Predictions are answered but not recorded, and jobs are refused",
}


def watch_disk(settings: Settings) -> Pressure:
    """Open, replace or close the alert on the state's disk.

    Raises:
        OSError, sqlite3.Error, StorageError: The disk or the database cannot be asked.
    """
    with closing(connect(settings.layout.database)) as connection:
        standing = next(
            (row for row in list_alerts(connection, open_only=True, limit=1000) if row.subject == DISK), None
        )
        use = read_disk(settings.state)
        pressure = judge_disk(use, before=_level(standing))
        if pressure == _level(standing):
            return pressure
        now = datetime.now(UTC)
        with transaction(connection):
            close_alert(connection, "", DISK, now)
            if pressure is not Pressure.NONE:
                state = State.WARN if pressure is Pressure.ALERT else State.ALARM
                message = f"{_describe(settings, use)}. {_CONSEQUENCES[pressure]}. See 'appliance retention --dry-run'."
                open_alert(connection, NewAlert(model="", subject=DISK, state=state, message=message, opened_at=now))
    return pressure


def require_room_for_jobs(settings: Settings) -> None:
    """Let a job start only while there is room for what it writes.

    Raises:
        Conflict: 95 % of the disk is used.
    """
    try:
        use = read_disk(settings.state)
    except OSError:
        return  # whatever is wrong with the disk, the job says it
    if judge_disk(use) is Pressure.NO_JOBS:
        raise Conflict(
            f"{_describe(settings, use)}, and jobs are refused from 95 % on; free space "
            "('appliance retention --dry-run' shows what may go)"
        )


def _level(standing: AlertRow | None) -> Pressure:
    """Which pressure an alert told, by the consequence in its message."""
    if standing is None:
        return Pressure.NONE
    return next((level for level, text in _CONSEQUENCES.items() if text in standing.message), Pressure.NONE)


def _describe(settings: Settings, use: DiskUse) -> str:
    return f"{use.used_share:.0%} of the disk below {settings.state} is used, {use.free // 1_000_000} MB are free"
