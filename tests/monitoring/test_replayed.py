"""Rows that are replayed with event times of long ago are kept as long as others that came with them."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.compaction import compact
from appliance.history import scan_predictions
from appliance.monitoring.export import export_events
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.quality_report import QualityReport
from appliance.monitoring.spans import Span
from appliance.monitoring.watch import Watch, watch_once
from appliance.retention import Retention
from appliance.settings import Settings
from appliance.studies.rows import sample_answers
from storage.outcome_rows import Outcome, count_old_outcomes, put_outcomes, remove_old_outcomes
from storage.statedb import connect
from storage.study_rows import StudyRow, put_study
from tests.monitoring.traffic import DAY_US, HOUR_US, START_US, Traffic, encoded_rows

LONG_AGO_US = int(datetime(2012, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
DAYS, ROWS = 10, 100


@pytest.fixture
def replayed(settings: Settings, traffic: Traffic, watch: Watch) -> Settings:
    """Ten days of 2012 that came just now, three of them drifted, all labelled, two studied; all of it is history."""
    rng, now_us = np.random.default_rng(0), int(time.time() * 1e6)
    for day in range(DAYS):
        rows = encoded_rows(rng, ROWS, shift=20 if 2 <= day <= 4 else 0)
        at = LONG_AGO_US + day * DAY_US
        token = traffic.predict(rows, event_us=at, arrival_us=now_us + day)
        for row, temperature in enumerate(rows[:, 0]):
            traffic.label(f"{token}.{row}", float(temperature * 2), label_us=at + HOUR_US, at_us=now_us + day)
    traffic.close()
    watch_once(watch)
    for day in (LONG_AGO_US // DAY_US + 8, LONG_AGO_US // DAY_US + 9):
        study = StudyRow(model="rent", version=1, kind="domain", day=day, state="ok", sentence="", result="{}")
        put_study(watch.connection, study)
    assert compact(settings).segments == 2
    return settings


def test_the_first_night_takes_nothing_of_what_was_replayed(replayed: Settings) -> None:
    monitoring = Monitoring(replayed)

    def look() -> tuple[QualityReport, list[object], list[tuple[object, ...]]]:
        with closing(connect(replayed.layout.database, read_only=True)) as connection:
            studies = [tuple(row) for row in connection.execute("SELECT * FROM studies ORDER BY day")]
        return monitoring.quality("rent"), list(monitoring.alerts()), studies

    before = look()
    assert (before[0].labelled, len(before[2])) == (DAYS * ROWS, 2)
    assert {alert.closed_at is not None and alert.closed_at.year for alert in monitoring.alerts()} == {2012}
    assert list(Retention(replayed).apply()) == []
    assert look() == before


def test_what_was_replayed_is_exported_from_the_history_too(replayed: Settings, tmp_path: Path) -> None:
    begin = datetime(2012, 1, 3, tzinfo=UTC)
    out = tmp_path / "events.parquet"
    assert export_events(replayed.layout, "rent", 1, (begin, begin + timedelta(days=4)), out) == 4 * ROWS
    found = pl.read_parquet(out)
    assert set(found["event_time"]) == {begin + timedelta(days=day) for day in range(4)}
    assert found["label"].cast(pl.Float64).to_list() == (found["input.temp"] * 2).to_list()
    span = Span(model="rent", version=1, first_hour=LONG_AGO_US // HOUR_US, last_hour=LONG_AGO_US // HOUR_US + 48)
    assert len(sample_answers(replayed.layout, span, rows=2 * ROWS, columns=3)) == 2 * ROWS


def test_what_becomes_history_while_it_is_read_is_met_once(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    tokens = [traffic.predict(encoded_rows(np.random.default_rng(at), 1), event_us=START_US + at) for at in range(30)]
    traffic.close()
    watch_once(watch)
    reading = scan_predictions(settings.layout, "rent", first_us=START_US + 10, last_us=START_US + 20)
    found = [next(reading).id]
    assert compact(settings).segments == 1
    found += [event.id for event in reading]
    assert found == tokens[10:20]
    again = scan_predictions(settings.layout, "rent", first_us=START_US + 10, last_us=START_US + 20)
    assert [event.id for event in again] == found


def test_a_forecast_s_row_arrives_before_its_time_and_is_found(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    event_us = START_US + 30 * DAY_US
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=event_us, arrival_us=START_US)
    traffic.close()
    watch_once(watch)
    assert compact(settings).segments == 1
    found = scan_predictions(settings.layout, "rent", first_us=event_us, last_us=event_us + 1)
    assert [(event.id, event.t, event.at) for event in found] == [(token, event_us, START_US)]


def test_outcomes_go_once_event_and_arrival_are_old_in_however_many_batches(settings: Settings) -> None:
    """Of 60 outcomes of 12 moments every third came late; those stay, though they lie among the others."""
    with closing(connect(settings.layout.database)) as connection:
        outcomes = [
            Outcome(
                id=f"a{at}.0", model="rent", version=1, variant="champion", event_us=at // 5 - 3, output="[1.0]",
                label="1.0", label_us=0, arrived_us=1_000 if at % 3 == 0 else 5,
            )
            for at in range(60)
        ]  # fmt: skip
        put_outcomes(connection, outcomes)
        assert count_old_outcomes(connection, before_us=7) == [("rent", 33)]
        assert remove_old_outcomes(connection, "rent", before_us=7, batch=4) == 33
        left = {row[0] for row in connection.execute("SELECT id FROM outcomes")}
        assert left == {one.id for one in outcomes if one.event_us >= 7 or one.arrived_us == 1_000}
        assert count_old_outcomes(connection, before_us=7) == []
