"""The history is read in little memory, and what is committed to it is flushed where it was written."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.history import BATCH_ROWS, MOST_SMALL_FILES, Part, add_segment, stream_history, table_path, tidy
from storage.layout import Layout

AT = datetime(2026, 3, 2, tzinfo=UTC)
AT_US = int(AT.timestamp()) * 1_000_000
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("inputs", pa.list_(pa.float64())),
        ("event_time", pa.timestamp("us", tz="UTC")),
    ]
)
EVER = ("2000-01-01", "9999-12-31")


def rows(ids: range, *, width: int, step_us: int = 1) -> pa.RecordBatch:
    """Rows a step apart, with inputs that do not compress."""
    numbers = np.random.default_rng(ids.start).normal(size=len(ids) * width)
    columns = [
        pa.array([f"{at:012d}" for at in ids]),
        pa.FixedSizeListArray.from_arrays(pa.array(numbers), width).cast(pa.list_(pa.float64())),
        pa.array([AT + timedelta(microseconds=at * step_us) for at in ids], SCHEMA.field("event_time").type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def add(layout: Layout, segment: str, *parts: Part) -> None:
    add_segment(layout, "predictions", segment, parts, SCHEMA, step=lambda _: None)


def test_a_span_is_read_from_the_groups_that_have_some_of_it(layout: Layout) -> None:
    """Three days of arrival, in which replayed hours lie in any order; a group a part."""
    hour = 3_600_000_000
    for number, first in enumerate((40, 0, 20)):
        day = f"2026-04-0{number + 1}"
        parts = [Part(model="m", day=day, rows=rows(range(at, at + 10), width=1, step_us=hour)) for at in (first, first + 10)]  # fmt: skip  # noqa: E501
        add(layout, f"s{number}", *parts)
    add(layout, "other", Part(model="n", day="2026-04-01", rows=rows(range(25, 30), width=1, step_us=hour)))

    def read(first: int, last: int, days: tuple[str, str] = EVER) -> list[int]:
        found = stream_history(
            layout, "predictions", model="m", days=days, time="event_time",
            span=(AT_US + first * hour, AT_US + last * hour),
        )  # fmt: skip
        return [int(one) for frame in found for one in frame["id"]]

    assert read(5, 45) == [*range(40, 45), *range(5, 40)]
    assert read(10, 11) == [10]
    assert read(5, 45, ("2026-04-02", "2026-04-02")) == list(range(5, 20))
    assert read(60, 99) == read(-9, 0) == []
    assert read(0, 99, ("2027-01-01", "9999-12-31")) == []


def test_a_merged_file_is_read_a_piece_at_a_time(layout: Layout) -> None:
    """As many rows in one group as a merged file has: 96 MB of numbers."""
    add(layout, "s", Part(model="m", day="2026-03-02", rows=rows(range(300_000), width=40)))
    (file,) = Path(table_path(layout, "predictions")).rglob("*.parquet")
    assert pq.ParquetFile(file).num_row_groups == 1
    add(layout, "small", Part(model="n", day="2026-03-02", rows=rows(range(2_000), width=40)))
    code = f"""
import sys
from pathlib import Path
from storage.history import stream_history
from storage.layout import Layout
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
def read(model):
    frames = stream_history(Layout(root=Path(sys.argv[1])), "predictions", model=model, days={EVER}, time="event_time",
                            span=({AT_US}, {AT_US + 300_000}))
    heights = [frame.height for frame in frames]
    return sum(heights), max(heights), peak()
before = read("n")[2]
count, most, after = read("m")
print(count, most, after - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(layout.root)], capture_output=True, text=True, check=True)
    count, most, grown_mb = map(int, done.stdout.split())
    assert (count, most) == (300_000, BATCH_ROWS)
    assert grown_mb < 60, "21; its columns read whole took 104"


def test_a_commit_flushes_the_folders_it_wrote_to_and_no_others(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    path, flush = table_path(layout, "predictions"), os.fsync

    def note(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink().relative_to(path)))
        flush(fd)

    def flushed(name: str, *parts: Part) -> list[str]:
        synced.clear()
        add(layout, name, *parts)
        return sorted(one for one in synced if not one.endswith(".parquet"))

    for at in range(3):
        add(layout, f"s{at}", Part(model="m", day=f"2026-04-0{at + 1}", rows=rows(range(5), width=1)))
    monkeypatch.setattr("storage.history.os.fsync", note)
    two = [Part(model=model, day="2026-04-05", rows=rows(range(5), width=1)) for model in ("m", "n")]
    log = ["_delta_log", f"_delta_log/{4:020d}.json"]
    wrote = ["model=m", "model=m/day=2026-04-05", "model=n", "model=n/day=2026-04-05"]
    assert flushed("both", *two) == sorted([".", *log, *wrote])
    # As after a kill between the commit and the flush: whatever it may have written is flushed.
    assert flushed("both", *two) == sorted([".", *log, *wrote, *(f"model=m/day=2026-04-0{day}" for day in (1, 2, 3))])


def test_merged_files_are_flushed_before_those_they_came_from_may_go(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, flush = set[Path](), os.fsync

    def note(fd: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{fd}").readlink())
        flush(fd)

    for at in range(MOST_SMALL_FILES + 1):
        add(layout, f"s{at}", Part(model="m", day="2026-04-01", rows=rows(range(at * 5, at * 5 + 5), width=1)))
    day = table_path(layout, "predictions") / "model=m" / "day=2026-04-01"
    before = set(day.glob("*.parquet"))
    monkeypatch.setattr("storage.delta_log.os.fsync", note)
    assert tidy(layout, "predictions", today=date(2026, 4, 3), keep_days=0, is_wanted=lambda: False)
    (merged,) = set(day.glob("*.parquet")) - before
    newest = max((table_path(layout, "predictions") / "_delta_log").glob("*.json"))
    assert {merged, day, newest} <= flushed
