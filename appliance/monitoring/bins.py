"""Bins: fitted once on the reference, then only counted into; counts on the same bins add up.

Every column has one of three shapes, and the last bin of each is the nulls (NaN). Infinite values never reach the
bins: serving refuses them, and ``drift-compare`` counts them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from appliance.figures import figure
from appliance.schema import Kind

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

MAX_EXACT_VALUES = 20
"""A number with at most so many distinct values is counted value by value."""
MIN_ROWS = 5
"""A value or category in fewer reference rows has no bin of its own: which rare ones were met is chance (a sparse
amount beside a thousand zeros, a category with one percent of two hundred rows), and chance does not come back."""
QUANTILES = tuple(step / 10 for step in range(1, 10))
"""Inner edges of the ten bins of any other number; both ends are open."""
LARGE = 1e300
"""Values from here on overflow when a few of them are added up; they are finite, so serving takes them."""
MIN_LEVEL_SHARE = 0.01
MAX_LEVELS = 50
NULL_LABEL = "missing"


class ValueBins(msgspec.Struct, frozen=True, kw_only=True, tag="values"):
    """One bin a value, then every other value, then the nulls.

    Attributes:
        values: Ascending, finite.
        texts: The values as people read them.
    """

    values: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bins, the null bin included."""
        return len(self.values) + 2

    def index(self, column: Floats) -> Ints:
        """The bin of each row of a float64 column."""
        index = np.full(len(column), len(self.values), np.uint8)
        for position, value in enumerate(self.values):
            # At most one value is equal: subtracting what is missing to its position leaves exactly that.
            index -= (column == value).view(np.uint8) * np.uint8(len(self.values) - position)
        index += np.isnan(column).view(np.uint8)
        return index.astype(np.int64)

    def labels(self) -> tuple[str, ...]:
        """A bar's label for each bin."""
        return (*self.texts, "other", NULL_LABEL)

    def phrase(self, index: int) -> str:
        """A bin inside a sentence."""
        if index < len(self.values):
            return f"the share of {self.texts[index]}"
        return "the share of missing values" if index == self.size - 1 else "the share of values the reference lacks"


class EdgeBins(msgspec.Struct, frozen=True, kw_only=True, tag="edges"):
    """Open-ended bins between edges, then the nulls; a value equal to an edge lies below it.

    Attributes:
        edges: Ascending, unique, finite, at least one.
        texts: The edges as people read them.
    """

    edges: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bins, the null bin included."""
        return len(self.edges) + 2

    def index(self, column: Floats) -> Ints:
        """The bin of each row of a float64 column."""
        # Ten comparisons on a block in the cache are faster than one binary search a value.
        index = np.isnan(column).view(np.uint8) * np.uint8(self.size - 1)
        for edge in self.edges:
            index += (column > edge).view(np.uint8)
        return index.astype(np.int64)

    def labels(self) -> tuple[str, ...]:
        """A bar's label for each bin."""
        inner = (f"{low} … {high}" for low, high in zip(self.texts, self.texts[1:], strict=False))
        return (f"≤ {self.texts[0]}", *inner, f"> {self.texts[-1]}", NULL_LABEL)

    def phrase(self, index: int) -> str:
        """A bin inside a sentence."""
        if index == self.size - 1:
            return "the share of missing values"
        if index == 0:
            return f"the share up to {self.texts[0]}"
        if index == len(self.edges):
            return f"the share above {self.texts[-1]}"
        return f"the share between {self.texts[index - 1]} and {self.texts[index]}"


class LevelBins(msgspec.Struct, frozen=True, kw_only=True, tag="levels"):
    """One bin a frequent category, then the rarer known ones, then the unseen, then the nulls.

    Attributes:
        codes: Codes of the categories with a bin of their own.
        texts: Their names, in the same order.
        known: Categories in all; codes lie in 0 … known - 1, every other code is unseen.
    """

    codes: tuple[int, ...]
    texts: tuple[str, ...]
    known: int

    @property
    def size(self) -> int:
        """Bins, the null bin included."""
        return len(self.codes) + 3

    @property
    def unseen(self) -> int:
        """The index of the unseen bin."""
        return len(self.codes) + 1

    def index(self, column: Floats) -> Ints:
        """The bin of each row of a float64 column of codes."""
        # Position 0 stands for the unseen, the last one for the nulls.
        table = np.full(self.known + 2, len(self.codes), np.int64)
        table[np.asarray(self.codes, np.int64) + 1] = np.arange(len(self.codes))
        table[0], table[-1] = self.unseen, self.size - 1
        known = (column >= 0) & (column < self.known)
        position = np.where(known, column, -1.0).astype(np.int64) + 1
        position[np.isnan(column)] = self.known + 1
        return table[position]

    def labels(self) -> tuple[str, ...]:
        """A bar's label for each bin."""
        return (*self.texts, "rarer", "unseen", NULL_LABEL)

    def phrase(self, index: int) -> str:
        """A bin inside a sentence."""
        if index < len(self.codes):
            return f"the share of '{self.texts[index]}'"
        names = ("rarer categories", "categories the reference lacks", "missing values")
        return f"the share of {names[index - len(self.codes)]}"


