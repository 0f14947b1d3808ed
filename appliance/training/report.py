"""A model on its held-out rows: curves, slices, groups, contributions; values in, the card's data out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.model_evaluation import ClassResult, Contribution, Curve, Cut, Evaluation, Fairness, Segment
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.training.columns import as_kind
from appliance.training.evaluate import area_under_roc, class_results
from appliance.training.fairness import compare_errors, compare_groups, group_codes
from appliance.training.fit import Scorer
from appliance.training.rows import EncodedRows
from appliance.training.table import Table

Floats = NDArray[np.float64]

BINS = 10
POINTS = 100
"""Points that a curve is thinned to."""

CLASS_POINTS = 40
"""The same for each of several classes."""

MOST_CURVES = 10
"""Of several classes, the most frequent ones that have curves of their own."""

CUTS = 51
"""Thresholds spread over [0, 1], and as many over the scores: those of a rare class lie close together."""

SHAP_ROWS = 500
"""Held-out rows that are explained, evenly spaced; each costs as much as hundreds of predictions."""

FEWEST_SLICE_ROWS = 30
WORST = 10
Z_WORST = 3.09
"""Standard errors that chance exceeds once in a thousand times."""

ROUNDING = 1e-12
"""Of a mean loss: what sums of equal losses differ by, and no spread."""

MOST_EXACT = 2.0**53
"""From here on a float64 leaves out whole numbers."""

MOST_FAIR_CLASSES = 10
"""Classes of a multiclass task whose selection rates are compared."""

MOST_SLICES = 20
"""Values of one column that are looked at, the most frequent ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The held-out rows.

    Attributes:
        raw: In the dataset's own types, all columns.
        encoded: The model's inputs.
        truth: Numbers or class indices.
        outputs: Shape ``(rows, outputs)``.
    """

    raw: Table
    encoded: EncodedRows
    truth: Floats
    outputs: Floats


def evaluate_whole(held: Held, schema: FeatureSchema, scorer: Scorer, protected: tuple[str, ...]) -> Evaluation:
    """Everything about a model that its held-out rows say."""
    answers = answered(held.outputs, schema)
    fairness, notes = _fairness(held, schema, answers, protected)
    binary = schema.task is Task.BINARY
    score = held.outputs[:, 0]
    regression = schema.task is Task.REGRESSION
    return Evaluation(
        task=schema.task,
        classes=_classes(held, answers, schema),
        confusion=() if regression else confusion(held.truth, answers, len(schema.classes)),
        cuts=cuts(held.truth, score, schema.threshold) if binary else (),
        roc=roc_curve(held.truth, score) if binary else None,
        precision_recall=precision_recall_curve(held.truth, score) if binary else None,
        calibration=binned(score, held.truth) if binary else None,
        residuals=histogram(score - held.truth) if regression else None,
        predicted=binned(score, held.truth) if regression else None,
        contributions=() if scorer.is_linear else contributions(held.encoded, schema, scorer),
        worst=worst_slices(held, schema), fairness=fairness, notes=notes,
        group_errors=tuple(compare_errors(held.raw[name], score - held.truth) for name in protected)
        if regression else (),
    )  # fmt: skip


def answered(outputs: Floats, schema: FeatureSchema) -> Floats:
    """The value, or the index of the class that is given."""
    if schema.task is Task.MULTICLASS:
        return np.asarray(outputs.argmax(axis=1), dtype=np.float64)
    if schema.task is Task.BINARY:
        return (outputs[:, 0] >= schema.threshold).astype(np.float64)
    return outputs[:, 0]


def confusion(truth: Floats, answers: Floats, classes: int) -> tuple[tuple[int, ...], ...]:
    """Row counts, truth by answer."""
    counts = np.bincount((truth * classes + answers).astype(np.int64), minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())


def _classes(held: Held, answers: Floats, schema: FeatureSchema) -> tuple[ClassResult, ...]:
    if schema.task is Task.REGRESSION:
        return ()
    found = class_results(held.truth, answers, schema.classes)
    return with_curves(found, held.truth, held.outputs) if schema.task is Task.MULTICLASS else found


def with_curves(results: Sequence[ClassResult], truth: Floats, outputs: Floats) -> tuple[ClassResult, ...]:
    """Several classes, each with its AUC, and the most frequent with their curves.

    Args:
        results: One a class, in the outputs' order.
        truth: Class indices, shape ``(rows,)``.
        outputs: A probability a class, shape ``(rows, classes)``.
    """
    ranked = sorted(range(len(results)), key=lambda at: -results[at].rows)
    drawn = set(ranked[:MOST_CURVES])
    return tuple(
        _with_curves(one, (truth == at).astype(np.float64), outputs[:, at], drawn=at in drawn)
        for at, one in enumerate(results)
    )


def _with_curves(found: ClassResult, truth: Floats, score: Floats, *, drawn: bool) -> ClassResult:
    found = msgspec.structs.replace(found, auc=area_under_roc(truth, score))
    if not drawn:
        return found
    return msgspec.structs.replace(
        found, roc=roc_curve(truth, score, points=CLASS_POINTS), calibration=binned(score, truth),
        precision_recall=precision_recall_curve(truth, score, points=CLASS_POINTS),
    )  # fmt: skip


def cuts(truth: Floats, score: Floats, served: float) -> tuple[Cut, ...]:
    """The confusion matrix at thresholds that are spread over [0, 1] and over the scores, and at the served one."""
    even = np.linspace(0.0, 1.0, num=CUTS)
    thresholds = np.unique(np.concatenate([even, np.quantile(score, even), [served]]))
    ordered = np.sort(score)
    positives = np.sort(score[truth == 1])
    given = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
    hits = len(positives) - np.searchsorted(positives, thresholds, side="left")
    return tuple(
        Cut(
            threshold=at, true_positive=hit, false_positive=alarms - hit, false_negative=len(positives) - hit,
            true_negative=len(ordered) - len(positives) - alarms + hit,
        )
        for at, hit, alarms in zip(thresholds.tolist(), hits.tolist(), given.tolist(), strict=True)
    )  # fmt: skip


def roc_curve(truth: Floats, score: Floats, *, points: int = POINTS) -> Curve | None:
    """False positive rate to true positive rate; None with one class only."""
    positives = float(truth.sum())
    if not 0 < positives < len(truth):
        return None
    hits, given = _by_threshold(truth, score)
    alarms = given - hits
    return _thinned(np.append(0.0, alarms / (len(truth) - positives)), np.append(0.0, hits / positives), points)


def precision_recall_curve(truth: Floats, score: Floats, *, points: int = POINTS) -> Curve | None:
    """Recall to precision; None without a positive."""
    if not truth.any():
        return None
    hits, given = _by_threshold(truth, score)
    return _thinned(hits / float(truth.sum()), hits / given, points)


def binned(score: Floats, truth: Floats) -> Curve:
    """Mean score to mean truth in ten bins with as many rows each."""
    parts = [part for part in np.array_split(np.argsort(score, kind="stable"), BINS) if len(part)]
    return Curve(
        x=tuple(float(score[part].mean()) for part in parts), y=tuple(float(truth[part].mean()) for part in parts)
    )


def histogram(values: Floats) -> Curve:
    """Bin middles to row counts, 40 bins between the 0.5th and the 99.5th percentile; the outer ones hold the rest."""
    low, high = np.quantile(values, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), bins=40, range=(low, high))
    return Curve(x=tuple(((edges[:-1] + edges[1:]) / 2).tolist()), y=tuple(counts.astype(np.float64).tolist()))


def contributions(encoded: EncodedRows, schema: FeatureSchema, scorer: Scorer) -> tuple[Contribution, ...]:
    """Each column's share of the mean absolute contributions, the largest first."""
    sample = encoded.pick(np.arange(0, len(encoded), -(-len(encoded) // SHAP_ROWS) or 1))
    sizes = np.abs(scorer.contributions(sample)[:, :, :-1]).mean(axis=(0, 1))
    total = float(sizes.sum())
    shares = (sizes / total if total > 0 else sizes).tolist()
    ranked = sorted(zip(schema.columns, shares, strict=True), key=lambda pair: -pair[1])
    return tuple(Contribution(column=column.name, share=share) for column, share in ranked)


def worst_slices(held: Held, schema: FeatureSchema) -> tuple[Segment, ...]:
    """Slices by one column whose mean loss is above that of all other rows by more than chance, the worst first."""
    losses = row_losses(held.truth, held.outputs, schema.task)
    level = float(losses.mean())
    offsets = losses - level  # around the mean, sums of squares keep their digits
    squares = offsets**2
    whole = _Sums(len(losses), float(offsets.sum()), float(squares.sum()))
    found = []
    for at, column in enumerate(schema.columns):
        if column.kind is Kind.DATETIME:
            continue
        levels, codes = group_codes(_values(held, at, column))
        # Added up in the rows' order, so that the same rows give the same bits.
        rows, offset, square = (np.bincount(codes, weights=weights) for weights in (None, offsets, squares))
        for group in np.argsort(-rows, kind="stable")[:MOST_SLICES].tolist():
            here = _Sums(int(rows[group]), float(offset[group]), float(square[group]))
            segment = _segment(column.name, levels[group], level, here, whole, root=schema.task is Task.REGRESSION)
            if segment is not None and segment.z > Z_WORST:
                found.append(segment)
    return tuple(sorted(found, key=lambda segment: -math.inf if segment.ratio is None else -segment.ratio)[:WORST])


def _values(held: Held, at: int, column: Column) -> pl.Series:
    """A column's values; numbers as they were encoded, which reads no row but the held-out ones."""
    dtype = held.raw.schema[column.name]
    if column.kind is Kind.NUMBER and dtype.is_numeric():
        numbers = pl.Series(column.name, held.encoded.column(at), nan_to_null=True)
        # Whole numbers are told as such, but for those a float64 cannot tell apart.
        whole = dtype.is_integer() and not (numbers.abs() >= MOST_EXACT).any()
        return numbers.cast(pl.Int64) if whole else numbers
    return as_kind(held.raw[column.name], column.kind)


class _Sums(NamedTuple):
    """Rows, and the sums of their losses' distances from the mean loss and of the squares of these."""

    rows: int
    offset: float
    square: float

    def without(self, part: _Sums) -> _Sums:
        """The other rows."""
        return _Sums(self.rows - part.rows, self.offset - part.offset, self.square - part.square)

    @property
    def mean(self) -> float:
        return self.offset / self.rows

    @property
    def error(self) -> float:
        """The standard error of the mean, squared."""
        return max(0.0, self.square - self.offset * self.mean) / (self.rows - 1) / self.rows


def row_losses(truth: Floats, outputs: Floats, task: Task) -> Floats:
    """Squared error, or -ln of the probability that the truth was given; shape ``(rows,)``."""
    if task is Task.REGRESSION:
        return np.asarray((outputs[:, 0] - truth) ** 2, dtype=np.float64)
    if task is Task.BINARY:
        picked = np.where(truth == 1, outputs[:, 0], 1.0 - outputs[:, 0])
    else:
        picked = outputs[np.arange(len(truth)), truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(picked, 1e-15, 1.0)), dtype=np.float64)


def _segment(column: str, value: str, level: float, here: _Sums, whole: _Sums, *, root: bool) -> Segment | None:
    there = whole.without(here)
    if min(here.rows, there.rows) < FEWEST_SLICE_ROWS:
        return None
    mean, other = level + here.mean, level + there.mean
    error = math.sqrt(here.error + there.error)
    if error <= ROUNDING * level or mean <= other:
        return None
    ratio = None if other <= ROUNDING * level else mean / other
    return Segment(
        column=column, value=value, rows=here.rows, loss=mean**0.5 if root else mean,
        ratio=ratio**0.5 if root and ratio is not None else ratio, z=(mean - other) / error,
    )  # fmt: skip


def _fairness(
    held: Held, schema: FeatureSchema, answers: Floats, protected: tuple[str, ...]
) -> tuple[tuple[Fairness, ...], tuple[str, ...]]:
    if not protected:
        return (), ("no protected column is declared, so fairness is not measured",)
    if schema.task is Task.REGRESSION:
        return (), ()
    if schema.task is Task.BINARY:
        return tuple(compare_groups(held.raw[name], held.truth == 1, answers == 1) for name in protected), ()
    found = []
    for name in protected:
        column = held.raw[name]
        for at, label in enumerate(schema.classes[:MOST_FAIR_CLASSES]):
            found.append(compare_groups(column, held.truth == at, answers == at, outcome=label))
    beyond = len(schema.classes) - MOST_FAIR_CLASSES
    notes = (f"fairness leaves out the last {beyond} classes",) if beyond > 0 else ()
    return tuple(found), notes


def _by_threshold(truth: Floats, score: Floats) -> tuple[Floats, Floats]:
    """True positives, and rows given the positive class, from each distinct score on, falling."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return np.cumsum(truth[order])[ends].astype(np.float64), ends + 1.0


def _thinned(x: Floats, y: Floats, points: int) -> Curve:
    picked = np.unique(np.linspace(0, len(x) - 1, num=min(points, len(x)), dtype=np.int64))
    return Curve(x=tuple(x[picked].tolist()), y=tuple(y[picked].tolist()))
