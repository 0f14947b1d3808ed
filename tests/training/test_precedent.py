"""What a version decided holds for the next one, also once rows of its own traffic are among the data."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.encoder import RowEncoder
from appliance.errors import BadTable
from appliance.house import Appliance
from appliance.model_card import TrainingReport
from appliance.schema import FeatureSchema, Kind, Task
from appliance.training.collect import collect_labelled
from appliance.training.columns import plan_columns
from appliance.training.job import TrainingOrder, run_training
from appliance.training.precedent import KEPT_OUT, Precedent, left_out_by
from appliance.training.reproduce import reproduce
from appliance.training.train import train_again
from storage.bundles import read_bundle
from storage.datasets import IngestInfo
from storage.ingest import ingest
from tests.training.rows import Remembered, fit, made_up, spec
from tests.training.state import Traffic, add, new_appliance, train_now

ROWS = 300
RNG = np.random.default_rng(3)


def numbered(rows: int = ROWS) -> pl.DataFrame:
    x = RNG.normal(size=rows)
    return pl.DataFrame({
        "instant": np.arange(1, rows + 1), "country": ["DE"] * rows,
        "customer_id": [f"c{at}" for at in RNG.permutation(rows)], "x": x, "y": x + RNG.normal(size=rows, scale=0.3),
    })  # fmt: skip


def retrain(house: Appliance) -> TrainingReport:
    collect_labelled(house.settings, "model", who="test")
    return run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())


def answer(house: Appliance, *, rows: int, version: int = 1, shift: float = 2.0) -> None:
    """Traffic and its labels, which are not what history says."""
    with closing(Traffic(house, "model", version)) as traffic:
        sent = RNG.normal(size=rows).tolist()
        for prediction, value in zip(traffic.predict([{"x": value} for value in sent]), sent, strict=True):
            traffic.label(prediction, value + shift)


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    house = new_appliance(tmp_path / "state")
    add(house, "data", numbered())
    train_now(house, spec("y", rounds=30, deploy="auto"))
    return house


def test_a_retraining_asks_requests_for_no_column_that_the_first_version_left_out(house: Appliance) -> None:
    assert house.models.card("model", 1).columns == ("x",)
    answer(house, rows=60)
    report = retrain(house)
    card = house.models.card("model", report.version)
    assert (report.version, card.rows, card.columns) == (2, ROWS + 60, ("x",))
    assert left_out_by(card.warnings) == {
        "instant": "row_number", "country": "constant", "customer_id": "id_like",
    }  # fmt: skip
    (said,) = (one.message for one in card.warnings if one.column == "country")
    assert "left out of version 1 as a constant and stays out" in said
    assert card.split.startswith("at random")  # no customer's rows have to stay together
    _, files = read_bundle(house.settings.layout, "model", 2)
    RowEncoder(msgspec.json.decode(files["schema.json"], type=FeatureSchema)).encode([{"x": 1.0}])
    assert reproduce(house.settings, "model", 2, Remembered()).same


def test_it_stays_out_when_most_rows_are_traffic_and_comes_in_where_it_is_declared(house: Appliance) -> None:
    answer(house, rows=2 * ROWS)
    report = retrain(house)
    card = house.models.card("model", report.version)
    assert (card.rows, card.columns) == (3 * ROWS, ("x",))
    wanted = spec("y", rounds=30, columns={"instant": Kind.NUMBER, "country": Kind.CATEGORY})
    house.models.apply(wanted, who="test")
    report = run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())
    assert house.models.card("model", report.version).columns == ("instant", "country", "x")


def test_another_dataset_is_looked_at_afresh(house: Appliance) -> None:
    add(house, "other", numbered().with_columns(pl.Series("country", ["DE", "FR"] * (ROWS // 2))))
    train_now(house, msgspec.structs.replace(spec("y", rounds=30), dataset="other"))
    assert house.models.card("model", 2).columns == ("country", "x")


@pytest.mark.parametrize(
    ("values", "is_input"),
    [
        ([*range(ROWS), *[None] * 100], False),
        ([*[None] * 100, *RNG.permutation(ROWS).tolist()], False),
        ([*range(150), *[None] * 250], True),  # which rows are numbered may tell
        ([*(range(19)), *[None] * 10, *[0] * 371], True),
        ([None, "yes"] * 200, True),  # a flag: that it is there tells
        ([None, 1] * 200, True),
    ],
)
def test_row_numbers_are_told_by_the_rows_that_have_one(values: list[object], is_input: bool) -> None:
    frame = made_up(400).with_columns(pl.Series("c", values))
    assert ("c" in {column.name for column in plan_columns(frame, spec("y")).features}) is is_input


def test_a_version_is_trained_again_with_the_inputs_that_it_had_though_the_rules_have_changed() -> None:
    """A release before took row numbers that not every row has as inputs."""
    frame = made_up(400).with_columns(pl.Series("n", [*range(380), *[None] * 20]))
    taken = fit(spec("y", rounds=20, columns={"n": Kind.NUMBER}), frame)
    names = tuple(column.name for column in taken.schema.columns)
    assert "n" in names
    record = Precedent(version=3, target="y", task=Task.REGRESSION, classes=(), inputs=names)
    again = train_again(spec("y", rounds=20), frame, record=record, threads=lambda: 1, progress=Remembered())
    assert again.fitted.text == taken.fitted.text
    fewer = msgspec.structs.replace(spec("y", rounds=20), exclude=("n",))
    record = Precedent(version=3, target="y", task=Task.REGRESSION, classes=(), inputs=names[:-1])
    again = train_again(spec("y", rounds=20), frame, record=record, threads=lambda: 1, progress=Remembered())
    assert again.fitted.text == fit(fewer, frame).fitted.text


@pytest.mark.parametrize("code", KEPT_OUT)
def test_each_code_has_its_sentence(code: str) -> None:
    precedent = Precedent(version=7, target="y", task=Task.BINARY, classes=("a", "b"), left_out={"c": code})
    found = precedent.why_left_out("c")
    assert found is not None
    assert (found.column, found.code) == ("c", code)
    assert "'c' was left out of version 7 as" in found.message
    assert precedent.why_left_out("d") is None


def test_one_stray_label_makes_no_other_task_and_takes_no_title(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    rows = numbered().select("x", pl.when(pl.col("y") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("y"))
    add(house, "data", rows)
    assert train_now(house, spec("y", rounds=20, deploy="auto")).deployed
    add(house, "data", pl.concat([rows, pl.DataFrame({"x": [0.1], "y": ["Yes"]})]))
    order = TrainingOrder(model="model", who="test")
    with pytest.raises(BadTable, match="binary task of no, yes in version 1, the champion, but 1 row is 'Yes'"):
        run_training(house.settings, order, Remembered())
    assert [one.version for one in house.models.versions("model")] == [1]
    assert [one.version for one in house.deployments.current()] == [1]
    assert house.models.apply(spec("y", rounds=30), who="test").task is Task.BINARY
    report = train_now(house, spec("y", rounds=20, task=Task.MULTICLASS))
    assert (report.version, report.task) == (2, "multiclass")
    assert house.models.get("model").task is Task.MULTICLASS


def test_a_held_task_is_trained_again_the_same(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    rows = numbered(420).select("x", (pl.int_range(pl.len()) % 20).alias("y"))
    add(house, "data", rows)
    assert train_now(house, spec("y", rounds=5)).task == "multiclass"
    add(house, "data", rows.with_columns((pl.int_range(pl.len()) % 21).alias("y")))
    report = run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())
    card = house.models.card("model", report.version)
    assert (card.task, len(card.classes)) == ("multiclass", 21)
    assert card.champion is not None  # who was compared with
    assert reproduce(house.settings, "model", report.version, Remembered()).same


@pytest.mark.parametrize(
    ("append", "split_by", "is_told"), [(False, None, True), (True, None, False), (False, "column", False)]
)
def test_a_champion_that_may_have_seen_the_holdout_is_told_of(
    tmp_path: Path, append: bool, split_by: str | None, is_told: bool
) -> None:
    house = new_appliance(tmp_path / "state")
    rows = made_up(400).with_columns(pl.Series("side", ["train", "train", "test", "train"] * 100))
    add(house, "data", rows)
    ways = {"exclude": ("side",)} if split_by is None else {"split": "side", "split_by": split_by}
    train_now(house, spec("y", rounds=20, **ways))
    info = IngestInfo(who="test", source="test")
    ingest(house.settings.layout, "data", rows.sample(fraction=1, shuffle=True, seed=1), append=append, info=info)
    report = run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())
    told = [one for one in report.gate.checks if one.reason.startswith("beware: dataset 'data' was replaced")]
    assert bool(told) is is_told
    assert all(not one.binding and not one.passed and one.reason in report.gate.reasons for one in told)
    assert "of champion version 1 on the same holdout" in report.gate.reasons[0]
