"""What a snapshot's columns look like, computed by DuckDB in bounded memory and kept: a snapshot never changes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec

from storage.bundles import replace_durably
from storage.columns import Dtype
from storage.datasets import Snapshot, dataset_path, get_snapshot, snapshot_files
from storage.duck import open_duckdb, sql_list, sql_name
from storage.errors import StateUnwritable
from storage.layout import Layout

BINS = 20
TOP = 10

_AS_NUMBER = {
    Dtype.BOOL: "{column}::INTEGER::DOUBLE",
    Dtype.INT: "{column}::DOUBLE",
    Dtype.FLOAT: "{column}",
    Dtype.DATE: "epoch({column})",
    Dtype.DATETIME: "epoch({column})",
}
_HAS_MEAN = {Dtype.BOOL, Dtype.INT, Dtype.FLOAT}
_HAS_HISTOGRAM = {Dtype.INT, Dtype.FLOAT, Dtype.DATE, Dtype.DATETIME}


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
        StateUnwritable: DuckDB cannot spill: the disk is full or read-only.
    """
    snapshot = get_snapshot(layout, name, version)
    kept = dataset_path(layout, name) / "_profiles" / f"{snapshot.version}.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=TableProfile)
    computed = _compute(layout, snapshot, memory)
    with contextlib.suppress(OSError, StateUnwritable):  # it is computed again where it cannot be kept
        kept.parent.mkdir(mode=0o750, exist_ok=True)
        replace_durably(kept, msgspec.json.encode(computed))
    return computed


def _compute(layout: Layout, snapshot: Snapshot, memory: str) -> TableProfile:
    connection = open_duckdb(layout.tmp, memory=memory)
    try:
        files = snapshot_files(layout, snapshot.dataset, snapshot.version)
        connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet({sql_list(files)}, hive_partitioning = false)")
        columns = tuple(_column(connection, column.name, column.dtype) for column in snapshot.columns)
        distinct_rows = _one(connection, "SELECT count(*) FROM (SELECT DISTINCT * FROM t)")[0]
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
        duplicate_rows=snapshot.rows - int(distinct_rows),
        columns=columns,
    )


def _column(connection: duckdb.DuckDBPyConnection, name: str, dtype: Dtype) -> ColumnProfile:
    column = sql_name(name)
    number = _AS_NUMBER.get(dtype, "NULL::DOUBLE").format(column=column)
    rows, present, distinct, infinite, numeric, least, most, mean = _one(
        connection,
        f"SELECT count(*), count({column}), count(DISTINCT {column}), count(*) FILTER (WHERE isinf(x)), "
        f"count(*) FILTER (WHERE {_reads_as_number(column, dtype)}), "
        f"min({_ordered(column, dtype)}), max({_ordered(column, dtype)}), avg(x) FILTER (WHERE isfinite(x)) "
        f"FROM (SELECT *, {number} AS x FROM (SELECT {column} FROM t))",
    )
    top = connection.execute(
        f"SELECT {column}::VARCHAR, count(*) AS n FROM t WHERE {column} IS NOT NULL "
        f"GROUP BY ALL ORDER BY n DESC, 1 LIMIT {TOP}"
    ).fetchall()
    return ColumnProfile(
        name=name,
        dtype=dtype,
        rows=rows,
        missing=rows - present,
        distinct=distinct,
        minimum=least,
        maximum=most,
        mean=mean if dtype in _HAS_MEAN else None,
        top=tuple((str(value), int(count)) for value, count in top),
        histogram=_histogram(connection, number) if dtype in _HAS_HISTOGRAM else None,
        infinite=infinite,
        numeric_text=numeric,
    )


def _ordered(column: str, dtype: Dtype) -> str:
    if dtype in _HAS_MEAN - {Dtype.BOOL}:
        return f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END"
    return f"{column}::VARCHAR"


def _reads_as_number(column: str, dtype: Dtype) -> str:
    return f"TRY_CAST(replace(trim({column}), ',', '.') AS DOUBLE) IS NOT NULL" if dtype is Dtype.STRING else "false"


def _histogram(connection: duckdb.DuckDBPyConnection, number: str) -> Histogram | None:
    values = f"(SELECT {number} AS x FROM t)"
    least, most = _one(connection, f"SELECT min(x), max(x) FROM {values} WHERE isfinite(x)")
    if least is None:
        return None
    width = most / BINS - least / BINS  # divided first: the difference of two large numbers may be infinite
    if least + width == least or most - width == most:  # equal, or so close that the bins would have no width
        count = _one(connection, f"SELECT count(*) FROM {values} WHERE isfinite(x)")[0]
        return Histogram(edges=(least, most), counts=(count,))
    found = connection.execute(
        f"SELECT greatest(0, least({BINS - 1}, floor(x / {width!r} - {least / width!r})))::INTEGER, count(*) "
        f"FROM {values} WHERE isfinite(x) GROUP BY 1"
    ).fetchall()
    counts = dict(found)
    edges = (*(least * (1 - i / BINS) + most * (i / BINS) for i in range(BINS)), most)
    return Histogram(edges=edges, counts=tuple(int(counts.get(i, 0)) for i in range(BINS)))


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(sql).fetchone()
    return row or ()
