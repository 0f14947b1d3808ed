from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.columns import ColumnInfo, Dtype
from storage.datasets import (
    IngestInfo,
    Mode,
    arrow_reader,
    dataset_path,
    get_snapshot,
    list_datasets,
    list_snapshots,
    read_snapshot,
    scan_snapshot,
    snapshot_files,
)
from storage.errors import DatasetNotFound, SchemaChanged, SnapshotNotFound, SourceUnreadable, StateUnwritable
from storage.ingest import ingest
from storage.layout import Layout
from tests.storage.conftest import SmallDisk

INFO = IngestInfo(who="ann", source="/data/bikes.csv", sha256="ab", query="SELECT 1", notes=("A note.",))
ROWS = pl.DataFrame({"a": [1, 2, 3], "b": [1.5, None, 2.5], "t": ["x", None, "z"]})


def add(layout: Layout, rows: pl.DataFrame, *, append: bool = False, name: str = "bikes") -> int:
    return ingest(layout, name, rows, append=append, info=INFO).version


def everything_below(path: Path) -> set[Path]:
    return set(path.rglob("*"))


def test_a_snapshot_knows_where_it_came_from(layout: Layout) -> None:
    before = datetime.now(UTC)
    snapshot = ingest(layout, "bikes", ROWS, append=False, info=INFO)
    assert (snapshot.dataset, snapshot.version, snapshot.rows, snapshot.mode) == ("bikes", 1, 3, Mode.REPLACE)
    assert (snapshot.who, snapshot.source, snapshot.sha256, snapshot.query) == (
        "ann", "/data/bikes.csv", "ab", "SELECT 1",
    )  # fmt: skip
    assert snapshot.warnings == ("A note.",)
    assert before - timedelta(milliseconds=1) <= snapshot.added_at <= datetime.now(UTC)
    assert snapshot.columns == (
        ColumnInfo(name="a", dtype=Dtype.INT), ColumnInfo(name="b", dtype=Dtype.FLOAT),
        ColumnInfo(name="t", dtype=Dtype.STRING),
    )  # fmt: skip
    assert read_snapshot(layout, "bikes").equals(ROWS)


def test_replacing_and_appending_keep_the_old_snapshots_readable(layout: Layout) -> None:
    other = pl.DataFrame({"q": [True]})
    assert add(layout, ROWS) == 1
    assert add(layout, ROWS.reverse(), append=True) == 2
    assert add(layout, other) == 3
    assert read_snapshot(layout, "bikes", 1).equals(ROWS)
    assert read_snapshot(layout, "bikes", 2).equals(pl.concat([ROWS, ROWS.reverse()]))
    assert read_snapshot(layout, "bikes", 3).equals(other)
    told = [(each.version, each.rows, each.mode) for each in list_snapshots(layout, "bikes")]
    assert told == [(3, 1, Mode.REPLACE), (2, 6, Mode.APPEND), (1, 3, Mode.REPLACE)]
    assert get_snapshot(layout, "bikes") == get_snapshot(layout, "bikes", 3)
    assert list_datasets(layout) == ["bikes"]


def test_a_first_append_makes_the_dataset(layout: Layout) -> None:
    assert ingest(layout, "bikes", ROWS, append=True, info=INFO).mode is Mode.REPLACE


def test_every_reader_gives_the_same_rows(layout: Layout) -> None:
    add(layout, ROWS)
    assert scan_snapshot(layout, "bikes").collect().equals(ROWS)
    assert read_snapshot(layout, "bikes", columns=["t", "a"]).equals(ROWS.select("t", "a"))
    assert pl.DataFrame(arrow_reader(layout, "bikes", columns=["b"]).read_all()).equals(ROWS.select("b"))
    assert [Path(file).is_absolute() for file in snapshot_files(layout, "bikes")] == [True]


