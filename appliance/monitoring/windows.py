"""Windows: counts of one hour of event time, of one model version and variant; they add up, so a week is a sum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate

import msgspec
import numpy as np

from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.reference import ColumnReference, Reference
from appliance.schema import Kind

HOUR_US = 3_600_000_000
BLOCK_ROWS = 8_192
"""Rows counted at a time: a block of all columns stays in the processor's cache."""


class _Stored(msgspec.Struct, frozen=True):
    """The bytes of a window: rows, counts of all bins one column after the other, sums of the columns, estimates."""

    rows: int
    cells: list[int]
    sums: list[float | None]
    expected: list[float] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """Counts over a reference's bins.

    Attributes:
        rows: Predictions.
        cells: The bins of every column in model order, then those of the prediction and of the other output watched.
        sums: Sum of the non-null values of the same columns; 0 for categories, NaN where the values are too large for
            one.
        expected: What ``estimates.Estimator`` sums up; empty where there is nothing to estimate from.
    """

    rows: int
    cells: Ints
    sums: Floats
    expected: Floats = field(default_factory=lambda: np.zeros(0))

    def __add__(self, other: WindowCounts) -> WindowCounts:
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self.sums + other.sums
        return WindowCounts(
            rows=self.rows + other.rows, cells=self.cells + other.cells, sums=np.where(np.isfinite(sums), sums, np.nan),
            expected=_sum_expected(self.expected, other.expected),
        )  # fmt: skip

    def dump(self) -> bytes:
        """As the database keeps it."""
        sums = [value if math.isfinite(value) else None for value in self.sums.tolist()]
        return msgspec.json.encode(_Stored(self.rows, self.cells.tolist(), sums, self.expected.tolist()))


def parse_counts(content: bytes) -> WindowCounts:
    """What ``dump`` wrote."""
    stored = msgspec.json.decode(content, type=_Stored)
    return WindowCounts(
        rows=stored.rows, cells=np.asarray(stored.cells, np.int64),
        sums=np.array([np.nan if value is None else value for value in stored.sums], np.float64),
        expected=np.asarray(stored.expected, np.float64),
    )  # fmt: skip


def _sum_expected(one: Floats, other: Floats) -> Floats:
    """A window from before there were estimates has none: the sum is of those that do."""
    if one.size == other.size:
        return one + other
    return one if other.size == 0 else other


class Counter:
    """Counts encoded rows over one reference's bins; holds no counts itself."""

    def __init__(self, reference: Reference) -> None:
        other = () if reference.other_output is None else (reference.other_output,)
        self._columns: tuple[ColumnReference, ...] = (*reference.columns, reference.prediction, *other)
        self._inputs = len(reference.columns)
        sizes = [column.bins.size for column in self._columns]
        self._starts: list[int] = [0, *accumulate(sizes)]

    @property
    def inputs(self) -> int:
        """Columns of a row, no output among them."""
        return self._inputs

    def empty(self) -> WindowCounts:
        """Counts of no rows."""
        return WindowCounts(
            rows=0, cells=np.zeros(self._starts[-1], np.int64), sums=np.zeros(len(self._columns), np.float64)
        )

    def count(self, matrix: Floats, outputs: Floats, hours: Ints) -> dict[int, WindowCounts]:
        """Count rows into the hours they belong to.

        Args:
            matrix: Encoded rows as logged, shape ``(n, inputs)``: category codes, -1 for unseen, NaN for null.
            outputs: ``reference.watched_outputs``, shape ``(outputs, n)``; what the reference lacks is not counted.
            hours: Hours since 1970, shape ``(n,)``.
        """
        distinct, group = np.unique(hours, return_inverse=True)
        cells = np.zeros((len(distinct), self._starts[-1]), np.int64)
        sums = np.zeros((len(distinct), len(self._columns)), np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite is told, see ``sums``
            for start in range(0, len(matrix), BLOCK_ROWS):
                block = slice(start, start + BLOCK_ROWS)
                self._count_block(matrix[block], outputs[:, block], group[block], (cells, sums))
        sums[~np.isfinite(sums)] = np.nan
        rows = np.bincount(group, minlength=len(distinct)).tolist()
        return {
            hour: WindowCounts(rows=rows[i], cells=cells[i], sums=sums[i]) for i, hour in enumerate(distinct.tolist())
        }

    def split(self, counts: WindowCounts) -> list[tuple[ColumnReference, Ints, float]]:
        """Each column, the prediction last, with its own counts and sum."""
        return self._split(counts)[: self._inputs + 1]

    def split_other(self, counts: WindowCounts) -> tuple[ColumnReference, Ints, float] | None:
        """The same of the output that is watched beside the prediction; None where the reference has none."""
        found = self._split(counts)[self._inputs + 1 :]
        return found[0] if found else None

    def fits(self, counts: WindowCounts) -> bool:
        """Whether the counts were made over these bins."""
        return counts.cells.size == int(self._starts[-1]) and counts.sums.size == len(self._columns)

    def _split(self, counts: WindowCounts) -> list[tuple[ColumnReference, Ints, float]]:
        return [
            (column, counts.cells[self._starts[i] : self._starts[i + 1]], float(counts.sums[i]))
            for i, column in enumerate(self._columns)
        ]

    def _count_block(self, matrix: Floats, outputs: Floats, group: Ints, into: tuple[Ints, Floats]) -> None:
        cells, sums = into
        columns = np.vstack((matrix.T, outputs))
        first = int(group[0])
        # Most blocks of a log lie within one hour, which saves numpy a pass or two a column.
        alone = bool((group == first).all())
        groups = 1 if alone else len(cells)
        target, added = (cells[first : first + 1], sums[first : first + 1]) if alone else (cells, sums)
        for i, column in enumerate(self._columns):
            values, size = columns[i], column.bins.size
            index = column.bins.index(values)
            counted = np.bincount(index if alone else group * size + index, minlength=groups * size)
            target[:, self._starts[i] : self._starts[i + 1]] += counted.reshape(groups, size)
            if column.kind is not Kind.CATEGORY:
                present = np.where(np.isnan(values), 0.0, values)
                added[:, i] += present.sum() if alone else np.bincount(group, present, minlength=groups)


def add_up(empty: WindowCounts, windows: Iterable[WindowCounts]) -> WindowCounts:
    """The sum of windows over the same bins."""
    found = [empty, *windows]
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.sum([one.sums for one in found], axis=0)
    expected = [one.expected for one in found if one.expected.size]
    if expected and all(one.size == expected[-1].size for one in expected):
        expected = [np.sum(expected, axis=0)]
    return WindowCounts(
        rows=sum(one.rows for one in found), cells=np.sum([one.cells for one in found], axis=0),
        sums=np.where(np.isfinite(sums), sums, np.nan), expected=reduce(_sum_expected, expected, empty.expected[:0]),
    )  # fmt: skip
