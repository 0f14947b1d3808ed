"""95 % intervals of the metrics of labelled predictions: analytic where there is a formula, else by resampling counts.

Pure: the resampling has a fixed seed, and works on counts, so that its cost does not grow with the rows.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from appliance.monitoring.bins import Floats, Ints
from appliance.schema import Task

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 400
SCORE_BINS = 200
MIN_ROWS = 10
"""Fewer rows have no interval worth showing."""
MOST_CLASSES = 50
"""With more classes macro F1 has no interval: the confusion matrix is resampled whole."""
_TINY = 1e-15

Interval = tuple[float, float]


def ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values share the mean of theirs; as ``scipy.stats.rankdata``, which would load 30 MB.

    Args:
        values: Shape ``(n,)``, without NaN.
    """
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return found


def wilson(hits: float, rows: float, *, z: float = Z) -> Interval:
    """Wilson's score interval of a share, without continuity correction; (0, 1) without rows.

    Source: Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if rows <= 0:
        return 0.0, 1.0
    share = hits / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def find_intervals(task: Task, truth: Floats, outputs: Floats, *, threshold: float = 0.5) -> dict[str, Interval]:
    """Metric to its 95 % interval; what is undefined on these rows is left out.

    The calibration error has none: chance alone moves it upwards, so that its truth lies below what rows measure.

    Args:
        task: What is predicted.
        truth: Numbers or class indices, shape ``(n,)``.
        outputs: Shape ``(n, outputs)``.
        threshold: Binary: class 1 from this probability on.
    """
    if len(truth) < MIN_ROWS:
        return {}
    if task is Task.REGRESSION:
        return _regression(truth, outputs[:, 0])
    if task is Task.BINARY:
        return _binary(truth, outputs[:, 0], threshold)
    return _multiclass(truth.astype(np.int64), outputs)


def delong_error(truth: Floats, score: Floats) -> float | None:
    """Standard error of the area under the ROC curve; None with one class, or fewer than two rows of one.

    Source: DeLong, DeLong & Clarke-Pearson (1988), by the mid-ranks of Sun & Xu (2014).
    """
    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    together = ranks(score)
    of_positives = (together[positive] - ranks(score[positive])) / n
    of_negatives = 1 - (together[~positive] - ranks(score[~positive])) / m
    return float(np.sqrt(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n))


def _around(middle: float, error: float, low: float = -np.inf, high: float = np.inf) -> Interval:
    return float(max(low, middle - Z * error)), float(min(high, middle + Z * error))


def _of_mean(values: Floats) -> Interval:
    return _around(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def _regression(truth: Floats, value: Floats) -> dict[str, Interval]:
    error = value - truth
    squares, spread = error**2, (truth - truth.mean()) ** 2
    low, high = _of_mean(squares)
    found = {
        "rmse": (float(np.sqrt(max(0.0, low))), float(np.sqrt(high))),
        "mae": _of_mean(np.abs(error)),
        "bias": _of_mean(error),
    }
    variance = float(spread.mean())
    if variance > 0:
        ratio = float(squares.mean()) / variance
        influence = (squares - ratio * spread) / variance
        found["r2"] = _around(1 - ratio, float(influence.std(ddof=1) / np.sqrt(len(truth))), high=1.0)
    return found


def _binary(truth: Floats, score: Floats, threshold: float) -> dict[str, Interval]:
    guess = score >= threshold
    clipped = np.clip(score, _TINY, 1 - _TINY)
    low, high = _of_mean(-(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)))
    found = {
        "log_loss": (max(0.0, low), high),
        "brier": _of_mean((score - truth) ** 2),
        "accuracy": wilson(float(np.sum(guess == truth)), len(truth)),
    }
    cells = np.bincount((2 * truth + guess).astype(np.int64), minlength=4)
    if cells[1] + cells[3]:
        found["precision"] = wilson(float(cells[3]), int(cells[1] + cells[3]))
    if cells[2] + cells[3]:
        found["recall"] = wilson(float(cells[3]), int(cells[2] + cells[3]))
    drawn = _draws(cells)
    found["f1"] = _quantiles(_f1(hit=drawn[:, 3], given=drawn[:, 1] + drawn[:, 3], true=drawn[:, 2] + drawn[:, 3]))
    error = delong_error(truth, score)
    if error is not None:
        area = _area(truth, score)
        found["auc"] = _around(area, error, 0.0, 1.0)
        found["average_precision"] = _average_precision(truth, score)
    return found


def _area(truth: Floats, score: Floats) -> float:
    positives = float(truth.sum())
    negatives = len(truth) - positives
    return float((ranks(score)[truth == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _average_precision(truth: Floats, score: Floats) -> Interval:
    """Of resampled counts of hits and misses over the score, from the highest down."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, SCORE_BINS + 1)[1:-1]))
    cell = np.searchsorted(edges, score, side="left")
    bins = len(edges) + 1
    drawn = _draws(np.bincount((cell * 2 + truth).astype(np.int64), minlength=2 * bins)).reshape(-1, bins, 2)[:, ::-1]
    hits = np.cumsum(drawn[:, :, 1], axis=1)
    answered = np.cumsum(drawn.sum(axis=2), axis=1)
    precision = hits / np.maximum(answered, 1)
    total = np.maximum(hits[:, -1], 1)
    return _quantiles((precision * drawn[:, :, 1]).sum(axis=1) / total)


def _multiclass(truth: Ints, outputs: Floats) -> dict[str, Interval]:
    classes = outputs.shape[1]
    guess = outputs.argmax(axis=1)
    low, high = _of_mean(-np.log(np.clip(outputs[np.arange(len(truth)), truth], _TINY, 1)))
    found = {
        "accuracy": wilson(float(np.sum(guess == truth)), len(truth)),
        "log_loss": (max(0.0, low), high),
    }
    if classes > MOST_CLASSES:
        return found
    drawn = _draws(np.bincount(truth * classes + guess, minlength=classes**2)).reshape(-1, classes, classes)
    hit = np.diagonal(drawn, axis1=1, axis2=2)
    given, true = drawn.sum(axis=1), drawn.sum(axis=2)
    seen = (given + true) > 0
    scores = np.where(seen, _f1(hit=hit, given=given, true=true), 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return {**found, "macro_f1": _quantiles(scores)}


def _draws(cells: Ints) -> Ints:
    """Counts as other samples of the same size would have them, shape ``(RESAMPLES, cells)``."""
    rows = int(cells.sum())
    return np.random.default_rng(0).multinomial(rows, cells / rows, size=RESAMPLES)


def _f1(*, hit: Ints, given: Ints, true: Ints) -> Floats:
    scores: Floats = 2 * hit / np.maximum(given + true, 1)
    return scores


def _quantiles(values: Floats) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return float(low), float(high)
