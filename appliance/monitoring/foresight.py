"""What was expected of a span before its labels came, and how far such expectations were off where labels did come."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from appliance.monitoring.bins import Floats
from appliance.monitoring.bucket_figures import read_buckets
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE, MIN_LABELLED
from appliance.monitoring.spans import Json, Span
from appliance.monitoring.windows import WindowCounts, parse_counts
from storage.window_rows import predictions_by_bucket, scan_hours

DAY_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Quality as expected from the predictions alone.

    Attributes:
        rows: Predictions it is made of.
        metrics: As ``QualityReport.metrics``; a metric that cannot be expected is left out.
        past_error: Metric to the mean of ``|expected - measured|`` over the days of the span whose labels are there.
        days: How many days those were; with none, ``past_error`` is empty.
    """

    rows: int
    metrics: Mapping[str, float]
    past_error: Mapping[str, float]
    days: int

    def to_json(self) -> Json:
        """The metrics under their names, and beside them what is known of their error."""
        return {**self.metrics, "rows": self.rows, "past_error": dict(self.past_error), "days": self.days}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Predictions, and the sums of what is expected of them (``Estimator``)."""

    rows: int
    sums: Floats


def estimate_span(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, counted: Mapping[int, list[WindowCounts]]
) -> Estimate | None:
    """The estimate of a span; None when the version's reference has nothing to estimate from, or nothing was asked.

    Args:
        connection: The state database.
        versions: For the span's version.
        span: The hours.
        counted: Its windows by hour (``read_hours``).
    """
    known = versions.find(span.model, span.version)
    if known is None or known.estimator is None:
        return None
    days = expected_by_bucket(known, counted, bucket_hours=DAY_HOURS)
    if not days:
        return None
    total = np.sum([day.sums for day in days.values()], axis=0)
    errors: dict[str, list[float]] = defaultdict(list)
    settled = 0
    measured = read_buckets(connection, versions, span, hours=DAY_HOURS, version=span.version)
    for number, day in days.items():
        found = measured.get(number)
        if found is None or found.labelled < max(MIN_LABELLED, MATURE_COVERAGE * day.rows):
            continue
        settled += 1
        for name, value in known.estimator.estimate(day.sums).items():
            if name in found.metrics:
                errors[name].append(abs(value - found.metrics[name]))
    return Estimate(
        rows=known.estimator.rows(total), metrics=known.estimator.estimate(total), days=settled,
        past_error={name: float(np.mean(found)) for name, found in errors.items()},
    )  # fmt: skip


def read_hours(connection: sqlite3.Connection, span: Span) -> dict[int, list[WindowCounts]]:
    """Hour to its windows, of a version's own traffic."""
    found: dict[int, list[WindowCounts]] = defaultdict(list)
    stored = scan_hours(
        connection, span.model, span.version, first_hour=span.first_hour, last_hour=span.last_hour
    )  # fmt: skip
    for hour, content in stored:
        found[hour].append(parse_counts(content))
    return found


def expected_by_bucket(
    known: KnownVersion, counted: Mapping[int, list[WindowCounts]], *, bucket_hours: int
) -> dict[int, Expected]:
    """``hour // bucket_hours`` to its sums, ascending, of the buckets that have some."""
    estimator = known.estimator
    if estimator is None:
        return {}
    rows: dict[int, int] = defaultdict(int)
    sums: dict[int, Floats] = {}
    for hour, windows in counted.items():
        for counts in windows:
            if counts.expected.size != estimator.width:
                continue  # counted before there were estimates, or over other bins
            bucket = hour // bucket_hours
            rows[bucket] += counts.rows
            sums[bucket] = sums[bucket] + counts.expected if bucket in sums else counts.expected
    return {bucket: Expected(rows=rows[bucket], sums=sums[bucket]) for bucket in sorted(sums)}


def estimates_by_bucket(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, *, bucket_hours: int, only: int | None
) -> dict[int, dict[str, float]]:
    """Bucket to the expected metrics of all versions that answered in it, each weighted by its rows.

    Args:
        connection: The state database.
        versions: For the estimators.
        span: The hours; its version does not restrict.
        bucket_hours: Whole hours.
        only: This version alone; None: all.
    """
    predicted = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=bucket_hours
    )
    found: dict[int, list[tuple[int, dict[str, float]]]] = defaultdict(list)
    for version in sorted({one for _, one in predicted if only in (None, one)}):
        known = versions.find(span.model, version)
        if known is None or known.estimator is None:
            continue
        counted = read_hours(connection, replace(span, version=version))
        buckets = expected_by_bucket(known, counted, bucket_hours=bucket_hours)
        for bucket, expected in buckets.items():
            found[bucket].append((expected.rows, known.estimator.estimate(expected.sums)))
    return {bucket: _weighted(parts) for bucket, parts in found.items()}


def _weighted(parts: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """The metrics that every part has."""
    names = [name for name in parts[0][1] if all(name in metrics for _, metrics in parts)]
    total = sum(rows for rows, _ in parts)
    return {name: sum(rows * metrics[name] for rows, metrics in parts) / total for name in names} if total else {}
