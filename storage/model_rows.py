"""The tables ``models`` and ``versions``: what was declared, and what each training gave."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A declared model; ``task`` is one of ``appliance.schema.Task``'s values."""

    name: str
    task: str
    dataset: str
    target: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """Whether a version may become champion, and why (not), one sentence a reason."""

    passed: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One trained version of a model.

    Attributes:
        rows: Rows it was trained and evaluated on.
        seconds: How long the training took.
        metrics: Metric name to value on the holdout.
        baseline: The same of the dummy.
        champion: The same of the champion of that time, on the same holdout; None for a first version.
        created_at: When it was trained, wherever that was.
        alias: ``champion``, ``challenger`` or None; a version has at most one.
        job_id: The job that trained it, where there was one.
    """

    model: str
    version: int
    run_id: str
    dataset: str
    dataset_version: int
    rows: int
    seconds: float
    metrics: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None
    gate: GateRow
    created_at: datetime
    alias: str | None = None
    job_id: str | None = None


def put_model(connection: sqlite3.Connection, row: ModelRow) -> None:
    """Insert a model, or change the one of that name; ``created_at`` of an existing one stays."""
    connection.execute(
        "INSERT INTO models (name, task, dataset, target, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET task = excluded.task, dataset = excluded.dataset, "
        "target = excluded.target, updated_at = excluded.updated_at",
        (row.name, row.task, row.dataset, row.target, to_text(row.created_at), to_text(row.updated_at)),
    )


def find_model(connection: sqlite3.Connection, name: str) -> ModelRow | None:
    """The model of that name, or None."""
    found = connection.execute("SELECT * FROM models WHERE name = ?", (name,)).fetchone()
    return None if found is None else _model(found)


def list_models(connection: sqlite3.Connection) -> list[ModelRow]:
    """Every model, by name."""
    return [_model(row) for row in connection.execute("SELECT * FROM models ORDER BY name")]


def put_version(connection: sqlite3.Connection, row: VersionRow) -> None:
    """Insert a version of a declared model; takes ``row.alias`` away from the version that had it.

    Raises:
        sqlite3.IntegrityError: The version exists, or the model does not.
    """
    with transaction(connection):
        connection.execute(
            "INSERT INTO versions (model, version, run_id, dataset, dataset_version, rows, seconds, metrics, baseline, "
            "champion, gate, created_at, job_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.model, row.version, row.run_id, row.dataset, row.dataset_version, row.rows, row.seconds,
                json.dumps(row.metrics), json.dumps(row.baseline),
                None if row.champion is None else json.dumps(row.champion),
                json.dumps({"passed": row.gate.passed, "reasons": list(row.gate.reasons)}),
                to_text(row.created_at), row.job_id,
            ),
        )  # fmt: skip
        if row.alias is not None:
            set_alias(connection, row.model, row.alias, row.version)


def find_version(connection: sqlite3.Connection, model: str, version: int) -> VersionRow | None:
    """That version, or None."""
    found = connection.execute("SELECT * FROM versions WHERE model = ? AND version = ?", (model, version)).fetchone()
    return None if found is None else _version(found)


def find_version_of_job(connection: sqlite3.Connection, job_id: str) -> VersionRow | None:
    """The version that a job trained, or None."""
    found = connection.execute("SELECT * FROM versions WHERE job_id = ?", (job_id,)).fetchone()
    return None if found is None else _version(found)


def find_alias(connection: sqlite3.Connection, model: str, alias: str) -> VersionRow | None:
    """The version that has the alias, or None."""
    found = connection.execute("SELECT * FROM versions WHERE model = ? AND alias = ?", (model, alias)).fetchone()
    return None if found is None else _version(found)


def list_trained_on(connection: sqlite3.Connection, dataset: str) -> set[int]:
    """The versions of a dataset that some registered version of a model was trained on."""
    rows = connection.execute("SELECT DISTINCT dataset_version FROM versions WHERE dataset = ?", (dataset,))
    return {int(row["dataset_version"]) for row in rows}


def list_versions(connection: sqlite3.Connection, model: str) -> list[VersionRow]:
    """Every version of a model, newest first."""
    rows = connection.execute("SELECT * FROM versions WHERE model = ? ORDER BY version DESC", (model,))
    return [_version(row) for row in rows]


def find_newest_version(connection: sqlite3.Connection, model: str) -> VersionRow | None:
    """A model's newest version, or None before its first."""
    row = connection.execute(
        "SELECT * FROM versions WHERE model = ? ORDER BY version DESC LIMIT 1", (model,)
    ).fetchone()
    return None if row is None else _version(row)


def set_alias(connection: sqlite3.Connection, model: str, alias: str, version: int) -> bool:
    """Move an alias to a version; False, and nothing changed, when there is no such version."""
    with transaction(connection):
        known = connection.execute(
            "SELECT 1 FROM versions WHERE model = ? AND version = ?", (model, version)
        ).fetchone()
        if known is None:
            return False
        connection.execute("UPDATE versions SET alias = NULL WHERE model = ? AND alias = ?", (model, alias))
        connection.execute("UPDATE versions SET alias = ? WHERE model = ? AND version = ?", (alias, model, version))
    return True


def _model(row: sqlite3.Row) -> ModelRow:
    return ModelRow(
        name=row["name"], task=row["task"], dataset=row["dataset"], target=row["target"],
        created_at=from_text(row["created_at"]), updated_at=from_text(row["updated_at"]),
    )  # fmt: skip


def _version(row: sqlite3.Row) -> VersionRow:
    gate = json.loads(row["gate"])
    return VersionRow(
        model=row["model"], version=row["version"], run_id=row["run_id"], dataset=row["dataset"],
        dataset_version=row["dataset_version"], rows=row["rows"], seconds=row["seconds"],
        metrics=json.loads(row["metrics"]), baseline=json.loads(row["baseline"]),
        champion=None if row["champion"] is None else json.loads(row["champion"]),
        gate=GateRow(passed=gate["passed"], reasons=tuple(gate["reasons"])),
        created_at=from_text(row["created_at"]), alias=row["alias"], job_id=row["job_id"],
    )  # fmt: skip
