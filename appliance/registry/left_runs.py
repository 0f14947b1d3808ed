"""What a job wrote to MLflow, found and tidied by its tag once its process is gone.

A job is killed where it stands, so it cannot say so itself. Written without MLflow, which takes seconds to load.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from storage.errors import StateUnwritable
from storage.layout import Layout

WAIT_S = 1.0
"""How long the store may be held by somebody else; the runner does nothing else meanwhile."""

JOB = "job"
"""The tag of a run that says which job writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A version that MLflow has of a job, whether or not it was ever published."""

    model: str
    version: int
    run_id: str


def close_left_runs(layout: Layout, job_id: str | None = None) -> int:
    """End the running runs of a job as KILLED; returns how many.

    Args:
        layout: Where MLflow's store is.
        job_id: The job; None: of every job, when none runs.

    Raises:
        StateUnwritable: The store cannot be written.
    """
    with _store(layout, "end the runs of a killed job") as store:
        if store is None:
            return 0
        return store.execute(
            "UPDATE runs SET status = 'KILLED', end_time = :now WHERE status = 'RUNNING' AND run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = :key AND (:job IS NULL OR value = :job))",
            {"now": _now_ms(), "key": JOB, "job": job_id},
        ).rowcount


def list_entries(layout: Layout, job_id: str | None = None) -> list[Entry]:
    """The versions that a job registered, or with None every job, the oldest first.

    Raises:
        StateUnwritable: The store cannot be read.
    """
    with _store(layout, "read what a job registered") as store:
        if store is None:
            return []
        rows = store.execute(
            "SELECT v.name, v.version, v.run_id FROM model_versions v JOIN tags t ON t.run_uuid = v.run_id "
            "WHERE t.key = :key AND (:job IS NULL OR t.value = :job) AND v.current_stage IS NOT 'Deleted_Internal' "
            "ORDER BY v.name, v.version", {"key": JOB, "job": job_id}
        ).fetchall()  # fmt: skip
    return [Entry(model=row[0], version=int(row[1]), run_id=row[2]) for row in rows]


def drop_entries(layout: Layout, entries: Sequence[Entry]) -> None:
    """Take versions out of MLflow that nobody can ever have used; their runs say KILLED, their numbers are free again.

    Raises:
        StateUnwritable: The store cannot be written.
    """
    with _store(layout, "remove a version that was never published") as store:
        if store is None:
            return
        for entry in entries:
            for table in ("model_version_tags", "registered_model_aliases", "model_versions"):
                store.execute(
                    f"DELETE FROM {table} WHERE name = ? AND version = ?",  # noqa: S608  (a name from above)
                    (entry.model, entry.version),
                )
            store.execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", (entry.run_id,))


@contextmanager
def _store(layout: Layout, attempt: str) -> Iterator[sqlite3.Connection | None]:
    """MLflow's store, in one transaction; None where there is none yet."""
    path = layout.mlflow / "mlflow.db"
    if not path.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT_S)) as store, store:
            # A process that died while MLflow made its tables leaves a store in which nobody wrote anything yet.
            tables = store.execute("SELECT name FROM sqlite_master WHERE name IN ('runs', 'tags', 'model_versions')")
            yield store if len(tables.fetchall()) == 3 else None
    except sqlite3.Error as exc:
        raise StateUnwritable(f"cannot {attempt} in MLflow's store {path}: {exc}") from exc


def _now_ms() -> int:
    return int(time.time() * 1000)
