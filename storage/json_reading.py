"""How JSON files are read: objects one a line, an array of them, or one object around a list of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from storage.csv_checks import KEPT_DIGITS
from storage.csv_values import LONG_WHOLE, answers
from storage.duck import sql_list, sql_name, sql_text
from storage.errors import SourceUnreadable
from storage.partitions import NO_FOLDERS, partition_columns, partition_links, partition_notes
from storage.source_files import SourceFile, read_blocks

OBJECT_BYTES = 16 << 20
"""What DuckDB takes for one object by itself."""
MOST_OBJECT_BYTES = 256 << 20
"""An object around a list is held in memory as a whole, several times."""

_ROUNDED = frozenset({"DOUBLE", *LONG_WHOLE})
_NUMBERS = _ROUNDED | {"BIGINT"}
"""DuckDB's types of numbers in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonScan:
    """SQL that reads JSON files, the paths that it reads, and what was decided, one sentence each."""

    sql: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def json_scan(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path],
    texts: Collection[str] = (),
) -> JsonScan:  # fmt: skip
    """SQL that reads JSON files; of an object that is nothing but a list of objects around it, the rows of the list.

    Args:
        connection: Not confined yet.
        files: At least one.
        links: A path without special characters for each.
        texts: Columns whose numbers are wanted as texts: whole ones digit by digit, others as a float is written.

    Raises:
        duckdb.Error: A file is no JSON.
        SourceUnreadable: A column of floats has a whole number that a float would round.
    """
    if len(files) == 1 and _is_one_object(files[0]):
        return _unwrapped(connection, files, links, texts)
    return _rows(connection, files, links, texts)


def _rows(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path], texts: Collection[str]
) -> JsonScan:
    """Each object is a row."""
    size = files[0].path.stat().st_size
    found = connection.sql(_read(links, NO_FOLDERS, size=size))
    types = dict(zip(found.columns, map(str, found.types), strict=True))

    def read_as(columns: Mapping[str, str]) -> str:
        return _read(links, NO_FOLDERS, size=size, columns=columns)

    columns, told = _decide_texts(connection, files[0], types, texts, read_as)
    if any(file.folders for file in files):
        read = _with_folders(files, links, list(types), columns=columns)
        return replace(read, notes=(*told, *read.notes))
    sql = _read(links, NO_FOLDERS, size=size, columns=columns)
    return JsonScan(sql=sql, paths=tuple(links), notes=told)


def _decide_texts(
    connection: duckdb.DuckDBPyConnection, file: SourceFile, types: Mapping[str, str], texts: Collection[str],
    read_as: Callable[[Mapping[str, str]], str],
) -> tuple[dict[str, str] | None, tuple[str, ...]]:  # fmt: skip
    """The types by which the columns are read, None where all are DuckDB's own, and what was decided.

    Args:
        connection: Not confined yet.
        file: The first one.
        types: DuckDB's own.
        texts: As for ``json_scan``.
        read_as: SQL that reads columns, each by that type.

    Raises:
        SourceUnreadable: As ``json_scan``.
    """
    # Texts among numbers are JSON for DuckDB, which leaves them in their quotation marks; 00:30 would come as 00:30:00.
    of_texts = (
        name for name, type_ in types.items() if type_ in {"JSON", "TIME"} or (name in texts and type_ in _NUMBERS)
    )
    wanted = dict.fromkeys(of_texts, "VARCHAR")
    digits = _find_digits(connection, file, {**types, **wanted}, read_as)
    told = (f"{KEPT_DIGITS}: {', '.join(digits)}.",) if digits else ()
    return {**types, **wanted, **dict.fromkeys(digits, "VARCHAR")} if wanted or digits else None, told


def _find_digits(
    connection: duckdb.DuckDBPyConnection, file: SourceFile, types: Mapping[str, str],
    read_as: Callable[[Mapping[str, str]], str],
) -> list[str]:  # fmt: skip
    """Columns of whole numbers that no float and no whole number of 64 bits holds.

    Raises:
        SourceUnreadable: One has fractions as well.
    """
    names = [name for name, type_ in types.items() if type_ in _ROUNDED]
    if not names:
        return []
    texts = read_as(dict.fromkeys(names, "VARCHAR"))
    lost = {
        name: number
        for name, number in zip(names, answers(connection, [_lost(name) for name in names], texts), strict=True)
        if number is not None
    }
    whole = answers(connection, [f"bool_and({_is_whole(name)})" for name in lost], texts)
    for (name, number), are_whole in zip(lost.items(), whole, strict=True):
        if not are_whole:
            told = shlex.quote(f"{name}=string")
            raise SourceUnreadable(
                f"{file.path}: its column {name!r} has fractions, so it is a float, which would round the whole number "
                f"{number}; write it as a text where it is an id, or read it as one: --type {told}"
            )
    return list(lost)


