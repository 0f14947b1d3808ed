"""A regression's error as expected from inputs and prediction: nearer than from the prediction alone under a shift."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from appliance.house import prepare_state
from appliance.model_spec import ModelSpec
from appliance.monitoring.estimates import Estimator, open_estimator
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.losses import LOSSES, parse_losses
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import Reference, parse_reference
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from appliance.settings import Settings
from appliance.training.bundle import reference_file
from appliance.training.encode import encode_frame
from appliance.training.fit import Scorer
from appliance.training.train import TrainedModel, train
from storage.bundles import Manifest, publish_bundle
from tests.model_bundles import deploy
from tests.monitoring.test_trained_model import Silent
from tests.monitoring.traffic import DAY_US, START_US, Traffic
from tests.served_api import serve_api

Floats = npt.NDArray[np.float64]

RUSH = pl.col("hour").is_in([7, 8, 9, 17, 18, 19])
SHIFTS = {
    "rush hours": RUSH & (pl.col("workingday") == "Yes"),
    "humid": pl.col("hum") > 85,
    "evenings": pl.col("hour") >= 20,
    "rain": pl.col("weathersit").str.contains("Rain"),
}
"""Drifts of the inputs alone: rows that the training knew, in another mix."""


@pytest.fixture(scope="module")
def rides() -> pl.DataFrame:
    path = Path(str(files("appliance.demo") / "data/bike_sharing_hourly.parquet"))
    return pl.read_parquet(path).drop("casual", "registered", "dteday", "ts").sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def trained(rides: pl.DataFrame) -> TrainedModel:
    spec = ModelSpec(name="rides", dataset="bike", target="cnt", rounds=300)
    return train(spec, rides[:10_000], incumbent=None, threads=lambda: 1, progress=Silent())


@pytest.fixture(scope="module")
def reference(trained: TrainedModel) -> Reference:
    return parse_reference(reference_file(trained))


def scored(trained: TrainedModel, rows: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    encoded = encode_frame(rows, trained.schema)
    outputs = Scorer(trained.fitted.text, trained.schema, threads=1).predict(encoded)
    return encoded.to_numpy(), outputs, rows["cnt"].cast(pl.Float64).to_numpy()


def expected(estimator: Estimator, encoded: Floats, outputs: Floats) -> dict[str, float]:
    return estimator.estimate(estimator.count(outputs, np.zeros(len(outputs), np.int64), 1, encoded=encoded)[0])


def test_inputs_tell_more_than_the_prediction_alone_when_they_drift(
    trained: TrainedModel, reference: Reference, rides: pl.DataFrame
) -> None:
    assert trained.losses is not None
    alone = open_estimator(trained.schema, reference.estimation)
    both = open_estimator(trained.schema, reference.estimation, trained.losses)
    assert alone is not None
    assert both is not None
    off: dict[str, list[float]] = {"alone": [], "both": []}
    for name, shift in SHIFTS.items():
        encoded, outputs, truth = scored(trained, rides[10_000:].filter(shift))
        error = truth - outputs[:, 0]
        measured = {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
        for which, estimator in (("alone", alone), ("both", both)):
            found = expected(estimator, encoded, outputs)
            off[which] += [abs(found[metric] / measured[metric] - 1) for metric in ("mae", "rmse")]
        assert off["both"][-2] < off["alone"][-2], name
    assert np.mean(off["both"]) < 0.6 * np.mean(off["alone"])
    encoded, outputs, truth = scored(trained, rides[10_000:])
    calm = expected(both, encoded, outputs)
    assert calm["mae"] == pytest.approx(float(np.abs(truth - outputs[:, 0]).mean()), rel=0.05)


def test_sums_add_up_and_need_the_rows(trained: TrainedModel, reference: Reference, rides: pl.DataFrame) -> None:
    estimator = open_estimator(trained.schema, reference.estimation, trained.losses)
    assert estimator is not None
    encoded, outputs, _ = scored(trained, rides[10_000:11_000])
    parts = estimator.count(outputs, np.arange(1_000) % 7, 7, encoded=encoded)
    whole = estimator.count(outputs, np.zeros(1_000, np.int64), 1, encoded=encoded)[0]
    assert parts.shape == (7, estimator.width)
    np.testing.assert_allclose(parts.sum(axis=0), whole)
    assert estimator.rows(whole) == 1_000
    assert estimator.estimate(np.zeros(estimator.width)) == {}
    with pytest.raises(ValueError, match="from the inputs, too"):
        estimator.count(outputs, np.zeros(1_000, np.int64), 1)


def test_the_two_models_are_small_and_the_same_each_time(trained: TrainedModel, rides: pl.DataFrame) -> None:
    assert trained.losses is not None
    content = msgspec.json.encode(trained.losses)
    assert len(content) < 150_000
    assert parse_losses(content) == trained.losses
    spec = ModelSpec(name="rides", dataset="bike", target="cnt", rounds=300)
    again = train(spec, rides[:10_000], incumbent=None, threads=lambda: 2, progress=Silent())
    assert again.losses == trained.losses


def test_errors_that_no_input_tells_and_few_rows_have_no_models() -> None:
    rng = np.random.default_rng(0)
    rows = 6_000
    frame = pl.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    frame = frame.with_columns(y=pl.col("a") * 3 + pl.Series(rng.normal(size=rows)))
    spec = ModelSpec(name="noise", dataset="d", target="y", rounds=30)
    noise = train(spec, frame, incumbent=None, threads=lambda: 1, progress=Silent())
    assert noise.losses is None
    assert parse_reference(reference_file(noise)).estimation is not None
    loud = frame.with_columns(y=pl.col("y") + pl.Series(rng.normal(size=rows)) * (pl.col("b") > 0) * 9)
    assert train(spec, loud, incumbent=None, threads=lambda: 1, progress=Silent()).losses is not None
    assert train(spec, loud[:1_000], incumbent=None, threads=lambda: 1, progress=Silent()).losses is None


def publish(settings: Settings, trained: TrainedModel, *, losses: bytes | None) -> None:
    manifest = Manifest(
        model="rides", version=1, task=Task.REGRESSION, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="bike",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    content = {
        "model.txt": trained.fitted.text.encode(), "schema.json": msgspec.json.encode(trained.schema),
        "reference.json": reference_file(trained), "golden.json": msgspec.json.encode(trained.golden),
        "card.json": b"{}",
    }  # fmt: skip
    publish_bundle(settings.layout, manifest, content | ({LOSSES: losses} if losses else {}))


def replay(settings: Settings, trained: TrainedModel, rows: pl.DataFrame, *, label: bool) -> None:
    """Two days of half the rows each; the first day's labels come."""
    traffic = Traffic(settings, model="rides")
    for day, part in enumerate((rows[: rows.height // 2], rows[rows.height // 2 :])):
        encoded, outputs, truth = scored(trained, part)
        token = traffic.predict(encoded, event_us=START_US + day * DAY_US, outputs=outputs[:, 0].tolist())
        for index, value in enumerate(truth.tolist() if label and not day else []):
            traffic.label(f"{token}.{index}", value)
    traffic.close()
    with closing(Watch(settings.layout)) as watch:
        assert watch_once(watch).faults == 0


def test_quality_shows_the_estimate_and_how_far_it_was_off(
    tmp_path: Path, trained: TrainedModel, reference: Reference, rides: pl.DataFrame
) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    assert trained.losses is not None
    publish(settings, trained, losses=msgspec.json.encode(trained.losses))
    rows = rides[10_000:].filter(SHIFTS["humid"])
    replay(settings, trained, rows, label=True)
    estimate = Monitoring(settings).quality("rides").estimate
    assert estimate is not None
    assert (estimate.rows, estimate.days) == (rows.height, 1)
    encoded, outputs, truth = scored(trained, rows)
    both = open_estimator(trained.schema, reference.estimation, trained.losses)
    assert both is not None
    assert estimate.metrics == pytest.approx(expected(both, encoded, outputs))
    half = rows.height // 2
    day = expected(both, encoded[:half], outputs[:half])
    measured = float(np.abs(truth[:half] - outputs[:half, 0]).mean())
    assert estimate.past_error["mae"] == pytest.approx(abs(day["mae"] - measured))


@pytest.mark.parametrize("losses", [None, b"{}", b'{"absolute":"tree\\n","squared":"tree\\n"}'])
def test_a_version_without_them_or_with_damaged_ones_is_watched_all_the_same(
    tmp_path: Path, trained: TrainedModel, rides: pl.DataFrame, losses: bytes | None
) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    publish(settings, trained, losses=losses)
    replay(settings, trained, rides[10_000:10_400], label=False)
    report = Monitoring(settings).drift("rides")
    assert report.rows.current == 200
    estimate = Monitoring(settings).quality("rides").estimate
    assert (estimate is None) is (losses is not None and b"tree" in losses)
    assert KnownVersions(settings.layout).find("rides", 1) is not None


def test_the_request_path_neither_reads_nor_runs_them(
    tmp_path: Path, trained: TrainedModel, rides: pl.DataFrame
) -> None:
    code = (
        "import sys, appliance.api.inference.app; "
        "print([name for name in sys.modules if name.startswith('appliance.monitoring')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert trained.losses is not None
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    broken = msgspec.structs.replace(trained.losses, absolute="no model", squared="no model")
    publish(settings, trained, losses=msgspec.json.encode(broken))
    deploy(settings.layout, {"rides": 1})
    rows = rides[10_000:10_003].drop("cnt")
    with serve_api(settings.layout) as api:
        api.wait_until_serving("rides", 1)
        answer = api.client.post("/models/rides/predict", json={"rows": rows.to_dicts()}).json()
    _, outputs, _ = scored(trained, rides[10_000:10_003])
    assert [one["value"] for one in answer["predictions"]] == pytest.approx(outputs[:, 0].tolist(), rel=1e-12)
