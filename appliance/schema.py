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


class Part(StrEnum):
    """What of a column a feature is.

    value: the encoded column itself. hour, weekday (0 is Monday), day, day_of_year, month: of a datetime, in UTC.
    target: a category's mean target in the training rows, shrunk to that of all rows.
    """

    VALUE = "value"
    HOUR = "hour"
    WEEKDAY = "weekday"
    DAY = "day"
    DAY_OF_YEAR = "day_of_year"
    MONTH = "month"
    TARGET = "target"


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number that LightGBM sees, made from one column.

    Attributes:
        column: Index in ``FeatureSchema.columns``.
        part: What of it.
        values: Of ``target``: one number a level, in code order.
        prior: Of ``target``: the number of a level that training never saw.
        output: Of ``target``: the class it is about; 0 for regression and the positive class.
    """

    column: int
    part: Part = Part.VALUE
    values: tuple[float, ...] = ()
    prior: float = 0.0
    output: int = 0


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A rising, piecewise linear function from a probability to the share of positives; constant beyond its ends.

    Attributes:
        x: Rising, at least two.
        y: In [0, 1], never falling, as many.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


NEWEST_FORMAT = 3
"""Of ``schema.json`` that this release reads: 3 may have calibrations of several classes, 2 features or a calibration,
1 none of them."""


class FeatureSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The rows a model takes and the outputs it gives.

    Attributes:
        columns: In the order of an encoded row.
        features: What LightGBM sees, made from the columns, feature i known to it as ``f{i}``, since it refuses many
            names; empty: the columns themselves, in their order.
        classes: Labels in LightGBM's class order; for binary ``(negative, positive)``; empty for regression.
        threshold: Binary: the positive label is given from this probability on.
        time_column: The dataset's time column, an input only if it is one of ``columns``; None without one.
        calibration: Binary: from LightGBM's probability to the answer; None: the answer is LightGBM's.
        class_calibrations: Multiclass: the same for each class, whose results are divided by their sum; or none.
        protected: Declared protected columns that are no inputs; a row may have them, to compare groups by.
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
    features: tuple[Feature, ...] = ()
    calibration: Calibration | None = None
    class_calibrations: tuple[Calibration, ...] = ()
    protected: tuple[Column, ...] = ()

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """Of each output, or none."""
        return self.class_calibrations if self.calibration is None else (self.calibration,)

    @property
    def outputs(self) -> int:
        """Numbers a prediction has: 1, or the number of classes when multiclass."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1

    @property
    def width(self) -> int:
        """Numbers that LightGBM sees of a row."""
        return len(self.features) or len(self.columns)


Raw = str | int | float | bool | None
"""A value as it stands in a request's JSON."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """``golden.json``: rows as in a request, and what LightGBM's own ``Booster.predict`` said of them at training.

    Attributes:
        outputs: Shape ``(rows, outputs)``.
        intervals: Low and high a row; empty where the version has no interval, or was trained before these were kept.
    """

    rows: list[dict[str, Raw]]
    outputs: list[list[float]]
    intervals: list[list[float]] = []