def _is_whole(name: str) -> str:
    return f"regexp_full_match({sql_name(name)}, '-?[0-9]+')"


def _lost(name: str) -> str:
    """A whole number that a float does not give back, or none."""
    column = sql_name(name)
    number, again = f"TRY_CAST({column} AS HUGEINT)", f"TRY_CAST(TRY_CAST({column} AS DOUBLE) AS HUGEINT)"
    is_lost = f"{_is_whole(name)} AND ({number} IS NULL OR {number} IS DISTINCT FROM {again})"
    return f"min({column}) FILTER (CASE WHEN length({column}) > 15 THEN {is_lost} ELSE false END)"


def _with_folders(
    files: Sequence[SourceFile], links: Sequence[Path], names: Sequence[str], unwrap: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> JsonScan:  # fmt: skip
    given = partition_columns(files, names)
    paths, folders = partition_links(links, given)
    sql = _read(paths, folders, size=files[0].path.stat().st_size, columns=columns)
    if unwrap is not None:
        wanted = [f"unnest({sql_name(unwrap)}, max_depth := 2)", *(sql_name(column.name) for column in given)]
        sql = f"SELECT {', '.join(wanted)} FROM ({sql})"
    return JsonScan(sql=sql, paths=tuple(paths), notes=tuple(partition_notes(given)))


def _read(paths: Sequence[Path], folders: str, *, size: int = 0, columns: Mapping[str, str] | None = None) -> str:
    more = f", maximum_object_size = {min(size, MOST_OBJECT_BYTES)}" if size > OBJECT_BYTES else ""
    if columns is not None:
        told = ", ".join(f"{sql_text(name)}: {sql_text(type_)}" for name, type_ in columns.items())
        more += f", columns = {{{told}}}"
    return f"SELECT * FROM read_json({sql_list(paths)}, sample_size = -1, union_by_name = true, {folders}{more})"


def _is_one_object(file: SourceFile) -> bool:
    """Whether it begins with an object that does not end in its line, or is alone in it."""
    head = next(read_blocks(file), b"").decode("utf-8-sig", errors="replace").lstrip()
    if not head.startswith("{"):
        return False
    line, _, rest = head.partition("\n")
    try:
        json.loads(line)
    except ValueError:
        return True
    return not rest.strip()


def _unwrapped(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path], texts: Collection[str]
) -> JsonScan:
    size = files[0].path.stat().st_size
    plain = _read(links, NO_FOLDERS, size=size)
    rows = connection.sql(plain)
    names = rows.columns
    lists = [name for name, type_ in zip(names, map(str, rows.types), strict=True) if _is_list_of_objects(type_)]
    (count,) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM ({plain}) LIMIT 2)").fetchone() or (0,)
    if not lists or count != 1:
        return _rows(connection, files, links, texts)
    if len(lists) > 1:
        read = _with_folders(files, links, names)
        query = f"SELECT unnest({sql_name(lists[0])}, max_depth := 2) FROM source"
        told = (
            f"{files[0].path.name} is one object, so it is one row; its lists {', '.join(lists)} may be the tables. "
            f'Add one of them with --query "{query}".'
        )
        return JsonScan(sql=read.sql, paths=read.paths, notes=(told, *read.notes))
    (name,) = lists
    inner = connection.sql(f"SELECT unnest({sql_name(name)}, max_depth := 2) FROM ({plain})")
    types = dict(zip(inner.columns, map(str, inner.types), strict=True))

    def read_as(columns: Mapping[str, str]) -> str:
        whole = _read(links, NO_FOLDERS, size=size, columns=_list_of(name, columns))
        return f"SELECT unnest({sql_name(name)}, max_depth := 2) FROM ({whole})"

    columns, kept = _decide_texts(connection, files[0], types, texts, read_as)
    outer = None if columns is None else dict(zip(names, map(str, rows.types), strict=True)) | _list_of(name, columns)
    read = _with_folders(files, links, inner.columns, unwrap=name, columns=outer)
    beside = [other for other in names if other != name]
    left = f" Left out beside it: {', '.join(beside)[:200]}." if beside else ""
    told = f"{files[0].path.name} is one object; its list {name!r} was read, one row each.{left}"
    return JsonScan(sql=read.sql, paths=read.paths, notes=(told, *kept, *read.notes))


def _list_of(name: str, fields: Mapping[str, str]) -> dict[str, str]:
    """The type of a column that is a list of objects."""
    return {name: f"STRUCT({', '.join(f'{sql_name(field)} {type_}' for field, type_ in fields.items())})[]"}


def _is_list_of_objects(type_: str) -> bool:
    return type_.startswith("STRUCT(") and type_.endswith(")[]")
