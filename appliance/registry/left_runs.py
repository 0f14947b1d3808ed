"""Runs that MLflow believes to be going while the job that wrote them is gone.

A job is killed where it stands, so it cannot say so itself. Written without MLflow, which takes seconds to load.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from storage.errors import StateUnwritable
from storage.layout import Layout

WAIT_S = 1.0
"""How long the store may be held by somebody else; the runner does nothing else meanwhile."""

JOB = "job"
"""The tag of a run that says which job writes it."""


def close_left_runs(layout: Layout, job_id: str | None = None) -> int:
    """End the running runs of a job as KILLED; returns how many.

    Args:
        layout: Where MLflow's store is.
        job_id: The job; None: of every job, when none runs.

    Raises:
        StateUnwritable: The store cannot be written.
    """
    path = layout.mlflow / "mlflow.db"
    if not path.exists():
        return 0
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)) as store, store:
            return store.execute(
                "UPDATE runs SET status = 'KILLED', end_time = :now WHERE status = 'RUNNING' AND run_uuid IN "
                "(SELECT run_uuid FROM tags WHERE key = :key AND (:job IS NULL OR value = :job))",
                {"now": int(time.time() * 1000), "key": JOB, "job": job_id},
            ).rowcount
    except sqlite3.Error as exc:
        raise StateUnwritable(f"cannot end the runs of a killed job in MLflow's store {path}: {exc}") from exc
