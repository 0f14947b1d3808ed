"""The table ``users``: who may log in, as what."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A person with a login.

    Attributes:
        role: ``viewer``, ``operator`` or ``admin``.
        password_hash: Argon2's own text, with its parameters and salt.
        must_change: The password was given by somebody else and opens only the page that changes it.
    """

    name: str
    role: str
    password_hash: str
    must_change: bool
    created_at: datetime


def put_user(connection: sqlite3.Connection, row: UserRow) -> bool:
    """Insert a user; False, and nothing changed, when the name is taken."""
    cursor = connection.execute(
        "INSERT INTO users (name, role, password_hash, must_change, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO NOTHING",
        (row.name, row.role, row.password_hash, row.must_change, to_text(row.created_at)),
    )
    return cursor.rowcount == 1


def find_user(connection: sqlite3.Connection, name: str) -> UserRow | None:
    """The user of that name, or None."""
    row = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
    return None if row is None else _user(row)


def list_users(connection: sqlite3.Connection) -> list[UserRow]:
    """Every user, by name."""
    return [_user(row) for row in connection.execute("SELECT * FROM users ORDER BY name")]


def set_user_password(connection: sqlite3.Connection, name: str, password_hash: str, *, must_change: bool) -> bool:
    """Change a user's password; False when there is no such user."""
    cursor = connection.execute(
        "UPDATE users SET password_hash = ?, must_change = ? WHERE name = ?", (password_hash, must_change, name)
    )
    return cursor.rowcount == 1


def set_user_role(connection: sqlite3.Connection, name: str, role: str) -> bool:
    """Change a user's role; False, and nothing changed, when there is no such user or nobody would be admin then."""
    cursor = connection.execute(
        "UPDATE users SET role = :role WHERE name = :name AND (:role = 'admin' OR EXISTS "
        "(SELECT 1 FROM users WHERE role = 'admin' AND name <> :name))",
        {"role": role, "name": name},
    )
    return cursor.rowcount == 1


def delete_user(connection: sqlite3.Connection, name: str) -> bool:
    """Remove a user; False, and nothing changed, when there is no such user or it is the last admin."""
    cursor = connection.execute(
        "DELETE FROM users WHERE name = :name AND EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND name <> :name)",
        {"name": name},
    )
    return cursor.rowcount == 1


def _user(row: sqlite3.Row) -> UserRow:
    return UserRow(
        name=row["name"], role=row["role"], password_hash=row["password_hash"],
        must_change=bool(row["must_change"]), created_at=from_text(row["created_at"]),
    )  # fmt: skip
