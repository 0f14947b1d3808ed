"""What goes is shown first, exactly that goes, and what is needed stays."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from appliance import nightly
from appliance.backups import Backups
from appliance.datasets import Datasets
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.service import one_request
from appliance.registry.registry import Registry, RunRecord, TrialRun
from appliance.retention import Retention
from appliance.settings import Settings
from storage.datasets import IngestInfo
from storage.outcome_rows import Outcome, put_outcome
from storage.statedb import connect, to_text, transaction
from storage.study_rows import StudyRow, put_study
from storage.window_rows import ServiceKey, put_service_window, scan_service_windows
from tests.training.state import new_appliance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_appliance(tmp_path / "state", runs_days=30, backup_keep=1, backup_keep_days=0).settings


def record_runs(settings: Settings) -> list[str]:
    """Four versions: an old one, an old one that serves, an old challenger, a new one; their runs."""
    registry = Registry(settings.layout, settings.mlflow_uri)
    runs = [
        registry.record(
            RunRecord(
                model="m", run_name=f"m {number}", params={"a": "1"}, tags={}, metrics={"rmse": 1.0},
                curve=[(1, 2.0, 3.0)], files={"model.txt": b"x" * 1000},
            )
        ).run_id
        for number in range(1, 5)
    ]  # fmt: skip
    old = int((time.time() - 40 * 86_400) * 1000)
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store, store:
        for run in runs[:3]:
            store.execute("UPDATE runs SET end_time = ? WHERE run_uuid = ?", (old, run))
    now = datetime.now(UTC).isoformat()
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        connection.execute("INSERT INTO models VALUES ('m', 'regression', 'd', 'y', ?, ?)", (now, now))
        for number, run in enumerate(runs, 1):
            alias = "challenger" if number == 3 else None
            connection.execute(
                "INSERT INTO versions VALUES ('m', ?, ?, 'd', 1, 1, 1.0, '{}', '{}', NULL, ?, ?, ?, NULL)",
                (number, run, '{"passed": true, "reasons": []}', alias, now),
            )
        connection.execute(
            "INSERT INTO deployments (model, version, role, started_at, who, reason)"
            " VALUES ('m', 2, 'champion', ?, 't', '')",
            (now,),
        )
    return runs


def put_outcomes(connection: sqlite3.Connection, model: str, count: int, *, age_days: float) -> None:
    event_us = int((time.time() - age_days * 86_400) * 1e6)
    with transaction(connection):
        for number in range(count):
            for label in ("1.0", "2.0"):  # the second corrects the first
                outcome = Outcome(
                    id=f"{model}-{age_days}.{number}", model=model, version=1, variant="champion", event_us=event_us,
                    output="[1.0]", label=label, label_us=event_us, arrived_us=event_us,
                )  # fmt: skip
                put_outcome(connection, outcome)


def test_old_labels_go_with_what_was_corrected_and_new_ones_stay(settings: Settings) -> None:
    rules = Retention(settings.model_copy(update={"history_days": 30}))
    with closing(connect(settings.layout.database)) as connection:
        put_outcomes(connection, "a", 2_500, age_days=40)
        put_outcomes(connection, "b", 3, age_days=32)
        put_outcomes(connection, "b", 5, age_days=29)
        planned = [one.what for one in rules.plan() if one.kind == "labels"]
        assert planned == ["2500 labelled predictions of a", "3 labelled predictions of b"]
        assert [one.what for one in rules.apply() if one.kind == "labels"] == planned
        for table in ("outcomes", "outcome_history"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 5  # noqa: S608
        assert connection.execute("SELECT sum(labelled) FROM outcome_days").fetchone()[0] == 2_508, "counts stay"
    assert not [one for one in rules.plan() if one.kind == "labels"]


def test_labels_are_kept_for_good_where_the_setting_says_so(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        put_outcomes(connection, "a", 2, age_days=4_000)
    assert not list(Retention(settings.model_copy(update={"history_days": 0})).plan())


def left_runs(settings: Settings) -> set[str]:
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store:
        return {row[0] for row in store.execute("SELECT run_uuid FROM runs")}


def test_old_runs_go_but_never_one_that_serves_or_stands_by(settings: Settings) -> None:
    runs = record_runs(settings)
    folder = settings.layout.mlflow / "artifacts" / "m"
    rules = Retention(settings)
    (spare,) = [one for one in rules.plan() if one.kind == "runs"]
    assert (spare.what, spare.bytes, spare.why[:24]) == ("m 1", 1000, "older than runs_days = 3")
    assert left_runs(settings) == set(runs), "nothing went yet"
    assert [one.what for one in rules.apply() if one.kind == "runs"] == ["m 1"]
    assert left_runs(settings) == set(runs[1:])
    assert sorted(path.name for path in folder.iterdir()) == sorted(runs[1:])
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store:
        assert store.execute("SELECT count(*) FROM metrics WHERE run_uuid = ?", (runs[0],)).fetchone()[0] == 0
    assert list(rules.plan()) == []


def test_a_search_s_trials_stay_with_the_version_they_led_to(settings: Settings) -> None:
    """Version 1 is old and nobody's, 2 serves, 3 is challenger, 4 is new; each has an old trial, so has nobody."""
    runs = record_runs(settings)
    registry = Registry(settings.layout, settings.mlflow_uri)
    for number, parent in enumerate([*runs, "gone"], 1):
        trial = TrialRun(
            name=f"trial {number}", parent=parent, tags={}, params={"a": "1"}, value=1.0, rounds=1, seconds=1
        )
        registry.add_trial("m", trial)
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store, store:
        old = int((time.time() - 41 * 86_400) * 1000)
        store.execute("UPDATE runs SET end_time = ? WHERE name LIKE 'trial%'", (old,))
    rules = Retention(settings)
    planned = sorted(one.what for one in rules.plan() if one.kind == "runs")
    assert planned == ["m 1", "trial 1", "trial 5"]
    assert sorted(one.what for one in rules.apply() if one.kind == "runs") == planned
    assert set(runs[1:]) < left_runs(settings)
    assert len(left_runs(settings)) == 3 + 3


