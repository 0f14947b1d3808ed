"""Latency, traffic and errors by minute of arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from appliance.errors import BadInput, NotFound
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import Asked, parse_span, parse_window
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from tests.monitoring.traffic import START, START_US, Traffic, encoded_rows, publish, regression_schema, training_frame

MINUTE_US = 60_000_000


def test_quantiles_by_version_within_two_percent(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    publish(settings, regression_schema(version=2), training_frame())
    rng = np.random.default_rng(0)
    durations = {1: rng.lognormal(6, 1, 400).astype(int) + 1, 2: rng.lognormal(8, 1, 300).astype(int) + 1}
    for version, times in durations.items():
        traffic.version = version
        for i, us in enumerate(times.tolist()):
            traffic.predict(encoded_rows(rng, 1), event_us=START_US, arrival_us=START_US + i * 1_000_000, us=us)
        traffic.refuse(at_us=START_US, status=422, count=version)
    watch_once(watch)
    report = Monitoring(settings).latency("rent")
    assert (report.total.count, report.total.errors) == (700, 3)
    assert report.errors_by_status == {422: 3}
    both = np.concatenate(list(durations.values()))
    for latency, values in (
        (report.total, both),
        (report.by_version[1], durations[1]),
        (report.by_version[2], durations[2]),
    ):
        assert latency.max_us == values.max()
        for share, us_found in ((0.5, latency.p50_us), (0.95, latency.p95_us), (0.99, latency.p99_us)):
            assert us_found == pytest.approx(np.quantile(values, share, method="inverted_cdf"), rel=0.02)


def test_traffic_is_by_minute_and_coarser_over_long_spans(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rng = np.random.default_rng(0)
    for minute in (0, 1, 1, 90):
        traffic.predict(encoded_rows(rng, 2), event_us=START_US, arrival_us=START_US + minute * MINUTE_US)
    watch_once(watch)
    short = Monitoring(settings).traffic("rent", 2 * 3600)
    assert short.bucket_s == 60
    assert [(point.at, point.latency.count, point.latency.rows) for point in short.points] == [
        (START, 1, 2),
        (START + timedelta(minutes=1), 2, 4),
        (START + timedelta(minutes=90), 1, 2),
    ]
    long = Monitoring(settings).traffic("rent", 30 * 86_400)
    assert long.bucket_s == 6 * 3600
    assert [point.latency.count for point in long.points] == [4]
    assert short.window.end == START + timedelta(minutes=91)


def test_a_span_ends_where_asked(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 60), event_us=START_US)
    watch_once(watch)
    monitoring = Monitoring(settings)
    assert monitoring.drift("rent").window.end == START + timedelta(hours=1)
    before = monitoring.drift("rent", until=START)
    assert (before.rows.current, before.dataset.state.value) == (0, "not_enough_data")
    assert monitoring.drift("rent", 3600, until=START + timedelta(minutes=1)).rows.current == 60
    assert monitoring.latency("rent", until=datetime(2020, 1, 1, tzinfo=UTC)).total.p50_us is None


def test_histograms_side_by_side(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 500, shift=10), event_us=START_US)
    watch_once(watch)
    monitoring = Monitoring(settings)
    temp = monitoring.drift_detail("rent", "temp")
    assert temp.drift.state.value == "alarm"
    assert [bar.label for bar in temp.bins][-1] == "missing"
    assert sum(bar.reference for bar in temp.bins) == pytest.approx(1.0)
    assert sum(bar.current for bar in temp.bins) == pytest.approx(1.0)
    assert temp.bins[-2].current > 0.5 > temp.bins[-2].reference
    assert monitoring.drift_detail("rent", "prediction").drift.state.value == "alarm"
    assert monitoring.drift_detail("rent", "label").drift.state.value == "not_enough_data"
    with pytest.raises(NotFound, match="its columns are"):
        monitoring.drift_detail("rent", "speed")


def test_a_model_without_traffic_is_no_data_and_an_unknown_one_is_not_found(settings: Settings) -> None:
    monitoring = Monitoring(settings)
    assert monitoring.drift("rent").dataset.state.value == "not_enough_data"
    assert monitoring.quality("rent").metrics == {}
    assert monitoring.quality_series("rent").points == ()
    for ask in (monitoring.drift, monitoring.latency, monitoring.quality, monitoring.traffic):
        with pytest.raises(NotFound):
            ask("nobody")
    with pytest.raises(NotFound):
        monitoring.drift("rent", version=7)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("99999d", 99_999 * 86_400)]
)
def test_spans(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    ("window", "until", "seconds", "end"),
    [
        ("24h", None, 86_400, None),
        ("7d", "2026-01-31", 604_800, datetime(2026, 1, 31, tzinfo=UTC)),
        ("7d", "2026-01-31T18:00", 604_800, datetime(2026, 1, 31, 18, tzinfo=UTC)),
        ("7d", "2026-01-31T18:00Z", 604_800, datetime(2026, 1, 31, 18, tzinfo=UTC)),
        ("7d", "2026-01-31T18:00+01:00", 604_800, datetime(2026, 1, 31, 17, tzinfo=UTC)),
        ("7d", "2026-01-31T18:00 01:00", 604_800, datetime(2026, 1, 31, 17, tzinfo=UTC)),
        ("2026-01-01/2026-02-01", None, 31 * 86_400, datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-01T00:30/2026-01-01T01:30", None, 2 * 3_600, datetime(2026, 1, 1, 1, 30, tzinfo=UTC)),
        ("2026-01-01T02:00+02:00/2026-01-01T01:00", None, 3_600, datetime(2026, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_that_are_over(window: str, until: str | None, seconds: int, end: datetime | None) -> None:
    assert parse_window(window, until) == Asked(seconds=seconds, until=end)


@pytest.mark.parametrize(
    ("window", "until", "told"),
    [
        ("7d", "soon", "time 'soon': accepted: ISO 8601"),
        ("7d", "1066-10-14", "1066"),
        ("7d", "", "accepted: ISO 8601"),
        ("2026-01-01/", None, "accepted: ISO 8601"),
        ("2026-02-01/2026-01-01", None, "ends before it begins"),
        ("2026-01-01/2026-01-01", None, "ends before it begins"),
        ("2026-01-01/2026-02-01", "2026-03-01", "has its end already"),
        ("week", None, "FROM/TO"),
        ("999999d", None, "at most 99999d"),
    ],
)
def test_windows_that_are_none(window: str, until: str | None, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_window(window, until)


@pytest.mark.parametrize("text", ["", "24", "-1h", "0h", "1w", "1.5h"])
def test_spans_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="24h, 7d or 30d"):
        parse_span(text)
