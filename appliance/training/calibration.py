"""Probabilities that mean what they say, and the threshold that serves a stated goal; both on rows not used to fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from appliance.features import calibrate, calibrate_classes
from appliance.model_spec import Threshold
from appliance.schema import Calibration, Task
from appliance.training.evaluate import evaluate, log_loss

Floats = NDArray[np.float64]

FEWEST_OF_A_CLASS = 20
"""Rows of each class that either half needs: one to fit the calibration, one to judge it."""


def find_calibration(scores: Floats, truth: Floats, *, in_time: bool) -> tuple[Calibration | None, str]:
    """Fit an isotonic calibration on one half of the rows; keep it if it lowers the log loss on the other.

    Args:
        scores: Probabilities of a model that was not fitted on these rows, shape ``(n,)``.
        truth: 0 or 1.
        in_time: The rows are in time's order, so the older half is fitted on; else every other row.

    Returns:
        The calibration, or None; and a sentence why.
    """
    first = np.arange(len(scores)) < len(scores) // 2 if in_time else np.arange(len(scores)) % 2 == 0
    for half in (first, ~first):
        positives = int(truth[half].sum())
        if min(positives, int(half.sum()) - positives) < FEWEST_OF_A_CLASS:
            return None, (
                f"not calibrated: {len(scores)} rows beside the fit are too few to fit a calibration and judge it "
                f"({FEWEST_OF_A_CLASS} of each class in either half)"
            )
    found = isotonic(scores[first], truth[first])
    before = log_loss(truth[~first], scores[~first])
    after = log_loss(truth[~first], np.array(calibrate(scores[~first].tolist(), found)))
    numbers = f"the log loss on {int((~first).sum())} further rows from {before:.4g} to {after:.4g}"
    if after < before:
        return found, f"calibrated (isotonic, on {int(first.sum())} rows): it lowers {numbers}"
    return None, f"not calibrated: an isotonic calibration changes {numbers}, no gain"


def find_class_calibrations(scores: Floats, truth: Floats, *, in_time: bool) -> tuple[tuple[Calibration, ...], str]:
    """Fit each class against the others, divide by the sum, and keep all of them if that lowers the log loss.

    One calibration a class, renormalised (Zadrozny and Elkan, 2002).

    Args:
        scores: Probabilities of a model that was not fitted on these rows, shape ``(n, classes)``.
        truth: Class indices.
        in_time: As for ``find_calibration``.

    Returns:
        One a class, or none; and a sentence why.
    """
    classes = scores.shape[1]
    first = np.arange(len(scores)) < len(scores) // 2 if in_time else np.arange(len(scores)) % 2 == 0
    counts = [np.bincount(truth[half].astype(np.int64), minlength=classes) for half in (first, ~first)]
    if min(int(count.min()) for count in counts) < FEWEST_OF_A_CLASS:
        return (), (
            f"not calibrated: {len(scores)} rows beside the fit are too few to fit a calibration of each class and "
            f"judge it ({FEWEST_OF_A_CLASS} of each class in either half)"
        )
    found = tuple(isotonic(scores[first, at], (truth[first] == at).astype(np.float64)) for at in range(classes))
    rest, right = scores[~first], truth[~first]
    answers = np.array(calibrate_classes(rest.ravel().tolist(), found)).reshape(rest.shape)
    before, after = (evaluate(Task.MULTICLASS, right, one)["log_loss"] for one in (rest, answers))
    numbers = f"the log loss on {len(right)} further rows from {before:.4g} to {after:.4g}"
    if after < before:
        return found, f"each class is calibrated (isotonic, on {int(first.sum())} rows): it lowers {numbers}"
    return (), f"not calibrated: isotonic calibrations change {numbers}, no gain"


def isotonic(scores: Floats, truth: Floats) -> Calibration:
    """The rising function with the least squared error, through the middle of each of its steps.

    Between the middles it is linear, so that two scores that differ seldom become one. No answer is surer than half a
    row in ``n``.

    Args:
        scores: Probabilities, shape ``(n,)``, at least one.
        truth: 0 or 1.
    """
    order = np.argsort(scores, kind="stable")
    x, y = scores[order], isotonic_regression(truth[order]).x
    starts = np.flatnonzero(np.concatenate([[True], np.diff(y) > 0]))
    counts = np.diff(np.append(starts, len(y)))
    middles = np.add.reduceat(x, starts) / counts
    sure = 0.5 / len(y)
    levels = np.clip(y[starts], sure, 1.0 - sure)
    ends_x, ends_y = np.array([0.0, 1.0]), np.array([min(sure, levels[0]), max(1.0 - sure, levels[-1])])
    inside = (middles > 0.0) & (middles < 1.0)
    return Calibration(
        x=tuple(np.concatenate([ends_x[:1], middles[inside], ends_x[1:]]).tolist()),
        y=tuple(np.concatenate([ends_y[:1], levels[inside], ends_y[1:]]).tolist()),
    )


def choose_threshold(scores: Floats, truth: Floats, wanted: Threshold) -> tuple[float, str]:
    """The threshold that serves the goal best on these rows, and a sentence what it brings there.

    Where no alarm is worth its cost it is above every score, 1 or the next number above.

    Args:
        scores: Served probabilities of rows that were not fitted on, shape ``(n,)``; none: 0.5 but for ``fixed``.
        truth: 0 or 1.
        wanted: The goal.
    """
    if wanted.goal == "fixed" and wanted.at is not None:
        return wanted.at, f"the threshold is {wanted.at}, as declared"
    if len(scores) == 0 or not 0 < truth.sum() < len(truth):
        return 0.5, "the threshold is 0.5: too few rows beside the fit to choose another"
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(truth[order])[ends]
    given = ends + 1.0
    precision, recall = hits / given, hits / truth.sum()
    if _is_no_alarm_best(wanted, given - hits, truth.sum() - hits, float(truth.sum())):
        return _above(scores), (
            f"the threshold is above every score: no alarm is worth its cost ({wanted.false_positive:g} a false alarm, "
            f"{wanted.false_negative:g} a miss) on {len(scores)} rows beside the fit"
        )
    at, what = _best(wanted, precision, recall, given - hits, truth.sum() - hits)
    threshold = _between(scores[order], int(ends[at]))
    return threshold, (
        f"the threshold is {threshold:.4g}, for {what}: precision {precision[at]:.3f} and recall {recall[at]:.3f} on "
        f"{len(scores)} rows beside the fit"
    )


def _is_no_alarm_best(wanted: Threshold, false_positives: Floats, false_negatives: Floats, positives: float) -> bool:
    """Whether missing every positive costs less than any alarms do."""
    return wanted.goal == "cost" and (wanted.false_negative or 0.0) * positives < float(
        _costs(wanted, false_positives, false_negatives).min()
    )


def _costs(wanted: Threshold, false_positives: Floats, false_negatives: Floats) -> Floats:
    return (wanted.false_positive or 0.0) * false_positives + (wanted.false_negative or 0.0) * false_negatives


def _above(scores: Floats) -> float:
    """A score that is the threshold is an alarm, so 1 is above only those that are not 1 themselves."""
    return 1.0 if scores.max() < 1.0 else float(np.nextafter(1.0, 2.0))


def _best(
    wanted: Threshold, precision: Floats, recall: Floats, false_positives: Floats, false_negatives: Floats
) -> tuple[int, str]:
    if wanted.goal == "cost":
        prices = f"{wanted.false_positive:g} a false alarm, {wanted.false_negative:g} a miss"
        return int(np.argmin(_costs(wanted, false_positives, false_negatives))), f"the least cost ({prices})"
    if wanted.goal == "recall" and wanted.precision is not None:
        reached = precision >= wanted.precision
        if reached.any():
            return int(np.argmax(np.where(reached, recall, -1.0))), f"the most recall at precision {wanted.precision:g}"
        return int(np.argmax(precision)), f"the highest precision, since {wanted.precision:g} is nowhere reached"
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-300)
    return int(np.argmax(f1)), "the highest F1"


def _between(falling: Floats, last: int) -> float:
    """Half way to the next score below, so that a score at either side stays there."""
    below = falling[last + 1] if last + 1 < len(falling) else 0.0
    return float((falling[last] + below) / 2.0)
