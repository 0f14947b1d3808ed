"""Judged spans: a version's counted hours and labels, read from the database and held against its reference."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from appliance.errors import NotFound
from appliance.model_evaluation import ClassResult
from appliance.monitoring.bins import NULL_LABEL, Ints
from appliance.monitoring.day_counts import Counted, read_days
from appliance.monitoring.drift import column_drift, dataset_drift
from appliance.monitoring.drift_report import ColumnDrift, DriftReport
from appliance.monitoring.foresight import estimate_span
from appliance.monitoring.intervals import wilson
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE, judge_quality
from appliance.monitoring.quality_report import ClassQuality, QualityReport, SegmentReport, VersionQuality
from appliance.monitoring.reference import ColumnReference, Reference, other_column
from appliance.monitoring.row_figures import RowFigures, read_columns, read_figures
from appliance.monitoring.segments import judge_fairness
from appliance.monitoring.spans import Pair, Span, State
from appliance.monitoring.windows import WindowCounts, add_up
from storage.window_rows import predictions_by_bucket


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
    label = judge_label(read_figures(connection, known, span), known) if labels else None
    return DriftReport(
        model=span.model,
        version=span.version,
        window=span.window,
        rows=Pair(reference=held.rows, current=counts.rows),
        columns=tuple(columns),
        dataset=dataset_drift(columns, known.reference.importance or None),
        prediction=prediction,
        label=label,
        other_output=_judge_other(known, held, counts),
    )


def _judge_other(known: KnownVersion, held: Reference, counts: WindowCounts) -> ColumnDrift | None:
    """The output that is watched beside the prediction; of a version from before it was, that this cannot be told."""
    column = other_column(known.schema)
    if column is None:
        return None
    found = known.counter.split_other(counts)
    if found is None or held.other_output is None:
        return ColumnDrift(
            name=column.name, kind=column.kind.value, rows=Pair(reference=0, current=counts.rows), psi=None,
            noise_floor=None, js=None, wasserstein=None, ks=None, null_share=Pair(reference=0.0, current=0.0),
            unseen_share=0.0, moved_bin=None, state=State.NOT_ENOUGH_DATA,
            sentence=f"`{column.name}` is not in this version's reference: train the model again to watch it.",
        )  # fmt: skip
    _, cells, total = found
    return column_drift(held.other_output, cells, total=total)


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
    return sum_days(known, read_days(connection, known, span))


def sum_days(known: KnownVersion, days: Mapping[int, Counted]) -> WindowCounts:
    """The sum of counted days."""
    return add_up(known.counter.empty(), (day.counts for day in days.values()))


def judge_label(figures: RowFigures, known: KnownVersion) -> ColumnDrift | None:
    """The labels of a span by the drift rule; None without any."""
    if len(figures) == 0:
        return None
    counts, total = figures.truth
    return column_drift(known.reference.label, np.array(counts, np.int64), total=total)


def quality_by_version(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, *, shadow: bool = False
) -> dict[int, tuple[VersionQuality, RowFigures]]:
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
    found = {}
    for version in sorted(rows):
        known = versions.find(span.model, version)
        if known is not None:
            figures = read_figures(connection, known, span, shadow=shadow)
            coverage = min(1.0, len(figures) / rows[version])
            quality = VersionQuality(
                labelled=len(figures), predicted=rows[version], coverage=coverage,
                mature=coverage >= MATURE_COVERAGE, metrics=figures.metrics,
            )  # fmt: skip
            found[version] = quality, figures
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
    found = read_columns(connection, known, span, names) if names else {}
    return tuple(
        SegmentReport(
            model=span.model, version=span.version, window=span.window, column=name, segments=found[name].segments,
            unknown=found[name].unknown, fairness=judge_fairness(name, found[name].segments),
        )
        for name in names
    )  # fmt: skip


def _classes(figures: RowFigures, holdout: Sequence[ClassResult]) -> tuple[ClassQuality, ...]:
    """Each class with the intervals of its shares, beside the holdout's."""
    before = {one.name: one for one in holdout}
    found = []
    for one in figures.classes:
        hits = 0.0 if one.recall is None else one.recall * one.rows
        shares = {"precision": one.given, "recall": one.rows}
        intervals = {name: wilson(hits, rows) for name, rows in shares.items() if rows}
        found.append(ClassQuality(now=one, intervals=intervals, holdout=before.get(one.name)))
    return tuple(found)


def _selection(known: KnownVersion, figures: RowFigures, counts: WindowCounts) -> str | None:
    """Whether the labelled predictions are like all of them, by the drift rule on the prediction; None when they are.

    Metrics of the labelled rows say little about the others when only some kinds of rows get a label.
    """
    cells = known.counter.split(counts)[-1][1]
    part, total = np.array(figures.given[0], np.int64), figures.given[1]
    rest = cells - part
    if (rest < 0).any() or rest.sum() == 0 or len(figures) == 0:
        return None
    found = column_drift(
        replace(known.reference.prediction, counts=tuple(rest.tolist()), supposed=0), part, total=total
    )
    return found.sentence if found.state in (State.WARN, State.ALARM) else None


def judge_span_quality(
    connection: sqlite3.Connection,
    versions: KnownVersions,
    span: Span,
    baseline: dict[str, float],
    *,
    estimated: bool = False,
) -> QualityReport:
    """Metrics, coverage and verdict of a span's labelled predictions; ``estimated``: what was expected of all, too.

    Raises:
        NotFound: The version's bundle cannot be read.
    """
    known = versions.find(span.model, span.version)
    if known is None:
        raise NotFound(f"version {span.version} of model {span.model!r} has no readable bundle")
    figures = read_figures(connection, known, span)
    predicted = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=1
    )
    rows = sum(count for (_, version), count in predicted.items() if version == span.version)
    coverage = min(1.0, len(figures) / rows) if rows else 0.0
    mature = coverage >= MATURE_COVERAGE
    holdout_rows = sum(known.reference.label.counts)
    verdict = judge_quality(
        known.schema, figures.loss, known.reference.quality, holdout_rows=holdout_rows, mature=mature
    )
    delays = figures.delay_s or (None, None)
    days = read_days(connection, known, span) if estimated else {}
    return QualityReport(
        model=span.model,
        version=span.version,
        window=span.window,
        labelled=len(figures),
        predicted=rows,
        coverage=coverage,
        metrics=figures.metrics,
        reference=known.reference.quality,
        baseline=baseline,
        mature=mature,
        delay_p50_s=delays[0],
        delay_p95_s=delays[1],
        state=verdict.state,
        sentence=verdict.sentence,
        estimate=estimate_span(connection, versions, span, days) if estimated else None,
        intervals=figures.intervals,
        classes=_classes(figures, versions.holdout_classes(span.model, span.version) if figures.classes else ()),
        selection=_selection(known, figures, sum_days(known, days)) if estimated else None,
    )
