"""The target: what is predicted, read off its values, and its rows as numbers for LightGBM."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.schema import Task
from appliance.training.kinds import are_amounts, first_amount, told_type
from appliance.training.precedent import Precedent
from appliance.training.table import RawRows

MOST_CLASSES = 20
"""A number with more distinct values is a quantity, not a class."""

MOST_TEXT_CLASSES = 200
"""A text target with more distinct values is no set of classes."""

WHOLE_BELOW = 2.0**63
"""A float from here on has no place among the 64-bit whole numbers."""

FEWEST_OF_A_CLASS = 5
"""Whole numbers with fewer rows a value on average are a quantity, not classes."""

PLAIN_CLASSES = 10
"""More whole numbers than these are a quantity as well where the rarest has fewer rows than that: counts thin out."""

LARGEST = 1e37
"""A regression's target lies below, with room for sums: LightGBM keeps it in 32 bits, which end at 3.4e38."""

MOST_NAMED = 3
"""Values that do not fit, of which a sentence names the most frequent."""

FEWEST_ROWS = 20
"""Labelled rows a training needs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The learned column.

    Attributes:
        classes: As in ``FeatureSchema.classes``: sorted, numbers by value; empty for regression.
        values: The number itself, or the class's index, float64, one a labelled row.
        labelled: Of all rows of the snapshot, those with a label; shape ``(rows of the snapshot,)``.
        sentence: Why this task.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    values: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    sentence: str


def class_names(column: pl.Series) -> pl.Series:
    """Values as class names: text as it is, whole numbers without a point, booleans as ``false`` and ``true``."""
    if column.dtype.is_float():
        known = column.drop_nulls()
        whole = (known.is_finite() & (known.abs() < WHOLE_BELOW) & known.round(0).eq(known)).all()
        return column.cast(pl.Int64).cast(pl.String) if whole else column.cast(pl.String)
    return column.cast(pl.String)


def read_target(frame: RawRows, name: str, task: Task | None, *, precedent: Precedent | None = None) -> Target:
    """The target of a snapshot.

    Args:
        frame: All rows of the snapshot.
        name: The target's column.
        task: As declared; None: that of the precedent, else inferred from the values.
        precedent: Of an earlier version; one that predicts another column says nothing.

    Raises:
        BadTable: The column is missing, constant, of one class, not of the declared task or the precedent's, or has too
            few labels.
    """
    column = _finite(_find(frame, name))
    labelled = column.is_not_null()
    known = column.filter(labelled)
    if len(known) < FEWEST_ROWS:
        raise BadTable(
            f"target {name!r} has {len(known)} labelled rows of {len(column)}; a training needs at least {FEWEST_ROWS}"
        )
    distinct = known.n_unique()
    if distinct < 2:
        raise BadTable(
            f"target {name!r} is constant: every labelled row is {known[0]!r}; there is nothing to learn, "
            "choose another target or add rows that differ"
        )
    found, sentence = _decide(known, distinct, precedent) if task is None else (task, f"the declaration says {task}")
    mask = labelled.to_numpy()
    if found is Task.REGRESSION:
        values = _numbers(known)
        if precedent is None or precedent.inputs is None:  # one that was trained before is trained again as it was
            _require_in_range(name, values)
        return Target(name=name, task=found, classes=(), values=values, labelled=mask, sentence=sentence)
    classes, values = _classes(known, found, distinct)
    return Target(name=name, task=found, classes=classes, values=values, labelled=mask, sentence=sentence)


def _find(frame: RawRows, name: str) -> pl.Series:
    if name in frame.columns:
        return frame[name]
    close = difflib.get_close_matches(name, frame.columns, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; its columns are {', '.join(frame.columns[:20])}"
    raise BadTable(f"the dataset has no column {name!r} for the target{hint}")


def _finite(column: pl.Series) -> pl.Series:
    if not column.dtype.is_float():
        return column
    if infinite := int(column.is_infinite().sum()):
        raise BadTable(
            f"target {column.name!r} is infinite in {infinite} rows; remove or correct them and add the data again"
        )
    return column.fill_nan(None)


def _decide(known: pl.Series, distinct: int, precedent: Precedent | None) -> tuple[Task, str]:
    """One stray value makes no other task of a target that a version predicts."""
    inferred, sentence = _infer(known, distinct)
    if precedent is None or precedent.target != known.name or precedent.task is inferred:
        return inferred, sentence
    held = precedent.task
    if odd := _odd_values(known, precedent):
        classes = f" of {', '.join(precedent.classes)}" if held is Task.BINARY else ""
        raise BadTable(
            f"target {known.name!r} makes a {held} task{classes} in version {precedent.version}, the champion, but "
            f"{odd}; correct that and add the data again, or declare task = {inferred.value!r} if it is right"
        )
    return held, (
        f"target {known.name!r} makes a {held} task, as in version {precedent.version}, the champion (its {distinct} "
        f"values alone would make a {inferred} one: declare task = {inferred.value!r} if they should)"
    )


def _odd_values(known: pl.Series, precedent: Precedent) -> str:
    """The values that do not fit a version's task, in words; empty where all of them do."""
    if precedent.task is Task.BINARY:
        names = class_names(known)
        return _say_values(names.filter(~names.is_in(list(precedent.classes))))
    if known.dtype.is_numeric():
        has_fractions = precedent.task is Task.MULTICLASS and known.dtype.is_float()
        return _say_values(known.filter(known.round(0) != known)) if has_fractions else ""
    if precedent.task is Task.REGRESSION:
        texts = known.cast(pl.String)
        lost = texts.filter(texts.str.strip_chars().cast(pl.Float64, strict=False).is_null())
        return _say_values(lost) or f"it is {told_type(known.dtype)} now, not a number"
    return ""