@pytest.mark.parametrize(
    "name", ["Air temperature [K]", 'say "x"', "a,b;{c}=(d)\n\t", "größe ü", "f.g", "-", "__index__", "'; DROP TABLE x"]
)
def test_names_that_lightgbm_or_parquet_tools_refuse_survive_as_they_are(layout: Layout, name: str) -> None:
    rows = pl.DataFrame({name: [1.0, 2.0], "y": [1, 2]})
    add(layout, rows)
    add(layout, rows, append=True)
    assert read_snapshot(layout, "bikes").columns == [name, "y"]
    assert read_snapshot(layout, "bikes", columns=[name]).height == 4


def test_every_type_becomes_one_of_six(layout: Layout) -> None:
    table = pa.table(
        {
            "tiny": pa.array([1, None], pa.uint8()),
            "float": pa.array([1.5, float("nan")], pa.float32()),
            "decimal": pa.array([1, None], pa.decimal128(38, 0)),
            "null": pa.nulls(2),
            "category": pa.array(["x", None]).dictionary_encode(),
            "list": pa.array([[1, 2], None]),
            "struct": pa.array([{"k": "ü"}, None]),
            "bytes": pa.array([b"\x00\xff", None]),
            "time": pa.array([3_600_000_000, None], pa.time64("us")),
            "naive": pa.array([datetime(2026, 1, 1), None], pa.timestamp("ns")),  # noqa: DTZ001  (naive on purpose)
            "zoned": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("s", tz="Europe/Rome")),
            "date": pa.array([date(2026, 1, 1), None], pa.date64()),
            "flag": [True, None],
        }
    )
    snapshot = ingest(layout, "types", table, append=False, info=INFO)
    assert [column.dtype.value for column in snapshot.columns] == [
        "int64", "float64", "float64", "string", "string", "string", "string", "string", "string",
        "datetime", "datetime", "date", "bool",
    ]  # fmt: skip
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = read_snapshot(layout, "types").rows()
    assert first == (
        1, 1.5, 1.0, None, "x", "[1, 2]", '{"k": "ü"}', "AP8=", "01:00:00", midnight, midnight, date(2026, 1, 1), True,
    )  # fmt: skip
    assert second == (None,) * 13


def test_large_numbers_are_kept_or_refused_but_never_changed(layout: Layout) -> None:
    add(layout, pl.DataFrame({"a": [2**62 + 1]}))
    assert read_snapshot(layout, "bikes")["a"].to_list() == [2**62 + 1]
    told = r"column 'a' is read as whole number, but has a value that is none.*\"a\"::VARCHAR"
    with pytest.raises(SourceUnreadable, match=told):
        add(layout, pl.DataFrame({"a": pl.Series([2**63 + 1], dtype=pl.UInt64)}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.drop("b"), r"lacks the column 'b'"),
        (ROWS.with_columns(z=1), r"has the column 'z', which the dataset has not"),
        (ROWS.rename({"a": "A"}), r"lacks the column 'a'; has the column 'A'"),
        (pl.DataFrame({"q": [1]}), r"lacks the columns 'a', 'b', 't'; has the column 'q', which the dataset has not"),
        (ROWS.with_columns(t=pl.lit(1)), r"has 't' as whole number, the dataset has it as text"),
        (ROWS.with_columns(a=pl.lit(value=True)), r"has 'a' as yes or no, the dataset has it as whole number"),
    ],
)
def test_an_append_of_other_columns_is_refused_and_changes_nothing(
    layout: Layout, rows: pl.DataFrame, message: str
) -> None:
    add(layout, ROWS)
    before = everything_below(layout.datasets)
    wanted = f"cannot append to the dataset 'bikes': the new data {message}.*Nothing was changed"
    with pytest.raises(SchemaChanged, match=wanted):
        add(layout, rows, append=True)
    assert everything_below(layout.datasets) == before
    assert get_snapshot(layout, "bikes").version == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.with_columns(a=pl.lit(1.5)), r"'a' is read as whole number, but has a value that is none: .*truncated"),
        (ROWS.with_columns(b=pl.lit("wet")), r"column 'b' is read as number, but has the text 'wet'"),
    ],
)
def test_an_append_whose_values_do_not_fit_changes_nothing(layout: Layout, rows: pl.DataFrame, message: str) -> None:
    add(layout, ROWS)
    before = everything_below(layout.datasets)
    with pytest.raises(SourceUnreadable, match=message):
        add(layout, rows, append=True)
    assert everything_below(layout.datasets) == before


