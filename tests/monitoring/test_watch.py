"""Every event is counted exactly once, in the hour of its event time; what cannot be counted is counted as a fault."""

from __future__ import annotations

import base64
import os
import time
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from appliance.events import PredictionEvent
from appliance.monitoring import watch as watch_module
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.monitoring.windows import parse_counts
from appliance.settings import Settings
from storage.window_rows import FeatureKey, fault_totals, find_feature_window, newest_hours
from tests.monitoring.traffic import (
    DAY_US,
    HOUR_US,
    START,
    START_US,
    Traffic,
    encoded_rows,
    publish,
    regression_schema,
    training_frame,
)


def test_rows_land_in_the_hour_of_their_event_time(watch: Watch, traffic: Traffic) -> None:
    rows = encoded_rows(np.random.default_rng(0), 30)
    late = START_US + 5 * DAY_US
    traffic.predict(rows[:10], event_us=START_US, arrival_us=late)
    traffic.predict(rows[10:], event_us=START_US + HOUR_US, arrival_us=late)
    progress = watch_once(watch)
    assert (progress.predictions, progress.faults) == (30, 0)
    for hour, expected in ((0, rows[:10]), (1, rows[10:])):
        key = FeatureKey(model="rent", version=1, variant="champion", hour=START_US // HOUR_US + hour)
        content = find_feature_window(watch.connection, key)
        assert content is not None
        counts = parse_counts(content)
        assert counts.rows == len(expected)
        known = KnownVersions(watch.layout).find("rent", 1)
        assert known is not None
        (_, temp, total), (_, season, _), *_ = known.counter.split(counts)
        assert temp.sum() == len(expected)
        assert total == pytest.approx(expected[:, 0].sum())
        in_code_order = [season[known.reference.columns[1].bins.labels().index(name)] for name in
                         ("fall", "spring", "summer", "winter")]  # fmt: skip
        assert in_code_order == np.bincount(expected[:, 1].astype(int), minlength=4).tolist()


def test_a_second_look_counts_nothing_twice(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 60), event_us=START_US)
    watch_once(watch)
    assert watch_once(watch).idle
    traffic.predict(encoded_rows(np.random.default_rng(1), 40), event_us=START_US)
    assert watch_once(watch).predictions == 40
    assert Monitoring(settings).drift("rent").rows.current == 100


def test_chunks_smaller_than_the_log_count_the_same(settings: Settings, traffic: Traffic) -> None:
    rng = np.random.default_rng(0)
    for i in range(200):
        traffic.predict(encoded_rows(rng, 1 + i % 3), event_us=START_US + i * HOUR_US // 10)
    small = Watch(settings.layout, chunk_bytes=500)
    watch_once(small)
    found = Monitoring(settings).drift("rent", 48 * 3600)
    small.close()
    assert found.rows.current == sum(1 + i % 3 for i in range(200))


def test_large_requests_are_read_from_base64(watch: Watch, settings: Settings, traffic: Traffic) -> None:
    rows = encoded_rows(np.random.default_rng(0), 500)
    rows[:50, 2] = np.nan
    event = PredictionEvent(
        id="0" * 32, t=START_US, at=START_US, m="rent", v=1, n=500, us=9,
        x=base64.b64encode(rows.astype("<f8").tobytes()).decode(), y=(rows[:, 0] * 2).tolist(),
    )  # fmt: skip
    traffic.write("predictions", msgspec.json.encode(event))
    traffic.predict(rows[:3], event_us=START_US)
    assert watch_once(watch).faults == 0
    column = Monitoring(settings).drift("rent").columns[2]
    assert column.rows.current == 503
    assert column.null_share.current == pytest.approx(53 / 503)


def test_an_event_without_its_bundle_is_a_fault_and_still_counts_for_the_service(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    traffic.version = 9
    traffic.predict(encoded_rows(np.random.default_rng(0), 7), event_us=START_US)
    assert watch_once(watch).faults == 7
    assert fault_totals(watch.connection) == {"bundle_missing": 7}
    assert newest_hours(watch.connection, "rent") == {}
    assert Monitoring(settings).latency("rent").by_version[9].rows == 7


def test_what_cannot_be_counted_is_a_fault(watch: Watch, traffic: Traffic) -> None:
    rows = encoded_rows(np.random.default_rng(0), 2)
    traffic.write("predictions", b'{"id":"x","t":1}')
    traffic.write("predictions", b"not json")
    traffic.predict(rows, event_us=START_US, outputs=[1.0])
    traffic.predict(rows, event_us=START_US + 30 * DAY_US, arrival_us=START_US)
    watch_once(watch)
    assert fault_totals(watch.connection) == {"undecodable": 2, "malformed": 1, "future_time": 1}
    assert newest_hours(watch.connection, "rent") == {1: START_US // HOUR_US}


def test_a_line_torn_by_a_power_cut_is_given_up_once_it_is_old(watch: Watch, traffic: Traffic) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 5), event_us=START_US)
    traffic.close()
    (segment,) = (watch.layout.events / "predictions").glob("*.ndjson")
    with segment.open("ab") as file:
        file.write(b'{"id":"to')
    watch_once(watch)
    assert fault_totals(watch.connection) == {}
    old = time.time() - watch_module.TORN_AFTER_S - 1
    os.utime(segment, (old, old))
    assert watch_once(watch).faults == 1
    assert watch_once(watch).idle
    assert fault_totals(watch.connection) == {"torn": 1}


def test_two_loops_on_one_log_count_it_once(settings: Settings, traffic: Traffic) -> None:
    first, second = Watch(settings.layout), Watch(settings.layout)
    rng = np.random.default_rng(0)
    for _ in range(5):
        traffic.predict(encoded_rows(rng, 10), event_us=START_US)
        watch_once(first)
        watch_once(second)
    first.close()
    second.close()
    assert Monitoring(settings).drift("rent").rows.current == 50


def test_shadow_traffic_is_counted_apart(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rows = encoded_rows(np.random.default_rng(0), 10)
    traffic.predict(rows, event_us=START_US)
    publish(settings, regression_schema(version=2), training_frame(seed=5))
    traffic.version = 2
    traffic.predict(rows, event_us=START_US, variant="shadow")
    watch_once(watch)
    assert newest_hours(watch.connection, "rent") == {1: START_US // HOUR_US}
    key = FeatureKey(model="rent", version=2, variant="shadow", hour=START_US // HOUR_US)
    assert find_feature_window(watch.connection, key) is not None


def test_lag_and_heartbeat(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    monitoring = Monitoring(settings)
    assert monitoring.lag().heartbeat_at is None
    traffic.predict(encoded_rows(np.random.default_rng(0), 5), event_us=START_US)
    assert monitoring.lag().bytes_behind > 0
    watch_once(watch)
    lag = monitoring.lag()
    assert lag.bytes_behind == 0
    assert lag.heartbeat_at is not None
    assert lag.heartbeat_at > START - timedelta(days=1)
