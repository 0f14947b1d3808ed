from __future__ import annotations

import gzip
import hashlib
import os
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from storage.columns import ColumnInfo, Dtype
from storage.datasets import IngestInfo, dataset_path
from storage.errors import SourceUnreadable, StateUnwritable
from storage.ingest import ingest
from storage.sources import SourceOptions, open_source
from tests.storage.conftest import SmallDisk
from tests.storage.desk import Desk

AB = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "a,b\n1,x\n2,y\n"),
        ("no_newline_at_the_end.csv", "a,b\n1,x\n2,y"),
        ("windows.csv", "a,b\r\n1,x\r\n2,y\r\n"),
        ("semicolon.csv", "a;b\n1;x\n2;y\n"),
        ("tabs.tsv", "a\tb\n1\tx\n2\ty\n"),
        ("pipes.txt", "a|b\n1|x\n2|y\n"),
        ("quoted.csv", '"a","b"\n"1","x"\n"2","y"\n'),
        ("bom.csv", b"\xef\xbb\xbfa,b\n1,x\n2,y\n"),
        ("utf16.csv", "a,b\n1,x\n2,y\n".encode("utf-16")),
        ("packed.csv.gz", gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0)),
        ("packed.csv.zst", bytes(pa.Codec("zstd").compress(b"a,b\n1,x\n2,y\n"))),
        ("packed_without_a_suffix", gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0)),
        ("lines.ndjson", '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'),
        ("lines.jsonl.gz", gzip.compress(b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n', mtime=0)),
        ("array.json", '[{"a":1,"b":"x"},{"a":2,"b":"y"}]'),
        ("lines_without_a_suffix", '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'),
        ("patterns[1]*.csv", "a,b\n1,x\n2,y\n"),
        ("it's.csv", "a,b\n1,x\n2,y\n"),
    ],
)
def test_the_same_rows_are_read_however_they_are_written(desk: Desk, name: str, content: bytes | str) -> None:
    source = desk.put(name, content)
    assert desk.read(source).equals(AB)
    assert desk.sha256 == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert desk.read(source, "SELECT b, a * 10 AS a FROM source WHERE a > 1").rows() == [("y", 20)]


def test_parquet_is_known_by_its_content(desk: Desk) -> None:
    AB.write_parquet(desk.path / "rows.parquet")
    AB.write_parquet(desk.path / "rows.data")
    assert desk.read(str(desk.path / "rows.parquet")).equals(AB)
    assert desk.read(str(desk.path / "rows.data")).equals(AB)


def test_a_glob_reads_all_files_in_the_order_of_their_names(desk: Desk) -> None:
    desk.put("2.csv", "a,b\n2.5,y\n")
    desk.put("1.csv", "a,b\n1,x\n")
    rows = desk.read(str(desk.path / "*.csv"))
    assert rows.rows() == [(1.0, "x"), (2.5, "y")]
    AB.write_parquet(desk.path / "1.parquet")
    AB.write_parquet(desk.path / "2.parquet")
    assert desk.read(str(desk.path / "?.parquet")).equals(pl.concat([AB, AB]))


def test_a_relative_path_is_read_from_here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("plain.csv", "a,b\n1,x\n2,y\n")
    monkeypatch.chdir(desk.path)
    assert desk.read("plain.csv").equals(AB)


