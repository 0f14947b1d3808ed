"""What a snapshot's columns look like: computed once, by ``storage.profiling``, and kept; a snapshot never changes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import msgspec

from storage.bundles import replace_durably
from storage.columns import Dtype
from storage.datasets import dataset_path, get_snapshot
from storage.errors import StateUnwritable
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
        distinct: Distinct values that are not missing; an estimate (within some percent) unless ``distinct_exact``.
        distinct_exact: They were counted: always up to 100,000 of them, in tables of up to 100,000 rows, and where
            nearly every row has its own.
        minimum: Least finite value; numbers as numbers, all else as text; None without values.
        maximum: Greatest finite value, likewise.
        mean: Of the finite numbers (booleans as 0 and 1); None for other columns or without values.
        std: Standard deviation of the finite numbers (of the population); None like ``mean``.
        quantiles: At 5, 25, 50, 75 and 95 %, of the finite numbers; None like ``mean``.
        top: The ten most frequent values as text, with their counts. Where distinct values are an estimate: those
            that stand out in the sample, counted in all rows.
        histogram: None for text and booleans, or without finite values.
        infinite: How many are +inf or -inf.
        numeric_text: How many text values read as a number.
        signed_text: How many text values are a number with a sign of money, a percent sign or parentheses around it.
        unit_text: The unit that all numbers with a unit among the text values have ("12 kg"), and how many these are;
            None where there are none, several units, or more numbers without one.
        gaps: Where at least half of the text values are numbers, with a sign or unit or without: the others, with their
            counts, the most frequent first; empty where they are more than five different ones.
        date_forms: How many text values are written like a date, by way of writing, where there are any.
        padded: How many text values begin or end with spaces.
        odd_text: Where most text values are numbers, or dates, the first that is none, and its row from 1.
        descents: How many values of a date or datetime column lie before the row above's; None for other columns.

    ``std`` and ``quantiles`` of a table of more than 100,000 rows are those of as many, evenly spread. Where distinct
    values are an estimate, so are ``numeric_text``, ``signed_text``, ``unit_text`` and ``date_forms``, scaled up,
    unless half of the values are such.
    """

    name: str
    dtype: Dtype
    rows: int
    missing: int
    distinct: int
    distinct_exact: bool
    minimum: float | str | None
    maximum: float | str | None
    mean: float | None
    std: float | None
    quantiles: tuple[float, ...] | None
    top: tuple[tuple[str, int], ...]
    histogram: Histogram | None
    infinite: int = 0
    numeric_text: int = 0
    date_forms: tuple[tuple[str, int], ...] = ()
    padded: int = 0
    signed_text: int = 0
    odd_text: tuple[str, int] | None = None
    unit_text: tuple[str, int] | None = None
    gaps: tuple[tuple[str, int], ...] = ()
    descents: int | None = None


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


def profile(
    layout: Layout, name: str, version: int | None = None, *, memory: str = "1GB", threads: int = 1
) -> TableProfile:
    """The figures of a snapshot, the newest without a version; computed once, then read back.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
        StateUnwritable: DuckDB cannot spill: the disk is full or read-only.
    """
    snapshot = get_snapshot(layout, name, version)
    kept = dataset_path(layout, name) / "_profiles" / f"{snapshot.version}.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=TableProfile)
    from storage.profiling import compute_profile  # noqa: PLC0415  (loads DuckDB)

    computed = compute_profile(layout, snapshot, memory, threads)
    with contextlib.suppress(OSError, StateUnwritable):  # it is computed again where it cannot be kept
        kept.parent.mkdir(mode=0o750, exist_ok=True)
        replace_durably(kept, msgspec.json.encode(computed))
    return computed
