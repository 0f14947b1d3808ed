"""Folds of training rows: for cross-validation, and for target means that no row has a part in itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadTable

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Row indices: fitted on, and measured on."""

    fit: Indices
    test: Indices


def deal(rows: int, folds: int, *, seed: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """A fold from 0 for each row, at random; rows of a group, such as an entity, have the same.

    Args:
        rows: How many.
        folds: At least 2.
        seed: Of the draw.
        groups: A number a row, or None: each row for itself.
    """
    if groups is None:
        return np.random.default_rng(seed).permutation(rows).astype(np.int64) % folds
    names, places = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)).astype(np.int64) % folds)[places]


def deal_by_class(strata: NDArray[np.float64], folds: int, *, seed: int) -> NDArray[np.int64]:
    """A fold from 0 for each row, each class spread evenly."""
    dealt = np.empty(len(strata), dtype=np.int64)
    for label in np.unique(strata):
        members = np.flatnonzero(strata == label)
        dealt[members] = np.random.default_rng(seed + int(label)).permutation(len(members)) % folds
    return dealt


def folds_of(indices: Indices, dealt: NDArray[np.int64]) -> tuple[Fold, ...]:
    """Each fold once measured on, all others fitted on."""
    return tuple(Fold(fit=indices[dealt != fold], test=indices[dealt == fold]) for fold in np.unique(dealt))


def forward_folds(ordered: Indices, folds: int) -> tuple[Fold, ...]:
    """Each of ``folds`` blocks of newer rows measured on, all rows that are older fitted on.

    Args:
        ordered: Row indices, oldest first.
        folds: At least 2.

    Raises:
        BadTable: A block would be empty.
    """
    blocks = np.array_split(ordered, folds + 1)
    if any(len(block) == 0 for block in blocks):
        raise BadTable(f"{len(ordered)} training rows cannot make {folds} folds in time; set a smaller cv")
    return tuple(Fold(fit=np.sort(np.concatenate(blocks[:at])), test=blocks[at]) for at in range(1, folds + 1))
