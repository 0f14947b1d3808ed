"""Old snapshots go with their files; those that stay are whole, also when it is killed half way."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from storage.dataset_log import commit_path, read_forgotten
from storage.datasets import (
    IngestInfo,
    dataset_path,
    get_snapshot,
    list_snapshots,
    open_table,
    read_rejected,
    read_snapshot,
)
from storage.errors import SnapshotNotFound
from storage.forgetting import forget_snapshots, list_old_snapshots
from storage.ingest import ingest
from storage.layout import Layout
from storage.profile import profile
from storage.rules import parse_rules, put_rules

INFO = IngestInfo(who="t", source="made")


def later_ms() -> int:
    return int(time.time() * 1000) + 60_000


def put(layout: Layout, *values: int, append: bool = False) -> None:
    ingest(layout, "d", pl.DataFrame({"a": values}), append=append, info=INFO)


def files(layout: Layout) -> int:
    return len(list(dataset_path(layout, "d").glob("*.parquet")))


def old(layout: Layout, *, newest: int = 1, kept: set[int] | None = None) -> list[tuple[int, int]]:
    found = list_old_snapshots(layout, "d", before_ms=later_ms(), newest=newest, kept=kept or set())
    return [(one.version, one.bytes) for one in found]


def test_a_snapshot_that_was_replaced_goes_with_its_file(layout: Layout) -> None:
    for value in (1, 2, 3):
        put(layout, value)
    size = {path.name[:8]: path.stat().st_size for path in dataset_path(layout, "d").glob("*.parquet")}
    assert old(layout) == [(1, size["00000001"]), (2, size["00000002"])]
    assert old(layout, newest=2) == [(1, size["00000001"])]
    assert old(layout, newest=3) == []
    assert old(layout, kept={1}) == [(2, size["00000002"])]
    assert list_old_snapshots(layout, "d", before_ms=0, newest=1, kept=()) == []
    forget_snapshots(layout, "d", [1])
    assert [one.version for one in list_snapshots(layout, "d")] == [3, 2]
    assert [read_snapshot(layout, "d", version)["a"].to_list() for version in (2, 3)] == [[2], [3]]
    with pytest.raises(
        SnapshotNotFound, match=r"version 1 of the dataset 'd' was let go .* 'appliance data versions d'"
    ):
        get_snapshot(layout, "d", 1)
    assert old(layout) == [(2, size["00000002"])]
    assert files(layout) == 2


def test_rows_that_a_later_snapshot_has_too_stay(layout: Layout) -> None:
    put(layout, 1)
    put(layout, 2, append=True)
    put(layout, 3, append=True)
    assert old(layout) == [(1, 0), (2, 0)]
    forget_snapshots(layout, "d", [1, 2])
    assert read_snapshot(layout, "d")["a"].to_list() == [1, 2, 3]
    put(layout, 4, append=True)
    assert read_snapshot(layout, "d")["a"].to_list() == [1, 2, 3, 4]
    put(layout, 5)
    assert [version for version, freed in old(layout) if freed] == [4]
    forget_snapshots(layout, "d", [3, 4])
    assert (files(layout), read_snapshot(layout, "d")["a"].to_list()) == (1, [5])


def test_what_is_kept_of_it_goes_too(layout: Layout) -> None:
    put_rules(layout, "d", parse_rules("[columns.a]\nmin = 0\n"))
    put(layout, 1, 2, -1)
    profile(layout, "d")
    put(layout, 3)
    assert read_rejected(layout, "d", 1).height == 1
    forget_snapshots(layout, "d", [1])
    left = sorted(
        path.name for path in dataset_path(layout, "d").rglob("*") if path.parent.name.startswith(("_r", "_p"))
    )
    assert left == []


def test_what_was_killed_half_way_is_finished(layout: Layout) -> None:
    for value in (1, 2, 3):
        put(layout, value)
    saved = {path: path.read_bytes() for path in dataset_path(layout, "d").glob("0000000[12]*.parquet")}
    forget_snapshots(layout, "d", [1, 2])
    for path, content in saved.items():
        path.write_bytes(content)  # told, but not removed
    forget_snapshots(layout, "d", [])
    assert files(layout) == 1
    assert read_forgotten(dataset_path(layout, "d")) == {1, 2}


def test_a_damaged_log_is_said_and_nothing_goes(layout: Layout) -> None:
    put(layout, 1)
    put(layout, 2)
    commit_path(dataset_path(layout, "d"), 1).write_text("{}")
    with pytest.raises(SnapshotNotFound, match=r"0\.json is damaged: .*; restore it from a backup"):
        forget_snapshots(layout, "d", [1])
    assert files(layout) == 2


def test_snapshots_are_listed_as_each_is_told_alone(layout: Layout) -> None:
    put(layout, 1, 2)
    put(layout, 3, append=True)
    ingest(layout, "d", pl.DataFrame({"a": [1.5], "b": ["x"]}), append=True, info=INFO, evolve=True)
    ingest(layout, "d", pl.DataFrame({"c": [True]}), append=False, info=INFO)
    listed = list_snapshots(layout, "d")
    assert listed == [get_snapshot(layout, "d", version) for version in (4, 3, 2, 1)]
    assert [one.rows for one in listed] == [1, 4, 3, 2]


def test_any_delta_reader_still_reads_the_newest(layout: Layout, tmp_path: Path) -> None:
    put(layout, 1)
    put(layout, 2)
    forget_snapshots(layout, "d", [1])
    assert pl.read_delta(str(dataset_path(layout, "d")))["a"].to_list() == [2]
    assert open_table(layout, "d").version() == 1
