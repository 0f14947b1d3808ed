"""A training leaves the API a core while predictions come in, and the model does not depend on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.settings import Settings
from appliance.training.cores import LATELY_S, ONE_THREAD_CELLS, Cores, Threads, is_predicting, threads_for
from storage.eventlog import EventWriter
from storage.layout import Layout
from tests.training.rows import Remembered, adults, bikes, fit, made_up, penguins, spec

ALL = len(os.sched_getaffinity(0))
BIG = 20_000
"""Rows above which LightGBM really divides its work among threads."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path / "state")
    made.layout.create()
    return made


def predict(layout: Layout, *, ago_s: float) -> Path:
    """An answered prediction in a segment of its own."""
    writer = EventWriter(layout.events / "predictions")
    writer.append(b'{"id":"a"}')
    writer.close()
    newest = max((layout.events / "predictions").glob("*.ndjson"))
    os.utime(newest, (time.time() - ago_s,) * 2)
    return newest


def test_without_traffic_a_training_has_every_core(settings: Settings) -> None:
    assert Cores(settings)() == ALL
    predict(settings.layout, ago_s=LATELY_S + 5)
    assert Cores(settings)() == ALL


def test_with_traffic_one_core_is_left_and_one_is_kept(settings: Settings) -> None:
    predict(settings.layout, ago_s=1)
    assert Cores(settings)() == max(1, ALL - 1)
    assert Cores(settings, available=1)() == 1


def test_an_older_segment_with_newer_answers_counts(settings: Settings) -> None:
    first = predict(settings.layout, ago_s=0)
    predict(settings.layout, ago_s=2 * LATELY_S)
    assert len(list(first.parent.iterdir())) == 2, "another worker's segment, opened later, is idle"
    assert is_predicting(settings.layout, since_s=time.time() - LATELY_S)


def test_a_number_that_is_set_holds_whatever_comes_in(settings: Settings) -> None:
    predict(settings.layout, ago_s=0)
    assert Cores(settings.model_copy(update={"training_threads": 7}))() == 7


def test_traffic_that_begins_or_ends_is_seen(settings: Settings) -> None:
    cores = Cores(settings, available=8, look_s=0.0)
    assert cores() == 8
    segment = predict(settings.layout, ago_s=0)
    assert cores() == 7
    os.utime(segment, (0, 0))
    assert cores() == 8


def test_a_decision_is_not_taken_anew_for_each_round(settings: Settings) -> None:
    cores = Cores(settings, available=8, look_s=3600.0)
    assert cores() == 8
    predict(settings.layout, ago_s=0)
    assert cores() == 8


def test_a_small_fit_takes_one_thread() -> None:
    assert threads_for(ONE_THREAD_CELLS, lambda: 8)() == 1
    assert threads_for(ONE_THREAD_CELLS + 1, lambda: 8)() == 8


def steady(count: int) -> Threads:
    return lambda: count


def changing() -> Threads:
    counts: Iterator[int] = cycle((2, 2, 1, 4, 3, 1))
    return lambda: next(counts)


@pytest.mark.parametrize(
    ("target", "rows"),
    [("cnt", bikes), ("income", lambda: adults().head(BIG)), ("species", penguins), ("y", lambda: made_up(BIG))],
    ids=["regression", "binary with categories", "multiclass", "regression without a time"],
)
def test_the_same_seed_gives_the_same_model_on_any_number_of_threads(
    target: str, rows: Callable[[], pl.DataFrame]
) -> None:
    out = {"cnt": ("casual", "registered", "dteday"), "income": ("split",)}.get(target, ())
    wanted = spec(target, rounds=60, exclude=out)
    frame = rows()
    models = [fit(wanted, frame, threads=threads) for threads in (steady(1), steady(2), changing())]
    first = models[0]
    assert "[num_threads: 0]" in first.fitted.text, "the text does not tell how many there were either"
    for other in models[1:]:
        assert other.fitted.text == first.fitted.text
        assert other.golden == first.golden
        assert other.judgement == first.judgement
        assert other.params == first.params


def test_a_metric_that_stands_still_stops_the_fit_on_any_number_of_threads() -> None:
    frame = made_up(BIG).with_columns(pl.Series("y", np.tile([0.1, 0.3, 0.7, 1.1], BIG // 4)))
    flat = spec("y", rounds=200, early_stopping=20, params={"min_gain_to_split": 1e12})
    told = []
    for threads in (steady(1), steady(2), changing()):
        progress = Remembered()
        fit(flat, frame, threads=threads, progress=progress)
        told.append(len(progress.rounds))
    assert told == [21, 21, 21], "twenty rounds after the first, though the last digit of the metric may move"
