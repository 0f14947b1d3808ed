"""Which rows have a value of a unique column that stands in an earlier row, or in the rows that are there.

An earlier row counts if it is taken: where it breaks a rule, its value is still to be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.columns import ColumnInfo, Dtype
from storage.conform import ARROW
from storage.duck import sql_list, sql_name

Rows = npt.NDArray[np.int64]

_BATCH_ROWS = 65_536


class Keys:
    """The unique columns' values of all rows, written to a Parquet file."""

    def __init__(self, path: Path, columns: Sequence[ColumnInfo]) -> None:
        """``columns`` are the unique ones, with the types that the rules give them."""
        self._path = path
        self._columns = columns
        values = [(f"v{number}", ARROW[column.dtype]) for number, column in enumerate(columns)]
        self._schema = pa.schema([("r", pa.int64()), ("kept", pa.bool_()), *values])
        self._writer = pq.ParquetWriter(path, self._schema, compression="lz4")
        self._rows = 0

    def add(self, values: Sequence[pl.Series], kept: pl.Series) -> None:
        """Add rows: each column's values, and whether the rows keep all other rules."""
        numbers = pl.int_range(self._rows, self._rows + len(kept), dtype=pl.Int64, eager=True)
        self._rows += len(kept)
        columns = [
            series.alias(name) for series, name in zip((numbers, kept, *values), self._schema.names, strict=True)
        ]
        table = pl.DataFrame(columns).to_arrow().cast(self._schema)
        self._writer.write_table(table)

    def find_repeats(self, connection: duckdb.DuckDBPyConnection, old: Sequence[str]) -> dict[str, Rows]:
        """By column the rows, from 0 and ascending, that repeat a value; ``old`` are files of the rows that are there.

        Only rows whose value stands more than once are looked at one by one, in their order.
        """
        self._writer.close()
        connection.execute(f"CREATE TEMP VIEW k AS SELECT * FROM read_parquet({sql_list([self._path])})")
        places = range(len(self._columns))
        groups = [
            f"d{i} AS (SELECT v{i} AS v, min(r) AS c FROM k WHERE v{i} IS NOT NULL GROUP BY v{i} HAVING count(*) > 1)"
            for i in places
        ]
        asked = [f"coalesce(d{i}.c, -1) AS c{i}, {self._is_old(i, old)} AS o{i}" for i in places]
        joined = " ".join(f"LEFT JOIN d{i} ON k.v{i} = d{i}.v" for i in places)
        suspects = " OR ".join(f"c{i} >= 0 OR o{i}" for i in places)
        sql = (
            f"WITH {', '.join(groups)} SELECT * FROM (SELECT r, kept, {', '.join(asked)} FROM k {joined}) "
            f"WHERE {suspects} ORDER BY r"
        )
        taken = [_Taken(seen=bytearray(self._rows), repeats=[]) for _ in places]
        for batch in connection.sql(sql).to_arrow_reader(_BATCH_ROWS):
            for row, kept, *found in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                values = list(zip(taken, found[::2], found[1::2], strict=True))
                again = [is_old or each.has(code) for each, code, is_old in values]
                for (each, code, _), is_again in zip(values, again, strict=True):
                    if is_again:
                        each.repeats.append(row)
                    elif kept and code >= 0 and not any(again):
                        each.seen[code] = 1
        named = zip(self._columns, taken, strict=True)
        return {column.name: np.array(each.repeats, np.int64) for column, each in named}

    def _is_old(self, place: int, old: Sequence[str]) -> str:
        column = self._columns[place]
        if not old or column.name not in pq.read_schema(old[0]).names:  # an evolution adds it
            return "false"
        name = sql_name(column.name)
        value = f"{name}::VARCHAR" if column.dtype is Dtype.STRING else name
        there = f"SELECT {value} FROM read_parquet({sql_list(old)}, hive_partitioning = false)"
        return f"coalesce(k.v{place} IN ({there}), false)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Of one column: which values of taken rows were seen, by the first row that has the value; the repeats so far."""

    seen: bytearray
    repeats: list[int]

    def has(self, code: int) -> bool:
        return code >= 0 and self.seen[code] == 1
