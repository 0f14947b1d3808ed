"""Scheduled runs that wait for their turn, and those that were missed, at the real orchestrator."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.house import Appliance
from appliance.orchestrator import CANCELLED, DEPLOYMENT, PENDING, RUNNING, SCHEDULED, Orchestrator, Plan
from appliance.processes.release_journal import Files
from flows.runner import MISSED_AFTER_S, Runner
from flows.schedules import PLANNED
from tests.flows.stack import PATIENCE_S, Stack, free_port
from tests.flows.ticking import tick_until
from tests.training.rows import made_up, spec
from tests.training.state import add, new_appliance

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2 * PATIENCE_S)]


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Appliance]:
    made = new_appliance(tmp_path / "state", orchestrator_port=free_port())
    add(made, "data", made_up())
    made.models.create(spec("y", rounds=5), who="test")
    stack = Stack(made)
    stack.start("orchestrator")
    yield made
    stack.stop("orchestrator")


def plan(orchestrator: Orchestrator, *, ago_s: float) -> str:
    """What a schedule plans: due so long ago."""
    at = datetime.fromtimestamp(time.time() - ago_s, UTC)
    return orchestrator.create_run(
        "retrain", name="retrain model", parameters={"model": "model", "who": "schedule"},
        tags=[DEPLOYMENT, PLANNED, "model:model"], plan=Plan(at=at, key=f"model {at.isoformat()}"),
    ).id  # fmt: skip


def state_of(orchestrator: Orchestrator, run_id: str) -> tuple[str, str | None]:
    state = orchestrator.get_run(run_id).state
    assert state is not None
    return state.type, state.message


def test_a_run_that_waited_for_hours_starts_and_one_that_came_due_before_the_runner_is_missed(
    house: Appliance,
) -> None:
    clock, orchestrator = Clock(), Orchestrator(house.settings)
    runner = Runner(house.settings, clock)
    try:
        assert runner.start(lambda: False)
        missed = plan(orchestrator, ago_s=MISSED_AFTER_S + 60)
        waits, later = plan(orchestrator, ago_s=MISSED_AFTER_S - 600), plan(orchestrator, ago_s=5)
        files = Files(house.settings.layout, house.settings.layout.root)
        journal = files.begin("1.0", "1.1", ran=True, began_at="2026-11-30T00:00:00Z")  # nothing begins meanwhile
        tick_until(runner, lambda: state_of(orchestrator, later)[0] == CANCELLED)
        assert state_of(orchestrator, missed) == (CANCELLED, "missed while the appliance was down")
        assert state_of(orchestrator, waits)[0] == SCHEDULED
        assert state_of(orchestrator, later)[1] == "an earlier scheduled run still waits for its turn, and will do"
        clock.ahead_s = 3 * MISSED_AFTER_S
        files.finish(journal)
        tick_until(runner, lambda: state_of(orchestrator, waits)[0] != SCHEDULED)
        assert state_of(orchestrator, waits)[0] != CANCELLED
    finally:
        runner.stop()
        orchestrator.close()


def test_a_job_that_was_asked_for_before_the_clock_was_set_back_starts_at_once(house: Appliance) -> None:
    clock, orchestrator = Clock(), Orchestrator(house.settings)
    runner = Runner(house.settings, clock)
    clock.ahead_s = -3600.0
    try:
        assert runner.start(lambda: False)
        asked = house.jobs.start_training("model", who="test")
        planned = plan(orchestrator, ago_s=0)
        tick_until(runner, lambda: state_of(orchestrator, asked)[0] != SCHEDULED)
        assert state_of(orchestrator, planned)[0] == SCHEDULED, "which waits for its hour"
    finally:
        runner.stop()
        orchestrator.close()


def test_a_process_waits_for_no_hour_that_the_clock_has_put_far_off(house: Appliance) -> None:
    """Prefect lets no run begin before its hour; what was claimed is to run now."""
    orchestrator = Orchestrator(house.settings)
    runner = Runner(house.settings)
    try:
        assert runner.start(lambda: False)
        far_off = plan(orchestrator, ago_s=-3600)
        assert orchestrator.set_state(far_off, PENDING, "starting")
        assert orchestrator.set_state(far_off, RUNNING, "")
    finally:
        runner.stop()
        orchestrator.close()


def test_a_runner_outlives_a_state_database_that_cannot_be_read(
    house: Appliance, caplog: pytest.LogCaptureFixture
) -> None:
    """With it would go the job that it runs, which need not notice."""
    path = house.settings.layout.database
    runner = Runner(house.settings)
    try:
        assert runner.start(lambda: False)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        well = path.read_bytes()
        path.write_bytes(well[:4096] + os.urandom(len(well) - 4096))
        tick_until(runner, lambda: any(one.name == "appliance.runner" for one in caplog.records))
        assert "malformed" in caplog.text
        path.write_bytes(well)
        house.models.apply(spec("y", rounds=5, schedule="0 3 * * *"), who="test")
        orchestrator = Orchestrator(house.settings)
        tick_until(runner, lambda: any(PLANNED in run.tags for run in orchestrator.runs_in(SCHEDULED)))
        orchestrator.close()
    finally:
        runner.stop()
