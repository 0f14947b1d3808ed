"""The table ``deployments``: which version serves in which role, and every change of that."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeployment:
    """A version about to serve.

    Attributes:
        role: ``champion``, ``canary`` or ``shadow``; a model has at most one live deployment a role.
        percent: A canary's share of the traffic, 1 to 99; None for the other roles.
        rollback: It takes the place of a version that was given up.
    """

    model: str
    version: int
    role: str
    who: str
    reason: str
    started_at: datetime
    percent: int | None = None
    rollback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRow:
    """A version that serves, or served until ``ended_at``."""

    id: int
    model: str
    version: int
    role: str
    percent: int | None
    started_at: datetime
    ended_at: datetime | None
    who: str
    reason: str
    rollback: bool


def put_deployment(connection: sqlite3.Connection, new: NewDeployment, *, replaces: int | None) -> DeploymentRow | None:
    """End the live deployment ``replaces`` and start the new one, together.

    Args:
        connection: The state database.
        new: What shall serve.
        replaces: Id of the live deployment of that model and role that the caller saw; None when it saw none.

    Returns:
        The deployment, or None, and nothing changed, when another one went live meanwhile.
    """
    with transaction(connection):
        live = connection.execute(
            "SELECT id FROM deployments WHERE model = ? AND role = ? AND ended_at IS NULL", (new.model, new.role)
        ).fetchone()
        if (None if live is None else live["id"]) != replaces:
            return None
        if replaces is not None:
            end_deployment(connection, replaces, new.started_at)
        cursor = connection.execute(
            "INSERT INTO deployments (model, version, role, percent, started_at, who, reason, rollback) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.model, new.version, new.role, new.percent, to_text(new.started_at), new.who, new.reason,
                new.rollback,
            ),
        )  # fmt: skip
        found = connection.execute("SELECT * FROM deployments WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return _deployment(found)


def end_deployment(connection: sqlite3.Connection, deployment_id: int, at: datetime) -> bool:
    """Stop a live deployment; False when it had ended already."""
    cursor = connection.execute(
        "UPDATE deployments SET ended_at = ? WHERE id = ? AND ended_at IS NULL", (to_text(at), deployment_id)
    )
    return cursor.rowcount == 1


def find_deployment(connection: sqlite3.Connection, model: str, role: str) -> DeploymentRow | None:
    """What serves in that role now, or None."""
    found = connection.execute(
        "SELECT * FROM deployments WHERE model = ? AND role = ? AND ended_at IS NULL", (model, role)
    ).fetchone()
    return None if found is None else _deployment(found)


def live_deployments(connection: sqlite3.Connection) -> list[DeploymentRow]:
    """What serves now, by model and role."""
    rows = connection.execute("SELECT * FROM deployments WHERE ended_at IS NULL ORDER BY model, role")
    return [_deployment(row) for row in rows]


def deployment_history(connection: sqlite3.Connection, model: str) -> list[DeploymentRow]:
    """Every deployment of a model, live ones too, newest first."""
    rows = connection.execute("SELECT * FROM deployments WHERE model = ? ORDER BY id DESC", (model,))
    return [_deployment(row) for row in rows]


def _deployment(row: sqlite3.Row) -> DeploymentRow:
    return DeploymentRow(
        id=row["id"], model=row["model"], version=row["version"], role=row["role"], percent=row["percent"],
        started_at=from_text(row["started_at"]),
        ended_at=None if row["ended_at"] is None else from_text(row["ended_at"]),
        who=row["who"], reason=row["reason"], rollback=bool(row["rollback"]),
    )  # fmt: skip
