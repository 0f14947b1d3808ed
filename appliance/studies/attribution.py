"""Attribution drift: whether the model leans on other inputs than it did on its training rows. Pure.

Contributions are LightGBM's exact TreeSHAP. The ranking is compared by NDCG with the reference's contributions as
relevance, as SageMaker Clarify's monitor does, which alerts below 0.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from appliance.schema import FeatureSchema

Floats = NDArray[np.float64]
NDCG_ALARM = 0.9
MIN_ROWS = 200
MOST_ROWS = 1_000
"""Rows of each side that contributions are computed for: a tenth of a second a thousand on a usual model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Mean share of a column in the contributions, on both sides.

    Attributes:
        ndcg: 1: the same ranking.
        shares: Column name to ``(reference, current)``, the largest change first.
    """

    ndcg: float
    drifted: bool
    shares: dict[str, tuple[float, float]]


def attribute(model_text: str, schema: FeatureSchema, reference: Floats, current: Floats) -> Attribution | None:
    """Compare what the model leans on; None with too few rows, or when it leans on nothing.

    Args:
        model_text: LightGBM's own format.
        schema: Names of the columns, and the outputs.
        reference: Encoded rows, shape ``(n, columns)``.
        current: Likewise.
    """
    if min(len(reference), len(current)) < MIN_ROWS:
        return None
    booster = lightgbm.Booster(model_str=model_text)
    before, after = (_shares(booster, rows[:MOST_ROWS], schema) for rows in (reference, current))
    if before.sum() == 0 or after.sum() == 0:
        return None
    found = ndcg(before, after)
    changes = np.argsort(-np.abs(after - before), kind="stable").tolist()
    return Attribution(
        ndcg=found, drifted=found < NDCG_ALARM,
        shares={schema.columns[i].name: (float(before[i]), float(after[i])) for i in changes},
    )  # fmt: skip


def ndcg(reference: Floats, current: Floats) -> float:
    """Normalised discounted cumulative gain of the current order; relevance is the reference's contribution."""
    discount = 1 / np.log2(np.arange(2, len(reference) + 2))
    gained = float((reference[np.argsort(-current, kind="stable")] * discount).sum())
    return gained / float((np.sort(reference)[::-1] * discount).sum())


def _shares(booster: lightgbm.Booster, rows: Floats, schema: FeatureSchema) -> Floats:
    raw = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1))
    # Multiclass: one block of columns and an expected value a class.
    blocks = np.abs(raw.reshape(len(rows), schema.outputs, len(schema.columns) + 1)[:, :, :-1])
    means: Floats = blocks.mean(axis=(0, 1))
    return means / means.sum() if means.sum() > 0 else means
