"""Quality in time: metrics of each bucket of event time."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from appliance.monitoring.bucket_figures import read_buckets
from appliance.monitoring.foresight import estimates_by_bucket
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE
from appliance.monitoring.quality_report import QualityPoint
from appliance.monitoring.spans import Span
from storage.window_rows import predictions_by_bucket


def quality_points(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, *, bucket_s: int, version: int | None
) -> tuple[QualityPoint, ...]:
    """One point a bucket that has labels or an estimate, in time.

    Args:
        connection: The state database.
        versions: For the schemas.
        span: The hours; its version does not restrict.
        bucket_s: Whole hours.
        version: Of this version alone; None: of all, as they served.
    """
    hours = max(1, bucket_s // 3600)
    predicted = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=hours
    )
    estimates = estimates_by_bucket(connection, versions, span, bucket_hours=hours, only=version)
    points = {}
    for bucket, figures in read_buckets(connection, versions, span, hours=hours, version=version).items():
        rows = sum(predicted.get((bucket, one), 0) for one in figures.versions)
        coverage = min(1.0, figures.labelled / rows) if rows else 0.0
        points[bucket] = QualityPoint(
            at=_moment(bucket * hours), labelled=figures.labelled, predicted=rows, coverage=coverage,
            mature=coverage >= MATURE_COVERAGE, metrics=figures.metrics, estimate=estimates.pop(bucket, {}),
        )  # fmt: skip
    for bucket, estimate in estimates.items():
        rows = sum(count for (one, by), count in predicted.items() if one == bucket and version in (None, by))
        points[bucket] = QualityPoint(
            at=_moment(bucket * hours), labelled=0, predicted=rows, coverage=0.0, mature=False, metrics={},
            estimate=estimate,
        )  # fmt: skip
    return tuple(points[bucket] for bucket in sorted(points))


def _moment(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)
