"""What the process that runs somebody's SELECT is ordered, and what it answers."""

from __future__ import annotations

from typing import Any

import msgspec


class QueryTable(msgspec.Struct, frozen=True, kw_only=True):
    """A name in the query and the snapshot behind it."""

    name: str
    dataset: str
    version: int


class QueryOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and within which limits."""

    sql: str
    tables: tuple[QueryTable, ...]
    state: str
    tmp: str
    memory: str
    rows: int
    timeout_s: int


class QueryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The rows, or what is wrong with the query.

    Attributes:
        columns: Name and DuckDB type.
        truncated: There were more rows than were asked for.
    """

    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    truncated: bool = False
    wrong: str = ""
