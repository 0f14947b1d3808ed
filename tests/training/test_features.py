"""Calendar parts and target means: the same bits in training and serving, and no row's target in its own mean."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.encoder import RowEncoder
from appliance.errors import BadTable
from appliance.features import CALENDAR, FeatureMaker
from appliance.schema import Column, Feature, FeatureSchema, Kind, Part, Task
from appliance.training.features import SHRINK_ROWS, FeaturePlan
from appliance.training.fit import Scorer
from appliance.training.prepare import prepare
from appliance.training.rows import EncodedRows
from tests.training.rows import fit, made_up, spec

MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001  (hypothesis')


def maker(*features: Feature) -> FeatureMaker:
    columns = (Column(name="at", kind=Kind.DATETIME), Column(name="c", kind=Kind.CATEGORY, levels=("a", "b")))
    return FeatureMaker(
        FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="y", columns=columns, features=features)
    )


@given(MOMENTS)
def test_calendar_parts_are_pythons_own_for_one_row_and_for_many(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    made = maker(*(Feature(column=0, part=part) for part in CALENDAR))
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    expected = [moment.hour, moment.weekday(), moment.day, moment.timetuple().tm_yday, moment.month]
    assert made.row([seconds, 0.0]) == expected
    assert made.matrix(np.array([[seconds, 0.0]])).tolist() == [expected]


def test_missing_stays_missing_and_an_unseen_level_gets_the_mean_of_all() -> None:
    mean = Feature(column=1, part=Part.TARGET, values=(0.25, 0.75), prior=0.5)
    made = maker(Feature(column=0, part=Part.HOUR), mean, Feature(column=1))
    for row, expected in [([math.nan, math.nan], [math.nan] * 3), ([0.0, -1.0], [0.0, 0.5, -1.0])]:
        assert np.array_equal(made.row(row), expected, equal_nan=True)
        assert np.array_equal(made.matrix(np.array([row])), [expected], equal_nan=True)


def test_contributions_come_back_to_the_column_they_were_made_from() -> None:
    made = maker(Feature(column=0, part=Part.HOUR), Feature(column=1), Feature(column=0, part=Part.DAY))
    assert made.by_column(np.array([[[1.0, 2.0, 4.0, 8.0]]])).tolist() == [[[5.0, 2.0, 8.0]]]


def hourly(rows: int = 3000) -> pl.DataFrame:
    """What is sold depends on the hour and the weekday alone."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    at = [start + timedelta(hours=3 * i) for i in range(rows)]
    sold = [10.0 * (moment.hour in {9, 12}) + 5.0 * (moment.weekday() >= 5) for moment in at]
    noise = np.random.default_rng(1).normal(size=rows)
    return pl.DataFrame({"at": at, "noise": noise, "sold": np.array(sold) + noise * 0.1})


def test_a_caller_that_sends_the_datetime_alone_gets_the_hour_and_the_weekday() -> None:
    model = fit(spec("sold", time="at", columns={"at": Kind.DATETIME}), hourly())
    parts = {feature.part for feature in model.schema.features if feature.column == 0}
    assert parts == {Part.HOUR, Part.WEEKDAY, Part.DAY}, "the rows span one year, so months did not come back"
    assert model.schema.format == 2
    assert model.judgement.metrics["rmse"] < 0.3
    assert model.importance[0].column == "at"
    rows = RowEncoder(model.schema).encode([{"at": "2030-01-05T09:00:00Z", "noise": 0.0}]).matrix
    scorer = Scorer(model.fitted.text, model.schema, threads=1)
    assert scorer.predict(pl.DataFrame(rows, schema=["f0", "f1"]))[0, 0] == pytest.approx(15.0, abs=0.5)


def test_a_datetime_beside_the_time_column_keeps_its_seconds_and_dates_have_no_hour() -> None:
    frame = hourly().with_columns(pl.col("at").dt.date().shuffle(seed=1).alias("built"))
    prepared = prepare(spec("sold"), frame)
    assert prepared.columns.time == "at"
    assert [feature.part for feature in prepared.plan.features if feature.column == 1] == [
        Part.VALUE, Part.WEEKDAY, Part.DAY, Part.DAY_OF_YEAR, Part.MONTH,
    ]  # fmt: skip
    assert any("'built' is given as seconds, weekday, day, day of year, month" in one for one in prepared.decisions)
    plain = prepare(spec("sold", encode={"built": "seconds"}), frame)
    assert plain.plan.features == ()


def many_shops(rows: int = 6000, shops: int = 1500, *, seed: int = 5) -> pl.DataFrame:
    """More shops than rows can teach one by one; a shop's effect is real for half of them."""
    rng = np.random.default_rng(seed)
    shop = rng.integers(0, shops, rows)
    effect = np.where(np.arange(shops) % 2 == 0, rng.normal(size=shops), 0.0)
    x = rng.normal(size=rows)
    return pl.DataFrame({"shop": [f"s{one}" for one in shop], "x": x, "y": x + effect[shop]})


