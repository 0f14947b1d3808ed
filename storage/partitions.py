"""Columns that folders give: ``year=2026/rows.parquet`` has a column ``year``, which is 2026 in all of its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from storage.duck import sql_text
from storage.source_files import SourceFile

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""How Hive, Spark and DuckDB write a missing value."""

NO_FOLDERS = "hive_partitioning = false"

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})|\d\d")
"""Two digits are a month, a day or an hour; other numbers with a leading zero are codes."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")

Value = int | date | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionColumn:
    """A column that folders give; ``values`` by file, None where a file lies in no such folder."""

    name: str
    values: tuple[Value, ...]

    @property
    def sql_type(self) -> str:
        """DuckDB's type of it."""
        first = next((value for value in self.values if value is not None), "")
        return "BIGINT" if isinstance(first, int) else "DATE" if isinstance(first, date) else "VARCHAR"

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow's type of it."""
        return {"BIGINT": pa.int64(), "DATE": pa.date32(), "VARCHAR": pa.string()}[self.sql_type]


def partition_columns(files: Sequence[SourceFile], names: Collection[str]) -> list[PartitionColumn]:
    """The columns that folders give; those that stand in the files as well (``names``) are the files'."""
    told = [dict(file.folders) for file in files]
    has = {name.lower() for name in names}
    keys = sorted({key for values in told for key in values})  # DuckDB gives them in this order
    return [
        PartitionColumn(name=key, values=_typed([values.get(key, NO_VALUE) for values in told]))
        for key in keys
        if key.lower() not in has
    ]


def partition_notes(columns: Sequence[PartitionColumn]) -> list[str]:
    """A sentence on the columns that came of folders, if some did."""
    if not columns:
        return []
    told = f"Taken from the names of folders: {', '.join(column.name for column in columns)}."
    partly = [column.name for column in columns if None in column.values]
    return [told + (f" Null where the files lie in no such folder: {', '.join(partly)}." if partly else "")]


def partition_links(links: Sequence[Path], columns: Sequence[PartitionColumn]) -> tuple[list[Path], str]:
    """Links to the links whose folders say the columns, and the options by which DuckDB takes them from there.

    DuckDB wants every file to have all of them, and only those.
    """
    if not columns:
        return list(links), NO_FOLDERS
    made = []
    for number, link in enumerate(links):
        folder = link.parent / f"in-{number}"
        for column in columns:
            value = column.values[number]
            folder /= f"{column.name}={NO_VALUE if value is None else quote(str(value), safe='')}"
        folder.mkdir(parents=True)
        made.append(folder / link.name)
        made[-1].symlink_to(link.absolute())
    types = ", ".join(f"{sql_text(column.name)}: {sql_text(column.sql_type)}" for column in columns)
    return made, f"hive_partitioning = true, hive_types = {{{types}}}"


def _typed(texts: Sequence[str]) -> tuple[Value, ...]:
    present = [text for text in texts if text != NO_VALUE]
    read: Callable[[str], Value] = str
    if present and all(_WHOLE.fullmatch(text) for text in present):
        read = int
    elif present and all(_is_day(text) for text in present):
        read = date.fromisoformat
    return tuple(None if text == NO_VALUE else read(text) for text in texts)


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False
