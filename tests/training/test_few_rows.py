"""Tables of few rows, and classes that few rows have: LightGBM's defaults do harm there."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.training.fit import careful_params
from tests.training.rows import fit, made_up, spec


@pytest.mark.parametrize("rows", [20, 25, 60])
def test_a_table_of_few_rows_trains_and_beats_the_mean(rows: int) -> None:
    rng = np.random.default_rng(1)
    speed = rng.uniform(4, 25, size=rows)
    model = fit(spec("distance"), pl.DataFrame({"speed": speed, "distance": 3 * speed + rng.normal(size=rows)}))
    assert any("of so few rows a leaf may hold" in said for said in model.decisions)
    assert model.judgement.metrics["rmse"] < model.judgement.baseline["rmse"] / 2


def test_rows_in_a_leaf_that_a_search_found_are_not_told_as_the_careful_default() -> None:
    model = fit(spec("y", budget="better", trials=6), made_up(120))
    assert any(" is best: " in said and ", the defaults " in said for said in model.decisions)
    found = {trial.params["min_data_in_leaf"] for trial in model.trials if trial.params}
    assert model.params["min_data_in_leaf"] in found
    assert not any("of so few rows a leaf may hold" in said for said in model.decisions)


def test_a_rare_class_does_not_blow_the_loss_up() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60_000, 8))
    score = 1.5 * x[:, 0] + x[:, 1] - 0.8 * x[:, 2] - 8.5
    rows = pl.DataFrame(x, schema=[f"v{at}" for at in range(8)]).with_columns(
        fraud=pl.Series(rng.random(len(x)) < 1 / (1 + np.exp(-score)))
    )
    model = fit(spec("fraud"), rows)
    usual = model.judgement
    careless = fit(spec("fraud", params={"min_sum_hessian_in_leaf": 1e-3}), rows).judgement
    assert usual.metrics["auc"] > max(0.8, careless.metrics["auc"] + 0.1)
    assert usual.metrics["log_loss"] < usual.baseline["log_loss"] < careless.metrics["log_loss"]
    assert any("min_sum_hessian_in_leaf = 3)" in said for said in model.decisions)
    assert any("only 0.13% of the rows are 'true'" in warning.message for warning in model.warnings)


def test_what_the_declaration_says_of_leaves_holds() -> None:
    assert careful_params(40, 1, {}) == {"min_data_in_leaf": 5, "min_sum_hessian_in_leaf": 0.1}
    assert careful_params(40, 1, {"min_child_samples": 2, "min_child_weight": 0.0}) == {}
    assert careful_params(10_000, 499, {}) == {"min_sum_hessian_in_leaf": 3.0}
    assert careful_params(10_000, 500, {}) == {}
    assert careful_params(10_000, None, {}) == {}
    assert careful_params(10_000, 0, {}) == {}  # rows of one class alone say nothing of the rarer one


@pytest.mark.parametrize(
    ("rows", "params", "least"),
    [
        (1_000, {}, 20),
        (100, {}, 8),  # an eighth of those that are fitted first
        (1_000, {"min_child_samples": 50}, 50),
    ],
)
def test_columns_that_cannot_be_split_are_told_as_that(rows: int, params: dict[str, int], least: int) -> None:
    rng = np.random.default_rng(1)
    table = pl.DataFrame({"on": [at % 100 == 0 for at in range(rows)], "y": rng.normal(size=rows)})
    with pytest.raises(BadTable, match=rf"no column splits the training rows .* \(min_data_in_leaf = {least};"):
        fit(spec("y", params=params), table)


def test_classes_that_differ_in_a_blank_are_told() -> None:
    rng = np.random.default_rng(1)
    told = rng.choice(["yes", "no", "Yes", "no "], size=200)
    model = fit(spec("answer", rounds=5), pl.DataFrame({"x": rng.normal(size=200), "answer": told}))
    (warning,) = [one for one in model.warnings if one.code == "alike_classes"]
    assert "differ only in blanks or capitals ('Yes', 'yes'; 'no', 'no ')" in warning.message
