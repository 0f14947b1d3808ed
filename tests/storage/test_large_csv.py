"""A large CSV file is read in one pass: what its first rows do not show must come out as if all had been looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from storage.csv_dialect import LARGE_BYTES
from storage.errors import SourceUnreadable
from storage.sources import SampleMisled, Source, SourceOptions, open_source, read_source

PAD = "p" * 90


def large(head: str, row: str, late: str) -> bytes:
    """A file that is sampled: ``late`` comes behind the rows that are looked at, and before as many again."""
    many = LARGE_BYTES // len(row) // 2 + 30_000
    return (head + row * many + late + row * many).encode()


def frame(opened: Source) -> tuple[pl.DataFrame, tuple[str, ...]]:
    return pl.DataFrame(pa.table(opened.batches.read_all())), opened.notes


@pytest.fixture
def options(tmp_path: Path) -> SourceOptions:
    (tmp_path / "tmp").mkdir()
    return SourceOptions(tmp=tmp_path / "tmp", memory="256MB")


@pytest.mark.parametrize(
    ("head", "row", "late"),
    [
        ("a,pad\n", f"1,{PAD}\n", f"1.5,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"1_000,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"007,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"1e3,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"NA,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"x,{PAD}\n"),
        ("a,pad\n", f"1.5,{PAD}\n", f"x,{PAD}\n"),
        ("a,pad\n", f"true,{PAD}\n", f"yes,{PAD}\n"),
        ("a,pad\n", f"true,{PAD}\n", f"1,{PAD}\n"),
        ("a,pad\n", f"2026-01-31,{PAD}\n", f"2026-01-31 10:00:00,{PAD}\n"),
        ("a,pad\n", f"2026-01-31 10:00:00,{PAD}\n", f"2026-01-31T10:00:00Z,{PAD}\n"),
        ("a,pad\n", f"2026-01-31 10:00:00,{PAD}\n", f"2026-01-31 10:00:00+02:00,{PAD}\n"),
        ("a,pad\n", f"2026-01-31 10:00:00,{PAD}\n", f"2026-01-31,{PAD}\n"),
        ("a,pad\n", f"01/02/2026,{PAD}\n", f"01/22/2026,{PAD}\n"),
        ("a,pad\n", f"01.02.2026 10:00,{PAD}\n", f"soon,{PAD}\n"),
        ("a,pad\n", f",{PAD}\n", f"5,{PAD}\n"),
        ("a,pad\n", f",{PAD}\n", f"NA,{PAD}\n"),
        ("a;pad\n", f"1;{PAD}\n", f"1,5;{PAD}\n"),
        ("a;pad\n", f"1,5;{PAD}\n", f"1.5;{PAD}\n"),
        ("a;b;pad\n", f"1,5;1.100;{PAD}\n", f"1.234,5;2.100;{PAD}\n"),
        ("a;b;pad\n", f"1,5;1.100;{PAD}\n", f"1,5;2.5;{PAD}\n"),
        ("a;b;pad\n", f"1,5;1.100;{PAD}\n", f"NA;2.100;{PAD}\n"),
        ("a;b;pad\n", f"1,5;50.25;{PAD}\n", f"1,5;x;{PAD}\n"),
        ("a,pad\n", f"98765432109876543210,{PAD}\n", f"1.5,{PAD}\n"),
        ("a,pad\n", f"98765432109876543210,{PAD}\n", f"98765432109876543211,{PAD}\n"),
        ("a,pad\n", f"1,{PAD}\n", f"98765432109876543211,{PAD}\n"),
        ("a,pad\n", f"01/02/2026,{PAD}\n", f"22/01/2026,{PAD}\n"),
        ("a,pad\n", f"01.02.2026 10:00,{PAD}\n", f"NA,{PAD}\n"),
        ("a,pad\n", f"x,{PAD}\n", f'"x,\n""y""",{PAD}\n'),
        ("a,pad\n", f"1,{PAD}\n", f'"2",{PAD}\n'),
    ],
)
def test_what_comes_late_is_read_as_if_it_came_first(
    options: SourceOptions, tmp_path: Path, head: str, row: str, late: str
) -> None:
    source = tmp_path / "x.csv"
    source.write_bytes(large(head, row, late))
    with open_source(str(source), options) as opened:
        whole, told = frame(opened)
    quick, said = read_source(str(source), options, frame)
    assert quick.equals(whole)
    assert quick.schema == whole.schema
    assert said == told


def test_rows_that_are_as_the_first_ones_are_read_once(options: SourceOptions, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_bytes(large("a,b,c,d,pad\n", f"1,true,2026-01-31,2026-01-31 10:00:00,{PAD}\n", ""))
    read = []

    def use(opened: Source) -> pl.DataFrame:
        read.append(1)
        return frame(opened)[0]

    rows = read_source(str(source), options, use)
    assert read == [1]
    assert [str(rows[name].dtype) for name in "abcd"] == [
        "Int64",
        "Boolean",
        "Date",
        "Datetime(time_unit='us', time_zone=None)",
    ]


def test_a_late_broken_line_is_named(options: SourceOptions, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    content = large("a,b\n", f"1,{PAD}\n", "1,2,3\n")
    source.write_bytes(content)
    line = content[: content.index(b"1,2,3")].count(b"\n") + 1
    with pytest.raises(SourceUnreadable, match=rf"header has 2 fields, but line {line} has 3; mend that line"):
        read_source(str(source), options, frame)


def test_whoever_asks_for_a_sample_hears_that_it_misled(options: SourceOptions, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_bytes(large("a,pad\n", f"1,{PAD}\n", f"1.5,{PAD}\n"))
    with pytest.raises(SampleMisled), open_source(str(source), replace(options, sample=True)) as opened:
        frame(opened)
    assert list(options.tmp.iterdir()) == []


def test_a_column_that_one_file_leaves_blank_has_the_type_of_the_others(options: SourceOptions, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n,x\n,y\n")
    (tmp_path / "2.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "3.csv").write_text("a,b\n,x\n")
    rows, _ = read_source(str(tmp_path / "*.csv"), options, frame)
    assert rows["a"].to_list() == [None, None, 1, 2, None]


def test_ten_thousand_columns_fit_where_each_is_given_its_memory(options: SourceOptions, tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(10_000)]
    rows = [",".join(str(row + at / 2) if at % 2 else str(at) for at in range(10_000)) for row in range(30)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    with open_source(str(path), options) as opened:
        found = pa.Table.from_batches(list(opened.batches))
    assert found.num_rows == 30
    assert found.column_names == names
    assert [found["c8"][3].as_py(), found["c9"][3].as_py()] == [8, 7.5]