@pytest.mark.parametrize(
    ("content", "values", "note"),
    [
        ("a;b\n1,5;x\n-2,25;y\n", [1.5, -2.25], "Read with a decimal comma: a."),
        ("a;b\n1.5;1,5\n2;2\n", [1.5, 2.0], "Read with a decimal comma: b."),
        ("a,b\n1,x\nNA,y\n", [1, None], "Read as missing: NA, "),
        ("a,b\n?,x\n3,y\n", [None, 3], "Read as missing: NA, "),
        ("a,b\nNA,x\nwest,y\n", ["NA", "west"], None),
        ("a,b\n007,x\n101,y\n", ["007", "101"], None),
        ("a,b\n0,x\n10,y\n", [0, 10], None),
        ("a,b\n,x\n,y\n", [None, None], None),
        ("a,b\ntrue,x\nfalse,y\n", [True, False], None),
        ("a,b\nTRUE,x\nNA,y\nFALSE,z\n", [True, None, False], "Read as missing: NA, "),
        ("a,b\nyes,x\nNA,y\nno,z\n", ["yes", "NA", "no"], None),
        ("a,b\n2026-01-31,x\n2026-02-01,y\n", [date(2026, 1, 31), date(2026, 2, 1)], None),
        (
            "a,b\n31/01/2026,x\n01/02/2026,y\n",
            [date(2026, 1, 31), date(2026, 2, 1)],
            "Dates were read as day/month/year.",
        ),
        ("a,b\n15.03.2026 14:30,x\n,y\n", [datetime(2026, 3, 15, 14, 30, tzinfo=UTC), None], "Read as times, day"),
        ("a,b\n03/15/2026 2:30 PM,x\n,y\n", [datetime(2026, 3, 15, 14, 30, tzinfo=UTC), None], "Read as times, mo"),
        (
            "a,b\n2026-01-31,x\n2026-02-01 10:00:00,y\n",
            [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, 10, tzinfo=UTC)],
            "Read as times, y",
        ),
        ("a,b\n2026-01-31,x\nlater,y\n", ["2026-01-31", "later"], None),
        ("a,b\n2026-01-31T10:00:00Z,x\n,y\n", [datetime(2026, 1, 31, 10, tzinfo=UTC), None], None),
        ("a,b\n2026-01-31 10:00:00,x\n,y\n", [datetime(2026, 1, 31, 10, tzinfo=UTC), None], None),
        ("a,b\n1,x\ninf,y\n", [1.0, float("inf")], None),
        ("a,b\nnan,x\n1.5,y\n", [None, 1.5], None),
        ('a,b\n"x, y",1\n"say ""hi""",2\n', ["x, y", 'say "hi"'], None),
        ('a,b\n"two\nlines",1\nz,2\n', ["two\nlines", "z"], None),
        ("a\n1\n2\n", [1, 2], None),
        ("sep=;\na;b\n1;x\n2;y\n", [1, 2], "Lines skipped above the header: 1."),
        ("Sales of May\n\na,b\n1,x\n2,y\n", [1, 2], "Lines skipped above the header: "),
        ("a,b,\n1,x,\n2,y,\n", [1, 2], None),
        ("a,b\r1,x\r2,y\r", [1, 2], None),
        ("a,b\nyes,x\nno,y\n", ["yes", "no"], None),
        ("a,b\n99999999999999999999,x\n1,y\n", ["99999999999999999999", "1"], "Kept as text, since a number"),
        ("a,b\n99999999999999999999,x\n1.5,y\n", [1e20, 1.5], None),
        ("a,b\n10:30:00,x\n11:00:00,y\n", ["10:30:00", "11:00:00"], None),
        ("a,b\n10:30,x\nNA,y\n", ["10:30", None], "Read as missing: NA, "),
    ],
)
def test_values_are_read_as_what_they_are(desk: Desk, content: str, values: list[object], note: str | None) -> None:
    rows = desk.read(desk.put("x.csv", content))
    assert rows["a"].to_list() == values
    assert [each[: len(note or "")] for each in desk.notes] == ([] if note is None else [note])


def test_a_type_that_changes_late_in_the_file_becomes_text(desk: Desk) -> None:
    rows = desk.read(desk.put("late.csv", "a,b\n" + "1,2\n" * 60_000 + "x,2\n"))
    assert (rows.height, rows["a"][-1], rows["a"].dtype, rows["b"].dtype) == (60_001, "x", pl.String(), pl.Int64())


def test_windows_text_is_read_and_said(desk: Desk) -> None:
    rows = desk.read(desk.put("western.csv", "größe,preis\nM,3 €\n".encode("cp1252")))
    assert rows.to_dicts() == [{"größe": "M", "preis": "3 €"}]
    (note,) = desk.notes
    assert note.startswith("western.csv is not UTF-8; it was read as cp1252. If letters are wrong")
    desk.read(desk.put("russian.csv", b"n,m\n\xff\xe1\xeb\xee\xea\xee,3\n"))
    assert "convert it first, with iconv -f ENCODING -t UTF-8." in desk.notes[0]
    desk.read(desk.put("marked.csv", "größe,preis\nM,3\n".encode("utf-16")))
    assert desk.notes == ("marked.csv is not UTF-8; it was read as utf-16.",)


def test_a_file_without_a_header_gets_names_and_a_note(desk: Desk) -> None:
    assert desk.read(desk.put("x.csv", "1,2\n3,4\n")).columns == ["column0", "column1"]
    assert desk.notes == ("No header line was found: the columns are named column0, column1 and so on.",)


