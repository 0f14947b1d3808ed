"""What a target's values say of the task, and which targets nothing can learn."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.schema import Task
from appliance.training.propose import propose_spec
from appliance.training.target import class_names, read_target
from tests.training.rows import spec


def frame(values: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"y": values, "x": range(len(values))})


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 20, Task.BINARY),
        ([0.0, 1.0, None] * 20, Task.BINARY),
        (["a", "b", "c"] * 20, Task.MULTICLASS),
        ([1, 2, 3, 4] * 20, Task.MULTICLASS),
        ([1.5, 2.0, 3.0] * 20, Task.REGRESSION),
        (list(range(40)), Task.REGRESSION),
        (list(range(15)) * 2, Task.REGRESSION),
        (list(range(8)) * 5, Task.MULTICLASS),
    ],
)
def test_the_task_follows_from_the_values(values: list[object], task: Task) -> None:
    found = read_target(frame(values), "y", None)
    assert found.task is task
    assert "y" in found.sentence


@pytest.mark.parametrize("distinct", [62, 40])
def test_a_text_that_names_nearly_every_row_is_no_set_of_classes(distinct: int) -> None:
    named: list[object] = [f"row {at % distinct}" for at in range(62)]
    for task in (None, Task.MULTICLASS):
        with pytest.raises(
            BadTable, match=rf"'y' has {distinct} distinct values in 62 labelled rows, like an id: a class"
        ):
            read_target(frame(named), "y", task)


def test_a_date_is_no_target() -> None:
    days: list[object] = [date(2024, 1, 1) + timedelta(days=at % 30) for at in range(60)]
    with pytest.raises(BadTable, match=r"'y' is a date, and no task predicts one; make a number of it with a query"):
        read_target(frame(days), "y", None)


def test_infinite_and_huge_numbers_have_names() -> None:
    names = class_names(pl.Series([1.0, float("inf"), 1e300])).to_list()
    assert names[1] == "inf"
    assert class_names(pl.Series([1.0, None, -2.0])).to_list() == ["1", None, "-2"]


def test_an_infinite_column_beside_a_text_target_is_no_crash() -> None:
    rows = pl.DataFrame({"y": ["a", "b"] * 60, "end": [1.0, float("inf"), 3.0] * 40, "x": range(120)})
    proposal = propose_spec(spec("y"), rows)
    assert proposal.spec.task is Task.BINARY
