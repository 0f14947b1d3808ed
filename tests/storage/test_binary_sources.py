"""Arrow files, workbooks, directories, packed databases, and SQL over the rows that were picked."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceUnreadable
from tests.storage.desk import Desk
from tests.storage.workbooks import write_workbook

AB = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
QUERY = "SELECT b, a * 10 AS a FROM source WHERE a > (SELECT min(a) FROM source)"


def write_arrow(path: Path, table: pa.Table, *, stream: bool) -> str:
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with path.open("wb") as file, new(file, table.schema) as out:
        out.write_table(table, max_chunksize=1)
    return str(path)


@pytest.mark.parametrize("stream", [True, False])
def test_arrow_files_and_streams_are_read_batch_by_batch(desk: Desk, *, stream: bool) -> None:
    source = write_arrow(desk.path / "rows.arrow", AB.to_arrow(), stream=stream)
    assert desk.read(source).equals(AB)
    assert desk.sha256 == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert desk.read(source, QUERY).rows() == [("y", 20)]
    packed = desk.put("rows.arrow.gz", gzip.compress(Path(source).read_bytes(), mtime=0))
    assert desk.read(packed).equals(AB)
    write_arrow(desk.path / "more.arrow", AB.reverse().to_arrow(), stream=stream)
    assert desk.read(str(desk.path / "*.arrow")).equals(pl.concat([AB.reverse(), AB]))


def test_a_feather_file_as_polars_writes_it(desk: Desk) -> None:
    AB.write_ipc(desk.path / "rows.feather", compression="zstd")
    assert desk.read(str(desk.path / "rows.feather")).equals(AB)


def test_arrow_files_that_do_not_belong_together_or_are_torn(desk: Desk) -> None:
    one = Path(write_arrow(desk.path / "1.arrow", AB.to_arrow(), stream=False))
    write_arrow(desk.path / "2.arrow", AB.select("a").to_arrow(), stream=False)
    with pytest.raises(
        SourceUnreadable, match=r"2\.arrow has other columns than .*1\.arrow: a; add the files one by one"
    ):
        desk.read(str(desk.path / "?.arrow"))
    torn = desk.put("torn.arrow", one.read_bytes()[:-40])
    with pytest.raises(SourceUnreadable, match=r"torn\.arrow cannot be read as an Arrow file"):
        desk.read(torn)
    stream = Path(write_arrow(desk.path / "s", AB.to_arrow(), stream=True)).read_bytes()
    half = desk.put("half.arrows", stream[: len(stream) * 2 // 3])
    for query in (None, QUERY):
        with pytest.raises(SourceUnreadable, match=r"half\.arrows cannot be read to its end"):
            desk.read(half, query)


def test_a_workbooks_first_sheet_with_rows_or_the_one_that_is_named(desk: Desk) -> None:
    sheets: dict[str, Sequence[Sequence[object]]] = {
        "Cover": [],
        "Sales": [["day", "n", "shop"], [date(2026, 1, 31), 2.5, "Rome"], [date(2026, 2, 1), None, "Oslo"]],
        "Other": [["q"], [1]],
    }
    source = write_workbook(desk.path / "book.xlsx", sheets)
    rows = desk.read(source)
    assert rows["n"].to_list() == [2.5, None]
    assert rows["shop"].to_list() == ["Rome", "Oslo"]
    assert rows["day"].to_list() in (
        [date(2026, 1, 31), date(2026, 2, 1)],
        [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)],
    )
    assert desk.notes == ("Read from the sheet 'Sales' of book.xlsx; the others are 'Cover', 'Other'.",)
    assert desk.read(source, sheet="Other").rows() == [(1,)]
    assert desk.read(source, "SELECT shop FROM source WHERE n IS NULL").rows() == [("Oslo",)]
    with pytest.raises(SourceUnreadable, match=r"has no sheet 'Nope'; it has 'Cover', 'Sales', 'Other'"):
        desk.read(source, sheet="Nope")
    with pytest.raises(SourceUnreadable, match=r"book\.xlsx: 'Cover' is empty"):
        desk.read(source, sheet="Cover")


def test_two_workbooks_as_one_table(desk: Desk) -> None:
    write_workbook(desk.path / "1.xlsx", {"S": [["a", "b"], [1, "x"]]})
    write_workbook(desk.path / "2.xlsx", {"S": [["a", "b"], [2.5, "y"]]})
    assert desk.read(str(desk.path / "*.xlsx")).rows() == [(1.0, "x"), (2.5, "y")]
    write_workbook(desk.path / "3.xlsx", {"S": [["a", "c"], [2, "y"]]})
    with pytest.raises(SourceUnreadable, match=r"the sheets of .*1\.xlsx and its like do not fit together"):
        desk.read(str(desk.path / "*.xlsx"))


def test_workbooks_that_cannot_be_read_are_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = write_workbook(desk.path / "twice.xlsx", {"S": [["a", "a"], [1, 2]]})
    with pytest.raises(SourceUnreadable, match=r"twice\.xlsx, sheet 'S': the column name 'a' stands twice"):
        desk.read(twice)
    empty = write_workbook(desk.path / "empty.xlsx", {"S": []})
    with pytest.raises(SourceUnreadable, match=r"empty\.xlsx has no sheet with a header and rows"):
        desk.read(empty)
    torn = desk.put("torn.xlsx", Path(twice).read_bytes()[:-60])
    with pytest.raises(SourceUnreadable, match=r"torn\.xlsx cannot be read as a workbook"):
        desk.read(torn)
    with pytest.raises(SourceUnreadable, match=r"old\.xls cannot be read as a workbook"):
        desk.read(desk.put("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)))
    monkeypatch.setattr("storage.excel_source.MOST_BYTES", 1000)
    with pytest.raises(
        SourceUnreadable, match=r"unpacks to .* more than the .* that a workbook may have; save the sheet"
    ):
        desk.read(twice)


def test_a_directory_is_the_files_below_it(desk: Desk) -> None:
    folder = desk.path / "in"
    (folder / "2026").mkdir(parents=True)
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.csv").write_text("q\n1\n")
    (folder / "2026" / "b.csv").write_text("a,b\n2,y\n")
    (folder / "a.csv").write_text("a,b\n3,z\n")
    assert desk.read(str(folder)).rows() == [(2, "y"), (3, "z")]
    hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("2026/b.csv", "a.csv")]
    assert desk.sha256 == hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    (folder / "c.json").write_text('{"a":1}')
    with pytest.raises(SourceUnreadable, match=r"in names files of several formats: csv, json"):
        desk.read(str(folder))
    (desk.path / "none").mkdir()
    with pytest.raises(SourceUnreadable, match=r"none is a directory without a file in it, and no Delta table"):
        desk.read(str(desk.path / "none"))


def test_a_directory_with_too_many_files_is_a_mistake(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.source_files.MOST_FILES", 2)
    for name in "abc":
        desk.put(f"{name}.csv", "a\n1\n")
    with pytest.raises(SourceUnreadable, match=r"has more than 2 files; name fewer with a glob"):
        desk.read(str(desk.path))


def test_packed_parquet_and_packed_databases_are_unpacked(desk: Desk) -> None:
    pq.write_table(AB.to_arrow(), desk.path / "rows.parquet")
    packed = desk.put("packed.gz", gzip.compress((desk.path / "rows.parquet").read_bytes(), mtime=0))
    assert desk.read(packed).equals(AB)
    path = desk.path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    connection.commit()
    connection.close()
    codec = bytes(pa.Codec("zstd").compress(path.read_bytes()))
    assert desk.read(desk.put("shop.db.zst", codec), "SELECT n FROM t").rows() == [(7,)]


def test_a_write_ahead_log_belongs_to_the_fingerprint(desk: Desk) -> None:
    path = desk.path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (n)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    desk.read(str(path), "SELECT n FROM t")
    first = desk.sha256
    connection.execute("INSERT INTO t VALUES (2)")
    connection.commit()
    assert desk.read(str(path), "SELECT n FROM t").height == 2
    assert desk.sha256 != first
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "rows"),
    [
        ("SELECT b, count(*) AS n FROM source GROUP BY b ORDER BY b", [("x", 1), ("y", 1)]),
        ("SELECT *, a > (SELECT avg(a) FROM source) AS big FROM source ORDER BY a", [(1, "x", False), (2, "y", True)]),
    ],
)
def test_rows_are_prepared_with_sql_after_they_were_picked(
    desk: Desk, prepare: str, rows: list[tuple[object, ...]]
) -> None:
    source = desk.put("x.csv", "a,b\n1,x\n2,y\n")
    assert desk.read(source, prepare=prepare).rows() == rows
    picked = desk.read(source, "SELECT * FROM source WHERE a = 2", prepare="SELECT count(*) AS n FROM source")
    assert picked.rows() == [(1,)]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("SELECT nope FROM source", r"the query cannot be run: .*\"nope\" not found"),
        ("SELECT * FROM read_text('/etc/passwd')", r"Cannot access file"),
        ("DROP TABLE source", r"must be one SELECT statement"),
    ],
)
def test_preparation_that_is_wrong_or_reaches_out_is_refused(desk: Desk, prepare: str, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(desk.put("x.csv", "a,b\n1,x\n"), prepare=prepare)


@pytest.mark.parametrize(
    ("address", "way"),
    [
        ("ftp://x/y.csv", r"from other servers export the rows to a Parquet or CSV file and add that"),
        ("s3://bucket/key", r"from other servers export the rows"),
        ("mysql://u:geheim@h/db", r"MySQL is not read; write the rows to a file with 'mysql --batch .* and add that"),
        ("mariadb://u:geheim@h/db", r"MySQL is not read"),
    ],
)
def test_other_addresses_are_refused_without_telling_a_password(desk: Desk, address: str, way: str) -> None:
    with pytest.raises(SourceUnreadable, match=rf"addresses begin with http, https or postgresql; {way}") as told:
        desk.read(address, "SELECT 1")
    assert "geheim" not in str(told.value)


def test_what_mysql_writes_in_batches_is_read(desk: Desk) -> None:
    """With tabs, and NULL as a word, as ``mysql --batch`` does."""
    rows = desk.read(desk.put("rows.tsv", "id\tname\tprice\n1\tMüller\t2.50\n2\tNULL\tNULL\n"))
    assert rows.rows() == [(1, "Müller", 2.5), (2, None, None)]
