"""The training reference of a model version: bins, counts and quality, stored as ``reference.json`` in its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from appliance.errors import BadInput
from appliance.monitoring.bins import (
    LARGE,
    QUANTILES,
    Bins,
    EdgeBins,
    Floats,
    Ints,
    ValueBins,
    fit_levels,
    fit_number,
    level_counts,
    quantiles,
)
from appliance.monitoring.estimates import Estimation, fit_estimation
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.training.encode import encode_rows
from appliance.training.rows import EncodedRows
from appliance.training.target import class_names

PREDICTION = "prediction"
LABEL = "label"
PREDICTED_CLASS = "predicted_class"
CONFIDENCE = "confidence"

_SUMMARY = (0.05, 0.25, 0.5, 0.75, 0.95)

MOST_SORTED = 1_000_000
"""Values whose quantiles are sought; of more, of so many drawn from them: an edge is off by at most 0.05 % of the rows
(standard deviation), where a bin holds 10 %. What falls into the bins is counted in all rows."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The non-null values of a column with numbers.

    Attributes:
        quantiles: Those of 5, 25, 50, 75 and 95 %; of more than ``MOST_SORTED`` values, of so many of them.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]


class ColumnReference(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the reference.

    Attributes:
        counts: Rows a bin, nulls last; their sum is the reference's rows.
        supposed: How many of the unseen rows are no rows but Good and Turing's mass, taken out of the rarer; None in
            older versions, where all of them are.
        centers: Mean of the rows of each bin but the null bin, ascending; empty for categories.
        summary: None for categories and for columns without values.
    """

    name: str
    kind: Kind
    bins: Bins
    counts: tuple[int, ...]
    centers: tuple[float, ...] = ()
    summary: Summary | None = None
    supposed: int | None = None


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a model version's traffic is held against.

    Attributes:
        rows: Training rows.
        columns: In model order.
        prediction: The value, the positive class's probability, or, when multiclass, the class given.
        label: The truth of the same rows.
        quality: Metrics on the holdout.
        importance: Column name to its share of the gain; empty when unknown.
        estimation: What estimates before labels need; None for small holdouts and older versions.
        protected: The schema's protected columns that are no inputs, in its order.
        watched: Every column that is declared protected, inputs or not.
        other_output: What the prediction does not say of the answer: the class given when binary, its probability when
            multiclass; None for numbers and for older versions.
    """

    rows: int
    columns: tuple[ColumnReference, ...]
    prediction: ColumnReference
    label: ColumnReference
    quality: dict[str, float]
    importance: dict[str, float] = {}
    estimation: Estimation | None = None
    protected: tuple[ColumnReference, ...] = ()
    watched: tuple[str, ...] = ()
    other_output: ColumnReference | None = None
    format: int = 1


def fit_reference(
    frame: pl.DataFrame,
    schema: FeatureSchema,
    *,
    outputs: Floats,
    labels: pl.Series,
    quality: Mapping[str, float],
    importance: Mapping[str, float] | None = None,
) -> Reference:
    """Fit the bins of every column, of the score and of the label, and count the training rows into them.

    Args:
        frame: The training rows, with at least the schema's columns, in the dataset's own types.
        schema: What the model takes and gives.
        outputs: Shape ``(n, schema.outputs)`` or ``(n,)``: value, probability of the positive class, or a probability
            a class. Best the holdout's: a model is surer of the rows it learned from, and that difference is not drift.
        labels: The truth of the rows of ``outputs`` (any length): numbers for regression, else classes.
        quality: Metrics on the holdout.
        importance: Column name to gain; weights the dataset verdict.

    Raises:
        BadTable: A column of the schema is missing or cannot be read as its kind.
        BadInput: The table has no rows.
    """
    inputs = fit_columns(encode_rows(frame, schema, scratch=None), schema)
    return assemble_reference(inputs, schema, outputs=outputs, labels=labels, quality=quality, importance=importance)


class TrainingColumns(NamedTuple):
    """What ``fit_columns`` found in so many training rows."""

    rows: int
    columns: tuple[ColumnReference, ...]


def fit_columns(rows: EncodedRows, schema: FeatureSchema) -> TrainingColumns:
    """Each column of the schema, of encoded rows, one in memory at a time.

    Raises:
        BadInput: There are no rows.
    """
    if len(rows) == 0:
        raise BadInput("a reference needs rows: the training table is empty")
    return TrainingColumns(
        len(rows), tuple(fit_column(column, rows.column(index)) for index, column in enumerate(schema.columns))
    )


def assemble_reference(
    inputs: TrainingColumns,
    schema: FeatureSchema,
    *,
    outputs: Floats,
    labels: pl.Series,
    quality: Mapping[str, float],
    importance: Mapping[str, float] | None = None,
) -> Reference:
    """A reference of columns that ``fit_columns`` looked at.

    Args:
        inputs: As it gave them.
        schema: As for ``fit_reference``, like all that follow.
    """
    gain = sum((importance or {}).values())
    given = np.asarray(outputs, np.float64)
    truth = _label_values(labels, schema)
    other, watched = other_column(schema), watched_outputs(given, schema)
    return Reference(
        rows=inputs.rows,
        columns=inputs.columns,
        prediction=fit_column(prediction_column(schema), watched[0]),
        other_output=None if other is None else fit_column(other, watched[1]),
        label=fit_column(label_column(schema), truth),
        quality={name: float(value) for name, value in quality.items()},
        importance={name: value / gain for name, value in (importance or {}).items()} if gain > 0 else {},
        estimation=fit_estimation(schema, given.reshape(-1, schema.outputs), truth),
    )


def with_groups(
    reference: Reference, schema: FeatureSchema, values: Sequence[Floats], watched: tuple[str, ...]
) -> Reference:
    """The reference with what fairness is judged by.

    Args:
        reference: Of the inputs.
        schema: Names the protected columns that are no inputs.
        values: Their training rows, encoded, each of shape ``(rows,)``.
        watched: Every column that is declared protected, inputs or not.
    """
    protected = tuple(fit_column(column, one) for column, one in zip(schema.protected, values, strict=True))
    return msgspec.structs.replace(reference, protected=protected, watched=watched)


def fit_column(column: Column, values: Floats) -> ColumnReference:
    """Bins, counts and summary of one encoded column, shape ``(rows,)``; NaN is null, nothing is infinite."""
    if column.kind is Kind.CATEGORY:
        levels = fit_levels(values, column.levels)
        found, supposed = level_counts(levels, values)
        return ColumnReference(
            name=column.name, kind=column.kind, bins=levels, counts=tuple(found.tolist()), supposed=supposed
        )  # fmt: skip
    null = np.isnan(values)
    present = values[~null] if null.any() else values
    largest = float(max(-present.min(), present.max())) if len(present) else 0.0
    # One search for all of them: each of its own would go through the rows again.
    points = (*QUANTILES, *_SUMMARY)
    spread = quantiles(_some(present), points, largest=largest) if len(present) else np.empty(0)
    bins = fit_number(present, column.kind, spread[: len(QUANTILES)])
    index = bins.index(values)
    counts = np.bincount(index, minlength=bins.size)
    return ColumnReference(
        name=column.name,
        kind=column.kind,
        bins=bins,
        counts=tuple(counts.tolist()),
        centers=_centers(bins, index, values, counts, largest=largest),
        summary=_summary(present, spread[len(QUANTILES) :], largest=largest) if len(present) else None,
    )


def _some(values: Floats) -> Floats:
    """All of them, or ``MOST_SORTED`` drawn with replacement, always the same places."""
    if len(values) <= MOST_SORTED:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), MOST_SORTED)]


