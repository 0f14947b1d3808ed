"""Labels find their predictions by id, may be corrected, and never count twice."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.eventlog import segments_at
from storage.outcome_rows import outcome_history, scan_outcomes
from storage.window_rows import fault_totals
from tests.monitoring.traffic import DAY_US, HOUR_US, START_US, Traffic, encoded_rows


def test_a_label_is_joined_by_prediction_id(watch: Watch, traffic: Traffic) -> None:
    rows = encoded_rows(np.random.default_rng(0), 3)
    token = traffic.predict(rows, event_us=START_US)
    traffic.label(f"{token}.1", 41.5, label_us=START_US + HOUR_US, at_us=START_US + DAY_US)
    assert watch_once(watch).labels == 1
    (outcome,) = scan_outcomes(watch.connection, "rent", first_us=0, last_us=2**60)
    assert (outcome.label, outcome.event_us, outcome.version) == ("41.5", START_US, 1)
    assert float(outcome.output.strip("[]")) == pytest.approx(rows[1, 0] * 2)


def test_a_correction_replaces_the_label_and_keeps_the_earlier_one(watch: Watch, traffic: Traffic) -> None:
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    for label, at in ((1.0, 10), (1.0, 10), (2.0, 20), (3.0, 30)):
        traffic.label(f"{token}.0", label, label_us=at, at_us=at)
    assert watch_once(watch).labels == 3
    (outcome,) = scan_outcomes(watch.connection, "rent", first_us=0, last_us=2**60)
    assert outcome.label == "3.0"
    assert outcome_history(watch.connection, outcome.id) == [("1.0", 10, 10), ("2.0", 20, 20)]


def test_labels_that_fit_no_prediction_are_counted(watch: Watch, traffic: Traffic) -> None:
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 2), event_us=START_US)
    traffic.label(f"{token}.2", 1.0)
    traffic.label(f"{'0' * 32}-1-tag.0", 1.0)
    traffic.label("nonsense", 1.0)
    traffic.label(f"{token}.0", "high")
    assert watch_once(watch).labels == 0
    assert fault_totals(watch.connection) == {"label_unmatched": 3, "label_invalid": 1}


def test_only_segments_of_the_time_are_searched(settings: Settings, traffic: Traffic) -> None:
    directory = settings.layout.events / "predictions"
    traffic.predict(encoded_rows(np.random.default_rng(0), 2), event_us=START_US)
    traffic.close()
    (segment,) = directory.glob("*.ndjson")
    now = segment.stat().st_mtime
    assert segments_at(directory, [now]) == [segment]
    assert segments_at(directory, [now - 3600]) == []
    assert segments_at(directory, [now + 3600]) == []


def test_quality_is_exact_and_says_how_far_labels_reach(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rng = np.random.default_rng(0)
    rows = encoded_rows(rng, 200)
    token = traffic.predict(rows, event_us=START_US)
    truth = rows[:, 0] * 2 + rng.normal(0, 1, 200)
    for i in range(150):
        traffic.label(f"{token}.{i}", float(truth[i]), label_us=START_US + HOUR_US)
    watch_once(watch)
    early = Monitoring(settings).quality("rent")
    assert (early.labelled, early.predicted, early.coverage, early.mature) == (150, 200, 0.75, False)
    assert early.state.value == "not_enough_data"
    error = rows[:150, 0] * 2 - truth[:150]
    assert early.metrics["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)
    assert early.metrics["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-9)
    assert early.metrics["bias"] == pytest.approx(np.mean(error), rel=1e-9)
    assert early.delay_p50_s == 3600.0
    assert early.reference["rmse"] == 1.0
    for i in range(150, 200):
        traffic.label(f"{token}.{i}", float(truth[i]), label_us=START_US + HOUR_US)
    watch_once(watch)
    late = Monitoring(settings).quality("rent")
    assert (late.coverage, late.mature, late.state.value) == (1.0, True, "ok")
    drift = Monitoring(settings).drift("rent")
    assert drift.label is not None
    assert (drift.label.rows.current, drift.label.state.value) == (200, "ok")
    (point,) = Monitoring(settings).quality_series("rent").points
    assert point.metrics == pytest.approx(late.metrics)
