"""Everything that is said of one version's labelled rows in a span, as figures that are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec
import numpy as np

from appliance.model_evaluation import ClassResult
from appliance.monitoring.answers import Answers
from appliance.monitoring.bins import Ints
from appliance.monitoring.intervals import Interval, find_intervals
from appliance.monitoring.known import KnownVersion
from appliance.monitoring.labelled_rows import Cells
from appliance.monitoring.outcomes import UNTOLD
from appliance.monitoring.quality import Labelled, Loss, find_loss, measure
from appliance.monitoring.reference import predicted
from appliance.monitoring.segments import Segment, judge_segments
from appliance.monitoring.spans import Span
from appliance.monitoring.windows import HOUR_US
from appliance.schema import Task
from appliance.training.evaluate import class_results
from storage.figures import stamp_of
from storage.statedb import snapshot

MOST_SPANS = 64
"""Spans of one version whose figures are kept."""


class RowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What labelled rows amount to.

    Attributes:
        metrics: Exact; empty without rows, a metric that is undefined is left out.
        intervals: Metric to its 95 % interval.
        delay_s: Half and 19 of 20 labels came within so many seconds; None without rows.
        given: The predictions over their reference's bins, and their sum.
        truth: The labels over theirs, and their sum.
        classes: More than two classes: each against the others; else empty.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    delay_s: tuple[float, float] | None
    loss: Loss
    given: tuple[list[int], float]
    truth: tuple[list[int], float]
    classes: tuple[ClassResult, ...] = ()

    def __len__(self) -> int:
        return self.loss.rows


class ColumnFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled rows by the bins of a column, and how many lie in none."""

    segments: tuple[Segment, ...]
    unknown: int


def figures_of(known: KnownVersion, labelled: Labelled) -> RowFigures:
    """Work them out."""
    schema, reference = known.schema, known.reference
    delays = np.quantile(labelled.delay_s, (0.5, 0.95)).tolist() if len(labelled) else None
    given = predicted(labelled.outputs, schema)
    several = schema.task is Task.MULTICLASS and len(labelled) > 0
    return RowFigures(
        metrics=measure(schema, labelled),
        intervals=find_intervals(schema.task, labelled.truth, labelled.outputs, threshold=schema.threshold),
        delay_s=None if delays is None else (delays[0], delays[1]),
        loss=find_loss(schema.task, labelled),
        given=(_counts(reference.prediction.bins.index(given), reference.prediction.bins.size), float(given.sum())),
        truth=(
            _counts(reference.label.bins.index(labelled.truth), reference.label.bins.size), float(labelled.truth.sum())
        ),
        classes=class_results(labelled.truth, labelled.outputs.argmax(axis=1), schema.classes) if several else (),
    )  # fmt: skip


def read_figures(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, *, shadow: bool = False
) -> RowFigures:  # fmt: skip
    """The figures of a version's labelled rows in a span, whatever version the span names."""
    first_us, last_us = span.first_hour * HOUR_US, span.last_hour * HOUR_US
    with snapshot(connection):
        stamps = known.rows.stamps(connection, first_us=first_us, last_us=last_us, shadow=shadow)
        answers = Answers(known.figures / f"spans{'-shadow' if shadow else ''}.answers", most=MOST_SPANS)
        key, stamp = f"{span.first_hour}-{span.last_hour}", stamp_of(known.bundle, sorted(stamps.items()))
        found = answers.find(key, stamp, RowFigures)
        if found is None:
            labelled = known.rows.read(connection, first_us=first_us, last_us=last_us, shadow=shadow)
            found = figures_of(known, labelled)
            answers.put(key, stamp, found)
    answers.save()
    return found


def read_columns(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, names: Sequence[str]
) -> dict[str, ColumnFigures]:
    """Column to its figures: inputs, or protected columns that are none; all of them are the version's."""
    first_us, last_us = span.first_hour * HOUR_US, span.last_hour * HOUR_US
    with snapshot(connection):
        stamps = known.rows.stamps(connection, first_us=first_us, last_us=last_us)
        answers = Answers(known.figures / "columns.answers", most=MOST_SPANS * max(1, len(names)))
        stamp = stamp_of(known.bundle, sorted(stamps.items()))
        keys = {name: f"{span.first_hour}-{span.last_hour} {name}" for name in names}
        kept = {name: answers.find(key, stamp, ColumnFigures) for name, key in keys.items()}
        found = {name: one for name, one in kept.items() if one is not None}
        if missing := [name for name in names if name not in found]:
            columns = [*known.reference.columns, *known.reference.protected]
            places = [[one.name for one in columns].index(name) for name in missing]
            labelled, cells = known.rows.read_cells(connection, first_us=first_us, last_us=last_us, places=places)
            for name, place, of in zip(missing, places, cells, strict=True):
                found[name] = _by_cell(known, columns[place].bins.labels(), labelled, of)
                answers.put(keys[name], stamp, found[name])
    answers.save()
    return found


def _by_cell(known: KnownVersion, labels: Sequence[str], labelled: Labelled, cells: Cells) -> ColumnFigures:
    groups = ((label, labelled.where(cells == cell)) for cell, label in enumerate(labels))
    unknown = int(np.sum((cells < 0) | (cells == UNTOLD)))
    return ColumnFigures(segments=judge_segments(known.schema, groups), unknown=unknown)


def _counts(index: Ints, size: int) -> list[int]:
    counted: list[int] = np.bincount(index, minlength=size).tolist()
    return counted
