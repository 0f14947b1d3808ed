"""The tables of the watch loop: windows, the cursors they were counted up to, faults and heartbeats.

A window's counts are bytes to this module. Writers call these inside one ``transaction``: windows and cursors are
written together, so that every event is counted exactly once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureKey:
    """One hour of event time of one model, version and variant; ``hour`` counts from 1970, UTC."""

    model: str
    version: int
    variant: str
    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """One minute of arrival of one model and version; ``minute`` counts from 1970, UTC.

    Attributes:
        shadow: What the version scored as a shadow, which nobody waited for, apart from what it answered.
    """

    model: str
    version: int
    minute: int
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """When a loop last finished a look, and what it said about it."""

    at: datetime
    detail: str


def read_cursors(connection: sqlite3.Connection, kind: str) -> dict[str, int]:
    """Segment to the byte up to which it was counted."""
    rows = connection.execute("SELECT segment, offset FROM cursors WHERE kind = ?", (kind,))
    return {row["segment"]: int(row["offset"]) for row in rows}


def advance_cursor(connection: sqlite3.Connection, kind: str, segment: str, *, start: int, end: int) -> bool:
    """Move a cursor from ``start`` to ``end``; False, and nothing changed, when it was not at ``start``."""
    if start == 0:
        moved = connection.execute("INSERT OR IGNORE INTO cursors VALUES (?, ?, ?)", (kind, segment, end))
    else:
        moved = connection.execute(
            "UPDATE cursors SET offset = ? WHERE kind = ? AND segment = ? AND offset = ?", (end, kind, segment, start)
        )
    return moved.rowcount == 1


def forget_cursor(connection: sqlite3.Connection, kind: str, segment: str) -> None:
    """Drop the cursor of a segment that is gone."""
    connection.execute("DELETE FROM cursors WHERE kind = ? AND segment = ?", (kind, segment))


def find_feature_window(connection: sqlite3.Connection, key: FeatureKey) -> bytes | None:
    """A window's counts, or None before the first event of that hour."""
    row = connection.execute(
        "SELECT counts FROM feature_windows WHERE model = ? AND version = ? AND variant = ? AND hour = ?",
        (key.model, key.version, key.variant, key.hour),
    ).fetchone()
    return None if row is None else bytes(row["counts"])


def put_feature_window(connection: sqlite3.Connection, key: FeatureKey, *, rows: int, counts: bytes) -> None:
    """Write a window's counts and its number of predictions in place of the earlier ones."""
    connection.execute(
        "INSERT INTO feature_windows (model, version, variant, hour, rows, counts) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (model, version, variant, hour) DO UPDATE SET rows = excluded.rows, counts = excluded.counts",
        (key.model, key.version, key.variant, key.hour, rows, counts),
    )


def scan_feature_windows(
    connection: sqlite3.Connection, model: str, version: int, *, first_hour: int, last_hour: int
) -> Iterator[bytes]:
    """Counts of a version's own traffic (champion and canary) from ``first_hour`` up to but not including the last."""
    rows = connection.execute(
        "SELECT counts FROM feature_windows WHERE model = ? AND version = ? AND variant <> 'shadow' "
        "AND hour >= ? AND hour < ?",
        (model, version, first_hour, last_hour),
    )
    return (bytes(row["counts"]) for row in rows)


def scan_hours(
    connection: sqlite3.Connection, model: str, version: int, *, first_hour: int, last_hour: int
) -> Iterator[tuple[int, bytes]]:
    """``(hour, counts)`` of a version's own traffic, as ``scan_feature_windows``."""
    rows = connection.execute(
        "SELECT hour, counts FROM feature_windows WHERE model = ? AND version = ? AND variant <> 'shadow' "
        "AND hour >= ? AND hour < ?",
        (model, version, first_hour, last_hour),
    )
    return ((int(row["hour"]), bytes(row["counts"])) for row in rows)


LAST = (1 << 62) - 1
"""An hour or a minute that no event has."""


def newest_hours(connection: sqlite3.Connection, model: str, *, until: int = LAST) -> dict[int, int]:
    """Version to the newest event hour of its own traffic, at most ``until``; versions without any are left out."""
    found = {}
    version = _next_version(connection, model, after=-1)
    while version is not None:
        hours = [
            connection.execute(
                "SELECT MAX(hour) FROM feature_windows WHERE model = ? AND version = ? AND variant = ? AND hour <= ?",
                (model, version, variant, until),
            ).fetchone()[0]
            for variant in ("champion", "canary", "direct")
        ]
        if known := [int(hour) for hour in hours if hour is not None]:
            found[version] = max(known)
        version = _next_version(connection, model, after=version)
    return found


def watched_models(connection: sqlite3.Connection) -> list[str]:
    """Every model that ever had an event, by name."""
    found: list[str] = []
    while True:
        # One seek a model: the loop asks this all the time, and the table grows by the hour.
        row = connection.execute(
            "SELECT MIN(model) FROM feature_windows WHERE model > ?", (found[-1] if found else "",)
        ).fetchone()
        if row[0] is None:
            return found
        found.append(row[0])


def predictions_by_bucket(
    connection: sqlite3.Connection,
    model: str,
    *,
    first_hour: int,
    last_hour: int,
    bucket_hours: int,
    shadow: bool = False,
) -> dict[tuple[int, int], int]:
    """``(bucket, version)`` to predictions, answered or of shadows; a bucket is ``hour // bucket_hours``."""
    rows = connection.execute(
        "SELECT hour / ? AS bucket, version, SUM(rows) AS predicted FROM feature_windows "
        "WHERE model = ? AND (variant = 'shadow') = ? AND hour >= ? AND hour < ? GROUP BY 1, 2",
        (bucket_hours, model, shadow, first_hour, last_hour),
    )
    return {(int(row["bucket"]), int(row["version"])): int(row["predicted"]) for row in rows}


