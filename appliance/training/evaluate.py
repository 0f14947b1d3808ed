"""Metrics of predictions on held-out rows, and those of the dummy that knows the training labels only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.model_evaluation import ClassResult
from appliance.model_spec import MEASURES
from appliance.schema import Task

Floats = NDArray[np.float64]

PRIMARY: dict[Task, str] = {task: names[0] for task, names in MEASURES.items()}
"""The metric the gate compares; where it is undefined, ``log_loss``."""

HIGHER_IS_BETTER = frozenset({"r2", "auc", "average_precision", "accuracy", "f1", "macro_f1", "precision", "recall"})

_TINY = 1e-15
_CALIBRATION_BINS = 10


def evaluate(task: Task, truth: Floats, outputs: Floats, *, threshold: float = 0.5) -> dict[str, float]:
    """The task's metrics; one that is undefined on these rows (AUC with one class) is left out.

    Args:
        task: What is predicted.
        truth: Numbers, or class indices; shape ``(n,)``.
        outputs: Shape ``(n, outputs)``: the value, the probability of class 1, or a probability a class.
        threshold: Binary: class 1 from this probability on.

    Returns:
        rmse, mae, bias, r2; auc, average_precision, log_loss, brier, ece, accuracy, precision, recall, f1; accuracy,
        macro_f1, log_loss. bias is the mean of prediction - truth.
    """
    if task is Task.REGRESSION:
        return _regression(truth, outputs[:, 0])
    if task is Task.BINARY:
        return _binary(truth, outputs[:, 0], threshold)
    return _multiclass(truth, outputs)


def class_results(truth: Floats, answers: Floats, names: Sequence[str]) -> tuple[ClassResult, ...]:
    """Each class against the others.

    Args:
        truth: Class indices, shape ``(n,)``.
        answers: Likewise, the classes given.
        names: Of the classes.
    """
    true, given = truth.astype(np.int64), answers.astype(np.int64)
    counted = zip(
        names, *(np.bincount(some, minlength=len(names)).tolist() for some in (true, given, true[true == given])),
        strict=True,
    )  # fmt: skip
    return tuple(
        ClassResult(
            name=name, rows=rows, given=told, precision=hits / told if told else None,
            recall=hits / rows if rows else None, f1=2 * hits / (rows + told) if rows + told else 0.0,
        )
        for name, rows, told, hits in counted
    )  # fmt: skip


def evaluate_dummy(task: Task, truth: Floats, train: Floats, *, classes: int) -> dict[str, float]:
    """The metrics of the mean, or of the class shares, of the training rows ``train``."""
    if task is Task.REGRESSION:
        outputs = np.full((len(truth), 1), train.mean())
    else:
        shares = np.bincount(train.astype(np.int64), minlength=classes) / len(train)
        outputs = np.tile(shares[1:] if task is Task.BINARY else shares, (len(truth), 1))
    return evaluate(task, truth, outputs)


def require_metric(task: Task, declared: str | None) -> str:
    """The metric that was declared, else the task's.

    Raises:
        BadTable: It measures another task.
    """
    if declared is None:
        return PRIMARY[task]
    if declared not in MEASURES[task]:
        raise BadTable(
            f"metric = {declared!r} does not measure a {task.value} task; use one of {', '.join(MEASURES[task])}, or "
            "leave it out"
        )
    return declared


def primary_metric(task: Task, metrics: dict[str, float], declared: str | None = None) -> str:
    """The metric to compare by: the declared one, else the task's; log loss where that is undefined on these rows."""
    wanted = require_metric(task, declared)
    return wanted if wanted in metrics else "log_loss" if task is not Task.REGRESSION else PRIMARY[task]


def is_better(metric: str, value: float, other: float) -> bool:
    """Whether ``value`` beats ``other``; a tie does not."""
    return value > other if metric in HIGHER_IS_BETTER else value < other


def area_under_roc(truth: Floats, score: Floats) -> float | None:
    """Share of (positive, negative) pairs in the right order, ties half; None with one class only."""
    positives = float(truth.sum())
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        return None
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2.0)[group]
    return float((ranks[truth == 1].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def average_precision(truth: Floats, score: Floats) -> float | None:
    """Sum of precision times the gain in recall over the distinct scores; None without a positive."""
    positives = float(truth.sum())
    if positives == 0:
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / positives
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def log_loss(truth: Floats, probability: Floats) -> float:
    """Mean of -ln of the probability that the truth, 0 or 1, was given; probabilities are at least 1e-15."""
    clipped = np.clip(probability, _TINY, 1.0 - _TINY)
    return float(-np.mean(truth * np.log(clipped) + (1.0 - truth) * np.log1p(-clipped)))


def calibration_error(truth: Floats, probability: Floats) -> float:
    """Expected calibration error: |mean probability - share of positives| over ten equal-count bins, by their rows."""
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, _CALIBRATION_BINS) if len(part)]
    gaps = [abs(float(probability[part].mean() - truth[part].mean())) * len(part) for part in bins]
    return sum(gaps) / len(truth)


def _regression(truth: Floats, value: Floats) -> dict[str, float]:
    error = value - truth
    metrics = {
        "rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error))), "bias": float(np.mean(error)),
    }  # fmt: skip
    spread = float(np.sum((truth - truth.mean()) ** 2))
    if spread > 0:
        metrics["r2"] = 1.0 - float(np.sum(error**2)) / spread
    return metrics


def _binary(truth: Floats, probability: Floats, threshold: float) -> dict[str, float]:
    guess = (probability >= threshold).astype(np.float64)
    metrics = {
        "log_loss": log_loss(truth, probability),
        "brier": float(np.mean((probability - truth) ** 2)),
        "ece": calibration_error(truth, probability),
        "accuracy": float(np.mean(guess == truth)),
        "f1": _f1(truth == 1, guess == 1),
    }
    if guess.any():
        metrics["precision"] = float(truth[guess == 1].mean())
    if truth.any():
        metrics["recall"] = float(guess[truth == 1].mean())
    if (area := area_under_roc(truth, probability)) is not None:
        metrics = {"auc": area, **metrics}
    if (precision := average_precision(truth, probability)) is not None:
        metrics["average_precision"] = precision
    return metrics


def _multiclass(truth: Floats, probabilities: Floats) -> dict[str, float]:
    known = truth.astype(np.int64)
    guess = probabilities.argmax(axis=1)
    picked = np.clip(probabilities[np.arange(len(known)), known], _TINY, 1.0)
    seen = np.union1d(known, guess)
    return {
        "accuracy": float(np.mean(guess == known)),
        "macro_f1": float(np.mean([_f1(known == label, guess == label) for label in seen])),
        "log_loss": float(-np.mean(np.log(picked))),
    }


def _f1(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN); 0 when nothing is positive on either side."""
    total = int(truth.sum()) + int(guess.sum())
    return 2.0 * int((truth & guess).sum()) / total if total else 0.0
