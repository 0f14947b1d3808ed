"""What becomes of a search's runs in MLflow when its training fails, or its process is killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from appliance.errors import BadTable
from appliance.model_card import Trial
from appliance.registry.left_runs import close_left_runs
from appliance.registry.registry import Registry
from appliance.settings import Settings
from appliance.training.trial_runs import TrialRuns
from storage.errors import StateUnwritable

FIRST = Trial(number=0, params={}, value=0.5, rounds=10, seconds=2.0)
PRUNED = Trial(number=1, params={"num_leaves": 7}, value=None, rounds=3, seconds=1.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = Settings(state=tmp_path_factory.mktemp("trials") / "state")
    made.layout.create()
    return made


@pytest.fixture
def side() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield thread


@pytest.fixture
def registry(settings: Settings, side: ThreadPoolExecutor) -> Future[Registry]:
    return side.submit(Registry, settings.layout, settings.mlflow_uri)


def runs(settings: Settings, model: str) -> list[tuple[str, str, bool]]:
    with closing(sqlite3.connect(settings.layout.mlflow / "mlflow.db")) as store:
        return store.execute(
            "SELECT runs.name, status, end_time > start_time FROM runs JOIN experiments USING (experiment_id) "
            "WHERE experiments.name = ? ORDER BY runs.name",
            (model,),
        ).fetchall()


@pytest.mark.parametrize(("error", "status"), [(BadTable("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_training_that_fails_after_its_search_leaves_no_open_run(
    settings: Settings, side: ThreadPoolExecutor, registry: Future[Registry], error: BaseException, status: str
) -> None:
    with (
        pytest.raises(type(error)),
        TrialRuns(side, registry, model=status, run_name="search", tags={"job": "j1"}) as trials,
    ):
        trials.add(FIRST)
        trials.add(PRUNED)
        raise error
    assert runs(settings, status) == [
        ("search", status, 1), ("search, trial 0", "FINISHED", 1), ("search, trial 1", "KILLED", 1),
    ]  # fmt: skip


def test_a_training_without_a_search_opens_no_run(
    side: ThreadPoolExecutor, registry: Future[Registry], settings: Settings
) -> None:
    with TrialRuns(side, registry, model="none", run_name="quick", tags={}) as trials:
        assert trials.finish() is None
    assert runs(settings, "none") == []


def test_the_open_runs_of_a_killed_job_are_ended_and_no_others(settings: Settings, registry: Future[Registry]) -> None:
    store = registry.result()
    for job in ("dead", "alive"):
        store.begin("jobs", job, {"job": job})
    store.begin("jobs", "own", {})  # somebody's own, logged by hand
    assert close_left_runs(settings.layout, "dead") == 1
    assert [(name, status) for name, status, _ in runs(settings, "jobs")] == [
        ("alive", "RUNNING"), ("dead", "KILLED"), ("own", "RUNNING"),
    ]  # fmt: skip
    assert close_left_runs(settings.layout) == 1
    assert close_left_runs(settings.layout) == 0


def test_a_store_that_is_not_there_has_no_runs_and_a_broken_one_is_told(tmp_path: Path) -> None:
    layout = Settings(state=tmp_path).layout
    layout.create()
    assert close_left_runs(layout) == 0
    (layout.mlflow / "mlflow.db").write_bytes(b"no database at all, but long enough to look like one")
    with pytest.raises(StateUnwritable, match="cannot end the runs of a killed job"):
        close_left_runs(layout)
