"""Several files that are one source: what differs between them, and what their folders say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from storage.errors import SourceUnreadable
from tests.storage.desk import Desk


def parquet(desk: Desk, *frames: pl.DataFrame) -> str:
    for number, frame in enumerate(frames, start=1):
        frame.write_parquet(desk.path / f"{number}.parquet")
    return str(desk.path / "*.parquet")


def folders(desk: Desk, *named: str, file: str, content: bytes) -> str:
    for name in named:
        (desk.path / "in" / name).mkdir(parents=True)
        (desk.path / "in" / name / file).write_bytes(content)
    return str(desk.path / "in")


DAY, NOON = date(2026, 1, 31), datetime(2026, 1, 31, 12)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("first", "second", "values", "note"),
    [
        (
            pl.Series([1, 2]),
            pl.Series([0.5]),
            [1.0, 2.0, 0.5],
            "The column 'a' was read as float64, since files differ: int64 in 1.parquet, double in 2.parquet.",
        ),
        (
            pl.Series([DAY]),
            pl.Series([NOON]),
            [datetime(2026, 1, 31, tzinfo=UTC), NOON.replace(tzinfo=UTC)],
            "The column 'a' was read as datetime, since files differ: date32[day] in 1.parquet, timestamp[us] in "
            "2.parquet.",
        ),
        (pl.Series([1], dtype=pl.Int8), pl.Series([2**40]), [1, 2**40], None),
        (pl.Series([1], dtype=pl.UInt64), pl.Series([-2]), [1, -2], None),
        (pl.Series([16_777_217 - 1]), pl.Series([0.5], dtype=pl.Float32), [16_777_216.0, 0.5], "The column 'a' was"),
        (pl.Series([None]), pl.Series([DAY]), [None, DAY], None),
        (pl.Series(["x"]), pl.Series(["y"], dtype=pl.Categorical), ["x", "y"], None),
    ],
)
def test_parquet_files_whose_types_differ_are_read_without_loss(
    desk: Desk, first: pl.Series, second: pl.Series, values: list[object], note: str | None
) -> None:
    source = parquet(desk, first.alias("a").to_frame(), second.alias("a").to_frame())
    assert desk.read(source)["a"].to_list() == values
    assert [told[: len(note or "")] for told in desk.notes] == ([] if note is None else [note])


def test_a_column_that_one_parquet_file_lacks_is_null_there(desk: Desk) -> None:
    source = parquet(desk, pl.DataFrame({"a": [1], "b": ["x"]}), pl.DataFrame({"c": [0.5], "a": [2]}))
    assert desk.read(source).rows() == [(1, "x", None), (2, None, 0.5)]
    assert desk.notes == (
        "The column 'b' is null in the rows of 2.parquet, which lack it.",
        "The column 'c' is null in the rows of 1.parquet, which lack it.",
    )


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            pl.DataFrame({"a": [1]}),
            pl.DataFrame({"a": ["x"]}),
            r"2\.parquet: its column 'a' is string, but int64 in .*1\.parquet; write it as one type in all files",
        ),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [True]}), r"2\.parquet: its column 'a' is bool, but int64 in"),
        (
            pl.DataFrame({"a": [[1]]}),
            pl.DataFrame({"a": ["x"]}),
            r"2\.parquet: its column 'a' is string, but .*list.* in .*1\.parquet",
        ),
        (
            pl.DataFrame({"a": [0.5]}),
            pl.DataFrame({"a": [2**53 + 1]}),
            r"2\.parquet: its column 'a' is a float in other files, which would round the whole number 90071992547",
        ),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"A": [1]}), r"2\.parquet: its column 'A' is 'a' in another file"),
    ],
)
def test_parquet_files_that_would_lose_something_are_refused(
    desk: Desk, first: pl.DataFrame, second: pl.DataFrame, message: str
) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        desk.read(parquet(desk, first, second))


def _written(kind: str, path: Path) -> bytes:
    frame, file = pl.DataFrame({"a": [1, 2]}), path / f"rows.{kind}"
    match kind:
        case "parquet":
            frame.write_parquet(file)
        case "arrow":
            frame.write_ipc(file)
        case "ndjson":
            frame.write_ndjson(file)
        case _:
            frame.write_csv(file)
    content = file.read_bytes()
    file.unlink()
    return content


@pytest.mark.parametrize("kind", ["parquet", "arrow", "ndjson", "csv"])
def test_folders_that_name_a_value_are_columns(desk: Desk, kind: str) -> None:
    named = ("year=2025/city=Bad%20Ems", "year=2026/city=__HIVE_DEFAULT_PARTITION__")
    source = folders(desk, *named, file=f"x.{kind}", content=_written(kind, desk.path))
    rows = [(1, "Bad Ems", 2025), (2, "Bad Ems", 2025), (1, None, 2026), (2, None, 2026)]
    found = desk.read(source)
    assert (found.columns, found.rows()) == (["a", "city", "year"], rows)
    assert desk.notes == (
        "Taken from the names of folders: city, year. Null where the files lie in no such folder: city.",
    )
    told = desk.sha256
    assert desk.read(source, "SELECT sum(a) AS s FROM source WHERE year = 2026").rows() == [(3,)]
    assert desk.read(f"{source}/year=2026/*/x.{kind}").rows() == [row for row in rows if row[2] == 2026]
    (desk.path / "in" / "year=2025").rename(desk.path / "in" / "year=2024")
    assert set(desk.read(source)["year"]) == {2024, 2026}
    assert desk.sha256 != told, "other rows, so another fingerprint"


def test_folders_of_days_are_dates_and_codes_stay_text(desk: Desk) -> None:
    source = folders(desk, "day=2026-01-31/plz=01067", file="x.csv", content=b"a,b\n1,2026-01-31 10:00\n")
    assert desk.read(source)["day"].to_list() == [date(2026, 1, 31)]
    assert desk.read(source)["plz"].to_list() == ["01067"]


def test_a_column_of_the_file_goes_before_that_of_its_folder(desk: Desk) -> None:
    for kind in ("parquet", "csv", "ndjson"):
        (desk.path / kind).mkdir()
        content = _written(kind, desk.path)
        (desk.path / kind / "A=7").mkdir()
        (desk.path / kind / "A=7" / f"x.{kind}").write_bytes(content)
        assert desk.read(str(desk.path / kind)).rows() == [(1,), (2,)]
        assert desk.notes == ()


def test_parquet_files_in_folders_may_differ_as_well(desk: Desk) -> None:
    for year, frame in ((2025, pl.DataFrame({"a": [1]})), (2026, pl.DataFrame({"a": [0.5], "b": ["x"]}))):
        (desk.path / f"year={year}").mkdir()
        frame.write_parquet(desk.path / f"year={year}" / "x.parquet")
    assert desk.read(str(desk.path)).rows() == [(1.0, None, 2025), (0.5, "x", 2026)]
