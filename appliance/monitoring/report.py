"""The report of a model and a span: aggregates only, as JSON, and as one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.monitoring.alerts import Alert
from appliance.monitoring.data_quality_report import DataQualityReport
from appliance.monitoring.drift_report import DriftDetail, DriftReport
from appliance.monitoring.monitoring import HOUR_S, Monitoring
from appliance.monitoring.quality_report import QualityReport, QualitySeries, SegmentReport
from appliance.monitoring.report_columns import MOST_COLUMNS, first_classes, first_drifted, first_odd
from appliance.monitoring.report_html import page_of
from appliance.monitoring.service_report import LatencyReport, TrafficSeries
from appliance.monitoring.skew import skew_json
from appliance.monitoring.spans import DAY_S, Json, Window, utc_text
from appliance.monitoring.study import Study
from storage.skew_rows import SkewRow

MOST_PICTURES = 20
"""Columns whose histograms are drawn, the most drifted first: a page stays below 1 MB however wide the model is."""
MOST_ALERTS = 50
MOST_POINTS = 400
"""Buckets of the quality in time; longer spans get coarser ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """Everything that is known about a model in a span."""

    made_at: datetime
    drift: DriftReport
    pictures: tuple[DriftDetail, ...]
    studies: tuple[Study, ...]
    rows: DataQualityReport
    quality: QualityReport
    series: QualitySeries
    latency: LatencyReport
    traffic: TrafficSeries
    alerts: tuple[Alert, ...]
    proofs: tuple[SkewRow, ...] = ()
    fairness: tuple[SegmentReport, ...] = ()

    def to_json(self) -> Json:
        """One object a chapter; of a wide model the columns that moved most, as ``columns_left_out`` says."""
        columns, rows, dataset = first_drifted(self.drift.columns), first_odd(self.rows.columns), self.drift.dataset
        classes = first_classes(self.quality.classes)
        return {
            "model": self.drift.model,
            "version": self.drift.version,
            "made_at": utc_text(self.made_at),
            "window": self.drift.window.to_json(),
            "drift": {
                **self.drift.to_json(),
                "columns": [one.to_json() for one in columns],
                "columns_left_out": len(self.drift.columns) - len(columns),
                "dataset": {**dataset.to_json(), "drifted": list(dataset.drifted[:MOST_COLUMNS])},
            },
            "histograms": [picture.to_json() for picture in self.pictures],
            "studies": [study.to_json() for study in self.studies],
            "data_quality": {
                **self.rows.to_json(),
                "columns": [one.to_json() for one in rows],
                "columns_left_out": len(self.rows.columns) - len(rows),
                "unknown": [one.to_json() for one in self.rows.unknown[:MOST_COLUMNS]],
            },
            "quality": {
                **self.quality.to_json(),
                "classes": [one.to_json() for one in classes],
                "classes_left_out": len(self.quality.classes) - len(classes),
            },
            "quality_series": self.series.to_json(),
            "fairness": [one.to_json() for one in self.fairness],
            "latency": self.latency.to_json(),
            "traffic": self.traffic.to_json(),
            "skew": [skew_json(row) for row in self.proofs],
            "alerts": [alert.to_json() for alert in self.alerts],
        }

    def to_html(self) -> str:
        """One page, with its pictures as SVG in it; opens without a network and runs no script."""
        return page_of(self)


def make_report(
    monitoring: Monitoring,
    name: str,
    window_s: int,
    *,
    version: int | None = None,
    until: datetime | None = None,
    now: datetime | None = None,
) -> ModelReport:
    """Ask for every chapter.

    Args:
        monitoring: Whom to ask.
        name: The model.
        window_s: The span's length.
        version: The one that serves when left out.
        until: The span's end; None: the newest event. Of a span that is over, alerts, studies and proofs are its own.
        now: When the report is made.

    Raises:
        NotFound: No such model, or no version of it is published.
    """
    asked_end = until
    drift = monitoring.drift(name, window_s, version=version, until=until)
    by_psi = sorted(drift.columns, key=lambda column: -(column.psi or 0.0))
    outputs = [output.name for output in drift.outputs if output.psi is not None]
    wanted = [*outputs, *(column.name for column in by_psi[: MOST_PICTURES - len(outputs)])]
    bucket_s = HOUR_S if window_s <= 3 * DAY_S else DAY_S * -(-window_s // (MOST_POINTS * DAY_S))
    until = drift.window.end
    return ModelReport(
        made_at=now or datetime.now(UTC), drift=drift,
        pictures=tuple(
            monitoring.drift_detail(name, column, window_s, version=drift.version, until=until) for column in wanted
        ),
        studies=tuple(one for one in monitoring.studies(name) if asked_end is None or one.day < until.date()),
        # Without an end, refusals are those of the last arrivals: they have no event time.
        rows=monitoring.data_quality(name, window_s, version=drift.version, until=asked_end),
        quality=monitoring.quality(name, window_s, version=version, until=until),
        series=monitoring.quality_series(name, window_s, bucket_s=bucket_s, version=version, until=until),
        latency=monitoring.latency(name, window_s, until=asked_end),
        traffic=monitoring.traffic(name, window_s, until=asked_end),
        alerts=tuple(
            alert for alert in monitoring.alerts(limit=1_000)
            if alert.model == name and (asked_end is None or _was_open(alert, drift.window))
        )[:MOST_ALERTS],
        proofs=tuple(
            row for row in monitoring.skew(name)
            if asked_end is None or (row.replayed_at is not None and row.replayed_at < until)
        ),
        fairness=monitoring.fairness(name, window_s, version=drift.version, until=until),
    )  # fmt: skip


def _was_open(alert: Alert, window: Window) -> bool:
    """Whether it was open in the window; one that the window's last day opened begins where that ends."""
    return alert.opened_at <= window.end and (alert.closed_at is None or alert.closed_at > window.start)
