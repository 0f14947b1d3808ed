"""From an encoded row to what LightGBM sees: calendar parts of datetimes, target means of categories.

An encoded row has one number a column; events, monitoring and collected rows hold that. A model whose schema names
features sees numbers made from it: here for one row, a matrix or a column, with the same bits. Pure and light, since
the serving process imports it; the golden rows of each bundle prove that it makes what training made.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from appliance.schema import Calibration, Feature, FeatureSchema, Part

Floats = NDArray[np.float64]

CALENDAR = (Part.HOUR, Part.WEEKDAY, Part.DAY, Part.DAY_OF_YEAR, Part.MONTH)
"""The parts of a datetime."""

LINEAR_TREES = "\nis_linear=1\n"
"""Stands in a model's text when its leaves hold linear models: LightGBM tells no contributions of them."""

_FIELDS = {
    Part.MONTH: 1, Part.DAY: 2, Part.HOUR: 3, Part.WEEKDAY: 6, Part.DAY_OF_YEAR: 7,
}  # fmt: skip
"""Where a part stands in ``time.gmtime``'s answer."""


class FeatureMaker:
    """Makes one model's features."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._features = schema.features
        self._columns = len(schema.columns)
        self._steps = [(feature.column, _reader(feature)) for feature in schema.features]

    def row(self, encoded: Sequence[float]) -> list[float]:
        """The features of one encoded row."""
        return [encoded[at] if read is None else read(encoded[at]) for at, read in self._steps]

    def matrix(self, encoded: Floats) -> Floats:
        """The features of encoded rows, C-contiguous, shape ``(rows, features)``."""
        made = np.empty((len(encoded), len(self._features)))
        for at, feature in enumerate(self._features):
            made[:, at] = derive(encoded[:, feature.column], feature)
        return made

    def by_column(self, contributions: Floats) -> Floats:
        """What each feature added to a score, ``(rows, outputs, features + 1)``, summed up by the feature's column."""
        summed = np.zeros((*contributions.shape[:2], self._columns + 1))
        for at, feature in enumerate(self._features):
            summed[:, :, feature.column] += contributions[:, :, at]
        summed[:, :, -1] = contributions[:, :, -1]
        return summed


def derive(values: Floats, feature: Feature) -> Floats:
    """One feature of an encoded column, ``(rows,)``; missing stays NaN."""
    if feature.part is Part.VALUE:
        return values
    known = ~np.isnan(values)
    made = np.full(len(values), np.nan)
    if feature.part is Part.TARGET:
        table = np.append(np.asarray(feature.values), feature.prior)  # code -1 is the last
        made[known] = table[values[known].astype(np.int64)]
        return made
    made[known] = _calendar(np.floor(values[known]).astype(np.int64), feature.part)
    return made


def calibrate(outputs: Sequence[float], calibration: Calibration) -> list[float]:
    """The calibrated probability of each."""
    x, y = calibration.x, calibration.y
    last = len(x) - 1
    found = []
    for value in outputs:
        right = bisect_right(x, value)
        if right == 0:
            found.append(y[0])
        elif right > last:
            found.append(y[last])
        else:
            left = right - 1
            found.append(y[left] + (y[right] - y[left]) * ((value - x[left]) / (x[right] - x[left])))
    return found


def calibrate_classes(outputs: Sequence[float], calibrations: Sequence[Calibration]) -> list[float]:
    """The calibrated probabilities of each row's classes, divided by their sum.

    Args:
        outputs: Flat, row-major ``rows * classes``.
        calibrations: One a class; none of them ever gives 0.
    """
    classes = len(calibrations)
    found = [0.0] * len(outputs)
    for at, calibration in enumerate(calibrations):
        found[at::classes] = calibrate(outputs[at::classes], calibration)
    for start in range(0, len(found), classes):
        row = found[start : start + classes]
        total = math.fsum(row)
        found[start : start + classes] = [value / total for value in row]
    return found


def _reader(feature: Feature) -> Callable[[float], float] | None:
    if feature.part is Part.VALUE:
        return None
    if feature.part is Part.TARGET:
        return partial(_target, values=feature.values, prior=feature.prior)
    return partial(_calendar_one, field=_FIELDS[feature.part])


def _target(code: float, *, values: Sequence[float], prior: float) -> float:
    if code != code:  # noqa: PLR0124  (NaN alone differs from itself)
        return math.nan
    return prior if code < 0 else values[int(code)]


def _calendar_one(seconds: float, *, field: int) -> float:
    if seconds != seconds:  # noqa: PLR0124  (NaN alone differs from itself)
        return math.nan
    return float(time.gmtime(math.floor(seconds))[field])


def _calendar(seconds: NDArray[np.int64], part: Part) -> NDArray[np.int64]:
    days: NDArray[np.int64] = seconds // 86_400
    if part is Part.HOUR:
        hours: NDArray[np.int64] = seconds // 3600 % 24
        return hours
    if part is Part.WEEKDAY:
        weekdays: NDArray[np.int64] = (days + 3) % 7  # 1970 began with a Thursday
        return weekdays
    dates = days.astype("datetime64[D]")
    if part is Part.DAY_OF_YEAR:
        return np.asarray((dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1)
    months = dates.astype("datetime64[M]")
    if part is Part.DAY:
        return np.asarray((dates - months).astype(np.int64) + 1)
    return np.asarray(months.astype(np.int64) % 12 + 1)
