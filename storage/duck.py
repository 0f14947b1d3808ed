"""The one door to DuckDB: in-memory connections in bounded memory, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from storage.errors import StateUnwritable

MAX_SPILL = "100GB"
"""More than any sane query spills; a full disk ends it earlier, with a message."""


def open_duckdb(tmp: Path, *, memory: str = "1GB", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that spills to ``tmp`` beyond its memory; close it after use.

    Args:
        tmp: Directory for the spill.
        memory: DuckDB's memory limit, like ``512MB``.
        threads: At least 1.

    Raises:
        StateUnwritable: DuckDB refuses the settings or the directory.
    """
    try:
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory,
                "threads": threads,
                "temp_directory": str(tmp / "duckdb"),
                "max_temp_directory_size": MAX_SPILL,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        connection.execute("SET TimeZone = 'UTC'")
        # On by itself where __main__ has no file (python -c), and then printed into our JSON.
        connection.execute("SET enable_progress_bar = false")
    except duckdb.Error as exc:
        raise StateUnwritable(
            f"cannot open DuckDB with memory limit {memory} and spill below {tmp}: {exc}; "
            "change the setting duckdb_memory, or make the directory writable"
        ) from exc
    return connection


_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def allow_memory(connection: duckdb.DuckDBPyConnection, size: int) -> None:
    """Raise a connection's memory limit to ``size`` bytes where it is lower."""
    (told,) = connection.execute("SELECT current_setting('memory_limit')").fetchone() or ("0 bytes",)
    number, unit = str(told).split()
    if float(number) * _UNITS[unit] < size:
        connection.execute(f"SET memory_limit = '{size}B'")


def confine(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """From now on SQL reads these files alone and changes no setting: for SQL that somebody else wrote."""
    connection.execute(f"SET allowed_paths = {sql_list(files)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


OUT_OF_MEMORY = (
    "it needs more memory than DuckDB may use; raise the setting duckdb_memory (APPLIANCE_DUCKDB_MEMORY), or bring "
    "fewer columns, or Parquet"
)
"""What to do when a source does not fit though DuckDB spills: a text file with a single value of a gigabyte, say."""


def sql_text(value: object) -> str:
    """A value as a SQL text literal."""
    return "'" + str(value).replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_list(values: Sequence[object]) -> str:
    """Values as a SQL list of text literals."""
    return "[" + ", ".join(sql_text(value) for value in values) + "]"


def short_message(exc: Exception) -> str:
    """A library's message without its list of options: the lines that say what is wrong, at most 300 characters."""
    if isinstance(exc, duckdb.OutOfMemoryException):
        return OUT_OF_MEMORY
    lines = [line.strip() for line in str(exc).splitlines()]
    stop = next(
        (i for i, line in enumerate(lines) if line.startswith(("Possible ", "The search space", "Try setting "))),
        len(lines),
    )
    told = [line for line in lines[:stop] if line and not line.startswith("LINE ") and not set(line) <= set("^ ")]
    return "; ".join(told)[:300]