def prediction_column(schema: FeatureSchema) -> Column:
    """The prediction as a column: a number, or a category when multiclass."""
    if schema.task is Task.MULTICLASS:
        return Column(name=PREDICTION, kind=Kind.CATEGORY, levels=schema.classes)
    return Column(name=PREDICTION, kind=Kind.NUMBER)


def other_column(schema: FeatureSchema) -> Column | None:
    """What is watched beside the prediction: the class given when binary, its probability when multiclass."""
    match schema.task:
        case Task.BINARY:
            return Column(name=PREDICTED_CLASS, kind=Kind.CATEGORY, levels=schema.classes)
        case Task.MULTICLASS:
            return Column(name=CONFIDENCE, kind=Kind.NUMBER)
        case Task.REGRESSION:
            return None


def label_column(schema: FeatureSchema) -> Column:
    """The label as a column: a number for regression, else a category."""
    if schema.task is Task.REGRESSION:
        return Column(name=LABEL, kind=Kind.NUMBER)
    return Column(name=LABEL, kind=Kind.CATEGORY, levels=schema.classes)


def predicted(outputs: Floats, schema: FeatureSchema) -> Floats:
    """The prediction column of raw outputs, shape ``(n, schema.outputs)`` or ``(n,)``, as float64 ``(n,)``."""
    rows = outputs.reshape(-1, schema.outputs)
    if schema.task is Task.MULTICLASS:
        given: Floats = rows.argmax(axis=1).astype(np.float64)
        return given
    first: Floats = rows[:, 0]
    return first


