"""Cross-validation of the training rows: how much the metrics vary with the rows that are measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.model_card import CrossValidation, FoldResult
from appliance.schema import Calibration, FeatureSchema, Task
from appliance.training.cores import Threads
from appliance.training.evaluate import evaluate
from appliance.training.fit import FitPlan, Scorer, refit
from appliance.training.folds import Fold, Indices, deal, deal_by_class, folds_of, forward_folds
from appliance.training.prepare import Prepared


def make_folds(prepared: Prepared, indices: Indices, folds: int) -> tuple[Fold, ...]:
    """Folds of those rows, made the way the split is: forward in time, whole entities, else each class spread evenly.

    Raises:
        BadTable: Too few rows for so many folds in time.
    """
    seed = prepared.spec.seed
    if prepared.split.way == "time" and prepared.times is not None:
        return forward_folds(indices[np.argsort(prepared.times[indices], kind="stable")], folds)
    if prepared.groups is not None:
        return folds_of(indices, deal(len(indices), folds, seed=seed, groups=prepared.groups[indices]))
    if prepared.target.task is Task.REGRESSION:
        return folds_of(indices, deal(len(indices), folds, seed=seed, groups=None))
    return folds_of(indices, deal_by_class(prepared.target.values[indices], folds, seed=seed))


def cross_validate(prepared: Prepared, plan: FitPlan, rounds: int, served: FeatureSchema) -> CrossValidation:
    """Fit and measure each fold of the training rows; the holdout has no part in it.

    Args:
        prepared: The rows.
        plan: As the model was fitted.
        rounds: Boosting rounds of each fit.
        served: Its calibration and threshold are applied.
    """
    results = []
    for fold in make_folds(prepared, prepared.split.trained_on, prepared.spec.cv):
        fitted = refit(prepared.training_sample(fold.fit), plan, rounds, categories=prepared.categories)
        metrics = _measure(prepared, fold, fitted.text, served.calibrations, served.threshold, plan.threads)
        results.append(FoldResult(rows_fit=len(fold.fit), rows_test=len(fold.test), metrics=metrics))
    names = [name for name in results[0].metrics if all(name in result.metrics for result in results)]
    values: dict[str, NDArray[np.float64]] = {
        name: np.array([result.metrics[name] for result in results]) for name in names
    }
    return CrossValidation(
        folds=tuple(results), mean={name: float(found.mean()) for name, found in values.items()},
        spread={name: float(found.std(ddof=1)) for name, found in values.items()},
    )  # fmt: skip


def _measure(
    prepared: Prepared, fold: Fold, text: str, calibrations: tuple[Calibration, ...], threshold: float, threads: Threads
) -> dict[str, float]:
    schema = prepared.schema(fold.fit, calibrations, threshold)
    outputs = Scorer(text, schema, threads=threads()).predict(prepared.rows.pick(fold.test))
    return evaluate(prepared.target.task, prepared.target.values[fold.test], outputs, threshold=threshold)
