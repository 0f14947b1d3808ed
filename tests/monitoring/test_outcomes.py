"""Labels find their predictions by id, may be corrected, and never count twice."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import numpy as np
import pytest

from appliance.monitoring.labelled_rows import LabelledRows
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.outcomes import TOGETHER
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage import outcome_rows
from storage.eventlog import segments_at
from storage.outcome_rows import READ_ROWS, outcome_history, scan_outcomes
from storage.window_rows import fault_totals
from tests.monitoring.traffic import DAY_US, HOUR_US, START_US, Traffic, encoded_rows, regression_schema


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


def test_a_correction_that_another_worker_took_is_no_older_label(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    """The log of the worker that took the correction is read first: its other labels began it earlier."""
    token, other = (traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US) for _ in range(2))
    early, late = Traffic(settings), Traffic(settings)
    early.label(f"{other}.0", 1.0, at_us=START_US)
    late.label(f"{token}.0", 5.0, at_us=START_US + 20)
    early.label(f"{token}.0", 42.0, at_us=START_US + 30)
    early.close()
    late.close()
    assert watch_once(watch).labels == 2
    said = Monitoring(settings).label_history(f"{token}.0")
    assert said.to_json()["label"] == "42.0"
    assert [one.label for one in said.revisions] == ["5.0", "42.0"]


def test_labels_of_more_requests_than_are_worked_out_at_once(watch: Watch, traffic: Traffic) -> None:
    rng, chance = np.random.default_rng(0), random.Random(0)
    rows = {traffic.predict(encoded_rows(rng, 2), event_us=START_US + at): at for at in range(2 * TOGETHER + 7)}
    said = [(token, row) for token in rows for row in (0, 1)]
    for correction in (0, 0.5):
        chance.shuffle(said)
        for token, row in said:
            traffic.label(f"{token}.{row}", rows[token] + row + correction, label_us=START_US, at_us=START_US)
    assert watch_once(watch).labels == 2 * len(said)
    outcomes = {one.id: one for one in scan_outcomes(watch.connection, "rent", first_us=0, last_us=2**60)}
    assert {id_: one.label for id_, one in outcomes.items()} == {
        f"{token}.{row}": repr(rows[token] + row + 0.5) for token, row in said
    }
    assert all(one.event_us == START_US + rows[id_.rpartition(".")[0]] for id_, one in outcomes.items())
    assert len({one.cells for one in outcomes.values()}) > 1
    some = f"{said[0][0]}.{said[0][1]}"
    assert [label for label, _, _ in outcome_history(watch.connection, some)] == [
        repr(float(rows[said[0][0]] + said[0][1]))
    ]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(watch: Watch, traffic: Traffic, enabled: bool) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 2), event_us=START_US)
    if not enabled:
        gc.disable()
    try:
        assert watch_once(watch).predictions == 2
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


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


def test_a_days_rows_are_the_same_however_many_are_read_at_a_time(
    watch: Watch, traffic: Traffic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 25), event_us=START_US)
    for row in range(25):
        traffic.label(f"{token}.{row}", float(row), label_us=START_US + row, at_us=START_US + DAY_US)
    assert watch_once(watch).labels == 25
    found = []
    for at_a_time in (READ_ROWS, 7, 25):
        monkeypatch.setattr(outcome_rows, "READ_ROWS", at_a_time)
        folder = tmp_path / str(at_a_time)
        folder.mkdir()
        rows = LabelledRows(folder, model="rent", version=1, schema=regression_schema(), bundle=b"")
        last_us = START_US + 1
        labelled, cells = rows.read_cells(watch.connection, first_us=START_US, last_us=last_us, places=[0, 1])
        again = rows.read(watch.connection, first_us=START_US, last_us=last_us)
        assert again.truth.tolist() == labelled.truth.tolist()
        assert sorted(labelled.truth.tolist()) == list(range(25))
        found.append((labelled.truth.tolist(), labelled.outputs.tolist(), labelled.delay_s.tolist(), cells.tolist()))
    assert found[0] == found[1] == found[2]
