"""The door to the state database: SQLite in WAL mode, one writer at a time, no import beyond the standard library.

The schema lives in ``storage.migrations``; the serving process reads this database without importing that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.errors import NumberTooLarge, StaleSchema, StateUnwritable

SCHEMA_VERSION = 9
"""How many migrations this program knows; ``PRAGMA user_version`` of a current database."""


class _Connection(sqlite3.Connection):
    """Says of a number that SQLite cannot hold that nothing is there, whoever asked for it."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except OverflowError as exc:
            raise NumberTooLarge(
                f"ids and versions go from 1 up to {2**63 - 1}; nothing has a number beyond that"
            ) from exc


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the state database; rows come as ``sqlite3.Row``, transactions are explicit.

    Raises:
        StateUnwritable: The file cannot be opened.
        StaleSchema: The schema is not this program's.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
            uri=True, isolation_level=None, timeout=10.0, check_same_thread=False, factory=_Connection,
        )  # fmt: skip
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA foreign_keys = ON")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as exc:
        if connection is not None:
            connection.close()
        raise StateUnwritable(f"cannot open the state database {path}: {exc}; run 'appliance doctor'") from exc
    if version != SCHEMA_VERSION:
        connection.close()
        raise StaleSchema(
            f"the state database {path} has schema {version}, this program needs {SCHEMA_VERSION}; "
            "run 'appliance migrate' with the newest installed release"
        )
    return connection


def to_text(at: datetime) -> str:
    """A UTC-aware time as the ISO 8601 text that the database keeps; texts sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The UTC-aware time that ``to_text`` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything inside is written together, or nothing is; takes the write lock at once.

    Inside another transaction of the same connection it joins that one, so that row functions compose.
    """
    if connection.in_transaction:
        yield connection
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything read inside is as it was at one moment; inside a transaction, that one's."""
    if connection.in_transaction:
        yield connection
        return
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")
