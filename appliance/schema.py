"""What a model takes and gives: the columns of its rows, in model order, and its classes.

Written at training as ``schema.json``, read by everything that serves or watches. Light on purpose: the serving
process imports it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Task(StrEnum):
    """What is predicted."""

    REGRESSION = "regression"
    BINARY = "binary"
    MULTICLASS = "multiclass"


class Kind(StrEnum):
    """How a column is read and encoded as float64.

    number: itself; null is NaN. boolean: 0 and 1; null is NaN. category: the index in ``levels``; null is NaN, a level
    that training never saw is -1 (LightGBM sends both the way of the missing). datetime: seconds since 1970 in UTC,
    naive values read as UTC; null is NaN.
    """

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATETIME = "datetime"


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input column.

    Attributes:
        name: As in the dataset, whatever characters it has.
        kind: How it is read.
        levels: The categories in code order; empty unless ``kind`` is category.
        integer: The training values were whole numbers.
        had_nulls: Training saw missing values.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    integer: bool = False
    had_nulls: bool = False


class FeatureSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The rows a model takes and the outputs it gives.

    Attributes:
        columns: In model order; LightGBM knows column i as ``f{i}``, since it refuses many names.
        classes: Labels in LightGBM's class order; for binary ``(negative, positive)``; empty for regression.
        threshold: Binary: the positive label is given from this probability on.
        time_column: The dataset's time column, not an input; None without one.
    """

    model: str
    version: int
    task: Task
    target: str
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    time_column: str | None = None
    format: int = 1

    @property
    def outputs(self) -> int:
        """Numbers a prediction has: 1, or the number of classes when multiclass."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1
