"""Appends that change a dataset's columns when that is asked for, and ingests that happen once."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, date, datetime

import polars as pl
import pytest
from deltalake import DeltaTable

from storage.columns import ColumnInfo, Dtype
from storage.datasets import (
    IngestInfo,
    Mode,
    Snapshot,
    dataset_path,
    get_snapshot,
    is_ingested,
    list_snapshots,
    read_snapshot,
)
from storage.errors import AlreadyIngested, SchemaChanged, SourceUnreadable
from storage.ingest import ingest
from storage.layout import Layout

INFO = IngestInfo(who="ann", source="/data/bikes.csv")
ROWS = pl.DataFrame({"a": [1, 2], "day": [date(2026, 1, 1), None], "t": ["x", None]})


def append(layout: Layout, rows: pl.DataFrame, *, evolve: bool = True) -> Snapshot:
    return ingest(layout, "bikes", rows, append=True, info=INFO, evolve=evolve)


@pytest.fixture
def bikes(layout: Layout) -> Layout:
    ingest(layout, "bikes", ROWS, append=False, info=INFO)
    return layout


def test_new_columns_are_null_in_the_rows_that_were_there(bikes: Layout) -> None:
    found = append(bikes, ROWS.with_columns(z=pl.Series([7.5, 8.5]), y=pl.lit("new")))
    assert (found.version, found.rows, found.mode) == (2, 4, Mode.APPEND)
    assert [column.name for column in found.columns] == ["a", "day", "t", "z", "y"]
    assert read_snapshot(bikes, "bikes").rows()[:3] == [
        (1, date(2026, 1, 1), "x", None, None), (2, None, None, None, None), (1, date(2026, 1, 1), "x", 7.5, "new"),
    ]  # fmt: skip
    assert found.warnings == ("Added the columns 'z', 'y': null in the 2 rows that were there.",)
    assert read_snapshot(bikes, "bikes", 1).equals(ROWS)


def test_whole_numbers_become_floats_and_dates_become_times(bikes: Layout) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    more = pl.DataFrame({"a": [0.5], "day": [noon], "t": ["y"]})
    found = append(bikes, more)
    assert found.columns[:2] == (
        ColumnInfo(name="a", dtype=Dtype.FLOAT), ColumnInfo(name="day", dtype=Dtype.DATETIME),
    )  # fmt: skip
    assert read_snapshot(bikes, "bikes").rows() == [
        (1.0, datetime(2026, 1, 1, tzinfo=UTC), "x"), (2.0, None, None), (0.5, noon, "y"),
    ]  # fmt: skip
    assert found.warnings == (
        "The column 'a' is read as number now; it was whole number.",
        "The column 'day' is read as date and time now; it was date.",
    )  # fmt: skip
    assert append(bikes, more).version == 3
    foreign = pl.read_delta(str(dataset_path(bikes, "bikes")))  # any Delta reader can open it
    assert sorted(foreign["a"].to_list()) == [0.5, 0.5, 1.0, 2.0]


def test_an_evolution_that_changes_nothing_keeps_the_files(bikes: Layout) -> None:
    before = set(dataset_path(bikes, "bikes").glob("*.parquet"))
    assert append(bikes, ROWS).warnings == ()
    assert before < set(dataset_path(bikes, "bikes").glob("*.parquet"))
    assert set(DeltaTable(dataset_path(bikes, "bikes")).file_uris()) >= {str(path) for path in before}


def test_a_number_that_a_float_cannot_hold_stops_the_evolution(layout: Layout) -> None:
    ingest(layout, "bikes", pl.DataFrame({"a": [2**60 + 1]}), append=False, info=INFO)
    with pytest.raises(SourceUnreadable, match=r"column 'a' is read as number, but has a value that is none"):
        append(layout, pl.DataFrame({"a": [0.5]}))
    assert len(list_snapshots(layout, "bikes")) == 1
    assert len(list(dataset_path(layout, "bikes").glob("*.parquet"))) == 1


@pytest.mark.parametrize(
    ("rows", "evolve", "message"),
    [
        (ROWS.with_columns(z=1), False, r"has the column 'z', .*Nothing was changed; append with --evolve to change"),
        (ROWS.drop("t"), False, r"lacks the column 't'\. Nothing was changed; bring the same columns"),
        (ROWS.drop("t").with_columns(z=1), True, r"lacks the column 't'\. Nothing was changed: an evolution"),
        (ROWS.with_columns(a=pl.lit(value=True)), True, r"has 'a' as yes or no, the dataset has it as whole number"),
        (ROWS.with_columns(t=pl.lit(1)), True, r"has 't' as whole number, the dataset has it as text"),
    ],
)  # fmt: skip
def test_what_is_no_evolution_is_refused(bikes: Layout, rows: pl.DataFrame, *, evolve: bool, message: str) -> None:
    with pytest.raises(SchemaChanged, match=message):
        append(bikes, rows, evolve=evolve)
    assert len(list_snapshots(bikes, "bikes")) == 1


def test_a_fraction_for_a_whole_number_says_how_to_take_it(bikes: Layout) -> None:
    with pytest.raises(SourceUnreadable, match=r"cast it with a query, or append it with --evolve to widen the column"):
        append(bikes, ROWS.with_columns(a=pl.lit(0.5)), evolve=False)


KILLED = """
import sys, time
from pathlib import Path
import pyarrow as pa
from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout

