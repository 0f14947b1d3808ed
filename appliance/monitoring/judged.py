"""Judged spans: a version's counted hours and labels, read from the database and held against its reference."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from appliance.errors import NotFound
from appliance.monitoring.bins import NULL_LABEL, Bins, Ints
from appliance.monitoring.drift import column_drift, dataset_drift
from appliance.monitoring.drift_report import ColumnDrift, DriftReport
from appliance.monitoring.foresight import estimate_span
from appliance.monitoring.intervals import Interval, find_intervals
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.outcomes import UNTOLD
from appliance.monitoring.quality import MATURE_COVERAGE, Labelled, judge_quality, labelled_of, measure
from appliance.monitoring.quality_report import QualityReport, SegmentReport, VersionQuality
from appliance.monitoring.reference import ColumnReference, Reference, predicted
from appliance.monitoring.segments import judge_fairness, judge_segments
from appliance.monitoring.spans import Pair, Span, State
from appliance.monitoring.windows import HOUR_US, WindowCounts, add_up, parse_counts
from storage.outcome_rows import Outcome, scan_outcomes
from storage.window_rows import predictions_by_bucket, scan_feature_windows


def judge_drift(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, *, labels: bool = True,
    reference: Reference | None = None, faults: Mapping[str, str] | None = None,
) -> DriftReport:  # fmt: skip
    """Every column, the prediction and the label of a span by the drift rule; labels are read when asked for.

    Args:
        connection: The state database.
        known: The version.
        span: The hours judged.
        labels: Judge them too.
        reference: Over the version's own bins; the training's when left out.
        faults: Column name to what is wrong with it in the reference.
    """
    held = reference or known.reference
    counts = read_counts(connection, known, span)
    cells = [(cells, total) for _, cells, total in known.counter.split(counts)]
    *columns, prediction = [
        judge_column(known, column, cells, total=total)
        for column, (cells, total) in zip((*held.columns, held.prediction), cells, strict=True)
    ]
    for at, column in enumerate(columns):
        if faults and (fault := faults.get(column.name)):
            columns[at] = dataclasses.replace(
                column, sentence=f"`{column.name}`: {fault}.", faults=(*column.faults, fault)
            )  # fmt: skip
    label = judge_label(read_labelled(connection, known, span), known) if labels else None
    return DriftReport(
        model=span.model,
        version=span.version,
        window=span.window,
        rows=Pair(reference=held.rows, current=counts.rows),
        columns=tuple(columns),
        dataset=dataset_drift(columns, known.reference.importance or None),
        prediction=prediction,
        label=label,
    )


def judge_column(known: KnownVersion, reference: ColumnReference, cells: Ints, *, total: float) -> ColumnDrift:
    """One column of a version's rows by the drift rule.

    The column that orders the rows moves with every new row; only that it is missing more often is drift of it.

    Args:
        known: The version.
        reference: What the column is held against.
        cells: Counted rows, shape ``(bins,)``.
        total: The values' sum.
    """
    found = column_drift(reference, cells, total=total)
    is_time = found.name == known.schema.time_column
    if not is_time or found.state not in (State.WARN, State.ALARM) or found.moved_bin == NULL_LABEL:
        return found
    sentence = f"`{found.name}` orders the rows: that newer rows are later is no drift."
    return dataclasses.replace(found, state=State.OK, sentence=sentence)


def read_counts(connection: sqlite3.Connection, known: KnownVersion, span: Span) -> WindowCounts:
    """The sum of the span's windows."""
    stored = scan_feature_windows(
        connection, span.model, span.version, first_hour=span.first_hour, last_hour=span.last_hour
    )
    windows = (parse_counts(content) for content in stored)
    return add_up(known.counter.empty(), (counts for counts in windows if known.counter.fits(counts)))


def judge_label(labelled: Labelled, known: KnownVersion) -> ColumnDrift | None:
    """The labels of a span by the drift rule; None without any."""
    if len(labelled) == 0:
        return None
    return column_drift(known.reference.label, label_counts(labelled, known), total=float(labelled.truth.sum()))


def label_counts(labelled: Labelled, known: KnownVersion) -> Ints:
    """The labels of a span over the label's bins."""
    bins = known.reference.label.bins
    return np.bincount(bins.index(labelled.truth), minlength=bins.size)


def read_labelled(connection: sqlite3.Connection, known: KnownVersion, span: Span) -> Labelled:
    """The labelled predictions of a span."""
    return labelled_of(_scan(connection, span, version=span.version), known.schema)


def quality_by_version(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, *, shadow: bool = False
) -> dict[int, tuple[VersionQuality, Labelled]]:
    """Every version's labelled predictions in the span, whatever the span's own: answers, or those of shadows.

    The labels of a version are held against what it predicted itself, by its own classes. A version whose bundle cannot
    be read is left out.
    """
    predicted = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=1, shadow=shadow
    )
    rows: Counter[int] = Counter()
    for (_, version), count in predicted.items():
        rows[version] += count
    outcomes: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in _scan(connection, span, shadow=shadow) if rows else ():
        outcomes[outcome.version].append(outcome)
    found = {}
    for version in sorted(rows):
        known = versions.find(span.model, version)
        if known is not None:
            labelled = labelled_of(outcomes[version], known.schema)
            coverage = min(1.0, len(labelled) / rows[version])
            quality = VersionQuality(
                labelled=len(labelled), predicted=rows[version], coverage=coverage,
                mature=coverage >= MATURE_COVERAGE, metrics=measure(known.schema, labelled),
            )  # fmt: skip
            found[version] = quality, labelled
    return found


