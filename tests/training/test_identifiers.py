"""Columns that name rows are left out, those that name what a row is about keep its rows together."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from appliance.schema import Kind
from appliance.training.columns import plan_columns
from appliance.training.propose import propose_spec
from tests.training.rows import made_up, spec

ROWS = 400
RNG = np.random.default_rng(5)
SHUFFLED = RNG.permutation(ROWS) + 1


def code(values: pl.Series) -> str | None:
    """Why a column is left out; None where it is an input."""
    columns = plan_columns(made_up(ROWS).with_columns(values), spec("y"))
    found = [warning.code for warning in columns.warnings if warning.column == values.name]
    assert (values.name in {column.name for column in columns.features}) is not bool(found)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series("customer_id", SHUFFLED), "row_number"),
        (pl.Series("n", SHUFFLED), "row_number"),
        (pl.Series("n", np.arange(ROWS)[::-1]), "row_number"),
        (pl.Series("n", np.arange(ROWS, dtype=np.float64)), "row_number"),
        (pl.Series("account_number", RNG.integers(10**9, 10**10, ROWS)), "id_like"),
        (pl.Series("orderNo", RNG.integers(10**9, 10**10, ROWS).astype(np.float64)), "id_like"),
        (pl.Series("key", [None, *RNG.integers(10**9, 10**10, ROWS - 1).tolist()]), "id_like"),
        (pl.Series("price", RNG.integers(10**9, 10**10, ROWS)), None),
        (pl.Series("id", RNG.normal(size=ROWS)), None),
        (pl.Series("weekday_no", RNG.integers(0, 7, ROWS)), None),
        (pl.Series("n", [*SHUFFLED[:-1].tolist(), int(SHUFFLED[0])]), None),
    ],
)
def test_numbers_that_name_rows_are_no_inputs(values: pl.Series, expected: str | None) -> None:
    assert code(values) == expected


@pytest.mark.parametrize(
    ("texts", "way"),
    [
        ([f"${at * 37:,}.25" for at in range(1, ROWS + 1)], "make numbers of them with --prepare"),
        ([f"{at * 1.37:.2f} €" for at in range(ROWS)], "make numbers of them with --prepare"),
        ([f"{at},{at % 97:02}" for at in range(ROWS)], "make numbers of them with --prepare"),
        ([f"{at * 0.37:.3f}" for at in range(ROWS)], "declare 'amount' a number under [columns]"),
        ([f"{at * 0.13:.2f} %" for at in range(ROWS)], "make numbers of them with --prepare"),
    ],
)
def test_measures_as_text_are_no_ids(texts: list[str], way: str) -> None:
    columns = plan_columns(made_up(ROWS).with_columns(pl.Series("amount", texts)), spec("y"))
    (told,) = [warning for warning in columns.warnings if warning.column == "amount"]
    assert told.code == "numbers_as_text"
    assert told.message.startswith("'amount' holds numbers as text, another in nearly every row")
    assert way in told.message
    assert "like an id" not in told.message


@pytest.mark.parametrize("form", ["{}", "K-{}", "10.0.{}.1", "31.12.{}", "CHE{}", "{}-{}"])
def test_texts_that_only_look_like_measures_are_ids(form: str) -> None:
    values = pl.Series("code", [form.format(1_000 + at, at) for at in range(ROWS)])
    assert code(values) == "id_like"


def test_prices_that_come_back_train_as_categories_with_a_word() -> None:
    prices = pl.Series("price", [f"${at % 40},250" for at in range(ROWS)])
    (told,) = plan_columns(made_up(ROWS).with_columns(prices), spec("y")).warnings
    assert (told.column, told.code) == ("price", "numbers_as_text")
    assert "'price' is numbers with signs or commas as text, like '$0,250'; it trains as a category" in told.message


def test_a_proposal_leaves_in_what_it_says_trains_as_a_category() -> None:
    codes = pl.Series("ward", [f"0{at % 40}" for at in range(ROWS)])
    proposal = propose_spec(spec("y"), made_up(ROWS).with_columns(codes, row=pl.int_range(ROWS)))
    assert any("'ward' is text that reads as numbers; it trains as a category" in told for told in proposal.sentences)
    assert proposal.spec.exclude == ("row",)


def test_a_declared_kind_keeps_what_looks_like_a_row_number() -> None:
    frame = made_up(ROWS).with_columns(pl.Series("rank", SHUFFLED))
    columns = plan_columns(frame, spec("y", columns={"rank": Kind.NUMBER}))
    assert "rank" in {column.name for column in columns.features}


@pytest.mark.parametrize(
    "name", ["customer_id", "customerId", "userID", "customer", "Patient", "patient_no", "subject"]
)
@pytest.mark.parametrize("entities", [50, 300])
def test_rows_of_one_entity_stay_together(name: str, entities: int) -> None:
    frame = made_up(ROWS).with_columns(
        pl.Series(name, np.append(np.arange(entities), RNG.integers(0, entities, ROWS - entities)))
    )
    columns = plan_columns(frame, spec("y"))
    assert (columns.way, columns.by) == ("group", name)
    assert name not in {column.name for column in columns.features}
    assert any(f"rows of the same {name!r} stay together" in said for said in columns.decisions)


@pytest.mark.parametrize("name", ["madrid", "GRID", "week_number", "store", "customers", "paid"])
def test_other_names_are_inputs_as_they_were(name: str) -> None:
    frame = made_up(ROWS).with_columns(pl.Series(name, RNG.integers(0, 50, ROWS)))
    columns = plan_columns(frame, spec("y"))
    assert columns.way == "random"
    assert name in {column.name for column in columns.features}


def test_what_the_inputs_were_read_as_is_said() -> None:
    (said,) = (one for one in plan_columns(made_up(), spec("y")).decisions if "were read as" in one)
    assert "2 numbers ('x', 'noise'); 1 category ('color'); 1 boolean ('on')" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["oops"], "but for 'oops'"), ([], "declare it a number"),
        (["-", "n/a"] * (ROWS // 5), "but for '-', 'n/a'; it trains as a category. To use its size, make these empty"),
    ],
)  # fmt: skip
def test_text_that_was_meant_as_numbers_is_said_again_at_training(words: list[str], told: str) -> None:
    values = pl.Series("a", [*words, *(f"{value % 40 / 4}" for value in range(ROWS - len(words)))])
    (warning,) = plan_columns(made_up(ROWS).with_columns(values), spec("y")).warnings
    assert (warning.column, warning.code) == ("a", "numbers_as_text")
    assert told in warning.message


@pytest.mark.parametrize("count", [3, 4, 15])
def test_what_many_texts_have_in_common_is_one_warning(count: int) -> None:
    codes = [pl.Series(f"c{at}", [f"{value % (at + 5)}" for value in range(ROWS)]) for at in range(count)]
    odd = pl.Series("odd", ["-", *(f"{value % 40}" for value in range(ROWS - 1))])
    told = plan_columns(made_up(ROWS).with_columns(*codes, odd), spec("y")).warnings
    assert told[-1].column == "odd"
    if count == 3:
        assert [one.column for one in told] == ["c0", "c1", "c2", "odd"]
        return
    assert [one.column for one in told] == [None, "odd"]
    assert f"{count} columns are text that reads as numbers: 'c0', 'c1', 'c2', 'c3'" in told[0].message
    assert ("and 10 more" in told[0].message) is (count == 15)


def test_numbers_and_many_words_are_a_category_without_a_word() -> None:
    values = pl.Series("a", [f"w{at % 6}" if at % 5 == 0 else f"{at % 40}" for at in range(ROWS)])
    assert plan_columns(made_up(ROWS).with_columns(values), spec("y")).warnings == ()


def test_prose_is_left_out_as_prose() -> None:
    frame = made_up(ROWS).with_columns(
        pl.Series("review", [f"it took {at} days to come" for at in range(ROWS)]),
        pl.Series("vector", [f"[{at}.5, 1.0, 2.0, 3.0]" for at in range(ROWS)]),
    )
    told = {one.column: one.message for one in plan_columns(frame, spec("y")).warnings}
    assert "'review' is prose, another in nearly every row; left out" in told["review"]
    assert "'vector' names nearly every row differently" in told["vector"]
