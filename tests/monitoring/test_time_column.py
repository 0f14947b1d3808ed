"""The column that orders the rows, as an input: that time passes is no drift, that it is missing is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.skew import judge_first_rows
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind
from appliance.settings import Settings
from appliance.studies.nightly import DOMAIN, study
from appliance.studies.rows import Samples
from tests.monitoring.traffic import HOUR_US, START, START_US, Traffic, make_settings, publish, regression_schema

ROWS = 2000
START_S = START_US / 1e6


def ordered_schema() -> FeatureSchema:
    bare = regression_schema()
    return msgspec.structs.replace(
        bare, columns=(bare.columns[0], Column(name="when", kind=Kind.DATETIME)), time_column="when"
    )


@pytest.fixture
def ordered(tmp_path: Path) -> Settings:
    made = make_settings(tmp_path)
    rng = np.random.default_rng(1)
    when = pl.datetime_range(START.replace(year=2025), START, eager=True, closed="left", interval="4h")
    frame = pl.DataFrame({"when": when, "temp": rng.normal(20.0, 5.0, len(when))})
    publish(made, ordered_schema(), frame)
    return made


def answer(settings: Settings, when: np.ndarray, *, rows: int = 500) -> None:
    traffic = Traffic(settings)
    temp = np.random.default_rng(2).normal(20.0, 5.0, rows)
    traffic.predict(np.column_stack([temp, when]), event_us=START_US + HOUR_US)
    traffic.close()
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()


def test_later_rows_are_no_drift(ordered: Settings) -> None:
    answer(ordered, START_S + np.arange(500) * 60.0)
    report = Monitoring(ordered).drift("rent")
    when = next(column for column in report.columns if column.name == "when")
    assert when.psi is not None
    assert when.psi > 1
    assert (when.state, when.sentence) == (
        State.OK, "`when` orders the rows: that newer rows are later is no drift."
    )  # fmt: skip
    assert (report.dataset.state, report.dataset.drifted) == (State.OK, ())
    detail = Monitoring(ordered).drift_detail("rent", "when")
    assert detail.drift == when


def test_the_first_live_rows_being_later_is_no_skew(ordered: Settings) -> None:
    known = KnownVersions(ordered.layout).find("rent", 1)
    assert known is not None
    temp = np.random.default_rng(4).normal(20.0, 5.0, 500)
    for when, state in ((START_S + np.arange(500) * 60.0, State.OK), (np.full(500, np.nan), State.ALARM)):
        rows = np.column_stack([temp, when])
        (counts,) = known.counter.count(rows, (temp * 2)[None, :], np.zeros(500, np.int64)).values()
        found = judge_first_rows(known, known.counter.empty(), counts)
        assert found is not None
        assert (found.state, found.rows) == (state, 500)


def test_a_time_that_is_missing_is_drift(ordered: Settings) -> None:
    when = START_S + np.arange(500) * 60.0
    when[:450] = np.nan
    answer(ordered, when)
    report = Monitoring(ordered).drift("rent")
    assert report.dataset.drifted == ("when",)


def test_the_studies_of_columns_together_leave_it_out(ordered: Settings) -> None:
    known = KnownVersions(ordered.layout).find("rent", 1)
    assert known is not None
    rng = np.random.default_rng(3)
    samples = Samples(
        reference=np.column_stack([rng.normal(size=ROWS), np.arange(ROWS) * 60.0]),
        current=np.column_stack([rng.normal(size=ROWS), 1e9 + np.arange(ROWS) * 60.0]),
    )
    found = {one.kind: one.verdict.state for one in study(known, samples, "")}
    assert found[DOMAIN] is State.OK
