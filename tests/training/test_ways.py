"""What decides the split, on real and made rows: by time, entity, a column of one's own, or at random."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.model_spec import ModelSpec
from appliance.training.folds import deal, deal_by_class, folds_of, forward_folds
from appliance.training.prepare import prepare
from appliance.training.split import Split, split_by_column, split_by_group
from tests.training.rows import BIKE, adults, bikes, made_up, penguins, spec


def split_of(wanted: ModelSpec, frame: pl.DataFrame) -> Split:
    return prepare(wanted, frame).split


def visits(rows: int = 600, patients: int = 60) -> pl.DataFrame:
    """Rows that come back for the same entity."""
    entity = np.random.default_rng(3).integers(0, patients, rows)
    return made_up(rows).with_columns(pl.Series("patient_id", [f"p{one}" for one in entity]))


def test_rows_with_a_time_are_split_by_it_and_the_sentence_says_how_to_use_its_calendar() -> None:
    prepared = prepare(BIKE, bikes())
    assert prepared.split.way == "time"
    assert any("declare it a datetime under [columns]" in sentence for sentence in prepared.decisions)


def test_an_inferred_entity_keeps_its_rows_together_and_is_no_input() -> None:
    frame = visits()
    prepared = prepare(spec("y"), frame)
    split = prepared.split
    assert split.way == "group"
    held = set(frame["patient_id"].gather(split.holdout))
    assert len(held) == 12
    assert held.isdisjoint(frame["patient_id"].gather(split.fit))
    assert held.isdisjoint(frame["patient_id"].gather(split.stop))
    assert set(frame["patient_id"].gather(split.stop)).isdisjoint(frame["patient_id"].gather(split.fit))
    assert "patient_id" not in {column.name for column in prepared.columns.features}
    assert any("stay together" in sentence for sentence in prepared.decisions)


def test_an_entity_stays_on_its_side_when_rows_are_added() -> None:
    before, after = visits(600), visits(600).vstack(visits(600))
    held = [
        set(frame["patient_id"].gather(split_by_group(frame["patient_id"], holdout=0.2, seed=1).holdout))
        for frame in (before, after)
    ]
    assert held[0] == held[1]


def test_a_declared_entity_goes_before_a_time_column() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    frame = visits().with_columns(pl.Series("at", [start + timedelta(hours=i) for i in range(600)]))
    assert split_of(spec("y"), frame).way == "time"
    assert split_of(spec("y", group="patient_id"), frame).way == "group"
    assert split_of(spec("y", split_by="random"), frame).way == "random"
    assert split_of(spec("y", split_by="group"), frame).way == "group"


def test_rows_without_an_entity_train() -> None:
    frame = visits().with_columns(
        pl.when(pl.int_range(pl.len()) < 50).then(None).otherwise("patient_id").alias("patient_id")
    )
    split = split_by_group(frame["patient_id"], holdout=0.2, seed=1)
    assert set(range(50)) <= set(split.fit.tolist())


def test_a_column_of_ones_own_decides_as_adults_do() -> None:
    frame = adults()
    split = split_of(spec("income", split="split"), frame)
    assert split.way == "column"
    assert set(frame["split"].gather(split.holdout)) == {"test"}
    assert set(frame["split"].gather(split.trained_on)) == {"train"}
    assert len(split.stop) == round(len(split.trained_on) * 0.125)


def test_a_column_may_name_the_rows_to_stop_on_or_be_true_for_those_held_out() -> None:
    texts = pl.Series("part", ["Train"] * 60 + ["valid"] * 20 + ["TEST"] * 20)
    split = split_by_column(texts)
    assert (len(split.fit), len(split.stop), len(split.holdout)) == (60, 20, 20)
    flags = split_by_column(pl.Series("held", [False] * 80 + [True] * 20))
    assert flags.holdout.tolist() == list(range(80, 100))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train", "later"] * 50, "50 rows that name no side, such as 'later'"),
        (["train", None] * 50, "no held-out row"),
        (["train"] * 100, "no held-out row"),
        (["test"] * 100, "no training row"),
    ],
)
def test_a_column_that_names_no_sides_is_refused(values: list[str | None], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        split_by_column(pl.Series("part", values))


def test_rows_that_name_no_side_train() -> None:
    assert split_by_column(pl.Series("part", ["train", "test", None, "test"])).fit.tolist() == [0, 2]


def test_too_few_entities_are_refused() -> None:
    with pytest.raises(BadTable, match="has 3 values; at least 10"):
        prepare(spec("y", group="color"), made_up())


def test_a_split_that_the_data_does_not_allow_is_refused() -> None:
    with pytest.raises(BadTable, match="no column for it; name it with the key 'time'"):
        prepare(spec("species", split_by="time"), penguins())


def test_folds_hold_each_row_once_and_time_runs_forward() -> None:
    indices = np.arange(10, 110)
    folds = folds_of(indices, deal(100, 5, seed=1, groups=None))
    assert sorted(np.concatenate([fold.test for fold in folds])) == indices.tolist()
    assert all(not set(fold.fit) & set(fold.test) for fold in folds)
    for fold in forward_folds(indices, 4):
        assert fold.fit.max() < fold.test.min()
    with pytest.raises(BadTable, match="set a smaller cv"):
        forward_folds(np.arange(3), 5)


def test_folds_keep_entities_whole_and_spread_classes_evenly() -> None:
    groups = np.repeat(np.arange(20), 5)
    dealt = deal(100, 4, seed=1, groups=groups)
    assert all(len(set(dealt[groups == group])) == 1 for group in range(20))
    strata = np.array([0.0] * 90 + [1.0] * 10)
    assert np.bincount(deal_by_class(strata, 5, seed=1)[90:]).tolist() == [2] * 5


def test_what_is_known_of_a_user_is_not_who_it_is() -> None:
    users = [f'{{"age":{20 + at % 40},"city":"Bern"}}' for at in range(400)]
    frame = made_up().with_columns(user=pl.Series(users))
    assert split_of(spec("y"), frame).way == "random"
