"""Drift of columns together: each may look as ever while their combination is new. Pure, with fixed seeds.

Sources: the domain classifier is Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests" (2017); the reconstruction
error is the one of Kivimaki et al. and NannyML's documentation: frequency codes, standardised, components of 65 % of
the variance, mean Euclidean error.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from appliance.schema import Column, Kind
from appliance.training.evaluate import area_under_roc

Floats = NDArray[np.float64]

FOLDS = 5
ROUNDS = 60
DOMAIN_ALARM = 0.65
"""Area under the ROC curve of telling current rows from reference rows."""
VARIANCE = 0.65
SIGMAS = 3.0
"""Standard errors around the reference's mean reconstruction error that are still chance."""
MIN_ROWS = 200
"""Fewer rows of one side are not studied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """How well rows of the two sides can be told apart.

    Attributes:
        area: Out-of-fold area under the ROC curve; 0.5: not at all.
        floor: What the area stays below by chance in 999 of 1,000 cases when nothing moved.
        columns: Column name to its share of the classifier's gain, the three largest.
    """

    area: float
    floor: float
    drifted: bool
    columns: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """Mean reconstruction error of the current rows, and the range in which it lies by chance."""

    error: float
    low: float
    high: float
    drifted: bool


def tell_apart(reference: Floats, current: Floats, columns: tuple[Column, ...]) -> Domain | None:
    """Train a classifier to tell current rows from reference rows; None with too few rows.

    Args:
        reference: Encoded rows, shape ``(n, columns)``.
        current: Likewise.
        columns: Names and kinds.
    """
    if min(len(reference), len(current)) < MIN_ROWS or not columns:
        return None
    rows = np.vstack([reference, current])
    side = np.repeat([0.0, 1.0], [len(reference), len(current)])
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    score, gains = np.empty(len(rows)), np.zeros(len(columns))
    for number in range(FOLDS):
        held = fold == number
        booster = _classifier(rows[~held], side[~held], columns)
        score[held] = np.asarray(booster.predict(rows[held], num_threads=1))
        gains += booster.feature_importance("gain")
    area = area_under_roc(side, score) or 0.5
    floor = 0.5 + _error_by_chance(len(reference), len(current))
    shares = gains / gains.sum() if gains.sum() > 0 else gains
    most = sorted(zip(columns, shares.tolist(), strict=True), key=lambda pair: -pair[1])[:3]
    return Domain(
        area=area, floor=floor, drifted=area >= DOMAIN_ALARM and area > floor,
        columns={column.name: share for column, share in most},
    )  # fmt: skip


def reconstruct(reference: Floats, current: Floats, columns: tuple[Column, ...]) -> Reconstruction | None:
    """How badly the reference's principal components describe the current rows; None with too few rows.

    The components are fitted on one half of the reference, and what is ordinary is learned from the other half.
    """
    if min(len(reference), len(current)) < MIN_ROWS or not columns:
        return None
    half = np.random.default_rng(0).permutation(len(reference)) % 2 == 0
    space = _Space.fit(reference[half], columns)
    before, after = space.errors(reference[~half]), space.errors(current)
    spread = SIGMAS * float(np.sqrt(before.var() / len(before) + before.var() / len(after)))
    low, high, error = float(before.mean()) - spread, float(before.mean()) + spread, float(after.mean())
    return Reconstruction(error=error, low=low, high=high, drifted=not low <= error <= high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """The reference's principal components."""

    columns: tuple[Column, ...]
    frequencies: tuple[Floats | None, ...]
    fill: Floats
    mean: Floats
    scale: Floats
    components: Floats

    @classmethod
    def fit(cls, rows: Floats, columns: tuple[Column, ...]) -> _Space:
        frequencies = tuple(
            _frequencies(rows[:, i], len(column.levels)) if column.kind is Kind.CATEGORY else None
            for i, column in enumerate(columns)
        )
        coded = _code(rows, frequencies)
        present = ~np.isnan(coded)
        fill = np.where(present, coded, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        coded = np.where(present, coded, fill)
        mean, scale = coded.mean(axis=0), coded.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, singular, components = np.linalg.svd((coded - mean) / scale, full_matrices=False)
        explained = np.cumsum(singular**2) / max(float(np.sum(singular**2)), 1e-300)
        kept = int(np.searchsorted(explained, VARIANCE) + 1)
        return cls(
            columns=columns, frequencies=frequencies, fill=fill, mean=mean, scale=scale, components=components[:kept]
        )

    def errors(self, rows: Floats) -> Floats:
        coded = _code(rows, self.frequencies)
        standard = (np.where(np.isnan(coded), self.fill, coded) - self.mean) / self.scale
        rest = standard - standard @ self.components.T @ self.components
        found: Floats = np.linalg.norm(rest, axis=1)
        return found


def _frequencies(codes: Floats, levels: int) -> Floats:
    """Share of the reference's rows a level."""
    known = codes[codes >= 0].astype(np.int64)
    return np.bincount(known, minlength=max(1, levels)) / max(1, len(codes))


def _code(rows: Floats, frequencies: tuple[Floats | None, ...]) -> Floats:
    """Categories as how frequent they are in the reference: 0 when unseen; nulls stay NaN."""
    coded = rows.astype(np.float64)
    for i, table in enumerate(frequencies):
        if table is None:
            continue
        known = (rows[:, i] >= 0) & (rows[:, i] < len(table))
        position = np.where(known, rows[:, i], 0).astype(np.int64)
        coded[:, i] = np.where(np.isnan(rows[:, i]), np.nan, np.where(known, table[position], 0.0))
    return coded


def _classifier(rows: Floats, side: Floats, columns: tuple[Column, ...]) -> lightgbm.Booster:
    names = [f"f{i}" for i in range(len(columns))]
    categories = [names[i] for i, column in enumerate(columns) if column.kind is Kind.CATEGORY]
    data = lightgbm.Dataset(rows, side, feature_name=names, categorical_feature=categories, free_raw_data=True)
    params = {
        "objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 20, "seed": 0,
        "deterministic": True, "force_row_wise": True, "verbosity": -1, "num_threads": 1,
    }  # fmt: skip
    return lightgbm.train(params, data, num_boost_round=ROUNDS)


def _error_by_chance(n: int, m: int) -> float:
    """3.09 standard errors of an area of 0.5 (Mann-Whitney)."""
    return 3.09 * float(np.sqrt((n + m + 1) / (12 * n * m)))
