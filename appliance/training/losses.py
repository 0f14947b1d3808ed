"""Models of a regression's errors, fitted on the held-out rows: what estimates before labels are made of.

Direct loss estimation (from features and prediction to loss), on rows that the model did not learn from. The models are
kept only where they tell errors better than the prediction alone does, on rows that they were not fitted on.
"""

from __future__ import annotations

import lightgbm
import numpy as np
from numpy.typing import NDArray

from appliance.monitoring.estimates import FOLDS, expect_errors, fit_errors
from appliance.monitoring.losses import Losses
from appliance.training.fit import category_names
from appliance.training.prepare import Prepared
from appliance.training.rows import FeatureRows

Floats = NDArray[np.float64]

MIN_ROWS = 500
"""Fewer held-out rows teach no more than the bins of the prediction do."""
MOST_ROWS = 20_000
MOST_CELLS = 8_000_000
"""Of a fixed random sample: 64 MB, some seconds."""
ROUNDS, LEAVES = 60, 8
"""Bound the two texts to some 100 KB."""


def fit_losses(prepared: Prepared, outputs: Floats, truth: Floats) -> Losses | None:
    """Fit both models on the held-out rows; None with too few, or where they help nothing.

    Args:
        prepared: The rows, and the split that says which are held out.
        outputs: Predictions of those, shape ``(n, 1)``.
        truth: Their numbers, shape ``(n,)``.
    """
    split = prepared.split
    rows = FeatureRows(prepared.rows.pick(split.holdout), prepared.learn(split.trained_on))
    value = outputs.reshape(-1)
    known = np.flatnonzero(np.isfinite(truth) & np.isfinite(value))
    most = min(MOST_ROWS, MOST_CELLS // (rows.width + 1))
    if len(known) > most:
        known = np.sort(np.random.default_rng(0).choice(known, most, replace=False))
    if len(known) < MIN_ROWS:
        return None
    seen = np.column_stack([_pick(rows, known), value[known]])
    error = truth[known] - value[known]
    categories = category_names(prepared.plan.columns, prepared.plan.features)
    if not _helps(seen, error, truth[known], categories):
        return None
    absolute, squared = (_fit(seen, loss, categories).model_to_string() for loss in (np.abs(error), error**2))
    return Losses(absolute=absolute, squared=squared)


def _helps(seen: Floats, error: Floats, truth: Floats, categories: list[str]) -> bool:
    """Whether errors of rows that it was not fitted on are told better than by the prediction alone."""
    fold = np.random.default_rng(0).permutation(len(seen)) % FOLDS
    ours = theirs = 0.0
    for number in range(FOLDS):
        rest, held = fold != number, fold == number
        expected = np.maximum(0.0, np.asarray(_fit(seen[rest], np.abs(error[rest]), categories).predict(seen[held])))
        binned = fit_errors(seen[rest, -1], truth[rest])
        if binned is None:
            return False
        ours += float(((expected - np.abs(error[held])) ** 2).sum())
        theirs += float(((expect_errors(binned, seen[held, -1]) - np.abs(error[held])) ** 2).sum())
    return ours < theirs


def _pick(rows: FeatureRows, places: NDArray[np.int64]) -> Floats:
    """The rows at those ascending places, from one block after the other."""
    parts = []
    for start in range(0, len(rows), rows.block_rows):
        inside = places[(places >= start) & (places < start + rows.block_rows)]
        if len(inside):
            parts.append(rows.block(start, start + rows.block_rows)[inside - start])
    return np.concatenate(parts)


def _fit(seen: Floats, loss: Floats, categories: list[str]) -> lightgbm.Booster:
    names = [f"f{at}" for at in range(seen.shape[1])]
    params = {
        "objective": "regression", "num_leaves": LEAVES, "learning_rate": 0.1, "seed": 0, "deterministic": True,
        "min_data_in_leaf": max(20, len(seen) // 100), "force_row_wise": True, "verbosity": -1, "num_threads": 1,
    }  # fmt: skip
    data = lightgbm.Dataset(seen, loss, feature_name=names, categorical_feature=categories, params=dict(params))
    return lightgbm.train(params, data, num_boost_round=ROUNDS)
