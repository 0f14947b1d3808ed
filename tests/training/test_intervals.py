"""Intervals of a regression: they hold as much of the truth as declared, and a file is scored with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.training.batch import BatchOrder, predict_file
from tests.training.rows import Remembered, fit, made_up, penguins, spec
from tests.training.state import add, new_appliance, train_now


def spread_out(rows: int = 6000) -> pl.DataFrame:
    """The target's noise is three times as wide where ``wide`` is true."""
    rng = np.random.default_rng(9)
    x, wide = rng.normal(size=rows), rng.random(rows) < 0.5
    return pl.DataFrame({"x": x, "wide": wide, "y": x + np.where(wide, 3.0, 1.0) * rng.normal(size=rows)})


def test_an_interval_holds_as_much_as_declared_and_is_wide_where_the_noise_is(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    frame = spread_out()
    add(house, "data", frame)
    train_now(house, spec("y", intervals=(0.1, 0.9)))
    evaluation = house.models.card("model").evaluation
    assert evaluation is not None
    assert evaluation.coverage is not None
    assert evaluation.coverage.value == pytest.approx(0.8, abs=0.06)
    new = spread_out(500).drop("y")
    new.write_parquet(tmp_path / "new.parquet")
    out = tmp_path / "out.parquet"
    order = BatchOrder(model="model", version=None, file=tmp_path / "new.parquet", out=out)
    predict_file(house.settings, order, Remembered())
    scored = pl.read_parquet(out).with_columns((pl.col("interval_high") - pl.col("interval_low")).alias("width"))
    assert (scored["width"] >= 0).all()
    widths = dict(scored.group_by("wide").agg(pl.col("width").mean()).iter_rows())
    assert widths[True] > 2 * widths[False]


def test_without_an_interval_there_is_none() -> None:
    model = fit(spec("y"), made_up())
    assert model.interval == ()
    assert model.evaluation is not None
    assert model.evaluation.coverage is None


def test_an_interval_of_classes_is_refused() -> None:
    with pytest.raises(BadTable, match="intervals are for a regression"):
        fit(spec("species", intervals=(0.1, 0.9)), penguins())


def test_an_interval_goes_with_a_prediction_that_never_falls() -> None:
    model = fit(spec("y", monotone={"x": 1}, intervals=(0.1, 0.9), rounds=20), made_up(400))
    assert len(model.interval) == 2
    assert model.params["monotone_constraints"] == "1,0,0,0"
    (said,) = [sentence for sentence in model.decisions if "interval's ends" in sentence]
    assert "do not follow 'monotone'" in said