@pytest.mark.parametrize("mark", ["^", "~", ":", "§", "#", " ", "/"])
def test_another_delimiter_is_suggested_and_taken_when_it_is_told(desk: Desk, mark: str) -> None:
    lines = [("a", "b", "c"), *((str(i), f"x{i}", str(i * 2)) for i in range(5))]
    source = desk.put("x.csv", "".join(f"{mark.join(line)}\n" for line in lines))
    assert desk.read(source).width == 1
    assert desk.notes == (
        f"Read as one column, though every line holds {mark!r} as often. If that separates columns, add it again with "
        f"--delimiter {mark!r}.",
    )
    rows = desk.read(source, delimiter=mark)
    assert (rows.columns, rows.row(1)) == (["a", "b", "c"], (1, "x1", 2))
    assert not desk.notes


@pytest.mark.parametrize("line", ["{} 2 3", "{} 2024 7", "2024 {} 1 2"])
def test_numbers_with_blanks_between_them_are_no_dates(desk: Desk, line: str) -> None:
    header = " ".join("abcd"[: line.count(" ") + 1])
    source = desk.put("x.csv", f"{header}\n" + "".join(f"{line.format(number)}\n" for number in range(50)))
    assert desk.read(source).width == 1
    assert desk.notes[0].endswith("If that separates columns, add it again with --delimiter ' '.")
    assert desk.read(source, delimiter=" ").columns == header.split()


def test_no_delimiter_is_suggested_where_words_differ(desk: Desk) -> None:
    desk.read(desk.put("x.csv", "city\nNew York\nRome\nRio de Janeiro\n"))
    assert desk.notes == ()


def test_names_stay_as_they_are(desk: Desk) -> None:
    rows = desk.read(desk.put("x.csv", '"Air temperature [K]","a,b",{x},ü\n1,2,3,4\n'))
    assert rows.columns == ["Air temperature [K]", "a,b", "{x}", "ü"]


