"""What many columns have in common is one finding, which names them and mends them with one piece of SQL."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from appliance.checks import check_table
from appliance.findings import Code, Finding, Spotted, told_together
from storage.datasets import IngestInfo
from storage.duck import open_duckdb
from storage.ingest import ingest
from storage.layout import Layout
from storage.profile import profile

ROWS = 100
FIRST = datetime(2026, 1, 1, tzinfo=UTC)

Values = Callable[[int], Sequence[object]]
"""The values of the column of that number."""


def found(root: Path, rows: pl.DataFrame) -> list[Finding]:
    layout = Layout(root=root)
    layout.create()
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    return check_table(profile(layout, "d"))


def prepared(root: Path, message: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows after the SQL that the message names, taken apart as a shell does."""
    words = shlex.split(message[message.index("--prepare") :])
    with open_duckdb(root) as connection:
        connection.register("source", rows.to_arrow())
        return pl.DataFrame(connection.sql(words[1]).to_arrow_table())


def scale(number: int) -> list[int]:
    return [-99 if (at + number) % 10 == 0 else 1 + (at * (number + 3) + at // 7) % 5 for at in range(ROWS)]


def prose(number: int) -> list[str]:
    return [f"it took them {at * number + at} days to come" for at in range(ROWS)]


TOLD: list[tuple[Values, Code, str, object]] = [
    (
        scale, Code.SENTINEL,
        "4 columns hold -99, far from all their other values: 'c1' (10.0%), 'c2' (10.0%), 'c3' (10.0%) and 1 more; if "
        "that means missing, make it null with --prepare", 1,
    ),
    (
        lambda number: [f"w{at % 5}" if at % (3 + number) else "n/a" for at in range(ROWS)], Code.SENTINEL,
        "4 columns hold 'n/a' among their texts: 'c1' (25.0%), 'c2' (20.0%), 'c3' (17.0%) and 1 more; if that means "
        "missing, make it null with --prepare", None,
    ),
    (
        lambda number: [int(f"20{10 + at % 9}{1 + at % 12:02}{1 + (at * number) % 28:02}") for at in range(ROWS)],
        Code.DATES_AS_NUMBERS,
        "4 columns hold days as whole numbers, which a model takes for amounts: 'c1' (like 20100101), 'c2' (like "
        "20100101), 'c3' (like 20100101) and 1 more; read them with --prepare", date(2010, 1, 1),
    ),
    (
        lambda number: [None] * (50 + number) + [at * at * (7 + number) for at in range(50 - number)], Code.MISSING,
        "more than half of the values of 4 columns are missing: 'c1' (51.0%), 'c2' (52.0%), 'c3' (53.0%) and 1 more; "
        "exclude them or fill them upstream", None,
    ),
    (
        lambda number: [number] * 99 + [9], Code.CONSTANT,
        "4 columns have the same value in nearly every row: 'c1' ('1'), 'c2' ('2'), 'c3' ('3') and 1 more; they tell a "
        "model next to nothing", None,
    ),
    (
        lambda number: [f"{number}-{at}" for at in range(ROWS)], Code.ID_LIKE,
        "4 columns have another value in nearly every row, like ids: 'c1', 'c2', 'c3' and 1 more; exclude them", None,
    ),
    (
        prose, Code.PROSE,
        "4 columns are prose, another in nearly every row, and a model reads none of it: 'c1', 'c2', 'c3' and 1 more; "
        "make columns of them with --prepare", None,
    ),
    (
        lambda number: [f"[{', '.join(map(str, range(at % (3 + number))))}]" for at in range(ROWS)], Code.NESTED,
        "4 columns hold lists as JSON text, and each different text counts as a category: 'c1', 'c2', 'c3' and 1 more; "
        "make columns of what is in them with --prepare", 0,
    ),
    (
        lambda number: [f'{{"a": {at % (3 + number)}}}' for at in range(ROWS)], Code.NESTED,
        "4 columns hold objects as JSON text, and each different text counts as a category: 'c1', 'c2', 'c3' and 1 "
        "more; make columns of what is in them with --prepare and COLUMN->>$$FIELD$$", None,
    ),
    (
        lambda number: ["?", *(str(at % (5 + number)) for at in range(1, ROWS))], Code.NUMBERS_AS_TEXT,
        "4 columns hold texts that read as numbers: 'c1' (99 of the 100, the other 1 (1.0%) is '?'), 'c2' (99 of the "
        "100, the other 1 (1.0%) is '?'), 'c3' (99 of the 100, the other 1 (1.0%) is '?') and 1 more; if that means "
        "missing, read them so with --prepare", None,
    ),
    (
        lambda number: [*"abcdef", *(str(at % (5 + number)) for at in range(6, ROWS))], Code.NUMBERS_AS_TEXT,
        "4 columns hold texts that read as numbers: 'c1' (94 of the 100), 'c2' (94 of the 100), 'c3' (94 of the 100) "
        "and 1 more; read them with --prepare", None,
    ),
    (
        lambda number: [f"{at % (5 + number)},5" for at in range(ROWS)], Code.NUMBERS_AS_TEXT,
        "4 columns hold texts that read as numbers: 'c1' (all 100), 'c2' (all 100), 'c3' (all 100) and 1 more; read "
        "them with --prepare", 0.5,
    ),
    (
        lambda number: [*"abcdef", *(f"{at % (5 + number)},5" for at in range(6, ROWS))], Code.NUMBERS_AS_TEXT,
        "and 1 more; cast them with a query, else each number counts as a category", None,
    ),
    (
        lambda number: [f"{at % (5 + number)}.5 %" for at in range(ROWS)], Code.SIGNED_NUMBERS,
        "4 columns hold numbers with signs as text: 'c1' (like '0.5 %'), 'c2' (like '0.5 %'), 'c3' (like '0.5 %') and "
        "1 more; read them with --prepare", 0.5,
    ),
    (
        lambda number: [f"{1 + at % (5 + number)}.125 %" for at in range(ROWS)], Code.SIGNED_NUMBERS,
        "and 1 more; whether a point or a comma is their decimal mark does not show; read them with --prepare and SQL "
        "of your own", None,
    ),
    (
        lambda number: ["soon", *(f"2026-01-{1 + at % (20 + number):02}" for at in range(1, ROWS))],
        Code.DATES_AS_TEXT,
        "4 columns hold dates like 2026-01-31 as text: 'c1' (99 of the 100), 'c2' (99 of the 100), 'c3' (99 of the "
        "100) and 1 more; mend those that are none or cast them with a query", None,
    ),
    (
        lambda number: ["31/01/2026"] * (9 + number) + ["2026-01-31"] * (91 - number), Code.MIXED_DATES,
        "4 columns hold dates written in several ways, so they stay text: 'c1' (", None,
    ),
    (
        lambda number: [" a " if at % (3 + number) else "b" for at in range(ROWS)], Code.PADDED,
        "4 columns have texts that begin or end with spaces, which makes them other categories than without: 'c1' (75 "
        "texts), 'c2' (80 texts), 'c3' (83 texts) and 1 more; strip them with --prepare", "b",
    ),
    (
        lambda number: [float("inf"), *(at / (7 + number) for at in range(1, ROWS))], Code.INFINITE,
        "4 columns have infinite values: 'c1' (1), 'c2' (1), 'c3' (1) and 1 more; replace them upstream, or make them "
        "null with --prepare", None,
    ),
    (
        lambda number: [FIRST + timedelta(days=at * (6 + number) % 31) for at in range(ROWS)], Code.UNSORTED_TIME,
        "the table is not in order of 4 columns of times (rows that lie before the row above them: 'c1' (", None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("values", "code", "message", "first"), TOLD)
def test_what_four_columns_have_in_common_is_told_once(
    tmp_path: Path, values: Values, code: Code, message: str, first: object
) -> None:
    rows = pl.DataFrame({f"c{number}": values(number) for number in range(1, 5)}, strict=False)
    told = [one for one in found(tmp_path / "many", rows) if one.code is code]
    assert [(one.column, one.columns) for one in told] == [(None, ("c1", "c2", "c3", "c4"))]
    assert message in told[0].message
    if "--prepare '" in told[0].message:
        assert prepared(tmp_path, told[0].message, rows).row(0)[:3] == (first,) * 3
    fewer = [one for one in found(tmp_path / "few", rows.drop("c4")) if one.code is code]
    assert [(one.column, one.columns) for one in fewer] == [("c1", ()), ("c2", ()), ("c3", ())]


def test_forty_columns_with_a_code_for_no_answer_are_mended_at_once(tmp_path: Path) -> None:
    answers = {f"the buyer's q{number}": scale(number) for number in range(40)}
    rows = pl.DataFrame({"city": ["Bern", "Ulm"] * 50, **answers, "age": [20 + at % 50 for at in range(ROWS)]})
    (told,) = [one for one in found(tmp_path, rows) if one.code is Code.SENTINEL]
    assert told.columns == tuple(answers)
    assert told.message.startswith("40 columns hold -99, ")
    assert "and 37 more; " in told.message
    mended = prepared(tmp_path, told.message, rows)
    assert mended.columns == rows.columns
    assert mended.equals(rows.with_columns(pl.col(list(answers)).replace(-99, None)))


def test_codes_that_differ_are_told_apart(tmp_path: Path) -> None:
    rows = {f"c{number}": scale(number) for number in range(4)}
    rows |= {f"d{number}": [99 if one == -99 else one for one in scale(number)] for number in range(4, 9)}
    told = [one for one in found(tmp_path, pl.DataFrame(rows)) if one.code is Code.SENTINEL]
    assert [len(one.columns) for one in told] == [4, 5]


def test_columns_that_stand_there_twice_are_told_with_their_twins(tmp_path: Path) -> None:
    rows = {f"c{number}": [at * at % (83 + number) for at in range(ROWS)] for number in range(4)}
    twins = {f"d{number}": rows[f"c{number}"] for number in range(4)}
    (told,) = [one for one in found(tmp_path, pl.DataFrame({**rows, **twins})) if one.code is Code.DUPLICATE_COLUMNS]
    assert told.columns == tuple(twins)
    assert told.message == (
        "4 columns have the same values as an earlier one, as often: 'd0' (as 'c0'), 'd1' (as 'c1'), 'd2' (as 'c2') "
        "and 1 more; exclude those that are equal"
    )


def test_sql_for_thousands_of_columns_is_written_for_one(tmp_path: Path) -> None:
    spotted = [
        Spotted(
            column=f"{{{number}}}", code=Code.PADDED, message="alone", together="{count}: {names}; {prepare}",
            expression="trim({c})",
        )
        for number in range(1_000)
    ]  # fmt: skip
    (told,) = told_together(spotted)
    assert len(told.columns) == 1_000
    assert told.message == (
        "1000: '{0}', '{1}', '{2}' and 997 more; --prepare 'SELECT * REPLACE (trim(\"{0}\") AS \"{0}\") FROM source' "
        "for the first, and the others likewise"
    )
    assert prepared(tmp_path, told.message, pl.DataFrame({"{0}": [" a"]})).row(0) == ("a",)
