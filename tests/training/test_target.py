"""What a target's values say of the task, and which targets nothing can learn."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.schema import Task
from appliance.training.precedent import Precedent
from appliance.training.propose import propose_spec
from appliance.training.target import class_names, read_target
from tests.training.rows import fit, made_up, spec


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
        (list(range(12)) * 5, Task.MULTICLASS),
        ([count for count in range(12) for _ in range(120 // (count + 1) ** 2 + 1)], Task.REGRESSION),
        ([count for count in range(8) for _ in range(120 // (count + 1) ** 2 + 1)], Task.MULTICLASS),
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


def test_a_text_is_not_told_to_be_declared_a_quantity() -> None:
    with pytest.raises(BadTable, match=r"choose another target$"):
        read_target(frame([f"row {at}" for at in range(62)]), "y", None)
    with pytest.raises(BadTable, match=r"choose another target, or declare task = 'regression' if it is a quantity$"):
        read_target(frame(list(range(62))), "y", Task.MULTICLASS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([at * 1.37 for at in range(62)], r"62 distinct values in 62 labelled rows and fractions: it is a measure"),
        (
            [f"${at},250.00" for at in range(62)],
            r"numbers as text, like '\$0,250\.00': a measure and no set of classes",
        ),
        ([f"{at}.50" for at in range(400)], r"numbers as text, like '0\.50': a measure"),
        (["b", *(f"{at}.50" for at in range(61))], r"numbers as text, like '0\.50': a measure"),
    ],
)
def test_a_measure_is_no_set_of_classes_and_no_id(values: list[object], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        read_target(frame(values), "y", Task.MULTICLASS)


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


def champion(task: Task, classes: tuple[str, ...] = (), target: str = "y") -> Precedent:
    return Precedent(version=4, target=target, task=task, classes=classes)


@pytest.mark.parametrize(
    ("values", "task", "classes", "inferred"),
    [
        (list(range(21)) * 5, Task.MULTICLASS, tuple(map(str, range(20))), Task.REGRESSION),
        (["a", "b"] * 20, Task.MULTICLASS, ("a", "b", "c"), Task.BINARY),
        ([0, 1] * 20, Task.REGRESSION, (), Task.BINARY),
        ([1, 2, 3] * 20, Task.REGRESSION, (), Task.MULTICLASS),
    ],
)
def test_the_champions_task_holds_where_the_values_fit_it(
    values: list[object], task: Task, classes: tuple[str, ...], inferred: Task
) -> None:
    found = read_target(frame(values), "y", None, precedent=champion(task, classes))
    assert found.task is task
    assert f"as in version 4, the champion (its {len(set(values))} values alone would make a {inferred}" in (
        found.sentence
    )
    assert read_target(frame(values), "y", None).task is inferred
    assert read_target(frame(values), "y", inferred, precedent=champion(task, classes)).task is inferred
    assert read_target(frame(values), "y", None, precedent=champion(task, classes, "z")).task is inferred


@pytest.mark.parametrize(
    ("values", "task", "classes", "message"),
    [
        (["no", "yes"] * 20 + ["Yes"], Task.BINARY, ("no", "yes"), "a binary task of no, yes in version 4, .*but 1 row "
         "is 'Yes'; correct that and add the data again, or declare task = 'multiclass'"),
        ([0, 1] * 20 + [2, 2, 3], Task.BINARY, ("0", "1"), "but 2 rows are '2', 1 row is '3';"),
        (["n", "y"] * 20 + ["a", "b", "c", "c", "d"], Task.BINARY, ("n", "y"),
         "2 rows are 'c', 1 row is 'a', 1 row is 'b', 1 more have other values"),
        ([1.0, 2.0, 3.0] * 20 + [2.5], Task.MULTICLASS, ("1", "2", "3"), "but 1 row is 2.5; .* task = 'regression'"),
        (["1.5", "2", "n/a"] * 20, Task.REGRESSION, (), "but 20 rows are 'n/a'; .* task = 'multiclass'"),
        (["1.5", "2", "4"] * 20, Task.REGRESSION, (), "but it is text now, not a number"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_the_champions_task_are_named(
    values: list[object], task: Task, classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadTable, match=message):
        read_target(frame(values), "y", None, precedent=champion(task, classes))


@pytest.mark.parametrize("scale", [1.1e37, 1e39, 1e160, -1e300])
def test_a_target_that_lightgbm_cannot_hold_is_refused(scale: float) -> None:
    values: list[object] = [*(0.5 + at % 30 for at in range(59)), scale]
    with pytest.raises(BadTable, match=r"'y' is beyond 1e\+37 in 1 rows, such as .*; divide it by a constant"):
        read_target(frame(values), "y", None)
    with pytest.raises(BadTable, match="is beyond"):
        propose_spec(spec("y"), frame(values))


@pytest.mark.parametrize(("offset", "is_told"), [(1.7e9, True), (1.7e9 / 1000, False), (0.0, False)])
def test_a_target_of_which_lightgbm_rounds_off_what_differs_is_told(offset: float, is_told: bool) -> None:
    rows = made_up()
    model = fit(spec("y", rounds=40), rows.with_columns(pl.col("y") * 30 + offset))
    told = [one.message for one in model.warnings if one.code == "rounded"]
    assert bool(told) is is_told
    assert (model.judgement.metrics["r2"] < 0.93) is is_told
    if told:
        assert "7 digits of a target" in told[0]
