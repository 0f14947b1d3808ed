"""What is told of a target before it is learned: classes that are too rare for it."""

from __future__ import annotations

import polars as pl
import pytest

from appliance.model_spec import Threshold
from appliance.training.prepare import prepare
from tests.training.rows import made_up, spec


def few_told(classes: list[object], **changes: object) -> list[str]:
    """What is said of rare classes beside 200 rows of two others."""
    values = ["a", "b"] * 100 + classes
    rows = made_up(len(values)).with_columns(pl.Series("y", values))
    warnings = prepare(spec("y", **changes), rows).warnings
    return [warning.message for warning in warnings if (warning.column, warning.code) == ("y", "few_of_a_class")]


@pytest.mark.parametrize(
    ("classes", "changes", "told"),
    [
        (["c"] * 2, {}, "too few rows of 'y' are 'c' (2 rows, 1 of them held out): what is learned of such a class"),
        (["c"], {}, "'c' (1 row, 0 of them held out): what"),
        (["c"] * 2, {"cv": 5}, "is chance, and not every one of the 5 folds has one; add rows of it"),
        (["c"] * 10, {"cv": 10}, "'c' (10 rows, 2 of them held out): what"),
        (
            ["c", "d", "d", "e", "e", "f", "f", "f", "g", "g", "g", "g"], {},
            "'c' (1 row, 0 of them held out), 'd' (2 rows, 1 of them held out), 'e' (2 rows, 1 of them held out) and 2 "
            "more: what",
        ),
    ],
)  # fmt: skip
def test_a_class_of_too_few_rows_is_named(classes: list[object], changes: dict[str, object], told: str) -> None:
    (message,) = few_told(classes, **changes)
    assert told in message


@pytest.mark.parametrize(("classes", "changes"), [([], {}), (["c"] * 5, {}), (["c"] * 7, {"cv": 5})])
def test_classes_of_enough_rows_are_not_warned_about(classes: list[object], changes: dict[str, object]) -> None:
    assert few_told(classes, **changes) == []


def imbalance_told(**changes: object) -> list[str]:
    """What is said of a class that one row in 40 has."""
    rows = made_up(800).with_columns((pl.int_range(pl.len()) % 40 == 0).alias("on"))
    warnings = prepare(spec("on", **changes), rows).warnings
    return [warning.message for warning in warnings if warning.code == "imbalanced"]


def test_an_imbalanced_target_is_named_with_what_serves_it() -> None:
    (message,) = imbalance_told()
    assert message.startswith("only 2.5% of the rows are 'true'; accuracy says little then")
    assert "declare a [threshold] goal" in message
    assert "is_unbalance" not in message, "it ranks the rows worse"


@pytest.mark.parametrize("threshold", [None, Threshold(goal="f1")])
def test_what_makes_an_imbalanced_target_worse_is_said(threshold: Threshold | None) -> None:
    (message,) = imbalance_told(is_unbalance=True, threshold=threshold)
    assert "is_unbalance = true makes the order of the rows worse" in message
    assert "take it out, and declare a [threshold] goal" in message


def test_an_imbalanced_target_with_a_goal_or_weights_is_in_order() -> None:
    assert imbalance_told(threshold=Threshold(goal="cost", false_positive=1, false_negative=20)) == []
    assert imbalance_told(class_weights={"false": 1.0, "true": 5.0}) == []
