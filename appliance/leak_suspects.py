"""Columns that alone predict the target nearly as well as a model should: do they know the answer?

Looked for when a table is added with its target; training looks again, with LightGBM, at the columns that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

STRONG = 0.95
"""One-column score from which a leak is likely."""
SUSPECT = 0.85
"""One-column score from which a person should ask whether the value is known when we predict."""

SAMPLE_ROWS = 20_000
"""Rows looked at, evenly spaced."""
MIN_ROWS = 50
"""Fewer say nothing: chance alone fits them."""

ROWS_A_LEAF = 50
MOST_LEAVES = 64
MOST_LEVELS_SHARE = 0.1
"""A text column with more levels a row than this is like an id, and fits anything."""
MOST_CLASSES = 20
"""A whole-number target with at most so many values is a class."""

Floats = npt.NDArray[np.float64]
Leaves = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A column and how well it predicts alone: R2 of a number, AUC of a class (the lowest one-against-rest)."""

    column: str
    measure: str
    score: float

    @property
    def is_strong(self) -> bool:
        """Whether a leak is likely."""
        return self.score >= STRONG


def find_suspects(rows: pl.LazyFrame, target: str, count: int) -> tuple[Suspect, ...]:
    """The columns that score ``SUSPECT`` or more, in their order.

    Each is cut into leaves of ``ROWS_A_LEAF`` rows or more (a number by its quantiles, a text by its levels, missing
    values apart), and predicts by its leaf's mean: what a tree on that column alone could do.

    Args:
        rows: The table.
        target: The column to predict.
        count: Rows of the table.
    """
    sample = rows.gather_every(max(1, -(-count // SAMPLE_ROWS))).collect()
    sample = sample.filter(pl.col(target).is_not_null())
    truths = _truths(sample[target])
    if sample.height < MIN_ROWS or not truths:
        return ()
    measure = "R2" if _is_number(sample[target]) else "AUC"
    found = []
    for column in sample.drop(target).iter_columns():
        leaves = _leaves(column)
        if leaves is None:
            continue
        score = min(_r2(leaves, truth) if measure == "R2" else _auc(leaves, truth) for truth in truths)
        if score >= SUSPECT:
            found.append(Suspect(column=column.name, measure=measure, score=score))
    return tuple(found)


def _is_number(target: pl.Series) -> bool:
    return target.dtype.is_float() or (target.dtype.is_integer() and target.n_unique() > MOST_CLASSES)


def _truths(target: pl.Series) -> list[Floats]:
    """What is to be predicted: the number, or one indicator a class (one alone where there are two)."""
    if _is_number(target):
        return [target.cast(pl.Float64).to_numpy()]
    levels = target.unique().sort()
    if not 2 <= len(levels) <= MOST_CLASSES:
        return []
    return [(target == level).cast(pl.Float64).to_numpy() for level in levels[int(len(levels) == 2) :]]


def _leaves(column: pl.Series) -> Leaves | None:
    """The leaf of each row; None where the column has one value, or is like an id."""
    if column.dtype in {pl.String(), pl.Boolean()}:
        levels = column.n_unique()
        if levels < 2 or levels > max(2, MOST_LEVELS_SHARE * len(column)):
            return None
        codes: Leaves = column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        return codes
    numbers = column.to_physical().cast(pl.Float64).to_numpy()
    known = numbers[~np.isnan(numbers)]
    wanted = min(MOST_LEAVES, len(known) // ROWS_A_LEAF)
    if wanted < 2:
        return None
    edges = np.unique(np.quantile(known, np.arange(1, wanted) / wanted))
    placed: Leaves = np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, numbers, side="left"))
    return placed


def _means(leaves: Leaves, truth: Floats) -> tuple[Floats, Floats]:
    """Rows and mean of each leaf; leaves of few rows are one."""
    rows = np.bincount(leaves)
    pooled = np.where(rows[leaves] < ROWS_A_LEAF // 10, len(rows), leaves)
    counts = np.bincount(pooled).astype(np.float64)
    sums = np.bincount(pooled, truth)
    kept = counts > 0
    return counts[kept], sums[kept] / counts[kept]


def _r2(leaves: Leaves, truth: Floats) -> float:
    counts, means = _means(leaves, truth)
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return float(np.sum(counts * (means - truth.mean()) ** 2)) / spread if spread > 0 else 0.0


def _auc(leaves: Leaves, truth: Floats) -> float:
    """Area under the ROC curve when rows are ordered by their leaf's share of ones; ties count half."""
    counts, means = _means(leaves, truth)
    order = np.argsort(means)
    ones, zeros = (counts * means)[order], (counts * (1 - means))[order]
    total = ones.sum() * zeros.sum()
    before = np.cumsum(zeros) - zeros
    return float(np.sum(ones * (before + zeros / 2)) / total) if total > 0 else 0.0
