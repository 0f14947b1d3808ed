"""What a commit says of its snapshot is what Delta's own reader finds, and is not needed to find it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from storage import datasets
from storage.conform import columns_of
from storage.dataset_log import COMMIT_KEY, newest_version
from storage.datasets import IngestInfo, dataset_path, get_snapshot, list_snapshots, snapshot_files
from storage.ingest import ingest
from storage.layout import Layout
from storage.rules import parse_rules, put_rules

INFO = IngestInfo(who="ann", source="/data/bikes.csv")
ROWS = pl.DataFrame({"a": [1, 2, 3], "day": [date(2026, 1, 1), None, None], "größe [m]": ["x", None, "y"]})


@pytest.fixture
def bikes(layout: Layout) -> Layout:
    """Replaced, appended to, evolved, replaced with rejected rows and other columns, appended to."""
    ingest(layout, "bikes", ROWS, append=False, info=INFO)
    ingest(layout, "bikes", ROWS, append=True, info=INFO)
    ingest(layout, "bikes", ROWS.with_columns(a=pl.col("a") / 2, b=True), append=True, info=INFO, evolve=True)
    put_rules(layout, "bikes", parse_rules("[columns.a]\nmin = 2\n"))
    ingest(layout, "bikes", ROWS.select("a"), append=False, info=INFO)
    ingest(layout, "bikes", ROWS.select("a"), append=True, info=INFO)
    return layout


def check_against_delta(layout: Layout) -> None:
    path = dataset_path(layout, "bikes")
    assert newest_version(path) == DeltaTable(path).version() + 1 == 5
    listed = list_snapshots(layout, "bikes")
    assert [one.version for one in listed] == [5, 4, 3, 2, 1]
    for version in range(1, 6):
        table = DeltaTable(path, version=version - 1)
        adds = pa.table(table.get_add_actions(flatten=True))
        found = get_snapshot(layout, "bikes", version)
        assert found.rows == sum(adds["num_records"].to_pylist())
        assert found.columns == columns_of(pa.schema(table.schema().to_arrow()))
        assert found == listed[5 - version]
        files = [Path(file) for file in snapshot_files(layout, "bikes", version)]
        assert {file.name for file in files} == {unquote(name) for name in adds["path"].to_pylist()}
        assert all(file.is_file() for file in files)


def test_every_version_is_told_as_delta_tells_it(bikes: Layout) -> None:
    check_against_delta(bikes)
    assert [(one.rows, one.rejected) for one in list_snapshots(bikes, "bikes")[:2]] == [(4, 1), (2, 1)]


def test_a_long_row_of_appends_is_read_from_deltas_checkpoint(bikes: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_COMMITS_READ", 1)
    check_against_delta(bikes)


def test_commits_that_say_nothing_of_rows_and_columns_are_read_all_the_same(bikes: Layout) -> None:
    for file in (dataset_path(bikes, "bikes") / "_delta_log").glob("*.json"):
        entries = [json.loads(line) for line in file.read_text().splitlines()]
        for info in (entry["commitInfo"] for entry in entries if "commitInfo" in entry):
            facts = json.loads(info[COMMIT_KEY])
            del facts["rows"], facts["columns"]
            info[COMMIT_KEY] = json.dumps(facts)
        file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    check_against_delta(bikes)
