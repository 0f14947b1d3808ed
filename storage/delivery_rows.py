"""The table ``deliveries``: what each channel is to be told, written in the transaction that opens or closes an alert.

A delivery is claimed by a conditional UPDATE that also moves its due time to the end of the claim: two loops never hold
the same one, and one whose loop was killed becomes due again when its claim has run out.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from storage.statedb import from_text, to_text


class Event(StrEnum):
    """What a channel is told."""

    OPENED = "opened"
    STILL_OPEN = "still_open"
    CLOSED = "closed"
    TEST = "test"


class DeliveryState(StrEnum):
    """Where a delivery is; dead: it was tried often enough."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    SKIPPED = "skipped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One message to one channel.

    Attributes:
        alert: The alert's id; None for a test.
        due_at: Not before then; while it is being sent, when its claim runs out.
        attempts: How often it was begun.
        reason: Why it failed last, or was skipped; holds no secret.
    """

    id: int
    channel: str
    alert: int | None
    event: Event
    state: DeliveryState
    due_at: datetime
    attempts: int
    reason: str
    created_at: datetime
    ended_at: datetime | None


def queue_opened(connection: sqlite3.Connection, alert: int, *, alarm: bool) -> None:
    """Every channel that wants such a state is to be told of a new alert."""
    now = to_text(datetime.now(UTC))
    connection.execute(
        "INSERT INTO deliveries (channel, alert, event, state, due_at, created_at) "
        "SELECT name, ?, 'opened', 'waiting', ?, ? FROM channels WHERE least = 'warn' OR ?",
        (alert, now, now, alarm),
    )


def queue_closed(connection: sqlite3.Connection, alert: int) -> None:
    """Every channel that was told of an alert, or is about to be, is to be told that it is over."""
    now = to_text(datetime.now(UTC))
    connection.execute(
        "INSERT INTO deliveries (channel, alert, event, state, due_at, created_at) "
        "SELECT channel, alert, 'closed', 'waiting', ?, ? FROM deliveries WHERE alert = ? AND event = 'opened' "
        "ON CONFLICT DO NOTHING",
        (now, now, alert),
    )


def queue_still_open(connection: sqlite3.Connection, alert: int, *, due_at: datetime) -> None:
    """Every channel that was told of an alert is to be told again, then."""
    connection.execute(
        "INSERT INTO deliveries (channel, alert, event, state, due_at, created_at) "
        "SELECT channel, alert, 'still_open', 'waiting', ?, ? FROM deliveries WHERE alert = ? AND event = 'opened' "
        "ON CONFLICT (channel, alert, event) DO UPDATE SET "
        "state = 'waiting', due_at = excluded.due_at, attempts = 0, reason = '', "
        "ended_at = NULL",
        (to_text(due_at), to_text(datetime.now(UTC)), alert),
    )


def queue_test(connection: sqlite3.Connection, channel: str, *, claim: str, until: datetime) -> DeliveryRow:
    """A test message that is held by its writer from the beginning, who sends it at once."""
    written = connection.execute(
        "INSERT INTO deliveries (channel, event, state, due_at, attempts, claim, created_at) "
        "VALUES (?, 'test', 'sending', ?, 1, ?, ?)",
        (channel, to_text(until), claim, to_text(datetime.now(UTC))),
    )
    return _delivery(connection.execute("SELECT * FROM deliveries WHERE id = ?", (written.lastrowid,)).fetchone())


def due_deliveries(connection: sqlite3.Connection, now: datetime, *, limit: int = 100) -> list[DeliveryRow]:
    """What may be claimed now, the longest due first."""
    rows = connection.execute(
        "SELECT * FROM deliveries WHERE state IN ('waiting', 'sending') AND due_at <= ? ORDER BY due_at, id LIMIT ?",
        (to_text(now), limit),
    )
    return [_delivery(row) for row in rows]


def claim_delivery(
    connection: sqlite3.Connection, delivery: DeliveryRow, *, claim: str, until: datetime, now: datetime
) -> bool:
    """Take a due delivery for this loop until then; False when another loop has it."""
    taken = connection.execute(
        "UPDATE deliveries SET state = 'sending', claim = ?, attempts = attempts + 1, due_at = ? "
        "WHERE id = ? AND state IN ('waiting', 'sending') AND due_at <= ?",
        (claim, to_text(until), delivery.id, to_text(now)),
    )
    return taken.rowcount == 1


def hold_delivery(connection: sqlite3.Connection, delivery: DeliveryRow, *, until: datetime) -> bool:
    """Put a delivery off that nobody holds; False when it changed meanwhile."""
    held = connection.execute(
        "UPDATE deliveries SET state = 'waiting', due_at = ? WHERE id = ? AND state = ? AND due_at = ?",
        (to_text(until), delivery.id, delivery.state, to_text(delivery.due_at)),
    )
    return held.rowcount == 1


def hold_channel(connection: sqlite3.Connection, channel: str, *, until: datetime) -> None:
    """What else waits for a channel that just failed waits at least as long."""
    connection.execute(
        "UPDATE deliveries SET due_at = ? WHERE channel = ? AND state = 'waiting' AND event <> 'test' AND due_at < ?",
        (to_text(until), channel, to_text(until)),
    )


def skip_delivery(connection: sqlite3.Connection, delivery: DeliveryRow, *, reason: str, now: datetime) -> bool:
    """End a delivery that need not be sent any more; False when it changed meanwhile."""
    ended = connection.execute(
        "UPDATE deliveries SET state = 'skipped', reason = ?, ended_at = ? WHERE id = ? AND state = ? AND due_at = ?",
        (reason, to_text(now), delivery.id, delivery.state, to_text(delivery.due_at)),
    )
    return ended.rowcount == 1


def end_delivery(connection: sqlite3.Connection, delivery_id: int, *, claim: str, now: datetime) -> bool:
    """It was sent; False when the claim had run out and another loop took it."""
    ended = connection.execute(
        "UPDATE deliveries SET state = 'sent', reason = '', ended_at = ? "
        "WHERE id = ? AND claim = ? AND state = 'sending'",
        (to_text(now), delivery_id, claim),
    )
    return ended.rowcount == 1


def fail_delivery(
    connection: sqlite3.Connection, delivery_id: int, *, claim: str, reason: str, retry_at: datetime | None
) -> bool:
    """It failed: try again then, or never (None); False when another loop took it meanwhile."""
    state = DeliveryState.DEAD if retry_at is None else DeliveryState.WAITING
    at = to_text(retry_at or datetime.now(UTC))
    failed = connection.execute(
        "UPDATE deliveries SET state = ?, reason = ?, due_at = ?, ended_at = CASE WHEN ? = 'dead' THEN ? END "
        "WHERE id = ? AND claim = ? AND state = 'sending'",
        (state, reason, at, state, at, delivery_id, claim),
    )
    return failed.rowcount == 1


def revive_delivery(connection: sqlite3.Connection, delivery_id: int, now: datetime) -> bool:
    """Try a dead delivery again from the beginning; False when it is not dead."""
    revived = connection.execute(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, due_at = ?, ended_at = NULL "
        "WHERE id = ? AND state = 'dead'",
        (to_text(now), delivery_id),
    )
    return revived.rowcount == 1


def find_delivery(connection: sqlite3.Connection, delivery_id: int) -> DeliveryRow | None:
    """One delivery, or None."""
    row = connection.execute("SELECT * FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return None if row is None else _delivery(row)


def find_opening(connection: sqlite3.Connection, channel: str, alert: int) -> DeliveryRow | None:
    """How a channel was told, or is to be, that an alert opened."""
    row = connection.execute(
        "SELECT * FROM deliveries WHERE channel = ? AND alert = ? AND event = 'opened'", (channel, alert)
    ).fetchone()
    return None if row is None else _delivery(row)


def last_opening(
    connection: sqlite3.Connection, channel: str, model: str, subject: str
) -> tuple[datetime, str] | None:  # fmt: skip
    """When a channel was last told that a subject's alert opened, and of which state; None when it never was."""
    row = connection.execute(
        "SELECT d.ended_at, a.state FROM deliveries d JOIN alerts a ON a.id = d.alert "
        "WHERE a.model = ? AND a.subject = ? AND d.channel = ? AND d.event = 'opened' AND d.state = 'sent' "
        "ORDER BY d.ended_at DESC LIMIT 1",
        (model, subject, channel),
    ).fetchone()
    return None if row is None else (from_text(row["ended_at"]), str(row["state"]))


