"""The tables of alerts and of the states they follow from."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.delivery_rows import queue_closed, queue_opened
from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """A state that held for two windows in a row."""

    model: str
    subject: str
    state: str
    message: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alert; open while ``closed_at`` is None.

    Its times are those of what it tells of, which may have been replayed. When it was written, last when it was closed,
    stands in the column ``noted_at``, by which it ages.
    """

    id: int
    model: str
    subject: str
    state: str
    message: str
    opened_at: datetime
    closed_at: datetime | None
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """What is settled about a subject, what the newest judged window said, and which day that was (since 1970)."""

    settled: str
    last: str
    day: int


def open_alert(connection: sqlite3.Connection, new: NewAlert) -> None:
    """Write an alert and what its channels are to be told; a subject has one open alert, so close the earlier first."""
    written = connection.execute(
        "INSERT INTO alerts (model, subject, state, message, opened_at, noted_at) VALUES (?, ?, ?, ?, ?, ?)",
        (new.model, new.subject, new.state, new.message, to_text(new.opened_at), to_text(datetime.now(UTC))),
    )
    queue_opened(connection, int(written.lastrowid or 0), alarm=new.state == "alarm")


def close_alert(connection: sqlite3.Connection, model: str, subject: str, at: datetime) -> bool:
    """End a subject's open alert and tell the channels that were told of it; False when there is none."""
    row = connection.execute(
        "SELECT id FROM alerts WHERE model = ? AND subject = ? AND closed_at IS NULL", (model, subject)
    ).fetchone()
    if row is None:
        return False
    closed = connection.execute(
        "UPDATE alerts SET closed_at = ?, noted_at = ? WHERE id = ? AND closed_at IS NULL",
        (to_text(at), to_text(datetime.now(UTC)), row["id"]),
    )
    if closed.rowcount == 0:
        return False
    queue_closed(connection, int(row["id"]))
    return True


def list_alerts(connection: sqlite3.Connection, *, open_only: bool = False, limit: int = 100) -> list[AlertRow]:
    """Open alerts first, then the newest."""
    rows = connection.execute(
        "SELECT * FROM alerts WHERE closed_at IS NULL OR NOT ? ORDER BY closed_at IS NOT NULL, id DESC LIMIT ?",
        (open_only, limit),
    )
    return [_alert(row) for row in rows]


def find_alert(connection: sqlite3.Connection, alert_id: int) -> AlertRow | None:
    """One alert, or None."""
    row = connection.execute("SELECT * FROM alerts WHERE id = ?", (alert_id,)).fetchone()
    return None if row is None else _alert(row)


def has_open_alert(connection: sqlite3.Connection, model: str, subject: str) -> bool:
    """Whether a subject's alert is open."""
    found = connection.execute(
        "SELECT 1 FROM alerts WHERE model = ? AND subject = ? AND closed_at IS NULL", (model, subject)
    )
    return found.fetchone() is not None


def last_closing(connection: sqlite3.Connection, model: str, subject: str) -> datetime | None:
    """When the newest alert of a subject closed; None while it is open, or where there is none."""
    row = connection.execute(
        "SELECT closed_at FROM alerts WHERE model = ? AND subject = ? ORDER BY id DESC LIMIT 1", (model, subject)
    ).fetchone()
    return None if row is None or row["closed_at"] is None else from_text(row["closed_at"])


def acknowledge_alert(connection: sqlite3.Connection, alert_id: int, who: str) -> bool:
    """Note the first who has seen an alert; False when there is none or somebody was first."""
    with transaction(connection):
        noted = connection.execute(
            "UPDATE alerts SET acknowledged_by = ? WHERE id = ? AND acknowledged_by IS NULL", (who, alert_id)
        )
    return noted.rowcount == 1


def find_standing(connection: sqlite3.Connection, model: str, subject: str) -> StandingRow | None:
    """What is known about a subject, or None before its first judged window."""
    row = connection.execute(
        "SELECT settled, last, day FROM standings WHERE model = ? AND subject = ?", (model, subject)
    ).fetchone()
    return None if row is None else StandingRow(settled=row["settled"], last=row["last"], day=int(row["day"]))


def put_standing(connection: sqlite3.Connection, model: str, subject: str, standing: StandingRow) -> None:
    """Write what is known about a subject."""
    connection.execute(
        "INSERT INTO standings (model, subject, settled, last, day) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (model, subject) DO UPDATE SET "
        "settled = excluded.settled, last = excluded.last, day = excluded.day",
        (model, subject, standing.settled, standing.last, standing.day),
    )


def _alert(row: sqlite3.Row) -> AlertRow:
    return AlertRow(
        id=row["id"], model=row["model"], subject=row["subject"], state=row["state"], message=row["message"],
        opened_at=from_text(row["opened_at"]),
        closed_at=None if row["closed_at"] is None else from_text(row["closed_at"]),
        acknowledged_by=row["acknowledged_by"],
    )  # fmt: skip