Bins: TypeAlias = ValueBins | EdgeBins | LevelBins


def fit_number(present: Floats, kind: Kind, deciles: Floats) -> ValueBins | EdgeBins:
    """Bins of a number, boolean or datetime column.

    Args:
        present: Its values, neither null nor infinite, float64 ``(rows,)``.
        kind: How they are written.
        deciles: The values at ``QUANTILES``; nothing is read of it when there are no rows.
    """
    # The first rows tell most columns with many values without sorting a million of them.
    if len(np.unique(present[:2000])) <= MAX_EXACT_VALUES:
        distinct, counts = np.unique(present, return_counts=True)
        if _are_few(distinct, counts) or kind is Kind.BOOLEAN:
            values = distinct[counts >= MIN_ROWS]
            return ValueBins(values=tuple(values.tolist()), texts=texts_of(values, kind))
    edges = np.unique(deciles)
    if edges[0] == (top := present.max()):
        # A point mass at the maximum: without an edge below it, one bin would hold every row.
        edges = np.array([present[present < top].max(), top])
    return EdgeBins(edges=tuple(edges.tolist()), texts=texts_of(edges, kind))


def quantiles(present: Floats, shares: Sequence[float], *, largest: float) -> Floats:
    """Quantiles of finite values, also of such whose differences are too large for a float64.

    Args:
        present: float64 ``(rows,)``, not empty.
        shares: Of the rows, in 0 to 1.
        largest: The largest absolute value.
    """
    # A power of two changes no bit but the exponent's.
    scale = 1.0 if largest < LARGE else 0.25
    found: Floats = np.quantile(present * scale if scale < 1.0 else present, shares) / scale
    return found


def _are_few(distinct: Floats, counts: Ints) -> bool:
    """A short continuous column has few distinct values too, but hardly any of them twice."""
    return len(distinct) <= 1 or (len(distinct) <= MAX_EXACT_VALUES and int(counts.sum()) >= 2 * len(distinct))


def fit_levels(codes: Floats, levels: Sequence[str]) -> LevelBins:
    """Bins of a category column, encoded as indices into ``levels``; NaN is null.

    The reference mass of the unseen is not here: ``level_counts`` takes it out of the rarer.
    """
    counts = np.bincount(codes[codes >= 0].astype(np.int64), minlength=len(levels))
    chosen = choose_levels(counts, len(codes))
    return LevelBins(
        codes=tuple(chosen.tolist()), texts=tuple(levels[code] for code in chosen.tolist()), known=len(levels)
    )


def choose_levels(counts: Ints, rows: int) -> Ints:
    """The places of the levels with a bin of their own, the most frequent first, of so many rows with the nulls."""
    frequent = np.flatnonzero(counts >= max(MIN_LEVEL_SHARE * rows, MIN_ROWS))
    return frequent[np.argsort(-counts[frequent], kind="stable")][:MAX_LEVELS]


def level_counts(bins: LevelBins, codes: Floats) -> tuple[Ints, int]:
    """Counts of a reference's rows of a category column, shape ``(bins.size,)``, and how many unseen are supposed.

    The unseen get the Good-Turing mass, one row for each level seen exactly once, out of the rarer: so many rows of
    others are expected to have a level that these lack.
    """
    counts = np.bincount(bins.index(codes), minlength=bins.size)
    seen = np.bincount(codes[codes >= 0].astype(np.int64), minlength=bins.known)
    moved = min(int(np.count_nonzero(seen == 1)), int(counts[len(bins.codes)]))
    counts[len(bins.codes)] -= moved
    counts[bins.unseen] += moved
    return counts, moved


def texts_of(values: Iterable[float], kind: Kind) -> tuple[str, ...]:
    """Numbers as people read them; seconds since 1970 as dates."""
    return tuple(_text(float(value), kind) for value in values)


def _text(value: float, kind: Kind) -> str:
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    if kind is Kind.DATETIME:
        try:
            moment = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):  # beyond the years 1 to 9999
            return f"{value:.6g} s since 1970"
        return moment.strftime("%Y-%m-%d" if value % 86_400 == 0 else "%Y-%m-%d %H:%M:%S")
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else figure(value, digits=6).replace(",", "")
