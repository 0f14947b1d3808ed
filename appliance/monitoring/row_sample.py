"""A bounded sample of distinct rows that adds up: how large a share of any span's rows repeats an earlier one.

Adaptive sampling (Wegman; Flajolet, "On adaptive sampling", Computing 43, 1990): of all distinct rows those are kept
whose hash ends in ``depth`` zero bits, and ``depth`` grows whenever more than ``MOST`` are kept. Equal rows have equal
hashes, so a row is in the sample with all of its repetitions or not at all, and samples of parts of the log add up to
the sample of the whole, in any order. Up to ``MOST`` distinct rows it holds them all and the share is exact; beyond,
its standard error is below 2.5 points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.monitoring.bins import Floats

Hashes = npt.NDArray[np.uint64]

MOST = 512
"""Distinct rows kept."""
_NULL = np.uint64(0x7FF8_0000_0000_0000)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(29)


@dataclass(frozen=True, slots=True)
class RowSample:
    """Distinct rows of which the hash ends in ``depth`` zero bits, and how often each came."""

    depth: int
    counts: Mapping[int, int]

    def __add__(self, other: RowSample) -> RowSample:
        if not other.counts and other.depth <= self.depth:
            return self
        total = dict(self.counts)
        for row, count in other.counts.items():
            total[row] = total.get(row, 0) + count
        return _thinned(max(self.depth, other.depth), total)

    @property
    def duplicate_share(self) -> float | None:
        """Rows that are equal to another one already counted, over all rows; None without rows."""
        rows = sum(self.counts.values())
        return 1.0 - len(self.counts) / rows if rows else None


EMPTY = RowSample(0, {})


def sample_rows(hashes: Hashes) -> RowSample:
    """The sample of rows given by their hashes, shape ``(n,)``."""
    depth = 0
    # At most MOST distinct ones stay, so most of a large chunk can go before it is counted.
    while len(hashes) > MOST and len(np.unique(hashes)) > MOST:
        depth += 1
        hashes = hashes[hashes & np.uint64((1 << depth) - 1) == 0]
    distinct, counts = np.unique(hashes, return_counts=True)
    return RowSample(depth, dict(zip(distinct.tolist(), counts.tolist(), strict=True)))


def hash_rows(matrix: Floats) -> Hashes:
    """A 64-bit hash of each encoded row, shape ``(n, columns)``; all nulls are alike, and so are both zeros."""
    hashes = np.zeros(len(matrix), np.uint64)
    for values in np.ascontiguousarray(matrix.T + 0.0):
        bits = values.view(np.uint64)
        hashes ^= np.where(np.isnan(values), _NULL, bits)
        hashes *= _MULTIPLIER
        hashes ^= hashes >> _SHIFT
    return hashes


def add_samples(samples: Iterable[RowSample]) -> RowSample:
    """The sample of all of them together."""
    total = EMPTY
    for sample in samples:
        total = total + sample
    return total


def _thinned(depth: int, counts: dict[int, int]) -> RowSample:
    counts = _at(depth, counts)
    while len(counts) > MOST:
        depth += 1
        counts = _at(depth, counts)
    return RowSample(depth, counts)


def _at(depth: int, counts: dict[int, int]) -> dict[int, int]:
    mask = (1 << depth) - 1
    return {row: count for row, count in counts.items() if row & mask == 0}
