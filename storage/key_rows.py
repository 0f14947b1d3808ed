"""The table ``keys``: API keys by their hash; the text of a key is stored nowhere.

The serving process imports this module: nothing beyond the standard library.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An API key, without the key.

    Attributes:
        scope: Scopes joined by commas.
        hint: The first characters of the key, to recognise it by.
        revoked_at: From then on it opens nothing; None while it is good.
    """

    name: str
    scope: str
    hint: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None


def put_key(connection: sqlite3.Connection, row: KeyRow, *, key_hash: bytes) -> bool:
    """Insert a key; False, and nothing changed, when the name is taken, revoked or not."""
    cursor = connection.execute(
        "INSERT INTO keys (name, scope, hash, hint, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO NOTHING",
        (row.name, row.scope, key_hash, row.hint, to_text(row.created_at), row.created_by),
    )
    return cursor.rowcount == 1


def find_key_by_hash(connection: sqlite3.Connection, key_hash: bytes) -> KeyRow | None:
    """The key that is not revoked and has that sha256, or None."""
    row = connection.execute("SELECT * FROM keys WHERE hash = ? AND revoked_at IS NULL", (key_hash,)).fetchone()
    return None if row is None else _key(row)


def list_keys(connection: sqlite3.Connection) -> list[KeyRow]:
    """Every key, revoked ones too, by name."""
    return [_key(row) for row in connection.execute("SELECT * FROM keys ORDER BY name")]


def revoke_key(connection: sqlite3.Connection, name: str, at: datetime) -> bool:
    """Make a key open nothing from now on; False when no good key has that name."""
    cursor = connection.execute(
        "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (to_text(at), name)
    )
    return cursor.rowcount == 1


def _key(row: sqlite3.Row) -> KeyRow:
    return KeyRow(
        name=row["name"], scope=row["scope"], hint=row["hint"], created_at=from_text(row["created_at"]),
        created_by=row["created_by"],
        revoked_at=None if row["revoked_at"] is None else from_text(row["revoked_at"]),
    )  # fmt: skip
