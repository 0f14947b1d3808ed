"""What is told of a target before it is learned: classes that are too rare for it."""

from __future__ import annotations

import polars as pl
import pytest

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
