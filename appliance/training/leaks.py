"""Columns that know the answer: equal to the target, or suspected to."""

from __future__ import annotations

import numpy as np
import polars as pl

from appliance.errors import BadTable
from appliance.leak_suspects import SAMPLE_ROWS, Look, Suspect, missing_together, suspects_among
from appliance.model_card import Warn
from appliance.schema import FeatureSchema, Kind, Task
from appliance.training.rows import EncodedRows
from appliance.training.table import RawRows
from appliance.training.target import Target, class_names

FIRST_ROWS = 1000
"""Rows in which a column mostly differs from the target already."""


TRUTHS = {word: truth for words, truth in (("true yes y t on 1", True), ("false no n f off 0", False))
          for word in words.split()}  # fmt: skip
"""What people write for yes and no; lower case."""


def require_no_twin(frame: RawRows, target: str, names: tuple[str, ...]) -> None:
    """Refuse a feature that equals the target in every row.

    Raises:
        BadTable: Names the column.
    """
    first = frame.head(FIRST_ROWS)
    for name in names:
        # Nearly every column differs in the first rows already; only the others are read.
        if is_twin(first[name], first[target]) and is_twin(frame[name], frame[target]):
            raise BadTable(
                f"column {name!r} equals the target {target!r} in every row; the model would only copy it. "
                f"Exclude it (exclude = [{name!r}]) unless it is known before the target is"
            )


def is_twin(column: pl.Series, target: pl.Series) -> bool:
    """Whether two columns hold the same in every row, as numbers, as text, or as yes and no in words of any kind."""
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array):
        return False
    if column.dtype != target.dtype:
        truths = as_truth(column), as_truth(target)
        if truths[0] is not None and truths[1] is not None:
            return bool(truths[0].eq_missing(truths[1]).all())
    if column.dtype.is_numeric() and target.dtype.is_numeric():
        return bool(column.cast(pl.Float64).eq_missing(target.cast(pl.Float64)).all())
    return bool(class_names(column).eq_missing(class_names(target)).all())


def as_truth(series: pl.Series) -> pl.Series | None:
    """Booleans of a column that holds nothing but yes and no (true/false, y/n, 1/0, on/off); None for any other."""
    if series.dtype == pl.Boolean:
        return series
    if series.dtype.is_numeric():
        return series == 1 if bool((series.is_null() | (series == 0) | (series == 1)).all()) else None
    if not isinstance(series.dtype, pl.String):
        return None
    words = series.str.strip_chars().str.to_lowercase()
    if not bool((words.is_null() | words.is_in(list(TRUTHS))).all()):
        return None
    return words.replace_strict(TRUTHS, return_dtype=pl.Boolean)


def leak_suspects(rows: EncodedRows, schema: FeatureSchema, target: Target, whole: RawRows) -> tuple[Warn, ...]:
    """Columns that a person should be asked about, by the rule of ``appliance.leak_suspects``.

    Args:
        rows: All labelled rows, encoded.
        schema: The columns.
        target: The truth of the rows.
        whole: All rows of the snapshot, raw.
    """
    step = -(-len(rows) // SAMPLE_ROWS)
    truth = target.values[::step]
    looks = []
    for index, column in enumerate(schema.columns):
        look = Look.levels if column.kind is Kind.CATEGORY else Look.numbers
        # A copy: a view of the sampled rows would keep each whole column in memory.
        looks.append(look(column.name, rows.column(index)[::step].copy()))
    truths = [truth]
    if target.task is Task.MULTICLASS:
        truths = [(truth == label).astype(np.float64) for label in range(len(target.classes))]
    found = suspects_among(
        looks, truths, "R2" if target.task is Task.REGRESSION else "AUC", _together(schema, target, whole)
    )
    return tuple(
        Warn(
            column=suspect.column, code="leak" if suspect.is_strong else "leak_suspect",
            message=suspect.question(target.name),
        )
        for suspect in found
    )  # fmt: skip


def _together(schema: FeatureSchema, target: Target, whole: RawRows) -> tuple[Suspect, ...]:
    if target.labelled.all():
        return ()  # reads no column
    step = -(-len(whole) // SAMPLE_ROWS)
    gone = {column.name: whole[column.name].gather_every(step).is_null().to_numpy() for column in schema.columns}
    return missing_together(gone, ~target.labelled[::step])
