"""What a snapshot's columns look like, computed by DuckDB in bounded memory and kept: a snapshot never changes.

Two passes over the rows, whatever the number of columns; ``storage.profile_queries`` has them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import msgspec
import polars as pl

from storage import profile_queries as queries
from storage.bundles import replace_durably
from storage.columns import ColumnInfo, Dtype
from storage.datasets import Snapshot, dataset_path, get_snapshot, scan_snapshot, snapshot_files
from storage.duck import open_duckdb
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
        date_forms: How many text values are written like a date, by way of writing, where there are any.
        descents: How many values of a date or datetime column lie before the row above's; None for other columns.

    ``std`` and ``quantiles`` of a table of more than 100,000 rows are those of as many, evenly spread; so are
    ``numeric_text`` and ``date_forms``, scaled up, where distinct values are an estimate.
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
    computed = _compute(layout, snapshot, memory, threads)
    with contextlib.suppress(OSError, StateUnwritable):  # it is computed again where it cannot be kept
        kept.parent.mkdir(mode=0o750, exist_ok=True)
        replace_durably(kept, msgspec.json.encode(computed))
    return computed


def _compute(layout: Layout, snapshot: Snapshot, memory: str, threads: int) -> TableProfile:
    connection = open_duckdb(layout.tmp, memory=memory, threads=threads)
    try:
        files = snapshot_files(layout, snapshot.dataset, snapshot.version)
        table = queries.open_table(connection, files, snapshot.columns, snapshot.rows)
        first = queries.first_pass(table)
        sampled = queries.sampled(table)
        counts = queries.value_counts(table, first)
        candidates = {name: found["candidates"] for name, found in counts.items() if found.get("candidates")}
        second = queries.second_pass(table, first, candidates)
        descents = _descents(layout, snapshot)
        columns = tuple(
            _column(column, snapshot.rows, first[column.name] | counts[column.name], sampled.get(column.name, {}),
                    second.get(column.name, {}))
            for column in snapshot.columns
        )  # fmt: skip
        # Where one column has a value of its own in every row, no row equals another.
        is_keyed = any(column.distinct_exact and column.distinct == snapshot.rows for column in columns)
        distinct_rows = snapshot.rows if is_keyed else queries.count_distinct_rows(table)
    except duckdb.Error as exc:
        raise StateUnwritable(
            f"cannot profile the dataset {snapshot.dataset!r}: {exc}; free space below {layout.tmp}, or raise the "
            "setting duckdb_memory"
        ) from exc
    finally:
        connection.close()
    return TableProfile(
        dataset=snapshot.dataset,
        version=snapshot.version,
        rows=snapshot.rows,
        duplicate_rows=snapshot.rows - distinct_rows,
        columns=tuple(replace(column, descents=descents.get(column.name)) for column in columns),
    )


def _descents(layout: Layout, snapshot: Snapshot) -> dict[str, int]:
    times = [column.name for column in snapshot.columns if column.dtype in {Dtype.DATE, Dtype.DATETIME}]
    if not times:
        return {}
    rows = scan_snapshot(layout, snapshot.dataset, snapshot.version)
    steps = rows.select((pl.col(name) < pl.col(name).shift()).sum() for name in times).collect()
    return {name: int(steps[name].item()) for name in times}


def _column(
    column: ColumnInfo, rows: int, found: Mapping[str, Any], sampled: Mapping[str, Any], second: Mapping[str, Any]
) -> ColumnProfile:
    is_number = column.dtype in {Dtype.INT, Dtype.FLOAT}
    quantiles = sampled.get("quantiles")
    top = found["top"] or sorted(
        zip(found.get("candidates", ()), second.get("top", ()), strict=False),
        key=lambda pair: (-pair[1], pair[0]),
    )
    return ColumnProfile(
        name=column.name,
        dtype=column.dtype,
        rows=rows,
        missing=rows - found["present"],
        distinct=found["distinct"],
        distinct_exact=found["exact"],
        minimum=found["low"] if is_number else found["first"],
        maximum=found["high"] if is_number else found["last"],
        mean=found.get("mean"),
        std=sampled.get("std"),
        quantiles=None if quantiles is None else tuple(quantiles),
        top=tuple((str(value), int(count)) for value, count in top),
        histogram=_histogram(found, second.get("bins")),
        infinite=found["present"] - found["finite"] if column.dtype is Dtype.FLOAT else 0,
        numeric_text=found.get("numeric", 0),
        date_forms=tuple((form, count) for form, count in (found.get("forms") or {}).items() if count),
    )


def _histogram(found: Mapping[str, Any], counts: Sequence[int] | None) -> Histogram | None:
    if counts is None:
        return None
    low, high = found["low"], found["high"]
    if queries.bin_width(low, high) is None:
        return Histogram(edges=(low, high), counts=(counts[0],))
    bins = queries.BINS
    edges = (*(low * (1 - i / bins) + high * (i / bins) for i in range(bins)), high)
    return Histogram(edges=edges, counts=tuple(counts))
