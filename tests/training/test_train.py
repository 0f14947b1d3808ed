"""Real data to judged models. The figures were measured with LightGBM 4.7.0 on the files named in ORIGIN.txt."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.encoder import RowEncoder
from appliance.errors import BadTable
from appliance.schema import Kind, Task
from appliance.training.contest import Contest, Incumbent
from appliance.training.encode import encode_frame
from appliance.training.fit import Scorer
from appliance.training.gate import judge
from tests.training.rows import BIKE, Remembered, adults, bikes, fit, made_up, penguins, spec


def test_bikes_are_a_regression_measured_on_their_newest_rows() -> None:
    progress = Remembered()
    model = fit(msgspec.structs.replace(BIKE, holdout=0.3), bikes(), progress=progress)
    judged = model.judgement
    assert model.schema.task is Task.REGRESSION
    assert (len(model.schema.columns), model.schema.time_column) == (10, "ts")
    assert judged.metrics["rmse"] == pytest.approx(124.0, abs=3.0)
    assert judged.baseline["rmse"] > 1.5 * judged.metrics["rmse"]
    assert judged.gate.passed
    assert "first version" in judged.gate.reasons[0]
    times = bikes()["ts"]
    assert times.gather(model.split.holdout).min() > times.gather(model.split.stop).max()  # type: ignore[operator]
    assert times.gather(model.split.stop).min() > times.gather(model.split.fit).max()  # type: ignore[operator]
    assert [name for name, _ in progress.steps] == ["check", "fit", "refit", "evaluate"]
    assert [iteration for iteration, _, _ in progress.rounds[:3]] == [1, 2, 3]
    assert min(valid for _, _, valid in progress.rounds) == progress.rounds[model.fitted.iterations - 1][2]


def test_adults_are_binary() -> None:
    model = fit(spec("income", exclude=("split",)), adults())
    assert model.schema.classes == ("<=50K", ">50K")
    assert model.judgement.metrics["auc"] == pytest.approx(0.93, abs=0.01)
    assert model.judgement.baseline["auc"] == 0.5
    assert set(model.judgement.metrics) == {
        "auc", "average_precision", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1",
    }  # fmt: skip


def test_a_target_whose_squares_are_beyond_32_bits_has_an_importance_that_a_card_holds() -> None:
    model = fit(spec("y"), made_up().with_columns(pl.col("y") * 1e30))
    assert sum(one.share for one in model.importance) == pytest.approx(1.0)
    assert model.importance[0].column == "x"


def test_penguins_are_multiclass() -> None:
    model = fit(spec("species"), penguins())
    assert model.schema.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert model.judgement.metrics["accuracy"] >= 0.94
    assert set(model.judgement.metrics) == {"accuracy", "macro_f1", "log_loss"}
    assert model.judgement.primary == "log_loss"


@pytest.mark.parametrize(("target", "frame"), [("cnt", bikes), ("species", penguins)])
def test_training_twice_gives_the_same_model_bit_for_bit(target: str, frame: object) -> None:
    wanted = BIKE if target == "cnt" else spec(target)
    first, second = fit(wanted, frame()), fit(wanted, frame())  # type: ignore[operator]
    assert first.fitted.text == second.fitted.text
    assert first.golden == second.golden
    assert first.judgement == second.judgement


def test_the_champion_is_scored_on_the_challengers_holdout() -> None:
    first = fit(spec("y"), made_up(200))
    incumbent = Incumbent(version=1, text=first.fitted.text, schema=first.schema)
    same = fit(spec("y"), made_up(200), incumbent=incumbent)
    assert same.judgement.champion == same.judgement.metrics
    assert not same.judgement.gate.passed
    assert "not better than" in same.judgement.gate.reasons[0]
    better = fit(spec("y"), made_up(4000), incumbent=incumbent)
    assert better.judgement.gate.passed
    assert "champion version 1" in better.judgement.gate.reasons[0]
    assert better.judgement.champion is not None
    assert better.judgement.champion["rmse"] > better.judgement.metrics["rmse"]


def test_a_champion_that_cannot_be_scored_loses_with_the_reason() -> None:
    first = fit(spec("y"), made_up())
    incumbent = Incumbent(version=4, text=first.fitted.text, schema=first.schema)
    gate = fit(spec("y"), made_up().drop("noise"), incumbent=incumbent).judgement.gate
    assert gate.passed
    assert "champion version 4 cannot be compared" in gate.reasons[0]
    assert "'noise'" in gate.reasons[0]


def test_a_new_class_is_one_the_champion_gives_no_chance() -> None:
    old = (
        penguins()
        .filter(pl.col("species") != "Gentoo")
        .with_columns(
            pl.when(pl.int_range(pl.len()) % 9 == 0).then(pl.lit("Other")).otherwise("species").alias("species")
        )
    )
    first = fit(spec("species"), old)
    gate = fit(
        spec("species"), penguins(), incumbent=Incumbent(version=1, text=first.fitted.text, schema=first.schema)
    ).judgement.gate
    assert gate.passed


def test_golden_rows_hold_the_hard_cases_and_encode_alike_in_the_serving_process() -> None:
    frame = made_up().with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise("x").alias("x"),
        pl.int_range(pl.len()).mod(3).alias("zone"),
        pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2030, 1, 1), "1h", eager=False)
        .head(pl.len()).shuffle(seed=1).alias("built"),
    )  # fmt: skip
    model = fit(spec("y", columns={"zone": Kind.CATEGORY, "built": Kind.DATETIME}), frame)
    rows = model.golden.rows
    assert len(rows) == 80 + 2, "the holdout, a row of nulls, one of unseen categories"
    assert set(rows[-2].values()) == {None}
    assert rows[-1]["color"] not in {"red", "green", "blue"}
    encoded = RowEncoder(model.schema).encode(rows).matrix
    outputs = Scorer(model.fitted.text, model.schema, threads=1).predict(
        pl.DataFrame(encoded, schema=[f"f{i}" for i in range(encoded.shape[1])])
    )
    assert outputs.tolist() == model.golden.outputs
    held = frame[model.split.holdout]
    names = [column.name for column in model.schema.columns]
    raw = [
        {**row, "built": row["built"].isoformat()} for row in held.select(names).head(50).to_dicts()
    ]  # fmt: skip
    same = RowEncoder(model.schema).encode(raw).matrix
    assert pl.DataFrame(same, schema=[f"f{i}" for i in range(len(names))]).equals(
        encode_frame(held.head(50), model.schema), null_equal=True
    )


def test_names_that_lightgbm_refuses_train() -> None:
    frame = made_up().rename({"x": "Air temperature [K]", "noise": 'a "quoted", name', "color": "ünï\tcode"})
    model = fit(spec("y"), frame)
    assert [column.name for column in model.schema.columns][:2] == ["Air temperature [K]", 'a "quoted", name']
    assert model.importance[0].column == "Air temperature [K]"


def test_rows_without_a_label_do_not_train_and_are_counted() -> None:
    frame = made_up().with_columns(pl.when(pl.int_range(pl.len()) < 100).then(None).otherwise("y").alias("y"))
    model = fit(spec("y"), frame)
    assert model.rows == 300
    assert any("100 of 400 rows have no 'y'" in warning.message for warning in model.warnings)


def test_a_column_that_predicts_the_target_alone_is_a_suspect() -> None:
    frame = made_up().with_columns((pl.col("y") * 2 + 1).alias("leak"))
    warnings = {warning.column: warning for warning in fit(spec("y"), frame).warnings}
    assert warnings["leak"].code == "leak"
    assert "known when you predict" in warnings["leak"].message
    assert "noise" not in warnings


def test_a_model_that_learns_nothing_says_so() -> None:
    gate = judge("rmse", {"rmse": 2.0}, {"rmse": 1.5}, contest=Contest())
    assert gate.passed
    assert "does not beat 1.5 of the dummy" in gate.reasons[1]
    assert [(one.passed, one.binding) for one in gate.checks] == [(True, True), (False, False)]
    assert gate.reasons == tuple(one.reason for one in gate.checks)


def test_each_gate_has_what_came_of_it() -> None:
    gate = judge("rmse", {"rmse": 2.0}, {"rmse": 3.5}, contest=Contest(version=4, metrics={"rmse": 1.5}))
    assert [(one.passed, one.binding) for one in gate.checks] == [(False, True), (True, False)]
    assert "not better than 1.5 of champion version 4" in gate.checks[0].reason
    assert "beats 3.5 of the dummy" in gate.checks[1].reason
    assert not gate.passed
    assert gate.reasons == (gate.checks[0].reason,)


def refuse(target: str, frame: pl.DataFrame, **changes: object) -> str:
    with pytest.raises(BadTable) as refused:
        fit(spec(target, **changes), frame)
    return str(refused.value)


def test_a_missing_target_is_named_with_the_nearest_column() -> None:
    assert "did you mean 'color'" in refuse("colour", made_up())


def test_a_constant_target_is_refused() -> None:
    assert "is constant" in refuse("y", made_up().with_columns(pl.lit(5.0).alias("y")))


def test_a_target_of_one_class_is_refused() -> None:
    assert "is constant" in refuse("color", made_up().with_columns(pl.lit("red").alias("color")))
    assert "exactly two" in refuse("color", made_up(), task=Task.BINARY)


def test_a_target_that_is_no_number_cannot_be_a_regression() -> None:
    assert "a regression needs a number" in refuse("color", made_up(), task=Task.REGRESSION)


def test_an_infinite_target_is_refused() -> None:
    frame = made_up().with_columns(pl.when(pl.int_range(pl.len()) == 3).then(float("inf")).otherwise("y").alias("y"))
    assert "infinite in 1 rows" in refuse("y", frame)


def test_too_few_rows_are_refused() -> None:
    assert "at least 20" in refuse("y", made_up(19))


def test_constant_features_alone_are_refused_with_their_names() -> None:
    message = refuse("y", made_up().select("y", pl.lit(1).alias("a"), pl.lit("b").alias("b")))
    assert "no usable feature" in message
    assert "'a' has one value only" in message
    assert "'b' has one value only" in message


def test_a_feature_equal_to_the_target_is_refused() -> None:
    assert "'copy' equals the target 'y'" in refuse("y", made_up().with_columns(pl.col("y").alias("copy")))
    frame = made_up().with_columns(pl.col("on").cast(pl.String).alias("copy"))
    assert "'copy' equals the target 'on'" in refuse("on", frame)


def test_parameters_that_lightgbm_refuses_are_told_in_its_words() -> None:
    message = refuse("y", made_up(), params={"num_leaves": 1})
    assert "LightGBM refuses to train" in message
    assert "num_leaves" in message


def test_classes_that_few_rows_have_do_not_blow_the_loss_up() -> None:
    rng = np.random.default_rng(5)
    chance = 1.0 / np.arange(1, 61) ** 2.2
    names = rng.choice(60, size=8_000, p=chance / chance.sum()).astype(str)
    rows = pl.DataFrame({"y": names, "x": rng.normal(size=8_000), "noise": rng.normal(size=8_000)})
    bound, free = (
        fit(spec("y", rounds=6, early_stopping=0, params=params), rows).judgement
        for params in ({}, {"max_delta_step": 0.0})
    )
    level = bound.baseline["log_loss"]
    assert bound.metrics["log_loss"] - level < (free.metrics["log_loss"] - level) / 3


@pytest.mark.parametrize(("target", "metric"), [("y", "mae"), ("on", "accuracy"), ("color", "macro_f1")])
def test_versions_are_compared_by_the_declared_metric(target: str, metric: str) -> None:
    usual = fit(spec(target, rounds=20), made_up())
    model = fit(spec(target, rounds=20, metric=metric), made_up())
    assert model.judgement.primary == metric != usual.judgement.primary
    assert model.fitted.text == usual.fitted.text
    assert metric in model.judgement.gate.reasons[0]
    assert f"versions are compared by {metric}, as declared" in model.decisions
    assert any("metric = … chooses another" in said for said in usual.decisions)


def test_a_metric_of_another_task_is_refused_before_the_fit() -> None:
    with pytest.raises(BadTable, match="metric = 'auc' does not measure a regression task; use one of rmse, mae, r2"):
        fit(spec("y", metric="auc"), made_up())