def test_an_append_matches_by_name_and_widens_without_loss(layout: Layout) -> None:
    add(layout, ROWS)
    more = pl.DataFrame({"t": ["q"], "b": [7], "a": [4.0]})
    empty = pl.DataFrame({"t": [None], "b": pl.Series([None], dtype=pl.String), "a": [5]})
    add(layout, more, append=True)
    add(layout, empty, append=True)
    assert read_snapshot(layout, "bikes").rows()[3:] == [(4, 7.0, "q"), (5, None, None)]


@pytest.mark.parametrize("name", ["Bikes", "", "../bikes", "a/b", "-a", "a b", "a" * 64, ".hidden", "ü"])
def test_a_bad_name_is_refused_before_anything_is_written(layout: Layout, name: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"cannot name a dataset: use 1 to 63 of a-z"):
        add(layout, ROWS, name=name)
    assert everything_below(layout.datasets) == set()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"a": pa.array([], pa.int64())}), r"has columns, but no rows"),
        (pa.table({}), r"the source has no columns"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), r"the column name 'a' stands twice"),
        (pa.table({"a": [1], "A": [2]}), r"'a' and 'A' differ by case"),
    ],
)
def test_a_table_that_is_none_is_refused(layout: Layout, table: pa.Table, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        ingest(layout, "bikes", table, append=False, info=INFO)
    assert list_datasets(layout) == []


def test_a_stream_that_breaks_half_way_changes_nothing(layout: Layout) -> None:
    add(layout, ROWS)
    before = everything_below(layout.datasets)

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise SourceUnreadable("the stick was pulled out")

    stream = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())
    with pytest.raises(SourceUnreadable, match=r"^the stick was pulled out$"):
        ingest(layout, "bikes", stream, append=False, info=INFO)
    assert everything_below(layout.datasets) == before


def test_unknown_datasets_and_versions_are_said_with_what_there_is(layout: Layout) -> None:
    add(layout, ROWS)
    with pytest.raises(DatasetNotFound, match=r"there is no dataset 'trains'; datasets: bikes"):
        get_snapshot(layout, "trains")
    for version in (0, -1, 2):
        with pytest.raises(SnapshotNotFound, match=rf"'bikes' has no version {version}; it has 1 to 1"):
            read_snapshot(layout, "bikes", version)


