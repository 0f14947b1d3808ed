"""Texts that are something else: each is told with SQL that does what it says when a shell passes it on."""

from __future__ import annotations

import shlex
from pathlib import Path

import duckdb
import polars as pl
import pytest

from appliance.checks import check_table
from appliance.findings import Code
from storage.datasets import IngestInfo
from storage.duck import open_duckdb
from storage.ingest import ingest
from storage.layout import Layout
from storage.profile import profile


def told(tmp_path: Path, name: str, texts: list[str]) -> tuple[Code, str]:
    layout = Layout(root=tmp_path)
    layout.create()
    rows = pl.DataFrame({name: texts, "other": range(len(texts))})
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    (found,) = [one for one in check_table(profile(layout, "d")) if one.column == name]
    return found.code, found.message


def prepared(tmp_path: Path, message: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows after the SQL that the message names, taken apart as a shell does."""
    words = shlex.split(message[message.index("--prepare") :])
    with open_duckdb(tmp_path) as connection:
        connection.register("source", rows.to_arrow())
        return pl.DataFrame(connection.sql(words[1]).to_arrow_table())


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["$1,250", "$3", "-$2,000.50"], [1250.0, 3.0, -2000.5]),
        (["€9,99", "€1.250,00", "€12"], [9.99, 1250.0, 12.0]),
        (["12.5%", "3 %", "100%"], [12.5, 3.0, 100.0]),
        (["(1,250.50)", "2,000.00", "17"], [-1250.5, 2000.0, 17.0]),
        (["CHF 1'250", "CHF 7", "CHF 0.50"], [1250.0, 7.0, 0.5]),
        (
            [*(f"${at},250.00" for at in range(10, 99)), "($3.00)", "($4.50)", "-", "n/a"],
            [*(at * 1_000 + 250.0 for at in range(10, 99)), -3.0, -4.5, None, None],
        ),
        ([*(f"{at}.250 €" for at in range(1, 60)), "999 €"], [*(at * 1_000 + 250.0 for at in range(1, 60)), 999.0]),
        (["1.250.000 €", "3 €", "2.750 €"], [1_250_000.0, 3.0, 2_750.0]),
        ([*(f"{at}.250 €" for at in range(1, 60)), "0.5 €"], [*(at + 0.25 for at in range(1, 60)), 0.5]),
        (["0.125 %", "3.125 %", "12.250 %"], [0.125, 3.125, 12.25]),
        (["₹12,34,567", "₹250", "₹1,250"], [1_234_567.0, 250.0, 1_250.0]),
    ],
)
@pytest.mark.parametrize("name", ["price", "the buyer's price (net)"])
def test_numbers_with_signs_are_told_with_sql_that_reads_them(
    tmp_path: Path, name: str, texts: list[str], numbers: list[float | None]
) -> None:
    code, message = told(tmp_path, name, texts)
    assert code is Code.SIGNED_NUMBERS
    assert prepared(tmp_path, message, pl.DataFrame({name: texts}))[name].to_list() == numbers


@pytest.mark.parametrize(
    ("texts", "numbers", "words"),
    [
        (["-", *map(str, range(8)), ".."], [None, *map(float, range(8)), None], "'-', '..'"),
        ([*map(str, range(50)), *["unknown"] * 50], [*map(float, range(50)), *[None] * 50], "'unknown'"),
        (["?", "n/a", "its $5", "", *(f"{at}e2" for at in range(9))], [None] * 4 + [at * 1e2 for at in range(9)], "?"),
        (["<5"] * 3 + [f"{at}.5" for at in range(9)], [None] * 3 + [at + 0.5 for at in range(9)], "'<5'"),
        (["-"] * 3 + [f"{at},5" for at in range(9)], [None] * 3 + [at + 0.5 for at in range(9)], "'-'"),
        (["-", *(f"1'{at}00.50" for at in range(9))], [None, *(1000.5 + at * 100 for at in range(9))], "'-'"),
        (["<5"] * 3 + [f"{at} kg" for at in range(9)], [None] * 3 + [float(at) for at in range(9)], "'<5'"),
        (["-"] * 3 + [f"€ {at},50" for at in range(9)], [None] * 3 + [at + 0.5 for at in range(9)], "'-'"),
        (["-"] * 3 + [f"{at}%" for at in range(9)], [None] * 3 + [float(at) for at in range(9)], "'-'"),
    ],
)  # fmt: skip
def test_words_among_numbers_are_told_with_sql_that_reads_them_as_missing(
    tmp_path: Path, texts: list[str], numbers: list[float | None], words: str
) -> None:
    _, message = told(tmp_path, "rain (mm)", texts)
    others = len(numbers) - len([each for each in numbers if each is not None])
    assert f", the other {others} ({others / len(texts):.1%}) " in message
    assert words in message
    assert prepared(tmp_path, message, pl.DataFrame({"rain (mm)": texts}))["rain (mm)"].to_list() == numbers


def test_a_word_that_comes_later_is_an_error_and_no_silent_gap(tmp_path: Path) -> None:
    _, message = told(tmp_path, "rain", ["-", *map(str, range(9))])
    with pytest.raises(duckdb.ConversionException, match="'soon'"):
        prepared(tmp_path, message, pl.DataFrame({"rain": ["1", "-", "soon"]}))


@pytest.mark.parametrize("texts", [[f"{at} kg" for at in range(60)], [f"{at}.5kg" for at in range(60)] + ["3"]])
def test_numbers_with_one_unit_are_told_with_sql_that_reads_them(tmp_path: Path, texts: list[str]) -> None:
    code, message = told(tmp_path, "weight", texts)
    assert (code, "are numbers with the unit 'kg', like '" in message) == (Code.SIGNED_NUMBERS, True), message
    numbers = [float(text.removesuffix("kg")) for text in texts]
    assert prepared(tmp_path, message, pl.DataFrame({"weight": texts}))["weight"].to_list() == numbers


@pytest.mark.parametrize(
    "texts",
    [["12 kg", "500 g", "3 kg"] * 20, ["12a", "13b", "7c"] * 20, ["A4", "A5", "A3"] * 20, ["1", "2", "3b", "4c"] * 20],
)
def test_several_units_and_names_with_digits_are_no_numbers(tmp_path: Path, texts: list[str]) -> None:
    layout = Layout(root=tmp_path)
    layout.create()
    rows = pl.DataFrame({"c": texts, "other": range(len(texts))})
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    assert [one for one in check_table(profile(layout, "d")) if one.column == "c"] == []


def test_objects_and_lists_are_told_with_sql_that_opens_them(tmp_path: Path) -> None:
    objects = ['{"age":31,"city":"Bern"}', '{"age":44,"city":"Ulm"}']
    code, message = told(tmp_path / "a", "user", objects)
    assert code is Code.NESTED
    opened = prepared(tmp_path, message.replace("FIELD", "age"), pl.DataFrame({"user": objects}))
    assert opened["age"].to_list() == ["31", "44"]
    lists = ['["a","b"]', "[]"]
    code, message = told(tmp_path / "b", "tags", lists)
    assert code is Code.NESTED
    assert prepared(tmp_path, message, pl.DataFrame({"tags": lists}))["tags"].to_list() == [2, 0]


def test_an_empty_text_among_numbers_with_signs_is_none_of_them(tmp_path: Path) -> None:
    texts = ["1"] * 50 + [""] * 5 + [f"({at}.5)" for at in range(45)]
    code, message = told(tmp_path, "margin", texts)
    assert code is Code.SIGNED_NUMBERS
    assert "numbers with signs, like '(0.5)'" in message


def test_brackets_nested_deeper_than_json_is_read_are_plain_text(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    layout.create()
    rows = pl.DataFrame({"deep": ["[" * 200_000 + "]" * 200_000, "[]"] * 10, "other": range(20)})
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    assert [one for one in check_table(profile(layout, "d")) if one.column == "deep"] == []


@pytest.mark.parametrize(
    "texts",
    [
        ["3.125 %", "4.250 %", "7 %"],
        ["3,125 %", "4,250 %", "7 %"],
        ["€1.250", "€7,999"],
        ["€1.250,00", "€1,250.00"],
    ],
)
def test_a_decimal_mark_that_cannot_be_told_is_said_instead_of_guessed(tmp_path: Path, texts: list[str]) -> None:
    code, message = told(tmp_path, "rate", texts)
    assert code is Code.SIGNED_NUMBERS
    assert "whether a point or a comma is their decimal mark does not show" in message
    assert "SELECT" not in message


@pytest.mark.parametrize(
    ("texts", "like"),
    [
        (
            ["-"] * 5 + [f"${at}.50" for at in range(50)],
            "are numbers with signs, like '$0.50', the other 5 (9.1%) are '-'; if that means missing, read them so",
        ),
        ([str(at % 10) for at in range(100)] + [f"5{at} €" for at in range(30)], "are numbers with signs; read"),
    ],
)
def test_the_example_that_is_named_is_a_number_with_a_sign(tmp_path: Path, texts: list[str], like: str) -> None:
    code, message = told(tmp_path, "price", texts)
    assert code is Code.SIGNED_NUMBERS
    assert like in message
