"""Estimates of quality before labels come (CBPE, DLE): from the predictions alone, as sums that add up. Pure.

When a probability is calibrated, a row with p = 0.8 is of that class 8 times in 10: expected hits and misses of every
row add up to an expected confusion matrix, and every hour's add up to a week's. An estimate sees that rows became
harder; it cannot see that the truth changed (concept drift), so it is shown as an estimate, beside its own past error.

A regression has no probabilities: its error is estimated by models of it (``losses.py``) or, where they helped nothing,
from where its predictions lie.

Method: Confidence-based performance estimation, Kivimäki et al., "Confidence-based Estimators for Predictive
Performance in Model Monitoring", JAIR 2025.
"""

from __future__ import annotations

import msgspec
import numpy as np

from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.losses import Losses, LossModels
from appliance.schema import FeatureSchema, Task

MIN_ROWS = 100
"""Fewer labelled rows calibrate nothing."""
FOLDS = 5
"""Whether calibration helps is measured on rows that it was not fitted on."""
ECE_BINS = 10
ERROR_BINS, MIN_ROWS_A_BIN = 20, 25
"""Bins of the predicted value that a regression's errors are averaged in, and rows each holds at least."""
MOST_EDGES = 128
"""Score bins of the expected ROC curve; exact when the score has no more distinct values, else the area is within
about 0.001."""
_TINY = 1e-15


class Isotonic(msgspec.Struct, frozen=True, kw_only=True):
    """A monotone map from score to share: linear between its points, constant beyond its ends.

    Attributes:
        scores: Ascending.
        shares: Of the rows with such a score that are of the class; ascending, 0 … 1.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]

    def apply(self, score: Floats) -> Floats:
        """The share at each score."""
        return np.interp(score, self.scores, self.shares)


class Estimation(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate needs of the holdout, stored in the reference.

    Attributes:
        calibration: One a class (binary: of the positive class alone); None where the raw score is as good.
        edges: Inner edges of the bins of the score or the predicted value, ascending; binary: the threshold is one.
        absolute: Regression: mean of ``|truth - prediction|`` of each bin's rows.
        squared: Regression: mean of its square.
    """

    calibration: tuple[Isotonic | None, ...] = ()
    edges: tuple[float, ...] = ()
    absolute: tuple[float, ...] = ()
    squared: tuple[float, ...] = ()


def fit_isotonic(score: Floats, positive: Floats) -> Isotonic:
    """Isotonic regression of 0 and 1 on the score; equal scores share one value.

    Args:
        score: Shape ``(n,)``, at least one row.
        positive: 1 where the row is of the class, else 0; shape ``(n,)``.
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415  (SciPy weighs 20 MB, and a fit is a training's)

    distinct, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=positive) / counts
    fitted: Floats = isotonic_regression(shares, weights=counts.astype(np.float64), increasing=True).x
    # Within a constant run only the ends matter.
    inner = np.zeros(len(fitted), bool)
    inner[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    return Isotonic(scores=tuple(distinct[~inner].tolist()), shares=tuple(np.clip(fitted[~inner], 0, 1).tolist()))


def expected_calibration_error(probability: Floats, positive: Floats, *, bins: int = ECE_BINS) -> float:
    """Mean of ``|mean probability - share of positives|`` over bins of equally many rows, weighted by rows."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [len(part) * abs(probability[part].mean() - positive[part].mean()) for part in parts if len(part)]
    return float(sum(gaps) / len(probability))


def fit_estimation(schema: FeatureSchema, outputs: Floats, truth: Floats) -> Estimation | None:
    """Learn, from rows that the model did not learn from, how right it is where; None when they are too few.

    Args:
        schema: The task and the threshold.
        outputs: The holdout's, shape ``(n, schema.outputs)``.
        truth: Numbers, or class indices, negative where unknown; NaN where the label is missing; shape ``(n,)``.
    """
    if len(outputs) != len(truth):
        return None
    if schema.task is Task.REGRESSION:
        return fit_errors(outputs.reshape(-1), truth)
    labelled = truth >= 0
    truth, outputs = truth[labelled], outputs.reshape(-1, schema.outputs)[labelled]
    if len(truth) < MIN_ROWS or len(np.unique(truth)) < 2:
        return None
    if schema.task is Task.MULTICLASS:
        calibration = tuple(
            _calibrate(outputs[:, index], (truth == index).astype(np.float64)) for index in range(schema.outputs)
        )
        return Estimation(calibration=calibration)
    score = outputs[:, 0]
    return Estimation(calibration=(_calibrate(score, truth),), edges=_edges(score, schema.threshold))


