"""What retention says of old jobs is what Prefect then removes, on a database that Prefect made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.old_jobs import OldJobs, count_old_jobs
from appliance.retention import Retention
from appliance.settings import Settings
from flows.environment import prefect_environment
from storage.migrations import migrate
from storage.statedb import connect
from storage.window_rows import Heartbeat, put_heartbeat

FILL = """
import asyncio, uuid
from datetime import timedelta
from prefect.server.database import provide_database_interface
from prefect.types._datetime import now

async def fill():
    db = provide_database_interface()
    await db.create_db()
    # State, days since its end, lines of its log.
    runs = [
        ("COMPLETED", 91, 3), ("FAILED", 100, 2), ("CRASHED", 400, 0), ("CANCELLED", 90.1, 1),
        ("COMPLETED", 89.9, 4), ("RUNNING", 200, 5), ("FAILED", 0, 1),
    ]
    async with db.session_context(begin_transaction=True) as session:
        flow = db.Flow(name="train")
        session.add(flow)
        await session.flush()
        for state, days, lines in runs:
            run = db.FlowRun(
                flow_id=flow.id, state_type=state, state_name=state, end_time=now("UTC") - timedelta(days=days)
            )
            session.add(run)
            await session.flush()
            for _ in range(lines):
                session.add(db.Log(name="x", level=20, flow_run_id=run.id, message="m", timestamp=now("UTC")))
        for days in (6.9, 7.1, 30):
            session.add(db.Event(
                id=uuid.uuid4(), occurred=now("UTC") - timedelta(days=days), event="e", resource_id="r", resource={},
                related=[], payload={}, received=now("UTC"), recorded=now("UTC"),
            ))

asyncio.run(fill())
"""
VACUUM = """
import asyncio, json, sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.server.services import db_vacuum

async def vacuum():
    db = provide_database_interface()
    async def count():
        async with db.session_context() as session:
            return [(await session.execute(sa.select(sa.func.count()).select_from(one))).scalar()
                    for one in (db.FlowRun, db.Log, db.Event)]
    before = await count()
    await db_vacuum.vacuum_old_flow_runs(db=db)
    await db_vacuum.vacuum_old_events(db=db)
    print(json.dumps([one - two for one, two in zip(before, await count())]))

asyncio.run(vacuum())
"""
BELIEVING = """
from flows.orchestrator import keep_by_believed_clock
from appliance import clock
from appliance.settings import load_settings

clock.is_synchronised = lambda: False  # the kernel's word, as on a box without a time server
keep_by_believed_clock(load_settings().layout)
"""
"""As the orchestrator does before it starts."""


def ask_prefect(settings: Settings, program: str) -> str:
    environment = {**os.environ, **prefect_environment(settings), "APPLIANCE_STATE": str(settings.state)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_a_clock_that_jumped_a_year_costs_no_finished_job(tmp_path: Path) -> None:
    """Seen from the state, now is a jump, and no time server keeps this clock."""
    settings = Settings(state=tmp_path / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    ask_prefect(settings, FILL)
    with closing(connect(settings.layout.database)) as connection:
        put_heartbeat(connection, "clock", Heartbeat(at=datetime.now(UTC) - timedelta(days=365), detail=""))
    assert [one for one in Retention(settings).plan() if one.kind == "jobs"] == []
    assert json.loads(ask_prefect(settings, BELIEVING + VACUUM)) == [0, 0, 0]
    with closing(connect(settings.layout.database)) as connection:
        put_heartbeat(connection, "clock", Heartbeat(at=datetime.now(UTC), detail=""))
    assert json.loads(ask_prefect(settings, BELIEVING + VACUUM)) == [4, 6, 2]


def test_what_is_shown_is_what_prefect_removes(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    assert count_old_jobs(settings.layout, datetime.now(UTC)) == OldJobs(jobs=0, lines=0, events=0)
    ask_prefect(settings, FILL)
    shown = [(one.what, one.why) for one in Retention(settings).plan() if one.kind == "jobs"]
    by_itself = "the orchestrator removes them by itself, every hour"
    assert shown == [
        ("4 finished jobs, 6 lines of their logs", f"older than 90 days; {by_itself}"),
        ("2 events of the orchestrator", f"older than 7 days; {by_itself}"),
    ]
    assert [one for one in Retention(settings).apply() if one.kind == "jobs"] == [], "that is not ours to do"
    assert json.loads(ask_prefect(settings, VACUUM)) == [4, 6, 2]
    assert not [one for one in Retention(settings).plan() if one.kind == "jobs"]
    (settings.layout.prefect / "prefect.db").write_bytes(b"no database" * 1000)
    assert not [one for one in Retention(settings).plan() if one.kind == "jobs"], "the rest is planned without them"
