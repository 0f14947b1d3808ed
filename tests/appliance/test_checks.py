from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from appliance.checks import check_table
from appliance.findings import Code, Finding
from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout
from storage.profile import profile


@pytest.fixture
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    made = Layout(root=tmp_path_factory.mktemp("state"))
    made.create()
    return made


def check(layout: Layout, columns: dict[str, list[object]]) -> list[Finding]:
    rows = pl.DataFrame(columns, strict=False)
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    return [finding for finding in check_table(profile(layout, "d")) if finding.code is not Code.DUPLICATE_ROWS]


@pytest.mark.parametrize(
    ("values", "code", "message"),
    [
        ([None] * 51 + [*range(49)], Code.MISSING, "51.0% of 'c' are missing; exclude it or fill it upstream"),
        ([1] * 99 + [2], Code.CONSTANT, "99.0% of 'c' are '1'; it tells a model next to nothing"),
        (
            [f"user-{i}" for i in range(100)], Code.ID_LIKE,
            "'c' has 100 distinct values in 100 rows, like an id; exclude it",
        ),
        ([*range(1000, 1100)], Code.ID_LIKE, "'c' has 100 distinct values in 100 rows, like an id; exclude it"),
        (
            [str(i % 9) for i in range(95)] + ["?"] * 5, Code.NUMBERS_AS_TEXT,
            "95 of the 100 texts in 'c' read as numbers, the other 5 (5.0%) are '?' (the first in row 96); if that "
            "means missing, read them so with --prepare 'SELECT * REPLACE (CASE WHEN \"c\" NOT IN ($$?$$) THEN "
            "CAST(\"c\" AS DOUBLE) END AS \"c\") FROM source', else each number counts as a category",
        ),
        (
            ["-"] * 12 + [str(i % 9) for i in range(80)] + ["n/a"] * 8, Code.NUMBERS_AS_TEXT,
            "80 of the 100 texts in 'c' read as numbers, the other 20 (20.0%) are '-', 'n/a' (the first in row 1); if "
            "that means missing, read them so with --prepare 'SELECT * REPLACE (CASE WHEN \"c\" NOT IN ($$-$$, $$n/a$$)"
            " THEN CAST(\"c\" AS DOUBLE) END AS \"c\") FROM source', else each number counts as a category",
        ),
        (
            [str(i % 9) for i in range(94)] + list("abcdef"), Code.NUMBERS_AS_TEXT,
            "94 of the 100 texts in 'c' read as numbers; the first other is 'a' in row 95; mend the others or cast it "
            "with a query, else each number counts as a category",
        ),
        (
            [" yes ", "no"] * 20, Code.PADDED,
            "20 texts in 'c' begin or end with spaces, like ' yes ', which makes them other categories than without; "
            'strip them with --prepare \'SELECT * REPLACE (trim("c") AS "c") FROM source\'',
        ),
        (
            [0] * 2999 + [1], Code.CONSTANT,
            "all but 1 of the 3000 rows of 'c' are '0'; it tells a model next to nothing",
        ),
        (
            [f"{10**19 + i * 7}" for i in range(100)], Code.ID_LIKE,
            "'c' has 100 distinct values in 100 rows, like an id; exclude it",
        ),
        (
            [f"it took {i} days to come" for i in range(100)], Code.PROSE,
            "'c' is prose, like 'it took 0 days to come', another in nearly every row, and a model reads none of it; "
            "make columns of it with --prepare, such as its length or whether a word stands in it",
        ),
        (
            [-99] * 10 + [1 + i % 5 for i in range(90)], Code.SENTINEL,
            "10 values of 'c' (10.0%) are -99, far from all others; if that means missing, make it null with "
            '--prepare \'SELECT * REPLACE (nullif("c", -99) AS "c") FROM source\', else it bends what a model learns',
        ),
        (
            [float("inf"), *(i / 7 for i in range(99))], Code.INFINITE,
            "'c' has 1 infinite values; replace them upstream or with a query",
        ),
        (
            [-999.0] * 3 + [i / 7 for i in range(97)], Code.SENTINEL,
            "3 values of 'c' (3.0%) are -999.0, far from all others; if that means missing, make it null with "
            '--prepare \'SELECT * REPLACE (nullif("c", -999.0) AS "c") FROM source\', else it bends what a model '
            "learns",
        ),
        (
            [9999] * 5 + [i % 40 for i in range(95)], Code.SENTINEL,
            "5 values of 'c' (5.0%) are 9999, far from all others; if that means missing, make it null with "
            '--prepare \'SELECT * REPLACE (nullif("c", 9999) AS "c") FROM source\', else it bends what a model learns',
        ),
        (
            ["2026-01-31", "31/01/2026"] * 20, Code.MIXED_DATES,
            "'c' holds dates written in several ways (20 like 2026-01-31, 20 like 31/01/2026), so it stays text; write "
            "them in one",
        ),
        (
            ["Jan 5, 2026", "2026-01-31"] * 20, Code.MIXED_DATES,
            "'c' holds dates written in several ways (20 like 2026-01-31, 20 like Jan 31, 2026), so it stays text; "
            "write them in one",
        ),
        (
            [f"kind {i % 7}" for i in range(96)] + ["NA"] * 4, Code.SENTINEL,
            "4 texts in 'c' (4.0%) are 'NA'; if that means missing, make it null with --prepare 'SELECT * REPLACE "
            '(nullif("c", $$NA$$) AS "c") FROM source\', else it counts as a category of its own',
        ),
        (
            [int(f"{2024 + i // 50}{1 + i % 12:02}{1 + i % 28:02}") for i in range(100)], Code.DATES_AS_NUMBERS,
            "'c' holds days as whole numbers, like 20240101, which a model takes for amounts: from one month to the "
            "next they jump; read them with --prepare 'SELECT * REPLACE (try_strptime(\"c\"::VARCHAR, $$%Y%m%d$$)"
            '::DATE AS "c") FROM source\'',
        ),
        (
            [f"2026-01-{1 + i % 28:02}" for i in range(19)] + ["soon"], Code.DATES_AS_TEXT,
            "19 of the 20 texts in 'c' are dates like 2026-01-31; the first other is 'soon' in row 20; mend the "
            "others or cast it with a query, else each date counts as a category",
        ),
        (
            [f"2026-01-{1 + i % 28:02}" for i in range(95)] + ["NA"] * 5, Code.DATES_AS_TEXT,
            "95 of the 100 texts in 'c' are dates like 2026-01-31; the first other is 'NA' in row 96; mend the others "
            "or cast it with a query, else each date counts as a category",
        ),
        (
            ["$1"] * 97 + ["free"] * 3, Code.SIGNED_NUMBERS,
            "97 of the 100 texts in 'c' are numbers with signs, like '$1', the other 3 (3.0%) are 'free'; if that "
            "means missing, read them so with --prepare 'SELECT * REPLACE (CASE WHEN \"c\" NOT IN ($$free$$) THEN "
            "TRY_CAST(regexp_replace(replace(\"c\", $$($$, $$-$$), $$[^0-9.-]$$, $$$$, $$g$$) AS DOUBLE) END AS \"c\") "
            "FROM source', else each number counts as a category",
        ),
        (
            [f"2026-01-31 {i // 60:02}:{i % 60:02}" for i in range(100)], Code.DATES_AS_TEXT,
            "all 100 texts in 'c' are dates like 2026-01-31; cast it with a query, else each date counts as a category",
        ),
        (
            [datetime(2026, 1, 1 + (i * 7) % 5, tzinfo=UTC) for i in range(10)], Code.UNSORTED_TIME,
            "3 rows lie before the row above them in 'c': the table is not in order of time; a model with this time "
            "column sorts it, others split it as it lies",
        ),
    ],
)  # fmt: skip
def test_what_is_suspicious_is_found_and_said(layout: Layout, values: list[object], code: Code, message: str) -> None:
    assert check(layout, {"c": values}) == [Finding(column="c", code=code, message=message)]


