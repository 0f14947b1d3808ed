"""What a snapshot's columns look like, computed by DuckDB in bounded memory and kept: a snapshot never changes."""

from __future__ import annotations

from dataclasses import dataclass

from storage.columns import Dtype
from storage.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts of finite numbers in bins of equal width; ``edges`` has one more than ``counts``, the last bin is closed.

    The numbers of a datetime column are seconds since 1970, of a date column the seconds of its midnight.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """One column in figures.

    Attributes:
        rows: Rows of the snapshot.
        missing: Nulls and NaNs.
        distinct: Distinct values that are not missing.
        minimum: Least finite value; numbers as numbers, all else as text; None without values.
        maximum: Greatest finite value, likewise.
        mean: Of the finite numbers (booleans as 0 and 1); None for other columns or without values.
        top: The ten most frequent values as text, with their counts.
        histogram: None for text and booleans, or without finite values.
        infinite: How many are +inf or -inf.
        numeric_text: How many text values read as a number.
    """

    name: str
    dtype: Dtype
    rows: int
    missing: int
    distinct: int
    minimum: float | str | None
    maximum: float | str | None
    mean: float | None
    top: tuple[tuple[str, int], ...]
    histogram: Histogram | None
    infinite: int = 0
    numeric_text: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProfile:
    """A snapshot in figures.

    Attributes:
        duplicate_rows: Rows that equal an earlier row in every column.
    """

    dataset: str
    version: int
    rows: int
    duplicate_rows: int
    columns: tuple[ColumnProfile, ...]


def profile(layout: Layout, name: str, version: int | None = None, *, memory: str = "1GB") -> TableProfile:
    """The figures of a snapshot, the newest without a version; computed once, then read back.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError
