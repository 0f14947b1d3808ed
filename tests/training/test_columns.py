"""Kinds are read off the data; what no model should take is left out and said."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.schema import Kind
from appliance.training.columns import as_kind, plan_columns, read_column, with_frequent_levels
from tests.training.rows import bikes, made_up, spec

WHOLE = [float(at % 90) for at in range(2000)]


def planned(frame: pl.DataFrame, **changes: object) -> dict[str, Kind]:
    return {column.name: column.kind for column in plan_columns(frame, spec("y", **changes)).features}


def left_out(frame: pl.DataFrame) -> dict[str | None, str]:
    return {warning.column: warning.code for warning in plan_columns(frame, spec("y")).warnings}


def test_each_type_has_its_kind() -> None:
    frame = made_up().with_columns(pl.lit(date(2024, 1, 1)).alias("day") + pl.duration(days=pl.int_range(pl.len()) % 9))
    assert planned(frame, columns={"day": Kind.DATETIME}) == {
        "x": Kind.NUMBER, "noise": Kind.NUMBER, "color": Kind.CATEGORY, "on": Kind.BOOLEAN, "day": Kind.DATETIME,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (pl.Series("c", [f"row {i}" for i in range(400)]), "id_like"),
        (pl.Series("c", range(400)), "row_number"),
        (pl.Series("c", [None] * 400, dtype=pl.Float64), "empty"),
        (pl.Series("c", [7] * 400), "constant"),
        (pl.Series("c", [[1, 2]] * 400), "type"),
    ],
)
def test_useless_columns_are_left_out_with_a_warning(values: pl.Series, code: str) -> None:
    assert left_out(made_up().with_columns(values)) == {"c": code}


def test_levels_are_sorted_and_those_from_numbers_by_value() -> None:
    assert read_column(pl.Series("c", ["b", None, "a", "ä", "B"])).levels == ("B", "a", "b", "ä")
    numbers = read_column(pl.Series("c", [10, 2, 1, None]), Kind.CATEGORY)
    assert (numbers.levels, numbers.had_nulls) == (("1", "2", "10"), True)
    assert read_column(pl.Series("c", [1.0, 2.0])).integer
    assert not read_column(pl.Series("c", [1.0, 2.5])).integer


def test_the_most_frequent_levels_are_kept_whatever_the_column_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.training.columns.MOST_LEVELS", 2)
    for name in ("count", "level", "rows"):
        series = pl.Series(name, ["c", "b", "a", "a", None, "c"])
        assert with_frequent_levels(read_column(series), series).levels == ("a", "c")


@pytest.mark.parametrize(
    ("time", "moment", "way"),
    [
        (None, date(2024, 1, 1), "weekday and month, set time = 'day' and declare it a datetime under [columns]"),
        ("day", datetime(2024, 1, 1, tzinfo=UTC), "hour, weekday and month, declare it a datetime under [columns]"),
    ],
)
def test_how_the_time_column_becomes_an_input_is_said_by_what_is_left_to_do(
    time: str | None, moment: date, way: str
) -> None:
    frame = made_up().with_columns((pl.lit(moment) + pl.duration(days=pl.int_range(pl.len()))).alias("day"))
    assert f"'day' is no input; to give the model its {way}" in plan_columns(frame, spec("y", time=time)).decisions


def test_the_only_date_column_orders_the_rows() -> None:
    columns = plan_columns(bikes(), spec("cnt"))
    assert columns.time == "ts"
    assert "ts" not in {column.name for column in columns.features}
    assert any("only date column" in sentence for sentence in columns.decisions)


def test_of_several_date_columns_the_one_with_most_moments_orders_the_rows() -> None:
    frame = made_up().with_columns(
        pl.Series("day", [date(2024, 1, 1 + i % 3) for i in range(400)]),
        pl.Series("at", [datetime(2024, 1, 1, i // 60 % 24, i % 60, tzinfo=UTC) for i in range(400)]),
    )
    columns = plan_columns(frame, spec("y"))
    assert columns.time == "at"
    assert planned(frame)["day"] is Kind.DATETIME


@pytest.mark.parametrize("declared", ["at", None])
@pytest.mark.parametrize(
    "moments",
    [
        [f"2024-03-{1 + i // 24:02d} {i % 24:02d}:00:00.000" for i in range(400)],
        [f"2024-03-{1 + i // 24:02d}T{i % 24:02d}:00:00+02:00" for i in range(400)],
        [f"{2020 + i // 300}-01-{1 + i % 28:02d}" for i in range(400)],
    ],
)
def test_text_that_holds_nothing_but_dates_orders_the_rows(moments: list[str], declared: str | None) -> None:
    frame = made_up().with_columns(pl.Series("at", moments))
    columns = plan_columns(frame, spec("y", **({"time": declared} if declared else {})))
    assert columns.time == "at"
    assert "at" not in {column.name for column in columns.features}


@pytest.mark.parametrize(
    ("name", "order", "changes", "is_warned"),
    [
        ("year", "rising", {}, True),
        ("Time", "rising", {"exclude": ("Time",)}, True),
        ("year", "rising", {"split_by": "random"}, False),
        ("year", "shuffled", {}, False),
        ("dose", "rising", {}, False),
    ],
)
def test_a_series_whose_time_is_a_number_is_told_that_its_order_is_not_used(
    name: str, order: str, changes: dict[str, object], *, is_warned: bool
) -> None:
    values = [1959 + at // 12 + at % 12 / 12 for at in range(400)]
    frame = made_up().with_columns(pl.Series(name, values if order == "rising" else values[::-1]))
    told = [one for one in plan_columns(frame, spec("y", **changes)).warnings if one.code == "unread_order"]
    assert bool(told) is is_warned
    assert all(f"{name!r} is called like a time and never falls" in one.message for one in told)


def test_dates_as_text_beside_a_date_column_are_left_out() -> None:
    days = [f"2024-01-{i % 28 + 1:02d}" for i in range(400)]
    frame = made_up().with_columns(pl.Series("c", days), pl.Series("at", days).str.to_date())
    assert left_out(frame) == {"c": "date_as_text"}
    assert plan_columns(frame, spec("y")).time == "at"


def test_texts_in_two_forms_of_date_are_both_read() -> None:
    texts = pl.Series("at", ["2024-03-01 10:00:00", "2024-03-02T10:00:00+00:00", None])
    read = as_kind(texts, Kind.DATETIME).to_list()
    assert read == [datetime(2024, 3, 1, 10, tzinfo=UTC), datetime(2024, 3, 2, 10, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "nope"}, "no such column"),
        ({"time": "color"}, "400 texts that are no date or time, such as"),
        ({"time": "x"}, "not a date or time"),
        ({"columns": {"nope": Kind.NUMBER}}, "no such column"),
        ({"columns": {"color": Kind.NUMBER}}, "400 of its values are not"),
        ({"columns": {"x": Kind.CATEGORY}}, "holds fractions"),
        ({"columns": {"x": Kind.BOOLEAN}}, "cannot be read as a boolean"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        plan_columns(made_up(), spec("y", **changes))


@pytest.mark.parametrize(
    ("values", "integer", "had_nulls"),
    [
        ([*WHOLE], True, False),
        ([*WHOLE, 0.5], False, False),
        ([0.5, *WHOLE], False, False),
        ([*WHOLE, None], True, True),
        ([*WHOLE, float("inf"), float("-inf")], True, True),  # whose sum is no number
        ([*WHOLE, float("nan")], True, True),
        ([1e308, 1e308, 0.5], False, False),  # whose sum is infinite
    ],
)
def test_what_only_the_last_rows_tell_is_seen(values: list[float | None], integer: bool, had_nulls: bool) -> None:
    column = read_column(pl.Series("c", values))
    assert (column.integer, column.had_nulls) == (integer, had_nulls)
    assert "c" in planned(pl.DataFrame({"c": values, "y": [float(at % 7) for at in range(len(values))]}))


def test_a_value_that_changes_in_the_last_row_is_no_constant() -> None:
    frame = pl.DataFrame({"c": [7.5] * 3000 + [8.5], "x": [at % 11 / 2 for at in range(3001)]})
    assert left_out(frame.with_columns(pl.col("x").alias("y"))) == {}
