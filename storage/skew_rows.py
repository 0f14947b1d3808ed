"""The table of what deployments were proved by: rows of the training replayed, and the first live rows judged."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewRow:
    """What is known of one deployment; the texts are JSON to this module, the counts bytes.

    Attributes:
        rows: Predictions of the version before the deployment was first seen, and their counts.
        replay: Empty until the rows were replayed.
        live: Empty until enough live rows came.
    """

    deployment: int
    model: str
    version: int
    rows: int
    counts: bytes
    replayed_at: datetime | None = None
    replay: str = ""
    live_at: datetime | None = None
    live: str = ""


def find_skew(connection: sqlite3.Connection, deployment: int) -> SkewRow | None:
    """What is known of a deployment, or None before it was first seen."""
    row = connection.execute("SELECT * FROM skew_checks WHERE deployment = ?", (deployment,)).fetchone()
    return None if row is None else _skew(row)


def find_last_replayed(connection: sqlite3.Connection, model: str, version: int) -> SkewRow | None:
    """The newest deployment of a version whose rows were replayed, though it may have ended; None before the first."""
    row = connection.execute(
        "SELECT * FROM skew_checks WHERE model = ? AND version = ? AND replay <> '' ORDER BY deployment DESC LIMIT 1",
        (model, version),
    ).fetchone()
    return None if row is None else _skew(row)


def list_skews(connection: sqlite3.Connection, model: str, *, limit: int = 20) -> list[SkewRow]:
    """A model's newest deployments first."""
    rows = connection.execute(
        "SELECT * FROM skew_checks WHERE model = ? ORDER BY deployment DESC LIMIT ?", (model, limit)
    )
    return [_skew(row) for row in rows]


def add_skew(connection: sqlite3.Connection, row: SkewRow) -> None:
    """Note a deployment that was first seen; a second word about it changes nothing."""
    connection.execute(
        "INSERT OR IGNORE INTO skew_checks (deployment, model, version, rows, counts) VALUES (?, ?, ?, ?, ?)",
        (row.deployment, row.model, row.version, row.rows, row.counts),
    )


def put_replay(connection: sqlite3.Connection, deployment: int, replay: str, at: datetime) -> None:
    """Write what the replay found."""
    connection.execute(
        "UPDATE skew_checks SET replay = ?, replayed_at = ? WHERE deployment = ?", (replay, to_text(at), deployment)
    )


def put_live(connection: sqlite3.Connection, deployment: int, live: str, at: datetime) -> None:
    """Write what the first live rows were like; once."""
    connection.execute(
        "UPDATE skew_checks SET live = ?, live_at = ? WHERE deployment = ? AND live = ''",
        (live, to_text(at), deployment),
    )


def _skew(row: sqlite3.Row) -> SkewRow:
    return SkewRow(
        deployment=row["deployment"], model=row["model"], version=row["version"], rows=row["rows"],
        counts=bytes(row["counts"]), replay=row["replay"], live=row["live"],
        replayed_at=None if row["replayed_at"] is None else from_text(row["replayed_at"]),
        live_at=None if row["live_at"] is None else from_text(row["live_at"]),
    )  # fmt: skip
