"""Drift against another window or another dataset version, over the bins of the training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from appliance.datasets import Datasets
from appliance.errors import BadInput, NotFound
from appliance.monitoring.against import Between, DatasetVersion, Previous, parse_against
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage import statedb
from tests.monitoring.traffic import DAY_US, HOUR_US, START, START_US, Traffic, encoded_rows, training_frame

FIRST = START_US // HOUR_US


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("training", None),
        ("previous", Previous()),
        ("dataset:7", DatasetVersion(version=7)),
        ("1970-01-02/1970-01-03", Between(first_hour=24, last_hour=48)),
        ("1970-01-02T01:30:00Z/1970-01-02T02:10:00+00:00", Between(first_hour=25, last_hour=27)),
        ("1970-01-02T02:00:00+02:00/1970-01-03", Between(first_hour=24, last_hour=48)),
    ],
)
def test_references_that_are_some(text: str, found: object) -> None:
    assert parse_against(text) == found


@pytest.mark.parametrize(
    "text", ["", "yesterday", "dataset:0", "dataset:x", "2026-01-02/2026-01-01", "a/b", "2026-01-01/"]
)
def test_references_that_are_none_say_what_is_accepted(text: str) -> None:
    with pytest.raises(BadInput, match=r"accepted: training, previous|ends before it begins"):
        parse_against(text)


@pytest.fixture
def moved(watch: Watch, traffic: Traffic) -> None:
    """Five degrees warmer than the training from the first day on, and again on the third."""
    rng = np.random.default_rng(0)
    for day, shift in enumerate((5.0, 5.0, 15.0)):
        traffic.predict(encoded_rows(rng, 2_000, shift=shift), event_us=START_US + day * DAY_US)
    watch_once(watch)


def test_another_window_is_the_reference(moved: None, settings: Settings) -> None:
    monitoring = Monitoring(settings)
    second = START.replace(day=4)
    assert monitoring.drift("rent", until=second).dataset.drifted == ("temp",)
    calm = monitoring.drift("rent", until=second, against="previous")
    assert (calm.dataset.state, calm.prediction.state) == (State.OK, State.OK)
    assert calm.rows.reference == 2_000
    third = monitoring.drift("rent", against="previous")
    assert third.dataset.drifted == ("temp",)
    assert third.prediction.state is State.ALARM
    first = monitoring.drift("rent", against=f"{START:%Y-%m-%d}/{second:%Y-%m-%d}")
    assert first.rows.reference == 4_000
    assert first.dataset.drifted == ("temp",)
    wasserstein = next(column.wasserstein for column in first.columns if column.name == "temp")
    assert wasserstein == pytest.approx(10 / 5, rel=0.1)


def test_a_window_without_traffic_is_no_data_and_no_drift(moved: None, settings: Settings) -> None:
    report = Monitoring(settings).drift("rent", against="2020-01-01/2020-02-01")
    assert report.dataset.state is State.NOT_ENOUGH_DATA
    assert {column.state for column in report.columns} == {State.NOT_ENOUGH_DATA}
    assert "the reference has no rows" in report.columns[0].sentence


def register(settings: Settings) -> None:
    with statedb.connect(settings.layout.database) as db:
        db.execute(
            "INSERT INTO models VALUES ('rent', 'regression', 'rides', 'count', '2026-01-01T00:00:00+00:00', "
            "'2026-01-01T00:00:00+00:00')"
        )
        db.execute(
            "INSERT INTO versions (model, version, run_id, dataset, dataset_version, rows, seconds, metrics, baseline, "
            "gate, created_at) VALUES ('rent', 1, 'r', 'rides', 1, 1, 1, '{}', '{}', "
            "'{\"passed\":true,\"reasons\":[]}', '2026-01-01T00:00:00+00:00')"
        )
    db.close()


def test_another_dataset_version_is_the_reference(moved: None, settings: Settings, tmp_path: object) -> None:
    monitoring = Monitoring(settings)
    with pytest.raises(NotFound, match="is not registered"):
        monitoring.drift("rent", against="dataset:1")
    register(settings)
    datasets = Datasets(settings)
    warm = training_frame(seed=5).with_columns(pl.col("temp") + 15)
    for frame in (training_frame(), warm):
        path = settings.layout.tmp / "rows.parquet"
        frame.write_parquet(path)
        datasets.add("rides", str(path), who="ada", append=False)
    versions = [snapshot.version for snapshot in datasets.versions("rides")]
    old, new = min(versions), max(versions)
    assert monitoring.drift("rent", against=f"dataset:{old}").dataset.drifted == ("temp",)
    assert monitoring.drift("rent", against=f"dataset:{new}").dataset.state is State.OK
    with pytest.raises(NotFound):
        monitoring.drift("rent", against="dataset:99")
    path = settings.layout.tmp / "rows.parquet"
    training_frame().drop("temp").write_parquet(path)
    datasets.add("rides2", str(path), who="ada", append=False)
    with statedb.connect(settings.layout.database) as db:
        db.execute("UPDATE versions SET dataset = 'rides2'")
    db.close()
    without = {column.name: column for column in monitoring.drift("rent", against="dataset:1").columns}
    assert without["temp"].state is State.NOT_ENOUGH_DATA
    assert "lacks the column 'temp'" in without["temp"].sentence
    assert {without[name].state for name in ("season", "holiday")} == {State.OK}
