"""Reads a query's rows from a SQLite file with Python's own sqlite3: DuckDB would have to download an extension."""

from __future__ import annotations

import base64
import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from storage.csv_checks import KEPT_DIGITS
from storage.errors import SourceUnreadable

ROWS = 20_000
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?")


def read_sqlite(
    path: Path, query: str, stack: contextlib.ExitStack, notes: list[str] | None = None
) -> pa.RecordBatchReader:
    """The rows of one SELECT, in bounded memory; the file is opened read-only and closed by ``stack``.

    The query runs twice in one transaction: SQLite's columns have no type, so the first pass looks at every value.
    ``notes`` takes what was decided.

    Raises:
        SourceUnreadable: The file is no database, or the query is wrong.
    """
    _require_whole(path)
    try:
        # The rows may be read in another thread, one at a time.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        stack.callback(connection.close)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # the query sees this file alone
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        columns = _look(connection, query)
    except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError) as exc:
        raise SourceUnreadable(f"the query cannot be run on {path}: {exc}") from exc
    if notes is not None and (texts := [column.name for column in columns if column.kinds == _WOULD_ROUND]):
        notes.append(f"{KEPT_DIGITS}: {', '.join(texts)}.")
    schema = pa.schema([pa.field(column.name, column.arrow) for column in columns])
    return pa.RecordBatchReader.from_batches(schema, _batches(connection, query, columns, schema))


def _require_whole(path: Path) -> None:
    """SQLite reads zeros, as rows of nulls, where a file was cut off: its header says how many pages it has."""
    with path.open("rb") as file:
        head = file.read(100)
    page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
    is_counted = head[24:28] == head[92:96]  # else by a SQLite older than 3.7, which does not count
    wanted, there = (65_536 if page == 1 else page) * pages, path.stat().st_size
    if is_counted and there < wanted:
        raise SourceUnreadable(
            f"{path} is cut off: its header tells of {wanted:,} bytes, {there:,} are there; copy it again"
        )


_WOULD_ROUND = {"int", "long", "float"}
"""Of a column of whole numbers and floats: one that no float holds, so all are kept as text."""


class _Convert(Protocol):
    def __call__(self, value: object, /) -> object: ...


@dataclass(slots=True)
class _Column:
    name: str
    kinds: set[str] = field(default_factory=set)

    def look(self, value: object) -> None:
        if isinstance(value, str):
            self.kinds.add(_text_kind(value) if "text" not in self.kinds else "text")
        elif isinstance(value, int) and int(float(value)) != value:
            self.kinds |= {"int", "long"}
        elif value is not None:
            self.kinds.add(type(value).__name__)

    @property
    def arrow(self) -> pa.DataType:
        return self._decision[0]

    @property
    def convert(self) -> _Convert:
        return self._decision[1]

    @property
    def _decision(self) -> tuple[pa.DataType, _Convert]:
        kinds = self.kinds
        if kinds and kinds <= {"int", "long"}:
            return pa.int64(), _same
        if kinds and kinds <= {"int", "float"}:
            return pa.float64(), _number
        if kinds == {"date"}:
            return pa.date32(), _date
        if kinds and kinds <= {"date", "datetime"}:
            return pa.timestamp("us"), _datetime
        if kinds == {"bytes"}:
            return pa.binary(), _same
        return pa.string(), _text


def _look(connection: sqlite3.Connection, query: str) -> list[_Column]:
    cursor = connection.execute(query)
    if cursor.description is None:
        raise SourceUnreadable("the query must be one SELECT statement")
    columns = [_Column(name=str(entry[0])) for entry in cursor.description]
    for row in cursor:
        for column, value in zip(columns, row, strict=True):
            column.look(value)
    return columns


def _batches(
    connection: sqlite3.Connection, query: str, columns: Sequence[_Column], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    converts = [column.convert for column in columns]
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(ROWS):
        arrays = [
            pa.array([None if row[i] is None else convert(row[i]) for row in rows], schema.field(i).type)
            for i, convert in enumerate(converts)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text_kind(value: str) -> str:
    found = _ISO.fullmatch(value)
    if found is None:
        return "text"
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return "text"
    return "datetime" if found.group(1) else "date"


def _same(value: object) -> object:
    return value


def _number(value: object) -> object:
    return float(value) if isinstance(value, int) else value


def _date(value: object) -> object:
    return date.fromisoformat(str(value))


def _datetime(value: object) -> object:
    at = datetime.fromisoformat(str(value))
    return at.replace(tzinfo=None) - (at.utcoffset() or at - at)


def _text(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
