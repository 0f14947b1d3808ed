"""Numbers that a float would round are kept as text, or refused; none becomes another one without a word."""

from __future__ import annotations

import shlex
import sqlite3
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceUnreadable
from tests.storage.desk import Desk

NOTE = "Kept as text, since a number cannot hold so many digits exactly: id."
LONG = 12_345_678_901_234_567_891


def parquet(desk: Desk, values: list[object], kind: pa.DataType) -> str:
    pq.write_table(pa.table({"id": pa.array(values, kind)}), desk.path / "x.parquet")
    return str(desk.path / "x.parquet")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([Decimal(1), Decimal(LONG)], pa.decimal128(20, 0)),
        ([Decimal(2**53 + 1), None], pa.decimal128(38, 0)),
        ([Decimal(-(2**53) - 1)], pa.decimal128(25, 0)),
        ([Decimal("90071992547409930.10")], pa.decimal128(20, 2)),
    ],
)
def test_a_decimal_that_a_float_would_round_is_refused_and_the_way_out_works(
    desk: Desk, values: list[object], kind: pa.DataType
) -> None:
    source = parquet(desk, values, kind)
    with pytest.raises(
        SourceUnreadable, match=r"column 'id' has the number -?\d.*, which a float would round to .*query"
    ):
        desk.read(source)
    texts = desk.read(source, "SELECT CAST(id AS VARCHAR) AS id FROM source")["id"].to_list()
    assert texts == [None if value is None else str(value) for value in values]


def test_decimals_of_more_digits_than_duckdb_has_are_refused_where_they_may_be_rounded(desk: Desk) -> None:
    wide = pa.decimal256(50, 2)
    assert desk.read(parquet(desk, [Decimal("1.25"), None], wide))["id"].to_list() == [1.25, None]
    with pytest.raises(SourceUnreadable, match=r"x\.parquet: its column 'id' has 50 digits .* write it as text"):
        desk.read(parquet(desk, [Decimal(2**53 + 1)], wide))


def test_decimals_that_a_float_holds_are_numbers(desk: Desk) -> None:
    values: list[object] = [Decimal(2**53), Decimal(-(2**60)), None, Decimal(7)]
    assert desk.read(parquet(desk, values, pa.decimal128(38, 0)))["id"].to_list() == [2.0**53, -(2.0**60), None, 7.0]
    money: list[object] = [Decimal("1.10"), Decimal("12345678901.25")]
    assert desk.read(parquet(desk, money, pa.decimal128(20, 2)))["id"].to_list() == [1.1, 12345678901.25]
    sums = desk.read(parquet(desk, [2**40, 2**41], pa.int64()), "SELECT sum(id) AS id FROM source")
    assert sums["id"].to_list() == [float(2**40 + 2**41)], "a sum of whole numbers is a number"


@pytest.mark.parametrize(
    "ids", [[123_456_789_012_345_678_901, 123_456_789_012_345_678_902], [2**64 - 1, 2**64 - 2, 5], [10**45 + 1]]
)
def test_long_whole_numbers_of_json_are_kept_as_text(desk: Desk, ids: list[int]) -> None:
    lines = "".join(f'{{"id": {each}, "day": "2026-01-31", "y": 1.5, "tags": [1]}}\n' for each in ids)
    rows = desk.read(desk.put("x.ndjson", lines))
    assert rows["id"].to_list() == [str(each) for each in ids]
    assert rows["y"].to_list() == [1.5] * len(ids)
    assert str(rows["day"].dtype) == "Date"
    assert desk.notes == (NOTE,)
    (desk.path / "in" / "year=2026").mkdir(parents=True)
    (desk.path / "in" / "year=2026" / "x.ndjson").write_text(lines)
    rows = desk.read(str(desk.path / "in"))
    assert (rows["id"].to_list(), set(rows["year"])) == ([str(each) for each in ids], {2026})
    assert desk.notes[0] == NOTE


def test_a_long_whole_number_among_floats_of_json_is_refused(desk: Desk) -> None:
    source = desk.put("x.ndjson", '{"id": 9007199254740993}\n{"id": 1.5}\n')
    with pytest.raises(SourceUnreadable, match=r"x\.ndjson: its column 'id' has fractions, .* 9007199254740993; write"):
        desk.read(source)
    source = desk.put("x.ndjson", '{"id": 9007199254740992}\n{"id": 1.5}\n{"id": 1e300}\n')
    assert desk.read(source)["id"].to_list() == [2.0**53, 1.5, 1e300]


def _database(path: Path, values: list[object]) -> str:
    with sqlite3.connect(path / "x.db") as connection:
        connection.execute("CREATE TABLE t (id)")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
    connection.close()
    return str(path / "x.db")


@pytest.mark.parametrize(
    ("values", "read", "notes"),
    [
        ([9_007_199_254_740_993, 1.5], ["9007199254740993", "1.5"], (NOTE,)),
        ([9_007_199_254_740_993, 1, None], [9_007_199_254_740_993, 1, None], ()),
        ([9_007_199_254_740_992, 1.5], [2.0**53, 1.5], ()),
    ],
)
def test_a_whole_number_among_floats_of_sqlite_is_not_rounded(
    desk: Desk, values: list[object], read: list[object], notes: tuple[str, ...]
) -> None:
    assert desk.read(_database(desk.path, values), "SELECT id FROM t")["id"].to_list() == read
    assert desk.notes == notes


def test_the_query_that_keeps_long_numbers_reaches_the_reader_as_a_shell_passes_it_on(desk: Desk) -> None:
    name, ids = 'driver\'s "id"', [2**63 + 1, 2**63 + 2]
    source = str(desk.path / "x.parquet")
    pl.DataFrame({name: pl.Series(ids, dtype=pl.UInt64)}).write_parquet(source)
    with pytest.raises(SourceUnreadable, match="mostly ids") as told:
        desk.read(source)
    message = str(told.value)
    option, query = shlex.split(message[message.index("--query") :])
    assert option == "--query"
    assert desk.read(source, query)[name].to_list() == [str(one) for one in ids]
