"""Intervals over HTTP: those of LightGBM's own boosters, on every way through the API, and proved before they serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest

from appliance.errors import BundleRefused
from appliance.serving.interval import FILES
from appliance.serving.loaded_model import load_model
from storage.bundles import bundle_path, publish_bundle, read_bundle
from storage.layout import Layout
from tests.model_bundles import deploy
from tests.served_api import ServedApi, serve_api
from tests.training.rows import spec
from tests.training.state import add, new_appliance, train_now
from tests.training.test_intervals import spread_out

ROWS: list[dict[str, Any]] = spread_out(40).drop("y").to_dicts()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Version 1 has an interval, version 2 has none."""
    house = new_appliance(tmp_path_factory.mktemp("intervals") / "state")
    add(house, "data", spread_out(2000))
    train_now(house, spec("y", intervals=(0.1, 0.9), rounds=30))
    train_now(house, spec("y", rounds=10))
    return house.settings.layout


@pytest.fixture(scope="module")
def api(layout: Layout) -> Iterator[ServedApi]:
    deploy(layout, {"model": 1})
    with serve_api(layout) as served:
        served.wait_until_serving("model", 1)
        yield served


def expected(layout: Layout, rows: list[dict[str, Any]]) -> list[list[float]]:
    """What two boosters of the whole library say, the smaller first."""
    _, files = read_bundle(layout, "model", 1)
    matrix = np.array([[row["x"], float(row["wide"])] for row in rows])
    ends = np.column_stack([lightgbm.Booster(model_str=files[name].decode()).predict(matrix) for name in FILES])
    found: list[list[float]] = np.sort(ends, axis=1).tolist()
    return found


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("query", ["", "?through=litestar"])
def test_the_native_answer_has_the_interval_of_each_row(api: ServedApi, layout: Layout, count: int, query: str) -> None:
    answer = api.client.post(f"/models/model/predict{query}", json={"rows": ROWS[:count]}).json()["predictions"]
    assert [one["interval"] for one in answer] == expected(layout, ROWS[:count])
    assert [list(one) for one in answer] == [["id", "value", "interval", "flags"]] * count


def test_reasons_stand_beside_the_interval(api: ServedApi, layout: Layout) -> None:
    answer = api.client.post("/models/model/predict", json={"rows": ROWS[:3], "explain": 1}).json()["predictions"]
    assert [one["interval"] for one in answer] == expected(layout, ROWS[:3])
    assert all(len(one["reasons"]) == 1 for one in answer)


@pytest.mark.parametrize("count", [1, 40])
def test_v2_has_two_more_tensors(api: ServedApi, layout: Layout, count: int) -> None:
    rows = ROWS[:count]
    tensors = [
        {"name": "x", "shape": [count], "datatype": "FP64", "data": [row["x"] for row in rows]},
        {"name": "wide", "shape": [count], "datatype": "BOOL", "data": [row["wide"] for row in rows]},
    ]
    body: dict[str, Any] = {"inputs": tensors}
    outputs = api.client.post("/v2/models/model/infer", json=body).json()["outputs"]
    found = {output["name"]: output["data"] for output in outputs}
    ends = expected(layout, rows)
    assert found["interval_low"] == [low for low, _ in ends]
    assert found["interval_high"] == [high for _, high in ends]
    named = [output["name"] for output in api.client.get("/v2/models/model").json()["outputs"]]
    assert named == ["prediction", "interval_low", "interval_high"]
    body["outputs"] = [{"name": "interval_high"}]
    (only,) = api.client.post("/v2/models/model/infer", json=body).json()["outputs"]
    assert (only["name"], only["data"]) == ("interval_high", found["interval_high"])


def test_the_other_dialects_answer_the_value_alone(api: ServedApi) -> None:
    value = api.client.post("/models/model/predict", json={"rows": ROWS[:1]}).json()["predictions"][0]["value"]
    assert api.client.post("/v1/models/model:predict", json={"instances": ROWS[:1]}).json()["predictions"] == [value]
    records = api.client.post("/invocations", json={"dataframe_records": ROWS[:1]}).json()["predictions"]
    assert records == [value]


def test_a_model_without_intervals_has_none(layout: Layout) -> None:
    model = load_model(layout, "model", 2)
    assert model.interval is None
    assert model.ends(np.zeros((1, 2))) is None
    assert model.ends_one([0.0, 0.0]) is None


def changed(
    layout: Layout, apart: Path, change: Callable[[dict[str, Any]], None], *, low: bytes | None = None
) -> Layout:
    """Version 1 again, with other golden rows or another lower end, and hashes that fit."""
    manifest, files = read_bundle(layout, "model", 1)
    golden = json.loads(files["golden.json"])
    change(golden)
    made = Layout(root=apart)
    made.create()
    files |= {"golden.json": json.dumps(golden).encode(), FILES[0]: low or files[FILES[0]]}
    publish_bundle(made, msgspec.structs.replace(manifest, files={}), files)
    return made


def test_an_interval_that_scores_otherwise_is_refused(layout: Layout, tmp_path: Path) -> None:
    def moved(golden: dict[str, Any]) -> None:
        golden["intervals"][3][1] += 0.5

    with pytest.raises(BundleRefused, match="interval of golden row 3 is"):
        load_model(changed(layout, tmp_path / "moved", moved), "model", 1)
    main = (bundle_path(layout, "model", 1) / "model.txt").read_bytes()
    with pytest.raises(BundleRefused, match="interval of golden row"):
        load_model(changed(layout, tmp_path / "swapped", lambda _: None, low=main), "model", 1)

    def short(golden: dict[str, Any]) -> None:
        golden["intervals"].pop()

    with pytest.raises(BundleRefused, match="intervals; train it again"):
        load_model(changed(layout, tmp_path / "short", short), "model", 1)


def test_an_interval_that_nothing_proves_is_not_served(layout: Layout, tmp_path: Path) -> None:
    model = load_model(changed(layout, tmp_path / "old", lambda golden: golden.pop("intervals")), "model", 1)
    assert model.interval is None
