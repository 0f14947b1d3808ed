"""The story of one alert: what happened, in pictures and figures of its own time, what became of it, what to do."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.errors import NotFound
from appliance.monitoring.alerts import Alert, alert_of
from appliance.monitoring.data_quality_report import DataQualityReport
from appliance.monitoring.drift_report import DriftDetail, strongest
from appliance.monitoring.evaluation import find_main_version
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.message import advise
from appliance.monitoring.quality_report import QualitySeries
from appliance.monitoring.spans import Json, Span, State, utc_text
from storage.alert_rows import find_alert
from storage.channel_rows import find_snooze
from storage.delivery_rows import DeliveryRow, list_deliveries_of

if TYPE_CHECKING:
    from appliance.monitoring.monitoring import Monitoring

DAY_S = 86_400
TREND_DAYS = 14
"""Days up to the alert whose drift is shown."""
MOST_PICTURES = 3
BY_WINDOW = frozenset({"drift", "prediction", "quality", "data_quality", "domain"})
"""Subjects that judge a window of event time; the others are about the appliance itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """An alert and what the database knows around it.

    Attributes:
        advice: What its reader does next.
        judged: The window that opened it, of the version that answered most of its last day; None for alerts about
            the appliance itself, and when the version is gone.
        snoozed_until: Its subject is quiet until then, which may be over.
        deliveries: What its channels were told.
    """

    alert: Alert
    advice: str
    judged: Span | None
    snoozed_until: datetime | None
    deliveries: tuple[DeliveryRow, ...]

    def to_json(self) -> Json:
        """The alert's fields and what is around it."""
        judged = None
        if self.judged is not None:
            judged = {"version": self.judged.version, "window": self.judged.window.to_json()}
        return {
            **self.alert.to_json(),
            "advice": self.advice,
            "judged": judged,
            "snoozed_until": utc_text(self.snoozed_until) if self.snoozed_until else None,
            "deliveries": [
                {"id": one.id, "channel": one.channel, "event": one.event, "state": one.state, "reason": one.reason}
                for one in self.deliveries
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """How far a column had moved in the window that ends then."""

    at: datetime
    psi: float | None
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStory:
    """What the page of an alert shows.

    Attributes:
        pictures: Histograms of the columns that moved most, or of the prediction; for alerts about them.
        trend: Of the first picture, day by day.
        rows: For alerts about data quality.
        series: For alerts about quality.
    """

    facts: AlertFacts
    pictures: tuple[DriftDetail, ...] = ()
    trend: tuple[TrendPoint, ...] = ()
    rows: DataQualityReport | None = None
    series: QualitySeries | None = None


def find_facts(connection: sqlite3.Connection, versions: KnownVersions, alert_id: int) -> AlertFacts:
    """What the database knows of an alert.

    Raises:
        NotFound: No such alert.
    """
    row = find_alert(connection, alert_id)
    if row is None:
        raise NotFound(f"there is no alert {alert_id}; 'appliance alerts' lists them")
    alert = alert_of(row)
    return AlertFacts(
        alert=alert, advice=advise(alert), judged=_judged(connection, versions, alert),
        snoozed_until=find_snooze(connection, alert.model, alert.subject),
        deliveries=tuple(list_deliveries_of(connection, alert_id)),
    )  # fmt: skip


def tell_alert(monitoring: Monitoring, alert_id: int) -> AlertStory:
    """Ask for everything that the page of an alert shows; a part that is gone by now is left out.

    Raises:
        NotFound: No such alert.
    """
    facts = monitoring.alert(alert_id)
    judged = facts.judged
    if judged is None:
        return AlertStory(facts=facts)
    until, window_s = judged.window.end, int(judged.window.seconds)
    model, version = judged.model, judged.version
    if facts.alert.subject == "data_quality":
        rows = monitoring.data_quality(model, window_s, version=version, until=until)
        return AlertStory(facts=facts, rows=rows)
    if facts.alert.subject == "quality":
        series = monitoring.quality_series(model, max(window_s, 30 * DAY_S), until=facts.alert.closed_at or until)
        return AlertStory(facts=facts, series=series)
    pictures = tuple(
        monitoring.drift_detail(model, column, window_s, version=version, until=until)
        for column in _columns(monitoring, facts, judged)
    )
    return AlertStory(facts=facts, pictures=pictures, trend=_trend(monitoring, judged, pictures[0].drift.name))


def _columns(monitoring: Monitoring, facts: AlertFacts, judged: Span) -> tuple[str, ...]:
    report = monitoring.drift(judged.model, int(judged.window.seconds), version=judged.version, until=judged.window.end)
    if facts.alert.subject == "prediction":
        return tuple(one.name for one in strongest(report.outputs)) or (report.prediction.name,)
    moved = report.dataset.drifted[:MOST_PICTURES]
    return moved or (max(report.columns, key=lambda one: one.psi or 0.0).name,)


def _trend(monitoring: Monitoring, judged: Span, column: str) -> tuple[TrendPoint, ...]:
    points = []
    for back in range(TREND_DAYS - 1, -1, -1):
        until = judged.window.end - timedelta(days=back)
        found = monitoring.drift_detail(
            judged.model, column, int(judged.window.seconds), version=judged.version, until=until
        )
        points.append(TrendPoint(at=until, psi=found.drift.psi, state=found.drift.state))
    return tuple(points)


def _judged(connection: sqlite3.Connection, versions: KnownVersions, alert: Alert) -> Span | None:
    """The window that ends where the alert opened."""
    if not alert.model or alert.subject not in BY_WINDOW:
        return None
    last_hour = int(alert.opened_at.timestamp()) // 3_600
    version = find_main_version(connection, alert.model, last_hour // 24 - 1)
    if version is None or versions.find(alert.model, version) is None:
        return None
    hours = versions.window_hours(alert.model)
    return Span(model=alert.model, version=version, first_hour=last_hour - hours, last_hour=last_hour)