def test_many_batches_and_files_keep_their_order_in_bounded_memory(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ingest.TARGET_FILE_BYTES", 1 << 20)
    schema = pa.schema({"i": pa.int64(), "r": pa.float64()})
    noise = np.random.default_rng(1)

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(40):
            yield pa.record_batch({"i": np.arange(i * 10_000, (i + 1) * 10_000), "r": noise.random(10_000)})

    for append in (False, True):
        ingest(layout, "big", pa.RecordBatchReader.from_batches(schema, batches()), append=append, info=INFO)
    assert len(snapshot_files(layout, "big")) > 6
    wanted = pl.Series("i", [*range(400_000), *range(400_000)])
    assert read_snapshot(layout, "big")["i"].equals(wanted)
    assert pl.Series(arrow_reader(layout, "big", columns=["i"]).read_all()["i"]).equals(wanted)


SLOW_INGEST = """
import sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout

def batches():
    for i in range(30):
        yield pa.record_batch({"a": np.random.rand(50_000)})
    print("half way", flush=True)
    time.sleep(60)

stream = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.float64()}), batches())
ingest(Layout(root=Path(sys.argv[1])), "bikes", stream, append=False, info=IngestInfo(who="x", source="x"))
"""


@pytest.mark.parametrize("first", [True, False])
def test_an_ingest_that_is_killed_half_way_changes_nothing(layout: Layout, *, first: bool) -> None:
    if not first:
        add(layout, ROWS)
    path = dataset_path(layout, "bikes")
    child = subprocess.Popen([sys.executable, "-c", SLOW_INGEST, str(layout.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "half way\n"
        child.send_signal(signal.SIGKILL)
    named = len(list(path.glob("*.parquet"))) - 1
    assert named == (0 if first else 1)  # the half-written file is there, and no commit names it
    if first:
        assert list_datasets(layout) == []
        with pytest.raises(DatasetNotFound):
            read_snapshot(layout, "bikes")
    else:
        assert read_snapshot(layout, "bikes").equals(ROWS)
        assert len(list_snapshots(layout, "bikes")) == 1
    assert add(layout, ROWS.head(1)) == (1 if first else 2)
    assert read_snapshot(layout, "bikes").equals(ROWS.head(1))
    assert len(list(path.glob("*.parquet"))) == (1 if first else 2)


def test_ingests_into_one_dataset_wait_for_each_other(layout: Layout) -> None:
    add(layout, ROWS)
    threads = [threading.Thread(target=add, args=(layout, ROWS), kwargs={"append": True}) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.rows for each in list_snapshots(layout, "bikes")] == [18, 15, 12, 9, 6, 3]


def test_a_full_disk_changes_nothing_and_is_said(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    add(layout, ROWS)
    before = everything_below(layout.datasets)
    noise = pl.DataFrame({"a": np.random.default_rng(1).random(500_000)})
    with pytest.raises(StateUnwritable, match=r"cannot write the dataset 'bikes' .*No space left.*nothing was changed"):
        add(layout, noise)
    assert everything_below(layout.datasets) == before
    assert read_snapshot(layout, "bikes").equals(ROWS)
    assert add(layout, ROWS.head(2)) == 2


def test_a_disk_too_full_for_the_commit_changes_nothing(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    add(layout, ROWS)
    ballast = small_disk.fill()
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - 4096)  # one page: room for the rows, none for the commit
    with pytest.raises(StateUnwritable, match=r"cannot write the dataset 'bikes'"):
        add(layout, ROWS.head(2))
    assert read_snapshot(layout, "bikes").equals(ROWS)
    ballast.unlink()
    assert add(layout, ROWS.head(2)) == 2


def test_a_read_only_disk_is_said_and_stays_readable(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    add(layout, ROWS)
    small_disk.make_read_only()
    with pytest.raises(StateUnwritable, match=r"Read-only file system"):
        add(layout, ROWS)
    assert read_snapshot(layout, "bikes").equals(ROWS)


def test_a_dataset_directory_that_is_a_file_is_said(layout: Layout) -> None:
    dataset_path(layout, "bikes").write_text("in the way")
    with pytest.raises(StateUnwritable, match=r"cannot write the dataset 'bikes' .*File exists"):
        add(layout, ROWS)


def test_versions_outlive_deltas_own_retention(layout: Layout) -> None:
    for _ in range(101):  # a checkpoint is written every hundred commits, and old logs are dropped with it by default
        add(layout, ROWS.head(1))
    assert read_snapshot(layout, "bikes", 1).height == 1
    assert len(list_snapshots(layout, "bikes")) == 101


@settings(deadline=None)  # a slow disk is no fault
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
            st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_value_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    layout = Layout(root=tmp_path_factory.mktemp("state"))
    layout.create()
    dtypes = {"i": pl.Int64(), "f": pl.Float64(), "s": pl.String(), "t": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame(rows, schema=dtypes, orient="row")
    add(layout, frame)
    assert read_snapshot(layout, "bikes").equals(frame)
