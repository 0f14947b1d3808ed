"""The one door to DuckDB: in-memory connections in bounded memory, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb


def open_duckdb(
    tmp: Path, *, memory: str = "1GB", threads: int = 1, allowed: Sequence[Path] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that spills to ``tmp`` beyond its memory; close it after use.

    Args:
        tmp: Directory for the spill.
        memory: DuckDB's memory limit, like ``512MB``.
        threads: At least 1.
        allowed: When given, SQL may read these files alone: for SQL that somebody else wrote.

    Raises:
        StateUnwritable: ``tmp`` cannot be used.
    """
    raise NotImplementedError
