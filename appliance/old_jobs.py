"""What the orchestrator remembers and lets go by itself: finished jobs with their logs, and its own events.

Prefect does that (``db_vacuum``, every hour); here the same rules only count what would go next, in its database.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.layout import Layout

KEEP_DAYS = 90
"""How long Prefect remembers a finished run and its log."""

KEEP_EVENTS_DAYS = 7
"""How long Prefect keeps its own events, which nothing here reads."""

_COUNT = """
    WITH old AS (
        SELECT id FROM flow_run WHERE parent_task_run_id IS NULL AND end_time < :old
        AND state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')
    )
    SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM log WHERE flow_run_id IN (SELECT id FROM old)),
        (SELECT count(*) FROM events WHERE occurred < :old_events)
"""
"""As ``vacuum_old_flow_runs`` and ``vacuum_old_events`` of Prefect 3.8.8 have it, server/services/db_vacuum.py."""
_TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('flow_run', 'log', 'events')"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldJobs:
    """How much the orchestrator lets go next.

    Attributes:
        jobs: Finished jobs.
        lines: Of their logs.
        events: Of its own.
    """

    jobs: int
    lines: int
    events: int


def count_old_jobs(layout: Layout, now: datetime) -> OldJobs:
    """Count without changing anything; zeros where the orchestrator never ran.

    Raises:
        sqlite3.Error: Its database cannot be read.
    """
    database = layout.prefect / "prefect.db"
    if not database.exists():
        return OldJobs(jobs=0, lines=0, events=0)
    before = {"old": _days_before(now, KEEP_DAYS), "old_events": _days_before(now, KEEP_EVENTS_DAYS)}
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=20.0)) as store:
        if store.execute(_TABLES).fetchone() != (3,):
            return OldJobs(jobs=0, lines=0, events=0)  # it makes its tables when it starts
        jobs, lines, events = store.execute(_COUNT, before).fetchone()
    return OldJobs(jobs=jobs, lines=lines, events=events)


def _days_before(now: datetime, days: int) -> str:
    """As SQLAlchemy writes a time without a zone into SQLite; Prefect's are UTC."""
    return (now.astimezone(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