def count_predictions(connection: sqlite3.Connection, model: str, version: int) -> int:
    """Predictions that a version answered, champion and canary, since its first."""
    row = connection.execute(
        "SELECT SUM(rows) FROM feature_windows WHERE model = ? AND version = ? AND variant <> 'shadow'",
        (model, version),
    ).fetchone()
    return int(row[0] or 0)


def count_ahead(connection: sqlite3.Connection, *, after_hour: int) -> dict[str, tuple[int, int]]:
    """Model to its predictions dated after an hour since 1970, and the newest of their hours; others are left out."""
    found = {}
    for model in watched_models(connection):
        newest = max(newest_hours(connection, model).values(), default=after_hour)
        if newest > after_hour:  # else nothing of the model is read, whose table grows by the hour
            row = connection.execute(
                "SELECT SUM(rows) AS predicted FROM feature_windows WHERE model = ? AND hour > ? "
                "AND variant <> 'shadow'", (model, after_hour)
            ).fetchone()  # fmt: skip
            found[model] = (int(row["predicted"]), newest)
    return found


def next_days(connection: sqlite3.Connection, model: str, *, after: int, before: int, limit: int) -> list[int]:
    """Days since 1970 with events, ascending, both ends excluded."""
    rows = connection.execute(
        "SELECT DISTINCT hour / 24 AS day FROM feature_windows WHERE model = ? AND variant <> 'shadow' "
        "AND hour >= ? AND hour < ? ORDER BY day LIMIT ?",
        (model, (after + 1) * 24, before * 24, limit),
    )
    return [int(row["day"]) for row in rows]


def find_service_window(connection: sqlite3.Connection, key: ServiceKey) -> bytes | None:
    """A minute's counts, or None before its first request."""
    row = connection.execute(
        "SELECT counts FROM service_windows WHERE model = ? AND version = ? AND shadow = ? AND minute = ?",
        (key.model, key.version, key.shadow, key.minute),
    ).fetchone()
    return None if row is None else bytes(row["counts"])


def put_service_window(connection: sqlite3.Connection, key: ServiceKey, counts: bytes) -> None:
    """Write a minute's counts in place of the earlier ones."""
    connection.execute(
        "INSERT INTO service_windows (model, version, shadow, minute, counts) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (model, version, shadow, minute) DO UPDATE SET counts = excluded.counts",
        (key.model, key.version, key.shadow, key.minute, counts),
    )


def scan_service_windows(
    connection: sqlite3.Connection, model: str, *, first_minute: int, last_minute: int, shadow: bool = False
) -> Iterator[tuple[ServiceKey, bytes]]:
    """A model's minutes of every version, from the first up to but not including the last; answers, or shadows."""
    rows = connection.execute(
        "SELECT version, minute, counts FROM service_windows WHERE model = ? AND shadow = ? AND minute >= ? "
        "AND minute < ? ORDER BY minute, version",
        (model, shadow, first_minute, last_minute),
    )
    for row in rows:
        key = ServiceKey(model=model, version=int(row["version"]), minute=int(row["minute"]), shadow=shadow)
        yield key, bytes(row["counts"])


def newest_minute(connection: sqlite3.Connection, model: str, *, until: int = LAST) -> int | None:
    """The newest minute, at most ``until``, a request of that model was answered or refused in, or None."""
    row = connection.execute(
        "SELECT MAX(minute) AS minute FROM service_windows WHERE model = ? AND shadow = 0 AND minute <= ?",
        (model, until),
    ).fetchone()
    return None if row["minute"] is None else int(row["minute"])


def add_faults(connection: sqlite3.Connection, day: str, faults: Mapping[str, int]) -> None:
    """Add to the day's count of each kind of fault; ``day`` as YYYY-MM-DD."""
    connection.executemany(
        "INSERT INTO faults (kind, day, count) VALUES (?, ?, ?) "
        "ON CONFLICT (kind, day) DO UPDATE SET count = count + excluded.count",
        [(kind, day, count) for kind, count in faults.items() if count],
    )


def fault_totals(connection: sqlite3.Connection) -> dict[str, int]:
    """Kind of fault to its count since the beginning."""
    rows = connection.execute("SELECT kind, SUM(count) AS total FROM faults GROUP BY kind ORDER BY kind")
    return {row["kind"]: int(row["total"]) for row in rows}


def put_heartbeat(connection: sqlite3.Connection, name: str, heartbeat: Heartbeat) -> None:
    """Note that a loop finished a look."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO heartbeats (name, at, detail) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail",
            (name, to_text(heartbeat.at), heartbeat.detail),
        )


def find_heartbeat(connection: sqlite3.Connection, name: str) -> Heartbeat | None:
    """The newest heartbeat of a loop, or None when it never ran."""
    row = connection.execute("SELECT at, detail FROM heartbeats WHERE name = ?", (name,)).fetchone()
    return None if row is None else Heartbeat(at=from_text(row["at"]), detail=row["detail"])


def _next_version(connection: sqlite3.Connection, model: str, *, after: int) -> int | None:
    row = connection.execute(
        "SELECT MIN(version) FROM feature_windows WHERE model = ? AND version > ?", (model, after)
    ).fetchone()
    return None if row[0] is None else int(row[0])
