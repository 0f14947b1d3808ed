"""MLflow's real store: runs, versions, aliases, artifacts, and what happens when it is held or damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from appliance.registry.registry import Registry, RegistryFailed, RunRecord
from appliance.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    made = Settings(state=tmp_path_factory.mktemp("registry") / "state")
    made.layout.create()
    yield made


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    return Registry(settings.layout, settings.mlflow_uri)


def record(model: str) -> RunRecord:
    return RunRecord(
        model=model, run_name="a run", params={"seed": "1", "long": "x" * 7000}, tags={"dataset": "bikes"},
        metrics={"rmse": 1.5}, curve=[(i, 1.0 / i, 2.0 / i) for i in range(1, 1200)], files={"model.txt": b"tree"},
    )  # fmt: skip


def test_each_model_counts_its_own_versions(registry: Registry) -> None:
    assert [registry.record(record("one")).version for _ in range(2)] == [1, 2]
    assert registry.record(record("two")).version == 1


def test_a_run_keeps_all_of_it(registry: Registry, settings: Settings) -> None:
    found = registry.record(record("kept"))
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store:
        points = store.execute(
            "SELECT count(*) FROM metrics WHERE run_uuid = ? AND key = 'curve_stop'", (found.run_id,)
        ).fetchone()[0]
        assert points == 1199
        assert store.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store.execute("SELECT status FROM runs WHERE run_uuid = ?", (found.run_id,)).fetchone()[0] == "FINISHED"
    artifacts = settings.layout.mlflow / "artifacts" / "kept"
    assert [path.read_bytes() for path in artifacts.rglob("model.txt")] == [b"tree"]


def test_an_experiment_that_somebody_deleted_in_mlflow_is_taken_back(registry: Registry, settings: Settings) -> None:
    registry.record(record("deleted"))
    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    experiment = client.get_experiment_by_name("deleted")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert registry.record(record("deleted")).version == 2
    assert registry.begin("deleted", "another run", {})


def test_an_alias_moves(registry: Registry) -> None:
    for _ in range(2):
        registry.record(record("moving"))
    registry.set_alias("moving", "champion", 1)
    registry.set_alias("moving", "champion", 2)
    assert registry.alias_version("moving", "champion") == 2
    registry.drop_alias("moving", "champion")
    assert registry.alias_version("moving", "champion") is None
    with pytest.raises(RegistryFailed, match="'moving'"):
        registry.set_alias("moving", "champion", 9)


def test_a_damaged_store_is_said_with_what_was_tried(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    settings.layout.create()
    (settings.layout.mlflow / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(RegistryFailed, match="could not open the store"):
        Registry(settings.layout, settings.mlflow_uri)