def batches():
    for i in range(3):
        yield pa.record_batch({"a": [0.5], "day": [None], "t": ["x"], "z": [1]}, schema=schema)
    print("half way", flush=True)
    time.sleep(60)

schema = pa.schema({"a": pa.float64(), "day": pa.date32(), "t": pa.string(), "z": pa.int64()})
stream = pa.RecordBatchReader.from_batches(schema, batches())
info = IngestInfo(who="x", source="x", once="drop/1.csv")
ingest(Layout(root=Path(sys.argv[1])), "bikes", stream, append=True, evolve=True, info=info)
"""


def test_an_evolution_that_is_killed_half_way_changes_nothing(bikes: Layout) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(bikes.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "half way\n"
        child.send_signal(signal.SIGKILL)
    assert read_snapshot(bikes, "bikes").equals(ROWS)
    assert not is_ingested(bikes, "bikes", "drop/1.csv")
    assert append(bikes, ROWS.with_columns(z=1)).version == 2
    assert len(list(dataset_path(bikes, "bikes").glob("*.parquet"))) == 2


def test_what_may_happen_once_is_recorded_by_the_commit_that_adds_it(layout: Layout) -> None:
    once = IngestInfo(who="x", source="drop/1.csv", once="drop/1.csv")
    assert not is_ingested(layout, "bikes", "drop/1.csv")
    for dataset in ("bikes", "trains"):
        ingest(layout, dataset, ROWS, append=True, info=once)
        assert is_ingested(layout, dataset, "drop/1.csv")
    ingest(layout, "bikes", ROWS, append=False, info=INFO)  # a replacement does not forget it
    with pytest.raises(AlreadyIngested, match=r"drop/1\.csv is in the dataset 'bikes' already; nothing was changed"):
        ingest(layout, "bikes", ROWS, append=True, info=once)
    assert get_snapshot(layout, "bikes").version == 2
    assert not is_ingested(layout, "bikes", "drop/2.csv")


def test_a_snapshot_knows_how_it_was_read(layout: Layout) -> None:
    info = IngestInfo(who="x", source="b.xlsx", query="SELECT 1", prepare="SELECT 2", sheet="S", target="a")
    found = ingest(layout, "bikes", ROWS, append=False, info=info)
    assert (found.query, found.prepare, found.sheet, found.target) == ("SELECT 1", "SELECT 2", "S", "a")
