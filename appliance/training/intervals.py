"""Intervals of a regression: two models of the declared quantiles, beside the one that answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.model_evaluation import Share
from appliance.schema import FeatureSchema, Task
from appliance.serving.interval import FILES
from appliance.training.fairness import wilson
from appliance.training.fit import FitPlan, Sample, Scorer, fit, refit
from appliance.training.prepare import Prepared
from appliance.training.rows import EncodedRows, FeatureRows

Floats = NDArray[np.float64]

MONOTONE = "monotone_constraints"
"""LightGBM's parameter; its quantile objective refuses it."""


def fit_interval(prepared: Prepared, plan: FitPlan) -> tuple[str, ...]:
    """The texts of the two models; none when no interval is declared.

    Raises:
        BadTable: The task is no regression.
    """
    quantiles = prepared.spec.intervals
    if quantiles and prepared.target.task is not Task.REGRESSION:
        raise BadTable(f"intervals are for a regression, but {prepared.spec.target!r} makes a {plan.task.value} task")
    own = {key: value for key, value in plan.own.items() if key != MONOTONE}
    return tuple(_fit_quantile(prepared, dataclasses.replace(plan, quantile=one, own=own)) for one in quantiles)


def say_unbound(plan: FitPlan, ends: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence where the ends of an interval are not held to the constraints that the prediction is."""
    if not ends or MONOTONE not in plan.own:
        return ()
    return ("the interval's ends do not follow 'monotone', since LightGBM fits no quantiles so; the prediction does",)


def predict_interval(low: Scorer, high: Scorer, encoded: pl.DataFrame | EncodedRows) -> tuple[Floats, Floats]:
    """Lower and upper ends of encoded rows; where the two models cross, the ends change places."""
    ends = np.column_stack([scorer.predict(encoded)[:, 0] for scorer in (low, high)])
    return ends.min(axis=1), ends.max(axis=1)


def measure_coverage(
    texts: tuple[str, ...], schema: FeatureSchema, prepared: Prepared, *, threads: int
) -> Share | None:
    """Share of the held-out rows whose truth lies in the interval; None without one."""
    if len(texts) != len(FILES):
        return None
    low, high = (Scorer(text, schema, threads=threads) for text in texts)
    held = prepared.split.holdout
    lower, upper = predict_interval(low, high, prepared.rows.pick(held))
    truth = prepared.target.values[held]
    return wilson(int(((truth >= lower) & (truth <= upper)).sum()), len(held))


def _fit_quantile(prepared: Prepared, plan: FitPlan) -> str:
    split, rounds = prepared.split, plan.rounds
    if plan.early_stopping:
        stop = None
        if len(split.stop):
            rows = FeatureRows(prepared.rows.pick(split.stop), prepared.learn(split.fit))
            stop = Sample(rows=rows, target=prepared.target.values[split.stop], weight=prepared.weight_of(split.stop))
        first = fit(
            prepared.training_sample(split.fit), stop, plan, lambda *_: None, categories=prepared.categories
        )  # fmt: skip
        rounds = first.rounds
    return refit(prepared.training_sample(split.trained_on), plan, rounds, categories=prepared.categories).text