def watched_outputs(outputs: Floats, schema: FeatureSchema) -> Floats:
    """The prediction column of raw outputs, and below it the other one that is watched, shape ``(1 or 2, n)``."""
    given = predicted(outputs, schema)
    match schema.task:
        case Task.BINARY:
            return np.vstack((given, given >= schema.threshold))
        case Task.MULTICLASS:
            return np.vstack((given, outputs.reshape(-1, schema.outputs).max(axis=1)))
        case Task.REGRESSION:
            return given[None, :]


def dump_reference(reference: Reference) -> bytes:
    """The content of ``reference.json``."""
    return msgspec.json.encode(reference)


def parse_reference(content: bytes) -> Reference:
    """Read ``reference.json``.

    Raises:
        BadInput: It is not one.
    """
    try:
        return msgspec.json.decode(content, type=Reference)
    except msgspec.DecodeError as exc:
        raise BadInput(f"reference.json cannot be read: {exc}; train the model again") from exc


def _label_values(labels: pl.Series, schema: FeatureSchema) -> Floats:
    if schema.task is Task.REGRESSION:
        numbers: Floats = labels.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return numbers
    codes = {name: float(code) for code, name in enumerate(schema.classes)}
    names = class_names(labels)
    encoded = names.replace_strict(codes, default=-1.0, return_dtype=pl.Float64)
    values: Floats = encoded.set(names.is_null(), float("nan")).to_numpy().astype(np.float64)
    return values


def _summary(present: Floats, points: Floats, *, largest: float) -> Summary:
    # Sums of values this large overflow; those of their shares of the largest do not.
    scale = largest if largest >= LARGE else 1.0
    scaled = present / scale if scale > 1.0 else present
    return Summary(
        mean=float(scaled.mean()) * scale,
        std=float(scaled.std()) * scale,
        minimum=float(present.min()),
        maximum=float(present.max()),
        quantiles=tuple(points.tolist()),
    )


def _centers(
    bins: ValueBins | EdgeBins, index: Ints, values: Floats, counts: Ints, *, largest: float
) -> tuple[float, ...]:
    """Mean of each bin's rows; an empty end bin lies on its edge."""
    if isinstance(bins, ValueBins):
        return bins.values
    rows = counts[:-1]  # the nulls' sum is NaN, and theirs alone
    # Divided before they are added where their sum would overflow.
    scale = len(values) if largest >= LARGE else 1
    sums = np.bincount(index, weights=values / scale if scale > 1 else values, minlength=bins.size)[:-1]
    edges = np.asarray((*bins.edges, bins.edges[-1]))
    return tuple(np.where(rows > 0, sums / np.maximum(rows, 1) * scale, edges).tolist())
