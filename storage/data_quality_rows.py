"""The table of data quality: what was odd about the rows that a version took in an hour; bytes to this module."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQualityKey:
    """One hour of one version, champion and canary together; ``hour`` counts from 1970, UTC.

    Rows are counted in the hour of their event, refused requests in that of their arrival.
    """

    model: str
    version: int
    hour: int


def find_data_quality(connection: sqlite3.Connection, key: DataQualityKey) -> bytes | None:
    """An hour's counts, or None before its first row."""
    row = connection.execute(
        "SELECT counts FROM data_quality_windows WHERE model = ? AND version = ? AND hour = ?",
        (key.model, key.version, key.hour),
    ).fetchone()
    return None if row is None else bytes(row["counts"])


def put_data_quality(connection: sqlite3.Connection, key: DataQualityKey, counts: bytes) -> None:
    """Write an hour's counts in place of the earlier ones."""
    connection.execute(
        "INSERT INTO data_quality_windows (model, version, hour, counts) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (model, version, hour) DO UPDATE SET counts = excluded.counts",
        (key.model, key.version, key.hour, counts),
    )


def next_checked_days(
    connection: sqlite3.Connection, model: str, *, after: int, before: int, limit: int
) -> dict[int, int]:
    """Days since 1970 with rows or refusals, ascending, both ends excluded, to the newest version that had any."""
    rows = connection.execute(
        "SELECT hour / 24 AS day, MAX(version) AS version FROM data_quality_windows "
        "WHERE model = ? AND hour >= ? AND hour < ? GROUP BY day ORDER BY day LIMIT ?",
        (model, (after + 1) * 24, before * 24, limit),
    )
    return {int(row["day"]): int(row["version"]) for row in rows}


def checked_models(connection: sqlite3.Connection) -> list[str]:
    """Every model that was ever asked, though it may have refused all; by name."""
    found: list[str] = []
    while True:
        row = connection.execute(
            "SELECT MIN(model) FROM data_quality_windows WHERE model > ?", (found[-1] if found else "",)
        ).fetchone()
        if row[0] is None:
            return found
        found.append(row[0])


def newest_quality_hour(connection: sqlite3.Connection, model: str, *, until: int) -> int | None:
    """The newest hour of any version that has counts, at most ``until``; None without any."""
    row = connection.execute(
        "SELECT MAX(hour) FROM data_quality_windows WHERE model = ? AND hour <= ?", (model, until)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def scan_data_quality(
    connection: sqlite3.Connection, model: str, version: int, *, first_hour: int, last_hour: int
) -> Iterator[bytes]:
    """Counts of a version from ``first_hour`` up to but not including the last."""
    rows = connection.execute(
        "SELECT counts FROM data_quality_windows WHERE model = ? AND version = ? AND hour >= ? AND hour < ?",
        (model, version, first_hour, last_hour),
    )
    return (bytes(row["counts"]) for row in rows)
