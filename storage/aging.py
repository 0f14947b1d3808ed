"""Rows of the state database that time makes: what is old goes or is added up, and the watch loop writes in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import to_text, transaction

HOUR_MINUTES = 60
BATCH = 2_000
"""Rows of one transaction."""

Add = Callable[[Iterable[bytes]], bytes]
"""Adds stored counts up."""


@dataclass(frozen=True, slots=True)
class Aging:
    """A kind of rows that go once they are old.

    Attributes:
        old: SELECT of the keys of old rows; its parameter is the oldest instant that is kept.
        removed: DELETE statements, each for one key.
    """

    old: str
    removed: tuple[str, ...]


AGING = {
    # Judged days of replayed rows open and close alerts with the times of long ago.
    "alerts": Aging(
        "SELECT id FROM alerts WHERE closed_at IS NOT NULL AND noted_at < ?",
        ("DELETE FROM deliveries WHERE alert = ?", "DELETE FROM alerts WHERE id = ?"),
    ),
    "test messages": Aging(
        "SELECT id FROM deliveries WHERE alert IS NULL AND ended_at < ?", ("DELETE FROM deliveries WHERE id = ?",)
    ),
    "jobs' progress": Aging(
        "SELECT job_id FROM job_progress WHERE updated_at < ?", ("DELETE FROM job_progress WHERE job_id = ?",)
    ),
    # A prediction whose outcome went is never collected again.
    "collected predictions": Aging(
        "SELECT c.prediction_id FROM collected c JOIN collections k ON k.id = c.collection "
        "WHERE k.dataset_version IS NOT NULL AND k.started_at < ? "
        "AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.id = c.prediction_id)",
        ("DELETE FROM collected WHERE prediction_id = ?",),
    ),
}
"""By what people call them."""


def count_old(connection: sqlite3.Connection, what: str, *, before: datetime) -> int:
    """How many rows of a kind of ``AGING`` are older than that."""
    found = connection.execute(f"SELECT COUNT(*) FROM ({AGING[what].old})", (to_text(before),))  # noqa: S608
    return int(found.fetchone()[0])


def remove_old(connection: sqlite3.Connection, what: str, *, before: datetime, batch: int = BATCH) -> None:
    """Let them go, in transactions of ``batch`` rows; may be killed anywhere."""
    rule = AGING[what]
    while True:
        with transaction(connection):
            keys = connection.execute(f"{rule.old} LIMIT {batch}", (to_text(before),)).fetchall()
            for statement in rule.removed:
                connection.executemany(statement, keys)
        if len(keys) < batch:
            return


def count_old_studies(connection: sqlite3.Connection, *, before: datetime) -> int:
    """Nightly findings that were noted before that, but for each kind's newest."""
    found = connection.execute(f"SELECT COUNT(*) FROM studies s WHERE {_OLD_STUDY}", (to_text(before),))  # noqa: S608
    return int(found.fetchone()[0])


def remove_old_studies(connection: sqlite3.Connection, *, before: datetime) -> None:
    """Let them go."""
    with transaction(connection):
        connection.execute(f"DELETE FROM studies AS s WHERE {_OLD_STUDY}", (to_text(before),))  # noqa: S608


# Not by the day that was studied: of rows that were replayed it is long ago.
_OLD_STUDY = (
    "s.noted_at < ? AND EXISTS (SELECT 1 FROM studies n WHERE n.model = s.model AND n.kind = s.kind AND n.day > s.day)"
)


def count_old_minutes(connection: sqlite3.Connection, *, before: int) -> list[tuple[str, int]]:
    """Each model with service windows of minutes before that (since 1970) that are no whole hours yet, and how many."""
    rows = connection.execute(
        "SELECT model, COUNT(*) AS count FROM service_windows WHERE minute < ? AND minute % ? <> 0 "
        "GROUP BY model ORDER BY model",
        (before, HOUR_MINUTES),
    )
    return [(row["model"], row["count"]) for row in rows]


def add_up_minutes(connection: sqlite3.Connection, add: Add, *, before: int, batch: int = 200) -> None:
    """Make each hour before that minute one window, which begins with the hour.

    Each hour is added up in one transaction, with up to ``batch`` others; counts that come late make a minute of their
    own, which is added the next time.

    Args:
        connection: Of the state database.
        add: What adds counts up.
        before: A whole hour, in minutes since 1970.
        batch: Hours of one transaction.
    """
    while True:
        with transaction(connection):
            hours = connection.execute(
                "SELECT DISTINCT model, version, shadow, minute / ? FROM service_windows "
                "WHERE minute < ? AND minute % ? <> 0 LIMIT ?",
                (HOUR_MINUTES, before, HOUR_MINUTES, batch),
            ).fetchall()
            for model, version, shadow, hour in hours:
                span = (model, version, shadow, hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)
                counts = [
                    bytes(row[0])
                    for row in connection.execute(f"SELECT counts FROM service_windows {_SPAN}", span)  # noqa: S608
                ]
                connection.execute(f"DELETE FROM service_windows {_SPAN}", span)  # noqa: S608
                connection.execute(
                    "INSERT INTO service_windows (model, version, shadow, minute, counts) VALUES (?, ?, ?, ?, ?)",
                    (model, version, shadow, hour * HOUR_MINUTES, add(counts)),
                )
        if len(hours) < batch:
            return


_SPAN = "WHERE model = ? AND version = ? AND shadow = ? AND minute >= ? AND minute < ?"