def test_an_append_reads_text_columns_as_text_again(desk: Desk) -> None:
    like = (ColumnInfo(name="zip", dtype=Dtype.STRING), ColumnInfo(name="n", dtype=Dtype.INT))
    rows = desk.read(desk.put("x.csv", "zip,n\n99999,1\n"), like=like)
    assert rows.rows() == [("99999", 1)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", r"empty\.csv is empty$"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), r"empty\.csv\.gz is empty$"),
        ("blank.csv", b" \n\n", r"blank\.csv is empty but for white space"),
        (
            "cat.csv",
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + os.urandom(500),
            r"cat\.csv is no table: it is a PNG image",
        ),
        ("sheets.zip", b"PK\x03\x04" + bytes(100), r"is no table: it is a ZIP archive; unpack it first"),
        (
            "noise.csv",
            bytes(range(256)) * 20,
            r"is no CSV, JSON, Parquet, Arrow, Excel, DuckDB or SQLite file: it holds binary data",
        ),
        ("odd.csv", b"a,b\n1,\x81\x8d\x8f\n", r"is not text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8"),
        ("twice.csv", b"a,b,a\n1,2,3\n", r"twice\.csv: the column name 'a' stands twice; rename one of the columns"),
        ("quoted.csv", b'"a b";"a b"\n1;2\n', r"the column name 'a b' stands twice"),
        ("case.csv", b"a,A\n1,2\n", r"'a' and 'A' differ by case"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n4\n", r"the header has 2 fields, but line 3 has 3; mend that line"),
        ("short.csv", b"a,b,c\n1,2,3\n4,5\n6,7,8,9\n", r"the header has 3 fields, but line 3 has 2; mend that line"),
        ("wide.csv", b"a,b\n1,2,3\n4,5,6\n", r"the header has 2 fields, but line 2 has 3; mend that line"),
        ("odd.txt", b"1|2\n1|2|3\n4|5|6\n", r"the header has 2 fields, but line 2 has 3"),
        ("late.csv", b"a,b\n" + b"1,2\n" * 30_000 + b"1,2,3\n", r"the header has 2 fields, but line 30002 has 3"),
        ("fake.parquet", b"a,b\n1,2\n", r"is named \.parquet but does not begin like such a file"),
        ("torn.parquet", b"PAR1" + bytes(50), r"torn\.parquet cannot be read as Parquet"),
        ("bad.ndjson", b'{"a":1}\n{"a":\n', r"bad\.ndjson cannot be read: .*Malformed JSON in file .*bad\.ndjson"),
        ("torn.csv.gz", gzip.compress(b"a,b\n1,2\n" * 50_000, mtime=0)[:-30], r"torn\.csv\.gz cannot be read"),
        ("fake.sqlite", b"SQLite format 3\x00" + bytes(range(200)), r"cannot be run on .*fake\.sqlite: "),
        ("fake.duckdb", bytes(8) + b"DUCK" + bytes(200), r"fake\.duckdb cannot be opened as a DuckDB database"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_reason(
    desk: Desk, name: str, content: bytes, message: str
) -> None:
    source = desk.put(name, content)
    query = "SELECT * FROM t" if name.startswith("fake.") else None
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(source, query)
    assert list(desk.layout.tmp.glob("scratch-*")) == []


def test_a_parquet_file_with_a_name_twice_is_refused(desk: Desk) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, desk.path / "twice.parquet")
    with pytest.raises(SourceUnreadable, match=r"twice\.parquet: the column name 'a' stands twice"):
        desk.read(str(desk.path / "twice.parquet"))


def test_a_missing_file_is_said_with_where_it_was_sought(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.path)
    with pytest.raises(SourceUnreadable, match=rf"no file nope\.csv \(looked in {desk.path}\)"):
        desk.read("nope.csv")
    with pytest.raises(SourceUnreadable, match=r"no file /nowhere/\*\.csv"):
        desk.read("/nowhere/*.csv")
    for nothing in ("", " "):  # the folder that the process happens to be in is no source
        with pytest.raises(SourceUnreadable, match=r"the source is empty"):
            desk.read(nothing)


def test_files_that_do_not_belong_together_are_refused(desk: Desk) -> None:
    desk.put("1.csv", "a,b\n1,x\n")
    desk.put("2.csv", "a,c\n1,x\n")
    desk.put("3.json", '{"a":1}')
    with pytest.raises(SourceUnreadable, match=r"2\.csv has other columns than .*1\.csv: a, c"):
        desk.read(str(desk.path / "*.csv"))
    with pytest.raises(SourceUnreadable, match=r"names files of several formats: csv, json"):
        desk.read(str(desk.path / "*"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC a FROM source", r'the query cannot be run: Parser Error: syntax error at or near "SELEC"$'),
        ("SELECT nope FROM source", r'Referenced column "nope" not found in FROM clause!; Candidate bindings: "a"'),
        ("SELECT a FROM sources", r"Table with name sources does not exist!; Did you mean \"source\"\?"),
        ("DROP VIEW source", r"the query must be one SELECT statement; name a file's rows 'source' in it"),
        ("SELECT 1; SELECT 2", r"the query must be one SELECT statement"),
        ("", r"the query must be one SELECT statement"),
        ("COPY source TO '/tmp/out.csv'", r"the query must be one SELECT statement"),
        ("SELECT * FROM read_text('/etc/passwd')", r'Cannot access file "/etc/passwd"'),
        ("SELECT * FROM '/etc/*.csv'", r"Cannot access file"),
        ("SELECT a, a FROM source", r"the column name 'a' stands twice"),
        ("SELECT CASE WHEN a >= 0 THEN error('no luck') END AS e FROM source", r"no luck"),
    ],
)
def test_a_query_that_is_wrong_or_reaches_out_is_refused(desk: Desk, query: str, message: str) -> None:
    source = desk.put("x.csv", "a,b\n1,x\n")
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(source, query)


@pytest.fixture
def sqlite_file(desk: Desk) -> str:
    path = desk.path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sales (id INTEGER, price, day TEXT, at TEXT, mixed, raw BLOB, none)")
    connection.executemany(
        "INSERT INTO sales VALUES (?, ?, ?, ?, ?, ?, NULL)",
        [
            (1, 2, "2026-01-31", "2026-01-31 10:00:00", 1, b"\x00"),
            (2, 2.5, "2026-02-01", "2026-02-01T10:00:00+02:00", "two", None),
        ],
    )
    connection.commit()
    connection.close()
    return str(path)


def test_sqlite_values_get_the_type_that_all_of_a_column_have(desk: Desk, sqlite_file: str) -> None:
    rows = desk.read(sqlite_file, "SELECT * FROM sales ORDER BY id")
    ten, eight = datetime(2026, 1, 31, 10, tzinfo=UTC), datetime(2026, 2, 1, 8, tzinfo=UTC)
    assert rows.rows() == [
        (1, 2.0, date(2026, 1, 31), ten, "1", "AA==", None),
        (2, 2.5, date(2026, 2, 1), eight, "two", None, None),
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, r"shop\.db is a SQLite database: say with a query \(--query\) which rows to take"),
        ("SELECT * FROM nope", r"the query cannot be run on .*shop\.db: no such table: nope"),
        ("SELEC 1", r'near "SELEC": syntax error'),
        ("DELETE FROM sales", r"attempt to write a readonly database"),
        ("ATTACH '/etc/x.db' AS x", r"too many attached databases"),
        ("SELECT 1; SELECT 2", r"one statement at a time"),
        ("SELECT id, id FROM sales", r"the column name 'id' stands twice"),
    ],
)
def test_a_sqlite_query_that_is_wrong_is_refused(desk: Desk, sqlite_file: str, query: str | None, message: str) -> None:
    before = Path(sqlite_file).read_bytes()
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(sqlite_file, query)
    assert Path(sqlite_file).read_bytes() == before


