"""Quality in time: metrics of each bucket of event time."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import UTC, datetime
from itertools import groupby

import numpy as np

from appliance.monitoring.foresight import estimates_by_bucket
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE, Labelled, labelled_of, measure
from appliance.monitoring.quality_report import QualityPoint
from appliance.monitoring.spans import Span
from appliance.monitoring.windows import HOUR_US
from appliance.schema import FeatureSchema
from storage.outcome_rows import Outcome, scan_outcomes
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
    outcomes = scan_outcomes(
        connection,
        span.model,
        first_us=span.first_hour * HOUR_US,
        last_us=span.last_hour * HOUR_US,
        version=version,
    )
    estimates = estimates_by_bucket(connection, versions, span, bucket_hours=hours, only=version)
    points = {}
    for bucket, members in groupby(outcomes, key=lambda outcome: outcome.event_us // (hours * HOUR_US)):
        found = _together(list(members), versions)
        if found is None:
            continue
        schema, labelled, counted = found
        rows = sum(predicted.get((bucket, one), 0) for one in counted)
        coverage = min(1.0, len(labelled) / rows) if rows else 0.0
        points[bucket] = QualityPoint(
            at=_moment(bucket * hours), labelled=len(labelled), predicted=rows, coverage=coverage,
            mature=coverage >= MATURE_COVERAGE, metrics=measure(schema, labelled), estimate=estimates.pop(bucket, {}),
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


def _together(
    outcomes: list[Outcome], versions: KnownVersions
) -> tuple[FeatureSchema, Labelled, frozenset[int]] | None:
    """The labelled predictions of all versions that know the same classes as the one with most labels."""
    by_version: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_version[outcome.version].append(outcome)
    known = {
        version: found.schema
        for version, members in by_version.items()
        if (found := versions.find(members[0].model, version)) is not None
    }
    if not known:
        return None
    main = known[max(known, key=lambda version: len(by_version[version]))]
    alike = frozenset(
        version for version, schema in known.items() if (schema.task, schema.classes) == (main.task, main.classes)
    )
    parts = [labelled_of(by_version[version], known[version]) for version in sorted(alike)]
    labelled = Labelled(
        truth=np.concatenate([part.truth for part in parts]),
        outputs=np.concatenate([part.outputs for part in parts]),
        delay_s=np.concatenate([part.delay_s for part in parts]),
        day=np.concatenate([part.day for part in parts]),
    )
    return main, labelled, alike
