"""Distances of raw values, for two tables at hand; windows of counts only have their lower bounds."""

from __future__ import annotations

import math

import numpy as np

from appliance.monitoring.bins import Floats
from appliance.monitoring.drift import Distances

MOST_VALUES = 100_000
"""Beyond so many values a side, a fixed random sample of as many stands for it (standard error of KS D about 0.003)."""


def raw_distances(reference: Floats, current: Floats) -> Distances:
    """KS D and the Wasserstein distance over the reference's standard deviation, of non-null finite values.

    Equal to ``scipy.stats.ks_2samp`` and ``wasserstein_distance`` up to ``MOST_VALUES`` values a side. A constant
    reference has no scale: its Wasserstein distance is None, as it is where the values are too large for a float64.
    """
    if len(reference) == 0 or len(current) == 0:
        return Distances()
    with np.errstate(over="ignore", invalid="ignore"):
        std = float(reference.std())
    before, after = np.sort(_bounded(reference)), np.sort(_bounded(current))
    points = np.concatenate((before, after))
    points.sort(kind="stable")
    below = np.searchsorted(before, points, side="right") / len(before)
    above = np.searchsorted(after, points, side="right") / len(after)
    gap = np.abs(below - above)
    with np.errstate(over="ignore", invalid="ignore"):
        distance = float((gap[:-1] * np.diff(points)).sum()) / std if std > 0 else math.nan
    return Distances(ks=float(gap.max()), wasserstein=distance if math.isfinite(distance) else None)


def _bounded(values: Floats) -> Floats:
    if len(values) <= MOST_VALUES:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), MOST_VALUES)]
