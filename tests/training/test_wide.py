"""Tables of thousands of columns: from a file to an answer over HTTP, and held against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.findings import Code
from appliance.intake import Intake
from appliance.model_spec import ModelSpec
from appliance.monitoring.compare import compare_files
from appliance.monitoring.spans import State
from appliance.schema import Task
from appliance.training import table
from appliance.training.fit import FitPlan
from appliance.training.table import Table
from storage.columns import Dtype
from tests.served_api import serve_api
from tests.training.rows import made_up
from tests.training.state import new_appliance, train_now


def wide(columns: int, rows: int) -> pl.DataFrame:
    """Measurements and whole numbers in turn; ``y`` follows from the first one."""
    noise = np.random.default_rng(3)
    made = {
        f"c{at}": noise.integers(0, 1000, rows) if at % 2 else noise.normal(size=rows).round(4)
        for at in range(columns - 1)
    }
    return pl.DataFrame({**made, "y": (3.0 * made["c0"] + noise.normal(scale=0.1, size=rows)).round(4)})


def test_thousands_of_columns_go_from_a_file_to_an_answer(tmp_path: Path) -> None:
    frame = wide(1_100, 250)
    frame.write_csv(tmp_path / "wide.csv")
    frame.write_parquet(tmp_path / "wide.parquet")
    house = new_appliance(tmp_path / "state", training_threads=1)
    packed, plain = (Intake(source=str(tmp_path / name), target="y") for name in ("wide.parquet", "wide.csv"))
    house.datasets.take_in("wide", packed, who="test", look=False)
    added = house.datasets.take_in("wide", plain, who="test")
    assert house.datasets.show("wide", 1).columns == house.datasets.show("wide", 2).columns
    profiled = house.datasets.profile("wide")
    assert len(profiled) == 1_100
    assert {column.dtype for column in profiled} == {Dtype.FLOAT, Dtype.INT}
    assert [finding.column for finding in added.warnings if finding.code in {Code.LEAK, Code.LEAK_SUSPECT}] == ["c0"]

    report = train_now(house, ModelSpec(name="m", dataset="wide", target="y", rounds=10, early_stopping=5))
    assert report.gate.passed
    card = house.models.card("m", report.version)
    assert len(card.columns) == 1_099
    assert card.params["max_bin"] == 63
    assert any("at most 63 bins" in said for said in card.decisions)
    if not report.deployed:
        house.deployments.deploy("m", report.version, who="test", reason="test")
    with serve_api(house.settings.layout) as api:
        api.wait_until_serving("m", report.version)
        answer = api.client.post("/models/m/predict", json={"rows": frame.head(2).drop("y").to_dicts(), "explain": 1})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["reasons"][0]["field"] == "c0"

    drift = compare_files(str(tmp_path / "wide.parquet"), str(tmp_path / "wide.csv"))
    assert len(drift.columns) == 1_100
    assert drift.dataset.state is State.OK
    assert list(house.settings.layout.tmp.glob("scratch-*")) == []


def test_columns_with_few_rows_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made_up(50)
    frame.write_parquet(tmp_path / "rows.parquet")
    looks: list[list[str]] = []

    def remembered(self: pl.LazyFrame, *names: object) -> pl.LazyFrame:
        looks.append(list(names[0]) if isinstance(names[0], list) else [str(names[0])])
        return select(self, *names)  # type: ignore[arg-type]

    select = pl.LazyFrame.select
    monkeypatch.setattr(table, "AHEAD_CELLS", 100)
    rows = Table.scan(pl.scan_parquet(tmp_path / "rows.parquet"), height=50)
    monkeypatch.setattr(pl.LazyFrame, "select", remembered)
    for name in frame.columns:
        assert rows[name].equals(frame[name])
    assert looks == [["x", "noise"], ["color", "on"], ["y"]]
    assert rows["noise"].equals(frame["noise"])


def test_a_broken_column_hides_none_that_are_read_with_it(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: np.arange(1000.0) for name in "abc"})
    path = tmp_path / "rows.parquet"
    frame.write_parquet(path, compression="zstd", statistics=False)
    place = path.stat().st_size // 2
    content = bytearray(path.read_bytes())
    content[place - 40 : place + 40] = bytes(80)
    path.write_bytes(content)
    rows = Table.scan(pl.scan_parquet(path), height=1000)
    assert rows["a"].equals(frame["a"])
    assert rows["c"].equals(frame["c"])
    with pytest.raises(pl.exceptions.PolarsError):
        rows["b"]


def test_of_long_columns_the_next_one_is_read_while_one_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({name: np.arange(at, at + 1000.0) for at, name in enumerate("abcde")})
    frame.write_parquet(tmp_path / "rows.parquet", row_group_size=300)
    monkeypatch.setattr(table, "AHEAD_CELLS", 1000)
    rows = Table.scan(pl.scan_parquet(tmp_path / "rows.parquet"), height=1000)
    found = {}
    for name, series in table.in_turn(rows, list("abde")):
        found[name] = series
        assert series.n_chunks() == 1
    assert list(found) == list("abde")
    assert all(found[name].equals(frame[name]) for name in found)
    assert [name for name, _ in table.in_turn(rows.pick(np.arange(5)), list("ab"))] == ["a", "b"]
    assert not list(table.in_turn(rows, []))
    broken = table.in_turn(rows, ["a", "none", "b"])
    assert next(broken)[0] == "a", "what is wrong with a column is said when it is its turn"
    with pytest.raises(pl.exceptions.PolarsError):
        next(broken)


@pytest.mark.parametrize(
    ("features", "params", "bins"),
    [(1_000, {}, None), (1_001, {}, 63), (1_001, {"max_bin": 255}, 255), (1_001, {"max_bins": 15}, None)],
)
def test_a_declared_number_of_bins_comes_before_the_one_for_wide_tables(
    features: int, params: dict[str, int], bins: int | None
) -> None:
    plan = FitPlan(
        task=Task.REGRESSION, classes=0, rounds=1, early_stopping=1, seed=0, threads=lambda: 1, params=params,
        features=features,
    )  # fmt: skip
    found = plan.lightgbm_params()
    assert found.get("max_bin") == bins
