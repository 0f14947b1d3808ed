"""Columns that know the answer: equal to the target, or nearly enough to predict it alone."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.model_card import Warn
from appliance.schema import FeatureSchema, Kind, Task
from appliance.training.evaluate import area_under_roc
from appliance.training.fit import one_tree
from appliance.training.rows import EncodedRows
from appliance.training.table import RawRows
from appliance.training.target import Target, class_names

STRONG = 0.95
"""One-column score from which a leak is likely."""

SUSPECT = 0.85
"""One-column score from which a person should ask whether the value is known when we predict."""

Floats = NDArray[np.float64]

SAMPLE_ROWS = 20_000
"""Rows looked at, evenly spaced."""


def require_no_twin(frame: RawRows, target: str, names: tuple[str, ...]) -> None:
    """Refuse a feature that equals the target in every row.

    Raises:
        BadTable: Names the column.
    """
    known = frame[target]
    for name in names:
        if is_twin(frame[name], known):
            raise BadTable(
                f"column {name!r} equals the target {target!r} in every row; the model would only copy it. "
                f"Exclude it (exclude = [{name!r}]) unless it is known before the target is"
            )


def is_twin(column: pl.Series, target: pl.Series) -> bool:
    """Whether two columns hold the same in every row, as numbers or as text."""
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array):
        return False
    if column.dtype.is_numeric() and target.dtype.is_numeric():
        return bool(column.cast(pl.Float64).eq_missing(target.cast(pl.Float64)).all())
    return bool(class_names(column).eq_missing(class_names(target)).all())


def leak_suspects(rows: EncodedRows, schema: FeatureSchema, target: Target) -> tuple[Warn, ...]:
    """Columns from which one shallow tree alone predicts the target.

    The score is AUC (each class against the rest, the lowest of them when multiclass) or R2 on the fitted rows.

    Args:
        rows: All labelled rows, encoded.
        schema: The columns.
        target: The truth of the rows.
    """
    step = -(-len(rows) // SAMPLE_ROWS)
    truth = target.values[::step]
    warnings = []
    for index, column in enumerate(schema.columns):
        score = _score(rows.column(index)[::step], truth, target, category=column.kind is Kind.CATEGORY)
        if score >= SUSPECT:
            measure = "R2" if target.task is Task.REGRESSION else "AUC"
            code = "leak" if score >= STRONG else "leak_suspect"
            warnings.append(
                Warn(
                    column=column.name, code=code,
                    message=f"{column.name!r} alone predicts {target.name!r} with {measure} {score:.2f}: "
                    "is it really known when you predict? If not, exclude it",
                )
            )  # fmt: skip
    return tuple(warnings)


def _score(column: Floats, truth: Floats, target: Target, *, category: bool) -> float:
    if target.task is Task.REGRESSION:
        guess = one_tree(column, truth, Task.REGRESSION, category=category)
        spread = float(np.sum((truth - truth.mean()) ** 2))
        return 1.0 - float(np.sum((guess - truth) ** 2)) / spread if spread > 0 else 0.0
    classes = [1.0] if target.task is Task.BINARY else list(range(len(target.classes)))
    areas = []
    for label in classes[:MOST_ONE_AGAINST_REST]:
        is_label = (truth == label).astype(np.float64)
        if 0 < is_label.sum() < len(is_label):
            guess = one_tree(column, is_label, Task.BINARY, category=category)
            areas.append(area_under_roc(is_label, guess) or 0.0)
    return min(areas, default=0.0)


MOST_ONE_AGAINST_REST = 10
"""Classes looked at one against the rest; further ones would only cost time."""
