"""What was expected of a span before its labels came, and how far such expectations were off where labels did come."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance.monitoring.bucket_figures import BucketFigures, read_buckets
from appliance.monitoring.day_counts import DAY_HOURS, Counted, Expected, add_hours, read_days, scan_counts
from appliance.monitoring.estimates import Estimator
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE, MIN_LABELLED
from appliance.monitoring.row_figures import read_figures
from appliance.monitoring.spans import Json, Span
from storage.outcome_rows import labelled_by_day
from storage.window_rows import predictions_by_bucket

PAST_DAYS = 31
"""Days whose estimates are held against their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Quality as expected from the predictions alone.

    Attributes:
        rows: Predictions it is made of.
        metrics: As ``QualityReport.metrics``; a metric that cannot be expected is left out.
        past_error: Metric to the mean of ``|expected - measured|`` over the version's newest days whose labels are
            there (31 or less, none after the span, before it too: labels may come later than the span is long); days
            with few labels are taken together with those that follow, until they have 50.
        days: How many days those were; with none, ``past_error`` is empty.
    """

    rows: int
    metrics: Mapping[str, float]
    past_error: Mapping[str, float]
    days: int

    def to_json(self) -> Json:
        """The metrics under their names, and beside them what is known of their error."""
        return {**self.metrics, "rows": self.rows, "past_error": dict(self.past_error), "days": self.days}


def estimate_span(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, counted: Mapping[int, Counted]
) -> Estimate | None:
    """The estimate of a span; None when the version's reference has nothing to estimate from, or nothing was asked.

    Args:
        connection: The state database.
        versions: For the span's version.
        span: The hours.
        counted: Its days (``read_days``).
    """
    known = versions.find(span.model, span.version)
    if known is None or known.estimator is None:
        return None
    days = {number: day.expected for number, day in counted.items() if day.expected is not None}
    if not days:
        return None
    total = np.sum([day.sums for day in days.values()], axis=0)
    past_error, settled = _past_error(connection, versions, span, known.estimator)
    return Estimate(
        rows=known.estimator.rows(total), metrics=known.estimator.estimate(total), days=settled, past_error=past_error
    )  # fmt: skip


def _past_error(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, estimator: Estimator
) -> tuple[dict[str, float], int]:
    """``Estimate.past_error`` and of how many days it is."""
    known = versions.find(span.model, span.version)
    past = _settled_span(connection, span)
    if known is None or past is None:
        return {}, 0
    days = {day: one.expected for day, one in read_days(connection, known, past).items() if one.expected is not None}
    measured = read_buckets(connection, versions, past, hours=DAY_HOURS, version=span.version)
    errors: dict[str, list[float]] = defaultdict(list)
    settled = 0
    for numbers in _settled(days, measured):
        expected = estimator.estimate(np.sum([days[number].sums for number in numbers], axis=0))
        found = measured[numbers[0]].metrics if len(numbers) == 1 else _measure(connection, known, past, numbers)
        settled += len(numbers)
        for name, value in expected.items():
            if name in found:
                errors[name].append(abs(value - found[name]))
    return {name: float(np.mean(found)) for name, found in errors.items()}, settled


def _settled_span(connection: sqlite3.Connection, span: Span) -> Span | None:
    """From the version's oldest to its newest of at most ``PAST_DAYS`` days whose labels are there; None without any.

    Looked for from the span's end backwards, a month at a time, so that no more is read than labels are late.
    """
    end = -(-span.last_hour // DAY_HOURS)
    labelled = {
        day: labels
        for (day, version), labels in labelled_by_day(connection, span.model, first_day=0, last_day=end).items()
        if version == span.version
    }
    found: list[int] = []
    last, first = end, min(labelled, default=end)
    while last > first and len(found) < PAST_DAYS:
        begin = max(first, last - PAST_DAYS)
        predicted = predictions_by_bucket(
            connection, span.model, first_hour=begin * DAY_HOURS, last_hour=last * DAY_HOURS, bucket_hours=DAY_HOURS
        )
        found += sorted(
            (day for day in range(begin, last)
             if 0 < MATURE_COVERAGE * predicted.get((day, span.version), 0) <= labelled.get(day, 0)), reverse=True,
        )  # fmt: skip
        last = begin
    if not found:
        return None
    newest, oldest = found[0], found[:PAST_DAYS][-1]
    return replace(span, first_hour=oldest * DAY_HOURS, last_hour=(newest + 1) * DAY_HOURS)


def _settled(days: Mapping[int, Expected], measured: Mapping[int, BucketFigures]) -> list[list[int]]:
    """Days whose labels are there, those that follow each other together until they have labels enough to judge by."""
    found: list[list[int]] = []
    together: list[int] = []
    for number in sorted(days):
        labels = measured[number].labelled if number in measured else 0
        if labels == 0 or labels < MATURE_COVERAGE * days[number].rows or (together and together[-1] != number - 1):
            together = []
        if labels and labels >= MATURE_COVERAGE * days[number].rows:
            together = [*together, number]
        if sum(measured[one].labelled for one in together) >= MIN_LABELLED:
            found.append(together)
            together = []
    return found


def _measure(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, days: Sequence[int]
) -> Mapping[str, float]:
    """Metrics of the labels of days that follow each other, within the span."""
    first_hour, last_hour = days[0] * DAY_HOURS, (days[-1] + 1) * DAY_HOURS
    part = replace(span, first_hour=max(span.first_hour, first_hour), last_hour=min(span.last_hour, last_hour))
    return read_figures(connection, known, part).metrics


def expected_by_bucket(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, *, bucket_hours: int
) -> dict[int, Expected]:
    """``hour // bucket_hours`` to what is expected of its rows, ascending, of the buckets that have some."""
    if bucket_hours % DAY_HOURS == 0:
        days = read_days(connection, known, span)
        parts = [(day * DAY_HOURS, counted.expected) for day, counted in days.items()]
    else:
        hours = scan_counts(connection, span)
        parts = [(hour, add_hours(known, iter([counts])).expected) for hour, counts in hours]
    found: dict[int, Expected] = {}
    for hour, expected in parts:
        if expected is not None:
            bucket = hour // bucket_hours
            found[bucket] = found[bucket] + expected if bucket in found else expected
    return dict(sorted(found.items()))


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
        part = replace(span, version=version)
        buckets = expected_by_bucket(connection, known, part, bucket_hours=bucket_hours)
        for bucket, expected in buckets.items():
            found[bucket].append((expected.rows, known.estimator.estimate(expected.sums)))
    return {bucket: _weighted(parts) for bucket, parts in found.items()}


def _weighted(parts: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """The metrics that every part has."""
    names = [name for name in parts[0][1] if all(name in metrics for _, metrics in parts)]
    total = sum(rows for rows, _ in parts)
    return {name: sum(rows * metrics[name] for rows, metrics in parts) / total for name in names} if total else {}
