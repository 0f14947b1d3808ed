"""The record of a training: enough to train it again, and to say whether the model is the same."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl
import pytest

from appliance.errors import BundleRefused, NotFound
from appliance.house import Appliance
from appliance.model_card import TrainingReport
from appliance.model_spec import TIME_LIMIT
from appliance.training import open_table
from appliance.training.record import find_commit, hash_files
from appliance.training.reproduce import reproduce, tell_differences
from storage.bundles import bundle_path
from storage.datasets import snapshot_files
from tests.cli.shell import Shell
from tests.training.rows import Remembered, made_up, penguins, spec
from tests.training.state import add, new_appliance, train_now


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    made = new_appliance(tmp_path_factory.mktemp("record") / "state")
    add(made, "penguins", penguins())
    yield made


@pytest.fixture(scope="module")
def report(house: Appliance) -> TrainingReport:
    wanted = spec("species", budget="better", trials=3, rounds=60, cv=3, owner="the lab", purpose="to tell them apart")
    return train_now(house, msgspec.structs.replace(wanted, dataset="penguins"))


def rows_of(house: Appliance, sql: str, *parameters: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.settings.layout.mlflow / "mlflow.db")) as store:
        return store.execute(sql, parameters).fetchall()


def test_the_card_says_what_it_ran_on_and_with(house: Appliance, report: TrainingReport) -> None:
    card = house.models.card("model", report.version)
    assert card.record is not None
    paths = snapshot_files(house.settings.layout, "penguins", 1)
    content = b"".join(Path(path).read_bytes() for path in paths)
    assert card.record.dataset_sha256 == hashlib.sha256(content).hexdigest()
    assert card.record.libraries["lightgbm"].startswith("4.")
    assert card.record.peak_memory_mb > 50
    assert (card.owner, card.purpose, len(card.trials)) == ("the lab", "to tell them apart", 3)
    assert card.cross_validation is not None


def test_each_trial_is_a_run_nested_in_the_trainings(house: Appliance, report: TrainingReport) -> None:
    nested = rows_of(
        house, "SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId' AND value = ?", report.run_id
    )  # fmt: skip
    assert len(nested) == 3
    states = rows_of(
        house, "SELECT status, value FROM runs JOIN tags USING (run_uuid) WHERE key = 'pruned' ORDER BY start_time"
    )
    assert set(states) <= {("FINISHED", "false"), ("KILLED", "true")}
    assert states[0] == ("FINISHED", "false")
    folds = rows_of(
        house, "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'fold_accuracy' ORDER BY step", report.run_id
    )
    assert [step for (step,) in folds] == [0, 1, 2]
    tags = {key for (key,) in rows_of(house, "SELECT key FROM tags WHERE run_uuid = ?", report.run_id)}
    assert {"dataset_sha256", "lock_hash", "seed", "python", "library_lightgbm", "commit"} <= tags


def test_a_version_trained_again_is_the_same_though_the_dataset_and_the_declaration_went_on(
    house: Appliance, report: TrainingReport
) -> None:
    add(house, "penguins", penguins().head(200))
    later = msgspec.structs.replace(spec("species", params={"num_leaves": 5}), dataset="penguins")
    house.models.apply(later, who="test")
    found = reproduce(house.settings, "model", report.version, Remembered())
    assert found.same
    assert found.recorded_sha256 == found.again_sha256
    assert found.differences == ()


def test_a_commit_with_changes_beside_it_is_told_as_another_one() -> None:
    same, commit = ("the code's version", "0.1.0", "0.1.0"), "0123456789abcdef" + "0" * 24
    found = tell_differences([same, ("the code's commit", commit, f"{commit}-dirty"), ("the rows", "", "f" * 64)])
    assert found == (
        "the code's commit: 0123456789abcdef then, 0123456789abcdef-dirty now",
        "the rows: none then, ffffffffffffffff now",
    )


def test_other_data_under_the_same_version_gives_another_model_and_is_named(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    train_now(house, spec("y"))
    (path,) = snapshot_files(house.settings.layout, "data", 1)
    pl.read_parquet(path).with_columns(pl.col("y") * 2).write_parquet(path)
    found = reproduce(house.settings, "model", 1, Remembered())
    assert not found.same
    assert any("the dataset's files" in sentence for sentence in found.differences)


def test_a_version_that_cannot_be_trained_again_says_why(house: Appliance, report: TrainingReport) -> None:
    with pytest.raises(NotFound, match="no published version 99"):
        reproduce(house.settings, "model", 99, Remembered())
    path = bundle_path(house.settings.layout, "model", report.version) / "model.toml"
    before = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(before + b"\n")
    try:
        with pytest.raises(BundleRefused, match="differs from its manifest"):
            reproduce(house.settings, "model", report.version, Remembered())
    finally:
        path.write_bytes(before)


def test_the_command_says_that_it_is_the_same(house: Appliance, report: TrainingReport) -> None:
    shell = Shell(state=house.settings.state)
    done = shell.ok("reproduce", "model", "--version", str(report.version), "--json")
    assert done.json()["same"] is True
    assert "search: trial 3 of at most 3" in done.err
    assert shell.run("reproduce", "nothing", "--version", "1").code == 1


def test_files_are_hashed_one_behind_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert hash_files([str(tmp_path / "a"), str(tmp_path / "b")]) == hashlib.sha256(b"12").hexdigest()
    commit = find_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_rows_that_stay_in_files_give_the_same_model_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    report = train_now(house, spec("y"))
    monkeypatch.setattr(open_table, "IN_MEMORY_CELLS", 100)
    assert reproduce(house.settings, "model", report.version, Remembered()).same
    assert list(house.settings.layout.tmp.glob("scratch-*")) == []


@pytest.mark.parametrize(("then", "now", "trials"), [("0m", "30m", 1), ("30m", "0m", 4)])
def test_a_search_has_as_many_trials_again_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, now: str, trials: int
) -> None:
    """One that its time limit ended after the first trial, and one that it would end so on the host as it is now."""
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    monkeypatch.setitem(TIME_LIMIT, "better", then)
    report = train_now(house, spec("y", budget="better", trials=4, rounds=30))
    assert len(house.models.card("model", report.version).trials) == trials
    monkeypatch.setitem(TIME_LIMIT, "better", now)
    again = Remembered()
    assert reproduce(house.settings, "model", report.version, again).same
    assert len(again.trials) == trials


def test_the_card_calls_the_version_where_it_is_served(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state", api_port=8123)
    add(house, "data", made_up())
    report = train_now(house, spec("y", rounds=20))
    (kept,) = (house.settings.layout.mlflow / "artifacts").rglob("card.html")
    for page in (house.models.card_page("model"), kept.read_text()):
        assert "http://127.0.0.1:8123/models/model/predict" in page
    shell, out = Shell(state=house.settings.state, environment={"APPLIANCE_API_PORT": "8456"}), tmp_path / "card.html"
    shell.ok("card", "model", "--html", str(out))
    assert "http://127.0.0.1:8456/models/model/predict" in out.read_text()
    assert report.version == 1