def fit_errors(value: Floats, truth: Floats) -> Estimation | None:
    """Mean errors where the predictions lie: direct loss estimation with the prediction as its only feature.

    Args:
        value: Predictions, shape ``(n,)``.
        truth: Their numbers.
    """
    known = np.isfinite(truth) & np.isfinite(value)
    value, error = value[known], (truth - value)[known]
    if len(value) < MIN_ROWS:
        return None
    bins = min(ERROR_BINS, len(value) // MIN_ROWS_A_BIN)
    edges = np.unique(np.quantile(value, np.linspace(0, 1, bins + 1)[1:-1]))
    cell = np.searchsorted(edges, value, side="left")
    rows = np.bincount(cell, minlength=len(edges) + 1)
    means = [
        np.where(rows > 0, np.bincount(cell, weights=loss, minlength=len(edges) + 1) / np.maximum(rows, 1), loss.mean())
        for loss in (np.abs(error), error**2)
    ]
    return Estimation(
        edges=tuple(edges.tolist()), absolute=tuple(means[0].tolist()), squared=tuple(means[1].tolist())
    )  # fmt: skip


def expect_errors(estimation: Estimation, value: Floats) -> Floats:
    """Mean ``|truth - prediction|`` where each prediction lies, shape ``(n,)``."""
    return np.asarray(estimation.absolute)[np.searchsorted(estimation.edges, value, side="left")]


def _calibrate(score: Floats, positive: Floats) -> Isotonic | None:
    """The calibrator, when it lowers the calibration error of rows that it was not fitted on."""
    fold = np.random.default_rng(0).permutation(len(score)) % FOLDS
    calibrated = np.empty_like(score)
    for number in range(FOLDS):
        rest, held = fold != number, fold == number
        calibrated[held] = fit_isotonic(score[rest], positive[rest]).apply(score[held])
    if expected_calibration_error(calibrated, positive) >= expected_calibration_error(score, positive):
        return None
    return fit_isotonic(score, positive)


def _edges(score: Floats, threshold: float) -> tuple[float, ...]:
    distinct = np.unique(score)
    if len(distinct) > MOST_EDGES:
        distinct = np.unique(np.quantile(score, np.linspace(0, 1, MOST_EDGES + 1)[1:-1], method="higher"))
    # A value equal to an edge lies below it, but one equal to the threshold is a positive answer.
    return tuple(np.union1d(distinct, [np.nextafter(threshold, -np.inf)]).tolist())


class Estimator:
    """Adds up expected hits and misses of the rows of one version; holds no sums itself.

    Regression sums: rows a bin of the predicted value; with models of the errors, their expected absolute and squared
    errors behind. Binary sums: rows a score bin, expected positives a score bin,
    expected log loss, expected Brier score. Multiclass sums: answers a class, expected hits a class, expected rows a
    class, expected log loss.
    """

    def __init__(self, schema: FeatureSchema, estimation: Estimation, losses: LossModels | None = None) -> None:
        self._losses = losses
        self._schema = schema
        self._estimation = estimation
        self._binary = schema.task is Task.BINARY
        self._regression = schema.task is Task.REGRESSION

    @property
    def width(self) -> int:
        """Numbers of one window."""
        if self._regression:
            return len(self._estimation.absolute) + (0 if self._losses is None else 2)
        if self._binary:
            return 2 * (len(self._estimation.edges) + 1) + 2
        return 3 * self._schema.outputs + 1

    def count(self, outputs: Floats, group: Ints, groups: int, *, encoded: Floats | None = None) -> Floats:
        """Sums of rows by the group they belong to, shape ``(groups, width)``.

        Args:
            outputs: As served, shape ``(n, schema.outputs)``.
            group: 0 … groups - 1, shape ``(n,)``.
            groups: How many there are.
            encoded: The rows as logged, shape ``(n, columns)``, where there are models of the errors.

        Raises:
            ValueError: There are such models, and no rows.
        """
        outputs = outputs.reshape(-1, self._schema.outputs)
        if self._regression:
            bins = len(self._estimation.absolute)
            cell = group * bins + np.searchsorted(self._estimation.edges, outputs[:, 0], side="left")
            rows = np.bincount(cell, minlength=groups * bins).reshape(groups, bins).astype(np.float64)
            if self._losses is None:
                return rows
            if encoded is None:
                raise ValueError("errors are expected from the inputs, too")
            expected = self._losses.expect(encoded, outputs[:, 0])
            return np.column_stack([rows, *(np.bincount(group, weights=one, minlength=groups) for one in expected)])
        return self._count_binary(outputs[:, 0], group, groups) if self._binary else self._count(outputs, group, groups)

    def estimate(self, sums: Floats) -> dict[str, float]:
        """The task's metrics as expected from sums; empty without rows, a metric that is undefined is left out."""
        if sums.size != self.width or self.rows(sums) == 0:
            return {}
        if self._regression and self._losses is not None:
            absolute, squared = sums[-2:] / self.rows(sums)
            return {"rmse": float(np.sqrt(squared)), "mae": float(absolute)}
        if self._regression:
            shares = sums / sums.sum()
            return {
                "rmse": float(np.sqrt(shares @ np.asarray(self._estimation.squared))),
                "mae": float(shares @ np.asarray(self._estimation.absolute)),
            }
        return self._estimate_binary(sums) if self._binary else self._estimate(sums)

    def rows(self, sums: Floats) -> int:
        """How many rows the sums are of."""
        cells = self._schema.outputs if self._schema.task is Task.MULTICLASS else len(self._estimation.edges) + 1
        return round(float(sums[:cells].sum()))

    def _count_binary(self, score: Floats, group: Ints, groups: int) -> Floats:
        (calibrator,), edges = self._estimation.calibration, self._estimation.edges
        share = score if calibrator is None else calibrator.apply(score)
        bins = len(edges) + 1
        cell = group * bins + np.searchsorted(edges, score, side="left")
        clipped = np.clip(score, _TINY, 1 - _TINY)
        loss = -(share * np.log(clipped) + (1 - share) * np.log1p(-clipped))
        brier = share * (1 - score) ** 2 + (1 - share) * score**2
        return np.hstack(
            [
                np.bincount(cell, minlength=groups * bins).reshape(groups, bins),
                np.bincount(cell, weights=share, minlength=groups * bins).reshape(groups, bins),
                np.bincount(group, weights=loss, minlength=groups)[:, None],
                np.bincount(group, weights=brier, minlength=groups)[:, None],
            ]
        )

    def _estimate_binary(self, sums: Floats) -> dict[str, float]:
        edges = np.asarray(self._estimation.edges)
        bins = len(edges) + 1
        rows, positives = sums[:bins], sums[bins : 2 * bins]
        total, negatives = rows.sum(), sums[:bins] - sums[bins : 2 * bins]
        # Bin i holds the scores in (edge i-1, edge i]; the edge just below the threshold ends the negative answers.
        answered = np.arange(bins) > np.searchsorted(edges, np.nextafter(self._schema.threshold, -np.inf))
        hit, false_alarm, missed = positives[answered].sum(), negatives[answered].sum(), positives[~answered].sum()
        metrics = {
            "log_loss": float(sums[-2] / total),
            "brier": float(sums[-1] / total),
            "accuracy": float((hit + negatives[~answered].sum()) / total),
            "f1": float(2 * hit / (2 * hit + false_alarm + missed)) if hit + false_alarm + missed > 0 else 0.0,
            **({"precision": float(hit / (hit + false_alarm))} if hit + false_alarm > 0 else {}),
            **({"recall": float(hit / (hit + missed))} if hit + missed > 0 else {}),
        }
        pairs = positives.sum() * negatives.sum()
        if pairs > 0:
            below = np.cumsum(negatives) - negatives
            metrics = {"auc": float((positives * (below + negatives / 2)).sum() / pairs), **metrics}
        if positives.sum() > 0:
            metrics["average_precision"] = _average_precision(rows, positives)
        return metrics

    def _count(self, outputs: Floats, group: Ints, groups: int) -> Floats:
        classes = self._schema.outputs
        share = calibrated_shares(self._estimation, outputs)
        given = outputs.argmax(axis=1)
        cell = group * classes + given
        loss = -(share * np.log(np.clip(outputs, _TINY, 1))).sum(axis=1)
        expected = np.stack(
            [np.bincount(group, weights=share[:, index], minlength=groups) for index in range(classes)], axis=1
        )
        hits = np.bincount(cell, weights=share[np.arange(len(given)), given], minlength=groups * classes)
        return np.hstack(
            [
                np.bincount(cell, minlength=groups * classes).reshape(groups, classes),
                hits.reshape(groups, classes),
                expected,
                np.bincount(group, weights=loss, minlength=groups)[:, None],
            ]
        )

    def _estimate(self, sums: Floats) -> dict[str, float]:
        classes = self._schema.outputs
        given, hits, expected = sums[:classes], sums[classes : 2 * classes], sums[2 * classes : 3 * classes]
        seen = given + expected > 0
        return {
            "accuracy": float(hits.sum() / given.sum()),
            "macro_f1": float(np.mean(2 * hits[seen] / (given + expected)[seen])),
            "log_loss": float(sums[-1] / given.sum()),
        }


def calibrated_shares(estimation: Estimation, outputs: Floats) -> Floats:
    """Multiclass: each class by its own calibrator, then made to sum to 1; a row of zeros knows nothing: all alike."""
    columns = [
        outputs[:, index] if calibrator is None else calibrator.apply(outputs[:, index])
        for index, calibrator in enumerate(estimation.calibration)
    ]
    share = np.stack(columns, axis=1)
    total = share.sum(axis=1, keepdims=True)
    return np.where(total > 0, share / np.where(total > 0, total, 1), 1 / share.shape[1])


def _average_precision(rows: Floats, positives: Floats) -> float:
    """Sum of precision times the gain in recall, from the highest score bin down."""
    hits, answered = np.cumsum(positives[::-1]), np.cumsum(rows[::-1])
    precision = np.where(answered > 0, hits / np.where(answered > 0, answered, 1), 0)
    recall = hits / hits[-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def open_estimator(
    schema: FeatureSchema, estimation: Estimation | None, losses: Losses | None = None
) -> Estimator | None:
    """The estimator of a version; None when its reference has nothing to estimate from."""
    if estimation is None:
        return None
    return Estimator(schema, estimation, None if losses is None else LossModels(schema, losses))