def find_later_opening(connection: sqlite3.Connection, channel: str, alert: int) -> DeliveryState | None:
    """How far a channel was told of a later alert of the same subject: sent, or being sent; None when not at all."""
    row = connection.execute(
        "SELECT d.state FROM alerts this JOIN alerts a ON a.model = this.model AND a.subject = this.subject "
        "AND a.id > this.id JOIN deliveries d ON d.alert = a.id "
        "WHERE this.id = ? AND d.channel = ? AND d.event = 'opened' AND d.state IN ('sent', 'sending') "
        "ORDER BY d.state = 'sent' DESC LIMIT 1",
        (alert, channel),
    ).fetchone()
    return None if row is None else DeliveryState(row["state"])


def list_deliveries(
    connection: sqlite3.Connection, *, state: DeliveryState | None = None, limit: int = 100
) -> list[DeliveryRow]:
    """The newest deliveries, of one state or of all."""
    rows = connection.execute(
        "SELECT * FROM deliveries WHERE (? IS NULL OR state = ?) ORDER BY id DESC LIMIT ?", (state, state, limit)
    )
    return [_delivery(row) for row in rows]


def list_deliveries_of(connection: sqlite3.Connection, alert: int) -> list[DeliveryRow]:
    """What channels were told, or are to be told, of an alert, in the order in which it was written."""
    rows = connection.execute("SELECT * FROM deliveries WHERE alert = ? ORDER BY id", (alert,))
    return [_delivery(row) for row in rows]


def count_deliveries(connection: sqlite3.Connection) -> dict[str, int]:
    """State to the number of deliveries in it."""
    rows = connection.execute("SELECT state, COUNT(*) AS n FROM deliveries GROUP BY state")
    return {row["state"]: int(row["n"]) for row in rows}


def _delivery(row: sqlite3.Row) -> DeliveryRow:
    return DeliveryRow(
        id=row["id"], channel=row["channel"], alert=row["alert"], event=Event(row["event"]),
        state=DeliveryState(row["state"]), due_at=from_text(row["due_at"]), attempts=row["attempts"],
        reason=row["reason"], created_at=from_text(row["created_at"]),
        ended_at=None if row["ended_at"] is None else from_text(row["ended_at"]),
    )  # fmt: skip
