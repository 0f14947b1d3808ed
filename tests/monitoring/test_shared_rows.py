"""Tables that share rows: texts and ids of which most occur once drift neither against themselves nor others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.datasets import Datasets
from appliance.monitoring.against import with_rows
from appliance.monitoring.bins import LevelBins
from appliance.monitoring.compare import compare_frames
from appliance.monitoring.drift import column_drift, held_counts, population_stability_index
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import ColumnReference, dump_reference, fit_column, parse_reference
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, Kind
from appliance.settings import Settings
from tests.monitoring.test_against import register
from tests.monitoring.traffic import START_US, Traffic, make_settings, publish, regression_schema, training_frame

ADULT = Path(__file__).parents[1] / "data" / "adult.parquet"


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    """Shuffled, with a text of 28,000 levels and an id of its own for every row."""
    frame = pl.read_parquet(ADULT).sample(fraction=1.0, shuffle=True, seed=1)
    return frame.with_columns(
        pl.col("fnlwgt").cast(pl.String).alias("as_text"), pl.int_range(pl.len()).cast(pl.String).alias("row_id")
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0, 40_000), (0, 40_000)),  # the same rows
        ((0, 40_000), (0, 44_000)),  # and a tenth more
        ((0, 20_000), (0, 40_000)),  # and as many more
        ((0, 40_000), (0, 36_000)),  # a part of them
        ((0, 40_000), (30_000, 44_000)),  # a part of them, and others
        ((0, 20_000), (20_000, 40_000)),  # others
    ],
)
def test_rows_that_are_there_on_both_sides_are_no_drift(
    adult: pl.DataFrame, before: tuple[int, int], after: tuple[int, int]
) -> None:
    report = compare_frames(adult[slice(*before)], adult[slice(*after)])
    assert report.dataset.drifted == ()
    if before == after:
        assert {column.psi for column in report.columns} == {0.0}


def test_what_the_mass_does_not_explain_is_drift(adult: pl.DataFrame) -> None:
    texts = adult.select("as_text")[:20_000]
    seen_twice = texts.filter(pl.len().over("as_text") > 1)
    renamed = seen_twice.select(pl.col("as_text") + " renamed")
    (column,) = compare_frames(seen_twice, renamed).columns
    assert (column.state, column.unseen_share) == (State.ALARM, 1.0)
    (column,) = compare_frames(texts, texts.with_columns(pl.lit(None, pl.String).alias("as_text"))).columns
    assert column.state is State.ALARM


@examples(deadline=None, max_examples=60)
@given(st.integers(2, 60), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_the_unseen_get_the_part_of_the_mass_that_explains_most(
    levels: int, frequent: int, rarer: int, unseen: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate((np.zeros(500), rng.integers(1, levels, 4 * levels).astype(np.float64)))
    reference = fit_column(
        Column(name="c", kind=Kind.CATEGORY, levels=tuple(map(str, range(levels)))), codes
    )  # fmt: skip
    bins = reference.bins
    assert isinstance(bins, LevelBins)
    at, supposed = len(bins.codes), reference.supposed
    assert supposed is not None
    current = np.zeros(bins.size, np.int64)
    current[0], current[at], current[bins.unseen] = frequent + 1, rarer, unseen
    found = population_stability_index(held_counts(reference, current), current)
    counts = np.array(reference.counts, np.int64)
    others = []
    for part in range(supposed + 1):
        moved = counts.copy()
        moved[at], moved[bins.unseen] = counts[at] + part, counts[bins.unseen] - part
        others.append(population_stability_index(moved, current))
    assert found <= others[0] + 1e-12, "never more than with the whole mass"
    if rarer and unseen:
        assert found <= min(others) + 1e-12


def test_a_reference_from_before_says_as_much() -> None:
    codes = np.concatenate((np.zeros(500), np.arange(1.0, 301.0)))
    column = fit_column(Column(name="c", kind=Kind.CATEGORY, levels=tuple(map(str, range(301)))), codes)
    assert column.supposed == 300
    own = np.bincount(column.bins.index(codes), minlength=column.bins.size)
    written = msgspec.to_builtins(column)
    del written["supposed"]
    older = msgspec.convert(written, ColumnReference)
    for one in (column, older):
        assert column_drift(one, own).psi == 0.0
    assert column_drift(replace(column, supposed=0), own).state is State.ALARM, "unseen rows that were there"


def test_a_dataset_that_grew_has_not_drifted(tmp_path: Path, adult: pl.DataFrame) -> None:
    datasets = Datasets(make_settings(tmp_path))
    rows = tmp_path / "rows.parquet"
    for part in (adult[:5_000], adult[5_000:5_500]):
        part.select("age", "as_text", "row_id").write_parquet(rows)
        datasets.add("people", str(rows), who="ada", append=True)
    old, new = sorted(snapshot.version for snapshot in datasets.versions("people"))
    found = datasets.diff("people", old, new)
    assert found.rows == (5_000, 5_500)
    assert (found.drift.state, found.drift.drifted) == (State.OK, ())


@pytest.fixture
def booked(tmp_path: Path) -> tuple[Settings, pl.DataFrame]:
    """A version whose season is a booking number: another in every row."""
    settings = make_settings(tmp_path)
    frame = training_frame().with_columns(pl.format("B{}", pl.int_range(pl.len())).alias("season"))
    schema = regression_schema()
    levels = tuple(frame["season"].to_list())
    columns = [msgspec.structs.replace(one, levels=levels) if one.name == "season" else one for one in schema.columns]
    publish(settings, msgspec.structs.replace(schema, columns=tuple(columns)), frame)
    return settings, frame


def rows_of(rng: np.random.Generator, rows: int, codes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack((rng.normal(20.0, 5.0, rows), codes, (rng.random(rows) < 0.1).astype(np.float64)))


@pytest.mark.parametrize("known_share", [0.0, 0.5, 1.0])
def test_the_dataset_of_the_training_is_as_good_as_the_training(
    booked: tuple[Settings, pl.DataFrame], known_share: float
) -> None:
    settings, frame = booked
    rng = np.random.default_rng(0)
    codes = np.where(rng.random(500) < known_share, rng.permutation(2_000)[:500].astype(np.float64), -1.0)
    traffic = Traffic(settings)
    traffic.predict(rows_of(rng, 500, codes), event_us=START_US)
    traffic.close()
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()
    register(settings)
    path = settings.layout.tmp / "rows.parquet"
    frame.write_parquet(path)
    Datasets(settings).add("rides", str(path), who="ada", append=False)
    (version,) = (snapshot.version for snapshot in Datasets(settings).versions("rides"))
    monitoring = Monitoring(settings)
    trained = monitoring.drift("rent")
    held = monitoring.drift("rent", against=f"dataset:{version}")
    assert [column.psi for column in held.columns] == [column.psi for column in trained.columns]
    assert held.dataset.state is State.OK
    season = next(column for column in monitoring.data_quality("rent").columns if column.name == "season")
    assert season.state is State.OK
    detail = monitoring.drift_detail("rent", "season")
    shares = {bar.label: (bar.reference, bar.current) for bar in detail.bins}
    assert shares["unseen"] == pytest.approx((1 - known_share,) * 2, abs=0.06)


def test_a_table_with_other_rows_too(booked: tuple[Settings, pl.DataFrame]) -> None:
    settings, frame = booked
    known = KnownVersions(settings.layout).find("rent", 1)
    assert isinstance(known, KnownVersion)
    others = frame.with_columns(pl.format("C{}", pl.int_range(pl.len())).alias("season"))
    for table in (frame, others, pl.concat((frame, others))):
        column = with_rows(known, table).reference.columns[1]
        new = np.bincount(column.bins.index(np.full(500, -1.0)), minlength=column.bins.size)
        assert column_drift(column, new).state is State.OK
    assert parse_reference(dump_reference(known.reference)) == known.reference
