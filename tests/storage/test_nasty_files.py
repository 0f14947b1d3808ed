"""Files that came out of other programs half right: what they hold is read or said, never silently changed."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime

import polars as pl
import pyarrow as pa
import pytest

from storage.columns import ColumnInfo, Dtype
from storage.datasets import IngestInfo, list_datasets
from storage.errors import SourceUnreadable
from storage.ingest import ingest
from storage.layout import Layout
from tests.storage.desk import Desk


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\r\n1,x\n2,y\r\n3,z\n", r"some of its lines end in CR LF \(Windows\), others in LF alone; save it"),
        (" a,a\n1,2\n3,4\n", r"the column name 'a' stands twice"),
        (f"a,{'n' * 1_001}\n1,2\n2,3\n", r"the column name 'n{40}'… has 1,001 characters, 1,000 are allowed"),
        ('a,b\n1,"' + "x" * 5_000_000 + '"\n2,y\n', r"line 2 has no end within 2 MiB, .* missing quotation mark"),
        ("a" * 5_000_000, r"line 1 has no end within 2 MiB"),
    ],
)
def test_a_csv_file_that_is_none_is_refused_with_what_to_do(desk: Desk, content: str, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(desk.put("rows.csv", content))


@pytest.mark.parametrize("mark", ["||", "::", "~~", "^^", "##"])
def test_a_mark_that_stands_twice_between_columns_is_one_delimiter(desk: Desk, mark: str) -> None:
    lines = [("a", "b", "c"), ("1", "", "x"), ("2", "5", f'"{mark[0]}y"')]
    source = desk.put("x.csv", "".join(f"{mark.join(line)}\n" for line in lines))
    rows = desk.read(source)
    assert rows.to_dict(as_series=False) == {"a": [1, 2], "b": [None, 5], "c": ["x", f"{mark[0]}y"]}
    assert desk.notes == (f"Read with {mark!r} between the columns, which stands in every line as often.",)
    more = desk.put("x.csv", "".join(f"{mark.join(line)}\n" for line in [*lines, *lines[1:] * 30, ("7", "8")]))
    with pytest.raises(SourceUnreadable, match="the header has 3 fields, but line 64 has 2; mend that line"):
        desk.read(more)


def test_a_column_without_values_is_no_mark_that_stands_twice(desk: Desk) -> None:
    rows = desk.read(desk.put("x.csv", "a|b|c\n1||x\n2||y\n3||z\n"))
    assert rows.columns == ["a", "b", "c"]
    assert desk.read(desk.put("x.csv", "a;;c\n1;;x\n2;;y\n3;;z\n")).width == 3
    rows = desk.read(desk.put("x.csv", "n,name\n1,std::vector\n2,std::map\n".replace("name", "a::b")))
    assert rows.to_dict(as_series=False) == {"n": [1, 2], "a::b": ["std::vector", "std::map"]}


@pytest.mark.parametrize(
    ("name", "form"), [("x.csv", "n,at\n1,{}\n2,{}\n"), ("x.ndjson", '{{"at":"{}"}}\n{{"at":"{}"}}\n')]
)
def test_a_time_of_day_stays_as_it_is_written_the_first_time_and_later(desk: Desk, name: str, form: str) -> None:
    source = desk.put(name, form.format("00:30", "14:05"))
    assert desk.read(source)["at"].to_list() == ["00:30", "14:05"]
    assert desk.read(source, like=(ColumnInfo(name="at", dtype=Dtype.STRING),))["at"].to_list() == ["00:30", "14:05"]


def test_a_quotation_mark_that_is_never_closed_is_said(desk: Desk) -> None:
    rows = desk.read(desk.put("rows.csv", 'a,b\n1,"x\n2,y\n3,z\n' + "4,w\n" * 50))
    assert rows.height == 53
    assert desk.notes == ("Quotation marks were read as part of the text, since some are never closed: b.",)
    desk.read(desk.put("inches.csv", 'a,b\n1,5" pipe\n2,y\n'))
    assert list(desk.notes) == []


def test_a_sqlite_file_that_was_cut_off_gives_no_rows_of_nulls(desk: Desk) -> None:
    path = desk.path / "rows.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y")])
    connection.close()
    assert desk.read(str(path), "SELECT * FROM t")["a"].to_list() == [1, 2]
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(SourceUnreadable, match=r"is cut off: its header tells of 8,192 bytes, 5,000 are there"):
        desk.read(str(path), "SELECT * FROM t")


@pytest.mark.parametrize("head", ["<!DOCTYPE html>\n", "\n <html lang='en'>\n", "<?xml version='1.0'?>\n"])
def test_a_web_page_is_no_table(desk: Desk, head: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"it is a web page or XML; .* may ask for a login"):
        desk.read(desk.put("rows.csv", f"{head}<body>\n<p>Sign in</p>\n</body>\n"))


def test_a_delta_table_whose_files_are_gone_is_said(desk: Desk) -> None:
    pl.DataFrame({"a": [1, 2]}).write_delta(desk.path / "table")
    for file in (desk.path / "table").glob("*.parquet"):
        file.unlink()
    with pytest.raises(SourceUnreadable, match=r"cannot be read to its end: a file that belongs to it is not there"):
        desk.read(str(desk.path / "table"))


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.csv.zst"])
def test_a_packed_file_that_was_cut_off_is_said(desk: Desk, name: str) -> None:
    rows = pl.DataFrame({"a": range(5_000)}).write_csv().encode()
    packed = pa.compress(rows, codec="gzip" if name.endswith("gz") else "zstd", asbytes=True)
    path = desk.path / name
    path.write_bytes(packed[:-30])
    with pytest.raises(SourceUnreadable, match=r"cannot be read: .*it is cut off or damaged: copy or write it again"):
        desk.read(str(path))


@pytest.mark.parametrize(
    "rows",
    [
        pl.DataFrame({"t": [2**62]}, schema={"t": pl.Datetime("us")}),
        pl.DataFrame({"t": [-(2**62)]}, schema={"t": pl.Datetime("us", "UTC")}),
        pl.DataFrame({"t": [2_932_897]}, schema={"t": pl.Date()}),
    ],
)
def test_a_time_that_no_calendar_of_python_has_is_refused(layout: Layout, rows: pl.DataFrame) -> None:
    with pytest.raises(
        SourceUnreadable, match=r"column 't' has a date( and time)? beyond the years 1 to 9999; make it null"
    ):
        ingest(layout, "far", rows, append=False, info=IngestInfo(who="test", source="test"))
    assert list_datasets(layout) == []


def test_the_first_and_last_days_of_the_calendar_are_taken(desk: Desk) -> None:
    rows = desk.read(desk.put("rows.csv", "d,t\n0001-01-01,0001-01-01 00:00:00\n9999-12-31,9999-12-31 23:59:59\n"))
    assert rows["d"].to_list() == [date(1, 1, 1), date(9999, 12, 31)]
    assert rows["t"].dt.replace_time_zone(None).to_list() == [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]  # noqa: DTZ001


def test_a_file_without_rows_is_named(layout: Layout) -> None:
    with pytest.raises(SourceUnreadable, match=r"^brought\.csv has columns, but no rows; nothing was changed"):
        info = IngestInfo(who="test", source="brought.csv")
        ingest(layout, "none", pl.DataFrame({"a": []}, schema={"a": pl.Int64()}), append=False, info=info)
    assert list_datasets(layout) == []
