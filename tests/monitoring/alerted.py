"""Alerts that are raised and ended as the watch loop does, and what became of their messages."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

from appliance.house import Appliance
from storage import statedb
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def raise_alert(house: Appliance, *, state: str = "alarm", subject: str = "drift", at: datetime = NOW) -> int:
    with closing(statedb.connect(house.settings.layout.database)) as db, statedb.transaction(db):
        close_alert(db, "rent", subject, at)
        open_alert(
            db, NewAlert(model="rent", subject=subject, state=state, message="`temp` moved.", opened_at=at)
        )  # fmt: skip
        return list_alerts(db, open_only=True)[0].id


def end_alert(house: Appliance, subject: str = "drift", *, at: datetime = NOW) -> None:
    with closing(statedb.connect(house.settings.layout.database)) as db, statedb.transaction(db):
        assert close_alert(db, "rent", subject, at)


def states(house: Appliance) -> list[tuple[str, str]]:
    return [(row.event, row.state) for row in reversed(house.channels.deliveries())]


def later(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)
