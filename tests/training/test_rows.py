"""Rows that stay in files: the same values, the same features and the same model as rows in memory."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.schema import Column, Feature, FeatureSchema, Kind, Part, Task
from appliance.training import fit, open_table, rows
from appliance.training.fit import Scorer
from appliance.training.golden import REAL_ROWS, golden_rows
from appliance.training.leaks import leak_suspects
from appliance.training.rows import ColumnStore, EncodedRows, FeatureRows
from appliance.training.table import Table
from appliance.training.target import read_target
from appliance.training.train import train
from tests.training.rows import BIKE, Remembered, adults, bikes, made_up, spec
from tests.training.state import add, new_appliance, train_now


def stored(scratch: Path | None) -> EncodedRows:
    store = ColumnStore(1000, scratch=scratch)
    for at in range(3):
        store.append(np.arange(1000, dtype=np.float64) * (at + 1))
    return EncodedRows(store)


def test_a_file_gives_back_what_memory_does(tmp_path: Path) -> None:
    held, filed = stored(None), stored(tmp_path)
    assert list(tmp_path.iterdir()) == []  # the file has no name, so it goes with the process
    places = np.array([5, 999, 0, 17])
    for one in (held, filed):
        assert one.column(2)[999] == 2997.0
        assert one.pick(places).column(1).tolist() == [10.0, 1998.0, 0.0, 34.0]
        assert one.pick(places).pick(np.array([1, 3])).part(0, 1, 2).tolist() == [17.0]


def test_a_disk_that_is_full_is_told_by_the_next_call(tmp_path: Path) -> None:
    for then in ("append", "read"):
        store = ColumnStore(1000, scratch=tmp_path)
        with at_most(10_000):
            store.append(np.zeros(1000))
            store.append(np.zeros(1000))
            with pytest.raises(OSError, match="too large"):
                store.append(np.zeros(1000)) if then == "append" else store.read(0, 0, 1)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    store = ColumnStore(1000, scratch=tmp_path)
    store.append(np.zeros(500))
    with pytest.raises(OSError, match="ends before its rows"):
        store.read(0, 0, 1000)


def test_blocks_together_are_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_CELLS", 300)
    made = FeatureRows(
        stored(tmp_path), (Feature(column=0), Feature(column=2, part=Part.HOUR)), {0: np.full(1000, 7.0)}
    )
    whole = np.concatenate(list(made.blocks()))
    assert made.block_rows == 150
    assert np.array_equal(whole, made.block(0, 1000))
    assert whole[:, 0].tolist() == [7.0] * 1000
    assert whole[999, 1] == 2997 % 86_400 // 3600


CASES = {
    "numbers and dates in time's order": (BIKE, bikes),
    "texts, missing values and calibration": (spec("income", protected=("sex",)), adults),
    "target means": (spec("y", encode={"color": "target"}), made_up),
    "out of time's order": (BIKE, lambda: bikes().sample(fraction=1.0, shuffle=True, seed=3)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_in_files_trains_the_same_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, read = CASES[name]
    frame = read()
    frame.write_parquet(tmp_path / "rows.parquet", row_group_size=1000)
    held = train(wanted, frame, incumbent=None, threads=lambda: 1, progress=Remembered())
    monkeypatch.setattr(rows, "BLOCK_CELLS", 20_000)
    monkeypatch.setattr(fit, "MATRIX_CELLS", 0)
    table = Table.scan(pl.scan_parquet(tmp_path / "rows.parquet"), height=frame.height)
    filed = train(wanted, table, incumbent=None, threads=lambda: 1, progress=Remembered(), scratch=tmp_path)
    assert filed.fitted.text == held.fitted.text
    assert filed.judgement == held.judgement
    scorer = Scorer(held.fitted.text, held.schema, threads=1)
    every = golden_rows(Table.of(frame).pick(held.split.holdout), held.schema, scorer)
    known = {json.dumps(row): output for row, output in zip(every.rows, every.outputs, strict=True)}
    assert len(filed.golden.rows) == len(held.golden.rows)
    replayed = list(zip(filed.golden.rows, filed.golden.outputs, strict=True))[:REAL_ROWS]
    assert all(known[json.dumps(row)] == pytest.approx(output) for row, output in replayed)
    assert filed.evaluation == held.evaluation
    assert filed.schema == held.schema


def test_a_job_whose_rows_stay_in_files_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_table, "IN_MEMORY_CELLS", 100)
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    wanted = spec("y", columns={"color": Kind.CATEGORY})
    first = train_now(house, wanted)
    assert list(house.settings.layout.tmp.glob("scratch-*")) == []
    second = train_now(house, wanted)  # the champion is scored on the holdout from files too
    assert second.champion == first.metrics


def test_a_look_for_leaks_holds_a_sample_of_the_columns_and_not_the_columns(tmp_path: Path) -> None:
    count, width = 200_000, 30
    store = ColumnStore(count, scratch=tmp_path)
    rng = np.random.default_rng(2)
    for _ in range(width):
        store.append(rng.normal(size=count))
    columns = tuple(Column(name=f"c{at}", kind=Kind.NUMBER) for at in range(width))
    schema = FeatureSchema(model="m", version=0, task=Task.REGRESSION, target="y", columns=columns, classes=())
    target = read_target(pl.DataFrame({"y": rng.normal(size=count)}), "y", None)
    tracemalloc.start()
    try:
        leak_suspects(EncodedRows(store), schema, target, pl.DataFrame())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * count * width / 3


def test_of_a_table_in_files_a_number_is_read_once(tmp_path: Path) -> None:
    frame = made_up(30_000)
    read: Counter[str] = Counter()

    def reader(name: str) -> pl.Series:
        read[name] += 1
        return frame[name]

    table = Table(frame.schema, frame.height, reader, frame.head)
    model = train(
        spec("y", rounds=10), table, incumbent=None, threads=lambda: 1, progress=Remembered(), scratch=tmp_path
    )
    assert len(model.golden.rows) == REAL_ROWS + 2
    assert {name: read[name] for name in ("x", "noise", "on")} == {"x": 1, "noise": 1, "on": 2}
