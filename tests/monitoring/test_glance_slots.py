"""A sparkline over a window has a place for every bucket, also for those without a request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.glance import list_slots
from appliance.monitoring.service import latency_of, one_request
from appliance.monitoring.service_report import TrafficPoint, TrafficSeries
from appliance.monitoring.spans import Window

AT = datetime(2030, 1, 1, tzinfo=UTC)


def test_buckets_without_a_request_count_as_none() -> None:
    one = latency_of(one_request(100, rows=1))
    points = tuple(TrafficPoint(at=AT + timedelta(minutes=minute), latency=one) for minute in (0, 20))
    # The window begins within the first bucket: that is touched, and counts.
    window = Window(start=AT + timedelta(minutes=3), end=AT + timedelta(minutes=25))
    assert list_slots(TrafficSeries(model="m", window=window, bucket_s=300, points=points)) == (1, 0, 0, 0, 1)
