"""The tables of channels that alerts go out through, and of subjects that are to be quiet for a while."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A channel, without its address.

    Attributes:
        kind: ``webhook``, or the service's name.
        hint: What an operator recognises it by; holds no secret.
        least: ``warn`` or ``alarm``: the mildest state that it is told of.
    """

    name: str
    kind: str
    hint: str
    least: str
    created_at: datetime
    created_by: str


def put_channel(connection: sqlite3.Connection, row: ChannelRow, *, sealed: bytes) -> bool:
    """Add a channel with its sealed address; False when the name is taken."""
    written = connection.execute(
        "INSERT INTO channels (name, kind, hint, least, sealed, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (row.name, row.kind, row.hint, row.least, sealed, to_text(row.created_at), row.created_by),
    )
    return written.rowcount == 1


def list_channels(connection: sqlite3.Connection) -> list[ChannelRow]:
    """Every channel, by name."""
    return [_channel(row) for row in connection.execute("SELECT * FROM channels ORDER BY name")]


def find_channel(connection: sqlite3.Connection, name: str) -> ChannelRow | None:
    """One channel, or None."""
    row = connection.execute("SELECT * FROM channels WHERE name = ?", (name,)).fetchone()
    return None if row is None else _channel(row)


def find_sealed_address(connection: sqlite3.Connection, name: str) -> bytes | None:
    """A channel's address as it was sealed, or None without such a channel."""
    row = connection.execute("SELECT sealed FROM channels WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row["sealed"])


def delete_channel(connection: sqlite3.Connection, name: str) -> bool:
    """Remove a channel and everything that was on its way through it; False when there is none."""
    with transaction(connection):
        connection.execute("DELETE FROM deliveries WHERE channel = ?", (name,))
        return connection.execute("DELETE FROM channels WHERE name = ?", (name,)).rowcount == 1


def put_snooze(connection: sqlite3.Connection, model: str, subject: str, *, until: datetime, who: str) -> None:
    """Keep a subject quiet until then; a later word replaces an earlier one."""
    connection.execute(
        "INSERT INTO snoozes (model, subject, until, who) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (model, subject) DO UPDATE SET until = excluded.until, who = excluded.who",
        (model, subject, to_text(until), who),
    )


def find_snooze(connection: sqlite3.Connection, model: str, subject: str) -> datetime | None:
    """Until when a subject is quiet, which may be over; None when it never was."""
    row = connection.execute(
        "SELECT until FROM snoozes WHERE model = ? AND subject = ?", (model, subject)
    ).fetchone()  # fmt: skip
    return None if row is None else from_text(row["until"])


def _channel(row: sqlite3.Row) -> ChannelRow:
    return ChannelRow(
        name=row["name"], kind=row["kind"], hint=row["hint"], least=row["least"],
        created_at=from_text(row["created_at"]), created_by=row["created_by"],
    )  # fmt: skip
