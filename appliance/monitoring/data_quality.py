"""Data quality at serving: what was odd about rows beyond their bins, counted by hour and version; it adds up.

Missing values and unseen categories are bins of every column already (``windows.py``); here is what no bin holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.reference import Reference
from appliance.monitoring.row_sample import EMPTY, RowSample, add_samples, hash_rows, sample_rows
from appliance.schema import Kind

MOST_NAMES = 200
"""Names of unknown columns kept of an hour: callers choose them."""
OTHER_NAMES = ""
"""Where the rows of further names are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQualityCounts:
    """Counts of a span.

    Attributes:
        rows: Answered.
        refused: Column to the requests that were refused for it: absent, or a value of another type.
        mistyped: Those of ``refused`` whose value was of another type.
        outside: Column to its values below the smallest or above the largest of the training rows; numbers alone.
        unknown: Name of a column that the model does not know to the rows that had it.
        sample: Tells how many rows are repetitions.
    """

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    sample: RowSample = EMPTY
    mistyped: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: DataQualityCounts) -> DataQualityCounts:
        return add_quality((self, other))

    def dump(self) -> bytes:
        """As the database keeps it."""
        return msgspec.json.encode(
            _Stored(
                self.rows,
                self.refused,
                self.outside,
                bounded(self.unknown),
                self.sample.depth,
                dict(self.sample.counts),
                self.mistyped,
            )
        )


class _Stored(msgspec.Struct, frozen=True):
    rows: int
    refused: dict[str, int]
    outside: dict[str, int]
    unknown: dict[str, int]
    depth: int
    sample: dict[int, int]
    mistyped: dict[str, int] = {}


def parse_quality(content: bytes) -> DataQualityCounts:
    """What ``dump`` wrote."""
    stored = msgspec.json.decode(content, type=_Stored)
    return DataQualityCounts(
        rows=stored.rows, refused=Counter(stored.refused), outside=Counter(stored.outside),
        unknown=Counter(stored.unknown), sample=RowSample(stored.depth, stored.sample),
        mistyped=Counter(stored.mistyped),
    )  # fmt: skip


def add_quality(parts: Iterable[DataQualityCounts]) -> DataQualityCounts:
    """The sum of parts."""
    known = list(parts)
    refused: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    mistyped: Counter[str] = Counter()
    for part in known:
        mistyped.update(part.mistyped)
        refused.update(part.refused)
        outside.update(part.outside)
        unknown.update(part.unknown)
    return DataQualityCounts(
        rows=sum(part.rows for part in known), refused=refused, outside=outside, unknown=bounded(unknown),
        sample=add_samples(part.sample for part in known), mistyped=mistyped,
    )  # fmt: skip


def bounded(names: Counter[str]) -> Counter[str]:
    """The ``MOST_NAMES`` most frequent names, the rest together."""
    if len(names) <= MOST_NAMES:
        return names
    kept = Counter(dict(Counter({name: n for name, n in names.items() if name != OTHER_NAMES}).most_common(MOST_NAMES)))
    kept[OTHER_NAMES] = names.total() - kept.total()
    return kept


class RowChecker:
    """Counts what is odd about encoded rows; holds no counts itself."""

    def __init__(self, reference: Reference) -> None:
        self._names = [column.name for column in reference.columns]
        # Times lie beyond the training's as a rule, so a datetime has no range here.
        limits = [
            (column.summary.minimum, column.summary.maximum)
            if column.kind is Kind.NUMBER and column.summary is not None
            else (-np.inf, np.inf)
            for column in reference.columns
        ]
        self._low, self._high = np.array(limits, np.float64).reshape(-1, 2).T

    def count(self, matrix: Floats, hours: Ints) -> dict[int, DataQualityCounts]:
        """Count rows into the hours they belong to.

        Args:
            matrix: Encoded rows as logged, shape ``(n, inputs)``; NaN is null.
            hours: Hours since 1970, shape ``(n,)``.
        """
        beyond = (matrix < self._low) | (matrix > self._high)
        hashes = hash_rows(matrix)
        found = {}
        for hour in np.unique(hours).tolist():
            here = hours == hour
            outside = beyond[here].sum(axis=0)
            found[hour] = DataQualityCounts(
                rows=int(here.sum()),
                outside=Counter({self._names[at]: int(outside[at]) for at in np.flatnonzero(outside).tolist()}),
                sample=sample_rows(hashes[here]),
            )
        return found