def _say_values(odd: pl.Series) -> str:
    if odd.is_empty():
        return ""
    counted = odd.rename("value").value_counts().sort("count", "value", descending=[True, False])
    said = [
        f"{count} {'row is' if count == 1 else 'rows are'} {value!r}"
        for value, count in counted.head(MOST_NAMED).iter_rows()
    ]
    if rest := counted["count"][MOST_NAMED:].to_list():
        said.append(f"{sum(rest)} more have other values")
    return ", ".join(said)


def _infer(known: pl.Series, distinct: int) -> tuple[Task, str]:
    name = known.name
    if known.dtype.is_temporal():
        raise BadTable(
            f"target {name!r} is a {known.dtype.base_type().__name__.lower()}, and no task predicts one; make a number "
            "of it with a query (days until it, its hour), or choose another target"
        )
    if distinct == 2:
        return Task.BINARY, f"target {name!r} has two values, so this is a binary classification"
    if known.dtype.is_numeric():
        return _infer_from_numbers(known, distinct)
    return Task.MULTICLASS, f"target {name!r} has {distinct} distinct values: a multiclass classification"


def _infer_from_numbers(known: pl.Series, distinct: int) -> tuple[Task, str]:
    name = known.name
    if distinct > MOST_CLASSES:
        return Task.REGRESSION, f"target {name!r} is a number with {distinct} distinct values: a regression"
    if known.dtype.is_float() and not known.round(0).eq(known).all():
        return Task.REGRESSION, f"target {name!r} is a number with fractions: a regression"
    if len(known) < FEWEST_OF_A_CLASS * distinct:
        return Task.REGRESSION, (
            f"target {name!r} is a number with {distinct} distinct values in {len(known)} rows: a regression "
            "(declare task = 'multiclass' if they are classes)"
        )
    if distinct > PLAIN_CLASSES and (rarest := _rows_of_rarest(known)) < FEWEST_OF_A_CLASS:
        return Task.REGRESSION, (
            f"target {name!r} is a number with {distinct} distinct values, the rarest in {rarest} "
            f"{'row' if rarest == 1 else 'rows'}: a regression (declare task = 'multiclass' if they are classes)"
        )
    return Task.MULTICLASS, (
        f"target {name!r} is a number with only {distinct} distinct values: a multiclass classification "
        "(declare task = 'regression' if it is a quantity)"
    )