@pytest.mark.parametrize(
    "values",
    [
        [None] * 50 + [i * i * 7 for i in range(50)],
        [1] * 98 + [2, 3],
        [i * 0.37 for i in range(100)],
        [i * i * 17 for i in range(100)],
        [*range(49)],
        [str(i % 9) for i in range(88)] + ["a", "b", "c", "d", "e", "f"] * 2,
        ["1", "2", "a", "b"] * 25,
        [str(i % 9) for i in range(49)] + ["x"] * 51,
        [*["None", "Some", "Marked"] * 20],
        ["+", "-"] * 25,
        [20_240_000 + i * 37 for i in range(100)],
        [True, False] * 50,
        [0, 100] * 50,
        [0, 50, 99] * 30,
        [f"0{i % 7}200" for i in range(100)],
        [0] * 50 + [i * i for i in range(50)],
        [-1] + [i * i for i in range(99)],
        [datetime(2026, 1, 1 + i // 10, tzinfo=UTC) for i in range(100)],
        ["2026-01-31"] + [f"word {i % 9}" for i in range(99)],
    ],
    ids=[
        "half missing",
        "98 % one value",
        "a measurement",
        "sparse whole numbers",
        "few rows",
        "numbers and many words",
        "codes",
        "a word more often than numbers",
        "none as a level",
        "plus and minus",
        "numbers that are no days",
        "flags",
        "a scale",
        "a scale up to 99",
        "postcodes",
        "many zeros",
        "one outlier",
        "sorted times",
        "one date",
    ],
)
def test_what_is_not_suspicious_is_left_alone(layout: Layout, values: list[object]) -> None:
    assert check(layout, {"c": values}) == []


def test_a_column_that_stands_there_twice_is_found(layout: Layout) -> None:
    values: list[object] = [i * i % 83 for i in range(100)]
    (found,) = check(layout, {"a": values, "b": [i * 3 % 83 for i in range(100)], "c": values})
    assert (found.column, found.code) == ("c", Code.DUPLICATE_COLUMNS)
    assert found.message == "'c' has the same values as 'a', as often; exclude one if they are equal"


def test_duplicate_rows_are_about_the_table(layout: Layout) -> None:
    rows = pl.DataFrame({"a": [1, 1, 2, 3]})
    ingest(layout, "d", rows, append=False, info=IngestInfo(who="x", source="x"))
    (found,) = check_table(profile(layout, "d"))
    assert (found.column, found.code) == (None, Code.DUPLICATE_ROWS)
    assert found.message == "1 row (25.0%) repeats an earlier row; drop it if it is no event of its own"
