"""The table ``job_progress``: how far a job is, for those who watch it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRow:
    """How far a job is.

    Attributes:
        job_id: Prefect's flow run id.
        model: What it works for, where it works for one.
        step: What it does now, in a word or two.
        fraction: 0 to 1, of the whole job.
        message: One sentence for a person.
        curve: A training's learning curve so far: (iteration, metric on the training rows, metric on the rows that
            decide when to stop).
    """

    job_id: str
    model: str | None
    step: str
    fraction: float
    message: str
    updated_at: datetime
    curve: tuple[tuple[int, float, float], ...] = ()


def put_progress(connection: sqlite3.Connection, row: ProgressRow) -> None:
    """Insert or replace a job's progress."""
    connection.execute(
        "INSERT INTO job_progress (job_id, model, step, fraction, message, curve, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET model = excluded.model, "
        "step = excluded.step, fraction = excluded.fraction, message = excluded.message, "
        "curve = excluded.curve, updated_at = excluded.updated_at",
        (
            row.job_id, row.model, row.step, row.fraction, row.message,
            json.dumps([list(point) for point in row.curve]), to_text(row.updated_at),
        ),
    )  # fmt: skip


def put_result(connection: sqlite3.Connection, job_id: str, result: str) -> bool:
    """Keep what a job brought, as JSON text; False when the job told no progress before."""
    cursor = connection.execute("UPDATE job_progress SET result = ? WHERE job_id = ?", (result, job_id))
    return cursor.rowcount == 1


def find_result(connection: sqlite3.Connection, job_id: str) -> str | None:
    """What a job brought, as JSON text, or None."""
    row = connection.execute("SELECT result FROM job_progress WHERE job_id = ?", (job_id,)).fetchone()
    return None if row is None else row["result"]


def find_progress(connection: sqlite3.Connection, job_id: str) -> ProgressRow | None:
    """A job's progress, or None when it told none."""
    row = connection.execute("SELECT * FROM job_progress WHERE job_id = ?", (job_id,)).fetchone()
    return None if row is None else _progress(row)


def list_progress(connection: sqlite3.Connection, *, limit: int = 100) -> list[ProgressRow]:
    """What jobs told, the latest first."""
    rows = connection.execute("SELECT * FROM job_progress ORDER BY updated_at DESC LIMIT ?", (limit,))
    return [_progress(row) for row in rows]


def _progress(row: sqlite3.Row) -> ProgressRow:
    return ProgressRow(
        job_id=row["job_id"], model=row["model"], step=row["step"], fraction=row["fraction"],
        message=row["message"], updated_at=from_text(row["updated_at"]),
        curve=tuple((int(x), float(train), float(valid)) for x, train, valid in json.loads(row["curve"])),
    )  # fmt: skip
