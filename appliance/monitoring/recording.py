"""Whether predictions are recorded: an alert opens while the inference API answers what it cannot write down."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.monitoring.spans import State
from appliance.serving.counts import Counts
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.eventlog import free_bytes
from storage.layout import Layout
from storage.statedb import transaction

RECORDING = "recording"
"""The alert's subject; it is about the inference API, so its model is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the inference API's workers say of the event log.

    Attributes:
        workers_off: Workers that cannot write it now.
        lost: Predictions answered and not recorded since the API started.
    """

    workers_off: int
    lost: int


def read_recording(layout: Layout) -> Recording:
    """Read the workers' shared counts; works on a full disk."""
    totals = Counts(layout.run / "api-counts", 0).totals().values()
    return Recording(workers_off=int(sum(tally.off for tally in totals)), lost=int(sum(tally.lost for tally in totals)))


def watch_recording(connection: sqlite3.Connection, layout: Layout, *, lost: int) -> int:
    """Open the alert while a worker cannot record, close it afterwards.

    Args:
        connection: The state database.
        layout: The state.
        lost: Predictions that the log, writable again, says were lost, new in this look; an outage that was over
            before anybody looked leaves a closed alert.

    Returns:
        Alerts opened and closed.
    """
    off = read_recording(layout).workers_off
    is_open = any(row.subject == RECORDING for row in list_alerts(connection, open_only=True, limit=1000))
    if bool(off) == is_open and not (lost and not is_open):
        return 0
    now = datetime.now(UTC)
    free = f"{free_bytes(layout.root) // 1_000_000} MB are free below {layout.root}"
    with transaction(connection):
        changed = 0
        if not is_open:
            message = (
                f"Predictions are answered but not recorded; {free}. Free space, or see 'appliance doctor'; "
                "recording goes on by itself."
                if off
                else f"{lost} predictions were answered and not recorded; recording went on by itself, {free}."
            )
            open_alert(
                connection,
                NewAlert(model="", subject=RECORDING, state=State.ALARM, message=message, opened_at=now),
            )
            changed += 1
        if not off:
            changed += close_alert(connection, "", RECORDING, now)
    return changed
