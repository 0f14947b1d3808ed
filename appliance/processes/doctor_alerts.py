"""What ``appliance doctor`` and ``status`` tell of open alerts, labels that stopped, and processes that keep ending."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from statistics import median

from appliance.monitoring.spans import duration_text
from appliance.processes.check import Check
from appliance.processes.report import ProcessReport
from appliance.settings import Settings
from storage.alert_rows import AlertRow, list_alerts
from storage.errors import StorageError
from storage.statedb import connect

_MOST = 1000
_TOLD = 3
STOPPED_S = 2 * 86_400.0
OFTEN, LATELY = 3, timedelta(minutes=10)
"""A process that was started again so often, the last time so lately, is told though it runs at this moment."""


def check_alerts(connection: sqlite3.Connection) -> list[Check]:
    """Which alerts are open; what they tell of is no fault of the host's, so none of them fails."""
    found = list_alerts(connection, open_only=True, limit=_MOST)
    if not found:
        return [Check(name="alerts", state="ok", message="none is open")]
    told = "; ".join(f"{_about(one)} since {one.opened_at:%Y-%m-%d %H:%M}: {one.message}" for one in found[:_TOLD])
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    fix = f"'appliance alerts show {found[0].id}' says what to do about it; 'appliance alerts --open-only' lists them"
    return [Check(name="alerts", state="warn", message=f"{len(found)} open: {told}{more}", fix=fix)]


def tell_alerts(settings: Settings) -> str:
    """One line on the open alerts; empty when there is none, or nothing was ever started here."""
    if not settings.layout.database.exists():
        return ""
    try:
        with closing(connect(settings.layout.database, read_only=True)) as connection:
            found = list_alerts(connection, open_only=True, limit=_MOST)
    except (StorageError, sqlite3.Error) as exc:
        return f"alerts cannot be read: {exc}; see 'appliance doctor'"
    if not found:
        return ""
    oldest = min(one.opened_at for one in found)
    return f"alerts open: {len(found)}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC: 'appliance alerts --open-only'"


def tell_restarts(process: ProcessReport) -> str:
    """How often it ended by itself and was started again; empty when it never did."""
    return f"ended by itself and was started again: {process.restarts} times" if process.restarts else ""


def keeps_ending(process: ProcessReport, now: datetime) -> bool:
    """Whether a process that runs now was started again and again, and lately."""
    if process.restarts < OFTEN or process.since is None:
        return False
    return now - datetime.fromisoformat(process.since).astimezone(UTC) < LATELY


def check_labels(connection: sqlite3.Connection, now: datetime) -> list[Check]:
    """Whose labels have stopped while predictions go on; nothing is said of a model that never had any.

    Labels have stopped when none came for two days, and for three times as long as they usually take (the median of the
    1,000 newest predictions that have one).
    """
    live = "SELECT DISTINCT model FROM deployments WHERE ended_at IS NULL AND role = 'champion' ORDER BY model"
    checks = [_check_labels(connection, str(model), now) for (model,) in connection.execute(live).fetchall()]
    return [check for check in checks if check is not None]


def _check_labels(connection: sqlite3.Connection, model: str, now: datetime) -> Check | None:
    newest = "SELECT event_us, arrived_us FROM outcomes WHERE model = ? ORDER BY event_us DESC LIMIT 1000"
    rows = [(int(event), int(arrived)) for event, arrived in connection.execute(newest, (model,))]
    asked = connection.execute("SELECT max(hour) FROM feature_windows WHERE model = ?", (model,)).fetchone()[0]
    if not rows or asked is None:
        return None
    last_s = max(arrived for _, arrived in rows) / 1e6
    usual_s = median(max(0, arrived - event) for event, arrived in rows) / 1e6
    if now.timestamp() - last_s < max(STOPPED_S, 3 * usual_s) or int(asked) * 3600 < last_s:
        return None
    message = (
        f"none came since {datetime.fromtimestamp(last_s, UTC):%Y-%m-%d %H:%M} UTC, and predictions go on; usually "
        f"they come {duration_text(usual_s)} after the prediction. Until they do, how right it is can only be "
        "estimated, and no alert on its quality opens"
    )
    fix = f"ask who sends them; 'appliance quality {model}' shows what the last ones said"
    return Check(name=f"labels of {model}", state="warn", message=message, fix=fix)


def _about(alert: AlertRow) -> str:
    return f"{alert.model}, {alert.subject}" if alert.model else alert.subject
