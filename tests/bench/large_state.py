"""A state as it is after a year: ten models, a thousand runs, ten million predictions, a million labels."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import msgspec

from appliance.house import Appliance
from appliance.monitoring.keeping import Keeper
from appliance.monitoring.known import KnownVersions
from appliance.training.job import TrainingOrder, run_training
from storage.statedb import connect, to_text, transaction
from tests.browser.world import MODEL, World
from tests.training.rows import Remembered

MODELS = 10
VERSIONS = 100
DAYS = 90
HOURS = DAYS * 24
PREDICTIONS = 1_000_000
LABELS = 100_000


def enlarge(world: World) -> str:
    """Make the world's one model ten with a hundred versions each; says what is there.

    Real trainings give each model its bundle, its run and its deployment. The counts of the traffic that the world had
    are copied backwards, hour by hour and minute by minute, as the watch loop and the nightly thinning leave them.
    """
    appliance, settings = world.appliance, world.settings
    spec = appliance.models.get(MODEL).spec
    names = [MODEL, *(f"{MODEL}-{number}" for number in range(2, MODELS + 1))]
    for name in names[1:]:
        appliance.models.create(msgspec.structs.replace(spec, name=name), who="bench")
        run_training(settings, TrainingOrder(model=name, who="bench"), Remembered())
    with closing(connect(settings.layout.database)) as connection:
        for name in names:
            with transaction(connection):
                _copy_versions(connection, name)
                _copy_traffic(connection, name)
                _copy_labels(connection, name)
        connection.execute("ANALYZE")
        # As the watch loop does beside the counting.
        Keeper(KnownVersions(settings.layout), clock=lambda: 0.0).look(connection, changed=True)
        counted = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("versions", "feature_windows", "service_windows", "outcomes")
        }
    _copy_runs(world, appliance)
    megabytes = settings.layout.database.stat().st_size / 1e6
    rows = ", ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in counted.items())
    return f"{MODELS} models, {MODELS * PREDICTIONS:,} predictions: {rows}; appliance.db {megabytes:.0f} MB"


def _copy_versions(connection: sqlite3.Connection, name: str) -> None:
    """Versions that are long replaced: rows of their own, a deployment that has ended."""
    names = [row["name"] for row in connection.execute("PRAGMA table_info(versions)")]
    (version,) = connection.execute("SELECT MAX(version) FROM versions WHERE model = ?", (name,)).fetchone()
    moved = {"version": "? + n", "alias": "NULL", "run_id": "run_id || '-' || n"}
    values = ", ".join(moved.get(one, one) for one in names)
    connection.execute(
        f"INSERT INTO versions ({', '.join(names)}) {_NUMBERS} SELECT {values} "  # noqa: S608
        "FROM numbers, (SELECT * FROM versions WHERE model = ? AND version = ?)",
        (VERSIONS - version, version, name, version),
    )
    at = datetime.now(UTC) - timedelta(days=DAYS)
    connection.executemany(
        "INSERT INTO deployments (model, version, role, started_at, ended_at, who, reason) "
        "VALUES (?, ?, 'champion', ?, ?, 'bench', 'promoted')",
        [
            (name, version + 1 + n, to_text(at + timedelta(hours=n)), to_text(at + timedelta(hours=n + 1)))
            for n in range(VERSIONS - version)
        ],
    )


def _copy_traffic(connection: sqlite3.Connection, name: str) -> None:
    """An hour's counts in each of the last 90 days' hours; a minute's in those of 30 days, an hour's before."""
    connection.execute(
        f"INSERT OR IGNORE INTO feature_windows (model, version, variant, hour, rows, counts) {_NUMBERS} "  # noqa: S608
        "SELECT ?, version, variant, hour - n, ?, counts FROM numbers, "
        "(SELECT * FROM feature_windows WHERE model = ? ORDER BY hour DESC LIMIT 1)",
        (HOURS, name, PREDICTIONS // HOURS, MODEL),
    )
    for step, first, count in ((1, 0, 30 * 1440), (60, 30 * 1440, (DAYS - 30) * 24)):
        connection.execute(
            f"INSERT OR IGNORE INTO service_windows (model, version, shadow, minute, counts) {_NUMBERS} "  # noqa: S608
            "SELECT ?, version, shadow, (minute - ?) / ? * ? - n * ?, counts FROM numbers, "
            "(SELECT * FROM service_windows WHERE model = ? ORDER BY minute DESC LIMIT 1)",
            (count, name, first, step, step, step, MODEL),
        )


def _copy_labels(connection: sqlite3.Connection, name: str) -> None:
    names = [row["name"] for row in connection.execute("PRAGMA table_info(outcomes)")]
    shift = DAYS * 86_400_000_000 // LABELS
    moved = {"id": "?1 || '-' || n || '-' || id", "model": "?1", **{
        one: f"{one} - n * {shift}" for one in ("event_us", "label_us", "arrived_us")
    }}  # fmt: skip
    connection.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2) "  # noqa: S608
        f"INSERT OR IGNORE INTO outcomes ({', '.join(names)}) SELECT {', '.join(moved.get(one, one) for one in names)} "
        "FROM numbers, (SELECT * FROM outcomes WHERE model = ?3 ORDER BY event_us DESC LIMIT 1)",
        (name, LABELS, MODEL),
    )
    connection.execute(
        "INSERT INTO outcome_days (model, version, variant, day, labelled) "
        "SELECT model, version, variant, event_us / 86400000000, count(*) FROM outcomes WHERE model = ? "
        "GROUP BY 1, 2, 3, 4 ON CONFLICT DO UPDATE SET labelled = excluded.labelled",
        (name,),
    )


def _copy_runs(world: World, appliance: Appliance) -> None:
    """A thousand jobs that Prefect remembers as done."""
    with httpx.Client(base_url=world.settings.orchestrator_url, timeout=60) as client:
        (run,) = client.post("/flow_runs/filter", json={"limit": 1, "sort": "START_TIME_ASC"}).json()
        for number in range(MODELS * VERSIONS):
            body = {
                "name": f"{run['name']} {number}", "parameters": run["parameters"], "tags": run["tags"],
                "state": {"type": "COMPLETED"},
            }  # fmt: skip
            answer = client.post(f"/deployments/{run['deployment_id']}/create_flow_run", json=body)
            while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # its database is busy
                time.sleep(0.5)
                answer = client.post(f"/deployments/{run['deployment_id']}/create_flow_run", json=body)
            answer.raise_for_status()


_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