def test_the_run_that_a_rollback_goes_to_stays_with_its_trials(settings: Settings) -> None:
    """Version 1 served before version 2 does."""
    runs = record_runs(settings)
    registry = Registry(settings.layout, settings.mlflow_uri)
    trial = TrialRun(name="trial", parent=runs[0], tags={}, params={}, value=1.0, rounds=1, seconds=1)
    registry.add_trial("m", trial)
    old = datetime.now(UTC) - timedelta(days=41)
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET end_time = ? WHERE name = 'trial'", (int(old.timestamp() * 1000),))
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        connection.execute("UPDATE deployments SET id = 2")
        connection.execute(
            "INSERT INTO deployments (id, model, version, role, started_at, ended_at, who, reason)"
            " VALUES (1, 'm', 1, 'champion', ?, ?, 't', '')", (to_text(old), to_text(old))
        )  # fmt: skip
    assert [one for one in Retention(settings).plan() if one.kind == "runs"] == []


def test_an_artifact_path_that_leads_elsewhere_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    runs = record_runs(settings)
    precious = tmp_path / "precious"
    (precious / "artifacts").mkdir(parents=True)
    (precious / "thesis.tex").touch()
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (f"file://{precious}/artifacts", runs[0]))
    Retention(settings).apply()
    assert (precious / "thesis.tex").exists()
    assert runs[0] not in left_runs(settings)


def test_spare_backups_go(settings: Settings) -> None:
    backups = Backups(settings)
    first, second = backups.create(who="t"), backups.create(who="t")
    backups.verify(second.name)
    rules = Retention(settings)
    assert [one.what for one in rules.plan()] == [first.name]
    rules.apply()
    assert [one.name for one in backups.list()] == [second.name]


