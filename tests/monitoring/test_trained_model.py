"""A model that training made, watched over real rows: undrifted traffic is silent, a moved column is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.events import PredictionEvent
from appliance.model_card import Trial
from appliance.model_spec import ModelSpec
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from appliance.settings import Settings
from appliance.training.bundle import reference_file
from appliance.training.encode import encode_frame
from appliance.training.fit import Scorer
from appliance.training.train import TrainedModel, train
from storage.bundles import Manifest, publish_bundle
from tests.monitoring.traffic import HOUR_US, START_US, Traffic, make_settings, token_at

ROWS = 3000


class Silent:
    """A training's progress that nobody watches."""

    def step(self, name: str, fraction: float, message: str) -> None:
        """Not shown."""

    def round(self, iteration: int, train: float, valid: float) -> None:
        """Not shown."""

    def trial(self, trial: Trial) -> None:
        """Not shown."""


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    frame = pl.read_parquet(Path(__file__).parents[1] / "data/adult.parquet").drop("split")
    return frame.sample(fraction=1.0, shuffle=True, seed=3)


@pytest.fixture(scope="module")
def trained(adult: pl.DataFrame) -> TrainedModel:
    spec = ModelSpec(name="income", dataset="adult", target="income", rounds=60, params={"num_leaves": 15})
    return train(spec, adult[ROWS:], incumbent=None, threads=lambda: 1, progress=Silent())


@pytest.fixture
def watched(tmp_path: Path, trained: TrainedModel) -> Settings:
    made = make_settings(tmp_path)
    manifest = Manifest(
        model="income", version=1, task=Task.BINARY, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="adult",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(trained.schema), "reference.json": reference_file(trained)}
    publish_bundle(made.layout, manifest, files)
    return made


def serve(settings: Settings, trained: TrainedModel, rows: pl.DataFrame, hour: int) -> None:
    """One request of many rows, answered by the model, and the labels of all of them."""
    traffic = Traffic(settings, model="income")
    encoded = encode_frame(rows, trained.schema)
    matrix = encoded.to_numpy()
    scores = Scorer(trained.fitted.text, trained.schema, threads=1).predict(encoded)[:, 0]
    at = START_US + hour * HOUR_US
    values = [None if np.isnan(value) else value for value in matrix.ravel().tolist()]
    event = PredictionEvent(
        id=token_at(at, hour), t=at, at=at, m="income", v=1, n=rows.height, x=values, y=scores.tolist(), us=900
    )
    traffic.write("predictions", msgspec.json.encode(event))
    for i, label in enumerate(rows["income"].to_list()):
        traffic.label(f"{event.id}.{i}", label, label_us=at, at_us=at)
    traffic.close()


def test_undrifted_traffic_is_silent_and_quality_is_the_holdouts(
    watched: Settings, trained: TrainedModel, adult: pl.DataFrame
) -> None:
    serve(watched, trained, adult[:ROWS], 0)
    watch = Watch(watched.layout)
    progress = watch_once(watch)
    watch.close()
    assert (progress.predictions, progress.labels, progress.faults) == (ROWS, ROWS, 0)
    report = Monitoring(watched).drift("income")
    assert [column.sentence for column in report.columns if column.state is not State.OK] == []
    assert (report.dataset.state, report.dataset.weighted_share) == (State.OK, 0.0)
    assert report.prediction.state is State.OK
    assert report.label is not None
    assert report.label.state is State.OK
    quality = Monitoring(watched).quality("income")
    assert (quality.state, quality.mature) == (State.OK, True)
    assert quality.metrics["auc"] == pytest.approx(quality.reference["auc"], abs=0.02)
    assert set(quality.reference) <= set(quality.metrics)
    assert len(reference_file(trained)) < 60_000


def test_a_moved_column_is_named(watched: Settings, trained: TrainedModel, adult: pl.DataFrame) -> None:
    moved = adult[:ROWS].with_columns(
        pl.col("age") + 15, workclass=pl.when(pl.col("age") % 10 == 0).then(pl.lit("gig")).otherwise("workclass")
    )
    serve(watched, trained, moved, 0)
    watch = Watch(watched.layout)
    watch_once(watch)
    watch.close()
    report = Monitoring(watched).drift("income")
    assert set(report.dataset.drifted) == {"age", "workclass"}
    sentences = {column.name: column.sentence for column in report.columns}
    assert sentences["age"].startswith("`age` moved: the share")
    assert sentences["workclass"].startswith("`workclass` moved: the share of categories the reference lacks rose")