def judge_by_columns(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, names: Sequence[str]
) -> tuple[SegmentReport, ...]:
    """The span's labelled predictions by the bins of each input column, or of protected ones that are no inputs.

    Raises:
        NotFound: The version has no such column.
    """
    columns = (*known.reference.columns, *known.reference.protected)
    there = [one.name for one in columns]
    for name in names:
        if name not in there:
            beside = f", its protected columns beside them {', '.join(there[known.counter.inputs :])}"
            raise NotFound(
                f"model {span.model!r} has no input {name!r}; its inputs are {', '.join(there[: known.counter.inputs])}"
                + (beside if known.reference.protected else "")
            )
    outcomes = list(_scan(connection, span, version=span.version)) if names else []
    return tuple(
        _judge_by_cell(known, span, name, there.index(name), columns[there.index(name)].bins, outcomes)
        for name in names
    )


def _judge_by_cell(
    known: KnownVersion, span: Span, name: str, position: int, bins: Bins, outcomes: Sequence[Outcome]
) -> SegmentReport:
    by_cell: dict[int, list[Outcome]] = defaultdict(list)
    unknown = 0
    for outcome in outcomes:
        if position < len(outcome.cells) and outcome.cells[position] != UNTOLD:
            by_cell[outcome.cells[position]].append(outcome)
        else:
            unknown += 1
    groups = [(label, labelled_of(by_cell[cell], known.schema)) for cell, label in enumerate(bins.labels())]
    segments = judge_segments(known.schema, groups)
    return SegmentReport(
        model=span.model, version=span.version, window=span.window, column=name, segments=segments,
        unknown=unknown, fairness=judge_fairness(name, segments),
    )  # fmt: skip


def judge_selection(known: KnownVersion, labelled: Labelled, counts: WindowCounts) -> str | None:
    """Whether the labelled predictions are like all of them, by the drift rule on the prediction; None when they are.

    Metrics of the labelled rows say little about the others when only some kinds of rows get a label.
    """
    prediction = known.reference.prediction
    cells = known.counter.split(counts)[-1][1]
    given = predicted(labelled.outputs, known.schema)
    part = np.bincount(prediction.bins.index(given), minlength=prediction.bins.size)
    rest = cells - part
    if (rest < 0).any() or rest.sum() == 0 or len(labelled) == 0:
        return None
    found = column_drift(replace(prediction, counts=tuple(rest.tolist())), part, total=float(given.sum()))
    return found.sentence if found.state in (State.WARN, State.ALARM) else None


def _scan(
    connection: sqlite3.Connection, span: Span, *, version: int | None = None, shadow: bool = False
) -> Iterator[Outcome]:
    return scan_outcomes(
        connection, span.model, first_us=span.first_hour * HOUR_US, last_us=span.last_hour * HOUR_US, version=version,
        shadow=shadow,
    )  # fmt: skip


def judge_span_quality(
    connection: sqlite3.Connection,
    known: KnownVersion,
    span: Span,
    baseline: dict[str, float],
    labelled: Labelled | None = None,
    *,
    estimated: bool = False,
) -> QualityReport:
    """Metrics, coverage and verdict of a span's labelled predictions, which are read when they are not given.

    With ``estimated``, also what was expected of all its predictions.
    """
    if labelled is None:
        labelled = read_labelled(connection, known, span)
    predicted = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=1
    )
    rows = sum(count for (_, version), count in predicted.items() if version == span.version)
    coverage = min(1.0, len(labelled) / rows) if rows else 0.0
    mature = coverage >= MATURE_COVERAGE
    verdict = judge_quality(
        known.schema,
        labelled,
        known.reference.quality,
        holdout_rows=sum(known.reference.label.counts),
        mature=mature,
    )
    estimate = estimate_span(connection, known, span, labelled) if estimated else None
    delays = np.quantile(labelled.delay_s, (0.5, 0.95)).tolist() if len(labelled) else (None, None)
    return QualityReport(
        model=span.model,
        version=span.version,
        window=span.window,
        labelled=len(labelled),
        predicted=rows,
        coverage=coverage,
        metrics=measure(known.schema, labelled),
        reference=known.reference.quality,
        baseline=baseline,
        mature=mature,
        delay_p50_s=delays[0],
        delay_p95_s=delays[1],
        state=verdict.state,
        sentence=verdict.sentence,
        estimate=estimate,
        intervals=_intervals(known, labelled),
        selection=judge_selection(known, labelled, read_counts(connection, known, span)) if estimated else None,
    )


def _intervals(known: KnownVersion, labelled: Labelled) -> dict[str, Interval]:
    schema = known.schema
    return find_intervals(schema.task, labelled.truth, labelled.outputs, threshold=schema.threshold)
