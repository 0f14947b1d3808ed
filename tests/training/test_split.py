"""Which rows go where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.training.prepare import prepare
from appliance.training.split import Split, _smallest, split_at_random, split_by_time
from tests.training.rows import made_up, spec


def parts(split: Split) -> list[int]:
    return sorted([*split.fit.tolist(), *split.stop.tolist(), *split.holdout.tolist()])


def test_every_row_is_on_exactly_one_side() -> None:
    times = pl.Series(
        [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=int(i)) for i in np.random.default_rng(1).permutation(500)]
    )
    by_time = split_by_time(times, holdout=0.2)
    assert by_time is not None
    assert parts(by_time) == list(range(500))
    assert (len(by_time.holdout), len(by_time.stop)) == (100, 50)
    assert parts(split_at_random(None, 500, holdout=0.2, seed=1)) == list(range(500))


def test_rows_of_one_instant_stay_together() -> None:
    times = pl.Series([datetime(2024, 1, 1 + i // 100, tzinfo=UTC) for i in range(1000)])
    split = split_by_time(times, holdout=0.25)
    assert split is not None
    assert set(times.gather(split.holdout)) & set(times.gather(split.fit)) == set()
    assert split.sentence.startswith("by time: the 300 rows from 2024-01-08 on are held out")


def test_one_single_instant_cannot_be_split() -> None:
    assert split_by_time(pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 50), holdout=0.2) is None


def test_rows_without_a_time_count_as_the_oldest() -> None:
    times = pl.Series([None, *(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(99))])
    split = split_by_time(times, holdout=0.2)
    assert split is not None
    assert 0 in split.fit


def test_each_class_is_on_both_sides() -> None:
    strata = np.array([0.0] * 300 + [1.0] * 20 + [2.0] * 2)
    split = split_at_random(strata, len(strata), holdout=0.2, seed=1)
    assert np.bincount(strata[split.holdout].astype(int)).tolist() == [60, 4, 1]
    assert set(strata[split.fit]) == {0.0, 1.0, 2.0}


def test_rows_added_later_leave_earlier_rows_where_they_were() -> None:
    before = set(split_at_random(None, 2000, holdout=0.2, seed=3).holdout.tolist())
    after = {row for row in split_at_random(None, 2400, holdout=0.2, seed=3).holdout.tolist() if row < 2000}
    assert len(before ^ after) < 0.03 * 2000


def test_few_rows_do_not_stop_early() -> None:
    assert len(split_at_random(None, 40, holdout=0.2, seed=1).stop) == 0


def sided(train: list[str], held: list[str]) -> pl.DataFrame:
    rows = len(train) + len(held)
    sides = ["train"] * len(train) + ["test"] * len(held)
    return made_up(rows).drop("y").with_columns(pl.Series("c", train + held), pl.Series("side", sides))


def test_training_rows_of_one_class_are_refused_with_the_way_out() -> None:
    frame = sided(["a"] * 200, ["b"] * 100)
    with pytest.raises(BadTable, match=r"every row that trains is 'a'.*split_by = 'random'"):
        prepare(spec("c", split="side"), frame)


@pytest.mark.parametrize(
    ("train", "held", "message"),
    [
        (["a", "b"] * 100, ["c"] * 60, "that trains is 'c'"),
        (["a", "b"] * 100, ["a"] * 60, "that is held out is 'b'"),
    ],
)
def test_a_class_that_only_one_side_has_is_named(train: list[str], held: list[str], message: str) -> None:
    warnings = prepare(spec("c", split="side"), sided(train, held)).warnings
    assert any(one.code == "one_sided" and message in one.message for one in warnings)


def test_a_regression_has_no_classes_to_miss() -> None:
    assert all(one.code != "one_sided" for one in prepare(spec("y"), made_up()).warnings)


def test_a_draw_without_sorting_takes_the_rows_that_sorting_would() -> None:
    draws = np.random.default_rng(4).integers(0, 40, 300) / 40  # with equals, as sorting keeps the first of them
    order = np.argsort(draws, kind="stable")
    for count in (0, 1, 7, 150, 299, 300):
        assert np.flatnonzero(_smallest(draws, count)).tolist() == sorted(order[:count].tolist())


def test_what_is_trained_on_is_all_that_is_not_held_out() -> None:
    split = split_at_random(np.arange(500, dtype=np.float64) % 3, 500, holdout=0.3, seed=2)
    assert split.trained_on.tolist() == sorted({*range(500)} - set(split.holdout.tolist()))
    assert split.trained_on.tolist() == sorted([*split.fit.tolist(), *split.stop.tolist()])
