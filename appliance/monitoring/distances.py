"""Distances of raw values, for two tables at hand; windows of counts only have their lower bounds."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.drift import Distances

MOST_VALUES = 1_000_000
"""Beyond so many values a side, a fixed random sample of as many stands for it, none of them twice (standard error of
KS D below 0.001)."""


def raw_distances(reference: Floats, current: Floats) -> Distances:
    """KS D and the Wasserstein distance over the reference's standard deviation, of finite values; NaN is null.

    Equal to ``scipy.stats.ks_2samp`` and ``wasserstein_distance`` up to ``MOST_VALUES`` values a side, and approximate
    beyond. A constant reference has no scale: its Wasserstein distance is None, as it is where the values are too large
    for a float64.
    """
    present = _present(reference)
    one, other = _bounded(present), _bounded(current)
    n, m = len(one), len(other)
    if n == 0 or m == 0:
        return Distances()
    with np.errstate(over="ignore", invalid="ignore"):
        std = float(present.std())
    points = np.concatenate((np.sort(one), np.sort(other)))
    order = np.argsort(points, kind="stable")  # two sorted runs: merged in one pass
    points = points[order]
    # Of each place in the merged row, how many of either side lie up to it.
    before = np.cumsum(order < n)
    after = np.arange(1, n + m + 1) - before
    gap = np.abs(before / n - after / m)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(points)
        distance = float((gap[:-1] * steps).sum()) / std if std > 0 else math.nan
    # Among equal values only the last place has counted all of them; behind the last of all there is no gap.
    ks = float(gap[:-1].max(initial=0.0, where=steps > 0))
    return Distances(
        ks=ks, wasserstein=distance if math.isfinite(distance) else None,
        approximate=n < len(present) or m < len(current) - int(np.count_nonzero(np.isnan(current))),
    )  # fmt: skip


def _present(values: Floats) -> Floats:
    null = np.isnan(values)
    return values[~null] if null.any() else values


def _bounded(values: Floats) -> Floats:
    """The values, or where they are too many those of a sample of the rows."""
    if len(values) - int(np.count_nonzero(np.isnan(values))) > MOST_VALUES:
        values = values[_places(len(values), MOST_VALUES)]
    return _present(values)


@lru_cache(maxsize=2)
def _places(rows: int, most: int) -> Ints:
    """Places of a sample, ascending; kept, as most columns of a table have as many values."""
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False, shuffle=False))
