"""How JSON files are read: objects one a line, an array of them, or one object around a list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.duck import sql_list, sql_name
from storage.partitions import NO_FOLDERS, partition_columns, partition_links, partition_notes
from storage.source_files import SourceFile, read_blocks

OBJECT_BYTES = 16 << 20
"""What DuckDB takes for one object by itself."""
MOST_OBJECT_BYTES = 256 << 20
"""An object around a list is held in memory as a whole, several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonScan:
    """SQL that reads JSON files, the paths that it reads, and what was decided, one sentence each."""

    sql: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def json_scan(connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path]) -> JsonScan:
    """SQL that reads JSON files; of an object that is nothing but a list of objects around it, the rows of the list.

    Args:
        connection: Not confined yet.
        files: At least one.
        links: A path without special characters for each.

    Raises:
        duckdb.Error: A file is no JSON.
    """
    if len(files) == 1 and _is_one_object(files[0]):
        return _unwrapped(connection, files, links)
    if not any(file.folders for file in files):
        return JsonScan(sql=_read(links, NO_FOLDERS), paths=tuple(links), notes=())
    return _with_folders(files, links, connection.sql(_read(links, NO_FOLDERS)).columns)


def _with_folders(
    files: Sequence[SourceFile], links: Sequence[Path], names: Sequence[str], unwrap: str | None = None
) -> JsonScan:
    given = partition_columns(files, names)
    paths, folders = partition_links(links, given)
    sql = _read(paths, folders, size=files[0].path.stat().st_size)
    if unwrap is not None:
        wanted = [f"unnest({sql_name(unwrap)}, max_depth := 2)", *(sql_name(column.name) for column in given)]
        sql = f"SELECT {', '.join(wanted)} FROM ({sql})"
    return JsonScan(sql=sql, paths=tuple(paths), notes=tuple(partition_notes(given)))


def _read(paths: Sequence[Path], folders: str, *, size: int = 0) -> str:
    largest = f", maximum_object_size = {min(size, MOST_OBJECT_BYTES)}" if size > OBJECT_BYTES else ""
    return f"SELECT * FROM read_json({sql_list(paths)}, sample_size = -1, union_by_name = true, {folders}{largest})"


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


def _unwrapped(connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], links: Sequence[Path]) -> JsonScan:
    size = files[0].path.stat().st_size
    plain = _read(links, NO_FOLDERS, size=size)
    rows = connection.sql(plain)
    names = rows.columns
    lists = [name for name, type_ in zip(names, map(str, rows.types), strict=True) if _is_list_of_objects(type_)]
    (count,) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM ({plain}) LIMIT 2)").fetchone() or (0,)
    if not lists or count != 1:
        return _with_folders(files, links, names)
    if len(lists) > 1:
        read = _with_folders(files, links, names)
        query = f"SELECT unnest({sql_name(lists[0])}, max_depth := 2) FROM source"
        told = (
            f"{files[0].path.name} is one object, so it is one row; its lists {', '.join(lists)} may be the tables. "
            f'Add one of them with --query "{query}".'
        )
        return JsonScan(sql=read.sql, paths=read.paths, notes=(told, *read.notes))
    (name,) = lists
    inner = connection.sql(f"SELECT unnest({sql_name(name)}, max_depth := 2) FROM ({plain})").columns
    read = _with_folders(files, links, inner, unwrap=name)
    beside = [other for other in names if other != name]
    left = f" Left out beside it: {', '.join(beside)[:200]}." if beside else ""
    told = f"{files[0].path.name} is one object; its list {name!r} was read, one row each.{left}"
    return JsonScan(sql=read.sql, paths=read.paths, notes=(told, *read.notes))


def _is_list_of_objects(type_: str) -> bool:
    return type_.startswith("STRUCT(") and type_.endswith(")[]")
