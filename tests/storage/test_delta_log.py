"""What a power cut leaves of a table's log: names without bytes, which keep nothing from being read."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from appliance.house import prepare_state
from appliance.settings import Settings
from storage.datasets import IngestInfo, dataset_path, list_datasets, list_snapshots, read_snapshot
from storage.delta_log import mend_logs
from storage.ingest import KEEP_EVERY_VERSION, ingest
from storage.layout import Layout

INFO = IngestInfo(who="ann", source="/data/bikes.csv")
ROWS = pl.DataFrame({"a": [1, 2, 3]})


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with every second commit, where Delta writes one with every hundredth."""
    monkeypatch.setitem(KEEP_EVERY_VERSION, "delta.checkpointInterval", "2")


def add(layout: Layout, *, append: bool = True, name: str = "bikes") -> int:
    return ingest(layout, name, ROWS, append=append, info=INFO).version


def log_of(layout: Layout, name: str = "bikes") -> Path:
    return dataset_path(layout, name) / "_delta_log"


def test_a_commit_without_bytes_is_taken_away_when_the_state_is_prepared(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    layout = settings.layout
    add(layout, append=False)
    add(layout, append=False, name="other")
    (log_of(layout) / f"{1:020d}.json").touch()
    prepare_state(settings)
    assert [one.version for one in list_snapshots(layout, "bikes")] == [1]
    assert read_snapshot(layout, "bikes").height == 3
    assert add(layout) == 2


def test_the_first_commit_of_all_without_bytes_is_no_dataset(layout: Layout) -> None:
    add(layout, append=False)
    os.truncate(log_of(layout) / f"{0:020d}.json", 0)
    mend_logs(layout)
    assert list_datasets(layout) == []
    assert add(layout, append=False) == 1


def test_a_checkpoint_without_bytes_is_taken_away(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    add(layout, append=False)
    for _ in range(3):
        add(layout)
    *_, checkpoint = sorted(log_of(layout).glob("*.checkpoint.parquet"))
    os.truncate(checkpoint, 0)
    mend_logs(layout)
    assert f"{checkpoint} was taken away" in caplog.text
    assert read_snapshot(layout, "bikes").height == 12
    assert add(layout) == 5


def test_what_is_whole_stays(layout: Layout) -> None:
    add(layout, append=False)
    for _ in range(3):
        add(layout)
    before = {path.name: path.read_bytes() for path in log_of(layout).iterdir()}
    mend_logs(layout)
    assert {path.name: path.read_bytes() for path in log_of(layout).iterdir()} == before


def test_the_checkpoint_of_a_commit_is_flushed_with_it(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the ingest is acknowledged: the kernel would write it half a minute later."""
    flushed, really = set[str](), os.fsync

    def fsync(fd: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{fd}").readlink().name)
        really(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    add(layout, append=False)
    for _ in range(3):
        flushed.clear()
        add(layout)
        if checkpoints := {path.name for path in log_of(layout).glob("*.checkpoint.parquet")}:
            break
    assert checkpoints
    assert checkpoints | {"_last_checkpoint", "_delta_log"} <= flushed