def _rows_of_rarest(known: pl.Series) -> int:
    return int(known.unique_counts().to_numpy().min())


def _numbers(known: pl.Series) -> NDArray[np.float64]:
    if not known.dtype.is_numeric():
        raise BadTable(
            f"target {known.name!r} is {told_type(known.dtype)}, but a regression needs a number; "
            "declare another task, or store the column as a number"
        )
    return known.cast(pl.Float64).to_numpy().astype(np.float64)


def _require_in_range(name: str, values: NDArray[np.float64]) -> None:
    beyond = values[np.abs(values) > LARGEST]
    if len(beyond):
        raise BadTable(
            f"target {name!r} is beyond {LARGEST:g} in {len(beyond)} rows, such as {beyond[0]:.3g}, and LightGBM keeps "
            "targets as 32-bit numbers; divide it by a constant with a query, or take these rows out"
        )


def rounding_share(values: NDArray[np.float64]) -> float:
    """What LightGBM, which keeps targets as 32-bit numbers, rounds off: the root mean square over the spread.

    Args:
        values: Of a regression, shape ``(rows,)``, none beyond ``LARGEST``.
    """
    spread = float(values.std())
    lost = values.astype(np.float32).astype(np.float64) - values
    return float(np.sqrt(np.mean(lost**2))) / spread if spread > 0 else 0.0


def _classes(known: pl.Series, task: Task, distinct: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    name = known.name
    if task is Task.BINARY and distinct != 2:
        raise BadTable(
            f"target {name!r} has {distinct} distinct values, but a binary task needs exactly two; "
            "declare task = 'multiclass' or 'regression', or leave it out"
        )
    if 2 * distinct > len(known) or distinct > MOST_TEXT_CLASSES:
        _require_no_measure(known, distinct)
    if distinct > MOST_TEXT_CLASSES:
        raise BadTable(
            f"target {name!r} has {distinct} distinct values, too many for classes (at most {MOST_TEXT_CLASSES}); "
            f"choose another target{_or_regression(known)}"
        )
    if 2 * distinct > len(known):
        raise BadTable(
            f"target {name!r} has {distinct} distinct values in {len(known)} labelled rows, like an id: a class is "
            f"learned from rows that share it; choose another target{_or_regression(known)}"
        )
    ordered = known.unique().sort() if not known.dtype.is_(pl.Categorical) else known.cast(pl.String).unique().sort()
    names = class_names(ordered).to_list()
    codes = {value: float(code) for code, value in enumerate(names)}
    values = class_names(known).replace_strict(codes, return_dtype=pl.Float64).to_numpy()
    return tuple(names), values.astype(np.float64)


def _or_regression(known: pl.Series) -> str:
    return ", or declare task = 'regression' if it is a quantity" if known.dtype.is_numeric() else ""


def _require_no_measure(known: pl.Series, distinct: int) -> None:
    """Check that so many values are no measures, which make no classes.

    Raises:
        BadTable: They are numbers with fractions, or such as text.
    """
    told = f"target {known.name!r} has {distinct} distinct values in {len(known)} labelled rows"
    if known.dtype.is_float() and not known.round(0).eq(known).all():
        raise BadTable(f"{told} and fractions: it is a measure and no set of classes; declare task = 'regression'")
    if known.dtype == pl.String and are_amounts(known):
        raise BadTable(
            f"{told} that are numbers as text, like {first_amount(known)!r}: a measure and no set of classes; make "
            "numbers of them with --prepare, as the note on the dataset's column says, for a regression"
        )
