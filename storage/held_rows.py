"""The table of what waits to be counted: parts of the log whose version could not be read when they came."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The records of one version in a part of a segment.

    Attributes:
        kind: Of the log, ``predictions`` or ``labels``.
        start: First byte of the part.
        stop: The one behind its last.
        rows: Predictions or labels of the version in it.
        since: When the part was read.
    """

    kind: str
    segment: str
    start: int
    stop: int
    model: str
    version: int
    rows: int
    since: datetime


def put_held(connection: sqlite3.Connection, held: Held) -> None:
    """Note a part; one that waits already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO held (kind, segment, start, stop, model, version, rows, since) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (held.kind, held.segment, held.start, held.stop, held.model, held.version, held.rows, to_text(held.since)),
    )


def list_held(connection: sqlite3.Connection) -> list[Held]:
    """What waits, predictions before labels, in the order of the log."""
    rows = connection.execute("SELECT * FROM held ORDER BY kind DESC, segment, start, model, version")
    return [Held(**{**dict(row), "since": from_text(row["since"])}) for row in rows]


def take_held(connection: sqlite3.Connection, held: Held) -> bool:
    """Let a part wait no longer; False when another loop took it."""
    gone = connection.execute(
        "DELETE FROM held WHERE kind = ? AND segment = ? AND start = ? AND model = ? AND version = ?",
        (held.kind, held.segment, held.start, held.model, held.version),
    )
    return gone.rowcount == 1


def held_segments(connection: sqlite3.Connection, kind: str) -> set[str]:
    """Segments with a part that waits."""
    return {row["segment"] for row in connection.execute("SELECT DISTINCT segment FROM held WHERE kind = ?", (kind,))}
