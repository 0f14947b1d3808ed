"""Whether somebody watches: an alert opens while the watch loop does not look, and closes when it does again."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from appliance.monitoring.spans import State
from storage.alert_rows import NewAlert, close_alert, has_open_alert, open_alert
from storage.statedb import transaction
from storage.window_rows import find_heartbeat

WATCH = "watch"
"""The alert's subject, and the watch loop's heartbeat."""
SILENT = timedelta(seconds=120)
"""The watch loop says that it lives at least every ten seconds, also within a long look."""


def watch_the_watch(connection: sqlite3.Connection, now: datetime) -> int:
    """Open the alert while the last heartbeat is older than two minutes; a loop that never looked is just starting.

    Returns:
        Alerts opened and closed.
    """
    heartbeat = find_heartbeat(connection, WATCH)
    if heartbeat is None:
        return 0
    silent = now - heartbeat.at > SILENT
    if silent == has_open_alert(connection, "", WATCH):
        return 0
    with transaction(connection):
        if not silent:
            return int(close_alert(connection, "", WATCH, now))
        message = (
            f"The watch loop has not looked at the event log since {heartbeat.at:%Y-%m-%d %H:%M:%S} UTC: "
            "drift, quality and alerts stand still. Nothing is lost; it counts what came meanwhile when it runs again."
        )
        if not has_open_alert(connection, "", WATCH):
            open_alert(connection, NewAlert(model="", subject=WATCH, state=State.ALARM, message=message, opened_at=now))
    return 1
