"""Parquet files that are read as one table: their schemas held against each other, from their footers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from storage.columns import SQL_TYPE, Dtype
from storage.conform import EVOLVES, dtype_of, require_new_name
from storage.duck import sql_list, sql_name
from storage.errors import SourceUnreadable
from storage.partitions import partition_columns, partition_links, partition_notes
from storage.source_files import COPY_AGAIN, SourceFile

EXACT = {True: 2**24, False: 2**53}
"""Whole numbers up to here are whole numbers as float32, as float64; by whether it is float32."""

DUCKDB_DIGITS = 38
"""Of a decimal, at most."""

SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetScan:
    """SQL that reads Parquet files, the paths that it reads, and what was decided, one sentence each."""

    sql: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """A column as one file has it."""

    file: int
    arrow: pa.DataType


def parquet_scan(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path]
) -> ParquetScan:
    """SQL that reads Parquet files as one table, with the columns of all.

    Where files differ, int64 and float64 become float64, date and datetime become datetime, and a column that a file
    lacks is null in its rows.

    Args:
        connection: Not confined yet.
        files: At least one.
        links: A path without special characters for each.

    Raises:
        SourceUnreadable: A file is damaged or names a column twice, or two have a column as types that do not go
            together; names the file and the column.
    """
    schemas = [_read_schema(file) for file in files]
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    _require_one_case(files, schemas)
    _require_held(connection, files, links, schemas)
    partitions = partition_columns(files, names)
    paths, folders = partition_links(links, partitions)
    first = {field.name: field.type for field in schemas[0]}
    if all({field.name: field.type for field in schema} == first for schema in schemas[1:]):
        return ParquetScan(
            sql=f"SELECT * FROM read_parquet({sql_list(paths)}, {folders})",
            paths=tuple(paths), notes=tuple(partition_notes(partitions)),
        )  # fmt: skip
    held = _held(schemas)
    notes, casts = [], []
    for name, each in held.items():
        wanted = _wanted(files, name, each)
        if len({dtype_of(one.arrow) for one in each if not pa.types.is_null(one.arrow)}) > 1:
            notes.append(_told_types(files, name, each, wanted))
            if wanted is Dtype.FLOAT:
                _require_exact(connection, files, links, name, each)
        if wanted is not Dtype.STRING and len({one.arrow for one in each}) > 1:
            casts.append(f"CAST({sql_name(name)} AS {SQL_TYPE[wanted]}) AS {sql_name(name)}")
    notes += _told_missing(files, held)
    replaced = f" REPLACE ({', '.join(casts)})" if casts else ""
    return ParquetScan(
        sql=f"SELECT *{replaced} FROM read_parquet({sql_list(paths)}, union_by_name = true, {folders})",
        paths=tuple(paths), notes=(*notes, *partition_notes(partitions)),
    )  # fmt: skip


def _read_schema(file: SourceFile) -> pa.Schema:
    seen: dict[str, str] = {}
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowException, OSError) as exc:
        raise SourceUnreadable(
            f"{file.path} cannot be read as Parquet: {str(exc).splitlines()[0]}; {COPY_AGAIN}"
        ) from exc
    try:
        for name in schema.names:
            require_new_name(seen, name)
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{file.path}: {exc}") from exc
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])


def _plain(arrow: pa.DataType) -> pa.DataType:
    """The type of the values, however they are kept."""
    types = pa.types
    if types.is_dictionary(arrow):
        return _plain(arrow.value_type)
    if types.is_large_string(arrow) or types.is_string_view(arrow):
        return pa.string()
    return pa.binary() if types.is_large_binary(arrow) or types.is_binary_view(arrow) else arrow


def _require_one_case(files: Sequence[SourceFile], schemas: Sequence[pa.Schema]) -> None:
    seen: dict[str, str] = {}
    for file, schema in zip(files, schemas, strict=True):
        for name in schema.names:
            if (other := seen.setdefault(name.lower(), name)) != name:
                raise SourceUnreadable(
                    f"{file.path}: its column {name!r} is {other!r} in another file: they differ by case; give it one "
                    "name in all files, or add the files one by one"
                )


def _require_held(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path],
    schemas: Sequence[pa.Schema],
) -> None:  # fmt: skip
    """DuckDB takes decimals of more than 38 digits as floats: what may become another whole number is refused."""
    for file, link, schema in zip(files, links, schemas, strict=True):
        for field in schema:
            if not pa.types.is_decimal(field.type) or field.type.precision <= DUCKDB_DIGITS:
                continue
            rows = f"read_parquet({sql_list([link])}, hive_partitioning = false)"
            column = sql_name(field.name)
            found = connection.execute(f"SELECT {column} FROM {rows} WHERE abs({column}) >= {2**53} LIMIT 1").fetchone()
            if found is not None:
                raise SourceUnreadable(
                    f"{file.path}: its column {field.name!r} has {field.type.precision} digits and the number "
                    f"{found[0]:.0f}, which is read as a float; write it as text where it is an id, or with at most "
                    f"{DUCKDB_DIGITS} digits"
                )


def _held(schemas: Sequence[pa.Schema]) -> dict[str, list[_Held]]:
    held: dict[str, list[_Held]] = {}
    for number, schema in enumerate(schemas):
        for field in schema:
            held.setdefault(field.name, []).append(_Held(number, field.type))
    return held


def _wanted(files: Sequence[SourceFile], name: str, held: Sequence[_Held]) -> Dtype:
    """What the column becomes."""
    some = [one for one in held if not pa.types.is_null(one.arrow)]
    if not some:
        return Dtype.STRING
    first, wanted = some[0], dtype_of(some[0].arrow)
    for one in some[1:]:
        dtype = dtype_of(one.arrow)
        if (wanted, dtype) in EVOLVES:
            wanted = dtype
        elif (dtype, wanted) not in EVOLVES and (
            dtype is not wanted or (dtype is Dtype.STRING and one.arrow != first.arrow)
        ):
            raise SourceUnreadable(
                f"{files[one.file].path}: its column {name!r} is {one.arrow}, but {first.arrow} in "
                f"{files[first.file].path}; write it as one type in all files, or add the files one by one with a "
                "query that casts it"
            )
    return wanted


def _require_exact(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path], name: str,
    held: Sequence[_Held],
) -> None:  # fmt: skip
    """A whole number that the float would round is refused; DuckDB takes a float32 where no file has a float64."""
    floats = {one.arrow for one in held if pa.types.is_floating(one.arrow)}
    limit = EXACT[bool(floats) and pa.float64() not in floats]
    for one in held:
        if not pa.types.is_integer(one.arrow):
            continue
        rows = f"read_parquet({sql_list([links[one.file]])}, hive_partitioning = false)"
        found = connection.execute(
            f"SELECT {sql_name(name)} FROM {rows} WHERE {sql_name(name)} NOT BETWEEN -{limit} AND {limit} LIMIT 1"
        ).fetchone()
        if found is not None:
            raise SourceUnreadable(
                f"{files[one.file].path}: its column {name!r} is a float in other files, which would round the whole "
                f"number {found[0]}; write it as one type in all files, as text where it is an id"
            )


def _told_types(files: Sequence[SourceFile], name: str, held: Sequence[_Held], wanted: Dtype) -> str:
    first: dict[str, str] = {}
    for one in held:
        first.setdefault(str(one.arrow), files[one.file].path.name)
    told = ", ".join(f"{arrow} in {file}" for arrow, file in first.items())
    return f"The column {name!r} was read as {wanted}, since files differ: {told}."


def _told_missing(files: Sequence[SourceFile], held: dict[str, list[_Held]]) -> list[str]:
    notes = []
    for name, each in held.items():
        having = {one.file for one in each}
        lacking = [file.path.name for number, file in enumerate(files) if number not in having]
        if lacking:
            more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
            told = ", ".join(lacking[:SHOWN]) + more
            notes.append(f"The column {name!r} is null in the rows of {told}, which lack it.")
    return notes