def test_many_levels_are_given_as_target_means_and_served_alike() -> None:
    frame = many_shops()
    model = fit(spec("y"), frame)
    feature = model.schema.features[0]
    assert (feature.part, len(feature.values)) == (Part.TARGET, len(model.schema.columns[0].levels))
    assert any("as the mean target" in sentence for sentence in model.decisions)
    encoded = RowEncoder(model.schema).encode(model.golden.rows).matrix
    outputs = Scorer(model.fitted.text, model.schema, threads=1).predict(pl.DataFrame(encoded, schema=["f0", "f1"]))
    assert outputs.tolist() == model.golden.outputs
    levels = fit(spec("y", encode={"shop": "levels"}), frame)
    assert levels.schema.features == ()
    assert model.judgement.metrics["rmse"] < levels.judgement.metrics["rmse"] * 1.02


def test_a_shop_that_means_nothing_teaches_nothing() -> None:
    frame = many_shops().with_columns(pl.col("x").alias("y") + pl.Series(np.random.default_rng(2).normal(size=6000)))
    model = fit(spec("y"), frame)
    shares = {one.column: one.share for one in model.importance}
    assert shares["shop"] < 0.1


def test_no_rows_own_target_is_in_its_mean() -> None:
    frame = many_shops(rows=500, shops=40)
    prepared = prepare(spec("y", encode={"shop": "target"}), frame)
    everything = np.arange(500)
    before = prepared.training_sample(everything).rows.block(0, 500)[:, 0]
    changed = prepared.target.values.copy()
    changed[7] += 1000.0
    after = prepared.plan.training_rows(prepared.rows, changed, None).block(0, len(changed))[:, 0]
    assert before[7] == after[7]
    assert (before != after).any()


def test_a_target_mean_is_shrunk_to_that_of_all_rows() -> None:
    columns = (Column(name="c", kind=Kind.CATEGORY, levels=("a", "b")),)
    plan = FeaturePlan(columns=columns, features=(Feature(column=0, part=Part.TARGET),), multiclass=False, seed=1)
    rows = pl.DataFrame({"f0": [0.0, 0.0, 1.0, math.nan]})
    (learned,) = plan.learn(EncodedRows.of(rows), np.array([1.0, 1.0, 0.0, 0.0]))
    assert learned.prior == 0.5
    assert learned.values == ((2 + SHRINK_ROWS * 0.5) / (2 + SHRINK_ROWS), (SHRINK_ROWS * 0.5) / (1 + SHRINK_ROWS))


def test_a_class_has_a_mean_of_its_own() -> None:
    rng = np.random.default_rng(4)
    shop = rng.integers(0, 1200, 6000)
    frame = pl.DataFrame(
        {"shop": [f"s{one}" for one in shop], "x": rng.normal(size=6000), "y": [f"k{one % 3}" for one in shop]}
    )
    model = fit(spec("y"), frame)
    assert [feature.output for feature in model.schema.features[:3]] == [0, 1, 2]
    assert model.judgement.metrics["accuracy"] > 0.7


def test_a_million_categories_keep_the_frequent_ones_and_say_so() -> None:
    rows = 240_000
    names = [f"n{i % 120_000}" if i % 2 else "often" for i in range(rows)]
    frame = made_up(rows).with_columns(pl.Series("name", names))
    prepared = prepare(spec("y"), frame)
    levels = next(column.levels for column in prepared.plan.columns if column.name == "name")
    assert len(levels) == 50_000
    assert "often" in levels
    assert (prepared.rows.column(4) == -1.0).any()
    assert "60001 categories; the 50000 most frequent are kept" in prepared.warnings[0].message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encode": {"x": "target"}}, "is a number and cannot be encoded as 'target'"),
        ({"encode": {"color": "calendar"}}, "accepted: levels or target"),
        ({"encode": {"y2": "target"}}, "no such column"),
        ({"monotone": {"color": 1}}, "is a category, which has no order"),
        ({"weight": "color"}, "is text, not a number"),
        ({"weight": "x"}, "rows that are infinite, no number or below 0"),
        ({"class_weights": {"a": 1.0}}, "names 'a', no class of 'y'; it has none: a regression"),
        ({"is_unbalance": True}, "is for two classes"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        prepare(spec("y", **changes), made_up())


def test_a_schema_of_the_first_format_reads_as_it_did() -> None:
    old = (
        b'{"model":"m","version":1,"task":"regression","target":"y","columns":[{"name":"x","kind":"number"}],'
        b'"classes":[],"threshold":0.5,"time_column":null,"format":1}'
    )
    schema = msgspec.json.decode(old, type=FeatureSchema)
    assert (schema.features, schema.calibration, schema.width) == ((), None, 1)