def test_scratch_goes_after_a_day_unless_something_in_it_is_new(settings: Settings) -> None:
    tmp = settings.layout.tmp
    old = (datetime.now(UTC) - timedelta(hours=30)).timestamp()
    for name in ("upload-1", "spill"):
        (tmp / name).mkdir()
        (tmp / name / "file").write_bytes(b"x" * 10)
    for path in (tmp / "upload-1" / "file", tmp / "upload-1", tmp / "spill"):
        os.utime(path, (old, old))
    rules = Retention(settings)
    assert [(one.what, one.bytes) for one in rules.plan()] == [("upload-1", 10)]
    rules.apply()
    assert [path.name for path in tmp.iterdir()] == ["spill"]


def test_what_is_damaged_keeps_nothing_else_from_going(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    old = (datetime.now(UTC) - timedelta(hours=30)).timestamp()
    left = settings.layout.tmp / "spill"
    left.write_bytes(b"x" * 10)
    os.utime(left, (old, old))
    (settings.layout.mlflow / "mlflow.db").write_bytes(b"no database, but long enough to be read as one" * 100)
    torn = settings.layout.history / "predictions" / "_delta_log" / "00000000000000000000.json"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_text('{"commitInfo": {}}\n{"protoc')
    assert [one.what for one in Retention(settings).apply()] == ["spill"]
    assert not left.exists()
    assert {line.split()[0] for line in caplog.messages} >= {"history", "runs"}
    (settings.layout.mlflow / "mlflow.db").unlink()
    torn.unlink()
    assert nightly.main() == 0
    assert len(Backups(settings).list()) == 1


def test_an_empty_state_has_nothing_to_lose(settings: Settings) -> None:
    assert list(Retention(settings).plan()) == []
    assert list(Retention(settings).apply()) == []


def test_old_versions_of_datasets_go_but_never_one_that_a_model_was_trained_on(settings: Settings) -> None:
    settings = settings.model_copy(update={"snapshot_days": 1, "keep_snapshots": 1})
    datasets = Datasets(settings)
    info = IngestInfo(who="t", source="made")
    for value in range(4):
        datasets.add_frame("d", pl.DataFrame({"a": [value]}), append=False, info=info)
    record_runs(settings)  # trained on version 1
    rules = Retention(settings)
    assert [one for one in rules.plan() if one.kind == "datasets"] == [], "they are young"
    for commit in (settings.layout.datasets / "d" / "_delta_log").glob("*.json"):
        entries = [json.loads(line) for line in commit.read_text().splitlines()]
        for entry in entries:
            if "commitInfo" in entry:
                entry["commitInfo"]["timestamp"] -= 2 * 86_400_000
        commit.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    found = [one for one in rules.plan() if one.kind == "datasets"]
    assert [one.what for one in found] == ["d version 2", "d version 3"]
    assert all(one.bytes > 0 for one in found)
    assert [one for one in Retention(settings).apply() if one.kind == "datasets"] == found
    assert [one.version for one in datasets.versions("d")] == [4, 1]
    backups = Backups(settings)
    (bundles,) = backups.verify(backups.create(who="t").name).problems
    assert "has no bundle of it" in bundles, "the tables are whole; no version was published here"


def test_alerts_messages_studies_and_progress_go_when_they_are_old(settings: Settings) -> None:
    rules = Retention(settings.model_copy(update={"history_days": 30}))
    with closing(connect(settings.layout.database)) as connection:
        for days in (40, 35, 20):
            at = to_text(datetime.now(UTC) - timedelta(days=days))
            with transaction(connection):
                for closed in (at, None):
                    (alert,) = connection.execute(
                        "INSERT INTO alerts (model, subject, state, message, opened_at, closed_at, noted_at) "
                        "VALUES ('m', ?, 'alarm', '', ?, ?, ?) RETURNING id", (f"{days}{closed}", at, closed, at)
                    ).fetchone()  # fmt: skip
                    for about in (alert, None):
                        connection.execute(
                            "INSERT INTO deliveries (channel, alert, event, state, due_at, created_at, ended_at) "
                            "VALUES ('c', ?, 'opened', 'sent', ?, ?, ?)", (about, at, at, closed)
                        )  # fmt: skip
                connection.execute(
                    "INSERT INTO job_progress (job_id, step, fraction, message, updated_at) VALUES (?, '', 1, '', ?)",
                    (f"job{days}", at),
                )
                connection.execute(
                    "INSERT INTO collections VALUES (?, 'm', 'd', 2, ?, ?)", (f"c{days}", at, None if days == 40 else 1)
                )
                connection.execute("INSERT INTO collected VALUES (?, ?)", (f"gone{days}", f"c{days}"))
                connection.execute("INSERT INTO collected VALUES (?, ?)", (f"m-{days - 1}.0", f"c{days}"))
            put_outcomes(connection, "m", 1, age_days=days - 1)
            for kind in ("domain", "attribution") if days > 20 else ("domain",):
                day = int(time.time() // 86_400) - days
                put_study(connection, StudyRow(model="m", version=1, kind=kind, day=day, state="ok", sentence="", result="{}"))  # fmt: skip  # noqa: E501
                connection.execute("UPDATE studies SET noted_at = ? WHERE kind = ? AND day = ?", (at, kind, day))
        planned = [one.what for one in rules.plan() if one.kind == "rows"]
        assert planned == [
            "2 alerts", "2 test messages", "2 jobs' progress", "1 collected predictions", "3 nightly studies"
        ]  # fmt: skip
        assert [one.what for one in rules.apply() if one.kind == "rows"] == planned
        left = {
            table: connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("alerts", "deliveries", "job_progress", "studies", "collected")
        }
        # What is open stays, with its messages, and the newest study of each kind. The old outcomes went a step before,
        # so what was collected of them goes as well.
        assert left == {"alerts": 4, "deliveries": 4 + 4, "job_progress": 1, "studies": 2, "collected": 4}
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_old_minutes_become_hours_with_the_same_sums(settings: Settings) -> None:
    today = int(time.time() // 86_400) * 1440
    old, young = today - 31 * 1440, today - 30 * 1440
    monitoring = Monitoring(settings)
    with closing(connect(settings.layout.database)) as connection:
        with transaction(connection):
            for first, minutes in ((old + 30, 100), (young, 50)):
                for minute in range(first, first + minutes):
                    for version, shadow in ((1, False), (2, False), (2, True)):
                        key = ServiceKey(model="m", version=version, minute=minute, shadow=shadow)
                        put_service_window(connection, key, one_request(minute % 7 * 100 + version, 3).dump())
        until = datetime.fromtimestamp((young + 50) * 60, UTC)
        before = monitoring.latency("m", 40 * 86_400, until=until)
        rules = Retention(settings)
        assert [one.what for one in rules.plan()] == ["294 minutes of m, added up to hours"]
        rules.apply()
        found = [key.minute for key, _ in scan_service_windows(connection, "m", first_minute=0, last_minute=young)]
        assert found == [minute for minute in (old, old + 60, old + 120) for _ in range(2)]
        assert list(rules.plan()) == []
        late = ServiceKey(model="m", version=1, minute=old + 61, shadow=False)  # comes when its hour is added up
        put_service_window(connection, late, one_request(5, 1).dump())
    assert len(rules.apply()) == 1
    after = monitoring.latency("m", 40 * 86_400, until=until)
    assert after.by_version[2] == before.by_version[2]
    assert after.shadow_by_version == before.shadow_by_version
    assert after.by_version[1].count == before.by_version[1].count + 1
    assert after.total.rows == before.total.rows + 1
