"""A file in, the same rows with predictions out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from appliance.errors import BadInput, BadTable, NotFound
from appliance.house import Appliance
from appliance.training.batch import BatchOrder, predict_file
from tests.training.rows import Remembered, made_up, penguins, spec
from tests.training.state import add, new_appliance, train_now


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    house = new_appliance(tmp_path_factory.mktemp("batch") / "state")
    add(house, "penguins", penguins())
    add(house, "data", made_up())
    train_now(house, spec("on"))
    declared = spec("species")
    train_now(house, type(declared)(name="birds", dataset="penguins", target="species"))
    return house


READ: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet, ".csv": pl.read_csv, ".ndjson": pl.read_ndjson,
}  # fmt: skip


@pytest.mark.parametrize("suffix", sorted(READ))
def test_rows_keep_their_order_and_gain_a_probability_a_class(house: Appliance, tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / "in.csv", tmp_path / f"out{suffix}"
    penguins().write_csv(source)
    order = BatchOrder(model="birds", version=None, file=source, out=out)
    report = predict_file(house.settings, order, Remembered())
    found = READ[suffix](out)
    assert report.rows == len(found) == 344
    assert found.columns[:7] == penguins().columns
    assert found.columns[7:] == [
        "prediction", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"
    ]  # fmt: skip
    assert found["species"].to_list() == penguins()["species"].to_list()
    assert found.filter(pl.col("prediction") == pl.col("species")).height > 0.97 * 344
    totals = found.select(pl.sum_horizontal(pl.col("^probability_.*$")))
    assert totals.to_series().round(9).eq(1.0).all()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_categories_nobody_knows_are_counted(house: Appliance, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    made_up(50).with_columns(pl.lit("mauve").alias("color")).write_parquet(source)
    report = predict_file(
        house.settings, BatchOrder(model="model", version=1, file=source, out=tmp_path / "o.csv"), Remembered()
    )
    assert report.unseen == {"color": 50}


def refuse(house: Appliance, frame: pl.DataFrame, folder: Path, error: type[Exception], version: int = 1) -> str:
    frame.write_parquet(folder / "in.parquet")
    order = BatchOrder(model="model", version=version, file=folder / "in.parquet", out=folder / "out.csv")
    with pytest.raises(error) as refused:
        predict_file(house.settings, order, Remembered())
    assert not (folder / "out.csv").exists()
    return str(refused.value)


def test_what_cannot_be_scored_is_said_and_nothing_is_written(house: Appliance, tmp_path: Path) -> None:
    rows = made_up(30)
    assert "lacks the model's column(s) 'noise'" in refuse(house, rows.drop("noise"), tmp_path, BadTable)
    assert "30 of its values are no number" in refuse(
        house, rows.with_columns(pl.lit("a").alias("x")), tmp_path, BadTable
    )
    assert "prediction already" in refuse(house, rows.with_columns(pl.lit(1).alias("prediction")), tmp_path, BadInput)
    assert "no published version 9" in refuse(house, rows, tmp_path, NotFound, version=9)