def test_a_duckdb_file_is_read_with_a_query(desk: Desk) -> None:
    path = desk.path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE sales AS SELECT range AS id, range / 2 AS price FROM range(10000)")
    assert desk.read(str(path), "SELECT sum(id) AS s, max(price) AS m FROM sales").rows() == [(49_995_000, 4999.5)]
    with pytest.raises(SourceUnreadable, match=r"is a DuckDB database: say with a query"):
        desk.read(str(path))
    with pytest.raises(SourceUnreadable, match=r"Table with name nope does not exist"):
        desk.read(str(path), "SELECT * FROM nope")


def test_a_delta_table_is_read_with_and_without_a_query(desk: Desk) -> None:
    table = pa.table({"a": [1, 2, 3], "part": ["x", "y", "y"]})
    write_deltalake(str(desk.path / "delta"), table, partition_by=["part"])
    assert sorted(desk.read(str(desk.path / "delta")).rows()) == [(1, "x"), (2, "y"), (3, "y")]
    query = "SELECT part, count(*) AS n FROM source GROUP BY 1 HAVING n = (SELECT max(a) - 1 FROM source)"
    assert desk.read(str(desk.path / "delta"), query).rows() == [("y", 2)]
    first = desk.sha256
    write_deltalake(str(desk.path / "delta"), table, mode="append")
    assert desk.read(str(desk.path / "delta")).height == 6
    assert desk.sha256 != first


def test_one_of_our_own_datasets_is_a_source_as_well(desk: Desk) -> None:
    ingest(desk.layout, "mine", AB, append=False, info=IngestInfo(who="x", source="x"))
    assert desk.read(str(dataset_path(desk.layout, "mine"))).equals(AB)


def test_no_room_to_work_is_said(desk: Desk, small_disk: SmallDisk) -> None:
    western = desk.put("western.csv", ("größe,preis\n" + "M,3 €\n" * 500_000).encode("cp1252"))
    with (
        pytest.raises(StateUnwritable, match=r"cannot copy .*western\.csv as UTF-8 to .*: No space left on device"),
        open_source(western, SourceOptions(tmp=small_disk.path)),
    ):
        pass
    small_disk.make_read_only()
    with (
        pytest.raises(
            StateUnwritable, match=r"cannot write below .*disk: Read-only file system; run 'appliance doctor'"
        ),
        open_source(western, SourceOptions(tmp=small_disk.path)),
    ):
        pass


def test_words_such_as_yes_and_no_stay_words(desk: Desk) -> None:
    words = "n,churn,short,flag\n" + "".join(
        f"{n},{'Yes' if n % 2 else 'No'},{'y' if n % 3 else 'n'},{'True' if n % 2 else 'false'}\n" for n in range(30)
    )

    rows = desk.read(desk.put("words.csv", words))

    assert rows["churn"].to_list()[:2] == ["No", "Yes"]
    assert set(rows["short"]) == {"y", "n"}
    assert rows["flag"].to_list()[:2] == [False, True]


def test_words_such_as_yes_and_no_stay_words_where_some_are_missing(desk: Desk) -> None:
    words = "n,churn,flag\n" + "".join(
        f"{n},{('Yes', 'No', '')[n % 3]},{('true', 'FALSE', '')[n % 3]}\n" for n in range(30)
    )

    rows = desk.read(desk.put("words.csv", words))

    assert rows["churn"].to_list()[:3] == ["Yes", "No", None]
    assert rows["flag"].to_list()[:3] == [True, False, None]
